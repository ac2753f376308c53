/* cmd_eval.c -- `tenon eval`, `eval bfcl`, `eval sgd`: accuracy of calls over files of questions. */
#include <limits.h>

#include "asker.h"
#include "teach.h"

struct eval_opts {
    struct model_opts m;
    struct ask_opts a;
    const char *data, *tools;
    int64_t limit;
};

static const struct eval_opts defaults = { .a = ASK_DEFAULTS };

#define LIMIT_OPT(what) \
    { "Data", 0, "limit", "N", OPT_INT, offsetof(struct eval_opts, limit), "ask only the first N of " what " (default: 0, all)" }

static const struct opt data_options[] = {
    MODEL_OPTS(struct eval_opts),
    SPEAK_OPTS(struct eval_opts),
    { "Data", 0, "data", "FILE", OPT_STR, offsetof(struct eval_opts, data),
     "lines {id, kind, tools, messages, expect, must_contain?} or {query, tools, answers}, may be .gz (needed)" },
    { "Data", 0, "tools", "FILE", OPT_STR, offsetof(struct eval_opts, tools), "tools of the lines that list none (default: none)" },
    LIMIT_OPT("the file"),
    ASK_OPTS(struct eval_opts),
};
static const struct opt file_options[] = {
    MODEL_OPTS(struct eval_opts),
    SPEAK_OPTS(struct eval_opts),
    LIMIT_OPT("each file"),
    ASK_OPTS(struct eval_opts),
};

/* ---- what is measured, and how it is printed -------------------------------------------------------- */

static bool measure_data(const struct lines *l, const struct asking *a, bool json, struct err *e)
{
    struct eval_report r;
    struct str s = { 0 };
    if (!eval_toolcall(l, a, &r, e)) return false;
    eval_report_print(&r, &s);
    asker_print(&s, json ? eval_report_json(&r) : NULL);
    eval_report_done(&r);
    return true;
}

static bool measure_bfcl(const struct lines *l, const struct asking *a, bool json, struct err *e)
{
    struct eval_report r;
    struct str s = { 0 };
    if (!eval_bfcl(l, a, &r, e)) return false;
    eval_bfcl_print(&r, &s);
    asker_print(&s, json ? eval_bfcl_json(&r) : NULL);
    eval_report_done(&r);
    return true;
}

static bool measure_sgd(const struct lines *l, const struct asking *a, bool json, struct err *e)
{
    struct sgd_report r;
    struct str s = { 0 };
    if (!eval_sgd(l, a, &r, e)) return false;
    eval_sgd_print(&r, &s);
    asker_print(&s, json ? eval_sgd_json(&r) : NULL);
    eval_report_done(&r.points);
    return true;
}

typedef bool measure_fn(const struct lines *l, const struct asking *a, bool json, struct err *e);

/* Lines in the forms that fine-tuning reads become questions; those of our own shape stay as they are. */
static bool read_any(const struct json *line, struct err *e)
{
    return json_is(line, JSON_OBJECT) || err_set(e, ERR_FORMAT, "an object is needed");
}

static const struct benchmark any_line = { .check = read_any };

static bool read_question(struct json **line, const struct json *tools, struct err *e)
{
    if (tools && !json_get(*line, "tools")) json_set(*line, "tools", json_copy(tools));
    if (!json_get(*line, "expect")) {
        struct json *q = teach_question(*line, tools, e);
        if (!q) return false;
        json_free(*line);
        *line = q;
    }
    return bench_toolcall.check(*line, e);
}

static bool read_questions(struct lines *l, const struct eval_opts *o, struct err *e)
{
    struct json *tools = o->tools ? tools_read(o->tools, e) : NULL;
    bool ok = (!o->tools || tools) && lines_read(l, o->data, (int)o->limit, &any_line, e);
    for (int i = 0; ok && i < l->n; i++)
        ok = read_question(&l->line[i], tools, e) || err_in(e, "%s: line %d", o->data, i + 1);
    json_free(tools);
    return ok;
}

/* All files are read before the first question: a malformed line costs no time. */
static bool measure(const struct eval_opts *o, char **path, int n_path, const struct benchmark *b,
                    measure_fn *fn, struct err *e)
{
    struct lines lines = { 0 };
    struct asker k;
    struct asking a;
    bool ok = o->limit >= 0 && o->limit <= INT_MAX;
    if (!ok) err_set(e, ERR_USAGE, "--limit: a count is needed");
    if (ok && b == &bench_toolcall) ok = read_questions(&lines, o, e);
    else for (int i = 0; ok && i < n_path; i++) ok = lines_read(&lines, path[i], (int)o->limit, b, e);
    if (ok && (ok = asker_open(&k, &o->m, &o->a, &a, e))) {
        ok = fn(&lines, &a, o->a.json, e);
        asker_close(&k);
    }
    lines_done(&lines);
    return ok;
}

/* ---- the verbs ---------------------------------------------------------------------------------------- */

static int run(const void *opts, int n_arg, char **arg)
{
    const struct eval_opts *o = opts;
    struct err e = { 0 };
    char *path = (char *)(uintptr_t)o->data;
    if (!path) err_set(&e, ERR_USAGE, "--data FILE is needed (tenon help eval)");
    else if (measure(o, &path, 1, &bench_toolcall, measure_data, &e)) return 0;
    return front_fail("eval", &e);
}

static int run_bfcl(const void *opts, int n_arg, char **arg)
{
    struct err e = { 0 };
    return measure(opts, arg, n_arg, &bench_bfcl, measure_bfcl, &e) ? 0
                                                                    : front_fail("eval bfcl", &e);
}

static int run_sgd(const void *opts, int n_arg, char **arg)
{
    struct err e = { 0 };
    return measure(opts, arg, n_arg, &bench_sgd, measure_sgd, &e) ? 0 : front_fail("eval sgd", &e);
}

const struct command cmd_eval = {
    .verb = "eval",
    .args = "",
    .sentence = "Measure exact-call accuracy per kind over a file of conversations.",
    .example = "tenon eval --data held_out.jsonl.gz --json",
    .opt = data_options,
    .n_opt = LEN(data_options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run,
};

const struct command cmd_eval_bfcl = {
    .verb = "eval bfcl",
    .args = "FILE…",
    .sentence =
        "Berkeley function-calling leaderboard, single turn: accuracy per category, and totals.",
    .example = "tenon eval bfcl simple_python.jsonl multiple.jsonl live_multiple.jsonl.gz",
    .opt = file_options,
    .n_opt = LEN(file_options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 1,
    .max_arg = -1,
    .run = run_bfcl,
};

const struct command cmd_eval_sgd = {
    .verb = "eval sgd",
    .args = "FILE…",
    .sentence =
        "Schema-Guided Dialogue: accuracy of calls and of staying silent, for known and unknown services.",
    .example = "tenon eval sgd dev_points.jsonl.gz",
    .opt = file_options,
    .n_opt = LEN(file_options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 1,
    .max_arg = -1,
    .run = run_sgd,
};
