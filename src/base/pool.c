/* pool.c -- a fixed set of threads that run one function together.
 *
 * A round is a word: its number, how many workers are inside, and whether it is closed. The caller
 * writes the job and opens the next round; a worker that sees a new number enters, runs the job and
 * leaves. pool_run() closes the round when every worker has been inside, pool_share() as soon as the
 * caller itself is through, so that a worker the system has put aside is not waited for.
 * Kernels of a decode step are microseconds apart, so workers spin for a while before they sleep on a
 * condition variable; the caller spins for whoever is still inside. Who spins and knows what it is to read next
 * (pool_soon) asks the memory for it meanwhile.
 *
 * True at all times: the job is only written while the round is closed and nobody is inside; a worker
 * enters a round at most once. One caller at a time. */
#include <pthread.h>
#include <stdatomic.h>
#include <sched.h>

#include "base/base.h"

#define SPINS 4000                                                    /* some 50 to 150 us before a worker sleeps */
#define MOST_THREADS 256

#define CLOSED (UINT64_C(1) << 31)
#define INSIDE (CLOSED - 1)                                           /* mask of the count */

struct pool {
    int n;
    pthread_t *worker;                                                /* [n - 1] */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t gate;                                            /* round << 32 | CLOSED | workers inside */
    _Atomic int done, asleep;                                         /* workers that have left this round */
    _Atomic bool quit;
    pool_fn *fn;
    void *ctx;
    struct bytes *soon;                                               /* [n]; part of the job */
};
struct worker_arg { struct pool *p; int thread; };

static unsigned round_of(uint64_t gate)
{
    return (unsigned)(gate >> 32);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define LINE ((size_t)64)

/* A turn of waiting: asks for a few lines of what comes soon, as long as there are any. */
static void wait_a_turn(struct bytes *soon)
{
    if (!soon->len) relax();
    for (int i = 0; i < 4 && soon->len; i++) {
        size_t n = MIN(soon->len, LINE);
        __builtin_prefetch(soon->p, 0, 2);
        *soon = (struct bytes){ soon->p + n, soon->len - n };
    }
}

/* Returns when the round is no longer `seen`: first spinning, then asleep. */
static void wait_round(struct pool *p, unsigned seen, struct bytes soon)
{
    for (int i = 0; i < SPINS; i++) {
        if (round_of(atomic_load_explicit(&p->gate, memory_order_acquire)) != seen) return;
        wait_a_turn(&soon);
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while (round_of(atomic_load(&p->gate)) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Into the round that is open now; false if it has been closed. Either way *seen is its number. */
static bool enter(struct pool *p, unsigned *seen)
{
    uint64_t gate = atomic_load(&p->gate);
    while (!(gate & CLOSED) && !atomic_compare_exchange_weak(&p->gate, &gate, gate + 1)) {}
    *seen = round_of(gate);
    return !(gate & CLOSED);
}

static void *work(void *arg)
{
    struct worker_arg w = *(struct worker_arg *)arg;
    mem_free(arg);
    struct bytes soon = { 0 };
    for (unsigned seen = 0;;) {
        wait_round(w.p, seen, soon);
        soon.len = 0;
        if (atomic_load(&w.p->quit)) return NULL;
        if (!enter(w.p, &seen)) continue;
        soon = w.p->soon[w.thread];
        w.p->fn(w.p->ctx, w.thread, w.p->n);
        atomic_fetch_add_explicit(&w.p->done, 1, memory_order_release);
        atomic_fetch_sub_explicit(&w.p->gate, 1, memory_order_release);
    }
}

static void start_round(struct pool *p)
{
    atomic_store(&p->gate, (uint64_t)(round_of(atomic_load(&p->gate)) + 1u) << 32);
    /* A worker raises `asleep` under the lock before it looks at the round a last time. */
    if (!atomic_load(&p->asleep)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

struct pool *pool_open(int n_thread, struct err *e)
{
    struct pool *p = mem_zero(sizeof *p);
    int want = n_thread <= 0 ? cpu_count() : MIN(n_thread, MOST_THREADS);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    atomic_store(&p->gate, CLOSED);
    p->worker = mem_zero((size_t)want * sizeof *p->worker);
    p->soon = mem_zero((size_t)want * sizeof *p->soon);
    p->n = 1;
    for (int i = 1; i < want; i++) {
        struct worker_arg *a = mem_alloc(sizeof *a);
        *a = (struct worker_arg){ p, i };
        if (pthread_create(&p->worker[i - 1], NULL, work, a)) {
            mem_free(a);
            err_set(e, ERR_NOMEM, "thread %d of %d cannot be started", i + 1, want);
            pool_close(p);
            return NULL;
        }
        p->n++;
    }
    return p;
}

void pool_close(struct pool *p)
{
    if (!p) return;
    atomic_store(&p->quit, true);
    start_round(p);
    for (int i = 0; i < p->n - 1; i++) pthread_join(p->worker[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mem_free(p->worker);
    mem_free(p->soon);
    mem_free(p);
}

int pool_size(const struct pool *p)
{
    return p ? p->n : 1;
}

static void begin(struct pool *p, pool_fn *fn, void *ctx)
{
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->done, 0);
    start_round(p);
    fn(ctx, 0, p->n);
}

/* Spins; gives the core away when there are fewer cores than threads. */
static void pause_for(int *spins, struct bytes *soon)
{
    wait_a_turn(soon);
    if (++*spins > SPINS) sched_yield();
}

static void finish(struct pool *p)
{
    int spins = 0;
    atomic_fetch_or(&p->gate, CLOSED);
    while (atomic_load_explicit(&p->gate, memory_order_acquire) & INSIDE) pause_for(&spins, &p->soon[0]);
    memset(p->soon, 0, (size_t)p->n * sizeof *p->soon);
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx)
{
    if (!p || p->n == 1) {
        fn(ctx, 0, 1);
        return;
    }
    begin(p, fn, ctx);
    for (int spins = 0; atomic_load_explicit(&p->done, memory_order_acquire) < p->n - 1;) pause_for(&spins, &p->soon[0]);
    finish(p);
}

void pool_share(struct pool *p, pool_fn *fn, void *ctx)
{
    if (!p || p->n == 1) {
        fn(ctx, 0, 1);
        return;
    }
    begin(p, fn, ctx);
    finish(p);
}

void pool_soon(struct pool *p, int thread, struct bytes what)
{
    if (p && thread < p->n) p->soon[thread] = what;
}
