/* train.h -- the door of train/: data, loss mask, optimizers, the step loop, export.
 *
 * Everything is a function of one seed: example i of a stream is the same whatever the thread
 * count, a run of 10 + 10 steps with a resume between is bit for bit a run of 20. */
#ifndef TENON_TRAIN_H
#define TENON_TRAIN_H

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "model/model.h"
#include "text/text.h"
#include "train/ranks.h"

/* ---- data: gen_example.c and its kin ------------------------------------------------------- */

#define DATAGEN_VERSION 3 /* another one when conversation i of a seed becomes another */

/* Where words, phrasings, schema shapes and packs may come from: training.md section 6. */
enum data_set { DATA_TRAIN, DATA_E1_IID, DATA_E2_TOOLS, DATA_E3_PHRASING, DATA_E4_ALL, DATA_SETS };
enum data_kind { KIND_COPY, KIND_SINGLE, KIND_MULTIPLE, KIND_PARALLEL, KIND_NONE, KIND_ASK,
                 KIND_GROUNDED, KIND_MULTI_TURN, DATA_KINDS };
const char *data_kind_name(enum data_kind k); /* "single", … as in the lines of `tenon eval` */

/* Class of a token as a target: decides its loss weight and the column of the log. */
enum token_class { TC_PROMPT, TC_STRUCT, TC_NAME, TC_KEY, TC_VALUE_FIRST, TC_VALUE_REST, TC_ASK,
                   TC_REFUSE, TC_ANSWER, TC_END, TOKEN_CLASSES };
const char *token_class_name(enum token_class c);

struct example { /* one conversation; memory of the arena */
    int n;
    int32_t *token;                                                   /* [n] */
    uint8_t *cls; /* [n] class of token i as a target of token i-1 */
    enum data_kind kind;
};

struct datagen_opts {
    const char *packs; /* folder of domain packs (split "train" only) */
    const char *const *extra_pack; int n_extra;                       /* --pack my.json */
    const char *lexicon, *dialogues; /* files, NULL: none (tools/lexicon.py, tools/dialogues.py) */
    int stage; /* 1..3: mixture and lengths of training.md 4.2 */
    uint64_t seed;
    const struct json *own; /* wrapped tools of the user's: conversations are about them alone; lent. NULL: none */
};
struct datagen; /* read-only once open: any thread may draw */
struct datagen *datagen_open(const struct datagen_opts *o, struct err *e);
void datagen_close(struct datagen *g);
/* Conversation number `index` of a set: {id, kind, tools, messages, expect, must_contain?, answer};
 * answer is the wanted assistant turn, which follows the messages. Owned by the caller. NULL when
 * there is no such set. */
struct json *datagen_conversation(const struct datagen *g, enum data_set set, int stage,
                                  uint64_t index, struct err *e);
/* The same as tokens with classes, rendered through the dialect of the embedded model. False with
 * ERR_LIMIT if longer than max_tokens (dropped and counted, never cut). */
bool datagen_example(const struct datagen *g, const struct tokenizer *t, enum data_set set,
                     int stage, uint64_t index, int max_tokens, struct arena *a,
                     struct example *out, struct err *e);

/* ---- loss: loss.c, batch.c ----------------------------------------------------------------- */

/* Weight of a token of this class as a target: prompt tokens 0.1, 0.02, 0 by stage, values 2 (their
 * first token 3), else 1. */
float class_weight(enum token_class c, int stage);
/* The same for a token that follows one of class `before`: 3 where an assistant turn or a tool's
 * name begins. */
float target_weight(enum token_class c, enum token_class before, int stage);

/* Where conversations come from: the generator, or made-up tokens in a test. draw has the contract
 * of datagen_example and is called by several threads at once. */
struct train_source {
    void *ctx;
    bool (*draw)(void *ctx, enum data_set set, int stage, uint64_t index, int max_tokens,
                 struct arena *a, struct example *out, struct err *e);
    uint64_t hash; /* tokenizer and generator version: part of a checkpoint */
};

/* ---- training run: run.c ------------------------------------------------------------------- */

enum train_shape { SHAPE_NANO, SHAPE_SMALL, SHAPE_BASE, SHAPE_DEEP, SHAPES };
const char *train_shape_name(enum train_shape s);
/* Fills c for a vocabulary of n_vocab tokens; ERR_ARG names the shapes there are. */
bool train_shape(struct model_config *c, const char *name, int n_vocab, struct err *e);

/* A model that a run begins with: its shape and weights; lent while the run opens. */
struct train_base {
    const struct model *model; const struct gguf *file;
    int n_ctx;                                                        /* longest conversation */
};

/* Fine-tuning: what of the base changes. */
struct tune_opts {
    int rank; float alpha; unsigned targets;                          /* low-rank additions; rank 0: all weights */
};

struct train_opts {
    struct model_config shape; /* of a run that begins at random */
    const struct train_base *base;                                    /* NULL: begins at random */
    const struct tune_opts *tune;                                     /* NULL: no fine-tuning, else with a base; lent */
    const struct grad_ops *ops;                                       /* lent: cpu_grad_ops() */
    int threads; /* workers, each with whole micro-batches */
    uint64_t seed;
    int64_t steps;    /* either: how many steps in all */
    double seconds;   /* or: how long in all; checkpoints count */
    int64_t pause_at; /* leave after this step, to be resumed; 0: no */
    double lr, decay; /* peak; share of the run that decays */
    int stage;        /* 1..3; 0: by share of the run */
    int tokens;       /* of a step; 0: 4k, then 8k by share of the run */
    const char *dir;  /* folder of the run: log.tsv, checkpoints; NULL: nothing is written */
    double save_every, eval_every, log_every; /* seconds; 0: never, but a checkpoint at the end */
    int eval_examples;                                                /* per set */
    bool status;                                                      /* progress on stderr */
    struct ranks ranks;                                               /* processes that share the steps; only rank 0 has dir, evaluations and status */
    const volatile int *stop; /* becomes 1: write a checkpoint and leave; may be NULL */
};
struct train_summary {
    int64_t step, tokens, examples, dropped;
    double seconds, loss, tokens_per_s;
    double e1, e2, best; /* exact match in [0, 1]; -1: not measured */
    bool stopped;
};

struct train; /* weights, optimizer state, counters of one run */
struct train *train_open(const struct train_opts *o, const struct train_source *src, struct err *e);
void          train_close(struct train *t);                           /* NULL is fine */
/* Goes on until steps, seconds or stop. False on a failed checkpoint, a pack error, or three steps
 * in a row whose gradient is not finite. */
bool train_run(struct train *t, struct err *e);
struct train_summary train_summary(const struct train *t);
const struct net *train_net(const struct train *t);
const float      *train_weights(const struct train *t);
/* All target arg-maxes right (= greedy exact match), over n examples of a set: share in [0, 1] over
 * all and per kind (-1: none drawn); loss is the mean over assistant tokens. */
struct train_score {
    double all, kind[DATA_KINDS], loss;
    double first; /* share of the assistant's turns whose first token is right */
    int n, n_kind[DATA_KINDS];
};
bool train_eval(struct train *t, enum data_set set, int stage, int n, struct train_score *out,
                struct err *e);

/* Checkpoints: a file is whole or absent. Refused: another shape, another tokenizer, damage. */
bool train_save(struct train *t, const char *path, struct err *e);
bool train_load(struct train *t, const char *path, struct err *e);
/* Weights only, tensors of equal name and shape: returns how many were taken, -1 on error. */
int  train_warm_start(struct train *t, const char *path, struct err *e);
/* Path of the newest checkpoint of a run's folder, owned by the caller; NULL if there is none. */
char *train_newest(const char *dir);

/* ---- fine-tuning: spoken.c, tune.c ---------------------------------------------------------- */

/* How a model speaks: what turns a conversation into tokens; lent. */
struct speech { const struct tokenizer *tok; const struct dialect *dialect; const struct jinja *template; };
/* A conversation {messages, tools?} in the one shape that dialects take, through the model's own template. The
 * assistant's turns, without what the template prints before them and after their end, have classes of their own; a
 * turn with "weight": 0 has not. ERR_LIMIT: longer than max_tokens. ERR_UNSUPPORTED: the template writes past
 * turns otherwise than the turn it asks for. */
bool spoken_example(const struct speech *s, const struct json *conversation, int max_tokens,
                    struct arena *a, struct example *out, struct err *e);

/* Conversations as examples, in memory: some to learn from, some held out, some from elsewhere against forgetting. */
struct lessons { struct example *item; int n, cap; struct arena mem; };
void lessons_put(struct lessons *l, const struct example *x);         /* copies */
void lessons_done(struct lessons *l);

struct tune_plan {
    const struct lessons *learn, *held, *replay;                      /* lent; held and replay may be empty */
    double epochs;                                                    /* how often every lesson is seen */
    double share;                                                     /* of what is seen: from replay */
    int patience;                                                     /* looks without a better loss on `held` that end it; 0: never */
};
struct tune_summary {
    int64_t steps, planned, tokens;
    double seconds, tokens_per_s;
    struct train_score before, after;                                 /* on what is held out (n 0: nothing is) */
};
/* Steps that the plan takes at o->tokens a step. */
int64_t tune_steps(const struct tune_plan *p, const struct train_opts *o);
/* Opens a run over the plan (o->tune, o->tokens; steps may be 0: as many as the plan has), trains, and leaves the best
 * weights in it; NULL on error. The caller's. */
struct train *tune_run(struct train_opts *o, const struct tune_plan *p, struct tune_summary *out,
                       struct err *e);
/* What was learned: a GGUF adapter of the additions; or the file again with the weights as they are now. */
bool tune_export_adapter(const struct train *t, const struct gguf *base, const char *path, struct err *e);
bool tune_export_model(const struct train *t, const struct gguf *base, const char *path, struct err *e);

/* ---- export: export.c; curves: plot.c ------------------------------------------------------ */

/* Writes the model as GGUF: matrices as `type`, norms and taps F32, tokenizer keys copied from
 * vocab, the chat template's text, tenon.dialect, and tenon.tools_max (0: left out), the tools beyond which some are chosen.
 * n_ctx: the context that the file states, 0: the trained one. */
struct export_opts {
    enum dtype type;
    const struct gguf *vocab;
    const char *chat_template, *name, *dialect;
    int tools_max, n_ctx;
};
bool train_export(const struct net *n, const float *w, const struct export_opts *o,
                  const char *path, struct err *e);
/* The same from a checkpoint alone. */
bool train_export_file(const char *checkpoint, const struct export_opts *o, const char *path,
                       struct err *e);

/* Loss of a checkpoint on the first conversations of a shard (`tenon data --shards`), as a step of
 * this stage computes it: what a trainer elsewhere must reproduce before it may run. At most
 * max_tokens rows; grad_norm is that of the gradient of the mean. */
struct shard_loss { double loss, weight, grad_norm; int rows, conversations; };
bool train_shard_loss(const char *checkpoint, const char *shard, int stage, int max_tokens,
                      const struct grad_ops *ops, struct shard_loss *out, struct err *e);

/* Draws columns of a run's log: an ASCII chart into out, and a small SVG (may be NULL). */
bool train_plot(const char *tsv, const char *const *column, int n_column, int width, int height,
                struct str *out, struct str *svg, struct err *e);

#endif
