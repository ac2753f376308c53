/* arch.c -- the architectures we run, as data: which tensors a layer has and what shape they
 * must be.
 *
 * A new architecture is a row here plus, where it computes something new, a block in decoder.c.
 * The table is walked by weights.c; nothing else knows a tensor's name. */
#include "model/int.h"

#define AT(field) offsetof(struct layer, field)

enum {
    ANY_FFN = LAYER_DENSE | LAYER_MOE, ANY_MIX = LAYER_CONV | LAYER_ATTN,
    ALL = ANY_MIX | ANY_FFN, CONV = LAYER_CONV | ANY_FFN, ATTN = LAYER_ATTN | ANY_FFN,
    DENSE = ANY_MIX | LAYER_DENSE, MOE = ANY_MIX | LAYER_MOE
};

#define NORMS \
    { "attn_norm.weight",      AT(norm_mix),    SLOT_VECTOR,  ALL,   DIM_ONE,       DIM_EMBD }, \
    { "ffn_norm.weight",       AT(norm_ffn),    SLOT_VECTOR,  ALL,   DIM_ONE,       DIM_EMBD }
#define ATTENTION \
    { "attn_q.weight",         AT(q),           SLOT_MATRIX,  ATTN,  DIM_Q,         DIM_EMBD }, \
    { "attn_k.weight",         AT(k),           SLOT_MATRIX,  ATTN,  DIM_KV,        DIM_EMBD }, \
    { "attn_v.weight",         AT(v),           SLOT_MATRIX,  ATTN,  DIM_KV,        DIM_EMBD }, \
    { "attn_output.weight",    AT(out),         SLOT_MATRIX,  ATTN,  DIM_EMBD,      DIM_Q }
#define HEAD_NORMS \
    { "attn_q_norm.weight",    AT(norm_q),      SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_HEAD }, \
    { "attn_k_norm.weight",    AT(norm_k),      SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_HEAD }
#define BIASES(optional) \
    { "attn_q.bias",           AT(bias_q),      SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_Q, optional, NULL }, \
    { "attn_k.bias",           AT(bias_k),      SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_KV, optional, NULL }, \
    { "attn_v.bias",           AT(bias_v),      SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_KV, optional, NULL }
#define FEED_FORWARD \
    { "ffn_gate.weight",       AT(gate),        SLOT_MATRIX,  DENSE, DIM_FF,        DIM_EMBD }, \
    { "ffn_up.weight",         AT(up),          SLOT_MATRIX,  DENSE, DIM_FF,        DIM_EMBD }, \
    { "ffn_down.weight",       AT(down),        SLOT_MATRIX,  DENSE, DIM_EMBD,      DIM_FF }
#define EXPERTS \
    { "ffn_gate_inp.weight",   AT(router),      SLOT_MATRIX,  MOE,   DIM_EXPERT,    DIM_EMBD }, \
    { "ffn_gate_exps.weight",  AT(gate_e),      SLOT_EXPERTS, MOE,   DIM_FF_EXPERT, DIM_EMBD, false, "ffn_gate.%d.weight" }, \
    { "ffn_up_exps.weight",    AT(up_e),        SLOT_EXPERTS, MOE,   DIM_FF_EXPERT, DIM_EMBD, false, "ffn_up.%d.weight" }, \
    { "ffn_down_exps.weight",  AT(down_e),      SLOT_EXPERTS, MOE,   DIM_EMBD,      DIM_FF_EXPERT, false, "ffn_down.%d.weight" }
#define SHORTCONV \
    { "shortconv.in_proj.weight", AT(in),       SLOT_MATRIX,  CONV,  DIM_EMBD3,     DIM_EMBD }, \
    { "shortconv.conv.weight",    AT(taps),     SLOT_TAPS,    CONV,  DIM_EMBD,      DIM_TAPS }, \
    { "shortconv.out_proj.weight", AT(out),     SLOT_MATRIX,  CONV,  DIM_EMBD,      DIM_EMBD }

static const struct slot lfm2_slots[] = { NORMS, FEED_FORWARD, ATTENTION, HEAD_NORMS, SHORTCONV };
static const struct slot lfm2moe_slots[] = {
    NORMS, FEED_FORWARD, EXPERTS, ATTENTION, HEAD_NORMS, SHORTCONV,
    { "exp_probs_b.bias",      AT(router_bias), SLOT_VECTOR,  MOE,   DIM_ONE,       DIM_EXPERT, true, NULL },
};
/* Llama 1 to 3, Mistral, Mixtral and what was tuned from them. */
static const struct slot llama_slots[] = {
    NORMS, FEED_FORWARD, EXPERTS, ATTENTION, BIASES(true),
    { "attn_output.bias",      AT(bias_out),    SLOT_VECTOR,  ATTN,  DIM_ONE,       DIM_EMBD, true, NULL },
};
static const struct slot qwen2_slots[] = { NORMS, FEED_FORWARD, ATTENTION, BIASES(false) };
static const struct slot qwen3_slots[] = { NORMS, FEED_FORWARD, ATTENTION, HEAD_NORMS, BIASES(true) };

/* Only Llama's converter turns the rows of queries and keys, so that neighbours make a pair. */
static const struct arch archs[] = {
    { "lfm2",    lfm2_slots,    LEN(lfm2_slots),    ROPE_HALVES,     true },
    { "lfm2moe", lfm2moe_slots, LEN(lfm2moe_slots), ROPE_HALVES,     true },
    { "llama",   llama_slots,   LEN(llama_slots),   ROPE_NEIGHBOURS, false },
    { "qwen2",   qwen2_slots,   LEN(qwen2_slots),   ROPE_HALVES,     false },
    { "qwen3",   qwen3_slots,   LEN(qwen3_slots),   ROPE_HALVES,     false },
};

const struct arch *arch_find(const char *name)
{
    for (size_t i = 0; i < LEN(archs); i++)
        if (!strcmp(archs[i].name, name)) return &archs[i];
    return NULL;
}

const char *arch_names(void)
{
    static char names[256];
    size_t n = 0;
    for (size_t i = 0; i < LEN(archs) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", archs[i].name);
    return names;
}
