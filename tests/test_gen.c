/* Tests of gen/ that need no model: requests, messages, tools, sampling. The loop is in test_walk.c. */
#include "quoted.h"

#include <math.h>

#include "gen/draft.h"
#include "gen/gen.h"
#include "gen/int.h"
#include "gen/value.h"

static char *written(const struct json *v)
{
    struct str s = { 0 };
    if (v) json_write(&s, v, JSON_COMPACT);
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '"') s.p[i] = '\'';
    return str_take(&s);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

#define USER "'messages':[{'role':'user','content':'hi'}]"
#define F "'tools':[{'type':'function','function':{'name':'f'}},{'name':'g.x','description':'d','parameters':{'type':'object'}}]"

static const struct { const char *why, *body, *error; } refused[] = {
    { "smallest", "{" USER "}", NULL },
    { "null is absent", "{" USER ",'tools':null,'max_tokens':null,'temperature':null,'stop':null}", NULL },
    { "1.0 is an integer", "{" USER ",'max_tokens':1.0}", NULL },
    { "unknown members are ignored", "{" USER ",'user':'x','metadata':{},'stream':true}", NULL },
    { "tools wrapped and bare", "{" USER "," F ",'tool_choice':'required'}", NULL },
    { "named", "{" USER "," F ",'tool_choice':{'type':'function','function':{'name':'g.x'}}}", NULL },
    { "named, flat", "{" USER "," F ",'tool_choice':{'type':'function','name':'f'}}", NULL },
    { "allowed", "{" USER "," F ",'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'auto','tools':[{'type':'function','function':{'name':'f'}}]}}}", NULL },
    { "empty tools are none", "{" USER ",'tools':[]}", NULL },
    { "n of 1 changes nothing", "{" USER ",'n':1,'logit_bias':{}}", NULL },
    { "no object", "[]", "object" },
    { "no messages", "{}", "messages" },
    { "empty messages", "{'messages':[]}", "messages" },
    { "message without role", "{'messages':[{'content':'x'}]}", "messages[0].role" },
    { "unknown role", "{'messages':[{'role':'robot','content':'x'}]}", "robot" },
    { "user without content", "{'messages':[{'role':'user'}]}", "messages[0].content" },
    { "content of another type", "{'messages':[{'role':'user','content':3}]}", "messages[0].content" },
    { "an image", "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{}}]}]}", "messages[0].content[0]" },
    { "tool without name", "{" USER ",'tools':[{'type':'function','function':{}}]}", "tools[0].function.name: missing" },
    { "illegal name", "{" USER ",'tools':[{'name':'a b'}]}", "a b" },
    { "name of another type", "{" USER ",'tools':[{'name':3}]}", "tools[0].function.name" },
    { "twice the same name", "{" USER ",'tools':[{'name':'a'},{'name':'a'}]}", "'a'" },
    { "another type of tool", "{" USER ",'tools':[{'type':'custom','name':'a'}]}", "custom" },
    { "a tool that is no object", "{" USER ",'tools':['a']}", "tools[0]" },
    { "parameters of another type", "{" USER ",'tools':[{'name':'a','parameters':[]}]}", "tool a" },
    { "parameters not of objects", "{" USER ",'tools':[{'name':'a','parameters':{'type':'string'}}]}", "tool a: /type" },
    { "choice of an unknown tool", "{" USER "," F ",'tool_choice':{'type':'function','function':{'name':'h'}}}", "'h'; there is f, g.x" },
    { "choice of another word", "{" USER "," F ",'tool_choice':'some'}", "Supported values are" },
    { "choice without tools", "{" USER ",'tool_choice':'required'}", "only allowed when" },
    { "allowed tools without a list", "{" USER "," F ",'tool_choice':{'type':'allowed_tools','mode':'auto'}}", "allowed_tools.tools" },
    { "allowed tools, unknown one", "{" USER "," F ",'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'name':'h'}]}}", "'h'" },
    { "max_tokens 0 reads the prompt", "{" USER ",'max_tokens':0}", NULL },
    { "max_tokens below 0", "{" USER ",'max_tokens':-1}", "max_tokens" },
    { "alternatives without logprobs", "{" USER ",'top_logprobs':2}", "top_logprobs" },
    { "too many alternatives", "{" USER ",'logprobs':true,'top_logprobs':21}", "top_logprobs" },
    { "max_tokens as text", "{" USER ",'max_tokens':'5'}", "max_tokens" },
    { "two limits", "{" USER ",'max_tokens':5,'max_completion_tokens':6}", "max_completion_tokens" },
    { "temperature too high", "{" USER ",'temperature':3}", "temperature" },
    { "temperature as text", "{" USER ",'temperature':'1'}", "temperature" },
    { "top_p 0", "{" USER ",'top_p':0}", "top_p" },
    { "n of 2", "{" USER ",'n':2}", "n: not supported" },
    { "stop strings", "{" USER ",'stop':'x'}", NULL },
    { "no stop strings", "{" USER ",'stop':[]}", NULL },
    { "an empty stop string", "{" USER ",'stop':['x','']}", "stop: " },
    { "parallel as text", "{" USER ",'parallel_tool_calls':'no'}", "parallel_tool_calls" },
    { "formats", "{" USER ",'response_format':{'type':'regex','pattern':'a+'}}", NULL },
    { "format grammar", "{" USER ",'response_format':{'type':'grammar','grammar':'root = x','syntax':'tenon'}}", NULL },
    { "format without pattern", "{" USER ",'response_format':{'type':'regex'}}", "response_format.pattern" },
    { "format, empty grammar", "{" USER ",'response_format':{'type':'grammar','grammar':''}}", "response_format.grammar" },
    { "format, other syntax", "{" USER ",'response_format':{'type':'grammar','grammar':'x','syntax':'lark'}}", "response_format.syntax" },
    { "format, strict as text", "{" USER ",'response_format':{'type':'json_schema','json_schema':{'schema':{},'strict':'yes'}}}", "json_schema.strict" },
    { "format, name as number", "{" USER ",'response_format':{'type':'json_schema','json_schema':{'schema':{},'name':1}}}", "json_schema.name" },
    { "format, no json_schema", "{" USER ",'response_format':{'type':'json_schema'}}", "response_format.json_schema" },
    { "unknown format", "{" USER ",'response_format':{'type':'xml'}}", "response_format.type" },
    { "format without schema", "{" USER ",'response_format':{'type':'json_schema','json_schema':{}}}", "response_format.json_schema.schema" },
    { "unknown spelling", "{" USER ",'spelling':'wide'}", "spelling" },
};

TEST(requests_are_read_or_refused_with_the_member)
{
    for (size_t i = 0; i < LEN(refused); i++) {
        struct err e = { 0 };
        struct request r;
        bool ok = request_read(&r, parse(refused[i].body), &e);
        CHECK(ok == !refused[i].error, "%s: %s", refused[i].why, e.msg);
        if (refused[i].error) CHECK(strstr(e.msg, refused[i].error), "%s: %s", refused[i].why, e.msg);
        if (ok) request_done(&r);
    }
}

TEST(choice_and_limits_are_kept)
{
    struct err e = { 0 };
    struct request r;
    assert_true(request_read(&r, parse("{" USER "," F ",'tool_choice':{'type':'function','name':'g.x'},'parallel_tool_calls':false,"
                                       "'max_completion_tokens':7,'temperature':0.5,'seed':-3,'key_order':'declared','spelling':'compact'}"), &e));
    CHECK(r.choice == CHOICE_NAMED && !strcmp(r.choice_name, "g.x") && !r.parallel, "choice");
    CHECK(r.max_tokens == 7 && r.sampling.temperature == 0.5f && r.sampling.seed == (uint64_t)-3, "limits");
    CHECK(r.declared_order == 1 && r.spelling == SPELL_COMPACT, "style");
    request_done(&r);
    assert_true(request_read(&r, parse("{" USER "}"), &e));
    CHECK(r.choice == CHOICE_NONE && r.parallel && !r.max_tokens && r.sampling.temperature == 0 && r.spelling == -1, "defaults");
    request_done(&r);
    assert_true(request_read(&r, parse("{" USER "," F ",'tool_choice':{'type':'allowed_tools','mode':'required','tools':[{'name':'g.x'}]}}"), &e));
    CHECK(r.choice == CHOICE_REQUIRED && r.allowed && !r.allowed[0] && r.allowed[1], "allowed");
    request_done(&r);
}

/* ---- history ------------------------------------------------------------------------------------------- */

#define CALL(id) "{'role':'assistant','content':null,'tool_calls':[{'id':'" id "','type':'function','function':{'name':'f','arguments':{'a':1}}}]}"
#define CALLS "{'role':'assistant','content':null,'tool_calls':[{'id':'1','function':{'name':'f','arguments':'{}'}},{'id':'2','function':{'name':'g','arguments':'{}'}}]}"

static const struct { const char *why, *in, *out, *error; } histories[] = {
    { "parts are joined", "[{'role':'user','content':[{'type':'text','text':'a'},{'type':'text','text':'b'}]}]", "[{'role':'user','content':'ab'}]", NULL },
    { "developer is system", "[{'role':'developer','content':'x'}]", "[{'role':'system','content':'x'}]", NULL },
    { "results are named", "[" CALL("1") ",{'role':'tool','tool_call_id':'1','content':'ok'}]", "'name':'f'", NULL },
    { "a result without id answers the open call", "[" CALLS ",{'role':'tool','tool_call_id':'2','content':'b'},{'role':'tool','content':'a'}]",
      "{'role':'tool','content':'a','tool_call_id':'1','name':'f'}", NULL },
    { "an image in a result is a note", "[" CALL("1") ",{'role':'tool','tool_call_id':'1','content':[{'type':'image_url'}]}]", "[image omitted", NULL },
    { "unknown id", "[" CALL("1") ",{'role':'tool','tool_call_id':'2','content':'x'}]", NULL, "messages[1].tool_call_id" },
    { "answered twice", "[" CALLS ",{'role':'tool','tool_call_id':'1','content':'x'},{'role':'tool','tool_call_id':'1','content':'x'}]", NULL, "twice" },
    { "result without call", "[{'role':'tool','tool_call_id':'1','content':'x'}]", NULL, "messages[0].tool_call_id" },
    { "call left open", "[" CALL("abc") ",{'role':'user','content':'x'}]", NULL, "'abc'" },
    { "call left open at the end", "[" CALL("abc") "]", NULL, "'abc'" },
    { "assistant says nothing", "[{'role':'assistant','content':null}]", NULL, "messages[0]" },
    { "call without name", "[{'role':'assistant','tool_calls':[{'id':'1','function':{}}]}]", NULL, "tool_calls[0].function.name" },
    { "no message", "[3]", NULL, "messages[0].role" },
};

TEST(history_takes_one_shape)
{
    for (size_t i = 0; i < LEN(histories); i++) {
        struct err e = { 0 };
        struct json *in = parse(histories[i].in), *out = messages_normalise(in, true, &e);
        char *text = written(out);
        CHECK(!out == !histories[i].out, "%s: %s", histories[i].why, e.msg);
        if (histories[i].out) CHECK(strstr(text, histories[i].out), "%s: %s", histories[i].why, text);
        else CHECK(strstr(e.msg, histories[i].error), "%s: %s", histories[i].why, e.msg);
        mem_free(text);
        json_free(in);
        json_free(out);
    }
}

TEST(arguments_of_past_calls_become_strings)
{
    struct err e = { 0 };
    struct json *in = parse("[" CALL("1") ",{'role':'tool','content':'x'}]"), *out = messages_normalise(in, true, &e);
    const struct json *f = json_get(json_at(json_get(json_at(out, 0), "tool_calls"), 0), "function");
    CHECK(json_str_is(json_get(f, "arguments"), "{\"a\":1}"), "compact string");
    json_free(in);
    json_free(out);
}

/* ---- tools --------------------------------------------------------------------------------------------- */

TEST(tools_come_in_three_shapes)
{
    static const struct { const char *in, *names; } shapes[] = {
        { "[{'name':'a'},{'type':'function','function':{'name':'b'}}]", "a b" },
        { "{'tools':[{'name':'a'}]}", "a" },
        { "{'commands':{'du':{'description':'x','parameters':{'type':'object'},'argv':['du']}},'http':{'get':{'url':'u'}},'mcpServers':{}}", "du get" },
    };
    for (size_t i = 0; i < LEN(shapes); i++) {
        struct err e = { 0 };
        struct str names = { 0 };
        struct json *in = parse(shapes[i].in), *out = tools_normalise(in, &e);
        for (size_t k = 0; k < json_len(out); k++) {
            const struct json *t = json_at(out, k);
            CHECK(json_str_is(json_get(t, "type"), "function"), "%s: wrapped", shapes[i].in);
            str_fmt(&names, "%s%s", k ? " " : "", json_str(json_get(json_get(t, "function"), "name"), NULL));
        }
        CHECK(names.p && !strcmp(names.p, shapes[i].names), "%s: %s %s", shapes[i].in, names.p ? names.p : "", e.msg);
        str_done(&names);
        json_free(in);
        json_free(out);
    }
}

TEST(how_a_tool_is_run_stays_out_of_its_definition)
{
    struct err e = { 0 };
    struct json *in = parse("{'commands':{'du':{'description':'x','argv':['du'],'env':['SECRET']}}}"), *out = tools_normalise(in, &e);
    char *text = written(out);
    CHECK(strstr(text, "'description':'x'") && !strstr(text, "argv") && !strstr(text, "SECRET"), "%s", text);
    mem_free(text);
    json_free(in);
    json_free(out);
}

TEST(argument_schemas_are_objects)
{
    static const struct { const char *tool, *schema; } s[] = {
        { "{'name':'f'}", "{'type':'object','properties':{},'additionalProperties':false}" },
        { "{'name':'f','parameters':null}", "{'type':'object','properties':{},'additionalProperties':false}" },
        { "{'name':'f','parameters':{'type':'object','properties':{},'required':[]}}", "{'type':'object','properties':{},'additionalProperties':false}" },
        { "{'name':'f','parameters':true}", "{'type':'object'}" },
        { "{'name':'f','parameters':{}}", "{'type':'object'}" },
        { "{'name':'f','parameters':{'type':['object','null'],'properties':{'a':{}}}}", "{'type':'object','properties':{'a':{}}}" },
    };
    for (size_t i = 0; i < LEN(s); i++) {
        struct json *t = parse(s[i].tool), *schema = tool_schema(t), *want = parse(s[i].schema);
        CHECK(json_equal(schema, want), "%s", s[i].tool);
        json_free(t);
        json_free(schema);
        json_free(want);
    }
}

TEST(objects_are_closed_only_where_that_is_safe)
{
    static const struct { const char *open, *closed; } s[] = {
        { "{'properties':{'a':{}}}", "{'properties':{'a':{}},'additionalProperties':false}" },
        { "{'type':'object'}", "{'type':'object'}" },
        { "{'properties':{}}", "{'properties':{}}" },
        { "{'properties':{'a':{}},'additionalProperties':true}", "{'properties':{'a':{}},'additionalProperties':true}" },
        { "{'properties':{'a':{}},'required':['b']}", "{'properties':{'a':{}},'required':['b']}" },
        { "{'properties':{'a':{}},'allOf':[{}]}", "{'properties':{'a':{}},'allOf':[{}]}" },
        { "{'items':{'properties':{'a':{'properties':{'b':true}}}}}",
          "{'items':{'properties':{'a':{'properties':{'b':true},'additionalProperties':false}},'additionalProperties':false}}" },
    };
    for (size_t i = 0; i < LEN(s); i++) {
        struct json *open = parse(s[i].open), *want = parse(s[i].closed), *got = schema_closed(open);
        CHECK(json_equal(got, want), "%s", s[i].open);
        json_free(open);
        json_free(want);
        json_free(got);
    }
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static const struct event stream[] = {
    { .kind = EV_REASONING, .bytes = { "hm", 2 } },
    { .kind = EV_TEXT, .bytes = { "Let me ", 7 } }, { .kind = EV_TEXT, .bytes = { "see.", 4 } },
    { .kind = EV_CALL_BEGIN, .index = 0, .id = "call_1", .name = "set_light" },
    { .kind = EV_CALL_ARGS, .index = 0, .bytes = { "{\"room\":\"a\\\"b\"", 14 } },
    { .kind = EV_TOKEN, .token = 3 },
    { .kind = EV_CALL_ARGS, .index = 0, .bytes = { ",\"x y\":[1,2]}", 13 } },
    { .kind = EV_CALL_END, .index = 0, .schema_ok = true },
    { .kind = EV_CALL_BEGIN, .index = 1, .id = "call_2", .name = "f" },
    { .kind = EV_CALL_ARGS, .index = 1, .bytes = { "{}", 2 } },
    { .kind = EV_CALL_END, .index = 1, .schema_ok = false },
    { .kind = EV_FINISH, .reason = FINISH_TOOL_CALLS },
};

TEST(events_fold_into_an_openai_message)
{
    struct message m = { 0 };
    for (size_t i = 0; i < LEN(stream); i++) message_event(&m, &stream[i]);
    struct json *v = message_json(&m);
    const char *want = "{\"role\":\"assistant\",\"content\":\"Let me see.\",\"reasoning_content\":\"hm\",\"tool_calls\":["
        "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"set_light\",\"arguments\":\"{\\\"room\\\":\\\"a\\\\\\\"b\\\",\\\"x y\\\":[1,2]}\"}},"
        "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"},\"schema_ok\":false}]}";
    struct str s = { 0 }, print = { 0 };
    json_write(&s, v, JSON_COMPACT);
    CHECK(!strcmp(s.p, want), "%s", s.p);
    message_print(&m, &print);
    CHECK(!strcmp(print.p, "Let me see.\nset_light(room=\"a\\\"b\", \"x y\"=[1,2])\nf()  # does not fit its schema\n"), "%s", print.p);
    str_done(&s);
    str_done(&print);
    json_free(v);
    message_done(&m);
}

TEST(deltas_add_up_to_the_message)
{
    struct str text = { 0 }, args[2] = { { 0 } };
    for (size_t i = 0; i < LEN(stream); i++) {
        struct json *d = event_delta(&stream[i]);
        const struct json *call = json_at(json_get(d, "tool_calls"), 0), *f = json_get(call, "function");
        int64_t index = 0;
        const char *t = json_str(json_get(d, "content"), NULL), *a = json_str(json_get(f, "arguments"), NULL);
        if (call) CHECK(json_i64(json_get(call, "index"), &index), "index in %zu", i);
        if (t) str_puts(&text, t);
        if (a) str_puts(&args[index], a);
        json_free(d);
    }
    CHECK(!strcmp(text.p, "Let me see.") && !strcmp(args[0].p, "{\"room\":\"a\\\"b\",\"x y\":[1,2]}") && !strcmp(args[1].p, "{}"), "%s", args[0].p);
    str_done(&text);
    str_done(&args[0]);
    str_done(&args[1]);
}

TEST(an_unfinished_call_is_marked)
{
    struct message m = { 0 };
    for (size_t i = 0; i < 5; i++) message_event(&m, &stream[i]);
    struct json *v = message_json(&m);
    CHECK(json_bool(json_get(json_at(json_get(v, "tool_calls"), 0), "incomplete")), "incomplete");
    json_free(v);
    message_done(&m);
}

/* ---- sampling ------------------------------------------------------------------------------------------ */

TEST(sampling_keeps_to_mask_and_truncation)
{
    const float l[] = { 1, 3, 2, NAN, -INFINITY, 2.5f, 0 };

    static const struct { const char *why; float t, top_p, min_p; int top_k; uint32_t mask, may; } rows[] = {
        { "greedy", 0, 1, 0, 0, 0x7F, 1 << 1 },
        { "greedy under a mask", 0, 1, 0, 0, 0x5D, 1 << 2 },
        { "all that is possible", 1, 1, 0, 0, 0x7F, 0x67 },
        { "masked", 1, 1, 0, 0, 0x5D, 0x45 },
        { "top_k", 1, 1, 0, 2, 0x7F, 0x22 },
        { "top_p keeps the token that crosses", 1, 0.5f, 0, 0, 0x7F, 0x22 },
        { "min_p", 1, 1, 0.5f, 0, 0x7F, 0x22 },
        { "nothing is possible", 1, 1, 0, 0, 0x18, 0x18 },
    };
    struct sampler s;
    sampler_init(&s, 7);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct sampling o = { .temperature = rows[i].t, .top_p = rows[i].top_p, .min_p = rows[i].min_p, .top_k = rows[i].top_k };
        uint32_t seen = 0;
        for (int k = 0; k < 4000; k++) {
            int32_t t = sample_pick(&s, l, &rows[i].mask, &o, k / 4000.0);
            if (t >= 0) seen |= 1u << t;
            else CHECK(0, "%s: nothing picked", rows[i].why);
        }
        bool one = rows[i].mask == 0x18;                          /* any one of them will do */
        CHECK(one ? (seen & ~rows[i].may) == 0 && seen : seen == rows[i].may, "%s: %x", rows[i].why, seen);
    }
    sampler_done(&s);
}

TEST(the_share_of_a_token_is_of_what_is_allowed)
{
    const float l[] = { 0, logf(2), logf(5), NAN, -INFINITY };
    const uint32_t all = 0x1F, some = 0x1B, odd = 0x18;
    static const struct { const char *why; int mask; int32_t id; double share; } rows[] = {
        { "of all", 0, 1, 0.25 },      { "the best of all", 0, 2, 0.625 }, { "under a mask", 1, 1, 2.0 / 3 },
        { "impossible", 0, 4, 0 },     { "not a number, taken all the same", 0, 3, 1 }, { "nothing is possible", 2, 3, 1 },
    };
    const uint32_t *mask[] = { &all, &some, &odd };
    for (size_t i = 0; i < LEN(rows); i++) {
        double p = sample_share(l, mask[rows[i].mask], 5, rows[i].id);
        CHECK(fabs(p - rows[i].share) < 1e-6, "%s: %g", rows[i].why, p);
    }
    CHECK(fabs(sample_share(l, NULL, 5, 0) - 0.125) < 1e-6, "without a mask");
}

TEST(sampling_follows_the_distribution)
{
    const float l[] = { 0, logf(2), logf(5) };
    struct sampler s;
    struct sampling o = { .temperature = 1, .top_p = 1 };
    int n[3] = { 0 };
    sampler_init(&s, 3);
    for (int i = 0; i < 8000; i++) n[sample_pick(&s, l, NULL, &o, (i + 0.5) / 8000)]++;
    CHECK(n[0] == 1000 && n[1] == 2000 && n[2] == 5000, "%d %d %d", n[0], n[1], n[2]);
    sampler_done(&s);
    const uint32_t mask[2] = { 0x80000001, 0x3 };
    int seen[64] = { 0 };
    for (int i = 0; i < 4000; i++) seen[sample_uniform(mask, 34, (i + 0.5) / 4000)]++;
    CHECK(seen[0] == 1000 && seen[31] == 1000 && seen[32] == 1000 && seen[33] == 1000, "%d %d", seen[0], seen[33]);
}

TEST(penalties_hit_what_was_said)
{
    float l[] = { 1, 1, -1, 0 };
    struct ids text = { 0 };
    ids_put(&text, 0), ids_put(&text, 2), ids_put(&text, 0);
    sample_penalise(l, 4, &text, &(struct sampling){ .repeat_penalty = 2, .presence = 0.25f, .frequency = 0.5f });
    CHECK(l[0] == 0.5f - 1.25f && l[1] == 1 && l[2] == -2 - 0.75f && l[3] == 0, "%g %g %g %g", l[0], l[1], l[2], l[3]);
    mem_free(text.id);
    const float z[] = { 0, logf(3) };
    CHECK(fabsf(sample_logprob(z, 2, 1) - logf(0.75f)) < 1e-6f, "log-probability");
}

/* ---- shared words -------------------------------------------------------------------------------------- */

TEST(the_tool_that_shares_words_comes_first)
{
    static const struct { const char *why, *said; int first; } rows[] = {
        { "a word of the name", "please set an alarm", 0 },
        { "camelCase and snake_case are words", "how is the weather", 1 },
        { "a word of the description", "will it rain", 1 },
        { "a property", "to Oslo city", 1 },
        { "a member of an enum", "the garage please", 2 },
        { "beginnings are enough", "unlocking", 2 },
        { "endings do not count", "the suns", 1 },
        { "a word of every tool decides nothing", "thing", -1 },
        { "function words decide nothing", "or a", -1 },
        { "nothing in common", "hello", -1 },
    };
    struct json *tools = parse("[{'name':'setAlarm','description':'a thing'},"
        "{'name':'get_weather','description':'rain or sun, a thing','parameters':{'properties':{'city':{'type':'string'}}}},"
        "{'name':'door','description':'Unlocks, a thing','parameters':{'properties':{'which':{'enum':['front','garage']}}}}]");
    struct call_tool t[3];
    for (size_t i = 0; i < 3; i++)
        t[i] = (struct call_tool){ .name = json_str(json_get(json_at(tools, i), "name"), NULL),
                                   .description = json_get(json_at(tools, i), "description"), .schema = tool_schema(json_at(tools, i)) };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'user','content':'garage'},{'role':'assistant','content':'alarm'}]"), *m = json_new_object();
        double s[3];
        json_set(m, "role", json_new_str("user"));
        json_set(m, "content", json_new_str(rows[i].said));
        json_push(talk, m);
        lexical_scores(talk, t, 3, s);
        int best = s[0] > s[1] && s[0] > s[2] ? 0 : s[1] > s[0] && s[1] > s[2] ? 1 : s[2] > s[0] && s[2] > s[1] ? 2 : -1;
        if (rows[i].first >= 0 || i == LEN(rows) - 1) CHECK(best == rows[i].first, "%s: %g %g %g", rows[i].why, s[0], s[1], s[2]);
        else CHECK(s[0] < 0.2 && s[1] < 0.2 && s[2] < 0.2, "%s: %g %g %g", rows[i].why, s[0], s[1], s[2]);
        json_free(talk);
    }
    for (size_t i = 0; i < 3; i++) json_free(t[i].schema);
    json_free(tools);
}

/* ---- values that a request offers ------------------------------------------------------------------------ */

#define LOOP "{'type':'object','properties':{'current':{'type':'number','description':'The current in ampere'},'radius':{'type':'integer','description':'radius in meters'}," \
             "'turns':{'type':'array','items':{'type':'integer'}},'core':{'type':'object','properties':{'metal':{'type':'string'}}},'room':{'type':'string'}," \
             "'mode':{'type':'string','enum':['a','b']},'code':{'type':'string','pattern':'x+'},'from_room':{'type':'string'},'to_room':{'type':'string'}," \
             "'style':{'type':'string','description':'kind of house, e.g. villa or condo'},'date':{'type':'string'},'time':{'type':'string'},'metal':{'type':'string'}," \
             "'goods':{'type':'array','items':{'type':'string'}},'share':{'type':'number','description':'in percent'}}}"

TEST(a_value_begins_where_the_arguments_say)
{
    static const struct { const char *why, *args, *key; int n_given; bool in_string; } rows[] = {
        { "nothing is open", "", NULL, 0, false },
        { "a key", "{'cur", NULL, 0, false },
        { "after a colon", "{'current':", "current", 0, false },
        { "with a space", "{'current': ", "current", 0, false },
        { "in the middle of a number", "{'current':1", NULL, 0, false },
        { "a string is open", "{'current':1.5,'room':'", "room", 1, true },
        { "in the middle of a string", "{'room':'a", NULL, 0, false },
        { "an item of an array", "{'turns':[3,4,", "turns", 2, false },
        { "the first item", "{'turns':[", "turns", 0, false },
        { "an object inside", "{'room':'x','core':{'metal':'", "metal", 1, true },
        { "a brace in a string is none", "{'room':'}{','current':", "current", 1, false },
        { "a quote that is escaped does not end", "{'room':'a\\\'b','core':{'metal':'", "metal", 1, true },
        { "of which the schema says nothing", "{'other':", NULL, 0, false },
        { "after the end", "{'current':1}", NULL, 0, false },
        { "a key begins", "{'current':1,'", NULL, 1, false },
    };
    struct json *schema = parse(LOOP);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct str args = { 0 };
        for (const char *p = rows[i].args; *p; p++) str_putc(&args, *p == '\'' ? '"' : *p);
        struct place p;
        bool is = place_find(&p, schema, args.p, args.len);
        CHECK(is == (rows[i].key != NULL), "%s", rows[i].why);
        if (is) CHECK(bytes_eq(p.key, rows[i].key) && p.n_given == rows[i].n_given && p.in_string == rows[i].in_string, "%s: %d", rows[i].why, p.n_given);
        CHECK(p.begins_key == (i == LEN(rows) - 1) && (!p.begins_key || (p.depth == 1 && bytes_eq(p.last_key, "current"))), "%s: a key", rows[i].why);
        str_done(&args);
    }
    json_free(schema);
}

TEST(a_list_of_calls_goes_on_or_ends)
{
    static const struct { const char *said, *next; enum list_step step; } rows[] = {
        { "[{\"name\":\"f\",\"arguments\":{\"a\":[1", "]}}]", LIST_ENDS },  { "[{\"name\":\"f\",\"arguments\":{\"a\":1", "}},", LIST_MORE },
        { "[{\"name\":\"f\",\"arguments\":{\"a\":1", ",\"", LIST_SAME },    { "[{\"name\":\"f\",\"arguments\":{\"a\":\"x}}", "}},", LIST_SAME },
        { "[{\"name\":\"f\",\"arguments\":{\"a\":1}}", ",", LIST_MORE },    { "[{\"name\":\"f\",\"arguments\":{\"a\":[{\"b\":1", "},{", LIST_SAME },
        { "[{\"name\":\"f\",\"arguments\":{\"a\":\"x", "\"}},", LIST_MORE }, { "[f(a=1), f(a=2", ")]", LIST_ENDS },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        enum list_step step = place_step(rows[i].said, strlen(rows[i].said), (struct bytes){ rows[i].next, strlen(rows[i].next) }, 1);
        CHECK(step == rows[i].step, "%s + %s: %d", rows[i].said, rows[i].next, (int)step);
    }
}

TEST(arguments_and_their_lists_go_on_or_end)
{
    static const struct { const char *args, *next; int depth; enum list_step step; } rows[] = {
        { "{\"a\":1", ",\"", 1, LIST_MORE },        { "{\"a\":1", "}}]", 1, LIST_ENDS },  { "{\"a\":\"x", "\",\"", 1, LIST_MORE },
        { "{\"a\":\"x", ", y", 1, LIST_SAME },      { "{\"a\":[1", ",", 2, LIST_MORE },   { "{\"a\":[1", "]}", 2, LIST_ENDS },
        { "{\"a\":[1", ",", 1, LIST_SAME },         { "{\"a\":[1", "],\"b", 1, LIST_MORE }, { "{\"a\":{\"b\":1", "}", 1, LIST_SAME },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        enum list_step step = place_step(rows[i].args, strlen(rows[i].args), (struct bytes){ rows[i].next, strlen(rows[i].next) }, rows[i].depth);
        CHECK(step == rows[i].step, "%s + %s at %d: %d", rows[i].args, rows[i].next, rows[i].depth, (int)step);
    }
}

/* The best by the prior alone, of those of this length or of any (0). */
static double prior_of(const struct whole_item *item, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < item[i].n_stop; k++)
            if (item[i].stop[k].at == strlen(text) && !strncmp(item[i].text, text, item[i].stop[k].at)) return item[i].stop[k].prior;
    return NAN;
}

TEST(a_request_offers_its_numbers_and_spans)
{
    static const struct { const char *why, *said, *args, *better, *worse; } rows[] = {   /* worse "": is not offered */
        { "words near a number say whose it is", "radius of 4 meters, a current of 5 ampere", "{\"current\":", "5", "4" },
        { "the same numbers, another parameter", "radius of 4 meters, a current of 5 ampere", "{\"radius\":", "4", "5" },
        { "a number that was given is used up", "40 and 50", "{\"current\":40,\"radius\":", "50", "40" },
        { "unless it is said twice", "40 and 40 and 7", "{\"current\":40,\"radius\":", "40", "8" },
        { "thousands", "for $12,000 or so", "{\"current\":", "12000", "12" },
        { "millions", "100 million of them", "{\"current\":", "100000000", "1" },
        { "percent", "at 5%", "{\"current\":", "0.05", "" },
        { "words", "twenty five", "{\"current\":", "25", "20" },
        { "a dozen", "a dozen", "{\"current\":", "12", "" },
        { "below zero", "set -3", "{\"current\":", "-3", "" },
        { "units stick to it", "20kg", "{\"current\":", "20", "" },
        { "not within a name", "room B12", "{\"current\":", "", "12" },
        { "items of an array", "windings [10,15]", "{\"turns\":[10,", "15", "10" },
        { "without the article", "clean the blue hall", "{\"room\":\"", "blue hall", "the blue hall" },
        { "but with that of a name", "fly to the Bronx", "{\"room\":\"", "the Bronx", "Bronx in" },
        { "no function word at the end", "dim hall in Oslo", "{\"room\":\"", "hall", "hall in" },
        { "the parameter's own name is none of it", "book the aquarium room", "{\"room\":\"", "aquarium", "aquarium room" },
        { "a span that was given is used up", "from Oslo to Bergen", "{\"core\":{\"metal\":\"Oslo\"},\"room\":\"", "Bergen", "Oslo" },
        { "nor one that shares words with it", "theft in Oslo", "{\"core\":{\"metal\":\"Oslo\"},\"room\":\"", "theft", "theft in Oslo" },
        { "no word that begins another phrase", "a talk in hall nine", "{\"room\":\"", "talk", "talk in hall" },
        { "a number within a value is used up", "room Lyon 3e with 5", "{\"room\":\"Lyon 3e\",\"current\":", "5", "3" },
        { "an exponent is no number", "4 m/s^2", "{\"current\":", "4", "2" },
        { "not beyond a sentence", "in Rome. Thanks a lot; bye", "{\"room\":\"", "Rome", "lot; bye" },
        { "the dot of a sentence is none of it", "drive to Rome.", "{\"room\":\"", "Rome", "Rome." },
        { "that of an abbreviation may be", "fly to Washington D.C.", "{\"room\":\"", "D.C.", "" },
        { "without the possessive", "the road of Lisa's car", "{\"room\":\"", "Lisa", "" },
        { "all of a quotation", "find the game 'Ticket to Ride' now", "{\"room\":\"", "Ticket to Ride", "Ticket" },
        { "and no more", "find the game 'Ticket to Ride' now", "{\"room\":\"", "Ticket to Ride", "game 'Ticket to Ride" },
        { "an apostrophe is no quotation", "Anna's lamp in Rome", "{\"room\":\"", "Rome", "Anna's lamp" },
        { "a name is not cut", "hours of the Museum of Modern Art please", "{\"room\":\"", "Museum of Modern Art", "Modern Art" },
        { "a preposition says whose it is", "move a file from attic to cellar", "{\"to_room\":\"", "cellar", "attic" },
        { "that of another parameter too", "move a file from attic to cellar", "{\"from_room\":\"", "attic", "cellar" },
        { "an example of the description", "a villa for sale", "{\"style\":\"", "villa", "sale" },
        { "a date for a date", "hall nine on 24 June", "{\"date\":\"", "24 June", "hall nine" },
        { "a date for nothing else", "hall nine on 24 June", "{\"metal\":\"", "hall", "24 June" },
        { "an hour for a time", "June 5 at 10 pm", "{\"time\":\"", "10 pm", "June 5" },
        { "no figure where a number is wanted beside", "send 26.6 monero", "{\"metal\":\"", "monero", "26.6 monero" },
        { "the next item of a list", "buy rice, ripe plums and salt", "{\"goods\":[\"rice\",\"", "ripe plums", "salt" },
        { "not beyond a comma", "buy rice, plums and salt", "{\"goods\":[\"", "rice", "rice, plums" },
        { "the next number of a list", "turns 7, 3 and 9 of 12", "{\"turns\":[7,", "3", "9" },
        { "from where the list began", "groups (4, 5, 6) and (8, 5, 2)", "{\"turns\":[8,5,", "2", "6" },
        { "digits before a word that counts", "the other two sides are 4 and 5", "{\"current\":", "4", "2" },
        { "the first that is free", "from 20 to 30", "{\"current\":", "20", "30" },
        { "a share of one", "at 10%", "{\"current\":", "0.1", "10" },
        { "percent as a word of its own", "at 53 % of it", "{\"current\":", "0.53", "53" },
        { "percent where the description says so", "at 10%", "{\"share\":", "10", "0.1" },
        { "members of enums are not its business", "a b c", "{\"mode\":\"", "", "a" },
        { "patterns neither", "xx", "{\"code\":\"", "", "xx" },
    };
    struct json *schema = parse(LOOP);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'user','content':''}]");
        json_set((struct json *)(uintptr_t)json_at(talk, 0), "content", json_new_str(rows[i].said));
        struct offer *o = offer_open(talk);
        struct place p;
        struct whole_item item[ITEMS_MOST];
        int n = place_find(&p, schema, rows[i].args, strlen(rows[i].args)) ? offer_values(o, &p, item, ITEMS_MOST) : 0;
        double better = prior_of(item, n, rows[i].better), worse = prior_of(item, n, rows[i].worse);
        if (rows[i].better[0]) CHECK(!isnan(better), "%s: %s is offered", rows[i].why, rows[i].better);
        if (rows[i].worse[0]) CHECK(isnan(worse) || better > worse, "%s: %g, %g", rows[i].why, better, worse);
        offer_close(o);
        json_free(talk);
    }
    json_free(schema);
}

TEST(what_is_left_of_a_request_and_what_it_lacks)
{
    struct json *talk = parse("[{'role':'user','content':'Play Nina Simone in Oslo for 20 minutes'}]");
    struct json *two = parse("{'properties':{'a':{'type':'integer'},'b':{'type':'number'},'c':{'type':'string'}},'required':['a','b','c']}");
    static const struct { const char *said; enum offer_rest left; } rows[] = {
        { "'Nina Simone',20", LEFT_NAMES }, { "'Nina Simone',20,'Oslo'", LEFT_WORDS }, { "Nina Simone Oslo", LEFT_NAMES },
        { "'Nina Simone',20,'Oslo','minutes'", LEFT_NOTHING },
    };
    struct offer *o = offer_open(talk);
    struct json *none = json_new_object();
    struct call_tool play = { .name = "play", .schema = two }, any = { .name = "any", .schema = none };
    for (size_t i = 0; i < LEN(rows); i++) {
        enum offer_rest left = offer_left(o, &play, rows[i].said, strlen(rows[i].said));
        CHECK(left == rows[i].left, "%s: %d", rows[i].said, (int)left);
    }
    CHECK(offer_lacks(o, &play) == 1 && offer_lacks(o, &any) == 0, "lacks %d", offer_lacks(o, &play));
    offer_close(o);
    json_free(none);
    json_free(two);
    json_free(talk);
}

TEST(a_string_that_must_be_there_wants_words)
{
    static const struct { const char *why, *said; int lacks; } rows[] = {
        { "all words are the tool's", "how moist is the soil", 1 },
        { "nothing but the tool's name", "the soil moisture please", 1 },
        { "a place is said", "soil moisture of the rose bed", 0 },
        { "a figure may name one", "soil moisture at 7", 0 },
    };
    struct json *schema = parse("{'properties':{'zone':{'type':'string'}},'required':['zone']}"), *about = json_new_str("Soil moisture (percent) at a zone.");
    struct call_tool t = { .name = "soil_probe", .description = about, .schema = schema };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'user','content':''}]");
        json_set((struct json *)(uintptr_t)json_at(talk, 0), "content", json_new_str(rows[i].said));
        struct offer *o = offer_open(talk);
        CHECK(offer_lacks(o, &t) == rows[i].lacks, "%s: %d", rows[i].why, offer_lacks(o, &t));
        offer_close(o);
        json_free(talk);
    }
    json_free(schema);
    json_free(about);
}

#define CAMP "{'type':'object','properties':{'region':{'type':'string'},'facilities':{'type':'array','items':{'enum':['power','lake']}},'max_distance_km':{'type':'integer'}," \
             "'dogs_allowed':{'type':'boolean'},'unit':{'type':'string','enum':['tent','cabin']},'note':{'type':'string'}," \
             "'tone':{'type':'string','description':'e.g. imperial, default metric'},'car':{'type':'object','properties':{'plate':{'type':'string'}}}," \
             "'goods':{'type':'array','items':{'type':'string'}},'depths':{'type':'array','items':{'type':'integer'}}},'required':['region']}"

/* What the request says of the parameters that are left: for, against, or neither. */
TEST(a_request_claims_optional_parameters)
{
    static const struct { const char *why, *said, *args, *key; int sign; } rows[] = {
        { "a boolean nobody speaks of", "campsites near Algarve", "{\"region\":\"Algarve\"", "dogs_allowed", -1 },
        { "one that is named", "near Algarve with dogs", "{\"region\":\"Algarve\"", "dogs_allowed", 1 },
        { "no number is left", "near Algarve", "{\"region\":\"Algarve\"", "max_distance_km", -1 },
        { "a number is", "Algarve, 64 kilometres", "{\"region\":\"Algarve\"", "max_distance_km", 0 },
        { "one within a value is not", "near Lyon 3e", "{\"region\":\"Lyon 3e\"", "max_distance_km", -1 },
        { "a member", "a cabin in Algarve", "{\"region\":\"Algarve\"", "unit", 1 },
        { "no member", "a place in Algarve", "{\"region\":\"Algarve\"", "unit", -1 },
        { "a word in a value is taken", "near Cabin Hill", "{\"region\":\"Cabin Hill\"", "unit", -1 },
        { "a string that nothing is left for", "campsites in Algarve", "{\"region\":\"Algarve\"", "note", -1 },
        { "a string with words left", "campsites in Algarve, quiet please", "{\"region\":\"Algarve\"", "note", 0 },
        { "one with a default that nobody speaks of", "campsites in Algarve, quiet please", "{\"region\":\"Algarve\"", "tone", -1 },
        { "one of its examples is said", "imperial, in Algarve", "{\"region\":\"Algarve\"", "tone", 1 },
        { "a number near its name", "Algarve, 64 km distance", "{\"region\":\"Algarve\"", "max_distance_km", 1 },
        { "an object nobody speaks of", "in Algarve, quiet please", "{\"region\":\"Algarve\"", "car", -1 },
        { "one with a member that is said", "in Algarve, plate X", "{\"region\":\"Algarve\"", "car", 0 },
        { "one that comes later speaks for those before too", "dogs in Algarve", "{\"region\":\"Algarve\"", "max_distance_km", -1 },
        { "what must be there is never weighed", "hello", "{\"", "region", 0 },
    };
    struct json *schema = parse(CAMP), *about = json_new_str("Search campsites in a region");
    struct call_tool t = { .name = "campsite_search", .description = about, .schema = schema };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'user','content':''}]");
        json_set((struct json *)(uintptr_t)json_at(talk, 0), "content", json_new_str(rows[i].said));
        struct offer *o = offer_open(talk);
        struct place p;
        struct whole_item item[ITEMS_MOST];
        place_find(&p, schema, rows[i].args, strlen(rows[i].args));
        int n = claim_keys(o, &p, &t, item, ITEMS_MOST);
        double own = NAN;
        for (int k = 0; k < n; k++) {
            double prior = item[k].stop[0].prior, later = 0;          /* without what those behind it lend */
            for (int j = k + 1; j < n; j++) later = MAX(later, item[j].stop[0].prior);
            if (strlen(rows[i].key) == item[k].stop[0].at && !strncmp(item[k].text, rows[i].key, item[k].stop[0].at)) own = prior - later;
        }
        if (!strcmp(rows[i].key, "region")) CHECK(own <= 0 && own == own, "%s: %g", rows[i].why, own);
        else CHECK(rows[i].sign < 0 ? own < 0 : rows[i].sign > 0 ? own > 0 : own == 0, "%s: %g of %d", rows[i].why, own, n);
        offer_close(o);
        json_free(talk);
    }
    json_free(schema);
    json_free(about);
}

TEST(a_list_wants_more_while_the_request_has_more)
{
    static const struct { const char *why, *said, *args; bool more; } rows[] = {
        { "a member that is said", "power and a lake", "{\"facilities\":[\"power\"", true },
        { "an item behind a comma", "rice, plums", "{\"goods\":[\"rice\"", true },
        { "none behind the last", "rice, plums in Rome", "{\"goods\":[\"rice\",\"plums\"", false },
        { "a number behind one", "depths 4, 5 and 9 at 3", "{\"depths\":[4,5", true },
        { "none there", "depths 4, 5 and 9 at 3", "{\"depths\":[4,5,9", false },
        { "no other member", "with power", "{\"facilities\":[\"power\"", false },
        { "another parameter", "dogs in Rome", "{\"region\":\"Rome\"", true },
        { "none", "camps in Rome", "{\"region\":\"Rome\"", false },
    };
    struct json *schema = parse(CAMP), *about = json_new_str("Search camps");
    struct call_tool t = { .name = "find", .description = about, .schema = schema };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'user','content':''}]");
        json_set((struct json *)(uintptr_t)json_at(talk, 0), "content", json_new_str(rows[i].said));
        struct offer *o = offer_open(talk);
        struct place p;
        place_find(&p, schema, rows[i].args, strlen(rows[i].args));
        double claim = claim_more(o, &p, &t);
        CHECK(rows[i].more ? claim > 0 : claim < 0, "%s: %g", rows[i].why, claim);
        offer_close(o);
        json_free(talk);
    }
    json_free(schema);
    json_free(about);
}

/* ---- drafts -------------------------------------------------------------------------------------------- */

#define TRIP "{'name':'book_trip','description':'Books a trip','parameters':{'type':'object','properties':{'to':{'type':'string'},'nights':{'type':'integer'}," \
             "'class':{'enum':['economy','first']},'with':{'type':'array','items':{'type':'string'}},'fast':{'type':'boolean'},'seat':{'type':'object'," \
             "'properties':{'row':{'type':'integer'}},'required':['row']}},'required':['to','nights','class']}}"
#define RAIN "{'name':'get_rain','description':'Rain of a city','parameters':{'type':'object','properties':{'city':{'type':'string'}},'required':['city']}}"

TEST(drafts_come_from_where_the_answer_stands)
{
#define ARGS "[{'name':'book_trip','arguments':{"
    static const struct { const char *why, *user, *said, *guess; } rows[] = {
        { "the tool that shares words", "book a trip", "[{'name':'", "book_trip'" },
        { "the rest of a name", "book a trip", "[{'name':'get_", "rain'" },
        { "what was called is less likely", "rain and a trip", "[{'name':'get_rain','arguments':{}},{'name':'", "book_trip'" },
        { "the first key that is required", "", ARGS, "'to'" },
        { "the next one", "", ARGS "'to':'x',", "'nights'" },
        { "the rest of a key", "", ARGS "'to':'x','wi", "th'" },
        { "a comma while a key is missing", "", ARGS "'to':'x'", "," },
        { "the spelling that was begun", "", "[{'name': 'book_trip', 'arguments': {'to': 'x'", ", " },
        { "the end when none is", "", ARGS "'to':'x','nights':3,'class':'first'", "}" },
        { "the end of the list", "", ARGS "'to':'x'}}", "]" },
        { "words in capitals", "I want to go to New York by night", ARGS "'to':'", "New York'" },
        { "the first word of a sentence is no name", "Please. Take me to Oslo", ARGS "'to':'", "Oslo'" },
        { "what is quoted", "go to 'the big lake' now", ARGS "'to':'", "the big lake'" },
        { "what is not used yet", "From Oslo to Rome", ARGS "'with':['Oslo'],'to':'", "Rome'" },
        { "a state after a city", "in Boston, MA for", ARGS "'to':'Bos", "ton, MA'" },
        { "where the message says it", "walks along the riverside today", ARGS "'to':'river", "side'" },
        { "within a word is elsewhere", "an overriver trip", ARGS "'to':'river", NULL },
        { "a number", "for 14 nights", ARGS "'nights':", "14" },
        { "the rest of a number", "for 14 nights", ARGS "'nights':1", "4" },
        { "one that is not used yet", "12 people, 14 nights", "[{'name':'book_trip','arguments':{'row':12,'nights':", "14" },
        { "the same number twice", "2 and 2", ARGS "'row':2,'nights':", "2" },
        { "a member that the message has", "in First class", ARGS "'class':'", "first'" },
        { "the first member", "", ARGS "'class':'", "economy'" },
        { "a list begins", "", ARGS "'with':", "[" },
        { "a list goes on with the message", "with Ann, Bob and Carl", ARGS "'with':['Ann'", "," },
        { "and ends with it", "with Ann, Bob and Carl", ARGS "'with':['Carl'", "]" },
        { "a boolean", "", ARGS "'fast':", "true" },
        { "an object inside", "row 7", ARGS "'seat':{", "'row'" },
        { "its number", "row 7", ARGS "'seat':{'row':", "7" },
        { "no number, no idea", "some nights", ARGS "'nights':", NULL },
        { "text is not guessed", "hello", "It is ", NULL },
        { "an escaped quote ends nothing", "go to Rome", ARGS "'to':'a\\'", NULL },
        { "unbalanced", "", "]}]}", NULL },
    };
    struct json *tools = parse("[" TRIP "," RAIN "]");
    struct call_tool t[2];
    for (size_t i = 0; i < 2; i++)
        t[i] = (struct call_tool){ .name = json_str(json_get(json_at(tools, i), "name"), NULL),
                                   .description = json_get(json_at(tools, i), "description"), .schema = tool_schema(json_at(tools, i)) };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct json *talk = parse("[{'role':'system','content':'Paris 99'}]"), *m = json_new_object();
        struct str out = { 0 };
        json_set(m, "role", json_new_str("user"));
        json_set(m, "content", json_new_str(rows[i].user));
        json_push(talk, m);
        struct drafter *d = drafter_open(talk, t, 2);
        char *said = mem_str(rows[i].said);
        for (char *p = said; *p; p++)
            if (*p == '\'') *p = '"';
        bool any = drafter_guess(d, said, strlen(said), &out);
        for (size_t k = 0; k < out.len; k++)
            if (out.p[k] == '"') out.p[k] = '\'';
        CHECK(any == (rows[i].guess != NULL) && (!any || !strcmp(out.p, rows[i].guess)), "%s: %s", rows[i].why, any ? out.p : "no idea");
        drafter_close(d);
        mem_free(said);
        str_done(&out);
        json_free(talk);
    }
    for (size_t i = 0; i < 2; i++) json_free(t[i].schema);
    json_free(tools);
}

/* Passes of a known answer, with the vocabulary of 2048 tokens that the repository has. */
TEST(a_rehearsal_counts_forward_passes)
{
    static const struct { const char *why, *user, *text; bool ok; double most; } rows[] = {
        { "all of it can be guessed", "book a trip to New York, 14 nights, first class",
          "[{'name':'book_trip','arguments':{'to':'New York','nights':14,'class':'first'}}]", true, 0.4 },
        { "nothing can be guessed", "hello", "[{'name':'get_rain','arguments':{'city':'zzqxj, kwpvy'}}]", true, 0.7 },
        { "the grammar has no such tool", "hello", "[{'name':'gone','arguments':{}}]", false, 0 },
        { "a member that is none", "hello", "[{'name':'book_trip','arguments':{'to':'x','nights':1,'class':'third'}}]", false, 0 },
        { "the end is missing", "hello", "[{'name':'get_rain','arguments':{'city':'x'", false, 0 },
    };
    struct err e = { 0 };
    struct gguf *g = gguf_open("models/vocab-2048.gguf", &e);
    struct rehearsal *h = g ? rehearsal_open(g, dialect_find("json"), &e) : NULL;
    CHECK(h, "%s", e.msg);
    for (size_t i = 0; h && i < LEN(rows); i++)
        for (int without = 0; without < 2; without++) {
            struct request r;
            struct rehearsed took;
            char body[2000], *text = mem_str(rows[i].text);
            snprintf(body, sizeof body, "{'messages':[{'role':'user','content':'%s'}],'tools':[" TRIP "," RAIN "]}", rows[i].user);
            for (char *p = text; *p; p++)
                if (*p == '\'') *p = '"';
            e = (struct err){ 0 };
            CHECK(request_read(&r, parse(body), &e), "%s", e.msg);
            r.no_draft = without;
            bool ok = rehearsal_run(h, &r, text, strlen(text), &took, &e);
            CHECK(ok == rows[i].ok, "%s: %s", rows[i].why, ok ? "it was written" : e.msg);
            if (ok && !without) CHECK(took.passes <= rows[i].most * took.tokens, "%s: %d passes for %d tokens", rows[i].why, took.passes, took.tokens);
            if (ok && without) CHECK(took.passes + took.forced >= took.tokens - 1 && !took.drafted && !took.accepted, "%s: %d passes, %d forced of %d, %d drafts",
                                     rows[i].why, took.passes, took.forced, took.tokens, took.drafted);
            CHECK(!ok || (took.accepted <= took.drafted && took.forced + took.accepted <= took.tokens), "%s: numbers", rows[i].why);
            request_done(&r);
            mem_free(text);
        }
    rehearsal_close(h);
    gguf_close(g);
}

TEST_MAIN
