/* fuzz_json.c -- any text is read or refused with the place; what was read reads again as it is written, a part outlives the
 * whole, and members and elements that are set, replaced and taken out leave a value that says what was done. */
#include <stdlib.h>

#include "base/json.h"

static void must(bool ok)
{
    if (!ok) abort();
}

static struct json *again(const struct json *v, enum json_style style)
{
    struct str s = { 0 };
    struct err e = { 0 };
    json_write(&s, v, style);
    struct json *w = json_parse(s.p, s.len, &e);
    must(w != NULL);
    str_done(&s);
    return w;
}

static void round_trip(const struct json *v)
{
    for (int style = JSON_COMPACT; style <= JSON_PRETTY; style++) {
        struct json *w = again(v, (enum json_style)style), *copy = json_copy(w);
        must(style == JSON_PYTHON || (json_equal(v, w) && json_equal(w, v)));      /* whose floats are those of Python */
        must(json_equal(copy, w));
        json_free(w);
        must(json_type(copy) == json_type(v) && json_len(copy) == json_len(v));
        json_free(copy);
    }
}

/* The keys of one object are set, replaced and taken out in another, in an order of the input. */
static void edit(const struct json *v, const uint8_t *data, size_t size)
{
    struct json *o = json_copy(v);
    size_t step = 0, n = json_len(o);
    for (struct json_iter it = json_iter(v); json_next(&it); step++) {
        bool goes = data[step % size] & 1;
        if (goes) json_unset(o, it.key), n--;
        else json_set(o, it.key, json_share(it.value));
        must(json_get(o, it.key) == (goes ? NULL : it.value) && json_len(o) == n);
    }
    json_set(o, "a key of ours", json_new_int((int64_t)n));
    must(json_get(o, "a key of ours") != NULL);
    json_free(again(o, JSON_COMPACT));
    json_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct json *v = json_parse((const char *)data, size, &e);
    must((v != NULL) == (e.code == ERR_NONE));
    if (!v) {
        must(!strncmp(e.msg, "byte ", 5) && strtoull(e.msg + 5, NULL, 10) <= size);
        return 0;
    }
    round_trip(v);
    if (json_is(v, JSON_OBJECT)) edit(v, data, size);
    const struct json *first = json_at(v, 0);
    struct json_iter it = json_iter(v);
    if (json_next(&it)) first = it.value;
    struct json *part = first ? json_share(first) : NULL, *kept = json_copy(first);
    json_free(v);
    if (part) must(json_equal(part, kept));
    json_free(part);
    json_free(kept);
    return 0;
}
