/* term.c -- how a conversation looks in a terminal: answers as they come, calls as they are written.
 *
 * What a model or a tool says is text of strangers: control characters are shown as \xHH, never sent to the terminal;
 * all colours are ours. Markdown is styled a little while it streams (headings, bold, code), by a machine that holds
 * back at most a few marks, and broken between words (wrap.c). Without a terminal, with NO_COLOR or TERM=dumb, the bytes are the answer's own. */
#include "talker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DIM "\033[2m"
#define BOLD "\033[1m"
#define CYAN "\033[36m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define OFF "\033[0m"
#define SHOWN_BYTES 160                     /* of a result */

static bool wants_colour(FILE *f)
{
    const char *force = getenv("CLICOLOR_FORCE"), *no = getenv("NO_COLOR"), *kind = getenv("TERM");
    if (no && *no) return false;
    if (force && *force && strcmp(force, "0")) return true;
    return isatty(fileno(f)) && kind && strcmp(kind, "dumb");
}

void term_open(struct term *t, FILE *text, FILE *side, bool plain)
{
    *t = (struct term){ .text = text, .side = side, .line_start = true };
    t->colour = !plain && wants_colour(text);
    t->side_colour = !plain && wants_colour(side);
    t->style = t->colour;
    t->wraps = !plain && isatty(fileno(text));
    t->wrap.f = text;
}

/* Text of strangers, without its control characters; line breaks and tabs are none here. */
static void put_safe(struct str *s, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        size_t k = 0;
        while (p + k < end && p[k] != '\n' && p[k] != '\t') k++;
        result_escape(s, p, k);
        if (p + k < end) str_putc(s, p[k++]);
        p += k;
    }
}

static void put(FILE *f, const char *p, size_t n)
{
    struct str s = { 0 };
    put_safe(&s, p, n);
    fwrite(s.p ? s.p : "", 1, s.len, f);
    str_done(&s);
}

/* A piece of an answer: as it is for a pipe, safe for a terminal, and broken between words there. */
static void put_answer(struct term *t, const char *p, size_t n)
{
    struct str s = { 0 };
    bool terminal = isatty(fileno(t->text));
    if (terminal || t->style) put_safe(&s, p, n);
    else str_put(&s, p, n);
    if (t->wraps) wrap_put(&t->wrap, s.p ? s.p : "", s.len, t->fence);
    else fwrite(s.p ? s.p : "", 1, s.len, t->text);
    str_done(&s);
}

static void put_mark(struct term *t, const char *sequence)
{
    if (t->wraps) wrap_mark(&t->wrap, sequence);
    else fputs(sequence, t->text);
}

/* ---- Markdown, a character at a time ---- */

static void paint(struct term *t)
{
    put_mark(t, OFF);
    if (t->fence || t->code) put_mark(t, CYAN);
    if (t->bold || t->heading) put_mark(t, BOLD);
}

/* Marks that were held back: three ticks at the start of a line are a fence, one is code, two stars are bold. */
static void settle_marks(struct term *t)
{
    bool turned = false;
    if (t->ticks >= 3) t->fence = !t->fence, turned = true;
    else if (t->ticks == 1 && !t->fence) t->code = !t->code, turned = true;
    else for (int i = 0; i < t->ticks; i++) put_answer(t, "`", 1);
    if (t->stars == 2 && !t->fence && !t->code) t->bold = !t->bold, turned = true;
    else for (int i = 0; i < t->stars; i++) put_answer(t, "*", 1);
    t->ticks = t->stars = 0;
    if (turned) paint(t);
}

static void style_char(struct term *t, const char *p, size_t n)
{
    if (*p == '`' && !t->stars) { t->ticks++; return; }
    if (*p == '*' && !t->ticks) { t->stars++; return; }
    if (t->ticks || t->stars) settle_marks(t);
    if (*p == '`') { t->ticks++; return; }
    if (*p == '*') { t->stars++; return; }
    if (*p == '#' && t->line_start && !t->fence) t->heading = true, paint(t);
    put_answer(t, p, n);
    t->line_start = *p == '\n';
    if (*p == '\n' && (t->heading || t->code || t->bold)) {
        t->heading = t->code = t->bold = false;
        paint(t);
    }
}

static void put_text(struct term *t, const char *p, size_t n)
{
    if (!t->style) {
        put_answer(t, p, n);
        if (n) t->line_start = p[n - 1] == '\n';
        return;
    }
    for (const char *end = p + n; p < end;) {
        int k = 1;
        utf8_next(p, end, &k);
        style_char(t, p, (size_t)k);
        p += k;
    }
}

/* ---- the line of what goes on, on a terminal only ---- */

#define QUIET_MS 300                        /* nothing is said of what is over so soon */

static void status(struct term *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void status(struct term *t, const char *fmt, ...)
{
    va_list ap;
    if (t->quiet || !t->side_colour || !isatty(fileno(t->side)) || t->in_text || t->in_call || t->in_reasoning) return;
    fputs("\r" DIM, t->side);
    va_start(ap, fmt);
    vfprintf(t->side, fmt, ap);
    va_end(ap);
    fputs(OFF "\033[K", t->side);
    fflush(t->side);
    t->in_status = true;
}

static void end_status(struct term *t)
{
    if (t->in_status) fputs("\r\033[K", t->side), fflush(t->side);
    t->in_status = false;
}

/* ---- lines ---- */

static void close_text(struct term *t)
{
    if (t->style && (t->ticks || t->stars)) settle_marks(t);
    wrap_flush(&t->wrap);
    wrap_done(&t->wrap);
    t->wrap = (struct wrap){ .f = t->text };
    if ((t->in_text || t->in_reasoning) && !t->line_start) fputc('\n', t->in_reasoning ? t->side : t->text);
    if (t->style && t->in_text) fputs(OFF, t->text);
    if (t->in_reasoning && t->side_colour) fputs(OFF, t->side);
    t->in_text = t->in_reasoning = t->bold = t->code = t->fence = t->heading = false;
    t->line_start = true;
    fflush(t->text);
}

void term_end(struct term *t)
{
    end_status(t);
    close_text(t);
    if (t->in_call) fputs("\n", t->side);
    t->in_call = false;
    fflush(t->side);
}

void term_side(struct term *t, const char *fmt, ...)
{
    va_list ap;
    if (t->quiet) return;
    term_end(t);
    if (t->side_colour) fputs(DIM, t->side);
    va_start(ap, fmt);
    vfprintf(t->side, fmt, ap);
    va_end(ap);
    fputs(t->side_colour ? OFF "\n" : "\n", t->side);
    fflush(t->side);
}

static void on_model(struct term *t, const struct event *ev)
{
    const char *p = ev->bytes.p ? ev->bytes.p : "";
    if (ev->bytes.len || ev->kind == EV_CALL_BEGIN) end_status(t);
    switch (ev->kind) {
    case EV_PROGRESS:
        if (ev->n_read < ev->usage.prompt_tokens && ev->timing.prefill_ms > QUIET_MS) status(t, "reading %d of %d tokens", ev->n_read, ev->usage.prompt_tokens);
        break;
    case EV_TEXT:
        if (t->in_reasoning) close_text(t);
        t->in_text = true;
        put_text(t, p, ev->bytes.len);
        fflush(t->text);
        break;
    case EV_REASONING:
        if (t->quiet) break;
        if (!t->in_reasoning && t->side_colour) fputs(DIM, t->side);
        t->in_reasoning = true;
        put(t->side, p, ev->bytes.len);
        if (ev->bytes.len) t->line_start = p[ev->bytes.len - 1] == '\n';
        fflush(t->side);
        break;
    case EV_CALL_BEGIN:
        close_text(t);
        if (t->quiet) break;
        fprintf(t->side, "%s▸ %s%s ", t->side_colour ? CYAN : "", ev->name, t->side_colour ? OFF : "");
        t->in_call = true;
        break;
    case EV_CALL_ARGS:
        if (!t->quiet) put(t->side, p, ev->bytes.len), fflush(t->side);
        break;
    case EV_CALL_END:
        if (t->in_call) fputs(ev->schema_ok ? "\n" : "  (does not fit its schema)\n", t->side);
        t->in_call = false;
        break;
    case EV_FINISH: case EV_ERROR: term_end(t); break;
    default: break;
    }
}

static void put_files(struct term *t, const struct json *files)
{
    for (size_t i = 0; i < json_len(files); i++) {
        const char *path = json_str(json_get(json_at(files, i), "path"), NULL), *name = json_str(json_get(json_at(files, i), "name"), NULL);
        term_side(t, "    %s%s%s", name ? name : "?", path ? ": " : " (too large to keep)", path ? path : "");
    }
}

static void on_result(struct term *t, const struct agent_event *ev)
{
    struct str line = { 0 };
    size_t n = MIN(ev->text.len, (size_t)SHOWN_BYTES), all = ev->text.len;
    const char *stop = memchr(ev->text.p, '\n', n);
    if (stop) n = (size_t)(stop - ev->text.p);
    result_escape(&line, ev->text.p, utf8_whole(ev->text.p, n));
    term_end(t);
    if (t->quiet) return str_done(&line);
    if (t->side_colour) fputs(ev->is_error ? RED : GREEN, t->side);
    fprintf(t->side, "  %s", ev->is_error ? "✗" : "✓");
    if (t->side_colour) fputs(OFF DIM, t->side);
    if (ev->ran) fprintf(t->side, " %.2f s", ev->ms / 1e3);
    fprintf(t->side, " %s%s", line.p ? line.p : "", n < all ? " …" : "");
    if (n < all) fprintf(t->side, " (%zu bytes, result %d)", all, ev->number);
    fputs(t->side_colour ? OFF "\n" : "\n", t->side);
    put_files(t, ev->files);
    fflush(t->side);
    str_done(&line);
}

void term_event(struct term *t, const struct agent_event *ev)
{
    switch (ev->kind) {
    case AG_MODEL:  on_model(t, ev->ev); break;
    case AG_RESULT: on_result(t, ev); break;
    case AG_NOTE:   term_side(t, "note: %.*s", (int)ev->text.len, ev->text.p); break;
    case AG_RUN:    status(t, "running %s …", ev->name ? ev->name : ""); break;
    case AG_TURN:   break;
    }
}

static double rate(int n, double ms) { return ms > 0 ? n / ms * 1e3 : 0; }

void term_stats(struct term *t, const struct agent_report *r, int n_ctx)
{
    const struct usage *u = &r->last;
    struct str s = { 0 };
    str_fmt(&s, "prompt %d (%d cached) · %d tok out · %.0f tok/s read · %.0f tok/s write · %.2f s to first", u->prompt_tokens, u->cached_tokens,
            r->usage.completion_tokens, rate(r->usage.prompt_tokens - r->usage.cached_tokens, r->timing.prefill_ms),
            rate(r->usage.completion_tokens, r->timing.decode_ms), r->timing.first_token_ms / 1e3);
    if (n_ctx > 0) str_fmt(&s, " · ctx %d %%", (u->prompt_tokens + u->completion_tokens) * 100 / n_ctx);
    if (r->calls) str_fmt(&s, " · %d call%s", r->calls, r->calls == 1 ? "" : "s");
    term_side(t, "%s", s.p);
    str_done(&s);
}

/* ---- asking ---- */

bool term_read_line(struct str *line)
{
    char buf[8192];
    str_clear(line);
    clearerr(stdin);
    if (!fgets(buf, sizeof buf, stdin)) return false;
    str_put(line, buf, strcspn(buf, "\n"));
    return true;
}

static void show_question(struct term *t, const struct question *q)
{
    struct str args = { 0 };
    json_write(&args, q->args, JSON_PRETTY);
    term_end(t);
    fprintf(t->side, "%s%s%s (%s) wants to run", t->side_colour ? BOLD : "", q->tool->name, t->side_colour ? OFF : "", q->tool->source);
    if (q->tool->changed) fputs("; its definition has changed since it was allowed", t->side);
    if (q->unsure >= 0) fprintf(t->side, "; the model was only %.0f %% sure", 100 * (double)q->unsure);
    fputs(":\n", t->side);
    put(t->side, args.p, args.len);
    fputc('\n', t->side);
    if (q->preview && *q->preview) {
        fputs("--\n", t->side);
        put(t->side, q->preview, strlen(q->preview));
        fputc('\n', t->side);
    }
    str_done(&args);
}

/* Edited arguments, or NULL and a sentence. */
static struct json *read_edit(struct term *t, struct str *line)
{
    struct err e = { 0 };
    fputs("arguments (JSON): ", t->side);
    fflush(t->side);
    struct json *v = term_read_line(line) ? json_parse(line->p ? line->p : "", line->len, &e) : NULL;
    if (!v) fprintf(t->side, "%s\n", e.msg);
    return v;
}

static bool decide(struct term *t, struct str *line, struct str *reason, struct json **args, enum answer *out)
{
    static const struct { char key; enum answer a; } keys[] = { { 'y', ANSWER_ONCE }, { 'a', ANSWER_TOOL }, { 'A', ANSWER_EXACT }, { 'q', ANSWER_QUIT } };
    const char *s = line->p ? line->p : "";
    if (*s == 'n' && (!s[1] || s[1] == ' ')) {
        str_puts(reason, s[1] ? s + 2 : "");
        return *out = ANSWER_NO, true;
    }
    if (!strcmp(s, "e") && (*args = read_edit(t, line))) return *out = ANSWER_EDIT, true;
    for (size_t i = 0; i < LEN(keys); i++)
        if (*s == keys[i].key && !s[1]) return *out = keys[i].a, true;
    return false;
}

enum answer term_ask(struct term *t, const struct question *q, struct str *reason, struct json **args)
{
    struct str line = { 0 };
    enum answer a = ANSWER_QUIT;
    show_question(t, q);
    for (;;) {
        fputs("allow? y once, a always for this tool, A always for these arguments, n [reason], e edit, q stop: ", t->side);
        fflush(t->side);
        if (!term_read_line(&line)) break;                               /* end of input or Ctrl-C: stop */
        if (decide(t, &line, reason, args, &a)) break;
    }
    str_done(&line);
    return a;
}
