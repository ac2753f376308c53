/* cmd_tools.c -- `tenon tools list` and `tenon tools test`: what the given sources offer, and one call by hand. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "talker.h"

struct tools_cmd { struct tool_opts t; bool json; };
static const struct opt list_options[] = {
    TOOL_OPTS(struct tools_cmd, t),
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct tools_cmd, json), "an OpenAI tools array, with source, approve and read_only (default: a line a tool)" },
};

static void list_json(const struct toolset *ts)
{
    struct json *list = toolset_described(ts);
    struct str s = { 0 };
    json_write(&s, list, JSON_PRETTY);
    puts(s.p);
    str_done(&s);
    json_free(list);
}

static void list_lines(const struct toolset *ts)
{
    for (size_t i = 0; i < toolset_n(ts); i++) {
        struct tool *t = toolset_at(ts, i);
        struct str sign = { 0 }, line = { 0 };
        tool_signature(&sign, t->function);
        result_escape(&line, sign.p, sign.len);
        printf("%-5s %-10s %s\n", policy_name(t->policy), t->source, line.p);
        str_done(&sign);
        str_done(&line);
    }
}

static int run_list(const void *opts, int n_arg, char **arg)
{
    const struct tools_cmd *o = opts;
    struct err e = { 0 };
    struct toolset *ts = tools_open(&o->t, NULL, &e);
    if (!ts) return front_fail("tools list", &e);
    if (o->json) list_json(ts);
    else list_lines(ts);
    toolset_close(ts);
    return 0;
}

/* One call: the same check and the same runner as in the loop, but no approval: the user says it by hand. */
static int test_one(struct toolset *ts, const char *name, const char *text, struct err *e)
{
    struct tool *t = toolset_find(ts, name);
    struct json *args = json_parse(text, strlen(text), e);
    struct tool_result r = { 0 };
    struct cancel c;
    if (!args) return err_in(e, "ARGUMENTS"), 1;
    if (!t) {
        struct tool *near = toolset_nearest(ts, name);
        err_set(e, ERR_ARG, "there is no tool '%.60s'%s%s", name, near ? "; the nearest is " : "", near ? near->name : "");
    } else if (!schema_check(t->schema, args, NULL, e)) err_in(e, "ARGUMENTS");
    else if (cancel_init(&c, e)) {
        toolset_call(ts, t, args, &c, &r);
        printf("%s\n", r.text.p ? r.text.p : "");
        for (size_t i = 0; i < json_len(r.files); i++) fprintf(stderr, "file: %s\n", json_str(json_get(json_at(r.files, i), "path"), NULL));
        if (r.is_error) err_set(e, ERR_IO, "the tool %.60s failed", name);
        cancel_done(&c);
    }
    json_free(args);
    tool_result_done(&r);
    return e->code != ERR_NONE;
}

static int run_test(const void *opts, int n_arg, char **arg)
{
    const struct tools_cmd *o = opts;
    struct err e = { 0 };
    struct term term;
    bool asks = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    term_open(&term, stdout, stderr, true);
    struct toolset *ts = tools_open(&o->t, asks ? &term : NULL, &e);
    int rc = ts ? test_one(ts, arg[0], n_arg > 1 ? arg[1] : "{}", &e) : 1;
    toolset_close(ts);
    term_close(&term);
    return rc ? front_fail("tools test", &e) : 0;
}

static const struct tools_cmd defaults;
const struct command cmd_tools_list = {
    .verb = "tools list", .args = "", .sentence = "List what tool sources offer: approval, source, signature.",
    .example = "tenon tools list --tools examples/tools.json", .opt = list_options, .n_opt = LEN(list_options),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .run = run_list,
};
const struct command cmd_tools_test = {
    .verb = "tools test", .args = "NAME [ARGUMENTS]", .sentence = "Run one tool by hand, with arguments as JSON.",
    .example = "tenon tools test --tools examples/tools.json count_lines '{\"path\":\"README.md\"}'", .opt = list_options, .n_opt = LEN(list_options) - 1,
    .defaults = &defaults, .opts_bytes = sizeof defaults, .min_arg = 1, .max_arg = 2, .run = run_test,
};
