/* limits.c -- how far one question may go: turns, calls, tokens, cost, time; from files and options, each with its default. */
#include "agent/int.h"

#include "agent/turns_int.h"

static bool has_price(const struct prices *p) { return p->prompt > 0 || p->completion > 0; }

static bool read_whole(const struct json *v, const char *key, int *out, struct err *e)
{
    int64_t n;
    if (!json_i64(v, &n) || n < 1 || n > 1 << 30) return err_set(e, ERR_ARG, "limits: %s: a whole number from 1 on is accepted", key);
    return *out = (int)n, true;
}

static bool read_amount(const struct json *v, const char *key, double *out, struct err *e)
{
    *out = 0;
    if (json_is(v, JSON_NUMBER)) *out = json_f64(v);
    return (*out > 0 && *out < 1e12) || err_set(e, ERR_ARG, "limits: %s: a number above 0 is accepted", key);
}

static bool read_prices(const struct json *v, struct prices *p, struct err *e)
{
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "limits: price: an object is accepted, as {\"prompt\": 3, \"completion\": 15} for a million tokens");
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        double *to = !strcmp(it.key, "prompt") ? &p->prompt : !strcmp(it.key, "cached") ? &p->cached : !strcmp(it.key, "completion") ? &p->completion : NULL;
        if (!to) return err_set(e, ERR_ARG, "limits: price: prompt, cached and completion are accepted, not \"%.40s\"", it.key);
        if (!read_amount(it.value, "price", to, e)) return false;
    }
    return true;
}

bool agent_limits_read(struct agent_limits *l, const struct json *v, struct err *e)
{
    if (!v) return true;
    if (!json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "limits: must be an object");
    struct { const char *key; int *to; } whole[] = {
#define X(name, otherwise) { #name, &l->name },
        LIMIT_LIST(X)
#undef X
    };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        size_t i = 0;
        while (i < LEN(whole) && strcmp(whole[i].key, it.key)) i++;
        bool ok = i < LEN(whole)                ? read_whole(it.value, it.key, whole[i].to, e)
                  : !strcmp(it.key, "max_cost") ? read_amount(it.value, it.key, &l->max_cost, e)
                  : !strcmp(it.key, "price")    ? read_prices(it.value, &l->price, e)
                                                : err_set(e, ERR_ARG, "limits: \"%.40s\" is unknown; max_turns, max_calls, max_total_tokens, max_cost, price, parallel, "
                                                                      "result_tokens, call_ms and total_ms are accepted", it.key);
        if (!ok) return false;
    }
    return agent_limits_check(l, e);
}

bool agent_limits_check(const struct agent_limits *l, struct err *e)
{
    return !(l->max_cost > 0) || has_price(&l->price) ||
           err_set(e, ERR_ARG, "limits: max_cost: \"price\" must say what a million tokens cost, as {\"prompt\": 3, \"completion\": 15}");
}

static int or_default(int a, int b, int otherwise) { return a > 0 ? a : b > 0 ? b : otherwise; }

struct agent_limits limits_of(const struct agent_limits *own, const struct agent_limits *file)
{
    static const struct agent_limits none;
    const struct agent_limits *f = file ? file : &none;
    return (struct agent_limits){
#define X(name, otherwise) .name = or_default(own->name, f->name, otherwise),
        LIMIT_LIST(X)
#undef X
        .max_cost = own->max_cost > 0 ? own->max_cost : f->max_cost,
        .price = has_price(&own->price) ? own->price : f->price,
    };
}

double cost_of(const struct prices *p, const struct usage *u)
{
    double cached = p->cached > 0 ? p->cached : p->prompt;
    return ((u->prompt_tokens - u->cached_tokens) * p->prompt + u->cached_tokens * cached + u->completion_tokens * p->completion) / 1e6;
}
