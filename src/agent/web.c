/* web.c -- tools that are HTTP requests.
 *
 * Parameters go into the path and the query, each percent-encoded for its place, never into scheme or host; what is
 * left may be the body. Only https, unless the tool says "insecure". The address that is connected to must be one of
 * the open internet (client/ judges the very address, after names are resolved), unless it says "allow_private";
 * so at each of at most three redirects, which keep the scheme and take no headers to another host.
 * Text and JSON up to 1 MiB come back, `select` picks a part; anything else is a note. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/int.h"
#include "client/client.h"

#define TIMEOUT_MS 15000
#define REPLY_MOST ((size_t)1 << 20)
#define REDIRECTS_MOST 3
#define ERROR_BODY 1024

struct web { char *method, *url, *body, *select; struct words header; bool allow_private, insecure; };

static void web_free(struct web *w)
{
    mem_free(w->method), mem_free(w->url), mem_free(w->body), mem_free(w->select);
    words_done(&w->header);
    mem_free(w);
}

static void web_close(struct tool *t) { web_free(t->ctx); }

/* ---- the address ---- */

static void put_encoded(struct str *out, const struct json *v)
{
    struct str text = { 0 };
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (s) str_put(&text, s, n);
    else json_write(&text, v, JSON_COMPACT);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (isalnum(c) || strchr("-_.~", c)) str_putc(out, (char)c);
        else str_fmt(out, "%%%02X", c);
    }
    str_done(&text);
}

/* A segment that is only dots would be resolved away, one level up. */
static bool is_dots(const struct json *v)
{
    return json_str_is(v, ".") || json_str_is(v, "..");
}

static bool put_part(struct str *out, const char *p, size_t n, const struct json *args, bool *absent, struct tool_result *why)
{
    for (const char *end = p + n; p < end;) {
        size_t k = slot_len(p);
        const struct json *v = k ? slot_value(args, p, k) : NULL;
        if (!k) str_putc(out, *p++);
        else if (!v || json_is(v, JSON_NULL)) return *absent = true;
        else if (is_dots(v)) return tool_fail(why, "'%s' cannot be a part of an address.", json_str(v, NULL)), false;
        else put_encoded(out, v), p += k;
    }
    return true;
}

/* Pairs of the query that name an absent parameter are left out. */
static bool put_query(struct str *out, const char *q, const struct json *args, struct tool_result *why)
{
    char before = '?';
    while (*q) {
        size_t n = strcspn(q, "&");
        struct str pair = { 0 };
        bool absent = false, ok = put_part(&pair, q, n, args, &absent, why);
        if (ok && !absent) str_fmt(out, "%c%s", before, pair.p ? pair.p : ""), before = '&';
        str_done(&pair);
        if (!ok) return false;
        q += n + (q[n] == '&');
    }
    return true;
}

static bool make_url(const struct web *w, const struct json *args, struct str *out, struct tool_result *why)
{
    const char *query = strchr(w->url, '?');
    bool absent = false;
    if (!put_part(out, w->url, query ? (size_t)(query - w->url) : strlen(w->url), args, &absent, why)) return false;
    if (absent) return tool_fail(why, "A parameter that the address needs is missing."), false;
    return !query || put_query(out, query + 1, args, why);
}

/* ---- the body ---- */

static bool in_url(const struct web *w, const char *key)
{
    struct str slot = { 0 };
    str_fmt(&slot, "{%s}", key);
    bool found = strstr(w->url, slot.p);
    str_done(&slot);
    return found;
}

static void make_body(const struct web *w, const struct json *args, struct str *out)
{
    if (!w->body) return;
    if (strcmp(w->body, "json")) {
        const struct json *v = slot_value(args, w->body, strlen(w->body));
        size_t n = 0;
        const char *s = json_str(v, &n);
        if (s) str_put(out, s, n);
        else if (v) json_write(out, v, JSON_COMPACT);
        return;
    }
    struct json *rest = json_new_object();
    for (struct json_iter it = json_iter(args); json_next(&it);)
        if (!in_url(w, it.key)) json_set(rest, it.key, json_copy(it.value));
    json_write(out, rest, JSON_COMPACT);
    json_free(rest);
}

/* ---- the reply ---- */

static bool is_text(const char *type)
{
    return !*type || !strncasecmp(type, "text/", 5) || strcasestr(type, "json") || strcasestr(type, "xml");
}

/* RFC 6901. */
static const struct json *pointer(const struct json *v, const char *p)
{
    while (v && *p == '/') {
        struct str key = { 0 };
        for (p++; *p && *p != '/'; p++) {
            bool escape = *p == '~' && (p[1] == '0' || p[1] == '1');
            str_putc(&key, escape ? (p[1] == '1' ? '/' : '~') : *p);
            p += escape;
        }
        if (json_is(v, JSON_ARRAY)) v = key.len && key.len < 10 && strspn(key.p, "0123456789") == key.len ? json_at(v, (size_t)atol(key.p)) : NULL;
        else v = json_get(v, key.p ? key.p : "");
        str_done(&key);
    }
    return v;
}

static void pick(const struct web *w, const struct client_reply *r, struct tool_result *out)
{
    struct json *v = json_parse(r->body.p ? r->body.p : "", r->body.len, NULL);
    const struct json *part = v && w->select ? pointer(v, w->select) : v;
    size_t n = 0;
    const char *s = json_str(part, &n);
    if (v && w->select && !part) tool_fail(out, "The reply has no %s: %.500s", w->select, r->body.p);
    else if (s && w->select) str_put(&out->text, s, n);
    else if (part) json_write(&out->text, part, JSON_COMPACT), out->is_json = true;
    else str_put(&out->text, r->body.p ? r->body.p : "", r->body.len);
    json_free(v);
}

static void report(const struct web *w, const struct client_reply *r, struct tool_result *out)
{
    bool good = r->status >= 200 && r->status <= 299;
    out->transient = r->status == 429 || r->status >= 500;
    if (!good) tool_fail(out, "The server answered with status %d.%s%.*s", r->status, r->body.len && is_text(r->type) ? "\n" : "",
                         is_text(r->type) ? (int)MIN(r->body.len, (size_t)ERROR_BODY) : 0, r->body.p ? r->body.p : "");
    else if (!is_text(r->type)) str_fmt(&out->text, "[%s, %zu bytes, not shown]", r->type, r->body.len);
    else pick(w, r, out);
    if (good && !out->text.len) str_fmt(&out->text, "(no output, status %d)", r->status);
}

/* ---- the request ---- */

static bool stopped(void *cancel) { return cancel_is_on(cancel); }

static bool same_scheme(const char *a, const char *b)
{
    size_t n = strcspn(a, ":");
    return n == strcspn(b, ":") && !strncasecmp(a, b, n);
}

static bool follows(const struct web *w, const struct client_reply *r)
{
    bool is_redirect = r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 || r->status == 308;
    return is_redirect && *r->location && (!strcmp(w->method, "GET") || !strcmp(w->method, "HEAD"));
}

static void send_to(struct client *c, const struct web *w, struct str *url, struct bytes body, struct tool_result *out)
{
    struct client_header header[64];
    int n = 0, n_header = 0;
    for (; n_header < MIN(w->header.n / 2, 62); n_header++) header[n_header] = (struct client_header){ w->header.p[2 * n_header], w->header.p[2 * n_header + 1] };
    if (body.p) header[n_header++] = (struct client_header){ "Content-Type", "application/json" };
    struct client_request q = { .method = w->method, .header = header, .n_header = n_header, .body = body };
    for (;; n++) {
        struct client_reply r;
        struct err e = { 0 };
        q.url = url->p;
        if (!client_send(c, &q, &r, &e)) {
            tool_fail(out, e.code == ERR_CANCEL ? "cancelled by the user" : "%s.", e.msg);
            out->transient = e.code == ERR_IO;
            return;
        }
        bool again = follows(w, &r), allowed = again && n < REDIRECTS_MOST && same_scheme(url->p, r.location);
        if (again && !allowed) tool_fail(out, "The server sends us elsewhere (%.200s), which is not followed.", r.location);
        else if (!again) report(w, &r, out);
        else {
            if (!client_same_origin(url->p, r.location)) q.n_header = 0;     /* no credentials to another host */
            str_clear(url);
            str_puts(url, r.location);
        }
        client_reply_done(&r);
        if (!allowed) return;
    }
}

static void web_invoke(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    const struct web *w = t->ctx;
    struct str url = { 0 }, body = { 0 };
    struct err e = { 0 };
    struct client_opts o = { .connect_ms = c->timeout_ms, .total_ms = c->timeout_ms, .idle_ms = c->timeout_ms, .most_bytes = REPLY_MOST, .tries = 1,
                             .public_only = !w->allow_private, .stop = stopped, .stop_ctx = c->cancel };
    struct client *client = client_open(&o, &e);
    if (!client) tool_fail(out, "%s.", e.msg);
    else if (make_url(w, c->args, &url, out)) {
        make_body(w, c->args, &body);
        send_to(client, w, &url, (struct bytes){ body.p, body.len }, out);
    }
    client_close(client);
    str_done(&url);
    str_done(&body);
}

static void web_preview(struct tool *t, const struct json *args, struct str *out)
{
    const struct web *w = t->ctx;
    struct str url = { 0 }, body = { 0 };
    struct tool_result why = { 0 };
    if (make_url(w, args, &url, &why)) str_fmt(out, "%s %s", w->method, url.p);
    make_body(w, args, &body);
    if (body.len) str_fmt(out, "\n%s", body.p);
    tool_result_done(&why);
    str_done(&url);
    str_done(&body);
}

/* ---- reading the configuration ---- */

static bool read_text(struct toolset *ts, const struct json *v, const char *key, char **out, const char *dir, struct err *e)
{
    const struct json *m = json_get(v, key);
    if (!m || json_is(m, JSON_NULL)) return true;
    if (!json_is(m, JSON_STRING)) return err_set(e, ERR_ARG, "%s: must be a string", key);
    return (*out = toolset_expand(ts, json_str(m, NULL), dir, e)) || err_in(e, "%s", key);
}

static bool slots_fit(const struct web *w, const struct json *par, struct err *e)
{
    const struct json *props = json_get(par, "properties");
    size_t host = client_origin_len(w->url);
    for (const char *p = w->url; *p; p++) {
        size_t n = slot_len(p);
        if (n && (size_t)(p - w->url) < host) return err_set(e, ERR_ARG, "url: scheme and host cannot be parameters");
        if (n && !slot_value(props, p, n)) return err_set(e, ERR_ARG, "url: %.*s is not a parameter of the tool", (int)n, p);
    }
    if (w->body && strcmp(w->body, "json") && (!slot_len(w->body) || w->body[slot_len(w->body)] || !slot_value(props, w->body, slot_len(w->body))))
        return err_set(e, ERR_ARG, "body: null, json and {parameter} are accepted");
    return true;
}

static bool check(const struct web *w, const struct json *par, struct err *e)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };
    bool known = false;
    for (size_t i = 0; i < LEN(methods); i++) known |= !strcmp(w->method, methods[i]);
    if (!known) return err_set(e, ERR_ARG, "method: GET, HEAD, POST, PUT, PATCH and DELETE are accepted");
    if (!w->url) return err_set(e, ERR_ARG, "url: is needed");
    bool secure = !strncasecmp(w->url, "https://", 8), plain = !strncasecmp(w->url, "http://", 7);
    if (!secure && !(plain && w->insecure)) return err_set(e, ERR_ARG, "url: https:// is needed (http:// with \"insecure\": true)");
    if (w->select && *w->select && *w->select != '/') return err_set(e, ERR_ARG, "select: a JSON pointer (/a/0) is accepted");
    return slots_fit(w, par, e);
}

static bool members_known(const struct json *v, struct err *e)
{
    static const char *const known[] = { "description", "parameters", "method", "url", "headers", "body", "select", "timeout_ms", "allow_private", "insecure",
                                         "approve", "read_only", "idempotent", "result_tokens" };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "'%.60s' is not a member of an HTTP tool; url, method, headers … are (docs/tools.md)", it.key);
    }
    return json_is(v, JSON_OBJECT) || err_set(e, ERR_ARG, "must be an object");
}

bool web_read(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e)
{
    if (!client_available()) return err_set(e, ERR_UNSUPPORTED, "this build has no HTTP client (libcurl was absent; make deps installs it)");
    struct web *w = mem_zero(sizeof *w);
    struct tool *t = tool_new(name, "http");
    t->ctx = w;
    t->invoke = web_invoke;
    t->preview = web_preview;
    t->close = web_close;
    t->open_world = true;
    t->timeout_ms = TIMEOUT_MS;
    bool ok = members_known(config, e) && read_text(ts, config, "method", &w->method, dir, e) && read_text(ts, config, "url", &w->url, dir, e) &&
              read_text(ts, config, "body", &w->body, dir, e) && read_text(ts, config, "select", &w->select, dir, e) &&
              toolset_headers(ts, json_get(config, "headers"), dir, &w->header, e);
    if (!w->method) w->method = mem_str("GET");
    w->allow_private = json_bool(json_get(config, "allow_private"));
    w->insecure = json_bool(json_get(config, "insecure"));
    t->read_only = t->idempotent = !strcmp(w->method, "GET") || !strcmp(w->method, "HEAD");
    if (ok && check(w, json_get(config, "parameters"), e) && tool_configure(t, config, e)) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}
