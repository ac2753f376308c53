/* sgd.c -- Schema-Guided Dialogue as tool calls: what is called, when, and with which values.
 *
 * A call point is a turn at which the service was called: right is exactly that one call. Lenient takes
 * every form of a value that the dialogue itself equates with it, strict only the canonical one; lenient
 * is the headline. A no-call point is right without a call. Besides: names alone, arguments one by one
 * (F1 over all parameters of all call points), calls missed and calls made for nothing; each for all
 * points and for services that training data knows and does not know. */
#include "eval/int.h"

#define ANSWER_TOKENS 256

static bool is_call_point(const struct json *line)
{
    return json_str_is(json_get(line, "kind"), "call");
}

static bool check(const struct json *line, struct err *e)
{
    const struct json *expect = json_get(line, "expect");
    const char *wrong = NULL;
    bool none = json_str_is(json_get(line, "kind"), "none");
    if (!none && !is_call_point(line)) wrong = "kind: 'call' or 'none' is needed";
    else if (!json_is(json_get(line, "messages"), JSON_ARRAY))
        wrong = "messages: an array is needed";
    else if (!json_is(json_get(line, "tools"), JSON_ARRAY)) wrong = "tools: an array is needed";
    else if (!json_is(json_get(line, "unseen"), JSON_BOOL))
        wrong = "unseen: true or false is needed";
    else if (!json_is(expect, JSON_ARRAY) || json_len(expect) != !none ||
             (!none && json_len(json_at(expect, 0)) != 1))
        wrong = "expect: [{name: {param: [accepted, …]}}] is needed for a call, [] for none";
    return !wrong || err_set(e, ERR_FORMAT, "%s", wrong);
}

static struct json *request(void *ctx, const struct json *line)
{
    return point_request(json_get(line, "messages"), json_copy(json_get(line, "tools")),
                         ANSWER_TOKENS);
}

/* ---- arguments one by one ---------------------------------------------------------------------- */

static const struct judge_opts rules = { .match = JUDGE_NAMED };

static bool may_lack(const struct json *accepted)
{
    for (size_t i = 0; i < json_len(accepted); i++)
        if (json_str_is(json_at(accepted, i), "")) return true;
    return false;
}

/* The one member of expect[0] and of a call: its name, its parameters. */
static const struct json *call_of(const struct json *list, size_t i, const char **name)
{
    struct json_iter it = json_iter(json_at(list, i));
    *name = "";
    if (!json_is(json_at(list, i), JSON_OBJECT) || !json_next(&it)) return NULL;
    *name = it.key;
    return it.value;
}

static const struct json *properties_of(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (json_str_is(json_get(f, "name"), name))
            return json_get(json_get(f, "parameters"), "properties");
    }
    return NULL;
}

static void count_arguments(struct sgd_slice *s, const struct json *line, const struct json *calls,
                            bool name_right)
{
    const char *name, *other;
    const struct json *wanted = call_of(json_get(line, "expect"), 0, &name),
                      *given = name_right ? call_of(calls, 0, &other) : NULL;
    const struct json *props = properties_of(json_get(line, "tools"), name);
    for (struct json_iter it = json_iter(wanted); json_next(&it);) {
        const struct json *v = json_get(given, it.key), *schema = json_get(props, it.key);
        bool right = v && schema && judge_value(v, it.value, schema, &rules).valid;
        s->right += right;
        s->lacking += !right && (v || !may_lack(it.value));
    }
    for (size_t i = 0; i < json_len(calls); i++)
        s->given += (int64_t)json_len(call_of(calls, i, &other));
}

/* ---- points ---------------------------------------------------------------------------------------- */

/* expect with the canonical values alone. */
static struct json *canonical(const struct json *expect)
{
    const char *name;
    const struct json *wanted = call_of(expect, 0, &name);
    struct json *list = json_new_array(), *call = json_new_object(), *params = json_new_object();
    for (struct json_iter it = json_iter(wanted); json_next(&it);) {
        struct json *a = json_new_array();
        if (json_len(it.value)) json_push(a, json_copy(json_at(it.value, 0)));
        if (may_lack(it.value)) json_push(a, json_new_str(""));
        json_set(params, it.key, a);
    }
    json_set(call, name, params);
    json_push(list, call);
    return list;
}

static bool judge_with(const struct json *line, const struct json *expect, const struct json *calls,
                       struct verdict *v)
{
    *v = judge_calls(json_get(line, "tools"), expect, calls, &rules);
    return v->valid;
}

static void score(struct tally *t, bool hit, bool failed)
{
    t->n++;
    t->exact += hit;
    t->failed += failed;
}

static struct verdict judge_call(struct sgd_slice *const slice[2], const struct json *line,
                                 const struct message *m)
{
    struct json *calls = m ? point_calls(m, false) : json_new_array(),
                *strict = canonical(json_get(line, "expect"));
    const char *want, *have;
    struct verdict lenient, exact;
    call_of(json_get(line, "expect"), 0, &want);
    call_of(calls, 0, &have);
    bool named = json_len(calls) == 1 && !strcmp(want, have);
    judge_with(line, json_get(line, "expect"), calls, &lenient);
    judge_with(line, strict, calls, &exact);
    for (int i = 0; i < 2; i++) {
        score(&slice[i]->lenient, lenient.valid, !m);
        score(&slice[i]->strict, exact.valid, !m);
        score(&slice[i]->name, named, !m);
        score(&slice[i]->missed, !json_len(calls), !m);
        count_arguments(slice[i], line, calls, named);
    }
    json_free(strict);
    json_free(calls);
    return m ? lenient : (struct verdict){ false, "failed" };
}

static struct verdict judge(void *ctx, const struct json *line, const struct message *m)
{
    struct sgd_report *r = ctx;
    struct sgd_slice *const slice[2] = {
        &r->slice[SGD_ALL], &r->slice[json_bool(json_get(line, "unseen")) ? SGD_UNSEEN : SGD_SEEN]
    };
    if (is_call_point(line)) return judge_call(slice, line, m);
    for (int i = 0; i < 2; i++) score(&slice[i]->called_for_nothing, m && m->n_call, !m);
    if (!m) return (struct verdict){ false, "failed" };
    return m->n_call ? (struct verdict){ false, "called" } : (struct verdict){ true, "" };
}

const struct benchmark bench_sgd = {
    .kind = "kind", .check = check, .request = request, .judge = judge
};

bool eval_sgd(const struct lines *lines, const struct asking *a, struct sgd_report *out,
              struct err *e)
{
    *out = (struct sgd_report){ 0 };
    return points_run(&bench_sgd, out, lines, a, &out->points, e);
}

/* ---- the report ------------------------------------------------------------------------------------ */

static double f1(const struct sgd_slice *s)
{
    double wanted = (double)(s->right + s->lacking), all = wanted + (double)s->given;
    return all > 0 ? 2 * (double)s->right / all : 0;
}

static const char *const slice_name[SGD_SLICES] = { "all", "seen", "unseen" };

static const struct { const char *name, *key; size_t off; } rows[] = {
    { "call, lenient", "call_lenient", offsetof(struct sgd_slice, lenient) },
    { "call, strict", "call_strict", offsetof(struct sgd_slice, strict) },
    { "name", "name", offsetof(struct sgd_slice, name) },
    { "call missed", "missed_call", offsetof(struct sgd_slice, missed) },
    { "call for nothing", "false_call", offsetof(struct sgd_slice, called_for_nothing) },
};

static const struct tally *row_of(const struct sgd_slice *s, size_t row)
{
    return (const struct tally *)((const char *)s + rows[row].off);
}

void eval_sgd_print(const struct sgd_report *r, struct str *out)
{
    str_fmt(out, "%-18s", "%");
    for (int i = 0; i < SGD_SLICES; i++) str_fmt(out, "   %-22s", slice_name[i]);
    for (size_t k = 0; k < LEN(rows); k++) {
        str_fmt(out, "\n%-18s", rows[k].name);
        for (int i = 0; i < SGD_SLICES; i++) {
            struct share s = share_of(row_of(&r->slice[i], k));
            str_fmt(out, "   %5.1f (%4.1f to %5.1f)  ", 100 * s.value, 100 * s.low, 100 * s.high);
        }
    }
    str_fmt(out, "\n%-18s", "arguments, F1");
    for (int i = 0; i < SGD_SLICES; i++)
        str_fmt(out, "   %5.1f                 ", 100 * f1(&r->slice[i]));
    str_fmt(out, "\n%-18s", "n call, none");
    for (int i = 0; i < SGD_SLICES; i++)
        str_fmt(out, "   %5d, %-15d", r->slice[i].lenient.n, r->slice[i].called_for_nothing.n);
    if (r->points.all.failed)
        str_fmt(out, "\n%d of %d were refused or failed, and count as wrong", r->points.all.failed,
                r->points.all.n);
    str_fmt(out, "\nmean time of an answer: %.1f ms\n", r->points.mean_ms);
}

struct json *eval_sgd_json(const struct sgd_report *r)
{
    struct json *o = json_new_object();
    for (int i = 0; i < SGD_SLICES; i++) {
        struct json *s = json_new_object();
        for (size_t k = 0; k < LEN(rows); k++)
            json_set(s, rows[k].key, tally_row_json(row_of(&r->slice[i], k)));
        json_set(s, "argument_f1", rounded(f1(&r->slice[i])));
        json_set(o, slice_name[i], s);
    }
    json_set(o, "mean_ms", rounded(r->points.mean_ms));
    return o;
}
