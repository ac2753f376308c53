/* cmd_eval.c -- `tenon eval`: exact-call accuracy of a model over a file of conversations. */
#include <limits.h>

#include "eval/eval.h"
#include "front.h"
#include "speaker.h"

struct eval_opts {
    struct model_opts m;
    const char *data, *out;
    int64_t limit, steer;
    bool json;
};

static const struct eval_opts defaults = { .limit = 0, .steer = -1 };

static const struct opt options[] = {
    MODEL_OPTS(struct eval_opts),
    SPEAK_OPTS(struct eval_opts),
    { "Data", 0, "data", "FILE", OPT_STR, offsetof(struct eval_opts, data),
     "lines {id, kind, tools, messages, expect, must_contain?}, may be .gz (needed)" },
    { "Data", 0, "limit", "N", OPT_INT, offsetof(struct eval_opts, limit),
     "ask only the first N (default: 0, all)" },
    { "Generation", 0, "steer", "BITS", OPT_INT, offsetof(struct eval_opts, steer),
     "help for tiny models: 1 call or text by mass, 2 whole names (default: 3 for the "
     "embedded model, else 0)" },
    { "Output", 0, "out", "FILE", OPT_STR, offsetof(struct eval_opts, out),
     "keep every answer with its verdict, a JSON object a line" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct eval_opts, json),
     "the numbers as JSON (default: a table)" },
};

struct asker { struct engine *engine; int64_t steer; };

/* ask_fn over an engine. */
static bool ask(void *ctx, struct json *body, struct message *out, struct err *e)
{
    const struct asker *a = ctx;
    struct request r;
    if (a->steer >= 0) json_set(body, "steer", json_new_int(a->steer));
    if (!request_read(&r, body, e)) return false;
    bool ok = engine_run(a->engine, &r, message_event, out, e);
    request_done(&r);
    return ok;
}

static void print_report(const struct eval_report *r, bool json)
{
    struct str s = { 0 };
    if (json) {
        struct json *v = eval_report_json(r);
        json_write(&s, v, JSON_COMPACT);
        str_putc(&s, '\n');
        json_free(v);
    } else eval_report_print(r, &s);
    fwrite(s.p, 1, s.len, stdout);
    str_done(&s);
}

static bool measure(const struct eval_opts *o, struct err *e)
{
    struct speaker s;
    struct eval_report r;
    struct speaker_opts so = SPEAKER_OPTS(&o->m);
    if (!speaker_open(&s, &so, e)) return false;
    struct asker a = { s.engine, o->steer };
    bool ok = eval_toolcall(o->data, ask, &a, o->out, (int)o->limit, &r, e);
    if (ok) {
        print_report(&r, o->json);
        eval_report_done(&r);
    }
    speaker_close(&s);
    return ok;
}

static int run(const void *opts, int n_arg, char **arg)
{
    const struct eval_opts *o = opts;
    struct err e = { 0 };
    if (!o->data) err_set(&e, ERR_USAGE, "--data FILE is needed (tenon help eval)");
    else if (o->steer < -1 || o->steer > STEER_ALL)
        err_set(&e, ERR_USAGE, "--steer: 0 to %d is accepted", STEER_ALL);
    else if (o->limit < 0 || o->limit > INT_MAX)
        err_set(&e, ERR_USAGE, "--limit: a count is needed");
    else if (measure(o, &e)) return 0;
    return front_fail("eval", &e);
}

const struct command cmd_eval = {
    .verb = "eval",
    .args = "",
    .sentence = "Measure exact-call accuracy per kind over a file of conversations.",
    .example = "tenon eval --data held_out.jsonl.gz --json",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run,
};
