/* judge.c -- is this the call that was wanted? The single-turn rules of the Berkeley leaderboard.
 *
 * Every accepted value is listed; the rules say what counts as equal: strings without blanks, case
 * and some punctuation, numbers by value, lists in order, objects member by member. Types are
 * Python's: a value of the declared type is compared loosely, a value that only has the type of the
 * accepted ones exactly. The odd corners (greedy matching, "" as "may be left out" and as a value,
 * a string taken for the list of its characters) are the original's and kept, because scores must
 * be comparable. Where the original crashes the call is invalid ("exception").
 *
 * Arguments of Java and JavaScript are source text; judge_source.c makes values of them first. */
#include <locale.h>
#include <wctype.h>

#include "eval/int.h"

#define OK ((struct verdict){ true, "" })
#define BAD(rule) ((struct verdict){ false, rule })

/* ---- types of Python ------------------------------------------------------------------------- */

enum py { PY_NONE, PY_INT, PY_FLOAT, PY_BOOL, PY_STR, PY_LIST, PY_DICT, PY_UNKNOWN };

static enum py py_type(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:   return PY_NONE;
    case JSON_BOOL:   return PY_BOOL;
    case JSON_NUMBER: return json_is_int(v) ? PY_INT : PY_FLOAT;
    case JSON_STRING: return PY_STR;
    case JSON_ARRAY:  return PY_LIST;
    case JSON_OBJECT: return PY_DICT;
    }
    return PY_UNKNOWN;
}

struct type_name { const char *name; enum py py; };

static const struct type_name python_types[] = {
    { "integer", PY_INT }, { "float", PY_FLOAT }, { "boolean", PY_BOOL }, { "string", PY_STR }, { "any", PY_STR },
    { "array", PY_LIST },  { "tuple", PY_LIST },  { "dict", PY_DICT },    { 0 },
};
static const struct type_name schema_types[] = {                      /* as well as those of Python */
    { "number", PY_FLOAT }, { "object", PY_DICT }, { 0 },
};
static const struct type_name java_types[] = {
    { "byte", PY_INT },    { "short", PY_INT },   { "integer", PY_INT }, { "long", PY_INT },       { "float", PY_FLOAT },
    { "double", PY_FLOAT }, { "boolean", PY_BOOL }, { "char", PY_STR },    { "String", PY_STR },     { "any", PY_STR },
    { "Array", PY_LIST },  { "Queue", PY_LIST },  { "Stack", PY_LIST },  { "ArrayList", PY_LIST }, { "HashMap", PY_DICT },
    { "Hashtable", PY_DICT }, { 0 },
};
static const struct type_name js_types[] = {
    { "String", PY_STR }, { "integer", PY_INT }, { "float", PY_FLOAT }, { "Bigint", PY_INT }, { "Boolean", PY_BOOL },
    { "dict", PY_DICT },  { "array", PY_LIST },  { "any", PY_STR },     { 0 },
};

static enum py find_type(const struct type_name *t, const struct json *type)
{
    while (t->name && !json_str_is(type, t->name)) t++;
    return t->name ? t->py : PY_UNKNOWN;
}

static enum py declared_type(const struct json *type, const struct judge_opts *o)
{
    if (o->language == JUDGE_JAVA) return find_type(java_types, type);
    if (o->language == JUDGE_JAVASCRIPT) return find_type(js_types, type);
    enum py t = find_type(python_types, type);
    return t == PY_UNKNOWN && o->json_schema ? find_type(schema_types, type) : t;
}

static bool is_empty_string(const struct json *v) { return json_str_is(v, ""); }

/* Type of the first accepted value that is not "". */
static enum py first_type(const struct json *accepted)
{
    for (size_t i = 0; i < json_len(accepted); i++)
        if (!is_empty_string(json_at(accepted, i))) return py_type(json_at(accepted, i));
    return PY_UNKNOWN;
}

/* ---- equality of Python ---------------------------------------------------------------------- */

static bool is_numeric(const struct json *v)
{
    return json_is(v, JSON_NUMBER) || json_is(v, JSON_BOOL);
}

/* A number as Python holds it: true is 1, a float is the nearest double, written exactly. */
static struct json *as_number(const struct json *v)
{
    char text[400];
    if (json_is(v, JSON_BOOL)) return json_new_int(json_bool(v));
    if (json_is_int(v)) return json_copy(v);
    double x = json_f64(v);
    if (x - x != 0) return json_copy(v);                          /* 1e999: nothing it could equal but itself */
    int n = snprintf(text, sizeof text, "%.17g", x);
    if (x > -1e300 && x < 1e300 && x == (double)(long long)x)
        n = snprintf(text, sizeof text, "%.0f", x);
    return json_new_number(text, (size_t)n);
}

static bool number_equal(const struct json *a, const struct json *b)
{
    struct json *x = as_number(a), *y = as_number(b);
    bool same = json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static bool py_equal(const struct json *a, const struct json *b);

static bool object_equal(const struct json *a, const struct json *b)
{
    if (json_len(a) != json_len(b)) return false;
    for (struct json_iter it = json_iter(a); json_next(&it);) {
        const struct json *other = json_get(b, it.key);
        if (!other || !py_equal(it.value, other)) return false;
    }
    return true;
}

static bool py_equal(const struct json *a, const struct json *b)
{
    if (is_numeric(a) && is_numeric(b)) return number_equal(a, b);
    if (json_type(a) != json_type(b)) return false;
    if (json_is(a, JSON_OBJECT)) return object_equal(a, b);
    if (!json_is(a, JSON_ARRAY)) return json_equal(a, b);
    if (json_len(a) != json_len(b)) return false;
    for (size_t i = 0; i < json_len(a); i++)
        if (!py_equal(json_at(a, i), json_at(b, i))) return false;
    return true;
}

/* ---- standard strings ------------------------------------------------------------------------ */

/* Lower case of one code point, with Python's one-to-many case; sigma at the end of a word is done
 * by the caller. */
static void put_lower(struct str *out, int32_t c, locale_t loc)
{
    char b[4];
    if (c == 0x130) { str_puts(out, "i\xCC\x87"); return; }
    uint32_t l = (uint32_t)towlower_l((wint_t)c, loc);
    str_put(out, b, (size_t)utf8_put(b, l));
}

static bool ends_word(const char *p, const char *start, const char *end, locale_t loc)
{
    int n;
    bool before = false;
    if (p > start) {
        const char *q = p - 1;
        while (q > start && ((unsigned char)*q & 0xC0) == 0x80) q--;
        before = iswalpha_l((wint_t)utf8_next(q, end, &n), loc) != 0;
    }
    const char *q = p + 2;                                        /* capital sigma has two bytes */
    return before && (q >= end || !iswalpha_l((wint_t)utf8_next(q, end, &n), loc));
}

static struct json *standard_bytes(const char *s, size_t len)
{
    static locale_t loc;
    if (!loc) loc = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!loc) loc = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
    struct str out = { 0 };
    for (const char *p = s, *end = s + len; p < end;) {
        int n;
        int32_t c = utf8_next(p, end, &n);
        if (c == 0x3A3) str_puts(&out, ends_word(p, s, end, loc) ? "ς" : "σ");
        else if (c == '\'') str_putc(&out, '"');
        else if (c < 0 || !strchr(" ,./-_*^", c < 128 ? c : 'x') || !c)
            put_lower(&out, c < 0 ? 0xFFFD : c, loc);
        p += n;
    }
    struct json *v = json_new_strn(out.p ? out.p : "", out.len);
    str_done(&out);
    return v;
}

/* A string in its standard form, anything else as it is. Owned. */
static struct json *standard(const struct json *v)
{
    size_t len;
    const char *s = json_str(v, &len);
    return s ? standard_bytes(s, len) : json_copy(v);
}

/* The elements of a list, strings among them in standard form; a string is the list of its
 * characters. NULL for what cannot be walked. Owned. */
static struct json *standard_list(const struct json *v)
{
    size_t len;
    const char *s = json_str(v, &len);
    if (!s && !json_is(v, JSON_ARRAY)) return NULL;
    struct json *out = json_new_array();
    for (size_t i = 0; !s && i < json_len(v); i++) json_push(out, standard(json_at(v, i)));
    for (size_t i = 0; s && i < len;) {
        int n;
        utf8_next(s + i, s + len, &n);
        json_push(out, standard_bytes(s + i, (size_t)n));
        i += (size_t)n;
    }
    return out;
}

static bool contains(const struct json *list, const struct json *v)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (py_equal(json_at(list, i), v)) return true;
    return false;
}

/* ---- values ---------------------------------------------------------------------------------- */

static struct verdict check_string(const struct json *v, const struct json *accepted)
{
    struct json *want = json_new_array(), *have = standard(v);
    for (size_t i = 0; i < json_len(accepted); i++)
        if (json_is(json_at(accepted, i), JSON_STRING))
            json_push(want, standard(json_at(accepted, i)));
    bool ok = contains(want, have);
    json_free(want);
    json_free(have);
    return ok ? OK : BAD("value_error:string");
}

static struct verdict check_list(const struct json *v, const struct json *accepted)
{
    struct json *have = standard_list(v);
    bool ok = false;
    for (size_t i = 0; i < json_len(accepted) && !ok; i++) {
        struct json *want = standard_list(json_at(accepted, i));
        ok = want && py_equal(want, have);
        json_free(want);
    }
    json_free(have);
    return ok ? OK : BAD("value_error:list/tuple");
}

/* One member against its accepted values. */
static bool member_fits(const struct json *v, const struct json *accepted)
{
    struct json *have = standard(v), *want = standard_list(accepted);
    bool ok = want && contains(want, have);
    json_free(have);
    json_free(want);
    return ok;
}

static struct verdict check_members(const struct json *v, const struct json *want)
{
    struct verdict r = OK;
    if (!json_is(want, JSON_OBJECT)) return BAD("exception");
    for (struct json_iter it = json_iter(v); r.valid && json_next(&it);) {
        const struct json *accepted = json_get(want, it.key);
        if (!accepted) r = BAD("value_error:dict_key");
        else if (!member_fits(it.value, accepted)) r = BAD("value_error:dict_value");
    }
    for (struct json_iter it = json_iter(want); json_next(&it);) {
        bool may_lack = json_is(it.value, JSON_STRING);
        for (size_t i = 0; i < json_len(it.value); i++)
            may_lack |= is_empty_string(json_at(it.value, i));
        if (!json_get(v, it.key) && !may_lack) return BAD("value_error:dict_key");
    }
    return r;
}

static struct verdict check_object(const struct json *v, const struct json *accepted)
{
    struct verdict r = BAD("dict_checker:unclear");
    for (size_t i = 0; i < json_len(accepted); i++) {
        if (is_empty_string(json_at(accepted, i))) continue;
        r = check_members(v, json_at(accepted, i));
        if (r.valid) return r;
    }
    return r;
}

static struct verdict check_objects(const struct json *v, const struct json *accepted)
{
    struct verdict r = BAD("value_error:list_dict_count");
    for (size_t i = 0; i < json_len(accepted); i++) {
        const struct json *a = json_at(accepted, i);
        r = OK;
        if (json_len(a) != json_len(v)) { r = BAD("value_error:list_dict_count"); continue; }
        for (size_t k = 0; r.valid && k < json_len(v); k++) {
            if (!json_is(json_at(v, k), JSON_OBJECT)) return BAD("exception");
            if (is_empty_string(json_at(a, k))) r = BAD("dict_checker:unclear");
            else r = check_members(json_at(v, k), json_at(a, k));
        }
        if (r.valid) return r;
    }
    return r;
}

/* ---- types ----------------------------------------------------------------------------------- */

/* Every element of a list has the declared type, or the type of the first element of an accepted
 * list. */
static bool elements_fit(const struct json *v, const struct json *accepted, enum py elem)
{
    for (size_t i = 0; i < json_len(accepted); i++) {
        const struct json *a = json_at(accepted, i);
        bool ok = true;
        if (!json_is(a, JSON_ARRAY)) return true;
        enum py other = first_type(a);
        for (size_t k = 0; ok && k < json_len(v); k++) {
            enum py t = py_type(json_at(v, k));
            ok = elem == PY_UNKNOWN || t == elem || (other != PY_UNKNOWN && t == other);
        }
        if (ok) return true;
    }
    return false;
}

/* *loose: the value has the declared type and is compared loosely. */
static struct verdict check_type(const struct json *v, const struct json *accepted, enum py want,
                                 enum py elem, bool *loose)
{
    enum py have = py_type(v), first = first_type(accepted);
    bool variable = first != PY_UNKNOWN && first != want;
    *loose = !variable;
    if (have == want && want != PY_LIST) return OK;
    if (have == want) {
        if (elements_fit(v, accepted, elem)) return OK;
        return first == PY_LIST ? BAD("type_error:nested") : BAD("type_error:simple");
    }
    *loose = false;
    return first != PY_UNKNOWN && have == first ? OK : BAD("type_error:simple");
}

static struct verdict check_typed(const struct json *v, const struct json *accepted,
                                  const struct json *schema, const struct judge_opts *o)
{
    enum py want = declared_type(json_get(schema, "type"), o), elem = PY_UNKNOWN;
    bool loose;
    if (want == PY_UNKNOWN && o->json_schema)
        want = first_type(accepted); /* enum without type, a list of types */
    if (want == PY_LIST) {
        elem = declared_type(json_get(json_get(schema, "items"), "type"), o);
        if (elem == PY_UNKNOWN && !o->json_schema) return BAD("exception");
    }
    if (want == PY_UNKNOWN) return BAD("exception");
    struct verdict r = check_type(v, accepted, want, elem, &loose);
    if (!r.valid) return r;
    if (loose && want == PY_DICT) return check_object(v, accepted);
    if (loose && want == PY_LIST && elem == PY_DICT) return check_objects(v, accepted);
    if (loose && want == PY_STR) return check_string(v, accepted);
    if (loose && want == PY_LIST) return check_list(v, accepted);
    return contains(accepted, v) ? OK : BAD("value_error:others");
}

/* A list says in `items` what its elements are; the original looks there for these types only. */
static bool is_list_type(const struct json *type)
{
    return json_str_is(type, "Array") || json_str_is(type, "ArrayList") ||
           json_str_is(type, "array");
}

/* Source text first becomes a value. */
static struct verdict check_source(const struct json *v, const struct json *accepted,
                                   const struct json *schema, const struct judge_opts *o)
{
    const struct json *type = json_get(schema, "type"),
                      *item = json_get(json_get(schema, "items"), "type");
    if (declared_type(type, o) == PY_UNKNOWN) return BAD("exception");
    if (!json_is(v, JSON_STRING))
        return o->language == JUDGE_JAVA ? BAD("type_error:java") : BAD("type_error:js");
    if (is_list_type(type) && declared_type(item, o) == PY_UNKNOWN) return BAD("exception");
    struct json *value = source_value(o->language, v, json_str(type, NULL),
                                      is_list_type(type) ? json_str(item, NULL) : NULL);
    if (!value) return BAD("exception");
    struct verdict r = check_typed(value, accepted, schema, o);
    json_free(value);
    return r;
}

struct verdict judge_value(const struct json *v, const struct json *accepted,
                           const struct json *schema, const struct judge_opts *o)
{
    if (o->language != JUDGE_PYTHON) return check_source(v, accepted, schema, o);
    bool to_float = declared_type(json_get(schema, "type"), o) == PY_FLOAT && py_type(v) == PY_INT;
    if (!to_float) return check_typed(v, accepted, schema, o);
    struct json *f = py_float(json_f64(v));                       /* 5 becomes 5.0 */
    struct verdict r = check_typed(f, accepted, schema, o);
    json_free(f);
    return r;
}

/* ---- one call -------------------------------------------------------------------------------- */

static bool names_match(const char *want, const char *have, bool dots)
{
    for (; *want && *have; want++, have++)
        if (*have != (dots && *want == '.' ? '_' : *want)) return false;
    return !*want && !*have;
}

/* The one member of an object: its key and value. */
static const struct json *only_member(const struct json *o, const char **key)
{
    struct json_iter it = json_iter(o);
    if (!json_is(o, JSON_OBJECT) || !json_next(&it)) return NULL;
    *key = it.key;
    return it.value;
}

static struct verdict check_args(const struct json *params, const struct json *wanted,
                                 const struct json *args, const struct judge_opts *o)
{
    const struct json *props = json_get(params, "properties"),
                      *required = json_get(params, "required");
    for (size_t i = 0; i < json_len(required); i++) {
        const char *name = json_str(json_at(required, i), NULL);
        if (name && !json_get(args, name)) return BAD("simple_function_checker:missing_required");
    }
    for (struct json_iter it = json_iter(args); json_next(&it);) {
        const struct json *schema = json_get(props, it.key), *accepted = json_get(wanted, it.key);
        if (!schema || !accepted) return BAD("simple_function_checker:unexpected_param");
        struct verdict r = judge_value(it.value, accepted, schema, o);
        if (!r.valid) return r;
    }
    for (struct json_iter it = json_iter(wanted); json_next(&it);) {
        bool may_lack = false;
        for (size_t i = 0; i < json_len(it.value); i++)
            may_lack |= is_empty_string(json_at(it.value, i));
        if (!json_get(args, it.key) && !may_lack)
            return BAD("simple_function_checker:missing_optional");
    }
    return OK;
}

static struct verdict check_call(const struct json *function, const struct json *wanted,
                                 const struct json *call, const struct judge_opts *o)
{
    const char *have = "", *want = json_str(json_get(function, "name"), NULL);
    const struct json *args = only_member(call, &have);
    if (!want) return BAD("exception");
    if (!names_match(want, have, o->dots_shown_as_underscores))
        return BAD("simple_function_checker:wrong_func_name");
    return check_args(json_get(function, "parameters"), wanted, args, o);
}

static const struct json *find_function(const struct json *functions, const char *name)
{
    for (size_t i = 0; i < json_len(functions); i++) {
        const struct json *f = json_at(functions, i), *inner = json_get(f, "function");
        f = inner ? inner : f;
        if (json_str_is(json_get(f, "name"), name)) return f;
    }
    return NULL;
}

/* ---- all calls ------------------------------------------------------------------------------- */

static bool is_call_list(const struct json *output)
{
    if (!json_is(output, JSON_ARRAY)) return false;
    for (size_t i = 0; i < json_len(output); i++) {
        const char *key;
        const struct json *args = only_member(json_at(output, i), &key);
        if (!json_is(args, JSON_OBJECT) || json_len(json_at(output, i)) != 1) return false;
    }
    return true;
}

static struct verdict any_order(const struct json *functions, const struct json *expect,
                                const struct json *output, const struct judge_opts *o)
{
    size_t n = json_len(expect);
    if (json_len(output) != n) return BAD("parallel_function_checker_no_order:wrong_count");
    bool *taken = mem_zero(n + 1), all = true;
    for (size_t i = 0; all && i < n; i++) {
        const char *name = "";
        const struct json *wanted = only_member(json_at(expect, i), &name);
        const struct json *f = find_function(functions, name);
        size_t k = 0;
        while (k < n && (taken[k] || !f || !check_call(f, wanted, json_at(output, k), o).valid))
            k++;
        if (k < n) taken[k] = true;
        else all = false;
    }
    mem_free(taken);
    return all ? OK : BAD("parallel_function_checker_no_order:cannot_find_match");
}

struct verdict judge_calls(const struct json *functions, const struct json *expect,
                           const struct json *output, const struct judge_opts *o)
{
    if (!is_call_list(output)) return BAD("ast_decoder:decoder_wrong_output_format");
    if (o->match == JUDGE_ANY_ORDER) return any_order(functions, expect, output, o);
    if (json_len(output) != (o->match == JUDGE_NAMED ? json_len(expect) : 1))
        return o->match == JUDGE_NAMED ? BAD("multiple_function_checker:wrong_count")
                                       : BAD("simple_function_checker:wrong_count");
    const char *name = "";
    const struct json *wanted = only_member(json_at(expect, 0), &name), *f = json_at(functions, 0);
    if (o->match == JUDGE_NAMED) f = find_function(functions, name);
    else if (json_get(f, "function")) f = json_get(f, "function");
    return f ? check_call(f, wanted, json_at(output, 0), o) : BAD("exception");
}
