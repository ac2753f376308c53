/* seq_int.h -- the state of one request, which seq.c goes through and steer.c reads. */
#ifndef TENON_GEN_SEQ_INT_H
#define TENON_GEN_SEQ_INT_H

#include "gen/draft.h"
#include "gen/value.h"

#define PRIOR_WEIGHT 15 /* of the words of the request against the model's word for a name or member */

struct seq {
    struct seq_opts o;
    struct call_tool *tool; int n_tool;
    struct turn turn;
    const struct grammar *grammar;
    struct matcher *matcher;
    struct emitter em;
    struct sampler sampler;
    uint32_t *mask, *full, *legal;                                /* [MASK_WORDS(n_vocab)]; legal: NULL where shares are not wanted */
    struct ids pending; /* committed, not yet seen by the model */
    struct ids text;    /* tokens outside calls, for the penalties */
    int32_t draft[DRAFT_MOST]; /* likely to be chosen next; those from draft_at on are still open */
    int n_draft, draft_at, credit;
    struct drafter *drafter;
    struct str said;                                              /* bytes of all tokens but special ones */
    double *prior;           /* [n_tool] of names */
    struct whole_item item[ITEMS_MOST];                           /* what is being chosen from */
    const char *ends;                                             /* a text was just chosen as a whole: one of these bytes comes next */
    struct offer *offer;                                          /* of the request, where values are weighed */
    struct json *any_object; /* schema of response_format json_object */
    struct whole whole;      /* a name that is being chosen */
    bool naming;
    struct ids run; size_t run_at; enum token_origin run_origin; /* where log-probabilities are wanted: committed, waiting for theirs */
    float *logits, *raw;     /* those at hand; before penalties [n_vocab], where log-probabilities are wanted */
    int n_vocab, used;
    bool limited, emitting, ended;                                /* ended: without a grammar, the end-of-turn token was taken */
};

/* ---- steer.c: help for tiny models; each may say that it has nothing to say ------------------- */

bool    steer_whole(struct seq *s, const float *logits);              /* is something to be chosen as a whole here? Then s->whole has begun */
bool    steer_is_turn(const struct seq *s);                           /* does a turn begin that may be a call or text? */
double  steer_to_call(const struct seq *s);                           /* what speaks for a call, in logarithms of odds */
bool    steer_is_more(const struct seq *s, const float *logits);      /* does another call come next, or the end of calls? */
int32_t steer_more(const struct seq *s, const float *logits, const uint32_t *mask);   /* a token that does either; -1: nothing to decide */
bool    steer_is_member(const struct seq *s, const float *logits);    /* another parameter or element, or the end? */
int32_t steer_member(const struct seq *s, const float *logits, const uint32_t *mask);

#endif
