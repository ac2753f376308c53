/* mcp.c -- MCP servers: opened, asked what they are and what they offer; over stdio and HTTP, of both eras.
 *
 * Up to 2025-11-25 a connection opens with `initialize`; from 2026-07-28 on there is no opening, and every request
 * says in its _meta what the client speaks. Which kind a server is, it is asked once: `server/discover` in the new
 * manner; an answer that names the new version settles it, and so does an error that only a new server knows;
 * anything else (an error, silence) means the old one.
 *
 * Servers start side by side; one that does not come up in time is left out with a warning, the rest works. One
 * that dies is started again, later and later. */
#include <strings.h>
#include <time.h>

#include "agent/mcp.h"
#include "agent/oauth.h"
#include "client/client.h"

#define MODERN "2026-07-28"
#define PROBE_MS 3000
#define START_MS 20000
#define CALL_MS 30000
#define PAGES_MOST 1000
#define LIST_MS 60000
#define RESTARTS_MOST 5
#define TTL_MOST_MS 86400000

/* ---- speaking ---- */

static struct json *client_info(void)
{
    struct json *o = json_new_object();
    json_set(o, "name", json_new_str("tenon"));
    json_set(o, "version", json_new_str(TENON_VERSION));
    return o;
}

static struct json *capabilities(const struct mcp *m)
{
    struct json *o = json_new_object(), *form = json_new_object();
    if (m->ts->opts.elicit) {
        json_set(form, "form", json_new_object());
        json_set(form, "url", json_new_object());
        json_set(o, "elicitation", form);
    } else json_free(form);
    return o;
}

/* W3C trace context: a new span for each request, so that what a server logs can be told apart. */
static struct json *trace_parent(void)
{
    static atomic_ulong serial;
    char text[60];
    struct rng r = rng_make(clock_ns(), 3, atomic_fetch_add(&serial, 1));
    unsigned long long hi = rng_u64(&r), lo = rng_u64(&r), span = rng_u64(&r);
    snprintf(text, sizeof text, "00-%016llx%016llx-%016llx-00", hi, lo | 1, span | 1);
    return json_new_str(text);
}

struct json *mcp_params(const struct mcp *m)
{
    struct json *p = json_new_object(), *meta;
    if (!m->modern) return p;
    meta = json_new_object();
    json_set(meta, "io.modelcontextprotocol/protocolVersion", json_new_str(MODERN));
    json_set(meta, "io.modelcontextprotocol/clientInfo", client_info());
    json_set(meta, "io.modelcontextprotocol/clientCapabilities", capabilities(m));
    json_set(meta, "traceparent", trace_parent());
    json_set(p, "_meta", meta);
    return p;
}

struct json *mcp_result(struct json *answer, struct err *e)
{
    const struct json *error = json_get(answer, "error"), *r = json_get(answer, "result");
    struct json *out = NULL;
    if (error || !json_is(r, JSON_OBJECT)) {
        int64_t code = 0;
        const char *msg = json_str(json_get(error, "message"), NULL);
        json_i64(json_get(error, "code"), &code);
        err_set(e, ERR_ARG, "protocol error %lld: %.160s", (long long)code, msg ? msg : "no result");
    } else out = json_copy(r);
    json_free(answer);
    return out;
}

/* A server that is being opened has its time in all, however many requests that takes. */
static int time_left(const struct mcp *m, int ms)
{
    uint64_t now = clock_ns();
    if (!m->open_until) return ms;
    return (int)MIN((uint64_t)ms, m->open_until > now ? (m->open_until - now) / 1000000u + 1 : 1);
}

static struct json *ask(struct mcp *m, const char *method, struct json *params, int ms, struct err *e)
{
    struct rpc_request q = { .method = method, .params = params, .timeout_ms = time_left(m, ms) };
    struct json *a = rpc_call(m->rpc, &q, e);
    return a ? mcp_result(a, e) : NULL;
}

/* ---- opening ---- */

static bool names_modern(const struct json *list)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), MODERN)) return true;
    return false;
}

/* A discovery that names the version, or an error that only servers of the new kind know. */
static bool says_modern(const struct json *answer)
{
    int64_t code = rpc_error_code(answer);
    if (names_modern(json_get(json_get(answer, "result"), "supportedVersions"))) return true;
    if (code == NO_VERSION) return names_modern(json_get(json_get(json_get(answer, "error"), "data"), "supported"));
    return code == HEADER_MISMATCH || code == NO_CAPABILITY;
}

static void note_capabilities(struct mcp *m, const struct json *result)
{
    m->lists_change = json_bool(json_get(json_get(json_get(result, "capabilities"), "tools"), "listChanged"));
}

/* An rpc_auth_fn. While the user signs in, the time in which a server has to come up stands still. */
static bool authorize(void *mcp, int status, const char *challenge, const char *used, struct str *out, struct err *e)
{
    struct mcp *m = mcp;
    uint64_t t0 = clock_ns();
    bool ok = !used || oauth_refused(m->oauth, status, challenge, used, e);
    if (used && m->open_until) m->open_until += clock_ns() - t0;
    if (ok) oauth_token(m->oauth, out);
    return ok;
}

static bool start(struct mcp *m, struct err *e)
{
    rpc_close(m->rpc);
    m->rpc = NULL;
    if (m->url) m->rpc = (m->old_http ? rpc_sse_open : rpc_http_open)(&(struct rpc_http_opts){ m->url, &m->header, m->ts->opts.public_only, m->oauth ? authorize : NULL, m }, e);
    else m->rpc = rpc_pipe_open(m->argv.p, m->env.p, m->cwd, e);
    if (!m->rpc) return false;
    rpc_on_ask(m->rpc, mcp_on_ask, m);
    return true;
}

static void settle(struct mcp *m, bool modern, const char *version)
{
    m->modern = modern;
    snprintf(m->version, sizeof m->version, "%s", version);
    rpc_speak(m->rpc, version, modern);
}

static bool probe(struct mcp *m, struct err *e)
{
    struct err why = { 0 };
    bool modern = false, nobody = false;
    settle(m, true, MODERN);
    for (int attempt = 0; attempt < 2; attempt++) {                   /* what was refused is said again, once */
        struct rpc_request q = { .method = "server/discover", .params = mcp_params(m), .timeout_ms = time_left(m, PROBE_MS) };
        struct json *a = rpc_call(m->rpc, &q, &why);
        bool again = says_modern(a) && json_get(a, "error");
        modern = says_modern(a);
        nobody = m->url && !a && (q.status == 401 || q.status == 403 || (!q.status && why.code != ERR_LIMIT));
        note_capabilities(m, json_get(a, "result"));
        json_free(a);
        if (!again) break;
    }
    if (nobody) return *e = why, false;
    m->known_era = true;
    if (!modern) settle(m, false, "");
    return modern || !rpc_is_dead(m->rpc) || start(m, e);             /* some end at the first word they do not know */
}

/* True if an answer to `initialize` says that there is no such thing, as servers of the new kind do. */
static bool take_modern(struct mcp *m, const struct json *answer)
{
    if (rpc_error_code(answer) != NO_METHOD && !says_modern(answer)) return false;
    settle(m, true, MODERN);
    return true;
}

static bool accept_version(struct mcp *m, const struct json *r, struct err *e)
{
    static const char *const known[] = { "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05" };
    const char *v = json_str(json_get(r, "protocolVersion"), NULL);
    for (size_t i = 0; v && i < LEN(known); i++)
        if (!strcmp(v, known[i])) return settle(m, false, known[i]), true;
    return err_set(e, ERR_UNSUPPORTED, "it speaks version '%.20s'; %s, %s, %s, %s and " MODERN " are accepted", v ? v : "none", known[0], known[1], known[2], known[3]);
}

/* The last way: the HTTP of 2024-11-05. False: e is as it was. */
static bool open_old_http(struct mcp *m)
{
    struct err why = { 0 };
    if (!m->url || m->old_http) return false;
    m->old_http = true;
    if (start(m, &why)) return true;
    m->old_http = false;
    return false;
}

static bool initialize(struct mcp *m, struct err *e)
{
    struct json *p = json_new_object();
    json_set(p, "protocolVersion", json_new_str("2025-11-25"));
    json_set(p, "capabilities", capabilities(m));
    json_set(p, "clientInfo", client_info());
    struct rpc_request q = { .method = "initialize", .params = p, .timeout_ms = time_left(m, START_MS) };
    struct json *a = rpc_call(m->rpc, &q, e);
    if (!a && (q.status == 400 || q.status == 404 || q.status == 405) && open_old_http(m)) return *e = (struct err){ 0 }, initialize(m, e);
    if (!a && (q.status == 404 || q.status == 405)) err_set(e, ERR_UNSUPPORTED, "there is no MCP server over streamable HTTP at its url (HTTP status %d)", q.status);
    if (!a) return false;
    if (take_modern(m, a)) return json_free(a), true;
    struct json *r = mcp_result(a, e);
    bool ok = r && accept_version(m, r, e);
    note_capabilities(m, r);
    json_free(r);
    if (!ok || !rpc_notify(m->rpc, "notifications/initialized", NULL, e)) return false;
    if (m->url && !m->old_http && m->ts->opts.elicit) rpc_listen(m->rpc, json_new_object());  /* it may ask outside of the answer to a call */
    return true;
}

static bool handshake(struct mcp *m, struct err *e)
{
    if (!start(m, e)) return false;
    if (!m->known_era && !probe(m, e)) return false;
    if (m->modern) rpc_speak(m->rpc, MODERN, true);
    return m->modern || initialize(m, e);
}

/* How long a list holds, as the server says. */
static void note_ttl(struct mcp *m, const struct json *result)
{
    int64_t ms = 0;
    json_i64(json_get(result, "ttlMs"), &ms);
    m->stale_at = ms > 0 && !m->lists_change ? clock_ns() + (uint64_t)MIN(ms, (int64_t)TTL_MOST_MS) * 1000000u : 0;
}

/* Has this cursor led us here before? Servers that turn in a circle are not followed. */
static bool is_seen(struct words *seen, const char *cursor, size_t len)
{
    char hex[65];
    sha256_hex(cursor, len, hex);
    for (int i = 0; i < seen->n; i++)
        if (!strcmp(seen->p[i], hex)) return true;
    words_put(seen, mem_str(hex));
    return false;
}

struct json *mcp_list(struct mcp *m, struct err *e)
{
    struct json *all = json_new_array();
    struct str cursor = { 0 };
    struct words seen = { 0 };
    bool has = false, ok = true;
    uint64_t until = clock_ns() + (uint64_t)LIST_MS * 1000000u;       /* pages without end are cut off somewhere */
    for (int page = 0; page < PAGES_MOST && clock_ns() < until; page++) {
        struct json *p = mcp_params(m);
        if (has) json_set(p, "cursor", json_new_strn(cursor.p ? cursor.p : "", cursor.len));
        struct json *r = ask(m, "tools/list", p, m->timeout_ms, e);
        if (!(ok = r != NULL)) break;
        const struct json *tools = json_get(r, "tools");
        for (size_t i = 0; i < json_len(tools); i++) json_push(all, json_copy(json_at(tools, i)));
        size_t len = 0;
        const char *next = json_str(json_get(r, "nextCursor"), &len);
        str_clear(&cursor);
        if (next) str_put(&cursor, next, len);                        /* an empty one is one */
        has = next != NULL;
        note_ttl(m, r);
        json_free(r);
        if (!has || is_seen(&seen, cursor.p ? cursor.p : "", cursor.len)) break;
    }
    str_done(&cursor);
    words_done(&seen);
    if (ok) return all;
    json_free(all);
    return NULL;
}

/* Within its time: a server that answers each request a little too late does not come up either. */
static bool open_in_time(struct mcp *m, struct json **listed, struct err *e)
{
    m->open_until = clock_ns() + (uint64_t)m->start_ms * 1000000u;
    bool ok = handshake(m, e) && (*listed = mcp_list(m, e));
    bool late = !ok && clock_ns() >= m->open_until;
    m->open_until = 0;
    if (late) err_set(e, ERR_LIMIT, "it did not come up within %d ms (\"start_ms\")", m->start_ms);
    return ok;
}

static void *open_server(void *mcp)
{
    struct mcp *m = mcp;
    if (!open_in_time(m, &m->listed, &m->err)) {
        rpc_close(m->rpc);                                            /* nobody will speak with it */
        m->rpc = NULL;
    }
    return NULL;
}

/* ---- coming back ---- */

static void nap(struct cancel *c, int ms)
{
    for (int i = 0; i < ms / 50 && !cancel_is_on(c); i++) nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

static bool revive(struct mcp *m, struct cancel *c, struct err *e)
{
    if (m->restarts >= RESTARTS_MOST) return err_set(e, ERR_IO, "it was started %d times and ended each time", RESTARTS_MOST + 1);
    if (m->restarts) nap(c, 500 << m->restarts);
    m->restarts++;
    m->stale_at = 1;                                                  /* it may be another one now */
    json_free(m->verify);
    m->verify = NULL;
    return open_in_time(m, &m->verify, e);
}

bool mcp_restart(struct mcp *m, struct err *e)
{
    pthread_mutex_lock(&m->restart);
    m->restarts = 0;
    m->known_era = m->old_http = false;                               /* it may be another one now, */
    m->stale_at = 1;                                                  /* with other tools */
    json_free(m->verify);
    m->verify = NULL;
    bool ok = open_in_time(m, &m->verify, e);
    m->err = ok ? (struct err){ 0 } : *e;
    pthread_mutex_unlock(&m->restart);
    return ok;
}

struct rpc *mcp_take(struct mcp *m, struct cancel *c, struct err *e)
{
    pthread_mutex_lock(&m->restart);
    bool ok = (m->rpc && !rpc_is_dead(m->rpc)) || revive(m, c, e);
    struct rpc *r = ok ? m->rpc : NULL;
    if (r) rpc_hold(r);
    pthread_mutex_unlock(&m->restart);
    return r;
}

/* ---- configuration ---- */

void mcp_close(struct mcp *m)
{
    if (!m) return;
    rpc_close(m->rpc);
    oauth_close(m->oauth);
    pthread_mutex_destroy(&m->restart);
    json_free(m->config);
    json_free(m->listed);
    json_free(m->pinned);
    json_free(m->cached);
    json_free(m->verify);
    words_done(&m->argv);
    words_done(&m->env);
    words_done(&m->header);
    mem_free(m->url);
    mem_free(m->cwd);
    mem_free(m->name);
    mem_free(m);
}

static bool put_argv(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const char *command = json_str(json_get(m->config, "command"), NULL);
    const struct json *args = json_get(m->config, "args");
    if (!command || !*command) return err_set(e, ERR_ARG, "command (a program that is the server) or url (of a server) is needed");
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

/* Plain HTTP is for this machine, or for who says that he knows. */
static bool url_ok(const struct mcp *m, const struct toolset *ts, struct err *e)
{
    static const char *const here[] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };
    const char *at = strchr(m->url, '@');
    if (at && (size_t)(at - m->url) < client_origin_len(m->url)) return err_set(e, ERR_ARG, "url: a name before the host is not accepted; use \"headers\"");
    if (!strncasecmp(m->url, "https://", 8)) return true;
    if (strncasecmp(m->url, "http://", 7)) return err_set(e, ERR_ARG, "url: https:// or http:// is accepted");
    bool plain = json_bool(json_get(m->config, "insecure")) && !ts->opts.public_only;
    for (size_t i = 0; !plain && !ts->opts.public_only && i < LEN(here); i++) {
        size_t n = strlen(here[i]);
        plain = !strncasecmp(m->url, here[i], n) && (!m->url[n] || strchr(":/?#", m->url[n]));
    }
    return plain || err_set(e, ERR_ARG, "url: https:// is needed (http:// for this machine%s)", ts->opts.public_only ? " only by its owner" : ", or with \"insecure\": true");
}

/* One question at a time, whoever asks. */
static bool sign_in_alone(void *mcp, const char *server, const char *url)
{
    struct toolset *ts = ((struct mcp *)mcp)->ts;
    pthread_mutex_lock(&ts->asking);
    bool ok = ts->opts.sign_in(ts->opts.sign_in_ctx, server, url);
    pthread_mutex_unlock(&ts->asking);
    return ok;
}

/* Members that are text, with ${env:…} filled in. */
static struct json *expand_members(struct toolset *ts, const struct json *v, const char *dir, struct err *e)
{
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(json_is(v, JSON_OBJECT) ? v : NULL); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        char *text = s ? toolset_expand(ts, s, dir, e) : NULL;
        if (s && !text) return json_free(out), NULL;
        json_set(out, it.key, text ? json_new_str(text) : json_copy(it.value));
        mem_free(text);
    }
    return out;
}

/* Who gives a key himself does not sign in; nor do those who name servers to us from outside. */
static bool open_oauth(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const struct json *config = json_get(m->config, "oauth");
    for (int i = 0; i < m->header.n; i += 2)
        if (!strcasecmp(m->header.p[i], "authorization")) return !config || err_set(e, ERR_ARG, "oauth and headers.Authorization: one of them is accepted");
    if (ts->opts.public_only) return !config || err_set(e, ERR_ARG, "oauth: nobody can sign in here");
    if (config && !json_is(config, JSON_OBJECT)) return err_set(e, ERR_ARG, "oauth: must be an object");
    struct json *filled = expand_members(ts, config, dir, e);
    if (!filled) return err_in(e, "oauth");
    m->oauth = oauth_open(&(struct oauth_opts){ m->name, m->url, filled, ts->opts.state_dir, ts->opts.public_only, ts->opts.sign_in ? sign_in_alone : NULL, m }, e);
    json_free(filled);
    return m->oauth != NULL;
}

static bool put_url(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const char *url = json_str(json_get(m->config, "url"), NULL);
    if (json_get(m->config, "command")) return err_set(e, ERR_ARG, "command and url: one of them is accepted");
    if (!url || !(m->url = toolset_expand(ts, url, dir, e))) return e->code ? err_in(e, "url") : err_set(e, ERR_ARG, "url: must be a string");
    return toolset_headers(ts, json_get(m->config, "headers"), dir, &m->header, e) && url_ok(m, ts, e) && open_oauth(ts, m, dir, e);
}

static bool configure(struct toolset *ts, struct mcp *m, const char *dir, struct err *e)
{
    const struct json *cwd = json_get(m->config, "cwd"), *ms = json_get(m->config, "timeout_ms"), *start = json_get(m->config, "start_ms"), *lazy = json_get(m->config, "lazy");
    int64_t n = CALL_MS, n_start = START_MS;
    if (!json_is(m->config, JSON_OBJECT)) return err_set(e, ERR_ARG, "must be an object with a command or a url");
    if (!(json_get(m->config, "url") ? put_url(ts, m, dir, e) : put_argv(ts, m, dir, e))) return false;
    if (cwd && (!json_is(cwd, JSON_STRING) || !(m->cwd = toolset_expand(ts, json_str(cwd, NULL), dir, e)))) return err_set(e, ERR_ARG, "cwd: must be a string");
    if (ms && (!json_i64(ms, &n) || n < 1 || n > 86400000)) return err_set(e, ERR_ARG, "timeout_ms: a whole number from 1 on is accepted");
    if (start && (!json_i64(start, &n_start) || n_start < 1 || n_start > 600000)) return err_set(e, ERR_ARG, "start_ms: 1 to 600000 is accepted");
    if (lazy && !json_is(lazy, JSON_BOOL)) return err_set(e, ERR_ARG, "lazy: true and false are accepted");
    m->timeout_ms = (int)n;
    m->start_ms = (int)n_start;
    m->lazy = json_bool(lazy);
    m->trusted = json_bool(json_get(m->config, "trusted"));
    return make_env(ts, json_get(m->config, "env"), dir, &m->env, e);
}

static struct mcp *new_server(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e)
{
    struct mcp *m = mem_zero(sizeof *m);
    m->name = mem_str(name);
    m->ts = ts;
    m->config = json_copy(config);
    pthread_mutex_init(&m->restart, NULL);
    if (configure(ts, m, dir, e)) return m;
    err_in(e, "mcpServers.%s", name);
    mcp_close(m);
    return NULL;
}

/* A lazy one whose tools are known is offered as it was, and started by the first call. */
static bool waits(struct mcp *m)
{
    if (!m->lazy || !m->cached) return false;
    m->listed = m->cached;
    m->cached = NULL;
    return true;
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
        mcp_state_read(ts->mcp[i]);
        if (waits(ts->mcp[i])) continue;
        runs[i - first] = !pthread_create(&thread[i - first], NULL, open_server, ts->mcp[i]);
        if (!runs[i - first]) open_server(ts->mcp[i]);
    }
    for (size_t i = first; i < ts->n_mcp; i++)
        if (runs[i - first]) pthread_join(thread[i - first], NULL);
    mem_free(thread);
    mem_free(runs);
    for (size_t i = first; i < ts->n_mcp; i++) {                      /* in the order of the file, whoever was ready first */
        struct mcp *m = ts->mcp[i];
        if (!m->listed) {
            toolset_warn(ts, "MCP server %s is left out: %s", m->name, m->err.msg);
            continue;
        }
        mcp_add_tools(ts, m);
        if (m->rpc) mcp_state_write(m);
    }
    return true;
}
