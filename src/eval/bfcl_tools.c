/* bfcl_tools.c -- function documents of the Berkeley leaderboard as OpenAI tools.
 *
 * The documents are not JSON Schema: types are "dict", "float", "ArrayList", "any". The model is shown
 * what the original's converter makes of them, word for word, since the words are part of the prompt;
 * the judge goes on reading the original document. Facts: section 4 of the evaluation notes, checked
 * against vectors of the original. */
#include "eval/int.h"

/* Types of all three languages; what is not here, or missing, is a string. */
static const struct { const char *type, *schema; } types[] = {
    { "integer", "integer" }, { "boolean", "boolean" }, { "string", "string" },  { "array", "array" },
    { "number", "number" },   { "float", "number" },    { "double", "number" },  { "dict", "object" },
    { "object", "object" },   { "HashMap", "object" },  { "Hashtable", "object" }, { "tuple", "array" },
    { "list", "array" },      { "List", "array" },      { "ArrayList", "array" }, { "Array", "array" },
    { "Queue", "array" },     { "Stack", "array" },     { "Set", "array" },      { "byte", "integer" },
    { "short", "integer" },   { "long", "integer" },    { "Bigint", "integer" }, { "Boolean", "boolean" },
};

static const char *schema_type(const struct json *type)
{
    for (size_t i = 0; i < LEN(types); i++)
        if (json_str_is(type, types[i].type)) return types[i].schema;
    return "string";
}

static void append(struct json *o, const char *key, const char *more)
{
    struct str s = { 0 };
    const char *now = json_str(json_get(o, key), NULL);
    str_fmt(&s, "%s%s", now ? now : "", more);
    json_set(o, key, json_new_strn(s.p, s.len));
    str_done(&s);
}

static void set_type(struct json *o, const char *type) { json_set(o, "type", json_new_str(type)); }

/* ---- Python ---------------------------------------------------------------------------------- */

static struct json *converted(const struct json *properties);

/* What a list holds, two levels down. */
static struct json *converted_items(const struct json *items)
{
    struct json *o = json_copy(items);
    const struct json *below = json_get(items, "items");
    if (!json_is(items, JSON_OBJECT)) return o;
    set_type(o, schema_type(json_get(items, "type")));
    if (json_str_is(json_get(o, "type"), "array") && json_is(below, JSON_OBJECT)) {
        struct json *inner = json_copy(below);
        set_type(inner, schema_type(json_get(below, "type")));
        json_set(o, "items", inner);
    } else if (json_str_is(json_get(o, "type"), "object") && json_get(items, "properties"))
        json_set(o, "properties", converted(json_get(items, "properties")));
    return o;
}

static struct json *converted_property(const struct json *p)
{
    struct json *o = json_copy(p);
    if (!json_is(p, JSON_OBJECT)) return o;
    const char *type = schema_type(json_get(p, "type"));
    if (json_str_is(json_get(p, "type"), "float")) {
        json_set(o, "format", json_new_str("float"));
        append(o, "description", " This is a float type value.");
    }
    set_type(o, type);
    if (strcmp(type, "array") && strcmp(type, "object")) return o;
    if (json_get(p, "properties")) json_set(o, "properties", converted(json_get(p, "properties")));
    else if (json_get(p, "items")) json_set(o, "items", converted_items(json_get(p, "items")));
    return o;
}

static struct json *converted(const struct json *properties)
{
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(properties); json_next(&it);)
        json_set(out, it.key, converted_property(it.value));
    return out;
}

/* ---- Java, JavaScript: every value is source text -------------------------------------------------- */

static struct json *as_source(const struct json *p, const char *language, bool is_js)
{
    struct json *o = json_copy(p);
    struct str note = { 0 };
    if (!json_is(p, JSON_OBJECT)) return o;
    const struct json *t = json_get(p, "type"), *items = json_get(p, "items"),
                      *inner = json_get(p, "properties");
    const char *type = json_str(t, NULL), *item = json_str(json_get(items, "type"), NULL);
    if (json_str_is(t, "any"))
        str_fmt(&note, " This parameter can be of any type of %s object in string representation.",
                language);
    else
        str_fmt(&note, " This is %s %s type parameter in string representation.", language,
                type ? type : "any");
    bool is_list =
        is_js ? json_str_is(t, "array") : json_str_is(t, "ArrayList") || json_str_is(t, "Array");
    if (is_list && items) {
        str_fmt(&note, " The list elements are of type %s; they are not in string representation.",
                item ? item : "any");
        json_unset(o, "items");
    }
    if (is_js && json_str_is(t, "dict") && inner) {
        str_puts(
            &note,
            " The dictionary entries have the following schema; they are not in string representation. ");
        json_write(&note, inner, JSON_PYTHON);
        json_unset(o, "properties");
    }
    append(o, "description", note.p);
    set_type(o, "string");
    str_done(&note);
    return o;
}

static struct json *all_as_source(const struct json *properties, enum judge_language l)
{
    bool is_js = l == JUDGE_JAVASCRIPT;
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(properties); json_next(&it);)
        json_set(out, it.key, as_source(it.value, is_js ? "JavaScript" : "Java", is_js));
    return out;
}

/* ---- the list -------------------------------------------------------------------------------------- */

static void underscore_name(struct json *f)
{
    char *name = mem_str(json_str(json_get(f, "name"), NULL));
    for (char *p = name; *p; p++)
        if (*p == '.') *p = '_';
    json_set(f, "name", json_new_str(name));
    mem_free(name);
}

static struct json *tool_of(const struct json *function, enum judge_language l)
{
    static const char *const hint[] = { " Note that the provided function is in Python 3 syntax.",
                                        " Note that the provided function is in Java 8 SDK syntax.",
                                        " Note that the provided function is in JavaScript syntax." };
    struct json *f = json_copy(function), *tool = json_new_object(),
                *params = json_copy(json_get(function, "parameters"));
    const struct json *properties = json_get(params, "properties");
    append(f, "description", hint[l]);
    if (json_str(json_get(f, "name"), NULL)) underscore_name(f);
    if (!params) params = json_new_object();
    set_type(params, "object");
    json_set(params, "properties",
             l == JUDGE_PYTHON ? converted(properties) : all_as_source(properties, l));
    json_set(f, "parameters", params);
    json_set(tool, "type", json_new_str("function"));
    json_set(tool, "function", f);
    return tool;
}

struct json *bfcl_tools(const struct json *functions, enum judge_language l)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < json_len(functions); i++)
        json_push(list, tool_of(json_at(functions, i), l));
    return list;
}
