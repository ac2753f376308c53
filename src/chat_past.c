/* chat_past.c -- what is kept of a conversation and comes back: files of messages, exports, recorded conversations. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "chat.h"

#define LISTED 20                           /* of /history */
#define SHOWN 8                             /* messages of a conversation that goes on */

/* ---- files ---- */

void chat_save(struct chat *c, char *arg)
{
    struct err e = { 0 };
    struct str s = { 0 };
    json_write(&s, agent_messages(c->t.loop), JSON_PRETTY);
    str_putc(&s, '\n');
    if (!*arg) chat_say("/save FILE");
    else if (file_write(arg, s.p, s.len, &e)) chat_say("saved to %s", arg);
    else chat_say("%s", e.msg);
    str_done(&s);
}

void chat_load(struct chat *c, char *arg)
{
    struct err e = { 0 };
    struct json *v = *arg ? json_read(arg, &e) : (err_set(&e, ERR_ARG, "/load FILE"), NULL);
    if (!v || !messages_whole(v, &e)) {
        chat_say("%s", e.msg);
        json_free(v);
        return;
    }
    chat_say("%zu messages", json_len(v));
    agent_load(c->t.loop, v);
}

/* ---- exports ---- */

/* Text between fences that are longer than any of its own. */
static void put_fenced(struct str *s, const char *text)
{
    size_t longest = 2;
    for (const char *p = text; (p = strchr(p, '`')); p += strspn(p, "`")) longest = MAX(longest, strspn(p, "`"));
    char fence[64];
    size_t n = MIN(longest + 1, sizeof fence - 1);
    memset(fence, '`', n);
    fence[n] = 0;
    str_fmt(s, "%s\n%s\n%s\n\n", fence, text, fence);
}

static void put_markdown(struct str *s, const struct json *messages)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i), *calls = json_get(m, "tool_calls");
        const char *role = json_str(json_get(m, "role"), NULL), *text = json_str(json_get(m, "content"), NULL), *name = json_str(json_get(m, "name"), NULL);
        bool tool = !strcmp(role, "tool");
        str_fmt(s, tool && name ? "**%s %s**\n\n" : "**%s**\n\n", role, name);
        if (text && tool) put_fenced(s, text);
        else if (text && *text) str_fmt(s, "%s\n\n", text);
        for (size_t k = 0; k < json_len(calls); k++) {
            const struct json *f = json_get(json_at(calls, k), "function");
            struct str call = { 0 };
            str_fmt(&call, "%s %s", json_str(json_get(f, "name"), NULL), json_str(json_get(f, "arguments"), NULL));
            put_fenced(s, call.p);
            str_done(&call);
        }
    }
}

void chat_export(struct chat *c, char *arg)
{
    struct str s = { 0 };
    struct err e = { 0 };
    bool rows = !strcmp(arg, "jsonl");
    long long session = transcript_session(c->t.transcript);
    if (!strcmp(arg, "md")) put_markdown(&s, agent_messages(c->t.loop));
    else if (!strcmp(arg, "json")) json_write(&s, agent_messages(c->t.loop), JSON_PRETTY), str_putc(&s, '\n');
    else if (!rows) chat_say("/export md, /export json or /export jsonl (the record, for tenon run --replay)");
    else if (!session) chat_say("nothing is recorded of this conversation%s", c->t.transcript ? " yet" : "");
    else if (!transcript_export(c->t.transcript_path, session, &s, &e)) chat_say("%s", e.msg);
    fwrite(s.p ? s.p : "", 1, s.len, stdout);
    fflush(stdout);
    str_done(&s);
}

/* ---- recorded conversations ---- */

static void say_row(const struct json *o)
{
    const char *title = json_str(json_get(o, "title"), NULL);
    struct str s = { 0 };
    int64_t id = 0, tokens = 0;
    char day[32];
    time_t at = (time_t)json_f64(json_get(o, "time"));
    struct tm tm;
    strftime(day, sizeof day, "%Y-%m-%d %H:%M", localtime_r(&at, &tm));
    json_i64(json_get(o, "session"), &id);
    json_i64(json_get(o, "tokens"), &tokens);
    result_escape(&s, title ? title : "", title ? strcspn(title, "\n") : 0);
    chat_say("%4lld  %s  %7lld tokens  %s", (long long)id, day, (long long)tokens, s.p ? s.p : "");
    str_done(&s);
}

/* One message of a conversation that goes on, as it looked: answers styled, results in a line. */
static void show_message(struct chat *c, const struct json *m)
{
    size_t n = 0;
    const char *text = json_str(json_get(m, "content"), &n);
    const struct json *role = json_get(m, "role"), *calls = json_get(m, "tool_calls");
    struct str line = { 0 };
    if (json_str_is(role, "tool") || json_str_is(role, "user")) {
        size_t k = text ? MIN(strcspn(text, "\n"), (size_t)160) : 0;
        result_escape(&line, text ? text : "", utf8_whole(text ? text : "", k));
        term_side(&c->term, "%s%s%s", json_str_is(role, "user") ? "> " : "  ✓ ", line.p ? line.p : "", k < n ? " …" : "");
    } else if (json_str_is(role, "assistant") && n) term_answer(&c->term, text, n);
    for (size_t k = 0; k < json_len(calls); k++) {
        const struct json *f = json_get(json_at(calls, k), "function");
        const char *name = json_str(json_get(f, "name"), NULL), *args = json_str(json_get(f, "arguments"), NULL);
        str_clear(&line);
        result_escape(&line, args ? args : "", args ? strlen(args) : 0);
        term_side(&c->term, "▸ %s %s", name ? name : "?", line.p ? line.p : "");
    }
    str_done(&line);
}

void chat_resumed(struct chat *c)
{
    const struct json *messages = agent_messages(c->t.loop);
    const char *then = json_str(json_get(c->t.past_meta, "model"), NULL), *now = c->o->k.url ? c->o->k.url : chat_model(c);
    size_t n = json_len(messages), from = c->terminal && n > SHOWN ? n - SHOWN : 0;
    if (c->terminal && from) chat_say("… %zu earlier messages; /export md prints all", from);
    for (size_t i = from; c->terminal && i < n; i++) show_message(c, json_at(messages, i));
    chat_say("conversation %lld goes on, %zu messages", transcript_session(c->t.transcript), n);
    if (then && strcmp(then, now)) chat_say("it was held with %s; %s answers now", then, now);
    if (n && json_str_is(json_get(json_at(messages, n - 1), "role"), "user")) chat_say("the last question has no answer; /retry asks it again");
}

static void go_on(struct chat *c, long long session)
{
    struct err e = { 0 };
    if (talker_resume(&c->t, &c->o->k, session, &e)) chat_resumed(c);
    else chat_say("%s", e.msg);
}

/* Only what was listed can be picked. */
static void pick(struct chat *c, const struct json *list)
{
    struct str line = { 0 };
    fputs("number to go on with, Enter for none: ", stderr);
    if (term_read_line(&line) && line.len) {
        char *end;
        long long id = strtoll(line.p, &end, 10);
        int64_t listed = 0;
        bool found = false;
        for (size_t i = 0; !*end && i < json_len(list); i++) found |= json_i64(json_get(json_at(list, i), "session"), &listed) && listed == id;
        if (found) go_on(c, id);
        else chat_say("'%.40s' is not in the list", line.p);
    }
    cancel_clear(&c->t.cancel);
    str_done(&line);
}

void chat_history(struct chat *c, char *arg)
{
    struct err e = { 0 };
    if (!c->t.transcript) {
        chat_say("nothing is recorded here");
        return;
    }
    struct json *list = transcript_list(c->t.transcript_path, *arg ? arg : NULL, LISTED, &e);
    if (!list) chat_say("%s", e.msg);
    else if (!json_len(list)) chat_say(*arg ? "no recorded conversation holds these words" : "nothing has been recorded yet");
    for (size_t i = 0; i < json_len(list); i++) say_row(json_at(list, i));
    if (json_len(list) && c->terminal) pick(c, list);
    json_free(list);
}
