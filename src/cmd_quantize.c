/* cmd_quantize.c -- `tenon quantize IN OUT TYPE`: the same model with other number formats.
 *
 * TYPE names a mix: most matrices get its base format, those that suffer most (output, values, the
 * second half of the feed-forward part) a finer one. The mixes are those other tools write under the
 * same names, so that files can be compared. Vectors, norms, routers and convolution taps stay as they
 * are. Rows that are not whole blocks fall back to a format they fit.
 *
 * One tensor is in memory at a time; the result appears whole or not at all. Values that are not
 * finite, or too large for the format, end the run: nothing is clipped silently. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "front.h"

/* ---- mixes ---- */

/* How a finer format spreads over the layers: i of n. */
enum spread { ALL, FIRST_2, FIRST_4, FIRST_EIGHTH, FIRST_SIXTEENTH, MORE };
struct rule { enum dtype fine; enum spread where; enum dtype rest; };
static const struct mix {
    const char *name;
    uint32_t file_type;
    enum dtype base, output;
    struct rule attn_v, ffn_down, attn_output;
    enum dtype attn_v_gqa;                              /* instead, where 4 heads share a value head */
    bool mx_experts;                                    /* stacked experts get MXFP4 */
} mixes[] = {
#define SAME(d) { d, ALL, d }
#define PLAIN(name, id, d, out) { name, id, d, out, SAME(d), SAME(d), SAME(d), DT_NONE }
    PLAIN("F32", 0, DT_F32, DT_F32), PLAIN("F16", 1, DT_F16, DT_F16), PLAIN("BF16", 32, DT_BF16, DT_BF16),
    PLAIN("Q8_0", 7, DT_Q8_0, DT_Q8_0), PLAIN("Q4_0", 2, DT_Q4_0, DT_Q6_K), PLAIN("Q4_1", 3, DT_Q4_1, DT_Q6_K),
    PLAIN("Q5_0", 8, DT_Q5_0, DT_Q6_K), PLAIN("Q5_1", 9, DT_Q5_1, DT_Q6_K), PLAIN("Q6_K", 18, DT_Q6_K, DT_Q6_K),
    { "Q2_K", 10, DT_Q2_K, DT_Q6_K, SAME(DT_Q3_K), SAME(DT_Q3_K), SAME(DT_Q3_K), DT_Q4_K },
    { "Q3_K_S", 11, DT_Q3_K, DT_Q6_K, SAME(DT_Q3_K), SAME(DT_Q3_K), SAME(DT_Q3_K), DT_NONE },
    { "Q3_K_M", 12, DT_Q3_K, DT_Q6_K, { DT_Q5_K, FIRST_2, DT_Q4_K }, { DT_Q5_K, FIRST_SIXTEENTH, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q3_K_L", 13, DT_Q3_K, DT_Q6_K, SAME(DT_Q5_K), SAME(DT_Q5_K), SAME(DT_Q5_K), DT_NONE },
    { "Q4_K_S", 14, DT_Q4_K, DT_Q6_K, { DT_Q5_K, FIRST_4, DT_Q4_K }, { DT_Q5_K, FIRST_EIGHTH, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q4_K_M", 15, DT_Q4_K, DT_Q6_K, { DT_Q6_K, MORE, DT_Q4_K }, { DT_Q6_K, MORE, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q5_K_S", 16, DT_Q5_K, DT_Q6_K, SAME(DT_Q5_K), SAME(DT_Q5_K), SAME(DT_Q5_K), DT_NONE },
    { "Q5_K_M", 17, DT_Q5_K, DT_Q6_K, { DT_Q6_K, MORE, DT_Q5_K }, { DT_Q6_K, MORE, DT_Q5_K },
      SAME(DT_Q5_K), DT_NONE },
    { "IQ4_NL", 25, DT_IQ4_NL, DT_Q6_K, SAME(DT_IQ4_NL), { DT_Q5_K, FIRST_EIGHTH, DT_IQ4_NL },
      SAME(DT_IQ4_NL), DT_Q5_K },
    { "IQ4_XS", 30, DT_IQ4_XS, DT_Q6_K, SAME(DT_IQ4_XS), { DT_Q5_K, FIRST_EIGHTH, DT_IQ4_XS },
      SAME(DT_IQ4_XS), DT_Q5_K },
    { "MXFP4_MOE", 38, DT_Q8_0, DT_Q8_0, SAME(DT_Q8_0), SAME(DT_Q8_0), SAME(DT_Q8_0), DT_NONE, .mx_experts = true },
};

static bool mix_find(const char *name, const struct mix **out, struct err *e)
{
    static const char *const alias[][2] = { { "Q3_K", "Q3_K_M" },
                                            { "Q4_K", "Q4_K_M" },
                                            { "Q5_K", "Q5_K_M" } };
    const char *full = name;
    for (size_t i = 0; i < LEN(alias); i++)
        if (!strcasecmp(name, alias[i][0])) full = alias[i][1];
    struct str all = { 0 };
    for (size_t i = 0; i < LEN(mixes); i++) {
        str_fmt(&all, " %s", mixes[i].name);
        if (!strcasecmp(full, mixes[i].name)) *out = &mixes[i];
    }
    if (!*out) err_set(e, ERR_ARG, "type '%s' is unknown; these are:%s", name, all.p);
    str_done(&all);
    return *out != NULL;
}

static bool spread_has(enum spread s, int i, int n)
{
    switch (s) {
    case ALL:             return true;
    case FIRST_2:         return i < 2;
    case FIRST_4:         return i < 4;
    case FIRST_EIGHTH:    return i < n / 8;
    case FIRST_SIXTEENTH: return i < n / 16;
    default:              return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    }
}

static enum dtype rule_at(const struct rule *r, int i, int n)
{
    return spread_has(r->where, i, n) ? r->fine : r->rest;
}

/* ---- which format a tensor gets ---- */

#define MOST_LAYER 1024

struct shape {
    int n_layer, gqa, n_expert;
    bool is_llama, tied;
    int attn_v[MOST_LAYER + 1], ffn_down[MOST_LAYER + 1];             /* such matrices in layers below i */
};

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

/* "blk.7.attn_v.weight": layer 7, rest "attn_v.weight". */
static const char *layer_part(const char *name, int *layer)
{
    int used = 0;
    if (sscanf(name, "blk.%6d.%n", layer, &used) != 1 || !used) return NULL;
    if (*layer < 0 || *layer >= MOST_LAYER) return NULL;
    return name + used;
}

static bool is_part(const char *name, const char *part, int *layer)
{
    const char *rest = layer_part(name, layer);
    return rest && !strncmp(rest, part, strlen(part));
}

static bool is_value(const char *name, int *layer)
{
    return is_part(name, "attn_v.weight", layer) || is_part(name, "attn_qkv.weight", layer);
}

static void count_parts(const struct gguf *g, struct shape *s)
{
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const char *name = gguf_tensor(g, i)->name;
        int layer;
        if (is_value(name, &layer)) s->attn_v[layer + 1]++;
        else if (is_part(name, "ffn_down", &layer)) s->ffn_down[layer + 1]++;
    }
    for (int l = 0; l < MOST_LAYER; l++) {
        s->attn_v[l + 1] += s->attn_v[l];
        s->ffn_down[l + 1] += s->ffn_down[l];
    }
}

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

static void shape_of(const struct gguf *g, struct shape *s)
{
    struct bytes arch = { "", 0 };
    struct err e = { 0 };
    gguf_str(g, "general.architecture", &arch, &e);
    int heads = arch_int(g, "attention.head_count"), kv = arch_int(g, "attention.head_count_kv");
    s->n_layer = arch_int(g, "block_count");
    s->gqa = kv ? heads / kv : 0;
    s->n_expert = arch_int(g, "expert_count");
    s->is_llama = bytes_eq(arch, "llama");
    s->tied = !gguf_find(g, "output.weight");
    count_parts(g, s);
}

static bool eligible(const struct tensor *t)
{
    static const char *const never[] = { "_norm.weight", "ffn_gate_inp.weight",
                                         "shortconv.conv.weight" };
    if (t->n_dim < 2 || !ends_with(t->name, "weight") || strstr(t->name, "ssm_conv1d"))
        return false;
    for (size_t i = 0; i < LEN(never); i++)
        if (ends_with(t->name, never[i])) return false;
    return dtype_info(t->dtype)->unpack != NULL;
}

static enum dtype value_type(const struct mix *m, const struct shape *s, int layer)
{
    if (s->n_expert == 8) return DT_Q8_0;
    enum dtype d = rule_at(&m->attn_v, s->attn_v[layer], s->attn_v[MOST_LAYER]);
    if (m->attn_v_gqa != DT_NONE && s->gqa >= 4) d = m->attn_v_gqa;
    if (s->is_llama && s->n_layer == 80 && (d == DT_Q3_K || d == DT_Q4_K)) d = DT_Q5_K;
    return d;
}

/* Before looking at the row length. */
static enum dtype wanted(const struct mix *m, const struct shape *s, const char *name)
{
    int layer;
    if (dtype_info(m->base)->block == 1 || m->base == DT_Q8_0) return m->base;
    if (!strcmp(name, "output.weight") || (s->tied && !strcmp(name, "token_embd.weight")))
        return m->output;
    if (is_value(name, &layer)) return value_type(m, s, layer);
    if (is_part(name, "attn_k.weight", &layer) && s->n_expert == 8) return DT_Q8_0;
    if (is_part(name, "ffn_down", &layer))
        return rule_at(&m->ffn_down, s->ffn_down[layer], s->n_layer);
    if (!is_part(name, "attn_output.weight", &layer)) return m->base;
    bool coarse = m->base == DT_Q2_K || m->base == DT_Q3_K || m->base == DT_Q4_K ||
                  m->base == DT_IQ4_NL || m->base == DT_IQ4_XS;
    return s->n_expert == 8 && coarse ? DT_Q5_K : m->attn_output.fine;
}

static enum dtype fit_row(enum dtype d, int64_t row)
{
    static const struct { enum dtype from, to; } smaller[] = {
        { DT_Q2_K, DT_Q4_0 }, { DT_Q3_K, DT_Q4_0 }, { DT_Q4_K, DT_Q5_0 }, { DT_Q5_K, DT_Q5_1 },
        { DT_Q6_K, DT_Q8_0 }, { DT_IQ4_XS, DT_IQ4_NL },
    };
    for (size_t i = 0; i < LEN(smaller) && row % dtype_info(d)->block; i++)
        if (smaller[i].from == d) d = smaller[i].to;
    return row % dtype_info(d)->block ? DT_F16 : d;
}

/* ---- conversion of one tensor ---- */

#define CHUNK 4096                                                    /* elements; whole blocks of every format */

/* Shared by the threads that convert one tensor: chunks are taken by number. */
struct job {
    const struct tensor *from;
    const struct dtype_info *in, *out;
    uint8_t *dst;
    int64_t n;
    _Atomic int64_t next;
    _Atomic bool bad_in, bad_out;
    _Atomic int64_t bad_at;
    double *err2, *sum2;                                              /* [n_chunk] squared error, squared values */
};

static bool finite_all(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] - x[i];                   /* 0, or NaN */
    return sum == 0;
}

static void convert_chunk(struct job *j, int64_t c)
{
    float x[CHUNK], y[CHUNK];
    int64_t at = c * CHUNK;
    int n = (int)MIN(j->n - at, (int64_t)CHUNK);
    uint8_t *dst = j->dst + dtype_bytes(dtype_of_gguf((uint32_t)j->out->gguf_id), at);
    j->in->unpack((const uint8_t *)j->from->data + dtype_bytes(j->from->dtype, at), x, (size_t)n);
    bool in_ok = finite_all(x, n), out_ok = false;
    if (in_ok) {
        j->out->pack(x, dst, (size_t)n);
        j->out->unpack(dst, y, (size_t)n);
        out_ok = finite_all(y, n);
    }
    if (!in_ok || !out_ok) {
        j->bad_at = at;
        j->bad_in |= !in_ok;
        j->bad_out |= in_ok && !out_ok;
        return;
    }
    double err = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        err += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        sum += (double)x[i] * (double)x[i];
    }
    j->err2[c] = err;
    j->sum2[c] = sum;
}

static void convert_some(void *ctx, int thread, int n_thread)
{
    struct job *j = ctx;
    int64_t n_chunk = (j->n + CHUNK - 1) / CHUNK;
    for (int64_t c; !j->bad_in && !j->bad_out && (c = atomic_fetch_add(&j->next, 1)) < n_chunk;)
        convert_chunk(j, c);
}

/* ---- the whole file ---- */

struct quantize_opts { int64_t threads; bool json, pure, requantize, verbose; };

struct plan {
    const struct gguf *g;
    const struct mix *mix;
    const struct quantize_opts *o;
    struct pool *pool;
    size_t done;                                                      /* tensors written, for progress */
    double err2, sum2;
    struct { int64_t elements; size_t bytes; } used[DT_COUNT];
};

static bool job_failed(const struct job *j, struct err *e)
{
    if (j->bad_in)
        return err_set(e, ERR_FORMAT, "a value near element %lld is not finite",
                       (long long)j->bad_at);
    if (j->bad_out)
        return err_set(e, ERR_ARG, "a value near element %lld is too large for %s",
                       (long long)j->bad_at, j->out->name);
    return true;
}

/* Called by the writer when the tensor's turn comes. */
static bool fill(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    struct plan *p = ctx;
    const struct tensor *from = gguf_find(p->g, t->name);
    struct job j = { .from = from, .in = dtype_info(from->dtype), .out = dtype_info(t->dtype), .dst = dst,
                     .n = from->ne[0] * from->ne[1] * from->ne[2] * from->ne[3] };
    size_t n_chunk = (size_t)((j.n + CHUNK - 1) / CHUNK);
    j.err2 = mem_zero(n_chunk * sizeof *j.err2);
    j.sum2 = mem_zero(n_chunk * sizeof *j.sum2);
    pool_run(p->pool, convert_some, &j);
    double err = 0, sum = 0;
    for (size_t c = 0; c < n_chunk; c++) {                            /* one order, whoever computed them */
        err += j.err2[c];
        sum += j.sum2[c];
    }
    mem_free(j.err2);
    mem_free(j.sum2);
    if (!job_failed(&j, e)) return false;
    p->err2 += err;
    p->sum2 += sum;
    p->done++;
    if (p->o->verbose || isatty(STDERR_FILENO))
        fprintf(stderr, "%4zu  %-40s %-6s -> %-6s error %.5f\n", p->done, t->name, j.in->name,
                j.out->name, sum > 0 ? sqrt(err / sum) : 0.0);
    return true;
}

static bool add_tensor(struct plan *p, const struct shape *s, const struct tensor *from,
                       struct gguf_out *out, struct err *e)
{
    struct tensor t = *from;
    if (eligible(from))
        t.dtype =
            fit_row(p->mix->mx_experts && from->n_dim == 3 ? DT_MXFP4 : p->o->pure ? p->mix->base : wanted(p->mix, s, from->name),
                    from->ne[0]);
    const struct dtype_info *in = dtype_info(from->dtype), *to = dtype_info(t.dtype);
    if (t.dtype != from->dtype && in->block > 1 && to->block > 1 && !p->o->requantize)
        return err_set(
            e, ERR_ARG,
            "tensor %s is %s already, quantising twice loses more than once: start from a F32, "
            "F16 or BF16 file, or say --requantize",
            from->name, in->name);
    int64_t n = t.ne[0] * t.ne[1] * t.ne[2] * t.ne[3];
    t.bytes = dtype_bytes(t.dtype, n);
    p->used[t.dtype].elements += n;
    p->used[t.dtype].bytes += t.bytes;
    if (t.dtype == from->dtype) gguf_out_tensor(out, from);
    else gguf_out_fill(out, &t, fill, p);
    return true;
}

static void copy_metadata(const struct plan *p, struct gguf_out *out)
{
    for (size_t i = 0; i < gguf_n_kv(p->g); i++) {
        struct gguf_kv kv = gguf_kv(p->g, i);
        gguf_out_kv(out, &kv);
    }
    gguf_out_u32(out, "general.file_type", p->mix->file_type);
    if (dtype_info(p->mix->base)->block > 1) gguf_out_u32(out, "general.quantization_version", 2);
}

static bool write_all(struct plan *p, const char *path, struct err *e)
{
    struct gguf_out *out = gguf_out_new();
    struct shape s = { 0 };
    shape_of(p->g, &s);
    copy_metadata(p, out);
    bool ok = true;
    for (size_t i = 0; ok && i < gguf_n_tensor(p->g); i++)
        ok = add_tensor(p, &s, gguf_tensor(p->g, i), out, e);
    if (!ok) err_in(e, "%s", gguf_name(p->g));
    ok = ok && gguf_out_write(out, path, e);
    gguf_out_free(out);
    return ok;
}

/* ---- report ---- */

static void report(const struct plan *p, const char *path)
{
    struct json *o = json_new_object(), *types = json_new_object();
    int64_t elements = 0;
    size_t bytes = 0;
    for (int d = 0; d < DT_COUNT; d++) {
        if (!p->used[d].elements) continue;
        elements += p->used[d].elements;
        bytes += p->used[d].bytes;
        json_set(types, dtype_info(d)->name, json_new_int(p->used[d].elements));
    }
    double bits = elements ? 8.0 * (double)bytes / (double)elements : 0,
           err = p->sum2 > 0 ? sqrt(p->err2 / p->sum2) : 0;
    json_set(o, "file", json_new_str(path));
    json_set(o, "type", json_new_str(p->mix->name));
    json_set(o, "parameters", json_new_int(elements));
    json_set(o, "bytes", json_new_int((int64_t)bytes));
    json_set(o, "bits_per_weight", json_new_f64(bits));
    json_set(o, "relative_error", json_new_f64(err));
    json_set(o, "types", types);
    struct str s = { 0 };
    json_write(&s, o, JSON_COMPACT);
    if (p->o->json) puts(s.p);
    else
        printf("%s: %s, %lld parameters, %.3f bits each, relative error %.5f\n", path, p->mix->name,
               (long long)elements, bits, err);
    str_done(&s);
    json_free(o);
}

static int run(const void *v, int n_arg, char **arg)
{
    struct err e = { 0 };
    struct plan p = { .o = v };
    struct gguf *g = NULL;
    bool ok = mix_find(arg[2], &p.mix, &e) && (g = gguf_open(arg[0], &e)) &&
              (p.pool = pool_open((int)p.o->threads, &e));
    p.g = g;
    ok = ok && write_all(&p, arg[1], &e);
    if (ok) report(&p, arg[1]);
    pool_close(p.pool);
    gguf_close(g);
    return ok ? 0 : front_fail("quantize", &e);
}

static const struct opt opts[] = {
    { "Formats", 0, "pure", NULL, OPT_FLAG, offsetof(struct quantize_opts, pure),
      "TYPE's base format for every matrix (default: its mix)" },
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
