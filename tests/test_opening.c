/* test_opening.c -- how goals are opened: choices about a text alone, and what an object owes. Every schema is held against
 * every value, and the verdicts of the automaton, in both modes, must be those of the judge of finished values. */
#include "grammar/grammar.h"
#include "test.h"

static struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    CHECK(v, "test data: %s: %s", text, e.msg);
    return v;
}

static bool accepts(const struct grammar *g, const char *text)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(g, NULL, &e);
    bool ok = m && matcher_commit_bytes(m, text, strlen(text)) && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

/* dead: no value of the table meets the schema, which is refused where generating. */
static void agree(const char *schema, const char *const *value, size_t n, bool dead)
{
    struct json *s = parse(schema);
    for (int validate = 0; validate < 2; validate++) {
        struct err e = { 0 };
        struct grammar_opts o = { .validate = validate };
        struct grammar *g = grammar_of_schema(s, &o, &e);
        CHECK(g ? validate || !dead : dead, "%s: %s", schema, e.msg);
        for (size_t i = 0; i < n && g; i++) {
            struct json *v = parse(value[i]);
            struct err why = { 0 };
            CHECK(accepts(g, value[i]) == schema_check(s, v, &o, &why), "%s on %s, %s: %s", schema, value[i],
                  validate ? "validating" : "generating", why.msg);
            json_free(v);
        }
        grammar_free(g);
    }
    json_free(s);
}

TEST(choices_of_patterns_are_one_language)
{
    static const char *const schema[] = {
        "{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"b$\"}]}",
        "{\"type\":\"string\",\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"b$\"}],\"minLength\":2,\"maxLength\":3}",
        "{\"allOf\":[{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}]},{\"anyOf\":[{\"pattern\":\"a$\"},{\"pattern\":\"b$\"},{\"pattern\":\"1\"}]}]}",
        "{\"anyOf\":[{\"not\":{\"pattern\":\"a\"}},{\"allOf\":[{\"pattern\":\"b\"},{\"pattern\":\"1\"}]}]}",
        "{\"not\":{\"anyOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}}",
        "{\"not\":{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}}",
        "{\"not\":{\"allOf\":[{\"pattern\":\"a\"},{\"not\":{\"anyOf\":[{\"pattern\":\"b\"},{\"pattern\":\"1$\"}]}}]}}",
        "{\"not\":{\"not\":{\"not\":{\"pattern\":\"^a\"}}}}",
        "{\"anyOf\":[{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}],\"pattern\":\"1\"},{\"$ref\":\"#/$defs/two\"}],\"$defs\":{\"two\":{\"pattern\":\"^..$\"}}}",
        "{\"anyOf\":[{\"anyOf\":[{\"pattern\":\"^ab\"}]},{\"pattern\":\"^b\"}],\"not\":{\"pattern\":\"1\"}}",
        "{\"type\":[\"string\",\"integer\"],\"anyOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}],\"enum\":[\"ab\",\"1\",5,\"ba\",null]}",
        "{\"anyOf\":[{\"pattern\":\"^a\"},{\"type\":\"integer\"},{\"pattern\":\"^b\"}]}",
        "{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\",\"minLength\":3}]}",
        "{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}],\"oneOf\":[{\"pattern\":\"a\"},{\"pattern\":\"1\"}]}",
        "{\"propertyNames\":{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"b$\"}]},\"type\":\"object\"}",
        "{\"propertyNames\":{\"not\":{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}]}},\"type\":\"object\"}",
        "{\"not\":{\"propertyNames\":{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}]}},\"type\":\"object\"}",
        "{\"if\":{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}]},\"then\":{\"pattern\":\"1\"},\"else\":{\"pattern\":\"b\"}}",
        "{\"properties\":{\"a\":{\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}],\"not\":{\"anyOf\":[{\"pattern\":\"1\"},{\"pattern\":\"aa\"}]}}}}",
    };
    static const char *const value[] = { "\"\"", "\"a\"", "\"b\"", "\"ab\"", "\"ba\"", "\"a1\"", "\"b1\"", "\"aab\"", "\"a1b\"", "\"bb1\"", "\"1\"", "\"c\"", "\"cb\"",
                                         "\"abab\"", "5", "null", "true", "[]", "{\"a\":\"ab\"}", "{\"a\":\"b1\"}", "{\"a\":\"c\"}", "{\"b\":1}", "{\"cb\":1}", "{\"c\":1}",
                                         "{\"a1\":1,\"c\":2}", "{\"a\":\"a\",\"b\":2}" };
    for (size_t i = 0; i < LEN(schema); i++) agree(schema[i], value, LEN(value), false);
    agree("{\"type\":\"string\",\"anyOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"^b\"}],\"not\":{\"anyOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}}", value, LEN(value), true);
    agree("{\"type\":\"string\",\"anyOf\":[{\"pattern\":\"^a...\"},{\"pattern\":\"b...$\"}],\"maxLength\":3}", value, LEN(value), true);
}

/* Three choices of five conjunctions each, with lengths: a product of 125 languages unless the choices stay choices. */
TEST(choices_beside_each_other_do_not_multiply)
{
    struct str s = { 0 };
    str_puts(&s, "{\"type\":\"string\",\"minLength\":4,\"maxLength\":24,\"allOf\":[");
    for (int k = 0; k < 6; k++) {
        str_fmt(&s, "%s{\"anyOf\":[", k ? "," : "");
        for (int i = 0; i < 5; i++) str_fmt(&s, "%s{\"allOf\":[{\"pattern\":\"%c%d\"},{\"not\":{\"pattern\":\"z%d%d$\"}}]}", i ? "," : "", 'a' + k, i, k, i);
        str_puts(&s, "]}");
    }
    str_puts(&s, "]}");
    static const char *const value[] = { "\"a0b1c2d3e4f0\"", "\"a0b1c2d3e4\"", "\"f4e4d4c4b4a4z44\"", "\"f4e4d4c4b4a4z34\"", "\"a0b1c2d3e4f0z50\"", "\"a0\"", "1" };
    agree(s.p, value, LEN(value), false);               /* 15 625 ways are more than may be looked at */
    str_done(&s);
}

TEST(debts_are_settled_by_what_the_judge_says)
{
    static const char *const schema[] = {
        /* a branch says nothing of the other's keys, the same of a key, a narrower thing, another type */
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}},{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"integer\"}}}]}",
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"x\"},\"b\":{\"type\":\"string\"}}},{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"x\"},\"b\":{\"type\":\"integer\"}}}]}",
        "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"pattern\":\"x\"},\"b\":{}}},{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"x\"},\"b\":{\"enum\":[1,2]}}}]}",
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":{\"type\":\"integer\"}}},{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}]}",
        "{\"oneOf\":[{\"properties\":{\"a\":{\"type\":\"string\",\"minLength\":2}}},{\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"b\"]}],\"type\":\"object\"}",
        "{\"type\":\"object\",\"not\":{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}}}}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"not\":{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}},\"required\":[\"b\"]}}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/s\"}},\"not\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/s\"},\"b\":{\"type\":\"null\"}}},\"$defs\":{\"s\":{\"type\":\"string\"}}}",
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"allOf\":[{\"type\":\"string\"}]}},\"not\":{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{}}}}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"required\":[\"b\"]}},\"not\":{\"properties\":{\"a\":{\"type\":\"object\"}},\"patternProperties\":{\"^b\":{\"type\":\"string\"}}}}",
        "{\"type\":\"object\",\"patternProperties\":{\"^a$\":{\"type\":\"string\"},\"^ab\":{\"type\":\"integer\"}},\"additionalProperties\":false,\"minProperties\":1}",
        "{\"type\":\"object\",\"patternProperties\":{\"^a\":{\"type\":\"string\"},\"b$\":{\"minLength\":2}},\"additionalProperties\":{\"type\":\"integer\"}}",
    };
    static const char *const value[] = { "{}", "{\"a\":\"x\"}", "{\"a\":\"xx\"}", "{\"a\":\"y\"}", "{\"a\":1}", "{\"a\":[]}", "{\"b\":1}", "{\"b\":3}", "{\"b\":\"x\"}", "{\"b\":null}",
                                         "{\"a\":\"x\",\"b\":1}", "{\"a\":\"x\",\"b\":\"x\"}", "{\"a\":\"x\",\"b\":3}", "{\"a\":1,\"b\":1}", "{\"a\":1,\"b\":\"x\"}", "{\"a\":[],\"b\":1}",
                                         "{\"a\":\"xx\",\"b\":null}", "{\"b\":1,\"a\":\"xx\"}", "{\"c\":1}", "{\"ab\":1}", "{\"ab\":\"xx\",\"c\":2}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1},\"b\":\"x\"}",
                                         "{\"a\":{}}", "{\"c\":1,\"a\":\"x\"}", "[]", "1" };
    for (size_t i = 0; i < LEN(schema); i++) agree(schema[i], value, LEN(value), false);
}

/* What patterns surely begin with tells them apart; letters that may be missing, and choices, do not. */
TEST(patterns_of_keys_are_told_apart_by_how_they_begin)
{
    static const char *const schema[] = {
        "{\"patternProperties\":{\"^ab?c\":{\"type\":\"string\"},\"^ac\":{\"minLength\":2}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^x*ac\":{\"type\":\"string\"},\"^ac\":{\"minLength\":2}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^Ã©*a\":{\"type\":\"string\"},\"^ac\":{\"minLength\":2},\"^Ã¨\":{\"type\":\"null\"}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^b|c$\":{\"type\":\"string\"},\"^ac\":{\"minLength\":2}},\"additionalProperties\":{\"type\":\"integer\"},\"type\":\"object\"}",
        "{\"patternProperties\":{\"^a(?:c|b)$\":{\"type\":\"string\"},\"^b[|]\":{\"minLength\":2},\"^a\\\\x63\":{\"maxLength\":2}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^a{0}c\":{\"type\":\"string\"},\"^b\":{\"minLength\":2},\"^c\":{\"maxLength\":2},\"a\":{\"type\":\"string\"}},\"additionalProperties\":false,\"type\":\"object\"}",
    };
    static const char *const value[] = { "{}", "{\"ac\":\"x\"}", "{\"ac\":\"xx\"}", "{\"ac\":\"xxx\"}", "{\"ac\":12}", "{\"abc\":\"x\"}", "{\"abc\":1}", "{\"xac\":\"x\"}", "{\"xac\":1}",
                                         "{\"Ã©" "ac\":\"x\"}", "{\"Ã©" "ac\":1}", "{\"Ã¨\":null}", "{\"Ã¨\":1}", "{\"b\":\"x\"}", "{\"b\":1}", "{\"bc\":\"x\"}", "{\"d\":1}", "{\"d\":\"x\"}",
                                         "{\"ab\":\"x\"}", "{\"ab\":1}", "{\"b|\":\"x\"}", "{\"b|\":\"xx\"}", "{\"c\":\"x\"}", "{\"c\":\"xxx\"}", "{\"c\":1}", "{\"ba\":\"xx\"}", "{\"ba\":1}" };
    for (size_t i = 0; i < LEN(schema); i++) agree(schema[i], value, LEN(value), false);
}

/* Every schema above it is recursive: what it owes must be found settled, whatever is looked at first. */
TEST(debts_in_a_loop_are_settled)
{
    static const char *const value[] = { "{\"k\":\"a\",\"x\":1}", "{\"k\":\"b\",\"kid\":{\"k\":\"a\",\"x\":1}}", "{\"k\":\"b\",\"kid\":{\"k\":\"b\"}}", "{\"k\":\"b\"}", "{\"k\":\"b\",\"kid\":5}",
                                         "{\"k\":\"c\",\"kid\":{\"k\":\"c\",\"list\":[{\"k\":\"a\"}]},\"list\":[]}", "{\"k\":\"c\",\"list\":[{\"k\":\"c\"}]}", "{\"x\":1}", "{\"x\":\"s\"}" };
    agree("{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"oneOf\":[{\"properties\":{\"k\":{\"enum\":[\"a\",\"b\"]},\"x\":{\"type\":\"integer\"}}},"
          "{\"properties\":{\"k\":{\"enum\":[\"b\",\"c\"]},\"kid\":{\"$ref\":\"#/$defs/t\"}}},{\"properties\":{\"list\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"kid\"]}]}}}",
          value, LEN(value), false);
}

/* Which names match which patterns, all of them together: by the automata of the patterns side by side, and, with more
 * patterns than are walked so, by one automaton of all. */
TEST(names_are_sorted_by_all_patterns)
{
    static const char *const schema[] = {
        "{\"patternProperties\":{\"a\":{\"type\":\"string\"},\"b\":{\"minLength\":2},\"a.*b\":{\"maxLength\":2}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^.$\":{\"type\":\"string\"},\"^..$\":{\"type\":\"integer\"},\"a\":{}},\"additionalProperties\":{\"type\":\"null\"},\"type\":\"object\"}",
        "{\"patternProperties\":{\"^[^a]*$\":{\"type\":\"string\"},\"a\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"null\"},\"type\":\"object\"}",
        "{\"patternProperties\":{\"^\\u00e9\":{\"type\":\"string\"},\"^[^a-z]\":{\"minLength\":2},\"c$\":{\"maxLength\":2}},\"additionalProperties\":false,\"type\":\"object\"}",
        "{\"patternProperties\":{\"^a\":{},\"b\":{},\"c\":{\"type\":\"string\"},\"^.{1,3}$\":{\"minLength\":2}},\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1,\"type\":\"object\"}",
        "{\"patternProperties\":{\"a\":{\"type\":\"string\"}},\"type\":\"object\",\"not\":{\"patternProperties\":{\"b\":{\"type\":\"integer\"},\"^a\":{\"minLength\":2}}}}",
    };
    static const char *const value[] = { "{}", "{\"a\":\"x\"}", "{\"a\":\"xx\"}", "{\"a\":1}", "{\"b\":\"x\"}", "{\"b\":\"xx\"}", "{\"b\":1}", "{\"ab\":\"xx\"}", "{\"ab\":\"xxx\"}", "{\"ab\":1}",
                                         "{\"ba\":\"xxx\"}", "{\"ba\":1}", "{\"\u00e9\":\"xx\"}", "{\"\u00e9\":\"x\"}", "{\"\u00e9c\":\"xxx\"}", "{\"\u00e9\":1}", "{\"c\":null}", "{\"c\":\"xxx\"}", "{\"c\":1}",
                                         "{\"d\":null}", "{\"ddd\":null}", "{\"ac\":\"x\"}", "{\"ac\":\"xx\"}", "{\"abcd\":1}", "{\"abcd\":\"x\"}", "{\"z\":1,\"a\":\"x\"}", "{\"zzzz\":1}" };
    for (size_t i = 0; i < LEN(schema); i++) agree(schema[i], value, LEN(value), false);
    struct str s = { 0 };
    str_puts(&s, "{\"type\":\"object\",\"additionalProperties\":false,\"patternProperties\":{");
    for (int n = 1; n <= 16; n++) str_fmt(&s, "%s\"^a{%d}\":{\"%s\":%d}", n > 1 ? "," : "", n, n % 2 ? "minimum" : "maximum", n % 2 ? n : 40 - n);
    str_puts(&s, "}}");
    static const char *const deep[] = { "{\"a\":1}", "{\"a\":0}", "{\"aa\":38}", "{\"aa\":39}", "{\"aaaaaaaaaaaaaaa\":15}", "{\"aaaaaaaaaaaaaaa\":14}", "{\"aaaaaaaaaaaaaaaa\":24}",
                                        "{\"aaaaaaaaaaaaaaaa\":25}", "{\"aaaaaaaaaaaaaaaaab\":16,\"ab\":1}", "{\"ba\":1}", "{}" };
    agree(s.p, deep, LEN(deep), false);
    str_done(&s);
}

/* Objects of which nothing but the names of properties is asked, and those that are just beyond. */
TEST(what_several_schemas_say_of_a_key)
{
    static const char many[] = "\"a\":{\"type\":\"integer\"},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{},\"i\":{},\"j\":{},\"k\":{},\"l\":{},\"m\":{},"
                               "\"n\":{},\"o\":{},\"p\":{},\"q\":{},\"r\":{\"type\":\"null\"}";
    static const char *const schema[] = {
        "{\"type\":\"object\",\"properties\":{%s},\"additionalProperties\":false,\"required\":[\"a\"]}",
        "{\"type\":\"object\",\"properties\":{%s},\"additionalProperties\":{\"type\":\"string\"},\"required\":[\"z\",\"a\"]}",
        "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"r\":{},\"z\":{\"type\":\"string\"},\"a\":{\"minimum\":2}},\"additionalProperties\":{\"type\":\"null\"}},{\"properties\":{%s}}]}",
        "{\"type\":\"object\",\"allOf\":[{\"properties\":{%s}},{\"required\":[\"z\"]},{\"properties\":{\"z\":{\"type\":\"string\"},\"b\":false},\"additionalProperties\":{\"not\":{\"type\":\"null\"}}}]}",
        "{\"type\":\"object\",\"properties\":{%s},\"dependentRequired\":{\"a\":[\"z\"],\"z\":[\"r\"]},\"maxProperties\":3}",
        "{\"type\":\"object\",\"properties\":{%s},\"not\":{\"properties\":{\"a\":{\"minimum\":2},\"r\":{\"type\":\"null\"}}}}",
        "{\"type\":\"object\",\"allOf\":[{\"properties\":{%s}}],\"unevaluatedProperties\":false}",
        "{\"type\":\"object\",\"if\":{\"properties\":{\"r\":{\"type\":\"null\"}}},\"then\":{\"properties\":{%s}},\"else\":{\"required\":[\"a\"]}}",
    };
    static const char *const value[] = { "{}", "{\"a\":1}", "{\"a\":2}", "{\"a\":\"x\"}", "{\"r\":null}", "{\"r\":1}", "{\"z\":\"x\"}", "{\"z\":1}", "{\"a\":2,\"z\":\"x\"}",
                                         "{\"z\":\"x\",\"r\":null,\"a\":1}", "{\"a\":1,\"z\":\"x\",\"r\":null,\"b\":0}", "{\"b\":1,\"z\":\"x\"}", "{\"c\":null,\"z\":\"x\"}", "{\"y\":null}",
                                         "{\"y\":1,\"z\":\"\"}", "{\"q\":[]}", "{\"q\":null,\"a\":3}" };
    for (size_t i = 0; i < LEN(schema); i++) {
        struct str s = { 0 };
        const char *at = strstr(schema[i], "%s");
        str_put(&s, schema[i], (size_t)(at - schema[i]));
        str_puts(&s, many);
        str_puts(&s, at + 2);
        agree(s.p, value, LEN(value), false);
        str_done(&s);
    }
}

TEST_MAIN
