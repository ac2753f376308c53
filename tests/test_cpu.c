/* test_cpu.c -- every instruction set this machine can run against the plain reference, at odd
 * shapes, and the promise that a result depends neither on how many columns came along nor on
 * the threads. */
#include <math.h>

#include "cpu/cpu.h"
#include "tensor/tensor.h"
#include "test.h"

static float *noise(size_t n, uint64_t seed, double scale)
{
    float *x = mem_alloc(MAX(n, 1) * sizeof *x);
    struct rng r = rng_make(seed, 0, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)(rng_normal(&r) * scale);
    return x;
}

/* Distance relative to the length of b. */
static double far(const float *a, const float *b, size_t n)
{
    double d = 0, l = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        l += (double)b[i] * b[i];
    }
    return sqrt(d / (l > 0 ? l : 1));
}

/* A function of one table, called for every instruction set with one thread and with three. */
#define EACH_OPS(ops)                                                                              \
    for (int isa_ = 0; cpu_isa(isa_); isa_++)                                                      \
        for (int wide_ = 0; wide_ < 2; wide_++)                                                    \
            for (struct bench_of ops##_ = open_ops(cpu_isa(isa_), wide_ ? 3 : 1); ops##_.ops;      \
                 close_ops(&ops##_))                                                               \
                for (const struct ops *ops = ops##_.ops; ops; ops = NULL)
struct bench_of { struct pool *pool; const struct ops *ops; };

static struct bench_of open_ops(const char *isa, int n_thread)
{
    struct err e = { 0 };
    struct bench_of b = { pool_open(n_thread, &e), NULL };
    b.ops = cpu_ops_open(b.pool, isa, &e);
    CHECK(b.ops, "%s: %s", isa, e.msg);
    return b;
}

static void close_ops(struct bench_of *b)
{
    cpu_ops_close(b->ops);
    pool_close(b->pool);
    *b = (struct bench_of){ 0 };
}

/* ---- products -------------------------------------------------------------------------------- */

static const struct { int n_out, n_in, n;
} shapes[] = {
    { 1, 256, 1 },   { 33, 256, 1 }, { 31, 512, 7 },   { 64, 768, 6 },
    { 70, 256, 13 }, { 5, 2304, 3 }, { 230, 512, 14 },
};
static const struct {
    int n_out, n_in, n;
} narrow[] = { { 21, 96, 130 }, { 3, 32, 1 }, { 40, 96, 5 }, { 33, 160, 9 }, { 2, 224, 2 },
             { 19, 256, 100 } }; /* more columns than go by way of rows, against one, which does */
static const struct { int n_out, n_in, n; } loose[] = { { 3, 1, 1 }, { 5, 17, 4 }, { 34, 63, 7 } };

struct product { struct mat w; float *x, *want, *got; int n; };

static struct product product_new(enum dtype d, int n_out, int n_in, int n)
{
    struct product p = { .w = { d, n_out, n_in, NULL, dtype_bytes(d, n_in) }, .n = n };
    float *w = noise((size_t)n_out * n_in, 7, 1 / sqrt(n_in));
    void *packed = mem_alloc(p.w.row_bytes * (size_t)n_out);
    for (int r = 0; r < n_out; r++)
        dtype_info(d)->pack(w + (size_t)r * n_in, NULL, (char *)packed + (size_t)r * p.w.row_bytes,
                            (size_t)n_in);
    p.w.data = packed;
    p.x = noise((size_t)n * n_in, 11, 1);
    p.want = mem_zero((size_t)n * n_out * sizeof(float));
    p.got = mem_zero((size_t)n * n_out * sizeof(float));
    ref_ops()->matmul(NULL, &(struct matmul){ p.want, &p.w }, 1, p.x, n, PHASE_PREFILL);
    mem_free(w);
    return p;
}

static void product_free(struct product *p)
{
    mem_free((void *)p->w.data);
    mem_free(p->x);
    mem_free(p->want);
    mem_free(p->got);
}

/* Inputs of 8 bits lose about 0.4 % of their length (a wrong nibble or scale loses far more than
 * 2 %). */
static double allowed(enum dtype d)
{
    return d == DT_F32 || d == DT_F16 ? 2e-6 : d == DT_BF16 ? 5e-3 : 2e-2;
}

static void check_product(const struct ops *ops, struct product *p, enum phase ph)
{
    ops->matmul(ops->ctx, &(struct matmul){ p->got, &p->w }, 1, p->x, p->n, ph);
    double err = far(p->got, p->want, (size_t)p->n * p->w.n_out);
    CHECK(err <= allowed(p->w.dtype), "%s %s %d x %d, %d columns, %s: relative error %.3g",
          ops->name, dtype_info(p->w.dtype)->name, p->w.n_out, p->w.n_in, p->n,
          ph == PHASE_PREFILL ? "prefill" : "decode", err);
}

/* Column by column and all at once must give the same bits. */
static void check_columns(const struct ops *ops, struct product *p, enum phase ph)
{
    size_t m = (size_t)p->w.n_out;
    float *alone = mem_alloc(m * sizeof *alone);
    for (int t = 0; t < p->n; t++) {
        ops->matmul(ops->ctx, &(struct matmul){ alone, &p->w }, 1, p->x + (size_t)t * p->w.n_in, 1,
                    ph);
        CHECK(!memcmp(alone, p->got + (size_t)t * m, m * sizeof *alone),
              "%s %s: column %d of %d differs alone", ops->name, dtype_info(p->w.dtype)->name, t,
              p->n);
    }
    mem_free(alone);
}

static void check_shape(const struct ops *ops, enum dtype d, int n_out, int n_in, int n)
{
    if (n_in % dtype_info(d)->block) return;
    struct product p = product_new(d, n_out, n_in, n);
    check_product(ops, &p, PHASE_PREFILL);
    check_columns(ops, &p, PHASE_PREFILL);
    check_product(ops, &p, PHASE_DECODE);
    check_columns(ops, &p, PHASE_DECODE);
    product_free(&p);
}

TEST(products_agree_with_the_reference_for_every_dtype)
{
    EACH_OPS(ops)
        for (int d = 0; d < DT_COUNT; d++) {
            if (!dtype_info((enum dtype)d)->pack || !dtype_info((enum dtype)d)->unpack) continue;
            for (size_t s = 0; s < LEN(shapes); s++)
                check_shape(ops, (enum dtype)d, shapes[s].n_out, shapes[s].n_in, shapes[s].n);
            for (size_t s = 0; s < LEN(narrow); s++)
                check_shape(ops, (enum dtype)d, narrow[s].n_out, narrow[s].n_in, narrow[s].n);
            for (size_t s = 0; s < LEN(loose); s++)
                check_shape(ops, (enum dtype)d, loose[s].n_out, loose[s].n_in, loose[s].n);
        }
}

/* The integer products of 64-bit ARM are exact, and what is done with them is the same in all of its steps. */
TEST(steps_of_arm_agree_to_the_last_bit)
{
    static const char *const steps[] = { "neon", "dotprod", "i8mm" };
    for (int d = 0; d < DT_COUNT; d++) {
        if (!dtype_info((enum dtype)d)->pack || !dtype_info((enum dtype)d)->unpack) continue;
        struct product p = product_new((enum dtype)d, 70, 256, 9);
        for (int ph = 0; ph < 2; ph++)
            for (size_t i = 0; i < LEN(steps); i++) {
                const struct ops *ops = cpu_ops_open(NULL, steps[i], NULL);
                if (!ops) break;                                      /* another machine, or a step it lacks */
                ops->matmul(ops->ctx, &(struct matmul){ i ? p.got : p.want, &p.w }, 1, p.x, p.n, (enum phase)ph);
                cpu_ops_close(ops);
                CHECK(i == 0 || !memcmp(p.got, p.want, 70 * 9 * sizeof(float)), "%s, phase %d: %s differs from %s",
                      dtype_info((enum dtype)d)->name, ph, steps[i], steps[0]);
            }
        product_free(&p);
    }
}

/* Products of different dtypes share one input; 4 x 900 rows are spread over the threads. */
TEST(products_of_one_input_run_together)
{
    static const enum dtype kinds[] = { DT_Q4_K, DT_Q6_K, DT_F32, DT_Q8_0 };
    EACH_OPS(ops)
        for (int ph = 0; ph < 2; ph++) {
            struct product p[LEN(kinds)];
            struct matmul mm[LEN(kinds)];
            for (size_t i = 0; i < LEN(kinds); i++) {
                p[i] = product_new(kinds[i], 900, 256, 9);
                mm[i] = (struct matmul){ p[i].got, &p[i].w };
            }
            ops->matmul(ops->ctx, mm, LEN(kinds), p[0].x, 9, (enum phase)ph);
            for (size_t i = 0; i < LEN(kinds); i++)
                CHECK(far(p[i].got, p[i].want, 9 * 900) <= allowed(kinds[i]), "%s: product %zu",
                      ops->name, i);
            for (size_t i = 0; i < LEN(kinds); i++) product_free(&p[i]);
        }
}

TEST(zero_and_huge_inputs_stay_finite)
{
    EACH_OPS(ops)
        for (int big = 0; big < 2; big++) {
            struct product p = product_new(DT_Q8_0, 8, 64, 1);
            for (int i = 0; i < 64; i++) p.x[i] = big ? (i % 2 ? 1e30f : -1e30f) : 0;
            for (int ph = 0; ph < 2; ph++) {
                ops->matmul(ops->ctx, &(struct matmul){ p.got, &p.w }, 1, p.x, 1, (enum phase)ph);
                for (int r = 0; r < 8; r++)
                    CHECK(big ? isfinite(p.got[r]) : p.got[r] == 0, "%s: row %d is %g", ops->name,
                          r, p.got[r]);
            }
            product_free(&p);
        }
}

/* All weights and all inputs at the end of their range: where a narrow sum would overflow. */
TEST(extreme_values_do_not_overflow)
{
    EACH_OPS(ops)
        for (int d = 0; d < DT_COUNT; d++)
            for (int sign = 0; sign < 4; sign++) {
                if (!dtype_info((enum dtype)d)->pack || !dtype_info((enum dtype)d)->unpack)
                    continue;
                struct product p = product_new((enum dtype)d, 3, 256, 2);
                float w[256], wave[256];
                for (int i = 0; i < 256; i++) w[i] = sign & 1 ? -1 : 1;
                /* a type with a minimum needs a range */
                for (int i = 0; i < 256; i++) wave[i] = i % 32 == 31 ? -w[i] : w[i];
                for (int r = 0; r < 3; r++)
                    dtype_info((enum dtype)d)
                        ->pack(r ? wave : w, NULL, (char *)p.w.data + r * p.w.row_bytes, 256);
                for (int i = 0; i < 2 * 256; i++) p.x[i] = sign & 2 ? -1 : 1;
                ref_ops()->matmul(NULL, &(struct matmul){ p.want, &p.w }, 1, p.x, 2, PHASE_PREFILL);
                check_product(ops, &p, PHASE_PREFILL);
                check_product(ops, &p, PHASE_DECODE);
                product_free(&p);
            }
}

/* ---- attention ------------------------------------------------------------------------------- */

static const struct { int n_head, n_kv, head_dim, past, n;
} views[] = {
    { 4, 2, 32, 0, 1 },   { 4, 2, 32, 0, 70 },  { 8, 4, 64, 63, 2 },
    { 3, 1, 20, 100, 5 }, { 4, 4, 16, 128, 1 }, { 8, 1, 128, 5, 33 },
    /* over the borders of segments, with groups of 8, 3 and 1, and heads of every width that has a kernel */
    { 8, 1, 64, 255, 3 }, { 6, 2, 64, 300, 1 },  { 2, 2, 128, 520, 1 }, { 2, 1, 256, 90, 1 }, { 8, 2, 32, 511, 2 },
};
#define PAGE 64

struct view { struct attn a; void *k[12], *v[12]; float *q, *o; };

/* Pages of random keys and values of the backend's own dtype; what lies past the end is poison. */
static struct view view_new(const struct ops *ops, int i, enum dtype kv)
{
    int d = views[i].n_kv * views[i].head_dim, total = views[i].past + views[i].n;
    size_t page = dtype_bytes(kv, (int64_t)PAGE * d),
           n_q = (size_t)views[i].n * views[i].n_head * views[i].head_dim;
    struct view w = { .q = noise(n_q, 3, 1), .o = mem_zero(n_q * sizeof(float)) };
    float *k = noise((size_t)total * d, 4, 1), *v = noise((size_t)total * d, 5, 1);
    for (size_t p = 0; p < LEN(w.k); p++) {
        w.k[p] = mem_alloc(page);
        w.v[p] = mem_alloc(page);
        memset(w.k[p], 0xff, page);
        memset(w.v[p], 0xff, page);
        int n = MIN(PAGE, total - (int)p * PAGE);
        if (n <= 0) continue;
        ops->kv_store(ops->ctx, w.k[p], k + p * PAGE * d, 0, n, d, kv);
        ops->kv_store(ops->ctx, w.v[p], v + p * PAGE * d, 0, n, d, kv);
    }
    mem_free(k);
    mem_free(v);
    w.a = (struct attn){ .n = views[i].n,
                         .n_head = views[i].n_head,
                         .n_head_kv = views[i].n_kv,
                         .head_dim = views[i].head_dim,
                         .page = PAGE,
                         .kv = kv,
                         .q = w.q,
                         .o = w.o,
                         .pos0 = views[i].past,
                         .scale = (float)(1 / sqrt(views[i].head_dim)) };
    return w;
}

static void view_run(const struct ops *ops, struct view *w, enum phase ph)
{
    w->a.k = (const void *const *)w->k;
    w->a.v = (const void *const *)w->v;
    ops->attn(ops->ctx, &w->a, ph);
}

static void view_free(struct view *w)
{
    for (size_t p = 0; p < LEN(w->k); p++) {
        mem_free(w->k[p]);
        mem_free(w->v[p]);
    }
    mem_free(w->q);
    mem_free(w->o);
}

TEST(attention_agrees_with_the_reference)
{
    static const int windows[] = { 0, 1, 20, 64, 100 };
    static const enum dtype types[] = { DT_F16, DT_BF16, DT_F32, DT_Q8_0, DT_F16 };
    EACH_OPS(ops)
        for (size_t i = 0; i < LEN(views); i++)
            for (int way = 0; way < 2 * (int)LEN(windows); way++) {
                int ph = way % 2;
                enum dtype kv = views[i].head_dim % dtype_info(types[way / 2])->block ? DT_F16 : types[way / 2];
                struct view want = view_new(ref_ops(), (int)i, kv), got = view_new(ops, (int)i, kv);
                want.a.window = got.a.window = windows[way / 2];
                view_run(ref_ops(), &want, PHASE_PREFILL);
                view_run(ops, &got, (enum phase)ph);
                double err =
                    far(got.o, want.o, (size_t)views[i].n * views[i].n_head * views[i].head_dim);
                CHECK(err < 1e-3, "%s: row %zu, phase %d, window %d: relative error %.3g", ops->name, i, ph,
                      windows[way / 2], err);
                view_free(&want);
                view_free(&got);
            }
}

/* Segments of a long context are taken by whoever comes first, with as many heads as there is work for. */
TEST(attention_does_not_depend_on_the_threads)
{
    static const enum dtype types[] = { DT_F16, DT_Q8_0, DT_BF16 };
    for (int isa = 0; cpu_isa(isa); isa++)
        for (size_t t = 0; t < LEN(types); t++) {
            struct view one = { 0 }, more;
            for (int n = 1; n < 8; n += 2) {
                struct bench_of b = open_ops(cpu_isa(isa), n);
                more = view_new(b.ops, (int)LEN(views) - 1 - (int)t, types[t]);
                view_run(b.ops, &more, PHASE_DECODE);
                size_t bytes = (size_t)more.a.n * more.a.n_head * more.a.head_dim * sizeof(float);
                if (n == 1) one = more;
                else {
                    CHECK(!memcmp(one.o, more.o, bytes), "%s: %s, %d threads", b.ops->name, dtype_info(types[t])->name, n);
                    view_free(&more);
                }
                close_ops(&b);
            }
            view_free(&one);
        }
}

/* ---- everything else ------------------------------------------------------------------------- */

static const int widths[] = { 1, 7, 16, 33, 64, 129, 4096 };

TEST(rows_are_normed_added_and_gated_as_in_the_reference)
{
    const struct ops *ref = ref_ops();
    EACH_OPS(ops)
        for (size_t i = 0; i < LEN(widths); i++) {
            int d = widths[i], n = 35;
            size_t all = (size_t)n * d;
            float *x = noise(all, 1, 3), *w = noise((size_t)d, 2, 1), *u = noise(all, 3, 2),
                  *a = mem_zero(all * sizeof *a), *b = mem_zero(all * sizeof *b);
            ops->rms(ops->ctx, a, x, w, n, d, 1e-5f);
            ref->rms(NULL, b, x, w, n, d, 1e-5f);
            CHECK(far(a, b, all) < 2e-6, "%s: rms of %d: %.3g", ops->name, d, far(a, b, all));
            ops->swiglu(ops->ctx, a, x, u, all);
            ref->swiglu(NULL, b, x, u, all);
            CHECK(far(a, b, all) < 2e-6, "%s: swiglu of %d: %.3g", ops->name, d, far(a, b, all));
            ops->add(ops->ctx, a, x, all);
            ref->add(NULL, b, x, all);
            CHECK(far(a, b, all) < 2e-6, "%s: add of %d", ops->name, d);
            mem_free(x), mem_free(w), mem_free(u), mem_free(a), mem_free(b);
        }
}

TEST(rope_turns_pairs_as_the_reference_does)
{
    static const int dims[] = { 2, 20, 32, 64, 128 };
    EACH_OPS(ops)
        for (size_t i = 0; i < 2 * LEN(dims); i++) {
            int hd = dims[i / 2], n_head = 3, n = 5;
            enum rope_pairs pairs = i % 2 ? ROPE_NEIGHBOURS : ROPE_HALVES;
            float freq[64], *a = noise((size_t)n * n_head * hd, 9, 1),
                            *b = mem_dup(a, (size_t)n * n_head * hd * sizeof *a);
            int32_t pos[] = { 0, 1, 77, 4095, 32767 };
            for (int j = 0; j < hd / 2; j++) freq[j] = (float)pow(1e6, -2.0 * j / hd);
            ops->rope(ops->ctx, a, pos, n, n_head, hd, freq, pairs);
            ref_ops()->rope(NULL, b, pos, n, n_head, hd, freq, pairs);
            CHECK(far(a, b, (size_t)n * n_head * hd) < 1e-6, "%s: heads of %d", ops->name, hd);
            mem_free(a), mem_free(b);
        }
}

/* What a query and a key have in common depends on how far apart they are, not on where: at the end of a
 * context of 128k as at its beginning. The speeds are those of Llama 3.1. */
TEST(far_positions_turn_as_near_ones_do)
{
    enum { HD = 128, APART = 1000 };
    static const int32_t at[] = { 0, 4096, 32768, 65536, 131071 - APART };
    float freq[HD / 2];
    for (int j = 0; j < HD / 2; j++) {
        double f = pow(5e5, -2.0 * j / HD), wave = 2 * M_PI / f, s = (8192 / wave - 1) / 3;
        freq[j] = (float)(wave < 2048 ? f : wave > 8192 ? f / 8 : (1 - s) * f / 8 + s * f);
    }
    EACH_OPS(ops) {
        double want = 0;
        for (size_t i = 0; i < LEN(at); i++) {
            float *q = noise(HD, 3, 1), *k = noise(HD, 4, 1);
            int32_t pk = at[i], pq = at[i] + APART;
            double dot = 0;
            ops->rope(ops->ctx, q, &pq, 1, 1, HD, freq, ROPE_NEIGHBOURS);
            ops->rope(ops->ctx, k, &pk, 1, 1, HD, freq, ROPE_NEIGHBOURS);
            for (int j = 0; j < HD; j++) dot += (double)q[j] * (double)k[j];
            if (!i) want = dot;
            CHECK(fabs(dot - want) < 1e-4, "%s: from position %d: %.7f, from 0: %.7f", ops->name, (int)pk, dot, want);
            mem_free(q), mem_free(k);
        }
    }
}

/* Whole, and in pieces of 1, 2, 3, … rows with the state carried over: the same bits. */
TEST(convolution_carries_its_state)
{
    static const struct {
        int d, K;
    } rows[] = { { 16, 3 }, { 35, 3 }, { 64, 2 }, { 20, 5 }, { 3000, 3 } };
    EACH_OPS(ops)
        for (size_t i = 0; i < LEN(rows); i++) {
            int d = rows[i].d, K = rows[i].K, n = 11;
            size_t sd = (size_t)(K - 1) * d;
            float *z = noise((size_t)n * 3 * d, 1, 1), *taps = noise((size_t)K * d, 2, 1),
                  *s0 = noise(sd, 3, 1), *s1 = mem_dup(s0, sd * 4), *s2 = mem_dup(s0, sd * 4);
            float *a = mem_zero((size_t)n * d * 4), *b = mem_zero((size_t)n * d * 4);
            ops->conv(ops->ctx, a, z, taps, s0, n, d, K);
            ref_ops()->conv(NULL, b, z, taps, s1, n, d, K);
            CHECK(far(a, b, (size_t)n * d) < 2e-6 && far(s0, s1, sd) < 1e-6, "%s: d %d K %d",
                  ops->name, d, K);
            for (int t = 0, step = 1; t < n; t += step++)
                ops->conv(ops->ctx, b + (size_t)t * d, z + (size_t)t * 3 * d, taps, s2,
                          MIN(step, n - t), d, K);
            CHECK(!memcmp(a, b, (size_t)n * d * 4) && !memcmp(s0, s2, sd * 4),
                  "%s: d %d K %d in pieces", ops->name, d, K);
            mem_free(z), mem_free(taps), mem_free(s0), mem_free(s1), mem_free(s2), mem_free(a),
                mem_free(b);
        }
}

TEST(rows_of_a_matrix_are_unpacked)
{
    EACH_OPS(ops) {
        struct product p = product_new(DT_Q4_0, 50, 64, 1);
        int32_t id[] = { 49, 0, 7, 7 };
        float a[4 * 64], b[4 * 64];
        ops->rows(ops->ctx, a, &p.w, id, 4);
        ref_ops()->rows(NULL, b, &p.w, id, 4);
        CHECK(!memcmp(a, b, sizeof a), "%s", ops->name);
        product_free(&p);
    }
}

TEST(an_unknown_instruction_set_is_refused)
{
    struct err e = { 0 };
    CHECK(!cpu_ops_open(NULL, "mmx", &e) && e.code == ERR_UNSUPPORTED, "mmx");
    const struct ops *ops = cpu_ops_open(NULL, NULL, &e);
    CHECK(ops && !strncmp(ops->name, "cpu ", 4), "the best one runs without a pool");
    cpu_ops_close(ops);
}

/* ---- the pool the kernels stand on ----------------------------------------------------------- */

struct tally { _Atomic int next, sum, runs; };

static void take(void *ctx, int thread, int n_thread)
{
    struct tally *t = ctx;
    t->runs++;
    for (int i; (i = t->next++) < 100;) t->sum += i;
}

TEST(shared_and_whole_rounds_alternate)
{
    struct err e = { 0 };
    struct pool *p = pool_open(4, &e);
    for (int i = 0; i < 3000; i++) {
        struct tally t = { 0 };
        if (i % 3) pool_share(p, take, &t);
        else pool_run(p, take, &t);
        CHECK(t.sum == 4950 && t.runs <= 4 && (i % 3 || t.runs == 4), "round %d: %d by %d", i,
              t.sum, t.runs);
    }
    pool_close(p);
}

TEST_MAIN
