/* hf_names.c -- the model types we convert, as data: how each tensor is called in a Hugging Face folder
 * and in a GGUF file, and what shape it must have.
 *
 * A new model type is a row of the last table and, where its names differ, a table of rows. Nothing else
 * knows a tensor's name. Whether the rows of a head are permuted is a matter of the architecture alone:
 * llama rotates neighbouring pairs, all others rotate the halves of a head, as the folder has them. */
#include <stdlib.h>

#include "format/hf.h"

#define LAYER "model.layers.#."

#define GLOBAL_ROWS \
    { "model.embed_tokens.weight", "token_embd.weight",  HF_VOCAB, HF_EMBD, HF_ANY, 0 }, \
    { "model.norm.weight",         "output_norm.weight", HF_ONE,   HF_EMBD, HF_ANY, 0 }, \
    { "lm_head.weight",            "output.weight",      HF_VOCAB, HF_EMBD, HF_ANY, HF_OPTIONAL }
#define NORM_ROWS \
    { LAYER "input_layernorm.weight",          "blk.#.attn_norm.weight", HF_ONE, HF_EMBD, HF_ANY, 0 }, \
    { LAYER "post_attention_layernorm.weight", "blk.#.ffn_norm.weight",  HF_ONE, HF_EMBD, HF_ANY, 0 }
/* how: HF_PERMUTE or 0; bias: HF_OPTIONAL or 0 */
#define ATTN_ROWS(how, bias) \
    { LAYER "self_attn.q_proj.weight", "blk.#.attn_q.weight",      HF_Q,    HF_EMBD, HF_ANY, how }, \
    { LAYER "self_attn.q_proj.bias",   "blk.#.attn_q.bias",        HF_ONE,  HF_Q,    HF_ANY, (bias) | (how) }, \
    { LAYER "self_attn.k_proj.weight", "blk.#.attn_k.weight",      HF_KV,   HF_EMBD, HF_ANY, how }, \
    { LAYER "self_attn.k_proj.bias",   "blk.#.attn_k.bias",        HF_ONE,  HF_KV,   HF_ANY, (bias) | (how) }, \
    { LAYER "self_attn.v_proj.weight", "blk.#.attn_v.weight",      HF_KV,   HF_EMBD, HF_ANY, 0 }, \
    { LAYER "self_attn.v_proj.bias",   "blk.#.attn_v.bias",        HF_ONE,  HF_KV,   HF_ANY, bias }, \
    { LAYER "self_attn.o_proj.weight", "blk.#.attn_output.weight", HF_EMBD, HF_Q,    HF_ANY, 0 }, \
    { LAYER "self_attn.o_proj.bias",   "blk.#.attn_output.bias",   HF_ONE,  HF_EMBD, HF_ANY, HF_OPTIONAL }
#define MLP_ROWS \
    { LAYER "mlp.gate_proj.weight", "blk.#.ffn_gate.weight", HF_FF,   HF_EMBD, HF_ANY, 0 }, \
    { LAYER "mlp.gate_proj.bias",   "blk.#.ffn_gate.bias",   HF_ONE,  HF_FF,   HF_ANY, HF_OPTIONAL }, \
    { LAYER "mlp.up_proj.weight",   "blk.#.ffn_up.weight",   HF_FF,   HF_EMBD, HF_ANY, 0 }, \
    { LAYER "mlp.up_proj.bias",     "blk.#.ffn_up.bias",     HF_ONE,  HF_FF,   HF_ANY, HF_OPTIONAL }, \
    { LAYER "mlp.down_proj.weight", "blk.#.ffn_down.weight", HF_EMBD, HF_FF,   HF_ANY, 0 }, \
    { LAYER "mlp.down_proj.bias",   "blk.#.ffn_down.bias",   HF_ONE,  HF_EMBD, HF_ANY, HF_OPTIONAL }

static const struct hf_row llama_rows[] = {
    GLOBAL_ROWS, NORM_ROWS, ATTN_ROWS(HF_PERMUTE, HF_OPTIONAL), MLP_ROWS };

static const struct hf_row mixtral_rows[] = {
    GLOBAL_ROWS, NORM_ROWS, ATTN_ROWS(HF_PERMUTE, HF_OPTIONAL),
    { LAYER "block_sparse_moe.gate.weight",         "blk.#.ffn_gate_inp.weight",  HF_EXPERT, HF_EMBD, HF_ANY, HF_F32 },
    { LAYER "block_sparse_moe.experts.*.w1.weight", "blk.#.ffn_gate_exps.weight", HF_FF,     HF_EMBD, HF_ANY, 0 },
    { LAYER "block_sparse_moe.experts.*.w3.weight", "blk.#.ffn_up_exps.weight",   HF_FF,     HF_EMBD, HF_ANY, 0 },
    { LAYER "block_sparse_moe.experts.*.w2.weight", "blk.#.ffn_down_exps.weight", HF_EMBD,   HF_FF,   HF_ANY, 0 },
};

static const struct hf_row qwen2_rows[] = { GLOBAL_ROWS, NORM_ROWS, ATTN_ROWS(0, 0), MLP_ROWS };

static const struct hf_row qwen3_rows[] = {
    GLOBAL_ROWS, NORM_ROWS, ATTN_ROWS(0, HF_OPTIONAL),
    { LAYER "self_attn.q_norm.weight", "blk.#.attn_q_norm.weight", HF_ONE, HF_HEAD, HF_ANY, 0 },
    { LAYER "self_attn.k_norm.weight", "blk.#.attn_k_norm.weight", HF_ONE, HF_HEAD, HF_ANY, 0 },
    MLP_ROWS };

/* The norm after the last layer is called after the embedding, in the folder as in the file. */
static const struct hf_row lfm2_rows[] = {
    { "model.embed_tokens.weight",    "token_embd.weight",      HF_VOCAB, HF_EMBD, HF_ANY, 0 },
    { "model.embedding_norm.weight",  "token_embd_norm.weight", HF_ONE,   HF_EMBD, HF_ANY, 0 },
    { "lm_head.weight",               "output.weight",          HF_VOCAB, HF_EMBD, HF_ANY, HF_OPTIONAL },
    { LAYER "operator_norm.weight",   "blk.#.attn_norm.weight", HF_ONE,   HF_EMBD, HF_ANY, 0 },
    { LAYER "ffn_norm.weight",        "blk.#.ffn_norm.weight",  HF_ONE,   HF_EMBD, HF_ANY, 0 },
    { LAYER "conv.in_proj.weight",    "blk.#.shortconv.in_proj.weight",  HF_EMBD3, HF_EMBD, HF_CONV, 0 },
    { LAYER "conv.conv.weight",       "blk.#.shortconv.conv.weight",     HF_EMBD,  HF_TAPS, HF_CONV, HF_F32 | HF_TAP },
    { LAYER "conv.out_proj.weight",   "blk.#.shortconv.out_proj.weight", HF_EMBD,  HF_EMBD, HF_CONV, 0 },
    { LAYER "self_attn.q_proj.weight",      "blk.#.attn_q.weight",      HF_Q,    HF_EMBD, HF_ATTN, 0 },
    { LAYER "self_attn.k_proj.weight",      "blk.#.attn_k.weight",      HF_KV,   HF_EMBD, HF_ATTN, 0 },
    { LAYER "self_attn.v_proj.weight",      "blk.#.attn_v.weight",      HF_KV,   HF_EMBD, HF_ATTN, 0 },
    { LAYER "self_attn.out_proj.weight",    "blk.#.attn_output.weight", HF_EMBD, HF_Q,    HF_ATTN, 0 },
    { LAYER "self_attn.q_layernorm.weight", "blk.#.attn_q_norm.weight", HF_ONE,  HF_HEAD, HF_ATTN, 0 },
    { LAYER "self_attn.k_layernorm.weight", "blk.#.attn_k_norm.weight", HF_ONE,  HF_HEAD, HF_ATTN, 0 },
    { LAYER "feed_forward.w1.weight", "blk.#.ffn_gate.weight", HF_FF,   HF_EMBD, HF_DENSE, 0 },
    { LAYER "feed_forward.w3.weight", "blk.#.ffn_up.weight",   HF_FF,   HF_EMBD, HF_DENSE, 0 },
    { LAYER "feed_forward.w2.weight", "blk.#.ffn_down.weight", HF_EMBD, HF_FF,   HF_DENSE, 0 },
    { LAYER "feed_forward.gate.weight", "blk.#.ffn_gate_inp.weight", HF_EXPERT, HF_EMBD,   HF_MOE, HF_F32 },
    { LAYER "feed_forward.expert_bias", "blk.#.exp_probs_b.bias",    HF_ONE,    HF_EXPERT, HF_MOE, HF_OPTIONAL },
    { LAYER "feed_forward.experts.*.w1.weight", "blk.#.ffn_gate_exps.weight", HF_EXPERT_FF, HF_EMBD, HF_MOE, 0,
      LAYER "feed_forward.experts.gate_up_proj", 0, 2 },
    { LAYER "feed_forward.experts.*.w3.weight", "blk.#.ffn_up_exps.weight",   HF_EXPERT_FF, HF_EMBD, HF_MOE, 0,
      LAYER "feed_forward.experts.gate_up_proj", 1, 2 },
    { LAYER "feed_forward.experts.*.w2.weight", "blk.#.ffn_down_exps.weight", HF_EMBD, HF_EXPERT_FF, HF_MOE, 0,
      LAYER "feed_forward.experts.down_proj",    0, 1 },
};

static const struct hf_kind kinds[] = {
    { "lfm2",     "lfm2",    lfm2_rows,    LEN(lfm2_rows),    1e6 },
    { "lfm2_moe", "lfm2moe", lfm2_rows,    LEN(lfm2_rows),    1e6 },
    { "llama",    "llama",   llama_rows,   LEN(llama_rows),   1e4 },
    { "mistral",  "llama",   llama_rows,   LEN(llama_rows),   1e4 },
    { "mixtral",  "llama",   mixtral_rows, LEN(mixtral_rows), 1e6 },
    { "qwen2",    "qwen2",   qwen2_rows,   LEN(qwen2_rows),   1e4 },
    { "qwen3",    "qwen3",   qwen3_rows,   LEN(qwen3_rows),   1e4 },
};

const struct hf_kind *hf_kind_find(const char *type)
{
    for (size_t i = 0; i < LEN(kinds); i++)
        if (!strcmp(kinds[i].type, type)) return &kinds[i];
    return NULL;
}

/* "model.layers.12.x" against "model.layers.#.x". */
static bool is_spelled(const char *row, const char *name, int *layer)
{
    *layer = 0;
    for (; *row && *row == *name; row++, name++) {}
    if (*row != '#') return !*row && !*name;
    char *end;
    if (*name < '0' || *name > '9') return false;
    long v = strtol(name, &end, 10);
    *layer = (int)MIN(v, (long)HF_LAYERS);
    return v < HF_LAYERS && !strcmp(row + 1, end);
}

const struct hf_row *hf_row_find(const char *arch, const char *name, int *layer)
{
    for (size_t i = 0; i < LEN(kinds); i++)
        for (size_t k = 0; k < kinds[i].n_row && !strcmp(kinds[i].arch, arch); k++)
            if (is_spelled(kinds[i].row[k].hf, name, layer)) return &kinds[i].row[k];
    return NULL;
}

const char *hf_kind_names(void)
{
    return "lfm2, lfm2_moe, llama, mistral, mixtral, qwen2 and qwen3";
}
