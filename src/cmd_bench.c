/* cmd_bench.c -- `tenon bench`: tokens a second of a model, and what the machine itself gives.
 *
 * `tenon bench bandwidth` tells the bounds that the first numbers can be held against: how fast
 * memory is read (decode) and how many operations the product instructions do (prefill). */
#include "cpu/cpu.h"
#include "eval/eval.h"
#include "front.h"

struct bench_cmd { struct model_opts m; struct bench_opts b; const char *kernels; bool json; };

static const struct opt opts[] = {
    MODEL_OPTS(struct bench_cmd),
    { "Measurement", 'p', "prompt", "N", OPT_INT, offsetof(struct bench_cmd, b.prompt),
      "prompt tokens (default: 512)" },
    { "Measurement", 'n', "gen", "N", OPT_INT, offsetof(struct bench_cmd, b.gen),
      "generated tokens (default: 64)" },
    { "Measurement", 'r', "runs", "N", OPT_INT, offsetof(struct bench_cmd, b.runs),
      "repetitions (default: 5)" },
    { "Measurement", 0, "kernels", "NAME", OPT_STR, offsetof(struct bench_cmd, kernels),
      "avx512, avx2 or plain; i8mm, dotprod, neon or plain on ARM (default: the best this processor runs)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct bench_cmd, json),
      "a JSON object (default: a table)" },
};

static struct json *speed_json(struct bench_speed s)
{
    if (!s.runs) return json_new_null();
    struct json *o = json_new_object();
    json_set(o, "tokens_per_s", json_new_f64(s.median));
    json_set(o, "low", json_new_f64(s.low));
    json_set(o, "high", json_new_f64(s.high));
    json_set(o, "runs", json_new_int(s.runs));
    return o;
}

static void print_json(struct json *o)
{
    struct str s = { 0 };
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

static void print_speed(const char *what, int64_t n, struct bench_speed s)
{
    if (s.runs)
        printf("%-8s %6lld tokens %10.1f tokens/s   (%.1f to %.1f in %d runs)\n", what,
               (long long)n, s.median, s.low, s.high, s.runs);
}

/* 1e9 operations of one prompt token: every weight but those of the token matrix, which only the last
 * row meets. */
static double prefill_gop(const struct model *m)
{
    const struct model_config *c = model_config(m);
    return 2e-9 * ((double)model_n_param(m) - (double)c->n_vocab * c->n_embd);
}

static void report(const struct bench_cmd *o, const struct model *m, const struct bench_result *r,
                   int n_thread)
{
    double gb = (double)model_step_bytes(m) / 1e9;
    if (o->json) {
        struct json *j = json_new_object();
        json_set(j, "prefill", speed_json(r->prefill));
        json_set(j, "decode", speed_json(r->decode));
        json_set(j, "parameters", json_new_int((int64_t)model_n_param(m)));
        json_set(j, "bytes_per_token", json_new_int((int64_t)model_step_bytes(m)));
        json_set(j, "threads", json_new_int(n_thread));
        json_set(j, "cpu", json_new_str(cpu_features()));
        print_json(j);
        return;
    }
    printf("%.1f M parameters, %.3f GB a token, %d threads, %s\n", (double)model_n_param(m) / 1e6,
           gb, n_thread, cpu_features());
    print_speed("prefill", o->b.prompt, r->prefill);
    print_speed("decode", o->b.gen, r->decode);
    if (r->decode.runs) printf("decode reads %.1f GB/s of weights\n", gb * r->decode.median);
    if (r->prefill.runs) printf("prefill does %.0f GOP/s\n", prefill_gop(m) * r->prefill.median);
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct bench_cmd *o = v;
    struct err e = { 0 };
    struct gguf *g = front_gguf(o->m.model, &e);
    struct pool *pool = g ? pool_open((int)o->m.threads, &e) : NULL;
    const struct ops *ops = pool ? cpu_ops_open(pool, o->kernels, &e) : NULL;
    struct model *m = ops ? model_open(g, ops, &e) : NULL;
    struct bench_result r;
    bool ok = m && bench_model(m, &o->b, &r, &e);
    if (ok) report(o, m, &r, pool_size(pool));
    model_close(m);
    cpu_ops_close(ops);
    pool_close(pool);
    gguf_close(g);
    return ok ? 0 : front_fail("bench", &e);
}

static const struct bench_cmd defaults = { .b = { 512, 64, 5 } };
const struct command cmd_bench = {
    .verb = "bench",
    .args = "",
    .sentence = "Prefill and decode speed of a model.",
    .example = "tenon bench -p 512 -n 64 -t 2",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};

/* ---- bench bandwidth ------------------------------------------------------------------------- */

struct bandwidth_cmd { const char *file; int64_t threads; bool json; };

static const struct opt bandwidth_opts[] = {
    { "Measurement", 'm', "file", "FILE", OPT_STR, offsetof(struct bandwidth_cmd, file),
      "read this file, mapped, as a model is (default: memory of its own)" },
    { "Measurement", 't', "threads", "N", OPT_INT, offsetof(struct bandwidth_cmd, threads),
      "threads (default: one per core)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct bandwidth_cmd, json),
      "a JSON object (default: a table)" },
};

static void report_machine(const struct cpu_speed *s, int n_thread, bool json)
{
    if (json) {
        struct json *j = json_new_object(), *peak = json_new_object();
        json_set(j, "read_gb_per_s", json_new_f64(s->read_gbs));
        for (int i = 0; i < s->n_peak; i++)
            json_set(peak, s->peak[i].what, json_new_f64(s->peak[i].gops));
        json_set(j, "peak_gop_per_s", peak);
        json_set(j, "threads", json_new_int(n_thread));
        json_set(j, "cpu", json_new_str(cpu_features()));
        print_json(j);
        return;
    }
    printf("%d threads, %s\n%-8s %10.1f GB/s\n", n_thread, cpu_features(), "read", s->read_gbs);
    for (int i = 0; i < s->n_peak; i++)
        printf("%-8s %10.0f GOP/s\n", s->peak[i].what, s->peak[i].gops);
}

static int run_bandwidth(const void *v, int n_arg, char **arg)
{
    const struct bandwidth_cmd *o = v;
    struct err e = { 0 };
    struct cpu_speed s;
    struct map file = { 0 };
    bool ok = !o->file || map_open(&file, o->file, 0, &e);
    struct pool *pool = ok ? pool_open((int)o->threads, &e) : NULL;
    const struct ops *ops = pool ? cpu_ops_open(pool, NULL, &e) : NULL;
    ok = ops && cpu_measure(ops, o->file ? file.data : NULL, file.size, &s, &e);
    if (ok) report_machine(&s, pool_size(pool), o->json);
    cpu_ops_close(ops);
    pool_close(pool);
    map_close(&file);
    return ok ? 0 : front_fail("bench bandwidth", &e);
}

static const struct bandwidth_cmd bandwidth_defaults;
const struct command cmd_bench_bandwidth = {
    .verb = "bench bandwidth",
    .args = "",
    .sentence = "What the machine gives: memory read and peak of the product instructions.",
    .example = "tenon bench bandwidth -t 2",
    .opt = bandwidth_opts,
    .n_opt = LEN(bandwidth_opts),
    .defaults = &bandwidth_defaults,
    .opts_bytes = sizeof bandwidth_defaults,
    .run = run_bandwidth,
};
