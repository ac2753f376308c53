/* jinja_lex.c -- the text of a template becomes tokens.
 *
 * Outside of tags all is text, less what whitespace control takes away: `-` inside a tag strips all
 * blanks on that side; a line that holds only blanks before a block or comment tag loses them
 * (lstrip_blocks, `+` forbids it); the line end right behind a block or comment tag goes too
 * (trim_blocks). Line ends are made \n first, and one at the very end of the template is dropped.
 *
 * Inside a tag the end of the tag is looked for only where all brackets are closed, so {{ {"a": {}} }}
 * is one tag. Strings are decoded here, as Python decodes them. */
#include "text/jinja_int.h"

#include <errno.h>
#include <stdlib.h>

#define TOKENS_MOST 60000                                             /* real ones have some thousands */

struct lex {
    struct compile *c;
    const char *s;
    uint32_t at, len;
    bool line_starts;                                     /* a line began right before `at` */
    char open[256]; int n_open;                           /* brackets, as their closing character */
};

static struct tok *add(struct lex *l, enum token type, uint32_t pos, uint32_t len)
{
    struct compile *c = l->c;
    if (c->n_tok >= TOKENS_MOST) compile_fail(c, pos, "a template of more than %d tokens", TOKENS_MOST), c->n_tok--;
    MEM_GROW(c->tok, c->n_tok, c->cap_tok);
    c->tok[c->n_tok] = (struct tok){ .type = type, .pos = pos, .len = len };
    return &c->tok[c->n_tok++];
}

static bool space_at(const struct lex *l, uint32_t at, int *n)
{
    return at < l->len && is_python_space(utf8_next(l->s + at, l->s + l->len, n));
}

static uint32_t skip_spaces(const struct lex *l, uint32_t at)
{
    for (int n; space_at(l, at, &n);) at += (uint32_t)n;
    return at;
}

static bool starts(const struct lex *l, uint32_t at, const char *text)
{
    size_t n = strlen(text);
    return at + n <= l->len && !memcmp(l->s + at, text, n);
}

/* ---- text ------------------------------------------------------------------------------------ */

static uint32_t rstrip(const struct lex *l, uint32_t from, uint32_t to)
{
    uint32_t keep = from;
    for (uint32_t i = from; i < to;) {
        int n = 1;
        if (!space_at(l, i, &n)) keep = i + (uint32_t)n;
        i += (uint32_t)n;
    }
    return keep;
}

/* Where the blanks of a last line begin that holds nothing else; `to` if there is no such line. */
static uint32_t lstrip(const struct lex *l, uint32_t from, uint32_t to)
{
    uint32_t line = to;
    while (line > from && l->s[line - 1] != '\n') line--;
    if (line == from && !l->line_starts) return to;
    return skip_spaces(l, line) >= to ? line : to;
}

static void add_text(struct lex *l, uint32_t from, uint32_t to, char sign, bool block)
{
    if (sign == '-') to = rstrip(l, from, to);
    else if (sign != '+' && block) to = lstrip(l, from, to);
    if (to <= from) return;
    struct tok *t = add(l, T_TEXT, from, to - from);
    t->v = of_bytes(l->s + from, to - from, OURS);
}

/* Takes the end of a tag, `close` with or without sign, and what whitespace control takes behind it. */
static bool tag_end(struct lex *l, const char *close, bool trims, bool plus)
{
    char signed_close[4] = { '-', close[0], close[1], 0 };
    if (starts(l, l->at, signed_close)) {
        l->at = skip_spaces(l, l->at + 3);
        return true;
    }
    signed_close[0] = '+';
    if (plus && starts(l, l->at, signed_close)) {
        l->at += 3;
        return true;
    }
    if (!starts(l, l->at, close)) return false;
    l->at += 2;
    if (trims && l->at < l->len && l->s[l->at] == '\n') l->at++;
    return true;
}

static bool comment(struct lex *l, uint32_t tag)
{
    if (l->at >= l->len) return true;                     /* Jinja lets it pass where nothing follows */
    for (; l->at < l->len; l->at++)
        if (tag_end(l, "#}", true, true)) return true;
    return compile_fail(l->c, tag, "the comment is never closed; #} is missing");
}

/* ---- raw ------------------------------------------------------------------------------------- */

/* Is this {% raw %}? Then `at` is set behind it. */
static bool raw_begins(struct lex *l, uint32_t tag)
{
    uint32_t at = tag + 2;
    if (at < l->len && (l->s[at] == '-' || l->s[at] == '+')) at++;
    at = skip_spaces(l, at);
    if (!starts(l, at, "raw")) return false;
    at = skip_spaces(l, at + 3);
    if (starts(l, at, "-%}")) l->at = skip_spaces(l, at + 3);
    else if (starts(l, at, "%}")) l->at = at + 2;
    else return false;
    return true;
}

static bool raw(struct lex *l, uint32_t tag)
{
    uint32_t from = l->at;
    if (from >= l->len) return true;
    l->line_starts = l->at && l->s[l->at - 1] == '\n';
    for (uint32_t i = from; i + 1 < l->len; i++) {
        if (!starts(l, i, "{%")) continue;
        uint32_t at = i + 2;
        char sign = at < l->len && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
        at = skip_spaces(l, at + !!sign);
        if (!starts(l, at, "endraw")) continue;
        l->at = skip_spaces(l, at + 6);
        if (!tag_end(l, "%}", true, true)) continue;
        add_text(l, from, i, sign, true);
        return true;
    }
    return compile_fail(l->c, tag, "the raw block is never closed; {%% endraw %%} is missing");
}

/* ---- strings and numbers --------------------------------------------------------------------- */

static int hex(const char *s, const char *end, int n, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        char ch = s + i < end ? s[i] : 0;
        int d = ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        *out = *out << 4 | (uint32_t)d;
    }
    return n;
}

static bool put_cp(struct lex *l, uint32_t pos, struct str *out, uint32_t cp)
{
    char utf8[4];
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        return compile_fail(l->c, pos, "U+%04X in a string is no character", cp);
    str_put(out, utf8, (size_t)utf8_put(utf8, cp));
    return true;
}

/* An escape, s behind the backslash; *used: how many bytes. What Python does not know stays as it is. */
static bool escape(struct lex *l, uint32_t pos, const char *s, const char *end, int *used, struct str *out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = *s ? strchr(from, *s) : NULL;
    uint32_t cp = 0;
    *used = 1;
    if (*s == '\n') return true;
    if (simple) {
        str_putc(out, to[simple - from]);
        return true;
    }
    if (*s >= '0' && *s <= '7') {
        for (*used = 0; *used < 3 && s + *used < end && s[*used] >= '0' && s[*used] <= '7'; ++*used)
            cp = cp * 8 + (uint32_t)(s[*used] - '0');
        return put_cp(l, pos, out, cp);
    }
    if (*s == 'x' || *s == 'u' || *s == 'U') {
        int n = *s == 'x' ? 2 : *s == 'u' ? 4 : 8;
        if (hex(s + 1, end, n, &cp) < 0)
            return compile_fail(l->c, pos, "\\%c in a string must be followed by %d hexadecimal digits", *s, n);
        *used = 1 + n;
        return put_cp(l, pos, out, cp);
    }
    if (*s == 'N')
        return compile_fail(l->c, pos, "characters by name (\\N{…}) are not supported; write \\uXXXX");
    if ((uint8_t)*s >= 0x80) {                            /* Python shows the number of such a character */
        cp = (uint32_t)utf8_next(s, end, used);
        str_fmt(out, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        return true;
    }
    str_putc(out, '\\');
    str_putc(out, *s);
    return true;
}

static bool string(struct lex *l)
{
    uint32_t from = l->at;
    char quote = l->s[from];
    const char *p = l->s + from + 1, *end = l->s + l->len;
    struct str out = { 0 };
    bool ok = true;
    for (int used; ok && p < end && *p != quote; p += used) {
        used = 1;
        if (*p != '\\') {
            while (p + used < end && p[used] != quote && p[used] != '\\') used++;
            str_put(&out, p, (size_t)used);
        } else if (++p < end) {
            ok = escape(l, (uint32_t)(p - l->s), p, end, &used, &out);
        }
    }
    if (ok && p >= end) ok = compile_fail(l->c, from, "the string is never closed; %c is missing", quote);
    if (ok) {
        l->at = (uint32_t)(p + 1 - l->s);
        struct tok *t = add(l, T_STRING, from, l->at - from);
        t->v = of_bytes(arena_str(&l->c->j->mem, out.p ? out.p : "", out.len), out.len, OURS);
    }
    str_done(&out);
    return ok;
}

/* Digits with single underscores between them, from at on; where they end. */
static uint32_t digits(const struct lex *l, uint32_t at)
{
    uint32_t start = at;
    while (at < l->len) {
        char ch = l->s[at];
        bool between = ch == '_' && at > start && at + 1 < l->len && l->s[at + 1] >= '0' && l->s[at + 1] <= '9';
        if (!between && !(ch >= '0' && ch <= '9')) break;
        at++;
    }
    return at;
}

/* Where the float ends that begins at `at`, 0: none does. */
static uint32_t float_end(const struct lex *l, uint32_t at)
{
    uint32_t whole = digits(l, at), frac = whole;
    if (at && l->s[at - 1] == '.') return 0;
    if (whole + 1 < l->len && l->s[whole] == '.' && l->s[whole + 1] >= '0' && l->s[whole + 1] <= '9')
        frac = digits(l, whole + 1);
    if (frac < l->len && (l->s[frac] | 32) == 'e') {
        uint32_t e = frac + 1;
        if (e < l->len && (l->s[e] == '+' || l->s[e] == '-')) e++;
        if (e < l->len && l->s[e] >= '0' && l->s[e] <= '9') return digits(l, e);
    }
    return frac > whole ? frac : 0;
}

static char *plain_digits(const struct lex *l, uint32_t from, uint32_t to)
{
    char *s = arena_alloc(&l->c->j->mem, to - from + 1);
    size_t n = 0;
    for (uint32_t i = from; i < to; i++)
        if (l->s[i] != '_') s[n++] = l->s[i];
    s[n] = 0;
    return s;
}

static bool integer(struct lex *l)
{
    uint32_t from = l->at, to = from;
    char kind = from + 1 < l->len && l->s[from] == '0' ? (char)(l->s[from + 1] | 32) : 0;
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (base != 10) {
        for (to = from + 2; to < l->len; to++) {
            char ch = (char)(l->s[to] | 32);
            int d = ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : l->s[to] >= '0' && l->s[to] <= '9' ? l->s[to] - '0' : l->s[to] == '_' ? 0 : 99;
            if (d >= base) break;
        }
        if (to == from + 2) base = 10, to = from + 1;
    } else {
        to = digits(l, from);
        if (l->s[from] == '0')                            /* 007 is no number: 00 and 7 */
            for (to = from; to < l->len && (l->s[to] == '0' || (l->s[to] == '_' && l->s[to + 1] == '0'));) to++;
    }
    char *text = plain_digits(l, from, to);
    errno = 0;
    long long v = strtoll(base == 10 ? text : text + 2, NULL, base);
    if (errno && base != 10)
        return compile_fail(l->c, from, "the number %.40s is too big; 64 bit are accepted", text);
    struct tok *t = add(l, T_INTEGER, from, to - from);
    t->v = errno ? (struct val){ .kind = K_BIG, .len = (uint32_t)strlen(text), .u.s = text } : of_int(v);
    l->at = to;
    return true;
}

/* ---- inside tags ----------------------------------------------------------------------------- */

static uint8_t operator_at(const struct lex *l, int *n)
{
    static const struct { char text[3]; uint8_t op; } two[] = {
        { "//", OP_FLOORDIV }, { "**", OP_POW }, { "==", OP_EQ }, { "!=", OP_NE }, { ">=", OP_GE }, { "<=", OP_LE } };
    for (size_t i = 0; i < LEN(two); i++)
        if (starts(l, l->at, two[i].text)) {
            *n = 2;
            return two[i].op;
        }
    *n = 1;
    return l->s[l->at] && strchr("+-/*%~[](){}><=.:|,;", l->s[l->at]) ? (uint8_t)l->s[l->at] : 0;
}

static bool bracket(struct lex *l, uint8_t op)
{
    if (!strchr("()[]{}", op)) return true;
    bool opens = op == '(' || op == '[' || op == '{';
    if (opens) {
        if (l->n_open == (int)sizeof l->open)
            return compile_fail(l->c, l->at, "brackets are nested deeper than %d", (int)sizeof l->open);
        l->open[l->n_open++] = op == '(' ? ')' : op == '[' ? ']' : '}';
        return true;
    }
    if (!l->n_open) return compile_fail(l->c, l->at, "unexpected '%c': no bracket is open", op);
    if (l->open[--l->n_open] == (char)op) return true;
    return compile_fail(l->c, l->at, "unexpected '%c'; '%c' closes the bracket that is open", op, l->open[l->n_open]);
}

static uint32_t name_end(const struct lex *l, uint32_t at)
{
    for (int n = 1; at < l->len; at += (uint32_t)n) {
        int32_t cp = utf8_next(l->s + at, l->s + l->len, &n);
        if (cp < 0 || !cp_word((uint32_t)cp)) break;
    }
    return at;
}

static bool one_token(struct lex *l)
{
    uint32_t at = l->at, end;
    char ch = l->s[at];
    if (ch >= '0' && ch <= '9') {
        if (!(end = float_end(l, at))) return integer(l);
        add(l, T_FLOAT, at, end - at)->v = of_float(strtod(plain_digits(l, at, end), NULL));
        l->at = end;
        return true;
    }
    if ((end = name_end(l, at)) > at) {
        struct tok *t = add(l, T_NAME, at, end - at);
        t->v = of_bytes(l->s + at, end - at, OURS);
        l->at = end;
        return true;
    }
    if (ch == '"' || ch == '\'') return string(l);
    int n = 0;
    uint8_t op = operator_at(l, &n);
    if (!op) {
        int32_t cp = utf8_next(l->s + at, l->s + l->len, &n);
        return cp < 0 ? compile_fail(l->c, at, "byte 0x%02x is no UTF-8", (uint8_t)ch)
                      : compile_fail(l->c, at, "unexpected character '%.*s'", n, l->s + at);
    }
    if (!bracket(l, op)) return false;
    add(l, T_OP, at, (uint32_t)n)->op = op;
    l->at += (uint32_t)n;
    return true;
}

static bool tag(struct lex *l, uint32_t begin, bool block)
{
    add(l, block ? T_BLOCK_BEGIN : T_PRINT_BEGIN, begin, 2);
    l->n_open = 0;
    while (!l->c->failed) {
        uint32_t from = l->at;
        if (!l->n_open && tag_end(l, block ? "%}" : "}}", block, block)) {
            add(l, block ? T_BLOCK_END : T_PRINT_END, from, 2);
            return true;
        }
        if (l->at >= l->len)
            return compile_fail(l->c, begin, "the tag is never closed; %s is missing", block ? "%}" : "}}");
        int n;
        if (space_at(l, l->at, &n)) l->at = skip_spaces(l, l->at);
        else if (!one_token(l)) return false;
    }
    return false;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static uint32_t next_tag(const struct lex *l)
{
    for (uint32_t i = l->at; i + 1 < l->len; i++)
        if (l->s[i] == '{' && (l->s[i + 1] == '{' || l->s[i + 1] == '%' || l->s[i + 1] == '#')) return i;
    return l->len;
}

static bool whole_tag(struct lex *l, uint32_t at)
{
    uint32_t from = l->at;
    char kind = l->s[at + 1], sign = at + 2 < l->len ? l->s[at + 2] : 0;
    if (sign != '-' && sign != '+') sign = 0;
    add_text(l, from, at, sign, kind != '{');
    bool ok;
    if (kind == '%' && raw_begins(l, at)) {
        ok = raw(l, at);
    } else {
        l->at = at + 2 + !!sign;
        ok = kind == '#' ? comment(l, at) : tag(l, at, kind == '%');
    }
    l->line_starts = l->at && l->s[l->at - 1] == '\n';
    return ok;
}

bool jinja_lex(struct compile *c)
{
    struct lex l = { .c = c, .s = c->j->source, .len = c->j->len, .line_starts = true };
    while (l.at < l.len && !c->failed) {
        uint32_t at = next_tag(&l);
        if (at == l.len) {
            add(&l, T_TEXT, l.at, at - l.at)->v = of_bytes(l.s + l.at, at - l.at, OURS);
            l.at = at;
        } else if (!whole_tag(&l, at)) {
            return false;
        }
    }
    add(&l, T_END, l.len, 0);
    return !c->failed;
}
