/* fuzz_schema.c -- arbitrary bytes as schema and text: the automaton and the plain evaluator must agree.
 *
 * Input: flags byte, schema, newline, text. Checked: validating, the automaton accepts exactly what
 * parses and satisfies the schema; generating, it accepts only such texts, and a walk that the rest
 * of the input steers ends in one within its budget. The same bytes also go through the envelope reader. */
#include <stdlib.h>

#include "grammar/grammar.h"

static struct vocab *bytes_vocab(void)
{
    static char byte[256];
    static struct bytes token[257], special[257];
    static const int32_t eog = 256;
    for (int b = 0; b < 256; b++) { byte[b] = (char)b; token[b] = (struct bytes){ &byte[b], 1 }; }
    struct vocab_spec s = { .n_vocab = 257, .token = token, .special = special, .eog = &eog, .n_eog = 1 };
    return vocab_open(&s, NULL);
}

/* 1 valid, 0 not, -1 nobody can say. */
static int judged(const struct json *schema, const char *text, size_t len, const struct grammar_opts *o)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, len, &e);
    int r = v ? schema_check(schema, v, o, &e) : 0;
    if (v && !r && e.code != ERR_ARG) r = -1;
    json_free(v);
    return r;
}

static bool accepted(const struct grammar *g, const char *text, size_t len)
{
    struct matcher *m = matcher_new(g, NULL, NULL);
    bool ok = matcher_commit_bytes(m, text, len) && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

static void walk(const struct json *schema, const struct grammar *g, const struct vocab *v, const struct grammar_opts *o,
                 const uint8_t *p, size_t n)
{
    struct matcher *m = matcher_new(g, v, NULL);
    struct str out = { 0 };
    uint32_t bits[MASK_WORDS(257)];
    int left = matcher_shortest(m) + 40;
    bool cut, ended = left > 4000;                      /* huge minimum: nothing to see in a short run */
    for (size_t i = 0; !ended; i++, left--) {
        if (!matcher_mask_budget(m, bits, left, &cut)) abort();
        int t = n ? p[i % n] : 0, tries = 0;
        while (!(bits[t / 32] >> (t % 32) & 1) && tries++ < 257) t = (t + 1) % 257;
        if (tries > 256 || !matcher_commit(m, t)) abort();
        if (t < 256) str_putc(&out, (char)t);
        ended = t == 256;
    }
    if (ended && out.len && !grammar_n_relaxed(g) && judged(schema, out.p ? out.p : "", out.len, o) == 0) abort();
    str_done(&out);
    matcher_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vocab *v;
    if (!v) v = bytes_vocab();
    const uint8_t *nl = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    if (!nl || size < 2 || size > 4096) return 0;
    const char *text = (const char *)nl + 1;
    size_t len = size - (size_t)(nl + 1 - data);
    struct err e = { 0 };
    struct json *schema = json_parse((const char *)data + 1, (size_t)(nl - data) - 1, &e);
    struct grammar_opts o = { .spelling = data[0] % 4, .declared_order = data[0] & 4, .relax = data[0] & 8, .validate = true };
    struct grammar *g = schema ? grammar_of_schema(schema, &o, &e) : NULL;
    if (g && !grammar_n_relaxed(g)) {
        int want = judged(schema, text, len, &o);
        if (want >= 0 && accepted(g, text, len) != want) abort();
    }
    grammar_free(g);
    o.validate = false;
    g = schema ? grammar_of_schema(schema, &o, &e) : NULL;
    if (g && !grammar_n_relaxed(g) && accepted(g, text, len) && judged(schema, text, len, &o) == 0) abort();
    if (g) walk(schema, g, v, &o, (const uint8_t *)text, len);
    grammar_free(g);
    char *envelope = mem_dup(data, size);
    envelope[size - 1] = 0;
    struct grammar_pair pair = { "x", schema };
    grammar_free(grammar_compile(envelope, &pair, 1, (const struct json *const *)&schema, schema ? 1 : 0, NULL, NULL));
    mem_free(envelope);
    json_free(schema);
    return 0;
}
