/* cmd_run.c -- `tenon run`: one question, tools executed, one answer; for scripts and pipes.
 *
 * stdout is the answer (or one JSON object, or a line of JSON per event), stderr everything else. The exit status
 * says how it ended: 0 answer, 1 internal error, 2 usage, 3 a bound, 4 a tool was denied, 5 the last tool failed, 6 a call was not sure,
 * 130 interrupted. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "talker.h"

struct run_opts { union { struct talk_opts k; struct model_opts m; };    /* k begins with m */
    const char *schema, *replay; bool json, jsonl, call_only, quiet, stats; };
static const struct opt options[] = {
    TALK_OPTS(struct run_opts, k),
    { "Tools", 0, "attach", "FILE", OPT_LIST, offsetof(struct run_opts, k.attach), "copied into /box of the tool python; may be repeated (default: none)" },
    { "Generation", 0, "schema", "FILE", OPT_STR, offsetof(struct run_opts, schema), "JSON Schema that the answer satisfies (default: free text)" },
    { "Record", 0, "replay", "FILE", OPT_STR, offsetof(struct run_opts, replay), "run a recorded conversation (JSON Lines) anew with its recorded results (default: off)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct run_opts, json), "one object: text, calls, usage, stop (default: the text)" },
    { "Output", 0, "jsonl", NULL, OPT_FLAG, offsetof(struct run_opts, jsonl), "an object a line for each event (default: the text)" },
    { "Output", 0, "call-only", NULL, OPT_FLAG, offsetof(struct run_opts, call_only), "print the calls of the first answer and run nothing (default: off)" },
    { "Output", 0, "quiet", NULL, OPT_FLAG, offsetof(struct run_opts, quiet), "no lines about calls on stderr (default: off)" },
    { "Output", 0, "stats", NULL, OPT_FLAG, offsetof(struct run_opts, stats), "tokens and speed on stderr at the end (default: off)" },
};
static const struct run_opts defaults = { .k = { TALK_DEFAULTS } };

struct show { const struct run_opts *o; struct term term; struct json *calls; };

/* ---- events ---- */

static void print_line(struct json *v)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    str_putc(&s, '\n');
    fwrite(s.p, 1, s.len, stdout);
    fflush(stdout);
    str_done(&s);
    json_free(v);
}

static struct json *call_json(const struct agent_event *ev)
{
    struct json *c = json_new_object(), *args = json_parse(ev->args.p ? ev->args.p : "", ev->args.len, NULL);
    json_set(c, "id", json_new_str(ev->id));
    json_set(c, "name", json_new_str(ev->name));
    json_set(c, "arguments", args ? args : json_new_strn(ev->args.p ? ev->args.p : "", ev->args.len));
    json_set(c, "result", json_new_strn(ev->text.p ? ev->text.p : "", ev->text.len));
    json_set(c, "is_error", json_new_bool(ev->is_error));
    json_set(c, "ran", json_new_bool(ev->ran));
    json_set(c, "ms", json_new_f64((double)(int64_t)(ev->ms * 1000) / 1000));
    if (ev->files) json_set(c, "files", json_copy(ev->files));
    return c;
}

static void print_event(const struct agent_event *ev)
{
    static const char *const kinds[] = { [AG_MODEL] = "delta", [AG_TURN] = "turn", [AG_RUN] = "run", [AG_RESULT] = "result", [AG_NOTE] = "note" };
    struct json *o = json_new_object();
    json_set(o, "event", json_new_str(kinds[ev->kind]));
    struct json *delta = ev->kind == AG_MODEL ? event_delta(ev->ev) : NULL;
    if (ev->kind == AG_MODEL && (!delta || !json_len(delta))) {
        json_free(delta);
        json_free(o);
        return;
    }
    if (delta) json_set(o, "delta", delta);
    if (ev->kind == AG_TURN) json_set(o, "turn", json_new_int(ev->turn));
    if (ev->kind == AG_RUN) json_set(o, "id", json_new_str(ev->id)), json_set(o, "name", json_new_str(ev->name));
    if (ev->kind == AG_RESULT) json_set(o, "call", call_json(ev));
    if (ev->kind == AG_NOTE) json_set(o, "text", json_new_strn(ev->text.p, ev->text.len));
    print_line(o);
}

static void on_event(void *ctx, const struct agent_event *ev)
{
    struct show *s = ctx;
    if (ev->kind == AG_RESULT) json_push(s->calls, call_json(ev));
    if (s->o->jsonl) print_event(ev);
    else if (!s->o->json) term_event(&s->term, ev);
}

static enum answer on_ask(void *ctx, const struct question *q, struct str *reason, struct json **args)
{
    return term_ask(&((struct show *)ctx)->term, q, reason, args);
}

/* ---- the end ---- */

static struct json *usage_json(const struct agent_report *r)
{
    struct json *u = json_new_object();
    json_set(u, "prompt_tokens", json_new_int(r->usage.prompt_tokens));
    json_set(u, "cached_tokens", json_new_int(r->usage.cached_tokens));
    json_set(u, "completion_tokens", json_new_int(r->usage.completion_tokens));
    if (r->cost > 0) json_set(u, "cost", json_new_f64(r->cost));
    json_set(u, "turns", json_new_int(r->turns));
    json_set(u, "ms", json_new_f64((double)(int64_t)(r->ms * 1000) / 1000));
    return u;
}

static struct json *report_json(struct show *s, const struct agent_report *r)
{
    struct json *o = json_new_object();
    json_set(o, "text", json_new_strn(r->text.p ? r->text.p : "", r->text.len));
    json_set(o, "calls", json_copy(s->calls));
    json_set(o, "usage", usage_json(r));
    json_set(o, "stop", json_new_str(stop_name(r->stop)));
    if (r->was_cut) json_set(o, "cut", json_new_bool(true));
    if (r->err.code) json_set(o, "error", json_new_str(r->err.msg));
    return o;
}

static void say_end(const struct agent_report *r)
{
    if (r->err.code) fprintf(stderr, "tenon run: %s\n", r->err.msg);
    else if (r->stop != STOP_ANSWER) fprintf(stderr, "tenon run: stopped (%s)\n", stop_name(r->stop));
    else if (r->was_cut) fputs("tenon run: the token limit cut the answer\n", stderr);
    else if (r->failed_at_end) fputs("tenon run: the last tool failed\n", stderr);
}

static int finish(struct show *s, const struct talker *t, const struct agent_report *r)
{
    term_end(&s->term);
    if (s->o->json) print_line(report_json(s, r));
    if (s->o->jsonl) {
        struct json *o = report_json(s, r);
        json_set(o, "event", json_new_str("stop"));
        print_line(o);
    }
    say_end(r);
    if (s->o->stats) term_stats(&s->term, r, t->model.n_ctx);
    return agent_exit_status(r);
}

/* ---- the prompt ---- */

/* Words of the command line, then what a pipe or a file gives on stdin. */
static bool read_prompt(int n, char **arg, struct str *out, struct err *e)
{
    struct stat st;
    bool wants = !n, has = !fstat(STDIN_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
    for (int i = 0; i < n; i++) {
        if (!strcmp(arg[i], "-")) wants = true;
        else str_fmt(out, "%s%s", out->len ? " " : "", arg[i]);
    }
    if (wants || has) {
        struct str in = { 0 };
        if (wants && isatty(STDIN_FILENO)) return err_set(e, ERR_USAGE, "a PROMPT is needed, as arguments or on stdin");
        if (!file_read("-", &in, e)) return str_done(&in), false;
        while (in.len && in.p[in.len - 1] == '\n') in.p[--in.len] = 0;
        if (in.len && out->len) str_puts(out, "\n\n");
        str_put(out, in.p ? in.p : "", in.len);
        str_done(&in);
    }
    if (!out->len) return err_set(e, ERR_USAGE, "a PROMPT is needed, as arguments or on stdin");
    if (strlen(out->p) != out->len || !utf8_valid(out->p, out->len)) return err_set(e, ERR_ARG, "the prompt is not UTF-8, or holds a NUL");
    return true;
}

static bool put_schema(const struct run_opts *o, struct agent *l, struct err *e)
{
    if (!o->schema) return true;
    struct json *schema = json_read(o->schema, e), *f, *js;
    if (!schema) return false;
    f = json_new_object(), js = json_new_object();
    json_set(js, "name", json_new_str("answer"));
    json_set(js, "strict", json_new_bool(true));
    json_set(js, "schema", schema);
    json_set(f, "type", json_new_str("json_schema"));
    json_set(f, "json_schema", js);
    agent_set(l, "response_format", f);
    return true;
}

/* ---- the ways to run ---- */

static int call_only(const struct run_opts *o, struct talker *t, const char *prompt, struct err *e)
{
    struct json *body = json_new_object(), *list = json_new_array(), *msg = json_new_object();
    struct message answer = { 0 };
    struct str s = { 0 };
    json_set(msg, "role", json_new_str("user"));
    json_set(msg, "content", json_new_str(prompt));
    if (o->k.system) {
        struct json *system = json_new_object();
        json_set(system, "role", json_new_str("system"));
        json_set(system, "content", json_new_str(o->k.system));
        json_push(list, system);
    }
    json_push(list, msg);
    json_set(body, "messages", list);
    if (toolset_n(t->tools)) json_set(body, "tools", toolset_definitions(t->tools));
    if (!t->remote) t->speaker.tools_max = (int)o->k.tools_max;       /* no loop that chooses */
    bool ok = t->model.speak(t->model.ctx, body, message_event, &answer, e);
    if (ok && o->json) print_line(message_json(&answer));
    else if (ok) message_print(&answer, &s);
    fwrite(s.p ? s.p : "", 1, s.len, stdout);
    str_done(&s);
    message_done(&answer);
    return ok ? 0 : front_fail("run", e);
}

static int ask(struct show *s, struct talker *t, const char *prompt)
{
    struct agent_report r = { 0 };
    talker_catch(t);
    talker_send(t, prompt, &r);
    int status = finish(s, t, &r);
    agent_report_done(&r);
    return status;
}

/* All questions of the recording; 0 if every call was in it and none was missing. */
static int replay(struct show *s, struct talker *t, struct rerun *r)
{
    int status = 0, calls = 0;
    for (size_t i = 0; i < json_len(r->events); i++) calls += json_str_is(json_get(json_at(r->events, i), "kind"), "call");
    for (size_t i = 0; i < json_len(r->prompts) && !status; i++) {
        const char *text = json_str(json_at(r->prompts, i), NULL);
        status = text ? ask(s, t, text) : 1;
        if (status == 5) status = 0;                                  /* it failed in the recording too */
    }
    fprintf(stderr, "tenon run: %d of %d recorded calls were made, %d others\n", r->n_known, calls, r->n_call - r->n_known);
    return status ? status : r->n_known == calls && r->n_call == calls ? 0 : 1;
}

static int start(struct show *s, struct toolset *tools, const char *prompt, struct rerun *r)
{
    const struct run_opts *o = s->o;
    struct err e = { 0 };
    struct talker t;
    struct agent_ui ui = { .event = on_event, .ctx = s };
    int status = 1;
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !o->json && !o->jsonl) ui.ask = on_ask;
    if (!talker_open(&t, &o->k, tools, &ui, ui.ask ? &s->term : NULL, 600000, &e)) return front_fail("run", &e);
    if (!put_schema(o, t.loop, &e)) status = front_fail("run", &e);
    else if (r) status = replay(s, &t, r);
    else if (o->call_only) status = call_only(o, &t, prompt, &e);
    else status = ask(s, &t, prompt);
    talker_close(&t);
    return status;
}

static int run_replay(struct show *s)
{
    struct err e = { 0 };
    struct rerun r;
    if (!rerun_open(&r, s->o->replay, &e)) return front_fail("run", &e);
    struct toolset *ts = toolset_open(NULL);
    int status = 1;
    if (!rerun_tools(&r, ts, &e)) toolset_close(ts), status = front_fail("run", &e);
    else status = start(s, ts, NULL, &r);
    rerun_done(&r);
    return status;
}

static int run(const void *opts, int n_arg, char **arg)
{
    const struct run_opts *o = opts;
    struct show s = { .o = o, .calls = json_new_array() };
    struct str prompt = { 0 };
    struct err e = { 0 };
    int status;
    term_open(&s.term, stdout, stderr, false);
    s.term.quiet = o->quiet;
    if (o->replay) status = n_arg ? (err_set(&e, ERR_USAGE, "--replay takes its questions from the recording"), front_fail("run", &e)) : run_replay(&s);
    else if (read_prompt(n_arg, arg, &prompt, &e)) status = start(&s, NULL, prompt.p, NULL);
    else status = front_fail("run", &e);
    term_close(&s.term);
    str_done(&prompt);
    json_free(s.calls);
    return status;
}

const struct command cmd_run = {
    .verb = "run",
    .args = "PROMPT…",
    .sentence = "Ask once; tools are executed, the answer is printed. stdin is added to the prompt.",
    .example = "tenon run --tools examples/tools.json \"how many lines has README.md?\"",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .max_arg = -1,
    .run = run,
};
