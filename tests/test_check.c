/* test_check.c -- the judge of finished values: a table of its own, its messages, formats, and the
 * official JSON-Schema-Test-Suite where it lies beside the checkout.
 *
 * Of the suite every verdict must be right or declined as unsupported; declined is what asks for other
 * documents or dynamic references. The numbers below only ever go down: what is wrong today is one
 * custom vocabulary, and the IDNA rules of internationalised host names. */
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
    { "{\"minimum\":9007199254740993}", "9007199254740992", "below minimum" },
    { "{\"format\":\"date\"}", "\"2023-02-29\"", "not a valid date" }, { "{\"format\":\"color\"}", "\"x\"", NULL },
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
        { "draft2020-12/optional", "draft2020-12", true, 0, 0 }, { "draft7/optional", "draft7", true, 0, 0 },
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

TEST_MAIN
