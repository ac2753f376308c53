/* dense_map.c -- what a text may die of soon: the neighbourhood of a place in an automaton, with the dangers of each.
 *
 * A subtree of the vocabulary trie need not be walked if nothing in it can die. A text that dies within k bytes dies of its
 * last one; so it is enough to know, of each place and for each small k, which bytes can come last in such a text, and
 * to see whether one of them occurs in the subtree. `not "foo"` dies of an o, and not before the third byte. Only what the
 * automaton knows already (and little more) is looked at: beyond it everything counts as a danger. */
#include "grammar/dense.h"

enum { MAP_MOST = 128, MAP_NEW = 16, MAP_ROOM = 32, MAP_ROUNDS = 32, MAP_SEARCHES = 64, FRONTIER = 0 };

/* Numbers in the map: 0 is all that lies beyond it. */
struct around {
    struct scan *w;
    uint32_t at[MAP_MOST], n, n_new, searches;          /* places by number */
    uint16_t *next; uint32_t n_next, cap_next, from[MAP_MOST + 1];     /* successors of number i: next[from[i], from[i + 1]) */
    struct bytemap *own;                /* [MAP_MOST] bytes that kill at once */
};

static const struct bytemap everything = { { ~0ull, ~0ull } };

static void join(struct bytemap *a, const struct bytemap *b) { a->w[0] |= b->w[0]; a->w[1] |= b->w[1]; }

/* Is there nothing about a place that asks for a closer look? Too few texts that lead on from it, too much to do to its
 * end, too near to the greatest length (which no node counts that leaves map_room behind it). */
static bool roomy(struct scan *w, uint32_t place, uint32_t *searches)
{
    if (w->taken && !is_thick(w, place)) return false;
    if (w->limit != NONE) {
        uint32_t left = place_left(w, place, w->len);
        if (left > w->limit) return false;
        w->map_left = MAX(w->map_left, left);
    }
    const struct place *p = &w->place[place];
    if (!w->counts) return true;
    /* a text that is long enough for the first place is so for all behind it, and one that leaves room is short enough */
    uint32_t least = w->s->min > w->len ? w->s->min - w->len : 0, most = w->s->max == NONE ? NONE : w->map_room;
    if (p->total && p->far > most) return false;
    if (least == 1 && !dfa_accepts(w->s->dfa, p->state)) least = 0;      /* every text from here is as long */
    if (least && *searches < 1) return false;
    *searches -= least > 0;             /* how long texts are must be searched for */
    return dfa_fits(w->s->dfa, p->state, least, most);
}

static uint16_t number_of(struct around *m, uint32_t place)
{
    struct place *p = &m->w->place[place];
    if (p->map) return (uint16_t)(p->map - 1);
    if (m->n == MAP_MOST || !roomy(m->w, place, &m->searches)) return FRONTIER;
    m->at[m->n] = place;
    m->w->place[place].map = ++m->n;
    return (uint16_t)(m->n - 1);
}

static void add_next(struct around *m, uint32_t of, uint16_t to)
{
    for (uint32_t i = m->from[of]; i < m->n_next; i++)
        if (m->next[i] == to) return;
    MEM_GROW(m->next, m->n_next, m->cap_next);
    m->next[m->n_next++] = to;
}

/* Is the successor known, or one of the few that are found out here? */
static bool is_near(struct around *m, const struct place *p, uint8_t b)
{
    uint32_t to = __atomic_load_n(&dfa_state(m->w->s->dfa, p->state)->row[m->w->s->cls[b]], __ATOMIC_ACQUIRE);
    return to != UINT32_MAX || m->n_new++ < MAP_NEW;
}

static void explore(struct around *m, uint32_t i)
{
    struct scan *w = m->w;
    /* where more is asked of a place than to be alive, to arrive at one that nobody has looked at is a danger already */
    bool strict = w->counts || w->taken || w->limit != NONE;
    uint32_t place = m->at[i], last = 0;
    bool kills = false;
    if (w->place[place].total && w->limit == NONE) return;
    for (uint32_t b = 0x20; b < 256; b++) {
        const struct place *p = &w->place[place];
        if (!w->kind[b] || (b < 0x80 ? p->utf8 != 0 : utf8_dfa(p->utf8, (uint8_t)b) < 0)) continue;
        if (w->kind[b] != last) {
            bool near = is_near(m, p, (uint8_t)b);
            uint32_t to = near ? place_step(w, place, (uint8_t)b) : NO_PLACE, number = to ? number_of(m, to) : FRONTIER;
            kills = !to || (strict && number == FRONTIER);
            if (to || !near) add_next(m, i, (uint16_t)number);
        }
        last = w->kind[b];
        if (kills) bytemap_add(&m->own[i], (uint8_t)b);
    }
}

/* Level by level: what kills within k bytes kills at once or kills a successor within k - 1. */
static void spread(const struct around *m, struct bytemap *danger)
{
    for (uint32_t i = 0; i < m->n; i++) danger[i * MAP_LEVELS] = i == FRONTIER ? everything : m->own[i];
    for (uint32_t k = 1; k < MAP_LEVELS; k++)
        for (uint32_t i = 0; i < m->n; i++) {
            struct bytemap sum = danger[i * MAP_LEVELS + k - 1];
            for (uint32_t j = m->from[i]; j < m->from[i + 1]; j++) join(&sum, &danger[m->next[j] * MAP_LEVELS + k - 1]);
            danger[i * MAP_LEVELS + k] = sum;
        }
    bool changed = true;
    for (uint32_t round = 0; changed && round < MAP_ROUNDS; round++) {
        changed = false;
        for (uint32_t i = m->n; i-- > 0;) {
            struct bytemap *sum = &danger[i * MAP_LEVELS + MAP_LEVELS - 1], before = *sum;
            for (uint32_t j = m->from[i]; j < m->from[i + 1]; j++) join(sum, &danger[m->next[j] * MAP_LEVELS + MAP_LEVELS - 1]);
            changed |= before.w[0] != sum->w[0] || before.w[1] != sum->w[1];
        }
    }
    for (uint32_t i = 0; i < m->n && changed; i++) danger[i * MAP_LEVELS + MAP_LEVELS - 1] = everything;
}

void map_make(struct scan *w, uint32_t start)
{
    struct around *m = mem_alloc(sizeof *m);
    *m = (struct around){ .w = w, .n = 1, .searches = MAP_SEARCHES, .own = mem_zero(MAP_MOST * sizeof *m->own) };
    uint32_t room = room_of(w->s, w->len);
    bool near_end = w->counts && room <= MAP_ROOM;
    w->map_room = w->counts && room != NONE ? room - MIN(room, (uint32_t)MAP_ROOM) : 0;
    if (!near_end) number_of(m, start);
    m->from[0] = m->from[1] = 0;
    for (uint32_t i = 1; i < m->n; i++) {
        explore(m, i);
        m->from[i + 1] = m->n_next;
    }
    w->danger = mem_alloc(m->n * MAP_LEVELS * sizeof *w->danger);
    spread(m, w->danger);
    mem_free(m->next);
    mem_free(m->own);
    mem_free(m);
}
