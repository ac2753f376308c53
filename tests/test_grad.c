/* test_grad.c -- gradients against central differences, op by op and for the whole nano model;
 * packing without leakage; the BF16 products against f32; the fast products against the plain one.
 */
#include <math.h>

#include "cpu/cpu.h"
#include "model/model.h"
#include "test.h"

static struct model_config nano(void)
{
    struct model_config c = { .arch = "lfm2",
                              .n_layer = 6,
                              .n_embd = 128,
                              .n_ff = 320,
                              .n_head = 4,
                              .head_dim = 32,
                              .n_vocab = 1024,
                              .n_ctx = 512,
                              .conv_taps = 3,
                              .rms_eps = 1e-5f,
                              .rope_theta = 10000 };
    c.n_head_kv[1] = c.n_head_kv[4] = c.n_head_kv[5] = 2;
    return c;
}

static void fill(float *x, size_t n, uint64_t seed, double dev)
{
    struct rng r = rng_make(seed, 1, 2);
    for (size_t i = 0; i < n; i++) x[i] = (float)(rng_normal(&r) * dev);
}

/* ---- one op at a time: loss = sum_i c_i y_i with random c, so that the gradient of y is c ---- */

enum { N = 5, D = 32, NH = 2, V = 64, MOST = 4096 };
static float X[MOST], W[MOST], C[MOST], Y[MOST], T[MOST], ROPE[D], GX[MOST], GW[MOST], TMP[MOST];

static double weighted(size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += (double)C[i] * Y[i];
    return s;
}

struct op_case {
    const char *name;
    size_t nx, nw, ny;
    double (*loss)(const struct grad_ops *o);
    void (*grad)(const struct grad_ops *o);
};

static double rms_loss(const struct grad_ops *o)
{
    o->rms(Y, X, W, N, D, 1e-5f);
    return weighted(N * D);
}
static void rms_back(const struct grad_ops *o) { o->rms_grad(GX, GW, C, X, W, N, D, 1e-5f); }
static double head_loss(const struct grad_ops *o)
{
    o->head(Y, X, W, ROPE, NH, D, 1e-5f);
    return weighted(NH * D);
}
static void head_back(const struct grad_ops *o)
{
    o->head_grad(GX, GW, C, X, W, ROPE, NH, D, 1e-5f);
}
static double conv_loss(const struct grad_ops *o)
{
    o->conv(Y, T, X, W, N, D);
    return weighted(N * D);
}
static double turn_loss(const struct grad_ops *o)
{
    o->turn(Y, X, ROPE, NH, D);
    return weighted(NH * D);
}
static void turn_back(const struct grad_ops *o) { o->turn_grad(GX, C, ROPE, NH, D); }
static void conv_back(const struct grad_ops *o)
{
    o->conv(Y, T, X, W, N, D);
    o->conv_grad(GX, TMP, GW, C, X, T, W, N, D);
}
static double swiglu_loss(const struct grad_ops *o)
{
    o->swiglu(Y, X, N, D);
    return weighted(N * D);
}
static void swiglu_back(const struct grad_ops *o) { o->swiglu_grad(GX, TMP, C, X, N, D); }
static double softmax_loss(const struct grad_ops *o)
{
    memcpy(Y, X, 48 * sizeof *Y);
    o->softmax(Y, 37, 48, 0.7f);
    return weighted(37);
}
static void softmax_back(const struct grad_ops *o)
{
    memcpy(Y, X, 48 * sizeof *Y);
    float lse = o->softmax(Y, 37, 48, 0.7f), dot = 0;
    for (int i = 0; i < 37; i++) dot += Y[i] * C[i];
    memcpy(TMP, X, 48 * sizeof *TMP);
    memcpy(GX, C, 48 * sizeof *GX);
    o->softmax_grad(TMP, GX, 37, 48, 0.7f, lse, dot);
    for (int i = 0; i < 48; i++)
        CHECK(fabsf(TMP[i] - Y[i]) < 1e-6f, "probability %d is recomputed", i);
}
static double xent_loss(const struct grad_ops *o)
{
    memcpy(Y, X, V * sizeof *Y);
    double lse = 0, z = 0.01;
    for (int i = 0; i < V; i++) lse += exp(X[i]);
    lse = log(lse);
    return 1.5 * (o->xent(Y, V, 11, 1.5f, 0.01f, false, NULL) + z * lse * lse);
}
static void xent_back(const struct grad_ops *o)
{
    memcpy(GX, X, V * sizeof *GX);
    o->xent(GX, V, 11, 1.5f, 0.01f, true, NULL);
}

static const struct op_case op_cases[] = {
    { "rms", N * D, D, N * D, rms_loss, rms_back },
    { "head", NH * D, D, NH * D, head_loss, head_back },
    { "turn", NH * D, 0, NH * D, turn_loss, turn_back },
    { "conv", N * 3 * D, 3 * D, N * D, conv_loss, conv_back },
    { "swiglu", N * 2 * D, 0, N * D, swiglu_loss, swiglu_back },
    { "softmax", 37, 0, 37, softmax_loss, softmax_back },
    { "xent", V, 0, V, xent_loss, xent_back },
};

static void check_entry(const struct op_case *c, const struct grad_ops *o, const char *what,
                        float *p, float got, size_t i)
{
    float keep = *p, h = 5e-3f;
    *p = keep + h;
    double up = c->loss(o);
    *p = keep - h;
    double down = c->loss(o);
    *p = keep;
    double want = (up - down) / (2.0 * h);
    CHECK(fabs(want - got) / (fabs(want) + fabs(got) + 2e-2) < 2e-2,
          "%s %s: d/d%s[%zu]: %g, differences say %g", o->name, c->name, what, i, got, want);
}

static void check_op(const struct op_case *c, const struct grad_ops *o)
{
    fill(X, MOST, 1, 1);
    fill(W, MOST, 2, 1);
    fill(C, MOST, 3, 1);
    for (int i = 0; i < D / 2; i++)
        ROPE[i] = cosf(0.3f * (float)i), ROPE[D / 2 + i] = sinf(0.3f * (float)i);
    memset(GX, 0, sizeof GX);
    memset(GW, 0, sizeof GW);
    c->grad(o);
    for (size_t i = 0; i < c->nx; i += 3) check_entry(c, o, "x", &X[i], GX[i], i);
    for (size_t i = 0; i < c->nw; i++) check_entry(c, o, "w", &W[i], GW[i], i);
}

static const char *const builds[] = { "plain", "avx2", "avx512", "bf16" };

TEST(every_op_has_the_gradient_that_differences_say)
{
    for (size_t i = 0; i < LEN(op_cases); i++) check_op(&op_cases[i], &grad_ops_ref);
    for (size_t b = 0; b < LEN(builds); b++) {
        const struct grad_ops *o = cpu_grad_ops(builds[b]);
        if (!o) printf("skipped: this machine has no %s\n", builds[b]);
        for (size_t i = 0; o && i < LEN(op_cases); i++) check_op(&op_cases[i], o);
    }
}

/* ---- products ---- */

static const struct { int m, n, k;
} shapes[] = {
    { 1, 1, 1 },   { 8, 48, 2 },    { 7, 47, 31 },     { 9, 49, 33 },
    { 13, 64, 5 }, { 200, 80, 37 }, { 193, 17, 1100 }, { 24, 112, 64 },
};

static void check_gemm(const struct grad_ops *o, enum gemm_kind kind, int m, int n, int k, bool acc,
                       struct arena *tmp)
{
    int lda = (kind == GEMM_TN ? m : k) + 3, ldb = (kind == GEMM_NT ? k : n) + 5, ldc = n + 1;
    size_t na = (size_t)(kind == GEMM_TN ? k : m) * lda,
           nb = (size_t)(kind == GEMM_NT ? n : k) * ldb, nc = (size_t)m * ldc;
    float *a = mem_alloc(na * 4), *b = mem_alloc(nb * 4), *c = mem_alloc(nc * 4),
          *want = mem_alloc(nc * 4);
    fill(a, na, 5, 1);
    fill(b, nb, 6, 1);
    fill(c, nc, 7, 1);
    memcpy(want, c, nc * 4);
    gemm_ref(kind, m, n, k, a, lda, b, ldb, want, ldc, acc, tmp);
    o->gemm(kind, m, n, k, a, lda, b, ldb, c, ldc, acc, tmp);
    double worst = 0, limit = (strcmp(o->name, "bf16") ? 1e-5 : 3e-2) * sqrt(k);
    for (size_t i = 0; i < nc; i++) worst = fmax(worst, fabs((double)c[i] - want[i]));
    CHECK(worst < limit, "%s kind %d %dx%dx%d accumulate %d: off by %g", o->name, (int)kind, m, n,
          k, acc, worst);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(want);
}

TEST(fast_products_equal_the_plain_one_at_odd_shapes)
{
    struct arena tmp;
    arena_init(&tmp, 1 << 20);
    for (size_t b = 0; b < LEN(builds); b++)
        for (size_t i = 0; cpu_grad_ops(builds[b]) && i < LEN(shapes) * 6; i++)
            check_gemm(cpu_grad_ops(builds[b]), (enum gemm_kind)(i % 3), shapes[i / 6].m,
                       shapes[i / 6].n, shapes[i / 6].k, i / 3 % 2, &tmp);
    arena_done(&tmp);
}

/* ---- the whole model ---- */

struct world { /* a nano net and a pack of three conversations */
    struct net *net;
    float *w, *g;
    int32_t token[96], target[96], start[3], length[3], pos0[3];
    float weight[96];
    struct pack p;
    struct arena tmp;
    const struct grad_ops *op;
};

static void world_open_as(struct world *s, const struct model_config *c, const char *build)
{
    struct err e = { 0 };
    *s = (struct world){ .net = net_new(c, &e), .op = cpu_grad_ops(build) };
    CHECK(s->net, "%s", e.msg);
    size_t n = net_n_param(s->net);
    s->w = mem_alloc(n * sizeof *s->w);
    s->g = mem_zero(n * sizeof *s->g);
    net_init(s->net, s->w, 42);
    struct rng r = rng_make(7, 0, 0);
    static const int length[] = { 17, 1, 70 }, pos0[] = { 0, 3, 40 };
    for (int q = 0; q < 3; q++) {
        s->start[q] = s->p.n;
        s->length[q] = length[q];
        s->pos0[q] = pos0[q];
        for (int i = 0; i < length[q]; i++, s->p.n++) {
            s->token[s->p.n] = (int32_t)rng_below(&r, 1024);
            s->target[s->p.n] = i % 5 == 4 ? -1 : (int32_t)rng_below(&r, 1024);
            s->weight[s->p.n] = s->target[s->p.n] < 0 ? 0 : i % 3 ? 1 : 2;
        }
    }
    s->p = (struct pack){ s->p.n, 3, s->token, s->target, s->weight, s->start, s->length, s->pos0 };
    arena_init(&s->tmp, 64 << 20);
}

static void world_open(struct world *s, const char *build)
{
    struct model_config c = nano();
    world_open_as(s, &c, build);
}

static void world_close(struct world *s)
{
    net_free(s->net);
    mem_free(s->w);
    mem_free(s->g);
    arena_done(&s->tmp);
}

static double loss_of(struct world *s, const struct pack *p, float *g)
{
    struct err e = { 0 };
    struct pack_loss out;
    bool ok = net_step(s->net, s->w, p, s->op, 1, 0, g, NULL, NULL, &s->tmp, &out, &e);
    CHECK(ok, "%s", e.msg);
    return out.loss;
}

/* Entry of the tensor to try: embedding rows must occur in the pack. */
static size_t entry(const struct world *s, const struct param *p, struct rng *r)
{
    size_t row = p->is_embedding ? (size_t)s->token[rng_below(r, (uint32_t)s->p.n)]
                                 : rng_below(r, (uint32_t)p->rows);
    return p->off + row * (size_t)p->cols + rng_below(r, (uint32_t)p->cols);
}

/* Four-point differences: the step may be large, so that rounding of the loss stays below the
 * tolerance. */
static double slope(struct world *s, size_t at)
{
    static const struct {
        double step, weight;
    } points[] = { { 1, 8 }, { -1, -8 }, { 2, -1 }, { -2, 1 } };
    const double h =
        at < (size_t)1024 * 128 ? 4e-3 : 2e-2; /* embeddings come first and are small */
    float keep = s->w[at];
    double sum = 0;
    for (size_t i = 0; i < LEN(points); i++) {
        s->w[at] = keep + (float)(h * points[i].step);
        sum += points[i].weight * loss_of(s, &s->p, NULL);
    }
    s->w[at] = keep;
    return sum / (12 * h);
}

/* `tries` entries of every tensor that is trained. */
static void check_slopes(struct world *s, int tries)
{
    struct rng r = rng_make(9, 9, 9);
    loss_of(s, &s->p, s->g);
    for (size_t i = net_frozen_tensors(s->net); i < net_n_tensor(s->net); i++)
        for (int k = 0; k < tries; k++) {
            const struct param *p = net_param(s->net, i);
            size_t at = entry(s, p, &r);
            double want = slope(s, at), got = s->g[at - net_frozen(s->net)];
            CHECK(fabs(want - got) / (fabs(want) + fabs(got) + 2e-2) < 2e-2,
                  "%s entry %zu: %g, differences say %g", p->name, at - p->off, got, want);
        }
}

TEST(the_nano_model_has_the_gradient_that_differences_say)
{
    struct world s;
    world_open(&s, "f32");
    check_slopes(&s, SANITIZED ? 1 : 5);
    world_close(&s);
}

/* Grouped queries, pairs of neighbours, heads that together are wider than the stream. */
static struct model_config family(const char *arch)
{
    struct model_config c = nano();
    snprintf(c.arch, sizeof c.arch, "%s", arch);
    c.n_layer = 2;
    c.n_head = 6;
    for (int l = 0; l < 6; l++) c.n_head_kv[l] = l < 2 ? 2 : 0;
    return c;
}

TEST(other_families_have_the_gradient_that_differences_say)
{
    static const char *const arch[] = { "llama", "qwen3" };
    for (size_t i = 0; i < LEN(arch); i++) {
        struct world s;
        struct model_config c = family(arch[i]);
        world_open_as(&s, &c, "f32");
        check_slopes(&s, SANITIZED ? 1 : 4);
        world_close(&s);
    }
}

/* A net with additions whose B is no longer zero, so that A has a gradient too. */
static void add_pairs(struct world *s)
{
    struct err e = { 0 };
    CHECK(net_add_lora(s->net, 5, 10, LORA_ATTN | LORA_CONV | LORA_FFN, &e), "%s", e.msg);
    size_t n = net_n_param(s->net), from = net_frozen(s->net);
    s->w = mem_resize(s->w, n * sizeof *s->w);
    s->g = mem_resize(s->g, n * sizeof *s->g);
    memset(s->g, 0, n * sizeof *s->g);
    fill(s->w + from, n - from, 11, 0.05);
}

TEST(additions_have_the_gradient_that_differences_say)
{
    struct model_config c[] = { nano(), family("llama") };
    for (size_t i = 0; i < LEN(c); i++) {
        struct world s;
        world_open_as(&s, &c[i], "f32");
        add_pairs(&s);
        check_slopes(&s, SANITIZED ? 1 : 3);
        world_close(&s);
    }
}

TEST(an_addition_begins_as_nothing)
{
    struct world s;
    world_open(&s, "f32");
    double before = loss_of(&s, &s.p, NULL);
    add_pairs(&s);
    net_init(s.net, s.w, 1);
    double after = loss_of(&s, &s.p, NULL);
    CHECK(before == after, "loss %.9g before, %.9g with B = 0", before, after);
    world_close(&s);
}

TEST(additions_that_cannot_be_are_refused)
{
    static const struct { const char *why; int rank; float alpha; unsigned targets; } rows[] = {
        { "no rank", 0, 1, LORA_ATTN },
        { "a rank beyond reason", 5000, 1, LORA_ATTN },
        { "alpha 0", 4, 0, LORA_ATTN },
        { "no matrix of the kind", 4, 8, LORA_CONV },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct world s;
        struct err e = { 0 };
        struct model_config c = family("llama");
        world_open_as(&s, &c, "plain");
        bool ok = net_add_lora(s.net, rows[i].rank, rows[i].alpha, rows[i].targets, &e);
        CHECK(!ok && e.code == ERR_ARG, "%s: %s", rows[i].why, e.msg);
        world_close(&s);
    }
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++)
        ab += (double)a[i] * b[i], aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
    return ab / sqrt(aa * bb);
}

TEST(a_pack_is_the_sum_of_its_conversations)
{
    struct world s;
    world_open(&s, "f32");
    size_t n = net_n_param(s.net);
    double whole = loss_of(&s, &s.p, s.g), parts = 0;
    float *g = mem_zero(n * sizeof *g);
    for (int q = 0; q < 3; q++) {
        int r = s.start[q];
        static const int32_t zero;
        struct pack one = { s.length[q],  1,     s.token + r,  s.target + r,
                            s.weight + r, &zero, &s.length[q], &s.pos0[q] };
        parts += loss_of(&s, &one, g);
    }
    CHECK(fabs(whole - parts) / parts < 1e-5, "loss %g, parts %g", whole, parts);
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) diff += pow((double)g[i] - s.g[i], 2), size += pow(g[i], 2);
    CHECK(sqrt(diff / size) < 1e-5, "gradients differ by %g", sqrt(diff / size));
    mem_free(g);
    world_close(&s);
}

TEST(no_conversation_sees_another)
{
    static const char *const which[] = { "f32", NULL };
    for (size_t b = 0; b < LEN(which); b++) {
        struct world s;
        world_open(&s, which[b]);
        struct err e = { 0 };
        struct pack_loss out;
        float before[96], after[96];
        net_step(s.net, s.w, &s.p, s.op, 1, 0, NULL, before, NULL, &s.tmp, &out, &e);
        for (int i = 0; i < s.length[0]; i++) s.token[i] = (s.token[i] + 1) % 1024;
        net_step(s.net, s.w, &s.p, s.op, 1, 0, NULL, after, NULL, &s.tmp, &out, &e);
        int changed = 0;
        for (int i = 0; i < s.p.n; i++) {
            if (s.target[i] < 0) continue;
            if (i < s.length[0]) changed += before[i] != after[i];
            else
                CHECK(before[i] == after[i], "%s: row %d of another conversation moved: %.9g, %.9g",
                      s.op->name, i, before[i], after[i]);
        }
        CHECK(changed > 0, "%s: a changed token must change its own conversation", s.op->name);
        world_close(&s);
    }
}

TEST(no_row_sees_a_later_one)
{
    struct world s;
    world_open(&s, NULL);
    struct err e = { 0 };
    struct pack_loss out;
    float before[96], after[96];
    net_step(s.net, s.w, &s.p, s.op, 1, 0, NULL, before, NULL, &s.tmp, &out, &e);
    int at = s.start[2] + 50;
    s.token[at] = (s.token[at] + 1) % 1024;
    net_step(s.net, s.w, &s.p, s.op, 1, 0, NULL, after, NULL, &s.tmp, &out, &e);
    for (int i = 0; i < at; i++)
        CHECK(s.target[i] < 0 || before[i] == after[i], "row %d before the change moved", i);
    CHECK(before[at + 1] != after[at + 1] || before[at + 2] != after[at + 2],
          "rows after the change must move");
    world_close(&s);
}

TEST(bf16_products_give_nearly_the_f32_gradient)
{
    if (!cpu_grad_ops("bf16")) SKIP("this machine has no BF16 products");
    struct world s;
    world_open(&s, "f32");
    size_t n = net_n_param(s.net);
    float *g = mem_zero(n * sizeof *g);
    double exact = loss_of(&s, &s.p, s.g);
    s.op = cpu_grad_ops("bf16");
    double fast = loss_of(&s, &s.p, g);
    CHECK(cosine(g, s.g, n) > 0.999, "cosine %g", cosine(g, s.g, n));
    CHECK(fabs(fast - exact) / exact < 1e-2, "loss %g against %g", fast, exact);
    mem_free(g);
    world_close(&s);
}

TEST(a_step_refuses_what_is_not_a_pack)
{
    struct world s;
    world_open(&s, "f32");
    struct pack_loss out;
    static const struct { const char *why; int token, start, pos0; enum err_code code; } rows[] = {
        { "token below the vocabulary", -1, 0, 0, ERR_ARG },
        { "token above the vocabulary", 1024, 0, 0, ERR_ARG },
        { "a gap between conversations", 0, 1, 0, ERR_ARG },
        { "positions past the context", 0, 0, 500, ERR_LIMIT },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        int32_t token = s.token[0];
        s.token[0] = rows[i].token, s.start[0] = rows[i].start, s.pos0[0] = rows[i].pos0;
        bool ok = net_step(s.net, s.w, &s.p, s.op, 1, 0, NULL, NULL, NULL, &s.tmp, &out, &e);
        CHECK(!ok && e.code == rows[i].code, "%s: %s", rows[i].why, e.msg);
        s.token[0] = token, s.start[0] = 0, s.pos0[0] = 0;
    }
    world_close(&s);
}

TEST(shapes_that_cannot_be_trained_are_refused_by_name)
{
    static const struct { const char *why; size_t off; int value;
    } rows[] = {
        { "odd width", offsetof(struct model_config, n_embd), 120 },
        { "odd head", offsetof(struct model_config, head_dim), 16 },
        { "no blocks", offsetof(struct model_config, n_layer), 0 },
        { "four taps", offsetof(struct model_config, conv_taps), 4 },
        { "heads that key heads do not divide", offsetof(struct model_config, n_head), 5 },
        { "experts", offsetof(struct model_config, n_expert), 8 },
        { "a window", offsetof(struct model_config, window), 64 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct model_config c = nano();
        struct err e = { 0 };
        memcpy((char *)&c + rows[i].off, &rows[i].value, sizeof(int));
        struct net *n = net_new(&c, &e);
        CHECK(!n && e.code == ERR_UNSUPPORTED, "%s: %s", rows[i].why, e.msg);
        net_free(n);
    }
}

TEST_MAIN
