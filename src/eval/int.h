/* int.h -- what the files of eval/ share: values of the judge, and what measures the grammar room (maskdata.c).
 *
 * Reading the data, writing its instances in several spellings, cutting them into tokens; samples of
 * times with their percentiles; failures, counted and kept up to a number that a person reads. */
#ifndef TENON_EVAL_INT_H
#define TENON_EVAL_INT_H

#include "eval/eval.h"

/* ---- judge_source.c, judge.c ------------------------------------------------------------------------ */

/* The value that source text stands for, by its declared type and that of its elements (NULL: none); text
 * that is no literal of its type stays a string. Owned. NULL: a type that the original cannot convert. */
struct json *source_value(enum judge_language l, const struct json *text, const char *type, const char *item);
struct json *py_float(double v);                                      /* always with a point or an exponent; owned */
/* One argument against its accepted values. */
struct verdict judge_value(const struct json *v, const struct json *accepted, const struct json *schema,
                           const struct judge_opts *o);

/* ---- points.c, report.c ----------------------------------------------------------------------------- */

bool points_run(const struct benchmark *b, void *ctx, const struct lines *lines, const struct asking *a,
                struct eval_report *report, struct err *e);
/* The chat request of a question, greedy. Takes tools. */
struct json *point_request(const struct json *messages, struct json *tools, int max_tokens);
/* The calls as the judge reads them, [{name: {args}}]; null for one that is broken or, if it must, does not fit its schema. */
struct json *point_calls(const struct message *m, bool must_fit);

struct share { double value, low, high, variance; };
struct tally *tally_of(struct eval_report *r, const char *kind);      /* made if it is not there */
struct share share_of(const struct tally *t);
struct share share_mean(const struct share *s, const double *weight, int n); /* weight NULL: all alike */
void share_print(const struct share *s, struct str *out);
void tally_heading(struct str *out);
void tally_row(const struct tally *t, struct str *out);             /* a line of the table */
struct json *tally_row_json(const struct tally *t);
struct json *share_json(const struct share *s);
struct json *kinds_json(const struct eval_report *r);
struct json *rounded(double x);                                       /* four decimals */

/* ---- cases ------------------------------------------------------------------------------------------ */

struct mask_case {
    const char *set, *id;
    struct json *line;                                                /* the whole line, owned by the reader */
    const struct json *schema, *tests;                                /* inside line; schema NULL: unreadable, see why */
    const char *why;
    int64_t nth, n;                                                   /* number among all that are selected, and how many these are */
};
typedef void mask_case_fn(void *ctx, const struct mask_case *c);
/* Hands over the selected lines, file by file in the order of their names. */
bool mask_cases(const struct mask_opts *o, mask_case_fn *fn, void *ctx, struct err *e);
/* "Github_easy/o42.json" */
void mask_case_name(const struct mask_case *c, struct str *out);

/* ---- instances as text and tokens --------------------------------------------------------------------- */

/* json.dumps; without blanks; indented by two; json.dumps with the keys of all objects shuffled. */
enum mask_text { TEXT_PYTHON, TEXT_COMPACT, TEXT_INDENTED, TEXT_SHUFFLED, N_MASK_TEXT };
extern const char *const mask_text_name[N_MASK_TEXT];
/* Replaces out. rng: for TEXT_SHUFFLED only. */
void mask_write(struct str *out, const struct json *v, enum mask_text how, struct rng *r);
/* How deep containers nest: 0 for a scalar. */
int mask_depth(const struct json *v);
/* Members of every object in an order of the caller's: order[] is a permutation of 0..n-1 to be changed. */
typedef void mask_order_fn(void *ctx, size_t n, size_t *order);
struct json *mask_reordered(const struct json *v, mask_order_fn *fn, void *ctx); /* owned */
/* Replaces ids with the tokens of a text, without special tokens. False: the tokenizer refused. */
bool mask_tokens(const struct mask_opts *o, const struct str *text, struct ids *ids);

static inline bool mask_has(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

/* ---- samples ------------------------------------------------------------------------------------------ */

struct samples { uint64_t *v; size_t n, cap; };
void samples_add(struct samples *s, uint64_t v);
void samples_done(struct samples *s);
/* {n, avg, p50, p90, p99, p999, max} of both together; index floor(n p). b may be NULL. */
struct json *samples_json(const struct samples *a, const struct samples *b);
/* Median of what two calls of the clock in a row say: part of every sample, not subtracted. */
uint64_t clock_cost_ns(const struct mask_opts *o);
/* Nanoseconds: the wall clock, or with o->cpu what this thread has had of a core. */
uint64_t mask_clock(const struct mask_opts *o);
size_t peak_rss_bytes(void);

/* ---- failures ----------------------------------------------------------------------------------------- */

enum { FAULTS_SHOWN = 20 };
struct faults { int64_t n; bool all; struct json *shown; };           /* zeroed = none; all: keep every sentence */
void         faults_add(struct faults *f, const struct mask_case *c, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct json *faults_take(struct faults *f);                           /* the sentences, owned by the caller */

struct json *mask_acceptance(const struct mask_opts *o, int64_t *failures, struct err *e); /* maskaccept.c */

#endif
