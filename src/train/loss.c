/* loss.c -- what a token is worth as a target, and the books of loss and hits by class.
 *
 * Values count double: they are what a call is about. Where the turn decides (call, question or
 * refusal; which tool; where a value begins) a token counts three times: one token there is worth
 * more than the ten that follow from it. The prompt counts a little at first, because guessing the
 * repeated names inside a schema is the earliest lesson in copying, and nothing in the end. batch.c
 * lets one prompt token in four speak for the rest, since every row with a weight costs a head. */
#include "train/int.h"

float class_weight(enum token_class c, int stage)
{
    static const float prompt[] = { 0.1f, 0.1f, 0.02f, 0 };
    if (c == TC_PROMPT) return prompt[stage < 1 ? 1 : stage > 3 ? 3 : stage];
    return c == TC_VALUE_FIRST ? 3 : c == TC_VALUE_REST ? 2 : 1;
}

float target_weight(enum token_class c, enum token_class before, int stage)
{
    bool decides = c != TC_PROMPT && (before == TC_PROMPT || (c == TC_NAME && before != TC_NAME));
    return decides ? 3 : class_weight(c, stage);
}

void class_add(struct class_sums *s, const struct batch_buf *b, const float *row_loss,
               const uint8_t *row_hit)
{
    for (int i = 0; i < b->p.n; i++) {
        if (b->target[i] < 0 || b->weight[i] == 0) continue;
        int c = b->cls[i];
        s->loss[c] += row_loss[i];
        s->n[c]++;
        s->hit[c] += row_hit[i];
    }
}

void class_merge(struct class_sums *s, const struct class_sums *with)
{
    for (int c = 0; c < TOKEN_CLASSES; c++) {
        s->loss[c] += with->loss[c];
        s->n[c] += with->n[c];
        s->hit[c] += with->hit[c];
    }
}
