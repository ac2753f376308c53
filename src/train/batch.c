/* batch.c -- conversations become a pack.
 *
 * A micro-batch is a function of (seed, its number, stage) alone: it draws its own conversations
 * until it is full and ends with the one that fills it, so nothing is held over, no conversation is
 * preferred for its length, and a resumed run needs no buffer, only the number of the next
 * micro-batch. A conversation longer than the stage allows is dropped and counted, never cut. */
#include "train/int.h"

#define PROMPT_SHARE 4 /* one prompt token in four carries the weight of four */
#define LATE_SHARE 10  /* one in ten starts at a late position */

int stage_max_tokens(int stage)
{
    return stage <= 1 ? 384 : stage == 2 ? 1024 : stage == 3 ? 2048 : INT32_MAX;
}

void batch_done(struct batch_buf *b)
{
    void *all[] = { b->token, b->target, b->start, b->length, b->pos0, b->weight, b->cls };
    for (size_t i = 0; i < LEN(all); i++) mem_free(all[i]);
    arena_done(&b->mem);
    *b = (struct batch_buf){ 0 };
}

void batch_clear(struct batch_buf *b)
{
    b->p.n = b->p.n_seq = 0;
    b->drawn = b->dropped = 0;
}

static void grow(struct batch_buf *b, int rows)
{
    if (b->p.n + rows > b->cap) {
        size_t n = (size_t)(b->cap = MAX(b->cap * 2, b->p.n + rows));
        b->token = mem_resize(b->token, n * sizeof *b->token);
        b->target = mem_resize(b->target, n * sizeof *b->target);
        b->weight = mem_resize(b->weight, n * sizeof *b->weight);
        b->cls = mem_resize(b->cls, n);
    }
    if (b->p.n_seq == b->cap_seq) {
        size_t n = (size_t)(b->cap_seq = MAX(b->cap_seq * 2, 64));
        b->start = mem_resize(b->start, n * sizeof *b->start);
        b->length = mem_resize(b->length, n * sizeof *b->length);
        b->pos0 = mem_resize(b->pos0, n * sizeof *b->pos0);
    }
}

void batch_add(struct batch_buf *b, const struct example *x, int stage, int pos0)
{
    int rows = x->n - 1; /* the last token predicts nothing */
    if (rows < 1) return;
    grow(b, rows);
    b->start[b->p.n_seq] = b->p.n;
    b->length[b->p.n_seq] = rows;
    b->pos0[b->p.n_seq] = pos0;
    for (int i = 0, r = b->p.n; i < rows; i++, r++) {
        b->token[r] = x->token[i];
        b->target[r] = x->token[i + 1];
        b->cls[r] = x->cls[i + 1];
        b->weight[r] =
            target_weight((enum token_class)x->cls[i + 1], (enum token_class)x->cls[i], stage);
        if (b->cls[r] == TC_PROMPT)
            b->weight[r] *= (i + b->p.n_seq) % PROMPT_SHARE ? 0 : PROMPT_SHARE;
    }
    b->p.n += rows;
    b->p.n_seq++;
    b->p.token = b->token, b->p.target = b->target, b->p.weight = b->weight;
    b->p.start = b->start, b->p.length = b->length, b->p.pos0 = b->pos0;
}

/* Late positions must be trained too; most conversations begin where they will begin in use. */
static int late_start(uint64_t seed, uint64_t index, int rows, int n_ctx)
{
    struct rng r = rng_make(seed, 0x706f73, index);
    if (rows >= n_ctx || rng_below(&r, LATE_SHARE)) return 0;
    return (int)rng_below(&r, (uint32_t)(n_ctx - rows));
}

bool batch_fill(struct batch_buf *b, const struct train_source *src, int stage, uint64_t seed,
                uint64_t index, int tokens, int n_ctx, struct err *e)
{
    batch_clear(b);
    int most = MIN(stage_max_tokens(stage), n_ctx);
    for (uint64_t i = 0; i < PER_MICRO && b->p.n < tokens; i++) {
        struct example x = { 0 };
        uint64_t number = index * PER_MICRO + i;
        arena_reset(&b->mem, 0);
        b->drawn++;
        if (src->draw(src->ctx, DATA_TRAIN, stage, number, most, &b->mem, &x, e)) {
            batch_add(b, &x, stage, late_start(seed, number, x.n, n_ctx));
            continue;
        }
        if (e->code != ERR_LIMIT) return false;
        *e = (struct err){ 0 };
        b->dropped++;
    }
    if (b->p.n) return true;
    return err_set(e, ERR_LIMIT, "micro-batch %llu: none of %d conversations fits %d tokens",
                   (unsigned long long)index, PER_MICRO, most);
}
