/* tuner.c -- joins what fine-tuning needs: a model file, its tokenizer and template, the lines of the
 * user, the generator against forgetting, the run, and the file that comes out.
 *
 * Conversations are rendered before the first step, so every fault of the data shows at once; those
 * longer than the limit are told and left out, never cut. */
#include "tuner.h"

#include <math.h>

#include "cpu/cpu.h"
#include "front.h"
#include "gen/gen.h"
#include "teach.h"

#define FEW_STEPS 200
#define FEW_LINES 10      /* fewer are all learned from, none is held out */
#define REPLAY_MOST 4000  /* conversations; more than that are repeated */
#define LARGE_MODEL 100000000

struct bench { /* all that is open */
    struct gguf *g;
    struct pool *pool;
    const struct ops *ops;
    struct model *model;
    struct tokenizer *tok;
    struct jinja *template;
    struct speech speech;
    struct json *tools;
    struct taught taught;
    struct lessons learn, held, replay;
    int left_out;
};

static bool open_model(struct bench *b, const struct tuning *a, const struct train_opts *o, struct err *e)
{
    if (!(b->g = front_gguf(a->model, e)) || !(b->pool = pool_open(o->threads, e)) ||
        !(b->ops = cpu_ops_open(b->pool, NULL, e)) || !(b->model = model_open(b->g, b->ops, e)) ||
        !(b->tok = tok_open(b->g, e)))
        return false;
    b->speech.tok = b->tok;
    if (!dialect_open(b->g, b->tok, NULL, &b->speech.dialect, &b->template, e)) return false;
    b->speech.template = b->template;
    return true;
}

static void bench_done(struct bench *b)
{
    lessons_done(&b->learn);
    lessons_done(&b->held);
    lessons_done(&b->replay);
    taught_done(&b->taught);
    json_free(b->tools);
    jinja_close(b->template);
    tok_close(b->tok);
    model_close(b->model);
    cpu_ops_close(b->ops);
    pool_close(b->pool);
    gguf_close(b->g);
}

/* ---- lessons --------------------------------------------------------------------------------- */

static bool put(struct bench *b, struct lessons *to, const struct json *c, int n_ctx, struct arena *tmp,
                struct err *e)
{
    struct example x;
    arena_reset(tmp, 0);
    if (!spoken_example(&b->speech, c, n_ctx, tmp, &x, e)) return false;
    lessons_put(to, &x);
    return true;
}

/* Which lines are held out depends on seed and number only; one at least, the last. */
static bool is_held(const struct bench *b, const struct tuning *a, const struct train_opts *o, int i)
{
    struct rng r = rng_make(o->seed, 0x68656c64, (uint64_t)i);
    int n = b->taught.n;
    if (n < FEW_LINES || !(a->held > 0)) return false;
    return rng_unit(&r) < a->held || (i == n - 1 && !b->held.n);
}

/* FILE,FILE,…: all of them, one behind the other. */
static bool read_files(struct bench *b, const char *list, struct err *e)
{
    bool ok = true;
    for (const char *p = list; ok && *p;) {
        size_t n = strcspn(p, ",");
        struct str path = { 0 };
        str_put(&path, p, n);
        ok = teach_read(&b->taught, path.p ? path.p : "", b->tools, e);
        str_done(&path);
        p += n + (p[n] == ',');
    }
    return ok;
}

static bool read_lessons(struct bench *b, const struct tuning *a, const struct train_opts *o, struct err *e)
{
    const char *path = a->lora ? a->lora : a->full;
    struct arena tmp;
    bool ok = (!a->tools || (b->tools = tools_read(a->tools, e))) && read_files(b, path, e);
    arena_init(&tmp, 0);
    for (int i = 0; ok && i < b->taught.n; i++) {
        struct err why = { 0 };
        struct lessons *to = is_held(b, a, o, i) ? &b->held : &b->learn;
        if (put(b, to, b->taught.item[i], (int)a->n_ctx, &tmp, &why)) continue;
        fprintf(stderr, "%s: line %d: %s\n", path, b->taught.line[i], why.msg);
        b->left_out++;
        if (why.code != ERR_LIMIT) ok = err_set(e, why.code, "%s: line %d: %s", path, b->taught.line[i], why.msg);
    }
    arena_done(&tmp);
    if (ok && !b->learn.n) ok = err_set(e, ERR_ARG, "%s: no conversation fits the %d tokens of --ctx", path, (int)a->n_ctx);
    return ok;
}

/* A drawn conversation in the shape of the user's. */
static struct json *whole(struct json *drawn)
{
    struct json *c = json_new_object(), *m = json_copy(json_get(drawn, "messages"));
    json_push(m, json_copy(json_get(drawn, "answer")));
    json_set(c, "messages", m);
    json_set(c, "tools", json_copy(json_get(drawn, "tools")));
    json_free(drawn);
    return c;
}

static bool draw_replay(struct bench *b, const struct tuning *a, const struct train_opts *o, double share,
                        struct err *e)
{
    struct datagen_opts d = { .packs = a->packs, .stage = 3, .seed = o->seed };
    double wanted = a->epochs * b->learn.n * share / (1 - share);
    int n = (int)MIN(ceil(wanted), (double)REPLAY_MOST);
    struct arena tmp;
    struct datagen *g = datagen_open(&d, e);
    if (!g) return err_in(e, "--replay (0 does without)");
    bool ok = true;
    arena_init(&tmp, 0);
    for (uint64_t i = 0; ok && b->replay.n < n; i++) {
        struct err why = { 0 };
        struct json *c = datagen_conversation(g, DATA_TRAIN, 3, i, e);
        if (!(ok = c != NULL)) break;
        c = whole(c);
        if (!put(b, &b->replay, c, (int)a->n_ctx, &tmp, &why) && why.code != ERR_LIMIT) ok = (*e = why, false);
        json_free(c);
    }
    arena_done(&tmp);
    datagen_close(g);
    return ok;
}

/* ---- options --------------------------------------------------------------------------------- */

static bool targets_of(const char *list, unsigned *out, struct err *e)
{
    static const struct { const char *name; unsigned bits; } rows[] = {
        { "attn", LORA_ATTN }, { "conv", LORA_CONV }, { "ffn", LORA_FFN }, { "all", LORA_ATTN | LORA_CONV | LORA_FFN }
    };
    *out = 0;
    if (!list) return *out = rows[3].bits, true;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ","), i = 0;
        while (i < LEN(rows) && (strlen(rows[i].name) != n || memcmp(rows[i].name, p, n))) i++;
        if (i == LEN(rows))
            return err_set(e, ERR_USAGE, "--targets %.*s: attn, conv, ffn and all are accepted, with commas between", (int)n, p);
        *out |= rows[i].bits;
        p += n + (p[n] == ',');
    }
    return *out || err_set(e, ERR_USAGE, "--targets: attn, conv, ffn or all is needed");
}

static bool check(const struct tuning *a, const struct train_opts *o, struct err *e)
{
    if (a->lora && a->full) return err_set(e, ERR_USAGE, "--lora and --full: one of them");
    if (!a->out) return err_set(e, ERR_USAGE, "--out FILE is needed: the %s that comes out", a->lora ? "adapter" : "model");
    if (o->seconds > 0)
        return err_set(e, ERR_USAGE, "--time-budget is for runs from random weights; --epochs or --steps limits fine-tuning");
    if (!(a->held >= 0 && a->held < 0.9) || !(a->replay < 0.9))
        return err_set(e, ERR_USAGE, "--hold-out and --replay: shares from 0 to below 0.9 are accepted");
    if (!(a->epochs > 0 && a->epochs <= 1000)) return err_set(e, ERR_USAGE, "--epochs: above 0, to 1000, is accepted");
    if (a->n_ctx < 16 || a->n_ctx > 1 << 17) return err_set(e, ERR_USAGE, "--ctx: 16 to 131072 is accepted");
    if (a->patience < 0 || a->patience > 1000) return err_set(e, ERR_USAGE, "--patience: 0 to 1000 is accepted");
    return o->lr >= 0 || err_set(e, ERR_USAGE, "--lr: above 0 is accepted");
}

/* Small models bear, and need, larger steps; whole weights smaller ones than additions. */
static double usual_lr(const struct model *m, bool lora)
{
    bool large = model_n_param(m) >= LARGE_MODEL;
    return lora ? (large ? 1e-4 : 1e-3) : (large ? 2e-5 : 3e-4);
}

/* ---- the end --------------------------------------------------------------------------------- */

static struct json *score_json(const struct train_score *s)
{
    struct json *o = json_new_object();
    json_set(o, "loss", json_new_f64(s->loss));
    json_set(o, "exact", json_new_f64(s->all));
    json_set(o, "first_token", json_new_f64(s->first));
    return o;
}

static void print_summary(const struct bench *b, const struct tuning *a, const struct tune_summary *y)
{
    if (!a->json) {
        printf("%s: %lld steps over %d conversations (%d held out, %d of replay, %d left out), %.0f s\n", a->out,
               (long long)y->steps, b->learn.n, b->held.n, b->replay.n, b->left_out, y->seconds);
        if (b->held.n)
            printf("held out, before and after: loss %.4f, %.4f; exact %.1f %%, %.1f %%; first token %.1f %%, %.1f %%\n",
                   y->before.loss, y->after.loss, 100 * y->before.all, 100 * y->after.all, 100 * y->before.first,
                   100 * y->after.first);
        return;
    }
    struct json *o = json_new_object();
    struct str s = { 0 };
    json_set(o, "out", json_new_str(a->out));
    json_set(o, "steps", json_new_int(y->steps));
    json_set(o, "tokens", json_new_int(y->tokens));
    json_set(o, "seconds", json_new_f64(y->seconds));
    json_set(o, "tokens_per_s", json_new_f64(y->tokens_per_s));
    json_set(o, "conversations", json_new_int(b->learn.n));
    json_set(o, "held_out", json_new_int(b->held.n));
    json_set(o, "replay", json_new_int(b->replay.n));
    json_set(o, "left_out", json_new_int(b->left_out));
    if (b->held.n) {
        json_set(o, "before", score_json(&y->before));
        json_set(o, "after", score_json(&y->after));
    }
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

static bool run(struct bench *b, const struct tuning *a, struct train_opts *o, struct err *e)
{
    double share = a->replay >= 0 ? a->replay : a->model ? 0 : 0.25;
    struct train_base base = { b->model, b->g, (int)a->n_ctx };
    struct tune_opts u = { 0 };
    struct tune_summary y;
    if (a->lora) {
        u.rank = (int)a->rank;
        u.alpha = (float)a->alpha;
        if (a->rank < 1 || a->rank > 1024) return err_set(e, ERR_USAGE, "--rank: 1 to 1024 is accepted");
        if (!targets_of(a->targets, &u.targets, e)) return false;
    }
    if (!read_lessons(b, a, o, e) || (share > 0 && !draw_replay(b, a, o, share, e))) return false;
    struct tune_plan p = { &b->learn, &b->held, &b->replay, a->epochs, share, (int)a->patience };
    o->base = &base;
    o->tune = &u;
    if (!(o->lr > 0)) o->lr = usual_lr(b->model, a->lora != NULL);
    int64_t steps = o->steps ? o->steps : tune_steps(&p, o);
    if (steps < FEW_STEPS)
        fprintf(stderr, "%lld steps are few; %d teach more: more conversations, or --epochs\n", (long long)steps, FEW_STEPS);
    struct train *t = tune_run(o, &p, &y, e);
    bool ok = t && (a->lora ? tune_export_adapter(t, b->g, a->out, e) : tune_export_model(t, b->g, a->out, e));
    train_close(t);
    if (ok) print_summary(b, a, &y);
    return ok;
}

bool tune(const struct tuning *a, struct train_opts *o, struct err *e)
{
    struct bench b = { 0 };
    bool ok = check(a, o, e) && open_model(&b, a, o, e) && run(&b, a, o, e);
    bench_done(&b);
    return ok;
}
