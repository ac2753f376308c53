/* gguf_meta.c -- metadata by key and type. Writers disagree on widths, so integers of every width are
 * read as one kind, within bounds the caller states; everything else must be of the type asked for.
 *
 * The bytes were measured when the file was opened: nothing here can run past the end of a value.
 * Values lie at any address, so they are copied, never cast. */
#include <math.h>

#include "format/int.h"

static const struct { const char *name; int bytes;
} types[] = {
    [GGUF_U8] = { "u8", 1 },       [GGUF_I8] = { "i8", 1 },     [GGUF_U16] = { "u16", 2 },
    [GGUF_I16] = { "i16", 2 },     [GGUF_U32] = { "u32", 4 },   [GGUF_I32] = { "i32", 4 },
    [GGUF_F32] = { "f32", 4 },     [GGUF_BOOL] = { "bool", 1 }, [GGUF_STR] = { "string", 0 },
    [GGUF_ARRAY] = { "array", 0 }, [GGUF_U64] = { "u64", 8 },   [GGUF_I64] = { "i64", 8 },
    [GGUF_F64] = { "f64", 8 },
};

int gguf_type_bytes(enum gguf_type t)
{
    return types[t].bytes;
}

const char *gguf_type_name(enum gguf_type t)
{
    return types[t].name;
}

const char *gguf_show(struct bytes key, char out[80])
{
    size_t n = MIN(key.len, (size_t)76);
    for (size_t i = 0; i < n; i++) out[i] = key.p[i] >= 0x20 && key.p[i] < 0x7f ? key.p[i] : '?';
    memcpy(out + n, key.len > n ? "..." : "", key.len > n ? 4 : 1);
    return out;
}

/* ---- finding ---- */

static bool fail_key(const struct gguf *g, struct err *e, const char *key)
{
    return err_in(e, "%s: key %s", g->name, key);
}

static const struct gguf_kv *find(const struct gguf *g, const char *key, struct err *e)
{
    long i = names_find(&g->keys, (struct bytes){ key, strlen(key) });
    if (i >= 0) return &g->kv[i];
    err_set(e, ERR_FORMAT, "it is missing");
    fail_key(g, e, key);
    return NULL;
}

static bool wrong_type(const struct gguf *g, const struct gguf_kv *kv, const char *key,
                       const char *want, struct err *e)
{
    if (kv->type == GGUF_ARRAY)
        err_set(e, ERR_FORMAT, "it is an array of %s, not %s", gguf_type_name(kv->elem), want);
    else err_set(e, ERR_FORMAT, "it is of type %s, not %s", gguf_type_name(kv->type), want);
    return fail_key(g, e, key);
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return names_find(&g->keys, (struct bytes){ key, strlen(key) }) >= 0;
}

bool gguf_is_array(const struct gguf *g, const char *key)
{
    long i = names_find(&g->keys, (struct bytes){ key, strlen(key) });
    return i >= 0 && g->kv[i].type == GGUF_ARRAY;
}

size_t gguf_n_kv(const struct gguf *g)
{
    return g->keys.n;
}

struct gguf_kv gguf_kv(const struct gguf *g, size_t i)
{
    return g->kv[i];
}

/* ---- one number at p ---- */

static bool is_int(enum gguf_type t)
{
    return t <= GGUF_I32 || t == GGUF_U64 || t == GGUF_I64;
}

/* False if it does not fit into 63 bits and a sign. */
static bool int_at(const char *p, enum gguf_type t, int64_t *out)
{
    union { uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32;
            uint64_t u64; int64_t i64; } v;
    memcpy(&v, p, (size_t)gguf_type_bytes(t));
    switch (t) {
    case GGUF_U8:  *out = v.u8; return true;
    case GGUF_I8:  *out = v.i8; return true;
    case GGUF_U16: *out = v.u16; return true;
    case GGUF_I16: *out = v.i16; return true;
    case GGUF_U32: *out = v.u32; return true;
    case GGUF_I32: *out = v.i32; return true;
    case GGUF_I64: *out = v.i64; return true;
    default:       *out = (int64_t)v.u64; return v.u64 <= INT64_MAX;
    }
}

static bool int_in(const char *p, enum gguf_type t, int64_t lo, int64_t hi, int64_t *out,
                   struct err *e)
{
    int64_t v;
    if (!int_at(p, t, &v)) return err_set(e, ERR_FORMAT, "the value is larger than any accepted");
    if (v < lo || v > hi)
        return err_set(e, ERR_FORMAT, "%lld is outside of %lld to %lld", (long long)v,
                       (long long)lo, (long long)hi);
    *out = v;
    return true;
}

static bool float_at(const char *p, enum gguf_type t, double *out, struct err *e)
{
    float f = 0;
    if (t == GGUF_F32) memcpy(&f, p, sizeof f);
    if (t == GGUF_F64) memcpy(out, p, sizeof *out);
    else *out = (double)f;
    return isfinite(*out) ? true : err_set(e, ERR_FORMAT, "the value is not a finite number");
}

/* ---- single values ---- */

bool gguf_str(const struct gguf *g, const char *key, struct bytes *out, struct err *e)
{
    const struct gguf_kv *kv = find(g, key, e);
    if (!kv) return false;
    if (kv->type != GGUF_STR) return wrong_type(g, kv, key, "a string", e);
    *out = (struct bytes){ kv->raw.p + 8, kv->raw.len - 8 };
    return true;
}

bool gguf_int(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out,
              struct err *e)
{
    const struct gguf_kv *kv = find(g, key, e);
    if (!kv) return false;
    if (!is_int(kv->type)) return wrong_type(g, kv, key, "an integer", e);
    return int_in(kv->raw.p, kv->type, lo, hi, out, e) ? true : fail_key(g, e, key);
}

bool gguf_f64(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct gguf_kv *kv = find(g, key, e);
    if (!kv) return false;
    if (kv->type != GGUF_F32 && kv->type != GGUF_F64) return wrong_type(g, kv, key, "a float", e);
    return float_at(kv->raw.p, kv->type, out, e) ? true : fail_key(g, e, key);
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out, struct err *e)
{
    const struct gguf_kv *kv = find(g, key, e);
    if (!kv) return false;
    if (kv->type != GGUF_BOOL) return wrong_type(g, kv, key, "a boolean", e);
    *out = kv->raw.p[0] != 0;
    return true;
}

/* ---- arrays ---- */

/* First element of an array, after element type and count; NULL when it is something else. */
static const char *elements(const struct gguf *g, const char *key, const char *want,
                            bool (*fits)(enum gguf_type), const struct gguf_kv **kv, struct err *e)
{
    *kv = find(g, key, e);
    if (!*kv) return NULL;
    if ((*kv)->type == GGUF_ARRAY && fits((*kv)->elem)) return (*kv)->raw.p + 12;
    wrong_type(g, *kv, key, want, e);
    return NULL;
}

static bool is_str(enum gguf_type t)
{
    return t == GGUF_STR;
}

static bool is_float(enum gguf_type t)
{
    return t == GGUF_F32 || t == GGUF_F64;
}

bool gguf_strs(const struct gguf *g, const char *key, struct bytes **out, size_t *n, struct err *e)
{
    const struct gguf_kv *kv;
    const char *p = elements(g, key, "an array of strings", is_str, &kv, e);
    if (!p) return false;
    *n = (size_t)kv->count;
    *out = mem_alloc(*n * sizeof **out);
    for (size_t i = 0; i < *n; i++) {
        uint64_t len;
        memcpy(&len, p, sizeof len);
        (*out)[i] = (struct bytes){ p + 8, (size_t)len };
        p += 8 + len;
    }
    return true;
}

bool gguf_ints(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int32_t **out,
               size_t *n, struct err *e)
{
    const struct gguf_kv *kv;
    const char *p = elements(g, key, "an array of integers", is_int, &kv, e);
    if (!p) return false;
    int32_t *v = mem_alloc((size_t)kv->count * sizeof *v);
    for (uint64_t i = 0; i < kv->count; i++, p += gguf_type_bytes(kv->elem)) {
        int64_t x;
        if (!int_in(p, kv->elem, MAX(lo, INT32_MIN), MIN(hi, INT32_MAX), &x, e)) {
            mem_free(v);
            err_in(e, "element %llu", (unsigned long long)i);
            return fail_key(g, e, key);
        }
        v[i] = (int32_t)x;
    }
    *out = v;
    *n = (size_t)kv->count;
    return true;
}

bool gguf_f32s(const struct gguf *g, const char *key, float **out, size_t *n, struct err *e)
{
    const struct gguf_kv *kv;
    const char *p = elements(g, key, "an array of floats", is_float, &kv, e);
    if (!p) return false;
    float *v = mem_alloc((size_t)kv->count * sizeof *v);
    for (uint64_t i = 0; i < kv->count; i++, p += gguf_type_bytes(kv->elem)) {
        double x;
        if (!float_at(p, kv->elem, &x, e)) {
            mem_free(v);
            err_in(e, "element %llu", (unsigned long long)i);
            return fail_key(g, e, key);
        }
        v[i] = (float)x;
    }
    *out = v;
    *n = (size_t)kv->count;
    return true;
}
