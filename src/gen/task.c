/* task.c -- one request on its way through the loop: made ready, its events, its place among others.
 *
 * Making ready (render, tokenise, compile the grammar, check the budget) needs no model and is done by any
 * thread, so that a large tool list does not hold up those who are being served. What it finds wrong is
 * said before the first token. */
#include "gen/sched_int.h"

#define AGE_WORTH 500     /* prompt tokens that a second of waiting makes up for */
#define PRIORITY_WORTH 1000

/* ---- events ---------------------------------------------------------------------------------- */

static void so_far(const struct task *t, struct event *ev)
{
    uint64_t now = clock_ns(), read = t->prefill_ns ? t->prefill_ns : now;
    ev->usage.cached_tokens = t->n_cached;
    ev->usage.written_tokens = t->n_written;
    if (!t->start_ns) return;
    ev->timing.queue_ms = (double)(t->start_ns - t->born_ns) * 1e-6;
    ev->timing.prefill_ms = (double)(read - t->start_ns) * 1e-6;
    ev->timing.decode_ms = (double)(now - read) * 1e-6;
}

/* What only the loop knows is put into the event; what is needed to replay the turn is kept. */
bool task_tell(void *task, const struct event *ev)
{
    struct task *t = task;
    struct event out = *ev;
    if (t->r->random_ids) message_event(&t->turn, ev);
    if (ev->kind != EV_FINISH) out.usage = *seq_usage(t->seq);
    so_far(t, &out);
    if (ev->kind == EV_FINISH) {
        t->usage = out.usage;
        t->reason = ev->reason;
        if (t->ending) t->ending(t);                                  /* the request is its owner's again after this event */
    }
    if (ev->kind == EV_CALL_END) t->n_call++, t->n_unfit += !ev->schema_ok;
    return t->fn(t->ctx, &out);
}

/* ---- making ready ---------------------------------------------------------------------------- */

static bool raw_prompt(struct task *t, const struct engine *en, struct err *e)
{
    int n_vocab = model_config(en->model)->n_vocab;
    for (int i = 0; i < t->n_raw; i++) {
        if (t->raw[i] < 0 || t->raw[i] >= n_vocab)
            return err_set(e, ERR_ARG, "prompt: token %d is %d, must be at least 0 and below %d", i, (int)t->raw[i], n_vocab);
        ids_put(&t->prompt, t->raw[i]);
    }
    return true;
}

static bool make_prompt(struct task *t, struct engine *en, struct replay *re, int n_ctx, struct err *e)
{
    t->prompt.n = 0;
    bool ok = t->raw || !t->r->messages ? raw_prompt(t, en, e)
              : re                      ? replay_prompt(re, en, t->r, &t->prompt, &t->text, &t->n_replayed, e)
                                        : engine_prompt(en, t->r, &t->prompt, e);
    if (!ok) return false;
    if (!t->prompt.n) return err_set(e, ERR_ARG, "the prompt is empty");
    if (t->prompt.n >= (size_t)n_ctx)
        return err_set(e, ERR_LIMIT,
                       "context_length_exceeded: the prompt has %zu tokens, the context holds %d "
                       "and must leave room for the answer",
                       t->prompt.n, n_ctx);
    return true;
}

/* Models of our own are tiny and trained for it; others speak for themselves unless asked. */
static unsigned steer_of(const struct engine *en, const struct request *r)
{
    if (r->steer >= 0) return (unsigned)r->steer;
    return strcmp(en->dialect->name, "lfm2-json") ? 0 : STEER_ALL;
}

bool task_prepare(struct task *t, struct engine *en, struct replay *re, int n_ctx, struct err *e)
{
    t->kv = t->fork = -1;
    if (!make_prompt(t, en, re, n_ctx, e)) return false;
    int room = n_ctx - (int)t->prompt.n;
    bool asked = t->r->max_tokens && t->r->max_tokens <= room;
    char why[120] = "max_tokens is";
    if (!asked)
        snprintf(why, sizeof why, "the prompt of %zu tokens leaves of the context's %d", t->prompt.n, n_ctx);
    struct seq_opts o = { .voice = { en->tok, en->dialect, en->vocab },
                          .grammars = en->grammars,
                          .r = t->r,
                          .budget = asked ? t->r->max_tokens : room,
                          .budget_why = why,
                          .stride = model_config(en->model)->n_vocab,
                          .steer = steer_of(en, t->r),
                          .fn = task_tell,
                          .ctx = t,
                          .usage = { .prompt_tokens = (int)t->prompt.n },
                          .start_ns = t->born_ns };
    if (!(t->seq = seq_open(&o, e))) return false;
    for (size_t i = 0; i < t->prompt.n; i++) ids_put(&t->seen, t->prompt.id[i]);
    t->logits = mem_alloc((size_t)o.stride * (1 + DRAFT_MOST) * sizeof *t->logits);
    return true;
}

void task_done(struct task *t)
{
    seq_close(t->seq);
    mem_free(t->prompt.id);
    mem_free(t->seen.id);
    mem_free(t->logits);
    message_done(&t->turn);
}

/* ---- order ----------------------------------------------------------------------------------- */

double task_cost(const struct task *t, int done, uint64_t now)
{
    return (double)t->prompt.n - done - (double)t->priority * PRIORITY_WORTH - (double)(now - t->born_ns) * 1e-9 * AGE_WORTH;
}

/* Tokens that two prompts begin with alike. */
int task_common(const struct task *a, const struct task *b)
{
    int n = (int)MIN(a->prompt.n, b->prompt.n), i = 0;
    while (i < n && a->prompt.id[i] == b->prompt.id[i]) i++;
    return i;
}

/* ---- where a prompt is worth going on from --------------------------------------------------- */

#define FIRST 3           /* borders marked from the front (the end of the tools is among them) */
#define LAST 4            /* and from the back (where the conversation goes on) */
#define APART 8           /* tokens that are not worth a state of their own */

/* Borders: where a control token follows text. */
int task_borders(const struct task *t, const struct tokenizer *tok, int from, int *pos)
{
    int first[FIRST], last[LAST], n_first = 0, n_last = 0, before = from;
    for (int i = MAX(from, 0) + 1; i < (int)t->prompt.n; i++) {
        if (!tok_is_control(tok, t->prompt.id[i]) || tok_is_control(tok, t->prompt.id[i - 1])) continue;
        if (i - before < APART) continue;
        before = i;
        if (n_first < FIRST) { first[n_first++] = i; continue; }
        if (n_last == LAST) memmove(last, last + 1, (size_t)(--n_last) * sizeof *last);
        last[n_last++] = i;
    }
    memcpy(pos, first, (size_t)n_first * sizeof *pos);
    memcpy(pos + n_first, last, (size_t)n_last * sizeof *pos);
    return n_first + n_last;
}
