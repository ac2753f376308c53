/* train.h -- the door of train/: data, loss mask, optimizers, the step loop, export.
 *
 * Everything is a function of one seed: example i of a stream is the same whatever the thread count,
 * a run of 10 + 10 steps with a resume between is bit for bit a run of 20. */
#ifndef TENON_TRAIN_H
#define TENON_TRAIN_H

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "model/model.h"
#include "text/text.h"

/* ---- data: generator.c and its kin ------------------------------------------------------------ */

/* Where words, phrasings, schema shapes and packs may come from: training.md section 6. */
enum data_set { DATA_TRAIN, DATA_E1_IID, DATA_E2_TOOLS, DATA_E3_PHRASING, DATA_E4_ALL, DATA_SETS };
enum data_kind { KIND_COPY, KIND_SINGLE, KIND_MULTIPLE, KIND_PARALLEL, KIND_NONE, KIND_ASK, KIND_GROUNDED,
                 KIND_MULTI_TURN, DATA_KINDS };
const char *data_kind_name(enum data_kind k);                         /* "single", … as in the lines of `tenon eval` */

/* Class of a token as a target: decides its loss weight and the column of the log. */
enum token_class { TC_PROMPT, TC_STRUCT, TC_NAME, TC_KEY, TC_VALUE_FIRST, TC_VALUE_REST, TC_ASK, TC_REFUSE,
                   TC_ANSWER, TC_END, TOKEN_CLASSES };
const char *token_class_name(enum token_class c);

struct example {                                                      /* one conversation; memory of the arena */
    int n;
    int32_t *token;                                                   /* [n] */
    uint8_t *cls;                                                     /* [n] class of token i as a target of token i-1 */
    enum data_kind kind;
};

struct datagen_opts {
    const char *packs;                                                /* folder of domain packs (split "train" only) */
    const char *const *extra_pack; int n_extra;                       /* --pack my.json */
    int stage;                                                        /* 1..3: mixture and lengths of training.md 4.2 */
    uint64_t seed;
};
struct datagen;                                                       /* read-only once open: any thread may draw */
struct datagen *datagen_open(const struct datagen_opts *o, struct err *e);
void datagen_close(struct datagen *g);
/* Conversation number `index` of a set: {id, kind, tools, messages, expect, must_contain?}, messages end with
 * the wanted assistant turn for training (`answer` member), owned by the caller. NULL on a pack error. */
struct json *datagen_conversation(const struct datagen *g, enum data_set set, int stage, uint64_t index, struct err *e);
/* The same as tokens with classes, rendered through the dialect of the embedded model. False with
 * ERR_LIMIT if longer than max_tokens (dropped and counted, never cut). */
bool datagen_example(const struct datagen *g, const struct tokenizer *t, enum data_set set, int stage, uint64_t index,
                     int max_tokens, struct arena *a, struct example *out, struct err *e);

/* ---- training run: run.c ------------------------------------------------------------------------ */

struct train_opts;                                                    /* run.c; filled by the front door */

#endif
