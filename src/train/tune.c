/* tune.c -- fine-tuning: a run over conversations that are given, not drawn.
 *
 * The plan is made before the first step: lessons in a new order every epoch, one from the replay
 * after so and so many, cut into micro-batches by the rule of batch.c. So every lesson is seen
 * equally often, and a run is a function of its options. Now and then the loss on the held-out lessons
 * is measured; the weights with the best one are those that stay, and patience ends the run.
 *
 * Threads: as in run.c; the plan is read-only while they work. */
#include <math.h>
#include <stdlib.h>

#include "train/int.h"

#define LOOKS 12 /* at the held-out lessons, in a whole run */

void lessons_put(struct lessons *l, const struct example *x)
{
    if (!l->n) arena_init(&l->mem, 0);
    MEM_GROW(l->item, l->n, l->cap);
    struct example *y = &l->item[l->n++];
    *y = *x;
    y->token = arena_alloc(&l->mem, (size_t)x->n * sizeof *y->token);
    y->cls = arena_alloc(&l->mem, (size_t)x->n);
    memcpy(y->token, x->token, (size_t)x->n * sizeof *y->token);
    memcpy(y->cls, x->cls, (size_t)x->n);
}

void lessons_done(struct lessons *l)
{
    if (l->n) arena_done(&l->mem);
    mem_free(l->item);
    *l = (struct lessons){ 0 };
}

/* ---- the order ------------------------------------------------------------------------------- */

/* What micro-batch m begins with: entry first[m] of the order. */
struct order { const struct example **x; int64_t n, cap; int64_t *first; int64_t n_micro, cap_micro; };

struct course { struct order order; const struct lessons *held; };

static void put(struct order *o, const struct example *x)
{
    MEM_GROW(o->x, o->n, o->cap);
    o->x[o->n++] = x;
}

/* One epoch, or the beginning of one: n of the lessons in an order of its own. */
static void put_epoch(struct order *o, const struct tune_plan *p, uint64_t seed, uint64_t epoch, int n,
                      uint64_t *replayed)
{
    struct rng r = rng_make(seed, 0x74756e65, epoch);
    int *at = mem_alloc((size_t)MAX(p->learn->n, 1) * sizeof *at);
    double owed = 0, rate = p->replay && p->replay->n ? p->share / (1 - p->share) : 0;
    for (int i = 0; i < p->learn->n; i++) at[i] = i;
    for (int i = p->learn->n - 1; i > 0; i--) {
        int j = (int)rng_below(&r, (uint32_t)i + 1), x = at[i];
        at[i] = at[j];
        at[j] = x;
    }
    for (int i = 0; i < n; i++) {
        put(o, &p->learn->item[at[i]]);
        for (owed += rate; owed >= 1; owed--)
            put(o, &p->replay->item[(*replayed)++ % (uint64_t)p->replay->n]);
    }
    mem_free(at);
}

static void cut(struct order *o, int rows)
{
    for (int64_t i = 0; i < o->n;) {
        MEM_GROW(o->first, o->n_micro, o->cap_micro);
        o->first[o->n_micro++] = i;
        for (int sum = 0; i < o->n && sum < rows; i++) sum += o->x[i]->n - 1;
    }
}

static void order_make(struct order *o, const struct tune_plan *p, const struct train_opts *t)
{
    uint64_t replayed = 0;
    double left = p->epochs;
    *o = (struct order){ 0 };
    for (uint64_t epoch = 0; left > 0; epoch++, left--)
        put_epoch(o, p, t->seed, epoch, (int)ceil(p->learn->n * MIN(left, 1.0)), &replayed);
    cut(o, MIN(t->tokens, MICRO_TOKENS));
}

static void order_done(struct order *o)
{
    mem_free(o->x);
    mem_free(o->first);
}

static bool draw(void *ctx, enum data_set set, int stage, uint64_t index, int max_tokens,
                 struct arena *a, struct example *out, struct err *e)
{
    const struct course *c = ctx;
    const struct order *o = &c->order;
    (void)stage, (void)a;
    if (set == DATA_TRAIN) {
        int64_t micro = (int64_t)(index / PER_MICRO) % o->n_micro;
        *out = *o->x[(o->first[micro] + (int64_t)(index % PER_MICRO)) % o->n];
    } else *out = c->held->item[index];
    return out->n <= max_tokens || err_set(e, ERR_LIMIT, "%d tokens, the limit is %d", out->n, max_tokens);
}

static int micros_of_step(const struct train_opts *o) { return MAX(1, o->tokens / MICRO_TOKENS); }

int64_t tune_steps(const struct tune_plan *p, const struct train_opts *o)
{
    struct order x;
    order_make(&x, p, o);
    int64_t n = (x.n_micro + micros_of_step(o) - 1) / micros_of_step(o);
    order_done(&x);
    return n;
}

/* ---- the run --------------------------------------------------------------------------------- */

struct watch { /* the best weights so far */
    float *best;
    double loss;
    int worse; /* looks in a row */
};

static float *free_weights(const struct train *t) { return t->w + net_frozen(t->net); }

static bool look(struct train *t, const struct tune_plan *p, struct watch *k, struct train_score *now,
                 struct err *e)
{
    size_t bytes = train_n_free(t) * sizeof(float);
    if (!p->held || !p->held->n) return true;
    if (!train_eval(t, DATA_E1_IID, STAGE_TUNE, p->held->n, now, e)) return err_in(e, "evaluation");
    bool better = !k->best || now->loss < k->loss;
    k->worse = better ? 0 : k->worse + 1;
    if (!better) return true;
    if (!k->best && !(k->best = mem_slab(bytes, e))) return false;
    k->loss = now->loss;
    memcpy(k->best, free_weights(t), bytes);
    return true;
}

static void tell(const struct train *t, const struct train_score *held)
{
    struct train_summary y = train_summary(t);
    if (!t->o.status) return;
    fprintf(stderr, "step %lld/%lld  %.0f tokens/s", (long long)t->c.step, (long long)t->o.steps,
            y.tokens_per_s);
    if (t->c.step) fprintf(stderr, "  loss %.4f", y.loss);
    if (held->n)
        fprintf(stderr, "  held out: loss %.4f, exact %.1f %%, first token %.1f %%", held->loss,
                100 * held->all, 100 * held->first);
    fputc('\n', stderr);
}

static bool run(struct train *t, const struct tune_plan *p, struct watch *k, struct tune_summary *y,
                struct err *e)
{
    int64_t every = MAX(t->o.steps / LOOKS, 1);
    if (!look(t, p, k, &y->before, e)) return false;
    tell(t, &y->before);
    for (uint64_t last = clock_ns(); t->c.step < t->o.steps && !train_stopped(t);) {
        struct train_score held = { 0 };
        if (!train_step(t, e)) return false;
        train_tick(t, &last);
        if (t->c.step % every && t->c.step < t->o.steps) continue;
        if (!look(t, p, k, &held, e)) return false;
        tell(t, &held);
        last = clock_ns(); /* looking is not training */
        if (p->patience && k->worse >= p->patience) break;
    }
    if (!k->best) return true;
    memcpy(free_weights(t), k->best, train_n_free(t) * sizeof(float));
    return train_eval(t, DATA_E1_IID, STAGE_TUNE, p->held->n, &y->after, e);
}

struct train *tune_run(struct train_opts *o, const struct tune_plan *p, struct tune_summary *out,
                       struct err *e)
{
    struct course c = { .held = p->held };
    struct train_source src = { &c, draw, 0 };
    struct watch k = { 0 };
    *out = (struct tune_summary){ 0 };
    if (!p->learn->n || !(p->epochs > 0) || !(p->share >= 0 && p->share < 1) || o->tokens < 1) {
        err_set(e, ERR_ARG, "fine-tuning: there must be conversations, epochs and tokens in a step, and a "
                            "share of replay below 1");
        return NULL;
    }
    order_make(&c.order, p, o);
    out->planned = (c.order.n_micro + micros_of_step(o) - 1) / micros_of_step(o);
    if (!o->steps) o->steps = out->planned;
    struct train *t = train_open(o, &src, e);
    bool ok = t && run(t, p, &k, out, e);
    if (ok) {
        struct train_summary y = train_summary(t);
        out->steps = y.step;
        out->tokens = y.tokens;
        out->seconds = y.seconds;
        out->tokens_per_s = y.tokens_per_s;
    }
    if (k.best) mem_slab_free(k.best, train_n_free(t) * sizeof(float));
    order_done(&c.order);
    if (ok) return t;
    train_close(t);
    return NULL;
}
