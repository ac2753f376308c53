/* aside.c -- what may block (an adapter is read, a file is missing on a slow disk) is done beside the I/O
 * thread, by a helper thread that lives as long as the task; the end of it is heard through the bell. */
#include <pthread.h>
#include <time.h>

#include "serve/int.h"

struct aside { pthread_mutex_t lock; struct task *done; };

void aside_open(struct server *sv)
{
    sv->aside = mem_zero(sizeof *sv->aside);
    pthread_mutex_init(&sv->aside->lock, NULL);
}

void aside_close(struct server *sv)
{
    if (!sv->aside) return;
    while (sv->n_task) {
        aside_collect(sv);
        struct timespec ms = { 0, 1000000 };
        if (sv->n_task) nanosleep(&ms, NULL);
    }
    pthread_mutex_destroy(&sv->aside->lock);
    mem_free(sv->aside);
    sv->aside = NULL;
}

static void *work(void *ctx)
{
    struct task *t = ctx;
    struct server *sv = t->sv;
    t->run(t);
    pthread_mutex_lock(&sv->aside->lock);
    t->next = sv->aside->done;
    sv->aside->done = t;
    hub_wake(&sv->hub);
    pthread_mutex_unlock(&sv->aside->lock);
    return NULL;
}

void aside_start(struct server *sv, struct exchange *x, struct task *t)
{
    pthread_t thread;
    pthread_attr_t a;
    t->sv = sv;
    t->x = x;
    sv->n_task++;
    if (x) {
        x->task = t;
        exchange_wait(x);
    }
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &a, work, t)) work(t); /* no thread to be had: here, then */
    pthread_attr_destroy(&a);
}

void aside_collect(struct server *sv)
{
    pthread_mutex_lock(&sv->aside->lock);
    struct task *list = sv->aside->done;
    sv->aside->done = NULL;
    pthread_mutex_unlock(&sv->aside->lock);
    while (list) {
        struct task *t = list;
        list = t->next;
        sv->n_task--;
        if (t->x) t->x->task = NULL;
        t->done(t);
    }
}
