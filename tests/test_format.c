/* test_format.c -- GGUF: what is written reads back; a file cut anywhere or with any field bent is
 * refused with a sentence, never crashed on; metadata is read by type and range. */
#include <math.h>
#include <unistd.h>

#include "format/format.h"
#include "test.h"

/* ---- a file builder that can also build wrong files ---- */

static struct str file;

static void u32(uint32_t v) { str_put(&file, &v, sizeof v); }
static void u64(uint64_t v) { str_put(&file, &v, sizeof v); }
static void text(const char *s) { u64(strlen(s)); str_puts(&file, s); }

static void head(uint32_t version, uint64_t n_tensor, uint64_t n_kv)
{
    str_clear(&file);
    str_puts(&file, "GGUF");
    u32(version);
    u64(n_tensor);
    u64(n_kv);
}

static void kv_u32(const char *key, uint32_t v) { text(key); u32(GGUF_U32); u32(v); }
static void kv_str(const char *key, const char *v) { text(key); u32(GGUF_STR); text(v); }

static void info(const char *name, uint32_t n_dim, const uint64_t *ne, uint32_t type, uint64_t off)
{
    text(name);
    u32(n_dim);
    for (uint32_t i = 0; i < n_dim; i++) u64(ne[i]);
    u32(type);
    u64(off);
}

static void data(size_t n)
{
    while (file.len % 32) str_putc(&file, 0);
    for (size_t i = 0; i < n; i++) str_putc(&file, 0);
}

/* The memory handed over is exactly as long as the file, so that a sanitizer sees a read past it. */
static struct gguf *open_bytes(const void *p, size_t n, void **copy, struct err *e)
{
    *copy = mem_dup(p, n);
    *e = (struct err){ 0 };
    struct gguf *g = gguf_open_mem(*copy, n, "t.gguf", e);
    if (!g)
        CHECK(e->code && strncmp(e->msg, "t.gguf: ", 8) == 0, "the message names the file: %s",
              e->msg);
    return g;
}

/* ---- hostile files ---- */

static const uint64_t D32[] = { 32 }, D8[] = { 8 }, D4x2[] = { 4, 2 }, D31[] = { 31 }, D0[] = { 0 },
                      D1[] = { 1 }, DHUGE[] = { 1ull << 32, 1ull << 32 }, DNEG[] = { 1ull << 63 },
                      DMANY[] = { 1, 1, 1, 1, 1 }, DBIG[] = { 1ull << 61 },
                      DLONG[] = { 1ull << 40 }, D33[] = { 33, 2 };

static void one(uint32_t n_dim, const uint64_t *ne, uint32_t type, uint64_t off, size_t bytes)
{
    head(3, 1, 0);
    info("t", n_dim, ne, type, off);
    data(bytes);
}

static void two(const char *a, const char *b, uint64_t off_b)
{
    head(3, 2, 0);
    info(a, 1, D8, 0, 0);
    info(b, 1, D8, 0, off_b);
    data(128);
}

static void aligned(uint32_t a) { head(3, 1, 1); kv_u32("general.alignment", a); info("t", 1, D8, 0, 0); data(64); }
static void array(uint32_t elem, uint64_t n, size_t bytes)
{
    head(3, 0, 1);
    text("a");
    u32(GGUF_ARRAY);
    u32(elem);
    u64(n);
    for (size_t i = 0; i < bytes; i++) str_putc(&file, 0);
}
static void key_bytes(const char *k, size_t n) { head(3, 0, 1); u64(n); str_put(&file, k, n); u32(GGUF_U32); u32(1); }
static void name_bytes(const char *k, size_t n)
{
    head(3, 1, 0);
    u64(n);
    str_put(&file, k, n);
    u32(1);
    u64(8);
    u32(0);
    u64(0);
    data(64);
}

static void b_empty(void) { str_clear(&file); }
static void b_short(void) { str_clear(&file); str_puts(&file, "GGUF\3\0\0"); }
static void b_magic(void) { head(3, 0, 0); file.p[0] = 'g'; }
static void b_v0(void) { head(0, 0, 0); }
static void b_v1(void) { head(1, 0, 0); }
static void b_v4(void) { head(4, 0, 0); }
static void b_big(void) { head(0x03000000, 0, 0); }
static void b_kv60(void) { head(3, 0, 1ull << 60); kv_u32("a", 1); }
static void b_kv2(void) { head(3, 0, 2); kv_u32("a", 1); }
static void b_kv_most(void) { head(3, 0, 70000); data(70000 * 14); }
static void b_t63(void) { head(3, 1ull << 63, 0); data(64); }
static void b_t_most(void) { head(3, 1u << 21, 0); data(1 << 16); }
static void b_t2(void) { head(3, 2, 0); info("t", 1, D8, 0, 0); data(64); }
static void b_type13(void) { head(3, 0, 1); text("a"); u32(13); u64(0); }
static void b_bool2(void) { head(3, 0, 1); text("a"); u32(GGUF_BOOL); str_putc(&file, 2); }
static void b_bools(void) { array(GGUF_BOOL, 3, 3); file.p[file.len - 1] = 7; }
static void b_nested(void) { array(GGUF_ARRAY, 1, 64); }
static void b_elem13(void) { array(13, 1, 64); }
static void b_count61(void) { array(GGUF_U64, 1ull << 61, 64); }
static void b_count64(void) { array(GGUF_U8, UINT64_MAX, 64); }
static void b_strs(void) { array(GGUF_STR, 9, 64); }
static void b_strlen(void) { array(GGUF_STR, 2, 64); memset(file.p + file.len - 64, 0xff, 8); }
static void b_keylen(void) { head(3, 0, 1); u64(UINT64_MAX); u64(0); }
static void b_key64k(void) { head(3, 0, 1); u64(65536); data(70000); }
static void b_key0(void) { key_bytes("", 0); data(16); }
static void b_keynul(void) { key_bytes("a\0b", 3); }
static void b_dupkey(void) { head(3, 0, 2); kv_u32("a", 1); kv_str("a", "x"); }
static void b_strhuge(void) { head(3, 0, 1); text("a"); u32(GGUF_STR); u64(1ull << 32); data(64); }
static void b_ndim0(void) { one(0, D8, 0, 0, 64); }
static void b_ndim5(void) { one(5, DMANY, 0, 0, 64); }
static void b_ndim_max(void) { head(3, 1, 0); text("t"); u32(UINT32_MAX); data(64); }
static void b_ne0(void) { one(1, D0, 0, 0, 64); }
static void b_neneg(void) { one(1, DNEG, 0, 0, 64); }
static void b_nehuge(void) { one(2, DHUGE, 0, 0, 64); }
static void b_nebig(void) { one(1, DBIG, 0, 0, 64); }
static void b_nelong(void) { one(1, DLONG, 0, 0, 64); }
static void b_row31(void) { one(1, D31, 2, 0, 64); }
static void b_row33(void) { one(2, D33, 2, 0, 64); }
static void b_row32k(void) { one(1, D32, 12, 0, 256); }
static void b_dtype4(void) { one(1, D32, 4, 0, 128); }
static void b_dtype31(void) { one(1, D32, 31, 0, 128); }
static void b_dtype43(void) { one(1, D32, 43, 0, 128); }
static void b_dtype_max(void) { one(1, D32, UINT32_MAX, 0, 128); }
static void b_dtype_iq1(void) { one(1, D32, 19, 0, 128); }
static void b_off_odd(void) { one(1, D8, 0, 8, 128); }
static void b_off_far(void) { one(1, D8, 0, UINT64_MAX - 31, 128); }
static void b_off_past(void) { one(1, D8, 0, 1 << 20, 128); }
static void b_off_end(void) { one(1, D8, 0, 128, 128); }
static void b_at_start(void) { one(1, D8, 0, 0, 0); }
static void b_no_pad(void) { head(3, 1, 0); info("t", 1, D1, 0, 0); }
static void b_short_data(void) { one(1, D8, 0, 0, 31); }
static void b_dup_tensor(void) { two("t", "t", 32); }
static void b_overlap(void) { two("t", "u", 0); }
static void b_align0(void) { aligned(0); }
static void b_align3(void) { aligned(3); }
static void b_align31(void) { aligned(1u << 31); }
static void b_align_str(void) { head(3, 0, 1); kv_str("general.alignment", "32"); }
static void b_name0(void) { name_bytes("", 0); }
static void b_namenul(void) { name_bytes("a\0b", 3); }
static void b_name256(void)
{
    char n[256];
    memset(n, 'n', sizeof n);
    name_bytes(n, sizeof n);
}

static const struct { const char *why; void (*build)(void); const char *says; } hostile[] = {
    { "empty file", b_empty, "too few" },
    { "shorter than the header", b_short, "too few" },
    { "wrong magic", b_magic, "not a GGUF file" },
    { "version 0", b_v0, "version 0" },
    { "version 1", b_v1, "version 1" },
    { "version 4", b_v4, "versions 2 and 3" },
    { "big-endian", b_big, "big-endian" },
    { "2^60 keys", b_kv60, "metadata entries" },
    { "more keys than there are", b_kv2, "metadata entries" },
    { "too many keys", b_kv_most, "at most 65536" },
    { "2^63 tensors", b_t63, "tensors" },
    { "too many tensors", b_t_most, "at most 1048576" },
    { "more tensors than there are", b_t2, "tensor 1 of 2" },
    { "value type 13", b_type13, "key a: value type 13" },
    { "boolean 2", b_bool2, "key a: a boolean" },
    { "boolean 7 in an array", b_bools, "key a: a boolean" },
    { "array of arrays", b_nested, "arrays of arrays" },
    { "array of type 13", b_elem13, "value type 13" },
    { "array count that wraps to 0 bytes", b_count61, "does not fit" },
    { "array of 2^64-1 bytes", b_count64, "does not fit" },
    { "more strings than the bytes could hold", b_strs, "does not fit" },
    { "string length 2^64-1", b_strlen, "at most" },
    { "key length 2^64-1", b_keylen, "a key of" },
    { "key of 64 KiB", b_key64k, "a key of 65536" },
    { "empty key", b_key0, "a key is empty" },
    { "NUL in a key", b_keynul, "NUL" },
    { "duplicate key", b_dupkey, "key a occurs twice" },
    { "string value of 4 GiB", b_strhuge, "a string of" },
    { "no dimensions", b_ndim0, "0 dimensions" },
    { "five dimensions", b_ndim5, "5 dimensions" },
    { "2^32-1 dimensions", b_ndim_max, "dimensions" },
    { "dimension 0", b_ne0, "dimension 0 is 0" },
    { "dimension 2^63", b_neneg, "dimension 0 is" },
    { "2^32 x 2^32", b_nehuge, "overflows" },
    { "2^61 floats", b_nebig, "overflows" },
    { "2^40 floats in 64 bytes", b_nelong, "truncated" },
    { "Q4_0 row of 31", b_row31, "not whole Q4_0 blocks" },
    { "Q4_0 rows of 33", b_row33, "not whole Q4_0 blocks" },
    { "Q4_K row of 32", b_row32k, "not whole Q4_K blocks" },
    { "removed dtype 4", b_dtype4, "dtype 4 is unknown" },
    { "removed dtype 31", b_dtype31, "dtype 31" },
    { "dtype 43", b_dtype43, "dtype 43" },
    { "dtype 2^32-1", b_dtype_max, "dtype 4294967295" },
    { "dtype without decoder", b_dtype_iq1, "IQ1_S is not supported" },
    { "offset not aligned", b_off_odd, "alignment" },
    { "offset 2^64-32", b_off_far, "beyond the end" },
    { "offset past the end", b_off_past, "beyond the end" },
    { "offset at the end", b_off_end, "truncated" },
    { "file ends at the data start", b_at_start, "truncated" },
    { "file ends before the padded data start", b_no_pad, "truncated" },
    { "one byte short", b_short_data, "truncated" },
    { "duplicate tensor", b_dup_tensor, "occurs twice" },
    { "overlapping tensors", b_overlap, "overlap" },
    { "alignment 0", b_align0, "power of two" },
    { "alignment 3", b_align3, "power of two" },
    { "alignment 2^31", b_align31, "power of two" },
    { "alignment as string", b_align_str, "must be u32" },
    { "empty tensor name", b_name0, "tensor name is empty" },
    { "NUL in a tensor name", b_namenul, "NUL" },
    { "tensor name of 256 bytes", b_name256, "at most 255" },
};

TEST(hostile_files_are_refused_with_a_sentence)
{
    for (size_t i = 0; i < LEN(hostile); i++) {
        struct err e;
        void *copy;
        hostile[i].build();
        struct gguf *g = open_bytes(file.p, file.len, &copy, &e);
        CHECK(!g, "%s is accepted", hostile[i].why);
        if (!g) CHECK(strstr(e.msg, hostile[i].says) != NULL, "%s: %s", hostile[i].why, e.msg);
        gguf_close(g);
        mem_free(copy);
    }
}

/* ---- what must be accepted ---- */

static void g_empty(void) { head(3, 0, 0); }
static void g_v2(void) { head(2, 0, 0); }
static void g_vocab(void) { head(3, 0, 1); kv_str("a", "ends right here"); }
static void g_gap(void) { two("t", "u", 64); }
static void g_last(void) { two("t", "u", 96); }
static void g_reordered(void)
{
    head(3, 2, 0);
    info("t", 2, D4x2, 0, 32);
    info("u", 1, D32, 2, 0);
    data(64);
}
static void g_align1(void) { head(3, 1, 1); kv_u32("general.alignment", 1); info("t", 1, D1, 0, 0); u32(5); }
static void g_name255(void)
{
    char n[255];
    memset(n, 'n', sizeof n);
    name_bytes(n, sizeof n);
}

static const struct { const char *why; void (*build)(void); size_t n_tensor; } good[] = {
    { "nothing in it", g_empty, 0 },
    { "version 2", g_v2, 0 },
    { "vocabulary only, data start beyond the end", g_vocab, 0 },
    { "a gap between tensors", g_gap, 2 },
    { "the last tensor ends with the file", g_last, 2 },
    { "tensors in another order than their data", g_reordered, 2 },
    { "alignment 1", g_align1, 1 },
    { "tensor name of 255 bytes", g_name255, 1 },
};

TEST(unusual_but_valid_files_are_read)
{
    for (size_t i = 0; i < LEN(good); i++) {
        struct err e;
        void *copy;
        good[i].build();
        struct gguf *g = open_bytes(file.p, file.len, &copy, &e);
        CHECK(g, "%s: %s", good[i].why, e.msg);
        if (g) CHECK(gguf_n_tensor(g) == good[i].n_tensor, "%s", good[i].why);
        gguf_close(g);
        mem_free(copy);
    }
}

/* ---- a small file with one of everything ---- */

static void tiny_file(void)
{
    head(3, 3, 15);
    text("u8"); u32(GGUF_U8); str_putc(&file, (char)200);
    text("i8"); u32(GGUF_I8); str_putc(&file, (char)-100);
    text("u16"); u32(GGUF_U16); str_put(&file, "\x34\x12", 2);
    text("i16"); u32(GGUF_I16); str_put(&file, "\xff\xff", 2);
    kv_u32("u32", 4000000000u);
    text("i32"); u32(GGUF_I32); u32((uint32_t)-7);
    text("f32"); u32(GGUF_F32); u32(0x3fc00000);
    text("bool"); u32(GGUF_BOOL); str_putc(&file, 1);
    kv_str("str", "hello");
    text("u64"); u32(GGUF_U64); u64(1ull << 40);
    text("i64"); u32(GGUF_I64); u64((uint64_t)-5);
    text("f64"); u32(GGUF_F64); u64(0x3ff8000000000000u);
    text("strs"); u32(GGUF_ARRAY); u32(GGUF_STR); u64(3); text("a"); text(""); text("xyz");
    text("ints"); u32(GGUF_ARRAY); u32(GGUF_I16); u64(3); str_put(&file, "\1\0\2\0\xff\xff", 6);
    text("floats"); u32(GGUF_ARRAY); u32(GGUF_F32); u64(2); u32(0x3f800000); u32(0xc0000000);
    info("t", 2, D4x2, 0, 0);
    info("u", 1, D32, 2, 32);
    info("v", 1, D8, 26, 64);
    data(96);
}

TEST(a_file_cut_at_any_byte_is_refused)
{
    tiny_file();
    for (size_t n = 0; n <= file.len; n++) {
        struct err e;
        void *copy;
        struct gguf *g = open_bytes(file.p, n, &copy, &e);
        CHECK(!g == (n < file.len), "cut to %zu of %zu", n, file.len);
        gguf_close(g);
        mem_free(copy);
    }
}

/* Whatever a file claims, opening it either fails or gives tensors that can be read whole. */
static void read_everything(const struct gguf *g)
{
    struct err e = { 0 };
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)MIN(kv.key.len, (size_t)255), kv.key.p);
        struct bytes s, *ss = NULL;
        int64_t n;
        double d;
        bool b;
        size_t len;
        int32_t *is = NULL;
        float *fs = NULL;
        gguf_str(g, key, &s, &e);
        gguf_int(g, key, 0, 100, &n, &e);
        gguf_f64(g, key, &d, &e);
        gguf_bool(g, key, &b, &e);
        if (gguf_strs(g, key, &ss, &len, &e)) mem_free(ss);
        if (gguf_ints(g, key, 0, 100, &is, &len, &e)) mem_free(is);
        if (gguf_f32s(g, key, &fs, &len, &e)) mem_free(fs);
    }
    gguf_scan(g, &e);
}

TEST(a_file_with_any_field_bent_is_safe)
{
    static const uint64_t bent[] = { 0,          1,          255,        1ull << 31,
                                     1ull << 32, 1ull << 63, UINT64_MAX, 1ull << 61 };
    tiny_file();
    for (size_t at = 0; at + 8 <= file.len; at++)
        for (size_t k = 0; k < LEN(bent); k++)
            for (size_t width = 1; width <= 8; width *= 2) {
                struct err e;
                char *p = mem_dup(file.p, file.len);
                memcpy(p + at, &bent[k], width);
                struct gguf *g = gguf_open_mem(p, file.len, "t.gguf", &e);
                if (g) read_everything(g);
                gguf_close(g);
                mem_free(p);
            }
    CHECK(true, "the sanitizers judge");
}

/* ---- metadata ---- */

static const struct { const char *key; int64_t lo, hi; bool ok; int64_t want; const char *says; } ints[] = {
    { "u8", 0, 255, true, 200, NULL },           { "i8", -128, 0, true, -100, NULL },
    { "u16", 0, 65535, true, 0x1234, NULL },     { "i16", -1, -1, true, -1, NULL },
    { "u32", 0, INT64_MAX, true, 4000000000, NULL }, { "i32", -7, 0, true, -7, NULL },
    { "u64", 0, INT64_MAX, true, 1ll << 40, NULL },  { "i64", -5, 5, true, -5, NULL },
    { "u8", 0, 199, false, 0, "key u8: 200 is outside of 0 to 199" },
    { "i32", 0, 9, false, 0, "key i32: -7 is outside" },
    { "none", 0, 9, false, 0, "key none: it is missing" },
    { "f32", 0, 9, false, 0, "key f32: it is of type f32, not an integer" },
    { "ints", 0, 9, false, 0, "key ints: it is an array of i16, not an integer" },
};

static struct gguf *tiny_open(void **copy)
{
    struct err e;
    tiny_file();
    struct gguf *g = open_bytes(file.p, file.len, copy, &e);
    CHECK(g, "%s", e.msg);
    return g;
}

TEST(integers_of_every_width_within_their_range)
{
    void *copy;
    struct gguf *g = tiny_open(&copy);
    for (size_t i = 0; g && i < LEN(ints); i++) {
        struct err e = { 0 };
        int64_t v = 0;
        bool ok = gguf_int(g, ints[i].key, ints[i].lo, ints[i].hi, &v, &e);
        CHECK(ok == ints[i].ok && v == ints[i].want, "%s: %lld %s", ints[i].key, (long long)v,
              e.msg);
        if (!ok) CHECK(strstr(e.msg, ints[i].says), "%s: %s", ints[i].key, e.msg);
    }
    gguf_close(g);
    mem_free(copy);
}

TEST(values_and_arrays_by_type)
{
    void *copy;
    struct err e = { 0 };
    struct gguf *g = tiny_open(&copy);
    struct bytes s, *ss;
    double d;
    bool b = false;
    size_t n;
    int32_t *is;
    float *fs;
    CHECK(gguf_str(g, "str", &s, &e) && bytes_eq(s, "hello"), "%s", e.msg);
    CHECK(gguf_f64(g, "f32", &d, &e) && d == 1.5, "%s", e.msg);
    CHECK(gguf_f64(g, "f64", &d, &e) && d == 1.5, "%s", e.msg);
    CHECK(gguf_bool(g, "bool", &b, &e) && b, "%s", e.msg);
    CHECK(gguf_is_array(g, "strs") && !gguf_is_array(g, "str") && !gguf_is_array(g, "none"),
          "is array");
    CHECK(!gguf_str(g, "u8", &s, &e) && strstr(e.msg, "key u8: it is of type u8, not a string"),
          "%s", e.msg);
    CHECK(!gguf_bool(g, "u8", &b, &e) && !gguf_f64(g, "u8", &d, &e), "types are not mixed");
    CHECK(!gguf_strs(g, "ints", &ss, &n, &e) && !gguf_ints(g, "u8", 0, 9, &is, &n, &e),
          "nor arrays");
    CHECK(!gguf_ints(g, "ints", 0, 9, &is, &n, &e) && strstr(e.msg, "key ints: element 2: -1"),
          "%s", e.msg);
    if (gguf_strs(g, "strs", &ss, &n, &e)) {
        CHECK(n == 3 && bytes_eq(ss[0], "a") && bytes_eq(ss[1], "") && bytes_eq(ss[2], "xyz"),
              "strings");
        mem_free(ss);
    } else CHECK(false, "%s", e.msg);
    if (gguf_ints(g, "ints", -1, 2, &is, &n, &e)) {
        CHECK(n == 3 && is[0] == 1 && is[1] == 2 && is[2] == -1, "integers");
        mem_free(is);
    } else CHECK(false, "%s", e.msg);
    if (gguf_f32s(g, "floats", &fs, &n, &e)) {
        CHECK(n == 2 && fs[0] == 1 && fs[1] == -2, "floats");
        mem_free(fs);
    } else CHECK(false, "%s", e.msg);
    gguf_close(g);
    mem_free(copy);
}

TEST(a_scan_finds_what_is_not_finite)
{
    static const struct { const char *why; uint32_t type; const uint64_t *ne; size_t at; uint16_t half; bool ok; } rows[] = {
        { "NaN in F32", 0, D32, 2, 0x7fc0, false },       { "Inf in F16", 1, D32, 8, 0x7c00, false },
        { "NaN in BF16", 30, D32, 0, 0x7f81, false },     { "scale of Q4_0", 2, D32, 0, 0x7c00, false },
        { "minimum of Q4_1", 3, D32, 2, 0xfc00, false },  { "scale of Q8_0 with codes 0", 8, D32, 0, 0x7e00, false },
        { "I32 is never checked", 26, D32, 0, 0x7fc0, true }, { "fine", 8, D32, 0, 0x3c00, true },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        void *copy;
        one(1, rows[i].ne, rows[i].type, 0, 128);
        memcpy(file.p + file.len - 128 + rows[i].at, &rows[i].half, 2);
        struct gguf *g = open_bytes(file.p, file.len, &copy, &e);
        CHECK(g && gguf_scan(g, &e) == rows[i].ok, "%s: %s", rows[i].why, e.msg);
        gguf_close(g);
        mem_free(copy);
    }
}

/* ---- writing ---- */

static char *temp_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/tenon-test-%ld.gguf", (long)getpid());
    return path;
}

static bool fill_ramp(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    for (size_t i = 0; i < t->bytes; i++) ((uint8_t *)dst)[i] = (uint8_t)(i * *(int *)ctx);
    return true;
}

static bool fill_fails(void *ctx, const struct tensor *t, void *dst, struct err *e)
{
    return err_set(e, ERR_ARG, "no data today");
}

TEST(what_is_written_reads_back)
{
    struct err e = { 0 };
    struct gguf_out *o = gguf_out_new();
    float w[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    int32_t ids[3] = { 1, -2, 3 };
    int step = 3;
    struct bytes words[2] = { { "a\0b", 3 }, { "", 0 } };
    gguf_out_str(o, "s", "first", 5);
    gguf_out_u32(o, "u", 7);
    gguf_out_f32(o, "f", 0.5f);
    gguf_out_f32s(o, "fs", w, 8);
    gguf_out_bool(o, "b", true);
    gguf_out_strs(o, "words", words, 2);
    gguf_out_i32s(o, "ids", ids, 3);
    gguf_out_str(o, "s", "second", 6);                                /* replaces */
    gguf_out_tensor(o, &(struct tensor){ "w", DT_F32, 2, { 4, 2, 1, 1 }, w, sizeof w });
    gguf_out_fill(o, &(struct tensor){ "q", DT_Q8_0, 1, { 64, 1, 1, 1 }, NULL, 68 }, fill_ramp,
                  &step);
    CHECK(gguf_out_write(o, temp_path(), &e), "%s", e.msg);
    gguf_out_free(o);

    struct gguf *g = gguf_open(temp_path(), &e);
    CHECK(g, "%s", e.msg);
    if (!g) return;
    struct bytes s, *ss;
    int64_t u;
    size_t n;
    CHECK(gguf_n_kv(g) == 7 && gguf_str(g, "s", &s, &e) && bytes_eq(s, "second"), "replaced: %s",
          e.msg);
    CHECK(gguf_int(g, "u", 0, 9, &u, &e) && u == 7, "%s", e.msg);
    if (gguf_strs(g, "words", &ss, &n, &e)) {
        CHECK(n == 2 && ss[0].len == 3 && memcmp(ss[0].p, "a\0b", 3) == 0 && ss[1].len == 0,
              "words");
        mem_free(ss);
    } else CHECK(false, "%s", e.msg);
    const struct tensor *t = gguf_find(g, "w"), *q = gguf_find(g, "q");
    CHECK(t && t->n_dim == 2 && t->ne[0] == 4 && t->ne[1] == 2 && t->ne[3] == 1 &&
              t->bytes == sizeof w,
          "shape");
    CHECK(t && memcmp(t->data, w, sizeof w) == 0 && ((uintptr_t)t->data & 31) == 0,
          "data, aligned");
    CHECK(q && q->dtype == DT_Q8_0 && ((const uint8_t *)q->data)[67] == (uint8_t)(67 * 3),
          "filled data");
    CHECK(!gguf_find(g, "x"), "absent tensor");

    /* Copied key by key and tensor by tensor, the file comes out the same. */
    struct gguf_out *again = gguf_out_new();
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        gguf_out_kv(again, &kv);
    }
    for (size_t i = 0; i < gguf_n_tensor(g); i++) gguf_out_tensor(again, gguf_tensor(g, i));
    struct str a = { 0 }, b = { 0 };
    CHECK(file_read(temp_path(), &a, &e) && gguf_out_write(again, temp_path(), &e), "%s", e.msg);
    CHECK(file_read(temp_path(), &b, &e) && a.len == b.len && memcmp(a.p, b.p, a.len) == 0,
          "copy is equal");
    gguf_out_free(again);
    gguf_close(g);
    str_done(&a);
    str_done(&b);
    unlink(temp_path());
}

TEST(what_cannot_be_written_leaves_no_file)
{
    static const float w[32];
    static const struct { const char *why; struct tensor t; const char *says; } rows[] = {
        { "bytes do not agree", { "t", DT_F32, 1, { 4, 1, 1, 1 }, w, 12 }, "do not agree" },
        { "no whole blocks", { "t", DT_Q4_0, 1, { 33, 1, 1, 1 }, w, 18 }, "do not agree" },
        { "no name", { "", DT_F32, 1, { 4, 1, 1, 1 }, w, 16 }, "tensor name" },
        { "given twice", { "w", DT_F32, 1, { 4, 1, 1, 1 }, w, 16 }, "given twice" },
        { "cannot be made", { "t", DT_F32, 1, { 4, 1, 1, 1 }, NULL, 16 }, "tensor t: no data today" },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        struct gguf_out *o = gguf_out_new();
        gguf_out_tensor(o, &(struct tensor){ "w", DT_F32, 1, { 32, 1, 1, 1 }, w, sizeof w });
        gguf_out_fill(o, &rows[i].t, rows[i].t.data ? NULL : fill_fails, NULL);
        CHECK(!gguf_out_write(o, temp_path(), &e) && strstr(e.msg, rows[i].says), "%s: %s",
              rows[i].why, e.msg);
        CHECK(!file_exists(temp_path()), "%s: a file is left", rows[i].why);
        gguf_out_free(o);
    }
    struct err e = { 0 };
    struct gguf_out *o = gguf_out_new();
    CHECK(!gguf_out_write(o, "/tmp/tenon-no-such-folder/x.gguf", &e) && e.code == ERR_IO, "%s",
          e.msg);
    gguf_out_u32(o, "general.alignment", 3);
    CHECK(!gguf_out_write(o, temp_path(), &e) && strstr(e.msg, "alignment"), "%s", e.msg);
    gguf_out_free(o);
}

/* ---- files made by others ---- */

static float *unpack_all(const struct tensor *t, int64_t *n)
{
    *n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    float *x = mem_alloc((size_t)*n * sizeof *x);
    dtype_info(t->dtype)->unpack(t->data, x, (size_t)*n);
    return x;
}

/* Relative error of one quantised file against the F16 file of the same weights, ours beside it. */
static void compare(const struct gguf *from, const struct gguf *g, double *theirs, double *ours)
{
    double num = 0, own = 0, all = 0;
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor(g, i), *s = gguf_find(from, t->name);
        if (!s || dtype_info(t->dtype)->block == 1) continue;
        int64_t n, m;
        float *x = unpack_all(s, &m), *y = unpack_all(t, &n);
        uint8_t *packed = mem_alloc(t->bytes);
        dtype_info(t->dtype)->pack(x, NULL, packed, (size_t)n);
        float *z = mem_alloc((size_t)n * sizeof *z);
        dtype_info(t->dtype)->unpack(packed, z, (size_t)n);
        for (int64_t k = 0; k < n && n == m; k++) {
            num += pow((double)x[k] - (double)y[k], 2);
            own += pow((double)x[k] - (double)z[k], 2);
            all += pow((double)x[k], 2);
        }
        mem_free(x);
        mem_free(y);
        mem_free(z);
        mem_free(packed);
    }
    *theirs = all > 0 ? sqrt(num / all) : INFINITY;
    *ours = all > 0 ? sqrt(own / all) : INFINITY;
}

TEST(quantised_files_of_others_unpack_close_to_their_source)
{
    static const struct { const char *type; double most; } rows[] = {
        { "Q8_0", 0.0056 }, { "Q4_0", 0.0865 }, { "Q4_1", 0.079 }, { "Q5_0", 0.043 }, { "Q5_1", 0.038 },
        { "IQ4_NL", 0.078 }, { "IQ4_XS", 0.078 }, { "Q2_K", 0.30 }, { "Q3_K_M", 0.135 }, { "Q4_K_M", 0.065 },
        { "Q5_K_M", 0.033 }, { "Q6_K", 0.018 },
    };
    struct err e = { 0 };
    const char *path = shared_path("fixtures/models/lfm2-mini-F16.gguf");
    if (!path) SKIP("no ../shared/fixtures/models here");
    struct gguf *from = gguf_open(path, &e);
    CHECK(from, "%s", e.msg);
    for (size_t i = 0; from && i < LEN(rows); i++) {
        char below[80];
        snprintf(below, sizeof below, "fixtures/models/lfm2-mini-%s.gguf", rows[i].type);
        struct gguf *g = (path = shared_path(below)) ? gguf_open(path, &e) : NULL;
        CHECK(g, "%s: %s", below, e.msg);
        if (!g) continue;
        double theirs, ours;
        compare(from, g, &theirs, &ours);
        CHECK(theirs < rows[i].most, "%s: theirs %.5f", rows[i].type, theirs);
        CHECK(ours < 1.001 * theirs, "%s: ours %.5f, theirs %.5f", rows[i].type, ours, theirs);
        CHECK(gguf_scan(g, &e), "%s", e.msg);
        gguf_close(g);
    }
    gguf_close(from);
}

TEST_MAIN
