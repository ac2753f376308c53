/* gbnf.c -- GBNF, the grammar language of llama.cpp, becomes the same tree as envelope text.
 *
 *     root  ::= "{" ws pair ("," ws pair)* "}"      # a rule ends with its line
 *     pair  ::= key ":" ws [0-9]{1,9}
 *     key   ::= "\"" [^"\\\x00-\x1f]+ "\""
 *     ws    ::= [ \t\n]*
 *
 * Everything is code points: literals, \xHH, classes and the dot. <name> is the special token of that
 * name with its brackets. `a ::= a x | y` is read as y x*; any other left recursion is refused.
 * docs/grammar.md lists where this differs from llama.cpp. */
#include "grammar/envelope.h"

static void blanks(struct reader *r, bool lines)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == '#') while (r->p < r->end && *r->p != '\n' && *r->p != '\r') r->p++;
        if (r->p >= r->end || !strchr(lines ? " \t\r\n" : " \t", *r->p) || !*r->p) return;
    }
}

static bool here(const struct reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static struct bytes word(struct reader *r)
{
    const char *p = r->p;
    while (r->p < r->end && is_word(*r->p)) r->p++;
    return (struct bytes){ p, (size_t)(r->p - p) };
}

/* ---- characters ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int64_t hex(struct reader *r, int n)
{
    int64_t v = 0;
    for (; n > 0; n--, r->p++) {
        int d = r->p < r->end ? hex_digit(*r->p) : -1;
        if (d < 0) return read_fail(r, "expected a hexadecimal digit"), -1;
        v = v << 4 | d;
    }
    if (v <= 0x10ffff && (v < 0xd800 || v > 0xdfff)) return v;
    return read_fail(r, "not a code point: surrogates and all above 10FFFF are not"), -1;
}

static int64_t escape(struct reader *r)
{
    char c = r->end - r->p > 1 ? r->p[1] : 0;
    r->p += c ? 2 : 1;
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'x': return hex(r, 2);
    case 'u': return hex(r, 4);
    case 'U': return hex(r, 8);
    case '\\': case '"': case '[': case ']': case '-': case '^': return c;
    default:
        return read_fail(r, "unknown escape; accepted are \\n \\t \\r \\\\ \\\" \\[ \\] \\xHH "
                            "\\uHHHH \\UHHHHHHHH"),
               -1;
    }
}

/* One code point of a literal or class; -1 on error. */
static int64_t one_char(struct reader *r)
{
    if (*r->p == '\\') return escape(r);
    int n;
    int32_t c = utf8_next(r->p, r->end, &n);
    if (c < 0) return read_fail(r, "not UTF-8"), -1;
    r->p += n;
    return c;
}

static struct tree *literal(struct reader *r)
{
    struct str s = { 0 };
    struct tree *t = NULL;
    for (r->p++; r->p < r->end && *r->p != '"'; ) {
        char utf8[4];
        int64_t c = one_char(r);
        if (c < 0) goto done;
        str_put(&s, utf8, (size_t)utf8_put(utf8, (uint32_t)c));
    }
    if (r->p >= r->end) { read_fail(r, "a literal that does not end"); goto done; }
    r->p++;
    t = tree_text(r, s.p, s.len);
done:
    str_done(&s);
    return t;
}

static struct tree *class_(struct reader *r)
{
    uint32_t (*range)[2] = NULL, n = 0, cap = 0;
    struct tree *t = NULL;
    r->p++;
    bool invert = here(r, '^');
    if (invert) r->p++;
    while (r->p < r->end && *r->p != ']') {
        int64_t lo = one_char(r), hi = lo;
        if (lo >= 0 && r->end - r->p > 1 && *r->p == '-' && r->p[1] != ']') {
            r->p++;
            hi = one_char(r);
        }
        if (lo < 0 || hi < 0) goto done;
        if (hi < lo) { read_fail(r, "a range that runs backwards"); goto done; }
        if (n >= MOST_RANGE) { read_fail(r, "a class of more than 65536 ranges"); goto done; }
        MEM_GROW(range, n, cap);
        range[n][0] = (uint32_t)lo;
        range[n++][1] = (uint32_t)hi;
    }
    if (r->p >= r->end) { read_fail(r, "a class that does not end"); goto done; }
    r->p++;
    t = tree_chars(r, range, n, invert);
done:
    mem_free(range);
    return t;
}

static struct tree *any_char(struct reader *r)
{
    r->p++;
    return tree_chars(r, (uint32_t[1][2]){ { 0, 0x10ffff } }, 1, false);
}

static struct tree *token(struct reader *r)
{
    const char *from = r->p;
    if (r->end - r->p > 1 && r->p[1] == '[')
        return read_fail(r, "token ids mean nothing to a grammar; write the name: <think>");
    while (r->p < r->end && *r->p != '>' && *r->p != '\n') r->p++;
    if (!here(r, '>')) return read_fail(r, "a token that does not end; written <name>");
    r->p++;
    return tree_special(r, from, (size_t)(r->p - from));
}

/* ---- structure ------------------------------------------------------------------------------- */

/* inside: of parentheses, where a line may end. */
static struct tree *alternatives(struct reader *r, bool inside);

static struct tree *group(struct reader *r)
{
    if (++r->depth > MOST_PAREN) return read_fail(r, "parentheses nested deeper than 100");
    r->p++;
    struct tree *t = alternatives(r, true);
    r->depth--;
    if (!t) return NULL;
    if (!here(r, ')')) return read_fail(r, "expected )");
    r->p++;
    return t;
}

static struct tree *atom(struct reader *r)
{
    char c = *r->p;
    if (c == '"') return literal(r);
    if (c == '[') return class_(r);
    if (c == '.') return any_char(r);
    if (c == '(') return group(r);
    if (c == '<') return token(r);
    if (c == '!')
        return read_fail(
            r, "all tokens but one: not supported; a class or free text says it in bytes");
    struct bytes w = word(r);
    if (!w.len) return read_fail(r, "expected a literal, a class, a rule, . or (");
    return tree_leaf(r, N_REF, rule_index(r, w), 0);
}

static bool number(struct reader *r, uint32_t *out)
{
    const char *from = r->p;
    for (*out = 0; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
        if (r->p - from > 6) return false;
        *out = *out * 10 + (uint32_t)(*r->p - '0');
    }
    return r->p > from;
}

/* {m} {m,} {m,n} {,n}, at the brace. */
static bool bounds(struct reader *r, uint32_t *m, uint32_t *n)
{
    r->p++;
    blanks(r, false);
    *m = 0;
    bool has_m = number(r, m);
    *n = *m;
    blanks(r, false);
    if (here(r, ',')) {
        r->p++;
        blanks(r, false);
        *n = NONE;
        if (!here(r, '}') && !number(r, n)) return false;
        has_m = true;
        blanks(r, false);
    }
    if (!has_m || !here(r, '}') || *m > *n || *m > MOST_CHARS || (*n > MOST_CHARS && *n != NONE))
        return false;
    r->p++;
    return true;
}

static struct tree *item(struct reader *r, bool inside)
{
    struct tree *t = atom(r);
    for (int i = 0; t; i++) {
        uint32_t m = 0, n = NONE;
        blanks(r, inside);
        if (here(r, '*') || here(r, '+') || here(r, '?')) {
            m = *r->p == '+';
            n = *r->p++ == '?' ? 1 : NONE;
        } else if (here(r, '{')) {
            if (!bounds(r, &m, &n))
                return read_fail(r, "a repetition is written {2}, {2,}, {,5} or {2,5}");
        } else return t;
        if (i == MOST_SUFFIX) return read_fail(r, "more than 8 repetitions of one item");
        t = tree_repeat(r, t, m, n);
    }
    return NULL;
}

/* The rule goes on behind the end of its line if the next one begins with |. */
static bool next_alternative(struct reader *r, bool inside)
{
    const char *line = r->p;
    blanks(r, true);
    if (here(r, '|')) {
        r->p++;
        blanks(r, true);
        return true;
    }
    if (!inside) r->p = line;
    return false;
}

static struct tree *alternatives(struct reader *r, bool inside)
{
    struct tree *alt = tree_leaf(r, N_ALT, 0, 0);
    blanks(r, true);
    do {
        struct tree *seq = tree_leaf(r, N_SEQ, 0, 0), *t;
        while (!r->e->code && r->p < r->end && !strchr("|)\r\n", *r->p)) {
            if (!(t = item(r, inside))) return NULL;
            tree_adopt(r, seq, t);
        }
        tree_adopt(r, alt, seq);
    } while (!r->e->code && next_alternative(r, inside));
    return r->e->code ? NULL : alt;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* a ::= a x | a y | b | c  is  (b | c) (x | y)* */
static struct tree *without_left_recursion(struct reader *r, struct tree *alt, uint32_t rule)
{
    struct tree *base = tree_leaf(r, N_ALT, 0, 0), *tail = tree_leaf(r, N_ALT, 0, 0);
    bool found = false;
    for (uint32_t i = 0; i < alt->n_kid; i++) {
        struct tree *seq = alt->kid[i];
        if (!seq->n_kid || seq->kid[0]->kind != N_REF || seq->kid[0]->a != rule) {
            tree_adopt(r, base, seq);
            continue;
        }
        found = true;
        struct tree *rest = tree_leaf(r, N_SEQ, 0, 0);
        for (uint32_t k = 1; k < seq->n_kid; k++) tree_adopt(r, rest, seq->kid[k]);
        if (rest->n_kid) tree_adopt(r, tail, rest);     /* a ::= a says nothing */
    }
    if (!found) return alt;
    if (!base->n_kid) {
        if (!r->e->code)
            err_set(r->e, ERR_ARG, "%s: rule %.80s always begins with itself", r->where,
                    r->rule[rule].name);
        return NULL;
    }
    if (!tail->n_kid) return base;
    struct tree *out = tree_leaf(r, N_SEQ, 0, 0);
    tree_adopt(r, out, base);
    tree_adopt(r, out, tree_repeat(r, tail, 0, NONE));
    return out;
}

static bool one_rule(struct reader *r)
{
    struct bytes name = word(r);
    blanks(r, false);
    if (!name.len || r->end - r->p < 3 || memcmp(r->p, "::=", 3))
        return read_fail(r, "expected a rule: name ::= …"), false;
    r->p += 3;
    uint32_t i = rule_index(r, name);
    if (r->n_rule && r->rule[i].body) return read_fail(r, "a rule is given twice"), false;
    struct tree *body = alternatives(r, false);
    if (!body || !(body = without_left_recursion(r, body, i))) return false;
    r->rule[i].body = body;
    if (r->p < r->end && *r->p != '\n' && *r->p != '\r')
        return read_fail(r, "expected the end of the line"), false;
    blanks(r, true);
    return !r->e->code;
}

uint32_t read_gbnf(struct reader *r)
{
    blanks(r, true);
    while (r->p < r->end)
        if (!one_rule(r)) return NONE;
    uint32_t root = rule_index(r, (struct bytes){ "root", 4 });
    if (!r->e->code && !r->rule[root].body)
        err_set(r->e, ERR_ARG, "%s: there is no rule root", r->where);
    return r->e->code ? NONE : root;
}
