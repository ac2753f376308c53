/* imatrix.c -- importance matrices: collected by kernels that look on, read, written, asked.
 *
 * Sums are kept in f64 and handed over in f32. Experts of one tensor are told apart by where their
 * rows lie in it; each has its own count of tokens. */
#include "imatrix.h"

#include <math.h>
#include <stdlib.h>

#include "front.h"

struct entry {
    char *name;                                                       /* of the matrix */
    int64_t n_in, n_expert;
    double *sum2;                                                     /* [n_expert, n_in] */
    double *count;                                                    /* [n_expert] tokens */
};
struct imatrix {
    struct entry *entry;
    size_t n, cap;
    char **dataset;
    size_t n_dataset, cap_dataset;
    int64_t n_chunk, chunk_tokens;
};

struct imatrix *imatrix_new(void)
{
    return mem_zero(sizeof(struct imatrix));
}

void imatrix_free(struct imatrix *im)
{
    if (!im) return;
    for (size_t i = 0; i < im->n; i++) {
        mem_free(im->entry[i].name);
        mem_free(im->entry[i].sum2);
        mem_free(im->entry[i].count);
    }
    for (size_t i = 0; i < im->n_dataset; i++) mem_free(im->dataset[i]);
    mem_free(im->dataset);
    mem_free(im->entry);
    mem_free(im);
}

size_t imatrix_n(const struct imatrix *im) { return im->n; }
int64_t imatrix_n_chunk(const struct imatrix *im) { return im->n_chunk; }
const char *imatrix_dataset(const struct imatrix *im) { return im->n_dataset ? im->dataset[0] : ""; }

void imatrix_came_from(struct imatrix *im, const char *dataset, int64_t n_chunk, int64_t chunk_tokens)
{
    MEM_GROW(im->dataset, im->n_dataset, im->cap_dataset);
    im->dataset[im->n_dataset++] = mem_str(dataset);
    im->n_chunk += n_chunk;
    im->chunk_tokens = MAX(im->chunk_tokens, chunk_tokens);
}

static struct entry *find(const struct imatrix *im, const char *name, size_t len)
{
    for (size_t i = 0; i < im->n; i++)
        if (strlen(im->entry[i].name) == len && !memcmp(im->entry[i].name, name, len)) return &im->entry[i];
    return NULL;
}

static struct entry *add(struct imatrix *im, const char *name, size_t len, int64_t n_in, int64_t n_expert)
{
    MEM_GROW(im->entry, im->n, im->cap);
    struct entry *x = &im->entry[im->n++];
    *x = (struct entry){ .n_in = n_in, .n_expert = n_expert };
    x->name = mem_zero(len + 1);
    memcpy(x->name, name, len);
    x->sum2 = mem_zero((size_t)(n_in * n_expert) * sizeof *x->sum2);
    x->count = mem_zero((size_t)n_expert * sizeof *x->count);
    return x;
}

bool imatrix_of(const struct imatrix *im, const struct tensor *t, float **out, struct err *e)
{
    const struct entry *x = find(im, t->name, strlen(t->name));
    *out = NULL;
    if (!x) return true;
    if (x->n_in != t->ne[0] || x->n_expert != t->ne[2])
        return err_set(e, ERR_FORMAT, "the importance matrix has %lld x %lld columns for tensor %s of %lld x %lld: it belongs to another model",
                       (long long)x->n_in, (long long)x->n_expert, t->name, (long long)t->ne[0], (long long)t->ne[2]);
    float *imp = mem_alloc((size_t)(x->n_in * x->n_expert) * sizeof *imp);
    for (int64_t k = 0; k < x->n_expert; k++) {
        double most = 0;
        for (int64_t i = 0; i < x->n_in; i++) most = MAX(most, x->sum2[k * x->n_in + i]);
        for (int64_t i = 0; i < x->n_in; i++)
            imp[k * x->n_in + i] = x->count[k] > 0 && most > 0 ? (float)(x->sum2[k * x->n_in + i] / x->count[k]) : 1;
    }
    *out = imp;
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

#define SUMS ".in_sum2"
#define COUNTS ".counts"

/* Is it F32 of n_in x n_expert, and every number one that a sum of squares can be? */
static bool numbers(const struct tensor *t, int64_t n_in, int64_t n_expert, struct err *e)
{
    if (t->dtype != DT_F32) return err_set(e, ERR_FORMAT, "tensor %s is %s, must be F32", t->name, dtype_info(t->dtype)->name);
    if (t->n_dim > 2 || t->ne[0] != n_in || t->ne[1] != n_expert)
        return err_set(e, ERR_FORMAT, "tensor %s is %lld x %lld, must be %lld x %lld", t->name, (long long)t->ne[0], (long long)t->ne[1],
                       (long long)n_in, (long long)n_expert);
    const float *x = t->data;
    for (int64_t i = 0; i < n_in * n_expert; i++)
        if (!isfinite(x[i]) || x[i] < 0) return err_set(e, ERR_FORMAT, "tensor %s: element %lld is negative or not finite", t->name, (long long)i);
    return true;
}

static bool read_entry(struct imatrix *im, const struct gguf *g, const struct tensor *sum, struct err *e)
{
    size_t len = strlen(sum->name) - strlen(SUMS);
    char name[256];
    if (!len || len + sizeof COUNTS > sizeof name) return err_set(e, ERR_FORMAT, "tensor %s: a name of 1 to 240 bytes is expected", sum->name);
    snprintf(name, sizeof name, "%.*s" COUNTS, (int)len, sum->name);
    const struct tensor *count = gguf_find(g, name);
    if (!count) return err_set(e, ERR_FORMAT, "tensor %s is missing beside %s", name, sum->name);
    if (!numbers(sum, sum->ne[0], sum->ne[1], e) || !numbers(count, 1, sum->ne[1], e)) return false;
    struct entry *x = find(im, sum->name, len);
    if (!x) x = add(im, sum->name, len, sum->ne[0], sum->ne[1]);
    if (x->n_in != sum->ne[0] || x->n_expert != sum->ne[1])
        return err_set(e, ERR_FORMAT, "tensor %s has another shape than before: these are of different models", sum->name);
    for (int64_t i = 0; i < x->n_in * x->n_expert; i++) x->sum2[i] += ((const float *)sum->data)[i];
    for (int64_t i = 0; i < x->n_expert; i++) x->count[i] += ((const float *)count->data)[i];
    return true;
}

static bool read_origin(struct imatrix *im, const struct gguf *g, struct err *e)
{
    int64_t n_chunk = 0, tokens = 0;
    struct bytes *set = NULL;
    size_t n_set = 0;
    if (gguf_has(g, "imatrix.chunk_count") && !gguf_int(g, "imatrix.chunk_count", 0, INT32_MAX, &n_chunk, e)) return false;
    if (gguf_has(g, "imatrix.chunk_size") && !gguf_int(g, "imatrix.chunk_size", 0, INT32_MAX, &tokens, e)) return false;
    if (gguf_has(g, "imatrix.datasets") && !gguf_strs(g, "imatrix.datasets", &set, &n_set, e)) return false;
    for (size_t i = 0; i < n_set; i++) {
        char *s = mem_zero(set[i].len + 1);
        memcpy(s, set[i].p, set[i].len);
        imatrix_came_from(im, s, 0, 0);
        mem_free(s);
    }
    mem_free(set);
    im->n_chunk += n_chunk;
    im->chunk_tokens = MAX(im->chunk_tokens, tokens);
    return true;
}

bool imatrix_read(struct imatrix *im, const char *path, struct err *e)
{
    struct gguf *g = gguf_open(path, e);
    if (!g) return err_in(e, "importance matrix");
    struct bytes type = { 0 };
    size_t before = im->n;
    bool ok = gguf_str(g, "general.type", &type, e) && read_origin(im, g, e);
    if (ok && !bytes_eq(type, "imatrix"))
        ok = err_set(e, ERR_FORMAT, "general.type is '%.*s', an importance matrix says 'imatrix'", (int)MIN(type.len, (size_t)40), type.p);
    for (size_t i = 0; ok && i < gguf_n_tensor(g); i++)
        if (ends_with(gguf_tensor(g, i)->name, SUMS)) ok = read_entry(im, g, gguf_tensor(g, i), e);
    if (ok && im->n == before && !im->n) ok = err_set(e, ERR_FORMAT, "no tensor ends in " SUMS);
    if (!ok) err_at(e, path);
    gguf_close(g);
    return ok;
}

static void put_tensor(struct gguf_out *o, const struct entry *x, const char *tail, const double *v, int64_t n_in, struct arena *mem)
{
    int64_t n = n_in * x->n_expert;
    float *f = arena_f32(mem, (size_t)n);
    for (int64_t i = 0; i < n; i++) f[i] = (float)v[i];
    char name[512];
    snprintf(name, sizeof name, "%s%s", x->name, tail);
    struct tensor t = { .name = name, .dtype = DT_F32, .n_dim = 2, .ne = { n_in, x->n_expert, 1, 1 }, .data = f, .bytes = (size_t)n * sizeof *f };
    gguf_out_tensor(o, &t);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

bool imatrix_write(struct imatrix *im, const char *path, struct err *e)
{
    struct gguf_out *o = gguf_out_new();
    struct arena mem;
    arena_init(&mem, 0);
    struct bytes *set = arena_alloc(&mem, MAX(im->n_dataset, (size_t)1) * sizeof *set);
    for (size_t i = 0; i < im->n_dataset; i++) set[i] = (struct bytes){ im->dataset[i], strlen(im->dataset[i]) };
    gguf_out_str(o, "general.type", "imatrix", 7);
    gguf_out_strs(o, "imatrix.datasets", set, im->n_dataset);
    gguf_out_u32(o, "imatrix.chunk_count", (uint32_t)im->n_chunk);
    gguf_out_u32(o, "imatrix.chunk_size", (uint32_t)im->chunk_tokens);
    qsort(im->entry, im->n, sizeof *im->entry, by_name);
    for (size_t i = 0; i < im->n; i++) {
        put_tensor(o, &im->entry[i], SUMS, im->entry[i].sum2, im->entry[i].n_in, &mem);
        put_tensor(o, &im->entry[i], COUNTS, im->entry[i].count, 1, &mem);
    }
    bool ok = gguf_out_write(o, path, e);
    gguf_out_free(o);
    arena_done(&mem);
    return ok;
}

/* ---- looking on ------------------------------------------------------------------------------ */

struct place { const uint8_t *from, *to; const struct tensor *t; size_t entry; };       /* entry + 1, 0: not met yet */
struct imatrix_watch {
    struct ops ops;
    const struct ops *base;
    struct imatrix *im;
    struct place *place;                                              /* by address */
    size_t n;
};

static int by_address(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static struct place *place_of(struct imatrix_watch *w, const struct mat *m)
{
    const uint8_t *p = m->data;
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p < w->place[mid].from) hi = mid;
        else if (p >= w->place[mid].to) lo = mid + 1;
        else return &w->place[mid];
    }
    return NULL;                                                      /* a matrix of an adapter, say */
}

static void look(struct imatrix_watch *w, const struct mat *m, const float *x, int n)
{
    struct place *p = place_of(w, m);
    if (!p) return;
    const struct tensor *t = p->t;
    if (!p->entry) {
        add(w->im, t->name, strlen(t->name), t->ne[0], t->ne[2]);
        p->entry = w->im->n;
    }
    struct entry *y = &w->im->entry[p->entry - 1];
    int64_t expert = ((const uint8_t *)m->data - p->from) / (int64_t)((size_t)t->ne[1] * m->row_bytes);
    double *sum = y->sum2 + expert * y->n_in;
    for (int i = 0; i < n; i++)
        for (int64_t j = 0; j < y->n_in; j++) sum[j] += (double)x[i * y->n_in + j] * (double)x[i * y->n_in + j];
    y->count[expert] += n;
}

#define BASE(ctx) const struct ops *b = ((struct imatrix_watch *)(ctx))->base

static void watch_matmul(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n, enum phase ph)
{
    BASE(ctx);
    for (int i = 0; i < n_mm; i++) look(ctx, mm[i].w, x, n);
    b->matmul(b->ctx, mm, n_mm, x, n, ph);
}

static void watch_rows(void *ctx, float *y, const struct mat *w, const int32_t *id, int n)
{
    BASE(ctx);
    b->rows(b->ctx, y, w, id, n);
}

static void watch_rms(void *ctx, float *y, const float *x, const float *w, int n, int d, float eps)
{
    BASE(ctx);
    b->rms(b->ctx, y, x, w, n, d, eps);
}

static void watch_rope(void *ctx, float *x, const int32_t *pos, int n, int n_head, int head_dim, const float *freq, enum rope_pairs pairs)
{
    BASE(ctx);
    b->rope(b->ctx, x, pos, n, n_head, head_dim, freq, pairs);
}

static void watch_kv_store(void *ctx, void *page, const float *x, int row0, int n, int d, enum dtype kv)
{
    BASE(ctx);
    b->kv_store(b->ctx, page, x, row0, n, d, kv);
}

static void watch_attn(void *ctx, const struct attn *a, enum phase ph)
{
    BASE(ctx);
    b->attn(b->ctx, a, ph);
}

static void watch_conv(void *ctx, float *y, const float *z, const float *taps, float *state, int n, int d, int K)
{
    BASE(ctx);
    b->conv(b->ctx, y, z, taps, state, n, d, K);
}

static void watch_swiglu(void *ctx, float *y, const float *gate, const float *up, size_t n)
{
    BASE(ctx);
    b->swiglu(b->ctx, y, gate, up, n);
}

static void watch_add(void *ctx, float *y, const float *x, size_t n)
{
    BASE(ctx);
    b->add(b->ctx, y, x, n);
}

struct imatrix_watch *imatrix_watch_open(struct imatrix *im, const struct gguf *g, const struct ops *base)
{
    struct imatrix_watch *w = mem_zero(sizeof *w);
    w->im = im;
    w->base = base;
    w->ops = (struct ops){ .name = base->name, .ctx = w, .kv = base->kv, .matmul = watch_matmul, .rows = watch_rows, .rms = watch_rms,
                           .rope = watch_rope, .kv_store = watch_kv_store, .attn = watch_attn, .conv = watch_conv,
                           .swiglu = watch_swiglu, .add = watch_add };
    w->place = mem_zero(MAX(gguf_n_tensor(g), (size_t)1) * sizeof *w->place);
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor(g, i);
        const struct entry *known = find(im, t->name, strlen(t->name));
        w->place[w->n++] = (struct place){ t->data, (const uint8_t *)t->data + t->bytes, t, known ? (size_t)(known - im->entry) + 1 : 0 };
    }
    qsort(w->place, w->n, sizeof *w->place, by_address);
    return w;
}

const struct ops *imatrix_watch_ops(const struct imatrix_watch *w)
{
    return &w->ops;
}

void imatrix_watch_close(struct imatrix_watch *w)
{
    if (!w) return;
    mem_free(w->place);
    mem_free(w);
}
