/* sched.c -- many requests on one engine: the queue, two threads, what others may ask of them.
 *
 * A job comes in from any thread and goes through three hands: the clerk makes it ready (renders, tokenises,
 * compiles its grammar: no model is needed), the engine thread runs it among the others (loop.c), and
 * sends every event. One lock guards the list of jobs and the numbers shown to others; nobody holds it
 * while a request is prepared or the model works. Cancelling sets a flag that the engine thread reads
 * between steps.
 *
 * True at all times: a job is on the list from sched_submit() to its last event; its task is touched by one
 * thread at a time (the clerk until `ready`, then the engine thread), but for the flag. */
#include <errno.h>
#include <stdatomic.h>

#include "gen/sched_int.h"

#define N_SEQ 8
#define N_QUEUE 256
#define REPLAY_BYTES ((size_t)8 << 20)      /* about 50 000 calls */
#define DISK_BYTES ((size_t)1 << 30)

struct job {
    struct task t;                                                    /* first */
    struct sched_job j;
    struct sched *s;
    uint64_t id;
    struct book *book;
    struct lora_use *use;
    enum { JOB_NEW, JOB_TAKEN, JOB_READY, JOB_RUN } at;               /* lock */
    bool refused;
    struct err err;
    _Atomic int state, n_cached, n_decoded;
    struct job *next;
};

struct sched {
    struct engine *en;
    struct sched_opts o;
    struct shelf shelf;
    struct replay *replay;
    struct loop *loop;
    pthread_t engine, clerk;
    bool started[2];
    pthread_mutex_t lock;
    pthread_cond_t wake, fresh, idle;                                 /* engine thread; clerk; whoever waits for the end */
    struct job *first;
    int n_job, n_wait;                                                /* n_wait: of them, not in the loop's cache yet */
    bool closing, draining;
    uint64_t next_id, beat_ns;
    struct sched_stats st;                                            /* as shown; what the loop counts is copied here after a step */
    uint64_t submitted, full, refused;
    double pace;                                                      /* seconds between two ends, smoothed */
    uint64_t end_ns;
};

/* ---- ends ------------------------------------------------------------------------------------ */

static struct job **place_of(struct sched *s, const struct job *j)
{
    struct job **at = &s->first;
    while (*at != j) at = &(*at)->next;
    return at;
}

/* Its last event is out. */
static void job_free(struct job *j)
{
    struct sched *s = j->s;
    uint64_t now = clock_ns();
    shelf_give(&s->shelf, j->book);
    task_done(&j->t);
    pthread_mutex_lock(&s->lock);
    *place_of(s, j) = j->next;
    s->n_job--;
    double since = s->end_ns ? (double)(now - s->end_ns) * 1e-9 : 1;
    s->pace = s->pace > 0 ? 0.9 * s->pace + 0.1 * since : since;
    s->end_ns = now;
    if (!s->n_job) pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
    mem_free(j->use);
    mem_free(j);
}

static void send_error(struct job *j, const struct err *e)
{
    j->j.fn(j->j.ctx, &(struct event){ .kind = EV_ERROR, .bytes = { e->msg, strlen(e->msg) }, .code = e->code });
    job_free(j);
}

static void on_done(struct task *t) { job_free((struct job *)(void *)t); }

/* ---- events ---------------------------------------------------------------------------------- */

static bool on_event(void *ctx, const struct event *ev)
{
    struct job *j = ctx;
    atomic_store_explicit(&j->n_cached, j->t.n_cached, memory_order_relaxed);
    atomic_store_explicit(&j->n_decoded, j->t.seq ? seq_usage(j->t.seq)->completion_tokens : 0, memory_order_relaxed);
    return j->j.fn(j->j.ctx, ev);
}

/* ---- the clerk ------------------------------------------------------------------------------- */

static struct job *find_at(const struct sched *s, int at)
{
    struct job *j = s->first;
    while (j && (int)j->at != at) j = j->next;
    return j;
}

static void prepare(struct job *j)
{
    struct sched *s = j->s;
    if (j->t.cancel) return;                                          /* the engine thread says so */
    j->refused = !task_prepare(&j->t, s->en, s->replay, loop_n_ctx(s->loop), &j->err);
}

static void *clerk_thread(void *ctx)
{
    struct sched *s = ctx;
    pthread_mutex_lock(&s->lock);
    while (!s->closing || find_at(s, JOB_NEW)) {
        struct job *j = find_at(s, JOB_NEW);
        if (!j) {
            pthread_cond_wait(&s->fresh, &s->lock);
            continue;
        }
        j->at = JOB_TAKEN;
        bool skip = s->closing;
        pthread_mutex_unlock(&s->lock);
        if (!skip) prepare(j);
        pthread_mutex_lock(&s->lock);
        j->at = JOB_READY;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the engine thread ----------------------------------------------------------------------- */

static bool shut(struct err *e)
{
    return err_set(e, ERR_CANCEL, "server_shutting_down: the request was cut");
}

/* A job that is ready goes into the loop, or ends here. */
static void take_in(struct sched *s, struct job *j, bool closing)
{
    struct event start = { .kind = EV_START, .usage.prompt_tokens = (int)j->t.prompt.n };
    if (j->refused) {
        pthread_mutex_lock(&s->lock);
        s->refused++;
        pthread_mutex_unlock(&s->lock);
        send_error(j, &j->err);
    } else if (closing) {
        shut(&j->err);
        send_error(j, &j->err);
    } else if (!j->t.seq) {                                           /* cancelled before it was made ready */
        loop_stats(s->loop)->cancelled_waiting++;
        loop_stats(s->loop)->finished[FINISH_CANCEL]++;
        j->j.fn(j->j.ctx, &(struct event){ .kind = EV_FINISH, .reason = FINISH_CANCEL });
        job_free(j);
    } else {
        loop_add(s->loop, &j->t);
        if (!j->j.fn(j->j.ctx, &start)) j->t.cancel = true;
    }
}

/* Lock held; it is let go of while events are sent. */
static void take_all_in(struct sched *s)
{
    for (struct job *j; (j = find_at(s, JOB_READY));) {
        bool closing = s->closing;
        j->at = JOB_RUN;
        pthread_mutex_unlock(&s->lock);
        take_in(s, j, closing);
        pthread_mutex_lock(&s->lock);
    }
}

/* Lock held: what others may see. */
static void show(struct sched *s)
{
    s->st = *loop_stats(s->loop);
    s->n_wait = s->n_job - s->st.running;
    s->beat_ns = clock_ns();
    for (struct job *j = s->first; j; j = j->next) {
        if (j->at != JOB_RUN) continue;
        if (s->closing && !j->t.cut.code) shut(&j->t.cut);
        enum stage g = j->t.stage;
        atomic_store_explicit(&j->state, g == STAGE_WAIT ? SCHED_WAITING : g == STAGE_PREFILL ? SCHED_PREFILL : SCHED_DECODE, memory_order_relaxed);
    }
}

static void *engine_thread(void *ctx)
{
    struct sched *s = ctx;
    bool busy = false;
    pthread_mutex_lock(&s->lock);
    while (busy || s->n_job || !s->closing) {
        while (!busy && !find_at(s, JOB_READY) && !(s->closing && !s->n_job)) {
            s->beat_ns = 0;                                           /* nothing to do is not silence */
            pthread_mutex_unlock(&s->lock);
            bool more = loop_idle(s->loop);
            pthread_mutex_lock(&s->lock);
            if (more) continue;
            if (find_at(s, JOB_READY) || (s->closing && !s->n_job)) break;
            show(s);
            s->beat_ns = 0;
            pthread_cond_wait(&s->wake, &s->lock);
        }
        take_all_in(s);
        show(s);
        pthread_mutex_unlock(&s->lock);
        busy = loop_step(s->loop);
        pthread_mutex_lock(&s->lock);
        show(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- opening, closing ------------------------------------------------------------------------ */

static bool check(const struct sched_opts *o, struct err *e)
{
    if (o->n_seq < 0 || o->n_seq > 1024) return err_set(e, ERR_ARG, "%d sequences at a time: 1 to 1024 are accepted", o->n_seq);
    if (o->n_queue < 0) return err_set(e, ERR_ARG, "a queue of %d requests: 1 or more are accepted", o->n_queue);
    if (o->kv_positions < 0) return err_set(e, ERR_ARG, "a KV cache of %d positions: 1 or more are accepted", o->kv_positions);
    if (o->chunk < 0) return err_set(e, ERR_ARG, "%d prompt tokens at a time: 1 or more are accepted", o->chunk);
    return true;
}

static bool start(struct sched *s, struct err *e)
{
    s->started[0] = !pthread_create(&s->engine, NULL, engine_thread, s);
    s->started[1] = s->started[0] && !pthread_create(&s->clerk, NULL, clerk_thread, s);
    return s->started[1] || err_set(e, ERR_NOMEM, "the engine thread cannot be started");
}

struct sched *sched_open(struct engine *en, const struct sched_opts *o, struct err *e)
{
    if (!check(o, e)) return NULL;
    struct sched *s = mem_zero(sizeof *s);
    s->en = en;
    s->o = *o;
    if (!s->o.n_queue) s->o.n_queue = N_QUEUE;
    shelf_init(&s->shelf);
    s->replay = replay_open(REPLAY_BYTES);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->fresh, NULL);
    pthread_cond_init(&s->idle, NULL);
    struct loop_opts lo = { .n_seq = o->n_seq ? o->n_seq : N_SEQ,
                            .positions = o->kv_positions ? o->kv_positions : (int)MIN(2 * (int64_t)en->n_ctx, INT32_MAX / 2),
                            .chunk = o->chunk, .cache_bytes = o->cache_bytes, .no_cache = o->no_cache, .deterministic = o->deterministic,
                            .cache_dir = o->cache_dir, .disk_bytes = o->disk_bytes ? o->disk_bytes : DISK_BYTES,
                            .replay = o->deterministic || o->no_cache ? NULL : s->replay };
    if ((s->loop = loop_open(en, &lo, e))) {
        s->st = *loop_stats(s->loop);
        if (start(s, e)) return s;
    }
    sched_close(s);
    return NULL;
}

static void stop(struct sched *s)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->wake);
    pthread_cond_broadcast(&s->fresh);
    pthread_mutex_unlock(&s->lock);
    if (s->started[1]) pthread_join(s->clerk, NULL);
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->started[0]) pthread_join(s->engine, NULL);
    if (s->started[0] && s->loop) {
        loop_save(s->loop);
        s->st = *loop_stats(s->loop);
    }
    s->started[0] = s->started[1] = false;
}

void sched_close(struct sched *s)
{
    if (!s) return;
    stop(s);
    loop_close(s->loop);
    replay_close(s->replay);
    shelf_done(&s->shelf);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->fresh);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

bool sched_drain(struct sched *s, double wait)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    wait = MIN(MAX(wait, 0), 1e6);
    int64_t ns = until.tv_nsec + (int64_t)((wait - (double)(int64_t)wait) * 1e9);
    until.tv_sec += (time_t)wait + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&s->lock);
    s->draining = true;
    while (s->n_job && pthread_cond_timedwait(&s->idle, &s->lock, &until) != ETIMEDOUT) {}
    bool whole = !s->n_job;
    pthread_mutex_unlock(&s->lock);
    stop(s);
    return whole;
}

/* ---- jobs from outside ----------------------------------------------------------------------- */

/* The engine's adapters and the job's own. */
static void set_adapters(struct job *j, const struct engine *en)
{
    j->use = mem_zero((size_t)(en->n_lora + 1) * sizeof *j->use);
    for (int i = 0; i < en->n_lora; i++) j->use[i] = en->lora[i];
    if (j->book) j->use[en->n_lora] = (struct lora_use){ book_adapter(j->book), book_scale(j->book) };
    j->t.lora = j->use;
    j->t.n_lora = en->n_lora + (j->book != NULL);
    j->t.key = j->book ? book_key(j->book) : 0;
}

static struct job *job_new(struct sched *s, const struct sched_job *job, struct book *book)
{
    struct job *j = mem_zero(sizeof *j);
    j->j = *job;
    j->s = s;
    j->book = book;
    j->t = (struct task){ .r = job->request, .raw = job->prompt, .n_raw = job->n_prompt, .echo = job->echo && job->prompt && job->request->want_tokens,
                          .fn = on_event, .ctx = j, .priority = job->priority, .born_ns = clock_ns(), .done = on_done, .kv = -1, .fork = -1 };
    set_adapters(j, s->en);
    return j;
}

bool sched_submit(struct sched *s, const struct sched_job *job, uint64_t *id, struct err *e)
{
    struct book *book = job->adapter ? shelf_take(&s->shelf, job->adapter, e) : NULL;
    if (job->adapter && !book) return false;
    struct job *j = job_new(s, job, book), **at;
    pthread_mutex_lock(&s->lock);
    bool closed = s->closing || s->draining, full = !closed && s->n_wait >= s->o.n_queue;
    if (closed) err_set(e, ERR_CANCEL, "server_shutting_down: no request is accepted any more");
    if (full) s->full++, err_set(e, ERR_FULL, "queue_full: %d requests are waiting", s->n_wait);
    if (!closed && !full) {
        for (at = &s->first; *at; at = &(*at)->next) {}
        *at = j;
        *id = j->id = ++s->next_id;
        s->n_job++;
        s->n_wait++;
        s->submitted++;
        pthread_cond_signal(&s->fresh);
    }
    pthread_mutex_unlock(&s->lock);
    if (!closed && !full) return true;
    shelf_give(&s->shelf, book);
    mem_free(j->use);
    mem_free(j);
    return false;
}

void sched_cancel(struct sched *s, uint64_t id)
{
    pthread_mutex_lock(&s->lock);
    for (struct job *j = s->first; j; j = j->next)
        if (j->id == id) j->t.cancel = true;
    pthread_mutex_unlock(&s->lock);
}

double sched_retry_after(struct sched *s)
{
    pthread_mutex_lock(&s->lock);
    double over = s->n_wait - s->o.n_queue + 1, pace = s->pace > 0 ? s->pace : 1;
    pthread_mutex_unlock(&s->lock);
    return MIN(MAX(over * pace, 1), 600);
}

/* ---- looking in ------------------------------------------------------------------------------ */

void sched_read_stats(struct sched *s, struct sched_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->st;
    out->waiting = MAX(s->n_job - s->st.running, 0);
    out->submitted = s->submitted;
    out->full = s->full;
    out->refused = s->refused;
    struct grammars_stats made = grammars_stats(s->en->grammars);
    out->grammars = made.misses;
    out->grammars_kept = made.hits;
    out->grammar_bytes = made.bytes;
    out->heartbeat = s->beat_ns ? (double)(clock_ns() - s->beat_ns) * 1e-9 : 0;
    pthread_mutex_unlock(&s->lock);
}

int sched_slots(struct sched *s, struct sched_slot *out, int cap)
{
    int n = 0;
    uint64_t now = clock_ns();
    pthread_mutex_lock(&s->lock);
    for (struct job *j = s->first; j; j = j->next, n++) {
        if (n >= cap) continue;
        out[n] = (struct sched_slot){ .id = j->id, .state = (enum sched_state)j->state, .n_cached = j->n_cached, .n_decoded = j->n_decoded,
                                      .n_prompt = j->at == JOB_RUN ? (int)j->t.prompt.n : 0, .age = (double)(now - j->t.born_ns) * 1e-9 };
        if (j->book) snprintf(out[n].adapter, sizeof out[n].adapter, "%s", book_name(j->book));
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool sched_adapter_load(struct sched *s, const char *name, const char *path, float scale, bool replace, struct err *e)
{
    return shelf_load(&s->shelf, engine_model(s->en), name, path, scale, replace, e);
}

bool sched_adapter_unload(struct sched *s, const char *name, struct err *e) { return shelf_unload(&s->shelf, name, e); }
int  sched_adapters(struct sched *s, struct sched_adapter *out, int cap) { return shelf_list(&s->shelf, out, cap); }
