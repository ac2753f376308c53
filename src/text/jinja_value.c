/* jinja_value.c -- values: making them, asking them, comparing them, going through them.
 *
 * Values are small and copied; what they point at lies in the rendering's arena or is lent from the
 * template and its variables. Strings and lists never change once a template can see them: adding to
 * one makes a longer one, in the same place where it was the last to end there.
 * What is equal, less, true or in something is what Python says. */
#include "text/jinja_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- making ---------------------------------------------------------------------------------- */

struct val of_bool(bool b) { return (struct val){ .kind = K_BOOL, .u.b = b }; }
struct val of_int(int64_t i) { return (struct val){ .kind = K_INT, .u.i = i }; }
struct val of_float(double f) { return (struct val){ .kind = K_FLOAT, .u.f = f }; }

struct val of_bytes(const char *s, size_t len, enum trust t)
{
    return (struct val){ .kind = K_STR, .trust = (uint8_t)t, .len = (uint32_t)len, .u.s = s };
}

struct val of_text(const char *s) { return of_bytes(s, strlen(s), OURS); }

/* view: 0 a name, 1 a whole message, else 1 + kind of the value that lacks the attribute. */
struct val undefined_hint(const char *message)
{
    return (struct val){ .kind = K_UNDEFINED, .view = 1, .u.s = message, .len = (uint32_t)strlen(message) };
}

struct val undefined_name(struct bytes name)
{
    return (struct val){ .kind = K_UNDEFINED, .u.s = name.p, .len = (uint32_t)name.len };
}

struct val undefined_of(struct rt *r, const struct val *obj, struct bytes name)
{
    return (struct val){ .kind = K_UNDEFINED, .view = (uint8_t)(2 + obj->kind), .u.s = name.p, .len = (uint32_t)name.len };
}

bool undefined_fail(struct rt *r, const struct val *v)
{
    int len = (int)MIN(v->len, 120);
    if (v->view == 0) return FAIL(r, "'%.*s' is undefined", len, v->u.s);
    if (v->view == 1) return FAIL(r, "%.*s", len, v->u.s);
    struct val obj = { .kind = (uint8_t)(v->view - 2) };
    return FAIL(r, "'%s object' has no attribute '%.*s'", type_name(&obj), len, v->u.s);
}

const char *type_name(const struct val *v)
{
    static const char *const names[] = {
        [K_MISSING] = "missing", [K_UNDEFINED] = "Undefined", [K_NONE] = "NoneType", [K_BOOL] = "bool", [K_INT] = "int",
        [K_BIG] = "int", [K_FLOAT] = "float", [K_STR] = "str", [K_LIST] = "list", [K_TUPLE] = "tuple", [K_DICT] = "dict",
        [K_RANGE] = "range", [K_ITER] = "generator", [K_VIEW] = "dict_items", [K_NAMESPACE] = "Namespace",
        [K_CYCLER] = "Cycler", [K_JOINER] = "Joiner", [K_LOOP] = "LoopContext", [K_MACRO] = "Macro",
        [K_METHOD] = "builtin_function_or_method", [K_FUNCTION] = "function" };
    if (v->kind == K_VIEW) return v->view == VIEW_KEYS ? "dict_keys" : v->view == VIEW_VALUES ? "dict_values" : "dict_items";
    return names[v->kind];
}

/* ---- asking ---------------------------------------------------------------------------------- */

bool truth(const struct val *v)
{
    switch (v->kind) {
    case K_MISSING: case K_UNDEFINED: case K_NONE: return false;
    case K_BOOL: return v->u.b;
    case K_INT: return v->u.i != 0;
    case K_FLOAT: return v->u.f != 0;
    case K_STR: case K_LIST: case K_TUPLE: case K_VIEW: return v->len != 0;
    case K_DICT: return v->u.d->n != 0;
    case K_RANGE: return v->u.r->n != 0;
    default: return true;
    }
}

bool is_number(const struct val *v)
{
    return v->kind == K_INT || v->kind == K_FLOAT || v->kind == K_BOOL || v->kind == K_BIG;
}

bool as_int(const struct val *v, int64_t *out)
{
    if (v->kind == K_INT) *out = v->u.i;
    else if (v->kind == K_BOOL) *out = v->u.b;
    else return false;
    return true;
}

double as_float(const struct val *v)
{
    if (v->kind == K_FLOAT) return v->u.f;
    if (v->kind == K_BIG) return strtod(v->u.s, NULL);
    return v->kind == K_INT ? (double)v->u.i : v->kind == K_BOOL ? v->u.b : 0;
}

bool str_eq(const struct val *v, const char *s)
{
    return v->kind == K_STR && bytes_eq((struct bytes){ v->u.s, v->len }, s);
}

bool has_length(const struct val *v)
{
    return v->kind == K_UNDEFINED || v->kind == K_STR || is_seq(v) || v->kind == K_DICT || v->kind == K_RANGE ||
           v->kind == K_VIEW || v->kind == K_LOOP;
}

bool length_of(struct rt *r, const struct val *v, int64_t *out)
{
    switch (v->kind) {
    case K_UNDEFINED: *out = 0; return true;
    case K_STR: *out = str_chars(v); return steps(r, v->len / 32);
    case K_LIST: case K_TUPLE: case K_VIEW: *out = v->len; return true;
    case K_DICT: *out = v->u.d->n; return true;
    case K_RANGE: *out = v->u.r->n; return true;
    case K_LOOP: return loop_length(r, v->u.loop, out);
    default: return FAIL(r, "object of type '%s' has no len()", type_name(v));
    }
}

/* ---- strings --------------------------------------------------------------------------------- */

struct buf *buf_new(struct rt *r, size_t cap)
{
    struct buf *b = take(r, sizeof *b);
    *b = (struct buf){ .cap = (uint32_t)cap, .p = take(r, cap) };
    return b;
}

static bool grow(struct rt *r, struct buf *b, size_t n)
{
    size_t want = MAX((size_t)b->cap * 2, b->len + n + 32);
    if (!room(r, want)) return false;
    char *p = take(r, want);
    if (b->len) memcpy(p, b->p, b->len);
    b->p = p;
    b->cap = (uint32_t)want;
    return true;
}

static void mark_run(struct rt *r, struct buf *b, bool ours)
{
    if (b->n_run && b->run[b->n_run - 1].ours == ours) {
        b->run[b->n_run - 1].end = b->len;
        return;
    }
    if (b->n_run == b->cap_run) {
        uint32_t cap = b->cap_run * 2 + 4;
        struct run *run = take(r, cap * sizeof *run);
        if (b->n_run) memcpy(run, b->run, b->n_run * sizeof *run);
        b->run = run;
        b->cap_run = cap;
    }
    b->run[b->n_run++] = (struct run){ b->len, ours };
}

bool buf_put(struct rt *r, struct buf *b, const char *s, size_t n, bool ours)
{
    if (!n) return true;
    if (n > b->cap - b->len && !grow(r, b, n)) return false;
    memcpy(b->p + b->len, s, n);
    b->len += (uint32_t)n;
    mark_run(r, b, ours);
    return true;
}

bool buf_puts(struct rt *r, struct buf *b, const char *s) { return buf_put(r, b, s, strlen(s), false); }

/* The run that holds the byte at `at` of a buffer. */
static uint32_t run_at(const struct buf *b, uint32_t at)
{
    uint32_t lo = 0, hi = b->n_run;
    while (lo + 1 < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (b->run[mid - 1].end <= at) lo = mid;
        else hi = mid;
    }
    return lo;
}

bool buf_str(struct rt *r, struct buf *b, const struct val *s)
{
    if (s->trust != MIXED) return buf_put(r, b, s->u.s, s->len, s->trust == OURS);
    uint32_t from = (uint32_t)(s->u.s - s->buf->p), end = from + s->len;
    const struct buf *in = s->buf;
    for (uint32_t i = run_at(in, from); from < end; i++) {
        uint32_t to = MIN(in->run[i].end, end);
        if (!buf_put(r, b, in->p + from, to - from, in->run[i].ours)) return false;
        from = to;
    }
    return true;
}

struct val buf_val(const struct buf *b, uint32_t from, uint32_t to)
{
    struct val v = of_bytes(b->p + from, to - from, THEIRS);
    v.buf = (struct buf *)(uintptr_t)b;
    if (from == to) {
        v.trust = OURS;
        v.buf = NULL;
        return v;
    }
    uint32_t i = run_at(b, from);
    v.trust = (uint8_t)(b->run[i].end < to ? MIXED : b->run[i].ours ? OURS : THEIRS);
    return v;
}

bool concat(struct rt *r, const struct val *a, const struct val *b, struct val *out)
{
    struct val x = *a, y = *b;
    if (!x.len || !y.len) {
        *out = x.len ? x : y;
        return true;
    }
    struct buf *in = x.buf;
    bool last = in && x.u.s + x.len == in->p + in->len && y.len <= in->cap - in->len;
    if (!last) {
        if (!room(r, ((size_t)x.len + y.len) * 2)) return false;
        in = buf_new(r, ((size_t)x.len + y.len) * 2);
        if (!buf_str(r, in, &x)) return false;
    }
    uint32_t from = last ? (uint32_t)(x.u.s - in->p) : 0;
    if (!buf_str(r, in, &y) || !steps(r, y.len / 256)) return false;
    *out = buf_val(in, from, in->len);
    return true;
}

struct val sub_str(const struct val *s, size_t from, size_t to)
{
    struct val v = *s;
    v.u.s += from;
    v.len = (uint32_t)(to - from);
    if (v.trust == MIXED) {
        uint8_t markup = v.markup;
        uint32_t at = (uint32_t)(v.u.s - v.buf->p);
        v = buf_val(v.buf, at, at + v.len);
        v.markup = markup;
    }
    return v;
}

bool ours_at(const struct val *s, size_t byte)
{
    if (s->trust != MIXED) return s->trust == OURS;
    return s->buf->run[run_at(s->buf, (uint32_t)(s->u.s - s->buf->p + (ptrdiff_t)byte))].ours;
}

static bool is_ascii(const char *s, size_t n)
{
    for (; n >= 8; s += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, s, 8);
        if (w & 0x8080808080808080u) return false;
    }
    for (; n; s++, n--)
        if (*s & 0x80) return false;
    return true;
}

int64_t str_chars(const struct val *s)
{
    if (is_ascii(s->u.s, s->len)) return s->len;
    int64_t n = 0;
    for (uint32_t i = 0; i < s->len; i++) n += (s->u.s[i] & 0xc0) != 0x80;
    return n;
}

size_t str_at(const struct val *s, int64_t chars)
{
    if (chars <= 0) return 0;
    if (is_ascii(s->u.s, s->len)) return (size_t)MIN(chars, (int64_t)s->len);
    uint32_t i = 0;
    for (int64_t seen = -1; i < s->len; i++)
        if ((s->u.s[i] & 0xc0) != 0x80 && ++seen == chars) break;
    return i;
}

/* ---- lists ----------------------------------------------------------------------------------- */

bool list_new(struct rt *r, size_t cap, struct val *out)
{
    if (!room(r, cap * sizeof(struct val))) return false;
    struct store *l = take(r, sizeof *l);
    *l = (struct store){ .cap = (uint32_t)cap, .v = cap ? take(r, cap * sizeof *l->v) : NULL };
    *out = (struct val){ .kind = K_LIST, .u.l = l };
    return true;
}

bool list_put(struct rt *r, struct val *list, struct val v)
{
    struct store *l = list->u.l;
    if (l->n == l->cap) {
        size_t cap = (size_t)l->cap * 2 + 4;
        if (!room(r, cap * sizeof v)) return false;
        struct val *grown = take(r, cap * sizeof v);
        if (l->n) memcpy(grown, l->v, l->n * sizeof v);
        l->v = grown;
        l->cap = (uint32_t)cap;
    }
    l->v[l->n++] = v;
    list->len = l->n;
    return true;
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

static uint32_t hash_bytes(const char *s, size_t n)
{
    return (uint32_t)hash64(s, n, 0);
}

/* Equal values have equal hashes; false: a list or dictionary is no key. */
static bool hash_of(struct rt *r, const struct val *v, uint32_t *out)
{
    if (!steps(r, 1)) return false;
    switch (v->kind) {
    case K_STR: *out = hash_bytes(v->u.s, v->len); return true;
    case K_BIG: *out = hash_bytes(v->u.s, v->len); return true;
    case K_INT: case K_BOOL: case K_FLOAT: {
        double d = as_float(v);
        *out = hash_bytes((const char *)&(double){ d == 0 ? 0 : d }, sizeof d);
        return true;
    }
    case K_TUPLE:
        *out = 7;
        for (uint32_t i = 0; i < v->len; i++) {
            uint32_t h;
            if (!deeper(r)) return false;
            bool ok = hash_of(r, &v->u.l->v[i], &h);
            r->depth--;
            if (!ok) return false;
            *out = *out * 31 + h;
        }
        return true;
    case K_NONE: case K_UNDEFINED: *out = v->kind; return true;
    case K_LIST: case K_DICT: return FAIL(r, "unhashable type: '%s'", type_name(v));
    default: *out = (uint32_t)(uintptr_t)v->u.d; return true;
    }
}

struct dict *dict_new(struct rt *r)
{
    struct dict *d = take(r, sizeof *d);
    *d = (struct dict){ 0 };
    return d;
}

static bool same_str(const struct val *k, const char *s, size_t len)
{
    return k->kind == K_STR && k->len == len && !memcmp(k->u.s, s, len);
}

static bool find_pair(struct rt *r, const struct dict *d, const struct val *key, uint32_t hash, struct pair **out)
{
    uint32_t at = d->slot ? hash & d->mask : 0;
    *out = NULL;
    for (uint32_t i = 0; d->slot ? d->slot[at] : i < d->n; i++, at = (at + 1) & d->mask) {
        struct pair *p = &d->e[d->slot ? d->slot[at] - 1 : i];
        bool same = false;
        if (d->slot && p->hash != hash) continue;
        if (!equal(r, &p->key, key, &same)) return false;
        if (!same) continue;
        *out = p;
        return true;
    }
    return true;
}

static void make_slots(struct rt *r, struct dict *d)
{
    uint32_t n = 16;
    while (n < d->cap * 2) n *= 2;
    d->slot = take(r, n * sizeof *d->slot);
    memset(d->slot, 0, n * sizeof *d->slot);
    d->mask = n - 1;
    for (uint32_t i = 0; i < d->n; i++) {
        hash_of(r, &d->e[i].key, &d->e[i].hash);          /* small ones go without */
        uint32_t at = d->e[i].hash & d->mask;
        while (d->slot[at]) at = (at + 1) & d->mask;
        d->slot[at] = i + 1;
    }
}

bool dict_add(struct rt *r, struct dict *d, struct val key, struct val value)
{
    if (d->n == d->cap) {
        size_t cap = (size_t)d->cap * 2 + 4;
        if (!room(r, cap * sizeof *d->e)) return false;
        struct pair *e = take(r, cap * sizeof *e);
        if (d->n) memcpy(e, d->e, d->n * sizeof *e);
        d->e = e;
        d->cap = (uint32_t)cap;
        if (cap > 12) make_slots(r, d);
    }
    struct pair *p = &d->e[d->n++];
    *p = (struct pair){ key, value, 0 };
    if (d->slot) {
        hash_of(r, &key, &p->hash);
        uint32_t at = p->hash & d->mask;
        while (d->slot[at]) at = (at + 1) & d->mask;
        d->slot[at] = d->n;
    }
    return true;
}

bool dict_put(struct rt *r, struct dict *d, struct val key, struct val value)
{
    struct val *there;
    if (!dict_find(r, d, &key, &there)) return false;
    if (!there) return dict_add(r, d, key, value);
    *there = value;
    return true;
}

bool dict_find(struct rt *r, const struct dict *d, const struct val *key, struct val **out)
{
    struct pair *p;
    uint32_t hash;
    *out = NULL;
    if (key->kind == K_STR) {
        *out = dict_str(d, key->u.s, key->len);
        return true;
    }
    if (!hash_of(r, key, &hash) || !find_pair(r, d, key, hash, &p)) return false;
    if (p) *out = &p->value;
    return true;
}

struct val *dict_str(const struct dict *d, const char *s, size_t len)
{
    if (!d->slot) {
        for (uint32_t i = 0; i < d->n; i++)
            if (same_str(&d->e[i].key, s, len)) return &d->e[i].value;
        return NULL;
    }
    for (uint32_t at = hash_bytes(s, len) & d->mask; d->slot[at]; at = (at + 1) & d->mask) {
        struct pair *p = &d->e[d->slot[at] - 1];
        if (same_str(&p->key, s, len)) return &p->value;
    }
    return NULL;
}

/* ---- equal, less, in ------------------------------------------------------------------------- */

static bool equal_items(struct rt *r, const struct val *a, const struct val *b, bool *out)
{
    *out = a->len == b->len;
    for (uint32_t i = 0; *out && i < a->len; i++)
        if (!equal(r, &a->u.l->v[i], &b->u.l->v[i], out)) return false;
    return true;
}

static bool equal_dicts(struct rt *r, const struct dict *a, const struct dict *b, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        struct val *other;
        if (!dict_find(r, b, &a->e[i].key, &other)) return false;
        *out = other != NULL;
        if (other && !equal(r, &a->e[i].value, other, out)) return false;
    }
    return true;
}

static bool equal_numbers(const struct val *a, const struct val *b)
{
    int64_t x, y;
    if (as_int(a, &x) && as_int(b, &y)) return x == y;
    if (a->kind == K_BIG && b->kind == K_BIG) return a->len == b->len && !memcmp(a->u.s, b->u.s, a->len);
    if (a->kind == K_BIG && b->kind != K_FLOAT) return false;
    if (b->kind == K_BIG && a->kind != K_FLOAT) return false;
    double p = as_float(a), q = as_float(b);
    if (p != q) return false;
    /* A float that is beyond 2^53 equals one integer only. */
    const struct val *i = a->kind == K_FLOAT ? b : a;
    return !as_int(i, &x) || (fabs(p) < 9.2e18 && (int64_t)p == x);
}

static bool equal_one(struct rt *r, const struct val *a, const struct val *b, bool *out)
{
    if (is_number(a) && is_number(b)) *out = equal_numbers(a, b);
    else if (a->kind != b->kind) *out = false;
    else switch (a->kind) {
        case K_NONE: case K_UNDEFINED: case K_MISSING: *out = true; break;
        case K_STR:
            *out = a->len == b->len && !memcmp(a->u.s, b->u.s, a->len);
            return steps(r, a->len / 256);
        case K_LIST: case K_TUPLE: return equal_items(r, a, b, out);
        case K_DICT: return equal_dicts(r, a->u.d, b->u.d, out);
        case K_RANGE:
            *out = a->u.r->n == b->u.r->n && (!a->u.r->n || (a->u.r->start == b->u.r->start && (a->u.r->n == 1 || a->u.r->step == b->u.r->step)));
            break;
        default: *out = a->u.d == b->u.d;
    }
    return true;
}

bool equal(struct rt *r, const struct val *a, const struct val *b, bool *out)
{
    *out = false;
    if (!steps(r, 1)) return false;
    bool ok = deeper(r) && equal_one(r, a, b, out);
    r->depth--;
    return ok;
}

static bool less_items(struct rt *r, const struct val *a, const struct val *b, const char *op, bool *out)
{
    for (uint32_t i = 0; i < a->len && i < b->len; i++) {
        bool same;
        if (!equal(r, &a->u.l->v[i], &b->u.l->v[i], &same)) return false;
        if (!same) return less(r, &a->u.l->v[i], &b->u.l->v[i], op, out);
    }
    *out = a->len < b->len;
    return true;
}

static bool less_numbers(const struct val *a, const struct val *b)
{
    int64_t x, y;
    if (as_int(a, &x) && as_int(b, &y)) return x < y;
    return as_float(a) < as_float(b);
}

bool less(struct rt *r, const struct val *a, const struct val *b, const char *op, bool *out)
{
    if (a->kind == K_UNDEFINED) return undefined_fail(r, a);
    if (b->kind == K_UNDEFINED) return undefined_fail(r, b);
    if (is_number(a) && is_number(b)) {
        *out = less_numbers(a, b);
        return steps(r, 1);
    }
    if (is_str(a) && is_str(b)) {
        int c = memcmp(a->u.s, b->u.s, MIN(a->len, b->len));
        *out = c ? c < 0 : a->len < b->len;
        return steps(r, 1 + MIN(a->len, b->len) / 256);
    }
    if (is_seq(a) && a->kind == b->kind) {
        bool ok = deeper(r) && less_items(r, a, b, op, out);
        r->depth--;
        return ok;
    }
    return FAIL(r, "'%s' not supported between instances of '%s' and '%s'", op, type_name(a), type_name(b));
}

bool contains(struct rt *r, const struct val *seq, const struct val *v, bool *out)
{
    struct val *found, item;
    struct iter it;
    bool end;
    *out = false;
    if (seq->kind == K_STR) {
        size_t at;
        if (v->kind == K_UNDEFINED) return FAIL(r, "'in <string>' requires string as left operand, not Undefined");
        if (!is_str(v)) return FAIL(r, "'in <string>' requires string as left operand, not %s", type_name(v));
        *out = str_find(seq, v, 0, seq->len, &at);
        return steps(r, seq->len / 64);
    }
    if (seq->kind == K_DICT) {
        if (!dict_find(r, seq->u.d, v, &found)) return false;
        *out = found != NULL;
        return true;
    }
    if (!iter_open(r, seq, &it)) {
        return false;
    }
    while (iter_next(r, &it, &item, &end) && !end) {
        if (!equal(r, &item, v, out)) return false;
        if (*out) return true;
    }
    return !r->failed;
}

/* ---- going through --------------------------------------------------------------------------- */

bool iter_open(struct rt *r, const struct val *v, struct iter *it)
{
    *it = (struct iter){ .src = *v };
    switch (v->kind) {
    case K_UNDEFINED: case K_STR: case K_LIST: case K_TUPLE: case K_VIEW: case K_RANGE: case K_ITER: return true;
    case K_DICT: it->d = v->u.d; return true;
    default: return FAIL(r, "'%s' object is not iterable", type_name(v));
    }
}

bool iter_next(struct rt *r, struct iter *it, struct val *out, bool *end)
{
    const struct val *v = &it->src;
    if (!steps(r, 1)) return false;
    *end = false;
    switch (v->kind) {
    case K_LIST: case K_TUPLE: case K_VIEW:
        if ((*end = it->i >= v->len)) return true;
        *out = v->u.l->v[it->i++];
        return true;
    case K_DICT:
        if ((*end = it->i >= it->d->n)) return true;
        *out = it->d->e[it->i++].key;
        return true;
    case K_RANGE:
        if ((*end = it->i >= v->u.r->n)) return true;
        *out = of_int(v->u.r->start + it->i++ * v->u.r->step);
        return true;
    case K_STR: {
        int n = 1;
        if ((*end = it->i >= v->len)) return true;
        utf8_next(v->u.s + it->i, v->u.s + v->len, &n);
        *out = sub_str(v, (size_t)it->i, (size_t)it->i + (size_t)n);
        it->i += n;
        return true;
    }
    case K_ITER: return v->u.it->next ? v->u.it->next(r, v->u.it, out, end) : iter_next(r, v->u.it, out, end);
    default: *end = true; return true;
    }
}

bool to_list(struct rt *r, const struct val *v, struct val *out)
{
    struct iter it;
    struct val item;
    bool end;
    if (!iter_open(r, v, &it) || !list_new(r, is_seq(v) ? v->len : 4, out)) return false;
    while (iter_next(r, &it, &item, &end) && !end)
        if (!list_put(r, out, item)) return false;
    return !r->failed;
}

struct val iter_over(struct rt *r, struct val list)
{
    struct iter *it = take(r, sizeof *it);
    *it = (struct iter){ .src = list, .d = list.kind == K_DICT ? list.u.d : NULL };
    return (struct val){ .kind = K_ITER, .u.it = it };
}
