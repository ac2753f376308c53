/* sched.c -- many requests on one engine: the queue, the engine thread, what others may ask of it.
 *
 * Jobs come in from any thread and are run by one. A job is on the list from sched_submit() to its last
 * event; the list is guarded by one lock, which is never held while the model works. Cancelling sets a
 * flag that the engine thread reads between steps. */
#include <stdatomic.h>

#include "gen/sched_int.h"

#define N_QUEUE 256

struct job {
    struct sched_job j;
    uint64_t id, born_ns, first_ns, last_ns;
    struct book *book;
    atomic_bool cancel;
    bool shut;                                                        /* cut by drain or close */
    enum sched_state state;
    struct job *next;
    struct sched *s;
};

struct sched {
    struct engine *en;
    struct sched_opts o;
    struct shelf shelf;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct job *first, *now;                                          /* waiting, in order; being run */
    int n_wait;
    bool closing, draining;
    uint64_t next_id, beat_ns;
    double mean_s;                                                    /* of a job, smoothed */
    struct sched_stats st;
};

/* ---- counting -------------------------------------------------------------------------------- */

static const double ttft_bounds[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560 };
static const double gap_bounds[] = { .0005, .001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 10 };
static const double long_bounds[] = { .01, .025, .05, .1, .2, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680 };
static const double size_bounds[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000 };

static void count(struct sched_hist *h, double v)
{
    int i = 0;
    while (i < h->n_bound && v > h->bound[i]) i++;
    h->count[i]++;
    h->sum += v;
}

#define HIST(bounds) ((struct sched_hist){ .bound = bounds, .n_bound = LEN(bounds) })
static void init_stats(struct sched_stats *t)
{
    *t = (struct sched_stats){ .ttft = HIST(ttft_bounds), .gap = HIST(gap_bounds), .total = HIST(long_bounds),
                               .queue = HIST(long_bounds), .prefill = HIST(long_bounds), .decode = HIST(long_bounds),
                               .prompt_size = HIST(size_bounds), .answer_size = HIST(size_bounds), .step_size = HIST(size_bounds) };
}

void sched_read_stats(struct sched *s, struct sched_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->st;
    out->running = s->now != NULL;
    out->waiting = s->n_wait;
    out->heartbeat = (double)(clock_ns() - s->beat_ns) * 1e-9;
    pthread_mutex_unlock(&s->lock);
}

/* ---- one job --------------------------------------------------------------------------------- */

static void send_error(struct job *j, const struct err *e)
{
    j->j.fn(j->j.ctx, &(struct event){ .kind = EV_ERROR, .bytes = { e->msg, strlen(e->msg) }, .code = e->code });
}

static void finished(struct job *j, const struct event *ev)
{
    struct sched *s = j->s;
    struct sched_stats *t = &s->st;
    const struct usage *u = &ev->usage;
    pthread_mutex_lock(&s->lock);
    t->finished[ev->reason]++;
    t->prompt_tokens += (uint64_t)u->prompt_tokens;
    t->cached_tokens += (uint64_t)u->cached_tokens;
    t->generated_tokens += (uint64_t)u->completion_tokens;
    t->forced_tokens += (uint64_t)u->forced_tokens;
    t->drafted_tokens += (uint64_t)u->draft_tokens;
    t->accepted_tokens += (uint64_t)u->accepted_tokens;
    count(&t->total, (double)(clock_ns() - j->born_ns) * 1e-9);
    count(&t->prompt_size, u->prompt_tokens);
    count(&t->answer_size, u->completion_tokens);
    pthread_mutex_unlock(&s->lock);
}

static bool on_event(void *ctx, const struct event *ev)
{
    struct job *j = ctx;
    if (ev->kind == EV_ERROR) return true;                            /* sent by run_job */
    if (!j->first_ns) j->first_ns = clock_ns();
    if (ev->kind == EV_FINISH) finished(j, ev);
    if (ev->kind == EV_FINISH && j->shut) return true;
    bool on = j->j.fn(j->j.ctx, ev);
    return on && !atomic_load(&j->cancel);
}

static void run_job(struct job *j)
{
    struct sched *s = j->s;
    struct err e = { 0 };
    struct lora_use use = { 0 };
    if (j->book) use = (struct lora_use){ book_adapter(j->book), book_scale(j->book) };
    engine_adapt(s->en, &use, j->book ? 1 : 0);
    bool ok = engine_run(s->en, j->j.request, on_event, j, &e);
    if (ok && j->shut) ok = err_set(&e, ERR_CANCEL, "server_shutting_down: the answer was cut");
    if (!ok) send_error(j, &e);
    engine_adapt(s->en, NULL, 0);
}

static void *engine_thread(void *ctx)
{
    struct sched *s = ctx;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        s->beat_ns = clock_ns();
        while (!s->first && !s->closing) pthread_cond_wait(&s->wake, &s->lock);
        struct job *j = s->first;
        if (!j) break;
        s->first = j->next;
        s->n_wait--;
        s->now = j;
        bool cut = s->closing;
        pthread_mutex_unlock(&s->lock);
        if (cut || atomic_load(&j->cancel)) {
            struct err e = { 0 };
            err_set(&e, ERR_CANCEL, "server_shutting_down");
            if (cut) send_error(j, &e);
            else j->j.fn(j->j.ctx, &(struct event){ .kind = EV_FINISH, .reason = FINISH_CANCEL });
        } else run_job(j);
        shelf_give(&s->shelf, j->book);
        pthread_mutex_lock(&s->lock);
        s->now = NULL;
        mem_free(j);
        if (!s->first) pthread_cond_broadcast(&s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct sched *sched_open(struct engine *en, const struct sched_opts *o, struct err *e)
{
    struct sched *s = mem_zero(sizeof *s);
    s->en = en;
    s->o = *o;
    if (!s->o.n_queue) s->o.n_queue = N_QUEUE;
    shelf_init(&s->shelf);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->idle, NULL);
    init_stats(&s->st);
    s->started = !pthread_create(&s->thread, NULL, engine_thread, s);
    if (s->started) return s;
    err_set(e, ERR_NOMEM, "the engine thread cannot be started");
    sched_close(s);
    return NULL;
}

void sched_close(struct sched *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    if (s->now) s->now->shut = true, atomic_store(&s->now->cancel, true);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->started) pthread_join(s->thread, NULL);
    shelf_done(&s->shelf);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

bool sched_submit(struct sched *s, const struct sched_job *job, uint64_t *id, struct err *e)
{
    struct book *book = job->adapter ? shelf_take(&s->shelf, job->adapter, e) : NULL;
    if (job->adapter && !book) return false;
    struct job *j = mem_zero(sizeof *j);
    j->j = *job;
    j->s = s;
    j->book = book;
    j->born_ns = clock_ns();
    pthread_mutex_lock(&s->lock);
    bool full = s->n_wait >= s->o.n_queue, ok = !full && !s->closing && !s->draining;
    if (full) s->st.full++, err_set(e, ERR_FULL, "queue_full: %d requests are waiting", s->n_wait);
    else if (!ok) err_set(e, ERR_CANCEL, "server_shutting_down: no request is accepted any more");
    if (ok) {
        struct job **at = &s->first;
        while (*at) at = &(*at)->next;
        *at = j;
        *id = j->id = ++s->next_id;
        s->n_wait++;
        s->st.submitted++;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (!ok) {
        shelf_give(&s->shelf, book);
        mem_free(j);
    }
    return ok;
}

void sched_cancel(struct sched *s, uint64_t id)
{
    pthread_mutex_lock(&s->lock);
    for (struct job *j = s->first; j; j = j->next)
        if (j->id == id) atomic_store(&j->cancel, true);
    if (s->now && s->now->id == id) atomic_store(&s->now->cancel, true);
    pthread_mutex_unlock(&s->lock);
}

double sched_retry_after(struct sched *s) { return 1; }

bool sched_drain(struct sched *s, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds + 1;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    s->draining = true;
    while ((s->first || s->now) && !rc) rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
    bool whole = !s->first && !s->now;
    if (s->now) s->now->shut = true, atomic_store(&s->now->cancel, true);
    s->closing = true;
    pthread_cond_broadcast(&s->wake);
    while (s->first || s->now) pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return whole;
}

bool sched_adapter_load(struct sched *s, const char *name, const char *path, float scale, bool replace, struct err *e)
{
    return shelf_load(&s->shelf, engine_model(s->en), name, path, scale, replace, e);
}
bool sched_adapter_unload(struct sched *s, const char *name, struct err *e) { return shelf_unload(&s->shelf, name, e); }
int  sched_adapters(struct sched *s, struct sched_adapter *out, int cap) { return shelf_list(&s->shelf, out, cap); }

int sched_slots(struct sched *s, struct sched_slot *out, int cap)
{
    int n = 0;
    pthread_mutex_lock(&s->lock);
    for (struct job *j = s->now ? s->now : s->first; j; j = j == s->now ? s->first : j->next, n++)
        if (n < cap)
            out[n] = (struct sched_slot){ .id = j->id, .state = j == s->now ? SCHED_DECODE : SCHED_WAITING,
                                          .age = (double)(clock_ns() - j->born_ns) * 1e-9 };
    pthread_mutex_unlock(&s->lock);
    return n;
}
