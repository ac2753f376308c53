/* adamw.c -- Adam with decoupled weight decay (Loshchilov and Hutter, 2019), one tensor at a time.
 */
#include <math.h>

#include "train/int.h"

void adamw_update(const struct adamw *o, float *w, float *m, float *v, const float *g, size_t n,
                  float clip)
{
    float fix1 = 1.0f / (1.0f - powf(o->b1, (float)o->step)),
          fix2 = 1.0f / (1.0f - powf(o->b2, (float)o->step));
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * clip;
        m[i] = o->b1 * m[i] + (1 - o->b1) * x;
        v[i] = o->b2 * v[i] + (1 - o->b2) * x * x;
        w[i] -= o->lr * (m[i] * fix1 / (sqrtf(v[i] * fix2) + o->eps) + o->decay * w[i]);
    }
}
