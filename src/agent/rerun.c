/* rerun.c -- a recorded conversation in place of the world: the same questions, the recorded results.
 *
 * The model runs anew, its tools do not: a call that was recorded gets what was recorded, in order when it occurs
 * several times; any other call is told that the recording does not know it. So a changed prompt, model or setting
 * can be tried against a conversation that really took place. */
#include "agent/int.h"

bool rows_read(const struct str *text, struct json *rows, struct err *e)
{
    const char *p = text->p ? text->p : "", *end = p + text->len;
    for (int line = 1; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        if (n) {
            struct json *v = json_parse(p, n, e);
            if (!v) return err_in(e, "line %d", line);
            json_push(rows, v);
        }
        p += n + 1;
    }
    return true;
}

bool rerun_open(struct rerun *r, const char *path, struct err *e)
{
    struct str text = { 0 };
    *r = (struct rerun){ .events = json_new_array(), .prompts = json_new_array() };
    bool ok = file_read(path, &text, e) && rows_read(&text, r->events, e);
    str_done(&text);
    for (size_t i = 0; ok && i < json_len(r->events); i++) {
        const struct json *ev = json_at(r->events, i), *body = json_get(ev, "body");
        if (json_str_is(json_get(ev, "kind"), "message") && json_str_is(json_get(body, "role"), "user"))
            json_push(r->prompts, json_copy(json_get(body, "content")));
    }
    if (ok && !json_len(r->prompts)) ok = err_set(e, ERR_FORMAT, "no question in it; what tenon run --transcript FILE.jsonl writes is accepted");
    if (!ok) {
        err_in(e, "%s", path);
        rerun_done(r);
    }
    return ok;
}

void rerun_done(struct rerun *r)
{
    json_free(r->events);
    json_free(r->prompts);
    r->events = r->prompts = NULL;
}

static bool same_args(const struct json *body, const struct json *args)
{
    size_t len = 0;
    const char *s = json_str(json_get(body, "arguments"), &len);
    struct json *v = s ? json_parse(s, len, NULL) : NULL;
    bool same = v && json_equal(v, args);
    json_free(v);
    return same;
}

static const struct json *result_of(const struct rerun *r, size_t from, const struct json *id)
{
    for (size_t i = from; i < json_len(r->events); i++) {
        const struct json *ev = json_at(r->events, i), *body = json_get(ev, "body");
        if (json_str_is(json_get(ev, "kind"), "result") && json_equal(json_get(body, "id"), id)) return body;
    }
    return NULL;
}

/* The first recorded call like this one that was not used yet; it is marked by taking its name away. */
static const struct json *recorded(struct rerun *r, const char *name, const struct json *args)
{
    for (size_t i = 0; i < json_len(r->events); i++) {
        const struct json *ev = json_at(r->events, i), *body = json_get(ev, "body");
        if (!json_str_is(json_get(ev, "kind"), "call") || !json_str_is(json_get(body, "name"), name) || !same_args(body, args)) continue;
        const struct json *result = result_of(r, i, json_get(body, "id"));
        json_unset((struct json *)(uintptr_t)body, "name");
        return result;
    }
    return NULL;
}

static void rerun_invoke(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct rerun *r = t->ctx;
    const struct json *body = recorded(r, t->name, c->args);
    size_t len = 0;
    const char *s = json_str(json_get(body, "text"), &len);
    r->n_call++;
    if (!s) {
        tool_fail(out, "The recording has no such call of %s.", t->name);
        return;
    }
    r->n_known++;
    str_put(&out->text, s, len);
    out->is_error = json_bool(json_get(body, "is_error"));
}

bool rerun_tools(struct rerun *r, struct toolset *ts, struct err *e)
{
    for (size_t i = 0; i < json_len(r->events); i++) {
        const struct json *ev = json_at(r->events, i), *tools = json_get(json_get(ev, "body"), "tools");
        if (!json_str_is(json_get(ev, "kind"), "meta") || !json_is(tools, JSON_ARRAY)) continue;
        for (size_t k = 0; k < json_len(tools); k++) {
            const struct json *f = tool_function(json_at(tools, k));
            const char *name = json_str(json_get(f, "name"), NULL);
            if (!name) return err_set(e, ERR_FORMAT, "the recording's tools[%zu] has no name", k);
            struct tool *t = tool_new(name, "recording");
            t->policy = POLICY_ALLOW;                                 /* not read_only: one after another, in order */
            t->invoke = rerun_invoke;
            t->ctx = r;
            if (!tool_configure(t, f, e)) return tool_free(t), false;
            if (!toolset_add(ts, t, e)) return false;
        }
        return true;
    }
    return true;
}
