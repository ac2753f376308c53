/* signature.c -- one tool as a small model reads it:
 *
 *     get_weather(city: str # name of the city, days?: int(1..14) = 3, unit?: celsius|fahrenheit)
 *     Current weather
 *
 * on one line.
 *
 * A JSON Schema costs about twice the characters and puts a parameter's name far from its type. The
 * signature keeps every fact that a caller needs: names, order, which are required, types, enums,
 * bounds, formats, defaults, descriptions, nesting. `{a: int, b?: str}` is an object, `[str]` a
 * list, `a|b` alternatives, `(…)` after a type what bounds it, `= 3` the default, `# …` what it
 * means.
 *
 * A value that could be misread (an enum member with a comma, one called "str") is written as JSON.
 * References inside the schema are followed, a few levels deep and never past SIGNATURE_MOST bytes,
 * so that a schema which refers to itself ends. */
#include "text/int.h"

#define DEPTH_MOST 12
#define REFS_MOST 3                                     /* nested references that are spelled out */
#define SIGNATURE_MOST 65536

struct sig { struct str *out; size_t from; const struct json *root; int depth, refs; };

static void put_type(struct sig *s, const struct json *schema);

static bool is_full(const struct sig *s) { return s->out->len - s->from > SIGNATURE_MOST; }

/* The property White_Space and U+001C to U+001F. */
bool is_python_space(int32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f) || c == 0x85 ||
           c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Text on one line: every run of white space becomes one blank, none at the ends. */
static void put_line(struct str *out, const char *lead, const struct json *text)
{
    size_t len = 0;
    const char *p = json_str(text, &len), *end = p ? p + len : p;
    bool any = false, gap = false;
    for (int n = 1; p < end; p += n) {
        if (is_python_space(utf8_next(p, end, &n))) {
            gap = any;
            continue;
        }
        if (!any) str_puts(out, lead);
        if (gap) str_putc(out, ' ');
        str_put(out, p, (size_t)n);
        any = true;
        gap = false;
    }
}

/* ---- values and types ------------------------------------------------------------------------ */

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_-.+/ ", c)) || (c & 0x80);
}

/* May stand without quotes: could be taken for nothing but itself. */
static bool is_plain(const char *p, size_t len)
{
    static const char *const taken[] = { "str", "int", "float", "bool", "null",
                                         "list", "dict", "any", "true", "false" };
    if (!len || p[0] == ' ' || p[len - 1] == ' ' || strchr("0123456789-+.", p[0])) return false;
    for (size_t i = 0; i < len; i++)
        if (!is_word_byte(p[i])) return false;
    for (size_t i = 0; i < LEN(taken); i++)
        if (strlen(taken[i]) == len && !memcmp(taken[i], p, len)) return false;
    return true;
}

static void put_value(struct str *out, const struct json *v)
{
    size_t len = 0;
    const char *p = json_str(v, &len);
    if (p && is_plain(p, len)) str_put(out, p, len);
    else json_write(out, v, JSON_COMPACT);
}

static void put_alternatives(struct sig *s, const struct json *list)
{
    for (size_t i = 0; i < json_len(list) && !is_full(s); i++) {
        if (i) str_putc(s->out, '|');
        put_value(s->out, json_at(list, i));
    }
}

static void put_types(struct sig *s, const struct json *list)
{
    for (size_t i = 0; i < json_len(list) && !is_full(s); i++) {
        if (i) str_putc(s->out, '|');
        put_type(s, json_at(list, i));
    }
}

/* ---- what bounds a value --------------------------------------------------------------------- */

static void part(struct sig *s, int *n) { str_puts(s->out, (*n)++ ? ", " : "("); }

static void put_number(struct str *out, const struct json *v)
{
    size_t len = 0;
    const char *p = json_number(v, &len);
    if (p) str_put(out, p, len);
}

/* lo..hi of the two keywords, or one-sided; `unit` follows. */
static void put_range(struct sig *s, int *n, const struct json *schema, const char *lo,
                      const char *hi, const char *unit)
{
    const struct json *a = json_get(schema, lo), *b = json_get(schema, hi);
    bool has_a = json_is(a, JSON_NUMBER), has_b = json_is(b, JSON_NUMBER);
    if (!has_a && !has_b) return;
    part(s, n);
    if (!has_a) str_puts(s->out, "<=");
    else if (!has_b) str_puts(s->out, ">=");
    if (has_a) put_number(s->out, a);
    if (has_a && has_b) str_puts(s->out, "..");
    if (has_b) put_number(s->out, b);
    str_puts(s->out, unit);
}

static void put_one(struct sig *s, int *n, const struct json *schema, const char *key,
                    const char *lead)
{
    const struct json *v = json_get(schema, key);
    if (!json_is(v, JSON_NUMBER)) return;
    part(s, n);
    str_puts(s->out, lead);
    put_number(s->out, v);
}

static bool has_text(const struct json *text)
{
    struct str s = { 0 };
    put_line(&s, "", text);
    bool any = s.len > 0;
    str_done(&s);
    return any;
}

static void put_bounds(struct sig *s, const struct json *schema)
{
    const struct json *format = json_get(schema, "format"), *pattern = json_get(schema, "pattern");
    int n = 0;
    size_t len = 0;
    const char *p = json_str(pattern, &len);
    put_range(s, &n, schema, "minimum", "maximum", "");
    put_one(s, &n, schema, "exclusiveMinimum", ">");
    put_one(s, &n, schema, "exclusiveMaximum", "<");
    put_one(s, &n, schema, "multipleOf", "step ");
    if (has_text(format)) {
        part(s, &n);
        put_line(s->out, "", format);
    }
    if (p && len) {
        part(s, &n);
        str_putc(s->out, '/');
        str_put(s->out, p, len);
        str_putc(s->out, '/');
    }
    put_range(s, &n, schema, "minLength", "maxLength", " chars");
    put_range(s, &n, schema, "minItems", "maxItems", " items");
    put_range(s, &n, schema, "minProperties", "maxProperties", " keys");
    if (json_bool(json_get(schema, "uniqueItems"))) {
        part(s, &n);
        str_puts(s->out, "unique");
    }
    if (n) str_putc(s->out, ')');
}

/* ---- objects and lists ----------------------------------------------------------------------- */

static bool is_required(const struct json *schema, const char *key)
{
    const struct json *list = json_get(schema, "required");
    for (size_t i = 0; i < json_len(list) && json_is(list, JSON_ARRAY); i++)
        if (json_str_is(json_at(list, i), key)) return true;
    return false;
}

static void put_property(struct sig *s, const char *key, bool required, const struct json *schema)
{
    str_fmt(s->out, "%s%s: ", key, required ? "" : "?");
    put_type(s, schema);
    const struct json *def = json_get(schema, "default");
    if (def && !json_is(def, JSON_NULL)) {
        str_puts(s->out, " = ");
        put_value(s->out, def);
    }
    put_line(s->out, " # ", json_get(schema, "description"));
}

static void put_properties(struct sig *s, const struct json *schema)
{
    const struct json *props = json_get(schema, "properties"),
                      *more = json_get(schema, "additionalProperties");
    int n = 0;
    if (json_is(props, JSON_OBJECT))
        for (struct json_iter it = json_iter(props); json_next(&it) && !is_full(s);) {
            if (n++) str_puts(s->out, ", ");
            put_property(s, it.key, is_required(schema, it.key), it.value);
        }
    if (json_is(more, JSON_OBJECT)) {
        str_puts(s->out, n ? ", *: " : "*: ");
        put_type(s, more);
    }
}

static void put_object(struct sig *s, const struct json *schema)
{
    if (!json_len(json_get(schema, "properties")) &&
        !json_is(json_get(schema, "additionalProperties"), JSON_OBJECT)) {
        str_puts(s->out, "dict");
        return;
    }
    str_putc(s->out, '{');
    put_properties(s, schema);
    str_putc(s->out, '}');
}

static void put_list(struct sig *s, const struct json *schema)
{
    const struct json *items = json_get(schema, "items"), *first = json_get(schema, "prefixItems");
    if (json_is(items, JSON_ARRAY)) first = items;           /* the older spelling of prefixItems */
    str_putc(s->out, '[');
    for (size_t i = 0; json_is(first, JSON_ARRAY) && i < json_len(first) && !is_full(s); i++) {
        if (i) str_puts(s->out, ", ");
        put_type(s, json_at(first, i));
    }
    if (json_is(items, JSON_OBJECT)) {
        if (json_len(first)) str_puts(s->out, ", ");
        put_type(s, items);
    } else if (!json_len(first)) {
        str_puts(s->out, "any");
    }
    str_putc(s->out, ']');
}

/* ---- one schema ------------------------------------------------------------------------------ */

/* "#/$defs/place" inside the tool's parameters; NULL for anything else. */
static const struct json *resolve(const struct json *root, const char *ref)
{
    char key[256];
    if (!ref || strncmp(ref, "#/", 2)) return NULL;
    for (ref += 2; root; ref++) {
        size_t n = strcspn(ref, "/");
        if (n >= sizeof key) return NULL;
        memcpy(key, ref, n);
        key[n] = 0;
        root = json_is(root, JSON_OBJECT) ? json_get(root, key) : NULL;
        ref += n;
        if (!*ref) return root;
    }
    return NULL;
}

static void put_ref(struct sig *s, const char *ref)
{
    const struct json *to = s->refs < REFS_MOST ? resolve(s->root, ref) : NULL;
    if (!to) {
        const char *name = strrchr(ref, '/');
        str_puts(s->out, name ? name + 1 : ref);
        return;
    }
    s->refs++;
    put_type(s, to);
    s->refs--;
}

static void put_named(struct sig *s, const char *type, const struct json *schema)
{
    static const struct { const char *json, *sig; } names[] = {
        { "string", "str" }, { "integer", "int" }, { "number", "float" }, { "boolean", "bool" },
    };
    if (!strcmp(type, "object")) { put_object(s, schema); return; }
    if (!strcmp(type, "array")) { put_list(s, schema); return; }
    for (size_t i = 0; i < LEN(names); i++)
        if (!strcmp(type, names[i].json)) { str_puts(s->out, names[i].sig); return; }
    str_puts(s->out, type);
}

/* The keyword decides; several alternatives are tried in the order of how much they say. */
static void put_schema(struct sig *s, const struct json *schema)
{
    const struct json *v, *type = json_get(schema, "type");
    const char *ref = json_str(json_get(schema, "$ref"), NULL);
    if (ref) { put_ref(s, ref); return; }
    if ((v = json_get(schema, "const"))) { put_value(s->out, v); return; }
    if (json_is(v = json_get(schema, "enum"), JSON_ARRAY)) { put_alternatives(s, v); return; }
    if (json_is(v = json_get(schema, "anyOf"), JSON_ARRAY) ||
        json_is(v = json_get(schema, "oneOf"), JSON_ARRAY)) {
        put_types(s, v);
        return;
    }
    if (json_is(v = json_get(schema, "allOf"), JSON_ARRAY) && json_len(v) == 1) {
        put_type(s, json_at(v, 0));
        return;
    }
    if (json_is(type, JSON_ARRAY)) {
        for (size_t i = 0; i < json_len(type); i++) {
            const char *name = json_str(json_at(type, i), NULL);
            if (i) str_putc(s->out, '|');
            put_named(s, name ? name : "any", schema);
        }
    } else if (json_str(type, NULL)) {
        put_named(s, json_str(type, NULL), schema);
    } else if (json_is(json_get(schema, "properties"), JSON_OBJECT)) {
        put_object(s, schema);
    } else {
        str_puts(s->out, json_get(schema, "items") ? "list" : "any");
    }
    put_bounds(s, schema);
}

static void put_type(struct sig *s, const struct json *schema)
{
    if (!json_is(schema, JSON_OBJECT) || s->depth >= DEPTH_MOST || is_full(s)) {
        str_puts(s->out, "any");
        return;
    }
    s->depth++;
    put_schema(s, schema);
    s->depth--;
}

const struct json *tool_function(const struct json *tool)
{
    if (!json_is(tool, JSON_OBJECT)) return NULL;
    const struct json *f = json_get(tool, "function");
    if (!json_is(f, JSON_OBJECT)) f = tool;
    return json_is(json_get(f, "name"), JSON_STRING) ? f : NULL;
}

void tool_signature(struct str *out, const struct json *tool)
{
    const struct json *f = tool_function(tool), *params = json_get(f, "parameters");
    struct sig s = { .out = out, .from = out->len, .root = params };
    if (!f) return;
    str_puts(out, json_str(json_get(f, "name"), NULL));
    str_putc(out, '(');
    if (json_is(params, JSON_OBJECT)) put_properties(&s, params);
    str_putc(out, ')');
    put_line(out, " ", json_get(f, "description"));
}
