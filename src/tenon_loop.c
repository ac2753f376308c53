/* tenon_loop.c -- the public loop: an engine, tools, a conversation. Nothing is decided here; agent/ does. */
#include "tenon.h"

#include <stdlib.h>

#include "tenon_int.h"
#include "voice.h"

struct tn_call { struct tool_reply *reply; };
struct tn_function { tn_tool_fn *fn; void *user; struct tn_function *next; };
struct tn_loop {
    struct tn_engine *engine;                                         /* lent */
    struct agent_model voice;                                         /* the engine, without waiting for a turn */
    tn_ask_fn *ask; void *ask_user;
    struct agent_model model;
    struct toolset *tools;
    struct agent *loop;                                                /* from the first message on */
    struct json *options;
    struct cancel cancel;
    struct tn_function *functions;
    tn_event_fn *fn; void *ctx;                                       /* of the message being answered */
    struct json *calls;
    bool stopped;
};

/* ---- the engine, when it is this loop's turn ---- */

static bool speak(void *ctx, struct json *body, event_fn *fn, void *fn_ctx, struct err *e)
{
    struct tn_loop *l = ctx;
    enum engine_turn turn = tn_engine_take(l->engine, &l->cancel, e);
    if (turn != TURN_MINE) json_free(body);
    if (turn == TURN_CANCELLED) return fn(fn_ctx, &(struct event){ .kind = EV_FINISH, .reason = FINISH_CANCEL }), true;
    if (turn == TURN_REFUSED) return false;
    bool ok = l->voice.speak(l->voice.ctx, body, fn, fn_ctx, e);
    tn_engine_give(l->engine);
    return ok;
}

/* Both only render and tokenize, which any thread may. */
static int prompt_size(void *ctx, const struct json *body)
{
    const struct tn_loop *l = ctx;
    return l->voice.prompt_tokens(l->voice.ctx, body);
}

static int count(void *ctx, const char *text, size_t len)
{
    const struct tn_loop *l = ctx;
    return l->voice.count(l->voice.ctx, text, len);
}

/* ---- life ---- */

struct tn_loop *tn_loop_open(struct tn_engine *engine, const char *options, struct tn_error *err)
{
    struct err e = { 0 };
    struct tn_loop *l = mem_zero(sizeof *l);
    if (err) *err = (struct tn_error){ "", "" };
    l->engine = engine;
    l->tools = toolset_open(NULL);
    l->calls = json_new_array();
    l->cancel.fd = -1;
    l->options = options ? json_parse(options, strlen(options), &e) : json_new_object();
    if (l->options && !json_is(l->options, JSON_OBJECT)) err_set(&e, ERR_ARG, "options: must be an object");
    if (!e.code && cancel_init(&l->cancel, &e)) {
        l->voice = voice_of(tn_engine_speaker(engine), tn_engine_n_ctx(engine));
        l->model = (struct agent_model){ .speak = speak, .prompt_tokens = prompt_size, .count = count, .n_ctx = l->voice.n_ctx, .ctx = l };
        return l;
    }
    tn_report(err, &e);
    tn_loop_close(l);
    return NULL;
}

void tn_loop_close(struct tn_loop *l)
{
    if (!l) return;
    agent_close(l->loop);
    toolset_close(l->tools);
    for (struct tn_function *f = l->functions, *next; f; f = next) {
        next = f->next;
        mem_free(f);
    }
    json_free(l->options);
    json_free(l->calls);
    cancel_done(&l->cancel);
    mem_free(l);
}

void tn_loop_cancel(struct tn_loop *l) { cancel_fire(&l->cancel); }

/* ---- tools ---- */

static void call_function(void *user, const char *arguments, struct tool_reply *reply)
{
    struct tn_function *f = user;
    struct tn_call *c = mem_zero(sizeof *c);
    c->reply = reply;
    f->fn(f->user, arguments, c);
}

void tn_call_finish(struct tn_call *c, const char *text, bool is_error)
{
    tool_reply_send(c->reply, text ? text : "", text ? strlen(text) : 0, is_error);
    mem_free(c);
}

bool tn_tool_register(struct tn_loop *l, const char *definition, tn_tool_fn *fn, void *user, struct tn_error *err)
{
    struct err e = { 0 };
    struct json *d = json_parse(definition, strlen(definition), &e);
    struct tn_function *f = mem_zero(sizeof *f);
    if (err) *err = (struct tn_error){ "", "" };
    *f = (struct tn_function){ fn, user, l->functions };
    bool ok = d && toolset_function(l->tools, d, call_function, f, &e);
    if (ok) l->functions = f;
    else mem_free(f);
    json_free(d);
    return ok || tn_report(err, &e);
}

bool tn_loop_tools(struct tn_loop *l, const char *path, struct tn_error *err)
{
    struct err e = { 0 };
    if (err) *err = (struct tn_error){ "", "" };
    return toolset_read(l->tools, path, &e) || tn_report(err, &e);
}

bool tn_loop_builtin(struct tn_loop *l, const char *names, struct tn_error *err)
{
    struct err e = { 0 };
    if (err) *err = (struct tn_error){ "", "" };
    return toolset_builtin(l->tools, names, &e) || tn_report(err, &e);
}

/* ---- asking whether a call may run ---- */

void tn_loop_asks(struct tn_loop *l, tn_ask_fn *fn, void *user)
{
    l->ask = fn;
    l->ask_user = user;
}

static char *question_text(const struct question *q)
{
    struct json *o = json_new_object();
    struct str s = { 0 };
    json_set(o, "tool", json_new_str(q->tool->name));
    json_set(o, "source", json_new_str(q->tool->source));
    json_set(o, "arguments", json_copy(q->args));
    if (q->preview && *q->preview) json_set(o, "preview", json_new_str(q->preview));
    if (q->unsure >= 0) json_set(o, "confidence", json_new_f64((double)q->unsure));
    json_set(o, "changed", json_new_bool(q->tool->changed));
    if (q->tool->difference) json_set(o, "difference", json_new_str(q->tool->difference));
    json_write(&s, o, JSON_COMPACT);
    json_free(o);
    return str_take(&s);
}

static enum answer on_ask(void *ctx, const struct question *q, struct str *reason, struct json **args)
{
    static const enum answer answers[] = { [TN_NO] = ANSWER_NO, [TN_ONCE] = ANSWER_ONCE, [TN_ALWAYS] = ANSWER_TOOL, [TN_EXACT] = ANSWER_EXACT, [TN_QUIT] = ANSWER_QUIT };
    struct tn_loop *l = ctx;
    char why[TN_REASON] = "", *text = question_text(q);
    int a = l->ask(l->ask_user, text, why);
    mem_free(text);
    why[sizeof why - 1] = 0;
    if (utf8_valid(why, strlen(why))) str_puts(reason, why);
    return a >= 0 && a < (int)LEN(answers) ? answers[a] : ANSWER_NO;
}

/* ---- a message ---- */

static void put_result(struct tn_loop *l, const struct agent_event *ev)
{
    struct json *c = json_new_object();
    struct tn_event out = { .kind = TN_TOOL_RESULT, .bytes = ev->text.p, .len = ev->text.len, .index = ev->index, .id = ev->id, .name = ev->name,
                            .schema_ok = !ev->is_error };
    json_set(c, "id", json_new_str(ev->id));
    json_set(c, "name", json_new_str(ev->name));
    json_set(c, "arguments", json_new_strn(ev->args.p ? ev->args.p : "", ev->args.len));
    json_set(c, "result", json_new_strn(ev->text.p, ev->text.len));
    json_set(c, "is_error", json_new_bool(ev->is_error));
    json_set(c, "ran", json_new_bool(ev->ran));
    json_push(l->calls, c);
    if (l->fn && !l->fn(l->ctx, &out)) cancel_fire(&l->cancel);
}

static void on_event(void *ctx, const struct agent_event *ev)
{
    struct tn_loop *l = ctx;
    struct tn_event out = { 0 };
    struct str bytes = { 0 };
    if (ev->kind == AG_RESULT) put_result(l, ev);
    if (ev->kind != AG_MODEL || !l->fn || ev->ev->kind == EV_FINISH || !tn_event_of(ev->ev, &out)) return;
    str_put(&bytes, ev->ev->bytes.p ? ev->ev->bytes.p : "", ev->ev->bytes.len);
    out.bytes = bytes.p ? bytes.p : "";
    out.len = bytes.len;
    if (!l->fn(l->ctx, &out)) cancel_fire(&l->cancel);
    str_done(&bytes);
}

static bool start(struct tn_loop *l, struct err *e)
{
    static const char *const blankets[] = { "none", "read-only", "all" };
    const struct json *approve = json_get(l->options, "approve");
    struct agent_opts o = { .model = &l->model, .tools = l->tools, .cancel = &l->cancel, .ui = { .event = on_event, .ctx = l }, .request = json_get(l->options, "request") };
    int known = !approve;
    for (int i = 0; i < 3; i++)
        if (json_str_is(approve, blankets[i])) o.blanket = (enum blanket)i, known = 1;
    if (!known) return err_set(e, ERR_ARG, "options.approve: none, read-only and all are accepted");
    if (o.request && !json_is(o.request, JSON_OBJECT)) return err_set(e, ERR_ARG, "options.request: must be an object");
    if (!agent_limits_read(&o.limits, json_get(l->options, "limits"), e)) return err_in(e, "options");
    if (l->ask) o.ui.ask = on_ask;
    l->loop = agent_open(&o);
    if (json_is(json_get(l->options, "system"), JSON_STRING)) agent_system(l->loop, json_str(json_get(l->options, "system"), NULL));
    return true;
}

static char *report_text(const struct tn_loop *l, const struct agent_report *r)
{
    struct json *o = json_new_object();
    struct str s = { 0 };
    json_set(o, "text", json_new_strn(r->text.p ? r->text.p : "", r->text.len));
    json_set(o, "calls", json_copy(l->calls));
    json_set(o, "stop", json_new_str(stop_name(r->stop)));
    json_write(&s, o, JSON_COMPACT);
    json_free(o);
    return str_take(&s);
}

char *tn_loop_send(struct tn_loop *l, const char *text, tn_event_fn *fn, void *ctx, struct tn_error *err)
{
    struct err e = { 0 };
    struct agent_report r = { 0 };
    if (err) *err = (struct tn_error){ "", "" };
    if (!l->loop && !start(l, &e)) return tn_report(err, &e), NULL;
    l->fn = fn;
    l->ctx = ctx;
    json_free(l->calls);
    l->calls = json_new_array();
    agent_send(l->loop, text, &r);
    cancel_clear(&l->cancel);
    if (r.err.code) tn_report(err, &r.err);
    char *out = r.stop == STOP_ERROR ? NULL : report_text(l, &r);
    agent_report_done(&r);
    return out;
}

char *tn_loop_messages(const struct tn_loop *l)
{
    struct str s = { 0 };
    struct json *none = json_new_array();
    json_write(&s, l->loop ? agent_messages(l->loop) : none, JSON_COMPACT);
    json_free(none);
    return str_take(&s);
}
