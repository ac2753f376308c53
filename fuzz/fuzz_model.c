/* fuzz_model.c -- any bytes as a model, and as an adapter of a small one: an error, or logits. */
#include <stdlib.h>

#include "model/model.h"

static struct gguf *small_file;
static struct model *small;

enum { D = 8, FF = 16, VOCAB = 8 };

static void put(struct gguf_out *o, const char *name, int n_in, int n_out)
{
    static float x[FF * FF];
    for (size_t i = 0; i < LEN(x); i++) x[i] = (float)((i * 37 + 11) % 19) / 19 - 0.5f;
    gguf_out_tensor(o, &(struct tensor){ .name = name, .dtype = DT_F32, .n_dim = n_out ? 2 : 1, .ne = { n_in, MAX(n_out, 1), 1, 1 },
                                         .data = x, .bytes = (size_t)n_in * (size_t)MAX(n_out, 1) * sizeof *x });
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct { const char *name; int n_in, n_out; } tensors[] = {
        { "token_embd.weight", D, VOCAB },     { "output_norm.weight", D, 0 },        { "blk.0.attn_norm.weight", D, 0 },
        { "blk.0.ffn_norm.weight", D, 0 },     { "blk.0.ffn_gate.weight", D, FF },    { "blk.0.ffn_up.weight", D, FF },
        { "blk.0.ffn_down.weight", FF, D },    { "blk.0.attn_q.weight", D, D },       { "blk.0.attn_k.weight", D, D },
        { "blk.0.attn_v.weight", D, D },       { "blk.0.attn_output.weight", D, D },
    };
    static const struct { const char *key; uint32_t v; } keys[] = {
        { "llama.block_count", 1 }, { "llama.context_length", 64 }, { "llama.embedding_length", D }, { "llama.feed_forward_length", FF },
        { "llama.attention.head_count", 2 },
    };
    struct gguf_out *o = gguf_out_new();
    struct err e = { 0 };
    char path[] = "/tmp/tenon-fuzz-model-XXXXXX";
    int fd = mkstemp(path);
    gguf_out_str(o, "general.architecture", "llama", 5);
    gguf_out_f32(o, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    for (size_t i = 0; i < LEN(keys); i++) gguf_out_u32(o, keys[i].key, keys[i].v);
    for (size_t i = 0; i < LEN(tensors); i++) put(o, tensors[i].name, tensors[i].n_in, tensors[i].n_out);
    bool ok = fd >= 0 && gguf_out_write(o, path, &e) && (small_file = gguf_open(path, &e)) && (small = model_open(small_file, ref_ops(), &e));
    remove(path);
    gguf_out_free(o);
    if (!ok) abort();
    return 0;
}

static void forward(const struct model *m, const struct adapter *a)
{
    struct err e = { 0 };
    struct arena tmp;
    struct kv *kv = kv_open(m, 4, 1, &e);
    if (!kv) return;
    arena_init(&tmp, 0);
    float *logits = mem_zero((size_t)model_config(m)->n_vocab * 2 * sizeof *logits);
    int32_t token[2] = { 0, model_config(m)->n_vocab - 1 };
    struct lora_use use = { a, 1 };
    struct batch b = { .n = 2, .seq = kv_seq_new(kv), .token = token, .phase = PHASE_PREFILL, .n_logits = 2, .lora = &use, .n_lora = a != NULL };
    model_forward(m, kv, &b, &tmp, logits, &e);
    mem_free(logits);
    arena_done(&tmp);
    kv_close(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct gguf *g = gguf_open_mem(data, size, "fuzz", &e);
    if (!g) return 0;
    struct model *m = model_open(g, ref_ops(), &e);
    if (m) forward(m, NULL);
    model_close(m);
    struct adapter *a = adapter_open(small, g, &e);
    if (a) forward(small, a);
    adapter_close(a);
    gguf_close(g);
    return 0;
}
