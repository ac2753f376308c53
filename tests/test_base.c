/* test_base.c -- errors, arenas, strings, UTF-8, JSON, threads, random numbers, files. */
#include <pthread.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"
#include "base/json.h"
#include "base/late.h"

TEST(errors_grow_outwards)
{
    struct err e = { 0 };
    CHECK(!err_set(&e, ERR_FORMAT, "dtype %d is unknown", 47), "err_set returns false");
    err_in(&e, "tensor %d", 12);
    err_in(&e, "m.gguf");
    CHECK(!strcmp(e.msg, "m.gguf: tensor 12: dtype 47 is unknown"), "%s", e.msg);
    CHECK(e.code == ERR_FORMAT && err_exit_status(ERR_USAGE) == 2, "codes");
}

TEST(libraries_are_loaded_late)
{
    static const char *const here[] = { "cos", "sqrt" }, *const gone[] = { "cos", "no_such_function" };
    static const struct { const char *file, *const *name; const char *says; } rows[] = {
        { "libm.so.6", here, NULL },
        { "libm.so.6", gone, "libm.so.6 of this machine has no no_such_function" },
        { "libno_such_library.so.1", here, "libno_such_library.so.1 cannot be loaded: " },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        void *at[2] = { NULL, NULL };
        struct late l = { rows[i].file, rows[i].name, at, 2, false };
        struct err e = { 0 };
        bool ok = late_load(&l, &e);
        CHECK(ok == !rows[i].says && l.ready == ok, "row %d: %s", (int)i, e.msg);
        if (ok) CHECK(((double (*)(double))at[1])(9) == 3 && late_load(&l, &e), "what was found is what it says");
        else CHECK(e.code == ERR_UNSUPPORTED && !strncmp(e.msg, rows[i].says, strlen(rows[i].says)), "row %d: %s", (int)i, e.msg);
    }
}

TEST(a_long_error_is_cut_at_a_whole_character)
{
    struct err e = { 0 };
    struct str s = { 0 };
    for (int i = 0; i < 400; i++) str_puts(&s, "é");
    err_set(&e, ERR_ARG, "x%s", s.p);
    CHECK(utf8_valid(e.msg, strlen(e.msg)), "%s", e.msg);
    str_done(&s);
}

TEST(arena_marks_nest)
{
    struct arena a;
    arena_init(&a, 256);
    char *keep = arena_str(&a, "keep", 4);
    for (int round = 0; round < 50; round++) {
        size_t mark = arena_mark(&a);
        for (int i = 0; i < 40; i++) {
            char *p = arena_alloc(&a, (size_t)(i * 37));
            CHECK((uintptr_t)p % 64 == 0, "alignment");
            memset(p, 0xAA, (size_t)(i * 37));
        }
        size_t inner = arena_mark(&a);
        arena_zero(&a, 5000);
        arena_reset(&a, inner);
        CHECK(arena_mark(&a) == inner, "inner mark");
        arena_reset(&a, mark);
        CHECK(arena_mark(&a) == mark, "mark %zu", mark);
    }
    CHECK(!strcmp(keep, "keep"), "below the mark nothing moves");
    arena_done(&a);
}

TEST(what_is_reserved_lies_in_one_block)
{
    static const struct { size_t first, used, want; } row[] = { { 256, 0, 100 }, { 256, 200, 100 }, { 256, 0, 1 << 20 }, { 0, 1000, 3 << 20 } };
    for (size_t i = 0; i < LEN(row); i++) {
        struct arena a;
        arena_init(&a, row[i].first);
        if (row[i].used) arena_alloc(&a, row[i].used);
        for (int round = 0; round < 3; round++) {
            size_t mark = arena_mark(&a), had;
            arena_reserve(&a, row[i].want);
            CHECK(arena_mark(&a) == mark, "row %zu: nothing is handed out yet", i);
            had = arena_bytes(&a);
            char *p = arena_alloc(&a, row[i].want / 2), *q = arena_alloc(&a, row[i].want - row[i].want / 2);
            CHECK((size_t)(q - p) < row[i].want / 2 + 64 && arena_bytes(&a) == had, "row %zu: two places %td apart", i, q - p);
            arena_reset(&a, mark);
            CHECK(arena_bytes(&a) == had, "row %zu, round %d: %zu bytes held, then %zu", i, round, had, arena_bytes(&a));
        }
        arena_done(&a);
    }
}

static const struct { const char *why, *text, *error; } json_rows[] = {
    { "object", "{\"a\": [1, -0.5e+3, \"x\\u00e9\\ud83d\\ude00\"], \"b\": null}", NULL },
    { "scalar", " true ", NULL },
    { "big integer", "123456789012345678901234567890", NULL },
    { "empty", "", "byte 0: expected a JSON value, got the end" },
    { "trailing comma", "[1,]", "byte 3: expected a JSON value, got ']'" },
    { "trailing comma in object", "{\"a\":1,}", "byte 7: expected a key in double quotes, got '}'" },
    { "two values", "1 2", "byte 2: expected nothing more after the value, got '2'" },
    { "leading zero", "[01]", "byte 1: a number must not begin with 0" },
    { "NaN", "NaN", "byte 0: expected a JSON value, got 'N'" },
    { "comment", "/* */ 1", "byte 0: expected a JSON value, got '/'" },
    { "single quotes", "{'a':1}", "byte 1: expected a key in double quotes, got '''" },
    { "control character", "\"a\nb\"", "byte 2: a control character inside a string must be escaped" },
    { "lone surrogate", "\"\\ud800x\"", "byte 2: a high surrogate without its low one" },
    { "bad escape", "\"\\x41\"", "byte 1: unknown escape; \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX are accepted" },
    { "bad utf-8", "\"\xc3(\"", "byte 1: not valid UTF-8" },
    { "same key twice", "{\"a\":1,\"b\":2,\"\\u0061\":3}", "byte 13: the same key a second time in one object" },
    { "same key in two objects", "[{\"a\":1},{\"a\":2,\"b\":{\"a\":3}}]", NULL },
    { "same key twice among many", "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,"
      "\"f\":1,\"g\":1,\"h\":[{\"1\":1}],\"4\":{}}", "byte 111: the same key a second time in one object" },
    { "U+0000 in a key", "{\"a\":1,\"b\\u0000\":[2]}", "byte 7: a key must not hold \\u0000" },
    { "escaped key", "{\"\\ud83d\\ude00\\n\":1}", NULL },
    { "bad value behind good ones", "{\"a\":[1,{\"b\":2},\"x\"],\"c\":nul}", "byte 25: expected a JSON value, got 'n'" },
    { "unclosed string", "[\"abc", "byte 1: a string that begins here has no end" },
    { "unclosed object", "{\"a\":1", "byte 6: expected ',' or '}', got the end" },
};

TEST(json_is_strict_and_says_where)
{
    for (size_t i = 0; i < LEN(json_rows); i++) {
        struct err e = { 0 };
        struct json *v = json_parse(json_rows[i].text, strlen(json_rows[i].text), &e);
        if (!json_rows[i].error) CHECK(v, "%s: %s", json_rows[i].why, e.msg);
        else CHECK(!v && !strcmp(e.msg, json_rows[i].error), "%s: %s", json_rows[i].why, e.msg);
        json_free(v);
    }
}

TEST(json_depth_is_bounded)
{
    struct str s = { 0 };
    struct err e = { 0 };
    for (int i = 0; i < 100000; i++) str_putc(&s, '[');
    CHECK(!json_parse(s.p, s.len, &e) && e.code == ERR_FORMAT, "%s", e.msg);
    str_clear(&s);
    for (int i = 0; i < JSON_DEPTH; i++) str_putc(&s, '[');
    for (int i = 0; i < JSON_DEPTH; i++) str_putc(&s, ']');
    struct json *v = json_parse(s.p, s.len, &e);
    CHECK(v, "%s", e.msg);
    json_free(v);
    str_done(&s);
}

static const struct { const char *text, *compact, *python; } write_rows[] = {
    { "{\"b\": 1, \"a\": [true, null]}", "{\"b\":1,\"a\":[true,null]}", "{\"b\": 1, \"a\": [true, null]}" },
    { "[1.0, 1.50, 1e2, 1E20, 0.00001, 100000.0]", "[1.0,1.50,1e2,1E20,0.00001,100000.0]", "[1.0, 1.5, 100.0, 1e+20, 1e-05, 100000.0]" },
    { "[-0, -0.0, 12345678901234567890123]", "[-0,-0.0,12345678901234567890123]", "[0, -0.0, 12345678901234567890123]" },
    { "\"\\u0041\\/\\u0001\\n\\\"é\\u007f\"", "\"A/\\u0001\\n\\\"é\x7f\"", "\"A/\\u0001\\n\\\"é\x7f\"" },
    { "{}", "{}", "{}" }, { "[]", "[]", "[]" },
    { "1e16", "1e16", "1e+16" }, { "9999999999999998.0", "9999999999999998.0", "9999999999999998.0" }, { "0.1", "0.1", "0.1" },
};

TEST(json_writes_what_it_read)
{
    for (size_t i = 0; i < LEN(write_rows); i++) {
        struct str c = { 0 }, p = { 0 };
        struct json *v = json_parse(write_rows[i].text, strlen(write_rows[i].text), NULL), *w = json_copy(v);
        json_free(v);
        json_write(&c, w, JSON_COMPACT);
        json_write(&p, w, JSON_PYTHON);
        CHECK(!strcmp(c.p, write_rows[i].compact), "%s: %s", write_rows[i].text, c.p);
        CHECK(!strcmp(p.p, write_rows[i].python), "%s: %s", write_rows[i].text, p.p);
        json_free(w);
        str_done(&c);
        str_done(&p);
    }
}

static const struct { const char *a, *b; bool eq; } equal_rows[] = {
    { "1", "1.0", true }, { "10e-1", "1", true }, { "100", "1e2", true }, { "0", "-0.0", true }, { "1", "2", false },
    { "9007199254740993", "9007199254740992", false }, { "1", "true", false }, { "{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}", true },
    { "[1,2]", "[2,1]", false }, { "\"a\\u0000b\"", "\"a\"", false }, { "null", "null", true }, { "{}", "[]", false },
};

TEST(json_equality_is_by_value)
{
    for (size_t i = 0; i < LEN(equal_rows); i++) {
        struct json *a = json_parse(equal_rows[i].a, strlen(equal_rows[i].a), NULL);
        struct json *b = json_parse(equal_rows[i].b, strlen(equal_rows[i].b), NULL);
        CHECK(json_equal(a, b) == equal_rows[i].eq, "%s = %s", equal_rows[i].a, equal_rows[i].b);
        json_free(a);
        json_free(b);
    }
}

TEST(json_integers_are_exact)
{
    static const struct { const char *text; bool ok; int64_t v; } rows[] = {
        { "3", true, 3 }, { "-3.0", true, -3 }, { "3e2", true, 300 }, { "3.5", false, 0 }, { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 }, { "9223372036854775807", true, INT64_MAX }, { "1e400", false, 0 }, { "0e9", true, 0 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *v = json_parse(rows[i].text, strlen(rows[i].text), NULL);
        int64_t got = 0;
        bool ok = json_i64(v, &got);
        CHECK(ok == rows[i].ok && got == rows[i].v, "%s: %d %lld", rows[i].text, ok, (long long)got);
        json_free(v);
    }
}

/* Few members are searched one by one, many have a table. */
TEST(json_says_where_a_member_stands)
{
    static const int sizes[] = { 0, 1, 3, 16, 17, 40 };
    for (size_t k = 0; k < LEN(sizes); k++) {
        struct str s = { 0 };
        str_puts(&s, "{");
        for (int i = 0; i < sizes[k]; i++) str_fmt(&s, "%s\"name%d\":%d", i ? "," : "", i, i);
        str_puts(&s, "}");
        struct json *v = json_parse(s.p, s.len, NULL);
        for (int i = 0; i < sizes[k]; i++) {
            char name[16];
            int n = snprintf(name, sizeof name, "name%d!", i);
            CHECK(json_place(v, name, (size_t)n - 1) == (size_t)i, "%d of %d", i, sizes[k]);
            CHECK(json_place(v, name, (size_t)n) == SIZE_MAX, "%d of %d, one letter more", i, sizes[k]);
        }
        CHECK(json_place(v, "", 0) == SIZE_MAX, "no name, %d members", sizes[k]);
        json_free(v);
        str_done(&s);
    }
    CHECK(json_place(NULL, "a", 1) == SIZE_MAX, "nothing has no members");
}

TEST(json_null_is_a_value)
{
    struct json *o = json_new_object();
    json_set(o, "a", json_new_null());
    CHECK(json_get(o, "a") && json_is(json_get(o, "a"), JSON_NULL) && !json_get(o, "b"), "null and absent differ");
    json_free(o);
}

static void add_keys(struct json *o, int from, int to)
{
    char key[16];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_set(o, key, json_new_int(i));
    }
}

/* The keys of o, each at its place with its number: from step by step. */
static bool has_keys(const struct json *o, int from, int to, int step)
{
    struct json_iter it = json_iter(o);
    char key[16];
    int64_t n;
    for (int i = from; i < to; i += step) {
        snprintf(key, sizeof key, "k%d", i);
        if (!json_next(&it) || strcmp(it.key, key) || json_get(o, key) != it.value || !json_i64(it.value, &n) || n != i) return false;
    }
    return !json_next(&it) && !json_get(o, "none");
}

TEST(json_objects_keep_order_at_any_size)
{
    static const int sizes[] = { 0, 1, 15, 16, 17, 33, 400 };         /* on both sides of where a table is made */
    for (size_t i = 0; i < LEN(sizes); i++) {
        int n = sizes[i];
        struct str text = { 0 };
        struct json *made = json_new_object();
        add_keys(made, 0, n);
        CHECK(has_keys(made, 0, n, 1), "%d keys set", n);
        json_write(&text, made, JSON_COMPACT);
        struct json *read = json_parse(text.p, text.len, NULL);
        CHECK(read && has_keys(read, 0, n, 1) && json_equal(read, made), "%d keys read", n);
        add_keys(read, n, n + 40);
        CHECK(has_keys(read, 0, n + 40, 1), "%d keys read, 40 set", n);
        add_keys(read, 0, n + 40);
        CHECK(has_keys(read, 0, n + 40, 1), "%d keys replaced in their places", n + 40);
        char key[16];
        for (int k = 1; k < n + 40; k += 2) {
            snprintf(key, sizeof key, "k%d", k);
            json_unset(read, key);
        }
        CHECK(has_keys(read, 0, n + 40, 2), "each second of %d taken out", n + 40);
        struct json *twin = json_copy(read);
        json_free(read);
        CHECK(has_keys(twin, 0, n + 40, 2), "a copy of %d", n + 40);
        json_free(twin);
        json_free(made);
        str_done(&text);
    }
}

/* Parts of one tree are shared and freed by several threads; each has values of its own to look at. */
static void *share_parts(void *ctx)
{
    const struct json *root = ctx;
    for (size_t i = 0; i < 2000; i++) {
        struct json *part = json_share(json_at(root, i % json_len(root))), *list = json_new_array();
        json_push(list, part);
        json_free(list);
    }
    return NULL;
}

TEST(json_parts_outlive_the_rest)
{
    struct str text = { 0 };
    str_putc(&text, '[');
    for (int i = 0; i < 3000; i++) str_fmt(&text, "%s{\"n\":%d,\"text\":\"%0*d\"}", i ? "," : "", i, i % 5 ? i % 50 + 1 : 5000, i);
    str_putc(&text, ']');
    struct json *root = json_parse(text.p, text.len, NULL), *part[30];
    pthread_t thread[3];
    CHECK(root && json_len(root) == 3000, "read");
    for (size_t i = 0; i < LEN(part); i++) part[i] = json_share(json_at(root, i * 100));
    for (size_t i = 0; i < LEN(thread); i++) pthread_create(&thread[i], NULL, share_parts, root);
    for (size_t i = 0; i < LEN(thread); i++) pthread_join(thread[i], NULL);
    json_free(root);
    for (size_t i = 0; i < LEN(part); i++) {
        int64_t n = -1;
        size_t len;
        const char *p = json_str(json_get(part[i], "text"), &len);
        CHECK(json_i64(json_get(part[i], "n"), &n) && n == (int64_t)i * 100 && p && (size_t)atol(p) == i * 100 && len == 5000, "part %zu", i);
        json_free(part[i]);
    }
    str_done(&text);
}

TEST(utf8_is_strict)
{
    static const struct { const char *s; bool ok; } rows[] = {
        { "aé€😀", true }, { "\xc0\x80", false }, { "\xed\xa0\x80", false }, { "\xf4\x90\x80\x80", false }, { "\xe2\x82", false }, { "\x80", false },
    };
    for (size_t i = 0; i < LEN(rows); i++) CHECK(utf8_valid(rows[i].s, strlen(rows[i].s)) == rows[i].ok, "row %zu", i);
    CHECK(utf8_whole("a\xe2\x82", 3) == 1 && utf8_whole("a\xe2\x82\xac", 4) == 4 && utf8_whole("é\xf0", 3) == 2, "whole characters");
    for (uint32_t cp = 1; cp < 0x110000; cp += 97) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        char b[4];
        int n = utf8_put(b, cp), m;
        CHECK(utf8_next(b, b + n, &m) == (int32_t)cp && m == n, "U+%04X", cp);
    }
}

TEST(base64_is_strict)
{
    static const struct { const char *bytes, *text; } rows[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
                                                                 { "\xff\xfe\xfd", "//79" } };
    static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====", "Zm9 ", "Zm-v", "Zm9vYg=" };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct str t = { 0 }, back = { 0 };
        base64_put(&t, rows[i].bytes, strlen(rows[i].bytes));
        CHECK(!strcmp(t.p ? t.p : "", rows[i].text), "row %zu: %s", i, t.p);
        CHECK(base64_read(&back, rows[i].text, strlen(rows[i].text)) && !strcmp(back.p ? back.p : "", rows[i].bytes), "row %zu: back", i);
        str_done(&t), str_done(&back);
    }
    for (size_t i = 0; i < LEN(bad); i++) {
        struct str out = { 0 };
        CHECK(!base64_read(&out, bad[i], strlen(bad[i])) && !out.len, "'%s' is not base64", bad[i]);
        str_done(&out);
    }
}

static void count(void *ctx, int thread, int n_thread)
{
    _Atomic int *hits = ctx;
    hits[thread]++;
}

TEST(sha256_is_the_standards)
{
    static const struct { size_t n; const char *text, *hex; } rows[] = {                /* FIPS 180-4 and NIST's vectors */
        { 0, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { 3, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { 56, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    char hex[65], million[1000];
    for (size_t i = 0; i < LEN(rows); i++) {
        sha256_hex(rows[i].text, rows[i].n, hex);
        CHECK(!strcmp(hex, rows[i].hex), "%zu bytes: %s", rows[i].n, hex);
    }
    memset(million, 'a', sizeof million);
    static const struct { size_t n; const char *hex; } as[] = {                          /* around the ends of a block; hashlib says so */
        { 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" }, { 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34" },
        { 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" }, { 1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3" } };
    for (size_t i = 0; i < LEN(as); i++) {
        sha256_hex(million, as[i].n, hex);
        CHECK(!strcmp(hex, as[i].hex), "%zu: %s", as[i].n, hex);
    }
}

/* What threads are to read soon is anything: nothing of it is read. */
TEST(pool_runs_every_thread_once_a_round)
{
    struct err e = { 0 };
    struct pool *p = pool_open(4, &e);
    _Atomic int hits[4] = { 0 };
    for (int i = 0; i < 2000; i++) {
        const struct bytes soon[] = { { "x", 1 }, { (const char *)8, 100000 }, { (const char *)hits, sizeof hits }, { NULL, 0 } };
        for (int t = 0; t < 6 && i % 2; t++) pool_soon(p, t, soon[(i / 2 + t) % 4]);
        pool_run(p, count, hits);
        if (i % 500 == 0) usleep(3000);                               /* long enough for workers to fall asleep */
    }
    for (int i = 0; i < 4; i++) CHECK(hits[i] == 2000, "thread %d ran %d times", i, hits[i]);
    pool_close(p);
}

TEST(rng_is_a_function_of_its_key)
{
    struct rng a = rng_make(1, 2, 3), b = rng_make(1, 2, 3), c = rng_make(1, 2, 4);
    uint64_t x = rng_u64(&a);
    CHECK(x == rng_u64(&b) && x != rng_u64(&c), "same key same number");
    int seen[7] = { 0 };
    for (int i = 0; i < 70000; i++) seen[rng_below(&a, 7)]++;
    for (int i = 0; i < 7; i++) CHECK(seen[i] > 9600 && seen[i] < 10400, "%d: %d", i, seen[i]);
    double sum = 0, sq = 0;
    for (int i = 0; i < 100000; i++) {
        double v = rng_normal(&a);
        sum += v;
        sq += v * v;
    }
    CHECK(sum / 1e5 < 0.02 && sum / 1e5 > -0.02 && sq / 1e5 > 0.97 && sq / 1e5 < 1.03, "mean %g variance %g", sum / 1e5, sq / 1e5);
}

TEST(files_appear_whole)
{
    char path[] = "/tmp/tenon-test-XXXXXX";
    int fd = mkstemp(path);
    close(fd);
    struct err e = { 0 };
    CHECK(file_write(path, "hello", 5, &e), "%s", e.msg);
    struct map m;
    for (unsigned flags = 0; flags <= (MAP_COPY | MAP_LOCK); flags++) {
        CHECK(map_open(&m, path, flags, &e) && m.size == 5 && !memcmp(m.data, "hello", 5), "flags %u: %s", flags, e.msg);
        if (flags < (MAP_COPY | MAP_LOCK)) map_close(&m);
    }
    map_close(&m);
    struct file_out o;
    CHECK(file_out_open(&o, path, &e), "%s", e.msg);
    file_out_put(&o, "new", 3);
    file_out_abort(&o);
    struct str s = { 0 };
    CHECK(file_read(path, &s, &e) && s.len == 5, "an aborted write leaves the old content");
    str_done(&s);
    unlink(path);
    CHECK(!map_open(&m, path, 0, &e) && e.code == ERR_IO, "%s", e.msg);
}

/* A thread goes through the pages; it may be anywhere when the mapping is closed, or not be there at all. */
TEST(a_mapping_is_read_ahead_until_it_is_closed)
{
    char path[] = "/tmp/tenon-test-XXXXXX";
    int fd = mkstemp(path);
    size_t size = ((size_t)9 << 20) + 123;
    struct err e = { 0 };
    CHECK(ftruncate(fd, (off_t)size) == 0 && pwrite(fd, "end", 3, (off_t)size - 3) == 3, "written");
    close(fd);
    for (int i = 0; i < 40; i++) {
        struct map m;
        CHECK(map_open(&m, path, i % 4 == 3 ? MAP_COPY : 0, &e), "%s", e.msg);
        map_prefetch(&m);
        if (i & 1) map_prefetch(&m);
        if (i & 2) CHECK(!memcmp(m.data + size - 3, "end", 3) && !m.data[size / 2], "content");
        map_close(&m);
        CHECK(!m.data && !m.size, "nothing is left");
    }
    unlink(path);
}

TEST(writing_replaces_nothing_but_files)
{
    char dir[] = "/tmp/tenon-test-XXXXXX", file[64], link[64], pipe[64], got[8] = "";
    struct err e = { 0 };
    struct stat st;
    struct str s = { 0 };
    CHECK(mkdtemp(dir), "%s", dir);
    snprintf(file, sizeof file, "%s/file", dir), snprintf(link, sizeof link, "%s/link", dir), snprintf(pipe, sizeof pipe, "%s/pipe", dir);
    CHECK(file_write(file, "old", 3, &e) && !chmod(file, 0640) && !symlink("file", link) && !mkfifo(pipe, 0600), "%s", e.msg);
    CHECK(file_write(link, "new", 3, &e), "%s", e.msg);
    CHECK(!lstat(link, &st) && S_ISLNK(st.st_mode), "a link stays a link");
    CHECK(!lstat(file, &st) && (st.st_mode & 0777) == 0640 && file_read(file, &s, &e) && !strcmp(s.p, "new"), "what it leads to is new, with its mode");
    int fd = open(pipe, O_RDWR | O_NONBLOCK);
    CHECK(fd >= 0 && file_write(pipe, "hello", 5, &e) && read(fd, got, sizeof got) == 5 && !memcmp(got, "hello", 5), "a pipe is written to: %s", e.msg);
    CHECK(!lstat(pipe, &st) && S_ISFIFO(st.st_mode), "and stays one");
    CHECK(!file_write(dir, "x", 1, &e) && strstr(e.msg, dir) && strstr(e.msg, "is a folder"), "%s", e.msg);
    close(fd);
    unlink(file), unlink(link), unlink(pipe);
    CHECK(!rmdir(dir), "nothing else is left");
    str_done(&s);
}

TEST(a_slab_that_memory_cannot_hold_is_refused_with_both_numbers)
{
    struct err e = { 0 };
    size_t left = mem_available();
    if (!left) SKIP("no /proc/meminfo here");
    CHECK(!mem_slab(left + ((size_t)8 << 30), &e) && e.code == ERR_NOMEM && strstr(e.msg, "no memory for ") && strstr(e.msg, " GiB are free"), "%s", e.msg);
    void *p = mem_slab((size_t)1 << 20, &e);
    CHECK(p, "%s", e.msg);
    mem_slab_free(p, (size_t)1 << 20);
}

TEST_MAIN
