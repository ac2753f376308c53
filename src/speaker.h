/* speaker.h -- everything that must be open before a model can answer: file, threads, kernels, engine. */
#ifndef TENON_SPEAKER_H
#define TENON_SPEAKER_H

#include "format/format.h"
#include "gen/gen.h"

struct speaker {
    struct gguf *g; struct pool *pool; const struct ops *ops; struct engine *engine;
    struct gguf **lora_file; struct lora_use *lora; int n_lora;       /* adapters */
};

/* path NULL: the embedded model; dialect NULL: found in the file; n_ctx, n_thread 0: defaults.
 * False: nothing stays open. */
bool speaker_open(struct speaker *s, const char *path, const char *dialect, int64_t n_ctx, int64_t n_thread, struct err *e);
/* Adapters beside the model: FILE or FILE=SCALE each. False: the speaker is to be closed. */
bool speaker_adapt(struct speaker *s, const char *const *spec, int n, struct err *e);
bool speaker_adapters(struct speaker *s, const struct model *m, const char *const *spec, int n, struct err *e);        /* opens them only */
void speaker_close(struct speaker *s);                                /* NULL-safe on a zeroed struct */

#endif
