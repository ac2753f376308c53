/* speaker.h -- everything that must be open before a model can answer: file, threads, kernels, engine. */
#ifndef TENON_SPEAKER_H
#define TENON_SPEAKER_H

#include "format/format.h"
#include "gen/gen.h"

struct speaker {
    struct gguf *g; struct pool *pool; const struct ops *ops; struct engine *engine;
    int tools_max;                                                    /* of what the loop asks, as engine_retrieve(); 0: all are shown */
    struct gguf **lora_file; struct lora_use *lora; int n_lora;       /* adapters */
};

struct speaker_opts {                                                 /* zeros: defaults */
    const char *path, *dialect;                                       /* NULL: the embedded model, found in the file */
    const char *kv_type;                                              /* of the KV cache: f32, f16, bf16, q8_0; NULL: f16 */
    int64_t n_ctx, n_thread;
    bool no_mmap, mlock;                                              /* the file read into memory; kept from being paged out */
    const char *const *lora; int n_lora;                              /* adapters: FILE or FILE=SCALE each */
};
/* False: nothing stays open. */
bool speaker_open(struct speaker *s, const struct speaker_opts *o, struct err *e);
/* Opens adapters only; they are closed with the speaker. */
bool speaker_adapters(struct speaker *s, const struct model *m, const char *const *spec, int n, struct err *e);
/* The adapters of spec instead of those there are. False: nothing changed. */
bool speaker_adapt(struct speaker *s, const char *const *spec, int n, struct err *e);
void speaker_close(struct speaker *s);                                /* NULL-safe on a zeroed struct */

#endif
