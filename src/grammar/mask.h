/* mask.h -- what mask.c (sets, dense places, what is remembered), mask_walk.c (along the vocabulary trie) and mask_leave.c
 * (tokens that leave a string) share. */
#ifndef TENON_GRAMMAR_MASK_H
#define TENON_GRAMMAR_MASK_H

#include "grammar/int.h"

struct walk {
    struct matcher *m;
    uint32_t *bits;
    bool priced;                        /* tokens whose output costs more than p.most are refused */
    struct price p;
    bool sieve;                         /* what is in bits already need not be looked at */
    bool many;                          /* so many configurations that most allow what others have allowed */
    bool twin;                          /* only tokens count that close the container around */
    struct { uint32_t node, from; } open[64];           /* by node + 1: below it, tokens up to this one are settled */
    uint32_t content[2];                /* by escapes: 1 + the room for which plain content has been taken */
    struct arena tmp;
};

static inline void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }
static inline bool bit_has(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

/* Is it known what becomes of a token? */
static inline bool is_settled(const struct walk *w, int32_t t)
{
    return bit_has(w->bits, t) || (w->twin && !bit_has(w->m->v->closers, t));
}

/* mask_walk.c */
bool affordable(struct walk *w, uint32_t from, uint32_t n);           /* may output go on so? Notes its cost */
int64_t spare_of(struct walk *w, uint32_t from, uint32_t n, uint32_t more); /* what is left of the budget then, < 0: no; notes a cost of so much more */
void walk_leaf(struct walk *w, int32_t token, uint32_t from, uint32_t n); /* takes a token that has led to this set */
void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n); /* children (0: of the root) that the set can take */
void run_token(struct walk *w, int32_t t, uint32_t d, uint32_t from, uint32_t n); /* one whose first d bytes have led to this set */
void try_alone(struct walk *w, const struct conf *c, int32_t t);      /* a token tried from one configuration */

/* mask_leave.c */
bool is_string(const struct matcher *m, const struct conf *c);
const struct strs *strs_of(const struct matcher *m, const struct conf *c);
/* May the string end behind these bytes of content? *hash (NULL: nobody asks): tells the text from others. */
bool ends_behind(const struct matcher *m, const struct conf *c, struct bytes b, size_t head, uint32_t len, uint64_t *hash);

/* One configuration about to leave its string. Inside of uniqueItems the set behind the quote is that of a text never
 * seen before; texts that have been seen are tried one by one. */
enum { MOST_HEAD = 512 };
struct leaving {
    const struct conf *c; const struct quotes *q;
    uint32_t another;                   /* tokens: what follows costs at most so much more because this text is a used one then */
    bool guarded; uint64_t seen[16];    /* by six bits and four of their hash: texts that have been seen (of a name: written) */
    uint32_t least, most;               /* code points that the head of a token may have */
    bool names;                         /* seen holds names */
    uint8_t ends[MOST_HEAD];            /* by quotes.same: whether the text ends well behind such a head, once it is found out */
    bool easy; struct byteset first;    /* a head of such a length ends well, but perhaps if it begins with one of these, or is empty */
};
void leaving_init(const struct walk *w, struct leaving *l, const struct conf *c);
static inline bool seen_has(const struct leaving *l, uint64_t hash) { return l->seen[hash >> 6 & 15] >> (hash & 63) & 1; }
void leave_string(struct walk *w, const struct conf *c);              /* takes the tokens that end the text of c, whatever they begin */

/* The set behind the closing quote of a plain place, made when first needed, and whether the last remainder that was asked
 * for may follow. */
struct rests {
    const struct conf *own;
    bool open; uint32_t from, n; struct byteset may;
    struct bytes last; bool known, ok;
    struct leaving *l;                  /* NULL: what the text is does not count */
};
/* A token that ends the plain place's text, read from byte d on: set; not its own; of a text that was seen before, to be tried. */
enum leave { LEAVE_DONE, LEAVE_NOT, LEAVE_SEEN };
enum leave leave_plain(struct walk *w, struct rests *r, const struct leaver *t, uint32_t d);

#endif
