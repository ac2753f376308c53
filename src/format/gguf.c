/* gguf.c -- reads a GGUF file: header, metadata, tensor descriptions, and where the tensors lie.
 *
 * The file is hostile until shown otherwise. It is walked once with a cursor that knows how much is
 * left; every count is held against the bytes that could carry it before anything is allocated, every
 * product against overflow, every tensor against the end of the file and against its neighbours.
 *
 * True of an open handle: keys and tensor names are unique; every value and every string of every
 * array lies inside the file; every tensor has a dtype of the table, whole blocks in each row, and
 * lies aligned inside the file without overlapping another.
 * Not here: what a key means (model/, text/), versions 1 and big-endian files (refused), the parts of
 * a split file as one (parts.c). */
#include <stdlib.h>

#include "format/int.h"

#define HEADER_BYTES 24                              /* magic, version, two counts */
#define KV_LEAST     14                              /* length, one byte of key, type, one byte */
#define TENSOR_LEAST 32                              /* length, n_dims, one ne, type, offset */

/* ---- cursor ---- */

struct cursor { const uint8_t *p; size_t left; };

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (n > c->left) return NULL;
    const uint8_t *p = c->p;
    c->p += n;
    c->left -= (size_t)n;
    return p;
}

static bool take_u32(struct cursor *c, uint32_t *out)
{
    const uint8_t *p = take(c, sizeof *out);
    *out = 0;
    if (p) memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool take_u64(struct cursor *c, uint64_t *out)
{
    const uint8_t *p = take(c, sizeof *out);
    *out = 0;
    if (p) memcpy(out, p, sizeof *out);
    return p != NULL;
}

static bool cut(struct err *e, const char *what)
{
    return err_set(e, ERR_FORMAT, "the file ends inside %s: it is truncated or a length is wrong",
                   what);
}

/* A string of at most `most` bytes. */
static bool take_str(struct cursor *c, uint64_t most, const char *what, struct bytes *out,
                     struct err *e)
{
    uint64_t len;
    if (!take_u64(c, &len)) return cut(e, what);
    if (len > most)
        return err_set(e, ERR_FORMAT, "%s of %llu bytes, at most %llu are accepted", what,
                       (unsigned long long)len, (unsigned long long)most);
    const uint8_t *p = take(c, len);
    if (!p) return cut(e, what);
    *out = (struct bytes){ (const char *)p, (size_t)len };
    return true;
}

/* A name: a string that is not empty and can be printed and compared as C text. */
static bool take_name(struct cursor *c, uint64_t most, const char *what, struct bytes *out,
                      struct err *e)
{
    if (!take_str(c, most, what, out, e)) return false;
    if (!out->len) return err_set(e, ERR_FORMAT, "%s is empty", what);
    if (memchr(out->p, 0, out->len)) return err_set(e, ERR_FORMAT, "%s has a NUL byte in it", what);
    return true;
}

/* ---- header ---- */

static bool read_version(struct gguf *g, struct cursor *c, struct err *e)
{
    if (g->size < HEADER_BYTES)
        return err_set(e, ERR_FORMAT,
                       "%zu bytes are too few for a GGUF file (the header alone has %d)", g->size,
                       HEADER_BYTES);
    if (memcmp(take(c, 4), "GGUF", 4) != 0)
        return err_set(e, ERR_FORMAT, "not a GGUF file: it does not begin with the letters GGUF");
    take_u32(c, &g->version);
    if (g->version && (g->version & 0xffff) == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "a big-endian GGUF file; only little-endian ones are read");
    if (g->version != 2 && g->version != 3)
        return err_set(e, ERR_UNSUPPORTED, "GGUF version %u; versions 2 and 3 are read",
                       g->version);
    return true;
}

static bool count_ok(uint64_t n, uint64_t most, size_t left, size_t least, const char *what,
                     struct err *e)
{
    if (n > most)
        return err_set(e, ERR_FORMAT, "the header claims %llu %s, at most %llu are accepted",
                       (unsigned long long)n, what, (unsigned long long)most);
    if (n > left / least)
        return err_set(e, ERR_FORMAT,
                       "the header claims %llu %s, the file has room for %zu at most",
                       (unsigned long long)n, what, left / least);
    return true;
}

/* ---- metadata ---- */

static bool read_type(struct cursor *c, enum gguf_type *out, struct err *e)
{
    uint32_t t;
    if (!take_u32(c, &t)) return cut(e, "a value type");
    if (t > GGUF_F64)
        return err_set(e, ERR_FORMAT, "value type %u is unknown (0 to 12 are defined)", t);
    *out = (enum gguf_type)t;
    return true;
}

static bool read_bools(const uint8_t *p, uint64_t n, struct err *e)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1)
            return err_set(e, ERR_FORMAT, "a boolean has the value %u, it must be 0 or 1", p[i]);
    return true;
}

/* n values of one type that is not an array. */
static bool read_values(struct cursor *c, enum gguf_type t, uint64_t n, struct err *e)
{
    if (t == GGUF_STR) {
        struct bytes s;
        for (uint64_t i = 0; i < n; i++)
            if (!take_str(c, GGUF_MOST_STRING, "a string", &s, e)) return false;
        return true;
    }
    const uint8_t *p = take(c, n * (uint64_t)gguf_type_bytes(t));     /* n <= 2^30: no overflow */
    if (!p) return cut(e, "a value");
    return t == GGUF_BOOL ? read_bools(p, n, e) : true;
}

static bool read_array(struct cursor *c, struct gguf_kv *kv, struct err *e)
{
    if (!read_type(c, &kv->elem, e)) return false;
    if (!take_u64(c, &kv->count)) return cut(e, "an array's length");
    if (kv->elem == GGUF_ARRAY)
        return err_set(e, ERR_UNSUPPORTED, "arrays of arrays are not accepted");
    size_t least = kv->elem == GGUF_STR ? 8 : (size_t)gguf_type_bytes(kv->elem);
    if (kv->count > GGUF_MOST_COUNT || kv->count > c->left / least)
        return err_set(e, ERR_FORMAT,
                       "an array of %llu elements does not fit into the %zu bytes left",
                       (unsigned long long)kv->count, c->left);
    return read_values(c, kv->elem, kv->count, e);
}

static bool read_kv(struct gguf *g, struct cursor *c, struct gguf_kv *kv, struct err *e)
{
    char show[80];
    if (!take_name(c, GGUF_MOST_KEY, "a key", &kv->key, e)) return false;
    if (!names_add(&g->keys, kv->key))
        return err_set(e, ERR_FORMAT, "key %s occurs twice", gguf_show(kv->key, show));
    bool ok = read_type(c, &kv->type, e);
    if (ok) {
        const uint8_t *from = c->p;
        kv->count = 1;
        ok = kv->type == GGUF_ARRAY ? read_array(c, kv, e) : read_values(c, kv->type, 1, e);
        kv->raw = (struct bytes){ (const char *)from, (size_t)(c->p - from) };
    }
    return ok ? true : err_in(e, "key %s", gguf_show(kv->key, show));
}

static bool read_all_kv(struct gguf *g, struct cursor *c, uint64_t n, struct err *e)
{
    if (!count_ok(n, GGUF_MOST_KV, c->left, KV_LEAST, "metadata entries", e)) return false;
    g->kv = mem_zero((size_t)n * sizeof *g->kv);
    for (uint64_t i = 0; i < n; i++)
        if (!read_kv(g, c, &g->kv[i], e))
            return err_in(e, "metadata entry %llu of %llu", (unsigned long long)i,
                          (unsigned long long)n);
    return true;
}

static bool read_alignment(struct gguf *g, struct err *e)
{
    g->alignment = 32;
    long i = names_find(&g->keys, (struct bytes){ "general.alignment", 17 });
    if (i < 0) return true;
    uint32_t a;
    if (g->kv[i].type != GGUF_U32)
        return err_set(e, ERR_FORMAT, "general.alignment is of type %s, it must be u32",
                       gguf_type_name(g->kv[i].type));
    memcpy(&a, g->kv[i].raw.p, sizeof a);
    if (a == 0 || (a & (a - 1)) || a > GGUF_MOST_ALIGN)
        return err_set(e, ERR_FORMAT, "general.alignment is %u, it must be a power of two up to %u",
                       a, GGUF_MOST_ALIGN);
    g->alignment = a;
    return true;
}

/* ---- tensor descriptions ---- */

/* Types that exist and are not in the table: the sentence should name them. */
static const char *foreign_type(uint32_t id)
{
    static const struct { uint32_t id; const char *name; } foreign[] = {
        { 9, "Q8_1" }, { 15, "Q8_K" }, { 16, "IQ2_XXS" }, { 17, "IQ2_XS" }, { 18, "IQ3_XXS" }, { 19, "IQ1_S" },
        { 21, "IQ3_S" }, { 22, "IQ2_S" }, { 24, "I8" }, { 25, "I16" }, { 28, "F64" }, { 29, "IQ1_M" },
        { 34, "TQ1_0" }, { 35, "TQ2_0" }, { 39, "MXFP4" }, { 40, "NVFP4" }, { 41, "Q1_0" }, { 42, "Q2_0" },
    };
    for (size_t i = 0; i < LEN(foreign); i++)
        if (foreign[i].id == id) return foreign[i].name;
    return NULL;
}

static bool read_dtype(uint32_t id, struct tensor *t, struct err *e)
{
    t->dtype = dtype_of_gguf(id);
    if (t->dtype != DT_NONE) return true;
    const char *name = foreign_type(id);
    if (!name)
        return err_set(e, ERR_FORMAT, "dtype %u is unknown or was removed from the format", id);
    struct str all = { 0 };
    for (int d = 0; d < DT_COUNT; d++) str_fmt(&all, " %s", dtype_info(d)->name);
    err_set(e, ERR_UNSUPPORTED, "dtype %s is not supported; these are:%s", name, all.p);
    str_done(&all);
    return false;
}

static bool read_dims(struct cursor *c, struct tensor *t, int64_t *n_elem, struct err *e)
{
    uint32_t n_dim;
    if (!take_u32(c, &n_dim)) return cut(e, "a tensor's number of dimensions");
    if (n_dim < 1 || n_dim > TENSOR_DIMS)
        return err_set(e, ERR_FORMAT, "%u dimensions, 1 to %d are accepted", n_dim, TENSOR_DIMS);
    t->n_dim = (int)n_dim;
    *n_elem = 1;
    for (int i = 0; i < TENSOR_DIMS; i++) {
        uint64_t ne = 1;
        if (i < t->n_dim && !take_u64(c, &ne)) return cut(e, "a tensor's shape");
        if (ne < 1 || ne > INT64_MAX)
            return err_set(e, ERR_FORMAT, "dimension %d is %llu", i, (unsigned long long)ne);
        t->ne[i] = (int64_t)ne;
        if (__builtin_mul_overflow(*n_elem, t->ne[i], n_elem))
            return err_set(e, ERR_FORMAT, "its number of elements overflows");
    }
    return true;
}

/* Size from shape and dtype, and the offset; t->data holds the offset until all tensors are read. */
static bool read_place(struct gguf *g, struct cursor *c, struct tensor *t, int64_t n_elem,
                       struct err *e)
{
    uint64_t off;
    if (!take_u64(c, &off)) return cut(e, "a tensor's offset");
    const struct dtype_info *d = dtype_info(t->dtype);
    if (t->ne[0] % d->block)
        return err_set(e, ERR_FORMAT, "rows of %lld elements are not whole %s blocks of %d",
                       (long long)t->ne[0], d->name, d->block);
    int64_t bytes;
    if (__builtin_mul_overflow(n_elem / d->block, (int64_t)d->bytes, &bytes))
        return err_set(e, ERR_FORMAT, "its size in bytes overflows");
    if (off % g->alignment)
        return err_set(e, ERR_FORMAT, "offset %llu is not a multiple of the alignment %zu",
                       (unsigned long long)off, g->alignment);
    if (off > g->size)
        return err_set(e, ERR_FORMAT, "offset %llu lies beyond the end of the file of %zu bytes",
                       (unsigned long long)off, g->size);
    t->bytes = (size_t)bytes;
    t->data = (const void *)(uintptr_t)off;
    return true;
}

static bool read_tensor(struct gguf *g, struct cursor *c, struct tensor *t, struct err *e)
{
    struct bytes name;
    uint32_t id = 0;
    int64_t n_elem = 0;
    if (!take_name(c, GGUF_MOST_NAME, "a tensor name", &name, e)) return false;
    t->name = arena_str(&g->text, name.p, name.len);
    bool ok = names_add(&g->tensors, name) ? true : err_set(e, ERR_FORMAT, "the name occurs twice");
    ok = ok && read_dims(c, t, &n_elem, e);
    if (ok && !take_u32(c, &id)) ok = cut(e, "a tensor's dtype");
    ok = ok && read_dtype(id, t, e) && read_place(g, c, t, n_elem, e);
    char show[80];
    return ok ? true : err_in(e, "%s", gguf_show(name, show));
}

static bool read_all_tensors(struct gguf *g, struct cursor *c, uint64_t n, struct err *e)
{
    if (!count_ok(n, GGUF_MOST_TENSOR, c->left, TENSOR_LEAST, "tensors", e)) return false;
    g->tensor = mem_zero((size_t)n * sizeof *g->tensor);
    for (uint64_t i = 0; i < n; i++)
        if (!read_tensor(g, c, &g->tensor[i], e))
            return err_in(e, "tensor %llu of %llu", (unsigned long long)i, (unsigned long long)n);
    return true;
}

/* ---- placement ---- */

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

static bool no_overlap(const struct gguf *g, struct err *e)
{
    size_t n = g->tensors.n;
    const struct tensor **order = mem_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = &g->tensor[i];
    qsort(order, n, sizeof *order, by_offset);
    bool ok = true;
    for (size_t i = 1; i < n && ok; i++) {
        const struct tensor *a = order[i - 1], *b = order[i];
        if ((const uint8_t *)a->data + a->bytes > (const uint8_t *)b->data)
            ok = err_set(e, ERR_FORMAT, "tensors %s and %s overlap", a->name, b->name);
    }
    mem_free(order);
    return ok;
}

/* From offsets to addresses. A vocabulary-only file may end before its padded data start. */
static bool place_tensors(struct gguf *g, size_t infos_end, struct err *e)
{
    size_t n = g->tensors.n;
    if (!n) return true;
    g->data_start = (infos_end + g->alignment - 1) / g->alignment * g->alignment;
    size_t room = g->data_start <= g->size ? g->size - g->data_start : 0;
    for (size_t i = 0; i < n; i++) {
        struct tensor *t = &g->tensor[i];
        uintptr_t off = (uintptr_t)t->data;
        if (off > room || t->bytes > room - off)
            return err_set(e, ERR_FORMAT,
                           "tensor %zu of %zu: %s needs bytes %zu to %zu, the file has %zu: it is "
                           "truncated or damaged",
                           i, n, t->name, g->data_start + off, g->data_start + off + t->bytes,
                           g->size);
        t->data = g->data + g->data_start + off;
    }
    return no_overlap(g, e);
}

/* ---- open and close ---- */

static bool read_file(struct gguf *g, struct err *e)
{
    struct cursor c = { g->data, g->size };
    uint64_t n_tensor, n_kv;
    if (!read_version(g, &c, e)) return false;
    take_u64(&c, &n_tensor);
    take_u64(&c, &n_kv);
    return count_ok(n_tensor, GGUF_MOST_TENSOR, c.left, TENSOR_LEAST, "tensors", e) &&
           read_all_kv(g, &c, n_kv, e) && read_alignment(g, e) &&
           read_all_tensors(g, &c, n_tensor, e) && place_tensors(g, (size_t)(c.p - g->data), e);
}

static struct gguf *open_bytes(struct gguf *g, const char *name, struct err *e)
{
    g->name = mem_str(name);
    arena_init(&g->text, 0);
    if (read_file(g, e)) return g;
    err_in(e, "%s", name);
    gguf_close(g);
    return NULL;
}

struct gguf *gguf_open(const char *path, struct err *e)
{
    return gguf_open_as(path, 0, e);
}

struct gguf *gguf_open_one(const char *path, unsigned flags, struct err *e)
{
    struct map map;
    if (!map_open(&map, path, flags, e)) return NULL;
    struct gguf *g = mem_zero(sizeof *g);
    g->map = map;
    g->data = map.data;
    g->size = map.size;
    return open_bytes(g, path, e);
}

struct gguf *gguf_open_as(const char *path, unsigned flags, struct err *e)
{
    if (is_folder(path)) {
        if (!flags) return gguf_open_folder(path, e);
        err_set(e, ERR_UNSUPPORTED, "%s: a folder is mapped as it lies; to lock it or read it into memory convert it to a file", path);
        return NULL;
    }
    struct gguf *g = gguf_open_one(path, flags, e);
    return g && gguf_is_part(g) ? gguf_open_parts(g, path, flags, e) : g;
}

struct gguf *gguf_open_mem(const void *data, size_t size, const char *name, struct err *e)
{
    struct gguf *g = mem_zero(sizeof *g);
    g->data = data;
    g->size = size;
    return open_bytes(g, name, e);
}

void gguf_prefetch(const struct gguf *g)
{
    map_prefetch(&g->map);
    if (g->done == parts_close) parts_prefetch(g->done_ctx);
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    map_close(&g->map);
    names_done(&g->keys);
    names_done(&g->tensors);
    arena_done(&g->text);
    if (g->done) g->done(g->done_ctx);
    mem_free(g->kv);
    mem_free(g->tensor);
    mem_free(g->name);
    mem_free(g);
}

/* ---- what is in it ---- */

const char *gguf_name(const struct gguf *g)
{
    return g->name;
}

size_t gguf_n_tensor(const struct gguf *g)
{
    return g->tensors.n;
}

const struct tensor *gguf_tensor(const struct gguf *g, size_t i)
{
    return &g->tensor[i];
}

const struct tensor *gguf_find(const struct gguf *g, const char *name)
{
    long i = names_find(&g->tensors, (struct bytes){ name, strlen(name) });
    return i < 0 ? NULL : &g->tensor[i];
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

size_t gguf_alignment(const struct gguf *g)
{
    return g->alignment;
}

size_t gguf_file_bytes(const struct gguf *g)
{
    return g->size;
}

/* ---- contents ---- */

/* Unpacking spreads a bad scale over its whole block (0 * Inf is NaN), so looking at the values that
 * a reader would see finds bad scales in every format alike. */
static bool scan_tensor(const struct tensor *t, struct err *e)
{
    const struct dtype_info *d = dtype_info(t->dtype);
    if (!d->unpack) return true;                                      /* integers */
    float x[1024];
    const uint8_t *p = t->data;
    int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    for (int64_t at = 0; at < n;) {
        int64_t len = MIN(n - at, (int64_t)LEN(x));
        d->unpack(p, x, (size_t)len);
        for (int64_t i = 0; i < len; i++)
            if (!(x[i] - x[i] == 0))
                return err_set(e, ERR_FORMAT, "%s: element %lld is not finite", t->name,
                               (long long)(at + i));
        p += dtype_bytes(t->dtype, len);
        at += len;
    }
    return true;
}

bool gguf_scan(const struct gguf *g, struct err *e)
{
    for (size_t i = 0; i < g->tensors.n; i++)
        if (!scan_tensor(&g->tensor[i], e)) return err_in(e, "%s", g->name);
    return true;
}
