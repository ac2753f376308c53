/* turns.c -- the loop: a model speaks, its calls run, it reads the results, until it answers.
 *
 *     generate -> no calls: done
 *              -> budgets  -> check, ask, run (calls.c) -> results into the messages -> again
 *
 * Every way out has a name (enum stop), and a bound never ends in silence: the model gets one last generation
 * without tools, so that the user receives an answer. A call that the token limit cut is not run: the limit ended
 * it, not the model. Ctrl-C stops whatever is going on and leaves a history that can be continued. */
#include <math.h>

#include "agent/turns_int.h"

#define CUT_MOST 2                          /* turns in a row whose calls were cut */

const char *stop_name(enum stop s)
{
    static const char *const names[] = {
#define X(code, name, status) name,
        STOP_LIST(X)
#undef X
    };
    return names[s];
}

int agent_exit_status(const struct agent_report *r)
{
    static const int status[] = {
#define X(code, name, exit_status) exit_status,
        STOP_LIST(X)
#undef X
    };
    if (r->stop == STOP_ANSWER && r->failed_at_end) return 5;
    return r->stop == STOP_ERROR && r->err.code == ERR_USAGE ? 2 : status[r->stop];
}

void agent_report_done(struct agent_report *r)
{
    str_done(&r->text);
    *r = (struct agent_report){ 0 };
}

struct agent *agent_open(const struct agent_opts *o)
{
    struct agent *l = mem_zero(sizeof *l);
    l->o = *o;
    l->lim = limits_of(&o->limits, o->tools ? toolset_limits(o->tools) : NULL);
    if (o->model->n_ctx > 0) l->lim.result_tokens = MIN(l->lim.result_tokens, MAX(o->model->n_ctx / 4, 32));
    l->messages = json_new_array();
    l->request = o->request ? json_copy(o->request) : json_new_object();
    l->tools_on = true;
    return l;
}

void agent_close(struct agent *l)
{
    if (!l) return;
    json_free(l->messages);
    json_free(l->request);
    breaker_done(&l->breaker);
    for (int i = 0; i < l->n_full; i++) str_done(&l->full[i]);
    mem_free(l->full);
    words_done(&l->always);
    words_done(&l->exact);
    words_done(&l->chosen);
    mem_free(l);
}

/* ---- one generation ---- */

struct listen { struct agent *l; struct message *m; bool bounded, late; };

static bool on_event(void *ctx, const struct event *ev)
{
    struct listen *w = ctx;
    message_event(w->m, ev);
    agent_tell(w->l, &(struct agent_event){ .kind = AG_MODEL, .ev = ev });
    w->late = w->bounded && w->l->deadline && clock_ns() > w->l->deadline;
    return !w->late && !cancel_is_on(w->l->o.cancel);
}

bool agent_generate(struct agent *l, struct json *body, bool bounded, struct message *m, struct err *e)
{
    struct listen w = { l, m, bounded, false };
    bool ok = l->o.model->speak(l->o.model->ctx, body, on_event, &w, e);
    if (ok || e->code != ERR_CANCEL) return ok;
    m->reason = FINISH_CANCEL;
    return true;
}

static void add_usage(struct agent_report *r, const struct prices *price, const struct message *m)
{
    const struct usage *u = &m->usage;
    if (!r->usage.completion_tokens) r->timing.first_token_ms = m->timing.first_token_ms;
    r->usage.prompt_tokens += u->prompt_tokens;
    r->usage.cached_tokens += u->cached_tokens;
    r->usage.completion_tokens += u->completion_tokens;
    r->usage.forced_tokens += u->forced_tokens;
    r->cost += cost_of(price, u);
    r->timing.prefill_ms += m->timing.prefill_ms;
    r->timing.decode_ms += m->timing.decode_ms;
    r->timing.total_ms += m->timing.total_ms;
    r->last = *u;
    r->last_timing = m->timing;
}

static void log_usage(struct agent *l, const struct message *m)
{
    if (!l->o.transcript) return;
    struct json *o = json_new_object();
    json_set(o, "prompt_tokens", json_new_int(m->usage.prompt_tokens));
    json_set(o, "cached_tokens", json_new_int(m->usage.cached_tokens));
    json_set(o, "completion_tokens", json_new_int(m->usage.completion_tokens));
    json_set(o, "total_ms", json_new_f64(m->timing.total_ms));
    transcript_put(l->o.transcript, "usage", o);
}

/* ---- from a message to calls ---- */

/* Calls that nobody finished leave a cancelled message; finished ones stay and get a result. */
static int take_calls(struct agent *l, struct message *m, struct call **out)
{
    int n = 0;
    struct call *c = mem_zero((size_t)MAX(m->n_call, 1) * sizeof *c);
    for (int i = 0; i < m->n_call; i++) {
        struct message_call *from = &m->call[i];
        if (from->incomplete && m->reason == FINISH_CANCEL) continue;
        struct call *k = &c[n++];
        char id[32];
        snprintf(id, sizeof id, "call_%d", ++l->n_id);
        *k = (struct call){ .name = from->name ? from->name : "", .id = mem_str(id), .schema_ok = from->schema_ok, .incomplete = from->incomplete, .confidence = from->confidence };
        str_put(&k->text, from->args.p ? from->args.p : "", from->args.len);
    }
    *out = c;
    return n;
}

static struct json *assistant(const struct message *m, const struct call *call, int n)
{
    struct json *o = talk_message("assistant", m->text.p, m->text.len), *list = json_new_array();
    if (!m->text.len && n) json_set(o, "content", json_new_null());
    if (m->reasoning.len) json_set(o, "reasoning_content", json_new_strn(m->reasoning.p, m->reasoning.len));
    for (int i = 0; i < n; i++) {
        struct json *c = json_new_object(), *f = json_new_object();
        json_set(c, "id", json_new_str(call[i].id));
        json_set(c, "type", json_new_str("function"));
        json_set(f, "name", json_new_str(call[i].name));
        json_set(f, "arguments", json_new_strn(call[i].text.p ? call[i].text.p : "", call[i].text.len));
        json_set(c, "function", f);
        json_push(list, c);
    }
    if (n) json_set(o, "tool_calls", list);
    else json_free(list);
    return o;
}

static void keep_text(struct agent_report *r, const struct message *m)
{
    str_clear(&r->text);
    str_put(&r->text, m->text.p ? m->text.p : "", m->text.len);
}

/* ---- the loop ---- */

struct ask_run { struct agent *l; struct agent_report *r; int cut_in_row; };

static bool fail(struct agent_report *r, const struct err *e)
{
    bool is_full = e->code == ERR_LIMIT && strstr(e->msg, "context_length_exceeded");
    r->stop = is_full ? STOP_CONTEXT_FULL : STOP_ERROR;
    r->err = *e;
    return false;
}

/* The bound that these calls would break, STOP_ANSWER if none. */
static enum stop bound_of(const struct ask_run *t, int n)
{
    const struct agent *l = t->l;
    if (t->r->turns > l->lim.max_turns) return STOP_MAX_TURNS;
    if (t->r->calls + n > l->lim.max_calls) return STOP_MAX_CALLS;
    int tokens = t->r->usage.prompt_tokens + t->r->usage.completion_tokens;
    if (l->lim.max_total_tokens && tokens >= l->lim.max_total_tokens) return STOP_MAX_TOKENS;
    if (l->lim.max_cost > 0 && t->r->cost >= l->lim.max_cost) return STOP_MAX_COST;
    if (l->deadline && clock_ns() > l->deadline) return STOP_DEADLINE;
    return STOP_ANSWER;
}

/* Why the tools are gone, for the model; not kept, since nobody said it. Calls that were refused at the bound were told so already. */
static struct json *body_with_note(struct ask_run *t, enum stop why)
{
    struct json *body = talk_body(t->l, true), *messages = json_copy(json_get(body, "messages"));
    struct str s = { 0 };
    str_fmt(&s, "[%s No more tools can be called. Answer now with what you have.]",
            why == STOP_LOOP_DETECTED ? "The same calls were made again and again." : why == STOP_DEADLINE ? "The time is over." : "A bound is reached.");
    json_push(messages, talk_message("user", s.p, s.len));
    json_set(body, "messages", messages);
    str_done(&s);
    return body;
}

/* An answer without tools, after a bound. */
static void answer_anyway(struct ask_run *t, enum stop why)
{
    bool told = why != STOP_DEADLINE && why != STOP_LOOP_DETECTED;
    struct message m = { 0 };
    struct err e = { 0 };
    talk_fit(t->l);
    agent_tell(t->l, &(struct agent_event){ .kind = AG_TURN, .turn = ++t->r->turns });
    bool ok = agent_generate(t->l, told ? talk_body(t->l, true) : body_with_note(t, why), false, &m, &e);
    add_usage(t->r, &t->l->lim.price, &m);
    if (ok) {
        log_usage(t->l, &m);
        talk_push(t->l, assistant(&m, NULL, 0));                      /* calls of a foreign endpoint that knows no "none" are dropped */
        keep_text(t->r, &m);
    }
    t->r->stop = why;
    if (!ok) t->r->err = e;
    message_done(&m);
}

static void note_end(struct ask_run *t, struct call *call, int n)
{
    int failed = 0, ran = 0;
    for (int i = 0; i < n; i++) {
        t->r->denied |= call[i].denied;
        t->r->unsure |= call[i].unsure;
        ran += call[i].ran;
        failed += call[i].ran && call[i].is_error;
    }
    t->r->failed_at_end = ran && failed == ran;
}

/* True: another turn follows. */
static bool handle(struct ask_run *t, struct message *m, struct call *call, int n)
{
    struct agent *l = t->l;
    if (m->reason == FINISH_CANCEL) {
        bool late = l->deadline && clock_ns() > l->deadline && !cancel_is_on(l->o.cancel);
        calls_refuse(l, call, n, late ? "The time was over." : "cancelled by the user");
        t->r->stop = late ? STOP_DEADLINE : STOP_INTERRUPTED;
        if (late && !m->text.len) answer_anyway(t, STOP_DEADLINE);
        return false;
    }
    t->r->was_cut = m->reason == FINISH_LENGTH;
    if (!n) return t->r->stop = STOP_ANSWER, false;
    if (t->r->was_cut) {
        calls_refuse(l, call, n, "The arguments were cut at the token limit, so the call was not run. Send less at once.");
        if (++t->cut_in_row <= CUT_MOST) return true;
        return answer_anyway(t, STOP_CONTEXT_FULL), false;
    }
    t->cut_in_row = 0;
    enum stop bound = bound_of(t, n);
    if (bound != STOP_ANSWER) {
        calls_refuse(l, call, n, "Not run: the bound of this conversation is reached. Answer now with what you have.");
        return answer_anyway(t, bound), false;
    }
    t->r->calls += n;
    enum calls_end end = calls_handle(l, call, n);
    note_end(t, call, n);
    switch (end) {
    case CALLS_QUIT:      return t->r->stop = STOP_DENIED, false;
    case CALLS_CANCELLED: return t->r->stop = STOP_INTERRUPTED, false;
    case CALLS_LOOP:      return answer_anyway(t, STOP_LOOP_DETECTED), false;
    case CALLS_DONE:      break;
    }
    return true;
}

static bool turn(struct ask_run *t)
{
    struct agent *l = t->l;
    struct message m = { 0 };
    struct err e = { 0 };
    struct call *call = NULL;
    if (t->r->turns && l->deadline && clock_ns() > l->deadline) return answer_anyway(t, STOP_DEADLINE), false;
    if (toolset_refresh(l->o.tools)) agent_note(l, "the list of tools has changed");
    choose_tools(l);
    talk_fit(l);
    agent_tell(l, &(struct agent_event){ .kind = AG_TURN, .turn = ++t->r->turns });
    if (!agent_generate(l, talk_body(l, false), true, &m, &e)) return message_done(&m), fail(t->r, &e);
    add_usage(t->r, &l->lim.price, &m);
    log_usage(l, &m);
    int n = take_calls(l, &m, &call);
    keep_text(t->r, &m);
    if (n || m.text.len || m.reason != FINISH_CANCEL) talk_push(l, assistant(&m, call, n));
    bool more = handle(t, &m, call, n);
    for (int i = 0; i < n; i++) call_done(&call[i]);
    mem_free(call);
    message_done(&m);
    return more;
}

static void log_stop(struct agent *l, const struct agent_report *r)
{
    if (!l->o.transcript) return;
    struct json *o = json_new_object();
    json_set(o, "reason", json_new_str(stop_name(r->stop)));
    if (r->err.code) json_set(o, "error", json_new_str(r->err.msg));
    json_set(o, "turns", json_new_int(r->turns));
    json_set(o, "calls", json_new_int(r->calls));
    transcript_put(l->o.transcript, "stop", o);
}

void agent_send(struct agent *l, const char *text, struct agent_report *r)
{
    struct ask_run t = { l, r, 0 };
    *r = (struct agent_report){ 0 };
    l->t0 = clock_ns();
    l->deadline = l->lim.total_ms ? l->t0 + (uint64_t)l->lim.total_ms * 1000000u : 0;
    breaker_done(&l->breaker);                                        /* a new question may ask for the same again */
    if (text) talk_push(l, talk_message("user", text, strlen(text)));
    l->new_question = true;
    while (turn(&t)) { }
    if (r->stop == STOP_ANSWER && r->denied && !l->o.ui.ask) r->stop = r->unsure ? STOP_UNSURE : STOP_DENIED;
    r->ms = (double)(clock_ns() - l->t0) / 1e6;
    log_stop(l, r);
}
