/* tenon.c -- the public C API over the rooms: opens a speaker, hands a request to its engine, turns
 * events into the public shape. Nothing is decided here, and nothing of the rooms shows. */
#include "tenon.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "tenon_int.h"

struct tn_engine { struct speaker speaker; int64_t n_ctx; pthread_mutex_t turn; };  /* turn: of who generates */

#define LOOK_MS 20                          /* how often who waits for his turn looks whether he still wants it */

enum engine_turn tn_engine_take(struct tn_engine *engine, const struct cancel *cancel, struct err *e)
{
    for (;;) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += LOOK_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000L;
        t.tv_nsec %= 1000000000L;
        int rc = pthread_mutex_timedlock(&engine->turn, &t);
        if (!rc) return TURN_MINE;
        if (cancel_is_on(cancel)) return TURN_CANCELLED;
        if (rc == ETIMEDOUT) continue;
        err_set(e, ERR_ARG, "this thread hears an answer of the engine just now; ask it again when that is over");
        return TURN_REFUSED;
    }
}

void tn_engine_give(struct tn_engine *engine) { pthread_mutex_unlock(&engine->turn); }

static void turn_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);          /* who takes his own turn twice is told */
    pthread_mutex_init(m, &a);
    pthread_mutexattr_destroy(&a);
}

bool tn_report(struct tn_error *out, const struct err *e)
{
    if (out) {
        snprintf(out->kind, sizeof out->kind, "%s", err_name(e->code));
        snprintf(out->message, sizeof out->message, "%s", e->msg);
    }
    return false;
}

struct tn_engine *tn_open(const char *path, const struct tn_options *options, struct tn_error *err)
{
    struct tn_options o = options ? *options : (struct tn_options){ 0 };
    struct tn_engine *t = mem_zero(sizeof *t);
    struct err e = { 0 };
    if (err) *err = (struct tn_error){ "", "" };
    struct speaker_opts so = { .path = path, .dialect = o.dialect, .kv_type = o.kv_type, .n_ctx = o.n_ctx, .n_thread = o.n_thread,
                               .no_mmap = o.no_mmap, .mlock = o.mlock,
                               .lora = o.lora, .n_lora = o.n_lora };
    t->n_ctx = o.n_ctx;
    turn_init(&t->turn);
    if (speaker_open(&t->speaker, &so, &e)) return t;
    pthread_mutex_destroy(&t->turn);
    tn_report(err, &e);
    mem_free(t);
    return NULL;
}

void tn_close(struct tn_engine *engine)
{
    if (!engine) return;
    speaker_close(&engine->speaker);
    pthread_mutex_destroy(&engine->turn);
    mem_free(engine);
}

struct speaker *tn_engine_speaker(struct tn_engine *engine) { return &engine->speaker; }
int64_t tn_engine_n_ctx(const struct tn_engine *engine) { return engine->n_ctx; }

/* One run: the caller's callback, and the fold for the last event. */
struct tn_run_state { tn_event_fn *fn; void *ctx; struct message message; struct str bytes; };

static bool public_kind(const struct event *ev, enum tn_event_kind *kind)
{
    static const enum tn_event_kind kinds[] = {
        [EV_REASONING] = TN_REASONING, [EV_TEXT] = TN_TEXT,         [EV_CALL_BEGIN] = TN_CALL_BEGIN,
        [EV_CALL_ARGS] = TN_CALL_ARGS, [EV_CALL_END] = TN_CALL_END, [EV_FINISH] = TN_FINISH,
        [EV_ERROR] = TN_ERROR};
    if (ev->kind == EV_TOKEN || ev->kind == EV_START || ev->kind == EV_PROGRESS) return false;
    *kind = kinds[ev->kind];
    return true;
}

static enum tn_finish public_reason(enum finish f)
{
    static const enum tn_finish reasons[] = {[FINISH_STOP] = TN_STOP,
                                             [FINISH_TOOL_CALLS] = TN_TOOL_CALLS,
                                             [FINISH_LENGTH] = TN_LENGTH,
                                             [FINISH_CANCEL] = TN_CANCEL};
    return reasons[f];
}

bool tn_event_of(const struct event *ev, struct tn_event *out)
{
    *out = (struct tn_event){ .index = ev->index, .id = ev->id, .name = ev->name, .schema_ok = ev->schema_ok };
    return public_kind(ev, &out->kind);
}

static bool on_event(void *ctx, const struct event *ev)
{
    struct tn_run_state *r = ctx;
    struct tn_event out;
    message_event(&r->message, ev);
    if (!tn_event_of(ev, &out)) return true;
    str_clear(&r->bytes);
    str_put(&r->bytes, ev->bytes.p ? ev->bytes.p : "", ev->bytes.len);
    if (ev->kind == EV_FINISH) {
        struct json *m = message_json(&r->message);
        json_write(&r->bytes, m, JSON_COMPACT);
        json_free(m);
        out.reason = public_reason(ev->reason);
        out.prompt_tokens = ev->usage.prompt_tokens, out.cached_tokens = ev->usage.cached_tokens;
        out.completion_tokens = ev->usage.completion_tokens,
        out.forced_tokens = ev->usage.forced_tokens;
        out.prefill_ms = ev->timing.prefill_ms, out.decode_ms = ev->timing.decode_ms,
        out.total_ms = ev->timing.total_ms;
    }
    out.bytes = r->bytes.p ? r->bytes.p : "";
    out.len = r->bytes.len;
    return r->fn(r->ctx, &out);
}

bool tn_run(struct tn_engine *engine, const char *request, tn_event_fn *fn, void *ctx,
            struct tn_error *err)
{
    struct err e = { 0 };
    struct request r;
    struct tn_run_state state = { .fn = fn, .ctx = ctx };
    if (err) *err = (struct tn_error){ "", "" };
    struct json *body = json_parse(request, strlen(request), &e);
    if (!body || !request_read(&r, body, &e)) return tn_report(err, &e);
    bool ok = tn_engine_take(engine, NULL, &e) == TURN_MINE;
    if (ok) {
        ok = engine_run(engine->speaker.engine, &r, on_event, &state, &e);
        tn_engine_give(engine);
    }
    request_done(&r);
    message_done(&state.message);
    str_done(&state.bytes);
    return ok || tn_report(err, &e);
}

static bool keep_last(void *ctx, const struct tn_event *event)
{
    if (event->kind == TN_FINISH) str_put(ctx, event->bytes, event->len);
    return true;
}

char *tn_message(struct tn_engine *engine, const char *request, struct tn_error *err)
{
    struct str s = { 0 };
    if (tn_run(engine, request, keep_last, &s, err)) return str_take(&s);
    str_done(&s);
    return NULL;
}

void tn_free(char *string) { mem_free(string); }

const char *tn_version(void) { return TENON_VERSION; }
