/* interp.h -- what the tests of the interpreter share: a set with the tool `python`, and one call of it. */
#ifndef TEST_INTERP_H
#define TEST_INTERP_H

#include "agent/agent.h"
#include "test.h"

/* NULL, said aloud: there is no sandbox here. */
static inline struct toolset *open_python(const struct toolset_opts *o)
{
    struct err e = { 0 };
    struct toolset *ts = toolset_open(o);
    if (toolset_builtin(ts, "python", &e)) return ts;
    CHECK(e.code == ERR_UNSUPPORTED && strstr(e.msg, "not offered"), "%s", e.msg);
    printf("skipped: %s\n", e.msg);
    toolset_close(ts);
    return NULL;
}

static inline struct tool_result run_with(struct toolset *ts, const char *code, bool reset, int ms)
{
    struct tool_result r = { 0 };
    struct json *args = json_new_object();
    struct str text = { 0 };
    json_set(args, "code", json_new_str(code));
    if (reset) json_set(args, "reset", json_new_bool(true));
    json_write(&text, args, JSON_COMPACT);
    struct tool *t = toolset_find(ts, "python");
    t->invoke(t, &(struct invocation){ "call_1", args, { text.p, text.len }, NULL, ms }, &r);
    json_free(args);
    str_done(&text);
    return r;
}

static inline struct tool_result run(struct toolset *ts, const char *code, int ms) { return run_with(ts, code, false, ms); }

/* Runs code and says whether what came of it holds some words. */
static inline void expect(struct toolset *ts, const char *why, const char *code, const char *holds)
{
    struct tool_result r = run(ts, code, 20000);
    const char *text = r.text.p ? r.text.p : "";
    size_t tail = r.text.len > 600 ? r.text.len - 600 : 0;
    CHECK(strstr(text, holds), "%s: %s", why, text + tail);
    tool_result_done(&r);
}

#endif
