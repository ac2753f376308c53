/* regex_build.c -- trees to terms: what may follow decides what an assertion means.
 *
 * T(tree, rest) is the language of "tree, then rest", where rest runs to the end of the text. So
 * (?=A)·rest is rest ∩ A·ALL, (?!A)·rest is rest ∩ ¬(A·ALL), and $·rest is the empty text if rest has
 * it. What looks back depends on the code point before, kept as a context: none (the start of the
 * text), or which atom it lies in; the atoms part the code points by the sets that \b and one-character
 * look-behind ask about. A tree without assertions is one term before its rest, cut by the atom of its
 * last code point only where the rest looks back. A loop around assertions is a named term (T_REF): its
 * rest contains itself; a round that consumes nothing ("stalled") adds nothing and is left out.
 *
 * Not here: look-behind of more than one code point, except at the beginning of a pattern. */
#include "grammar/regex_int.h"

enum { SETS_MOST = 4, ATOMS_MOST = 16, UNROLL_MOST = 1000, CONT_MOST = 20000, DEPTH_MOST = 4000 };
#define BEHIND "a look-behind of more than one code point is supported only at the beginning of a pattern"
enum cont_kind { C_TREE, C_REP, C_BACK, C_END };

/* A tree (or count of it) and what follows. */
struct cont {
    enum cont_kind kind;
    struct ast *a;
    uint32_t min, max;                  /* C_REP */
    struct cont *next, *kid;            /* kid: its expansion; C_REP: one more round; C_BACK: the loop */
    struct cont *sibling;               /* the next alternative of an expanded A_ALT */
    bool left, loops;                   /* somebody from here on looks back; is inside a loop */
    uint32_t end;                       /* C_END: the term */
    uint8_t *null;                      /* [ctx] can it match the empty text: 0 not known, 1 no, 2 yes */
    uint32_t *memo;                     /* [ctx * 2 + stalled] 1 + term */
};

struct build {
    struct terms *s;
    struct arena a;
    struct cps set[SETS_MOST];          /* what looking back asks about; set[0] is \w where word is */
    uint32_t n_set;
    bool word, look;
    struct { struct cps cp; uint32_t in; } atom[ATOMS_MOST];          /* in: bit set of sets */
    uint32_t n_atom, n_cont, depth;
    struct err *e;
    bool failed;
};

static uint32_t fail(struct build *x, enum err_code c, const char *what)
{
    if (!x->failed) err_set(x->e, c, "%s", what);
    x->failed = true;
    return EMPTY;
}

/* ---- trees without assertions ------------------------------------------------------------------ */

static uint32_t plain(struct build *x, struct ast *t);

static uint32_t plain_cat(struct build *x, struct ast *t)
{
    uint32_t n = 0, out = EPS;
    for (struct ast *k = t->kid; k; k = k->next) n++;
    struct ast **kid = mem_alloc(n * sizeof *kid);
    n = 0;
    for (struct ast *k = t->kid; k; k = k->next) kid[n++] = k;
    while (n-- > 0) {
        uint32_t head = plain(x, kid[n]);
        out = term_cat(x->s, head, out);
    }
    mem_free(kid);
    return out;
}

static uint32_t plain(struct build *x, struct ast *t)
{
    uint32_t out = EMPTY;
    if (t->term) return t->term - 1;
    switch (t->op) {
    case A_EPS: out = EPS; break;
    case A_SET: out = term_cps(x->s, t->set, t->n_set); break;
    case A_CAT: out = plain_cat(x, t); break;
    case A_REP: out = t->max ? term_rep(x->s, plain(x, t->kid), t->min, t->max) : EPS; break;
    case A_ALT: {
        uint32_t n = 0;
        for (struct ast *k = t->kid; k; k = k->next) n++;
        uint32_t *kid = mem_alloc(n * sizeof *kid);
        n = 0;
        for (struct ast *k = t->kid; k; k = k->next) kid[n++] = plain(x, k);
        out = term_alt(x->s, kid, n);
        mem_free(kid);
        break;
    }
    default: break;
    }
    t->term = out + 1;
    return out;
}

static struct cps meet(const struct cp_range *a, uint32_t n, const struct cps *b)
{
    struct cps out = { 0 };
    for (uint32_t i = 0, j = 0; i < n && j < b->n;) {
        uint32_t lo = MAX(a[i].lo, b->r[j].lo), hi = MIN(a[i].hi, b->r[j].hi);
        if (lo <= hi) cps_add(&out, lo, hi);
        if (a[i].hi < b->r[j].hi) i++;
        else j++;
    }
    return out;
}

/* The texts of t that are not empty and end in a code point of `last`. */
static uint32_t ending(struct build *x, struct ast *t, const struct cps *last)
{
    uint32_t out = EMPTY;
    switch (t->op) {
    case A_SET: {
        struct cps both = meet(t->set, t->n_set, last);
        out = term_cps(x->s, both.r, both.n);
        cps_done(&both);
        break;
    }
    case A_ALT:
        for (struct ast *k = t->kid; k; k = k->next) out = term_alt2(x->s, out, ending(x, k, last));
        break;
    case A_CAT: {                                       /* k1…kn: the last one that is not empty ends it */
        uint32_t before = EPS;
        for (struct ast *k = t->kid; k; k = k->next) {
            uint32_t here = ending(x, k, last);
            here = term_cat(x->s, before, here);
            out = k->nullable ? term_alt2(x->s, out, here) : here;
            before = term_cat(x->s, before, plain(x, k));
        }
        break;
    }
    case A_REP: {
        if (t->max == 0) break;
        uint32_t body = plain(x, t->kid), end = ending(x, t->kid, last);
        body = term_rep(x->s, body, t->min ? t->min - 1 : 0, t->max == INF ? INF : t->max - 1);
        out = term_cat(x->s, body, end);
        break;
    }
    default: break;
    }
    return out;
}

/* ---- what looking back asks about --------------------------------------------------------------- */

/* The set of a tree that is one code point; NULL if it is more. */
static const struct ast *one_code_point(const struct ast *t)
{
    return t->op == A_SET ? t : NULL;
}

static uint32_t add_set(struct build *x, const struct cp_range *r, uint32_t n)
{
    for (uint32_t i = 0; i < x->n_set; i++)
        if (x->set[i].n == n && !memcmp(x->set[i].r, r, n * sizeof *r)) return i;
    if (x->n_set == SETS_MOST) return fail(x, ERR_LIMIT, "more kinds of look-behind than can be told apart");
    cps_add_all(&x->set[x->n_set], r, n, false);
    return x->n_set++;
}

static void collect(struct build *x, const struct ast *t)
{
    if (t->op == A_WORD) x->word = true;
    if (t->op == A_LOOK) x->look = true;
    for (const struct ast *k = t->kid; k; k = k->next) collect(x, k);
}

static void collect_behind(struct build *x, const struct ast *t)
{
    if (t->op == A_LOOK && t->behind && one_code_point(t->kid)) add_set(x, t->kid->set, t->kid->n_set);
    for (const struct ast *k = t->kid; k; k = k->next) collect_behind(x, k);
}

static void make_atoms(struct build *x)
{
    for (uint32_t in = 0; in < 1u << x->n_set; in++) {
        struct cps cp = { 0 };
        cps_add(&cp, 0, 0x10FFFF);
        for (uint32_t i = 0; i < x->n_set; i++) {
            struct cps side = { 0 };
            cps_add_all(&side, x->set[i].r, x->set[i].n, !(in >> i & 1));
            struct cps both = meet(side.r, side.n, &cp);
            cps_done(&side);
            cps_done(&cp);
            cp = both;
        }
        if (!cp.n) continue;
        x->atom[x->n_atom].cp = cp;
        x->atom[x->n_atom++].in = in;
    }
}

/* Is the code point before this place in set i? No at the start of the text. */
static bool before_is(const struct build *x, uint32_t ctx, uint32_t i)
{
    return ctx && x->atom[ctx - 1].in >> i & 1;
}

/* ---- continuations ------------------------------------------------------------------------------ */

static struct cont *cont(struct build *x, enum cont_kind kind, struct ast *a, struct cont *next)
{
    if (++x->n_cont > CONT_MOST) fail(x, ERR_LIMIT, "the pattern repeats assertions too often");
    struct cont *c = arena_zero(&x->a, sizeof *c);
    uint32_t n_ctx = x->n_atom + 1;
    c->kind = kind;
    c->a = a;
    c->next = next;
    c->left = (a && a->left) || (next && next->left);
    c->loops = next && next->loops;
    c->null = arena_zero(&x->a, n_ctx);
    c->memo = arena_zero(&x->a, n_ctx * 2 * sizeof *c->memo);
    return c;
}

static struct cont *count(struct build *x, struct ast *a, uint32_t min, uint32_t max, struct cont *next)
{
    struct cont *c = cont(x, C_REP, a, next);
    c->min = min;
    c->max = max;
    return c;
}

static struct cont *end_with(struct build *x, uint32_t term)
{
    struct cont *c = cont(x, C_END, NULL, NULL);
    c->end = term;
    return c;
}

/* The children of a tree as continuations, made once: a sequence becomes a chain, alternatives
 * siblings, a count one more round before itself. */
static struct cont *expand(struct build *x, struct cont *c)
{
    if (c->kid || x->failed) return c->kid;
    if (c->kind == C_REP) {
        struct cont *after = c->min == 0 && c->max == INF ? cont(x, C_BACK, NULL, c->next) :
            count(x, c->a, c->min ? c->min - 1 : 0, c->max == INF ? INF : c->max - 1, c->next);
        if (after->kind == C_BACK) {
            after->kid = c;
            after->loops = true;
            after->left = c->left;
        }
        return c->kid = cont(x, C_TREE, c->a, after);
    }
    struct cont **last = &c->kid;
    if (c->a->op == A_ALT) {
        for (struct ast *k = c->a->kid; k; k = k->next, last = &(*last)->sibling) *last = cont(x, C_TREE, k, c->next);
        return c->kid;
    }
    if (c->a->op == A_REP) return c->kid = count(x, c->a->kid, c->a->min, c->a->max, c->next);
    /* A sequence: from its end, over an array of its few items. */
    uint32_t n = 0;
    for (struct ast *k = c->a->kid; k; k = k->next) n++;
    struct ast **item = arena_alloc(&x->a, n * sizeof *item + 1);
    n = 0;
    for (struct ast *k = c->a->kid; k; k = k->next) item[n++] = k;
    struct cont *chain = c->next;
    while (n-- > 0) chain = cont(x, C_TREE, item[n], chain);
    return c->kid = chain;
}

static bool can_be_empty(struct build *x, struct cont *c, uint32_t ctx);

static bool look_can_be_empty(struct build *x, struct ast *t, uint32_t ctx)
{
    if (t->behind) {
        const struct ast *one = one_code_point(t->kid);
        return one && before_is(x, ctx, add_set(x, one->set, one->n_set)) != t->neg;
    }
    return can_be_empty(x, cont(x, C_TREE, t->kid, end_with(x, ALL)), ctx) != t->neg;
}

static bool find_empty(struct build *x, struct cont *c, uint32_t ctx)
{
    if (c->kind == C_END) return true;
    if (c->kind == C_BACK) return false;
    if (c->kind == C_REP) {
        if (c->min == 0 && can_be_empty(x, c->next, ctx)) return true;
        return c->max > 0 && expand(x, c) && can_be_empty(x, c->kid, ctx);
    }
    if (!c->a->zero) return c->a->nullable && can_be_empty(x, c->next, ctx);
    switch (c->a->op) {
    case A_START: return ctx == 0 && can_be_empty(x, c->next, ctx);
    case A_WORD:  return before_is(x, ctx, 0) != c->a->neg && can_be_empty(x, c->next, ctx);
    case A_LOOK:  return look_can_be_empty(x, c->a, ctx) && can_be_empty(x, c->next, ctx);
    case A_END:   return can_be_empty(x, c->next, ctx);
    default: break;
    }
    for (struct cont *k = expand(x, c); k; k = k->sibling)
        if (can_be_empty(x, k, ctx)) return true;
    return false;
}

static bool can_be_empty(struct build *x, struct cont *c, uint32_t ctx)
{
    if (x->failed) return false;
    if (c->null[ctx]) return c->null[ctx] == 2;
    if (++x->depth > DEPTH_MOST) return fail(x, ERR_LIMIT, "the pattern is too deep") != EMPTY;
    bool yes = find_empty(x, c, ctx);
    x->depth--;
    c->null[ctx] = yes ? 2 : 1;
    return yes;
}

/* ---- T ------------------------------------------------------------------------------------------ */

static uint32_t T(struct build *x, struct cont *c, uint32_t ctx, bool stalled);

/* A tree without assertions, then the rest, which may look at its last code point. */
static uint32_t consume(struct build *x, struct cont *c, uint32_t ctx, bool stalled)
{
    struct terms *s = x->s;
    uint32_t p = plain(x, c->a), rest[ATOMS_MOST] = { 0 };
    if (!c->next->left && !stalled) return term_cat(s, p, T(x, c->next, 0, false));
    bool alike = true;
    for (uint32_t i = 0; i < x->n_atom; i++) {
        rest[i] = T(x, c->next, i + 1, false);
        if (i && rest[i] != rest[0]) alike = false;
    }
    uint32_t skip = c->a->nullable ? T(x, c->next, ctx, stalled) : EMPTY;
    if (alike && (!c->a->nullable || skip == rest[0])) return term_cat(s, p, rest[0]);
    uint32_t out = skip;
    if (alike) {
        struct cp_range every = { 0, 0x10FFFF };
        struct cps all = { 1, 1, &every };
        return term_alt2(s, out, term_cat(s, ending(x, c->a, &all), rest[0]));
    }
    for (uint32_t i = 0; i < x->n_atom; i++) {
        uint32_t head = rest[i] == EMPTY ? EMPTY : ending(x, c->a, &x->atom[i].cp);
        out = term_alt2(s, out, term_cat(s, head, rest[i]));
    }
    return out;
}

/* Nothing, or a code point outside (inside) of a set and then anything. */
static uint32_t next_is(struct build *x, const struct cp_range *r, uint32_t n, bool inside)
{
    struct cps c = { 0 };
    cps_add_all(&c, r, n, !inside);
    uint32_t t = term_cat(x->s, term_cps(x->s, c.r, c.n), ALL);
    cps_done(&c);
    return inside ? t : term_alt2(x->s, EPS, t);
}

static uint32_t assertion(struct build *x, struct cont *c, uint32_t ctx, bool stalled)
{
    struct terms *s = x->s;
    struct ast *t = c->a;
    if (t->op == A_START) return ctx == 0 ? T(x, c->next, ctx, stalled) : EMPTY;
    if (t->op == A_END) return term_at(s, T(x, c->next, ctx, stalled))->nullable ? EPS : EMPTY;
    if (t->op == A_WORD) {
        bool want = before_is(x, ctx, 0) == t->neg;     /* \b after a word: no word may follow */
        uint32_t rest = T(x, c->next, ctx, stalled);
        return term_and2(s, rest, next_is(x, x->set[0].r, x->set[0].n, want));
    }
    const struct ast *one = one_code_point(t->kid);
    if (t->behind) {
        if (!one) return fail(x, ERR_UNSUPPORTED, BEHIND);
        return before_is(x, ctx, add_set(x, one->set, one->n_set)) != t->neg ? T(x, c->next, ctx, stalled) : EMPTY;
    }
    uint32_t rest = T(x, c->next, ctx, stalled);
    if (rest == EMPTY) return rest;
    if (one) return term_and2(s, rest, next_is(x, one->set, one->n_set, !t->neg));
    if (!c->kid) c->kid = cont(x, C_TREE, t->kid, end_with(x, ALL));
    uint32_t ahead = T(x, c->kid, ctx, false);
    return term_and2(s, rest, t->neg ? term_not(s, ahead) : ahead);
}

static uint32_t repeat(struct build *x, struct cont *c, uint32_t ctx, bool stalled)
{
    struct terms *s = x->s;
    if (c->max == 0) return T(x, c->next, ctx, stalled);
    if (c->min > UNROLL_MOST || (c->max != INF && c->max > UNROLL_MOST))
        return fail(x, ERR_LIMIT, "an assertion is repeated too often");
    expand(x, c);
    if (x->failed) return EMPTY;
    if (c->min > 0) return T(x, c->kid, ctx, stalled);
    if (c->max != INF) return term_alt2(s, T(x, c->next, ctx, stalled), T(x, c->kid, ctx, stalled));
    uint32_t loop = term_ref(s, can_be_empty(x, c, ctx));
    if (s->broken) return EMPTY;
    c->memo[ctx * 2 + stalled] = loop + 1;
    uint32_t leave = T(x, c->next, ctx, stalled), round = T(x, c->kid, ctx, true);
    s->ref[term_at(s, loop)->a] = term_alt2(s, leave, round);
    return loop;
}

static uint32_t find(struct build *x, struct cont *c, uint32_t ctx, bool stalled)
{
    if (c->kind == C_END) return c->end;
    if (c->kind == C_BACK) return stalled ? EMPTY : T(x, c->kid, ctx, false);
    if (c->kind == C_REP) return repeat(x, c, ctx, stalled);
    if (!c->a->zero) return consume(x, c, ctx, stalled);
    if (c->a->op != A_CAT && c->a->op != A_ALT && c->a->op != A_REP) return assertion(x, c, ctx, stalled);
    uint32_t out = EMPTY;
    for (struct cont *k = expand(x, c); k; k = k->sibling) {
        uint32_t t = T(x, k, ctx, stalled);
        out = term_alt2(x->s, out, t);
    }
    return out;
}

/* The texts that c matches to the end, after the context. */
static uint32_t T(struct build *x, struct cont *c, uint32_t ctx, bool stalled)
{
    if (x->failed || x->s->broken) return EMPTY;
    if (!c->left) ctx = 0;
    if (!c->loops) stalled = false;
    uint32_t i = ctx * 2 + stalled;
    if (c->memo[i]) return c->memo[i] - 1;
    if (++x->depth > DEPTH_MOST) return fail(x, ERR_LIMIT, "the pattern is too deep");
    uint32_t out = find(x, c, ctx, stalled);
    x->depth--;
    c->memo[i] = out + 1;
    return out;
}

/* ---- the search ---------------------------------------------------------------------------------- */

/* Is t a look-behind that no atom can answer? */
static bool far_behind(const struct ast *t)
{
    return t && t->op == A_LOOK && t->behind && !one_code_point(t->kid);
}

/* The texts that end in what `in` matches: plain texts, ^ and then those, alternatives of such. */
static uint32_t behind(struct build *x, struct ast *in)
{
    uint32_t out = EMPTY;
    if (!in->zero) return term_cat(x->s, x->s->valid, plain(x, in));
    if (in->op == A_START) return EPS;
    if (in->op == A_CAT && in->kid->op == A_START && !in->kid->next->zero && !in->kid->next->next) return plain(x, in->kid->next);
    if (in->op != A_ALT) return fail(x, ERR_UNSUPPORTED, "a look-behind holds an assertion");
    for (struct ast *k = in->kid; k; k = k->next) {
        uint32_t one = behind(x, k);
        out = term_alt2(x->s, out, one);
    }
    return out;
}

static uint32_t holds_behind(struct build *x, struct ast *t)
{
    uint32_t before = behind(x, t->kid);
    return t->neg ? term_not(x->s, before) : before;
}

/* A match may begin where `when` holds of all that is before. */
static uint32_t search_when(struct build *x, struct ast *root, uint32_t when)
{
    struct terms *s = x->s;
    struct cont *c = cont(x, C_TREE, root, end_with(x, ALL));
    uint32_t before = x->look ? s->valid : ALL, start = T(x, c, 0, false);
    if (!root->left) return term_cat(s, before, start);
    if (!x->look && !x->word) return term_alt2(s, start, term_cat(s, ALL, T(x, c, 1, false)));
    uint32_t out = term_at(s, when)->nullable ? start : EMPTY;
    for (uint32_t i = 0; i < x->n_atom; i++) {
        uint32_t rest = T(x, c, i + 1, false), last = term_cps(s, x->atom[i].cp.r, x->atom[i].cp.n);
        uint32_t head = term_and2(s, term_cat(s, s->valid, last), when);
        out = term_alt2(s, out, term_cat(s, head, rest));
    }
    return out;
}

static uint32_t search(struct build *x, struct ast *root)
{
    uint32_t out = EMPTY, when = ALL;
    bool far = false;
    if (root->op == A_ALT)
        for (struct ast *k = root->kid; k; k = k->next) far |= far_behind(k) || (k->op == A_CAT && far_behind(k->kid));
    if (far) {
        for (struct ast *k = root->kid; k; k = k->next) {
            uint32_t one = search(x, k);
            out = term_alt2(x->s, out, one);
        }
        return out;
    }
    if (root->op == A_CAT)
        for (; far_behind(root->kid); root->kid = root->kid->next) when = term_and2(x->s, when, holds_behind(x, root->kid));
    if (!far_behind(root)) return search_when(x, root, when);
    struct ast nothing = { .op = A_EPS, .left = true, .nullable = true };
    return search_when(x, &nothing, holds_behind(x, root));
}

bool re_build(struct terms *s, const char *p, size_t len, bool whole, uint32_t *out, struct err *e)
{
    struct build x = { .s = s, .e = e };
    arena_init(&x.a, 4096);
    struct ast *root = re_parse(&x.a, p, len, e);
    x.failed = !root;
    if (root) {
        if (root->zero) collect(&x, root);
        if (x.word) {
            struct cps w = { 0 };
            cps_add_escape(&w, 'w');
            add_set(&x, w.r, w.n);
            cps_done(&w);
        }
        if (x.look) collect_behind(&x, root);
        make_atoms(&x);
        *out = whole ? T(&x, cont(&x, C_TREE, root, end_with(&x, EPS)), 0, false) : search(&x, root);
        if (s->broken && !x.failed) fail(&x, ERR_LIMIT, "the pattern is too large");
    }
    for (uint32_t i = 0; i < x.n_set; i++) cps_done(&x.set[i]);
    for (uint32_t i = 0; i < x.n_atom; i++) cps_done(&x.atom[i].cp);
    arena_done(&x.a);
    return !x.failed;
}
