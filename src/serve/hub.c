/* hub.c -- the I/O thread: one epoll over listening daemons, client sockets, signals and the bell that
 * the engine thread rings.
 *
 * Everything in this room but the mailbox (job.c) runs here, so nothing here needs a lock. Time limits
 * are looked at a few times a second. SIGTERM and SIGINT begin the drain: readiness goes, after
 * --drain-delay nobody is accepted any more, what runs is finished, and after --drain-timeout what is
 * left is told so. A second signal ends the process at once. SIGHUP reads keys, TLS files and the names
 * of adapters again. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "serve/hands.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/keep.h"

#define TICK_MS 200
#define MS 1000000ull

/* ---- sources ----------------------------------------------------------------------------------- */

struct source *hub_watch(struct hub *l, int fd, uint32_t events, source_fn *fn, void *ctx)
{
    struct source *s = mem_zero(sizeof *s);
    *s = (struct source){ .fn = fn, .ctx = ctx, .fd = fd };
    struct epoll_event ev = { .events = events, .data.ptr = s };
    if (epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &ev))
        log_line(LOG_WARN, "watch_failed why=\"%s\"", strerror(errno));
    return s;
}

/* Events of the same round may still name it, so it is freed when the round is over. */
void hub_forget(struct hub *l, struct source *s)
{
    if (!s) return;
    epoll_ctl(l->ep, EPOLL_CTL_DEL, s->fd, NULL);
    s->dead = true;
    s->next = l->dead;
    l->dead = s;
}

static void bury(struct hub *l)
{
    while (l->dead) {
        struct source *s = l->dead;
        l->dead = s->next;
        mem_free(s);
    }
}

void hub_wake(struct hub *l)
{
    uint64_t one = 1;
    if (atomic_exchange(&l->woken, true)) return;
    ssize_t n = write(l->wake_fd, &one, sizeof one);
    (void)n; /* full means it rings already */
}

static void on_wake(void *ctx, uint32_t events)
{
    struct server *sv = ctx;
    uint64_t n;
    ssize_t got = read(sv->hub.wake_fd, &n, sizeof n);
    (void)got;
    atomic_store(&sv->hub.woken, false);
    aside_collect(sv);
    job_mail(sv);
}

/* ---- signals ----------------------------------------------------------------------------------- */

static void signal_set(sigset_t *s)
{
    sigemptyset(s);
    sigaddset(s, SIGTERM);
    sigaddset(s, SIGINT);
    sigaddset(s, SIGHUP);
}

void serve_block_signals(void)
{
    sigset_t s;
    signal_set(&s);
    pthread_sigmask(SIG_BLOCK, &s, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void begin_drain(struct server *sv, int signal)
{
    if (sv->draining) _exit(128 + signal);                            /* asked twice */
    sv->draining = true;
    sv->signal = signal;
    sv->drain_ns = clock_ns();
    net_notify("STOPPING=1");
    log_line(LOG_INFO, "drain_begin running=%d", sv->n_live);
}

static void reload(struct server *sv)
{
    struct err e = { 0 };
    net_notify("RELOADING=1");
    if (!api_keys_read(sv, &e)) log_line(LOG_ERROR, "reload_failed what=keys why=\"%s\"", e.msg);
    e = (struct err){ 0 };
    if (!http_reload_tls(sv, &e)) log_line(LOG_ERROR, "reload_failed what=tls why=\"%s\"", e.msg);
    models_rescan(sv);
    log_line(LOG_INFO, "reloaded keys=%d", sv->n_key);
    net_notify("READY=1");
}

static void on_signal(void *ctx, uint32_t events)
{
    struct server *sv = ctx;
    struct signalfd_siginfo si;
    while (read(sv->hub.signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo == SIGHUP) reload(sv);
        else begin_drain(sv, (int)si.ssi_signo);
    }
}

/* ---- opening ----------------------------------------------------------------------------------- */

static void add(struct hub *l, struct source *s, int fd, source_fn *fn, void *ctx)
{
    *s = (struct source){ .fn = fn, .ctx = ctx, .fd = fd };
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };
    epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &ev);
}

bool hub_open(struct hub *l, struct server *sv, struct err *e)
{
    sigset_t set;
    signal_set(&set);
    l->ep = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->ep < 0 || l->wake_fd < 0 || l->signal_fd < 0)
        return err_set(e, ERR_IO, "event loop: %s", strerror(errno));
    add(l, &l->wake, l->wake_fd, on_wake, sv);
    add(l, &l->signal, l->signal_fd, on_signal, sv);
    return true;
}

void hub_close(struct hub *l)
{
    bury(l);
    if (l->ep > 0) close(l->ep);
    if (l->wake_fd > 0) close(l->wake_fd);
    if (l->signal_fd > 0) close(l->signal_fd);
}

/* ---- running ----------------------------------------------------------------------------------- */

/* Is the drain over? What goes beyond its time is told so first. */
static bool drained(struct server *sv, uint64_t now)
{
    double s = (double)(now - sv->drain_ns) * 1e-9;
    if (sv->listening && s >= sv->o->drain_delay_s) http_stop_listening(sv);
    if (sv->o->drain_s && s >= sv->o->drain_delay_s + sv->o->drain_s && !sv->stopping) {
        sv->stopping = true;
        job_stop_all(sv, "server_shutting_down", "the server is shutting down");
        hands_stop(sv);
    }
    bool idle = !sv->n_live && !sv->jobs && !sv->n_task;
    return !sv->listening &&
           (idle || (sv->stopping && s >= sv->o->drain_delay_s + sv->o->drain_s + 5));
}

static void damage(struct server *sv)
{
    sv->damaged = true;
    log_line(LOG_ERROR,
             "model_damaged why=\"a mapped file became shorter; start the server again\"");
    job_stop_all(sv, "internal_error", "the model file changed while it was in use");
}

static void tick(struct server *sv, uint64_t now)
{
    if (map_damaged() && !sv->damaged) damage(sv);
    http_tick(sv, now);
    job_tick(sv, now);
    const char *watchdog = getenv("WATCHDOG_USEC");
    if (watchdog && now - sv->watchdog_ns > strtoull(watchdog, NULL, 10) * 500 && !sv->damaged) {
        net_notify("WATCHDOG=1");
        sv->watchdog_ns = now;
    }
}

bool hub_run(struct server *sv, struct err *e)
{
    struct epoll_event ev[64];
    uint64_t next = 0;
    while (true) {
        uint64_t now = clock_ns();
        if (now >= next) {
            tick(sv, now);
            next = now + TICK_MS * MS;
        }
        if (sv->draining && drained(sv, now)) return true;
        int n = epoll_wait(sv->hub.ep, ev, LEN(ev), http_timeout_ms(sv, TICK_MS));
        if (n < 0 && errno != EINTR) return err_set(e, ERR_IO, "event loop: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct source *s = ev[i].data.ptr;
            if (!s->dead) s->fn(s->ctx, ev[i].events);
        }
        http_run(sv);
        bury(&sv->hub);
    }
}
