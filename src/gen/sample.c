/* sample.c -- one token out of logits: temperature, top_k, top_p, min_p over what the mask allows.
 *
 * The mask comes first, so truncation keeps a share of what may really be said. One draw u decides;
 * where it comes from is the caller's business, which makes runs repeatable. Weights may be
 * anything: NaN and -inf are impossible tokens, +inf wins, and if nothing allowed is possible the
 * first allowed token is taken, because the grammar's promise does not depend on the model. */
#include <math.h>
#include <stdlib.h>

#include "gen/int.h"

void sampler_init(struct sampler *s, int n_vocab)
{
    s->n_vocab = n_vocab;
    s->p = mem_alloc((size_t)n_vocab * sizeof *s->p);
    s->id = mem_alloc((size_t)n_vocab * sizeof *s->id);
}

void sampler_done(struct sampler *s)
{
    mem_free(s->p);
    mem_free(s->id);
    *s = (struct sampler){ 0 };
}

static bool allowed(const uint32_t *mask, int t)
{
    return !mask || mask[t >> 5] >> (t & 31) & 1;
}

int32_t sample_argmax(const float *logits, const uint32_t *mask, int n_vocab)
{
    int32_t best = -1;
    for (int t = 0; t < n_vocab; t++) {
        if (mask && !(t & 31) && !mask[t >> 5]) { t += 31; continue; }
        if (!allowed(mask, t)) continue;
        if (best < 0 || logits[t] > logits[best] || (isnan(logits[best]) && !isnan(logits[t])))
            best = t;
    }
    return best;
}

int32_t sample_uniform(const uint32_t *mask, int n_vocab, double u)
{
    int n = 0;
    for (size_t w = 0; w < MASK_WORDS(n_vocab); w++) n += __builtin_popcount(mask[w]);
    int k = MIN((int)(u * n), n - 1);
    for (int t = 0; t < n_vocab; t++)
        if (allowed(mask, t) && k-- == 0) return t;
    return -1;
}

/* Candidates with weight exp((logit - best) / temperature); returns how many. */
static int gather(struct sampler *s, const float *logits, const uint32_t *mask, float best,
                  float temperature)
{
    int n = 0;
    for (int t = 0; t < s->n_vocab; t++) {
        if (!allowed(mask, t) || isnan(logits[t])) continue;
        float d = logits[t] == best ? 0 : logits[t] - best;       /* inf - inf is not a number */
        float p = expf(d / temperature);
        if (p <= 0) continue;
        s->p[t] = p;
        s->id[n++] = t;
    }
    return n;
}

static int heavier(const void *a, const void *b, void *weights)
{
    const float *p = weights;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return p[x] != p[y] ? (p[x] < p[y] ? 1 : -1) : (x > y) - (x < y);
}

/* Keeps the head of the distribution; the order of ties is that of the ids, on every machine. */
static int truncate_tail(struct sampler *s, int n, const struct sampling *o)
{
    if (o->min_p > 0) {
        int kept = 0;
        for (int i = 0; i < n; i++)
            if (s->p[s->id[i]] >= o->min_p) s->id[kept++] = s->id[i];    /* the best has weight 1 */
        n = kept;
    }
    if ((!o->top_k || o->top_k >= n) && o->top_p >= 1) return n;
    qsort_r(s->id, (size_t)n, sizeof *s->id, heavier, s->p);
    if (o->top_k) n = MIN(n, o->top_k);
    if (o->top_p >= 1) return n;
    double sum = 0, part = 0;
    for (int i = 0; i < n; i++) sum += s->p[s->id[i]];
    int kept = 0;
    while (kept < n && part < o->top_p * sum) part += s->p[s->id[kept++]];
    return MAX(kept, 1);
}

int32_t sample_pick(struct sampler *s, const float *logits, const uint32_t *mask,
                    const struct sampling *o, double u)
{
    int32_t best = sample_argmax(logits, mask, s->n_vocab);
    if (best < 0 || o->temperature <= 0 || !(logits[best] > -INFINITY)) return best;
    int n = truncate_tail(s, gather(s, logits, mask, logits[best], o->temperature), o);
    double sum = 0, part = 0;
    for (int i = 0; i < n; i++) sum += s->p[s->id[i]];
    for (int i = 0; i < n; i++) {
        part += s->p[s->id[i]];
        if (u * sum < part) return s->id[i];
    }
    return n ? s->id[n - 1] : best;
}

static void penalise(float *l, int count, const struct sampling *o)
{
    if (o->repeat_penalty != 1) *l = *l > 0 ? *l / o->repeat_penalty : *l * o->repeat_penalty;
    *l -= o->presence + o->frequency * (float)count;
}

void sample_penalise(float *logits, int n_vocab, const struct ids *text, const struct sampling *o)
{
    if (o->repeat_penalty == 1 && o->presence == 0 && o->frequency == 0) return;
    for (size_t i = 0; i < text->n; i++) {
        int count = 0;
        bool seen = false;
        for (size_t j = 0; j < text->n; j++) {
            if (text->id[j] != text->id[i]) continue;
            seen |= j < i;
            count++;
        }
        if (!seen && text->id[i] < n_vocab) penalise(&logits[text->id[i]], count, o);
    }
}

float sample_share(const float *logits, const uint32_t *mask, int n_vocab, int32_t id)
{
    int32_t best = sample_argmax(logits, mask, n_vocab);
    if (best < 0 || !isfinite(logits[best]) || isnan(logits[id])) return 1;
    double sum = 0;
    for (int t = 0; t < n_vocab; t++)
        if (allowed(mask, t) && !isnan(logits[t])) sum += exp((double)logits[t] - logits[best]);
    return (float)(exp((double)logits[id] - logits[best]) / sum);
}

static double log_total(const float *logits, int n_vocab)
{
    int32_t best = sample_argmax(logits, NULL, n_vocab);
    double sum = 0;
    for (int t = 0; t < n_vocab; t++)
        if (!isnan(logits[t])) sum += exp((double)logits[t] - logits[best]);
    return logits[best] + log(sum);
}

static float at_least(double lp) { return isfinite(lp) ? (float)lp : -9999.0f; }

float sample_logprob(const float *logits, int n_vocab, int32_t id)
{
    return at_least(logits[id] - log_total(logits, n_vocab));
}

/* Keeps the n best seen so far in order. */
static void put_top(struct odds *o, int n, int32_t id, float logit)
{
    int at = o->n_top;
    if (at == n && !(logit > o->top[n - 1].logprob)) return;
    if (at == n) at--;
    else o->n_top++;
    for (; at && logit > o->top[at - 1].logprob; at--) o->top[at] = o->top[at - 1];
    o->top[at] = (struct top){ id, logit };
}

void sample_odds(const float *logits, int n_vocab, int32_t id, int n, struct odds *out)
{
    double all = log_total(logits, n_vocab);
    out->logprob = at_least(logits[id] - all);
    out->n_top = 0;
    n = MIN(n, TOP_MOST);
    for (int t = 0; n && t < n_vocab; t++)
        if (!isnan(logits[t])) put_top(out, n, t, logits[t]);
    for (int i = 0; i < out->n_top; i++) out->top[i].logprob = at_least(out->top[i].logprob - all);
}
