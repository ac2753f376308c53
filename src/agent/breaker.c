/* breaker.c -- notices a model that turns in circles.
 *
 * A call is its name and its canonical arguments, its answer a hash. Three equal calls in a row with equal answers:
 * the model is told. Five: the loop ends. Rounds of two or three calls count in the same way: three equal rounds,
 * five equal rounds. A call whose answer changes (polling a job) is no circle. */
#include <stdlib.h>

#include "agent/int.h"

#define TELL 3
#define STOP 5
#define ROUND_MOST 3

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct json_iter *)a)->key, ((const struct json_iter *)b)->key);
}

static void canonical_object(struct str *out, const struct json *v)
{
    size_t n = json_len(v), k = 0;
    struct json_iter *m = mem_alloc((n + 1) * sizeof *m);
    for (struct json_iter it = json_iter(v); k < n && json_next(&it);) m[k++] = it;
    qsort(m, k, sizeof *m, by_key);
    str_putc(out, '{');
    for (size_t i = 0; i < k; i++) {
        if (i) str_putc(out, ',');
        json_write_str(out, m[i].key, m[i].key_len);
        str_putc(out, ':');
        json_canonical(out, m[i].value);
    }
    str_putc(out, '}');
    mem_free(m);
}

static void canonical_number(struct str *out, const struct json *v)
{
    int64_t i;
    if (json_i64(v, &i)) str_fmt(out, "%lld", (long long)i);
    else str_fmt(out, "%.17g", json_f64(v));
}

void json_canonical(struct str *out, const struct json *v)
{
    if (json_is(v, JSON_OBJECT)) canonical_object(out, v);
    else if (json_is(v, JSON_NUMBER)) canonical_number(out, v);
    else if (json_is(v, JSON_ARRAY)) {
        str_putc(out, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) str_putc(out, ',');
            json_canonical(out, json_at(v, i));
        }
        str_putc(out, ']');
    } else if (v) json_write(out, v, JSON_COMPACT);
}

static uint64_t hash_call(const char *name, const struct json *args)
{
    struct str s = { 0 };
    str_puts(&s, name);
    str_putc(&s, '\n');
    json_canonical(&s, args);
    uint64_t h = hash64(s.p, s.len, 0);
    str_done(&s);
    return h;
}

/* How many times the last `len` calls stand at the end, one round after the other, with equal answers. */
static int rounds(const struct breaker *b, int len)
{
    int n = 0;
    for (int i = b->n - 1; i >= 0; i--, n++) {
        int twin = b->n - 1 - (b->n - 1 - i) % len;
        if (b->call[i] != b->call[twin] || b->result[i] != b->result[twin]) break;
    }
    return n / len;
}

enum agent_state breaker_put(struct breaker *b, const char *name, const struct json *args, struct bytes result)
{
    enum agent_state worst = LOOP_NONE;
    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 16;
        b->call = mem_resize(b->call, (size_t)b->cap * sizeof *b->call);
        b->result = mem_resize(b->result, (size_t)b->cap * sizeof *b->result);
    }
    b->call[b->n] = hash_call(name, args);
    b->result[b->n++] = hash64(result.p ? result.p : "", result.len, 1);
    for (int len = 1; len <= ROUND_MOST; len++) {
        int n = rounds(b, len);
        if (n >= STOP) worst = LOOP_STOP;
        else if (n >= TELL && worst == LOOP_NONE) worst = LOOP_TOLD;
    }
    return worst;
}

void breaker_done(struct breaker *b)
{
    mem_free(b->call);
    mem_free(b->result);
    *b = (struct breaker){ 0 };
}
