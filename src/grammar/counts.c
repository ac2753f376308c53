/* counts.c -- elements that an array still needs so that every contains counts enough of them and none too many.
 *
 * Mostly each count can be looked at by itself: no element is forbidden, and there is a place for each. Where a count has a
 * greatest number, or places are few, elements must be chosen together: an element that one contains asks for may be one
 * too many for another. That is a small search; it ends at a bound of work and then
 * knows what it has found: too strict, never wrong. */
#include "grammar/int.h"

enum { FUEL = 4096 };
struct search {
    const struct counting *q;
    uint32_t lack[MOST_OWED], room[MOST_OWED], fuel;
    uint64_t spent, best;
};

static bool offers(const struct alts *l, uint32_t i)
{
    for (uint32_t k = 0; k < l->n; k++)
        if (l->alt[k].owed >> i & 1) return true;
    return false;
}

bool counts_entangled(const struct counting *q)
{
    const struct arr *a = q->a;
    uint32_t n = 0;
    uint64_t sum = 0, left = a->max == NONE ? UINT64_MAX : a->max - MIN(a->max, MAX(q->from, a->n_prefix));
    bool sure = true;
    for (uint32_t i = 0; i < a->n_cont; i++) {
        if (q->room[i] != NONE) return true;
        n += q->lack[i] > 0;
        sum += q->lack[i];
        sure = sure && (!q->lack[i] || offers(&a->rest, i));
    }
    return n > 1 && !(sure && sum <= left);
}

uint64_t counts_most(const struct counting *q)
{
    const struct arr *a = q->a;
    uint64_t lack = 0, least = a->min > q->from ? a->min - q->from : 0, places = a->n_prefix > q->from ? a->n_prefix - q->from : 0;
    for (uint32_t i = 0; i < a->n_cont; i++) lack += q->lack[i];
    return lack ? MAX(least, places + lack) : least;
}

/* Takes n elements of one kind; lack[] keeps what was asked for before. */
static void count(struct search *k, uint32_t owed, uint32_t lack[MOST_OWED], uint32_t n)
{
    for (uint32_t i = 0; i < k->q->a->n_cont; i++) {
        lack[i] = k->lack[i];
        if (!(owed >> i & 1)) continue;
        k->lack[i] -= MIN(n, k->lack[i]);
        if (k->room[i] != NONE) k->room[i] -= n;
    }
}

static void uncount(struct search *k, uint32_t owed, const uint32_t lack[MOST_OWED], uint32_t n)
{
    for (uint32_t i = 0; i < k->q->a->n_cont; i++) {
        k->lack[i] = lack[i];
        if (owed >> i & 1 && k->room[i] != NONE) k->room[i] += n;
    }
}

static uint32_t most_room(const struct search *k, uint32_t owed)
{
    uint32_t most = NONE;
    for (uint32_t i = 0; i < k->q->a->n_cont; i++)
        if (owed >> i & 1) most = MIN(most, k->room[i]);
    return most;
}

/* Is this the end of a way, good or not? p: elements there are. */
static bool ends(struct search *k, uint32_t p)
{
    if (k->spent >= k->best || !k->fuel) return true;
    k->fuel--;
    if (p < k->q->a->min) return false;
    for (uint32_t i = 0; i < k->q->a->n_cont; i++)
        if (k->lack[i]) return false;
    k->best = k->spent;
    return true;
}

/* The fewest elements of kind i, behind all places: what no later kind can count must be counted by it. */
static uint32_t least_of(const struct search *k, uint32_t p, uint32_t i)
{
    const struct arr *a = k->q->a;
    uint32_t later = 0, n = i + 1 == a->rest.n && a->min > p ? a->min - p : 0;
    for (uint32_t j = i + 1; j < a->rest.n; j++) later |= a->rest.alt[j].owed;
    for (uint32_t c = 0; c < a->n_cont; c++)
        if ((a->rest.alt[i].owed & ~later) >> c & 1) n = MAX(n, k->lack[c]);
    return n;
}

/* Behind all places that have elements of their own: so many of each kind, from kind i on. */
static void choose_rest(struct search *k, uint32_t p, uint32_t i)
{
    const struct arr *a = k->q->a;
    if (ends(k, p) || i == a->rest.n) return;
    const struct alt *alt = &a->rest.alt[i];
    uint32_t lack[MOST_OWED], want = a->min > p ? a->min - p : 0, cost = k->q->cost(k->q->ctx, alt);
    for (uint32_t c = 0; c < a->n_cont; c++)
        if (alt->owed >> c & 1) want = MAX(want, k->lack[c]);
    want = cost >= COST_MAX ? 0 : MIN(MIN(want, most_room(k, alt->owed)), a->max - MIN(a->max, p));
    for (uint32_t n = want + 1, least = least_of(k, p, i); n-- > least && k->fuel;) {
        count(k, alt->owed, lack, n);
        k->spent += (uint64_t)n * cost;
        choose_rest(k, p + n, i + 1);
        k->spent -= (uint64_t)n * cost;
        uncount(k, alt->owed, lack, n);
    }
}

static void choose(struct search *k, uint32_t p)
{
    const struct arr *a = k->q->a;
    if (p >= a->n_prefix) { choose_rest(k, p, 0); return; }
    if (ends(k, p) || p >= a->max) return;
    for (uint32_t i = 0; i < a->prefix[p].n && k->fuel; i++) {
        const struct alt *alt = &a->prefix[p].alt[i];
        uint32_t lack[MOST_OWED], cost = most_room(k, alt->owed) ? k->q->cost(k->q->ctx, alt) : COST_MAX;
        if (cost >= COST_MAX) continue;
        count(k, alt->owed, lack, 1);
        k->spent += cost;
        choose(k, p + 1);
        k->spent -= cost;
        uncount(k, alt->owed, lack, 1);
    }
}

uint32_t counts_settle(const struct counting *q)
{
    struct search k = { .q = q, .fuel = FUEL, .best = COST_MAX };
    memcpy(k.lack, q->lack, sizeof k.lack);
    memcpy(k.room, q->room, sizeof k.room);
    choose(&k, q->from);
    return (uint32_t)k.best;
}
