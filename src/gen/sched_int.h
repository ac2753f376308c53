/* sched_int.h -- what the files of the scheduler share. */
#ifndef TENON_GEN_SCHED_INT_H
#define TENON_GEN_SCHED_INT_H

#include <pthread.h>

#include "gen/int.h"

/* ---- shelf.c: adapters by name ------------------------------------------------------------------ */

struct book;                                                          /* an adapter that somebody holds */
struct shelf { pthread_mutex_t lock; struct book *first; };           /* any thread */
void shelf_init(struct shelf *s);
void shelf_done(struct shelf *s);                                     /* nobody holds a book any more */
bool shelf_load(struct shelf *s, const struct model *m, const char *name, const char *path, float scale, bool replace, struct err *e);
bool shelf_unload(struct shelf *s, const char *name, struct err *e);
struct book *shelf_take(struct shelf *s, const char *name, struct err *e); /* NULL: not there */
void shelf_give(struct shelf *s, struct book *b);                     /* NULL is fine */
int  shelf_list(struct shelf *s, struct sched_adapter *out, int cap);
const struct adapter *book_adapter(const struct book *b);
float       book_scale(const struct book *b);
uint64_t    book_key(const struct book *b);                           /* of contents and scale; never 0 */
const char *book_name(const struct book *b);

/* ---- engine.c ------------------------------------------------------------------------------------ */

struct loop;
struct engine {
    struct tokenizer *tok;
    const struct dialect *dialect;
    struct jinja *template; struct bytes template_text;               /* the file's, NULL and empty without one */
    struct vocab *vocab;
    struct grammars *grammars;
    struct model *model;
    const struct lora_use *lora; int n_lora;                          /* act on every request */
    enum dtype kv_type;
    int n_ctx, tools_max;                                             /* tools_max: of the file, 0: it says nothing */
    uint64_t weights;                                                 /* what makes the model: its file's size, shapes, samples of its bytes */
    struct loop *loop;                                                /* of engine_run(): one sequence */
};

bool engine_prompt(const struct engine *en, const struct request *r, struct ids *out, struct err *e);

/* ---- cellar.c: pages of the prefix cache on disk ---------------------------------------------------- */

struct prefix_count { uint64_t evicted, disk_reads, disk_writes, disk_errors; size_t disk_bytes; };
struct cellar;
struct cellar_file { uint64_t parent, hash; int n; size_t bytes; int64_t time; }; /* n tokens, after those of parent */
/* seed: what made the pages. At most so many bytes. ERR_IO. */
struct cellar *cellar_open(const char *dir, uint64_t seed, size_t most, struct err *e);
void cellar_close(struct cellar *c);
/* The i-th page that comes after parent: the whole one of this hash, or (hash 0) one that is not whole. NULL: none. */
const struct cellar_file *cellar_find(const struct cellar *c, uint64_t parent, uint64_t hash, int i);
bool cellar_get(struct cellar *c, const struct cellar_file *f, struct str *out, struct bytes *body); /* false: it is not there any more */
bool cellar_put(struct cellar *c, uint64_t parent, uint64_t hash, int n, const struct str *body);
void cellar_count(const struct cellar *c, struct prefix_count *out);

/* ---- prefix.c: what was computed, by its tokens --------------------------------------------------- */

struct prefix;
struct node;                                                          /* a page of tokens after those of its parents */
struct prefix_hit {
    int len;                                                          /* positions that can be gone on from */
    int same;                                                         /* tokens that are known from there, whether or not it can be resumed */
    int state;                                                        /* kept at len, -1: none is needed */
    struct node *node;                                                /* the last whole page, NULL: none; entered */
    int n_page;
};
/* cellar: where pages are kept beyond it (owned), NULL: nowhere. */
struct prefix *prefix_open(struct kv *kv, struct cellar *cellar);
bool prefix_save(struct prefix *p, bool all);                         /* writes a page that was asked for again (or any); false: all are written */
void prefix_close(struct prefix *p);
/* The longest known beginning of tok [n], among what was computed under key; page [kv_n_page]: its pages. */
void prefix_find(struct prefix *p, uint64_t key, const int32_t *tok, int n, int *page, struct prefix_hit *hit);
/* Keeps a page: tok [n], n <= KV_PAGE, after parent (whole, or NULL: at the beginning). What is there already stays. */
struct node *prefix_add(struct prefix *p, struct node *parent, uint64_t key, const int32_t *tok, int n, int page);
void prefix_mark(struct prefix *p, struct node *node, int off, int state); /* the state after off of its tokens */
void prefix_enter(struct node *node);                                 /* stays until it is left; NULL is fine */
void prefix_leave(struct node *node);
bool prefix_evict(struct prefix *p);                                  /* frees a page, the one not used for longest; false: none can go */
bool prefix_evict_state(struct prefix *p);                            /* the same for states */
void prefix_trim(struct prefix *p, int n_page);                       /* until at most so many pages are kept by it alone */
int  prefix_idle(const struct prefix *p);                             /* pages that nobody but it holds */
struct prefix_count prefix_counts(const struct prefix *p);

/* ---- replay.c: calls as they were generated -------------------------------------------------------- */

struct replay;                                                        /* any thread */
struct replay *replay_open(size_t bytes);                             /* all that is remembered */
void replay_close(struct replay *r);
struct replay_at { size_t len; uint64_t hash; };                      /* the text of a prompt */
/* A finished turn: its calls, its text, its tokens without what ends it, the prompt it followed. */
void replay_keep(struct replay *r, const struct message *m, const int32_t *tok, size_t n, struct replay_at at);
/* The prompt of a request, the turns in it that came from here in the tokens they were made of; *n_put: how many. */
bool replay_prompt(struct replay *r, const struct engine *en, const struct request *q, struct ids *out, struct replay_at *at, uint64_t *n_put,
                   struct err *e);

/* ---- task.c, loop.c: sequences in turns ------------------------------------------------------------ */

enum stage { STAGE_WAIT, STAGE_PREFILL, STAGE_DECODE, STAGE_DONE };
struct task {
    /* set by whoever adds it, lent until it is done */
    const struct request *r;
    const int32_t *raw; int n_raw;                                    /* a prompt of tokens */
    bool echo;
    const struct lora_use *lora; int n_lora;
    uint64_t key;                                                     /* of these adapters, for the prefix cache */
    event_fn *fn; void *ctx;
    int priority;
    _Atomic bool cancel;                                              /* any thread */
    uint64_t born_ns;
    struct err cut;                                                   /* set: ends with this error */
    /* task_prepare() */
    struct ids prompt, seen;                                          /* seen: what the model is to have read, prompt first */
    struct seq *seq;
    struct replay_at text;
    uint64_t n_replayed;
    /* of the loop */
    enum stage stage;
    bool begun, logits_ready, ok, passed;
    struct err err;
    struct seq_want want;
    int kv, fork;                                                     /* sequences, -1: none */
    struct node *node; int n_kept;                                    /* pages of it that the prefix cache has */
    float *logits; int row;                                           /* [1 + DRAFT_MOST, n_vocab]; row after seen */
    int32_t draft[DRAFT_MOST]; int n_draft, base;                     /* computed after seen; base: where the state is kept for them */
    int n_cached, n_written, n_echo;                                  /* prompt tokens the prefix cache had, and has from it */
    uint64_t start_ns, prefill_ns, last_ns;                           /* began, prompt done, last token */
    struct message turn;                                              /* for replay */
    struct usage usage; enum finish reason; int n_call, n_unfit;      /* of the answer, for whoever counts */
    struct loop *loop;
    void (*ending)(struct task *t);                                   /* before the last event: what needs the request still */
    void (*done)(struct task *t);                                     /* after it; may free the task */
    struct task *next;
};
/* Prompt, grammar, checks; everything that can be refused is. Any thread. false: refused, nothing was sent. */
bool task_prepare(struct task *t, struct engine *en, struct replay *re, int n_ctx, struct err *e);
void task_done(struct task *t);
bool task_tell(void *task, const struct event *ev);                  /* its events, with the numbers so far; false: cancel */
double task_cost(const struct task *t, int done, uint64_t now);       /* whose prompt comes next: the smallest */
int  task_common(const struct task *a, const struct task *b);         /* tokens their prompts begin with alike */
#define TASK_BORDERS 8
/* Positions after `from` at which the state of the prompt is worth keeping: pos [TASK_BORDERS], ascending. */
int  task_borders(const struct task *t, const struct tokenizer *tok, int from, int *pos);

struct loop_opts {
    int n_seq, positions, chunk;
    size_t cache_bytes;
    bool no_cache, deterministic;
    const char *cache_dir; size_t disk_bytes;
    struct replay *replay;                                            /* NULL: none */
};
struct loop *loop_open(struct engine *en, const struct loop_opts *o, struct err *e);
void loop_close(struct loop *l);                                      /* no task is left */
int  loop_n_ctx(const struct loop *l);
void loop_add(struct loop *l, struct task *t);
bool loop_step(struct loop *l);                                       /* false: there is nothing to do */
bool loop_idle(struct loop *l);                                       /* work for quiet times: a page for the disk; false: none */
void loop_save(struct loop *l);                                       /* all that is kept goes to disk */
void loop_forget(struct loop *l);                                     /* the prefix cache is emptied; no task is there */
struct sched_stats *loop_stats(struct loop *l);                       /* of the stepping thread */
void stats_init(struct sched_stats *t);
void stats_count(struct sched_hist *h, double v);

#endif
