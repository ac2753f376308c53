/* history.c -- the messages of a request: checked, and brought into the one shape dialects render.
 *
 * What clients may write in several ways is written in one way afterwards: content parts are joined
 * to a string, `developer` is `system`, arguments of past calls are a string. Results must answer
 * calls: a result names a call of the nearest assistant message with calls before it, each call is
 * answered once, and none is left open when the conversation goes on. A result without an id
 * answers the first open call. Order is kept as sent. */
#include "gen/gen.h"

#define OPEN_MOST 256 /* calls of one assistant message */

struct history {
    struct json *out;
    size_t at;                /* index of the message being read */
    const struct json *calls; /* of the last assistant message with calls; in out */
    bool answered[OPEN_MOST], unchecked; /* unchecked: results may answer nothing, calls stay open */
    struct err *e;
};

static bool is_there(const struct json *v) { return v && !json_is(v, JSON_NULL); }

/* Text parts joined; tool results may hold other parts, which are replaced by a note. */
static bool join_parts(struct history *h, const struct json *parts, bool is_result, struct str *out)
{
    for (size_t j = 0; j < json_len(parts); j++) {
        const struct json *p = json_at(parts, j), *type = json_get(p, "type");
        size_t len;
        const char *text = json_str(json_get(p, "text"), &len);
        bool is_text = json_is(p, JSON_OBJECT) && text && (!type || json_str_is(type, "text")
                       || json_str_is(type, "input_text") || json_str_is(type, "output_text"));
        if (is_text) str_put(out, text, len);
        else if (is_result) str_puts(out, "[image omitted: this model reads text only]");
        else
            return err_as(h->e, "unsupported_content_type", ERR_UNSUPPORTED,
                          "messages[%zu].content[%zu]: only parts of type 'text' "
                          "are supported",
                           h->at, j);
    }
    return true;
}

/* The content as a string or null, set in m. */
static bool set_content(struct history *h, struct json *m, const struct json *content,
                        bool is_result)
{
    if (!is_there(content) || json_is(content, JSON_STRING)) return true;
    if (!json_is(content, JSON_ARRAY))
        return err_set(h->e, ERR_ARG,
                       "messages[%zu].content: must be a string or an array of parts, not "
                       "%s",
                       h->at, json_type_name(json_type(content)));
    struct str s = { 0 };
    bool ok = join_parts(h, content, is_result, &s);
    if (ok) json_set(m, "content", json_new_strn(s.p ? s.p : "", s.len));
    str_done(&s);
    return ok;
}

/* One past call, checked; arguments become a string. NULL with e set. */
static struct json *read_call(struct history *h, const struct json *call, size_t j)
{
    const struct json *f = json_get(call, "function"), *name = json_get(f, "name");
    const struct json *args = json_get(f, "arguments");
    if (!json_str(name, NULL)) {
        err_set(h->e, ERR_ARG, "messages[%zu].tool_calls[%zu].function.name: missing", h->at, j);
        return NULL;
    }
    struct json *out = json_copy(call), *fn = json_copy(f);
    if (!is_there(args)) json_set(fn, "arguments", json_new_str("{}"));
    else if (!json_is(args, JSON_STRING)) {
        struct str s = { 0 };
        json_write(&s, args, JSON_COMPACT);
        json_set(fn, "arguments", json_new_strn(s.p, s.len));
        str_done(&s);
    }
    json_set(out, "function", fn);
    return out;
}

static bool read_calls(struct history *h, struct json *m, const struct json *calls)
{
    if (!json_is(calls, JSON_ARRAY) || json_len(calls) > OPEN_MOST)
        return err_set(h->e, ERR_ARG,
                       "messages[%zu].tool_calls: an array of at most %d calls is accepted", h->at,
                       OPEN_MOST);
    struct json *list = json_new_array();
    for (size_t j = 0; j < json_len(calls); j++) {
        struct json *c = read_call(h, json_at(calls, j), j);
        if (!c) { json_free(list); return false; }
        json_push(list, c);
    }
    json_set(m, "tool_calls", list);
    if (!json_len(list)) { json_unset(m, "tool_calls"); return true; }
    h->calls = list;
    memset(h->answered, 0, sizeof h->answered);
    return true;
}

/* Nothing may be open when the conversation goes on or ends. */
static bool all_answered(struct history *h)
{
    for (size_t j = 0; j < json_len(h->calls); j++)
        if (!h->answered[j] && !h->unchecked) {
            const char *id = json_str(json_get(json_at(h->calls, j), "id"), NULL);
            return err_as(h->e, "tool_call_id_mismatch", ERR_ARG, "messages[%zu]: call '%.60s' has no result before it",
                           h->at, id ? id : "(without id)");
        }
    h->calls = NULL;
    return true;
}

static bool match_result(struct history *h, struct json *m)
{
    const struct json *id = json_get(m, "tool_call_id");
    size_t len = 0, n = json_len(h->calls), j = 0;
    const char *want = json_str(id, &len);
    for (; j < n; j++) {
        const struct json *have = json_get(json_at(h->calls, j), "id");
        if (want && len ? json_str_is(have, want) : !h->answered[j]) break;
    }
    if (h->unchecked && (j == n || h->answered[j])) return true;
    if (j == n)
        return err_as(h->e, "tool_call_id_mismatch", ERR_ARG,
                       "messages[%zu].tool_call_id: '%.60s' answers no call of the assistant "
                       "message before it",
                       h->at, want ? want : "");
    if (h->answered[j])
        return err_as(h->e, "tool_call_id_mismatch", ERR_ARG, "messages[%zu].tool_call_id: '%.60s' is answered twice",
                       h->at, want);
    h->answered[j] = true;
    const struct json *call = json_at(h->calls, j), *call_id = json_get(call, "id");
    if (!len && call_id) json_set(m, "tool_call_id", json_copy(call_id));
    if (!is_there(json_get(m, "name")))
        json_set(m, "name", json_copy(json_get(json_get(call, "function"), "name")));
    return true;
}

static bool read_assistant(struct history *h, struct json *m, const struct json *msg)
{
    const struct json *calls = json_get(msg, "tool_calls");
    if (is_there(json_get(msg, "function_call")))
        return err_set(h->e, ERR_UNSUPPORTED,
                       "messages[%zu].function_call: the legacy form is not supported, "
                       "tool_calls is",
                       h->at);
    if (!is_there(calls)) json_unset(m, "tool_calls");
    else if (!read_calls(h, m, calls)) return false;
    if (!is_there(json_get(m, "content")) && !json_get(m, "tool_calls") &&
        !is_there(json_get(m, "refusal")))
        return err_set(h->e, ERR_ARG,
                       "messages[%zu]: an assistant message needs content or tool_calls", h->at);
    return true;
}

static bool read_message(struct history *h, const struct json *msg)
{
    const struct json *role = json_get(msg, "role");
    if (!json_is(msg, JSON_OBJECT) || !json_str(role, NULL))
        return err_set(h->e, ERR_ARG, "messages[%zu].role: missing", h->at);
    struct json *m = json_copy(msg);
    json_push(h->out, m);
    bool result = json_str_is(role, "tool"), assistant = json_str_is(role, "assistant");
    if (!set_content(h, m, json_get(msg, "content"), result)) return false;
    if (result) return match_result(h, m);
    if (!all_answered(h)) return false;
    if (assistant) return read_assistant(h, m, msg);
    if (json_str_is(role, "developer")) json_set(m, "role", json_new_str("system"));
    else if (!json_str_is(role, "user") && !json_str_is(role, "system"))
        return err_set(h->e, ERR_ARG,
                       "messages[%zu].role: '%.40s' is unknown; system, developer, user, "
                       "assistant and tool are accepted",
                       h->at, json_str(role, NULL));
    if (!is_there(json_get(m, "content")))
        return err_set(h->e, ERR_ARG, "messages[%zu].content: missing", h->at);
    return true;
}

struct json *messages_normalise(const struct json *messages, bool check_results, struct err *e)
{
    if (!json_is(messages, JSON_ARRAY) || !json_len(messages)) {
        err_set(e, ERR_ARG, "messages: an array of at least one message is needed");
        return NULL;
    }
    struct history h = { .out = json_new_array(), .unchecked = !check_results, .e = e };
    for (; h.at < json_len(messages); h.at++)
        if (!read_message(&h, json_at(messages, h.at))) goto fail;
    if (all_answered(&h)) return h.out;
fail:
    json_free(h.out);
    return NULL;
}
