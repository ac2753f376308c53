/* cost.h -- the tables behind budget.c: tokens that every piece of a grammar takes in one vocabulary.
 *
 * Costs are in tokens, the fewest that spell a piece by itself; COST_MAX: it cannot be written. s is
 * the style of separators (STYLE_COMPACT, STYLE_OWN). Call cost_ready() before any of the others. */
#ifndef TENON_GRAMMAR_COST_H
#define TENON_GRAMMAR_COST_H

#include <stdlib.h>

#include "grammar/int.h"

static inline uint32_t cost_wide(uint16_t c) { return c == 0xffff ? COST_MAX : c; }

void     cost_ready(const struct matcher *m);                         /* fills the tables of the envelope, once */
uint32_t cost_goal(const struct matcher *m, uint32_t goal, int s);    /* its shortest value */
/* The cheapest of the flattest alternatives that settle all of `owed`. */
uint32_t cost_alts(const struct matcher *m, const struct alts *l, uint32_t owed, int s);
const struct seg *cost_seg(const struct matcher *m, const struct frame *f, uint32_t key, int s);
uint32_t cost_sep(const struct matcher *m, int s, uint32_t at);       /* separator of members from byte `at` on */
uint32_t cost_colon(const struct matcher *m, int s, uint32_t at);
const uint32_t *cost_lit(const struct matcher *m, const struct trie *t, bool quoted); /* [n_node] best literal from there on */
uint32_t cost_text(const struct matcher *m, uint32_t op, uint32_t at); /* LIT op from byte `at` on */
uint32_t cost_op(const struct matcher *m, uint32_t op, uint32_t pair, int s); /* from an op to the end of its rule */
uint32_t cost_name_node(const struct matcher *m, uint32_t op, uint32_t node, int s);
uint32_t cost_pair_name(const struct matcher *m, uint32_t escaped, uint32_t pair, uint32_t at);
/* What elements of an array may cost beyond the cheapest ones because `have` are there that they must differ from: one that
 * counts for `owed`; all that are still needed. */
uint32_t cost_other(const struct matcher *m, const struct arr *a, uint32_t owed, uint32_t have);
uint32_t cost_unique(const struct matcher *m, const struct counting *q, uint32_t have);

/* budget.c */
uint32_t frame_need(const struct matcher *m, uint32_t frame, int s);
uint32_t cost_behind_text(const struct matcher *m, const struct conf *c); /* from the closing quote of a text or new name on */
uint32_t cost_after_key(const struct matcher *m, uint32_t frame, uint32_t key, uint32_t cls, uint32_t owed, int s);
/* unique.c: an element of uniqueItems, told apart by its text? */
/* Bytes of a way from here to one more element of the array *top around, where values are few; NONE elsewhere. */
uint32_t unique_way(const struct matcher *m, const struct conf *c, uint32_t *top);
bool     unique_by_text(const struct matcher *m, const struct conf *c);
uint64_t unique_text_hash(uint64_t aux);
/* unique.c: bytes that a detour around used values may take from here. object.c: required keys left after `key`. */
uint32_t unique_detour(const struct matcher *m, const struct conf *c);
uint32_t obj_missing_after(const struct matcher *m, const struct frame *f, uint32_t key);

#endif
