/* cmd_bench_masks.c -- `tenon bench masks`: the grammar room measured on the MaskBench data.
 *
 * Without a further option: the protocol, verdicts and times. --forced, --micro and the checks
 * (--walk, --exact, --accept) each print a report of their own instead. */
#include "eval/eval.h"
#include "front.h"

struct masks_cmd {
    const char *data, *vocab, *spelling, *key_order, *tools, *draft;
    struct opt_list only;
    int64_t limit, every, seed, walk, exact, slowest;
    bool json, list, cold, cpu, parts, kinds, forced, micro, accept;
};
static const struct masks_cmd defaults = { .every = 1 };

#define AT(member) offsetof(struct masks_cmd, member)
static const struct opt opts[] = {
    { "Data", 0, "data", "PATH", OPT_STR, AT(data),
      "MaskBench lines: a file or a folder of .jsonl, .jsonl.zst (required but for --micro)" },
    { "Data", 0, "vocab", "V.gguf", OPT_STR, AT(vocab),
      "tokenizer (default: the embedded model's)" },
    { "Data", 0, "only", "SET", OPT_LIST, AT(only),
      "only this file, named without .jsonl; may be repeated (default: all)" },
    { "Data", 0, "limit", "N", OPT_INT, AT(limit), "schemas of each file (default: all)" },
    { "Data", 0, "every", "K", OPT_INT, AT(every), "of every K lines the first (default: 1)" },
    { "Grammar", 0, "spelling", "HOW", OPT_STR, AT(spelling),
      "lock, fixed, compact or flexible (default: flexible; --forced: compact; --walk: all in "
      "turn)" },
    { "Grammar", 0, "key-order", "HOW", OPT_STR, AT(key_order),
      "any or declared (default: any; --forced: declared; --walk: both in turn)" },
    { "Grammar", 0, "draft", "NAME", OPT_STR, AT(draft),
      "draft4, draft6, draft7, draft2019-09 or draft2020-12 (default: $schema, else "
      "draft2020-12)" },
    { "Measurement", 0, "parts", NULL, OPT_FLAG, AT(parts),
      "a pass more: commit alone, rollback of 8 tokens, forced runs (default: off)" },
    { "Measurement", 0, "cold", NULL, OPT_FLAG, AT(cold),
      "a pass more: each step thrice with an empty cache, the smallest counts (default: off)" },
    { "Measurement", 0, "cpu", NULL, OPT_FLAG, AT(cpu),
      "CPU time of the thread, for a machine that others use; its clock costs 0.4 us (default: "
      "wall clock)" },
    { "Measurement", 0, "kinds", NULL, OPT_FLAG, AT(kinds),
      "times by what the state waits for, dear kinds first (default: off)" },
    { "Measurement", 0, "slowest", "N", OPT_INT, AT(slowest),
      "names the N schemas slowest to compile, in a first mask, in a step (default: 0)" },
    { "Measurement", 0, "forced", NULL, OPT_FLAG, AT(forced),
      "jump-forward: what is fed without sampling, of what the language forces (default: off)" },
    { "Measurement", 0, "micro", NULL, OPT_FLAG, AT(micro),
      "tool sets, long strings, large enums and the like; no data (default: off)" },
    { "Measurement", 0, "tools", "FILE", OPT_STR, AT(tools),
      "an object of arrays of tools for --micro (default: made up)" },
    { "Checks", 0, "walk", "N", OPT_INT, AT(walk),
      "random walks under a budget, spread over the schemas (default: 0)" },
    { "Checks", 0, "exact", "N", OPT_INT, AT(exact),
      "states whose mask is compared with every token tried (default: 0)" },
    { "Checks", 0, "accept", NULL, OPT_FLAG, AT(accept),
      "every instance in several spellings and tokenisations (default: off)" },
    { "Checks", 0, "seed", "S", OPT_INT, AT(seed), "same seed, same checks (default: 0)" },
    { "Output", 0, "list", NULL, OPT_FLAG, AT(list),
      "every refusal and wrong verdict (default: the first 20)" },
    { "Output", 0, "json", NULL, OPT_FLAG, AT(json), "a JSON object (default: tables)" },
};

static bool choices(const struct masks_cmd *o, struct mask_opts *m, struct err *e)
{
    static const char *const name[] = { "lock", "fixed", "compact", "flexible" };
    bool checks = o->walk || o->exact || o->accept;
    m->grammar.spelling = o->forced ? SPELL_COMPACT : SPELL_FLEXIBLE;
    m->grammar.declared_order = o->forced;
    m->grammar.draft = o->draft;
    m->any_spelling = !o->spelling && !o->key_order;
    size_t i = 0;
    while (o->spelling && i < LEN(name) && strcmp(o->spelling, name[i])) i++;
    if (i == LEN(name))
        return err_set(e, ERR_USAGE,
                       "--spelling %.40s: accepted are lock, fixed, compact and flexible",
                       o->spelling);
    if (o->spelling) m->grammar.spelling = (enum spelling)i;
    if (o->key_order) m->grammar.declared_order = !strcmp(o->key_order, "declared");
    if (o->key_order && !m->grammar.declared_order && strcmp(o->key_order, "any"))
        return err_set(e, ERR_USAGE, "--key-order %.40s: accepted are any and declared",
                       o->key_order);
    if (o->limit < 0 || o->every < 1 || o->walk < 0 || o->exact < 0 || o->slowest < 0)
        return err_set(e, ERR_USAGE,
                       "--limit, --walk, --exact, --slowest: accepted are 0 and more; --every: 1 "
                       "and more");
    if (o->forced + o->micro + checks > 1)
        return err_set(e, ERR_USAGE, "--forced, --micro and the checks exclude each other");
    return o->micro || o->data || err_set(e, ERR_USAGE, "--data PATH is required");
}

static struct mask_opts selection(const struct masks_cmd *o)
{
    return (struct mask_opts){ .data = o->data,
                               .only = o->only.item,
                               .n_only = o->only.n,
                               .limit = o->limit,
                               .every = o->every,
                               .list = o->list,
                               .parts = o->parts,
                               .cold = o->cold,
                               .cpu = o->cpu,
                               .slowest = o->slowest,
                               .kinds = o->kinds,
                               .accept = o->accept,
                               .walk = o->walk,
                               .exact = o->exact,
                               .seed = (uint64_t)o->seed,
                               .tools = o->tools };
}

static struct json *measure(const struct masks_cmd *o, const struct mask_opts *m, struct err *e)
{
    if (o->forced) return mask_forced(m, e);
    if (o->micro) return mask_micro(m, e);
    if (o->walk || o->exact || o->accept) return mask_walk(m, e);
    return mask_bench(m, e);
}

static void print(const struct json *report, bool json)
{
    struct str s = { 0 };
    if (json) json_write(&s, report, JSON_COMPACT);
    else mask_print(report, &s);
    if (json) str_putc(&s, '\n');
    fwrite(s.p, 1, s.len, stdout);
    str_done(&s);
}

static int run(const void *v, int n_arg, char **arg)
{
    (void)n_arg, (void)arg;
    const struct masks_cmd *o = v;
    struct mask_opts m = selection(o);
    struct err e = { 0 };
    struct gguf *file = NULL;
    struct tokenizer *tok = NULL;
    struct json *report = NULL;
    if (choices(o, &m, &e) && (file = front_gguf(o->vocab, &e)) &&
        (m.tok = tok = tok_open(file, &e)) &&
        (m.vocab = vocab_of_tokenizer(tok, dialect_detect(file, tok), &e)))
        report = measure(o, &m, &e);
    int64_t failures = 0;
    json_i64(json_get(report, "failures"), &failures);
    int rc = report ? failures > 0 : front_fail("bench masks", &e);
    if (report) print(report, o->json);
    if (report && failures)
        fprintf(stderr, "tenon bench masks: %lld checks failed\n", (long long)failures);
    json_free(report);
    vocab_close(m.vocab);
    tok_close(tok);
    gguf_close(file);
    return rc;
}

const struct command cmd_bench_masks = {
    .verb = "bench masks",
    .args = "",
    .sentence = "Token masks: the MaskBench protocol, forced runs, micro-benchmarks, checks.",
    .example = "tenon bench masks --data ../shared/fixtures/jsonschema/maskbench-dev --only BFCL "
               "--vocab ../shared/fixtures/tokenizers/ggml-vocab-llama-bpe.gguf",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
