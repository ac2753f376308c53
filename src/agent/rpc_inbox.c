/* rpc_inbox.c -- messages that come on a stream of their own, beside what is sent: who waits for which, and who answers what the server
 * asks. For a pipe, and for the HTTP of 2024-11-05.
 *
 * Answers to nobody are dropped. A ping is answered at once, by the thread that reads; what may need the user waits for the
 * thread of a call that is going on, so that the reader never stands still. All of it is under the lock of the connection. */
#include <time.h>

#include "agent/rpc.h"

void rpc_inbox_init(struct rpc_inbox *b) { pthread_cond_init(&b->came, NULL); }

void rpc_inbox_done(struct rpc_inbox *b)
{
    for (int i = 0; i < b->n_asked; i++) json_free(b->asked[i]);
    pthread_cond_destroy(&b->came);
}

static void on_answer(struct rpc_inbox *b, struct json *m)
{
    int64_t id;
    bool has = json_i64(json_get(m, "id"), &id);
    for (struct rpc_wait *w = b->waiting; has && w; w = w->next)
        if (w->id == id && !w->answer) {
            w->answer = m;
            pthread_cond_broadcast(&b->came);
            return;
        }
    json_free(m);
}

/* Left for a thread that waits, if there is one; m is taken then. */
static bool leave(struct rpc *r, struct rpc_inbox *b, struct json *m)
{
    if (json_str_is(json_get(m, "method"), "ping") || !r->ask || !b->waiting || b->n_asked == (int)LEN(b->asked)) return false;
    b->asked[b->n_asked++] = m;
    pthread_cond_broadcast(&b->came);
    return true;
}

static void answer(struct rpc *r, const struct json *m, struct rpc_wait *w)
{
    struct err ignored = { 0 };
    r->kind->send(r, rpc_answer(r, m, w), &ignored);
}

void rpc_inbox_take(struct rpc *r, struct rpc_inbox *b, struct json *m)
{
    const char *kind = rpc_kind_of(m);
    pthread_mutex_lock(&r->lock);
    bool asks = kind && *kind == 'r';
    if (!kind) r->garbage++;
    else if (*kind == 'a') on_answer(b, m), m = NULL;
    else if (*kind == 'n') rpc_hear(r, m, b->waiting);
    else if (leave(r, b, m)) m = NULL;
    pthread_mutex_unlock(&r->lock);
    if (asks && m) answer(r, m, NULL);
    json_free(m);
}

void rpc_inbox_end(struct rpc *r, struct rpc_inbox *b)
{
    pthread_mutex_lock(&r->lock);
    r->dead = true;
    pthread_cond_broadcast(&b->came);
    pthread_mutex_unlock(&r->lock);
}

void rpc_inbox_pause(struct rpc *r, struct rpc_inbox *b)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 50000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&b->came, &r->lock, &t);
}

/* Requests of the server: the first is taken, and answered without the lock. */
static void answer_one(struct rpc *r, struct rpc_inbox *b, struct rpc_wait *w)
{
    struct json *m = b->asked[0];
    memmove(b->asked, b->asked + 1, (size_t)--b->n_asked * sizeof *b->asked);
    pthread_mutex_unlock(&r->lock);
    answer(r, m, w);
    json_free(m);
    pthread_mutex_lock(&r->lock);
}

void rpc_inbox_link(struct rpc *r, struct rpc_inbox *b, struct rpc_wait *w)
{
    pthread_mutex_lock(&r->lock);
    w->next = b->waiting;
    b->waiting = w;
    pthread_mutex_unlock(&r->lock);
}

/* The last to go leaves no question open. */
bool rpc_inbox_wait(struct rpc *r, struct rpc_inbox *b, struct rpc_wait *w, const struct cancel *c)
{
    struct rpc_wait **at = &b->waiting;
    pthread_mutex_lock(&r->lock);
    while (!w->answer && !r->dead && clock_ns() < w->until && !cancel_is_on(c)) {
        if (b->n_asked) answer_one(r, b, w);
        else rpc_inbox_pause(r, b);
    }
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    while (!b->waiting && b->n_asked) answer_one(r, b, NULL);
    bool dead = r->dead;
    pthread_mutex_unlock(&r->lock);
    return !dead;
}
