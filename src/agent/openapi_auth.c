/* openapi_auth.c -- security schemes of an OpenAPI document, mapped to variables of the environment.
 *
 * A scheme `api_key` is read from API_KEY (letters made large, all else _), or from the variable that the tools file
 * names: "auth": {"api_key": "PETS_KEY"}. apiKey goes into its header, query or cookie; http bearer, oauth2 and
 * openIdConnect are bearer tokens; http basic is name:password. A header that the tools file sets itself (headers)
 * counts as given. Of the ways that an operation offers the first that is whole is taken. The values are secrets: they
 * are never in what the model or a record sees, in whatever form they are sent. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/openapi.h"

static void name_of_variable(const struct json *entry, const char *scheme, struct str *out)
{
    const char *said = json_str(json_get(json_get(entry, "auth"), scheme), NULL);
    if (said) {
        str_puts(out, said);
        return;
    }
    for (const char *p = scheme; *p; p++) str_putc(out, isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_');
}

static bool sets_header(const struct json *entry, const char *name)
{
    for (struct json_iter it = json_iter(json_get(entry, "headers")); json_next(&it);)
        if (!strcasecmp(it.key, name)) return true;
    return false;
}

static void put_pair(struct json *o, const char *key, const char *before, const char *value)
{
    struct str s = { 0 };
    str_fmt(&s, "%s%s", before, value);
    json_set(o, key, json_new_strn(s.p, s.len));
    str_done(&s);
}

/* "${env:NAME}", which web.c reads as it reads those of a file. */
static void put_key(struct openapi_keys *out, const char *in, const char *name, const char *variable)
{
    struct str value = { 0 };
    str_fmt(&value, "${env:%s}", variable);
    if (!strcmp(in, "header")) put_pair(out->headers, name, "", value.p);
    else if (!strcmp(in, "cookie")) put_pair(out->cookies, name, "", value.p);
    else {
        str_putc(&out->query, out->query.len ? '&' : '?');
        percent_encode(&out->query, name, strlen(name));
        str_fmt(&out->query, "=%s", value.p);
    }
    str_done(&value);
}

static void put_basic(struct toolset *ts, struct openapi_keys *out, const char *variable, const char *value)
{
    struct str s = { 0 };
    base64_put(&s, value, strlen(value));
    toolset_secret(ts, variable, value);
    toolset_secret(ts, variable, s.p ? s.p : "");
    put_pair(out->headers, "Authorization", "Basic ", s.p ? s.p : "");
    str_done(&s);
}

/* One scheme. False: it cannot be satisfied, and why says so. */
static bool put_scheme(struct toolset *ts, const struct json *spec, const struct json *entry, const char *scheme, struct openapi_keys *out, struct str *why)
{
    const struct json *d = openapi_resolve(spec, json_get(json_get(json_get(spec, "components"), "securitySchemes"), scheme)), *type = json_get(d, "type");
    const char *http = json_str(json_get(d, "scheme"), NULL), *in = json_str(json_get(d, "in"), NULL), *name = json_str(json_get(d, "name"), NULL);
    bool is_key = json_str_is(type, "apiKey") && in && name && (!strcmp(in, "header") || !strcmp(in, "query") || !strcmp(in, "cookie"));
    bool is_http = json_str_is(type, "http") && http, is_basic = is_http && !strcasecmp(http, "basic");
    bool is_bearer = (is_http && !strcasecmp(http, "bearer")) || json_str_is(type, "oauth2") || json_str_is(type, "openIdConnect");
    struct str variable = { 0 };
    if ((is_key && !strcmp(in, "header") && sets_header(entry, name)) || ((is_basic || is_bearer) && sets_header(entry, "Authorization"))) return true;
    if (!is_key && !is_basic && !is_bearer) {
        str_fmt(why, "%s%s (of a kind that is not known)", why->len ? ", " : "", scheme);
        return false;
    }
    name_of_variable(entry, scheme, &variable);
    const char *value = variable.len ? getenv(variable.p) : NULL;
    bool has = value && *value;
    if (!has) str_fmt(why, "%s%s", why->len ? ", " : "", variable.p ? variable.p : scheme);
    else if (is_key) put_key(out, in, name, variable.p);
    else if (is_basic) put_basic(ts, out, variable.p, value);
    else {
        struct str s = { 0 };
        str_fmt(&s, "Bearer ${env:%s}", variable.p);
        put_pair(out->headers, "Authorization", "", s.p);
        str_done(&s);
    }
    str_done(&variable);
    return has;
}

static void forget(struct openapi_keys *k)
{
    json_free(k->headers);
    json_free(k->cookies);
    str_done(&k->query);
    *k = (struct openapi_keys){ .headers = json_new_object(), .cookies = json_new_object() };
}

bool openapi_keys(struct toolset *ts, const struct json *spec, const struct json *entry, const struct json *op, struct openapi_keys *out, struct str *why)
{
    const struct json *ways = json_get(op, "security") ? json_get(op, "security") : json_get(spec, "security");
    *out = (struct openapi_keys){ 0 };
    forget(out);
    if (!json_len(ways)) return true;
    bool may_be_nobody = false;
    for (size_t i = 0; i < json_len(ways); i++) {
        bool whole = true;
        may_be_nobody |= !json_len(json_at(ways, i));
        if (!json_len(json_at(ways, i))) continue;                    /* nobody: only if nothing else can be said */
        for (struct json_iter it = json_iter(json_at(ways, i)); whole && json_next(&it);) whole = put_scheme(ts, spec, entry, it.key, out, why);
        if (whole) return true;
        forget(out);
    }
    return may_be_nobody;
}
