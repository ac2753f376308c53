/* cmd_imatrix.c -- `tenon imatrix`: run text through a model and keep how much each column of its
 * matrices matters (imatrix.h), for `tenon quantize --imatrix`.
 *
 * Best is text like that of the product: conversations with tools, rendered as the model reads them
 * (--data), beside prose (--text). Prose is cut into pieces of --chunk tokens, each from position 0; a
 * conversation is run whole. Every token leaves logits, so the output matrix is measured too and the
 * perplexity of the text comes for free: a number far off says that model and text do not fit. */
#include <limits.h>
#include <math.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "front.h"
#include "gen/gen.h"
#include "imatrix.h"

#define STEP 64                                                       /* rows of logits in memory */
#define CHUNK_MOST 32768

struct imatrix_opts {
    struct model_opts m;
    struct opt_list text, data, add;
    const char *out;
    int64_t chunk, limit;
    bool json;
};

struct collecting {
    const struct imatrix_opts *o;
    struct engine *en;
    struct kv *kv;
    struct arena tmp;
    float *logits;                                                    /* [STEP, n_vocab] */
    int n_vocab;
    int64_t n_chunk, n_token, n_scored;
    double nll;                                                       /* of n_scored tokens */
    bool is_shown;
};

/* ---- running --------------------------------------------------------------------------------- */

static double surprise(const float *logit, int n, int32_t next)
{
    double top = logit[0], sum = 0;
    for (int i = 1; i < n; i++) top = MAX(top, (double)logit[i]);
    for (int i = 0; i < n; i++) sum += exp((double)logit[i] - top);
    return log(sum) + top - (double)logit[next];
}

static double perplexity(const struct collecting *c)
{
    return c->n_scored ? exp(c->nll / (double)c->n_scored) : NAN;
}

static bool full(const struct collecting *c)
{
    return c->o->limit && c->n_chunk >= c->o->limit;
}

/* One text from position 0. */
static bool run_chunk(struct collecting *c, const int32_t *id, int n, struct err *e)
{
    int seq = kv_seq_new(c->kv);
    bool ok = true;
    for (int t = 0; ok && t < n; t += STEP) {
        int k = MIN(STEP, n - t);
        struct batch b = { .n = k, .seq = seq, .token = id + t, .n_logits = k, .phase = PHASE_PREFILL };
        ok = model_forward(engine_model(c->en), c->kv, &b, &c->tmp, c->logits, e);
        for (int i = 0; ok && i < k && t + i + 1 < n; i++, c->n_scored++)
            c->nll += surprise(c->logits + (size_t)i * c->n_vocab, c->n_vocab, id[t + i + 1]);
    }
    kv_seq_free(c->kv, seq);
    if (!ok) return false;
    c->n_chunk++;
    c->n_token += n;
    if (c->is_shown)
        fprintf(stderr, "\r%lld texts, %lld tokens, perplexity %.2f ", (long long)c->n_chunk, (long long)c->n_token, perplexity(c));
    return true;
}

static bool run_text(struct collecting *c, const char *path, struct err *e)
{
    struct str s = { 0 };
    struct ids l = { 0 };
    const struct tokenizer *tok = engine_tokenizer(c->en);
    bool ok = file_read(path, &s, e) && tok_encode(tok, s.p ? s.p : "", s.len, 0, &l, e);
    if (ok && l.n < 2) ok = err_set(e, ERR_ARG, "fewer than 2 tokens of text");
    int room = (int)c->o->chunk - tok_adds_bos(tok);
    int32_t *id = mem_alloc((size_t)c->o->chunk * sizeof *id);
    for (size_t at = 0; ok && at < l.n && !full(c); at += (size_t)room) {
        int n = 0, k = (int)MIN((size_t)room, l.n - at);
        if (k < room && at) break;                                    /* the rest: shorter than what was run */
        if (tok_adds_bos(tok)) id[n++] = tok_bos(tok);
        memcpy(id + n, l.id + at, (size_t)k * sizeof *id);
        ok = run_chunk(c, id, n + k, e);
    }
    mem_free(id);
    mem_free(l.id);
    str_done(&s);
    return ok || err_in(e, "%s", path);
}

/* The answer as a turn of the conversation; a history whose calls have no results is none, so each gets one. */
static void push_answer(struct json *messages, const struct json *answer)
{
    const struct json *calls = json_get(answer, "tool_calls");
    json_push(messages, json_copy(answer));
    for (size_t i = 0; i < json_len(calls); i++) {
        struct json *result = json_new_object();
        json_set(result, "role", json_new_str("tool"));
        json_set(result, "tool_call_id", json_copy(json_get(json_at(calls, i), "id")));
        json_set(result, "content", json_new_str("done"));
        json_push(messages, result);
    }
}

/* A line {messages, tools?, answer?} as the model reads it, its answer included. One that is no request, or
 * too long, is left out aloud. */
static bool run_line(struct collecting *c, const char *p, size_t len, int number, struct err *e)
{
    struct json *line = json_parse(p, len, e);
    if (!line) return false;
    struct json *body = json_new_object(), *messages = json_copy(json_get(line, "messages"));
    struct request r = { 0 };
    struct prompt out = { 0 };
    struct ids l = { 0 };
    if (json_get(line, "answer") && json_is(messages, JSON_ARRAY)) push_answer(messages, json_get(line, "answer"));
    json_set(body, "messages", messages);
    if (json_len(json_get(line, "tools"))) json_set(body, "tools", json_copy(json_get(line, "tools")));
    struct err why = { 0 };
    bool ok = true;
    int room = kv_free_positions(c->kv);
    if (request_read(&r, body, &why) && engine_render(c->en, &r, &out, &why) && prompt_tokens(&out, engine_tokenizer(c->en), &l, &why) &&
        (l.n <= (size_t)room || err_set(&why, ERR_LIMIT, "%zu tokens, %d is the most", l.n, room)))
        ok = !l.n || run_chunk(c, l.id, (int)l.n, e);
    else log_line(LOG_WARN, "skipped line=%d why=\"%s\"", number, why.msg);
    prompt_done(&out);
    request_done(&r);
    mem_free(l.id);
    json_free(line);
    return ok;
}

static bool run_data(struct collecting *c, const char *path, struct err *e)
{
    struct str s = { 0 };
    bool ok = file_read(path, &s, e);
    int number = 1;
    for (const char *p = s.p, *end = s.p + s.len; ok && p < end && !full(c); number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        if (stop > p && !run_line(c, p, (size_t)(stop - p), number, e)) ok = err_in(e, "line %d", number);
        p = stop + 1;
    }
    str_done(&s);
    return ok || err_in(e, "%s", path);
}

typedef bool run_fn(struct collecting *c, const char *path, struct err *e);

static bool run_all(struct collecting *c, struct imatrix *im, const struct opt_list *files, run_fn *fn, struct err *e)
{
    for (int i = 0; i < files->n && !full(c); i++) {
        int64_t before = c->n_chunk;
        if (!fn(c, files->item[i], e)) return false;
        imatrix_came_from(im, files->item[i], c->n_chunk - before, c->o->chunk);
    }
    return true;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static bool collect(struct collecting *c, struct imatrix *im, struct err *e)
{
    const struct model *m = engine_model(c->en);
    c->n_vocab = model_config(m)->n_vocab;
    int room = MAX((int)c->o->chunk, MIN(model_config(m)->n_ctx, 4096));
    size_t bytes = (size_t)STEP * (size_t)c->n_vocab * sizeof(float);
    c->kv = kv_open(m, room, 1, e);
    c->logits = c->kv ? mem_slab(bytes, e) : NULL;
    arena_init(&c->tmp, 0);
    bool ok = c->logits && run_all(c, im, &c->o->data, run_data, e) && run_all(c, im, &c->o->text, run_text, e);
    if (c->is_shown && c->n_chunk) fputc('\n', stderr);
    if (ok && !c->n_chunk) ok = err_set(e, ERR_ARG, "no text was run");
    arena_done(&c->tmp);
    if (c->logits) mem_slab_free(c->logits, bytes);
    kv_close(c->kv);
    return ok;
}

static void print_result(const struct collecting *c, const struct imatrix *im)
{
    if (!c->o->json) {
        printf("%s: %zu matrices, %lld texts, %lld tokens, perplexity %.3f\n", c->o->out, imatrix_n(im), (long long)c->n_chunk,
               (long long)c->n_token, perplexity(c));
        return;
    }
    struct json *o = json_new_object();
    struct str s = { 0 };
    json_set(o, "file", json_new_str(c->o->out));
    json_set(o, "matrices", json_new_int((int64_t)imatrix_n(im)));
    json_set(o, "texts", json_new_int(c->n_chunk));
    json_set(o, "tokens", json_new_int(c->n_token));
    json_set(o, "perplexity", json_new_f64(perplexity(c)));
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

static bool check(const struct imatrix_opts *o, struct err *e)
{
    if (!o->out) return err_set(e, ERR_USAGE, "-o FILE is missing");
    if (!o->text.n && !o->data.n) return err_set(e, ERR_USAGE, "--text FILE or --data FILE is needed");
    if (o->chunk < 8 || o->chunk > CHUNK_MOST) return err_set(e, ERR_USAGE, "--chunk: 8 to %d tokens are accepted", CHUNK_MOST);
    return o->limit >= 0 || err_set(e, ERR_USAGE, "--limit: a count is needed");
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct imatrix_opts *o = v;
    struct err e = { 0 };
    struct collecting c = { .o = o, .is_shown = isatty(STDERR_FILENO) };
    struct imatrix *im = imatrix_new();
    struct gguf *g = NULL;
    struct pool *pool = NULL;
    const struct ops *fast = NULL;
    struct imatrix_watch *w = NULL;
    bool ok = check(o, &e);
    for (int i = 0; ok && i < o->add.n; i++) ok = imatrix_read(im, o->add.item[i], &e);
    ok = ok && (g = front_gguf(o->m.model, &e)) && (pool = pool_open((int)o->m.threads, &e)) && (fast = cpu_ops_open(pool, NULL, &e));
    if (ok) {
        w = imatrix_watch_open(im, g, fast);
        struct engine_opts eo = { .dialect = o->m.dialect, .n_ctx = KV_PAGE, .n_thread = pool_size(pool), .ops = imatrix_watch_ops(w) };
        ok = (c.en = engine_open(g, &eo, &e)) && collect(&c, im, &e) && imatrix_write(im, o->out, &e);
    }
    if (ok) print_result(&c, im);
    engine_close(c.en);
    imatrix_watch_close(w);
    cpu_ops_close(fast);
    pool_close(pool);
    gguf_close(g);
    imatrix_free(im);
    return ok ? 0 : front_fail("imatrix", &e);
}

static const struct opt opts[] = {
    MODEL_OPTS(struct imatrix_opts),
    { "Text", 'f', "text", "FILE", OPT_LIST, offsetof(struct imatrix_opts, text), "prose; may be repeated (this or --data is needed)" },
    { "Text", 0, "data", "FILE", OPT_LIST, offsetof(struct imatrix_opts, data),
      "lines {messages, tools?, answer?}, rendered as the model reads them; may be repeated" },
    { "Text", 0, "chunk", "N", OPT_INT, offsetof(struct imatrix_opts, chunk), "tokens of a piece of prose (default: 512)" },
    { "Text", 0, "limit", "N", OPT_INT, offsetof(struct imatrix_opts, limit), "most texts (default: 0, all)" },
    { "Output", 'o', "output", "FILE", OPT_STR, offsetof(struct imatrix_opts, out), "importance matrix to write (required)" },
    { "Output", 0, "add", "FILE", OPT_LIST, offsetof(struct imatrix_opts, add), "an importance matrix to go on from; may be repeated (default: none)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct imatrix_opts, json), "the result as one JSON object (default: text)" },
};

static const struct imatrix_opts defaults = { .chunk = 512 };
const struct command cmd_imatrix = {
    .verb = "imatrix", .args = "",
    .sentence = "Collect how much each column of a model's matrices matters, for `tenon quantize --imatrix`.",
    .example = "tenon imatrix -m model-f16.gguf --data conversations.jsonl -f prose.txt -o model.imatrix.gguf",
    .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .run = run,
};
