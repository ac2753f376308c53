/* grammar.h -- the door of grammar/: JSON Schemas and envelope text become an automaton over bytes;
 * the automaton becomes token masks, forced runs and a promise about the token budget.
 *
 * The room knows no tools and no models. A vocabulary is an array of byte strings with special
 * tokens by name. A compiled grammar is read-only and shared; a matcher is small and belongs to one
 * sequence. Invariants: every finished output is in the language; every allowed token can be
 * completed to a finished output; the state depends on the bytes only, never on how they were cut.
 *
 * Envelope text (docs/grammar.md has the whole of it):
 *     "bytes"            literal, with \n \t \r \\ \" \xHH            [a-z0-9_] [^"\n]   byte classes
 *     @"<|special|>"     the special token, never its text            seq | alt, ? * + {m,n}, ( )
 *     /[a-z]+/           a text that matches the pattern as a whole
 *     text               free text; text("<f=", !"bad", …) free text without these; text{0,200} limits its
 *                        characters
 *     gbnf("root ::= …") a whole grammar in another language; envelope("…") in this one
 *     each { … name … value … }   one alternative per (name, schema) pair handed over
 *     schema(3, json)    schema slot by number, surface json | python-arguments | python | raw;
 *                        inside each: name, value(json), value(python-arguments), …
 * Several rules may be given: `root = …; call = …;` and refer to each other (no left recursion). */
#ifndef TENON_GRAMMAR_H
#define TENON_GRAMMAR_H

#include "base/base.h"
#include "base/json.h"

/* ---- vocabulary: once per tokenizer ---------------------------------------------------------- */

struct vocab_spec {
    int n_vocab;
    const struct bytes *token;                                        /* [n_vocab] decoded bytes; p NULL: not usable as text */
    const struct bytes *special;                                      /* [n_vocab] name of a special token or p NULL */
    const int32_t *eog; int n_eog;                                    /* end-of-turn ids: allowed where the output may end */
    /* How the tokenizer cuts plain text (for forced runs): writes at most cap ids, returns how many, -1 on
     * failure. NULL: longest match first. Must outlive the vocabulary. */
    int (*encode)(void *ctx, const char *p, size_t n, int32_t *out, int cap);
    void *encode_ctx;
};
struct vocab;
struct vocab *vocab_open(const struct vocab_spec *s, struct err *e);  /* copies what it needs */
void vocab_close(struct vocab *v);
size_t vocab_bytes(const struct vocab *v);                            /* memory of the vocabulary without its caches */
/* What is remembered for the vocabulary across grammars and sequences (masks above all), within a limit. */
struct mask_cache_stats { size_t bytes, limit; uint64_t hits, misses; };
struct mask_cache_stats vocab_cache_stats(const struct vocab *v);
void vocab_cache_clear(struct vocab *v);                              /* for measurements; no other thread may use v */

/* ---- compiled grammar ------------------------------------------------------------------------ */

enum spelling { SPELL_LOCK, SPELL_FIXED, SPELL_COMPACT, SPELL_FLEXIBLE };
struct grammar_pair { const char *name; const struct json *schema; }; /* for `each`; schema NULL: {} */
struct grammar_opts {                                                 /* zeroed = generate, lock, any order, formats asserted, strict */
    bool validate;                                                    /* every spelling of a value is accepted; no dead-end pruning error */
    enum spelling spelling;
    const char *item_sep, *key_sep;                                   /* own spelling of `fixed`/`lock`; NULL: ", " ": " */
    bool declared_order;                                              /* keys in schema order, else any */
    bool relax;                                                       /* keywords that cannot be enforced: relaxed and listed, not refused */
    bool annotate_formats;
    bool closed;                                                      /* generate: objects with properties take no others unless
                                                                       * additionalProperties or patternProperties says so */
    const char *draft;                                                /* "draft7", …; NULL: $schema, else 2020-12 */
    const char *remotes;                                              /* folder for http://localhost:1234/, or NULL */
};
struct grammar;                                                       /* read-only, shared */
/* ERR_SCHEMA/ERR_UNSUPPORTED: `tool set_light: /properties/x/pattern: …` names pair, JSON pointer, keyword. */
struct grammar *grammar_compile(const char *envelope, const struct grammar_pair *pair, int n_pair,
                                const struct json *const *schema, int n_schema,
                                const struct grammar_opts *o, struct err *e);
/* The whole output is one value of the schema (response_format, `debug grammar`). */
struct grammar *grammar_of_schema(const struct json *schema, const struct grammar_opts *o, struct err *e);
/* The whole output is a text of a GBNF grammar (llama.cpp's language, rule `root`), or matches a pattern (ECMA-262, u flag)
 * from its first character to its last. */
struct grammar *grammar_of_gbnf(const char *text, const struct grammar_opts *o, struct err *e);
struct grammar *grammar_of_regex(const char *pattern, const struct grammar_opts *o, struct err *e);
void        grammar_free(struct grammar *g);
size_t      grammar_bytes(const struct grammar *g);                   /* memory it holds, what was bound to it included */
size_t      grammar_n_relaxed(const struct grammar *g);
const char *grammar_relaxed(const struct grammar *g, size_t i);       /* "tool get: /properties/a/pattern" */

/* ---- matcher: one per sequence --------------------------------------------------------------- */

#define MASK_WORDS(n_vocab) (((size_t)(n_vocab) + 31) / 32)
struct matcher;
struct matcher *matcher_new(const struct grammar *g, const struct vocab *v, struct err *e); /* v NULL: bytes only */
void matcher_free(struct matcher *m);
struct matcher *matcher_fork(const struct matcher *m);
/* bits[MASK_WORDS]: bit t = token t may come next (end-of-turn ids where the output may end). */
void matcher_mask(struct matcher *m, uint32_t *bits);
bool matcher_mask_hit(const struct matcher *m);                       /* the last matcher_mask came from remembered masks */
bool matcher_check(struct matcher *m, int32_t token);                 /* may it come next? state unchanged */
bool matcher_commit(struct matcher *m, int32_t token);                /* false: not allowed, state unchanged */
bool matcher_commit_bytes(struct matcher *m, const char *p, size_t n); /* all or nothing */
/* Tokens that the language forces from here, canonical with hold-back: at most cap, returns how many. Not committed.
 * *n_draft (NULL: not wanted): how many more follow in token[], their bytes forced too, but held back because a longer
 * token may take their place, which is unlikely: worth computing ahead, to be kept only if they are then chosen. */
int  matcher_forced(struct matcher *m, int32_t *token, int cap, int *n_draft);
void matcher_rollback(struct matcher *m, int n);                      /* undoes the last n commits */
bool matcher_accepting(const struct matcher *m);                      /* the output may end here */
bool matcher_finished(const struct matcher *m);                       /* end-of-turn was committed, or nothing but the end may follow */
/* Upper bound, never short, of the tokens of the shortest way to a finished output, end-of-turn token included. */
int  matcher_shortest(struct matcher *m);
/* As matcher_mask, but only tokens after which the output can still be finished within `left` tokens
 * (this one included). *cut says whether the budget removed anything. False: not even that fits. */
bool matcher_mask_budget(struct matcher *m, uint32_t *bits, int left, bool *cut);
/* Why committing failed last: a sentence with the byte offset ("byte 12: expected ',' or '}'"). */
const char *matcher_why(const struct matcher *m);
/* What the state waits for, for people: kinds of places, and whether of each there is one, a few (2 to 4) or many. */
void matcher_kinds(const struct matcher *m, struct str *out);

/* ---- check of finished values: check.c ------------------------------------------------------- */

/* Independent of the automaton. False: e says where ("/brightness: 120 is above maximum 100").
 * A schema it cannot evaluate: false with ERR_UNSUPPORTED. */
bool schema_check(const struct json *schema, const struct json *value, const struct grammar_opts *o, struct err *e);

#endif
