/* envelope.c -- envelope text becomes a tree of pieces.
 *
 *     root = text(@"<|call|>") | @"<|call|>" "[" call ("," call)* "]";
 *     call = each { "{\"name\":\"" name "\",\"arguments\":" value(json) "}" };
 *
 * Recursive descent; a word is a rule unless it is one of ours. Here are also the makers of pieces
 * that gbnf.c uses, and the entry for all syntaxes. Refused with the byte where it stands: name and
 * value outside of each, unknown slots, surfaces and escapes, absurd sizes. What only the whole shows
 * (rules that are not there, left recursion) is envelope_lay.c's. */
#include <stdlib.h>

#include "grammar/envelope.h"

/* ---- makers of pieces ------------------------------------------------------------------------ */

struct tree *read_fail(struct reader *r, const char *what)
{
    if (!r->e->code)
        err_set(r->e, ERR_ARG, "%s: byte %zu: %s", r->where, (size_t)(r->p - r->start), what);
    return NULL;
}

static struct tree *too_much(struct reader *r, const char *what)
{
    if (!r->e->code)
        err_set(r->e, ERR_LIMIT, "%s: byte %zu: %s", r->where, (size_t)(r->p - r->start), what);
    return NULL;
}

struct tree *tree_leaf(struct reader *r, int kind, uint32_t a, uint32_t b)
{
    struct tree *t = arena_zero(&r->tmp, sizeof *t);
    t->kind = kind;
    t->a = a;
    t->b = b;
    if (++r->n_tree > MOST_TREE) too_much(r, "more than 65536 pieces");
    return t;
}

void tree_adopt(struct reader *r, struct tree *t, struct tree *kid)
{
    if (t->n_kid == t->cap_kid) {
        struct tree **more = arena_alloc(&r->tmp, (t->cap_kid * 2 + 4) * sizeof *more);
        if (t->n_kid) memcpy(more, t->kid, t->n_kid * sizeof *more);
        t->kid = more;
        t->cap_kid = t->cap_kid * 2 + 4;
    }
    t->kid[t->n_kid++] = kid;
}

struct tree *tree_text(struct reader *r, const char *p, size_t len)
{
    struct grammar *g = r->g;
    uint32_t off = g->n_text;
    if (!len) return tree_leaf(r, N_SEQ, 0, 0);
    for (size_t i = 0; i < len; i++) {
        MEM_GROW(g->text, g->n_text, r->cap_text);
        g->text[g->n_text++] = p[i];
    }
    return tree_leaf(r, N_LIT, off, (uint32_t)len);
}

struct tree *tree_special(struct reader *r, const char *name, size_t len)
{
    struct grammar *g = r->g;
    uint32_t i = 0;
    if (!len || memchr(name, 0, len)) return read_fail(r, "a special token needs a name");
    while (i < g->n_special && !bytes_eq((struct bytes){ name, len }, g->special[i])) i++;
    if (i == MOST_SPECIAL) return too_much(r, "more than 1024 special tokens");
    if (i == g->n_special) {
        MEM_GROW(g->special, g->n_special, r->cap_special);
        g->special[g->n_special++] = arena_str(&g->mem, name, len);
    }
    return tree_leaf(r, N_SPECIAL, i, 0);
}

static int range_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static struct tree *keep_chars(struct reader *r, struct chars k)
{
    struct grammar *g = r->g;
    MEM_GROW(g->chars, g->n_chars, r->cap_chars);
    g->chars[g->n_chars] = k;
    return tree_leaf(r, N_CHARS, g->n_chars++, 0);
}

/* Appends [lo, hi] without the surrogates. */
static uint32_t put_range(uint32_t (*out)[2], uint32_t n, uint32_t lo, uint32_t hi)
{
    hi = MIN(hi, 0x10ffffu);
    if (lo < 0xd800 && hi >= 0xd800) {
        n = put_range(out, n, lo, 0xd7ff);
        lo = 0xe000;
    } else if (lo >= 0xd800 && lo < 0xe000) lo = 0xe000;
    if (lo > hi) return n;
    if (n && out[n - 1][1] + 1 >= lo) out[n - 1][1] = MAX(out[n - 1][1], hi);
    else { out[n][0] = lo; out[n++][1] = hi; }
    return n;
}

struct tree *tree_chars(struct reader *r, uint32_t (*range)[2], uint32_t n, bool invert)
{
    if ((r->n_range += n + 3) > MOST_RANGE)
        return too_much(r, "classes of more than 65536 ranges in all");
    uint32_t n_out = 0, at = 0;
    uint32_t (*out)[2] = arena_alloc(&r->g->mem, (2 * (size_t)n + 4) * sizeof *out);
    if (n) qsort(range, n, sizeof *range, range_cmp);
    for (uint32_t i = 0; i < n; i++) {
        if (invert && range[i][0] > at) n_out = put_range(out, n_out, at, range[i][0] - 1);
        if (!invert) n_out = put_range(out, n_out, range[i][0], range[i][1]);
        at = MAX(at, range[i][1] + 1);
    }
    if (invert) n_out = put_range(out, n_out, at, 0x10ffff);
    if (!n_out) return read_fail(r, "an empty class");
    uint32_t first = out[0][0];
    struct chars k = { .range = out, .n_range = n_out, .min = 1, .max = 1,
                       .shortest = first < 0x80 ? 1 : first < 0x800 ? 2 : first < 0x10000 ? 3 : 4 };
    for (uint32_t i = 0; i < n_out; i++)
        for (uint32_t b = out[i][0]; b <= out[i][1] && b < 0x80; b++)
            k.ascii[b >> 6] |= 1ull << (b & 63);
    return keep_chars(r, k);
}

struct tree *tree_pattern(struct reader *r, const char *p, size_t len)
{
    struct err own = { 0 };
    struct re_part part = { .kind = RE_WHOLE, .p = p, .len = len };
    if (r->g->n_re == MOST_PATTERN) return too_much(r, "more than 1024 patterns");
    struct dfa *d = dfa_open(&part, 1, &own);
    if (!d) {
        if (!r->e->code)
            err_set(r->e, own.code, "%s: byte %zu: pattern: %s", r->where,
                    (size_t)(r->p - r->start), own.msg);
        return NULL;
    }
    MEM_GROW(r->g->re, r->g->n_re, r->cap_re);
    r->g->re[r->g->n_re++] = d;                         /* the grammar closes it */
    if (dfa_empty(d)) return read_fail(r, "a pattern that no text matches");
    return tree_leaf(r, N_RE, r->g->n_re - 1, 0);
}

static bool is_one_char(const struct reader *r, const struct tree *t)
{
    return t->kind == N_CHARS && r->g->chars[t->a].min == 1 && r->g->chars[t->a].max == 1;
}

static struct tree *chars_run(struct reader *r, const struct tree *t, uint32_t m, uint32_t n)
{
    struct chars k = r->g->chars[t->a];
    k.min = m;
    k.max = n;
    return keep_chars(r, k);
}

/* ([a-z] | x)* is ([a-z]+ | x)*, where a token of letters is one step instead of many. */
static void lengthen(struct reader *r, struct tree *t)
{
    for (uint32_t i = 0; t->kind == N_ALT && i < t->n_kid; i++) {
        struct tree **kid =
            t->kid[i]->kind == N_SEQ && t->kid[i]->n_kid == 1 ? &t->kid[i]->kid[0] : &t->kid[i];
        if (is_one_char(r, *kid)) *kid = chars_run(r, *kid, 1, NONE);
    }
}

/* A run of one class stays one piece, whatever the numbers. */
struct tree *tree_repeat(struct reader *r, struct tree *t, uint32_t m, uint32_t n)
{
    if (is_one_char(r, t) && n) return chars_run(r, t, m, n);
    if (n == NONE && m <= 1) lengthen(r, t);
    if (m > MOST_REPEAT || (n > MOST_REPEAT && n != NONE))
        return read_fail(r, "repeated more than 1000 times");
    struct tree *rep = tree_leaf(r, N_REP, m, n);
    tree_adopt(r, rep, t);
    return rep;
}

static uint32_t rule_home(const struct reader *r, const char *name, size_t len, uint32_t scope)
{
    return (uint32_t)hash64(name, len, scope) & (r->n_slot - 1);
}

static void rules_rehash(struct reader *r)
{
    r->n_slot = r->n_slot ? r->n_slot * 2 : 16;
    r->slot = arena_zero(&r->tmp, r->n_slot * sizeof *r->slot);
    for (uint32_t i = 0; i < r->n_rule; i++) {
        uint32_t at = rule_home(r, r->rule[i].name, r->rule[i].len, r->rule[i].scope);
        while (r->slot[at]) at = (at + 1) & (r->n_slot - 1);
        r->slot[at] = i + 1;
    }
}

uint32_t rule_index(struct reader *r, struct bytes name)
{
    if (r->n_rule * 2 >= r->n_slot) rules_rehash(r);
    uint32_t at = rule_home(r, name.p, name.len, r->scope);
    for (; r->slot[at]; at = (at + 1) & (r->n_slot - 1)) {
        const struct rule *q = &r->rule[r->slot[at] - 1];
        if (q->scope == r->scope && q->len == name.len && !memcmp(q->name, name.p, name.len))
            return r->slot[at] - 1;
    }
    if (r->n_rule == MOST_RULE) return too_much(r, "more than 4096 rules"), 0;
    MEM_GROW(r->rule, r->n_rule, r->cap_rule);
    r->rule[r->n_rule] = (struct rule){ .name = arena_str(&r->tmp, name.p, name.len),
                                        .len = name.len,
                                        .scope = r->scope };
    r->slot[at] = ++r->n_rule;
    return r->n_rule - 1;
}

/* ---- letters --------------------------------------------------------------------------------- */

static void blanks(struct reader *r)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == '#') while (r->p < r->end && *r->p != '\n') r->p++;
        if (r->p >= r->end || !strchr(" \t\r\n", *r->p)) return;
    }
}

static bool take(struct reader *r, char c)
{
    blanks(r);
    if (r->p >= r->end || *r->p != c) return false;
    r->p++;
    return true;
}

/* The same, but only right here: text(…) is one thing, text (…) two. */
static bool joined(struct reader *r, char c)
{
    if (r->p >= r->end || *r->p != c) return false;
    r->p++;
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static struct bytes word(struct reader *r)
{
    blanks(r);
    const char *p = r->p;
    while (r->p < r->end && is_word(*r->p)) r->p++;
    return (struct bytes){ p, (size_t)(r->p - p) };
}

static bool number(struct reader *r, uint32_t *out)
{
    struct bytes w = word(r);
    *out = 0;
    for (size_t i = 0; i < w.len; i++) {
        if (w.p[i] < '0' || w.p[i] > '9' || i > 6) return false;
        *out = *out * 10 + (uint32_t)(w.p[i] - '0');
    }
    return w.len > 0;
}

/* {2} {2,} {2,5}, behind the opening brace. */
static bool bounds(struct reader *r, uint32_t *m, uint32_t *n, uint32_t most)
{
    if (!number(r, m)) return false;
    *n = *m;
    if (take(r, ',')) {
        blanks(r);
        *n = NONE;
        if (r->p < r->end && *r->p != '}' && !number(r, n)) return false;
    }
    return take(r, '}') && *m <= *n && *m <= most && (*n <= most || *n == NONE);
}

/* One byte of a literal or class, escapes decoded; -1: malformed. */
static int one_byte(struct reader *r)
{
    if (*r->p != '\\') return (uint8_t)*r->p++;
    if (r->end - r->p < 2) return -1;
    char c = r->p[1];
    r->p += 2;
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case '\\': case '"': case ']': case '[': case '-': case '^': return c;
    case 'x': {
        char hex[3] = { 0 }, *stop;
        if (r->end - r->p < 2) return -1;
        memcpy(hex, r->p, 2);
        r->p += 2;
        long v = strtol(hex, &stop, 16);
        return *stop || hex[0] == '+' || hex[0] == '-' || hex[0] == ' ' ? -1 : (int)v;
    }
    default: return -1;
    }
}

static bool quoted(struct reader *r, struct str *out)
{
    if (!take(r, '"')) return read_fail(r, "expected a text in double quotes"), false;
    while (r->p < r->end && *r->p != '"') {
        int b = one_byte(r);
        if (b < 0)
            return read_fail(r, "unknown escape; accepted are \\n \\t \\r \\\\ \\\" \\xHH"), false;
        str_putc(out, (char)b);
    }
    if (r->p >= r->end) return read_fail(r, "a text that does not end"), false;
    r->p++;
    return true;
}

/* ---- literals, classes, patterns ------------------------------------------------------------- */

static struct tree *literal(struct reader *r)
{
    struct str s = { 0 };
    struct tree *t = quoted(r, &s) ? tree_text(r, s.p, s.len) : NULL;
    str_done(&s);
    return t;
}

static struct tree *special(struct reader *r)
{
    struct str s = { 0 };
    struct tree *t = quoted(r, &s) ? tree_special(r, s.p, s.len) : NULL;
    str_done(&s);
    return t;
}

static struct tree *class_(struct reader *r)
{
    struct byteset set = { 0 };
    bool invert = r->p < r->end && *r->p == '^';
    if (invert) r->p++;
    while (r->p < r->end && *r->p != ']') {
        int lo = one_byte(r), hi = lo;
        if (lo >= 0 && r->end - r->p > 1 && *r->p == '-' && r->p[1] != ']') {
            r->p++;
            hi = one_byte(r);
        }
        if (lo < 0 || hi < lo)
            return read_fail(r, "a byte class is malformed; written [a-z0-9_] or [^\"\\n]");
        for (int b = lo; b <= hi; b++) set.w[b >> 6] |= 1ull << (b & 63);
    }
    if (r->p >= r->end) return read_fail(r, "a byte class that does not end");
    r->p++;
    for (int i = 0; invert && i < 4; i++) set.w[i] = ~set.w[i];
    if (!(set.w[0] | set.w[1] | set.w[2] | set.w[3])) return read_fail(r, "an empty byte class");
    MEM_GROW(r->g->cls, r->g->n_cls, r->cap_cls);
    r->g->cls[r->g->n_cls] = set;
    return tree_leaf(r, N_CLASS, r->g->n_cls++, 0);
}

/* Up to the next slash that is neither escaped nor in a class. */
static struct tree *pattern(struct reader *r)
{
    const char *from = ++r->p;
    bool in_class = false;
    while (r->p < r->end && (*r->p != '/' || in_class)) {
        if (*r->p == '[') in_class = true;
        if (*r->p == ']') in_class = false;
        r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
    }
    if (r->p >= r->end) return read_fail(r, "a pattern that does not end; written /[a-z]+/");
    size_t len = (size_t)(r->p++ - from);
    return tree_pattern(r, from, len);
}

/* ---- free text ------------------------------------------------------------------------------- */

/* One of "a", !"a", @"<|b|>", !@"<|b|>". Special tokens are never text: naming them is documentation. */
static bool trigger(struct reader *r, struct watch *w)
{
    struct str s = { 0 };
    take(r, '!');
    bool is_special = take(r, '@'), ok = quoted(r, &s);
    if (ok && !s.len) ok = read_fail(r, "an empty trigger");
    if (ok && !is_special) ok = watch_add(r, w, s.p, s.len);
    str_done(&s);
    return ok;
}

static bool triggers(struct reader *r, struct watch *w)
{
    if (!joined(r, '(')) return true;
    do
        if (!trigger(r, w)) return false;
    while (take(r, ','));
    return take(r, ')') || read_fail(r, "expected , or ) after a trigger");
}

static struct tree *free_text(struct reader *r)
{
    struct watch w;
    watch_open(&w);
    bool ok = !joined(r, '{') || bounds(r, &w.t.min, &w.t.max, MOST_CHARS) ||
              read_fail(r, "limits of a text are written text{2}, text{2,} or text{2,5}, up to "
                           "1000000 characters");
    ok = ok && triggers(r, &w);
    return watch_close(r, &w, ok);
}

/* ---- words ----------------------------------------------------------------------------------- */

static struct tree *alternatives(struct reader *r);

static bool surface(struct reader *r, uint32_t *out)
{
    static const char *const names[] = { "json", "python", "python-arguments", "raw" };
    struct bytes w = word(r);
    for (uint32_t i = 0; i < LEN(names); i++)
        if (bytes_eq(w, names[i])) { *out = i; return true; }
    return read_fail(r, "unknown surface; accepted are json, python-arguments, python and raw"),
           false;
}

static struct tree *value(struct reader *r)
{
    uint32_t s = SURF_JSON;
    if (!r->in_each) return read_fail(r, "value stands outside of each { }");
    if (take(r, '(') && (!surface(r, &s) || !take(r, ')')))
        return read_fail(r, "expected ) after the surface");
    r->g->uses_args |= s == SURF_ARGS;
    return tree_leaf(r, N_VALUE, s, 0);
}

static struct tree *slot(struct reader *r)
{
    uint32_t n, s = SURF_JSON;
    if (!take(r, '(') || !number(r, &n))
        return read_fail(r, "schema needs a number: schema(0, json)");
    if (take(r, ',') && !surface(r, &s)) return NULL;
    if (!take(r, ')')) return read_fail(r, "expected ) after schema(…");
    if (n >= r->n_schema) {
        err_set(r->e, ERR_ARG, "%s: schema(%u): %u schemas were handed over", r->where, n,
                r->n_schema);
        return NULL;
    }
    r->g->uses_args |= s == SURF_ARGS;
    return tree_leaf(r, N_SLOT, s, r->slot_goal[n]);
}

static struct tree *each(struct reader *r)
{
    if (r->in_each) return read_fail(r, "each inside each");
    if (!take(r, '{')) return read_fail(r, "expected { after each");
    if (!r->g->n_pair) return read_fail(r, "each needs at least one (name, schema) pair");
    r->in_each = true;
    struct tree *t = tree_leaf(r, N_EACH, 0, 0), *body = alternatives(r);
    r->in_each = false;
    if (!body) return NULL;
    if (!take(r, '}')) return read_fail(r, "expected } at the end of each");
    tree_adopt(r, t, body);
    return t;
}

static struct tree *name_of_pair(struct reader *r)
{
    bool json = false;
    if (!r->in_each) return read_fail(r, "name stands outside of each { }");
    if (take(r, '(')) {
        json = bytes_eq(word(r), "json");
        if (!json || !take(r, ')')) return read_fail(r, "name takes no surface but json");
    }
    return tree_leaf(r, N_NAME, json, 0);
}

/* gbnf("root ::= …"), envelope("root = …"): a whole grammar in quotes, its rules a world of their own. */
static struct tree *inside(struct reader *r, const char *where, uint32_t (*read)(struct reader *))
{
    struct str s = { 0 };
    struct reader out = *r;                             /* where we stand, to come back to */
    if (!take(r, '(') || !quoted(r, &s) || !take(r, ')')) {
        str_done(&s);
        return read_fail(
            r, "a grammar inside is written gbnf(\"root ::= …\") or envelope(\"root = …\")");
    }
    if (++r->depth > MOST_PAREN)
        return str_done(&s), read_fail(r, "grammars nested deeper than 100");
    out.p = r->p;
    r->in_each = false;
    r->start = r->p = s.p ? s.p : "";
    r->end = r->p + s.len;
    r->where = where;
    r->scope = ++r->n_scope;
    uint32_t root = read(r);
    r->start = out.start, r->p = out.p, r->end = out.end;
    r->where = out.where, r->scope = out.scope, r->in_each = out.in_each;
    r->depth--;
    str_done(&s);
    return root == NONE ? NULL : tree_leaf(r, N_REF, root, 0);
}

/* regex("…"): a pattern in quotes, for those who hold it as a text. */
static struct tree *quoted_pattern(struct reader *r)
{
    struct str s = { 0 };
    struct tree *t = NULL;
    if (!take(r, '(')) return read_fail(r, "expected ( after regex");
    if (quoted(r, &s))
        t = take(r, ')') ? tree_pattern(r, s.p ? s.p : "", s.len)
                         : read_fail(r, "expected ) after the pattern");
    str_done(&s);
    return t;
}

static struct tree *word_item(struct reader *r)
{
    struct bytes w = word(r);
    if (!w.len) return read_fail(r, "expected a text, a class, @\"special\", ( or a word");
    if (bytes_eq(w, "text"))     return free_text(r);
    if (bytes_eq(w, "each"))     return each(r);
    if (bytes_eq(w, "schema"))   return slot(r);
    if (bytes_eq(w, "value"))    return value(r);
    if (bytes_eq(w, "name"))     return name_of_pair(r);
    if (bytes_eq(w, "regex"))    return quoted_pattern(r);
    if (bytes_eq(w, "gbnf"))     return inside(r, "gbnf inside of the envelope", read_gbnf);
    if (bytes_eq(w, "envelope")) return inside(r, "envelope inside of the envelope", read_envelope);
    return tree_leaf(r, N_REF, rule_index(r, w), 0);
}

/* ---- structure ------------------------------------------------------------------------------- */

static struct tree *atom(struct reader *r)
{
    blanks(r);
    char c = r->p < r->end ? *r->p : 0;
    if (c == '"') return literal(r);
    if (c == '[') { r->p++; return class_(r); }
    if (c == '@') { r->p++; return special(r); }
    if (c == '/') return pattern(r);
    if (c != '(') return word_item(r);
    if (++r->depth > MOST_PAREN) return read_fail(r, "parentheses nested deeper than 100");
    r->p++;
    struct tree *t = alternatives(r);
    r->depth--;
    if (t && !take(r, ')')) return read_fail(r, "expected )");
    return t;
}

static struct tree *item(struct reader *r)
{
    struct tree *t = atom(r);
    for (int i = 0; t; i++) {
        uint32_t m, n;
        if (take(r, '?'))      { m = 0; n = 1; }
        else if (take(r, '*')) { m = 0; n = NONE; }
        else if (take(r, '+')) { m = 1; n = NONE; }
        else if (take(r, '{')) {
            if (!bounds(r, &m, &n, MOST_REPEAT))
                return read_fail(r, "a repetition is written {2}, {2,} or {2,5}, up to 1000");
        } else return t;
        if (i == MOST_SUFFIX) return read_fail(r, "more than 8 repetitions of one item");
        t = tree_repeat(r, t, m, n);
    }
    return NULL;
}

static bool at_end(struct reader *r)
{
    blanks(r);
    return r->e->code || r->p >= r->end || strchr("|);}", *r->p);
}

static struct tree *alternatives(struct reader *r)
{
    struct tree *alt = tree_leaf(r, N_ALT, 0, 0);
    do {
        struct tree *seq = tree_leaf(r, N_SEQ, 0, 0), *t;
        while (!at_end(r)) {
            if (!(t = item(r))) return NULL;
            tree_adopt(r, seq, t);
        }
        tree_adopt(r, alt, seq);
    } while (take(r, '|'));
    if (r->e->code) return NULL;
    return alt->n_kid == 1 ? alt->kid[0] : alt;
}

/* Its index, NONE on error. */
static uint32_t one_rule(struct reader *r)
{
    struct bytes name = word(r);
    if (!name.len || !take(r, '=')) return read_fail(r, "expected a rule: name = …"), NONE;
    uint32_t i = rule_index(r, name);
    if (r->n_rule && r->rule[i].body) return read_fail(r, "a rule is given twice"), NONE;
    struct tree *body = alternatives(r);                /* may grow the list of rules */
    if (!body) return NONE;
    r->rule[i].body = body;
    return i;
}

/* Either rules or one bare expression. */
uint32_t read_envelope(struct reader *r)
{
    const char *start = r->p;
    uint32_t first = NONE, root = rule_index(r, (struct bytes){ "root", 4 });
    bool named = word(r).len && take(r, '=');
    r->p = start;
    if (!named) {
        struct tree *body = alternatives(r);
        if (!body) return NONE;
        r->rule[root].body = body;
    } else do {
        uint32_t i = one_rule(r);
        if (i == NONE) return NONE;
        if (first == NONE) first = i;
        blanks(r);
    } while (take(r, ';') && (blanks(r), r->p < r->end));
    take(r, ';');
    blanks(r);
    if (r->p < r->end) return read_fail(r, "expected the end, | or ;"), NONE;
    if (!r->rule[root].body && first != NONE) r->rule[root].body = tree_leaf(r, N_REF, first, 0);
    return r->e->code ? NONE : root;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The text is the pattern of one rule. */
static uint32_t read_regex(struct reader *r)
{
    struct tree *body = tree_pattern(r, r->p, (size_t)(r->end - r->p));
    uint32_t root = rule_index(r, (struct bytes){ "root", 4 });
    if (!body) return NONE;
    r->rule[root].body = body;
    return root;
}

bool envelope_parse(struct grammar *g, enum syntax syntax, const char *text, uint32_t n_schema,
                    const uint32_t *slot_goal, struct err *e)
{
    static const char *const where[] = { "envelope", "gbnf", "regex" };
    static uint32_t (*const read[])(struct reader *) = { read_envelope, read_gbnf, read_regex };
    struct err own = { 0 };
    size_t len = strlen(text);
    if (len > MOST_ENVELOPE)
        return err_set(e, ERR_LIMIT, "%s: %zu bytes; accepted are %d", where[syntax], len,
                       MOST_ENVELOPE);
    struct reader r = { .g = g, .where = where[syntax], .start = text, .p = text, .end = text + len,
                        .n_schema = n_schema, .slot_goal = slot_goal, .e = &own };
    arena_init(&r.tmp, 4096);
    uint32_t root = read[syntax](&r);
    bool ok = root != NONE && !own.code && lay_rules(&r, root);
    arena_done(&r.tmp);
    mem_free(r.rule);
    return ok || err_set(e, own.code, "%s", own.msg);
}
