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

TEST_MAIN
