/* hf.c -- a Hugging Face folder seen as a GGUF file: which tensors it will have, and their bytes
 * when their turn comes.
 *
 * The table of the model type is walked layer by layer; each row names a tensor that must be there
 * in the shape that config.json implies. What is left over in the folder is an error too: a model
 * with parts that we do not know would not be the same model. Bytes are lent from the mapping where
 * they can be, and gathered one tensor at a time where they cannot: experts are stacked, rows of
 * the llama architecture are permuted, vectors are widened.
 *
 * Not here: numbers and metadata (hf_config.c), the vocabulary (hf_tokenizer.c), names
 * (hf_names.c). */
#include "format/hf.h"

struct part {
    struct tensor t;
    const struct tensor **src; /* [n_src] one, or one per expert */
    int n_src;
    bool is_permuted;
    int slice, n_slice; /* all experts in one source; n_slice 0: they are not */
};
struct hf {
    struct safetensors *st;
    struct hf_config c;
    struct part *part;
    size_t n_part, cap_part;
    uint8_t *is_used;                                                 /* [tensors of the folder] */
    struct arena text;                                                /* names, lists of sources */
};

/* ---- names ---------------------------------------------------------------------------------- */

char *hf_spell(struct arena *a, const char *name, int layer, int expert)
{
    struct str s = { 0 };
    for (; *name; name++) {
        if (*name == '#') str_fmt(&s, "%d", layer);
        else if (*name == '*') str_fmt(&s, "%d", expert);
        else str_putc(&s, *name);
    }
    char *copy = arena_str(a, s.p, s.len);
    str_done(&s);
    return copy;
}

static bool has_row(const struct hf_config *c, const struct hf_row *row, int layer)
{
    switch (row->where) {
    case HF_ATTN:  return c->is_attn[layer];
    case HF_CONV:  return !c->is_attn[layer];
    case HF_DENSE: return layer < c->n_dense;
    case HF_MOE:   return layer >= c->n_dense;
    default:       return true;
    }
}

/* ---- finding -------------------------------------------------------------------------------- */

static void put_shape(struct str *s, const struct tensor *t)
{
    for (int i = t->n_dim - 1; i >= 0; i--)
        str_fmt(s, "%s%lld", i == t->n_dim - 1 ? "" : ", ", (long long)t->ne[i]);
}

static bool check_shape(const struct tensor *t, const struct tensor *want, struct err *e)
{
    bool ok = t->n_dim == want->n_dim;
    for (int i = 0; i < TENSOR_DIMS; i++) ok = ok && t->ne[i] == want->ne[i];
    if (ok) return true;
    struct str is = { 0 }, must = { 0 };
    put_shape(&is, t);
    put_shape(&must, want);
    err_set(e, ERR_FORMAT, "tensor %s has the shape [%s], config.json makes it [%s]", t->name, is.p,
            must.p);
    str_done(&is);
    str_done(&must);
    return false;
}

/* The shape in the folder. */
static struct tensor shape_of(const struct hf_config *c, const struct hf_row *row)
{
    int64_t out = c->dim[row->out], in = c->dim[row->in];
    if (row->flags & HF_TAP) return (struct tensor){ .n_dim = 3, .ne = { in, 1, out, 1 } };
    return (struct tensor){ .n_dim = row->out == HF_ONE ? 1 : 2, .ne = { in, out, 1, 1 } };
}

static const struct tensor *find_source(struct hf *h, const struct hf_row *row, int layer,
                                        int expert, struct err *e)
{
    const char *name = hf_spell(&h->text, row->hf, layer, expert);
    const struct tensor *t = safetensors_find(h->st, name);
    struct tensor want = shape_of(&h->c, row);
    if (!t) {
        err_set(e, ERR_FORMAT, "tensor %s is missing", name);
        return NULL;
    }
    if (!check_shape(t, &want, e)) return NULL;
    h->is_used[t - safetensors_tensor(h->st, 0)] = 1;
    return t;
}

/* All experts of the layer in one tensor, as some writers leave them; *out is NULL if this folder
 * has none. */
static bool find_fused(struct hf *h, const struct hf_row *row, int layer, const struct tensor **out,
                       struct err *e)
{
    const struct tensor *t =
        row->fused ? safetensors_find(h->st, hf_spell(&h->text, row->fused, layer, 0)) : NULL;
    struct tensor want = shape_of(&h->c, row);
    *out = t;
    if (!t) return true;
    want.n_dim = 3;
    want.ne[1] *= row->n_slice;
    want.ne[2] = h->c.n_expert;
    h->is_used[t - safetensors_tensor(h->st, 0)] = 1;
    return check_shape(t, &want, e);
}

static bool is_absent(struct hf *h, const struct hf_row *row, int layer)
{
    if (!strcmp(row->hf, "lm_head.weight")) return !h->c.has_head;
    return (row->flags & HF_OPTIONAL) &&
           !safetensors_find(h->st, hf_spell(&h->text, row->hf, layer, 0));
}

static void plan_shape(const struct hf_config *c, const struct hf_row *row, struct part *p)
{
    int64_t out = c->dim[row->out], in = c->dim[row->in];
    bool is_vector = row->out == HF_ONE, is_stack = strchr(row->hf, '*') != NULL;
    struct tensor *t = &p->t;
    t->n_dim = is_vector ? 1 : is_stack ? 3 : 2;
    for (int i = 0; i < TENSOR_DIMS; i++) t->ne[i] = 1;
    t->ne[0] = in;
    t->ne[1] = out;
    if (is_stack) t->ne[2] = p->n_src;
    t->dtype = is_vector || (row->flags & HF_F32) ? DT_F32 : p->src[0]->dtype;
    t->bytes = dtype_bytes(t->dtype, in * out * t->ne[2]);
    p->is_permuted = row->flags & HF_PERMUTE;
    if (p->n_src == 1 && !is_stack && !p->is_permuted && t->dtype == p->src[0]->dtype)
        t->data = p->src[0]->data;
}

static bool find_sources(struct hf *h, const struct hf_row *row, int layer, struct part *p,
                         struct err *e)
{
    const struct tensor *fused;
    if (!find_fused(h, row, layer, &fused, e)) return false;
    if (fused) p->slice = row->slice, p->n_slice = row->n_slice;
    for (int x = 0; x < p->n_src; x++) {
        if (!(p->src[x] = fused ? fused : find_source(h, row, layer, x, e))) return false;
        if (p->src[x]->dtype != p->src[0]->dtype)
            return err_set(e, ERR_UNSUPPORTED,
                           "tensors %s and %s are %s and %s; the experts of a layer must be "
                           "of one dtype",
                           p->src[0]->name, p->src[x]->name, dtype_info(p->src[0]->dtype)->name,
                           dtype_info(p->src[x]->dtype)->name);
    }
    return true;
}

static bool add_part(struct hf *h, const struct hf_row *row, int layer, struct err *e)
{
    struct part p = { .n_src = strchr(row->hf, '*') ? h->c.n_expert : 1 };
    if (is_absent(h, row, layer)) return true;
    p.t.name = hf_spell(&h->text, row->gguf, layer, 0);
    p.src = arena_small(&h->text, (size_t)p.n_src * sizeof *p.src);
    if (!find_sources(h, row, layer, &p, e)) return false;
    plan_shape(&h->c, row, &p);
    MEM_GROW(h->part, h->n_part, h->cap_part);
    h->part[h->n_part++] = p;
    return true;
}

static void add_rope_freqs(struct hf *h)
{
    struct part p = { 0 };
    int half = h->c.dim[HF_HEAD] / 2;
    if (!h->c.rope_freqs) return;
    p.t = (struct tensor){ .name = "rope_freqs.weight", .dtype = DT_F32, .n_dim = 1,
                           .ne = { half, 1, 1, 1 }, .data = h->c.rope_freqs,
                           .bytes = (size_t)half * sizeof(float) };
    MEM_GROW(h->part, h->n_part, h->cap_part);
    h->part[h->n_part++] = p;
}

static bool add_parts(struct hf *h, struct err *e)
{
    const struct hf_kind *k = h->c.kind;
    for (size_t i = 0; i < k->n_row; i++)
        if (!strchr(k->row[i].hf, '#') && !add_part(h, &k->row[i], 0, e)) return false;
    add_rope_freqs(h);
    for (int l = 0; l < h->c.n_layer; l++)
        for (size_t i = 0; i < k->n_row; i++)
            if (strchr(k->row[i].hf, '#') && has_row(&h->c, &k->row[i], l) &&
                !add_part(h, &k->row[i], l, e))
                return false;
    return true;
}

/* What a folder may hold besides: a table that follows from config.json, the copy of a tied
 * embedding. */
static bool is_spare(const struct hf *h, const char *name)
{
    static const char inv_freq[] = "rotary_emb.inv_freq";
    size_t n = strlen(name), k = sizeof inv_freq - 1;
    return (n >= k && !strcmp(name + n - k, inv_freq)) ||
           (!h->c.has_head && !strcmp(name, "lm_head.weight"));
}

static bool check_rest(const struct hf *h, struct err *e)
{
    char show[80];
    for (size_t i = 0; i < safetensors_n(h->st); i++) {
        const char *name = safetensors_tensor(h->st, i)->name;
        if (!h->is_used[i] && !is_spare(h, name))
            return err_set(e, ERR_UNSUPPORTED,
                           "tensor %s has no place in a model of type %s with %d layers",
                           gguf_show((struct bytes){ name, strlen(name) }, show), h->c.kind->type,
                           h->c.n_layer);
    }
    return true;
}

/* ---- opening -------------------------------------------------------------------------------- */

bool hf_json(const char *dir, const char *name, bool optional, struct json **out, struct err *e)
{
    struct str path = { 0 };
    str_fmt(&path, "%s/%s", dir, name);
    *out = NULL;
    bool is_absent_ok = optional && !file_exists(path.p);
    if (!is_absent_ok) *out = json_read(path.p, e);
    str_done(&path);
    return *out || is_absent_ok;
}

/* The folder's own name, not the way to it. */
static void put_name(const char *dir, struct gguf_out *out)
{
    size_t end = strlen(dir), from;
    while (end && dir[end - 1] == '/') end--;
    for (from = end; from && dir[from - 1] != '/'; from--) {}
    if (end > from && dir[from] != '.') gguf_out_str(out, "general.name", dir + from, end - from);
}

static bool read_config(struct hf *h, const char *dir, const struct json *config,
                        struct gguf_out *out, struct err *e)
{
    if (hf_config_read(&h->c, config, h->st, out, e)) return true;
    return err_in(e, "%s/config.json", dir);
}

struct hf *hf_open(const char *dir, struct gguf_out *out, struct err *e)
{
    struct hf *h = mem_zero(sizeof *h);
    struct json *config = NULL;
    arena_init(&h->text, 0);
    if (!hf_json(dir, "config.json", false, &config, e) || !(h->st = safetensors_open(dir, e)))
        goto fail;
    h->is_used = mem_zero(safetensors_n(h->st) + 1);
    if (!read_config(h, dir, config, out, e)) goto fail;
    put_name(dir, out);
    if (!add_parts(h, e) || !check_rest(h, e)) {
        err_in(e, "%s", dir);
        goto fail;
    }
    if (!hf_tokenizer_read(dir, config, &h->c, out, e)) goto fail;
    json_free(config);
    return h;
fail:
    json_free(config);
    hf_close(h);
    return NULL;
}

void hf_close(struct hf *h)
{
    if (!h) return;
    safetensors_close(h->st);
    hf_config_done(&h->c);
    arena_done(&h->text);
    mem_free(h->part);
    mem_free(h->is_used);
    mem_free(h);
}

size_t hf_n_tensor(const struct hf *h)
{
    return h->n_part;
}

const struct tensor *hf_tensor(const struct hf *h, size_t i)
{
    return &h->part[i].t;
}

struct hf_numbers hf_numbers(const struct hf *h)
{
    const struct hf_config *c = &h->c;
    return (struct hf_numbers){ c->kind->arch, c->n_layer, c->n_head,
                                c->is_attn[0] ? c->n_head_kv : 0, c->n_expert };
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* n elements of one dtype to another; only ever the same, or to F32. */
static void put_values(enum dtype to, void *dst, const struct tensor *src, int64_t at, int64_t n)
{
    const struct dtype_info *d = dtype_info(src->dtype);
    const uint8_t *from = (const uint8_t *)src->data + at * d->bytes;
    if (to == src->dtype) memcpy(dst, from, (size_t)n * (size_t)d->bytes);
    else d->unpack(from, dst, (size_t)n);
}

/* The folder rotates rows i and i + half of a head together, the llama architecture neighbours. */
static void put_permuted(const struct part *p, int head_dim, uint8_t *dst)
{
    const struct tensor *src = p->src[0];
    int64_t n_row = p->t.n_dim == 1 ? p->t.ne[0] : p->t.ne[1], n = p->t.n_dim == 1 ? 1 : p->t.ne[0];
    size_t row_bytes = dtype_bytes(p->t.dtype, n);
    for (int64_t r = 0; r < n_row; r++) {
        put_values(p->t.dtype, dst + (size_t)hf_turned(r, head_dim) * row_bytes, src, r * n, n);
    }
}

void hf_fill(const struct hf *h, size_t i, void *dst)
{
    const struct part *p = &h->part[i];
    if (p->t.data) {
        memcpy(dst, p->t.data, p->t.bytes);
        return;
    }
    if (p->is_permuted) {
        put_permuted(p, h->c.dim[HF_HEAD], dst);
        return;
    }
    int64_t n = p->t.ne[0] * p->t.ne[1];
    size_t bytes = dtype_bytes(p->t.dtype, n);
    for (int64_t x = 0; x < p->n_src; x++)
        put_values(p->t.dtype, (uint8_t *)dst + (size_t)x * bytes, p->src[x],
                   (x * p->n_slice + p->slice) * n, n);
}
