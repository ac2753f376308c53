/* calls.c -- the calls of one turn: checked, allowed, run, told.
 *
 * Everything is checked and asked in order before anything runs. Then: calls that only read (or may be repeated)
 * run beside each other, up to `parallel` at once; a call that may write waits for all before it and holds back all
 * behind it. One that fails does not disturb its neighbours. Results are told in the order of the calls, and each
 * call gets exactly one, whatever happened. */
#include <pthread.h>
#include <time.h>

#include "agent/turns_int.h"

#define RETRY_PAUSE_MS 300

void call_done(struct call *c)
{
    mem_free(c->id);
    str_done(&c->text);
    json_free(c->args);
    words_done(&c->found);
    tool_result_done(&c->result);
}

/* ---- checking ---- */

static void fail_unknown(struct agent *l, struct call *c)
{
    struct str names = { 0 };
    const struct tool *near = toolset_nearest(l->o.tools, c->name);
    for (size_t i = 0; i < toolset_n(l->o.tools); i++) str_fmt(&names, "%s%s", i ? ", " : "", toolset_at(l->o.tools, i)->name);
    if (near) tool_fail(&c->result, "There is no tool '%.64s'. Did you mean %s? The tools are: %.1500s.", c->name, near->name, names.p);
    else tool_fail(&c->result, "There is no tool '%.64s', and no other. Answer without one.", c->name);
    str_done(&names);
}

/* Tools of the loop itself stand behind those of the user with the same name. */
static int own_tool(const struct agent *l, const char *name)
{
    if (l->offers_read && !strcmp(name, "read_result")) return OWN_READ;
    return choose_applies(l) && !strcmp(name, "find_tools") ? OWN_FIND : OWN_NONE;
}

static bool own_schema_ok(struct call *c)
{
    struct err e = { 0 };
    struct json *d = c->own == OWN_READ ? read_result_tool() : find_tools_tool();
    bool ok = schema_check(json_get(tool_function(d), "parameters"), c->args, NULL, &e);
    if (!ok) tool_fail_schema(&c->result, &e);
    json_free(d);
    return ok;
}

/* False: c->result says why it cannot run. */
static bool check(struct agent *l, struct call *c)
{
    struct err e = { 0 };
    c->tool = toolset_find(l->o.tools, c->name);
    c->own = c->tool ? OWN_NONE : own_tool(l, c->name);
    if (!c->tool && !c->own) return fail_unknown(l, c), false;
    if (c->incomplete) {
        tool_fail(&c->result, "The call was not finished, so it was not run. Send it again, with less in it.");
        return false;
    }
    json_free(c->args);
    c->args = json_parse(c->text.p ? c->text.p : "", c->text.len, &e);
    if (!json_is(c->args, JSON_OBJECT)) {
        if (c->args) err_set(&e, ERR_ARG, "an object");
        tool_fail_schema(&c->result, &e);
        return false;
    }
    if (c->own) return own_schema_ok(c);
    if (!schema_check(c->tool->schema, c->args, NULL, &e)) return tool_fail_schema(&c->result, &e), false;
    if (!c->schema_ok) {
        err_set(&e, ERR_ARG, "arguments that satisfy the schema of the tool");
        tool_fail_schema(&c->result, &e);
        return false;
    }
    return true;
}

/* ---- allowing ---- */

static char *exact_key(const struct call *c)
{
    struct str s = { 0 };
    str_fmt(&s, "%s\n", c->name);
    json_canonical(&s, c->args);
    return str_take(&s);
}

static bool in_words(const struct words *w, const char *s)
{
    for (int i = 0; i < w->n; i++)
        if (!strcmp(w->p[i], s)) return true;
    return false;
}

static bool allowed_before(struct agent *l, const struct call *c)
{
    char *key = exact_key(c);
    bool yes = !c->tool->changed && (in_words(&l->always, c->name) || in_words(&l->exact, key));
    mem_free(key);
    return yes;
}

static bool allowed_unasked(struct agent *l, const struct call *c)
{
    const struct tool *t = c->tool;
    if (t->policy == POLICY_DENY || t->changed) return false;
    if (t->policy == POLICY_ALLOW || l->o.blanket == BLANKET_ALL) return true;
    return (l->o.blanket == BLANKET_READ_ONLY && t->read_only) || allowed_before(l, c);
}

static void deny(struct call *c, const char *why, const struct str *reason)
{
    bool said = reason && reason->len, ends = said && strchr(".!?", reason->p[reason->len - 1]);
    tool_fail(&c->result, "%s%s%.500s%s Do not call it again with the same arguments; answer without it.", why, said ? " Reason: " : "", said ? reason->p : "",
              said && !ends ? "." : "");
    c->denied = true;
}

static void log_answer(struct agent *l, const struct call *c, const char *answer)
{
    if (!l->o.transcript) return;
    struct json *o = json_new_object();
    json_set(o, "id", json_new_str(c->id));
    json_set(o, "name", json_new_str(c->name));
    json_set(o, "answer", json_new_str(answer));
    transcript_put(l->o.transcript, "approval", o);
}

/* A model that guessed is to be asked about, even where the tool needs no approval. */
static bool is_unsure(const struct agent *l, const struct call *c)
{
    return l->o.min_confidence > 0 && c->confidence < (float)l->o.min_confidence;
}

static enum answer ask_once(struct agent *l, struct call *c, struct str *reason)
{
    struct str preview = { 0 };
    struct json *edited = NULL;
    if (c->tool->preview) c->tool->preview(c->tool, c->args, &preview);
    toolset_hide(l->o.tools, &preview);
    struct question q = { c->tool, c->args, { c->text.p, c->text.len }, preview.p, is_unsure(l, c) ? c->confidence : -1 };
    enum answer a = l->o.ui.ask(l->o.ui.ctx, &q, reason, &edited);
    str_done(&preview);
    if (a == ANSWER_EDIT && edited) {
        str_clear(&c->text);
        json_write(&c->text, edited, JSON_COMPACT);
    }
    json_free(edited);
    return a;
}

/* True: it may run. *quit: the user wants to stop. */
static bool ask(struct agent *l, struct call *c, bool *quit)
{
    static const char *const words[] = { "once", "no", "tool", "exact", "edit", "quit" };
    for (;;) {
        struct str reason = { 0 };
        enum answer a = ask_once(l, c, &reason);
        log_answer(l, c, words[a]);
        if (a == ANSWER_NO) deny(c, "The user did not allow this call.", &reason);
        str_done(&reason);
        if (a == ANSWER_QUIT) {
            deny(c, "The user stopped here.", NULL);
            return *quit = true, false;
        }
        if (a == ANSWER_TOOL) words_put(&l->always, mem_str(c->name));
        if (a == ANSWER_EXACT) words_put(&l->exact, exact_key(c));
        if (a == ANSWER_TOOL || a == ANSWER_EXACT) tool_accept(c->tool);
        if (a != ANSWER_EDIT) return a != ANSWER_NO;
        if (!check(l, c)) return false;                               /* edited into something that does not fit */
    }
}

static bool allow(struct agent *l, struct call *c, bool *quit)
{
    bool unsure = is_unsure(l, c);
    if (c->own || (!unsure && allowed_unasked(l, c))) return true;
    if (c->tool->policy == POLICY_DENY || l->o.strict) deny(c, "This tool is not allowed here.", NULL);
    else if (unsure && !l->o.ui.ask) {
        deny(c, "This call was not sure enough to run without somebody's approval, and nobody can be asked.", NULL);
        c->unsure = true;
    } else if (!l->o.ui.ask && c->tool->changed) deny(c, "The definition of this tool has changed since it was allowed, and nobody can be asked.", NULL);
    else if (!l->o.ui.ask) deny(c, "This tool needs somebody's approval, and nobody can be asked.", NULL);
    else return ask(l, c, quit);
    log_answer(l, c, "denied");
    return false;
}

/* ---- running ---- */

static void read_result(struct agent *l, struct call *c)
{
    int64_t id = 0, offset = 0, limit = 8192;
    size_t len = 0;
    json_i64(json_get(c->args, "id"), &id);
    json_i64(json_get(c->args, "offset"), &offset);
    json_i64(json_get(c->args, "limit"), &limit);
    const char *p = agent_result(l, (int)MIN(id, (int64_t)1 << 30), &len);
    if (!p) tool_fail(&c->result, "There is no result:%lld.", (long long)id);
    else if ((size_t)offset >= len) tool_fail(&c->result, "result:%lld has %zu bytes; offset %lld lies behind its end.", (long long)id, len, (long long)offset);
    else str_put(&c->result.text, p + offset, MIN((size_t)limit, len - (size_t)offset));
}

static void nap(const struct cancel *c, int ms)
{
    for (int i = 0; i < ms / 20 && !cancel_is_on(c); i++) nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static int time_for(const struct agent *l, const struct tool *t)
{
    int ms = t->timeout_ms ? t->timeout_ms : l->lim.call_ms;
    if (!l->deadline) return ms;
    uint64_t now = clock_ns(), left = l->deadline > now ? (l->deadline - now) / 1000000u : 0;
    return (int)MIN((uint64_t)ms, MAX(left, 1u));
}

static void run_one(struct agent *l, struct call *c)
{
    uint64_t t0 = clock_ns();
    struct tool *t = c->tool;
    struct invocation in = { c->id, c->args, { c->text.p, c->text.len }, l->o.cancel, 0 };
    c->ran = true;
    if (c->own == OWN_READ) read_result(l, c);
    if (c->own == OWN_FIND) choose_find(l, c->args, &c->result, &c->found);
    for (int attempt = 0; !c->own && attempt < 2; attempt++) {
        in.timeout_ms = time_for(l, t);
        tool_result_done(&c->result);
        t->invoke(t, &in, &c->result);
        if (!c->result.transient || !(t->idempotent || t->read_only) || cancel_is_on(l->o.cancel)) break;
        if (!attempt) nap(l->o.cancel, RETRY_PAUSE_MS);
    }
    c->ms = (double)(clock_ns() - t0) / 1e6;
}

struct batch_run { struct agent *l; struct call *call; int n; atomic_int next; };

static void *work(void *ctx)
{
    struct batch_run *b = ctx;
    for (int i; (i = atomic_fetch_add(&b->next, 1)) < b->n;)
        if (b->call[i].run) run_one(b->l, &b->call[i]);
    return NULL;
}

static void run_batch(struct agent *l, struct call *call, int n)
{
    struct batch_run b = { .l = l, .call = call, .n = n };
    pthread_t thread[64];
    int n_thread = 0, most = MIN(MIN(n, l->lim.parallel), (int)LEN(thread));
    while (n_thread + 1 < most && !pthread_create(&thread[n_thread], NULL, work, &b)) n_thread++;
    work(&b);
    for (int i = 0; i < n_thread; i++) pthread_join(thread[i], NULL);
}

static bool is_barrier(const struct call *c)
{
    return c->run && !c->own && !c->tool->read_only && !c->tool->idempotent;
}

static void announce(struct agent *l, const struct call *c, int index)
{
    agent_tell(l, &(struct agent_event){ .kind = AG_RUN, .index = index, .id = c->id, .name = c->name, .args = { c->text.p, c->text.len } });
}

static void run_all(struct agent *l, struct call *call, int n)
{
    for (int i = 0; i < n;) {
        int end = i + 1;
        if (!is_barrier(&call[i]))
            while (end < n && !is_barrier(&call[end])) end++;
        for (int k = i; k < end; k++) {
            if (cancel_is_on(l->o.cancel)) call[k].run = false;
            if (call[k].run) announce(l, &call[k], k);
        }
        run_batch(l, call + i, end - i);
        i = end;
    }
}

/* ---- telling ---- */

/* Cut to the budget in tokens, measured with the model's own tokenizer. */
static bool cut(struct agent *l, struct call *c, const struct str *text, struct str *out)
{
    int budget = c->tool && c->tool->result_tokens ? c->tool->result_tokens : l->lim.result_tokens;
    size_t most = text->len;
    bool was_cut = false;
    if (text->len <= (size_t)budget) {                                /* a token has a byte at least */
        str_put(out, text->p ? text->p : "", text->len);
        return false;
    }
    for (int round = 0; round < 8; round++) {
        str_clear(out);
        was_cut = result_cut(out, text->p, text->len, c->result.is_json, most, c->number);
        int n = agent_tokens(l, out->p, out->len);
        if (n <= budget) break;
        most = MIN(most * (size_t)budget / (size_t)n, most * 9 / 10);
    }
    return was_cut;
}

static void log_call(struct agent *l, const struct call *c, const struct str *full)
{
    if (!l->o.transcript) return;
    struct json *o = json_new_object(), *r = json_new_object();
    json_set(o, "id", json_new_str(c->id));
    json_set(o, "name", json_new_str(c->name));
    json_set(o, "arguments", json_new_strn(c->text.p ? c->text.p : "", c->text.len));
    json_set(o, "ran", json_new_bool(c->ran));
    transcript_put(l->o.transcript, "call", o);
    json_set(r, "id", json_new_str(c->id));
    json_set(r, "name", json_new_str(c->name));
    json_set(r, "is_error", json_new_bool(c->is_error));
    json_set(r, "text", json_new_strn(full->p ? full->p : "", full->len));
    if (c->result.files) json_set(r, "files", json_copy(c->result.files));
    json_set(r, "ms", json_new_f64(c->ms));
    transcript_put(l->o.transcript, "result", r);
}

static enum agent_state tell(struct agent *l, struct call *c, int index)
{
    struct str clean = { 0 }, shown = { 0 };
    enum agent_state state = LOOP_NONE;
    if (!c->ran && !c->result.is_error) tool_fail(&c->result, "cancelled by the user");
    c->is_error = c->result.is_error;
    result_clean(&clean, c->result.text.p ? c->result.text.p : "", c->result.text.len);
    result_put_files(&clean, c->result.files);
    if (!clean.len) str_puts(&clean, "(no output)");
    toolset_hide(l->o.tools, &clean);
    c->number = talk_remember(l, clean.p, clean.len);
    log_call(l, c, &clean);
    bool was_cut = cut(l, c, &clean, &shown);
    if (c->args && !c->denied) state = breaker_put(&l->breaker, c->name, c->args, (struct bytes){ clean.p, clean.len });
    if (state != LOOP_NONE) {
        struct str told = { 0 };
        str_fmt(&told, "You have already called %s with the same arguments; the answer was: %s\nDo something else, or answer.", c->name, shown.p);
        str_done(&shown);
        shown = told;
    }
    if (was_cut) l->offers_read = true;
    for (int i = 0; i < c->found.n; i++) choose_add(l, c->found.p[i]);
    if (c->tool && choose_applies(l)) choose_add(l, c->tool->name);   /* a foreign endpoint may call what it was not shown */
    if (c->is_error && !c->result.is_json) result_mark_error(&shown);
    talk_result(l, c, shown.p, shown.len);
    agent_tell(l, &(struct agent_event){ .kind = AG_RESULT, .index = index, .id = c->id, .name = c->name, .args = { c->text.p, c->text.len },
                                         .text = { shown.p, shown.len }, .is_error = c->is_error, .ran = c->ran, .ms = c->ms, .number = c->number,
                                         .files = c->result.files });
    str_done(&clean);
    str_done(&shown);
    return state;
}

static enum agent_state tell_all(struct agent *l, struct call *call, int n)
{
    enum agent_state worst = LOOP_NONE;
    for (int i = 0; i < n; i++) {
        enum agent_state s = tell(l, &call[i], i);
        worst = MAX(worst, s);
    }
    return worst;
}

enum calls_end calls_handle(struct agent *l, struct call *call, int n)
{
    bool quit = false;
    for (int i = 0; i < n && !quit; i++) {
        if (cancel_is_on(l->o.cancel)) break;
        call[i].run = check(l, &call[i]) && allow(l, &call[i], &quit);
    }
    for (int i = 0; i < n && quit; i++) {
        call[i].run = false;
        if (!call[i].result.is_error) deny(&call[i], "The user stopped here.", NULL);
    }
    run_all(l, call, n);
    enum agent_state worst = tell_all(l, call, n);
    if (quit) return CALLS_QUIT;
    if (cancel_is_on(l->o.cancel)) return CALLS_CANCELLED;
    return worst == LOOP_STOP ? CALLS_LOOP : CALLS_DONE;
}

void calls_refuse(struct agent *l, struct call *call, int n, const char *why)
{
    for (int i = 0; i < n; i++) tool_fail(&call[i].result, "%s", why);
    tell_all(l, call, n);
}
