/* safetensors.c -- reads tensors from the files that Hugging Face folders hold: a JSON header that
 * says where each tensor lies, then the bytes.
 *
 * The file is hostile until shown otherwise. The length of the header is held against the file
 * before the header is read, every shape against overflow, every range against shape, data and
 * neighbours. As the format demands, the ranges fill the data without holes: a file cut short or
 * with something appended does not open. A folder of shards opens as one, through the index that
 * names them.
 *
 * True of an open handle: names are unique over all shards; every tensor has a dtype whose values
 * we read, 1 to 4 dimensions of at least 1, and lies whole inside its file.
 * Not here: what a name means (hf.c), writing, quantised dtypes (refused by name). */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/json.h"
#include "format/int.h"

#define MOST_HEADER  ((uint64_t)100 * 1000 * 1000)
#define MOST_SHARD   4096

struct shard { struct map map; char *path; };
struct safetensors {
    struct shard *shard; /* map is empty when the memory is lent */
    size_t n_shard, cap_shard;
    struct tensor *tensor;
    uint32_t *home; /* the shard each tensor lies in */
    size_t n, cap, cap_home;
    struct names names;                                               /* same numbers as tensor */
    struct arena text;                                                /* names with a closing NUL */
};

/* ---- one tensor of a header ----------------------------------------------------------------- */

static bool read_dtype(const struct json *info, struct tensor *t, struct err *e)
{
    static const enum dtype read[] = { DT_F32, DT_F16, DT_BF16 };
    size_t len;
    const char *name = json_str(json_get(info, "dtype"), &len);
    char show[80];
    if (!name) return err_set(e, ERR_FORMAT, "its dtype is missing or not a string");
    for (size_t i = 0; i < LEN(read); i++)
        if (bytes_eq((struct bytes){ name, len }, dtype_info(read[i])->name)) {
            t->dtype = read[i];
            return true;
        }
    return err_set(e, ERR_UNSUPPORTED, "its dtype is %s; F32, F16 and BF16 are read",
                   gguf_show((struct bytes){ name, len }, show));
}

/* The file counts from the slowest dimension, a tensor of ours from the fastest. */
static bool read_shape(const struct json *info, struct tensor *t, int64_t *n_elem, struct err *e)
{
    const struct json *shape = json_get(info, "shape");
    size_t n = json_len(shape);
    if (!json_is(shape, JSON_ARRAY))
        return err_set(e, ERR_FORMAT, "its shape is missing or not an array");
    if (n > TENSOR_DIMS)
        return err_set(e, ERR_UNSUPPORTED, "its shape has %zu dimensions, 0 to %d are accepted", n,
                       TENSOR_DIMS);
    *n_elem = 1;
    t->n_dim = n ? (int)n : 1;
    for (size_t i = 0; i < TENSOR_DIMS; i++) t->ne[i] = 1;
    for (size_t i = 0; i < n; i++) {
        int64_t *ne = &t->ne[n - 1 - i];
        if (!json_i64(json_at(shape, i), ne) || *ne < 1)
            return err_set(e, ERR_FORMAT,
                           "dimension %zu of its shape is not an integer of at least 1", i);
        if (__builtin_mul_overflow(*n_elem, *ne, n_elem))
            return err_set(e, ERR_FORMAT, "its number of elements overflows");
    }
    return true;
}

/* t->data holds the offset into the data until all tensors of the file are read. */
static bool read_range(const struct json *info, struct tensor *t, int64_t n_elem, size_t room,
                       struct err *e)
{
    const struct json *at = json_get(info, "data_offsets");
    int64_t from, to, want;
    if (json_len(at) != 2 || !json_i64(json_at(at, 0), &from) || !json_i64(json_at(at, 1), &to))
        return err_set(e, ERR_FORMAT, "its data_offsets are not two integers");
    if (from < 0 || to < from)
        return err_set(e, ERR_FORMAT, "its data_offsets %lld and %lld are not a range",
                       (long long)from, (long long)to);
    if ((uint64_t)to > room)
        return err_set(e, ERR_FORMAT, "it ends at byte %lld of the data, the file has %zu: it is "
                       "truncated or damaged", (long long)to, room);
    if (__builtin_mul_overflow(n_elem, (int64_t)dtype_info(t->dtype)->bytes, &want))
        return err_set(e, ERR_FORMAT, "its size in bytes overflows");
    if (want != to - from)
        return err_set(e, ERR_FORMAT, "its range has %lld bytes, its shape and dtype %s make %lld",
                       (long long)(to - from), dtype_info(t->dtype)->name, (long long)want);
    t->bytes = (size_t)want;
    t->data = (const void *)(uintptr_t)from;
    return true;
}

static bool read_entry(struct safetensors *s, struct bytes name, const struct json *info,
                       size_t room, struct err *e)
{
    struct tensor t = { 0 };
    int64_t n_elem = 0;
    if (!name.len || name.len > GGUF_MOST_NAME || memchr(name.p, 0, name.len))
        return err_set(e, ERR_FORMAT, "its name has %zu bytes; 1 to %d without NUL are accepted",
                       name.len, GGUF_MOST_NAME);
    if (!json_is(info, JSON_OBJECT))
        return err_set(e, ERR_FORMAT,
                       "its description is not an object with dtype, shape and data_offsets");
    if (!read_dtype(info, &t, e) || !read_shape(info, &t, &n_elem, e) ||
        !read_range(info, &t, n_elem, room, e))
        return false;
    t.name = arena_str(&s->text, name.p, name.len);
    if (!names_add(&s->names, (struct bytes){ t.name, name.len }))
        return err_set(e, ERR_FORMAT, "another file of the folder has it too");
    MEM_GROW(s->tensor, s->n, s->cap);
    MEM_GROW(s->home, s->n, s->cap_home);
    s->home[s->n] = (uint32_t)s->n_shard;
    s->tensor[s->n++] = t;
    return true;
}

/* ---- one file ------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return (p > q) - (p < q);
}

static const char *show_name(const struct tensor *t, char out[80])
{
    return gguf_show((struct bytes){ t->name, strlen(t->name) }, out);
}

/* The tensors from number `first` on follow each other from byte 0 to the last. */
static bool check_ranges(const struct safetensors *s, size_t first, size_t room, struct err *e)
{
    char a[80], b[80];
    size_t n = s->n - first, at = 0;
    const struct tensor **order = mem_alloc((n + 1) * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = &s->tensor[first + i];
    qsort(order, n, sizeof *order, by_offset);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        size_t from = (uintptr_t)order[i]->data;
        const char *name = show_name(order[i], a);
        if (from < at)
            ok = err_set(e, ERR_FORMAT, "tensors %s and %s overlap", show_name(order[i - 1], b),
                         name);
        else if (from > at)
            ok = err_set(e, ERR_FORMAT,
                         "bytes %zu to %zu of the data, before tensor %s, belong to none", at, from,
                         name);
        at = from + order[i]->bytes;
    }
    if (ok && at != room)
        ok = err_set(e, ERR_FORMAT, "the tensors end at byte %zu of the data, the file has %zu", at,
                     room);
    mem_free(order);
    return ok;
}

static bool read_entries(struct safetensors *s, const struct json *head, size_t room, struct err *e)
{
    if (!json_is(head, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "the header is not a JSON object");
    if (json_len(head) > GGUF_MOST_TENSOR)
        return err_set(e, ERR_FORMAT, "the header names %zu tensors, at most %u are accepted",
                       json_len(head), GGUF_MOST_TENSOR);
    char show[80];
    for (struct json_iter it = json_iter(head); json_next(&it);) {
        struct bytes name = { it.key, it.key_len };
        if (bytes_eq(name, "__metadata__")) continue;
        if (!read_entry(s, name, it.value, room, e))
            return err_in(e, "tensor %s", gguf_show(name, show));
    }
    return true;
}

static bool read_file(struct safetensors *s, const uint8_t *data, size_t size, struct err *e)
{
    uint64_t head_bytes;
    if (size < sizeof head_bytes)
        return err_set(e, ERR_FORMAT,
                       "%zu bytes are too few for a safetensors file (the length of its "
                       "header has 8)",
                       size);
    memcpy(&head_bytes, data, sizeof head_bytes);
    if (head_bytes > size - sizeof head_bytes)
        return err_set(e, ERR_FORMAT,
                       "the header is said to have %llu bytes, the file has room for %zu: it "
                       "is truncated or not a safetensors file",
                       (unsigned long long)head_bytes, size - sizeof head_bytes);
    if (head_bytes > MOST_HEADER)
        return err_set(e, ERR_FORMAT, "a header of %llu bytes, at most %llu are accepted",
                       (unsigned long long)head_bytes, (unsigned long long)MOST_HEADER);
    struct json *head = json_parse((const char *)data + sizeof head_bytes, (size_t)head_bytes, e);
    if (!head) return err_in(e, "header");
    size_t start = sizeof head_bytes + (size_t)head_bytes, first = s->n;
    bool ok = read_entries(s, head, size - start, e) && check_ranges(s, first, size - start, e);
    json_free(head);
    for (size_t i = first; ok && i < s->n; i++)
        s->tensor[i].data = data + start + (uintptr_t)s->tensor[i].data;
    return ok;
}

static bool add_file(struct safetensors *s, const char *path, struct err *e)
{
    struct map map;
    if (!map_open(&map, path, 0, e)) return false;
    bool ok = read_file(s, map.data, map.size, e) || err_in(e, "%s", path);
    MEM_GROW(s->shard, s->n_shard, s->cap_shard);
    s->shard[s->n_shard++] = (struct shard){ map, mem_str(path) };
    return ok;
}

/* ---- a folder of shards --------------------------------------------------------------------- */

/* A file beside the index: no way out of the folder, and nothing a terminal would act on. */
static bool is_plain_name(struct bytes name)
{
    if (!name.len || name.len > 255 || name.p[0] == '.') return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] <= 0x20 || name.p[i] >= 0x7f || name.p[i] == '/') return false;
    return true;
}

/* The number of the shard, opened when it is named for the first time; -1 on error. */
static long shard_of(struct safetensors *s, struct names *files, const char *dir, struct bytes name,
                     struct err *e)
{
    char show[80];
    long i = names_find(files, name);
    if (i >= 0) return i;
    if (!is_plain_name(name)) {
        err_set(e, ERR_FORMAT, "its file \"%s\" is not the name of a file in the folder",
                gguf_show(name, show));
        return -1;
    }
    if (files->n == MOST_SHARD) {
        err_set(e, ERR_LIMIT, "more than %d files are named", MOST_SHARD);
        return -1;
    }
    struct str path = { 0 };
    str_fmt(&path, "%s/%.*s", dir, (int)name.len, name.p);
    bool ok = add_file(s, path.p, e);
    str_done(&path);
    if (ok) names_add(files, name);
    return ok ? (long)s->n_shard - 1 : -1;
}

static bool read_index_entry(struct safetensors *s, struct names *files, const char *dir,
                             const struct json_iter *it, struct err *e)
{
    size_t len;
    const char *file = json_str(it->value, &len);
    if (!file) return err_set(e, ERR_FORMAT, "its file is not a string");
    long shard = shard_of(s, files, dir, (struct bytes){ file, len }, e);
    if (shard < 0) return false;
    long i = names_find(&s->names, (struct bytes){ it->key, it->key_len });
    if (i < 0 || s->home[i] != (uint32_t)shard)
        return err_set(e, ERR_FORMAT, "%s does not have it", s->shard[shard].path);
    return true;
}

static bool read_index(struct safetensors *s, const char *dir, const char *path, struct err *e)
{
    struct json *index = json_read(path, e);
    if (!index) return false;
    struct names files = { 0 };
    const struct json *map = json_get(index, "weight_map");
    bool ok = json_is(map, JSON_OBJECT) && json_len(map);
    if (!ok) err_set(e, ERR_FORMAT, "weight_map is missing, empty or not an object");
    char show[80];
    for (struct json_iter it = json_iter(map); ok && json_next(&it);)
        ok = read_index_entry(s, &files, dir, &it, e) ||
             err_in(e, "weight_map: %s", gguf_show((struct bytes){ it.key, it.key_len }, show));
    names_done(&files);
    json_free(index);
    return ok || err_in(e, "%s", path);
}

static bool read_folder(struct safetensors *s, const char *dir, struct err *e)
{
    struct str whole = { 0 }, index = { 0 };
    str_fmt(&whole, "%s/model.safetensors", dir);
    str_fmt(&index, "%s/model.safetensors.index.json", dir);
    bool ok = file_exists(index.p)   ? read_index(s, dir, index.p, e)
              : file_exists(whole.p) ? add_file(s, whole.p, e)
                                     : err_set(e, ERR_IO,
                                               "%s: neither model.safetensors nor "
                                               "model.safetensors.index.json is in the folder",
                                               dir);
    str_done(&whole);
    str_done(&index);
    return ok;
}

/* ---- the door ------------------------------------------------------------------------------- */

static struct safetensors *new_handle(void)
{
    struct safetensors *s = mem_zero(sizeof *s);
    arena_init(&s->text, 0);
    return s;
}

struct safetensors *safetensors_open(const char *path, struct err *e)
{
    struct stat st;
    struct safetensors *s = new_handle();
    bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (is_folder ? read_folder(s, path, e) : add_file(s, path, e)) return s;
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_open_mem(const void *data, size_t size, const char *name,
                                         struct err *e)
{
    struct safetensors *s = new_handle();
    if (read_file(s, data, size, e)) return s;
    err_in(e, "%s", name);
    safetensors_close(s);
    return NULL;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_shard; i++) {
        map_close(&s->shard[i].map);
        mem_free(s->shard[i].path);
    }
    names_done(&s->names);
    arena_done(&s->text);
    mem_free(s->shard);
    mem_free(s->tensor);
    mem_free(s->home);
    mem_free(s);
}

size_t safetensors_n(const struct safetensors *s)
{
    return s->n;
}

const struct tensor *safetensors_tensor(const struct safetensors *s, size_t i)
{
    return &s->tensor[i];
}

const struct tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    long i = names_find(&s->names, (struct bytes){ name, strlen(name) });
    return i < 0 ? NULL : &s->tensor[i];
}
