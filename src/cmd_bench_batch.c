/* cmd_bench_batch.c -- `tenon bench batch`: many requests at once on one engine. */
#include "cpu/cpu.h"
#include "eval/eval.h"
#include "front.h"
#include "speaker.h"

struct batch_cmd { struct model_opts m; struct crowd_opts o; bool passes, prefix, gap, json; };

static const struct opt opts[] = {
    MODEL_OPTS(struct batch_cmd),
    { "Measurement", 'n', "gen", "N", OPT_INT, offsetof(struct batch_cmd, o.gen), "tokens of each stream (default: 16)" },
    { "Measurement", 'r', "runs", "N", OPT_INT, offsetof(struct batch_cmd, o.runs), "repetitions, 1, 8 and 32 streams in turns (default: 5)" },
    { "Measurement", 0, "passes", NULL, OPT_FLAG, offsetof(struct batch_cmd, passes), "only decode passes, for which a model needs no tokenizer (default: all three)" },
    { "Measurement", 0, "prefix", NULL, OPT_FLAG, offsetof(struct batch_cmd, prefix), "only a second question to the same tools (default: all three)" },
    { "Measurement", 0, "gap", NULL, OPT_FLAG, offsetof(struct batch_cmd, gap), "only streams beside a prefill (default: all three)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct batch_cmd, json), "a JSON object (default: a table)" },
};

static const int streams[] = { 1, 8, CROWD_STREAMS };

static void print(const struct crowd_result *r)
{
    for (size_t i = 0; i < LEN(streams) && r->speed[0].runs; i++)
        printf("%2d streams %10.1f tokens/s   (%.1f to %.1f in %d runs)   x %.2f\n", streams[i], r->speed[i].median, r->speed[i].low, r->speed[i].high,
               r->speed[i].runs, r->speed[i].median / r->speed[0].median);
    if (r->prefix_tokens)
        printf("8 tools, %d prompt tokens: %d computed cold, %d with another question\n", r->prefix_tokens, r->prefix_cold, r->prefix_computed);
    for (size_t i = 0; i < LEN(r->gap) && r->gap[i].streams; i++)
        printf("%2d streams, gap between tokens: median %.1f ms; while 1600 prompt tokens are read (%.1f s): median %.1f ms, p99 %.1f ms, x %.2f\n",
               r->gap[i].streams, r->gap[i].alone_ms, r->gap[i].prompt_s, r->gap[i].median_ms, r->gap[i].p99_ms, r->gap[i].p99_ms / r->gap[i].alone_ms);
}

static struct json *speed_json(struct bench_speed s)
{
    struct json *o = json_new_object();
    json_set(o, "tokens_per_s", json_new_f64(s.median));
    json_set(o, "low", json_new_f64(s.low));
    json_set(o, "high", json_new_f64(s.high));
    return o;
}

static struct json *gap_json(const struct crowd_gap *g)
{
    struct json *o = json_new_object();
    json_set(o, "streams", json_new_int(g->streams));
    json_set(o, "alone_median_ms", json_new_f64(g->alone_ms));
    json_set(o, "prefill_median_ms", json_new_f64(g->median_ms));
    json_set(o, "prefill_p99_ms", json_new_f64(g->p99_ms));
    json_set(o, "prefill_s", json_new_f64(g->prompt_s));
    return o;
}

static void print_json(const struct crowd_result *r)
{
    struct json *o = json_new_object(), *prefix = json_new_object(), *gaps = json_new_array();
    struct str s = { 0 };
    char name[16];
    for (size_t i = 0; i < LEN(streams) && r->speed[0].runs; i++) {
        snprintf(name, sizeof name, "streams_%d", streams[i]);
        json_set(o, name, speed_json(r->speed[i]));
    }
    json_set(prefix, "prompt_tokens", json_new_int(r->prefix_tokens));
    json_set(prefix, "cold", json_new_int(r->prefix_cold));
    json_set(prefix, "warm", json_new_int(r->prefix_computed));
    for (size_t i = 0; i < LEN(r->gap) && r->gap[i].streams; i++) json_push(gaps, gap_json(&r->gap[i]));
    json_set(o, "prefix", prefix);
    json_set(o, "gap", gaps);
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

/* The kernels without the engine: any model file will do. */
static bool run_passes(const struct batch_cmd *o, struct crowd_result *r, struct err *e)
{
    struct gguf *g = front_gguf(o->m.model, e);
    struct pool *pool = g ? pool_open((int)o->m.threads, e) : NULL;
    const struct ops *ops = pool ? cpu_ops_open(pool, NULL, e) : NULL;
    struct model *m = ops ? model_open(g, ops, e) : NULL;
    bool ok = m && bench_crowd(m, NULL, &o->o, r, e);
    model_close(m);
    cpu_ops_close(ops);
    pool_close(pool);
    gguf_close(g);
    return ok;
}

static bool run_all(const struct batch_cmd *o, struct crowd_result *r, struct err *e)
{
    struct speaker s;
    struct speaker_opts so = SPEAKER_OPTS(&o->m);
    if (!speaker_open(&s, &so, e)) return false;
    bool ok = bench_crowd(engine_model(s.engine), s.engine, &o->o, r, e);
    speaker_close(&s);
    return ok;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct batch_cmd *o = v;
    struct err e = { 0 };
    struct crowd_result r;
    struct batch_cmd with = *o;
    with.o.parts = (o->passes ? CROWD_PASSES : 0u) | (o->prefix ? CROWD_PREFIX : 0u) | (o->gap ? CROWD_GAP : 0u);
    if (!(with.o.parts == CROWD_PASSES ? run_passes : run_all)(&with, &r, &e)) return front_fail("bench batch", &e);
    (o->json ? print_json : print)(&r);
    return 0;
}

static const struct batch_cmd defaults = { .o = { 16, 5 } };
const struct command cmd_bench_batch = {
    .verb = "bench batch",
    .args = "",
    .sentence = "Many requests at once: decode of 1, 8, 32 streams, warm prefixes, gaps beside a prefill.",
    .example = "tenon bench batch -m MODEL.gguf -n 16 -r 5",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
