/* cmd_bench_steps.c -- `tenon bench steps`: forward passes for each token of a turn, counted without a model. */
#include "eval/eval.h"
#include "front.h"

struct steps_cmd { const char *vocab, *dialect; struct steps_opts o; int64_t limit; bool json; };

static const struct opt opts[] = {
    { "Model", 0, "vocab", "FILE", OPT_STR, offsetof(struct steps_cmd, vocab), "GGUF file with a tokenizer (default: the embedded model)" },
    { "Measurement", 0, "no-drafts", NULL, OPT_FLAG, offsetof(struct steps_cmd, o.no_draft), "nothing is computed ahead (default: drafts)" },
    { "Measurement", 0, "limit", "N", OPT_INT, offsetof(struct steps_cmd, limit), "lines of each file (default: all)" },
    { "Output", 0, "list", NULL, OPT_FLAG, offsetof(struct steps_cmd, o.list), "the lines that are left out, on stderr (default: their number)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct steps_cmd, json), "a JSON object (default: a table)" },
};

static int sampled(const struct rehearsed *r) { return r->tokens - r->forced - r->accepted; }
static double share(int n, const struct rehearsed *r) { return r->tokens ? (double)n / r->tokens : 0; }

static void print_row(const char *name, const struct steps_row *r)
{
    const struct rehearsed *s = &r->sum;
    printf("%-24s %5d %5d %7d  %6.3f   %6.3f %6.3f %6.3f   %7d %7d\n", name, r->n - r->left_out, r->left_out, s->tokens, share(s->passes, s), share(s->forced, s),
           share(s->accepted, s), share(sampled(s), s), s->passes, s->drafted);
}

static void print(const struct steps_report *r)
{
    printf("%-24s %5s %5s %7s  %6s   %6s %6s %6s   %7s %7s\n", "", "turns", "left", "tokens", "steps", "forced", "draft", "sampl.", "passes", "drafted");
    for (int i = 0; i < r->n_kind; i++) print_row(r->kind[i].kind, &r->kind[i]);
    print_row("all", &r->all);
}

static struct json *row_json(const struct steps_row *r)
{
    const struct { const char *name; int n; } numbers[] = {
        { "turns", r->n - r->left_out }, { "left_out", r->left_out }, { "tokens", r->sum.tokens }, { "passes", r->sum.passes },
        { "forced", r->sum.forced }, { "accepted", r->sum.accepted }, { "sampled", sampled(&r->sum) }, { "drafted", r->sum.drafted },
    };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(numbers); i++) json_set(o, numbers[i].name, json_new_int(numbers[i].n));
    json_set(o, "steps_per_token", json_new_f64(share(r->sum.passes, &r->sum)));
    return o;
}

static void print_json(const struct steps_report *r)
{
    struct json *o = json_new_object(), *kinds = json_new_object();
    struct str s = { 0 };
    for (int i = 0; i < r->n_kind; i++) json_set(kinds, r->kind[i].kind, row_json(&r->kind[i]));
    json_set(o, "all", row_json(&r->all));
    json_set(o, "kinds", kinds);
    json_write(&s, o, JSON_COMPACT);
    puts(s.p);
    str_done(&s);
    json_free(o);
}

static bool measure(const struct steps_cmd *o, char **arg, int n_arg, struct err *e)
{
    const struct dialect *d = dialect_find(o->dialect);
    struct lines l = { 0 };
    struct steps_report r;
    struct gguf *g = NULL;
    struct rehearsal *h = NULL;
    bool ok = true;
    for (int i = 0; ok && i < n_arg; i++) ok = lines_read(&l, arg[i], (int)o->limit, &bench_bfcl, e);
    ok = ok && (g = front_gguf(o->vocab, e)) && (h = rehearsal_open(g, d, e)) && bench_steps(h, &l, &o->o, &r, e);
    if (ok) (o->json ? print_json : print)(&r);
    rehearsal_close(h);
    gguf_close(g);
    lines_done(&l);
    return ok;
}

static int run(const void *o, int n_arg, char **arg)
{
    struct err e = { 0 };
    return measure(o, arg, n_arg, &e) ? 0 : front_fail("bench steps", &e);
}

static const struct steps_cmd defaults = { .dialect = "json" };

const struct command cmd_bench_steps = {
    .verb = "bench steps", .args = "FILE…",
    .sentence = "Forward passes for each token of the expected calls of Berkeley leaderboard files, written by a speaker that knows them.",
    .example = "tenon bench steps --vocab llama-bpe.gguf simple_python.jsonl multiple.jsonl",
    .opt = opts, .n_opt = LEN(opts), .defaults = &defaults, .opts_bytes = sizeof defaults,
    .min_arg = 1, .max_arg = -1, .run = run,
};
