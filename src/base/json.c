/* json.c -- JSON values over json-c.
 *
 * json-c has no object for null, so null is a tag of our own. Every number is stored as a json-c double
 * that carries its text: integers keep all digits, 1.0 stays 1.0, and reading a tree never changes it
 * (json-c caches the text of integers inside the object, which two reading threads must not do). */
#include <math.h>
#include <stdlib.h>

/* Two of json-c's names are ours as well: its are renamed where its header is read. */
#define json_type jc_type
#define json_bool jc_bool
#include <json-c/json.h>
#undef json_type
#undef json_bool

#include "base/json_int.h"

static char null_tag;
#define NULL_VALUE ((struct json *)(void *)&null_tag)

static struct json_object *raw(const struct json *v)
{
    return v == NULL_VALUE ? NULL : (struct json_object *)v;
}

static struct json *wrap(struct json_object *o)
{
    return o ? (struct json *)o : NULL_VALUE;
}

/* ---- parsing ---- */

/* Gives every number below o its text, in order of the document; *next is the number to come. */
static struct json_object *with_text(struct json_object *o, const struct json_marks *m, size_t *next)
{
    switch (json_object_get_type(o)) {
    case json_type_int:
    case json_type_double: {
        const struct bytes *b = &m->number[(*next)++];
        char *text = mem_alloc(b->len + 1);
        memcpy(text, b->p, b->len);
        text[b->len] = 0;
        struct json_object *d = json_object_new_double_s(strtod(text, NULL), text);
        mem_free(text);
        return d;
    }
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(o); i++) {
            struct json_object *old = json_object_array_get_idx(o, i), *v = with_text(old, m, next);
            if (v != old) json_object_array_put_idx(o, i, v);
        }
        return o;
    case json_type_object:
        for (struct lh_entry *k = json_object_get_object(o)->head; k; k = k->next) {
            struct json_object *old = (struct json_object *)k->v, *v = with_text(old, m, next);
            if (v != old) json_object_object_add(o, (const char *)k->k, v);
        }
        return o;
    default: return o;
    }
}

static struct json *build(const char *text, size_t len, const struct json_marks *m, struct err *e)
{
    if (len >= INT32_MAX) {
        err_set(e, ERR_LIMIT, "a JSON text of %zu bytes; at most 2 GiB are read", len);
        return NULL;
    }
    struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH + 1);
    char *copy = mem_alloc(len + 1);                                  /* json-c ends a number at the NUL */
    memcpy(copy, text, len);
    copy[len] = 0;
    struct json_object *o = json_tokener_parse_ex(t, copy, (int)len + 1);
    enum json_tokener_error rc = json_tokener_get_error(t);
    mem_free(copy);
    json_tokener_free(t);
    if (rc != json_tokener_success) {
        err_set(e, ERR_FORMAT, "not JSON: %s", json_tokener_error_desc(rc));
        return NULL;
    }
    size_t next = 0;
    struct json_object *root = m->n ? with_text(o, m, &next) : o;
    if (root != o) json_object_put(o);
    return wrap(root);
}

struct json *json_parse(const char *text, size_t len, struct err *e)
{
    struct json_marks m = { 0 };
    struct json *v = json_scan(text, len, &m, e) ? build(text, len, &m, e) : NULL;
    mem_free(m.number);
    return v;
}

struct json *json_read(const char *path, struct err *e)
{
    struct str text = { 0 };
    struct json *v = NULL;
    if (file_read(path, &text, e)) {
        v = json_parse(text.p ? text.p : "", text.len, e);
        if (!v) err_in(e, "%s", strcmp(path, "-") ? path : "stdin");
    }
    str_done(&text);
    return v;
}

struct json *json_share(const struct json *v)
{
    return v ? wrap(json_object_get(raw(v))) : NULL;
}

void json_free(struct json *v)
{
    if (v) json_object_put(raw(v));
}

/* ---- looking ---- */

enum json_type json_type(const struct json *v)
{
    switch (json_object_get_type(raw(v))) {
    case json_type_boolean: return JSON_BOOL;
    case json_type_int:
    case json_type_double: return JSON_NUMBER;
    case json_type_string: return JSON_STRING;
    case json_type_array: return JSON_ARRAY;
    case json_type_object: return JSON_OBJECT;
    default: return JSON_NULL;
    }
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = { "null", "boolean", "number", "string", "array", "object" };
    return names[t];
}

bool json_is(const struct json *v, enum json_type t)
{
    return v && json_type(v) == t;
}

bool json_bool(const struct json *v)
{
    return json_is(v, JSON_BOOL) && json_object_get_boolean(raw(v));
}

const char *json_number(const struct json *v, size_t *len)
{
    const char *text = json_is(v, JSON_NUMBER) ? json_object_get_userdata(raw(v)) : NULL;
    if (len) *len = text ? strlen(text) : 0;
    return text;
}

bool json_is_int(const struct json *v)
{
    const char *t = json_number(v, NULL);
    return t && !strpbrk(t, ".eE");
}

double json_f64(const struct json *v)
{
    return json_is(v, JSON_NUMBER) ? json_object_get_double(raw(v)) : 0;
}

const char *json_str(const struct json *v, size_t *len)
{
    bool is = json_is(v, JSON_STRING);
    if (len) *len = is ? (size_t)json_object_get_string_len(raw(v)) : 0;
    return is ? json_object_get_string(raw(v)) : NULL;
}

bool json_str_is(const struct json *v, const char *s)
{
    size_t len;
    const char *p = json_str(v, &len);
    return p && bytes_eq((struct bytes){ p, len }, s);
}

size_t json_len(const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) return json_object_array_length(raw(v));
    return json_is(v, JSON_OBJECT) ? (size_t)json_object_object_length(raw(v)) : 0;
}

const struct json *json_at(const struct json *v, size_t i)
{
    return i < json_len(v) && json_is(v, JSON_ARRAY) ? wrap(json_object_array_get_idx(raw(v), i)) : NULL;
}

const struct json *json_get(const struct json *v, const char *key)
{
    struct json_object *found;
    if (!json_is(v, JSON_OBJECT) || !json_object_object_get_ex(raw(v), key, &found)) return NULL;
    return wrap(found);
}

struct json_iter json_iter(const struct json *object)
{
    struct json_iter it = { .index = (size_t)-1 };
    if (json_is(object, JSON_OBJECT)) it.priv = json_object_get_object(raw(object))->head;
    return it;
}

bool json_next(struct json_iter *it)
{
    struct lh_entry *k = it->priv;
    if (!k) return false;
    it->key = k->k;
    it->key_len = strlen(it->key);
    it->value = wrap((struct json_object *)k->v);
    it->index++;
    it->priv = k->next;
    return true;
}

/* ---- exact decimals ---- */

/* A number as digits * 10^exp, without leading and trailing zeros; zero has no digits. */
struct decimal { bool neg; struct str digits; int64_t exp; };

static struct decimal decimal_of(const char *t)
{
    struct decimal d = { 0 };
    if (*t == '-') d.neg = true, t++;
    bool fraction = false;
    for (; *t && *t != 'e' && *t != 'E'; t++) {
        if (*t == '.') fraction = true;
        else {
            if (d.digits.len || *t != '0') str_putc(&d.digits, *t);
            d.exp -= fraction;
        }
    }
    if (*t) {
        long long e = strtoll(t + 1, NULL, 10);                       /* saturates; far beyond any double */
        d.exp += MAX(MIN(e, (long long)1 << 60), -((long long)1 << 60));
    }
    while (d.digits.len && d.digits.p[d.digits.len - 1] == '0') d.digits.p[--d.digits.len] = 0, d.exp++;
    if (!d.digits.len) d.neg = false, d.exp = 0;
    return d;
}

static bool decimal_equal(const char *a, const char *b)
{
    struct decimal x = decimal_of(a), y = decimal_of(b);
    bool eq = x.neg == y.neg && x.exp == y.exp && x.digits.len == y.digits.len
              && (!x.digits.len || !memcmp(x.digits.p, y.digits.p, x.digits.len));
    str_done(&x.digits);
    str_done(&y.digits);
    return eq;
}

bool json_i64(const struct json *v, int64_t *out)
{
    const char *t = json_number(v, NULL);
    if (!t) return false;
    struct decimal d = decimal_of(t);
    bool ok = d.exp >= 0 && d.exp <= 18 && d.digits.len + (size_t)d.exp <= 19;
    int64_t x = 0;
    for (size_t i = 0; ok && i < d.digits.len + (size_t)d.exp; i++) {
        int digit = i < d.digits.len ? d.digits.p[i] - '0' : 0;
        ok = !__builtin_mul_overflow(x, 10, &x) && !__builtin_sub_overflow(x, digit, &x);   /* negative: INT64_MIN fits */
    }
    if (ok && !d.neg) ok = !__builtin_sub_overflow((int64_t)0, x, &x);
    str_done(&d.digits);
    if (ok) *out = x;
    return ok;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (json_type(a) != json_type(b)) return false;
    size_t n, m;
    switch (json_type(a)) {
    case JSON_NULL: return true;
    case JSON_BOOL: return json_bool(a) == json_bool(b);
    case JSON_NUMBER: return decimal_equal(json_number(a, NULL), json_number(b, NULL));
    case JSON_STRING: {
        const char *p = json_str(a, &n), *q = json_str(b, &m);
        return n == m && !memcmp(p, q, n);
    }
    case JSON_ARRAY:
        if (json_len(a) != json_len(b)) return false;
        for (size_t i = 0; i < json_len(a); i++)
            if (!json_equal(json_at(a, i), json_at(b, i))) return false;
        return true;
    case JSON_OBJECT:
        if (json_len(a) != json_len(b)) return false;
        for (struct json_iter it = json_iter(a); json_next(&it);) {
            const struct json *other = json_get(b, it.key);
            if (!other || !json_equal(it.value, other)) return false;
        }
        return true;
    }
    return false;
}

/* ---- building ---- */

struct json *json_new_null(void)
{
    return NULL_VALUE;
}

struct json *json_new_bool(bool b)
{
    return wrap(json_object_new_boolean(b));
}

struct json *json_new_number(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    struct json *v = wrap(json_object_new_double_s(strtod(copy, NULL), copy));
    mem_free(copy);
    return v;
}

struct json *json_new_int(int64_t v)
{
    char text[32];
    return json_new_number(text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

/* Shortest digits that read back, d.ddde±xx. If 15 or fewer do, they are those of %.14e without the zeros
 * at its end, but for numbers so small that they have fewer bits. Above a power of two the doubles lie further
 * apart than below it: there the nearest decimal may be out of reach and the next one up is the answer. */
static void shortest(char e[40], double v)
{
    for (int prec = fabs(v) < 1e-290 ? 0 : 14;; prec++) {
        snprintf(e, 40, "%.*e", prec, v);
        if (prec >= 17 || strtod(e, NULL) == v) break;
        char *last = strchr(e, 'e') - 1;
        if (prec != 15 || *last == '9') continue;
        ++*last;
        if (strtod(e, NULL) == v) break;
    }
    char *exp = strchr(e, 'e'), *end = exp;
    while (end[-1] == '0' && memchr(e, '.', (size_t)(end - e))) end--;
    if (end[-1] == '.') end--;
    memmove(end, exp, strlen(exp) + 1);
}

int json_f64_text(char out[40], double v)
{
    char e[40], digit[24];
    int exp10, n = 0, n_digit = 0;
    shortest(e, v);
    exp10 = atoi(strchr(e, 'e') + 1);
    if (exp10 < -4 || exp10 >= 16) {
        *strchr(e, 'e') = 0;
        return snprintf(out, 40, "%se%c%02d", e, exp10 < 0 ? '-' : '+', abs(exp10));
    }
    for (char *p = e; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') digit[n_digit++] = *p;
    if (*e == '-') out[n++] = '-';
    if (exp10 < 0) return n + snprintf(out + n, 39, "0.%.*s%.*s", -exp10 - 1, "000", n_digit, digit);
    for (int i = 0; i < MAX(n_digit, exp10 + 2); i++) {
        if (i == exp10 + 1) out[n++] = '.';
        out[n++] = i < n_digit ? digit[i] : '0';
    }
    out[n] = 0;
    return n;
}

struct json *json_new_f64(double v)
{
    char text[40];
    return json_new_number(text, (size_t)json_f64_text(text, v));
}

struct json *json_new_strn(const char *s, size_t len)
{
    return wrap(json_object_new_string_len(s, (int)len));
}

struct json *json_new_str(const char *s)
{
    return json_new_strn(s, strlen(s));
}

struct json *json_new_array(void)
{
    return wrap(json_object_new_array());
}

struct json *json_new_object(void)
{
    return wrap(json_object_new_object());
}

struct json *json_copy(const struct json *v)
{
    if (!v || v == NULL_VALUE) return (struct json *)v;
    struct json_object *copy = NULL;
    json_object_deep_copy(raw(v), &copy, NULL);
    return wrap(copy);
}

void json_set(struct json *object, const char *key, struct json *value)
{
    json_object_object_add(raw(object), key, raw(value));
}

void json_unset(struct json *object, const char *key)
{
    json_object_object_del(raw(object), key);
}

void json_push(struct json *array, struct json *value)
{
    json_object_array_add(raw(array), raw(value));
}

/* ---- writing ---- */

void json_write_str(struct str *out, const char *s, size_t len)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    str_putc(out, '"');
    size_t start = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        str_put(out, s + start, i - start);
        start = i + 1;
        const char *f = c ? strchr(from, c) : NULL;
        if (f) {
            char esc[2] = { '\\', to[f - from] };
            str_put(out, esc, 2);
        } else str_fmt(out, "\\u%04x", c);
    }
    str_put(out, s + start, len - start);
    str_putc(out, '"');
}

static void write_number(struct str *out, const struct json *v, enum json_style style)
{
    size_t len;
    const char *t = json_number(v, &len);
    char text[40];
    double d = json_f64(v);
    bool finite = d - d == 0;
    if (style == JSON_PYTHON && json_is_int(v) && !strcmp(t, "-0")) str_putc(out, '0');
    else if (style == JSON_PYTHON && !json_is_int(v) && finite) str_put(out, text, (size_t)json_f64_text(text, d));
    else str_put(out, t, len);
}

static void new_line(struct str *out, enum json_style style, int depth)
{
    if (style == JSON_PRETTY) str_fmt(out, "\n%*s", 2 * depth, "");
}

static void write_value(struct str *out, const struct json *v, enum json_style style, int depth);

static void write_object(struct str *out, const struct json *v, enum json_style style, int depth)
{
    str_putc(out, '{');
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (it.index) str_puts(out, style == JSON_PYTHON ? ", " : ",");
        new_line(out, style, depth + 1);
        json_write_str(out, it.key, it.key_len);
        str_puts(out, style == JSON_COMPACT ? ":" : ": ");
        write_value(out, it.value, style, depth + 1);
    }
    if (json_len(v)) new_line(out, style, depth);
    str_putc(out, '}');
}

static void write_array(struct str *out, const struct json *v, enum json_style style, int depth)
{
    str_putc(out, '[');
    for (size_t i = 0; i < json_len(v); i++) {
        if (i) str_puts(out, style == JSON_PYTHON ? ", " : ",");
        new_line(out, style, depth + 1);
        write_value(out, json_at(v, i), style, depth + 1);
    }
    if (json_len(v)) new_line(out, style, depth);
    str_putc(out, ']');
}

static void write_value(struct str *out, const struct json *v, enum json_style style, int depth)
{
    switch (json_type(v)) {
    case JSON_NULL: str_puts(out, "null"); break;
    case JSON_BOOL: str_puts(out, json_bool(v) ? "true" : "false"); break;
    case JSON_NUMBER: write_number(out, v, style); break;
    case JSON_STRING: {
        size_t len;
        const char *s = json_str(v, &len);
        json_write_str(out, s, len);
        break;
    }
    case JSON_ARRAY: write_array(out, v, style, depth); break;
    case JSON_OBJECT: write_object(out, v, style, depth); break;
    }
}

void json_write(struct str *out, const struct json *v, enum json_style style)
{
    write_value(out, v, style, 0);
}
