/* rpc_pipe.c -- JSON-RPC with a child process: a line of its stdin or stdout is a message.
 *
 * One thread reads both outputs of the child all the time: lines of stdout are messages (rpc_inbox.c), the end of
 * stderr is kept for the day it dies. Lines that are no messages are counted. Locks: one, around everything that both sides touch; writing has its own, so that a slow
 * reader of its stdin does not stop us from reading. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/rpc.h"

#define TAIL ((size_t)64 << 10)
#define WRITE_MS 10000
#define CLOSE_MS 2000

struct pipe_rpc {
    struct rpc r;
    int pid, fd[3], stop;                                             /* stop: a pipe's end whose closing ends the reader */
    int stop_other;
    pthread_t reader;
    pthread_mutex_t writing;
    struct rpc_inbox in;
    struct str line, tail;
    bool skipping;
};

/* ---- writing ---- */

static bool write_all(struct pipe_rpc *p, const struct str *s, struct err *e)
{
    uint64_t until = clock_ns() + (uint64_t)WRITE_MS * 1000000u;
    for (size_t at = 0; at < s->len;) {
        ssize_t n = write_quietly(p->fd[0], s->p + at, s->len - at);
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) return err_set(e, ERR_IO, "it does not read its stdin any more: %s", strerror(errno));
        if (clock_ns() > until) return err_set(e, ERR_IO, "it has not read its stdin for %d s", WRITE_MS / 1000);
        poll(&(struct pollfd){ .fd = p->fd[0], .events = POLLOUT }, 1, 100);
    }
    return true;
}

static bool send_message(struct rpc *r, struct json *m, struct err *e)
{
    struct pipe_rpc *p = (struct pipe_rpc *)r;
    struct str s = { 0 };
    json_write(&s, m, JSON_COMPACT);                                  /* newlines inside strings are escaped */
    str_putc(&s, '\n');
    json_free(m);
    pthread_mutex_lock(&p->writing);
    bool ok = write_all(p, &s, e);
    pthread_mutex_unlock(&p->writing);
    str_done(&s);
    return ok;
}

/* ---- reading ---- */

static void on_line(struct pipe_rpc *p, const char *text, size_t n)
{
    while (n && (text[n - 1] == '\r' || text[n - 1] == ' ')) n--;
    if (n) rpc_inbox_take(&p->r, &p->in, json_parse(text, n, NULL));
}

static void count_garbage(struct pipe_rpc *p)
{
    pthread_mutex_lock(&p->r.lock);
    p->r.garbage++;
    pthread_mutex_unlock(&p->r.lock);
}

static void on_bytes(struct pipe_rpc *p, const char *from, size_t n)
{
    for (const char *end = from + n; from < end;) {
        const char *stop = memchr(from, '\n', (size_t)(end - from));
        size_t k = (size_t)((stop ? stop : end) - from);
        if (p->line.len + k > RPC_MESSAGE_MOST) p->skipping = true;
        if (!p->skipping) str_put(&p->line, from, k);
        from += k + (stop != NULL);
        if (!stop) break;
        if (p->skipping) count_garbage(p);
        else if (p->line.len) on_line(p, p->line.p, p->line.len);
        p->skipping = false;
        str_clear(&p->line);
    }
}

static void keep_tail(struct pipe_rpc *p, const char *text, size_t n)
{
    pthread_mutex_lock(&p->r.lock);
    str_put(&p->tail, text, n);
    if (p->tail.len > 2 * TAIL) {
        memmove(p->tail.p, p->tail.p + p->tail.len - TAIL, TAIL + 1);
        p->tail.len = TAIL;
    }
    pthread_mutex_unlock(&p->r.lock);
}

static bool drain(struct pipe_rpc *p, int i)
{
    static _Thread_local char buf[1 << 16];
    ssize_t n = read(p->fd[i], buf, sizeof buf);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (i == 1) on_bytes(p, buf, (size_t)n);
    else keep_tail(p, buf, (size_t)n);
    return n > 0;
}

static void *read_on(void *rpc)
{
    struct pipe_rpc *p = rpc;
    bool open[3] = { false, true, true };
    while (open[1]) {
        struct pollfd fds[3] = { { .fd = p->stop, .events = POLLIN }, { .fd = p->fd[1], .events = POLLIN }, { .fd = open[2] ? p->fd[2] : -1, .events = POLLIN } };
        poll(fds, 3, -1);
        if (fds[0].revents) break;
        for (int i = 1; i < 3; i++)
            if (fds[i].revents) open[i] = drain(p, i);
    }
    for (int i = 0; open[2] && i < 20 && poll(&(struct pollfd){ .fd = p->fd[2], .events = POLLIN }, 1, 10) > 0 && drain(p, 2); i++) { }
    rpc_inbox_end(&p->r, &p->in);
    return NULL;
}

/* ---- asking ---- */

static bool say_dead(struct pipe_rpc *p, struct err *e)
{
    siginfo_t si = { 0 };
    struct str end = { 0 }, clean = { 0 };
    process_wait(p->pid, 200);
    if (!waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG | WNOWAIT) && si.si_pid)
        str_fmt(&end, "%s %d", si.si_code == CLD_EXITED ? "status" : "signal", si.si_status);
    else str_puts(&end, "its stdout is closed");
    pthread_mutex_lock(&p->r.lock);
    size_t tail = MIN(p->tail.len, (size_t)240);
    result_clean(&clean, p->tail.p ? p->tail.p + p->tail.len - tail : "", tail);
    pthread_mutex_unlock(&p->r.lock);
    err_set(e, ERR_IO, "server exited (%s%s%s)", end.p, clean.len ? "; " : "", clean.len ? clean.p : "");
    str_done(&end);
    str_done(&clean);
    return false;
}

static struct json *pipe_call(struct rpc *r, struct rpc_request *q, struct rpc_wait *w, struct json *m, struct err *e)
{
    struct pipe_rpc *p = (struct pipe_rpc *)r;
    struct err ignored = { 0 };
    rpc_inbox_link(r, &p->in, w);
    bool sent = send_message(r, m, e);
    if (!sent) w->until = 0;
    bool lives = rpc_inbox_wait(r, &p->in, w, q->cancel);
    if (w->answer) return w->answer;
    if (!sent && lives && !process_wait(p->pid, 100)) return NULL;
    if (!lives || !sent) return say_dead(p, e), NULL;
    send_message(r, rpc_cancelled(w->id, cancel_is_on(q->cancel) ? "cancelled by the user" : "no answer in time"), &ignored);
    return rpc_say_late(q, e), NULL;
}

/* Over a pipe changes are heard of anyway; a modern server wants to be asked for them first. */
static void pipe_listen(struct rpc *r, struct json *m)
{
    struct err ignored = { 0 };
    if (r->modern) send_message(r, m, &ignored);
    else json_free(m);
}

/* ---- life ---- */

static void pipe_close(struct rpc *r)
{
    struct pipe_rpc *p = (struct pipe_rpc *)r;
    close(p->fd[0]);
    process_wait(p->pid, CLOSE_MS);
    process_kill(p->pid, CLOSE_MS);
    close(p->stop_other);
    pthread_join(p->reader, NULL);
    close(p->stop);
    close(p->fd[1]);
    close(p->fd[2]);
    rpc_inbox_done(&p->in);
    pthread_mutex_destroy(&p->writing);
    str_done(&p->line);
    str_done(&p->tail);
    rpc_done(r);
    mem_free(p);
}

static const struct rpc_kind pipe_kind = { pipe_call, send_message, pipe_listen, pipe_close };

struct rpc *rpc_pipe_open(char *const *argv, char *const *env, const char *cwd, struct err *e)
{
    int fd[2];
    struct pipe_rpc *p = mem_zero(sizeof *p);
    if (pipe2(fd, O_CLOEXEC) < 0) {
        mem_free(p);
        return err_set(e, ERR_IO, "no pipe: %s", strerror(errno)), NULL;
    }
    rpc_init(&p->r, &pipe_kind);
    p->stop = fd[0];
    p->stop_other = fd[1];
    pthread_mutex_init(&p->writing, NULL);
    rpc_inbox_init(&p->in);
    p->pid = process_spawn(argv, env, cwd, p->fd, e);
    int rc = p->pid < 0 ? 0 : pthread_create(&p->reader, NULL, read_on, p);
    if (p->pid >= 0 && !rc) return &p->r;
    if (rc) {
        err_set(e, ERR_IO, "no thread: %s", strerror(rc));
        process_kill(p->pid, 0);
        for (int i = 0; i < 3; i++) close(p->fd[i]);
    }
    close(fd[0]);
    close(fd[1]);
    rpc_done(&p->r);
    mem_free(p);
    return NULL;
}
