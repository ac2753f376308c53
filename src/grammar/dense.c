/* dense.c -- places where most tokens are allowed, without walking most of the vocabulary.
 *
 * Free text and plain strings have ready masks. A text with an automaton (pattern, format) is taken
 * in two steps: where the state runs on over a set of bytes (a class that repeats), all tokens made
 * of nothing else are found by one sweep over their byte sets (sweep.c); then the trie is walked, and a
 * subtree is left out as soon as no byte in it can leave the run. What is left is proportional to the exits.
 * Masks of states of one automaton are the same in every grammar, so they are remembered by the
 * automaton's number, not the grammar's. */
#include "grammar/dense.h"

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }

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
        words_join(bits, v->text_all, v->n_word);
        return;
    }
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    uint64_t key = mix64(mix64(mix64(0x7e87, t->hash), c->n), 1) | 1;
    if (!store_get(v->texts, key, own)) {
        memcpy(own, v->text_all, v->n_word * sizeof *own);
        without_triggers(v, t, c->n, own);
        store_put(v->texts, key, own, v->text_all);
    }
    words_join(bits, own, v->n_word);
    mem_free(own);
}

/* ---- texts with an automaton ----------------------------------------------------------------- */

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

/* A run that counts to a fixed number: none of its letters can come behind the last one (`[a-z]{8}`). */
static bool run_ends(const struct scan *w, uint32_t state, const struct stay *stay)
{
    enum { LONG = 64 };
    uint32_t b = 0x20;
    while (b < 0x7f && !(stay->run[b >> 6] >> (b & 63) & 1 && byte_is_bare(b))) b++;
    if (stay->utf8 || stay->max > LONG || b == 0x7f) return false;
    for (uint32_t i = 0; i < stay->max; i++) state = dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b);
    for (b = 0x20; b < 0x80; b++)
        if (stay->run[b >> 6] >> (b & 63) & 1 && byte_is_bare(b) && dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) != DFA_DEAD) return false;
    return true;
}

/* The run of a state as a base; false: it has none that is worth a sweep. */
static bool base_make(struct scan *w, struct base *k, uint32_t state, uint32_t len)
{
    uint32_t place = place_of(w, state, 0);
    *k = (struct base){ .most = run_reach(w, place, len) };
    const struct stay *stay = place_stay(w, place);
    k->exact = stay->max == NONE && !w->taken;
    bool limited = w->limit != NONE;
    const struct dfa_lens *lens = w->taken || limited ? dfa_lens(w->s->dfa, state) : NULL;
    if (w->taken && lens->max != NONE) k->most = k->most > THICK && is_thick(w, place) ? k->most - THICK : 0;
    /* no letter of a run makes the way to the end longer, but which lengths fit may */
    if (!k->most || (limited && (w->counts || lens->shortest > w->limit))) return false;
    if (limited) *w->most = MAX(*w->most, lens->shortest);
    /* under a limit code points of more bytes leave the run: half of one asks for the rest */
    k->classes = sweep_classes(stay->run, stay->utf8 && !limited, &k->swept);
    bool ends = !k->exact && !limited && !w->taken && k->most == stay->max && run_ends(w, state, stay);
    k->exact |= ends;                   /* then only letters of the run are sure to be of no use */
    for (uint32_t b = 0x20; b < 256; b++)
        if (byte_is_bare(b) && !bytemap_has(&k->swept, (uint8_t)b) && (ends || dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) != DFA_DEAD))
            bytemap_add(&k->exits, (uint8_t)b);
    return k->classes != 0;
}

/* Tokens of nothing but these classes of bytes, beginning with one of `first`: the runs of different automata are often the
 * same. */
static void swept(const struct vocab *v, uint64_t classes, uint64_t first, uint32_t *bits, const uint32_t *content)
{
    uint64_t key = mix64(mix64(0x53ee, classes), first) | 1;
    if (store_get(v->texts, key, bits)) return;
    sweep_tokens(v->sig, v->sig_first, ~classes, first, bits, v->n_word);
    store_put(v->texts, key, bits, content);
}

/* Tokens of nothing but the base's classes, beginning with one of `first`, of at most `most` code points. */
static void take_runs(const struct scan *w, const struct base *k, uint64_t first, uint32_t most)
{
    const struct vocab *v = w->v;
    const struct strclass *c = &v->str[w->esc];
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    swept(v, k->classes, first, own, c->all);
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

/* The rest of a token from a backslash on. */
static bool escape_lives(const struct scan *w, struct conf *c, struct bytes b)
{
    for (size_t j = 0; j < b.len; j++) {
        uint8_t out[4];
        int n_out;
        c->m += lex_step(&c->lex, &c->part, w->esc, false, (uint8_t)b.p[j], out, &n_out) == LEX_BEGIN;
        if (c->m > w->s->max) return false;
        for (int n = 0; n < n_out; n++)
            if ((c->dfa = dfa_step(w->s->dfa, w->s->cls, c->dfa, out[n])) == DFA_DEAD) return false;
        if (c->lex == LEX_NORMAL) c->part = 0;
        if (!goes_on(w, c)) return false;
    }
    return true;
}

/* Content tokens with a backslash, one by one: what stands before it is looked up, and so is whether it can live at all. */
static void take_escaped(struct scan *w)
{
    enum { UNKNOWN, LIVES, DIES };
    const struct strclass *k = &w->v->str[w->esc];
    uint8_t surf = w->esc == ESC_PYTHON ? SURF_PYTHON : SURF_JSON;
    for (uint32_t i = 0; i < k->n_escaped; i++) {
        struct bytes b = w->v->bytes[k->escaped[i]];
        uint32_t at = w->first, len = w->len;
        size_t j = 0;
        for (; b.p[j] != '\\' && at && (!w->counts || place_fits(w, at, len)); j++) {
            at = place_step(w, at, (uint8_t)b.p[j]);
            len += (b.p[j] & 0xc0) != 0x80;
        }
        if (!at || b.p[j] != '\\' || (!w->counts && w->place[at].escape == DIES)) continue;
        struct conf c = { .dfa = w->place[at].state, .m = len, .surf = surf };
        if (!w->counts && w->place[at].escape == UNKNOWN) {
            struct conf begun = c;
            w->place[at].escape = escape_lives(w, &begun, (struct bytes){ b.p + j, 1 }) ? LIVES : DIES;
        }
        if (escape_lives(w, &c, (struct bytes){ b.p + j, b.len - j }) && (w->limit == NONE || within(w, strs_left(w->s, w->esc, &c))))
            bit_set(w->bits, k->escaped[i]);
    }
}

/* Code points after which nothing can have failed, whichever they are. */
static uint32_t grace_of(const struct scan *w, uint32_t state)
{
    if (w->taken || w->limit != NONE) return 0;
    if (!w->counts) return dfa_grace(w->s->dfa, state);
    const struct dfa_state *q = dfa_state(w->s->dfa, state);
    uint32_t room = q->total ? room_of(w->s, w->len) : 0;
    return room == NONE ? NONE : room - MIN(room, q->far);
}

/* Tokens too short to fail. */
static void take_short(struct scan *w, uint32_t state)
{
    const struct strclass *k = &w->v->str[w->esc];
    w->grace = grace_of(w, state);
    if (!w->grace) return;
    vocab_str_mask(w->v, w->esc, w->grace, w->bits);
    for (uint32_t i = 0; i < k->n_escaped; i++) w->bits[k->escaped[i] / 32] &= ~(1u << (k->escaped[i] % 32));
}

/* So few tokens begin with a byte that may come that walking them costs less than a look at all of the vocabulary. */
static bool is_sparse(struct scan *w)
{
    enum { SPARSE = 32 };               /* of so many tokens less than one */
    const struct vtrie *t = w->t;
    uint32_t lives = 0, few = t->first[t->n] / SPARSE;
    for (uint32_t i = 0; i < t->n && lives < few; i = t->skip[i])
        if (place_step(w, w->first, t->byte[i])) lives += t->first[t->skip[i]] - t->first[i];
    return lives < few;
}

static void sweep(struct scan *w, uint32_t state)
{
    places_open(w);
    w->coarse = coarse_get(w->v, w->kind, 0);
    w->t = w->coarse ? coarse_trie(w->coarse) : &w->v->all;
    w->first = place_of(w, state, 0);
    w->start = -1;
    memset(w->by_first, -1, sizeof w->by_first);
    /* few nodes are gone through faster than all tokens are looked at */
    if (!w->coarse && !is_sparse(w)) {
        take_short(w, state);
        /* a run of one letter (`[a-z]+`) says little: the one behind it says all */
        if (base_make(w, &w->base[0], state, w->len) && w->base[0].most > 1) {
            w->start = 0;
            w->n_base = 1;
            take_runs(w, &w->base[0], ~0ull, w->base[0].most);
        } else bases_behind(w, state);
    }
    trie_walk(w);
    take_escaped(w);
    coarse_put(w->v, w->coarse);
    places_close(w);
}

void dense_strs(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t *bits)
{
    uint32_t room = room_of(s, len), reach = (uint32_t)v->max_len + 1;
    if (!s->dfa) { vocab_str_mask(v, esc, room, bits); return; }
    const struct dfa_state *q = dfa_state(s->dfa, state);
    struct scan w = { .v = v, .s = s, .esc = esc, .len = len, .counts = s->max != NONE || s->min > len, .limit = NONE };
    if (q->total && (!w.counts || !q->far)) { vocab_str_mask(v, esc, room, bits); return; }
    /* far from both ends of the lengths only the automaton decides */
    uint32_t worst = w.counts && s->min <= len ? dfa_worst(s->dfa) : NONE;
    if (worst != NONE && room >= cost_add(worst, reach)) w.counts = false;
    uint64_t key = mix64(mix64(mix64(0x5a17, dfa_id(s->dfa)), state), (uint64_t)esc << 1 | w.counts);
    if (w.counts) key = mix64(key, (uint64_t)room << 32 | (s->min > len ? s->min - len : 0));
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    if (!store_get(v->texts, key | 1, own)) {
        memset(own, 0, v->n_word * sizeof *own);
        w.bits = own;
        w.alone = true;
        sweep(&w, state);
        store_put(v->texts, key | 1, own, v->str[esc].all);
    }
    words_join(bits, own, v->n_word);
    mem_free(own);
}

int32_t *dense_strs_but(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t taken,
                        bool counted, uint32_t *bits, uint32_t *n_doubt)
{
    struct scan w = { .v = v, .s = s, .esc = esc, .bits = bits, .len = len, .counts = s->max != NONE || s->min > len,
                      .limit = NONE, .taken = taken, .counted = counted };
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
