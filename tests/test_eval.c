/* Tests of eval/: the judge on hand-made rows and on the original's verdicts, the report on canned answers. */
#include "quoted.h"

#include <math.h>

#include "eval/eval.h"

static const char tools[] =
    "[{'type':'function','function':{'name':'set_light','parameters':{'type':'object','properties':{"
    "'room':{'type':'string'},'level':{'type':'integer'},'warmth':{'type':'number'},'on':{'type':'boolean'},"
    "'mode':{'enum':['day','night']},'tags':{'type':'array','items':{'type':'string'}},"
    "'at':{'type':'object','properties':{'h':{'type':'integer'}}}},'required':['room']}}},"
    "{'name':'home.lock','parameters':{'type':'object','properties':{'door':{'type':'string'}}}}]";

static const struct { const char *why, *expect, *output; bool valid; const char *error; } rows[] = {
    { "equal", "[{'set_light':{'room':['kitchen']}}]", "[{'set_light':{'room':'kitchen'}}]", true, "" },
    { "case and punctuation do not count", "[{'set_light':{'room':['Living-room']}}]", "[{'set_light':{'room':'living Room.'}}]", true, "" },
    { "other characters do", "[{'set_light':{'room':['living room']}}]", "[{'set_light':{'room':'living room!'}}]", false, "any" },
    { "any accepted value", "[{'set_light':{'room':['a','b']}}]", "[{'set_light':{'room':'b'}}]", true, "" },
    { "integer is not a string", "[{'set_light':{'room':['a'],'level':[3]}}]", "[{'set_light':{'room':'a','level':'3'}}]", false, "any" },
    { "integer is not 3.0", "[{'set_light':{'room':['a'],'level':[3]}}]", "[{'set_light':{'room':'a','level':3.0}}]", false, "any" },
    { "a number may be written as integer", "[{'set_light':{'room':['a'],'warmth':[3.0]}}]", "[{'set_light':{'room':'a','warmth':3}}]", true, "" },
    { "and the other way", "[{'set_light':{'room':['a'],'warmth':[3]}}]", "[{'set_light':{'room':'a','warmth':3.0}}]", true, "" },
    { "boolean", "[{'set_light':{'room':['a'],'on':[true]}}]", "[{'set_light':{'room':'a','on':true}}]", true, "" },
    { "boolean is not 1", "[{'set_light':{'room':['a'],'on':[true]}}]", "[{'set_light':{'room':'a','on':1}}]", false, "any" },
    { "enum without a type", "[{'set_light':{'room':['a'],'mode':['day']}}]", "[{'set_light':{'room':'a','mode':'day'}}]", true, "" },
    { "list in order", "[{'set_light':{'room':['a'],'tags':[['x','y']]}}]", "[{'set_light':{'room':'a','tags':['x','y']}}]", true, "" },
    { "list out of order", "[{'set_light':{'room':['a'],'tags':[['x','y']]}}]", "[{'set_light':{'room':'a','tags':['y','x']}}]", false, "any" },
    { "object by member", "[{'set_light':{'room':['a'],'at':[{'h':[7]}]}}]", "[{'set_light':{'room':'a','at':{'h':7}}}]", true, "" },
    { "object with an extra member", "[{'set_light':{'room':['a'],'at':[{'h':[7]}]}}]", "[{'set_light':{'room':'a','at':{'h':7,'m':1}}}]", false, "any" },
    { "optional may be left out", "[{'set_light':{'room':['a'],'level':[3,'']}}]", "[{'set_light':{'room':'a'}}]", true, "" },
    { "wanted optional is missing", "[{'set_light':{'room':['a'],'level':[3]}}]", "[{'set_light':{'room':'a'}}]", false, "any" },
    { "required is missing", "[{'set_light':{'room':['a']}}]", "[{'set_light':{}}]", false, "any" },
    { "parameter nobody asked for", "[{'set_light':{'room':['a']}}]", "[{'set_light':{'room':'a','level':3}}]", false, "any" },
    { "wrong tool", "[{'home.lock':{'door':['a']}}]", "[{'set_light':{'room':'a'}}]", false, "any" },
    { "bare definition, dotted name", "[{'home.lock':{'door':['a']}}]", "[{'home.lock':{'door':'a'}}]", true, "" },
    { "two calls in any order", "[{'set_light':{'room':['a']}},{'set_light':{'room':['b']}}]",
      "[{'set_light':{'room':'b'}},{'set_light':{'room':'a'}}]", true, "" },
    { "one of two", "[{'set_light':{'room':['a']}},{'set_light':{'room':['b']}}]", "[{'set_light':{'room':'b'}}]", false, "count" },
    { "one too many", "[{'set_light':{'room':['a']}}]", "[{'set_light':{'room':'a'}},{'set_light':{'room':'a'}}]", false, "count" },
    { "no list", "[{'set_light':{'room':['a']}}]", "{'set_light':{'room':'a'}}", false, "format" },
    { "a call that is no object", "[{'set_light':{'room':['a']}}]", "[null]", false, "format" },
};

TEST(judge_follows_its_rules)
{
    struct json *t = parse(tools);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *expect = parse(rows[i].expect), *output = parse(rows[i].output);
        struct verdict v = judge_calls(t, expect, output, &(struct judge_opts){ .match = JUDGE_ANY_ORDER, .json_schema = true });
        CHECK(v.valid == rows[i].valid, "%s: %s", rows[i].why, v.error);
        json_free(expect);
        json_free(output);
    }
    json_free(t);
}

/* One parameter `a` of a declared type ("T" or "T of E"), the accepted values, the source text given. */
static const struct { const char *language, *type, *accepted, *given, *error; } sources[] = {
    { "java", "integer", "[12]", "'12'", "" },
    { "java", "integer", "[12]", "12", "type_error:java" },
    { "java", "integer", "[12]", "'12L'", "type_error:simple" },
    { "java", "short", "[-3]", "'-3'", "" },
    { "java", "byte", "[7]", "'007'", "" },
    { "java", "byte", "['SEVEN','']", "'seven'", "value_error:others" },
    { "java", "long", "[12]", "'12l'", "" },
    { "java", "long", "[12]", "'12'", "type_error:simple" },
    { "java", "float", "[0.25]", "'2.5e-1F'", "" },
    { "java", "float", "[0.25]", "'.25f'", "type_error:simple" },
    { "java", "double", "[4.0]", "'4'", "" },
    { "java", "double", "[4.5]", "'4.5d'", "type_error:simple" },
    { "java", "boolean", "[false]", "'false'", "" },
    { "java", "boolean", "[false]", "'FALSE'", "type_error:simple" },
    { "java", "String", "['Big Fish']", "'big-fish'", "" },
    { "java", "String", "['fish']", "'\\'fish\\''", "value_error:string" },
    { "java", "Array of integer", "[[1,2]]", "'new int[] { 1, 2, }'", "" },
    { "java", "Array of integer", "[[1,2]]", "'see new int[]{1,2};'", "" },
    { "java", "Array of integer", "[[1,2]]", "'new int[]{1, x}'", "type_error:nested" },
    { "java", "Array of float", "[[1.5]]", "'new float[]{1.5f}'", "" },
    { "java", "ArrayList of String", "[['a','b']]", "'new ArrayList<String>() {{ add(\\'a\\'); add(\\'b\\'); }}'", "" },
    { "java", "ArrayList of String", "[['a']]", "'new ArrayList<>(Arrays.asList(xay))'", "" },
    { "java", "ArrayList of String", "[['é']]", "'new ArrayList<>(Arrays.asList(«é»))'", "" },
    { "java", "ArrayList of long", "[[4]]", "'new ArrayList<Long>(Arrays.asList(4L))'", "" },
    { "java", "ArrayList of long", "[['']]", "'new ArrayList<Long>()'", "value_error:list/tuple" },
    { "java", "ArrayList of long", "[[]]", "'new ArrayList<Long>()'", "" },
    { "java", "ArrayList of long", "[[4]]", "'List.of(4L)'", "type_error:simple" },
    { "java", "ArrayList", "[[4]]", "'new ArrayList<>(Arrays.asList(4))'", "exception" },
    { "java", "HashMap", "[{'k':[1.5],'n':['x',''],'b':[true]}]", "'new HashMap<String,Object>() { { put(\\'k\\', 1.5f); put(\\'b\\', true); } }'", "" },
    { "java", "HashMap", "[{'k':['']}]", "'new HashMap<>()'", "" },
    { "java", "HashMap", "[{'k':['v']}]", "'new HashMap<>() {{ put(\\'q\\', \\'v\\'); }}'", "value_error:dict_key" },
    { "java", "HashMap", "[{'k':['v']}]", "'Map.of(\\'k\\', \\'v\\')'", "type_error:simple" },
    { "java", "Hashtable", "[{'k':['v']}]", "'new Hashtable<>()'", "exception" },
    { "java", "string", "['a']", "'a'", "exception" },
    { "javascript", "String", "['ab']", "'\\'ab\\''", "" },
    { "javascript", "String", "['ab']", "'`ab`'", "value_error:string" },
    { "javascript", "integer", "[3]", "'3n'", "type_error:simple" },
    { "javascript", "integer", "[3]", "3", "type_error:js" },
    { "javascript", "float", "[2.0]", "'2'", "" },
    { "javascript", "float", "[2.0]", "'2e0'", "type_error:simple" },
    { "javascript", "Bigint", "[9]", "'9n'", "" },
    { "javascript", "Boolean", "[true]", "'true'", "" },
    { "javascript", "any", "['cb']", "'CB'", "" },
    { "javascript", "array of String", "[['a','b']]", "'new Array(a, \\'b\\')'", "" },
    { "javascript", "array of integer", "[[1,2]]", "' [1, 2] // two'", "" },
    { "javascript", "array of integer", "[[1]]", "'[1,]'", "type_error:nested" },
    { "javascript", "array of integer", "[[]]", "'[ ]'", "" },
    { "javascript", "array of array", "[[[1,2],[3,'x']]]", "'[[1, 2], [3, x]]'", "" },
    { "javascript", "array of array", "[[[1],[2]]]", "'new Array([1], [2])'", "" },
    { "javascript", "array", "[[1]]", "'[1]'", "exception" },
    { "javascript", "dict", "[{'a':[1],'b':[[true,'t']]}]", "'{\\'a\\': \\'1\\', b: [true, t]}'", "" },
    { "javascript", "dict", "[{'a':['x','']}]", "'{}'", "" },
    { "javascript", "dict", "[{'a':[1000.0]}]", "'{a: 1_000}'", "" },
    { "javascript", "dict", "[{'a':['inf']}]", "'{a: inf}'", "value_error:dict_value" },
    { "javascript", "dict", "['opts']", "'opts'", "" }, { "javascript", "dict", "['opts']", "'OPTS'", "value_error:others" },
    { "javascript", "string", "['a']", "'a'", "exception" },
};

static struct json *one_function(const char *type)
{
    const char *of = strstr(type, " of ");
    struct json *list = json_new_array(), *f = json_new_object(), *p = json_new_object(), *props = json_new_object(), *a = json_new_object();
    json_set(a, "type", json_new_strn(type, of ? (size_t)(of - type) : strlen(type)));
    if (of) {
        struct json *items = json_new_object();
        json_set(items, "type", json_new_str(of + 4));
        json_set(a, "items", items);
    }
    json_set(props, "a", a);
    json_set(p, "properties", props);
    json_set(f, "name", json_new_str("f"));
    json_set(f, "parameters", p);
    json_push(list, f);
    return list;
}

/* [{"f":{"a":value}}] */
static struct json *one_call(struct json *value)
{
    struct json *list = json_new_array(), *call = json_new_object(), *args = json_new_object();
    json_set(args, "a", value);
    json_set(call, "f", args);
    json_push(list, call);
    return list;
}

TEST(source_text_is_read_by_its_type)
{
    for (size_t i = 0; i < LEN(sources); i++) {
        struct json *f = one_function(sources[i].type), *expect = one_call(parse(sources[i].accepted)), *output = one_call(parse(sources[i].given));
        struct judge_opts o = { .language = strcmp(sources[i].language, "java") ? JUDGE_JAVASCRIPT : JUDGE_JAVA };
        struct verdict v = judge_calls(f, expect, output, &o);
        CHECK(!strcmp(v.error, sources[i].error), "%s %s, %s given: %s", sources[i].language, sources[i].type, sources[i].given, v.error);
        json_free(f);
        json_free(expect);
        json_free(output);
    }
}

/* No text makes a shape run away: long runs of what the shapes repeat. */
TEST(hostile_source_text_is_read_in_time)
{
    static const char *const unit[] = { "[", "[[,", "a:", "{", "new ArrayList<>() {{ ", "new HashMap<", "add(", " ", "1_", ",[" };
    static const char *const types[] = { "array of array", "dict", "array of String", "HashMap", "ArrayList of String", "Array of String" };
    uint64_t t0 = clock_ns();
    for (size_t u = 0; u < LEN(unit); u++)
        for (size_t k = 0; k < LEN(types); k++) {
            struct str s = { 0 };
            for (int i = 0; i < (SANITIZED ? 100 : 1000); i++) str_puts(&s, unit[u]);
            struct json *f = one_function(types[k]), *expect = one_call(parse("['x']")), *output = one_call(json_new_strn(s.p, s.len));
            struct verdict v = judge_calls(f, expect, output, &(struct judge_opts){ .language = k < 3 ? JUDGE_JAVASCRIPT : JUDGE_JAVA });
            CHECK(!v.valid, "%s", unit[u]);
            json_free(f);
            json_free(expect);
            json_free(output);
            str_done(&s);
        }
    CHECK((double)(clock_ns() - t0) * 1e-9 < 5, "%.1f s", (double)(clock_ns() - t0) * 1e-9);
}

static enum judge_match match_of(const char *category)
{
    if (strstr(category, "parallel")) return JUDGE_ANY_ORDER;
    return strstr(category, "multiple") ? JUDGE_NAMED : JUDGE_FIRST;
}

static enum judge_language language_of(const struct json *name)
{
    if (json_str_is(name, "java")) return JUDGE_JAVA;
    return json_str_is(name, "javascript") ? JUDGE_JAVASCRIPT : JUDGE_PYTHON;
}

TEST(judge_agrees_with_the_original)
{
    const char *path = shared_path("fixtures/bfcl/verdicts.jsonl");
    if (!path) SKIP("fixtures/bfcl/verdicts.jsonl is not there");
    struct str text = { 0 };
    struct err e = { 0 };
    assert_true(file_read(path, &text, &e));
    int n = 0, same_error = 0;
    for (char *p = text.p, *nl; p && (nl = strchr(p, '\n')); p = nl + 1) {
        struct json *l = json_parse(p, (size_t)(nl - p), &e);
        {
            struct judge_opts o = { match_of(json_str(json_get(l, "category"), NULL)), false, json_bool(json_get(l, "underscore_to_dot")),
                                    language_of(json_get(l, "language")) };
            struct verdict v = judge_calls(json_get(l, "function"), json_get(l, "possible_answer"), json_get(l, "output"), &o);
            const char *want = json_str(json_get(l, "error_type"), NULL);
            CHECK(v.valid == json_bool(json_get(l, "valid")), "%s: %s instead of %s", json_str(json_get(l, "id"), NULL), v.error, want ? want : "valid");
            n++;
            same_error += !strcmp(v.error, want ? want : "");
            if (strcmp(v.error, want ? want : "")) printf("  %s: %s instead of %s\n", json_str(json_get(l, "id"), NULL), v.error, want ? want : "");
        }
        json_free(l);
    }
    CHECK(n == 749, "%d verdicts read", n);
    CHECK(same_error == n, "%d of %d rules agree", same_error, n);
    str_done(&text);
}

/* ---- the report: canned answers ------------------------------------------------------------------------ */

static const struct { const char *line, *text, *name, *args; bool exact; } canned[] = {
    { "{'kind':'single','messages':[],'tools':[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'integer'}}}}],'expect':[{'f':{'a':[1]}}]}", NULL, "f", "{\"a\":1}", true },
    { "{'kind':'single','messages':[],'tools':[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'integer'}}}}],'expect':[{'f':{'a':[1]}}]}", NULL, "f", "{\"a\":2}", false },
    { "{'kind':'single','messages':[],'tools':[{'name':'f'}],'expect':[{'f':{}}]}", "I cannot.", NULL, NULL, false },
    { "{'kind':'none','messages':[],'expect':[]}", "No.", NULL, NULL, true },
    { "{'kind':'none','messages':[],'tools':[{'name':'f'}],'expect':[]}", NULL, "f", "{}", false },
    { "{'kind':'ask','messages':[],'expect':[]}", "Which room?", NULL, NULL, true },
    { "{'kind':'ask','messages':[],'expect':[]}", "No room.", NULL, NULL, false },
    { "{'kind':'grounded','messages':[],'expect':[],'must_contain':['11:17','May']}", "At 11:17 in May.", NULL, NULL, true },
    { "{'kind':'grounded','messages':[],'expect':[],'must_contain':['11:17','May']}", "At 11:17.", NULL, NULL, false },
};

static bool answer(void *ctx, struct json *body, struct message *m, struct err *e)
{
    size_t i = (*(size_t *)ctx)++;
    json_free(body);
    if (canned[i].text) str_puts(&m->text, canned[i].text);
    if (canned[i].name) {
        message_event(m, &(struct event){ .kind = EV_CALL_BEGIN, .id = "call_1", .name = canned[i].name });
        message_event(m, &(struct event){ .kind = EV_CALL_ARGS, .bytes = { canned[i].args, strlen(canned[i].args) } });
        message_event(m, &(struct event){ .kind = EV_CALL_END, .schema_ok = true });
    }
    return true;
}

static bool write_lines(const char *path, const char *extra)
{
    struct str s = { 0 };
    struct err e = { 0 };
    for (size_t i = 0; i < LEN(canned); i++) str_fmt(&s, "%s\n", canned[i].line);
    if (extra) str_fmt(&s, "%s\n", extra);
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '\'') s.p[i] = '"';
    bool ok = file_write(path, s.p, s.len, &e);
    str_done(&s);
    return ok;
}

TEST(report_counts_per_kind)
{
    char path[] = "/tmp/tenon-test-eval-XXXXXX", out[80];
    int fd = mkstemp(path), right = 0;
    assert_true(fd >= 0 && write_lines(path, NULL));
    snprintf(out, sizeof out, "%s.out", path);
    struct eval_report r;
    struct err e = { 0 };
    size_t at = 0;
    CHECK(eval_toolcall(path, answer, &at, out, 0, &r, &e), "%s", e.msg);
    for (size_t i = 0; i < LEN(canned); i++) right += canned[i].exact;
    CHECK(r.all.n == (int)LEN(canned) && r.all.exact == right, "%d of %d", r.all.exact, r.all.n);
    CHECK(r.n_kind == 4 && r.kind[0].n == 3 && r.kind[0].exact == 1, "%d kinds", r.n_kind);
    struct str kept = { 0 };
    CHECK(file_read(out, &kept, &e) && strstr(kept.p, "no_question"), "answers are kept");
    size_t line = 0, wrong = 0;
    for (char *p = kept.p, *nl; p && (nl = strchr(p, '\n')); p = nl + 1, line++) {
        struct json *l = json_parse(p, (size_t)(nl - p), &e);
        wrong += json_bool(json_get(l, "exact")) != canned[line].exact;
        json_free(l);
    }
    CHECK(line == LEN(canned) && !wrong, "%zu lines, %zu wrong", line, wrong);
    str_done(&kept);
    eval_report_done(&r);
    remove(path);
    remove(out);
}

TEST(malformed_lines_are_named)
{
    static const char *const bad[] = { "{'kind':'single'", "{'kind':'single','messages':[]}", "[]", "{'messages':[],'expect':[]}",
                                       "{'kind':'x','messages':[],'expect':[3]}" };
    char path[] = "/tmp/tenon-test-eval-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    for (size_t i = 0; i < LEN(bad); i++) {
        struct eval_report r;
        struct err e = { 0 };
        size_t at = 0;
        assert_true(write_lines(path, bad[i]));
        CHECK(!eval_toolcall(path, answer, &at, NULL, 0, &r, &e) && strstr(e.msg, "line 10"), "%s: %s", bad[i], e.msg);
    }
    remove(path);
}

TEST(intervals_are_wilsons)
{
    static const struct { int n, k; double low, high; } w[] = {
        { 10, 5, 0.2366, 0.7634 }, { 100, 61, 0.5121, 0.6998 }, { 20, 0, 0, 0.1611 }, { 20, 20, 0.8389, 1 }, { 0, 0, 0, 1 } };
    for (size_t i = 0; i < LEN(w); i++) {
        double low, high;
        eval_interval(w[i].n, w[i].k, &low, &high);
        CHECK(fabs(low - w[i].low) < 1e-3 && fabs(high - w[i].high) < 1e-3, "%d of %d: %.4f %.4f", w[i].k, w[i].n, low, high);
    }
}

TEST_MAIN
