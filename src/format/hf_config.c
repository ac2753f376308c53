/* hf_config.c -- the numbers of a model from the config.json of its folder, checked before anything
 * is sized by them, and written as the keys of a GGUF file.
 *
 * What a config may leave out has the default its model type has in the library that wrote it. What
 * would change the computation and has no key that readers agree on is refused by name. Two things
 * are translated rather than copied: llama3 scaling becomes a tensor of divisors
 * (rope_freqs.weight), and a sliding window of some layers only (Qwen) becomes the length of the
 * context, within which all attend to the same. */
#include <math.h>

#include "format/hf.h"

#define MOST_WIDTH (1 << 20)

struct reader {
    const struct json *config;
    struct hf_config *c;
    struct gguf_out *out;
    struct err *e;
    char key[96];
};

/* ---- values of the config ------------------------------------------------------------------- */

/* The first of the names (a list split by |) that is there and not null. */
static const struct json *pick(const struct json *o, const char *names)
{
    char name[64];
    while (*names) {
        size_t n = strcspn(names, "|");
        snprintf(name, sizeof name, "%.*s", (int)n, names);
        const struct json *v = json_get(o, name);
        if (v && !json_is(v, JSON_NULL)) return v;
        names += n + (names[n] == '|');
    }
    return NULL;
}

static bool missing(struct reader *r, const char *names)
{
    return err_set(r->e, ERR_FORMAT, "%.*s is missing", (int)strcspn(names, "|"), names);
}

/* otherwise < 0: the value must be there. */
static bool read_int(struct reader *r, const char *names, int lo, int hi, int otherwise, int *out)
{
    const struct json *v = pick(r->config, names);
    int64_t x = otherwise;
    if (!v && otherwise < 0) return missing(r, names);
    if ((v && !json_i64(v, &x)) || x < lo || x > hi)
        return err_set(r->e, ERR_FORMAT, "%.*s must be an integer of %d to %d",
                       (int)strcspn(names, "|"), names, lo, hi);
    *out = (int)x;
    return true;
}

static bool read_float(struct reader *r, const struct json *o, const char *names, double above,
                       double below, double otherwise, double *out)
{
    const struct json *v = pick(o, names);
    *out = v ? json_f64(v) : otherwise;
    if (!v && isnan(otherwise)) return missing(r, names);
    if ((!v || json_is(v, JSON_NUMBER)) && *out > above && *out < below) return true;
    return err_set(r->e, ERR_FORMAT, "%.*s must be a number between %g and %g",
                   (int)strcspn(names, "|"), names, above, below);
}

/* ---- keys of the architecture --------------------------------------------------------------- */

static const char *key_of(struct reader *r, const char *tail)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->c->kind->arch, tail);
    return r->key;
}

static void put_int(struct reader *r, const char *tail, int v)
{
    gguf_out_u32(r->out, key_of(r, tail), (uint32_t)v);
}

static void put_float(struct reader *r, const char *tail, double v)
{
    gguf_out_f32(r->out, key_of(r, tail), (float)v);
}

/* ---- what we would compute wrongly ---------------------------------------------------------- */

static bool is_lfm2(const struct hf_config *c)
{
    return !strncmp(c->kind->arch, "lfm2", 4);
}

static bool refuse_text(struct reader *r, const char *key, const char *accepted)
{
    char show[80];
    size_t len;
    const char *text = json_str(pick(r->config, key), &len);
    if (!text || bytes_eq((struct bytes){ text, len }, accepted)) return true;
    return err_set(r->e, ERR_UNSUPPORTED, "%s is %s; only %s is supported", key,
                   gguf_show((struct bytes){ text, len }, show), accepted);
}

static bool refuse_true(struct reader *r, const char *key)
{
    return !json_bool(json_get(r->config, key)) ||
           err_set(r->e, ERR_UNSUPPORTED, "%s is true; only false is supported", key);
}

static bool refuse_variants(struct reader *r)
{
    char show[80];
    size_t len = 0;
    const char *class = json_str(json_at(json_get(r->config, "architectures"), 0), &len);
    if (class && (len < 11 || memcmp(class + len - 11, "ForCausalLM", 11)))
        return err_set(r->e, ERR_UNSUPPORTED,
                       "architectures names %s; only a ...ForCausalLM is converted",
                       gguf_show((struct bytes){ class, len }, show));
    if (pick(r->config, "quantization_config"))
        return err_set(r->e, ERR_UNSUPPORTED,
                       "quantization_config is set; only checkpoints in F32, F16 or "
                       "BF16 are converted");
    double part;
    if (!read_float(r, r->config, "partial_rotary_factor", 0, 1e3, 1, &part)) return false;
    if (part != 1)
        return err_set(r->e, ERR_UNSUPPORTED, "partial_rotary_factor is %g; only 1 is supported",
                       part);
    return refuse_text(r, "hidden_act", "silu") && refuse_true(r, "conv_bias");
}

/* ---- shape ---------------------------------------------------------------------------------- */

static bool read_heads(struct reader *r)
{
    struct hf_config *c = r->c;
    int hd;
    if (!read_int(r, "num_attention_heads|num_heads", 1, 65536, -1, &c->n_head) ||
        !read_int(r, "num_key_value_heads", 1, 65536, c->n_head, &c->n_head_kv)) return false;
    if (c->n_head % c->n_head_kv)
        return err_set(r->e, ERR_FORMAT,
                       "num_key_value_heads %d must divide num_attention_heads %d", c->n_head_kv,
                       c->n_head);
    if (!read_int(r, "head_dim", 2, 4096, MAX(c->dim[HF_EMBD] / c->n_head, 2), &hd)) return false;
    if (hd % 2 || (int64_t)hd * c->n_head > MOST_WIDTH)
        return err_set(r->e, ERR_FORMAT,
                       "%d heads of %d: head_dim must be even, all heads together at most %d",
                       c->n_head, hd, MOST_WIDTH);
    c->dim[HF_HEAD] = hd;
    c->dim[HF_Q] = hd * c->n_head;
    c->dim[HF_KV] = hd * c->n_head_kv;
    if (hd * c->n_head == c->dim[HF_EMBD]) return true;
    put_int(r, "attention.key_length", hd);
    put_int(r, "attention.value_length", hd);
    return true;
}

static bool read_layer_type(struct reader *r, int l, const struct json *v)
{
    r->c->is_attn[l] = json_str_is(v, "full_attention");
    if (r->c->is_attn[l] || (is_lfm2(r->c) && json_str_is(v, "conv"))) return true;
    return err_set(r->e, ERR_UNSUPPORTED, "layer_types[%d] is not \"full_attention\"%s", l,
                   is_lfm2(r->c) ? " or \"conv\"" : "; other kinds of attention are not supported");
}

static bool read_layer_kinds(struct reader *r)
{
    struct hf_config *c = r->c;
    const struct json *types = pick(r->config, "layer_types"),
                      *attn = is_lfm2(c) ? pick(r->config, "full_attn_idxs") : NULL;
    if (types && json_len(types) != (size_t)c->n_layer)
        return err_set(r->e, ERR_FORMAT,
                       "layer_types has %zu entries, must have one for each of %d layers",
                       json_len(types), c->n_layer);
    for (int l = 0; l < c->n_layer; l++) {
        if (types && !read_layer_type(r, l, json_at(types, (size_t)l))) return false;
        if (!types) c->is_attn[l] = !attn;
    }
    for (size_t i = 0; !types && i < json_len(attn); i++) {
        int64_t l;
        if (!json_i64(json_at(attn, i), &l) || l < 0 || l >= c->n_layer)
            return err_set(r->e, ERR_FORMAT, "full_attn_idxs[%zu] is not a layer of 0 to %d", i,
                           c->n_layer - 1);
        c->is_attn[l] = true;
    }
    return true;
}

static void put_heads(struct reader *r)
{
    const struct hf_config *c = r->c;
    int32_t kv[HF_LAYERS];
    put_int(r, "attention.head_count", c->n_head);
    for (int l = 0; l < c->n_layer; l++) kv[l] = c->is_attn[l] ? c->n_head_kv : 0;
    if (is_lfm2(c))
        gguf_out_i32s(r->out, key_of(r, "attention.head_count_kv"), kv, (size_t)c->n_layer);
    else put_int(r, "attention.head_count_kv", c->n_head_kv);
}

/* Configs of lfm2 give a width from which the real one follows by rules that changed over time; the
 * matrix itself cannot be wrong. */
static bool read_ff(struct reader *r, const struct safetensors *st)
{
    struct hf_config *c = r->c;
    const struct tensor *w1 =
        is_lfm2(c) ? safetensors_find(st, "model.layers.0.feed_forward.w1.weight") : NULL;
    if (!w1) return read_int(r, "intermediate_size", 1, MOST_WIDTH, -1, &c->dim[HF_FF]);
    if (w1->n_dim != 2 || w1->ne[1] > MOST_WIDTH)
        return err_set(r->e, ERR_FORMAT,
                       "tensor model.layers.0.feed_forward.w1.weight is not a matrix of at "
                       "most %d rows",
                       MOST_WIDTH);
    c->dim[HF_FF] = (int)w1->ne[1];
    return true;
}

static bool read_shape(struct reader *r, const struct safetensors *st)
{
    struct hf_config *c = r->c;
    c->dim[HF_ONE] = 1;
    if (!read_int(r, "num_hidden_layers", 1, HF_LAYERS, -1, &c->n_layer) ||
        !read_int(r, "vocab_size", 1, 1 << 24, -1, &c->dim[HF_VOCAB]) ||
        !read_int(r, "hidden_size|block_dim", 1, MOST_WIDTH, -1, &c->dim[HF_EMBD]) ||
        !read_ff(r, st) || !read_int(r, "conv_L_cache", 2, 16, 3, &c->dim[HF_TAPS]))
        return false;
    c->dim[HF_EMBD3] = 3 * c->dim[HF_EMBD];
    put_int(r, "block_count", c->n_layer);
    put_int(r, "vocab_size", c->dim[HF_VOCAB]);
    put_int(r, "embedding_length", c->dim[HF_EMBD]);
    put_int(r, "feed_forward_length", c->dim[HF_FF]);
    if (!read_heads(r) || !read_layer_kinds(r)) return false;
    put_heads(r);
    if (is_lfm2(c)) put_int(r, "shortconv.l_cache", c->dim[HF_TAPS]);
    return true;
}

static bool read_context(struct reader *r)
{
    int n_ctx, window = 0;
    bool is_on = strncmp(r->c->kind->arch, "qwen", 4) ||
                 json_bool(json_get(r->config, "use_sliding_window"));
    if (!read_int(r, "max_position_embeddings", 1, INT32_MAX, -1, &n_ctx) ||
        (is_on && !read_int(r, "sliding_window", 0, INT32_MAX, 0, &window))) return false;
    bool all_layers = !strcmp(r->c->kind->arch, "llama");
    if (window && all_layers) put_int(r, "attention.sliding_window", window);
    if (window && window < n_ctx && !all_layers) {
        log_line(LOG_WARN,
                 "sliding_window tokens=%d context_was=%d: the context ends where the window would "
                 "begin to slide",
                 window, n_ctx);
        n_ctx = window;
    }
    put_int(r, "context_length", n_ctx);
    return true;
}

/* ---- experts -------------------------------------------------------------------------------- */

static bool read_lfm2_experts(struct reader *r)
{
    struct hf_config *c = r->c;
    double scale;
    const struct json *norm = json_get(r->config, "norm_topk_prob");
    if (!read_int(r, "moe_intermediate_size", 1, MOST_WIDTH, -1, &c->dim[HF_EXPERT_FF]) ||
        !read_int(r, "num_dense_layers", 0, c->n_layer, 0, &c->n_dense) ||
        !read_float(r, r->config, "routed_scaling_factor", 0, 1e6, 1, &scale)) return false;
    if (json_is(norm, JSON_BOOL) && !json_bool(norm))
        return err_set(r->e, ERR_UNSUPPORTED, "norm_topk_prob is false; only true is supported");
    put_int(r, "expert_feed_forward_length", c->dim[HF_EXPERT_FF]);
    put_int(r, "leading_dense_block_count", c->n_dense);
    put_int(r, "expert_gating_func", 2);                              /* sigmoid */
    put_float(r, "expert_weights_scale", scale);
    return true;
}

static bool read_experts(struct reader *r)
{
    struct hf_config *c = r->c;
    int used;
    bool is_mixtral = !strcmp(c->kind->type, "mixtral");
    if (!is_mixtral && strcmp(c->kind->type, "lfm2_moe")) {
        c->n_dense = c->n_layer;
        return true;
    }
    if (!read_int(r, "num_local_experts|num_experts", 1, HF_EXPERTS, -1, &c->n_expert) ||
        !read_int(r, "num_experts_per_tok", 1, c->n_expert, -1, &used)) return false;
    c->dim[HF_EXPERT] = c->n_expert;
    put_int(r, "expert_count", c->n_expert);
    put_int(r, "expert_used_count", used);
    return is_mixtral || read_lfm2_experts(r);
}

/* ---- rotation ------------------------------------------------------------------------------- */

/* Long waves are stretched by `factor`, short ones stay, between the two bounds it goes over
 * smoothly. */
static bool read_llama3(struct reader *r, const struct json *o, double theta)
{
    struct hf_config *c = r->c;
    double factor, low, high, orig;
    int half = c->dim[HF_HEAD] / 2;
    if (!read_float(r, o, "factor", 0, 1e6, NAN, &factor) ||
        !read_float(r, o, "low_freq_factor", 0, 1e6, NAN, &low) ||
        !read_float(r, o, "high_freq_factor", low, 1e6, NAN, &high) ||
        !read_float(r, o, "original_max_position_embeddings", 0, 1e9, NAN, &orig)) return false;
    if (strcmp(c->kind->arch, "llama"))
        return err_set(r->e, ERR_UNSUPPORTED,
                       "llama3 scaling is only supported for the llama architecture");
    c->rope_freqs = mem_alloc((size_t)half * sizeof *c->rope_freqs);
    for (int i = 0; i < half; i++) {
        double wave = 2 * M_PI * pow(theta, (double)i / half);
        double s = (orig / wave - low) / (high - low);
        c->rope_freqs[i] = (float)(wave < orig / high  ? 1
                                   : wave > orig / low ? factor
                                                       : 1 / ((1 - s) / factor + s));
    }
    return true;
}

/* The factor of cos and sin is 1 + 0.1 ln factor times what the file says, so an attention_factor is put as
 * its ratio to that. */
static bool read_yarn(struct reader *r, const struct json *o)
{
    double factor, orig, attn = 0, fast, slow;
    if (pick(o, "mscale|mscale_all_dim") || (pick(o, "truncate") && !json_bool(pick(o, "truncate"))))
        return err_set(r->e, ERR_UNSUPPORTED, "mscale, mscale_all_dim and truncate = false are not supported with yarn");
    if (!read_float(r, o, "factor", 0, 1e4, NAN, &factor) ||
        !read_float(r, o, "original_max_position_embeddings", 0, 1e9, NAN, &orig) ||
        (pick(o, "attention_factor") && !read_float(r, o, "attention_factor", 0, 1e4, NAN, &attn)) ||
        !read_float(r, o, "beta_fast", 0, 1e6, 32, &fast) ||
        !read_float(r, o, "beta_slow", 0, 1e6, 1, &slow)) return false;
    gguf_out_str(r->out, key_of(r, "rope.scaling.type"), "yarn", 4);
    put_float(r, "rope.scaling.factor", factor);
    put_int(r, "rope.scaling.original_context_length", (int)orig);
    if (attn > 0) put_float(r, "rope.scaling.attn_factor", attn / (factor > 1 ? 1 + 0.1 * log(factor) : 1));
    if (fast != 32) put_float(r, "rope.scaling.yarn_beta_fast", fast);
    if (slow != 1) put_float(r, "rope.scaling.yarn_beta_slow", slow);
    return true;
}

static bool read_scaling(struct reader *r, const struct json *o, double theta)
{
    const struct json *type = pick(o, "rope_type|type");
    char show[80];
    double factor;
    size_t len = 0;
    if (!type || json_str_is(type, "default")) return true;
    if (json_str_is(type, "llama3")) return read_llama3(r, o, theta);
    if (json_str_is(type, "yarn")) return read_yarn(r, o);
    if (json_str_is(type, "linear")) {
        if (!read_float(r, o, "factor", 0, 1e6, NAN, &factor)) return false;
        gguf_out_str(r->out, key_of(r, "rope.scaling.type"), "linear", 6);
        put_float(r, "rope.scaling.factor", factor);
        return true;
    }
    const char *name = json_str(type, &len);
    return err_set(r->e, ERR_UNSUPPORTED,
                   "rope_type is %s; default, linear, llama3 and yarn are supported",
                   name ? gguf_show((struct bytes){ name, len }, show) : "not a string");
}

/* Newer configs keep theta and scaling together in rope_parameters. */
static bool read_rope(struct reader *r)
{
    const struct json *both = pick(r->config, "rope_parameters"),
                      *scaling = pick(r->config, "rope_scaling"),
                      *at = pick(both, "rope_theta") ? both : r->config;
    double theta;
    if (!read_float(r, at, "rope_theta|theta", 1, 1e30, r->c->kind->rope_theta, &theta))
        return false;
    put_float(r, "rope.freq_base", theta);
    put_int(r, "rope.dimension_count", r->c->dim[HF_HEAD]);
    return read_scaling(r, scaling ? scaling : both, theta) ||
           err_in(r->e, scaling ? "rope_scaling" : "rope_parameters");
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool read_kind(struct reader *r)
{
    char show[80] = "missing";
    size_t len;
    const char *type = json_str(json_get(r->config, "model_type"), &len);
    if (type) gguf_show((struct bytes){ type, len }, show);
    r->c->kind = type ? hf_kind_find(show) : NULL;
    return r->c->kind || err_set(r->e, ERR_UNSUPPORTED, "model_type is %s; %s are converted", show,
                                 hf_kind_names());
}

/* A tied folder may still hold a copy of the embedding, which its own library ignores too. */
static bool read_head(struct reader *r, const struct safetensors *st)
{
    const struct json *tied = pick(r->config, "tie_word_embeddings|tie_embedding");
    bool there = safetensors_find(st, "lm_head.weight") != NULL;
    r->c->has_head = tied ? !json_bool(tied) : there;
    return !r->c->has_head || there ||
           err_set(r->e, ERR_FORMAT,
                   "tie_word_embeddings is false, but there is no tensor lm_head.weight");
}

bool hf_config_read(struct hf_config *c, const struct json *config, const struct safetensors *st,
                    struct gguf_out *out, struct err *e)
{
    *c = (struct hf_config){ 0 };
    struct reader r = { .config = config, .c = c, .out = out, .e = e };
    double eps;
    if (!json_is(config, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "it is not a JSON object");
    if (!read_kind(&r)) return false;
    gguf_out_str(out, "general.architecture", c->kind->arch, strlen(c->kind->arch));
    gguf_out_str(out, "general.type", "model", 5);
    if (!refuse_variants(&r) || !read_context(&r) || !read_shape(&r, st) || !read_experts(&r) ||
        !read_float(&r, config, "rms_norm_eps|norm_eps|block_norm_eps", 0, 0.1,
                    is_lfm2(c) ? 1e-5 : 1e-6, &eps))
        return false;
    put_float(&r, "attention.layer_norm_rms_epsilon", eps);
    return read_rope(&r) && read_head(&r, st);
}

void hf_config_done(struct hf_config *c)
{
    mem_free(c->rope_freqs);
    *c = (struct hf_config){ 0 };
}
