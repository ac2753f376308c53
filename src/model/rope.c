/* rope.c -- how fast each pair of a head turns with the position (RoPE, arXiv:2104.09864), and the
 * scalings that stretch a trained context.
 *
 * Pair i of a head turns by theta^(-2i / head_dim) a position. Three ways to slow that down: divisors in
 * the file (rope_freqs.weight, Llama 3.1), all pairs alike (linear), or YaRN (arXiv:2309.00071): pairs that
 * turn often within the trained context stay, those that do not complete a turn are slowed by the
 * factor, a ramp lies between, and scores are sharpened by (1 + 0.1 ln factor)^2, which goes into the
 * attention's scale here. Angles are computed in f64. */
#include <math.h>

#include "model/int.h"

/* The pair, as a real number, that turns `turns` times within the trained context. */
static double pair_of(const struct model_config *c, double turns)
{
    return c->head_dim * log(c->yarn.n_ctx / (turns * 2 * M_PI)) / (2 * log((double)c->rope_theta));
}

/* How much of pair i's own speed is kept: 1 for the fast ones, 0 for the slow ones. */
static double kept(const struct model_config *c, int i)
{
    double low = MAX(floor(pair_of(c, (double)c->yarn.beta_fast)), 0.0);
    double high = MIN(ceil(pair_of(c, (double)c->yarn.beta_slow)), c->head_dim - 1.0);
    double y = (i - low) / MAX(high - low, 0.001);
    return (double)c->yarn.ext * (1 - MIN(MAX(y, 0.0), 1.0));
}

bool rope_table(struct model *m, const float *divisor, struct err *e)
{
    const struct model_config *c = &m->cfg;
    double linear = c->rope_scale > 0 ? (double)c->rope_scale : 1, sharper = 1;
    m->freq = arena_f32(&m->own, (size_t)c->head_dim / 2);
    for (int i = 0; i < c->head_dim / 2; i++) {
        if (divisor && !(divisor[i] > 0 && divisor[i] < 1e9f))
            return err_set(e, ERR_FORMAT, "entry %d of rope_freqs.weight is %g, must be above 0", i, (double)divisor[i]);
        double f = pow(c->rope_theta, -2.0 * i / c->head_dim) / (divisor ? (double)divisor[i] : 1);
        double own = c->yarn.factor > 0 ? kept(c, i) : 0, by = c->yarn.factor > 0 ? (double)c->yarn.factor : linear;
        m->freq[i] = (float)(f / by * (1 - own) + f * own);
    }
    if (c->yarn.factor > 0) sharper = (double)c->yarn.attn * (c->yarn.factor > 1 ? 1 + 0.1 * log((double)c->yarn.factor) : 1);
    m->attn_scale = (float)(sharper * sharper / sqrt(c->head_dim));
    return true;
}
