/* pool.c -- a fixed set of threads that run one function together.
 *
 * A round is a number: the caller writes the job and raises the round, workers that see a new round
 * run the job and count themselves done. Kernels of a decode step are microseconds apart, so workers
 * spin for a while before they sleep on a condition variable; the caller spins for the last worker.
 *
 * True at all times: `left` is the number of workers that still run the current round; the job is
 * only written while left = 0. One caller at a time. */
#include <pthread.h>
#include <stdatomic.h>
#include <sched.h>

#include "base/base.h"

#define SPINS 20000                                                   /* about 50 us before a worker sleeps */
#define MOST_THREADS 256

struct pool {
    int n;
    pthread_t *worker;                                                /* [n - 1] */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic unsigned round;
    _Atomic int left, asleep;
    _Atomic bool quit;
    pool_fn *fn;
    void *ctx;
};
struct worker_arg { struct pool *p; int thread; };

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns when the round is no longer `seen`: first spinning, then asleep. */
static void wait_round(struct pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->round, memory_order_acquire) != seen) return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while (atomic_load(&p->round) == seen) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg)
{
    struct worker_arg w = *(struct worker_arg *)arg;
    mem_free(arg);
    for (unsigned seen = 0;; seen++) {
        wait_round(w.p, seen);
        if (atomic_load(&w.p->quit)) return NULL;
        w.p->fn(w.p->ctx, w.thread, w.p->n);
        atomic_fetch_sub_explicit(&w.p->left, 1, memory_order_release);
    }
}

static void start_round(struct pool *p)
{
    atomic_fetch_add(&p->round, 1);
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
    p->worker = mem_zero((size_t)want * sizeof *p->worker);
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
    mem_free(p);
}

int pool_size(const struct pool *p)
{
    return p ? p->n : 1;
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx)
{
    if (!p || p->n == 1) {
        fn(ctx, 0, 1);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->left, p->n - 1);
    start_round(p);
    fn(ctx, 0, p->n);
    for (int spins = 0; atomic_load_explicit(&p->left, memory_order_acquire); spins++) {
        relax();
        if (spins > SPINS) sched_yield();                             /* fewer cores than threads: let them run */
    }
}
