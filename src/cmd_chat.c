/* cmd_chat.c -- `tenon chat`: a conversation in the terminal, with tools that run.
 *
 * A line is a message, or a /command (chat_commands.c); @FILE in a message brings the text of a file, !COMMAND runs
 * one where --shell allows it. In a pipe none of the two counts: each line of stdin is a message and stdout holds
 * the answers alone. Ctrl-C stops what is going on; twice at the prompt, or Ctrl-D, leaves. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "chat.h"

static const struct opt options[] = {
    TALK_OPTS(struct chat_opts, k),
    { "Tools", 0, "shell", NULL, OPT_FLAG, offsetof(struct chat_opts, shell), "a line that begins with ! runs in a shell here, the model is not told (default: refused)" },
    { "Tools", 0, "attach", "FILE", OPT_LIST, offsetof(struct chat_opts, k.attach), "copied into /box of the tool python; may be repeated (default: none)" },
    { "Record", 0, "resume", NULL, OPT_FLAG, offsetof(struct chat_opts, k.resumes), "go on with the conversation ID of /history, without ID with the newest (default: a new one)" },
    { "Output", 0, "plain", NULL, OPT_FLAG, offsetof(struct chat_opts, plain), "no colours and no styles (default: where there is no terminal)" },
    { "Output", 0, "no-stats", NULL, OPT_FLAG, offsetof(struct chat_opts, no_stats), "no line of numbers after each answer (default: shown)" },
};
static const struct chat_opts defaults = { .k = { TALK_DEFAULTS } };

void chat_say(const char *fmt, ...)
{
    va_list ap;
    struct str line = { 0 };
    va_start(ap, fmt);
    str_vfmt(&line, fmt, ap);
    va_end(ap);
    wrap_line(stderr, line.p ? line.p : "", 2, 0);
    fputc('\n', stderr);
    str_done(&line);
}

void chat_say_safe(const char *p, size_t n)
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

/* ---- a question ---- */

static void on_event(void *ctx, const struct agent_event *ev) { term_event(&((struct chat *)ctx)->term, ev); }

static enum answer on_ask(void *ctx, const struct question *q, struct str *reason, struct json **args)
{
    return term_ask(&((struct chat *)ctx)->term, q, reason, args);
}

void chat_send(struct chat *c, const char *text)
{
    int pressed = talker_interrupts();
    agent_report_done(&c->last);
    cancel_clear(&c->t.cancel);
    talker_send(&c->t, text, &c->last);
    term_end(&c->term);
    cancel_clear(&c->t.cancel);
    const struct agent_report *r = &c->last;
    c->status = agent_exit_status(r);
    if (r->stop == STOP_INTERRUPTED) c->pressed = clock_ns();
    if (r->stop == STOP_INTERRUPTED && talker_interrupts() - pressed > 1) c->leaves = true;   /* twice, before it had stopped */
    if (r->err.code) fprintf(stderr, "tenon chat: %s\n", r->err.msg);
    else if (r->stop != STOP_ANSWER) fprintf(stderr, "tenon chat: stopped (%s)\n", stop_name(r->stop));
    if (!c->o->no_stats && c->term.side_colour) term_stats(&c->term, r, c->t.model.n_ctx);
    else if (c->term.text == stdout && !c->term.line_start) fputc('\n', stdout);
}

/* ---- the conversation ---- */

static bool keep_file(void *chat, const char *path, struct err *e) { return talker_attach(&((struct chat *)chat)->t, path, e); }

#define FILES_MOST ((size_t)256 << 10)      /* bytes of @FILEs where the window is not known */

/* A message with the files that it names: their text, or where they are no text, a copy for the tool python. */
static void send_typed(struct chat *c, const char *line)
{
    struct typed_files f = { .most = c->t.model.n_ctx > 0 ? (size_t)c->t.model.n_ctx * 2 : FILES_MOST,   /* about half of the window */
                             .keep = toolset_find(c->t.tools, "python") ? keep_file : NULL, .ctx = c };
    struct str text = { 0 };
    struct err e = { 0 };
    if (!c->terminal) chat_send(c, line);
    else if (!typed_files(line, &f, &text, &e)) chat_say("%s; nothing was sent", e.msg);
    else {
        if (f.n) chat_say("with %d file%s, %zu bytes", f.n, f.n == 1 ? "" : "s", f.bytes);
        chat_send(c, text.p);
    }
    str_done(&text);
}

static void shell(struct chat *c, const char *command)
{
    struct err e = { 0 };
    if (!c->o->shell) chat_say("!COMMAND is refused without --shell; !! begins a message with an !");
    else if (!typed_shell(command, &e)) chat_say("%s", e.msg);
    cancel_clear(&c->t.cancel);
}

static void on_line(struct chat *c, struct str *line)
{
    if (!line->len) return;
    if (!utf8_valid(line->p, line->len) || strlen(line->p) != line->len) chat_say("that is not UTF-8, or holds a NUL");
    else if (line->p[0] == '/' && line->p[1] != '/') chat_command(c, line->p);
    else if (c->terminal && line->p[0] == '!' && line->p[1] != '!') shell(c, line->p + 1);
    else send_typed(c, line->p + (line->p[0] == '/' || (c->terminal && line->p[0] == '!')));
}

/* The type that most of the weights have. */
static const char *quantisation(const struct gguf *g)
{
    size_t bytes[256] = { 0 }, best = 0;
    for (size_t i = 0; i < gguf_n_tensor(g); i++) bytes[gguf_tensor(g, i)->dtype % 256] += gguf_tensor(g, i)->bytes;
    for (size_t i = 0; i < LEN(bytes); i++)
        if (bytes[i] > bytes[best]) best = i;
    return dtype_info((enum dtype)best)->name;
}

static void greet(const struct chat *c)
{
    const struct speaker *s = &c->t.speaker;
    size_t n = toolset_n(c->t.tools);
    if (!c->term.side_colour) return;
    if (c->t.remote) chat_say("tenon " TENON_VERSION ": %s, %zu tool%s; /help lists commands", c->o->k.url, n, n == 1 ? "" : "s");
    else
        chat_say("tenon " TENON_VERSION ": %s, %s, context %d, %d thread%s, %zu tool%s, loaded in %.0f ms; /help lists commands",
                 c->o->m.model ? c->o->m.model : "embedded model", quantisation(s->g), c->t.model.n_ctx, pool_size(s->pool), pool_size(s->pool) == 1 ? "" : "s", n,
                 n == 1 ? "" : "s", c->t.load_ms);
}

#define LEAVE_NS 2000000000u               /* a second Ctrl-C within this time leaves */

static void converse(struct chat *c, struct editor *l)
{
    struct str line = { 0 };
    while (!c->leaves) {
        enum line_end end = editor_read(l, "> ", &line);
        if (end == LINE_EOF) break;
        if (end == LINE_TEXT) {
            c->pressed = 0;
            on_line(c, &line);
            continue;
        }
        cancel_clear(&c->t.cancel);
        if (!isatty(STDIN_FILENO) || (c->pressed && clock_ns() - c->pressed < LEAVE_NS)) {
            c->status = 130;
            break;
        }
        c->pressed = clock_ns();
        fputc('\n', stderr);
        chat_say("(Ctrl-C again, or Ctrl-D, leaves)");
    }
    str_done(&line);
}

/* The number of --resume, which is a positional argument. */
static bool read_resume(struct chat_opts *o, int n_arg, char **arg, struct err *e)
{
    char *end = NULL;
    if (!n_arg) return true;
    if (!o->k.resumes) return err_set(e, ERR_USAGE, "'%.60s': a conversation goes on with --resume ID; what is said is typed", arg[0]);
    o->k.resume = strtoll(arg[0], &end, 10);
    return (o->k.resume > 0 && !*end) || err_set(e, ERR_USAGE, "--resume: '%.60s' is no number of a conversation; /history lists them", arg[0]);
}

static int run(const void *opts, int n_arg, char **arg)
{
    struct chat_opts o = *(const struct chat_opts *)opts;
    struct chat c = { .o = &o };
    struct agent_ui ui = { .event = on_event, .ctx = &c };
    struct err e = { 0 };
    bool terminal = c.terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    term_open(&c.term, stdout, stderr, c.o->plain);
    if (terminal) ui.ask = on_ask;
    if (!read_resume(&o, n_arg, arg, &e)) return front_fail("chat", &e);
    if (!talker_open(&c.t, &c.o->k, NULL, &ui, terminal ? &c.term : NULL, 0, &e)) return front_fail("chat", &e);
    for (; c.n_lora < c.o->k.m.lora.n && c.n_lora < ADAPTERS_MOST; c.n_lora++) c.lora[c.n_lora] = mem_str(c.o->k.m.lora.item[c.n_lora]);
    talker_catch(&c.t);
    greet(&c);
    if (o.k.resumes) chat_resumed(&c);
    char *history = terminal && !c.o->k.no_history ? state_path("chat_history") : NULL;
    struct editor *l = editor_open(history, chat_complete, &c, c.t.cancel.fd);
    converse(&c, l);
    editor_close(l);
    mem_free(history);
    agent_report_done(&c.last);
    talker_close(&c.t);
    term_close(&c.term);
    chat_drop_adapters(&c);
    mem_free(c.model);
    return c.status;
}

const struct command cmd_chat = {
    .verb = "chat",
    .args = "[ID]",
    .sentence = "Talk in the terminal; tools are executed, after asking where a tool says so.",
    .example = "tenon chat --tools examples/tools.json",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .max_arg = 1,
    .run = run,
};
