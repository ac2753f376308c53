/* engine.c -- a model with all that is needed to speak: tokenizer, dialect, vocabulary, KV cache.
 *
 * One request at a time; what the last one left in the KV cache is kept. The prompt of the next is
 * compared token by token, the cache is cut back to what both share (the model finds the nearest
 * checkpoint of its convolution state below), and only the rest is computed. Only prompt tokens are
 * kept: they went through the prefill kernels, so an answer does not depend on what was asked
 * before. Threads: one at a time. */
#include "gen/int.h"

#define CTX_MOST 32768                                            /* default bound of the context */
#define CHUNK 512 /* prompt tokens of one forward pass */

struct engine {
    struct tokenizer *tok;
    const struct dialect *dialect;
    char *template_text;                                          /* the file's, NULL without one */
    struct vocab *vocab;
    struct model *model;
    const struct lora_use *lora; int n_lora;
    struct kv *kv;
    int n_ctx, seq; /* seq: the one sequence, -1 before the first */
    struct ids cached;                                            /* tokens in it */
    struct ids prompt;                                            /* of the request being run */
    struct arena tmp;
    float *logits;                                                /* [1 + DRAFT_MOST, n_vocab] */
    struct ids todo;                                              /* to be computed next */
    int n_draft, row; /* last tokens of cached that are not committed; row of logits before them */
    bool prompt_done;
    struct usage usage;
};

/* ---- vocabulary ------------------------------------------------------------------------------ */

static bool is_stop(const struct dialect *d, struct bytes text)
{
    for (int i = 0; d && d->stop && d->stop[i]; i++)
        if (bytes_eq(text, d->stop[i])) return true;
    return false;
}

/* How the tokenizer cuts text: forced runs are written as the model would have read them. */
static int encode_plain(void *ctx, const char *p, size_t n, int32_t *out, int cap)
{
    struct ids l = { 0 };
    int count = -1;
    if (tok_encode(ctx, p, n, TOK_INSIDE, &l, NULL)) {
        count = (int)MIN(l.n, (size_t)cap);
        for (int i = 0; i < count; i++) out[i] = l.id[i];
    }
    mem_free(l.id);
    return count;
}

struct vocab *vocab_of_tokenizer(const struct tokenizer *t, const struct dialect *d, struct err *e)
{
    size_t n = (size_t)tok_n_vocab(t);
    struct bytes *token = mem_zero(n * sizeof *token), *special = mem_zero(n * sizeof *special);
    int32_t *eog = mem_zero(n * sizeof *eog);
    struct vocab_spec s = { .n_vocab = (int)n, .token = token, .special = special, .eog = eog,
                            .encode = encode_plain, .encode_ctx = (void *)(uintptr_t)t };
    const struct voice v = { .tok = t };
    for (int32_t i = 0; i < (int32_t)n; i++) {
        struct bytes text = tok_text(t, i);
        bool is_special = voice_is_special(&v, i),
             end = tok_is_eog(t, i) || (is_special && is_stop(d, text));
        if (end) eog[s.n_eog++] = i;
        if (is_special) special[i] = text;
        else if (!end) token[i] = tok_bytes(t, i);
        if (token[i].p && !token[i].len) token[i].p = NULL;
    }
    struct vocab *out = vocab_open(&s, e);
    mem_free(token);
    mem_free(special);
    mem_free(eog);
    return out;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool find_dialect(struct engine *en, const struct gguf *g, const char *name, struct err *e)
{
    en->dialect = name ? dialect_find(name) : dialect_detect(g, en->tok);
    if (en->dialect) return true;
    struct str list = { 0 };
    for (size_t i = 0; dialect_at(i); i++)
        str_fmt(&list, "%s%s", i ? ", " : "", dialect_at(i)->name);
    err_set(e, ERR_ARG, "dialect '%.40s' is unknown; there are %s", name, list.p ? list.p : "none");
    str_done(&list);
    return false;
}

static bool read_template(struct engine *en, const struct gguf *g, struct err *e)
{
    struct bytes text;
    if (!gguf_has(g, "tokenizer.chat_template")) return true;
    if (!gguf_str(g, "tokenizer.chat_template", &text, e)) return false;
    en->template_text = mem_zero(text.len + 1);
    memcpy(en->template_text, text.p, text.len);
    return true;
}

static bool open_cache(struct engine *en, int n_ctx, enum dtype type, struct err *e)
{
    const struct model_config *c = model_config(en->model);
    int most = c->n_ctx > 0 ? c->n_ctx : CTX_MOST;
    if (n_ctx < 0 || n_ctx > most)
        return err_set(e, ERR_ARG, "context of %d tokens: this model holds 1 to %d", n_ctx, most);
    en->n_ctx = n_ctx ? n_ctx : MIN(most, CTX_MOST);
    en->kv = kv_open_as(en->model, en->n_ctx, 2, type, e); /* the sequence, and a fork that looks ahead */
    return en->kv != NULL;
}

struct engine *engine_open(const struct gguf *g, const struct engine_opts *o, struct err *e)
{
    struct engine *en = mem_zero(sizeof *en);
    arena_init(&en->tmp, 0);
    en->seq = -1;
    if (!(en->tok = tok_open(g, e))) goto fail;
    if (!find_dialect(en, g, o->dialect, e) || !read_template(en, g, e)) goto fail;
    if (!(en->vocab = vocab_of_tokenizer(en->tok, en->dialect, e))) goto fail;
    if (!(en->model = model_open(g, o->ops ? o->ops : ref_ops(), e))) goto fail;
    int n_vocab = model_config(en->model)->n_vocab;
    if (n_vocab < tok_n_vocab(en->tok)) { /* more are padding, never allowed */
        err_set(e, ERR_FORMAT, "%s: the model has %d tokens, its tokenizer %d", gguf_name(g),
                n_vocab, tok_n_vocab(en->tok));
        goto fail;
    }
    if (!open_cache(en, o->n_ctx, o->ops ? o->kv : DT_F32, e)) goto fail;
    en->logits = mem_alloc((size_t)n_vocab * (1 + DRAFT_MOST) * sizeof *en->logits);
    return en;
fail:
    engine_close(en);
    return NULL;
}

void engine_close(struct engine *en)
{
    if (!en) return;
    kv_close(en->kv);
    model_close(en->model);
    vocab_close(en->vocab);
    tok_close(en->tok);
    mem_free(en->template_text);
    mem_free(en->cached.id);
    mem_free(en->prompt.id);
    mem_free(en->todo.id);
    mem_free(en->logits);
    arena_done(&en->tmp);
    mem_free(en);
}

const struct dialect *engine_dialect(const struct engine *en) { return en->dialect; }
const struct tokenizer *engine_tokenizer(const struct engine *en) { return en->tok; }
const struct model *engine_model(const struct engine *en) { return en->model; }
int engine_n_ctx(const struct engine *en) { return en->n_ctx; }
const char *engine_template(const struct engine *en) { return en->template_text; }

/* ---- prompt ---------------------------------------------------------------------------------- */

bool engine_render(const struct engine *en, const struct request *r, struct prompt *out,
                   struct err *e)
{
    struct dialect_request q = {.messages = r->messages,
                                .tools = r->tools,
                                .add_generation_prompt = true,
                                .vars = json_get(r->body, "chat_template_kwargs"),
                                .bos_token = "",
                                .template_text = en->template_text};
    struct bytes bos = { 0 };
    if (tok_bos(en->tok) >= 0) bos = tok_text(en->tok, tok_bos(en->tok));
    char *text = mem_zero(bos.len + 1);
    memcpy(text, bos.p ? bos.p : "", bos.len);
    q.bos_token = text;
    bool ok = en->dialect->render(&q, out, e);
    mem_free(text);
    return ok;
}

static bool make_prompt(struct engine *en, const struct request *r, struct err *e)
{
    struct prompt p = { 0 };
    en->prompt.n = 0;
    bool ok = engine_render(en, r, &p, e) && prompt_tokens(&p, en->tok, &en->prompt, e);
    prompt_done(&p);
    if (!ok) return false;
    if (!en->prompt.n) return err_set(e, ERR_ARG, "the prompt is empty");
    if (en->prompt.n >= (size_t)en->n_ctx)
        return err_set(e, ERR_LIMIT,
                       "context_length_exceeded: the prompt has %zu tokens, the context holds %d "
                       "and must leave room for the answer",
                       en->prompt.n, en->n_ctx);
    return true;
}

/* ---- running --------------------------------------------------------------------------------- */

static bool feed(struct engine *en, const int32_t *tok, int n, enum phase ph, float *logits,
                 int n_logits, struct err *e)
{
    struct batch b = { .n = n, .seq = en->seq, .lora = en->lora, .n_lora = en->n_lora, .token = tok, .phase = ph,
                       .n_logits = n_logits };
    size_t mark = arena_mark(&en->tmp);
    bool ok = model_forward(en->model, en->kv, &b, &en->tmp, logits, e);
    arena_reset(&en->tmp, mark);
    for (int i = 0; ok && i < n; i++) ids_put(&en->cached, tok[i]);
    return ok;
}

static bool forget(struct engine *en, struct err *e)
{
    if (en->seq >= 0) kv_seq_free(en->kv, en->seq);
    en->cached.n = 0;
    en->n_draft = 0;
    en->seq = kv_seq_new(en->kv);
    return en->seq >= 0 || err_set(e, ERR_FULL, "no sequence is free");
}

void engine_adapt(struct engine *en, const struct lora_use *use, int n)
{
    en->lora = use;
    en->n_lora = n;
    if (en->seq >= 0) kv_seq_free(en->kv, en->seq);
    en->seq = -1;                       /* the next request begins anew */
}

/* Cuts the cache back to what it shares with the prompt; at least one token is left to compute. */
static bool reuse(struct engine *en, struct err *e)
{
    if (en->seq < 0 && !forget(en, e)) return false;
    size_t same = 0, most = MIN(en->cached.n, en->prompt.n - 1);
    while (same < most && en->cached.id[same] == en->prompt.id[same]) same++;
    en->cached.n = (size_t)kv_truncate(en->kv, en->seq, (int)same);
    return true;
}

static bool prefill(struct engine *en, float *logits, struct err *e)
{
    if (!reuse(en, e)) return false;
    en->usage.cached_tokens = (int)en->cached.n;
    while (en->cached.n < en->prompt.n) {
        int n = (int)MIN(en->prompt.n - en->cached.n, (size_t)CHUNK);
        bool last = en->cached.n + (size_t)n == en->prompt.n;
        if (!feed(en, en->prompt.id + en->cached.n, n, PHASE_PREFILL, logits,
                  last && logits, e))
            return false;
    }
    kv_mark(en->kv, en->seq); /* the next request may begin with this one */
    return true;
}

/* Takes drafts out of the cache. Where the model can only be resumed earlier, the tokens between are to
 * be computed again: they become the first of todo. */
static void drop_draft(struct engine *en)
{
    size_t keep = en->cached.n - (size_t)en->n_draft, at = keep;
    en->todo.n = 0;
    if (en->n_draft) at = (size_t)kv_truncate(en->kv, en->seq, (int)keep);
    for (size_t i = at; i < keep; i++) ids_put(&en->todo, en->cached.id[i]);
    en->cached.n = at;
    en->n_draft = 0;
}

/* How many of the committed tokens are drafts that were computed already. */
static int accept_draft(struct engine *en, const int32_t *tok, int n)
{
    const int32_t *draft = en->cached.id + en->cached.n - en->n_draft;
    int same = 0;
    while (same < MIN(n, en->n_draft) && draft[same] == tok[same]) same++;
    en->n_draft -= same;
    en->row += same;
    return same;
}

/* logits_fn: the prompt on the first call, then what was committed since. */
static bool logits_after(void *ctx, const int32_t *tok, int n, const int32_t *draft, int n_draft,
                         float **out, struct err *e)
{
    struct engine *en = ctx;
    bool begins = !en->prompt_done;
    if (begins) en->n_draft = en->row = 0;
    if (begins && !prefill(en, n ? NULL : en->logits, e)) return false;
    en->prompt_done = true;
    int same = accept_draft(en, tok, n);
    if (same < n) {
        drop_draft(en);
        for (int i = same; i < n; i++) ids_put(&en->todo, tok[i]);
        for (int i = 0; i < n_draft; i++) ids_put(&en->todo, draft[i]);
        en->row = 0;
        if (!feed(en, en->todo.id, (int)en->todo.n, PHASE_DECODE, en->logits, 1 + n_draft, e))
            return false;
        en->n_draft = n_draft;
    }
    *out = en->logits + (size_t)en->row * (size_t)model_config(en->model)->n_vocab;
    return true;
}

/* ahead_fn: on a fork, which is dropped. */
static bool logits_ahead(void *ctx, const int32_t *tok, int n, float *rows, struct err *e)
{
    struct engine *en = ctx;
    drop_draft(en);
    if (en->todo.n && !feed(en, en->todo.id, (int)en->todo.n, PHASE_DECODE, NULL, 0, e)) return false;
    int fork = kv_seq_fork(en->kv, en->seq);
    if (fork < 0) return err_set(e, ERR_FULL, "no room to look ahead");
    struct batch b = { .n = n, .seq = fork, .lora = en->lora, .n_lora = en->n_lora, .token = tok, .phase = PHASE_DECODE,
                       .n_logits = n };
    size_t mark = arena_mark(&en->tmp);
    bool ok = model_forward(en->model, en->kv, &b, &en->tmp, rows, e);
    arena_reset(&en->tmp, mark);
    kv_seq_free(en->kv, fork);
    return ok;
}

/* After a run only the prompt stays; after a failure nothing does. */
static void settle(struct engine *en, bool ok)
{
    if (!ok) forget(en, NULL);
    else if (en->prompt_done)
        en->cached.n = (size_t)kv_truncate(en->kv, en->seq, (int)en->prompt.n);
}

struct watch { struct engine *en; event_fn *fn; void *ctx; };

/* What only the engine knows is put into the last event. */
static bool on_event(void *ctx, const struct event *ev)
{
    struct watch *w = ctx;
    struct event out = *ev;
    if (ev->kind == EV_FINISH) out.usage.cached_tokens = w->en->usage.cached_tokens;
    return w->fn(w->ctx, &out);
}

/* Models of our own are tiny and trained for it; others speak for themselves unless asked. */
static unsigned steer_of(const struct engine *en, const struct request *r)
{
    if (r->steer >= 0) return (unsigned)r->steer;
    return strcmp(en->dialect->name, "lfm2-json") ? 0 : STEER_ALL;
}

bool engine_run(struct engine *en, const struct request *r, event_fn *fn, void *ctx, struct err *e)
{
    uint64_t t0 = clock_ns();
    if (!make_prompt(en, r, e)) return false;
    int room = en->n_ctx - (int)en->prompt.n;
    bool asked = r->max_tokens && r->max_tokens <= room;
    struct watch w = { en, fn, ctx };
    char why[120] = "max_tokens is";
    if (!asked)
        snprintf(why, sizeof why, "the prompt of %zu tokens leaves of the context's %d",
                 en->prompt.n, en->n_ctx);
    en->usage = (struct usage){ .prompt_tokens = (int)en->prompt.n };
    en->prompt_done = false;
    struct seq_opts o = {.voice = {en->tok, en->dialect, en->vocab},
                         .r = r,
                         .budget = asked ? r->max_tokens : room,
                         .budget_why = why,
                         .logits = logits_after,
                         .logits_ctx = en,
                         .ahead = logits_ahead,
                         .stride = model_config(en->model)->n_vocab,
                         .steer = steer_of(en, r),
                         .fn = on_event,
                         .ctx = &w,
                         .usage = en->usage,
                         .start_ns = t0};
    struct seq *s = seq_open(&o, e);
    if (!s) return false;
    bool ok = seq_run(s, e);
    seq_close(s);
    settle(en, ok);
    return ok;
}
