/* request.c -- the JSON of the chat endpoint becomes a request, or a sentence that names the
 * member.
 *
 * null is absent, 1.0 is an integer, a string is no number. A member of the OpenAI API that would
 * change the answer and is not honoured here is refused, never dropped; members that change nothing
 * (user, metadata, stream, ...) are ignored, as the API does. The body is kept: messages and tools
 * are replaced in it by their normal form (history.c, toolset.c), everything in the struct lends. */
#include "gen/gen.h"

#include <limits.h>
#include <stdlib.h>

#define STOP_MOST 16
#define BIAS_MOST 1024

static const struct json *member(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && !json_is(v, JSON_NULL) ? v : NULL;
}

/* ---- members with a range -------------------------------------------------------------------- */

static bool read_f32(const struct json *body, const char *key, double lo, double hi, float *out,
                     struct err *e)
{
    const struct json *v = member(body, key);
    if (!v) return true;
    double x = json_f64(v);
    if (!json_is(v, JSON_NUMBER) || !(x >= lo && x <= hi))
        return err_set(e, ERR_ARG, "%s: must be a number from %g to %g", key, lo, hi);
    *out = (float)x;
    return true;
}

static bool read_i64(const struct json *body, const char *key, int64_t lo, int64_t hi, int64_t *out,
                     struct err *e)
{
    const struct json *v = member(body, key);
    if (!v) return true;
    bool is_int = json_i64(v, out);
    if (!is_int || *out < lo || *out > hi)
        return err_as(e, !is_int ? "invalid_type" : *out < lo ? "integer_below_min_value" : "integer_above_max_value", ERR_ARG,
                      "%s: must be an integer from %lld to %lld", key, (long long)lo, (long long)hi);
    return true;
}

static bool read_bool(const struct json *body, const char *key, bool *out, struct err *e)
{
    const struct json *v = member(body, key);
    if (!v) return true;
    if (!json_is(v, JSON_BOOL)) return err_set(e, ERR_ARG, "%s: must be true or false", key);
    *out = json_bool(v);
    return true;
}

static bool read_limit(struct request *r, struct err *e)
{
    int64_t old = -1, now = -1;
    if (!read_i64(r->body, "max_tokens", 0, INT_MAX, &old, e)) return false;
    if (!read_i64(r->body, "max_completion_tokens", 0, INT_MAX, &now, e)) return false;
    if (old >= 0 && now >= 0 && old != now)
        return err_set(e, ERR_ARG,
                       "max_tokens and max_completion_tokens say different things, %lld and %lld",
                       (long long)old, (long long)now);
    r->max_tokens = (int)MAX(0, MAX(old, now));
    r->only_prompt = MAX(old, now) == 0;
    return true;
}

/* One string or several; kept as an array. */
static bool read_stop(struct request *r, struct err *e)
{
    const struct json *v = member(r->body, "stop");
    if (!v) return true;
    if (json_is(v, JSON_STRING)) {
        struct json *list = json_new_array();
        json_push(list, json_copy(v));
        json_set(r->body, "stop", list);
        v = list;
    }
    bool ok = json_is(v, JSON_ARRAY) && json_len(v) <= STOP_MOST;
    for (size_t i = 0; ok && i < json_len(v); i++) {
        size_t len = 0;
        ok = json_str(json_at(v, i), &len) && len;
    }
    if (!ok)
        return err_set(e, ERR_ARG, "stop: a string or at most %d strings, none empty, are accepted",
                       STOP_MOST);
    r->stop = json_len(v) ? v : NULL;
    return true;
}

/* {"token id": number}. */
static bool read_bias(struct request *r, struct err *e)
{
    const struct json *v = member(r->body, "logit_bias");
    if (!v) return true;
    if (!json_is(v, JSON_OBJECT) || json_len(v) > BIAS_MOST)
        return err_set(e, ERR_ARG, "logit_bias: an object of at most %d token ids is accepted", BIAS_MOST);
    r->bias = mem_zero((json_len(v) + 1) * sizeof *r->bias);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        char *end;
        long id = strtol(it.key, &end, 10);
        double add = json_f64(it.value);
        if (!it.key_len || *end || id < 0 || id > INT_MAX || !json_is(it.value, JSON_NUMBER) || !(add >= -100 && add <= 100))
            return err_set(e, ERR_ARG, "logit_bias: '%.20s': a token id with a number from -100 to 100 is accepted", it.key);
        r->bias[r->n_bias].id = (int32_t)id;
        r->bias[r->n_bias++].add = (float)add;
    }
    return true;
}

/* min_tokens, and ignore_eos, which is the same without an end. */
static bool read_least(struct request *r, struct err *e)
{
    int64_t least = 0;
    bool ignore = false;
    if (!read_i64(r->body, "min_tokens", 0, INT_MAX, &least, e) || !read_bool(r->body, "ignore_eos", &ignore, e)) return false;
    r->min_tokens = ignore ? INT_MAX : (int)least;
    return true;
}

static bool read_sampling(struct request *r, struct err *e)
{
    struct sampling *s = &r->sampling;
    int64_t top_k = 0, seed = 0;
    *s = (struct sampling){ .top_p = 1, .repeat_penalty = 1 };
    if (!read_f32(r->body, "temperature", 0, 2, &s->temperature, e)) return false;
    if (!read_f32(r->body, "top_p", 0, 1, &s->top_p, e)) return false;
    if (!read_f32(r->body, "min_p", 0, 1, &s->min_p, e)) return false;
    if (!read_f32(r->body, "repeat_penalty", 0.01, 100, &s->repeat_penalty, e)) return false;
    if (!read_f32(r->body, "repetition_penalty", 0.01, 100, &s->repeat_penalty, e)) return false;
    if (!read_f32(r->body, "presence_penalty", -2, 2, &s->presence, e)) return false;
    if (!read_f32(r->body, "frequency_penalty", -2, 2, &s->frequency, e)) return false;
    if (!read_i64(r->body, "top_k", -1, INT_MAX, &top_k, e)) return false;
    if (!read_i64(r->body, "seed", INT64_MIN, INT64_MAX, &seed, e)) return false;
    if (s->top_p == 0) return err_set(e, ERR_ARG, "top_p: must be above 0 and at most 1");
    s->top_k = (int)MAX(0, top_k);
    s->seed = (uint64_t)seed;
    return read_bias(r, e) && read_least(r, e);
}

/* ---- what is not honoured -------------------------------------------------------------------- */

/* Harmless at the value given, refused at any other. */
static const struct { const char *key, *harmless, *instead; } refused[] = {
    { "n",                  "1",     "send the request several times" },
    { "best_of",            "1",     "send the request several times" },
    { "functions",          "[]",    "use tools" },
    { "function_call",      "\"none\"", "use tool_choice" },
    { "audio",              NULL,    "this model reads and writes text only" },
    { "web_search_options", NULL,    "offer a tool that searches" },
    { "modalities",         "[\"text\"]", "this model reads and writes text only" },
};

static bool refuse_others(const struct json *body, struct err *e)
{
    for (size_t i = 0; i < LEN(refused); i++) {
        const struct json *v = member(body, refused[i].key);
        if (!v) continue;
        const char *ok = refused[i].harmless;
        struct json *same = ok ? json_parse(ok, strlen(ok), NULL) : NULL;
        bool fine = same && json_equal(v, same);
        json_free(same);
        if (!fine)
            return err_set(e, ERR_UNSUPPORTED, "%s: not supported here; %s", refused[i].key,
                           refused[i].instead);
    }
    return true;
}

/* ---- tools and choice ------------------------------------------------------------------------ */

static int tool_index(const struct request *r, const char *name)
{
    for (size_t i = 0; i < json_len(r->tools); i++) {
        const char *own = tool_name(json_at(r->tools, i));
        if (own && !strcmp(own, name)) return (int)i;
    }
    return -1;
}

static bool unknown_tool(const struct request *r, const char *name, struct err *e)
{
    struct str list = { 0 };
    for (size_t i = 0; i < MIN(json_len(r->tools), 8u); i++) {
        const char *own = tool_name(json_at(r->tools, i));
        if (own) str_fmt(&list, "%s%s", list.len ? ", " : "", own);
    }
    if (json_len(r->tools) > 8) str_puts(&list, ", …");
    err_as(e, "tool_choice_unknown_tool", ERR_ARG, "tool_choice: no tool is called '%.60s'; there is %.300s", name,
           list.p ? list.p : "none");
    str_done(&list);
    return false;
}

/* The name in {"function":{"name"}} or in the flat form. */
static const char *named(const struct json *v)
{
    const struct json *f = json_get(v, "function");
    return json_str(json_get(f ? f : v, "name"), NULL);
}

static bool read_allowed(struct request *r, const struct json *v, struct err *e)
{
    const struct json *a = json_get(v, "allowed_tools"), *mode, *list;
    if (!a) a = v;
    mode = json_get(a, "mode");
    list = json_get(a, "tools");
    if (!json_str_is(mode, "auto") && !json_str_is(mode, "required"))
        return err_set(e, ERR_ARG,
                       "tool_choice.allowed_tools.mode: 'auto' and 'required' are accepted");
    if (!json_is(list, JSON_ARRAY) || !json_len(list))
        return err_set(e, ERR_ARG,
                       "tool_choice.allowed_tools.tools: an array of at least one tool is needed");
    r->choice = json_str_is(mode, "auto") ? CHOICE_AUTO : CHOICE_REQUIRED;
    r->allowed = mem_zero(json_len(r->tools));
    for (size_t i = 0; i < json_len(list); i++) {
        const char *name = named(json_at(list, i));
        int t = name ? tool_index(r, name) : -1;
        if (t < 0) return unknown_tool(r, name ? name : "", e);
        r->allowed[t] = 1;
    }
    return true;
}

static bool choose(struct request *r, const char *name, struct err *e)
{
    int t = tool_index(r, name);
    if (t < 0) return unknown_tool(r, name, e);
    r->choice = CHOICE_NAMED;
    r->choice_name = tool_name(json_at(r->tools, (size_t)t));
    return true;
}

static bool read_choice_object(struct request *r, const struct json *v, struct err *e)
{
    if (json_str_is(json_get(v, "type"), "allowed_tools")) return read_allowed(r, v, e);
    const char *name = named(v);
    if (json_str_is(json_get(v, "type"), "code_interpreter")) return choose(r, "python", e);
    if (!json_str_is(json_get(v, "type"), "function") || !name)
        return err_set(e, ERR_ARG,
                       "tool_choice: an object must be {\"type\":\"function\",\"function\":"
                       "{\"name\":…}} or of type allowed_tools");
    return choose(r, name, e);
}

static bool read_choice(struct request *r, struct err *e)
{
    const struct json *v = member(r->body, "tool_choice");
    r->choice = r->tools ? CHOICE_AUTO : CHOICE_NONE;
    if (!v) return true;
    bool is_auto = json_str_is(v, "auto"), is_none = json_str_is(v, "none");
    if (!is_auto && !is_none && !r->tools)
        return err_set(e, ERR_ARG, "tool_choice: 'tool_choice' is only allowed when 'tools' are specified.");
    if (is_none) r->choice = CHOICE_NONE;
    else if (json_str_is(v, "required")) r->choice = CHOICE_REQUIRED;
    else if (json_is(v, JSON_OBJECT)) return read_choice_object(r, v, e);
    else if (!is_auto)
        return err_set(e, ERR_ARG,
                       "tool_choice: invalid value '%.60s'. Supported values are: 'none', 'auto', and 'required'.",
                       json_str(v, NULL) ? json_str(v, NULL) : json_type_name(json_type(v)));
    return true;
}

struct json *tool_choice_json(const char *word)
{
    if (!strcmp(word, "auto") || !strcmp(word, "none") || !strcmp(word, "required"))
        return json_new_str(word);
    struct json *o = json_new_object(), *f = json_new_object();
    json_set(f, "name", json_new_str(word));
    json_set(o, "type", json_new_str("function"));
    json_set(o, "function", f);
    return o;
}

static bool read_tools(struct request *r, struct err *e)
{
    const struct json *v = member(r->body, "tools");
    if (v) {
        if (!json_is(v, JSON_ARRAY)) return err_set(e, ERR_ARG, "tools: must be an array");
        struct json *t = tools_normalise(v, e);
        if (!t) return false;
        json_set(r->body, "tools", t);
        if (json_len(t)) r->tools = t;
    }
    return read_choice(r, e);
}

/* ---- response_format, spelling --------------------------------------------------------------- */

static bool read_schema(struct format *f, const struct json *schema, const char *where,
                        struct err *e)
{
    if (!schema) return err_set(e, ERR_ARG, "%s: missing", where);
    if (!json_is(schema, JSON_OBJECT) && !json_is(schema, JSON_BOOL))
        return err_set(e, ERR_SCHEMA, "%s: must be an object", where);
    f->kind = FORMAT_SCHEMA;
    f->schema = schema;
    return true;
}

static bool read_json_schema(struct format *f, const struct json *v, struct err *e)
{
    const struct json *inner = member(v, "json_schema"), *name = member(inner, "name");
    size_t len = 0;
    if (!json_is(inner, JSON_OBJECT))
        return err_set(e, ERR_ARG, "response_format.json_schema: must be an object");
    if (name && (!json_str(name, &len) || !len || len > 64))
        return err_set(e, ERR_ARG,
                       "response_format.json_schema.name: must be a string of 1 to 64 characters");
    if (member(inner, "strict") && !json_is(member(inner, "strict"), JSON_BOOL))
        return err_set(e, ERR_ARG, "response_format.json_schema.strict: must be true or false");
    f->strict = json_bool(member(inner, "strict"));
    return read_schema(f, member(inner, "schema"), "response_format.json_schema.schema", e);
}

/* Ours: {"type":"regex","pattern":…} and {"type":"grammar","grammar":…,"syntax":"gbnf"}. */
static bool read_grammar(struct format *f, const struct json *v, const char *key, struct err *e)
{
    const struct json *syntax = member(v, "syntax");
    size_t len = 0;
    f->text = json_str(member(v, key), &len);
    if (!f->text || !len || strlen(f->text) != len)
        return err_set(e, ERR_ARG,
                       "response_format.%s: must be a text that is not empty and holds no NUL",
                       key);
    if (f->kind == FORMAT_REGEX || !syntax || json_str_is(syntax, "gbnf")) return true;
    f->kind = FORMAT_ENVELOPE;
    return json_str_is(syntax, "tenon") ||
           err_set(e, ERR_ARG, "response_format.syntax: 'gbnf' and 'tenon' are accepted");
}

static bool read_format(struct request *r, struct err *e)
{
    const struct json *v = member(r->body, "response_format"), *type = json_get(v, "type");
    struct format *f = &r->format;
    if (!v || json_str_is(type, "text")) return true;
    if (json_str_is(type, "json_object")) {
        f->kind = FORMAT_OBJECT;
        return !member(v, "schema") ||
               read_schema(f, member(v, "schema"), "response_format.schema", e);
    }
    if (json_str_is(type, "json_schema")) return read_json_schema(f, v, e);
    f->kind = json_str_is(type, "regex") ? FORMAT_REGEX : FORMAT_GBNF;
    if (f->kind == FORMAT_REGEX) return read_grammar(f, v, "pattern", e);
    if (json_str_is(type, "grammar")) return read_grammar(f, v, "grammar", e);
    return err_set(e, ERR_ARG,
                   "response_format.type: 'text', 'json_object', 'json_schema', 'regex' and "
                   "'grammar' are accepted");
}

static bool read_word(const struct json *body, const char *key, const char *const *word, int n,
                      int *out, struct err *e)
{
    const struct json *v = member(body, key);
    *out = -1;
    if (!v) return true;
    for (int i = 0; i < n; i++)
        if (json_str_is(v, word[i])) { *out = i; return true; }
    struct str list = { 0 };
    for (int i = 0; i < n; i++) str_fmt(&list, "%s%s", i ? ", " : "", word[i]);
    err_set(e, ERR_ARG, "%s: one of %s is accepted", key, list.p);
    str_done(&list);
    return false;
}

static bool read_steer(struct request *r, struct err *e)
{
    int64_t bits = -1;
    bool ok = read_i64(r->body, "steer", 0, STEER_ALL, &bits, e);
    r->steer = (int)bits;
    return ok;
}

static bool read_style(struct request *r, struct err *e)
{
    static const char *const spelling[] = {"lock", "fixed", "compact",
                                           "flexible"}; /* enum spelling */
    static const char *const order[] = { "any", "declared" };
    return read_word(r->body, "spelling", spelling, LEN(spelling), &r->spelling, e)
        && read_word(r->body, "key_order", order, LEN(order), &r->declared_order, e)
        && read_steer(r, e);
}

/* logprobs: a truth value with top_logprobs beside it. */
static bool read_logprobs(struct request *r, struct err *e)
{
    int64_t top = -1;
    if (!read_bool(r->body, "logprobs", &r->want_tokens, e)) return false;
    if (!read_i64(r->body, "top_logprobs", 0, TOP_MOST, &top, e)) return false;
    if (top >= 0 && !r->want_tokens)
        return err_set(e, ERR_ARG, "top_logprobs: is only accepted with logprobs true");
    r->top = (int)MAX(0, top);
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool read_messages(struct request *r, struct err *e)
{
    const struct json *check = json_get(r->body, "history_check");
    if (check && !json_is(check, JSON_BOOL)) return err_set(e, ERR_ARG, "history_check: must be true or false");
    struct json *m = messages_normalise(json_get(r->body, "messages"), !check || json_bool(check), e);
    if (!m) return false;
    json_set(r->body, "messages", m);
    r->messages = m;
    return true;
}

/* Extensions for small models: how sure a call is, and fewer tools. */
static bool read_help(struct request *r, struct err *e)
{
    const struct json *few = member(r->body, "tool_retrieval");
    int64_t k = 0;
    if (!read_bool(r->body, "return_confidence", &r->want_share, e)) return false;
    if (!few) return true;
    if (!json_i64(json_get(few, "top_k"), &k) || k < 1 || k > 4096)
        return err_set(e, ERR_ARG, "tool_retrieval: {\"top_k\": N} with N from 1 to 4096 is accepted");
    request_retrieve(r, (int)k);
    return true;
}

bool request_read(struct request *r, struct json *body, struct err *e)
{
    *r = (struct request){
        .body = body, .parallel = true, .spelling = -1, .declared_order = -1, .steer = -1};
    if (!json_is(body, JSON_OBJECT)) {
        err_set(e, ERR_ARG, "the request must be a JSON object");
        goto fail;
    }
    if (!read_messages(r, e) || !read_tools(r, e) || !read_format(r, e) || !read_style(r, e))
        goto fail;
    if (!read_limit(r, e) || !read_stop(r, e) || !read_sampling(r, e)) goto fail;
    if (!read_bool(body, "parallel_tool_calls", &r->parallel, e)) goto fail;
    if (!read_logprobs(r, e) || !refuse_others(body, e) || !read_help(r, e)) goto fail;
    return true;
fail:
    request_done(r);
    return false;
}

/* A prompt of tokens stands beside it (struct sched_job): neither messages nor tools. `logprobs` is a number here. */
bool request_read_raw(struct request *r, struct json *body, struct err *e)
{
    int64_t top = -1;
    *r = (struct request){
        .body = body, .parallel = true, .spelling = -1, .declared_order = -1, .steer = 0};
    bool ok = json_is(body, JSON_OBJECT) || err_set(e, ERR_ARG, "the request must be a JSON object");
    r->choice = CHOICE_NONE;
    ok = ok && read_format(r, e) && read_limit(r, e) && read_stop(r, e) && read_sampling(r, e) &&
         read_i64(body, "logprobs", 0, TOP_MOST, &top, e);
    r->want_tokens = top >= 0;
    r->top = (int)MAX(0, top);
    if (!ok) request_done(r);
    return ok;
}

void request_done(struct request *r)
{
    json_free(r->body);
    mem_free(r->allowed);
    mem_free(r->bias);
    *r = (struct request){ 0 };
}
