/* cpu.c -- which kernels this processor runs, and the operations that are not products, over the
 * threads.
 *
 * What the processor has is read once with CPUID, together with what the system saves (XCR0): a
 * register the kernel does not switch is not ours to use. On 64-bit ARM the system tells
 * (AT_HWCAP). An instruction set is a row here and
 * one static library with its own flags; no other file is compiled for more than the base
 * machine. */
#include <math.h>
#include <stdatomic.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "cpu/int.h"

/* ---- what the processor has ------------------------------------------------------------------ */

enum { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_VNNI = 4, HAS_BF16 = 8, HAS_NEON = 16, HAS_DOTPROD = 32, HAS_I8MM = 64 };

#if defined(__x86_64__)
static uint64_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static unsigned detect(void)
{
    unsigned a, b, c, d, a1, b1, c1, d1, has = 0;
    if (!__get_cpuid(1, &a1, &b1, &c1, &d1) || !(c1 & bit_OSXSAVE)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    uint64_t saved = saved_state();
    unsigned sub = a;
    if ((saved & 6) == 6 && (b & bit_AVX2) && (c1 & bit_FMA) && (c1 & bit_F16C)) has |= HAS_AVX2;
    unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if (has && (saved & 0xe6) == 0xe6 && (b & need) == need) has |= HAS_AVX512;
    if ((has & HAS_AVX512) && (c & bit_AVX512VNNI)) has |= HAS_VNNI;
    if ((has & HAS_AVX512) && sub >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5))
        has |= HAS_BF16;
    return has;
}
#elif defined(__aarch64__)
/* Bits of AT_HWCAP and AT_HWCAP2 (Linux, Documentation/arm64/elf_hwcaps.rst). */
#define HWCAP_DOTPROD (1ul << 20)
#define HWCAP2_INT8MM (1ul << 13)

static unsigned detect(void)
{
    unsigned has = HAS_NEON;
#if defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_DOTPROD) has |= HAS_DOTPROD;
    if ((has & HAS_DOTPROD) && (getauxval(AT_HWCAP2) & HWCAP2_INT8MM)) has |= HAS_I8MM;
#endif
    return has;
}
#else
static unsigned detect(void)
{
    return 0;
}
#endif

/* ---- the table, best first ------------------------------------------------------------------- */

static void fill_plain(struct kern *k, unsigned has)
{
    kern_plain(k);
}

#if defined(__x86_64__)
static void fill_avx2(struct kern *k, unsigned has)
{
    kern_avx2(k);
    kern_int_avx2(k);
    kern_crowd_avx2(k);
}

static void fill_avx512(struct kern *k, unsigned has)
{
    kern_avx512(k);
    kern_int_avx2(k);
    kern_crowd_avx2(k);
    kern_attn_avx512(k);
    if (has & HAS_BF16) kern_bf16(k);
    if (!(has & HAS_VNNI)) return;
    kern_attn_vnni(k);
    kern_vnni(k);
    kern_vnni_k(k);
    kern_crowd_vnni(k);
    kern_crowd_k(k);
}
#elif defined(__aarch64__)
/* NEON belongs to the base machine, so the generic table is NEON already; the steps add integer products. */
static void fill_neon(struct kern *k, unsigned has)
{
    kern_plain(k);
    kern_neon(k);
}

static void fill_dotprod(struct kern *k, unsigned has)
{
    kern_plain(k);
    kern_dotprod(k);
}

static void fill_i8mm(struct kern *k, unsigned has)
{
    kern_plain(k);
    kern_i8mm(k);
}
#endif

static const struct {
    const char *name;
    unsigned need;
    void (*fill)(struct kern *k, unsigned has);
} isas[] = {
#if defined(__x86_64__)
    { "avx512", HAS_AVX512, fill_avx512 },
    { "avx2", HAS_AVX2, fill_avx2 },
#elif defined(__aarch64__)
    { "i8mm", HAS_I8MM, fill_i8mm },
    { "dotprod", HAS_DOTPROD, fill_dotprod },
    { "neon", HAS_NEON, fill_neon },
#endif
    { "plain", 0, fill_plain },
};

const char *cpu_isa(int i)
{
    unsigned has = detect();
    for (size_t j = 0; i >= 0 && j < LEN(isas); j++)
        if ((has & isas[j].need) == isas[j].need && i-- == 0) return isas[j].name;
    return NULL;
}

const char *cpu_features(void)
{
    static const struct { unsigned bit; const char *name; } names[] = {
        { HAS_AVX2, "avx2 fma f16c" }, { HAS_AVX512, "avx512" },   { HAS_VNNI, "vnni" }, { HAS_BF16, "bf16" },
        { HAS_NEON, "neon" },          { HAS_DOTPROD, "dotprod" }, { HAS_I8MM, "i8mm" },
    };
    static char text[64];
    unsigned has = detect();
    size_t len = (size_t)snprintf(text, sizeof text, "%s", has ? "" : "none");
    for (size_t i = 0; i < LEN(names); i++)
        if (has & names[i].bit) len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "", names[i].name);
    return text;
}

/* ---- operations over the threads ------------------------------------------------------------- */

#define SMALL (64 << 10) /* floats worth a second thread */

struct span {
    const struct cpu *c;
    int n, n_part; /* items, parts they are dealt out in */
    void (*run)(const struct span *s, int from, int to);
    const void *arg;
    _Atomic int next;
};

static void run_parts(void *ctx, int thread, int n_thread)
{
    struct span *s = ctx;
    for (int i; (i = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->n_part;)
        s->run(s, (int)((int64_t)s->n * i / s->n_part), (int)((int64_t)s->n * (i + 1) / s->n_part));
}

static void spread(const struct cpu *c, int n, int64_t work,
                   void (*run)(const struct span *, int, int), const void *arg)
{
    struct span s = { c, n, (int)MIN(MAX(work / (SMALL / 4), 1), n), run, arg, 0 };
    if (n > 0) pool_share(work > SMALL ? c->pool : NULL, run_parts, &s);
}

struct rms_arg { float *y; const float *x, *w; int d; float eps; };

static void rms_part(const struct span *s, int from, int to)
{
    const struct rms_arg *a = s->arg;
    size_t off = (size_t)from * a->d;
    s->c->kern.rms(a->y + off, a->x + off, a->w, to - from, a->d, a->eps);
}

static void op_rms(void *ctx, float *y, const float *x, const float *w, int n, int d, float eps)
{
    struct rms_arg a = { y, x, w, d, eps };
    spread(ctx, n, (int64_t)n * d, rms_part, &a);
}

/* cos and sin of every position of the chunk, kept: queries and keys of all layers ask for the
 * same. */
static const float *rope_table(struct cpu *c, const int32_t *pos, int n, int half,
                               const float *freq)
{
    if (c->rope_n == (size_t)n && c->rope_half == half && c->rope_freq == freq &&
        !memcmp(c->rope_pos, pos, (size_t)n * sizeof *pos)) return c->rope;
    if ((size_t)n * half > c->rope_cap || !c->rope) {
        c->rope_cap = MAX((size_t)n, 1) * half;
        c->rope = mem_resize(c->rope, c->rope_cap * 2 * sizeof *c->rope);
    }
    c->rope_pos = mem_resize(c->rope_pos, MAX((size_t)n, 1) * sizeof *pos);
    memcpy(c->rope_pos, pos, (size_t)n * sizeof *pos);
    for (int t = 0; t < n; t++)
        for (int i = 0; i < half; i++) {
            double angle = (double)pos[t] * freq[i];
            c->rope[(size_t)t * 2 * half + i] = (float)cos(angle);
            c->rope[(size_t)t * 2 * half + half + i] = (float)sin(angle);
        }
    c->rope_n = (size_t)n;
    c->rope_half = half;
    c->rope_freq = freq;
    return c->rope;
}

struct rope_arg { float *x; const float *table; int n_head, head_dim; enum rope_pairs pairs; };

static void rope_part(const struct span *s, int from, int to)
{
    const struct rope_arg *a = s->arg;
    for (int t = from; t < to; t++)
        s->c->kern.rope(a->x + (size_t)t * a->n_head * a->head_dim,
                        a->table + (size_t)t * a->head_dim, a->n_head, a->head_dim, a->pairs);
}

static void op_rope(void *ctx, float *x, const int32_t *pos, int n, int n_head, int head_dim,
                    const float *freq, enum rope_pairs pairs)
{
    struct rope_arg a = { x, rope_table(ctx, pos, n, head_dim / 2, freq), n_head, head_dim, pairs };
    spread(ctx, n, (int64_t)n * n_head * head_dim, rope_part, &a);
}

struct copy_arg { float *y; char *to; enum dtype kv; const float *x, *x2; int d; };

static void store_part(const struct span *s, int from, int to)
{
    const struct copy_arg *a = s->arg;
    size_t off = (size_t)from * a->d, n = (size_t)(to - from) * a->d;
    void *dst = a->to + dtype_bytes(a->kv, (int64_t)off);
    if (a->kv == DT_F16) s->c->kern.to_f16(dst, a->x + off, n);
    else dtype_info(a->kv)->pack(a->x + off, NULL, dst, n);
}

static void op_kv_store(void *ctx, void *page, const float *x, int row0, int n, int d, enum dtype kv)
{
    struct copy_arg a = { .to = (char *)page + dtype_bytes(kv, (int64_t)row0 * d), .kv = kv, .x = x, .d = d };
    spread(ctx, n, (int64_t)n * d, store_part, &a);
}

/* Long arrays are dealt out in whole blocks, so that tails fall in the same place for any thread
 * count. */
#define BLOCK 1024

static void swiglu_part(const struct span *s, int from, int to)
{
    const struct copy_arg *a = s->arg;
    size_t off = (size_t)from * BLOCK, n = MIN((size_t)(to - from) * BLOCK, (size_t)a->d - off);
    s->c->kern.swiglu(a->y + off, a->x + off, a->x2 + off, n);
}

static void add_part(const struct span *s, int from, int to)
{
    const struct copy_arg *a = s->arg;
    size_t off = (size_t)from * BLOCK, n = MIN((size_t)(to - from) * BLOCK, (size_t)a->d - off);
    s->c->kern.add(a->y + off, a->x + off, n);
}

/* In pieces whose length an int holds. */
static void spread_flat(const struct cpu *c, void (*run)(const struct span *, int, int), float *y,
                        const float *x, const float *x2, size_t n)
{
    for (size_t off = 0; off < n; off += 1 << 30) {
        int len = (int)MIN(n - off, (size_t)1 << 30);
        struct copy_arg a = { .y = y + off, .x = x + off, .x2 = x2 ? x2 + off : NULL, .d = len };
        spread(c, (len + BLOCK - 1) / BLOCK, len, run, &a);
    }
}

static void op_swiglu(void *ctx, float *y, const float *gate, const float *up, size_t n)
{
    spread_flat(ctx, swiglu_part, y, gate, up, n);
}

static void op_add(void *ctx, float *y, const float *x, size_t n)
{
    spread_flat(ctx, add_part, y, x, NULL, n);
}

struct conv_arg { float *y; const float *z, *taps; float *state; int n, d, K; };

static void conv_part(const struct span *s, int from, int to)
{
    const struct conv_arg *a = s->arg;
    s->c->kern.conv(a->y, a->z, a->taps, a->state, a->n, a->d, a->K, from * 16, MIN(to * 16, a->d));
}

static void op_conv(void *ctx, float *y, const float *z, const float *taps, float *state, int n,
                    int d, int K)
{
    struct conv_arg a = { y, z, taps, state, n, d, K };
    spread(ctx, (d + 15) / 16, (int64_t)n * d * 4, conv_part, &a);
}

struct rows_arg { float *y; const struct mat *w; const int32_t *id; };

static void rows_part(const struct span *s, int from, int to)
{
    const struct rows_arg *a = s->arg;
    for (int i = from; i < to; i++)
        dtype_info(a->w->dtype)
            ->unpack((const uint8_t *)a->w->data + (size_t)a->id[i] * a->w->row_bytes,
                     a->y + (size_t)i * a->w->n_in, (size_t)a->w->n_in);
}

static void op_rows(void *ctx, float *y, const struct mat *w, const int32_t *id, int n)
{
    struct rows_arg a = { y, w, id };
    spread(ctx, n, (int64_t)n * w->n_in, rows_part, &a);
}

/* ---- open, close ----------------------------------------------------------------------------- */

const struct ops *cpu_ops_open(struct pool *pool, const char *isa, struct err *e)
{
    unsigned has = detect();
    for (size_t i = 0; i < LEN(isas); i++) {
        if ((has & isas[i].need) != isas[i].need || (isa && strcmp(isa, isas[i].name))) continue;
        struct cpu *c = mem_zero(sizeof *c);
        c->pool = pool;
        c->scratch = mem_zero((size_t)pool_size(pool) * sizeof *c->scratch);
        isas[i].fill(&c->kern, has);
        snprintf(c->name, sizeof c->name, "cpu %s", isas[i].name);
        c->ops = (struct ops){ .name = c->name,
                               .ctx = c,
                               .kv = DT_F16,
                               .matmul = cpu_matmul,
                               .rows = op_rows,
                               .rms = op_rms,
                               .rope = op_rope,
                               .kv_store = op_kv_store,
                               .attn = cpu_attn,
                               .conv = op_conv,
                               .swiglu = op_swiglu,
                               .add = op_add,
                               .gemm_f32 = cpu_grad_ops("f32")->gemm,
                               .gemm_bf16 = cpu_grad_ops(NULL)->gemm };
        return &c->ops;
    }
    err_set(e, ERR_UNSUPPORTED,
            "instruction set %s is not known here or not in this processor, which has: %s",
            isa ? isa : "?", cpu_features());
    return NULL;
}

void cpu_ops_close(const struct ops *ops)
{
    if (!ops) return;
    struct cpu *c = ops->ctx;
    for (int t = 0; t < pool_size(c->pool); t++) mem_free(c->scratch[t]);
    mem_free(c->scratch);
    mem_free(c->act);
    mem_free(c->parts);
    mem_free(c->rope);
    mem_free(c->rope_pos);
    mem_free(c);
}
