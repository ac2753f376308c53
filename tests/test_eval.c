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

static bool answer(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
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
    struct lines lines = { 0 };
    size_t at = 0;
    CHECK(lines_read(&lines, path, 0, &bench_toolcall, &e), "%s", e.msg);
    CHECK(eval_toolcall(&lines, &(struct asking){ .ask = answer, .ctx = &at, .out = out }, &r, &e), "%s", e.msg);
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
    lines_done(&lines);
    remove(path);
    remove(out);
}

TEST(malformed_lines_are_named)
{
    static const struct { const struct benchmark *b; const char *line; } bad[] = {
        { &bench_toolcall, "{'kind':'single'" },
        { &bench_toolcall, "{'kind':'single','messages':[]}" },
        { &bench_toolcall, "[]" },
        { &bench_toolcall, "{'messages':[],'expect':[]}" },
        { &bench_toolcall, "{'kind':'x','messages':[],'expect':[3]}" },
        { &bench_bfcl, "{'question':[[]],'function':[],'ground_truth':[]}" },
        { &bench_bfcl, "{'category':'multi_turn_base','question':[[]],'function':[]}" },
        { &bench_bfcl, "{'category':'multiple','question':[[],[]],'function':[],'ground_truth':[]}" },
        { &bench_bfcl, "{'category':'multiple','question':[[]],'function':[]}" },
        { &bench_bfcl, "{'category':'irrelevance','question':[[]]}" },
        { &bench_sgd, "{'kind':'single','unseen':true,'messages':[],'tools':[],'expect':[]}" },
        { &bench_sgd, "{'kind':'call','unseen':true,'messages':[],'tools':[],'expect':[]}" },
        { &bench_sgd, "{'kind':'none','unseen':true,'messages':[],'tools':[],'expect':[{'f':{}}]}" },
        { &bench_sgd, "{'kind':'none','messages':[],'tools':[],'expect':[]}" },
    };
    char path[] = "/tmp/tenon-test-eval-XXXXXX";
    assert_true(mkstemp(path) >= 0);
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err e = { 0 };
        struct lines lines = { 0 };
        struct str s = { 0 };
        str_fmt(&s, "\n%s\n", bad[i].line);
        for (size_t k = 0; k < s.len; k++)
            if (s.p[k] == '\'') s.p[k] = '"';
        assert_true(file_write(path, s.p, s.len, &e));
        CHECK(!lines_read(&lines, path, 0, bad[i].b, &e) && strstr(e.msg, "line 2") && strstr(e.msg, path), "%s: %s", bad[i].line, e.msg);
        str_done(&s);
        lines_done(&lines);
    }
    remove(path);
}

/* ---- who answers: several at once, nobody at all ---------------------------------------------------- */

/* Answers with a call of the function that the only user message names; in a random order of time. */
static bool echo(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
{
    const char *name = json_str(json_get(json_at(json_get(body, "messages"), 0), "content"), NULL);
    _Atomic int *most = ctx;
    if (asker > *most) *most = asker;
    message_event(m, &(struct event){ .kind = EV_CALL_BEGIN, .id = "call_1", .name = name });
    message_event(m, &(struct event){ .kind = EV_CALL_ARGS, .bytes = { "{}", 2 } });
    message_event(m, &(struct event){ .kind = EV_CALL_END, .schema_ok = true });
    json_free(body);
    return true;
}

TEST(several_ask_at_once_and_the_verdicts_keep_their_order)
{
    struct lines lines = { 0 };
    for (int i = 0; i < 200; i++) {
        struct str s = { 0 };
        str_fmt(&s, "{'kind':'k%d','messages':[{'role':'user','content':'f%d'}],'tools':[{'name':'f%d'}],'expect':[{'f%d':{}}]}", i % 3, i, i, i);
        lines_push(&lines, parse(s.p));
        str_done(&s);
    }
    _Atomic int most = -1;
    struct eval_report r;
    struct err e = { 0 };
    CHECK(eval_toolcall(&lines, &(struct asking){ .ask = echo, .ctx = (void *)&most, .parallel = 4 }, &r, &e), "%s", e.msg);
    CHECK(r.all.n == 200 && r.all.exact == 200 && !r.all.failed && r.n_kind == 3, "%d of %d", r.all.exact, r.all.n);
    CHECK(!strcmp(r.kind[0].kind, "k0") && r.kind[0].n == 67, "%s %d", r.kind[0].kind, r.kind[0].n);
    CHECK(most >= 0 && most < 4, "asker %d", most);
    eval_report_done(&r);
    lines_done(&lines);
}

static bool silence(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
{
    int *asked = ctx;
    json_free(body);
    ++*asked;
    return err_set(e, *asked % 20 == 3 ? ERR_ARG : ERR_IO, "nobody is there");
}

static bool refuse(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
{
    json_free(body);
    return err_set(e, ERR_LIMIT, "too long");
}

TEST(silence_ends_a_run_and_refusals_do_not)
{
    struct lines lines = { 0 };
    struct eval_report r;
    struct err e = { 0 };
    int asked = 0;
    for (int i = 0; i < 50; i++) lines_push(&lines, parse("{'kind':'none','messages':[],'expect':[]}"));
    CHECK(!eval_toolcall(&lines, &(struct asking){ .ask = silence, .ctx = &asked }, &r, &e) && e.code == ERR_IO && strstr(e.msg, "nobody is there"), "%s", e.msg);
    CHECK(asked == 11, "%d were asked", asked);
    CHECK(eval_toolcall(&lines, &(struct asking){ .ask = refuse }, &r, &e), "%s", e.msg);
    CHECK(r.all.failed == 50 && r.all.exact == 0, "a refused request is a wrong answer: %d", r.all.exact);
    eval_report_done(&r);
    lines_done(&lines);
}

/* ---- the Berkeley leaderboard -------------------------------------------------------------------------- */

TEST(documents_become_the_tools_of_the_original)
{
    const char *path = shared_path("fixtures/bfcl/tool_vectors.jsonl");
    if (!path) SKIP("fixtures/bfcl/tool_vectors.jsonl is not there");
    struct str text = { 0 };
    struct err e = { 0 };
    int n = 0;
    assert_true(file_read(path, &text, &e));
    for (char *p = text.p, *nl; p && (nl = strchr(p, '\n')); p = nl + 1, n++) {
        struct json *l = json_parse(p, (size_t)(nl - p), &e);
        const char *c = json_str(json_get(l, "category"), NULL);
        struct json *made = bfcl_tools(json_get(l, "function"), strstr(c, "javascript") ? JUDGE_JAVASCRIPT : strstr(c, "java") ? JUDGE_JAVA : JUDGE_PYTHON);
        struct str have = { 0 }, want = { 0 };
        json_write(&have, made, JSON_COMPACT);
        json_write(&want, json_get(l, "tools"), JSON_COMPACT);
        CHECK(!strcmp(have.p, want.p), "%s:\n%s\n%s", json_str(json_get(l, "id"), NULL), have.p, want.p);
        str_done(&have);
        str_done(&want);
        json_free(made);
        json_free(l);
    }
    CHECK(n == 51, "%d vectors read", n);
    str_done(&text);
}

static const struct { enum judge_language l; const char *property, *want; } properties[] = {
    { JUDGE_PYTHON, "{'type':'float','description':'D.'}", "{'type':'number','description':'D. This is a float type value.','format':'float'}" },
    { JUDGE_PYTHON, "{'type':'dict','properties':{'k':{'type':'tuple','items':{'type':'float'}}}}",
      "{'type':'object','properties':{'k':{'type':'array','items':{'type':'number'}}}}" },
    { JUDGE_PYTHON, "{'type':'array','items':{'type':'array','items':{'type':'float'}}}", "{'type':'array','items':{'type':'array','items':{'type':'number'}}}" },
    { JUDGE_PYTHON, "{'type':'array','items':{'type':'dict','properties':{'x':{'type':'long'}}}}",
      "{'type':'array','items':{'type':'object','properties':{'x':{'type':'integer'}}}}" },
    { JUDGE_PYTHON, "{'type':'wonder','enum':['a'],'default':'a'}", "{'type':'string','enum':['a'],'default':'a'}" },
    { JUDGE_PYTHON, "{'description':'D'}", "{'description':'D','type':'string'}" },
    { JUDGE_JAVA, "{'type':'ArrayList','description':'D.','items':{'type':'long'}}",
      "{'type':'string','description':'D. This is Java ArrayList type parameter in string representation. The list elements are of type long; they are not in string representation.'}" },
    { JUDGE_JAVA, "{'type':'any','description':'D.'}", "{'type':'string','description':'D. This parameter can be of any type of Java object in string representation.'}" },
    { JUDGE_JAVASCRIPT, "{'type':'Bigint','description':'D.'}", "{'type':'string','description':'D. This is JavaScript Bigint type parameter in string representation.'}" },
};

TEST(documents_become_tools)
{
    for (size_t i = 0; i < LEN(properties); i++) {
        struct json *f = parse("[{'name':'a.b.c','description':'F.','parameters':{'type':'dict','properties':{},'required':['p']}}]");
        struct json *params = json_copy(json_get(json_at(f, 0), "parameters")), *props = json_new_object(), *doc = json_copy(json_at(f, 0)), *list = json_new_array();
        json_set(props, "p", parse(properties[i].property));
        json_set(params, "properties", props);
        json_set(doc, "parameters", params);
        json_push(list, doc);
        struct json *made = bfcl_tools(list, properties[i].l), *want = parse(properties[i].want);
        const struct json *t = json_get(json_at(made, 0), "function");
        CHECK(json_equal(json_get(json_get(json_get(t, "parameters"), "properties"), "p"), want), "%s", properties[i].property);
        CHECK(json_str_is(json_get(t, "name"), "a_b_c") && json_str_is(json_get(json_get(t, "parameters"), "type"), "object"), "%s", properties[i].property);
        json_free(want);
        json_free(made);
        json_free(list);
        json_free(f);
    }
}

/* One entry of each kind of category; what the message says; is it right? */
static const struct { const char *category, *function, *truth, *name, *args; bool right; } entries[] = {
    { "simple_python", "{'name':'m.f','parameters':{'type':'dict','properties':{'a':{'type':'float'}}}}", "[{'m.f':{'a':[2.0]}}]", "m_f", "{\"a\":2}", true },
    { "simple_python", "{'name':'m.f','parameters':{'type':'dict','properties':{'a':{'type':'float'}}}}", "[{'m.f':{'a':[2.0]}}]", "m.f", "{\"a\":2}", false },
    { "simple_python", "{'name':'f','parameters':{'type':'dict','properties':{}}}", "[{'f':{}}]", "f", "{broken", false },
    { "simple_java", "{'name':'f','parameters':{'type':'dict','properties':{'a':{'type':'long'}}}}", "[{'f':{'a':[2]}}]", "f", "{\"a\":\"2L\"}", true },
    { "simple_javascript", "{'name':'f','parameters':{'type':'dict','properties':{'a':{'type':'Bigint'}}}}", "[{'f':{'a':[2]}}]", "f", "{\"a\":\"2n\"}", true },
    { "multiple", "{'name':'f','parameters':{'type':'dict','properties':{}}}", "[{'f':{}}]", NULL, NULL, false },
    { "parallel", "{'name':'f','parameters':{'type':'dict','properties':{}}}", "[{'f':{}},{'f':{}}]", "f", "{}", false },
    { "irrelevance", "{'name':'f','parameters':{'type':'dict','properties':{}}}", NULL, NULL, NULL, true },
    { "irrelevance", "{'name':'f','parameters':{'type':'dict','properties':{}}}", NULL, "f", "{}", false },
    { "irrelevance", "{'name':'f','parameters':{'type':'dict','properties':{}}}", NULL, "f", "{broken", true },
    { "live_relevance", "{'name':'f','parameters':{'type':'dict','properties':{}}}", NULL, "g", "{}", true },
    { "live_relevance", "{'name':'f','parameters':{'type':'dict','properties':{}}}", NULL, NULL, NULL, false },
};

static bool entry_answer(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
{
    size_t i = (*(size_t *)ctx)++;
    bool fine = json_is(json_get(json_at(json_get(body, "tools"), 0), "function"), JSON_OBJECT);
    json_free(body);
    if (!entries[i].name) return fine;
    message_event(m, &(struct event){ .kind = EV_CALL_BEGIN, .id = "call_1", .name = entries[i].name });
    message_event(m, &(struct event){ .kind = EV_CALL_ARGS, .bytes = { entries[i].args, strlen(entries[i].args) } });
    message_event(m, &(struct event){ .kind = EV_CALL_END, .schema_ok = false });   /* the judge decides, not the schema */
    return fine;
}

TEST(entries_are_judged_by_their_category)
{
    struct lines lines = { 0 };
    struct eval_report r;
    struct err e = { 0 };
    size_t at = 0;
    for (size_t i = 0; i < LEN(entries); i++) {
        struct str s = { 0 };
        str_fmt(&s, "{'id':'e%zu','category':'%s','question':[[{'role':'user','content':'x'}]],'function':[%s]", i, entries[i].category, entries[i].function);
        if (entries[i].truth) str_fmt(&s, ",'ground_truth':%s", entries[i].truth);
        str_putc(&s, '}');
        lines_push(&lines, parse(s.p));
        CHECK(bench_bfcl.check(lines.line[i], &e), "%s", e.msg);
        str_done(&s);
    }
    char out[] = "/tmp/tenon-test-eval-XXXXXX";
    assert_true(mkstemp(out) >= 0);
    CHECK(eval_bfcl(&lines, &(struct asking){ .ask = entry_answer, .ctx = &at, .out = out }, &r, &e), "%s", e.msg);
    struct str kept = { 0 };
    assert_true(file_read(out, &kept, &e));
    size_t i = 0;
    for (char *p = kept.p, *nl; p && (nl = strchr(p, '\n')); p = nl + 1, i++) {
        struct json *l = json_parse(p, (size_t)(nl - p), &e);
        CHECK(json_bool(json_get(l, "exact")) == entries[i].right, "%s, %s(%s): %s", entries[i].category, entries[i].name, entries[i].args, json_str(json_get(l, "why"), NULL));
        json_free(l);
    }
    CHECK(i == LEN(entries), "%zu answers kept", i);
    str_done(&kept);
    eval_report_done(&r);
    lines_done(&lines);
    remove(out);
}

static void add(struct eval_report *r, const char *kind, int n, int exact)
{
    MEM_GROW(r->kind, r->n_kind, r->cap_kind);
    struct tally *t = &r->kind[r->n_kind++];
    *t = (struct tally){ .n = n, .exact = exact };
    snprintf(t->kind, sizeof t->kind, "%s", kind);
}

static double total(const struct json *v, const char *name, const char *what)
{
    const struct json *t = json_get(json_get(v, "totals"), name);
    return json_is(t, JSON_OBJECT) ? json_f64(json_get(t, what)) : -1;
}

TEST(totals_are_those_of_version_4)
{
    struct eval_report r = { 0 };
    add(&r, "simple_python", 100, 60);                                /* simple: (60 + 30 + 0) / 3 = 30 */
    add(&r, "simple_java", 50, 15);
    add(&r, "multiple", 10, 5);
    add(&r, "parallel", 10, 2);
    add(&r, "parallel_multiple", 10, 0);
    add(&r, "live_simple", 30, 30);
    add(&r, "live_multiple", 60, 0);
    add(&r, "live_parallel", 5, 0);
    struct json *v = eval_bfcl_json(&r);
    CHECK(total(v, "non_live", "exact") == -1 && total(v, "live", "exact") == -1 && total(v, "overall_v4", "exact") == -1, "categories are missing");
    CHECK(json_len(json_get(v, "not_evaluated")) == 5 + 7, "%zu are named", json_len(json_get(v, "not_evaluated")));
    json_free(v);
    add(&r, "simple_javascript", 25, 0);
    add(&r, "live_parallel_multiple", 5, 0);
    add(&r, "irrelevance", 10, 9);
    add(&r, "live_irrelevance", 1000, 500);
    v = eval_bfcl_json(&r);
    CHECK(fabs(total(v, "simple", "exact") - 0.3) < 1e-9, "%f", total(v, "simple", "exact"));
    CHECK(fabs(total(v, "non_live", "exact") - 0.25) < 1e-9, "%f", total(v, "non_live", "exact"));
    CHECK(fabs(total(v, "live", "exact") - 0.3) < 1e-9, "by entries: %f", total(v, "live", "exact"));
    CHECK(fabs(total(v, "irrelevance_mean", "exact") - 0.7) < 1e-9, "not by entries: %f", total(v, "irrelevance_mean", "exact"));
    CHECK(fabs(total(v, "overall_v4", "exact") - 0.125) < 1e-9, "%f", total(v, "overall_v4", "exact"));
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "non_live" : "irrelevance_mean";
        double x = total(v, name, "exact"), low = total(v, name, "low"), high = total(v, name, "high");
        CHECK(0 <= low && low < x && x < high && high <= 1 && high - low < 0.35, "%s: %f to %f", name, low, high);
    }
    json_free(v);
    eval_report_done(&r);
}

/* ---- Schema-Guided Dialogue ------------------------------------------------------------------------------ */

/* Answers come from the line's own id: what is called, as text. */
static const struct { const char *line, *name, *args; } points[] = {
    { "{'kind':'call','unseen':false,'expect':[{'f':{'a':['Big Apple','NY'],'b':[2,'']}}]}", "f", "{\"a\":\"NY\"}" },             /* lenient only */
    { "{'kind':'call','unseen':true,'expect':[{'f':{'a':['Big Apple','NY'],'b':[2,'']}}]}", "f", "{\"a\":\"big apple\",\"b\":2}" }, /* both */
    { "{'kind':'call','unseen':true,'expect':[{'f':{'a':['x'],'b':[2]}}]}", "f", "{\"a\":\"x\",\"b\":3}" },                     /* one argument wrong */
    { "{'kind':'call','unseen':true,'expect':[{'f':{'a':['x']}}]}", "g", "{}" },                                                /* wrong name */
    { "{'kind':'call','unseen':false,'expect':[{'f':{'a':['x']}}]}", NULL, NULL },                                              /* missed */
    { "{'kind':'none','unseen':false,'expect':[]}", NULL, NULL },
    { "{'kind':'none','unseen':true,'expect':[]}", "g", "{}" },
};

static bool point_answer(void *ctx, int asker, struct json *body, struct message *m, struct err *e)
{
    size_t i = (*(size_t *)ctx)++;
    json_free(body);
    if (!points[i].name) return true;
    message_event(m, &(struct event){ .kind = EV_CALL_BEGIN, .id = "call_1", .name = points[i].name });
    message_event(m, &(struct event){ .kind = EV_CALL_ARGS, .bytes = { points[i].args, strlen(points[i].args) } });
    message_event(m, &(struct event){ .kind = EV_CALL_END, .schema_ok = true });
    return true;
}

TEST(dialogue_points_are_counted_in_every_way)
{
    struct lines lines = { 0 };
    struct sgd_report r;
    struct err e = { 0 };
    size_t at = 0;
    for (size_t i = 0; i < LEN(points); i++) {
        struct json *l = parse(points[i].line);
        json_set(l, "messages", json_new_array());
        json_set(l, "tools", parse("[{'type':'function','function':{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'string'},"
                                   "'b':{'type':'integer'}},'required':['a']}}},{'type':'function','function':{'name':'g'}}]"));
        CHECK(bench_sgd.check(l, &e), "%s", e.msg);
        lines_push(&lines, l);
    }
    CHECK(eval_sgd(&lines, &(struct asking){ .ask = point_answer, .ctx = &at }, &r, &e), "%s", e.msg);
    const struct sgd_slice *all = &r.slice[SGD_ALL], *unseen = &r.slice[SGD_UNSEEN], *seen = &r.slice[SGD_SEEN];
    CHECK(all->lenient.n == 5 && all->lenient.exact == 2, "lenient %d of %d", all->lenient.exact, all->lenient.n);
    CHECK(all->strict.exact == 1 && unseen->strict.exact == 1 && seen->strict.exact == 0, "strict %d", all->strict.exact);
    CHECK(all->name.exact == 3 && unseen->name.exact == 2, "names %d", all->name.exact);
    CHECK(all->missed.n == 5 && all->missed.exact == 1 && seen->missed.exact == 1, "missed %d", all->missed.exact);
    CHECK(all->called_for_nothing.n == 2 && all->called_for_nothing.exact == 1 && seen->called_for_nothing.exact == 0, "for nothing %d", all->called_for_nothing.exact);
    CHECK(all->right == 4 && all->given == 5 && all->lacking == 3, "%d right, %d given, %d lacking", (int)all->right, (int)all->given, (int)all->lacking);
    struct json *v = eval_sgd_json(&r);
    CHECK(fabs(json_f64(json_get(json_get(v, "all"), "argument_f1")) - 8.0 / 12) < 1e-3, "F1 %f", json_f64(json_get(json_get(v, "all"), "argument_f1")));
    json_free(v);
    eval_report_done(&r.points);
    lines_done(&lines);
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
