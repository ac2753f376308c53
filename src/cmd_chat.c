/* cmd_chat.c -- `tenon chat`: a conversation in the terminal, with tools that run.
 *
 * A line is a message, or a /command from the table below; @FILE in a message brings the text of a file, !COMMAND runs
 * one where --shell allows it. In a pipe none of the two counts: each line of stdin is a message and stdout holds
 * the answers alone. Ctrl-C stops what is going on; twice at the prompt, or Ctrl-D, leaves. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "talker.h"
#include "typed.h"
#include "voice.h"

struct chat_opts { union { struct talk_opts k; struct model_opts m; };   /* k begins with m */
    bool plain, no_stats, shell; };
static const struct opt options[] = {
    TALK_OPTS(struct chat_opts, k),
    { "Tools", 0, "shell", NULL, OPT_FLAG, offsetof(struct chat_opts, shell), "a line that begins with ! runs in a shell here, the model is not told (default: refused)" },
    { "Output", 0, "plain", NULL, OPT_FLAG, offsetof(struct chat_opts, plain), "no colours and no styles (default: where there is no terminal)" },
    { "Output", 0, "no-stats", NULL, OPT_FLAG, offsetof(struct chat_opts, no_stats), "no line of numbers after each answer (default: shown)" },
};
static const struct chat_opts defaults = { .k = { TALK_DEFAULTS } };

enum { ADAPTERS_MOST = 64 };
struct chat {
    const struct chat_opts *o;
    struct term term;
    struct talker t;
    struct agent_report last;
    bool leaves, terminal;
    int status;
    char *model, *lora[ADAPTERS_MOST]; int n_lora;                    /* what /model and /lora set; model NULL: as it began */
};

/* ---- a question ---- */

static void on_event(void *ctx, const struct agent_event *ev) { term_event(&((struct chat *)ctx)->term, ev); }

static enum answer on_ask(void *ctx, const struct question *q, struct str *reason, struct json **args)
{
    return term_ask(&((struct chat *)ctx)->term, q, reason, args);
}

static void send(struct chat *c, const char *text)
{
    agent_report_done(&c->last);
    cancel_clear(&c->t.cancel);
    agent_send(c->t.loop, text, &c->last);
    term_end(&c->term);
    cancel_clear(&c->t.cancel);
    const struct agent_report *r = &c->last;
    c->status = agent_exit_status(r);
    if (r->err.code) fprintf(stderr, "tenon chat: %s\n", r->err.msg);
    else if (r->stop != STOP_ANSWER) fprintf(stderr, "tenon chat: stopped (%s)\n", stop_name(r->stop));
    if (!c->o->no_stats && c->term.side_colour) term_stats(&c->term, r, c->t.model.n_ctx);
    else if (c->term.text == stdout && !c->term.line_start) fputc('\n', stdout);
}

/* ---- commands: each gets what stands behind its name ---- */

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static void say_safe(const char *p, size_t n)
{
    struct str s = { 0 };
    for (const char *end = p + n; p < end; p++) {
        size_t k = strcspn(p, "\n");
        result_escape(&s, p, MIN(k, (size_t)(end - p)));
        str_putc(&s, '\n');
        p += k;
    }
    fwrite(s.p ? s.p : "", 1, s.len, stderr);
    str_done(&s);
}

static void do_exit(struct chat *c, char *arg) { c->leaves = true; }

static void do_clear(struct chat *c, char *arg)
{
    agent_clear(c->t.loop);
    say("the conversation begins anew");
}

static void do_undo(struct chat *c, char *arg)
{
    struct str last = { 0 };
    if (!agent_undo(c->t.loop, &last)) say("there is nothing to undo");
    else say("undone: %s", last.p ? last.p : "");
    str_done(&last);
}

static void again(struct chat *c, char *text)
{
    struct str last = { 0 };
    if (!agent_undo(c->t.loop, &last)) say("there is nothing to ask again");
    else send(c, *text ? text : last.p ? last.p : "");
    str_done(&last);
}

static void do_retry(struct chat *c, char *arg) { again(c, (char[]){ 0 }); }

/* The last question of the user; NULL: there is none. */
static const char *last_question(const struct chat *c)
{
    const struct json *messages = agent_messages(c->t.loop);
    for (size_t i = json_len(messages); i-- > 0;)
        if (json_str_is(json_get(json_at(messages, i), "role"), "user")) return json_str(json_get(json_at(messages, i), "content"), NULL);
    return NULL;
}

/* What an editor makes of a text, sent; what was emptied is not. */
static void do_edit(struct chat *c, char *arg)
{
    const char *last = last_question(c);
    struct str text = { 0 };
    struct err e = { 0 };
    if (*arg) again(c, arg);
    else if (!c->terminal) say("/edit TEXT asks the last question in other words; without TEXT an editor needs a terminal");
    else if (!typed_edit(last ? last : "", &text, &e)) say("%s", e.msg);
    else if (!text.len || (last && !strcmp(text.p, last))) say("nothing was changed, and nothing is sent");
    else if (last) again(c, text.p);
    else send(c, text.p);
    cancel_clear(&c->t.cancel);
    str_done(&text);
}

static void do_system(struct chat *c, char *arg)
{
    agent_system(c->t.loop, arg);
    say(*arg ? "the system message is set" : "there is no system message now");
}

static void list_tools(struct chat *c)
{
    static const char *const words[] = { "ask", "allow", "ask", "deny" };
    for (size_t i = 0; i < toolset_n(c->t.tools); i++) {
        const struct tool *t = toolset_at(c->t.tools, i);
        say("%-5s %-12s %s", words[t->policy], t->source, t->name);
    }
    if (!toolset_n(c->t.tools)) say("no tools; --tools FILE brings some");
}

static void do_tools(struct chat *c, char *arg)
{
    char *name = strchr(arg, ' ');
    if (name) *name++ = 0;
    struct tool *t = name ? toolset_find(c->t.tools, name) : NULL;
    if (!*arg) list_tools(c);
    else if (!strcmp(arg, "on") || !strcmp(arg, "off")) {
        agent_tools(c->t.loop, !strcmp(arg, "on"));
        say("tools are %s", arg);
    } else if (strcmp(arg, "allow") && strcmp(arg, "deny")) say("/tools, /tools on, /tools off, /tools allow NAME, /tools deny NAME");
    else if (!t) say("there is no tool '%s'", name ? name : "");
    else {
        t->policy = *arg == 'a' ? POLICY_ALLOW : POLICY_DENY;
        t->changed = false;
        say("%s: %s", t->name, arg);
    }
}

static void do_mcp(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!strncmp(arg, "restart ", 8)) {
        if (toolset_restart(c->t.tools, arg + 8, &e)) say("%s runs anew", arg + 8);
        else say("%s", e.msg);
        return;
    }
    if (*arg && strcmp(arg, "status")) {
        say("/mcp, /mcp status, /mcp restart NAME");
        return;
    }
    struct json *list = toolset_status(c->t.tools);
    struct str s = { 0 };
    json_write(&s, list, JSON_PRETTY);
    say("%s", s.p);
    str_done(&s);
    json_free(list);
}

static const char *model_name(const struct chat *c)
{
    const char *began = c->t.remote ? c->o->k.model_name : c->o->k.m.model;
    return c->model ? c->model : began ? began : c->t.remote ? "default" : "embedded";
}

static void drop_adapters(struct chat *c)
{
    while (c->n_lora) mem_free(c->lora[--c->n_lora]);
}

static void do_model(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!*arg) {
        say("%s", model_name(c));
        return;
    }
    if (!talker_model(&c->t, &c->o->k, strcmp(arg, "embedded") || c->t.remote ? arg : NULL, &e)) {
        say("%s", e.msg);
        return;
    }
    drop_adapters(c);
    mem_free(c->model);
    c->model = mem_str(arg);
    say("%s answers from now on", arg);
}

static void list_adapters(const struct chat *c)
{
    for (int i = 0; i < c->n_lora; i++) say("%s", c->lora[i]);
    if (!c->n_lora) say("no adapters; /lora FILE[=WEIGHT] adds one");
}

static void do_lora(struct chat *c, char *arg)
{
    struct err e = { 0 };
    bool off = !strcmp(arg, "off");
    if (c->t.remote) say("an endpoint has adapters by name: /model NAME");
    else if (!*arg) list_adapters(c);
    else if (c->n_lora == ADAPTERS_MOST) say("at most %d adapters at once; /lora off drops them", ADAPTERS_MOST);
    else {
        if (!off) c->lora[c->n_lora++] = mem_str(arg);
        if (speaker_adapt(&c->t.speaker, (const char *const *)c->lora, off ? 0 : c->n_lora, &e)) {
            if (off) drop_adapters(c);
            list_adapters(c);
            return;
        }
        if (!off) mem_free(c->lora[--c->n_lora]);
        say("%s", e.msg);
    }
}

/* OSC 52: the terminal puts it on the clipboard, also over ssh. */
static void do_copy(struct chat *c, char *arg)
{
    const struct str *text = &c->last.text;
    struct str s = { 0 };
    if (!text->len) say("there is no answer to copy");
    else if (!isatty(STDOUT_FILENO)) say("there is no terminal with a clipboard here");
    else {
        str_puts(&s, "\033]52;c;");
        base64_put(&s, text->p, text->len);
        str_puts(&s, "\007");
        fwrite(s.p, 1, s.len, stdout);
        fflush(stdout);
        say("the last answer is on the clipboard, if the terminal allows it (OSC 52)");
    }
    str_done(&s);
}

static void do_params(struct chat *c, char *arg)
{
    char *eq = strchr(arg, '=');
    struct err e = { 0 };
    if (!eq) {
        say("/params KEY=VALUE, such as temperature=0.7; /params KEY= takes it back");
        return;
    }
    *eq++ = 0;
    struct json *v = *eq ? json_parse(eq, strlen(eq), &e) : NULL;
    if (*eq && !v) v = json_new_str(eq);
    agent_set(c->t.loop, arg, v);
    say("%s is %s", arg, *eq ? eq : "the default");
}

static void do_seed(struct chat *c, char *arg)
{
    char *end;
    long long n = strtoll(arg, &end, 10);
    if (!*arg || *end) say("/seed N: a whole number is accepted");
    else agent_set(c->t.loop, "seed", json_new_int(n)), say("the seed is %lld", n);
}

static void do_save(struct chat *c, char *arg)
{
    struct err e = { 0 };
    struct str s = { 0 };
    json_write(&s, agent_messages(c->t.loop), JSON_PRETTY);
    str_putc(&s, '\n');
    if (!*arg) say("/save FILE");
    else if (file_write(arg, s.p, s.len, &e)) say("saved to %s", arg);
    else say("%s", e.msg);
    str_done(&s);
}

static void do_load(struct chat *c, char *arg)
{
    struct err e = { 0 };
    struct json *v = *arg ? json_read(arg, &e) : (err_set(&e, ERR_ARG, "/load FILE"), NULL);
    if (!v || !messages_whole(v, &e)) {
        say("%s", e.msg);
        json_free(v);
        return;
    }
    say("%zu messages", json_len(v));
    agent_load(c->t.loop, v);
}

static void put_markdown(struct str *s, const struct json *messages)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i), *calls = json_get(m, "tool_calls");
        const char *role = json_str(json_get(m, "role"), NULL), *text = json_str(json_get(m, "content"), NULL);
        str_fmt(s, "**%s**\n\n", role);
        bool tool = !strcmp(role, "tool");
        if (text) str_fmt(s, "%s%s%s\n\n", tool ? "```\n" : "", text, tool ? "\n```" : "");
        for (size_t k = 0; k < json_len(calls); k++) {
            const struct json *f = json_get(json_at(calls, k), "function");
            str_fmt(s, "`%s %s`\n\n", json_str(json_get(f, "name"), NULL), json_str(json_get(f, "arguments"), NULL));
        }
    }
}

static void do_export(struct chat *c, char *arg)
{
    struct str s = { 0 };
    struct err e = { 0 };
    if (!strcmp(arg, "md")) put_markdown(&s, agent_messages(c->t.loop));
    else if (!strcmp(arg, "json")) json_write(&s, agent_messages(c->t.loop), JSON_PRETTY), str_putc(&s, '\n');
    else if (strcmp(arg, "jsonl")) say("/export md, /export json or /export jsonl (the record, for tenon run --replay)");
    else if (!c->t.transcript) say("nothing is recorded of this conversation");
    else if (!transcript_export(c->t.transcript_path, transcript_session(c->t.transcript), &s, &e)) say("%s", e.msg);
    fwrite(s.p ? s.p : "", 1, s.len, stdout);
    fflush(stdout);
    str_done(&s);
}

static void do_history(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!c->t.transcript_path) {
        say("nothing is recorded here");
        return;
    }
    struct json *list = transcript_list(c->t.transcript_path, *arg ? arg : NULL, 20, &e);
    if (!list) say("%s", e.msg);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *o = json_at(list, i);
        int64_t id = 0;
        const char *title = json_str(json_get(o, "title"), NULL);
        struct str s = { 0 };
        json_i64(json_get(o, "session"), &id);
        result_escape(&s, title ? title : "", title ? strcspn(title, "\n") : 0);
        say("%4lld  %s", (long long)id, s.p ? s.p : "");
        str_done(&s);
    }
    json_free(list);
}

static void do_show(struct chat *c, char *arg)
{
    size_t n = 0;
    const char *p = agent_result(c->t.loop, atoi(arg), &n);
    if (p) say_safe(p, n);
    else say("/show N shows result N; there is no '%s'", arg);
}

static struct json *body_of(const struct chat *c)
{
    struct json *body = json_new_object();
    json_set(body, "messages", json_copy(agent_messages(c->t.loop)));
    if (toolset_n(c->t.tools)) json_set(body, "tools", toolset_definitions(c->t.tools));
    return body;
}

/* What the model reads: the prompt with all its markers; of an endpoint the request, because it renders that itself. */
static void do_debug(struct chat *c, char *arg)
{
    struct json *body = body_of(c);
    struct str s = { 0 };
    struct err e = { 0 };
    bool ok = true;
    if (!json_len(json_get(body, "messages"))) str_puts(&s, "nothing has been said yet");
    else if (c->t.remote) json_write(&s, body, JSON_PRETTY);
    else ok = voice_prompt(&c->t.speaker, body, &s, &e);
    if (ok) say_safe(s.p ? s.p : "", s.len);
    else say("%s", e.msg);
    str_done(&s);
    json_free(body);
}

static void do_tokens(struct chat *c, char *arg)
{
    if (!c->t.model.prompt_tokens) {
        say("an endpoint's tokens cannot be counted from here");
        return;
    }
    struct json *body = body_of(c);
    int n = json_len(agent_messages(c->t.loop)) ? c->t.model.prompt_tokens(c->t.model.ctx, body) : 0;
    json_free(body);
    say("%d of %d tokens", n, c->t.model.n_ctx);
}

static void do_stats(struct chat *c, char *arg) { term_stats(&c->term, &c->last, c->t.model.n_ctx); }
static void do_help(struct chat *c, char *arg);

static const struct chat_command { const char *name, *args, *help; void (*run)(struct chat *c, char *arg); } chat_commands[] = {
    { "/help", "", "this list", do_help },
    { "/exit", "", "leave (also Ctrl-D)", do_exit },
    { "/clear", "", "begin anew, with the same system message", do_clear },
    { "/new", "", "the same", do_clear },
    { "/undo", "", "drop the last question and what followed", do_undo },
    { "/retry", "", "ask the last question again", do_retry },
    { "/edit", "[TEXT]", "ask the last question in other words, in $EDITOR without TEXT", do_edit },
    { "/system", "[TEXT]", "set or drop the system message", do_system },
    { "/tools", "[on|off|allow NAME|deny NAME]", "list tools; offer them or not; decide once", do_tools },
    { "/model", "[FILE|embedded]", "the model that answers; with --url its name there", do_model },
    { "/lora", "[FILE[=WEIGHT]|off]", "adapters of the model", do_lora },
    { "/mcp", "[status|restart NAME]", "MCP servers", do_mcp },
    { "/copy", "", "the last answer to the clipboard", do_copy },
    { "/params", "KEY=VALUE", "a member of every request", do_params },
    { "/seed", "N", "the seed", do_seed },
    { "/save", "FILE", "write the messages", do_save },
    { "/load", "FILE", "read messages", do_load },
    { "/export", "md|json|jsonl", "print the conversation, or its record", do_export },
    { "/history", "[WORDS]", "recorded conversations", do_history },
    { "/show", "N", "result N in full", do_show },
    { "/tokens", "", "tokens of the prompt so far", do_tokens },
    { "/stats", "", "numbers of the last answer", do_stats },
    { "/debug", "", "what the model reads, with all markers", do_debug },
};

static void do_help(struct chat *c, char *arg)
{
    for (size_t i = 0; i < LEN(chat_commands); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", chat_commands[i].name, chat_commands[i].args);
        say("%-40s %s", left, chat_commands[i].help);
    }
    say("\\ at the end of a line, Alt-Enter or \"\"\" … \"\"\" continue a message; // begins one with a slash, !! with an !;");
    say("@FILE brings the text of a file, !COMMAND runs one (--shell), Tab completes; Ctrl-C stops.");
}

static void command(struct chat *c, char *line)
{
    char *arg = line + strcspn(line, " ");
    if (*arg) *arg++ = 0;
    for (size_t i = 0; i < LEN(chat_commands); i++)
        if (!strcmp(chat_commands[i].name, line)) {
            chat_commands[i].run(c, arg);
            return;
        }
    say("there is no command %s; /help lists them, // begins a message with a slash", line);
}

/* ---- what Tab completes ---- */

static void complete_list(struct completion *c, const char *const *words)
{
    for (; *words; words++) complete_with(c, *words);
}

static void complete_tools(const struct chat *chat, struct completion *c)
{
    for (size_t i = 0; i < toolset_n(chat->t.tools); i++) complete_with(c, toolset_at(chat->t.tools, i)->name);
}

static void complete_servers(const struct chat *chat, struct completion *c)
{
    struct json *list = toolset_status(chat->t.tools);
    for (size_t i = 0; i < json_len(list); i++) complete_with(c, json_str(json_get(json_at(list, i), "server"), NULL));
    json_free(list);
}

/* Behind a command: what it takes. */
static void complete_argument(const struct chat *chat, struct completion *c, size_t command)
{
    static const char *const tools[] = { "on", "off", "allow ", "deny ", NULL }, *const mcp[] = { "status", "restart ", NULL },
                             *const forms[] = { "md", "json", "jsonl", NULL }, *const own[] = { "embedded", NULL }, *const off[] = { "off", NULL };
    const char *line = c->line;
    size_t last = (size_t)(strrchr(line, ' ') - line) + 1;
    bool second = last > command + 1;
#define IS(name) (!strncmp(line, name, sizeof name - 1) && strlen(name) == (second ? last - 1 : command))
    c->from = last;
    if (IS("/tools")) complete_list(c, tools);
    else if (IS("/tools allow") || IS("/tools deny")) complete_tools(chat, c);
    else if (IS("/mcp")) complete_list(c, mcp);
    else if (IS("/mcp restart")) complete_servers(chat, c);
    else if (IS("/export")) complete_list(c, forms);
    else if (IS("/save") || IS("/load") || IS("/model") || IS("/lora")) complete_files(c);
    if (IS("/model")) complete_list(c, own);
    if (IS("/lora")) complete_list(c, off);
#undef IS
}

static void complete(void *ctx, struct completion *c)
{
    const char *space = strchr(c->line, ' '), *at = strrchr(c->line, '@');
    if (*c->line == '/' && space) complete_argument(ctx, c, (size_t)(space - c->line));
    else if (*c->line == '/')
        for (size_t i = 0; i < LEN(chat_commands); i++) complete_with(c, chat_commands[i].name);
    else if (at && !strpbrk(at, " \t\n") && (at == c->line || strchr(" \t\n(", at[-1]))) {
        c->from = (size_t)(at - c->line) + 1;
        complete_files(c);
    }
}

/* ---- the conversation ---- */

#define FILES_MOST ((size_t)256 << 10)      /* bytes of @FILEs where the window is not known */

/* A message with the files that it names. */
static void send_typed(struct chat *c, const char *line)
{
    struct str text = { 0 };
    struct err e = { 0 };
    int n_file = 0;
    size_t most = c->t.model.n_ctx > 0 ? (size_t)c->t.model.n_ctx * 2 : FILES_MOST;   /* about half of the window */
    if (!c->terminal) send(c, line);
    else if (!typed_files(line, most, &text, &n_file, &e)) say("%s; nothing was sent", e.msg);
    else {
        if (n_file) say("with %d file%s, %zu bytes", n_file, n_file == 1 ? "" : "s", text.len - strlen(line));
        send(c, text.p);
    }
    str_done(&text);
}

static void shell(struct chat *c, const char *command)
{
    struct err e = { 0 };
    if (!c->o->shell) say("!COMMAND is refused without --shell; !! begins a message with an !");
    else if (!typed_shell(command, &e)) say("%s", e.msg);
    cancel_clear(&c->t.cancel);
}

static void on_line(struct chat *c, struct str *line)
{
    if (!line->len) return;
    if (!utf8_valid(line->p, line->len) || strlen(line->p) != line->len) say("that is not UTF-8, or holds a NUL");
    else if (line->p[0] == '/' && line->p[1] != '/') command(c, line->p);
    else if (c->terminal && line->p[0] == '!' && line->p[1] != '!') shell(c, line->p + 1);
    else send_typed(c, line->p + (line->p[0] == '/' || (c->terminal && line->p[0] == '!')));
}

static void greet(const struct chat *c)
{
    if (!c->term.side_colour) return;
    if (c->t.remote) {
        say("tenon " TENON_VERSION ": %s, %zu tools; /help lists commands", c->o->k.url, toolset_n(c->t.tools));
        return;
    }
    const struct model_config *mc = model_config(engine_model(c->t.speaker.engine));
    say("tenon " TENON_VERSION ": %s, %d layers of %d, context %d, %zu tools; /help lists commands", c->o->m.model ? c->o->m.model : "embedded model",
        mc->n_layer, mc->n_embd, c->t.model.n_ctx, toolset_n(c->t.tools));
}

static void converse(struct chat *c, struct editor *l)
{
    struct str line = { 0 };
    uint64_t last = 0;
    while (!c->leaves) {
        enum line_end end = editor_read(l, "> ", &line);
        if (end == LINE_EOF) break;
        if (end == LINE_TEXT) {
            on_line(c, &line);
            continue;
        }
        cancel_clear(&c->t.cancel);
        if (!isatty(STDIN_FILENO) || (last && clock_ns() - last < 2000000000u)) {
            c->status = 130;
            break;
        }
        last = clock_ns();
        say("\n(Ctrl-C again, or Ctrl-D, leaves)");
    }
    str_done(&line);
}

static int run(const void *opts, int n_arg, char **arg)
{
    struct chat c = { .o = opts };
    struct agent_ui ui = { .event = on_event, .ctx = &c };
    struct err e = { 0 };
    bool terminal = c.terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    term_open(&c.term, stdout, stderr, c.o->plain);
    if (terminal) ui.ask = on_ask;
    if (!talker_open(&c.t, &c.o->k, NULL, &ui, terminal ? &c.term : NULL, 0, &e)) return front_fail("chat", &e);
    for (; c.n_lora < c.o->k.m.lora.n && c.n_lora < ADAPTERS_MOST; c.n_lora++) c.lora[c.n_lora] = mem_str(c.o->k.m.lora.item[c.n_lora]);
    talker_catch(&c.t);
    greet(&c);
    char *history = terminal && !c.o->k.no_history ? state_path("chat_history") : NULL;
    struct editor *l = editor_open(history, complete, &c, c.t.cancel.fd);
    converse(&c, l);
    editor_close(l);
    mem_free(history);
    agent_report_done(&c.last);
    talker_close(&c.t);
    drop_adapters(&c);
    mem_free(c.model);
    return c.status;
}

const struct command cmd_chat = {
    .verb = "chat",
    .args = "",
    .sentence = "Talk in the terminal; tools are executed, after asking where a tool says so.",
    .example = "tenon chat --tools examples/tools.json",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
