/* dense.c -- places where most tokens are allowed, without walking most of the vocabulary.
 *
 * Free text and plain strings have ready masks. A text with an automaton (pattern, format) is taken
 * in two steps: where the state runs on over a set of bytes (a class that repeats), all tokens made
 * of nothing else are found by one sweep over their byte sets (sweep.c); then the trie is walked, and a
 * subtree is left out as soon as no byte in it can leave the run. What is left is proportional to the exits.
 * Masks of states of one automaton are the same in every grammar, so they are remembered by the
 * automaton's number, not the grammar's. */
#include "grammar/int.h"

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }

static void bit_same(const struct vocab *v, uint32_t *bits, int32_t t)
{
    for (; t >= 0; t = v->same[t]) bit_set(bits, t);
}

/* ---- free text ------------------------------------------------------------------------------- */

/* Bytes that move the automaton of triggers away from its start. */
static struct bytemap stirring(const struct triggers *t)
{
    struct bytemap out = { 0 };
    for (int b = 0; b < 256; b++)
        if (t->next[0][b]) bytemap_add(&out, (uint8_t)b);
    return out;
}

/* Nodes of the trie at which a trigger becomes complete, the automaton being in state n. */
uint32_t *dense_triggers(const struct vocab *v, const struct triggers *t, uint32_t n, uint32_t *n_node)
{
    const struct vtrie *a = &v->all;
    uint16_t *state = mem_alloc((size_t)(v->max_len + 2) * sizeof *state);
    uint32_t *list = NULL, cap = 0;
    struct bytemap stir = stirring(t);
    state[0] = (uint16_t)n;
    *n_node = 0;
    for (uint32_t i = 0; i < a->n;) {
        uint32_t d = a->depth[i];
        state[d] = t->next[state[d - 1]][a->byte[i]];
        if (state[d] == UINT16_MAX) {
            MEM_GROW(list, *n_node, cap);
            list[(*n_node)++] = i;
            i = a->skip[i];
        } else if (!state[d] && !bytemap_meets(&a->below[i], &stir)) i = a->skip[i];
        else i++;
    }
    mem_free(state);
    return list;
}

static void without_triggers(const struct vocab *v, const struct triggers *t, uint32_t n, uint32_t *bits)
{
    const struct vtrie *a = &v->all;
    uint32_t n_node, *node = dense_triggers(v, t, n, &n_node);
    for (uint32_t i = 0; i < n_node; i++)
        for (uint32_t k = a->first[node[i]]; k < a->first[a->skip[node[i]]]; k++)
            bits[a->list[k] / 32] &= ~(1u << (a->list[k] % 32));
    mem_free(node);
}

void dense_text(const struct matcher *m, const struct conf *c, uint32_t *bits)
{
    const struct vocab *v = m->v;
    const struct op *o = &m->g->op[c->ref];
    const struct triggers *t = o->kind == OP_TEXT ? &m->g->trig[o->a] : NULL;
    if (!t || t->any) {
        for (size_t i = 0; i < v->n_word; i++) bits[i] |= v->text_all[i];
        return;
    }
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    uint64_t key = mix64(mix64(mix64(0x7e87, t->hash), c->n), 1) | 1;
    if (!store_get(v->texts, key, own)) {
        memcpy(own, v->text_all, v->n_word * sizeof *own);
        without_triggers(v, t, c->n, own);
        store_put(v->texts, key, own, v->text_all);
    }
    for (size_t i = 0; i < v->n_word; i++) bits[i] |= own[i];
    mem_free(own);
}

/* ---- texts with an automaton ----------------------------------------------------------------- */

/* What leaves a state as it is: its run (regex.h), or where the automaton names none, the ASCII bytes that lead from it to
 * itself. */
struct stay {
    uint32_t state; bool utf8; uint32_t max; uint64_t run[2];
    bool led; uint64_t leads, strays;   /* led: asked for. Bytes from 0xC0 on all of whose code points lead back to the state,
                                         * and those of which that is not so */
};
enum { MOST_BASE = 4, N_STAY = 64 };
/* A state whose run has been swept: all tokens made of its bytes are taken already. */
struct base {
    uint64_t classes;                   /* of sweep.c: those that lie in the run as a whole */
    struct bytemap swept, exits;        /* bytes of these classes; bytes that leave the run alive */
    uint32_t most;                      /* code points of the run that are surely fine */
};
struct scan {
    const struct vocab *v;
    const struct strs *s;
    int esc;
    uint32_t *bits, len;                /* code points before */
    bool counts;                        /* lengths matter within the reach of a token */
    uint32_t grace;                     /* tokens of so few code points are taken already */
    uint32_t taken;                     /* texts that must not come, see dense_strs() */
    int32_t *doubt; uint32_t n_doubt, cap_doubt;
    struct base base[MOST_BASE]; int n_base;
    int8_t start, by_first[256];        /* base that holds from the beginning, or behind a first byte; -1: none */
    struct stay stay[N_STAY];           /* by state, the newest of each slot */
    uint8_t middle[64]; uint32_t n_middle;                            /* see middles_make() */
    uint32_t limit, *most; bool *cut;   /* bytes that may be left to do (NONE: nobody asks); the most that are; are some left out? */
};

static uint32_t room_of(const struct strs *s, uint32_t len) { return s->max == NONE ? NONE : s->max - MIN(len, s->max); }

static bool alive(const struct scan *w, uint32_t state, uint32_t len)
{
    return state != DFA_DEAD && (!w->counts || strs_alive(w->s, state, len));
}

/* As alive(), perhaps within an escape. */
static bool goes_on(const struct scan *w, const struct conf *c)
{
    struct strs free = *w->s;
    free.min = 0;
    free.max = NONE;
    return c->dfa != DFA_DEAD && strs_goes_on(w->esc, w->counts ? w->s : &free, c);
}

static bool within(const struct scan *w, uint32_t left)
{
    if (left > w->limit) { *w->cut = true; return false; }
    *w->most = MAX(*w->most, left);
    return true;
}

static bool ends_within(const struct scan *w, uint32_t state, int utf8, uint32_t len)
{
    if (w->limit == NONE) return true;
    struct conf c = { .dfa = state, .m = len, .lex = (uint16_t)(utf8 ? LEX_UTF8 + utf8 : LEX_NORMAL) };
    return within(w, strs_left(w->s, w->esc, &c));
}

static int wide_of(const uint64_t run[2])
{
    return __builtin_popcountll(run[0]) + __builtin_popcountll(run[1]);
}

static struct stay *stay_of(struct scan *w, uint32_t state)
{
    struct stay *k = &w->stay[state % N_STAY];
    if (k->state == state) return k;
    const struct dfa_state *q = dfa_state(w->s->dfa, state);
    *k = (struct stay){ .state = state, .utf8 = q->run_utf8, .max = q->run_max, .run = { q->run[0], q->run[1] } };
    for (uint32_t b = 0x20; b < 0x7f && !q->run_max; b++)
        if (dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) == state) k->run[b >> 6] |= 1ull << (b & 63);
    if (!q->run_max && (k->run[0] | k->run[1])) k->max = NONE;
    return k;
}

/* Bytes of the middle of a code point, one for each that the automaton and UTF-8 tell apart. */
static void middles_make(struct scan *w)
{
    const uint8_t *cls = w->s->cls;
    for (uint32_t b = 0x80; b < 0xc0; b++)
        if (b == 0x80 || b == 0x90 || b == 0xa0 || cls[b] != cls[b - 1]) w->middle[w->n_middle++] = (uint8_t)b;
}

/* Do all code points begun so lead back to a state? */
static bool leads_home(const struct scan *w, uint32_t home, uint32_t at, int utf8)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < w->n_middle; i++) {
        int next = utf8_dfa(utf8, w->middle[i]);
        if (next < 0) continue;
        uint32_t to = dfa_step(w->s->dfa, w->s->cls, at, w->middle[i]);
        if (to == DFA_DEAD || (!next && to != home)) return false;
        if (next && to != last && !leads_home(w, home, to, next)) return false;
        last = to;
    }
    return true;
}

/* Does each of these bytes, bit b for 0xC0 + b, begin code points that all lead back to the state? */
static bool leads_back(struct scan *w, struct stay *k, uint64_t leads)
{
    const uint8_t *cls = w->s->cls;
    if (!w->n_middle) middles_make(w);
    if (!k->led) {
        k->led = true;
        bool counts = k->max != NONE;   /* a run that counts is none to come home to */
        for (uint32_t b = 0x20; b < 0x80 && !counts; b++)
            counts = k->run[b >> 6] >> (b & 63) & 1 && dfa_step(w->s->dfa, cls, k->state, (uint8_t)b) != k->state;
        if (counts) k->strays = ~0ull;
    }
    for (uint64_t left = leads & ~k->leads; left; left = leads & ~k->leads) {
        if (leads & k->strays) return false;
        uint32_t b = 0xc0 + (uint32_t)__builtin_ctzll(left), end = b + 1;
        int utf8 = utf8_dfa(0, (uint8_t)b);
        uint32_t to = utf8 > 0 ? dfa_step(w->s->dfa, cls, k->state, (uint8_t)b) : DFA_DEAD;
        bool home = to != DFA_DEAD && leads_home(w, k->state, to, utf8);
        while (end < 0x100 && cls[end] == cls[b] && utf8_dfa(0, (uint8_t)end) == utf8) end++;
        for (uint32_t i = b; i < end; i++) *(home ? &k->leads : &k->strays) |= 1ull << (i - 0xc0);
    }
    return true;
}

/* How far the run of a state reaches when `len` code points lie before it. */
static uint32_t run_reach(const struct scan *w, const struct stay *k, uint32_t len)
{
    if (!k->max || (!k->utf8 && wide_of(k->run) < 8)) return 0;
    if (!w->counts) return k->max;
    const struct dfa_lens *q = dfa_lens(w->s->dfa, k->state);
    if (!q->every) return 0;           /* which lengths can be met must be asked state by state */
    uint32_t room = room_of(w->s, len);
    if (room == NONE) return k->max;
    return room < q->min ? 0 : MIN(k->max, room - q->min);
}

enum { THICK = 3 };
/* Surely more texts lead on from a state than are taken: as many as its run can spell in a few letters. */
static bool is_thick(const struct scan *w, uint32_t state)
{
    const struct dfa_state *q = dfa_state(w->s->dfa, state);
    uint64_t wide = (uint64_t)wide_of(q->run), n = 1;
    for (uint32_t i = 0; i < MIN(q->run_max, (uint32_t)THICK); i++) n *= wide;
    return dfa_lens(w->s->dfa, state)->max == NONE || n > w->taken;
}

/* The run of a state as a base; false: it has none that is worth a sweep. */
static bool base_make(struct scan *w, struct base *k, uint32_t state, uint32_t len)
{
    const struct stay *stay = stay_of(w, state);
    *k = (struct base){ 0 };
    k->most = run_reach(w, stay, len);
    bool limited = w->limit != NONE;
    const struct dfa_lens *lens = w->taken || limited ? dfa_lens(w->s->dfa, state) : NULL;
    if (w->taken && lens->max != NONE) k->most = k->most > THICK && is_thick(w, state) ? k->most - THICK : 0;
    /* no letter of a run makes the way to the end longer, but which lengths fit may */
    if (!k->most || (limited && (w->counts || lens->shortest > w->limit))) return false;
    if (limited) *w->most = MAX(*w->most, lens->shortest);
    /* under a limit code points of more bytes leave the run: half of one asks for the rest */
    k->classes = sweep_classes(stay->run, stay->utf8 && !limited, &k->swept);
    for (uint32_t b = 0x20; b < 256; b++)
        if (byte_is_bare(b) && !bytemap_has(&k->swept, (uint8_t)b) && dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) != DFA_DEAD)
            bytemap_add(&k->exits, (uint8_t)b);
    return k->classes != 0;
}

/* Tokens of nothing but the base's classes, beginning with one of `first`, of at most `most` code points. */
static void take_runs(const struct scan *w, const struct base *k, uint64_t first, uint32_t most)
{
    const struct vocab *v = w->v;
    const struct strclass *c = &v->str[w->esc];
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    sweep_tokens(v->sig, v->sig_first, ~k->classes, first, own, v->n_word);
    for (uint32_t i = most < c->n_len ? c->len_end[most] : c->len_end[c->n_len - 1]; i < c->len_end[c->n_len - 1]; i++)
        own[c->by_len[i] / 32] &= ~(1u << (c->by_len[i] % 32));
    for (size_t i = 0; i < v->n_word; i++) w->bits[i] |= own[i] & c->all[i];
    mem_free(own);
}

/* Where the first state does not run on itself (`[A-Z][a-z]*`, `[a-z]+`): its successors may. */
static void bases_behind(struct scan *w, uint32_t state)
{
    for (uint32_t b = 0x20; b < 128 && w->n_base < MOST_BASE; b++) {
        uint32_t to = byte_is_bare(b) ? dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) : DFA_DEAD;
        if (to == DFA_DEAD || w->by_first[b] >= 0 || !alive(w, to, w->len + 1)) continue;
        struct base *k = &w->base[w->n_base];
        if (!base_make(w, k, to, w->len + 1)) continue;
        struct bytemap first = { 0 };
        int n = 0;
        for (uint32_t f = b; f < 128; f++)
            if (byte_is_bare(f) && bytemap_has(&k->swept, (uint8_t)f) && dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)f) == to) {
                bytemap_add(&first, (uint8_t)f);
                n++;
            }
        if (n < 4) continue;
        struct bytemap whole;
        uint64_t classes = sweep_classes(first.w, false, &whole);
        for (uint32_t f = 0; f < 128; f++)
            if (bytemap_has(&whole, (uint8_t)f)) w->by_first[f] = (int8_t)w->n_base;
        take_runs(w, k, classes, k->most == NONE ? NONE : k->most + 1);
        w->n_base++;
    }
}

/* One depth of the walk: the automaton's state, code points, place inside of a code point, the base it is still in. */
struct step { const struct dfa_state *q; uint32_t state, len; int16_t utf8; int8_t base; };

/* One byte further; false: no token goes on so. */
static inline bool advance(const struct scan *w, const uint8_t *cls, const struct step *up, struct step *own, uint8_t b, bool first)
{
    if (!byte_is_bare(b)) return false;
    uint32_t to = __atomic_load_n(&up->q->row[cls[b]], __ATOMIC_ACQUIRE);
    if (to == UINT32_MAX) to = dfa_fill(w->s->dfa, up->state, b);
    if (to == DFA_DEAD) return false;
    int utf8 = b < 0x80 && !up->utf8 ? 0 : utf8_dfa(up->utf8, b);
    if (utf8 < 0) return false;
    own->state = to;
    own->q = to == up->state ? up->q : dfa_state(w->s->dfa, to);
    own->len = up->len + ((b & 0xc0) != 0x80);
    own->utf8 = (int16_t)utf8;
    if (first && w->start < 0) own->base = w->by_first[b];
    else own->base = up->base >= 0 && bytemap_has(&w->base[up->base].swept, b) ? up->base : -1;
    return !w->counts || strs_alive(w->s, to, own->len);
}

/* Below a node whatever comes keeps the text alive: all content is taken. */
static void take_all_below(const struct scan *w, uint32_t node)
{
    const struct vocab *v = w->v;
    const struct vtrie *t = &v->all;
    for (uint32_t k = t->first[node]; k < t->first[t->skip[node]]; k++)
        if (v->plain_from[t->list[k]] <= t->depth[node]) bit_set(w->bits, t->list[k]);
}

static void doubt(struct scan *w, int32_t token)
{
    for (; token >= 0; token = w->v->same[token]) {
        MEM_GROW(w->doubt, w->n_doubt, w->cap_doubt);
        w->doubt[w->n_doubt++] = token;
    }
}

/* Whatever lies below a node leads on: its bytes are all of the run of the state that is reached there, or will be when the
 * code point that the node begins is whole. */
static bool runs_below(struct scan *w, const struct step *own, uint32_t node)
{
    const struct vtrie *t = &w->v->all;
    const struct step *home = own->utf8 ? own - 1 : own;
    if (home->utf8 || w->taken || w->limit != NONE || t->skip[node] == node + 1) return false;
    struct stay *k = stay_of(w, home->state);
    const uint64_t *below = t->below[node].w, *run = k->run;
    /* quotes, backslashes and controls are no content: what has them is not taken here; code points are looked at below */
    const uint64_t other[2] = { 0xffffffffull | 1ull << '"', 1ull << ('\\' - 64) };
    if (below[0] & ~(run[0] | other[0]) || below[1] & ~(run[1] | other[1])) return false;
    uint64_t leads = t->leads[node] | (own->utf8 ? 1ull << (t->byte[node] - 0xc0) : 0);
    uint32_t most = run_reach(w, k, own->len);
    if (!most || (most != NONE && (t->tall[node] >= 255 || t->tall[node] > most))) return false;
    return k->utf8 || !leads || leads_back(w, k, leads);
}

/* Walks the trie; below a node that is still in a base and that no exit lies under, all is taken already. */
static void walk(struct scan *w, uint32_t state)
{
    const struct vocab *v = w->v;
    const struct vtrie *t = &v->all;
    const uint8_t *cls = w->s->cls;
    struct step *at = mem_alloc((size_t)(v->max_len + 2) * sizeof *at);
    at[0] = (struct step){ dfa_state(w->s->dfa, state), state, w->len, 0, w->start };
    for (uint32_t i = 0; i < t->n;) {
        uint32_t d = t->depth[i];
        struct step *own = &at[d];
        if (!advance(w, cls, own - 1, own, t->byte[i], d == 1)) { i = t->skip[i]; continue; }
        if (t->token[i] >= 0 && w->taken && !is_thick(w, own->state)) doubt(w, t->token[i]);
        else if (t->token[i] >= 0 && ends_within(w, own->state, own->utf8, own->len)) bit_same(v, w->bits, t->token[i]);
        bool skip = t->tall[i] < 255 && own->len - w->len + t->tall[i] <= w->grace;
        if (!skip && own->base >= 0 && !bytemap_meets(&t->below[i], &w->base[own->base].exits)) {
            uint32_t most = w->base[own->base].most;
            skip = most == NONE || (t->tall[i] < 255 && t->tall[i] <= most);
        }
        if (!skip && ((own->q->total && !w->counts && !own->utf8 && w->limit == NONE) || runs_below(w, own, i))) {
            take_all_below(w, i);
            skip = true;
        }
        i = skip ? t->skip[i] : i + 1;
    }
    mem_free(at);
}

/* Content tokens with a backslash, one by one. */
static void take_escaped(struct scan *w, uint32_t state)
{
    const struct strclass *k = &w->v->str[w->esc];
    for (uint32_t i = 0; i < k->n_escaped; i++) {
        struct bytes b = w->v->bytes[k->escaped[i]];
        struct conf c = { .dfa = state, .m = w->len, .surf = w->esc == ESC_PYTHON ? SURF_PYTHON : SURF_JSON };
        bool ok = true;
        for (size_t j = 0; j < b.len && ok; j++) {
            uint8_t out[4];
            int n_out;
            enum lex_result r = lex_step(&c.lex, &c.part, w->esc, false, (uint8_t)b.p[j], out, &n_out);
            c.m += r == LEX_BEGIN;
            ok = c.m <= w->s->max;
            for (int n = 0; n < n_out && ok; n++) ok = (c.dfa = dfa_step(w->s->dfa, w->s->cls, c.dfa, out[n])) != DFA_DEAD;
            if (c.lex == LEX_NORMAL) c.part = 0;
            ok = ok && goes_on(w, &c);
        }
        if (ok && (w->limit == NONE || within(w, strs_left(w->s, w->esc, &c)))) bit_set(w->bits, k->escaped[i]);
    }
}

/* Tokens too short to fail. */
static void take_short(struct scan *w, uint32_t state)
{
    const struct strclass *k = &w->v->str[w->esc];
    w->grace = w->counts || w->taken || w->limit != NONE ? 0 : dfa_grace(w->s->dfa, state);
    if (!w->grace) return;
    vocab_str_mask(w->v, w->esc, w->grace, w->bits);
    for (uint32_t i = 0; i < k->n_escaped; i++) w->bits[k->escaped[i] / 32] &= ~(1u << (k->escaped[i] % 32));
}

static void sweep(struct scan *w, uint32_t state)
{
    take_short(w, state);
    w->start = -1;
    memset(w->by_first, -1, sizeof w->by_first);
    /* a run of one letter (`[a-z]+`) says little: the one behind it says all */
    if (base_make(w, &w->base[0], state, w->len) && w->base[0].most > 1) {
        w->start = 0;
        w->n_base = 1;
        take_runs(w, &w->base[0], ~0ull, w->base[0].most);
    } else bases_behind(w, state);
    walk(w, state);
    take_escaped(w, state);
}

void dense_strs(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t *bits)
{
    uint32_t room = room_of(s, len), reach = (uint32_t)v->max_len + 1;
    if (!s->dfa) { vocab_str_mask(v, esc, room, bits); return; }
    const struct dfa_state *q = dfa_state(s->dfa, state);
    struct scan w = { .v = v, .s = s, .esc = esc, .len = len, .counts = s->max != NONE || s->min > len, .limit = NONE };
    if (q->total && !w.counts) { vocab_str_mask(v, esc, NONE, bits); return; }
    /* far from both ends of the lengths only the automaton decides */
    uint32_t worst = w.counts && s->min <= len ? dfa_worst(s->dfa) : NONE;
    if (worst != NONE && room >= cost_add(worst, reach)) w.counts = false;
    uint64_t key = mix64(mix64(mix64(0x5a17, dfa_id(s->dfa)), state), (uint64_t)esc << 1 | w.counts);
    if (w.counts) key = mix64(key, (uint64_t)room << 32 | (s->min > len ? s->min - len : 0));
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    if (!store_get(v->texts, key | 1, own)) {
        memset(own, 0, v->n_word * sizeof *own);
        w.bits = own;
        sweep(&w, state);
        store_put(v->texts, key | 1, own, v->str[esc].all);
    }
    for (size_t i = 0; i < v->n_word; i++) bits[i] |= own[i];
    mem_free(own);
}

int32_t *dense_strs_but(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t taken,
                        uint32_t *bits, uint32_t *n_doubt)
{
    struct scan w = { .v = v, .s = s, .esc = esc, .bits = bits, .len = len, .counts = s->max != NONE || s->min > len,
                      .limit = NONE, .taken = taken };
    sweep(&w, state);
    *n_doubt = w.n_doubt;
    return w.doubt;
}

bool dense_strs_within(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t limit,
                       uint32_t *bits, uint32_t *most)
{
    uint32_t worst = strs_worst(s, len);
    bool cut = false;
    if (worst <= limit) {
        dense_strs(v, s, state, len, esc, bits);
        *most = MAX(*most, worst);
        return false;
    }
    struct scan w = { .v = v, .s = s, .esc = esc, .bits = bits, .len = len,
                      .counts = s->max != NONE || s->min > len, .limit = limit, .most = most, .cut = &cut };
    sweep(&w, state);
    return cut;
}
