/* dense.c -- places where most tokens are allowed, without walking most of the vocabulary.
 *
 * Free text and plain strings have ready masks. A text with an automaton (pattern, format) is taken
 * in two steps: where the state runs on over a set of bytes (a class that repeats), all tokens made
 * of nothing else are found by one sweep over their byte sets; then the trie is walked, and a subtree
 * is left out as soon as no byte in it can leave the run. What is left is proportional to the exits.
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
    if (!store_get(v->store, key, own)) {
        memcpy(own, v->text_all, v->n_word * sizeof *own);
        without_triggers(v, t, c->n, own);
        store_put(v->store, key, own, v->text_all);
    }
    for (size_t i = 0; i < v->n_word; i++) bits[i] |= own[i];
    mem_free(own);
}

/* ---- texts with an automaton ----------------------------------------------------------------- */

struct scan {
    const struct vocab *v;
    const struct strs *s;
    int esc;
    uint32_t *bits, len;                /* code points before */
    bool counts;                        /* lengths matter within the reach of a token */
    const struct dfa_state *at;         /* the state to begin with */
    uint32_t run_most;                  /* code points of the run that are surely fine; 0: no run */
    struct bytemap exits;               /* bytes that may leave the run alive */
};

static uint32_t room_of(const struct strs *s, uint32_t len) { return s->max == NONE ? NONE : s->max - MIN(len, s->max); }

static bool alive(const struct scan *w, uint32_t state, uint32_t len)
{
    return state != DFA_DEAD && (!w->counts || strs_alive(w->s, state, len));
}

/* How far the run of the first state reaches, whatever the lengths allow. */
static uint32_t run_reach(const struct scan *w)
{
    const struct dfa_state *q = w->at;
    uint32_t n = q->run_max;
    int wide = __builtin_popcountll(q->run[0]) + __builtin_popcountll(q->run[1]);
    if (!n || (wide < 8 && !q->run_utf8)) return 0;
    if (!w->counts) return n;
    if (!q->every_len) return 0;        /* which lengths can be met must be asked state by state */
    uint32_t room = room_of(w->s, w->len);
    if (room == NONE) return n;
    return room < q->min_len ? 0 : MIN(n, room - q->min_len);
}

static bool content(uint32_t b) { return b >= 0x20 && b != '"' && b != '\\'; }

static bool in_run(const struct dfa_state *q, uint8_t b)
{
    return b < 128 ? q->run[b >> 6] >> (b & 63) & 1 : q->run_utf8;
}

static struct bytemap exits_of(const struct scan *w, uint32_t state)
{
    struct bytemap out = { 0 };
    for (uint32_t b = 0x20; b < 256; b++)
        if (content(b) && !in_run(w->at, (uint8_t)b) && dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) != DFA_DEAD)
            bytemap_add(&out, (uint8_t)b);
    return out;
}

/* One sweep: tokens made of nothing but bytes of the run. */
static void take_runs(const struct scan *w)
{
    const struct vocab *v = w->v;
    const int16_t *len = v->str[w->esc].len;
    uint64_t out0 = ~w->at->run[0], out1 = ~w->at->run[1];
    uint8_t high = !w->at->run_utf8;
    int most = w->run_most > INT16_MAX ? INT16_MAX : (int)w->run_most;
    for (size_t i = 0; i < v->n_word; i++) {
        uint32_t word = 0;
        int n = MIN(32, v->n_vocab - (int)i * 32);
        for (int k = 0; k < n; k++) {
            size_t t = i * 32 + (size_t)k;
            uint32_t ok = ((v->sig[t][0] & out0) | (v->sig[t][1] & out1)) == 0;
            ok &= !(v->sig_high[t] & high) & (len[t] > 0) & (len[t] <= most);
            word |= ok << k;
        }
        w->bits[i] |= word;
    }
}

/* Walks the trie; below a node that is still in the run and that no exit lies under, all is taken already. */
static void walk(const struct scan *w, uint32_t state)
{
    const struct vocab *v = w->v;
    const struct vtrie *t = &v->all;
    struct step { uint32_t state, len; int16_t utf8; bool run; } *at = mem_alloc((size_t)(v->max_len + 2) * sizeof *at);
    at[0] = (struct step){ state, w->len, 0, w->run_most > 0 };
    for (uint32_t i = 0; i < t->n;) {
        const struct step *up = &at[t->depth[i] - 1];
        struct step *own = &at[t->depth[i]];
        uint8_t b = t->byte[i];
        int utf8 = b < 0x80 && !up->utf8 ? 0 : utf8_dfa(up->utf8, b);
        uint32_t to = !content(b) || utf8 < 0 ? DFA_DEAD : dfa_step(w->s->dfa, w->s->cls, up->state, b);
        uint32_t len = up->len + ((b & 0xc0) != 0x80);
        if (!alive(w, to, len)) { i = t->skip[i]; continue; }
        *own = (struct step){ to, len, (int16_t)utf8, up->run && in_run(w->at, b) };
        if (t->token[i] >= 0) bit_same(v, w->bits, t->token[i]);
        bool reach = t->tall[i] < 255 && t->tall[i] <= w->run_most;
        i = own->run && reach && !bytemap_meets(&t->below[i], &w->exits) ? t->skip[i] : i + 1;
    }
    mem_free(at);
}

/* Content tokens with a backslash, one by one. */
static void take_escaped(const struct scan *w, uint32_t state)
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
            ok = ok && alive(w, c.dfa, c.m) && strs_escapes(w->esc, w->s, &c);
        }
        if (ok) bit_set(w->bits, k->escaped[i]);
    }
}

static void sweep(struct scan *w, uint32_t state)
{
    w->run_most = run_reach(w);
    if (w->run_most) {
        w->exits = exits_of(w, state);
        take_runs(w);
    }
    walk(w, state);
    take_escaped(w, state);
}

void dense_strs(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t *bits)
{
    uint32_t room = room_of(s, len), reach = (uint32_t)v->max_len + 1;
    if (!s->dfa) { vocab_str_mask(v, esc, room, bits); return; }
    const struct dfa_state *q = dfa_state(s->dfa, state);
    struct scan w = { .v = v, .s = s, .esc = esc, .len = len, .at = q, .counts = s->max != NONE || s->min > len };
    if (q->total && !w.counts) { vocab_str_mask(v, esc, NONE, bits); return; }
    /* far from both ends of the lengths only the automaton decides */
    uint32_t worst = dfa_worst(s->dfa);
    if (w.counts && s->min <= len && worst != NONE && room >= cost_add(worst, reach)) w.counts = false;
    uint64_t key = mix64(mix64(mix64(0x5a17, dfa_id(s->dfa)), state), (uint64_t)esc << 1 | w.counts);
    if (w.counts) key = mix64(key, (uint64_t)room << 32 | (s->min > len ? s->min - len : 0));
    uint32_t *own = mem_alloc(v->n_word * sizeof *own);
    if (!store_get(v->store, key | 1, own)) {
        memset(own, 0, v->n_word * sizeof *own);
        w.bits = own;
        sweep(&w, state);
        store_put(v->store, key | 1, own, v->str[esc].all);
    }
    for (size_t i = 0; i < v->n_word; i++) bits[i] |= own[i];
    mem_free(own);
}
