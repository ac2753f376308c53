/* remote.c -- an OpenAI-compatible endpoint as an engine: the same request in, the same events out.
 *
 * The request's body goes out with the model's name and without the members that are ours alone; the
 * answer, streamed or whole, comes back as the events a local engine would have sent. A streamed answer
 * is read chunk by chunk; a call begins when its name is known, its arguments are handed on as they
 * come, and it ends when the endpoint says why it finished. Only then are its arguments compared with
 * the tool's schema: nothing constrained them, so schema_ok may well be false.
 *
 * What is wrong at the other end (status, error object, stream that breaks off or is no JSON) becomes a
 * sentence that names the endpoint. Threads: one at a time; several remotes may ask at once. */
#include <stdlib.h>

#include "client/client.h"
#include "gen/gen.h"

#define EVENT_MOST ((size_t)16 << 20)                                 /* bytes of one chunk */
#define CALLS_MOST 1024
#define TRIES 5

struct remote {
    struct client *client;
    char *url, *model, *key;                                          /* key: "Bearer …" or NULL */
    bool stream;
    bool (*stop)(void *ctx); void *stop_ctx;
};

/* ---- opening --------------------------------------------------------------------------------------- */

/* http://host/v1, with or without /chat/completions and slashes behind. */
static char *chat_url(const char *base)
{
    struct str s = { 0 };
    str_puts(&s, base);
    while (s.len && s.p[s.len - 1] == '/') s.p[--s.len] = 0;
    if (!ends_with(s.p ? s.p : "", "/chat/completions")) str_puts(&s, "/chat/completions");
    return str_take(&s);
}

struct remote *remote_open(const struct remote_opts *o, struct err *e)
{
    struct remote *r = mem_zero(sizeof *r);
    struct client_opts c = { .tries = o->tries ? o->tries : TRIES,
                             .backoff_ms = o->backoff_ms,
                             .total_ms = o->total_ms,
                             .idle_ms = o->idle_ms,
                             .most_bytes = o->most_bytes,
                             .stop = o->stop,
                             .stop_ctx = o->stop_ctx };
    if (strncmp(o->url, "http://", 7) && strncmp(o->url, "https://", 8)) {
        err_set(e, ERR_ARG,
                "endpoint '%.200s': an address that begins with http:// or https:// is needed",
                o->url);
        goto fail;
    }
    if (!(r->client = client_open(&c, e))) goto fail;
    r->url = chat_url(o->url);
    r->model = mem_str(o->model ? o->model : "default");
    r->stream = o->stream;
    r->stop = o->stop;
    r->stop_ctx = o->stop_ctx;
    if (o->key) {
        struct str s = { 0 };
        str_fmt(&s, "Bearer %s", o->key);
        r->key = str_take(&s);
    }
    return r;
fail:
    remote_close(r);
    return NULL;
}

void remote_speak_as(struct remote *r, const char *model)
{
    mem_free(r->model);
    r->model = mem_str(model);
}

void remote_close(struct remote *r)
{
    if (!r) return;
    client_close(r->client);
    mem_free(r->url);
    mem_free(r->model);
    mem_free(r->key);
    mem_free(r);
}

/* ---- the answer -------------------------------------------------------------------------------------- */

struct pending_call { bool begun; char *id, *name; struct str args; }; /* args: all so far */

struct answer {
    const struct request *r;
    event_fn *fn; void *ctx;
    struct pending_call *call; int n_call;
    char reason[32];
    struct usage usage;
    struct timing timing;
    uint64_t start_ns;
    bool cancelled, done;                                             /* done: [DONE] was seen */
    struct sse sse;
    struct err err;
};

static void answer_done(struct answer *a)
{
    for (int i = 0; i < a->n_call; i++) {
        mem_free(a->call[i].id);
        mem_free(a->call[i].name);
        str_done(&a->call[i].args);
    }
    mem_free(a->call);
    sse_done(&a->sse);
}

static void send(struct answer *a, const struct event *ev)
{
    if (!a->timing.first_token_ms)
        a->timing.first_token_ms = (double)(clock_ns() - a->start_ns) * 1e-6;
    if (!a->cancelled && !a->fn(a->ctx, ev)) a->cancelled = true;
}

static void send_bytes(struct answer *a, enum event_kind kind, const struct json *v)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (s && n) send(a, &(struct event){ .kind = kind, .bytes = { s, n } });
}

static struct pending_call *call_at(struct answer *a, int64_t index)
{
    if (index < 0 || index >= CALLS_MOST) return NULL;
    if (index >= a->n_call) {
        a->call = mem_resize(a->call, (size_t)(index + 1) * sizeof *a->call);
        memset(a->call + a->n_call, 0, (size_t)(index + 1 - a->n_call) * sizeof *a->call);
        a->n_call = (int)index + 1;
    }
    return &a->call[index];
}

/* Calls begin in their order: one without a name holds back those behind it. */
static void begin_calls(struct answer *a)
{
    for (int i = 0; i < a->n_call; i++) {
        struct pending_call *c = &a->call[i];
        char id[32];
        if (c->begun) continue;
        if (!c->name) return;
        snprintf(id, sizeof id, "call_%d", i + 1);
        c->begun = true;
        send(a, &(struct event){
                    .kind = EV_CALL_BEGIN, .index = i, .id = c->id ? c->id : id, .name = c->name });
        if (c->args.len)
            send(a, &(struct event){
                        .kind = EV_CALL_ARGS, .index = i, .bytes = { c->args.p, c->args.len } });
    }
}

static void keep_first(char **at, const struct json *v)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (!*at && s && n) *at = mem_str(s);
}

/* Arguments are text; some endpoints send an object, which is written out. */
static void take_args(struct answer *a, struct pending_call *c, int64_t index,
                      const struct json *args)
{
    struct str s = { 0 };
    size_t n = 0;
    const char *text = json_str(args, &n);
    if (text) str_put(&s, text, n);
    else if (json_is(args, JSON_OBJECT)) json_write(&s, args, JSON_COMPACT);
    if (s.len) str_put(&c->args, s.p, s.len);
    if (s.len && c->begun)
        send(a,
             &(struct event){ .kind = EV_CALL_ARGS, .index = (int)index, .bytes = { s.p, s.len } });
    str_done(&s);
}

/* One element of tool_calls, whole or a piece of one. */
static bool take_call(struct answer *a, const struct json *v, size_t nth)
{
    const struct json *f = json_get(v, "function");
    int64_t index = (int64_t)nth;
    if (json_get(v, "index") && !json_i64(json_get(v, "index"), &index)) index = -1;
    struct pending_call *c = call_at(a, index);
    if (!c)
        return err_set(&a->err, ERR_FORMAT, "tool_calls: an index from 0 to %d is needed",
                       CALLS_MOST - 1);
    keep_first(&c->id, json_get(v, "id"));
    keep_first(&c->name, json_get(f, "name"));
    take_args(a, c, index, json_get(f, "arguments"));
    begin_calls(a);
    return true;
}

static int count_of(const struct json *o, const char *key)
{
    int64_t n = 0;
    return json_i64(json_get(o, key), &n) && n > 0 && n < INT32_MAX ? (int)n : 0;
}

static void take_usage(struct answer *a, const struct json *u)
{
    if (!json_is(u, JSON_OBJECT)) return;
    a->usage = (struct usage){ .prompt_tokens = count_of(u, "prompt_tokens"),
                               .completion_tokens = count_of(u, "completion_tokens"),
                               .cached_tokens = count_of(json_get(u, "prompt_tokens_details"),
                                                         "cached_tokens") };
}

/* {"error":{"message":…}} or {"error":"…"}; NULL: there is none. */
static const char *error_of(const struct json *v)
{
    const struct json *err = json_get(v, "error");
    const char *text = json_str(json_is(err, JSON_OBJECT) ? json_get(err, "message") : err, NULL);
    if (!err || json_is(err, JSON_NULL)) return NULL;
    return text ? text : "an error without a message";
}

/* A chunk (delta) or a whole answer (message). */
static bool take_answer(struct answer *a, const struct json *v, const char *part)
{
    const char *wrong = error_of(v);
    if (wrong) return err_set(&a->err, ERR_ARG, "%.400s", wrong);
    take_usage(a, json_get(v, "usage"));
    const struct json *choice = json_at(json_get(v, "choices"), 0), *d = json_get(choice, part);
    const struct json *calls = json_get(d, "tool_calls");
    const char *reason = json_str(json_get(choice, "finish_reason"), NULL);
    send_bytes(a, EV_REASONING,
               json_get(d, "reasoning_content") ? json_get(d, "reasoning_content")
                                                : json_get(d, "reasoning"));
    send_bytes(a, EV_TEXT, json_get(d, "content"));
    if (json_is(calls, JSON_ARRAY))
        for (size_t i = 0; i < json_len(calls); i++)
            if (!take_call(a, json_at(calls, i), i)) return false;
    if (reason) snprintf(a->reason, sizeof a->reason, "%s", reason);
    return true;
}

static bool on_sse(void *ctx, const char *event, const char *data, size_t len)
{
    struct answer *a = ctx;
    if (!strcmp(data, "[DONE]")) {
        a->done = true;
        return true;
    }
    if (a->done) return true;
    struct json *v = json_parse(data, len, &a->err);
    bool ok = v ? take_answer(a, v, "delta") : err_in(&a->err, "a chunk of the stream is no JSON");
    json_free(v);
    return ok && !a->cancelled;
}

static bool on_body(void *ctx, const char *p, size_t n)
{
    struct answer *a = ctx;
    struct err e = { 0 };
    if (sse_feed(&a->sse, p, n, &e)) return true;
    if (!a->err.code && !a->cancelled) a->err = e;
    return false;
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static bool args_fit(const struct answer *a, const struct pending_call *c)
{
    bool fits = false;
    struct err why = { 0 };
    struct json *v = json_parse(c->args.p ? c->args.p : "", c->args.len, &why);
    for (size_t i = 0; v && i < json_len(a->r->tools); i++) {
        const struct json *tool = json_at(a->r->tools, i);
        if (!json_str_is(json_get(tool_function(tool), "name"), c->name)) continue;
        struct json *schema = tool_schema(tool);
        fits = schema_check(schema, v, &(struct grammar_opts){ 0 }, &why);
        json_free(schema);
    }
    json_free(v);
    return fits;
}

static enum finish finish_of(const struct answer *a)
{
    if (a->cancelled) return FINISH_CANCEL;
    if (!strcmp(a->reason, "length")) return FINISH_LENGTH;
    return a->n_call ? FINISH_TOOL_CALLS : FINISH_STOP;
}

static bool end_calls(struct answer *a)
{
    begin_calls(a);
    for (int i = 0; i < a->n_call; i++) {
        if (!a->call[i].begun) return err_set(&a->err, ERR_FORMAT, "a call without a name");
        if (finish_of(a) != FINISH_LENGTH || args_fit(a, &a->call[i]))  /* else it stays incomplete */
            send(a, &(struct event){
                        .kind = EV_CALL_END, .index = i, .schema_ok = args_fit(a, &a->call[i]) });
    }
    return true;
}

static bool end_answer(struct answer *a)
{
    if (!a->cancelled) {
        if (!a->reason[0])
            return err_set(&a->err, ERR_IO, "the answer broke off: it has no finish_reason");
        if (!strcmp(a->reason, "content_filter"))
            return err_set(&a->err, ERR_ARG, "the answer was withheld (content_filter)");
        if (!end_calls(a)) return false;
    }
    a->timing.total_ms = (double)(clock_ns() - a->start_ns) * 1e-6;
    struct event last = {
        .kind = EV_FINISH, .reason = finish_of(a), .usage = a->usage, .timing = a->timing
    };
    a->fn(a->ctx, &last);                                             /* whoever cancelled still hears the end */
    return true;
}

/* ---- the request ------------------------------------------------------------------------------------------ */

/* What the endpoint is sent: the body, less what only we understand. */
static struct json *outgoing(const struct remote *m, const struct request *r)
{
    static const char *const ours[] = {
        "steer",          "return_confidence", "min_confidence", "tool_retrieval", "spelling", "key_order",           "stream",
        "stream_options", "model",    "chat_template_kwargs"
    };
    struct json *body = json_copy(r->body);
    for (size_t i = 0; i < LEN(ours); i++) json_unset(body, ours[i]);
    json_set(body, "model", json_new_str(m->model));
    if (!m->stream) return body;
    struct json *o = json_new_object();
    json_set(o, "include_usage", json_new_bool(true));
    json_set(body, "stream", json_new_bool(true));
    json_set(body, "stream_options", o);
    return body;
}

/* What a status that is not 2xx says. */
static bool refused(const struct client_reply *p, struct err *e)
{
    struct json *v = json_parse(p->body.p ? p->body.p : "", p->body.len, NULL);
    const char *text = error_of(v) ? error_of(v) : json_str(json_get(v, "message"), NULL);
    enum err_code c = p->status == 429 ? ERR_FULL : p->status >= 500 ? ERR_IO : ERR_ARG;
    err_set(e, c, "status %d%s%.300s%s", p->status, text ? ": " : "", text ? text : "",
            p->tries > 1 ? " (tried several times)" : "");
    json_free(v);
    return false;
}

static bool whole_answer(struct answer *a, const struct client_reply *p)
{
    struct json *v = json_parse(p->body.p ? p->body.p : "", p->body.len, &a->err);
    bool ok = v ? take_answer(a, v, "message") : err_in(&a->err, "the answer is no JSON");
    if (ok && !json_is(json_get(json_at(json_get(v, "choices"), 0), "message"), JSON_OBJECT))
        ok = err_set(&a->err, ERR_FORMAT, "the answer has no choices[0].message");
    json_free(v);
    return ok;
}

static bool ask(struct remote *m, struct answer *a, struct err *e)
{
    const struct client_header headers[] = { { "Content-Type", "application/json" },
                                             { "Accept", m->stream ? "text/event-stream"
                                                                   : "application/json" },
                                             { "Authorization", m->key } };
    struct json *body = outgoing(m, a->r);
    struct str text = { 0 };
    struct client_reply reply;
    json_write(&text, body, JSON_COMPACT);
    struct client_request q = { .method = "POST",
                                .url = m->url,
                                .header = headers,
                                .n_header = m->key ? 3 : 2,
                                .body = { text.p, text.len },
                                .body_fn = m->stream ? on_body : NULL,
                                .ctx = a };
    bool sent = client_send(m->client, &q, &reply, e), ok = sent;
    if (!sent && e->code == ERR_CANCEL && m->stop && m->stop(m->stop_ctx)) a->cancelled = true;
    if (!sent && e->code == ERR_CANCEL) ok = !a->err.code;            /* we had enough: why, says the answer */
    if (sent && (reply.status < 200 || reply.status > 299)) ok = refused(&reply, &a->err);
    else if (sent && !m->stream) ok = whole_answer(a, &reply);
    if (ok) ok = end_answer(a);
    if (a->err.code) {
        *e = a->err;
        err_in(e, "%.200s", m->url);
    }
    if (sent) client_reply_done(&reply);
    str_done(&text);
    json_free(body);
    return ok;
}

bool remote_run(struct remote *m, const struct request *r, event_fn *fn, void *ctx, struct err *e)
{
    struct answer a = { .r = r, .fn = fn, .ctx = ctx, .start_ns = clock_ns() };
    sse_init(&a.sse, on_sse, &a, EVENT_MOST);
    bool ok = ask(m, &a, e);
    if (!ok)
        fn(ctx, &(struct event){
                    .kind = EV_ERROR, .bytes = { e->msg, strlen(e->msg) }, .code = e->code });
    answer_done(&a);
    return ok;
}
