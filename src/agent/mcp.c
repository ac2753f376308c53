/* mcp.c -- tools of MCP servers, over stdio, of both eras of the protocol.
 *
 * Up to 2025-11-25 a connection opens with `initialize`; from 2026-07-28 on there is no opening, and every request
 * says in its _meta what the client speaks. Which kind a server is, it is asked once: `server/discover` in the new
 * manner; an answer that names the new version settles it, anything else (an error, silence) means the old one.
 *
 * What a server says about its tools is text of strangers: descriptions go to the model as descriptions, hints that
 * a tool only reads count only for servers marked "trusted". Servers start side by side; one that does not come up
 * in time is left out with a warning, the rest works. One that dies is started again, later and later. */
#include <ctype.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "agent/rpc.h"

#define MODERN "2026-07-28"
#define PROBE_MS 3000
#define OPEN_MS 20000
#define CALL_MS 30000
#define PAGES_MOST 1000
#define TOOLS_MOST 512
#define RESTARTS_MOST 5

struct mcp {
    char *name;
    struct words argv, env;
    char *cwd;
    const struct json *config;                                        /* a copy of our own */
    struct json *config_copy, *listed;
    int timeout_ms;
    atomic_int restarts;
    bool modern, trusted, known_era;
    char version[16];
    struct rpc *rpc;
    pthread_mutex_t restart;
    struct err err;                                                   /* why it did not come up */
};
struct mcp_tool { struct mcp *m; char *name; };

/* ---- speaking ---- */

static struct json *client_info(void)
{
    struct json *o = json_new_object();
    json_set(o, "name", json_new_str("tenon"));
    json_set(o, "version", json_new_str(TENON_VERSION));
    return o;
}

static struct json *params_of(const struct mcp *m, bool modern)
{
    struct json *p = json_new_object(), *meta;
    if (!modern) return p;
    meta = json_new_object();
    json_set(meta, "io.modelcontextprotocol/protocolVersion", json_new_str(m->known_era ? m->version : MODERN));
    json_set(meta, "io.modelcontextprotocol/clientInfo", client_info());
    json_set(meta, "io.modelcontextprotocol/clientCapabilities", json_new_object());
    json_set(p, "_meta", meta);
    return p;
}

/* The result of an answer, owned; a JSON-RPC error becomes e. */
static struct json *result_of(struct json *answer, struct err *e)
{
    const struct json *error = json_get(answer, "error"), *r = json_get(answer, "result");
    struct json *out = NULL;
    if (error || !json_is(r, JSON_OBJECT)) {
        int64_t code = 0;
        const char *msg = json_str(json_get(error, "message"), NULL);
        json_i64(json_get(error, "code"), &code);
        err_set(e, ERR_ARG, "protocol error %lld: %.300s", (long long)code, msg ? msg : "no result");
    } else out = json_copy(r);
    json_free(answer);
    return out;
}

static struct json *ask(struct mcp *m, const char *method, struct json *params, int ms, struct err *e)
{
    struct json *a = rpc_call(m->rpc, method, params, ms, NULL, e);
    return a ? result_of(a, e) : NULL;
}

/* ---- opening ---- */

static bool names_modern(const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), MODERN)) return true;
    return false;
}

/* Error −32022 says what it speaks instead. */
static bool says_modern(const struct json *answer)
{
    const struct json *error = json_get(answer, "error");
    int64_t code = 0;
    if (names_modern(json_get(json_get(answer, "result"), "supportedVersions"))) return true;
    return json_i64(json_get(error, "code"), &code) && code == -32022 && names_modern(json_get(json_get(error, "data"), "supported"));
}

static bool start(struct mcp *m, struct err *e)
{
    rpc_close(m->rpc);
    m->rpc = rpc_open(m->argv.p, m->env.p, m->cwd, e);
    return m->rpc != NULL;
}

static bool probe(struct mcp *m, struct err *e)
{
    struct err why = { 0 };
    struct json *a = rpc_call(m->rpc, "server/discover", params_of(m, true), PROBE_MS, NULL, &why);
    m->modern = a && says_modern(a);
    json_free(a);
    m->known_era = true;
    if (m->modern) snprintf(m->version, sizeof m->version, MODERN);
    return !rpc_is_dead(m->rpc) || start(m, e);                       /* some end at the first word they do not know */
}

static bool initialize(struct mcp *m, struct err *e)
{
    static const char *const known[] = { "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05" };
    struct json *p = json_new_object();
    json_set(p, "protocolVersion", json_new_str(known[0]));
    json_set(p, "capabilities", json_new_object());
    json_set(p, "clientInfo", client_info());
    struct json *r = ask(m, "initialize", p, OPEN_MS - PROBE_MS, e);
    if (!r) return false;
    const char *v = json_str(json_get(r, "protocolVersion"), NULL);
    bool ok = false;
    for (size_t i = 0; v && i < LEN(known); i++) ok |= !strcmp(v, known[i]);
    if (ok) snprintf(m->version, sizeof m->version, "%s", v);
    else err_set(e, ERR_UNSUPPORTED, "it speaks version '%.20s'; %s, %s, %s, %s and " MODERN " are accepted", v ? v : "none", known[0], known[1], known[2], known[3]);
    json_free(r);
    return ok && rpc_notify(m->rpc, "notifications/initialized", NULL, e);
}

static bool handshake(struct mcp *m, struct err *e)
{
    if (!start(m, e)) return false;
    if (!m->known_era && !probe(m, e)) return false;
    return m->modern || initialize(m, e);
}

/* All pages of tools/list. */
static struct json *list_tools(struct mcp *m, struct err *e)
{
    struct json *all = json_new_array();
    struct str cursor = { 0 };
    bool has = false;
    for (int page = 0; page < PAGES_MOST; page++) {
        struct json *p = params_of(m, m->modern);
        if (has) json_set(p, "cursor", json_new_strn(cursor.p ? cursor.p : "", cursor.len));
        struct json *r = ask(m, "tools/list", p, m->timeout_ms, e);
        if (!r) goto fail;
        const struct json *tools = json_get(r, "tools");
        for (size_t i = 0; i < json_len(tools); i++) json_push(all, json_copy(json_at(tools, i)));
        size_t len = 0;
        const char *next = json_str(json_get(r, "nextCursor"), &len);
        bool again = next && has && len == cursor.len && !memcmp(next, cursor.p ? cursor.p : "", len);
        str_clear(&cursor);
        if (next) str_put(&cursor, next, len);
        has = next != NULL;
        json_free(r);
        if (!next || again) break;
    }
    str_done(&cursor);
    return all;
fail:
    str_done(&cursor);
    json_free(all);
    return NULL;
}

static void *open_server(void *mcp)
{
    struct mcp *m = mcp;
    if (handshake(m, &m->err)) m->listed = list_tools(m, &m->err);
    return NULL;
}

/* ---- calling ---- */

static void nap(struct cancel *c, int ms)
{
    for (int i = 0; i < ms / 50 && !cancel_is_on(c); i++) nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

/* A server that is gone is started again: after 0, 1, 2, 4, 8 seconds. */
static bool revive(struct mcp *m, struct cancel *c, struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&m->restart);
    if (!m->rpc || rpc_is_dead(m->rpc)) {
        if (m->restarts >= RESTARTS_MOST) ok = err_set(e, ERR_IO, "it was started %d times and ended each time", RESTARTS_MOST + 1);
        else {
            if (m->restarts) nap(c, 500 << m->restarts);
            m->restarts++;
            ok = handshake(m, e);
        }
    }
    pthread_mutex_unlock(&m->restart);
    return ok;
}

static void put_text(struct str *out, const char *s, size_t n)
{
    if (out->len) str_putc(out, '\n');
    str_put(out, s, n);
}

static void put_part(struct tool_result *out, const struct json *part)
{
    const struct json *type = json_get(part, "type"), *res = json_get(part, "resource");
    size_t n = 0, n_data = 0;
    const char *text = json_str(json_get(part, "text"), &n), *mime = json_str(json_get(part, "mimeType"), NULL), *data = json_str(json_get(part, "data"), &n_data);
    if (json_str_is(type, "text") && text) put_text(&out->text, text, n);
    else if (json_str_is(type, "resource") && (text = json_str(json_get(res, "text"), &n))) put_text(&out->text, text, n);
    else {
        struct str s = { 0 };
        const char *kind = json_str(type, NULL), *uri = json_str(json_get(res ? res : part, "uri"), NULL);
        str_fmt(&s, "[%s%s%s%s%s", kind ? kind : "part", mime ? " " : "", mime ? mime : "", uri ? " " : "", uri ? uri : "");
        if (data) str_fmt(&s, ", %zu bytes", n_data / 4 * 3);
        str_putc(&s, ']');
        put_text(&out->text, s.p, s.len);
        str_done(&s);
    }
}

static void read_result(const struct json *r, struct tool_result *out)
{
    const struct json *kind = json_get(r, "resultType"), *content = json_get(r, "content"), *structured = json_get(r, "structuredContent");
    if (kind && json_str_is(kind, "input_required")) {
        tool_fail(out, "The server asks the user for more input, which cannot be given here; call it with all that it needs.");
        return;
    }
    if (kind && !json_str_is(kind, "complete")) {
        tool_fail(out, "The server answered with a result of a kind that is not known.");
        return;
    }
    for (size_t i = 0; i < json_len(content); i++) put_part(out, json_at(content, i));
    if (!out->text.len && structured) {
        json_write(&out->text, structured, JSON_COMPACT);
        out->is_json = true;
    }
    out->is_error = json_bool(json_get(r, "isError"));
    if (!out->text.len) str_puts(&out->text, "(no output)");
}

static void mcp_invoke(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct mcp_tool *mt = t->ctx;
    struct mcp *m = mt->m;
    struct err e = { 0 };
    if (!revive(m, c->cancel, &e)) {
        tool_fail(out, "MCP server %s is not usable: %s.", m->name, e.msg);
        return;
    }
    struct json *p = params_of(m, m->modern);
    json_set(p, "name", json_new_str(mt->name));
    json_set(p, "arguments", json_copy(c->args));
    struct json *a = rpc_call(m->rpc, "tools/call", p, c->timeout_ms, c->cancel, &e);
    struct json *r = a ? result_of(a, &e) : NULL;
    if (a) m->restarts = 0;
    if (r) read_result(r, out);
    else tool_fail(out, e.code == ERR_CANCEL ? "%.0s%s" : "MCP server %s: %s.", m->name, e.msg);
    out->transient = !r && (e.code == ERR_LIMIT || e.code == ERR_IO);
    json_free(r);
}

static void mcp_tool_close(struct tool *t)
{
    struct mcp_tool *mt = t->ctx;
    mem_free(mt->name);
    mem_free(mt);
}

/* ---- tools of a server ---- */

static bool matches(const struct json *patterns, const char *name)
{
    for (size_t i = 0; i < json_len(patterns); i++) {
        const char *p = json_str(json_at(patterns, i), NULL);
        if (p && !fnmatch(p, name, 0)) return true;
    }
    return false;
}

static bool wanted(const struct mcp *m, const char *name)
{
    const struct json *include = json_get(m->config, "include");
    return (!json_len(include) || matches(include, name)) && !matches(json_get(m->config, "exclude"), name);
}

/* What the model may say: other characters become _, and the server stands before it where names meet. */
static char *model_name(const struct toolset *ts, const struct mcp *m, const char *name)
{
    struct str s = { 0 };
    for (int qualify = ts->opts.qualify; qualify < 2; qualify++) {
        str_clear(&s);
        if (qualify) str_fmt(&s, "%s__", m->name);
        str_puts(&s, name);
        for (size_t i = 0; i < s.len; i++)
            if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '-') s.p[i] = '_';
        if (s.len > 64) s.p[s.len = 64] = 0;
        if (!toolset_find(ts, s.p)) break;
    }
    return str_take(&s);
}

static void use_hints(struct tool *t, const struct mcp *m, const struct json *hints)
{
    t->open_world = true;
    if (!m->trusted) return;
    t->read_only = json_bool(json_get(hints, "readOnlyHint"));
    t->idempotent = t->read_only || json_bool(json_get(hints, "idempotentHint"));
}

/* The definition as a request carries it. A schema that nobody can enforce is let go, with a warning. */
static struct json *definition(struct toolset *ts, const struct mcp *m, const struct json *d)
{
    struct json *f = json_new_object();
    const struct json *schema = json_get(d, "inputSchema"), *about = json_get(d, "description");
    struct grammar_opts o = { .relax = true };
    struct err e = { 0 };
    struct grammar *g = json_is(schema, JSON_OBJECT) ? grammar_of_schema(schema, &o, &e) : NULL;
    if (json_is(about, JSON_STRING)) json_set(f, "description", json_copy(about));
    if (g) json_set(f, "parameters", json_copy(schema));
    else if (schema) {
        struct json *any = json_new_object();
        const char *name = json_str(json_get(d, "name"), NULL);
        json_set(any, "type", json_new_str("object"));
        json_set(any, "additionalProperties", json_new_bool(true));
        json_set(any, "properties", json_new_object());
        json_set(f, "parameters", any);
        toolset_warn(ts, "MCP server %s: tool %s: its schema is not used (%s); any object is accepted", m->name, name, e.msg);
    }
    grammar_free(g);
    return f;
}

static void add_tool(struct toolset *ts, struct mcp *m, const struct json *d)
{
    const char *name = json_str(json_get(d, "name"), NULL);
    struct err e = { 0 };
    if (!name || !*name || !wanted(m, name)) return;
    if (ts->n >= TOOLS_MOST) return;
    char *said = model_name(ts, m, name);
    struct str source = { 0 };
    str_fmt(&source, "mcp %s", m->name);
    struct tool *t = tool_new(said, source.p);
    struct mcp_tool *mt = mem_zero(sizeof *mt);
    struct json *f = definition(ts, m, d);
    *mt = (struct mcp_tool){ m, mem_str(name) };
    t->invoke = mcp_invoke;
    t->close = mcp_tool_close;
    t->ctx = mt;
    t->timeout_ms = m->timeout_ms;
    use_hints(t, m, json_get(d, "annotations"));
    if (json_get(m->config, "approve")) json_set(f, "approve", json_copy(json_get(m->config, "approve")));
    bool ok = tool_configure(t, f, &e);
    if (!ok) tool_free(t);
    if (!ok || !toolset_add(ts, t, &e)) toolset_warn(ts, "MCP server %s: tool %.60s is left out: %s", m->name, name, e.msg);
    json_free(f);
    mem_free(said);
    str_done(&source);
}

static void add_tools(struct toolset *ts, struct mcp *m)
{
    for (size_t i = 0; i < json_len(m->listed); i++) add_tool(ts, m, json_at(m->listed, i));
    if (ts->n >= TOOLS_MOST && json_len(m->listed))
        toolset_warn(ts, "MCP server %s: it lists %zu tools; %d in all are offered (choose with \"include\")", m->name, json_len(m->listed), TOOLS_MOST);
    if (rpc_garbage(m->rpc)) toolset_warn(ts, "MCP server %s: it writes lines to stdout that are no messages; they are skipped", m->name);
}

/* ---- the list changes ---- */

static bool is_ours(const struct tool *t, const struct mcp *m) { return t->close == mcp_tool_close && ((struct mcp_tool *)t->ctx)->m == m; }

static const struct json *find_listed(const struct json *list, const char *name)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_get(json_at(list, i), "name"), name)) return json_at(list, i);
    return NULL;
}

/* Known tools keep their place; one that is defined anew is asked for again. True: something changed. */
static bool update_known(struct toolset *ts, struct mcp *m, const struct json *list)
{
    bool changed = false;
    size_t kept = 0;
    for (size_t i = 0; i < ts->n; i++) {
        struct tool *t = ts->tool[i];
        const char *name = is_ours(t, m) ? ((struct mcp_tool *)t->ctx)->name : NULL;
        const struct json *d = name ? find_listed(list, name) : NULL, *was = name ? find_listed(m->listed, name) : NULL;
        if (name && !d) {
            tool_free(t);
            changed = true;
            continue;
        }
        if (d && was && !json_equal(d, was)) {
            struct err e = { 0 };
            struct json *f = definition(ts, m, d);
            tool_configure(t, f, &e);
            json_free(t->schema);
            t->schema = tool_schema(t->function);
            json_free(f);
            t->changed = changed = true;
        }
        ts->tool[kept++] = t;
    }
    ts->n = kept;
    return changed;
}

bool mcp_refresh(struct toolset *ts, struct mcp *m)
{
    struct err e = { 0 };
    if (!m->rpc || rpc_is_dead(m->rpc) || !rpc_take_changed(m->rpc)) return false;
    struct json *list = list_tools(m, &e), *was = m->listed;
    if (!list) {
        toolset_warn(ts, "MCP server %s: its changed list cannot be read: %s", m->name, e.msg);
        return false;
    }
    bool changed = update_known(ts, m, list);
    m->listed = list;
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = json_str(json_get(json_at(list, i), "name"), NULL);
        if (!name || find_listed(was, name)) continue;
        add_tool(ts, m, json_at(list, i));
        changed = true;
    }
    json_free(was);
    return changed;
}

struct json *mcp_status(const struct mcp *m)
{
    struct json *o = json_new_object();
    json_set(o, "server", json_new_str(m->name));
    json_set(o, "state", json_new_str(!m->listed ? "left out" : rpc_is_dead(m->rpc) ? "ended" : "running"));
    json_set(o, "version", json_new_str(m->version));
    json_set(o, "tools", json_new_int((int64_t)json_len(m->listed)));
    if (m->err.code) json_set(o, "error", json_new_str(m->err.msg));
    return o;
}

/* ---- configuration ---- */

void mcp_close(struct mcp *m)
{
    if (!m) return;
    rpc_close(m->rpc);
    pthread_mutex_destroy(&m->restart);
    json_free(m->config_copy);
    json_free(m->listed);
    words_done(&m->argv);
    words_done(&m->env);
    mem_free(m->cwd);
    mem_free(m->name);
    mem_free(m);
}

static bool put_argv(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const char *command = json_str(json_get(m->config, "command"), NULL);
    const struct json *args = json_get(m->config, "args");
    if (json_get(m->config, "url")) return err_set(e, ERR_UNSUPPORTED, "url: this build speaks to MCP servers over stdio only (command, args)");
    if (!command || !*command) return err_set(e, ERR_ARG, "command: the program that is the server is needed");
    if (args && !json_is(args, JSON_ARRAY)) return err_set(e, ERR_ARG, "args: must be an array of strings");
    char *word = toolset_expand(ts, command, dir, e);
    if (!word) return false;
    words_put(&m->argv, word);
    for (size_t i = 0; i < json_len(args); i++) {
        const char *s = json_str(json_at(args, i), NULL);
        if (!s) return err_set(e, ERR_ARG, "args[%zu]: must be a string", i);
        if (!(word = toolset_expand(ts, s, dir, e))) return err_in(e, "args[%zu]", i);
        words_put(&m->argv, word);
    }
    return true;
}

static bool configure(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const struct json *cwd = json_get(m->config, "cwd"), *ms = json_get(m->config, "timeout_ms");
    int64_t n = CALL_MS;
    if (!json_is(m->config, JSON_OBJECT)) return err_set(e, ERR_ARG, "must be an object with a command");
    if (!put_argv(ts, m, dir, e)) return false;
    if (cwd && (!json_is(cwd, JSON_STRING) || !(m->cwd = toolset_expand(ts, json_str(cwd, NULL), dir, e)))) return err_set(e, ERR_ARG, "cwd: must be a string");
    if (ms && (!json_i64(ms, &n) || n < 1 || n > 86400000)) return err_set(e, ERR_ARG, "timeout_ms: a whole number from 1 on is accepted");
    m->timeout_ms = (int)n;
    m->trusted = json_bool(json_get(m->config, "trusted"));
    return make_env(ts, json_get(m->config, "env"), dir, &m->env, e);
}

static struct mcp *new_server(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e)
{
    struct mcp *m = mem_zero(sizeof *m);
    m->name = mem_str(name);
    m->config = m->config_copy = json_copy(config);
    pthread_mutex_init(&m->restart, NULL);
    if (configure(ts, m, dir, e)) return m;
    err_in(e, "mcpServers.%s", name);
    mcp_close(m);
    return NULL;
}

bool mcp_read(struct toolset *ts, const struct json *servers, const char *dir, struct err *e)
{
    size_t first = ts->n_mcp;
    if (servers && !json_is(servers, JSON_OBJECT)) return err_set(e, ERR_ARG, "mcpServers: must be an object, a member a server");
    for (struct json_iter it = json_iter(servers); json_next(&it);) {
        struct mcp *m = new_server(ts, it.key, it.value, dir, e);
        if (!m) return false;
        MEM_GROW(ts->mcp, ts->n_mcp, ts->cap_mcp);
        ts->mcp[ts->n_mcp++] = m;
    }
    pthread_t *thread = mem_zero((ts->n_mcp - first + 1) * sizeof *thread);
    bool *runs = mem_zero(ts->n_mcp - first + 1);
    for (size_t i = first; i < ts->n_mcp; i++) {
        runs[i - first] = !pthread_create(&thread[i - first], NULL, open_server, ts->mcp[i]);
        if (!runs[i - first]) open_server(ts->mcp[i]);
    }
    for (size_t i = first; i < ts->n_mcp; i++)
        if (runs[i - first]) pthread_join(thread[i - first], NULL);
    mem_free(thread);
    mem_free(runs);
    for (size_t i = first; i < ts->n_mcp; i++) {                      /* in the order of the file, whoever was ready first */
        struct mcp *m = ts->mcp[i];
        if (m->listed) add_tools(ts, m);
        else toolset_warn(ts, "MCP server %s is left out: %s", m->name, m->err.msg);
    }
    return true;
}
