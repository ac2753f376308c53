/* arguments.c -- a JSON object as a model writes it, byte by byte, becomes compact JSON.
 *
 * Strict: the first byte that cannot continue the object is an error, and the caller decides what the
 * rest is. Output is append-only: blanks outside of strings are dropped, escapes become the fewest
 * (an escape waits until it is whole, a first half of a surrogate pair until its second came), numbers
 * stay as they are. The state is a few bytes and a bit for every open container. The caller hands
 * over well-formed UTF-8. */
#include "text/read.h"

enum { A_START, A_FIRST_KEY, A_KEY, A_COLON, A_VALUE, A_FIRST_VALUE, A_AFTER, A_KEY_STR, A_STR, A_ESC, A_WORD, A_END,
       A_MINUS, A_ZERO, A_INT, A_POINT, A_PART, A_EXP, A_EXP_SIGN, A_POWER };
#define IN_KEY 64 /* added to A_ESC: the string is a key */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool args_in_string(const struct args *a)
{
    return a->state == A_STR || a->state == A_KEY_STR || (a->state & ~IN_KEY) == A_ESC;
}

static bool in_list(const struct args *a) { return a->list[(a->depth - 1) / 8] >> ((a->depth - 1) % 8) & 1; }

static bool push(struct args *a, bool list)
{
    if (a->depth == ARGS_DEPTH) return false;
    uint8_t bit = (uint8_t)(1u << (a->depth % 8));
    if (list) a->list[a->depth / 8] |= bit;
    else a->list[a->depth / 8] &= (uint8_t)~bit;
    a->depth++;
    a->state = list ? A_FIRST_VALUE : A_FIRST_KEY;
    return true;
}

static bool pop(struct args *a)
{
    a->state = --a->depth ? A_AFTER : A_END;
    return true;
}

/* ---- escapes --------------------------------------------------------------------------------- */

/* A first half that stays alone. */
static void lonely(struct args *a, struct str *out)
{
    if (a->high) json_put_cp(out, 0xfffd);
    a->high = 0;
    a->n_escape = 0;
}

static void put_unit(struct args *a, uint32_t u, struct str *out)
{
    if (a->high && u >= 0xdc00 && u <= 0xdfff) {
        json_put_cp(out, 0x10000 + ((a->high - 0xd800) << 10) + (u - 0xdc00));
        a->high = 0;
        a->n_escape = 0;
        return;
    }
    if (a->high) {
        json_put_cp(out, 0xfffd);
        memmove(a->escape, a->escape + 6, 6);
        a->n_escape -= 6;
    }
    a->high = u >= 0xd800 && u <= 0xdbff ? u : 0;
    if (a->high) return;                                 /* its text stays: it may be needed as it is */
    json_put_cp(out, u >= 0xdc00 && u <= 0xdfff ? 0xfffd : u);
    a->n_escape = 0;
}

static bool escape(struct args *a, char c, struct str *out)
{
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    int at = a->high ? a->n_escape - 6 : a->n_escape;                 /* bytes of this escape so far, with the backslash */
    int string = a->state & IN_KEY ? A_KEY_STR : A_STR;
    if (at == 1 && c != 'u') {
        const char *s = plain;
        while (*s && *s != c) s += 2;
        if (!*s) return false;
        lonely(a, out);
        json_put_cp(out, (uint8_t)s[1]);
        a->state = string;
        return true;
    }
    if (at > 1 && hex_value(c) < 0) return false;
    a->escape[a->n_escape++] = c;
    if (at + 1 < 6) return true;
    uint32_t u = 0;
    for (int i = a->n_escape - 4; i < a->n_escape; i++) u = u << 4 | (uint32_t)hex_value(a->escape[i]);
    put_unit(a, u, out);
    a->state = string;
    return true;
}

/* Well-formed escapes, \u only for what is below 0x20. */
void json_unescape(struct str *out, const char *s, size_t n)
{
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '\\' || i + 1 == n) {
            str_putc(out, s[i]);
            continue;
        }
        const char *e = plain;
        for (i++; *e && *e != s[i];) e += 2;
        if (*e) str_putc(out, e[1]);
        else if (i + 4 < n) {
            str_putc(out, (char)(hex_value(s[i + 3]) << 4 | hex_value(s[i + 4])));
            i += 4;
        }
    }
}

/* ---- strings --------------------------------------------------------------------------------- */

static size_t plain_run(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] != '"' && s[i] != '\\' && (uint8_t)s[i] >= 0x20) i++;
    return i;
}

bool args_plain(const struct args *a, const char *s, size_t n)
{
    return (a->state == A_STR || a->state == A_KEY_STR) && !a->n_escape && plain_run(s, n) == n;
}

/* Plain bytes of a string at a time. */
static size_t string_run(struct args *a, const char *s, size_t n, struct str *out)
{
    size_t i = plain_run(s, n);
    if (i) lonely(a, out);
    str_put(out, s, i);
    return i;
}

static bool string_byte(struct args *a, char c, struct str *out)
{
    bool key = a->state == A_KEY_STR;
    if (c == '\\') {
        a->escape[a->n_escape++] = c;
        a->state = A_ESC | (key ? IN_KEY : 0);
        return true;
    }
    if (c != '"') return false;                                       /* a control character */
    lonely(a, out);
    str_putc(out, '"');
    a->state = key ? A_COLON : A_AFTER;
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool open_string(struct args *a, int state, struct str *out)
{
    str_putc(out, '"');
    a->state = state;
    return true;
}

static bool value_byte(struct args *a, char c, struct str *out)
{
    static const char *const words[] = { "true", "false", "null" };
    if (c == '"') return open_string(a, A_STR, out);
    if (c == '{' || c == '[') {
        if (!push(a, c == '[')) return false;
        str_putc(out, c);
        return true;
    }
    if (c == '-' || is_digit(c)) a->state = c == '-' ? A_MINUS : c == '0' ? A_ZERO : A_INT;
    else {
        size_t i = 0;
        while (i < LEN(words) && words[i][0] != c) i++;
        if (i == LEN(words)) return false;
        a->word = words[i] + 1;
        a->state = A_WORD;
    }
    str_putc(out, c);
    return true;
}

static bool word_byte(struct args *a, char c, struct str *out)
{
    if (c != *a->word) return false;
    str_putc(out, c);
    if (!*++a->word) a->state = A_AFTER;
    return true;
}

/* The state after c inside a number; -1: c is no part of it. */
static int number_next(int state, char c)
{
    switch (state) {
    case A_MINUS: return c == '0' ? A_ZERO : is_digit(c) ? A_INT : -1;
    case A_ZERO: case A_INT:
        if (state == A_INT && is_digit(c)) return A_INT;
        return c == '.' ? A_POINT : c == 'e' || c == 'E' ? A_EXP : -1;
    case A_POINT: return is_digit(c) ? A_PART : -1;
    case A_PART: return is_digit(c) ? A_PART : c == 'e' || c == 'E' ? A_EXP : -1;
    case A_EXP: return is_digit(c) ? A_POWER : c == '+' || c == '-' ? A_EXP_SIGN : -1;
    default: return is_digit(c) ? A_POWER : -1;
    }
}

static bool after_byte(struct args *a, char c, struct str *out)
{
    str_putc(out, c);
    if (c == ',') a->state = in_list(a) ? A_VALUE : A_KEY;
    else if (c == (in_list(a) ? ']' : '}')) return pop(a);
    else return out->len--, false;
    return true;
}

static bool number_byte(struct args *a, char c, struct str *out)
{
    int next = number_next(a->state, c);
    if (next >= 0) {
        str_putc(out, c);
        a->state = next;
        return true;
    }
    if (a->state != A_ZERO && a->state != A_INT && a->state != A_PART && a->state != A_POWER) return false;
    a->state = A_AFTER;
    return is_blank(c) || after_byte(a, c, out);
}

/* One byte that is no blank between tokens. */
static bool mark_byte(struct args *a, char c, struct str *out)
{
    switch (a->state) {
    case A_START:
        if (c != '{') return false;
        return push(a, false), str_putc(out, c), true;
    case A_FIRST_KEY:
        if (c == '}') return str_putc(out, c), pop(a);
        /* fall through */
    case A_KEY: return c == '"' && open_string(a, A_KEY_STR, out);
    case A_COLON:
        if (c != ':') return false;
        str_putc(out, c);
        a->state = A_VALUE;
        return true;
    case A_FIRST_VALUE:
        if (c == ']') return str_putc(out, c), pop(a);
        /* fall through */
    case A_VALUE: return value_byte(a, c, out);
    default: return after_byte(a, c, out);
    }
}

static bool byte(struct args *a, char c, struct str *out)
{
    if (a->state == A_STR || a->state == A_KEY_STR) return string_byte(a, c, out);
    if ((a->state & ~IN_KEY) == A_ESC) return escape(a, c, out);
    if (a->state == A_WORD) return word_byte(a, c, out);
    if (a->state >= A_MINUS) return number_byte(a, c, out);
    return is_blank(c) || mark_byte(a, c, out);
}

size_t args_read(struct args *a, const char *s, size_t n, struct str *out, enum args_step *r)
{
    size_t i = 0;
    *r = ARGS_MORE;
    while (i < n) {
        if (a->state == A_STR || a->state == A_KEY_STR) i += string_run(a, s + i, n - i, out);
        if (i == n) break;
        if (!byte(a, s[i], out)) {
            *r = ARGS_BAD;
            str_put(out, a->escape, (size_t)a->n_escape);             /* as it was written */
            a->n_escape = 0;
            a->high = 0;
            return i;
        }
        i++;
        if (a->state == A_END) {
            *r = ARGS_DONE;
            return i;
        }
    }
    return n;
}
