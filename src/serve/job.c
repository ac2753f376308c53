/* job.c -- what the engine does for an exchange: submitted, told, cancelled.
 *
 * A job is one or more choices, each a request of its own to the scheduler. Its events come on the engine
 * thread; there they are only copied into the job's mailbox (one lock, held for a copy) and the bell is
 * rung. The I/O thread takes them out, folds them (message.c of gen/) and lets the endpoint's teller
 * write them. Text behind text and arguments behind arguments of the same call become one mail while the
 * I/O thread, or a client that reads slowly, has not come by; a client that lets MAIL_MOST pile up is cut.
 *
 * A job outlives its exchange until the last event of every choice has come. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "serve/served.h"
#include "serve/metrics.h"

#define MAIL_MOST (1u << 20)    /* bytes that wait for one client */
#define OUT_MOST (64u << 10)    /* bytes rendered ahead of its socket */

struct mail {
    struct mail *next;
    struct choice *choice;
    struct event ev;
    struct str bytes;
    char *id, *name;
    struct top *top;
};
struct mailbox { pthread_mutex_t lock; struct job *ready; };

/* ---- the engine thread ------------------------------------------------------------------------- */

static bool merges(const struct mail *m, const struct choice *c, const struct event *ev)
{
    return m && m->choice == c && m->ev.kind == ev->kind && m->ev.index == ev->index &&
           (ev->kind == EV_TEXT || ev->kind == EV_REASONING || ev->kind == EV_CALL_ARGS);
}

static struct mail *mail_new(struct choice *c, const struct event *ev)
{
    struct mail *m = mem_zero(sizeof *m);
    m->choice = c;
    m->ev = *ev;
    if (ev->id) m->id = mem_str(ev->id);
    if (ev->name) m->name = mem_str(ev->name);
    if (ev->n_top) m->top = mem_dup(ev->top, (size_t)ev->n_top * sizeof *ev->top);
    return m;
}

static void mail_free(struct mail *m)
{
    str_done(&m->bytes);
    mem_free(m->id);
    mem_free(m->name);
    mem_free(m->top);
    mem_free(m);
}

/* event_fn of the scheduler. */
bool job_event(void *ctx, const struct event *ev)
{
    struct choice *c = ctx;
    struct job *j = c->job;
    struct server *sv = j->sv;
    pthread_mutex_lock(&sv->mailbox->lock);
    struct mail *m = j->last;
    if (merges(m, c, ev)) m->ev.usage = ev->usage, m->ev.timing = ev->timing;
    else {
        m = mail_new(c, ev);
        if (j->last) j->last->next = m;
        else j->first = m;
        j->last = m;
        j->mail_bytes += sizeof *m;
    }
    str_put(&m->bytes, ev->bytes.p, ev->bytes.len);
    j->mail_bytes += ev->bytes.len + (size_t)ev->n_top * sizeof *ev->top;
    if (j->mail_bytes > MAIL_MOST) j->cut = true;
    bool go = !j->cut, ring = !j->listed;
    if (ring) {
        j->listed = true;
        j->ready = sv->mailbox->ready;
        sv->mailbox->ready = j;
    }
    pthread_mutex_unlock(&sv->mailbox->lock);
    if (ring) hub_wake(&sv->hub);                                   /* the job may be gone by now */
    return go;
}

/* ---- the I/O thread: beginning ------------------------------------------------------------------- */

void mailbox_open(struct server *sv)
{
    sv->mailbox = mem_zero(sizeof *sv->mailbox);
    pthread_mutex_init(&sv->mailbox->lock, NULL);
}

void mailbox_close(struct server *sv)
{
    if (sv->mailbox) pthread_mutex_destroy(&sv->mailbox->lock);
    mem_free(sv->mailbox);
    sv->mailbox = NULL;
}

void id_make(char out[40], const char *prefix)
{
    static const char digit[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t r[6];
    for (size_t got = 0; got < sizeof r;) {
        ssize_t n = getrandom((char *)r + got, sizeof r - got, 0);
        if (n > 0) got += (size_t)n;
    }
    int n = snprintf(out, 12, "%s", prefix);
    for (int i = 0; i < 24; i++) {
        out[n++] = digit[r[i / 4] % 62];
        r[i / 4] /= 62;
    }
    out[n] = 0;
}

static void choice_done(struct choice *c)
{
    message_done(&c->message);
    json_free(c->logprobs);
    json_free(c->pending);
    json_free(c->tokens);
    str_done(&c->tail);
}

/* Its last mail may have been read before the bell rang. */
static void unlist(struct job *j)
{
    struct mailbox *b = j->sv->mailbox;
    pthread_mutex_lock(&b->lock);
    for (struct job **at = &b->ready; j->listed && *at; at = &(*at)->ready)
        if (*at == j) {
            *at = j->ready;
            j->listed = false;
            break;
        }
    pthread_mutex_unlock(&b->lock);
}

static void job_free(struct job *j)
{
    struct server *sv = j->sv;
    unlist(j);
    if (j->prev) j->prev->next = j->next;
    else sv->jobs = j->next;
    if (j->next) j->next->prev = j->prev;
    for (int i = 0; i < j->n_choice; i++) {
        choice_done(&j->choice[i]);
        if (j->prompt) mem_free(j->prompt[i].id);
    }
    if (j->teller->done) j->teller->done(j->state);
    if (j->served) served_forget(j->served);
    request_done(&j->request);
    mem_free(j->prompt);
    mem_free(j->choice);
    mem_free(j->model);
    mem_free(j->adapter);
    mem_free(j);
}

static struct job *job_new(struct exchange *x, const struct job_spec *s)
{
    struct job *j = mem_zero(sizeof *j);
    struct server *sv = x->sv;
    *j = (struct job){ .sv = sv,
                       .x = x,
                       .next = sv->jobs,
                       .teller = s->teller,
                       .state = s->state,
                       .request = *s->request,
                       .stream = s->stream,
                       .echo = s->echo,
                       .prompt = s->prompt,
                       .created = unix_time(),
                       .submit_ns = clock_ns() };
    id_make(j->id, s->id_prefix);
    if (sv->jobs) sv->jobs->prev = j;
    sv->jobs = j;
    j->n_choice = s->n;
    j->per = s->n_prompt ? s->n / s->n_prompt : s->n;
    j->choice = mem_zero((size_t)s->n * sizeof *j->choice);
    j->model = mem_str(x->note.model ? x->note.model : "");
    if (x->note.adapter) j->adapter = mem_str(x->note.adapter);
    x->job = j;
    for (int i = 0; i < s->n; i++) {
        struct choice *c = &j->choice[i];
        c->job = j;
        c->index = i;
        c->request = j->request;
        c->request.sampling.seed += (uint64_t)(i % j->per);
    }
    return j;
}

static void cancel_all(struct job *j)
{
    if (j->served) served_cancel(j->served);
    for (int i = 0; i < j->n_choice; i++)
        if (j->choice[i].submitted && !j->choice[i].done)
            sched_cancel(j->sv->sched, j->choice[i].id);
}

/* Those that were never submitted will hear nothing. */
static void give_up(struct job *j)
{
    for (int i = 0; i < j->n_choice; i++)
        if (!j->choice[i].submitted && !j->choice[i].done) {
            j->choice[i].done = true;
            j->n_done++;
        }
    cancel_all(j);
    if (j->n_done == j->n_choice) job_free(j);
}

static void detach(struct job *j)
{
    if (j->x) j->x->job = NULL;
    j->x = NULL;
}

static struct job *refused(struct job *j, const struct err *e)
{
    struct exchange *x = j->x;
    if (e->code == ERR_FULL)
        reply_header(x, "Retry-After", "%.0f", MAX(1, sched_retry_after(x->sv->sched)));
    reply_err(x, e);
    detach(j);
    give_up(j);
    return NULL;
}

struct job *job_start(struct exchange *x, const struct job_spec *s)
{
    struct job *j = job_new(x, s);
    struct err e = { 0 };
    if (s->served && !served_start(s->served, j, &e)) {
        served_free(s->served);
        return refused(j, &e);
    }
    j->served = s->served;
    for (int i = 0; !j->served && i < j->n_choice; i++) {
        struct choice *c = &j->choice[i];
        struct sched_job sj = {
            .request = &c->request, .echo = j->echo, .adapter = j->adapter, .fn = job_event, .ctx = c
        };
        if (j->prompt) {
            sj.prompt = j->prompt[i].id;
            sj.n_prompt = (int)j->prompt[i].n;
        }
        c->submitted = true;
        if (sched_submit(x->sv->sched, &sj, &c->id, &e)) continue;
        c->submitted = false;
        return refused(j, &e);
    }
    exchange_wait(x);
    return j;
}

/* ---- telling ------------------------------------------------------------------------------------ */

static void add_usage(struct job *j, const struct choice *c)
{
    const struct usage *u = &c->message.usage;
    bool first = !(c->index % j->per); /* choices of one prompt: it counts once */
    if (first) j->usage.prompt_tokens += u->prompt_tokens;
    if (first) j->usage.cached_tokens += u->cached_tokens;
    if (first) j->usage.written_tokens += u->written_tokens;
    j->usage.completion_tokens += u->completion_tokens;
    j->usage.reasoning_tokens += u->reasoning_tokens;
    j->usage.forced_tokens += u->forced_tokens;
    j->usage.draft_tokens += u->draft_tokens;
    j->usage.accepted_tokens += u->accepted_tokens;
}

const char *finish_name(const struct choice *c)
{
    static const char *const name[] = { [FINISH_STOP] = "stop",
                                        [FINISH_TOOL_CALLS] = "tool_calls",
                                        [FINISH_LENGTH] = "length",
                                        [FINISH_CANCEL] = "stop" };
    return name[c->message.reason];
}

static void note(struct job *j)
{
    struct note *n = &j->x->note;
    const struct message *m = &j->choice[0].message;
    n->prompt = j->usage.prompt_tokens;
    n->cached = j->usage.cached_tokens;
    n->out = j->usage.completion_tokens;
    for (int i = 0; i < j->n_choice; i++) n->calls += j->choice[i].message.n_call;
    n->finish = finish_name(&j->choice[0]);
    n->queue_ms = m->timing.queue_ms;
    n->prefill_ms = m->timing.prefill_ms;
    n->decode_ms = m->timing.decode_ms;
}

static void finish(struct job *j)
{
    struct exchange *x = j->x;
    if (!x) return;
    note(j);
    if (j->stream) {
        j->teller->end(j, &x->out);
        x->ended = true;
        exchange_pump(x);
    } else {
        struct json *whole = j->teller->whole(j);
        reply_json(x, 200, whole);
    }
    detach(j);
}

/* The answer cannot be finished: an error, in the stream if it has begun. */
static void fail(struct job *j, const struct fault *f)
{
    struct exchange *x = j->x;
    if (!x) return;
    if (f->status >= 500) log_line(LOG_ERROR, "failed id=%s why=\"%s\"", x->id, f->message);
    metrics_error(j->sv->metrics, f->code);
    x->note.finish = f->code;
    if (x->sse) {
        j->teller->fail(j, f, &x->out);
        x->ended = true;
        exchange_pump(x);
    } else reply_error(x, f->status, f->code, f->param, "%s", f->message);
    detach(j);
    cancel_all(j);
}

static void begin(struct job *j)
{
    if (j->started || !j->x) return;
    j->started = true;
    if (!j->stream) return;
    exchange_stream(j->x);
    str_puts(&j->x->out, j->teller->ping ? "" : ": keep-alive\n\n");
    j->teller->begin(j, &j->x->out);
}

/* "tool get_weather: /properties/x: …" is about the parameters of that tool. */
static void place_of(const struct job *j, struct fault *f)
{
    const struct json *tools = j->request.tools;
    if (strncmp(f->message, "tool ", 5)) return;
    for (size_t i = 0; i < json_len(tools); i++) {
        const char *name = json_str(json_get(tool_function(json_at(tools, i)), "name"), NULL);
        size_t n = strlen(name);
        if (!strncmp(f->message + 5, name, n) && f->message[5 + n] == ':')
            snprintf(f->param, sizeof f->param, "tools[%zu].function.parameters", i);
    }
}

/* Every choice begins with EV_START. */
static void tell_one(struct choice *c, const struct event *ev)
{
    struct job *j = c->job;
    struct str *out = j->stream ? &j->x->out : NULL;
    if (!c->began && ev->kind != EV_START)
        j->teller->event(j, c, &(struct event){ .kind = EV_START }, out);
    c->began = true;
    j->teller->event(j, c, ev, out);
}

static void tell(struct job *j, const struct mail *m)
{
    struct choice *c = m->choice;
    struct event ev = m->ev;
    ev.bytes = (struct bytes){ m->bytes.p ? m->bytes.p : "", m->bytes.len };
    ev.id = m->id;
    ev.name = m->name;
    ev.top = m->top;
    bool last = ev.kind == EV_FINISH || ev.kind == EV_ERROR;
    if (last) {
        c->done = true;
        j->n_done++;
    }
    if (ev.usage.prompt_tokens) c->message.usage = ev.usage, c->message.timing = ev.timing;
    if (ev.kind == EV_START) begin(j);
    message_event(&c->message, &ev);
    if (ev.kind == EV_FINISH) add_usage(j, c);
    if (!j->x) return;
    if (ev.kind == EV_ERROR) {
        struct err e;
        struct fault f;
        err_set(&e, ev.code ? ev.code : ERR_INTERNAL, "%.*s", (int)MIN(ev.bytes.len, 460u),
                ev.bytes.p);
        if (e.code == ERR_UNSUPPORTED) e.tag = "unsupported_schema";
        fault_of(&f, &e);
        place_of(j, &f);
        fail(j, &f);
    } else if (ev.kind == EV_FINISH && ev.reason == FINISH_CANCEL) {
        struct fault f = { .status = 503,
                           .type = fault_type(503),
                           .code = "request_cancelled",
                           .message = "the answer was cut: the client read too slowly" };
        fail(j, &f);
    } else {
        begin(j);
        tell_one(c, &ev);
        if (j->stream) exchange_pump(j->x);
    }
}

/* All mail of a job, unless its client has enough to read. */
static void tell_all(struct job *j)
{
    struct mailbox *b = j->sv->mailbox;
    while (!j->x || j->x->out.len - j->x->out_at < OUT_MOST) {
        pthread_mutex_lock(&b->lock);
        struct mail *m = j->first;
        if (m) {
            j->first = m->next;
            if (!m->next) j->last = NULL;
            j->mail_bytes -=
                MIN(j->mail_bytes, sizeof *m + m->bytes.len + (size_t)m->ev.n_top * sizeof *m->top);
        }
        pthread_mutex_unlock(&b->lock);
        if (!m) break;
        tell(j, m);
        mail_free(m);
        if (j->n_done < j->n_choice) continue;
        finish(j);
        job_free(j);
        return;
    }
}

void job_mail(struct server *sv)
{
    struct mailbox *b = sv->mailbox;
    while (true) {
        pthread_mutex_lock(&b->lock);
        struct job *j = b->ready;
        if (j) {
            b->ready = j->ready;
            j->listed = false;
        }
        pthread_mutex_unlock(&b->lock);
        if (!j) return;
        tell_all(j);
    }
}

void job_more(struct exchange *x) { tell_all(x->job); }

/* ---- ending -------------------------------------------------------------------------------------- */

void job_leave(struct job *j)
{
    detach(j);
    cancel_all(j);
}

static void stop(struct job *j, const char *code, const char *why)
{
    struct fault f = { .status = strcmp(code, "internal_error") ? 503 : 500,
                       .code = code,
                       .message = why };
    f.type = fault_type(f.status);
    fail(j, &f);
}

void job_stop_all(struct server *sv, const char *code, const char *why)
{
    for (struct job *j = sv->jobs; j; j = j->next)
        if (j->x) stop(j, code, why);
}

static bool beyond(uint64_t now, uint64_t since, double limit)
{
    return limit > 0 && now > since && (double)(now - since) * 1e-9 > limit;
}

/* What the scheduler says of all that is there; n 0 where nobody asks. */
struct slots { struct sched_slot *slot; int n; };

static struct slots look(struct server *sv)
{
    struct slots s = { 0 };
    bool asked = sv->o->queue_s > 0 || (sv->draining && sv->o->drain_reject_queued);
    if (!asked || !sv->jobs) return s;
    int cap = sched_slots(sv->sched, NULL, 0);
    s.slot = mem_zero((size_t)(cap + 1) * sizeof *s.slot);
    s.n = MIN(sched_slots(sv->sched, s.slot, cap), cap);
    return s;
}

/* Has none of its choices had a turn yet? Reading a long prompt is not waiting. */
static bool is_waiting(const struct job *j, const struct slots *s)
{
    bool waits = false;
    if (j->n_done) return false;
    for (int k = 0; k < j->n_choice; k++)
        for (int i = 0; i < s->n; i++) {
            if (s->slot[i].id != j->choice[k].id) continue;
            if (s->slot[i].state != SCHED_WAITING) return false;
            waits = true;
        }
    return waits;
}

static void tick(struct job *j, const struct slots *slots, uint64_t now)
{
    struct exchange *x = j->x;
    const struct serve_opts *o = j->sv->o;
    if (!x) return;
    if (beyond(now, j->submit_ns, o->queue_s) && is_waiting(j, slots))
        stop(j, "queue_timeout", "the request waited too long for its turn");
    else if (j->sv->draining && o->drain_reject_queued && is_waiting(j, slots))
        stop(j, "draining", "the server is shutting down");
    else if (beyond(now, j->submit_ns, o->request_s))
        stop(j, "request_timeout", "the request took longer than this server allows");
    else if (x->sse && x->suspended && x->out.len == x->out_at &&
             beyond(now, x->wrote_ns, o->ping_s)) {
        str_puts(&x->out, j->teller->ping ? j->teller->ping : ": keep-alive\n\n");
        exchange_pump(x);
    }
}

void job_tick(struct server *sv, uint64_t now)
{
    struct slots slots = look(sv);
    for (struct job *j = sv->jobs, *next; j; j = next) {
        next = j->next;
        tick(j, &slots, now);
    }
    mem_free(slots.slot);
}

/* ---- pieces that several tellers write ------------------------------------------------------------- */

struct json *usage_json(const struct usage *u)
{
    struct json *o = json_new_object(), *p = json_new_object(), *c = json_new_object();
    json_set(o, "prompt_tokens", json_new_int(u->prompt_tokens));
    json_set(o, "completion_tokens", json_new_int(u->completion_tokens));
    json_set(o, "total_tokens", json_new_int(u->prompt_tokens + u->completion_tokens));
    json_set(p, "cached_tokens", json_new_int(u->cached_tokens));
    json_set(o, "prompt_tokens_details", p);
    json_set(c, "reasoning_tokens", json_new_int(u->reasoning_tokens));
    json_set(o, "completion_tokens_details", c);
    return o;
}

static void put_token(struct json *o, const struct server *sv, int32_t id, float logprob)
{
    const struct tokenizer *t = engine_tokenizer(sv->engine);
    struct bytes raw = tok_bytes(t, id);
    if (!raw.len) raw = tok_text(t, id); /* a control token: its name */
    struct str text = { 0 };
    str_put_utf8(&text, raw.p ? raw.p : "", raw.len);
    json_set(o, "token", json_new_strn(text.p ? text.p : "", text.len));
    json_set(o, "logprob", json_new_f64(logprob));
    struct json *bytes = json_new_array();
    for (size_t i = 0; i < raw.len; i++) json_push(bytes, json_new_int((unsigned char)raw.p[i]));
    json_set(o, "bytes", bytes);
    str_done(&text);
}

struct json *token_logprob(const struct server *sv, const struct event *ev)
{
    struct json *o = json_new_object(), *top = json_new_array();
    put_token(o, sv, ev->token, ev->logprob);
    for (int i = 0; i < ev->n_top; i++) {
        struct json *t = json_new_object();
        put_token(t, sv, ev->top[i].token, ev->top[i].logprob);
        json_push(top, t);
    }
    json_set(o, "top_logprobs", top);
    return o;
}
