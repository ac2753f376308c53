/* ecma.c -- patterns as JSON Schema means them (ECMA-262 with the u flag), searched for with PCRE2.
 *
 * The check of finished values has an engine of its own, so that it can judge the automaton of regex.c.
 * The two syntaxes are close enough to mislead: what PCRE2 reads otherwise is rewritten here (\s, the
 * dot, \cX, surrogate pairs, long names of properties, [ inside a class), and what only Perl knows
 * (\A, (?i), a++, [[:alpha:]] …) is an error or plain text, as in ECMA-262. Kinder than the u flag in
 * what cannot be misread: any punctuation may be escaped, a brace, ] or - that begins nothing is
 * itself. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "grammar/int.h"

enum { MOST_MATCH = 1000000, IN_SET = -1 };

struct ecma { pcre2_code *code; };
/* A translation: what is left to read, what was written. */
struct tr {
    const char *start, *p, *end;
    struct str out;
    struct err *e;
    const char *name;                   /* the pattern, for messages */
};

static bool bad(struct tr *t, const char *what)
{
    return err_set(t->e, ERR_SCHEMA, "pattern %.80s: byte %zu: %s", t->name,
                   (size_t)(t->p - t->start), what);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z'); }
static bool is_surrogate(int32_t cp) { return cp >= 0xd800 && cp < 0xe000; }
static bool at_char(const struct tr *t, char c) { return t->p < t->end && *t->p == c; }

static bool skip_char(struct tr *t, char c)
{
    bool is = at_char(t, c);
    t->p += is;
    return is;
}

static void put_cp(struct tr *t, int32_t cp)
{
    if (cp < 128 && is_word((char)cp)) str_putc(&t->out, (char)cp);
    else str_fmt(&t->out, "\\x{%x}", (unsigned)cp);
}

/* A range of a class; surrogates cannot occur in a text and PCRE2 will not hear of them. */
static void put_range(struct tr *t, int32_t lo, int32_t hi)
{
    if (lo < 0xd800 && hi >= 0xd800) {
        put_range(t, lo, 0xd7ff);
        lo = 0xd800;
    }
    if (is_surrogate(lo)) lo = 0xe000;
    if (is_surrogate(hi)) hi = 0xd7ff;
    if (lo > hi) return;
    put_cp(t, lo);
    if (lo == hi) return;
    str_putc(&t->out, '-');
    put_cp(t, hi);
}

/* ---- escapes --------------------------------------------------------------------------------- */

/* n hex digits; -1: they are not there. */
static int32_t read_hex(struct tr *t, int n)
{
    int32_t v = 0;
    if (t->end - t->p < n) return -1;
    for (int i = 0; i < n; i++) {
        char c = t->p[i];
        if (!is_digit(c) && !((c | 32) >= 'a' && (c | 32) <= 'f')) return -1;
        v = v * 16 + (is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
    }
    t->p += n;
    return v;
}

/* Behind \u: four digits, a pair of such, or {digits}. -1: none of these. */
static int32_t read_unicode(struct tr *t)
{
    if (skip_char(t, '{')) {
        int32_t v = 0;
        int n = 0;
        for (int32_t d; (d = read_hex(t, 1)) >= 0 && v <= 0x10ffff; n++) v = v * 16 + d;
        return n && v <= 0x10ffff && skip_char(t, '}') ? v : -1;
    }
    int32_t hi = read_hex(t, 4);
    if (hi < 0xd800 || hi > 0xdbff || t->end - t->p < 6 || t->p[0] != '\\' || t->p[1] != 'u')
        return hi;
    const char *before = t->p;
    t->p += 2;
    int32_t lo = read_hex(t, 4);
    if (lo >= 0xdc00 && lo <= 0xdfff) return 0x10000 + ((hi - 0xd800) << 10) + (lo - 0xdc00);
    t->p = before;
    return hi;
}

/* Long names of general categories; PCRE2 knows the short ones. */
static const struct { const char *name, *code; } categories[] = {
    { "Letter", "L" }, { "Cased_Letter", "L&" }, { "LC", "L&" }, { "Uppercase_Letter", "Lu" },
    { "Lowercase_Letter", "Ll" }, { "Titlecase_Letter", "Lt" }, { "Modifier_Letter", "Lm" },
    { "Other_Letter", "Lo" }, { "Mark", "M" }, { "Combining_Mark", "M" },
    { "Nonspacing_Mark", "Mn" }, { "Spacing_Mark", "Mc" }, { "Enclosing_Mark", "Me" },
    { "Number", "N" }, { "Decimal_Number", "Nd" }, { "digit", "Nd" }, { "Letter_Number", "Nl" },
    { "Other_Number", "No" }, { "Punctuation", "P" }, { "punct", "P" },
    { "Connector_Punctuation", "Pc" }, { "Dash_Punctuation", "Pd" }, { "Open_Punctuation", "Ps" },
    { "Close_Punctuation", "Pe" }, { "Initial_Punctuation", "Pi" }, { "Final_Punctuation", "Pf" },
    { "Other_Punctuation", "Po" }, { "Symbol", "S" }, { "Math_Symbol", "Sm" },
    { "Currency_Symbol", "Sc" }, { "Modifier_Symbol", "Sk" }, { "Other_Symbol", "So" },
    { "Separator", "Z" }, { "Space_Separator", "Zs" }, { "Line_Separator", "Zl" },
    { "Paragraph_Separator", "Zp" }, { "Other", "C" }, { "Control", "Cc" }, { "cntrl", "Cc" },
    { "Format", "Cf" }, { "Surrogate", "Cs" }, { "Private_Use", "Co" }, { "Unassigned", "Cn" },
};

/* \p{…}: name is what stands in the braces, perhaps Kind=Value. */
static void put_property(struct tr *t, bool negate, char *name)
{
    char *value = strchr(name, '=');
    const char *kind = "";
    if (value) {
        *value++ = 0;
        if (!strcmp(name, "Script") || !strcmp(name, "sc")) kind = "sc:";
        if (!strcmp(name, "Script_Extensions") || !strcmp(name, "scx")) kind = "scx:";
        name = value;
    }
    for (size_t i = 0; !*kind && i < LEN(categories); i++)
        if (!strcmp(categories[i].name, name)) {
            str_fmt(&t->out, "\\%c{%s}", negate ? 'P' : 'p', categories[i].code);
            return;
        }
    if (!strcmp(name, "Assigned")) str_fmt(&t->out, "\\%c{Cn}", negate ? 'p' : 'P');
    else str_fmt(&t->out, "\\%c{%s%s}", negate ? 'P' : 'p', kind, name);
}

static bool read_property(struct tr *t, bool negate)
{
    char name[80];
    const char *end = at_char(t, '{') ? memchr(t->p, '}', (size_t)(t->end - t->p)) : NULL;
    size_t n = end ? (size_t)(end - t->p - 1) : 0;
    if (!n || n >= sizeof name) return bad(t, "\\p without the name of a property in braces");
    for (size_t i = 0; i < n; i++)
        if (!is_word(t->p[1 + i]) && !memchr("_=", t->p[1 + i], 2))
            return bad(t, "a property that Unicode does not have");
    memcpy(name, t->p + 1, n);
    name[n] = 0;
    t->p = end + 1;
    put_property(t, negate, name);
    return true;
}

static const char blanks[] =
    "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}\\x{feff}";
static const char no_blanks[] =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{d7ff}\\x{e000}-\\x{fefe}\\x{ff00}-\\x{10ffff}";

/* An escape that means a character or a set, the same in and out of classes; behind the backslash. A
 * set is written at once (IN_SET), a character handed back. */
static bool escape(struct tr *t, bool in_class, int32_t *cp)
{
    static const char *const letters = "tnvfr", *const codes = "\t\n\v\f\r";
    if (t->p == t->end) return bad(t, "\\ at the end");
    char c = *t->p;
    const char *known = memchr(letters, c, 5);
    *cp = IN_SET;
    if ((uint8_t)c >= 0x80) return bad(t, "\\ before a character that is not ASCII");
    t->p++;
    if (known) *cp = codes[known - letters];
    else if (!is_word(c)) *cp = c;
    else if (c == 'd' || c == 'D' || c == 'w' || c == 'W') str_fmt(&t->out, "\\%c", c);
    else if (c == 's' || c == 'S')
        str_fmt(&t->out, in_class ? "%s" : "[%s]", c == 's' ? blanks : no_blanks);
    else if (c == 'p' || c == 'P') return read_property(t, c == 'P');
    else if (c == 'x') *cp = read_hex(t, 2);
    else if (c == 'u') *cp = read_unicode(t);
    else if (c == 'c' && t->p < t->end && is_word(*t->p) && !is_digit(*t->p)) *cp = *t->p++ & 31;
    else if (c == '0' && !(t->p < t->end && is_digit(*t->p))) *cp = 0;
    else return bad(t, "an escape that has no meaning");
    return ((c != 'x' && c != 'u') || *cp >= 0) || bad(t, "hex digits are missing");
}

/* ---- classes --------------------------------------------------------------------------------- */

static bool class_atom(struct tr *t, int32_t *cp)
{
    int n;
    if (skip_char(t, '\\')) {
        if (skip_char(t, 'b')) { *cp = '\b'; return true; }
        return escape(t, true, cp);
    }
    *cp = utf8_next(t->p, t->end, &n);
    t->p += n;
    return true;
}

/* Behind the opening bracket. */
static bool char_class(struct tr *t)
{
    str_puts(&t->out, skip_char(t, '^') ? "[^" : "[");
    while (!skip_char(t, ']')) {
        int32_t lo, hi;
        if (t->p == t->end) return bad(t, "a class that does not end");
        if (!class_atom(t, &lo)) return false;
        bool range = at_char(t, '-') && t->p + 1 < t->end && t->p[1] != ']';
        if (!range) {
            if (lo != IN_SET) put_range(t, lo, lo);
            continue;
        }
        t->p++;
        if (!class_atom(t, &hi)) return false;
        if (lo != IN_SET && hi != IN_SET) {
            if (lo > hi) return bad(t, "a range whose end comes first");
            put_range(t, lo, hi);
            continue;
        }
        put_cp(t, '-');                                 /* next to a set it is itself */
        if (lo != IN_SET) put_range(t, lo, lo);
        if (hi != IN_SET) put_range(t, hi, hi);
    }
    str_putc(&t->out, ']');
    return true;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* Length of {n}, {n,} or {n,m} at p; 0: the brace is itself. */
static size_t braces(const struct tr *t)
{
    const char *p = t->p + 1, *digits = p;
    while (p < t->end && is_digit(*p)) p++;
    if (p == digits) return 0;
    if (p < t->end && *p == ',') p++;
    while (p < t->end && is_digit(*p)) p++;
    return p < t->end && *p == '}' ? (size_t)(p + 1 - t->p) : 0;
}

/* A quantifier, if one stands here; nothing more may be repeated behind it. */
static bool quantifier(struct tr *t, bool *atom, bool *took)
{
    *took = t->p < t->end && (memchr("*+?", *t->p, 3) || (*t->p == '{' && braces(t)));
    if (!*took) return true;
    if (!*atom) return bad(t, "nothing to repeat");
    size_t n = *t->p == '{' ? braces(t) : 1;
    str_put(&t->out, t->p, n);
    t->p += n;
    if (skip_char(t, '?')) str_putc(&t->out, '?');
    *atom = false;
    return true;
}

static bool group(struct tr *t)
{
    static const char *const kinds[] = { "?:", "?=", "?!", "?<=", "?<!" };
    str_putc(&t->out, '(');
    if (!at_char(t, '?')) return true;
    for (size_t i = 0; i < LEN(kinds); i++) {
        size_t n = strlen(kinds[i]);
        if ((size_t)(t->end - t->p) < n || memcmp(t->p, kinds[i], n)) continue;
        str_puts(&t->out, kinds[i]);
        t->p += n;
        return true;
    }
    const char *end = memchr(t->p, '>', (size_t)(t->end - t->p));
    if (!end || t->p[1] != '<') return bad(t, "a group of a kind that ECMA-262 does not have");
    str_put(&t->out, t->p, (size_t)(end + 1 - t->p));
    t->p = end + 1;
    return true;
}

/* Behind a backslash outside of classes; *atom: what may be repeated was written. */
static bool outer_escape(struct tr *t, bool *atom)
{
    int32_t cp;
    char c = t->p < t->end ? *t->p : 0;
    *atom = c != 'b' && c != 'B';
    if (!*atom) {
        str_fmt(&t->out, "\\%c", c);
        t->p++;
    } else if (c >= '1' && c <= '9') {
        str_puts(&t->out, "\\g{");
        while (t->p < t->end && is_digit(*t->p)) str_putc(&t->out, *t->p++);
        str_putc(&t->out, '}');
    } else if (c == 'k') {
        const char *end = memchr(t->p, '>', (size_t)(t->end - t->p));
        if (!end || t->p[1] != '<') return bad(t, "\\k without <name>");
        str_putc(&t->out, '\\');
        str_put(&t->out, t->p, (size_t)(end + 1 - t->p));
        t->p = end + 1;
    } else {
        if (!escape(t, false, &cp)) return false;
        if (is_surrogate(cp)) str_puts(&t->out, "(?!)"); /* half a character: never there */
        else if (cp != IN_SET) put_cp(t, cp);
    }
    return true;
}

static bool translate(struct tr *t)
{
    bool atom = false, took;
    int n;
    while (t->p < t->end) {
        if (!quantifier(t, &atom, &took)) return false;
        if (took) continue;
        char c = *t->p;
        int32_t cp = utf8_next(t->p, t->end, &n);
        t->p += n;
        atom = true;
        if (c == '\\') { if (!outer_escape(t, &atom)) return false; }
        else if (c == '[') { if (!char_class(t)) return false; }
        else if (c == '(') { if (!group(t)) return false; atom = false; }
        else if (c == '.') str_puts(&t->out, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]");
        else if (c == ')') str_putc(&t->out, c);
        else if (c == '|' || c == '^' || c == '$') { str_putc(&t->out, c); atom = false; }
        else put_cp(t, cp);
    }
    return true;
}

/* ---- doors ----------------------------------------------------------------------------------- */

/* Malformed, or merely more than PCRE2 can do? */
static bool too_much(int code)
{
    return code == PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH ||
           code == PCRE2_ERROR_QUANTIFIER_TOO_BIG || code == PCRE2_ERROR_PATTERN_TOO_LARGE ||
           code == PCRE2_ERROR_PARENTHESES_NEST_TOO_DEEP ||
           code == PCRE2_ERROR_SUBPATTERN_NAME_TOO_LONG ||
           code == PCRE2_ERROR_LOOKBEHIND_TOO_COMPLICATED;
}

struct ecma *ecma_open(const char *pattern, size_t len, struct err *e)
{
    struct tr t = { .start = pattern, .p = pattern, .end = pattern + len, .e = e, .name = pattern };
    struct ecma *x = NULL;
    int code;
    PCRE2_SIZE off;
    if (translate(&t)) {
        pcre2_code *c = pcre2_compile((PCRE2_SPTR)(t.out.p ? t.out.p : ""), t.out.len,
                                      PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS |
                                          PCRE2_MATCH_UNSET_BACKREF, &code, &off, NULL);
        char why[120] = "";
        if (c) {
            x = mem_alloc(sizeof *x);
            x->code = c;
        } else {
            pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
            err_set(e, too_much(code) ? ERR_UNSUPPORTED : ERR_SCHEMA,
                    "pattern %.80s: not a regular expression: %s", pattern, why);
        }
    }
    str_done(&t.out);
    return x;
}

void ecma_close(struct ecma *x)
{
    if (!x) return;
    pcre2_code_free(x->code);
    mem_free(x);
}

int ecma_search(const struct ecma *x, const char *text, size_t len)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(limits, MOST_MATCH);
    pcre2_match_data *d = pcre2_match_data_create(1, NULL);
    int r = pcre2_match(x->code, (PCRE2_SPTR)text, len, 0, 0, d, limits);
    pcre2_match_data_free(d);
    pcre2_match_context_free(limits);
    return r >= 0 ? 1 : r == PCRE2_ERROR_NOMATCH ? 0 : -1;
}
