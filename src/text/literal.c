/* literal.c -- one value as a model writes it, in Python or JSON spelling, becomes compact JSON.
 *
 * A pushdown machine over bytes: whatever way the input is cut, the output is the same, and every
 * byte costs constant time. Output is append-only up to `hold`: what is not yet decided (is `{` a
 * dictionary or a set, is `(` a tuple or a pair of brackets) waits behind it.
 *
 * What it maps: True, true; None, null; tuples and sets to arrays; keys that are not strings to
 * strings; +7, 07, .5 and 1. to 7, 7, 0.5 and 1.0, all other digits as they stand; strings with any
 * quotes, prefixes and escapes to the fewest JSON escapes; neighbouring strings are joined.
 * What it forgives: raw line ends in strings, and quotes inside a string of the same quotes: a
 * quote ends a string only if `, ) ] }` (or `:` after a key) follows, or another string. What it
 * refuses: infinities, numbers that are none, unknown words, containers as keys, more than
 * LITERAL_DEPTH levels. The caller hands over well-formed UTF-8. */
#include "text/int.h"

#include <math.h>
#include <stdlib.h>

#define TOKEN_MOST 65536 /* digits of a number, letters of a word */
#define NO_HOLD SIZE_MAX

enum { F_LIST, F_TUPLE, F_BRACE, F_DICT, F_SET }; /* BRACE: dictionary or set, not known yet */
enum {
    S_VALUE,
    S_TOKEN,
    S_OPEN1,
    S_OPEN2,
    S_STR,
    S_RAW,
    S_CLOSE,
    S_TRIPLE,
    S_ESC,
    S_HEX,
    S_OCT,
    S_AFTER
};
enum step { USED = LIT_MORE, DONE = LIT_DONE, BAD = LIT_BAD, AGAIN };

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static enum step bad(struct literal *l, const char *why)
{
    snprintf(l->why, sizeof l->why, "%s", why);
    return BAD;
}

static enum step bad_token(struct literal *l, const char *why)
{
    snprintf(l->why, sizeof l->why, "%.40s %s", l->token.p ? l->token.p : "", why);
    return BAD;
}

static enum step go(struct literal *l, int state, enum step s)
{
    l->state = state;
    return s;
}

static struct lit_frame *top(struct literal *l)
{
    return l->depth ? &l->frame[l->depth - 1] : NULL;
}

void literal_start(struct literal *l)
{
    l->depth = 0;
    l->state = S_VALUE;
    l->hold = NO_HOLD;
    l->high = 0;
    l->need = true;
    l->is_key = l->bare = l->object_only = false;
    str_clear(&l->token);
}

void literal_done(struct literal *l)
{
    str_done(&l->out);
    str_done(&l->token);
}

/* ---- characters
 * ------------------------------------------------------------------------------------- */

void json_put_cp(struct str *out, uint32_t cp)
{
    static const char short_of[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    char utf8[4];
    for (const char *s = short_of; *s; s += 2)
        if ((uint8_t)*s == cp) {
            str_putc(out, '\\');
            str_putc(out, s[1]);
            return;
        }
    if (cp < 0x20) str_fmt(out, "\\u%04x", (unsigned)cp);
    else str_put(out, utf8, (size_t)utf8_put(utf8, cp));
}

static void put_byte(struct literal *l, char c)
{
    if (l->high) {
        json_put_cp(&l->out, 0xfffd);
        l->high = 0;
    }
    if ((uint8_t)c >= 0x20 && c != '"' && c != '\\') str_putc(&l->out, c);
    else json_put_cp(&l->out, (uint8_t)c);
}

/* A character written as an escape; halves of surrogate pairs meet here, lonely ones become U+FFFD.
 */
static void put_escape(struct literal *l, uint32_t cp)
{
    if (l->high && cp >= 0xdc00 && cp <= 0xdfff) {
        json_put_cp(&l->out, 0x10000 + ((l->high - 0xd800) << 10) + (cp - 0xdc00));
        l->high = 0;
        return;
    }
    if (l->high) json_put_cp(&l->out, 0xfffd);
    l->high = cp >= 0xd800 && cp <= 0xdbff ? cp : 0;
    if (l->high) return;
    json_put_cp(&l->out, cp > 0x10ffff || (cp >= 0xdc00 && cp <= 0xdfff) ? 0xfffd : cp);
}

/* ---- containers
 * -------------------------------------------------------------------------------------- */

static void find_hold(struct literal *l)
{
    l->hold = NO_HOLD;
    for (int i = 0; i < l->depth && l->hold == NO_HOLD; i++)
        if (l->frame[i].kind == F_BRACE || (l->frame[i].kind == F_TUPLE && !l->frame[i].comma))
            l->hold = l->frame[i].at;
}

static bool is_key_place(struct literal *l)
{
    struct lit_frame *f = top(l);
    return f ? f->kind == F_BRACE || (f->kind == F_DICT && !f->colon) : l->is_key;
}

/* What goes before an item of the container around it. */
static void begin_item(struct literal *l)
{
    struct lit_frame *f = top(l);
    l->need = false;
    if (!f || f->colon) return;
    if (f->n++) str_putc(&l->out, ',');
}

static enum step open_container(struct literal *l, char c)
{
    struct lit_frame *f = top(l);
    if (l->depth == LITERAL_DEPTH) return bad(l, "values are nested too deeply");
    if (f && f->kind == F_DICT && !f->colon) return bad(l, "a list or dictionary cannot be a key");
    begin_item(l);
    l->frame[l->depth++] = (struct lit_frame){.kind = c == '['   ? F_LIST
                                                      : c == '(' ? F_TUPLE
                                                                 : F_BRACE,
                                              .at = l->out.len};
    str_putc(&l->out, c == '{' ? '{' : '[');
    if (l->hold == NO_HOLD && c != '[') l->hold = l->out.len - 1;
    return go(l, S_VALUE, USED);
}

static enum step close_container(struct literal *l)
{
    struct lit_frame *f = top(l);
    if (f->kind == F_BRACE && f->n) { /* one item and no colon: a set */
        l->out.p[f->at] = '[';
        f->kind = F_SET;
    }
    if (l->depth == 1 && l->object_only && f->kind == F_SET)
        return bad(l, "a set stands where an object is needed");
    if (f->kind == F_TUPLE && f->n == 1 && !f->comma) { /* brackets around one value */
        memmove(l->out.p + f->at, l->out.p + f->at + 1, l->out.len - f->at);
        l->out.len--;
    } else {
        str_putc(&l->out, f->kind == F_DICT || f->kind == F_BRACE ? '}' : ']');
    }
    l->depth--;
    if (l->hold != NO_HOLD) find_hold(l);
    return go(l, S_AFTER, USED);
}

static bool closes(const struct lit_frame *f, char c)
{
    return c == (f->kind == F_LIST ? ']' : f->kind == F_TUPLE ? ')' : '}');
}

/* The first item of {…} turned out to be a key: the braces are a dictionary. */
static enum step brace_is_dict(struct literal *l, struct lit_frame *f)
{
    size_t at = f->at + 1;
    char first = l->out.p[at];
    if (first == '[' || first == '{') return bad(l, "a list or dictionary cannot be a key");
    if (first != '"') {
        str_putc(&l->out, '"');
        memmove(l->out.p + at + 1, l->out.p + at, l->out.len - 1 - at);
        l->out.p[at] = '"';
        str_putc(&l->out, '"');
    }
    f->kind = F_DICT;
    find_hold(l);
    return USED;
}

static enum step on_colon(struct literal *l, struct lit_frame *f)
{
    if (f->kind == F_BRACE && brace_is_dict(l, f) == BAD) return BAD;
    if (f->kind != F_DICT || f->colon) return bad(l, "unexpected ':'");
    f->colon = true;
    l->need = true;
    str_putc(&l->out, ':');
    return go(l, S_VALUE, USED);
}

static enum step on_comma(struct literal *l, struct lit_frame *f)
{
    if (f->kind == F_BRACE) {
        if (l->depth == 1 && l->object_only)
            return bad(l, "a set stands where an object is needed");
        l->out.p[f->at] = '[';
        f->kind = F_SET;
    }
    if (f->kind == F_DICT && !f->colon) return bad(l, "a key without a value");
    f->colon = false;
    f->comma = true;
    if (l->hold != NO_HOLD) find_hold(l);
    return go(l, S_VALUE, USED);
}

static enum step after(struct literal *l, char c)
{
    struct lit_frame *f = top(l);
    if (is_blank(c)) return USED;
    if (!f) return DONE;
    if (c == ',') return on_comma(l, f);
    if (c == ':') return on_colon(l, f);
    if (!closes(f, c)) return bad(l, "a value is not followed by a comma or the closing bracket");
    if (f->kind == F_DICT && !f->colon) return bad(l, "a key without a value");
    return close_container(l);
}

/* ---- numbers and words
 * ---------------------------------------------------------------------------------- */

static size_t put_digits(struct str *out, const char **p)
{
    size_t n = 0;
    for (; is_digit(**p) || (**p == '_' && n && is_digit((*p)[1])); ++*p)
        if (**p != '_') {
            str_putc(out, **p);
            n++;
        }
    return n;
}

static size_t put_whole(struct str *out, const char **p)
{
    size_t from = out->len, zeros = 0, n = put_digits(out, p);
    while (zeros + 1 < n && out->p[from + zeros] == '0') zeros++;
    if (zeros) {
        memmove(out->p + from, out->p + from + zeros, n - zeros + 1);
        out->len -= zeros;
    }
    if (!n) str_putc(out, '0');
    return n;
}

/* Writes the number in `p` as JSON; false if it is none that JSON can say. */
static bool put_number(struct str *out, const char *p)
{
    size_t from = out->len, whole, part = 0;
    if (*p == '-') str_putc(out, '-');
    if (*p == '-' || *p == '+') p++;
    whole = put_whole(out, &p);
    if (*p == '.') {
        p++;
        str_putc(out, '.');
        part = put_digits(out, &p);
        if (!part) str_putc(out, '0');
    }
    if (!whole && !part) return false;
    if (*p == 'e' || *p == 'E') {
        str_putc(out, *p++);
        if (*p == '-' || *p == '+') str_putc(out, *p++);
        if (!put_digits(out, &p)) return false;
        if (isinf(strtod(out->p + from, NULL))) return false;
    }
    return !*p;
}

static const char *word_value(const char *w)
{
    static const char *const words[][2] = {{"True", "true"},   {"true", "true"}, {"False", "false"},
                                           {"false", "false"}, {"None", "null"}, {"null", "null"}};
    for (size_t i = 0; i < LEN(words); i++)
        if (!strcmp(w, words[i][0])) return words[i][1];
    return NULL;
}

static enum step end_token(struct literal *l)
{
    const char *w = l->token.p ? l->token.p : "";
    bool number = is_digit(w[0]) || w[0] == '+' || w[0] == '-' || w[0] == '.',
         quoted = is_key_place(l) && top(l) && top(l)->kind == F_DICT;
    const char *value = number ? NULL : word_value(w);
    begin_item(l);
    if (quoted) str_putc(&l->out, '"'); /* the key of a dictionary, which may be sent already */
    if (value) {
        str_puts(&l->out, value);
    } else if (number) {
        size_t from = l->out.len;
        if (!put_number(&l->out, w)) {
            l->out.len = from;
            return bad_token(l, "is not a number of JSON");
        }
    } else if (l->bare && !l->depth) {
        str_putc(&l->out, '"');
        for (size_t i = 0; i < l->token.len; i++) put_byte(l, w[i]);
        str_putc(&l->out, '"');
    } else {
        return bad_token(l, "is neither a string nor a value");
    }
    if (quoted) str_putc(&l->out, '"');
    return go(l, S_AFTER, AGAIN);
}

static bool is_token_byte(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) ||
           c == '_' || c == '+' || c == '-' || c == '.';
}

/* r, u, b, f in front of a quote. */
static bool is_prefix(const struct str *t)
{
    if (!t->len || t->len > 2) return false;
    for (size_t i = 0; i < t->len; i++)
        if (!strchr("rRuUbBfF", t->p[i])) return false;
    return true;
}

static enum step open_string(struct literal *l, char quote, bool raw)
{
    l->quote = quote;
    l->raw = raw;
    l->triple = false;
    return go(l, S_OPEN1, USED);
}

static enum step token(struct literal *l, char c)
{
    if (is_token_byte(c)) {
        if (l->token.len >= TOKEN_MOST) return bad(l, "a number or word is too long");
        str_putc(&l->token, c);
        return USED;
    }
    if ((c == '"' || c == '\'') && is_prefix(&l->token)) {
        bool raw = strpbrk(l->token.p, "rR") != NULL;
        begin_item(l);
        str_putc(&l->out, '"');
        return open_string(l, c, raw);
    }
    return end_token(l);
}

static enum step value(struct literal *l, char c)
{
    if (is_blank(c)) return USED;
    if (c == '"' || c == '\'') {
        begin_item(l);
        str_putc(&l->out, '"');
        return open_string(l, c, false);
    }
    if (c == '[' || c == '(' || c == '{') return open_container(l, c);
    if (l->depth && !l->need && closes(top(l), c)) return close_container(l);
    if (!is_token_byte(c)) return bad(l, "a value is missing");
    str_clear(&l->token);
    return go(l, S_TOKEN, AGAIN);
}

/* ---- strings
 * ---------------------------------------------------------------------------------------------- */

static enum step end_string(struct literal *l, enum step s)
{
    if (l->high) json_put_cp(&l->out, 0xfffd);
    l->high = 0;
    str_putc(&l->out, '"');
    return go(l, S_AFTER, s);
}

/* After a quote that may have ended the string; token holds the blanks since. */
static enum step maybe_closed(struct literal *l, char c)
{
    if (is_blank(c)) {
        str_putc(&l->token, c);
        return USED;
    }
    if (c == ',' || c == '}' || c == ']' || c == ')' || (c == ':' && is_key_place(l))) return end_string(l, AGAIN);
    if (c == '"' || c == '\'')
        return open_string(l, c, false); /* the next literal belongs to the same string */
    if (l->triple) return end_string(l, AGAIN);
    put_byte(l, l->quote);
    for (size_t i = 0; i < l->token.len; i++) put_byte(l, l->token.p[i]);
    return go(l, S_STR, AGAIN);
}

static enum step in_string(struct literal *l, char c)
{
    if (c == l->quote) {
        l->n_quote = 1;
        str_clear(&l->token);
        return go(l, l->triple ? S_TRIPLE : S_CLOSE, USED);
    }
    if (c == '\\') return go(l, l->raw ? S_RAW : S_ESC, USED);
    put_byte(l, c);
    return USED;
}

static enum step in_triple(struct literal *l, char c)
{
    if (c == l->quote) return ++l->n_quote == 3 ? go(l, S_CLOSE, USED) : USED;
    while (l->n_quote--) put_byte(l, l->quote);
    return go(l, S_STR, AGAIN);
}

static enum step start_hex(struct literal *l, char c, int digits)
{
    l->cp = 0;
    l->n_digit = 0;
    l->want_digit = digits;
    str_clear(&l->token);
    str_putc(&l->token, c);
    return go(l, S_HEX, USED);
}

static enum step escape(struct literal *l, char c)
{
    static const char plain[] = "\\\\''\"\"//n\nr\rt\tb\bf\fv\va\a";
    for (const char *s = plain; *s; s += 2)
        if (*s == c) {
            put_byte(l, s[1]);
            return go(l, S_STR, USED);
        }
    if (c == 'x') return start_hex(l, c, 2);
    if (c == 'u') return start_hex(l, c, 4);
    if (c == 'U') return start_hex(l, c, 8);
    if (c >= '0' && c <= '7') {
        l->cp = 0;
        l->n_digit = 0;
        return go(l, S_OCT, AGAIN);
    }
    if (c == '\n') return go(l, S_STR, USED);                         /* a line continued */
    put_byte(l, '\\');
    return go(l, S_STR, AGAIN);
}

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum step in_hex(struct literal *l, char c)
{
    int v = hex_value(c);
    if (v < 0) { /* not an escape after all: keep what was written */
        put_byte(l, '\\');
        for (size_t i = 0; i < l->token.len; i++) put_byte(l, l->token.p[i]);
        return go(l, S_STR, AGAIN);
    }
    str_putc(&l->token, c);
    l->cp = l->cp << 4 | (uint32_t)v;
    if (++l->n_digit < l->want_digit) return USED;
    put_escape(l, l->cp);
    return go(l, S_STR, USED);
}

static enum step in_octal(struct literal *l, char c)
{
    if (c >= '0' && c <= '7' && l->n_digit < 3) {
        l->cp = l->cp << 3 | (uint32_t)(c - '0');
        l->n_digit++;
        return USED;
    }
    put_escape(l, l->cp);
    return go(l, S_STR, AGAIN);
}

static enum step dispatch(struct literal *l, char c)
{
    switch (l->state) {
    case S_VALUE: return value(l, c);
    case S_TOKEN: return token(l, c);
    case S_OPEN1: return c == l->quote ? go(l, S_OPEN2, USED) : go(l, S_STR, AGAIN);
    case S_OPEN2:
        if (c == l->quote) {
            l->triple = true;
            return go(l, S_STR, USED);
        }
        str_clear(&l->token);
        return go(l, S_CLOSE, AGAIN);
    case S_STR: return in_string(l, c);
    case S_RAW:
        put_byte(l, '\\');
        put_byte(l, c);
        return go(l, S_STR, USED);
    case S_CLOSE: return maybe_closed(l, c);
    case S_TRIPLE: return in_triple(l, c);
    case S_ESC: return escape(l, c);
    case S_HEX: return in_hex(l, c);
    case S_OCT: return in_octal(l, c);
    default: return after(l, c);
    }
}

enum lit_step literal_byte(struct literal *l, char c)
{
    enum step s;
    do s = dispatch(l, c);
    while (s == AGAIN);
    return (enum lit_step)s;
}

/* Bytes that a string takes as they are. Its first byte goes the usual way: quotes may follow each other. */
static size_t plain_run(const struct literal *l, const char *s, size_t n)
{
    size_t i = 0;
    if (l->high) return 0;
    while (i < n && s[i] != l->quote && s[i] != '\\' && s[i] != '"' && (uint8_t)s[i] >= 0x20) i++;
    return i;
}

bool literal_plain(const struct literal *l, const char *s, size_t n)
{
    return l->state == S_STR && l->hold == NO_HOLD && plain_run(l, s, n) == n;
}

size_t literal_span(struct literal *l, const char *s, size_t n, enum lit_step *r)
{
    *r = LIT_MORE;
    for (size_t i = 0; i < n; i++) {
        size_t run = l->state == S_STR ? plain_run(l, s + i, n - i) : 0;
        if (run) str_put(&l->out, s + i, run);
        i += run;
        if (i == n) break;
        *r = literal_byte(l, s[i]);
        if (*r != LIT_MORE) return i;
    }
    return n;
}

bool literal_in_string(const struct literal *l)
{
    return l->state >= S_OPEN1 && l->state < S_AFTER && l->state != S_CLOSE;
}

bool literal_end(struct literal *l)
{
    if (l->state == S_OPEN2) l->state = S_CLOSE;
    if (l->state == S_CLOSE) end_string(l, USED);
    if (l->state == S_TOKEN && end_token(l) == BAD) return false;
    return l->state == S_AFTER && !l->depth;
}
