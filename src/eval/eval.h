/* eval.h -- the door of eval/: all that ends in a number. Tool-call accuracy (judge*.c, toolcall.c, bfcl*.c, sgd.c), speed of a
 * model (bench.c, crowd.c), speed and exactness of the grammar room (mask*.c). */
#ifndef TENON_EVAL_H
#define TENON_EVAL_H

#include "base/base.h"
#include "base/json.h"
#include "gen/gen.h"
#include "model/model.h"

/* ---- judge.c: is this the call that was wanted? ------------------------------------------------ */

struct verdict { bool valid; const char *error; };                    /* error: the rule that failed, "" if valid */
enum judge_match { JUDGE_FIRST,                                       /* one call of the first function */
                   JUDGE_NAMED,                                       /* one call, the function found by the expected name */
                   JUDGE_ANY_ORDER };                                 /* several calls, in any order, greedy */
enum judge_language { JUDGE_PYTHON, JUDGE_JAVA, JUDGE_JAVASCRIPT };   /* arguments of the last two are source text */
struct judge_opts {
    enum judge_match match;
    bool json_schema;                                                 /* types are JSON Schema's: number is float, object is dict */
    bool dots_shown_as_underscores;                                   /* names as the model saw them */
    enum judge_language language;                                     /* whose types the functions declare */
};
/* functions: array of definitions (bare or wrapped); expect: [{name: {param: [accepted, …]}}];
 * output: [{name: {param: value}}]. "" among the accepted values: the parameter may be left out. */
struct verdict judge_calls(const struct json *functions, const struct json *expect, const struct json *output,
                           const struct judge_opts *o);

/* ---- points.c: many questions --------------------------------------------------------------------- */

/* Answers one request. Takes body. asker: which of those that ask at the same time. False: refused or failed; counts as a
 * wrong answer. */
typedef bool ask_fn(void *ctx, int asker, struct json *body, struct message *out, struct err *e);
struct asking {
    ask_fn *ask; void *ctx;
    int parallel;                                                     /* how many ask at once; 0: one */
    const char *out;                                                  /* file for every answer with its verdict; NULL: none */
    bool progress;                                                    /* counted on stderr if that is a terminal */
};
struct lines { struct json **line; int n, cap; };                     /* zeroed = none; owned */
void lines_push(struct lines *l, struct json *line);                  /* takes line */
void lines_done(struct lines *l);

struct benchmark {
    const char *kind;                                                 /* member of a line by which answers are counted */
    bool (*check)(const struct json *line, struct err *e);            /* is it one of ours? */
    struct json *(*request)(void *ctx, const struct json *line);      /* owned; called by those who ask */
    /* m NULL: the request was refused or failed. Called in the order of the lines. */
    struct verdict (*judge)(void *ctx, const struct json *line, const struct message *m);
};
extern const struct benchmark bench_toolcall, bench_bfcl, bench_sgd;
/* Appends the lines (at most limit, 0: all) of path (may be .gz). False: malformed; file and line are named. */
bool lines_read(struct lines *l, const char *path, int limit, const struct benchmark *b, struct err *e);

/* ---- report.c --------------------------------------------------------------------------------------- */

struct tally { char kind[32]; int n, exact, failed; };                /* failed: refused or not answered; not exact */
struct eval_report { struct tally all, *kind; int n_kind, cap_kind; double mean_ms; };
void eval_report_done(struct eval_report *r);
void eval_report_print(const struct eval_report *r, struct str *out); /* a table for people */
struct json *eval_report_json(const struct eval_report *r);           /* owned */
/* 95 % interval of a share, after Wilson. */
void eval_interval(int n, int k, double *low, double *high);

/* ---- toolcall.c: conversations of our own shape --------------------------------------------------------- */

/* Lines {id, kind, tools, messages, expect, must_contain?}. False: an output file cannot be written, or nobody answers. */
bool eval_toolcall(const struct lines *l, const struct asking *a, struct eval_report *out, struct err *e);

/* ---- bfcl.c, bfcl_tools.c: the Berkeley leaderboard, single turn ------------------------------------------ */

/* Lines {id, category, question, function, ground_truth?}. */
bool eval_bfcl(const struct lines *l, const struct asking *a, struct eval_report *out, struct err *e);
void eval_bfcl_print(const struct eval_report *r, struct str *out);   /* per category, and totals of version 4 */
struct json *eval_bfcl_json(const struct eval_report *r);
/* Function documents as the model is shown them: OpenAI tools. Owned. */
struct json *bfcl_tools(const struct json *functions, enum judge_language l);

/* ---- sgd.c: Schema-Guided Dialogue --------------------------------------------------------------------------- */

enum sgd_part { SGD_ALL, SGD_SEEN, SGD_UNSEEN, SGD_SLICES };          /* by service: known to training data or not */
struct sgd_slice {
    struct tally lenient, strict, name, missed, called_for_nothing;   /* of the last two, exact counts the mistakes */
    int64_t given, right, lacking;                                    /* arguments of call points */
};
struct sgd_report { struct eval_report points; struct sgd_slice slice[SGD_SLICES]; };
/* Lines {id, kind, unseen, tools, messages, expect}. eval_report_done(&out->points) afterwards. */
bool eval_sgd(const struct lines *l, const struct asking *a, struct sgd_report *out, struct err *e);
void eval_sgd_print(const struct sgd_report *r, struct str *out);
struct json *eval_sgd_json(const struct sgd_report *r);

/* ---- bench.c: speed ------------------------------------------------------------------------------- */

struct bench_opts { int64_t prompt, gen, runs; };
struct bench_speed { double median, low, high; int runs; };           /* tokens a second; runs 0: not measured */
struct bench_result { struct bench_speed prefill, decode; };
bool bench_model(const struct model *m, const struct bench_opts *o, struct bench_result *out, struct err *e);

/* ---- crowd.c: many requests at once ---------------------------------------------------------------- */

#define CROWD_STREAMS 32
enum crowd_part { CROWD_PASSES = 1, CROWD_PREFIX = 2, CROWD_GAP = 4 };
struct crowd_opts { int64_t gen, runs; unsigned parts; };              /* parts 0: all that can be had */
struct crowd_gap { int streams; double alone_ms, median_ms, p99_ms, prompt_s; }; /* between tokens: median without, the rest beside a prefill */
struct crowd_result {
    struct bench_speed speed[3];                                      /* of 1, 8, CROWD_STREAMS streams together */
    int prefix_tokens, prefix_cold, prefix_computed;
    struct crowd_gap gap[2];                                          /* 1 and 8 running streams */
};
/* en NULL: decode passes only. What was not measured stays zero. */
bool bench_crowd(const struct model *m, struct engine *en, const struct crowd_opts *o, struct crowd_result *out, struct err *e);

/* ---- steps.c: forward passes a turn, without a model ------------------------------------------------- */

struct steps_row { char kind[32]; int n, left_out; struct rehearsed sum; }; /* left_out: the grammar does not hold the text */
struct steps_report { struct steps_row all, kind[32]; int n_kind; };
struct steps_opts { bool no_draft, list; };                           /* list: what is left out is logged */
/* Lines of the Berkeley leaderboard with their ground truth. */
bool bench_steps(struct rehearsal *h, const struct lines *l, const struct steps_opts *o, struct steps_report *out, struct err *e);

/* ---- mask*.c: the grammar room, without a model ----------------------------------------------------- */

/* Data: lines {id, schema, tests: [{valid, data}]} of the MaskBench files, one file a set. */
struct mask_opts {
    const char *data;                                                 /* a file, or a folder of .jsonl[.zst|.gz] files */
    const char *const *only; int n_only;                              /* names of sets (file names without .jsonl…); 0: all */
    int64_t limit, every;                                             /* first `limit` of each set (0: all), of every `every`th line */
    const struct tokenizer *tok;
    struct vocab *vocab;                                              /* of tok */
    struct grammar_opts grammar;
    bool any_spelling;                                                /* walks: spelling and key order change from walk to walk */
    bool list;                                                        /* every refusal and wrong verdict is listed, not the first few */
    bool parts, cold;                                                 /* mask_bench: further passes */
    bool cpu;                                                         /* mask_bench: CPU time, not the wall clock's */
    bool kinds;                                                       /* mask_bench: times by what the state waits for */
    int64_t slowest;                                                  /* mask_bench: so many schemas of each kind are named */
    bool accept;                                                      /* mask_walk: spellings and tokenisations of all instances */
    int64_t walk, exact;                                              /* mask_walk: random walks; states compared with brute force */
    uint64_t seed;
    const char *tools;                                                /* mask_micro: object of arrays of tools; NULL: made up */
};
/* Each gives a report (owned), times in ns; NULL: the data cannot be read, or nothing was selected.
 * maskbench.c: the protocol: verdicts and times of every token of every instance. */
struct json *mask_bench(const struct mask_opts *o, struct err *e);
/* maskforced.c: what jump-forward feeds, against what the language forces. */
struct json *mask_forced(const struct mask_opts *o, struct err *e);
/* maskwalk.c, maskaccept.c: random walks, exactness, acceptance; the report's "failures" is 0 when all is well. */
struct json *mask_walk(const struct mask_opts *o, struct err *e);
/* maskmicro.c: tool sets, long strings, large enums and the like; no data. */
struct json *mask_micro(const struct mask_opts *o, struct err *e);
/* maskprint.c: the tables of any of these reports, for people. */
void mask_print(const struct json *report, struct str *out);

#endif
