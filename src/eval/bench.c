/* bench.c -- how fast a model runs: prompt tokens and generated tokens a second.
 *
 * Prefill is one empty sequence fed `prompt` tokens, logits of the last; decode is `gen` single
 * tokens after it, logits of each. Both are repeated; the median is the answer and the extremes
 * are shown, so that a disturbed run is seen. Tokens are arbitrary: no speed depends on which
 * they are. */
#include <stdlib.h>

#include "eval/eval.h"

#define MOST_RUNS 100

struct bench {
    const struct model *m;
    struct kv *kv;
    struct arena tmp;
    int32_t *token;                                                   /* [MAX(prompt, 1)] */
    float *logits;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct bench_speed summary(double *v, int n)
{
    if (!n) return (struct bench_speed){ 0 };
    qsort(v, (size_t)n, sizeof *v, by_value);
    double mid = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    return (struct bench_speed){ .median = mid, .low = v[0], .high = v[n - 1], .runs = n };
}

static bool feed(struct bench *b, int seq, const int32_t *token, int n, enum phase ph,
                 struct err *e)
{
    struct batch batch = { .n = n, .seq = seq, .token = token, .phase = ph, .n_logits = 1 };
    return model_forward(b->m, b->kv, &batch, &b->tmp, b->logits, e);
}

/* One prompt and what follows it; tokens a second of both parts. */
static bool run_once(struct bench *b, int prompt, int gen, double *prefill, double *decode,
                     struct err *e)
{
    int seq = kv_seq_new(b->kv);
    uint64_t t0 = clock_ns();
    bool ok = prompt == 0 || feed(b, seq, b->token, prompt, PHASE_PREFILL, e);
    uint64_t t1 = clock_ns();
    for (int i = 0; ok && i < gen; i++)
        ok = feed(b, seq, b->token + i % MAX(prompt, 1), 1, PHASE_DECODE, e);
    uint64_t t2 = clock_ns();
    kv_seq_free(b->kv, seq);
    *prefill = prompt * 1e9 / (double)MAX(t1 - t0, (uint64_t)1);
    *decode = gen * 1e9 / (double)MAX(t2 - t1, (uint64_t)1);
    return ok;
}

static bool check(const struct model *m, const struct bench_opts *o, struct err *e)
{
    if (o->prompt < 0 || o->gen < 0 || o->prompt + o->gen < 1 ||
        o->prompt + o->gen > model_config(m)->n_ctx)
        return err_set(e, ERR_ARG,
                       "%lld prompt and %lld generated tokens: together 1 to %d are accepted",
                       (long long)o->prompt, (long long)o->gen, model_config(m)->n_ctx);
    if (o->runs < 1 || o->runs > MOST_RUNS)
        return err_set(e, ERR_ARG, "%lld runs: 1 to %d are accepted", (long long)o->runs,
                       MOST_RUNS);
    return true;
}

bool bench_model(const struct model *m, const struct bench_opts *o, struct bench_result *out,
                 struct err *e)
{
    if (!check(m, o, e)) return false;
    int prompt = (int)o->prompt, gen = (int)o->gen, n_vocab = model_config(m)->n_vocab;
    struct bench b = { .m = m, .kv = kv_open(m, prompt + gen, 1, e) };
    if (!b.kv) return false;
    arena_init(&b.tmp, 0);
    b.token = mem_alloc((size_t)MAX(prompt, 1) * sizeof *b.token);
    b.logits = mem_alloc((size_t)n_vocab * sizeof *b.logits);
    for (int i = 0; i < MAX(prompt, 1); i++) b.token[i] = (int32_t)((int64_t)i * 7919 % n_vocab);
    double pre[MOST_RUNS], dec[MOST_RUNS], cold[2];
    /* pages the file in, wakes the threads */
    bool ok = run_once(&b, MIN(prompt, 16), MIN(gen, 2), &cold[0], &cold[1], e);
    for (int i = 0; ok && i < o->runs; i++) ok = run_once(&b, prompt, gen, &pre[i], &dec[i], e);
    if (ok)
        *out = (struct bench_result){ summary(pre, prompt ? (int)o->runs : 0),
                                      summary(dec, gen ? (int)o->runs : 0) };
    mem_free(b.token);
    mem_free(b.logits);
    arena_done(&b.tmp);
    kv_close(b.kv);
    return ok;
}
