/* responses.c -- the request of /v1/responses: items become messages, the rest becomes a chat body.
 *
 * A previous response brings its items and its answer along; instructions are not inherited. What the
 * client's own list of built-in tools holds and nobody here runs is dropped and said in a header. */
#include "serve/models.h"
#include "serve/responses.h"
#include "serve/keep.h"
#include "serve/served.h"

static bool bad(struct exchange *x, const char *code, const char *param, const char *why)
{
    reply_error(x, 400, code, param, "%s: %s", param, why);
    return false;
}

/* ---- items become messages -------------------------------------------------------------------------------- */

struct reading {
    struct exchange *x;
    struct json *out;
    struct json *open;
    struct str thought;
    size_t at;
    const struct json *items;                                         /* all of them */
    struct json *approved;                                            /* gets calls that the user allowed */
    struct json *files;                                               /* gets files of the interpreter's; NULL: none runs here */
}; /* open: assistant turn that calls may join */

static struct json *push_message(struct reading *r, const char *role)
{
    struct json *m = json_new_object();
    json_set(m, "role", json_new_str(role));
    json_push(r->out, m);
    r->open = !strcmp(role, "assistant") ? m : NULL;
    if (r->open && r->thought.len)
        json_set(m, "reasoning_content", json_new_strn(r->thought.p, r->thought.len));
    if (r->open) str_clear(&r->thought);
    return m;
}

/* A part of type input_file: its bytes go to the interpreter, the model reads of it. */
static bool take_file(struct reading *r, const struct json *part, struct json *parts)
{
    size_t n = 0;
    const char *name = json_str(there(part, "filename"), NULL), *data = json_str(there(part, "file_data"), &n), *comma = data ? strstr(data, ";base64,") : NULL;
    struct str bytes = { 0 }, text = { 0 };
    char where[64];
    snprintf(where, sizeof where, "input[%zu].content", r->at);
    if (!name || !data) return bad(r->x, "missing_required_parameter", where, "an input_file needs filename and file_data, in base64; files by number are not kept here");
    if (comma) n -= (size_t)(comma + 8 - data), data = comma + 8;
    bool ok = base64_read(&bytes, data, n) || bad(r->x, "invalid_value", where, "file_data is no base64");
    if (ok) {
        struct json *file = json_new_object(), *told = json_new_object();
        json_set(file, "name", json_new_str(name));
        json_set(file, "data", json_new_strn(data, n));
        json_push(r->files, file);
        str_fmt(&text, "[file /box/%s, %zu bytes, for the tool python]", name, bytes.len);
        json_set(told, "type", json_new_str("input_text"));
        json_set(told, "text", json_new_strn(text.p, text.len));
        json_push(parts, told);
    }
    str_done(&bytes);
    str_done(&text);
    return ok;
}

/* The content of a message; NULL: answered. */
static struct json *content_of(struct reading *r, const struct json *content)
{
    if (!r->files || !json_is(content, JSON_ARRAY)) return content ? json_copy(content) : json_new_str("");
    struct json *parts = json_new_array();
    for (size_t i = 0; i < json_len(content); i++) {
        const struct json *part = json_at(content, i);
        if (!json_str_is(json_get(part, "type"), "input_file")) json_push(parts, json_copy(part));
        else if (!take_file(r, part, parts)) return json_free(parts), NULL;
    }
    return parts;
}

static bool read_message(struct reading *r, const struct json *item)
{
    static const char *const roles[] = { "system", "developer", "user", "assistant" };
    const struct json *role = json_get(item, "role"), *content = there(item, "content");
    char where[64];
    for (size_t i = 0; i < LEN(roles); i++) {
        if (!json_str_is(role, roles[i])) continue;
        struct json *m = push_message(r, roles[i]), *parts = content_of(r, content);
        if (parts) json_set(m, "content", parts);
        return parts != NULL;
    }
    snprintf(where, sizeof where, "input[%zu].role", r->at);
    return bad(r->x, "invalid_value", where, "system, developer, user and assistant are accepted");
}

static bool read_call(struct reading *r, const struct json *item)
{
    const struct json *id = there(item, "call_id"), *name = there(item, "name"),
                      *args = there(item, "arguments");
    char where[64];
    snprintf(where, sizeof where, "input[%zu]", r->at);
    if (!json_str(id, NULL) || !json_str(name, NULL))
        return bad(r->x, "missing_required_parameter", where, "call_id and name are needed");
    struct json *m = r->open ? r->open : push_message(r, "assistant"), *c = json_new_object(),
                *f = json_new_object();
    if (!json_get(m, "content")) json_set(m, "content", json_new_null());
    if (!json_get(m, "tool_calls")) json_set(m, "tool_calls", json_new_array());
    json_set(c, "id", json_copy(id));
    json_set(c, "type", json_new_str("function"));
    json_set(f, "name", json_copy(name));
    json_set(f, "arguments", args ? json_copy(args) : json_new_str("{}"));
    json_set(c, "function", f);
    json_push((struct json *)(uintptr_t)json_get(m, "tool_calls"), c);
    return true;
}

static bool read_output(struct reading *r, const struct json *item)
{
    const struct json *id = there(item, "call_id"), *output = there(item, "output");
    struct json *m = push_message(r, "tool");
    json_set(m, "tool_call_id", id ? json_copy(id) : json_new_null());
    json_set(m, "content", output ? json_copy(output) : json_new_str(""));
    return true;
}

/* What include: ["reasoning.encrypted_content"] had given. */
static bool read_sealed(struct reading *r, const struct json *v)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    char where[64];
    snprintf(where, sizeof where, "input[%zu].encrypted_content", r->at);
    if (v && (!s || !base64_read(&r->thought, s, n) || !utf8_valid(r->thought.p ? r->thought.p : "", r->thought.len)))
        return bad(r->x, "invalid_value", where, "this was not written by this server; leave the item out");
    return true;
}

/* Reasoning belongs to the assistant turn behind it. */
static bool read_reasoning(struct reading *r, const struct json *item)
{
    const struct json *parts = json_get(item, "content");
    str_clear(&r->thought);
    for (size_t i = 0; json_is(parts, JSON_ARRAY) && i < json_len(parts); i++) {
        size_t len;
        const char *s = json_str(json_get(json_at(parts, i), "text"), &len);
        if (s) str_put(&r->thought, s, len);
    }
    r->open = NULL;
    return r->thought.len || read_sealed(r, there(item, "encrypted_content"));
}

/* A call, and what it gave if it ran here. arguments is taken. */
static bool read_ran(struct reading *r, const struct json *item, const char *name,
                     struct json *arguments, const struct json *output)
{
    struct json *call = json_new_object();
    json_set(call, "call_id", json_copy(json_get(item, "id")));
    json_set(call, "name", json_new_str(name ? name : ""));
    json_set(call, "arguments", arguments);
    if (output) json_set(call, "output", json_copy(output));
    bool ok = read_call(r, call) && (!output || read_output(r, call));
    json_free(call);
    return ok;
}

/* Its code is the argument as it is where the client ran it, and an object's member where we did. */
static bool read_code(struct reading *r, const struct json *item)
{
    const struct json *code = there(item, "code"), *outputs = there(item, "outputs");
    struct str args = { 0 };
    if (!outputs)
        return read_ran(r, item, "python", code ? json_copy(code) : json_new_str(""), NULL);
    struct json *o = json_new_object(), *none = json_new_str("(no output)");
    const struct json *logs = json_get(json_at(outputs, 0), "logs");
    json_set(o, "code", code ? json_copy(code) : json_new_str(""));
    json_write(&args, o, JSON_COMPACT);
    bool ok = read_ran(r, item, "python", json_new_strn(args.p, args.len), logs ? logs : none);
    json_free(o);
    json_free(none);
    str_done(&args);
    return ok;
}

static bool read_mcp_call(struct reading *r, const struct json *item)
{
    const struct json *args = there(item, "arguments"), *output = there(item, "output"),
                      *error = there(item, "error");
    struct json *none = json_new_str("(no output)");
    bool ok = read_ran(r, item, json_str(json_get(item, "name"), NULL),
                       args ? json_copy(args) : json_new_str("{}"),
                       output ? output : json_is(error, JSON_STRING) ? error : none);
    json_free(none);
    return ok;
}

/* The list of a server is read anew for each request; a question counts once it is answered. */
static bool read_nothing(struct reading *r, const struct json *item) { return true; }

static const struct json *find_item(const struct json *items, const char *id);

static bool has_run(const struct json *items, const char *request)
{
    for (size_t i = 0; i < json_len(items); i++)
        if (json_str_is(json_get(json_at(items, i), "approval_request_id"), request) && json_str_is(json_get(json_at(items, i), "type"), "mcp_call")) return true;
    return false;
}

/* What the user said of a call of an MCP tool. Allowed ones run now (served.c), unless they have run already. */
static bool read_approval(struct reading *r, const struct json *item)
{
    const char *id = json_str(there(item, "approval_request_id"), NULL), *reason = json_str(there(item, "reason"), NULL);
    const struct json *asked = id ? find_item(r->items, id) : NULL, *approve = there(item, "approve");
    struct str said = { 0 };
    char where[64];
    snprintf(where, sizeof where, "input[%zu].%s", r->at, json_is(approve, JSON_BOOL) ? "approval_request_id" : "approve");
    if (!json_is(approve, JSON_BOOL)) return bad(r->x, "missing_required_parameter", where, "true or false is needed");
    if (!json_str_is(json_get(asked, "type"), "mcp_approval_request"))
        return bad(r->x, "item_not_found", where, "names no mcp_approval_request of this input");
    if (json_bool(approve) && has_run(r->items, id)) return true;
    str_puts(&said, "The user did not allow this call.");
    if (reason) str_fmt(&said, " Reason: %.500s", reason);
    struct json *output = json_new_strn(said.p, said.len), *args = there(asked, "arguments") ? json_copy(there(asked, "arguments")) : json_new_str("{}");
    bool ok = read_ran(r, asked, json_str(json_get(asked, "name"), NULL), args, output);
    if (ok && json_bool(approve)) json_push(r->approved, json_copy(asked));
    json_free(output);
    str_done(&said);
    return ok;
}

static const struct {
    const char *type;
    bool (*read)(struct reading *r, const struct json *item);
} kinds[] = {
    { "message", read_message },
    { "function_call", read_call },
    { "function_call_output", read_output },
    { "reasoning", read_reasoning },
    { "code_interpreter_call", read_code },
    { "mcp_call", read_mcp_call },
    { "mcp_list_tools", read_nothing },
    { "mcp_approval_request", read_nothing },
    { "mcp_approval_response", read_approval },
};

static bool read_item(struct reading *r, const struct json *item)
{
    const struct json *type = there(item, "type");
    char where[64];
    if (!type && there(item, "role")) return read_message(r, item);
    for (size_t i = 0; i < LEN(kinds); i++)
        if (json_str_is(type, kinds[i].type)) return kinds[i].read(r, item);
    snprintf(where, sizeof where, "input[%zu].type", r->at);
    return bad(r->x, "invalid_value", where,
               "message, function_call, function_call_output, reasoning and, with the store, "
               "item_reference are accepted");
}

/* The messages of instructions and items; calls that were approved are added to `approved`, files to `files` if it is not NULL.
 * NULL: answered. */
static struct json *messages_of(struct exchange *x, const struct json *instructions,
                                const struct json *items, struct json *approved, struct json *files)
{
    struct reading r = { .x = x, .out = json_new_array(), .items = items, .approved = approved, .files = files };
    bool ok = true;
    if (instructions) json_set(push_message(&r, "system"), "content", json_copy(instructions));
    for (; ok && r.at < json_len(items); r.at++) ok = read_item(&r, json_at(items, r.at));
    str_done(&r.thought);
    if (ok) return r.out;
    json_free(r.out);
    return NULL;
}

/* ---- the input --------------------------------------------------------------------------------------------- */

static struct json *user_item(const struct json *text)
{
    struct json *m = json_new_object();
    json_set(m, "type", json_new_str("message"));
    json_set(m, "role", json_new_str("user"));
    json_set(m, "content", json_copy(text));
    return m;
}

static void append(struct json *to, const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++) json_push(to, json_copy(json_at(list, i)));
}

/* Items of the response that this one goes on from. */
static bool bring_along(struct exchange *x, const struct json *id, struct json *items)
{
    struct json *response, *input;
    struct err e = { 0 };
    const char *text = json_str(id, NULL);
    if (!x->sv->store)
        return bad(x, "unsupported_parameter", "previous_response_id",
                   "responses are not stored here; --response-store FILE switches this on");
    if (!text) return bad(x, "invalid_type", "previous_response_id", "must be a string");
    if (!keep_get(x->sv->store, text, &response, &input, &e)) {
        reply_err(x, &e);
        return false;
    }
    if (!response) {
        reply_error(x, 404, "response_not_found", "previous_response_id",
                    "Previous response with id '%.100s' not found.", text);
        return false;
    }
    append(items, input);
    append(items, json_get(response, "output"));
    json_free(response);
    json_free(input);
    return true;
}

static const struct json *find_item(const struct json *items, const char *id)
{
    for (size_t i = 0; i < json_len(items); i++)
        if (json_str_is(json_get(json_at(items, i), "id"), id)) return json_at(items, i);
    return NULL;
}

/* item_reference: an item that the previous response brought along. */
static bool push_item(struct exchange *x, const struct json *item, size_t at, struct json *items)
{
    char where[64];
    if (!json_str_is(json_get(item, "type"), "item_reference")) {
        json_push(items, json_copy(item));
        return true;
    }
    const char *id = json_str(json_get(item, "id"), NULL);
    const struct json *known = id ? find_item(items, id) : NULL;
    snprintf(where, sizeof where, "input[%zu].id", at);
    if (!known)
        return bad(x, "item_not_found", where,
                   "names no item of a stored response that came along by previous_response_id");
    return true; /* it is in its place already */
}

static struct json *read_items(struct exchange *x, const struct json *body)
{
    const struct json *input = there(body, "input"),
                      *previous = there(body, "previous_response_id");
    struct json *items = json_new_array();
    bool ok = !previous || bring_along(x, previous, items);
    if (ok && json_is(input, JSON_STRING)) json_push(items, user_item(input));
    else if (ok && json_is(input, JSON_ARRAY) && json_len(input))
        for (size_t i = 0; ok && i < json_len(input); i++)
            ok = push_item(x, json_at(input, i), i, items);
    else if (ok)
        ok = bad(x, input ? "invalid_type" : "missing_required_parameter", "input",
                 "a string or an array of items is needed");
    if (ok) return items;
    json_free(items);
    return NULL;
}

/* ---- tools ------------------------------------------------------------------------------------------------- */

/* Called like a tool; the client runs it. */
static struct json *code_tool(void)
{
    struct json *t = json_new_object();
    json_set(t, "type", json_new_str("code_interpreter"));
    return t;
}

static bool read_tools(struct exchange *x, const struct json *list, struct json *chat, bool *code)
{
    if (!served_accepts(x, list)) return false;
    struct str ignored = { 0 };
    struct json *out = json_new_array();
    if (!json_is(list, JSON_ARRAY)) {
        json_free(out);
        return bad(x, "invalid_type", "tools", "must be an array");
    }
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *t = json_at(list, i), *type = json_get(t, "type");
        const char *name = json_str(type, NULL);
        if (served_runs(x->sv, t)) continue;
        if (!name || json_str_is(type, "function")) json_push(out, json_copy(t));
        else if (json_str_is(type, "code_interpreter")) json_push(out, code_tool());
        else str_fmt(&ignored, "%s%.40s", ignored.len ? "," : "", name);
        *code |= json_str_is(type, "code_interpreter");
    }
    if (ignored.len) reply_header(x, "x-ignored-tools", "%s", ignored.p);
    str_done(&ignored);
    if (json_len(out)) json_set(chat, "tools", out);
    else json_free(out);
    return true;
}

static bool read_choice(struct exchange *x, const struct json *v, struct json *chat)
{
    const char *type = json_str(json_get(v, "type"), NULL);
    if (json_is(v, JSON_OBJECT) && type && strcmp(type, "function") &&
        strcmp(type, "allowed_tools") && strcmp(type, "code_interpreter"))
        return bad(x, "tool_choice_unknown_tool", "tool_choice",
                   "names a tool that is not offered here");
    bool no_tools = !json_get(chat, "tools") && json_str_is(v, "auto");
    if (!no_tools) json_set(chat, "tool_choice", json_copy(v));
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

static bool read_format(struct exchange *x, const struct json *text, struct json *chat)
{
    const struct json *f = there(text, "format");
    if (!f) return true;
    if (!json_is(f, JSON_OBJECT)) return bad(x, "invalid_type", "text.format", "must be an object");
    if (!json_str_is(json_get(f, "type"), "json_schema") || there(f, "json_schema")) {
        json_set(chat, "response_format", json_copy(f));
        return true;
    }
    struct json *outer = json_new_object(), *inner = json_copy(f);
    json_unset(inner, "type");
    json_set(outer, "type", json_new_str("json_schema"));
    json_set(outer, "json_schema", inner);
    json_set(chat, "response_format", outer);
    return true;
}

static bool refuse(struct exchange *x, const struct json *body)
{
    static const char *const never[] = { "conversation", "prompt" };
    for (size_t i = 0; i < LEN(never); i++)
        if (there(body, never[i]))
            return bad(x, "unsupported_parameter", never[i], "not supported here");
    if (json_bool(there(body, "background")))
        return bad(x, "unsupported_parameter", "background", "not supported here; leave it out");
    const struct json *t = there(body, "truncation");
    if (t && !json_str_is(t, "auto") && !json_str_is(t, "disabled"))
        return bad(x, "invalid_value", "truncation", "'auto' and 'disabled' are accepted");
    return true;
}

static bool wants(const struct json *include, const char *what)
{
    for (size_t i = 0; json_is(include, JSON_ARRAY) && i < json_len(include); i++)
        if (json_str_is(json_at(include, i), what)) return true;
    return false;
}

/* Members of the response that repeat the request, all there, null where void. */
static struct json *echo_of(const struct json *body, bool store)
{
    static const struct { const char *key, *otherwise; } member[] = {
        { "instructions", "null" }, { "parallel_tool_calls", "true" }, { "previous_response_id", "null" },
        { "reasoning", "{\"effort\":null,\"summary\":null}" }, { "temperature", "0" }, { "text", "{\"format\":{\"type\":\"text\"}}" },
        { "tool_choice", "\"auto\"" }, { "tools", "[]" }, { "top_p", "1" }, { "truncation", "\"disabled\"" }, { "user", "null" },
        { "metadata", "{}" }, { "max_output_tokens", "null" }, { "max_tool_calls", "null" }, { "top_logprobs", "0" }, { "prompt_cache_key", "null" },
        { "safety_identifier", "null" },
    };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(member); i++) {
        const struct json *v = there(body, member[i].key);
        json_set(o, member[i].key,
                 v ? json_copy(v)
                   : json_parse(member[i].otherwise, strlen(member[i].otherwise), NULL));
    }
    const struct json *format = there(json_get(o, "text"), "format");
    if (!format) json_set(o, "text", json_parse("{\"format\":{\"type\":\"text\"}}", 26, NULL));
    json_set(o, "store", json_new_bool(store));
    json_set(o, "background", json_new_bool(false));
    json_set(o, "service_tier", json_new_str("default"));
    return o;
}

static const char *const members[] = { "model",
                                       "input",
                                       "instructions",
                                       "max_output_tokens",
                                       "tools",
                                       "tool_choice",
                                       "text",
                                       "reasoning",
                                       "stream",
                                       "stream_options",
                                       "store",
                                       "previous_response_id",
                                       "conversation",
                                       "background",
                                       "prompt",
                                       "truncation",
                                       "include",
                                       "max_tool_calls",
                                       "temperature",
                                       "top_p",
                                       "top_logprobs",
                                       "parallel_tool_calls",
                                       "metadata",
                                       "user",
                                       "prompt_cache_key",
                                       "safety_identifier",
                                       "service_tier",
                                       "seed",
                                       "top_k",
                                       "min_p",
                                       "prompt_cache_retention",
                                       "frequency_penalty",
                                       "presence_penalty",
                                       "chat_template_kwargs",
                                       NULL };
static const char *const same[] = { "temperature",
                                    "top_p",
                                    "top_k",
                                    "min_p",
                                    "seed",
                                    "parallel_tool_calls",
                                    "frequency_penalty",
                                    "presence_penalty",
                                    "chat_template_kwargs" };

/* The chat body without its messages; NULL: answered. */
static struct json *translate(struct exchange *x, struct json *body, struct answer *a)
{
    struct json *chat = json_new_object();
    const struct json *text = there(body, "text");
    int64_t max = 0;
    if (there(body, "max_output_tokens")) {
        struct json *copy = json_copy(body);
        bool ok = take_int(x, copy, "max_output_tokens", 1, INT32_MAX, &max);
        json_free(copy);
        if (!ok) goto fail;
        json_set(chat, "max_completion_tokens", json_new_int(max));
    }
    if (there(body, "tools") && !read_tools(x, json_get(body, "tools"), chat, &a->code)) goto fail;
    if (there(body, "tool_choice") && !read_choice(x, json_get(body, "tool_choice"), chat))
        goto fail;
    if (text && !read_format(x, text, chat)) goto fail;
    for (size_t i = 0; i < LEN(same); i++)
        if (there(body, same[i])) json_set(chat, same[i], json_copy(json_get(body, same[i])));
    return chat;
fail:
    json_free(chat);
    return NULL;
}

static size_t bytes_of(const struct json *v)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    size_t n = s.len;
    str_done(&s);
    return n;
}

static bool begins_turn(const struct json *m) { return json_str_is(json_get(m, "role"), "user"); }

/* Drops the oldest turns, some `share` of all bytes, but never the last: from the first message that is not the system's up to
 * one of the user's, so that a call keeps its result. False: there is none to drop. */
static bool drop_oldest(struct json **messages, double share)
{
    const struct json *m = *messages;
    size_t n = json_len(m), from = 0, to, gone = 0, least = (size_t)(share * (double)bytes_of(m));
    while (from < n && json_str_is(json_get(json_at(m, from), "role"), "system")) from++;
    to = from;
    for (size_t i = from + 1; i < n && (to == from || gone < least); i++) {
        gone += bytes_of(json_at(m, i - 1));
        if (begins_turn(json_at(m, i))) to = i;
    }
    if (to == from) return false;
    struct json *out = json_new_array();
    for (size_t i = 0; i < n; i++)
        if (i < from || i >= to) json_push(out, json_copy(json_at(m, i)));
    json_free(*messages);
    *messages = out;
    return true;
}

/* The request with its messages; with truncation "auto" the oldest turns go until it fits. Takes messages. */
static bool make_request(struct exchange *x, struct json *chat, struct json *messages,
                         bool truncate, struct request *r)
{
    while (true) {
        int n = 0;
        json_set(chat, "messages", json_copy(messages));
        if (!chat_request(x, json_copy(chat), r)) break;
        if (!truncate) return json_free(messages), true;
        if (!prompt_count(x, r, &n)) {
            request_done(r);
            break;
        }
        int room = MAX(engine_n_ctx(x->sv->engine) - MAX(r->max_tokens, 16), 1);
        if (n < room || !drop_oldest(&messages, 0.9 * (n - room) / n))
            return json_free(messages), true;
        request_done(r);
    }
    json_free(messages);
    return false;
}

/* Tools that run here, if there are any: their loop, with all that the request says. False: answered. */
static bool read_served(struct exchange *x, const struct json *body, const struct json *chat,
                      const struct json *messages, struct json *approved, struct json *files, struct answer *a)
{
    const struct json *tools = there(body, "tools"), *choice = there(body, "tool_choice");
    struct served_spec s = { 0 };
    int64_t most = 0;
    size_t n = 0;
    for (size_t i = 0; i < json_len(tools); i++) n += served_runs(x->sv, json_at(tools, i));
    if (!n && json_len(approved))
        return bad(x, "invalid_value", "tools", "what was approved is a call of an MCP tool: its server must be among them");
    if (!n) return true;
    if (choice && !json_str_is(choice, "auto"))
        return bad(x, "invalid_value", "tool_choice", "'auto' is accepted where tools run here");
    if (a->logprobs)
        return bad(x, "unsupported_parameter", "top_logprobs", "not told where tools run here");
    s.servers = json_new_array();
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *t = json_at(tools, i);
        bool ours = served_runs(x->sv, t), code = json_str_is(json_get(t, "type"), "code_interpreter");
        s.code |= ours && code;
        if (ours && !code) json_push(s.servers, json_copy(t));
    }
    json_i64(there(body, "max_tool_calls"), &most);
    s.max_calls = (int)MIN(MAX(most, 0), (int64_t)10000);
    s.functions = json_copy(json_get(chat, "tools"));
    s.messages = json_copy(messages);
    s.approved = json_copy(approved);
    s.files = json_copy(files);
    s.images = wants(there(body, "include"), "code_interpreter_call.outputs");
    s.chat = json_copy(chat);
    json_unset(s.chat, "tools");
    json_unset(s.chat, "messages");
    json_unset(s.chat, "tool_choice");
    a->served = served_new(&s);
    return true;
}

/* Does an interpreter of ours run in this request? */
static bool runs_code(const struct exchange *x, const struct json *body)
{
    const struct json *tools = there(body, "tools");
    for (size_t i = 0; json_is(tools, JSON_ARRAY) && i < json_len(tools); i++)
        if (json_str_is(json_get(json_at(tools, i), "type"), "code_interpreter") && served_runs(x->sv, json_at(tools, i))) return true;
    return false;
}

/* Everything up to the job. body is taken. */
static bool read_all(struct exchange *x, struct json *body, struct request *r, struct answer *a,
                     bool *stream)
{
    struct json *chat = NULL, *messages, *approved = json_new_array(), *files = runs_code(x, body) ? json_new_array() : NULL;
    bool store = false, ok = false;
    int64_t top = 0;
    *stream = false;
    if (!known_members(x, body, members) || !models_resolve(x, body) || !refuse(x, body)) goto out;
    if (!take_bool(x, body, "stream", stream) || !take_bool(x, body, "store", &store)) goto out;
    if (there(body, "instructions") && !json_str(json_get(body, "instructions"), NULL)) {
        bad(x, "invalid_type", "instructions", "must be a string");
        goto out;
    }
    if (!(a->items = read_items(x, body)) || !(chat = translate(x, body, a))) goto out;
    if (!(messages = messages_of(x, there(body, "instructions"), a->items, approved, files))) goto out;
    a->store = store && x->sv->store;
    if (store && !a->store) reply_header(x, "x-ignored", "store");
    a->logprobs = wants(there(body, "include"), "message.output_text.logprobs");
    a->sealed = wants(there(body, "include"), "reasoning.encrypted_content");
    if (there(body, "top_logprobs")) {
        struct json *copy = json_copy(body);
        ok = take_int(x, copy, "top_logprobs", 0, TOP_MOST, &top);
        json_free(copy);
        if (!ok) {
            json_free(messages);
            goto out;
        }
        a->logprobs |= top > 0;
    }
    a->echo = echo_of(body, a->store);
    if (!read_served(x, body, chat, messages, approved, files, a)) {
        json_free(messages);
        ok = false;
        goto out;
    }
    ok = make_request(x, chat, messages, json_str_is(there(body, "truncation"), "auto"), r);
    if (ok) r->want_tokens = a->logprobs;
    if (ok) r->top = (int)top;
out:
    json_free(approved);
    json_free(files);
    json_free(chat);
    json_free(body);
    return ok;
}

/* ---- handlers -------------------------------------------------------------------------------------------------- */

static struct served *take_served(struct answer *a)
{
    struct served *l = a->served;
    a->served = NULL;
    return l;
}

void responses_run(struct exchange *x)
{
    struct json *body = api_body(x);
    struct request r;
    bool stream;
    if (!body) return;
    struct answer *a = answer_new();
    if (!read_all(x, body, &r, a, &stream)) {
        answer_done(a);
        return;
    }
    job_start(x, &(struct job_spec){ .teller = &responses_teller,
                                     .state = a,
                                     .request = &r,
                                     .n = 1,
                                     .stream = stream,
                                     .served = take_served(a),
                                     .id_prefix = "resp_" });
}

void responses_count(struct exchange *x)
{
    struct json *body = api_body(x);
    struct request r;
    bool stream;
    int n;
    if (!body) return;
    struct answer *a = answer_new();
    if (read_all(x, body, &r, a, &stream)) {
        if (prompt_count(x, &r, &n)) {
            struct json *o = json_new_object();
            json_set(o, "object", json_new_str("response.input_tokens"));
            json_set(o, "input_tokens", json_new_int(n));
            reply_json(x, 200, o);
        }
        request_done(&r);
    }
    answer_done(a);
}

/* The stored response that the path names: id, and what stands behind it. False: answered. */
static bool find(struct exchange *x, char id[80], const char **rest, struct json **response,
                 struct json **input)
{
    size_t n = strcspn(x->tail, "/");
    struct err e = { 0 };
    *response = *input = NULL;
    *rest = x->tail[n] ? x->tail + n + 1 : "";
    snprintf(id, 80, "%.*s", (int)MIN(n, 79u), x->tail);
    bool ok = !x->sv->store || keep_get(x->sv->store, id, response, input, &e);
    if (!ok) reply_err(x, &e);
    else if (!*response)
        reply_error(x, 404, "response_not_found", NULL, "Response with id '%s' not found.", id);
    return ok && *response;
}

void responses_get(struct exchange *x)
{
    struct json *response, *input;
    char id[80];
    const char *rest;
    if (!find(x, id, &rest, &response, &input)) return;
    if (!*rest) {
        reply_json(x, 200, response);
        response = NULL;
    } else if (!strcmp(rest, "input_items")) {
        struct json *o = json_new_object();
        json_set(o, "object", json_new_str("list"));
        json_set(o, "data", input);
        json_set(o, "first_id", json_new_null());
        json_set(o, "last_id", json_new_null());
        json_set(o, "has_more", json_new_bool(false));
        reply_json(x, 200, o);
        input = NULL;
    } else reply_error(x, 404, "route_not_found", NULL, "there is nothing at %.200s", x->path);
    json_free(response);
    json_free(input);
}

void responses_delete(struct exchange *x)
{
    struct err e = { 0 };
    bool was_there = false;
    if (x->sv->store && !keep_delete(x->sv->store, x->tail, &was_there, &e)) reply_err(x, &e);
    else if (!was_there)
        reply_error(x, 404, "response_not_found", NULL, "Response with id '%.80s' not found.",
                    x->tail);
    else {
        struct json *o = json_new_object();
        json_set(o, "id", json_new_str(x->tail));
        json_set(o, "object", json_new_str("response.deleted"));
        json_set(o, "deleted", json_new_bool(true));
        reply_json(x, 200, o);
    }
}

/* POST …/cancel: what is stored is finished already; the answer is the response as it is. */
void responses_post(struct exchange *x)
{
    struct json *response, *input;
    char id[80];
    const char *rest;
    if (!find(x, id, &rest, &response, &input)) return;
    if (strcmp(rest, "cancel"))
        reply_error(x, 404, "route_not_found", NULL, "there is nothing at %.200s", x->path);
    else {
        reply_json(x, 200, response);
        response = NULL;
    }
    json_free(response);
    json_free(input);
}
