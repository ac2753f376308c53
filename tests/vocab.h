/* vocab.h -- vocabularies written where a test wants them: byte-level BPE with the specials of LFM2, and SPM with scores.
 * A file lies in /tmp under the number of the process until unmake. */
#ifndef TENON_TEST_VOCAB_H
#define TENON_TEST_VOCAB_H

#include <unistd.h>

#include "test.h"
#include "text/int.h"

/* ---- vocabularies made for the test ----------------------------------------------------------------- */

struct made { struct gguf *g; struct tokenizer *t; };

/* Tokens: the specials, the 256 bytes as mapped characters, then `more`. */
struct recipe {
    const char *pre, *model;
    const char *const *special; const int32_t *special_type; int n_special;
    const char *const *more; int n_more;
    const char *const *merge; int n_merge;
    int n_type;                                                       /* entries of token_type; 0: all, -1: key absent */
    int bos;                                                          /* -1: none */
    int skip_bytes;                                                   /* leave the last so many bytes out */
};

static inline void put_strings(struct gguf_out *o, const char *key, char list[][32], int n)
{
    struct bytes *b = mem_alloc(((size_t)n + 1) * sizeof *b);
    for (int i = 0; i < n; i++) b[i] = (struct bytes){ list[i], strlen(list[i]) };
    gguf_out_strs(o, key, b, (size_t)n);
    mem_free(b);
}

static inline void write_vocab(const struct recipe *r, const char *path)
{
    static char text[2048][32];
    int32_t type[2048];
    int n = 0;
    struct err e = { 0 };
    struct gguf_out *o = gguf_out_new();
    for (int i = 0; i < r->n_special; i++, n++) {
        snprintf(text[n], sizeof text[n], "%s", r->special[i]);
        type[n] = r->special_type ? r->special_type[i] : TOKEN_CONTROL;
    }
    for (int b = 0; b < 256 - r->skip_bytes; b++, n++) {
        char utf8[4];
        int len = utf8_put(utf8, byte_to_char((uint8_t)b));
        snprintf(text[n], sizeof text[n], "%.*s", len, utf8);
        type[n] = TOKEN_NORMAL;
    }
    for (int i = 0; i < r->n_more; i++, n++) {
        snprintf(text[n], sizeof text[n], "%s", r->more[i]);
        type[n] = TOKEN_NORMAL;
    }
    gguf_out_str(o, "tokenizer.ggml.model", r->model ? r->model : "gpt2", strlen(r->model ? r->model : "gpt2"));
    gguf_out_str(o, "tokenizer.ggml.pre", r->pre, strlen(r->pre));
    put_strings(o, "tokenizer.ggml.tokens", text, n);
    for (int i = 0; i < r->n_merge; i++) snprintf(text[i], sizeof text[i], "%s", r->merge[i]);
    put_strings(o, "tokenizer.ggml.merges", text, r->n_merge);
    if (r->n_type >= 0) gguf_out_i32s(o, "tokenizer.ggml.token_type", type, (size_t)(r->n_type ? r->n_type : n));
    if (r->bos >= 0) gguf_out_u32(o, "tokenizer.ggml.bos_token_id", (uint32_t)r->bos);
    CHECK(gguf_out_write(o, path, &e), "%s", e.msg);
    gguf_out_free(o);
}

static inline const char *vocab_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/tenon-test-%d.gguf", (int)getpid());
    return path;
}

static inline struct made vocab_open(struct err *e)
{
    struct made m = { .g = gguf_open(vocab_path(), e) };
    m.t = m.g ? tok_open(m.g, e) : NULL;
    return m;
}

static inline struct made make(const struct recipe *r, struct err *e)
{
    write_vocab(r, vocab_path());
    return vocab_open(e);
}

static inline void unmake(struct made *m)
{
    tok_close(m->t);
    gguf_close(m->g);
    unlink(vocab_path());
}

static const char *const lfm2_specials[] = { "<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_response_start|>",
    "<|tool_response_end|>" };
static const char *const words[] = { "he", "hel", "lo", "\xc4\xa0w", "or", "\xc4\xa0wor", "ld", "hello" };
static const char *const merges[] = { "h e", "he l", "l o", "\xc4\xa0 w", "o r", "\xc4\xa0w or", "l d", "hel lo" };
static const struct recipe lfm2_recipe = { .pre = "lfm2", .special = lfm2_specials, .n_special = LEN(lfm2_specials),
    .more = words, .n_more = LEN(words), .merge = merges, .n_merge = LEN(merges), .bos = 1 };

static inline void ids_text(const struct tokenizer *t, const struct ids *ids, struct str *out)
{
    tok_decode(t, ids->id, ids->n, out);
}

/* The texts of the tokens, a space between them. */
static inline void check_ids(const struct tokenizer *t, const char *text, unsigned flags, const char *want)
{
    struct ids ids = { 0 };
    struct str got = { 0 };
    struct err e = { 0 };
    CHECK(tok_encode(t, text, strlen(text), flags, &ids, &e), "%s", e.msg);
    for (size_t i = 0; i < ids.n; i++) {
        struct bytes b = tok_text(t, ids.id[i]);
        str_fmt(&got, "%s%.*s", i ? " " : "", (int)b.len, b.p);
    }
    CHECK(!strcmp(got.p ? got.p : "", want), "%s: %s", text, got.p ? got.p : "");
    str_done(&got);
    mem_free(ids.id);
}

/* ---- SPM vocabularies --------------------------------------------------------------------------------------- */

#define U "\xe2\x96\x81"                                              /* stands for a space */
#define TYPED(t, s, ty) { t, s, ty }
#define PIECE(t, s) { t, s, TOKEN_NORMAL }
#define SPM_NAMED { "<unk>", 0, TOKEN_UNKNOWN }, { "<s>", 0, TOKEN_CONTROL }, { "</s>", 0, TOKEN_CONTROL }

struct spm_token { const char *text; float score; int type; };
/* Tokens: those of the list, then the bytes from `first_byte` on (256: none). */
struct spm_recipe {
    const struct spm_token *token; int n;
    int first_byte;
    int n_score;                                                      /* entries of scores; 0: all, -1: key absent */
    bool no_type;                                                     /* token_type absent, and the ids of bos and eos */
    bool no_prefix;                                                   /* add_space_prefix is false */
    int unknown;                                                      /* unknown_token_id; 0: absent */
};

static inline void write_spm(const struct spm_recipe *r, const char *path)
{
    static char text[1024][32];
    float score[1024];
    int32_t type[1024];
    int n = 0;
    struct err e = { 0 };
    struct gguf_out *o = gguf_out_new();
    for (int i = 0; i < r->n; i++, n++) {
        snprintf(text[n], sizeof text[n], "%s", r->token[i].text);
        score[n] = r->token[i].score;
        type[n] = r->token[i].type;
    }
    for (int b = r->first_byte; b < 256; b++, n++) {
        snprintf(text[n], sizeof text[n], "<0x%02X>", (unsigned)b);
        score[n] = 0;
        type[n] = TOKEN_BYTE;
    }
    gguf_out_str(o, "tokenizer.ggml.model", "llama", 5);
    gguf_out_str(o, "tokenizer.ggml.pre", "default", 7);
    put_strings(o, "tokenizer.ggml.tokens", text, n);
    if (r->n_score >= 0) gguf_out_f32s(o, "tokenizer.ggml.scores", score, (size_t)(r->n_score ? r->n_score : n));
    if (!r->no_type) {
        gguf_out_i32s(o, "tokenizer.ggml.token_type", type, (size_t)n);
        gguf_out_u32(o, "tokenizer.ggml.bos_token_id", 1);
        gguf_out_u32(o, "tokenizer.ggml.eos_token_id", 2);
    }
    if (r->no_prefix) gguf_out_bool(o, "tokenizer.ggml.add_space_prefix", false);
    if (r->unknown) gguf_out_u32(o, "tokenizer.ggml.unknown_token_id", (uint32_t)r->unknown);
    CHECK(gguf_out_write(o, path, &e), "%s", e.msg);
    gguf_out_free(o);
}

static inline struct made make_spm(const struct spm_recipe *r, struct err *e)
{
    write_spm(r, vocab_path());
    return vocab_open(e);
}

static const struct spm_token spm_tokens[] = { SPM_NAMED,
    PIECE(U, -50), PIECE("a", -51), PIECE("b", -52), PIECE("c", -53), PIECE("h", -54), PIECE("e", -55), PIECE("l", -56), PIECE("o", -57),
    PIECE("ab", -1), PIECE("bc", -1), PIECE("abc", -9), PIECE("aa", -3), PIECE("aaaa", -2), PIECE(U "a", -4), PIECE(U U, -5),
    PIECE("he", -6), PIECE("ll", -7), PIECE("hell", -8), PIECE(U "hello", -10), PIECE("hello", -9.5f),
    PIECE("\xc3\xa9", -58), PIECE("\xc3\xa9" "a", -3.5f), PIECE("xa", -11), PIECE("yx", -12), PIECE("axb", -13),
    TYPED("[I]", 0, TOKEN_CONTROL), TYPED("<u>", 0, TOKEN_USER), TYPED("<u>c", 0, TOKEN_USER), TYPED("bb", -3, TOKEN_UNUSED),
    TYPED("bbc", -14, TOKEN_UNUSED), TYPED("ee", -3, TOKEN_UNUSED), TYPED("eez", -4, TOKEN_UNUSED), PIECE("o c", 0), TYPED("q", 0, TOKEN_BYTE) };
static const struct spm_recipe spm_small = { .token = spm_tokens, .n = LEN(spm_tokens) };

#endif
