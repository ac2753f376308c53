/* solve.c -- can a goal be met at all, and how deep must its values nest?
 *
 * A least fixpoint over what is required: an object needs its required keys, an array its first
 * elements; optional parts are looked at when they are offered. So only the goals that a value
 * cannot do without are expanded. What cannot be met is never offered, which is what keeps the
 * matcher out of dead ends. A goal that is just being expanded (oneOf asks whether alternatives overlap)
 * counts as met; what was found out with its help is not remembered. */
#include <stdlib.h>

#include "grammar/int.h"

static uint32_t place_of(const struct work *w, uint32_t goal, bool *had)
{
    uint32_t h = goal * 0x9e3779b1u & (w->n_slot - 1);
    for (; w->slot[h]; h = (h + 1) & (w->n_slot - 1))
        if (w->goal[w->slot[h] - 1] == goal) { *had = true; return h; }
    *had = false;
    return h;
}

static void want(struct work *w, uint32_t goal)
{
    bool had;
    if (w->known(w, goal)) return;
    if (w->n * 2 >= w->n_slot) {
        w->n_slot *= 2;
        if (w->slot != w->few_slot) mem_free(w->slot);
        w->slot = mem_zero(w->n_slot * sizeof *w->slot);
        for (uint32_t i = 0; i < w->n; i++) w->slot[place_of(w, w->goal[i], &had)] = i + 1;
    }
    uint32_t h = place_of(w, goal, &had);
    if (had) return;
    if (w->n == LEN(w->few_goal) && w->goal == w->few_goal) w->goal = mem_dup(w->few_goal, sizeof w->few_goal);
    MEM_GROW(w->goal, w->n, w->cap);
    w->goal[w->n] = goal;
    w->slot[h] = ++w->n;
}

static void want_alts(struct work *w, const struct alts *a)
{
    for (uint32_t i = 0; i < a->n; i++) want(w, a->alt[i].goal);
}

static void want_shape(struct work *w, const struct shape *sh)
{
    if (sh->kind == SH_ARR) {
        const struct arr *a = sh->arr;
        uint32_t first = a->n_cont ? a->n_prefix : MIN(a->min, a->n_prefix);
        for (uint32_t i = 0; i < first; i++) want_alts(w, &a->prefix[i]);
        if (a->min > a->n_prefix || a->n_cont) want_alts(w, &a->rest);
    }
    if (sh->kind != SH_OBJ) return;
    const struct obj *o = sh->obj;
    bool all = !owing_absent(o, o->req, o->owes) || o->min > o->n_req;
    for (uint32_t i = 0; i < o->n_key; i++)
        if (all || o->key[i].req) want_alts(w, &o->key[i].alts);
    for (uint32_t i = 0; i < o->n_cls && all; i++) want_alts(w, &o->cls[i].alts);
}

/* ---- one look at a shape --------------------------------------------------------------------- */

/* Best of the alternatives that settle all of `owed`; false: none can be met. */
static bool alts_ok(const struct work *w, const struct alts *a, uint32_t owed, uint16_t *height)
{
    uint16_t best = UINT16_MAX;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct goal *p = goal_at(w->g, a->alt[i].goal);
        if ((a->alt[i].owed & owed) != owed) continue;
        if (atomic_load(&p->state) == GOAL_BUSY) best = 0;
        else if (p->ok) best = MIN(best, p->height);
    }
    if (best != UINT16_MAX) *height = MAX(*height, best);
    return best != UINT16_MAX;
}

/* Can elements that nest no deeper than this come? */
struct flat { const struct work *w; uint16_t height; };
static uint32_t flat_enough(const void *ctx, const struct alt *alt)
{
    const struct flat *f = ctx;
    const struct goal *p = goal_at(f->w->g, alt->goal);
    return atomic_load(&p->state) == GOAL_BUSY || (p->ok && p->height <= f->height) ? 0 : COST_MAX;
}

/* Elements for all counts at once, the flattest there are. */
static bool counts_together(const struct work *w, const struct arr *a, uint16_t *height)
{
    struct flat f = { .w = w };
    struct counting q = { .a = a, .cost = flat_enough, .ctx = &f };
    for (uint32_t c = 0; c < a->n_cont; c++) {
        q.lack[c] = a->cont[c].min;
        q.room[c] = a->cont[c].max;
    }
    if (!counts_entangled(&q)) return true;
    f.height = UINT16_MAX;
    if (counts_settle(&q) >= COST_MAX) return false;
    for (f.height = 0; counts_settle(&q) >= COST_MAX; f.height++) continue;
    *height = MAX(*height, f.height);
    return true;
}

/* Enough elements for every contains? */
static bool counts_ok(const struct work *w, const struct arr *a, uint16_t *height)
{
    for (uint32_t c = 0; c < a->n_cont; c++) {
        uint64_t room = 0;
        uint16_t at = 0;
        for (uint32_t i = 0; i < a->n_prefix; i++) room += alts_ok(w, &a->prefix[i], (uint16_t)(1u << c), &at);
        if (a->max > a->n_prefix && alts_ok(w, &a->rest, (uint16_t)(1u << c), &at)) room += a->max - a->n_prefix;
        if (room < a->cont[c].min || a->cont[c].min > a->cont[c].max) return false;
        if (a->cont[c].min) *height = MAX(*height, at);
    }
    return counts_together(w, a, height);
}

static bool arr_ok(const struct work *w, const struct arr *a, uint16_t *height)
{
    for (uint32_t i = 0; i < MIN(a->min, a->n_prefix); i++)
        if (!alts_ok(w, &a->prefix[i], 0, height)) return false;
    if (a->min > a->n_prefix && !alts_ok(w, &a->rest, 0, height)) return false;
    return counts_ok(w, a, height) && (!a->unique || unique_enough(w->g, a));
}

/* May the key come, with all that it needs? */
static bool member_can(const struct work *w, const struct obj *o, uint32_t key, uint16_t *height)
{
    if (!alts_ok(w, &o->key[key].alts, 0, height)) return false;
    const uint64_t *need = o->key[key].need;
    uint64_t n = o->n_req + 1;
    for (uint32_t i = 0; need && i < o->n_key; i++) {
        if (i == key || o->key[i].req || !(need[i / 64] >> (i % 64) & 1)) continue;
        if (++n > o->max || !alts_ok(w, &o->key[i].alts, 0, height)) return false;
    }
    return n <= o->max;
}

/* Members that can be had beyond the required ones, up to `need`. */
static bool more_members(const struct work *w, const struct obj *o, uint32_t need, uint16_t *height)
{
    uint16_t at = 0;
    for (uint32_t i = 0; i < o->n_cls && need; i++)
        if (alts_ok(w, &o->cls[i].alts, 0, &at)) need = 0;
    for (uint32_t i = 0; i < o->n_key && need; i++)
        if (!o->key[i].req && member_can(w, o, i, &at)) need--;
    *height = MAX(*height, at);
    return !need;
}

struct within { const struct work *w; const struct obj *o; };
static uint32_t member_ok(const void *ctx, uint32_t key, uint32_t bits)
{
    const struct within *in = ctx;
    uint16_t height = 0;
    bool ok = key != NONE && alts_ok(in->w, &in->o->key[key].alts, bits, &height);
    for (uint32_t i = 0; key == NONE && i < in->o->n_cls && !ok; i++) ok = alts_ok(in->w, &in->o->cls[i].alts, bits, &height);
    return ok ? height : COST_MAX;
}

/* What it owes can be settled. */
static bool debts_ok(const struct work *w, const struct obj *o, uint16_t *height)
{
    if (owing_absent(o, o->req, o->owes)) return true;
    struct within in = { .w = w, .o = o };
    struct owing q = { .o = o, .seen = o->none, .must = o->req, .key = NONE, .owed = o->owes, .any = true,
                       .room = o->max, .cost = member_ok, .ctx = &in };
    if (owing_settle(&q) >= COST_MAX) return false;
    for (uint32_t i = 0; i < q.n_pick; i++) *height = MAX(*height, (uint16_t)member_ok(&in, q.pick[i].key, q.pick[i].bits));
    return true;
}

/* Required keys that must not all be there. */
static bool banned(const struct obj *o)
{
    for (uint32_t b = 0; b < o->n_ban; b++) {
        bool whole = true;
        for (uint32_t i = 0; i < o->n_word && whole; i++) whole = !(o->ban[b][i] & ~o->req[i]);
        if (whole) return true;
    }
    return false;
}

static bool obj_ok(const struct work *w, const struct obj *o, uint16_t *height)
{
    if (o->n_req > o->max || banned(o)) return false;
    for (uint32_t i = o->next_req[0]; i != NONE; i = o->next_req[i + 1])
        if (!alts_ok(w, &o->key[i].alts, 0, height)) return false;
    return debts_ok(w, o, height) && (o->min <= o->n_req || more_members(w, o, o->min - o->n_req, height));
}

/* True if the goal got better. */
static bool goal_update(const struct work *w, struct goal *p)
{
    bool better = false;
    uint16_t deepest = w->g->o.validate ? MOST_DEPTH_VALIDATE : MOST_DEPTH;
    for (uint32_t i = 0; i < p->n_shape; i++) {
        struct shape *sh = &p->shape[i];
        uint16_t height = 0;
        bool ok = sh->kind == SH_ARR ? arr_ok(w, sh->arr, &height)
                : sh->kind == SH_OBJ ? obj_ok(w, sh->obj, &height) : true;
        if (sh->kind == SH_ARR || sh->kind == SH_OBJ) height++;
        if (!ok || height > deepest || (sh->met && sh->height <= height)) continue;
        sh->met = true;
        sh->height = height;
        if (!p->ok || height < p->height) {
            p->ok = better = true;
            p->height = height;
        }
    }
    return better;
}

/* What needs nothing else is known before the first look at anything that may need it: a search for what an object owes
 * must not fail for want of a number. */
static void scalars_met(const struct work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct goal *p = goal_at(w->g, w->goal[i]);
        for (uint32_t k = 0; k < p->n_shape; k++) {
            struct shape *sh = &p->shape[k];
            if (sh->kind == SH_ARR || sh->kind == SH_OBJ) continue;
            sh->met = p->ok = true;
            sh->height = p->height = 0;
        }
    }
}

/* ---- the question ---------------------------------------------------------------------------- */

void work_collect(struct work *w, uint32_t goal)
{
    w->slot = w->few_slot;
    w->n_slot = LEN(w->few_slot);
    w->goal = w->few_goal;
    w->cap = LEN(w->few_goal);
    want(w, goal);
    for (uint32_t i = 0; i < w->n; i++) {
        struct goal *p = goal_at(w->g, w->goal[i]);
        if (atomic_load(&p->state) == GOAL_BUSY) { w->doubt = true; continue; }
        w->failed |= !goal_expand(w->g, w->goal[i], NULL);
        for (uint32_t k = 0; k < p->n_shape; k++) want_shape(w, &p->shape[k]);
    }
}

void work_done(struct work *w)
{
    if (w->slot != w->few_slot) mem_free(w->slot);
    if (w->goal != w->few_goal) mem_free(w->goal);
}

static bool solved(const struct work *w, uint32_t goal)
{
    return atomic_load(&goal_at(w->g, goal)->state) == GOAL_SOLVED;
}

/* Forgets what was found with a doubtful assumption. */
static void take_back(struct work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct goal *p = goal_at(w->g, w->goal[i]);
        p->ok = false;
        for (uint32_t k = 0; k < p->n_shape; k++) p->shape[k].met = false;
    }
}

bool goal_ok(const struct grammar *cg, uint32_t goal)
{
    struct grammar *g = (struct grammar *)cg;           /* goals grow under the lock */
    pthread_mutex_lock(&g->lock);
    struct goal *p = goal_at(g, goal);
    struct work w = { .g = g, .known = solved };
    bool ok = p->state == GOAL_BUSY;
    if (p->state == GOAL_SOLVED) ok = p->ok;
    else if (p->state != GOAL_FAILED && !ok) {
        work_collect(&w, goal);
        scalars_met(&w);
        bool better = true;
        for (int pass = 0; better && pass < 2000; pass++) {           /* needs come after: backwards is fast */
            better = false;
            for (uint32_t i = w.n; i-- > 0;) better |= goal_update(&w, goal_at(g, w.goal[i]));
        }
        ok = p->ok;
        if (w.doubt) take_back(&w);
        for (uint32_t i = 0; i < w.n && !w.doubt; i++) {
            struct goal *q = goal_at(g, w.goal[i]);
            q->unsure = w.failed && !q->ok;
            if (q->state != GOAL_FAILED) atomic_store_explicit(&q->state, GOAL_SOLVED, memory_order_release);
        }
        work_done(&w);
    }
    pthread_mutex_unlock(&g->lock);
    return ok;
}

bool goal_surely_empty(const struct grammar *g, uint32_t goal)
{
    return !goal_ok(g, goal) && !goal_at(g, goal)->unsure && goal_at(g, goal)->state != GOAL_FAILED;
}

/* ---- where nothing fits ---------------------------------------------------------------------- */

/* The innermost required part that nothing can meet. */
static uint32_t blame(const struct grammar *g, uint32_t goal)
{
    for (int depth = 0; depth < 64; depth++) {
        const struct goal *p = goal_at(g, goal);
        if (p->n_shape != 1 || p->shape->kind != SH_OBJ) return goal;
        const struct obj *o = p->shape->obj;
        uint32_t i = o->next_req[0];
        while (i != NONE && o->key[i].alts.n && goal_met(g, o->key[i].alts.alt->goal)) i = o->next_req[i + 1];
        if (i == NONE || !o->key[i].alts.n) return goal;
        goal = o->key[i].alts.alt->goal;
    }
    return goal;
}

bool goal_satisfiable(struct grammar *g, uint32_t goal, struct err *e)
{
    if (!goal_expand(g, goal, e)) return false;
    if (goal_met(g, goal)) return true;
    const struct goal *at = goal_at(g, blame(g, goal));
    uint32_t node = NODE_ANY_OBJECT;
    for (uint32_t i = 0; i < at->n_key; i++)
        if (at->key[i] / 2 != NODE_ANY_OBJECT) { node = at->key[i] / 2; break; }
    return schemas_fail(g, e, node, ERR_SCHEMA, "",
                        "no value satisfies this schema (nested at most %d deep)", MOST_DEPTH);
}
