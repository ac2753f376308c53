/* term.c -- how a conversation looks in a terminal: answers as they come, calls as they are written.
 *
 * What a model or a tool says is text of strangers: control characters are shown as \xHH, never sent to the terminal;
 * all colours are ours. Markdown is styled while it streams (markdown.c) and broken between words (wrap.c). Without a
 * terminal, with NO_COLOR or TERM=dumb, the bytes are the answer's own. While nothing is written, one line says what goes on
 * and for how long; a thread paints it, and takes it away before anything else is written. */
#include "talker.h"

#include <stdlib.h>
#include <unistd.h>

#define SHOWN_BYTES 160                     /* of a result */
#define QUIET_MS 300                        /* nothing is said of what is over so soon */
#define FRAME_MS 100

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
    t->wrap = (struct wrap){ .f = text, .endless = !t->wraps };
    md_open(&t->md, &t->wrap, t->wraps);
    pthread_mutexattr_t again;
    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&t->lock, &again);
    pthread_mutexattr_destroy(&again);
    pthread_cond_init(&t->turn, NULL);
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

/* A piece of an answer: as it is for a pipe, safe and broken between words for a terminal, styled where colours are. */
static void put_text(struct term *t, const char *p, size_t n)
{
    struct str s = { 0 };
    if (t->style) md_put(&t->md, p, n);
    else if (isatty(fileno(t->text))) {
        put_safe(&s, p, n);
        if (t->wraps) wrap_put(&t->wrap, s.p ? s.p : "", s.len, false);
        else fwrite(s.p ? s.p : "", 1, s.len, t->text);
    } else fwrite(p, 1, n, t->text);
    if (n) t->line_start = p[n - 1] == '\n';
    str_done(&s);
}

/* ---- the line of what goes on, on a terminal only ---- */

static void paint_status(struct term *t)
{
    static const char *const frames[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };
    uint64_t ms = (clock_ns() - t->since) / 1000000u;
    if (!*t->status || ms < QUIET_MS) return;
    fprintf(t->side, "\r" MD_DIM "%s %s %.1f s" MD_OFF "\033[K", frames[ms / FRAME_MS % LEN(frames)], t->status, (double)ms / 1e3);
    fflush(t->side);
    t->painted = true;
}

static void *paint_on(void *term)
{
    struct term *t = term;
    pthread_mutex_lock(&t->lock);
    while (!t->ends) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += FRAME_MS * 1000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        if (*t->status) pthread_cond_timedwait(&t->turn, &t->lock, &until);
        else pthread_cond_wait(&t->turn, &t->lock);
        paint_status(t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static void status(struct term *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void status(struct term *t, const char *fmt, ...)
{
    va_list ap;
    if (t->quiet || !t->side_colour || !isatty(fileno(t->side)) || t->in_text || t->in_call || t->in_reasoning) return;
    if (!*t->status) t->since = clock_ns();
    va_start(ap, fmt);
    vsnprintf(t->status, sizeof t->status, fmt, ap);
    va_end(ap);
    if (!t->painting) t->painting = !pthread_create(&t->painter, NULL, paint_on, t);
    pthread_cond_signal(&t->turn);
}

static void end_status(struct term *t)
{
    *t->status = 0;
    if (t->painted) fputs("\r\033[K", t->side), fflush(t->side);
    t->painted = false;
}

void term_close(struct term *t)
{
    term_end(t);
    pthread_mutex_lock(&t->lock);
    t->ends = true;
    pthread_cond_signal(&t->turn);
    pthread_mutex_unlock(&t->lock);
    if (t->painting) pthread_join(t->painter, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->turn);
}

/* 9 812 */
static const char *grouped(int n, char out[16])
{
    char digits[12];
    int len = snprintf(digits, sizeof digits, "%d", n), k = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-') out[k++] = ' ';
        out[k++] = digits[i];
    }
    out[k] = 0;
    return out;
}

/* ---- lines ---- */

static void close_text(struct term *t)
{
    if (t->style && t->in_text) t->line_start = !md_end(&t->md);
    wrap_flush(&t->wrap);
    wrap_done(&t->wrap);
    t->wrap = (struct wrap){ .f = t->text, .endless = !t->wraps };
    if ((t->in_text || t->in_reasoning) && !t->line_start) fputc('\n', t->in_reasoning ? t->side : t->text);
    if (t->style && t->in_text) fputs(MD_OFF, t->text);
    if (t->in_reasoning && t->side_colour) fputs(MD_OFF, t->side);
    t->in_text = t->in_reasoning = false;
    t->line_start = true;
    fflush(t->text);
}

void term_end(struct term *t)
{
    pthread_mutex_lock(&t->lock);
    end_status(t);
    close_text(t);
    if (t->in_call) fputs("\n", t->side);
    t->in_call = false;
    fflush(t->side);
    pthread_mutex_unlock(&t->lock);
}

void term_answer(struct term *t, const char *p, size_t n)
{
    term_end(t);
    t->in_text = true;
    put_text(t, p, n);
    term_end(t);
}

void term_side(struct term *t, const char *fmt, ...)
{
    va_list ap;
    struct str line = { 0 };
    if (t->quiet) return;
    va_start(ap, fmt);
    str_vfmt(&line, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&t->lock);
    term_end(t);
    if (t->side_colour) fputs(MD_DIM, t->side);
    wrap_line(t->side, line.p ? line.p : "", 2, 0);
    str_done(&line);
    fputs(t->side_colour ? MD_OFF "\n" : "\n", t->side);
    fflush(t->side);
    pthread_mutex_unlock(&t->lock);
}

static void on_model(struct term *t, const struct event *ev)
{
    const char *p = ev->bytes.p ? ev->bytes.p : "";
    char read[16], all[16];
    if (ev->bytes.len || ev->kind == EV_CALL_BEGIN) end_status(t);
    switch (ev->kind) {
    case EV_PROGRESS:
        if (ev->n_read < ev->usage.prompt_tokens) status(t, "reading %s/%s tokens", grouped(ev->n_read, read), grouped(ev->usage.prompt_tokens, all));
        break;
    case EV_TEXT:
        if (t->in_reasoning) close_text(t);
        t->in_text = true;
        put_text(t, p, ev->bytes.len);
        fflush(t->text);
        break;
    case EV_REASONING:
        if (t->quiet) break;
        if (!t->in_reasoning && t->side_colour) fputs(MD_DIM, t->side);
        t->in_reasoning = true;
        put(t->side, p, ev->bytes.len);
        if (ev->bytes.len) t->line_start = p[ev->bytes.len - 1] == '\n';
        fflush(t->side);
        break;
    case EV_CALL_BEGIN:
        close_text(t);
        if (t->quiet) break;
        fprintf(t->side, "%s▸ %s%s ", t->side_colour ? MD_CYAN : "", ev->name, t->side_colour ? MD_OFF : "");
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
    term_end(t);
    if (t->quiet) return;
    if (ev->ran) str_fmt(&line, " %.2f s", ev->ms / 1e3);
    str_putc(&line, ' ');
    result_escape(&line, ev->text.p, utf8_whole(ev->text.p, n));
    if (n < all) str_fmt(&line, " … (%zu bytes, result %d)", all, ev->number);
    if (t->side_colour) fputs(ev->is_error ? MD_RED : MD_GREEN, t->side);
    fprintf(t->side, "  %s", ev->is_error ? "✗" : "✓");
    if (t->side_colour) fputs(MD_OFF MD_DIM, t->side);
    wrap_line(t->side, line.p, 4, 3);
    fputs(t->side_colour ? MD_OFF "\n" : "\n", t->side);
    put_files(t, ev->files);
    fflush(t->side);
    str_done(&line);
}

void term_event(struct term *t, const struct agent_event *ev)
{
    pthread_mutex_lock(&t->lock);
    switch (ev->kind) {
    case AG_MODEL:  on_model(t, ev->ev); break;
    case AG_RESULT: on_result(t, ev); break;
    case AG_NOTE:   term_side(t, "note: %.*s", (int)ev->text.len, ev->text.p); break;
    case AG_RUN:    status(t, "running %s …", ev->name ? ev->name : ""); break;
    case AG_TURN:   status(t, "waiting for the model"); break;
    }
    pthread_mutex_unlock(&t->lock);
}

static double rate(int n, double ms) { return ms > 0 ? n / ms * 1e3 : 0; }

void term_stats(struct term *t, const struct agent_report *r, int n_ctx)
{
    const struct usage *u = &r->last;
    struct str s = { 0 };
    char prompt[16], cached[16], out[16];
    str_fmt(&s, "prompt %s (%s cached) · %s tok out · %.0f tok/s read · %.0f tok/s write · %.2f s to first", grouped(u->prompt_tokens, prompt),
            grouped(u->cached_tokens, cached), grouped(r->usage.completion_tokens, out),
            rate(r->usage.prompt_tokens - r->usage.cached_tokens, r->timing.prefill_ms), rate(r->usage.completion_tokens, r->timing.decode_ms),
            r->timing.first_token_ms / 1e3);
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
    fprintf(t->side, "%s%s%s (%s) wants to run", t->side_colour ? MD_BOLD : "", q->tool->name, t->side_colour ? MD_OFF : "", q->tool->source);
    if (q->tool->changed) fputs("; its definition has changed since it was allowed", t->side);
    if (q->unsure >= 0) fprintf(t->side, "; the model was only %.0f %% sure", 100 * (double)q->unsure);
    fputs(":\n", t->side);
    if (q->tool->difference) put(t->side, q->tool->difference, strlen(q->tool->difference)), fputs("--\n", t->side);
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
        wrap_line(t->side, "allow? y once, a always for this tool, A always for these arguments, n [reason], e edit, q stop:", 2, 0);
        fputc(' ', t->side);
        fflush(t->side);
        if (!term_read_line(&line)) break;                               /* end of input or Ctrl-C: stop */
        if (decide(t, &line, reason, args, &a)) break;
    }
    str_done(&line);
    return a;
}
