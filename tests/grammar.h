/* grammar.h -- what the tests of the grammar room share: schemas from text, and a small made-up vocabulary (every byte, pieces
 * of JSON, pieces of words, tokens that cut code points). */
#ifndef TENON_TEST_GRAMMAR_H
#define TENON_TEST_GRAMMAR_H

#include "grammar/grammar.h"
#include "test.h"

static inline struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    if (!v) fprintf(stderr, "test data: %s: %s\n", text, e.msg);
    return v;
}

static inline struct grammar *compile(const char *schema, const struct grammar_opts *o, struct err *e)
{
    struct json *s = parse(schema);
    struct grammar *g = s ? grammar_of_schema(s, o, e) : NULL;
    json_free(s);
    return g;
}

static inline bool accepts(const struct grammar *g, const char *text)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, NULL, &e);
    bool ok = m && matcher_commit_bytes(m, text, strlen(text)) && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

#define SP "\x01"                                       /* the special token of the test vocabulary */
static struct { char text[600][24]; struct bytes token[600], special[600]; int n; } voc;

static inline void voc_add(const char *s, size_t n)
{
    memcpy(voc.text[voc.n], s, n);
    voc.token[voc.n] = (struct bytes){ voc.text[voc.n], n };
    voc.n++;
}

/* Every byte, then pieces; the last three ids are a marker, another marker and the end of turn. */
static inline struct vocab *vocab(void)
{
    static const char *const pieces[] = {
        "{\"", "\":", "\": ", "\",", "\", ", "\", \"", "\",\"", "\"}", "\"}}", "\"]", "[\"", "\"a", "a\"", "\"\"", "{}", "[]", "}}", "}]", "]}", ", ", ": ", ",\"",
        "name", "arg", "ume", "argum", "room", "roo", "kit", "chen", "kitchen", "on", "off", "true", "false", "null", "True", "False", "None", "tr", "ue", "12",
        "100", "10", "00", "-1", "1.", "0.5", ".5", "e", "12,", "3}", "1]", "\\n", "\\\"", "\\u00", "\\\\", "\xc3\xa4", "\xe2\x82", "\x82\xac", "\xf0\x9f", "\x98\x80",
        "a\xc3", " the", "the ", "hello", "  ", "\n", "\n\n", "call", "(", ")", "=", "=\"", "(\"", "\")", "x=", "a=1", "aa", "ab", "abc", "colour", "col", "red", "green",
        "]\n", "\"x\": 1", "{\"a\":1", "{\"a\": ", "\"b\"", "<f", "<f=", "f=", "=a", "get_", "set_", "light", "\x80", "\xbf", "dark", "95", "103", "\\t", "\\x0", "{\"name\":\"",
        "\",\"arguments\":", "\",\"arguments\":{\"", "\":\"", "\":{", "\":[", "1,2", "0.0", "1e", "e1", "E+", "[[", "]]", "[{", "{\"\"" };
    voc.n = 0;
    memset(voc.special, 0, sizeof voc.special);
    for (int b = 0; b < 256; b++) voc_add((char[]){ (char)b }, 1);
    for (size_t i = 0; i < LEN(pieces); i++) voc_add(pieces[i], strlen(pieces[i]));
    voc_add("aa", 2);                                   /* a second id with the same bytes */
    static const char *const specials[] = { "<|call|>", "<|end|>", "<|im_end|>" };
    for (size_t i = 0; i < LEN(specials); i++) {
        voc.token[voc.n] = (struct bytes){ 0 };
        voc.special[voc.n++] = (struct bytes){ specials[i], strlen(specials[i]) };
    }
    int32_t eog = voc.n - 1;
    struct vocab_spec s = { .n_vocab = voc.n + 5, .token = voc.token, .special = voc.special, .eog = &eog, .n_eog = 1 };
    struct err e = { 0 };
    struct vocab *v = vocab_open(&s, &e);
    CHECK(v, "%s", e.msg);
    return v;
}

static inline int special_id(int i) { return voc.n - 3 + i; }  /* 0 <|call|>, 1 <|end|>, 2 end of turn */

/* ---- envelopes ------------------------------------------------------------------------------- */

static const char lfm2_json[] =
    "root = text(@\"<|call|>\") | @\"<|call|>\" \"[\" call (\", \" call)* \"]\" @\"<|end|>\";"
    "call = each { \"{\\\"name\\\":\\\"\" name \"\\\",\\\"arguments\\\":\" value(json) \"}\" };";
static const char pythonic[] = "@\"<|call|>\" \"[\" each { name \"(\" value(python-arguments) \")\" } \"]\" @\"<|end|>\"";

static inline struct grammar *tools(const char *envelope, const char *const *name, const char *const *schema, int n, const struct grammar_opts *o, struct err *e)
{
    struct grammar_pair pair[16];
    struct json *s[16];
    for (int i = 0; i < n; i++) pair[i] = (struct grammar_pair){ name[i], s[i] = parse(schema[i]) };
    struct grammar *g = grammar_compile(envelope, pair, n, NULL, 0, o, e);
    for (int i = 0; i < n; i++) json_free(s[i]);
    return g;
}

/* Text with \x01 \x02 for the markers; \x03 the end of turn. */
static inline bool accepts_marked(const struct grammar *g, const struct vocab *v, const char *text)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, v, &e);
    bool ok = m != NULL;
    for (; ok && *text; text++) {
        if (*text > 3) ok = matcher_commit_bytes(m, text, 1);
        else ok = matcher_commit(m, special_id(*text - 1));
    }
    ok = ok && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

#endif
