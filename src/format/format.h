/* format.h -- the door of format/: files become named tensors and metadata, and back.
 *
 * Everything read from a file is checked before it is used: counts against the bytes that are there,
 * products against overflow, tensors against the end of the file, keys and names against repetition.
 * Upstairs a returned tensor can be trusted to lie whole inside the mapping. */
#ifndef TENON_FORMAT_H
#define TENON_FORMAT_H

#include "base/base.h"
#include "tensor/tensor.h"

struct gguf;                                                          /* read-only once open; any thread may read */

/* Maps the file, or takes a Hugging Face folder for the file that `tenon convert` would make of it; of a model in
 * several files (<model>-00001-of-00003.gguf) any one stands for all. NULL on
 * error: ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED; the message names file and tensor or key. A file without tensors (vocabulary only) is fine. */
struct gguf *gguf_open(const char *path, struct err *e);
struct gguf *gguf_open_as(const char *path, unsigned flags, struct err *e);             /* flags of map_open() */
bool is_folder(const char *path);
/* A folder that the PEFT library wrote, as a GGUF adapter for a model of this architecture and head dimension. */
struct gguf *gguf_open_peft(const char *dir, const char *arch, int head_dim, struct err *e);
/* The same over memory lent for the life of the handle (the embedded model); name is for messages. */
struct gguf *gguf_open_mem(const void *data, size_t size, const char *name, struct err *e);
/* Most of it will be read soon (a model is about to run). */
void         gguf_prefetch(const struct gguf *g);
void         gguf_close(struct gguf *g);                              /* NULL is fine */
const char  *gguf_name(const struct gguf *g);                         /* path or name given */

/* Metadata. The typed getters fail with ERR_FORMAT naming the key when it is missing or of another
 * type; ask gguf_has first for optional keys. Integers of every width are read as one kind. */
bool gguf_has(const struct gguf *g, const char *key);
bool gguf_str(const struct gguf *g, const char *key, struct bytes *out, struct err *e);
bool gguf_int(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out, struct err *e);
bool gguf_f64(const struct gguf *g, const char *key, double *out, struct err *e);       /* f32 or f64, finite */
bool gguf_bool(const struct gguf *g, const char *key, bool *out, struct err *e);
bool gguf_is_array(const struct gguf *g, const char *key);
/* Arrays: *out is a fresh array of *n elements, freed with mem_free; strings lend from the mapping. */
bool gguf_strs(const struct gguf *g, const char *key, struct bytes **out, size_t *n, struct err *e);
bool gguf_ints(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int32_t **out, size_t *n, struct err *e);
bool gguf_f32s(const struct gguf *g, const char *key, float **out, size_t *n, struct err *e);

/* Walk over all keys, for `inspect` and for copying metadata into another file. */
enum gguf_type { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
                 GGUF_STR, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64 };
struct gguf_kv {
    struct bytes key;
    enum gguf_type type, elem;                                        /* elem: of an array */
    uint64_t count;                                                   /* elements of an array, else 1 */
    struct bytes raw;             /* encoded value, after the type; arrays begin with elem and count */
};
const char *gguf_type_name(enum gguf_type t);                         /* "u32", "string" */
size_t gguf_n_kv(const struct gguf *g);
struct gguf_kv gguf_kv(const struct gguf *g, size_t i);

size_t               gguf_n_tensor(const struct gguf *g);
const struct tensor *gguf_tensor(const struct gguf *g, size_t i);     /* file order */
const struct tensor *gguf_find(const struct gguf *g, const char *name); /* NULL if absent */
uint32_t             gguf_version(const struct gguf *g);
size_t               gguf_alignment(const struct gguf *g);
size_t               gguf_file_bytes(const struct gguf *g);
/* Full scan of the contents for NaN, Inf and non-finite scales; off the normal path. */
bool gguf_scan(const struct gguf *g, struct err *e);

/* ---- safetensors ---------------------------------------------------------------------------- */

/* The tensors of one file, of a folder's model.safetensors, or of all the shards that a folder's
 * model.safetensors.index.json names. Shapes come with the fastest dimension first, as everywhere here;
 * a scalar is a vector of one. Data lies in the mapping, at any address: copy, never cast. */
struct safetensors;
/* NULL on error: ERR_IO, ERR_FORMAT, ERR_UNSUPPORTED (a dtype other than F32, F16, BF16); the message
 * names file and tensor. */
struct safetensors *safetensors_open(const char *path, struct err *e);
struct safetensors *safetensors_open_mem(const void *data, size_t size, const char *name, struct err *e);
void                safetensors_close(struct safetensors *s);         /* NULL is fine */
size_t              safetensors_n(const struct safetensors *s);
const struct tensor *safetensors_tensor(const struct safetensors *s, size_t i);
const struct tensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL if absent */

/* ---- writing ------------------------------------------------------------------------------- */

/* Collects metadata and tensor descriptions, then writes the file in one go; tensor bytes are lent
 * until gguf_out_write returns. A key given again replaces the value before. The file appears whole under its name or not at all. */
struct gguf_out;
struct gguf_out *gguf_out_new(void);
void gguf_out_free(struct gguf_out *o);
void gguf_out_str(struct gguf_out *o, const char *key, const char *s, size_t len);
void gguf_out_u32(struct gguf_out *o, const char *key, uint32_t v);
void gguf_out_f32(struct gguf_out *o, const char *key, float v);
void gguf_out_bool(struct gguf_out *o, const char *key, bool v);
void gguf_out_strs(struct gguf_out *o, const char *key, const struct bytes *s, size_t n);
void gguf_out_i32s(struct gguf_out *o, const char *key, const int32_t *v, size_t n);
void gguf_out_kv(struct gguf_out *o, const struct gguf_kv *kv);       /* copied as it stands */
void gguf_out_f32s(struct gguf_out *o, const char *key, const float *v, size_t n);
void gguf_out_tensor(struct gguf_out *o, const struct tensor *t);     /* name copied, data lent */
/* A tensor whose bytes are made when their turn comes: fill writes t->bytes bytes to dst (zeroed, page
 * aligned). At most one such tensor is in memory at a time. */
typedef bool gguf_fill_fn(void *ctx, const struct tensor *t, void *dst, struct err *e);
void gguf_out_fill(struct gguf_out *o, const struct tensor *t, gguf_fill_fn *fill, void *ctx);
bool gguf_out_write(struct gguf_out *o, const char *path, struct err *e);

/* ---- Hugging Face folders -------------------------------------------------------------------- */

/* A folder of config.json, safetensors and tokenizer.json, seen as the GGUF file it makes: tensors under
 * the names and in the order of that file, vectors and what is never quantised in F32, the rest as it lies.
 * Metadata goes to `out` at once, all but general.file_type. NULL on error: ERR_IO, ERR_FORMAT,
 * ERR_UNSUPPORTED; the message names folder, file, and key or tensor. */
struct hf;
struct hf           *hf_open(const char *dir, struct gguf_out *out, struct err *e);
void                 hf_close(struct hf *h);                          /* NULL is fine */
size_t               hf_n_tensor(const struct hf *h);
/* data is NULL where the bytes must be gathered (experts, permuted rows, vectors) by hf_fill. */
const struct tensor *hf_tensor(const struct hf *h, size_t i);
void                 hf_fill(const struct hf *h, size_t i, void *dst); /* t->bytes bytes */
struct hf_numbers { const char *arch; int n_layer, n_head, n_head_kv, n_expert; };   /* n_head_kv: of layer 0 */
struct hf_numbers    hf_numbers(const struct hf *h);

#endif
