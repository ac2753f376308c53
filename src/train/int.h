/* int.h -- what the files of the training run share (the data generator has gen_int.h). */
#ifndef TENON_TRAIN_INT_H
#define TENON_TRAIN_INT_H

#include <stdatomic.h>

#include "train/train.h"

/* ---- batch.c: conversations become a pack --------------------------------------------- */

struct batch_buf { /* of one worker; arrays grow, never shrink */
    struct pack p;
    int cap, cap_seq;
    int32_t *token, *target, *start, *length, *pos0;
    float *weight;
    uint8_t *cls;
    int64_t drawn, dropped;                                           /* of the last fill */
    struct arena mem; /* the conversation being added */
};
void batch_done(struct batch_buf *b);
void batch_clear(struct batch_buf *b);
/* Appends x; the target of row i is token i+1, weighted by its class. */
void batch_add(struct batch_buf *b, const struct example *x, int stage, int pos0);
#define PER_MICRO 4096   /* conversation numbers set aside for each micro-batch */
#define MICRO_TOKENS 1024                                             /* rows of one, and what its last conversation adds */
#define STAGE_TUNE 4     /* prompts weigh nothing, any length */
/* Micro-batch number `index` of a stage: conversations until there are at least `tokens` rows. */
bool batch_fill(struct batch_buf *b, const struct train_source *src, int stage, uint64_t seed,
                uint64_t index, int tokens, int n_ctx, struct err *e);
int stage_max_tokens(int stage); /* longest conversation of a stage */

/* Loss and hits by class of target. */
struct class_sums { double loss[TOKEN_CLASSES], n[TOKEN_CLASSES], hit[TOKEN_CLASSES]; };     /* all numbers: summed over processes */
void class_add(struct class_sums *s, const struct batch_buf *b, const float *row_loss,
               const uint8_t *row_hit);
void class_merge(struct class_sums *s, const struct class_sums *with);

/* ---- adamw.c, muon.c: one tensor, one step -------------------------------------------- */

struct adamw { float lr, b1, b2, eps, decay; int64_t step; };         /* step counts from 1 */
void adamw_update(const struct adamw *o, float *w, float *m, float *v, const float *g, size_t n,
                  float clip);
struct muon { float lr, momentum, decay; };
void muon_update(const struct muon *o, float *w, float *m, const float *g, int rows, int cols,
                 float clip, gemm_fn *gemm, struct arena *tmp);

/* ---- schedule.c ----------------------------------------------------------------------- */

/* progress in [0, 1]: share of the run that lies behind. */
float schedule_lr(const struct train_opts *o, int64_t step, double progress);
int   schedule_stage(const struct train_opts *o, double progress);
int   schedule_tokens(const struct train_opts *o, double progress);

/* ---- run.c ---------------------------------------------------------------------------- */

struct worker {                                                       /* scratch of one thread */
    struct batch_buf batch;
    float *row_loss;
    uint8_t *row_hit;
    int cap_row;
    struct arena tmp;
    struct pack_loss loss;                                            /* of an evaluation */
    struct err err;
};

/* What one micro-batch leaves behind, whoever computed it. */
struct micro {
    float *g;                                                         /* gradient, flat */
    struct class_sums sums;
    struct pack_loss loss;
    int64_t tokens, drawn, dropped;
};

/* What a checkpoint carries beside weights and moments; plain numbers, written as they lie here. */
struct counters {
    int64_t step, tokens, examples, dropped;
    uint64_t micro;                                                   /* next micro-batch */
    double seconds;               /* spent in this run, all its parts */
    double loss_ema, loss_weight; /* running mean of the training loss */
    double e1, e2, best;                                              /* last scores, best E2 */
    int64_t bad_steps;                                                /* in a row */
};

struct status;
struct train {
    struct train_opts o;
    struct train_source src;
    struct net *net;
    struct pool *pool;
    struct worker *worker;                                            /* [threads] */
    struct micro *micro; /* [n_micro], the step's; grows */
    int n_micro, cap_micro;                                           /* those of this process */
    atomic_int next; /* next micro-batch or tensor to claim */
    float *w, *m, *v;                                                 /* flat: weights, moments */
    double *norm2; /* [n_tensor] squares of the gradient, this step */
    struct counters c;
    float lr, grad_norm, clip, scale;                                 /* of the last step; scale: of its gradient */
    int stage;
    struct class_sums sums;                                           /* since the last log line */
    struct status *status;
    double part_seconds, part_tokens;                                 /* this process alone */
};

double train_progress(const struct train *t);                         /* [0, 1] */
bool   train_step(struct train *t, struct err *e);
void   train_tick(struct train *t, uint64_t *last);                    /* books the time since *last, now */
bool   train_stopped(const struct train *t);
size_t train_n_free(const struct train *t);                           /* floats that are trained; they lie at the end */

/* ---- ckpt.c ---- */

/* The weights of a checkpoint alone, and the shape they have; w lies in the mapped file. */
struct weights_file { struct map map; struct net *net; const float *w; };
bool weights_open(struct weights_file *f, const char *path, struct err *e);
void weights_close(struct weights_file *f);

void ckpt_prune(const char *dir, int keep); /* removes all but the newest step files */

/* ---- status.c: progress on stderr, log.tsv -------------------------------------------- */

struct score_row { bool measured; struct train_score set[DATA_SETS]; };
struct status *status_open(const struct train *t, struct err *e);
void status_close(struct status *s);
/* The moving line, at most a few times a second. */
void status_step(struct status *s, const struct train *t);
/* A line of the log; clears t->sums. */
bool status_log(struct status *s, struct train *t, const struct score_row *score,
                struct err *e);

#endif
