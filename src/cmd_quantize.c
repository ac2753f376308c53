/* cmd_quantize.c -- `tenon quantize IN OUT TYPE`: the same model with other number formats (mix.h).
 *
 * One tensor is in memory at a time; the result appears whole or not at all. */
#include <unistd.h>

#include "imatrix.h"
#include "mix.h"

struct quantize_opts { int64_t threads; const char *imatrix; bool json, pure, requantize, verbose; };

struct plan {
    const struct gguf *g;
    const struct mix *mix;
    const struct quantize_opts *o;
    struct pool *pool;
    struct tally tally;
    struct imatrix *im;                                               /* NULL: none */
};

/* A key of the architecture: a number, or the first element of an array; 0 where it is missing. */
static int arch_int(const struct gguf *g, const char *name)
{
    struct bytes arch;
    char key[128];
    struct err e = { 0 };
    if (!gguf_str(g, "general.architecture", &arch, &e)) return 0;
    snprintf(key, sizeof key, "%.*s.%s", (int)MIN(arch.len, (size_t)64), arch.p, name);
    int64_t v = 0;
    if (!gguf_is_array(g, key)) return gguf_int(g, key, 0, INT32_MAX, &v, &e) ? (int)v : 0;
    int32_t *list;
    size_t n;
    if (!gguf_ints(g, key, 0, INT32_MAX, &list, &n, &e)) return 0;
    int first = n ? list[0] : 0;
    mem_free(list);
    return first;
}

static void model_of(const struct gguf *g, struct mix_model *s)
{
    struct bytes arch = { "", 0 };
    struct err e = { 0 };
    gguf_str(g, "general.architecture", &arch, &e);
    int heads = arch_int(g, "attention.head_count"), kv = arch_int(g, "attention.head_count_kv");
    s->n_layer = arch_int(g, "block_count");
    s->gqa = kv ? heads / kv : 0;
    s->n_expert = arch_int(g, "expert_count");
    s->is_llama = bytes_eq(arch, "llama");
    for (size_t i = 0; i < gguf_n_tensor(g); i++) mix_see(s, gguf_tensor(g, i)->name);
}

/* Called by the writer when the tensor's turn comes. */
static bool fill(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct plan *p = ctx;
    float *importance = NULL;
    if (p->im && !imatrix_of(p->im, t, &importance, e)) return false;
    bool ok = tally_repack(&p->tally, p->pool, gguf_find(p->g, t->name), t, importance, dst, e);
    mem_free(importance);
    return ok;
}

static bool add_tensor(struct plan *p, const struct mix_model *s, const struct tensor *from,
                       struct gguf_out *out, struct err *e)
{
    enum dtype d = mix_type(p->mix, s, from, p->o->pure);
    const struct dtype_info *in = dtype_info(from->dtype), *to = dtype_info(d);
    if (d != from->dtype && in->block > 1 && to->block > 1 && !p->o->requantize)
        return err_set(
            e, ERR_ARG,
            "tensor %s is %s already, quantising twice loses more than once: start from a F32, "
            "F16 or BF16 file, or say --requantize",
            from->name, in->name);
    struct tensor t = *from;
    tally_plan(&p->tally, &t, d);
    if (d == from->dtype) gguf_out_tensor(out, from);
    else gguf_out_fill(out, &t, fill, p);
    return true;
}

/* Where the rounding weights came from, under the keys other tools use. */
static void note_imatrix(const struct plan *p, struct gguf_out *out)
{
    const char *file = p->o->imatrix, *set = imatrix_dataset(p->im);
    gguf_out_str(out, "quantize.imatrix.file", file, strlen(file));
    gguf_out_str(out, "quantize.imatrix.dataset", set, strlen(set));
    gguf_out_u32(out, "quantize.imatrix.entries_count", (uint32_t)imatrix_n(p->im));
    gguf_out_u32(out, "quantize.imatrix.chunks_count", (uint32_t)imatrix_n_chunk(p->im));
}

/* An importance matrix that knows none of the matrices is of another model; one that lacks some is used
 * for the others, aloud. */
static bool check_imatrix(const struct plan *p, const struct mix_model *s, struct err *e)
{
    int known = 0, bare = 0;
    const char *name = "";
    for (size_t i = 0; p->im && i < gguf_n_tensor(p->g); i++) {
        const struct tensor *t = gguf_tensor(p->g, i);
        float *importance;
        bool looked_up = s->has_output && !strcmp(t->name, "token_embd.weight");     /* never multiplied with */
        if (looked_up || dtype_info(mix_type(p->mix, s, t, p->o->pure))->block == 1) continue;
        if (!imatrix_of(p->im, t, &importance, e)) return false;
        known += importance != NULL;
        bare += !importance;
        if (!importance) name = t->name;
        mem_free(importance);
    }
    if (bare && !known) return err_set(e, ERR_ARG, "%s knows no matrix of this model (%s, for one)", p->o->imatrix, name);
    if (bare) log_line(LOG_WARN, "imatrix known=%d unknown=%d last=%s", known, bare, name);
    return true;
}

static void copy_metadata(const struct plan *p, struct gguf_out *out)
{
    for (size_t i = 0; i < gguf_n_kv(p->g); i++) {
        struct gguf_kv kv = gguf_kv(p->g, i);
        gguf_out_kv(out, &kv);
    }
    gguf_out_u32(out, "general.file_type", mix_file_type(p->mix));
    if (mix_is_quantised(p->mix)) gguf_out_u32(out, "general.quantization_version", 2);
    if (p->im) note_imatrix(p, out);
}

static bool write_all(struct plan *p, const char *path, struct err *e)
{
    struct gguf_out *out = gguf_out_new();
    struct mix_model s = { 0 };
    model_of(p->g, &s);
    s.has_importance = p->im != NULL;
    copy_metadata(p, out);
    bool ok = check_imatrix(p, &s, e);
    for (size_t i = 0; ok && i < gguf_n_tensor(p->g); i++)
        ok = add_tensor(p, &s, gguf_tensor(p->g, i), out, e);
    if (!ok) err_at(e, gguf_name(p->g));
    ok = ok && gguf_out_write(out, path, e);
    gguf_out_free(out);
    return ok;
}

static int run(const void *v, int n_arg, char **arg)
{
    struct err e = { 0 };
    struct plan p = { .o = v };
    struct gguf *g = NULL;
    if (p.o->imatrix) p.im = imatrix_new();
    bool ok = mix_find(arg[2], &p.mix, &e) && (!p.im || imatrix_read(p.im, p.o->imatrix, &e)) && (g = gguf_open(arg[0], &e)) &&
              (p.pool = pool_open((int)p.o->threads, &e));
    p.g = g;
    p.tally.has_bar = isatty(STDERR_FILENO);
    p.tally.is_shown = p.o->verbose || p.tally.has_bar;
    ok = ok && write_all(&p, arg[1], &e);
    if (ok) tally_print(&p.tally, arg[1], mix_name(p.mix), p.o->json);
    pool_close(p.pool);
    gguf_close(g);
    imatrix_free(p.im);
    return ok ? 0 : front_fail("quantize", &e);
}

static const struct opt opts[] = {
    { "Formats", 0, "pure", NULL, OPT_FLAG, offsetof(struct quantize_opts, pure),
      "TYPE's base format for every matrix (default: its mix)" },
    { "Formats", 0, "imatrix", "FILE", OPT_STR, offsetof(struct quantize_opts, imatrix),
      "importance matrix that weights the rounding errors (`tenon imatrix`; default: none)" },
    { "Formats", 0, "requantize", NULL, OPT_FLAG, offsetof(struct quantize_opts, requantize),
      "accept matrices that are quantised already (default: refuse)" },
    { "Run", 't', "threads", "N", OPT_INT, offsetof(struct quantize_opts, threads),
      "threads (default: one per core)" },
    { "Run", 'v', "verbose", NULL, OPT_FLAG, offsetof(struct quantize_opts, verbose),
      "a line per matrix on stderr (default: only on a terminal)" },
    { "Run", 0, "json", NULL, OPT_FLAG, offsetof(struct quantize_opts, json),
      "the result as one JSON object (default: text)" },
};

static const struct quantize_opts defaults = { 0 };
const struct command cmd_quantize = {
    .verb = "quantize", .args = "IN OUT TYPE",
    .sentence = "Write a model with smaller numbers: F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 "
                "Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS MXFP4_MOE Q3_K_L Q3_K_M Q3_K_S Q2_K.",
    .example = "tenon quantize model-f16.gguf model-q4.gguf Q4_K_M",
    .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .min_arg = 3, .max_arg = 3, .run = run,
};
