/* client.c -- HTTP requests through libcurl: time-outs, a size limit, and patience with busy servers.
 *
 * A try ends with a reply or with a reason why there is none. 429, 500, 502, 503, 504 and a refused or
 * reset connection are tried again after a pause that doubles and is jittered, so that many askers do not
 * come back together; the server's Retry-After counts if it is longer. Once a piece of a good reply
 * has been handed on nothing is tried again: the receiver cannot take it back.
 *
 * Only http and https; redirects are not followed (a key must not travel to another host); headers with
 * line ends are refused. Threads: a client belongs to one at a time. */
#include "client/client.h"

#include <strings.h>

#ifdef TENON_CURL

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef CURL_FILE
#include "base/late.h"

#define CURL_CALLS(X)                                                                                                  \
    X(curl_global_init) X(curl_easy_init) X(curl_easy_cleanup) X(curl_easy_reset) X(curl_easy_setopt)                  \
    X(curl_easy_getinfo) X(curl_easy_perform) X(curl_easy_strerror) X(curl_slist_append) X(curl_slist_free_all)
LATE(curl, CURL_FILE, CURL_CALLS)
#undef curl_easy_setopt                                               /* a macro that checks types */
#undef curl_easy_getinfo
#define curl_global_init late_curl.curl_global_init
#define curl_easy_init late_curl.curl_easy_init
#define curl_easy_cleanup late_curl.curl_easy_cleanup
#define curl_easy_reset late_curl.curl_easy_reset
#define curl_easy_setopt late_curl.curl_easy_setopt
#define curl_easy_getinfo late_curl.curl_easy_getinfo
#define curl_easy_perform late_curl.curl_easy_perform
#define curl_easy_strerror late_curl.curl_easy_strerror
#define curl_slist_append late_curl.curl_slist_append
#define curl_slist_free_all late_curl.curl_slist_free_all
#else
static bool late_curl_load(struct err *e) { return true; }
#endif

#define RETRY_AFTER_MOST 60                                           /* seconds */
#define BACKOFF_MOST 16000                                            /* ms */

struct client { CURL *curl; struct client_opts o; uint64_t draws; };

/* One try. */
struct transfer {
    const struct client_request *q;
    struct client_reply *out;
    CURL *curl;
    size_t most, got;
    long retry_after;
    bool too_large, enough, handed_on, refused, stopped;
    const struct client_opts *o;
};

bool client_available(void) { return true; }

static void init_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

struct client *client_open(const struct client_opts *o, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!late_curl_load(e)) return NULL;
    pthread_once(&once, init_curl);
    struct client *c = mem_zero(sizeof *c);
    c->o = *o;
    if (!c->o.connect_ms) c->o.connect_ms = 10000;
    if (!c->o.idle_ms) c->o.idle_ms = 120000;
    if (!c->o.total_ms) c->o.total_ms = 600000;
    if (!c->o.most_bytes) c->o.most_bytes = (size_t)64 << 20;
    if (!c->o.backoff_ms) c->o.backoff_ms = 500;
    c->curl = curl_easy_init();
    if (c->curl) return c;
    mem_free(c);
    err_set(e, ERR_NOMEM, "libcurl cannot be started");
    return NULL;
}

void client_close(struct client *c)
{
    if (!c) return;
    curl_easy_cleanup(c->curl);
    mem_free(c);
}

/* ---- what comes in ------------------------------------------------------------------------------- */

/* Without blanks around it; one that is too long to keep is none. */
static void keep_value(char *to, size_t most, const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t')) p++, n--;
    while (n && strchr(" \t\r\n", p[n - 1])) n--;
    snprintf(to, most, "%.*s", n < most ? (int)n : 0, p);
}

/* The rest of a header line behind its name; NULL: it is another one. */
static const char *value_of(const char *line, size_t len, const char *name)
{
    size_t k = strlen(name);
    return len > k && line[k] == ':' && !strncasecmp(line, name, k) ? line + k + 1 : NULL;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    static const char name[] = "retry-after:";
    struct transfer *t = ctx;
    size_t len = size * n;
    if (len > sizeof name && !strncasecmp(p, name, sizeof name - 1)) {
        char text[32] = { 0 };
        memcpy(text, p + sizeof name - 1, MIN(len - (sizeof name - 1), sizeof text - 1));
        t->retry_after = strtol(text, NULL, 10);                      /* a date gives 0: our own pause */
    }
    const char *kept = t->q->keep ? value_of(p, len, t->q->keep) : NULL, *who = value_of(p, len, "WWW-Authenticate");
    if (kept) keep_value(t->out->kept, sizeof t->out->kept, kept, (size_t)(p + len - kept));
    if (who && strncasecmp(t->out->challenge, "bearer", 6)) keep_value(t->out->challenge, sizeof t->out->challenge, who, (size_t)(p + len - who));
    return len;
}

static void put_headers(struct transfer *t)
{
    char *type = NULL, *location = NULL;
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &location);     /* made absolute */
    t->out->status = (int)status;
    snprintf(t->out->type, sizeof t->out->type, "%s", type ? type : "");
    snprintf(t->out->location, sizeof t->out->location, "%s", location ? location : "");
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    size_t len = size * n;
    if (!t->got) put_headers(t);
    int status = t->out->status;
    t->got += len;
    if (t->got > t->most) {
        t->too_large = true;
        return 0;
    }
    if (!t->q->body_fn || status < 200 || status > 299) {
        str_put(&t->out->body, p, len);
        return len;
    }
    t->handed_on = true;
    if (t->q->body_fn(t->q->ctx, p, len)) return len;
    t->enough = true;
    return 0;
}

/* ---- where it goes to ----------------------------------------------------------------------------- */

static bool in_net(uint32_t a, uint32_t net, int bits) { return (a ^ net) >> (32 - bits) == 0; }

/* RFC 6890 and its kin: what no stranger's address may be. */
static bool is_private4(uint32_t a)
{
    static const struct { uint32_t net; int bits; } nets[] = {
        { 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },  { 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0000000, 24 },
        { 0xc0000200, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 } };
    for (size_t i = 0; i < LEN(nets); i++)
        if (in_net(a, nets[i].net, nets[i].bits)) return true;
    return false;
}

/* Only 2000::/3 is the open internet; in it 6to4, Teredo and documentation hold or hide other addresses. */
static bool is_private6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    if (!memcmp(a, mapped, 12)) return is_private4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15]);
    if (a[0] >> 5 != 1) return true;
    return (a[0] == 0x20 && a[1] == 2) || (a[0] == 0x20 && a[1] == 1 && (a[2] < 2 || (a[2] == 0x0d && a[3] == 0xb8)));
}

/* Called with the address that is connected to, after all names are resolved: nothing can change between. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = ctx;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    bool is_private = true;
    if (a->family == AF_INET) memcpy(&in4, &a->addr, sizeof in4), is_private = is_private4(ntohl(in4.sin_addr.s_addr));
    if (a->family == AF_INET6) memcpy(&in6, &a->addr, sizeof in6), is_private = is_private6(in6.sin6_addr.s6_addr);
    if (is_private) return t->refused = true, CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *t = ctx;
    t->stopped = t->stopped || t->o->stop(t->o->stop_ctx);
    return t->stopped;
}

/* ---- what goes out --------------------------------------------------------------------------------- */

static bool is_clean(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F) return false;
    return true;
}

static bool make_headers(const struct client_request *q, struct curl_slist **list, struct err *e)
{
    *list = curl_slist_append(NULL, "Expect:");                       /* no waiting for 100 Continue */
    for (int i = 0; i < q->n_header; i++) {
        struct str s = { 0 };
        if (!is_clean(q->header[i].name) || !is_clean(q->header[i].value))
            return err_set(e, ERR_ARG,
                           "header %.40s: holds a line end or another control character",
                           q->header[i].name);
        if (*q->header[i].value) str_fmt(&s, "%s: %s", q->header[i].name, q->header[i].value);
        else str_fmt(&s, "%s;", q->header[i].name);                   /* libcurl's way to send one without a value */
        *list = curl_slist_append(*list, s.p);
        str_done(&s);
    }
    return true;
}

static void set_up(struct client *c, struct transfer *t, struct curl_slist *headers, char *why)
{
    CURL *h = c->curl;
    const struct client_request *q = t->q;
    curl_easy_reset(h);                                               /* the connection stays */
    curl_easy_setopt(h, CURLOPT_URL, q->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(h, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "tenon/" TENON_VERSION);
    if (q->body.p) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->body.p);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.len);
    }
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)c->o.connect_ms);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)c->o.total_ms);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, MAX(1L, (long)c->o.idle_ms / 1000));
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    if (!strcmp(q->method, "HEAD")) curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    if (c->o.public_only) {
        curl_easy_setopt(h, CURLOPT_PROXY, "");
        curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, t);
        curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
    }
    if (c->o.stop) {
        curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(h, CURLOPT_XFERINFODATA, t);
    }
}

static bool failed(const struct client *c, const struct transfer *t, CURLcode rc, const char *why,
                   struct err *e)
{
    const char *text = why[0] ? why : curl_easy_strerror(rc);
    if (t->stopped) return err_set(e, ERR_CANCEL, "cancelled");
    if (t->refused) return err_set(e, ERR_ARG, "%.200s: its address is not one of the open internet, and only those are allowed", t->q->url);
    if (t->enough) return err_set(e, ERR_CANCEL, "the reply was left");
    if (t->too_large)
        return err_set(e, ERR_LIMIT, "%.200s: a reply of more than %zu bytes", t->q->url,
                       c->o.most_bytes);
    bool address = rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT;
    return err_set(e, address ? ERR_ARG : ERR_IO, "%.200s: %.200s", t->q->url, text);
}

/* ---- tries ------------------------------------------------------------------------------------------- */

static bool is_busy(int status)
{
    return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static bool is_broken(CURLcode rc)
{
    return rc == CURLE_COULDNT_CONNECT || rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR ||
           rc == CURLE_SEND_ERROR || rc == CURLE_PARTIAL_FILE || rc == CURLE_COULDNT_RESOLVE_HOST;
}

static void pause_before(struct client *c, int again, long retry_after)
{
    struct rng r = rng_make(clock_ns(), 7, c->draws++);
    double ms = (double)c->o.backoff_ms;
    for (int i = 1; i < again && ms < BACKOFF_MOST; i++) ms *= 2;
    ms = MIN(ms, (double)BACKOFF_MOST) * (0.75 + 0.5 * rng_unit(&r));
    ms = MAX(ms, 1000.0 * (double)MAX(0L, MIN(retry_after, (long)RETRY_AFTER_MOST)));
    struct timespec t = { (time_t)(ms / 1000),
                          (long)((ms - 1000.0 * (double)(long)(ms / 1000)) * 1e6) };
    nanosleep(&t, NULL);
}

bool client_send(struct client *c, const struct client_request *q, struct client_reply *out,
                 struct err *e)
{
    struct curl_slist *headers = NULL;
    bool ok = make_headers(q, &headers, e), again = ok;
    *out = (struct client_reply){ 0 };
    while (again) {
        struct transfer t = { .q = q, .out = out, .curl = c->curl, .most = c->o.most_bytes, .o = &c->o };
        char why[CURL_ERROR_SIZE] = { 0 };
        str_clear(&out->body);
        out->kept[0] = out->challenge[0] = 0;
        set_up(c, &t, headers, why);
        CURLcode rc = curl_easy_perform(c->curl);
        put_headers(&t);
        out->tries++;
        ok = rc == CURLE_OK || failed(c, &t, rc, why, e);
        again = !t.handed_on && !t.too_large && out->tries < c->o.tries &&
                (ok ? is_busy(out->status) : is_broken(rc) && !t.refused && !t.stopped);
        if (again) pause_before(c, out->tries, t.retry_after);
    }
    curl_slist_free_all(headers);
    if (!ok) client_reply_done(out);
    return ok;
}

#else

bool client_available(void) { return false; }

struct client *client_open(const struct client_opts *o, struct err *e)
{
    err_set(e, ERR_UNSUPPORTED, "this build has no HTTP client (it was made without libcurl)");
    return NULL;
}

void client_close(struct client *c) { }

bool client_send(struct client *c, const struct client_request *q, struct client_reply *out,
                 struct err *e)
{
    *out = (struct client_reply){ 0 };
    return err_set(e, ERR_UNSUPPORTED,
                   "this build has no HTTP client (it was made without libcurl)");
}

#endif

void client_reply_done(struct client_reply *r)
{
    str_done(&r->body);
    *r = (struct client_reply){ 0 };
}

size_t client_origin_len(const char *url)
{
    const char *host = strstr(url, "://");
    return host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0;
}

bool client_same_origin(const char *a, const char *b)
{
    size_t n = client_origin_len(a);
    return n && n == client_origin_len(b) && !strncasecmp(a, b, n);
}
