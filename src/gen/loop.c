/* loop.c -- sequences in turns: what all of them need next goes through the model together.
 *
 * A step is one decode pass, with the rows of every sequence that is being answered, and one prefill pass,
 * with a piece of the prompts that wait. The piece is sized by time, so that answers keep flowing while a
 * long prompt is read. A sequence says what it waits for (seq.c); this file gives it a place in the KV
 * cache, its rows, and its logits.
 *
 * Determinism: a prompt token always goes through the prefill kernels and a generated one through the decode
 * kernels, and no kernel's result depends on who else is in the batch. A sequence that has to give way
 * (no page is left) is computed again the same way later, so nothing of this shows in an answer.
 *
 * True between steps: of a sequence in the cache, the first kv_len - n_draft positions hold `seen` from its
 * beginning; what is missing is computed before its next logits. */
#include "gen/sched_int.h"

#define CATCH_UP 32          /* generated tokens computed again in one pass */
#define ECHO_ROWS 64         /* prompt tokens of one pass where all their logits are wanted */
#define SPARE 2              /* pages beyond the prompt that a sequence is let in with */
#define CHUNK_FIRST 64       /* prompt tokens of a pass before speeds are known, */
#define CHUNK_LEAST 4
#define CHUNK_ALONE 256      /* never fewer when nobody waits for tokens: a pass unpacks all weights, which costs as much as
                              * some 60 tokens, and shorter passes would only make the prompt take longer */
#define CHUNK_MOST 512
#define BURST 256            /* prompt tokens read at once, whole prompts only, where more wait for their first token than for
                              * their next: together they wait less long that way, and the answers stop once, not doubly long
                              * for every few tokens */
#define ALONE_S 0.25         /* length of a prefill pass when nobody waits for tokens, */
#define BESIDE 1.0           /* and beside running answers, in decode passes */

struct loop {
    struct engine *en;
    struct loop_opts o;
    int n_ctx, stride;
    struct kv *kv;
    struct prefix *prefix;                                            /* NULL: nothing is kept */
    struct arena tmp;
    struct task **task; int n_task, cap_task;                         /* in order of arrival */
    int n_active;                                                     /* in the cache */
    int *page;                                                        /* [pages] scratch */
    struct rows *rows; struct task **who; int n_rows;                 /* of a pass: [2 * n_seq] */
    float *logits; size_t cap_logits;
    double decode_s, chunk[2];                                        /* last decode pass; prompt tokens of a pass alone, beside */
    struct sched_stats st;
};

/* ---- counting -------------------------------------------------------------------------------- */

static const double ttft_bounds[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560 };
static const double gap_bounds[] = { .0005, .001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 10 };
static const double long_bounds[] = { .01, .025, .05, .1, .2, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680 };
static const double size_bounds[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000 };

void stats_count(struct sched_hist *h, double v)
{
    int i = 0;
    while (i < h->n_bound && v > h->bound[i]) i++;
    h->count[i]++;
    h->sum += v;
}

#define HIST(bounds) ((struct sched_hist){ .bound = bounds, .n_bound = LEN(bounds) })
void stats_init(struct sched_stats *t)
{
    *t = (struct sched_stats){ .ttft = HIST(ttft_bounds), .gap = HIST(gap_bounds), .total = HIST(long_bounds),
                               .queue = HIST(long_bounds), .prefill = HIST(long_bounds), .decode = HIST(long_bounds),
                               .prompt_size = HIST(size_bounds), .answer_size = HIST(size_bounds), .step_size = HIST(size_bounds) };
}

static double seconds(uint64_t from, uint64_t to) { return (double)(to - from) * 1e-9; }

static void count_finish(struct loop *l, const struct task *t)
{
    struct sched_stats *s = &l->st;
    uint64_t now = clock_ns();
    if (!t->ok) { s->failed++; return; }
    s->finished[t->reason]++;
    if (t->reason == FINISH_CANCEL) (*(!t->start_ns ? &s->cancelled_waiting : !t->prefill_ns ? &s->cancelled_prefill : &s->cancelled_decode))++;
    s->prompt_tokens += (uint64_t)t->usage.prompt_tokens;
    s->cached_tokens += (uint64_t)t->usage.cached_tokens;
    s->generated_tokens += (uint64_t)t->usage.completion_tokens;
    s->forced_tokens += (uint64_t)t->usage.forced_tokens;
    s->drafted_tokens += (uint64_t)t->usage.draft_tokens;
    s->accepted_tokens += (uint64_t)t->usage.accepted_tokens;
    s->calls += (uint64_t)t->n_call;
    s->calls_unfit += (uint64_t)t->n_unfit;
    s->replayed += t->n_replayed;
    stats_count(&s->total, seconds(t->born_ns, now));
    if (t->start_ns) stats_count(&s->queue, seconds(t->born_ns, t->start_ns));
    if (t->prefill_ns) {
        stats_count(&s->prefill, seconds(t->start_ns, t->prefill_ns));
        stats_count(&s->decode, seconds(t->prefill_ns, now));
    }
    stats_count(&s->prompt_size, t->usage.prompt_tokens);
    stats_count(&s->answer_size, t->usage.completion_tokens);
}

struct sched_stats *loop_stats(struct loop *l)
{
    struct sched_stats *s = &l->st;
    s->running = l->n_active;
    s->waiting = l->n_task - l->n_active;
    s->pages = kv_n_page(l->kv);
    s->pages_free = kv_free_pages(l->kv);
    if (!l->prefix) return s;
    size_t page_bytes;
    kv_page_data(l->kv, 0, &page_bytes);
    const struct prefix_count c = prefix_counts(l->prefix);
    s->pages_kept = prefix_idle(l->prefix);
    s->cache_bytes = (size_t)s->pages_kept * page_bytes;
    s->cache_evicted = c.evicted;
    s->disk_reads = c.disk_reads;
    s->disk_writes = c.disk_writes;
    s->disk_errors = c.disk_errors;
    s->disk_bytes = c.disk_bytes;
    return s;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What makes a page what it is: the program, the weights, how both are used. */
static uint64_t make_key(const struct loop *l)
{
    struct map self;
    size_t page_bytes;
    kv_page_data(l->kv, 0, &page_bytes);
    uint64_t k = hash64(TENON_VERSION, strlen(TENON_VERSION), l->en->weights);
    if (map_open(&self, "/proc/self/exe", 0, NULL)) {
        k = hash64(self.data, self.size, k);
        map_close(&self);
    }
    uint64_t how[] = { k, page_bytes, (uint64_t)l->en->kv_type, l->o.deterministic };
    return hash64(how, sizeof how, hash64(model_ops(l->en->model)->name, strlen(model_ops(l->en->model)->name), 0));
}

static bool open_prefix(struct loop *l, struct err *e)
{
    struct cellar *cellar = NULL;
    if (l->o.cache_dir && l->en->n_lora) log_line(LOG_WARN, "cache_dir_unused why=\"adapters act on every request\"");
    else if (l->o.cache_dir && !(cellar = cellar_open(l->o.cache_dir, make_key(l), l->o.disk_bytes, e))) return false;
    l->prefix = prefix_open(l->kv, cellar);
    return true;
}

struct loop *loop_open(struct engine *en, const struct loop_opts *o, struct err *e)
{
    struct loop *l = mem_zero(sizeof *l);
    l->en = en;
    l->o = *o;
    arena_init(&l->tmp, 0);
    l->n_ctx = MIN(en->n_ctx, o->positions);
    l->stride = model_config(en->model)->n_vocab;
    stats_init(&l->st);
    l->chunk[0] = CHUNK_ALONE, l->chunk[1] = CHUNK_FIRST;
    /* Beside the positions asked for, each sequence may hold a page that others share with it and one to look ahead in. */
    l->kv = kv_open_as(en->model, o->positions + (o->n_seq * SPARE + 1) * KV_PAGE, 2 * o->n_seq, en->kv_type, e);
    if (!l->kv || (!o->no_cache && !open_prefix(l, e))) {
        loop_close(l);
        return NULL;
    }
    l->page = mem_zero((size_t)kv_n_page(l->kv) * sizeof *l->page);
    l->rows = mem_zero((size_t)o->n_seq * 2 * sizeof *l->rows);
    l->who = mem_zero((size_t)o->n_seq * 2 * sizeof *l->who);
    return l;
}

void loop_close(struct loop *l)
{
    if (!l) return;
    prefix_close(l->prefix);
    kv_close(l->kv);
    arena_done(&l->tmp);
    mem_free(l->task);
    mem_free(l->page);
    mem_free(l->rows);
    mem_free(l->who);
    mem_free(l->logits);
    mem_free(l);
}

int loop_n_ctx(const struct loop *l) { return l->n_ctx; }

void loop_forget(struct loop *l)
{
    prefix_close(l->prefix);
    l->prefix = l->o.no_cache ? NULL : prefix_open(l->kv, NULL);
}

bool loop_idle(struct loop *l) { return l->prefix && prefix_save(l->prefix, false); }

void loop_save(struct loop *l)
{
    while (l->prefix && prefix_save(l->prefix, true)) {}
}

static void keep_turn(struct task *t)
{
    struct loop *l = t->loop;
    if (!l->o.replay || t->reason == FINISH_CANCEL || !t->r->random_ids || !t->turn.n_call || t->raw) return;
    const struct ids *rest = seq_pending(t->seq);
    for (size_t i = 0; i < rest->n; i++) ids_put(&t->seen, rest->id[i]);
    size_t n = t->seen.n - t->prompt.n;
    while (n && tok_is_eog(l->en->tok, t->seen.id[t->prompt.n + n - 1])) n--;
    replay_keep(l->o.replay, &t->turn, t->seen.id + t->prompt.n, n, t->text);
}

void loop_add(struct loop *l, struct task *t)
{
    t->loop = l;
    t->ending = keep_turn;
    MEM_GROW(l->task, l->n_task, l->cap_task);
    l->task[l->n_task++] = t;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static bool room_for_state(struct loop *l)
{
    while (!kv_free_states(l->kv) && l->prefix && prefix_evict_state(l->prefix)) {}
    return kv_free_states(l->kv) > 0;
}

/* States kept on the way through page i go with it. */
static void keep_marks(struct loop *l, const struct task *t, struct node *node, int i, int n)
{
    for (int off = 1; off <= n && off < KV_PAGE; off++) prefix_mark(l->prefix, node, off, kv_state(l->kv, t->kv, i * KV_PAGE + off));
}

/* Pages of the first n tokens seen become part of the tree; tail: that of a page begun, too. */
static void keep_pages(struct loop *l, struct task *t, int n, bool tail)
{
    if (!l->prefix) return;
    for (; (t->n_kept + 1) * KV_PAGE <= n; t->n_kept++) {
        int i = t->n_kept;
        struct node *node = prefix_add(l->prefix, t->node, t->key, t->seen.id + i * KV_PAGE, KV_PAGE, kv_page(l->kv, t->kv, i));
        keep_marks(l, t, node, i, KV_PAGE);
        prefix_enter(node);
        prefix_leave(t->node);
        t->node = node;
    }
    int i = t->n_kept, left = n - i * KV_PAGE;
    if (!tail || left <= 0) return;
    keep_marks(l, t, prefix_add(l->prefix, t->node, t->key, t->seen.id + i * KV_PAGE, left, kv_page(l->kv, t->kv, i)), i, left);
}

/* Drafts that were not taken leave the cache. Where the model can only be resumed earlier, what is missing is computed again. */
static void drop_drafts(struct loop *l, struct task *t, int keep)
{
    if (t->n_draft && t->kv >= 0) {
        kv_truncate(l->kv, t->kv, keep);
        kv_unmark(l->kv, t->kv, t->base);
    }
    t->n_draft = 0;
}

static void leave_cache(struct loop *l, struct task *t)
{
    if (t->fork >= 0) kv_seq_free(l->kv, t->fork);
    t->fork = -1;
    if (t->kv < 0) return;
    kv_seq_free(l->kv, t->kv);
    prefix_leave(t->node);
    t->node = NULL;
    t->kv = -1;
    t->n_kept = t->n_draft = 0;
    l->n_active--;
}

/* What an answer computed stays, so that the conversation goes on from it. */
static void keep_answer(struct loop *l, struct task *t)
{
    if (l->o.deterministic || !l->prefix || t->kv < 0 || t->stage != STAGE_DECODE) return;
    int have = kv_len(l->kv, t->kv);
    drop_drafts(l, t, (int)MIN((size_t)have, t->seen.n));
    have = kv_len(l->kv, t->kv);
    if (have <= (int)t->prompt.n) return;
    if (room_for_state(l)) kv_mark(l->kv, t->kv);
    keep_pages(l, t, have, true);
}

static void finish(struct loop *l, struct task *t, bool ok)
{
    if (t->cut.code) ok = false, t->err = t->cut;
    if (ok) keep_answer(l, t);
    leave_cache(l, t);
    t->stage = STAGE_DONE;
    t->ok = seq_end(t->seq, ok, &t->err);
    count_finish(l, t);
    int i = 0;
    while (l->task[i] != t) i++;
    memmove(l->task + i, l->task + i + 1, (size_t)(--l->n_task - i) * sizeof *l->task);
    size_t page_bytes;
    kv_page_data(l->kv, 0, &page_bytes);
    if (l->prefix && l->o.cache_bytes) prefix_trim(l->prefix, (int)MIN(l->o.cache_bytes / page_bytes, (size_t)INT32_MAX));
    t->done(t);
}

/* ---- one sequence ---------------------------------------------------------------------------- */

/* What the sequence waits for now. Tokens that were computed as drafts need no pass. */
static void absorb(struct loop *l, struct task *t)
{
    const struct seq_want *w = &t->want;
    int same = 0, before = (int)t->seen.n;
    if (w->kind != WAIT_LOGITS) return;
    while (same < MIN(w->n, t->n_draft) && t->draft[same] == w->tok[same]) same++;
    for (int i = 0; i < w->n; i++) ids_put(&t->seen, w->tok[i]);
    t->logits_ready = w->n && same == w->n;
    if (t->logits_ready) {
        t->row += same;
        t->n_draft -= same;
        memmove(t->draft, t->draft + same, (size_t)t->n_draft * sizeof *t->draft);
        if (!t->n_draft && t->kv >= 0) kv_unmark(l->kv, t->kv, t->base);
    } else drop_drafts(l, t, before + same);
}

static void count_token(struct loop *l, struct task *t)
{
    uint64_t now = clock_ns();
    if (!seq_usage(t->seq)->completion_tokens) return;
    if (t->last_ns) stats_count(&l->st.gap, seconds(t->last_ns, now));
    else stats_count(&l->st.ttft, seconds(t->born_ns, now));
    t->last_ns = now;
}

/* Goes on until the model is needed. False: it is over. */
static bool advance(struct loop *l, struct task *t)
{
    for (;;) {
        if (t->want.kind == WAIT_LOGITS && !t->logits_ready) return true;
        if (t->want.kind == WAIT_AHEAD) return true;
        if (t->begun && t->want.kind == WAIT_NOTHING && t->r->only_prompt && t->stage != STAGE_DECODE) return true;
        if (t->begun && t->want.kind == WAIT_NOTHING) return finish(l, t, true), false;
        if (t->begun) {
            t->logits_ready = false;
            if (!seq_logits(t->seq, t->logits + (size_t)t->row * (size_t)l->stride, &t->err)) return finish(l, t, false), false;
        }
        if (!t->begun) seq_begin(t->seq);
        t->begun = true;
        if (!seq_next(t->seq, &t->want, &t->err)) return finish(l, t, false), false;
        absorb(l, t);
        count_token(l, t);
    }
}

/* The name was looked at (rows NULL: it could not be). */
static bool answer_ahead(struct loop *l, struct task *t, const float *rows)
{
    seq_ahead(t->seq, rows);
    if (!seq_next(t->seq, &t->want, &t->err)) return finish(l, t, false), false;
    absorb(l, t);
    count_token(l, t);
    return advance(l, t);
}

static int computed(const struct loop *l, const struct task *t)
{
    return t->kv < 0 ? 0 : kv_len(l->kv, t->kv);
}

/* ---- giving way ------------------------------------------------------------------------------ */

static void give_way(struct loop *l, struct task *t)
{
    leave_cache(l, t);
    t->stage = STAGE_WAIT;
    l->st.preempted++;
}

static bool is_later(const struct task *a, const struct task *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->born_ns >= b->born_ns;
}

/* Frees pages: of what is kept, else of the sequence that came last. False: there is only one left. */
static bool free_pages(struct loop *l)
{
    struct task *last = NULL;
    if (l->prefix && prefix_evict(l->prefix)) return true;
    for (int i = 0; i < l->n_task; i++)
        if (l->task[i]->kv >= 0 && (!last || is_later(l->task[i], last))) last = l->task[i];
    if (l->n_active < 2) return false;
    give_way(l, last);
    return true;
}

static void room_for_logits(struct loop *l)
{
    size_t n = 0;
    for (int i = 0; i < l->n_rows; i++) n += (size_t)l->rows[i].n_logits;
    n *= (size_t)l->stride;
    if (n <= l->cap_logits) return;
    mem_free(l->logits);
    l->logits = mem_alloc(n * sizeof *l->logits);
    l->cap_logits = n;
}

/* False: pages had to be freed first, and the rows must be put together anew; or nothing helps (e). */
static bool pass(struct loop *l, enum phase ph, struct err *e)
{
    int n = 0;
    room_for_logits(l);
    size_t mark = arena_mark(&l->tmp);
    bool ok = model_forward_rows(l->en->model, l->kv, l->rows, l->n_rows, ph, &l->tmp, l->logits, e);
    arena_reset(&l->tmp, mark);
    for (int i = 0; i < l->n_rows; i++) n += l->rows[i].n;
    if (ok) l->st.steps++, stats_count(&l->st.step_size, n);
    if (!ok && e->code == ERR_FULL && free_pages(l)) *e = (struct err){ 0 };
    return ok;
}

static void add_rows(struct loop *l, struct task *t, int seq, const int32_t *tok, int n, int n_logits)
{
    l->who[l->n_rows] = t;
    l->rows[l->n_rows++] = (struct rows){ .n = n, .seq = seq, .lora = t->lora, .n_lora = t->n_lora, .token = tok, .n_logits = n_logits };
}

/* A pass that failed for good ends those who were in it. */
static void fail_all(struct loop *l, const struct err *e)
{
    for (int i = 0; i < l->n_rows; i++) {
        l->who[i]->err = *e;
        finish(l, l->who[i], false);
    }
}

/* ---- decode ---------------------------------------------------------------------------------- */

/* Generated tokens that are not in the cache any more: all but those that come with the next logits. */
static bool catch_up(struct loop *l, struct task *t, int most)
{
    int have = computed(l, t), miss = (int)t->seen.n - have;
    if (miss <= most) return false;
    add_rows(l, t, t->kv, t->seen.id + have, MIN(miss, CATCH_UP), 0);
    return true;
}

static void rows_ahead(struct loop *l, struct task *t)
{
    drop_drafts(l, t, (int)t->seen.n);
    if (catch_up(l, t, 0)) return;
    while ((t->fork = kv_seq_fork(l->kv, t->kv)) < 0 && l->prefix && prefix_evict(l->prefix)) {}
    if (t->fork >= 0) add_rows(l, t, t->fork, t->want.tok, t->want.n, t->want.n);
}

static void rows_logits(struct loop *l, struct task *t)
{
    if (catch_up(l, t, CATCH_UP)) return;
    int have = computed(l, t), n_draft = MIN(MIN(t->want.n_draft, DRAFT_MOST / l->n_active), l->n_ctx - (int)t->seen.n);
    n_draft = MAX(n_draft, 0);
    if (n_draft && kv_has_state(l->kv) && room_for_state(l)) kv_mark_at(l->kv, t->kv, t->base = (int)t->seen.n);
    for (int i = 0; i < n_draft; i++) ids_put(&t->seen, t->want.draft[i]);
    t->seen.n -= (size_t)n_draft;
    add_rows(l, t, t->kv, t->seen.id + have, (int)t->seen.n - have + n_draft, 1 + n_draft);
}

static void gather_decode(struct loop *l)
{
    l->n_rows = 0;
    for (int i = 0; i < l->n_task; i++) {
        struct task *t = l->task[i];
        if (t->stage != STAGE_DECODE || t->want.kind == WAIT_NOTHING) continue;
        (t->want.kind == WAIT_AHEAD ? rows_ahead : rows_logits)(l, t);
    }
}

static void drop_forks(struct loop *l)
{
    for (int i = 0; i < l->n_task; i++) {
        struct task *t = l->task[i];
        if (t->fork >= 0) kv_seq_free(l->kv, t->fork);
        t->fork = -1;
    }
}

/* A row of the pass reaches its sequence. */
static void deliver(struct loop *l, struct task *t, const struct rows *r, const float *logits)
{
    if (t->fork >= 0) {
        kv_seq_free(l->kv, t->fork);
        t->fork = -1;
        answer_ahead(l, t, logits);
        return;
    }
    if (!r->n_logits) return;
    memcpy(t->logits, logits, (size_t)r->n_logits * (size_t)l->stride * sizeof *logits);
    t->n_draft = r->n_logits - 1;
    memcpy(t->draft, r->token + r->n - t->n_draft, (size_t)t->n_draft * sizeof *t->draft);
    t->row = 0;
    t->logits_ready = true;
    advance(l, t);
}

/* Names that cannot be looked at for want of room are passed over. */
static bool pass_over(struct loop *l)
{
    for (int i = 0; i < l->n_task; i++) {
        struct task *t = l->task[i];
        if (t->stage == STAGE_DECODE && t->want.kind == WAIT_AHEAD) return answer_ahead(l, t, NULL), true;
    }
    return false;
}

static bool decode(struct loop *l)
{
    struct err e = { 0 };
    uint64_t t0 = clock_ns();
    do {
        gather_decode(l);
        if (!l->n_rows) return pass_over(l);
        if (pass(l, PHASE_DECODE, &e)) break;
        drop_forks(l);
        if (e.code) return fail_all(l, &e), true;
    } while (true);
    const float *logits = l->logits;
    for (int i = 0; i < l->n_rows; i++) {
        deliver(l, l->who[i], &l->rows[i], logits);
        logits += (size_t)l->rows[i].n_logits * (size_t)l->stride;
    }
    l->decode_s = seconds(t0, clock_ns());
    return true;
}

/* ---- prefill --------------------------------------------------------------------------------- */

static int pages_of(int n) { return (n + KV_PAGE - 1) / KV_PAGE; }

/* Pages that those who are in have still to take for their prompts. */
static int promised(const struct loop *l)
{
    int n = 0;
    for (int i = 0; i < l->n_task; i++)
        if (l->task[i]->kv >= 0) n += MAX(pages_of((int)l->task[i]->seen.n) + SPARE - pages_of(computed(l, l->task[i])), 0);
    return n;
}

/* Somebody is computing what this one would begin with: it had better wait. */
static bool comes_from_another(const struct loop *l, const struct task *t, int have)
{
    for (int i = 0; i < l->n_task; i++) {
        const struct task *u = l->task[i];
        if (u == t || u->stage != STAGE_PREFILL || u->key != t->key) continue;
        int common = task_common(t, u);
        if (common - have > KV_PAGE && computed(l, u) < common) return true;
    }
    return false;
}

/* Where the state is kept on the way: borders, where others have gone another way, the end. */
static void set_marks(struct loop *l, struct task *t, const struct prefix_hit *hit)
{
    int pos[TASK_BORDERS], n = task_borders(t, l->en->tok, hit->len, pos);
    if (!kv_has_state(l->kv) || !l->prefix) return;
    for (int i = 0; i < n; i++)
        if (room_for_state(l)) kv_mark_at(l->kv, t->kv, pos[i]);
    if (hit->same > hit->len && hit->same < (int)t->prompt.n && room_for_state(l)) kv_mark_at(l->kv, t->kv, hit->same);
    if (room_for_state(l)) kv_mark_at(l->kv, t->kv, (int)t->prompt.n - 1); /* for who asks the same: the last is computed for its logits */
}

enum entry { IN, LATER, NO_ROOM };

/* Into the cache, with what is known of its prompt. */
static enum entry enter(struct loop *l, struct task *t)
{
    struct prefix_hit hit = { .state = -1 };
    if (l->prefix && !t->echo) prefix_find(l->prefix, t->key, t->prompt.id, (int)t->prompt.n - 1, l->page, &hit);
    if (l->prefix && !t->echo && comes_from_another(l, t, hit.len)) return prefix_leave(hit.node), LATER;
    int need = pages_of((int)t->seen.n) + SPARE - hit.len / KV_PAGE + promised(l);
    int kv = kv_seq_on(l->kv, l->page, hit.len, hit.state);           /* holds its pages */
    while (kv >= 0 && kv_free_pages(l->kv) < need && l->prefix && prefix_evict(l->prefix)) {}
    if (kv < 0 || (kv_free_pages(l->kv) < need && l->n_active)) {
        if (kv >= 0) kv_seq_free(l->kv, kv);
        return prefix_leave(hit.node), NO_ROOM;
    }
    l->n_active++;
    t->kv = kv;
    t->node = hit.node;
    t->n_kept = hit.len / KV_PAGE;
    t->stage = STAGE_PREFILL;
    if (!t->start_ns) {
        t->start_ns = clock_ns();
        t->n_cached = hit.len;
        t->n_written = l->prefix && !t->echo ? (int)t->prompt.n - hit.len : 0;
        l->st.cache_queries += (uint64_t)t->prompt.n;
        l->st.cache_hits += (uint64_t)hit.len;
    }
    set_marks(l, t, &hit);
    return IN;
}

/* Do more wait for their first token, as far as there are places for them, than for their next? */
static bool is_crowded(const struct loop *l)
{
    int n_wait = 0, n_read = 0, n_decode = 0;
    for (int i = 0; i < l->n_task; i++) {
        enum stage g = l->task[i]->stage;
        n_wait += g == STAGE_WAIT, n_read += g == STAGE_PREFILL, n_decode += g == STAGE_DECODE;
    }
    return MIN(n_wait, l->o.n_seq - l->n_active) + n_read > n_decode;
}

/* The next prompt to be read; those marked were looked at. */
static struct task *next_prompt(const struct loop *l, uint64_t now)
{
    struct task *best = NULL;
    double least = 0;
    for (int i = 0; i < l->n_task; i++) {
        struct task *t = l->task[i];
        if (t->passed || (t->stage != STAGE_PREFILL && (t->stage != STAGE_WAIT || l->n_active >= l->o.n_seq))) continue;
        double cost = task_cost(t, computed(l, t), now);
        if (!best || cost < least) best = t, least = cost;
    }
    return best;
}

static int chunk_size(const struct loop *l, bool beside)
{
    return l->o.chunk ? l->o.chunk : (int)l->chunk[beside];
}

/* Learns from how long n tokens took. */
static void learn_chunk(struct loop *l, bool beside, int n, double took)
{
    if (n > chunk_size(l, beside)) return;                            /* a burst */
    double aim = beside ? BESIDE * l->decode_s : ALONE_S, want = n * aim / MAX(took, 1e-6);
    if (n < l->chunk[beside] && want > n) return;                     /* it was short because the prompt was */
    want = MIN(MAX(want, l->chunk[beside] / 2), l->chunk[beside] * 2);
    l->chunk[beside] = MIN(MAX(want, beside ? CHUNK_LEAST : CHUNK_ALONE), CHUNK_MOST);
}

static bool is_echoing(const struct task *t) { return t->echo && t->n_echo < (int)t->prompt.n; }

static int left_to_read(const struct loop *l, const struct task *t) { return (int)t->prompt.n - computed(l, t); }

static void add_prompt(struct loop *l, struct task *t, int most)
{
    int have = computed(l, t), n = MIN(left_to_read(l, t), t->echo ? MIN(most, ECHO_ROWS) : most);
    bool last = have + n == (int)t->prompt.n, want = last && t->want.kind == WAIT_LOGITS && t->seen.n == t->prompt.n;
    add_rows(l, t, t->kv, t->prompt.id + have, n, is_echoing(t) ? n : want);
}

/* False: nothing can be read now. burst: beyond the budget, whole prompts go in as long as all are no more than that. */
static bool gather_prompts(struct loop *l, int budget, int burst)
{
    uint64_t now = clock_ns();
    int n = 0;
    l->n_rows = 0;
    for (int i = 0; i < l->n_task; i++) l->task[i]->passed = false;
    for (struct task *t; n < MAX(budget, burst) && (t = next_prompt(l, now));) {
        t->passed = true;
        enum entry in = t->stage == STAGE_WAIT ? enter(l, t) : IN;
        if (in == NO_ROOM) break;                                     /* its turn has come: nobody overtakes it */
        if (in == LATER) continue;
        if (!t->begun && !advance(l, t)) continue;                        /* all of it was forced */
        int most = n + left_to_read(l, t) <= burst ? burst - n : budget - n;
        if (most <= 0) break;
        add_prompt(l, t, most);
        n += l->rows[l->n_rows - 1].n;
        if (l->n_rows == 2 * l->o.n_seq) break;
    }
    return l->n_rows;
}

static void send_echo(struct loop *l, struct task *t, int at, const float *before)
{
    struct odds odds = { .logprob = __builtin_nanf("") };
    struct event ev = { .kind = EV_TOKEN, .origin = ORIGIN_PROMPT, .token = t->prompt.id[at] };
    if (at < t->n_echo) return;                                       /* sent before it had to give way */
    if (before) sample_odds(before, tok_n_vocab(l->en->tok), ev.token, t->r->top, &odds);
    ev.logprob = odds.logprob, ev.top = odds.top, ev.n_top = odds.n_top;
    t->n_echo = at + 1;
    if (!task_tell(t, &ev)) t->cancel = true;
}

/* Log-probabilities of the prompt's own tokens: those after rows [at, at + n). */
static void echo(struct loop *l, struct task *t, int at, int n, const float *logits)
{
    if (!at) send_echo(l, t, 0, NULL);
    for (int i = 0; i < n && at + i + 1 < (int)t->prompt.n; i++) send_echo(l, t, at + i + 1, logits + (size_t)i * (size_t)l->stride);
}

static void tell_progress(struct task *t, int have)
{
    if (!task_tell(t, &(struct event){ .kind = EV_PROGRESS, .n_read = have })) t->cancel = true;
}

static void prompt_read(struct loop *l, struct task *t, const struct rows *r, const float *logits)
{
    int have = computed(l, t);
    bool whole = have == (int)t->prompt.n;
    if (is_echoing(t) && t->r->want_tokens) echo(l, t, have - r->n, r->n, logits);
    keep_pages(l, t, have, whole);
    if (t->r->want_progress) tell_progress(t, have);
    if (!whole) return;
    t->n_echo = (int)t->prompt.n;
    t->stage = STAGE_DECODE;
    if (!t->prefill_ns) t->prefill_ns = clock_ns();
    if (t->seen.n != t->prompt.n || t->want.kind == WAIT_AHEAD) return;
    if (t->want.kind == WAIT_LOGITS) {
        memcpy(t->logits, logits + (size_t)(r->n_logits - 1) * (size_t)l->stride, (size_t)l->stride * sizeof *logits);
        t->row = t->n_draft = 0;
        t->logits_ready = true;
    }
    advance(l, t);
}

static bool is_decoding(const struct loop *l)
{
    for (int i = 0; i < l->n_task; i++)
        if (l->task[i]->stage == STAGE_DECODE) return true;
    return false;
}

static bool prefill(struct loop *l)
{
    struct err e = { 0 };
    bool beside = is_decoding(l);
    uint64_t t0;
    do {
        if (!gather_prompts(l, chunk_size(l, beside), beside && !l->o.chunk && is_crowded(l) ? BURST : 0)) return false;
        t0 = clock_ns();
        if (pass(l, PHASE_PREFILL, &e)) break;
        if (e.code) return fail_all(l, &e), true;
    } while (true);
    int n = 0;
    for (int i = 0; i < l->n_rows; i++) n += l->rows[i].n;
    learn_chunk(l, beside, n, seconds(t0, clock_ns()));
    const float *logits = l->logits;
    for (int i = 0; i < l->n_rows; i++) {
        prompt_read(l, l->who[i], &l->rows[i], logits);
        if (l->rows[i].n_logits) logits += (size_t)l->rows[i].n_logits * (size_t)l->stride;
    }
    return true;
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void sweep(struct loop *l)
{
    for (int i = l->n_task - 1; i >= 0; i--) {
        struct task *t = l->task[i];
        if (!t->cancel && !t->cut.code) continue;
        if (!t->begun) seq_begin(t->seq);
        t->begun = true;
        seq_cancel(t->seq);
        finish(l, t, true);
    }
}

bool loop_step(struct loop *l)
{
    sweep(l);
    bool did = decode(l);
    sweep(l);
    return prefill(l) || did || l->n_task;
}
