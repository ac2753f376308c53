/* regex_int.h -- what the sources behind regex.h share: syntax trees, code point sets, terms.
 *
 * The way of a pattern: regex_parse.c makes a tree, regex_build.c a term (assertions become
 * intersections with what follows, or depend on the code point before), regex_term.c derives terms,
 * dfa.c numbers the derivatives as states. */
#ifndef TENON_GRAMMAR_REGEX_INT_H
#define TENON_GRAMMAR_REGEX_INT_H

#include "grammar/regex.h"

#define INF UINT32_MAX                  /* a repeat, a length without bound */

/* ---- sets of code points (regex_class.c) --------------------------------------------------- */

struct cp_range { uint32_t lo, hi; };
struct cps { uint32_t n, cap; struct cp_range *r; };                  /* sorted and apart once cps_tidy() ran */

void cps_add(struct cps *c, uint32_t lo, uint32_t hi);
void cps_tidy(struct cps *c);
void cps_invert(struct cps *c);                                       /* of a tidy set; tidy */
void cps_done(struct cps *c);
void cps_add_all(struct cps *c, const struct cp_range *r, uint32_t n, bool invert);
/* The sets of \d, \w, \s (capital: complement) and of the dot ('.'). */
void cps_add_escape(struct cps *c, char which);
/* The set of \p{name}: lent for ever. NULL: no such property. */
const struct cps *cps_property(const char *name, size_t len);

/* ---- syntax trees (regex_parse.c) ---------------------------------------------------------- */

enum ast_op { A_EPS, A_SET, A_CAT, A_ALT, A_REP, A_START, A_END, A_WORD, A_LOOK };
struct ast {
    enum ast_op op;
    bool neg;                           /* A_WORD: \B; A_LOOK: (?! (?<! */
    bool behind;                        /* A_LOOK */
    bool zero;                          /* holds an assertion somewhere */
    bool left;                          /* … that looks at what is before it */
    bool nullable;                      /* may match without consuming (assertions count as passed) */
    uint32_t min, max;                  /* A_REP */
    uint32_t n_set;                     /* A_SET */
    const struct cp_range *set;
    struct ast *kid, *next;             /* first child; next sibling */
    uint32_t term;                      /* regex_build.c: 1 + the term of a tree without assertions */
};
struct ast *re_parse(struct arena *a, const char *p, size_t len, struct err *e);

/* ---- terms (regex_term.c) ------------------------------------------------------------------ */

enum term_op { T_EMPTY, T_EPS, T_ALL, T_SET, T_CAT, T_ALT, T_AND, T_NOT, T_REP, T_REF };
enum { EMPTY, EPS, ALL };               /* terms that every store has, by number */

struct bset { uint64_t w[4]; };
static inline bool bset_has(const struct bset *s, uint8_t b) { return s->w[b >> 6] >> (b & 63) & 1; }
static inline void bset_add(struct bset *s, uint8_t b) { s->w[b >> 6] |= 1ULL << (b & 63); }

struct term {
    uint8_t op;
    bool nullable;
    bool complex;                       /* holds T_AND, T_NOT or T_REF: may be empty without showing it */
    bool strict;                        /* neither T_ALL nor T_NOT: every text of it is well-formed UTF-8 */
    bool inverts;                       /* holds T_NOT */
    bool every;                         /* lengths: no gap between min_len and max_len */
    bool flat;                          /* plain: a text of n code points costs n + shortest - min_len at least, and one does */
    uint8_t alive;                      /* 0 not known, 1 alive, 2 empty, 3 being looked at */
    uint32_t hash, chain;
    uint32_t a, b;                      /* CAT: both; NOT, REP: a; ALT, AND: list offset and length; REF: a */
    uint32_t min, max;                  /* REP */
    uint32_t min_len, max_len, shortest;/* bounds when complex, exact otherwise */
    uint32_t witness;                   /* complex and alive 1: code points of the text that showed it */
    uint32_t set;                       /* SET: number of its bytes in terms.set */
};

struct memo { uint64_t key; uint32_t val; };
struct terms {
    struct term **chunk; uint32_t n, n_chunk, cap_chunk;
    uint32_t *bucket, n_bucket;
    uint32_t *list; size_t n_list, cap_list;
    struct bset *set; uint32_t n_set, cap_set;
    uint32_t *ref; uint32_t n_ref, cap_ref;             /* definitions of T_REF */
    struct memo *memo; uint32_t n_memo, cap_memo;
    uint32_t any, valid;                                /* one code point; any number of them */
    uint32_t full[4];                                   /* that many trailing bytes of a code point */
    uint8_t cls[256], rep[256]; uint32_t n_class, n_classed;       /* byte -> class, class -> a byte of it */
    uint32_t *tmp; size_t n_tmp, cap_tmp;               /* scratch stack of term numbers */
    uint32_t fuel;                                      /* work left; 0: everything is EMPTY, broken */
    bool broken;
    size_t bytes;
};

#define TERM_CHUNK 64
static inline struct term *term_at(const struct terms *s, uint32_t i)
{
    return &s->chunk[i / TERM_CHUNK][i % TERM_CHUNK];
}

void     terms_init(struct terms *s);
void     terms_done(struct terms *s);
void     terms_classes(struct terms *s);                /* after the last new byte set: bytes that never differ */
uint32_t term_set(struct terms *s, const struct bset *set);
uint32_t term_cat(struct terms *s, uint32_t a, uint32_t b);
uint32_t term_alt(struct terms *s, const uint32_t *x, uint32_t n);
uint32_t term_alt2(struct terms *s, uint32_t a, uint32_t b);
uint32_t term_and(struct terms *s, const uint32_t *x, uint32_t n);
uint32_t term_and2(struct terms *s, uint32_t a, uint32_t b);
uint32_t term_not(struct terms *s, uint32_t a);
uint32_t term_rep(struct terms *s, uint32_t a, uint32_t min, uint32_t max);
uint32_t term_ref(struct terms *s, bool nullable);      /* a new name; its meaning goes into ref[term_at(…)->a] */
uint32_t term_cps(struct terms *s, const struct cp_range *r, uint32_t n); /* one code point of these */
uint32_t term_bytes(struct terms *s, const char *p, size_t len, uint32_t then);
uint32_t term_derive(struct terms *s, uint32_t t, uint32_t cls);
struct bset term_first(const struct terms *s, uint32_t t, int depth); /* at least the first bytes */

/* ---- trees to terms (regex_build.c) -------------------------------------------------------- */

/* The texts that contain a match (whole: that the pattern matches from end to end). */
bool re_build(struct terms *s, const char *p, size_t len, bool whole, uint32_t *out, struct err *e);

#endif
