/* web.c -- tools that are HTTP requests.
 *
 * Parameters go into the path and the query, each percent-encoded for its place, into values of headers and cookies,
 * never into scheme or host; what is left may be the body. Only https, unless the tool says "insecure". The address that is connected to must be one of
 * the open internet (client/ judges the very address, after names are resolved), unless it says "allow_private";
 * so at each of at most three redirects, which keep the scheme and take no headers to another host.
 * Text and JSON up to 1 MiB come back, `select` picks a part; anything else is a note. */
#include <stdlib.h>
#include <strings.h>

#include "agent/int.h"
#include "client/client.h"

#define TIMEOUT_MS 15000
#define REPLY_MOST ((size_t)1 << 20)
#define REDIRECTS_MOST 3
#define ERROR_BODY 1024

struct web {
    char *method, *url, *body, *select;
    struct words header, cookie;                                      /* name and value by turns; values may hold {name} */
    struct json *styles;                                              /* how arrays and objects of a parameter are written in the query */
    bool allow_private, insecure;
};

static void web_free(struct web *w)
{
    mem_free(w->method), mem_free(w->url), mem_free(w->body), mem_free(w->select);
    words_done(&w->header);
    words_done(&w->cookie);
    json_free(w->styles);
    mem_free(w);
}

static void web_close(struct tool *t) { web_free(t->ctx); }

/* ---- the address ---- */

static void put_plain(struct str *out, const struct json *v)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (s) str_put(out, s, n);
    else json_write(out, v, JSON_COMPACT);
}

static void put_encoded(struct str *out, const struct json *v)
{
    struct str text = { 0 };
    put_plain(&text, v);
    percent_encode(out, text.p ? text.p : "", text.len);
    str_done(&text);
}

/* The elements of an array, one behind the other; any other value as it is. */
static void put_joined(struct str *out, const struct json *v, const char *between, bool encode)
{
    bool is_list = json_is(v, JSON_ARRAY);
    for (size_t i = 0; i < (is_list ? json_len(v) : 1); i++) {
        if (i) str_puts(out, between);
        (encode ? put_encoded : put_plain)(out, is_list ? json_at(v, i) : v);
    }
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
        else put_joined(out, v, ",", true), p += k;
    }
    return true;
}

/* key={name} where the value is an array or an object: a pair for each element (or member), unless its style joins them.
 * False: it is no such pair. */
static bool put_many(struct str *out, const struct web *w, const char *pair, size_t n, const struct json *args, char *before)
{
    const char *equals = memchr(pair, '=', n);
    size_t slot = equals ? slot_len(equals + 1) : 0;
    const struct json *v = slot && equals + 1 + slot == pair + n ? slot_value(args, equals + 1, slot) : NULL, *style = slot ? slot_value(w->styles, equals + 1, slot) : NULL;
    int key = equals ? (int)(equals - pair) : 0;
    bool joins = json_str_is(style, "comma") || json_str_is(style, "space") || json_str_is(style, "pipe");
    if (json_is(v, JSON_ARRAY) && joins) {
        str_fmt(out, "%c%.*s=", *before, key, pair);
        put_joined(out, v, json_str_is(style, "comma") ? "," : json_str_is(style, "space") ? "%20" : "%7C", true);
        *before = '&';
    } else if (json_is(v, JSON_ARRAY)) {
        for (size_t i = 0; i < json_len(v); i++, *before = '&') {
            str_fmt(out, "%c%.*s=", *before, key, pair);
            put_encoded(out, json_at(v, i));
        }
    } else if (json_is(v, JSON_OBJECT) && style && !joins) {
        for (struct json_iter it = json_iter(v); json_next(&it); *before = '&') {
            bool deep = json_str_is(style, "deep");
            str_fmt(out, "%c%.*s%s", *before, deep ? key : 0, pair, deep ? "%5B" : "");
            percent_encode(out, it.key, it.key_len);
            str_puts(out, deep ? "%5D=" : "=");
            put_encoded(out, it.value);
        }
    } else return false;
    return true;
}

/* Pairs of the query that name an absent parameter are left out. */
static bool put_query(struct str *out, const struct web *w, const char *q, const struct json *args, struct tool_result *why)
{
    char before = '?';
    while (*q) {
        size_t n = strcspn(q, "&");
        struct str pair = { 0 };
        bool absent = false, many = put_many(out, w, q, n, args, &before), ok = many || put_part(&pair, q, n, args, &absent, why);
        if (ok && !absent && !many) str_fmt(out, "%c%s", before, pair.p ? pair.p : ""), before = '&';
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
    return !query || put_query(out, w, query + 1, args, why);
}

/* ---- the body ---- */

static bool is_in_words(const struct words *list, const char *slot)
{
    for (int i = 1; i < list->n; i += 2)
        if (strstr(list->p[i], slot)) return true;
    return false;
}

/* Does the address, a header or a cookie say it? */
static bool is_said(const struct web *w, const char *key)
{
    struct str slot = { 0 };
    str_fmt(&slot, "{%s}", key);
    bool found = strstr(w->url, slot.p) || is_in_words(&w->header, slot.p) || is_in_words(&w->cookie, slot.p);
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
        if (!is_said(w, it.key)) json_set(rest, it.key, json_copy(it.value));
    json_write(out, rest, JSON_COMPACT);
    json_free(rest);
}

/* ---- headers ---- */

/* A value of a header or cookie: {name} of a parameter by what the call says, all other braces are text. False: it is absent. */
static bool fill_value(const char *p, const struct json *props, const struct json *args, bool encode, struct str *out)
{
    while (*p) {
        size_t n = slot_len(p);
        const struct json *v = n && slot_value(props, p, n) ? slot_value(args, p, n) : NULL;
        if (n && slot_value(props, p, n)) {
            if (!v || json_is(v, JSON_NULL)) return false;
            put_joined(out, v, ",", encode);
            p += n;
        } else str_putc(out, *p++);
    }
    return true;
}

/* Name and value by turns; those whose parameter is absent are left out. */
static void make_headers(const struct web *w, const struct json *props, const struct json *args, struct words *out)
{
    struct str cookie = { 0 };
    for (int i = 0; i + 1 < w->header.n; i += 2) {
        struct str s = { 0 };
        if (fill_value(w->header.p[i + 1], props, args, false, &s)) {
            words_put(out, mem_str(w->header.p[i]));
            words_put(out, str_take(&s));
        } else str_done(&s);
    }
    for (int i = 0; i + 1 < w->cookie.n; i += 2) {
        struct str s = { 0 };
        if (fill_value(w->cookie.p[i + 1], props, args, true, &s)) str_fmt(&cookie, "%s%s=%s", cookie.len ? "; " : "", w->cookie.p[i], s.p ? s.p : "");
        str_done(&s);
    }
    if (cookie.len) words_put(out, mem_str("Cookie")), words_put(out, str_take(&cookie));
    str_done(&cookie);
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
    else if (s) str_put(&out->text, s, n);
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

static void send_to(struct client *c, const struct web *w, struct str *url, const struct words *said, struct bytes body, struct tool_result *out)
{
    struct client_header header[64];
    int n = 0, n_header = 0;
    for (; n_header < MIN(said->n / 2, 62); n_header++) header[n_header] = (struct client_header){ said->p[2 * n_header], said->p[2 * n_header + 1] };
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
    struct words header = { 0 };
    struct err e = { 0 };
    struct client_opts o = { .connect_ms = c->timeout_ms, .total_ms = c->timeout_ms, .idle_ms = c->timeout_ms, .most_bytes = REPLY_MOST, .tries = 1,
                             .public_only = !w->allow_private, .stop = stopped, .stop_ctx = c->cancel };
    struct client *client = client_open(&o, &e);
    if (!client) tool_fail(out, "%s.", e.msg);
    else if (make_url(w, c->args, &url, out)) {
        make_body(w, c->args, &body);
        make_headers(w, json_get(t->schema, "properties"), c->args, &header);
        send_to(client, w, &url, &header, (struct bytes){ body.p, body.len }, out);
    }
    client_close(client);
    words_done(&header);
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

/* Values of the environment are written for their place: in the query they are percent-encoded. */
static bool read_url(struct toolset *ts, const struct json *v, char **out, const char *dir, struct err *e)
{
    const char *text = json_str(json_get(v, "url"), NULL), *query = text ? strchr(text, '?') : NULL;
    if (!query) return read_text(ts, v, "url", out, dir, e);
    struct str url = { 0 };
    char *before = mem_str(text), *first = NULL, *second = NULL;
    before[query - text] = 0;
    bool ok = (first = toolset_expand(ts, before, dir, e)) && (second = toolset_expand_encoded(ts, query, dir, e));
    if (ok) str_fmt(&url, "%s%s", first, second);
    *out = ok ? str_take(&url) : NULL;
    mem_free(before);
    mem_free(first);
    mem_free(second);
    return ok || err_in(e, "url");
}

static bool read_cookies(struct toolset *ts, struct web *w, const struct json *v, const char *dir, struct err *e)
{
    if (v && !json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "cookies: must be an object");
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        char *value = s ? toolset_expand_encoded(ts, s, dir, e) : (err_set(e, ERR_ARG, "must be a string"), NULL);
        if (!value) return err_in(e, "cookies.%s", it.key);
        words_put(&w->cookie, mem_str(it.key));
        words_put(&w->cookie, value);
        if (it.key[strcspn(it.key, "=;, \t\"\\\r\n")] || !*it.key) return err_set(e, ERR_ARG, "cookies: '%.60s' is no name of a cookie", it.key);
    }
    return true;
}

static bool read_styles(struct web *w, const struct json *v, struct err *e)
{
    static const char *const known[] = { "members", "comma", "space", "pipe", "deep" };
    if (v && !json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "styles: must be an object");
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= json_str_is(it.value, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "styles.%.60s: members, comma, space, pipe and deep are accepted", it.key);
    }
    w->styles = v ? json_copy(v) : json_new_object();
    return true;
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
    static const char *const known[] = { "description", "parameters", "method", "url", "headers", "cookies", "styles", "body", "select", "timeout_ms", "allow_private",
                                         "insecure", "approve", "read_only", "idempotent", "result_tokens", "pinned" };
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
    bool ok = members_known(config, e) && read_text(ts, config, "method", &w->method, dir, e) && read_url(ts, config, &w->url, dir, e) &&
              read_text(ts, config, "body", &w->body, dir, e) && read_text(ts, config, "select", &w->select, dir, e) &&
              toolset_headers(ts, json_get(config, "headers"), dir, &w->header, e) && read_cookies(ts, w, json_get(config, "cookies"), dir, e) &&
              read_styles(w, json_get(config, "styles"), e);
    if (!w->method) w->method = mem_str("GET");
    w->allow_private = json_bool(json_get(config, "allow_private"));
    w->insecure = json_bool(json_get(config, "insecure"));
    t->read_only = t->idempotent = !strcmp(w->method, "GET") || !strcmp(w->method, "HEAD");
    if (ok && check(w, json_get(config, "parameters"), e) && tool_configure(t, config, e)) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}
