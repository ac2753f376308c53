/* hands.c -- tools of the operator's that run here, a call at a time: what the playground and other clients that keep
 * the loop themselves have for hands. /v1/chat/completions writes calls and runs none; who has got one may bring it here.
 *
 * Off unless the operator names tools (--tools, --tools-builtin). Tools are programs of this machine, so not every page
 * of the web may start them: a request of a browser must come from this server's own page, whatever --cors-origins
 * says, and on an address that others reach there must be a key. A tool that asks runs only if the client says that its
 * user has said yes; one that is denied never does.
 *
 * The tool `python` keeps its variables between the calls of one conversation; the client gives it a name. At most
 * eight conversations have a box; the one that was idle longest makes room.
 * Threads: calls run on helpers (aside.c); what is listed here belongs to the I/O thread, a room's lock to both. */
#include "serve/hands.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CALLS_MOST 16
#define NAME_MOST 64
#define TEXT_LEAST 1024                     /* bytes of a result that are told: as many as the window has tokens, */
#define TEXT_MOST 32768                     /* which is about a quarter of it, within these */
enum { ROOMS = 8 };

/* A conversation and its interpreter. */
struct room { char name[NAME_MOST + 1]; struct toolset *tools; int n_call; uint64_t used; pthread_mutex_t lock; };
struct hand_call {
    struct task task;                                                 /* first */
    struct hands *h;
    struct room *room;                                                /* of the tool python; NULL: any other */
    char *name;
    struct json *args, *given, *files;                                /* given: for /box; files: what came out */
    struct cancel cancel;
    struct tool_result result;
    struct err err;
    double ms;
    struct hand_call *next;
};
struct hands {
    struct toolset_opts opts;
    struct toolset *shared, *python;                                  /* all but python; python as it is described, NULL: none */
    size_t most;                                                      /* bytes of a result */
    struct room room[ROOMS];
    struct hand_call *running; int n_running;
};

/* ---- opening -------------------------------------------------------------------------------------- */

/* "a,python,b": the others, and whether python is among them. */
static bool without_python(const char *names, struct str *others)
{
    bool found = false;
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, ",");
        bool it = n == 6 && !memcmp(p, "python", 6);
        if (!it) str_fmt(others, "%s%.*s", others->len ? "," : "", (int)n, p);
        found |= it;
        p += n + (p[n] == ',');
    }
    return found;
}

static bool open_python(struct hands *h, struct toolset **ts, struct err *e)
{
    if (*ts) return true;
    *ts = toolset_open(&h->opts);
    if (toolset_builtin(*ts, "python", e)) return true;
    toolset_close(*ts);
    *ts = NULL;
    return false;
}

static void log_warnings(const struct toolset *ts)
{
    for (const char *p = toolset_warnings(ts); *p; p += strcspn(p, "\n"), p += *p == '\n') {
        struct str line = { 0 };
        result_escape(&line, p, strcspn(p, "\n"));
        log_line(LOG_WARN, "tools why=\"%s\"", line.p ? line.p : "");
        str_done(&line);
    }
}

static bool open_shared(struct hands *h, const struct serve_opts *o, struct err *e)
{
    struct str names = { 0 };
    h->shared = toolset_open(&h->opts);
    bool python = without_python(o->tools_builtin, &names);
    bool ok = !names.len || toolset_builtin(h->shared, names.p, e);
    str_done(&names);
    for (int i = 0; ok && i < o->tools.n; i++) ok = toolset_read(h->shared, o->tools.item[i], e);
    log_warnings(h->shared);
    if (ok && python && toolset_find(h->shared, "python")) return err_set(e, ERR_ARG, "tool python: the name is taken");
    return ok && (!python || open_python(h, &h->python, e));
}

bool hands_open(struct server *sv, struct err *e)
{
    const struct serve_opts *o = sv->o;
    if (!o->tools.n && !o->tools_builtin) return true;
    if (!sv->local_only && !sv->n_key)
        return err_set(e, ERR_USAGE, "--tools and --tools-builtin on an address that others reach: --api-key is needed");
    struct hands *h = sv->hands = mem_zero(sizeof *h);
    h->opts = (struct toolset_opts){ .root = o->tools_root, .python = o->tools_python, .data = o->tools_data, .state_dir = o->tools_state };
    h->most = (size_t)MIN(MAX(engine_n_ctx(sv->engine), TEXT_LEAST), TEXT_MOST);
    for (int i = 0; i < ROOMS; i++) pthread_mutex_init(&h->room[i].lock, NULL);
    return open_shared(h, o, e);
}

void hands_stop(struct server *sv)
{
    for (struct hand_call *c = sv->hands ? sv->hands->running : NULL; c; c = c->next) cancel_fire(&c->cancel);
}

void hands_close(struct server *sv)
{
    struct hands *h = sv->hands;
    if (!h) return;
    for (int i = 0; i < ROOMS; i++) {
        toolset_close(h->room[i].tools);
        pthread_mutex_destroy(&h->room[i].lock);
    }
    toolset_close(h->python);
    toolset_close(h->shared);
    mem_free(h);
    sv->hands = NULL;
}

/* ---- files ------------------------------------------------------------------------------------------ */

static void remove_file(const char *path)
{
    char *folder = mem_str(path), *slash = strrchr(folder, '/');
    unlink(path);
    if (slash) *slash = 0;
    rmdir(folder);                                                    /* only once it is empty */
    mem_free(folder);
}

static struct json *file_taken(const struct json *file)
{
    static const char *const kept[] = { "name", "type", "bytes", "width", "height" };
    const char *path = json_str(json_get(file, "path"), NULL);
    struct json *o = json_new_object();
    struct str bytes = { 0 }, text = { 0 };
    struct err e = { 0 };
    for (size_t i = 0; i < LEN(kept); i++)
        if (json_get(file, kept[i])) json_set(o, kept[i], json_copy(json_get(file, kept[i])));
    bool read = path && file_read(path, &bytes, &e);
    if (read) base64_put(&text, bytes.p ? bytes.p : "", bytes.len);
    json_set(o, "data", read ? json_new_strn(text.p ? text.p : "", text.len) : json_new_null());
    if (path) remove_file(path);
    str_done(&bytes);
    str_done(&text);
    return o;
}

struct json *files_take(const struct json *files)
{
    struct json *list = files ? json_new_array() : NULL;
    for (size_t i = 0; i < json_len(files); i++) json_push(list, file_taken(json_at(files, i)));
    return list;
}

bool files_put(struct toolset *ts, const struct json *files, struct err *e)
{
    for (size_t i = 0; i < json_len(files); i++) {
        const struct json *f = json_at(files, i);
        const char *name = json_str(json_get(f, "name"), NULL);
        size_t n = 0;
        const char *data = json_str(json_get(f, "data"), &n);
        struct str bytes = { 0 };
        bool ok = (name && data && base64_read(&bytes, data, n)) || err_set(e, ERR_ARG, "files[%zu]: name and data, in base64, are needed", i);
        ok = ok && toolset_put(ts, name, bytes.p ? bytes.p : "", bytes.len, e);
        str_done(&bytes);
        if (!ok) return false;
    }
    return true;
}

/* ---- a call, on a helper ---------------------------------------------------------------------------- */

static void shorten(struct tool_result *r, size_t most)
{
    struct str cut = { 0 };
    if (r->text.len <= most) return;
    result_cut(&cut, r->text.p, r->text.len, r->is_json, most, 0);
    str_done(&r->text);
    r->text = cut;
}

static void run_call(struct task *t)
{
    struct hand_call *c = (struct hand_call *)t;
    struct toolset *ts = c->h->shared;
    uint64_t t0 = clock_ns();
    if (c->room) {
        pthread_mutex_lock(&c->room->lock);
        bool ok = open_python(c->h, &c->room->tools, &c->err) && files_put(c->room->tools, c->given, &c->err);
        pthread_mutex_unlock(&c->room->lock);
        if (!ok) return;
        ts = c->room->tools;
    }
    toolset_call(ts, toolset_find(ts, c->name), c->args, &c->cancel, &c->result);
    result_put_files(&c->result.text, c->result.files);
    if (!c->result.text.len) str_puts(&c->result.text, "(no output)");
    shorten(&c->result, c->h->most);
    if (c->result.is_error && !c->result.is_json) result_mark_error(&c->result.text);
    c->files = files_take(c->result.files);
    c->ms = (double)(clock_ns() - t0) / 1e6;
}

static struct json *answer(struct hand_call *c)
{
    struct json *o = json_new_object();
    json_set(o, "object", json_new_str("tool.result"));
    json_set(o, "name", json_new_str(c->name));
    json_set(o, "text", json_new_strn(c->result.text.p, c->result.text.len));
    json_set(o, "is_error", json_new_bool(c->result.is_error));
    json_set(o, "ms", json_new_f64(c->ms));
    json_set(o, "files", c->files ? c->files : json_new_array());
    c->files = NULL;
    return o;
}

static void free_call(struct hand_call *c)
{
    cancel_done(&c->cancel);
    tool_result_done(&c->result);
    json_free(c->args);
    json_free(c->given);
    json_free(c->files);
    mem_free(c->name);
    mem_free(c);
}

static void end_call(struct task *t)
{
    struct hand_call *c = (struct hand_call *)t, **at = &c->h->running;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    c->h->n_running--;
    if (c->room) c->room->n_call--;
    if (t->x) {
        if (c->err.code) reply_err(t->x, &c->err);
        else reply_json(t->x, 200, answer(c));
        exchange_ready(t->x);
    }
    free_call(c);
}

static void leave_call(struct task *t) { cancel_fire(&((struct hand_call *)t)->cancel); }

/* ---- who may ask ------------------------------------------------------------------------------------ */

/* Pages of others must not start programs here: a browser's request is one of our own page, or it is refused. */
static bool is_own(struct exchange *x)
{
    const char *origin = exchange_header(x, "Origin"), *host = exchange_header(x, "Host");
    const char *at = origin ? strstr(origin, "://") : NULL;
    if (!origin || (at && host && !strcasecmp(at + 3, host))) return true;
    reply_error(x, 403, "origin_not_allowed", NULL, "a page of %.100s may not do this", origin);
    return false;
}

static bool is_name(const char *s, size_t n)
{
    return n && n <= NAME_MOST && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* The room of a conversation: its own, an empty one, or that of who was idle longest. NULL: all are in use. */
static struct room *room_for(struct hands *h, const char *name)
{
    struct room *best = NULL;
    for (int i = 0; i < ROOMS; i++) {
        struct room *r = &h->room[i];
        if (!strcmp(r->name, name)) return r;
        if (!r->n_call && (!best || r->used < best->used)) best = r;
    }
    if (!best) return NULL;
    if (best->used) {                                                 /* somebody's variables are in it */
        toolset_close(best->tools);
        best->tools = NULL;
    }
    snprintf(best->name, sizeof best->name, "%s", name);
    return best;
}

/* The tool of a call, if it is allowed; NULL: x is answered. */
static struct tool *allowed(struct exchange *x, const char *name, bool approved)
{
    struct hands *h = x->sv->hands;
    struct tool *t = toolset_find(h->shared, name);
    if (!t && h->python) t = toolset_find(h->python, name);
    if (!t) reply_error(x, 404, "tool_not_found", "name", "name: no tool is called %.100s here", name);
    else if (t->policy == POLICY_DENY) reply_error(x, 403, "tool_denied", "name", "the tool %s is denied here", t->name);
    else if (t->policy == POLICY_ASK && !approved)
        reply_error(x, 403, "approval_required", "approved", "the tool %s runs once its user was asked: \"approved\": true", t->name);
    else return t;
    return NULL;
}

static void start(struct exchange *x, const struct tool *t, const struct json *args, const struct json *files, const char *conversation)
{
    struct hands *h = x->sv->hands;
    struct err e = { 0 };
    struct room *room = NULL;
    if (h->n_running >= CALLS_MOST || (h->python && t == toolset_find(h->python, t->name) && !(room = room_for(h, conversation)))) {
        err_set(&e, ERR_FULL, "%d calls run already", h->n_running);
        reply_err(x, &e);
        return;
    }
    struct hand_call *c = mem_zero(sizeof *c);
    if (!cancel_init(&c->cancel, &e)) {
        mem_free(c);
        reply_err(x, &e);
        return;
    }
    c->task = (struct task){ .run = run_call, .done = end_call, .left = leave_call };
    c->h = h;
    c->name = mem_str(t->name);
    c->args = json_copy(args);
    c->given = json_copy(files);
    c->next = h->running;
    h->running = c;
    h->n_running++;
    if ((c->room = room)) room->n_call++, room->used = clock_ns();
    aside_start(x->sv, x, &c->task);
}

void tools_run(struct exchange *x)
{
    if (!is_own(x)) return;
    struct json *body = api_body(x);
    bool approved = false;
    size_t n = 0, m = 0;
    if (!body) return;
    const char *name = json_str(json_get(body, "name"), &n), *conversation = json_str(json_get(body, "conversation"), &m);
    const struct json *args = there(body, "arguments"), *files = there(body, "files");
    struct tool *t;
    if (!x->sv->hands) reply_error(x, 501, "tools_disabled", NULL, "no tools run here; --tools and --tools-builtin name some");
    else if (!name || strlen(name) != n) reply_error(x, 400, "missing_required_parameter", "name", "name: the name of a tool is needed");
    else if (args && !json_is(args, JSON_OBJECT)) reply_error(x, 400, "invalid_type", "arguments", "arguments: must be an object");
    else if (files && (!json_is(files, JSON_ARRAY) || strcmp(name, "python")))
        reply_error(x, 400, "invalid_value", "files", "files: [{\"name\", \"data\"}] in base64, for the tool python alone");
    else if (conversation && !is_name(conversation, m))
        reply_error(x, 400, "invalid_value", "conversation", "conversation: 1 to %d of A-Z a-z 0-9 _ - are accepted", NAME_MOST);
    else if (take_bool(x, body, "approved", &approved) && (t = allowed(x, name, approved))) {
        struct json *none = json_new_object();
        start(x, t, args ? args : none, files, conversation ? conversation : "-");
        json_free(none);
    }
    json_free(body);
}

void tools_list(struct exchange *x)
{
    struct hands *h = x->sv->hands;
    if (!is_own(x)) return;
    struct json *o = json_new_object(), *list = h ? toolset_described(h->shared) : json_new_array();
    struct json *python = h && h->python ? toolset_described(h->python) : NULL;
    for (size_t i = 0; i < json_len(python); i++) json_push(list, json_copy(json_at(python, i)));
    json_set(o, "object", json_new_str("list"));
    json_set(o, "data", list);
    json_free(python);
    reply_json(x, 200, o);
}
