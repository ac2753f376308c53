/* schedule.c -- what changes over a run: learning rate, stage of the data, tokens per step.
 *
 * Everything is a function of progress, the share of the run (of its steps or of its time) that
 * lies behind. Warm-up, constant, linear decay to 2 %: the constant phase can be stopped, resumed
 * and extended at will, and a short decay makes a release candidate of any of its checkpoints.
 * Fine-tuning is short: it warms up and comes down in one bow. */
#include <math.h>

#include "train/int.h"

#define WARM_STEPS 50
#define WARM_SHARE 0.005
#define LAST_LR 0.02
#define STAGE_2 0.14 /* shares of the run where stages begin */
#define STEP_GROWS 0.35
#define TUNE_WARM 0.05 /* fine-tuning: warm-up, then half a cosine to zero */

float schedule_lr(const struct train_opts *o, int64_t step, double progress)
{
    if (o->tune) {
        double up = MIN((progress + 0.001) / TUNE_WARM, 1.0), down = MAX(progress - TUNE_WARM, 0.0);
        return (float)(o->lr * up * 0.5 * (1 + cos(M_PI * down / (1 - TUNE_WARM))));
    }
    double warm = MIN((double)(step + 1) / WARM_STEPS, (progress + 0.0002) / WARM_SHARE), rest = 1;
    double begin = 1 - o->decay;
    if (o->decay > 0 && progress > begin)
        rest = 1 - (1 - LAST_LR) * MIN((progress - begin) / o->decay, 1.0);
    return (float)(o->lr * MIN(warm, 1.0) * rest);
}

int schedule_stage(const struct train_opts *o, double progress)
{
    if (o->tune) return STAGE_TUNE;
    if (o->stage) return o->stage;
    return progress < STAGE_2 ? 1 : progress < 1 - o->decay ? 2 : 3;
}

int schedule_tokens(const struct train_opts *o, double progress)
{
    if (o->tokens) return o->tokens;
    return progress < STEP_GROWS ? 4096 : 8192;
}
