/* maskwalk.c -- are the masks right? Random walks, and masks against every token tried alone.
 *
 * A walk takes random tokens from the mask under a random budget, often the tightest possible. No
 * mask may be empty, the budget must hold, and what was written must be JSON, satisfy
 * schema_check() and be accepted byte by byte. The speaker is rude in several ways: uniformly
 * random, or fond of tokens that close strings and containers, or of the end.
 *
 * Exactness: at sampled states of instances and of walks the mask must be, bit for bit, the tokens
 * that matcher_check() allows; and again in a fork, after rolling back a token and committing it
 * again, under a budget that nobody can exceed, and at times with an empty cache. A mask is made at
 * every step on the way, so that masks remembered from other states and schemas are met where they
 * are wrong. */
#include <limits.h>

#include "eval/int.h"

enum {
    FAR_END = 4000,
    NEVER = INT_MAX / 4,
    CLEAR_ONE_IN = 8
}; /* seldom, so that remembered masks are met too */

struct checker {
    const struct mask_opts *o;
    size_t n_word;
    uint32_t *bits, *other;
    struct ids closing, ids;
    struct str text;
    int64_t walks, tokens, cut, tight, skipped, unjudged;
    int64_t states, differ;
    struct faults walk, exact;
};

/* ---- choosing a token ----------------------------------------------------------------------- */

/* A set bit: the first at or after a random word that has any, a random one of that word; -1 for
 * none. */
static int32_t pick_any(const struct checker *k, struct rng *r)
{
    size_t at = rng_below(r, (uint32_t)k->n_word);
    for (size_t i = 0; i < k->n_word; i++, at = at + 1 < k->n_word ? at + 1 : 0) {
        uint32_t w = k->bits[at];
        if (!w) continue;
        for (uint32_t skip = rng_below(r, (uint32_t)__builtin_popcount(w)); skip; skip--)
            w &= w - 1;
        return (int32_t)(at * 32) + __builtin_ctz(w);
    }
    return -1;
}

static int32_t pick_closing(const struct checker *k, struct rng *r)
{
    size_t n = k->closing.n, at = n ? rng_below(r, (uint32_t)n) : 0;
    for (size_t i = 0; i < n; i++, at = at + 1 < n ? at + 1 : 0)
        if (mask_has(k->bits, k->closing.id[at])) return k->closing.id[at];
    return pick_any(k, r);
}

static bool is_end(const struct checker *k, int32_t t)
{
    return tok_is_eog(k->o->tok, t) || !tok_bytes(k->o->tok, t).len;
}

static void find_closing(struct checker *k)
{
    for (int32_t t = 0; t < tok_n_vocab(k->o->tok); t++) {
        struct bytes b = tok_bytes(k->o->tok, t);
        if (tok_is_eog(k->o->tok, t) || (b.len && b.len <= 3 && strchr("\"}],", *b.p)))
            ids_put(&k->closing, t);
    }
}

/* ---- one walk ------------------------------------------------------------------------------- */

static struct grammar_opts spelling_of(const struct checker *k, struct rng *r)
{
    struct grammar_opts g = k->o->grammar;
    if (!k->o->any_spelling) return g;
    g.spelling = (enum spelling)rng_below(r, 4);
    g.declared_order = rng_below(r, 2);
    return g;
}

static void judge_text(struct checker *k, const struct mask_case *c, const struct grammar *g,
                       const struct grammar_opts *go)
{
    struct err e = { 0 };
    struct json *v = json_parse(k->text.p, k->text.len, &e);
    if (!v) faults_add(&k->walk, c, "not JSON: %s: %s", e.msg, k->text.p);
    else if (!schema_check(c->schema, v, go, &e)) {
        if (e.code == ERR_UNSUPPORTED) k->unjudged++;
        else faults_add(&k->walk, c, "not valid: %s: %s", e.msg, k->text.p);
    }
    json_free(v);
    struct matcher *m = matcher_new(g, NULL, &e);
    if (m && !(matcher_commit_bytes(m, k->text.p, k->text.len) && matcher_accepting(m)))
        faults_add(&k->walk, c, "its bytes are refused (%s): %s", matcher_why(m), k->text.p);
    matcher_free(m);
}

static int budget_of(struct checker *k, int shortest, struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0: k->tight++; return shortest;
    case 1: return shortest + (int)rng_below(r, 400);
    default: return shortest + (int)rng_below(r, 64);
    }
}

static uint32_t fondness(struct rng *r)
{
    static const uint32_t percent[] = { 0, 10, 50, 90 };
    return percent[rng_below(r, LEN(percent))];
}

/* Speaks until the end; what was written is in k->text. False: a promise was broken, and told. */
static bool speak(struct checker *k, const struct mask_case *c, struct matcher *m, int budget,
                  struct rng *r)
{
    uint32_t fond = fondness(r);
    for (int left = budget;; left--) {
        bool cut, may = matcher_mask_budget(m, k->bits, left, &cut);
        int32_t t = rng_below(r, 100) < fond ? pick_closing(k, r) : pick_any(k, r);
        if (!may || t < 0) {
            faults_add(&k->walk, c, "%s with %d of %d tokens left after: %s",
                       may ? "the mask is empty" : "no way to the end", left, budget,
                       k->text.p ? k->text.p : "");
            return false;
        }
        k->tokens++;
        k->cut += cut;
        if (!matcher_commit(m, t)) {
            faults_add(&k->walk, c, "token %d of the mask is refused (%s) after: %s", (int)t,
                       matcher_why(m), k->text.p ? k->text.p : "");
            return false;
        }
        if (is_end(k, t)) return true;
        struct bytes b = tok_bytes(k->o->tok, t);
        str_put(&k->text, b.p, b.len);
    }
}

static void one_walk(struct checker *k, const struct mask_case *c, struct rng *r)
{
    struct err e = { 0 };
    struct grammar_opts go = spelling_of(k, r);
    struct grammar *g = grammar_of_schema(c->schema, &go, &e);
    struct matcher *m = g ? matcher_new(g, k->o->vocab, &e) : NULL;
    int shortest = m ? matcher_shortest(m) : 0;
    str_clear(&k->text);
    if (!m || shortest > FAR_END) k->skipped++;
    else {
        k->walks++;
        if (speak(k, c, m, budget_of(k, shortest, r), r)) judge_text(k, c, g, &go);
    }
    matcher_free(m);
    grammar_free(g);
}

/* ---- exactness ------------------------------------------------------------------------------ */

static void compare(struct checker *k, const struct mask_case *c, const char *how)
{
    for (int32_t t = 0; t < tok_n_vocab(k->o->tok); t++) {
        if (mask_has(k->bits, t) == mask_has(k->other, t)) continue;
        struct bytes b = tok_text(k->o->tok, t);
        k->differ++;
        faults_add(&k->exact, c, "%s: token %d `%.*s` is %s the mask, after: %s", how, (int)t,
                   (int)b.len, b.p, mask_has(k->bits, t) ? "in" : "not in",
                   k->text.p ? k->text.p : "");
        return;
    }
}

static void brute_force(struct checker *k, struct matcher *m)
{
    memset(k->other, 0, k->n_word * sizeof *k->other);
    for (int32_t t = 0; t < tok_n_vocab(k->o->tok); t++)
        if (matcher_check(m, t)) k->other[t / 32] |= 1u << (t % 32);
}

/* last: the token that led here, -1 at the start. */
static void check_state(struct checker *k, const struct mask_case *c, struct matcher *m,
                        int32_t last)
{
    bool cut;
    k->states++;
    matcher_mask(m, k->bits);
    brute_force(k, m);
    compare(k, c, "each token tried");
    if (k->states % CLEAR_ONE_IN == 0) {
        vocab_cache_clear(k->o->vocab);
        matcher_mask(m, k->other);
        compare(k, c, "cache cleared");
    }
    struct matcher *f = matcher_fork(m);
    matcher_mask(f, k->other);
    compare(k, c, "fork");
    matcher_free(f);
    if (last >= 0) {
        matcher_rollback(m, 1);
        matcher_mask(m, k->other);
        if (!matcher_commit(m, last))
            faults_add(&k->exact, c, "recommitting is refused: %s", matcher_why(m));
        matcher_mask(m, k->other);
        compare(k, c, "rolled back and committed again");
    }
    if (!matcher_mask_budget(m, k->other, NEVER, &cut))
        faults_add(&k->exact, c, "no endless budget is enough");
    compare(k, c, "endless budget");
}

/* Puts a matcher n tokens deep into r's choice of an instance; returns the last token. */
static int32_t along_instance(struct checker *k, const struct mask_case *c, struct matcher *m,
                              struct rng *r)
{
    const struct json *test = json_at(c->tests, rng_below(r, (uint32_t)json_len(c->tests)));
    int32_t last = -1;
    struct str text = { 0 };
    mask_write(&text, json_get(test, "data"), (enum mask_text)rng_below(r, N_MASK_TEXT), r);
    if (mask_tokens(k->o, &text, &k->ids)) {
        size_t n = k->ids.n ? rng_below(r, (uint32_t)k->ids.n + 1) : 0;
        for (size_t i = 0; i < n; i++) {
            matcher_mask(m, k->other); /* so that there is something to remember */
            if (!matcher_commit(m, k->ids.id[i])) break;
            last = k->ids.id[i];
            struct bytes b = tok_bytes(k->o->tok, last);
            str_put(&k->text, b.p, b.len);
        }
    }
    str_done(&text);
    return last;
}

static int32_t along_walk(struct checker *k, struct matcher *m, struct rng *r)
{
    int32_t last = -1;
    uint32_t fond = fondness(r);
    for (int n = (int)rng_below(r, 60); n > 0; n--) {
        matcher_mask(m, k->bits);
        int32_t t = rng_below(r, 100) < fond ? pick_closing(k, r) : pick_any(k, r);
        if (t < 0 || is_end(k, t) || !matcher_commit(m, t)) break;
        struct bytes b = tok_bytes(k->o->tok, last = t);
        str_put(&k->text, b.p, b.len);
    }
    return last;
}

static void one_state(struct checker *k, const struct mask_case *c, struct rng *r)
{
    struct err e = { 0 };
    struct grammar_opts go = spelling_of(k, r);
    struct grammar *g = grammar_of_schema(c->schema, &go, &e);
    struct matcher *m = g ? matcher_new(g, k->o->vocab, &e) : NULL;
    str_clear(&k->text);
    if (m) {
        bool walk = !json_len(c->tests) || rng_below(r, 2);
        check_state(k, c, m, walk ? along_walk(k, m, r) : along_instance(k, c, m, r));
    }
    matcher_free(m);
    grammar_free(g);
}

/* ---- all cases ------------------------------------------------------------------------------ */

/* How many of n things fall to case c when they are spread evenly. */
static int64_t part_of(const struct mask_case *c, int64_t n)
{
    return (c->nth + 1) * n / c->n - c->nth * n / c->n;
}

static void one_case(void *ctx, const struct mask_case *c)
{
    struct checker *k = ctx;
    if (!c->schema) return;
    for (int64_t i = part_of(c, k->o->walk); i > 0; i--) {
        struct rng r = rng_make(k->o->seed, (uint64_t)c->nth, (uint64_t)i);
        one_walk(k, c, &r);
    }
    for (int64_t i = part_of(c, k->o->exact); i > 0; i--) {
        struct rng r = rng_make(k->o->seed + 1, (uint64_t)c->nth, (uint64_t)i);
        one_state(k, c, &r);
    }
}

static struct json *numbers(struct faults *f, const char *const *name, const int64_t *n)
{
    struct json *o = json_new_object();
    for (; *name; name++) json_set(o, *name, json_new_int(*n++));
    json_set(o, "failures", json_new_int(f->n));
    json_set(o, "sentences", faults_take(f));
    return o;
}

static struct json *report(struct checker *k, int64_t *failures)
{
    static const char *const walk[] = { "walks",
                                        "tokens",
                                        "masks cut by the budget",
                                        "walks with no token to spare",
                                        "skipped",
                                        "not judged",
                                        NULL };
    static const char *const exact[] = { "states", "masks that differ", NULL };
    struct json *checks = json_new_object();
    *failures = k->walk.n + k->exact.n;
    if (k->o->walk)
        json_set(
            checks, "walks",
            numbers(&k->walk, walk,
                    (int64_t[]){ k->walks, k->tokens, k->cut, k->tight, k->skipped, k->unjudged }));
    if (k->o->exact)
        json_set(checks, "exactness",
                 numbers(&k->exact, exact, (int64_t[]){ k->states, k->differ }));
    return checks;
}

struct json *mask_walk(const struct mask_opts *o, struct err *e)
{
    struct checker k = {
        .o = o, .n_word = MASK_WORDS(tok_n_vocab(o->tok)), .walk.all = o->list, .exact.all = o->list
    };
    k.bits = mem_zero(k.n_word * sizeof *k.bits);
    k.other = mem_zero(k.n_word * sizeof *k.other);
    find_closing(&k);
    int64_t failures = 0, more = 0;
    bool ok = (!o->walk && !o->exact) || mask_cases(o, one_case, &k, e);
    struct json *checks = ok ? report(&k, &failures) : NULL, *out = NULL;
    struct json *accept = ok && o->accept ? mask_acceptance(o, &more, e) : NULL;
    if (ok && (accept || !o->accept)) {
        out = json_new_object();
        json_set(out, "kind", json_new_str("checks"));
        json_set(out, "failures", json_new_int(failures + more));
        if (accept) json_set(checks, "acceptance", accept);
        json_set(out, "checks", checks);
    } else json_free(checks);
    json_free(faults_take(&k.walk));
    json_free(faults_take(&k.exact));
    mem_free(k.bits);
    mem_free(k.other);
    mem_free(k.closing.id);
    mem_free(k.ids.id);
    str_done(&k.text);
    return out;
}
