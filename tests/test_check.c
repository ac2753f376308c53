/* test_check.c -- the judge of finished values: a table of its own, its messages, formats, and the
 * official JSON-Schema-Test-Suite where it lies beside the checkout.
 *
 * Of the suite every required verdict must be right. The numbers below only ever go down: what is wrong
 * of the optional part is draft 7's content* (annotations here, as in later drafts) and, among the
 * formats, the IDNA rules of internationalised host names. The same for the instances of the
 * development half of MaskBench, of which two other validators agreed. */
#include <dirent.h>

#include "grammar/grammar.h"
#include "test.h"

static struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    if (!v) fprintf(stderr, "test data: %s: %s\n", text, e.msg);
    return v;
}

static bool check(const char *schema, const char *value, const struct grammar_opts *o, struct err *e)
{
    struct json *s = parse(schema), *v = parse(value);
    bool ok = schema_check(s, v, o, e);
    json_free(s);
    json_free(v);
    return ok;
}

static const struct { const char *schema, *value, *why; } rows[] = {   /* why NULL: valid; else part of the message */
    { "{\"type\":\"integer\"}", "1.0", NULL },
    { "{\"type\":\"integer\"}", "1.5", "value: 1.5 is not of type integer" },
    { "{\"properties\":{\"brightness\":{\"maximum\":100}}}", "{\"brightness\":120}", "/brightness: 120 is above maximum 100" },
    { "{\"items\":{\"properties\":{\"a\":{\"type\":\"string\"}}}}", "[{},{\"a\":3}]", "/1/a: 3 is not of type string" },
    { "{\"required\":[\"a\"]}", "{}", "value: a is required but missing" },
    { "{\"additionalProperties\":false}", "{\"x\":1}", "x is not a known key" },
    { "{\"properties\":{\"x\":{}},\"patternProperties\":{\"^y\":{}},\"additionalProperties\":false}", "{\"x\":1,\"yy\":2}", NULL },
    { "{\"enum\":[1,\"a\"]}", "1e0", NULL }, { "{\"enum\":[1,\"a\"]}", "\"b\"", "\"b\" is not one of [1,\"a\"]" },
    { "{\"const\":{\"a\":1,\"b\":2}}", "{\"b\":2.0,\"a\":1}", NULL }, { "{\"const\":null}", "0", "0 is not null" },
    { "{\"minLength\":2}", "\"\xf0\x9f\x98\x80\"", "1 characters are fewer than minLength 2" },
    { "{\"multipleOf\":0.01}", "19.99", NULL }, { "{\"multipleOf\":0.01}", "19.999", "not a multiple" }, { "{\"multipleOf\":0.0001}", "0.00751", "not a multiple" },
    { "{\"multipleOf\":1e-8}", "123456789.12345678", NULL }, { "{\"multipleOf\":3}", "9e30", NULL }, { "{\"multipleOf\":7}", "1e30", "not a multiple" },
    { "{\"pattern\":\"^a|b$\"}", "\"xb\"", NULL }, { "{\"pattern\":\"^a$\"}", "\"a\\n\"", "does not match pattern" },
    { "{\"pattern\":\"^\\\\u00e4$\"}", "\"\xc3\xa4\"", NULL },
    { "{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "2", "matches none of anyOf" },
    { "{\"oneOf\":[{\"minimum\":1},{\"minimum\":3}]}", "4", "matches 2 of oneOf" }, { "{\"oneOf\":[{\"minimum\":1},{\"minimum\":3}]}", "2", NULL },
    { "{\"not\":{\"type\":\"string\"}}", "\"x\"", "not excludes" },
    { "{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"else\":{\"required\":[\"c\"]}}", "{\"a\":1}", "b is required" },
    { "{\"if\":true,\"then\":{\"const\":1}}", "2", "2 is not 1" },
    { "{\"uniqueItems\":true}", "[1,2,1.0]", "elements 0 and 2 are equal" }, { "{\"contains\":{\"type\":\"null\"},\"maxContains\":1}", "[null,null]", "2 elements match" },
    { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "b is required beside a" }, { "{\"propertyNames\":{\"maxLength\":1}}", "{\"ab\":1}", "/ab: 2 characters" },
    { "{\"minProperties\":2}", "{\"a\":1}", "fewer than minProperties" },
    { "{\"allOf\":[{\"properties\":{\"a\":{}}}],\"unevaluatedProperties\":false}", "{\"a\":1}", NULL },
    { "{\"allOf\":[{\"properties\":{\"a\":{}}}],\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":1}", "/b: no value is accepted" },
    { "{\"prefixItems\":[{}],\"unevaluatedItems\":false}", "[1,2]", "/1: no value" },
    { "{\"$defs\":{\"t\":{\"properties\":{\"k\":{\"$ref\":\"#/$defs/t\"}},\"type\":\"object\"}},\"$ref\":\"#/$defs/t\"}", "{\"k\":{\"k\":3}}", "/k/k: 3 is not of type object" },
    { "{\"$defs\":{\"t\":{\"$anchor\":\"here\",\"type\":\"null\"}},\"$ref\":\"#here\"}", "1", "not of type null" },
    { "{\"definitions\":{\"t\":{\"id\":\"#here\",\"type\":\"null\"}},\"properties\":{\"a\":{\"$ref\":\"#here\"}}}", "{\"a\":null}", NULL },
    { "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"maximum\":3,\"exclusiveMaximum\":true}", "3", "above maximum" },
    { "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"minimum\":1,\"exclusiveMinimum\":3}", "3", "not above exclusiveMinimum 3" },
    { "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"exclusiveMaximum\":3}", "3", "not below exclusiveMaximum 3" },
    { "{\"minimum\":3,\"exclusiveMinimum\":true}", "3", "below minimum" }, { "{\"minimum\":3,\"exclusiveMinimum\":false}", "3", NULL },
    { "{\"minimum\":9007199254740993}", "9007199254740992", "below minimum" },
    { "{\"format\":\"date\"}", "\"2023-02-29\"", "not a valid date" }, { "{\"format\":\"color\"}", "\"x\"", NULL },
    { "{\"$ref\":\"http://json-schema.org/draft-07/schema#\"}", "{\"type\":\"integer\",\"minLength\":3}", NULL },
    { "{\"$ref\":\"http://json-schema.org/draft-07/schema#\"}", "{\"properties\":{\"a\":{\"minLength\":-3}}}", "/properties/a/minLength: -3 is below" },
    { "{\"$ref\":\"https://json-schema.org/draft/2020-12/schema\"}", "{\"$defs\":{\"a\":{\"type\":\"int\"}}}", "/$defs/a/type: " },
    { "{\"$ref\":\"https://json-schema.org/draft/2019-09/schema\"}", "{\"not\":{\"anyOf\":[]}}", "/not/anyOf: 0 elements" },
    { "{\"$id\":\"http://x/\",\"$defs\":{\"a\":{\"$id\":\"a\",\"$defs\":{\"b\":{\"type\":\"null\"}}}},\"$ref\":\"a#/$defs/b\"}", "1", "not of type null" },
    { "{\"$defs\":{\"a\":{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$id\":\"a\",\"dependentRequired\":{\"x\":[\"y\"]}}},\"$ref\":\"a\"}", "{\"x\":1}", NULL },
    { "{\"multipleOf\":1234567890123456789012345}", "4938271560493827156049380", NULL },
    { "{\"multipleOf\":1234567890123456789012345}", "4938271560493827156049381", "not a multiple" },
    { "{\"multipleOf\":1e-30}", "0.000000000000000000000000000001", NULL }, { "{\"multipleOf\":9.3132257461547851562500000000000e-10}", "1e400", NULL },
    { "{\"pattern\":\"^\\\\s$\"}", "\"\\ufeff\"", NULL }, { "{\"pattern\":\"^\\\\S$\"}", "\"\\u2003\"", "does not match" },
    { "{\"pattern\":\"^[^\\\\S\\\\u2003]$\"}", "\"\\u2003\"", "does not match" }, { "{\"pattern\":\"^.$\"}", "\"\\u2028\"", "does not match" },
    { "{\"pattern\":\"^[\\\\ud83d\\\\udc00-\\\\ud83d\\\\udcff]{2}$\"}", "\"\\ud83d\\udc32\\ud83d\\udc33\"", NULL },
    { "{\"pattern\":\"^[^\\\\ud800-\\\\udfff]$\"}", "\"\\ud83d\\udc32\"", NULL }, { "{\"pattern\":\"\\\\ud83d\"}", "\"\\ud83d\\udc32\"", "does not match" },
    { "{\"pattern\":\"^[[:alpha:]]$\"}", "\"a\"", "does not match" }, { "{\"pattern\":\"^[[:alpha:]]$\"}", "\":]\"", NULL },
    { "{\"pattern\":\"^[^]$\"}", "\"\\n\"", NULL }, { "{\"pattern\":\"[]\"}", "\"a\"", "does not match" }, { "{\"pattern\":\"^{a}{,2}$\"}", "\"{a}{,2}\"", NULL },
    { "{\"pattern\":\"^\\\\p{Script=Greek}+\\\\p{Lu}\\\\P{Letter}$\"}", "\"\u03b1\u03b2Z1\"", NULL }, { "{\"pattern\":\"^(?<y>a)\\\\k<y>\\\\1$\"}", "\"aaa\"", NULL },
    { "{\"pattern\":\"^[\\\\w-.]+$\"}", "\"a-.\"", NULL }, { "{\"pattern\":\"^\\\\cJ\\\\x41\\\\u{1F600}$\"}", "\"\\nA\\ud83d\\ude00\"", NULL },
    { "true", "1", NULL }, { "false", "1", "no value is accepted" },
};

TEST(verdicts_and_messages)
{
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        bool ok = check(rows[i].schema, rows[i].value, NULL, &e);
        CHECK(ok == !rows[i].why, "%s on %s: %d %s", rows[i].schema, rows[i].value, ok, e.msg);
        if (rows[i].why && !ok) CHECK(strstr(e.msg, rows[i].why), "%s on %s: \"%s\" lacks \"%s\"", rows[i].schema, rows[i].value, e.msg, rows[i].why);
    }
}

TEST(what_cannot_be_judged_is_said)
{
    static const struct { const char *schema, *value; enum err_code code; } all[] = {
        { "{\"$ref\":\"http://example.com/x\"}", "1", ERR_UNSUPPORTED }, { "{\"$dynamicRef\":\"#x\"}", "1", ERR_SCHEMA },
        { "{\"anyOf\":[{\"$ref\":\"other.json\"},true]}", "1", ERR_UNSUPPORTED }, { "{\"not\":{\"$ref\":\"#/nowhere\"}}", "1", ERR_SCHEMA },
        { "{\"$ref\":\"#\"}", "1", ERR_LIMIT }, { "{\"pattern\":\"(\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", ERR_LIMIT },
        { "{\"pattern\":\"a++\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"(?i)a\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"^a\\\\Z\"}", "\"x\"", ERR_SCHEMA },
        { "{\"pattern\":\"[b-a]\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"(*UCP)a\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"(?<=a+)b\"}", "\"x\"", ERR_UNSUPPORTED },
        { "{\"pattern\":\"[\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"\\\\\"}", "\"x\"", ERR_SCHEMA }, { "{\"pattern\":\"\\\\u{110000}\"}", "\"x\"", ERR_SCHEMA },
        { "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}},\"$ref\":\"#/$defs/a\"}", "1", ERR_LIMIT },
        { "{\"properties\":{\"a\":7}}", "{\"a\":1}", ERR_SCHEMA }, { "{\"minLength\":-1}", "\"\"", ERR_SCHEMA }, { "{\"multipleOf\":0}", "1", ERR_SCHEMA },
    };
    for (size_t i = 0; i < LEN(all); i++) {
        struct err e = { 0 };
        bool ok = check(all[i].schema, all[i].value, NULL, &e);
        CHECK(!ok && e.code == all[i].code, "%s: %d, %s", all[i].schema, e.code, e.msg);
    }
}

TEST(formats_can_be_annotations)
{
    struct grammar_opts o = { .annotate_formats = true };
    struct err e = { 0 };
    CHECK(check("{\"format\":\"date\"}", "\"never\"", &o, &e), "%s", e.msg);
}

/* ---- the official suite --------------------------------------------------------------------------- */

struct tally { int right, wrong, declined; };

static void run_group(const struct json *group, const char *file, const struct grammar_opts *o, struct tally *t)
{
    const struct json *tests = json_get(group, "tests");
    for (size_t i = 0; i < json_len(tests); i++) {
        const struct json *row = json_at(tests, i);
        struct err e = { 0 };
        bool ok = schema_check(json_get(group, "schema"), json_get(row, "data"), o, &e);
        if (!ok && (e.code == ERR_UNSUPPORTED || e.code == ERR_SCHEMA)) {
            t->declined++;
            if (getenv("VERBOSE")) fprintf(stderr, "%s: %s / %s: declined: %s\n", file, json_str(json_get(group, "description"), NULL),
                                           json_str(json_get(row, "description"), NULL), e.msg);
        } else if (ok == json_bool(json_get(row, "valid"))) t->right++;
        else {
            t->wrong++;
            if (getenv("VERBOSE")) fprintf(stderr, "%s: %s / %s: said %d %s\n", file, json_str(json_get(group, "description"), NULL),
                                           json_str(json_get(row, "description"), NULL), ok, e.msg);
        }
    }
}

static void run_folder(const char *below, const struct grammar_opts *o, struct tally *t)
{
    char root[1100], dir[1600], path[2000];
    snprintf(root, sizeof root, "%s", shared_path("fixtures/jsonschema/README.md"));
    *strrchr(root, '/') = 0;
    snprintf(dir, sizeof dir, "%s/JSON-Schema-Test-Suite/tests/%s", root, below);
    DIR *d = opendir(dir);
    CHECK(d, "%s", dir);
    for (struct dirent *f; d && (f = readdir(d)); ) {
        struct err e = { 0 };
        if (!strstr(f->d_name, ".json")) continue;
        snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
        struct json *groups = json_read(path, &e);
        CHECK(groups, "%s", e.msg);
        for (size_t i = 0; i < json_len(groups); i++) run_group(json_at(groups, i), f->d_name, o, t);
        json_free(groups);
    }
    if (d) closedir(d);
}

TEST(official_suite)
{
    static const struct { const char *folder, *draft; bool annotate; int most_wrong, most_declined; } all[] = {
        { "draft2020-12", "draft2020-12", true, 0, 0 }, { "draft7", "draft7", true, 0, 0 },
        { "draft2020-12/optional", "draft2020-12", true, 0, 0 }, { "draft7/optional", "draft7", true, 4, 0 },
        { "draft2020-12/optional/format", "draft2020-12", false, 60, 0 }, { "draft7/optional/format", "draft7", false, 60, 0 } };
    if (!shared_path("fixtures/jsonschema/README.md")) SKIP("the JSON-Schema-Test-Suite is not beside the checkout");
    char remotes[1100];
    snprintf(remotes, sizeof remotes, "%s", shared_path("fixtures/jsonschema/JSON-Schema-Test-Suite/remotes/integer.json"));
    *strrchr(remotes, '/') = 0;
    for (size_t i = 0; i < LEN(all); i++) {
        struct grammar_opts o = { .draft = all[i].draft, .annotate_formats = all[i].annotate, .remotes = remotes };
        struct tally t = { 0 };
        run_folder(all[i].folder, &o, &t);
        printf("%s: %d right, %d wrong, %d declined\n", all[i].folder, t.right, t.wrong, t.declined);
        CHECK(t.wrong <= all[i].most_wrong && t.declined <= all[i].most_declined, "%s: %d wrong, %d declined", all[i].folder, t.wrong, t.declined);
    }
}

/* ---- MaskBench, development half -------------------------------------------------------------------- */

/* One line: a schema and instances that are known to be valid or not. False: JSON that base/json refuses. */
static bool run_line(const char *file, const char *text, size_t len, struct tally *t)
{
    struct err e = { 0 };
    struct json *line = json_parse(text, len, &e);
    const struct json *tests = json_get(line, "tests");
    for (size_t i = 0; i < json_len(tests); i++) {
        const struct json *row = json_at(tests, i);
        e = (struct err){ 0 };
        bool ok = schema_check(json_get(line, "schema"), json_get(row, "data"), NULL, &e), want = json_bool(json_get(row, "valid"));
        if (!ok && e.code != ERR_ARG) t->declined++;
        else if (ok == want) t->right++;
        else t->wrong++;
        if (ok != want || (!ok && e.code != ERR_ARG))
            fprintf(stderr, "%s: %s #%zu: %d, not %d: %s\n", file, json_str(json_get(line, "id"), NULL), i, ok, want, e.msg);
    }
    json_free(line);
    return line != NULL;
}

TEST(instances_of_maskbench)
{
    static const char *const sets[] = { "BFCL", "Github_easy", "Github_hard", "Github_medium", "Github_trivial", "Github_ultra", "Glaiveai2K",
                                        "Handwritten", "JME", "JsonSchemaStore", "Kubernetes", "MCPspec", "Snowplow", "Synthesized", "WashingtonPost" };
    struct tally t = { 0 };
    int refused = 0;
    for (size_t i = 0; i < LEN(sets); i++) {
        char below[200];
        struct str s = { 0 };
        struct err e = { 0 };
        snprintf(below, sizeof below, "fixtures/jsonschema/maskbench-dev/%s.jsonl.zst", sets[i]);
        const char *path = shared_path(below);
        if (!path) SKIP("MaskBench is not beside the checkout");
        if (!file_read(path, &s, &e)) { str_done(&s); SKIP("%s", e.msg); }
        for (const char *p = s.p, *end = s.p + s.len; p < end; ) {
            const char *eol = memchr(p, '\n', (size_t)(end - p));
            if (!eol) eol = end;
            refused += !run_line(sets[i], p, (size_t)(eol - p), &t);
            p = eol + 1;
        }
        str_done(&s);
    }
    printf("MaskBench: %d right, %d wrong, %d declined; %d lines refused\n", t.right, t.wrong, t.declined, refused);
    CHECK(!t.wrong && !t.declined && refused <= 1, "%d wrong, %d declined, %d refused (one has a key with U+0000)", t.wrong, t.declined, refused);
}

TEST_MAIN
