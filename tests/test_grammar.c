/* test_grammar.c -- the automaton against tables, against check.c, and against itself.
 *
 * Tables say which texts a schema accepts in each spelling and surface. Random walks over masks of a
 * small made-up vocabulary (every byte, pieces of JSON, pieces of words, tokens that cut code points)
 * then look for what tables miss: output that does not validate, empty masks, masks that differ from
 * trying every token, budgets that run out, state that depends on more than the bytes. */
#include "grammar/grammar.h"
#include "test.h"

/* ---- helpers --------------------------------------------------------------------------------- */

static struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    if (!v) fprintf(stderr, "test data: %s: %s\n", text, e.msg);
    return v;
}

static struct grammar *compile(const char *schema, const struct grammar_opts *o, struct err *e)
{
    struct json *s = parse(schema);
    struct grammar *g = s ? grammar_of_schema(s, o, e) : NULL;
    json_free(s);
    return g;
}

static bool accepts(const struct grammar *g, const char *text)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, NULL, &e);
    bool ok = m && matcher_commit_bytes(m, text, strlen(text)) && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

#define SP "\x01"                                       /* the special token of the test vocabulary */
static struct { char text[600][24]; struct bytes token[600], special[600]; int n; } voc;

static void voc_add(const char *s, size_t n)
{
    memcpy(voc.text[voc.n], s, n);
    voc.token[voc.n] = (struct bytes){ voc.text[voc.n], n };
    voc.n++;
}

/* Every byte, then pieces; the last three ids are a marker, another marker and the end of turn. */
static struct vocab *vocab(void)
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

static int special_id(int i) { return voc.n - 3 + i; }  /* 0 <|call|>, 1 <|end|>, 2 end of turn */

/* ---- which texts a schema accepts ------------------------------------------------------------ */

static const struct { const char *why, *schema, *text; bool ok; } rows[] = {
    { "integer", "{\"type\":\"integer\"}", "-7", true },
    { "zero", "{\"type\":\"integer\"}", "0", true },
    { "no leading zero", "{\"type\":\"integer\"}", "07", false },
    { "no fraction in integers", "{\"type\":\"integer\"}", "7.0", false },
    { "no empty number", "{\"type\":\"integer\"}", "", false },
    { "minus alone", "{\"type\":\"integer\"}", "-", false },
    { "number with fraction", "{\"type\":\"number\"}", "-0.50", true },
    { "number with exponent", "{\"type\":\"number\"}", "1e-07", true },
    { "dot needs digits", "{\"type\":\"number\"}", "1.", false },
    { "range inside", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "100", true },
    { "range below", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "94", false },
    { "range above", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "104", false },
    { "range too long", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "1000", false },
    { "range prefix", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "1", false },
    { "negative range", "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":-5}", "-7", true },
    { "negative range out", "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":-5}", "-4", false },
    { "range across zero", "{\"type\":\"integer\",\"minimum\":-3,\"maximum\":3}", "-3", true },
    { "range across zero out", "{\"type\":\"integer\",\"minimum\":-3,\"maximum\":3}", "-4", false },
    { "exclusive", "{\"type\":\"integer\",\"exclusiveMinimum\":5}", "5", false },
    { "exclusive next", "{\"type\":\"integer\",\"exclusiveMinimum\":5}", "6", true },
    { "decimal bounds", "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":0.75}", "0.7499", true },
    { "decimal bounds low", "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":0.75}", "0.4999", false },
    { "decimal bounds high", "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":0.75}", "0.75", false },
    { "trailing zeros", "{\"type\":\"number\",\"maximum\":0.5}", "0.500", true },
    { "open zero", "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}", "0.0", false },
    { "open zero, small", "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}", "0.0001", true },
    { "huge bound", "{\"type\":\"integer\",\"minimum\":123456789012345678901234567890}", "123456789012345678901234567891", true },
    { "huge bound below", "{\"type\":\"integer\",\"minimum\":123456789012345678901234567890}", "123456789012345678901234567889", false },
    { "integral bound written as a float", "{\"type\":\"integer\",\"maximum\":10.0}", "10", true },
    { "integer between decimals", "{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":2.5}", "2", true },
    { "integer between decimals, low", "{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":2.5}", "1", false },
    { "string", "{\"type\":\"string\"}", "\"a\xc3\xa4\xf0\x9f\x98\x80\"", true },
    { "DEL is legal", "{\"type\":\"string\"}", "\"\x7f\"", true },
    { "raw control", "{\"type\":\"string\"}", "\"\n\"", false },
    { "short escape", "{\"type\":\"string\"}", "\"\\n\\\"\\\\\"", true },
    { "control as hex", "{\"type\":\"string\"}", "\"\\u001f\"", true },
    { "needless hex", "{\"type\":\"string\"}", "\"\\u0061\"", false },
    { "needless slash", "{\"type\":\"string\"}", "\"\\/\"", false },
    { "overlong", "{\"type\":\"string\"}", "\"\xc0\xaf\"", false },
    { "surrogate bytes", "{\"type\":\"string\"}", "\"\xed\xa0\x80\"", false },
    { "cut code point", "{\"type\":\"string\"}", "\"\xc3\"", false },
    { "length in code points", "{\"type\":\"string\",\"minLength\":2,\"maxLength\":2}", "\"\xc3\xa4\xf0\x9f\x98\x80\"", true },
    { "too short", "{\"type\":\"string\",\"minLength\":2}", "\"a\"", false },
    { "too long", "{\"type\":\"string\",\"maxLength\":2}", "\"abc\"", false },
    { "escape counts once", "{\"type\":\"string\",\"maxLength\":1}", "\"\\n\"", true },
    { "an escape among the last letters", "{\"type\":\"string\",\"pattern\":\"^a*\\\"b$\",\"maxLength\":4}", "\"aa\\\"b\"", true },
    { "an escape too late", "{\"type\":\"string\",\"pattern\":\"^a*\\\"b$\",\"maxLength\":4}", "\"aaa\\\"b\"", false },
    { "huge maxLength", "{\"type\":\"string\",\"maxLength\":1000000000}", "\"abc\"", true },
    { "enum", "{\"enum\":[\"c\",\"celsius\"]}", "\"c\"", true },
    { "enum longer", "{\"enum\":[\"c\",\"celsius\"]}", "\"celsius\"", true },
    { "enum is exact", "{\"enum\":[\"c\",\"celsius\"]}", "\"ce\"", false },
    { "enum of anything", "{\"enum\":[1,null,true,\"x\",[1,2],{\"a\":1}]}", "[1,2]", true },
    { "enum object", "{\"enum\":[1,null,true,\"x\",[1,2],{\"a\":1}]}", "{\"a\":1}", true },
    { "enum object, other value", "{\"enum\":[{\"a\":1}]}", "{\"a\":2}", false },
    { "enum number", "{\"enum\":[1,10,100]}", "10", true },
    { "enum number, no other", "{\"enum\":[1,10,100]}", "1000", false },
    { "enum filtered by siblings", "{\"enum\":[\"ab\",\"b\"],\"minLength\":2}", "\"b\"", false },
    { "enum filtered by pattern", "{\"enum\":[\"ab\",\"b\"],\"pattern\":\"^a\"}", "\"ab\"", true },
    { "enum with escapes", "{\"enum\":[\"a\\\"b\",\"a\\nc\"]}", "\"a\\nc\"", true },
    { "const", "{\"const\":{\"k\":[]}}", "{\"k\":[]}", true },
    { "1.0 is 1", "{\"const\":1.0}", "1", true },
    { "boolean", "{\"type\":\"boolean\"}", "true", true },
    { "null", "{\"type\":\"null\"}", "null", true },
    { "types", "{\"type\":[\"string\",\"null\"]}", "null", true },
    { "types, other", "{\"type\":[\"string\",\"null\"]}", "1", false },
    { "anything", "{}", "{\"a\":[1,{\"b\":null}]}", true },
    { "true schema", "true", "[[]]", true },
    { "bounds without type accept other types", "{\"minimum\":3}", "\"x\"", true },
    { "bounds without type", "{\"minimum\":3}", "2", false },
    { "object", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}", "{\"a\":1}", true },
    { "required missing", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}", "{}", false },
    { "open object", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"b\":\"x\",\"a\":1}", true },
    { "declared key keeps its schema", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":\"x\"}", false },
    { "closed object", "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}", false },
    { "any order", "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false}", "{\"b\":1,\"a\":2}", true },
    { "no key twice", "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false}", "{\"a\":1,\"a\":2}", false },
    { "no invented key twice", "{\"type\":\"object\"}", "{\"xy\":1,\"xy\":2}", false },
    { "invented keys differ", "{\"type\":\"object\"}", "{\"xy\":1,\"xyz\":2,\"x\":3}", true },
    { "no empty invented key", "{\"type\":\"object\"}", "{\"\":1}", false },
    { "declared empty key", "{\"type\":\"object\",\"properties\":{\"\":{}}}", "{\"\":1}", true },
    { "additional schema", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"x\":\"1\"}", false },
    { "required beyond properties", "{\"type\":\"object\",\"required\":[\"z\"]}", "{\"a\":1,\"z\":2}", true },
    { "required beyond properties, missing", "{\"type\":\"object\",\"required\":[\"z\"]}", "{\"a\":1}", false },
    { "false property is forbidden", "{\"type\":\"object\",\"properties\":{\"a\":false}}", "{\"a\":1}", false },
    { "nested", "{\"properties\":{\"p\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}}}}", "{\"p\":{\"q\":[true,false]}}", true },
    { "array bounds", "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}", "[1,2,3]", true },
    { "array too short", "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2}", "[1]", false },
    { "array too long", "{\"type\":\"array\",\"maxItems\":1}", "[1,2]", false },
    { "empty array", "{\"type\":\"array\",\"minItems\":1}", "[]", false },
    { "trailing comma", "{\"type\":\"array\"}", "[1,]", false },
    { "tuple", "{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}", "[1,\"x\"]", true },
    { "tuple closed", "{\"prefixItems\":[{\"type\":\"integer\"}],\"items\":false}", "[1,2]", false },
    { "old tuple", "{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"null\"}}", "[1,null,null]", true },
    { "ref", "{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/n\"}}}", "{\"a\":\"x\"}", false },
    { "ref with sibling", "{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"$ref\":\"#/$defs/n\",\"minimum\":5}", "4", false },
    { "draft-7 ref hides siblings", "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"definitions\":{\"n\":{\"type\":\"integer\"}},\"$ref\":\"#/definitions/n\",\"minimum\":5}", "4", true },
    { "recursion", "{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"additionalProperties\":false}},\"$ref\":\"#/$defs/t\"}", "{\"k\":[{\"k\":[{}]}]}", true },
    { "encoded pointer", "{\"$defs\":{\"a/b~c%\":{\"type\":\"null\"}},\"$ref\":\"#/$defs/a~1b~0c%25\"}", "null", true },
    { "anyOf", "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", "\"x\"", true },
    { "anyOf with siblings", "{\"type\":\"object\",\"required\":[\"z\"],\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}", "{\"b\":1}", false },
    { "anyOf objects in parallel", "{\"anyOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"string\"}},\"required\":[\"k\"]}]}", "{\"v\":\"s\",\"k\":\"b\"}", true },
    { "anyOf objects, crossed", "{\"anyOf\":[{\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"string\"}},\"required\":[\"k\"]}]}", "{\"v\":\"s\",\"k\":\"a\"}", false },
    { "allOf", "{\"allOf\":[{\"minimum\":3},{\"maximum\":5}],\"type\":\"integer\"}", "6", false },
    { "allOf of objects", "{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":3}}},{\"properties\":{\"a\":{\"type\":\"integer\"}}}]}", "{\"a\":2}", false },
    { "draft-4 exclusive", "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"integer\",\"minimum\":5,\"exclusiveMinimum\":true}", "5", false },
    { "draft-4 exclusive, a number", "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"integer\",\"minimum\":1,\"exclusiveMinimum\":5}", "5", false },
    { "draft-4 exclusive, a number, next", "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"integer\",\"minimum\":1,\"exclusiveMinimum\":5}", "6", true },
    { "exclusive, true", "{\"type\":\"integer\",\"maximum\":5,\"exclusiveMaximum\":true}", "5", false },
    { "exclusive, false", "{\"type\":\"integer\",\"maximum\":5,\"exclusiveMaximum\":false}", "5", true },
    { "no blanks before", "{}", " 1", false },
    { "no blanks behind", "{}", "1 ", false },
};

TEST(schema_accepts_exactly_its_language)
{
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(rows[i].schema, NULL, &e);
        CHECK(g, "%s: %s", rows[i].why, e.msg);
        if (g) CHECK(accepts(g, rows[i].text) == rows[i].ok, "%s: %s on %s", rows[i].why, rows[i].schema, rows[i].text);
        grammar_free(g);
    }
}

TEST(checker_and_automaton_agree_on_the_rows)
{
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        struct json *s = parse(rows[i].schema), *v = json_parse(rows[i].text, strlen(rows[i].text), &e);
        struct grammar_opts o = { .validate = true };
        struct grammar *g = grammar_of_schema(s, &o, &e);
        bool valid = v && schema_check(s, v, NULL, &e);
        CHECK(g && accepts(g, rows[i].text) == valid, "%s: %s on %s (checker says %d)", rows[i].why, rows[i].schema, rows[i].text, valid);
        CHECK(!rows[i].ok || valid, "%s: accepted but not valid: %s", rows[i].why, e.msg);
        grammar_free(g);
        json_free(s);
        json_free(v);
    }
}

TEST(validate_mode_accepts_every_spelling)
{
    static const struct { const char *schema, *text; bool ok; } all[] = {
        { "{\"type\":\"integer\"}", "1.0", true }, { "{\"type\":\"integer\"}", "10e-1", true }, { "{\"type\":\"integer\"}", "1.5", false },
        { "{\"enum\":[1]}", "10e-1", true }, { "{\"enum\":[1]}", "1.1", false },
        { "{\"maximum\":1e400}", "1e399", true }, { "{\"maximum\":1e400}", "11e400", false }, { "{\"minimum\":0.1}", "0.09999", false },
        { "{\"const\":\"a\\u00e4\"}", "\"\\u0061\\u00e4\"", true }, { "{\"const\":\"\xf0\x9f\x98\x80\"}", "\"\\ud83d\\ude00\"", true },
        { "{\"type\":\"string\",\"maxLength\":1}", "\"\\ud83d\\ude00\"", true }, { "{\"type\":\"string\"}", "\"\\ud83d\"", false },
        { "{\"type\":\"string\"}", "\"\\u0000\\/\"", true },
        { "{\"properties\":{\"ab\":{\"type\":\"null\"}}}", " {\n\"\\u0061b\" :\tnull } ", true },
        { "{\"properties\":{\"ab\":{\"type\":\"null\"}}}", "{\"\\u0061b\":1}", false },
        { "{}", "{\"\":1}", true }, { "{}", " [ ] ", true }, { "false", "1", false }, { "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":false}}", "{}", false },
    };
    struct grammar_opts o = { .validate = true };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(all[i].schema, &o, &e);
        CHECK(g && accepts(g, all[i].text) == all[i].ok, "%s on %s %s", all[i].schema, all[i].text, e.msg);
        grammar_free(g);
    }
}

TEST(spelling_is_kept)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"b\":{\"type\":\"integer\"}}}";
    static const struct { enum spelling s; const char *item, *key, *text; bool ok; } all[] = {
        { SPELL_COMPACT, NULL, NULL, "{\"a\":[1,2],\"b\":3}", true }, { SPELL_COMPACT, NULL, NULL, "{\"a\": [1,2]}", false },
        { SPELL_FIXED, NULL, NULL, "{\"a\": [1, 2], \"b\": 3}", true }, { SPELL_FIXED, NULL, NULL, "{\"a\":[1, 2]}", false },
        { SPELL_FIXED, ",", ": ", "{\"a\": [1,2],\"b\": 3}", true }, { SPELL_FIXED, ",\n ", ":", "{\"a\":[1,\n 2],\n \"b\":3}", true },
        { SPELL_LOCK, NULL, NULL, "{\"a\":[1,2],\"b\":3}", true }, { SPELL_LOCK, NULL, NULL, "{\"a\": [1, 2], \"b\": 3}", true },
        { SPELL_LOCK, NULL, NULL, "{\"a\": [1,2]}", false }, { SPELL_LOCK, NULL, NULL, "{\"a\":[1, 2]}", false },
        { SPELL_LOCK, ",", ": ", "{\"a\": [1,2],\"b\": 3}", true }, { SPELL_LOCK, ",", ": ", "{\"a\": [1,2],\"b\":3}", false },
        { SPELL_FLEXIBLE, NULL, NULL, "{ \"a\" :\n\n[ 1 ,2 ], \"b\":3 }", true }, { SPELL_FLEXIBLE, NULL, NULL, "{\n\n\n\"a\":[]}", false },
        { SPELL_FLEXIBLE, NULL, NULL, "{                     \"a\":[]}", false },
    };
    for (size_t i = 0; i < LEN(all); i++) {
        struct grammar_opts o = { .spelling = all[i].s, .item_sep = all[i].item, .key_sep = all[i].key };
        struct err e = { 0 };
        struct grammar *g = compile(schema, &o, &e);
        CHECK(g && accepts(g, all[i].text) == all[i].ok, "row %zu: %s", i, all[i].text);
        grammar_free(g);
    }
}

TEST(declared_order_is_kept)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{}},\"required\":[\"b\"]}";
    static const struct { const char *text; bool ok; } all[] = {
        { "{\"a\":1,\"b\":2,\"c\":3}", true }, { "{\"b\":2,\"d\":3}", true }, { "{\"b\":2,\"a\":3}", false }, { "{\"a\":1,\"c\":2}", false },
        { "{\"b\":2,\"x\":3}", true }, { "{\"x\":3,\"b\":2}", false }, { "{\"b\":2,\"x\":3,\"d\":1}", false }, { "{\"a\":1}", false } };
    struct grammar_opts o = { .declared_order = true };
    struct err e = { 0 };
    struct grammar *g = compile(schema, &o, &e);
    for (size_t i = 0; g && i < LEN(all); i++) CHECK(accepts(g, all[i].text) == all[i].ok, "%s", all[i].text);
    grammar_free(g);
}

/* ---- refusals -------------------------------------------------------------------------------- */

TEST(what_cannot_be_enforced_is_named)
{
    static const struct { const char *schema; enum err_code code; const char *part; } all[] = {
        { "{\"properties\":{\"a/b\":{\"type\":\"string\",\"pattern\":\"(x)\\\\1\"}}}", ERR_UNSUPPORTED, "tool t: /properties/a~1b/pattern: (x)\\1: " },
        { "{\"properties\":{\"a\":{\"pattern\":\"(x\"}}}", ERR_SCHEMA, "/properties/a/pattern: (x: byte " },
        { "{\"properties\":{\"a\":{\"not\":{\"uniqueItems\":true}}}}", ERR_UNSUPPORTED, "/properties/a/not/uniqueItems" },
        { "{\"properties\":{\"a\":{\"type\":\"number\",\"not\":{\"type\":\"integer\"},\"minimum\":123456789012345678901.5}}}", ERR_UNSUPPORTED, "/properties/a: a number" },
        { "{\"properties\":{\"a\":{\"allOf\":[{\"multipleOf\":0.3},{\"minimum\":123456789012345678901.5}]}}}", ERR_UNSUPPORTED, "18 digits" },
        { "{\"required\":[\"a\"],\"properties\":{\"a\":{\"oneOf\":[{},{}]}}}", ERR_SCHEMA, "/properties/a: no value" },
        { "{\"$ref\":\"other.json\"}", ERR_UNSUPPORTED, "$ref" },
        { "{\"$ref\":\"#/$defs/x\"}", ERR_SCHEMA, "is not in the schema" },
        { "{\"$ref\":\"#\"}", ERR_SCHEMA, "itself" },
        { "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"anyOf\":[{\"$ref\":\"#/$defs/a\"}]}},\"$ref\":\"#/$defs/a\"}", ERR_SCHEMA, "itself" },
        { "{\"type\":\"strin\"}", ERR_SCHEMA, "/type" }, { "{\"properties\":[]}", ERR_SCHEMA, "/properties" },
        /* enough for each contains by itself, but not for all of them */
        { "{\"type\":\"array\",\"maxItems\":1,\"allOf\":[{\"contains\":{\"const\":1}},{\"contains\":{\"const\":2}}]}", ERR_SCHEMA, "no value satisfies" },
        { "{\"type\":\"array\",\"allOf\":[{\"contains\":{\"const\":1},\"minContains\":2},{\"contains\":{\"type\":\"integer\"},\"maxContains\":1}]}", ERR_SCHEMA, "no value satisfies" },
        { "{\"type\":\"array\",\"items\":{\"const\":1},\"minItems\":2,\"contains\":{\"const\":1},\"maxContains\":1}", ERR_SCHEMA, "no value satisfies" },
        { "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"enum\":[2,3]}],\"items\":false,\"allOf\":[{\"contains\":{\"const\":2}},{\"contains\":{\"const\":3}}]}", ERR_SCHEMA, "no value satisfies" },
        { "{\"properties\":{\"a\":3}}", ERR_SCHEMA, "/properties/a" }, { "{\"required\":[1]}", ERR_SCHEMA, "/required" },
        { "{\"properties\":{\"a\":{\"minLength\":-1}}}", ERR_SCHEMA, "/properties/a/minLength" },
        { "{\"properties\":{\"a\":{\"minimum\":3,\"maximum\":2,\"type\":\"integer\"}},\"required\":[\"a\"]}", ERR_SCHEMA, "tool t: /properties/a: no value satisfies" },
        { "{\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1.2,\"maximum\":1.8}}}", ERR_SCHEMA, "/properties/a" },
        { "{\"type\":\"array\"}", ERR_SCHEMA, "no value" }, { "false", ERR_SCHEMA, "no value" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", ERR_SCHEMA, "no value" },
        { "{\"required\":[\"a\"],\"properties\":{\"a\":{\"enum\":[]}}}", ERR_SCHEMA, "/properties/a" },
        { "{\"properties\":{\"a\":{\"minimum\":1e5000,\"type\":\"integer\"}}}", ERR_LIMIT, "digits" },
    };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct json *s = parse(all[i].schema);
        struct grammar_pair p = { "t", s };
        struct grammar *g = grammar_compile("each { name value(json) }", &p, 1, NULL, 0, NULL, &e);
        CHECK(!g && e.code == all[i].code && strstr(e.msg, all[i].part), "%s: %d %s", all[i].schema, e.code, e.msg);
        grammar_free(g);
        json_free(s);
    }
}

/* A schema of n branches made with fmt, which gets the number of each twice. */
static struct grammar *of_branches(const char *before, const char *fmt, int n, const char *after, struct err *e)
{
    struct str t = { 0 };
    str_puts(&t, before);
    for (int i = 0; i < n; i++) {
        if (i) str_putc(&t, ',');
        str_fmt(&t, fmt, i, i);
    }
    str_puts(&t, after);
    struct grammar *g = compile(t.p, NULL, e);
    str_done(&t);
    return g;
}

TEST(a_limit_below_an_optional_key_is_met_while_compiling)
{
    static const struct { const char *before, *fmt; int n; const char *after; bool ok; } all[] = {
        { "{\"properties\":{\"a\":{\"anyOf\":[", "{\"type\":\"object\",\"required\":[\"a%d%d\"]}", 600, "]}}}", false },
        { "{\"properties\":{\"a\":{\"anyOf\":[", "{\"type\":\"object\",\"required\":[\"a%d%d\"]}", 400, "]}}}", true },
        { "{\"properties\":{\"a\":{\"items\":{\"allOf\":[", "{\"anyOf\":[{\"required\":[\"a%d\"]},{\"required\":[\"b%d\"]}]}", 12, "]}}}}", false },
        { "{\"properties\":{\"a\":{\"items\":{\"allOf\":[", "{\"anyOf\":[{\"required\":[\"a%d\"]},{\"required\":[\"b%d\"]}]}", 5, "]}}}}", true },
        { "{\"properties\":{\"a\":{\"patternProperties\":{", "\"^(x|%d).*%d\":{}", 12, "}}}}", false },
        { "{\"properties\":{\"a\":{\"allOf\":[", "{\"contains\":{\"const\":1%d%d}}", 7, "]}}}", false },
        { "{\"properties\":{\"a\":{\"allOf\":[", "{\"contains\":{\"const\":1%d%d}}", 3, "]}}}", true },
    };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct grammar *g = of_branches(all[i].before, all[i].fmt, all[i].n, all[i].after, &e);
        CHECK((g != NULL) == all[i].ok, "%s…: %s", all[i].before, e.msg);
        CHECK(g || (e.code == ERR_LIMIT && strstr(e.msg, "/properties/a")), "%s", e.msg);
        grammar_free(g);
    }
}

/* Each branch fails in one way for all texts and in another for what is no text: not in all mixtures of the two. */
TEST(alternatives_fail_by_type_or_by_value)
{
    static const struct { const char *text; bool ok; } all[] = {
        { "{\"k\":\"k1\",\"s\":\"y1\"}", true }, { "{\"s\":\"y1\"}", false }, { "{\"k\":\"k3\"}", true }, { "{\"k\":\"k1\",\"s\":\"y2\"}", false },
        { "{\"s\":\"x\"}", false }, { "{\"s\":5}", true }, { "{\"s\":\"QQ\"}", true }, { "{\"k\":\"zz\",\"s\":\"y1\"}", true }, { "{}", false },
        { "{\"k\":\"k9\",\"s\":\"y9\",\"t\":\"0123456789\"}", true }, { "{\"k\":\"k9\",\"s\":\"y9\",\"t\":\"0123456789+\"}", false } };
    struct err e = { 0 };
    struct grammar *g = of_branches("{\"type\":\"object\",\"oneOf\":[",
                                    "{\"properties\":{\"k\":{\"type\":\"string\",\"enum\":[\"k%d\"]},\"s\":{\"type\":\"string\",\"enum\":[\"x\",\"y%d\"]},"
                                    "\"t\":{\"type\":\"string\",\"maxLength\":10}}}", 10, ",{\"properties\":{\"k\":{\"enum\":[\"zz\"]}}}]}", &e);
    CHECK(g, "%s", e.msg);
    for (size_t i = 0; g && i < LEN(all); i++) CHECK(accepts(g, all[i].text) == all[i].ok, "%s", all[i].text);
    grammar_free(g);
}

TEST(listed_values_are_judged_by_what_stands_beside_them)
{
    static const char *const beside[] = {
        "{}", "true", "false", "{\"type\":\"integer\"}", "{\"type\":[\"number\",\"null\"]}", "{\"not\":{\"type\":\"integer\"}}", "{\"minimum\":1,\"exclusiveMaximum\":2.5}",
        "{\"exclusiveMinimum\":1}", "{\"multipleOf\":0.5}", "{\"maximum\":-0}", "{\"minLength\":2}", "{\"maxLength\":2}", "{\"pattern\":\"^[a-z]+$\"}",
        "{\"format\":\"date\"}", "{\"format\":\"hostname\"}", "{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "{\"oneOf\":[{\"minimum\":1},{\"type\":\"integer\"}]}",
        "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":3},\"else\":{\"type\":\"number\"}}", "{\"if\":{\"type\":\"string\"}}", "{\"enum\":[1,\"a\",null]}", "{\"const\":2.5}",
        "{\"enum\":[1,2,3,4,5,6,7,8,9,10,\"a\",\"2020-02-29\",null,[],{}]}", "{\"allOf\":[{\"$ref\":\"#/$defs/s\"}],\"$defs\":{\"s\":{\"type\":\"string\"}}}",
        "{\"required\":[\"a\"]}", "{\"contains\":{}}", "{\"properties\":{\"a\":{\"type\":\"string\"}}}" };
    static const char *const value[] = { "1", "1.0", "2.5", "-0", "-0.0", "10", "1e1", "\"a\"", "\"\"", "\"ab\"", "\"\xc3\xa4\xc3\xb6\xe2\x82\xac\"", "\"2020-02-29\"",
                                         "\"2021-02-29\"", "null", "true", "false", "[]", "[1]", "{}", "{\"a\":1}", "{\"a\":\"x\"}" };
    static const char *const draft[] = { "draft4", "draft7", "draft2020-12" };
    for (size_t b = 0; b < LEN(beside); b++)
        for (size_t d = 0; d < LEN(draft); d++)
            for (size_t v = 0; v < LEN(value) && (d || !strstr(beside[b], "exclusive")); v++) {      /* draft 4 writes those otherwise */
                struct str t = { 0 };
                struct err e = { 0 };
                str_fmt(&t, "{\"allOf\":[%s],\"enum\":[%s,\"other\"],\"$defs\":{\"s\":{\"type\":\"string\"}}}", beside[b], value[v]);
                struct grammar_opts o = { .validate = true, .draft = draft[d] };
                struct grammar *g = compile(t.p, &o, &e);
                struct json *s = parse(t.p), *x = parse(value[v]);
                if (g) CHECK(accepts(g, value[v]) == schema_check(s, x, &o, &e), "%s %s: %s", draft[d], t.p, value[v]);
                else CHECK(!strcmp(beside[b], "true") || !strcmp(beside[b], "false"), "%s: %s", t.p, e.msg);
                grammar_free(g);
                json_free(s);
                json_free(x);
                str_done(&t);
            }
}

/* Values by the ten thousand, each held against a pattern and another list: looked up, not searched. */
TEST(long_lists_beside_others_are_quick)
{
    struct str t = { 0 };
    struct err e = { 0 };
    str_puts(&t, "{\"maxLength\":6,\"pattern\":\"[0-4]$\",\"enum\":[");
    for (int i = 0; i < 30000; i++) str_fmt(&t, "\"v%05d\",%d,", i, i);
    str_puts(&t, "0],\"allOf\":[{\"enum\":[");
    for (int i = 0; i < 30000; i++) str_fmt(&t, "%d,\"v%05d\",", i * 2, i * 2);
    str_puts(&t, "\"v00001\"]}]}");
    struct grammar *g = compile(t.p, NULL, &e);
    CHECK(g && accepts(g, "\"v00004\"") && accepts(g, "\"v29994\"") && accepts(g, "29998") && accepts(g, "\"v00001\""), "%s", e.msg);
    CHECK(g && !accepts(g, "\"v00006\"") && !accepts(g, "\"v00003\"") && !accepts(g, "29999") && !accepts(g, "30000"), "lists");
    grammar_free(g);
    str_done(&t);
}

TEST(relaxed_keywords_are_listed_and_wider)
{
    struct err e = { 0 };
    struct grammar_opts o = { .relax = true };
    struct grammar *g = compile("{\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^(x)\\\\1\"},\"b\":{\"$ref\":\"http://nobody.example/b\"},"
                                "\"c\":{\"type\":\"array\",\"not\":{\"uniqueItems\":true}}},\"additionalProperties\":false}", &o, &e);
    CHECK(g, "%s", e.msg);
    if (!g) return;
    CHECK(grammar_n_relaxed(g) == 3, "%zu", grammar_n_relaxed(g));
    CHECK(accepts(g, "{\"a\":\"yy\",\"b\":1,\"c\":[1,2]}"), "a relaxed grammar accepts more, not less");
    CHECK(!accepts(g, "{\"a\":1}") && !accepts(g, "{\"d\":1}") && !accepts(g, "{\"c\":{}}"), "what is enforced stays enforced");
    bool found = false;
    for (size_t i = 0; i < grammar_n_relaxed(g); i++) found |= !strcmp(grammar_relaxed(g, i), "schema: /properties/a/pattern");
    CHECK(found, "%s", grammar_n_relaxed(g) ? grammar_relaxed(g, 0) : "none");
    grammar_free(g);
}

/* ---- envelopes ------------------------------------------------------------------------------- */

static const char lfm2_json[] =
    "root = text(@\"<|call|>\") | @\"<|call|>\" \"[\" call (\", \" call)* \"]\" @\"<|end|>\";"
    "call = each { \"{\\\"name\\\":\\\"\" name \"\\\",\\\"arguments\\\":\" value(json) \"}\" };";
static const char pythonic[] = "@\"<|call|>\" \"[\" each { name \"(\" value(python-arguments) \")\" } \"]\" @\"<|end|>\"";

static struct grammar *tools(const char *envelope, const char *const *name, const char *const *schema, int n, const struct grammar_opts *o, struct err *e)
{
    struct grammar_pair pair[16];
    struct json *s[16];
    for (int i = 0; i < n; i++) pair[i] = (struct grammar_pair){ name[i], s[i] = parse(schema[i]) };
    struct grammar *g = grammar_compile(envelope, pair, n, NULL, 0, o, e);
    for (int i = 0; i < n; i++) json_free(s[i]);
    return g;
}

/* Text with \x01 \x02 for the markers; \x03 the end of turn. */
static bool accepts_marked(const struct grammar *g, const struct vocab *v, const char *text)
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

TEST(envelopes_hold_calls)
{
    static const char *const names[] = { "get", "get_all", "set light" };
    static const char *const schemas[] = { "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"}},\"required\":[\"id\"],\"additionalProperties\":false}",
        "{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}},\"additionalProperties\":false}",
        "{\"type\":\"object\",\"properties\":{\"on\":{\"type\":\"boolean\"},\"x\":{\"type\":[\"null\",\"array\"],\"items\":{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"a\",\"b\"]}}}}},\"required\":[\"on\"],\"additionalProperties\":false}" };
    static const struct { const char *envelope, *text; bool ok; } all[] = {
        { lfm2_json, "just text, <|call|> as text too", true }, { lfm2_json, "", true },
        { lfm2_json, "\x01[{\"name\":\"get\",\"arguments\":{\"id\":1}}]\x02", true },
        { lfm2_json, "\x01[{\"name\":\"get_all\",\"arguments\":{}}, {\"name\":\"get\",\"arguments\":{\"id\":2}}]\x02", true },
        { lfm2_json, "\x01[{\"name\":\"get_all\",\"arguments\":{\"id\":1}}]\x02", false },
        { lfm2_json, "\x01[{\"name\":\"gett\",\"arguments\":{}}]\x02", false }, { lfm2_json, "\x01[]\x02", false }, { lfm2_json, "\x01[{\"name\":\"get_all\",\"arguments\":{}}]", false },
        { lfm2_json, "\x01[{\"name\":\"get_all\",\"arguments\":{\"q\": \"x\", \"n\": 1}}]\x02", true },
        { lfm2_json, "\x01[{\"name\":\"get_all\",\"arguments\":{\"q\": \"x\"}}, {\"name\":\"get\",\"arguments\":{\"id\":2}}]\x02", false },
        { lfm2_json, "\x01[{\"name\":\"get\",\"arguments\":5}]\x02", false },
        { lfm2_json, "text\x01[{\"name\":\"get_all\",\"arguments\":{}}]\x02", false },
        { pythonic, "\x01[get(id=5)]\x02", true }, { pythonic, "\x01[get_all()]\x02", true }, { pythonic, "\x01[get()]\x02", false },
        { pythonic, "\x01[get_all(q=\"a\\nb\", n=3)]\x02", true }, { pythonic, "\x01[get_all(n=3,q=\"\")]\x02", true }, { pythonic, "\x01[get_all(n=3,q=\"\",n=1)]\x02", false },
        { pythonic, "\x01[get_all(n=3,)]\x02", false }, { pythonic, "\x01[get_all(z=3)]\x02", false },
        { pythonic, "\x01[set light(on=True, x=[{\"k\": \"a\"}])]\x02", true }, { pythonic, "\x01[set light(on=true)]\x02", false },
        { pythonic, "\x01[set light(x=None, on=False)]\x02", true },
    };
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct grammar *g = tools(all[i].envelope, names, schemas, 3, NULL, &e);
        CHECK(g && accepts_marked(g, v, all[i].text) == all[i].ok, "%s %s", all[i].text, e.msg);
        grammar_free(g);
    }
    vocab_close(v);
}

TEST(envelope_syntax)
{
    static const struct { const char *envelope, *text; bool ok; } all[] = {
        { "\"a\" (\"b\" | \"c\"){2,3} [x-z]+ [^a]? \"\\x41\\n\"", "abcxyA\n", true }, { "\"a\" (\"b\" | \"c\"){2,3} [x-z]+", "abx", false },
        { "\"a\"{2,} ", "aaaa", true }, { "\"a\"{2,}", "a", false }, { "\"a\"{0}", "", true }, { "root = x x; x = \"a\" | \"b\" x; # tail\n", "bba" "ba", true },
        { "y = x \"!\"; x = \"a\" x \"b\" | ;", "aabb!", true }, { "y = x \"!\"; x = \"a\" x \"b\" | ;", "aab!", false },
        { "text(\"<f=\", \"STOP\") \"<f=\" [a-z]* \">\" text", "a < <f b <<f=x> rest <f=", true }, { "text(\"<f=\") \"<f=a>\"", "x<f=b>", false },
        { "text(\"<f=\")", "x<f=b>", false }, { "text(\"<f=\")", "x<f", true }, { "(\"x\" | \"xy\") \"z\"", "xyz", true },
    };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct grammar *g = grammar_compile(all[i].envelope, NULL, 0, NULL, 0, NULL, &e);
        CHECK(g && accepts(g, all[i].text) == all[i].ok, "%s on %s: %s", all[i].envelope, all[i].text, e.msg);
        grammar_free(g);
    }
    static const char *const bad[] = { "", "\"a", "(\"a\"", "[z-a]", "x", "root = ;;", "\"a\"{3,1}", "\"a\"{99999}", "name", "value(json)", "schema(0)", "each { name }",
        "x = x \"a\"", "x = y; y = (\"a\"? x)", "(\"a\"?)*", "text+", "text(\"\")", "\"\\q\"", "schema(0, yaml)", "a = \"x\"; a = \"y\"", "\"a\" ) \"b\"", "((((((" };
    for (size_t i = 1; i < LEN(bad); i++) {
        struct err e = { 0 };
        struct grammar *g = grammar_compile(bad[i], NULL, 0, NULL, 0, NULL, &e);
        CHECK(!g && e.code && !strncmp(e.msg, "envelope: ", 10), "%s: %s", bad[i], e.msg);
        grammar_free(g);
    }
}

TEST(why_says_where)
{
    struct err e = { 0 };
    struct grammar *g = compile("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", NULL, &e);
    struct matcher *m = matcher_new(g, NULL, &e);
    CHECK(!matcher_commit_bytes(m, "[12;", 4), "; is not a separator");
    CHECK(strstr(matcher_why(m), "byte 3: ';' does not fit") && strstr(matcher_why(m), "','") && strstr(matcher_why(m), "']'"), "%s", matcher_why(m));
    matcher_free(m);
    grammar_free(g);
}

/* ---- random walks ---------------------------------------------------------------------------- */

/* Three objects times three of what is around them: readings that do the same until the inner one is closed. */
#define INNER(r) "{\"properties\":{\"a\":{\"type\":\"string\"},\"" r "\":{\"type\":\"null\"}},\"required\":[\"" r "\"]}"
#define INNERS "{\"type\":\"object\",\"anyOf\":[" INNER("b") "," INNER("on") "," INNER("12") "]}"
#define OUTER(r) "{\"properties\":{\"aa\":" INNERS ",\"" r "\":{\"type\":\"null\"}},\"required\":[\"aa\",\"" r "\"]}"

static const char *const walk_schemas[] = {
    /* names that are declared, or used up, settle nothing */
    "{\"type\":\"object\",\"patternProperties\":{\"^[0-9]$\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}},\"additionalProperties\":false,\"maxProperties\":2,"
    "\"not\":{\"anyOf\":[{\"patternProperties\":{\"^[134]$\":false}},{\"patternProperties\":{\"^[25]$\":false}},{\"patternProperties\":{\"^[12]$\":false}}]},"
    "\"dependencies\":{\"3\":{\"not\":{\"required\":[\"2\"]}}}}",
    "{\"type\":\"object\",\"patternProperties\":{\"^1$\":true},\"additionalProperties\":{\"type\":\"null\"},\"maxProperties\":3,\"not\":{\"patternProperties\":{\"^1$\":{\"type\":\"string\"}}}}",
    "{\"type\":\"object\",\"anyOf\":[" OUTER("a") "," OUTER("ab") "," OUTER("off") "]}",
    "{\"type\":\"string\",\"pattern\":\"^[abn]{4}-[0-9]{2}$\"}", "{\"type\":\"string\",\"maxLength\":9,\"not\":{\"pattern\":\"ab|ba|aa\"}}",
    "{\"type\":\"string\",\"minLength\":2,\"maxLength\":60,\"pattern\":\"^\\\\S(.*\\\\S)?$\"}", "{\"type\":\"string\",\"minLength\":3,\"not\":{\"pattern\":\"^a*$\"}}",
    "{\"type\":\"string\",\"oneOf\":[{\"pattern\":\"ab\"},{\"pattern\":\"on\"}],\"maxLength\":50}", "{\"type\":\"string\",\"pattern\":\"^.{2,40}$\"}",
    "{\"type\":\"object\",\"patternProperties\":{\"^[abc]{2,3}$\":{\"type\":\"null\"},\"^.{1,30}$\":{\"type\":\"null\"}},\"additionalProperties\":false,\"minProperties\":2,\"maxProperties\":3}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":20,\"not\":{\"format\":\"regex\"}}},\"required\":[\"a\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"oneOf\":[{\"properties\":{\"n\":{\"type\":\"string\"},\"b\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"integer\"}},\"additionalProperties\":false}},\"x\":{\"type\":\"boolean\"}},\"required\":[\"n\",\"x\"]},{\"properties\":{\"n\":{\"type\":\"string\"},\"b\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"integer\"}},\"additionalProperties\":false}},\"y\":{\"type\":\"boolean\"}},\"required\":[\"n\",\"y\"]},{\"properties\":{\"n\":{\"type\":\"string\"},\"b\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"integer\"}},\"additionalProperties\":false}},\"z\":{\"type\":\"boolean\"}},\"required\":[\"n\",\"z\"]}]}",
    "{\"type\":\"object\",\"properties\":{\"t\":{\"enum\":[\"a\",\"b\",\"c\",\"d\"]},\"p\":{\"type\":\"boolean\"},\"q\":{\"type\":\"boolean\"},\"r\":{\"type\":\"boolean\"},\"s\":{\"type\":\"boolean\"}},\"additionalProperties\":false,\"dependencies\":{\"p\":{\"properties\":{\"t\":{\"enum\":[\"a\",\"b\"]}}},\"q\":{\"properties\":{\"t\":{\"enum\":[\"b\",\"c\"]}}},\"r\":{\"properties\":{\"t\":{\"enum\":[\"d\"]}}},\"s\":{\"properties\":{\"t\":{\"enum\":[\"a\"]}}}}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"},\"d\":{\"type\":\"null\"},\"e\":{\"type\":\"null\"},\"f\":{\"type\":\"null\"}},\"additionalProperties\":false,\"allOf\":[{\"not\":{\"required\":[\"a\",\"b\"]}},{\"oneOf\":[{\"required\":[\"c\"]},{\"required\":[\"d\"]},{\"not\":{\"oneOf\":[{\"required\":[\"c\"]},{\"required\":[\"d\"]},{\"required\":[\"c\",\"d\"]}]}}]},{\"oneOf\":[{\"required\":[\"e\"]},{\"required\":[\"f\"]},{\"not\":{\"oneOf\":[{\"required\":[\"e\"]},{\"required\":[\"f\"]},{\"required\":[\"e\",\"f\"]}]}}]}]}",
    "{\"type\":\"object\",\"oneOf\":[{\"properties\":{\"k\":{\"enum\":[\"k0\"]},\"s\":{\"enum\":[\"a\",\"b\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k1\"]},\"s\":{\"enum\":[\"b\",\"c\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k2\"]},\"s\":{\"enum\":[\"c\",\"d\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k3\"]},\"s\":{\"enum\":[\"a\",\"d\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k4\"]},\"s\":{\"enum\":[\"b\",\"d\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k5\"]},\"s\":{\"enum\":[\"a\",\"c\"]}}},{\"properties\":{\"k\":{\"enum\":[\"k6\"]},\"s\":{\"enum\":[\"e\"]}}},{\"properties\":{\"k\":{\"enum\":[\"z\"]}}}],\"required\":[\"k\"],\"properties\":{\"k\":{},\"s\":{}},\"additionalProperties\":false}",
    "{\"type\":\"object\",\"patternProperties\":{\"^a[0-9]$\":{\"type\":\"null\"},\"^b[0-9]$\":{\"type\":\"boolean\"},\"[0-4]$\":{\"enum\":[null,true]},\"^c\":false},\"additionalProperties\":{\"type\":\"integer\"},\"maxProperties\":3}",
    "{\"type\":\"string\",\"pattern\":\"^(\\\\S+\\\\s+){0,2}\\\\S+$\"}",
    "{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"maxProperties\":2},\"maxItems\":3}",
    "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r0\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r0\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r1\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r1\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r2\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r2\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r3\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r3\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r4\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r4\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r5\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r5\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r6\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r6\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r7\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r7\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r8\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r8\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r9\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r9\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r10\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r10\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r11\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r11\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r12\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r12\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r13\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r13\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r14\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r14\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r15\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r15\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r16\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r16\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r17\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r17\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r18\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r18\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r19\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r19\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r20\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r20\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r21\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r21\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r22\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r22\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r23\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r23\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r24\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r24\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r25\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r25\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r26\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r26\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r27\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r27\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r28\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r28\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r29\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r29\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r30\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r30\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r31\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r31\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r32\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r32\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},\"r33\":{\"type\":\"boolean\"}},\"required\":[\"k\",\"r33\"]}]}",
    "{\"type\":\"string\",\"oneOf\":[{\"pattern\":\"ab\"},{\"pattern\":\"cd\"},{\"pattern\":\"e$\"}]}",
    "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":4},{\"type\":\"string\",\"pattern\":\"^b+$\",\"maxLength\":4},{\"type\":\"string\",\"minLength\":3,\"pattern\":\"^c+$\"},{\"enum\":[\"d\",1]}]}",
    "{\"type\":\"string\",\"pattern\":\"^(?=.{3,6}$)(?!.*bb)[ab]+$\"}",
    "{}", "{\"type\":\"string\"}", "{\"type\":\"string\",\"minLength\":3,\"maxLength\":5}", "{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":0.01}",
    "{\"type\":\"integer\",\"minimum\":95,\"maximum\":103}", "{\"type\":\"number\",\"minimum\":-1.25,\"maximum\":99.5}", "{\"type\":\"number\"}",
    "{\"enum\":[\"kitchen\",\"kit\",\"a\\\"b\",\"a\\nc\",\"a\\u0001\",\"\xc3\xa4\xe2\x82\xac\",12,1.5,null,[1],{\"a\":\"b\"}]}",
    "{\"type\":\"object\",\"properties\":{\"room\":{\"enum\":[\"kitchen\",\"hall\"]},\"on\":{\"type\":\"boolean\"},\"level\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100}},\"required\":[\"room\",\"level\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"aa\":{\"type\":\"string\"},\"a\\\"\":{\"type\":\"null\"},\"a\\n\":{}},\"required\":[\"aa\"],\"additionalProperties\":{\"type\":\"boolean\"}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"a\\\"b\":{\"type\":\"null\"},\"a\\u0001\":{\"type\":\"null\"}},\"required\":[\"a\\\"b\"],\"additionalProperties\":false}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1},\"minItems\":2,\"maxItems\":4}",
    "{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"},false],\"type\":\"array\"}",
    "{\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"name\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/t\"}",
    "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"integer\"}},\"required\":[\"k\",\"v\"]},{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"ab\"},\"v\":{\"type\":\"string\"}},\"required\":[\"k\"]},{\"type\":\"null\"}]}",
    "{\"type\":\"object\",\"required\":[\"x\",\"y\"],\"properties\":{\"y\":{\"type\":\"object\",\"required\":[\"p\"],\"properties\":{\"p\":{\"type\":\"array\",\"minItems\":2,\"items\":{\"type\":\"string\",\"minLength\":2}}}}}}",
    "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"minimum\":7},\"b\":{\"type\":\"null\"}}}]}",
    "{\"type\":\"string\",\"pattern\":\"^a[b-d]{2,4}$\"}",
    "{\"type\":\"string\",\"pattern\":\"ab\",\"maxLength\":5}", "{\"type\":\"string\",\"pattern\":\"^a*\\\"b$\",\"maxLength\":4}",
    "{\"type\":\"string\",\"format\":\"date\"}",
    "{\"type\":\"string\",\"format\":\"ipv4\"}",
    "{\"oneOf\":[{\"type\":\"integer\",\"multipleOf\":3},{\"type\":\"integer\",\"multipleOf\":5}],\"minimum\":-20,\"maximum\":40}",
    "{\"type\":\"number\",\"multipleOf\":0.25,\"minimum\":-1,\"maximum\":3}",
    "{\"not\":{\"type\":[\"object\",\"array\",\"string\"]}}",
    "{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[1,2]}},\"required\":[\"k\"],\"if\":{\"properties\":{\"k\":{\"const\":1}}},\"then\":{\"required\":[\"ab\"]},\"else\":{\"maxProperties\":2},\"additionalProperties\":{\"type\":\"boolean\"}}",
    "{\"type\":\"object\",\"patternProperties\":{\"^[ab]+$\":{\"type\":\"integer\"},\"^a\":{\"minimum\":10}},\"additionalProperties\":false,\"minProperties\":2,\"maxProperties\":3}",
    "{\"type\":\"object\",\"patternProperties\":{\"^a[1-3]$\":{\"type\":\"null\"}},\"additionalProperties\":false,\"required\":[\"a2\"]}",
    "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-c]{1,2}$\"},\"minProperties\":3,\"maxProperties\":4,\"additionalProperties\":{\"type\":\"null\"}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"aa\":{\"type\":\"null\"},\"ab\":{\"type\":\"null\"}},\"dependentRequired\":{\"a\":[\"aa\",\"ab\"]},\"minProperties\":1,\"additionalProperties\":false}",
    "{\"type\":\"object\",\"dependentSchemas\":{\"a\":{\"required\":[\"ab\"],\"properties\":{\"ab\":{\"type\":\"integer\"}}}},\"properties\":{\"a\":{\"type\":\"boolean\"}},\"minProperties\":1,\"maxProperties\":3}",
    "{\"type\":\"array\",\"contains\":{\"const\":12},\"minContains\":2,\"maxContains\":3,\"items\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":100},\"maxItems\":5}",
    /* elements that several contains count, one of them only so many */
    "{\"type\":\"array\",\"prefixItems\":[{\"enum\":[1,2]},{\"enum\":[1,2]}],\"items\":{\"enum\":[2,3]},\"allOf\":[{\"contains\":{\"const\":1}},{\"contains\":{\"const\":2},\"maxContains\":1},{\"contains\":{\"const\":3}}],\"maxItems\":4}",
    "{\"type\":\"array\",\"oneOf\":[{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"contains\":{\"const\":110}}},\"contains\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"const\":110}}}},"
    "{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"const\":110}}},\"contains\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"contains\":{\"const\":110}}}}]}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},\"minItems\":4,\"allOf\":[{\"contains\":{\"multipleOf\":2},\"minContains\":2,\"maxContains\":2},{\"contains\":{\"multipleOf\":3},\"minContains\":2,\"maxContains\":3}],\"maxItems\":5}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"}],\"contains\":{\"type\":\"null\"},\"items\":{\"type\":[\"null\",\"boolean\"]},\"minItems\":3}",
    "{\"type\":\"array\",\"items\":{\"enum\":[\"on\",\"off\",\"colour\",\"col\"]},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":12},\"uniqueItems\":true,\"minItems\":3,\"maxItems\":6}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":3},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"on\",\"off\"]},\"b\":{\"type\":\"boolean\"}},\"required\":[\"a\"],\"additionalProperties\":false},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"ab\":{\"type\":\"boolean\"}}}],\"unevaluatedProperties\":false}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"}],\"allOf\":[{\"minItems\":1}],\"unevaluatedItems\":{\"type\":\"boolean\"}}",
    "{\"type\":\"object\",\"not\":{\"required\":[\"a\",\"ab\"]},\"properties\":{\"a\":{\"type\":\"null\"},\"ab\":{\"type\":\"null\"},\"abc\":{\"type\":\"null\"}},\"minProperties\":2,\"additionalProperties\":false}",
};

/* One random token of the mask; -1 if it is empty. End of turn taken with some bias once allowed. */
static int32_t draw(const uint32_t *bits, int n_vocab, struct rng *r, bool end)
{
    int32_t eog = special_id(2);
    if (end && bits[eog / 32] >> (eog % 32) & 1) return eog;
    int n = 0;
    for (int t = 0; t < n_vocab; t++) n += bits[t / 32] >> (t % 32) & 1;
    if (!n) return -1;
    int k = (int)rng_below(r, (uint32_t)n);
    for (int t = 0; t < n_vocab; t++)
        if ((bits[t / 32] >> (t % 32) & 1) && k-- == 0) return t;
    return -1;
}

static void token_text(struct str *out, int32_t t)
{
    if (t < voc.n && voc.token[t].p) str_put(out, voc.token[t].p, voc.token[t].len);
    else if (t < voc.n) str_putc(out, (char)(t - special_id(0) + 1));
}

/* The mask must say exactly what trying every token says. */
static void check_mask(struct matcher *m, const uint32_t *bits, int n_vocab, const char *what)
{
    for (int t = 0; t < n_vocab; t++) {
        bool in = bits[t / 32] >> (t % 32) & 1, want = matcher_check(m, t);
        CHECK(in == want, "%s: token %d (%.*s): mask %d, tried %d", what, t, t < voc.n ? (int)voc.token[t].len : 0, t < voc.n && voc.token[t].p ? voc.token[t].p : "", in, want);
        if (in != want) return;
    }
}

static void check_value(const char *schema, const struct str *out)
{
    struct err e = { 0 };
    struct json *s = parse(schema), *v = json_parse(out->p ? out->p : "", out->len, &e);
    CHECK(v && schema_check(s, v, NULL, &e), "%s gave %.200s: %s", schema, out->p, e.msg);
    json_free(s);
    json_free(v);
}

TEST(walks_are_sound_exact_and_never_stuck)
{
    struct vocab *v = vocab();
    int n_vocab = voc.n + 5;
    uint32_t bits[32];
    for (size_t i = 0; i < LEN(walk_schemas); i++)
        for (int mode = 0; mode < 8; mode++) {
            struct grammar_opts o = { .spelling = (enum spelling)(mode % 4), .declared_order = mode >= 4 };
            struct err e = { 0 };
            struct grammar *g = compile(walk_schemas[i], &o, &e);
            CHECK(g, "%s: %s", walk_schemas[i], e.msg);
            for (int seed = 0; g && seed < (SANITIZED ? 10 : 40); seed++) {
                struct rng r = rng_make(11, i * 100 + (uint64_t)mode, (uint64_t)seed);
                struct matcher *m = matcher_new(g, v, &e);
                struct str out = { 0 };
                int steps = 0;
                while (!matcher_finished(m) || matcher_accepting(m)) {
                    matcher_mask(m, bits);
                    if (rng_below(&r, 4) == 0) check_mask(m, bits, n_vocab, walk_schemas[i]);
                    bool hurry = steps > 60;
                    if (hurry) { bool cut; CHECK(matcher_mask_budget(m, bits, matcher_shortest(m), &cut), "%s: cannot end after %s", walk_schemas[i], out.p); }
                    int32_t t = draw(bits, n_vocab, &r, hurry || rng_below(&r, 3) == 0);
                    CHECK(t >= 0, "%s: empty mask after %s", walk_schemas[i], out.p);
                    if (t < 0 || !matcher_commit(m, t)) break;
                    if (t == special_id(2)) break;
                    token_text(&out, t);
                    steps++;
                }
                CHECK(matcher_finished(m), "%s did not finish: %s", walk_schemas[i], out.p);
                check_value(walk_schemas[i], &out);
                str_done(&out);
                matcher_free(m);
            }
            grammar_free(g);
        }
    vocab_close(v);
}

static const char *const walk_names[] = { "get_light", "set_light", "get_all", "x" };
static const char *const walk_tools[] = {
    "{\"type\":\"object\",\"properties\":{\"room\":{\"enum\":[\"kitchen\",\"hall\"]}},\"required\":[\"room\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"properties\":{\"room\":{\"type\":\"string\"},\"level\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"required\":[\"room\",\"level\"]}",
    "{}", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"required\":[\"b\",\"c\"]}},\"required\":[\"a\"]}" };

/* A token is withheld exactly if it would leave more to do than the budget allows. */
static void check_priced(struct matcher *m, const uint32_t *bits, const uint32_t *full, int n_vocab, int left)
{
    for (int t = 0; t < n_vocab; t++) {
        if (!(full[t / 32] >> (t % 32) & 1)) continue;
        matcher_commit(m, t);
        bool fits = matcher_shortest(m) <= left - 1, in = bits[t / 32] >> (t % 32) & 1;
        matcher_rollback(m, 1);
        CHECK(fits == in, "token %d (%.*s): %d left, fits %d, in the mask %d", t, t < voc.n ? (int)voc.token[t].len : 0, t < voc.n && voc.token[t].p ? voc.token[t].p : "", left, fits, in);
        if (fits != in) return;
    }
}

/* Any budget of at least the shortest ends in time, whatever is drawn. */
TEST(budget_is_kept)
{
    static const char *const envelopes[] = { lfm2_json, pythonic };
    struct vocab *v = vocab();
    int n_vocab = voc.n + 5, n_cut = 0;
    uint32_t bits[32], full[32];
    for (size_t i = 0; i < LEN(envelopes); i++)
        for (int mode = 0; mode < 6; mode++) {
            struct grammar_opts o = { .spelling = (enum spelling)(mode % 3), .declared_order = mode >= 3 };
            struct err e = { 0 };
            struct grammar *g = tools(envelopes[i], walk_names, walk_tools, 4, &o, &e);
            CHECK(g, "%s", e.msg);
            for (int seed = 0; g && seed < 60; seed++) {
                struct rng r = rng_make(12, i * 10 + (uint64_t)mode, (uint64_t)seed);
                struct matcher *m = matcher_new(g, v, &e);
                int left = matcher_shortest(m) + (int)rng_below(&r, 30);
                struct str out = { 0 };
                bool cut, ended = false;
                CHECK(!matcher_mask_budget(m, bits, matcher_shortest(m) - 1, &cut), "less than the shortest is refused");
                while (!ended && left > 0) {
                    bool ok = matcher_mask_budget(m, bits, left, &cut);
                    CHECK(ok, "%s: %d tokens left, %d needed", out.p, left, matcher_shortest(m));
                    if (!ok) break;
                    matcher_mask(m, full);
                    bool less = memcmp(bits, full, MASK_WORDS(n_vocab) * 4) != 0;
                    CHECK(less == cut, "cut is said exactly: %d %d", less, cut);
                    if (rng_below(&r, 5) == 0) check_priced(m, bits, full, n_vocab, left);
                    n_cut += cut;
                    int32_t t = draw(bits, n_vocab, &r, false);
                    CHECK(t >= 0, "stuck after %s", out.p);
                    if (t < 0 || !matcher_commit(m, t)) break;
                    CHECK(matcher_shortest(m) <= left - 1, "a token that does not leave enough");
                    ended = t == special_id(2);
                    token_text(&out, t);
                    left--;
                }
                CHECK(ended, "no end within the budget: %s", out.p);
                str_done(&out);
                matcher_free(m);
            }
            grammar_free(g);
        }
    CHECK(n_cut > 1000, "the budget was hardly ever felt: %d", n_cut);
    vocab_close(v);
}

/* The same for single schemas: tight budgets, whatever the keywords, end in valid texts. */
TEST(tight_budgets_end_in_valid_texts)
{
    struct vocab *v = vocab();
    int n_vocab = voc.n + 5;
    uint32_t bits[32], full[32];
    for (size_t i = 0; i < LEN(walk_schemas); i++)
        for (int mode = 0; mode < 8; mode++) {
            struct grammar_opts o = { .spelling = (enum spelling)(mode % 4), .declared_order = mode >= 4 };
            struct err e = { 0 };
            struct grammar *g = compile(walk_schemas[i], &o, &e);
            for (int seed = 0; g && seed < (SANITIZED ? 12 : 60); seed++) {
                struct rng r = rng_make(13, i * 100 + (uint64_t)mode, (uint64_t)seed);
                struct matcher *m = matcher_new(g, v, &e);
                struct str out = { 0 };
                bool ended = false;
                for (int left = matcher_shortest(m) + (seed % 2 ? (int)rng_below(&r, 30) : 0); !ended && left > 0; left--) {
                    bool cut, ok = matcher_mask_budget(m, bits, left, &cut);
                    int32_t t = ok ? draw(bits, n_vocab, &r, rng_below(&r, 3) == 0) : -1;
                    matcher_mask(m, full);
                    CHECK(cut == (memcmp(bits, full, MASK_WORDS(n_vocab) * 4) != 0), "%s: cut %d after %s", walk_schemas[i], cut, out.p);
                    CHECK(t >= 0, "%s: mode %d: stuck with %d left, %d needed after %s", walk_schemas[i], mode, left, matcher_shortest(m), out.p);
                    if (t < 0 || !matcher_commit(m, t)) break;
                    ended = t == special_id(2);
                    CHECK(ended || matcher_shortest(m) < left, "%s: mode %d: token %d leaves %d of %d after %s", walk_schemas[i], mode, t, matcher_shortest(m), left - 1, out.p);
                    if (!ended) token_text(&out, t);
                }
                CHECK(ended, "%s: no end within the budget: %s", walk_schemas[i], out.p);
                if (ended) check_value(walk_schemas[i], &out);
                str_done(&out);
                matcher_free(m);
            }
            grammar_free(g);
        }
    vocab_close(v);
}

/* The state depends on bytes only: other cuts, rollback and forks lead to the same masks. */
TEST(state_depends_on_bytes_only)
{
    struct vocab *v = vocab();
    int n_vocab = voc.n + 5;
    uint32_t bits[32], other[32];
    struct err e = { 0 };
    struct grammar *g = tools(lfm2_json, walk_names, walk_tools, 4, NULL, &e);
    for (int seed = 0; g && seed < 40; seed++) {
        struct rng r = rng_make(13, 0, (uint64_t)seed);
        struct matcher *m = matcher_new(g, v, &e), *b = matcher_new(g, v, &e);
        for (int step = 0; step < 80; step++) {
            bool cut;
            if (!matcher_mask_budget(m, bits, MAX(matcher_shortest(m), 90 - step), &cut)) break;
            int32_t wrong = draw(bits, n_vocab, &r, false), t = draw(bits, n_vocab, &r, false);
            matcher_commit(m, wrong);
            matcher_rollback(m, 1);
            struct matcher *f = matcher_fork(m);
            if (t < 0 || !matcher_commit(m, t) || t == special_id(2)) { matcher_free(f); break; }
            matcher_commit(f, t);
            if (t < voc.n && voc.token[t].p) for (size_t k = 0; k < voc.token[t].len; k++) CHECK(matcher_commit_bytes(b, voc.token[t].p + k, 1), "byte by byte");
            else CHECK(matcher_commit(b, t), "special");
            matcher_mask(m, bits);
            matcher_mask(b, other);
            CHECK(!memcmp(bits, other, MASK_WORDS(n_vocab) * 4), "mask differs between cuts");
            matcher_mask(f, other);
            CHECK(!memcmp(bits, other, MASK_WORDS(n_vocab) * 4), "mask differs in the fork");
            CHECK(matcher_shortest(m) == matcher_shortest(b), "budget differs between cuts");
            matcher_free(f);
        }
        matcher_free(m);
        matcher_free(b);
    }
    grammar_free(g);
    vocab_close(v);
}

/* Whatever validates is accepted, however it is cut into tokens. */
TEST(valid_texts_pass_under_any_cut)
{
    struct vocab *v = vocab();
    static const struct { const char *schema, *text; } all[] = {
        { "{\"type\":\"object\",\"properties\":{\"room\":{\"type\":\"string\"},\"n\":{\"type\":\"number\",\"minimum\":-3.5}}}", "{\"room\": \"hello \xc3\xa4 \\\" \xf0\x9f\x98\x80\", \"n\": -3.25, \"extra\": [true, null]}" },
        { "{}", "{\"a\":[[1,2],{\"b\":{}},\"\"],\"c\":-0.5e3}" },
        { "{\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"green\",100]}}", "[\"red\", \"green\", 100]" } };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        struct grammar *g = compile(all[i].schema, NULL, &e);
        for (int seed = 0; g && seed < 50; seed++) {
            struct rng r = rng_make(14, i, (uint64_t)seed);
            struct matcher *m = matcher_new(g, v, &e);
            const char *p = all[i].text;
            while (*p) {
                int32_t fits[64];
                uint32_t n = 0;
                for (int t = 0; t < voc.n && n < 64; t++)
                    if (voc.token[t].p && !strncmp(p, voc.token[t].p, voc.token[t].len) && memchr(p, 0, voc.token[t].len) == NULL) fits[n++] = t;
                int32_t t = fits[rng_below(&r, n)];
                CHECK(matcher_check(m, t) && matcher_commit(m, t), "%s at %s: %s", all[i].text, p, matcher_why(m));
                p += voc.token[t].len;
            }
            CHECK(matcher_accepting(m), "%s is whole", all[i].text);
            matcher_free(m);
        }
        grammar_free(g);
    }
    vocab_close(v);
}

TEST(forced_runs_are_the_only_way_and_held_back)
{
    struct vocab *v = vocab();
    struct err e = { 0 };
    static const char *const one[] = { "get_light" }, *const schema[] = { "{\"type\":\"object\",\"properties\":{\"room\":{\"enum\":[\"kitchen\",\"kitten\"]}},\"required\":[\"room\"],\"additionalProperties\":false}" };
    struct grammar_opts o = { .spelling = SPELL_COMPACT };
    struct grammar *g = tools("@\"<|call|>\" \"[\" each { \"{\\\"name\\\":\\\"\" name \"\\\",\\\"arguments\\\":\" value(json) \"}\" } \"]\" @\"<|end|>\"", one, schema, 1, &o, &e);
    struct matcher *m = matcher_new(g, v, &e);
    int32_t run[64];
    CHECK(matcher_forced(m, run, 64, NULL) == 1 && run[0] == special_id(0), "the marker is forced");
    matcher_commit(m, run[0]);
    int n = matcher_forced(m, run, 64, NULL);
    struct str text = { 0 };
    for (int i = 0; i < n; i++) {
        CHECK(matcher_commit(m, run[i]), "a forced token is allowed");
        token_text(&text, run[i]);
    }
    CHECK(text.p && !strcmp(text.p, "[{\"name\":\"get_light\",\"arguments\":{\"room\":\""), "forced up to kit, which kitchen holds back: %s", text.p);
    str_done(&text);
    matcher_commit_bytes(m, "kitc", 4);
    n = matcher_forced(m, run, 64, NULL);
    for (int i = 0; i < n; i++) { matcher_commit(m, run[i]); token_text(&text, run[i]); }
    CHECK(text.p && !strcmp(text.p, "hen\"}}]"), "the end is forced: %s", text.p);
    CHECK(matcher_forced(m, run, 64, NULL) == 1 && run[0] == special_id(1), "the closing marker");
    matcher_commit(m, run[0]);
    CHECK(matcher_finished(m) && matcher_accepting(m), "done");
    str_done(&text);
    matcher_free(m);
    grammar_free(g);
    vocab_close(v);
}

/* What a run is behind some bytes, and what is drafted behind it. The vocabulary has `":"`, `"a`, `":[`, `-1`, `12`, `1.`, `[{`, `}]`. */
static const struct { const char *why, *schema, *before, *forced, *draft; enum spelling spelling; } run_rows[] = {
    { "nothing longer may come: up to the choice", "{'type':'object','properties':{'room':{'type':'string'}},'required':['room'],'additionalProperties':false}",
      "", "{\"room\":\"", "", SPELL_COMPACT },
    { "both ways on are longer tokens: held back, no draft", "{'type':'object','properties':{'room':{'enum':['on','off']}},'required':['room'],'additionalProperties':false}",
      "", "{\"room\":\"", "", SPELL_COMPACT },
    { "two digits of ten make a longer token: a draft", "{'type':'integer','minimum':100,'maximum':199}",
      "", "", "1", SPELL_COMPACT },
    { "every digit that may follow makes one: no draft", "{'enum':[12,100]}",
      "", "", "", SPELL_COMPACT },
    { "an array may be empty, `[]` is a token: a draft", "{'type':'array','items':{'type':'integer'}}",
      "", "", "[", SPELL_COMPACT },
    { "it may not be empty: forced", "{'type':'array','items':{'type':'integer'},'minItems':1}",
      "", "[", "", SPELL_COMPACT },
    { "where the output may end nothing is forced", "{'type':'integer'}",
      "12", "", "", SPELL_COMPACT },
    { "the lock is open: the style is a choice", "{'type':'object','properties':{'c':{'type':'boolean'},'d':{'type':'boolean'}},'required':['c','d'],'additionalProperties':false}",
      "", "{\"c", "", SPELL_LOCK },
    { "the lock has closed on blanks", "{'type':'object','properties':{'c':{'type':'boolean'},'d':{'type':'boolean'}},'required':['c','d'],'additionalProperties':false}",
      "{\"c\": true", ", \"d\": ", "", SPELL_LOCK },
    { "the lock has closed on none", "{'type':'object','properties':{'c':{'type':'boolean'},'d':{'type':'boolean'}},'required':['c','d'],'additionalProperties':false}",
      "{\"c\":true", ",\"d\":", "", SPELL_LOCK },
    { "a free choice of blanks forces no separator", "{'type':'object','properties':{'c':{'type':'boolean'},'d':{'type':'boolean'}},'required':['c','d'],'additionalProperties':false}",
      "{\"c\": true", "", "", SPELL_FLEXIBLE },
    { "fixed spelling", "{'type':'object','properties':{'c':{'type':'boolean'},'d':{'type':'boolean'}},'required':['c','d'],'additionalProperties':false}",
      "{\"c\": true", ", \"d\": ", "", SPELL_FIXED },
};

TEST(forced_runs_and_drafts)
{
    struct vocab *v = vocab();
    for (size_t i = 0; i < LEN(run_rows); i++) {
        struct err e = { 0 };
        char *schema = mem_str(run_rows[i].schema);
        for (char *p = schema; *p; p++) if (*p == '\'') *p = '"';
        struct grammar_opts o = { .spelling = run_rows[i].spelling, .declared_order = true };
        struct grammar *g = compile(schema, &o, &e);
        struct matcher *m = g ? matcher_new(g, v, &e) : NULL;
        struct str text[2] = { 0 };
        int32_t run[64];
        int n_draft = 0;
        CHECK(m && matcher_commit_bytes(m, run_rows[i].before, strlen(run_rows[i].before)), "%s: %s", run_rows[i].why, e.msg);
        for (int n, k = 0; k < 8 && (n = matcher_forced(m, run, 64, &n_draft)) > 0; k++)
            for (int t = 0; t < n; t++) {
                CHECK(matcher_commit(m, run[t]), "%s: a forced token is allowed", run_rows[i].why);
                token_text(&text[0], run[t]);
            }
        for (int t = 0; t < n_draft; t++) {
            CHECK(matcher_commit(m, run[t]), "%s: a draft is allowed", run_rows[i].why);
            token_text(&text[1], run[t]);
        }
        CHECK(!strcmp(text[0].p ? text[0].p : "", run_rows[i].forced), "%s: forced %s", run_rows[i].why, text[0].p);
        CHECK(!strcmp(text[1].p ? text[1].p : "", run_rows[i].draft), "%s: drafted %s", run_rows[i].why, text[1].p);
        str_done(&text[0]), str_done(&text[1]);
        matcher_free(m);
        grammar_free(g);
        mem_free(schema);
    }
    vocab_close(v);
}

/* Cuts "a%" + quote as one token, but % alone when a comma follows the quote: as merges by rank do. */
static int cut_by_rank(void *ctx, const char *p, size_t n, int32_t *out, int cap)
{
    int k = 0;
    for (size_t i = 0; i < n && k < cap; ) {
        size_t len = n - i > 1 && !memcmp(p + i, "\",", 2) ? 2 : 1;
        if (n - i > 1 && !memcmp(p + i, "%\"", 2) && !(n - i > 2 && p[i + 2] == ',')) len = 2;
        int32_t t = -1;
        for (int x = 0; x < 260 && t < 0; x++)
            if (((struct bytes *)ctx)[x].len == len && !memcmp(((struct bytes *)ctx)[x].p, p + i, len)) t = x;
        out[k++] = t;
        i += len;
    }
    return k;
}

TEST(a_longer_token_may_begin_inside_of_the_last_one)
{
    static char text[260][2];
    static struct bytes token[260];
    for (int b = 0; b < 256; b++) token[b] = (struct bytes){ memcpy(text[b], &(char){ (char)b }, 1), 1 };
    token[256] = (struct bytes){ memcpy(text[256], "%\"", 2), 2 };
    token[257] = (struct bytes){ memcpy(text[257], "\",", 2), 2 };
    token[258] = (struct bytes){ memcpy(text[258], "[[", 2), 2 };
    int32_t eog = 259, run[16];
    struct vocab_spec s = { .n_vocab = 260, .token = token, .eog = &eog, .n_eog = 1, .encode = cut_by_rank, .encode_ctx = token };
    struct err e = { 0 };
    struct vocab *v = vocab_open(&s, &e);
    struct grammar_opts o = { .spelling = SPELL_COMPACT };
    struct grammar *g = compile("{\"type\":\"array\",\"items\":{\"const\":\"a%\"},\"minItems\":1}", &o, &e);
    struct matcher *m = matcher_new(g, v, &e);
    int n = matcher_forced(m, run, 16, NULL);
    CHECK(n == 3 && run[0] == '[' && run[1] == '"' && run[2] == 'a', "%% waits for what follows the quote: %d tokens", n);
    matcher_free(m);
    grammar_free(g);
    g = compile("{\"type\":\"array\",\"items\":{\"const\":\"a%\"},\"minItems\":1,\"maxItems\":1}", &o, &e);
    m = matcher_new(g, v, &e);
    n = matcher_forced(m, run, 16, NULL);
    CHECK(n == 5 && run[3] == 256 && run[4] == ']', "all of it is forced when nothing else may follow: %d tokens", n);
    matcher_free(m);
    grammar_free(g);
    g = compile("{\"type\":\"array\",\"items\":{\"type\":[\"array\",\"integer\"]},\"minItems\":1}", &o, &e);
    m = matcher_new(g, v, &e);
    n = matcher_forced(m, run, 16, NULL);
    CHECK(n == 1 && run[0] == '[', "a longer token that the tokenizer never makes holds nothing back: %d tokens", n);
    matcher_free(m);
    grammar_free(g);
    vocab_close(v);
}

TEST(hostile_schemas_end_in_errors_or_work)
{
    struct err e = { 0 };
    struct str s = { 0 };
    str_puts(&s, "{\"enum\":[");
    for (int i = 0; i < 20000; i++) str_fmt(&s, "%s\"value %d\"", i ? "," : "", i * 7919);
    str_puts(&s, "]}");
    struct grammar *g = compile(s.p, NULL, &e);
    CHECK(g && accepts(g, "\"value 7919\"") && !accepts(g, "\"value 7918\""), "20000 enum values");
    grammar_free(g);
    str_clear(&s);
    for (int i = 0; i < 150; i++) str_puts(&s, "{\"items\":");
    str_puts(&s, "{}");
    for (int i = 0; i < 150; i++) str_putc(&s, '}');
    g = compile(s.p, NULL, &e);
    CHECK(g && accepts(g, "[[[]]]"), "deep schema %s", e.msg);
    grammar_free(g);
    str_clear(&s);
    str_puts(&s, "{\"allOf\":[");
    for (int i = 0; i < 12; i++) str_fmt(&s, "%s{\"anyOf\":[{\"minimum\":%d},{\"maximum\":%d}]}", i ? "," : "", i, -i);
    str_puts(&s, "]}");
    e = (struct err){ 0 };
    g = compile(s.p, NULL, &e);
    CHECK(!g && e.code == ERR_LIMIT, "2^12 alternatives: %s", e.msg);
    grammar_free(g);
    e = (struct err){ 0 };
    g = compile("{\"type\":\"array\",\"minItems\":100000000,\"items\":{\"type\":\"array\",\"minItems\":100000000}}", NULL, &e);
    CHECK(g, "huge minItems compile, they only never end: %s", e.msg);
    struct vocab *v = vocab();
    struct matcher *m = matcher_new(g, v, &e);
    CHECK(matcher_shortest(m) > 100000000, "their price is known: %d", matcher_shortest(m));
    matcher_free(m);
    vocab_close(v);
    grammar_free(g);
    g = compile("{\"type\":\"string\",\"minLength\":99999999999}", NULL, &e);
    CHECK(!g && strstr(e.msg, "minLength"), "%s", e.msg);
    grammar_free(g);
    str_done(&s);
}

/* ---- hostile schemas ------------------------------------------------------------------------- */

/* head, the unit n times (# is its number) and tail must compile or be refused with a sentence, in both modes, and answer a first mask. */
static void hostile(const char *what, const char *head, const char *unit, int n, const char *tail, bool fine)
{
    struct str text = { 0 };
    str_puts(&text, head);
    for (int i = 0; i < n; i++) {
        for (const char *p = unit; *p; p++)
            if (*p == '#') str_fmt(&text, "%d", i);
            else str_putc(&text, *p);
    }
    str_puts(&text, tail);
    for (int mode = 0; mode < 2; mode++) {
        struct err e = { 0 };
        struct grammar_opts o = { .validate = mode };
        struct grammar *g = compile(text.p, &o, &e);
        CHECK(g ? true : e.msg[0] != 0, "%s: refused without a word", what);
        CHECK(!fine || g, "%s: %s", what, e.msg);
        struct vocab *v = vocab();
        struct matcher *m = g ? matcher_new(g, v, &e) : NULL;
        uint32_t bits[32];
        if (m) matcher_mask(m, bits);
        matcher_free(m);
        grammar_free(g);
        vocab_close(v);
    }
    str_done(&text);
}

TEST(large_schemas_end_in_sentences_or_work)
{
    hostile("an enum of 100 000", "{\"enum\":[0", ",\"value #\"", 100000, "]}", true);
    hostile("40 000 properties", "{\"properties\":{\"a\":{}", ",\"p#\":{\"type\":\"string\"}", 40000, "}}", true);
    hostile("90 000 properties", "{\"properties\":{\"a\":{}", ",\"p#\":{\"type\":\"string\",\"maxLength\":#}", 90000, "}}", false);
    hostile("100 000 required", "{\"required\":[\"a\"", ",\"k#\"", 100000, "]}", true);
    hostile("an odd number of not", "{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":", "", 0, "{\"type\":\"string\"}}}}}}", true);
    hostile("exponential anyOf", "{\"allOf\":[{}", ",{\"anyOf\":[{\"properties\":{\"p#\":{\"type\":\"string\"}}},{\"properties\":{\"p#\":{\"type\":\"null\"}}}]}", 40, "]}", false);
    hostile("exponential oneOf", "{\"oneOf\":[{\"required\":[\"a\"]}", ",{\"properties\":{\"k#\":{\"type\":\"string\"}},\"required\":[\"r#\"]}", 40, "]}", false);
    hostile("a chain of references", "{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"x\":{}", ",\"d#\":{\"items\":{\"$ref\":\"#/$defs/x\"}}", 3000, "}}", false);
    hostile("2 000 dependencies", "{\"dependentSchemas\":{\"a\":{}", ",\"a#\":{\"required\":[\"b#\"]}", 2000, "}}", false);
    hostile("lengths", "{\"type\":\"string\",\"maxLength\":1000000000", "", 0, "}", true);
    hostile("more than there is", "{\"type\":\"array\",\"minItems\":1000000000", "", 0, "}", false);
    hostile("different numbers", "{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":1000,\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000}", "", 0, "}", true);
    hostile("a reference to itself", "{\"$ref\":\"#\"", "", 0, "}", false);
    hostile("(a+)+$", "{\"type\":\"string\",\"pattern\":\"^(a+)+$\"", "", 0, "}", true);
    hostile("a? 500 times", "{\"type\":\"string\",\"pattern\":\"^(?:a?){500}a{500}$\"", "", 0, "}", true);
    hostile("a letter 40 from the end", "{\"type\":\"string\",\"pattern\":\"[ab]*a[ab]{40}c\"", "", 0, "}", true);
    hostile("patterns of names", "{\"patternProperties\":{\"y\":{}", ",\"^[a-z]{#,}x\":{\"type\":\"string\"}", 60, "}}", false);
}

TEST_MAIN
