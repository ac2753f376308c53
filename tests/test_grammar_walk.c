/* test_grammar_walk.c -- masks against brute force, budgets and forced runs, on random walks.
 *
 * Walks over masks of a small made-up vocabulary look for what tables miss: output that does not validate, empty masks, masks
 * that differ from trying every token, budgets that run out, state that depends on more than the bytes. */
#include "grammar.h"
#include "grammar/int.h"

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
    "{\"type\":\"array\",\"oneOf\":[{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"contains\":{\"const\":110}}},\"contains\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"const\":110}}}},{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"const\":110}}},\"contains\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"contains\":{\"const\":110}}}}]}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},\"minItems\":4,\"allOf\":[{\"contains\":{\"multipleOf\":2},\"minContains\":2,\"maxContains\":2},{\"contains\":{\"multipleOf\":3},\"minContains\":2,\"maxContains\":3}],\"maxItems\":5}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"}],\"contains\":{\"type\":\"null\"},\"items\":{\"type\":[\"null\",\"boolean\"]},\"minItems\":3}",
    /* elements that count, or of which there are few, and none twice; short names; keys that bring others along */
    "{\"type\":\"array\",\"contains\":{\"type\":\"number\"},\"uniqueItems\":true,\"maxItems\":3}",
    "{\"type\":\"array\",\"contains\":{\"type\":\"number\",\"multipleOf\":11,\"minimum\":100},\"allOf\":[{\"contains\":{\"type\":\"number\",\"multipleOf\":3}}],\"uniqueItems\":true,\"maxItems\":3}",
    "{\"type\":\"array\",\"contains\":{\"enum\":[1,2,3]},\"uniqueItems\":true,\"minContains\":3}",
    "{\"type\":\"array\",\"contains\":{\"type\":\"integer\"},\"uniqueItems\":true,\"items\":{\"type\":[\"integer\",\"string\"]},\"maxItems\":4}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\",\"multipleOf\":0.5,\"minimum\":0,\"maximum\":3},\"uniqueItems\":true,\"minItems\":5}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-2,\"not\":{\"multipleOf\":2}},\"uniqueItems\":true,\"minItems\":3}",
    "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":1},\"properties\":{\"a\":true,\"bb\":false,\"c\":{\"type\":\"null\"}},\"minProperties\":4}",
    "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":2},\"additionalProperties\":{\"type\":\"null\"},\"minProperties\":2}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"},\"c\":{\"type\":\"null\"}},\"additionalProperties\":false,\"dependentRequired\":{\"a\":[\"b\"],\"c\":[\"a\"]},\"minProperties\":3}",
    "{\"type\":\"array\",\"items\":{\"enum\":[\"on\",\"off\",\"colour\",\"col\"]},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"i\":{\"type\":\"array\",\"items\":{\"enum\":[\"on\",\"off\"]},\"uniqueItems\":true,\"minItems\":2},\"n\":{\"type\":\"string\"}},\"required\":[\"i\",\"n\"],\"additionalProperties\":false},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"},\"b\":{\"type\":\"string\",\"maxLength\":2},\"c\":{\"type\":\"null\"}},\"additionalProperties\":false},\"uniqueItems\":true,\"minItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"on\",\"off\"]},\"b\":{\"type\":\"string\"},\"c\":{\"type\":\"string\"},\"d\":{\"type\":\"boolean\"}},\"additionalProperties\":false,\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"d\"]}],\"dependencies\":{\"a\":{\"not\":{\"required\":[\"b\"]}},\"d\":{\"not\":{\"required\":[\"b\",\"c\"]}},\"c\":{\"required\":[\"d\"]}}},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":12},\"uniqueItems\":true,\"minItems\":3,\"maxItems\":6}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":3},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\",\"minimum\":3},\"uniqueItems\":true,\"minItems\":3}",
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

/* Of one letter, alike for long, or one within the other, with a letter 0, twice: in the order of their bytes, then of their ids. */
TEST(a_vocabulary_is_sorted)
{
    enum { N = 4000 };
    static struct bytes token[N];
    static char room[N][40];
    struct err e = { 0 };
    for (uint64_t round = 0; round < 3; round++) {
        for (int t = 0; t < N; t++) {
            struct rng g = rng_make(11, (uint64_t)t, round);
            size_t n = 1 + rng_below(&g, round ? 39 : 9), same = round == 2 ? rng_below(&g, (uint32_t)n + 1) : 0;
            for (size_t i = 0; i < n; i++) room[t][i] = i < same ? 'x' : "ab\0\xff"[rng_below(&g, 4)];
            token[t] = (struct bytes){ room[t], n };
        }
        struct vocab_spec s = { .n_vocab = N, .token = token };
        struct vocab *v = vocab_open(&s, &e);
        CHECK(v && v->all.first[v->all.n] == N, "%s", e.msg);
        for (int i = 1; v && i < N; i++) {
            struct bytes a = token[v->all.list[i - 1]], b = token[v->all.list[i]];
            int c = memcmp(a.p, b.p, MIN(a.len, b.len));
            bool twins = !c && a.len == b.len;
            CHECK(c < 0 || (!c && (a.len < b.len || (twins && v->all.list[i - 1] < v->all.list[i]))), "place %d of round %d", i, (int)round);
        }
        vocab_close(v);
    }
}

/* Texts with an automaton are walked in the trie of all tokens first, then in one in which letters of one class are one. */
TEST(masks_are_the_same_in_a_coarser_trie)
{
    static const struct { const char *why, *schema, *text; } row[] = {
        { "words counted", "{\"type\":\"string\",\"pattern\":\"^(?:\\\\S+\\\\s+){0,9}\\\\S+$\"}", "\"the a" },
        { "parts counted, and a length", "{\"type\":\"string\",\"pattern\":\"^[^.\\\\s]{1,6}([.][^.\\\\s]{1,6}){1,3}$\",\"maxLength\":9}", "\"ab.c" },
        { "a class beyond ASCII", "{\"type\":\"string\",\"pattern\":\"^[^0-9\\u00e4]{3,7}-[0-9]*$\"}", "\"abc" },
        { "what it must not hold", "{\"type\":\"string\",\"not\":{\"pattern\":\"[a-m]{2}.[0-9]\"}}", "\"a" },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        struct vocab *v = vocab();
        struct err e = { 0 };
        struct grammar *g = compile(row[i].schema, NULL, &e);
        struct matcher *m = g ? matcher_new(g, v, &e) : NULL;
        uint32_t bits[32];
        CHECK(m && matcher_commit_bytes(m, row[i].text, strlen(row[i].text)), "%s: %s", row[i].why, m ? matcher_why(m) : e.msg);
        for (int k = 0; m && k < 12; k++) {
            vocab_cache_clear(v);
            matcher_mask(m, bits);
            check_mask(m, bits, voc.n + 5, row[i].why);
        }
        vocab_cache_clear(v);
        CHECK(vocab_cache_stats(v).bytes > 1000, "%s: no coarser trie was made", row[i].why);
        matcher_free(m);
        grammar_free(g);
        vocab_close(v);
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

TEST_MAIN
