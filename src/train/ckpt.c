/* ckpt.c -- checkpoints: everything a run is, in one file, whole or absent.
 *
 * Layout, little-endian as the machine has it: struct head (magic, version, shape, hashes,
 * counters), then weights and both moments as flat f32, then a hash of all that went before. A file
 * of another shape, tokenizer or version, or one that was cut or damaged, is refused with a
 * sentence; the run that tries to load it is left as it was. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "train/int.h"

#define MAGIC 0x314b4354u                                             /* "TCK1" */
#define VERSION 1

/* What a model that can be trained is shaped by, as it lies in the file (tools/accel/checkpoint.py reads it too):
 * it stays as it is when struct model_config gains members. */
struct shape {
    char arch[32];
    int32_t n_layer, n_embd, n_ff, n_head, head_dim, n_vocab, n_ctx, conv_taps, n_head_kv[MODEL_LAYERS];
    float rms_eps, rope_theta, rope_scale;
    int32_t window, n_expert, n_used, n_ff_expert, n_dense;
    bool sigmoid;
    float expert_scale;
};
_Static_assert(sizeof(struct shape) == 4200, "the layout of checkpoints is part of their version");

struct head {
    uint32_t magic, version;
    struct shape shape;
    uint64_t source_hash, seed, n_param;
    struct counters c;
};

static void shape_of(struct shape *s, const struct model_config *c)
{
    memset(s, 0, sizeof *s);                                          /* gaps between members are compared and written too */
    memcpy(s->arch, c->arch, sizeof s->arch);
    s->n_layer = c->n_layer, s->n_embd = c->n_embd, s->n_ff = c->n_ff, s->n_head = c->n_head;
    s->head_dim = c->head_dim, s->n_vocab = c->n_vocab, s->n_ctx = c->n_ctx, s->conv_taps = c->conv_taps;
    memcpy(s->n_head_kv, c->n_head_kv, sizeof s->n_head_kv);
    s->rms_eps = c->rms_eps, s->rope_theta = c->rope_theta, s->rope_scale = c->rope_scale;
    s->window = c->window, s->n_expert = c->n_expert, s->n_used = c->n_used;
    s->n_ff_expert = c->n_ff_expert, s->n_dense = c->n_dense;
    s->sigmoid = c->sigmoid;
    s->expert_scale = c->expert_scale;
}

static struct model_config config_of(const struct shape *s)
{
    struct model_config c = { .n_layer = s->n_layer, .n_embd = s->n_embd, .n_ff = s->n_ff, .n_head = s->n_head, .head_dim = s->head_dim,
                              .n_vocab = s->n_vocab, .n_ctx = s->n_ctx, .conv_taps = s->conv_taps, .rms_eps = s->rms_eps,
                              .rope_theta = s->rope_theta, .rope_scale = s->rope_scale, .window = s->window, .n_expert = s->n_expert,
                              .n_used = s->n_used, .n_ff_expert = s->n_ff_expert, .n_dense = s->n_dense, .sigmoid = s->sigmoid,
                              .expert_scale = s->expert_scale };
    memcpy(c.arch, s->arch, sizeof c.arch);
    memcpy(c.n_head_kv, s->n_head_kv, sizeof c.n_head_kv);
    return c;
}

static uint64_t chain(uint64_t h, const void *p, size_t n)
{
    return hash64(p, n, h);
}

bool train_save(struct train *t, const char *path, struct err *e)
{
    struct file_out f = { 0 };
    struct head h;
    memset(&h, 0, sizeof h); /* gaps between members are written too */
    h.magic = MAGIC;
    h.version = VERSION;
    shape_of(&h.shape, &t->o.shape);
    h.source_hash = t->src.hash;
    h.seed = t->o.seed;
    h.n_param = net_n_param(t->net);
    h.c = t->c;
    if (!file_out_open(&f, path, e)) return err_in(e, "checkpoint");
    uint64_t sum = chain(0, &h, sizeof h);
    file_out_put(&f, &h, sizeof h);
    const float *part[] = { t->w, t->m, t->v };
    for (size_t i = 0; i < LEN(part); i++) {
        sum = chain(sum, part[i], h.n_param * sizeof(float));
        file_out_put(&f, part[i], h.n_param * sizeof(float));
    }
    file_out_put(&f, &sum, sizeof sum);
    return file_out_commit(&f, e) || err_in(e, "checkpoint");
}

/* The mapped file if it is a whole checkpoint; *h is a copy of its head. */
static bool open_whole(struct map *m, const char *path, struct head *h, struct err *e)
{
    if (!map_open(m, path, 0, e)) return false;
    if (m->size < sizeof *h + 8) goto bad;
    memcpy(h, m->data, sizeof *h);
    if (h->magic != MAGIC) {
        err_set(e, ERR_FORMAT, "%s: not a checkpoint of tenon train", path);
        goto fail;
    }
    if (h->version != VERSION) {
        err_set(e, ERR_UNSUPPORTED, "%s: checkpoint version %u; this build reads version %d", path,
                h->version, VERSION);
        goto fail;
    }
    size_t left = m->size - sizeof *h - 8;
    if (h->n_param > left / 12 || left != h->n_param * 12) goto bad;
    uint64_t sum = chain(0, m->data, sizeof *h), want;
    for (int i = 0; i < 3; i++)
        sum = chain(sum, m->data + sizeof *h + (size_t)i * h->n_param * 4, h->n_param * 4);
    memcpy(&want, m->data + m->size - 8, 8);
    if (sum == want) return true;
bad:
    err_set(e, ERR_FORMAT, "%s: the checkpoint is cut or damaged", path);
fail:
    map_close(m);
    return false;
}

static const float *part(const struct map *m, const struct head *h, int i)
{
    return (const float *)(const void *)(m->data + sizeof *h + (size_t)i * h->n_param * 4);
}

bool train_load(struct train *t, const char *path, struct err *e)
{
    struct map m;
    struct head h;
    if (!open_whole(&m, path, &h, e)) return false;
    size_t bytes = net_n_param(t->net) * sizeof(float);
    bool ok = false;
    struct shape own;
    shape_of(&own, &t->o.shape);
    if (memcmp(&h.shape, &own, sizeof own) || h.n_param != net_n_param(t->net))
        err_set(e, ERR_ARG,
                "%s: the checkpoint has another shape (width %d, %d blocks, %d tokens); resume "
                "with its shape, or use --warm-start",
                path, h.shape.n_embd, h.shape.n_layer, h.shape.n_vocab);
    else if (h.source_hash != t->src.hash)
        err_set(e, ERR_ARG,
                "%s: the checkpoint was made with another tokenizer or generator; use --warm-start "
                "to take its weights",
                path);
    else {
        memcpy(t->w, part(&m, &h, 0), bytes);
        memcpy(t->m, part(&m, &h, 1), bytes);
        memcpy(t->v, part(&m, &h, 2), bytes);
        t->c = h.c;
        t->o.seed = h.seed;
        ok = true;
    }
    map_close(&m);
    return ok;
}

bool weights_open(struct weights_file *f, const char *path, struct err *e)
{
    struct head h;
    *f = (struct weights_file){ 0 };
    if (!open_whole(&f->map, path, &h, e)) return false;
    struct model_config c = config_of(&h.shape);
    if ((f->net = net_new(&c, e))) {
        f->w = part(&f->map, &h, 0);
        if (net_n_param(f->net) == h.n_param) return true;
        err_set(e, ERR_FORMAT, "%s: the checkpoint's shape and size disagree", path);
    }
    weights_close(f);
    return false;
}

void weights_close(struct weights_file *f)
{
    net_free(f->net);
    map_close(&f->map);
}

int train_warm_start(struct train *t, const char *path, struct err *e)
{
    struct weights_file f;
    if (!weights_open(&f, path, e)) return -1;
    int taken = 0;
    for (size_t i = 0; i < net_n_tensor(f.net); i++) {
        const struct param *p = net_param(f.net, i), *to = net_find(t->net, p->name);
        if (!to || to->rows != p->rows || to->cols != p->cols) continue;
        memcpy(t->w + to->off, f.w + p->off, (size_t)p->rows * (size_t)p->cols * sizeof(float));
        taken++;
    }
    weights_close(&f);
    return taken;
}

bool train_export_file(const char *checkpoint, const struct export_opts *o, const char *path,
                       struct err *e)
{
    struct weights_file f;
    if (!weights_open(&f, checkpoint, e)) return false;
    bool ok = train_export(f.net, f.w, o, path, e);
    weights_close(&f);
    return ok;
}

/* ---- the folder of a run ---- */

static int is_step_file(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 10 && !strncmp(d->d_name, "step-", 5) && !strcmp(d->d_name + n - 5, ".ckpt");
}

static char *path_of(const char *dir, const char *name)
{
    struct str s = { 0 };
    str_fmt(&s, "%s/%s", dir, name);
    return str_take(&s);
}

void ckpt_prune(const char *dir, int keep)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_step_file, alphasort);
    for (int i = 0; i < n; i++) {
        char *p = path_of(dir, list[i]->d_name);
        if (i < n - keep) unlink(p);
        mem_free(p);
        free(list[i]);
    }
    free(list);
}

char *train_newest(const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_step_file, alphasort);
    char *newest = n > 0 ? path_of(dir, list[n - 1]->d_name) : NULL;
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    return newest;
}
