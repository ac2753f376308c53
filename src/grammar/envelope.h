/* envelope.h -- what the front ends of envelopes share: a tree of pieces, and the reader that builds it.
 *
 *   envelope.c      envelope text -> tree        gbnf.c   GBNF text -> tree
 *   triggers.c      texts that end free text -> an automaton
 *   envelope_lay.c  tree -> checks -> ops
 *
 * The reader bounds everything: pieces, rules, nesting, work. After an error the error stays and the
 * readers run to their end without reading on. */
#ifndef TENON_GRAMMAR_ENVELOPE_H
#define TENON_GRAMMAR_ENVELOPE_H

#include "grammar/int.h"

enum tree_kind {
    N_LIT, N_CLASS, N_SPECIAL, N_TEXT, N_CHARS, N_RE, N_NAME, N_VALUE, N_SLOT,   /* a, b as in the op they become */
    N_SEQ, N_ALT,
    N_REP,                              /* a to b times, b NONE: any number */
    N_EACH, N_REF                       /* REF a: rule */
};
struct tree { int kind; uint32_t a, b; struct tree **kid; uint32_t n_kid, cap_kid; };
struct rule { const char *name; size_t len; uint32_t scope; struct tree *body; uint32_t entry; bool nullable; uint8_t mark; };

enum { MOST_PAREN = 100, MOST_REPEAT = 1000, MOST_CHARS = 1000000, MOST_TREE = 1 << 16, MOST_RULE = 4096, MOST_SPECIAL = 1024,
       MOST_TRIGGER = 4096,             /* states of one automaton over triggers */
       MOST_TRIGGERS = 1 << 14,         /* of all of them, half a KiB each */
       MOST_RANGE = 1 << 16,            /* ranges of code points of all classes */
       MOST_PATTERN = 1024, MOST_SUFFIX = 8, MOST_DEEP = 8192, MOST_WORK = 1 << 20 };

struct reader {
    struct grammar *g;
    struct arena tmp;
    const char *where, *start, *p, *end;                              /* where: begins every message */
    uint32_t scope, n_scope;                                          /* of rule names; a grammar inside has its own */
    struct rule *rule; uint32_t n_rule, cap_rule, *slot, n_slot;      /* slot: hash table of ids + 1 */
    uint32_t n_schema; const uint32_t *slot_goal;
    bool in_each;
    int depth;
    uint32_t n_tree, n_work, n_range, n_trigger;
    uint32_t cap_op, cap_text, cap_cls, cap_special, cap_trig, cap_chars, cap_re;
    struct err *e;
};

struct tree *read_fail(struct reader *r, const char *what);           /* "where: byte N: what"; NULL */
struct tree *tree_leaf(struct reader *r, int kind, uint32_t a, uint32_t b);   /* never NULL */
void         tree_adopt(struct reader *r, struct tree *t, struct tree *kid);
struct tree *tree_text(struct reader *r, const char *p, size_t len);  /* a literal; empty: an empty sequence */
struct tree *tree_special(struct reader *r, const char *name, size_t len);
/* range: any order, may overlap, [lo, hi]; surrogates are left out. NULL: nothing is left. */
struct tree *tree_chars(struct reader *r, uint32_t (*range)[2], uint32_t n, bool invert);
struct tree *tree_pattern(struct reader *r, const char *p, size_t len);
struct tree *tree_repeat(struct reader *r, struct tree *t, uint32_t m, uint32_t n);
uint32_t     rule_index(struct reader *r, struct bytes name);         /* in the current scope; made if new */

/* Reads all of [p, end): rules, `root` (or, in envelopes, the first) counts. The rule's index, NONE on error. */
uint32_t read_envelope(struct reader *r);
uint32_t read_gbnf(struct reader *r);

/* triggers.c: the automaton of a text, under construction. */
struct watch { struct triggers t; uint32_t cap; };
void         watch_open(struct watch *w);
bool         watch_add(struct reader *r, struct watch *w, const char *p, size_t len);
struct tree *watch_close(struct reader *r, struct watch *w, bool keep);       /* keep false: only releases */

/* envelope_lay.c: checks all rules and lays them out. */
bool lay_rules(struct reader *r, uint32_t root);

#endif
