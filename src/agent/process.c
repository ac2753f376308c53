/* process.c -- one child process, from start to end, with nothing left behind.
 *
 * A child is the leader of a process group of its own; whoever it starts belongs to the group unless it leaves on
 * purpose. Both of its outputs are read all the time, so it can never stand still because nobody listens. It ends
 * by itself, by its time, by cancellation, or because it writes without end; in each case the group is killed
 * before the leader is reaped, so that its number cannot have been given to anybody else.
 * No shell anywhere: argv goes to the system as it is. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/int.h"

#define GRACE_MS 2000                       /* between TERM and KILL */
#define FLOOD ((uint64_t)64 << 20)          /* whoever writes more is stopped */
#define ERR_TAIL 4096
#define LINGER_MS 200                       /* for pipes held open by others after the end */

void words_put(struct words *w, char *taken)
{
    if (w->n + 1 >= w->cap) {
        w->cap = w->cap ? w->cap * 2 : 8;
        w->p = mem_resize(w->p, (size_t)w->cap * sizeof *w->p);
    }
    w->p[w->n++] = taken;
    w->p[w->n] = NULL;
}

void words_done(struct words *w)
{
    for (int i = 0; i < w->n; i++) mem_free(w->p[i]);
    mem_free(w->p);
    *w = (struct words){ 0 };
}

bool program_exists(const char *name)
{
    if (strchr(name, '/')) return access(name, X_OK) == 0;
    const char *path = getenv("PATH");
    bool found = false;
    for (const char *p = path ? path : "/usr/bin:/bin"; *p && !found;) {
        size_t n = strcspn(p, ":");
        struct str full = { 0 };
        str_fmt(&full, "%.*s/%s", (int)n, p, name);
        found = access(full.p, X_OK) == 0;
        str_done(&full);
        p += n + (p[n] == ':');
    }
    return found;
}

/* A reader that is gone is an error here, not the end of this process; the signal's setting is the embedder's. */
ssize_t write_quietly(int fd, const void *p, size_t n)
{
    sigset_t pipe_only, was, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &was);
    ssize_t k = write(fd, p, n);
    int why = errno;
    if (k < 0 && why == EPIPE && !sigismember(&pending, SIGPIPE)) sigtimedwait(&pipe_only, NULL, &(struct timespec){ 0 });
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    errno = why;
    return k;
}

/* ---- starting ---- */

static bool make_pipes(int parent[3], int child[3], struct err *e)
{
    for (int i = 0; i < 3; i++) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0) {
            for (int k = 0; k < i; k++) close(parent[k]), close(child[k]);
            return err_set(e, ERR_IO, "no pipe: %s", strerror(errno));
        }
        parent[i] = p[i == 0];
        child[i] = p[i != 0];
        fcntl(parent[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

int process_spawn(char *const *argv, char *const *env, const char *cwd, int fd[3], struct err *e)
{
    int child[3], rc;
    pid_t pid = -1;
    sigset_t none, all;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t act;
    if (!make_pipes(fd, child, e)) return -1;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&act);
    if (cwd) posix_spawn_file_actions_addchdir_np(&act, cwd);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&act, child[i], i);
    posix_spawn_file_actions_addclosefrom_np(&act, 3);
    rc = posix_spawnp(&pid, argv[0], &act, &attr, argv, env);
    posix_spawn_file_actions_destroy(&act);
    posix_spawnattr_destroy(&attr);
    for (int i = 0; i < 3; i++) close(child[i]);
    if (!rc) return pid;
    for (int i = 0; i < 3; i++) close(fd[i]);
    if (cwd && access(cwd, X_OK)) err_set(e, ERR_IO, "%s cannot be started in %s: %s", argv[0], cwd, strerror(errno));
    else err_set(e, ERR_IO, "%s cannot be started: %s", argv[0], strerror(rc));
    return -1;
}

/* ---- ending ---- */

static bool has_ended(int pid)
{
    siginfo_t si = { 0 };
    return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == pid;
}

bool process_wait(int pid, int ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t until = clock_ns() + (uint64_t)ms * 1000000u;
    while (!has_ended(pid)) {
        uint64_t now = clock_ns();
        if (now >= until) break;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        poll(&p, 1, (int)MIN((until - now) / 1000000u + 1, fd < 0 ? 10u : 1000u));
    }
    if (fd >= 0) close(fd);
    return has_ended(pid);
}

void process_kill(int pid, int grace_ms)
{
    if (!has_ended(pid)) {
        kill(-pid, SIGTERM);
        process_wait(pid, grace_ms);
    }
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- running ---- */

struct run { const struct process_opts *o; struct process_end *end; int pid, fd[3], pidfd; size_t in_at; uint64_t stop_at, kill_at, linger_at; bool gone; };

static void drop(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void feed(struct run *r)
{
    ssize_t n = write_quietly(r->fd[0], r->o->in.p + r->in_at, r->o->in.len - r->in_at);
    if (n > 0) r->in_at += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || r->in_at == r->o->in.len) drop(&r->fd[0]);
}

static void keep_tail(struct str *s, const char *p, size_t n)
{
    str_put(s, p, n);
    if (s->len <= 2 * ERR_TAIL) return;
    memmove(s->p, s->p + s->len - ERR_TAIL, ERR_TAIL + 1);
    s->len = ERR_TAIL;
}

static void drain(struct run *r, int i)
{
    char buf[1 << 16];
    ssize_t n = read(r->fd[i], buf, sizeof buf);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        drop(&r->fd[i]);
        return;
    }
    r->end->n_out += (uint64_t)n;
    if (i == 2) keep_tail(&r->end->err, buf, (size_t)n);
    else {
        size_t room = r->o->most - r->end->out.len;
        str_put(&r->end->out, buf, MIN((size_t)n, room));
        r->end->out_cut |= (size_t)n > room;
    }
}

static int wait_ms(const struct run *r, uint64_t now)
{
    uint64_t until = r->kill_at ? r->kill_at : r->stop_at;
    if (r->linger_at) until = MIN(until, r->linger_at);
    uint64_t ms = until > now ? (until - now) / 1000000u + 1 : 0;
    return (int)MIN(ms, r->pidfd < 0 ? 20u : 1000u);
}

static void begin_end(struct run *r, uint64_t now)
{
    if (r->kill_at) return;
    if (!r->gone) kill(-r->pid, SIGTERM);
    r->kill_at = now + (uint64_t)GRACE_MS * 1000000u;
}

/* What the clock, the user and the amount of output demand. */
static void judge(struct run *r, uint64_t now)
{
    struct process_end *end = r->end;
    if (!r->kill_at && cancel_is_on(r->o->cancel)) end->cancelled = true, begin_end(r, now);
    if (!r->kill_at && !r->gone && now >= r->stop_at) end->timed_out = true, begin_end(r, now);
    if (!r->kill_at && end->n_out > FLOOD) end->flooded = true, begin_end(r, now);
    if (r->kill_at && now >= r->kill_at && !r->gone) kill(-r->pid, SIGKILL);
    if (!r->gone && has_ended(r->pid)) {
        r->gone = true;
        r->linger_at = now + (uint64_t)LINGER_MS * 1000000u;
    }
}

static void attend(struct run *r)
{
    struct pollfd p[5] = {
        { .fd = r->fd[0], .events = POLLOUT }, { .fd = r->fd[1], .events = POLLIN }, { .fd = r->fd[2], .events = POLLIN },
        { .fd = r->gone ? -1 : r->pidfd, .events = POLLIN }, { .fd = r->o->cancel && !r->kill_at ? r->o->cancel->fd : -1, .events = POLLIN },
    };
    poll(p, LEN(p), wait_ms(r, clock_ns()));
    if (p[0].revents) feed(r);
    if (p[1].revents) drain(r, 1);
    if (p[2].revents) drain(r, 2);
}

static void reap(struct run *r)
{
    int status = 0;
    kill(-r->pid, SIGKILL);                                           /* what it left running */
    waitpid(r->pid, &status, 0);
    r->end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    r->end->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + r->end->signal;
    for (int i = 0; i < 3; i++) drop(&r->fd[i]);
    if (r->pidfd >= 0) close(r->pidfd);
}

bool process_run(const struct process_opts *o, struct process_end *end, struct err *e)
{
    struct run r = { .o = o, .end = end };
    *end = (struct process_end){ 0 };
    if ((r.pid = process_spawn(o->argv, o->env, o->cwd, r.fd, e)) < 0) return false;
    r.pidfd = (int)syscall(SYS_pidfd_open, r.pid, 0);
    r.stop_at = clock_ns() + (uint64_t)o->timeout_ms * 1000000u;
    if (!o->in.len) drop(&r.fd[0]);
    for (;;) {
        uint64_t now = clock_ns();
        judge(&r, now);
        if (r.gone && ((r.fd[1] < 0 && r.fd[2] < 0) || now >= r.linger_at)) break;
        attend(&r);
    }
    reap(&r);
    return true;
}

void process_end_done(struct process_end *end)
{
    str_done(&end->out);
    str_done(&end->err);
}
