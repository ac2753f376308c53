/* check.c -- does a finished value satisfy a schema? A plain recursive evaluator, every keyword.
 *
 * It shares nothing with the automaton but the JSON tree and exact decimals, so each can judge the
 * other. Used after generation for relaxed keywords, before a tool runs, by the data generator, and by
 * the tests of the automaton.
 *
 * Annotations for unevaluated* travel upwards as a set of evaluated members (one bit each). Patterns are
 * matched by PCRE2 in its JavaScript-like mode, under a match limit. References stay inside the document;
 * a recursion of references that consumes nothing ends at DEPTH_MOST.
 * What cannot be evaluated (a reference to another document, a broken pattern) is ERR_UNSUPPORTED, never
 * "valid". */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "grammar/int.h"

#define DEPTH_MOST 1000
#define MATCH_LIMIT 200000
#define STEPS_MOST 5000000                                             /* schemas evaluated; alternatives can multiply */

struct check {
    const struct json *root;
    const struct grammar_opts *o;
    struct arena mem;
    struct str path;                                                  /* JSON pointer into the value */
    struct err *e;
    int depth, steps;
    bool broken;                                                      /* the schema cannot be evaluated */
    bool old_ref;                                                     /* draft <= 7: siblings of $ref are ignored */
    bool draft4;
};
/* Members or elements of one value that some schema has looked at. */
struct seen { uint8_t *bit; size_t n; };

static bool evaluate(struct check *c, const struct json *s, const struct json *v, struct seen *seen);

/* ---- sentences ------------------------------------------------------------------------------------- */

static bool fail(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(struct check *c, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(c->e, ERR_SCHEMA, "%s: %s", c->path.len ? c->path.p : "the value", what);
}

static bool cannot(struct check *c, const char *keyword, const char *why)
{
    c->broken = true;
    return err_set(c->e, ERR_UNSUPPORTED, "%s: %s", keyword, why);
}

static const char *brief(struct check *c, const struct json *v)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    size_t n = MIN(s.len, (size_t)60);
    const char *p = arena_fmt(&c->mem, "%.*s%s", (int)utf8_whole(s.p, n), s.p, s.len > n ? "..." : "");
    str_done(&s);
    return p;
}

/* ---- quiet evaluation, for anyOf and its kin ---------------------------------------------------------- */

static struct seen seen_of(struct check *c, const struct json *v)
{
    size_t n = json_len(v);
    return (struct seen){ arena_zero(&c->mem, n ? n : 1), n };
}

static void seen_add(struct seen *to, const struct seen *from)
{
    for (size_t i = 0; to && i < to->n; i++) to->bit[i] |= from->bit[i];
}

/* Verdict without a sentence; what a satisfied schema looked at counts for `seen`. */
static bool holds(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    struct err quiet = { 0 }, *loud = c->e;
    struct seen mine = seen_of(c, v);
    c->e = &quiet;
    bool ok = evaluate(c, s, v, &mine);
    c->e = loud;
    if (ok) seen_add(seen, &mine);
    else if (c->broken && loud) *loud = quiet;
    return ok;
}

/* Evaluates a member or element under a longer path. */
static bool below(struct check *c, const struct json *s, const struct json *v, const char *key, size_t index)
{
    size_t was = c->path.len;
    if (!key) str_fmt(&c->path, "/%zu", index);
    else {
        str_putc(&c->path, '/');
        for (; *key; key++) {
            if (*key == '~') str_puts(&c->path, "~0");
            else if (*key == '/') str_puts(&c->path, "~1");
            else str_putc(&c->path, *key);
        }
    }
    struct seen mine = seen_of(c, v);
    bool ok = evaluate(c, s, v, &mine);
    c->path.len = was;
    if (c->path.p) c->path.p[was] = 0;
    return ok;
}

/* ---- references ------------------------------------------------------------------------------------- */

static int hex(char x)
{
    return x >= '0' && x <= '9' ? x - '0' : x >= 'a' && x <= 'f' ? x - 'a' + 10 : x >= 'A' && x <= 'F' ? x - 'A' + 10 : -1;
}

/* One pointer step: %XX, ~0 and ~1 decoded. */
static const char *segment(struct check *c, const char *p, size_t n)
{
    struct str s = { 0 };
    for (size_t i = 0; i < n; i++) {
        char x = p[i];
        if (x == '%' && i + 2 < n && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
            x = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
            i += 2;
        }
        if (x == '~' && i + 1 < n) x = p[++i] == '1' ? '/' : '~';
        str_putc(&s, x);
    }
    const char *out = arena_str(&c->mem, s.p ? s.p : "", s.len);
    str_done(&s);
    return out;
}

static const struct json *pointer(struct check *c, const struct json *at, const char *p)
{
    while (at && *p == '/') {
        size_t n = strcspn(++p, "/");
        const char *key = segment(c, p, n);
        if (json_is(at, JSON_ARRAY)) {
            char *end;
            unsigned long long i = strtoull(key, &end, 10);
            at = *key && !*end ? json_at(at, (size_t)i) : NULL;
        } else at = json_get(at, key);
        p += n;
    }
    return *p ? NULL : at;
}

static const struct json *find_anchor(const struct json *s, const char *name, int depth)
{
    if (depth > JSON_DEPTH) return NULL;
    if (json_str_is(json_get(s, "$anchor"), name) || json_str_is(json_get(s, "$dynamicAnchor"), name)) return s;
    const struct json *found = NULL;
    for (struct json_iter it = json_iter(s); !found && json_next(&it);) found = find_anchor(it.value, name, depth + 1);
    for (size_t i = 0; !found && json_is(s, JSON_ARRAY) && i < json_len(s); i++) found = find_anchor(json_at(s, i), name, depth + 1);
    return found;
}

static bool reference(struct check *c, const char *keyword, const struct json *ref, const struct json *v, struct seen *seen)
{
    const char *r = json_str(ref, NULL);
    if (!r) return cannot(c, keyword, "must be a string");
    const char *id = json_str(json_get(c->root, "$id"), NULL);
    size_t n_id = id ? strcspn(id, "#") : 0;
    if (n_id && !strncmp(r, id, n_id) && (r[n_id] == '#' || !r[n_id])) r += n_id;   /* the document by its own name */
    if (*r == '#') r++;
    else if (*r) return cannot(c, keyword, "refers to another document");
    const struct json *target = !*r ? c->root : *r == '/' ? pointer(c, c->root, r) : find_anchor(c->root, r, 0);
    if (!target) return cannot(c, keyword, arena_fmt(&c->mem, "%s refers to nothing in this schema", json_str(ref, NULL)));
    return evaluate(c, target, v, seen);
}

/* ---- any type --------------------------------------------------------------------------------------- */

static bool is_integral(struct check *c, const struct json *v)
{
    size_t len;
    const char *t = json_number(v, &len);
    if (!t) return false;
    struct dec d = dec_read(&c->mem, t, len);
    return c->draft4 ? json_is_int(v) : dec_is_int(&d);
}

static bool has_type(struct check *c, const struct json *v, const struct json *name)
{
    if (json_str_is(name, "integer")) return is_integral(c, v);
    return json_str_is(name, json_type_name(json_type(v)));
}

static bool check_type(struct check *c, const struct json *t, const struct json *v)
{
    if (json_is(t, JSON_STRING))
        return has_type(c, v, t) || fail(c, "%s is not of type %s", brief(c, v), json_str(t, NULL));
    for (size_t i = 0; i < json_len(t); i++)
        if (has_type(c, v, json_at(t, i))) return true;
    return fail(c, "%s is of none of the types %s", brief(c, v), brief(c, t));
}

static bool check_enum(struct check *c, const struct json *list, const struct json *v)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_equal(json_at(list, i), v)) return true;
    return fail(c, "%s is none of %s", brief(c, v), brief(c, list));
}

static bool check_all(struct check *c, const struct json *list, const struct json *v, struct seen *seen)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (!evaluate(c, json_at(list, i), v, seen)) return false;
    return true;
}

static bool check_any(struct check *c, const struct json *list, const struct json *v, struct seen *seen, bool one)
{
    int n = 0;
    for (size_t i = 0; i < json_len(list); i++) {
        n += holds(c, json_at(list, i), v, seen);
        if (c->broken) return false;
    }
    if (!n) return fail(c, "%s fits none of the %zu alternatives", brief(c, v), json_len(list));
    return n == 1 || !one || fail(c, "%s fits %d alternatives of oneOf", brief(c, v), n);
}

static bool check_not(struct check *c, const struct json *s, const struct json *v)
{
    bool fits = holds(c, s, v, NULL);
    return !c->broken && (!fits || fail(c, "%s fits what `not` excludes", brief(c, v)));
}

static bool check_if(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    bool yes = holds(c, json_get(s, "if"), v, seen);
    if (c->broken) return false;
    const struct json *next = json_get(s, yes ? "then" : "else");
    return !next || evaluate(c, next, v, seen);
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

/* Compares with the limit under key; 0 if there is none. want: the sign of v - limit that breaks it. */
static bool check_limit(struct check *c, const struct json *s, const struct json *v, const char *key, int sign, bool open)
{
    size_t n, m;
    const struct json *limit = json_get(s, key);
    const char *t = json_number(limit, &m), *x = json_number(v, &n);
    if (!t) return true;
    struct dec a = dec_read(&c->mem, x, n), b = dec_read(&c->mem, t, m);
    int cmp = dec_cmp(&a, &b) * sign;
    if (cmp < 0 || (cmp == 0 && !open)) return true;
    return fail(c, "%s breaks %s %s", brief(c, v), key, t);
}

static bool check_number(struct check *c, const struct json *s, const struct json *v)
{
    bool lo_open = json_bool(json_get(s, "exclusiveMinimum")), hi_open = json_bool(json_get(s, "exclusiveMaximum")); /* draft 4 */
    if (!check_limit(c, s, v, "minimum", -1, lo_open) || !check_limit(c, s, v, "maximum", 1, hi_open)
        || !check_limit(c, s, v, "exclusiveMinimum", -1, true) || !check_limit(c, s, v, "exclusiveMaximum", 1, true)) return false;
    size_t n, m;
    const char *t = json_number(json_get(s, "multipleOf"), &m), *x = json_number(v, &n);
    if (!t) return true;
    struct dec a = dec_read(&c->mem, x, n), b = dec_read(&c->mem, t, m);
    bool known = true, ok = b.n > 0 && !b.neg && dec_multiple(&a, &b, &known);
    if (!known) return cannot(c, "multipleOf", "the numbers are too far apart to decide");
    return ok || fail(c, "%s is not a multiple of %s", x, t);
}

/* ---- strings ----------------------------------------------------------------------------------------- */

static size_t code_points(const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += ((unsigned char)p[i] & 0xC0) != 0x80;
    return n;
}

/* 1 found, 0 not, -1 the pattern cannot be used. Search, not full match, as the drafts say. */
static int search(const char *pattern, size_t n, const char *p, size_t len)
{
    int rc;
    PCRE2_SIZE off;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n, PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS
                                     | PCRE2_MATCH_UNSET_BACKREF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &rc, &off, NULL);
    if (!code) return -1;
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    rc = pcre2_match(code, (PCRE2_SPTR)p, len, 0, 0, m, limits);
    pcre2_match_context_free(limits);
    pcre2_match_data_free(m);
    pcre2_code_free(code);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static bool check_count(struct check *c, const struct json *s, const char *least, const char *most, size_t n, const char *what)
{
    int64_t lim;
    if (json_i64(json_get(s, least), &lim) && (int64_t)n < lim) return fail(c, "%zu %s, %s is %lld", n, what, least, (long long)lim);
    if (json_i64(json_get(s, most), &lim) && (int64_t)n > lim) return fail(c, "%zu %s, %s is %lld", n, what, most, (long long)lim);
    return true;
}

static bool check_string(struct check *c, const struct json *s, const struct json *v)
{
    size_t len, n;
    const char *p = json_str(v, &len), *pattern = json_str(json_get(s, "pattern"), &n), *format = json_str(json_get(s, "format"), NULL);
    if (!check_count(c, s, "minLength", "maxLength", code_points(p, len), "characters")) return false;
    if (pattern) {
        int found = search(pattern, n, p, len);
        if (found < 0) return cannot(c, "pattern", arena_fmt(&c->mem, "%s cannot be used as a regular expression", brief(c, json_get(s, "pattern"))));
        if (!found) return fail(c, "%s does not match the pattern %s", brief(c, v), pattern);
    }
    if (!format || (c->o && c->o->annotate_formats) || format_check(format, p, len)) return true;
    return fail(c, "%s is not of format %s", brief(c, v), format);
}

/* ---- arrays ------------------------------------------------------------------------------------------ */

static bool check_contains(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    const struct json *what = json_get(s, "contains");
    int64_t least = 1, most = INT64_MAX, n = 0;
    json_i64(json_get(s, "minContains"), &least);
    json_i64(json_get(s, "maxContains"), &most);
    for (size_t i = 0; i < json_len(v); i++) {
        bool ok = holds(c, what, json_at(v, i), NULL);
        if (c->broken) return false;
        if (ok && seen) seen->bit[i] = 1;
        n += ok;
    }
    return (n >= least && n <= most) || fail(c, "%lld elements fit `contains`", (long long)n);
}

static bool check_unique(struct check *c, const struct json *v)
{
    for (size_t i = 0; i < json_len(v); i++)
        for (size_t j = 0; j < i; j++)
            if (json_equal(json_at(v, i), json_at(v, j))) return fail(c, "elements %zu and %zu are equal", j, i);
    return true;
}

static bool check_items(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    const struct json *items = json_get(s, "items"), *prefix = json_get(s, "prefixItems");
    if (json_is(items, JSON_ARRAY)) {                                 /* up to 2019-09: the array form, then additionalItems */
        prefix = items;
        items = json_get(s, "additionalItems");
    }
    for (size_t i = 0; i < json_len(v); i++) {
        const struct json *one = i < json_len(prefix) ? json_at(prefix, i) : items;
        if (!one) continue;
        if (seen) seen->bit[i] = 1;
        if (!below(c, one, json_at(v, i), NULL, i)) return false;
    }
    return true;
}

static bool check_array(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    return check_count(c, s, "minItems", "maxItems", json_len(v), "elements") && check_items(c, s, v, seen)
           && (!json_get(s, "contains") || check_contains(c, s, v, seen))
           && (!json_bool(json_get(s, "uniqueItems")) || check_unique(c, v));
}

/* ---- objects ----------------------------------------------------------------------------------------- */

static bool check_required(struct check *c, const struct json *list, const struct json *v, const char *why)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = json_str(json_at(list, i), NULL);
        if (name && !json_get(v, name)) return fail(c, "%s is missing%s", name, why);
    }
    return true;
}

static bool check_member(struct check *c, const struct json *s, const struct json_iter *it, struct seen *seen)
{
    const struct json *own = json_get(json_get(s, "properties"), it->key), *rest = json_get(s, "additionalProperties");
    bool known = own != NULL;
    if (own && !below(c, own, it->value, it->key, 0)) return false;
    for (struct json_iter p = json_iter(json_get(s, "patternProperties")); json_next(&p);) {
        int found = search(p.key, p.key_len, it->key, it->key_len);
        if (found < 0) return cannot(c, "patternProperties", arena_fmt(&c->mem, "%s cannot be used as a regular expression", p.key));
        if (!found) continue;
        known = true;
        if (!below(c, p.value, it->value, it->key, 0)) return false;
    }
    if (!known && rest) {
        known = true;
        if (json_is(rest, JSON_BOOL) && !json_bool(rest)) return fail(c, "%s is not a declared property", it->key);
        if (!below(c, rest, it->value, it->key, 0)) return false;
    }
    if (known && seen) seen->bit[it->index] = 1;
    return true;
}

static bool check_dependent(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    static const char *const keywords[] = { "dependentRequired", "dependentSchemas", "dependencies" };
    for (size_t k = 0; k < LEN(keywords); k++)
        for (struct json_iter it = json_iter(json_get(s, keywords[k])); json_next(&it);) {
            if (!json_get(v, it.key)) continue;
            if (json_is(it.value, JSON_ARRAY)) {
                if (!check_required(c, it.value, v, arena_fmt(&c->mem, " beside %s", it.key))) return false;
            } else if (!evaluate(c, it.value, v, seen)) return false;
        }
    return true;
}

static bool check_names(struct check *c, const struct json *names, const struct json *v)
{
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct json *name = json_new_strn(it.key, it.key_len);
        bool ok = below(c, names, name, it.key, 0);
        json_free(name);
        if (!ok) return false;
    }
    return true;
}

static bool check_object(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    if (!check_required(c, json_get(s, "required"), v, "")) return false;
    if (!check_count(c, s, "minProperties", "maxProperties", json_len(v), "properties")) return false;
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (!check_member(c, s, &it, seen)) return false;
    if (json_get(s, "propertyNames") && !check_names(c, json_get(s, "propertyNames"), v)) return false;
    return check_dependent(c, s, v, seen);
}

/* What no schema has looked at must fit unevaluated*. Last, when `seen` is complete. */
static bool check_unevaluated(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    const struct json *props = json_get(s, "unevaluatedProperties"), *items = json_get(s, "unevaluatedItems");
    if (props && json_is(v, JSON_OBJECT))
        for (struct json_iter it = json_iter(v); json_next(&it); seen->bit[it.index] = 1)
            if (!seen->bit[it.index] && !below(c, props, it.value, it.key, 0)) return false;
    for (size_t i = 0; items && json_is(v, JSON_ARRAY) && i < json_len(v); seen->bit[i++] = 1)
        if (!seen->bit[i] && !below(c, items, json_at(v, i), NULL, i)) return false;
    return true;
}

/* ---- one schema ----------------------------------------------------------------------------------------- */

static bool keywords(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    const struct json *k;
    if ((k = json_get(s, "$ref"))) {
        if (!reference(c, "$ref", k, v, seen)) return false;
        if (c->old_ref) return true;
    }
    if ((k = json_get(s, "$dynamicRef")) && !reference(c, "$dynamicRef", k, v, seen)) return false;
    if ((k = json_get(s, "type")) && !check_type(c, k, v)) return false;
    if ((k = json_get(s, "const")) && !json_equal(k, v)) return fail(c, "%s is not %s", brief(c, v), brief(c, k));
    if ((k = json_get(s, "enum")) && !check_enum(c, k, v)) return false;
    switch (json_type(v)) {
    case JSON_NUMBER: if (!check_number(c, s, v)) return false; break;
    case JSON_STRING: if (!check_string(c, s, v)) return false; break;
    case JSON_ARRAY: if (!check_array(c, s, v, seen)) return false; break;
    case JSON_OBJECT: if (!check_object(c, s, v, seen)) return false; break;
    default: break;
    }
    if ((k = json_get(s, "allOf")) && !check_all(c, k, v, seen)) return false;
    if ((k = json_get(s, "anyOf")) && !check_any(c, k, v, seen, false)) return false;
    if ((k = json_get(s, "oneOf")) && !check_any(c, k, v, seen, true)) return false;
    if ((k = json_get(s, "not")) && !check_not(c, k, v)) return false;
    if (json_get(s, "if") && !check_if(c, s, v, seen)) return false;
    return check_unevaluated(c, s, v, seen);
}

static bool evaluate(struct check *c, const struct json *s, const struct json *v, struct seen *seen)
{
    if (json_is(s, JSON_BOOL)) return json_bool(s) || fail(c, "nothing is accepted here");
    if (!json_is(s, JSON_OBJECT)) return cannot(c, "the schema", "must be an object or a boolean");
    if (c->depth >= DEPTH_MOST) return cannot(c, "$ref", "refers to itself without end");
    if (++c->steps > STEPS_MOST) return cannot(c, "the schema", "needs more than 5,000,000 steps for this value");
    struct seen own = { 0 };
    if (!seen) {
        own = seen_of(c, v);
        seen = &own;
    }
    c->depth++;
    bool ok = keywords(c, s, v, seen);
    c->depth--;
    return ok;
}

bool schema_check(const struct json *schema, const struct json *value, const struct grammar_opts *o, struct err *e)
{
    struct err dummy = { 0 };
    struct check c = { .root = schema, .o = o, .e = e ? e : &dummy };
    const char *draft = o && o->draft ? o->draft : json_str(json_get(schema, "$schema"), NULL);
    c.draft4 = draft && (strstr(draft, "draft-04") || strstr(draft, "draft4"));
    c.old_ref = c.draft4 || (draft && (strstr(draft, "draft-06") || strstr(draft, "draft6") || strstr(draft, "draft-07") || strstr(draft, "draft7")));
    arena_init(&c.mem, 0);
    bool ok = evaluate(&c, schema, value, NULL);
    arena_done(&c.mem);
    str_done(&c.path);
    return ok;
}
