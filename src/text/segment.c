/* segment.c -- reads what Functionary v1, v2, v2.llama3 and v3.2 write: segments, each for a recipient.
 *
 *     v3.2       all⏎Hi>>>get_weather⏎{"city":"Oslo"}>>>python⏎print(1)
 *     v2         all⏎<|content|>Hi⏎<|from|>assistant⏎<|recipient|>get_weather⏎<|content|>{"city":"Oslo"}
 *     v2.llama3  Hi<|reserved_special_token_249|>get_weather⏎{"city":"Oslo"}
 *     v1         ⏎Hi⏎<|START_OF_FUNCTION_CALL|>get_weather:⏎{"city":"Oslo"}
 *
 * A header names the recipient: `all` (the user), `python` with a code interpreter, or a function; its
 * body is text, source or a JSON object. Special tokens prove a header; where `>>>` is the mark, the
 * whole name up to its line end must be known, or a `{` must follow. So `get_weather` is never taken
 * for the beginning of `get_weather_and_time`, and `>>>` in text or code is text. What stands in the
 * place of the first header and is none is text; at later ones it is nothing.
 * The rules are those of Functionary's reference, section 4.3, in its order. */
#include "text/read.h"

#define PEEK_MOST 256 /* blanks between an unknown name and its { */

enum place { S_FIRST, S_HEAD, S_CONTENT, S_FROM, S_TEXT, S_CODE, S_ARGS, S_AFTER };
enum mark { NO_MARK = -1, UNDECIDED = 0, MARK = 1 };

struct segment {
    struct parser p;
    const char *from, *recipient, *content;       /* special tokens; from also begins a call in v1, v2.llama3 */
    char end_of_name;
    bool arrows, first_header, drop_space, drop_line;
    enum place place;
    bool later;                                                       /* the header being read is not the first */
    struct str name;
};

static struct segment *of(struct parser *p) { return (struct segment *)p; }

/* The recipient that is the user. */
static bool is_all(const struct segment *g, const char *s, size_t n)
{
    return g->first_header && n == 3 && !memcmp(s, "all", 3);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void begin_body(struct segment *g, const char *name, size_t n)
{
    struct parser *p = &g->p;
    g->drop_space = g->content != NULL;
    if (p->turn.choice == CHOICE_NONE || is_all(g, name, n)) {
        p->new_line = p->any_text;
        g->place = S_TEXT;
    } else if (is_code_name(p, name, n) && !p->json_code) {
        begin_call(p, name, n);
        g->place = S_CODE;
    } else {
        body_begin(p, name, n);
        g->place = S_ARGS;
    }
}

/* The body is over: a mark came, or (clean: by the model's choice) the end. */
static void end_body(struct segment *g, bool marker, bool clean)
{
    struct parser *p = &g->p;
    if (p->in_call && g->place == S_CODE) {
        if (p->line && !marker) say_args(p, "\n", 1);
        if (!clean) parse_problem(p, "python", 6, "the call was cut");
        end_call(p, clean);
        p->line = false;
    } else if (p->in_call) {
        body_end(p, clean);
    }
    end_stretch(p, marker);
}

/* An object has begun and not ended. */
static bool is_open(const struct segment *g)
{
    return g->p.in_call && g->place == S_ARGS && !g->p.raw && !args_empty(&g->p.args);
}

static void say_code(struct parser *p, const char *s, size_t n)
{
    if (!n) return;
    if (p->line) say_args(p, "\n", 1);
    p->line = p->hold_line && s[n - 1] == '\n';
    say_args(p, s, n - p->line);
}

/* ---- headers in bytes -------------------------------------------------------------------------- */

/* Name and line end at s; *len: of the name. known_only: a name that is not known is none, else it is one
 * if `{` follows. */
static enum mark header_at(struct parser *p, const char *s, size_t n, bool known_only, size_t *len)
{
    size_t i = 0, k;
    bool none = p->turn.choice == CHOICE_NONE;
    while (i < n && i <= NAME_MOST && is_name(s[i])) i++;
    if (i > NAME_MOST) return NO_MARK;
    if (i == n) {
        bool begins = !memcmp("all", s, MIN(i, 3u)) && i <= 3;
        return begins || (!none && (!known_only || is_known(p, s, i, true))) ? UNDECIDED : NO_MARK;
    }
    if (!i || s[i] != '\n') return NO_MARK;
    *len = i;
    if (is_all(of(p), s, i) || (!none && is_known(p, s, i, false))) return MARK;
    if (known_only || none) return NO_MARK;
    for (k = i + 1; k < n && is_blank(s[k]);) k++;
    if (k == n) return k - i > PEEK_MOST ? NO_MARK : UNDECIDED;
    return s[k] == '{' ? MARK : NO_MARK;
}

static enum mark arrows_at(struct parser *p, const char *s, size_t n, bool known_only, size_t *len)
{
    size_t k = MIN(n, 3u);
    if (memcmp(s, ">>>", k)) return NO_MARK;
    return k < 3 ? UNDECIDED : n == 3 ? UNDECIDED : header_at(p, s + 3, n - 3, known_only, len);
}

static int arrows_mark(struct parser *p, const char *s, size_t n)
{
    size_t len;
    return of(p)->arrows ? arrows_at(p, s, n, true, &len) : NO_MARK;
}

/* What is not decided when the answer ends, at a place for a header: a known name alone is one with an
 * empty body; a name that was cut is dropped. */
static bool header_at_end(struct segment *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    size_t len = n && s[n - 1] == '\n' ? n - 1 : n;
    bool none = p->turn.choice == CHOICE_NONE;
    if (p->cut && n) return is_known(p, s, n, true) || !memcmp("all", s, MIN(n, 3u));
    if (!is_all(g, s, len) && (none || !is_known(p, s, len, false))) return false;
    begin_body(g, s, len);
    return true;
}

/* ---- steps of v3.2: everything is bytes -------------------------------------------------------- */

/* Text or code up to the next `>>>NAME`; g->place says which. */
static size_t until_arrows(struct segment *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    size_t i = 0, len = 0;
    while (i < n) {
        const char *hit = p->turn.choice == CHOICE_NONE || !g->arrows ? NULL : memchr(s + i, '>', n - i);
        i = hit ? (size_t)(hit - s) : n;
        enum mark m = hit ? arrows_at(p, hit, n - i, true, &len) : NO_MARK;
        if (hit && m == NO_MARK) {
            i++;
            continue;
        }
        if (m == UNDECIDED && p->last) i = n;
        if (m != MARK) break;
        if (g->place == S_CODE) say_code(p, s, i);
        else say_text(p, s, i);
        end_body(g, true, true);
        if (!p->over) begin_body(g, hit + 3, len);
        return i + 3 + len + 1;
    }
    if (g->place == S_CODE) say_code(p, s, i);
    else say_text(p, s, i);
    return i;
}

static size_t first_step(struct segment *g, const char *s, size_t n)
{
    size_t len = 0;
    enum mark m = header_at(&g->p, s, n, false, &len);
    if (m == UNDECIDED && !g->p.last) return 0;
    if (m == MARK) {
        begin_body(g, s, len);
        return len + 1;
    }
    if (m == UNDECIDED && header_at_end(g, s, n)) return n;
    g->place = S_TEXT;
    return until_arrows(g, s, n);
}

/* After complete arguments: nothing but a header counts. */
static size_t after_step(struct segment *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    const char *hit = g->arrows ? memchr(s, '>', n) : NULL;
    size_t len = 0;
    if (!hit) return n;
    if (hit > s) return (size_t)(hit - s);
    enum mark m = arrows_at(p, s, n, false, &len);
    if (m == UNDECIDED && !p->last) return 0;
    if (m == MARK) {
        begin_body(g, s + 3, len);
        return 3 + len + 1;
    }
    if (m == UNDECIDED && n > 3 && header_at_end(g, s + 3, n - 3)) return n;
    return 1;
}

/* ---- steps of those with special tokens ---------------------------------------------------------- */

/* What was taken for a header is none: text at the first place, nothing at a later one (with a token that
 * proves a call, v1 and v2.llama3, text too). */
static size_t no_header(struct segment *g, const char *s, size_t n)
{
    bool drop = g->later && g->content;
    g->place = drop ? S_AFTER : S_TEXT;
    if (!drop) say_text(&g->p, s, n);
    return n;
}

/* NAME and what ends it; one space before it is SentencePiece's. */
static size_t head_step(struct segment *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    size_t from = n && s[0] == ' ', i = from;
    while (i < n && i - from <= NAME_MOST && is_name(s[i])) i++;
    size_t len = i - from;
    if (i == n && len <= NAME_MOST) {
        if (!p->last) return 0;
        if (!(p->cut && (g->later || !g->content)) && !header_at_end(g, s + from, len)) return no_header(g, s, n);
        return n;
    }
    if (!len || len > NAME_MOST || s[i] != g->end_of_name) return no_header(g, s, MAX(i, 1u));
    if (g->content) {
        str_clear(&g->name);
        str_put(&g->name, s + from, len);
        g->place = S_CONTENT;
    } else begin_body(g, s + from, len);
    return i + 1;
}

/* NAME⏎ was read and no <|content|> follows. */
static void content_step(struct segment *g)
{
    struct str head = { 0 };
    str_put(&head, g->name.p, g->name.len);
    str_putc(&head, '\n');
    no_header(g, head.p, head.len);
    str_done(&head);
}

/* Only the assistant goes on. */
static size_t from_step(struct segment *g, const char *s, size_t n)
{
    static const char role[] = "assistant\n";
    size_t from = s[0] == ' ', len = n - from;
    if (len >= sizeof role || memcmp(s + from, role, len)) g->p.over = true;
    return g->p.over || g->p.last ? n : 0;
}

static size_t step(struct parser *p, const char *s, size_t n)
{
    struct segment *g = of(p);
    enum body b;
    size_t used;
    if (g->drop_line || (g->drop_space && g->place >= S_TEXT)) {
        char first = g->drop_line ? '\n' : ' ';
        g->drop_line = g->drop_space = false;
        if (*s == first) return 1;
    }
    switch (g->place) {
    case S_FIRST: return g->arrows ? first_step(g, s, n) : head_step(g, s, n);
    case S_HEAD: return head_step(g, s, n);
    case S_CONTENT:
        content_step(g);
        return step(p, s, n);
    case S_FROM: return from_step(g, s, n);
    case S_TEXT: case S_CODE: return until_arrows(g, s, n);
    case S_ARGS:
        used = body_step(p, s, n, '>', arrows_mark, &b);
        if (b == BODY_MARK) body_end(p, true);
        if (b != BODY_MORE) g->place = S_AFTER;
        return used || b == BODY_MORE || p->over ? used : step(p, s, n);
    case S_AFTER: return after_step(g, s, n);
    }
    return n;
}

/* ---- special tokens ------------------------------------------------------------------------------ */

static void on_content(struct segment *g)
{
    struct parser *p = &g->p;
    if (g->place == S_FIRST || g->place == S_HEAD) {                /* no line end before it */
        size_t from = p->held.len && p->held.p[0] == ' ';
        if (p->held.len > from) begin_body(g, p->held.p + from, p->held.len - from);
        str_clear(&p->held);
    } else if (g->place == S_CONTENT) {
        begin_body(g, g->name.p, g->name.len);
    }
}

static void on_recipient(struct segment *g)
{
    struct parser *p = &g->p;
    if (g->place == S_FROM) {
        size_t from = p->held.len && p->held.p[0] == ' ', len = p->held.len - from;
        while (len && is_blank(p->held.p[from + len - 1])) len--;
        if (len != 9 || memcmp(p->held.p + from, "assistant", 9)) p->over = true;
        str_clear(&p->held);
    } else {
        bool open = is_open(g);
        reader_settle(p);
        end_body(g, true, !open);
    }
    g->later = true;
    g->place = S_HEAD;
}

/* The token before a header. */
static void on_mark(struct segment *g)
{
    struct parser *p = &g->p;
    bool open = is_open(g);
    reader_settle(p);
    if (g->place == S_CONTENT) content_step(g);
    if (p->over) return;
    end_body(g, true, !open);
    if (p->turn.choice == CHOICE_NONE) p->over = true;
    g->later = true;
    g->drop_line = false;
    g->place = g->content ? S_FROM : S_HEAD;
}

static void special(struct parser *p, struct bytes token)
{
    struct segment *g = of(p);
    if (g->from && bytes_eq(token, g->from)) on_mark(g);
    else if (g->content && bytes_eq(token, g->content)) on_content(g);
    else if (g->recipient && bytes_eq(token, g->recipient)) on_recipient(g);
}

static void end(struct parser *p)
{
    struct segment *g = of(p);
    if (g->place == S_CONTENT && !header_at_end(g, g->name.p, g->name.len) && !(p->cut && g->later)) content_step(g);
    end_body(g, false, !p->cut);
}

static bool in_string(const struct parser *p)
{
    const struct segment *g = (const struct segment *)p;
    return g->place == S_ARGS && !p->raw && args_in_string(&p->args);
}

static enum plain plain(const struct parser *p, const char *s, size_t n)
{
    const struct segment *g = (const struct segment *)p;
    if (g->drop_line || g->drop_space) return NOT_PLAIN;
    if (g->place == S_TEXT && plain_text(p, s, n) && !(g->arrows && memchr(s, '>', n))) return PLAIN_TEXT;
    return g->place == S_ARGS && !p->raw && args_plain(&p->args, s, n) ? PLAIN_ARGS : NOT_PLAIN;
}

static void done(struct parser *p) { str_done(&of(p)->name); }

static const struct parser_kind kind = { sizeof(struct segment), step, special, end, in_string, plain, done };

/* ---- the four ------------------------------------------------------------------------------------ */

struct parser *segment_v3(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct segment *g = of(reader_new(&kind, t, sink, ctx));
    g->arrows = g->first_header = true;
    g->end_of_name = '\n';
    return &g->p;
}

struct parser *segment_v2(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct segment *g = of(reader_new(&kind, t, sink, ctx));
    g->first_header = g->p.hold_line = true;
    g->from = "<|from|>", g->recipient = "<|recipient|>", g->content = "<|content|>";
    g->end_of_name = '\n';
    return &g->p;
}

struct parser *segment_v2_llama3(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct segment *g = of(reader_new(&kind, t, sink, ctx));
    g->from = "<|reserved_special_token_249|>";
    g->end_of_name = '\n';
    g->place = S_TEXT;
    return &g->p;
}

struct parser *segment_v1(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct segment *g = of(reader_new(&kind, t, sink, ctx));
    g->from = "<|START_OF_FUNCTION_CALL|>";
    g->end_of_name = ':';
    g->drop_line = g->p.hold_line = g->p.json_code = true;
    g->place = S_TEXT;
    return &g->p;
}
