/* openai.c -- Chat Completions: the wire the others are translated into, and how it is told.
 *
 * The body is almost the internal request already; what is left of it here is what only a server has:
 * n, stream, the legacy `functions`, logprobs, usage. Chunks are written from a head made once; the
 * whole answer is the fold of the same events. */
#include <math.h>

#include "serve/metrics.h"
#include "serve/models.h"

const struct json *there(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && !json_is(v, JSON_NULL) ? v : NULL;
}

/* ---- members that are taken out -------------------------------------------------------------------- */

bool take_bool(struct exchange *x, struct json *body, const char *key, bool *out)
{
    const struct json *v = there(body, key);
    if (v && !json_is(v, JSON_BOOL)) {
        reply_error(x, 400, "invalid_type", key, "%s: must be true or false", key);
        return false;
    }
    if (v) *out = json_bool(v);
    json_unset(body, key);
    return true;
}

bool take_int(struct exchange *x, struct json *body, const char *key, int64_t lo, int64_t hi,
              int64_t *out)
{
    const struct json *v = there(body, key);
    int64_t n = *out;
    bool is_int = !v || json_i64(v, &n), fits = n >= lo && n <= hi;
    if (v && (!is_int || !fits)) {
        const char *code = !is_int  ? "invalid_type"
                           : n < lo ? "integer_below_min_value"
                                    : "integer_above_max_value";
        reply_error(x, 400, code, key, "%s: must be an integer from %lld to %lld", key,
                    (long long)lo, (long long)hi);
        return false;
    }
    *out = n;
    json_unset(body, key);
    return true;
}

bool known_members(struct exchange *x, const struct json *body, const char *const *known)
{
    for (struct json_iter it = json_iter(body); json_next(&it);) {
        bool is_known = false;
        for (int i = 0; known[i] && !is_known; i++) is_known = !strcmp(known[i], it.key);
        if (is_known) continue;
        if (!x->sv->o->strict_params) {
            log_line(LOG_DEBUG, "ignored id=%s member=\"%.60s\"", x->id, it.key);
            continue;
        }
        reply_error(x, 400, "unknown_parameter", it.key, "%.60s: this member is not known here",
                    it.key);
        return false;
    }
    return true;
}

static const char *const chat_members[] = { "model",
                                            "messages",
                                            "max_completion_tokens",
                                            "max_tokens",
                                            "temperature",
                                            "top_p",
                                            "top_k",
                                            "min_p",
                                            "repetition_penalty",
                                            "min_tokens",
                                            "ignore_eos",
                                            "repeat_penalty",
                                            "presence_penalty",
                                            "frequency_penalty",
                                            "logit_bias",
                                            "seed",
                                            "n",
                                            "stop",
                                            "stream",
                                            "stream_options",
                                            "logprobs",
                                            "top_logprobs",
                                            "response_format",
                                            "tools",
                                            "tool_choice",
                                            "parallel_tool_calls",
                                            "functions",
                                            "function_call",
                                            "reasoning_effort",
                                            "chat_template_kwargs",
                                            "prompt_cache_key",
                                            "user",
                                            "safety_identifier",
                                            "store",
                                            "metadata",
                                            "service_tier",
                                            "verbosity",
                                            "prediction",
                                            "prompt_cache_retention",
                                            "audio",
                                            "modalities",
                                            "web_search_options",
                                            "spelling",
                                            "key_order",
                                            "steer",
                                            "best_of",
                                            "history_check",
                                            "timings_per_token",
                                            "return_tokens",
                                            "return_progress",
                                            "return_confidence",
                                            "min_confidence",
                                            "tool_retrieval",
                                            "priority",
                                            NULL };

/* ---- the legacy functions ---------------------------------------------------------------------------- */

static bool legacy_choice(struct exchange *x, struct json *body)
{
    const struct json *v = there(body, "function_call"), *functions = there(body, "functions");
    size_t len;
    const char *word = json_str(v, &len);
    if (v && !functions) {
        reply_error(x, 400, "invalid_value", "function_call",
                    "Invalid value for 'function_call': 'function_call' is only allowed when "
                    "'functions' are specified.");
        return false;
    }
    if (word && strcmp(word, "none") && strcmp(word, "auto")) {
        reply_error(x, 400, "invalid_value", "function_call",
                    "Invalid value: '%.60s'. Supported values are: 'none' and 'auto'.", word);
        return false;
    }
    const char *name = json_str(json_get(v, "name"), NULL);
    if (v && !word && !name) {
        reply_error(x, 400, "invalid_type", "function_call",
                    "function_call: 'none', 'auto' and {\"name\":…} are accepted");
        return false;
    }
    if (v) json_set(body, "tool_choice", word ? json_new_str(word) : tool_choice_json(name));
    if (name && (!strcmp(name, "auto") || !strcmp(name, "none") ||
                 !strcmp(name, "required"))) { /* a function of that name */
        struct json *c = json_new_object();
        json_set(c, "type", json_new_str("function"));
        json_set(c, "name", json_new_str(name));
        json_set(body, "tool_choice", c);
    }
    return true;
}

/* An assistant's function_call becomes a call with an id, a message of role function its result. */
static struct json *legacy_message(const struct json *m, size_t at)
{
    struct json *out = json_copy(m);
    const struct json *call = there(m, "function_call");
    if (json_str_is(json_get(m, "role"), "function")) json_set(out, "role", json_new_str("tool"));
    if (json_is(call, JSON_OBJECT) && !there(m, "tool_calls")) {
        char id[40];
        snprintf(id, sizeof id, "call_legacy_%zu", at);
        struct json *list = json_new_array(), *c = json_new_object();
        json_set(c, "id", json_new_str(id));
        json_set(c, "type", json_new_str("function"));
        json_set(c, "function", json_copy(call));
        json_push(list, c);
        json_set(out, "tool_calls", list);
    }
    json_unset(out, "function_call");
    return out;
}

static void legacy_history(struct json *body)
{
    const struct json *list = json_get(body, "messages");
    bool any = false;
    for (size_t i = 0; i < json_len(list) && json_is(list, JSON_ARRAY); i++)
        any |= there(json_at(list, i), "function_call") ||
               json_str_is(json_get(json_at(list, i), "role"), "function");
    if (!any) return;
    struct json *out = json_new_array();
    for (size_t i = 0; i < json_len(list); i++)
        json_push(out, json_is(json_at(list, i), JSON_OBJECT) ? legacy_message(json_at(list, i), i)
                                                              : json_copy(json_at(list, i)));
    json_set(body, "messages", out);
}

/* *legacy: answers are told as function_call. */
static bool legacy_functions(struct exchange *x, struct json *body, bool *legacy)
{
    const struct json *functions = there(body, "functions");
    if (functions && there(body, "tools")) {
        reply_error(x, 400, "invalid_value", NULL,
                    "'functions' and 'tools' cannot both be provided. 'functions' are deprecated; "
                    "use the 'tools' parameter instead.");
        return false;
    }
    if (functions && !json_is(functions, JSON_ARRAY)) {
        reply_error(x, 400, "invalid_type", "functions", "functions: must be an array");
        return false;
    }
    if (!legacy_choice(x, body)) return false;
    *legacy = functions && json_len(functions);
    if (*legacy) {
        json_set(body, "tools", json_copy(functions));
        json_set(body, "parallel_tool_calls", json_new_bool(false));
    } else if (functions) json_unset(body, "tool_choice");
    json_unset(body, "functions");
    json_unset(body, "function_call");
    legacy_history(body);
    return true;
}

/* ---- the request --------------------------------------------------------------------------------------- */

/* Which tools the model is shown, where the request asked for a choice. */
static void tell_selected(struct exchange *x, const struct request *r)
{
    struct str names = { 0 };
    for (size_t i = 0; i < json_len(r->tools); i++) {
        const char *name = tool_name(json_at(r->tools, i));
        str_fmt(&names, "%s%s", i ? "," : "", name ? name : "");
    }
    reply_header(x, "x-tools-selected", "%s", names.p ? names.p : "");
    str_done(&names);
}

bool chat_request(struct exchange *x, struct json *body, struct request *r)
{
    struct err e = { 0 };
    if (x->sv->o->no_history_check && !json_get(body, "history_check")) json_set(body, "history_check", json_new_bool(false));
    if (!request_read(r, body, &e)) {
        reply_err(x, &e);
        return false;
    }
    r->random_ids = true;
    if (json_get(r->body, "tool_retrieval")) tell_selected(x, r);
    return true;
}

struct chat {
    bool usage, logprobs, legacy, timings, progress, tokens, confidence;
    double least;                                                     /* min_confidence, 0: none */
    struct str head;
};

static void chat_done(void *state)
{
    struct chat *c = state;
    str_done(&c->head);
    mem_free(c);
}

static bool take_stream(struct exchange *x, struct json *body, bool *stream, bool *usage)
{
    if (!take_bool(x, body, "stream", stream)) return false;
    const struct json *o = there(body, "stream_options"), *u = there(o, "include_usage");
    if (o && (!*stream || !json_is(o, JSON_OBJECT))) {
        reply_error(x, 400, "invalid_value", "stream_options",
                    *stream ? "stream_options: must be an object"
                            : "stream_options: only allowed when 'stream' is true");
        return false;
    }
    if (u && !json_is(u, JSON_BOOL)) {
        reply_error(x, 400, "invalid_type", "stream_options.include_usage",
                    "stream_options.include_usage: must be true or false");
        return false;
    }
    *usage = json_bool(u);
    json_unset(body, "stream_options");
    return true;
}

static bool take_logprobs(struct exchange *x, struct json *body, bool *want, int64_t *top)
{
    const struct json *v = there(body, "logprobs");
    *want = json_bool(v);
    if (there(body, "top_logprobs") && !*want) {
        reply_error(x, 400, "invalid_value", "top_logprobs",
                    "top_logprobs: only allowed when 'logprobs' is true");
        return false;
    }
    return take_int(x, body, "top_logprobs", 0, TOP_MOST, top);
}

/* Members of our own that ask for more than the API tells. */
static bool take_extras(struct exchange *x, struct json *body, struct chat *c)
{
    const struct json *least = there(body, "min_confidence");
    c->least = least ? json_f64(least) : 0;
    if (least && (!json_is(least, JSON_NUMBER) || !(c->least >= 0 && c->least <= 1))) {
        reply_error(x, 400, "invalid_value", "min_confidence",
                    "min_confidence: must be a number from 0 to 1");
        return false;
    }
    json_unset(body, "min_confidence");
    return take_bool(x, body, "return_tokens", &c->tokens) &&
           take_bool(x, body, "return_progress", &c->progress) &&
           take_bool(x, body, "timings_per_token", &c->timings) &&
           take_bool(x, body, "return_confidence", &c->confidence);
}

/* Everything but the running. True: r (which owns the body) and chat are the caller's. */
static bool chat_read(struct exchange *x, struct json *body, struct request *r, struct chat **state,
                      int64_t *n, bool *stream)
{
    struct chat c = { 0 };
    int64_t top = 0;
    *n = 1;
    *stream = false;
    if (!models_resolve(x, body) || !known_members(x, body, chat_members) ||
        !take_stream(x, body, stream, &c.usage) || !take_int(x, body, "n", 1, x->sv->o->max_n, n) ||
        !take_logprobs(x, body, &c.logprobs, &top) || !take_extras(x, body, &c) ||
        !legacy_functions(x, body, &c.legacy)) {
        json_free(body);
        return false;
    }
    if (!chat_request(x, body, r)) return false;
    r->top = c.logprobs ? (int)top : -1; /* kinds and times of tokens need no log-probabilities */
    r->want_tokens |= c.tokens;
    r->want_share = c.tokens || c.confidence || c.least > 0;
    r->want_progress = c.progress && *stream;
    *state = mem_dup(&c, sizeof c);
    return true;
}

/* ---- telling ---------------------------------------------------------------------------------------------- */

static void put_common(struct json *o, const struct job *j, const char *object)
{
    json_set(o, "id", json_new_str(j->id));
    json_set(o, "object", json_new_str(object));
    json_set(o, "created", json_new_int(j->created));
    json_set(o, "model", json_new_str(j->model));
    json_set(o, "system_fingerprint", json_new_str(j->sv->fingerprint));
    json_set(o, "service_tier", json_new_str("default"));
}

static void chat_begin(struct job *j, struct str *out)
{
    struct chat *c = j->state;
    struct json *o = json_new_object();
    put_common(o, j, "chat.completion.chunk");
    json_write(&c->head, o, JSON_COMPACT);
    c->head.len--;                                                    /* the brace that ends it */
    str_puts(&c->head, ",\"choices\":[");
    json_free(o);
}

static struct json *logprobs_json(struct json *content)
{
    struct json *o = json_new_object();
    json_set(o, "content", content);
    json_set(o, "refusal", json_new_null());
    return o;
}

/* As llama-server has them; forced_n and what follows are ours. */
static struct json *timings_json(const struct message *m)
{
    struct json *o = json_new_object();
    int computed = m->usage.prompt_tokens - m->usage.cached_tokens;
    json_set(o, "cache_n", json_new_int(m->usage.cached_tokens));
    json_set(o, "prompt_n", json_new_int(computed));
    json_set(o, "prompt_ms", json_new_f64(m->timing.prefill_ms));
    json_set(o, "predicted_n", json_new_int(m->usage.completion_tokens));
    json_set(o, "predicted_ms", json_new_f64(m->timing.decode_ms));
    json_set(o, "draft_n", json_new_int(m->usage.draft_tokens));
    json_set(o, "draft_n_accepted", json_new_int(m->usage.accepted_tokens));
    json_set(o, "forced_n", json_new_int(m->usage.forced_tokens));
    json_set(o, "queue_ms", json_new_f64(m->timing.queue_ms));
    json_set(o, "first_token_ms", json_new_f64(m->timing.first_token_ms));
    json_set(o, "mask_ms", json_new_f64(m->timing.mask_us * 1e-3));
    return o;
}

/* tool_confidence and low_confidence of a finished answer, as far as they were asked for. */
static void put_confidence(struct json *o, const struct chat *s, const struct message *m)
{
    struct json *all = json_new_array(), *low = json_new_array();
    for (int i = 0; i < m->n_call; i++) {
        const struct message_call *c = &m->call[i];
        json_push(all, c->incomplete ? json_new_null() : json_new_f64(c->confidence));
        if (c->incomplete || c->confidence < s->least) json_push(low, json_new_int(i));
    }
    if (s->confidence) json_set(o, "tool_confidence", all);
    else json_free(all);
    if (s->least > 0) json_set(o, "low_confidence", low);
    else json_free(low);
}

/* Members of an object that is being written: ",…" without the braces. */
static void put_members(struct str *out, struct json *take)
{
    struct str s = { 0 };
    json_write(&s, take, JSON_COMPACT);
    if (json_len(take)) str_fmt(out, ",%.*s", (int)s.len - 2, s.p + 1);
    str_done(&s);
    json_free(take);
}

/* How far the prompt has been read, as llama-server says it. */
static void put_progress(const struct event *ev, struct str *out)
{
    str_fmt(out, ",\"prompt_progress\":{\"total\":%d,\"cache\":%d,\"processed\":%d,\"time_ms\":%.0f}", ev->usage.prompt_tokens,
            ev->usage.cached_tokens, ev->n_read, ev->timing.prefill_ms);
}

/* progress: the event of it, or NULL. */
static void chunk(struct job *j, struct choice *c, struct json *delta, const char *finish, const struct event *progress,
                  struct str *out)
{
    struct chat *s = j->state;
    str_puts(out, "data: ");
    str_put(out, s->head.p, s->head.len);
    str_fmt(out, "{\"index\":%d,\"delta\":", c->index);
    json_write(out, delta, JSON_COMPACT);
    str_puts(out, ",\"logprobs\":");
    if (c->pending) {
        struct json *l = logprobs_json(c->pending);
        json_write(out, l, JSON_COMPACT);
        json_free(l);
        c->pending = NULL;
    } else str_puts(out, "null");
    str_puts(out, ",\"finish_reason\":");
    if (finish) str_fmt(out, "\"%s\"", finish);
    else str_puts(out, "null");
    struct json *extra = json_new_object();
    if (c->tokens) json_set(extra, "tokens", c->tokens);
    c->tokens = NULL;
    if (finish) put_confidence(extra, s, &c->message);
    put_members(out, extra);
    str_puts(out, s->usage ? "}],\"usage\":null" : "}]");
    if (progress) put_progress(progress, out);
    if (finish || s->timings) {
        struct json *t = timings_json(&c->message);
        str_puts(out, ",\"timings\":");
        json_write(out, t, JSON_COMPACT);
        json_free(t);
    }
    str_puts(out, "}\n\n");
    json_free(delta);
}

static struct json *rounded(double v, double unit) { return json_new_f64(round(v / unit) * unit); }

/* How a token came to be: {id, piece, kind, p, ms}. */
static struct json *token_json(const struct job *j, const struct event *ev)
{
    static const char *const kind[] = { [ORIGIN_SAMPLED] = "sampled", [ORIGIN_FORCED] = "forced",
                                        [ORIGIN_DRAFTED] = "drafted", [ORIGIN_PROMPT] = "prompt" };
    struct json *o = token_piece(engine_tokenizer(j->sv->engine), ev->token);
    json_set(o, "kind", json_new_str(kind[ev->origin]));
    json_set(o, "p", rounded(ev->share, 1e-6));
    json_set(o, "ms", rounded((double)(ev->at_ns - j->submit_ns) * 1e-6, 1e-3));
    return o;
}

static void note_token(struct job *j, struct choice *c, const struct event *ev)
{
    struct chat *s = j->state;
    if (s->tokens) {
        if (!c->tokens) c->tokens = json_new_array();
        json_push(c->tokens, token_json(j, ev));
    }
    if (!s->logprobs) return;
    struct json **to = j->stream ? &c->pending : &c->logprobs;
    if (!*to) *to = json_new_array();
    json_push(*to, token_logprob(j->sv, ev));
}

/* tool_calls of a delta or message as the one function_call of old. */
static struct json *as_function_call(struct json *o)
{
    const struct json *f = json_get(json_at(json_get(o, "tool_calls"), 0), "function");
    if (f) json_set(o, "function_call", json_copy(f));
    json_unset(o, "tool_calls");
    return o;
}

static const char *chat_finish(const struct job *j, const struct choice *c)
{
    const struct chat *s = j->state;
    return s->legacy && c->message.reason == FINISH_TOOL_CALLS ? "function_call" : finish_name(c);
}

static void chat_event(struct job *j, struct choice *c, const struct event *ev, struct str *out)
{
    struct chat *s = j->state;
    if (ev->kind == EV_TOKEN) note_token(j, c, ev);
    if (ev->kind == EV_FINISH) metrics_calls(j->sv->metrics, &c->message, c->request.choice);
    if (ev->kind == EV_START) c->message.tell_confidence = s->confidence;
    if (!out) return;
    if (ev->kind == EV_START) {
        struct json *d = json_new_object();
        json_set(d, "role", json_new_str("assistant"));
        json_set(d, "content", json_new_null());
        chunk(j, c, d, NULL, NULL, out);
        return;
    }
    if (ev->kind == EV_PROGRESS) {
        chunk(j, c, json_new_object(), NULL, ev, out);
        return;
    }
    struct json *d = event_delta(ev);
    if (d && s->legacy) {
        d = as_function_call(d);
        if (ev->kind != EV_FINISH && !json_len(d)) json_free(d), d = NULL;
    }
    if (d) chunk(j, c, d, ev->kind == EV_FINISH ? chat_finish(j, c) : NULL, NULL, out);
}

static void chat_end(struct job *j, struct str *out)
{
    struct chat *s = j->state;
    if (s->usage) {
        str_fmt(out, "data: %.*s],\"usage\":", (int)s->head.len, s->head.p);
        struct json *u = usage_json(&j->usage);
        json_write(out, u, JSON_COMPACT);
        json_free(u);
        str_puts(out, "}\n\n");
    }
    str_puts(out, "data: [DONE]\n\n");
}

static void chat_fail(struct job *j, const struct fault *f, struct str *out)
{
    sse(out, NULL, fault_json(NULL, f));
    str_puts(out, "data: [DONE]\n\n");
}

static struct json *chat_choice(struct job *j, struct choice *c)
{
    struct chat *s = j->state;
    struct json *o = json_new_object(), *m = message_json(&c->message);
    if (s->legacy) m = as_function_call(m);
    json_set(m, "refusal", json_new_null());
    json_set(o, "index", json_new_int(c->index));
    json_set(o, "message", m);
    json_set(o, "logprobs",
             s->logprobs ? logprobs_json(c->logprobs ? c->logprobs : json_new_array())
                         : json_new_null());
    c->logprobs = NULL;
    if (s->tokens) json_set(o, "tokens", c->tokens ? c->tokens : json_new_array());
    c->tokens = NULL;
    put_confidence(o, s, &c->message);
    json_set(o, "finish_reason", json_new_str(chat_finish(j, c)));
    return o;
}

static struct json *chat_whole(struct job *j)
{
    struct json *o = json_new_object(), *list = json_new_array();
    put_common(o, j, "chat.completion");
    for (int i = 0; i < j->n_choice; i++) json_push(list, chat_choice(j, &j->choice[i]));
    json_set(o, "choices", list);
    json_set(o, "usage", usage_json(&j->usage));
    json_set(o, "timings", timings_json(&j->choice[0].message));
    return o;
}

static const struct teller chat_teller = { chat_begin, chat_event, chat_end, chat_fail,
                                           chat_whole, NULL,       chat_done };

void chat_run(struct exchange *x)
{
    struct json *body = api_body(x);
    struct request r;
    struct chat *state;
    int64_t n;
    bool stream;
    if (!body || !chat_read(x, body, &r, &state, &n, &stream)) return;
    job_start(x, &(struct job_spec){ .teller = &chat_teller,
                                     .state = state,
                                     .request = &r,
                                     .n = (int)n,
                                     .stream = stream,
                                     .id_prefix = "chatcmpl-" });
}

/* ---- without an answer --------------------------------------------------------------------------------------- */

static bool prompt_of(struct exchange *x, const struct request *r, struct prompt *p,
                      struct ids *ids)
{
    struct err e = { 0 };
    bool ok = engine_render(x->sv->engine, r, p, &e) &&
              prompt_tokens(p, engine_tokenizer(x->sv->engine), ids, &e);
    if (!ok) reply_err(x, &e);
    return ok;
}

bool prompt_count(struct exchange *x, const struct request *r, int *n)
{
    struct prompt p = { 0 };
    struct ids ids = { 0 };
    bool ok = prompt_of(x, r, &p, &ids);
    *n = (int)ids.n;
    prompt_done(&p);
    mem_free(ids.id);
    return ok;
}

static bool read_only(struct exchange *x, struct request *r)
{
    struct json *body = api_body(x);
    struct chat *state;
    int64_t n;
    bool stream;
    if (!body || !chat_read(x, body, r, &state, &n, &stream)) return false;
    chat_done(state);
    return true;
}

void chat_count(struct exchange *x)
{
    struct request r;
    int n;
    if (!read_only(x, &r)) return;
    if (prompt_count(x, &r, &n)) {
        struct json *o = json_new_object();
        json_set(o, "input_tokens", json_new_int(n));
        reply_json(x, 200, o);
    }
    request_done(&r);
}

void template_run(struct exchange *x)
{
    struct request r;
    struct prompt p = { 0 };
    struct ids ids = { 0 };
    if (!read_only(x, &r)) return;
    if (prompt_of(x, &r, &p, &ids)) {
        struct json *o = json_new_object();
        json_set(o, "prompt", json_new_strn(p.text.p ? p.text.p : "", p.text.len));
        json_set(o, "tokens", json_new_int((int64_t)ids.n));
        reply_json(x, 200, o);
    }
    prompt_done(&p);
    mem_free(ids.id);
    request_done(&r);
}
