/* voice.c -- the engine behind the three functions through which the loop speaks to a model. */
#include "voice.h"

#define CTX_MOST 32768                      /* the engine's own default */

static bool speak(void *ctx, struct json *body, event_fn *fn, void *fn_ctx, struct err *e)
{
    struct speaker *s = ctx;
    struct request r;
    if (!request_read(&r, body, e)) return false;
    engine_retrieve(s->engine, &r, s->tools_max);
    r.want_progress = true;
    bool ok = engine_run(s->engine, &r, fn, fn_ctx, e);
    request_done(&r);
    return ok;
}

static bool render(struct speaker *s, const struct json *body, struct prompt *p, struct err *e)
{
    struct request r;
    if (!request_read(&r, json_copy(body), e)) return false;
    engine_retrieve(s->engine, &r, s->tools_max);
    bool ok = engine_render(s->engine, &r, p, e);
    request_done(&r);
    return ok;
}

static int prompt_size(void *ctx, const struct json *body)
{
    struct speaker *s = ctx;
    struct prompt p = { 0 };
    struct ids ids = { 0 };
    struct err e = { 0 };
    bool ok = render(s, body, &p, &e) && prompt_tokens(&p, engine_tokenizer(s->engine), &ids, &e);
    int n = ok ? (int)ids.n : -1;
    mem_free(ids.id);
    prompt_done(&p);
    return n;
}

bool voice_prompt(struct speaker *s, const struct json *body, struct str *out, struct err *e)
{
    struct prompt p = { 0 };
    bool ok = render(s, body, &p, e);
    if (ok) str_put(out, p.text.p ? p.text.p : "", p.text.len);
    prompt_done(&p);
    return ok;
}

static int count(void *ctx, const char *text, size_t len)
{
    struct speaker *s = ctx;
    struct ids ids = { 0 };
    struct err e = { 0 };
    int n = tok_encode(engine_tokenizer(s->engine), text, len, TOK_INSIDE, &ids, &e) ? (int)ids.n : -1;
    mem_free(ids.id);
    return n;
}

struct agent_model voice_of(struct speaker *s, int64_t n_ctx)
{
    int most = model_config(engine_model(s->engine))->n_ctx;
    int n = n_ctx > 0 ? (int)n_ctx : most > 0 ? MIN(most, CTX_MOST) : CTX_MOST;
    return (struct agent_model){ .speak = speak, .prompt_tokens = prompt_size, .count = count, .n_ctx = n, .ctx = s };
}

static bool speak_far(void *ctx, struct json *body, event_fn *fn, void *fn_ctx, struct err *e)
{
    struct request r;
    if (!request_read(&r, body, e)) return false;
    bool ok = remote_run(ctx, &r, fn, fn_ctx, e);
    request_done(&r);
    return ok;
}

struct agent_model voice_far(struct remote *r) { return (struct agent_model){ .speak = speak_far, .ctx = r }; }
