/* debt.c -- what an object still owes: can it be settled, and how cheaply?
 *
 * A negated schema about an object (from `not`, or from the other branches of a oneOf) is a debt. Two things settle it:
 * a member whose value fails, or the absence of a key that the schema requires. Absence is free but is only certain at
 * the end, so a debt counts as open while that is possible: what is asked here is whether some set of further members
 * leaves every debt settled once the object closes. Members are added only for debts that absence cannot settle; a
 * member may complete what another debt relies on, which then needs a member too. So one object stands for what
 * would be an alternative for each way in which each branch can fail.
 *
 * The search is exact up to MOST_TRY steps, and stops there with the best that it has. */
#include "grammar/int.h"

enum { MOST_TRY = 4000 };

struct search { struct owing *q; uint32_t n_word, tries, best, n_pick; struct owing_pick pick[MOST_DEBT]; };

static uint64_t word_of(uint32_t key, uint32_t w)
{
    return key != NONE && key / 64 == w ? 1ull << (key % 64) : 0;
}

/* Word w of the keys that the object has at its end. */
static uint64_t final_keys(const struct search *s, uint32_t w)
{
    const struct owing *q = s->q;
    uint64_t have = q->seen[w] | q->must[w] | word_of(q->key, w);
    if (q->key != NONE && q->o->key[q->key].need) have |= q->o->key[q->key].need[w];
    for (uint32_t i = 0; i < s->n_pick; i++) {
        uint32_t key = s->pick[i].key;
        have |= word_of(key, w);
        if (key != NONE && q->o->key[key].need) have |= q->o->key[key].need[w];
    }
    return have;
}

static bool has_all(const struct search *s, const uint64_t *set)
{
    for (uint32_t w = 0; w < s->n_word; w++)
        if (set[w] & ~final_keys(s, w)) return false;
    return true;
}

/* The first debt that only a member can settle; 0: none. */
static uint32_t first_forced(const struct search *s)
{
    uint32_t left = s->q->owed;
    for (uint32_t i = 0; i < s->n_pick; i++) left &= ~s->pick[i].bits;
    for (; left; left &= left - 1) {
        const uint64_t *absent = s->q->o->absent[__builtin_ctz(left)];
        if (!absent || has_all(s, absent)) return left & -left;
    }
    return 0;
}

/* What the members picked cost, with those they bring along; COST_MAX: there is no room, or they must not come. */
static uint32_t plan_cost(const struct search *s)
{
    const struct owing *q = s->q;
    uint32_t sum = 0, n = 0;
    for (uint32_t i = 0; i < s->n_pick; i++) {
        const struct owing_pick *p = &s->pick[i];
        bool must = p->key != NONE && q->must[p->key / 64] >> (p->key % 64) & 1;
        uint32_t c = q->cost(q->ctx, p->key, p->bits), plain = must && c < COST_MAX ? q->cost(q->ctx, p->key, 0) : 0;
        sum = cost_add(sum, c > plain ? c - plain : 0);
        n += p->key == NONE;
    }
    for (uint32_t w = 0; w < s->n_word; w++) {
        uint64_t more = final_keys(s, w) & ~q->seen[w] & ~word_of(q->key, w), brought = q->o->has_need ? more & ~q->must[w] : 0;
        n += (uint32_t)__builtin_popcountll(more);
        for (uint32_t i = 0; i < s->n_pick; i++) brought &= ~word_of(s->pick[i].key, w);
        for (; brought; brought &= brought - 1)
            sum = cost_add(sum, q->cost(q->ctx, w * 64 + (uint32_t)__builtin_ctzll(brought), 0));
    }
    for (uint32_t b = 0; b < q->o->n_ban; b++)
        if (has_all(s, q->o->ban[b])) return COST_MAX;
    return n > q->room ? COST_MAX : sum;
}

static void settle(struct search *s, uint32_t sum);

/* With pick `at` (a new one, with this key, if there are no more) to settle the debt. */
static void with_pick(struct search *s, uint32_t at, uint32_t key, uint32_t debt)
{
    struct owing_pick before = at < s->n_pick ? s->pick[at] : (struct owing_pick){ key, 0 };
    if (s->q->cost(s->q->ctx, key, before.bits | debt) >= COST_MAX) return;
    s->pick[at] = (struct owing_pick){ key, before.bits | debt };
    bool more = at == s->n_pick;
    s->n_pick += more;
    settle(s, plan_cost(s));
    s->n_pick -= more;
    s->pick[at] = before;
}

static void with_key(struct search *s, uint32_t key, uint32_t debt)
{
    uint32_t at = 0;
    while (at < s->n_pick && s->pick[at].key != key) at++;
    with_pick(s, at, key, debt);
}

/* With an invented member: one of those picked, or another. */
static void with_invented(struct search *s, uint32_t debt)
{
    for (uint32_t at = 0; at <= s->n_pick; at++) {
        if (at < s->n_pick && s->pick[at].key != NONE) continue;
        with_pick(s, at, NONE, debt);
        if (s->q->any && s->best < COST_MAX) return;
    }
}

/* sum: what the members picked so far cost. */
static void settle(struct search *s, uint32_t sum)
{
    struct owing *q = s->q;
    if (sum >= s->best || ++s->tries > MOST_TRY) return;
    uint32_t debt = first_forced(s);
    if (!debt) {
        s->best = sum;
        q->n_pick = s->n_pick;
        memcpy(q->pick, s->pick, sizeof q->pick);
        return;
    }
    for (uint32_t i = q->next; i < q->o->n_key; i++) {
        if (i == q->key || q->seen[i / 64] >> (i % 64) & 1 || !(q->o->key[i].owed & debt)) continue;
        with_key(s, i, debt);
        if (q->any && s->best < COST_MAX) return;
    }
    if (q->o->cls_owed & debt) with_invented(s, debt);
}

uint32_t owing_settle(struct owing *q)
{
    struct search s = { .q = q, .n_word = q->o->n_word, .best = COST_MAX };
    q->n_pick = 0;
    settle(&s, plan_cost(&s));
    return s.best;
}

bool owing_absent(const struct obj *o, const uint64_t *seen, uint32_t owed)
{
    for (; owed; owed &= owed - 1) {
        const uint64_t *absent = o->absent[__builtin_ctz(owed)];
        bool all = true;
        for (uint32_t w = 0; absent && w < o->n_word && all; w++) all = !(absent[w] & ~seen[w]);
        if (all) return false;
    }
    return true;
}
