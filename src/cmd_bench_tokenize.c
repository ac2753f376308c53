/* cmd_bench_tokenize.c -- `tenon bench tokenize`: how fast text becomes tokens, on one core.
 *
 * Every line of the files is encoded by itself, as a message would be; the passes are over all of them,
 * the first one warms up and does not count. */
#include <stdlib.h>
#include <time.h>

#include "front.h"
#include "text/text.h"

#define PASSES_MOST 1000

struct tokenize_opts { struct model_opts m; int64_t runs; bool json; };

/* One pass: tokens made, or -1. */
static int64_t encode_all(const struct tokenizer *t, const struct str *text, struct ids *ids, struct err *e)
{
    int64_t n = 0;
    for (const char *p = text->p, *end = p + text->len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        ids->n = 0;
        if (!tok_encode(t, p, (size_t)(stop - p), 0, ids, e)) return -1;
        n += (int64_t)ids->n;
        p = stop + 1;
    }
    return n;
}

/* Of this thread: it is the only one, and others on the machine do not count. */
static double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const struct tokenize_opts *o, double bytes, int64_t n, const double *s)
{
    int runs = (int)o->runs;
    double mid = bytes / 1e6 / s[runs / 2], low = bytes / 1e6 / s[runs - 1], high = bytes / 1e6 / s[0];
    if (!o->json) {
        printf("%.2f MB, %lld tokens: %.1f MB/s (%.1f to %.1f in %d runs), %.2f bytes a token\n", bytes / 1e6, (long long)n, mid, low, high, runs,
               n ? bytes / (double)n : 0);
        return;
    }
    struct json *j = json_new_object();
    struct str out = { 0 };
    json_set(j, "bytes", json_new_int((int64_t)bytes));
    json_set(j, "tokens", json_new_int(n));
    json_set(j, "mb_per_s", json_new_f64(mid));
    json_set(j, "low", json_new_f64(low));
    json_set(j, "high", json_new_f64(high));
    json_set(j, "runs", json_new_int(runs));
    json_write(&out, j, JSON_COMPACT);
    puts(out.p);
    str_done(&out);
    json_free(j);
}

static bool measure(const struct tokenize_opts *o, const struct tokenizer *t, const struct str *text, struct err *e)
{
    double *s = mem_zero((size_t)o->runs * sizeof *s);
    struct ids ids = { 0 };
    int64_t n = encode_all(t, text, &ids, e);
    for (int64_t i = 0; n >= 0 && i < o->runs; i++) {
        double t0 = cpu_seconds();
        n = encode_all(t, text, &ids, e);
        s[i] = cpu_seconds() - t0;
    }
    if (n >= 0) {
        qsort(s, (size_t)o->runs, sizeof *s, by_value);
        print_result(o, (double)text->len, n, s);
    }
    mem_free(ids.id);
    mem_free(s);
    return n >= 0;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct tokenize_opts *o = v;
    struct err e = { 0 };
    struct str text = { 0 };
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    bool ok = (o->runs > 0 && o->runs <= PASSES_MOST) || err_set(&e, ERR_USAGE, "--runs: 1 to %d are accepted", PASSES_MOST);
    for (int i = 0; ok && i < n_arg; i++) ok = file_read(arg[i], &text, &e);
    if (ok && !text.len) ok = err_set(&e, ERR_ARG, "there is no text in it");
    ok = ok && (g = front_gguf(o->m.model, &e)) && (t = tok_open(g, &e)) && measure(o, t, &text, &e);
    tok_close(t);
    gguf_close(g);
    str_done(&text);
    return ok ? 0 : front_fail("bench tokenize", &e);
}

static const struct opt opts[] = {
    { "Model", 'm', "model", "FILE", OPT_STR, offsetof(struct tokenize_opts, m.model), "GGUF file, vocabulary-only is enough (default: the embedded model)" },
    { "Measurement", 'r', "runs", "N", OPT_INT, offsetof(struct tokenize_opts, runs), "passes that count, after one that does not (default: 5)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct tokenize_opts, json), "a JSON object (default: a line)" },
};

static const struct tokenize_opts defaults = { .runs = 5 };
const struct command cmd_bench_tokenize = {
    .verb = "bench tokenize", .args = "FILE...",
    .sentence = "How fast the lines of a text become tokens, on one core.",
    .example = "python3 tests/mixed_lines.py 10000 > lines.txt && tenon bench tokenize -m model.gguf lines.txt",
    .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .min_arg = 1, .max_arg = -1, .run = run,
};
