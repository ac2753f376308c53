/* mix.h -- what a TYPE on the command line means for each tensor of a model, and numbers going from one
 * format into another. Shared by the verbs that write model files. */
#ifndef TENON_MIX_H
#define TENON_MIX_H

#include "front.h"
#include "tensor/tensor.h"

struct mix;
bool        mix_find(const char *name, const struct mix **out, struct err *e); /* "q4_k_m"; ERR_ARG lists all */
const char *mix_name(const struct mix *m);
uint32_t    mix_file_type(const struct mix *m);                       /* general.file_type */
bool        mix_is_quantised(const struct mix *m);

/* What a mix asks about a model: numbers set by the caller, then every tensor's name, in any order. */
#define MIX_LAYERS 1024
struct mix_model {
    int n_layer, gqa, n_expert;                                       /* gqa: query heads per value head of layer 0, or 0 */
    bool is_llama, has_output, has_importance;                       /* an importance matrix is used */
    int attn_v[MIX_LAYERS], ffn_down[MIX_LAYERS];                     /* such matrices in each layer */
};
void mix_see(struct mix_model *s, const char *name);
/* The format t gets; its own where nothing is changed (vectors, norms, routers, taps). pure: the base
 * format for every matrix. */
enum dtype mix_type(const struct mix *m, const struct mix_model *s, const struct tensor *t, bool pure);

/* ---- writing ---- */

/* What a verb has written so far, and what it lost; also whether a line per matrix is shown. */
struct tally {
    bool is_shown, has_bar;                                           /* a line per matrix; below them a bar (a terminal) */
    uint64_t start_ns;                                                /* of the first repacking; 0: before it */
    size_t done, done_bytes, plan_bytes;                              /* matrices repacked, bytes of them, of all that will be */
    double err2, sum2;                                                /* squared error, squared values */
    struct { int64_t elements; size_t bytes; } used[DT_COUNT];
};
/* Plans t in format d: sets dtype and bytes, and counts it. */
void tally_plan(struct tally *w, struct tensor *t, enum dtype d);
/* The values of `from` (its data) into dst in the format of `to`, by all threads of the pool. importance
 * [experts, row]: of each column (imatrix.h), NULL: none. False: a value is not finite, or too large for
 * the format; nothing is clipped silently. */
bool tally_repack(struct tally *w, struct pool *pool, const struct tensor *from, const struct tensor *to,
                  const float *importance, void *dst, struct err *e);
/* The result on stdout: a line, or one JSON object. */
void tally_print(const struct tally *w, const char *path, const char *type, bool json);

#endif
