/* int.h -- what the files of model/ share: the architecture table's row, bound weights, and the
 * inside of the KV cache that the decoder reads. Nobody outside the room includes this. */
#ifndef TENON_MODEL_INT_H
#define TENON_MODEL_INT_H

#include "model/model.h"

/* ---- architectures: arch.c ------------------------------------------------------------------ */

enum layer_kind { LAYER_CONV = 1, LAYER_ATTN = 2, LAYER_ANY = 3 };
enum dim { DIM_ONE, DIM_EMBD, DIM_EMBD3, DIM_FF, DIM_Q, DIM_KV, DIM_HEAD, DIM_TAPS, DIM_VOCAB };
enum slot_kind { SLOT_MATRIX, SLOT_VECTOR, SLOT_TAPS };

/* One tensor of a layer: its name after "blk.N.", where it is bound, which layers have it, its
 * shape. */
struct slot {
    const char *name;
    size_t off;                                                       /* in struct layer */
    enum slot_kind kind;
    enum layer_kind where;
    enum dim n_out, n_in;
};
struct arch {
    const char *name;
    const struct slot *slot;
    int n_slot;
};
const struct arch *arch_find(const char *name);                       /* NULL if unknown */
const char        *arch_names(void);                                  /* for sentences: "lfm2" */

/* ---- weights: weights.c ---------------------------------------------------------------------- */

struct layer {
    int slot; /* index among its kind: KV or conv state */
    const float *norm_mix, *norm_ffn, *norm_q, *norm_k; /* [d], [d], [head_dim], [head_dim] */
    const float *taps;                                                /* [K, d], oldest first */
    struct mat q, k, v, in, out, gate, up, down; /* out: of attention or convolution */
};
struct model {
    struct model_config cfg;
    const struct ops *ops;
    struct layer *layer;
    struct mat embd, head; /* the same matrix when tied */
    const float *norm_out;
    float *freq; /* [head_dim/2] RoPE angle per position */
    struct arena own; /* vectors: copied, so that they are aligned */
    float attn_scale;                                                 /* 1 / sqrt(head_dim) */
    int n_attn, n_conv;
    size_t n_param, step_bytes;
};

/* ---- KV cache: kv.c -------------------------------------------------------------------------- */

/* Makes positions [kv_len, kv_len + n) writable; ERR_FULL and ERR_LIMIT leave everything as it
 * was. */
bool   kv_reserve(struct kv *kv, int seq, int n, struct err *e);
void   kv_advance(struct kv *kv, int seq, int n);                     /* they are written now */
/* [KV_PAGE, n_head_kv, head_dim] */
void  *kv_keys(const struct kv *kv, int seq, int page, int layer);
void  *kv_values(const struct kv *kv, int seq, int page, int layer);
float *kv_conv(const struct kv *kv, int seq, int layer);              /* [K-1, d] running state */
/* The convolution state of a layer has reached the end of a page: keep it there. */
void   kv_checkpoint(struct kv *kv, int seq, int page, int layer);

#endif
