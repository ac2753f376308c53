/* check.c -- does a finished value satisfy a schema? A plain recursive evaluator of parsed values.
 *
 * It shares nothing with the automaton but the JSON tree and exact decimals, so each judges the other
 * in the tests; the product uses it for relaxed keywords, before a tool runs, and to filter enum
 * values. Every keyword of drafts 4 to 2020-12 is evaluated, by the rules of the resource it stands in
 * (refs.h); a reference to a document that is not at hand is ERR_UNSUPPORTED, never a silent yes.
 *
 * A keyword is a row: name, drafts, function. A node's members are looked up in the table one by one;
 * unevaluated* come last, from the record of what the others have looked at. Bounded: nesting, steps
 * and regex work have limits (ERR_LIMIT). */
#include <stdlib.h>

#include "grammar/int.h"

enum { MOST_NEST = 1500, MOST_STEP = 20000000, N_PATTERN = 32 };

struct place { const struct place *up; const char *key; size_t key_len, index; };
struct pattern { const char *text; size_t len; struct ecma *code; };
struct check {
    struct refs *refs;
    struct err *e;
    bool broken;  /* the schema, not the value, is at fault: stop everything */
    int nest; long steps;
    uint32_t scope[MOST_NEST + 2], n_scope;  /* resources entered on the way, outermost first */
    struct pattern pattern[N_PATTERN]; int n_pattern;
};
/* What of a value has been looked at, for unevaluated*: one byte per member or element; NULL: nobody asks. */
struct seen { uint8_t *mark; size_t n; };
/* One evaluation: a schema against a value at a place. */
struct at {
    struct check *c;
    const struct json *node, *value;
    const struct place *place;
    struct seen seen;
    uint32_t res;  /* the resource the node stands in, once eval has entered it */
    const struct res *in;
};

/* ---- messages -------------------------------------------------------------------------------- */

static void place_put(struct str *out, const struct place *p)
{
    if (!p) return;
    place_put(out, p->up);
    if (p->key) str_fmt(out, "/%.*s", (int)MIN(p->key_len, 60u), p->key);
    else str_fmt(out, "/%zu", p->index);
}

static bool fault(const struct at *a, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool fault(const struct at *a, enum err_code code, const char *fmt, ...)
{
    struct str s = { 0 };
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    place_put(&s, a->place);
    if (s.len > 200) s.p[utf8_whole(s.p, 200)] = 0;
    if (code != ERR_ARG) a->c->broken = true;
    if (a->c->e) *a->c->e = (struct err){ 0 };
    err_set(a->c->e, code, "%s: %s", s.len ? s.p : "value", what);
    str_done(&s);
    return false;
}
#define BAD(a, ...) fault((a), ERR_ARG, __VA_ARGS__)

static const char *shown(const struct json *v, char buf[48])
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    bool cut = s.len > 40;
    if (cut) s.p[utf8_whole(s.p, 36)] = 0;
    snprintf(buf, 48, "%s%s", s.p, cut ? "…" : "");
    str_done(&s);
    return buf;
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool eval(struct at *a);

/* Another schema for the same value; what it looks at counts for this one only if it holds. */
static bool also_at(struct at *a, struct spot to)
{
    struct at b = *a;
    b.node = to.v;
    b.res = to.res;
    if (a->seen.mark) b.seen.mark = mem_zero(a->seen.n + 1);
    bool ok = eval(&b);
    for (size_t i = 0; ok && a->seen.mark && i < a->seen.n; i++) a->seen.mark[i] |= b.seen.mark[i];
    if (a->seen.mark) mem_free(b.seen.mark);
    return ok;
}

static bool also(struct at *a, const struct json *node)
{
    return also_at(a, (struct spot){ node, a->res });
}

/* The same, without a message left behind when it fails. */
static bool quietly(struct at *a, const struct json *node)
{
    struct err *e = a->c->e, own = { 0 };
    a->c->e = &own;
    bool ok = also(a, node);
    a->c->e = e;
    if (a->c->broken && e) *e = own;
    return ok;
}

static bool member(struct at *a, const struct json *node, const struct json_iter *it)
{
    struct place p = { a->place, it->key, it->key_len, 0 };
    struct at b = { .c = a->c, .node = node, .value = it->value, .place = &p, .res = a->res };
    if (a->seen.mark) a->seen.mark[it->index] = 1;
    return eval(&b);
}

static bool element(struct at *a, const struct json *node, size_t i)
{
    struct place p = { a->place, NULL, 0, i };
    struct at b = {
        .c = a->c, .node = node, .value = json_at(a->value, i), .place = &p, .res = a->res
    };
    if (a->seen.mark) a->seen.mark[i] = 1;
    return eval(&b);
}

static const struct json *sibling(const struct at *a, const char *kw)
{
    return json_get(a->node, kw);
}

/* ---- references ------------------------------------------------------------------------------ */

static bool kw_ref(struct at *a, const struct json *v)
{
    const char *ref = json_str(v, NULL);
    struct spot to;
    struct err e = { 0 };
    if (!ref) return fault(a, ERR_SCHEMA, "$ref must be a text");
    if (!refs_find(a->c->refs, a->res, ref, &to, &e)) return fault(a, e.code, "%s", e.msg);
    return also_at(a, to);
}

/* $dynamicRef, $recursiveRef: by the resources that lie on the way here. */
static bool kw_dynamic(struct at *a, const struct json *v)
{
    const char *ref = json_str(v, NULL);
    struct check *c = a->c;
    struct spot to;
    struct err e = { 0 };
    if (!ref) return fault(a, ERR_SCHEMA, "a dynamic reference must be a text");
    if (!refs_find_dynamic(c->refs, a->res, ref, c->scope, c->n_scope, &to, &e))
        return fault(a, e.code, "%s", e.msg);
    return also_at(a, to);
}

/* ---- any type -------------------------------------------------------------------------------- */

static bool is_integer(const struct at *a)
{
    size_t len;
    const char *p = json_number(a->value, &len);
    if (!p) return false;
    if (a->in->draft == DRAFT4) return json_is_int(a->value);
    struct arena m;
    arena_init(&m, 1024);
    struct dec d = dec_read(&m, p, len);
    bool ok = dec_is_int(&d);
    arena_done(&m);
    return ok;
}

static bool is_type(const struct at *a, const struct json *name)
{
    static const char *const names[] = { "null", "boolean", "number", "string", "array", "object" };
    if (json_str_is(name, "integer")) return is_integer(a);
    return json_str_is(name, names[json_type(a->value)]);
}

static bool kw_type(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    if (!json_is(v, JSON_ARRAY)) {
        if (!json_is(v, JSON_STRING))
            return fault(a, ERR_SCHEMA, "type must be a text or a list of texts");
        return is_type(a, v) ||
               BAD(a, "%s is not of type %.20s", shown(a->value, buf), json_str(v, NULL));
    }
    for (size_t i = 0; i < json_len(v); i++)
        if (is_type(a, json_at(v, i))) return true;
    return BAD(a, "%s is of none of the types %s", shown(a->value, buf), shown(v, want));
}

static bool kw_enum(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    for (size_t i = 0; i < json_len(v); i++)
        if (json_equal(json_at(v, i), a->value)) return true;
    return BAD(a, "%s is not one of %s", shown(a->value, buf), shown(v, want));
}

static bool kw_const(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    return json_equal(v, a->value) || BAD(a, "%s is not %s", shown(a->value, buf), shown(v, want));
}

static bool kw_all_of(struct at *a, const struct json *v)
{
    for (size_t i = 0; i < json_len(v); i++)
        if (!also(a, json_at(v, i))) return false;
    return true;
}

static bool kw_any_of(struct at *a, const struct json *v)
{
    bool any = false;
    for (size_t i = 0; i < json_len(v) && !a->c->broken && !(any && !a->seen.mark); i++)
        any |= quietly(a, json_at(v, i));
    char buf[48];
    return a->c->broken ? false : any || BAD(a, "%s matches none of anyOf", shown(a->value, buf));
}

static bool kw_one_of(struct at *a, const struct json *v)
{
    int n = 0;
    for (size_t i = 0; i < json_len(v) && !a->c->broken; i++) n += quietly(a, json_at(v, i));
    char buf[48];
    return a->c->broken
               ? false
               : n == 1 || BAD(a, "%s matches %d of oneOf instead of one", shown(a->value, buf), n);
}

static bool kw_not(struct at *a, const struct json *v)
{
    struct at b = *a;  /* what a negated schema looks at does not count */
    b.seen.mark = NULL;
    bool held = quietly(&b, v);
    char buf[48];
    return a->c->broken ? false
                        : !held || BAD(a, "%s matches what not excludes", shown(a->value, buf));
}

static bool kw_if(struct at *a, const struct json *v)
{
    bool held = quietly(a, v);
    if (a->c->broken) return false;
    const struct json *next = sibling(a, held ? "then" : "else");
    return !next || also(a, next);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Compares the value with a bound; 2: one of them is no number. */
static int against(const struct at *a, const struct json *bound)
{
    size_t n, k;
    const char *p = json_number(a->value, &n), *q = json_number(bound, &k);
    if (!p || !q) return 2;
    struct arena m;
    arena_init(&m, 1024);
    struct dec x = dec_read(&m, p, n), y = dec_read(&m, q, k);
    int c = dec_cmp(&x, &y);
    arena_done(&m);
    return c;
}

/* Draft 4 (and OpenAPI 3.0) says whether the bound beside it is open, later drafts give a bound of their own. Each form
 * means under every draft what it means where it is at home: schemas name their draft wrongly, or not at all. */
static bool draft4_exclusive(const struct at *a, const char *kw)
{
    return json_bool(sibling(a, kw));
}

static bool kw_minimum(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    int c = against(a, v);
    bool open = draft4_exclusive(a, "exclusiveMinimum");
    return c == 2 || c > 0 || (c == 0 && !open) ||
           BAD(a, "%s is below minimum %s", shown(a->value, buf), shown(v, want));
}

static bool kw_maximum(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    int c = against(a, v);
    bool open = draft4_exclusive(a, "exclusiveMaximum");
    return c == 2 || c < 0 || (c == 0 && !open) ||
           BAD(a, "%s is above maximum %s", shown(a->value, buf), shown(v, want));
}

static bool kw_ex_minimum(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    int c = against(a, v);
    return c > 0 ||
           BAD(a, "%s is not above exclusiveMinimum %s", shown(a->value, buf), shown(v, want));
}

static bool kw_ex_maximum(struct at *a, const struct json *v)
{
    char buf[48], want[48];
    int c = against(a, v);
    return c == 2 || c < 0 ||
           BAD(a, "%s is not below exclusiveMaximum %s", shown(a->value, buf), shown(v, want));
}

enum { MOST_DIVIDED = 10000 };                          /* characters; long division is quadratic */

static bool kw_multiple(struct at *a, const struct json *v)
{
    size_t n, k;
    char buf[48], want[48];
    const char *p = json_number(a->value, &n), *q = json_number(v, &k);
    if (!p || !q) return true;
    if (MAX(n, k) > MOST_DIVIDED)
        return fault(a, ERR_LIMIT, "multipleOf on numbers of more than %d digits", MOST_DIVIDED);
    struct arena m;
    arena_init(&m, 1024);
    struct dec x = dec_read(&m, p, n), y = dec_read(&m, q, k);
    bool bad = !y.n || y.neg, ok = !bad && dec_multiple(&x, &y);
    arena_done(&m);
    if (bad) return fault(a, ERR_SCHEMA, "multipleOf must be above 0");
    return ok || BAD(a, "%s is not a multiple of %s", shown(a->value, buf), shown(v, want));
}

/* ---- strings --------------------------------------------------------------------------------- */

static int64_t code_points(const struct json *v)
{
    size_t len;
    const char *p = json_str(v, &len);
    int64_t n = 0;
    for (size_t i = 0; i < len; i++) n += ((uint8_t)p[i] & 0xc0) != 0x80;
    return n;
}

/* A count keyword; false if it is no usable count (the schema is at fault). */
static bool count(struct at *a, const struct json *v, const char *kw, int64_t *n)
{
    if (json_i64(v, n) && *n >= 0) return true;
    if (json_is(v, JSON_NUMBER) && json_f64(v) > 9e18) { *n = INT64_MAX; return true; }
    return fault(a, ERR_SCHEMA, "%s must be a whole number that is not negative", kw);
}

static bool kw_min_length(struct at *a, const struct json *v)
{
    int64_t n, have = code_points(a->value);
    return count(a, v, "minLength", &n) &&
           (have >= n ||
            BAD(a, "%lld characters are fewer than minLength %lld", (long long)have, (long long)n));
}

static bool kw_max_length(struct at *a, const struct json *v)
{
    int64_t n, have = code_points(a->value);
    return count(a, v, "maxLength", &n) &&
           (have <= n ||
            BAD(a, "%lld characters are more than maxLength %lld", (long long)have, (long long)n));
}

/* Texts of patterns lie in the schema and stay where they are, so the address tells them apart. */
static const struct ecma *pattern_code(struct at *a, const char *text, size_t len)
{
    struct check *c = a->c;
    struct err e = { 0 };
    for (int i = 0; i < c->n_pattern; i++)
        if (c->pattern[i].text == text && c->pattern[i].len == len) return c->pattern[i].code;
    struct ecma *p = ecma_open(text, len, &e);
    if (!p) {
        fault(a, e.code, "%s", e.msg);
        return NULL;
    }
    if (c->n_pattern == N_PATTERN) ecma_close(c->pattern[--c->n_pattern].code);
    c->pattern[c->n_pattern++] = (struct pattern){ text, len, p };
    return p;
}

/* Does the pattern occur in the text? broken is set when nobody can say. */
static bool matches(struct at *a, const char *pattern, size_t pattern_len, const char *text,
                    size_t len)
{
    const struct ecma *code = pattern_code(a, pattern, pattern_len);
    int r = code ? ecma_search(code, text, len) : 0;
    if (r < 0) fault(a, ERR_LIMIT, "pattern %.80s takes too long", pattern);
    return r > 0;
}

static bool kw_pattern(struct at *a, const struct json *v)
{
    size_t n, len;
    char buf[48];
    const char *p = json_str(v, &n), *s = json_str(a->value, &len);
    if (!p) return fault(a, ERR_SCHEMA, "pattern must be a text");
    return matches(a, p, n, s, len) ||
           (!a->c->broken && BAD(a, "%s does not match pattern %.80s", shown(a->value, buf), p));
}

static bool kw_format(struct at *a, const struct json *v)
{
    size_t len;
    char buf[48];
    const char *name = json_str(v, NULL), *s = json_str(a->value, &len);
    if (!a->in->asserts_format || !name || !s) return true;
    return format_valid(name, s, len) ||
           BAD(a, "%s is not a valid %.40s", shown(a->value, buf), name);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static bool kw_min_items(struct at *a, const struct json *v)
{
    int64_t n;
    return count(a, v, "minItems", &n) &&
           ((int64_t)json_len(a->value) >= n ||
            BAD(a, "%zu elements are fewer than minItems %lld", json_len(a->value), (long long)n));
}

static bool kw_max_items(struct at *a, const struct json *v)
{
    int64_t n;
    return count(a, v, "maxItems", &n) &&
           ((int64_t)json_len(a->value) <= n ||
            BAD(a, "%zu elements are more than maxItems %lld", json_len(a->value), (long long)n));
}

static bool each_from(struct at *a, const struct json *node, size_t from)
{
    for (size_t i = from; i < json_len(a->value); i++)
        if (!element(a, node, i)) return false;
    return true;
}

static bool first_items(struct at *a, const struct json *list)
{
    for (size_t i = 0; i < MIN(json_len(list), json_len(a->value)); i++)
        if (!element(a, json_at(list, i), i)) return false;
    return true;
}

static bool kw_items(struct at *a, const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) return first_items(a, v);
    const struct json *list = a->in->draft >= DRAFT2020 ? sibling(a, "prefixItems") : NULL;
    return each_from(a, v, json_len(list));
}

static bool kw_prefix_items(struct at *a, const struct json *v)
{
    return first_items(a, v);
}

static bool kw_additional_items(struct at *a, const struct json *v)
{
    const struct json *items = sibling(a, "items");
    return !json_is(items, JSON_ARRAY) || each_from(a, v, json_len(items));
}

static bool kw_contains(struct at *a, const struct json *v)
{
    int64_t least = 1, most = INT64_MAX, n = 0;
    if (a->in->draft >= DRAFT2019 && sibling(a, "minContains") &&
        !count(a, sibling(a, "minContains"), "minContains", &least))
        return false;
    if (a->in->draft >= DRAFT2019 && sibling(a, "maxContains") &&
        !count(a, sibling(a, "maxContains"), "maxContains", &most))
        return false;
    for (size_t i = 0; i < json_len(a->value) && !a->c->broken; i++) {
        struct err *e = a->c->e, own = { 0 };
        uint8_t *mark = a->in->draft >= DRAFT2020 ? a->seen.mark : NULL,
                before = mark ? mark[i] : 0;
        a->c->e = &own;
        bool ok = element(a, v, i);
        a->c->e = e;
        if (a->c->broken && e) *e = own;
        if (mark && !ok) mark[i] = before;
        n += ok;
    }
    if (a->c->broken) return false;
    return (n >= least && n <= most) || BAD(a, "%lld elements match contains", (long long)n);
}

static bool kw_unique(struct at *a, const struct json *v)
{
    size_t n = json_len(a->value);
    if (!json_bool(v)) return true;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            if (++a->c->steps > MOST_STEP)
                return fault(a, ERR_LIMIT, "uniqueItems over %zu elements takes too long", n);
            if (json_equal(json_at(a->value, i), json_at(a->value, k)))
                return BAD(a, "elements %zu and %zu are equal", k, i);
        }
    return true;
}

/* ---- objects --------------------------------------------------------------------------------- */

static bool kw_required(struct at *a, const struct json *v)
{
    if (json_is(v, JSON_BOOL)) return true;
    for (size_t i = 0; i < json_len(v); i++) {
        const char *name = json_str(json_at(v, i), NULL);
        if (name && !json_get(a->value, name)) return BAD(a, "%.80s is required but missing", name);
    }
    return true;
}

static bool kw_min_properties(struct at *a, const struct json *v)
{
    int64_t n;
    return count(a, v, "minProperties", &n) &&
           ((int64_t)json_len(a->value) >= n ||
            BAD(a, "%zu keys are fewer than minProperties %lld", json_len(a->value), (long long)n));
}

static bool kw_max_properties(struct at *a, const struct json *v)
{
    int64_t n;
    return count(a, v, "maxProperties", &n) &&
           ((int64_t)json_len(a->value) <= n ||
            BAD(a, "%zu keys are more than maxProperties %lld", json_len(a->value), (long long)n));
}

static bool kw_properties(struct at *a, const struct json *v)
{
    for (struct json_iter it = json_iter(a->value); json_next(&it); ) {
        const struct json *node = json_get(v, it.key);
        if (node && !member(a, node, &it)) return false;
    }
    return true;
}

static bool kw_pattern_properties(struct at *a, const struct json *v)
{
    for (struct json_iter p = json_iter(v); json_next(&p); )
        for (struct json_iter it = json_iter(a->value); json_next(&it); ) {
            bool hit = matches(a, p.key, p.key_len, it.key, it.key_len);
            if (a->c->broken || (hit && !member(a, p.value, &it))) return false;
        }
    return true;
}

static bool kw_additional(struct at *a, const struct json *v)
{
    const struct json *known = sibling(a, "properties"),
                      *patterns = sibling(a, "patternProperties");
    for (struct json_iter it = json_iter(a->value); json_next(&it); ) {
        bool other = !json_get(known, it.key);
        for (struct json_iter p = json_iter(patterns); other && patterns && json_next(&p); )
            other = !matches(a, p.key, p.key_len, it.key, it.key_len) && !a->c->broken;
        if (a->c->broken) return false;
        if (other && json_is(v, JSON_BOOL) && !json_bool(v))
            return BAD(a, "%.80s is not a known key", it.key);
        if (other && !member(a, v, &it)) return false;
    }
    return true;
}

static bool kw_property_names(struct at *a, const struct json *v)
{
    for (struct json_iter it = json_iter(a->value); json_next(&it); ) {
        struct json *name = json_new_strn(it.key, it.key_len);
        struct place p = { a->place, it.key, it.key_len, 0 };
        struct at b = { .c = a->c, .node = v, .value = name, .place = &p, .res = a->res };
        bool ok = eval(&b);
        json_free(name);
        if (!ok) return false;
    }
    return true;
}

static bool need_all(struct at *a, const struct json *names, const char *because)
{
    for (size_t i = 0; i < json_len(names); i++) {
        const char *name = json_str(json_at(names, i), NULL);
        if (name && !json_get(a->value, name))
            return BAD(a, "%.60s is required beside %.60s", name, because);
    }
    return true;
}

static bool kw_dependent(struct at *a, const struct json *v)
{
    for (struct json_iter it = json_iter(v); json_next(&it); ) {
        if (!json_get(a->value, it.key)) continue;
        if (json_is(it.value, JSON_ARRAY) ? !need_all(a, it.value, it.key) : !also(a, it.value))
            return false;
    }
    return true;
}

/* ---- what nobody has looked at --------------------------------------------------------------- */

static bool unevaluated(struct at *a)
{
    const struct json *props =
        json_is(a->value, JSON_OBJECT) ? sibling(a, "unevaluatedProperties") : NULL;
    const struct json *items =
        json_is(a->value, JSON_ARRAY) ? sibling(a, "unevaluatedItems") : NULL;
    for (struct json_iter it = json_iter(a->value); props && json_next(&it); )
        if (!a->seen.mark[it.index] && !member(a, props, &it)) return false;
    for (size_t i = 0; items && i < json_len(a->value); i++)
        if (!a->seen.mark[i] && !element(a, items, i)) return false;
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

enum { ANY = -1, NUM = JSON_NUMBER, STR = JSON_STRING, ARR = JSON_ARRAY, OBJ = JSON_OBJECT };
struct keyword {
    const char *name;
    int type, since, until;
    bool (*fn)(struct at *a, const struct json *v);
    bool asserts;
};
static const struct keyword keywords[] = {
    /* sorted by name; true: of the validation vocabulary, which a metaschema may leave out */
    { "$dynamicRef", ANY, 9, 9, kw_dynamic, false },
    { "$recursiveRef", ANY, 8, 8, kw_dynamic, false },
    { "$ref", ANY, 4, 9, kw_ref, false },
    { "additionalItems", ARR, 4, 9, kw_additional_items, false },
    { "additionalProperties", OBJ, 4, 9, kw_additional, false },
    { "allOf", ANY, 4, 9, kw_all_of, false },
    { "anyOf", ANY, 4, 9, kw_any_of, false },
    { "const", ANY, 6, 9, kw_const, true },
    { "contains", ARR, 6, 9, kw_contains, false },
    { "dependencies", OBJ, 4, 9, kw_dependent, false },
    { "dependentRequired", OBJ, 8, 9, kw_dependent, true },
    { "dependentSchemas", OBJ, 8, 9, kw_dependent, false },
    { "enum", ANY, 4, 9, kw_enum, true },
    { "exclusiveMaximum", NUM, 4, 9, kw_ex_maximum, true },
    { "exclusiveMinimum", NUM, 4, 9, kw_ex_minimum, true },
    { "format", STR, 4, 9, kw_format, false },
    { "if", ANY, 7, 9, kw_if, false },
    { "items", ARR, 4, 9, kw_items, false },
    { "maxItems", ARR, 4, 9, kw_max_items, true },
    { "maxLength", STR, 4, 9, kw_max_length, true },
    { "maxProperties", OBJ, 4, 9, kw_max_properties, true },
    { "maximum", NUM, 4, 9, kw_maximum, true },
    { "minItems", ARR, 4, 9, kw_min_items, true },
    { "minLength", STR, 4, 9, kw_min_length, true },
    { "minProperties", OBJ, 4, 9, kw_min_properties, true },
    { "minimum", NUM, 4, 9, kw_minimum, true },
    { "multipleOf", NUM, 4, 9, kw_multiple, true },
    { "not", ANY, 4, 9, kw_not, false },
    { "oneOf", ANY, 4, 9, kw_one_of, false },
    { "pattern", STR, 4, 9, kw_pattern, true },
    { "patternProperties", OBJ, 4, 9, kw_pattern_properties, false },
    { "prefixItems", ARR, 9, 9, kw_prefix_items, false },
    { "properties", OBJ, 4, 9, kw_properties, false },
    { "propertyNames", OBJ, 6, 9, kw_property_names, false },
    { "required", OBJ, 4, 9, kw_required, true },
    { "type", ANY, 4, 9, kw_type, true },
    { "uniqueItems", ARR, 4, 9, kw_unique, true },
};

static int keyword_cmp(const void *name, const void *row)
{
    return strcmp(name, ((const struct keyword *)row)->name);
}

static const struct keyword *keyword_find(const struct at *a, const char *name)
{
    const struct keyword *k = bsearch(name, keywords, LEN(keywords), sizeof *keywords, keyword_cmp);
    if (!k || (int)a->in->draft < k->since || (int)a->in->draft > k->until) return NULL;
    if (k->asserts && !a->in->asserts) return NULL;
    return k->type == ANY || k->type == (int)json_type(a->value) ? k : NULL;
}

static bool eval_members(struct at *a, bool skip_lits)
{
    bool ref_only = a->in->draft <= DRAFT7 && json_is(sibling(a, "$ref"), JSON_STRING);
    if (ref_only) return kw_ref(a, sibling(a, "$ref"));
    struct at own = *a;
    bool asks = a->in->draft >= DRAFT2019 &&
                (sibling(a, "unevaluatedProperties") || sibling(a, "unevaluatedItems"));
    bool compound = json_is(a->value, JSON_OBJECT) || json_is(a->value, JSON_ARRAY);
    if (asks && compound && !own.seen.mark)
        own.seen = (struct seen){ mem_zero(json_len(a->value) + 1), json_len(a->value) };
    bool ok = true;
    for (struct json_iter it = json_iter(a->node); ok && json_next(&it); ) {
        const struct keyword *k = keyword_find(&own, it.key);
        if (!k || (skip_lits && (k->fn == kw_enum || k->fn == kw_const))) continue;
        if (k->fn == kw_ex_maximum || k->fn == kw_ex_minimum)
            if (json_is(it.value, JSON_BOOL)) continue;
        ok = k->fn(&own, it.value);
    }
    if (ok && asks && compound) ok = unevaluated(&own);
    if (own.seen.mark != a->seen.mark) mem_free(own.seen.mark);
    return ok;
}

static bool eval_node(struct at *a, bool skip_lits)
{
    if (json_is(a->node, JSON_BOOL))
        return json_bool(a->node) || BAD(a, "no value is accepted here");
    if (!json_is(a->node, JSON_OBJECT))
        return fault(a, ERR_SCHEMA, "a schema must be an object, true or false");
    if (a->c->nest >= MOST_NEST || ++a->c->steps > MOST_STEP)
        return fault(a, ERR_LIMIT, "the schema leads too deep or back to itself");
    a->c->nest++;
    bool ok = eval_members(a, skip_lits);
    a->c->nest--;
    return ok && !a->c->broken;
}

/* Into the resource of the node, for as long as it is evaluated. */
static bool eval_entered(struct at *a, bool skip_lits)
{
    struct check *c = a->c;
    uint32_t n = c->n_scope;
    a->res = refs_enter(c->refs, a->res, a->node).res;
    a->in = refs_res(c->refs, a->res);
    if (c->scope[n - 1] != a->res && n < LEN(c->scope)) c->scope[c->n_scope++] = a->res;
    bool ok = eval_node(a, skip_lits);
    c->n_scope = n;
    return ok;
}

static bool eval(struct at *a)
{
    return eval_entered(a, false);
}

/* ---- doors ----------------------------------------------------------------------------------- */

bool check_spot(struct refs *r, struct spot at, const struct json *value,
                const struct grammar_opts *o, bool skip_lits, struct err *e)
{
    struct check *c = mem_zero(sizeof *c);
    c->refs = r;
    c->e = e;
    c->n_scope = 1; /* whatever is evaluated, the document was entered first */
    struct at a = { .c = c, .node = at.v, .value = value, .res = at.res };
    bool ok = eval_entered(&a, skip_lits);
    for (int i = 0; i < c->n_pattern; i++) ecma_close(c->pattern[i].code);
    mem_free(c);
    return ok;
}

bool schema_check(const struct json *schema, const struct json *value, const struct grammar_opts *o,
                  struct err *e)
{
    if (!schema) return true;
    struct refs *r = refs_open(schema, o, e);
    bool ok = r && check_spot(r, refs_root(r), value, o, false, e);
    refs_close(r);
    return ok;
}
