/* format_regex.c -- the format "regex": is a text a well-formed pattern of ECMA-262?
 *
 * Well formed with or without the u flag is enough, for a schema does not say which; the leniency
 * of annex B (a lone ] or brace, \- outside of a class, octal escapes) is granted except for
 * letters: \a and \Z mean something elsewhere, so who writes them here means what a checker
 * should refuse.
 *
 * Not known here: which names of properties exist. A name of a group is taken once, as before
 * ES2025. */
#include "grammar/int.h"

enum { SET = -1, BAD = -2 };            /* an escape that is no single character; malformed */
struct re { const char *p, *end; struct str open, names, refs; };

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool is_letter(int32_t c)
{
    return c < 0x80 && (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool next_is(const struct re *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static int32_t code_point(struct re *r)
{
    int n;
    int32_t c = r->p < r->end ? utf8_next(r->p, r->end, &n) : BAD;
    if (c < 0) return BAD;
    r->p += n;
    return c;
}

/* n hexadecimal digits, or (n 0) any number of them up to what follows. */
static int32_t hex_digits(struct re *r, int n)
{
    int32_t v = 0;
    const char *from = r->p;
    while (r->p < r->end && is_hex(*r->p) && (!n || r->p - from < n)) {
        v = v * 16 + (*r->p <= '9' ? *r->p - '0' : (*r->p | 32) - 'a' + 10);
        if (v > 0x10ffff) return BAD;
        r->p++;
    }
    return r->p > from && (!n || r->p - from == n) ? v : BAD;
}

/* Behind \u: four digits, two such halves of a pair, or braces. */
static int32_t unicode_escape(struct re *r)
{
    if (next_is(r, '{')) {
        r->p++;
        int32_t c = hex_digits(r, 0);
        return c >= 0 && next_is(r, '}') ? r->p++, c : BAD;
    }
    int32_t c = hex_digits(r, 4);
    if (c < 0xd800 || c > 0xdbff || r->end - r->p < 6 || memcmp(r->p, "\\u", 2)) return c;
    const char *back = r->p;
    r->p += 2;
    int32_t low = hex_digits(r, 4);
    if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
    r->p = back;
    return c;
}

/* <name> of a group, put into `out` with its brackets. */
static bool group_name(struct re *r, struct str *out)
{
    if (!next_is(r, '<')) return false;
    const char *from = r->p++;
    for (; r->p < r->end && *r->p != '>'; r->p++) {
        char c = *r->p;
        bool digit = c >= '0' && c <= '9';
        if (!is_letter((uint8_t)c) && !(digit && r->p > from + 1) && c != '_' && c != '$' &&
            (uint8_t)c < 0x80)
            return false;
    }
    if (r->p == r->end || r->p == from + 1) return false;
    r->p++;
    str_put(out, from, (size_t)(r->p - from));
    return true;
}

/* {Name} or {Name=Value} */
static bool property(struct re *r)
{
    if (!next_is(r, '{')) return false;
    const char *from = ++r->p;
    while (r->p < r->end && (is_letter((uint8_t)*r->p) || (*r->p >= '0' && *r->p <= '9') ||
                             *r->p == '_' || *r->p == '='))
        r->p++;
    return r->p > from && next_is(r, '}') && r->p++;
}

static int32_t escape(struct re *r, bool in_class)
{
    static const char controls[] = "t\tn\nv\vf\fr\r";
    int32_t c = code_point(r);
    if (c == 'x') return hex_digits(r, 2);
    if (c == 'u') return unicode_escape(r);
    if (c == 'b') return in_class ? '\b' : SET;
    if (c == 'c') return r->p < r->end && is_letter((uint8_t)*r->p) ? *r->p++ & 31 : BAD;
    if (c == 'p' || c == 'P') return property(r) ? SET : BAD;
    if (c == 'k') return !in_class && group_name(r, &r->refs) ? SET : BAD;
    if (c == 'B') return in_class ? BAD : SET;
    if (c > 0 && c < 0x80 && strchr("dDsSwW123456789", c)) return SET;
    for (int i = 0; controls[i]; i += 2)
        if (c == controls[i]) return controls[i + 1];
    return c == '0' ? 0 : is_letter(c) ? BAD : c;
}

static int32_t class_atom(struct re *r)
{
    int32_t c = code_point(r);
    return c == '\\' ? escape(r, true) : c;
}

/* Behind [. Ranges must not run backwards. */
static bool class(struct re *r)
{
    if (next_is(r, '^')) r->p++;
    while (r->p < r->end && *r->p != ']') {
        int32_t lo = class_atom(r);
        if (lo == BAD) return false;
        if (!next_is(r, '-') || r->p + 1 >= r->end || r->p[1] == ']') continue;
        r->p++;
        int32_t hi = class_atom(r);
        if (hi == BAD || (lo >= 0 && hi >= 0 && lo > hi)) return false;
    }
    return r->p < r->end && r->p++;
}

static uint64_t number(struct re *r)
{
    uint64_t v = 0;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        if (v < UINT64_MAX / 20) v = v * 10 + (uint64_t)(*r->p - '0');
    return v;
}

/* {n}, {n,} or {n,m}: true and read on. Anything else in braces is plain text. */
static bool braces(struct re *r, bool *ordered)
{
    struct re at = *r;
    const char *from = ++at.p;
    uint64_t lo = number(&at), hi = lo;
    if (at.p == from) return false;
    if (next_is(&at, ',')) {
        from = ++at.p;
        hi = number(&at);
        if (at.p == from) hi = UINT64_MAX;
    }
    if (!next_is(&at, '}')) return false;
    r->p = at.p + 1;
    *ordered = lo <= hi;
    return true;
}

/* Flags of a group, as in (?i-s: */
static bool modifiers(struct re *r)
{
    unsigned seen = 0;
    bool dash = false;
    for (; r->p < r->end && *r->p != ':'; r->p++) {
        const char *at = *r->p ? strchr("ims-", *r->p) : NULL;
        unsigned bit = at ? 1u << *at % 32 : 0;
        if (!at || (*at == '-' ? dash : (seen & bit) != 0)) return false;
        if (*at == '-') dash = true;
        else seen |= bit;
    }
    return seen && r->p < r->end && r->p++;
}

/* Behind (. Remembers in `open` what its end may be followed by: only a look-behind takes no
 * quantifier. */
static bool group(struct re *r)
{
    char kind = 'g';
    if (next_is(r, '?')) {
        char c = ++r->p < r->end ? *r->p : 0;
        char d = c && r->p + 1 < r->end ? r->p[1] : 0;
        if (c == ':' || c == '=' || c == '!') r->p++;
        else if (c == '<' && (d == '=' || d == '!')) r->p += 2, kind = 'b';
        else if (c == '<') {
            size_t from = r->names.len;
            if (!group_name(r, &r->names)) return false;
            if (from && memmem(r->names.p, from, r->names.p + from, r->names.len - from))
                return false;
        } else if (!modifiers(r)) return false;
    }
    str_putc(&r->open, kind);
    return true;
}

/* One atom, assertion, bracket or quantifier; *atom: may what was just read be quantified? */
static bool piece(struct re *r, bool *atom)
{
    bool quantified = *atom, ordered;
    const char *at = r->p;
    int32_t c = code_point(r);
    *atom = false;
    switch (c) {
    case BAD: return false;
    case '^': case '$': case '|': return true;
    case '(': return group(r);
    case ')':
        if (!r->open.len) return false;
        *atom = r->open.p[--r->open.len] == 'g';
        return true;
    case '[': return *atom = true, class(r);
    case '\\':
        *atom = r->p < r->end && *r->p != 'b' && *r->p != 'B';
        return escape(r, false) != BAD;
    case '*': case '+': case '?': break;
    case '{':
        r->p = at;
        if (!braces(r, &ordered)) return r->p = at + 1, *atom = true;
        quantified = quantified && ordered;
        break;
    default: return *atom = true;
    }
    if (quantified && next_is(r, '?')) r->p++;          /* lazy */
    return quantified;
}

/* Every \k<name> needs its group, wherever that stands. */
static bool refs_known(const struct re *r)
{
    for (size_t i = 0, n; i < r->refs.len; i += n) {
        n = (size_t)((char *)memchr(r->refs.p + i, '>', r->refs.len - i) - (r->refs.p + i)) + 1;
        if (!r->names.len || !memmem(r->names.p, r->names.len, r->refs.p + i, n)) return false;
    }
    return true;
}

bool regex_valid(const char *p, size_t len)
{
    struct re r = { .p = p, .end = p + len };
    bool atom = false, ok = true;
    while (ok && r.p < r.end) ok = piece(&r, &atom);
    ok = ok && !r.open.len && refs_known(&r);
    str_done(&r.open);
    str_done(&r.names);
    str_done(&r.refs);
    return ok;
}
