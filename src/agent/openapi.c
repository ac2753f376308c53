/* openapi.c -- the operations of an OpenAPI document (3.0, 3.1, as JSON) become HTTP tools.
 *
 * One tool an operation: named by operationId, else by method and path; its parameters are those of path, query,
 * headers and cookies, and the members of a JSON body (under `body` where it is no object, or names meet). The result
 * is a configuration that web.c reads like one written by hand, so nothing is sent from here, and its rules about
 * addresses hold. Left out silently: deprecated operations. Left out with a warning: those that need a body that is
 * no JSON, or a key that is not there. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/openapi.h"

#define UNASKED_MOST 40                     /* more operations need a filter, or a choice by what is asked */
#define OPERATIONS_MOST 1000
#define NAME_MOST 64

struct import { struct toolset *ts; const struct json *spec, *entry; const char *dir, *prefix; char *stem; struct str base; int n; };

/* ---- an operation ---- */

struct op {
    struct json *props, *required, *headers, *cookies, *styles;
    struct words refs, seen;                                          /* seen: "in name" by turns with the key of a parameter */
    struct str query;
    const char *body;
    bool unfit;                                                       /* a body that is no JSON is needed */
};

static void op_done(struct op *o)
{
    json_free(o->props);
    json_free(o->required);
    json_free(o->headers);
    json_free(o->cookies);
    json_free(o->styles);
    words_done(&o->refs);
    words_done(&o->seen);
    str_done(&o->query);
}

/* What a model and a template can say of a name such as filter[since] or $top; free says that nobody else is called so. */
static char *key_of(const struct op *o, const char *name, const char *in)
{
    struct str s = { 0 };
    for (const char *p = name; *p; p++) str_putc(&s, isalnum((unsigned char)*p) || strchr("_-.", *p) ? *p : '_');
    if (json_get(o->props, s.p ? s.p : "")) str_fmt(&s, "_%s", in);
    for (int i = 2; json_get(o->props, s.p ? s.p : "") && i < 100; i++) str_fmt(&s, "%d", i);
    return str_take(&s);
}

static const char *key_seen(const struct op *o, const char *in, const char *name)
{
    for (int i = 0; i + 2 < o->seen.n; i += 3)
        if (!strcmp(o->seen.p[i], in) && !strcmp(o->seen.p[i + 1], name)) return o->seen.p[i + 2];
    return NULL;
}

static void put_property(const struct import *im, struct op *o, const char *key, const struct json *schema, const struct json *about)
{
    struct json *s = schema ? openapi_schema(im->spec, schema, &o->refs) : json_new_object();
    if (about && json_is(s, JSON_OBJECT) && !json_get(s, "description")) json_set(s, "description", json_copy(about));
    json_set(o->props, key, s);
}

/* How arrays and objects are written: web.c repeats the pairs of the query, and joins by commas elsewhere. */
static void put_style(struct op *o, const char *key, const struct json *p, bool in_query)
{
    const struct json *style = json_get(p, "style"), *explode = json_get(p, "explode");
    bool is_form = !style || json_str_is(style, "form"), exploded = explode ? json_bool(explode) : is_form;
    if (!in_query || json_get(p, "content")) return;
    if (json_str_is(style, "deepObject")) json_set(o->styles, key, json_new_str("deep"));
    else if (json_str_is(style, "spaceDelimited")) json_set(o->styles, key, json_new_str("space"));
    else if (json_str_is(style, "pipeDelimited")) json_set(o->styles, key, json_new_str("pipe"));
    else json_set(o->styles, key, json_new_str(exploded ? "members" : "comma"));
}

/* Names of headers that say how a request is sent, not what it asks for. */
static bool is_ours(const char *header)
{
    static const char *const names[] = { "accept", "content-type", "authorization", "host", "content-length", "transfer-encoding", "connection", "cookie" };
    for (size_t i = 0; i < LEN(names); i++)
        if (!strcasecmp(header, names[i])) return true;
    return false;
}

static const struct json *schema_of(const struct json *p)
{
    const struct json *content = json_get(p, "content");
    if (!content) return json_get(p, "schema");
    struct json_iter it = json_iter(content);
    return json_next(&it) ? json_get(it.value, "schema") : NULL;
}

static void put_slot(struct json *o, const char *name, const char *key)
{
    struct str s = { 0 };
    str_fmt(&s, "{%s}", key);
    json_set(o, name, json_new_str(s.p));
    str_done(&s);
}

static void put_parameter(const struct import *im, struct op *o, const struct json *p)
{
    const char *name = json_str(json_get(p, "name"), NULL), *in = json_str(json_get(p, "in"), NULL);
    bool known = name && in && (!strcmp(in, "path") || !strcmp(in, "query") || !strcmp(in, "header") || !strcmp(in, "cookie"));
    if (!known || (!strcmp(in, "header") && is_ours(name)) || key_seen(o, in, name)) return;
    char *key = key_of(o, name, in);
    put_property(im, o, key, schema_of(p), json_get(p, "description"));
    put_style(o, key, p, !strcmp(in, "query"));
    if (!strcmp(in, "path") || json_bool(json_get(p, "required"))) json_push(o->required, json_new_str(key));
    if (!strcmp(in, "query")) {
        str_putc(&o->query, o->query.len ? '&' : '?');
        percent_encode(&o->query, name, strlen(name));
        str_fmt(&o->query, "={%s}", key);
    } else if (!strcmp(in, "header")) put_slot(o->headers, name, key);
    else if (!strcmp(in, "cookie")) put_slot(o->cookies, name, key);
    words_put(&o->seen, mem_str(in));
    words_put(&o->seen, mem_str(name));
    words_put(&o->seen, key);
}

/* Those of the operation come first: they stand for those of the path that have the same name and place. */
static void put_parameters(const struct import *im, struct op *o, const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++) put_parameter(im, o, openapi_resolve(im->spec, json_at(list, i)));
}

static bool names_meet(const struct op *o, const struct json *props)
{
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (json_get(o->props, it.key)) return true;
    return false;
}

static const struct json *json_media(const struct json *body)
{
    for (struct json_iter it = json_iter(json_get(body, "content")); json_next(&it);)
        if (strcasestr(it.key, "json") || !strcmp(it.key, "*/*")) return it.value;
    return NULL;
}

static void put_whole_body(const struct import *im, struct op *o, const struct json *body, const struct json *media)
{
    put_property(im, o, "body", json_get(media, "schema"), json_get(body, "description"));
    if (json_bool(json_get(body, "required"))) json_push(o->required, json_new_str("body"));
    o->body = "{body}";
}

static void put_body(const struct import *im, struct op *o, const struct json *body)
{
    const struct json *media = json_media(body);
    if (!body) return;
    if (!media) {
        o->unfit |= json_bool(json_get(body, "required"));
        return;
    }
    struct words refs = { 0 };
    struct json *schema = openapi_schema(im->spec, openapi_resolve(im->spec, json_get(media, "schema")), &refs);
    const struct json *props = json_get(schema, "properties"), *need = json_get(schema, "required");
    if (!json_is(props, JSON_OBJECT) || names_meet(o, props)) put_whole_body(im, o, body, media);
    else {
        for (struct json_iter it = json_iter(props); json_next(&it);) json_set(o->props, it.key, json_copy(it.value));
        for (size_t i = 0; i < json_len(need); i++) json_push(o->required, json_copy(json_at(need, i)));
        for (int i = 0; i < refs.n; i++) words_put(&o->refs, mem_str(refs.p[i]));
        o->body = "json";
    }
    words_done(&refs);
    json_free(schema);
}

/* ---- its name and what is said of it ---- */

static void clean_name(struct str *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (!isalnum((unsigned char)s->p[i]) && s->p[i] != '_' && s->p[i] != '-') s->p[i] = '_';
    if (s->len > NAME_MOST) s->p[s->len = NAME_MOST] = 0;
}

static char *op_name(const struct import *im, const struct json *op, const char *method, const char *path)
{
    const char *id = json_str(json_get(op, "operationId"), NULL);
    struct str s = { 0 };
    str_puts(&s, im->prefix);
    if (id && *id) str_puts(&s, id);
    else str_fmt(&s, "%s%s", method, path);
    clean_name(&s);
    return str_take(&s);
}

/* The name itself, else with the document's before it, else with a number behind it. */
static char *free_name(const struct import *im, const char *name)
{
    struct str s = { 0 };
    str_puts(&s, name);
    for (int i = 0; toolset_find(im->ts, s.p) && i < 1000; i++) {
        char number[12];
        str_clear(&s);
        str_fmt(&s, "%s_%s", im->stem, name);
        clean_name(&s);
        if (!i) continue;
        int n = snprintf(number, sizeof number, "_%d", i + 1);
        if (s.len + (size_t)n > NAME_MOST) s.p[s.len = NAME_MOST - (size_t)n] = 0;
        str_puts(&s, number);
    }
    return str_take(&s);
}

/* summary, and the first paragraph of description. */
static struct json *op_about(const struct json *op)
{
    const char *summary = json_str(json_get(op, "summary"), NULL), *more = json_str(json_get(op, "description"), NULL);
    struct str s = { 0 };
    const char *end = more ? strstr(more, "\n\n") : NULL;
    if (summary) str_puts(&s, summary);
    if (more && (!summary || strcmp(more, summary))) str_fmt(&s, "%s%.*s", s.len ? ". " : "", (int)(end ? end - more : (long)strlen(more)), more);
    struct json *v = json_new_strn(s.p ? s.p : "", s.len);
    str_done(&s);
    return v;
}

/* ---- the tool ---- */

/* {petId} of the path by the key under which the model knows it. */
static void put_path(const struct op *o, const char *path, struct str *url)
{
    for (const char *p = path; *p;) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (!end) {
            str_putc(url, *p++);
            continue;
        }
        char name[200];
        snprintf(name, sizeof name, "%.*s", (int)MIN((size_t)(end - p) - 1, sizeof name - 1), p + 1);
        const char *key = key_seen(o, "path", name);
        str_fmt(url, "{%s}", key ? key : name);
        p = end + 1;
    }
}

static void put_members(struct json *to, const struct json *from)
{
    for (struct json_iter it = json_iter(from); json_next(&it);) json_set(to, it.key, json_copy(it.value));
}

/* All of the query: what is always sent, then the operation's. */
static void put_query(const struct op *o, const struct openapi_keys *keys, struct str *url)
{
    if (keys->query.len) str_puts(url, keys->query.p);
    if (o->query.len) str_fmt(url, "%c%s", keys->query.len ? '&' : '?', o->query.p + 1);
}

static struct json *config_of(const struct import *im, struct op *o, const struct json *op, const char *method, const char *path, const struct openapi_keys *keys)
{
    static const char *const passed[] = { "approve", "insecure", "allow_private", "timeout_ms", "result_tokens" };
    struct json *c = json_new_object(), *par = json_new_object(), *headers = json_new_object(), *cookies = json_new_object(), *defs = openapi_defs(im->spec, &o->refs);
    struct str url = { 0 }, upper = { 0 };
    for (const char *p = method; *p; p++) str_putc(&upper, (char)toupper((unsigned char)*p));
    json_set(par, "type", json_new_str("object"));
    json_set(par, "properties", json_copy(o->props));
    json_set(par, "required", json_copy(o->required));
    json_set(par, "additionalProperties", json_new_bool(false));
    if (defs) json_set(par, "$defs", defs);
    put_members(headers, o->headers);
    put_members(headers, keys->headers);
    put_members(headers, json_get(im->entry, "headers"));
    put_members(cookies, o->cookies);
    put_members(cookies, keys->cookies);
    str_puts(&url, im->base.p);
    put_path(o, path, &url);
    put_query(o, keys, &url);
    json_set(c, "description", op_about(op));
    json_set(c, "parameters", par);
    json_set(c, "method", json_new_str(upper.p));
    json_set(c, "url", json_new_str(url.p));
    json_set(c, "headers", headers);
    json_set(c, "cookies", cookies);
    json_set(c, "styles", json_copy(o->styles));
    if (o->body) json_set(c, "body", json_new_str(o->body));
    for (size_t i = 0; i < LEN(passed); i++)
        if (json_get(im->entry, passed[i])) json_set(c, passed[i], json_copy(json_get(im->entry, passed[i])));
    str_done(&url);
    str_done(&upper);
    return c;
}

static void import_op(struct import *im, const char *wished, const char *method, const char *path, const struct json *item, const struct json *op)
{
    struct op o = { .props = json_new_object(), .required = json_new_array(), .headers = json_new_object(), .cookies = json_new_object(), .styles = json_new_object() };
    struct openapi_keys keys;
    struct str why = { 0 };
    struct err e = { 0 };
    char *name = free_name(im, wished);
    put_parameters(im, &o, json_get(op, "parameters"));
    put_parameters(im, &o, json_get(item, "parameters"));
    put_body(im, &o, openapi_resolve(im->spec, json_get(op, "requestBody")));
    bool has_keys = openapi_keys(im->ts, im->spec, im->entry, op, &keys, &why);
    if (o.unfit) toolset_warn(im->ts, "openapi: %s is left out: it needs a body that is no JSON", name);
    else if (!has_keys) toolset_warn(im->ts, "openapi: %s is left out: it needs a key, and the environment has no %s (\"auth\": {\"scheme\": \"VARIABLE\"} names others)", name, why.p ? why.p : "such variable");
    else {
        struct json *config = config_of(im, &o, op, method, path, &keys);
        if (web_read(im->ts, name, config, im->dir, &e)) im->n++;
        else toolset_warn(im->ts, "openapi: %s is left out: %s", name, e.msg);
        json_free(config);
    }
    json_free(keys.headers);
    json_free(keys.cookies);
    str_done(&keys.query);
    str_done(&why);
    mem_free(name);
    op_done(&o);
}

static bool wanted(const struct import *im, const char *name)
{
    const struct json *list = json_get(im->entry, "operations");
    for (size_t i = 0; i < json_len(list); i++) {
        const char *p = json_str(json_at(list, i), NULL);
        if (p && !fnmatch(p, name + strlen(im->prefix), 0)) return true;
    }
    return !list;
}

/* ---- the document ---- */

static bool may_be_many(const struct import *im) { return im->ts->opts.retrieves || json_get(im->entry, "operations"); }

static bool each_op(struct import *im, struct err *e)
{
    static const char *const methods[] = { "get", "head", "post", "put", "patch", "delete" };
    int n = 0;
    for (struct json_iter path = json_iter(json_get(im->spec, "paths")); json_next(&path);) {
        const struct json *item = openapi_resolve(im->spec, path.value);
        for (size_t i = 0; i < LEN(methods); i++) {
            const struct json *op = json_get(item, methods[i]);
            if (!json_is(op, JSON_OBJECT) || json_bool(json_get(op, "deprecated"))) continue;
            char *name = op_name(im, op, methods[i], path.key);
            bool takes = wanted(im, name), many = takes && ++n > (may_be_many(im) ? OPERATIONS_MOST : UNASKED_MOST);
            if (takes && !many) import_op(im, name, methods[i], path.key, item, op);
            mem_free(name);
            if (many) return err_set(e, ERR_LIMIT, "more than %d operations; choose some with \"operations\": [\"get*\"]", may_be_many(im) ? OPERATIONS_MOST : UNASKED_MOST);
        }
    }
    return im->n || err_set(e, ERR_ARG, "no operation of it can be offered: %.150s", toolset_warnings(im->ts));
}

/* "https://{region}.example.org": variables have a default. */
static void put_base(struct import *im, const char *url, const struct json *variables)
{
    for (const char *p = url; *p;) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        char name[200];
        if (end) snprintf(name, sizeof name, "%.*s", (int)MIN((size_t)(end - p) - 1, sizeof name - 1), p + 1);
        const char *value = end ? json_str(json_get(json_get(variables, name), "default"), NULL) : NULL;
        if (value) str_puts(&im->base, value);
        else str_put(&im->base, p, end ? (size_t)(end + 1 - p) : 1);
        p = end ? end + 1 : p + 1;
    }
}

static bool find_base(struct import *im, struct err *e)
{
    const char *base = json_str(json_get(im->entry, "base_url"), NULL);
    const struct json *server = json_at(json_get(im->spec, "servers"), 0);
    if (base) str_puts(&im->base, base);
    else if (json_str(json_get(server, "url"), NULL)) put_base(im, json_str(json_get(server, "url"), NULL), json_get(server, "variables"));
    if (!im->base.len || !strstr(im->base.p, "://")) return err_set(e, ERR_ARG, "base_url is needed: the document names no whole address");
    while (im->base.len && im->base.p[im->base.len - 1] == '/') im->base.p[--im->base.len] = 0;
    return true;
}

static bool entry_ok(const struct json *entry, struct err *e)
{
    static const char *const known[] = { "spec", "prefix", "operations", "base_url", "headers", "auth", "approve", "insecure", "allow_private", "timeout_ms", "result_tokens" };
    const struct json *auth = json_get(entry, "auth");
    for (struct json_iter it = json_iter(entry); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "'%.60s' is not known; spec, prefix, operations, base_url, headers, auth … are", it.key);
    }
    if (auth && !json_is(auth, JSON_OBJECT)) return err_set(e, ERR_ARG, "auth: an object is accepted, a security scheme of the document by the name of a variable");
    return json_str(json_get(entry, "spec"), NULL) || err_set(e, ERR_ARG, "spec: the file is needed");
}

static bool is_version(const struct json *spec, struct err *e)
{
    const char *v = json_str(json_get(spec, "openapi"), NULL);
    if (json_get(spec, "swagger")) return err_set(e, ERR_UNSUPPORTED, "OpenAPI 2 (Swagger) is not read; a converter makes 3.0 of it");
    return !v || !strncmp(v, "3.", 2) || err_set(e, ERR_UNSUPPORTED, "openapi: 3.0 and 3.1 are read, not %.20s", v);
}

/* The name of the file without folder and ending. */
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *from = slash ? slash + 1 : path;
    struct str s = { 0 };
    str_put(&s, from, strcspn(from, "."));
    clean_name(&s);
    return str_take(&s);
}

static struct json *read_spec(const char *path, struct err *e)
{
    struct json *v = json_read(path, e);
    if (!v && (ends_with(path, ".yaml") || ends_with(path, ".yml")) && file_exists(path))
        err_set(e, ERR_UNSUPPORTED, "%s: YAML is not read; make JSON of it first, for instance with yq -o json", path);
    return v;
}

static bool import_one(struct toolset *ts, const struct json *entry, const char *dir, struct err *e)
{
    const char *file = json_str(json_get(entry, "spec"), NULL), *prefix = json_str(json_get(entry, "prefix"), NULL);
    struct str path = { 0 };
    if (!entry_ok(entry, e)) return false;
    if (*file == '/') str_puts(&path, file);
    else str_fmt(&path, "%s/%s", dir, file);
    struct json *spec = read_spec(path.p, e);
    struct import im = { .ts = ts, .spec = spec, .entry = entry, .dir = dir, .prefix = prefix ? prefix : "", .stem = stem_of(path.p) };
    bool ok = spec && is_version(spec, e) && find_base(&im, e) && each_op(&im, e);
    if (spec && !ok) err_in(e, "%s", path.p);
    json_free(spec);
    mem_free(im.stem);
    str_done(&im.base);
    str_done(&path);
    return ok;
}

bool openapi_read(struct toolset *ts, const struct json *list, const char *dir, struct err *e)
{
    if (list && !json_is(list, JSON_ARRAY)) return err_set(e, ERR_ARG, "openapi: must be an array of objects with a spec");
    for (size_t i = 0; i < json_len(list); i++)
        if (!import_one(ts, json_at(list, i), dir, e)) return err_in(e, "openapi[%zu]", i);
    return true;
}
