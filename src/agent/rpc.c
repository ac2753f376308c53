/* rpc.c -- JSON-RPC 2.0, whatever carries it: ids, messages, answers to what the other side asks, time.
 *
 * Who asks waits for its own id. Requests of the server are answered: ping with {}, those that the owner of the
 * connection knows (rpc_on_ask) by it, all others with "method not found". Progress begins the time of a call anew,
 * up to ten minutes; the time that a user takes to answer is not the server's. */
#include "agent/rpc.h"

#define PROGRESS_MOST_MS 600000

void rpc_init(struct rpc *r, const struct rpc_kind *kind)
{
    r->kind = kind;
    atomic_init(&r->holders, 1);
    pthread_mutex_init(&r->lock, NULL);
}

void rpc_done(struct rpc *r) { pthread_mutex_destroy(&r->lock); }

void rpc_hold(struct rpc *r) { atomic_fetch_add(&r->holders, 1); }

void rpc_close(struct rpc *r)
{
    if (r && atomic_fetch_sub(&r->holders, 1) == 1) r->kind->close(r);
}

void rpc_on_ask(struct rpc *r, rpc_ask_fn *fn, void *ctx)
{
    r->ask = fn;
    r->ask_ctx = ctx;
}

void rpc_speak(struct rpc *r, const char *version, bool modern)
{
    snprintf(r->version, sizeof r->version, "%s", version);
    r->modern = modern;
}

/* ---- what is looked at by both sides ---- */

bool rpc_is_dead(struct rpc *r)
{
    pthread_mutex_lock(&r->lock);
    bool dead = r->dead;
    pthread_mutex_unlock(&r->lock);
    return dead;
}

bool rpc_take_changed(struct rpc *r)
{
    pthread_mutex_lock(&r->lock);
    bool changed = r->changed;
    r->changed = false;
    pthread_mutex_unlock(&r->lock);
    return changed;
}

int rpc_garbage(struct rpc *r)
{
    pthread_mutex_lock(&r->lock);
    int n = r->garbage;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- messages ---- */

struct json *rpc_message(const char *method, struct json *params)
{
    struct json *m = json_new_object();
    json_set(m, "jsonrpc", json_new_str("2.0"));
    json_set(m, "method", json_new_str(method));
    if (params) json_set(m, "params", params);
    return m;
}

const char *rpc_kind_of(const struct json *m)
{
    if (!json_is(m, JSON_OBJECT)) return NULL;
    if (json_str(json_get(m, "method"), NULL)) return json_get(m, "id") ? "request" : "notification";
    return json_get(m, "result") || json_get(m, "error") ? "answer" : NULL;
}

struct json *rpc_cancelled(int64_t id, const char *why)
{
    struct json *o = json_new_object();
    json_set(o, "requestId", json_new_int(id));
    json_set(o, "reason", json_new_str(why));
    return rpc_message("notifications/cancelled", o);
}

int64_t rpc_error_code(const struct json *answer)
{
    int64_t code = 0;
    json_i64(json_get(json_get(answer, "error"), "code"), &code);
    return code;
}

/* ---- what the server says of itself ---- */

/* progressToken is the id of the request. */
static void progress(struct rpc_wait *waiting, const struct json *params)
{
    int64_t id;
    if (!json_i64(json_get(params, "progressToken"), &id)) return;
    for (struct rpc_wait *w = waiting; w; w = w->next)
        if (w->id == id) w->until = MIN(clock_ns() + (uint64_t)w->timeout_ms * 1000000u, w->last);
}

void rpc_hear(struct rpc *r, const struct json *m, struct rpc_wait *waiting)
{
    const struct json *method = json_get(m, "method");
    if (json_str_is(method, "notifications/tools/list_changed")) r->changed = true;
    else if (json_str_is(method, "notifications/progress")) progress(waiting, json_get(m, "params"));
}

static struct json *ask_owner(struct rpc *r, const struct json *m, struct rpc_wait *w)
{
    uint64_t t0 = clock_ns();
    if (!r->ask || !w) return NULL;
    struct json *result = r->ask(r->ask_ctx, json_str(json_get(m, "method"), NULL), json_get(m, "params"));
    pthread_mutex_lock(&r->lock);
    w->until += clock_ns() - t0;
    w->last += clock_ns() - t0;
    pthread_mutex_unlock(&r->lock);
    return result;
}

struct json *rpc_answer(struct rpc *r, const struct json *m, struct rpc_wait *w)
{
    bool is_ping = json_str_is(json_get(m, "method"), "ping");
    struct json *o = json_new_object(), *result = is_ping ? json_new_object() : ask_owner(r, m, w);
    json_set(o, "jsonrpc", json_new_str("2.0"));
    json_set(o, "id", json_copy(json_get(m, "id")));
    if (result) json_set(o, "result", result);
    else {
        struct json *error = json_new_object();
        json_set(error, "code", json_new_int(NO_METHOD));
        json_set(error, "message", json_new_str("method not found"));
        json_set(o, "error", error);
    }
    return o;
}

/* ---- asking ---- */

/* The id is also the token of progress. */
static struct json *with_token(struct json *params, int64_t id)
{
    struct json *meta = json_copy(json_get(params, "_meta"));
    if (!meta) meta = json_new_object();
    json_set(meta, "progressToken", json_new_int(id));
    json_set(params, "_meta", meta);
    return params;
}

bool rpc_say_late(const struct rpc_request *q, struct err *e)
{
    if (cancel_is_on(q->cancel)) return err_set(e, ERR_CANCEL, "cancelled by the user");
    return err_set(e, ERR_LIMIT, "no answer to %s within %d ms", q->method, q->timeout_ms);
}

static struct json *numbered(struct rpc *r, const char *method, struct json *params, int64_t *id)
{
    pthread_mutex_lock(&r->lock);
    *id = ++r->next_id;
    pthread_mutex_unlock(&r->lock);
    if (!strcmp(method, "tools/call")) params = with_token(params, *id);
    struct json *m = rpc_message(method, params);
    json_set(m, "id", json_new_int(*id));
    return m;
}

struct json *rpc_call(struct rpc *r, struct rpc_request *q, struct err *e)
{
    uint64_t now = clock_ns();
    struct rpc_wait w = { .timeout_ms = q->timeout_ms, .until = now + (uint64_t)q->timeout_ms * 1000000u };
    w.last = MAX(w.until, now + (uint64_t)PROGRESS_MOST_MS * 1000000u);
    struct json *m = numbered(r, q->method, q->params, &w.id);
    q->params = NULL;
    q->status = 0;
    return r->kind->call(r, q, &w, m, e);
}

bool rpc_notify(struct rpc *r, const char *method, struct json *params, struct err *e)
{
    return r->kind->send(r, rpc_message(method, params), e);
}

void rpc_listen(struct rpc *r, struct json *params)
{
    int64_t id;
    if (r->listens) {
        json_free(params);
        return;
    }
    r->listens = true;
    r->kind->listen(r, numbered(r, "subscriptions/listen", params, &id));
}
