/* json.c -- JSON values: owners, looking things up, building, equality.
 *
 * Numbers are kept as they were written: integers keep all digits, 1.0 stays 1.0. An object keeps the order of its keys in
 * a plain list; where there are more than a few, a table of places lies behind the list in the same allocation. Nothing is
 * found out late, so that any number of threads may read one tree. null is one value for all. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/json_int.h"

static struct json null_value = { .type = JSON_NULL, .refs = 1 };

/* ---- pools ---- */

enum { BLOCK_LEAST = 256, BLOCK_MOST = 32 << 10, OWN_FROM = 4 << 10 };   /* what is longer is an allocation of its own */

static void block_drop(struct block *b, uint32_t n)
{
    if (b && atomic_fetch_sub_explicit(&b->live, n, memory_order_acq_rel) == n) mem_free(b);
}

void json_pool_open(struct json_pool *p, size_t first_bytes)
{
    *p = (struct json_pool){ .size = MIN(MAX(first_bytes, (size_t)BLOCK_LEAST), (size_t)BLOCK_MOST) };
}

void json_pool_close(struct json_pool *p)
{
    if (p->n) atomic_fetch_add_explicit(&p->block->live, p->n, memory_order_relaxed);
    block_drop(p->block, 1);
    *p = (struct json_pool){ .size = p->size };
}

static void json_pool_room(struct json_pool *p, size_t n)
{
    if ((size_t)(p->end - p->at) >= n + 8) return;      /* 8: everything in it begins at a multiple of that */
    json_pool_close(p);
    size_t size = MAX(p->size, n + sizeof(struct block) + 8);
    p->size = MIN(p->size * 2, (size_t)BLOCK_MOST);
    p->block = mem_alloc(size);
    p->block->live = 1;
    p->at = (char *)(p->block + 1);
    p->end = (char *)p->block + size;
}

/* A value with n bytes of its own behind it, at *data: in the same block, or an allocation if they are many. */
static struct json *value_with(struct json_pool *p, enum json_type type, size_t n, void **data)
{
    bool own = n >= OWN_FROM;
    json_pool_room(p, sizeof(struct json) + (own ? 0 : n));
    struct json *v = (struct json *)(void *)p->at;
    *v = (struct json){ .type = (uint8_t)type, .own = own, .refs = 1, .home = (uint32_t)((p->at - (char *)p->block) / 8) };
    p->at += sizeof *v;
    *data = own ? mem_alloc(n) : p->at;
    if (!own) p->at += (n + 7) & ~(size_t)7;
    p->n++;
    return v;
}

struct json *json_pool_value(struct json_pool *p, enum json_type type)
{
    void *none;
    return value_with(p, type, 0, &none);
}

struct json *json_pool_text(struct json_pool *p, enum json_type type, size_t n)
{
    void *text;
    struct json *v = value_with(p, type, n + 1, &text);
    v->text = text;
    v->text[n] = 0;
    v->len = (uint32_t)n;
    return v;
}

struct json *json_pool_array(struct json_pool *p, struct json *const *item, size_t n)
{
    void *list;
    struct json *v = value_with(p, JSON_ARRAY, n * sizeof *item, &list);
    v->item = list;
    v->len = v->cap = (uint32_t)n;
    if (n) memcpy(v->item, item, n * sizeof *item);
    return v;
}

/* ---- members ---- */

static uint32_t slots_of(uint32_t cap)
{
    uint32_t n = 2 * FEW_MEMBERS;
    while (n < cap * 2) n *= 2;
    return n;
}

static size_t members_bytes(uint32_t cap)
{
    return cap * sizeof(struct member) + (cap > FEW_MEMBERS ? slots_of(cap) * sizeof(uint32_t) : 0);
}

static uint32_t *slots(const struct json *v) { return (uint32_t *)(void *)(v->member + v->cap); }

static bool is_key(const struct member *m, const char *key, size_t len) { return m->len == len && !memcmp(m->key, key, len); }

/* The place of a key in a large object's table: its own, or an empty one. Where this program lies in memory is part of the
 * hash, so that nobody outside can make up keys that all meet. */
static uint32_t *slot_of(const struct json *v, const char *key, size_t len)
{
    uint32_t *slot = slots(v), last = slots_of(v->cap) - 1, h = (uint32_t)hash64(key, len, (uintptr_t)&null_value) & last;
    while (slot[h] && !is_key(&v->member[slot[h] - 1], key, len)) h = (h + 1) & last;
    return &slot[h];
}

/* Notes all members; false: *twice has the key of one before it. */
static bool index_members(const struct json *v, size_t *twice)
{
    if (v->cap <= FEW_MEMBERS) return true;
    memset(slots(v), 0, slots_of(v->cap) * sizeof(uint32_t));
    for (uint32_t i = 0; i < v->len; i++) {
        uint32_t *at = slot_of(v, v->member[i].key, v->member[i].len);
        if (*at) {
            *twice = i;
            return false;
        }
        *at = i + 1;
    }
    return true;
}

static struct member *member_of(const struct json *v, const char *key, size_t len)
{
    if (v->cap > FEW_MEMBERS) {
        uint32_t at = *slot_of(v, key, len);
        return at ? &v->member[at - 1] : NULL;
    }
    for (uint32_t i = 0; i < v->len; i++)
        if (is_key(&v->member[i], key, len)) return &v->member[i];
    return NULL;
}

struct json *json_pool_object(struct json_pool *p, size_t n, size_t n_key, char **keys)
{
    void *list;
    size_t bytes = members_bytes((uint32_t)n);
    struct json *v = value_with(p, JSON_OBJECT, bytes + n_key, &list);
    v->member = list;
    v->len = v->cap = (uint32_t)n;
    *keys = (char *)list + bytes;
    return v;
}

bool json_members_done(struct json *v, size_t *twice)
{
    for (size_t i = 1; i < v->len && v->cap <= FEW_MEMBERS; i++)
        for (size_t k = 0; k < i; k++)
            if (is_key(&v->member[k], v->member[i].key, v->member[i].len)) {
                *twice = i;
                return false;
            }
    return index_members(v, twice);
}

/* ---- owners ---- */

struct json *json_parse(const char *text, size_t len, struct err *e)
{
    if (len < INT32_MAX) return json_scan(text, len, e);
    err_set(e, ERR_LIMIT, "a JSON text of %zu bytes; at most 2 GiB are read", len);
    return NULL;
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
    if (v && v != &null_value) atomic_fetch_add_explicit(&((struct json *)v)->refs, 1, memory_order_relaxed);
    return (struct json *)v;
}

/* Values of one block are mostly freed one after the other: they are counted out together. */
struct dropped { struct block *block; uint32_t n; };

static void drop(struct json *v, struct dropped *d)
{
    if (v == &null_value) return;
    if (atomic_load_explicit(&v->refs, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; v->type == JSON_ARRAY && i < v->len; i++) drop(v->item[i], d);
    for (uint32_t i = 0; v->type == JSON_OBJECT && i < v->len; i++) {
        drop(v->member[i].value, d);
        if (v->member[i].own) mem_free((char *)v->member[i].key);
    }
    if (v->own) mem_free(v->text);
    if (!v->home) {
        mem_free(v);
        return;
    }
    struct block *b = (struct block *)(void *)((char *)v - (size_t)v->home * 8);
    if (b != d->block) {
        if (d->n) block_drop(d->block, d->n);
        *d = (struct dropped){ b, 0 };
    }
    d->n++;
}

void json_free(struct json *v)
{
    struct dropped d = { 0 };
    if (v) drop(v, &d);
    if (d.n) block_drop(d.block, d.n);
}

/* ---- looking ---- */

enum json_type json_type(const struct json *v)
{
    return v ? (enum json_type)v->type : JSON_NULL;
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = { "null", "boolean", "number", "string", "array", "object" };
    return names[t];
}

bool json_is(const struct json *v, enum json_type t)
{
    return v && v->type == t;
}

bool json_bool(const struct json *v)
{
    return json_is(v, JSON_BOOL) && v->truth;
}

const char *json_number(const struct json *v, size_t *len)
{
    bool is = json_is(v, JSON_NUMBER);
    if (len) *len = is ? v->len : 0;
    return is ? v->text : NULL;
}

bool json_is_int(const struct json *v)
{
    const char *t = json_number(v, NULL);
    return t && !strpbrk(t, ".eE");
}

double json_f64(const struct json *v)
{
    return json_is(v, JSON_NUMBER) ? strtod(v->text, NULL) : 0;
}

const char *json_str(const struct json *v, size_t *len)
{
    bool is = json_is(v, JSON_STRING);
    if (len) *len = is ? v->len : 0;
    return is ? v->text : NULL;
}

bool json_str_is(const struct json *v, const char *s)
{
    size_t len;
    const char *p = json_str(v, &len);
    return p && bytes_eq((struct bytes){ p, len }, s);
}

size_t json_len(const struct json *v)
{
    return json_is(v, JSON_ARRAY) || json_is(v, JSON_OBJECT) ? v->len : 0;
}

const struct json *json_at(const struct json *v, size_t i)
{
    return json_is(v, JSON_ARRAY) && i < v->len ? v->item[i] : NULL;
}

const struct json *json_get(const struct json *v, const char *key)
{
    struct member *m = json_is(v, JSON_OBJECT) ? member_of(v, key, strlen(key)) : NULL;
    return m ? m->value : NULL;
}

size_t json_place(const struct json *v, const char *key, size_t len)
{
    struct member *m = json_is(v, JSON_OBJECT) ? member_of(v, key, len) : NULL;
    return m ? (size_t)(m - v->member) : SIZE_MAX;
}

struct json_iter json_iter(const struct json *object)
{
    return (struct json_iter){ .index = (size_t)-1, .of = json_is(object, JSON_OBJECT) ? object : NULL };
}

bool json_next(struct json_iter *it)
{
    if (!it->of || it->index + 1 >= it->of->len) return false;
    const struct member *m = &it->of->member[++it->index];
    it->key = m->key;
    it->key_len = m->len;
    it->value = m->value;
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
    size_t len;
    const char *t = json_number(v, &len);
    if (!t) return false;
    if (len <= 18 && strspn(t, "0123456789") == len) {                /* nearly all of them */
        *out = strtoll(t, NULL, 10);
        return true;
    }
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

static struct json *value_new(enum json_type type, size_t extra)
{
    struct json *v = mem_alloc(sizeof *v + extra);
    *v = (struct json){ .type = (uint8_t)type, .refs = 1 };
    return v;
}

/* A number or text with what it says right behind it. */
static struct json *text_new(enum json_type type, const char *text, size_t len)
{
    struct json *v = value_new(type, len + 1);
    v->text = (char *)(v + 1);
    v->len = (uint32_t)len;
    if (len) memcpy(v->text, text, len);
    v->text[len] = 0;
    return v;
}

struct json *json_new_null(void)
{
    return &null_value;
}

struct json *json_new_bool(bool b)
{
    struct json *v = value_new(JSON_BOOL, 0);
    v->truth = b;
    return v;
}

struct json *json_new_number(const char *text, size_t len)
{
    return text_new(JSON_NUMBER, text, len);
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
    return text_new(JSON_STRING, s, len);
}

struct json *json_new_str(const char *s)
{
    return json_new_strn(s, strlen(s));
}

struct json *json_new_array(void)
{
    return value_new(JSON_ARRAY, 0);
}

struct json *json_new_object(void)
{
    return value_new(JSON_OBJECT, 0);
}

static struct json *copy(struct json_pool *p, const struct json *v);

static struct json *copy_array(struct json_pool *p, const struct json *v)
{
    struct json *own = json_pool_array(p, v->item, v->len);
    for (uint32_t i = 0; i < v->len; i++) own->item[i] = copy(p, v->item[i]);
    return own;
}

static struct json *copy_object(struct json_pool *p, const struct json *v)
{
    size_t n_key = 0, none;
    char *at;
    for (uint32_t i = 0; i < v->len; i++) n_key += v->member[i].len + 1u;
    struct json *own = json_pool_object(p, v->len, n_key, &at);
    for (uint32_t i = 0; i < v->len; i++) {
        const struct member *m = &v->member[i];
        memcpy(at, m->key, m->len + 1u);
        own->member[i] = (struct member){ at, m->len, false, copy(p, m->value) };
        at += m->len + 1;
    }
    json_members_done(own, &none);
    return own;
}

static struct json *copy(struct json_pool *p, const struct json *v)
{
    if (v == &null_value) return (struct json *)v;
    if (v->type == JSON_ARRAY) return copy_array(p, v);
    if (v->type == JSON_OBJECT) return copy_object(p, v);
    struct json *own;
    if (v->type == JSON_BOOL) {
        own = json_pool_value(p, JSON_BOOL);
        own->truth = v->truth;
        return own;
    }
    own = json_pool_text(p, json_type(v), v->len);
    memcpy(own->text, v->text, v->len);
    return own;
}

struct json *json_copy(const struct json *v)
{
    struct json_pool p;
    if (!v) return NULL;
    json_pool_open(&p, 0);
    struct json *own = copy(&p, v);
    json_pool_close(&p);
    return own;
}

/* Room for one more member or element of v. */
static void grow(struct json *v)
{
    if (v->len < v->cap) return;
    bool object = v->type == JSON_OBJECT;
    uint32_t cap = v->cap ? v->cap * 2 : 4;
    void *more = mem_alloc(object ? members_bytes(cap) : cap * sizeof *v->item);
    for (uint32_t i = 0; object && v->own && i < v->len; i++) {       /* names that lie behind the list go with it */
        struct member *m = &v->member[i];
        if (!m->own) *m = (struct member){ mem_dup(m->key, m->len + 1u), m->len, true, m->value };
    }
    if (v->len) memcpy(more, v->item, v->len * (object ? sizeof *v->member : sizeof *v->item));
    if (v->own) mem_free(v->item);
    v->item = more;
    v->cap = cap;
    v->own = true;
    size_t none;
    if (object) index_members(v, &none);
}

void json_set(struct json *object, const char *key, struct json *value)
{
    assert(json_is(object, JSON_OBJECT));
    size_t len = strlen(key);
    struct member *m = member_of(object, key, len);
    if (!value) value = &null_value;
    if (m) {
        struct json *old = m->value;
        m->value = value;
        json_free(old);
        return;
    }
    grow(object);
    object->member[object->len] = (struct member){ mem_dup(key, len + 1), (uint32_t)len, true, value };
    if (object->cap > FEW_MEMBERS) *slot_of(object, key, len) = object->len + 1;
    object->len++;
}

void json_unset(struct json *object, const char *key)
{
    struct member *m = json_is(object, JSON_OBJECT) ? member_of(object, key, strlen(key)) : NULL;
    if (!m) return;
    struct member old = *m;
    memmove(m, m + 1, (size_t)(object->member + object->len - (m + 1)) * sizeof *m);
    object->len--;
    size_t none;
    index_members(object, &none);
    json_free(old.value);
    if (old.own) mem_free((char *)old.key);             /* last: it may be the very text that was asked for */
}

void json_push(struct json *array, struct json *value)
{
    assert(json_is(array, JSON_ARRAY));
    grow(array);
    array->item[array->len++] = value ? value : &null_value;
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
