/* command.c -- tools that are programs of this machine.
 *
 * argv is an array and stays one: {param} replaces a whole element or a part of one, and only an array parameter
 * that is a whole element may become several. There is no shell, so nothing in a value can start a second command;
 * what remains are options, and an element whose first character came from a value may not be '-' unless `--`
 * stands before it or the tool says "dash_ok". An element that names an optional parameter which the call leaves
 * out goes with it. {{ is a brace.
 *
 * "describe": a program that says itself what it offers; its tools are called by name, arguments on stdin. */
#include <errno.h>
#include <stdlib.h>

#include "agent/int.h"

#define TIMEOUT_MS 60000
#define OUTPUT_MOST 65536
#define DESCRIBE_MS 10000
#define DESCRIBE_MOST ((size_t)4 << 20)

enum sandbox { SANDBOX_NONE, SANDBOX_RO, SANDBOX_RW };                /* RW: the folder it runs in may be written */
struct command { struct words argv, env; char *cwd, *in; size_t most; bool dash_ok; enum sandbox sandbox; };

static void command_free(struct command *c)
{
    if (!c) return;
    words_done(&c->argv);
    words_done(&c->env);
    mem_free(c->cwd);
    mem_free(c->in);
    mem_free(c);
}

static void command_close(struct tool *t) { command_free(t->ctx); }

/* ---- filling in ---- */

static bool put_value(struct str *out, const struct json *v, struct tool_result *why)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (!s) json_write(out, v, JSON_COMPACT);
    else if (strlen(s) != n) {
        tool_fail(why, "A value holds a NUL character, which no program can take; leave it out.");
        return false;
    } else str_put(out, s, n);
    return true;
}

/* One element; *absent: it names a parameter that is not there. */
static bool fill_element(const char *e, const struct json *args, struct str *out, bool *absent, struct tool_result *why)
{
    while (*e) {
        size_t n = slot_len(e);
        if (n) {
            const struct json *v = slot_value(args, e, n);
            if (!v || json_is(v, JSON_NULL)) return *absent = true;
            if (!put_value(out, v, why)) return false;
            e += n;
        } else {
            str_putc(out, *e);
            e += e[0] == '{' && e[1] == '{' ? 2 : 1;
        }
    }
    return true;
}

static bool dash_is_fine(const struct command *c, bool after_dashes, const char *element, const char *filled, struct tool_result *why)
{
    if (c->dash_ok || after_dashes || *filled != '-' || !slot_len(element)) return true;
    tool_fail(why, "The value '%.60s' begins with '-' and would be read as an option; write it another way (for a path: ./%.60s).", filled, filled);
    return false;
}

static bool fill_array(const struct command *c, const char *element, const struct json *list, bool after_dashes, struct words *out,
                       struct tool_result *why)
{
    for (size_t k = 0; k < json_len(list); k++) {
        struct str s = { 0 };
        if (!put_value(&s, json_at(list, k), why) || !dash_is_fine(c, after_dashes, element, s.p ? s.p : "", why)) return str_done(&s), false;
        words_put(out, str_take(&s));
    }
    return true;
}

static bool fill(const struct command *c, const struct json *args, struct words *out, struct tool_result *why)
{
    bool after_dashes = false;
    for (int i = 0; i < c->argv.n; i++) {
        const char *e = c->argv.p[i];
        size_t n = slot_len(e);
        const struct json *whole = n && !e[n] ? slot_value(args, e, n) : NULL;
        if (json_is(whole, JSON_ARRAY)) {
            if (!fill_array(c, e, whole, after_dashes, out, why)) return false;
            continue;
        }
        struct str s = { 0 };
        bool absent = false;
        if (!fill_element(e, args, &s, &absent, why) || (!absent && !dash_is_fine(c, after_dashes, e, s.p ? s.p : "", why)))
            return str_done(&s), false;
        if (absent) str_done(&s);
        else words_put(out, str_take(&s));
        if (!strcmp(e, "--")) after_dashes = true;
    }
    return true;
}

/* ---- the answer ---- */

/* Output that is a JSON object or array; owned, NULL: it is not. */
static struct json *read_json(const struct str *s)
{
    const char *p = s->p ? s->p : "";
    while (*p && strchr(" \t\r\n", *p)) p++;
    return *p == '{' || *p == '[' ? json_parse(s->p, s->len, NULL) : NULL;
}

static void put_stderr(struct str *out, struct process_end *end)
{
    while (end->err.len && end->err.p[end->err.len - 1] == '\n') end->err.p[--end->err.len] = 0;
    if (!end->err.len) return;
    str_fmt(out, "%s[stderr] %s", out->len && out->p[out->len - 1] != '\n' ? "\n" : "", end->err.p);
}

/* What ended it, in words that say what to do next; "" for a normal end. */
static void put_end(struct str *out, const struct process_end *end, int timeout_ms)
{
    if (end->cancelled) str_puts(out, "cancelled by the user");
    else if (end->timed_out) str_fmt(out, "Stopped after %d ms without an end; ask for less.", timeout_ms);
    else if (end->flooded) str_fmt(out, "Stopped: it wrote more than %d MiB; ask for less.", 64);
    else if (end->signal) str_fmt(out, "The program was ended by signal %d (%s).", end->signal, strsignal(end->signal));
    else if (end->status) str_fmt(out, "The program failed with exit status %d.", end->status);
}

static void report(struct process_end *end, const struct command *c, int timeout_ms, struct tool_result *out)
{
    struct str head = { 0 };
    put_end(&head, end, timeout_ms);
    out->is_error = head.len > 0;
    out->transient = end->timed_out;
    if (head.len) str_fmt(&out->text, "%s\n", head.p);
    while (end->out.len && end->out.p[end->out.len - 1] == '\n') end->out.len--;
    struct json *v = head.len || end->err.len || end->out_cut ? NULL : read_json(&end->out);
    if (v) json_write(&out->text, v, JSON_COMPACT), out->is_json = true;
    else str_put(&out->text, end->out.p ? end->out.p : "", end->out.len);
    json_free(v);
    if (end->out_cut)
        str_fmt(&out->text, "\n[output was kept up to %zu bytes]", c->most);
    put_stderr(&out->text, end);
    if (!out->text.len) str_puts(&out->text, "(no output, exit 0)");
    str_done(&head);
}

static void run_argv(const struct command *c, char *const *argv, struct bytes in, const struct invocation *call, struct tool_result *out)
{
    struct err e = { 0 };
    struct process_end end = { 0 };
    struct process_opts o = { .argv = argv, .env = c->env.p, .cwd = c->cwd, .in = in, .timeout_ms = call->timeout_ms, .most = c->most, .cancel = call->cancel };
    if (process_run(&o, &end, &e)) report(&end, c, call->timeout_ms, out);
    else tool_fail(out, "%s; the tool is not usable here.", e.msg);
    process_end_done(&end);
}

/* No network, the whole tree read-only, a /tmp of its own. */
static void put_sandbox(const struct command *c, struct words *argv)
{
    static const char *const bwrap[] = { "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
                                         "--unshare-all", "--die-with-parent", "--new-session" };
    for (size_t i = 0; i < LEN(bwrap); i++) words_put(argv, mem_str(bwrap[i]));
    if (c->sandbox == SANDBOX_RW)
        for (int i = 0; i < 3; i++) words_put(argv, mem_str(i ? c->cwd : "--bind"));
    else if (c->cwd && *c->cwd == '/')                                /* one below /tmp would be hidden by its own */
        for (int i = 0; i < 3; i++) words_put(argv, mem_str(i ? c->cwd : "--ro-bind"));
    words_put(argv, mem_str("--"));
}

static void command_invoke(struct tool *t, const struct invocation *call, struct tool_result *out)
{
    const struct command *c = t->ctx;
    struct words argv = { 0 };
    struct str in = { 0 };
    bool absent = false;
    if (c->sandbox) put_sandbox(c, &argv);
    if (fill(c, call->args, &argv, out)) {
        if (c->in && !strcmp(c->in, "json")) str_put(&in, call->text.p, call->text.len);
        else if (c->in) fill_element(c->in, call->args, &in, &absent, out);
        if (!out->is_error) run_argv(c, argv.p, (struct bytes){ in.p, in.len }, call, out);
    }
    words_done(&argv);
    str_done(&in);
}

static void put_line(struct str *out, const struct words *argv)
{
    for (int i = 0; i < argv->n; i++) {
        if (i) str_putc(out, ' ');
        if (*argv->p[i] && !strpbrk(argv->p[i], " \t\n\"'\\$`*?[]{}()<>|&;#~")) str_puts(out, argv->p[i]);
        else json_write_str(out, argv->p[i], strlen(argv->p[i]));
    }
}

static void command_preview(struct tool *t, const struct json *args, struct str *out)
{
    struct words argv = { 0 };
    struct tool_result why = { 0 };
    if (!fill(t->ctx, args, &argv, &why)) str_put(out, why.text.p, why.text.len);
    put_line(out, &argv);
    tool_result_done(&why);
    words_done(&argv);
}

/* ---- reading the configuration ---- */

static bool slots_declared(const char *element, const struct json *par, struct err *e)
{
    for (const char *p = element; *p; p++) {
        size_t n = slot_len(p);
        if (!strncmp(p, "{{", 2)) p++;
        if (n && !slot_value(json_get(par, "properties"), p, n))
            return err_set(e, ERR_ARG, "%.*s is not a parameter of the tool ({{ writes a brace)", (int)n, p);
    }
    return true;
}

static bool read_argv(struct toolset *ts, struct command *c, const struct json *v, const struct json *par, const char *dir, struct err *e)
{
    if (!json_is(v, JSON_ARRAY) || !json_len(v)) return err_set(e, ERR_ARG, "argv: an array of strings is needed, the program first; there is no shell");
    for (size_t i = 0; i < json_len(v); i++) {
        size_t len = 0;
        const char *s = json_str(json_at(v, i), &len);
        if (!s || strlen(s) != len || (!i && !len)) return err_set(e, ERR_ARG, "argv[%zu]: must be a string", i);
        if (!i && slot_len(s)) return err_set(e, ERR_ARG, "argv[0]: the program cannot be a parameter");
        char *word = toolset_expand(ts, s, dir, e);
        if (!word) return err_in(e, "argv[%zu]", i);
        words_put(&c->argv, word);
        if (!slots_declared(word, par, e)) return err_in(e, "argv[%zu]", i);
    }
    return true;
}

static bool read_stdin(struct command *c, const struct json *v, const struct json *par, struct err *e)
{
    const char *s = json_str(v, NULL);
    if (!v || json_str_is(v, "none")) return true;
    if (!s || (strcmp(s, "json") && !slot_len(s))) return err_set(e, ERR_ARG, "stdin: none, json and {parameter} are accepted");
    if (!slots_declared(s, par, e)) return err_in(e, "stdin");
    c->in = mem_str(s);
    return true;
}

static bool read_sandbox(struct command *c, const struct json *v, struct err *e)
{
    if (!v || json_str_is(v, "none")) return true;
    if (!json_str_is(v, "ro")) return err_set(e, ERR_ARG, "sandbox: none and ro are accepted");
    if (!program_exists("bwrap")) return err_set(e, ERR_UNSUPPORTED, "sandbox: bubblewrap (bwrap) is not installed, and nothing runs without the sandbox it asks for");
    c->sandbox = SANDBOX_RO;
    return true;
}

static bool read_rest(struct toolset *ts, struct command *c, const struct json *v, const char *dir, struct err *e)
{
    const struct json *cwd = json_get(v, "cwd"), *most = json_get(v, "max_output"), *dash = json_get(v, "dash_ok");
    int64_t n = OUTPUT_MOST;
    if (cwd && !json_is(cwd, JSON_STRING)) return err_set(e, ERR_ARG, "cwd: must be a string");
    if (cwd && !(c->cwd = toolset_expand(ts, json_str(cwd, NULL), dir, e))) return err_in(e, "cwd");
    if (most && (!json_i64(most, &n) || n < 1 || n > 64 << 20)) return err_set(e, ERR_ARG, "max_output: 1 to %d bytes are accepted", 64 << 20);
    if (dash && !json_is(dash, JSON_BOOL)) return err_set(e, ERR_ARG, "dash_ok: true and false are accepted");
    c->most = (size_t)n;
    c->dash_ok = json_bool(dash);
    return make_env(ts, json_get(v, "env"), dir, &c->env, e) && read_sandbox(c, json_get(v, "sandbox"), e);
}

static bool members_known(const struct json *v, struct err *e)
{
    static const char *const known[] = { "description", "parameters", "argv", "describe", "stdin", "cwd", "env", "timeout_ms", "max_output",
                                         "read_only", "idempotent", "sandbox", "dash_ok", "approve", "result_tokens", "pinned" };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known) return err_set(e, ERR_ARG, "'%.60s' is not a member of a command; argv, parameters, stdin, env … are (docs/tools.md)", it.key);
    }
    return json_is(v, JSON_OBJECT) || err_set(e, ERR_ARG, "must be an object");
}

static bool add_command(struct toolset *ts, struct command *c, const char *name, const struct json *config, struct err *e)
{
    struct tool *t = tool_new(name, "command");
    t->invoke = command_invoke;
    t->preview = command_preview;
    t->close = command_close;
    t->ctx = c;
    t->open_world = true;
    if (tool_configure(t, config, e)) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}

/* ---- a program that the model names ---- */

static bool run_words_of(const struct json *args, struct words *argv, struct tool_result *why)
{
    const struct json *list = json_get(args, "argv");
    bool ok = true;
    for (size_t i = 0; ok && i < json_len(list); i++) {
        struct str s = { 0 };
        ok = put_value(&s, json_at(list, i), why);
        if (ok) words_put(argv, str_take(&s));
        str_done(&s);
    }
    return ok;
}

static void run_invoke(struct tool *t, const struct invocation *call, struct tool_result *out)
{
    const struct command *c = t->ctx;
    struct words argv = { 0 };
    size_t n = 0;
    const char *in = json_str(json_get(call->args, "stdin"), &n);
    if (c->sandbox) put_sandbox(c, &argv);
    if (run_words_of(call->args, &argv, out)) run_argv(c, argv.p, (struct bytes){ in, in ? n : 0 }, call, out);
    words_done(&argv);
}

static void run_preview(struct tool *t, const struct json *args, struct str *out)
{
    struct words argv = { 0 };
    struct tool_result why = { 0 };
    const char *in = json_str(json_get(args, "stdin"), NULL);
    run_words_of(args, &argv, &why);
    put_line(out, &argv);
    if (in && *in) str_fmt(out, "\n< %s", in);
    tool_result_done(&why);
    words_done(&argv);
}

/* Does the sandbox work here? Kernels may refuse what is installed. */
static bool try_sandbox(const struct command *c, struct err *e)
{
    struct words argv = { 0 };
    struct process_end end = { 0 };
    put_sandbox(c, &argv);
    words_put(&argv, mem_str("true"));
    struct process_opts o = { .argv = argv.p, .env = c->env.p, .cwd = c->cwd, .timeout_ms = DESCRIBE_MS, .most = 4096 };
    bool ok = process_run(&o, &end, e) && (!end.status || err_set(e, ERR_UNSUPPORTED, "there is no sandbox here (%.160s)", end.err.p ? end.err.p : "bwrap failed"));
    process_end_done(&end);
    words_done(&argv);
    return ok;
}

static bool set_sandbox(struct command *c, const char *how, struct err *e)
{
    static const char *const words[] = { [SANDBOX_NONE] = "none", [SANDBOX_RO] = "ro", [SANDBOX_RW] = "rw" };
    for (int i = 0; i < (int)LEN(words); i++) {
        if (strcmp(how, words[i])) continue;
        c->sandbox = (enum sandbox)i;
        if (!i || (program_exists("bwrap") && try_sandbox(c, e))) return true;
        if (!e->code) err_set(e, ERR_UNSUPPORTED, "bubblewrap (bwrap) is not installed");
        return err_in(e, "the tool run");
    }
    return err_set(e, ERR_ARG, "--run-sandbox: ro, rw and none are accepted, not '%.40s'", how);
}

bool run_add(struct toolset *ts, struct err *e)
{
    static const char definition[] =
        "{\"description\":\"Runs a program, without a shell: the program and each of its arguments are an element\",\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"argv\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1},\"stdin\":{\"type\":\"string\"}},\"required\":[\"argv\"],\"additionalProperties\":false}}";
    struct json *d = json_parse(definition, sizeof definition - 1, NULL);
    struct command *c = mem_zero(sizeof *c);
    struct tool *t = tool_new("run", "builtin");
    t->invoke = run_invoke;
    t->preview = run_preview;
    t->close = command_close;
    t->ctx = c;
    t->timeout_ms = TIMEOUT_MS;
    c->most = OUTPUT_MOST;
    c->cwd = realpath(ts->opts.root ? ts->opts.root : ".", NULL);
    bool ok = c->cwd || err_set(e, ERR_IO, "--root %s: %s", ts->opts.root ? ts->opts.root : ".", strerror(errno));
    ok = ok && make_env(ts, NULL, ".", &c->env, e) && set_sandbox(c, ts->opts.run_sandbox ? ts->opts.run_sandbox : "ro", e) && tool_configure(t, d, e);
    json_free(d);
    if (ok) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}

/* ---- programs that describe themselves ---- */

static struct json *ask_program(const struct command *c, struct err *e)
{
    struct process_end end = { 0 };
    struct process_opts o = { .argv = c->argv.p, .env = c->env.p, .cwd = c->cwd, .timeout_ms = DESCRIBE_MS, .most = DESCRIBE_MOST };
    struct json *v = NULL;
    if (!process_run(&o, &end, e)) return NULL;
    if (end.timed_out || end.status || end.signal) err_set(e, ERR_IO, "the program failed (status %d): %.200s", end.status, end.err.p ? end.err.p : "");
    else v = json_parse(end.out.p ? end.out.p : "", end.out.len, e);
    process_end_done(&end);
    return v;
}

/* The tool's own member settings over those of the configuration. */
static bool add_described(struct toolset *ts, const struct json *config, const struct json *own, const char *dir, struct err *e)
{
    const struct json *f = tool_function(own);
    const char *name = json_str(json_get(f, "name"), NULL);
    if (!name) return err_set(e, ERR_ARG, "what it describes needs a name");
    struct command *c = mem_zero(sizeof *c);
    struct json *both = json_copy(config);
    static const char *const from_tool[] = { "description", "parameters" };
    for (size_t i = 0; i < LEN(from_tool); i++)
        if (json_get(f, from_tool[i])) json_set(both, from_tool[i], json_copy(json_get(f, from_tool[i])));
    char *program = toolset_expand(ts, json_str(json_at(json_get(config, "describe"), 0), NULL), dir, e);
    bool ok = program && read_rest(ts, c, config, dir, e);
    if (program) words_put(&c->argv, program);
    words_put(&c->argv, mem_str(name));
    c->in = mem_str("json");
    if (ok) ok = add_command(ts, c, name, both, e);
    else command_free(c);
    json_free(both);
    return ok;
}

static bool read_described(struct toolset *ts, const struct json *config, const char *dir, struct err *e)
{
    struct command c = { 0 };
    bool ok = read_argv(ts, &c, json_get(config, "describe"), NULL, dir, e) && read_rest(ts, &c, config, dir, e);
    struct json *v = ok ? ask_program(&c, e) : NULL;
    ok = v != NULL;
    bool list = json_is(v, JSON_ARRAY);
    for (size_t i = 0; ok && i < (list ? json_len(v) : 1); i++) ok = add_described(ts, config, list ? json_at(v, i) : v, dir, e);
    json_free(v);
    words_done(&c.argv);
    words_done(&c.env);
    mem_free(c.cwd);
    return ok || err_in(e, "describe");
}

bool command_read(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e)
{
    const struct json *par = json_get(config, "parameters");
    if (!members_known(config, e)) return false;
    if (json_get(config, "describe")) return read_described(ts, config, dir, e);
    struct command *c = mem_zero(sizeof *c);
    if (read_argv(ts, c, json_get(config, "argv"), par, dir, e) && read_stdin(c, json_get(config, "stdin"), par, e) && read_rest(ts, c, config, dir, e))
        return add_command(ts, c, name, config, e);
    command_free(c);
    return false;
}
