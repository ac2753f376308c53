/* jinja_load.c -- template variables: JSON becomes values, all of it at once, strings lent.
 *
 * Numbers as Python's json.loads reads them: without fraction and exponent an integer (beyond 64 bit
 * its digits are kept), else a float. A marked string (marked.c) becomes a string whose bytes are
 * partly ours. */
#include "text/jinja_int.h"

#include <errno.h>
#include <stdlib.h>

static struct val load_number(struct rt *r, const struct json *v)
{
    size_t len;
    const char *text = json_number(v, &len);
    if (!json_is_int(v)) return of_float(strtod(text, NULL));
    errno = 0;
    long long i = strtoll(text, NULL, 10);
    return errno ? (struct val){ .kind = K_BIG, .len = (uint32_t)len, .u.s = text } : of_int(i);
}

static bool load_list(struct rt *r, const struct json *v, bool ours, struct val *out)
{
    size_t n = json_len(v);
    if (!list_new(r, n, out)) return false;
    for (size_t i = 0; i < n; i++) {
        struct val item;
        if (!load_json(r, json_at(v, i), ours, &item) || !list_put(r, out, item)) return false;
    }
    return true;
}

static bool load_marked(struct rt *r, const struct json *list, struct val *out)
{
    struct buf *b = buf_new(r, 256);
    for (size_t i = 0; i < json_len(list); i++) {
        size_t len = 0;
        const char *s = json_str(json_at(list, i), &len);
        if (s && !buf_put(r, b, s, len, i % 2 == 0)) return false;
    }
    *out = buf_val(b, 0, b->len);
    return true;
}

static bool load_object(struct rt *r, const struct json *v, bool ours, struct val *out)
{
    const struct json *marked = json_len(v) == 1 ? json_get(v, MARKED_KEY) : NULL;
    if (marked) return load_marked(r, marked, out);
    struct dict *d = dict_new(r);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct val item;
        if (!load_json(r, it.value, ours, &item)) return false;
        if (!dict_add(r, d, of_bytes(it.key, it.key_len, ours ? OURS : THEIRS), item)) return false;
    }
    *out = (struct val){ .kind = K_DICT, .u.d = d };
    return true;
}

static bool load_any(struct rt *r, const struct json *v, bool ours, struct val *out)
{
    size_t len;
    const char *s;
    switch (json_type(v)) {
    case JSON_NULL: *out = NONE; return true;
    case JSON_BOOL: *out = of_bool(json_bool(v)); return true;
    case JSON_NUMBER: *out = load_number(r, v); return true;
    case JSON_STRING:
        s = json_str(v, &len);
        *out = of_bytes(s, len, ours ? OURS : THEIRS);
        return true;
    case JSON_ARRAY: return load_list(r, v, ours, out);
    default: return load_object(r, v, ours, out);
    }
}

bool load_json(struct rt *r, const struct json *v, bool ours, struct val *out)
{
    bool ok = deeper(r) && load_any(r, v, ours, out);
    r->depth--;
    return ok;
}
