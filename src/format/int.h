/* int.h -- what the files of format/ share: the open GGUF file, the index of names, element sizes. */
#ifndef TENON_FORMAT_INT_H
#define TENON_FORMAT_INT_H

#include "format/format.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are copied as they lie in the file: a little-endian machine is required"
#endif

#define GGUF_MOST_KV      65536
#define GGUF_MOST_TENSOR  (1u << 20)
#define GGUF_MOST_NAME    255                                         /* bytes of a tensor's name */
#define GGUF_MOST_KEY     65535
#define GGUF_MOST_STRING  ((uint64_t)64 << 20)
#define GGUF_MOST_COUNT   ((uint64_t)1 << 30)                         /* elements of an array */
#define GGUF_MOST_ALIGN   (1u << 20)

/* Names in order of arrival, found by hash. The seed differs from handle to handle, so that a file
 * cannot be made whose names all collide. Names are lent. */
struct names { struct bytes *name; size_t n, cap; uint32_t *slot; size_t n_slot; uint64_t seed; };
bool names_add(struct names *s, struct bytes name);                   /* false: it is there already */
long names_find(const struct names *s, struct bytes name);            /* its number, -1 if absent */
void names_done(struct names *s);

struct gguf {
    struct map map;                                                   /* empty when the memory is lent */
    const uint8_t *data;
    size_t size;
    char *name;
    uint32_t version;
    size_t alignment;
    struct gguf_kv *kv;
    struct names keys;                                                /* same numbers as kv */
    struct tensor *tensor;
    struct names tensors;                                             /* same numbers as tensor */
    struct arena text;                                                /* tensor names with a closing NUL */
    size_t data_start;
    void (*done)(void *ctx); void *done_ctx;                          /* called on closing, unless NULL */
};
/* The file that gguf_out_write() would write, open without one: its head is written to *head, which is lent like the
 * tensors' data. No tensor may be one that is filled. write.c. */
struct gguf *gguf_out_open(const struct gguf_out *o, struct str *head, const char *name, struct err *e);
/* Memory for what must be gathered: folder.c. */
struct slabs { void **p; size_t *bytes, n, cap, cap_bytes; };
void *slabs_add(struct slabs *s, size_t bytes, struct err *e);
void  slabs_done(struct slabs *s);
struct gguf *gguf_open_folder(const char *dir, struct err *e);
/* One file, whether it is a part of a model or all of it. */
struct gguf *gguf_open_one(const char *path, unsigned flags, struct err *e);
/* Does it say that it is one of several? parts.c. */
bool         gguf_is_part(const struct gguf *g);
struct parts;                                                         /* the other parts, kept open with the first */
void parts_close(void *parts);
void parts_prefetch(const struct parts *p);
/* The whole model that `part` (taken over) belongs to, its siblings found by the name of path. */
struct gguf *gguf_open_parts(struct gguf *part, const char *path, unsigned flags, struct err *e);

/* Bytes of one value; 0 for strings and arrays, whose size is written in the file. */
int         gguf_type_bytes(enum gguf_type t);
/* Key as text that is safe to print into an error: cut, and unprintable bytes replaced. */
const char *gguf_show(struct bytes key, char out[80]);

#endif
