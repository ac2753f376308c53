/* cmd_train.c -- `tenon train`, `tenon train plot|loss|export`: options in, one run out.
 *
 * Joins what the rooms may not join themselves: the products of cpu/, the generator and the run of
 * train/, the tokenizer of text/. Ctrl-C asks the run to write a checkpoint and leave. */
#include <signal.h>

#include "cpu/cpu.h"
#include "front.h"
#include "train/train.h"
#include "tuner.h"

#define TRAINED_TOOLS 16 /* beyond which a model of this size chooses badly (gen/retrieve.c) */

struct train_args {
    const char *shape, *vocab, *packs, *lexicon, *dialogues, *dir, *resume, *warm, *from, *out, *type, *tmpl, *name, *isa;
    struct opt_list pack;
    int64_t steps, threads, seed, stage, tokens, eval_examples;
    double seconds, lr, decay, save_every, eval_every, log_every;
    bool json, go_on;
    struct tuning tune;
};

#define LR 2e-3 /* of a run from random weights */
#define TUNE_TOKENS 2048
#define FROM_CTX 2048 /* longest conversation the generator draws (stage 3) */

static const struct train_args train_defaults = {
    .shape = "small",
    .packs = "data/domains",
    .dir = "runs/train",
    .type = "Q8_0",
    .name = "tenon",
    .seed = 1,
    .eval_examples = 128,
    .decay = 0.25,
    .save_every = 300,
    .eval_every = 120,
    .log_every = 15,
    .tune = TUNING_DEFAULTS,
};

#define O(group, letter, name, arg, kind, member, help)                                            \
    {                                                                                              \
        group, letter, name, arg, kind, offsetof(struct train_args, member), help                  \
    }
static const struct opt train_opts[] = {
    O("Model", 0, "shape", "NAME", OPT_STR, shape, "nano, small, base or deep (default: small)"),
    O("Model", 0, "from", "FILE", OPT_STR, from,
      "begin with the weights of this GGUF, in its shape (default: random weights)"),
    O("Model", 0, "vocab", "FILE", OPT_STR, vocab,
      "GGUF file with the tokenizer (default: that of --from, else required)"),
    O("Data", 0, "packs", "DIR", OPT_STR, packs, "folder of domain packs (default: data/domains)"),
    O("Data", 0, "pack", "FILE", OPT_LIST, pack, "a further pack, may be repeated (default: none)"),
    O("Data", 0, "lexicon", "FILE", OPT_STR, lexicon,
      "words with their meanings, see tools/lexicon.py (default: none)"),
    O("Data", 0, "dialogues", "FILE", OPT_STR, dialogues,
      "recorded conversations, see tools/dialogues.py (default: none)"),
    O("Data", 0, "stage", "N", OPT_INT, stage,
      "1 to 3; 0: all in turn, by share of the run (default: 0)"),
    O("Data", 0, "seed", "N", OPT_INT, seed, "of weights and conversations (default: 1)"),
    O("Fine-tuning", 0, "lora", "FILE,…", OPT_STR, tune.lora,
      "learn an adapter from these conversations, JSONL (docs/fine-tuning.md; default: no)"),
    O("Fine-tuning", 0, "full", "FILE,…", OPT_STR, tune.full,
      "the same with all weights: a whole model comes out (default: no)"),
    O("Fine-tuning", 'm', "model", "FILE", OPT_STR, tune.model,
      "GGUF of an LFM2, Llama or Qwen3 to start from (default: the embedded model)"),
    O("Fine-tuning", 0, "tools", "FILE", OPT_STR, tune.tools,
      "tools of the conversations that list none (default: none)"),
    O("Fine-tuning", 0, "epochs", "X", OPT_F64, tune.epochs, "how often all are seen (default: 3)"),
    O("Fine-tuning", 0, "rank", "N", OPT_INT, tune.rank, "of the adapter (default: 16)"),
    O("Fine-tuning", 0, "alpha", "X", OPT_F64, tune.alpha, "its weight, times 1 / rank (default: 32)"),
    O("Fine-tuning", 0, "targets", "LIST", OPT_STR, tune.targets,
      "what it changes: attn, conv, ffn, with commas between (default: all)"),
    O("Fine-tuning", 0, "hold-out", "SHARE", OPT_F64, tune.held,
      "of the conversations: only to measure (default: 0.1)"),
    O("Fine-tuning", 0, "patience", "N", OPT_INT, tune.patience,
      "looks at the held-out ones without progress that end it, 0: never (default: 4)"),
    O("Fine-tuning", 0, "replay", "SHARE", OPT_F64, tune.replay,
      "of the generator's conversations, against forgetting (default: 0.25, with -m 0)"),
    O("Fine-tuning", 0, "ctx", "N", OPT_INT, tune.n_ctx,
      "tokens of the longest conversation; longer ones are left out (default: 2048)"),
    O("Length", 0, "steps", "N", OPT_INT, steps,
      "steps in all (default: none; give this or --time-budget)"),
    O("Length", 0, "time-budget", "SECONDS", OPT_F64, seconds,
      "length of the run, decay included (default: none)"),
    O("Optimizer", 0, "lr", "X", OPT_F64, lr, "peak learning rate (default: 0.002; of --lora 0.001, of --full 0.0003, of large models less)"),
    O("Optimizer", 0, "decay", "X", OPT_F64, decay, "share of the run that decays (default: 0.25)"),
    O("Optimizer", 0, "tokens", "N", OPT_INT, tokens,
      "tokens of a step (default: 4096, then 8192; fine-tuning 2048)"),
    O("Run", 't', "threads", "N", OPT_INT, threads, "workers (default: one per core)"),
    O("Run", 0, "isa", "NAME", OPT_STR, isa,
      "bf16, f32, avx512, avx2 or plain (default: the fastest here)"),
    O("Run", 'o', "run", "DIR", OPT_STR, dir,
      "folder for log.tsv and checkpoints (default: runs/train)"),
    O("Run", 0, "continue", NULL, OPT_FLAG, go_on,
      "go on from the newest checkpoint of the folder (default: off)"),
    O("Run", 0, "resume", "FILE", OPT_STR, resume, "go on from this checkpoint (default: none)"),
    O("Run", 0, "warm-start", "FILE", OPT_STR, warm,
      "take matching weights of this checkpoint (default: none)"),
    O("Run", 0, "save-every", "SECONDS", OPT_F64, save_every, "between checkpoints (default: 300)"),
    O("Run", 0, "eval-every", "SECONDS", OPT_F64, eval_every,
      "between evaluations, 0: none (default: 120)"),
    O("Run", 0, "log-every", "SECONDS", OPT_F64, log_every,
      "between lines of the log (default: 15)"),
    O("Run", 0, "eval-examples", "N", OPT_INT, eval_examples, "per set (default: 128)"),
    O("Result", 0, "out", "FILE", OPT_STR, out, "write the model as GGUF at the end (default: no)"),
    O("Result", 0, "type", "TYPE", OPT_STR, type, "of its matrices (default: Q8_0)"),
    O("Result", 0, "template", "FILE", OPT_STR, tmpl,
      "chat template to put in (default: the vocabulary file's)"),
    O("Result", 0, "name", "TEXT", OPT_STR, name, "general.name of the model (default: tenon)"),
    O("Result", 0, "json", NULL, OPT_FLAG, json, "print a summary as JSON (default: off)"),
};

static volatile int stop_asked;

static void on_signal(int sig)
{
    (void)sig;
    stop_asked = 1;
}

/* ---- what a run stands on: vocabulary file, tokenizer, generator, and the model it begins with ---- */

struct ground {
    struct gguf *vocab, *from;
    struct tokenizer *tok;
    struct datagen *gen;
    struct pool *pool;
    const struct ops *ops;
    struct model *model;
    struct train_base base;
};

static void ground_done(struct ground *g)
{
    datagen_close(g->gen);
    tok_close(g->tok);
    model_close(g->model);
    cpu_ops_close(g->ops);
    pool_close(g->pool);
    gguf_close(g->from);
    gguf_close(g->vocab);
}

static bool draw(void *ctx, enum data_set set, int stage, uint64_t index, int max_tokens,
                 struct arena *a, struct example *out, struct err *e)
{
    const struct ground *g = ctx;
    return datagen_example(g->gen, g->tok, set, stage, index, max_tokens, a, out, e);
}

static bool ground_open(struct ground *g, const struct train_args *a, struct err *e)
{
    struct datagen_opts o = { .packs = a->packs,
                              .extra_pack = a->pack.item,
                              .n_extra = a->pack.n,
                              .lexicon = a->lexicon,
                              .dialogues = a->dialogues,
                              .stage = a->stage ? (int)a->stage : 1,
                              .seed = (uint64_t)a->seed };
    const char *vocab = a->vocab ? a->vocab : a->from;
    if (!vocab)
        return err_set(e, ERR_USAGE,
                       "--vocab is missing: a GGUF file with the tokenizer "
                       "(tenon data --learn-vocab)");
    return (g->vocab = gguf_open(vocab, e)) && (g->tok = tok_open(g->vocab, e)) &&
           (g->gen = datagen_open(&o, e));
}

/* What the run begins with: a shape, and with --from weights. */
static bool ground_shape(struct ground *g, const struct train_args *a, struct train_opts *o, struct err *e)
{
    if (!a->from) return train_shape(&o->shape, a->shape, tok_n_vocab(g->tok), e);
    if (!(g->from = gguf_open(a->from, e)) || !(g->pool = pool_open(1, e)) ||
        !(g->ops = cpu_ops_open(g->pool, NULL, e)) || !(g->model = model_open(g->from, g->ops, e)))
        return false;
    int n = model_config(g->model)->n_vocab;
    if (n != tok_n_vocab(g->tok))
        return err_set(e, ERR_ARG, "--from %s: a model of %d tokens, but the tokenizer of %s has %d", a->from, n,
                       gguf_name(g->vocab), tok_n_vocab(g->tok));
    g->base = (struct train_base){ g->model, g->from, FROM_CTX };
    o->base = &g->base;
    return true;
}

/* Ids mean the same only if every token of the table is the same. */
static uint64_t vocab_hash(const struct tokenizer *t)
{
    uint64_t h = (uint64_t)tok_n_vocab(t);
    for (int i = 0; i < tok_n_vocab(t); i++) {
        struct bytes b = tok_text(t, i);
        h = hash64(b.p, b.len, h);
    }
    return h;
}

/* ---- the run ---- */

static bool fill_opts(struct train_opts *o, const struct train_args *a, struct err *e)
{
    if (a->isa && !cpu_grad_ops(a->isa))
        return err_set(e, ERR_UNSUPPORTED, "--isa %s: not on this machine", a->isa);
    *o = (struct train_opts){ .ops = cpu_grad_ops(a->isa),
                              .threads = a->threads ? (int)a->threads : cpu_count(),
                              .seed = (uint64_t)a->seed,
                              .steps = a->steps,
                              .seconds = a->seconds,
                              .lr = a->lr > 0 ? a->lr : LR,
                              .decay = a->decay,
                              .stage = (int)a->stage,
                              .tokens = (int)a->tokens,
                              .dir = a->dir,
                              .save_every = a->save_every,
                              .eval_every = a->eval_every,
                              .log_every = a->log_every,
                              .eval_examples = (int)a->eval_examples,
                              .status = true,
                              .stop = &stop_asked };
    return true;
}

static bool take_start(struct train *t, const struct train_args *a, struct err *e)
{
    if (a->warm) {
        int n = train_warm_start(t, a->warm, e);
        if (n < 0) return false;
        fprintf(stderr, "took %d of %zu tensors from %s\n", n, net_n_tensor(train_net(t)), a->warm);
        return true;
    }
    char *newest = a->go_on ? train_newest(a->dir) : NULL;
    const char *from = a->resume ? a->resume : newest;
    bool ok = !from || train_load(t, from, e);
    mem_free(newest);
    return ok;
}

static bool read_template(const char *path, struct str *out, struct err *e)
{
    return !path || file_read(path, out, e);
}

static bool find_type(const char *name, enum dtype *out, struct err *e)
{
    *out = dtype_find(name);
    if (*out != DT_NONE) return true;
    return err_set(e, ERR_ARG,
                   "type \"%s\" is not known; F32, F16, BF16, Q8_0, Q4_0, Q6_K and Q4_K are", name);
}

static bool export_end(const struct train *t, const struct train_args *a, const struct ground *g,
                       struct err *e)
{
    struct str text = { 0 };
    struct export_opts o = { .vocab = g->vocab, .name = a->name, .dialect = "lfm2-json", .tools_max = TRAINED_TOOLS };
    bool ok = find_type(a->type, &o.type, e) && read_template(a->tmpl, &text, e);
    o.chat_template = text.p;
    ok = ok && train_export(train_net(t), train_weights(t), &o, a->out, e);
    str_done(&text);
    return ok;
}

static void set_share(struct json *o, const char *key, double v)
{
    json_set(o, key, v < 0 ? json_new_null() : json_new_f64(v));
}

static void print_summary(const struct train *t, bool as_json)
{
    struct train_summary y = train_summary(t);
    if (!as_json) {
        printf("%lld steps, %.1f million tokens, %lld conversations (%lld dropped), %.0f s, loss "
               "%.4f\n",
               (long long)y.step, (double)y.tokens / 1e6, (long long)y.examples,
               (long long)y.dropped, y.seconds, y.loss);
        return;
    }
    struct json *o = json_new_object();
    json_set(o, "steps", json_new_int(y.step));
    json_set(o, "tokens", json_new_int(y.tokens));
    json_set(o, "examples", json_new_int(y.examples));
    json_set(o, "dropped", json_new_int(y.dropped));
    json_set(o, "seconds", json_new_f64(y.seconds));
    json_set(o, "tokens_per_s", json_new_f64(y.tokens_per_s));
    json_set(o, "loss", json_new_f64(y.loss));
    set_share(o, "e1", y.e1);
    set_share(o, "e2", y.e2);
    set_share(o, "best_e2", y.best);
    json_set(o, "stopped", json_new_bool(y.stopped));
    struct str s = { 0 };
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

static int run_tune(const struct train_args *a)
{
    struct tuning y = a->tune;
    struct train_opts o;
    struct err e = { 0 };
    y.packs = a->packs;
    y.out = a->out;
    y.json = a->json;
    bool ok = fill_opts(&o, a, &e);
    if (ok) {
        o.lr = a->lr;
        o.tokens = a->tokens ? (int)a->tokens : TUNE_TOKENS;
        o.dir = NULL;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        ok = tune(&y, &o, &e);
    }
    return ok ? 0 : front_fail("train", &e);
}

static int run_train(const void *opts, int n_arg, char **arg)
{
    (void)n_arg, (void)arg;
    const struct train_args *a = opts;
    struct ground g = { 0 };
    struct train_opts o;
    struct train_source src = { &g, draw, 0 };
    struct train *t = NULL;
    struct err e = { 0 };
    struct ranks ranks = { 0, 1 };
    if (!ranks_open(&ranks, &e)) return front_fail("train", &e);
    bool tunes = a->tune.lora || a->tune.full;
    if (tunes && ranks.n == 1) return run_tune(a);
    bool ok = (!tunes || err_set(&e, ERR_USAGE, "--lora and --full run in one process, without mpirun")) && ground_open(&g, a, &e) && fill_opts(&o, a, &e) && ground_shape(&g, a, &o, &e);
    if (ok) o.ranks = ranks;
    if (ok && ranks.rank) o.dir = NULL, o.status = false, o.eval_every = 0;    /* rank 0 writes and speaks */
    if (ok) {
        src.hash = vocab_hash(g.tok);
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        ok = (t = train_open(&o, &src, &e)) && take_start(t, a, &e) && train_run(t, &e);
    }
    if (ok && !ranks.rank) print_summary(t, a->json);
    ok = ok && (!a->out || ranks.rank || export_end(t, a, &g, &e));
    train_close(t);
    ground_done(&g);
    int status = ok ? 0 : front_fail("train", &e);                    /* said first: closing may end the process */
    ranks_close(&ranks, ok);
    return status;
}

const struct command cmd_train = {
    .verb = "train",
    .args = "",
    .sentence = "Train a model from the conversation generator, or fine-tune one on conversations of your own.",
    .example = "tenon train --shape nano --vocab models/vocab.gguf --time-budget 600 --out my.gguf",
    .opt = train_opts,
    .n_opt = LEN(train_opts),
    .defaults = &train_defaults,
    .opts_bytes = sizeof train_defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run_train,
};

/* ---- loss ---- */

struct loss_args { int64_t stage, tokens; const char *isa; };
static const struct loss_args loss_defaults = { .stage = 2, .tokens = 4096, .isa = "f32" };
static const struct opt loss_opts[] = {
    { "Batch", 0, "stage", "N", OPT_INT, offsetof(struct loss_args, stage),
      "whose loss weights (default: 2)" },
    { "Batch", 0, "tokens", "N", OPT_INT, offsetof(struct loss_args, tokens),
      "at most so many, whole conversations from the shard's beginning (default: 4096)" },
    { "Batch", 0, "isa", "NAME", OPT_STR, offsetof(struct loss_args, isa),
      "bf16, f32, avx512, avx2 or plain (default: f32)" },
};

static int run_loss(const void *opts, int n_arg, char **arg)
{
    (void)n_arg;
    const struct loss_args *a = opts;
    struct err e = { 0 };
    struct shard_loss y = { 0 };
    bool ok = (a->stage >= 1 && a->stage <= 3 && a->tokens > 0 && a->tokens <= 1 << 16) ||
              err_set(&e, ERR_USAGE, "--stage is 1 to 3, --tokens 1 to 65536");
    ok = ok && (cpu_grad_ops(a->isa) ||
                err_set(&e, ERR_UNSUPPORTED, "--isa %s: not on this machine", a->isa));
    ok = ok && train_shard_loss(arg[0], arg[1], (int)a->stage, (int)a->tokens, cpu_grad_ops(a->isa),
                                &y, &e);
    if (ok)
        printf("{\"loss\":%.7f,\"weight\":%.4f,\"grad_norm\":%.7f,\"rows\":%d,"
               "\"conversations\":%d}\n",
               y.loss, y.weight, y.grad_norm, y.rows, y.conversations);
    return ok ? 0 : front_fail("train loss", &e);
}

const struct command cmd_train_loss = {
    .verb = "train loss",
    .args = "CHECKPOINT SHARD",
    .sentence = "Print a checkpoint's loss on the first conversations of a shard.",
    .example = "tenon train loss runs/train/best.ckpt shard.bin --stage 2",
    .opt = loss_opts,
    .n_opt = LEN(loss_opts),
    .defaults = &loss_defaults,
    .opts_bytes = sizeof loss_defaults,
    .min_arg = 2,
    .max_arg = 2,
    .run = run_loss,
};

/* ---- plot ---- */

struct plot_args { struct opt_list column; int64_t width, height; const char *svg; };
static const struct plot_args plot_defaults = { .width = 72, .height = 14 };
static const struct opt plot_opts[] = {
    { "Plot", 'c', "column", "NAME", OPT_LIST, offsetof(struct plot_args, column),
      "column of the log, may be repeated (default: loss, e1, e2)" },
    { "Plot", 0, "width", "N", OPT_INT, offsetof(struct plot_args, width),
      "characters (default: 72)" },
    { "Plot", 0, "height", "N", OPT_INT, offsetof(struct plot_args, height),
      "lines (default: 14)" },
    { "Plot", 0, "svg", "FILE", OPT_STR, offsetof(struct plot_args, svg),
      "draw an SVG as well (default: none)" },
};

static int run_plot(const void *opts, int n_arg, char **arg)
{
    (void)n_arg;
    const struct plot_args *a = opts;
    static const char *usual[] = { "loss", "e1", "e2" };
    const char *const *column = a->column.n ? a->column.item : usual;
    int n = a->column.n ? a->column.n : (int)LEN(usual);
    struct str text = { 0 }, svg = { 0 };
    struct err e = { 0 };
    bool ok = (a->width >= 10 && a->width <= 500 && a->height >= 3 && a->height <= 200) ||
              err_set(&e, ERR_USAGE, "--width is 10 to 500, --height 3 to 200");
    ok = ok && train_plot(arg[0], column, n, (int)a->width, (int)a->height, &text,
                          a->svg ? &svg : NULL, &e);
    if (ok) fwrite(text.p, 1, text.len, stdout);
    ok = ok && (!a->svg || file_write(a->svg, svg.p, svg.len, &e));
    str_done(&text);
    str_done(&svg);
    return ok ? 0 : front_fail("train plot", &e);
}

const struct command cmd_train_plot = {
    .verb = "train plot",
    .args = "LOG.TSV",
    .sentence = "Draw the curves of a run.",
    .example = "tenon train plot runs/train/log.tsv -c loss -c e2_single",
    .opt = plot_opts,
    .n_opt = LEN(plot_opts),
    .defaults = &plot_defaults,
    .opts_bytes = sizeof plot_defaults,
    .min_arg = 1,
    .max_arg = 1,
    .run = run_plot,
};

/* ---- export ---- */

struct export_args { const char *vocab, *type, *tmpl, *name; int64_t ctx; };
static const struct export_args export_defaults = { .type = "Q8_0", .name = "tenon" };
static const struct opt export_opt[] = {
    { "Export", 0, "vocab", "FILE", OPT_STR, offsetof(struct export_args, vocab),
      "GGUF file with the tokenizer (default: required)" },
    { "Export", 0, "type", "TYPE", OPT_STR, offsetof(struct export_args, type),
      "of the matrices (default: Q8_0)" },
    { "Export", 0, "template", "FILE", OPT_STR, offsetof(struct export_args, tmpl),
      "chat template to put in (default: the vocabulary file's)" },
    { "Export", 0, "name", "TEXT", OPT_STR, offsetof(struct export_args, name),
      "general.name of the model (default: tenon)" },
    { "Export", 0, "ctx", "N", OPT_INT, offsetof(struct export_args, ctx),
      "tokens of context that the file states, where measuring says that more than were trained work (default: the trained ones)" },
};

static int run_export(const void *opts, int n_arg, char **arg)
{
    (void)n_arg;
    const struct export_args *a = opts;
    struct err e = { 0 };
    struct str text = { 0 };
    struct gguf *vocab = NULL;
    struct export_opts o = { .name = a->name, .dialect = "lfm2-json", .tools_max = TRAINED_TOOLS, .n_ctx = (int)a->ctx };
    bool ok = (a->ctx >= 0 && a->ctx <= 1 << 20) || err_set(&e, ERR_USAGE, "--ctx: 1 to 1048576 is accepted, 0 is the trained context");
    ok = ok && (a->vocab ||
              err_set(&e, ERR_USAGE,
                      "--vocab is missing: the GGUF file with the tokenizer that the run used"));
    ok = ok && (vocab = gguf_open(a->vocab, &e)) && find_type(a->type, &o.type, &e) &&
         read_template(a->tmpl, &text, &e);
    o.vocab = vocab;
    o.chat_template = text.p;
    ok = ok && train_export_file(arg[0], &o, arg[1], &e);
    str_done(&text);
    gguf_close(vocab);
    return ok ? 0 : front_fail("train export", &e);
}

const struct command cmd_train_export = {
    .verb = "train export",
    .args = "CHECKPOINT OUT.gguf",
    .sentence = "Write the model of a checkpoint as GGUF.",
    .example =
        "tenon train export runs/train/best.ckpt my.gguf --vocab models/vocab.gguf --type F32",
    .opt = export_opt,
    .n_opt = LEN(export_opt),
    .defaults = &export_defaults,
    .opts_bytes = sizeof export_defaults,
    .min_arg = 2,
    .max_arg = 2,
    .run = run_export,
};
