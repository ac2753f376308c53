/* fuzz_tokenizer.c -- three ways in, by the first byte: the rest is a whole vocabulary file, or text for a
 * small vocabulary of our own of either kind, where decode(encode(x)) must be x. */
#include <stdlib.h>
#include <unistd.h>

#include "text/text.h"

static struct tokenizer *small_bpe, *small_spm;
static struct gguf *file_bpe, *file_spm;                          /* stay open as long as we run */

static void put_list(struct gguf_out *o, const char *key, const char *const *list, size_t n)
{
    struct bytes b[512];
    for (size_t i = 0; i < n; i++) b[i] = (struct bytes){ list[i], strlen(list[i]) };
    gguf_out_strs(o, key, b, n);
}

static struct tokenizer *open_small(struct gguf_out *o, struct gguf **file)
{
    char path[64];
    struct err e = { 0 };
    struct tokenizer *t = NULL;
    snprintf(path, sizeof path, "/tmp/tenon-fuzz-%d.gguf", (int)getpid());
    if (!gguf_out_write(o, path, &e) || !(*file = gguf_open(path, &e)) || !(t = tok_open(*file, &e))) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    unlink(path);
    gguf_out_free(o);
    return t;
}

/* The 256 bytes as mapped characters, a few merges, one control and one user-defined token. */
static void make_bpe(void)
{
    static char text[258][8];
    static const char *token[264];
    static int32_t type[264];
    static const char *const more[] = { "<s>", "<u>", "ab", "abc", "\xc4\xa0\x61", "aa" };
    static const char *const merge[] = { "a b", "ab c", "\xc4\xa0 a", "a a" };
    struct gguf_out *o = gguf_out_new();
    int n = 0;
    for (int b = 0, c = 256; b < 256; b++, n++) {
        bool own = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        text[n][utf8_put(text[n], (uint32_t)(own ? b : c++))] = 0;
        token[n] = text[n];
        type[n] = 1;
    }
    for (size_t i = 0; i < LEN(more); i++, n++) token[n] = more[i], type[n] = i == 0 ? 3 : i == 1 ? 4 : 1;
    gguf_out_str(o, "tokenizer.ggml.model", "gpt2", 4);
    gguf_out_str(o, "tokenizer.ggml.pre", "lfm2", 4);
    put_list(o, "tokenizer.ggml.tokens", token, (size_t)n);
    put_list(o, "tokenizer.ggml.merges", merge, LEN(merge));
    gguf_out_i32s(o, "tokenizer.ggml.token_type", type, (size_t)n);
    small_bpe = open_small(o, &file_bpe);
}

/* The 256 byte tokens, pieces, some unused or with characters that are none, and one control token. */
static void make_spm(void)
{
    static const struct { const char *text; float score; int type; } more[] = {
        { "<unk>", 0, 2 }, { "<s>", 0, 3 }, { "\xe2\x96\x81", -9, 1 }, { "a", -9, 1 }, { "b", -9, 1 }, { "ab", -1, 1 }, { "ba", -1, 1 },
        { "aab", -3, 5 }, { "aa", -2, 1 }, { "aaaa", -1, 1 }, { "\xe2\x96\x81\x61", -2, 1 }, { "\xe2\x96\x81\xe2\x96\x81", -4, 1 },
        { "xa", -5, 1 }, { "xx", -2, 5 }, { "\xc3\xa9", -9, 1 }, { "\xc3\xa9x", -2, 1 }, { "bb", -2, 5 } };
    static char text[256][8];
    const char *token[300];
    float score[300] = { 0 };
    int32_t type[300];
    struct gguf_out *o = gguf_out_new();
    int n = 0;
    for (size_t i = 0; i < LEN(more); i++, n++) token[n] = more[i].text, score[n] = more[i].score, type[n] = more[i].type;
    for (int b = 0; b < 256; b++, n++) {
        snprintf(text[b], sizeof text[b], "<0x%02X>", (unsigned)b);
        token[n] = text[b];
        type[n] = 6;
    }
    gguf_out_str(o, "tokenizer.ggml.model", "llama", 5);
    put_list(o, "tokenizer.ggml.tokens", token, (size_t)n);
    gguf_out_f32s(o, "tokenizer.ggml.scores", score, (size_t)n);
    gguf_out_i32s(o, "tokenizer.ggml.token_type", type, (size_t)n);
    small_spm = open_small(o, &file_spm);
}

static void round_trip(const struct tokenizer *t, const char *s, size_t len, bool exact)
{
    struct ids ids = { 0 };
    struct str back = { 0 };
    struct err e = { 0 };
    if (!tok_encode(t, s, len, 0, &ids, &e)) abort();
    tok_decode(t, ids.id, ids.n, &back);
    if (exact && (back.len != len || (len && memcmp(back.p, s, len)))) abort();
    ids.n = 0;
    tok_encode(t, s, len, TOK_ADD | TOK_SPECIAL, &ids, &e);
    mem_free(ids.id);
    str_done(&back);
}

static void whole_file(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello w\xc3\xb6rld <|im_end|>  123\n\n\xff";
    struct err e = { 0 };
    struct gguf *g = gguf_open_mem(data, size, "fuzz", &e);
    struct tokenizer *t = g ? tok_open(g, &e) : NULL;
    if (t) round_trip(t, text, sizeof text - 1, false);
    tok_close(t);
    gguf_close(g);
}

/* U+2581 reads as a space. */
static bool has_space_sign(const char *s, size_t len) { return memmem(s, len, "\xe2\x96\x81", 3) != NULL; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_level = LOG_ERROR;
    if (!small_bpe) make_bpe();
    if (!small_spm) make_spm();
    if (!size) return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    if (data[0] % 3 == 0) whole_file(data + 1, len);
    else if (data[0] % 3 == 1) round_trip(small_bpe, text, len, true);
    else round_trip(small_spm, text, len, !has_space_sign(text, len));
    return 0;
}
