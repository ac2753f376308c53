/* regex_parse.c -- a pattern as a tree: ECMA-262 with the u flag, and what schemas write anyway.
 *
 * Taken although the u flag forbids it, because its meaning is not in doubt: `{ } ]` that quantify or
 * close nothing, escapes of any character that is no ASCII letter or digit (`\_`, `\@`, `\ `), a hyphen
 * beside a class escape (`[\w-.]`), a quantified look-ahead. Refused: back-references and inline flags
 * (not regular, not this language), escapes of letters that mean nothing.
 * Depth of nesting and length are bounded; the tree lives in the caller's arena. */
#include "grammar/regex_int.h"

enum { NEST_MOST = 250, PATTERN_MOST = 64 * 1024, REPEAT_MOST = 1 << 30 };

struct parser {
    const char *begin, *p, *end;
    struct arena *a;
    struct cps set;                     /* scratch */
    int nest;
    struct err *e;
};

static bool bad(struct parser *x, const char *at, const char *what)
{
    return err_set(x->e, ERR_SCHEMA, "byte %zu: %s", (size_t)(at - x->begin), what);
}

static bool cannot(struct parser *x, const char *at, const char *what)
{
    return err_set(x->e, ERR_UNSUPPORTED, "byte %zu: %s", (size_t)(at - x->begin), what);
}

static bool at(const struct parser *x, char c) { return x->p < x->end && *x->p == c; }

static bool eat(struct parser *x, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(x->end - x->p) < n || memcmp(x->p, text, n)) return false;
    x->p += n;
    return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct ast *node(struct parser *x, enum ast_op op)
{
    struct ast *n = arena_zero(x->a, sizeof *n);
    n->op = op;
    n->nullable = op != A_SET && op != A_CAT && op != A_ALT;
    n->zero = op == A_START || op == A_END || op == A_WORD || op == A_LOOK;
    n->left = op == A_START || op == A_WORD;
    return n;
}

/* Takes the scratch set. */
static struct ast *set_node(struct parser *x, bool invert)
{
    struct ast *n = node(x, A_SET);
    cps_tidy(&x->set);
    if (invert) cps_invert(&x->set);
    struct cp_range *r = arena_alloc(x->a, x->set.n * sizeof *r + 1);
    if (x->set.n) memcpy(r, x->set.r, x->set.n * sizeof *r);
    n->set = r;
    n->n_set = x->set.n;
    x->set.n = 0;
    return n;
}

static struct ast *char_node(struct parser *x, uint32_t cp)
{
    struct ast *n = node(x, A_SET);
    struct cp_range *r = arena_alloc(x->a, sizeof *r);
    *r = (struct cp_range){ cp, cp };
    n->set = r;
    n->n_set = 1;
    return n;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- escapes --------------------------------------------------------------------------------- */

/* Exactly n hexadecimal digits; the place stays when they are not there. */
static bool hex(struct parser *x, int n, uint32_t *out)
{
    uint32_t v = 0;
    if (x->end - x->p < n) return false;
    for (int i = 0; i < n; i++) {
        char c = x->p[i];
        if (is_digit(c)) v = v * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else return false;
    }
    x->p += n;
    *out = v;
    return true;
}

/* After \u: four digits, a pair of surrogates, or braces. */
static bool unicode_escape(struct parser *x, const char *from, uint32_t *out)
{
    uint32_t low;
    if (eat(x, "{")) {
        uint32_t v = 0, digit;
        const char *first = x->p;
        while (v <= 0x10FFFF && hex(x, 1, &digit)) v = v * 16 + digit;
        if (x->p == first || v > 0x10FFFF || !eat(x, "}")) return bad(x, from, "\\u{…} is no code point");
        *out = v;
        return true;
    }
    if (!hex(x, 4, out)) return bad(x, from, "\\u needs four hexadecimal digits");
    const char *behind = x->p;
    if (*out >= 0xD800 && *out <= 0xDBFF && eat(x, "\\u") && hex(x, 4, &low) && low >= 0xDC00 && low <= 0xDFFF)
        *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
    else x->p = behind;
    return true;
}

/* \p{…} into the scratch set. */
static bool property(struct parser *x, const char *from, bool invert)
{
    const char *close = at(x, '{') ? memchr(x->p, '}', (size_t)(x->end - x->p)) : NULL;
    if (!close) return bad(x, from, "\\p needs a property in braces");
    struct bytes name = { x->p + 1, (size_t)(close - x->p - 1) };
    if (bytes_eq(name, "Any")) {
        if (!invert) cps_add(&x->set, 0, 0x10FFFF);
    } else {
        const struct cps *set = cps_property(name.p, name.len);
        if (!set) return bad(x, from, "no Unicode property has this name");
        cps_add_all(&x->set, set->r, set->n, invert);
    }
    x->p = close + 1;
    return true;
}

/* After a backslash, where a character or a class may stand. A class goes into the scratch set and *cp
 * becomes -1. */
static bool escape(struct parser *x, const char *from, int32_t *cp)
{
    if (x->p == x->end) return bad(x, from, "a backslash ends the pattern");
    int n;
    int32_t c = utf8_next(x->p, x->end, &n);
    uint32_t v = 0;
    if (c < 0) return bad(x, x->p, "this is not UTF-8");
    x->p += n;
    *cp = c;
    switch (c) {
    case 'd': case 'D': case 'w': case 'W': case 's': case 'S':
        cps_add_escape(&x->set, (char)c);
        *cp = -1;
        return true;
    case 'p': case 'P':
        *cp = -1;
        return property(x, from, c == 'P');
    case 't': *cp = '\t'; return true;
    case 'n': *cp = '\n'; return true;
    case 'v': *cp = '\v'; return true;
    case 'f': *cp = '\f'; return true;
    case 'r': *cp = '\r'; return true;
    case '0':
        if (x->p < x->end && is_digit(*x->p)) return bad(x, from, "\\0 cannot have a digit after it");
        *cp = 0;
        return true;
    case 'c':
        if (x->p == x->end || !is_letter(*x->p)) return bad(x, from, "\\c needs a letter");
        *cp = *x->p++ & 31;
        return true;
    case 'x':
        if (!hex(x, 2, &v)) return bad(x, from, "\\x needs two hexadecimal digits");
        *cp = (int32_t)v;
        return true;
    case 'u':
        if (!unicode_escape(x, from, &v)) return false;
        *cp = (int32_t)v;
        return true;
    default:
        if (c < 0x80 && is_digit((char)c)) return cannot(x, from, "a back-reference is not regular");
        if (c < 0x80 && is_letter((char)c)) return bad(x, from, "this escape means nothing");
        return true;
    }
}

/* ---- classes --------------------------------------------------------------------------------- */

/* One member: a code point, or -1 when a set was added. */
static bool member(struct parser *x, int32_t *cp)
{
    const char *from = x->p;
    if (eat(x, "\\")) {
        if (eat(x, "b")) { *cp = 8; return true; }
        return escape(x, from, cp);
    }
    int n;
    *cp = utf8_next(x->p, x->end, &n);
    if (*cp < 0) return bad(x, x->p, "this is not UTF-8");
    x->p += n;
    return true;
}

static bool class_node(struct parser *x, struct ast **out)
{
    const char *from = x->p - 1;
    bool invert = eat(x, "^");
    x->set.n = 0;
    while (!at(x, ']')) {
        if (x->p == x->end) return bad(x, from, "a class that does not end");
        int32_t lo, hi;
        const char *first = x->p;
        if (!member(x, &lo)) return false;
        if (at(x, '-') && x->p + 1 < x->end && x->p[1] != ']') {
            const char *hyphen = x->p++;
            if (lo < 0) {                                              /* [\w-.]: the hyphen itself */
                cps_add(&x->set, '-', '-');
                continue;
            }
            if (!member(x, &hi)) return false;
            if (hi >= 0) {
                if (hi < lo) return bad(x, first, "a range that runs backwards");
                cps_add(&x->set, (uint32_t)lo, (uint32_t)hi);
                continue;
            }
            cps_add(&x->set, '-', '-');                                /* [.-\w] */
            (void)hyphen;
        }
        if (lo >= 0) cps_add(&x->set, (uint32_t)lo, (uint32_t)lo);
    }
    x->p++;
    *out = set_node(x, invert);
    return true;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool alternatives(struct parser *x, struct ast **out);

/* Skips the name of (?<name>. */
static bool group_name(struct parser *x, const char *from)
{
    const char *close = memchr(x->p, '>', (size_t)(x->end - x->p));
    if (!close || close == x->p || is_digit(*x->p)) return bad(x, from, "a group's name is missing or does not end");
    for (const char *c = x->p; c < close; c++)
        if (!is_letter(*c) && !is_digit(*c) && *c != '_' && *c != '$' && *c != '\\' && (uint8_t)*c < 0x80 && *c != '{' && *c != '}')
            return bad(x, c, "this cannot stand in a group's name");
    x->p = close + 1;
    return true;
}

static bool group(struct parser *x, struct ast **out)
{
    const char *from = x->p - 1;
    bool look = false, behind = false, neg = false;
    if (eat(x, "?=")) look = true;
    else if (eat(x, "?!")) look = neg = true;
    else if (eat(x, "?<=")) look = behind = true;
    else if (eat(x, "?<!")) look = behind = neg = true;
    else if (eat(x, "?<")) { if (!group_name(x, from)) return false; }
    else if (at(x, '?') && !eat(x, "?:")) {
        char c = x->p + 1 < x->end ? x->p[1] : 0;
        if (c == 'i' || c == 'm' || c == 's' || c == 'x' || c == 'u' || c == '-')
            return cannot(x, from, "flags inside a pattern are not supported");
        return bad(x, from, "no group begins so");
    }
    if (++x->nest > NEST_MOST)
        return err_set(x->e, ERR_LIMIT, "byte %zu: groups are nested deeper than %d", (size_t)(from - x->begin), NEST_MOST);
    struct ast *in;
    if (!alternatives(x, &in)) return false;
    if (!eat(x, ")")) return bad(x, from, "a group that does not end");
    x->nest--;
    *out = in;
    if (!look) return true;
    *out = node(x, A_LOOK);
    (*out)->kid = in;
    (*out)->neg = neg;
    (*out)->behind = behind;
    (*out)->left = behind || in->left;
    return true;
}

static bool escape_node(struct parser *x, struct ast **out)
{
    const char *from = x->p - 1;
    int32_t cp;
    if (at(x, 'b') || at(x, 'B')) {
        *out = node(x, A_WORD);
        (*out)->neg = *x->p++ == 'B';
        return true;
    }
    if (at(x, 'k') && x->p + 1 < x->end && x->p[1] == '<') return cannot(x, from, "a back-reference is not regular");
    x->set.n = 0;
    if (!escape(x, from, &cp)) return false;
    *out = cp < 0 ? set_node(x, false) : char_node(x, (uint32_t)cp);
    return true;
}

static bool atom(struct parser *x, struct ast **out)
{
    const char *from = x->p;
    int n;
    switch (*x->p) {
    case '^': x->p++; *out = node(x, A_START); return true;
    case '$': x->p++; *out = node(x, A_END); return true;
    case '(': x->p++; return group(x, out);
    case '[': x->p++; return class_node(x, out);
    case '\\': x->p++; return escape_node(x, out);
    case '.':
        x->p++;
        x->set.n = 0;
        cps_add_escape(&x->set, '.');
        *out = set_node(x, false);
        return true;
    case '*': case '+': case '?': return bad(x, from, "nothing to repeat");
    default: break;
    }
    int32_t cp = utf8_next(x->p, x->end, &n);
    if (cp < 0) return bad(x, from, "this is not UTF-8");
    x->p += n;
    *out = char_node(x, (uint32_t)cp);
    return true;
}

/* ---- repetition, sequence, alternatives ------------------------------------------------------- */

static bool number(struct parser *x, uint32_t *out)
{
    uint64_t v = 0;
    const char *from = x->p;
    for (; x->p < x->end && is_digit(*x->p); x->p++)
        if (v < REPEAT_MOST) v = MIN(v * 10 + (uint64_t)(*x->p - '0'), (uint64_t)REPEAT_MOST);
    *out = (uint32_t)v;
    return x->p > from;
}

/* {m}, {m,}, {m,n}; anything else after a brace leaves it a character. */
static bool braces(struct parser *x, uint32_t *min, uint32_t *max)
{
    const char *from = x->p;
    if (eat(x, "{") && number(x, min)) {
        *max = *min;
        if (eat(x, ",") && !number(x, max)) *max = INF;
        if (eat(x, "}")) return true;
    }
    x->p = from;
    return false;
}

static bool quantified(struct parser *x, struct ast **out)
{
    const char *from = x->p;
    uint32_t min, max;
    if (at(x, '{') && braces(x, &min, &max)) return bad(x, from, "nothing to repeat");
    if (!atom(x, out)) return false;
    const char *q = x->p;
    if (eat(x, "*")) min = 0, max = INF;
    else if (eat(x, "+")) min = 1, max = INF;
    else if (eat(x, "?")) min = 0, max = 1;
    else if (!at(x, '{') || !braces(x, &min, &max)) return true;
    if (min >= REPEAT_MOST || (max != INF && max >= REPEAT_MOST))
        return err_set(x->e, ERR_LIMIT, "byte %zu: a count above %d", (size_t)(q - x->begin), REPEAT_MOST - 1);
    if (max < min) return bad(x, q, "a count that runs backwards");
    enum ast_op op = (*out)->op;
    if (op == A_START || op == A_END || op == A_WORD || (op == A_LOOK && (*out)->behind))
        return bad(x, q, "nothing to repeat");
    eat(x, "?");                                                       /* lazy: the same language */
    struct ast *rep = node(x, A_REP);
    rep->kid = *out;
    rep->min = min;
    rep->max = max;
    rep->zero = rep->kid->zero && max > 0;
    rep->left = rep->kid->left && max > 0;
    rep->nullable = min == 0 || rep->kid->nullable;
    *out = rep;
    return true;
}

/* In a sequence with assertions, every run of items without any becomes one item: the sequence stays
 * short, however long its literals are. */
static struct ast *group_plain(struct parser *x, struct ast *first)
{
    struct ast *out = NULL, **last = &out;
    while (first) {
        struct ast *item = first;
        first = first->next;
        if (!item->zero && first && !first->zero) {
            struct ast *run = node(x, A_CAT), *end = item;
            run->kid = item;
            run->nullable = item->nullable;
            for (; end->next && !end->next->zero; end = end->next) run->nullable &= end->next->nullable;
            first = end->next;
            end->next = NULL;
            item = run;
        }
        item->next = NULL;
        *last = item;
        last = &item->next;
    }
    return out;
}

/* Puts a list of children under an A_CAT or A_ALT; a list of one is its element. */
static struct ast *list_node(struct parser *x, enum ast_op op, struct ast *first)
{
    if (!first) return node(x, A_EPS);
    if (!first->next) return first;
    bool sets = op == A_ALT;
    for (struct ast *k = first; k; k = k->next) sets &= k->op == A_SET;
    if (sets) {                                                        /* (a|b) is [ab] */
        x->set.n = 0;
        for (struct ast *k = first; k; k = k->next) cps_add_all(&x->set, k->set, k->n_set, false);
        return set_node(x, false);
    }
    struct ast *n = node(x, op);
    n->kid = first;
    n->nullable = op == A_CAT;
    for (struct ast *k = first; k; k = k->next) {
        n->zero |= k->zero;
        n->left |= k->left;
        n->nullable = op == A_CAT ? n->nullable && k->nullable : n->nullable || k->nullable;
    }
    if (op == A_CAT && n->zero) n->kid = group_plain(x, first);
    return n;
}

static bool sequence(struct parser *x, struct ast **out)
{
    struct ast *first = NULL, **last = &first;
    while (x->p < x->end && *x->p != '|' && *x->p != ')') {
        struct ast *item = NULL;
        if (!quantified(x, &item)) return false;
        *last = item;
        last = &item->next;
    }
    *out = list_node(x, A_CAT, first);
    return true;
}

static bool alternatives(struct parser *x, struct ast **out)
{
    struct ast *first = NULL, **last = &first;
    do {
        struct ast *item = NULL;
        if (!sequence(x, &item)) return false;
        *last = item;
        last = &item->next;
    } while (eat(x, "|"));
    *out = list_node(x, A_ALT, first);
    return true;
}

struct ast *re_parse(struct arena *a, const char *p, size_t len, struct err *e)
{
    struct parser x = { p, p, p + len, a, { 0 }, 0, e };
    struct ast *out = NULL;
    if (len > PATTERN_MOST) {
        err_set(e, ERR_LIMIT, "the pattern is longer than %d bytes", PATTERN_MOST);
        return NULL;
    }
    bool ok = alternatives(&x, &out);
    if (ok && x.p < x.end) ok = bad(&x, x.p, "a bracket closes no group");
    cps_done(&x.set);
    return ok ? out : NULL;
}

bool pattern_check(const char *p, size_t len, struct err *e)
{
    struct arena a;
    arena_init(&a, 4096);
    bool ok = re_parse(&a, p, len, e) != NULL;
    arena_done(&a);
    return ok;
}
