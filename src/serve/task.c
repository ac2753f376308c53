/* task.c -- what may block (an adapter is read, a file is missing on a slow disk) is done beside the I/O
 * thread, by a helper thread that lives as long as the task; the end of it is heard through the bell. */
#include <pthread.h>
#include <time.h>

#include "serve/int.h"

struct tasks { pthread_mutex_t lock; struct task *done; };

void tasks_open(struct server *sv)
{
    sv->tasks = mem_zero(sizeof *sv->tasks);
    pthread_mutex_init(&sv->tasks->lock, NULL);
}

void tasks_close(struct server *sv)
{
    if (!sv->tasks) return;
    while (sv->n_task) {
        task_collect(sv);
        struct timespec ms = { 0, 1000000 };
        if (sv->n_task) nanosleep(&ms, NULL);
    }
    pthread_mutex_destroy(&sv->tasks->lock);
    mem_free(sv->tasks);
    sv->tasks = NULL;
}

static void *work(void *ctx)
{
    struct task *t = ctx;
    struct server *sv = t->sv;
    t->run(t);
    pthread_mutex_lock(&sv->tasks->lock);
    t->next = sv->tasks->done;
    sv->tasks->done = t;
    loop_wake(&sv->loop);
    pthread_mutex_unlock(&sv->tasks->lock);
    return NULL;
}

void task_start(struct server *sv, struct exchange *x, struct task *t)
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
    if (pthread_create(&thread, &a, work, t)) work(t);                /* no thread to be had: here, then */
    pthread_attr_destroy(&a);
}

void task_collect(struct server *sv)
{
    pthread_mutex_lock(&sv->tasks->lock);
    struct task *list = sv->tasks->done;
    sv->tasks->done = NULL;
    pthread_mutex_unlock(&sv->tasks->lock);
    while (list) {
        struct task *t = list;
        list = t->next;
        sv->n_task--;
        if (t->x) t->x->task = NULL;
        t->done(t);
    }
}
