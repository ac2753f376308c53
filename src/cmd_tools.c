/* cmd_tools.c -- `tenon tools`: what the given sources offer, one call by hand, and what the user agrees to. */
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
    struct toolset *ts = tools_open(&o->t, &(struct tools_use){ .retrieves = true }, &e);
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
    char *kept = backup_dir(NULL);
    struct toolset *ts = tools_open(&o->t, &(struct tools_use){ asks ? &term : NULL, true, kept, NULL }, &e);
    mem_free(kept);
    int rc = ts ? test_one(ts, arg[0], n_arg > 1 ? arg[1] : "{}", &e) : 1;
    toolset_close(ts);
    term_close(&term);
    return rc ? front_fail("tools test", &e) : 0;
}

/* ---- consent ---- */

static int run_trust(const void *opts, int n_arg, char **arg)
{
    struct err e = { 0 };
    return trust_folder(n_arg ? arg[0] : ".", &e) ? 0 : front_fail("tools trust", &e);
}

/* Tools that their servers define anew: what is different, and from now on they are taken as they are. */
static int run_accept(const void *opts, int n_arg, char **arg)
{
    const struct tools_cmd *o = opts;
    struct err e = { 0 };
    struct toolset *ts = tools_open(&o->t, &(struct tools_use){ .retrieves = true }, &e);
    if (!ts) return front_fail("tools accept", &e);
    for (size_t i = 0; i < toolset_n(ts); i++) {
        struct tool *t = toolset_at(ts, i);
        if (!t->changed || (n_arg && strcmp(arg[0], t->name))) continue;
        struct str s = { 0 };
        result_clean(&s, t->difference ? t->difference : "", t->difference ? strlen(t->difference) : 0);
        printf("%s (%s):\n%s", t->name, t->source, s.p ? s.p : "");
        str_done(&s);
        tool_accept(t);
    }
    toolset_close(ts);
    return 0;
}

/* Servers that want somebody to sign in are started, and the user is sent to their pages; what they give is remembered. */
static int run_login(const void *opts, int n_arg, char **arg)
{
    const struct tools_cmd *o = opts;
    struct err e = { 0 };
    struct term term;
    int status = 0;
    term_open(&term, stdout, stderr, true);
    struct toolset *ts = tools_open(&o->t, &(struct tools_use){ .retrieves = true, .signs_in = &term }, &e);
    if (!ts) return front_fail("tools login", &e);
    struct json *list = toolset_status(ts);
    bool found = !n_arg;
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = json_str(json_get(json_at(list, i), "server"), NULL);
        if (n_arg && strcmp(arg[0], name)) continue;
        found = true;
        const struct json *state = json_get(json_at(list, i), "state");
        const char *why = json_str(json_get(json_at(list, i), "error"), NULL);
        bool failed = json_str_is(state, "left out"), runs = json_str_is(state, "running") || (!failed && toolset_restart(ts, name, &e));
        if (failed) err_set(&e, ERR_ARG, "MCP server %.60s: %s", name, why ? why : "it did not come up");
        if (runs) printf("%s: ready\n", name);
        else status = front_fail("tools login", &e);
    }
    if (!found) status = (err_set(&e, ERR_ARG, "there is no MCP server '%.60s'", arg[0]), front_fail("tools login", &e));
    json_free(list);
    toolset_close(ts);
    return status;
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
const struct command cmd_tools_accept = {
    .verb = "tools accept", .args = "[NAME]", .sentence = "Agree to tools that their servers define in another way now; shows the difference.",
    .example = "tenon tools accept --tools tools.json", .opt = list_options, .n_opt = LEN(list_options) - 1,
    .defaults = &defaults, .opts_bytes = sizeof defaults, .max_arg = 1, .run = run_accept,
};
const struct command cmd_tools_trust = {
    .verb = "tools trust", .args = "[DIR]", .sentence = "Agree to the tools of a folder, DIR/.tenon/tools.json, as the file is now.",
    .example = "tenon tools trust .", .opt = list_options, .n_opt = 0,
    .defaults = &defaults, .opts_bytes = sizeof defaults, .max_arg = 1, .run = run_trust,
};
const struct command cmd_tools_login = {
    .verb = "tools login", .args = "[SERVER]", .sentence = "Sign in to MCP servers that want to know who asks; $BROWSER opens their pages.",
    .example = "tenon tools login --tools tools.json issues", .opt = list_options, .n_opt = LEN(list_options) - 1,
    .defaults = &defaults, .opts_bytes = sizeof defaults, .max_arg = 1, .run = run_login,
};
