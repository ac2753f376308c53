/* jinja_filter.c -- filters on text and numbers, and the table of all filters. Those on sequences are
 * in jinja_list.c.
 *
 * Names, parameters and results are Jinja's, but for tojson, which is the one the transformers library
 * puts in its place: json.dumps with ensure_ascii=false, nothing escaped for HTML. Not here: random (a
 * prompt must not depend on chance), urlize and pprint. */
#include "text/jinja_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static const struct val *arg(const struct in *in, int i)
{
    return in->a[i].kind == K_MISSING ? NULL : &in->a[i];
}

static bool flag(const struct in *in, int i) { return arg(in, i) && truth(arg(in, i)); }

static bool int_arg(struct rt *r, const struct in *in, int i, int64_t without, int64_t *out)
{
    const struct val *v = arg(in, i);
    *out = without;
    if (v && v->kind == K_UNDEFINED) return undefined_fail(r, v);
    return !v || as_int(v, out) || FAIL(r, "'%s' object cannot be interpreted as an integer", type_name(v));
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool f_case(struct rt *r, struct in *in, int how, struct val *out)
{
    struct val s;
    return to_str(r, &in->self, &s) && str_case(r, &s, how, out);
}

static bool f_upper(struct rt *r, struct in *in, struct val *out) { return f_case(r, in, 'u', out); }
static bool f_lower(struct rt *r, struct in *in, struct val *out) { return f_case(r, in, 'l', out); }
static bool f_capitalize(struct rt *r, struct in *in, struct val *out) { return f_case(r, in, 'c', out); }
static bool f_string(struct rt *r, struct in *in, struct val *out) { return to_str(r, &in->self, out); }

static bool put_part(struct rt *r, struct buf *b, const struct val *s, size_t from, size_t to, int how)
{
    struct val part = sub_str(s, from, to), cased;
    return from == to || (str_case(r, &part, how, &cased) && buf_str(r, b, &cased));
}

/* Words begin behind blanks and any of -({[<. */
static bool f_title(struct rt *r, struct in *in, struct val *out)
{
    struct val s;
    bool begins = true;
    size_t from = 0;
    int n;
    if (!to_str(r, &in->self, &s)) return false;
    struct buf *b = buf_new(r, s.len + 8);
    for (size_t i = 0; i < s.len; i += (size_t)n) {
        int32_t cp = utf8_next(s.u.s + i, s.u.s + s.len, &n);
        bool apart = (cp > 0 && cp < 0x80 && strchr("-({[<", cp)) || is_python_space(cp);
        if (!apart && begins) {
            if (!put_part(r, b, &s, from, i, 'l') || !put_part(r, b, &s, i, i + (size_t)n, 'u')) return false;
            from = i + (size_t)n;
        }
        begins = apart;
    }
    if (!put_part(r, b, &s, from, s.len, 'l')) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool f_trim(struct rt *r, struct in *in, struct val *out)
{
    struct val s;
    return to_str(r, &in->self, &s) && str_strip(r, &s, arg(in, 0), 3, out);
}

static bool f_replace(struct rt *r, struct in *in, struct val *out)
{
    struct val s, old, to;
    int64_t count = -1;
    if (arg(in, 2) && in->a[2].kind != K_NONE && !int_arg(r, in, 2, -1, &count)) return false;
    return to_str(r, &in->self, &s) && to_str(r, &in->a[0], &old) && to_str(r, &in->a[1], &to) &&
           str_replace(r, &s, &old, &to, count < 0 ? -1 : count, out);
}

static bool f_center(struct rt *r, struct in *in, struct val *out)
{
    struct val s;
    int64_t width;
    return int_arg(r, in, 0, 80, &width) && to_str(r, &in->self, &s) && str_pad(r, &s, width, NULL, '^', out);
}

static bool put_indented(struct rt *r, struct buf *b, const struct val *lines, const struct val *by, bool first, bool blank)
{
    if (first && !buf_str(r, b, by)) return false;
    for (uint32_t i = 0; i < lines->len; i++) {
        const struct val *line = &lines->u.l->v[i];
        if (i && !buf_put(r, b, "\n", 1, false)) return false;
        if (i && (blank || line->len) && !buf_str(r, b, by)) return false;
        if (!buf_str(r, b, line)) return false;
    }
    return true;
}

static bool f_indent(struct rt *r, struct in *in, struct val *out)
{
    struct val by, lines, whole, space = of_text(" "), newline = of_text("\n");
    if (arg(in, 0) && is_str(arg(in, 0))) by = in->a[0];
    else {
        struct val width = arg(in, 0) ? in->a[0] : of_int(4);
        if (!op_binary(r, N_MUL, &space, &width, &by)) return false;
    }
    if (!op_binary(r, N_ADD, &in->self, &newline, &whole)) return false;
    if (!str_lines(r, &whole, false, &lines)) return false;
    struct buf *b = buf_new(r, whole.len + 64);
    if (!put_indented(r, b, &lines, &by, flag(in, 1), flag(in, 2))) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool f_truncate(struct rt *r, struct in *in, struct val *out)
{
    struct val s = in->self, end = arg(in, 2) ? in->a[2] : of_text("...");
    int64_t length, leeway, n, n_end;
    if (!int_arg(r, in, 0, 255, &length) || !int_arg(r, in, 3, 5, &leeway) || !length_of(r, &s, &n)) return false;
    if (!is_str(&end) || !is_str(&s)) return FAIL(r, "truncate takes a string, not %s", type_name(is_str(&s) ? &end : &s));
    n_end = str_chars(&end);
    if (length < n_end || leeway < 0)
        return FAIL(r, "truncate: expected length >= %lld and leeway >= 0", (long long)n_end);
    *out = s;
    if (n <= length + leeway) return true;
    struct val head = sub_str(&s, 0, str_at(&s, length - n_end));
    const char *blank = flag(in, 1) ? NULL : memrchr(head.u.s, ' ', head.len);
    if (blank) head = sub_str(&head, 0, (size_t)(blank - head.u.s));
    return concat(r, &head, &end, out);
}

static bool f_wordcount(struct rt *r, struct in *in, struct val *out)
{
    struct val s;
    int64_t words = 0;
    bool inside = false;
    int n;
    if (!to_str(r, &in->self, &s) || !steps(r, s.len / 4)) return false;
    for (size_t i = 0; i < s.len; i += (size_t)n) {
        int32_t cp = utf8_next(s.u.s + i, s.u.s + s.len, &n);
        bool word = cp >= 0 && cp_word((uint32_t)cp);
        words += word && !inside;
        inside = word;
    }
    *out = of_int(words);
    return true;
}

/* ---- wrapping: paragraphs one by one, lines filled with words, blanks around breaks dropped ---- */

struct wrap { struct rt *r; struct buf *b; const struct val *s, *sep; int64_t width, used; bool longs, hyphens, any; };

static int64_t chars_of(const struct wrap *w, size_t from, size_t to)
{
    struct val part = sub_str(w->s, from, to);
    return str_chars(&part);
}

static bool wrap_break(struct wrap *w)
{
    bool first = !w->any;
    w->any = true;
    w->used = 0;
    return first || buf_str(w->r, w->b, w->sep);
}

/* The end of the chunk at `from`: blanks, or a word up to a blank or behind a hyphen between letters. */
static size_t chunk_end(const struct wrap *w, size_t from, size_t end)
{
    const char *s = w->s->u.s;
    size_t i = from;
    if (s[i] == ' ' || s[i] == '\t') {
        while (i < end && (s[i] == ' ' || s[i] == '\t')) i++;
        return i;
    }
    for (; i < end && s[i] != ' ' && s[i] != '\t'; i++) {
        bool letters = i >= from + 2 && i + 2 < end && cp_alpha((uint8_t)s[i - 1]) && cp_alpha((uint8_t)s[i - 2]) &&
                       cp_alpha((uint8_t)s[i + 1]) && (cp_alpha((uint8_t)s[i + 2]) || s[i + 2] == '-');
        if (w->hyphens && s[i] == '-' && letters) return i + 1;
    }
    return i;
}

static bool wrap_put(struct wrap *w, size_t from, size_t to)
{
    struct val part = sub_str(w->s, from, to);
    w->used += str_chars(&part);
    return buf_str(w->r, w->b, &part);
}

static bool wrap_long(struct wrap *w, size_t from, size_t to)
{
    while (chars_of(w, from, to) > w->width - w->used) {
        if (!steps(w->r, 1 + (to - from) / 32)) return false;
        struct val rest = sub_str(w->s, from, to);
        size_t cut = from + str_at(&rest, w->width - w->used);
        if (!wrap_put(w, from, cut) || !wrap_break(w)) return false;
        from = cut;
    }
    return wrap_put(w, from, to);
}

static bool wrap_line(struct wrap *w, size_t from, size_t end)
{
    size_t blank_from = from, blank_to = from;            /* blanks not written yet */
    bool filled = false;
    if (!wrap_break(w)) return false;
    for (size_t i = from, to; i < end; i = to) {
        to = chunk_end(w, i, end);
        if (!steps(w->r, 1)) return false;
        const char c = w->s->u.s[i];
        if (c == ' ' || c == '\t') {
            blank_from = i, blank_to = to;
            if (filled || i != from) continue;
        }
        int64_t n = chars_of(w, i, to), blank = chars_of(w, blank_from, blank_to);
        if (filled && w->used + blank + n > w->width) {
            bool fits_none = n > w->width && w->longs;
            if (fits_none && w->used + blank < w->width && !wrap_put(w, blank_from, blank_to)) return false;
            if ((!fits_none || w->used >= w->width) && !wrap_break(w)) return false;
        } else if (filled && !wrap_put(w, blank_from, blank_to)) {
            return false;
        }
        blank_from = blank_to = to;
        if (n > w->width && w->longs ? !wrap_long(w, i, to) : !wrap_put(w, i, to)) return false;
        filled = true;
    }
    return true;
}

static bool f_wordwrap(struct rt *r, struct in *in, struct val *out)
{
    struct val lines, sep = arg(in, 2) && in->a[2].kind != K_NONE ? in->a[2] : of_text("\n"), text = sep;
    struct wrap w = { .r = r, .sep = &text, .longs = !arg(in, 1) || flag(in, 1), .hyphens = !arg(in, 3) || flag(in, 3) };
    if (!int_arg(r, in, 0, 79, &w.width)) return false;
    if (!is_str(&in->self) || !is_str(&sep)) return FAIL(r, "wordwrap takes a string, not %s", type_name(&in->self));
    if (w.width <= 0) return FAIL(r, "invalid width %lld (must be > 0)", (long long)w.width);
    if (!str_lines(r, &in->self, false, &lines)) return false;
    w.b = buf_new(r, in->self.len + 64);
    for (uint32_t i = 0; i < lines.len; i++) {
        w.s = &lines.u.l->v[i];
        if (!wrap_line(&w, 0, w.s->len)) return false;
    }
    *out = buf_val(w.b, 0, w.b->len);
    return true;
}

/* ---- HTML and URLs --------------------------------------------------------------------------- */

static bool f_escape(struct rt *r, struct in *in, struct val *out) { return escape_html(r, &in->self, out); }

static bool f_forceescape(struct rt *r, struct in *in, struct val *out)
{
    in->self.markup = false;
    return escape_html(r, &in->self, out);
}

static bool f_safe(struct rt *r, struct in *in, struct val *out)
{
    if (!to_str(r, &in->self, out)) return false;
    out->markup = true;
    return true;
}

static size_t entity(const struct val *s, size_t i, char out[4], int *n)
{
    static const struct { const char *name; char c; } named[] = { { "amp;", '&' }, { "lt;", '<' }, { "gt;", '>' }, { "quot;", '"' }, { "apos;", '\'' } };
    const char *p = s->u.s + i + 1;
    size_t left = s->len - i - 1;
    for (size_t k = 0; k < LEN(named); k++) {
        size_t len = strlen(named[k].name);
        if (left < len || memcmp(p, named[k].name, len)) continue;
        out[0] = named[k].c, *n = 1;
        return len + 1;
    }
    const char *end = left > 2 && *p == '#' ? memchr(p, ';', MIN(left, 9)) : NULL;
    if (!end) return 0;
    bool hex = p[1] == 'x' || p[1] == 'X';
    unsigned long cp = strtoul(p + 1 + hex, NULL, hex ? 16 : 10);
    if (!cp || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) return 0;
    *n = utf8_put(out, (uint32_t)cp);
    return (size_t)(end - p) + 2;
}

static size_t tag_length(const struct val *s, size_t i)
{
    bool comment = s->len - i >= 4 && !memcmp(s->u.s + i, "<!--", 4);
    const char *end = comment ? memmem(s->u.s + i + 4, s->len - i - 4, "-->", 3) : memchr(s->u.s + i, '>', s->len - i);
    return end ? (size_t)(end - s->u.s) + (comment ? 3 : 1) - i : 0;
}

static bool f_striptags(struct rt *r, struct in *in, struct val *out)
{
    struct val s, words, plain, space = of_text(" ");
    if (!to_str(r, &in->self, &s)) return false;
    struct buf *b = buf_new(r, s.len + 8), *text = buf_new(r, s.len + 8);
    for (size_t i = 0, skip; i < s.len; i += MAX(skip, (size_t)1)) {
        skip = s.u.s[i] == '<' ? tag_length(&s, i) : 0;
        if (!steps(r, s.u.s[i] == '<' ? 1 + (s.len - i) / 64 : 0) || (!skip && !buf_put(r, b, s.u.s + i, 1, ours_at(&s, i)))) return false;
    }
    struct val bare = buf_val(b, 0, b->len);
    struct call none = { 0 };
    if (!call_builtin(r, method_find(&bare, "split", 5), &bare, &none, &words) || !str_join(r, &space, &words, &plain)) return false;
    for (size_t i = 0, skip; i < plain.len; i += MAX(skip, (size_t)1)) {
        char utf8[4] = { plain.u.s[i] };
        int n = 1;
        skip = plain.u.s[i] == '&' ? entity(&plain, i, utf8, &n) : 0;
        if (!buf_put(r, text, utf8, (size_t)n, ours_at(&plain, i))) return false;
    }
    *out = buf_val(text, 0, text->len);
    return true;
}

static bool put_url(struct rt *r, struct buf *b, const struct val *v, bool query)
{
    struct val s;
    if (!to_str(r, v, &s) || !steps(r, s.len / 8)) return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.u.s[i];
        bool plain = (c < 0x80 && (cp_alpha(c) || (c >= '0' && c <= '9'))) || (c && strchr("_.-~", c)) || (c == '/' && !query);
        char code[4] = { (char)c };
        size_t n = 1;
        if (query && c == ' ') code[0] = '+';
        else if (!plain) n = (size_t)snprintf(code, sizeof code, "%%%02X", c);
        if (!buf_put(r, b, code, n, plain && ours_at(&s, i))) return false;
    }
    return true;
}

static bool f_urlencode(struct rt *r, struct in *in, struct val *out)
{
    struct buf *b = buf_new(r, 128);
    struct val pairs = in->self, list;
    struct call none = { 0 };
    if (is_str(&in->self) || !(has_length(&in->self) || in->self.kind == K_ITER)) {
        if (!put_url(r, b, &in->self, false)) return false;
    } else {
        if (pairs.kind == K_DICT && !call_builtin(r, method_find(&pairs, "items", 5), &in->self, &none, &pairs)) return false;
        if (!to_list(r, &pairs, &list)) return false;
        for (uint32_t i = 0; i < list.len; i++) {
            const struct val *p = &list.u.l->v[i];
            if (!is_seq(p) || p->len != 2) return FAIL(r, "urlencode takes a string, a mapping or a list of pairs");
            if (i && !buf_puts(r, b, "&")) return false;
            if (!put_url(r, b, &p->u.l->v[0], true) || !buf_puts(r, b, "=") || !put_url(r, b, &p->u.l->v[1], true)) return false;
        }
    }
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool f_xmlattr(struct rt *r, struct in *in, struct val *out)
{
    struct buf *b = buf_new(r, 128);
    if (in->self.kind != K_DICT) return FAIL(r, "xmlattr takes a mapping, not %s", type_name(&in->self));
    const struct dict *d = in->self.u.d;
    for (uint32_t i = 0; i < d->n; i++) {
        struct val k, v;
        if (d->e[i].value.kind == K_NONE || d->e[i].value.kind == K_UNDEFINED) continue;
        if (!is_str(&d->e[i].key)) return FAIL(r, "attribute names are strings");
        for (uint32_t c = 0; c < d->e[i].key.len; c++)
            if (strchr(" \t\n\r\f\v/>=", d->e[i].key.u.s[c])) return FAIL(r, "Invalid character in attribute name");
        bool space = b->len || !arg(in, 0) || flag(in, 0);
        if (!escape_html(r, &d->e[i].key, &k) || !escape_html(r, &d->e[i].value, &v) || (space && !buf_puts(r, b, " ")) ||
            !buf_str(r, b, &k) || !buf_puts(r, b, "=\"") || !buf_str(r, b, &v) || !buf_puts(r, b, "\""))
            return false;
    }
    *out = buf_val(b, 0, b->len);
    return true;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool f_abs(struct rt *r, struct in *in, struct val *out)
{
    if (in->self.kind == K_UNDEFINED) return undefined_fail(r, &in->self);
    if (!is_number(&in->self)) return FAIL(r, "bad operand type for abs(): '%s'", type_name(&in->self));
    return op_sign(r, as_float(&in->self) < 0, &in->self, out);
}

/* A Python float in text: blanks around it and single underscores are fine. */
static bool parse_float(const struct val *s, double *out)
{
    char text[400];
    size_t n = 0, from = 0, to = s->len;
    while (from < to && is_python_space((uint8_t)s->u.s[from])) from++;
    while (to > from && is_python_space((uint8_t)s->u.s[to - 1])) to--;
    if (to - from >= sizeof text || from == to) return false;
    for (size_t i = from; i < to; i++) {
        char c = s->u.s[i];
        bool between = i > from && i + 1 < to && s->u.s[i - 1] >= '0' && s->u.s[i - 1] <= '9' && s->u.s[i + 1] >= '0' && s->u.s[i + 1] <= '9';
        if (c == '_' && between) continue;
        if (!c || strchr("xXpP(", c)) return false;
        text[n++] = c;
    }
    text[n] = 0;
    char *end;
    *out = strtod(text, &end);
    return !*end && end != text;
}

static bool parse_int(const struct val *s, int base, int64_t *out)
{
    char text[80];
    size_t n = 0, from = 0, to = s->len;
    while (from < to && is_python_space((uint8_t)s->u.s[from])) from++;
    while (to > from && is_python_space((uint8_t)s->u.s[to - 1])) to--;
    if (to - from >= sizeof text) return false;
    for (size_t i = from; i < to; i++) {
        char c = s->u.s[i];
        if (c == '_' && i > from && i + 1 < to && s->u.s[i + 1] != '_') continue;
        text[n++] = c;
    }
    text[n] = 0;
    char *p = text, *end;
    if (*p == '+' || *p == '-') p++;
    char kind = *p == '0' ? (char)(p[1] | 32) : 0;
    int prefix = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (prefix && (base == prefix || base == 0)) p[0] = p[1] = '0', base = prefix;
    else if (prefix == 16 || !base) base = base ? base : 10;
    if (kind == 'x' && prefix != base) return false;
    errno = 0;
    *out = strtoll(text, &end, base);
    return n && !*end && end != text && !errno;
}

static bool whole(struct rt *r, double v, struct val *out)
{
    if (fabs(v) >= 9.2e18) return FAIL(r, "an integer leaves 64 bit");
    *out = of_int((int64_t)v);
    return true;
}

static bool f_int(struct rt *r, struct in *in, struct val *out)
{
    const struct val *v = &in->self;
    int64_t base, i;
    double d;
    if (!int_arg(r, in, 1, 10, &base)) return false;
    if (base && (base < 2 || base > 36)) base = 1;                    /* Python refuses it and so goes on */
    *out = arg(in, 0) ? in->a[0] : of_int(0);
    if (v->kind == K_UNDEFINED) return undefined_fail(r, v);
    if (v->kind == K_BIG || v->kind == K_INT) return *out = *v, true;
    if (as_int(v, &i)) return *out = of_int(i), true;
    if (v->kind == K_FLOAT) {
        if (isinf(v->u.f)) return FAIL(r, "cannot convert float infinity to integer");
        return isnan(v->u.f) || whole(r, v->u.f, out);
    }
    if (!is_str(v)) return true;
    if (base != 1 && parse_int(v, (int)base, &i)) return *out = of_int(i), true;
    return !parse_float(v, &d) || isnan(d) || isinf(d) || whole(r, d, out);
}

static bool f_float(struct rt *r, struct in *in, struct val *out)
{
    double d;
    if (in->self.kind == K_UNDEFINED) return undefined_fail(r, &in->self);
    *out = arg(in, 0) ? in->a[0] : of_float(0);
    if (is_number(&in->self)) *out = of_float(as_float(&in->self));
    else if (is_str(&in->self) && parse_float(&in->self, &d)) *out = of_float(d);
    return true;
}

static double round_float(double v, int64_t digits)
{
    char text[400];
    if (!isfinite(v) || digits > 300) return v;
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, v);
        return strtod(text, NULL);
    }
    double unit = pow(10, (double)MIN(-digits, 310));
    return nearbyint(v / unit) * unit;
}

static bool round_int(struct rt *r, int64_t v, int64_t digits, struct val *out)
{
    int64_t unit = 1;
    for (int64_t i = digits; i < 0; i++)
        if (__builtin_mul_overflow(unit, 10, &unit)) return *out = of_int(0), true;
    int64_t rest = v % unit;
    if (rest < 0) rest += unit;
    int64_t down = v - rest;
    bool up = rest * 2 > unit || (rest * 2 == unit && down / unit % 2 != 0);
    *out = of_int(up ? down + unit : down);
    return true;
}

static bool f_round(struct rt *r, struct in *in, struct val *out)
{
    const struct val *how = arg(in, 1);
    int64_t digits, i;
    if (how && !str_eq(how, "common") && !str_eq(how, "ceil") && !str_eq(how, "floor"))
        return FAIL(r, "method must be common, ceil or floor");
    if (in->self.kind == K_UNDEFINED) return undefined_fail(r, &in->self);
    if (!int_arg(r, in, 0, 0, &digits)) return false;
    if (!is_number(&in->self)) return FAIL(r, "type %s doesn't define __round__ method", type_name(&in->self));
    if (how && !str_eq(how, "common")) {
        double unit = pow(10, (double)digits), v = as_float(&in->self) * unit;
        *out = of_float((str_eq(how, "ceil") ? ceil(v) : floor(v)) / unit);
        return true;
    }
    if (in->self.kind == K_BIG) return *out = in->self, true;
    if (as_int(&in->self, &i)) return round_int(r, i, digits, out);
    *out = of_float(round_float(in->self.u.f, digits));
    return true;
}

static bool f_filesizeformat(struct rt *r, struct in *in, struct val *out)
{
    static const char *const prefix[2][8] = { { "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" },
                                              { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" } };
    struct in as_number = { .self = in->self };
    struct val v;
    if (!is_number(&in->self) && !is_str(&in->self)) return FAIL(r, "filesizeformat takes a number, not %s", type_name(&in->self));
    if (!f_float(r, &as_number, &v)) return false;
    double bytes = v.u.f, base = flag(in, 0) ? 1024 : 1000, unit = base;
    char text[80];
    int i = 0;
    if (bytes == 1) snprintf(text, sizeof text, "1 Byte");
    else if (bytes < base) snprintf(text, sizeof text, "%lld Bytes", (long long)bytes);
    else {
        for (unit = base * base; i < 7 && bytes >= unit; i++) unit *= base;
        snprintf(text, sizeof text, "%.1f %s", base * bytes / unit, prefix[flag(in, 0)][i]);
    }
    struct buf *b = buf_new(r, sizeof text);
    if (!buf_puts(r, b, text)) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

/* ---- anything -------------------------------------------------------------------------------- */

static bool f_default(struct rt *r, struct in *in, struct val *out)
{
    bool use = in->self.kind == K_UNDEFINED || (flag(in, 1) && !truth(&in->self));
    *out = !use ? in->self : arg(in, 0) ? in->a[0] : of_text("");
    return true;
}

static bool f_attr(struct rt *r, struct in *in, struct val *out)
{
    bool found = false;
    if (!is_str(&in->a[0])) return FAIL(r, "attribute name must be string, not '%s'", type_name(&in->a[0]));
    if (in->self.kind == K_UNDEFINED) return undefined_fail(r, &in->self);
    if (!find_attr(r, &in->self, &in->a[0], out, &found)) return false;
    if (!found) *out = undefined_of(r, &in->self, (struct bytes){ in->a[0].u.s, in->a[0].len });
    return true;
}

static bool f_format(struct rt *r, struct in *in, struct val *out)
{
    struct val s, with;
    const struct call *c = in->call;
    if (c->n && c->n_kw) return FAIL(r, "can't handle positional and keyword arguments at the same time");
    if (!to_str(r, &in->self, &s)) return false;
    if (c->n_kw) {
        struct dict *d = dict_new(r);
        for (uint32_t i = 0; i < c->n_kw; i++)
            if (!dict_put(r, d, c->kw[i].name, c->kw[i].v)) return false;
        with = (struct val){ .kind = K_DICT, .u.d = d };
    } else {
        if (!list_new(r, c->n, &with)) return false;
        for (uint32_t i = 0; i < c->n; i++)
            if (!list_put(r, &with, c->pos[i])) return false;
        with.kind = K_TUPLE;
    }
    return format_percent(r, &s, &with, out);
}

static bool separators(struct rt *r, const struct val *v, struct dump *d)
{
    if (!is_seq(v) || v->len != 2 || !is_str(&v->u.l->v[0]) || !is_str(&v->u.l->v[1]))
        return FAIL(r, "separators: a pair of strings is accepted, (\", \", \": \") for example");
    d->item_sep = v->u.l->v[0];
    d->key_sep = v->u.l->v[1];
    return true;
}

static bool f_tojson(struct rt *r, struct in *in, struct val *out)
{
    const struct val *indent = arg(in, 1), *sep = arg(in, 2);
    struct dump d = { .ascii = flag(in, 0), .sort = flag(in, 3), .indent = NONE };
    struct val space = of_bytes(" ", 1, THEIRS);
    bool lines = indent && indent->kind != K_NONE;
    if (lines && is_str(indent)) d.indent = *indent;
    else if (lines && !op_binary(r, N_MUL, &space, indent, &d.indent)) return false;
    d.item_sep = of_bytes(", ", lines ? 1 : 2, THEIRS);
    d.key_sep = of_bytes(": ", 2, THEIRS);
    if (sep && sep->kind != K_NONE && !separators(r, sep, &d)) return false;
    struct buf *b = buf_new(r, 256);
    if (!put_json(r, b, &in->self, &d)) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool f_refused(struct rt *r, struct in *in, struct val *out)
{
    return FAIL(r, "the filters random, urlize and pprint are not supported in prompts");
}

const struct builtin *filter_find(const char *s, size_t len)
{
    static const struct builtin table[] = {
        { "abs", f_abs, "" }, { "attr", f_attr, "name" }, { "capitalize", f_capitalize, "" }, { "center", f_center, "?width" },
        { "d", f_default, "?default_value,boolean" }, { "default", f_default, "?default_value,boolean" },
        { "e", f_escape, "" }, { "escape", f_escape, "" }, { "filesizeformat", f_filesizeformat, "?binary" },
        { "float", f_float, "?default" }, { "forceescape", f_forceescape, "" }, { "format", f_format, "*" },
        { "indent", f_indent, "?width,first,blank" }, { "int", f_int, "?default,base" }, { "lower", f_lower, "" },
        { "pprint", f_refused, "" }, { "random", f_refused, "" }, { "replace", f_replace, "old,new,?count" },
        { "round", f_round, "?precision,method" }, { "safe", f_safe, "" }, { "string", f_string, "" },
        { "striptags", f_striptags, "" }, { "title", f_title, "" },
        { "tojson", f_tojson, "?ensure_ascii,indent,separators,sort_keys" }, { "trim", f_trim, "?chars" },
        { "truncate", f_truncate, "?length,killwords,end,leeway" }, { "upper", f_upper, "" }, { "urlencode", f_urlencode, "" },
        { "urlize", f_refused, "*" }, { "wordcount", f_wordcount, "" },
        { "wordwrap", f_wordwrap, "?width,break_long_words,wrapstring,break_on_hyphens" }, { "xmlattr", f_xmlattr, "?autospace" },
    };
    for (size_t i = 0; i < LEN(table); i++)
        if (strlen(table[i].name) == len && !memcmp(table[i].name, s, len)) return &table[i];
    return list_filter_find(s, len);
}
