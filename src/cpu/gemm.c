/* gemm.c -- the matrix products of training: blocking and packing around a register tile.
 *
 * B is packed once per call (and block of k) into panels as wide as a tile; A is packed block by
 * block so that the block stays in the second-level cache while all panels pass by. For NT and NN
 * the rows of A keep their order and are only converted; for TN they are zipped into panels of
 * `rows`. Widths are mixed (48, 32, 16) so that n = 256 wastes no lane. Edges are padded with zeros
 * and multiplied like the rest; only the store of an edge tile is cut.
 *
 * The sum over k of one element runs in one order for every m, n and position. Not here: threads
 * (the trainer gives each worker whole micro-batches), inference kernels. */
#include "cpu/cpu.h"
#include "cpu/gemm.h"

#define BLOCK_M 192 /* rows of A packed at a time; multiple of every tile */
#define BLOCK_K 1024                                                  /* k values of one pass */
#define WIDEST 64
#define TALLEST 16
#define SKEW 16 /* units between rows or panels: powers of two apart share cache sets */

struct job {
    const struct gemm_tile *t;
    enum gemm_kind kind;
    int m, n, ku; /* ku: units of k in this pass */
    float *c;
    int ldc;
    bool accumulate;
    uint32_t *pa, *pb;
    int rs, ks; /* how mul() walks the packed A */
};

/* The next panel of n columns that remain: wide ones while they fit, two middle ones instead of a
 * wide and a narrow one, then whatever pads least. */
static int panel_width(const struct gemm_tile *t, int left)
{
    const int *w = t->width;
    if (left >= w[0]) return left == w[0] + w[2] ? w[1] : w[0];
    return left > w[1] ? w[0] : left > w[2] ? w[1] : w[2];
}

static int units(const struct gemm_tile *t, int k)
{
    return (k + t->pair - 1) / t->pair;
}

/* Panel of columns [j, j+w) of B given as [n, k]: rows are converted, then turned. */
static void pack_turned(const struct gemm_tile *t, uint32_t *dst, const float *b, int ldb, int w,
                        int cols, int k)
{
    uint32_t row[BLOCK_K];
    int ku = units(t, k);
    for (int j = 0; j < w; j++) {
        if (j < cols) t->row(row, b + (size_t)j * ldb, k);
        else memset(row, 0, (size_t)ku * 4);
        for (int p = 0; p < ku; p++) dst[(size_t)p * w + j] = row[p];
    }
}

/* Panel of w columns given as [k, n]: pairs of rows are zipped. */
static void pack_zipped(const struct gemm_tile *t, uint32_t *dst, const float *b, int ldb, int w,
                        int cols, int k)
{
    for (int p = 0; p < k; p += t->pair, dst += w) {
        const float *r = b + (size_t)p * ldb;
        t->zip(dst, r, t->pair == 2 && p + 1 < k ? r + ldb : NULL, cols);
        for (int j = cols; j < w; j++) dst[j] = 0;
    }
}

static void pack_b(const struct job *g, const float *b, int ldb, int k)
{
    uint32_t *dst = g->pb;
    for (int j = 0, w; j < g->n; j += w, dst += (size_t)w * g->ku) {
        w = panel_width(g->t, g->n - j);
        int cols = MIN(w, g->n - j);
        if (g->kind == GEMM_NT) pack_turned(g->t, dst, b + (size_t)j * ldb, ldb, w, cols, k);
        else pack_zipped(g->t, dst, b + j, ldb, w, cols, k);
    }
}

/* Where the packed rows from i on begin; i is a multiple of the tile height. */
static uint32_t *packed_row(const struct job *g, int i)
{
    if (g->kind == GEMM_TN)
        return g->pa + (size_t)(i / g->t->rows) * ((size_t)g->ku * g->t->rows + SKEW);
    return g->pa + (size_t)i * g->rs;
}

/* A given as [k, m]: a pair of rows is zipped once, then dealt to the panels of tile height. */
static void deal_a(const struct job *g, const float *a, int lda, int rows, int k)
{
    uint32_t line[BLOCK_M + TALLEST];
    int tall = g->t->rows;
    memset(line, 0, sizeof line);
    for (int p = 0; p < k; p += g->t->pair) {
        const float *r = a + (size_t)p * lda;
        g->t->zip(line, r, g->t->pair == 2 && p + 1 < k ? r + lda : NULL, rows);
        size_t off = (size_t)(p / g->t->pair) * tall;
        for (int i = 0; i < rows; i += tall) {
            uint32_t *dst = packed_row(g, i) + off;
            if (tall == 8) memcpy(dst, line + i, 32); /* a constant length is two moves */
            else memcpy(dst, line + i, (size_t)tall * 4);
        }
    }
}

/* Rows [i0, i0+rows) of A. */
static void pack_a(const struct job *g, const float *a, int lda, int i0, int rows, int k)
{
    int tall = g->t->rows, padded = (rows + tall - 1) / tall * tall;
    if (g->kind == GEMM_TN) {
        deal_a(g, a + i0, lda, rows, k);
        return;
    }
    for (int i = 0; i < padded; i++) {
        uint32_t *dst = packed_row(g, 0) + (size_t)i * g->rs;
        if (i < rows) g->t->row(dst, a + (size_t)(i0 + i) * lda, k);
        else memset(dst, 0, (size_t)g->ku * 4);
    }
}

static void edge_tile(const struct job *g, int w, const uint32_t *a, const uint32_t *b, float *c,
                      int rows, int cols)
{
    float full[TALLEST * WIDEST];
    g->t->mul(w, g->ku, a, g->rs, g->ks, b, full, w, false);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            float *y = c + (size_t)i * g->ldc + j;
            *y = g->accumulate ? *y + full[i * w + j] : full[i * w + j];
        }
}

static void multiply_block(const struct job *g, int i0, int rows)
{
    int tall = g->t->rows;
    const uint32_t *b = g->pb;
    for (int j = 0, w; j < g->n; j += w, b += (size_t)w * g->ku) {
        w = panel_width(g->t, g->n - j);
        int cols = MIN(w, g->n - j);
        for (int i = 0; i < rows; i += tall) {
            const uint32_t *a = packed_row(g, i);
            float *c = g->c + (size_t)(i0 + i) * g->ldc + j;
            if (cols == w && rows - i >= tall)
                g->t->mul(w, g->ku, a, g->rs, g->ks, b, c, g->ldc, g->accumulate);
            else edge_tile(g, w, a, b, c, MIN(tall, rows - i), cols);
        }
    }
}

void gemm_run(const struct gemm_tile *t, enum gemm_kind kind, int m, int n, int k, const float *a,
              int lda, const float *b, int ldb, float *c, int ldc, bool accumulate,
              struct arena *tmp)
{
    if (m <= 0 || n <= 0 || k <= 0) return;
    size_t mark = arena_mark(tmp);
    int most = units(t, MIN(k, BLOCK_K)), tall = t->rows;
    int am = (MIN(m, BLOCK_M) + tall - 1) / tall * tall, bn = n + t->width[0];
    struct job g = { .t = t, .kind = kind, .m = m, .n = n, .c = c, .ldc = ldc };
    g.pa = arena_alloc(tmp, (size_t)am * (size_t)(most + SKEW) * 4);
    g.pb = arena_alloc(tmp, (size_t)bn * (size_t)most * 4);
    for (int k0 = 0; k0 < k; k0 += BLOCK_K) {
        int kn = MIN(BLOCK_K, k - k0);
        g.ku = units(t, kn);
        g.rs = kind == GEMM_TN ? 1 : g.ku + SKEW;
        g.ks = kind == GEMM_TN ? tall : 1;
        g.accumulate = accumulate || k0 > 0;
        pack_b(&g, kind == GEMM_NT ? b + k0 : b + (size_t)k0 * ldb, ldb, kn);
        for (int i = 0; i < m; i += BLOCK_M) {
            int rows = MIN(BLOCK_M, m - i);
            pack_a(&g, kind == GEMM_TN ? a + (size_t)k0 * lda : a + k0, lda, i, rows, kn);
            multiply_block(&g, i, rows);
        }
    }
    arena_reset(tmp, mark);
}

/* ---- which tile this machine runs ---- */

#define GEMM_OF(name, tile)                                                                        \
    gemm_fn name;                                                                                  \
    void name(enum gemm_kind kind, int m, int n, int k, const float *a, int lda, const float *b,   \
              int ldb, float *c, int ldc, bool accumulate, struct arena *tmp)                      \
    {                                                                                              \
        gemm_run(&tile, kind, m, n, k, a, lda, b, ldb, c, ldc, accumulate, tmp);                   \
    }
GEMM_OF(gemm_plain, gemm_tile_base)
extern const struct grad_ops grad_ops_plain;
#ifdef __x86_64__
GEMM_OF(gemm_avx2, gemm_tile_avx2)
GEMM_OF(gemm_avx512, gemm_tile_avx512)
GEMM_OF(gemm_bf16, gemm_tile_bf16)
extern const struct grad_ops grad_ops_avx2, grad_ops_avx512, grad_ops_bf16;

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static bool has_bf16(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
#endif
static bool always(void) { return true; }

/* Best first. Only bf16 rounds its inputs; the others are f32 throughout. */
static const struct { const struct grad_ops *ops; bool (*here)(void); bool f32; } choices[] = {
#ifdef __x86_64__
    { &grad_ops_bf16, has_bf16, false },
    { &grad_ops_avx512, has_avx512, true },
    { &grad_ops_avx2, has_avx2, true },
#endif
    { &grad_ops_plain, always, true },
};

const struct grad_ops *cpu_grad_ops(const char *name)
{
    for (size_t i = 0; i < LEN(choices); i++) {
        if (!choices[i].here()) continue;
        if (!name || (!strcmp(name, "f32") && choices[i].f32) ||
            !strcmp(name, choices[i].ops->name))
            return choices[i].ops;
    }
    return NULL;
}
