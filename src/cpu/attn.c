/* attn.c -- attention over the threads.
 *
 * Prefill: a tile of rows of one KV head at a time. Decode: the positions a row sees are cut into segments, of which each
 * gives a sum of values, the exponent of its largest weight and the sum of the weights; in the end they are put
 * together in order. Borders lie at fixed positions, so the result depends neither on the threads nor on how heads are
 * dealt out: all KV heads together where there are segments enough, since their rows lie side by side in a page, a few
 * heads each where the context is short. A thread has a range of parts of its own, so that what it reads ahead is what
 * it comes to next, and then takes what others have left. */
#include <stdatomic.h>

#include "cpu/int.h"

#define SMALL (64 << 10) /* floats worth a second thread */
#define SEGMENT 256      /* positions; a part of all heads of a 1.2B model takes some 100 us */
#define PARTS_MOST ((size_t)1 << 20) /* floats of the parts that are there at a time, if a row has no more by itself */
#define MOST_RANGES 16

struct attn_job {
    struct cpu *c;
    const struct attn *a;
    int heads, n_deal; /* KV heads of a part, parts of all KV heads */
    int n_tile;
    _Atomic int next;
    /* decode: rows [t0, t0 + n) */
    int t0, n, seg0, n_seg;
    int n_range;
    struct { _Alignas(64) _Atomic int next; int end; } range[MOST_RANGES];
};

static float *scratch_of(const struct cpu *c, int thread)
{
    return (float *)(((uintptr_t)c->scratch[thread] + 63) & ~(uintptr_t)63);
}

/* ---- prefill ------------------------------------------------------------------------------------- */

static size_t prefill_floats(const struct attn *a)
{
    size_t width = ATTN_STATE(a->head_dim), query = (size_t)(a->n_head / a->n_head_kv) * ATTN_ROWS; /* struct query: 6 floats */
    return (2 * width + ATTN_QUERIES) * a->page + query * (width + 6) + 64;
}

static void run_tiles(void *ctx, int thread, int n_thread)
{
    struct attn_job *j = ctx;
    const struct attn *a = j->a;
    for (int i; (i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->n_tile * a->n_head_kv;) {
        int row = i / a->n_head_kv * ATTN_ROWS;
        j->c->kern.attn_prefill(a, i % a->n_head_kv, row, MIN(row + ATTN_ROWS, a->n), scratch_of(j->c, thread));
    }
}

static void prefill(struct cpu *c, const struct attn *a, struct pool *pool)
{
    struct attn_job j = { .c = c, .a = a, .n_tile = (a->n + ATTN_ROWS - 1) / ATTN_ROWS };
    cpu_scratch(c, prefill_floats(a) * sizeof(float) + 64);
    pool_share(pool, run_tiles, &j);
}

/* ---- decode -------------------------------------------------------------------------------------- */

/* Scratch of a part, whichever kernel takes it (vec.c, attn512.h, attn_vnni.c): for each query its values, scores, state and
 * weights of 16 bits for every block of 32, for each KV head scales; a page of floats. */
static size_t decode_floats(const struct attn *a)
{
    size_t width = ATTN_STATE(a->head_dim), page = (size_t)a->page, blocks = width / 32 + 1;
    size_t query = ((size_t)(a->n_head / a->n_head_kv) + 3) / 4 * 4 * ATTN_HEADS;
    return query * (width + 4 * blocks + page + blocks * page / 2 + 8) + ATTN_HEADS * (blocks * page + 8) + width * page + 64;
}

/* Floats of one row's parts of a segment. */
static size_t row_floats(const struct attn *a) { return (size_t)a->n_head * ATTN_PART(a->head_dim); }

static int first_segment(const struct attn *a, int t) { return ATTN_FIRST(a, t) / SEGMENT; }
static int end_segment(const struct attn *a, int t) { return (a->pos0 + t) / SEGMENT + 1; }

/* Parts are in order of segments, then rows, then heads: rows that see the same keys meet them one after another. */
static void run_part(const struct attn_job *j, int i, float *scratch)
{
    const struct attn *a = j->a;
    int deal = i % j->n_deal, row = i / j->n_deal % j->n, seg = j->seg0 + i / j->n_deal / j->n, t = j->t0 + row;
    int head0 = deal * j->heads, group = a->n_head / a->n_head_kv;
    struct attn_part p = { .head0 = head0, .head1 = MIN(head0 + j->heads, a->n_head_kv), .t = t,
                           .from = MAX(seg * SEGMENT, ATTN_FIRST(a, t)), .to = MIN((seg + 1) * SEGMENT, a->pos0 + t + 1) };
    if (p.from >= p.to) return;
    p.out = j->c->parts + (size_t)(row * j->n_seg + seg - j->seg0) * row_floats(a) + (size_t)(head0 * group) * ATTN_PART(a->head_dim);
    if (!j->c->kern.attn[a->kv] || !j->c->kern.attn[a->kv](a, &p, scratch)) j->c->kern.attn_decode(a, &p, scratch);
}

static void run_parts(void *ctx, int thread, int n_thread)
{
    struct attn_job *j = ctx;
    for (int v = 0; v < j->n_range; v++) {
        int at = (thread + v) % j->n_range;
        for (int i; (i = atomic_fetch_add_explicit(&j->range[at].next, 1, memory_order_relaxed)) < j->range[at].end;)
            run_part(j, i, scratch_of(j->c, thread));
    }
}

static void cut_ranges(struct attn_job *j, int total, int n_thread)
{
    j->n_range = MIN(n_thread, MOST_RANGES);
    for (int v = 0; v < j->n_range; v++) {
        atomic_store_explicit(&j->range[v].next, (int)((int64_t)total * v / j->n_range), memory_order_relaxed);
        j->range[v].end = (int)((int64_t)total * (v + 1) / j->n_range);
    }
}

/* KV heads of a part: a share for every thread; two where segments are unequal. */
static void deal_heads(struct attn_job *j, int n_thread)
{
    const struct attn *a = j->a;
    int all = j->n * j->n_seg * a->n_head_kv / (j->n * j->n_seg > 1 ? 2 * n_thread : n_thread);
    j->n_deal = (a->n_head_kv + MIN(MAX(all, 1), ATTN_HEADS) - 1) / MIN(MAX(all, 1), ATTN_HEADS);
    j->heads = (a->n_head_kv + j->n_deal - 1) / j->n_deal;
}

static void decode_rows(struct attn_job *j, struct pool *pool)
{
    const struct attn *a = j->a;
    deal_heads(j, pool_size(pool));
    cut_ranges(j, j->n_seg * j->n * j->n_deal, pool_size(pool));
    pool_share(pool, run_parts, j);
    for (int row = 0; row < j->n; row++) {
        int t = j->t0 + row, first = first_segment(a, t);
        float *part = j->c->parts + (size_t)(row * j->n_seg + first - j->seg0) * row_floats(a);
        j->c->kern.attn_join(a->o + (size_t)t * a->n_head * a->head_dim, part, end_segment(a, t) - first, row_floats(a), a->n_head, a->head_dim);
    }
}

static void decode(struct cpu *c, const struct attn *a, struct pool *pool)
{
    struct attn_job j = { .c = c, .a = a, .seg0 = first_segment(a, 0) };
    j.n_seg = end_segment(a, a->n - 1) - j.seg0;
    size_t row = (size_t)j.n_seg * row_floats(a);
    int rows = (int)MIN(MAX(PARTS_MOST / row, (size_t)1), (size_t)a->n);
    cpu_scratch(c, decode_floats(a) * sizeof(float) + 64);
    if (row * (size_t)rows > c->parts_cap) {
        mem_free(c->parts);
        c->parts = mem_alloc((c->parts_cap = row * (size_t)rows) * sizeof *c->parts);
    }
    for (; j.t0 < a->n; j.t0 += j.n) {
        j.n = MIN(rows, a->n - j.t0);
        decode_rows(&j, pool);
    }
}

void cpu_attn(void *ctx, const struct attn *a, enum phase ph)
{
    struct cpu *c = ctx;
    int64_t work = (int64_t)a->n * (a->pos0 + a->n) * a->n_head * a->head_dim;
    (ph == PHASE_PREFILL ? prefill : decode)(c, a, work > SMALL ? c->pool : NULL);
}
