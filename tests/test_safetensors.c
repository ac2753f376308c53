/* test_safetensors.c -- safetensors files: what is written as the format says is found by name; a header
 * that lies, a file cut anywhere and an index that points elsewhere are refused with a sentence. */
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "test.h"

static struct str file;

/* The length of the header, the header, and n bytes of data: 0, 1, 2, … */
static void build(const char *head, size_t n)
{
    uint64_t len = strlen(head);
    str_clear(&file);
    str_put(&file, &len, sizeof len);
    str_puts(&file, head);
    for (size_t i = 0; i < n; i++) str_putc(&file, (char)i);
}

/* The memory handed over is exactly as long as the file, so that a sanitizer sees a read past it. */
static struct safetensors *open_bytes(const void *p, size_t n, void **copy, struct err *e)
{
    *copy = mem_dup(p, n);
    *e = (struct err){ 0 };
    struct safetensors *s = safetensors_open_mem(*copy, n, "t.safetensors", e);
    if (!s)
        CHECK(e->code && strncmp(e->msg, "t.safetensors: ", 15) == 0, "the message names the file: %s",
              e->msg);
    return s;
}

/* ---- hostile headers ---- */

#define ONE(dtype, shape, range) \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" range "}}"
#define TWO(a, b) \
    "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" a "}," \
    "\"u\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":" b "}}"

static const struct { const char *why, *head; size_t n; const char *says; } hostile[] = {
    { "empty header", "", 0, "header: byte 0" },
    { "not JSON", "{'t':1}", 0, "header: byte 1" },
    { "something after the header", "{} x", 0, "header: byte 3" },
    { "header is an array", "[]", 0, "not a JSON object" },
    { "tensor named twice", "{\"t\":1,\"t\":2}", 0, "header: byte" },
    { "description is no object", "{\"t\":[]}", 0, "tensor t: its description is not an object" },
    { "empty name", "{\"\":{}}", 0, "its name has 0 bytes; 1 to 255" },
    { "no dtype", "{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor t: its dtype is missing" },
    { "dtype is a number", ONE("1", "[1]", "[0,4]"), 4, "not a string" },
    { "8-bit floats", ONE("\"F8_E4M3\"", "[4]", "[0,4]"), 4, "tensor t: its dtype is F8_E4M3; F32, F16 and BF16" },
    { "a dtype that would move the cursor", ONE("\"\\u001b[2J\"", "[4]", "[0,4]"), 4, "its dtype is ?[2J;" },
    { "integers", ONE("\"I64\"", "[1]", "[0,8]"), 8, "its dtype is I64" },
    { "no shape", "{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "its shape is missing" },
    { "five dimensions", ONE("\"F32\"", "[1,1,1,1,1]", "[0,4]"), 4, "5 dimensions" },
    { "dimension 0", ONE("\"F32\"", "[2,0]", "[0,0]"), 0, "dimension 1 of its shape" },
    { "negative dimension", ONE("\"F32\"", "[-1]", "[0,4]"), 4, "dimension 0 of its shape" },
    { "half a dimension", ONE("\"F32\"", "[1.5]", "[0,6]"), 6, "dimension 0 of its shape" },
    { "dimension beyond 64 bits", ONE("\"F32\"", "[18446744073709551617]", "[0,4]"), 4, "dimension 0" },
    { "elements overflow", ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "elements overflows" },
    { "bytes overflow", ONE("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "size in bytes overflows" },
    { "no offsets", "{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "not two integers" },
    { "three offsets", ONE("\"F32\"", "[1]", "[0,4,8]"), 8, "not two integers" },
    { "text as offset", ONE("\"F32\"", "[1]", "[0,\"4\"]"), 4, "not two integers" },
    { "negative offset", ONE("\"F32\"", "[1]", "[-4,0]"), 4, "not a range" },
    { "range backwards", ONE("\"F32\"", "[1]", "[4,0]"), 4, "not a range" },
    { "range past the end", ONE("\"F32\"", "[2]", "[0,8]"), 7, "ends at byte 8 of the data, the file has 7" },
    { "range of 2^63", ONE("\"F32\"", "[1]", "[0,9223372036854775807]"), 4, "truncated" },
    { "range too short", ONE("\"F32\"", "[2]", "[0,4]"), 4, "range has 4 bytes, its shape and dtype F32 make 8" },
    { "range too long", ONE("\"BF16\"", "[1]", "[0,4]"), 4, "range has 4 bytes, its shape and dtype BF16 make 2" },
    { "overlap", TWO("[0,8]", "[4,12]"), 12, "tensors t and u overlap" },
    { "the same bytes twice", TWO("[0,8]", "[0,8]"), 8, "overlap" },
    { "a hole", TWO("[0,8]", "[9,17]"), 17, "bytes 8 to 9 of the data, before tensor u, belong to none" },
    { "data before the first", ONE("\"F32\"", "[1]", "[4,8]"), 8, "bytes 0 to 4" },
    { "data after the last", ONE("\"F32\"", "[1]", "[0,4]"), 5, "end at byte 4 of the data, the file has 5" },
};

TEST(hostile_headers_are_refused_with_a_sentence)
{
    for (size_t i = 0; i < LEN(hostile); i++) {
        struct err e;
        void *copy;
        build(hostile[i].head, hostile[i].n);
        struct safetensors *s = open_bytes(file.p, file.len, &copy, &e);
        CHECK(!s, "%s is accepted", hostile[i].why);
        if (!s) CHECK(strstr(e.msg, hostile[i].says) != NULL, "%s: %s", hostile[i].why, e.msg);
        safetensors_close(s);
        mem_free(copy);
    }
}

TEST(a_header_longer_than_the_file_is_refused)
{
    static const struct { uint64_t len; const char *says; } rows[] = {
        { 3, "room for 2" }, { 1u << 31, "room for 2" }, { 1ull << 63, "room for 2" }, { UINT64_MAX, "room for 2" },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e;
        void *copy;
        build("{}", 0);
        memcpy(file.p, &rows[i].len, 8);
        struct safetensors *s = open_bytes(file.p, file.len, &copy, &e);
        CHECK(!s && strstr(e.msg, rows[i].says), "length %llu: %s", (unsigned long long)rows[i].len, e.msg);
        safetensors_close(s);
        mem_free(copy);
    }
}

#define SMALL \
    "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}," \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2,2],\"data_offsets\":[0,16]}," \
    "\"c\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[22,24]}}     "

TEST(tensors_are_found_by_name)
{
    struct err e = { 0 };
    void *copy;
    build(SMALL, 24);
    struct safetensors *s = open_bytes(file.p, file.len, &copy, &e);
    CHECK(s, "%s", e.msg);
    if (!s) return;
    const struct tensor *a = safetensors_find(s, "a"), *b = safetensors_find(s, "b"), *c = safetensors_find(s, "c");
    CHECK(safetensors_n(s) == 3 && a && b && c && !safetensors_find(s, "__metadata__"), "three tensors");
    CHECK(a->n_dim == 3 && a->ne[0] == 2 && a->ne[1] == 2 && a->ne[2] == 1 && a->dtype == DT_F32, "a");
    CHECK(b->n_dim == 1 && b->ne[0] == 3 && b->dtype == DT_BF16 && !memcmp(b->data, "\x10\x11\x12", 3), "b");
    CHECK(c->n_dim == 1 && c->ne[0] == 1 && c->bytes == 2 && !memcmp(c->data, "\x16\x17", 2), "a scalar");
    safetensors_close(s);
    mem_free(copy);
}

TEST(a_file_cut_at_any_byte_is_refused)
{
    build(SMALL, 24);
    for (size_t n = 0; n < file.len; n++) {
        struct err e;
        void *copy;
        struct safetensors *s = open_bytes(file.p, n, &copy, &e);
        CHECK(!s, "%zu of %zu bytes", n, file.len);
        safetensors_close(s);
        mem_free(copy);
    }
}

TEST(a_file_with_any_byte_bent_is_safe)
{
    static const uint8_t bend[] = { 0x01, 0x10, 0x80, 0xff };
    build(SMALL, 24);
    for (size_t i = 0; i < file.len; i++)
        for (size_t k = 0; k < LEN(bend); k++) {
            struct err e;
            void *copy;
            file.p[i] = (char)(file.p[i] ^ bend[k]);
            struct safetensors *s = open_bytes(file.p, file.len, &copy, &e);
            file.p[i] = (char)(file.p[i] ^ bend[k]);
            for (size_t t = 0; s && t < safetensors_n(s); t++) {
                const struct tensor *x = safetensors_tensor(s, t);
                CHECK((const char *)x->data + x->bytes <= (const char *)copy + file.len, "byte %zu", i);
            }
            safetensors_close(s);
            mem_free(copy);
        }
}

/* ---- folders ---- */

static char dir[64];

static void put(const char *name, const char *p, size_t n)
{
    struct err e = { 0 };
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK(file_write(path, p, n, &e), "%s", e.msg);
}

static void put_shard(const char *name, const char *head, size_t n)
{
    build(head, n);
    put(name, file.p, file.len);
}

static void remove_folder(void)
{
    static const char *const names[] = { "a.safetensors", "b.safetensors", "model.safetensors",
                                         "model.safetensors.index.json" };
    char path[200];
    for (size_t i = 0; i < LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

#define T ONE("\"F32\"", "[1]", "[0,4]")
#define U "{\"u\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}"
#define INDEX(map) "{\"metadata\":{\"total_size\":8},\"weight_map\":" map "}"

TEST(a_folder_of_shards_opens_as_one)
{
    static const struct { const char *why, *index, *b, *says; } rows[] = {
        { "two shards", INDEX("{\"t\":\"a.safetensors\",\"u\":\"b.safetensors\"}"), U, NULL },
        { "no map", "{}", U, "weight_map is missing" },
        { "empty map", INDEX("{}"), U, "weight_map is missing, empty" },
        { "map to a number", INDEX("{\"t\":1}"), U, "weight_map: t: its file is not a string" },
        { "out of the folder", INDEX("{\"t\":\"../a.safetensors\"}"), U, "not the name of a file in the folder" },
        { "absolute path", INDEX("{\"t\":\"/a.safetensors\"}"), U, "not the name of a file in the folder" },
        { "empty file name", INDEX("{\"t\":\"\"}"), U, "not the name of a file in the folder" },
        { "NUL in a file name", INDEX("{\"t\":\"a\\u0000\"}"), U, "not the name of a file in the folder" },
        { "absent file", INDEX("{\"t\":\"c.safetensors\"}"), U, "c.safetensors: No such file" },
        { "in the other file", INDEX("{\"t\":\"a.safetensors\",\"u\":\"a.safetensors\"}"), U, "a.safetensors does not have it" },
        { "in both files", INDEX("{\"t\":\"a.safetensors\",\"u\":\"b.safetensors\"}"), T, "another file of the folder has it" },
    };
    snprintf(dir, sizeof dir, "/tmp/tenon-shards-XXXXXX");
    CHECK(mkdtemp(dir), "a folder for the test");
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        put_shard("a.safetensors", T, 4);
        put_shard("b.safetensors", rows[i].b, 4);
        put("model.safetensors.index.json", rows[i].index, strlen(rows[i].index));
        struct safetensors *s = safetensors_open(dir, &e);
        CHECK(!s == !!rows[i].says, "%s: %s", rows[i].why, e.msg);
        if (!s) CHECK(rows[i].says && strstr(e.msg, rows[i].says) && strstr(e.msg, dir), "%s: %s", rows[i].why, e.msg);
        else CHECK(safetensors_n(s) == 2 && safetensors_find(s, "t") && safetensors_find(s, "u"), "%s", rows[i].why);
        safetensors_close(s);
    }
    remove_folder();
}

TEST(a_folder_with_one_file_or_none)
{
    struct err e = { 0 };
    snprintf(dir, sizeof dir, "/tmp/tenon-shards-XXXXXX");
    CHECK(mkdtemp(dir), "a folder for the test");
    CHECK(!safetensors_open(dir, &e) && strstr(e.msg, "neither model.safetensors nor"), "%s", e.msg);
    put_shard("model.safetensors", T, 4);
    struct safetensors *s = safetensors_open(dir, &e);
    CHECK(s && safetensors_n(s) == 1, "%s", e.msg);
    safetensors_close(s);
    remove_folder();
}

TEST_MAIN
