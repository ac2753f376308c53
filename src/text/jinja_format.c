/* jinja_format.c -- "…" % values and "…".format(values).
 *
 * Both write numbers by a specification: sign, width, fill, precision, kind. What stands between the
 * places keeps the owner of the format string, what is put in keeps its own. */
#include "text/jinja_int.h"

#include <math.h>
#include <stdlib.h>

/* [[fill]align][sign][#][0][width][,][.precision][kind] */
struct spec { char fill[5]; char align, sign, kind, group; bool alt, zero; int64_t width, precision; };

/* ---- one value ------------------------------------------------------------------------------- */

static bool put_padded(struct rt *r, struct buf *b, const struct val *text, const struct spec *s, char align)
{
    struct val fill = of_text(*s->fill ? s->fill : " "), out;
    if (s->align) align = s->align;
    return str_pad(r, text, s->width, &fill, align, &out) && buf_str(r, b, &out);
}

static void group_digits(char *text, size_t cap, const struct spec *s)
{
    size_t digits = strspn(text, "0123456789"), len = strlen(text), extra = digits ? (digits - 1) / 3 : 0;
    if (!s->group || len + extra >= cap) return;
    memmove(text + digits + extra, text + digits, len - digits + 1);
    for (size_t i = digits, to = digits + extra, n = 0; i--; n++) {
        if (n && n % 3 == 0) text[--to] = s->group;
        text[--to] = text[i];
    }
}

/* digits: of the absolute value. */
static bool put_number(struct rt *r, struct buf *b, bool minus, const char *prefix, char *digits, size_t cap, const struct spec *s)
{
    char text[700];
    group_digits(digits, cap, s);
    const char *sign = minus ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
    int64_t n = (int64_t)(strlen(sign) + strlen(prefix) + strlen(digits));
    bool zeros = (s->zero && !s->align) || s->align == '=';
    int64_t pad = zeros && s->width > n ? s->width - n : 0;
    if (pad + n >= (int64_t)sizeof text) return FAIL(r, "a number of more than %zu characters", sizeof text);
    int at = snprintf(text, sizeof text, "%s%s", sign, prefix);
    char fill = s->zero ? '0' : *s->fill ? *s->fill : ' ';
    memset(text + at, fill, (size_t)pad);
    snprintf(text + at + pad, sizeof text - (size_t)(at + pad), "%s", digits);
    struct val v = of_bytes(text, strlen(text), THEIRS);
    struct spec rest = *s;
    if (zeros) rest.align = 0, rest.width = 0;
    return put_padded(r, b, &v, &rest, '>');
}

static bool put_int(struct rt *r, struct buf *b, const struct val *v, const struct spec *s)
{
    char digits[200];
    int64_t i = 0;
    if (v->kind == K_BIG) {
        if (s->kind && s->kind != 'd') return FAIL(r, "an integer leaves 64 bit");
        snprintf(digits, sizeof digits, "%.*s", (int)MIN(v->len, 190), v->u.s + (*v->u.s == '-'));
        return put_number(r, b, *v->u.s == '-', "", digits, sizeof digits, s);
    }
    as_int(v, &i);
    uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const char *prefix = !s->alt ? "" : s->kind == 'x' ? "0x" : s->kind == 'X' ? "0X" : s->kind == 'o' ? "0o" : s->kind == 'b' ? "0b" : "";
    if (s->kind == 'x') snprintf(digits, sizeof digits, "%llx", (unsigned long long)n);
    else if (s->kind == 'X') snprintf(digits, sizeof digits, "%llX", (unsigned long long)n);
    else if (s->kind == 'o') snprintf(digits, sizeof digits, "%llo", (unsigned long long)n);
    else if (s->kind == 'b') {
        int bit = 63;
        while (bit && !(n >> bit & 1)) bit--;
        for (int k = 0; k <= bit; k++) digits[k] = (char)('0' + (n >> (bit - k) & 1));
        digits[bit + 1] = 0;
    } else snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    return put_number(r, b, i < 0, prefix, digits, sizeof digits, s);
}

static bool put_float(struct rt *r, struct buf *b, double d, const struct spec *s)
{
    char digits[600], fmt[8] = "%.*f";
    bool minus = signbit(d) && !isnan(d);
    int precision = (int)MIN(s->precision < 0 ? 6 : s->precision, 200);
    double a = minus ? -d : d;
    if (s->kind == '%') {
        snprintf(digits, sizeof digits - 1, "%.*f", precision, a * 100);
        strcat(digits, "%");
    } else if (!s->kind || s->kind == 'r') {
        if (s->precision < 0) print_float(digits, a);
        else snprintf(digits, sizeof digits, "%.*g", precision ? precision : 1, a);
        if (s->precision >= 0 && isfinite(a) && !strpbrk(digits, ".e")) strcat(digits, ".0");
    } else {
        if (isnan(a) || isinf(a)) snprintf(digits, sizeof digits, s->kind < 'a' ? "%s" : "%s", isnan(a) ? "nan" : "inf");
        else {
            fmt[3] = s->kind == 'n' ? 'g' : s->kind;
            if ((fmt[3] | 32) == 'g' && !precision) precision = 1;
            snprintf(digits, sizeof digits, fmt, precision, a);
        }
    }
    return put_number(r, b, minus, "", digits, sizeof digits, s);
}

/* ---- % ------------------------------------------------------------------------------------------- */

struct percent { struct rt *r; const struct val *fmt, *arg; struct buf *b; size_t at; uint32_t used; };

static bool next_arg(struct percent *p, struct val *out)
{
    const struct val *a = p->arg;
    if (a->kind == K_TUPLE) {
        if (p->used >= a->len) return FAIL(p->r, "not enough arguments for format string");
        *out = a->u.l->v[p->used++];
        return true;
    }
    if (p->used++) return FAIL(p->r, "not enough arguments for format string");
    *out = *a;
    return true;
}

static bool named_arg(struct percent *p, struct val *out)
{
    const char *s = p->fmt->u.s;
    size_t from = ++p->at;
    int depth = 1;
    for (; p->at < p->fmt->len && depth; p->at++) depth += s[p->at] == '(' ? 1 : s[p->at] == ')' ? -1 : 0;
    if (depth) return FAIL(p->r, "incomplete format key");
    if (p->arg->kind != K_DICT) return FAIL(p->r, "format requires a mapping");
    struct val key = sub_str(p->fmt, from, p->at - 1), *found;
    if (!dict_find(p->r, p->arg->u.d, &key, &found)) return false;
    if (!found) return FAIL(p->r, "the key '%.*s' of the format string is not given", (int)MIN(key.len, 60), key.u.s);
    *out = *found;
    p->used = 1;
    return true;
}

static bool star_or_number(struct percent *p, int64_t *out)
{
    const char *s = p->fmt->u.s;
    if (p->at < p->fmt->len && s[p->at] == '*') {
        struct val v;
        p->at++;
        if (!next_arg(p, &v)) return false;
        return as_int(&v, out) || FAIL(p->r, "* wants int");
    }
    for (; p->at < p->fmt->len && s[p->at] >= '0' && s[p->at] <= '9'; p->at++)
        *out = MIN(MAX(*out, (int64_t)0) * 10 + (s[p->at] - '0'), (int64_t)1 << 30);
    return true;
}

static bool put_text_as(struct percent *p, const struct val *v, struct spec *s, bool repr)
{
    struct val text;
    struct buf *b = buf_new(p->r, 64);
    if (repr) {
        if (!put_repr(p->r, b, v)) return false;
        text = buf_val(b, 0, b->len);
    } else if (!to_str(p->r, v, &text)) return false;
    if (s->precision >= 0) text = sub_str(&text, 0, str_at(&text, s->precision));
    return put_padded(p->r, p->b, &text, s, '>');
}

static bool put_char(struct percent *p, const struct val *v, struct spec *s)
{
    int64_t cp;
    char utf8[4];
    if (is_str(v) && str_chars(v) == 1) return put_padded(p->r, p->b, v, s, '>');
    if (!as_int(v, &cp) || cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) return FAIL(p->r, "%%c requires int or char");
    struct val text = of_bytes(utf8, (size_t)utf8_put(utf8, (uint32_t)cp), THEIRS);
    return put_padded(p->r, p->b, &text, s, '>');
}

static bool put_as(struct percent *p, char kind, const struct val *v, struct spec *s)
{
    if (v->kind == K_UNDEFINED && strchr("diuxXofFeEgGc", kind)) return undefined_fail(p->r, v);
    switch (kind) {
    case 's': return put_text_as(p, v, s, false);
    case 'r': case 'a': return put_text_as(p, v, s, true);
    case 'c': return put_char(p, v, s);
    case 'd': case 'i': case 'u': case 'x': case 'X': case 'o': {
        struct val i = *v;
        if (!is_number(v) || (v->kind == K_FLOAT && strchr("xXo", kind)))
            return FAIL(p->r, "%%%c format: a real number is required, not %s", kind, type_name(v));
        if (v->kind == K_FLOAT) {
            if (!(fabs(v->u.f) < 9.2e18)) return FAIL(p->r, "an integer leaves 64 bit");
            i = of_int((int64_t)v->u.f);
        }
        s->kind = strchr("diu", kind) ? 'd' : kind;
        return put_int(p->r, p->b, &i, s);
    }
    case 'f': case 'F': case 'e': case 'E': case 'g': case 'G':
        if (!is_number(v)) return FAIL(p->r, "must be real number, not %s", type_name(v));
        s->kind = kind;
        return put_float(p->r, p->b, as_float(v), s);
    default: return FAIL(p->r, "unsupported format character '%c'", kind);
    }
}

static bool conversion(struct percent *p)
{
    struct spec s = { .precision = -1, .width = 0 };
    const char *t = p->fmt->u.s;
    struct val v = { .kind = K_MISSING };
    p->at++;
    if (p->at < p->fmt->len && t[p->at] == '(' && !named_arg(p, &v)) return false;
    for (; p->at < p->fmt->len && t[p->at] && strchr("-+ #0", t[p->at]); p->at++) {
        if (t[p->at] == '-') s.align = '<';
        else if (t[p->at] == '#') s.alt = true;
        else if (t[p->at] == '0') s.zero = true;
        else if (s.sign != '+') s.sign = t[p->at];
    }
    if (!star_or_number(p, &s.width)) return false;
    if (s.width < 0) s.align = '<', s.width = -s.width;
    if (p->at < p->fmt->len && t[p->at] == '.') {
        p->at++;
        s.precision = 0;
        if (!star_or_number(p, &s.precision)) return false;
    }
    while (p->at < p->fmt->len && strchr("hlL", t[p->at])) p->at++;
    if (p->at >= p->fmt->len) return FAIL(p->r, "incomplete format");
    char kind = t[p->at++];
    if (kind == '%') return buf_put(p->r, p->b, "%", 1, false);
    if (v.kind == K_MISSING && !next_arg(p, &v)) return false;
    return put_as(p, kind, &v, &s);
}

bool format_percent(struct rt *r, const struct val *fmt, const struct val *arg, struct val *out)
{
    struct percent p = { r, fmt, arg, buf_new(r, fmt->len + 64), 0, 0 };
    if (!steps(r, fmt->len / 32)) return false;
    while (p.at < fmt->len) {
        const char *next = memchr(fmt->u.s + p.at, '%', fmt->len - p.at);
        size_t to = next ? (size_t)(next - fmt->u.s) : fmt->len;
        struct val part = sub_str(fmt, p.at, to);
        if (!buf_str(r, p.b, &part)) return false;
        p.at = to;
        if (next && !conversion(&p)) return false;
    }
    bool all = arg->kind == K_TUPLE ? p.used >= arg->len
                                    : p.used || arg->kind == K_DICT || arg->kind == K_LIST || arg->kind == K_RANGE || arg->kind == K_VIEW;
    if (!all) return FAIL(r, "not all arguments converted during string formatting");
    *out = buf_val(p.b, 0, p.b->len);
    return true;
}

/* ---- format() ------------------------------------------------------------------------------------ */

static bool parse_spec(struct rt *r, const struct val *text, struct spec *s)
{
    const char *p = text->u.s, *end = p + text->len;
    int n = 1;
    *s = (struct spec){ .precision = -1 };
    if (p < end) utf8_next(p, end, &n);
    if (p + n < end && p[n] && strchr("<>=^", p[n])) {
        memcpy(s->fill, p, (size_t)n);
        s->align = p[n];
        p += n + 1;
    } else if (p < end && *p && strchr("<>=^", *p)) s->align = *p++;
    if (p < end && *p && strchr("+- ", *p)) s->sign = *p++;
    if (p < end && *p == 'z') p++;
    if (p < end && *p == '#') s->alt = true, p++;
    if (p < end && *p == '0') s->zero = true, p++;
    for (; p < end && *p >= '0' && *p <= '9'; p++) s->width = MIN(s->width * 10 + *p - '0', (int64_t)1 << 30);
    if (p < end && (*p == ',' || *p == '_')) s->group = *p++;
    if (p < end && *p == '.') {
        s->precision = 0;
        for (p++; p < end && *p >= '0' && *p <= '9'; p++) s->precision = MIN(s->precision * 10 + *p - '0', (int64_t)1 << 30);
    }
    if (p < end) s->kind = *p++;
    return p == end || FAIL(r, "Invalid format specifier '%.*s'", (int)MIN(text->len, 40), text->u.s);
}

static bool put_spec(struct rt *r, struct buf *b, const struct val *v, const struct val *text)
{
    struct spec s;
    if (!text->len) return put_str(r, b, v);
    if (!parse_spec(r, text, &s)) return false;
    if (v->kind == K_STR) {
        struct val cut = s.precision >= 0 ? sub_str(v, 0, str_at(v, s.precision)) : *v;
        if (s.kind && s.kind != 's') return FAIL(r, "Unknown format code '%c' for object of type 'str'", s.kind);
        if (s.zero && !*s.fill) s.fill[0] = '0';
        return s.align == '=' ? FAIL(r, "'=' alignment not allowed in string format specifier") : put_padded(r, b, &cut, &s, '<');
    }
    if (!is_number(v) || (v->kind == K_BOOL && !s.kind))
        return v->kind == K_BOOL ? put_str(r, b, v) : FAIL(r, "unsupported format string passed to %s.__format__", type_name(v));
    bool of_int_kind = s.kind && strchr("bcdoxX", s.kind);
    if (v->kind == K_FLOAT && of_int_kind) return FAIL(r, "Unknown format code '%c' for object of type 'float'", s.kind);
    if (v->kind == K_FLOAT || (s.kind && strchr("eEfFgG%", s.kind))) return put_float(r, b, as_float(v), &s);
    if (s.kind && !strchr("bdoxXn", s.kind)) return FAIL(r, "Unknown format code '%c' for object of type 'int'", s.kind);
    return put_int(r, b, v, &s);
}

struct braces { struct rt *r; const struct call *c; struct buf *b; int64_t next; };

/* name(.attr|[item])* of a field. */
static bool field_value(struct braces *f, const struct val *name, struct val *out)
{
    size_t i, n = 0;
    while (n < name->len && name->u.s[n] != '.' && name->u.s[n] != '[') n++;
    struct val first = sub_str(name, 0, n), key;
    int64_t at = 0;
    bool digits = n > 0;
    for (size_t k = 0; k < n; k++) {
        digits &= first.u.s[k] >= '0' && first.u.s[k] <= '9';
        at = MIN(at * 10 + (first.u.s[k] - '0'), (int64_t)1 << 30);
    }
    if (!n) at = f->next++;
    if (!n || digits) {
        if (at < 0 || at >= f->c->n) return FAIL(f->r, "Replacement index %lld out of range for positional args tuple", (long long)at);
        *out = f->c->pos[at];
    } else {
        bool found = false;
        for (uint32_t k = 0; k < f->c->n_kw && !found; k++)
            if (f->c->kw[k].name.len == n && !memcmp(f->c->kw[k].name.u.s, first.u.s, n)) *out = f->c->kw[k].v, found = true;
        if (!found) return FAIL(f->r, "format() has no argument '%.*s'", (int)MIN(n, (size_t)60), first.u.s);
    }
    for (i = n; i < name->len; i++) {
        bool item = name->u.s[i] == '[';
        size_t from = i + 1, to = from;
        while (to < name->len && (item ? name->u.s[to] != ']' : name->u.s[to] != '.' && name->u.s[to] != '[')) to++;
        key = sub_str(name, from, to);
        int64_t number = 0;
        bool is_number = item && key.len > 0 && key.len < 10;
        for (uint32_t k = 0; is_number && k < key.len; k++) {
            is_number = key.u.s[k] >= '0' && key.u.s[k] <= '9';
            number = number * 10 + key.u.s[k] - '0';
        }
        if (is_number) key = of_int(number);
        struct val on = *out;
        if (item ? !get_subscript(f->r, &on, &key, out) : !get_attr(f->r, &on, &key, out)) return false;
        i = item ? to : to - 1;
    }
    return true;
}

static bool braces(struct braces *f, const struct val *fmt, int depth);

static bool field(struct braces *f, const struct val *inside, int depth)
{
    const char *s = inside->u.s;
    size_t bang = 0, end = inside->len;
    for (bool item = false; bang < end && (item || (s[bang] != '!' && s[bang] != ':')); bang++)
        item = s[bang] == '[' || (item && s[bang] != ']');
    struct val name = sub_str(inside, 0, bang), v, text, spec;
    if (!field_value(f, &name, &v)) return false;
    if (bang < end && s[bang] == '!') {
        struct buf *b = buf_new(f->r, 64);
        if (bang + 1 >= end || !strchr("rsa", s[bang + 1])) return FAIL(f->r, "the conversions !r, !s and !a are accepted");
        if (s[bang + 1] == 's' ? !put_str(f->r, b, &v) : !put_repr(f->r, b, &v)) return false;
        v = buf_val(b, 0, b->len);
        bang += 2;
        if (bang < end && s[bang] != ':') return FAIL(f->r, "expected ':' after conversion specifier");
    }
    text = sub_str(inside, MIN(bang + 1, end), end);
    struct braces inner = { f->r, f->c, buf_new(f->r, text.len + 16), f->next };
    if (!braces(&inner, &text, depth + 1)) return false;
    f->next = inner.next;
    spec = buf_val(inner.b, 0, inner.b->len);
    return put_spec(f->r, f->b, &v, &spec);
}

static bool braces(struct braces *f, const struct val *fmt, int depth)
{
    const char *s = fmt->u.s;
    if (depth > 3) return FAIL(f->r, "Max string recursion exceeded");
    for (size_t i = 0; i < fmt->len;) {
        size_t to = i;
        while (to < fmt->len && s[to] != '{' && s[to] != '}') to++;
        struct val part = sub_str(fmt, i, to);
        if (!buf_str(f->r, f->b, &part)) return false;
        if ((i = to) >= fmt->len) break;
        if (i + 1 < fmt->len && s[i + 1] == s[i] && depth == 1) {
            if (!buf_put(f->r, f->b, s + i, 1, ours_at(fmt, i))) return false;
            i += 2;
            continue;
        }
        if (s[i] == '}') return FAIL(f->r, "Single '}' encountered in format string");
        int open = 1;
        for (to = i + 1; to < fmt->len && open; to++) open += s[to] == '{' ? 1 : s[to] == '}' ? -1 : 0;
        if (open) return FAIL(f->r, "expected '}' before end of string");
        struct val inside = sub_str(fmt, i + 1, to - 1);
        if (!steps(f->r, 1) || !field(f, &inside, depth)) return false;
        i = to;
    }
    return true;
}

bool format_braces(struct rt *r, const struct val *fmt, const struct call *c, struct val *out)
{
    struct braces f = { r, c, buf_new(r, fmt->len + 64), 0 };
    if (!braces(&f, fmt, 1)) return false;
    *out = buf_val(f.b, 0, f.b->len);
    return true;
}
