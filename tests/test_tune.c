/* test_tune.c -- fine-tuning: made-up lessons for random models of every family that has a gradient.
 * What the trainer measures after the run is what the engine computes with the adapter, or from the
 * whole model that was written; order and options are kept. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "test.h"
#include "train/train.h"

enum { VOCAB = 128, ROWS = 40 };

static const char *in_folder(const char *name)
{
    static char dir[64], path[4][200];
    static int at;
    if (!*dir) {
        snprintf(dir, sizeof dir, "/tmp/tenon-tune-%d", (int)getpid());
        mkdir(dir, 0777);
    }
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* A few tokens, a mark, twice each of them plus one: the second half is to be learned. */
static void make_lessons(struct lessons *l, int n, uint64_t seed)
{
    for (int k = 0; k < n; k++) {
        struct rng r = rng_make(seed, 3, (uint64_t)k);
        int words = 2 + (int)rng_below(&r, 4), len = 2 * words + 2;
        int32_t token[16];
        uint8_t cls[16] = { 0 };
        for (int i = 0; i < words; i++) {
            token[i] = token[words + 1 + i] = 10 + (int32_t)rng_below(&r, 20);
            cls[words + 1 + i] = TC_ANSWER;
        }
        token[words] = 1;
        token[len - 1] = 2;
        cls[len - 1] = TC_END;
        lessons_put(l, &(struct example){ .n = len, .token = token, .cls = cls });
    }
}

/* A file of random weights. */
static struct gguf *make_model(const char *arch, struct err *e)
{
    struct model_config c = { .n_layer = 3, .n_embd = 64, .n_ff = 96, .n_head = 2, .head_dim = 32, .n_vocab = VOCAB,
                              .n_ctx = 256, .conv_taps = 3, .rms_eps = 1e-5f, .rope_theta = 10000 };
    snprintf(c.arch, sizeof c.arch, "%s", arch);
    bool conv = !strcmp(arch, "lfm2");
    for (int l = 0; l < 3; l++) c.n_head_kv[l] = l == 1 || !conv;
    struct net *n = net_new(&c, e);
    float *w = n ? mem_alloc(net_n_param(n) * sizeof *w) : NULL;
    struct export_opts x = { .type = DT_F32, .name = "test" };
    const char *path = in_folder(arch);
    if (n) net_init(n, w, 8);
    bool ok = n && train_export(n, w, &x, path, e);
    mem_free(w);
    net_free(n);
    return ok ? gguf_open(path, e) : NULL;
}

/* Mean loss of the engine over the targets of the lessons, with an adapter or none; *exact: lessons without a miss. */
static double engine_loss(const struct model *m, const struct adapter *a, const struct lessons *l, int *exact)
{
    struct err e = { 0 };
    struct arena tmp;
    double sum = 0;
    int n = 0;
    float *logits = mem_alloc(sizeof(float) * ROWS * VOCAB);
    struct lora_use use = { a, 1 };
    arena_init(&tmp, 0);
    *exact = 0;
    for (int k = 0; k < l->n; k++) {
        const struct example *x = &l->item[k];
        struct kv *kv = kv_open(m, 64, 1, &e);
        struct batch b = { .n = x->n, .seq = kv_seq_new(kv), .token = x->token, .phase = PHASE_PREFILL,
                           .n_logits = x->n, .lora = &use, .n_lora = a != NULL };
        CHECK(model_forward(m, kv, &b, &tmp, logits, &e), "%s", e.msg);
        bool all = true;
        for (int i = 0; i + 1 < x->n; i++) {
            const float *z = logits + (size_t)i * VOCAB;
            double lse = 0;
            int top = 0;
            if (x->cls[i + 1] == TC_PROMPT) continue;
            for (int v = 0; v < VOCAB; v++) lse += exp((double)z[v]), top = z[v] > z[top] ? v : top;
            sum += log(lse) - z[x->token[i + 1]];
            all = all && top == x->token[i + 1];
            n++;
        }
        *exact += all;
        kv_close(kv);
    }
    arena_done(&tmp);
    mem_free(logits);
    return sum / n;
}

struct tuned { struct lessons learn, held; struct gguf *g; struct model *m; struct tune_summary y; struct train *t; };

/* The first target of a turn weighs more in the trainer's mean than in the engine's, so exact matches are compared. */
static void open_and_tune(struct tuned *u, const char *arch, int rank, int64_t steps)
{
    struct err e = { 0 };
    *u = (struct tuned){ 0 };
    make_lessons(&u->learn, 24, 1);
    make_lessons(&u->held, 16, 1);
    u->g = make_model(arch, &e);
    u->m = u->g ? model_open(u->g, ref_ops(), &e) : NULL;
    CHECK(u->m, "%s: %s", arch, e.msg);
    struct train_base base = { u->m, u->g, 64 };
    struct tune_opts o = { rank, 16, LORA_ATTN | LORA_CONV | LORA_FFN };
    struct train_opts t = { .base = &base, .tune = &o, .ops = cpu_grad_ops("f32"), .threads = 2, .seed = 3, .steps = steps, .lr = 1e-2, .tokens = 256 };
    struct tune_plan p = { &u->learn, &u->held, NULL, 3, 0, 0 };
    u->t = tune_run(&t, &p, &u->y, &e);
    CHECK(u->t, "%s: %s", arch, e.msg);
    CHECK(u->y.after.loss < u->y.before.loss, "%s: loss %g before, %g after", arch, u->y.before.loss, u->y.after.loss);
    const char *out = in_folder("out.gguf");
    bool ok = rank ? tune_export_adapter(u->t, u->g, out, &e) : tune_export_model(u->t, u->g, out, &e);
    CHECK(ok, "%s", e.msg);
}

static void close_tuned(struct tuned *u)
{
    train_close(u->t);
    model_close(u->m);
    gguf_close(u->g);
    lessons_done(&u->learn);
    lessons_done(&u->held);
}

static const char *const families[] = { "lfm2", "llama", "qwen3" };

TEST(the_engine_with_the_adapter_answers_as_the_trainer_measured)
{
    for (size_t i = 0; i < LEN(families); i++) {
        struct tuned u;
        struct err e = { 0 };
        int exact, before;
        open_and_tune(&u, families[i], 4, SANITIZED ? 4 : 60);
        struct gguf *ag = gguf_open(in_folder("out.gguf"), &e);
        struct adapter *a = ag ? adapter_open(u.m, ag, &e) : NULL;
        CHECK(a, "%s: %s", families[i], e.msg);
        double plain = engine_loss(u.m, NULL, &u.held, &before), loss = engine_loss(u.m, a, &u.held, &exact);
        CHECK(loss < plain, "%s: the engine's loss is %g without and %g with the adapter", families[i], plain, loss);
        CHECK(exact == (int)lround(u.y.after.all * u.held.n), "%s: %d exact in the engine, %g of %d in the trainer",
              families[i], exact, u.y.after.all, u.held.n);
        CHECK(before == (int)lround(u.y.before.all * u.held.n), "%s: before, %d and %g", families[i], before, u.y.before.all);
        adapter_close(a);
        gguf_close(ag);
        close_tuned(&u);
    }
}

TEST(a_whole_model_comes_out_with_its_metadata)
{
    struct tuned u;
    struct err e = { 0 };
    int exact;
    open_and_tune(&u, "llama", 0, SANITIZED ? 4 : 40);
    struct gguf *g = gguf_open(in_folder("out.gguf"), &e);
    struct model *m = g ? model_open(g, ref_ops(), &e) : NULL;
    CHECK(m, "%s", e.msg);
    CHECK(gguf_n_tensor(g) == gguf_n_tensor(u.g) && gguf_n_kv(g) == gguf_n_kv(u.g), "tensors and keys are those of the base");
    engine_loss(m, NULL, &u.held, &exact);
    CHECK(exact == (int)lround(u.y.after.all * u.held.n), "%d exact in the engine, %g in the trainer", exact, u.y.after.all);
    model_close(m);
    gguf_close(g);
    close_tuned(&u);
}

TEST(equal_options_give_equal_adapters)
{
    struct str one = { 0 }, two = { 0 };
    struct err e = { 0 };
    struct str *s[] = { &one, &two };
    for (int i = 0; i < 2; i++) {
        struct tuned u;
        open_and_tune(&u, "llama", 2, 4);
        CHECK(file_read(in_folder("out.gguf"), s[i], &e), "%s", e.msg);
        close_tuned(&u);
    }
    CHECK(one.len == two.len && !memcmp(one.p, two.p, one.len), "twice the same seed");
    str_done(&one);
    str_done(&two);
}

TEST(a_plan_shows_every_lesson_in_every_epoch)
{
    struct lessons l = { 0 };
    make_lessons(&l, 200, 5);
    struct train_opts o = { .tokens = 256, .seed = 1 };
    int64_t rows = 0;
    for (int i = 0; i < l.n; i++) rows += l.item[i].n - 1;
    for (int epochs = 1; epochs <= 4; epochs++) {
        struct tune_plan p = { &l, NULL, NULL, epochs, 0, 0 };
        int64_t n = tune_steps(&p, &o), most = rows * epochs / 256 + 1, least = rows * epochs / (256 + 16);
        CHECK(n >= least && n <= most, "%d epochs: %lld steps, %lld to %lld expected", epochs, (long long)n, (long long)least, (long long)most);
    }
    struct tune_plan half = { &l, NULL, &l, 1, 0.5, 0 }, whole = { &l, NULL, NULL, 1, 0, 0 };
    double ratio = (double)tune_steps(&half, &o) / (double)tune_steps(&whole, &o);
    CHECK(ratio > 1.8 && ratio < 2.2, "half of it from the replay makes it twice as long: %g", ratio);
    lessons_done(&l);
}

TEST(what_cannot_be_tuned_is_refused)
{
    struct lessons none = { 0 }, some = { 0 };
    struct err e = { 0 };
    make_lessons(&some, 2, 1);
    struct gguf *g = make_model("lfm2", &e);
    struct model *m = g ? model_open(g, ref_ops(), &e) : NULL;
    static const struct { const char *why, *says; int rank; double epochs, share; bool empty; } rows[] = {
        { "no lesson", "conversations", 4, 1, 0, true },
        { "no epoch", "epochs", 4, 0, 0, false },
        { "all of it replay", "share", 4, 1, 1, false },
        { "a rank beyond reason", "rank", 9999, 1, 0, false },
    };
    for (size_t i = 0; m && i < LEN(rows); i++) {
        struct train_base base = { m, g, 64 };
        struct tune_opts u = { rows[i].rank, 16, LORA_ATTN };
        struct train_opts t = { .base = &base, .tune = &u, .ops = cpu_grad_ops("plain"), .threads = 1, .steps = 1, .lr = 1e-3, .tokens = 64 };
        struct tune_plan p = { rows[i].empty ? &none : &some, NULL, NULL, rows[i].epochs, rows[i].share, 0 };
        struct tune_summary y;
        e = (struct err){ 0 };
        struct train *run = tune_run(&t, &p, &y, &e);
        CHECK(!run && strstr(e.msg, rows[i].says), "%s: %s", rows[i].why, e.msg);
        train_close(run);
    }
    model_close(m);
    gguf_close(g);
    lessons_done(&some);
}

TEST_MAIN
