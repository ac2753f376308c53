/* mcp_state.c -- what is remembered of an MCP server between runs: its tools as they were listed last, and as they were
 * when they were seen first or allowed anew.
 *
 * A server that describes a tool in one way until it is trusted, and in another way after that, is caught here: what differs
 * from what is pinned is asked about, whatever allows it, with the difference shown. One file a server, named by how it is
 * started (or its address), so a server of another file is another server. A lazy server is offered from the list alone
 * and started by its first call; its tools are then compared before that call is made. */

#include "agent/mcp.h"

/* What a user agrees to: what the model is told of a tool, what it may be given, and what it says of itself. */
static struct json *essence(const struct json *d)
{
    static const char *const members[] = { "title", "description", "inputSchema", "annotations" };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(members); i++)
        if (json_get(d, members[i])) json_set(o, members[i], json_copy(json_get(d, members[i])));
    return o;
}

bool mcp_same(const struct json *a, const struct json *b)
{
    struct json *x = essence(a), *y = essence(b);
    bool same = json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static char *file_of(const struct mcp *m)
{
    struct str id = { 0 }, path = { 0 };
    char hex[65];
    if (!m->ts->opts.state_dir) return NULL;
    str_fmt(&id, "%s\n%s\n", m->name, m->url ? m->url : "");
    for (int i = 0; i < m->argv.n; i++) str_fmt(&id, "%s\n", m->argv.p[i]);
    sha256_hex(id.p, id.len, hex);
    str_fmt(&path, "%s/servers/%.32s.json", m->ts->opts.state_dir, hex);
    str_done(&id);
    return str_take(&path);
}

void mcp_state_read(struct mcp *m)
{
    struct err ignored = { 0 };
    char *path = file_of(m);
    struct json *v = path && file_exists(path) ? json_read(path, &ignored) : NULL;
    m->pinned = json_is(json_get(v, "pinned"), JSON_OBJECT) ? json_copy(json_get(v, "pinned")) : NULL;
    m->known = m->pinned != NULL;
    if (!m->pinned) m->pinned = json_new_object();
    if (json_is(json_get(v, "listed"), JSON_ARRAY)) m->cached = json_copy(json_get(v, "listed"));
    m->modern = json_bool(json_get(v, "modern"));
    json_free(v);
    mem_free(path);
}

void mcp_state_write(struct mcp *m)
{
    struct err e = { 0 };
    struct str text = { 0 };
    char *path = file_of(m);
    if (!path) return;
    struct json *o = json_new_object();
    json_set(o, "server", json_new_str(m->name));
    json_set(o, "modern", json_new_bool(m->modern));
    json_set(o, "pinned", json_copy(m->pinned));
    json_set(o, "listed", m->listed ? json_copy(m->listed) : json_new_array());
    json_write(&text, o, JSON_COMPACT);
    dirs_make(path);                                    /* else writing says why not */
    if (!file_write(path, text.p, text.len, &e)) log_line(LOG_WARN, "mcp_state_not_kept server=%s why=\"%s\"", m->name, e.msg);
    json_free(o);
    str_done(&text);
    mem_free(path);
}

void mcp_pin(struct mcp *m, const struct json *d) { json_set(m->pinned, json_str(json_get(d, "name"), NULL), json_copy(d)); }

void mcp_pin_check(struct tool *t, struct mcp *m, const struct json *d)
{
    const struct json *was = json_get(m->pinned, json_str(json_get(d, "name"), NULL));
    if (!was) {
        if (m->known) toolset_warn(m->ts, "MCP server %s: %s is a tool that it did not have before", m->name, t->name);
        mcp_pin(m, d);
        return;
    }
    mem_free(t->difference);
    t->difference = NULL;
    t->changed = !mcp_same(was, d);
    if (!t->changed) return;
    struct json *old = essence(was), *now = essence(d);
    struct str s = { 0 };
    diff_json(&s, old, now);
    t->difference = str_take(&s);
    json_free(old);
    json_free(now);
}
