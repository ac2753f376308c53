/* chat_commands.c -- what a /command of `tenon chat` does, in the order of the table below, and what Tab offers. */
#include <stdlib.h>
#include <unistd.h>

#include "chat.h"
#include "voice.h"

/* ---- commands: each gets what stands behind its name ---- */

static void do_exit(struct chat *c, char *arg) { c->leaves = true; }

static void do_clear(struct chat *c, char *arg)
{
    agent_clear(c->t.loop);
    chat_say("the conversation begins anew");
}

static void do_undo(struct chat *c, char *arg)
{
    struct str last = { 0 };
    if (!agent_undo(c->t.loop, &last)) chat_say("there is nothing to undo");
    else chat_say("undone: %s", last.p ? last.p : "");
    str_done(&last);
}

static void again(struct chat *c, char *text)
{
    struct str last = { 0 };
    if (!agent_undo(c->t.loop, &last)) chat_say("there is nothing to ask again");
    else chat_send(c, *text ? text : last.p ? last.p : "");
    str_done(&last);
}

static void do_retry(struct chat *c, char *arg) { again(c, (char[]){ 0 }); }

/* Question n (from 1), 0: the last; NULL: there is none. */
static const char *question(const struct chat *c, int n)
{
    const struct json *messages = agent_messages(c->t.loop);
    const char *last = NULL;
    for (size_t i = 0; i < json_len(messages); i++) {
        if (!json_str_is(json_get(json_at(messages, i), "role"), "user")) continue;
        last = json_str(json_get(json_at(messages, i), "content"), NULL);
        if (n && --n == 0) return last;
    }
    return n ? NULL : last;
}

/* Question n again as text; what followed it is dropped. */
static void ask_instead(struct chat *c, int n, const char *text)
{
    struct str was = { 0 };
    if (n) agent_undo_to(c->t.loop, n, &was);
    else agent_undo(c->t.loop, &was);
    str_done(&was);
    chat_send(c, text);
}

/* What an editor makes of question n, sent; what was emptied is not. */
static void edit_question(struct chat *c, int n)
{
    const char *was = question(c, n);
    struct str text = { 0 };
    struct err e = { 0 };
    if (n && !was) chat_say("there is no question %d", n);
    else if (!c->terminal) chat_say("/edit TEXT asks the last question in other words; without TEXT an editor needs a terminal");
    else if (!typed_edit(was ? was : "", &text, &e)) chat_say("%s", e.msg);
    else if (!text.len || (was && !strcmp(text.p, was))) chat_say("nothing was changed, and nothing is sent");
    else ask_instead(c, n, text.p);
    cancel_clear(&c->t.cancel);
    str_done(&text);
}

static void do_edit(struct chat *c, char *arg)
{
    char *end;
    long n = strtol(arg, &end, 10);
    bool number = *arg && !*end && n > 0 && n < 1000000;
    if (number || !*arg) edit_question(c, number ? (int)n : 0);
    else again(c, arg);
}

static void do_system(struct chat *c, char *arg)
{
    const struct json *first = json_at(agent_messages(c->t.loop), 0);
    size_t n = 0;
    const char *text = json_str_is(json_get(first, "role"), "system") ? json_str(json_get(first, "content"), &n) : NULL;
    if (!*arg) {
        if (text) chat_say_safe(text, n);
        else chat_say("there is no system message; /system TEXT sets one");
        return;
    }
    bool off = !strcmp(arg, "off");
    agent_system(c->t.loop, off ? "" : arg);
    chat_say(off ? "there is no system message now" : "the system message is set");
}

static void list_tools(struct chat *c)
{
    static const char *const words[] = { "ask", "allow", "ask", "deny" };
    for (size_t i = 0; i < toolset_n(c->t.tools); i++) {
        const struct tool *t = toolset_at(c->t.tools, i);
        chat_say("%-5s %-12s %s", words[t->policy], t->source, t->name);
    }
    if (!toolset_n(c->t.tools)) chat_say("no tools; --tools FILE brings some");
}

static void do_tools(struct chat *c, char *arg)
{
    char *name = strchr(arg, ' ');
    if (name) *name++ = 0;
    struct tool *t = name ? toolset_find(c->t.tools, name) : NULL;
    if (!*arg) list_tools(c);
    else if (!strcmp(arg, "on") || !strcmp(arg, "off")) {
        agent_tools(c->t.loop, !strcmp(arg, "on"));
        chat_say("tools are %s", arg);
    } else if (strcmp(arg, "allow") && strcmp(arg, "deny")) chat_say("/tools, /tools on, /tools off, /tools allow NAME, /tools deny NAME");
    else if (!t) chat_say("there is no tool '%s'", name ? name : "");
    else {
        t->policy = *arg == 'a' ? POLICY_ALLOW : POLICY_DENY;
        if (*arg == 'a') tool_accept(t);
        chat_say("%s: %s", t->name, arg);
    }
}

/* Its name, how it is, and what it said when it went wrong: text of strangers. */
static void list_server(const struct json *o)
{
    static const char *const keys[] = { "server", "state", "over", "version", "error" };
    const char *said[LEN(keys)];
    struct str line = { 0 };
    int64_t n = 0;
    json_i64(json_get(o, "tools"), &n);
    for (size_t i = 0; i < LEN(keys); i++) {
        said[i] = json_str(json_get(o, keys[i]), NULL);
        if (!said[i]) said[i] = "";
    }
    str_fmt(&line, "%-16s %-10s %lld tools, %s %s%s%s", said[0], said[1], (long long)n, said[2], said[3], *said[4] ? ": " : "", said[4]);
    chat_say_safe(line.p, line.len);
    str_done(&line);
}

static void do_mcp(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!strncmp(arg, "restart ", 8)) {
        if (toolset_restart(c->t.tools, arg + 8, &e)) chat_say("%s runs anew", arg + 8);
        else chat_say("%s", e.msg);
        return;
    }
    if (*arg && strcmp(arg, "status")) {
        chat_say("/mcp, /mcp status, /mcp restart NAME");
        return;
    }
    struct json *list = toolset_status(c->t.tools);
    for (size_t i = 0; i < json_len(list); i++) list_server(json_at(list, i));
    if (!json_len(list)) chat_say("no MCP servers; the mcpServers of a tools file bring some");
    json_free(list);
}

const char *chat_model(const struct chat *c)
{
    const char *began = c->t.remote ? c->o->k.model_name : c->o->k.m.model;
    return c->model ? c->model : began ? began : c->t.remote ? "default" : "embedded";
}

void chat_drop_adapters(struct chat *c)
{
    while (c->n_lora) mem_free(c->lora[--c->n_lora]);
}

static void do_model(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!*arg) {
        chat_say("%s", chat_model(c));
        return;
    }
    if (!talker_model(&c->t, &c->o->k, strcmp(arg, "embedded") || c->t.remote ? arg : NULL, &e)) {
        chat_say("%s", e.msg);
        return;
    }
    chat_drop_adapters(c);
    mem_free(c->model);
    c->model = mem_str(arg);
    chat_say("%s answers from now on", arg);
}

static void list_adapters(const struct chat *c)
{
    for (int i = 0; i < c->n_lora; i++) chat_say("%s", c->lora[i]);
    if (!c->n_lora) chat_say("no adapters; /lora FILE[=WEIGHT] adds one");
}

static void do_lora(struct chat *c, char *arg)
{
    struct err e = { 0 };
    bool off = !strcmp(arg, "off");
    if (c->t.remote) chat_say("an endpoint has adapters by name: /model NAME");
    else if (!*arg) list_adapters(c);
    else if (c->n_lora == ADAPTERS_MOST) chat_say("at most %d adapters at once; /lora off drops them", ADAPTERS_MOST);
    else {
        if (!off) c->lora[c->n_lora++] = mem_str(arg);
        if (speaker_adapt(&c->t.speaker, (const char *const *)c->lora, off ? 0 : c->n_lora, &e)) {
            if (off) chat_drop_adapters(c);
            list_adapters(c);
            return;
        }
        if (!off) mem_free(c->lora[--c->n_lora]);
        chat_say("%s", e.msg);
    }
}

/* OSC 52: the terminal puts it on the clipboard, also over ssh. */
static void do_copy(struct chat *c, char *arg)
{
    const struct str *text = &c->last.text;
    struct str s = { 0 };
    if (!text->len) chat_say("there is no answer to copy");
    else if (!isatty(STDOUT_FILENO)) chat_say("there is no terminal with a clipboard here");
    else {
        str_puts(&s, "\033]52;c;");
        base64_put(&s, text->p, text->len);
        str_puts(&s, "\007");
        fwrite(s.p, 1, s.len, stdout);
        fflush(stdout);
        chat_say("the last answer is on the clipboard, if the terminal allows it (OSC 52)");
    }
    str_done(&s);
}

static void list_params(const struct chat *c)
{
    const struct json *request = agent_request(c->t.loop);
    for (struct json_iter it = json_iter(request); json_next(&it);) {
        struct str v = { 0 };
        json_write(&v, it.value, JSON_COMPACT);
        chat_say("%s=%s", it.key, v.p);
        str_done(&v);
    }
    chat_say("%s/params KEY=VALUE, such as temperature=0.7; /params KEY= takes it back", json_len(request) ? "" : "all are the defaults; ");
}

static void do_params(struct chat *c, char *arg)
{
    char *eq = strchr(arg, '=');
    if (!*arg) list_params(c);
    else if (!eq) chat_say("/params KEY=VALUE, such as temperature=0.7; /params KEY= takes it back");
    else {
        *eq++ = 0;
        struct json *v = *eq ? json_parse(eq, strlen(eq), NULL) : NULL;
        if (*eq && !v) v = json_new_str(eq);
        agent_set(c->t.loop, arg, v);
        chat_say("%s is %s", arg, *eq ? eq : "the default");
    }
}

static void do_seed(struct chat *c, char *arg)
{
    char *end;
    long long n = strtoll(arg, &end, 10);
    if (!*arg || *end) chat_say("/seed N: a whole number is accepted");
    else agent_set(c->t.loop, "seed", json_new_int(n)), chat_say("the seed is %lld", n);
}

static void do_show(struct chat *c, char *arg)
{
    size_t n = 0;
    const char *p = agent_result(c->t.loop, atoi(arg), &n);
    if (p) chat_say_safe(p, n);
    else chat_say("/show N shows result N; there is no '%s'", arg);
}

static struct json *body_of(const struct chat *c)
{
    struct json *body = json_new_object();
    json_set(body, "messages", json_copy(agent_messages(c->t.loop)));
    if (toolset_n(c->t.tools)) json_set(body, "tools", agent_shown(c->t.loop));
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
    if (ok) chat_say_safe(s.p ? s.p : "", s.len);
    else chat_say("%s", e.msg);
    str_done(&s);
    json_free(body);
}

static void do_tokens(struct chat *c, char *arg)
{
    if (!c->t.model.prompt_tokens) {
        chat_say("an endpoint's tokens cannot be counted from here");
        return;
    }
    struct json *body = body_of(c);
    int n = json_len(agent_messages(c->t.loop)) ? c->t.model.prompt_tokens(c->t.model.ctx, body) : 0;
    json_free(body);
    chat_say("%d of %d tokens", n, c->t.model.n_ctx);
}

static void do_attach(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!*arg) chat_say("/attach FILE copies it into /box of the tool python");
    else if (talker_attach(&c->t, arg, &e)) chat_say("%s is there, and the next message says so", arg);
    else chat_say("%s", e.msg);
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
    { "/edit", "[N|TEXT]", "question N (the last) in $EDITOR, or in other words", do_edit },
    { "/system", "[TEXT|off]", "show, set or drop the system message", do_system },
    { "/tools", "[on|off|allow NAME|deny NAME]", "list tools; offer them or not; decide once", do_tools },
    { "/model", "[FILE|embedded]", "the model that answers; with --url its name there", do_model },
    { "/lora", "[FILE[=WEIGHT]|off]", "adapters of the model", do_lora },
    { "/mcp", "[status|restart NAME]", "MCP servers", do_mcp },
    { "/copy", "", "the last answer to the clipboard", do_copy },
    { "/attach", "FILE", "a file into /box of the tool python", do_attach },
    { "/params", "[KEY=VALUE]", "members of every request", do_params },
    { "/seed", "N", "the seed", do_seed },
    { "/save", "FILE", "write the messages", chat_save },
    { "/load", "FILE", "read messages", chat_load },
    { "/export", "md|json|jsonl", "print the conversation, or its record", chat_export },
    { "/history", "[WORDS]", "recorded conversations; pick one to go on with", chat_history },
    { "/show", "N", "result N in full", do_show },
    { "/tokens", "", "tokens of the prompt so far", do_tokens },
    { "/stats", "", "numbers of the last answer", do_stats },
    { "/debug", "", "what the model reads, with all markers", do_debug },
};

static void do_help(struct chat *c, char *arg)
{
    enum { LEFT = 40 };
    for (size_t i = 0; i < LEN(chat_commands); i++) {
        struct str line = { 0 };
        str_fmt(&line, "%s %s", chat_commands[i].name, chat_commands[i].args);
        do str_putc(&line, ' ');
        while (line.len <= LEFT);
        str_puts(&line, chat_commands[i].help);
        wrap_line(stderr, line.p, LEFT + 1, 0);
        fputc('\n', stderr);
        str_done(&line);
    }
    chat_say("\\ at the end of a line, Alt-Enter or \"\"\" … \"\"\" continue a message; // begins one with a slash, !! with an !; "
             "@FILE brings the text of a file, !COMMAND runs one (--shell), Tab completes; Ctrl-C stops.");
}

void chat_command(struct chat *c, char *line)
{
    char *arg = line + strcspn(line, " ");
    if (*arg) *arg++ = 0;
    for (size_t i = 0; i < LEN(chat_commands); i++)
        if (!strcmp(chat_commands[i].name, line)) {
            chat_commands[i].run(c, arg);
            return;
        }
    chat_say("there is no command %s; /help lists them, // begins a message with a slash", line);
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
    else if (IS("/save") || IS("/load") || IS("/model") || IS("/lora") || IS("/attach")) complete_files(c);
    if (IS("/model")) complete_list(c, own);
    if (IS("/lora")) complete_list(c, off);
#undef IS
}

void chat_complete(void *ctx, struct completion *c)
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
