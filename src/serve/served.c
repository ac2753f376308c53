/* served.c -- the server-side loop: `mcp` and `code_interpreter` tools of /v1/responses really run here.
 *
 * The loop is agent/'s, on a thread of its own; its model is the scheduler, so its generations share batches and
 * prefixes with everybody else's. What happens is put into the job's mailbox as events, like those of the
 * engine: text as it comes, and each call that ran as one whole item of the response (EV_ITEM). A call of a function
 * that the client runs ends the loop: it is told, and the client goes on with its result.
 *
 * A call of an MCP tool that wants approval is told as a question (mcp_approval_request) and not run; the response ends
 * there. The next request brings the answer, and the call runs before anything else does.
 *
 * Off unless the operator says so (--mcp, --code-interpreter). A request names servers by URL, so it could make us
 * speak to what only we can reach: addresses of the open internet over TLS only, unless --mcp-private.
 * Memory: a loop belongs to the I/O thread, before and after its thread runs. */
#include <pthread.h>
#include <stdlib.h>

#include "serve/hands.h"
#include "serve/served.h"

#define LOOPS_MOST 16
#define TOTAL_MS 600000

/* An event of the engine thread, waiting for ours. */
struct waiting { struct waiting *next; struct event ev; struct str bytes; char *id, *name; };

struct served {
    struct task task;                                                 /* first */
    struct job *job;                                                  /* NULL: gone */
    struct choice *choice;
    struct server *sv;
    struct served_spec spec;
    char *adapter;
    struct cancel cancel;
    struct toolset *tools;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct waiting *first, *last;
    bool client_called;                                               /* a function that the client runs */
    struct json *asked;                                               /* calls that wait for approval: [{"name","arguments"}] */
};

static atomic_int n_running;

/* ---- what a request may ask for --------------------------------------------------------------------- */

bool served_runs(const struct server *sv, const struct json *tool)
{
    const struct json *type = json_get(tool, "type");
    return (sv->o->mcp && json_str_is(type, "mcp")) || (sv->o->code_interpreter && json_str_is(type, "code_interpreter"));
}

static bool bad(struct exchange *x, size_t i, const char *member, const char *why)
{
    char where[80];
    snprintf(where, sizeof where, "tools[%zu].%s", i, member);
    reply_error(x, 400, "invalid_value", where, "%s: %s", where, why);
    return false;
}

static bool label_ok(const char *s)
{
    size_t n = s ? strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    return n && n <= 32 && !s[n];
}

static bool approval_ok(const struct json *v)
{
    if (!v || json_str_is(v, "never") || json_str_is(v, "always")) return true;
    for (struct json_iter it = json_iter(v); json_is(v, JSON_OBJECT) && json_next(&it);)
        if ((strcmp(it.key, "never") && strcmp(it.key, "always")) || !json_is(it.value, JSON_OBJECT)) return false;
    return json_is(v, JSON_OBJECT);
}

static bool accepts(struct exchange *x, const struct json *t, size_t i)
{
    const struct json *allowed = there(t, "allowed_tools"), *approval = there(t, "require_approval");
    if (!json_str_is(json_get(t, "type"), "mcp")) return true;
    if (!label_ok(json_str(json_get(t, "server_label"), NULL))) return bad(x, i, "server_label", "1 to 32 of A-Z a-z 0-9 _ - are needed");
    if (!json_str(json_get(t, "server_url"), NULL)) return bad(x, i, "server_url", "a URL is needed; connectors are not known here");
    if (!approval_ok(approval)) return bad(x, i, "require_approval", "'always', 'never' and an object {\"never\": {\"tool_names\": […]}} are accepted");
    if (allowed && !json_is(allowed, JSON_ARRAY)) return bad(x, i, "allowed_tools", "an array of names is accepted");
    return true;
}

bool served_accepts(struct exchange *x, const struct json *tools)
{
    for (size_t i = 0; i < json_len(tools); i++)
        if (served_runs(x->sv, json_at(tools, i)) && !accepts(x, json_at(tools, i), i)) return false;
    return true;
}

/* ---- the scheduler as the loop's model ---------------------------------------------------------------- */

static bool on_engine(void *ctx, const struct event *ev)
{
    struct served *l = ctx;
    if (ev->kind == EV_TOKEN) return true;
    struct waiting *w = mem_zero(sizeof *w);
    w->ev = *ev;
    str_put(&w->bytes, ev->bytes.p ? ev->bytes.p : "", ev->bytes.len);
    if (ev->id) w->id = mem_str(ev->id);
    if (ev->name) w->name = mem_str(ev->name);
    pthread_mutex_lock(&l->lock);
    if (l->last) l->last->next = w;
    else l->first = w;
    l->last = w;
    pthread_cond_signal(&l->came);
    pthread_mutex_unlock(&l->lock);
    return true;
}

static struct waiting *take(struct served *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->first) pthread_cond_wait(&l->came, &l->lock);
    struct waiting *w = l->first;
    l->first = w->next;
    if (!l->first) l->last = NULL;
    pthread_mutex_unlock(&l->lock);
    return w;
}

/* Hands on one event. True: it was the last. */
static bool hand_on(struct served *l, uint64_t id, event_fn *fn, void *fn_ctx, bool *ok, struct err *e)
{
    struct waiting *w = take(l);
    struct event ev = w->ev;
    ev.bytes = (struct bytes){ w->bytes.p ? w->bytes.p : "", w->bytes.len };
    ev.id = w->id;
    ev.name = w->name;
    ev.n_top = 0;
    bool last = ev.kind == EV_FINISH || ev.kind == EV_ERROR;
    if (ev.kind == EV_ERROR) *ok = err_set(e, ev.code ? ev.code : ERR_INTERNAL, "%.*s", (int)MIN(ev.bytes.len, (size_t)220), ev.bytes.p);
    if (ev.kind != EV_START && !fn(fn_ctx, &ev) && !last) sched_cancel(l->sv->sched, id);
    str_done(&w->bytes);
    mem_free(w->id);
    mem_free(w->name);
    mem_free(w);
    return last;
}

static bool speak(void *ctx, struct json *body, event_fn *fn, void *fn_ctx, struct err *e)
{
    struct served *l = ctx;
    struct request r;
    uint64_t id = 0;
    bool ok = true;
    if (json_len(l->asked)) {                                         /* it waits for approval: nothing more is said */
        json_free(body);
        return fn(fn_ctx, &(struct event){ .kind = EV_FINISH, .reason = FINISH_CANCEL }), true;
    }
    if (!request_read(&r, body, e)) return false;
    struct sched_job sj = { .request = &r, .adapter = l->adapter, .fn = on_engine, .ctx = l };
    if (!sched_submit(l->sv->sched, &sj, &id, e)) ok = false;
    else while (!hand_on(l, id, fn, fn_ctx, &ok, e)) { }
    request_done(&r);
    return ok;
}

/* ---- items ---------------------------------------------------------------------------------------------- */

/* item is taken. */
static void send_item(struct served *l, struct json *item)
{
    struct str s = { 0 };
    json_write(&s, item, JSON_COMPACT);
    job_event(l->choice, &(struct event){ .kind = EV_ITEM, .bytes = { s.p, s.len } });
    str_done(&s);
    json_free(item);
}

static struct json *item_new(const char *type, const char *prefix)
{
    char id[40];
    struct json *o = json_new_object();
    id_make(id, prefix);
    json_set(o, "id", json_new_str(id));
    json_set(o, "type", json_new_str(type));
    return o;
}

static void send_list(struct served *l, const char *label)
{
    struct json *o = item_new("mcp_list_tools", "mcpl_"), *list = json_new_array();
    struct str source = { 0 };
    str_fmt(&source, "mcp %s", label);
    for (size_t i = 0; i < toolset_n(l->tools); i++) {
        const struct tool *t = toolset_at(l->tools, i);
        if (strcmp(t->source, source.p)) continue;
        struct json *one = json_new_object();
        json_set(one, "name", json_new_str(t->name));
        json_set(one, "description", json_get(t->function, "description") ? json_copy(json_get(t->function, "description")) : json_new_null());
        json_set(one, "input_schema", json_copy(t->schema));
        json_set(one, "annotations", json_new_null());
        json_push(list, one);
    }
    json_set(o, "server_label", json_new_str(label));
    json_set(o, "tools", list);
    json_set(o, "error", json_new_null());
    send_item(l, o);
    str_done(&source);
}

static struct json *text_of(struct bytes b) { return json_new_strn(b.p ? b.p : "", b.len); }

struct ran { const char *name; struct bytes args, text; bool is_error; };

/* request: of the approval it had, NULL: it needed none. */
static struct json *mcp_item(const struct ran *r, const char *label, const char *request)
{
    struct json *o = item_new("mcp_call", "mcp_");
    json_set(o, "server_label", json_new_str(label));
    json_set(o, "name", json_new_str(r->name));
    json_set(o, "arguments", text_of(r->args));
    json_set(o, "output", r->is_error ? json_new_null() : text_of(r->text));
    json_set(o, "error", r->is_error ? text_of(r->text) : json_new_null());
    json_set(o, "approval_request_id", request ? json_new_str(request) : json_new_null());
    json_set(o, "status", json_new_str(r->is_error ? "failed" : "completed"));
    return o;
}

/* Pictures that the code made, each as a data: URL; its other files are named in the logs, and go. */
static void put_images(struct json *outputs, const struct json *files)
{
    struct json *taken = files_take(files);
    for (size_t i = 0; i < json_len(taken); i++) {
        const struct json *file = json_at(taken, i);
        const char *type = json_str(json_get(file, "type"), NULL), *data = json_str(json_get(file, "data"), NULL);
        if (!data || strncmp(type, "image/", 6)) continue;
        struct json *o = json_new_object();
        struct str url = { 0 };
        str_fmt(&url, "data:%s;base64,", type);
        str_puts(&url, data);
        json_set(o, "type", json_new_str("image"));
        json_set(o, "url", json_new_strn(url.p, url.len));
        json_push(outputs, o);
        str_done(&url);
    }
    json_free(taken);
}

static struct json *code_item(const struct served *l, const struct agent_event *ev)
{
    struct json *o = item_new("code_interpreter_call", "ci_"), *outputs = json_new_array(), *logs = json_new_object();
    struct json *args = json_parse(ev->args.p ? ev->args.p : "", ev->args.len, NULL);
    json_set(logs, "type", json_new_str("logs"));
    json_set(logs, "logs", text_of(ev->text));
    json_push(outputs, logs);
    if (l->spec.images) put_images(outputs, ev->files);
    else json_free(files_take(ev->files));
    json_set(o, "code", json_get(args, "code") ? json_copy(json_get(args, "code")) : text_of(ev->args));
    json_set(o, "container_id", json_new_str(""));
    json_set(o, "outputs", outputs);
    json_set(o, "status", json_new_str(ev->is_error ? "failed" : "completed"));
    json_free(args);
    return o;
}

static struct json *function_item(const struct agent_event *ev)
{
    struct json *o = item_new("function_call", "fc_");
    json_set(o, "call_id", json_new_str(ev->id));
    json_set(o, "name", json_new_str(ev->name));
    json_set(o, "arguments", text_of(ev->args));
    json_set(o, "status", json_new_str("completed"));
    return o;
}

/* ---- approval -------------------------------------------------------------------------------------------- */

/* The tool as its server names it; here the server's label may stand before it. */
static bool is_named(const struct tool *t, const char *label, const char *name)
{
    size_t n = strlen(label);
    return !strcmp(t->name, name) || (!strncmp(t->name, label, n) && !strncmp(t->name + n, "__", 2) && !strcmp(t->name + n + 2, name));
}

static bool is_free(const struct json *approval, const struct tool *t, const char *label)
{
    const struct json *never = json_get(approval, "never"), *names = json_get(never, "tool_names");
    for (size_t i = 0; i < json_len(names); i++) {
        const char *name = json_str(json_at(names, i), NULL);
        if (name && is_named(t, label, name)) return true;
    }
    return json_str_is(approval, "never") || (t->read_only && json_bool(json_get(never, "read_only")));
}

static bool wants_approval(const struct served *l, const struct tool *t)
{
    const char *label = strncmp(t->source, "mcp ", 4) ? NULL : t->source + 4;
    for (size_t i = 0; label && i < json_len(l->spec.servers); i++) {
        const struct json *server = json_at(l->spec.servers, i);
        if (json_str_is(json_get(server, "server_label"), label)) return !is_free(there(server, "require_approval"), t, label);
    }
    return false;
}

/* The client's user decides, and that is another request: here the call is told, and does not run. */
static enum answer on_ask(void *ctx, const struct question *q, struct str *reason, struct json **args)
{
    struct served *l = ctx;
    if (!wants_approval(l, q->tool)) return ANSWER_ONCE;
    struct json *o = item_new("mcp_approval_request", "mcpr_"), *one = json_new_object();
    json_set(o, "arguments", text_of(q->text));
    json_set(o, "name", json_new_str(q->tool->name));
    json_set(o, "server_label", json_new_str(q->tool->source + 4));
    json_set(one, "name", json_new_str(q->tool->name));
    json_set(one, "arguments", text_of(q->text));
    json_push(l->asked, one);
    send_item(l, o);
    return ANSWER_NO;
}

static bool was_asked(const struct served *l, const struct agent_event *ev)
{
    for (size_t i = 0; !ev->ran && i < json_len(l->asked); i++) {
        size_t n = 0;
        const char *args = json_str(json_get(json_at(l->asked, i), "arguments"), &n);
        if (json_str_is(json_get(json_at(l->asked, i), "name"), ev->name) && n == ev->args.len && !memcmp(args, ev->args.p, n)) return true;
    }
    return false;
}

static void set_content(struct json *messages, const struct json *id, struct bytes text)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        struct json *m = (struct json *)(uintptr_t)json_at(messages, i);
        if (json_get(m, "tool_call_id") && json_equal(json_get(m, "tool_call_id"), id)) json_set(m, "content", text_of(text));
    }
}

/* Runs what was approved; the message that stands for its result gets it. */
static void run_approved(struct served *l, const struct json *call)
{
    const char *name = json_str(json_get(call, "name"), NULL), *label = json_str(json_get(call, "server_label"), NULL);
    size_t n = 0;
    const char *text = json_str(json_get(call, "arguments"), &n);
    struct tool *t = name ? toolset_find(l->tools, name) : NULL;
    struct json *args = text ? json_parse(text, n, NULL) : NULL;
    struct tool_result r = { 0 };
    if (!t || !label || strncmp(t->source, "mcp ", 4) || strcmp(t->source + 4, label)) tool_fail(&r, "This tool is not offered any more.");
    else if (!json_is(args, JSON_OBJECT)) tool_fail(&r, "The arguments are no object.");
    else toolset_call(l->tools, t, args, &l->cancel, &r);
    if (!r.text.len) str_puts(&r.text, "(no output)");
    struct ran ran = { name ? name : "", { text ? text : "", n }, { r.text.p, r.text.len }, r.is_error };
    set_content(l->spec.messages, json_get(call, "id"), ran.text);
    send_item(l, mcp_item(&ran, label ? label : "", json_str(json_get(call, "id"), NULL)));
    tool_result_done(&r);
    json_free(args);
}

static void on_result(struct served *l, const struct agent_event *ev)
{
    const struct tool *t = toolset_find(l->tools, ev->name);
    struct ran ran = { ev->name, ev->args, ev->text, ev->is_error };
    if (was_asked(l, ev)) return;
    if (t && !strncmp(t->source, "mcp ", 4)) send_item(l, mcp_item(&ran, t->source + 4, NULL));
    else if (t && !strcmp(t->source, "client")) send_item(l, function_item(ev));
    else if (t) send_item(l, code_item(l, ev));
}

static void on_event(void *ctx, const struct agent_event *ev)
{
    struct served *l = ctx;
    if (ev->kind == AG_RESULT) on_result(l, ev);
    if (ev->kind != AG_MODEL || (ev->ev->kind != EV_TEXT && ev->ev->kind != EV_REASONING)) return;
    if (!job_event(l->choice, ev->ev)) cancel_fire(&l->cancel);
}

/* ---- tools -------------------------------------------------------------------------------------------- */

static void stop_here(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct served *l = t->ctx;
    l->client_called = true;
    cancel_fire(&l->cancel);
    tool_fail(out, "the client runs it");
}

static bool add_function(struct served *l, const struct json *function, struct err *e)
{
    struct tool *t = mem_zero(sizeof *t);
    const char *name = json_str(json_get(function, "name"), NULL);
    t->name = mem_str(name ? name : "");
    t->source = mem_str("client");
    t->function = json_copy(function);
    t->policy = POLICY_ALLOW;
    t->invoke = stop_here;
    t->ctx = l;
    return toolset_add(l->tools, t, e);
}

static struct json *server_config(const struct json *t)
{
    struct json *o = json_new_object(), *headers = json_get(t, "headers") ? json_copy(json_get(t, "headers")) : json_new_object();
    const char *key = json_str(json_get(t, "authorization"), NULL);
    if (key) {
        struct str s = { 0 };
        str_fmt(&s, "Bearer %s", key);
        json_set(headers, "Authorization", json_new_str(s.p));
        str_done(&s);
    }
    json_set(o, "url", json_copy(json_get(t, "server_url")));
    json_set(o, "headers", headers);
    json_set(o, "approve", json_new_str("ask"));                       /* on_ask decides */
    json_set(o, "insecure", json_new_bool(true));                     /* counts only with --mcp-private */
    if (there(t, "allowed_tools")) json_set(o, "include", json_copy(json_get(t, "allowed_tools")));
    return o;
}

/* A stranger's text must not name variables of our environment: what looks like one is refused. */
static bool is_free_of_names(const struct json *v, struct err *e)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    bool ok = !strstr(s.p, "${") || err_set(e, ERR_ARG, "tools: ${ has no place in an MCP server's URL or headers");
    str_done(&s);
    return ok;
}

static bool add_servers(struct served *l, struct err *e)
{
    struct json *o = json_new_object(), *servers = json_new_object();
    for (size_t i = 0; i < json_len(l->spec.servers); i++) {
        const struct json *t = json_at(l->spec.servers, i);
        json_set(servers, json_str(json_get(t, "server_label"), NULL), server_config(t));
    }
    json_set(o, "mcpServers", servers);
    bool ok = is_free_of_names(o, e) && toolset_read_json(l->tools, o, ".", e);
    const char *warnings = toolset_warnings(l->tools);
    if (ok && strstr(warnings, "is left out:")) ok = err_set(e, ERR_ARG, "%.*s", (int)MIN(strcspn(warnings, "\n"), (size_t)220), warnings);
    for (size_t i = 0; ok && i < json_len(l->spec.servers); i++) send_list(l, json_str(json_get(json_at(l->spec.servers, i), "server_label"), NULL));
    json_free(o);
    return ok;
}

static bool add_tools(struct served *l, struct err *e)
{
    for (size_t i = 0; i < json_len(l->spec.functions); i++)
        if (!add_function(l, tool_function(json_at(l->spec.functions, i)), e)) return false;
    if (l->spec.code && (!toolset_builtin(l->tools, "python", e) || !files_put(l->tools, l->spec.files, e))) return false;
    return !json_len(l->spec.servers) || add_servers(l, e);
}

/* ---- the thread ------------------------------------------------------------------------------------- */

static void send_end(struct served *l, const struct agent_report *r, const struct err *e)
{
    struct event ev = { .kind = EV_FINISH, .reason = FINISH_STOP, .usage = r->usage, .timing = r->timing };
    if (r->was_cut || r->stop == STOP_MAX_TURNS || r->stop == STOP_MAX_TOKENS || r->stop == STOP_MAX_COST || r->stop == STOP_DEADLINE) ev.reason = FINISH_LENGTH;
    if (r->stop == STOP_INTERRUPTED && !l->client_called && !json_len(l->asked)) ev.reason = FINISH_CANCEL;
    if (e->code) ev = (struct event){ .kind = EV_ERROR, .code = e->code, .bytes = { e->msg, strlen(e->msg) } };
    job_event(l->choice, &ev);                                        /* the job may be gone now */
}

static void talk(struct served *l, struct agent_report *r, struct err *e)
{
    struct agent_model model = { .speak = speak, .n_ctx = engine_n_ctx(l->sv->engine), .ctx = l };
    struct agent_opts o = { .model = &model, .tools = l->tools, .ui = { .event = on_event, .ask = on_ask, .ctx = l }, .cancel = &l->cancel,
                            .request = l->spec.chat, .limits = { .max_calls = l->spec.max_calls, .total_ms = TOTAL_MS } };
    for (size_t i = 0; i < json_len(l->spec.approved); i++) run_approved(l, json_at(l->spec.approved, i));
    struct agent *a = agent_open(&o);
    agent_load(a, json_copy(l->spec.messages));
    agent_send(a, NULL, r);
    if (r->stop == STOP_ERROR || r->stop == STOP_CONTEXT_FULL) *e = r->err;
    agent_close(a);
}

static void run(struct task *t)
{
    struct served *l = (struct served *)t;
    struct agent_report r = { 0 };
    struct err e = { 0 };
    job_event(l->choice, &(struct event){ .kind = EV_START });
    l->tools = toolset_open(&(struct toolset_opts){ .public_only = !l->sv->o->mcp_private, .python = l->sv->o->tools_python, .data = l->sv->o->tools_data });
    if (add_tools(l, &e)) talk(l, &r, &e);
    toolset_close(l->tools);
    l->tools = NULL;
    send_end(l, &r, &e);
    agent_report_done(&r);
}

static void done(struct task *t)
{
    struct served *l = (struct served *)t;
    atomic_fetch_sub(&n_running, 1);
    if (l->job) l->job->served = NULL;
    served_free(l);
}

/* ---- life --------------------------------------------------------------------------------------------- */

struct served *served_new(struct served_spec *s)
{
    struct served *l = mem_zero(sizeof *l);
    l->spec = *s;
    l->asked = json_new_array();
    l->cancel.fd = -1;
    l->task.run = run;
    l->task.done = done;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->came, NULL);
    return l;
}

void served_free(struct served *l)
{
    if (!l) return;
    json_free(l->spec.servers);
    json_free(l->spec.functions);
    json_free(l->spec.chat);
    json_free(l->spec.messages);
    json_free(l->spec.approved);
    json_free(l->spec.files);
    json_free(l->asked);
    cancel_done(&l->cancel);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->came);
    mem_free(l->adapter);
    mem_free(l);
}

bool served_start(struct served *l, struct job *j, struct err *e)
{
    if (atomic_load(&n_running) >= LOOPS_MOST) return err_set(e, ERR_FULL, "%d requests run tools already", LOOPS_MOST);
    if (!cancel_init(&l->cancel, e)) return false;
    l->job = j;
    l->choice = &j->choice[0];
    l->sv = j->sv;
    l->adapter = j->adapter ? mem_str(j->adapter) : NULL;
    atomic_fetch_add(&n_running, 1);
    aside_start(j->sv, NULL, &l->task);
    return true;
}

void served_cancel(struct served *l) { cancel_fire(&l->cancel); }
void served_forget(struct served *l) { l->job = NULL; }
