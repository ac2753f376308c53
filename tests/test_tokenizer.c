/* test_tokenizer.c -- byte-level BPE against published vectors and the rule of merging; what holds for any vocabulary:
 * long runs, threads. SPM has a file of its own (test_spm.c). */
#include "vocab.h"

/* ---- tokenizer ------------------------------------------------------------------------------------------ */

static void check_vectors(const char *name)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char below[128];
    struct err e = { 0 };
    struct str in = { 0 }, want = { 0 };
    snprintf(below, sizeof below, "fixtures/tokenizers/ggml-vocab-%s.gguf", name);
    const char *path = shared_path(below);
    if (!path) SKIP("%s is not there", below);
    char file[1100];
    struct gguf *g = gguf_open(path, &e);
    struct tokenizer *t = g ? tok_open(g, &e) : NULL;
    CHECK(t, "%s", e.msg);
    snprintf(file, sizeof file, "%s.inp", path);
    CHECK(file_read(file, &in, &e), "%s", e.msg);
    snprintf(file, sizeof file, "%s.out", path);
    CHECK(file_read(file, &want, &e), "%s", e.msg);
    int n = 0;
    char *line = want.p;
    for (char *p = in.p, *stop; t && (stop = strstr(p, mark)); p = stop + sizeof mark - 1, n++) {
        struct ids ids = { 0 };
        struct str back = { 0 };
        CHECK(tok_encode(t, p, (size_t)(stop - p), 0, &ids, &e), "%s", e.msg);
        size_t i = 0;
        char *end = strchr(line, '\n');
        for (char *q = line; q < end; i++) {
            long id = strtol(q, &q, 10);
            while (q < end && *q == ' ') q++;
            CHECK(i < ids.n && ids.id[i] == id, "%s text %d: token %zu is %d instead of %ld", name, n, i, i < ids.n ? ids.id[i] : -1, id);
        }
        CHECK(i == ids.n, "%s text %d: %zu tokens instead of %zu", name, n, ids.n, i);
        ids_text(t, &ids, &back);
        CHECK(back.len == (size_t)(stop - p) && !memcmp(back.p ? back.p : "", p, back.len), "%s text %d: decoded text differs", name, n);
        line = end + 1;
        mem_free(ids.id);
        str_done(&back);
    }
    CHECK(n == 46, "%d texts", n);
    tok_close(t);
    gguf_close(g);
    str_done(&in);
    str_done(&want);
}

TEST(vectors_llama_spm) { check_vectors("llama-spm"); }
TEST(vectors_llama_bpe) { check_vectors("llama-bpe"); }
TEST(vectors_qwen2) { check_vectors("qwen2"); }
TEST(vectors_gpt2) { check_vectors("gpt-2"); }

TEST(text_is_split_as_the_family_does)
{
    static const struct { const char *pre, *text, *pieces; } list[] = {
        { "lfm2", "Hello world", "Hello| world" },
        { "lfm2", "I'LL we'Ve it's", "I|'LL| we|'Ve| it|'s" },
        { "gpt-2", "I'LL it's", "I|'|LL| it|'s" },
        { "lfm2", "12345 67", "123|45| |67" },
        { "qwen2", "123", "1|2|3" },
        { "gpt-2", "a 123", "a| 123" },
        { "lfm2", "a   b", "a|  | b" },
        { "lfm2", "a \n\n  b\n", "a| \n\n| | b|\n" },
        { "lfm2", "x = {\"a\":1}\n\n", "x| =| {\"|a|\":|1|}\n\n" },
        { "lfm2", "\xc5\xbf'\xc5\xbf", "\xc5\xbf|'\xc5\xbf" },
        { "lfm2", "\xe1\xa0\x8e" "a", "\xe1\xa0\x8e" "a" },
        { "lfm2", "a\xff\xfe" "b\xe2\x82", "a|\xff\xfe|b|\xe2\x82" },
        { "lfm2", "\t\tx  ", "\t|\tx|  " },
        { "lfm2", "\xe3\x80\x80 x", "\xe3\x80\x80| x" },
    };
    for (size_t i = 0; i < LEN(list); i++) {
        struct err e = { 0 };
        struct str got = { 0 };
        struct split *s = split_open(list[i].pre, strlen(list[i].pre), &e);
        struct split_walk w = { .s = s, .p = list[i].text, .end = list[i].text + strlen(list[i].text) };
        for (struct bytes b; s && split_next(&w, &b);) {
            if (got.len) str_putc(&got, '|');
            str_put(&got, b.p, b.len);
        }
        CHECK(got.p && !strcmp(got.p, list[i].pieces), "%s of \"%s\": %s", list[i].pre, list[i].text, got.p ? got.p : "");
        str_done(&got);
        split_close(s);
    }
}

/* Pieces of plain text are found by hand, the others by the pattern; which way must not matter. */
TEST(pieces_by_hand_are_those_of_the_pattern)
{
    static const char *const kinds[] = { "llama-bpe", "qwen2", "gpt-2" };
    static const char *const scraps[] = { "a", "Zq", "'s", "'S", "'rE", "'ll", "'L", "'", "1", "12", "345", " ", "  ", "\t", "\n", "\r\n", "\v", "!", "\"{", "_", "\x01", "\x7f",
        "\xc3\xa9", "\xd9\xa3", "\xc2\xa0", "\xe3\x80\x80", "\xe2\x82\xac", "\xc5\xbf", "\xff", "don't", "x's" };
    enum { TEXTS = SANITIZED ? 2000 : 20000 };
    for (size_t k = 0; k < LEN(kinds); k++) {
        struct err e = { 0 };
        struct str s = { 0 };
        struct split *split = split_open(kinds[k], strlen(kinds[k]), &e);
        for (uint64_t i = 0; i < TEXTS; i++) {
            struct rng r = rng_make(23, k, i);
            str_clear(&s);
            str_put(&s, "", i % 100 == 7);                            /* a NUL byte now and then */
            for (uint32_t n = rng_below(&r, 12) + 1, plain = i % 3 ? 22 : (uint32_t)LEN(scraps); n; n--) str_puts(&s, scraps[rng_below(&r, plain)]);
            struct split_walk a = { .s = split, .p = s.p, .end = s.p + s.len }, b = { .s = split, .p = s.p, .end = s.p + s.len, .pattern_only = true };
            struct bytes x, y;
            bool more = true;
            while (more) {
                bool ma = split_next(&a, &x), mb = split_next(&b, &y);
                more = ma && mb;
                CHECK(ma == mb && (!ma || (x.p == y.p && x.len == y.len)), "%s: \"%s\" at %zu: %d or %d bytes", kinds[k], s.p, (size_t)(x.p - s.p), (int)x.len, (int)y.len);
                if (ma != mb || (ma && x.len != y.len)) break;
            }
        }
        str_done(&s);
        split_close(split);
    }
}

TEST(encode_and_decode_are_inverse_on_any_bytes)
{
    static const char *const pres[] = { "lfm2", "gpt-2", "qwen2" };
    for (size_t k = 0; k < LEN(pres); k++) {
        struct recipe r = lfm2_recipe;
        struct err e = { 0 };
        r.pre = pres[k];
        struct made m = make(&r, &e);
        CHECK(m.t, "%s", e.msg);
        for (uint64_t i = 0; m.t && i < 3000; i++) {
            struct rng g = rng_make(3, i, k);
            char s[64];
            size_t n = rng_below(&g, sizeof s);
            for (size_t j = 0; j < n; j++) s[j] = rng_below(&g, 3) ? (char)("helo wrd<|'\n"[rng_below(&g, 12)]) : (char)rng_below(&g, 256);
            struct ids ids = { 0 };
            struct str back = { 0 };
            CHECK(tok_encode(m.t, s, n, 0, &ids, &e), "%s", e.msg);
            ids_text(m.t, &ids, &back);
            CHECK(back.len == n && !memcmp(back.p ? back.p : "", s, n), "%s, case %d", pres[k], (int)i);
            mem_free(ids.id);
            str_done(&back);
        }
        unmake(&m);
    }
}

/* The rule itself, slowly: the lowest rank anywhere, the leftmost of equals, until none is left. */
static size_t merge_slowly(const struct tokenizer *t, int32_t *id, size_t n)
{
    for (;;) {
        int32_t best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            int32_t rank = merge_find(t, id[i], id[i + 1]);
            if (rank >= 0 && (best < 0 || rank < best)) best = rank, at = i;
        }
        if (best < 0) return n;
        id[at] = t->merge[best].ab;
        memmove(id + at + 1, id + at + 2, (--n - at - 1) * sizeof *id);
    }
}

/* What a merge makes is the first token of that text, wherever it stands: behind that of the merge before, elsewhere, twice,
 * beside one that only looks like it. */
TEST(a_merge_makes_the_first_token_of_its_text)
{
    static const char *const more[] = { "ab", "bc", "abc", "bc", "abc", "cd", "abcd" };
    static const char *const lines[] = { "a b", "b c", "a bc", "ab c", "c d", "abc d" };
    static const char *const makes[] = { "ab", "bc", "abc", "abc", "cd", "abcd" };
    struct recipe r = { .pre = "gpt-2", .more = more, .n_more = LEN(more), .merge = lines, .n_merge = LEN(lines), .bos = -1 };
    struct err e = { 0 };
    struct made m = make(&r, &e);
    CHECK(m.t && m.t->n_merge == (int)LEN(lines), "%s", e.msg);
    for (size_t i = 0; m.t && i < LEN(makes); i++) {
        int32_t first = 0;
        while (!bytes_eq(m.t->bytes[first], makes[i])) first++;
        CHECK(m.t->merge[i].ab == first, "%s: token %d, must be %d", lines[i], m.t->merge[i].ab, first);
    }
    unmake(&m);
}

TEST(the_heap_merges_as_the_rule_says)
{
    static const char *const more[] = { "aa", "ab", "ba", "aab", "aba", "aaa", "bb", "abab", "aaaa" };
    static const char *const lines[] = { "a b", "a a", "b a", "a ab", "ab a", "aa a", "b b", "ab ab", "aa aa", "a aa" };
    struct recipe r = { .pre = "gpt-2", .more = more, .n_more = LEN(more), .merge = lines, .n_merge = LEN(lines), .bos = -1 };
    struct err e = { 0 };
    struct made m = make(&r, &e);
    CHECK(m.t, "%s", e.msg);
    for (uint64_t i = 0; m.t && i < 3000; i++) {
        struct rng g = rng_make(5, i, 0);
        char s[80];
        int32_t want[80];
        size_t n = 1 + rng_below(&g, sizeof s - 1);
        for (size_t j = 0; j < n; j++) {
            s[j] = "aab"[rng_below(&g, 3)];
            want[j] = m.t->byte_id[(uint8_t)s[j]];
        }
        struct ids ids = { 0 };
        tok_encode(m.t, s, n, 0, &ids, &e);
        size_t n_want = merge_slowly(m.t, want, n);
        CHECK(ids.n == n_want && !memcmp(ids.id, want, n_want * sizeof *want), "%.*s", (int)n, s);
        mem_free(ids.id);
    }
    unmake(&m);
}

TEST(special_tokens_come_only_where_they_are_asked_for)
{
    static const char *const special[] = { "<s>", "</s>", "<u>", "<u><s>", "<unk>" };
    static const int32_t type[] = { TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_USER, TOKEN_CONTROL, TOKEN_UNKNOWN };
    struct recipe r = { .pre = "lfm2", .special = special, .special_type = type, .n_special = LEN(special), .bos = 0 };
    struct err e = { 0 };
    struct made m = make(&r, &e);
    CHECK(m.t, "%s", e.msg);
    if (m.t) {
        check_ids(m.t, "a<s>b", 0, "a < s > b");
        check_ids(m.t, "a<s>b", TOK_SPECIAL, "a <s> b");
        check_ids(m.t, "a<s>b", TOK_SPECIAL | TOK_ADD, "<s> a <s> b");
        check_ids(m.t, "<u><s>", TOK_SPECIAL, "<u><s>");
        check_ids(m.t, "<u><s>", 0, "<u> < s >");
        check_ids(m.t, "<<s><unk>", TOK_SPECIAL, "< <s> <unk>");
        check_ids(m.t, "<unk>", 0, "< u n k >");
        check_ids(m.t, "", TOK_ADD, "<s>");
        CHECK(tok_special(m.t, "<s>") == 0 && tok_special(m.t, "a") < 0, "specials by name");
        CHECK(tok_is_control(m.t, 0) && !tok_is_control(m.t, 2), "user-defined tokens are text");
        CHECK(bytes_eq(tok_bytes(m.t, 2), "<u>") && !tok_bytes(m.t, 0).len, "what they decode to");
        CHECK(tok_is_eog(m.t, 1) && !tok_is_eog(m.t, 0) && !tok_is_eog(m.t, -1), "ends by text");
        CHECK(!tok_bytes(m.t, 99999).len && !tok_is_control(m.t, -5), "ids outside the vocabulary");
    }
    unmake(&m);
}

TEST(a_missing_byte_is_dropped)
{
    struct recipe r = { .pre = "gpt-2", .bos = -1, .skip_bytes = 1 };
    struct err e = { 0 };
    struct made m = make(&r, &e);
    if (m.t) check_ids(m.t, "a\xff" "b", 0, "a b");
    CHECK(m.t, "%s", e.msg);
    unmake(&m);
}

static const char *const no_gap[] = { "ab" }, *const unknown_a[] = { "ab c" }, *const unknown_ab[] = { "x y" };
static const char *const not_mapped[] = { "\xe4\xbd\xa0 a" }, *const empty_parts[] = { " a" }, *const gap_last[] = { "a " };

TEST(broken_vocabularies_are_refused_by_name)
{
    static const struct { const char *why; struct recipe r; const char *says; } list[] = {
        { "no space", { .pre = "lfm2", .merge = no_gap, .n_merge = 1 }, "merges[0]: \"ab\" is not two tokens" },
        { "unknown part", { .pre = "lfm2", .merge = unknown_a, .n_merge = 1 }, "begins with an unknown token" },
        { "unknown result", { .pre = "lfm2", .merge = unknown_ab, .n_merge = 1 }, "makes a token that is not in the vocabulary" },
        { "not byte-level", { .pre = "lfm2", .merge = not_mapped, .n_merge = 1 }, "not written in byte-level" },
        { "empty part", { .pre = "lfm2", .merge = empty_parts, .n_merge = 1 }, "is not two tokens" },
        { "empty part behind", { .pre = "lfm2", .merge = gap_last, .n_merge = 1 }, "is not two tokens" },
        { "token_type too short", { .pre = "lfm2", .n_type = 7 }, "tokenizer.ggml.token_type has 7 entries" },
        { "bos outside", { .pre = "lfm2", .bos = 256 }, "tokenizer.ggml.bos_token_id is 256" },
        { "unknown splitter", { .pre = "tekken" }, "\"tekken\" is not known; known are lfm2" },
        { "other model", { .pre = "lfm2", .model = "bert" }, "tokenizer.ggml.model is \"bert\"" },
    };
    for (size_t i = 0; i < LEN(list); i++) {
        struct err e = { 0 };
        struct made m = make(&list[i].r, &e);
        CHECK(!m.t && strstr(e.msg, list[i].says) && strstr(e.msg, vocab_path()), "%s: %s", list[i].why, e.msg);
        unmake(&m);
    }
}

/* ---- any vocabulary ------------------------------------------------------------------------------------------ */

static void check_runs(const struct tokenizer *t, const char *kind)
{
    static const char *const units[] = { "h", " ", "\n", "<", "\xff", "1", "a", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xe2\x96\x81", "bb" };
    for (size_t i = 0; i < LEN(units); i++) {
        size_t n = 1 << 20, len = strlen(units[i]);
        char *s = mem_alloc(n);
        struct ids ids = { 0 };
        struct err e = { 0 };
        uint64_t t0 = clock_ns();
        for (size_t k = 0; k < n; k++) s[k] = units[i][k % len];
        CHECK(tok_encode(t, s, n, TOK_SPECIAL, &ids, &e), "%s", e.msg);
        CHECK((double)(clock_ns() - t0) / 1e9 < 10, "%s, '%s': %.1f s", kind, units[i], (double)(clock_ns() - t0) / 1e9);
        mem_free(ids.id);
        mem_free(s);
    }
}

TEST(long_runs_are_no_attack)
{
    struct err e = { 0 };
    struct made m = make(&lfm2_recipe, &e);
    CHECK(m.t, "%s", e.msg);
    if (m.t) check_runs(m.t, "BPE");
    unmake(&m);
    m = make_spm(&spm_small, &e);
    CHECK(m.t, "%s", e.msg);
    if (m.t) check_runs(m.t, "SPM");
    unmake(&m);
}

struct race { const struct tokenizer *t; const struct ids *want; const char *text; size_t len; int bad[8]; };

static void race_run(void *ctx, int thread, int n_thread)
{
    struct race *r = ctx;
    for (int i = 0; i < 200; i++) {
        struct ids ids = { 0 };
        struct err e = { 0 };
        tok_encode(r->t, r->text, r->len, 0, &ids, &e);
        if (ids.n != r->want->n || memcmp(ids.id, r->want->id, ids.n * sizeof *ids.id)) r->bad[thread & 7]++;
        mem_free(ids.id);
    }
}

TEST(threads_share_a_tokenizer)
{
    struct err e = { 0 };
    struct made m = make(&lfm2_recipe, &e);
    const char *text = "hello world, hello  hello\nworld wor he hel 123 \xe2\x82\xac hello world";
    struct ids want = { 0 };
    struct pool *p = pool_open(4, &e);
    CHECK(m.t && p, "%s", e.msg);
    if (m.t && p) {
        tok_encode(m.t, text, strlen(text), 0, &want, &e);
        struct race r = { .t = m.t, .want = &want, .text = text, .len = strlen(text) };
        pool_run(p, race_run, &r);
        for (int i = 0; i < 8; i++) CHECK(!r.bad[i], "thread %d: %d differ", i, r.bad[i]);
    }
    mem_free(want.id);
    pool_close(p);
    unmake(&m);
}

TEST_MAIN
