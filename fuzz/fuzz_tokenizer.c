/* fuzz_tokenizer.c -- two ways in, by the first byte: the rest is a whole vocabulary file, or text for a
 * small vocabulary of our own, where decode(encode(x)) must be x. */
#include <stdlib.h>
#include <unistd.h>

#include "text/text.h"

static struct tokenizer *small;
static struct gguf *small_file;

static void put_list(struct gguf_out *o, const char *key, const char *const *list, size_t n)
{
    struct bytes b[512];
    for (size_t i = 0; i < n; i++) b[i] = (struct bytes){ list[i], strlen(list[i]) };
    gguf_out_strs(o, key, b, n);
}

/* The 256 bytes as mapped characters, a few merges, one control and one user-defined token. */
static void make_small(void)
{
    static char text[258][8];
    static const char *token[264];
    static int32_t type[264];
    static const char *const more[] = { "<s>", "<u>", "ab", "abc", "\xc4\xa0\x61", "aa" };
    static const char *const merge[] = { "a b", "ab c", "\xc4\xa0 a", "a a" };
    char path[64];
    struct err e = { 0 };
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
    snprintf(path, sizeof path, "/tmp/tenon-fuzz-%d.gguf", (int)getpid());
    if (!gguf_out_write(o, path, &e) || !(small_file = gguf_open(path, &e)) || !(small = tok_open(small_file, &e))) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    unlink(path);
    gguf_out_free(o);
}

static void round_trip(const struct tokenizer *t, const char *s, size_t len, bool exact)
{
    struct ids ids = { 0 };
    struct str back = { 0 };
    struct err e = { 0 };
    if (!tok_encode(t, s, len, 0, &ids, &e)) abort();
    for (size_t i = 0; i < ids.n; i++) {
        struct bytes b = tok_bytes(t, ids.id[i]);
        str_put(&back, b.p, b.len);
    }
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_level = LOG_ERROR;
    if (!small) make_small();
    if (!size) return 0;
    if (data[0] & 1) round_trip(small, (const char *)data + 1, size - 1, true);
    else whole_file(data + 1, size - 1);
    return 0;
}
