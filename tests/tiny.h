/* tiny.h -- a random-weight LFM2 model with a tokenizer of its own, written where a test wants it.
 * Small enough that thousands of tokens cost nothing; as silly a speaker as weights can make. */
#ifndef TENON_TEST_TINY_H
#define TENON_TEST_TINY_H

#include "format/format.h"
#include "model/model.h"
#include "text/text.h"

static const char tiny_text[] =
    "List of tools: [{\"name\": \"set_light\", \"description\": \"Sets the light in a room\", \"parameters\": {\"type\": \"object\", "
    "\"properties\": {\"room\": {\"type\": \"string\"}, \"brightness\": {\"type\": \"integer\"}}, \"required\": [\"room\"]}}] "
    "[{\"name\": \"set_light\", \"arguments\": {\"room\": \"kitchen\", \"brightness\": 10}}, {\"name\": \"get\", \"arguments\": {}}] "
    "dim the kitchen to ten and the living room to twenty, please: true false null 0.5 -12 1e3 \\n \\\" \\u00e9 Zürich 東京 ";

static bool tiny_next(void *ctx, struct bytes *text)
{
    int *left = ctx;
    *text = (struct bytes){ tiny_text, sizeof tiny_text - 1 };
    return (*left)-- > 0;
}

static inline void tiny_config(struct gguf_out *o, const struct model_config *c)
{
    gguf_out_str(o, "general.architecture", c->arch, strlen(c->arch));
    gguf_out_u32(o, "lfm2.block_count", (uint32_t)c->n_layer);
    gguf_out_u32(o, "lfm2.context_length", (uint32_t)c->n_ctx);
    gguf_out_u32(o, "lfm2.embedding_length", (uint32_t)c->n_embd);
    gguf_out_u32(o, "lfm2.feed_forward_length", (uint32_t)c->n_ff);
    gguf_out_u32(o, "lfm2.attention.head_count", (uint32_t)c->n_head);
    gguf_out_i32s(o, "lfm2.attention.head_count_kv", c->n_head_kv, (size_t)c->n_layer);
    gguf_out_f32(o, "lfm2.attention.layer_norm_rms_epsilon", c->rms_eps);
    gguf_out_f32(o, "lfm2.rope.freq_base", c->rope_theta);
    gguf_out_u32(o, "lfm2.vocab_size", (uint32_t)c->n_vocab);
    gguf_out_u32(o, "lfm2.shortconv.l_cache", (uint32_t)c->conv_taps);
}

static inline bool tiny_tokenizer(struct gguf_out *o, struct bpe_tables *t, int n_vocab, struct err *e)
{
    static const char *const special[] = { "<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|tool_list_start|>",
        "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>" };
    int rounds = 3;
    if (!bpe_learn("lfm2", special, LEN(special), n_vocab, tiny_next, &rounds, t, e)) return false;
    bpe_tables_write(t, "lfm2", "<|startoftext|>", "<|im_end|>", "<|pad|>", o);
    return true;
}

/* dialect: "lfm2", "lfm2-json". */
static inline bool tiny_model(const char *path, const char *dialect, uint64_t seed, struct err *e)
{
    struct model_config c = { .arch = "lfm2", .n_layer = 3, .n_embd = 64, .n_ff = 96, .n_head = 2, .head_dim = 32, .n_ctx = 1024,
                              .conv_taps = 3, .n_head_kv = { 0, 1, 0 }, .rms_eps = 1e-5f, .rope_theta = 10000 };
    struct gguf_out *o = gguf_out_new();
    struct bpe_tables t = { 0 };
    struct net *n = NULL;
    float *w = NULL;
    bool ok = tiny_tokenizer(o, &t, 400, e);
    c.n_vocab = t.n_token;
    if (ok) ok = (n = net_new(&c, e)) != NULL;
    if (ok) {
        w = mem_alloc(net_n_param(n) * sizeof *w);
        net_init(n, w, seed);
        tiny_config(o, &c);
        gguf_out_str(o, "tenon.dialect", dialect, strlen(dialect));
        for (size_t i = 0; i < net_n_tensor(n); i++) {
            const struct param *p = net_param(n, i);
            struct tensor x = { .name = p->name, .dtype = DT_F32, .n_dim = p->rows > 1 ? 2 : 1, .ne = { p->cols, p->rows, 1, 1 },
                                .data = w + p->off, .bytes = (size_t)p->rows * (size_t)p->cols * sizeof *w };
            gguf_out_tensor(o, &x);
        }
        ok = gguf_out_write(o, path, e);
    }
    mem_free(w);
    net_free(n);
    bpe_tables_done(&t);
    gguf_out_free(o);
    return ok;
}

#endif
