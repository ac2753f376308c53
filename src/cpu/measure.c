/* measure.c -- what the machine gives: bytes read and products done a second, by all threads
 * together.
 *
 * The best of a few short runs is told, because whatever else runs on the machine can only make
 * it slower. The buffer is larger than the caches of the machines in question. */
#include "cpu/int.h"

#define BUFFER ((size_t)384 << 20)
#define RUNS 5
#define ROUNDS (1 << 20) /* of the product loop: some milliseconds */

struct reading { const struct cpu *c; const char *p; size_t n; uint64_t seen; };

static void read_part(void *ctx, int thread, int n_thread)
{
    struct reading *r = ctx;
    size_t part = r->n / 256 / (size_t)n_thread * 256;
    uint64_t sum = r->c->kern.read(r->p + (size_t)thread * part, part);
    if (!thread) r->seen ^= sum; /* so that the reads are wanted */
}

struct loop { const struct peak *peak; double ops; };

static void loop_part(void *ctx, int thread, int n_thread)
{
    struct loop *l = ctx;
    double ops = l->peak->run(ROUNDS);
    if (!thread) l->ops = ops * n_thread;
}

/* Seconds of the fastest of RUNS runs on every thread. */
static double fastest(struct pool *pool, pool_fn *fn, void *ctx)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        uint64_t t = clock_ns();
        pool_run(pool, fn, ctx);
        best = MIN(best, clock_ns() - t);
    }
    return (double)MAX(best, (uint64_t)1) * 1e-9;
}

/* 1e9 bytes a second of the best pass; the one before pages the memory in. */
static double read_speed(const struct cpu *c, const void *p, size_t n)
{
    struct reading r = { .c = c, .p = p, .n = n };
    pool_run(c->pool, read_part, &r);
    return (double)n / fastest(c->pool, read_part, &r) * 1e-9;
}

static bool read_own(const struct cpu *c, double *gbs, struct err *e)
{
    char *p = mem_slab(BUFFER, e);
    if (!p) return false;
    memset(p, 1, BUFFER);
    *gbs = read_speed(c, p, BUFFER);
    mem_slab_free(p, BUFFER);
    return true;
}

bool cpu_measure(const struct ops *ops, const void *over, size_t n, struct cpu_speed *out, struct err *e)
{
    const struct cpu *c = ops->ctx;
    *out = (struct cpu_speed){ 0 };
    if (over) out->read_gbs = read_speed(c, over, n);
    else if (!read_own(c, &out->read_gbs, e)) return false;
    for (size_t i = 0; i < LEN(c->kern.peak) && out->n_peak < (int)LEN(out->peak); i++) {
        if (!c->kern.peak[i].run) continue;
        struct loop l = { .peak = &c->kern.peak[i] };
        double s = fastest(c->pool, loop_part, &l);
        out->peak[out->n_peak].what = l.peak->what;
        out->peak[out->n_peak++].gops = l.ops / s * 1e-9;
    }
    return true;
}
