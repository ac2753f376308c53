/* tuner.h -- fine-tuning a model on conversations of the user's, as `tenon train --lora` and --full do it. */
#ifndef TENON_TUNER_H
#define TENON_TUNER_H

#include "train/train.h"

struct tuning {                                                       /* zeros: defaults */
    const char *model, *lora, *full, *targets;                        /* one of lora, full: files of conversations, with commas between */
    int64_t rank, n_ctx, patience;
    double alpha, epochs, held, replay;                               /* shares; replay below 0: 0.25 for the embedded model, else 0 */
    const char *tools;                                                /* file: of lines that have none */
    const char *packs;                                                /* where replayed conversations come from */
    const char *out;
    bool json;
};
#define TUNING_DEFAULTS { .rank = 16, .alpha = 32, .epochs = 3, .held = 0.1, .patience = 4, .n_ctx = 2048, .replay = -1 }

/* Trains and writes: an adapter (lora) or the whole model. o: ops, threads, seed, lr (0: by size), tokens, steps, stop. */
bool tune(const struct tuning *a, struct train_opts *o, struct err *e);

#endif
