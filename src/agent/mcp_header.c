/* mcp_header.c -- arguments as HTTP headers (MCP 2026-07-28, "custom headers"): a property of a tool's schema that says
 * "x-mcp-header": "Region" also travels as Mcp-Param-Region, for those on the way that do not read bodies.
 *
 * An annotation that is wrong makes the whole tool unusable, since a server would refuse its calls: it must stand on
 * a string, integer or boolean that is reached from the root through `properties` alone, be a token of RFC 9110, and
 * be there once, whatever the letters' case. References are not followed. */
#include <ctype.h>
#include <strings.h>

#include "agent/mcp.h"

#define DEPTH_MOST 64
#define KEY "x-mcp-header"

/* ---- values ---- */

static bool is_plain(const char *s, size_t n)
{
    static const char mark[] = "=?base64?";
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] > 0x7e) return false;
    bool has_mark = n >= sizeof mark + 1 && !memcmp(s, mark, sizeof mark - 1) && s[n - 2] == '?' && s[n - 1] == '=';
    return !has_mark && (!n || (*s != ' ' && s[n - 1] != ' '));
}

void header_value(struct str *out, const char *s, size_t n)
{
    if (is_plain(s, n)) {
        str_put(out, s, n);
        return;
    }
    str_puts(out, "=?base64?");
    base64_put(out, s, n);
    str_puts(out, "?=");
}

/* ---- annotations ---- */

static bool is_token(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p)) return false;
    return *s;
}

static bool has_name(const struct words *seen, const char *name)
{
    for (int i = 0; i < seen->n; i++)
        if (!strcasecmp(seen->p[i], name)) return true;
    return false;
}

static bool check_one(const struct json *schema, const struct json *name, bool reached, struct words *seen, struct err *e)
{
    const struct json *type = json_get(schema, "type");
    size_t len = 0;
    const char *s = json_str(name, &len);
    if (!reached) return err_set(e, ERR_SCHEMA, KEY " stands where no chain of properties leads");
    if (!s || strlen(s) != len || !is_token(s)) return err_set(e, ERR_SCHEMA, KEY ": a token of RFC 9110 is accepted");
    if (!json_str_is(type, "string") && !json_str_is(type, "integer") && !json_str_is(type, "boolean"))
        return err_set(e, ERR_SCHEMA, KEY " %.40s: stands on no string, integer or boolean", s);
    if (has_name(seen, s)) return err_set(e, ERR_SCHEMA, KEY " %.40s is there twice", s);
    words_put(seen, mem_str(s));
    return true;
}

/* Values of these keywords are schemas, lists of schemas, or objects of schemas; all else is data. */
static bool holds_schemas(const char *key)
{
    static const char *const known[] = { "items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties", "not", "if",
                                         "then", "else", "contentSchema", "allOf", "anyOf", "oneOf", "prefixItems", "patternProperties", "dependentSchemas",
                                         "$defs", "definitions" };
    for (size_t i = 0; i < LEN(known); i++)
        if (!strcmp(key, known[i])) return true;
    return false;
}

static bool walk(const struct json *v, bool is_root, bool reached, int depth, struct words *seen, struct err *e);

static bool walk_all(const struct json *v, bool reached, int depth, struct words *seen, struct err *e)
{
    for (size_t i = 0; json_is(v, JSON_ARRAY) && i < json_len(v); i++)
        if (!walk(json_at(v, i), false, reached, depth, seen, e)) return false;
    for (struct json_iter it = json_iter(json_is(v, JSON_OBJECT) ? v : NULL); json_next(&it);)
        if (!walk(it.value, false, reached, depth, seen, e)) return false;
    return true;
}

static bool is_map(const char *key)
{
    return !strcmp(key, "patternProperties") || !strcmp(key, "dependentSchemas") || !strcmp(key, "$defs") || !strcmp(key, "definitions");
}

static bool walk(const struct json *v, bool is_root, bool reached, int depth, struct words *seen, struct err *e)
{
    if (!json_is(v, JSON_OBJECT)) return true;
    if (depth > DEPTH_MOST) return err_set(e, ERR_SCHEMA, "it is nested more than %d deep", DEPTH_MOST);
    if (json_get(v, KEY) && !check_one(v, json_get(v, KEY), reached && !is_root, seen, e)) return false;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool ok = true;
        if (!strcmp(it.key, "properties")) ok = walk_all(it.value, reached, depth + 1, seen, e);
        else if (holds_schemas(it.key) && (is_map(it.key) || json_is(it.value, JSON_ARRAY))) ok = walk_all(it.value, false, depth + 1, seen, e);
        else if (holds_schemas(it.key)) ok = walk(it.value, false, false, depth + 1, seen, e);
        if (!ok) return false;
    }
    return true;
}

bool mcp_headers_ok(const struct json *schema, struct err *e)
{
    struct words seen = { 0 };
    bool ok = walk(schema, true, true, 0, &seen, e);
    words_done(&seen);
    return ok;
}

static void put_one(struct words *out, const char *name, const struct json *value)
{
    struct str header = { 0 }, text = { 0 }, plain = { 0 };
    size_t n = 0;
    const char *s = json_str(value, &n);
    if (s) str_put(&plain, s, n);
    else json_write(&plain, value, JSON_COMPACT);
    str_fmt(&header, "Mcp-Param-%s", name);
    header_value(&text, plain.p ? plain.p : "", plain.len);
    words_put(out, str_take(&header));
    words_put(out, str_take(&text));
    str_done(&plain);
}

void mcp_headers_put(const struct json *schema, const struct json *args, struct words *out)
{
    for (struct json_iter it = json_iter(json_get(schema, "properties")); json_next(&it);) {
        const struct json *value = json_get(args, it.key);
        const char *name = json_str(json_get(it.value, KEY), NULL);
        bool is_scalar = json_is(value, JSON_STRING) || json_is(value, JSON_NUMBER) || json_is(value, JSON_BOOL);
        if (name && is_scalar) put_one(out, name, value);
        if (json_is(value, JSON_OBJECT)) mcp_headers_put(it.value, value, out);
    }
}
