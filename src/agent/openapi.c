/* openapi.c -- the operations of an OpenAPI document (3.0, 3.1, as JSON) become HTTP tools.
 *
 * One tool an operation: named by operationId, else by method and path; its parameters are those of path and query,
 * and the members of a JSON body (under `body` where it is no object, or names meet). Schemas that refer to others
 * take these along as $defs. The result is a configuration that web.c reads like one written by hand, so nothing is
 * sent from here. Left out, and said so: deprecated operations silently, required headers and bodies that are no
 * JSON with a warning. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>

#include "agent/int.h"

#define UNASKED_MOST 40                     /* more operations need a filter */
#define SCHEMAS "#/components/schemas/"

struct import { struct toolset *ts; const struct json *spec, *entry; const char *dir, *prefix; struct str base; int n; };

/* "#/components/parameters/x" within the document; anything else is itself. */
static const struct json *resolve(const struct import *im, const struct json *v)
{
    for (int depth = 0; depth < 8; depth++) {
        const char *ref = json_str(json_get(v, "$ref"), NULL);
        if (!ref || strncmp(ref, "#/", 2)) return v;
        v = im->spec;
        for (const char *p = ref + 1; v && *p == '/';) {
            char key[200];
            size_t n = strcspn(++p, "/");
            snprintf(key, sizeof key, "%.*s", (int)MIN(n, sizeof key - 1), p);
            v = json_get(v, key);
            p += n;
        }
    }
    return v;
}

/* A copy whose references to other schemas point into $defs; *uses: there is one. */
static struct json *localise(const struct json *v, bool *uses)
{
    size_t prefix = sizeof SCHEMAS - 1;
    if (json_is(v, JSON_ARRAY)) {
        struct json *out = json_new_array();
        for (size_t i = 0; i < json_len(v); i++) json_push(out, localise(json_at(v, i), uses));
        return out;
    }
    if (!json_is(v, JSON_OBJECT)) return json_copy(v);
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        const char *ref = !strcmp(it.key, "$ref") ? json_str(it.value, NULL) : NULL;
        if (ref && !strncmp(ref, SCHEMAS, prefix)) {
            struct str s = { 0 };
            str_fmt(&s, "#/$defs/%s", ref + prefix);
            json_set(out, it.key, json_new_str(s.p));
            str_done(&s);
            *uses = true;
        } else json_set(out, it.key, localise(it.value, uses));
    }
    return out;
}

static void put_property(struct json *props, const char *name, const struct json *schema, const struct json *about, bool *uses)
{
    struct json *s = schema ? localise(schema, uses) : json_new_object();
    if (about && json_is(s, JSON_OBJECT) && !json_get(s, "description")) json_set(s, "description", json_copy(about));
    json_set(props, name, s);
}

/* ---- an operation ---- */

struct op { struct json *props, *required; struct str url, query; const char *body; bool uses, unfit; };

static void put_parameter(struct op *o, const struct json *p)
{
    const char *name = json_str(json_get(p, "name"), NULL);
    const struct json *in = json_get(p, "in");
    bool in_query = json_str_is(in, "query"), in_path = json_str_is(in, "path");
    if (!name || (!in_query && !in_path)) {
        o->unfit |= json_bool(json_get(p, "required"));
        return;
    }
    put_property(o->props, name, json_get(p, "schema"), json_get(p, "description"), &o->uses);
    if (in_path || json_bool(json_get(p, "required"))) json_push(o->required, json_new_str(name));
    if (in_query) str_fmt(&o->query, "%c%s={%s}", o->query.len ? '&' : '?', name, name);
}

static void put_parameters(const struct import *im, struct op *o, const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++) put_parameter(o, resolve(im, json_at(list, i)));
}

static bool names_meet(const struct op *o, const struct json *props)
{
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (json_get(o->props, it.key)) return true;
    return false;
}

static void put_body(const struct import *im, struct op *o, const struct json *body)
{
    const struct json *media = json_get(json_get(body, "content"), "application/json"), *schema = resolve(im, json_get(media, "schema"));
    const struct json *props = json_get(schema, "properties");
    if (!body) return;
    if (!media) {
        o->unfit |= json_bool(json_get(body, "required"));
        return;
    }
    if (!json_is(props, JSON_OBJECT) || names_meet(o, props)) {
        put_property(o->props, "body", json_get(media, "schema"), NULL, &o->uses);
        if (json_bool(json_get(body, "required"))) json_push(o->required, json_new_str("body"));
        o->body = "{body}";
        return;
    }
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (!json_bool(json_get(resolve(im, it.value), "readOnly"))) put_property(o->props, it.key, it.value, NULL, &o->uses);
    const struct json *need = json_get(schema, "required");
    for (size_t i = 0; i < json_len(need); i++) {
        const char *name = json_str(json_at(need, i), NULL);
        if (name && json_get(o->props, name)) json_push(o->required, json_new_str(name));
    }
    o->body = "json";
}

static char *op_name(const struct import *im, const struct json *op, const char *method, const char *path)
{
    const char *id = json_str(json_get(op, "operationId"), NULL);
    struct str s = { 0 };
    str_puts(&s, im->prefix);
    if (id && *id) str_puts(&s, id);
    else str_fmt(&s, "%s%s", method, path);
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '-') s.p[i] = '_';
    if (s.len > 64) s.p[s.len = 64] = 0;
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

static struct json *config_of(const struct import *im, struct op *o, const struct json *op, const char *method)
{
    static const char *const passed[] = { "headers", "approve", "insecure", "allow_private", "timeout_ms" };
    struct json *c = json_new_object(), *par = json_new_object();
    char upper[8];
    for (size_t i = 0; i < sizeof upper; i++) upper[i] = (char)toupper((unsigned char)method[i < strlen(method) ? i : strlen(method)]);
    json_set(par, "type", json_new_str("object"));
    json_set(par, "properties", o->props);
    json_set(par, "required", o->required);
    json_set(par, "additionalProperties", json_new_bool(false));
    if (o->uses) json_set(par, "$defs", localise(json_get(json_get(im->spec, "components"), "schemas"), &o->uses));
    json_set(c, "description", op_about(op));
    json_set(c, "parameters", par);
    json_set(c, "method", json_new_str(upper));
    str_puts(&o->url, o->query.p ? o->query.p : "");
    json_set(c, "url", json_new_str(o->url.p));
    if (o->body) json_set(c, "body", json_new_str(o->body));
    for (size_t i = 0; i < LEN(passed); i++)
        if (json_get(im->entry, passed[i])) json_set(c, passed[i], json_copy(json_get(im->entry, passed[i])));
    return c;
}

static void import_op(struct import *im, const char *name, const char *method, const char *path, const struct json *item, const struct json *op)
{
    struct op o = { .props = json_new_object(), .required = json_new_array() };
    struct err e = { 0 };
    str_fmt(&o.url, "%s%s", im->base.p, path);
    put_parameters(im, &o, json_get(item, "parameters"));
    put_parameters(im, &o, json_get(op, "parameters"));
    put_body(im, &o, resolve(im, json_get(op, "requestBody")));
    struct json *config = config_of(im, &o, op, method);
    if (o.unfit) toolset_warn(im->ts, "openapi: %s is left out: it needs a header, or a body that is no JSON", name);
    else if (web_read(im->ts, name, config, im->dir, &e)) im->n++;
    else toolset_warn(im->ts, "openapi: %s is left out: %s", name, e.msg);
    json_free(config);
    str_done(&o.url);
    str_done(&o.query);
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

static bool each_op(struct import *im, struct err *e)
{
    static const char *const methods[] = { "get", "head", "post", "put", "patch", "delete" };
    int n = 0;
    for (struct json_iter path = json_iter(json_get(im->spec, "paths")); json_next(&path);)
        for (size_t i = 0; i < LEN(methods); i++) {
            const struct json *op = json_get(path.value, methods[i]);
            if (!json_is(op, JSON_OBJECT) || json_bool(json_get(op, "deprecated"))) continue;
            char *name = op_name(im, op, methods[i], path.key);
            bool takes = wanted(im, name), many = takes && ++n > UNASKED_MOST && !json_get(im->entry, "operations");
            if (takes && !many) import_op(im, name, methods[i], path.key, path.value, op);
            mem_free(name);
            if (many) return err_set(e, ERR_LIMIT, "more than %d operations; choose some with \"operations\": [\"get*\"]", UNASKED_MOST);
        }
    return im->n || err_set(e, ERR_ARG, "no operation of it can be offered");
}

static bool find_base(struct import *im, struct err *e)
{
    const char *base = json_str(json_get(im->entry, "base_url"), NULL);
    if (!base) base = json_str(json_get(json_at(json_get(im->spec, "servers"), 0), "url"), NULL);
    if (!base || !strstr(base, "://")) return err_set(e, ERR_ARG, "base_url is needed: the document names no whole address");
    str_puts(&im->base, base);
    while (im->base.len && im->base.p[im->base.len - 1] == '/') im->base.p[--im->base.len] = 0;
    return true;
}

static bool import_one(struct toolset *ts, const struct json *entry, const char *dir, struct err *e)
{
    static const char *const known[] = { "spec", "prefix", "operations", "base_url", "headers", "approve", "insecure", "allow_private", "timeout_ms" };
    const char *file = json_str(json_get(entry, "spec"), NULL), *prefix = json_str(json_get(entry, "prefix"), NULL);
    struct str path = { 0 };
    for (struct json_iter it = json_iter(entry); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "'%.60s' is not known; spec, prefix, operations, base_url, headers … are", it.key);
    }
    if (!file) return err_set(e, ERR_ARG, "spec: the file is needed");
    if (*file == '/') str_puts(&path, file);
    else str_fmt(&path, "%s/%s", dir, file);
    struct json *spec = json_read(path.p, e);
    struct import im = { .ts = ts, .spec = spec, .entry = entry, .dir = dir, .prefix = prefix ? prefix : "" };
    bool ok = spec && find_base(&im, e) && each_op(&im, e);
    if (spec && !ok) err_in(e, "%s", path.p);
    json_free(spec);
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
