/* toolset.c -- the tools of a request: any of the shapes people keep them in becomes the OpenAI
 * array.
 *
 * An array of function definitions (wrapped in {"type":"function"} or bare), an object that holds
 * such an array under `tools`, or the object that says how tools are run (`commands`, `http`), of
 * which only the definitions are taken here: nothing is executed to find out what it offers.
 *
 * After tools_normalise() every element is wrapped, has a legal name that no other element has, and
 * parameters (if any) that are a schema of objects. Keys and tools keep their order, because the
 * prompt is rendered from them and its prefix is cached. */
#include "gen/gen.h"

#include <ctype.h>

#define TOOLS_MOST 512
#define NAME_MOST 128
#define DESCRIPTION_MOST (64 * 1024)

static bool name_is_legal(const char *s, size_t len)
{
    if (!len || len > NAME_MOST) return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-')
            return false;
    return true;
}

static const char code_schema[] = "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"}},"
                                  "\"required\":[\"code\"],\"additionalProperties\":false}";

/* Does a schema's `type` leave room for objects? */
static bool type_allows_object(const struct json *type)
{
    if (!type) return true;
    if (json_is(type, JSON_STRING)) return json_str_is(type, "object");
    for (size_t i = 0; i < json_len(type); i++)
        if (json_str_is(json_at(type, i), "object")) return true;
    return false;
}

static bool check_function(const struct json *f, size_t i, struct err *e)
{
    const struct json *name = json_get(f, "name"), *about = json_get(f, "description");
    const struct json *par = json_get(f, "parameters");
    size_t len = 0;
    if (!name || json_is(name, JSON_NULL))
        return err_as(e, "missing_required_parameter", ERR_ARG, "tools[%zu].function.name: missing", i);
    const char *s = json_str(name, &len);
    if (!s || !name_is_legal(s, len))
        return err_as(e, "invalid_tool_name", ERR_ARG,
                       "tools[%zu].function.name: '%.40s' is not a name: 1 to %d of A-Z a-z "
                       "0-9 _ . - are accepted",
                       i, s ? s : json_type_name(json_type(name)), NAME_MOST);
    if (about && !json_is(about, JSON_NULL)) {
        if (!json_str(about, &len) || len > DESCRIPTION_MOST)
            return err_set(e, ERR_ARG,
                           "tools[%zu].function.description: must be a string of at most %d "
                           "bytes",
                           i, DESCRIPTION_MOST);
    }
    if (!par || json_is(par, JSON_NULL) || (json_is(par, JSON_BOOL) && json_bool(par))) return true;
    if (!json_is(par, JSON_OBJECT))
        return err_set(e, ERR_SCHEMA, "tool %s: parameters must be a JSON Schema object, not %s", s,
                       json_type_name(json_type(par)));
    if (!type_allows_object(json_get(par, "type")))
        return err_set(e, ERR_SCHEMA, "tool %s: /type: parameters must be of type object", s);
    return true;
}

/* {"type":"code_interpreter"}; {"type":"reasoning"}, which asks Functionary v4r to think aloud: no more than
 * the type. */
static struct json *bodiless(const struct json *type)
{
    struct json *out = json_new_object();
    json_set(out, "type", json_copy(type));
    return out;
}

/* One element, wrapped: {"type":"function","function":{...}}. NULL with e set. */
static struct json *wrap(const struct json *tool, size_t i, struct err *e)
{
    if (!json_is(tool, JSON_OBJECT)) {
        err_set(e, ERR_ARG, "tools[%zu]: must be an object, not %s", i,
                json_type_name(json_type(tool)));
        return NULL;
    }
    const struct json *type = json_get(tool, "type"), *f = json_get(tool, "function");
    if (json_str_is(type, "code_interpreter") || json_str_is(type, "reasoning")) return bodiless(type);
    if (type && !json_str_is(type, "function")) {
        const char *t = json_str(type, NULL);
        err_as(e, "unsupported_tool_type", ERR_UNSUPPORTED, "tools[%zu].type: '%.40s' is not supported, 'function' and 'code_interpreter' are", i,
               t ? t : json_type_name(json_type(type)));
        return NULL;
    }
    if (f && !json_is(f, JSON_OBJECT)) {
        err_set(e, ERR_ARG, "tools[%zu].function: must be an object, not %s", i,
                json_type_name(json_type(f)));
        return NULL;
    }
    if (!check_function(f ? f : tool, i, e)) return NULL;
    if (f) return json_copy(tool);
    struct json *bare = json_copy(tool), *out = json_new_object();
    json_unset(bare, "type");
    json_set(out, "type", json_new_str("function"));
    json_set(out, "function", bare);
    return out;
}

const char *tool_name(const struct json *tool)
{
    if (json_str_is(json_get(tool, "type"), "code_interpreter")) return "python";
    return json_str(json_get(tool_function(tool), "name"), NULL);
}

static bool names_differ(const struct json *tools, struct err *e)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const char *a = tool_name(json_at(tools, i));
        for (size_t j = 0; a && j < i; j++) {
            const char *b = tool_name(json_at(tools, j));
            if (!b || strcmp(a, b)) continue;
            if (!tool_function(json_at(tools, i)) != !tool_function(json_at(tools, j)))
                return err_set(e, ERR_ARG,
                               "tools: the function 'python' and a code_interpreter, whose calls are "
                               "named python, cannot both be declared");
            return err_as(e, "duplicate_tool_name", ERR_ARG, "tools[%zu].function.name: '%s' is already the name of "
                               "tools[%zu]", i, a, j);
        }
    }
    return true;
}

static struct json *from_array(const struct json *v, struct err *e)
{
    if (json_len(v) > TOOLS_MOST) {
        err_set(e, ERR_LIMIT, "tools: %zu tools, at most %d are accepted", json_len(v), TOOLS_MOST);
        return NULL;
    }
    struct json *out = json_new_array();
    for (size_t i = 0; i < json_len(v); i++) {
        struct json *t = wrap(json_at(v, i), i, e);
        if (!t) { json_free(out); return NULL; }
        json_push(out, t);
    }
    if (names_differ(out, e)) return out;
    json_free(out);
    return NULL;
}

/* Definitions of `commands` or `http`: {"name": {"description", "parameters", how it is run ...}}.
 */
static void put_sources(struct json *list, const struct json *group)
{
    for (struct json_iter it = json_iter(group); json_next(&it);) {
        if (json_get(it.value, "describe")) {
            log_line(LOG_WARN, "tool_skipped name=%s reason=\"describes itself only when run\"",
                     it.key);
            continue;
        }
        struct json *f = json_new_object(), *t = json_new_object();
        json_set(f, "name", json_new_str(it.key));
        if (json_get(it.value, "description"))
            json_set(f, "description", json_copy(json_get(it.value, "description")));
        if (json_get(it.value, "parameters"))
            json_set(f, "parameters", json_copy(json_get(it.value, "parameters")));
        json_set(t, "type", json_new_str("function"));
        json_set(t, "function", f);
        json_push(list, t);
    }
}

static struct json *from_sources(const struct json *v, struct err *e)
{
    static const char *const listed_elsewhere[] = { "mcpServers", "openapi" };
    struct json *list = json_new_array(), *out = NULL;
    put_sources(list, json_get(v, "commands"));
    put_sources(list, json_get(v, "http"));
    for (size_t i = 0; i < LEN(listed_elsewhere); i++)
        if (json_get(v, listed_elsewhere[i]))
            log_line(LOG_WARN, "tools_skipped source=%s reason=\"must be asked for its list\"",
                     listed_elsewhere[i]);
    if (json_len(list)) out = from_array(list, e);
    else
        err_set(e, ERR_ARG,
                "no tools: an array of tools is accepted, an object with a `tools` array, or "
                "one with `commands` or `http`");
    json_free(list);
    return out;
}

struct json *tools_normalise(const struct json *v, struct err *e)
{
    if (json_is(v, JSON_ARRAY)) return from_array(v, e);
    if (json_is(v, JSON_OBJECT) && json_is(json_get(v, "tools"), JSON_ARRAY))
        return from_array(json_get(v, "tools"), e);
    if (json_is(v, JSON_OBJECT)) return from_sources(v, e);
    err_set(e, ERR_ARG, "tools: an array of tools or an object is accepted, not %s",
            v ? json_type_name(json_type(v)) : "nothing");
    return NULL;
}

struct json *tools_read(const char *path, struct err *e)
{
    struct json *v = json_read(path, e);
    if (!v) return NULL;
    struct json *out = tools_normalise(v, e);
    if (!out) err_in(e, "%s", path);
    json_free(v);
    return out;
}

/* {"type":"object","properties":{}}: how many clients write a function without parameters. */
static bool takes_nothing(const struct json *par)
{
    const struct json *props = json_get(par, "properties");
    if (!json_is(props, JSON_OBJECT) || json_len(props) || json_len(json_get(par, "required"))) return false;
    for (struct json_iter it = json_iter(par); json_next(&it);)
        if (strcmp(it.key, "type") && strcmp(it.key, "properties") && strcmp(it.key, "required")) return false;
    return true;
}

struct json *tool_schema(const struct json *tool)
{
    const struct json *par = json_get(tool_function(tool), "parameters");
    struct json *s;
    if (json_str_is(json_get(tool, "type"), "code_interpreter"))
        return json_parse(code_schema, sizeof code_schema - 1, NULL);
    if (json_is(par, JSON_OBJECT) && !takes_nothing(par)) {
        s = json_copy(par);
        json_set(s, "type", json_new_str("object"));
        return s;
    }
    s = json_new_object();
    json_set(s, "type", json_new_str("object"));
    if (par && json_is(par, JSON_BOOL)) return s;                 /* true: any object */
    json_set(s, "properties", json_new_object()); /* absent: a function without parameters */
    json_set(s, "additionalProperties", json_new_bool(false));
    return s;
}

/* ---- closed objects -------------------------------------------------------------------------- */

/* May an object schema be closed without looking at anything else? Only if its own `properties` are
 * all that says which names there are. */
static bool may_close(const struct json *s)
{
    static const char *const speaks_of_names[] = {"additionalProperties",
                                                  "patternProperties",
                                                  "unevaluatedProperties",
                                                  "propertyNames",
                                                  "minProperties",
                                                  "allOf",
                                                  "anyOf",
                                                  "oneOf",
                                                  "not",
                                                  "if",
                                                  "$ref",
                                                  "$dynamicRef",
                                                  "dependentSchemas",
                                                  "dependentRequired",
                                                  "dependencies",
                                                  "const",
                                                  "enum"};
    const struct json *props = json_get(s, "properties"), *required = json_get(s, "required");
    if (!json_is(props, JSON_OBJECT) || !json_len(props)) return false;
    for (size_t i = 0; i < LEN(speaks_of_names); i++)
        if (json_get(s, speaks_of_names[i])) return false;
    for (size_t i = 0; i < json_len(required); i++) {
        const char *name = json_str(json_at(required, i), NULL);
        if (!name || !json_get(props, name)) return false;
    }
    return true;
}

struct json *schema_closed(const struct json *schema)
{
    struct json *out = json_copy(schema);
    if (!json_is(schema, JSON_OBJECT)) return out;
    const struct json *props = json_get(schema, "properties"), *items = json_get(schema, "items");
    if (may_close(schema)) json_set(out, "additionalProperties", json_new_bool(false));
    if (json_is(props, JSON_OBJECT)) {
        struct json *closed = json_new_object();
        for (struct json_iter it = json_iter(props); json_next(&it);)
            json_set(closed, it.key, schema_closed(it.value));
        json_set(out, "properties", closed);
    }
    if (json_is(items, JSON_OBJECT)) json_set(out, "items", schema_closed(items));
    return out;
}
