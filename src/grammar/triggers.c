/* triggers.c -- Aho and Corasick's automaton over the texts that free text must not contain.
 *
 * A complete table of transitions, so that a byte of text costs one look. Two sets of triggers are
 * refused because a text under way could get stuck: one that forbids every way to finish some code
 * point, and, where a text must have a least length, one that leaves no ASCII letter to go on with. */
#include "grammar/envelope.h"

void watch_open(struct watch *w)
{
    w->cap = 16;
    w->t = (struct triggers){ .n_state = 1,
                              .next = mem_zero(w->cap * sizeof *w->t.next),
                              .max = NONE };
}

/* Plain trie so far. */
bool watch_add(struct reader *r, struct watch *w, const char *p, size_t len)
{
    struct triggers *t = &w->t;
    uint32_t at = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t b = (uint8_t)p[i];
        if (i + 1 == len) { t->next[at][b] = UINT16_MAX; return true; }
        if (t->next[at][b] == UINT16_MAX) return true;  /* a shorter trigger wins */
        if (!t->next[at][b]) {
            if (t->n_state >= MOST_TRIGGER)
                return read_fail(r, "triggers of more than 4096 bytes"), false;
            if (t->n_state == w->cap) {
                w->cap *= 2;
                t->next = mem_resize(t->next, w->cap * sizeof *t->next);
            }
            memset(t->next[t->n_state], 0, sizeof *t->next);
            t->next[at][b] = (uint16_t)t->n_state++;
        }
        at = t->next[at][b];
    }
    return true;
}

/* Completes the transitions breadth first through failure links. */
static void complete(struct triggers *t)
{
    uint16_t *queue = mem_alloc((t->n_state + 1) * sizeof *queue),
             *link = mem_zero((t->n_state + 1) * sizeof *link);
    uint32_t head = 0, tail = 0;
    for (int b = 0; b < 256; b++)
        if (t->next[0][b] && t->next[0][b] != UINT16_MAX) queue[tail++] = t->next[0][b];
    while (head < tail) {
        uint16_t s = queue[head++];
        for (int b = 0; b < 256; b++) {
            uint16_t to = t->next[s][b], other = t->next[link[s]][b];
            if (to == UINT16_MAX) continue;
            if (other == UINT16_MAX || !to) t->next[s][b] = other;
            else { link[to] = other; queue[tail++] = to; }
        }
    }
    mem_free(queue);
    mem_free(link);
}

/* Can the code point begun (a state of utf8_dfa) be finished from state s? */
static bool finishes(const struct triggers *t, uint32_t s, int utf8)
{
    for (int b = 0x80; b < 0xc0; b++) {
        int to = utf8_dfa(utf8, (uint8_t)b);
        if (to < 0 || t->next[s][b] == UINT16_MAX) continue;
        if (!to || finishes(t, t->next[s][b], to)) return true;
    }
    return false;
}

static bool never_stuck(struct reader *r, const struct triggers *t)
{
    for (uint32_t s = 0; s < t->n_state; s++) {
        for (int u = 1; u < 8; u++)
            if (!finishes(t, s, u)) {
                read_fail(r, "these triggers forbid every code point that begins with some byte");
                return false;
            }
        bool plain = !t->min;
        for (int b = 0; b < 128 && !plain; b++) plain = t->next[s][b] != UINT16_MAX;
        if (!plain) {
            read_fail(r, "a least length, but the triggers leave nothing to write");
            return false;
        }
    }
    return true;
}

/* A table that an earlier text has too is shared. */
static void keep(struct reader *r, struct triggers *t)
{
    struct grammar *g = r->g;
    size_t bytes = t->n_state * sizeof *t->next;
    void *own = NULL;
    t->hash = hash64(t->next, bytes, 7);
    for (uint32_t i = 0; i < g->n_trig && !own; i++)
        if (g->trig[i].hash == t->hash && g->trig[i].n_state == t->n_state &&
            !memcmp(g->trig[i].next, t->next, bytes))
            own = g->trig[i].next;
    if (!own) {
        r->n_trigger += t->n_state;
        own = memcpy(arena_alloc(&g->mem, bytes), t->next, bytes);
    }
    MEM_GROW(g->trig, g->n_trig, r->cap_trig);
    t->any = t->n_state == 1;
    for (int b = 0; b < 256; b++) t->any &= !t->next[0][b];
    g->trig[g->n_trig] = *t;
    g->trig[g->n_trig++].next = own;
}

struct tree *watch_close(struct reader *r, struct watch *w, bool wanted)
{
    struct tree *out = NULL;
    if (wanted) complete(&w->t);
    if (wanted && never_stuck(r, &w->t)) {
        if (r->n_trigger + w->t.n_state > MOST_TRIGGERS)
            read_fail(r, "triggers of more than 16384 bytes in all texts together");
        else {
            keep(r, &w->t);
            out = tree_leaf(r, N_TEXT, r->g->n_trig - 1, 0);
        }
    }
    mem_free(w->t.next);
    return out;
}
