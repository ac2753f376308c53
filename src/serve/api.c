/* api.c -- the table of routes, and what is asked of every request before its handler sees it.
 *
 * In this order: the path, the method, the Host (a page in a browser must not reach a server on this
 * machine under a name of its own), the origin, the key, the type of the body. All of it as soon as the
 * headers are there; the body is read (and dropped) first, so that the answer arrives. */
#include <stdlib.h>

#include "serve/models.h"

static const struct route routes[] = {
    { "GET", "/", page_run, ROUTE_OPEN },
    { "GET", "/page/*", page_part, ROUTE_OPEN },
    { "POST", "/v1/chat/completions", chat_run },
    { "POST", "/v1/chat/completions/input_tokens", chat_count },
    { "POST", "/v1/completions", completions_run },
    { "POST", "/v1/responses", responses_run },
    { "POST", "/v1/responses/input_tokens", responses_count },
    { "GET", "/v1/responses/*", responses_get },
    { "DELETE", "/v1/responses/*", responses_delete },
    { "POST", "/v1/responses/*", responses_post },
    { "POST", "/v1/messages", messages_run, 0, WIRE_ANTHROPIC },
    { "POST", "/v1/messages/count_tokens", messages_count, 0, WIRE_ANTHROPIC },
    { "GET", "/v1/models", models_list },
    { "GET", "/v1/models/*", models_get },
    { "POST", "/v1/embeddings", embeddings_run },
    { "POST", "/v1/load_lora_adapter", lora_load, ROUTE_ADMIN },
    { "POST", "/v1/unload_lora_adapter", lora_unload, ROUTE_ADMIN },
    { "GET", "/lora-adapters", lora_list },
    { "GET", "/v1/tools", tools_list },
    { "POST", "/v1/tools/run", tools_run },
    { "POST", "/tokenize", tokenize_run },
    { "POST", "/detokenize", detokenize_run },
    { "POST", "/apply-template", template_run },
    { "GET", "/v1/health", health_run, ROUTE_OPEN },
    { "GET", "/ready", ready_run, ROUTE_OPEN },
    { "GET", "/live", live_run, ROUTE_OPEN },
    { "GET", "/metrics", metrics_run, ROUTE_METRICS },
    { "GET", "/props", props_run },
    { "GET", "/slots", slots_run },
};

/* ---- finding the route --------------------------------------------------------------------------- */

static bool path_is(const char *path, const char *route, const char **tail)
{
    size_t n = strlen(route);
    *tail = "";
    if (route[n - 1] != '*') return !strcmp(path, route);
    if (strncmp(path, route, n - 1) || !path[n - 1]) return false;
    *tail = path + n - 1;
    return true;
}

/* /v1/X is also /X. */
static bool matches(const char *path, const struct route *r, const char **tail)
{
    return path_is(path, r->path, tail) ||
           (!strncmp(r->path, "/v1/", 4) && path_is(path, r->path + 3, tail));
}

static const char *bare_path(const struct exchange *x)
{
    const char *prefix = x->sv->o->api_prefix;
    size_t n = prefix ? strlen(prefix) : 0;
    bool below = n && !strncmp(x->path, prefix, n) && (x->path[n] == '/' || !x->path[n]);
    return !below ? x->path : x->path[n] ? x->path + n : "/";
}

/* The first row that fits; exact rows stand before those with a star. */
static void find_route(struct exchange *x)
{
    const char *path = bare_path(x), *tail;
    const char *method = x->head_only ? "GET" : x->method;
    struct str allow = { 0 };
    for (size_t i = 0; i < LEN(routes) && !x->route; i++) {
        if (!matches(path, &routes[i], &tail)) continue;
        x->wire = routes[i].wire;
        if (x->metrics_only && !(routes[i].flags & ROUTE_METRICS)) continue;
        if (!strcmp(method, routes[i].method)) {
            x->route = &routes[i];
            x->tail = tail;
        } else if (!strstr(allow.p ? allow.p : "", routes[i].method))
            str_fmt(&allow, "%s%s", allow.len ? ", " : "", routes[i].method);
    }
    if (!strncmp(path, "/v1/messages", 12)) x->wire = WIRE_ANTHROPIC;
    if (!x->route && allow.len) {
        reply_header(x, "Allow", "%s, OPTIONS", allow.p);
        reply_error(x, 405, "method_not_allowed", NULL, "%s is not allowed here; %s is", x->method,
                    allow.p);
    } else if (!x->route)
        reply_error(x, 404, "route_not_found", NULL, x->metrics_only ? "there is nothing at %.200s; /metrics is all this address has" : "there is nothing at %.200s", x->path);
    str_done(&allow);
}

/* ---- who may ask ------------------------------------------------------------------------------------ */

static bool same_secret(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    volatile unsigned char differ = n != m;
    for (size_t i = 0; i < m; i++)
        differ |= (unsigned char)((i < n ? a[i] : 0) ^ b[i]); /* as long as what was sent */
    return !differ;
}

static const char *given_key(const struct exchange *x)
{
    const char *h = exchange_header(x, "Authorization"), *k = exchange_header(x, "x-api-key");
    if (h && !strncasecmp(h, "Bearer ", 7)) return h + 7 + strspn(h + 7, " ");
    return k ? k : "";
}

static bool has_key(const struct exchange *x)
{
    const struct server *sv = x->sv;
    const char *given = given_key(x);
    bool ok = false;
    for (int i = 0; i < sv->n_key; i++) ok |= same_secret(sv->key[i], given);
    if (sv->o->admin_key) ok |= same_secret(sv->o->admin_key, given);
    return ok;
}

static bool check_key(struct exchange *x)
{
    unsigned flags = x->route->flags;
    if (!x->sv->n_key || x->metrics_only || flags & ROUTE_OPEN || (flags & ROUTE_METRICS && x->sv->o->metrics_open))
        return true;
    if (has_key(x)) return true;
    reply_error(x, 401, "invalid_api_key", NULL,
                *given_key(x) ? "this key is not valid here"
                              : "a key is needed: Authorization: Bearer KEY");
    return false;
}

/* What changes the server itself: on this machine alone, or with a key of its own. */
static bool check_admin(struct exchange *x)
{
    const struct serve_opts *o = x->sv->o;
    const char *origin = exchange_header(x, "Origin"), *given = exchange_header(x, "x-admin-key");
    if (!(x->route->flags & ROUTE_ADMIN)) return true;
    if (!o->enable_lora) {
        reply_error(x, 501, "lora_disabled", NULL,
                    "adapters cannot be loaded here; --enable-lora switches this on");
        return false;
    }
    if (origin && !net_origin_is_local(origin)) {
        reply_error(x, 403, "origin_not_allowed", NULL, "a page of %.100s may not do this", origin);
        return false;
    }
    bool ok =
        o->admin_key ? same_secret(o->admin_key, given ? given : given_key(x)) : x->sv->local_only;
    if (!ok) reply_error(x, 403, "admin_required", NULL, "this needs the key of --admin-key");
    return ok;
}

static bool host_is_mine(const struct exchange *x, const char *host)
{
    const struct serve_list *l = &x->sv->o->allowed_host;
    size_t n = host[0] == '[' ? strlen(host) : strcspn(host, ":");
    if (net_host_is_local(host)) return true;
    for (int i = 0; i < l->n; i++)
        if (strlen(l->item[i]) == n && !strncasecmp(l->item[i], host, n)) return true;
    return false;
}

static bool check_host(struct exchange *x)
{
    const char *host = exchange_header(x, "Host");
    if (!x->sv->local_only || x->sv->n_key || x->metrics_only || !host || !*host || host_is_mine(x, host)) return true;
    if (x->sv->listener[0].is_unix && x->sv->n_listener == 1)
        return true; /* no browser speaks there */
    reply_error(x, 403, "host_not_allowed", NULL,
                "this server does not answer as %.100s; --allow-host lets it", host);
    return false;
}

/* ---- other origins ----------------------------------------------------------------------------------- */

static bool origin_listed(const char *list, const char *origin)
{
    size_t n = strlen(origin);
    while (*list) {
        size_t len = strcspn(list, ",");
        while (len && *list == ' ') list++, len--;
        if (len == n && !strncasecmp(list, origin, n)) return true;
        list += len + (list[len] == ',');
    }
    return false;
}

/* Headers for pages of other origins; none where the origin is not allowed. */
static void put_cors(struct exchange *x, bool preflight)
{
    const char *origin = exchange_header(x, "Origin"),
               *mode = x->sv->o->cors ? x->sv->o->cors : "*";
    const char *asked = exchange_header(x, "Access-Control-Request-Headers");
    bool any = !strcmp(mode, "*");
    if (!any) reply_header(x, "Vary", "Origin");
    if (!origin) return;
    if (!any &&
        !(!strcmp(mode, "localhost") ? net_origin_is_local(origin) : origin_listed(mode, origin)))
        return;
    reply_header(x, "Access-Control-Allow-Origin", "%s", any ? "*" : origin);
    reply_header(x, "Access-Control-Expose-Headers", "x-request-id, retry-after");
    if (!preflight) return;
    reply_header(x, "Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
    reply_header(x, "Access-Control-Allow-Headers", "%.800s",
                 asked ? asked : "content-type, authorization");
    reply_header(x, "Access-Control-Max-Age", "600");
}

/* ---- the body ------------------------------------------------------------------------------------------ */

static bool type_is(const char *type, const char *want)
{
    size_t n = strlen(want);
    return !strncasecmp(type, want, n) && (!type[n] || type[n] == ';' || type[n] == ' ');
}

#if defined TENON_ZLIB && defined TENON_ZSTD
#define PACKINGS "gzip, zstd and "
#elif defined TENON_ZLIB
#define PACKINGS "gzip and "
#elif defined TENON_ZSTD
#define PACKINGS "zstd and "
#else
#define PACKINGS ""
#endif

/* How a packed body begins; NULL: not a packing that this build knows. */
static const char *packed_as(const char *coding)
{
    static const struct { const char *name, *magic; } packing[] = {
#ifdef TENON_ZLIB
        { "gzip", "\x1f\x8b" },
        { "x-gzip", "\x1f\x8b" },
#endif
#ifdef TENON_ZSTD
        { "zstd", "\x28\xb5\x2f\xfd" },
#endif
        { NULL, NULL },
    };
    for (size_t i = 0; packing[i].name; i++)
        if (!strcasecmp(coding, packing[i].name)) return packing[i].magic;
    return NULL;
}

/* The limit of a body holds for what comes out of it. False: refused. */
static bool unpack_body(struct exchange *x)
{
    const char *coding = exchange_header(x, "Content-Encoding"), *magic = coding ? packed_as(coding) : NULL;
    struct str out = { 0 };
    struct err e = { 0 };
    if (!magic) return true;
    bool begins = x->body.len >= strlen(magic) && !memcmp(x->body.p, magic, strlen(magic));
    if (!begins) err_set(&e, ERR_FORMAT, "the body does not begin as %s does", coding);
    bool ok = begins && bytes_unpack("the body", (struct bytes){ x->body.p, x->body.len }, (size_t)x->sv->o->max_body, &out, &e);
    str_done(&x->body);
    if (ok) x->body = out;
    else str_done(&out);
    if (!ok && e.code == ERR_LIMIT) reply_error(x, 413, "body_too_large", NULL, "%s", e.msg);
    else if (!ok) reply_error(x, 400, "invalid_encoding", NULL, "%s", e.msg);
    return ok;
}

/* What a page may send without asking first is not accepted: it could drive a server on this machine. */
static bool check_type(struct exchange *x)
{
    const char *type = exchange_header(x, "Content-Type"),
               *coding = exchange_header(x, "Content-Encoding");
    if (strcmp(x->method, "POST")) return true;
    if (coding && !packed_as(coding) && strcasecmp(coding, "identity")) {
        reply_error(x, 415, "unsupported_encoding", NULL,
                    "Content-Encoding %.40s is not accepted; %sa body as it is are", coding, PACKINGS);
        return false;
    }
    bool fine = type && *type ? type_is(type, "application/json") : !exchange_header(x, "Origin");
    if (!fine)
        reply_error(x, 415, "unsupported_content_type", NULL,
                    "Content-Type %.60s is not accepted; application/json is",
                    type && *type ? type : "(none)");
    return fine;
}

/* Depth of nesting, strings skipped; the parser judges the rest. */
static bool too_deep(const struct str *s, int most)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s->len; i++) {
        char c = s->p[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
        } else if (c == '"') in_string = true;
        else if ((c == '{' || c == '[') && ++depth > most) return true;
        else if (c == '}' || c == ']') depth--;
    }
    return false;
}

#define DEPTH_MOST 128

struct json *api_body(struct exchange *x)
{
    struct err e = { 0 };
    if (too_deep(&x->body, DEPTH_MOST)) {
        reply_error(x, 400, "invalid_json", NULL, "the body is nested deeper than %d", DEPTH_MOST);
        return NULL;
    }
    struct json *v = json_parse(x->body.p ? x->body.p : "", x->body.len, &e);
    if (!v) reply_error(x, 400, "invalid_json", NULL, "the body is not JSON: %s", e.msg);
    else if (!json_is(v, JSON_OBJECT)) {
        reply_error(x, 400, "invalid_type", NULL, "the body must be a JSON object, not %s",
                    json_type_name(json_type(v)));
        json_free(v);
        v = NULL;
    }
    str_done(&x->body);
    return v;
}

/* ---- the order of it ------------------------------------------------------------------------------------- */

void api_head(struct exchange *x)
{
    bool preflight = !strcmp(x->method, "OPTIONS");
    put_cors(x, preflight);
    if (preflight) {
        reply_text(x, 200, NULL, "", 0);
        return;
    }
    find_route(x);
    if (!x->route) return;
    if (!check_host(x) || !check_key(x) || !check_admin(x) || !check_type(x)) return;
    if (x->sv->damaged && !(x->route->flags & (ROUTE_OPEN | ROUTE_METRICS)))
        reply_error(x, 503, "model_damaged", NULL,
                    "the model file changed while it was in use; the server must be started again");
}

void api_run(struct exchange *x)
{
    struct sched_stats st;
    if (!unpack_body(x)) return;
    if (!strcmp(x->route->method, "POST")) {
        sched_read_stats(x->sv->sched, &st);
        reply_header(x, "x-queue-depth", "%d", st.waiting);
    }
    x->route->run(x);
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static void add_key(struct server *sv, const char *p, size_t n)
{
    while (n && strchr(" \t\r\n", p[n - 1])) n--;
    while (n && strchr(" \t", *p)) p++, n--;
    if (!n || *p == '#' || sv->n_key == KEYS_MOST) return;
    sv->key = mem_resize(sv->key, (size_t)(sv->n_key + 1) * sizeof *sv->key);
    char *k = mem_zero(n + 1);
    memcpy(k, p, n);
    sv->key[sv->n_key++] = k;
}

/* Those in use stay if the file cannot be read. */
bool api_keys_read(struct server *sv, struct err *e)
{
    const struct serve_opts *o = sv->o;
    const char *env = getenv("API_KEY");
    struct str file = { 0 };
    if (o->api_key_file && !file_read(o->api_key_file, &file, e)) return false;
    for (int i = 0; i < sv->n_key; i++) mem_free(sv->key[i]);
    sv->n_key = 0;
    if (o->api_key) add_key(sv, o->api_key, strlen(o->api_key));
    if (env) add_key(sv, env, strlen(env));
    for (size_t at = 0; at < file.len;) {
        size_t n = strcspn(file.p + at, "\n");
        add_key(sv, file.p + at, n);
        at += n + 1;
    }
    str_done(&file);
    if (o->api_key_file && !sv->n_key)
        return err_set(e, ERR_ARG, "%s: holds no key", o->api_key_file);
    return true;
}
