/* engine.c -- a model with all that is needed to speak: tokenizer, dialect, vocabulary, template.
 *
 * engine_run() is the scheduler's loop (loop.c) with one sequence, on the calling thread. Prompts it has
 * seen stay in the KV cache by their tokens (prefix.c), so that the next one computes only what is new; of
 * answers nothing is kept, so that an answer does not depend on what was asked before. Threads: one at a
 * time. */
#include "gen/sched_int.h"

#define CTX_MOST 32768                                            /* default bound of the context */
#define CHUNK 512 /* prompt tokens of one forward pass */

/* ---- vocabulary ------------------------------------------------------------------------------ */

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
             end = tok_is_eog(t, i) || (is_special && dialect_stops(d, text));
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

static bool set_context(struct engine *en, int n_ctx, struct err *e)
{
    const struct model_config *c = model_config(en->model);
    int most = c->n_ctx > 0 ? c->n_ctx : CTX_MOST;
    if (n_ctx < 0 || n_ctx > most)
        return err_set(e, ERR_ARG, "context of %d tokens: this model holds 1 to %d", n_ctx, most);
    en->n_ctx = n_ctx ? n_ctx : MIN(most, CTX_MOST);
    return true;
}

/* Shapes of all tensors and the first bytes of each: tells one file from another, for what is kept on disk. */
static uint64_t weights_key(const struct gguf *g)
{
    uint64_t k = 0;
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor(g, i);
        k = hash64(t->name, strlen(t->name), k);
        k = hash64(t->ne, sizeof t->ne, k + (uint64_t)t->dtype);
        k = hash64(t->data, MIN(t->bytes, (size_t)512), k);
    }
    return k;
}

struct engine *engine_open(const struct gguf *g, const struct engine_opts *o, struct err *e)
{
    struct engine *en = mem_zero(sizeof *en);
    en->grammars = grammars_open();
    if (!(en->tok = tok_open(g, e))) goto fail;
    if (gguf_has(g, "tokenizer.chat_template") && !gguf_str(g, "tokenizer.chat_template", &en->template_text, e)) goto fail;
    if (!dialect_open(g, en->tok, o->dialect, &en->dialect, &en->template, e)) goto fail;
    if (!(en->vocab = vocab_of_tokenizer(en->tok, en->dialect, e))) goto fail;
    if (!(en->model = model_open(g, o->ops ? o->ops : ref_ops(), e))) goto fail;
    int n_vocab = model_config(en->model)->n_vocab;
    if (n_vocab < tok_n_vocab(en->tok)) { /* more are padding, never allowed */
        err_set(e, ERR_FORMAT, "%s: the model has %d tokens, its tokenizer %d", gguf_name(g),
                n_vocab, tok_n_vocab(en->tok));
        goto fail;
    }
    en->kv_type = o->ops ? o->kv : DT_F32;
    en->weights = weights_key(g);
    int64_t max = 0;
    if (gguf_has(g, "tenon.tools_max")) {
        if (!gguf_int(g, "tenon.tools_max", 1, 4096, &max, e)) goto fail;
        en->tools_max = (int)max;
    }
    if (!set_context(en, o->n_ctx, e)) goto fail;
    return en;
fail:
    engine_close(en);
    return NULL;
}

void engine_close(struct engine *en)
{
    if (!en) return;
    loop_close(en->loop);
    model_close(en->model);
    grammars_close(en->grammars);                                     /* what was bound to the vocabulary goes with them */
    vocab_close(en->vocab);
    tok_close(en->tok);
    jinja_close(en->template);
    mem_free(en);
}

const struct dialect *engine_dialect(const struct engine *en) { return en->dialect; }
const struct tokenizer *engine_tokenizer(const struct engine *en) { return en->tok; }
const struct model *engine_model(const struct engine *en) { return en->model; }
int engine_n_ctx(const struct engine *en) { return en->n_ctx; }
uint64_t engine_weights(const struct engine *en) { return en->weights; }
struct bytes engine_template(const struct engine *en) { return en->template_text; }

/* ---- prompt ---------------------------------------------------------------------------------- */

/* The text of a token, closed by NUL; empty for none. */
static char *token_text(const struct tokenizer *t, int32_t id)
{
    struct bytes b = id >= 0 ? tok_text(t, id) : (struct bytes){ "", 0 };
    char *s = mem_zero(b.len + 1);
    if (b.len) memcpy(s, b.p, b.len);
    return s;
}

bool engine_render(const struct engine *en, const struct request *r, struct prompt *out,
                   struct err *e)
{
    char *bos = token_text(en->tok, tok_bos(en->tok)), *eos = token_text(en->tok, tok_eos(en->tok));
    struct dialect_request q = {.messages = r->messages,
                                .tools = r->tools,
                                .add_generation_prompt = true,
                                .vars = json_get(r->body, "chat_template_kwargs"),
                                .bos_token = bos,
                                .eos_token = eos,
                                .template = en->template};
    bool ok = dialect_render(en->dialect, &q, out, e);
    mem_free(bos);
    mem_free(eos);
    return ok;
}

bool engine_prompt(const struct engine *en, const struct request *r, struct ids *out, struct err *e)
{
    struct prompt p = { 0 };
    bool ok = engine_render(en, r, &p, e) && prompt_tokens(&p, en->tok, out, e);
    prompt_done(&p);
    return ok;
}

/* ---- running --------------------------------------------------------------------------------- */

void engine_adapt(struct engine *en, const struct lora_use *use, int n)
{
    en->lora = use;
    en->n_lora = n;
    if (en->loop) loop_forget(en->loop);
}

static void nothing(struct task *t) {}

static bool open_loop(struct engine *en, struct err *e)
{
    struct loop_opts o = { .n_seq = 1, .positions = en->n_ctx, .chunk = CHUNK, .deterministic = true };
    if (!en->loop) en->loop = loop_open(en, &o, e);
    return en->loop;
}

bool engine_run(struct engine *en, const struct request *r, event_fn *fn, void *ctx, struct err *e)
{
    struct task t = { .r = r, .fn = fn, .ctx = ctx, .lora = en->lora, .n_lora = en->n_lora, .born_ns = clock_ns(), .done = nothing };
    bool ok = open_loop(en, e) && task_prepare(&t, en, NULL, en->n_ctx, e);
    if (ok) {
        loop_add(en->loop, &t);
        while (t.stage != STAGE_DONE) loop_step(en->loop);
        ok = t.ok;
        if (!ok) *e = t.err;
    }
    task_done(&t);
    return ok;
}
