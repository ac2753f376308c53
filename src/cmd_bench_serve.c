/* cmd_bench_serve.c -- `tenon bench serve`: a running server under load.
 *
 * So many streams at once, each asking again as soon as its answer has ended, one thread, plain sockets
 * and poll(): the generator must not be what is measured, so it looks for event borders and usage and
 * parses nothing else. Requests differ in a number at their end; what stands before it (the tools) is the
 * same, as it is with real clients. Bounded: by requests, by time, by the memory of its samples. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

#define SAMPLES_MOST 1000000
#define STREAMS_MOST 4096

struct load_opts {
    const char *host, *streams, *tools, *model, *key;
    int64_t port, requests, max_tokens, prompt_words;
    double seconds, leave;
    bool mixed, json;
};
static const struct load_opts defaults = { .host = "127.0.0.1",
                                           .port = 8080,
                                           .streams = "1,8,32,128",
                                           .requests = 200,
                                           .max_tokens = 32,
                                           .seconds = 60 };

#define AT(field) offsetof(struct load_opts, field)
static const struct opt options[] = {
    { "Server", 0, "host", "ADDR", OPT_STR, AT(host), "where it listens (default: 127.0.0.1)" },
    { "Server", 0, "port", "N", OPT_INT, AT(port), "(default: 8080)" },
    { "Server", 0, "api-key", "KEY", OPT_STR, AT(key), "(default: none)" },
    { "Server", 0, "model", "NAME", OPT_STR, AT(model), "name in the requests (default: the server's)" },
    { "Load", 0, "streams", "LIST", OPT_STR, AT(streams), "requests at once, a line of the table each (default: 1,8,32,128)" },
    { "Load", 0, "requests", "N", OPT_INT, AT(requests), "of each line (default: 200)" },
    { "Load", 0, "seconds", "X", OPT_F64, AT(seconds), "and no longer than this (default: 60)" },
    { "Load", 0, "tools", "FILE", OPT_STR, AT(tools), "tools of every request, which must then be called (default: none, free text)" },
    { "Load", 0, "max-tokens", "N", OPT_INT, AT(max_tokens), "of an answer (default: 32)" },
    { "Load", 0, "prompt-words", "N", OPT_INT, AT(prompt_words), "further words in every prompt (default: 0)" },
    { "Load", 0, "mixed", NULL, OPT_FLAG, AT(mixed), "answers of 1 to max-tokens tokens (default: all of max-tokens)" },
    { "Load", 0, "leave", "SHARE", OPT_F64, AT(leave), "share of clients that hang up early (default: 0)" },
    { "Output", 0, "json", NULL, OPT_FLAG, AT(json), "a JSON object a line (default: a table)" },
};

/* ---- samples ------------------------------------------------------------------------------------------ */

struct samples { float *v; size_t n; uint64_t seen; double most; };

/* All of them up to a bound, then a fair choice. */
static void put(struct samples *s, double ms)
{
    if (!s->v) s->v = mem_alloc(SAMPLES_MOST * sizeof *s->v);
    struct rng r = rng_make(7, 0, s->seen);
    uint64_t at = s->n < SAMPLES_MOST ? s->n++ : rng_u64(&r) % (s->seen + 1);
    if (at < SAMPLES_MOST) s->v[at] = (float)ms;
    s->seen++;
    s->most = MAX(s->most, ms);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double at(struct samples *s, double share)
{
    return s->n ? (double)s->v[MIN((size_t)(share * (double)s->n), s->n - 1)] : 0;
}

/* ---- streams -------------------------------------------------------------------------------------------- */

struct stream {
    int fd;
    bool busy, head_done, chunked, ok, leaves;
    struct str out; size_t sent;                                      /* the request */
    struct str in;
    size_t at; /* what came; framing read up to at */
    size_t chunk_left; int64_t length;
    struct str text; /* of the body, up to the last event border */
    uint64_t start_ns, last_ns;
    int n_event;
};
struct load {
    const struct load_opts *o;
    struct addrinfo *addr;
    struct str tools;
    struct stream *s; int n;
    int64_t begun, done, failed, left, tokens, prompt, cached, refused;
    struct samples ttft, gap, total;
    uint64_t start_ns;
    char why[200];
};

static void hang_up(struct stream *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static bool dial(struct load *l, struct stream *s)
{
    int one = 1;
    s->fd = socket(l->addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0) return false;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return connect(s->fd, l->addr->ai_addr, l->addr->ai_addrlen) == 0 || errno == EINPROGRESS;
}

static void body_of(const struct load *l, int64_t i, struct str *out)
{
    const struct load_opts *o = l->o;
    struct rng r = rng_make(1, 1, (uint64_t)i);
    int64_t max = o->mixed ? 1 + rng_below(&r, (uint32_t)o->max_tokens) : o->max_tokens;
    str_puts(out, "{\"stream\":true,\"stream_options\":{\"include_usage\":true},");
    if (o->model) {
        str_puts(out, "\"model\":");
        json_write_str(out, o->model, strlen(o->model));
        str_putc(out, ',');
    }
    if (l->tools.len)
        str_fmt(out, "\"tools\":%s,%s", l->tools.p,
                o->mixed ? "" : "\"tool_choice\":\"required\",");
    else str_puts(out, "\"ignore_eos\":true,");
    if (!l->tools.len || o->mixed) str_fmt(out, "\"max_tokens\":%lld,", (long long)max);
    str_puts(out, "\"messages\":[{\"role\":\"user\",\"content\":\"dim the kitchen");
    for (int64_t w = 0; w < o->prompt_words; w++) str_fmt(out, " lamp%u", rng_below(&r, 100));
    str_fmt(out, " to %lld\"}]}", (long long)i % 100);
}

static void ask(struct load *l, struct stream *s)
{
    struct str body = { 0 };
    struct rng r = rng_make(2, 2, (uint64_t)l->begun);
    body_of(l, l->begun++, &body);
    str_clear(&s->out);
    str_fmt(&s->out, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                     "application/json\r\n");
    if (l->o->key) str_fmt(&s->out, "Authorization: Bearer %s\r\n", l->o->key);
    str_fmt(&s->out, "Content-Length: %zu\r\n\r\n", body.len);
    str_put(&s->out, body.p, body.len);
    str_done(&body);
    str_clear(&s->in);
    str_clear(&s->text);
    s->sent = s->at = s->chunk_left = 0;
    s->head_done = s->chunked = s->ok = false;
    s->length = -1;
    s->n_event = 0;
    s->busy = true;
    s->leaves = rng_unit(&r) < l->o->leave;
    s->start_ns = s->last_ns = clock_ns();
    if (s->fd < 0 && !dial(l, s)) {
        s->busy = false;
        l->failed++;
    }
}

/* ---- what comes back --------------------------------------------------------------------------------------- */

static int64_t number_after(const char *text, const char *key)
{
    const char *p = strstr(text, key);
    return p ? strtoll(p + strlen(key), NULL, 10) : 0;
}

static void on_event(struct load *l, struct stream *s, const char *event)
{
    uint64_t now = clock_ns();
    if (strncmp(event, "data: {", 7)) return;                         /* a comment, the end */
    if (strstr(event, "\"error\":{")) s->ok = false;
    if (strstr(event, "\"choices\":[]")) {
        l->tokens += number_after(event, "\"completion_tokens\":");
        l->prompt += number_after(event, "\"prompt_tokens\":");
        l->cached += number_after(event, "\"cached_tokens\":");
        return;
    }
    if (strstr(event, "\"role\":") || strstr(event, "\"delta\":{}")) return;
    put(s->n_event++ ? &l->gap : &l->ttft, (double)(now - s->last_ns) * 1e-6);
    s->last_ns = now;
}

static void on_text(struct load *l, struct stream *s, const char *p, size_t n)
{
    str_put(&s->text, p, n);
    char *end;
    while (s->text.len && (end = memmem(s->text.p, s->text.len, "\n\n", 2))) {
        *end = 0;
        on_event(l, s, s->text.p);
        size_t used = (size_t)(end - s->text.p) + 2;
        memmove(s->text.p, s->text.p + used, s->text.len - used + 1);
        s->text.len -= used;
    }
}

static void over(struct load *l, struct stream *s, bool keep)
{
    s->busy = false;
    if (s->ok) {
        l->done++;
        put(&l->total, (double)(clock_ns() - s->start_ns) * 1e-6);
    } else l->failed++;
    if (!keep) hang_up(s);
}

static bool read_head(struct load *l, struct stream *s)
{
    char *end = s->in.len ? memmem(s->in.p, s->in.len, "\r\n\r\n", 4) : NULL;
    if (!end) return false;
    *end = 0;
    int status = (int)strtol(s->in.p + strcspn(s->in.p, " "), NULL, 10);
    s->ok = status == 200;
    s->chunked = strcasestr(s->in.p, "transfer-encoding: chunked") != NULL;
    const char *length = strcasestr(s->in.p, "content-length:");
    s->length = length ? strtoll(length + 15, NULL, 10) : -1;
    if (status == 429 || status == 503) l->refused++;
    else if (!s->ok) snprintf(l->why, sizeof l->why, "%.150s", end + 4);
    s->at = (size_t)(end - s->in.p) + 4;
    return s->head_done = true;
}

/* Chunks that are whole or begun. True: the answer is over. */
static bool read_chunks(struct load *l, struct stream *s)
{
    while (s->at < s->in.len) {
        if (s->chunk_left > 2) {
            size_t n = MIN(s->chunk_left - 2, s->in.len - s->at);
            on_text(l, s, s->in.p + s->at, n);
            s->at += n;
            s->chunk_left -= n;
            continue;
        }
        if (s->chunk_left) {
            size_t n = MIN(s->chunk_left, s->in.len - s->at);
            s->at += n;
            s->chunk_left -= n;
            continue;
        }
        char *end = memmem(s->in.p + s->at, s->in.len - s->at, "\r\n", 2);
        if (!end) break;
        size_t size = strtoul(s->in.p + s->at, NULL, 16);
        if (!size) return s->in.len - (size_t)(end - s->in.p) >= 4;
        s->at = (size_t)(end - s->in.p) + 2;
        s->chunk_left = size + 2;
    }
    if (s->at == s->in.len) s->in.len = s->at = 0;
    return false;
}

static void receive(struct load *l, struct stream *s)
{
    char buf[65536];
    ssize_t n = recv(s->fd, buf, sizeof buf, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        s->ok = false;
        over(l, s, false);
        return;
    }
    str_put(&s->in, buf, (size_t)n);
    if (!s->head_done && !read_head(l, s)) return;
    if (s->leaves && s->n_event >= 1) {
        s->busy = false;
        l->left++;
        hang_up(s);
    } else if (s->chunked ? read_chunks(l, s) : (int64_t)(s->in.len - s->at) >= s->length)
        over(l, s, true);
}

static void transmit(struct load *l, struct stream *s)
{
    ssize_t n = send(s->fd, s->out.p + s->sent, s->out.len - s->sent, MSG_NOSIGNAL);
    if (n > 0) s->sent += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR) {
        snprintf(l->why, sizeof l->why, "%s", strerror(errno));
        s->ok = false;
        over(l, s, false);
    }
}

/* ---- one line of the table ---------------------------------------------------------------------------------- */

static bool more(const struct load *l)
{
    return l->begun < l->o->requests && (double)(clock_ns() - l->start_ns) * 1e-9 < l->o->seconds &&
           (l->failed < 100 || l->done);
}

static void run_load(struct load *l)
{
    struct pollfd *p = mem_zero((size_t)l->n * sizeof *p);
    l->start_ns = clock_ns();
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < l->n; i++) {
            struct stream *s = &l->s[i];
            if (!s->busy && more(l)) ask(l, s);
            p[i] = (struct pollfd){ .fd = s->busy ? s->fd : -1,
                                    .events = (short)(s->sent < s->out.len ? POLLOUT : POLLIN) };
            any |= s->busy;
        }
        if (!any || poll(p, (nfds_t)l->n, 1000) < 0) continue;
        for (int i = 0; i < l->n; i++) {
            struct stream *s = &l->s[i];
            if (!p[i].revents || !s->busy) continue;
            if (s->sent < s->out.len) transmit(l, s);
            else receive(l, s);
        }
    }
    mem_free(p);
}

static struct json *spread(struct samples *s)
{
    struct json *o = json_new_object();
    if (s->n) qsort(s->v, s->n, sizeof *s->v, by_value);
    json_set(o, "p50", json_new_f64(at(s, .5)));
    json_set(o, "p90", json_new_f64(at(s, .9)));
    json_set(o, "p99", json_new_f64(at(s, .99)));
    json_set(o, "most", json_new_f64(s->most));
    return o;
}

static void report(struct load *l)
{
    double s = (double)(clock_ns() - l->start_ns) * 1e-9;
    struct json *ttft = spread(&l->ttft), *gap = spread(&l->gap), *total = spread(&l->total);
    if (l->o->json) {
        struct json *o = json_new_object();
        struct str line = { 0 };
        json_set(o, "streams", json_new_int(l->n));
        json_set(o, "done", json_new_int(l->done));
        json_set(o, "failed", json_new_int(l->failed));
        json_set(o, "refused", json_new_int(l->refused));
        json_set(o, "left", json_new_int(l->left));
        json_set(o, "seconds", json_new_f64(s));
        json_set(o, "tokens_per_s", json_new_f64((double)l->tokens / s));
        json_set(o, "requests_per_s", json_new_f64((double)l->done / s));
        json_set(o, "prompt_tokens", json_new_int(l->prompt));
        json_set(o, "cached_tokens", json_new_int(l->cached));
        json_set(o, "ttft_ms", ttft);
        json_set(o, "gap_ms", gap);
        json_set(o, "latency_ms", total);
        json_write(&line, o, JSON_COMPACT);
        puts(line.p);
        str_done(&line);
        json_free(o);
        return;
    }
    printf("%7d %8lld %6lld %9.1f %9.1f   %8.1f %8.1f   %7.2f %7.2f %7.1f   %8.1f %8.1f\n", l->n,
           (long long)l->done, (long long)l->failed, (double)l->tokens / s, (double)l->done / s,
           at(&l->ttft, .5), at(&l->ttft, .99), at(&l->gap, .5), at(&l->gap, .99), l->gap.most,
           at(&l->total, .5), at(&l->total, .99));
    json_free(ttft);
    json_free(gap);
    json_free(total);
}

static bool one_level(const struct load_opts *o, struct addrinfo *addr, const struct str *tools,
                      int n, struct err *e)
{
    struct load l = {
        .o = o, .addr = addr, .tools = *tools, .n = n, .s = mem_zero((size_t)n * sizeof *l.s)
    };
    for (int i = 0; i < n; i++) l.s[i].fd = -1;
    run_load(&l);
    bool ok = l.done || l.left;
    if (ok) report(&l);
    else
        err_set(e, ERR_IO, "no request of %lld was answered: %s", (long long)l.begun,
                *l.why ? l.why : "the server is busy or not there");
    for (int i = 0; i < n; i++) {
        hang_up(&l.s[i]);
        str_done(&l.s[i].out);
        str_done(&l.s[i].in);
        str_done(&l.s[i].text);
    }
    mem_free(l.s);
    mem_free(l.ttft.v);
    mem_free(l.gap.v);
    mem_free(l.total.v);
    return ok;
}

static bool read_tools(const char *path, struct str *out, struct err *e)
{
    struct err why = { 0 };
    struct json *v = path ? json_read(path, &why) : NULL, *tools = NULL;
    if (!path) return true;
    if (!v) return err_set(e, ERR_ARG, "%s", why.msg);
    const struct json *list = json_is(v, JSON_ARRAY) ? v : json_get(v, "tools");
    bool ok = json_is(list, JSON_ARRAY) && json_len(list);
    tools = json_new_array();
    for (size_t i = 0; ok && i < json_len(list); i++) {
        struct json *t = json_copy(json_at(list, i));
        if (!json_get(t, "function")) {                               /* bare */
            struct json *wrapped = json_new_object();
            json_set(wrapped, "type", json_new_str("function"));
            json_set(wrapped, "function", t);
            t = wrapped;
        }
        json_push(tools, t);
    }
    json_write(out, tools, JSON_COMPACT);
    json_free(tools);
    json_free(v);
    return ok || err_set(e, ERR_ARG, "%s: an array of tools is needed", path);
}

static bool check(const struct load_opts *o, struct err *e)
{
    if (o->port < 1 || o->port > 65535)
        return err_set(e, ERR_USAGE, "--port: 1 to 65535 is accepted");
    if (o->requests < 1 || o->max_tokens < 1 || o->max_tokens > 1000000)
        return err_set(e, ERR_USAGE, "--requests and --max-tokens: at least 1");
    if (!(o->leave >= 0 && o->leave <= 1))
        return err_set(e, ERR_USAGE, "--leave: a share from 0 to 1 is accepted");
    return true;
}

static bool run_all(const struct load_opts *o, struct err *e)
{
    struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *addr = NULL;
    struct str tools = { 0 };
    char service[16];
    snprintf(service, sizeof service, "%lld", (long long)o->port);
    if (!check(o, e)) return false;
    int rc = getaddrinfo(o->host, service, &want, &addr);
    if (rc) return err_set(e, ERR_ARG, "--host %.100s: %s", o->host, gai_strerror(rc));
    bool ok = read_tools(o->tools, &tools, e);
    if (ok && !o->json)
        printf("streams     done failed  tokens/s    req/s   ttft p50      p99   gap p50     p99   "
               " most   total p50      p99   (times in ms)\n");
    for (const char *p = o->streams; ok && *p;) {
        char *end;
        long n = strtol(p, &end, 10);
        ok = end != p && n >= 1 && n <= STREAMS_MOST && (!*end || *end == ',');
        if (!ok)
            err_set(e, ERR_USAGE, "--streams: numbers from 1 to %d with commas are accepted",
                    STREAMS_MOST);
        ok = ok && one_level(o, addr, &tools, (int)n, e);
        p = *end ? end + 1 : end;
        fflush(stdout);
    }
    freeaddrinfo(addr);
    str_done(&tools);
    return ok;
}

static int run(const void *opts, int n_arg, char **arg)
{
    struct err e = { 0 };
    return run_all(opts, &e) ? 0 : front_fail("bench serve", &e);
}

const struct command cmd_bench_serve = {
    .verb = "bench serve",
    .args = "",
    .sentence = "Load a running server: latency and tokens a second at 1, 8, 32 and 128 streams.",
    .example = "tenon bench serve --port 8080 --streams 1,8 --requests 100",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
