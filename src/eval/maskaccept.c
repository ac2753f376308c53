/* maskaccept.c -- what is valid must be accepted, however it is spelled and however it is cut.
 *
 * Every instance is written in four spellings, and each text is cut into tokens as the tokenizer
 * does, at random, and byte by byte. All of these must be accepted for a valid instance, the end
 * included; for an invalid one the tokenizer's tokens must not be. At a few random steps the token
 * must also be in the mask. Indented texts deeper than the grammar's bound on blanks are left out
 * and counted. */
#include "eval/int.h"

enum {
    MOST_INDENTED = 9, /* 2 blanks a level and a new line: at most 20 */
    RANDOM_CUTS = 2,
    MASK_ONE_IN = 32
};

struct acceptor {
    const struct mask_opts *o;
    uint32_t *bits;
    uint32_t *slot, n_slot; /* hash table: id + 1 of the token with these bytes */
    size_t longest;
    bool has_bytes;
    struct str text;
    struct ids ids;
    struct rng rng;
    int64_t schemas, refused, instances, texts, cuts, tokens, deep, reject, accept;
    struct faults faults;
    bool told; /* a failure of this instance has its sentence */
};

/* ---- tokens by their bytes ------------------------------------------------------------------ */

static uint32_t *slot_of(const struct acceptor *a, const char *p, size_t n)
{
    uint32_t at = (uint32_t)hash64(p, n, 0) & (a->n_slot - 1);
    for (; a->slot[at]; at = (at + 1) & (a->n_slot - 1)) {
        struct bytes b = tok_bytes(a->o->tok, (int32_t)a->slot[at] - 1);
        if (b.len == n && !memcmp(b.p, p, n)) break;
    }
    return &a->slot[at];
}

/* Can the token stand in text? Control and user-defined ones cannot. */
static bool is_text(const struct tokenizer *tok, int32_t t)
{
    char name[256];
    struct bytes b = tok_text(tok, t);
    if (!tok_bytes(tok, t).len || tok_is_control(tok, t) || tok_is_eog(tok, t)) return false;
    if (b.len >= sizeof name) return true;
    memcpy(name, b.p, b.len);
    name[b.len] = 0;
    return tok_special(tok, name) != t;
}

static void index_tokens(struct acceptor *a)
{
    int n = tok_n_vocab(a->o->tok);
    for (a->n_slot = 1024; a->n_slot < 2u * (uint32_t)n; a->n_slot *= 2) {
    }
    a->slot = mem_zero(a->n_slot * sizeof *a->slot);
    for (int32_t t = 0; t < n; t++) {
        struct bytes b = tok_bytes(a->o->tok, t);
        if (!is_text(a->o->tok, t)) continue;
        uint32_t *s = slot_of(a, b.p, b.len);
        if (!*s) *s = (uint32_t)t + 1;
        a->longest = MAX(a->longest, b.len);
    }
    a->has_bytes = true;
    for (int b = 1; b < 256; b++)
        a->has_bytes &= *slot_of(a, (char[]){ (char)b }, 1) || b == 0xc0 || b == 0xc1 || b > 0xf4;
}

/* Cuts a->text anew: random lengths up to `most` bytes; 1: byte by byte. False: no token fits
 * somewhere. */
static bool cut_anew(struct acceptor *a, size_t most)
{
    a->ids.n = 0;
    for (size_t i = 0; i < a->text.len;) {
        size_t n = MIN(MIN(most, a->longest), a->text.len - i);
        uint32_t found = 0;
        for (n = 1 + rng_below(&a->rng, (uint32_t)n); n && !(found = *slot_of(a, a->text.p + i, n));
             n--) {
        }
        if (!found) return false;
        ids_put(&a->ids, (int32_t)found - 1);
        i += n;
    }
    return true;
}

/* ---- one text ------------------------------------------------------------------------------- */

/* Tokens taken of a->ids; also told when a token is accepted that the mask lacks. */
static size_t feed(struct acceptor *a, const struct mask_case *c, struct matcher *m)
{
    size_t i = 0;
    for (; i < a->ids.n; i++) {
        int32_t t = a->ids.id[i];
        bool look = !rng_below(&a->rng, MASK_ONE_IN), in_mask = true;
        if (look) {
            matcher_mask(m, a->bits);
            in_mask = mask_has(a->bits, t);
        }
        if (!matcher_commit(m, t)) break;
        if (!in_mask)
            faults_add(&a->faults, c, "token %zu is accepted but not in the mask: %.400s", i,
                       a->text.p);
    }
    a->tokens += (int64_t)i;
    return i;
}

static void one_cut(struct acceptor *a, const struct mask_case *c, struct matcher *m, bool valid,
                    enum mask_text how, const char *cut)
{
    size_t n = feed(a, c, m);
    bool end = n == a->ids.n && matcher_accepting(m);
    a->cuts++;
    if (valid != end) {
        a->reject += valid;
        a->accept += !valid;
        a->faults.n += a->told;
        if (!a->told)
            faults_add(&a->faults, c, "%s, %s: %s instance %s: %.1000s", mask_text_name[how], cut,
                       valid ? "valid" : "invalid",
                       end             ? "accepted"
                       : n == a->ids.n ? "refused at its end"
                                       : matcher_why(m),
                       a->text.p);
        a->told = true;
    }
    matcher_rollback(m, (int)n);
}

static void one_text(struct acceptor *a, const struct mask_case *c, struct matcher *m, bool valid,
                     enum mask_text how)
{
    a->texts++;
    if (mask_tokens(a->o, &a->text, &a->ids)) one_cut(a, c, m, valid, how, "as tokenized");
    for (int k = 0; valid && k < RANDOM_CUTS; k++)
        if (cut_anew(a, 12)) one_cut(a, c, m, valid, how, "cut at random");
    if (valid && a->has_bytes && cut_anew(a, 1)) one_cut(a, c, m, valid, how, "byte by byte");
}

static void one_instance(struct acceptor *a, const struct mask_case *c, struct matcher *m,
                         const struct json *test)
{
    const struct json *data = json_get(test, "data");
    bool deep = mask_depth(data) > MOST_INDENTED;
    a->instances++;
    a->told = false;
    a->deep += deep;
    for (enum mask_text how = 0; how < N_MASK_TEXT; how++) {
        if (how == TEXT_INDENTED && deep) continue;
        mask_write(&a->text, data, how, &a->rng);
        one_text(a, c, m, json_bool(json_get(test, "valid")), how);
    }
}

static void one_case(void *ctx, const struct mask_case *c)
{
    struct acceptor *a = ctx;
    a->rng = rng_make(a->o->seed + 2, (uint64_t)c->nth, 0);
    struct grammar_opts go = a->o->grammar;
    go.spelling = SPELL_FLEXIBLE;
    go.declared_order = false;
    struct grammar *g = c->schema ? grammar_of_schema(c->schema, &go, NULL) : NULL;
    struct matcher *m = g ? matcher_new(g, a->o->vocab, NULL) : NULL;
    a->schemas++;
    a->refused += !m;
    for (size_t i = 0; m && i < json_len(c->tests); i++)
        one_instance(a, c, m, json_at(c->tests, i));
    matcher_free(m);
    grammar_free(g);
}

static struct json *report(struct acceptor *a)
{
    const struct {
        const char *name;
        int64_t n;
    } row[] = {
        { "schemas", a->schemas },         { "refused", a->refused },
        { "instances", a->instances },     { "texts", a->texts },
        { "tokenisations", a->cuts },      { "tokens", a->tokens },
        { "too deep to indent", a->deep }, { "wrongly refused", a->reject },
        { "wrongly accepted", a->accept }, { "failures", a->faults.n },
    };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(row); i++) json_set(o, row[i].name, json_new_int(row[i].n));
    json_set(o, "sentences", faults_take(&a->faults));
    return o;
}

struct json *mask_acceptance(const struct mask_opts *o, int64_t *failures, struct err *e)
{
    struct acceptor a = { .o = o, .faults.all = o->list };
    a.bits = mem_zero(MASK_WORDS(tok_n_vocab(o->tok)) * sizeof *a.bits);
    index_tokens(&a);
    struct json *out = mask_cases(o, one_case, &a, e) ? report(&a) : NULL;
    *failures = a.faults.n;
    json_free(faults_take(&a.faults));
    mem_free(a.bits);
    mem_free(a.slot);
    mem_free(a.ids.id);
    str_done(&a.text);
    return out;
}
