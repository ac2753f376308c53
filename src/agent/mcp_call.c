/* mcp_call.c -- calls of an MCP server's tools, what comes back, and what the server asks in between.
 *
 * Up to 2025-11-25 a server asks on the connection while the call goes on (elicitation/create). From 2026-07-28 on its
 * result says "input_required" with the questions, and the call is made again with the answers and the state that
 * it gave, unread and unchanged. Either way the user sees who asks; where nobody can be asked the server was told so
 * when it was opened, and a question is an error that the model reads. A call is made a second time if the session
 * of HTTP was over (it was not run then), or if the headers did not match the schema of a list that has changed. */
#include <stdlib.h>

#include "agent/mcp.h"

#define ROUNDS_MOST 8                        /* of questions and answers in one call */

/* ---- what the server asks ---- */

static struct json *elicited(enum elicit a, struct json *content)
{
    static const char *const words[] = { [ELICIT_ACCEPT] = "accept", [ELICIT_DECLINE] = "decline", [ELICIT_CANCEL] = "cancel" };
    struct json *o = json_new_object();
    json_set(o, "action", json_new_str(words[a]));
    if (content) json_set(o, "content", content);
    return o;
}

static enum elicit ask_user(struct toolset *ts, const struct elicitation *q, struct json **content)
{
    pthread_mutex_lock(&ts->asking);
    enum elicit a = ts->opts.elicit(ts->opts.elicit_ctx, q, content);
    pthread_mutex_unlock(&ts->asking);
    return a;
}

/* A page that a person may be sent to: TLS or this machine, and nothing but visible ASCII, so that it is what it looks like. */
bool mcp_page_ok(const char *url)
{
    static const char *const begins[] = { "https://", "http://localhost", "http://127.0.0.1" };
    bool known = false;
    for (size_t i = 0; url && i < LEN(begins); i++) {
        size_t n = strlen(begins[i]);
        known |= !strncmp(url, begins[i], n) && (!i || !url[n] || strchr(":/?#", url[n]));
    }
    for (const char *p = url; known && *p; p++) known = *p > ' ' && *p < 0x7f;
    return known && !strchr(url, '@');                                /* no user before the host */
}

static struct json *ask_page(struct mcp *m, const char *message, const char *url)
{
    struct json *none = NULL;
    struct elicitation q = { .server = m->name, .message = message, .url = url };
    return elicited(mcp_page_ok(url) ? ask_user(m->ts, &q, &none) : ELICIT_CANCEL, NULL);
}

struct json *mcp_on_ask(void *mcp, const char *method, const struct json *params)
{
    struct mcp *m = mcp;
    struct toolset *ts = m->ts;
    const struct json *mode = json_get(params, "mode"), *schema = json_get(params, "requestedSchema");
    const char *message = json_str(json_get(params, "message"), NULL);
    struct json *content = NULL;
    struct err e = { 0 };
    if (strcmp(method, "elicitation/create") || !ts->opts.elicit) return NULL;
    if (message && json_str_is(mode, "url")) return ask_page(m, message, json_str(json_get(params, "url"), NULL));
    if (mode && !json_str_is(mode, "form")) return NULL;
    if (!message || !json_is(schema, JSON_OBJECT)) return elicited(ELICIT_CANCEL, NULL);
    enum elicit a = ask_user(ts, &(struct elicitation){ .server = m->name, .message = message, .schema = schema }, &content);
    if (a == ELICIT_ACCEPT && content && schema_check(schema, content, NULL, &e)) return elicited(a, content);
    json_free(content);
    return elicited(a == ELICIT_ACCEPT ? ELICIT_CANCEL : a, NULL);
}

/* Answers to all that a result asks for; NULL: one cannot be answered, and out says so. */
static struct json *answer_inputs(struct mcp *m, const struct json *asked, struct tool_result *out)
{
    struct json *answers = json_new_object();
    for (struct json_iter it = json_iter(json_is(asked, JSON_OBJECT) ? asked : NULL); json_next(&it);) {
        const char *method = json_str(json_get(it.value, "method"), NULL);
        struct json *one = method ? mcp_on_ask(m, method, json_get(it.value, "params")) : NULL;
        if (one) json_set(answers, it.key, one);
        else {
            tool_fail(out, "The server asks the user for more input (%.40s), which cannot be given here; call it with all that it needs.", method ? method : "?");
            json_free(answers);
            return NULL;
        }
    }
    return answers;
}

/* ---- results ---- */

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

/* A result that is not what the server said it would be is used all the same. */
static void check_results(struct mcp_tool *mt, const struct json *structured)
{
    struct err why = { 0 };
    pthread_mutex_lock(&mt->m->restart);                              /* calls run beside each other, and owners of JSON are not counted atomically */
    bool fits = !mt->results || schema_check(mt->results, structured, &(struct grammar_opts){ .annotate_formats = true }, &why);
    pthread_mutex_unlock(&mt->m->restart);
    if (!fits) log_line(LOG_WARN, "mcp_result_does_not_fit server=%s tool=%s why=\"%s\"", mt->m->name, mt->name, why.msg);
}

static void read_result(struct mcp_tool *mt, const struct json *r, struct tool_result *out)
{
    const struct json *kind = json_get(r, "resultType"), *content = json_get(r, "content"), *structured = json_get(r, "structuredContent");
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
    if (structured && !out->is_error) check_results(mt, structured);
    if (!out->text.len) str_puts(&out->text, "(no output)");
}

/* ---- one request ---- */

static struct json *send_call(struct rpc *rpc, struct mcp_tool *mt, const struct invocation *c, const struct json *more, struct err *e)
{
    struct mcp *m = mt->m;
    struct words header = { 0 };
    struct json *p = mcp_params(m);
    json_set(p, "name", json_new_str(mt->name));
    json_set(p, "arguments", json_copy(c->args));
    for (struct json_iter it = json_iter(more); json_next(&it);) json_set(p, it.key, json_copy(it.value));
    if (m->url && m->modern) mcp_headers_put(mt->schema, c->args, &header);
    struct rpc_request q = { .method = "tools/call", .params = p, .timeout_ms = c->timeout_ms, .cancel = c->cancel, .header = &header };
    struct json *a = rpc_call(rpc, &q, e);
    words_done(&header);
    return a;
}

/* The schema anew, for headers that the server found wrong. */
static void read_schema(struct mcp_tool *mt)
{
    struct err ignored = { 0 };
    pthread_mutex_lock(&mt->m->restart);
    struct json *list = mcp_list(mt->m, &ignored);
    const struct json *d = mcp_find(list, mt->name);
    if (d) mcp_schemas(mt, d);
    pthread_mutex_unlock(&mt->m->restart);
    json_free(list);
}

/* A server of the session era refuses until the user has been at some pages: true if he says that he has. */
static bool visit_pages(struct mcp *m, const struct json *answer)
{
    const struct json *list = json_get(json_get(json_get(answer, "error"), "data"), "elicitations");
    bool all = rpc_error_code(answer) == PAGES_FIRST && json_len(list) && json_len(list) <= ROUNDS_MOST;
    for (size_t i = 0; all && i < json_len(list); i++) {
        struct json *one = mcp_on_ask(m, "elicitation/create", json_at(list, i));
        all = json_str_is(json_get(one, "action"), "accept");
        json_free(one);
    }
    return all;
}

/* more: further members of the request. The result, owned; NULL with e. */
static struct json *call_once(struct mcp_tool *mt, const struct invocation *c, const struct json *more, struct err *e)
{
    struct mcp *m = mt->m;
    for (int attempt = 0;; attempt++) {
        struct err why = { 0 };
        struct rpc *rpc = mcp_take(m, c->cancel, &why);
        if (!rpc) return err_set(e, ERR_IO, "it is not usable: %s", why.msg), NULL;
        if (!mcp_holds(mt)) return rpc_close(rpc), err_set(e, ERR_ARG, "its tool %.60s is not what it was described as; read its definition again before you call it", mt->name), NULL;
        struct json *a = send_call(rpc, mt, c, more, &why);
        bool lost = m->url && rpc_is_dead(rpc), stale = m->url && m->modern && rpc_error_code(a) == HEADER_MISMATCH;
        rpc_close(rpc);
        bool again = !attempt && !cancel_is_on(c->cancel) && (lost || stale || visit_pages(m, a));
        if (!again) {
            if (a) m->restarts = 0;
            else *e = why;
            return a ? mcp_result(a, e) : NULL;
        }
        json_free(a);
        if (stale) read_schema(mt);
        else if (lost) m->restarts = 0;                                       /* a session that is over is no crash */
    }
}

/* The members that the next round of an "input_required" carries; NULL: there is none, and out says why. */
static struct json *next_round(struct mcp *m, const struct json *r, struct tool_result *out)
{
    const struct json *asked = json_get(r, "inputRequests"), *state = json_get(r, "requestState");
    struct json *more = json_new_object(), *answers = asked ? answer_inputs(m, asked, out) : NULL;
    if (asked && !answers) {
        json_free(more);
        return NULL;
    }
    if (answers) json_set(more, "inputResponses", answers);
    if (state) json_set(more, "requestState", json_copy(state));
    return more;
}

void mcp_invoke(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct mcp_tool *mt = t->ctx;
    struct err e = { 0 };
    struct json *more = json_new_object(), *r = NULL;
    for (int round = 0; more; round++) {
        json_free(r);
        r = call_once(mt, c, more, &e);
        json_free(more);
        more = NULL;
        if (!r) break;
        bool asks = json_str_is(json_get(r, "resultType"), "input_required");
        if (!asks) read_result(mt, r, out);
        else if (round >= ROUNDS_MOST) tool_fail(out, "The server asks for more input again and again; do something else.");
        else more = next_round(mt->m, r, out);
    }
    if (!r) tool_fail(out, e.code == ERR_CANCEL ? "%.0s%s" : "MCP server %s: %s.", mt->m->name, e.msg);
    out->transient = !r && (e.code == ERR_LIMIT || e.code == ERR_IO);
    json_free(r);
}
