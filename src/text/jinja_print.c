/* jinja_print.c -- values as text: str() and repr() as Python writes them, and json.dumps().
 *
 * The bytes of a string keep their owner on the way: an escape belongs to whom the character belongs
 * it stands for. Digits of a number that is printed by itself are the template's (it may build the
 * name of a token with them, "<|image_" ~ loop.index ~ "|>"); brackets, quotes and all else that
 * is printed around strings from outside is nobody's token. */
#include "text/jinja_int.h"

#include <math.h>

#define FLOAT_STEPS 12                                                /* finding the shortest digits takes its time */

int print_float(char out[40], double v)
{
    if (isnan(v)) return snprintf(out, 40, "nan");
    if (isinf(v)) return snprintf(out, 40, v < 0 ? "-inf" : "inf");
    return json_f64_text(out, v);
}

static int print_number(char out[40], const struct val *v)
{
    if (v->kind == K_FLOAT) return print_float(out, v->u.f);
    char *p = out + 24;
    uint64_t n = v->u.i < 0 ? 0 - (uint64_t)v->u.i : (uint64_t)v->u.i;
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    if (v->u.i < 0) *--p = '-';
    int len = (int)(out + 24 - p);
    memmove(out, p, (size_t)len);
    return len;
}

/* Calls part() for each stretch of a string with one owner. */
typedef bool part_fn(struct rt *r, struct buf *b, const char *s, size_t n, bool ours, const void *ctx);
static bool by_owner(struct rt *r, struct buf *b, const struct val *s, part_fn *part, const void *ctx)
{
    if (s->trust != MIXED) return part(r, b, s->u.s, s->len, s->trust == OURS, ctx);
    for (size_t from = 0, to; from < s->len; from = to) {
        bool ours = ours_at(s, from);
        for (to = from + 1; to < s->len && ours_at(s, to) == ours; to++) {}
        if (!part(r, b, s->u.s + from, to - from, ours, ctx)) return false;
    }
    return true;
}

/* ---- repr ------------------------------------------------------------------------------------ */

static bool put_escape(struct rt *r, struct buf *b, uint32_t cp, bool ours)
{
    char e[16];
    const char *fmt = cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x";
    return buf_put(r, b, e, (size_t)snprintf(e, sizeof e, fmt, cp), ours);
}

static bool repr_part(struct rt *r, struct buf *b, const char *s, size_t n, bool ours, const void *ctx)
{
    char quote = *(const char *)ctx;
    const char *end = s + n, *from = s;
    for (int len; s < end; s += len) {
        int32_t cp = utf8_next(s, end, &len);
        const char *plain = cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : cp == '\t' ? "\\t" : cp == '\\' ? "\\\\" : NULL;
        bool quoted = cp == quote;
        if (!plain && !quoted && cp >= 0 && (cp < 0x7f ? cp >= 0x20 : cp_printable((uint32_t)cp))) continue;
        if (!buf_put(r, b, from, (size_t)(s - from), ours)) return false;
        from = s + len;
        if (quoted ? !buf_put(r, b, (char[]){ '\\', quote }, 2, ours)
                   : plain ? !buf_put(r, b, plain, 2, ours) : !put_escape(r, b, cp < 0 ? (uint8_t)*s : (uint32_t)cp, ours))
            return false;
    }
    return buf_put(r, b, from, (size_t)(end - from), ours);
}

static bool repr_str(struct rt *r, struct buf *b, const struct val *v)
{
    char quote = v->len && memchr(v->u.s, '\'', v->len) && !memchr(v->u.s, '"', v->len) ? '"' : '\'';
    if (v->markup && !buf_puts(r, b, "Markup(")) return false;
    return buf_put(r, b, &quote, 1, false) && by_owner(r, b, v, repr_part, &quote) && buf_put(r, b, &quote, 1, false) &&
           (!v->markup || buf_puts(r, b, ")"));
}

static bool repr_items(struct rt *r, struct buf *b, const struct val *v, const char *open, const char *close)
{
    if (!buf_puts(r, b, open)) return false;
    for (uint32_t i = 0; i < v->len; i++)
        if ((i && !buf_puts(r, b, ", ")) || !put_repr(r, b, &v->u.l->v[i])) return false;
    return buf_puts(r, b, close);
}

static bool repr_dict(struct rt *r, struct buf *b, const struct dict *d)
{
    if (!buf_puts(r, b, "{")) return false;
    for (uint32_t i = 0; i < d->n; i++) {
        if (i && !buf_puts(r, b, ", ")) return false;
        if (!put_repr(r, b, &d->e[i].key) || !buf_puts(r, b, ": ") || !put_repr(r, b, &d->e[i].value)) return false;
    }
    return buf_puts(r, b, "}");
}

static bool repr_other(struct rt *r, struct buf *b, const struct val *v)
{
    char text[160];
    const struct range *g = v->u.r;
    switch (v->kind) {
    case K_RANGE:
        if (g->step == 1) snprintf(text, sizeof text, "range(%lld, %lld)", (long long)g->start, (long long)g->stop);
        else snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)g->start, (long long)g->stop, (long long)g->step);
        return buf_puts(r, b, text);
    case K_VIEW:
        snprintf(text, sizeof text, "%s([", type_name(v));
        return repr_items(r, b, v, text, "])");
    case K_NAMESPACE:
        return buf_puts(r, b, "<Namespace ") && repr_dict(r, b, v->u.d) && buf_puts(r, b, ">");
    case K_MACRO:
        return buf_puts(r, b, "<Macro ") && put_repr(r, b, &v->u.macro->name) && buf_puts(r, b, ">");
    default:
        return FAIL(r, "a value of type %s cannot be printed%s", type_name(v),
                    v->kind == K_ITER ? "; |list makes a list of it" : v->kind == K_METHOD ? "; it is not called" : "");
    }
}

static bool repr_any(struct rt *r, struct buf *b, const struct val *v)
{
    char text[40];
    switch (v->kind) {
    case K_UNDEFINED: return buf_puts(r, b, "Undefined");
    case K_NONE: return buf_puts(r, b, "None");
    case K_BOOL: return buf_puts(r, b, v->u.b ? "True" : "False");
    case K_FLOAT: if (!steps(r, FLOAT_STEPS)) return false; /* fall through */
    case K_INT: return buf_put(r, b, text, (size_t)print_number(text, v), false);
    case K_BIG: return buf_put(r, b, v->u.s, v->len, false);
    case K_STR: return repr_str(r, b, v);
    case K_LIST: return repr_items(r, b, v, "[", "]");
    case K_TUPLE: return repr_items(r, b, v, "(", v->len == 1 ? ",)" : ")");
    case K_DICT: return repr_dict(r, b, v->u.d);
    default: return repr_other(r, b, v);
    }
}

bool put_repr(struct rt *r, struct buf *b, const struct val *v)
{
    bool ok = steps(r, 1) && deeper(r) && repr_any(r, b, v);
    r->depth--;
    return ok;
}

bool put_str(struct rt *r, struct buf *b, const struct val *v)
{
    char text[40];
    switch (v->kind) {
    case K_STR: return buf_str(r, b, v);
    case K_UNDEFINED: return true;
    case K_FLOAT: if (!steps(r, FLOAT_STEPS)) return false; /* fall through */
    case K_INT: return buf_put(r, b, text, (size_t)print_number(text, v), true);
    case K_BIG: return buf_put(r, b, v->u.s, v->len, true);
    default: return put_repr(r, b, v);
    }
}

bool to_str(struct rt *r, const struct val *v, struct val *out)
{
    if (v->kind == K_STR) {
        *out = *v;
        return true;
    }
    struct buf *b = buf_new(r, 48);
    if (!put_str(r, b, v)) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

void source_quote(char *out, size_t n, const struct val *v)
{
    if (v->kind == K_STR) snprintf(out, n, "'%.*s'", (int)MIN(v->len, 40), v->u.s);
    else snprintf(out, n, "%s", type_name(v));
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool json_cp(struct rt *r, struct buf *b, uint32_t cp, bool ours)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *f = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
    char e[16];
    if (f) return buf_put(r, b, (char[]){ '\\', to[f - from] }, 2, ours);
    if (cp < 0x10000) return buf_put(r, b, e, (size_t)snprintf(e, sizeof e, "\\u%04x", cp), ours);
    uint32_t v = cp - 0x10000;
    return buf_put(r, b, e, (size_t)snprintf(e, sizeof e, "\\u%04x\\u%04x", 0xd800 + (v >> 10), 0xdc00 + (v & 0x3ff)), ours);
}

static bool json_part(struct rt *r, struct buf *b, const char *s, size_t n, bool ours, const void *ctx)
{
    const struct dump *d = ctx;
    const char *end = s + n, *from = s;
    while (s < end) {
        uint8_t c = (uint8_t)*s;
        if (c >= 0x20 && c != '"' && c != '\\' && (!d->ascii || c < 0x7f)) {
            s++;
            continue;
        }
        int len = 1;
        int32_t cp = utf8_next(s, end, &len);
        if (!buf_put(r, b, from, (size_t)(s - from), ours) || !json_cp(r, b, cp < 0 ? 0xfffd : (uint32_t)cp, ours)) return false;
        from = s += len;
    }
    return buf_put(r, b, from, (size_t)(end - from), ours);
}

static bool json_str_of(struct rt *r, struct buf *b, const struct val *v, const struct dump *d)
{
    return buf_put(r, b, "\"", 1, false) && by_owner(r, b, v, json_part, d) && buf_put(r, b, "\"", 1, false);
}

static bool json_line(struct rt *r, struct buf *b, const struct dump *d, int level)
{
    if (d->indent.kind == K_NONE) return true;
    if (!buf_put(r, b, "\n", 1, false)) return false;
    for (int i = 0; i < level; i++)
        if (!buf_str(r, b, &d->indent)) return false;
    return true;
}

static bool json_value(struct rt *r, struct buf *b, const struct val *v, const struct dump *d, int level);

static bool json_items(struct rt *r, struct buf *b, const struct val *v, const struct dump *d, int level)
{
    if (!buf_put(r, b, "[", 1, false)) return false;
    for (uint32_t i = 0; i < v->len; i++) {
        if (i && !buf_str(r, b, &d->item_sep)) return false;
        if (!json_line(r, b, d, level + 1) || !json_value(r, b, &v->u.l->v[i], d, level + 1)) return false;
    }
    return (!v->len || json_line(r, b, d, level)) && buf_put(r, b, "]", 1, false);
}

static bool json_key(struct rt *r, struct buf *b, const struct val *k, const struct dump *d)
{
    struct val text;
    if (k->kind == K_STR) return json_str_of(r, b, k, d);
    if (k->kind == K_NONE) text = of_text("null");
    else if (k->kind == K_BOOL) text = of_text(k->u.b ? "true" : "false");
    else if (!is_number(k)) return FAIL(r, "keys must be str, int, float, bool or None, not %s", type_name(k));
    else if (!to_str(r, k, &text)) return false;
    return json_str_of(r, b, &text, d);
}

static bool sorted_keys(struct rt *r, const struct dict *d, struct dict *out)
{
    struct val *keys = take(r, (d->n + 1) * sizeof *keys);
    for (uint32_t i = 0; i < d->n; i++) keys[i] = d->e[i].key;
    const uint32_t *order = sort_order(r, keys, d->n, false);
    if (!order) return false;
    *out = (struct dict){ .n = d->n, .e = take(r, (d->n + 1) * sizeof *out->e) };
    for (uint32_t i = 0; i < d->n; i++) out->e[i] = d->e[order[i]];
    return true;
}

static bool json_members(struct rt *r, struct buf *b, const struct dict *given, const struct dump *d, int level)
{
    struct dict sorted;
    if (d->sort && !sorted_keys(r, given, &sorted)) return false;
    const struct dict *o = d->sort ? &sorted : given;
    if (!buf_put(r, b, "{", 1, false)) return false;
    for (uint32_t i = 0; i < o->n; i++) {
        if (i && !buf_str(r, b, &d->item_sep)) return false;
        if (!json_line(r, b, d, level + 1) || !json_key(r, b, &o->e[i].key, d) || !buf_str(r, b, &d->key_sep) ||
            !json_value(r, b, &o->e[i].value, d, level + 1))
            return false;
    }
    return (!o->n || json_line(r, b, d, level)) && buf_put(r, b, "}", 1, false);
}

static bool json_any(struct rt *r, struct buf *b, const struct val *v, const struct dump *d, int level)
{
    char text[40];
    switch (v->kind) {
    case K_NONE: return buf_puts(r, b, "null");
    case K_BOOL: return buf_puts(r, b, v->u.b ? "true" : "false");
    case K_FLOAT:
        if (!steps(r, FLOAT_STEPS)) return false;
        if (isnan(v->u.f)) return buf_puts(r, b, "NaN");
        if (isinf(v->u.f)) return buf_puts(r, b, v->u.f < 0 ? "-Infinity" : "Infinity");
        return buf_put(r, b, text, (size_t)print_number(text, v), false);
    case K_INT: return buf_put(r, b, text, (size_t)print_number(text, v), false);
    case K_BIG: return buf_put(r, b, v->u.s, v->len, false);
    case K_STR: return json_str_of(r, b, v, d);
    case K_LIST: case K_TUPLE: return json_items(r, b, v, d, level);
    case K_DICT: return json_members(r, b, v->u.d, d, level);
    default: return FAIL(r, "Object of type %s is not JSON serializable", type_name(v));
    }
}

static bool json_value(struct rt *r, struct buf *b, const struct val *v, const struct dump *d, int level)
{
    bool ok = steps(r, 1) && deeper(r) && json_any(r, b, v, d, level);
    r->depth--;
    return ok;
}

bool put_json(struct rt *r, struct buf *b, const struct val *v, const struct dump *d)
{
    return json_value(r, b, v, d, 0);
}
