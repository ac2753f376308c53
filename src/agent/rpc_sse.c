/* rpc_sse.c -- JSON-RPC over the HTTP of MCP 2024-11-05: one stream of events for all that the server says, which begins by naming
 * the address that messages are posted to.
 *
 * Kept for servers that know nothing newer; it is tried last. The address must be of the same origin as the stream: whoever
 * answers there shall not be able to have our messages, and our keys, sent elsewhere. A stream that ends is the end of the connection. */
#include <stdlib.h>
#include <strings.h>

#include "agent/rpc.h"
#include "client/client.h"

#define CONNECT_MS 10000
#define SEND_MS 20000
#define LONGEST_MS 7200000
#define STREAM_MOST ((size_t)1 << 30)

struct sse_rpc {
    struct rpc r;
    struct rpc_inbox in;
    char *url, *endpoint;                                             /* endpoint: under the lock until it is there, then for good */
    struct words header;
    bool public_only;
    atomic_bool closing;
    pthread_t reader;
    struct sse sse;
    struct err why;                                                   /* how the stream ended; under the lock */
};

static bool is_closing(void *s) { return atomic_load(&((struct sse_rpc *)s)->closing); }

static struct client *new_client(struct sse_rpc *s, int total_ms, struct err *e)
{
    struct client_opts o = { .connect_ms = CONNECT_MS, .idle_ms = total_ms, .total_ms = total_ms, .most_bytes = STREAM_MOST, .tries = 1,
                             .public_only = s->public_only, .stop = is_closing, .stop_ctx = s };
    return client_open(&o, e);
}

static int put_headers(const struct sse_rpc *s, struct client_header *to, int most)
{
    int n = 0;
    for (int i = 0; i + 1 < s->header.n && n < most; i += 2) to[n++] = (struct client_header){ s->header.p[i], s->header.p[i + 1] };
    return n;
}

/* ---- the stream ---- */

/* "/messages?x=1", "messages" or a whole address, of the origin of the stream. */
static char *absolute(const char *base, const char *said, size_t n)
{
    struct str s = { 0 };
    const char *slash = strrchr(base, '/');
    size_t origin = client_origin_len(base);
    if (n && *said == '/' && (n < 2 || said[1] != '/')) str_fmt(&s, "%.*s%.*s", (int)origin, base, (int)n, said);
    else if (memmem(said, n, "://", 3)) str_put(&s, said, n);
    else if (n && *said != '/') str_fmt(&s, "%.*s/%.*s", (int)(slash && (size_t)(slash - base) > origin ? (size_t)(slash - base) : origin), base, (int)n, said);
    return str_take(&s);
}

static void take_endpoint(struct sse_rpc *s, const char *data, size_t n)
{
    char *url = absolute(s->url, data, n);
    pthread_mutex_lock(&s->r.lock);
    if (!s->endpoint && client_same_origin(url, s->url)) s->endpoint = url, url = NULL;
    else if (!s->endpoint) err_set(&s->why, ERR_ARG, "it wants messages sent to another origin (%.120s)", url);
    pthread_cond_broadcast(&s->in.came);
    pthread_mutex_unlock(&s->r.lock);
    mem_free(url);
}

static bool on_event(void *ctx, const char *event, const char *data, size_t len)
{
    struct sse_rpc *s = ctx;
    if (!strcmp(event, "endpoint")) take_endpoint(s, data, len);
    else if (len && (!*event || !strcmp(event, "message"))) rpc_inbox_take(&s->r, &s->in, json_parse(data, len, NULL));
    return true;
}

static bool on_piece(void *ctx, const char *p, size_t n)
{
    struct sse_rpc *s = ctx;
    struct err ignored = { 0 };
    return sse_feed(&s->sse, p, n, &ignored);
}

static void *read_on(void *rpc)
{
    struct sse_rpc *s = rpc;
    struct client_header header[64];
    struct client_reply reply = { 0 };
    struct err why = { 0 };
    int n = put_headers(s, header, 62);
    header[n++] = (struct client_header){ "Accept", "text/event-stream" };
    struct client *c = new_client(s, LONGEST_MS, &why);
    struct client_request q = { .method = "GET", .url = s->url, .header = header, .n_header = n, .body_fn = on_piece, .ctx = s };
    bool ok = c && client_send(c, &q, &reply, &why);
    if (ok && reply.status != 200) err_set(&why, ERR_ARG, "HTTP status %d", reply.status);
    else if (ok) err_set(&why, ERR_IO, "its stream ended");
    client_reply_done(&reply);
    client_close(c);
    pthread_mutex_lock(&s->r.lock);
    if (!s->why.code) s->why = why;
    pthread_mutex_unlock(&s->r.lock);
    rpc_inbox_end(&s->r, &s->in);
    return NULL;
}

/* ---- messages ---- */

static bool send_message(struct rpc *r, struct json *m, struct err *e)
{
    struct sse_rpc *s = (struct sse_rpc *)r;
    struct client_header header[64];
    struct client_reply reply = { 0 };
    struct str text = { 0 };
    int n = put_headers(s, header, 62);
    header[n++] = (struct client_header){ "Content-Type", "application/json" };
    json_write(&text, m, JSON_COMPACT);
    json_free(m);
    struct client *c = new_client(s, SEND_MS, e);
    struct client_request q = { .method = "POST", .url = s->endpoint, .header = header, .n_header = n, .body = { text.p, text.len } };
    bool ok = c && client_send(c, &q, &reply, e);
    if (ok && (reply.status < 200 || reply.status > 299)) ok = err_set(e, ERR_ARG, "HTTP status %d", reply.status);
    client_reply_done(&reply);
    client_close(c);
    str_done(&text);
    return ok;
}

static struct json *sse_call(struct rpc *r, struct rpc_request *q, struct rpc_wait *w, struct json *m, struct err *e)
{
    struct sse_rpc *s = (struct sse_rpc *)r;
    struct err ignored = { 0 };
    rpc_inbox_link(r, &s->in, w);
    bool sent = send_message(r, m, e);
    if (!sent) w->until = 0;
    bool lives = rpc_inbox_wait(r, &s->in, w, q->cancel);
    if (w->answer) return w->answer;
    if (!lives) {
        pthread_mutex_lock(&r->lock);
        *e = s->why;
        pthread_mutex_unlock(&r->lock);
        return NULL;
    }
    if (!sent) return NULL;
    send_message(r, rpc_cancelled(w->id, cancel_is_on(q->cancel) ? "cancelled by the user" : "no answer in time"), &ignored);
    return rpc_say_late(q, e), NULL;
}

static void sse_listen(struct rpc *r, struct json *m) { json_free(m); }          /* changes are heard of on the stream anyway */

/* ---- life ---- */

static void sse_close(struct rpc *r)
{
    struct sse_rpc *s = (struct sse_rpc *)r;
    atomic_store(&s->closing, true);
    pthread_join(s->reader, NULL);
    rpc_inbox_done(&s->in);
    sse_done(&s->sse);
    words_done(&s->header);
    mem_free(s->url);
    mem_free(s->endpoint);
    rpc_done(r);
    mem_free(s);
}

static const struct rpc_kind sse_kind = { sse_call, send_message, sse_listen, sse_close };

/* Until the stream has named the address, or ended. */
static bool wait_for_endpoint(struct sse_rpc *s, struct err *e)
{
    uint64_t until = clock_ns() + (uint64_t)CONNECT_MS * 1000000u;
    pthread_mutex_lock(&s->r.lock);
    while (!s->endpoint && !s->r.dead && !s->why.code && clock_ns() < until) rpc_inbox_pause(&s->r, &s->in);
    bool ok = s->endpoint != NULL;
    if (!ok && s->why.code) *e = s->why;
    else if (!ok) err_set(e, ERR_LIMIT, "its stream names no address for messages");
    pthread_mutex_unlock(&s->r.lock);
    return ok;
}

struct rpc *rpc_sse_open(const struct rpc_http_opts *o, struct err *e)
{
    struct sse_rpc *s = mem_zero(sizeof *s);
    rpc_init(&s->r, &sse_kind);
    rpc_inbox_init(&s->in);
    sse_init(&s->sse, on_event, s, RPC_MESSAGE_MOST);
    s->url = mem_str(o->url);
    s->public_only = o->public_only;
    for (int i = 0; o->header && i < o->header->n; i++) words_put(&s->header, mem_str(o->header->p[i]));
    int rc = pthread_create(&s->reader, NULL, read_on, s);
    if (!rc && wait_for_endpoint(s, e)) return &s->r;
    if (!rc) return rpc_close(&s->r), NULL;
    err_set(e, ERR_IO, "no thread: %s", strerror(rc));
    rpc_inbox_done(&s->in);
    sse_done(&s->sse);
    words_done(&s->header);
    mem_free(s->url);
    rpc_done(&s->r);
    mem_free(s);
    return NULL;
}
