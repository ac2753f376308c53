/* int.h -- what the files of model/ share: the architecture table's row, bound weights, and the
 * inside of the KV cache that the decoder reads. Nobody outside the room includes this. */
#ifndef TENON_MODEL_INT_H
#define TENON_MODEL_INT_H

#include "model/model.h"

/* ---- architectures: arch.c ------------------------------------------------------------------ */

/* A layer mixes by convolution or attention, and feeds forward densely or through experts. */
enum layer_kind { LAYER_CONV = 1, LAYER_ATTN = 2, LAYER_DENSE = 4, LAYER_MOE = 8 };
enum dim { DIM_ONE, DIM_EMBD, DIM_EMBD3, DIM_FF, DIM_Q, DIM_KV, DIM_HEAD, DIM_TAPS, DIM_VOCAB, DIM_EXPERT, DIM_FF_EXPERT };
enum slot_kind { SLOT_MATRIX, SLOT_VECTOR, SLOT_TAPS, SLOT_EXPERTS };

/* One tensor of a layer: its name after "blk.N.", where it is bound, which layers have it, its
 * shape. Experts: one tensor of three dimensions, or (`each`, with %d) one for every expert. */
struct slot {
    const char *name;
    size_t off;                                                       /* in struct layer */
    enum slot_kind kind;
    int where;                                                        /* layer_kind: its way to mix and its way to feed forward */
    enum dim n_out, n_in;
    bool optional;
    const char *each;
};
struct arch {
    const char *name;
    const struct slot *slot;
    int n_slot;
    enum rope_pairs pairs;
    bool conv;                                                        /* layers without KV heads are convolutions */
};
const struct arch *arch_find(const char *name);                       /* NULL if unknown */
const char        *arch_names(void);                                  /* for sentences: "lfm2" */

/* ---- weights: weights.c ---------------------------------------------------------------------- */

struct layer {
    int slot; /* index among its kind: KV or conv state */
    const float *norm_mix, *norm_ffn, *norm_q, *norm_k; /* [d], [d], [head_dim], [head_dim] */
    const float *taps;                                                /* [K, d], oldest first */
    const float *bias_q, *bias_k, *bias_v, *bias_out;                 /* NULL: none */
    union { struct { struct mat q, k, v; }; struct mat qkv[3]; };
    struct mat in, out; /* out: of attention or convolution */
    union { struct { struct mat gate, up; }; struct mat gate_up[2]; };
    struct mat down;
    struct mat router;                                                /* [n_expert, d] */
    const float *router_bias;                                         /* [n_expert] for choosing only; NULL: none */
    struct mat *gate_e, *up_e, *down_e;                               /* [n_expert] */
};
struct model {
    struct model_config cfg;
    const struct arch *arch;
    const struct ops *ops;
    struct layer *layer;
    struct mat embd, head; /* the same matrix when tied */
    const float *norm_out;
    float *freq; /* [head_dim/2] RoPE angle per position */
    struct arena own; /* vectors: copied, so that they are aligned */
    float attn_scale;                                                 /* 1 / sqrt(head_dim), more with YaRN */
    int n_attn, n_conv, n_mat;                                        /* matrices have ids 1 .. n_mat */
    size_t n_param, step_bytes;
};
/* The matrix with this tensor name, NULL: none, or one that is not multiplied with. Experts of one tensor: the first of
 * *n (else 1) that lie one behind the other. */
const struct mat *model_matrix(const struct model *m, const char *name, int *n);

/* ---- rope.c ------------------------------------------------------------------------------------- */

/* Fills freq and attn_scale from the configuration; divisor [head_dim / 2] of each pair's speed, NULL: none. */
bool rope_table(struct model *m, const float *divisor, struct err *e);

/* ---- experts.c: the feed-forward part of a mixture ------------------------------------------------ */

struct lora_rows { int n; const struct lora_use *use; int n_use; };    /* n rows that go through the same adapters */
/* y [n, d] = the chosen experts' answers to x [n, d], weighted; group: the adapters of the rows, in order. */
void experts_forward(const struct model *m, const struct layer *w, float *y, const float *x, int n, const struct lora_rows *group,
                     int n_group, enum phase ph, struct arena *tmp);

/* ---- lora.c --------------------------------------------------------------------------------------- */

/* y [n, w->n_out] += what the adapters make of x [n, w->n_in]. group: those of all rows of the batch; row [n]: which of
 * them these are, ascending (NULL: all of them). */
void lora_add(const struct model *m, const struct lora_rows *group, int n_group, float *y, const struct mat *w, const float *x,
              const int *row, int n, enum phase ph, struct arena *tmp);
/* h [n, n_embd] += what the adapters make of the tokens [n] where they are looked up. */
void lora_embed(const struct model *m, const struct lora_rows *group, int n_group, float *h, const int32_t *token, enum phase ph,
                struct arena *tmp);

/* ---- KV cache: kv.c -------------------------------------------------------------------------- */

/* Makes positions [kv_len, kv_len + n) of every sequence writable; ERR_FULL and ERR_LIMIT leave
 * everything as it was. */
bool   kv_reserve(struct kv *kv, const struct rows *rows, int n_rows, struct err *e);
void   kv_advance(struct kv *kv, int seq, int n);                     /* they are written now */
/* [KV_PAGE, n_head_kv, head_dim] */
enum dtype kv_type(const struct kv *kv);
void  *kv_keys(const struct kv *kv, int seq, int page, int layer);
void  *kv_values(const struct kv *kv, int seq, int page, int layer);
float *kv_conv(const struct kv *kv, int seq, int layer);              /* [K-1, d] running state */
/* The convolution state of a layer has reached the end of a page: keep it there. */
void   kv_checkpoint(struct kv *kv, int seq, int page, int layer);
/* The next position in (pos, end) where a state is to be kept, else end; and the state there of a layer. */
int    kv_next_mark(const struct kv *kv, int seq, int pos, int end);
void   kv_keep(struct kv *kv, int seq, int pos, int layer);

#endif
