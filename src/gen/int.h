/* int.h -- what the files of gen/ share: the speaker, the sampler, the emitter and the loop. */
#ifndef TENON_GEN_INT_H
#define TENON_GEN_INT_H

#include "gen/gen.h"

/* Who speaks: all that a run needs besides logits. */
struct voice { const struct tokenizer *tok; const struct dialect *dialect; const struct vocab *vocab; };

/* ---- sample.c --------------------------------------------------------------------------------- */

struct sampler { int n_vocab; float *p; int32_t *id; };               /* [n_vocab] scratch each */
void sampler_init(struct sampler *s, int n_vocab);
void sampler_done(struct sampler *s);
/* The token of one draw u in [0, 1) among those that mask allows (NULL: all): temperature, then top_k,
 * top_p, min_p over what is allowed. Not-a-number counts as impossible; if every allowed token is
 * impossible the first allowed one is taken. -1 only if mask is empty. */
int32_t sample_pick(struct sampler *s, const float *logits, const uint32_t *mask, const struct sampling *o, double u);
/* What part of the probability of all that mask allows (NULL: all) is id's; 1 if nothing of it is possible. */
float   sample_share(const float *logits, const uint32_t *mask, int n_vocab, int32_t id);
int32_t sample_argmax(const float *logits, const uint32_t *mask, int n_vocab);
/* Uniform among the allowed tokens, logits unknown. */
int32_t sample_uniform(const uint32_t *mask, int n_vocab, double u);
/* Repeat, presence and frequency penalties over the tokens of text so far. */
void    sample_penalise(float *logits, int n_vocab, const struct ids *text, const struct sampling *o);
float   sample_logprob(const float *logits, int n_vocab, int32_t id);
/* Log-probability of id, and of the n most probable tokens, best first (of equals the lower id). -9999: none that is finite. */
struct odds { float logprob, share; int n_top; struct top top[TOP_MOST]; };  /* share: of what was allowed */
void    sample_odds(const float *logits, int n_vocab, int32_t id, int n, struct odds *out);

/* ---- emit.c ----------------------------------------------------------------------------------- */

struct call_tool { const char *name; const struct json *description; struct json *schema; bool is_strict; };  /* schema ours */
struct gate { char hold[8]; int n; };                                 /* bytes of an unfinished code point */
struct emitter {                                                      /* committed tokens become events */
    struct voice voice;
    const struct call_tool *tool; int n_tool;
    struct wire wire;
    const struct json *tools;
    event_fn *fn; void *ctx;
    bool cancelled, want_tokens, random_ids, in_call, thought;        /* thought: reasoning was told of the last token */
    bool is_code;                                                     /* the open call is raw source */
    int n_call, first_id;
    float confidence;                                                 /* least share since the open call, or the last text, began */
    char id[40];
    const struct call_tool *current;
    struct str args, out, held;                                       /* held: text that may begin a stop string */
    const struct json *stop; bool stopped; struct bytes met;           /* met: the stop string that ended it */
    struct gate text, reasoning;
};
void emit_open(struct emitter *em, const struct voice *v, const struct request *r, const struct turn *t,
               const struct call_tool *tool, int n_tool, event_fn *fn, void *ctx);
/* odds NULL: nothing was chosen here, the log-probability is 0 and the share 1. */
void emit_token(struct emitter *em, int32_t id, enum token_origin o, const struct odds *odds);
/* Flushes. cut: neither the speaker ended the answer nor the limit, which leaves it whole. False: the parser found
 * a broken call. */
bool emit_close(struct emitter *em, bool cut, struct err *e);
void emit_event(struct emitter *em, const struct event *ev);
bool voice_is_special(const struct voice *v, int32_t id);

/* ---- whole.c ---------------------------------------------------------------------------------- */

enum { ITEMS_MOST = 64, STOPS_MOST = 12 };
/* A text that may come next, and where it may end: its first `at` bytes, with what speaks for that besides the model. */
struct whole_item { const char *text; int n_stop; struct { size_t at; double prior; } stop[STOPS_MOST]; };
/* A text is chosen in turns: whole_begin(), then logits for each that whole_next() offers, until it offers none. */
struct candidate;
struct whole {
    struct voice voice;
    const struct whole_item *item; int n_item, least;                 /* fewer than `least` that may stand here are no choice */
    const char *ends;                                                 /* bytes that may come after it */
    double floor;                                                     /* share of all there is that the items must have, or none is best */
    int n_vocab, stride;
    struct candidate *c; int n, at, best; double top, mass;           /* of one choice */
};
/* Call or text, by mass, that of calls times exp(lean); then the best token of the heavier kind. */
int32_t whole_turn(const struct voice *v, const float *logits, const uint32_t *mask, int n_vocab, double lean);
/* Does one of the items come next, and is there a choice? now: logits here. */
bool whole_begin(struct whole *w, const struct matcher *m, const float *now);
const struct ids *whole_next(const struct whole *w);                  /* NULL: all that matter have been looked at */
/* Logits after each token of the text offered: [n, stride]; NULL: they cannot be had, it is passed over. */
void whole_rows(struct whole *w, const float *rows);
/* How many tokens the best has, 0: there is none; tok and logprob are lent until whole_done(). */
int  whole_best(const struct whole *w, const int32_t **tok, const float **logprob);
float whole_share(const struct whole *w);                             /* of the best among all; of names those not looked at by their bound */
void whole_done(struct whole *w);

/* ---- lexical.c -------------------------------------------------------------------------------- */

/* How much each tool has in common with the last user turn: out [n]. */
void lexical_scores(const struct json *messages, const struct call_tool *tool, int n, double *out);
uint64_t lexical_stem(const char *word, size_t n);                    /* what words alike but for their ending have in common */
bool     lexical_is_function(const char *word, size_t n);             /* "the", "of", "please": says nothing of what is wanted */

/* ---- seq.c ------------------------------------------------------------------------------------ */

/* ---- grammars.c ------------------------------------------------------------------------------- */

/* What a grammar is made of: see grammar_compile(). value: the schema with number 0, NULL without one. */
struct grammar_source { const char *envelope; const struct grammar_pair *pair; int n_pair; const struct json *value; struct grammar_opts o; };
/* Grammars that were compiled, by their source; all threads. */
struct grammars;
struct grammars_stats { size_t n, bytes; uint64_t hits, misses; };
struct grammars *grammars_open(void);
void grammars_close(struct grammars *c);                              /* nobody may use one of its grammars any more */
struct grammars_stats grammars_stats(struct grammars *c);
/* The grammar of a source, compiled if it is not there; give it back. NULL: as grammar_compile(). */
const struct grammar *grammars_take(struct grammars *c, const struct grammar_source *src, struct err *e);
void grammars_give(struct grammars *c, const struct grammar *g);      /* NULL is fine */

/* ---- seq.c ------------------------------------------------------------------------------------ */

enum { DRAFT_MOST = 12 };
/* What a sequence waits for: nothing, it is finished; logits after tok [n], which were committed since it was last asked
 * (n 0: after the prompt), and, so that later ones are ready, after each of draft [n_draft], which may be committed next;
 * logits after each of tok [n], a name that is tried and not kept. */
enum seq_wait { WAIT_NOTHING, WAIT_LOGITS, WAIT_AHEAD };
struct seq_want { enum seq_wait kind; const int32_t *tok; int n; const int32_t *draft; int n_draft; };
struct seq_opts {
    struct voice voice;
    struct grammars *grammars;                                        /* lent */
    const struct request *r;
    int budget;                                                       /* tokens that may be generated */
    const char *budget_why;                                           /* "max_tokens is", "the prompt leaves" … */
    bool no_model;                                                    /* uniformly random choices, logits are never looked at */
    int stride;                                                       /* floats from one row of logits to the next */
    unsigned steer;                                                   /* enum steer */
    event_fn *fn; void *ctx;
    struct usage usage; struct timing timing; uint64_t start_ns;      /* what came before */
};
struct seq;
/* Compiles the grammar of the request and checks the budget: all refusals come from here. Any thread; afterwards one. */
struct seq *seq_open(const struct seq_opts *o, struct err *e);
void        seq_begin(struct seq *s);                                 /* events may come from here on */
/* Goes as far as it can without a model. False: failed (e). */
bool        seq_next(struct seq *s, struct seq_want *w, struct err *e);
/* What was waited for. logits: may be changed, and stay as they are until seq_next() asks for new ones. */
bool        seq_logits(struct seq *s, float *logits, struct err *e);
void        seq_ahead(struct seq *s, const float *rows);
void        seq_cancel(struct seq *s);                                /* seq_next() finds it finished */
/* After the last turn, ok or failed (e): sends EV_FINISH or EV_ERROR. False: failed, also when it turns out here. */
bool        seq_end(struct seq *s, bool ok, struct err *e);
const struct usage *seq_usage(const struct seq *s);
const struct ids *seq_pending(const struct seq *s);                   /* committed and not yet asked for with seq_next() */
bool        seq_run(struct seq *s, struct err *e);                    /* all of it, where there is no model */
void        seq_close(struct seq *s);

#endif
