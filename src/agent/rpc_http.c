/* rpc_http.c -- JSON-RPC over HTTP ("streamable HTTP" of MCP): every message is a POST; the answer is JSON, or a stream
 * of events that ends with the answer.
 *
 * Up to 2025-11-25 a server may give a session, which is named in every further request; 404 with it means that it
 * is over (the connection is dead then, and is opened anew). A stream that breaks is taken up again where it
 * stopped (Last-Event-ID), after the pause that the stream asked for. From 2026-07-28 on there is neither: requests
 * explain themselves in headers, and to stop listening is to cancel.
 *
 * Redirects are followed within the origin and with the method kept (307, 308), three at most. Each exchange has a
 * connection of its own from a small store, so calls run beside each other. What listens to changes is one thread. */
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "agent/rpc.h"
#include "client/client.h"

#define LINES_MOST 8
#define REDIRECTS_MOST 3
#define STREAM_MOST ((size_t)64 << 20)
#define CONNECT_MS 10000
#define LONGEST_MS 7200000                  /* nothing lasts longer, whatever prolongs it */
#define NOTIFY_MS 5000
#define RETRY_MS 1000
#define RETRY_MOST_MS 60000
#define TOKENS_MOST 4                       /* with which one request is tried */

struct exchange;
struct line { struct client *client; struct exchange *now; };         /* a connection, and what goes on on it */
struct http_rpc {
    struct rpc r;
    char *url;
    struct words header;                                              /* of the configuration: name, value, … */
    bool public_only;
    rpc_auth_fn *auth; void *auth_ctx;
    char session[512];                                                /* "": none */
    struct line *idle[LINES_MOST]; int n_idle;
    struct rpc_wait *waiting;                                         /* calls that are going on */
    atomic_bool closing;
    pthread_t listener; bool has_listener;                            /* of changes, and of questions outside of calls */
    struct json *listen_message;
};

/* One request on its way. w: who waits for an answer; NULL: nobody. */
struct exchange {
    struct http_rpc *h;
    struct rpc_wait *w;
    struct cancel *cancel;
    struct client_reply reply;
    struct sse sse;
    struct str body;
    struct err err;
    uint64_t until;                                                   /* if nobody waits */
    bool begun, is_stream, heard;                                     /* heard: a message came */
};

/* ---- connections ---- */

static bool is_over(void *line)
{
    const struct exchange *x = ((struct line *)line)->now;
    if (!x || cancel_is_on(x->cancel) || atomic_load(&x->h->closing)) return true;
    return clock_ns() > (x->w ? x->w->until : x->until);
}

static struct line *take_line(struct http_rpc *h, struct err *e)
{
    struct line *l = NULL;
    pthread_mutex_lock(&h->r.lock);
    if (h->n_idle) l = h->idle[--h->n_idle];
    pthread_mutex_unlock(&h->r.lock);
    if (l) return l;
    l = mem_zero(sizeof *l);
    struct client_opts o = { .connect_ms = CONNECT_MS, .idle_ms = LONGEST_MS, .total_ms = LONGEST_MS, .most_bytes = STREAM_MOST, .tries = 1,
                             .public_only = h->public_only, .stop = is_over, .stop_ctx = l };
    l->client = client_open(&o, e);
    if (l->client) return l;
    mem_free(l);
    return NULL;
}

static void drop_line(struct line *l)
{
    client_close(l->client);
    mem_free(l);
}

static void give_line(struct http_rpc *h, struct line *l)
{
    l->now = NULL;
    pthread_mutex_lock(&h->r.lock);
    bool kept = h->n_idle < LINES_MOST;
    if (kept) h->idle[h->n_idle++] = l;
    pthread_mutex_unlock(&h->r.lock);
    if (!kept) drop_line(l);
}

/* ---- what comes in ---- */

/* What is asked on the stream of changes belongs to a call that is going on, if one is: all of them get the time back. */
static void answer(struct exchange *x, const struct json *m)
{
    struct err ignored = { 0 };
    struct rpc *r = &x->h->r;
    struct rpc_wait other = { 0 };
    pthread_mutex_lock(&r->lock);
    struct rpc_wait *w = x->w ? x->w : x->h->waiting ? &other : NULL;
    pthread_mutex_unlock(&r->lock);
    struct json *o = rpc_answer(r, m, w);
    pthread_mutex_lock(&r->lock);
    for (struct rpc_wait *k = x->w ? NULL : x->h->waiting; k; k = k->next) k->until += other.until, k->last += other.last;
    pthread_mutex_unlock(&r->lock);
    r->kind->send(r, o, &ignored);
}

/* m is taken. */
static void on_message(struct exchange *x, struct json *m)
{
    const char *kind = rpc_kind_of(m);
    int64_t id = 0;
    struct rpc *r = &x->h->r;
    x->heard = x->heard || kind;
    if (kind && *kind == 'r') answer(x, m);
    pthread_mutex_lock(&r->lock);
    if (!kind) r->garbage++;
    else if (*kind == 'n') rpc_hear(r, m, x->h->waiting);
    else if (*kind == 'a' && x->w && !x->w->answer) {
        bool ours = json_i64(json_get(m, "id"), &id) ? id == x->w->id : x->reply.status >= 400;
        if (ours) x->w->answer = m, m = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    json_free(m);
}

static void on_text(struct exchange *x, const char *p, size_t n)
{
    struct json *v = json_parse(p, n, NULL);
    if (!json_is(v, JSON_ARRAY)) {
        on_message(x, v);
        return;
    }
    for (size_t i = 0; i < json_len(v); i++) on_message(x, json_copy(json_at(v, i)));  /* a batch, of 2025-03-26 */
    json_free(v);
}

static bool on_event(void *ctx, const char *event, const char *data, size_t len)
{
    struct exchange *x = ctx;
    if (len && (!*event || !strcmp(event, "message"))) on_text(x, data, len);
    return !(x->w && x->w->answer);
}

static void begin(struct exchange *x)
{
    struct http_rpc *h = x->h;
    x->begun = true;
    x->is_stream = !strncasecmp(x->reply.type, "text/event-stream", 17);
    if (!x->reply.kept[0]) return;
    pthread_mutex_lock(&h->r.lock);
    snprintf(h->session, sizeof h->session, "%s", x->reply.kept);
    pthread_mutex_unlock(&h->r.lock);
}

static bool on_piece(void *ctx, const char *p, size_t n)
{
    struct exchange *x = ctx;
    if (!x->begun) begin(x);
    if (x->is_stream) return sse_feed(&x->sse, p, n, &x->err);
    if (x->body.len + n > RPC_MESSAGE_MOST) return err_set(&x->err, ERR_LIMIT, "an answer of more than %zu bytes", RPC_MESSAGE_MOST);
    str_put(&x->body, p, n);
    return true;
}

/* ---- what goes out ---- */

struct headers { struct client_header h[96]; int n; char session[512]; };

static void put_header(struct headers *to, const char *name, const char *value)
{
    if (to->n < (int)LEN(to->h)) to->h[to->n++] = (struct client_header){ name, value };
}

static void put_words(struct headers *to, const struct words *w)
{
    for (int i = 0; w && i + 1 < w->n; i += 2) put_header(to, w->p[i], w->p[i + 1]);
}

/* Of every request; the session is copied, because another thread may lose it. */
static void put_common(struct headers *to, struct http_rpc *h)
{
    put_words(to, &h->header);
    put_header(to, "Accept", "application/json, text/event-stream");
    if (h->r.version[0]) put_header(to, "MCP-Protocol-Version", h->r.version);
    pthread_mutex_lock(&h->r.lock);
    memcpy(to->session, h->session, sizeof to->session);
    pthread_mutex_unlock(&h->r.lock);
    if (to->session[0] && !h->r.modern) put_header(to, "Mcp-Session-Id", to->session);
}

/* What a message is about, for those on the way that do not read bodies. */
static void put_routing(struct headers *to, const struct http_rpc *h, const struct json *m, const char *name)
{
    const char *method = json_str(json_get(m, "method"), NULL);
    if (!h->r.modern || !method) return;
    put_header(to, "Mcp-Method", method);
    if (name) put_header(to, "Mcp-Name", name);
}

static bool goes_on(const struct exchange *x, const char *url, int n)
{
    int s = x->reply.status;
    return (s == 307 || s == 308) && n < REDIRECTS_MOST && client_same_origin(url, x->reply.location);
}

/* One request, redirects included. True: HTTP answered, or the stream was left because the answer had come. */
static bool exchange_once(struct exchange *x, const char *method, struct bytes body, const struct headers *headers, struct err *e)
{
    struct line *l = take_line(x->h, e);
    char *url = mem_str(x->h->url);
    bool ok = l != NULL, again = ok;
    for (int n = 0; again; n++) {
        struct client_request q = { .method = method, .url = url, .header = headers->h, .n_header = headers->n, .body = body, .body_fn = on_piece, .ctx = x,
                                    .keep = "Mcp-Session-Id" };
        l->now = x;
        ok = client_send(l->client, &q, &x->reply, e);
        again = ok && goes_on(x, url, n);
        if (!again) break;
        mem_free(url);
        url = mem_str(x->reply.location);
        client_reply_done(&x->reply);
    }
    if (!ok && x->err.code && !x->sse.ended) *e = x->err;
    if (l && ok) give_line(x->h, l);
    else if (l) drop_line(l);
    mem_free(url);
    return ok || (x->w && x->w->answer);
}

/* The user's time to sign in is not the server's. */
static bool authorize(struct exchange *x, const char *used, struct str *token)
{
    uint64_t t0 = clock_ns();
    struct err why = { 0 };
    bool ok = x->h->auth(x->h->auth_ctx, x->reply.status, x->reply.challenge, used, token, &why);
    pthread_mutex_lock(&x->h->r.lock);
    if (x->w) x->w->until += clock_ns() - t0, x->w->last += clock_ns() - t0;
    else x->until += x->until < UINT64_MAX / 2 ? clock_ns() - t0 : 0;
    pthread_mutex_unlock(&x->h->r.lock);
    if (!ok && why.code) x->err = why;
    return ok;
}

/* The same with a token, and with another one if that is refused. */
static bool exchange(struct exchange *x, const char *method, struct bytes body, const struct headers *headers, struct err *e)
{
    struct str token = { 0 };
    bool ok = false;
    if (!x->h->auth) return exchange_once(x, method, body, headers, e);
    x->h->auth(x->h->auth_ctx, 0, "", NULL, &token, e);
    for (int n = 0; n < TOKENS_MOST; n++) {
        struct headers all = *headers;
        struct str bearer = { 0 };
        if (n) client_reply_done(&x->reply);
        if (token.len) {
            str_fmt(&bearer, "Bearer %s", token.p);
            put_header(&all, "Authorization", bearer.p);
        }
        ok = exchange_once(x, method, body, &all, e);
        str_done(&bearer);
        if (!ok || (x->reply.status != 401 && x->reply.status != 403) || cancel_is_on(x->cancel)) break;
        struct str next = { 0 };
        bool again = authorize(x, token.p ? token.p : "", &next);
        str_done(&token);
        token = next;
        if (!again) break;
    }
    str_done(&token);
    return ok;
}

static void exchange_init(struct exchange *x, struct http_rpc *h, struct rpc_wait *w, struct cancel *c)
{
    *x = (struct exchange){ .h = h, .w = w, .cancel = c };
    sse_init(&x->sse, on_event, x, RPC_MESSAGE_MOST);
}

static void exchange_done(struct exchange *x)
{
    client_reply_done(&x->reply);
    sse_done(&x->sse);
    str_done(&x->body);
}

/* ---- one call ---- */

static void sleep_ms(struct http_rpc *h, const struct rpc_wait *w, struct cancel *c, int ms)
{
    for (int i = 0; i < (ms + 19) / 20 && !cancel_is_on(c) && !atomic_load(&h->closing) && (!w || clock_ns() < w->until); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

/* The stream broke before the answer: taken up where it stopped, as often as it gets further. */
static void resume(struct exchange *x, struct err *e)
{
    struct http_rpc *h = x->h;
    for (int idle = 0; !x->w->answer && x->sse.id.len && idle < 3 && clock_ns() < x->w->until && !cancel_is_on(x->cancel); idle++) {
        struct exchange y;
        struct headers headers = { 0 };
        struct err why = { 0 };
        sleep_ms(h, x->w, x->cancel, x->sse.retry_ms ? MIN(x->sse.retry_ms, RETRY_MOST_MS) : RETRY_MS);
        exchange_init(&y, h, x->w, x->cancel);
        str_put(&y.sse.id, x->sse.id.p, x->sse.id.len);
        put_common(&headers, h);
        put_header(&headers, "Last-Event-ID", x->sse.id.p);
        bool ok = exchange(&y, "GET", (struct bytes){ 0 }, &headers, &why);
        if (y.heard) idle = -1;
        str_clear(&x->sse.id);
        str_put(&x->sse.id, y.sse.id.p ? y.sse.id.p : "", y.sse.id.len);
        if (y.sse.retry_ms) x->sse.retry_ms = y.sse.retry_ms;
        bool refused = ok && (y.reply.status < 200 || y.reply.status > 299);
        exchange_done(&y);
        if (refused) break;
        *e = why;
    }
}

static bool say_status(const struct exchange *x, struct err *e)
{
    int s = x->reply.status;
    struct str text = { 0 };
    result_clean(&text, x->reply.body.p ? x->reply.body.p : "", MIN(x->reply.body.len, (size_t)160));
    if ((s == 401 || s == 403) && x->err.code) *e = x->err;
    else if (s == 401 || s == 403)
        err_set(e, ERR_ARG, "HTTP status %d: it wants to know who asks (\"headers\": {\"Authorization\": \"Bearer ${env:NAME}\"})", s);
    else if (s >= 300 && s < 400) err_set(e, ERR_ARG, "HTTP status %d: it sends us elsewhere (%.120s), which is not followed", s, x->reply.location);
    else if (s >= 200 && s < 300) err_set(e, ERR_IO, "its answer is no JSON-RPC message for this request (%.60s)", *x->reply.type ? x->reply.type : "no content type");
    else err_set(e, s == 429 || s >= 500 ? ERR_IO : ERR_ARG, "HTTP status %d%s%s", s, text.len ? ": " : "", text.len ? text.p : "");
    str_done(&text);
    return false;
}

/* What a message that was refused says of itself; the session may be over. */
static void read_refusal(struct exchange *x)
{
    struct http_rpc *h = x->h;
    int s = x->reply.status;
    if (s >= 200 && s < 300) return;
    on_text(x, x->reply.body.p ? x->reply.body.p : "", x->reply.body.len);
    pthread_mutex_lock(&h->r.lock);
    if (s == 404 && h->session[0] && !h->r.modern) h->r.dead = true, h->session[0] = 0;
    pthread_mutex_unlock(&h->r.lock);
}

static void tell_cancelled(struct http_rpc *h, int64_t id, const char *why)
{
    struct err ignored = { 0 };
    if (!h->r.modern) h->r.kind->send(&h->r, rpc_cancelled(id, why), &ignored);
}

static void link_wait(struct http_rpc *h, struct rpc_wait *w)
{
    pthread_mutex_lock(&h->r.lock);
    w->next = h->waiting;
    h->waiting = w;
    pthread_mutex_unlock(&h->r.lock);
}

static void unlink_wait(struct http_rpc *h, struct rpc_wait *w)
{
    struct rpc_wait **at = &h->waiting;
    pthread_mutex_lock(&h->r.lock);
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&h->r.lock);
}

static struct json *http_call(struct rpc *r, struct rpc_request *q, struct rpc_wait *w, struct json *m, struct err *e)
{
    struct http_rpc *h = (struct http_rpc *)r;
    struct exchange x;
    struct headers headers = { 0 };
    struct str text = { 0 }, name = { 0 };
    const char *said = strcmp(q->method, "tools/call") ? NULL : json_str(json_get(json_get(m, "params"), "name"), NULL);
    if (said) header_value(&name, said, strlen(said));
    exchange_init(&x, h, w, q->cancel);
    link_wait(h, w);
    json_write(&text, m, JSON_COMPACT);
    put_common(&headers, h);
    put_header(&headers, "Content-Type", "application/json");
    put_routing(&headers, h, m, name.p);
    put_words(&headers, q->header);
    bool ok = exchange(&x, "POST", (struct bytes){ text.p, text.len }, &headers, e);
    q->status = x.reply.status;
    if (ok && !w->answer && !x.is_stream && x.reply.status < 300) on_text(&x, x.body.p ? x.body.p : "", x.body.len);
    if (ok && !w->answer) read_refusal(&x);
    if (!w->answer && x.is_stream && !r->modern && !x.err.code) resume(&x, e);
    unlink_wait(h, w);
    bool over = !w->answer && (cancel_is_on(q->cancel) || clock_ns() > w->until);
    if (over) rpc_say_late(q, e), tell_cancelled(h, w->id, e->msg);
    else if (!w->answer && x.is_stream && (ok || !e->code)) err_set(e, ERR_IO, "its stream ended before the answer");
    else if (!w->answer && ok) say_status(&x, e);
    exchange_done(&x);
    json_free(m);
    str_done(&text);
    str_done(&name);
    return w->answer;
}

static bool http_send(struct rpc *r, struct json *m, struct err *e)
{
    struct http_rpc *h = (struct http_rpc *)r;
    struct exchange x;
    struct headers headers = { 0 };
    struct str text = { 0 };
    exchange_init(&x, h, NULL, NULL);
    x.until = clock_ns() + (uint64_t)NOTIFY_MS * 1000000u;
    json_write(&text, m, JSON_COMPACT);
    put_common(&headers, h);
    put_header(&headers, "Content-Type", "application/json");
    put_routing(&headers, h, m, NULL);
    bool ok = exchange(&x, "POST", (struct bytes){ text.p, text.len }, &headers, e);
    if (ok && (x.reply.status < 200 || x.reply.status > 299)) ok = say_status(&x, e);
    exchange_done(&x);
    json_free(m);
    str_done(&text);
    return ok;
}

/* ---- hearing of changes ---- */

/* One stream, to its end. False: there is none to be had. */
static bool hear(struct http_rpc *h, const struct str *text, struct str *id, int *pause_ms)
{
    struct exchange x;
    struct headers headers = { 0 };
    struct err ignored = { 0 };
    bool modern = h->r.modern;
    exchange_init(&x, h, NULL, NULL);
    x.until = UINT64_MAX;
    put_common(&headers, h);
    if (modern) put_header(&headers, "Content-Type", "application/json");
    if (modern) put_routing(&headers, h, h->listen_message, NULL);
    if (!modern && id->len) put_header(&headers, "Last-Event-ID", id->p);
    bool ok = exchange(&x, modern ? "POST" : "GET", modern ? (struct bytes){ text->p, text->len } : (struct bytes){ 0 }, &headers, &ignored);
    bool refused = ok && !x.is_stream && x.reply.status != 429 && x.reply.status < 500;
    *pause_ms = x.heard ? RETRY_MS : MIN(*pause_ms * 2, RETRY_MOST_MS);
    if (x.sse.retry_ms) *pause_ms = MIN(MAX(x.sse.retry_ms, 100), RETRY_MOST_MS);
    str_clear(id);
    if (x.sse.id.len) str_put(id, x.sse.id.p, x.sse.id.len);
    exchange_done(&x);
    return !refused;
}

static void *listen_on(void *rpc)
{
    struct http_rpc *h = rpc;
    struct str text = { 0 }, id = { 0 };
    int pause_ms = RETRY_MS;
    json_write(&text, h->listen_message, JSON_COMPACT);
    while (!atomic_load(&h->closing) && hear(h, &text, &id, &pause_ms)) sleep_ms(h, NULL, NULL, pause_ms);
    str_done(&text);
    str_done(&id);
    return NULL;
}

static void http_listen(struct rpc *r, struct json *m)
{
    struct http_rpc *h = (struct http_rpc *)r;
    h->listen_message = m;
    h->has_listener = !pthread_create(&h->listener, NULL, listen_on, h);
}

/* ---- life ---- */

/* The session is given back; a server that does not want that says 405. */
static void end_session(struct http_rpc *h)
{
    struct exchange x;
    struct headers headers = { 0 };
    struct err ignored = { 0 };
    if (!h->session[0] || h->r.modern) return;
    exchange_init(&x, h, NULL, NULL);
    x.until = clock_ns() + (uint64_t)NOTIFY_MS * 1000000u;
    put_common(&headers, h);
    exchange(&x, "DELETE", (struct bytes){ 0 }, &headers, &ignored);
    exchange_done(&x);
}

static void http_close(struct rpc *r)
{
    struct http_rpc *h = (struct http_rpc *)r;
    if (h->has_listener) {
        atomic_store(&h->closing, true);
        pthread_join(h->listener, NULL);
        atomic_store(&h->closing, false);
    }
    end_session(h);
    for (int i = 0; i < h->n_idle; i++) drop_line(h->idle[i]);
    json_free(h->listen_message);
    words_done(&h->header);
    mem_free(h->url);
    rpc_done(r);
    mem_free(h);
}

static const struct rpc_kind http_kind = { http_call, http_send, http_listen, http_close };

struct rpc *rpc_http_open(const struct rpc_http_opts *o, struct err *e)
{
    if (!client_available()) return err_set(e, ERR_UNSUPPORTED, "this build has no HTTP client (libcurl was absent; make deps installs it)"), NULL;
    struct http_rpc *h = mem_zero(sizeof *h);
    rpc_init(&h->r, &http_kind);
    h->url = mem_str(o->url);
    h->public_only = o->public_only;
    h->auth = o->auth;
    h->auth_ctx = o->auth_ctx;
    for (int i = 0; o->header && i < o->header->n; i++) words_put(&h->header, mem_str(o->header->p[i]));
    return &h->r;
}
