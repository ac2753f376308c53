/* cmd_debug_logits.c -- `tenon debug logits`: what a model computes, as numbers another program
 * can compare.
 *
 * Feeds the given tokens from position 0 and writes the logits after every one of them. --chunk
 * and --decode choose how they are fed, --ref which kernels compute; the file has the same shape
 * each way. */
#include <stdlib.h>

#include "cpu/cpu.h"
#include "front.h"
#include "model/model.h"

#define MOST_TOKENS (1 << 20)

struct logits_opts {
    struct model_opts m;
    const char *tokens, *out, *lora;
    double lora_scale;
    bool ref, decode;
    int64_t chunk;
};

static const struct opt opts[] = {
    MODEL_OPTS(struct logits_opts),
    { "Input", 0, "tokens", "1,2,3", OPT_STR, offsetof(struct logits_opts, tokens),
      "token ids, separated by commas (required)" },
    { "Input", 0, "chunk", "N", OPT_INT, offsetof(struct logits_opts, chunk),
      "feed N tokens at a time (default: all at once)" },
    { "Input", 0, "decode", NULL, OPT_FLAG, offsetof(struct logits_opts, decode),
      "feed one at a time through the decode kernels (default: prefill kernels)" },
    { "Input", 0, "ref", NULL, OPT_FLAG, offsetof(struct logits_opts, ref),
      "the plain f32 path (default: the fastest kernels)" },
    { "Input", 0, "lora", "FILE", OPT_STR, offsetof(struct logits_opts, lora),
      "an adapter (default: none)" },
    { "Input", 0, "lora-scale", "S", OPT_F64, offsetof(struct logits_opts, lora_scale),
      "strength of the adapter (default: 1)" },
    { "Output", 'o', "output", "FILE", OPT_STR, offsetof(struct logits_opts, out),
      "f32 little-endian [tokens][vocabulary] (required)" },
};

/* "1,2,3": ids are checked against the vocabulary by the model. */
static bool parse_tokens(const char *s, int32_t **out, int *n, struct err *e)
{
    size_t cap = 0;
    for (const char *p = s;;) {
        char *end;
        long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v > INT32_MAX || (*end && *end != ','))
            return err_set(e, ERR_USAGE, "--tokens: byte %d: a token id is expected, like 1,2,3",
                           (int)(p - s));
        if (*n == MOST_TOKENS)
            return err_set(e, ERR_USAGE, "--tokens: more than %d tokens", MOST_TOKENS);
        MEM_GROW(*out, *n, cap);
        (*out)[(*n)++] = (int32_t)v;
        if (!*end) return true;
        p = end + 1;
    }
}

static bool check(const struct logits_opts *o, struct err *e)
{
    if (!o->tokens) return err_set(e, ERR_USAGE, "--tokens is missing, for example --tokens 1,2,3");
    if (!o->out) return err_set(e, ERR_USAGE, "-o FILE is missing");
    if (o->chunk < 0 || o->chunk > MOST_TOKENS)
        return err_set(e, ERR_USAGE, "--chunk must be at least 1");
    if (o->chunk && o->decode)
        return err_set(e, ERR_USAGE, "--chunk and --decode exclude each other");
    return true;
}

/* Runs the tokens piece by piece; logits of each piece go straight to the file. */
static bool feed(const struct model *m, const struct adapter *a, const struct logits_opts *o,
                 const int32_t *token, int n, struct file_out *out, struct err *e)
{
    struct lora_use use = { a, (float)o->lora_scale };
    int step = o->decode ? 1 : o->chunk ? (int)o->chunk : n, n_vocab = model_config(m)->n_vocab;
    struct kv *kv = kv_open(m, n, 1, e);
    if (!kv) return false;
    struct arena tmp;
    arena_init(&tmp, 0);
    size_t bytes = (size_t)MIN(step, n) * n_vocab * sizeof(float);
    float *logits = mem_slab(bytes, e);
    int seq = kv_seq_new(kv);
    bool ok = logits != NULL;
    for (int t = 0; ok && t < n; t += step) {
        int k = MIN(step, n - t);
        struct batch b = { .n = k, .seq = seq, .token = token + t, .n_logits = k, .lora = &use, .n_lora = a != NULL,
                           .phase = o->decode ? PHASE_DECODE : PHASE_PREFILL };
        ok = model_forward(m, kv, &b, &tmp, logits, e);
        if (ok) file_out_put(out, logits, (size_t)k * n_vocab * sizeof *logits);
    }
    mem_slab_free(logits, bytes);
    arena_done(&tmp);
    kv_close(kv);
    return ok;
}

static bool write_logits(const struct logits_opts *o, const struct model *m, const struct adapter *a,
                         const int32_t *token, int n, struct err *e)
{
    struct file_out out = { 0 };
    if (!file_out_open(&out, o->out, e)) return false;
    if (feed(m, a, o, token, n, &out, e)) return file_out_commit(&out, e);
    file_out_abort(&out);
    return false;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct logits_opts *o = v;
    struct err e = { 0 };
    struct gguf *g = NULL, *g_lora = NULL;
    struct adapter *a = NULL;
    struct pool *pool = NULL;
    const struct ops *fast = NULL;
    struct model *m = NULL;
    int32_t *token = NULL;
    int n = 0;
    bool ok =
        check(o, &e) && parse_tokens(o->tokens, &token, &n, &e) && (g = front_gguf(o->m.model, &e));
    if (ok && !o->ref)
        ok = (pool = pool_open((int)o->m.threads, &e)) && (fast = cpu_ops_open(pool, NULL, &e));
    ok = ok && (m = model_open(g, o->ref ? ref_ops() : fast, &e));
    if (ok && o->lora) ok = (g_lora = adapter_file(m, o->lora, &e)) && (a = adapter_open(m, g_lora, &e));
    ok = ok && write_logits(o, m, a, token, n, &e);
    adapter_close(a);
    gguf_close(g_lora);
    model_close(m);
    cpu_ops_close(fast);
    pool_close(pool);
    gguf_close(g);
    mem_free(token);
    return ok ? 0 : front_fail("debug logits", &e);
}

static const struct logits_opts defaults = { .lora_scale = 1 };
const struct command cmd_debug_logits = {
    .verb = "debug logits",
    .args = "",
    .sentence = "Logits after every token, for comparison with another implementation.",
    .example = "tenon debug logits -m model.gguf --tokens 1,2,3 -o out.f32",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
