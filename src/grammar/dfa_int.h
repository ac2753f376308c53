/* dfa_int.h -- an automaton's inside, for dfa.c (states, cache), dfa_facts.c (liveness, lengths) and dfa_bounds.c (lengths
 * within bounds). */
#ifndef TENON_GRAMMAR_DFA_INT_H
#define TENON_GRAMMAR_DFA_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "grammar/regex_int.h"

#define STATE_MOST 100000
#define STEP_FUEL (1u << 18)            /* terms made and derived for one row entry */

enum byte_kind { K_ASCII, K_LEAD, K_CONT, K_NEVER };

/* The lengths of a state, and whether they are known. */
struct lens_slot { struct dfa_lens at; _Atomic bool known; };

/* States lie in chunks of 8, 16, 32, … that never move: readers take no lock. */
#define N_CHUNK 15
struct dfa {
    struct dfa_state *chunk[N_CHUNK];
    struct lens_slot *lens[N_CHUNK];    /* as chunk */
    struct terms s;
    pthread_mutex_t lock;               /* everything but finished states */
    uint32_t n_state, cap_term;
    uint32_t *state_of;                 /* [term] its state, 0: none yet */
    uint32_t *term_of[N_CHUNK];         /* as chunk */
    uint32_t lo, hi;                    /* lengths that were taken out of the root, see dfa_open_counted() */
    struct arena rows;
    bool empty;
    _Atomic bool unsure;                /* some term counts as alive because the search for a text ran out of work */
    uint8_t kind[256], cost[256];       /* [class] what its bytes are; fewest bytes of one in JSON */
    uint16_t width[256];                /* [class] how many bytes */
    struct answer { uint32_t question, term, lo, hi, value; } *answer;   /* found out by searches: a hash table */
    uint32_t n_answer, n_asked;         /* its places, those taken */
    uint64_t id;
    _Atomic uint32_t worst;             /* 1 + dfa_worst(), 0: not known yet */
    _Atomic size_t bytes;
    /* The cache's, under its lock. */
    uint64_t hash;
    char *key; size_t key_len;
    uint32_t refs;
    struct dfa *chain, *newer, *older;  /* of a hash bucket; of those nobody holds */
};

static inline uint32_t chunk_of(uint32_t state, uint32_t *at)
{
    uint32_t k = 31 - (uint32_t)__builtin_clz(state + 8) - 3;
    *at = state + 8 - (8u << k);
    return k;
}

static inline bool dfa_lens_known(const struct dfa *d, uint32_t state)
{
    uint32_t at, k = chunk_of(state, &at);
    return atomic_load_explicit(&d->lens[k][at].known, memory_order_acquire);
}

static inline uint32_t term_of(const struct dfa *d, uint32_t state)
{
    uint32_t at, k = chunk_of(state, &at);
    return d->term_of[k][at];
}

/* dfa_facts.c, all under the automaton's lock. */
void facts_classes(struct dfa *d);                                    /* kind, cost, width */
void facts_fill(struct dfa *d, uint32_t term, struct dfa_state *st);  /* all but row */
bool facts_plain(const struct dfa *d, uint32_t term, struct dfa_lens *to); /* the bounds of its structure; are they all there is? */
void facts_search(struct dfa *d, uint32_t term, struct dfa_lens *lens); /* better ones where they are not */
bool facts_alive(struct dfa *d, uint32_t term);
uint32_t facts_guess(const struct terms *s, uint32_t term);           /* how far a text may still be: of an intersection, all members' together */
uint32_t facts_witness(const struct terms *s, uint32_t term);         /* code points of some text; INF: none is known */
static inline uint32_t plus(uint32_t a, uint32_t b) { return a == INF || b == INF || a + b < a ? INF : a + b; }

#endif
