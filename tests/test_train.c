/* test_train.c -- the run: learns by heart, repeats itself bit for bit, resumes, refuses damaged
 * files, exports what it computed, draws. Conversations are made up here: a few words, a mark, the
 * words again. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "test.h"
#include "train/train.h"

static int fixed; /* > 0: only that many different conversations */

static bool draw(void *ctx, enum data_set set, int stage, uint64_t index, int max_tokens,
                 struct arena *a, struct example *out, struct err *e)
{
    (void)ctx, (void)stage, (void)max_tokens;
    struct rng r = rng_make(5, set, fixed ? index % (uint64_t)fixed : index);
    if (!fixed && rng_below(&r, 20) == 0) return err_set(e, ERR_LIMIT, "too long");
    int words = 3 + (int)rng_below(&r, 6);
    out->n = 2 * words + 2;
    out->token = arena_alloc(a, (size_t)out->n * sizeof *out->token);
    out->cls = arena_zero(a, (size_t)out->n);
    out->kind = KIND_COPY;
    for (int i = 0; i < words; i++) {
        out->token[i] = out->token[words + 1 + i] = 10 + (int32_t)rng_below(&r, 100);
        out->cls[words + 1 + i] = i ? TC_VALUE_REST : TC_VALUE_FIRST;
    }
    out->token[words] = 1;
    out->token[2 * words + 1] = 2;
    out->cls[2 * words + 1] = TC_END;
    return true;
}

static const struct train_source source = { NULL, draw, 77 };

static struct train_opts options(const char *isa)
{
    struct train_opts o = { .ops = cpu_grad_ops(isa),
                            .threads = 2,
                            .seed = 3,
                            .steps = 20,
                            .lr = 3e-3,
                            .decay = 0.25,
                            .stage = 1,
                            .tokens = 512 };
    struct err e = { 0 };
    train_shape(&o.shape, "nano", 128, &e);
    return o;
}

static struct train *run_to(const struct train_opts *o, const char *from)
{
    struct err e = { 0 };
    struct train *t = train_open(o, &source, &e);
    bool ok = t && (!from || train_load(t, from, &e)) && train_run(t, &e);
    CHECK(ok, "%s", e.msg);
    return t;
}

static size_t bytes_of(const struct train *t)
{
    return net_n_param(train_net(t)) * sizeof(float);
}

/* Gate G0. Words of the prompt are random and would keep the loss up; stage 3 leaves them out. */
TEST(thirty_two_conversations_are_learned_by_heart)
{
    struct train_opts o = options(NULL);
    int n = SANITIZED ? 4 : 32;
    o.steps = SANITIZED ? 15 : 300;                                   /* a step takes seconds there: only that it learns */
    o.stage = 3;
    o.tokens = n * 16; /* all of them in every step */
    fixed = n;
    struct train *t = run_to(&o, NULL);
    struct train_score s;
    struct err e = { 0 };
    CHECK(train_eval(t, DATA_TRAIN, 1, n, &s, &e), "%s", e.msg);
    CHECK((SANITIZED || s.all == 1) && s.n == n, "%.3f of %d known by heart", s.all, s.n);
    CHECK(s.loss < (SANITIZED ? 4 : 0.01), "loss %.4f after %d steps", s.loss, (int)o.steps);
    train_close(t);
    fixed = 0;
}

TEST(targets_weigh_what_they_decide)
{
    static const struct {
        const char *why;
        enum token_class c, before;
        int stage;
        float want;
    } rows[] = {
        { "prompt, early", TC_PROMPT, TC_PROMPT, 1, 0.1f },
        { "prompt, later", TC_PROMPT, TC_END, 2, 0.02f },
        { "prompt, last", TC_PROMPT, TC_PROMPT, 3, 0 },
        { "a turn begins", TC_STRUCT, TC_PROMPT, 2, 3 },
        { "a refusal begins", TC_REFUSE, TC_PROMPT, 3, 3 },
        { "a name begins", TC_NAME, TC_STRUCT, 2, 3 },
        { "a name goes on", TC_NAME, TC_NAME, 2, 1 },
        { "a value begins", TC_VALUE_FIRST, TC_STRUCT, 2, 3 },
        { "a value goes on", TC_VALUE_REST, TC_VALUE_FIRST, 2, 2 },
        { "structure", TC_STRUCT, TC_VALUE_REST, 2, 1 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        float got = target_weight(rows[i].c, rows[i].before, rows[i].stage);
        CHECK(got == rows[i].want, "%s: %g, want %g", rows[i].why, (double)got,
              (double)rows[i].want);
    }
}

TEST(equal_seeds_give_equal_bits)
{
    struct train_opts o = options(NULL);
    o.steps = SANITIZED ? 2 : 8;
    o.tokens = 2048;                                                  /* two micro-batches a step */
    struct train *a = run_to(&o, NULL), *b = run_to(&o, NULL);
    CHECK(!memcmp(train_weights(a), train_weights(b), bytes_of(a)), "twice the same seed");
    o.threads = 1;
    struct train *one = run_to(&o, NULL);
    CHECK(!memcmp(train_weights(a), train_weights(one), bytes_of(a)), "one worker and two");
    train_close(one);
    o.seed++;
    struct train *c = run_to(&o, NULL);
    CHECK(memcmp(train_weights(a), train_weights(c), bytes_of(a)),
          "another seed gives other weights");
    train_close(a);
    train_close(b);
    train_close(c);
}

/* A folder of our own below the build folder's temporary place. */
static const char *folder(void)
{
    static char dir[] = "/tmp/tenon-train-XXXXXX";
    static bool made;
    if (!made) made = mkdtemp(dir) != NULL;
    return dir;
}

static const char *in_folder(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder(), name);
    return path[turn];
}

TEST(half_a_run_and_its_rest_are_the_run)
{
    struct train_opts o = options(NULL);
    if (SANITIZED) o.steps = 4;
    struct train *whole = run_to(&o, NULL);
    char path[256];
    snprintf(path, sizeof path, "%s", in_folder("half.ckpt"));
    o.pause_at = o.steps / 2;
    struct train *half = run_to(&o, NULL);
    struct err e = { 0 };
    CHECK(train_summary(half).step == o.steps / 2 && train_save(half, path, &e), "%s", e.msg);
    o.pause_at = 0;
    struct train *rest = run_to(&o, path);
    CHECK(train_summary(rest).step == o.steps &&
              train_summary(rest).tokens == train_summary(whole).tokens,
          "steps and tokens are counted on");
    CHECK(!memcmp(train_weights(whole), train_weights(rest), bytes_of(whole)),
          "two halves differ from the whole");
    train_close(whole);
    train_close(half);
    train_close(rest);
    unlink(path);
}

TEST(a_raised_flag_stops_and_writes_a_checkpoint)
{
    struct train_opts o = options(NULL);
    volatile int stop = 1;
    o.stop = &stop;
    o.dir = folder();
    struct train *t = run_to(&o, NULL);
    CHECK(t && train_summary(t).stopped && train_summary(t).step == 0, "no step after the flag");
    train_close(t);
    char *newest = train_newest(o.dir);
    CHECK(newest && strstr(newest, "step-000000000.ckpt"), "the checkpoint is %s",
          newest ? newest : "missing");
    if (newest) unlink(newest);
    mem_free(newest);
    unlink(in_folder("log.tsv"));
}

TEST(only_the_newest_three_checkpoints_stay)
{
    struct train_opts o = options(NULL);
    o.steps = 5;
    o.tokens = 64;
    o.dir = folder();
    o.save_every = 1e-9;                                              /* after every step */
    struct train *t = run_to(&o, NULL);
    train_close(t);
    static const struct { const char *name; bool there;
    } rows[] = {
        { "step-000000001.ckpt", false }, { "step-000000002.ckpt", false },
        { "step-000000003.ckpt", true },  { "step-000000004.ckpt", true },
        { "step-000000005.ckpt", true },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        CHECK(file_exists(in_folder(rows[i].name)) == rows[i].there, "%s", rows[i].name);
        unlink(in_folder(rows[i].name));
    }
    unlink(in_folder("log.tsv"));
}

/* ---- checkpoints that must not load ---- */

static void damage(const char *path, const char *to, size_t cut, size_t flip)
{
    struct str s = { 0 };
    struct err e = { 0 };
    CHECK(file_read(path, &s, &e), "%s", e.msg);
    if (cut) s.len -= cut;
    if (flip) s.p[flip] ^= 1;
    CHECK(file_write(to, s.p, s.len, &e), "%s", e.msg);
    str_done(&s);
}

TEST(a_checkpoint_that_is_not_ours_is_refused)
{
    struct train_opts o = options(NULL), small = o;
    struct err e = { 0 };
    o.steps = 1;
    struct train *t = run_to(&o, NULL);
    char good[256], bad[256];
    snprintf(good, sizeof good, "%s", in_folder("good.ckpt"));
    snprintf(bad, sizeof bad, "%s", in_folder("bad.ckpt"));
    CHECK(train_save(t, good, &e), "%s", e.msg);
    static const struct { const char *why, *says; size_t cut, flip;
    } rows[] = {
        { "cut by a byte", "cut or damaged", 1, 0 },
        { "cut to its head", "cut or damaged", 100000, 0 },
        { "a weight flipped", "cut or damaged", 0, 9000 },
        { "another magic", "not a checkpoint", 0, 1 },
        { "another version", "version", 0, 4 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        damage(good, bad, rows[i].cut, rows[i].flip);
        e = (struct err){ 0 };
        CHECK(!train_load(t, bad, &e) && strstr(e.msg, rows[i].says), "%s: %s", rows[i].why, e.msg);
    }
    train_shape(&small.shape, "nano", 160, &e);
    struct train *other = train_open(&small, &source, &e);
    CHECK(!train_load(other, good, &e) && strstr(e.msg, "another shape"), "%s", e.msg);
    CHECK(train_warm_start(other, good, &e) == (int)net_n_tensor(train_net(other)) - 1,
          "all but the embedding fit");
    train_close(other);
    struct train_source foreign = source;
    foreign.hash = 78;
    other = train_open(&o, &foreign, &e);
    CHECK(!train_load(other, good, &e) && strstr(e.msg, "another tokenizer"), "%s", e.msg);
    train_close(other);
    train_close(t);
    unlink(good);
    unlink(bad);
}

TEST(options_that_contradict_are_refused)
{
    static const struct {
        const char *why;
        int64_t steps;
        double seconds, lr, decay;
        int threads, stage;
    } rows[] = {
        { "no length", 0, 0, 1, 0, 1, 0 },  { "two lengths", 1, 1, 1, 0, 1, 0 },
        { "no rate", 1, 0, 0, 0, 1, 0 },    { "decay beyond one", 1, 0, 1, 2, 1, 0 },
        { "no threads", 1, 0, 1, 0, 0, 0 }, { "stage four", 1, 0, 1, 0, 1, 4 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct train_opts o = options(NULL);
        struct err e = { 0 };
        o.steps = rows[i].steps, o.seconds = rows[i].seconds, o.lr = rows[i].lr,
        o.decay = rows[i].decay;
        o.threads = rows[i].threads, o.stage = rows[i].stage;
        struct train *t = train_open(&o, &source, &e);
        CHECK(!t && e.code == ERR_ARG, "%s: %s", rows[i].why, e.msg);
        train_close(t);
    }
}

/* ---- export ---- */

/* The engine on the exported file must compute what the trainer computes. */
TEST(the_exported_model_computes_the_same)
{
    struct train_opts o = options("f32");
    struct err e = { 0 };
    if (SANITIZED) o.steps = 3;
    struct train *t = run_to(&o, NULL);
    char path[256];
    snprintf(path, sizeof path, "%s", in_folder("model.gguf"));
    struct export_opts x = { .type = DT_F32, .name = "test", .dialect = "lfm2-json", .tools_max = 16 };
    CHECK(train_export(train_net(t), train_weights(t), &x, path, &e), "%s", e.msg);
    struct gguf *g = gguf_open(path, &e);
    int64_t most = 0;
    CHECK(g && gguf_int(g, "tenon.tools_max", 0, 1000, &most, &e) && most == 16, "tools_max: %lld, %s", (long long)most, e.msg);
    struct model *m = g ? model_open(g, ref_ops(), &e) : NULL;
    CHECK(m, "%s", e.msg);
    struct kv *kv = m ? kv_open(m, 128, 1, &e) : NULL;
    int32_t token[40], target[40];
    static const int32_t zero, length = 40;
    float weight[40], row_loss[40], *logits = mem_alloc(sizeof(float) * 40 * 128);
    for (int i = 0; i < 40; i++)
        token[i] = (i * 37 + 11) % 128, target[i] = (i * 5) % 128, weight[i] = 1;
    struct arena tmp;
    arena_init(&tmp, 0);
    struct pack p = { 40, 1, token, target, weight, &zero, &length, &zero };
    struct pack_loss loss;
    CHECK(net_step(train_net(t), train_weights(t), &p, o.ops, 1, 0, NULL, row_loss, NULL, &tmp,
                   &loss, &e),
          "%s", e.msg);
    struct batch b = { .n = 40, .seq = kv ? kv_seq_new(kv) : 0, .token = token, .phase = PHASE_PREFILL, .n_logits = 40 };
    CHECK(kv && model_forward(m, kv, &b, &tmp, logits, &e), "%s", e.msg);
    for (int i = 0; kv && i < 40; i++) {
        double sum = 0;
        for (int v = 0; v < 128; v++) sum += exp(logits[i * 128 + v]);
        double want = log(sum) - logits[i * 128 + target[i]];
        CHECK(fabs(want - row_loss[i]) < 1e-3, "row %d: the engine's loss is %g, the trainer's %g",
              i, want, (double)row_loss[i]);
    }
    mem_free(logits);
    kv_close(kv);
    model_close(m);
    gguf_close(g);
    arena_done(&tmp);
    train_close(t);
    unlink(path);
}

TEST(every_type_is_exported_or_refused_by_name)
{
    static const struct { enum dtype type; bool fits;
    } rows[] = {
        { DT_F32, true },  { DT_BF16, true },  { DT_F16, true },  { DT_Q8_0, true },
        { DT_Q4_0, true }, { DT_Q4_K, false }, { DT_I64, false },
    };
    struct train_opts o = options(NULL);
    struct err e = { 0 };
    struct train *t = train_open(&o, &source, &e);
    for (size_t i = 0; i < LEN(rows); i++) {
        const char *path = in_folder("typed.gguf");
        struct export_opts x = { .type = rows[i].type, .name = "test" };
        e = (struct err){ 0 };
        bool ok = train_export(train_net(t), train_weights(t), &x, path, &e);
        CHECK(ok == rows[i].fits && file_exists(path) == rows[i].fits, "%s: %s",
              dtype_info(rows[i].type)->name, e.msg);
        unlink(path);
    }
    train_close(t);
}

/* ---- curves ---- */

TEST(curves_are_drawn_from_a_log)
{
    static const char log[] =
        "step\ttokens\tloss\te1\n1\t1000\t4\t\n2\t2000\t3\t0.5\n3\t3000\t1\t\n";
    static const struct { const char *column, *text, *want; bool ok;
    } rows[] = {
        { "loss", log, "loss: 1 .. 4, last 1", true },
        { "e1", log, "e1: 0.5 .. 0.5, last 0.5", true },
        { "e9", log, "no column \"e9\"", false },
        { "e1", "step\ttokens\te1\n1\t5\t\n", "no values", false },
        { "loss", "", "empty", false },
        { "loss", "loss", "no header", false },
        { "loss", "step\tloss\n", "no column \"tokens\"", false },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        struct str out = { 0 }, svg = { 0 };
        const char *path = in_folder("plot.tsv");
        file_write(path, rows[i].text, strlen(rows[i].text), &e);
        bool ok = train_plot(path, &rows[i].column, 1, 40, 8, &out, &svg, &e);
        CHECK(ok == rows[i].ok && strstr(ok ? out.p : e.msg, rows[i].want), "row %zu: %s", i,
              ok ? out.p : e.msg);
        CHECK(!ok || (svg.p && strstr(svg.p, "polyline") && strstr(svg.p, "</svg>")),
              "row %zu: an SVG", i);
        str_done(&out);
        str_done(&svg);
        unlink(path);
    }
}

TEST_MAIN
