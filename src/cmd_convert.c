/* cmd_convert.c -- `tenon convert DIR OUT [TYPE]`: a Hugging Face folder as one GGUF file.
 *
 * One tensor is in memory at a time, twice where it is gathered and repacked; the result appears
 * whole or not at all. */
#include <unistd.h>

#include "mix.h"

struct convert_opts { int64_t threads; bool json, pure, verbose; };

/* One tensor: its number in the folder. Lives until the file is written. */
struct job { struct plan *plan; size_t i; };
struct plan {
    struct hf *hf;
    const struct mix *mix;                                /* NULL: matrices stay as they lie */
    bool pure;
    struct pool *pool;
    struct tally tally;
    struct job *job;                                                  /* [tensors] */
};

static struct mix_model model_of(const struct hf *h)
{
    struct hf_numbers n = hf_numbers(h);
    struct mix_model m = { .n_layer = n.n_layer, .gqa = n.n_head_kv ? n.n_head / n.n_head_kv : 0,
                           .n_expert = n.n_expert, .is_llama = !strcmp(n.arch, "llama") };
    for (size_t i = 0; i < hf_n_tensor(h); i++) mix_see(&m, hf_tensor(h, i)->name);
    return m;
}

/* Called by the writer when the tensor's turn comes. */
static bool fill(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct job *j = ctx;
    struct plan *p = j->plan;
    struct tensor from = *hf_tensor(p->hf, j->i);
    if (t->dtype == from.dtype) {
        hf_fill(p->hf, j->i, dst);
        return true;
    }
    void *made = NULL;
    if (!from.data) {
        from.data = made = mem_slab(from.bytes, e);
        if (!made) return false;
        hf_fill(p->hf, j->i, made);
    }
    bool ok = tally_repack(&p->tally, p->pool, &from, t, NULL, dst, e);
    mem_slab_free(made, from.bytes);
    return ok;
}

static void add_tensors(struct plan *p, struct gguf_out *out)
{
    size_t n = hf_n_tensor(p->hf);
    struct mix_model m = model_of(p->hf);
    p->job = mem_alloc(n * sizeof *p->job);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *from = hf_tensor(p->hf, i);
        struct tensor t = *from;
        tally_plan(&p->tally, &t, p->mix ? mix_type(p->mix, &m, from, p->pure) : from->dtype);
        p->job[i] = (struct job){ p, i };
        if (from->data && t.dtype == from->dtype) gguf_out_tensor(out, from);
        else gguf_out_fill(out, &t, fill, &p->job[i]);
    }
}

/* The type by which most of the weights lie in the folder. */
static const char *type_as_is(const struct tally *w)
{
    int most = DT_F32;
    for (int d = 0; d < DT_COUNT; d++)
        if (w->used[d].elements > w->used[most].elements) most = d;
    return dtype_info((enum dtype)most)->name;
}

static bool convert(struct plan *p, const char *dir, const char *path, const char *type,
                    struct err *e)
{
    struct gguf_out *out = gguf_out_new();
    bool ok = (!type || mix_find(type, &p->mix, e)) && (p->hf = hf_open(dir, out, e));
    if (ok) {
        add_tensors(p, out);
        if (!p->mix) ok = mix_find(type_as_is(&p->tally), &p->mix, e);
    }
    if (ok) {
        gguf_out_u32(out, "general.file_type", mix_file_type(p->mix));
        if (mix_is_quantised(p->mix)) gguf_out_u32(out, "general.quantization_version", 2);
        ok = gguf_out_write(out, path, e);
    }
    gguf_out_free(out);
    return ok;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct convert_opts *o = v;
    struct err e = { 0 };
    struct plan p = { .tally.has_bar = isatty(STDERR_FILENO), .tally.is_shown = o->verbose || isatty(STDERR_FILENO), .pure = o->pure };
    bool ok = (p.pool = pool_open((int)o->threads, &e)) &&
              convert(&p, arg[0], arg[1], n_arg > 2 ? arg[2] : NULL, &e);
    if (ok) tally_print(&p.tally, arg[1], mix_name(p.mix), o->json);
    pool_close(p.pool);
    hf_close(p.hf);
    mem_free(p.job);
    return ok ? 0 : front_fail("convert", &e);
}

static const struct opt opts[] = {
    { "Formats", 0, "pure", NULL, OPT_FLAG, offsetof(struct convert_opts, pure),
      "TYPE's base format for every matrix (default: its mix)" },
    { "Run", 't', "threads", "N", OPT_INT, offsetof(struct convert_opts, threads),
      "threads (default: one per core)" },
    { "Run", 'v', "verbose", NULL, OPT_FLAG, offsetof(struct convert_opts, verbose),
      "a line per matrix repacked on stderr (default: only on a terminal)" },
    { "Run", 0, "json", NULL, OPT_FLAG, offsetof(struct convert_opts, json),
      "the result as one JSON object (default: text)" },
};

static const struct convert_opts defaults = { 0 };
const struct command cmd_convert = {
    .verb = "convert", .args = "DIR OUT [TYPE]",
    .sentence = "Write a Hugging Face folder as a GGUF file, as it lies or in a TYPE of quantize.",
    .example = "tenon convert LFM2-1.2B-Tool lfm2-1.2b-tool-q4.gguf Q4_K_M",
    .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .min_arg = 2, .max_arg = 3, .run = run,
};
