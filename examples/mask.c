/* mask.c -- Tenon's grammars with a model of your own: here a vocabulary of letters and a dice.
 *
 *     cc mask.c $(pkg-config --cflags --libs tenon) -o mask && ./mask [seed]
 *
 * Where a real engine would sample from logits, this one draws uniformly among the tokens that the
 * mask allows; the output satisfies the schema all the same, and ends within the budget. */
#include <stdio.h>
#include <stdlib.h>
#include <tenon.h>

#define N_BYTE 256
static const char *const pieces[] = { "{\"", "\":", "\",\"", "\"}", "room", "kitchen", "bright", "ness", "10", "true" };
enum { N_PIECE = sizeof pieces / sizeof *pieces, END = N_BYTE + N_PIECE, N_VOCAB };

static const char schema[] =
    "{\"type\": \"object\", \"required\": [\"room\", \"brightness\"], \"additionalProperties\": false, \"properties\": {"
    "   \"room\": {\"enum\": [\"kitchen\", \"hall\"]}, \"on\": {\"type\": \"boolean\"},"
    "   \"brightness\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 100}}}";

/* Every byte is a token, so that every text can be written; then a few longer ones, then the end of the turn. */
static struct tn_vocab *vocabulary(struct tn_error *error)
{
    static char byte[N_BYTE];
    static const char *bytes[N_VOCAB];
    static size_t len[N_VOCAB];
    const int32_t end = END;
    for (int t = 0; t < END; t++) {
        if (t < N_BYTE) byte[t] = (char)t;
        bytes[t] = t < N_BYTE ? &byte[t] : pieces[t - N_BYTE];
        for (len[t] = 1; t >= N_BYTE && bytes[t][len[t]]; ) len[t]++;
    }
    struct tn_vocab_spec spec = { .n_vocab = N_VOCAB, .bytes = bytes, .len = len, .end = &end, .n_end = 1 };
    return tn_vocab_open(&spec, error);
}

static int draw(const uint32_t *bits)
{
    int n = 0, pick = -1;
    for (int t = 0; t < N_VOCAB; t++)
        if (bits[t / 32] >> (t % 32) & 1 && rand() % ++n == 0) pick = t;
    return pick;
}

int main(int argc, char **argv)
{
    struct tn_error error;
    uint32_t bits[TN_MASK_WORDS(N_VOCAB)];
    srand(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    struct tn_vocab *vocab = vocabulary(&error);
    struct tn_grammar *grammar = vocab ? tn_grammar_from_schema(schema, NULL, &error) : NULL;
    struct tn_matcher *matcher = grammar ? tn_matcher_new(grammar, vocab, &error) : NULL;
    if (!matcher) fprintf(stderr, "mask: %s\n", error.message);
    for (int left = 80; matcher && tn_matcher_mask_budget(matcher, bits, left, NULL); left--) {
        int t = draw(bits);
        if (t < 0) break;                               /* the turn has ended */
        tn_matcher_commit(matcher, t);
        if (t < N_BYTE) putchar(t);
        else if (t < END) fputs(pieces[t - N_BYTE], stdout);
    }
    putchar('\n');
    bool ok = matcher && tn_matcher_finished(matcher);
    tn_matcher_free(matcher);
    tn_grammar_free(grammar);
    tn_vocab_close(vocab);
    return ok ? 0 : 1;
}
