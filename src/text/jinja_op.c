/* jinja_op.c -- operators and subscripts, as Python has them.
 *
 * Integers are 64 bit; what would leave that range is an error with a sentence, never a wrong number.
 * // and % round down, / is always a float, strings and lists repeat and join. + on a string that is
 * "safe" escapes the other one for HTML, as Jinja's Markup does. */
#include "text/jinja_int.h"

#include <math.h>

static const char *const signs[] = { [N_ADD] = "+", [N_SUB] = "-", [N_MUL] = "*", [N_DIV] = "/", [N_FLOORDIV] = "//",
                                     [N_MOD] = "%", [N_POW] = "** or pow()" };

static bool unsupported(struct rt *r, enum op op, const struct val *a, const struct val *b)
{
    if (op == N_ADD && (is_str(a) || is_seq(a)))
        return FAIL(r, "can only concatenate %s (not \"%s\") to %s", type_name(a), type_name(b), type_name(a));
    return FAIL(r, "unsupported operand type(s) for %s: '%s' and '%s'", signs[op], type_name(a), type_name(b));
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool too_big(struct rt *r)
{
    return FAIL(r, "an integer leaves 64 bit; -2^63 to 2^63-1 is accepted in arithmetic");
}

static bool power(int64_t a, int64_t n, int64_t *out)
{
    *out = 1;
    for (; n; n >>= 1) {
        if (n & 1 && __builtin_mul_overflow(*out, a, out)) return false;
        if (n > 1 && __builtin_mul_overflow(a, a, &a)) return false;
    }
    return true;
}

static bool int_op(struct rt *r, enum op op, int64_t a, int64_t b, int64_t *out)
{
    bool over = false;
    if ((op == N_FLOORDIV || op == N_MOD) && !b)
        return FAIL(r, op == N_MOD ? "integer modulo by zero" : "integer division or modulo by zero");
    switch (op) {
    case N_ADD: over = __builtin_add_overflow(a, b, out); break;
    case N_SUB: over = __builtin_sub_overflow(a, b, out); break;
    case N_MUL: over = __builtin_mul_overflow(a, b, out); break;
    case N_POW: over = !power(a, b, out); break;
    default:
        if (b == -1) {
            over = op == N_FLOORDIV && __builtin_sub_overflow(0, a, out);
            if (op == N_MOD) *out = 0;
            break;
        }
        *out = op == N_MOD ? a % b : a / b;
        if (a % b && (a % b < 0) != (b < 0)) *out += op == N_MOD ? b : -1;
    }
    return !over || too_big(r);
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m) return (m < 0) != (b < 0) ? m + b : m;
    return copysign(0, b);
}

static double float_floordiv(double a, double b)
{
    double div = (a - fmod(a, b)) / b;
    if (fmod(a, b) && (b < 0) != (fmod(a, b) < 0)) div -= 1;
    if (!div) return copysign(0, a / b);
    double f = floor(div);
    return div - f > 0.5 ? f + 1 : f;
}

static bool float_op(struct rt *r, enum op op, double a, double b, struct val *out)
{
    double v = 0;
    if ((op == N_DIV || op == N_FLOORDIV || op == N_MOD) && !b)
        return FAIL(r, op == N_DIV ? "division by zero" : op == N_MOD ? "float modulo" : "float floor division by zero");
    if (op == N_POW && !a && b < 0) return FAIL(r, "0.0 cannot be raised to a negative power");
    switch (op) {
    case N_ADD: v = a + b; break;
    case N_SUB: v = a - b; break;
    case N_MUL: v = a * b; break;
    case N_DIV: v = a / b; break;
    case N_FLOORDIV: v = float_floordiv(a, b); break;
    case N_MOD: v = float_mod(a, b); break;
    default:
        v = pow(a, b);
        if (isnan(v) && !isnan(a) && !isnan(b)) return FAIL(r, "a power that is no real number");
        if (isinf(v) && !isinf(a) && !isinf(b)) return FAIL(r, "a power that is too large");
    }
    *out = of_float(v);
    return true;
}

static bool numbers(struct rt *r, enum op op, const struct val *a, const struct val *b, struct val *out)
{
    int64_t x, y, v = 0;
    bool ints = a->kind != K_FLOAT && b->kind != K_FLOAT;
    if (ints && op != N_DIV) {
        if (!as_int(a, &x) || !as_int(b, &y)) return too_big(r);
        if (op != N_POW || y >= 0) {
            if (!int_op(r, op, x, y, &v)) return false;
            *out = of_int(v);
            return true;
        }
    }
    return float_op(r, op, as_float(a), as_float(b), out);
}

bool op_sign(struct rt *r, bool minus, const struct val *a, struct val *out)
{
    int64_t i;
    if (a->kind == K_UNDEFINED) return undefined_fail(r, a);
    if (a->kind == K_FLOAT) {
        *out = of_float(minus ? -a->u.f : a->u.f);
        return true;
    }
    if (a->kind == K_BIG) return too_big(r);
    if (!as_int(a, &i)) return FAIL(r, "bad operand type for unary %c: '%s'", minus ? '-' : '+', type_name(a));
    if (minus && i == INT64_MIN) return too_big(r);
    *out = of_int(minus ? -i : i);
    return true;
}

/* ---- strings and lists ----------------------------------------------------------------------- */

bool escape_html(struct rt *r, const struct val *s, struct val *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
    struct val text;
    if (!to_str(r, s, &text)) return false;
    struct buf *b = buf_new(r, text.len + 16);
    size_t done = 0;
    if (!steps(r, text.len / 8)) return false;
    for (size_t i = 0; i < text.len && !s->markup; i++) {
        const char *f = text.u.s[i] ? strchr(from, text.u.s[i]) : NULL;
        if (!f) continue;
        struct val part = sub_str(&text, done, i);
        if (!buf_str(r, b, &part) || !buf_put(r, b, to[f - from], strlen(to[f - from]), ours_at(&text, i))) return false;
        done = i + 1;
    }
    struct val rest = sub_str(&text, done, text.len);
    if (!done) *out = text;
    else if (!buf_str(r, b, &rest)) return false;
    else *out = buf_val(b, 0, b->len);
    out->markup = true;
    return true;
}

static bool add_strings(struct rt *r, const struct val *a, const struct val *b, struct val *out)
{
    struct val x = *a, y = *b;
    bool markup = a->markup || b->markup;
    if (markup && ((!a->markup && !escape_html(r, a, &x)) || (!b->markup && !escape_html(r, b, &y)))) return false;
    if (!concat(r, &x, &y, out)) return false;
    out->markup = markup;
    return true;
}

/* In place where the first list is the last to end in its store. */
static bool add_lists(struct rt *r, const struct val *a, const struct val *b, struct val *out)
{
    struct store *l = a->u.l;
    *out = *a;
    if (!steps(r, 1 + b->len / 8)) return false;
    if (a->len != l->n || l->cap - l->n < b->len) {
        if (!steps(r, a->len / 8) || !list_new(r, ((size_t)a->len + b->len) * 2, out)) return false;
        out->kind = a->kind;
        if (a->len) memcpy(out->u.l->v, l->v, a->len * sizeof *l->v);
        out->u.l->n = out->len = a->len;
    }
    for (uint32_t i = 0; i < b->len; i++)
        if (!list_put(r, out, b->u.l->v[i])) return false;
    out->view = 0;
    return true;
}

static bool repeat(struct rt *r, const struct val *a, int64_t n, struct val *out)
{
    n = a->len ? MAX(n, 0) : 0;
    size_t unit = is_str(a) ? a->len : a->len * sizeof(struct val);
    if (unit && (uint64_t)n > r->most / unit) return room(r, SIZE_MAX);
    if (!steps(r, (uint64_t)n * a->len / 64 + 1)) return false;
    if (is_str(a)) {
        if (!room(r, unit * (size_t)n)) return false;
        struct buf *b = buf_new(r, unit * (size_t)n);
        for (int64_t i = 0; i < n && a->len; i++)
            if (!buf_str(r, b, a)) return false;
        *out = buf_val(b, 0, b->len);
        out->markup = a->markup;
        return true;
    }
    if (!list_new(r, a->len * (size_t)n, out)) return false;
    out->kind = a->kind;
    for (int64_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < a->len; k++)
            if (!list_put(r, out, a->u.l->v[k])) return false;
    return true;
}

bool op_binary(struct rt *r, enum op op, const struct val *a, const struct val *b, struct val *out)
{
    int64_t n;
    if (a->kind == K_STR && b->kind == K_STR && op == N_ADD) return add_strings(r, a, b, out);
    if (a->kind == K_UNDEFINED) return undefined_fail(r, a);
    if (a->kind == K_STR && op == N_MOD) return format_percent(r, a, b, out);
    if (b->kind == K_UNDEFINED) return undefined_fail(r, b);
    if (is_number(a) && is_number(b)) return numbers(r, op, a, b, out);
    if (op == N_ADD && is_seq(a) && a->kind == b->kind) return add_lists(r, a, b, out);
    if (op == N_MUL && (is_str(a) || is_seq(a)) && as_int(b, &n)) return repeat(r, a, n, out);
    if (op == N_MUL && (is_str(b) || is_seq(b)) && as_int(a, &n)) return repeat(r, b, n, out);
    return unsupported(r, op, a, b);
}

/* ---- subscripts ------------------------------------------------------------------------------ */

static bool item_at(struct rt *r, const struct val *obj, int64_t i, struct val *out)
{
    int64_t n;
    if (!length_of(r, obj, &n)) return false;
    if (i < 0) i += n;
    *out = (struct val){ .kind = K_MISSING };
    if (i < 0 || i >= n) return true;
    if (obj->kind == K_RANGE) {
        *out = of_int(obj->u.r->start + i * obj->u.r->step);
    } else if (obj->kind == K_STR) {
        size_t from = str_at(obj, i);
        int len = 1;
        utf8_next(obj->u.s + from, obj->u.s + obj->len, &len);
        *out = sub_str(obj, from, from + (size_t)len);
        return steps(r, from / 32);
    } else {
        *out = obj->u.l->v[i];
    }
    return true;
}

bool get_item(struct rt *r, const struct val *obj, const struct val *key, struct val *out)
{
    struct val *found;
    int64_t i;
    *out = (struct val){ .kind = K_MISSING };
    if (obj->kind == K_UNDEFINED) return undefined_fail(r, obj);
    if (obj->kind == K_DICT) {
        if (key->kind == K_LIST || key->kind == K_DICT) return true;
        if (!dict_find(r, obj->u.d, key, &found)) return false;
        if (found) *out = *found;
        return true;
    }
    bool indexed = is_str(obj) || is_seq(obj) || obj->kind == K_RANGE;
    return !indexed || !as_int(key, &i) || item_at(r, obj, i, out);
}

/* Slice bounds as Python resolves them: count of elements from *start on, every `step`. */
static int64_t resolve(int64_t n, const struct val *lo, const struct val *hi, int64_t step, int64_t *start)
{
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n, a = step < 0 ? high : low, b = step < 0 ? low : high, i;
    if (as_int(lo, &i)) a = i < 0 ? MAX(i + n, low) : MIN(i, high);
    if (as_int(hi, &i)) b = i < 0 ? MAX(i + n, low) : MIN(i, high);
    *start = a;
    if (step > 0) return a < b ? (b - a - 1) / step + 1 : 0;
    return b < a ? (a - b - 1) / -step + 1 : 0;
}

static bool slice_str(struct rt *r, const struct val *s, int64_t start, int64_t step, int64_t count, struct val *out)
{
    if (!steps(r, s->len / 32 + 1)) return false;
    if (step == 1 || !count) {
        size_t from = str_at(s, start), to = count ? str_at(s, start + count) : from;
        *out = sub_str(s, from, to);
        return true;
    }
    uint32_t *at = take(r, ((size_t)s->len + 1) * sizeof *at), n = 0;
    for (uint32_t i = 0; i < s->len; i++)
        if ((s->u.s[i] & 0xc0) != 0x80) at[n++] = i;
    at[n] = s->len;
    struct buf *b = buf_new(r, s->len);
    for (int64_t i = 0, k = start; i < count; i++, k += step) {
        struct val ch = sub_str(s, at[k], at[k + 1]);
        if (!buf_str(r, b, &ch)) return false;
    }
    *out = buf_val(b, 0, b->len);
    out->markup = s->markup;
    return true;
}

static bool is_bound(const struct val *v)
{
    return v->kind == K_NONE || v->kind == K_INT || v->kind == K_BOOL;
}

bool get_slice(struct rt *r, const struct val *obj, const struct val *lo, const struct val *hi, const struct val *by,
               struct val *out)
{
    int64_t n, start, step = 1;
    if (obj->kind == K_UNDEFINED) return undefined_fail(r, obj);
    if (!(is_str(obj) || is_seq(obj) || obj->kind == K_RANGE)) return FAIL(r, "'%s' object has no slices", type_name(obj));
    if (!is_bound(lo) || !is_bound(hi) || !is_bound(by)) return FAIL(r, "slice indices must be integers or None");
    if (as_int(by, &step) && !step) return FAIL(r, "slice step cannot be zero");
    if (step == INT64_MIN) step++;
    if (!length_of(r, obj, &n)) return false;
    int64_t count = resolve(n, lo, hi, step, &start);
    if (is_str(obj)) return slice_str(r, obj, start, step, count, out);
    if (obj->kind == K_RANGE) {
        struct range *g = take(r, sizeof *g);
        const struct range *o = obj->u.r;
        *g = (struct range){ o->start + start * o->step, o->start + (start + count * step) * o->step, o->step * step, count };
        *out = (struct val){ .kind = K_RANGE, .u.r = g };
        return true;
    }
    if (!steps(r, (uint64_t)count / 8) || !list_new(r, (size_t)count, out)) return false;
    out->kind = obj->kind;
    for (int64_t i = 0; i < count; i++)
        if (!list_put(r, out, obj->u.l->v[start + i * step])) return false;
    return true;
}
