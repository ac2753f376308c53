/* run.c -- the step loop: workers with whole micro-batches, one optimizer step, now and then a line
 * of the log, an evaluation, a checkpoint.
 *
 * A step: workers claim micro-batches; for each they draw its conversations and run forward and
 * backward into a gradient of that micro-batch's own. Then tensor by tensor the gradients are added
 * in the order of micro-batches, divided by the weight of the whole step, clipped by the global
 * norm, and applied. So a run depends on seed and options only, never on timing or on the number of
 * workers (unless its length is given in seconds), and a worker that the system has put aside holds
 * up one micro-batch at most.
 *
 * Threads: the caller's and those of the pool; only weights are shared in a step, read-only. */
#include <math.h>
#include <sys/stat.h>

#include "train/int.h"

#define CLIP 1.0
#define Z_LOSS 1e-4f
#define MUON_DECAY 0.05f
#define BAD_STEPS 3
#define EVAL_STAGE 2
#define EMA_STEPS 50

/* ---- shapes ---- */

static const struct { const char *name; int d, blocks, F, H, G, attn[7]; } shapes[SHAPES] = {
    [SHAPE_NANO]  = { "nano",  128, 6, 320, 4, 2, { 1, 4, 5, -1 } },
    [SHAPE_SMALL] = { "small", 256, 6, 512, 8, 4, { 1, 3, 4, 5, -1 } },
    [SHAPE_BASE]  = { "base",  256, 10, 512, 8, 4, { 1, 3, 5, 7, 9, -1 } },
    [SHAPE_DEEP]  = { "deep",  256, 12, 640, 8, 4, { 1, 3, 5, 7, 9, 11, -1 } },
};

const char *train_shape_name(enum train_shape s)
{
    return shapes[s].name;
}

bool train_shape(struct model_config *c, const char *name, int n_vocab, struct err *e)
{
    for (size_t i = 0; i < LEN(shapes); i++) {
        if (strcmp(name, shapes[i].name)) continue;
        *c = (struct model_config){ .arch = "lfm2",
                                    .n_layer = shapes[i].blocks,
                                    .n_embd = shapes[i].d,
                                    .n_ff = shapes[i].F,
                                    .n_head = shapes[i].H,
                                    .head_dim = shapes[i].d / shapes[i].H,
                                    .n_vocab = n_vocab,
                                    .n_ctx = 2048,
                                    .conv_taps = 3,
                                    .rms_eps = 1e-5f,
                                    .rope_theta = 10000 };
        for (int a = 0; shapes[i].attn[a] >= 0; a++) c->n_head_kv[shapes[i].attn[a]] = shapes[i].G;
        return true;
    }
    return err_set(e, ERR_ARG, "shape \"%s\" is not known; there are nano, small, base and deep", name);
}

/* ---- open, close ---- */

static bool check_opts(const struct train_opts *o, struct err *e)
{
    if (!o->ops)
        return err_set(e, ERR_UNSUPPORTED,
                       "training: this machine has none of the wanted instructions");
    if (o->threads < 1 || o->threads > 256)
        return err_set(e, ERR_ARG, "training: %d threads; 1 to 256 are possible", o->threads);
    if ((o->steps > 0) == (o->seconds > 0))
        return err_set(e, ERR_ARG, "training: give either a number of steps or a time budget");
    if (!(o->lr > 0) || !(o->decay >= 0 && o->decay <= 1))
        return err_set(e, ERR_ARG,
                       "training: learning rate must be positive, decay a share of the run");
    if (!o->tune && (o->stage < 0 || o->stage > 3))
        return err_set(e, ERR_ARG, "training: stage %d; 1 to 3, or 0 for all in turn", o->stage);
    return true;
}

static bool open_arrays(struct train *t, struct err *e)
{
    size_t bytes = train_n_free(t) * sizeof(float);
    if (!(t->w = mem_slab(net_n_param(t->net) * sizeof(float), e)) || !(t->m = mem_slab(bytes, e)) ||
        !(t->v = mem_slab(bytes, e)))
        return false;
    t->worker = mem_zero((size_t)t->o.threads * sizeof *t->worker);
    for (int i = 0; i < t->o.threads; i++) {
        arena_init(&t->worker[i].tmp, (size_t)1 << 28);
        arena_init(&t->worker[i].batch.mem, (size_t)1 << 18);
    }
    t->norm2 = mem_zero(net_n_tensor(t->net) * sizeof *t->norm2);
    return true;
}

/* The network: a new one of the wanted shape, or that of the base, low-rank additions beside it. */
static struct net *open_net(const struct train_opts *o, struct err *e)
{
    const struct tune_opts *u = o->tune;
    if (!o->base) return net_new(&o->shape, e);
    struct net *n = net_of_model(o->base->model, o->base->file, o->base->n_ctx, e);
    if (!n || !u || !u->rank || net_add_lora(n, u->rank, u->alpha, u->targets, e)) return n;
    net_free(n);
    return NULL;
}

static bool begin_weights(struct train *t, struct err *e)
{
    const struct tune_opts *u = t->o.tune;
    if (t->o.base && !net_read(t->net, t->o.base->file, t->w, e)) return false;
    if (!t->o.base || (u && u->rank)) net_init(t->net, t->w, t->o.seed);
    return true;
}

size_t train_n_free(const struct train *t) { return net_n_param(t->net) - net_frozen(t->net); }

struct train *train_open(const struct train_opts *o, const struct train_source *src, struct err *e)
{
    if (!check_opts(o, e)) return NULL;
    struct train *t = mem_zero(sizeof *t);
    t->o = *o;
    t->src = *src;
    t->c.e1 = t->c.e2 = t->c.best = -1;
    if (!(t->net = open_net(o, e)) || !open_arrays(t, e) || !(t->pool = pool_open(o->threads, e)) ||
        !begin_weights(t, e))
        goto fail;
    t->o.shape = *net_config(t->net);
    if (o->dir && mkdir(o->dir, 0777) && !file_exists(o->dir)) {
        err_set(e, ERR_IO, "%s: this folder cannot be made", o->dir);
        goto fail;
    }
    return t;
fail:
    train_close(t);
    return NULL;
}

void train_close(struct train *t)
{
    if (!t) return;
    size_t all = t->net ? net_n_param(t->net) * sizeof(float) : 0,
           bytes = t->net ? train_n_free(t) * sizeof(float) : 0;
    for (int i = 0; t->worker && i < t->o.threads; i++) {
        batch_done(&t->worker[i].batch);
        mem_free(t->worker[i].row_loss);
        mem_free(t->worker[i].row_hit);
        arena_done(&t->worker[i].tmp);
    }
    mem_slab_free(t->w, all);
    mem_slab_free(t->m, bytes);
    mem_slab_free(t->v, bytes);
    for (int i = 0; i < t->cap_micro; i++) mem_slab_free(t->micro[i].g, bytes);
    mem_free(t->micro);
    mem_free(t->worker);
    mem_free(t->norm2);
    status_close(t->status);
    pool_close(t->pool);
    net_free(t->net);
    mem_free(t);
}

const struct net *train_net(const struct train *t) { return t->net; }
const float *train_weights(const struct train *t) { return t->w; }

/* ---- one step ---- */

static void rows_fit(struct worker *k)
{
    if (k->batch.p.n <= k->cap_row) return;
    k->cap_row = k->batch.p.n * 2;
    k->row_loss = mem_resize(k->row_loss, (size_t)k->cap_row * sizeof *k->row_loss);
    k->row_hit = mem_resize(k->row_hit, (size_t)k->cap_row);
}

static int ranks_n(const struct train *t) { return MAX(t->o.ranks.n, 1); }

static bool run_micro(struct train *t, struct worker *k, struct micro *m, uint64_t index)
{
    struct batch_buf *b = &k->batch;
    int tokens = MIN(schedule_tokens(&t->o, train_progress(t)), MICRO_TOKENS);
    if (!batch_fill(b, &t->src, t->stage, t->o.seed, index, tokens, t->o.shape.n_ctx, &k->err))
        return false;
    m->drawn = b->drawn;
    m->dropped = b->dropped;
    m->tokens = b->p.n;
    rows_fit(k);
    /* Rows of weight 0 are masked: with a report wanted, the head would run on them as well. */
    for (int i = 0; i < b->p.n; i++)
        if (b->weight[i] == 0) b->target[i] = -1;
    memset(m->g, 0, train_n_free(t) * sizeof *m->g);
    if (!net_step(t->net, t->w, &b->p, t->o.ops, 1, Z_LOSS, m->g, k->row_loss, k->row_hit, &k->tmp,
                  &m->loss, &k->err))
        return false;
    memset(&m->sums, 0, sizeof m->sums);
    class_add(&m->sums, b, k->row_loss, k->row_hit);
    return true;
}

/* Of a process that has no share in a step. */
static void micro_of_nothing(const struct train *t, struct micro *m)
{
    *m = (struct micro){ .g = m->g };
    memset(m->g, 0, train_n_free(t) * sizeof *m->g);
}

static void micro_thread(void *ctx, int thread, int n_thread)
{
    struct train *t = ctx;
    (void)n_thread;
    for (int i; (i = atomic_fetch_add(&t->next, 1)) < t->n_micro;)
        if (!run_micro(t, &t->worker[thread], &t->micro[i], t->c.micro + (uint64_t)(i * ranks_n(t) + t->o.ranks.rank))) return;
}

/* Adds the gradients of tensor i into the first micro-batch's, scaled to the step. */
static void gather_tensor(struct train *t, size_t i, float scale)
{
    const struct param *p = net_param(t->net, i);
    size_t n = (size_t)p->rows * (size_t)p->cols;
    size_t at = p->off - net_frozen(t->net);
    float *g = t->micro[0].g + at;
    double sum = 0;
    for (int k = 1; k < t->n_micro; k++) {
        const float *from = t->micro[k].g + at;
        for (size_t j = 0; j < n; j++) g[j] += from[j];
    }
    for (size_t j = 0; j < n; j++) {
        g[j] *= scale;
        sum += (double)g[j] * g[j];
    }
    t->norm2[i] = sum;
}

/* The next tensor that is trained, claimed. */
static size_t next_tensor(struct train *t)
{
    return net_frozen_tensors(t->net) + (size_t)atomic_fetch_add(&t->next, 1);
}

static void gather_thread(void *ctx, int thread, int n_thread)
{
    struct train *t = ctx;
    (void)thread, (void)n_thread;
    for (size_t i; (i = next_tensor(t)) < net_n_tensor(t->net);) gather_tensor(t, i, t->scale);
}

static void update_thread(void *ctx, int thread, int n_thread)
{
    struct train *t = ctx;
    (void)n_thread;
    struct adamw adam = { t->lr, 0.9f, 0.95f, 1e-8f, 0, t->c.step + 1 };
    struct muon muon = { t->lr, 0.95f, MUON_DECAY };
    const float *g = t->micro[0].g;
    for (size_t i; (i = next_tensor(t)) < net_n_tensor(t->net);) {
        const struct param *p = net_param(t->net, i);
        size_t n = (size_t)p->rows * (size_t)p->cols, o = p->off - net_frozen(t->net);
        if (p->is_matrix && !p->is_embedding && !t->o.tune)
            muon_update(&muon, t->w + p->off, t->m + o, g + o, p->rows, p->cols, t->clip,
                        t->o.ops->gemm, &t->worker[thread].tmp);
        else adamw_update(&adam, t->w + p->off, t->m + o, t->v + o, g + o, n, t->clip);
    }
}

static void on_all(struct train *t, pool_fn *fn)
{
    atomic_store(&t->next, 0);
    pool_run(t->pool, fn, t);
}

static bool micros_fit(struct train *t, int n, struct err *e)
{
    if (n > t->cap_micro) t->micro = mem_resize(t->micro, (size_t)n * sizeof *t->micro);
    for (; t->cap_micro < n; t->cap_micro++) {
        t->micro[t->cap_micro] =
            (struct micro){ .g = mem_slab(train_n_free(t) * sizeof(float), e) };
        if (!t->micro[t->cap_micro].g) return false;
    }
    t->n_micro = n;
    return true;
}

static bool workers_ok(const struct train *t, struct err *e)
{
    for (int i = 0; i < t->o.threads; i++)
        if (t->worker[i].err.code) {
            if (e) *e = t->worker[i].err;
            return false;
        }
    return true;
}

/* What a step adds up to over all its micro-batches, in whatever process; numbers, to be summed. */
struct books { double loss, weight, tokens, examples, dropped, failed; struct class_sums sums; };

static struct books books_of(const struct train *t)
{
    struct books b = { .failed = !workers_ok(t, NULL) };
    for (int i = 0; i < t->n_micro && !b.failed; i++) {
        const struct micro *k = &t->micro[i];
        b.loss += k->loss.loss;
        b.weight += k->loss.weight;
        b.tokens += (double)k->tokens;
        b.examples += (double)(k->drawn - k->dropped);
        b.dropped += (double)k->dropped;
        class_merge(&b.sums, &k->sums);
    }
    ranks_sum_f64(&t->o.ranks, (double *)&b, sizeof b / sizeof(double));
    return b;
}

/* Tokens, losses, and the running mean that the status shows. */
static void account(struct train *t, const struct books *b)
{
    t->c.tokens += (int64_t)b->tokens;
    t->c.examples += (int64_t)b->examples;
    t->c.dropped += (int64_t)b->dropped;
    t->part_tokens += b->tokens;
    class_merge(&t->sums, &b->sums);
    t->c.loss_ema += b->loss / MAX(b->weight, 1e-9);
    t->c.loss_weight += 1;
    if (t->c.loss_weight > EMA_STEPS) { /* mean of about the last EMA_STEPS steps */
        t->c.loss_ema *= (EMA_STEPS - 1) / t->c.loss_weight;
        t->c.loss_weight = EMA_STEPS - 1;
    }
}

/* The gradient of the step, in the first micro-batch's place, and the squares of its tensors. */
static void gather(struct train *t, double weight)
{
    bool alone = ranks_n(t) == 1;
    float scale = weight > 0 ? (float)(1 / weight) : 0;
    t->scale = alone ? scale : 1;
    on_all(t, gather_thread);
    if (alone) return;
    ranks_sum(&t->o.ranks, t->micro[0].g, train_n_free(t));
    t->scale = scale;
    t->n_micro = 1;
    on_all(t, gather_thread);
}

static bool optimizer_step(struct train *t, double weight, struct err *e)
{
    gather(t, weight);
    double norm2 = 0;
    for (size_t i = net_frozen_tensors(t->net); i < net_n_tensor(t->net); i++) norm2 += t->norm2[i];
    t->grad_norm = (float)sqrt(norm2);
    if (!isfinite(norm2)) {
        if (++t->c.bad_steps < BAD_STEPS) return true;                /* skipped */
        return err_set(e, ERR_INTERNAL,
                       "step %lld: the gradient is not finite, for the third time in a row; a "
                       "lower --lr may help",
                       (long long)t->c.step);
    }
    t->c.bad_steps = 0;
    t->clip = (float)(norm2 > CLIP * CLIP ? CLIP / sqrt(norm2) : 1);
    on_all(t, update_thread);
    return true;
}

double train_progress(const struct train *t)
{
    double p =
        t->o.steps > 0 ? (double)t->c.step / (double)t->o.steps : t->c.seconds / t->o.seconds;
    return MIN(p, 1.0);
}

bool train_step(struct train *t, struct err *e)
{
    double progress = train_progress(t);
    t->stage = schedule_stage(&t->o, progress);
    t->lr = schedule_lr(&t->o, t->c.step, progress);
    int n_micro = MAX(1, schedule_tokens(&t->o, progress) / MICRO_TOKENS);
    int mine = (n_micro - t->o.ranks.rank + ranks_n(t) - 1) / ranks_n(t);
    if (!micros_fit(t, MAX(mine, 1), e)) return false;
    if (mine > 0) on_all(t, micro_thread);
    else micro_of_nothing(t, &t->micro[0]);
    struct books b = books_of(t);
    if (!workers_ok(t, e)) return err_in(e, "step %lld", (long long)t->c.step);
    if (b.failed > 0) return err_set(e, ERR_INTERNAL, "step %lld: another process of this run has failed", (long long)t->c.step);
    account(t, &b);
    if (!optimizer_step(t, b.weight, e)) return false;
    t->c.micro += (uint64_t)n_micro;
    t->c.step++;
    return true;
}

/* ---- evaluation ---- */

struct eval_job {
    struct train *t;
    enum data_set set;
    int stage, n;
    uint8_t *kind, *right; /* [n]: DATA_KINDS where none was drawn */
    atomic_int turns, begun; /* the assistant's, and of them those whose first token is right */
};

/* Scores the conversations gathered in the worker's batch: right if every assistant token is. */
static bool eval_flush(struct eval_job *j, struct worker *k, const int *which)
{
    struct pack_loss loss;
    struct batch_buf *b = &k->batch;
    if (!b->p.n) return true;
    rows_fit(k);
    for (int i = 0; i < b->p.n; i++)
        if (b->cls[i] == TC_PROMPT) b->target[i] = -1;
    memset(k->row_hit, 1, (size_t)b->p.n);
    if (!net_step(j->t->net, j->t->w, &b->p, j->t->o.ops, 1, 0, NULL, NULL, k->row_hit, &k->tmp,
                  &loss, &k->err))
        return false;
    k->loss.loss += loss.loss;
    k->loss.weight += loss.weight;
    for (int q = 0; q < b->p.n_seq; q++) {
        bool all = true, inside = false;
        for (int i = 0, r = b->start[q]; i < b->length[q]; i++, r++) {
            bool target = b->target[r] >= 0;
            all = all && (!target || k->row_hit[r]);
            j->turns += target && !inside;
            j->begun += target && !inside && k->row_hit[r];
            inside = target;
        }
        j->right[which[q]] = all;
    }
    batch_clear(b);
    return true;
}

static void eval_thread(void *ctx, int thread, int n_thread)
{
    struct eval_job *j = ctx;
    struct worker *k = &j->t->worker[thread];
    int which[MICRO_TOKENS], most = MIN(stage_max_tokens(j->stage), j->t->o.shape.n_ctx);
    batch_clear(&k->batch);
    k->loss = (struct pack_loss){ 0 };
    for (int i = thread; i < j->n; i += n_thread) {
        struct example x = { 0 };
        arena_reset(&k->batch.mem, 0);
        if (!j->t->src.draw(j->t->src.ctx, j->set, j->stage, (uint64_t)i, most, &k->batch.mem, &x,
                            &k->err)) {
            if (k->err.code != ERR_LIMIT) return;
            k->err = (struct err){ 0 };
            continue;
        }
        if (x.n < 2) continue;
        j->kind[i] = (uint8_t)x.kind;
        which[k->batch.p.n_seq] = i;
        batch_add(&k->batch, &x, 1, 0);
        if (k->batch.p.n >= MICRO_TOKENS && !eval_flush(j, k, which)) return;
    }
    eval_flush(j, k, which);
}

bool train_eval(struct train *t, enum data_set set, int stage, int n, struct train_score *out,
                struct err *e)
{
    struct eval_job j = { t, set, stage, n, mem_alloc((size_t)n), mem_zero((size_t)n), 0, 0 };
    int right = 0, right_kind[DATA_KINDS] = { 0 };
    *out = (struct train_score){ .all = -1 };
    memset(j.kind, DATA_KINDS, (size_t)n);
    pool_run(t->pool, eval_thread, &j);
    for (int i = 0; i < n; i++) {
        if (j.kind[i] >= DATA_KINDS) continue;
        out->n++;
        out->n_kind[j.kind[i]]++;
        right += j.right[i];
        right_kind[j.kind[i]] += j.right[i];
    }
    if (out->n) out->all = (double)right / out->n;
    out->first = (double)j.begun / MAX(j.turns, 1);
    double loss = 0, weight = 0;
    for (int i = 0; i < t->o.threads; i++)
        loss += t->worker[i].loss.loss, weight += t->worker[i].loss.weight;
    out->loss = loss / MAX(weight, 1e-9);
    for (int k = 0; k < DATA_KINDS; k++)
        out->kind[k] = out->n_kind[k] ? (double)right_kind[k] / out->n_kind[k] : -1;
    mem_free(j.kind);
    mem_free(j.right);
    return workers_ok(t, e);
}

static bool eval_all(struct train *t, struct score_row *row, struct err *e)
{
    if (t->o.eval_examples < 1) return true;
    for (int s = DATA_E1_IID; s < DATA_SETS; s++)
        if (!train_eval(t, (enum data_set)s, EVAL_STAGE, t->o.eval_examples, &row->set[s], e))
            return err_in(e, "evaluation");
    row->measured = true;
    t->c.e1 = row->set[DATA_E1_IID].all;
    t->c.e2 = row->set[DATA_E2_TOOLS].all;
    return true;
}

/* ---- the loop ---- */

static bool save_in_dir(struct train *t, const char *name, struct err *e)
{
    if (!t->o.dir) return true;
    struct str path = { 0 };
    str_fmt(&path, "%s/%s", t->o.dir, name);
    bool ok = train_save(t, path.p, e);
    str_done(&path);
    return ok;
}

static bool save_step(struct train *t, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "step-%09lld.ckpt", (long long)t->c.step);
    if (!save_in_dir(t, name, e)) return false;
    if (t->o.dir) ckpt_prune(t->o.dir, 3);
    return true;
}

/* Measures, writes a line of the log, keeps the best. */
static bool look(struct train *t, bool measure, struct err *e)
{
    struct score_row row = { 0 };
    if (measure && !eval_all(t, &row, e)) return false;
    if (t->status && !status_log(t->status, t, &row, e)) return false;
    if (!row.measured || t->c.e2 <= t->c.best) return true;
    t->c.best = t->c.e2;
    return save_in_dir(t, "best.ckpt", e);
}

bool train_stopped(const struct train *t)
{
    return (t->o.stop && *t->o.stop) || (t->o.pause_at && t->c.step >= t->o.pause_at);
}

void train_tick(struct train *t, uint64_t *last)
{
    uint64_t now = clock_ns();
    t->c.seconds += (double)(now - *last) / 1e9;
    t->part_seconds += (double)(now - *last) / 1e9;
    *last = now;
}

/* Is there another step? All processes go by the clock of rank 0, and all stop when one is told to. */
static bool goes_on(struct train *t)
{
    bool stops = train_stopped(t);
    if (ranks_n(t) > 1) {
        double v[2] = { t->o.ranks.rank ? 0 : t->c.seconds, stops };
        ranks_sum_f64(&t->o.ranks, v, LEN(v));
        t->c.seconds = v[0];
        stops = v[1] > 0;
    }
    return train_progress(t) < 1 && !stops;
}

bool train_run(struct train *t, struct err *e)
{
    uint64_t last = clock_ns();
    double log_at = t->c.seconds + t->o.log_every, eval_at = t->c.seconds + t->o.eval_every,
           save_at = t->c.seconds + t->o.save_every;
    if (!t->status && !(t->status = status_open(t, e))) return false;
    while (goes_on(t)) {
        if (!train_step(t, e)) return false;
        bool measure = t->o.eval_every > 0 && t->c.seconds >= eval_at;
        if ((measure || (t->o.log_every > 0 && t->c.seconds >= log_at)) && !look(t, measure, e))
            return false;
        if (measure) eval_at = t->c.seconds + t->o.eval_every;
        if (t->c.seconds >= log_at) log_at = t->c.seconds + t->o.log_every;
        if (t->o.save_every > 0 && t->c.seconds >= save_at) {
            if (!save_step(t, e)) return false;
            save_at = t->c.seconds + t->o.save_every;
        }
        train_tick(t, &last);
        status_step(t->status, t);
    }
    return look(t, !train_stopped(t) && t->o.eval_every > 0, e) && save_step(t, e);
}

struct train_summary train_summary(const struct train *t)
{
    const struct counters *c = &t->c;
    return (struct train_summary){ c->step,
                                   c->tokens,
                                   c->examples,
                                   c->dropped,
                                   c->seconds,
                                   c->loss_ema / MAX(c->loss_weight, 1.0),
                                   t->part_tokens / MAX(t->part_seconds, 1e-9),
                                   c->e1,
                                   c->e2,
                                   c->best,
                                   train_stopped(t) };
}
