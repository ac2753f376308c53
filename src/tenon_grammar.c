/* tenon_grammar.c -- the grammar part of the public C API: vocabularies, grammars and matchers for
 * engines of other people. Words and JSON go in, bits come out; the rooms below do all the work. */
#include "tenon.h"

#include "gen/gen.h"

struct tn_vocab { struct vocab *v; int n_vocab; };
struct tn_grammar { struct grammar *g; };
struct tn_matcher { struct matcher *m; };

static void clear(struct tn_error *err)
{
    if (err) *err = (struct tn_error){ "", "" };
}

static void *report(struct tn_error *out, const struct err *e)
{
    if (out) {
        snprintf(out->kind, sizeof out->kind, "%s", err_name(e->code));
        snprintf(out->message, sizeof out->message, "%s", e->msg);
    }
    return NULL;
}

/* ---- vocabularies ---------------------------------------------------------------------------- */

struct tn_vocab *tn_vocab_open(const struct tn_vocab_spec *s, struct tn_error *err)
{
    struct err e = { 0 };
    clear(err);
    if (s->n_vocab < 1 || s->n_vocab > 1 << 24 || !s->bytes || !s->len) {
        err_set(&e, ERR_ARG, "a vocabulary needs 1 to 2^24 tokens, with bytes and lengths");
        return report(err, &e);
    }
    size_t n = (size_t)s->n_vocab;
    struct bytes *token = mem_zero(n * sizeof *token), *special = mem_zero(n * sizeof *special);
    for (size_t t = 0; t < n; t++) {
        if (s->bytes[t]) token[t] = (struct bytes){ s->bytes[t], s->len[t] };
        if (s->special && s->special[t])
            special[t] = (struct bytes){ s->special[t], strlen(s->special[t]) };
    }
    struct vocab_spec own = { .n_vocab = s->n_vocab,
                              .token = token,
                              .special = special,
                              .eog = s->end,
                              .n_eog = s->n_end,
                              .encode = s->encode,
                              .encode_ctx = s->encode_ctx };
    struct vocab *v = vocab_open(&own, &e);
    mem_free(token);
    mem_free(special);
    if (!v) return report(err, &e);
    struct tn_vocab *out = mem_zero(sizeof *out);
    *out = (struct tn_vocab){ v, s->n_vocab };
    return out;
}

void tn_vocab_close(struct tn_vocab *vocab)
{
    if (!vocab) return;
    vocab_close(vocab->v);
    mem_free(vocab);
}

/* ---- grammars -------------------------------------------------------------------------------- */

static bool read_options(const struct tn_grammar_options *in, struct grammar_opts *o, struct err *e)
{
    static const char *const spelling[] = { "lock", "fixed", "compact",
                                            "flexible" }; /* enum spelling */
    *o = (struct grammar_opts){ 0 };
    if (!in) return true;
    o->declared_order = in->declared_order;
    o->relax = in->relax;
    o->draft = in->draft;
    for (size_t i = 0; in->spelling; i++) {
        if (i == LEN(spelling))
            return err_set(e, ERR_ARG,
                           "spelling '%.40s': lock, fixed, compact and flexible are accepted",
                           in->spelling);
        if (strcmp(in->spelling, spelling[i])) continue;
        o->spelling = (enum spelling)i;
        break;
    }
    return true;
}

static struct tn_grammar *hand_out(struct grammar *g, struct tn_error *err, const struct err *e)
{
    if (!g) return report(err, e);
    struct tn_grammar *out = mem_zero(sizeof *out);
    out->g = g;
    return out;
}

static struct json *closed(struct json *schema)
{
    struct json *out = schema_closed(schema);
    json_free(schema);
    return out;
}

struct tn_grammar *tn_grammar_from_schema(const char *schema,
                                          const struct tn_grammar_options *options,
                                          struct tn_error *err)
{
    struct err e = { 0 };
    struct grammar_opts o;
    struct grammar *g = NULL;
    clear(err);
    struct json *s = json_parse(schema, strlen(schema), &e);
    if (s && options && options->closed) s = closed(s);
    if (s && read_options(options, &o, &e)) g = grammar_of_schema(s, &o, &e);
    json_free(s);
    return hand_out(g, err, &e);
}

struct tn_grammar *tn_grammar_from_regex(const char *pattern, struct tn_error *err)
{
    struct err e = { 0 };
    clear(err);
    return hand_out(grammar_of_regex(pattern, NULL, &e), err, &e);
}

struct tn_grammar *tn_grammar_from_gbnf(const char *text, struct tn_error *err)
{
    struct err e = { 0 };
    clear(err);
    return hand_out(grammar_of_gbnf(text, NULL, &e), err, &e);
}

/* Tools of a request and which of them the choice allows. */
struct tools {
    struct json *list;
    struct json **schema;
    struct grammar_pair *pair;
    int n;
    enum tool_choice choice;
};

static void tools_done(struct tools *t)
{
    for (int i = 0; i < t->n; i++) json_free(t->schema[i]);
    mem_free(t->schema);
    mem_free(t->pair);
    json_free(t->list);
}

static bool read_tools(struct tools *t, const char *text, const char *choice, bool close,
                       struct err *e)
{
    static const char *const words[] = { "auto", "none", "required" };
    static const enum tool_choice choices[] = { CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED };
    struct json *v = json_parse(text, strlen(text), e);
    t->list = v ? tools_normalise(v, e) : NULL;
    json_free(v);
    if (!t->list) return false;
    t->choice = choice ? CHOICE_NAMED : CHOICE_AUTO;
    for (size_t i = 0; choice && i < LEN(words); i++)
        if (!strcmp(choice, words[i])) t->choice = choices[i];
    t->schema = mem_zero((json_len(t->list) + 1) * sizeof *t->schema);
    t->pair = mem_zero((json_len(t->list) + 1) * sizeof *t->pair);
    for (size_t i = 0; i < json_len(t->list); i++) {
        const char *name = tool_name(json_at(t->list, i));
        if (!name || t->choice == CHOICE_NONE || (t->choice == CHOICE_NAMED && strcmp(name, choice)))
            continue;
        t->schema[t->n] = tool_schema(json_at(t->list, i));
        if (close) t->schema[t->n] = closed(t->schema[t->n]);
        t->pair[t->n] = (struct grammar_pair){ name, t->schema[t->n] };
        t->n++;
    }
    if (t->choice == CHOICE_NAMED && !t->n)
        return err_set(e, ERR_ARG, "tool_choice: no tool is called '%.60s'", choice);
    if (t->choice == CHOICE_REQUIRED && !t->n)
        return err_set(e, ERR_ARG, "tool_choice: a call is required, but there are no tools");
    return true;
}

struct tn_grammar *tn_grammar_from_tools(const char *tools, const char *choice, bool parallel,
                                         const char *envelope,
                                         const struct tn_grammar_options *options,
                                         struct tn_error *err)
{
    struct err e = { 0 };
    struct grammar_opts o;
    struct tools t = { 0 };
    struct str own = { 0 };
    struct grammar *g = NULL;
    clear(err);
    if (read_options(options, &o, &e) &&
        read_tools(&t, tools, choice, options && options->closed, &e)) {
        struct turn turn = { .tools = t.list, .choice = t.choice, .parallel = parallel, .n_pair = t.n };
        if (!envelope) dialect_find("json")->grammar(&turn, &own);
        g = grammar_compile(envelope ? envelope : own.p, t.pair, t.n, NULL, 0, &o, &e);
    }
    str_done(&own);
    tools_done(&t);
    return hand_out(g, err, &e);
}

void tn_grammar_free(struct tn_grammar *grammar)
{
    if (!grammar) return;
    grammar_free(grammar->g);
    mem_free(grammar);
}

const char *tn_grammar_relaxed(const struct tn_grammar *grammar, size_t i)
{
    return grammar_relaxed(grammar->g, i);
}

/* ---- matchers -------------------------------------------------------------------------------- */

struct tn_matcher *tn_matcher_new(const struct tn_grammar *grammar, const struct tn_vocab *vocab,
                                  struct tn_error *err)
{
    struct err e = { 0 };
    clear(err);
    struct matcher *m = matcher_new(grammar->g, vocab ? vocab->v : NULL, &e);
    if (!m) return report(err, &e);
    struct tn_matcher *out = mem_zero(sizeof *out);
    out->m = m;
    return out;
}

void tn_matcher_free(struct tn_matcher *matcher)
{
    if (!matcher) return;
    matcher_free(matcher->m);
    mem_free(matcher);
}

struct tn_matcher *tn_matcher_fork(const struct tn_matcher *matcher)
{
    struct tn_matcher *out = mem_zero(sizeof *out);
    out->m = matcher_fork(matcher->m);
    return out;
}

void tn_matcher_mask(struct tn_matcher *m, uint32_t *bits) { matcher_mask(m->m, bits); }

bool tn_matcher_mask_budget(struct tn_matcher *m, uint32_t *bits, int left, bool *cut)
{
    bool own;
    return matcher_mask_budget(m->m, bits, left, cut ? cut : &own);
}

bool tn_matcher_check(struct tn_matcher *m, int32_t token) { return matcher_check(m->m, token); }

bool tn_matcher_commit(struct tn_matcher *m, int32_t token) { return matcher_commit(m->m, token); }

bool tn_matcher_commit_bytes(struct tn_matcher *m, const char *bytes, size_t len)
{
    return matcher_commit_bytes(m->m, bytes, len);
}

int tn_matcher_forced(struct tn_matcher *m, int32_t *token, int cap)
{
    return matcher_forced(m->m, token, cap, NULL);
}

void tn_matcher_rollback(struct tn_matcher *m, int n) { matcher_rollback(m->m, n); }

bool tn_matcher_accepting(const struct tn_matcher *m) { return matcher_accepting(m->m); }

bool tn_matcher_finished(const struct tn_matcher *m) { return matcher_finished(m->m); }

int tn_matcher_shortest(struct tn_matcher *m) { return matcher_shortest(m->m); }

const char *tn_matcher_why(const struct tn_matcher *m) { return matcher_why(m->m); }
