/* stretch_mask.c -- the tokens that may come in a stretch: free text, a run of code points, a pattern.
 *
 * Most tokens stay inside of the stretch, and there one configuration is stepped along the vocabulary
 * trie without sets, frames or copies. Where the stretch dies (a trigger is complete, a quote is not in
 * the class), or where staying inside would cost too much, the subtree is walked by the whole automaton:
 * the token may hold the end of the stretch and the beginning of what follows. */
#include "grammar/int.h"

struct inside {
    struct matcher *m;
    uint32_t *bits, most;
    void (*refused)(void *ctx, int32_t token); void *ctx;
    struct conf *at;                                    /* [depth] inside of the stretch */
    uint8_t *byte;                                      /* [depth] the path */
};

static void allow(struct inside *w, int32_t token)
{
    for (int32_t t = token; t >= 0; t = w->m->v->same[t]) w->bits[t / 32] |= 1u << (t % 32);
}

/* The subtree of node i, from the configuration before the first byte of the path. Returns the node behind it. */
static uint32_t crossing(struct inside *w, uint32_t i)
{
    struct matcher *m = w->m;
    const struct vtrie *t = &m->v->all;
    uint32_t end = t->skip[i], top = t->depth[i], from = m->n_conf, n = 1;
    struct mark before = matcher_mark(m);
    if (!m->level) m->level = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *m->level);
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = w->at[0];
    for (uint32_t d = 1; d < top && n; d++) {
        n = set_step(m, from, n, w->byte[d]);
        from = m->set0;
    }
    m->level[top - 1] = (struct level){ from, n, matcher_mark(m) };
    while (i < end && n) {
        uint32_t d = t->depth[i];
        struct level up = m->level[d - 1];
        matcher_reset(m, up.mark);
        uint32_t k = set_step(m, up.from, up.n, t->byte[i]);
        if (!k) { i = t->skip[i]; continue; }
        m->level[d] = (struct level){ m->set0, k, matcher_mark(m) };
        if (t->token[i] >= 0) {
            if (w->most < COST_MAX && set_cost(m, m->set0, k) > w->most)
                w->refused(w->ctx, t->token[i]);
            else allow(w, t->token[i]);
        }
        i++;
    }
    matcher_reset(m, before);
    return end;
}

void stretch_mask(struct matcher *m, const struct conf *c, uint32_t *bits, uint32_t most,
                  void (*refused)(void *ctx, int32_t token), void *ctx)
{
    const struct vtrie *t = &m->v->all;
    size_t deep = (size_t)m->v->max_len + 2;
    struct inside w = {
        m, bits, most, refused, ctx, mem_alloc(deep * sizeof *w.at), mem_alloc(deep)
    };
    uint32_t rest = most < COST_MAX ? conf_cost(m, c) - stretch_cost(m->g, c) : 0;
    w.at[0] = *c;
    for (uint32_t i = 0; i < t->n; ) {
        uint32_t d = t->depth[i];
        w.byte[d] = t->byte[i];
        w.at[d] = w.at[d - 1];
        bool alive = stretch_step(m->g, &w.at[d], t->byte[i]) != 0;
        if (!alive || (most < COST_MAX && cost_add(stretch_cost(m->g, &w.at[d]), rest) > most)) {
            i = crossing(&w, i);
            continue;
        }
        if (t->token[i] >= 0) allow(&w, t->token[i]);
        i++;
    }
    mem_free(w.at);
    mem_free(w.byte);
}
