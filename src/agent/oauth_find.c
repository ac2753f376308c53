/* oauth_find.c -- who is to be asked for a token: metadata of the protected resource (RFC 9728) name an authorization
 * server, whose own metadata (RFC 8414, or OpenID Connect Discovery) name its endpoints.
 *
 * All of it is what strangers say. So: the resource must be the server that we speak with, or a folder above it; an authorization
 * server's metadata must name the very issuer under which they were looked for; every address is TLS (loopback only where the server
 * itself is), of the open internet, and not redirected. Servers of 2025-03-26 have no such metadata: their own origin is
 * asked, and the endpoints have fixed names. */
#include <strings.h>

#include "agent/oauth.h"
#include "client/client.h"

#define REPLY_MOST ((size_t)1 << 20)
#define FETCH_MS 15000

/* ---- addresses ---- */

static bool is_loopback(const char *url)
{
    static const char *const here[] = { "http://localhost", "http://127.0.0.1", "http://[::1]", "https://localhost", "https://127.0.0.1", "https://[::1]" };
    for (size_t i = 0; i < LEN(here); i++) {
        size_t n = strlen(here[i]);
        if (!strncasecmp(url, here[i], n) && (!url[n] || strchr(":/?#", url[n]))) return true;
    }
    return false;
}

bool oauth_url_ok(const struct oauth *o, const char *url)
{
    size_t origin = url ? client_origin_len(url) : 0;
    const char *at = url ? strchr(url, '@') : NULL;
    if (!origin || (at && (size_t)(at - url) < origin)) return false;
    for (const char *p = url; *p; p++)
        if (*p <= ' ' || *p > '~') return false;
    return !strncasecmp(url, "https://", 8) || (o->local && !strncasecmp(url, "http://", 7) && is_loopback(url));
}

struct json *oauth_fetch(const struct oauth *o, const char *url, const char *type, const struct str *body, const char *authorization, int *status, struct err *e)
{
    struct client_opts co = { .connect_ms = FETCH_MS, .total_ms = FETCH_MS, .idle_ms = FETCH_MS, .most_bytes = REPLY_MOST, .tries = 1, .public_only = o->public_only || !o->local };
    struct client_header header[4] = { { "Accept", "application/json" } };
    struct client_reply r = { 0 };
    struct json *v = NULL;
    int n = 1;
    *status = 0;
    if (!oauth_url_ok(o, url)) return err_set(e, ERR_ARG, "%.200s: https:// is needed, without a name before the host", url), NULL;
    struct client *c = client_open(&co, e);
    if (!c) return NULL;
    if (type) header[n++] = (struct client_header){ "Content-Type", type };
    if (authorization && *authorization) header[n++] = (struct client_header){ "Authorization", authorization };
    header[n++] = (struct client_header){ "MCP-Protocol-Version", "2025-11-25" };
    struct client_request q = { .method = body ? "POST" : "GET", .url = url, .header = header, .n_header = n, .body = { body ? body->p : NULL, body ? body->len : 0 } };
    if (client_send(c, &q, &r, e)) {
        *status = r.status;
        v = json_parse(r.body.p ? r.body.p : "", r.body.len, NULL);
        const char *why = json_str(json_get(v, "error_description"), NULL), *word = json_str(json_get(v, "error"), NULL);
        bool good = r.status >= 200 && r.status <= 299 && json_is(v, JSON_OBJECT);
        if (!good) {
            err_set(e, ERR_ARG, "%.120s: HTTP status %d%s%.60s%s%.120s", url, r.status, word ? ", " : "", word ? word : "", why ? ": " : "", why ? why : "");
            json_free(v);
            v = NULL;
        }
    }
    client_reply_done(&r);
    client_close(c);
    return v;
}

/* ---- WWW-Authenticate ---- */

char *oauth_challenge(const char *challenge, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = challenge ? challenge : ""; *p;) {
        while (*p && strchr(" ,\t", *p)) p++;
        const char *name = p;
        p += strcspn(p, "=, \t");
        bool is_it = (size_t)(p - name) == n && !strncasecmp(name, key, n) && *p == '=';
        if (*p != '=') continue;
        struct str s = { 0 };
        if (*++p == '"') {
            for (p++; *p && *p != '"'; p++) str_putc(&s, *p == '\\' && p[1] ? *++p : *p);
            if (*p) p++;
        } else
            for (; *p && !strchr(", \t", *p); p++) str_putc(&s, *p);
        if (is_it) return str_take(&s);
        str_done(&s);
    }
    return NULL;
}

/* ---- the resource ---- */

static const char *path_at(const char *url) { return url + client_origin_len(url); }

/* "https://host/.well-known/NAME" and the path, without a closing slash. */
static char *well_known(const char *url, const char *name, bool with_path)
{
    struct str s = { 0 };
    size_t origin = client_origin_len(url), n = strcspn(path_at(url), "?#");
    while (n && path_at(url)[n - 1] == '/') n--;
    str_fmt(&s, "%.*s/.well-known/%s%.*s", (int)origin, url, name, with_path ? (int)n : 0, path_at(url));
    return str_take(&s);
}

/* The resource that is named must be this server, or a folder in which it lies. */
static bool covers(const char *resource, const char *server)
{
    size_t n = strcspn(path_at(resource), "?#"), m = strcspn(path_at(server), "?#");
    if (!client_same_origin(resource, server)) return false;
    while (n && path_at(resource)[n - 1] == '/') n--;
    return n <= m && !strncmp(path_at(resource), path_at(server), n) && (n == m || path_at(server)[n] == '/');
}

static struct json *find_resource(const struct oauth *o, const char *challenge, struct err *e)
{
    char *said = oauth_challenge(challenge, "resource_metadata"), *ways[2] = { well_known(o->server, "oauth-protected-resource", true),
                                                                              well_known(o->server, "oauth-protected-resource", false) };
    struct json *v = NULL;
    int status = 0;
    if (said) v = oauth_fetch(o, said, NULL, NULL, NULL, &status, e);
    bool refused = said && !status;                                   /* an address that is not spoken to ends it here */
    for (int i = 0; !v && !refused && i < 2; i++) {
        *e = (struct err){ 0 };
        v = oauth_fetch(o, ways[i], NULL, NULL, NULL, &status, e);
        refused = !status;
    }
    if (!v && !refused) *e = (struct err){ 0 };
    mem_free(said);
    mem_free(ways[0]);
    mem_free(ways[1]);
    return v;
}

/* ---- the authorization server ---- */

static char *beside(const char *issuer, const char *name)
{
    struct str s = { 0 };
    size_t n = strlen(issuer);
    while (n && issuer[n - 1] == '/') n--;
    str_fmt(&s, "%.*s/.well-known/%s", (int)n, issuer, name);
    return str_take(&s);
}

/* The metadata of an issuer; NULL without an error: it has none. */
static struct json *find_issuer(const struct oauth *o, const char *issuer, struct err *e)
{
    char *ways[3] = { well_known(issuer, "oauth-authorization-server", true), well_known(issuer, "openid-configuration", true), beside(issuer, "openid-configuration") };
    struct json *v = NULL;
    int status = 1;
    for (int i = 0; !v && status && i < 3; i++) {
        *e = (struct err){ 0 };
        v = oauth_fetch(o, ways[i], NULL, NULL, NULL, &status, e);
    }
    if (!v && status) *e = (struct err){ 0 };
    for (int i = 0; i < 3; i++) mem_free(ways[i]);
    if (!v || json_str_is(json_get(v, "issuer"), issuer)) return v;
    const char *other = json_str(json_get(v, "issuer"), NULL);
    err_set(e, ERR_ARG, "the metadata of the issuer %.120s say that they are of %.120s", issuer, other ? other : "nobody");
    json_free(v);
    return NULL;
}

static bool take_endpoint(const struct oauth *o, const struct json *meta, const char *key, char **out, struct err *e)
{
    const char *s = json_str(json_get(meta, key), NULL);
    if (!s) return true;
    if (!oauth_url_ok(o, s)) return err_set(e, ERR_ARG, "%s: %.120s is no address that is spoken to", key, s);
    *out = mem_str(s);
    return true;
}

static bool has_s256(const struct json *meta)
{
    const struct json *list = json_get(meta, "code_challenge_methods_supported");
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), "S256")) return true;
    return false;
}

/* Names that 2025-03-26 knew, at the origin. */
static void take_fixed(struct oauth_site *s)
{
    static const char *const names[] = { "authorize", "token", "register" };
    char **at[] = { &s->authorize, &s->token, &s->registration };
    for (size_t i = 0; i < LEN(names); i++) {
        struct str url = { 0 };
        str_fmt(&url, "%.*s/%s", (int)client_origin_len(s->issuer), s->issuer, names[i]);
        *at[i] = str_take(&url);
    }
}

static bool read_site(const struct oauth *o, struct oauth_site *s, bool has_resource, struct err *e)
{
    s->meta = find_issuer(o, s->issuer, e);
    if (!s->meta && e->code) return false;
    if (!s->meta && has_resource) return err_set(e, ERR_ARG, "the authorization server %.160s says nothing of itself", s->issuer);
    if (!s->meta) return take_fixed(s), true;
    if (!take_endpoint(o, s->meta, "authorization_endpoint", &s->authorize, e) || !take_endpoint(o, s->meta, "token_endpoint", &s->token, e) ||
        !take_endpoint(o, s->meta, "registration_endpoint", &s->registration, e))
        return false;
    if (!s->authorize || !s->token) return err_set(e, ERR_ARG, "the authorization server %.160s names no endpoints", s->issuer);
    return has_s256(s->meta) || err_set(e, ERR_UNSUPPORTED, "the authorization server %.160s does not offer PKCE (S256), and without it no code is asked for", s->issuer);
}

void oauth_site_done(struct oauth_site *s)
{
    mem_free(s->issuer), mem_free(s->resource), mem_free(s->authorize), mem_free(s->token), mem_free(s->registration);
    json_free(s->meta);
    json_free(s->scopes);
    *s = (struct oauth_site){ 0 };
}

bool oauth_find(const struct oauth *o, const char *challenge, struct oauth_site *s, struct err *e)
{
    struct json *r = find_resource(o, challenge, e);
    *s = (struct oauth_site){ 0 };
    if (!r && e->code) return false;
    const char *resource = json_str(json_get(r, "resource"), NULL), *issuer = json_str(json_at(json_get(r, "authorization_servers"), 0), NULL);
    bool ok = true;
    if (r && (!resource || !covers(resource, o->server)))
        ok = err_set(e, ERR_ARG, "its metadata are of the resource %.160s, which it is not", resource ? resource : "(none)");
    else if (r && (!issuer || !oauth_url_ok(o, issuer))) ok = err_set(e, ERR_ARG, "its metadata name no authorization server that is spoken to (%.160s)", issuer ? issuer : "none");
    else {
        struct str origin = { 0 };
        str_put(&origin, o->server, client_origin_len(o->server));
        s->issuer = issuer ? mem_str(issuer) : mem_str(origin.p);
        s->resource = mem_str(resource ? resource : o->server);
        if (json_is(json_get(r, "scopes_supported"), JSON_ARRAY)) s->scopes = json_copy(json_get(r, "scopes_supported"));
        str_done(&origin);
        ok = read_site(o, s, r != NULL, e);
    }
    json_free(r);
    if (!ok) oauth_site_done(s);
    return ok;
}
