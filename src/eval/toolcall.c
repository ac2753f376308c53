/* toolcall.c -- tool-call accuracy over conversations of our own shape, per kind.
 *
 * A line says what a right answer is: as many calls as `expect` lists, in any order, each judged by
 * judge.c; kinds `none` and `ask` want no call (`ask`: a question), `grounded` wants the strings of
 * must_contain in the text. */
#include "eval/int.h"

#define ANSWER_TOKENS 256                                         /* bound of one answer */

static bool has_text(const struct message *m, const char *s)
{
    return m->text.p && strstr(m->text.p, s);
}

static struct verdict judge(void *ctx, const struct json *line, const struct message *m)
{
    const struct json *kind = json_get(line, "kind"), *expect = json_get(line, "expect");
    const struct json *must = json_get(line, "must_contain");
    bool no_call = !json_len(expect);
    if (!m) return (struct verdict){ false, "failed" };
    if (no_call && m->n_call) return (struct verdict){ false, "called" };
    if (json_str_is(kind, "ask") && !has_text(m, "?"))
        return (struct verdict){false, "no_question"};
    for (size_t i = 0; i < json_len(must); i++)
        if (!has_text(m, json_str(json_at(must, i), NULL)))
            return (struct verdict){false, "not_in_text"};
    if (no_call) return (struct verdict){ true, "" };
    struct json *calls = point_calls(m, true);
    struct judge_opts o = { .match = JUDGE_ANY_ORDER, .json_schema = true };
    struct verdict v = judge_calls(json_get(line, "tools"), expect, calls, &o);
    json_free(calls);
    return v;
}

static struct json *request(void *ctx, const struct json *line)
{
    struct json *body = point_request(json_get(line, "messages"), json_copy(json_get(line, "tools")), ANSWER_TOKENS);
    if (json_get(line, "tool_choice"))
        json_set(body, "tool_choice", json_copy(json_get(line, "tool_choice")));
    return body;
}

static bool check(const struct json *line, struct err *e)
{
    const struct json *expect = json_get(line, "expect");
    const char *wrong = NULL;
    if (!json_is(json_get(line, "messages"), JSON_ARRAY)) wrong = "messages: an array is needed";
    else if (!json_str(json_get(line, "kind"), NULL)) wrong = "kind: a string is needed";
    else if (!json_is(expect, JSON_ARRAY)) wrong = "expect: an array is needed";
    for (size_t i = 0; !wrong && i < json_len(expect); i++)
        if (!json_is(json_at(expect, i), JSON_OBJECT))
            wrong = "expect: [{name: {param: [accepted, …]}}] is needed";
    for (size_t i = 0; !wrong && i < json_len(json_get(line, "must_contain")); i++)
        if (!json_str(json_at(json_get(line, "must_contain"), i), NULL))
            wrong = "must_contain: strings are needed";
    return !wrong || err_set(e, ERR_FORMAT, "%s", wrong);
}

const struct benchmark bench_toolcall = { .kind = "kind", .check = check, .request = request, .judge = judge };

bool eval_toolcall(const struct lines *lines, const struct asking *a, struct eval_report *out, struct err *e)
{
    return points_run(&bench_toolcall, NULL, lines, a, out, e);
}
