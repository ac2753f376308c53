/* talk.c -- the messages of a conversation, and the room they take.
 *
 * True at all times: every call in it has exactly one result, in the order of the calls, right behind them
 * (messages_whole() is the judge, and every server would be). Before a generation the prompt is counted; over 85 %
 * of the window the oldest results go first, never those of the last two turns; if that is not enough, what lies
 * before the last question is summed up by the model itself. */
#include <stdarg.h>

#include "agent/turns_int.h"

#define FULL_PERCENT 85
#define KEPT_TURNS 2
#define SUMMARY_TOKENS 256

struct json *talk_message(const char *role, const char *text, size_t len)
{
    struct json *m = json_new_object();
    json_set(m, "role", json_new_str(role));
    json_set(m, "content", json_new_strn(text ? text : "", text ? len : 0));
    return m;
}

void talk_push(struct agent *l, struct json *message)
{
    if (l->o.transcript) transcript_put(l->o.transcript, "message", json_copy(message));
    json_push(l->messages, message);
}

void talk_result(struct agent *l, struct call *c, const char *text, size_t len)
{
    struct json *m = json_new_object();
    json_set(m, "role", json_new_str("tool"));
    json_set(m, "tool_call_id", json_new_str(c->id));
    json_set(m, "name", json_new_str(c->name));
    json_set(m, "content", json_new_strn(text ? text : "", text ? len : 0));
    talk_push(l, m);
}

int agent_tokens(const struct agent *l, const char *p, size_t n)
{
    int k = l->o.model->count ? l->o.model->count(l->o.model->ctx, p, n) : -1;
    return k >= 0 ? k : (int)(n / 4 + 1);
}

void agent_tell(struct agent *l, const struct agent_event *ev)
{
    if (l->o.ui.event) l->o.ui.event(l->o.ui.ctx, ev);
}

void agent_note(struct agent *l, const char *fmt, ...)
{
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    agent_tell(l, &(struct agent_event){ .kind = AG_NOTE, .text = { line, strlen(line) } });
}

/* ---- the request ---- */

struct json *read_result_tool(void)
{
    static const char text[] =
        "{\"type\":\"function\",\"function\":{\"name\":\"read_result\",\"description\":\"Reads more of a result that was cut\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\",\"minimum\":1,\"description\":\"N of result:N\"},"
        "\"offset\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"first byte\"},\"limit\":{\"type\":\"integer\",\"minimum\":1}},"
        "\"required\":[\"id\"],\"additionalProperties\":false}}}";
    return json_parse(text, strlen(text), NULL);
}

struct json *agent_shown(const struct agent *l)
{
    struct json *tools = choose_definitions(l);
    if (l->offers_read) json_push(tools, read_result_tool());
    return tools;
}

struct json *talk_body(const struct agent *l, bool answer_only)
{
    struct json *body = json_copy(l->request);
    json_set(body, "messages", json_copy(l->messages));
    if (!l->tools_on || !toolset_n(l->o.tools)) return body;
    json_set(body, "tools", agent_shown(l));
    if (answer_only) json_set(body, "tool_choice", json_new_str("none"));
    return body;
}

/* ---- room ---- */

static bool is_full(const struct agent *l)
{
    const struct agent_model *m = l->o.model;
    if (!m->prompt_tokens || m->n_ctx <= 0) return false;
    struct json *body = talk_body(l, false);
    int n = m->prompt_tokens(m->ctx, body);
    json_free(body);
    return n >= 0 && (int64_t)n * 100 > (int64_t)m->n_ctx * FULL_PERCENT;
}

static const char *role_at(const struct agent *l, size_t i)
{
    const char *r = json_str(json_get(json_at(l->messages, i), "role"), NULL);
    return r ? r : "";
}

/* Index of the first message of the last two turns with calls. */
static size_t kept_from(const struct agent *l)
{
    int turns = 0;
    for (size_t i = json_len(l->messages); i-- > 0;)
        if (json_get(json_at(l->messages, i), "tool_calls") && ++turns == KEPT_TURNS) return i;
    return 0;
}

static bool is_removed(const char *s) { return !strncmp(s, "[result of ", 11); }

static bool remove_oldest(struct agent *l)
{
    size_t end = kept_from(l);
    for (size_t i = 0; i < end; i++) {
        struct json *m = (struct json *)(uintptr_t)json_at(l->messages, i);
        size_t len = 0;
        const char *text = json_str(json_get(m, "content"), &len), *name = json_str(json_get(m, "name"), NULL);
        if (strcmp(role_at(l, i), "tool") || !text || is_removed(text)) continue;
        struct str s = { 0 };
        str_fmt(&s, "[result of %s removed, %d tokens]", name ? name : "a tool", agent_tokens(l, text, len));
        bool shorter = s.len < len;
        if (shorter) json_set(m, "content", json_new_strn(s.p, s.len));
        str_done(&s);
        if (shorter) return true;
    }
    return false;
}

static size_t last_user(const struct agent *l)
{
    for (size_t i = json_len(l->messages); i-- > 0;)
        if (!strcmp(role_at(l, i), "user")) return i;
    return 0;
}

/* Asks the model for a summary of the messages in [first, end). */
static bool summarise(struct agent *l, size_t first, size_t end, struct str *out)
{
    static const char ask[] = "Sum up this conversation in a few sentences: what was asked, what was found, what is still open.";
    struct json *body = json_new_object(), *list = json_new_array();
    struct message m = { 0 };
    struct err e = { 0 };
    for (size_t i = 0; i < end; i++)
        if (i >= first || !strcmp(role_at(l, i), "system")) json_push(list, json_copy(json_at(l->messages, i)));
    json_push(list, talk_message("user", ask, sizeof ask - 1));
    json_set(body, "messages", list);
    json_set(body, "max_tokens", json_new_int(SUMMARY_TOKENS));
    bool ok = l->o.model->speak(l->o.model->ctx, body, message_event, &m, &e) && m.text.len && m.reason != FINISH_CANCEL;
    if (ok) str_put(out, m.text.p, m.text.len);
    message_done(&m);
    return ok;
}

static void sum_up(struct agent *l)
{
    size_t end = last_user(l), first = json_len(l->messages) && !strcmp(role_at(l, 0), "system");
    struct str text = { 0 };
    str_puts(&text, "[Summary of the conversation so far] ");
    if (end <= first + 1 || !summarise(l, first, end, &text)) {
        str_done(&text);
        return;
    }
    struct json *list = json_new_array();
    if (first) json_push(list, json_copy(json_at(l->messages, 0)));
    json_push(list, talk_message("user", text.p, text.len));
    json_push(list, talk_message("assistant", "Understood.", 11));
    for (size_t i = end; i < json_len(l->messages); i++) json_push(list, json_copy(json_at(l->messages, i)));
    agent_load(l, list);
    str_done(&text);
    agent_note(l, "the conversation before this question was replaced by a summary, because the context was full");
}

void talk_fit(struct agent *l)
{
    int removed = 0;
    while (is_full(l) && remove_oldest(l)) removed++;
    if (removed) agent_note(l, "%d old result%s removed from the prompt, because the context was full", removed, removed == 1 ? " was" : "s were");
    if (is_full(l)) sum_up(l);
}

/* ---- the judge ---- */

static bool results_follow(const struct json *messages, size_t *at, struct err *e)
{
    const struct json *calls = json_get(json_at(messages, *at), "tool_calls");
    size_t from = *at;
    for (size_t k = 0; k < json_len(calls); k++) {
        const struct json *m = json_at(messages, ++*at < json_len(messages) ? *at : from);
        const char *id = json_str(json_get(json_at(calls, k), "id"), NULL);
        if (!id) return err_set(e, ERR_ARG, "messages[%zu]: call %zu has no id", from, k);
        if (!json_str_is(json_get(m, "role"), "tool") || !json_str_is(json_get(m, "tool_call_id"), id))
            return err_set(e, ERR_ARG, "messages[%zu]: call %zu (%s) has no result in its place", from, k, id);
        for (size_t j = 0; j < k; j++)
            if (json_str_is(json_get(json_at(calls, j), "id"), id)) return err_set(e, ERR_ARG, "messages[%zu]: two calls are %s", from, id);
    }
    return true;
}

bool messages_whole(const struct json *messages, struct err *e)
{
    if (!json_is(messages, JSON_ARRAY)) return err_set(e, ERR_ARG, "messages: must be an array");
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i);
        if (json_str_is(json_get(m, "role"), "tool")) return err_set(e, ERR_ARG, "messages[%zu]: a result without a call", i);
        if (!json_str(json_get(m, "role"), NULL)) return err_set(e, ERR_ARG, "messages[%zu]: no role", i);
        if (!results_follow(messages, &i, e)) return false;
    }
    return true;
}

/* ---- what the user does with a conversation ---- */

const struct json *agent_messages(const struct agent *l) { return l->messages; }

/* One more row that says what became of the messages: recall.c reads it. */
static void log_change(struct agent *l, const char *key, struct json *value)
{
    struct json *o = l->o.transcript ? json_new_object() : NULL;
    if (!o) {
        json_free(value);
        return;
    }
    json_set(o, key, value);
    transcript_put(l->o.transcript, "meta", o);
}

static void replace(struct agent *l, struct json *messages)
{
    json_free(l->messages);
    l->messages = messages;
}

void agent_load(struct agent *l, struct json *messages)
{
    log_change(l, "messages", json_copy(messages));
    replace(l, messages);
}

void agent_resume(struct agent *l, struct past *p)
{
    replace(l, p->messages);
    p->messages = NULL;
    for (int i = 0; i < l->n_full; i++) str_done(&l->full[i]);
    l->n_full = 0;
    for (size_t i = 0; i < json_len(p->results); i++) {
        size_t n = 0;
        const char *s = json_str(json_at(p->results, i), &n);
        talk_remember(l, s ? s : "", n);
    }
    for (size_t i = 0; i < json_len(l->messages); i++) {
        const char *text = json_str(json_get(json_at(l->messages, i), "content"), NULL);
        l->offers_read |= text && !strcmp(role_at(l, i), "tool") && strstr(text, "full output: result:");
    }
    l->n_id = MAX(l->n_id, p->n_call);
    words_done(&l->always);
    words_done(&l->exact);
    breaker_done(&l->breaker);
}

int talk_remember(struct agent *l, const char *text, size_t len)
{
    MEM_GROW(l->full, l->n_full, l->cap_full);
    l->full[l->n_full] = (struct str){ 0 };
    str_put(&l->full[l->n_full], text, len);
    return ++l->n_full;
}

static void keep_first(struct agent *l, size_t n)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < n; i++) json_push(list, json_copy(json_at(l->messages, i)));
    log_change(l, "keep", json_new_int((int64_t)n));
    replace(l, list);
}

static bool undo_from(struct agent *l, size_t i, struct str *last)
{
    size_t len = 0;
    const char *s = json_str(json_get(json_at(l->messages, i), "content"), &len);
    if (last && s) str_put(last, s, len);
    keep_first(l, i);
    return true;
}

bool agent_undo(struct agent *l, struct str *last)
{
    size_t i = last_user(l);
    if (!json_len(l->messages) || strcmp(role_at(l, i), "user")) return false;
    return undo_from(l, i, last);
}

bool agent_undo_to(struct agent *l, int n, struct str *last)
{
    for (size_t i = 0; i < json_len(l->messages); i++)
        if (!strcmp(role_at(l, i), "user") && --n == 0) return undo_from(l, i, last);
    return false;
}

static bool has_system(const struct agent *l) { return json_len(l->messages) && !strcmp(role_at(l, 0), "system"); }

void agent_clear(struct agent *l)
{
    keep_first(l, has_system(l));
    breaker_done(&l->breaker);
    words_done(&l->chosen);
}

void agent_system(struct agent *l, const char *text)
{
    struct json *list = json_new_array();
    if (text && *text) json_push(list, talk_message("system", text, strlen(text)));
    for (size_t i = has_system(l); i < json_len(l->messages); i++) json_push(list, json_copy(json_at(l->messages, i)));
    log_change(l, "system", json_new_str(text ? text : ""));
    replace(l, list);
}

void agent_set(struct agent *l, const char *key, struct json *value)
{
    if (value) json_set(l->request, key, value);
    else json_unset(l->request, key);
}

const struct json *agent_request(const struct agent *l) { return l->request; }

void agent_tools(struct agent *l, bool on) { l->tools_on = on; }

const char *agent_result(const struct agent *l, int number, size_t *len)
{
    if (number < 1 || number > l->n_full) return NULL;
    const struct str *s = &l->full[number - 1];
    *len = s->len;
    return s->p ? s->p : "";
}
