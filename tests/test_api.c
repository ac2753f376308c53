/* Tests of the public C API through the shared library, and of the example that is compiled against it. */
#include "test.h"

#include <unistd.h>

#include "base/json.h"
#include "tenon.h"
#include "tiny.h"

static const char *model(void)
{
    static char path[] = "/tmp/tenon-test-api-XXXXXX";
    static bool made;
    struct err e = { 0 };
    if (made) return path;
    int fd = mkstemp(path);
    if (fd < 0 || !tiny_model(path, "lfm2-json", 3, &e)) {
        fprintf(stderr, "tiny model: %s\n", e.msg);
        exit(1);
    }
    close(fd);
    made = true;
    return path;
}

__attribute__((destructor)) static void remove_model(void) { unlink(model()); }

#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"set_light\",\"parameters\":{\"type\":\"object\"," \
    "\"properties\":{\"room\":{\"type\":\"string\"},\"level\":{\"type\":\"integer\"}},\"required\":[\"room\",\"level\"]}}}]"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"dim the kitchen\"}]"

struct seen { struct str kinds, args; char *last; int n, stop_after; enum tn_finish reason; };

static bool on_event(void *ctx, const struct tn_event *ev)
{
    struct seen *s = ctx;
    str_putc(&s->kinds, "RTBAEFX"[ev->kind]);
    if (ev->kind == TN_CALL_ARGS) str_put(&s->args, ev->bytes, ev->len);
    if (ev->kind == TN_CALL_BEGIN) CHECK(!strcmp(ev->name, "set_light") && ev->id[0], "begin %s", ev->name);
    if (ev->kind == TN_CALL_END) CHECK(ev->schema_ok, "schema");
    if (ev->kind == TN_FINISH) {
        s->last = mem_str(ev->bytes);
        s->reason = ev->reason;
        CHECK(ev->prompt_tokens > 0 && ev->completion_tokens >= 0 && ev->total_ms >= 0, "usage");
    }
    return ++s->n != s->stop_after;
}

static void seen_done(struct seen *s)
{
    str_done(&s->kinds);
    str_done(&s->args);
    mem_free(s->last);
}

TEST(a_request_becomes_events)
{
    struct tn_error err;
    struct tn_engine *t = tn_open(model(), NULL, &err);
    struct seen s = { 0 };
    CHECK(t, "%s", err.message);
    CHECK(tn_run(t, "{" USER "," TOOLS ",\"tool_choice\":\"required\",\"max_tokens\":60}", on_event, &s, &err), "%s", err.message);
    CHECK(!err.message[0] && !err.kind[0], "no error is left: %s", err.message);
    CHECK(s.kinds.p && s.kinds.p[0] == 'B' && strchr(s.kinds.p, 'A') && strchr(s.kinds.p, 'E') && s.kinds.p[s.kinds.len - 1] == 'F', "%s", s.kinds.p);
    struct err e = { 0 };
    struct json *m = json_parse(s.last ? s.last : "", s.last ? strlen(s.last) : 0, &e);
    const struct json *calls = json_get(m, "tool_calls"), *f = json_get(json_at(calls, 0), "function");
    CHECK(json_str_is(json_get(f, "name"), "set_light"), "%s", s.last);
    if (json_len(calls) == 1) CHECK(json_str_is(json_get(f, "arguments"), s.args.p), "%s and %s", s.args.p, s.last);
    json_free(m);
    char *whole = tn_message(t, "{" USER "," TOOLS ",\"tool_choice\":\"required\",\"max_tokens\":60}", &err);
    CHECK(whole && s.last && !strcmp(whole, s.last), "%s", whole ? whole : err.message);
    tn_free(whole);
    seen_done(&s);
    tn_close(t);
}

static const struct { const char *why, *request, *kind, *says; } bad[] = {
    { "not JSON", "{\"messages\":", "format", "byte" },
    { "no messages", "{}", "invalid_request", "messages" },
    { "unknown tool", "{" USER "," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"name\":\"x\"}}", "invalid_request", "set_light" },
    { "budget", "{" USER "," TOOLS ",\"tool_choice\":\"required\",\"max_tokens\":1}", "limit", "max_tokens_too_small" },
};

TEST(refusals_are_sentences)
{
    struct tn_error err;
    struct tn_engine *t = tn_open(model(), NULL, &err);
    for (size_t i = 0; i < LEN(bad); i++) {
        struct seen s = { 0 };
        CHECK(!tn_run(t, bad[i].request, on_event, &s, &err) && !s.n, "%s", bad[i].why);
        CHECK(!strcmp(err.kind, bad[i].kind) && strstr(err.message, bad[i].says), "%s: %s: %s", bad[i].why, err.kind, err.message);
        CHECK(!tn_message(t, bad[i].request, NULL), "%s", bad[i].why);
        seen_done(&s);
    }
    tn_close(t);
    tn_close(NULL);
    CHECK(!tn_open("/no/such/model.gguf", NULL, &err) && strstr(err.message, "/no/such/model.gguf"), "%s", err.message);
    CHECK(!tn_open(model(), &(struct tn_options){ .dialect = "klingon" }, &err) && strstr(err.message, "klingon"), "%s", err.message);
    CHECK(!tn_open(model(), &(struct tn_options){ .n_ctx = 1 << 30 }, &err) && strstr(err.message, "1024"), "%s", err.message);
    CHECK(tn_version()[0], "a version");
}

TEST(a_callback_can_stop_the_answer)
{
    struct tn_error err;
    struct tn_engine *t = tn_open(model(), &(struct tn_options){ .n_ctx = 512, .n_thread = 1 }, &err);
    struct seen s = { .stop_after = 1 };
    CHECK(tn_run(t, "{" USER "," TOOLS ",\"tool_choice\":\"required\"}", on_event, &s, &err), "%s", err.message);
    CHECK(s.reason == TN_CANCEL && s.kinds.p[s.kinds.len - 1] == 'F', "%s", s.kinds.p);
    seen_done(&s);
    tn_close(t);
}

TEST(the_example_answers)
{
    const char *program = getenv("TENON_EXAMPLE");
    char command[1024], line[1024] = "";
    if (!program) SKIP("TENON_EXAMPLE does not name the compiled examples/call.c");
    snprintf(command, sizeof command, "'%s' '%s'", program, model());
    FILE *f = popen(command, "r");
    assert_non_null(f);
    CHECK(fgets(line, sizeof line, f) && !strncmp(line, "set_light {\"room\":", 18), "%s", line);
    CHECK(pclose(f) == 0, "exit status");
}

/* ---- grammars for other engines -------------------------------------------------------------- */

/* Every byte, "ab", a special token, the end of the turn. */
enum { T_AB = 256, T_CALL, T_END, N_TOKEN };
static struct tn_vocab *letters(struct tn_error *err)
{
    static char byte[256];
    static const char *bytes[N_TOKEN], *special[N_TOKEN];
    static size_t len[N_TOKEN];
    static const int32_t end = T_END;
    for (int b = 0; b < 256; b++) { byte[b] = (char)b; bytes[b] = &byte[b]; len[b] = 1; }
    bytes[T_AB] = "ab", len[T_AB] = 2;
    special[T_CALL] = "<|call|>";
    struct tn_vocab_spec s = { .n_vocab = N_TOKEN, .bytes = bytes, .len = len, .special = special, .end = &end, .n_end = 1 };
    return tn_vocab_open(&s, err);
}

static bool whole(const struct tn_grammar *g, const char *text)
{
    struct tn_matcher *m = g ? tn_matcher_new(g, NULL, NULL) : NULL;
    bool ok = m && tn_matcher_commit_bytes(m, text, strlen(text)) && tn_matcher_accepting(m);
    tn_matcher_free(m);
    return ok;
}

static bool in_mask(const uint32_t *bits, int t) { return bits[t / 32] >> (t % 32) & 1; }

TEST(grammars_come_from_schemas_patterns_gbnf_and_tools)
{
    static const char tools[] = "[{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"],\"additionalProperties\":false}},{\"name\":\"g\"}]";
    struct tn_error err;
    struct tn_grammar *g = tn_grammar_from_schema("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", &(struct tn_grammar_options){ .spelling = "compact" }, &err);
    CHECK(whole(g, "[1,2]") && !whole(g, "[1, 2]"), "%s", err.message);
    tn_grammar_free(g);
    static const char siblings[] = "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$defs\":{\"a\":{}},\"$ref\":\"#/$defs/a\",\"type\":\"integer\"}";
    g = tn_grammar_from_schema(siblings, NULL, &err);
    CHECK(whole(g, "1") && !whole(g, "\"x\""), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_schema(siblings, &(struct tn_grammar_options){ .draft = "draft7" }, &err);   /* what stands beside $ref says nothing */
    CHECK(whole(g, "\"x\""), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_regex("[a-c]+", &err);
    CHECK(whole(g, "abc") && !whole(g, "abd"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_gbnf("root ::= \"x\" [0-9]{2}", &err);
    CHECK(whole(g, "x12") && !whole(g, "x1"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_tools(tools, NULL, true, NULL, NULL, &err);
    CHECK(whole(g, "hello") && whole(g, "[{\"name\":\"f\",\"arguments\":{\"a\":1}},{\"name\":\"g\",\"arguments\":{}}]") && !whole(g, "[{\"name\":\"f\",\"arguments\":{}}]"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_tools(tools, "required", false, NULL, NULL, &err);
    CHECK(!whole(g, "hello") && whole(g, "[{\"name\":\"g\",\"arguments\":{}}]") && !whole(g, "[{\"name\":\"g\",\"arguments\":{}},{\"name\":\"g\",\"arguments\":{}}]"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_tools(tools, "g", true, "\"call \" each { name value(json) }", NULL, &err);
    CHECK(whole(g, "call g{}") && !whole(g, "call f{\"a\":1}"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_tools("[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"integer\"}}}}]", "f", true, "each { name value(json) }",
                              &(struct tn_grammar_options){ .closed = true }, &err);
    CHECK(whole(g, "f{\"a\":1}") && !whole(g, "f{\"b\":1}"), "%s", err.message);
    tn_grammar_free(g);
    g = tn_grammar_from_tools(tools, "none", true, NULL, NULL, &err);
    CHECK(whole(g, "hello"), "%s", err.message);
    tn_grammar_free(g);
    tn_grammar_free(NULL);
}

TEST(grammars_that_are_wrong_are_sentences)
{
    struct tn_error err;
    CHECK(!tn_grammar_from_schema("{", NULL, &err) && !strcmp(err.kind, "format") && strstr(err.message, "byte"), "%s", err.message);
    CHECK(!tn_grammar_from_schema("{\"type\":\"nothing\"}", NULL, &err) && strstr(err.message, "/type"), "%s", err.message);
    CHECK(!tn_grammar_from_schema("{}", &(struct tn_grammar_options){ .spelling = "loose" }, &err) && strstr(err.message, "loose"), "%s", err.message);
    CHECK(!tn_grammar_from_schema("{}", &(struct tn_grammar_options){ .draft = "draft3" }, &err) && strstr(err.message, "draft3"), "%s", err.message);
    CHECK(!tn_grammar_from_regex("(a", &err) && strstr(err.message, "byte"), "%s", err.message);
    CHECK(!tn_grammar_from_gbnf("root ::= x", &err) && strstr(err.message, "rule x"), "%s", err.message);
    CHECK(!tn_grammar_from_tools("[]", "f", true, NULL, NULL, &err) && strstr(err.message, "'f'"), "%s", err.message);
    CHECK(!tn_grammar_from_tools("[]", "required", true, NULL, NULL, &err) && strstr(err.message, "required"), "%s", err.message);
    CHECK(!tn_grammar_from_tools("3", NULL, true, NULL, NULL, NULL), "no place for the error is fine");
    CHECK(!tn_vocab_open(&(struct tn_vocab_spec){ .n_vocab = 0 }, &err) && err.message[0], "%s", err.message);
}

TEST(a_matcher_steers_a_stranger)
{
    struct tn_error err;
    struct tn_vocab *v = letters(&err);
    struct tn_grammar *g = tn_grammar_from_gbnf("root ::= \"ab\"{1,3} (\"cd\" | <|call|>)", &err);
    struct tn_matcher *m = tn_matcher_new(g, v, &err), *f;
    uint32_t bits[TN_MASK_WORDS(N_TOKEN)];
    int32_t run[8];
    bool cut;
    CHECK(v && g && m, "%s", err.message);
    CHECK(tn_matcher_shortest(m) == 3, "ab, the special token, the end: %d", tn_matcher_shortest(m));
    tn_matcher_mask(m, bits);
    CHECK(in_mask(bits, 'a') && in_mask(bits, T_AB) && !in_mask(bits, 'b') && !in_mask(bits, T_CALL) && !in_mask(bits, T_END), "first mask");
    CHECK(tn_matcher_forced(m, run, 8) == 1 && run[0] == T_AB, "what is forced is cut as the vocabulary has it");
    CHECK(tn_matcher_check(m, T_AB) && tn_matcher_commit(m, T_AB) && tn_matcher_commit_bytes(m, "a", 1), "%s", tn_matcher_why(m));
    f = tn_matcher_fork(m);
    CHECK(!tn_matcher_commit(m, 'x') && strstr(tn_matcher_why(m), "byte 3"), "%s", tn_matcher_why(m));
    tn_matcher_rollback(m, 1);
    CHECK(tn_matcher_mask_budget(m, bits, 2, &cut) && cut && in_mask(bits, T_CALL) && !in_mask(bits, 'c') && !in_mask(bits, T_AB), "only the special token ends in time");
    CHECK(!tn_matcher_mask_budget(m, bits, 1, NULL), "nothing does");
    CHECK(tn_matcher_commit(m, T_CALL) && tn_matcher_accepting(m) && tn_matcher_finished(m), "whole");
    CHECK(tn_matcher_commit(m, T_END) && !tn_matcher_commit(m, T_END), "ended once");
    CHECK(tn_matcher_commit_bytes(f, "bcd", 3) && tn_matcher_accepting(f), "the fork lives on: %s", tn_matcher_why(f));
    tn_matcher_free(f);
    tn_matcher_free(m);
    tn_grammar_free(g);
    g = tn_grammar_from_gbnf("root ::= <nobody>", &err);
    CHECK(!tn_matcher_new(g, v, &err) && strstr(err.message, "<nobody>"), "%s", err.message);
    tn_grammar_free(g);
    tn_vocab_close(v);
}

TEST(the_mask_example_writes_valid_json)
{
    const char *program = getenv("TENON_EXAMPLE_MASK");
    char command[1024], line[1024] = "";
    struct err e = { 0 };
    if (!program) SKIP("TENON_EXAMPLE_MASK does not name the compiled examples/mask.c");
    for (int seed = 1; seed <= 5; seed++) {
        snprintf(command, sizeof command, "'%s' %d", program, seed);
        FILE *f = popen(command, "r");
        assert_non_null(f);
        bool got = fgets(line, sizeof line, f) != NULL;
        struct json *v = json_parse(line, strlen(line), &e);
        int64_t n = -1;
        CHECK(pclose(f) == 0 && got && json_is(v, JSON_OBJECT) && json_get(v, "room") && json_i64(json_get(v, "brightness"), &n) && n >= 0 && n <= 100, "seed %d: %s", seed, line);
        json_free(v);
    }
}

/* ---- the loop ---- */

static int n_light;
static void set_light(void *user, const char *arguments, struct tn_call *call)
{
    n_light++;
    CHECK(strstr(arguments, "\"brightness\":10"), "%s", arguments);
    tn_call_finish(call, user, false);
}

static bool count_results(void *ctx, const struct tn_event *ev)
{
    if (ev->kind == TN_TOOL_RESULT) str_fmt(ctx, "%s=%s;", ev->name, ev->bytes);
    return true;
}

static const char light[] = "{\"name\":\"set_light\",\"description\":\"Dims or brightens the light in a room\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"room\":{\"type\":\"string\",\"description\":\"which room\"},\"brightness\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100,"
    "\"description\":\"percent, 0 is off\"}},\"required\":[\"room\",\"brightness\"]}}";

TEST(a_registered_tool_runs)
{
    struct tn_error err;
    struct tn_engine *t = tn_open(NULL, NULL, &err);
    if (!t) SKIP("no embedded model in this build");
    struct tn_loop *l = tn_loop_open(t, "{\"limits\":{\"max_turns\":3},\"request\":{\"max_tokens\":60}}", &err);
    struct str seen = { 0 };
    CHECK(tn_tool_register(l, light, set_light, "{\"ok\":true}", &err), "%s", err.message);
    CHECK(!tn_tool_register(l, light, set_light, NULL, &err) && strstr(err.message, "taken"), "%s", err.message);
    CHECK(!tn_tool_register(l, "{\"name\":\"x y\"}", set_light, NULL, &err) && strstr(err.message, "is not a name"), "%s", err.message);
    CHECK(!tn_loop_builtin(l, "fly", &err) && strstr(err.message, "no builtin tool 'fly'"), "%s", err.message);
    CHECK(!tn_loop_tools(l, "/no/such/file", &err), "%s", err.message);
    char *answer = tn_loop_send(l, "Dim the light in the kitchen to 10", count_results, &seen, &err);
    CHECK(answer && strstr(answer, "\"stop\":\"answer\"") && strstr(answer, "\"name\":\"set_light\""), "%s", answer ? answer : err.message);
    CHECK(n_light == 1 && seen.p && !strcmp(seen.p, "set_light={\"ok\":true};"), "%d calls, %s", n_light, seen.p);
    char *messages = tn_loop_messages(l);
    CHECK(strstr(messages, "\"tool_call_id\":\"call_1\""), "%s", messages);
    tn_free(messages);
    tn_free(answer);
    str_done(&seen);
    tn_loop_close(l);
    CHECK(!tn_loop_open(t, "[]", &err) && strstr(err.message, "options"), "%s", err.message);
    tn_close(t);
}

TEST(the_loop_example_answers)
{
    const char *program = getenv("TENON_EXAMPLE_LOOP");
    char command[600], line[600] = "", last[600] = "";
    if (!program) SKIP("TENON_EXAMPLE_LOOP does not name the compiled examples/loop.c");
    snprintf(command, sizeof command, "'%s' 'Dim the light in the kitchen to 10'", program);
    FILE *f = popen(command, "r");
    CHECK(f && fgets(line, sizeof line, f) && strstr(line, "set_light {\"room\":\"kitchen\",\"brightness\":10}"), "%s", line);
    CHECK(f && fgets(last, sizeof last, f) && strstr(last, "\"stop\":\"answer\""), "%s", last);
    if (f) pclose(f);
}

TEST_MAIN
