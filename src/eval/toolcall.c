/* toolcall.c -- tool-call accuracy over a file of conversations, per kind, with intervals.
 *
 * A line says what a right answer is: as many calls as `expect` lists, in any order, each judged by
 * judge.c; kinds `none` and `ask` want no call (`ask`: a question), `grounded` wants the strings of
 * must_contain in the text. A request that is refused or fails is a wrong answer, a malformed line
 * is an error of the file. Who answers is a callback: an engine here, a server elsewhere. */
#include <math.h>

#include "eval/eval.h"

#define ANSWER_TOKENS 256                                         /* bound of one answer */

struct judge_run {
    ask_fn *ask;
    void *ctx;
    struct file_out *out;
    bool keep;
    struct eval_report *report;
    double ms;
};

/* ---- one line -------------------------------------------------------------------------------- */

/* The calls as the judge reads them: [{name: {args}}]. */
static struct json *calls_of(const struct message *m)
{
    struct json *list = json_new_array();
    for (int i = 0; i < m->n_call; i++) {
        const struct message_call *c = &m->call[i];
        struct json *args = json_parse(c->args.p ? c->args.p : "", c->args.len, NULL),
                    *o = json_new_object();
        bool fine = args && c->schema_ok && !c->incomplete;
        json_set(o, c->name, args ? args : json_new_null());
        if (fine) json_push(list, o);
        else {
            json_free(o);
            json_push(list, json_new_null());
        } /* still counts as a call, never as a right one */
    }
    return list;
}

static bool has_text(const struct message *m, const char *s)
{
    return m->text.p && strstr(m->text.p, s);
}

static struct verdict judge_line(const struct json *line, const struct message *m)
{
    const struct json *kind = json_get(line, "kind"), *expect = json_get(line, "expect");
    const struct json *must = json_get(line, "must_contain");
    bool no_call = !json_len(expect);
    if (no_call && m->n_call) return (struct verdict){ false, "called" };
    if (json_str_is(kind, "ask") && !has_text(m, "?"))
        return (struct verdict){false, "no_question"};
    for (size_t i = 0; i < json_len(must); i++)
        if (!has_text(m, json_str(json_at(must, i), NULL)))
            return (struct verdict){false, "not_in_text"};
    if (no_call) return (struct verdict){ true, "" };
    struct json *calls = calls_of(m);
    struct judge_opts o = { .match = JUDGE_ANY_ORDER, .json_schema = true };
    struct verdict v = judge_calls(json_get(line, "tools"), expect, calls, &o);
    json_free(calls);
    return v;
}

static struct json *request_of(const struct json *line)
{
    struct json *body = json_new_object();
    json_set(body, "messages", json_copy(json_get(line, "messages")));
    if (json_len(json_get(line, "tools")))
        json_set(body, "tools", json_copy(json_get(line, "tools")));
    if (json_get(line, "tool_choice"))
        json_set(body, "tool_choice", json_copy(json_get(line, "tool_choice")));
    json_set(body, "temperature", json_new_int(0));
    json_set(body, "max_tokens", json_new_int(ANSWER_TOKENS));
    return body;
}

static struct tally *tally_of(struct eval_report *r, const char *kind)
{
    for (int i = 0; i < r->n_kind; i++)
        if (!strncmp(r->kind[i].kind, kind, sizeof r->kind[i].kind - 1)) return &r->kind[i];
    MEM_GROW(r->kind, r->n_kind, r->cap_kind);
    struct tally *t = &r->kind[r->n_kind++];
    *t = (struct tally){ 0 };
    snprintf(t->kind, sizeof t->kind, "%s", kind);
    return t;
}

static void keep_answer(struct judge_run *run, const struct json *line, const struct message *m,
                        struct verdict v, const char *failed)
{
    struct json *o = json_new_object();
    struct str s = { 0 };
    if (json_get(line, "id")) json_set(o, "id", json_copy(json_get(line, "id")));
    json_set(o, "kind", json_copy(json_get(line, "kind")));
    json_set(o, "exact", json_new_bool(v.valid));
    if (!v.valid) json_set(o, "why", json_new_str(failed ? failed : v.error));
    json_set(o, "message", message_json(m));
    json_write(&s, o, JSON_COMPACT);
    str_putc(&s, '\n');
    file_out_put(run->out, s.p, s.len);
    str_done(&s);
    json_free(o);
}

static void run_line(struct judge_run *run, const struct json *line)
{
    struct message m = { 0 };
    struct err e = { 0 };
    bool asked = run->ask(run->ctx, request_of(line), &m, &e);
    struct verdict v = asked ? judge_line(line, &m) : (struct verdict){ false, "failed" };
    struct tally *t = tally_of(run->report, json_str(json_get(line, "kind"), NULL));
    t->n++;
    t->exact += v.valid;
    run->report->all.n++;
    run->report->all.exact += v.valid;
    run->ms += m.timing.total_ms;
    if (run->keep) keep_answer(run, line, &m, v, asked ? NULL : e.msg);
    message_done(&m);
}

/* ---- the file -------------------------------------------------------------------------------- */

static struct json *read_line(const char *p, size_t n, struct err *e)
{
    struct json *line = json_parse(p, n, e);
    if (!line) return NULL;
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
    if (!wrong) return line;
    err_set(e, ERR_FORMAT, "%s", wrong);
    json_free(line);
    return NULL;
}

static bool run_lines(struct judge_run *run, const struct str *text, int limit, struct err *e)
{
    const char *p = text->p, *end = text->p + text->len;
    for (int number = 1; p && p < end && (!limit || run->report->all.n < limit); number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        bool blank = strspn(p, " \t\r\n") >= (size_t)(stop - p);
        if (!blank) {
            struct json *line = read_line(p, (size_t)(stop - p), e);
            if (!line) return err_in(e, "line %d", number);
            run_line(run, line);
            json_free(line);
        }
        p = nl ? nl + 1 : end;
    }
    return run->report->all.n > 0 || err_set(e, ERR_FORMAT, "no lines");
}

bool eval_toolcall(const char *path, ask_fn *ask, void *ctx, const char *out_path, int limit,
                   struct eval_report *out, struct err *e)
{
    struct str text = { 0 };
    struct file_out file = { 0 };
    struct judge_run run = {
        .ask = ask, .ctx = ctx, .out = &file, .keep = out_path != NULL, .report = out};
    *out = (struct eval_report){ .all = { .kind = "all" } };
    if (!file_read(path, &text, e)) return false;
    bool ok = !out_path || file_out_open(&file, out_path, e);
    if (ok && !run_lines(&run, &text, limit, e)) ok = err_in(e, "%s", path);
    if (ok && out_path) ok = file_out_commit(&file, e);
    if (!ok) file_out_abort(&file);
    out->mean_ms = out->all.n ? run.ms / out->all.n : 0;
    str_done(&text);
    if (!ok) eval_report_done(out);
    return ok;
}

/* ---- the report ------------------------------------------------------------------------------ */

void eval_report_done(struct eval_report *r)
{
    mem_free(r->kind);
    *r = (struct eval_report){ 0 };
}

void eval_interval(int n, int k, double *low, double *high)
{
    const double z = 1.959963984540054;
    *low = 0, *high = 1;
    if (n <= 0) return;
    double p = (double)k / n, d = 1 + z * z / n;
    double mid = (p + z * z / (2 * n)) / d,
           half = z * sqrt(p * (1 - p) / n + z * z / (4.0 * n * n)) / d;
    *low = k == 0 ? 0 : mid - half;
    *high = k == n ? 1 : mid + half;
}

static double share(const struct tally *t) { return t->n ? (double)t->exact / t->n : 0; }

static void print_row(const struct tally *t, struct str *out)
{
    double low, high;
    eval_interval(t->n, t->exact, &low, &high);
    str_fmt(out, "%-12s %6d %6d  %5.1f %%   %5.1f to %5.1f\n", t->kind, t->n, t->exact,
            100 * share(t), 100 * low, 100 * high);
}

void eval_report_print(const struct eval_report *r, struct str *out)
{
    str_fmt(out, "%-12s %6s %6s  %7s   %s\n", "kind", "n", "exact", "share", "95 % interval");
    for (int i = 0; i < r->n_kind; i++) print_row(&r->kind[i], out);
    print_row(&r->all, out);
    str_fmt(out, "mean time of an answer: %.1f ms\n", r->mean_ms);
}

static struct json *rounded(double x)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.4f", x);
    return json_new_number(text, (size_t)n);
}

static struct json *row_json(const struct tally *t)
{
    double low, high;
    struct json *o = json_new_object();
    eval_interval(t->n, t->exact, &low, &high);
    json_set(o, "n", json_new_int(t->n));
    json_set(o, "exact", rounded(share(t)));
    json_set(o, "low", rounded(low));
    json_set(o, "high", rounded(high));
    return o;
}

struct json *eval_report_json(const struct eval_report *r)
{
    struct json *o = json_new_object(), *kinds = json_new_object();
    json_set(o, "all", row_json(&r->all));
    for (int i = 0; i < r->n_kind; i++) json_set(kinds, r->kind[i].kind, row_json(&r->kind[i]));
    json_set(o, "kinds", kinds);
    json_set(o, "mean_ms", rounded(r->mean_ms));
    return o;
}
