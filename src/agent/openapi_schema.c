/* openapi_schema.c -- schemas of an OpenAPI document as JSON Schema that stands alone.
 *
 * A schema of the document refers to its neighbours under #/components/schemas; a tool's parameters take along those
 * that can be reached, as $defs, and no others: a document of a thousand schemas would otherwise be copied for every
 * operation. Members that only replies have (readOnly) are left out, wherever they stand. */
#include "agent/openapi.h"

#define SCHEMAS "#/components/schemas/"
#define DEPTH_MOST 64

const struct json *openapi_resolve(const struct json *spec, const struct json *v)
{
    for (int depth = 0; depth < 8; depth++) {
        const char *ref = json_str(json_get(v, "$ref"), NULL);
        if (!ref || strncmp(ref, "#/", 2)) return v;
        v = spec;
        for (const char *p = ref + 1; v && *p == '/';) {
            struct str key = { 0 };
            for (p++; *p && *p != '/'; p++) {
                bool escape = *p == '~' && (p[1] == '0' || p[1] == '1');
                str_putc(&key, escape ? (p[1] == '1' ? '/' : '~') : *p);
                p += escape;
            }
            v = json_get(v, key.p ? key.p : "");
            str_done(&key);
        }
    }
    return v;
}

static void put_ref(struct words *refs, const char *name)
{
    for (int i = 0; i < refs->n; i++)
        if (!strcmp(refs->p[i], name)) return;
    words_put(refs, mem_str(name));
}

static bool is_one_of(const char *key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(key, list[i])) return true;
    return false;
}

struct local { const struct json *spec; struct words *refs; };
static struct json *localise(const struct local *l, const struct json *v, int depth);

static bool is_read_only(const struct local *l, const struct json *schema)
{
    return json_bool(json_get(schema, "readOnly")) || json_bool(json_get(openapi_resolve(l->spec, schema), "readOnly"));
}

/* Members that are schemas; those of `properties` may be read-only. */
static struct json *localise_map(const struct local *l, const struct json *v, bool properties, int depth)
{
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (!properties || !is_read_only(l, it.value)) json_set(out, it.key, localise(l, it.value, depth + 1));
    return out;
}

static struct json *required_without(const struct local *l, const struct json *names, const struct json *props)
{
    struct json *out = json_new_array();
    for (size_t i = 0; i < json_len(names); i++) {
        const char *name = json_str(json_at(names, i), NULL);
        if (name && !is_read_only(l, json_get(props, name))) json_push(out, json_new_str(name));
    }
    return out;
}

static struct json *local_ref(const struct local *l, const char *ref)
{
    size_t prefix = sizeof SCHEMAS - 1;
    if (strncmp(ref, SCHEMAS, prefix)) return json_new_str(ref);
    struct str s = { 0 };
    put_ref(l->refs, ref + prefix);
    str_fmt(&s, "#/$defs/%s", ref + prefix);
    struct json *v = json_new_strn(s.p, s.len);
    str_done(&s);
    return v;
}

/* 3.0: "nullable" is a type more, and a bound that excludes itself is a flag beside it. */
static void modernise(struct json *o)
{
    static const char *const bounds[][2] = { { "exclusiveMinimum", "minimum" }, { "exclusiveMaximum", "maximum" } };
    const struct json *type = json_get(o, "type"), *values = json_get(o, "enum");
    if (json_bool(json_get(o, "nullable")) && json_is(type, JSON_STRING)) {
        struct json *both = json_new_array();
        json_push(both, json_copy(type));
        json_push(both, json_new_str("null"));
        json_set(o, "type", both);
        bool has_null = false;
        for (size_t i = 0; i < json_len(values); i++) has_null |= json_is(json_at(values, i), JSON_NULL);
        if (values && !has_null) json_push((struct json *)(uintptr_t)values, json_new_null());
    }
    json_unset(o, "nullable");
    for (size_t i = 0; i < LEN(bounds); i++) {
        const struct json *flag = json_get(o, bounds[i][0]), *bound = json_get(o, bounds[i][1]);
        if (!json_is(flag, JSON_BOOL)) continue;
        if (!json_bool(flag) || !bound) json_unset(o, bounds[i][0]);
        else {
            json_set(o, bounds[i][0], json_copy(bound));
            json_unset(o, bounds[i][1]);
        }
    }
}

static struct json *localise(const struct local *l, const struct json *v, int depth)
{
    static const char *const maps[] = { "properties", "patternProperties", "dependentSchemas", "$defs", "definitions" };
    static const char *const data[] = { "enum", "const", "default", "example", "examples", "required" };
    static const char *const dropped[] = { "xml", "externalDocs", "discriminator", "example", "readOnly", "writeOnly" };
    if (json_is(v, JSON_ARRAY) && depth < DEPTH_MOST) {
        struct json *out = json_new_array();
        for (size_t i = 0; i < json_len(v); i++) json_push(out, localise(l, json_at(v, i), depth + 1));
        return out;
    }
    if (!json_is(v, JSON_OBJECT) || depth >= DEPTH_MOST) return json_copy(v);
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        const char *ref = !strcmp(it.key, "$ref") ? json_str(it.value, NULL) : NULL;
        if (is_one_of(it.key, dropped, LEN(dropped))) continue;
        if (ref) json_set(out, it.key, local_ref(l, ref));
        else if (is_one_of(it.key, maps, LEN(maps)) && json_is(it.value, JSON_OBJECT))
            json_set(out, it.key, localise_map(l, it.value, !strcmp(it.key, "properties"), depth));
        else if (!strcmp(it.key, "required") && json_is(it.value, JSON_ARRAY)) json_set(out, it.key, required_without(l, it.value, json_get(v, "properties")));
        else if (is_one_of(it.key, data, LEN(data))) json_set(out, it.key, json_copy(it.value));
        else json_set(out, it.key, localise(l, it.value, depth + 1));
    }
    modernise(out);
    return out;
}

struct json *openapi_schema(const struct json *spec, const struct json *v, struct words *refs)
{
    return localise(&(struct local){ spec, refs }, v, 0);
}

struct json *openapi_defs(const struct json *spec, struct words *refs)
{
    const struct json *all = json_get(json_get(spec, "components"), "schemas");
    struct json *out = refs->n ? json_new_object() : NULL;
    for (int i = 0; i < refs->n; i++) {                               /* grows while it is walked */
        const struct json *v = json_get(all, refs->p[i]);
        if (v) json_set(out, refs->p[i], openapi_schema(spec, v, refs));
    }
    return out;
}
