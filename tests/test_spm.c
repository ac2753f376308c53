/* test_spm.c -- SPM vocabularies: scores decide merges, a text begins with a space, bytes without a token. */
#include "vocab.h"

TEST(spm_merges_the_best_scored_pair)
{
    static const struct { const char *why, *text; unsigned flags; const char *want; } list[] = {
        { "score, not length", "abc", TOK_INSIDE, "abc" },
        { "the leftmost of equal scores", "babc", TOK_INSIDE, "b abc" },
        { "the leftmost of equal scores, once", "cabcbc", TOK_INSIDE, "c abc bc" },
        { "pairs of a run from the left", "aaaaa", TOK_INSIDE, "aaaa a" },
        { "a better score that cannot be reached", "aaa", TOK_INSIDE, "aa a" },
        { "a space before the text", "a", 0, U "a" },
        { "the space is merged like any other", "aa", 0, U " aa" },
        { "a space of the text", " a", TOK_INSIDE, U "a" },
        { "both spaces", " a", 0, U " " U "a" },
        { "a word", "hello", 0, U "hello" },
        { "a word inside", "hello", TOK_INSIDE, "hello" },
        { "U+2581 reads as a space", U "a", TOK_INSIDE, U "a" },
        { "an empty text gets no space", "", 0, "" },
        { "two bytes, one character", "\xc3\xa9" "a", TOK_INSIDE, "\xc3\xa9" "a" },
        { "no piece: its bytes", "\xe2\x82\xac", TOK_INSIDE, "<0xE2> <0x82> <0xAC>" },
        { "no piece, though part of some", "x", TOK_INSIDE, "<0x78>" },
        { "what is no piece merges nonetheless", "xa", TOK_INSIDE, "xa" },
        { "two that are no pieces", "yx", TOK_INSIDE, "yx" },
        { "no way leads to it", "axb", TOK_INSIDE, "a <0x78> b" },
        { "the way to it is taken by another", "yxa", TOK_INSIDE, "<0x79> xa" },
        { "not UTF-8", "a\xff\xc3", TOK_INSIDE, "a <0xFF> <0xC3>" },
        { "unused: the parts", "bb", TOK_INSIDE, "b b" },
        { "unused of unused", "bbc", TOK_INSIDE, "b bc" },
        { "unused with a part that is no piece", "eez", TOK_INSIDE, "e e <0x7A>" },
        { "a byte token that names no byte", "q", TOK_INSIDE, "<0x71>" },
        { "no space in pieces", "o c", TOK_INSIDE, "o " U " c" },
        { "control tokens are not made of text", "[I]", TOK_INSIDE, "<0x5B> <0x49> <0x5D>" },
        { "nor are byte tokens", "<0x41>", TOK_INSIDE, "<0x3C> <0x30> <0x78> <0x34> <0x31> <0x3E>" },
    };
    struct err e = { 0 };
    struct made m = make_spm(&spm_small, &e);
    CHECK(m.t, "%s", e.msg);
    for (size_t i = 0; m.t && i < LEN(list); i++) check_ids(m.t, list[i].text, list[i].flags, list[i].want);
    unmake(&m);
}

TEST(spm_begins_a_text_with_a_space)
{
    static const struct { const char *text; unsigned flags; const char *want, *without; } list[] = {
        { "a", TOK_ADD, "<s> " U "a", "<s> a" },
        { "a[I]a", TOK_SPECIAL, U "a [I] " U "a", "a [I] a" },
        { "[I] a", TOK_SPECIAL, "[I] " U " " U "a", "[I] " U "a" },
        { "[I][I]", TOK_SPECIAL | TOK_ADD, "<s> [I] [I]", "<s> [I] [I]" },
        { "[I]a", TOK_SPECIAL | TOK_INSIDE, "[I] " U "a", "[I] a" },
        { "a<u>a", 0, U "a <u> " U "a", "a <u> a" },
        { "a<u>ca", TOK_INSIDE, "a <u>c " U "a", "a <u>c a" },
        { "", TOK_ADD, "<s>", "<s>" },
    };
    for (int k = 0; k < 2; k++) {
        struct err e = { 0 };
        struct spm_recipe r = spm_small;
        r.no_prefix = k;
        struct made m = make_spm(&r, &e);
        CHECK(m.t, "%s", e.msg);
        for (size_t i = 0; m.t && i < LEN(list); i++) {
            check_ids(m.t, list[i].text, list[i].flags, k ? list[i].without : list[i].want);
        }
        unmake(&m);
    }
}

/* The rule itself, slowly and by text: the best score anywhere, the leftmost of equals, until none is left. `at` are the
 * ends of the symbols. */
static size_t spm_merge_slowly(const struct tokenizer *t, const struct spm_token *tok, const char *s, size_t *at, size_t n)
{
    for (;;) {
        int32_t best = -1;
        size_t where = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t from = i ? at[i - 1] : 0;
            int32_t id = strmap_find(&t->plain, s + from, at[i + 1] - from);
            if (id >= 0 && (best < 0 || tok[id].score > tok[best].score)) best = id, where = i;
        }
        if (best < 0) return n;
        memmove(at + where, at + where + 1, (--n - where) * sizeof *at);
    }
}

TEST(spm_merges_as_the_rule_says)
{
    static const struct spm_token token[] = { SPM_NAMED, PIECE("a", -9), PIECE("b", -9), PIECE(U, -9), PIECE("aa", -3), PIECE("ab", -3),
        PIECE("ba", -2), PIECE("aab", -1), PIECE("aba", -3), PIECE("aaa", -2), PIECE("bb", -4), PIECE("abab", 5), PIECE("aaaa", -3),
        PIECE(U "a", -3), PIECE(U "ab", -2), PIECE("b" U, -6), PIECE("xa", -2), PIECE("bx", -2), PIECE("bxa", -7), PIECE(U "x", -1) };
    struct spm_recipe r = { .token = token, .n = LEN(token) };
    struct err e = { 0 };
    struct made m = make_spm(&r, &e);
    CHECK(m.t, "%s", e.msg);
    for (uint64_t i = 0; m.t && i < 4000; i++) {
        struct rng g = rng_make(7, i, 0);
        char s[60];
        size_t at[60], n = 1 + rng_below(&g, sizeof s - 1), k = 0;
        for (size_t j = 0; j < n; j++) s[j] = "aaaabbb xy"[rng_below(&g, 10)], at[j] = j + 1;
        struct ids ids = { 0 };
        tok_encode(m.t, s, n, TOK_INSIDE, &ids, &e);
        size_t n_want = spm_merge_slowly(m.t, token, s, at, n);
        for (size_t j = 0; j < n_want; j++) {
            size_t from = j ? at[j - 1] : 0;
            struct bytes b = k < ids.n ? tok_bytes(m.t, ids.id[k++]) : (struct bytes){ "", 0 };
            CHECK(b.len == at[j] - from && !memcmp(b.p, s + from, b.len), "%.*s: token %zu", (int)n, s, j);
        }
        CHECK(k == ids.n, "%.*s: %zu tokens instead of %zu", (int)n, s, ids.n, k);
        mem_free(ids.id);
    }
    unmake(&m);
}

TEST(spm_writes_a_byte_without_a_token_as_unknown_or_drops_it)
{
    static const struct spm_token token[] = { SPM_NAMED, PIECE("a", -1), PIECE("\xe2", -1), TYPED("<0x7A>", 0, TOKEN_BYTE), PIECE("z", -1), PIECE("zz", -1) };
    static const struct { const char *text, *want; } list[] = {
        { "ab", "a <unk>" }, { "\xe2\x82\xac", "\xe2 <unk> <unk>" }, { " ", "\xe2 <unk> <unk>" }, { "z", "z" }, { "zz", "zz" } };
    static const struct spm_token no_unknown[] = { PIECE("a", -1), TYPED("<s>", 0, TOKEN_CONTROL), TYPED("</s>", 0, TOKEN_CONTROL) };
    struct spm_recipe r = { .token = token, .n = LEN(token), .first_byte = 256 };
    struct err e = { 0 };
    struct made m = make_spm(&r, &e);
    CHECK(m.t, "%s", e.msg);
    for (size_t i = 0; m.t && i < LEN(list); i++) check_ids(m.t, list[i].text, TOK_INSIDE, list[i].want);
    unmake(&m);
    r.token = no_unknown;
    r.n = LEN(no_unknown);
    m = make_spm(&r, &e);
    CHECK(m.t, "%s", e.msg);
    if (m.t) check_ids(m.t, "ab", TOK_INSIDE, "a");
    unmake(&m);
}

TEST(spm_decodes_tokens_to_text)
{
    static const struct { const char *token[4], *want; } list[] = {
        { { U "hello" }, "hello" }, { { "<s>", U "hello" }, " hello" }, { { U "hello", U "hello" }, "hello hello" },
        { { U U, "a" }, " a" }, { { "[I]", U }, " " }, { { U }, "" }, { { "a", "<0x20>", "<0xFF>" }, "a \xff" },
        { { "<u>", "<unk>", "</s>", "bb" }, "<u>bb" } };
    struct err e = { 0 };
    struct made m = make_spm(&spm_small, &e);
    CHECK(m.t, "%s", e.msg);
    for (size_t i = 0; m.t && i < LEN(list); i++) {
        struct ids ids = { 0 };
        struct str got = { 0 };
        for (size_t k = 0; k < LEN(list[i].token) && list[i].token[k]; k++)
            for (int32_t id = 0; id < tok_n_vocab(m.t); id++)
                if (bytes_eq(tok_text(m.t, id), list[i].token[k])) ids_put(&ids, id);
        ids_text(m.t, &ids, &got);
        CHECK(!strcmp(got.p ? got.p : "", list[i].want), "row %zu: \"%s\"", i, got.p ? got.p : "");
        str_done(&got);
        mem_free(ids.id);
    }
    if (m.t) {
        CHECK(tok_bos(m.t) == 1 && tok_adds_bos(m.t) && tok_is_eog(m.t, 2) && !tok_is_eog(m.t, 1), "ends");
        CHECK(tok_is_control(m.t, 0) && tok_special(m.t, "[I]") > 0 && tok_special(m.t, "a") < 0, "specials");
    }
    unmake(&m);
}

TEST(spm_loses_no_byte)
{
    struct err e = { 0 };
    struct made m = make_spm(&spm_small, &e);
    CHECK(m.t, "%s", e.msg);
    for (uint64_t i = 0; m.t && i < 3000; i++) {
        struct rng g = rng_make(11, i, 0);
        char s[64];
        size_t n = rng_below(&g, sizeof s);
        for (size_t j = 0; j < n; j++) s[j] = rng_below(&g, 3) ? "abchelo  xyz[I]"[rng_below(&g, 15)] : (char)rng_below(&g, 256);
        for (size_t j = 0; j + 2 < n; j++) s[j + 2] = memcmp(s + j, U, 3) ? s[j + 2] : 'a';   /* would read as a space */
        struct ids ids = { 0 };
        struct str back = { 0 };
        CHECK(tok_encode(m.t, s, n, 0, &ids, &e), "%s", e.msg);
        ids_text(m.t, &ids, &back);
        CHECK(back.len == n && !memcmp(back.p ? back.p : "", s, n), "case %d", (int)i);
        mem_free(ids.id);
        str_done(&back);
    }
    unmake(&m);
}

TEST(spm_files_without_types_are_read_by_their_texts)
{
    struct spm_recipe r = { .token = spm_tokens, .n = 12, .no_type = true };
    struct err e = { 0 };
    struct made m = make_spm(&r, &e);
    CHECK(m.t, "%s", e.msg);
    if (m.t) {
        CHECK(tok_bos(m.t) == 1 && tok_is_eog(m.t, 2), "bos and eos");
        check_ids(m.t, "a?", TOK_ADD, "<s> " U " a <0x3F>");
    }
    unmake(&m);
}

static const struct spm_token no_piece[] = { SPM_NAMED, PIECE("", -1), PIECE("", -1), TYPED("", 0, TOKEN_CONTROL), TYPED("", 0, TOKEN_USER),
    TYPED("", 0, TOKEN_BYTE), TYPED("<0xzz>", 0, TOKEN_BYTE), TYPED("<0x0a>", 0, TOKEN_BYTE), PIECE("a", 0), PIECE("a", -1), PIECE("aa", 9),
    PIECE("aa", 10), PIECE("\xe2", 0), PIECE("\xe2\x96", 0), PIECE("a\xf0", 0), TYPED("", 0, TOKEN_UNUSED), TYPED("q", 0, TOKEN_UNUSED) };

static const struct spm_token type_7[] = { TYPED("a", 0, 7) };

TEST(odd_spm_files_work_or_are_refused_by_name)
{
    static const struct { const char *why; struct spm_recipe r; const char *says; } list[] = {
        { "no scores", { .token = spm_tokens, .n = 12, .n_score = -1 }, "tokenizer.ggml.scores" },
        { "scores too short", { .token = spm_tokens, .n = 12, .n_score = 7 }, "tokenizer.ggml.scores has 7 entries and tokenizer.ggml.tokens 268" },
        { "unknown outside", { .token = spm_tokens, .n = 12, .unknown = 268 }, "tokenizer.ggml.unknown_token_id is 268" },
        { "type outside", { .token = type_7, .n = 1 }, "tokenizer.ggml.token_type" },
        { "bos outside", { .token = spm_tokens, .n = 1, .first_byte = 256 }, "tokenizer.ggml.bos_token_id is 1" },
        { "nothing but specials", { .token = spm_tokens, .n = 3, .first_byte = 256 }, NULL },
        { "empty, doubled and broken tokens", { .token = no_piece, .n = LEN(no_piece), .first_byte = 128 }, NULL },
    };
    for (size_t i = 0; i < LEN(list); i++) {
        struct err e = { 0 };
        struct ids ids = { 0 };
        struct made m = make_spm(&list[i].r, &e);
        if (list[i].says) CHECK(!m.t && strstr(e.msg, list[i].says) && strstr(e.msg, vocab_path()), "%s: %s", list[i].why, e.msg);
        else CHECK(m.t, "%s: %s", list[i].why, e.msg);
        for (int k = 0; m.t && k < 2; k++) tok_encode(m.t, "aaa q\xe2\x96\xf0<s>\xff", 11, k ? TOK_ADD | TOK_SPECIAL : 0, &ids, &e);
        mem_free(ids.id);
        unmake(&m);
    }
}

TEST(a_token_too_long_to_be_taken_apart_is_refused)
{
    struct err e = { 0 };
    char text[600];
    const struct spm_token unused = PIECE("a", 0);
    memset(text, 'a', sizeof text);
    struct gguf_out *o = gguf_out_new();
    const char *path = "/tmp/tenon-test-long.gguf";
    gguf_out_str(o, "tokenizer.ggml.model", "llama", 5);
    gguf_out_strs(o, "tokenizer.ggml.tokens", (struct bytes[]){ { text, sizeof text } }, 1);
    gguf_out_f32s(o, "tokenizer.ggml.scores", &unused.score, 1);
    CHECK(gguf_out_write(o, path, &e), "%s", e.msg);
    gguf_out_free(o);
    struct gguf *g = gguf_open(path, &e);
    CHECK(g && !tok_open(g, &e) && strstr(e.msg, "tokenizer.ggml.tokens[0] has 600 bytes"), "%s", e.msg);
    gguf_close(g);
    unlink(path);
}

TEST_MAIN
