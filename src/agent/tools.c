/* tools.c -- what can be called: one record per tool, whatever it is made of, in one stable order.
 *
 * The object of --tools is read here: `commands`, `http`, `openapi` and `mcpServers` each become records, in the
 * order of the file, because the prompt is rendered from them and its prefix is cached: no order of arrival, no
 * hashing. Also here: names that models can say, the values that must not be shown (`${env:…}`), and the
 * definition that a request carries. Not here: running anything. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "agent/int.h"

#define NAME_MOST 64
#define HEADERS_MOST 60
#define SECRET_SHORTEST 4                   /* shorter values would be found everywhere */

struct toolset *toolset_open(const struct toolset_opts *o)
{
    struct toolset *ts = mem_zero(sizeof *ts);
    if (o) ts->opts = *o;
    if (ts->opts.state_dir) ts->opts.state_dir = mem_str(ts->opts.state_dir);
    if (ts->opts.backup_dir) ts->opts.backup_dir = mem_str(ts->opts.backup_dir);
    pthread_mutex_init(&ts->asking, NULL);
    return ts;
}

void tool_free(struct tool *t)
{
    if (!t) return;
    if (t->close) t->close(t);
    json_free(t->function);
    json_free(t->schema);
    mem_free(t->name);
    mem_free(t->source);
    mem_free(t->difference);
    mem_free(t);
}

void toolset_close(struct toolset *ts)
{
    if (!ts) return;
    for (size_t i = 0; i < ts->n; i++) tool_free(ts->tool[i]);
    for (size_t i = 0; i < ts->n_mcp; i++) mcp_close(ts->mcp[i]);
    interp_close(ts->interp);
    for (size_t i = 0; i < ts->n_secret; i++) mem_free(ts->secret[i].name), mem_free(ts->secret[i].value);
    mem_free(ts->tool);
    mem_free(ts->mcp);
    mem_free(ts->secret);
    mem_free((char *)(uintptr_t)ts->opts.state_dir);
    mem_free((char *)(uintptr_t)ts->opts.backup_dir);
    str_done(&ts->warnings);
    pthread_mutex_destroy(&ts->asking);
    mem_free(ts);
}

void toolset_warn(struct toolset *ts, const char *fmt, ...)
{
    char line[1000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    str_fmt(&ts->warnings, "%s\n", line);
}

const char *toolset_warnings(const struct toolset *ts) { return ts->warnings.p ? ts->warnings.p : ""; }
size_t toolset_n(const struct toolset *ts) { return ts ? ts->n : 0; }
struct tool *toolset_at(const struct toolset *ts, size_t i) { return ts->tool[i]; }
const struct agent_limits *toolset_limits(const struct toolset *ts) { return &ts->limits; }

struct tool *toolset_find(const struct toolset *ts, const char *name)
{
    for (size_t i = 0; ts && name && i < ts->n; i++)
        if (!strcmp(ts->tool[i]->name, name)) return ts->tool[i];
    return NULL;
}

/* ---- the nearest name: edit distance, two rows ---- */

static int distance(const char *a, const char *b)
{
    int row[NAME_MOST + 2], n = (int)MIN(strlen(b), (size_t)NAME_MOST);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int swap = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            row[j] = MIN(swap, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

struct tool *toolset_nearest(const struct toolset *ts, const char *name)
{
    struct tool *best = NULL;
    int least = 1 << 20;
    for (size_t i = 0; i < toolset_n(ts); i++) {
        int d = distance(name, ts->tool[i]->name);
        if (d < least) least = d, best = ts->tool[i];
    }
    return best;
}

/* ---- records ---- */

struct tool *tool_new(const char *name, const char *source)
{
    struct tool *t = mem_zero(sizeof *t);
    t->name = mem_str(name);
    t->source = mem_str(source);
    return t;
}

static bool read_policy(struct tool *t, const struct json *v, struct err *e)
{
    static const char *const words[] = { [POLICY_ALLOW] = "allow", [POLICY_ASK] = "ask", [POLICY_DENY] = "deny" };
    if (!v) return true;
    for (int i = POLICY_ALLOW; i <= POLICY_DENY; i++)
        if (json_str_is(v, words[i])) return t->policy = (enum policy)i, true;
    return err_set(e, ERR_ARG, "approve: allow, ask and deny are accepted");
}

static bool read_number(const struct json *config, const char *key, int *out, struct err *e)
{
    const struct json *v = json_get(config, key);
    int64_t n;
    if (!v) return true;
    if (!json_i64(v, &n) || n < 1 || n > 1 << 30) return err_set(e, ERR_ARG, "%s: a whole number from 1 on is accepted", key);
    *out = (int)n;
    return true;
}

static bool read_flag(const struct json *config, const char *key, bool *out, struct err *e)
{
    const struct json *v = json_get(config, key);
    if (v && !json_is(v, JSON_BOOL)) return err_set(e, ERR_ARG, "%s: true and false are accepted", key);
    if (v) *out = json_bool(v);
    return true;
}

bool tool_configure(struct tool *t, const struct json *config, struct err *e)
{
    const struct json *about = json_get(config, "description"), *par = json_get(config, "parameters");
    if (!par) par = json_get(config, "input_schema");
    json_free(t->function);
    t->function = json_new_object();
    json_set(t->function, "name", json_new_str(t->name));
    if (about && !json_is(about, JSON_STRING)) return err_set(e, ERR_ARG, "description: must be a string");
    if (about) json_set(t->function, "description", json_copy(about));
    if (par && !json_is(par, JSON_OBJECT)) return err_set(e, ERR_ARG, "parameters: must be a JSON Schema object");
    if (par) json_set(t->function, "parameters", json_copy(par));
    return read_policy(t, json_get(config, "approve"), e) && read_number(config, "timeout_ms", &t->timeout_ms, e) &&
           read_number(config, "result_tokens", &t->result_tokens, e) && read_flag(config, "read_only", &t->read_only, e) &&
           read_flag(config, "idempotent", &t->idempotent, e) && read_flag(config, "pinned", &t->pinned, e);
}

static bool name_is_legal(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-') return false;
    return n >= 1 && n <= NAME_MOST;
}

static bool check_record(const struct toolset *ts, struct tool *t, struct err *e)
{
    const struct tool *twin = toolset_find(ts, t->name);
    struct err why = { 0 };
    if (!name_is_legal(t->name)) return err_set(e, ERR_ARG, "'%.80s' is not a name: 1 to %d of A-Z a-z 0-9 _ - are accepted", t->name, NAME_MOST);
    if (twin) return err_set(e, ERR_ARG, "the name is taken by a tool of %s", twin->source);
    const struct json *type = json_get(json_get(t->function, "parameters"), "type");
    if (type && !json_str_is(type, "object")) return err_set(e, ERR_SCHEMA, "parameters: /type: must be object");
    json_free(t->schema);
    t->schema = tool_schema(t->function);
    struct json *probe = json_new_object();
    bool known = schema_check(t->schema, probe, NULL, &why) || (why.code != ERR_UNSUPPORTED && why.code != ERR_SCHEMA);
    json_free(probe);
    return known || err_set(e, ERR_SCHEMA, "parameters: %s", why.msg);
}

void tool_accept(struct tool *t)
{
    if (t->changed && t->accept) t->accept(t);
    t->changed = false;
    mem_free(t->difference);
    t->difference = NULL;
}

bool toolset_add(struct toolset *ts, struct tool *t, struct err *e)
{
    if (!t->function) {
        t->function = json_new_object();
        json_set(t->function, "name", json_new_str(t->name));
    }
    if (!check_record(ts, t, e)) {
        err_in(e, "tool %.80s", t->name);
        tool_free(t);
        return false;
    }
    if (t->policy == POLICY_DEFAULT) t->policy = POLICY_ASK;
    MEM_GROW(ts->tool, ts->n, ts->cap);
    ts->tool[ts->n++] = t;
    return true;
}

struct json *toolset_definitions(const struct toolset *ts)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < toolset_n(ts); i++) {
        struct json *o = json_new_object();
        json_set(o, "type", json_new_str("function"));
        json_set(o, "function", json_copy(ts->tool[i]->function));
        json_push(list, o);
    }
    return list;
}

const char *policy_name(enum policy p) { return p == POLICY_ALLOW ? "allow" : p == POLICY_DENY ? "deny" : "ask"; }

struct json *toolset_described(const struct toolset *ts)
{
    struct json *list = json_new_array();
    for (size_t i = 0; i < toolset_n(ts); i++) {
        const struct tool *t = ts->tool[i];
        struct json *o = json_new_object();
        json_set(o, "type", json_new_str("function"));
        json_set(o, "function", json_copy(t->function));
        json_set(o, "source", json_new_str(t->source));
        json_set(o, "approve", json_new_str(policy_name(t->changed && t->policy == POLICY_ALLOW ? POLICY_ASK : t->policy)));
        json_set(o, "read_only", json_new_bool(t->read_only));
        json_push(list, o);
    }
    return list;
}

#define CALL_MS 60000

void toolset_call(struct toolset *ts, struct tool *t, const struct json *args, struct cancel *c, struct tool_result *out)
{
    struct str text = { 0 }, clean = { 0 };
    struct err e = { 0 };
    if (!schema_check(t->schema, args, NULL, &e)) {
        tool_fail_schema(out, &e);
        return;
    }
    json_write(&text, args, JSON_COMPACT);
    struct invocation in = { "call_1", args, { text.p, text.len }, c, t->timeout_ms ? t->timeout_ms : ts->limits.call_ms ? ts->limits.call_ms : CALL_MS };
    t->invoke(t, &in, out);
    result_clean(&clean, out->text.p ? out->text.p : "", out->text.len);
    toolset_hide(ts, &clean);
    str_done(&out->text);
    out->text = clean;
    str_done(&text);
}

/* ---- ${env:NAME} ---- */

void percent_encode(struct str *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (isalnum(c) || (c && strchr("-_.~", c))) str_putc(out, (char)c);
        else str_fmt(out, "%%%02X", c);
    }
}

void toolset_secret(struct toolset *ts, const char *name, const char *value)
{
    for (size_t i = 0; i < ts->n_secret; i++)
        if (!strcmp(ts->secret[i].name, name) && !strcmp(ts->secret[i].value, value)) return;
    MEM_GROW(ts->secret, ts->n_secret, ts->cap_secret);
    ts->secret[ts->n_secret++] = (struct secret){ mem_str(name), mem_str(value) };
}

static bool put_env(struct toolset *ts, const char *p, size_t n, bool encode, struct str *out, struct err *e)
{
    size_t from = out->len;
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)MIN(n, sizeof name - 1), p);
    const char *value = getenv(name);
    if (!value) return err_set(e, ERR_ARG, "${env:%s}: the environment has no %s", name, name);
    toolset_secret(ts, name, value);
    if (encode) percent_encode(out, value, strlen(value));
    else str_puts(out, value);
    if (encode && out->len > from) toolset_secret(ts, name, out->p + from);
    return true;
}

static char *expand(struct toolset *ts, const char *s, const char *dir, bool encode, struct err *e)
{
    struct str out = { 0 };
    while (*s) {
        const char *close = !strncmp(s, "${env:", 6) ? strchr(s, '}') : NULL;
        if (close) {
            if (!put_env(ts, s + 6, (size_t)(close - s) - 6, encode, &out, e)) return str_done(&out), NULL;
            s = close + 1;
        } else if (!strncmp(s, "${dir}", 6)) {
            str_puts(&out, dir);
            s += 6;
        } else str_putc(&out, *s++);
    }
    return str_take(&out);
}

char *toolset_expand(struct toolset *ts, const char *s, const char *dir, struct err *e) { return expand(ts, s, dir, false, e); }
char *toolset_expand_encoded(struct toolset *ts, const char *s, const char *dir, struct err *e) { return expand(ts, s, dir, true, e); }

void toolset_hide(const struct toolset *ts, struct str *text)
{
    for (size_t i = 0; ts && i < ts->n_secret; i++) {
        const struct secret *s = &ts->secret[i];
        size_t n = strlen(s->value);
        if (n < SECRET_SHORTEST || !text->len || !memmem(text->p, text->len, s->value, n)) continue;
        struct str out = { 0 };
        const char *p = text->p, *end = p + text->len;
        for (const char *hit; (hit = memmem(p, (size_t)(end - p), s->value, n)); p = hit + n) {
            str_put(&out, p, (size_t)(hit - p));
            str_fmt(&out, "${env:%s}", s->name);
        }
        str_put(&out, p, (size_t)(end - p));
        str_done(text);
        *text = out;
    }
}

/* ---- {name} ---- */

/* {name} at p: its length with braces, 0 if there is none. What is no word ({print $1}) is text. */
size_t slot_len(const char *p)
{
    static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t n = *p == '{' ? strspn(p + 1, word) : 0;
    return n && p[n + 1] == '}' ? n + 2 : 0;
}

const struct json *slot_value(const struct json *args, const char *p, size_t n)
{
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)MIN(n - 2, sizeof name - 1), p + 1);
    return json_get(args, name);
}

static void put_ours(struct words *env, const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    struct str s = { 0 };
    if (!v) v = otherwise;
    if (!v) return;
    str_fmt(&s, "%s=%s", name, v);
    words_put(env, str_take(&s));
}

static bool put_entry(struct toolset *ts, const char *entry, const char *dir, struct words *env, struct err *e)
{
    if (!strchr(entry, '=')) {
        put_ours(env, entry, NULL);
        return true;
    }
    char *v = toolset_expand(ts, entry, dir, e);
    if (v) words_put(env, v);
    return v != NULL;
}

bool make_env(struct toolset *ts, const struct json *extra, const char *dir, struct words *env, struct err *e)
{
    put_ours(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
    put_ours(env, "HOME", NULL);
    put_ours(env, "LANG", NULL);
    words_put(env, mem_str("TERM=dumb"));
    if (extra && !json_is(extra, JSON_ARRAY) && !json_is(extra, JSON_OBJECT))
        return err_set(e, ERR_ARG, "env: an array of names (or NAME=value), or an object, is accepted");
    for (size_t i = 0; json_is(extra, JSON_ARRAY) && i < json_len(extra); i++) {
        const char *s = json_str(json_at(extra, i), NULL);
        if (!s) return err_set(e, ERR_ARG, "env[%zu]: must be a string", i);
        if (!put_entry(ts, s, dir, env, e)) return false;
    }
    if (!json_is(extra, JSON_OBJECT)) return true;
    for (struct json_iter it = json_iter(extra); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        struct str entry = { 0 };
        if (!s) return err_set(e, ERR_ARG, "env.%s: must be a string", it.key);
        str_fmt(&entry, "%s=%s", it.key, s);
        bool ok = put_entry(ts, entry.p, dir, env, e);
        str_done(&entry);
        if (!ok) return false;
    }
    return true;
}

bool toolset_headers(struct toolset *ts, const struct json *v, const char *dir, struct words *out, struct err *e)
{
    if (v && !json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "headers: must be an object");
    if (json_len(v) > HEADERS_MOST) return err_set(e, ERR_ARG, "headers: at most %d are accepted", HEADERS_MOST);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        char *value = s ? toolset_expand(ts, s, dir, e) : (err_set(e, ERR_ARG, "must be a string"), NULL);
        if (!value) return err_in(e, "headers.%s", it.key);
        words_put(out, mem_str(it.key));
        words_put(out, value);
    }
    return true;
}

/* ---- definitions that nothing stands behind ---- */

static void nothing_behind(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    tool_fail(out, "The tool %s is only declared: nothing was given that could run it. Answer without it.", t->name);
}

static bool read_declared(struct toolset *ts, const struct json *v, struct err *e)
{
    struct json *list = tools_normalise(v, e);
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < json_len(list); i++) {
        const struct json *f = tool_function(json_at(list, i));
        struct tool *t = tool_new(json_str(json_get(f, "name"), NULL), "declaration");
        t->policy = POLICY_ALLOW;
        t->read_only = true;
        t->invoke = nothing_behind;
        ok = tool_configure(t, f, e);
        if (ok) ok = toolset_add(ts, t, e);
        else tool_free(t);
    }
    json_free(list);
    return ok;
}

/* ---- the object ---- */

typedef bool read_fn(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e);
static bool read_group(struct toolset *ts, const struct json *sources, const char *group, read_fn *read, const char *dir, struct err *e)
{
    const struct json *v = json_get(sources, group);
    if (v && !json_is(v, JSON_OBJECT)) return err_set(e, ERR_ARG, "%s: must be an object, a member a tool", group);
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (!read(ts, it.key, it.value, dir, e)) return err_in(e, "%s.%s", group, it.key);
    return true;
}

/* A member that nobody reads would be a tool that silently is not there. */
static bool members_known(const struct json *v, struct err *e)
{
    static const char *const known[] = { "mcpServers", "commands", "http", "openapi", "limits", "$schema" };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        bool is_known = false;
        for (size_t i = 0; i < LEN(known); i++) is_known |= !strcmp(it.key, known[i]);
        if (!is_known)
            return err_set(e, ERR_ARG, "'%.60s' is not a member of a tools file; mcpServers, commands, http, openapi and limits are", it.key);
    }
    return true;
}

static bool read_sources(struct toolset *ts, const struct json *v, const char *dir, struct err *e)
{
    return members_known(v, e) && agent_limits_read(&ts->limits, json_get(v, "limits"), e) && read_group(ts, v, "commands", command_read, dir, e) &&
           read_group(ts, v, "http", web_read, dir, e) && openapi_read(ts, json_get(v, "openapi"), dir, e) &&
           mcp_read(ts, json_get(v, "mcpServers"), dir, e);
}

bool toolset_read_json(struct toolset *ts, const struct json *v, const char *dir, struct err *e)
{
    if (json_is(v, JSON_ARRAY) || json_is(json_get(v, "tools"), JSON_ARRAY)) return read_declared(ts, v, e);
    if (json_is(v, JSON_OBJECT)) return read_sources(ts, v, dir, e);
    return err_set(e, ERR_ARG, "an array of tools, or an object with commands, mcpServers …, is accepted");
}

bool toolset_read(struct toolset *ts, const char *path, struct err *e)
{
    struct json *v = json_read(path, e);
    if (!v) return false;
    const char *slash = strrchr(path, '/');
    struct str dir = { 0 };
    if (slash) str_put(&dir, path, (size_t)MAX(slash - path, 1));
    else str_puts(&dir, ".");
    bool ok = toolset_read_json(ts, v, dir.p, e) || err_in(e, "%s", path);
    str_done(&dir);
    json_free(v);
    return ok;
}

bool toolset_builtin(struct toolset *ts, const char *names, struct err *e)
{
    for (const char *p = names; *p;) {
        char name[NAME_MOST + 1];
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)MIN(n, (size_t)NAME_MOST), p);
        if (n && !(strcmp(name, "python") ? builtin_add(ts, name, e) : interp_add(ts, e))) return false;
        p += n + (p[n] == ',');
    }
    return true;
}

bool toolset_refresh(struct toolset *ts)
{
    bool changed = false;
    for (size_t i = 0; ts && i < ts->n_mcp; i++) changed |= mcp_refresh(ts, ts->mcp[i]);
    return changed;
}

bool toolset_restart(struct toolset *ts, const char *server, struct err *e)
{
    for (size_t i = 0; i < ts->n_mcp; i++) {
        if (!mcp_is(ts->mcp[i], server)) continue;
        bool ok = mcp_restart(ts->mcp[i], e);
        if (ok) toolset_refresh(ts);
        return ok || err_in(e, "MCP server %s", server);
    }
    return err_set(e, ERR_ARG, "there is no MCP server '%.60s'", server);
}

struct json *toolset_status(const struct toolset *ts)
{
    struct json *list = json_new_array();
    for (size_t i = 0; ts && i < ts->n_mcp; i++) json_push(list, mcp_status(ts->mcp[i]));
    return list;
}
