/* anthropic.c -- Messages: translated into a chat request, told as blocks, one after the other.
 *
 * The blocks are put down as the events come, streamed or not; the whole answer is that list. Ids of
 * calls are the engine's with another prefix, so that a history that comes back names them again. */
#include <regex.h>

#include "serve/metrics.h"
#include "serve/models.h"

/* ---- ids --------------------------------------------------------------------------------------------- */

static struct json *swap_prefix(const char *id, const char *from, const char *to)
{
    size_t n = strlen(from);
    struct str s = { 0 };
    if (!strncmp(id, from, n)) str_puts(&s, to), id += n;
    str_puts(&s, id);
    struct json *v = json_new_strn(s.p, s.len);
    str_done(&s);
    return v;
}

static struct json *to_call_id(const char *id) { return swap_prefix(id, "toolu_", "call_"); }
static struct json *to_toolu_id(const char *id) { return swap_prefix(id, "call_", "toolu_"); }

/* ---- the request ---------------------------------------------------------------------------------------- */

static bool bad(struct exchange *x, const char *param, const char *why)
{
    reply_error(x, 400, "invalid_value", param, "%s: %s", param, why);
    return false;
}

static struct json *message_of(const char *role, const char *text, size_t len)
{
    struct json *m = json_new_object();
    json_set(m, "role", json_new_str(role));
    json_set(m, "content", json_new_strn(text ? text : "", len));
    return m;
}

/* Text blocks of a content, or the string itself; false: something else is in it. */
static bool text_of(const struct json *content, struct str *out, bool images)
{
    size_t len;
    const char *s = json_str(content, &len);
    if (s) return str_put(out, s, len), true;
    if (content && !json_is(content, JSON_ARRAY)) return false;
    for (size_t i = 0; i < json_len(content); i++) {
        const struct json *b = json_at(content, i);
        s = json_str(json_get(b, "text"), &len);
        if (s && json_str_is(json_get(b, "type"), "text")) str_put(out, s, len);
        else if (images) str_puts(out, "[image omitted: this model reads text only]");
        else return false;
    }
    return true;
}

static struct json *result_message(const struct json *block)
{
    struct str text = { 0 };
    const char *id = json_str(json_get(block, "tool_use_id"), NULL);
    if (json_bool(json_get(block, "is_error"))) str_puts(&text, "Error: ");
    text_of(json_get(block, "content"), &text, true);
    struct json *m = message_of("tool", text.p, text.len);
    json_set(m, "tool_call_id", to_call_id(id ? id : ""));
    str_done(&text);
    return m;
}

/* Results first, as tool messages, then what else the user says. */
static bool user_turn(struct exchange *x, const struct json *content, size_t at, struct json *out)
{
    struct str text = { 0 };
    char where[80];
    bool ok = true, said = false;
    for (size_t i = 0; ok && i < json_len(content); i++) {
        const struct json *b = json_at(content, i), *type = json_get(b, "type");
        size_t len = 0;
        const char *s = json_str(json_get(b, "text"), &len);
        if (json_str_is(type, "tool_result")) json_push(out, result_message(b));
        else if (json_str_is(type, "text") && s) str_put(&text, s, len), said = true;
        else {
            snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
            ok = bad(x, where,
                     "only text and tool_result blocks are accepted; this model reads text only");
        }
    }
    if (ok && said) json_push(out, message_of("user", text.p, text.len));
    str_done(&text);
    return ok;
}

static struct json *call_of(const struct json *block)
{
    struct json *c = json_new_object(), *f = json_new_object();
    const char *id = json_str(json_get(block, "id"), NULL);
    const struct json *input = there(block, "input");
    json_set(c, "id", to_call_id(id ? id : ""));
    json_set(c, "type", json_new_str("function"));
    json_set(f, "name", json_copy(json_get(block, "name")));
    json_set(f, "arguments", input ? json_copy(input) : json_new_object());
    json_set(c, "function", f);
    return c;
}

static bool assistant_turn(struct exchange *x, const struct json *content, size_t at,
                           struct json *out)
{
    struct str text = { 0 }, thought = { 0 };
    struct json *calls = json_new_array(), *m = NULL;
    char where[80];
    bool ok = true;
    for (size_t i = 0; ok && i < json_len(content); i++) {
        const struct json *b = json_at(content, i), *type = json_get(b, "type");
        size_t len = 0;
        const char *s = json_str(json_get(b, "text"), &len), *t = NULL;
        if (json_str_is(type, "text") && s) str_put(&text, s, len);
        else if (json_str_is(type, "tool_use") && json_str(json_get(b, "name"), NULL))
            json_push(calls, call_of(b));
        else if (json_str_is(type, "thinking") && (t = json_str(json_get(b, "thinking"), &len)))
            str_put(&thought, t, len);
        else if (!json_str_is(type, "redacted_thinking")) {
            snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
            ok = bad(x, where, "only text, tool_use and thinking blocks are accepted here");
        }
    }
    if (ok) {
        m = message_of("assistant", text.p, text.len);
        if (json_len(calls) && !text.len) json_set(m, "content", json_new_null());
        if (json_len(calls)) json_set(m, "tool_calls", json_copy(calls));
        if (thought.len) json_set(m, "reasoning_content", json_new_strn(thought.p, thought.len));
        json_push(out, m);
    }
    json_free(calls);
    str_done(&text);
    str_done(&thought);
    return ok;
}

static bool turn(struct exchange *x, const struct json *m, size_t at, struct json *out)
{
    const struct json *role = json_get(m, "role"), *content = json_get(m, "content");
    bool user = json_str_is(role, "user");
    char where[80];
    size_t len;
    const char *s = json_str(content, &len);
    snprintf(where, sizeof where, "messages[%zu].role", at);
    if (!user && !json_str_is(role, "assistant"))
        return bad(x, where, "user and assistant are accepted");
    if (s) return json_push(out, message_of(user ? "user" : "assistant", s, len)), true;
    snprintf(where, sizeof where, "messages[%zu].content", at);
    if (!json_is(content, JSON_ARRAY) || !json_len(content))
        return bad(x, where, "a string or an array of blocks is needed");
    return user ? user_turn(x, content, at, out) : assistant_turn(x, content, at, out);
}

/* Lines at the head that the operator has dropped (they change with every request and spoil the prefix cache). */
static void strip_lines(const char *pattern, struct str *text)
{
    regex_t re;
    if (!pattern || !text->len || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB)) return;
    size_t at = 0;
    while (at < text->len) {
        size_t n = strcspn(text->p + at, "\n");
        char *line = mem_zero(n + 1);
        memcpy(line, text->p + at, n);
        bool hit = !regexec(&re, line, 0, NULL, 0);
        mem_free(line);
        if (!hit) break;
        at += n + (text->p[at + n] == '\n');
    }
    regfree(&re);
    memmove(text->p, text->p + at, text->len - at);
    text->len -= at;
    text->p[text->len] = 0;
}

static struct json *read_messages(struct exchange *x, const struct json *body)
{
    const struct json *list = json_get(body, "messages"), *system = there(body, "system");
    struct json *out = json_new_array();
    struct str text = { 0 };
    bool ok = !system || text_of(system, &text, false);
    if (!ok) bad(x, "system", "a string or an array of text blocks is accepted");
    strip_lines(x->sv->o->strip_system_line, &text);
    if (ok && text.len) json_push(out, message_of("system", text.p, text.len));
    str_done(&text);
    if (ok && (!json_is(list, JSON_ARRAY) || !json_len(list)))
        ok = bad(x, "messages", "an array of at least one message is needed");
    for (size_t i = 0; ok && i < json_len(list); i++) ok = turn(x, json_at(list, i), i, out);
    if (ok) return out;
    json_free(out);
    return NULL;
}

static struct json *read_tools(struct exchange *x, const struct json *list)
{
    struct json *out = json_new_array();
    char where[80];
    bool ok = json_is(list, JSON_ARRAY) || bad(x, "tools", "must be an array");
    for (size_t i = 0; ok && i < json_len(list); i++) {
        const struct json *t = json_at(list, i), *type = there(t, "type");
        snprintf(where, sizeof where, "tools[%zu].type", i);
        if (type && !json_str_is(type, "custom")) {
            ok = bad(x, where,
                     "tools that a server brings along are not offered here; describe a tool with "
                     "input_schema");
            break;
        }
        struct json *tool = json_new_object(), *f = json_new_object();
        json_set(tool, "type", json_new_str("function"));
        if (json_get(t, "name")) json_set(f, "name", json_copy(json_get(t, "name")));
        if (there(t, "description"))
            json_set(f, "description", json_copy(json_get(t, "description")));
        if (there(t, "input_schema"))
            json_set(f, "parameters", json_copy(json_get(t, "input_schema")));
        if (there(t, "strict")) json_set(f, "strict", json_copy(json_get(t, "strict")));
        json_set(tool, "function", f);
        json_push(out, tool);
    }
    if (ok) return out;
    json_free(out);
    return NULL;
}

static bool read_choice(struct exchange *x, const struct json *v, struct json *out)
{
    const struct json *type = json_get(v, "type");
    const char *name = json_str(json_get(v, "name"), NULL);
    if (json_bool(json_get(v, "disable_parallel_tool_use")))
        json_set(out, "parallel_tool_calls", json_new_bool(false));
    if (json_str_is(type, "auto")) json_set(out, "tool_choice", json_new_str("auto"));
    else if (json_str_is(type, "none")) json_set(out, "tool_choice", json_new_str("none"));
    else if (json_str_is(type, "any")) json_set(out, "tool_choice", json_new_str("required"));
    else if (json_str_is(type, "tool") && name) {
        struct json *c = json_new_object();
        json_set(c, "type", json_new_str("function"));
        json_set(c, "name", json_new_str(name));
        json_set(out, "tool_choice", c);
    } else return bad(x, "tool_choice.type", "auto, any, none, and tool with a name are accepted");
    return true;
}

/* Members that mean the same in both; the second name is the chat's. */
static const char *const same[][2] = { { "max_tokens", "max_tokens" },
                                       { "temperature", "temperature" },
                                       { "top_p", "top_p" },
                                       { "top_k", "top_k" },
                                       { "stop_sequences", "stop" } };
static const char *const members[] = {
    "model",         "messages",       "max_tokens",  "system",
    "tools",         "tool_choice",    "temperature", "top_p",
    "top_k",         "stop_sequences", "stream",      "thinking",
    "metadata",      "service_tier",   "container",   "context_management",
    "output_config", "cache_control",  NULL
};

/* The chat body; NULL: answered. */
static struct json *translate(struct exchange *x, const struct json *body)
{
    struct json *out = json_new_object(), *v;
    if (!(v = read_messages(x, body))) goto fail;
    json_set(out, "messages", v);
    if (there(body, "tools")) {
        if (!(v = read_tools(x, json_get(body, "tools")))) goto fail;
        json_set(out, "tools", v);
    }
    if (there(body, "tool_choice") && !read_choice(x, json_get(body, "tool_choice"), out))
        goto fail;
    for (size_t i = 0; i < LEN(same); i++)
        if (there(body, same[i][0]))
            json_set(out, same[i][1], json_copy(json_get(body, same[i][0])));
    return out;
fail:
    json_free(out);
    return NULL;
}

static bool check(struct exchange *x, struct json *body, bool *stream)
{
    const struct json *t = there(body, "temperature"), *max = there(body, "max_tokens");
    int64_t n;
    if (!known_members(x, body, members) || !models_resolve(x, body) ||
        !take_bool(x, body, "stream", stream))
        return false;
    if (t && !(json_is(t, JSON_NUMBER) && json_f64(t) >= 0 && json_f64(t) <= 1))
        return bad(x, "temperature", "must be a number from 0 to 1");
    return !max || (json_i64(max, &n) && n >= 1) ||
           bad(x, "max_tokens", "must be an integer of at least 1");
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

enum kind { B_NONE, B_TEXT, B_THINKING, B_CALL };
struct talk {
    enum kind open;
    int index;
    struct str text;
    struct json *block, *blocks;
    struct str stop;
};

static void talk_done(void *state)
{
    struct talk *t = state;
    json_free(t->block);
    json_free(t->blocks);
    str_done(&t->text);
    str_done(&t->stop);
    mem_free(t);
}

static void tell(struct str *out, const char *type, struct json *o)
{
    if (!out) {
        json_free(o);
        return;
    }
    struct json *first = json_new_object();
    json_set(first, "type", json_new_str(type));
    for (struct json_iter it = json_iter(o); json_next(&it);)
        json_set(first, it.key, json_copy(it.value));
    json_free(o);
    sse(out, type, first);
}

static struct json *indexed(const struct talk *t)
{
    struct json *o = json_new_object();
    json_set(o, "index", json_new_int(t->index));
    return o;
}

static void send_delta(struct talk *t, struct str *out, const char *type, const char *key,
                       const char *p, size_t n)
{
    struct json *o = indexed(t), *d = json_new_object();
    json_set(d, "type", json_new_str(type));
    json_set(d, key, json_new_strn(p, n));
    json_set(o, "delta", d);
    tell(out, "content_block_delta", o);
}

/* What the block holds when it is whole. */
static void complete_block(struct talk *t)
{
    const char *p = t->text.p ? t->text.p : "";
    if (t->open == B_TEXT) json_set(t->block, "text", json_new_strn(p, t->text.len));
    if (t->open == B_THINKING) json_set(t->block, "thinking", json_new_strn(p, t->text.len));
    if (t->open != B_CALL) return;
    struct json *input = json_parse(p, t->text.len, NULL);
    if (!json_is(input, JSON_OBJECT)) { /* the source of a code interpreter */
        json_free(input);
        input = json_new_object();
        json_set(input, "code", json_new_strn(p, t->text.len));
    }
    json_set(t->block, "input", input);
}

static void close_block(struct talk *t, struct str *out)
{
    if (t->open == B_NONE) return;
    if (t->open == B_THINKING) send_delta(t, out, "signature_delta", "signature", "", 0);
    complete_block(t);
    tell(out, "content_block_stop", indexed(t));
    json_push(t->blocks, t->block);
    t->block = NULL;
    t->open = B_NONE;
    t->index++;
    str_clear(&t->text);
}

static void open_block(struct talk *t, enum kind kind, struct json *block, struct str *out)
{
    close_block(t, out);
    t->open = kind;
    t->block = block;
    struct json *o = indexed(t);
    json_set(o, "content_block", json_copy(block));
    tell(out, "content_block_start", o);
}

static struct json *empty_block(const char *type, const char *key)
{
    struct json *b = json_new_object();
    json_set(b, "type", json_new_str(type));
    json_set(b, key, json_new_str(""));
    if (!strcmp(type, "thinking")) json_set(b, "signature", json_new_str(""));
    return b;
}

static void begin_call(struct talk *t, const struct event *ev, struct str *out)
{
    struct json *b = json_new_object();
    json_set(b, "type", json_new_str("tool_use"));
    json_set(b, "id", to_toolu_id(ev->id));
    json_set(b, "name", json_new_str(ev->name));
    json_set(b, "input", json_new_object());
    open_block(t, B_CALL, b, out);
}

static void grow(struct talk *t, const struct event *ev, const char *type, const char *key,
                 struct str *out)
{
    str_put(&t->text, ev->bytes.p, ev->bytes.len);
    send_delta(t, out, type, key, ev->bytes.p, ev->bytes.len);
}

static void on_event(struct job *j, struct choice *c, const struct event *ev, struct str *out)
{
    struct talk *t = j->state;
    switch (ev->kind) {
    case EV_TEXT:
        if (t->open != B_TEXT) open_block(t, B_TEXT, empty_block("text", "text"), out);
        grow(t, ev, "text_delta", "text", out);
        break;
    case EV_REASONING:
        if (t->open != B_THINKING)
            open_block(t, B_THINKING, empty_block("thinking", "thinking"), out);
        grow(t, ev, "thinking_delta", "thinking", out);
        break;
    case EV_CALL_BEGIN: begin_call(t, ev, out); break;
    case EV_CALL_ARGS:  grow(t, ev, "input_json_delta", "partial_json", out); break;
    case EV_CALL_END:   close_block(t, out); break;
    case EV_FINISH:
        close_block(t, out);
        str_put(&t->stop, ev->bytes.p, ev->bytes.len); /* the stop string that was met */
        metrics_calls(j->sv->metrics, &c->message, c->request.choice);
        break;
    case EV_START: case EV_TOKEN: case EV_PROGRESS: case EV_ITEM: case EV_ERROR: break;
    }
}

static struct json *usage_of(const struct job *j)
{
    struct json *u = json_new_object();
    json_set(u, "input_tokens", json_new_int(j->usage.prompt_tokens - j->usage.cached_tokens));
    json_set(u, "cache_creation_input_tokens", json_new_int(0));          /* the three are added up: what was computed is input_tokens */
    json_set(u, "cache_read_input_tokens", json_new_int(j->usage.cached_tokens));
    json_set(u, "output_tokens", json_new_int(j->usage.completion_tokens));
    return u;
}

static void put_stop(const struct job *j, struct json *o)
{
    static const char *const name[] = { [FINISH_STOP] = "end_turn",
                                        [FINISH_TOOL_CALLS] = "tool_use",
                                        [FINISH_LENGTH] = "max_tokens",
                                        [FINISH_CANCEL] = "end_turn" };
    const struct talk *t = j->state;
    bool by_string = t->stop.len && j->choice[0].message.reason != FINISH_LENGTH;
    json_set(o, "stop_reason",
             json_new_str(by_string ? "stop_sequence" : name[j->choice[0].message.reason]));
    json_set(o, "stop_sequence",
             by_string ? json_new_strn(t->stop.p, t->stop.len) : json_new_null());
}

static struct json *message_head(const struct job *j, struct json *content)
{
    struct json *m = json_new_object();
    json_set(m, "id", json_new_str(j->id));
    json_set(m, "type", json_new_str("message"));
    json_set(m, "role", json_new_str("assistant"));
    json_set(m, "model", json_new_str(j->model));
    json_set(m, "content", content);
    return m;
}

static void on_begin(struct job *j, struct str *out)
{
    struct json *o = json_new_object(), *m = message_head(j, json_new_array()), *u = usage_of(j);
    json_set(u, "input_tokens", json_new_int(j->choice[0].message.usage.prompt_tokens));
    json_set(m, "stop_reason", json_new_null());
    json_set(m, "stop_sequence", json_new_null());
    json_set(m, "usage", u);
    json_set(o, "message", m);
    tell(out, "message_start", o);
    str_puts(out, j->teller->ping);
}

static void on_end(struct job *j, struct str *out)
{
    struct json *o = json_new_object(), *d = json_new_object();
    put_stop(j, d);
    json_set(o, "delta", d);
    json_set(o, "usage", usage_of(j));
    tell(out, "message_delta", o);
    tell(out, "message_stop", json_new_object());
}

static void on_fail(struct job *j, const struct fault *f, struct str *out)
{
    sse(out, "error", fault_json(j->x, f));
}

static struct json *whole(struct job *j)
{
    struct talk *t = j->state;
    struct json *m = message_head(j, t->blocks);
    t->blocks = NULL;
    put_stop(j, m);
    json_set(m, "usage", usage_of(j));
    return m;
}

static const struct teller teller = { on_begin, on_event,
                                      on_end,   on_fail,
                                      whole,    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
                                      talk_done };

/* ---- handlers ------------------------------------------------------------------------------------------------- */

static bool read_request(struct exchange *x, bool counting, struct request *r, bool *stream)
{
    struct json *body = api_body(x), *chat = NULL;
    *stream = false;
    if (!body) return false;
    if (!check(x, body, stream)) goto out;
    if (!counting && !there(body, "max_tokens")) {
        reply_error(x, 400, "missing_required_parameter", "max_tokens", "max_tokens: missing");
        goto out;
    }
    chat = translate(x, body);
out:
    json_free(body);
    return chat && chat_request(x, chat, r);
}

void messages_run(struct exchange *x)
{
    struct request r;
    bool stream;
    if (!read_request(x, false, &r, &stream)) return;
    struct talk *t = mem_zero(sizeof *t);
    t->blocks = json_new_array();
    job_start(x, &(struct job_spec){ .teller = &teller,
                                     .state = t,
                                     .request = &r,
                                     .n = 1,
                                     .stream = stream,
                                     .id_prefix = "msg_" });
}

void messages_count(struct exchange *x)
{
    struct request r;
    bool stream;
    int n;
    if (!read_request(x, true, &r, &stream)) return;
    if (prompt_count(x, &r, &n)) {
        struct json *o = json_new_object();
        json_set(o, "input_tokens", json_new_int(n));
        reply_json(x, 200, o);
    }
    request_done(&r);
}
