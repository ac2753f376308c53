/* mcp_tools.c -- the tools of an MCP server as records of the toolset, and how they change between turns.
 *
 * What a server says about its tools is text of strangers: descriptions go to the model as descriptions, hints that
 * a tool only reads count only for servers marked "trusted". A tool that is defined anew keeps its place, because the
 * prompt is rendered in this order, and is asked for again, even if it was allowed (mcp_state.c). */
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>

#include "agent/mcp.h"

#define TOOLS_MOST 512
#define TOOLS_MOST_CHOSEN 8192              /* where the model is shown a choice of them */

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

/* What the model may say: other characters become _, and the server stands before it where names meet; a number
 * behind it where that does not help, because names were cut. */
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
    for (int i = 2; toolset_find(ts, s.p) && i < 1000; i++) {
        char number[12];
        int n = snprintf(number, sizeof number, "_%d", i);
        if (i > 2) s.p[s.len -= strlen(strrchr(s.p, '_'))] = 0;
        if (s.len + (size_t)n > 64) s.p[s.len = 64 - (size_t)n] = 0;
        str_puts(&s, number);
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

void mcp_schemas(struct mcp_tool *mt, const struct json *definition)
{
    json_free(mt->schema);
    json_free(mt->results);
    mt->schema = json_copy(json_get(definition, "inputSchema"));
    mt->results = json_copy(json_get(definition, "outputSchema"));
}

static void mcp_tool_close(struct tool *t)
{
    struct mcp_tool *mt = t->ctx;
    mem_free(mt->name);
    json_free(mt->schema);
    json_free(mt->results);
    mem_free(mt);
}

static void mcp_tool_accept(struct tool *t)
{
    struct mcp_tool *mt = t->ctx;
    const struct json *d = mcp_find(mt->m->listed, mt->name);
    if (!d) return;
    mcp_pin(mt->m, d);
    mcp_state_write(mt->m);
}

/* A server that reads arguments from headers refuses calls of a tool whose headers cannot be made. */
static bool headers_ok(struct toolset *ts, const struct mcp *m, const struct json *d)
{
    struct err e = { 0 };
    if (!m->url || !m->modern || mcp_headers_ok(json_get(d, "inputSchema"), &e)) return true;
    toolset_warn(ts, "MCP server %s: tool %.60s is left out: %s", m->name, json_str(json_get(d, "name"), NULL), e.msg);
    return false;
}

static size_t tools_most(const struct toolset *ts) { return ts->opts.retrieves ? TOOLS_MOST_CHOSEN : TOOLS_MOST; }

static void add_tool(struct toolset *ts, struct mcp *m, const struct json *d)
{
    const char *name = json_str(json_get(d, "name"), NULL);
    struct err e = { 0 };
    if (!name || !*name || !wanted(m, name)) return;
    if (ts->n >= tools_most(ts) || !headers_ok(ts, m, d)) return;
    char *said = model_name(ts, m, name);
    struct str source = { 0 };
    str_fmt(&source, "mcp %s", m->name);
    struct tool *t = tool_new(said, source.p);
    struct mcp_tool *mt = mem_zero(sizeof *mt);
    struct json *f = definition(ts, m, d);
    *mt = (struct mcp_tool){ .m = m, .name = mem_str(name) };
    mcp_schemas(mt, d);
    t->invoke = mcp_invoke;
    t->close = mcp_tool_close;
    t->ctx = mt;
    t->timeout_ms = m->timeout_ms;
    use_hints(t, m, json_get(d, "annotations"));
    static const char *const passed[] = { "approve", "pinned", "result_tokens" };
    for (size_t i = 0; i < LEN(passed); i++)
        if (json_get(m->config, passed[i])) json_set(f, passed[i], json_copy(json_get(m->config, passed[i])));
    t->accept = mcp_tool_accept;
    mcp_pin_check(t, m, d);
    bool ok = tool_configure(t, f, &e);
    if (!ok) tool_free(t);
    if (!ok || !toolset_add(ts, t, &e)) toolset_warn(ts, "MCP server %s: tool %.60s is left out: %s", m->name, name, e.msg);
    json_free(f);
    mem_free(said);
    str_done(&source);
}

void mcp_add_tools(struct toolset *ts, struct mcp *m)
{
    for (size_t i = 0; i < json_len(m->listed); i++) add_tool(ts, m, json_at(m->listed, i));
    if (ts->n >= tools_most(ts) && json_len(m->listed))
        toolset_warn(ts, "MCP server %s: it lists %zu tools; %zu in all are offered (choose with \"include\")", m->name, json_len(m->listed), tools_most(ts));
    if (m->rpc && rpc_garbage(m->rpc)) toolset_warn(ts, "MCP server %s: it writes lines to stdout that are no messages; they are skipped", m->name);
}

/* ---- the list changes ---- */

static bool is_ours(const struct tool *t, const struct mcp *m) { return t->close == mcp_tool_close && ((struct mcp_tool *)t->ctx)->m == m; }

const struct json *mcp_find(const struct json *list, const char *name)
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
        const struct json *d = name ? mcp_find(list, name) : NULL, *was = name ? mcp_find(m->listed, name) : NULL;
        if (name && (!d || !headers_ok(ts, m, d))) {
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
            mcp_schemas(t->ctx, d);
            mcp_pin_check(t, m, d);
            changed = true;
        }
        ts->tool[kept++] = t;
    }
    ts->n = kept;
    return changed;
}

static struct json *listen_params(const struct mcp *m)
{
    struct json *p = mcp_params(m), *what = json_new_object();
    json_set(what, "toolsListChanged", json_new_bool(true));
    json_set(p, "notifications", what);
    return p;
}

bool mcp_refresh(struct toolset *ts, struct mcp *m)
{
    struct err e = { 0 };
    if (!m->rpc || rpc_is_dead(m->rpc)) return false;
    if (m->lists_change) rpc_listen(m->rpc, listen_params(m));
    bool stale = m->stale_at && clock_ns() > m->stale_at;
    if (!rpc_take_changed(m->rpc) && !stale) return false;
    struct json *list = mcp_list(m, &e), *was = m->listed;
    if (!list) {
        toolset_warn(ts, "MCP server %s: its changed list cannot be read: %s", m->name, e.msg);
        return false;
    }
    bool changed = update_known(ts, m, list);
    m->listed = list;
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = json_str(json_get(json_at(list, i), "name"), NULL);
        if (!name || mcp_find(was, name)) continue;
        add_tool(ts, m, json_at(list, i));
        changed = true;
    }
    json_free(was);
    pthread_mutex_lock(&m->restart);
    json_free(m->verify);
    m->verify = NULL;
    pthread_mutex_unlock(&m->restart);
    if (changed) mcp_state_write(m);
    return changed;
}

bool mcp_holds(struct mcp_tool *mt)
{
    pthread_mutex_lock(&mt->m->restart);
    const struct json *now = mcp_find(mt->m->verify, mt->name), *was = mcp_find(mt->m->listed, mt->name);
    bool holds = !mt->m->verify || (now && was && mcp_same(now, was));
    pthread_mutex_unlock(&mt->m->restart);
    return holds;
}

bool mcp_is(const struct mcp *m, const char *name) { return !strcmp(m->name, name); }

struct json *mcp_status(const struct mcp *m)
{
    struct json *o = json_new_object();
    json_set(o, "server", json_new_str(m->name));
    json_set(o, "state", json_new_str(!m->listed ? "left out" : !m->rpc ? "not started" : rpc_is_dead(m->rpc) ? "ended" : "running"));
    json_set(o, "version", json_new_str(m->version));
    json_set(o, "over", json_new_str(m->url ? "http" : "stdio"));
    json_set(o, "tools", json_new_int((int64_t)json_len(m->listed)));
    if (m->err.code) json_set(o, "error", json_new_str(m->err.msg));
    return o;
}
