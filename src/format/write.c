/* write.c -- writes a GGUF file (version 3): collect metadata and tensors in any order, then one pass.
 *
 * Values are encoded when they are given, so that a value copied from another file and one of our own
 * look the same. Setting a key again replaces its value and keeps its place. Tensor bytes are lent, or
 * made just before they are written, so that a model larger than memory can be written.
 * The file appears whole under its name or not at all. */
#include "format/int.h"

struct entry { char *key; enum gguf_type type; struct str value; };   /* value: encoded, after the type */
struct part { struct tensor t; char *name; gguf_fill_fn *fill; void *ctx; };
struct gguf_out {
    struct names keys;
    struct entry *entry; size_t n_entry, cap_entry;
    struct part *part; size_t n_part, cap_part;
};

struct gguf_out *gguf_out_new(void)
{
    return mem_zero(sizeof(struct gguf_out));
}

void gguf_out_free(struct gguf_out *o)
{
    if (!o) return;
    for (size_t i = 0; i < o->n_entry; i++) {
        mem_free(o->entry[i].key);
        str_done(&o->entry[i].value);
    }
    for (size_t i = 0; i < o->n_part; i++) mem_free(o->part[i].name);
    names_done(&o->keys);
    mem_free(o->entry);
    mem_free(o->part);
    mem_free(o);
}

/* ---- metadata ---- */

static struct str *value_of(struct gguf_out *o, struct bytes key, enum gguf_type type)
{
    long i = names_find(&o->keys, key);
    if (i < 0) {
        MEM_GROW(o->entry, o->n_entry, o->cap_entry);
        char *copy = mem_alloc(key.len + 1);
        memcpy(copy, key.p, key.len);
        copy[key.len] = 0;
        i = (long)o->n_entry++;
        o->entry[i] = (struct entry){ .key = copy };
        names_add(&o->keys, (struct bytes){ copy, key.len });
    }
    o->entry[i].type = type;
    str_clear(&o->entry[i].value);
    return &o->entry[i].value;
}

static struct str *value_named(struct gguf_out *o, const char *key, enum gguf_type type)
{
    return value_of(o, (struct bytes){ key, strlen(key) }, type);
}

static void put_u32(struct str *s, uint32_t v)
{
    str_put(s, &v, sizeof v);
}

static void put_u64(struct str *s, uint64_t v)
{
    str_put(s, &v, sizeof v);
}

static void put_string(struct str *s, const char *p, size_t len)
{
    put_u64(s, len);
    str_put(s, p, len);
}

void gguf_out_str(struct gguf_out *o, const char *key, const char *s, size_t len)
{
    put_string(value_named(o, key, GGUF_STR), s, len);
}

void gguf_out_u32(struct gguf_out *o, const char *key, uint32_t v)
{
    put_u32(value_named(o, key, GGUF_U32), v);
}

void gguf_out_f32(struct gguf_out *o, const char *key, float v)
{
    str_put(value_named(o, key, GGUF_F32), &v, sizeof v);
}

void gguf_out_bool(struct gguf_out *o, const char *key, bool v)
{
    str_putc(value_named(o, key, GGUF_BOOL), v ? 1 : 0);
}

static struct str *array_named(struct gguf_out *o, const char *key, enum gguf_type elem, size_t n)
{
    struct str *s = value_named(o, key, GGUF_ARRAY);
    put_u32(s, elem);
    put_u64(s, n);
    return s;
}

void gguf_out_strs(struct gguf_out *o, const char *key, const struct bytes *v, size_t n)
{
    struct str *s = array_named(o, key, GGUF_STR, n);
    for (size_t i = 0; i < n; i++) put_string(s, v[i].p, v[i].len);
}

void gguf_out_i32s(struct gguf_out *o, const char *key, const int32_t *v, size_t n)
{
    str_put(array_named(o, key, GGUF_I32, n), v, n * sizeof *v);
}

void gguf_out_f32s(struct gguf_out *o, const char *key, const float *v, size_t n)
{
    str_put(array_named(o, key, GGUF_F32, n), v, n * sizeof *v);
}

void gguf_out_kv(struct gguf_out *o, const struct gguf_kv *kv)
{
    str_put(value_of(o, kv->key, kv->type), kv->raw.p, kv->raw.len);
}

/* ---- tensors ---- */

void gguf_out_fill(struct gguf_out *o, const struct tensor *t, gguf_fill_fn *fill, void *ctx)
{
    MEM_GROW(o->part, o->n_part, o->cap_part);
    struct part *p = &o->part[o->n_part++];
    *p = (struct part){ *t, mem_str(t->name), fill, ctx };
    p->t.name = p->name;
}

void gguf_out_tensor(struct gguf_out *o, const struct tensor *t)
{
    gguf_out_fill(o, t, NULL, NULL);
}

/* ---- writing ---- */

static size_t padded(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

static bool check_parts(const struct gguf_out *o, struct err *e)
{
    struct names seen = { 0 };
    bool ok = true;
    for (size_t i = 0; i < o->n_part && ok; i++) {
        const struct tensor *t = &o->part[i].t;
        const struct dtype_info *d = dtype_info(t->dtype);
        int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        size_t len = strlen(t->name);
        if (len == 0 || len > GGUF_MOST_NAME)
            ok = err_set(e, ERR_ARG, "a tensor name of %zu bytes, 1 to %d are accepted", len,
                         GGUF_MOST_NAME);
        else if (!names_add(&seen, (struct bytes){ t->name, len }))
            ok = err_set(e, ERR_ARG, "tensor %s is given twice", t->name);
        else if (t->ne[0] % d->block || dtype_bytes(t->dtype, n) != t->bytes)
            ok = err_set(e, ERR_ARG, "tensor %s: its shape and %zu bytes do not agree for %s",
                         t->name, t->bytes, d->name);
    }
    names_done(&seen);
    return ok;
}

/* The alignment given as metadata, or the default. */
static bool out_alignment(const struct gguf_out *o, size_t *out, struct err *e)
{
    *out = 32;
    long i = names_find(&o->keys, (struct bytes){ "general.alignment", 17 });
    if (i < 0) return true;
    uint32_t a = 0;
    if (o->entry[i].type == GGUF_U32) memcpy(&a, o->entry[i].value.p, sizeof a);
    if (a == 0 || (a & (a - 1)) || a > GGUF_MOST_ALIGN)
        return err_set(e, ERR_ARG, "general.alignment must be a u32 and a power of two up to %u",
                       GGUF_MOST_ALIGN);
    *out = a;
    return true;
}

static void put_head(const struct gguf_out *o, size_t align, struct str *s)
{
    str_puts(s, "GGUF");
    put_u32(s, 3);
    put_u64(s, o->n_part);
    put_u64(s, o->n_entry);
    for (size_t i = 0; i < o->n_entry; i++) {
        put_string(s, o->entry[i].key, strlen(o->entry[i].key));
        put_u32(s, o->entry[i].type);
        str_put(s, o->entry[i].value.p, o->entry[i].value.len);
    }
    size_t off = 0;
    for (size_t i = 0; i < o->n_part; i++) {
        const struct tensor *t = &o->part[i].t;
        put_string(s, t->name, strlen(t->name));
        put_u32(s, (uint32_t)t->n_dim);
        for (int d = 0; d < t->n_dim; d++) put_u64(s, (uint64_t)t->ne[d]);
        put_u32(s, (uint32_t)dtype_info(t->dtype)->gguf_id);
        put_u64(s, off);
        off += padded(t->bytes, align);
    }
    while (o->n_part && s->len % align) str_putc(s, 0);
}

static bool put_data(struct file_out *f, const struct part *p, size_t align, struct err *e)
{
    if (p->fill) {
        void *made = mem_slab(p->t.bytes, e);
        bool ok = made && p->fill(p->ctx, &p->t, made, e);
        if (ok) file_out_put(f, made, p->t.bytes);
        mem_slab_free(made, p->t.bytes);
        if (!ok) return err_in(e, "tensor %s", p->name);
    } else {
        file_out_put(f, p->t.data, p->t.bytes);
    }
    for (size_t i = p->t.bytes; i < padded(p->t.bytes, align); i++) file_out_put(f, "", 1);
    return true;
}

static bool make_head(const struct gguf_out *o, size_t align, struct str *head, size_t *size, struct err *e)
{
    if (!check_parts(o, e)) return false;
    put_head(o, align, head);
    *size = head->len;
    for (size_t i = 0; i < o->n_part; i++) *size += padded(o->part[i].t.bytes, align);
    return true;
}

struct gguf *gguf_out_open(const struct gguf_out *o, struct str *head, const char *name, struct err *e)
{
    size_t align, size;
    bool ok = out_alignment(o, &align, e) && make_head(o, align, head, &size, e);
    struct gguf *g = ok ? gguf_open_mem(head->p, size, name, e) : NULL;
    for (size_t i = 0; g && i < o->n_part; i++) g->tensor[i].data = o->part[i].t.data;
    return g;
}

bool gguf_out_write(struct gguf_out *o, const char *path, struct err *e)
{
    size_t align, size;
    struct file_out f;
    struct str head = { 0 };
    bool ok = out_alignment(o, &align, e) && make_head(o, align, &head, &size, e);
    if (!ok) err_in(e, "%s", path);
    ok = ok && file_out_open(&f, path, e);
    if (ok) file_out_put(&f, head.p, head.len);
    str_done(&head);
    if (!ok) return false;
    for (size_t i = 0; i < o->n_part; i++)
        if (!put_data(&f, &o->part[i], align, e)) {
            file_out_abort(&f);
            return err_in(e, "%s", path);
        }
    return file_out_commit(&f, e);
}
