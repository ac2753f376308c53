/* completions.c -- the legacy endpoint: a text, or tokens, goes on. No template, no tools.
 *
 * Several prompts make several choices each. `echo` with `logprobs` is what evaluation harnesses ask for:
 * the log-probability of every token of the prompt, the first of which has none. */
#include <math.h>

#include "serve/models.h"

#define PROMPTS_MOST 128

struct completion {
    bool usage, echo;
    int64_t logprobs;
    struct str *text;
    int n_prompt, per;
}; /* text: of each prompt */

static void completion_done(void *state)
{
    struct completion *c = state;
    for (int i = 0; i < c->n_prompt; i++) str_done(&c->text[i]);
    mem_free(c->text);
    mem_free(c);
}

/* ---- the prompts -------------------------------------------------------------------------------------- */

static bool encode_one(struct exchange *x, const struct json *v, struct ids *ids)
{
    const struct tokenizer *t = engine_tokenizer(x->sv->engine);
    struct err e = { 0 };
    size_t len;
    const char *text = json_str(v, &len);
    if (text && !tok_encode(t, text, len, TOK_ADD | TOK_SPECIAL, ids, &e)) {
        reply_err(x, &e);
        return false;
    }
    for (size_t i = 0; !text && i < json_len(v); i++) {
        int64_t id;
        if (!json_is(v, JSON_ARRAY) || !json_i64(json_at(v, i), &id) || id < 0 ||
            id >= tok_n_vocab(t)) {
            reply_error(x, 400, "invalid_value", "prompt",
                        "prompt: a token id must be an integer from 0 to %d", tok_n_vocab(t) - 1);
            return false;
        }
        ids_put(ids, (int32_t)id);
    }
    if (!ids->n && tok_bos(t) >= 0) ids_put(ids, tok_bos(t));
    if (ids->n) return true;
    reply_error(x, 400, "invalid_value", "prompt", "prompt: must not be empty");
    return false;
}

static bool is_one_prompt(const struct json *v)
{
    return json_is(v, JSON_STRING) ||
           (json_is(v, JSON_ARRAY) && json_len(v) && json_is(json_at(v, 0), JSON_NUMBER));
}

static bool is_prompt_list(const struct json *v)
{
    bool ok = json_is(v, JSON_ARRAY) && json_len(v) && json_len(v) <= PROMPTS_MOST;
    for (size_t i = 0; ok && i < json_len(v); i++)
        ok = json_is(json_at(v, i), JSON_STRING) || json_is(json_at(v, i), JSON_ARRAY);
    return ok;
}

/* ids [*n] of all prompts, each repeated `per` times. */
static struct ids *read_prompts(struct exchange *x, const struct json *v, struct completion *c)
{
    bool one = is_one_prompt(v);
    if (!one && !is_prompt_list(v)) {
        reply_error(
            x, 400, v ? "invalid_type" : "missing_required_parameter", "prompt",
            "prompt: a string, an array of token ids, or an array of at most %d of those is needed",
            PROMPTS_MOST);
        return NULL;
    }
    int n = one ? 1 : (int)json_len(v), done = 0;
    struct ids *ids = mem_zero((size_t)(n * c->per) * sizeof *ids);
    c->text = mem_zero((size_t)n * sizeof *c->text);
    c->n_prompt = n;
    for (; done < n; done++) {
        const struct json *p = one ? v : json_at(v, (size_t)done);
        struct ids first = { 0 };
        size_t len;
        const char *text = json_str(p, &len);
        if (!encode_one(x, p, &first)) break;
        if (text) str_put(&c->text[done], text, len);
        else tok_decode(engine_tokenizer(x->sv->engine), first.id, first.n, &c->text[done]);
        for (int k = 0; k < c->per; k++)
            for (size_t i = 0; i < first.n; i++) ids_put(&ids[done * c->per + k], first.id[i]);
        mem_free(first.id);
    }
    if (done == n) return ids;
    for (int i = 0; i < n * c->per; i++) mem_free(ids[i].id);
    mem_free(ids);
    return NULL;
}

/* ---- telling -------------------------------------------------------------------------------------------- */

static struct json *lists(void)
{
    static const char *const name[] = { "tokens", "token_logprobs", "top_logprobs", "text_offset" };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(name); i++) json_set(o, name[i], json_new_array());
    return o;
}

static void push_to(struct json *o, const char *key, struct json *v)
{
    json_push((struct json *)(uintptr_t)json_get(o, key), v);
}

static struct json *text_of(const struct tokenizer *t, int32_t id, struct str *s)
{
    struct bytes b = tok_bytes(t, id);
    if (!b.len) b = tok_text(t, id);
    str_clear(s);
    str_put_utf8(s, b.p ? b.p : "", b.len);
    return json_new_strn(s->p ? s->p : "", s->len);
}

static void note_token(struct job *j, struct choice *c, const struct event *ev)
{
    const struct tokenizer *t = engine_tokenizer(j->sv->engine);
    struct json **to = j->stream ? &c->pending : &c->logprobs, *top = json_new_object();
    struct str s = { 0 };
    bool none = isnan(ev->logprob);
    if (!*to) *to = lists();
    for (int i = 0; i < ev->n_top; i++) {
        json_free(text_of(t, ev->top[i].token, &s));
        json_set(top, s.p ? s.p : "", json_new_f64(ev->top[i].logprob));
    }
    push_to(*to, "tokens", text_of(t, ev->token, &s));
    if (!ev->n_top && !none) json_set(top, s.p ? s.p : "", json_new_f64(ev->logprob));
    push_to(*to, "token_logprobs", none ? json_new_null() : json_new_f64(ev->logprob));
    if (none) json_free(top);
    push_to(*to, "top_logprobs", none ? json_new_null() : top);
    push_to(*to, "text_offset", json_new_int(c->n_echo));
    struct bytes b = tok_bytes(t, ev->token);
    for (size_t i = 0; i < b.len; i++) c->n_echo += ((unsigned char)b.p[i] & 0xc0) != 0x80;
    str_done(&s);
}

static void put_common(struct json *o, const struct job *j)
{
    json_set(o, "id", json_new_str(j->id));
    json_set(o, "object", json_new_str("text_completion"));
    json_set(o, "created", json_new_int(j->created));
    json_set(o, "model", json_new_str(j->model));
    json_set(o, "system_fingerprint", json_new_str(j->sv->fingerprint));
}

static struct json *choice_json(struct choice *c, const char *text, size_t len,
                                struct json *logprobs, const char *finish)
{
    struct json *o = json_new_object();
    json_set(o, "text", json_new_strn(text, len));
    json_set(o, "index", json_new_int(c->index));
    json_set(o, "logprobs", logprobs ? logprobs : json_new_null());
    json_set(o, "finish_reason", finish ? json_new_str(finish) : json_new_null());
    return o;
}

static void piece(struct job *j, struct choice *c, const char *text, size_t len, const char *finish,
                  struct str *out)
{
    const struct completion *s = j->state;
    struct json *o = json_new_object(), *list = json_new_array();
    put_common(o, j);
    json_push(list, choice_json(c, text, len, c->pending, finish));
    c->pending = NULL;
    json_set(o, "choices", list);
    if (s->usage) json_set(o, "usage", json_new_null());
    sse(out, NULL, o);
}

static void on_event(struct job *j, struct choice *c, const struct event *ev, struct str *out)
{
    struct completion *s = j->state;
    const struct str *prompt = &s->text[c->index / s->per];
    if (ev->kind == EV_TOKEN && s->logprobs >= 0) note_token(j, c, ev);
    if (!out) return;
    if (ev->kind == EV_START && s->echo)
        piece(j, c, prompt->p ? prompt->p : "", prompt->len, NULL, out);
    if (ev->kind == EV_TEXT) piece(j, c, ev->bytes.p, ev->bytes.len, NULL, out);
    if (ev->kind == EV_FINISH) piece(j, c, "", 0, finish_name(c), out);
}

static void on_begin(struct job *j, struct str *out) { }

static void on_end(struct job *j, struct str *out)
{
    const struct completion *s = j->state;
    if (s->usage) {
        struct json *o = json_new_object();
        put_common(o, j);
        json_set(o, "choices", json_new_array());
        json_set(o, "usage", usage_json(&j->usage));
        sse(out, NULL, o);
    }
    str_puts(out, "data: [DONE]\n\n");
}

static void on_fail(struct job *j, const struct fault *f, struct str *out)
{
    sse(out, NULL, fault_json(NULL, f));
    str_puts(out, "data: [DONE]\n\n");
}

static struct json *whole(struct job *j)
{
    const struct completion *s = j->state;
    struct json *o = json_new_object(), *list = json_new_array();
    put_common(o, j);
    for (int i = 0; i < j->n_choice; i++) {
        struct choice *c = &j->choice[i];
        struct str text = { 0 };
        if (s->echo) str_put(&text, s->text[i / s->per].p, s->text[i / s->per].len);
        str_put(&text, c->message.text.p, c->message.text.len);
        json_push(list,
                  choice_json(c, text.p ? text.p : "", text.len, c->logprobs, finish_name(c)));
        c->logprobs = NULL;
        str_done(&text);
    }
    json_set(o, "choices", list);
    json_set(o, "usage", usage_json(&j->usage));
    return o;
}

static const struct teller teller = { on_begin, on_event, on_end,         on_fail,
                                      whole,    NULL,     completion_done };

/* ---- the request ------------------------------------------------------------------------------------------ */

static const char *const members[] = { "model",
                                       "prompt",
                                       "max_tokens",
                                       "temperature",
                                       "top_p",
                                       "top_k",
                                       "min_p",
                                       "n",
                                       "stream",
                                       "stream_options",
                                       "logprobs",
                                       "echo",
                                       "stop",
                                       "presence_penalty",
                                       "frequency_penalty",
                                       "repetition_penalty",
                                       "repeat_penalty",
                                       "best_of",
                                       "logit_bias",
                                       "user",
                                       "suffix",
                                       "seed",
                                       "min_tokens",
                                       "ignore_eos",
                                       "response_format",
                                       NULL };

static bool take_all(struct exchange *x, struct json *body, struct completion *c, bool *stream,
                     int64_t *n)
{
    int64_t max = 16, best = 1;
    const struct json *o = there(body, "stream_options");
    size_t len;
    const char *suffix = json_str(there(body, "suffix"), &len);
    c->logprobs = -1;
    *n = 1;
    *stream = false;
    if (!models_resolve(x, body) || !known_members(x, body, members)) return false;
    if (there(body, "suffix") && (!suffix || len)) {
        reply_error(x, 400, "unsupported_parameter", "suffix", "suffix: not supported here");
        return false;
    }
    if (!take_bool(x, body, "stream", stream) || !take_bool(x, body, "echo", &c->echo) ||
        !take_int(x, body, "n", 1, x->sv->o->max_n, n))
        return false;
    if (!take_int(x, body, "logprobs", 0, 5, &c->logprobs) ||
        !take_int(x, body, "max_tokens", 0, INT32_MAX, &max))
        return false;
    if (o && !*stream) {
        reply_error(x, 400, "invalid_value", "stream_options",
                    "stream_options: only allowed when 'stream' is true");
        return false;
    }
    c->usage = json_bool(json_get(o, "include_usage"));
    if (!take_int(x, body, "best_of", 1, 1, &best)) return false;
    c->per = (int)*n;
    json_set(body, "max_tokens", json_new_int(max));
    return true;
}

void completions_run(struct exchange *x)
{
    struct json *body = api_body(x);
    struct completion c = { 0 };
    struct request r;
    struct err e = { 0 };
    struct ids *ids = NULL;
    int64_t n;
    bool stream;
    if (!body) return;
    if (!take_all(x, body, &c, &stream, &n) ||
        !(ids = read_prompts(x, there(body, "prompt"), &c))) {
        json_free(body);
        goto fail;
    }
    if (!request_read_raw(&r, body, &e)) {
        reply_err(x, &e);
        goto fail;
    }
    r.want_tokens = c.logprobs >= 0;
    r.top = (int)MAX(c.logprobs, 0);
    int n_choice = c.n_prompt * c.per;
    job_start(x, &(struct job_spec){ .teller = &teller,
                                     .state = mem_dup(&c, sizeof c),
                                     .request = &r,
                                     .prompt = ids,
                                     .n_prompt = c.n_prompt,
                                     .echo = c.echo,
                                     .n = n_choice,
                                     .stream = stream,
                                     .id_prefix = "cmpl-" });
    return;
fail:
    for (int i = 0; ids && i < c.n_prompt * c.per; i++) mem_free(ids[i].id);
    mem_free(ids);
    for (int i = 0; i < c.n_prompt; i++) str_done(&c.text[i]);
    mem_free(c.text);
}
