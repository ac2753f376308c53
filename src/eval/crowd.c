/* crowd.c -- many requests at once: what a batch gains, what a warm prefix saves, what a long prompt costs others.
 *
 * Throughput: passes of 1, 8 and 32 rows, each of a sequence of its own, taken in turns so that a busy
 * machine disturbs all alike; medians. The rest runs through the scheduler as a server would use it: a tool list
 * asked a second question (prompt tokens computed), and streams that go on while a long prompt is read (gaps
 * between their tokens without and with it). Needs a model with a tokenizer, whatever its weights. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "eval/eval.h"

#define RUNS_MOST 100
#define PROMPT 64            /* tokens before each stream's first */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_share(double *v, int n, double share)
{
    if (!n) return 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[(int)(share * (n - 1) + 0.5)];
}

/* ---- throughput ------------------------------------------------------------------------------ */

struct crowd {
    const struct model *m;
    struct kv *kv;
    struct arena tmp;
    int seq[CROWD_STREAMS];
    int32_t token[PROMPT + CROWD_STREAMS];
    float *logits;
};

/* One prompt, computed once, that all streams go on from. */
static bool fill(struct crowd *c, struct err *e)
{
    struct batch b = { .n = PROMPT, .seq = c->seq[0] = kv_seq_new(c->kv), .token = c->token, .phase = PHASE_PREFILL };
    if (!model_forward(c->m, c->kv, &b, &c->tmp, NULL, e)) return false;
    for (int i = 1; i < CROWD_STREAMS; i++) c->seq[i] = kv_seq_fork(c->kv, c->seq[0]);
    return true;
}

/* `gen` passes of n streams; tokens a second. */
static bool passes(struct crowd *c, int n, int gen, double *out, struct err *e)
{
    struct rows rows[CROWD_STREAMS];
    uint64_t t0 = clock_ns();
    for (int g = 0; g < gen; g++) {
        for (int i = 0; i < n; i++) rows[i] = (struct rows){ .n = 1, .seq = c->seq[i], .token = c->token + (g + i) % PROMPT, .n_logits = 1 };
        if (!model_forward_rows(c->m, c->kv, rows, n, PHASE_DECODE, &c->tmp, c->logits, e)) return false;
    }
    *out = (double)n * gen * 1e9 / (double)(clock_ns() - t0);
    for (int i = 0; i < n; i++) kv_truncate(c->kv, c->seq[i], PROMPT);
    return true;
}

static bool throughput(const struct model *m, const struct crowd_opts *o, struct crowd_result *out, struct err *e)
{
    static const int streams[] = { 1, 8, CROWD_STREAMS };
    struct crowd c = { .m = m, .kv = kv_open(m, CROWD_STREAMS * (PROMPT + 64 + (int)o->gen), CROWD_STREAMS, e) };
    double v[LEN(streams)][RUNS_MOST], warm;
    if (!c.kv) return false;
    arena_init(&c.tmp, 0);
    c.logits = mem_alloc((size_t)model_config(m)->n_vocab * CROWD_STREAMS * sizeof *c.logits);
    for (size_t i = 0; i < LEN(c.token); i++) c.token[i] = (int32_t)((int64_t)i * 7919 % model_config(m)->n_vocab);
    bool ok = fill(&c, e) && passes(&c, CROWD_STREAMS, 1, &warm, e);
    for (int r = 0; ok && r < o->runs; r++)
        for (size_t s = 0; ok && s < LEN(streams); s++) ok = passes(&c, streams[s], (int)o->gen, &v[s][r], e);
    for (size_t s = 0; ok && s < LEN(streams); s++) {
        double low = at_share(v[s], (int)o->runs, 0);
        out->speed[s] = (struct bench_speed){ at_share(v[s], (int)o->runs, 0.5), low, at_share(v[s], (int)o->runs, 1), (int)o->runs };
    }
    mem_free(c.logits);
    arena_done(&c.tmp);
    kv_close(c.kv);
    return ok;
}

/* ---- through the scheduler ------------------------------------------------------------------- */

#define GAPS_MOST 4096

struct stream {
    struct request r;
    double gap[GAPS_MOST]; int n_gap;
    uint64_t last_ns;
    _Atomic int tokens, ends;
    struct usage usage;
    char error[200];
};

static bool on_event(void *ctx, const struct event *ev)
{
    struct stream *s = ctx;
    if (ev->kind == EV_TOKEN) {
        uint64_t now = clock_ns();
        if (s->last_ns && s->n_gap < GAPS_MOST) s->gap[s->n_gap++] = (double)(now - s->last_ns) * 1e-6;
        s->last_ns = now;
        s->tokens++;
    }
    if (ev->kind == EV_FINISH) s->usage = ev->usage;
    if (ev->kind == EV_ERROR) snprintf(s->error, sizeof s->error, "%.*s", (int)ev->bytes.len, ev->bytes.p);
    if (ev->kind == EV_FINISH || ev->kind == EV_ERROR) s->ends++;
    return true;
}

static bool over(struct stream *s, struct err *e)
{
    while (!s->ends) usleep(1000);
    return !s->error[0] || err_set(e, ERR_INTERNAL, "%s", s->error);
}

/* Eight tools with long descriptions, some 1 600 tokens in the vocabularies of large models, and a question. */
static bool tools_request(struct request *r, const char *question, struct err *e)
{
    struct str s = { 0 };
    str_fmt(&s, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"max_tokens\":1,\"tool_choice\":\"none\",\"tools\":[", question);
    for (int i = 0; i < 8; i++) {
        str_fmt(&s, "%s{\"type\":\"function\",\"function\":{\"name\":\"service_%d\",\"description\":\"Looks up a record of department %d and changes it: "
                    "takes the number of the record, the fields to be changed and who asked for it, and answers with the record as it was.\","
                    "\"parameters\":{\"type\":\"object\",\"properties\":{", i ? "," : "", i, i);
        for (int k = 0; k < 6; k++)
            str_fmt(&s, "%s\"field_%d\":{\"type\":\"%s\",\"description\":\"value %d of the record, left alone if it is not given\"}", k ? "," : "", k,
                    k % 2 ? "integer" : "string", k);
        str_puts(&s, "},\"required\":[\"field_0\"]}}}");
    }
    str_puts(&s, "]}");
    struct json *body = json_parse(s.p, s.len, e);
    str_done(&s);
    return body && request_read(r, body, e);
}

static bool ask(struct sched *s, const char *question, struct usage *out, struct err *e)
{
    struct stream *t = mem_zero(sizeof *t);
    uint64_t id;
    bool ok = tools_request(&t->r, question, e);
    if (ok) {
        struct sched_job j = { .request = &t->r, .fn = on_event, .ctx = t };
        ok = sched_submit(s, &j, &id, e) && over(t, e);
        *out = t->usage;
        request_done(&t->r);
    }
    mem_free(t);
    return ok;
}

static bool warm_prefix(struct engine *en, struct crowd_result *out, struct err *e)
{
    struct usage a, b;
    struct sched *s = sched_open(en, &(struct sched_opts){ .n_seq = 1 }, e);
    bool ok = s && ask(s, "Which record of department two was changed last?", &a, e) && ask(s, "Please set field three of record nine to four.", &b, e);
    sched_close(s);
    if (ok) out->prefix_tokens = b.prompt_tokens, out->prefix_computed = b.prompt_tokens - b.cached_tokens, out->prefix_cold = a.prompt_tokens - a.cached_tokens;
    return ok;
}

static bool stream_start(struct sched *s, struct stream *t, const int32_t *prompt, int n, int max, struct err *e)
{
    char body[100];
    uint64_t id;
    snprintf(body, sizeof body, "{\"max_tokens\":%d,\"response_format\":{\"type\":\"regex\",\"pattern\":\"[^~]{%d}\"}}", max, max);
    struct json *v = json_parse(body, strlen(body), e);
    if (!v || !request_read_raw(&t->r, v, e)) return false;
    t->r.want_tokens = true;
    t->r.top = -1;
    struct sched_job j = { .request = &t->r, .fn = on_event, .ctx = t, .prompt = prompt, .n_prompt = n };
    return sched_submit(s, &j, &id, e);
}

/* Waits until every stream has n tokens more. */
static void wait_tokens(struct stream *t, int n_stream, int n)
{
    for (int i = 0; i < n_stream; i++)
        for (int from = t[i].tokens; t[i].tokens < from + n && !t[i].ends;) usleep(500);
}

/* The gaps of all streams from `from` on. */
static int gaps(const struct stream *t, int n_stream, const int *from, double *out)
{
    int n = 0;
    for (int i = 0; i < n_stream; i++)
        for (int k = from[i]; k < t[i].n_gap; k++) out[n++] = t[i].gap[k];
    return n;
}

static bool gap_of(struct engine *en, int n_stream, struct crowd_gap *out, struct err *e)
{
    enum { LONG = 1600, MEASURED = 32, TOKENS = 3000 };
    int room = model_config(engine_model(en))->n_ctx - 64, most = MIN(TOKENS, room > 0 ? room : TOKENS);
    struct sched *s = sched_open(en, &(struct sched_opts){ .n_seq = n_stream + 1, .no_cache = true, .kv_positions = (n_stream + 1) * 4096 }, e);
    struct stream *t = mem_zero((size_t)(n_stream + 1) * sizeof *t), *guest = t + n_stream;
    int32_t prompt[LONG];
    int *from = mem_zero((size_t)n_stream * sizeof *from);
    double *v = mem_alloc((size_t)n_stream * GAPS_MOST * sizeof *v);
    for (int i = 0; i < LONG; i++) prompt[i] = (int32_t)(((int64_t)i * 7919 + 300) % tok_n_vocab(engine_tokenizer(en)));
    bool ok = s;
    for (int i = 0; ok && i < n_stream; i++) ok = stream_start(s, &t[i], prompt + i, 32, most, e);
    if (ok) {
        wait_tokens(t, n_stream, 8);
        for (int i = 0; i < n_stream; i++) from[i] = t[i].n_gap;
        wait_tokens(t, n_stream, MEASURED);
        out->alone_ms = at_share(v, gaps(t, n_stream, from, v), 0.5);
        for (int i = 0; i < n_stream; i++) from[i] = t[i].n_gap;
        uint64_t t0 = clock_ns();
        ok = stream_start(s, guest, prompt, LONG, 1, e) && over(guest, e);
        out->prompt_s = (double)(clock_ns() - t0) * 1e-9;
        int n = gaps(t, n_stream, from, v);
        out->p99_ms = at_share(v, n, 0.99);
        out->median_ms = at_share(v, n, 0.5);
        out->streams = n_stream;
        for (int i = 0; ok && i < n_stream; i++)
            if (t[i].error[0] || n < n_stream) ok = err_set(e, ERR_INTERNAL, "the streams were over too soon: %s", t[i].error);
    }
    sched_close(s);
    for (int i = 0; i <= n_stream; i++) request_done(&t[i].r);
    mem_free(t);
    mem_free(from);
    mem_free(v);
    return ok;
}

/* ---- the whole ------------------------------------------------------------------------------- */

bool bench_crowd(const struct model *m, struct engine *en, const struct crowd_opts *o, struct crowd_result *out, struct err *e)
{
    *out = (struct crowd_result){ 0 };
    if (o->runs < 1 || o->runs > RUNS_MOST || o->gen < 1 || o->gen > 4096)
        return err_set(e, ERR_ARG, "%lld runs of %lld tokens: 1 to %d and 1 to 4096 are accepted", (long long)o->runs, (long long)o->gen, RUNS_MOST);
    unsigned parts = o->parts ? o->parts : CROWD_PASSES | CROWD_PREFIX | CROWD_GAP;
    if (parts & CROWD_PASSES && !throughput(m, o, out, e)) return false;
    if (en && parts & CROWD_PREFIX && !warm_prefix(en, out, e)) return false;
    return !en || !(parts & CROWD_GAP) || (gap_of(en, 1, &out->gap[0], e) && gap_of(en, 8, &out->gap[1], e));
}
