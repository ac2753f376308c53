/* cmd_random_model.c -- `tenon debug random-model`: a file with the shapes of a known model and
 * random weights.
 *
 * Speed does not depend on what weights are, so a file made here measures a machine without any
 * download. A small tile of random numbers is packed once per dtype; every row of a tensor is a
 * copy from a random place in it, which keeps scales sane and writes as fast as the disk takes
 * it. */
#include <math.h>

#include "front.h"
#include "tensor/tensor.h"

#define TILE (1 << 18) /* values of the packed tile */

static const struct shape {
    const char *name;
    int d, ff, head, kv, vocab, n_layer;
    const char *kinds; /* a letter per layer: c or a */
} shapes[] = {
    { "nano",       128,   320,  4, 2, 1024,   6, "caccaa" },
    { "small",      256,   512,  8, 4, 2048,   6, "cacaaa" },
    { "lfm2-350m", 1024,  4608, 16, 8, 65536, 16, "ccaccaccacacacac" },
    { "lfm2-700m", 1536,  6912, 24, 8, 65536, 16, "ccaccaccacacacac" },
    { "lfm2-1.2b", 2048,  8192, 32, 8, 65536, 16, "ccaccaccacacacac" },
    { "lfm2-2.6b", 2048, 10752, 32, 8, 65536, 30, "ccaccacccacccacccacccaccaccacc" },
};

struct random_opts { const char *shape, *type, *head_type, *vocab; int64_t seed; };

static const struct opt opts[] = {
    { "Model", 0, "shape", "NAME", OPT_STR, offsetof(struct random_opts, shape),
      "nano, small, lfm2-350m, lfm2-700m, lfm2-1.2b or lfm2-2.6b (default: lfm2-1.2b)" },
    { "Model", 0, "type", "TYPE", OPT_STR, offsetof(struct random_opts, type),
      "dtype of the matrices (default: Q4_0)" },
    { "Model", 0, "head-type", "TYPE", OPT_STR, offsetof(struct random_opts, head_type),
      "dtype of the token matrix (default: Q6_K below Q8_0 where it fits, else as --type)" },
    { "Model", 0, "vocab", "FILE", OPT_STR, offsetof(struct random_opts, vocab),
      "take tokenizer and number of tokens from this GGUF file (default: no tokenizer)" },
    { "Model", 0, "seed", "N", OPT_INT, offsetof(struct random_opts, seed), "(default: 1)" },
};

struct maker {
    const struct shape *s;
    int n_vocab;
    bool has_vocab;
    enum dtype type, head_type;
    uint64_t seed;
    struct gguf_out *out;
    uint8_t *tile[DT_COUNT];
};

/* Deviation of 1/sqrt(n_in) would need a tile per width: the tile has deviation 1/32, near it
 * for all. */
static uint8_t *tile_of(struct maker *k, enum dtype d)
{
    if (k->tile[d]) return k->tile[d];
    float *x = mem_alloc(TILE * sizeof *x);
    struct rng r = rng_make(k->seed, 1, d);
    for (int i = 0; i < TILE; i++) x[i] = (float)rng_normal(&r) / 32;
    k->tile[d] = mem_alloc(dtype_bytes(d, TILE));
    dtype_info(d)->pack(x, NULL, k->tile[d], TILE);
    mem_free(x);
    return k->tile[d];
}

/* Whole blocks from random places of the tile, row by row. */
static bool fill_matrix(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct maker *k = ctx;
    const struct dtype_info *d = dtype_info(t->dtype);
    const uint8_t *tile = tile_of(k, t->dtype);
    size_t tile_bytes = dtype_bytes(t->dtype, TILE), at = 0;
    struct rng r = rng_make(k->seed, 2, hash64(t->name, strlen(t->name), 0));
    while (at < t->bytes) {
        size_t from = rng_below(&r, (uint32_t)(tile_bytes / (size_t)d->bytes)) * (size_t)d->bytes;
        size_t n = MIN(MIN(t->bytes - at, tile_bytes - from),
                       (size_t)4096 / (size_t)d->bytes * (size_t)d->bytes);
        memcpy((char *)dst + at, tile + from, n);
        at += n;
    }
    return true;
}

static bool fill_vector(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct maker *k = ctx;
    bool norm = t->n_dim == 1;
    struct rng r = rng_make(k->seed, 3, hash64(t->name, strlen(t->name), 0));
    for (size_t i = 0; i < t->bytes / sizeof(float); i++)
        ((float *)dst)[i] =
            norm ? (float)(1 + 0.1 * rng_normal(&r)) : (float)(0.5 * rng_normal(&r));
    return true;
}

static void put(struct maker *k, const char *name, enum dtype d, int n_in, int n_out)
{
    struct tensor t = {
        .name = name, .dtype = d, .n_dim = n_out ? 2 : 1, .ne = { n_in, MAX(n_out, 1), 1, 1 }
    };
    t.bytes = dtype_bytes(d, (int64_t)n_in * MAX(n_out, 1));
    bool vector = !n_out || strstr(name, "shortconv.conv");
    gguf_out_fill(k->out, &t, vector ? fill_vector : fill_matrix, k);
}

static void put_layer(struct maker *k, int l)
{
    const struct shape *s = k->s;
    int hd = s->d / s->head;
    bool attn = s->kinds[l] == 'a';
    struct { const char *name; enum dtype type; int n_in, n_out; bool here; } t[] = {
        { "attn_norm.weight", DT_F32, s->d, 0, true },
        { "ffn_norm.weight", DT_F32, s->d, 0, true },
        { "ffn_gate.weight", k->type, s->d, s->ff, true },
        { "ffn_up.weight", k->type, s->d, s->ff, true },
        { "ffn_down.weight", k->type, s->ff, s->d, true },
        { "attn_q.weight", k->type, s->d, s->d, attn },
        { "attn_k.weight", k->type, s->d, s->kv * hd, attn },
        { "attn_v.weight", k->type, s->d, s->kv * hd, attn },
        { "attn_output.weight", k->type, s->d, s->d, attn },
        { "attn_q_norm.weight", DT_F32, hd, 0, attn },
        { "attn_k_norm.weight", DT_F32, hd, 0, attn },
        { "shortconv.in_proj.weight", k->type, s->d, 3 * s->d, !attn },
        { "shortconv.conv.weight", DT_F32, 3, s->d, !attn },
        { "shortconv.out_proj.weight", k->type, s->d, s->d, !attn },
    };
    char name[64];
    for (size_t i = 0; i < LEN(t); i++) {
        snprintf(name, sizeof name, "blk.%d.%s", l, t[i].name);
        if (t[i].here) put(k, name, t[i].type, t[i].n_in, t[i].n_out);
    }
}

static void put_numbers(struct maker *k)
{
    const struct shape *s = k->s;
    int32_t kv[64];
    for (int l = 0; l < s->n_layer; l++) kv[l] = s->kinds[l] == 'a' ? s->kv : 0;
    gguf_out_str(k->out, "general.architecture", "lfm2", 4);
    gguf_out_str(k->out, "general.name", s->name, strlen(s->name));
    gguf_out_u32(k->out, "general.quantization_version", 2);
    gguf_out_u32(k->out, "lfm2.block_count", (uint32_t)s->n_layer);
    gguf_out_u32(k->out, "lfm2.context_length", 32768);
    gguf_out_u32(k->out, "lfm2.embedding_length", (uint32_t)s->d);
    gguf_out_u32(k->out, "lfm2.feed_forward_length", (uint32_t)s->ff);
    gguf_out_u32(k->out, "lfm2.attention.head_count", (uint32_t)s->head);
    gguf_out_i32s(k->out, "lfm2.attention.head_count_kv", kv, (size_t)s->n_layer);
    gguf_out_f32(k->out, "lfm2.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_out_f32(k->out, "lfm2.rope.freq_base", 1e6f);
    gguf_out_u32(k->out, "lfm2.shortconv.l_cache", 3);
    gguf_out_u32(k->out, "lfm2.vocab_size", (uint32_t)k->n_vocab);
    /* Said aloud, because other engines refuse a file that is silent about it. */
    if (!k->has_vocab) gguf_out_str(k->out, "tokenizer.ggml.model", "none", 4);
}

/* The tokenizer of another file, key by key; the number of tokens becomes its. */
static bool copy_vocab(struct maker *k, const char *path, struct err *e)
{
    struct gguf *g = gguf_open(path, e);
    if (!g) return false;
    struct bytes *tokens = NULL;
    size_t n = 0;
    bool ok = gguf_strs(g, "tokenizer.ggml.tokens", &tokens, &n, e);
    if (ok && (n < 1 || n > 1 << 24))
        ok = err_set(e, ERR_FORMAT, "%s: %zu tokens cannot be used", path, n);
    for (size_t i = 0; ok && i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        if (kv.key.len > 10 && !memcmp(kv.key.p, "tokenizer.", 10)) gguf_out_kv(k->out, &kv);
    }
    if (ok) k->n_vocab = (int)n, k->has_vocab = true;
    mem_free(tokens);
    gguf_close(g);
    return ok;
}

static bool usable(enum dtype d, int n_in)
{
    return d != DT_NONE && dtype_info(d)->pack && dtype_info(d)->unpack &&
           n_in % dtype_info(d)->block == 0;
}

static bool choose(struct maker *k, const struct random_opts *o, struct err *e)
{
    for (size_t i = 0; i < LEN(shapes); i++)
        if (!strcmp(shapes[i].name, o->shape)) k->s = &shapes[i];
    if (!k->s)
        return err_set(e, ERR_USAGE, "--shape %s is unknown; see --help for the list", o->shape);
    k->n_vocab = k->s->vocab;
    k->seed = (uint64_t)o->seed;
    k->type = dtype_find(o->type);
    if (!usable(k->type, k->s->d) || !usable(k->type, k->s->ff))
        return err_set(e, ERR_USAGE,
                       "--type %s: not a type that rows of %d and %d values can be packed in",
                       o->type, k->s->d, k->s->ff);
    const struct dtype_info *t = dtype_info(k->type);
    bool small = t->bytes * 8 < t->block * 8 && usable(DT_Q6_K, k->s->d);
    k->head_type = o->head_type ? dtype_find(o->head_type) : small ? DT_Q6_K : k->type;
    return usable(k->head_type, k->s->d) ||
           err_set(e, ERR_USAGE,
                   "--head-type %s: not a type that rows of %d values can be packed in",
                   o->head_type, k->s->d);
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct random_opts *o = v;
    struct err e = { 0 };
    struct maker k = { .out = gguf_out_new() };
    bool ok = choose(&k, o, &e) && (!o->vocab || copy_vocab(&k, o->vocab, &e));
    if (ok) {
        put_numbers(&k);
        put(&k, "token_embd.weight", k.head_type, k.s->d, k.n_vocab);
        put(&k, "token_embd_norm.weight", DT_F32, k.s->d, 0);
        for (int l = 0; l < k.s->n_layer; l++) put_layer(&k, l);
        ok = gguf_out_write(k.out, arg[0], &e);
    }
    for (int d = 0; d < DT_COUNT; d++) mem_free(k.tile[d]);
    gguf_out_free(k.out);
    return ok ? 0 : front_fail("debug random-model", &e);
}

static const struct random_opts defaults = { .shape = "lfm2-1.2b", .type = "Q4_0", .seed = 1 };
const struct command cmd_debug_random_model = {
    .verb = "debug random-model",
    .args = "OUT.gguf",
    .sentence = "Write a model with a known shape and random weights, to measure speed.",
    .example = "tenon debug random-model --shape lfm2-350m --type Q4_0 random.gguf",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 1,
    .max_arg = 1,
    .run = run,
};
