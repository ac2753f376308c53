/* net.h -- private to model/: the trainable network behind `struct net` (net.c, decoder_grad.c). */
#ifndef TENON_MODEL_NET_H
#define TENON_MODEL_NET_H

#include "model/model.h"

/* Offsets into the flat array. Neighbours that share an input lie back to back and are multiplied as
 * one matrix: q, k, v as `qkv`, gate and up as `up`. */
struct net_layer {
    int n_head_kv;                                                    /* 0: convolution */
    size_t norm, in, taps, out;                                       /* in: shortconv.in_proj or q,k,v; out: out_proj or attn_output */
    size_t q_norm, k_norm;
    size_t ffn_norm, up, down;
};

/* An addition to the matrix [rows, cols] that lies at `base`. */
struct net_pair { size_t base, a, b; int rows, cols; };

struct net {
    struct model_config cfg;
    struct param *param;
    size_t n_tensor, cap, n_float;
    size_t frozen, frozen_tensors;                                    /* at the front: no gradient */
    struct net_layer *layer;                                          /* [n_layer] */
    size_t embd, head, final_norm;                                    /* head: embd if tied */
    bool head_norm;                                                   /* q and k are normed, pairs are halves; else pairs are neighbours */
    struct net_pair *pair; int n_pair, cap_pair;                      /* in the order of base */
    int rank; float pair_scale;                                       /* of all pairs */
    float attn_scale;
    float *rope;                                                      /* [n_ctx, head_dim]: cos then sin of each position */
};

#endif
