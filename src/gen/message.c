/* message.c -- the fold of events into an OpenAI message, one event as a chunk delta, and the line
 * people read.
 *
 * The only two places where an answer takes its OpenAI shape; whoever sends or prints answers uses
 * them, so that the whole answer is always the sum of the streamed one. `arguments` is a string of
 * compact JSON; `tool_calls` is absent when there are none; `content` is null when there is no
 * text. Extensions appear only when they say something: schema_ok false, incomplete true. Ids of
 * answers, model name, usage and framing are the server's. */
#include "gen/gen.h"

#include <ctype.h>

void message_done(struct message *m)
{
    for (int i = 0; i < m->n_call; i++) {
        mem_free(m->call[i].id);
        mem_free(m->call[i].name);
        str_done(&m->call[i].args);
    }
    mem_free(m->call);
    str_done(&m->text);
    str_done(&m->reasoning);
    *m = (struct message){ 0 };
}

static struct message_call *call_at(struct message *m, int index)
{
    return index >= 0 && index < m->n_call ? &m->call[index] : NULL;
}

bool message_event(void *message, const struct event *ev)
{
    struct message *m = message;
    struct message_call *c = call_at(m, ev->index);
    switch (ev->kind) {
    case EV_REASONING: str_put(&m->reasoning, ev->bytes.p, ev->bytes.len); break;
    case EV_TEXT:      str_put(&m->text, ev->bytes.p, ev->bytes.len); break;
    case EV_CALL_BEGIN:
        MEM_GROW(m->call, m->n_call, m->cap_call);
        m->call[m->n_call++] = (struct message_call){.id = mem_str(ev->id),
                                                     .name = mem_str(ev->name),
                                                     .schema_ok = true,
                                                     .incomplete = true};
        break;
    case EV_CALL_ARGS: if (c) str_put(&c->args, ev->bytes.p, ev->bytes.len); break;
    case EV_CALL_END:
        if (c) c->incomplete = false, c->schema_ok = ev->schema_ok, c->confidence = ev->confidence;
        break;
    case EV_FINISH:
        m->reason = ev->reason;
        m->usage = ev->usage;
        m->timing = ev->timing;
        break;
    case EV_TOKEN: case EV_ERROR: case EV_START: case EV_PROGRESS: case EV_ITEM: break;
    }
    return true;
}

static struct json *call_json(const char *id, const char *name, const char *args, size_t len)
{
    struct json *c = json_new_object(), *f = json_new_object();
    json_set(c, "id", json_new_str(id));
    json_set(c, "type", json_new_str("function"));
    json_set(f, "name", json_new_str(name));
    json_set(f, "arguments", json_new_strn(args, len));
    json_set(c, "function", f);
    return c;
}

struct json *message_json(const struct message *m)
{
    struct json *o = json_new_object(), *calls = json_new_array();
    json_set(o, "role", json_new_str("assistant"));
    json_set(o, "content", m->text.len ? json_new_strn(m->text.p, m->text.len) : json_new_null());
    if (m->reasoning.len)
        json_set(o, "reasoning_content", json_new_strn(m->reasoning.p, m->reasoning.len));
    for (int i = 0; i < m->n_call; i++) {
        const struct message_call *c = &m->call[i];
        struct json *j = call_json(c->id, c->name, c->args.p ? c->args.p : "", c->args.len);
        if (!c->schema_ok) json_set(j, "schema_ok", json_new_bool(false));
        if (c->incomplete) json_set(j, "incomplete", json_new_bool(true));
        else if (m->tell_confidence) json_set(j, "confidence", json_new_f64(c->confidence));
        json_push(calls, j);
    }
    if (m->n_call) json_set(o, "tool_calls", calls);
    else json_free(calls);
    return o;
}

/* {"tool_calls":[{"index":i, ...}]} around what this chunk says of the call. */
static struct json *call_delta(int index, struct json *call)
{
    struct json *o = json_new_object(), *list = json_new_array(), *c = json_new_object();
    json_set(c, "index", json_new_int(index));
    for (struct json_iter it = json_iter(call); json_next(&it);)
        json_set(c, it.key, json_copy(it.value));
    json_free(call);
    json_push(list, c);
    json_set(o, "tool_calls", list);
    return o;
}

static struct json *args_delta(const struct event *ev)
{
    struct json *c = json_new_object(), *f = json_new_object();
    json_set(f, "arguments", json_new_strn(ev->bytes.p, ev->bytes.len));
    json_set(c, "function", f);
    return call_delta(ev->index, c);
}

struct json *event_delta(const struct event *ev)
{
    struct json *o;
    switch (ev->kind) {
    case EV_REASONING: case EV_TEXT:
        o = json_new_object();
        json_set(o, ev->kind == EV_TEXT ? "content" : "reasoning_content",
                 json_new_strn(ev->bytes.p, ev->bytes.len));
        return o;
    case EV_CALL_BEGIN: return call_delta(ev->index, call_json(ev->id, ev->name, "", 0));
    case EV_CALL_ARGS:  return args_delta(ev);
    case EV_CALL_END:
        if (ev->schema_ok) return NULL;
        o = json_new_object();
        json_set(o, "schema_ok", json_new_bool(false));
        return call_delta(ev->index, o);
    case EV_FINISH: return json_new_object();
    case EV_TOKEN: case EV_ERROR: case EV_START: case EV_PROGRESS: case EV_ITEM: break;
    }
    return NULL;
}

static bool is_word(const char *s)
{
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    while (*s && (isalnum((unsigned char)*s) || *s == '_')) s++;
    return !*s;
}

static void print_call(const struct message_call *c, struct str *out)
{
    struct json *args = json_parse(c->args.p ? c->args.p : "", c->args.len, NULL);
    str_fmt(out, "%s(", c->name);
    if (!json_is(args, JSON_OBJECT)) str_put(out, c->args.p, c->args.len);
    else for (struct json_iter it = json_iter(args); json_next(&it);) {
        if (it.index) str_puts(out, ", ");
        if (is_word(it.key)) str_puts(out, it.key);
        else json_write_str(out, it.key, it.key_len);
        str_putc(out, '=');
        json_write(out, it.value, JSON_COMPACT);
    }
    str_puts(out, !c->schema_ok ? ")  # does not fit its schema\n" : c->incomplete ? "…\n" : ")\n");
    json_free(args);
}

void message_print(const struct message *m, struct str *out)
{
    if (m->text.len) {
        str_put(out, m->text.p, m->text.len);
        if (m->text.p[m->text.len - 1] != '\n') str_putc(out, '\n');
    }
    for (int i = 0; i < m->n_call; i++) print_call(&m->call[i], out);
}
