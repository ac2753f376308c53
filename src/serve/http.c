/* http.c -- libmicrohttpd under our own epoll: requests come in, answers and streams go out.
 *
 * One daemon a listening socket, none with a thread of its own. A request is an exchange: it begins with
 * its first line (on_url), is looked at when its headers are there, again when its body is, and ends in
 * on_completed whatever happened. While the engine works the connection is suspended: libmicrohttpd does
 * not look at it, so we watch the socket ourselves, and whoever hangs up (or closes his half) is gone.
 *
 * Time limits are ours too: a socket that is too slow is shut down, and libmicrohttpd finds it closed.
 * An answer that must come before the whole body was read is written to the socket directly, and what
 * still comes is thrown away for a moment: closing at once would make the kernel take the answer back. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <microhttpd.h>

#include "serve/metrics.h"

#ifdef MICROHTTPD_FILE
#include "base/late.h"

#define MHD_CALLS(X)                                                                                                   \
    X(MHD_add_response_header) X(MHD_create_response_from_buffer) X(MHD_create_response_from_callback)                 \
    X(MHD_destroy_response) X(MHD_get_connection_info) X(MHD_get_connection_values) X(MHD_get_daemon_info)             \
    X(MHD_get_reason_phrase_for) X(MHD_get_timeout) X(MHD_is_feature_supported) X(MHD_lookup_connection_value)         \
    X(MHD_queue_response) X(MHD_quiesce_daemon) X(MHD_resume_connection) X(MHD_run) X(MHD_start_daemon)                \
    X(MHD_stop_daemon) X(MHD_suspend_connection)
LATE(mhd, MICROHTTPD_FILE, MHD_CALLS)
#define MHD_add_response_header late_mhd.MHD_add_response_header
#define MHD_create_response_from_buffer late_mhd.MHD_create_response_from_buffer
#define MHD_create_response_from_callback late_mhd.MHD_create_response_from_callback
#define MHD_destroy_response late_mhd.MHD_destroy_response
#define MHD_get_connection_info late_mhd.MHD_get_connection_info
#define MHD_get_connection_values late_mhd.MHD_get_connection_values
#define MHD_get_daemon_info late_mhd.MHD_get_daemon_info
#define MHD_get_reason_phrase_for late_mhd.MHD_get_reason_phrase_for
#define MHD_get_timeout late_mhd.MHD_get_timeout
#define MHD_is_feature_supported late_mhd.MHD_is_feature_supported
#define MHD_lookup_connection_value late_mhd.MHD_lookup_connection_value
#define MHD_queue_response late_mhd.MHD_queue_response
#define MHD_quiesce_daemon late_mhd.MHD_quiesce_daemon
#define MHD_resume_connection late_mhd.MHD_resume_connection
#define MHD_run late_mhd.MHD_run
#define MHD_start_daemon late_mhd.MHD_start_daemon
#define MHD_stop_daemon late_mhd.MHD_stop_daemon
#define MHD_suspend_connection late_mhd.MHD_suspend_connection
#else
static bool late_mhd_load(struct err *e) { return true; }
#endif

#define POOL                                                                                       \
    (160 *                                                                                         \
     1024) /* memory of a connection: more than we let headers take, so that we refuse, not the library */
#define HEADERS_MOST (32 * 1024)
#define URL_MOST (8 * 1024)
#define BLOCK (16 * 1024)
#define LINGER_S 2.0
#define OVER                                                                                       \
    1048576 /* bytes of a body too large that are thrown away before the socket is closed */

struct front { struct MHD_Daemon *mhd; struct source *source; bool old, metrics; };
struct conn {
    struct server *sv;
    struct conn *next, *prev;
    int fd;
    struct source *source;
    char peer[64];
    struct exchange *x;
    uint64_t since_ns; /* accepted, or the last answer done */
    uint64_t gone_ns;
    int n_request;
    bool gone, shut, metrics;                                         /* metrics: came to the socket of --metrics-listen */
};

/* ---- exchanges --------------------------------------------------------------------------------- */

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

static void suspend(struct exchange *x)
{
    if (x->suspended) return;
    x->suspended = true;
    MHD_suspend_connection(x->mhd);
}

static void resume(struct exchange *x)
{
    if (!x->suspended) return;
    x->suspended = false;
    x->wrote_ns = clock_ns();
    MHD_resume_connection(x->mhd);
}

void exchange_wait(struct exchange *x) { x->phase = X_WAIT; }

void exchange_ready(struct exchange *x)
{
    x->phase = X_READY;
    resume(x);
}

void exchange_stream(struct exchange *x)
{
    x->sse = true;
    x->status = 200;
    x->note.stream = true;
    exchange_ready(x);
}

void exchange_pump(struct exchange *x) { resume(x); }

static int from_hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The path decoded, one trailing slash dropped; a malformed escape stays as it is. */
static char *decode_path(const char *url, size_t n)
{
    char *out = mem_zero(n + 2);
    size_t o = 0;
    for (size_t i = 0; i < n; i++) {
        int hi = url[i] == '%' && i + 2 < n + 0 ? from_hex(url[i + 1]) : -1,
            lo = hi >= 0 ? from_hex(url[i + 2]) : -1;
        if (lo >= 0 && (hi || lo)) out[o++] = (char)(hi * 16 + lo), i += 2;
        else out[o++] = url[i];
    }
    if (o > 1 && out[o - 1] == '/') out[--o] = 0;
    return out;
}

static void split_url(struct exchange *x, const char *url)
{
    const char *at = url;
    if (!strncasecmp(at, "http://", 7) || !strncasecmp(at, "https://", 8)) {    /* absolute form */
        at = strstr(at, "://") + 3;
        at += strcspn(at, "/?");
        if (!*at) at = "/";
    }
    size_t n = strcspn(at, "?");
    x->url = mem_str(url);
    x->query = mem_str(at[n] ? at + n + 1 : "");
    x->path = decode_path(at, n);
}

static void take_id(struct exchange *x)
{
    const char *id = exchange_header(x, "x-request-id");
    size_t n = id ? strlen(id) : 0;
    bool fine = n >= 1 && n <= 128;
    for (size_t i = 0; fine && i < n; i++) fine = id[i] > ' ' && id[i] < 127;
    if (fine) memcpy(x->id, id, n + 1);
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void *on_url(void *ctx, const char *url, struct MHD_Connection *mhd)
{
    struct server *sv = ctx;
    struct exchange *x = mem_zero(sizeof *x);
    struct conn *c = conn_of(mhd);
    x->sv = sv;
    x->mhd = mhd;
    x->conn = c;
    x->start_ns = x->touched_ns = x->wrote_ns = clock_ns();
    split_url(x, url);
    id_make(x->id, "req_");
    x->next = sv->live;
    if (sv->live) sv->live->prev = x;
    sv->live = x;
    sv->n_live++;
    if (c) c->x = x, c->n_request++, x->metrics_only = c->metrics;
    return x;
}

static void exchange_free(struct exchange *x)
{
    struct server *sv = x->sv;
    if (x->prev) x->prev->next = x->next;
    else sv->live = x->next;
    if (x->next) x->next->prev = x->prev;
    sv->n_live--;
    for (int i = 0; i < x->n_header; i++) {
        mem_free(x->header[i].name);
        mem_free(x->header[i].value);
    }
    str_done(&x->body);
    str_done(&x->answer);
    str_done(&x->out);
    mem_free(x->url);
    mem_free(x->path);
    mem_free(x->query);
    mem_free((char *)(uintptr_t)x->note.model);
    mem_free((char *)(uintptr_t)x->note.adapter);
    mem_free(x);
}

static const char *safe(const char *s, char *out, size_t cap)
{
    size_t o = 0;
    for (; s && *s && o + 1 < cap; s++)
        out[o++] = *s > ' ' && *s < 127 && *s != '"' && *s != '\\' ? *s : '_';
    out[o] = 0;
    return out;
}

static void log_json(const struct exchange *x, double ms, double tok_s)
{
    struct json *o = json_new_object();
    const struct note *n = &x->note;
    json_set(o, "event", json_new_str("done"));
    json_set(o, "time", json_new_int(unix_time()));
    json_set(o, "id", json_new_str(x->id));
    json_set(o, "client", json_new_str(x->conn ? x->conn->peer : "?"));
    json_set(o, "method", json_new_str(x->method));
    char path[256];
    json_set(o, "path", json_new_str(safe(x->path, path, sizeof path)));
    json_set(o, "status", json_new_int(x->status));
    if (n->model) json_set(o, "model", json_new_str(n->model));
    if (n->adapter) json_set(o, "adapter", json_new_str(n->adapter));
    json_set(o, "stream", json_new_bool(n->stream));
    json_set(o, "prompt_tok", json_new_int(n->prompt));
    json_set(o, "cached_tok", json_new_int(n->cached));
    json_set(o, "gen_tok", json_new_int(n->out));
    json_set(o, "calls", json_new_int(n->calls));
    json_set(o, "finish", n->finish ? json_new_str(n->finish) : json_new_null());
    json_set(o, "queue_ms", json_new_f64(n->queue_ms));
    json_set(o, "prefill_ms", json_new_f64(n->prefill_ms));
    json_set(o, "decode_ms", json_new_f64(n->decode_ms));
    json_set(o, "tok_s", json_new_f64(tok_s));
    json_set(o, "ms", json_new_f64(ms));
    json_set(o, "bytes", json_new_int((int64_t)x->sent));
    json_set(o, "cancelled", json_new_bool(n->cancelled));
    struct str s = { 0 };
    json_write(&s, o, JSON_COMPACT);
    log_line(LOG_INFO, "%s", s.p);
    str_done(&s);
    json_free(o);
}

/* One line a request. What was asked and answered is never in it. */
static void access_log(const struct exchange *x)
{
    const struct note *n = &x->note;
    char path[256], model[140], adapter[140], trace[120], key[80];
    double ms = (double)(clock_ns() - x->start_ns) * 1e-6;
    double tok_s = n->decode_ms > 0 ? n->out * 1e3 / n->decode_ms : 0;
    if (x->sv->o->log_format && !strcmp(x->sv->o->log_format, "json")) {
        log_json(x, ms, tok_s);
        return;
    }
    log_line(LOG_INFO,
             "done id=%s client=%s method=%s path=%s status=%d ms=%.1f bytes=%zu model=%s "
             "adapter=%s stream=%d prompt_tok=%d cached_tok=%d "
             "gen_tok=%d calls=%d finish=%s queue_ms=%.1f prefill_ms=%.1f decode_ms=%.1f "
             "tok_s=%.1f cancelled=%d traceparent=%s conversation=%s",
             x->id, x->conn ? x->conn->peer : "?", x->method, safe(x->path, path, sizeof path),
             x->status, ms, x->sent, safe(n->model, model, sizeof model),
             safe(n->adapter, adapter, sizeof adapter), n->stream, n->prompt, n->cached, n->out,
             n->calls, n->finish ? n->finish : "", n->queue_ms, n->prefill_ms, n->decode_ms, tok_s,
             n->cancelled, safe(exchange_header(x, "traceparent"), trace, sizeof trace),
             safe(exchange_header(x, "x-conversation-id"), key, sizeof key));
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **con,
                         enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *con;
    if (!x) return;
    *con = NULL;
    if (x->phase != X_DONE && x->phase != X_STREAM) x->gone = true;
    if (x->job) {
        x->note.cancelled = true;
        job_leave(x->job);
    }
    if (!x->status) x->status = 499;
    if (x->entered) {
        metrics_http(x);
        access_log(x);
    }
    if (x->conn) {
        x->conn->x = NULL;
        x->conn->since_ns = clock_ns();
    }
    if (x->task) { /* its helper is still at it: it answers nobody */
        x->task->x = NULL;
        if (x->task->left) x->task->left(x->task);
    }
    exchange_free(x);
}

/* ---- answers ----------------------------------------------------------------------------------- */

/* The next bytes: one event a call, so that each goes out as a chunk of its own. */
static ssize_t on_read(void *ctx, uint64_t pos, char *buf, size_t max)
{
    struct exchange *x = ctx;
    x->wrote_ns = clock_ns();
    if (x->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!x->sse) {
        size_t n = MIN(max, x->answer.len - MIN(x->answer.len, (size_t)pos));
        if (n) memcpy(buf, x->answer.p + pos, n);
        x->sent += n;
        return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t n = x->out.len - x->out_at;
    if (!n && !x->ended && x->job) {
        job_more(x);
        n = x->out.len - x->out_at;
    }
    if (!n) {
        if (x->ended) return MHD_CONTENT_READER_END_OF_STREAM;
        suspend(x);
        return 0;
    }
    const char *from = x->out.p + x->out_at, *end = memmem(from, n, "\n\n", 2);
    if (end) n = (size_t)(end - from) + 2;
    n = MIN(n, max);
    memcpy(buf, from, n);
    x->out_at += n;
    x->sent += n;
    if (x->out_at == x->out.len) x->out.len = x->out_at = 0;
    return (ssize_t)n;
}

/* A short answer goes out in one piece with its headers; long ones are read, so that we see how the client keeps up. */
static struct MHD_Response *new_response(struct exchange *x)
{
    if (x->sse || x->answer.len > BLOCK)
        return MHD_create_response_from_callback(x->sse ? MHD_SIZE_UNKNOWN : x->answer.len, BLOCK,
                                                 on_read, x, NULL);
    x->sent = x->head_only ? 0 : x->answer.len;
    return MHD_create_response_from_buffer(x->answer.len, x->answer.p ? x->answer.p : "",
                                           MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result send_answer(struct exchange *x)
{
    struct MHD_Response *r = new_response(x);
    if (!r) return MHD_NO;
    if (x->sse) {
        MHD_add_response_header(r, "Content-Type", "text/event-stream; charset=utf-8");
        MHD_add_response_header(r, "Cache-Control", "no-cache");
        MHD_add_response_header(r, "X-Accel-Buffering", "no");
    } else if (x->type) MHD_add_response_header(r, "Content-Type", x->type);
    MHD_add_response_header(r, "Server", "tenon/" TENON_VERSION);
    MHD_add_response_header(r, "x-request-id", x->id);
    for (int i = 0; i < x->n_header; i++)
        MHD_add_response_header(r, x->header[i].name, x->header[i].value);
    if (x->close || x->sv->draining) MHD_add_response_header(r, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(x->mhd, (unsigned)x->status, r);
    MHD_destroy_response(r);
    x->phase = x->sse ? X_STREAM : X_DONE;
    x->wrote_ns = clock_ns();
    return ok;
}

/* The answer before its time: straight to the socket, then the rest of the body is thrown away. */
static void send_now(struct exchange *x)
{
    struct str s = { 0 };
    str_fmt(&s,
            "HTTP/1.1 %d %s\r\nServer: tenon/" TENON_VERSION
            "\r\nx-request-id: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n",
            x->status, MHD_get_reason_phrase_for((unsigned)x->status), x->id, x->answer.len);
    for (int i = 0; i < x->n_header; i++)
        str_fmt(&s, "%s: %s\r\n", x->header[i].name, x->header[i].value);
    str_puts(&s, "\r\n");
    str_put(&s, x->answer.p, x->answer.len);
    if (x->conn && !x->sv->o->tls_cert) {
        ssize_t n = send(x->conn->fd, s.p, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        x->sent = n > 0 ? (size_t)n : 0;
        shutdown(x->conn->fd, SHUT_WR);
    }
    str_done(&s);
    x->lost = true;
    x->phase = X_DONE;
    x->touched_ns = clock_ns();
}

/* ---- requests ---------------------------------------------------------------------------------- */

struct framing { int n_length, n_host; bool differ, chunked, other_coding; const char *length; };

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct framing *f = ctx;
    if (!strcasecmp(key, "Content-Length")) {
        if (f->length && value && strcmp(f->length, value)) f->differ = true;
        f->length = value;
        f->n_length++;
    } else if (!strcasecmp(key, "Transfer-Encoding")) {
        if (value && !strcasecmp(value, "chunked")) f->chunked = true;
        else f->other_coding = true;
    } else if (!strcasecmp(key, "Host")) f->n_host++;
    return MHD_YES;
}

/* How the request is framed: what two readers could read in two ways is refused. False: refused. */
static bool check_framing(struct exchange *x, bool *now)
{
    struct framing f = { 0 };
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, on_header, &f);
    *now = true;
    x->close = true;
    if (strlen(x->url) > URL_MOST)
        reply_error(x, 414, "uri_too_long", NULL, "the request line is longer than %d bytes",
                    URL_MOST);
    else if (i && i->header_size > HEADERS_MOST)
        reply_error(x, 431, "headers_too_large", NULL, "the headers are longer than %d bytes",
                    HEADERS_MOST);
    else if (f.differ || (f.n_length && f.chunked))
        reply_error(x, 400, "invalid_framing", NULL, "the length of the body is given twice");
    else if (f.other_coding)
        reply_error(x, 400, "invalid_framing", NULL, "Transfer-Encoding: only chunked is accepted");
    else if (f.n_host > 1)
        reply_error(x, 400, "invalid_framing", NULL, "there are %d Host headers", f.n_host);
    else if (f.length && strtoull(f.length, NULL, 10) > (uint64_t)x->sv->o->max_body) {
        reply_error(x, 413, "body_too_large", NULL,
                    "the body has %s bytes, at most %lld are accepted", f.length,
                    (long long)x->sv->o->max_body);
        if (!exchange_header(x, "Expect") && !x->sv->o->tls_cert) send_now(x);
    } else {
        x->close = false;
        return true;
    }
    return false;
}

/* Headers are there. */
static enum MHD_Result begin(struct exchange *x, const char *method)
{
    bool now = false;
    x->entered = true;
    snprintf(x->method, sizeof x->method, "%s", method);
    x->head_only = !strcmp(method, "HEAD");
    take_id(x);
    if (!check_framing(x, &now)) return x->lost ? MHD_YES : send_answer(x);
    x->phase = X_BODY;
    api_head(x);
    return MHD_YES;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *size)
{
    size_t n = *size;
    *size = 0;
    x->body_seen += n;
    if (!x->lost) x->touched_ns = clock_ns();
    if (x->lost) return x->body_seen < (size_t)x->sv->o->max_body + OVER ? MHD_YES : MHD_NO;
    if (x->body_seen > (size_t)x->sv->o->max_body) {
        x->close = true;
        reply_error(x, 413, "body_too_large", NULL, "the body is longer than %lld bytes",
                    (long long)x->sv->o->max_body);
        send_now(x);
        return x->sv->o->tls_cert ? MHD_NO : MHD_YES;
    }
    if (x->phase == X_BODY) str_put(&x->body, data, n);
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **con)
{
    struct exchange *x = *con;
    if (!x->entered) return begin(x, method);
    if (*size) return take_body(x, data, size);
    if (x->lost || x->gone) return MHD_NO;
    if (x->phase == X_BODY) {
        if (x->conn && x->conn->gone) return MHD_NO;
        x->touched_ns = clock_ns();
        api_run(x);
    }
    if (x->phase == X_READY) return send_answer(x);
    if (x->phase == X_WAIT) suspend(x);
    return MHD_YES;
}

/* ---- sockets ----------------------------------------------------------------------------------- */

/* The client is gone: what runs for it stops, and libmicrohttpd is let at the socket to close it. */
static void on_socket(void *ctx, uint32_t events)
{
    struct conn *c = ctx;
    struct exchange *x = c->x;
    if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    if (!c->gone) c->gone_ns = clock_ns();
    c->gone = true;
    if (!x || (x->phase != X_WAIT && x->phase != X_STREAM)) return;
    x->gone = true;
    if (x->job) {
        x->note.cancelled = true;
        job_leave(x->job);
    }
    resume(x);
}

static bool is_for_metrics(const struct server *sv, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_DAEMON);
    for (int k = 0; k < sv->n_front; k++)
        if (sv->front[k].mhd == i->daemon) return sv->front[k].metrics;
    return false;
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *sv = ctx;
    struct conn *c = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(
                                           mhd, MHD_CONNECTION_INFO_CONNECTION_FD),
                                       *addr = MHD_get_connection_info(
                                           mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        c = mem_zero(sizeof *c);
        *c = (struct conn){ .sv = sv, .fd = fd->connect_fd, .since_ns = clock_ns(), .next = sv->conn, .metrics = is_for_metrics(sv, mhd) };
        const struct sockaddr *a = addr ? addr->client_addr : NULL;
        net_peer_name(a,
                      a && a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                    : sizeof(struct sockaddr_in),
                      c->peer);
        if (sv->conn) sv->conn->prev = c;
        sv->conn = c;
        sv->n_conn++;
        c->source = hub_watch(&sv->hub, c->fd, EPOLLRDHUP | EPOLLET, on_socket, c);
        *socket_context = c;
    } else if (c) {
        if (c->prev) c->prev->next = c->next;
        else sv->conn = c->next;
        if (c->next) c->next->prev = c->prev;
        sv->n_conn--;
        if (c->x) c->x->conn = NULL;
        hub_forget(&sv->hub, c->source);
        mem_free(c);
        *socket_context = NULL;
    }
}

static bool over(uint64_t now, uint64_t since, double limit)
{
    return limit > 0 && now > since && (double)(now - since) * 1e-9 > limit;
}

static void shut(struct conn *c)
{
    if (!c->shut) shutdown(c->fd, SHUT_RDWR);
    c->shut = true;
}

static void limit_conn(struct conn *c, uint64_t now)
{
    const struct serve_opts *o = c->sv->o;
    struct exchange *x = c->x;
    /* libmicrohttpd stops reading after a short read; an end that came with those bytes it would never see. */
    if (c->gone && (!x || x->phase == X_HEAD || x->phase == X_BODY) && over(now, c->gone_ns, 0.1))
        shutdown(c->fd, SHUT_RDWR);
    if (!x) {
        if (over(now, c->since_ns, c->n_request ? o->idle_s : o->header_s) ||
            (c->sv->draining && !c->sv->listening && c->n_request))
            shut(c);
    } else if (x->lost) {
        if (over(now, x->touched_ns, LINGER_S)) shut(c);
    } else if (x->phase == X_HEAD) {
        if (over(now, x->start_ns, o->header_s)) shut(c);
    } else if (x->phase == X_BODY) {
        if (!over(now, x->touched_ns, o->body_s)) return;
        reply_error(x, 408, "body_timeout", NULL, "nothing came of the body for %g s", o->body_s);
        send_now(x);
    } else if ((x->phase == X_STREAM || x->phase == X_DONE) && !x->suspended &&
               over(now, x->wrote_ns, o->stall_s)) {
        x->gone = true;
        log_line(LOG_INFO, "stalled id=%s", x->id);
        shut(c);
    }
}

void http_tick(struct server *sv, uint64_t now)
{
    for (struct conn *c = sv->conn; c; c = c->next) limit_conn(c, now);
}

/* ---- daemons ----------------------------------------------------------------------------------- */

static void on_log(void *ctx, const char *fmt, va_list ap)
{
    char line[512];
    int n = vsnprintf(line, sizeof line, fmt, ap);
    if (n > 0) log_line(LOG_DEBUG, "microhttpd what=\"%.*s\"", (int)strcspn(line, "\n"), line);
}

static void on_daemon(void *ctx, uint32_t events) {} /* http_run looks at all of them */

static bool front_open(struct server *sv, struct front *f, int fd, const char *cert,
                       const char *key, struct err *e)
{
    unsigned flags =
        MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (cert ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls[] = { { cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0,
                                      (void *)(uintptr_t)cert },
                                    { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key },
                                    { MHD_OPTION_END, 0, NULL } };
    if (cert && !MHD_is_feature_supported(MHD_FEATURE_TLS))
        return err_set(e, ERR_UNSUPPORTED, "--tls-cert: this build of libmicrohttpd has no TLS");
    f->mhd = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, sv, MHD_OPTION_EXTERNAL_LOGGER, on_log, sv,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)sv->o->max_conn, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)sv->o->max_per_ip, MHD_OPTION_URI_LOG_CALLBACK, on_url, sv,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, sv, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        sv, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY,
        tls, MHD_OPTION_END);
    if (!f->mhd)
        return err_set(e, ERR_IO, "the HTTP daemon did not start%s",
                       cert ? "; are --tls-cert and --tls-key PEM files that belong together?"
                            : "");
    const union MHD_DaemonInfo *i = MHD_get_daemon_info(f->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    f->source = hub_watch(&sv->hub, i->epoll_fd, EPOLLIN, on_daemon, f);
    return true;
}

static bool read_pem(const char *path, struct str *out, struct err *e)
{
    return !path || file_read(path, out, e);
}

/* A daemon for every listening socket; with TLS each keeps its own copy of what the files said. */
static bool open_all(struct server *sv, struct err *e)
{
    struct str cert = { 0 }, key = { 0 };
    bool ok = read_pem(sv->o->tls_cert, &cert, e) && read_pem(sv->o->tls_key, &key, e);
    for (int i = 0; ok && i < sv->n_listener; i++) {
        int fd = dup(sv->listener[i].fd);
        sv->front = mem_resize(sv->front, (size_t)(sv->n_front + 1) * sizeof *sv->front);
        bool tls = sv->o->tls_cert && !sv->listener[i].metrics;
        sv->front[sv->n_front] = (struct front){ .metrics = sv->listener[i].metrics };
        ok = fd >= 0 ? front_open(sv, &sv->front[sv->n_front], fd, tls ? cert.p : NULL, key.p, e)
                     : err_set(e, ERR_IO, "%s", strerror(errno));
        if (ok) sv->n_front++;
        else if (fd >= 0) close(fd);
    }
    str_done(&cert);
    str_done(&key);
    return ok;
}

bool http_open(struct server *sv, struct err *e)
{
    if (!late_mhd_load(e) || !open_all(sv, e)) return false;
    sv->listening = true;
    return true;
}

static void quiesce(struct front *f)
{
    int fd = f->old ? -1 : MHD_quiesce_daemon(f->mhd);
    if (fd >= 0) close(fd);
    f->old = true;
}

void http_stop_listening(struct server *sv)
{
    for (int i = 0; i < sv->n_front; i++) quiesce(&sv->front[i]);
    for (int i = 0; i < sv->n_listener; i++) net_unlisten(&sv->listener[i]);
    sv->listening = false;
}

/* New daemons on the same sockets with what the files say now; the old ones keep the connections they have. */
bool http_reload_tls(struct server *sv, struct err *e)
{
    int before = sv->n_front;
    if (!sv->o->tls_cert || !sv->listening) return true;
    if (!open_all(sv, e)) return false;
    for (int i = 0; i < before; i++) quiesce(&sv->front[i]);
    return true;
}

int http_timeout_ms(struct server *sv, int most)
{
    for (int i = 0; i < sv->n_front; i++) {
        MHD_UNSIGNED_LONG_LONG ms;
        if (MHD_get_timeout(sv->front[i].mhd, &ms) == MHD_YES && ms < (unsigned)most)
            most = (int)ms;
    }
    return most;
}

void http_run(struct server *sv)
{
    for (int i = 0; i < sv->n_front; i++) MHD_run(sv->front[i].mhd);
    for (int i = 0; i < sv->n_front; i++) {
        const union MHD_DaemonInfo *n =
            MHD_get_daemon_info(sv->front[i].mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (!sv->front[i].old || sv->draining || n->num_connections) continue;
        hub_forget(&sv->hub,
                   sv->front[i].source); /* replaced by SIGHUP, and now without connections */
        MHD_stop_daemon(sv->front[i].mhd);
        sv->front[i--] = sv->front[--sv->n_front];
    }
}

void http_close(struct server *sv)
{
    for (struct exchange *x = sv->live; x; x = x->next) {
        x->gone = true;
        resume(x);
    }
    http_run(sv);
    for (int i = 0; i < sv->n_front; i++) {
        hub_forget(&sv->hub, sv->front[i].source);
        MHD_stop_daemon(sv->front[i].mhd);
    }
    mem_free(sv->front);
    sv->front = NULL;
    sv->n_front = 0;
    for (int i = 0; i < sv->n_listener; i++) net_unlisten(&sv->listener[i]);
}
