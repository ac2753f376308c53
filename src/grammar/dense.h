/* dense.h -- one look at the vocabulary from a place in a text that has an automaton: what dense.c (tokens taken at once)
 * and dense_walk.c (the walk along the trie) share. */
#ifndef TENON_GRAMMAR_DENSE_H
#define TENON_GRAMMAR_DENSE_H

#include "grammar/int.h"

/* What leaves a state as it is: its run (regex.h), or where the automaton names none, the ASCII bytes that lead from it to
 * itself. */
struct stay {
    bool utf8; uint32_t max, wide; uint64_t run[2];                   /* wide: how many bytes below 128 the run has */
    bool led; uint64_t leads, strays;   /* led: asked for. Bytes from 0xC0 on all of whose code points lead back to the state,
                                         * and those of which that is not so */
};
/* A state of the automaton at a place inside of a code point, and what this scan has found out about it. */
struct place {
    uint32_t state, seen;               /* seen: how often stay was wanted */
    uint32_t map;                       /* 1 + its number in the map, 0: it is not in there */
    uint8_t utf8; bool total, stays, is_thick, thick; uint8_t escape; /* stays, thick: found out; escape: see take_escaped() */
    uint32_t far;                       /* as dfa_state.far */
    uint32_t fits, fails;               /* where no least length is asked: code points left that surely are enough, NONE: not
                                         * known; 1 + those that surely are too few */
    uint32_t left;                      /* bytes that finish the text where no length counts; NONE: not known */
    struct stay stay;
};
enum { MOST_BASE = 4, NO_PLACE = 0, N_AGES = 1024, MAP_LEVELS = 13 };
/* A state whose run has been swept: all tokens made of its bytes are taken already. */
struct base {
    uint64_t classes;                   /* of sweep.c: those that lie in the run as a whole */
    struct bytemap swept, exits;        /* bytes of these classes; bytes that leave the run alive */
    uint32_t most;                      /* code points of the run that are surely fine */
    bool exact;                         /* more of them surely are not */
};
/* An answer about a place when so many code points lie before it. */
enum asked { ASK_FITS, ASK_LEFT };
struct age { uint32_t place, len; enum asked asked; uint32_t value; };
struct scan {
    const struct vocab *v;
    const struct coarse *coarse; const struct vtrie *t;               /* the trie that is walked: that one's (NULL: none yet), or of all tokens */
    const struct strs *s;
    int esc;
    uint32_t *bits, len;                /* code points before */
    bool counts;                        /* lengths matter within the reach of a token */
    bool alone;                         /* nobody else has set bits */
    bool full;                          /* all content is taken, and what cannot come is to be dropped */
    uint32_t grace;                     /* tokens of so few code points are taken already */
    uint32_t taken; bool counted;       /* texts that must not come, see dense_strs_but() */
    int32_t *doubt; uint32_t n_doubt, cap_doubt;
    struct base base[MOST_BASE]; int n_base;
    int8_t start, by_first[256];        /* base that holds from the beginning, or behind a first byte; -1: none */
    uint8_t middle[64]; uint32_t n_middle;                            /* see middles_make() */
    uint32_t limit, *most; bool *cut;   /* bytes that may be left to do (NONE: nobody asks); the most that are; are some left out? */
    /* The part of the automaton that the scan meets: places numbered from 1 on (0: dead), a row of successors each by kind of
     * byte, NONE: not known yet. Kind 0 is of bytes that are no plain content. */
    uint16_t kind[256]; uint32_t n_kind;
    struct place *place; uint32_t n_place, cap_place, *row, *slot, n_slot;
    /* What a text may die of within so many bytes, of each place near the first one; NULL: not made yet. */
    uint32_t first, n_walked; struct bytemap *danger;
    uint32_t map_room, map_left;        /* code points that must be left behind the text; bytes that finish it, at most */
    struct age *age;                    /* [N_AGES] the newest of each slot; NULL: none yet */
};

static inline uint32_t room_of(const struct strs *s, uint32_t len) { return s->max == NONE ? NONE : s->max - MIN(len, s->max); }

/* dense_walk.c */
void         places_open(struct scan *w);
void         places_close(struct scan *w);
uint32_t     place_of(struct scan *w, uint32_t state, uint8_t utf8);
uint32_t     place_next(struct scan *w, uint32_t from, uint8_t b);    /* slow path of place_step */
struct stay *stay_make(struct scan *w, uint32_t place);              /* slow path of place_stay */
uint32_t     run_counted(struct scan *w, uint32_t place, uint32_t len);/* slow path of run_reach */
bool         is_thick(struct scan *w, uint32_t place);
bool         place_fits(struct scan *w, uint32_t place, uint32_t len);/* with len code points, can the text still be as long as it must? */
void         trie_walk(struct scan *w);                               /* a long way begins again in a coarser trie, once there is one */
uint32_t     place_left(struct scan *w, uint32_t place, uint32_t len);/* bytes that finish the text */
/* dense_map.c: danger[(map - 1) * MAP_LEVELS + k - 1]: the bytes that may come last in a text of at most k bytes which dies; the
 * last level is of any number. */
void         map_make(struct scan *w, uint32_t start);
enum { THICK = 3 };                     /* letters of a run whose spellings are counted */

static inline struct stay *place_stay(struct scan *w, uint32_t place)
{
    return w->place[place].stays ? &w->place[place].stay : stay_make(w, place);
}

/* How far the run of a place reaches with len code points before it. */
static inline uint32_t run_reach(struct scan *w, uint32_t place, uint32_t len)
{
    const struct stay *k = place_stay(w, place);
    if (!k->max || (!k->utf8 && k->wide < 8)) return 0;
    return w->counts ? run_counted(w, place, len) : k->max;
}

static inline uint32_t place_step(struct scan *w, uint32_t from, uint8_t b)
{
    uint32_t to = w->row[from * w->n_kind + w->kind[b]];
    return to != NONE ? to : place_next(w, from, b);
}

#endif
