/* test_record.c -- what is kept of a conversation, and how it goes on: rows in, messages out. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "test.h"

static struct json *json_of(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    CHECK(v, "%s: %s", text, e.msg);
    return v;
}

/* A store in a folder of its own, removed at the end. */
struct store { char dir[32], path[64]; };

static void store_open(struct store *s, const char *name)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/tenon-rec-XXXXXX");
    CHECK(mkdtemp(s->dir), "a folder");
    snprintf(s->path, sizeof s->path, "%s/%s", s->dir, name);
}

static void store_close(struct store *s)
{
    struct str line = { 0 };
    str_fmt(&line, "rm -r %s", s->dir);
    if (system(line.p)) printf("%s is left\n", s->dir);
    str_done(&line);
}

struct row { const char *kind, *body; };

static void put_rows(struct transcript *t, const struct row *rows)
{
    for (; rows->kind; rows++) transcript_put(t, rows->kind, json_of(rows->body));
}

#define USER(text) { "message", "{\"role\":\"user\",\"content\":\"" text "\"}" }
#define SAID(text) { "message", "{\"role\":\"assistant\",\"content\":\"" text "\"}" }
#define CALLED(ids) { "message", "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" ids "]}" }
#define CALL(id) "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"
#define RESULT(id, text) { "message", "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"name\":\"f\",\"content\":\"" text "\"}" }

static const struct { const char *why; struct row rows[12]; const char *messages; int n_call; } pasts[] = {
    { "messages in order", { USER("a"), SAID("b") }, "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]", 0 },
    { "what was taken back is gone", { USER("a"), SAID("b"), USER("c"), SAID("d"), { "meta", "{\"keep\":2}" }, USER("e") },
      "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"e\"}]", 0 },
    { "a system message, set, replaced", { { "meta", "{\"system\":\"x\"}" }, USER("a"), { "meta", "{\"system\":\"y\"}" }, SAID("b") },
      "[{\"role\":\"system\",\"content\":\"y\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]", 0 },
    { "… and dropped", { { "meta", "{\"system\":\"x\"}" }, USER("a"), { "meta", "{\"system\":\"\"}" }, SAID("b") },
      "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]", 0 },
    { "a file that was loaded, a summary", { USER("a"), SAID("b"), { "meta", "{\"messages\":[{\"role\":\"user\",\"content\":\"z\"}]}" }, SAID("y") },
      "[{\"role\":\"user\",\"content\":\"z\"},{\"role\":\"assistant\",\"content\":\"y\"}]", 0 },
    { "killed while two tools ran: each call has a result",
      { USER("a"), CALLED(CALL("1") "," CALL("2")), { "call", "{\"id\":\"1\",\"name\":\"f\"}" }, { "result", "{\"id\":\"1\",\"text\":\"r\"}" }, RESULT("1", "r") },
      "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("1") "," CALL("2") "]},"
      "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"name\":\"f\",\"content\":\"r\"},"
      "{\"role\":\"tool\",\"tool_call_id\":\"2\",\"name\":\"f\",\"content\":\"{\\\"error\\\":\\\"The program ended before there was a result.\\\"}\"}]", 1 },
    { "… before any had one", { USER("a"), CALLED(CALL("1")) },
      "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("1") "]},"
      "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"name\":\"f\",\"content\":\"{\\\"error\\\":\\\"The program ended before there was a result.\\\"}\"}]", 0 },
    { "killed before the answer", { USER("a") }, "[{\"role\":\"user\",\"content\":\"a\"}]", 0 },
};

static void check_past(const char *path, long long session, const char *why, const char *messages, int n_call)
{
    struct past p;
    struct err e = { 0 };
    struct str s = { 0 };
    bool ok = past_read(&p, path, session, &e);
    CHECK(ok, "%s: %s", why, e.msg);
    if (!ok) return;
    json_write(&s, p.messages, JSON_COMPACT);
    CHECK(!strcmp(s.p, messages), "%s: %s", why, s.p);
    CHECK(p.n_call == n_call, "%s: %d calls", why, p.n_call);
    str_done(&s);
    past_done(&p);
}

TEST(a_record_is_read_as_it_stood_at_its_end)
{
    static const char *const names[] = { "t.db", "t.jsonl" };
    for (size_t k = transcript_sqlite() ? 0 : 1; k < LEN(names); k++)
        for (size_t i = 0; i < LEN(pasts); i++) {
            struct store s;
            struct err e = { 0 };
            store_open(&s, names[k]);
            struct transcript *t = transcript_open(s.path, &e);
            CHECK(t, "%s", e.msg);
            put_rows(t, pasts[i].rows);
            long long session = transcript_session(t);
            transcript_close(t);
            check_past(s.path, session, pasts[i].why, pasts[i].messages, pasts[i].n_call);
            store_close(&s);
        }
}

TEST(a_conversation_goes_on_in_its_own_rows)
{
    static const char *const names[] = { "t.db", "t.jsonl" };
    static const struct row first[] = { USER("a"), SAID("b"), { NULL, NULL } }, more[] = { USER("c"), { NULL, NULL } };
    for (size_t k = transcript_sqlite() ? 0 : 1; k < LEN(names); k++) {
        struct store s;
        struct err e = { 0 };
        struct str out = { 0 };
        store_open(&s, names[k]);
        struct transcript *t = transcript_open(s.path, &e);
        put_rows(t, first);
        transcript_close(t);
        t = transcript_reopen(s.path, 0, &e);
        CHECK(t && transcript_session(t) == 1, "%s", e.msg);
        put_rows(t, more);
        transcript_close(t);
        check_past(s.path, 1, names[k], "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]", 0);
        CHECK(transcript_export(s.path, 1, &out, &e) && strstr(out.p, "{\"session\":1,\"n\":2,\"time\""), "numbered on: %s", out.p);
        CHECK(!transcript_reopen(s.path, 7, &e) && strstr(e.msg, "7"), "%s", e.msg);
        str_done(&out);
        store_close(&s);
    }
}

TEST(where_nothing_was_said_nothing_is_left)
{
    struct store s;
    struct err e = { 0 };
    struct str out = { 0 };
    if (!transcript_sqlite()) SKIP("no SQLite in this build");
    store_open(&s, "t.db");
    struct transcript *t = transcript_open(s.path, &e);
    transcript_put(t, "meta", json_of("{\"version\":\"1\"}"));
    CHECK(!transcript_session(t), "no session yet");
    transcript_close(t);
    struct json *list = transcript_list(s.path, NULL, 5, &e);
    CHECK(list && !json_len(list), "nothing is listed: %s", e.msg);
    json_free(list);
    CHECK(!transcript_export(s.path, 0, &out, &e), "nothing to export");
    e = (struct err){ 0 };
    CHECK(!transcript_reopen(s.path, 0, &e) && strstr(e.msg, "no conversation is recorded yet"), "%s", e.msg);
    t = transcript_open(s.path, &e);
    transcript_put(t, "meta", json_of("{\"version\":\"1\"}"));
    transcript_put(t, "message", json_of("{\"role\":\"user\",\"content\":\"blue and green\"}"));
    transcript_close(t);
    CHECK(transcript_export(s.path, 0, &out, &e) && strstr(out.p, "\"n\":0") && strstr(out.p, "\"kind\":\"meta\"") < strstr(out.p, "\"kind\":\"message\""), "meta first: %s", out.p);
    static const struct { const char *words; size_t n; } finds[] = { { "green blue", 1 }, { "BLUE", 1 }, { "blue red", 0 }, { "\"", 1 }, { "and OR NOT", 0 }, { " green\tand ", 1 } };
    for (size_t i = 0; i < LEN(finds); i++) {
        list = transcript_list(s.path, finds[i].words, 5, &e);
        CHECK(list && json_len(list) == finds[i].n, "'%s': %zu, %s", finds[i].words, json_len(list), e.msg);
        json_free(list);
    }
    str_done(&out);
    store_close(&s);
}

TEST(a_long_result_has_a_file_of_its_own)
{
    enum { N = 70000 };
    struct store s;
    struct err e = { 0 };
    struct str out = { 0 }, row = { 0 }, aside = { 0 };
    struct stat st;
    char *text = mem_zero(N + 1);
    if (!transcript_sqlite()) SKIP("no SQLite in this build");
    memset(text, 'x', N);
    store_open(&s, "t.db");
    struct transcript *t = transcript_open(s.path, &e);
    transcript_put(t, "message", json_of("{\"role\":\"user\",\"content\":\"a\"}"));
    str_fmt(&row, "{\"id\":\"1\",\"name\":\"f\",\"text\":\"%s\",\"ms\":1}", text);
    transcript_put(t, "result", json_of(row.p));
    transcript_put(t, "result", json_of("{\"id\":\"2\",\"name\":\"f\",\"text\":\"short\"}"));
    str_fmt(&aside, "%s.d/1-1.txt", s.path);
    CHECK(!stat(aside.p, &st) && st.st_size == N && (st.st_mode & 0777) == 0600, "%s", aside.p);
    str_clear(&row);
    str_fmt(&row, "%s.d", s.path);
    CHECK(!stat(row.p, &st) && (st.st_mode & 0777) == 0700, "%s", row.p);
    CHECK(!stat(s.path, &st) && (st.st_mode & 0777) == 0600, "%s", s.path);
    transcript_close(t);
    struct past p;
    CHECK(past_read(&p, s.path, 0, &e) && json_len(p.results) == 2, "%s", e.msg);
    CHECK(json_str_is(json_at(p.results, 0), text) && json_str_is(json_at(p.results, 1), "short"), "in its place again");
    past_done(&p);
    unlink(aside.p);
    CHECK(transcript_export(s.path, 0, &out, &e) && strstr(out.p, "1-1.txt: No such file") && strstr(out.p, "\"bytes\":70000"), "a file that is gone is said");
    mem_free(text);
    str_done(&out);
    str_done(&row);
    str_done(&aside);
    store_close(&s);
}

TEST(secrets_are_written_as_their_names)
{
    struct store s;
    struct err e = { 0 };
    struct str out = { 0 };
    setenv("RECORD_SECRET", "p\"ss\\word", 1);
    struct toolset *ts = toolset_open(NULL);
    struct json *tools = json_of("{\"commands\":{\"f\":{\"argv\":[\"true\",\"${env:RECORD_SECRET}\"]}}}");
    CHECK(toolset_read_json(ts, tools, ".", &e), "%s", e.msg);
    store_open(&s, "t.jsonl");
    struct transcript *t = transcript_open(s.path, &e);
    transcript_hide(t, ts);
    static const char *const kinds[] = { "meta", "message", "call", "approval", "result", "usage", "stop" };
    for (size_t i = 0; i < LEN(kinds); i++) transcript_put(t, kinds[i], json_of("{\"a\":[{\"b\":\"it is p\\\"ss\\\\word.\"}],\"n\":1}"));
    transcript_close(t);
    CHECK(transcript_export(s.path, 0, &out, &e) && !strstr(out.p, "word"), "%s", out.p);
    int n = 0;
    for (const char *p = out.p; (p = strstr(p, "it is ${env:RECORD_SECRET}.")); p++) n++;
    CHECK(n == (int)LEN(kinds), "in every kind of row: %d", n);
    json_free(tools);
    toolset_close(ts);
    str_done(&out);
    store_close(&s);
}

TEST_MAIN
