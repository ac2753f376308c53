/* regex.h -- regular languages of texts, as automata that are built while they are walked.
 *
 * A language is a conjunction of parts (or a union of such conjunctions, told apart by re_part.group): patterns (ECMA-262 with the u flag, searched for anywhere
 * unless anchored), named formats, exact texts, and languages of that kind again; each may be negated. Patterns become hash-consed
 * terms (union, concatenation, intersection, complement, counted repetition over byte classes); a
 * state of the automaton is a term, its successors are derivatives, computed on first use and kept.
 * The alphabet is bytes of UTF-8: the decoded text of a string, before any escaping.
 *
 * No state from which no text of the language can be reached is ever entered: it is DFA_DEAD. That
 * is what keeps masks free of dead ends. Automata are shared: opening the same parts again gives the
 * same object. Threads: stepping is safe from any thread; filling is under the automaton's own lock. */
#ifndef TENON_GRAMMAR_REGEX_H
#define TENON_GRAMMAR_REGEX_H

#include "base/base.h"

enum re_kind {
    RE_PATTERN,                         /* contains a match of this pattern */
    RE_FORMAT,                          /* has this format; a name that is not known is any text */
    RE_LITERAL,                         /* is exactly this text */
    RE_WHOLE,                           /* the pattern matches the whole text (envelopes) */
    RE_ANY                              /* belongs to the language of these parts, see re_pack() */
};
struct re_part { enum re_kind kind; bool negate; const char *p; size_t len; uint32_t group; };

/* Writes the parts down as the text of one part, if out is not NULL: its length. Sorts them: their order does not matter. */
size_t re_pack(char *out, struct re_part *part, uint32_t n);

enum { DFA_DEAD = 0, DFA_START = 1 };

struct dfa;
/* The texts that meet all n parts (n = 0: all texts), or all of one group of them. Order of the parts does not matter. Counted; a
 * process-wide cache keeps unused ones, 64 MiB of them. NULL: ERR_SCHEMA (malformed pattern,
 * "byte 3: a group that does not end"), ERR_UNSUPPORTED (back-reference), ERR_LIMIT (too large). A
 * language that has no text at all is no error: dfa_empty(). */
struct dfa *dfa_open(const struct re_part *part, uint32_t n, struct err *e);
/* The same, but what the parts say of the length alone (`(?=.{1,255}$)` beside the rest) is taken out of the automaton
 * and narrows *min and *max instead (code points; UINT32_MAX: no bound): counting letters takes no states. */
struct dfa *dfa_open_counted(const struct re_part *part, uint32_t n, uint32_t *min, uint32_t *max, struct err *e);
void        dfa_close(struct dfa *d);                                 /* NULL is fine */
uint64_t    dfa_id(const struct dfa *d);                              /* never given twice in a process */
size_t      dfa_bytes(const struct dfa *d);                           /* memory it holds now */
size_t      dfa_n_state(const struct dfa *d);
bool        dfa_empty(const struct dfa *d);                           /* no text belongs to it */
/* Is the pattern well formed? Parses only, no automaton: about a microsecond. Errors as dfa_open(). */
bool        pattern_check(const char *p, size_t len, struct err *e);
/* Does a finished text belong to it? */
bool        dfa_match(struct dfa *d, const char *text, size_t len);

/* Successor by one byte: DFA_DEAD if no text of the language goes on so. */
uint32_t dfa_fill(struct dfa *d, uint32_t state, uint8_t b);          /* slow path of dfa_step */
bool     dfa_accepts(const struct dfa *d, uint32_t state);

/* What a state knows of the texts that lead from it to acceptance; filled when the state is made. */
struct dfa_state {
    uint32_t *row;                      /* [n_class] successor, or UINT32_MAX: not computed yet */
    bool accepts, total;                /* total: every text whatever can be completed from here on, for ever */
    uint32_t far;                       /* total: then by each number of code points from this on */
    /* A run: after up to run_max code points out of `run` (ASCII bytes; run_utf8: and any code point from
     * U+0080 on) the automaton is surely alive, and nothing but the count run_max has changed. 0: none.
     * UINT32_MAX: for ever. */
    uint64_t run[2]; bool run_utf8; uint32_t run_max;
};
/* How long these texts are. Some states must be searched for it: found out when it is first asked for. */
struct dfa_lens {
    uint32_t min, max;                  /* code points of the shortest and longest text; UINT32_MAX: no bound */
    bool every;                         /* all lengths between the two occur (else ask dfa_fits) */
    bool exact, endless;                /* min and shortest are those of a text; there are texts of more than any length */
    uint32_t shortest;                  /* fewest bytes of an accepted text, escapes of JSON counted */
};
const struct dfa_lens *dfa_lens(const struct dfa *d, uint32_t state);   /* pointer stays valid while d is open */
const struct dfa_state *dfa_state(const struct dfa *d, uint32_t state); /* pointer stays valid while d is open */
/* Is there an accepted text of lo to hi code points from here? Exact. hi UINT32_MAX: no bound. */
bool     dfa_fits(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi);
/* Bytes (escapes of JSON counted) of an accepted text of lo to hi code points, the fewest unless that is much work to find;
 * UINT32_MAX: none. Some byte always leads to a state with so much less. */
uint32_t dfa_shortest(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi);
/* No state that can be reached needs more bytes than this for its shortest text; UINT32_MAX: not known. */
uint32_t dfa_worst(struct dfa *d);
/* So many code points may follow, whichever they are (but ", \\ and controls), and leave it alive; a lower bound. */
uint32_t dfa_grace(struct dfa *d, uint32_t state);
/* Surely no text is accepted by both; false: some is, or they are too large to tell. */
bool     dfa_apart(struct dfa *a, struct dfa *b);
/* How many different texts are accepted from here, counted up to cap. */
uint32_t dfa_count(struct dfa *d, uint32_t state, uint32_t cap);

/* Byte -> class; states have one successor a class. */
const uint8_t *dfa_classes(const struct dfa *d);                      /* [256] */
uint32_t       dfa_n_class(const struct dfa *d);

static inline uint32_t dfa_step(struct dfa *d, const uint8_t *cls, uint32_t state, uint8_t b)
{
    uint32_t to = __atomic_load_n(&dfa_state(d, state)->row[cls[b]], __ATOMIC_ACQUIRE);
    return to != UINT32_MAX ? to : dfa_fill(d, state, b);
}

/* UTF-8 as a DFA: 0 = between code points; returns the next state or -1. (lex.c) */
int utf8_dfa(int state, uint8_t b);
/* A byte that stands in a JSON string as itself. */
static inline bool byte_is_bare(uint32_t b) { return b >= 0x20 && b != '"' && b != '\\'; }

/* format_text.c: a format as a pattern for the whole text (ECMA-262, look-ahead allowed; u flag), NULL: not
 * known. The text is static. Where format_is_regular() says true it is the format exactly, as the predicate
 * judges it; else only a part of it (hostname, idn-hostname, idn-email, regex: see there), good for
 * generation but neither for a verdict nor for a negation. */
const char *format_pattern(const char *name);
bool        format_is_regular(const char *name);
/* A pattern that every text of the format matches as a whole, good for negation; NULL: none that says much. */
const char *format_around(const char *name);

#endif
