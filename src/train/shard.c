/* shard.c -- one batch from a shard of `tenon data --shards`: its loss under a checkpoint.
 *
 * A trainer on other hardware reads the same shard and the same checkpoint; if it finds this loss
 * and this norm of the gradient, it computes what this trainer computes. Refused: a shard of another
 * vocabulary, one that is cut, tokens outside the vocabulary. */
#include <math.h>

#include "train/int.h"

enum { SHARD_HEAD = 12, TOKENS_MOST = 1 << 16 };

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The conversation at *off; false at the end of the shard or where it is cut. */
static bool next_example(const struct map *m, size_t *off, struct arena *a, struct example *x)
{
    if (m->size - *off < 4) return false;
    const uint8_t *p = m->data + *off + 4;
    uint32_t n = u32_at(m->data + *off);
    if (n > TOKENS_MOST || m->size - *off - 4 < 3 * (size_t)n) return false;
    *x = (struct example){ .n = (int)n, .token = arena_alloc(a, (n + 1) * sizeof *x->token) };
    for (uint32_t i = 0; i < n; i++) x->token[i] = p[2 * i] | p[2 * i + 1] << 8;
    x->cls = arena_alloc(a, n + 1);
    memcpy(x->cls, p + 2 * n, n);
    for (uint32_t i = 0; i < n; i++) x->cls[i] = MIN(x->cls[i], TOKEN_CLASSES - 1);
    *off += 4 + 3 * (size_t)n;
    return true;
}

static bool fill(struct batch_buf *b, const struct map *m, int n_vocab, int n_ctx, int stage,
                 int max_tokens, const char *path, struct err *e)
{
    if (m->size < SHARD_HEAD || memcmp(m->data, "TNSHARD1", 8))
        return err_set(e, ERR_FORMAT, "%s: not a shard of tenon data", path);
    if ((int)u32_at(m->data + 8) != n_vocab)
        return err_set(e, ERR_ARG, "%s: a shard for %u tokens, the checkpoint has %d", path,
                       u32_at(m->data + 8), n_vocab);
    struct example x;
    for (size_t off = SHARD_HEAD; next_example(m, &off, &b->mem, &x); arena_reset(&b->mem, 0)) {
        if (x.n - 1 > n_ctx) continue;
        if (b->p.n + x.n - 1 > max_tokens) break;
        batch_add(b, &x, stage, 0);
    }
    return b->p.n ? true
                  : err_set(e, ERR_FORMAT, "%s: no conversation of up to %d tokens", path,
                            max_tokens);
}

bool train_shard_loss(const char *checkpoint, const char *shard, int stage, int max_tokens,
                      const struct grad_ops *ops, struct shard_loss *out, struct err *e)
{
    struct weights_file f;
    struct map m;
    struct batch_buf b = { 0 };
    struct arena tmp;
    struct pack_loss loss = { 0 };
    if (!weights_open(&f, checkpoint, e)) return false;
    const struct model_config *c = net_config(f.net);
    size_t n = net_n_param(f.net);
    float *g = mem_zero(n * sizeof *g);
    arena_init(&tmp, (size_t)1 << 26);
    arena_init(&b.mem, (size_t)1 << 18);
    bool ok = map_open(&m, shard, 0, e);
    if (ok) {
        ok = fill(&b, &m, c->n_vocab, c->n_ctx, stage, max_tokens, shard, e);
        map_close(&m);
    }
    for (int i = 0; i < b.p.n; i++)
        if (b.weight[i] == 0) b.target[i] = -1;
    ok = ok && net_step(f.net, f.w, &b.p, ops, 1, 1e-4f, g, NULL, NULL, &tmp, &loss, e);
    double sum = 0, weight = MAX(loss.weight, 1e-9);
    for (size_t i = 0; i < n; i++) sum += (double)g[i] * g[i];
    *out = (struct shard_loss){ loss.loss / weight, loss.weight, sqrt(sum) / weight, b.p.n,
                                b.p.n_seq };
    batch_done(&b);
    arena_done(&tmp);
    mem_free(g);
    weights_close(&f);
    return ok;
}
