/* tagged.c -- reads what Functionary v3.1 and v4r and the Hermes family write: tags in text.
 *
 *     v3.1    Hi<function=get_weather>{"city":"Oslo"}</function>    <|python_tag|>print(1)
 *     Hermes  Hi⏎<tool_call>⏎{"name": "get_weather", "arguments": {"city": "Oslo"}}⏎</tool_call>
 *
 * What is no whole tag is text. Arguments end where their object ends, so a closing tag inside of a
 * string is part of it; a closing tag that is missing is forgiven, one that comes late is dropped.
 * `<|python_tag|>` counts as a token only; behind it everything is source, or text where no code
 * interpreter is declared. In vocabularies where Hermes' tags are tokens only the tokens count, and a
 * token `<think>` opens reasoning. Rules: Functionary's reference, section 4.3. */
#include "text/read.h"

#define PEEK_MOST 256  /* blanks between an unknown name and its { */
#define HEAD_MOST 4096 /* of {"name": …, "arguments": but for arguments that come first */

enum place { G_TEXT, G_HEAD, G_ARGS, G_TAIL, G_CLOSE, G_SKIP, G_CODE };
enum head { H_OPEN, H_KEY, H_KEY_STR, H_COLON, H_VALUE, H_NAME, H_EARLY, H_OTHER, H_NEXT };
enum { NO_MARK = -1, UNDECIDED = 0, MARK = 1 };

struct tagged {
    struct parser p;
    const char *open, *close;
    bool hermes, text_tags;               /* text_tags: Hermes' tags are mere text in this vocabulary */
    bool late_close;                                                  /* a closing tag may still come */
    enum place place;
    /* The head of a Hermes call: what was read of it, in case it is none. */
    enum head head;
    struct str seen, key, name, early;
    bool has_name, has_early, in_str, escaped;
    struct args early_args;
    int depth;
};

static struct tagged *of(struct parser *p) { return (struct tagged *)p; }
static size_t step(struct parser *p, const char *s, size_t n);

/* Is literal mark at s? */
static int literal_at(const char *s, size_t n, const char *mark)
{
    size_t len = strlen(mark);
    if (memcmp(s, mark, MIN(n, len))) return NO_MARK;
    return n < len ? UNDECIDED : MARK;
}

/* ---- <function=NAME> ------------------------------------------------------------------------- */

/* *len: of the name. An unknown name needs a `{` behind its tag, unless known_only: then it is none. */
static int function_at(struct parser *p, const char *s, size_t n, bool known_only, size_t *len)
{
    static const char open[] = "<function=";
    size_t from = sizeof open - 1, i = from, k;
    int m = literal_at(s, n, open);
    if (m != MARK) return m;
    while (i < n && i - from <= NAME_MOST && is_name(s[i])) i++;
    *len = i - from;
    if (*len > NAME_MOST) return NO_MARK;
    if (i == n) return known_only && !is_known(p, s + from, *len, true) ? NO_MARK : UNDECIDED;
    if (!*len || s[i] != '>') return NO_MARK;
    if (is_known(p, s + from, *len, false)) return MARK;
    if (known_only) return NO_MARK;
    for (k = i + 1; k < n && is_blank(s[k]);) k++;
    if (k == n) return k - i > PEEK_MOST ? NO_MARK : UNDECIDED;
    return s[k] == '{' ? MARK : NO_MARK;
}

/* What ends arguments that are no JSON. */
static int raw_mark(struct parser *p, const char *s, size_t n)
{
    struct tagged *g = of(p);
    size_t len;
    if (g->hermes && !g->text_tags) return NO_MARK;
    int close = literal_at(s, n, g->close);
    if (close == MARK) return MARK;
    int open = g->hermes ? literal_at(s, n, g->open) : function_at(p, s, n, true, &len);
    return MAX(close, open);
}

/* ---- the head of a Hermes call ------------------------------------------------------------------- */

static void start_head(struct tagged *g)
{
    g->place = G_HEAD;
    g->head = H_OPEN;
    g->has_name = g->has_early = false;
    str_clear(&g->seen);
    str_puts(&g->seen, g->open);
    str_clear(&g->name);
    str_clear(&g->early);
}

/* It is none: all of it is text. */
static void no_head(struct tagged *g)
{
    g->place = G_TEXT;
    say_text(&g->p, g->seen.p, g->seen.len);
}

static bool key_is(const struct tagged *g, const char *key) { return bytes_eq((struct bytes){ g->key.p, g->key.len }, key); }

static bool start_early(struct tagged *g)
{
    memset(&g->early_args, 0, sizeof g->early_args);
    g->head = H_EARLY;
    return true;
}

/* The first byte of a member's value that is not blank. False: not a head. *used false: c belongs to the
 * arguments. */
static bool head_value(struct tagged *g, char c, bool *used)
{
    bool args = key_is(g, "arguments") || key_is(g, "parameters");
    if (key_is(g, "name")) {
        g->head = H_NAME;
        return c == '"' && !g->has_name;
    }
    if (args && g->has_name && !g->has_early) {
        *used = false;
        if (c != '{' && !is_known(&g->p, g->name.p, g->name.len, false)) return false;
        body_begin(&g->p, g->name.p, g->name.len);
        g->place = G_ARGS;
        return true;
    }
    if (args && !g->has_early) {
        *used = false;
        return c == '{' && start_early(g);
    }
    g->head = H_OTHER;
    g->depth = 0;
    g->in_str = g->escaped = false;
    *used = false;
    return true;
}

/* A member that says nothing to us: up to the comma or brace behind it. */
static void head_other(struct tagged *g, char c, bool *used)
{
    if (g->in_str) {
        if (g->escaped) g->escaped = false;
        else if (c == '\\') g->escaped = true;
        else if (c == '"') g->in_str = false;
        return;
    }
    if (c == '"') g->in_str = true;
    if (c == '{' || c == '[') g->depth++;
    if (!g->depth && (c == ',' || c == '}')) {
        *used = false;
        g->head = H_NEXT;
    }
    if (c == '}' || c == ']') g->depth--;
}

/* The call whose arguments came before its name. */
static bool early_call(struct tagged *g)
{
    if (!g->has_name || !g->has_early) return false;
    begin_call(&g->p, g->name.p, g->name.len);
    say_args(&g->p, g->early.p, g->early.len);
    end_call(&g->p, true);
    g->place = G_CLOSE;
    return true;
}

static bool head_byte(struct tagged *g, char c, bool *used)
{
    bool blank = is_blank(c);
    switch (g->head) {
    case H_OPEN: g->head = c == '{' ? H_KEY : H_OPEN; return c == '{' || blank;
    case H_KEY:
        if (c == '"') str_clear(&g->key), g->head = H_KEY_STR;
        return c == '"' || blank;
    case H_KEY_STR:
        if (c == '"') g->head = H_COLON;
        else str_putc(&g->key, c);
        return c != '\\';
    case H_COLON: g->head = c == ':' ? H_VALUE : H_COLON; return c == ':' || blank;
    case H_VALUE: return blank || head_value(g, c, used);
    case H_NAME:
        if (c == '"') g->has_name = true, g->head = H_NEXT;
        else str_putc(&g->name, c);
        return c == '"' ? g->name.len > 0 : is_name(c) && g->name.len <= NAME_MOST;
    case H_OTHER: head_other(g, c, used); return true;
    case H_NEXT:
        if (c == ',') g->head = H_KEY;
        return c == '}' ? early_call(g) : c == ',' || blank;
    default: return false;
    }
}

static size_t early_step(struct tagged *g, const char *s, size_t n)
{
    enum args_step r;
    size_t used = args_read(&g->early_args, s, n, &g->early, &r);
    str_put(&g->seen, s, used);
    if (r == ARGS_DONE) g->has_early = true, g->head = H_NEXT;
    if (r == ARGS_BAD) no_head(g);
    return used;
}

static size_t head_step(struct tagged *g, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && g->place == G_HEAD) {
        bool used = true;
        if (g->head == H_EARLY) {
            i += early_step(g, s + i, n - i);
            continue;
        }
        bool ok = head_byte(g, s[i], &used) && g->seen.len - g->early.len < HEAD_MOST;
        if (ok && used) str_putc(&g->seen, s[i++]);
        if (!ok && g->place == G_HEAD) no_head(g);
    }
    return i || g->place == G_HEAD ? i : step(&g->p, s, n);           /* nothing of it belongs to the head */
}

/* ---- text ------------------------------------------------------------------------------------ */

static int tag_at(struct tagged *g, const char *s, size_t n, size_t *len)
{
    if (!g->hermes) return function_at(&g->p, s, n, false, len);
    *len = 0;
    return g->text_tags ? literal_at(s, n, g->open) : NO_MARK;
}

static void open_tag(struct tagged *g, const char *name, size_t len)
{
    if (g->hermes) {
        start_head(g);
        return;
    }
    body_begin(&g->p, name, len);
    g->place = G_ARGS;
}

/* A tag that the limit cut is dropped: what stands behind a whole beginning of it was never finished. */
static bool was_cut(const struct tagged *g, const char *s, size_t n)
{
    return g->p.cut && g->p.last && !g->hermes && literal_at(s, n, g->open) == MARK;
}

static size_t text_step(struct tagged *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    size_t i = 0, len = 0;
    int m = NO_MARK, close = NO_MARK;
    while (i < n) {
        const char *hit = p->turn.choice == CHOICE_NONE ? NULL : memchr(s + i, '<', n - i);
        i = hit ? (size_t)(hit - s) : n;
        if (!hit) break;
        m = tag_at(g, hit, n - i, &len);
        close = g->late_close ? literal_at(hit, n - i, g->close) : NO_MARK;
        if (m == MARK || close == MARK || (MAX(m, close) == UNDECIDED && !p->last)) break;
        if (m == UNDECIDED && was_cut(g, hit, n - i)) break;
        i++;
    }
    say_text(p, s, i);
    if (i == n || (MAX(m, close) == UNDECIDED && !p->last)) return i;
    if (close == MARK) {
        g->late_close = false;
        return i + strlen(g->close);
    }
    if (m == UNDECIDED) return n;
    size_t head = strlen(g->open);
    open_tag(g, s + i + head, len);
    return i + head + (g->hermes ? 0 : len + 1);
}

/* ---- behind the arguments ------------------------------------------------------------------------ */

static bool close_counts(const struct tagged *g) { return !g->hermes || g->text_tags; }

/* Blanks and the closing tag; anything else is text, the blanks before it too. */
static size_t close_step(struct tagged *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    size_t i = 0;
    while (i < n && is_blank(s[i])) i++;
    if (i) {
        say_text(p, s, i);
        return i;
    }
    int m = close_counts(g) ? literal_at(s, n, g->close) : NO_MARK;
    if (m == UNDECIDED && !p->last) return 0;
    g->place = G_TEXT;
    if (m == MARK) {
        end_stretch(p, true);
        return strlen(g->close);
    }
    g->late_close = close_counts(g);
    return text_step(g, s, n);
}

/* Hermes: the brace around name and arguments; other members are skipped to the closing tag. */
static size_t tail_step(struct tagged *g, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && is_blank(s[i])) i++;
    if (i) return i;
    g->place = *s == ',' ? G_SKIP : G_CLOSE;
    return *s == '}' ? 1 : step(&g->p, s, n);
}

static size_t skip_step(struct tagged *g, const char *s, size_t n)
{
    const char *hit = memchr(s, '<', n);
    if (!hit) return n;
    if (hit > s) return (size_t)(hit - s);
    int m = raw_mark(&g->p, s, n);
    if (m == UNDECIDED && !g->p.last) return 0;
    if (m != MARK) return 1;
    g->place = G_CLOSE;
    return close_step(g, s, n);
}

static size_t body(struct tagged *g, const char *s, size_t n)
{
    struct parser *p = &g->p;
    enum body b;
    size_t used = body_step(p, s, n, '<', raw_mark, &b);
    if (b == BODY_MARK) body_end(p, true);
    if (b != BODY_MORE) g->place = g->hermes && b == BODY_DONE ? G_TAIL : G_CLOSE;
    return used || b == BODY_MORE || p->over ? used : step(p, s, n);
}

static size_t step(struct parser *p, const char *s, size_t n)
{
    struct tagged *g = of(p);
    switch (g->place) {
    case G_TEXT: return text_step(g, s, n);
    case G_HEAD: return head_step(g, s, n);
    case G_ARGS: return body(g, s, n);
    case G_TAIL: return tail_step(g, s, n);
    case G_CLOSE: return close_step(g, s, n);
    case G_SKIP: return skip_step(g, s, n);
    case G_CODE: say_args(p, s, n); return n;
    }
    return n;
}

/* ---- special tokens ------------------------------------------------------------------------------ */

/* Whatever is open ends before its time. */
static void leave(struct tagged *g)
{
    struct parser *p = &g->p;
    bool open = p->in_call && !p->raw && !args_empty(&p->args);
    reader_settle(p);
    if (g->place == G_HEAD) no_head(g);
    if (g->place == G_ARGS && p->in_call) body_end(p, !open);
}

static void on_code(struct tagged *g)
{
    struct parser *p = &g->p;
    if (g->place == G_CODE) return;
    leave(g);
    if (p->turn.choice == CHOICE_NONE) {
        end_stretch(p, true);
        p->over = true;
    } else if (p->has_code && !p->over) {
        begin_call(p, "python", 6);
        g->place = G_CODE;
    } else {
        g->place = G_TEXT;
    }
}

static void on_open(struct tagged *g)
{
    leave(g);
    if (g->p.turn.choice != CHOICE_NONE) {
        start_head(g);
        return;
    }
    end_stretch(&g->p, true);
    g->p.over = true;
}

static void on_close(struct tagged *g)
{
    if (g->place == G_TEXT) return;
    if (g->place == G_HEAD) str_puts(&g->seen, g->close);
    leave(g);
    if (g->place != G_TEXT) end_stretch(&g->p, true);
    g->place = G_TEXT;
}

static void on_think(struct tagged *g, bool begins)
{
    struct parser *p = &g->p;
    reader_settle(p);
    if (g->place != G_TEXT || p->thinking == begins) return;
    end_stretch(p, begins);
    reader_flush(p);
    p->thinking = begins;
    p->thought = !begins;
}

static void special(struct parser *p, struct bytes token)
{
    struct tagged *g = of(p);
    if (!g->hermes) {
        if (bytes_eq(token, "<|python_tag|>")) on_code(g);
        return;
    }
    if (bytes_eq(token, g->open)) on_open(g);
    else if (bytes_eq(token, g->close)) on_close(g);
    else if (bytes_eq(token, "<think>")) on_think(g, true);
    else if (bytes_eq(token, "</think>")) on_think(g, false);
}

static void end(struct parser *p)
{
    struct tagged *g = of(p);
    if (g->place == G_HEAD && p->cut) end_stretch(p, true);
    else if (g->place == G_HEAD) no_head(g);
    if (g->place == G_CODE) {
        if (p->cut) parse_problem(p, "python", 6, "the call was cut");
        end_call(p, !p->cut);
    } else if (p->in_call) {
        body_end(p, !p->cut);
    }
}

static bool in_string(const struct parser *p)
{
    const struct tagged *g = (const struct tagged *)p;
    return g->place == G_ARGS && !p->raw && args_in_string(&p->args);
}

static enum plain plain(const struct parser *p, const char *s, size_t n)
{
    const struct tagged *g = (const struct tagged *)p;
    if (g->place == G_TEXT && plain_text(p, s, n) && !memchr(s, '<', n)) return PLAIN_TEXT;
    return g->place == G_ARGS && !p->raw && args_plain(&p->args, s, n) ? PLAIN_ARGS : NOT_PLAIN;
}

static void done(struct parser *p)
{
    struct tagged *g = of(p);
    str_done(&g->seen);
    str_done(&g->key);
    str_done(&g->name);
    str_done(&g->early);
}

static const struct parser_kind kind = { sizeof(struct tagged), step, special, end, in_string, plain, done };

struct parser *tagged_function(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct tagged *g = of(reader_new(&kind, t, sink, ctx));
    g->open = "<function=", g->close = "</function>";
    return &g->p;
}

struct parser *tagged_hermes(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct tagged *g = of(reader_new(&kind, t, sink, ctx));
    g->open = "<tool_call>", g->close = "</tool_call>";
    g->hermes = g->p.hold_line = g->p.json_code = true;
    g->text_tags = !is_token(t, g->open) || !is_token(t, g->close);
    return &g->p;
}
