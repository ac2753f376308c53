/* test_envelope.c -- envelope text, GBNF and patterns: which outputs they accept, and the call formats
 * of real model families under every tool choice.
 *
 * Texts of the tables mark special tokens by bytes: \x01 \x02 … are the specials of the vocabulary in
 * order, so that a special token and its text can be told apart. Random walks under masks and budgets
 * then look for empty masks, wrong masks and budgets that run out. */
#include "grammar/grammar.h"
#include "quoted.h"

/* ---- a vocabulary ---------------------------------------------------------------------------- */

static const char *const specials[] = { "<|tool_call_start|>", "<|tool_call_end|>", "<|python_tag|>", "<tool_call>", "</tool_call>", "<think>", "<|im_end|>" };
enum { CALL = 1, CALL_END, PYTHON_TAG, TOOL_CALL, TOOL_CALL_END, THINK, EOG };  /* as bytes of the tables */
static struct { char text[512][24]; struct bytes token[520], special[520]; int n; } voc;

static void voc_add(const char *s, size_t n)
{
    memcpy(voc.text[voc.n], s, n);
    voc.token[voc.n] = (struct bytes){ voc.text[voc.n], n };
    voc.n++;
}

/* Every byte, pieces that lie across the borders of envelopes, then the specials; the last one ends the turn. */
static struct vocab *vocab(void)
{
    static const char *const pieces[] = {
        "{\"", "\":", "\": ", "\",", "\", \"", "\"}", "\"}}", "{}", "}}", "}]", "\"}]", ", ", "[{\"name\":\"", "\",\"arguments\":", "{\"name\": \"", "\", \"arguments\": ",
        "name", "get", "get_", "all", "weather", "city", "Oslo", "true", "false", "null", "True", "False", "None", "12", "100", "0.5", "-1",
        "<f", "<fun", "<function", "<function=", "function=", "</function>", "</", "</fun", "ction>", ">{", "=get", "> <function=get", "x<function=", "}</function>",
        ">>", ">>>", ">>>get", "\n>>>", "x>>>get\n", "all\n", "python\n", "()", "(city=\"", "\")", "\")]", "=\"", "=[", "\n", "\n\n", "  ", " the", "a b", "\xc3\xa4", "\xc3", "\xe2\x82", "\x82\xac", "\xf0\x9f", "\x98\x80",
        "a\xc3", "aaa", "ab", "abab", "bad", "<bad", "d>", "<bad>", "\\n", "\\\"" };
    voc.n = 0;
    memset(voc.special, 0, sizeof voc.special);
    for (int b = 0; b < 256; b++) voc_add((char[]){ (char)b }, 1);
    for (size_t i = 0; i < LEN(pieces); i++) voc_add(pieces[i], strlen(pieces[i]));
    for (size_t i = 0; i < LEN(specials); i++) {
        voc.token[voc.n] = (struct bytes){ 0 };
        voc.special[voc.n++] = (struct bytes){ specials[i], strlen(specials[i]) };
    }
    int32_t eog = voc.n - 1;
    struct vocab_spec s = { .n_vocab = voc.n, .token = voc.token, .special = voc.special, .eog = &eog, .n_eog = 1 };
    struct err e = { 0 };
    struct vocab *v = vocab_open(&s, &e);
    CHECK(v, "%s", e.msg);
    return v;
}

static int32_t special_id(char mark) { return voc.n - (int)LEN(specials) + mark - 1; }

/* Is the text, marks for special tokens, a whole output? */
static bool accepts(const struct grammar *g, const struct vocab *v, const char *text)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, v, &e);
    bool ok = m != NULL;
    if (!m) fprintf(stderr, "%s\n", e.msg);
    for (; ok && *text; text++) {
        if (*text > EOG || *text < 0) ok = matcher_commit_bytes(m, text, 1);
        else ok = matcher_commit(m, special_id(*text));
    }
    ok = ok && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

static struct grammar *compile(const char *text, struct err *e)
{
    return !strncmp(text, "gbnf:", 5) ? grammar_of_gbnf(text + 5, NULL, e) : grammar_compile(text, NULL, 0, NULL, 0, NULL, e);
}

/* ---- walks ----------------------------------------------------------------------------------- */

static bool has(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

static int32_t draw(const uint32_t *bits, struct rng *r)
{
    int n = 0;
    for (int t = 0; t < voc.n; t++) n += has(bits, t);
    if (!n) return -1;
    int k = (int)rng_below(r, (uint32_t)n);
    for (int t = 0; t < voc.n; t++)
        if (has(bits, t) && k-- == 0) return t;
    return -1;
}

/* The mask says what trying says; under the budget, a token is withheld exactly if it would leave too much to do. */
static void check_masks(struct matcher *m, const uint32_t *bits, const uint32_t *full, int left, const char *what)
{
    for (int t = 0; t < voc.n; t++) {
        bool can = matcher_check(m, t);
        CHECK(can == has(full, t), "%s: token %d (%.*s): mask %d", what, t, (int)voc.token[t].len, voc.token[t].p ? voc.token[t].p : "", has(full, t));
        if (!can || !matcher_commit(m, t)) continue;
        bool fits = matcher_shortest(m) <= left - 1;
        matcher_rollback(m, 1);
        CHECK(fits == has(bits, t), "%s: token %d (%.*s): %d left, fits %d", what, t, (int)voc.token[t].len, voc.token[t].p ? voc.token[t].p : "", left, fits);
        if (can != has(full, t) || fits != has(bits, t)) return;
    }
}

static void walk(const struct grammar *g, const struct vocab *v, const char *what, uint64_t seed, bool exact)
{
    uint32_t bits[32], full[32];
    struct rng r = rng_make(21, 0, seed);
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, v, &e);
    struct str out = { 0 };
    bool cut, ended = false;
    CHECK(m, "%s: %s", what, e.msg);
    if (!m) return;
    int left = matcher_shortest(m) + (int)rng_below(&r, 40);
    while (!ended && left > 0) {
        bool ok = matcher_mask_budget(m, bits, left, &cut);
        CHECK(ok, "%s: %d tokens left, %d needed after %s", what, left, matcher_shortest(m), out.p ? out.p : "");
        if (!ok) break;
        matcher_mask(m, full);
        if (exact && rng_below(&r, 4) == 0) check_masks(m, bits, full, left, what);
        int32_t t = draw(bits, &r);
        CHECK(t >= 0, "%s: stuck after %s", what, out.p ? out.p : "");
        if (t < 0 || !matcher_commit(m, t)) break;
        if (voc.token[t].p) str_put(&out, voc.token[t].p, voc.token[t].len);
        ended = t == special_id(EOG);
        left--;
    }
    CHECK(ended && matcher_finished(m), "%s: no end within the budget: %s", what, out.p ? out.p : "");
    str_done(&out);
    matcher_free(m);
}

/* ---- atoms ----------------------------------------------------------------------------------- */

static const struct { const char *envelope, *text; bool ok; } atoms[] = {
    { "/[a-c]+\\d{2}/ \"!\"", "abca42!", true }, { "/[a-c]+\\d{2}/ \"!\"", "abca4!", false }, { "/[a-c]+\\d{2}/ \"!\"", "xabc42!", false },
    { "\"x\" /(ab)*/", "x", true }, { "\"x\" /(ab)*/", "xabab", true }, { "\"x\" /(ab)*/", "xaba", false },
    { "/a\xc3\xa4/", "a\xc3\xa4", true }, { "/[\xc3\xa4-\xc3\xb6]{2}/ \"x\"", "\xc3\xa4\xc3\xb6x", true }, { "/a|bc/{2}", "bca", true }, { "/a|bc/{2}", "bc", false }, { "/[/]\\/x/", "//x", true }, { "/a*/ /a/", "aaa", true }, { "/ab/ /c?/ \"c\"", "abcc", true },
    { "(/a/ | /ab/ | \"abc\") \"d\"", "abd", true }, { "(/a/ | /ab/ | \"abc\") \"d\"", "abcd", true },
    { "text{0,3}", "", true }, { "text{0,3}", "a\xc3\xa4\xf0\x9f\x98\x80", true }, { "text{0,3}", "abcd", false }, { "text{2,}", "a", false }, { "text{2,}", "\xc3\xa4""b", true },
    { "text{2,3} \"b\"", "abb", true }, { "text{2,3} \"b\"", "ab", false }, { "text{2}", "ab", true }, { "text{2}", "abc", false }, { "text{0,2} text{1,}", "abcdef", true },
    { "text(!\"<bad>\", \"<f=\") (\"<f=\" [a-z] \">\")?", "x <bad <f=a>", true }, { "text(!\"<bad>\", \"<f=\") (\"<f=\" [a-z] \">\")?", "x <bad> <f=a>", false },
    { "text{0,4}(!\"ab\")", "a b", true }, { "text{0,4}(!\"ab\")", "abc", false }, { "text{0,4}(!\"ab\")", "bbbbb", false },
    { "text(!\"aba\", !\"b\") \"b\"", "aab", true }, { "text(!\"abc\", !\"b\")", "ab", false },
    { "envelope(\"root = a a; a = \\\"x\\\" | \\\"y\\\"\") \"!\"", "xy!", true }, { "root = a a; a = envelope(\"a = \\\"x\\\" b; b = \\\"y\\\"\") | \"!\"", "xy!", true },
    { "gbnf(\"root ::= a+\\na ::= [x-z]\") \"!\"", "xyz!", true }, { "gbnf(\"root ::= a+\\na ::= [x-z]\") \"!\"", "xyz", false },
    /* what XGrammar calls tags, with separators, at least one, stopping after the first */
    { "text(\"<f=\") (\"<f=\" [a-z] \">\" text(\"<f=\"))*", "a <f=x> b <f=y>", true }, { "text(\"<f=\") (\"<f=\" [a-z] \">\" text(\"<f=\"))*", "a", true },
    { "text(\"<f=\") (\"<f=\" [a-z] \">\" text(\"<f=\"))+", "a", false }, { "text(\"<f=\") (\"<f=\" [a-z] \">\" text(\"<f=\"))+", "a <f=x>", true },
    { "text(\"<f=\") (\"<f=\" [a-z] \">\")?", "a <f=x> b", false }, { "text(\"<f=\") (\"<f=\" [a-z] \">\")?", "a <f=x>", true }, { "text(\"<f=\") (\"<f=\" [a-z] \">\")?", "a <f=?", false },
    { "root = tag (\", \" tag)*; tag = \"<\" [a-z]+ \">\"", "<a>, <b>", true }, { "root = tag (\", \" tag)*; tag = \"<\" [a-z]+ \">\"", "<a><b>", false },
    { "@\"<think>\" text(\"</think>\") \"</think>\" \"x\"", "\x06<function=get></think>x", true }, { "@\"<think>\" text(\"</think>\") \"</think>\" \"x\"", "<think></think>x", false },
};

TEST(atoms_accept_their_language)
{
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(atoms); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(atoms[i].envelope, &e);
        CHECK(g && accepts(g, v, atoms[i].text) == atoms[i].ok, "%s on %s: %s", atoms[i].envelope, atoms[i].text, e.msg);
        grammar_free(g);
    }
    vocab_close(v);
}

/* ---- GBNF ------------------------------------------------------------------------------------ */

static const char json_gbnf[] =                         /* the grammar that comes with llama.cpp, in its own style */
    "root   ::= object\nvalue  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n\n"
    "object ::=\n  \"{\" ws (\n            string \":\" ws value\n    (\",\" ws string \":\" ws value)*\n  )? \"}\" ws\n\n"
    "array  ::=\n  \"[\" ws (\n            value\n    (\",\" ws value)*\n  )? \"]\" ws\n\n"
    "string ::=\n  \"\\\"\" (\n    [^\"\\\\\\x7F\\x00-\\x1F] |\n    \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) # escapes\n  )* \"\\\"\" ws\n\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws\n\n"
    "# Optional space: by convention, applied in this grammar after literal chars when allowed\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

static const struct { const char *grammar, *text; bool ok; } gbnf[] = {
    { json_gbnf, "{\"a\": [1, -2.5e3, {\"b\":null}], \"\xc3\xa4\": \"\\u00e4\\n\"}", true }, { json_gbnf, "{\"a\": 01}", false }, { json_gbnf, "{\"a\" 1}", false }, { json_gbnf, "{}\n  ", true },
    { json_gbnf, "{\"a\x7f\":1}", false }, { json_gbnf, "[1]", false },
    { "root ::= \"a\\x41\\u00e9\\U0001F600\\t\"", "aA\xc3\xa9\xf0\x9f\x98\x80\t", true }, { "root ::= \"\\xe9\"", "\xc3\xa9", true }, { "root ::= \"\\xe9\"", "\xe9", false },
    { "root ::= [\xc3\xa0-\xc3\xbf]+", "\xc3\xa4\xc3\xb6", true }, { "root ::= [\xc3\xa0-\xc3\xbf]+", "\xc3\x84", false }, { "root ::= [^\xc3\xa0-\xc3\xbf]+", "a\xc3\x84\xe2\x82\xac", true },
    { "root ::= [^\xc3\xa0-\xc3\xbf]+", "a\xc3\xa4", false }, { "root ::= [^a]", "\xed\xa0\x80", false }, { "root ::= .", "\xf0\x9f\x98\x80", true }, { "root ::= .", "ab", false }, { "root ::= .{2}", "\xe2\x82\xac""b", true },
    { "root ::= [a-c-]+", "a-c", true }, { "root ::= [\\]\\\\^]+", "]\\^", true }, { "root ::= [一-龯]", "\xe6\x97\xa5", true }, { "root ::= [\\U0001F600-\\U0001F64F]", "\xf0\x9f\x98\x80", true },
    { "root ::= [\\U0001F600-\\U0001F64F]", "\xf0\x9f\x99\x90", false }, { "root ::= [\\u0800-\\u0801]", "\xe0\xa0\x80", true },
    { "root ::= \"ab\"*", "ababab", true }, { "root ::= \"ab\"+ \"c\"?", "", false }, { "root ::= \"ab\"{2}", "abab", true }, { "root ::= \"ab\"{2}", "ab", false },
    { "root ::= \"a\"{2,}", "aaaaa", true }, { "root ::= \"a\"{,2}", "aaa", false }, { "root ::= \"a\"{1,3}", "aaaa", false }, { "root ::= [a-z]{0,5000} \"!\"", "abcdef!", true }, { "root ::= [ab]{3,4}", "ab", false },
    { "root ::= [ab]{3,4}", "abab", true }, { "root ::= [ab]{3,4}", "ababa", false }, { "root ::= a-rule | b_rule\na-rule ::= \"x\"\nb_rule ::= \"y\"", "y", true },
    { "root ::= (\"a\" |\n \"b\" # c\n) \"!\"\n", "b!", true }, { "root ::= \"a\"\n  | \"b\"\n\n\n", "b", true }, { "\n# only a comment\nroot::=\"a\"", "a", true }, { "root ::= \"a\"\r\nx ::= \"b\"\r\n", "a", true },
    { "root ::= e\ne ::= e \"+\" t | e \"-\" t | t\nt ::= [0-9]+ | \"(\" e \")\"", "1+(2-3)+4", true }, { "root ::= e\ne ::= e \"+\" t | t\nt ::= [0-9]+ | \"(\" e \")\"", "1+", false },
    { "root ::= root \"a\" | root | \"b\"", "baa", true }, { "root ::= <tool_call> \"x\" </tool_call>", "\x04x\x05", true }, { "root ::= <tool_call> \"x\"", "<tool_call>x", false },
    { "root ::= \"\" \"a\"", "a", true }, { "root ::= \"a\" root |", "aaa", true }, { "root ::= (\"a\" | ) \"b\"", "b", true },
};

TEST(gbnf_accepts_its_language)
{
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(gbnf); i++) {
        struct err e = { 0 };
        struct grammar *g = grammar_of_gbnf(gbnf[i].grammar, NULL, &e);
        CHECK(g && accepts(g, v, gbnf[i].text) == gbnf[i].ok, "%s on %s: %s", gbnf[i].grammar, gbnf[i].text, e.msg);
        grammar_free(g);
    }
    vocab_close(v);
}

TEST(a_pattern_is_a_grammar)
{
    struct err e = { 0 };
    struct grammar *g = grammar_of_regex("(\\d{4})-(\\d{2})", NULL, &e);
    struct vocab *v = vocab();
    CHECK(g && accepts(g, v, "2024-05") && !accepts(g, v, "x2024-05") && !accepts(g, v, "2024-0") && !accepts(g, v, "2024-055"), "%s", e.msg);
    grammar_free(g);
    e = (struct err){ 0 };
    CHECK(!grammar_of_regex("(a", NULL, &e) && strstr(e.msg, "byte") && strstr(e.msg, "regex"), "%s", e.msg);
    vocab_close(v);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const struct { const char *grammar, *says; } bad[] = {
    { "/[a-z/", "does not end" }, { "/a(/", "pattern: byte" }, { "text{3,1}", "text{2,5}" }, { "text{0,9999999}", "1000000" }, { "text(!)", "double quotes" }, { "text(\"\")", "empty trigger" },
    { "text{0,5}*", "may be empty" }, { "(text{0,5} \"x\"?)*", "may be empty" }, { "/a*/+", "may be empty" }, { "x = y \"a\"; y = x | \"b\"", "begins with itself" }, { "x = \"a\" y", "rule y is not given" },
    { "x = \"a\" x", "never comes to an end" }, { "\"a\"????????????", "more than 8" }, { "(((((((\"\"){1000}){1000}){1000}){1000}){1000}){1000}){1000}", "million" }, { "((\"a\"{1000}){1000}){1000}", "16384 steps" },
    { "gbnf(\"root ::= x\")", "rule x is not given" }, { "gbnf(\"root ::= \\\"a\")", "gbnf inside of the envelope: byte 11" }, { "gbnf()", "double quotes" }, { "gbnf(\"root ::= \\\"a\\\"\"", "written gbnf(" }, { "envelope(\"schema(0)\")", "0 schemas" },
    { "text(!\"\\x80\", !\"\\x81\", !\"\\xc3\") text{1,}(!\"\\xe2\\x82\")", NULL },
    { "gbnf:", "no rule root" }, { "gbnf:x ::= \"a\"", "no rule root" }, { "gbnf:root = \"a\"", "byte 5: expected a rule" }, { "gbnf:root ::= \"a", "does not end" }, { "gbnf:root ::= [a", "does not end" },
    { "gbnf:root ::= [z-a]", "backwards" }, { "gbnf:root ::= []", "empty class" }, { "gbnf:root ::= \"\\q\"", "unknown escape" }, { "gbnf:root ::= \"\\ud800\"", "code point" }, { "gbnf:root ::= \"\\U00110000\"", "code point" },
    { "gbnf:root ::= \"\\x4\"", "hexadecimal" }, { "gbnf:root ::= \"\xff\"", "not UTF-8" }, { "gbnf:root ::= a", "rule a is not given" }, { "gbnf:root ::= root \"a\"", "always begins with itself" },
    { "gbnf:root ::= a \"x\"\na ::= root | \"y\"", "begins with itself" }, { "gbnf:root ::= (\"a\"?)*", "may be empty" }, { "gbnf:root ::= \"a\" \"b\")", "end of the line" }, { "gbnf:root ::= (\"a\"", "expected )" },
    { "gbnf:root ::= <[12]>", "token ids" }, { "gbnf:root ::= !<x>", "not supported" }, { "gbnf:root ::= <x", "does not end" }, { "gbnf:root ::= \"a\"{3,2}", "a repetition" }, { "gbnf:root ::= \"ab\"{2000}", "1000 times" },
    { "gbnf:root ::= \"a\"\nroot ::= \"b\"", "given twice" }, { "gbnf:root ::=\nx ::= \"a\"", "expected" }, { "gbnf:root ::= *", "expected a literal" }, { "gbnf:root ::= \"a\" root", "never comes to an end" },
};

TEST(what_is_wrong_is_a_sentence)
{
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(bad[i].grammar, &e);
        if (bad[i].says) CHECK(!g && e.code && strstr(e.msg, bad[i].says), "%s: %s", bad[i].grammar, e.msg);
        else CHECK(g, "%s: %s", bad[i].grammar, e.msg);
        grammar_free(g);
    }
    struct err e = { 0 };
    struct vocab *v = vocab();
    struct grammar *g = compile("@\"<|nobody|>\" \"x\"", &e);
    CHECK(g && !matcher_new(g, v, &e) && strstr(e.msg, "<|nobody|>"), "a special token that is not there: %s", e.msg);
    grammar_free(g);
    vocab_close(v);
}

static void hostile(const char *what, const char *head, const char *unit, int n, const char *tail)
{
    struct str s = { 0 };
    struct err e = { 0 };
    str_puts(&s, head);
    for (int i = 0; i < n; i++) str_puts(&s, unit);
    str_puts(&s, tail);
    uint64_t start = clock_ns();
    struct grammar *g = compile(s.p, &e);
    CHECK((g || e.code) && clock_ns() - start < 20000000000ull, "%s: %s", what, e.msg);
    grammar_free(g);
    str_done(&s);
}

TEST(hostile_grammars_end_in_errors_or_work)
{
    hostile("parentheses", "", "(", 10000, "");
    hostile("parentheses", "gbnf:root ::= ", "(", 10000, "");
    hostile("braces", "\"a\"", "{2}", 10000, "");
    hostile("alternatives", "\"a\"", "|\"b\"", 100000, "");
    hostile("a million bytes", "\"", "aaaaaaaaaa", 100000, "\"");
    hostile("a long sequence", "gbnf:root ::= ", "[a-z]", 100000, "");
    hostile("many classes", "gbnf:root ::= [", "a-cx-z", 100000, "]");
    hostile("many texts", "", "text(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\") \"x\" ", 5000, "");
    hostile("triggers", "text(\"x\"", ",\"abcdefghijk\"", 50000, ")");
    hostile("grammars inside grammars", "", "envelope(\"", 10000, "");
    struct str s = { 0 };
    struct err e = { 0 };
    for (int i = 0; i < 5000; i++) str_fmt(&s, "r%d = r%d;", i, i + 1);
    struct grammar *g = compile(s.p, &e);
    CHECK(!g && e.code, "a chain of rules: %s", e.msg);
    str_clear(&s);
    for (int i = 0; i < 4000; i++) str_fmt(&s, "r%d = (r%d) | \"x\";", i, i + 1);
    str_puts(&s, "r4000 = \"y\"");
    e = (struct err){ 0 };
    g = compile(s.p, &e);
    CHECK(!g && e.code == ERR_LIMIT, "a deep chain: %s", e.msg);
    str_clear(&s);
    for (int i = 0; i < 3000; i++) str_fmt(&s, "\"a\" /b{1,3}%d/ ", i);
    e = (struct err){ 0 };
    g = compile(s.p, &e);
    CHECK(!g && strstr(e.msg, "1024 patterns"), "%s", e.msg);
    str_done(&s);
}

/* ---- call formats ---------------------------------------------------------------------------- */

/* The envelopes as a dialect would write them: {choice} x {parallel}. TEXT and CALLS say how. */
enum choice { NONE_, AUTO, REQUIRED, NAMED };
enum format { LFM2, HERMES, FUNCTION, SEGMENTS, GENERIC, N_FORMAT };

static const char *envelope_of(enum format f, enum choice c, bool parallel)
{
    static char out[1024];
    bool more = parallel && c != NAMED;
    switch (f) {
    case LFM2:
        if (c == NONE_) return "text";
        snprintf(out, sizeof out, "root = %sblock%s; block = @\"<|tool_call_start|>\" \"[\" call%s \"]\" @\"<|tool_call_end|>\" %s;"
                 "call = each { name \"(\" value(python-arguments) \")\" }", c == AUTO ? "text (" : "", c == AUTO ? ")?" : "", more ? " (\", \" call)*" : "", c == AUTO ? "text" : "");
        return out;
    case HERMES:
        if (c == NONE_) return "text(@\"<tool_call>\")";
        snprintf(out, sizeof out, "root = %s block%s%s; block = @\"<tool_call>\" \"\\n\" each { \"{\\\"name\\\": \\\"\" name(json) \"\\\", \\\"arguments\\\": \" value(json) \"}\" } \"\\n\" @\"</tool_call>\"",
                 c == AUTO ? "text (" : "", more ? " (\"\\n\" block)*" : "", c == AUTO ? ")?" : "");
        return out;
    case FUNCTION:
        if (c == NONE_) return "text(!\"<function=\")";
        snprintf(out, sizeof out, "root = %s; call = \"<function=\" each { name \">\" value(json) } \"</function>\"",
                 c == AUTO ? more ? "text(\"<function=\") (call text(\"<function=\"))*" : "text(\"<function=\") call?" : more ? "call+" : "call");
        return out;
    case SEGMENTS:                                      /* the prompt ends with >>> */
        if (c == NONE_) return "\"all\\n\" text(!\">>>\")";
        snprintf(out, sizeof out, "root = %s; all = \"all\\n\" text(\">>>\"); code = \"python\\n\" text(!\"\\n>>>\"); call = each { name \"\\n\" value(json) }",
                 c == AUTO ? more ? "(all | call | code) (\">>>\" (call | code))*" : "all (\">>>\" call)? | call | code" : more ? "call (\">>>\" call)*" : "call");
        return out;
    default:
        if (c == NONE_) return "text";
        snprintf(out, sizeof out, "root = %s \"[\" call%s \"]\"%s; call = each { \"{\\\"name\\\":\\\"\" name(json) \"\\\",\\\"arguments\\\":\" value(json) \"}\" }",
                 c == AUTO ? "text(\"[{\\\"name\\\":\\\"\") (" : "", more ? " (\",\" call)*" : "", c == AUTO ? ")?" : "");
        return out;
    }
}

static const char *const tool_names[] = { "get", "get_all", "a.b-c/d", "say \"hi\"", "\xc3\xa4" };
static const char *const tool_schemas[] = {
    "{'type':'object','properties':{'city':{'type':'string'},'n':{'type':'integer'}},'required':['city'],'additionalProperties':false}",
    "{'type':'object','properties':{},'additionalProperties':false}",
    "{'type':'object','properties':{'x':{'type':['boolean','null']},'l':{'type':'array','items':{'type':'object','properties':{'k':{'enum':[true,null,1.5]}},'additionalProperties':false}}},'additionalProperties':false}",
    "{'type':'object','properties':{},'additionalProperties':false}", "{'type':'object','properties':{},'additionalProperties':false}" };

static struct grammar *calls(enum format f, enum choice c, bool parallel, struct err *e)
{
    struct grammar_pair pair[LEN(tool_names)];
    struct json *s[LEN(tool_names)];
    int n = c == NONE_ ? 0 : c == NAMED ? 1 : (int)LEN(tool_names);
    for (int i = 0; i < n; i++) pair[i] = (struct grammar_pair){ tool_names[i], s[i] = parse(tool_schemas[i]) };
    struct grammar *g = grammar_compile(envelope_of(f, c, parallel), pair, n, NULL, 0, NULL, e);
    for (int i = 0; i < n; i++) json_free(s[i]);
    return g;
}

/* What the matrix of tool_choice and parallel_tool_calls says, by kinds of text. */
static const struct { const char *what, *text[N_FORMAT]; } samples[] = {
    { "text", { "hi", "hi", "hi", "all\nhi", "hi" } },
    { "one call", { "\x01[get(city=\"Oslo\")]\x02", "\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"Oslo\"}}\n\x05", "<function=get>{\"city\":\"Oslo\"}</function>", "get\n{\"city\":\"Oslo\"}", "[{\"name\":\"get\",\"arguments\":{\"city\":\"Oslo\"}}]" } },
    { "two calls", { "\x01[get(city=\"\"), get(city=\"\", n=3)]\x02", "\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"\"}}\n\x05\n\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"\"}}\n\x05",
      "<function=get>{\"city\":\"\"}</function><function=get>{\"city\":\"\"}</function>", "get\n{\"city\":\"\"}>>>get\n{\"city\":\"\"}", "[{\"name\":\"get\",\"arguments\":{\"city\":\"\"}},{\"name\":\"get\",\"arguments\":{\"city\":\"\"}}]" } },
    { "text, then a call", { "hi\x01[get(city=\"\")]\x02", "hi\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"\"}}\n\x05", "hi<function=get>{\"city\":\"\"}</function>", "all\nhi>>>get\n{\"city\":\"\"}", "hi[{\"name\":\"get\",\"arguments\":{\"city\":\"\"}}]" } },
    { "another tool", { "\x01[get_all()]\x02", "\x04\n{\"name\": \"get_all\", \"arguments\": {}}\n\x05", "<function=get_all>{}</function>", "get_all\n{}", "[{\"name\":\"get_all\",\"arguments\":{}}]" } },
    { "half a call", { "\x01[get(city=\"\")", "\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"\"}}", "<function=get>{\"city\":\"\"}", "get\n{\"city\":", "[{\"name\":\"get\",\"arguments\":{\"city\":\"\"}}" } },
};
enum { S_TEXT, S_ONE, S_TWO, S_BOTH, S_OTHER, S_HALF };

TEST(choice_times_parallel)
{
    /* none, auto, required, named; with parallel calls where the first says yes */
    static const struct { bool any[4]; bool needs_parallel; } want[] = {
        [S_TEXT] = { { true, true, false, false }, false }, [S_ONE] = { { false, true, true, true }, false }, [S_TWO] = { { false, true, true, false }, true },
        [S_BOTH] = { { false, true, false, false }, false }, [S_OTHER] = { { false, true, true, false }, false }, [S_HALF] = { { false, false, false, false }, false } };
    struct vocab *v = vocab();
    for (int f = 0; f < N_FORMAT; f++)
        for (int c = 0; c < 4; c++)
            for (int parallel = 0; parallel < 2; parallel++) {
                struct err e = { 0 };
                struct grammar *g = calls((enum format)f, (enum choice)c, parallel, &e);
                CHECK(g, "format %d choice %d: %s", f, c, e.msg);
                for (size_t s = 0; g && s < LEN(samples); s++) {
                    bool ok = want[s].any[c] && (parallel || !want[s].needs_parallel);
                    bool is_text = f == GENERIC && c == NONE_ && s != S_TEXT;     /* what looks like a call is text */
                    CHECK(accepts(g, v, samples[s].text[f]) == (ok || is_text), "format %d, choice %d, parallel %d: %s: %s", f, c, parallel, samples[s].what, samples[s].text[f]);
                }
                grammar_free(g);
            }
    vocab_close(v);
}

/* Rows by format, choice auto and parallel unless a letter says otherwise: R required, N named, 1 one call. */
static const struct { enum format f; const char *how, *text; bool ok; } formats[] = {
    /* special tokens by id, never by their text */
    { LFM2, "", "the text <|tool_call_start|>[get(city=1)]", true }, { LFM2, "R", "<|tool_call_start|>[get(city=\"\")]<|tool_call_end|>", false }, { HERMES, "", "<tool_call>x", true },
    { HERMES, "R", "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\":\"\"}}\n</tool_call>", false }, { LFM2, "R", "\x01[get(city=\"<|tool_call_end|>\")]\x02", true },
    { HERMES, "R", "\x04\n{\"name\": \"get\", \"arguments\": {\"city\":\"</tool_call>\"}}\n\x05", true },
    /* names: odd characters, prefixes of each other, unknown ones */
    { LFM2, "R", "\x01[a.b-c/d()]\x02", true }, { FUNCTION, "R", "<function=a.b-c/d>{}</function>", true }, { SEGMENTS, "R", "a.b-c/d\n{}", true }, { HERMES, "R", "\x04\n{\"name\": \"say \\\"hi\\\"\", \"arguments\": {}}\n\x05", true },
    { GENERIC, "R", "[{\"name\":\"say \\\"hi\\\"\",\"arguments\":{}}]", true }, { GENERIC, "R", "[{\"name\":\"say \"hi\"\",\"arguments\":{}}]", false }, { FUNCTION, "R", "<function=say \"hi\">{}</function>", true },
    { FUNCTION, "R", "<function=\xc3\xa4>{}</function>", true }, { FUNCTION, "R", "<function=get_al>{}</function>", false }, { FUNCTION, "R", "<function=get_all>{\"city\":\"\"}</function>", false },
    { FUNCTION, "R", "<function=get>{}</function>", false }, { FUNCTION, "R", "<function=gets>{}</function>", false }, { SEGMENTS, "R", "get_all\n{}", true }, { SEGMENTS, "R", "nothing\n{}", false },
    /* markers as data */
    { FUNCTION, "R", "<function=get>{\"city\":\"</function>\"}</function>", true }, { FUNCTION, "", "a <function and <functio=", true }, { FUNCTION, "", "a <function=x", false }, { FUNCTION, "", "text <function=get>{\"city\":\"\"}</function> more <", true },
    { FUNCTION, "R", "<function=get>{\"city\":\"\"}</function> more", false }, { FUNCTION, "1", "<function=get>{\"city\":\"\"}</function> more", false },
    { SEGMENTS, "", "all\na >> b >>", true }, { SEGMENTS, "", "all\na >>> b", false }, { SEGMENTS, "R", "get\n{\"city\":\">>>get\\n\"}", true }, { SEGMENTS, "", "get\n{\"city\":\"\"}>>>all\nhi", false },
    /* raw code to the end of the turn */
    { SEGMENTS, "", "python\nx = {'a': \"b\"}\nprint(x >> 1)\n", true }, { SEGMENTS, "", "python\na >>> b", true }, { SEGMENTS, "", "all\nlook>>>python\nprint(1)", true }, { SEGMENTS, "", "python\n1\n>>>get\n{\"city\":\"\"}", true },
    { SEGMENTS, "", "python\n1\n>>>>", false }, { SEGMENTS, "R", "python\n1", false }, { SEGMENTS, "", "pytho\n1", false },
    /* nothing but calls where they are owed */
    { LFM2, "R", "", false }, { LFM2, "N", "hi", false }, { GENERIC, "R", " [", false }, { GENERIC, "", "[{\"name\":\"", false }, { GENERIC, "", "[{\"nam", true }, { SEGMENTS, "R", "all\n", false },
    /* Pythonic: required ones, no repeats, any order, literals, nothing trailing */
    { LFM2, "R", "\x01[get()]\x02", false }, { LFM2, "R", "\x01[get(n=1)]\x02", false }, { LFM2, "R", "\x01[get(n=1, city=\"\")]\x02", true }, { LFM2, "R", "\x01[get(city=\"\", n=1, city=\"\")]\x02", false },
    { LFM2, "R", "\x01[get(city=\"\", n=1.0)]\x02", false }, { LFM2, "R", "\x01[get(city='')]\x02", false }, { LFM2, "R", "\x01[get(city=\"a\\\"b\\\\ \\n\")]\x02", true }, { LFM2, "R", "\x01[get(city=\"\",)]\x02", false },
    { LFM2, "R", "\x01[a.b-c/d(x=True, l=[{\"k\": None}, {\"k\": 1.5}, {}])]\x02", true }, { LFM2, "R", "\x01[a.b-c/d(x=None, l=[{\"k\": True}])]\x02", true }, { LFM2, "R", "\x01[a.b-c/d(x=null)]\x02", false },
    { LFM2, "R", "\x01[a.b-c/d(x=False, l=[{\"k\": False}])]\x02", false }, { LFM2, "", "\x01[get_all()]\x02 done", true }, { LFM2, "R", "\x01[get_all()]\x02 done", false },
};

TEST(formats_of_model_families)
{
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(formats); i++) {
        struct err e = { 0 };
        enum choice c = strchr(formats[i].how, 'R') ? REQUIRED : strchr(formats[i].how, 'N') ? NAMED : AUTO;
        struct grammar *g = calls(formats[i].f, c, !strchr(formats[i].how, '1'), &e);
        CHECK(g && accepts(g, v, formats[i].text) == formats[i].ok, "row %zu, %s: %s %s", i, formats[i].how, formats[i].text, e.msg);
        grammar_free(g);
    }
    vocab_close(v);
}

/* Rules and grammars inside each, and values before the name: then all tools run side by side until it comes. */
TEST(each_takes_rules_and_any_order)
{
    static const struct { const char *envelope, *text; bool ok; } all[] = {
        { "root = each { open name sep value(json) }; open = \"<\" | \"(\"; sep = \" \"{1,2}", "(get_all  {}", true }, { "root = each { open name sep value(json) }; open = \"<\" | \"(\"; sep = \" \"{1,2}", "(get_all   {}", false },
        { "root = each { n name gbnf(\"root ::= [:]+\") value(json) }; n = \"\" | [0-9] n", "12get::{\"city\":\"\"}", true },
        { "each { \"{\\\"arguments\\\": \" value(json) \", \\\"name\\\": \\\"\" name(json) \"\\\"}\" }", "{\"arguments\": {\"city\":\"\"}, \"name\": \"get\"}", true },
        { "each { \"{\\\"arguments\\\": \" value(json) \", \\\"name\\\": \\\"\" name(json) \"\\\"}\" }", "{\"arguments\": {\"city\":\"\"}, \"name\": \"get_all\"}", false },
        { "each { name \":\" name }", "get:get", true }, { "each { name \":\" name }", "get:get_all", false },
    };
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(all); i++) {
        struct grammar_pair pair[LEN(tool_names)];
        struct json *s[LEN(tool_names)];
        struct err e = { 0 };
        for (size_t k = 0; k < LEN(pair); k++) pair[k] = (struct grammar_pair){ tool_names[k], s[k] = parse(tool_schemas[k]) };
        struct grammar *g = grammar_compile(all[i].envelope, pair, LEN(pair), NULL, 0, NULL, &e);
        CHECK(g && accepts(g, v, all[i].text) == all[i].ok, "%s on %s: %s", all[i].envelope, all[i].text, e.msg);
        for (uint64_t seed = 0; g && seed < 20; seed++) walk(g, v, all[i].envelope, seed, seed < 5);
        grammar_free(g);
        for (size_t k = 0; k < LEN(pair); k++) json_free(s[k]);
    }
    vocab_close(v);
}

TEST(five_hundred_tools)
{
    struct grammar_pair pair[500];
    static char name[500][32];
    struct json *s = parse(tool_schemas[0]);
    struct err e = { 0 };
    for (int i = 0; i < 500; i++) {
        snprintf(name[i], sizeof name[i], "tool_%d", i);
        pair[i] = (struct grammar_pair){ name[i], s };
    }
    struct vocab *v = vocab();
    struct grammar *g = grammar_compile(envelope_of(FUNCTION, AUTO, true), pair, 500, NULL, 0, NULL, &e);
    CHECK(g && accepts(g, v, "<function=tool_499>{\"city\":\"\"}</function>") && accepts(g, v, "<function=tool_4>{\"city\":\"\"}</function>"), "%s", e.msg);
    CHECK(g && !accepts(g, v, "<function=tool_500>{\"city\":\"\"}</function>"), "no more than these");
    grammar_free(g);
    json_free(s);
    vocab_close(v);
}

/* ---- walks over all of it ------------------------------------------------------------------- */

TEST(walks_over_envelopes_are_exact_and_end_in_time)
{
    static const char *const some[] = {
        "text(\"<f=\", !\"<bad>\") (\"<f=\" [a-z]+ \">\" text(\"<f=\"))*", "text{3,9}(!\"ab\") \"ab\"", "text{0,4} @\"<think>\" text{2}", "/[a-c]+(12|100)?/ \", \" /x{2,5}/", "/([\xc3\xa4\xe2\x82\xac]|\"x){1,3}/ \"b\"", "/a.*b/ \"\\n\"", "\"get_\" /(all|weather)+/ text(\"\\n\") \"\\n\"",
        "gbnf:root ::= [^\"\\\\]{2,6} \"\\\"\"\n", "gbnf:root ::= e\ne ::= e \"+\" t | t\nt ::= [0-9a-\xc3\xbf]{1,3} | \"(\" e \")\"", "gbnf:root ::= [\\u0800-\\U0001F600]+ [\xc3\xa4\xe2\x82\xac]{2}" };
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(some); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(some[i], &e);
        CHECK(g, "%s: %s", some[i], e.msg);
        for (uint64_t seed = 0; g && seed < 60; seed++) walk(g, v, some[i], seed, seed < 20);
        grammar_free(g);
    }
    struct err e = { 0 };
    struct grammar *g = grammar_of_gbnf(json_gbnf, NULL, &e);
    for (uint64_t seed = 0; g && seed < 60; seed++) walk(g, v, "json.gbnf", seed, seed < 10);
    grammar_free(g);
    vocab_close(v);
}

TEST(walks_over_call_formats_end_in_time)
{
    struct vocab *v = vocab();
    for (int f = 0; f < N_FORMAT; f++)
        for (int c = 1; c < 4; c++) {
            struct err e = { 0 };
            struct grammar *g = calls((enum format)f, (enum choice)c, true, &e);
            for (uint64_t seed = 0; g && seed < 40; seed++) walk(g, v, envelope_of((enum format)f, (enum choice)c, true), seed, seed < 5);
            grammar_free(g);
        }
    vocab_close(v);
}

/* Right recursion is a loop: no frames pile up, masks are found again. */
TEST(right_recursion_is_a_loop)
{
    struct err e = { 0 };
    struct vocab *v = vocab();
    struct grammar *g = grammar_of_gbnf("root ::= \"<\" list\nlist ::= item rest\nrest ::= \",\" list | \">\"\nitem ::= [0-9] item | [a-f]", NULL, &e);
    struct matcher *m = g ? matcher_new(g, v, &e) : NULL;
    CHECK(m, "%s", e.msg);
    matcher_commit_bytes(m, "<", 1);
    for (int i = 0; i < 20000; i++)
        if (!matcher_commit_bytes(m, "1a,", 3)) { CHECK(false, "%d: %s", i, matcher_why(m)); break; }
    CHECK(matcher_shortest(m) == 3 && matcher_commit_bytes(m, "b>", 2) && matcher_finished(m), "%d: %s", matcher_shortest(m), matcher_why(m));
    matcher_free(m);
    for (uint64_t seed = 0; seed < 40; seed++) walk(g, v, "right recursion", seed, seed < 10);
    grammar_free(g);
    vocab_close(v);
}

/* Long limits are counted, not unrolled: the mask in the middle of one is the mask a little later. */
TEST(long_runs_are_one_step)
{
    struct err e = { 0 };
    struct vocab *v = vocab();
    struct grammar *g = grammar_of_gbnf("root ::= \"\\\"\" [^\"]{0,100000} \"\\\"\"", NULL, &e);
    struct matcher *m = g ? matcher_new(g, v, &e) : NULL;
    uint32_t bits[32], other[32];
    CHECK(m, "%s", e.msg);
    matcher_commit_bytes(m, "\"", 1);
    for (int i = 0; i < 5000; i++) matcher_commit_bytes(m, "\xc3\xa4", 2);
    matcher_mask(m, bits);
    matcher_commit_bytes(m, "x", 1);
    matcher_mask(m, other);
    CHECK(!memcmp(bits, other, MASK_WORDS(voc.n) * 4) && matcher_shortest(m) == 2, "%d", matcher_shortest(m));
    matcher_free(m);
    grammar_free(g);
    vocab_close(v);
}

TEST_MAIN
