/* jinja_method.c -- methods of strings, lists, dictionaries and the rest: what a template may call with
 * a dot. Those that would change a value are not there (jinja_eval.c says so).
 *
 * Positions count characters, as in Python; inside, all is bytes. Every result keeps whose bytes it is
 * made of: cuts are parts of the string, the rest is built piece by piece. */
#include "text/jinja_int.h"

#include <math.h>

static const struct val *arg(const struct in *in, int i)
{
    return in->a[i].kind == K_MISSING ? NULL : &in->a[i];
}

static bool need_str(struct rt *r, const struct val *v, const char *what)
{
    if (v->kind == K_UNDEFINED) return undefined_fail(r, v);
    return v->kind == K_STR || FAIL(r, "%s must be str, not %s", what, type_name(v));
}

static bool int_or(struct rt *r, const struct val *v, int64_t without, int64_t *out)
{
    *out = without;
    if (!v || v->kind == K_NONE) return true;
    if (v->kind == K_UNDEFINED) return undefined_fail(r, v);
    return as_int(v, out) || FAIL(r, "'%s' object cannot be interpreted as an integer", type_name(v));
}

/* ---- looking --------------------------------------------------------------------------------- */

bool str_find(const struct val *s, const struct val *part, size_t from, size_t to, size_t *at)
{
    if (from > to || part->len > to - from) return false;
    const char *p = part->len ? memmem(s->u.s + from, to - from, part->u.s, part->len) : s->u.s + from;
    if (!p) return false;
    *at = (size_t)(p - s->u.s);
    return true;
}

static bool rfind(const struct val *s, const struct val *part, size_t from, size_t to, size_t *at)
{
    if (from > to || part->len > to - from) return false;
    for (size_t i = to - part->len + 1; i-- > from;)
        if (!memcmp(s->u.s + i, part->u.s, part->len)) {
            *at = i;
            return true;
        }
    return false;
}

/* Bytes between the characters start and end; false in *fits: start lies behind the end. */
static bool bounds(struct rt *r, const struct val *s, const struct val *start, const struct val *end, size_t *from, size_t *to,
                   bool *fits)
{
    int64_t n = str_chars(s), a, b;
    if (!steps(r, s->len / 16) || !int_or(r, start, 0, &a) || !int_or(r, end, n, &b)) return false;
    if (a < 0) a = MAX(a + n, 0);
    if (b < 0) b = MAX(b + n, 0);
    b = MIN(b, n);
    *fits = a <= b;
    *from = str_at(s, a);
    *to = str_at(s, b);
    return true;
}

static bool find_any(struct rt *r, struct in *in, bool last, bool must, struct val *out)
{
    size_t from, to, at = 0;
    bool fits;
    const struct val *s = &in->self;
    if (!need_str(r, &in->a[0], "what is looked for") || !bounds(r, s, arg(in, 1), arg(in, 2), &from, &to, &fits)) return false;
    bool found = fits && (last ? rfind(s, &in->a[0], from, to, &at) : str_find(s, &in->a[0], from, to, &at));
    if (!found && must) return FAIL(r, "substring not found");
    struct val before = sub_str(s, 0, at);
    *out = of_int(found ? str_chars(&before) : -1);
    return true;
}

static bool m_find(struct rt *r, struct in *in, struct val *out) { return find_any(r, in, false, false, out); }
static bool m_rfind(struct rt *r, struct in *in, struct val *out) { return find_any(r, in, true, false, out); }
static bool m_index(struct rt *r, struct in *in, struct val *out) { return find_any(r, in, false, true, out); }
static bool m_rindex(struct rt *r, struct in *in, struct val *out) { return find_any(r, in, true, true, out); }

static bool m_count(struct rt *r, struct in *in, struct val *out)
{
    size_t from, to, at;
    bool fits;
    int64_t n = 0;
    const struct val *s = &in->self, *part = &in->a[0];
    if (!need_str(r, part, "what is counted") || !bounds(r, s, arg(in, 1), arg(in, 2), &from, &to, &fits)) return false;
    if (!part->len) {
        struct val between = sub_str(s, from, to);
        *out = of_int(fits ? str_chars(&between) + 1 : 0);
        return true;
    }
    for (; fits && str_find(s, part, from, to, &at); from = at + part->len) n++;
    *out = of_int(n);
    return true;
}

static bool affix(const struct val *s, size_t from, size_t to, const struct val *x, bool end)
{
    return x->len <= to - from && !memcmp(s->u.s + (end ? to - x->len : from), x->u.s, x->len);
}

static bool has_affix(struct rt *r, struct in *in, bool end, struct val *out)
{
    size_t from, to;
    bool fits, yes = false;
    const struct val *x = &in->a[0];
    if (!bounds(r, &in->self, arg(in, 1), arg(in, 2), &from, &to, &fits)) return false;
    if (x->kind == K_TUPLE) {
        for (uint32_t i = 0; i < x->len; i++) {
            if (!need_str(r, &x->u.l->v[i], "each of the tuple")) return false;
            yes |= fits && affix(&in->self, from, to, &x->u.l->v[i], end);
        }
    } else {
        if (!need_str(r, x, end ? "the end" : "the beginning")) return false;
        yes = fits && affix(&in->self, from, to, x, end);
    }
    *out = of_bool(yes);
    return true;
}

static bool m_startswith(struct rt *r, struct in *in, struct val *out) { return has_affix(r, in, false, out); }
static bool m_endswith(struct rt *r, struct in *in, struct val *out) { return has_affix(r, in, true, out); }

static bool m_removeprefix(struct rt *r, struct in *in, struct val *out)
{
    const struct val *s = &in->self;
    if (!need_str(r, &in->a[0], "the prefix")) return false;
    *out = affix(s, 0, s->len, &in->a[0], false) ? sub_str(s, in->a[0].len, s->len) : *s;
    return true;
}

static bool m_removesuffix(struct rt *r, struct in *in, struct val *out)
{
    const struct val *s = &in->self;
    if (!need_str(r, &in->a[0], "the suffix")) return false;
    *out = affix(s, 0, s->len, &in->a[0], true) ? sub_str(s, 0, s->len - in->a[0].len) : *s;
    return true;
}

/* ---- stripping ------------------------------------------------------------------------------- */

static bool strips(int32_t cp, const char *at, int n, const struct val *chars)
{
    if (!chars) return cp >= 0 && is_python_space(cp);
    for (uint32_t i = 0; i < chars->len;) {
        int k = 1;
        utf8_next(chars->u.s + i, chars->u.s + chars->len, &k);
        if (k == n && !memcmp(chars->u.s + i, at, (size_t)n)) return true;
        i += (uint32_t)k;
    }
    return false;
}

bool str_strip(struct rt *r, const struct val *s, const struct val *chars, int ends, struct val *out)
{
    const char *p = s->u.s, *end = p + s->len, *last;
    int n = 1;
    if (chars && chars->kind == K_NONE) chars = NULL;
    if (chars && !need_str(r, chars, "strip arg")) return false;
    while (ends & 1 && p < end) {
        int32_t cp = utf8_next(p, end, &n);
        if (!strips(cp, p, n, chars)) break;
        p += n;
    }
    while (ends & 2 && end > p) {
        for (last = end - 1; last > p && (*last & 0xc0) == 0x80;) last--;
        int32_t cp = utf8_next(last, end, &n);
        if (!strips(cp, last, (int)(end - last), chars)) break;
        end = last;
    }
    *out = sub_str(s, (size_t)(p - s->u.s), (size_t)(end - s->u.s));
    return steps(r, (s->len - out->len) / 16);
}

static bool m_strip(struct rt *r, struct in *in, struct val *out) { return str_strip(r, &in->self, arg(in, 0), 3, out); }
static bool m_lstrip(struct rt *r, struct in *in, struct val *out) { return str_strip(r, &in->self, arg(in, 0), 1, out); }
static bool m_rstrip(struct rt *r, struct in *in, struct val *out) { return str_strip(r, &in->self, arg(in, 0), 2, out); }

/* ---- cutting --------------------------------------------------------------------------------- */

static bool put_cut(struct rt *r, struct val *list, const struct val *s, size_t from, size_t to)
{
    return steps(r, 1) && list_put(r, list, sub_str(s, from, to));
}

static bool split_blanks(struct rt *r, const struct val *s, int64_t most, struct val *out)
{
    size_t i = 0;
    int n = 1;
    while (i < s->len) {
        while (i < s->len && is_python_space(utf8_next(s->u.s + i, s->u.s + s->len, &n))) i += (size_t)n;
        size_t from = i;
        if (from >= s->len) break;
        if (!most--) return put_cut(r, out, s, from, s->len);
        while (i < s->len && !is_python_space(utf8_next(s->u.s + i, s->u.s + s->len, &n))) i += (size_t)n;
        if (!put_cut(r, out, s, from, i)) return false;
    }
    return true;
}

static bool split_at(struct rt *r, const struct val *s, const struct val *sep, int64_t most, struct val *out)
{
    size_t from = 0, at;
    while (most-- && str_find(s, sep, from, s->len, &at)) {
        if (!put_cut(r, out, s, from, at)) return false;
        from = at + sep->len;
    }
    return put_cut(r, out, s, from, s->len);
}

static void turn_round(struct val *list)
{
    for (uint32_t i = 0, k = list->len; i + 1 < k; i++) {
        struct val v = list->u.l->v[i];
        list->u.l->v[i] = list->u.l->v[--k];
        list->u.l->v[k] = v;
    }
}

static bool rsplit_blanks(struct rt *r, const struct val *s, int64_t most, struct val *out)
{
    struct val rest;
    for (size_t end = s->len; end; ) {
        struct val head = sub_str(s, 0, end);
        if (!str_strip(r, &head, NULL, 2, &rest)) return false;
        if (!rest.len) break;
        size_t from = rest.len;
        if (!most--) {
            if (!list_put(r, out, rest)) return false;
            break;
        }
        while (from) {
            size_t last = from - 1;
            int n;
            while (last && (s->u.s[last] & 0xc0) == 0x80) last--;
            if (is_python_space(utf8_next(s->u.s + last, s->u.s + from, &n))) break;
            from = last;
        }
        if (!put_cut(r, out, s, from, rest.len)) return false;
        end = from;
    }
    turn_round(out);
    return true;
}

static bool rsplit_at(struct rt *r, const struct val *s, const struct val *sep, int64_t most, struct val *out)
{
    size_t to = s->len, at;
    while (most-- && rfind(s, sep, 0, to, &at)) {
        if (!put_cut(r, out, s, at + sep->len, to)) return false;
        to = at;
    }
    if (!put_cut(r, out, s, 0, to)) return false;
    turn_round(out);
    return true;
}

static bool split_any(struct rt *r, struct in *in, bool right, struct val *out)
{
    const struct val *sep = arg(in, 0);
    int64_t most;
    if (sep && sep->kind == K_NONE) sep = NULL;
    if (sep && !need_str(r, sep, "the separator")) return false;
    if (sep && !sep->len) return FAIL(r, "empty separator");
    if (!int_or(r, arg(in, 1), -1, &most) || !list_new(r, 8, out)) return false;
    if (most < 0) most = INT64_MAX;
    if (!steps(r, in->self.len / 32)) return false;
    if (!sep) return right ? rsplit_blanks(r, &in->self, most, out) : split_blanks(r, &in->self, most, out);
    return right ? rsplit_at(r, &in->self, sep, most, out) : split_at(r, &in->self, sep, most, out);
}

static bool m_split(struct rt *r, struct in *in, struct val *out) { return split_any(r, in, false, out); }
static bool m_rsplit(struct rt *r, struct in *in, struct val *out) { return split_any(r, in, true, out); }

static bool is_line_end(int32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool str_lines(struct rt *r, const struct val *s, bool keep, struct val *out)
{
    if (!list_new(r, 8, out) || !steps(r, s->len / 16)) return false;
    for (size_t from = 0, i = 0; i < s->len;) {
        int n = 1;
        int32_t cp = 0;
        while (i < s->len && !is_line_end(cp = utf8_next(s->u.s + i, s->u.s + s->len, &n))) i += (size_t)n;
        size_t to = i;
        if (i < s->len) i += (size_t)n;
        if (cp == '\r' && i < s->len && s->u.s[i] == '\n') i++;
        if (!put_cut(r, out, s, from, keep ? i : to)) return false;
        from = i;
    }
    return true;
}

static bool m_splitlines(struct rt *r, struct in *in, struct val *out)
{
    return str_lines(r, &in->self, arg(in, 0) && truth(arg(in, 0)), out);
}

static bool part_any(struct rt *r, struct in *in, bool right, struct val *out)
{
    const struct val *s = &in->self, *sep = &in->a[0];
    size_t at;
    if (!need_str(r, sep, "the separator")) return false;
    if (!sep->len) return FAIL(r, "empty separator");
    bool found = right ? rfind(s, sep, 0, s->len, &at) : str_find(s, sep, 0, s->len, &at);
    if (!list_new(r, 3, out)) return false;
    struct val none = of_text("");
    struct val three[3] = { *s, none, none };
    if (found) three[0] = sub_str(s, 0, at), three[1] = sub_str(s, at, at + sep->len), three[2] = sub_str(s, at + sep->len, s->len);
    else if (right) three[0] = none, three[2] = *s;
    for (int i = 0; i < 3; i++) list_put(r, out, three[i]);
    out->kind = K_TUPLE;
    return true;
}

static bool m_partition(struct rt *r, struct in *in, struct val *out) { return part_any(r, in, false, out); }
static bool m_rpartition(struct rt *r, struct in *in, struct val *out) { return part_any(r, in, true, out); }

/* ---- making ---------------------------------------------------------------------------------- */

bool str_replace(struct rt *r, const struct val *s, const struct val *old, const struct val *to, int64_t count, struct val *out)
{
    if (!old->len && count) {                             /* between all characters */
        struct buf *b = buf_new(r, s->len * 2 + 16);
        for (size_t i = 0; i <= s->len;) {
            int n = 1;
            if (count && count-- && !buf_str(r, b, to)) return false;
            if (i < s->len) utf8_next(s->u.s + i, s->u.s + s->len, &n);
            struct val ch = i < s->len ? sub_str(s, i, i + (size_t)n) : of_text("");
            if (!steps(r, 1) || !buf_str(r, b, &ch)) return false;
            i += (size_t)n;
        }
        *out = buf_val(b, 0, b->len);
        return true;
    }
    size_t from = 0, at;
    struct buf *b = NULL;
    if (!steps(r, s->len / 32)) return false;
    while (count-- && str_find(s, old, from, s->len, &at)) {
        struct val before = sub_str(s, from, at);
        if (!b) b = buf_new(r, s->len + 16);
        if (!steps(r, 1) || !buf_str(r, b, &before) || !buf_str(r, b, to)) return false;
        from = at + old->len;
    }
    struct val rest = sub_str(s, from, s->len);
    *out = *s;
    if (!b) return true;
    if (!buf_str(r, b, &rest)) return false;
    *out = buf_val(b, 0, b->len);
    out->markup = s->markup;
    return true;
}

static bool m_replace(struct rt *r, struct in *in, struct val *out)
{
    int64_t count;
    if (!need_str(r, &in->a[0], "what is replaced") || !need_str(r, &in->a[1], "what replaces it")) return false;
    return int_or(r, arg(in, 2), -1, &count) && str_replace(r, &in->self, &in->a[0], &in->a[1], count, out);
}

/* Σ at the end of a word is ς. */
static bool ends_word(const struct val *s, size_t at, size_t next)
{
    int n;
    bool before = false;
    for (size_t i = at; i && !before;) {
        do i--;
        while (i && (s->u.s[i] & 0xc0) == 0x80);
        int32_t cp = utf8_next(s->u.s + i, s->u.s + at, &n);
        if (cp == '\'' || cp == '.' || cp == ':') continue;
        if (!(before = cp >= 0 && cp_cased((uint32_t)cp))) return false;
    }
    if (!before) return false;
    for (size_t i = next; i < s->len; i += (size_t)n) {
        int32_t cp = utf8_next(s->u.s + i, s->u.s + s->len, &n);
        if (cp == '\'' || cp == '.' || cp == ':') continue;
        return cp < 0 || !cp_cased((uint32_t)cp);
    }
    return true;
}

static int map_case(const struct val *s, size_t at, size_t next, uint32_t cp, int how, uint32_t out[3])
{
    if (how == 'u') return cp_upper(cp, out);
    if (how == 't') return cp_title(cp, out);
    if (how == 'f' && (cp == 0xdf || cp == 0x1e9e)) return out[0] = out[1] = 's', 2;
    if (cp == 0x3a3 && how == 'l') return out[0] = ends_word(s, at, next) ? 0x3c2 : 0x3c3, 1;
    if (cp == 0x3c2 && how == 'f') return out[0] = 0x3c3, 1;
    return cp_lower(cp, out);
}

bool str_case(struct rt *r, const struct val *s, int how, struct val *out)
{
    struct buf *b = buf_new(r, s->len + 8);
    bool in_word = false;
    int n;
    if (!steps(r, s->len / 4)) return false;
    for (size_t i = 0; i < s->len; i += (size_t)n) {
        int32_t cp = utf8_next(s->u.s + i, s->u.s + s->len, &n);
        uint32_t to[3];
        char utf8[12];
        size_t len = 0;
        if (cp < 0) cp = 0xfffd;
        int one = how;
        if (how == 'c') one = i ? 'l' : 't';
        if (how == 't') one = in_word ? 'l' : 't';
        if (how == 's') one = cp_upper_is((uint32_t)cp) ? 'l' : 'u';
        if (how == 't') in_word = cp_cased((uint32_t)cp);
        int k = map_case(s, i, i + (size_t)n, (uint32_t)cp, one, to);
        for (int j = 0; j < k; j++) len += (size_t)utf8_put(utf8 + len, to[j]);
        if (!buf_put(r, b, utf8, len, ours_at(s, i))) return false;
    }
    *out = buf_val(b, 0, b->len);
    out->markup = s->markup;
    return true;
}

static bool m_upper(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 'u', out); }
static bool m_lower(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 'l', out); }
static bool m_title(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 't', out); }
static bool m_capitalize(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 'c', out); }
static bool m_swapcase(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 's', out); }
static bool m_casefold(struct rt *r, struct in *in, struct val *out) { return str_case(r, &in->self, 'f', out); }

static bool fill_with(struct rt *r, struct buf *b, const struct val *fill, int64_t n)
{
    if (n > 0 && (uint64_t)n > r->most) return room(r, SIZE_MAX);
    for (; n > 0; n--)
        if (!(fill ? buf_str(r, b, fill) : buf_put(r, b, " ", 1, false))) return false;
    return true;
}

bool str_pad(struct rt *r, const struct val *s, int64_t width, const struct val *fill, int how, struct val *out)
{
    int64_t n = str_chars(s), missing = width > n ? width - n : 0;
    int64_t left = how == '<' ? 0 : how == '>' ? missing : missing / 2 + (missing & width & 1);
    if (fill && (!need_str(r, fill, "the fill character") || str_chars(fill) != 1))
        return FAIL(r, "The fill character must be exactly one character long");
    *out = *s;
    if (!missing) return true;
    if (!steps(r, (uint64_t)missing / 16) || !room(r, (size_t)MIN(missing, (int64_t)r->most) + s->len)) return false;
    struct buf *b = buf_new(r, s->len + 16);
    if (!fill_with(r, b, fill, left) || !buf_str(r, b, s) || !fill_with(r, b, fill, missing - left)) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool pad_any(struct rt *r, struct in *in, int how, struct val *out)
{
    int64_t width;
    return int_or(r, &in->a[0], 0, &width) && str_pad(r, &in->self, width, arg(in, 1), how, out);
}

static bool m_center(struct rt *r, struct in *in, struct val *out) { return pad_any(r, in, '^', out); }
static bool m_ljust(struct rt *r, struct in *in, struct val *out) { return pad_any(r, in, '<', out); }
static bool m_rjust(struct rt *r, struct in *in, struct val *out) { return pad_any(r, in, '>', out); }

static bool m_zfill(struct rt *r, struct in *in, struct val *out)
{
    int64_t width;
    const struct val *s = &in->self;
    struct val zero = of_text("0"), sign = sub_str(s, 0, s->len && (s->u.s[0] == '-' || s->u.s[0] == '+')), digits, padded;
    if (!int_or(r, &in->a[0], 0, &width)) return false;
    digits = sub_str(s, sign.len, s->len);
    return str_pad(r, &digits, width - sign.len, &zero, '>', &padded) && concat(r, &sign, &padded, out);
}

static bool m_expandtabs(struct rt *r, struct in *in, struct val *out)
{
    int64_t size, column = 0;
    if (!int_or(r, arg(in, 0), 8, &size)) return false;
    struct buf *b = buf_new(r, in->self.len + 16);
    size = MIN(size, 1000);
    for (size_t i = 0; i < in->self.len; i++) {
        char c = in->self.u.s[i];
        int64_t n = c != '\t' ? 0 : size > 0 ? size - column % size : 0;
        if (!steps(r, 1)) return false;
        if (c == '\t' ? !fill_with(r, b, NULL, n) : !buf_put(r, b, &c, 1, ours_at(&in->self, i))) return false;
        if (c == '\n' || c == '\r') column = 0;
        else column += c == '\t' ? n : (c & 0xc0) != 0x80;
    }
    *out = buf_val(b, 0, b->len);
    return true;
}

/* Takes str or turns it into one if `any`. */
static bool join_items(struct rt *r, const struct val *sep, const struct val *over, bool any, struct val *out)
{
    struct iter it;
    struct val item, text;
    struct buf *b = buf_new(r, 128);
    bool end;
    if (!iter_open(r, over, &it)) return false;
    for (int64_t i = 0; iter_next(r, &it, &item, &end) && !end; i++) {
        if (i && !buf_str(r, b, sep)) return false;
        if (!any && !is_str(&item)) {
            if (item.kind == K_UNDEFINED) return undefined_fail(r, &item);
            return FAIL(r, "sequence item %lld: expected str instance, %s found", (long long)i, type_name(&item));
        }
        if (!to_str(r, &item, &text) || !buf_str(r, b, &text)) return false;
    }
    *out = buf_val(b, 0, b->len);
    return !r->failed;
}

bool str_join(struct rt *r, const struct val *sep, struct val *list, struct val *out)
{
    return join_items(r, sep, list, true, out);
}

static bool m_join(struct rt *r, struct in *in, struct val *out) { return join_items(r, &in->self, &in->a[0], false, out); }
static bool m_format(struct rt *r, struct in *in, struct val *out) { return format_braces(r, &in->self, in->call, out); }

/* ---- asking ---------------------------------------------------------------------------------- */

static bool all(struct rt *r, const struct val *s, bool (*is)(uint32_t cp), struct val *out)
{
    bool yes = s->len > 0;
    int n;
    for (size_t i = 0; yes && i < s->len; i += (size_t)n) {
        int32_t cp = utf8_next(s->u.s + i, s->u.s + s->len, &n);
        yes = cp >= 0 && is((uint32_t)cp);
    }
    *out = of_bool(yes);
    return steps(r, s->len / 8);
}

static bool is_space(uint32_t cp) { return is_python_space((int32_t)cp); }
static bool is_alnum(uint32_t cp) { return cp != '_' && cp_word(cp); }
static bool is_ascii(uint32_t cp) { return cp < 0x80; }
static bool m_isalpha(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, cp_alpha, out); }
static bool m_isalnum(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, is_alnum, out); }
static bool m_isdecimal(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, cp_decimal, out); }
static bool m_isdigit(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, cp_digit, out); }
static bool m_isnumeric(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, cp_numeric, out); }
static bool m_isspace(struct rt *r, struct in *in, struct val *out) { return all(r, &in->self, is_space, out); }

static bool m_isprintable(struct rt *r, struct in *in, struct val *out)
{
    return all(r, &in->self, cp_printable, out) && (*out = of_bool(out->u.b || !in->self.len), true);
}

static bool m_isascii(struct rt *r, struct in *in, struct val *out)
{
    return all(r, &in->self, is_ascii, out) && (*out = of_bool(out->u.b || !in->self.len), true);
}

static bool m_isidentifier(struct rt *r, struct in *in, struct val *out)
{
    return all(r, &in->self, cp_word, out) &&
           (*out = of_bool(out->u.b && !(in->self.u.s[0] >= '0' && in->self.u.s[0] <= '9')), true);
}

/* Has letters with case, and all of them are of this one. */
static bool one_case(struct rt *r, const struct val *s, bool (*is)(uint32_t cp), struct val *out)
{
    bool yes = true, any = false;
    int n;
    for (size_t i = 0; yes && i < s->len; i += (size_t)n) {
        int32_t cp = utf8_next(s->u.s + i, s->u.s + s->len, &n);
        bool cased = cp >= 0 && cp_cased((uint32_t)cp);
        any |= cased;
        yes = !cased || is((uint32_t)cp);
    }
    *out = of_bool(yes && any);
    return steps(r, s->len / 8);
}

static bool m_isupper(struct rt *r, struct in *in, struct val *out) { return one_case(r, &in->self, cp_upper_is, out); }
static bool m_islower(struct rt *r, struct in *in, struct val *out) { return one_case(r, &in->self, cp_lower_is, out); }

static bool m_istitle(struct rt *r, struct in *in, struct val *out)
{
    bool yes = true, any = false, in_word = false;
    int n;
    for (size_t i = 0; yes && i < in->self.len; i += (size_t)n) {
        int32_t cp = utf8_next(in->self.u.s + i, in->self.u.s + in->self.len, &n);
        bool cased = cp >= 0 && cp_cased((uint32_t)cp);
        if (cased) yes = in_word ? !cp_upper_is((uint32_t)cp) : !cp_lower_is((uint32_t)cp);
        any |= cased;
        in_word = cased;
    }
    *out = of_bool(yes && any);
    return steps(r, in->self.len / 8);
}

/* ---- lists, dictionaries and the rest ---------------------------------------------------------- */

static bool l_count(struct rt *r, struct in *in, struct val *out)
{
    struct iter it;
    struct val item;
    int64_t n = 0;
    bool end, same;
    if (!iter_open(r, &in->self, &it)) return false;
    while (iter_next(r, &it, &item, &end) && !end) {
        if (!equal(r, &item, &in->a[0], &same)) return false;
        n += same;
    }
    *out = of_int(n);
    return !r->failed;
}

static bool l_index(struct rt *r, struct in *in, struct val *out)
{
    struct iter it;
    struct val item;
    int64_t n, from, to, i = 0;
    bool end, same;
    if (!length_of(r, &in->self, &n) || !int_or(r, arg(in, 1), 0, &from) || !int_or(r, arg(in, 2), n, &to)) return false;
    if (from < 0) from = MAX(from + n, 0);
    if (to < 0) to += n;
    if (!iter_open(r, &in->self, &it)) return false;
    for (; iter_next(r, &it, &item, &end) && !end; i++) {
        if (i < from || i >= to) continue;
        if (!equal(r, &item, &in->a[0], &same)) return false;
        if (!same) continue;
        *out = of_int(i);
        return true;
    }
    return r->failed ? false : FAIL(r, "the value is not in the %s", type_name(&in->self));
}

static bool same(struct rt *r, struct in *in, struct val *out)
{
    *out = in->self;
    return !r->failed;
}

static bool d_get(struct rt *r, struct in *in, struct val *out)
{
    struct val *found;
    if (!dict_find(r, in->self.u.d, &in->a[0], &found)) return false;
    *out = found ? *found : arg(in, 1) ? in->a[1] : NONE;
    return true;
}

static bool view_of(struct rt *r, const struct dict *d, enum view view, struct val *out)
{
    struct val v;
    if (!list_new(r, d->n, &v)) return false;
    for (uint32_t i = 0; i < d->n; i++) {
        struct val item = view == VIEW_KEYS ? d->e[i].key : d->e[i].value;
        if (view == VIEW_ITEMS) {
            if (!list_new(r, 2, &item)) return false;
            list_put(r, &item, d->e[i].key);
            list_put(r, &item, d->e[i].value);
            item.kind = K_TUPLE;
        }
        if (!list_put(r, &v, item)) return false;
    }
    v.kind = K_VIEW;
    v.view = (uint8_t)view;
    *out = v;
    return steps(r, d->n);
}

static bool d_keys(struct rt *r, struct in *in, struct val *out) { return view_of(r, in->self.u.d, VIEW_KEYS, out); }
static bool d_values(struct rt *r, struct in *in, struct val *out) { return view_of(r, in->self.u.d, VIEW_VALUES, out); }
static bool d_items(struct rt *r, struct in *in, struct val *out) { return view_of(r, in->self.u.d, VIEW_ITEMS, out); }

static bool c_next(struct rt *r, struct in *in, struct val *out)
{
    struct cycler *c = in->self.u.cy;
    *out = c->items.u.l->v[c->at];
    c->at = (c->at + 1) % c->items.len;
    return true;
}

static bool c_reset(struct rt *r, struct in *in, struct val *out)
{
    in->self.u.cy->at = 0;
    *out = NONE;
    return true;
}

static bool n_is_integer(struct rt *r, struct in *in, struct val *out)
{
    *out = of_bool(in->self.kind != K_FLOAT || (isfinite(in->self.u.f) && floor(in->self.u.f) == in->self.u.f));
    return true;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const struct builtin of_str[] = {
    { "capitalize", m_capitalize, "" }, { "casefold", m_casefold, "" }, { "center", m_center, "width,?fillchar" },
    { "count", m_count, "sub,?start,end" }, { "endswith", m_endswith, "suffix,?start,end" },
    { "expandtabs", m_expandtabs, "?tabsize" }, { "find", m_find, "sub,?start,end" }, { "format", m_format, "*" },
    { "index", m_index, "sub,?start,end" }, { "isalnum", m_isalnum, "" }, { "isalpha", m_isalpha, "" },
    { "isascii", m_isascii, "" }, { "isdecimal", m_isdecimal, "" }, { "isdigit", m_isdigit, "" },
    { "isidentifier", m_isidentifier, "" }, { "islower", m_islower, "" }, { "isnumeric", m_isnumeric, "" },
    { "isprintable", m_isprintable, "" }, { "isspace", m_isspace, "" }, { "istitle", m_istitle, "" },
    { "isupper", m_isupper, "" }, { "join", m_join, "iterable" }, { "ljust", m_ljust, "width,?fillchar" },
    { "lower", m_lower, "" }, { "lstrip", m_lstrip, "?chars" }, { "partition", m_partition, "sep" },
    { "removeprefix", m_removeprefix, "prefix" }, { "removesuffix", m_removesuffix, "suffix" },
    { "replace", m_replace, "old,new,?count" }, { "rfind", m_rfind, "sub,?start,end" }, { "rindex", m_rindex, "sub,?start,end" },
    { "rjust", m_rjust, "width,?fillchar" }, { "rpartition", m_rpartition, "sep" }, { "rsplit", m_rsplit, "?sep,maxsplit" },
    { "rstrip", m_rstrip, "?chars" }, { "split", m_split, "?sep,maxsplit" }, { "splitlines", m_splitlines, "?keepends" },
    { "startswith", m_startswith, "prefix,?start,end" }, { "strip", m_strip, "?chars" }, { "swapcase", m_swapcase, "" },
    { "title", m_title, "" }, { "upper", m_upper, "" }, { "zfill", m_zfill, "width" }, { NULL, NULL, NULL } };
static const struct builtin of_list[] = {
    { "copy", same, "" }, { "count", l_count, "value" }, { "index", l_index, "value,?start,stop" }, { NULL, NULL, NULL } };
static const struct builtin of_dict[] = {
    { "copy", same, "" }, { "get", d_get, "key,?default" }, { "items", d_items, "" }, { "keys", d_keys, "" },
    { "values", d_values, "" }, { NULL, NULL, NULL } };
static const struct builtin of_loop[] = { { "cycle", loop_cycle, "*" }, { "changed", loop_changed, "*" }, { NULL, NULL, NULL } };
static const struct builtin of_cycler[] = { { "next", c_next, "" }, { "reset", c_reset, "" }, { NULL, NULL, NULL } };
static const struct builtin of_number[] = { { "is_integer", n_is_integer, "" }, { NULL, NULL, NULL } };

const struct builtin *method_find(const struct val *self, const char *s, size_t len)
{
    static const struct builtin *const tables[] = {
        [K_STR] = of_str, [K_LIST] = of_list, [K_TUPLE] = of_list + 1, [K_RANGE] = of_list + 1, [K_DICT] = of_dict,
        [K_LOOP] = of_loop, [K_CYCLER] = of_cycler, [K_FLOAT] = of_number, [K_FUNCTION] = NULL };
    const struct builtin *t = tables[self->kind];
    for (; t && t->name; t++)
        if (t->name[0] == s[0] && strlen(t->name) == len && !memcmp(t->name, s, len)) return t;
    return NULL;
}
