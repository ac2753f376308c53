/* jinja_global.c -- functions every template has: range, dict, namespace, cycler, joiner, and the two
 * that the transformers library adds, raise_exception and strftime_now. */
#include "text/jinja_int.h"

#include <time.h>

#define RANGE_MOST 100000                                             /* as Jinja's sandbox */

static bool g_range(struct rt *r, struct in *in, struct val *out)
{
    int64_t v[3] = { 0, 0, 1 };
    const struct call *c = in->call;
    if (c->n < 1 || c->n > 3 || c->n_kw) return FAIL(r, "range takes 1 to 3 integers");
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->pos[i].kind == K_UNDEFINED) return undefined_fail(r, &c->pos[i]);
        if (!as_int(&c->pos[i], &v[c->n == 1 ? 1 : i])) return FAIL(r, "'%s' object cannot be interpreted as an integer", type_name(&c->pos[i]));
    }
    if (!v[2]) return FAIL(r, "range() arg 3 must not be zero");
    __int128 span = v[2] > 0 ? (__int128)v[1] - v[0] : (__int128)v[0] - v[1], step = v[2] > 0 ? v[2] : -(__int128)v[2];
    __int128 n = span > 0 ? (span + step - 1) / step : 0;
    if (n > RANGE_MOST) return FAIL(r, "Range too big. The sandbox blocks ranges larger than %d.", RANGE_MOST);
    struct range *g = take(r, sizeof *g);
    *g = (struct range){ v[0], v[1], v[2], (int64_t)n };
    *out = (struct val){ .kind = K_RANGE, .u.r = g };
    return true;
}

static bool put_pairs(struct rt *r, const struct val *from, struct dict *d)
{
    struct val list, pair;
    if (from->kind == K_DICT) {
        for (uint32_t i = 0; i < from->u.d->n; i++)
            if (!dict_put(r, d, from->u.d->e[i].key, from->u.d->e[i].value)) return false;
        return true;
    }
    if (!to_list(r, from, &list)) return false;
    for (uint32_t i = 0; i < list.len; i++) {
        if (!to_list(r, &list.u.l->v[i], &pair)) return false;
        if (pair.len != 2) return FAIL(r, "a dictionary is made of pairs; element %u has length %u", i, pair.len);
        if (!dict_put(r, d, pair.u.l->v[0], pair.u.l->v[1])) return false;
    }
    return true;
}

static bool make_dict(struct rt *r, const struct call *c, struct dict **out)
{
    struct dict *d = *out = dict_new(r);
    if (c->n > 1) return FAIL(r, "dict expected at most 1 argument, got %u", c->n);
    if (c->n && !put_pairs(r, &c->pos[0], d)) return false;
    for (uint32_t i = 0; i < c->n_kw; i++)
        if (!dict_put(r, d, c->kw[i].name, c->kw[i].v)) return false;
    return true;
}

static bool g_dict(struct rt *r, struct in *in, struct val *out)
{
    *out = (struct val){ .kind = K_DICT };
    return make_dict(r, in->call, &out->u.d);
}

static bool g_namespace(struct rt *r, struct in *in, struct val *out)
{
    *out = (struct val){ .kind = K_NAMESPACE };
    return make_dict(r, in->call, &out->u.d);
}

static bool g_cycler(struct rt *r, struct in *in, struct val *out)
{
    const struct call *c = in->call;
    if (!c->n || c->n_kw) return FAIL(r, "at least one item has to be provided");
    struct cycler *y = take(r, sizeof *y);
    y->at = 0;
    if (!list_new(r, c->n, &y->items)) return false;
    for (uint32_t i = 0; i < c->n; i++)
        if (!list_put(r, &y->items, c->pos[i])) return false;
    *out = (struct val){ .kind = K_CYCLER, .u.cy = y };
    return true;
}

static bool g_joiner(struct rt *r, struct in *in, struct val *out)
{
    struct joiner *j = take(r, sizeof *j);
    *j = (struct joiner){ .sep = in->a[0].kind == K_MISSING ? of_text(", ") : in->a[0] };
    *out = (struct val){ .kind = K_JOINER, .u.join = j };
    return true;
}

static bool g_raise(struct rt *r, struct in *in, struct val *out)
{
    struct val s;
    if (!to_str(r, &in->a[0], &s)) return false;
    return FAIL(r, "%.*s", (int)MIN(s.len, 300), s.u.s);
}

/* A format as Python's datetime reads it: its time here has no zone, and %f is the microsecond. */
static void put_format(struct str *out, const char *s, size_t n, long microsecond)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%' || i + 1 == n) str_putc(out, s[i]);
        else if (s[++i] == 'f') str_fmt(out, "%06ld", microsecond);
        else if (s[i] != 'z' && s[i] != 'Z') str_fmt(out, "%%%c", s[i]);
    }
}

static bool g_strftime(struct rt *r, struct in *in, struct val *out)
{
    enum { FORMAT_MOST = 128 };
    char text[4096];                                   /* no directive writes more than 30 bytes */
    struct timespec now;
    struct tm tm;
    struct str fmt = { 0 };
    if (!is_str(&in->a[0]) || in->a[0].len >= FORMAT_MOST)
        return FAIL(r, "strftime_now takes a format of at most %d bytes", FORMAT_MOST - 1);
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    put_format(&fmt, in->a[0].u.s, in->a[0].len, now.tv_nsec / 1000);
    size_t n = fmt.len ? strftime(text, sizeof text, fmt.p, &tm) : 0;
    str_done(&fmt);
    struct buf *b = buf_new(r, n + 1);
    if (!buf_put(r, b, text, n, true)) return false;
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool g_refused(struct rt *r, struct in *in, struct val *out)
{
    return FAIL(r, "lipsum() is not supported in prompts");
}

const struct builtin *global_find(const char *s, size_t len)
{
    static const struct builtin table[] = {
        { "range", g_range, "*" }, { "dict", g_dict, "*" }, { "namespace", g_namespace, "*" }, { "cycler", g_cycler, "*" },
        { "joiner", g_joiner, "?sep" }, { "raise_exception", g_raise, "message" }, { "strftime_now", g_strftime, "format" },
        { "lipsum", g_refused, "*" },
    };
    for (size_t i = 0; i < LEN(table); i++)
        if (strlen(table[i].name) == len && !memcmp(table[i].name, s, len)) return &table[i];
    return NULL;
}
