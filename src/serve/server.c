/* server.c -- opens what a server is made of, runs the I/O thread, closes in the order that nothing is
 * used after it is gone: no more events (scheduler drained), no more jobs, then sockets, then the rest. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "serve/hands.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/keep.h"

const struct serve_opts serve_defaults = {
    .port = 8080,
    .max_loras = 8,
    .max_n = 8,
    .max_queue = 256,
    .max_conn = 1024,
    .n_parallel = 8,
    .max_body = 32 << 20,
    .header_s = 10,
    .body_s = 30,
    .idle_s = 75,
    .stall_s = 60,
    .ping_s = 5,
    .drain_s = 30,
    .store_most = 10000,
    .store_days = 30,
};

/* [ADDR:]PORT. It does not count for what only a server of this machine may do: nothing but numbers is served there. */
static bool listen_for_metrics(struct server *sv, const char *where, struct err *e)
{
    struct listener *l = &sv->listener[sv->n_listener];
    const char *colon = strrchr(where, ':'), *digits = colon ? colon + 1 : where;
    char host[256] = "127.0.0.1", *end;
    long port = strtol(digits, &end, 10);
    if (colon) snprintf(host, sizeof host, "%.*s", (int)MIN(colon - where, 255), where);
    if (sv->n_listener == (int)LEN(sv->listener) || !*digits || *end || port < 0 || port > 65535 || (colon && (colon == where || strlen(host) < (size_t)(colon - where))))
        return err_set(e, ERR_USAGE, "--metrics-listen: '%.100s' is not [ADDR:]PORT", where);
    if (!net_listen(host, (int)port, l, e)) return false;
    l->metrics = true;
    sv->n_listener++;
    return true;
}

static bool listen_all(struct server *sv, struct err *e)
{
    static const char *const home[] = { "127.0.0.1" };
    const struct serve_opts *o = sv->o;
    const char *const *host = o->host.n ? o->host.item : home;
    int n = o->host.n ? o->host.n : 1;
    if (n > (int)LEN(sv->listener))
        return err_set(e, ERR_USAGE, "--host: at most %zu addresses are accepted",
                       LEN(sv->listener));
    sv->local_only = true;
    for (int i = 0; i < n; i++) {
        if (!net_listen(host[i], o->port, &sv->listener[i], e)) return false;
        sv->n_listener++;
        sv->local_only &= sv->listener[i].local;
    }
    return !o->metrics_listen || listen_for_metrics(sv, o->metrics_listen, e);
}

/* Build, weights and options that change answers, in one word. */
static void set_fingerprint(struct server *sv)
{
    const struct model_config *c = model_config(engine_model(sv->engine));
    const struct tokenizer *t = engine_tokenizer(sv->engine);
    uint64_t h =
        hash64(TENON_VERSION, strlen(TENON_VERSION), model_n_param(engine_model(sv->engine)));
    h = hash64(c->arch, strlen(c->arch), h);
    for (int32_t id = 0; id < tok_n_vocab(t); id += 97) {
        struct bytes b = tok_text(t, id);
        h = hash64(b.p, b.len, h);
    }
    snprintf(sv->fingerprint, sizeof sv->fingerprint, "fp_%012llx",
             (unsigned long long)(h & 0xffffffffffffull));
}

/* Every connection is a descriptor: as many as the system lets us have. */
static void raise_files(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l)) return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static bool open_all(struct server *sv, struct err *e)
{
    const struct serve_opts *o = sv->o;
    if (!o->tls_cert != !o->tls_key)
        return err_set(e, ERR_USAGE, "--tls-cert and --tls-key belong together");
    raise_files();
    set_fingerprint(sv);
    mailbox_open(sv);
    aside_open(sv);
    sv->metrics = metrics_open();
    if (!hub_open(&sv->hub, sv, e) || !api_keys_read(sv, e)) return false;
    if (!models_open(sv, e)) return false;
    if (o->store_path && !(sv->store = keep_open(o->store_path, o->store_most, o->store_days, e)))
        return false;
    return listen_all(sv, e) && hands_open(sv, e) && http_open(sv, e);
}

static void close_all(struct server *sv)
{
    struct err e = { 0 };
    hands_stop(sv);
    if (sv->aside) aside_close(sv);
    if (sv->metrics) sched_drain(sv->sched, 1e-3); /* those that are left hear their end now */
    for (int i = 0; i < 1000 && sv->jobs; i++) {
        struct timespec ms = { 0, 1000000 };
        job_mail(sv);
        if (sv->jobs) nanosleep(&ms, NULL);
    }
    http_close(sv);
    hands_close(sv);
    keep_close(sv->store);
    models_close(sv->models);
    metrics_close(sv->metrics);
    hub_close(&sv->hub);
    if (!sv->jobs) mailbox_close(sv);
    for (int i = 0; i < sv->n_key; i++) mem_free(sv->key[i]);
    mem_free(sv->key);
    (void)e;
}

static void greet(const struct server *sv)
{
    bool open = !sv->n_key && !sv->local_only;
    for (int i = 0; i < sv->n_listener; i++) {
        const char *where = sv->listener[i].where;
        bool tls = sv->o->tls_cert && !sv->listener[i].is_unix && !sv->listener[i].metrics;
        printf("%s on %s%s\n", sv->listener[i].metrics ? "metrics" : "listening", tls ? "https" : "", tls ? where + 4 : where);
    }
    fflush(stdout);
    if (open)
        log_line(LOG_WARN, "no_key why=\"everybody who reaches this address may use the model; "
                           "--api-key changes that\"");
    log_line(LOG_INFO, "ready model=%s ctx=%d parallel=%d", models_default(sv),
             engine_n_ctx(sv->engine), sv->o->n_parallel);
    net_notify("READY=1");
}

bool serve_run(const struct serve_opts *o, const struct engine *en, struct sched *s, struct err *e)
{
    struct server *sv = mem_zero(sizeof *sv);
    sv->o = o;
    sv->sched = s;
    sv->engine = en;
    sv->started = unix_time();
    for (size_t i = 0; i < LEN(sv->listener); i++) sv->listener[i].fd = -1;
    bool ok = open_all(sv, e);
    if (ok) {
        greet(sv);
        ok = hub_run(sv, e);
        log_line(LOG_INFO, "stopped");
    }
    close_all(sv);
    bool clean = !sv->jobs;
    if (clean) mem_free(sv); /* else the engine thread may still ring its bell */
    return ok;
}
