/* responses_tell.c -- events become the items of a response, and the numbered events of its stream.
 *
 * Items are put down as they are finished, streamed or not: the last event and the whole answer hold the
 * same list. Every event carries its number; events of items say which item and where. */
#include "serve/metrics.h"
#include "serve/responses.h"
#include "serve/keep.h"
#include "serve/served.h"

struct answer *answer_new(void)
{
    struct answer *a = mem_zero(sizeof *a);
    a->output = json_new_array();
    return a;
}

void answer_done(void *answer)
{
    struct answer *a = answer;
    if (!a) return;
    json_free(a->echo);
    json_free(a->items);
    json_free(a->output);
    json_free(a->logprob);
    served_free(a->served);
    str_done(&a->text);
    str_done(&a->name);
    mem_free(a);
}

/* ---- the response object ------------------------------------------------------------------------------- */

static struct json *usage_of(const struct usage *u)
{
    struct json *o = json_new_object(), *in = json_new_object(), *out = json_new_object();
    json_set(o, "input_tokens", json_new_int(u->prompt_tokens));
    json_set(in, "cached_tokens", json_new_int(u->cached_tokens));
    json_set(in, "cache_write_tokens", json_new_int(u->written_tokens));
    json_set(o, "input_tokens_details", in);
    json_set(o, "output_tokens", json_new_int(u->completion_tokens));
    json_set(out, "reasoning_tokens", json_new_int(u->reasoning_tokens));
    json_set(o, "output_tokens_details", out);
    json_set(o, "total_tokens", json_new_int(u->prompt_tokens + u->completion_tokens));
    return o;
}

static struct json *response(const struct job *j, const char *status)
{
    const struct answer *a = j->state;
    bool over = strcmp(status, "in_progress") != 0, cut = !strcmp(status, "incomplete");
    struct json *o = json_new_object(), *why = NULL;
    json_set(o, "id", json_new_str(j->id));
    json_set(o, "object", json_new_str("response"));
    json_set(o, "created_at", json_new_int(j->created));
    json_set(o, "completed_at", over ? json_new_int(unix_time()) : json_new_null());
    json_set(o, "status", json_new_str(status));
    json_set(o, "error", json_new_null());
    if (cut) {
        why = json_new_object();
        json_set(why, "reason", json_new_str("max_output_tokens"));
    }
    json_set(o, "incomplete_details", why ? why : json_new_null());
    json_set(o, "model", json_new_str(j->model));
    json_set(o, "output", over ? json_copy(a->output) : json_new_array());
    for (struct json_iter it = json_iter(a->echo); json_next(&it);)
        json_set(o, it.key, json_copy(it.value));
    json_set(o, "usage", over ? usage_of(&j->usage) : json_new_null());
    return o;
}

/* ---- events -------------------------------------------------------------------------------------------- */

static void tell(struct job *j, const char *type, struct json *rest, struct str *out)
{
    struct answer *a = j->state;
    if (!out) {
        json_free(rest);
        return;
    }
    struct json *o = json_new_object();
    json_set(o, "type", json_new_str(type));
    json_set(o, "sequence_number", json_new_int(a->sequence++));
    for (struct json_iter it = json_iter(rest); json_next(&it);)
        json_set(o, it.key, json_copy(it.value));
    json_free(rest);
    sse(out, type, o);
}

static struct json *at_item(const struct answer *a, bool with_content)
{
    struct json *o = json_new_object();
    json_set(o, "item_id", json_new_str(a->item_id));
    json_set(o, "output_index", json_new_int((int64_t)json_len(a->output)));
    if (with_content) json_set(o, "content_index", json_new_int(0));
    return o;
}

static void send_whole(struct job *j, const char *type, struct json *r, struct str *out)
{
    struct json *o = json_new_object();
    json_set(o, "response", r);
    tell(j, type, o, out);
}

static void send_item(struct job *j, const char *type, struct json *item, struct str *out)
{
    const struct answer *a = j->state;
    struct json *o = json_new_object();
    json_set(o, "output_index", json_new_int((int64_t)json_len(a->output)));
    json_set(o, "item", item);
    tell(j, type, o, out);
}

/* ---- items ------------------------------------------------------------------------------------------------ */

static struct json *text_part(const struct answer *a)
{
    struct json *p = json_new_object();
    json_set(p, "type", json_new_str("output_text"));
    json_set(p, "text", json_new_strn(a->text.p ? a->text.p : "", a->text.len));
    json_set(p, "annotations", json_new_array());
    json_set(p, "logprobs",
             a->logprob && a->open == ITEM_MESSAGE ? json_copy(a->logprob) : json_new_array());
    return p;
}

static struct json *one(struct json *v)
{
    struct json *list = json_new_array();
    if (v) json_push(list, v);
    return list;
}

/* reasoning.encrypted_content: what a client that keeps no state sends back. Opaque to it; there is no secret in it, for it
 * is text that we wrote to this client. */
static struct json *sealed(const struct answer *a)
{
    struct str s = { 0 };
    base64_put(&s, a->text.p, a->text.len);
    struct json *v = json_new_strn(s.p ? s.p : "", s.len);
    str_done(&s);
    return v;
}

/* The open item as it stands. */
static struct json *item(const struct answer *a, const char *status, bool empty)
{
    struct json *o = json_new_object();
    const char *p = a->text.p ? a->text.p : "";
    json_set(o, "id", json_new_str(a->item_id));
    switch (a->open) {
    case ITEM_REASONING: {
        struct json *t = json_new_object();
        json_set(o, "type", json_new_str("reasoning"));
        json_set(o, "summary", json_new_array());
        json_set(t, "type", json_new_str("reasoning_text"));
        json_set(t, "text", json_new_strn(p, a->text.len));
        json_set(o, "content", empty ? (json_free(t), json_new_array()) : one(t));
        json_set(o, "encrypted_content", a->sealed && !empty ? sealed(a) : json_new_null());
        break;
    }
    case ITEM_MESSAGE:
        json_set(o, "type", json_new_str("message"));
        json_set(o, "role", json_new_str("assistant"));
        json_set(o, "content", one(empty ? NULL : text_part(a)));
        break;
    case ITEM_CALL:
        json_set(o, "type", json_new_str("function_call"));
        json_set(o, "call_id", json_new_str(a->call_id));
        json_set(o, "name", json_new_str(a->name.p));
        json_set(o, "arguments", json_new_strn(p, empty ? 0 : a->text.len));
        break;
    case ITEM_CODE:
        json_set(o, "type", json_new_str("code_interpreter_call"));
        json_set(o, "code", json_new_strn(p, empty ? 0 : a->text.len));
        json_set(o, "container_id", json_new_str(""));
        json_set(o, "outputs", json_new_null());
        break;
    case ITEM_NONE: break;
    }
    json_set(o, "status", json_new_str(status));
    return o;
}

static struct json *with_text(struct json *o, const char *key, const struct answer *a)
{
    json_set(o, key, json_new_strn(a->text.p ? a->text.p : "", a->text.len));
    return o;
}

static void send_text_done(struct job *j, struct str *out)
{
    const struct answer *a = j->state;
    struct json *o = with_text(at_item(a, true), "text", a);
    json_set(o, "logprobs", a->logprob ? json_copy(a->logprob) : json_new_array());
    tell(j, "response.output_text.done", o, out);
    o = at_item(a, true);
    json_set(o, "part", text_part(a));
    tell(j, "response.content_part.done", o, out);
}

static void close_item(struct job *j, const char *status, struct str *out)
{
    struct answer *a = j->state;
    struct json *o;
    if (a->open == ITEM_NONE) return;
    if (a->open == ITEM_MESSAGE) send_text_done(j, out);
    if (a->open == ITEM_REASONING)
        tell(j, "response.reasoning_text.done", with_text(at_item(a, true), "text", a), out);
    if (a->open == ITEM_CALL) {
        o = with_text(at_item(a, false), "arguments", a);
        json_set(o, "name", json_new_str(a->name.p));
        tell(j, "response.function_call_arguments.done", o, out);
    }
    if (a->open == ITEM_CODE) {
        tell(j, "response.code_interpreter_call_code.done", with_text(at_item(a, false), "code", a),
             out);
        tell(j, "response.code_interpreter_call.completed", at_item(a, false), out);
    }
    struct json *whole = item(a, status, false);
    send_item(j, "response.output_item.done", json_copy(whole), out);
    json_push(a->output, whole);
    a->open = ITEM_NONE;
    str_clear(&a->text);
    json_free(a->logprob);
    a->logprob = NULL;
}

static void open_item(struct job *j, enum item kind, const char *prefix, struct str *out)
{
    struct answer *a = j->state;
    struct json *early =
        a->open == ITEM_NONE ? a->logprob : NULL; /* tokens come before the text they make */
    a->logprob = a->open == ITEM_NONE ? NULL : a->logprob;
    close_item(j, "completed", out);
    a->logprob = early;
    a->open = kind;
    id_make(a->item_id, prefix);
    send_item(j, "response.output_item.added", item(a, "in_progress", true), out);
    if (kind == ITEM_CODE)
        tell(j, "response.code_interpreter_call.in_progress", at_item(a, false), out);
    if (kind != ITEM_MESSAGE) return;
    struct json *o = at_item(a, true), *part = json_new_object();
    json_set(part, "type", json_new_str("output_text"));
    json_set(part, "text", json_new_str(""));
    json_set(part, "annotations", json_new_array());
    json_set(part, "logprobs", json_new_array());
    json_set(o, "part", part);
    tell(j, "response.content_part.added", o, out);
}

static void grow(struct job *j, const struct event *ev, const char *type, bool content,
                 struct json *logprobs, struct str *out)
{
    struct answer *a = j->state;
    str_put(&a->text, ev->bytes.p, ev->bytes.len);
    struct json *o = at_item(a, content);
    json_set(o, "delta", json_new_strn(ev->bytes.p, ev->bytes.len));
    if (logprobs) json_set(o, "logprobs", logprobs);
    tell(j, type, o, out);
}

static void begin_call(struct job *j, const struct event *ev, struct str *out)
{
    struct answer *a = j->state;
    close_item(j, "completed", out);
    str_clear(&a->name);
    str_puts(&a->name, ev->name);
    snprintf(a->call_id, sizeof a->call_id, "%s", ev->id);
    bool code = a->code && !strcmp(ev->name, "python");
    open_item(j, code ? ITEM_CODE : ITEM_CALL, code ? "ci_" : "fc_", out);
}

/* ---- items that come whole: what ran here ---------------------------------------------------------------- */

static void tell_at(struct job *j, const char *prefix, const char *what, const char *key, const struct json *value,
                    const struct json *name, struct str *out)
{
    struct str type = { 0 };
    struct json *o = at_item(j->state, false);
    if (key) json_set(o, key, value ? json_copy(value) : json_new_str(""));
    if (name) json_set(o, "name", json_copy(name));
    str_fmt(&type, "response.%s.%s", prefix, what);
    tell(j, type.p, o, out);
    str_done(&type);
}

static void tell_stages(struct job *j, const struct json *whole, struct str *out)
{
    const char *type = json_str(json_get(whole, "type"), NULL);
    if (!strcmp(type, "mcp_approval_request")) return;                /* it is there, and has no stages */
    bool code = !strcmp(type, "code_interpreter_call"), function = !strcmp(type, "function_call"), call = !strcmp(type, "mcp_call");
    const char *grows = code ? "code_interpreter_call_code" : function ? "function_call_arguments" : "mcp_call_arguments", *key = code ? "code" : "arguments";
    if (!function) tell_at(j, type, "in_progress", NULL, NULL, NULL, out);
    if (code || function || call) {
        tell_at(j, grows, "delta", "delta", json_get(whole, key), NULL, out);
        tell_at(j, grows, "done", key, json_get(whole, key), function ? json_get(whole, "name") : NULL, out);
    }
    if (code) tell_at(j, type, "interpreting", NULL, NULL, NULL, out);
    if (!function) tell_at(j, type, call && json_str_is(json_get(whole, "status"), "failed") ? "failed" : "completed", NULL, NULL, NULL, out);
}

static void put_item(struct job *j, const struct event *ev, struct str *out)
{
    static const char *const later[] = { "output", "outputs", "error" };
    struct answer *a = j->state;
    struct json *whole = json_parse(ev->bytes.p, ev->bytes.len, NULL), *begun;
    close_item(j, "completed", out);
    snprintf(a->item_id, sizeof a->item_id, "%s", json_str(json_get(whole, "id"), NULL));
    begun = json_copy(whole);
    for (size_t i = 0; i < LEN(later); i++)
        if (json_get(begun, later[i])) json_set(begun, later[i], json_new_null());
    if (json_get(begun, "status")) json_set(begun, "status", json_new_str("in_progress"));
    send_item(j, "response.output_item.added", begun, out);
    tell_stages(j, whole, out);
    send_item(j, "response.output_item.done", json_copy(whole), out);
    json_push(a->output, whole);
}

static void grow_text(struct job *j, struct choice *c, const struct event *ev, struct str *out)
{
    const struct answer *a = j->state;
    if (a->open != ITEM_MESSAGE) open_item(j, ITEM_MESSAGE, "msg_", out);
    grow(j, ev, "response.output_text.delta", true, c->pending ? c->pending : json_new_array(),
         out);
    c->pending = NULL;
}

static void note_token(struct job *j, struct choice *c, const struct event *ev)
{
    struct answer *a = j->state;
    if (!a->logprobs) return;
    if (!a->logprob) a->logprob = json_new_array();
    if (!c->pending) c->pending = json_new_array();
    json_push(a->logprob, token_logprob(j->sv, ev));
    json_push(c->pending, token_logprob(j->sv, ev));
}

static void on_event(struct job *j, struct choice *c, const struct event *ev, struct str *out)
{
    struct answer *a = j->state;
    switch (ev->kind) {
    case EV_TOKEN: note_token(j, c, ev); break;
    case EV_TEXT: grow_text(j, c, ev, out); break;
    case EV_REASONING:
        if (a->open != ITEM_REASONING) open_item(j, ITEM_REASONING, "rs_", out);
        grow(j, ev, "response.reasoning_text.delta", true, NULL, out);
        break;
    case EV_CALL_BEGIN: begin_call(j, ev, out); break;
    case EV_CALL_ARGS:
        grow(j, ev,
             a->open == ITEM_CODE ? "response.code_interpreter_call_code.delta"
                                  : "response.function_call_arguments.delta",
             false, NULL, out);
        break;
    case EV_CALL_END: close_item(j, "completed", out); break;
    case EV_ITEM: put_item(j, ev, out); break;
    case EV_FINISH:
        close_item(j, ev->reason == FINISH_LENGTH ? "incomplete" : "completed", out);
        metrics_calls(j->sv->metrics, &c->message, c->request.choice);
        break;
    case EV_START: case EV_PROGRESS: case EV_ERROR: break;
    }
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

static const char *status_of(const struct job *j)
{
    return j->choice[0].message.reason == FINISH_LENGTH ? "incomplete" : "completed";
}

/* The response as it is told last, stored if that was asked for; a store that fails is said in it. */
static struct json *last(struct job *j)
{
    struct answer *a = j->state;
    struct err e = { 0 };
    struct json *r = response(j, status_of(j));
    if (!a->store || keep_put(j->sv->store, j->id, r, a->items, &e)) return r;
    log_line(LOG_ERROR, "not_stored id=%s why=\"%s\"", j->id, e.msg);
    metrics_error(j->sv->metrics, "store_failed");
    json_set(r, "store", json_new_bool(false));
    return r;
}

static void on_begin(struct job *j, struct str *out)
{
    send_whole(j, "response.created", response(j, "in_progress"), out);
    send_whole(j, "response.in_progress", response(j, "in_progress"), out);
}

static void on_end(struct job *j, struct str *out)
{
    struct str type = { 0 };
    str_fmt(&type, "response.%s", status_of(j));
    send_whole(j, type.p, last(j), out);
    str_done(&type);
    str_puts(out, "data: [DONE]\n\n");
}

static void on_fail(struct job *j, const struct fault *f, struct str *out)
{
    struct json *r = response(j, "failed"), *error = json_new_object();
    json_set(error, "code", json_new_str(f->code));
    json_set(error, "message", json_new_str(f->message));
    json_set(r, "error", error);
    send_whole(j, "response.failed", r, out);
    str_puts(out, "data: [DONE]\n\n");
}

const struct teller responses_teller = { on_begin, on_event, on_end,     on_fail,
                                         last,     NULL,     answer_done };
