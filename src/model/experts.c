/* experts.c -- mixture of experts: a router picks a few small feed-forward parts for each token.
 *
 * Rows are sorted by expert, so that each expert's matrices are read once for all rows that chose
 * it. What a row gets is summed in the order of the experts' numbers, whoever else is in the batch:
 * results do not depend on the company. Scores: softmax over all (Mixtral, arXiv:2401.04088) or
 * sigmoid with a bias that counts for choosing only (LFM2 MoE); the weights of the chosen ones are
 * made to sum to 1. */
#include <math.h>

#include "model/int.h"

#define LEAST_SUM 0x1p-14f /* the weights' sum is not divided by less */

static void scores(const struct model_config *c, float *s)
{
    float top = s[0], sum = 0;
    for (int e = 1; e < c->n_expert; e++) top = MAX(top, s[e]);
    for (int e = 0; e < c->n_expert; e++) {
        s[e] = c->sigmoid ? 1 / (1 + expf(-s[e])) : expf(s[e] - top);
        sum += s[e];
    }
    for (int e = 0; e < c->n_expert && !c->sigmoid; e++) s[e] /= sum;
}

/* weight[n_expert] of one row: 0 for experts that were not chosen. Ties go to the lower number. */
static void choose(const struct model_config *c, const float *s, const float *bias, float *weight)
{
    float sum = 0;
    memset(weight, 0, (size_t)c->n_expert * sizeof *weight);
    for (int k = 0; k < c->n_used; k++) {
        int best = -1;
        for (int e = 0; e < c->n_expert; e++) {
            if (weight[e] != 0) continue;
            if (best < 0 || s[e] + (bias ? bias[e] : 0) > s[best] + (bias ? bias[best] : 0)) best = e;
        }
        weight[best] = MAX(s[best], 1e-37f); /* chosen, however small */
        sum += s[best];
    }
    for (int e = 0; e < c->n_expert; e++) weight[e] *= c->expert_scale / MAX(sum, LEAST_SUM);
}

/* What all rows of a batch share on their way through the experts. */
struct crowd { const struct model *m; const float *x; int n; const struct lora_rows *group; int n_group; enum phase ph; struct arena *tmp; };

/* Products that share the input x of these rows, adapters included. */
static void mul_rows(const struct crowd *b, const struct matmul *mm, int n_mm, const float *x, const int *row, int n)
{
    b->m->ops->matmul(b->m->ops->ctx, mm, n_mm, x, n, b->ph);
    for (int i = 0; i < n_mm; i++) lora_add(b->m, b->group, b->n_group, mm[i].y, mm[i].w, x, row, n, b->ph, b->tmp);
}

/* The rows that chose expert e go through it together. */
static void one_expert(const struct crowd *b, const struct layer *w, int e, float *y, const float *weight)
{
    const struct model_config *c = &b->m->cfg;
    struct arena *tmp = b->tmp;
    size_t mark = arena_mark(tmp), d = (size_t)c->n_embd, ff = (size_t)c->n_ff_expert;
    int *row = arena_alloc(tmp, (size_t)b->n * sizeof *row), k = 0;
    for (int t = 0; t < b->n; t++)
        if (weight[(size_t)t * (size_t)c->n_expert + (size_t)e] != 0) row[k++] = t;
    if (k) {
        float *in = arena_f32(tmp, (size_t)k * d), *gate = arena_f32(tmp, (size_t)k * ff), *up = arena_f32(tmp, (size_t)k * ff);
        for (int i = 0; i < k; i++) memcpy(in + (size_t)i * d, b->x + (size_t)row[i] * d, d * sizeof *in);
        struct matmul mm[] = { { gate, &w->gate_e[e] }, { up, &w->up_e[e] } };
        mul_rows(b, mm, 2, in, row, k);
        b->m->ops->swiglu(b->m->ops->ctx, gate, gate, up, (size_t)k * ff);
        struct matmul down = { in, &w->down_e[e] };
        mul_rows(b, &down, 1, gate, row, k);
        for (int i = 0; i < k; i++) {
            float g = weight[(size_t)row[i] * (size_t)c->n_expert + (size_t)e], *to = y + (size_t)row[i] * d;
            for (size_t j = 0; j < d; j++) to[j] += g * in[(size_t)i * d + j];
        }
    }
    arena_reset(tmp, mark);
}

void experts_forward(const struct model *m, const struct layer *w, float *y, const float *x, int n, const struct lora_rows *group,
                     int n_group, enum phase ph, struct arena *tmp)
{
    struct crowd b = { m, x, n, group, n_group, ph, tmp };
    const struct model_config *c = &m->cfg;
    size_t mark = arena_mark(tmp), E = (size_t)c->n_expert;
    float *score = arena_f32(tmp, (size_t)n * E), *weight = arena_f32(tmp, (size_t)n * E);
    struct matmul route = { score, &w->router };
    mul_rows(&b, &route, 1, x, NULL, n);
    for (int t = 0; t < n; t++) {
        scores(c, score + (size_t)t * E);
        choose(c, score + (size_t)t * E, w->router_bias, weight + (size_t)t * E);
    }
    memset(y, 0, (size_t)n * (size_t)c->n_embd * sizeof *y);
    for (int e = 0; e < c->n_expert; e++) one_expert(&b, w, e, y, weight);
    arena_reset(tmp, mark);
}
