/* test_grammar.c -- the automaton against tables and against check.c: which texts a schema accepts in each spelling and surface,
 * what is refused and how, envelopes, hostile schemas. test_grammar_walk.c has the masks. */
#include "grammar.h"

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
    { "no object, but another type", "{\"required\":[\"a\"],\"dependentSchemas\":{\"a\":{\"properties\":{\"a\":false}}}}", "null", true },
    { "no object", "{\"required\":[\"a\"],\"dependentSchemas\":{\"a\":{\"properties\":{\"a\":false}}}}", "{\"a\":1}", false },
    { "values of two schemas clash in objects only", "{\"anyOf\":[{\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":\"c\"}},\"required\":[\"k\"]}],\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}", "5", true },
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
        { "{\"type\":\"array\",\"uniqueItems\":true,\"contains\":{\"enum\":[1,2,3]},\"minContains\":4}", ERR_SCHEMA, "no value satisfies" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":false},\"additionalProperties\":false,\"dependentRequired\":{\"a\":[\"b\"]},\"minProperties\":1}", ERR_SCHEMA, "no value satisfies" },
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
/* ---- hostile schemas ------------------------------------------------------------------------- */

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
    hostile("a million of one kind", "{\"type\":\"array\",\"contains\":{\"type\":\"integer\"},\"minContains\":1000000,\"maxContains\":2000000,\"items\":{\"type\":[\"integer\",\"string\"]}", "", 0, "}", true);
    hostile("300 patterns that match together", "{\"patternProperties\":{\"b\":{}", ",\"^.*a#.*$\":{\"minLength\":#}", 300, "}}", false);
    hostile("different numbers", "{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":1000,\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1000}", "", 0, "}", true);
    hostile("a reference to itself", "{\"$ref\":\"#\"", "", 0, "}", false);
    hostile("(a+)+$", "{\"type\":\"string\",\"pattern\":\"^(a+)+$\"", "", 0, "}", true);
    hostile("a? 500 times", "{\"type\":\"string\",\"pattern\":\"^(?:a?){500}a{500}$\"", "", 0, "}", true);
    hostile("a letter 40 from the end", "{\"type\":\"string\",\"pattern\":\"[ab]*a[ab]{40}c\"", "", 0, "}", true);
    hostile("patterns of names", "{\"patternProperties\":{\"y\":{}", ",\"^[a-z]{#,}x\":{\"type\":\"string\"}", 60, "}}", false);
}
TEST_MAIN
