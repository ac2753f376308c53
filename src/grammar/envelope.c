/* envelope.c -- envelope text becomes a small program over bytes.
 *
 *     root = text(@"<|call|>") | @"<|call|>" "[" call ("," call)* "]";
 *     call = each { "{\"name\":\"" name "\",\"arguments\":" value(json) "}" };
 *
 * Recursive descent into a tree, then each rule is laid out back to front, every op knowing what
 * follows it. Loops are splits, rules and `each` are calls. Refused by name: left recursion and
 * unbounded repetition of something that may be empty (both would let the matcher run in place),
 * name and value outside of each, unknown rules, slots and surfaces, absurd sizes. */
#include <stdlib.h>

#include "grammar/int.h"

enum {
    N_LIT,
    N_CLASS,
    N_SPECIAL,
    N_TEXT,
    N_NAME,
    N_VALUE,
    N_SLOT,
    N_SEQ,
    N_ALT,
    N_REP,
    N_EACH,
    N_REF
};
/* REP: a..b times, b NONE = any */
struct tree { int kind; uint32_t a, b; struct tree **kid; uint32_t n_kid, cap_kid; };
struct rule { char *name; struct tree *body; uint32_t entry; bool used, nullable; uint8_t mark; };

enum { MOST_PAREN = 100, MOST_REPEAT = 1000 };
struct reader {
    struct grammar *g;
    struct arena tmp;
    const char *start, *p, *end;
    struct rule *rule; uint32_t n_rule, cap_rule;
    uint32_t n_schema; const uint32_t *slot_goal;
    bool in_each;
    int depth;
    uint32_t cap_op, cap_text, cap_cls, cap_special, cap_trig;
    struct err *e;
};

static struct tree *fail(struct reader *r, const char *what)
{
    err_set(r->e, ERR_ARG, "envelope: byte %zu: %s", (size_t)(r->p - r->start), what);
    return NULL;
}

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

static struct tree *leaf(struct reader *r, int kind, uint32_t a, uint32_t b)
{
    struct tree *t = arena_zero(&r->tmp, sizeof *t);
    t->kind = kind;
    t->a = a;
    t->b = b;
    return t;
}

static void adopt(struct reader *r, struct tree *t, struct tree *kid)
{
    if (t->n_kid == t->cap_kid) {
        struct tree **more = arena_alloc(&r->tmp, (t->cap_kid * 2 + 4) * sizeof *more);
        if (t->n_kid) memcpy(more, t->kid, t->n_kid * sizeof *more);
        t->kid = more;
        t->cap_kid = t->cap_kid * 2 + 4;
    }
    t->kid[t->n_kid++] = kid;
}

/* ---- literals and classes -------------------------------------------------------------------- */

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
    if (!take(r, '"')) return fail(r, "expected a text in double quotes"), false;
    while (r->p < r->end && *r->p != '"') {
        int b = one_byte(r);
        if (b < 0)
            return fail(r, "unknown escape; accepted are \\n \\t \\r \\\\ \\\" \\xHH"), false;
        str_putc(out, (char)b);
    }
    if (r->p >= r->end) return fail(r, "a text that does not end"), false;
    r->p++;
    return true;
}

static uint32_t keep_text(struct reader *r, const struct str *s)
{
    struct grammar *g = r->g;
    uint32_t off = g->n_text;
    for (size_t i = 0; i < s->len; i++) {
        MEM_GROW(g->text, g->n_text, r->cap_text);
        g->text[g->n_text++] = s->p[i];
    }
    return off;
}

static struct tree *literal(struct reader *r)
{
    struct str s = { 0 };
    struct tree *t = NULL;
    if (quoted(r, &s)) {
        uint32_t off = keep_text(r, &s);
        t = s.len ? leaf(r, N_LIT, off, (uint32_t)s.len) : leaf(r, N_SEQ, 0, 0);
    }
    str_done(&s);
    return t;
}

static struct tree *special(struct reader *r)
{
    struct grammar *g = r->g;
    struct str s = { 0 };
    struct tree *t = NULL;
    if (quoted(r, &s)) {
        if (!s.len || memchr(s.p, 0, s.len)) fail(r, "a special token needs a name");
        else {
            uint32_t i = 0;
            while (i < g->n_special && strcmp(g->special[i], s.p)) i++;
            if (i == g->n_special) {
                MEM_GROW(g->special, g->n_special, r->cap_special);
                g->special[g->n_special++] = arena_str(&g->mem, s.p, s.len);
            }
            t = leaf(r, N_SPECIAL, i, 0);
        }
    }
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
            return fail(r, "a byte class is malformed; written [a-z0-9_] or [^\"\\n]");
        for (int b = lo; b <= hi; b++) set.w[b >> 6] |= 1ull << (b & 63);
    }
    if (r->p >= r->end) return fail(r, "a byte class that does not end");
    r->p++;
    for (int i = 0; invert && i < 4; i++) set.w[i] = ~set.w[i];
    if (!(set.w[0] | set.w[1] | set.w[2] | set.w[3])) return fail(r, "an empty byte class");
    MEM_GROW(r->g->cls, r->g->n_cls, r->cap_cls);
    r->g->cls[r->g->n_cls] = set;
    return leaf(r, N_CLASS, r->g->n_cls++, 0);
}

/* ---- free text ------------------------------------------------------------------------------- */

/* Adds one trigger to the automaton under construction (plain trie so far). */
static bool trigger_add(struct triggers *t, uint32_t *cap, const struct str *s)
{
    uint32_t at = 0;
    for (size_t i = 0; i < s->len; i++) {
        uint8_t b = (uint8_t)s->p[i];
        if (i + 1 == s->len) { t->next[at][b] = UINT16_MAX; return true; }
        if (t->next[at][b] == UINT16_MAX) return true;  /* a shorter trigger wins */
        if (!t->next[at][b]) {
            if (t->n_state >= 4096) return false;
            if (t->n_state == *cap) {
                *cap *= 2;
                t->next = mem_resize(t->next, *cap * sizeof *t->next);
            }
            memset(t->next[t->n_state], 0, sizeof *t->next);
            t->next[at][b] = (uint16_t)t->n_state++;
        }
        at = t->next[at][b];
    }
    return true;
}

/* Completes the transitions breadth first through failure links. */
static void trigger_close(struct triggers *t)
{
    uint16_t *queue = mem_alloc((t->n_state + 1) * sizeof *queue),
             *link = mem_zero((t->n_state + 1) * sizeof *link);
    uint32_t head = 0, tail = 0;
    for (int b = 0; b < 256; b++)
        if (t->next[0][b] && t->next[0][b] != UINT16_MAX) queue[tail++] = t->next[0][b];
    while (head < tail) {
        uint16_t s = queue[head++];
        for (int b = 0; b < 256; b++) {
            uint16_t to = t->next[s][b], other = t->next[link[s]][b];
            if (to == UINT16_MAX) continue;
            if (other == UINT16_MAX || !to) t->next[s][b] = other;
            else { link[to] = other; queue[tail++] = to; }
        }
    }
    mem_free(queue);
    mem_free(link);
}

static void trigger_keep(struct reader *r, struct triggers *t)
{
    size_t bytes = t->n_state * sizeof *t->next;
    void *own = arena_alloc(&r->g->mem, bytes);
    memcpy(own, t->next, bytes);
    t->next = own;
    t->hash = hash64(own, bytes, 7);
    MEM_GROW(r->g->trig, r->g->n_trig, r->cap_trig);
    r->g->trig[r->g->n_trig++] = *t;
}

/* text, text("a", @"<|b|>"): special triggers need no watching, specials are never text. */
static struct tree *free_text(struct reader *r)
{
    uint32_t cap = 16;
    struct triggers t = { .n_state = 1, .next = mem_zero(cap * sizeof *t.next) };
    void *first = t.next;
    struct tree *out = NULL;
    if (take(r, '(')) do {
        struct str s = { 0 };
        bool is_special = take(r, '@'), ok = quoted(r, &s);
        if (ok && !s.len) { fail(r, "an empty trigger"); ok = false; }
        if (ok && !is_special && !trigger_add(&t, &cap, &s)) {
            fail(r, "triggers of more than 4096 bytes");
            ok = false;
        }
        str_done(&s);
        if (!ok) goto done;
        if (!take(r, ',')) {
            if (!take(r, ')')) {
                fail(r, "expected , or ) after a trigger");
                goto done;
            }
            break;
        }
    } while (true);
    trigger_close(&t);
    first = t.next;
    trigger_keep(r, &t);
    out = leaf(r, N_TEXT, r->g->n_trig - 1, 0);
    mem_free(first);
    return out;
done:
    mem_free(t.next);
    return NULL;
}

/* ---- words ----------------------------------------------------------------------------------- */

static struct tree *alternatives(struct reader *r);

static bool surface(struct reader *r, uint32_t *out)
{
    static const char *const names[] = { "json", "python", "python-arguments", "raw" };
    struct bytes w = word(r);
    for (uint32_t i = 0; i < LEN(names); i++)
        if (bytes_eq(w, names[i])) { *out = i; return true; }
    return fail(r, "unknown surface; accepted are json, python-arguments, python and raw"), false;
}

static struct tree *value(struct reader *r)
{
    uint32_t s = SURF_JSON;
    if (!r->in_each) return fail(r, "value stands outside of each { }");
    if (take(r, '(') && (!surface(r, &s) || !take(r, ')')))
        return r->e->code ? NULL : fail(r, "expected ) after the surface");
    r->g->uses_args |= s == SURF_ARGS;
    return leaf(r, N_VALUE, s, 0);
}

static struct tree *slot(struct reader *r)
{
    uint32_t n, s = SURF_JSON;
    if (!take(r, '(') || !number(r, &n)) return fail(r, "schema needs a number: schema(0, json)");
    if (take(r, ',') && !surface(r, &s)) return NULL;
    if (!take(r, ')')) return fail(r, "expected ) after schema(…");
    if (n >= r->n_schema) {
        err_set(r->e, ERR_ARG, "envelope: schema(%u): %u schemas were handed over", n, r->n_schema);
        return NULL;
    }
    r->g->uses_args |= s == SURF_ARGS;
    return leaf(r, N_SLOT, s, r->slot_goal[n]);
}

static struct tree *each(struct reader *r)
{
    if (r->in_each) return fail(r, "each inside each");
    if (!take(r, '{')) return fail(r, "expected { after each");
    if (!r->g->n_pair) return fail(r, "each needs at least one (name, schema) pair");
    r->in_each = true;
    struct tree *t = leaf(r, N_EACH, 0, 0), *body = alternatives(r);
    r->in_each = false;
    if (!body) return NULL;
    if (!take(r, '}')) return fail(r, "expected } at the end of each");
    adopt(r, t, body);
    return t;
}

static uint32_t rule_index(struct reader *r, struct bytes name)
{
    for (uint32_t i = 0; i < r->n_rule; i++)
        if (bytes_eq(name, r->rule[i].name)) return i;
    MEM_GROW(r->rule, r->n_rule, r->cap_rule);
    r->rule[r->n_rule] = (struct rule){ .name = arena_str(&r->tmp, name.p, name.len) };
    return r->n_rule++;
}

static struct tree *name_of_pair(struct reader *r)
{
    bool json = false;
    if (!r->in_each) return fail(r, "name stands outside of each { }");
    if (take(r, '(')) {
        json = bytes_eq(word(r), "json");
        if (!json || !take(r, ')')) return fail(r, "name takes no surface but json");
    }
    return leaf(r, N_NAME, json, 0);
}

static struct tree *word_item(struct reader *r)
{
    struct bytes w = word(r);
    if (!w.len) return fail(r, "expected a text, a class, @\"special\", ( or a word");
    if (bytes_eq(w, "text"))   return free_text(r);
    if (bytes_eq(w, "each"))   return each(r);
    if (bytes_eq(w, "schema")) return slot(r);
    if (bytes_eq(w, "value"))  return value(r);
    if (bytes_eq(w, "name"))   return name_of_pair(r);
    uint32_t i = rule_index(r, w);
    if (r->in_each) return fail(r, "a rule inside each; write it out there");
    r->rule[i].used = true;
    return leaf(r, N_REF, i, 0);
}

/* ---- structure ------------------------------------------------------------------------------- */

static struct tree *atom(struct reader *r)
{
    blanks(r);
    char c = r->p < r->end ? *r->p : 0;
    if (c == '"') return literal(r);
    if (c == '[') { r->p++; return class_(r); }
    if (c == '@') { r->p++; return special(r); }
    if (c != '(') return word_item(r);
    if (++r->depth > MOST_PAREN) return fail(r, "parentheses nested deeper than 100");
    r->p++;
    struct tree *t = alternatives(r);
    r->depth--;
    if (t && !take(r, ')')) return fail(r, "expected )");
    return t;
}

static bool bounds(struct reader *r, uint32_t *m, uint32_t *n)
{
    if (!number(r, m)) return false;
    *n = *m;
    if (take(r, ',')) {
        blanks(r);
        *n = NONE;
        if (r->p < r->end && *r->p != '}' && !number(r, n)) return false;
    }
    return take(r, '}') && *m <= *n && *m <= MOST_REPEAT && (*n <= MOST_REPEAT || *n == NONE);
}

static struct tree *item(struct reader *r)
{
    struct tree *t = atom(r);
    while (t) {
        uint32_t m, n;
        if (take(r, '?'))      { m = 0; n = 1; }
        else if (take(r, '*')) { m = 0; n = NONE; }
        else if (take(r, '+')) { m = 1; n = NONE;
        } else if (take(r, '{')) {
            if (!bounds(r, &m, &n))
                return fail(r, "a repetition is written {2}, {2,} or {2,5}, up to 1000");
        } else return t;
        struct tree *rep = leaf(r, N_REP, m, n);
        adopt(r, rep, t);
        t = rep;
    }
    return NULL;
}

static bool at_end(struct reader *r)
{
    blanks(r);
    return r->p >= r->end || strchr("|);}", *r->p);
}

static struct tree *alternatives(struct reader *r)
{
    struct tree *alt = leaf(r, N_ALT, 0, 0);
    do {
        struct tree *seq = leaf(r, N_SEQ, 0, 0), *t;
        while (!at_end(r)) {
            if (!(t = item(r))) return NULL;
            adopt(r, seq, t);
        }
        adopt(r, alt, seq);
    } while (take(r, '|'));
    return alt->n_kid == 1 ? alt->kid[0] : alt;
}

static bool one_rule(struct reader *r)
{
    struct bytes name = word(r);
    if (!name.len || !take(r, '=')) return fail(r, "expected a rule: name = …"), false;
    uint32_t i = rule_index(r, name);
    if (r->rule[i].body) return fail(r, "a rule is given twice"), false;
    struct tree *body = alternatives(r);
    if (body) r->rule[i].body = body;
    return body != NULL;
}

/* Either rules or one bare expression. */
static bool rules(struct reader *r)
{
    const char *start = r->p;
    bool named = word(r).len && take(r, '=');
    r->p = start;
    if (!named) {
        uint32_t root = rule_index(r, (struct bytes){ "root", 4 });
        struct tree *body = alternatives(r);                      /* may grow the list of rules */
        if (!body) return false;
        r->rule[root].body = body;
    } else do {
        if (!one_rule(r)) return false;
        blanks(r);
    } while (take(r, ';') && (blanks(r), r->p < r->end));
    take(r, ';');
    blanks(r);
    if (r->p < r->end) return fail(r, "expected the end, | or ;"), false;
    for (uint32_t i = 0; i < r->n_rule; i++)
        if (!r->rule[i].body)
            return err_set(r->e, ERR_ARG, "envelope: rule %.80s is not given", r->rule[i].name);
    return true;
}

/* ---- what would run in place ----------------------------------------------------------------- */

static bool nullable(const struct reader *r, const struct tree *t)
{
    switch (t->kind) {
    case N_SEQ: for (uint32_t i = 0; i < t->n_kid; i++) if (!nullable(r, t->kid[i])) return false;
                return true;
    case N_ALT: for (uint32_t i = 0; i < t->n_kid; i++) if (nullable(r, t->kid[i])) return true;
                return false;
    case N_REP: return t->a == 0 || nullable(r, t->kid[0]);
    case N_EACH: return nullable(r, t->kid[0]);
    case N_TEXT: return true;
    case N_VALUE: case N_SLOT: return t->a == SURF_RAW || t->a == SURF_ARGS;
    case N_REF: return r->rule[t->a].nullable;
    default: return false;
    }
}

static bool check_loops(struct reader *r, const struct tree *t)
{
    if (t->kind == N_REP && t->b == NONE && nullable(r, t->kid[0]))
        return err_set(r->e, ERR_ARG,
                       "envelope: an unbounded repetition of something that may be empty");
    for (uint32_t i = 0; i < t->n_kid; i++)
        if (!check_loops(r, t->kid[i])) return false;
    return true;
}

/* Follows what may come first; a rule met while it is open recurses to the left. */
static bool check_left(struct reader *r, const struct tree *t)
{
    if (t->kind == N_REF) {
        struct rule *q = &r->rule[t->a];
        if (q->mark == 1)
            return err_set(r->e, ERR_ARG, "envelope: rule %.80s begins with itself", q->name);
        if (q->mark == 2) return true;
        if (++r->depth > 1000)
            return err_set(r->e, ERR_LIMIT, "envelope: rules nested deeper than 1000");
        q->mark = 1;
        bool ok = check_left(r, q->body);
        q->mark = 2;
        r->depth--;
        return ok;
    }
    for (uint32_t i = 0; i < t->n_kid; i++) {
        if (!check_left(r, t->kid[i])) return false;
        if (t->kind == N_SEQ && !nullable(r, t->kid[i])) break;
    }
    return true;
}

static bool check_rules(struct reader *r)
{
    for (bool more = true; more; ) {
        more = false;
        for (uint32_t i = 0; i < r->n_rule; i++)
            if (!r->rule[i].nullable && nullable(r, r->rule[i].body))
                more = r->rule[i].nullable = true;
    }
    r->depth = 0;
    for (uint32_t i = 0; i < r->n_rule; i++) {
        if (!check_loops(r, r->rule[i].body)) return false;
        struct tree ref = { .kind = N_REF, .a = i };
        if (!check_left(r, &ref)) return false;
    }
    return true;
}

/* ---- laying out ------------------------------------------------------------------------------ */

static uint32_t op_new(struct reader *r, struct op o)
{
    struct grammar *g = r->g;
    if (g->n_op >= MOST_OP) {
        if (!r->e->code)
            err_set(r->e, ERR_LIMIT,
                    "envelope: more than %d steps; repetitions count as often as they repeat",
                    MOST_OP);
        return 0;
    }
    MEM_GROW(g->op, g->n_op, r->cap_op);
    g->op[g->n_op] = o;
    return g->n_op++;
}

static uint32_t lay(struct reader *r, const struct tree *t, uint32_t next);

static uint32_t lay_rep(struct reader *r, const struct tree *t, uint32_t next)
{
    uint32_t at = next;
    if (t->b == NONE) {
        at = op_new(r, (struct op){ .kind = OP_SPLIT, .a = next });
        uint32_t body = lay(r, t->kid[0], at);
        if (r->g->n_op) r->g->op[at].next = body;
    } else {
        for (uint32_t i = t->a; i < t->b && !r->e->code; i++) {
            uint32_t body = lay(r, t->kid[0], at);
            at = op_new(r, (struct op){ .kind = OP_SPLIT, .next = body, .a = next });
        }
    }
    for (uint32_t i = 0; i < t->a && !r->e->code; i++) at = lay(r, t->kid[0], at);
    return at;
}

static uint32_t lay_each(struct reader *r, const struct tree *t, uint32_t next)
{
    uint32_t ret = op_new(r, (struct op){ .kind = OP_RET });
    uint32_t body = lay(r, t->kid[0], ret);
    return op_new(r, (struct op){ .kind = OP_EACH, .next = next, .a = body });
}

static uint32_t lay(struct reader *r, const struct tree *t, uint32_t next)
{
    static const uint8_t same[] = {
        [N_LIT] = OP_LIT,   [N_CLASS] = OP_CLASS, [N_SPECIAL] = OP_SPECIAL, [N_TEXT] = OP_TEXT,
        [N_NAME] = OP_NAME, [N_VALUE] = OP_VALUE, [N_SLOT] = OP_SLOT
    };
    if (r->e->code) return 0;
    switch (t->kind) {
    case N_SEQ:
        for (uint32_t i = t->n_kid; i-- > 0; ) next = lay(r, t->kid[i], next);
        return next;
    case N_ALT: {
        uint32_t at = lay(r, t->kid[t->n_kid - 1], next);
        for (uint32_t i = t->n_kid - 1; i-- > 0; ) {
            uint32_t first = lay(r, t->kid[i], next);
            at = op_new(r, (struct op){ .kind = OP_SPLIT, .next = first, .a = at });
        }
        return at;
    }
    case N_REP:  return lay_rep(r, t, next);
    case N_EACH: return lay_each(r, t, next);
    case N_REF:  return op_new(r, (struct op){ .kind = OP_CALL, .next = next, .a = t->a });
    default:
        return op_new(r, (struct op){ .kind = same[t->kind], .next = next, .a = t->a, .b = t->b });
    }
}

static bool lay_rules(struct reader *r)
{
    for (uint32_t i = 0; i < r->n_rule; i++) {
        uint32_t ret = op_new(r, (struct op){ .kind = OP_RET });
        r->rule[i].entry = lay(r, r->rule[i].body, ret);
    }
    if (r->e->code) return false;
    for (uint32_t i = 0; i < r->g->n_op; i++)
        if (r->g->op[i].kind == OP_CALL) r->g->op[i].a = r->rule[r->g->op[i].a].entry;
    uint32_t root = rule_index(r, (struct bytes){ "root", 4 });
    r->g->root = r->rule[root].body ? r->rule[root].entry : r->rule[0].entry;
    return true;
}

bool envelope_parse(struct grammar *g, const char *text, uint32_t n_schema,
                    const uint32_t *slot_goal, struct err *e)
{
    struct err own = { 0 };
    size_t len = strlen(text);
    if (len > MOST_ENVELOPE)
        return err_set(e, ERR_LIMIT, "envelope: %zu bytes; accepted are %d", len, MOST_ENVELOPE);
    struct reader r = { .g = g,
                        .start = text,
                        .p = text,
                        .end = text + len,
                        .n_schema = n_schema,
                        .slot_goal = slot_goal,
                        .e = &own };
    arena_init(&r.tmp, 0);
    bool ok = rules(&r) && check_rules(&r) && lay_rules(&r);
    arena_done(&r.tmp);
    mem_free(r.rule);
    return ok || err_set(e, own.code, "%s", own.msg);
}
