/* fuzz_envelope.c -- arbitrary bytes as envelope text, GBNF or pattern: whatever compiles can be walked.
 *
 * Input: a byte that says which syntax and how tight the budget is, the text, a newline of the kind \0,
 * then bytes that steer the walk. Checked: no crash, errors are sentences, no empty mask, masks agree
 * with trying tokens, the budget is kept, and what the walk wrote is accepted byte by byte again. */
#include <stdlib.h>

#include "grammar/grammar.h"

enum { N_VOCAB = 263, EOG = 262 };

/* Every byte, a few pieces that lie across borders, two special tokens, the end. */
static struct vocab *small_vocab(void)
{
    static char byte[256];
    static struct bytes token[N_VOCAB], special[N_VOCAB];
    static const struct bytes more[] = { { "ab", 2 }, { "\":", 2 }, { "<f=a", 4 }, { "\xc3\xa4x", 3 } };
    static const int32_t eog = EOG;
    for (int b = 0; b < 256; b++) {
        byte[b] = (char)b;
        token[b] = (struct bytes){ &byte[b], 1 };
    }
    for (size_t i = 0; i < LEN(more); i++) token[256 + i] = more[i];
    special[260] = (struct bytes){ "<x>", 3 };
    special[261] = (struct bytes){ "<|y|>", 5 };
    struct vocab_spec s = { .n_vocab = N_VOCAB, .token = token, .special = special, .eog = &eog, .n_eog = 1 };
    return vocab_open(&s, NULL);
}

static void walk(const struct grammar *g, const struct vocab *v, int spare, const uint8_t *p, size_t n)
{
    struct matcher *m = matcher_new(g, v, NULL), *again = NULL;
    if (!m) return;                                     /* a special token that the vocabulary lacks */
    again = matcher_fork(m);
    uint32_t bits[MASK_WORDS(N_VOCAB)];
    int left = matcher_shortest(m) + spare;
    bool cut, ended = left > 2000;                      /* a long way: nothing to see in a short run */
    for (size_t i = 0; !ended; i++, left--) {
        if (!matcher_mask_budget(m, bits, left, &cut)) abort();
        int t = n ? p[i % n] : 0, tries = 0;
        if (n && p[i % n] > 250) t = 256 + p[i % n] - 250;
        while (!(bits[t / 32] >> (t % 32) & 1) && tries++ < N_VOCAB) t = (t + 1) % N_VOCAB;
        if (tries > N_VOCAB || !matcher_check(m, t) || !matcher_commit(m, t)) abort();
        if (t >= 260) { if (!matcher_commit(again, t)) abort(); }
        else for (int k = 0; k < (t < 256 ? 1 : t == 258 ? 4 : t == 259 ? 3 : 2); k++) {
            static const char *const more[] = { "ab", "\":", "<f=a", "\xc3\xa4x" };
            char c = t < 256 ? (char)t : more[t - 256][k];
            if (!matcher_commit_bytes(again, &c, 1)) abort();
        }
        if (matcher_shortest(again) != matcher_shortest(m)) abort();
        ended = t == EOG;
    }
    matcher_free(m);
    matcher_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vocab *v;
    static struct json *any;
    if (!v) v = small_vocab();
    if (!any) any = json_parse("{}", 2, NULL);
    if (size < 2 || size > 2048) return 0;
    size_t len = strnlen((const char *)data + 1, size - 1);
    char *text = mem_zero(len + 1);
    memcpy(text, data + 1, len);
    struct err e = { 0 };
    struct grammar_pair pair[2] = { { "ab", any }, { "abc", any } };
    const struct json *schema = any;
    int syntax = data[0] % 3;
    struct grammar *g = syntax == 0   ? grammar_compile(text, pair, 2, &schema, 1, NULL, &e)
                        : syntax == 1 ? grammar_of_gbnf(text, NULL, &e)
                                      : grammar_of_regex(text, NULL, &e);
    if (!g && (!e.code || !e.msg[0])) abort();
    if (g) walk(g, v, data[0] / 3 % 16, data + 1 + len, size - 1 - len);
    grammar_free(g);
    mem_free(text);
    return 0;
}
