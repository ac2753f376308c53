/* rpc.c -- JSON-RPC 2.0 with a child process: requests out, answers in, whatever the other side does.
 *
 * One thread reads both outputs of the child all the time: lines of stdout are messages, the end of stderr is kept
 * for the day it dies. Who asks waits for its own id; answers to nobody are dropped, lines that are no messages are
 * counted. Requests of the server are answered at once: ping with {}, all others with "method not found".
 * Locks: one, around everything that both sides touch; writing has its own, so that a slow reader of its stdin
 * does not stop us from reading. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/rpc.h"

#define LINE_MOST ((size_t)16 << 20)
#define TAIL ((size_t)64 << 10)
#define WRITE_MS 10000
#define PROGRESS_MOST_MS 600000             /* progress prolongs a call up to this */
#define CLOSE_MS 2000

struct wait { int64_t id; struct json *answer; uint64_t until, last; int timeout_ms; struct wait *next; };
struct rpc {
    int pid, fd[3], stop;                                             /* stop: a pipe's end whose closing ends the reader */
    int stop_other;
    pthread_t reader;
    pthread_mutex_t lock, writing;
    pthread_cond_t came;
    struct wait *waiting;
    int64_t next_id;
    struct str line, tail;
    bool skipping, dead, changed;
    int garbage;
};

/* ---- writing ---- */

static bool write_all(struct rpc *r, const struct str *s, struct err *e)
{
    uint64_t until = clock_ns() + (uint64_t)WRITE_MS * 1000000u;
    for (size_t at = 0; at < s->len;) {
        ssize_t n = write_quietly(r->fd[0], s->p + at, s->len - at);
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) return err_set(e, ERR_IO, "it does not read its stdin any more: %s", strerror(errno));
        if (clock_ns() > until) return err_set(e, ERR_IO, "it has not read its stdin for %d s", WRITE_MS / 1000);
        poll(&(struct pollfd){ .fd = r->fd[0], .events = POLLOUT }, 1, 100);
    }
    return true;
}

static bool send_message(struct rpc *r, struct json *m, struct err *e)
{
    struct str s = { 0 };
    json_write(&s, m, JSON_COMPACT);                                  /* newlines inside strings are escaped */
    str_putc(&s, '\n');
    json_free(m);
    pthread_mutex_lock(&r->writing);
    bool ok = write_all(r, &s, e);
    pthread_mutex_unlock(&r->writing);
    str_done(&s);
    return ok;
}

static struct json *message(const char *method, struct json *params)
{
    struct json *m = json_new_object();
    json_set(m, "jsonrpc", json_new_str("2.0"));
    json_set(m, "method", json_new_str(method));
    if (params) json_set(m, "params", params);
    return m;
}

bool rpc_notify(struct rpc *r, const char *method, struct json *params, struct err *e)
{
    return send_message(r, message(method, params), e);
}

/* ---- reading ---- */

static void answer_request(struct rpc *r, const struct json *m, const char *method)
{
    struct json *o = json_new_object(), *error;
    json_set(o, "jsonrpc", json_new_str("2.0"));
    json_set(o, "id", json_copy(json_get(m, "id")));
    if (!strcmp(method, "ping")) json_set(o, "result", json_new_object());
    else {
        error = json_new_object();
        json_set(error, "code", json_new_int(-32601));
        json_set(error, "message", json_new_str("method not found"));
        json_set(o, "error", error);
    }
    struct err ignored = { 0 };
    send_message(r, o, &ignored);
}

/* progressToken is the id of the request: its time begins anew, within bounds. */
static void progress(struct rpc *r, const struct json *params)
{
    int64_t id;
    uint64_t now = clock_ns();
    if (!json_i64(json_get(params, "progressToken"), &id)) return;
    for (struct wait *w = r->waiting; w; w = w->next)
        if (w->id == id) w->until = MIN(now + (uint64_t)w->timeout_ms * 1000000u, w->last);
}

static void on_answer(struct rpc *r, struct json *m)
{
    int64_t id;
    bool has = json_i64(json_get(m, "id"), &id);
    for (struct wait *w = r->waiting; has && w; w = w->next)
        if (w->id == id && !w->answer) {
            w->answer = m;
            pthread_cond_broadcast(&r->came);
            return;
        }
    json_free(m);
}

static void on_line(struct rpc *r, const char *p, size_t n)
{
    while (n && (p[n - 1] == '\r' || p[n - 1] == ' ')) n--;
    if (!n) return;
    struct json *m = json_parse(p, n, NULL);
    const char *method = json_str(json_get(m, "method"), NULL);
    bool is_message = json_is(m, JSON_OBJECT) && (method || json_get(m, "result") || json_get(m, "error"));
    if (is_message && method && json_get(m, "id")) answer_request(r, m, method);
    pthread_mutex_lock(&r->lock);
    if (!is_message) r->garbage++;
    else if (!method) on_answer(r, m), m = NULL;
    else if (!strcmp(method, "notifications/tools/list_changed")) r->changed = true;
    else if (!strcmp(method, "notifications/progress")) progress(r, json_get(m, "params"));
    pthread_mutex_unlock(&r->lock);
    json_free(m);
}

static void on_bytes(struct rpc *r, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t k = (size_t)((stop ? stop : end) - p);
        if (r->line.len + k > LINE_MOST) r->skipping = true;
        if (!r->skipping) str_put(&r->line, p, k);
        p += k + (stop != NULL);
        if (!stop) break;
        if (r->skipping) r->garbage++;
        else if (r->line.len) on_line(r, r->line.p, r->line.len);
        r->skipping = false;
        str_clear(&r->line);
    }
}

static void keep_tail(struct rpc *r, const char *p, size_t n)
{
    pthread_mutex_lock(&r->lock);
    str_put(&r->tail, p, n);
    if (r->tail.len > 2 * TAIL) {
        memmove(r->tail.p, r->tail.p + r->tail.len - TAIL, TAIL + 1);
        r->tail.len = TAIL;
    }
    pthread_mutex_unlock(&r->lock);
}

static bool drain(struct rpc *r, int i)
{
    static _Thread_local char buf[1 << 16];
    ssize_t n = read(r->fd[i], buf, sizeof buf);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (i == 1) on_bytes(r, buf, (size_t)n);
    else keep_tail(r, buf, (size_t)n);
    return n > 0;
}

static void *read_on(void *rpc)
{
    struct rpc *r = rpc;
    bool open[3] = { false, true, true };
    while (open[1]) {
        struct pollfd p[3] = { { .fd = r->stop, .events = POLLIN }, { .fd = r->fd[1], .events = POLLIN }, { .fd = open[2] ? r->fd[2] : -1, .events = POLLIN } };
        poll(p, 3, -1);
        if (p[0].revents) break;
        for (int i = 1; i < 3; i++)
            if (p[i].revents) open[i] = drain(r, i);
    }
    for (int i = 0; open[2] && i < 20 && poll(&(struct pollfd){ .fd = r->fd[2], .events = POLLIN }, 1, 10) > 0 && drain(r, 2); i++) { }
    pthread_mutex_lock(&r->lock);
    r->dead = true;
    pthread_cond_broadcast(&r->came);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

struct rpc *rpc_open(char *const *argv, char *const *env, const char *cwd, struct err *e)
{
    int p[2];
    struct rpc *r = mem_zero(sizeof *r);
    if (pipe2(p, O_CLOEXEC) < 0) {
        mem_free(r);
        return err_set(e, ERR_IO, "no pipe: %s", strerror(errno)), NULL;
    }
    r->stop = p[0];
    r->stop_other = p[1];
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->writing, NULL);
    pthread_cond_init(&r->came, NULL);
    r->pid = process_spawn(argv, env, cwd, r->fd, e);
    int rc = r->pid < 0 ? 0 : pthread_create(&r->reader, NULL, read_on, r);
    if (r->pid >= 0 && !rc) return r;
    if (rc) {
        err_set(e, ERR_IO, "no thread: %s", strerror(rc));
        process_kill(r->pid, 0);
        for (int i = 0; i < 3; i++) close(r->fd[i]);
    }
    close(p[0]);
    close(p[1]);
    mem_free(r);
    return NULL;
}

void rpc_close(struct rpc *r)
{
    if (!r) return;
    close(r->fd[0]);
    process_wait(r->pid, CLOSE_MS);
    process_kill(r->pid, CLOSE_MS);
    close(r->stop_other);
    pthread_join(r->reader, NULL);
    close(r->stop);
    close(r->fd[1]);
    close(r->fd[2]);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->writing);
    pthread_cond_destroy(&r->came);
    str_done(&r->line);
    str_done(&r->tail);
    mem_free(r);
}

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

/* ---- asking ---- */

static bool say_dead(struct rpc *r, struct err *e)
{
    siginfo_t si = { 0 };
    struct str end = { 0 };
    process_wait(r->pid, 200);
    if (!waitid(P_PID, (id_t)r->pid, &si, WEXITED | WNOHANG | WNOWAIT) && si.si_pid)
        str_fmt(&end, "%s %d", si.si_code == CLD_EXITED ? "status" : "signal", si.si_status);
    else str_puts(&end, "its stdout is closed");
    struct str clean = { 0 };
    size_t tail = MIN(r->tail.len, (size_t)240);
    result_clean(&clean, r->tail.p ? r->tail.p + r->tail.len - tail : "", tail);
    err_set(e, ERR_IO, "server exited (%s%s%s)", end.p, clean.len ? "; " : "", clean.len ? clean.p : "");
    str_done(&end);
    str_done(&clean);
    return false;
}

static void wait_a_little(struct rpc *r)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 50000000;
    if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&r->came, &r->lock, &t);
}

static void unlink_wait(struct rpc *r, struct wait *w)
{
    struct wait **at = &r->waiting;
    while (*at != w) at = &(*at)->next;
    *at = w->next;
}

static void tell_cancelled(struct rpc *r, int64_t id, const char *why)
{
    struct json *o = json_new_object();
    struct err ignored = { 0 };
    json_set(o, "requestId", json_new_int(id));
    json_set(o, "reason", json_new_str(why));
    rpc_notify(r, "notifications/cancelled", o, &ignored);
}

/* The id is also the token of progress. */
static struct json *with_token(struct json *params, int64_t id)
{
    struct json *meta = json_copy(json_get(params, "_meta"));
    if (!meta) meta = json_new_object();
    json_set(meta, "progressToken", json_new_int(id));
    json_set(params, "_meta", meta);
    return params;
}

struct json *rpc_call(struct rpc *r, const char *method, struct json *params, int timeout_ms, struct cancel *c, struct err *e)
{
    uint64_t now = clock_ns();
    struct wait w = { .timeout_ms = timeout_ms, .until = now + (uint64_t)timeout_ms * 1000000u };
    w.last = MAX(w.until, now + (uint64_t)PROGRESS_MOST_MS * 1000000u);
    pthread_mutex_lock(&r->lock);
    w.id = ++r->next_id;
    w.next = r->waiting;
    r->waiting = &w;
    pthread_mutex_unlock(&r->lock);
    if (!strcmp(method, "tools/call")) params = with_token(params, w.id);
    struct json *m = message(method, params);
    json_set(m, "id", json_new_int(w.id));
    bool sent = send_message(r, m, e);
    pthread_mutex_lock(&r->lock);
    while (sent && !w.answer && !r->dead && clock_ns() < w.until && !cancel_is_on(c)) wait_a_little(r);
    unlink_wait(r, &w);
    bool dead = r->dead;
    pthread_mutex_unlock(&r->lock);
    if (w.answer) return w.answer;
    if (!sent && !dead && !process_wait(r->pid, 100)) return NULL;
    if (dead || !sent) return say_dead(r, e), NULL;
    bool cancelled = cancel_is_on(c);
    tell_cancelled(r, w.id, cancelled ? "cancelled by the user" : "no answer in time");
    if (cancelled) err_set(e, ERR_CANCEL, "cancelled by the user");
    else err_set(e, ERR_LIMIT, "no answer to %s within %d ms", method, timeout_ms);
    return NULL;
}
