/* recall.c -- a recorded conversation as it stood at its end, so that it can go on.
 *
 * The rows are read in order: a message is one more; a meta row may say what became of those before it,
 *
 *     {"system":"…"}     the system message is this one now; "": there is none
 *     {"keep":n}         only the first n are left (undo, clear)
 *     {"messages":[…]}   these stand in their place (load, a summary)
 *
 * The last may be an end in the middle: a program that was killed while tools ran has calls without results, and no
 * server would take such a history. They get one that says so. */
#include "agent/int.h"

#define LOST "The program ended before there was a result."

static void set_system(struct past *p, const struct json *text)
{
    struct json *list = json_new_array();
    size_t n = 0;
    const char *s = json_str(text, &n);
    bool had = json_str_is(json_get(json_at(p->messages, 0), "role"), "system");
    if (n) {
        struct json *m = json_new_object();
        json_set(m, "role", json_new_str("system"));
        json_set(m, "content", json_new_strn(s, n));
        json_push(list, m);
    }
    for (size_t i = had; i < json_len(p->messages); i++) json_push(list, json_copy(json_at(p->messages, i)));
    json_free(p->messages);
    p->messages = list;
}

static void keep(struct past *p, int64_t n)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < json_len(p->messages) && (int64_t)i < n; i++) json_push(list, json_copy(json_at(p->messages, i)));
    json_free(p->messages);
    p->messages = list;
}

static void take_meta(struct past *p, const struct json *body)
{
    const struct json *list = json_get(body, "messages");
    int64_t n;
    if (json_get(body, "version")) json_free(p->meta), p->meta = json_copy(body);
    if (json_is(list, JSON_ARRAY)) json_free(p->messages), p->messages = json_copy(list);
    if (json_i64(json_get(body, "keep"), &n)) keep(p, n);
    if (json_get(body, "system")) set_system(p, json_get(body, "system"));
}

static void take_row(struct past *p, const struct json *row)
{
    const struct json *body = json_get(row, "body"), *kind = json_get(row, "kind"), *text = json_get(body, "text");
    if (json_str_is(kind, "message")) json_push(p->messages, json_copy(body));
    else if (json_str_is(kind, "meta")) take_meta(p, body);
    else if (json_str_is(kind, "call")) p->n_call++;
    else if (json_str_is(kind, "result")) json_push(p->results, text ? json_copy(text) : json_new_str(""));
}

/* Results for the calls of the last message that have none. */
static void mend(struct past *p)
{
    size_t n = json_len(p->messages), results = 0;
    while (results < n && json_str_is(json_get(json_at(p->messages, n - 1 - results), "role"), "tool")) results++;
    const struct json *calls = results < n ? json_get(json_at(p->messages, n - 1 - results), "tool_calls") : NULL;
    for (size_t i = results; i < json_len(calls); i++) {
        const struct json *c = json_at(calls, i), *name = json_get(json_get(c, "function"), "name");
        struct json *m = json_new_object();
        json_set(m, "role", json_new_str("tool"));
        json_set(m, "tool_call_id", json_get(c, "id") ? json_copy(json_get(c, "id")) : json_new_str(""));
        if (name) json_set(m, "name", json_copy(name));
        json_set(m, "content", json_new_str("{\"error\":\"" LOST "\"}"));
        json_push(p->messages, m);
    }
}

bool past_read(struct past *p, const char *path, long long session, struct err *e)
{
    struct str text = { 0 };
    struct json *rows = json_new_array();
    *p = (struct past){ .messages = json_new_array(), .results = json_new_array() };
    bool ok = transcript_export(path, session, &text, e) && rows_read(&text, rows, e);
    for (size_t i = 0; ok && i < json_len(rows); i++) take_row(p, json_at(rows, i));
    str_done(&text);
    json_free(rows);
    if (ok) mend(p);
    if (ok && messages_whole(p->messages, e)) return true;
    past_done(p);
    return false;
}

void past_done(struct past *p)
{
    json_free(p->messages);
    json_free(p->results);
    json_free(p->meta);
    *p = (struct past){ 0 };
}
