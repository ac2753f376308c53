/* oauth.c -- signing in to an MCP server: a code by way of the user's browser, a token for the code, another one when it is too old.
 *
 * Authorization code with PKCE (S256), a state that is compared, `resource` in every request, the issuer of the answer compared as
 * text with the one that was asked (RFC 9207). Who we are is, in this order: a client that the configuration names, a client that the
 * issuer knows us by already, a metadata document (client_metadata_url), dynamic registration. A refused request first looks for
 * the issuer anew and tries the refresh token of that very issuer; only then the user is asked. More scopes are asked for when a server
 * says so, a few times at most. Without somebody to ask nothing happens but that. */
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "agent/mcp.h"
#include "agent/oauth.h"
#include "client/client.h"

#define WAIT_MS 300000                      /* for the user */
#define STEP_UPS_MOST 2

/* ---- life ---- */

static bool take_text(const struct json *config, const char *key, char **out, struct err *e)
{
    const struct json *v = json_get(config, key);
    if (!v) return true;
    if (!json_is(v, JSON_STRING)) return err_set(e, ERR_ARG, "oauth.%s: must be a string", key);
    *out = mem_str(json_str(v, NULL));
    return true;
}

static bool configure(struct oauth *o, const struct json *c, struct err *e)
{
    static const char *const known[] = { "client_id", "client_secret", "client_metadata_url", "scope", "redirect_port", "allow_private" };
    int64_t port = 0;
    if (c && !json_is(c, JSON_OBJECT)) return err_set(e, ERR_ARG, "oauth: must be an object");
    for (struct json_iter it = json_iter(c); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "oauth: '%.60s' is not known; client_id, client_secret, client_metadata_url, scope, redirect_port and allow_private are", it.key);
    }
    if (json_get(c, "redirect_port") && (!json_i64(json_get(c, "redirect_port"), &port) || port < 0 || port > 65535))
        return err_set(e, ERR_ARG, "oauth.redirect_port: 1 to 65535 is accepted");
    o->port = (int)port;
    o->local |= json_bool(json_get(c, "allow_private")) && !o->public_only;
    return take_text(c, "client_id", &o->client_id, e) && take_text(c, "client_secret", &o->client_secret, e) &&
           take_text(c, "client_metadata_url", &o->metadata_url, e) && take_text(c, "scope", &o->scope, e);
}

struct oauth *oauth_open(const struct oauth_opts *opts, struct err *e)
{
    struct oauth *o = mem_zero(sizeof *o);
    o->name = mem_str(opts->name);
    o->server = mem_str(opts->server);
    if (opts->dir) o->dir = mem_str(opts->dir);
    o->public_only = opts->public_only;
    o->local = !opts->public_only && !strncmp(opts->server, "http://", 7);
    o->sign_in = opts->sign_in;
    o->sign_in_ctx = opts->sign_in_ctx;
    pthread_mutex_init(&o->busy, NULL);
    pthread_mutex_init(&o->lock, NULL);
    if (!configure(o, opts->config, e)) return oauth_close(o), NULL;
    char *issuer = oauth_issuer(o);
    struct json *record = issuer ? oauth_recall(o, issuer) : NULL;
    const char *token = json_str(json_get(json_get(record, "tokens"), "access_token"), NULL);
    if (token) str_puts(&o->token, token);
    json_free(record);
    mem_free(issuer);
    return o;
}

void oauth_close(struct oauth *o)
{
    if (!o) return;
    mem_free(o->name), mem_free(o->server), mem_free(o->dir), mem_free(o->client_id), mem_free(o->client_secret), mem_free(o->metadata_url), mem_free(o->scope);
    pthread_mutex_destroy(&o->busy);
    pthread_mutex_destroy(&o->lock);
    str_done(&o->token);
    mem_free(o);
}

void oauth_token(struct oauth *o, struct str *out)
{
    pthread_mutex_lock(&o->lock);
    str_put(out, o->token.p ? o->token.p : "", o->token.len);
    pthread_mutex_unlock(&o->lock);
}

static void set_token(struct oauth *o, const char *token)
{
    pthread_mutex_lock(&o->lock);
    str_clear(&o->token);
    str_puts(&o->token, token);
    pthread_mutex_unlock(&o->lock);
}

/* ---- small things ---- */

/* RFC 4648 section 5, without padding. */
static char *base64_url(const void *p, size_t n)
{
    struct str s = { 0 };
    base64_put(&s, p, n);
    while (s.len && s.p[s.len - 1] == '=') s.p[--s.len] = 0;
    for (size_t i = 0; i < s.len; i++) s.p[i] = s.p[i] == '+' ? '-' : s.p[i] == '/' ? '_' : s.p[i];
    return str_take(&s);
}

static char *random_text(struct err *e)
{
    uint8_t bytes[32];
    if (getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes) return base64_url(bytes, sizeof bytes);
    err_set(e, ERR_IO, "the system gives no random numbers");
    return NULL;
}

static void put_pair(struct str *out, const char *key, const char *value)
{
    if (!value) return;
    str_fmt(out, "%s%s=", out->len && out->p[out->len - 1] != '?' ? "&" : "", key);
    percent_encode(out, value, strlen(value));
}

static bool lists(const struct json *list, const char *word)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), word)) return true;
    return false;
}

static bool has_word(const char *words, const char *word, size_t n)
{
    for (const char *p = words; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (strcspn(p, " ") == n && !strncmp(p, word, n)) return true;
    return false;
}

static void add_words(struct str *to, const char *words)
{
    for (const char *p = words ? words : ""; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        if (n && !has_word(to->p ? to->p : "", p, n)) str_fmt(to, "%s%.*s", to->len ? " " : "", (int)n, p);
    }
}

/* What is asked for: what the challenge says beside what we had, else the configuration, else all that the resource supports. */
static void put_scope(const struct oauth *o, const struct oauth_site *s, const char *challenge, const struct json *record, struct str *out)
{
    char *said = oauth_challenge(challenge, "scope"), *error = oauth_challenge(challenge, "error");
    if (error && !strcmp(error, "insufficient_scope")) add_words(out, json_str(json_get(json_get(record, "tokens"), "scope"), NULL));
    if (said) add_words(out, said);
    else if (o->scope) add_words(out, o->scope);
    else
        for (size_t i = 0; i < json_len(s->scopes); i++) add_words(out, json_str(json_at(s->scopes, i), NULL));
    if (out->len && lists(json_get(s->meta, "scopes_supported"), "offline_access")) add_words(out, "offline_access");
    mem_free(said);
    mem_free(error);
}

/* ---- who we are ---- */

/* How a client proves itself: what the issuer said of it, else what it supports, else nothing. */
static const char *method_of(const struct oauth_site *s, const struct json *client)
{
    const char *said = json_str(json_get(client, "token_endpoint_auth_method"), NULL);
    const struct json *can = json_get(s->meta, "token_endpoint_auth_methods_supported");
    if (!json_get(client, "client_secret")) return "none";
    if (said && (!strcmp(said, "client_secret_basic") || !strcmp(said, "client_secret_post"))) return said;
    return !can || lists(can, "client_secret_basic") ? "client_secret_basic" : "client_secret_post";
}

static const char *method_wished(const struct oauth_site *s)
{
    static const char *const known[] = { "none", "client_secret_basic", "client_secret_post" };
    const struct json *can = json_get(s->meta, "token_endpoint_auth_methods_supported");
    for (size_t i = 0; can && i < LEN(known); i++)
        if (lists(can, known[i])) return known[i];
    return "none";
}

static struct json *client_new(const char *id, const char *secret)
{
    struct json *c = json_new_object();
    json_set(c, "client_id", json_new_str(id));
    if (secret) json_set(c, "client_secret", json_new_str(secret));
    return c;
}

static struct json *words_json(const char *a, const char *b)
{
    struct json *list = json_new_array();
    json_push(list, json_new_str(a));
    if (b) json_push(list, json_new_str(b));
    return list;
}

static struct json *register_us(const struct oauth *o, const struct oauth_site *s, const char *redirect, const char *scope, struct err *e)
{
    struct json *q = json_new_object(), *r;
    struct str body = { 0 };
    int status;
    json_set(q, "client_name", json_new_str("tenon"));
    json_set(q, "redirect_uris", words_json(redirect, NULL));
    json_set(q, "grant_types", words_json("authorization_code", "refresh_token"));
    json_set(q, "response_types", words_json("code", NULL));
    json_set(q, "application_type", json_new_str("native"));
    json_set(q, "token_endpoint_auth_method", json_new_str(method_wished(s)));
    if (scope && *scope) json_set(q, "scope", json_new_str(scope));
    json_write(&body, q, JSON_COMPACT);
    r = oauth_fetch(o, s->registration, "application/json", &body, NULL, &status, e);
    json_free(q);
    str_done(&body);
    const char *id = json_str(json_get(r, "client_id"), NULL);
    struct json *c = id ? client_new(id, json_str(json_get(r, "client_secret"), NULL)) : NULL;
    if (c && json_get(r, "token_endpoint_auth_method")) json_set(c, "token_endpoint_auth_method", json_copy(json_get(r, "token_endpoint_auth_method")));
    if (c) json_set(c, "redirect", json_new_str(redirect));
    if (r && !c) err_set(e, ERR_ARG, "%.120s: it registers us, but says no client_id", s->registration);
    json_free(r);
    return c;
}

/* known: of an earlier time; its page may have had another port. */
static struct json *identify(const struct oauth *o, const struct oauth_site *s, const struct json *known, const char *redirect, const char *scope, struct err *e)
{
    if (o->client_id) return client_new(o->client_id, o->client_secret);
    if (o->metadata_url && json_bool(json_get(s->meta, "client_id_metadata_document_supported"))) return client_new(o->metadata_url, NULL);
    if (json_str(json_get(known, "client_id"), NULL) && json_str_is(json_get(known, "redirect"), redirect)) return json_copy(known);
    if (s->registration) return register_us(o, s, redirect, scope, e);
    err_set(e, ERR_ARG, "%.160s registers nobody by itself; \"oauth\": {\"client_id\": …} names a client that it knows", s->issuer);
    return NULL;
}

/* ---- tokens ---- */

/* form: the grant; who we are is added in the manner of the client. */
static struct json *ask_token(const struct oauth *o, const struct oauth_site *s, const struct json *client, struct str *form, struct err *e)
{
    const char *method = method_of(s, client), *id = json_str(json_get(client, "client_id"), NULL), *secret = json_str(json_get(client, "client_secret"), NULL);
    struct str pair = { 0 }, basic = { 0 };
    int status;
    if (!strcmp(method, "client_secret_basic")) {
        percent_encode(&pair, id, strlen(id));
        str_putc(&pair, ':');
        percent_encode(&pair, secret, strlen(secret));
        str_puts(&basic, "Basic ");
        base64_put(&basic, pair.p, pair.len);
    } else {
        put_pair(form, "client_id", id);
        if (!strcmp(method, "client_secret_post")) put_pair(form, "client_secret", secret);
    }
    put_pair(form, "resource", s->resource);
    struct json *r = oauth_fetch(o, s->token, "application/x-www-form-urlencoded", form, basic.p, &status, e);
    const char *type = json_str(json_get(r, "token_type"), NULL);
    bool good = json_str(json_get(r, "access_token"), NULL) && (!type || !strcasecmp(type, "Bearer"));
    if (r && !good) {
        err_set(e, ERR_ARG, "%.120s gives no bearer token", s->token);
        json_free(r);
        r = NULL;
    }
    str_done(&pair);
    str_done(&basic);
    return r;
}

/* What stays: a new refresh token, else the old one; the scope that was given, else the one that was asked for. */
static void take_tokens(struct oauth *o, const struct oauth_site *s, struct json *record, const struct json *client, const struct json *r, const char *scope)
{
    struct json *t = json_new_object();
    const struct json *old = json_get(record, "tokens"), *refresh = json_get(r, "refresh_token") ? json_get(r, "refresh_token") : json_get(old, "refresh_token");
    json_set(t, "access_token", json_copy(json_get(r, "access_token")));
    if (refresh) json_set(t, "refresh_token", json_copy(refresh));
    if (json_get(r, "scope")) json_set(t, "scope", json_copy(json_get(r, "scope")));
    else if (scope && *scope) json_set(t, "scope", json_new_str(scope));
    if (client) json_set(record, "client", json_copy(client));
    set_token(o, json_str(json_get(t, "access_token"), NULL));
    json_set(record, "tokens", t);
    oauth_keep(o, s->issuer, record);
}

static bool refresh(struct oauth *o, const struct oauth_site *s, struct json *record)
{
    const struct json *client = json_get(record, "client"), *tokens = json_get(record, "tokens");
    const char *token = json_str(json_get(tokens, "refresh_token"), NULL);
    struct str form = { 0 };
    struct err ignored = { 0 };
    if (!token || !json_str(json_get(client, "client_id"), NULL)) return false;
    put_pair(&form, "grant_type", "refresh_token");
    put_pair(&form, "refresh_token", token);
    struct json *r = ask_token(o, s, client, &form, &ignored);
    if (r) take_tokens(o, s, record, NULL, r, json_str(json_get(tokens, "scope"), NULL));
    bool ok = r != NULL;
    json_free(r);
    str_done(&form);
    return ok;
}

/* ---- by way of the user ---- */

struct journey { char *state, *verifier, *challenge; struct str redirect, scope, url; struct json *client; struct oauth_page page; };

static void journey_done(struct journey *j)
{
    mem_free(j->state), mem_free(j->verifier), mem_free(j->challenge);
    str_done(&j->redirect), str_done(&j->scope), str_done(&j->url);
    json_free(j->client);
    oauth_page_close(&j->page);
}

/* The port that the issuer knows us by, if it is free. */
static bool open_page(const struct oauth *o, const struct json *known, struct oauth_page *p, struct err *e)
{
    const char *redirect = json_str(json_get(known, "redirect"), NULL), *colon = redirect ? strrchr(redirect, ':') : NULL;
    struct err ignored = { 0 };
    if (o->port) return oauth_page_open(p, o->port, e);
    return (colon && oauth_page_open(p, atoi(colon + 1), &ignored)) || oauth_page_open(p, 0, e);
}

static bool prepare(struct oauth *o, const struct oauth_site *s, const char *challenge, const struct json *record, struct journey *j, struct err *e)
{
    uint8_t hash[32];
    if (!open_page(o, json_get(record, "client"), &j->page, e)) return false;
    str_fmt(&j->redirect, "http://127.0.0.1:%d/callback", j->page.port);
    put_scope(o, s, challenge, record, &j->scope);
    if (!(j->state = random_text(e)) || !(j->verifier = random_text(e))) return false;
    sha256(j->verifier, strlen(j->verifier), hash);
    j->challenge = base64_url(hash, sizeof hash);
    if (!(j->client = identify(o, s, json_get(record, "client"), j->redirect.p, j->scope.p, e))) return false;
    str_fmt(&j->url, "%s%c", s->authorize, strchr(s->authorize, '?') ? '&' : '?');
    put_pair(&j->url, "response_type", "code");
    put_pair(&j->url, "client_id", json_str(json_get(j->client, "client_id"), NULL));
    put_pair(&j->url, "redirect_uri", j->redirect.p);
    put_pair(&j->url, "state", j->state);
    put_pair(&j->url, "code_challenge", j->challenge);
    put_pair(&j->url, "code_challenge_method", "S256");
    put_pair(&j->url, "resource", s->resource);
    put_pair(&j->url, "scope", j->scope.p);
    return true;
}

/* The answer is of the issuer that was asked, and to this question. */
static bool answer_ok(const struct oauth_site *s, const struct journey *j, const char *query, struct err *e)
{
    char *state = oauth_param(query, "state"), *iss = oauth_param(query, "iss"), *error = oauth_param(query, "error"), *about = oauth_param(query, "error_description");
    bool says_iss = json_bool(json_get(s->meta, "authorization_response_iss_parameter_supported")), ok = true;
    if (!state || strcmp(state, j->state)) ok = err_set(e, ERR_ARG, "the answer of the page is not to our question (state)");
    else if (iss ? strcmp(iss, s->issuer) != 0 : says_iss)
        ok = err_set(e, ERR_ARG, "the answer of the page is of %.120s, but %.120s was asked", iss ? iss : "nobody", s->issuer);
    else if (error) ok = err_set(e, ERR_ARG, "the sign-in was refused: %.60s %.160s", error, about ? about : "");
    mem_free(state), mem_free(iss), mem_free(error), mem_free(about);
    return ok;
}

static bool redeem(struct oauth *o, const struct oauth_site *s, struct json *record, const struct journey *j, const char *query, struct err *e)
{
    char *code = oauth_param(query, "code");
    struct str form = { 0 };
    struct json *r = NULL;
    if (!code) err_set(e, ERR_ARG, "the answer of the page holds no code");
    else {
        put_pair(&form, "grant_type", "authorization_code");
        put_pair(&form, "code", code);
        put_pair(&form, "redirect_uri", j->redirect.p);
        put_pair(&form, "code_verifier", j->verifier);
        r = ask_token(o, s, j->client, &form, e);
    }
    if (r) take_tokens(o, s, record, j->client, r, j->scope.p);
    bool ok = r != NULL;
    json_free(r);
    mem_free(code);
    str_done(&form);
    return ok;
}

static bool travel(struct oauth *o, const struct oauth_site *s, const char *challenge, struct json *record, struct err *e)
{
    struct journey j = { .page = { .fd = -1 } };
    char *query = NULL;
    bool ok = prepare(o, s, challenge, record, &j, e);
    if (ok && !mcp_page_ok(s->authorize)) ok = err_set(e, ERR_ARG, "its page %.120s is not one that a person is sent to", s->authorize);
    if (ok) ok = o->sign_in(o->sign_in_ctx, o->name, j.url.p) || err_set(e, ERR_CANCEL, "nobody signed in");
    if (ok) ok = (query = oauth_page_wait(&j.page, WAIT_MS, e)) && answer_ok(s, &j, query, e) && redeem(o, s, record, &j, query, e);
    mem_free(query);
    journey_done(&j);
    return ok;
}

/* ---- a request was refused ---- */

static bool obtain(struct oauth *o, int status, const char *challenge, struct err *e)
{
    struct oauth_site site;
    if (!oauth_find(o, challenge, &site, e)) return err_in(e, "signing in");
    struct json *record = oauth_recall(o, site.issuer);
    bool ok = status == 401 && refresh(o, &site, record);
    if (!ok && !o->sign_in) err_set(e, ERR_ARG, "it wants somebody to sign in (tenon tools login, or \"headers\": {\"Authorization\": \"Bearer ${env:NAME}\"})");
    else if (!ok) ok = travel(o, &site, challenge, record, e) || err_in(e, "signing in");
    json_free(record);
    oauth_site_done(&site);
    return ok;
}

bool oauth_refused(struct oauth *o, int status, const char *challenge, const char *used, struct err *e)
{
    char *error = oauth_challenge(challenge, "error");
    bool more = error && !strcmp(error, "insufficient_scope"), ok = false;
    mem_free(error);
    if (status == 403 && !more) return false;
    pthread_mutex_lock(&o->busy);
    struct str now = { 0 };
    oauth_token(o, &now);
    if (now.len && strcmp(now.p, used)) ok = true;                    /* somebody else was faster */
    else if (more && o->step_ups++ >= STEP_UPS_MOST) err_set(e, ERR_LIMIT, "it wants more scopes again and again");
    else ok = obtain(o, status, challenge, e);
    str_done(&now);
    pthread_mutex_unlock(&o->busy);
    return ok;
}
