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
int32_t sample_argmax(const float *logits, const uint32_t *mask, int n_vocab);
/* Uniform among the allowed tokens, logits unknown. */
int32_t sample_uniform(const uint32_t *mask, int n_vocab, double u);
/* Repeat, presence and frequency penalties over the tokens of text so far. */
void    sample_penalise(float *logits, int n_vocab, const struct ids *text, const struct sampling *o);
float   sample_logprob(const float *logits, int n_vocab, int32_t id);

/* ---- emit.c ----------------------------------------------------------------------------------- */

struct call_tool { const char *name; const struct json *description; struct json *schema; bool is_strict; };  /* schema ours */
struct gate { char hold[8]; int n; };                                 /* bytes of an unfinished code point */
struct emitter {                                                      /* committed tokens become events */
    struct voice voice;
    const struct call_tool *tool; int n_tool;
    struct wire wire;
    const struct json *tools;
    event_fn *fn; void *ctx;
    bool cancelled, want_tokens, random_ids, in_call;
    bool is_code;                                                     /* the open call is raw source */
    int n_call, first_id;
    char id[40];
    const struct call_tool *current;
    struct str args, out, held;                                       /* held: text that may begin a stop string */
    const struct json *stop; bool stopped;
    struct gate text, reasoning;
};
void emit_open(struct emitter *em, const struct voice *v, const struct request *r, const struct turn *t,
               const struct call_tool *tool, int n_tool, event_fn *fn, void *ctx);
void emit_token(struct emitter *em, int32_t id, enum token_origin o, float logprob);
/* Flushes. cut: neither the speaker ended the answer nor the limit, which leaves it whole. False: the parser found
 * a broken call. */
bool emit_close(struct emitter *em, bool cut, struct err *e);
void emit_event(struct emitter *em, const struct event *ev);
bool voice_is_special(const struct voice *v, int32_t id);

/* ---- whole.c ---------------------------------------------------------------------------------- */

/* Logits after each of n tokens that might follow what was committed: rows [n, stride]. Nothing is kept. */
typedef bool ahead_fn(void *ctx, const int32_t *tok, int n, float *rows, struct err *e);
struct whole {
    struct voice voice;
    const struct call_tool *tool; int n_tool, n_vocab, stride;
    const double *prior;                                              /* [n_tool] added to the log-probabilities */
    ahead_fn *ahead; void *ctx;
};
/* Call or text, by mass, that of calls times exp(lean); then the best token of the heavier kind. */
int32_t whole_turn(const struct voice *v, const float *logits, const uint32_t *mask, int n_vocab, double lean);
/* If a tool's name comes next: the tokens of the most probable name. now: logits here. */
bool whole_name(const struct whole *w, const struct matcher *m, const float *now, struct ids *out);

/* ---- lexical.c -------------------------------------------------------------------------------- */

/* How much each tool has in common with the last user turn: out [n]. */
void lexical_scores(const struct json *messages, const struct call_tool *tool, int n, double *out);

/* ---- seq.c ------------------------------------------------------------------------------------ */

/* Where logits come from: *out (n_vocab floats, may be changed by the caller) after the prompt and every
 * token committed; tok [n]: those since the last call. draft [n_draft]: tokens that may be committed next,
 * computed with them, so that a later call finds their logits ready; at most DRAFT_MOST. */
enum { DRAFT_MOST = 4 };
typedef bool logits_fn(void *ctx, const int32_t *tok, int n, const int32_t *draft, int n_draft, float **out, struct err *e);
struct seq_opts {
    struct voice voice;
    const struct request *r;
    int budget;                                                       /* tokens that may be generated */
    const char *budget_why;                                           /* "max_tokens is", "the prompt leaves" … */
    logits_fn *logits; void *logits_ctx;                              /* NULL: uniformly random choices */
    ahead_fn *ahead; int stride;                                      /* with logits_ctx */
    unsigned steer;                                                   /* enum steer */
    event_fn *fn; void *ctx;
    struct usage usage; struct timing timing; uint64_t start_ns;      /* what came before */
};
struct seq;
/* Compiles the grammar of the request and checks the budget: all refusals come from here. */
struct seq *seq_open(const struct seq_opts *o, struct err *e);
bool        seq_run(struct seq *s, struct err *e);                    /* to the end; sends EV_FINISH or EV_ERROR */
void        seq_close(struct seq *s);

#endif
