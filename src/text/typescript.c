/* typescript.c -- tool lists as the TypeScript-like text that Functionary v1, v2 and v3.2 read.
 *
 *     // Supported function definitions that should be called when necessary.
 *     namespace functions {
 *
 *     // Get weather
 *     type get_weather = (_: {
 *     // City.
 *     location: string,
 *     }) => any;
 *
 *     } // namespace functions
 *
 * There were two generators. The one in Python made the training data up to the summer of 2024, the
 * Jinja macros have stood in the model files since. They agree on plain schemas and differ where one
 * of them slips; a model should read what it was trained on, so both are here, slips included. Each
 * difference is marked `jinja` below. Values are spelled as Python's str() spells them.
 *
 * Never fails: what made the originals raise (a type that is a number, a list in place of an object)
 * is read as if it were absent. Own templates reach this as the filter `typescript`. */
#include "text/int.h"

struct ts { struct str *out; bool jinja; };

static void properties(struct ts *t, const struct json *props, const struct json *required, int depth);

/* ---- small questions ---- */

/* Python's truth of a value. */
static bool is_true(const struct json *v)
{
    if (!v) return false;
    switch (json_type(v)) {
    case JSON_NULL: return false;
    case JSON_BOOL: return json_bool(v);
    case JSON_NUMBER: return json_f64(v) != 0;
    case JSON_STRING: {
        size_t len;
        json_str(v, &len);
        return len > 0;
    }
    default: return json_len(v) > 0;
    }
}

static const struct json *object_or_null(const struct json *v)
{
    return json_is(v, JSON_OBJECT) ? v : NULL;
}

static void indent(struct ts *t, int depth)
{
    str_fmt(t->out, "\n%*s", 4 * depth, "");
}

static bool equals(const struct str *s, const char *text)
{
    return s->len == strlen(text) && (!s->len || !memcmp(s->p, text, s->len));
}

/* Python counts booleans among the numbers: True == 1. */
static bool same_value(const struct json *a, const struct json *b)
{
    bool x = json_is(a, JSON_BOOL), y = json_is(b, JSON_BOOL);
    if (x == y) return json_equal(a, b);
    const struct json *number = x ? b : a, *truth = x ? a : b;
    return json_is(number, JSON_NUMBER) && json_f64(number) == (json_bool(truth) ? 1 : 0);
}

static bool is_optional(const struct ts *t, const struct json *required, const char *key, size_t len)
{
    size_t n = 0;
    if (!required) return true;
    if (json_is(required, JSON_ARRAY)) {
        for (size_t i = 0; i < json_len(required); i++) {
            const char *s = json_str(json_at(required, i), &n);
            if (s && n == len && !memcmp(s, key, len)) return false;
        }
        return true;
    }
    if (!t->jinja) return false;
    /* Whatever has an `in` is asked. */
    if (json_is(required, JSON_OBJECT)) return !json_get(required, key);
    const char *s = json_str(required, &n);
    return s && !(len == 0 || (n && memmem(s, n, key, len)));
}

/* ---- the type ---- */

static void put_mapped(struct str *out, const struct str *type)
{
    bool number = equals(type, "integer") || equals(type, "float");
    if (number) str_puts(out, "number");
    else if (type->len) str_put(out, type->p, type->len);
}

/* A list of types joined; jinja: of an object its keys, too. */
static void join_types(struct ts *t, struct str *s, const struct json *type)
{
    if (json_is(type, JSON_OBJECT) && t->jinja) {
        for (struct json_iter it = json_iter(type); json_next(&it);) {
            if (it.index) str_puts(s, " | ");
            str_put(s, it.key, it.key_len);
        }
        return;
    }
    if (!json_is(type, JSON_ARRAY)) {
        python_str(s, type);
        return;
    }
    for (size_t i = 0; i < json_len(type); i++) {
        if (i) str_puts(s, " | ");
        python_str(s, json_at(type, i));
    }
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Is this alternative's type among the n before it? jinja: without regard to case, spelled as given;
 * else compared after integer has become number. */
static bool is_repeated(const struct ts *t, const struct str *list, size_t n, const struct str *s)
{
    for (size_t i = 0; i < n; i++) {
        bool same = list[i].len == s->len;
        for (size_t k = 0; same && k < s->len; k++)
            same = t->jinja ? lower(list[i].p[k]) == lower(s->p[k]) : list[i].p[k] == s->p[k];
        if (same) return true;
    }
    return false;
}

/* The distinct types of the alternatives, in order of the input. */
static void one_of_types(struct ts *t, struct str *s, const struct json *list)
{
    size_t n = 0;
    struct str *seen = mem_zero((json_len(list) + 1) * sizeof *seen);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *type = json_get(json_at(list, i), "type");
        struct str given = { 0 }, name = { 0 };
        if (!type) continue;
        python_str(&given, type);
        if (t->jinja) name = given, given = (struct str){ 0 };
        else put_mapped(&name, &given);
        str_done(&given);
        if (is_repeated(t, seen, n, &name)) {
            str_done(&name);
            continue;
        }
        if (n) str_puts(s, " | ");
        if (name.len) str_put(s, name.p, name.len);
        seen[n++] = name;
    }
    for (size_t i = 0; i < n; i++) str_done(&seen[i]);
    mem_free(seen);
}

/* The word or words that stand for a schema's type. */
static struct str type_of(struct ts *t, const struct json *schema)
{
    struct str given = { 0 }, out = { 0 };
    const struct json *type = json_get(schema, "type"), *one_of = json_get(schema, "oneOf");
    if (type) join_types(t, &given, type);
    else if (one_of) one_of_types(t, &given, one_of);
    else if (!t->jinja) str_puts(&given, "any");
    put_mapped(&out, &given);
    str_done(&given);
    return out;
}

/* ---- enums ---- */

/* jinja: the separator is lost after whatever equals the last value. */
static void put_enum(struct ts *t, struct str *out, const struct json *list)
{
    size_t n = json_len(list), len = 0;
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_at(list, i);
        const char *s = json_str(v, &len);
        if (s) {
            str_putc(out, '"');
            str_put(out, s, len);
            str_putc(out, '"');
        } else {
            python_str(out, v);
        }
        bool last = t->jinja ? same_value(v, json_at(list, n - 1)) : i + 1 == n;
        if (!last) str_puts(out, " | ");
    }
}

/* ---- the comment above a property ---- */

/* "date or time" of the alternatives. jinja: " or " follows whatever differs from the last one's. */
static void put_formats(struct ts *t, struct str *out, const struct json *list)
{
    const struct json *last = json_get(json_at(list, json_len(list) - 1), "format");
    bool some = false;
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *format = json_get(json_at(list, i), "format");
        if (!format) continue;
        if (some && !t->jinja) str_puts(out, " or ");
        python_str(out, format);
        if (t->jinja && !(last && same_value(format, last))) str_puts(out, " or ");
        some = true;
    }
}

static bool has_format(const struct ts *t, const struct json *p)
{
    const struct json *one_of = json_get(p, "oneOf");
    if (json_get(p, "format")) return true;
    if (!one_of || t->jinja) return one_of != NULL;
    for (size_t i = 0; i < json_len(one_of); i++)
        if (json_get(json_at(one_of, i), "format")) return true;
    return false;
}

static const struct { const char *key, *label; } limits[] = {
    { "maximum", "Maximum" }, { "minimum", "Minimum" },
    { "maxLength", "Maximum length" }, { "minLength", "Minimum length" },
};

/* jinja: limits that are all 0 are nothing to tell. */
static bool has_comment(const struct ts *t, const struct json *p)
{
    const struct json *description = json_get(p, "description");
    if ((description && !json_is(description, JSON_NULL)) || json_get(p, "default") || has_format(t, p))
        return true;
    for (size_t i = 0; i < LEN(limits); i++) {
        const struct json *v = json_get(p, limits[i].key);
        if (t->jinja ? is_true(v) : v != NULL) return true;
    }
    return false;
}

static void put_description(struct str *out, const struct json *v)
{
    if (!v || json_is(v, JSON_NULL)) return;
    str_putc(out, ' ');
    python_str(out, v);
    if (out->p[out->len - 1] != '.') str_putc(out, '.');
}

static void put_default(struct str *out, const struct json *p)
{
    const struct json *v = json_get(p, "default");
    const char *quote = json_str_is(json_get(p, "type"), "string") ? "\"" : "";
    if (!v) return;
    str_fmt(out, " Default=%s", quote);
    python_str(out, v);
    str_fmt(out, "%s.", quote);
}

static void put_limits(struct str *out, const struct json *p)
{
    for (size_t i = 0; i < LEN(limits); i++) {
        const struct json *v = json_get(p, limits[i].key);
        if (!v) continue;
        str_fmt(out, " %s=", limits[i].label);
        python_str(out, v);
    }
}

/* jinja: line breaks stay, the rest of the text is then no comment any more. */
static void comment(struct ts *t, const struct json *p, int depth)
{
    if (!has_comment(t, p)) return;
    struct str s = { 0 };
    str_puts(&s, "//");
    put_description(&s, json_get(p, "description"));
    put_default(&s, p);
    if (has_format(t, p)) {
        str_puts(&s, " Format=");
        if (json_get(p, "format")) python_str(&s, json_get(p, "format"));
        else put_formats(t, &s, json_get(p, "oneOf"));
    }
    put_limits(&s, p);
    for (char *c = s.p; !t->jinja && (c = memchr(c, '\n', (size_t)(s.p + s.len - c)));) *c = ' ';
    indent(t, depth);
    str_put(t->out, s.p, s.len);
    str_done(&s);
}

/* ---- examples ---- */

static void put_replaced(struct str *out, const struct str *s, char from, const char *to)
{
    for (size_t i = 0; i < s->len; i++) {
        if (s->p[i] == from) str_puts(out, to);
        else str_putc(out, s->p[i]);
    }
}

/* jinja: str() with every ' turned into "; else JSON or str(), on one line. */
static void example_line(struct ts *t, const struct str *s, int depth)
{
    indent(t, depth);
    str_puts(t->out, "// ");
    if (t->jinja) put_replaced(t->out, s, '\'', "\"");
    else put_replaced(t->out, s, '\n', "\\n");
}

static void examples(struct ts *t, const struct json *p, const char *key, size_t len, int depth)
{
    const struct json *list = json_get(p, "examples");
    struct str s = { 0 };
    if (!json_is(list, JSON_ARRAY)) return;
    str_puts(&s, "Example ");
    str_put(&s, key, len);
    str_putc(&s, ':');
    example_line(t, &s, depth);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *v = json_at(list, i);
        str_clear(&s);
        bool tree = json_is(v, JSON_OBJECT) || json_is(v, JSON_ARRAY);
        if (tree && !t->jinja) python_json_ascii(&s, v);
        else python_str(&s, v);
        example_line(t, &s, depth);
    }
    str_done(&s);
}

/* ---- properties ---- */

/* What stands in front of the last "[]" of an array of `items`, to the end of `out` without leading
 * blanks. The children of an object lie one level below the array that holds them. */
static void array_items(struct ts *t, const struct json *items, int depth);

static void object_items(struct ts *t, const struct json *items, int depth)
{
    str_putc(t->out, '{');
    properties(t, object_or_null(json_get(items, "properties")), json_get(items, "required"), depth + 1);
    indent(t, depth);
    str_putc(t->out, '}');
}

static void array_items(struct ts *t, const struct json *items, int depth)
{
    if (!json_len(items)) return;
    struct str type = type_of(t, items);
    const struct json *values = json_get(items, "enum");
    if (equals(&type, "object")) {
        object_items(t, items, depth);
    } else if (equals(&type, "array")) {
        array_items(t, json_get(items, "items"), depth + 1);
        str_puts(t->out, "[]");
    } else if (json_is(values, JSON_ARRAY)) {
        str_putc(t->out, '(');
        put_enum(t, t->out, values);
        str_putc(t->out, ')');
    } else {
        str_put(t->out, type.p, type.len);
    }
    str_done(&type);
}

/* Only the outermost array asks for a type of its items; without one it is plain []. */
static void array_property(struct ts *t, const struct json *p, int depth)
{
    const struct json *items = json_get(p, "items");
    str_puts(t->out, ": ");
    if (json_is(items, JSON_OBJECT) && json_get(items, "type")) array_items(t, items, depth);
    str_puts(t->out, "[],");
}

static void scalar_property(struct ts *t, const struct json *p, const struct str *type)
{
    const struct json *nullable = json_get(p, "nullable"), *values = json_get(p, "enum");
    str_puts(t->out, ": ");
    if (json_is(values, JSON_ARRAY)) put_enum(t, t->out, values);
    else if (type->len) str_put(t->out, type->p, type->len);
    bool null = t->jinja ? is_true(nullable) : json_is(nullable, JSON_BOOL) && json_bool(nullable);
    str_puts(t->out, null ? " | null," : ",");
}

static void property(struct ts *t, const struct json_iter *it, const struct json *required, int depth)
{
    const struct json *p = it->value, *items = json_get(p, "items");
    struct str type = type_of(t, p);
    bool object = equals(&type, "object"), array = equals(&type, "array");
    bool known = object || (array && json_is(items, JSON_OBJECT) && json_get(items, "type"));
    comment(t, p, depth);
    if (known || has_comment(t, p)) examples(t, p, it->key, it->key_len, depth);
    indent(t, depth);
    str_put(t->out, it->key, it->key_len);
    if (is_optional(t, required, it->key, it->key_len)) str_putc(t->out, '?');
    if (object) {
        str_puts(t->out, ": ");
        object_items(t, p, depth);
        str_putc(t->out, ',');
    } else if (array) {
        array_property(t, p, depth);
    } else {
        scalar_property(t, p, &type);
    }
    str_done(&type);
}

/* Each property begins with a line break. What is no schema (a misplaced "required") is left out. */
static void properties(struct ts *t, const struct json *props, const struct json *required, int depth)
{
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (json_is(it.value, JSON_OBJECT)) property(t, &it, required, depth);
}

/* ---- functions ---- */

static void parameters(struct ts *t, const struct json *f)
{
    const struct json *params = json_get(f, "parameters");
    const struct json *props = object_or_null(json_get(params, "properties"));
    if (!props || (t->jinja && !json_len(props))) {
        str_puts(t->out, " = () => any;\n\n");
        return;
    }
    str_puts(t->out, " = (_: {");
    size_t from = t->out->len;
    properties(t, props, json_get(params, "required"), 0);
    if (t->out->len == from && !t->jinja) str_putc(t->out, '\n');     /* an empty line stays */
    str_puts(t->out, "\n}) => any;\n\n");
}

static void function(struct ts *t, const struct json *tool)
{
    const struct json *inner = json_get(tool, "function"), *f = is_true(inner) ? inner : tool;
    const struct json *name = json_get(f, "name"), *description = json_get(f, "description");
    if (!is_true(name)) return;
    str_puts(t->out, "// ");
    if (description && !(t->jinja && json_is(description, JSON_NULL))) python_str(t->out, description);
    str_puts(t->out, "\ntype ");
    python_str(t->out, name);
    parameters(t, f);
}

void typescript_put(struct str *out, const struct json *tools, enum typescript_era era)
{
    struct ts t = { .out = out, .jinja = era == TYPESCRIPT_JINJA };
    str_puts(out, "// Supported function definitions that should be called when necessary.\n"
                  "namespace functions {\n\n");
    for (size_t i = 0; i < json_len(tools); i++) function(&t, json_at(tools, i));
    str_puts(out, "} // namespace functions");
}
