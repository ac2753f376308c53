/* reply.c -- answers and errors in the shape of their wire.
 *
 * An error is a sentence from below (struct err) that becomes a status, a type, a code and the member it
 * is about. All four members are always there; code and param are strings or null. The member is what
 * stands before the first ": " of the sentence, if it reads like a path ("tools[1].function.name"). */
#include <ctype.h>
#include <time.h>

#include "serve/int.h"

int64_t unix_time(void) { return (int64_t)time(NULL); }

void reply_header(struct exchange *x, const char *name, const char *fmt, ...)
{
    struct str s = { 0 };
    char line[1024];
    va_list ap;
    if (x->n_header == (int)LEN(x->header)) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (const char *p = line; *p; p++)
        if ((unsigned char)*p >= ' ' && *p != 127) str_putc(&s, *p);
    x->header[x->n_header++] = (struct header){ mem_str(name), str_take(&s) };
}

void reply_text(struct exchange *x, int status, const char *type, const char *text, size_t len)
{
    x->status = status;
    x->type = type;
    str_clear(&x->answer);
    str_put(&x->answer, text, len);
    exchange_ready(x);
}

void reply_json(struct exchange *x, int status, struct json *take)
{
    x->status = status;
    x->type = "application/json";
    str_clear(&x->answer);
    json_write(&x->answer, take, JSON_COMPACT);
    json_free(take);
    exchange_ready(x);
}

/* ---- errors ------------------------------------------------------------------------------------ */

static const struct { int status; const char *openai, *anthropic;
} types[] = {
    { 400, "invalid_request_error", "invalid_request_error" },
    { 401, "authentication_error", "authentication_error" },
    { 403, "permission_error", "permission_error" },
    { 404, "not_found_error", "not_found_error" },
    { 405, "invalid_request_error", "invalid_request_error" },
    { 408, "invalid_request_error", "invalid_request_error" },
    { 409, "invalid_request_error", "invalid_request_error" },
    { 413, "invalid_request_error", "request_too_large" },
    { 414, "invalid_request_error", "invalid_request_error" },
    { 415, "invalid_request_error", "invalid_request_error" },
    { 431, "invalid_request_error", "invalid_request_error" },
    { 429, "rate_limit_error", "rate_limit_error" },
    { 499, "cancelled", "api_error" },
    { 500, "server_error", "api_error" },
    { 501, "not_supported_error", "invalid_request_error" },
    { 503, "unavailable_error", "overloaded_error" },
};

static const char *type_of(int status, bool anthropic)
{
    for (size_t i = 0; i < LEN(types); i++)
        if (types[i].status == status) return anthropic ? types[i].anthropic : types[i].openai;
    return status >= 500 ? (anthropic ? "api_error" : "server_error") : "invalid_request_error";
}

const char *fault_type(int status) { return type_of(status, false); }

static struct json *text_or_null(const char *s)
{
    return s && *s ? json_new_str(s) : json_new_null();
}

struct json *fault_json(const struct exchange *x, const struct fault *f)
{
    struct json *o = json_new_object(), *inner = json_new_object();
    bool anthropic = x && x->wire == WIRE_ANTHROPIC;
    if (anthropic) json_set(o, "type", json_new_str("error"));
    if (!anthropic) json_set(inner, "message", json_new_str(f->message));
    json_set(inner, "type", json_new_str(anthropic ? type_of(f->status, true) : f->type));
    if (anthropic) json_set(inner, "message", json_new_str(f->message));
    if (!anthropic) {
        json_set(inner, "param", text_or_null(f->param));
        json_set(inner, "code", text_or_null(f->code));
    }
    json_set(o, "error", inner);
    if (anthropic) json_set(o, "request_id", json_new_str(x->id));
    return o;
}

static void put_number_after(struct json *error, const char *key, const char *text,
                             const char *before)
{
    const char *at = strstr(text, before);
    long long v;
    if (at && sscanf(at + strlen(before), "%lld", &v) == 1) json_set(error, key, json_new_int(v));
}

static bool has_header(const struct exchange *x, const char *name)
{
    for (int i = 0; i < x->n_header; i++)
        if (!strcmp(x->header[i].name, name)) return true;
    return false;
}

static void reply_fault(struct exchange *x, const struct fault *f)
{
    struct json *o = fault_json(x, f);
    struct json *error = (struct json *)(uintptr_t)json_get(o, "error");
    bool later = f->status == 429 || f->status == 503;
    if (f->code && !strcmp(f->code, "context_length_exceeded") && x->wire == WIRE_OPENAI) {
        put_number_after(error, "n_prompt_tokens", f->message, "has ");
        put_number_after(error, "n_ctx", f->message, "holds ");
    }
    if (later && !has_header(x, "Retry-After")) reply_header(x, "Retry-After", "1");
    reply_header(x, "x-should-retry", later ? "true" : "false");
    if (f->status == 401) reply_header(x, "WWW-Authenticate", "Bearer");
    int status = x->wire == WIRE_ANTHROPIC && f->status == 503 ? 529 : f->status;
    reply_json(x, status, o);
}

void reply_error(struct exchange *x, int status, const char *code, const char *param,
                 const char *fmt, ...)
{
    char msg[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    msg[utf8_whole(msg, strlen(msg))] = 0;
    struct fault f = { .status = status, .type = fault_type(status), .code = code, .message = msg };
    snprintf(f.param, sizeof f.param, "%s", param ? param : "");
    reply_fault(x, &f);
}

/* ---- what a sentence from below is on the wire ---------------------------------------------------- */

/* Tags that do not stand for 400. */
static const struct { const char *tag; int status; } tag_status[] = {
    { "model_not_found", 404 }, { "response_not_found", 404 }, { "queue_full", 429 },   { "queue_timeout", 503 },
    { "draining", 503 },        { "loading_model", 503 },      { "adapter_in_use", 409 }, { "server_shutting_down", 503 },
    { "request_timeout", 503 }, { "internal_error", 500 },
};

/* Sentences from below that begin with their code, as those that come as events do. */
static const char *code_in(const char *msg)
{
    static const char *const known[] = { "context_length_exceeded", "max_tokens_too_small",
                                         "server_shutting_down", "queue_full", "queue_timeout" };
    for (size_t i = 0; i < LEN(known); i++)
        if (!strncmp(msg, known[i], strlen(known[i])) && !strncmp(msg + strlen(known[i]), ": ", 2))
            return known[i];
    return NULL;
}

static const char *code_of(const struct err *e)
{
    switch (e->code) {
    case ERR_SCHEMA:      return "invalid_function_parameters";
    case ERR_UNSUPPORTED: return "unsupported_parameter";
    case ERR_FULL:        return "queue_full";
    case ERR_CANCEL:      return "cancelled";
    case ERR_IO: case ERR_NOMEM: case ERR_INTERNAL: return "internal_error";
    default: break;
    }
    return strstr(e->msg, ": missing")   ? "missing_required_parameter"
           : strstr(e->msg, "must be a") ? "invalid_type"
                                         : "invalid_value";
}

/* "tools[1].function.name: missing" is about tools[1].function.name. */
static void param_of(const char *msg, char *out, size_t cap)
{
    const char *end = strstr(msg, ": ");
    size_t n = end ? (size_t)(end - msg) : 0;
    bool fine = n && n < cap && (islower((unsigned char)msg[0]) || msg[0] == '_');
    for (size_t i = 0; fine && i < n; i++)
        fine = isalnum((unsigned char)msg[i]) || strchr("_.[]", msg[i]);
    if (!fine) n = 0;
    memcpy(out, msg, n);
    out[n] = 0;
}

void fault_of(struct fault *f, const struct err *e)
{
    const char *inside = code_in(e->msg), *code = e->tag ? e->tag : inside;
    *f = (struct fault){ .status = err_http_status(e->code), .code = code ? code : code_of(e), .message = e->msg };
    if (e->code == ERR_FULL) f->status = 429;
    for (size_t i = 0; i < LEN(tag_status); i++)
        if (!strcmp(f->code, tag_status[i].tag)) f->status = tag_status[i].status;
    f->type = fault_type(f->status);
    if (inside) f->message = e->msg + strlen(inside) + 2;
    if (f->status < 500) param_of(f->message, f->param, sizeof f->param);
    if (f->status == 500 && e->code != ERR_INTERNAL && !code)
        f->message = "the engine failed; the log of the server says why";
}

void reply_err(struct exchange *x, const struct err *e)
{
    struct fault f;
    fault_of(&f, e);
    if (f.status >= 500) log_line(LOG_ERROR, "failed id=%s why=\"%s\"", x->id, e->msg);
    reply_fault(x, &f);
}

/* ---- events ------------------------------------------------------------------------------------ */

void sse(struct str *out, const char *event, struct json *take)
{
    if (event) str_fmt(out, "event: %s\n", event);
    str_puts(out, "data: ");
    json_write(out, take, JSON_COMPACT);
    str_puts(out, "\n\n");
    json_free(take);
}
