/* judge_source.c -- Java and JavaScript source text as values: what the judge does to an argument first.
 *
 * In these two languages of the Berkeley leaderboard every argument is a string that holds source. The
 * declared type says how it is read: "5L" is a long, `new int[] {1, 2}` an Array of 1 and 2. What does
 * not look like a literal of its type stays the string it was, and then fails on its type.
 *
 * The original reads with regular expressions and without any idea of nesting: a comma within quotes
 * splits a list, an object ends at its first brace. Scores must be comparable, so the shapes below are
 * those that are accepted there, and PCRE2 walks them in the same order. Bounded: a text on which a
 * shape would be tried for too long does not have that shape.
 *
 * Not here: whether the value is the wanted one (judge.c). Threads: one at a time. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "eval/int.h"

#define TRIES_MOST 1000000                                            /* of one match */

/* ---- shapes ---------------------------------------------------------------------------------- */

#define DIGITS "\\d+"
#define REAL "-?" DIGITS "(?:\\." DIGITS ")?"
#define EXP "(?:[eE][+-]?" DIGITS ")?"
#define ARRAY_LIST "new\\s+ArrayList<\\w*>\\("
#define HASH_MAP "new\\s+HashMap<.*?>\\s*\\(\\)"
#define ROW "\\[\\s*\\[.*?\\]\\s*(?:,\\s*\\[.*?\\]\\s*)*\\]"
#define ROW_NEW "new\\s+Array\\(\\s*\\[.*?\\]\\s*(?:,\\s*\\[.*?\\]\\s*)*\\)"

/* Group 1, where there is one, is what matters of the text. */
enum shape { WHOLE, LONG, FLOAT, DOUBLE, JAVA_ARRAY, AS_LIST, ADD_BLOCK, ADD, LIST_EMPTY, PUT_BLOCK,
             PUT, MAP_EMPTY, JS_FLOAT, BIGINT, JS_ROWS, JS_ROW, JS_ARRAY, JS_DICT, JS_PAIR, ANY_INT,
             ANY_FLOAT, SHAPES };
static const struct { const char *pattern; uint32_t options; } shapes[SHAPES] = {
    [WHOLE] = { "^(-?" DIGITS ")$", 0 },
    [LONG] = { "^(-?" DIGITS ")[lL]$", 0 },
    [FLOAT] = { "^(" REAL EXP ")[fF]$", 0 },
    [DOUBLE] = { "^(" REAL EXP ")$", 0 },
    [JAVA_ARRAY] = { "new\\s+\\w+\\[\\]\\s*\\{(.*?)\\}", 0 },
    [AS_LIST] = { ARRAY_LIST "Arrays\\.asList\\((.+?)\\)\\)", 0 },
    [ADD_BLOCK] = { ARRAY_LIST "\\)\\s*\\{\\{\\s*(.+?)\\s*\\}\\}", PCRE2_DOTALL },
    [ADD] = { "add\\((.+?)\\)", 0 },
    [LIST_EMPTY] = { ARRAY_LIST "\\)", 0 },
    [PUT_BLOCK] = { HASH_MAP "\\s*\\{\\s*\\{?\\s*(.*?)\\s*\\}?\\s*\\}", PCRE2_DOTALL },
    [PUT] = { "put\\(\"(.*?)\",\\s*(.*?)\\)", 0 },
    [MAP_EMPTY] = { HASH_MAP, 0 },
    [JS_FLOAT] = { "^(" REAL ")$", 0 },
    [BIGINT] = { "^(-?" DIGITS ")n$", 0 },
    [JS_ROWS] = { "^((?:" ROW "|" ROW_NEW "))", 0 },
    [JS_ROW] = { "\\[(.*?)\\]", 0 },
    [JS_ARRAY] = { "^(?|\\[(.*?)\\]|new\\s+Array\\((.*?)\\))", 0 },
    [JS_DICT] = { "^\\{(.*?)\\}", 0 },
    [JS_PAIR] = { "([^:]+):\\s*(.*?)(?:,\\s*(?=[^,]+:)|$)", 0 },
    [ANY_INT] = { "^([+-]?\\d+(?:_\\d+)*)$", 0 },
    [ANY_FLOAT] = { "^([+-]?(?:\\d+(?:_\\d+)*\\.?(?:\\d+(?:_\\d+)*)?|\\.\\d+(?:_\\d+)*)(?:[eE][+-]?\\d+(?:_\\d+)*)?"
                    "|[+-]?(?i:inf(?:inity)?|nan))$", 0 },
};

/* Compiled once, kept until the process ends. */
static const pcre2_code *compiled(enum shape s)
{
    static pcre2_code *code[SHAPES];
    int bad = 0;
    PCRE2_SIZE at = 0;
    if (!code[s])
        code[s] = pcre2_compile((PCRE2_SPTR)shapes[s].pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | shapes[s].options, &bad, &at, NULL);
    return code[s];
}

/* Looks for a shape in t from *from on; g[0], g[1]: its groups. *from moves behind the match. */
static bool find_from(enum shape s, struct bytes t, size_t *from, struct bytes g[2])
{
    static pcre2_match_context *bounded;
    if (!bounded && (bounded = pcre2_match_context_create(NULL)))
        pcre2_set_match_limit(bounded, TRIES_MOST);
    const pcre2_code *code = compiled(s);
    pcre2_match_data *md = code ? pcre2_match_data_create_from_pattern(code, NULL) : NULL;
    int rc = md && *from <= t.len ? pcre2_match(code, (PCRE2_SPTR)t.p, t.len, *from, 0, md, bounded)
                                  : -1;
    const PCRE2_SIZE *o = md ? pcre2_get_ovector_pointer(md) : NULL;
    g[0] = g[1] = (struct bytes){ t.p, 0 };
    for (int i = 0; i < 2 && i + 1 < rc; i++)
        g[i] = (struct bytes){ t.p + o[2 * i + 2], o[2 * i + 3] - o[2 * i + 2] };
    if (rc > 0) *from = MAX(o[1], *from + (o[1] == *from));
    pcre2_match_data_free(md);
    return rc > 0;
}

static bool find(enum shape s, struct bytes t, struct bytes *g)
{
    struct bytes both[2];
    size_t from = 0;
    bool found = find_from(s, t, &from, both);
    *g = both[0];
    return found;
}

/* ---- pieces of text -------------------------------------------------------------------------- */

static bool is_blank(char c) { return strchr(" \t\n\r\f\v\x1c\x1d\x1e\x1f", c) && c; }

static struct bytes trimmed(struct bytes t)
{
    while (t.len && is_blank(t.p[0])) t.p++, t.len--;
    while (t.len && is_blank(t.p[t.len - 1])) t.len--;
    return t;
}

static bool is_quote(char c) { return c == '"' || c == '\''; }

static struct bytes without_quotes(struct bytes t)
{
    while (t.len && is_quote(t.p[0])) t.p++, t.len--;
    while (t.len && is_quote(t.p[t.len - 1])) t.len--;
    return t;
}

/* Without the first and the last character, whatever they are. */
static struct bytes inner(struct bytes t)
{
    int n = 0;
    if (!t.len) return t;
    utf8_next(t.p, t.p + t.len, &n);
    t.p += n;
    t.len -= (size_t)n;
    while (t.len && ((unsigned char)t.p[t.len - 1] & 0xC0) == 0x80) t.len--;
    t.len -= t.len > 0;
    return t;
}

static bool is_between(struct bytes t, char open, char close)
{
    return t.len && t.p[0] == open && t.p[t.len - 1] == close;
}

static struct json *string_of(struct bytes t) { return json_new_strn(t.p, t.len); }

/* The next piece up to a comma, trimmed; *rest is what follows, p NULL after the last piece. */
static struct bytes next_piece(struct bytes *rest)
{
    const char *comma = memchr(rest->p, ',', rest->len);
    struct bytes piece = { rest->p, comma ? (size_t)(comma - rest->p) : rest->len };
    *rest = comma ? (struct bytes){ comma + 1, rest->len - piece.len - 1 } : (struct bytes){ NULL, 0 };
    return trimmed(piece);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* What JSON cannot write is the largest number there is: it equals no accepted value. */
struct json *py_float(double v)
{
    char text[40];
    if (!isfinite(v)) v = v < 0 ? -DBL_MAX : DBL_MAX;
    struct json *f = json_new_f64(v);
    size_t n;
    const char *t = json_number(f, &n);
    if (strpbrk(t, ".eE")) return f;
    int len = snprintf(text, sizeof text, "%s.0", t);
    json_free(f);
    return json_new_number(text, (size_t)len);
}

/* Digits with an optional sign and, between digits, underscores. */
static struct json *int_of(struct bytes t)
{
    struct str s = { 0 };
    bool minus = t.len && t.p[0] == '-';
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] >= '0' && (t.p[i] != '0' || s.len) && t.p[i] <= '9') str_putc(&s, t.p[i]);
    struct str all = { 0 };
    str_fmt(&all, "%s%s", minus && s.len ? "-" : "", s.len ? s.p : "0");
    struct json *v = json_new_number(all.p, all.len);
    str_done(&s);
    str_done(&all);
    return v;
}

static struct json *float_of(struct bytes t)
{
    struct str s = { 0 };
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] != '_') str_putc(&s, t.p[i]);
    struct json *v = py_float(strtod(s.p ? s.p : "", NULL));
    str_done(&s);
    return v;
}

/* Of the shape, or the string. */
static struct json *number(enum shape s, struct bytes t, bool is_int)
{
    struct bytes g;
    if (!find(s, t, &g)) return string_of(t);
    return is_int ? int_of(g) : float_of(g);
}

static struct json *boolean(struct bytes t)
{
    if (bytes_eq(t, "true")) return json_new_bool(true);
    return bytes_eq(t, "false") ? json_new_bool(false) : string_of(t);
}

/* A value whose type nobody says, as Python's int() and float() would read it. */
static struct json *guessed(struct bytes t)
{
    struct bytes g;
    if (bytes_eq(t, "true") || bytes_eq(t, "false")) return boolean(t);
    if (find(ANY_INT, trimmed(t), &g)) return int_of(g);
    return find(ANY_FLOAT, trimmed(t), &g) ? float_of(g) : string_of(t);
}

/* ---- Java ------------------------------------------------------------------------------------ */

static struct json *java_value(struct bytes t, const char *type, const char *item);

static struct json *java_guess(struct bytes t)
{
    struct bytes g;
    if (is_between(t, '"', '"')) return string_of(inner(t));
    if (find(LONG, t, &g)) return int_of(g);
    return find(FLOAT, t, &g) ? float_of(g) : guessed(t);
}

static bool push(struct json *list, struct json *v)
{
    if (v) json_push(list, v);
    return v != NULL;
}

static struct json *java_array(struct bytes t, const char *item)
{
    struct bytes rest;
    if (!find(JAVA_ARRAY, t, &rest)) return string_of(t);
    struct json *list = json_new_array();
    while (rest.p) {
        struct bytes piece = next_piece(&rest);
        if (piece.len && !push(list, java_value(piece, item, NULL))) return json_free(list), NULL;
    }
    return list;
}

/* An element of an ArrayList: of strings and characters, the quotes are taken off unseen. */
static struct json *java_element(struct bytes t, const char *item)
{
    bool quoted = !strcmp(item, "String") || !strcmp(item, "char");
    return quoted ? string_of(inner(t)) : java_value(t, item, NULL);
}

static struct json *java_list(struct bytes t, const char *item)
{
    struct bytes rest, g[2];
    bool fine = true, listed = find(AS_LIST, t, &rest);
    struct json *list = json_new_array();
    while (listed && fine && rest.p) fine = push(list, java_element(next_piece(&rest), item));
    if (!listed && find(ADD_BLOCK, t, &rest)) {
        for (size_t from = 0; fine && find_from(ADD, rest, &from, g);)
            fine = push(list, java_element(trimmed(g[0]), item));
    } else if (!listed && !find(LIST_EMPTY, t, &rest)) {
        json_free(list);
        return string_of(t);
    }
    if (fine) return list;
    json_free(list);
    return NULL;
}

static char *key_of(struct bytes t)
{
    char *key = mem_zero(t.len + 1);
    memcpy(key, t.p, t.len);
    return key;
}

static void put(struct json *map, struct bytes key, struct json *value)
{
    char *k = key_of(key);
    json_set(map, k, value);
    mem_free(k);
}

static struct json *java_map(struct bytes t)
{
    struct bytes block, g[2];
    bool filled = find(PUT_BLOCK, t, &block);
    if (!filled && !find(MAP_EMPTY, t, &g[0])) return string_of(t);
    struct json *map = json_new_object();
    for (size_t from = 0; filled && find_from(PUT, block, &from, g);)
        put(map, g[0], java_guess(trimmed(g[1])));
    return map;
}

static struct json *java_value(struct bytes t, const char *type, const char *item)
{
    if (!strcmp(type, "byte") || !strcmp(type, "short") || !strcmp(type, "integer"))
        return number(WHOLE, t, true);
    if (!strcmp(type, "long")) return number(LONG, t, true);
    if (!strcmp(type, "float")) return number(FLOAT, t, false);
    if (!strcmp(type, "double")) return number(DOUBLE, t, false);
    if (!strcmp(type, "boolean")) return boolean(t);
    if (!strcmp(type, "String") || !strcmp(type, "char") || !strcmp(type, "any"))
        return string_of(t);
    if (!strcmp(type, "HashMap")) return java_map(t);
    if (!item) return NULL;
    if (!strcmp(type, "Array")) return java_array(t, item);
    return !strcmp(type, "ArrayList") ? java_list(t, item) : NULL;
}

/* ---- JavaScript ------------------------------------------------------------------------------- */

static struct json *js_value(struct bytes t, const char *type, const char *item);

static struct json *js_guess(struct bytes t)
{
    t = trimmed(t);
    return is_between(t, '"', '"') || is_between(t, '\'', '\'') ? string_of(inner(t)) : guessed(t);
}

/* Every stretch from a bracket to the next closing one is a row. */
static struct json *js_rows(struct bytes t)
{
    struct bytes g[2];
    struct json *rows = json_new_array();
    for (size_t from = 0; find_from(JS_ROW, t, &from, g);) {
        struct bytes rest = trimmed(g[0]);
        if (!json_len(rows) && rest.len && rest.p[0] == '[') rest.p++, rest.len--;
        struct json *row = json_new_array();
        while (rest.p) json_push(row, js_guess(next_piece(&rest)));
        json_push(rows, row);
    }
    return rows;
}

static struct json *js_array(struct bytes t, const char *item)
{
    struct bytes rest;
    t = trimmed(t);
    if (find(JS_ROWS, t, &rest)) return js_rows(rest);
    if (!find(JS_ARRAY, t, &rest)) return string_of(t);
    struct json *list = json_new_array();
    bool fine = true;
    rest = trimmed(rest);
    while (rest.len && fine) {
        bool more = memchr(rest.p, ',', rest.len) != NULL;
        struct bytes piece = next_piece(&rest);
        fine = push(list, item ? js_value(piece, item, "String") : js_guess(piece));
        if (more && !rest.len)
            fine = fine && push(list, item ? js_value(rest, item, "String") : js_guess(rest));
    }
    if (fine) return list;
    json_free(list);
    return string_of(t);
}

static struct json *js_dict(struct bytes t)
{
    struct bytes content, g[2];
    t = trimmed(t);
    if (!find(JS_DICT, t, &content)) return string_of(t);
    struct json *o = json_new_object();
    for (size_t from = 0; find_from(JS_PAIR, content, &from, g);) {
        struct bytes key = without_quotes(trimmed(g[0])), v = trimmed(g[1]);
        if (is_between(v, '[', ']')) put(o, key, js_array(v, NULL));
        else if (is_between(v, '{', '}')) put(o, key, js_dict(v));
        else put(o, key, js_guess(without_quotes(v)));
    }
    return o;
}

static struct json *js_value(struct bytes t, const char *type, const char *item)
{
    if (!strcmp(type, "String"))
        return string_of(is_between(t, '"', '"') || is_between(t, '\'', '\'') ? inner(t) : t);
    if (!strcmp(type, "integer")) return number(WHOLE, t, true);
    if (!strcmp(type, "float")) return number(JS_FLOAT, t, false);
    if (!strcmp(type, "Bigint")) return number(BIGINT, t, true);
    if (!strcmp(type, "Boolean")) return boolean(t);
    if (!strcmp(type, "any")) return string_of(t);
    if (!strcmp(type, "dict")) return js_dict(t);
    return !strcmp(type, "array") ? js_array(t, item) : NULL;
}

struct json *source_value(enum judge_language l, const struct json *text, const char *type,
                          const char *item)
{
    struct bytes t = { 0 };
    t.p = json_str(text, &t.len);
    return l == JUDGE_JAVA ? java_value(t, type, item) : js_value(t, type, item);
}
