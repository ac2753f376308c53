/* whole.c -- a tiny model's decisions compared as wholes instead of token by token.
 *
 * The best first token is not the first token of the best answer: ways to begin a text share their
 * probability among many tokens while a call has one marker, and names that begin alike split
 * theirs. So at the start of a turn the mass of calls stands against the mass of text, and a tool's
 * name is chosen by the probability of all its tokens and of its end, and so are the members of an
 * enum. All only pick among what the
 * grammar allows, and only where nothing is left to chance (temperature 0). */
#include <math.h>
#include <stdlib.h>

#include "gen/int.h"

#define WHOLE_TOKENS 96 /* longer texts are left to the usual way */

static bool in_mask(const uint32_t *mask, int t) { return mask[t >> 5] >> (t & 31) & 1; }

int32_t whole_turn(const struct voice *v, const float *logits, const uint32_t *mask, int n_vocab,
                   double lean)
{
    int32_t top = sample_argmax(logits, mask, n_vocab), best[2] = { -1, -1 };
    double mass[2] = { 0, 0 };
    if (top < 0 || !(logits[top] > -INFINITY)) return top;
    for (int t = 0; t < n_vocab; t++) {
        if (!in_mask(mask, t) || !(logits[t] > logits[top] - 30)) continue;
        int call = voice_is_special(v, t) && !tok_is_eog(v->tok, t);
        mass[call] += exp((double)logits[t] - logits[top]);
        if (best[call] < 0 || logits[t] > logits[best[call]]) best[call] = t;
    }
    int heavier = mass[1] * exp(lean) > mass[0];
    return best[heavier] >= 0 ? best[heavier] : top;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static double log_sum(const float *l, int n)
{
    float top = -INFINITY;
    double sum = 0;
    for (int i = 0; i < n; i++) top = l[i] > top ? l[i] : top;
    for (int i = 0; i < n; i++) sum += exp((double)l[i] - top);
    return top + log(sum);
}

/* Log-probability of a token that begins with one of these bytes. */
static double log_begins(const struct whole *w, const float *l, const char *ends)
{
    double sum = 0, all = log_sum(l, w->n_vocab);
    for (int t = 0; t < w->n_vocab; t++) {
        struct bytes b = tok_bytes(w->voice.tok, t);
        if (b.len && b.p[0] && strchr(ends, b.p[0]) && !voice_is_special(&w->voice, t)) sum += exp(l[t] - all);
    }
    return log(sum);
}

/* May the text and one of the bytes that end it stand here? */
static bool may_stand(const struct matcher *m, const char *text, size_t n, const char *ends)
{
    struct matcher *f = matcher_fork(m);
    bool ok = matcher_commit_bytes(f, text, n);
    for (; ok && *ends; ends++)
        if (matcher_commit_bytes(f, ends, 1)) break;
    matcher_free(f);
    return ok && *ends;
}

/* May text stand here? Then a name is just text. */
static bool is_text(const struct matcher *m)
{
    struct matcher *f = matcher_fork(m);
    bool text = matcher_commit_bytes(f, "\x01", 1);
    matcher_free(f);
    return text;
}

/* A text that may stand here: its tokens, how many of them there are at each place where it may end, the log-probability of each
 * as far as it is known. bound: no ending of it is better; score: of the best ending, once it is known. */
struct candidate {
    struct ids tok;
    int n_stop; struct { size_t n; double prior; } stop[STOPS_MOST];
    double bound, score, model;                                       /* model: score without the prior */
    size_t n_best;
    float lp[WHOLE_TOKENS];
};

/* Tokens up to each stop are those of the pieces between stops. */
static bool put_stop(struct candidate *c, const struct whole *w, const struct whole_item *it, size_t from, int i)
{
    size_t to = it->stop[i].at;
    if (!tok_encode(w->voice.tok, it->text + from, to - from, TOK_INSIDE, &c->tok, NULL)) return false;
    c->stop[c->n_stop].n = c->tok.n;
    c->stop[c->n_stop++].prior = it->stop[i].prior;
    return true;
}

static bool candidate_init(struct candidate *c, const struct whole *w, const struct matcher *m, const struct whole_item *it, const float *now)
{
    double best = -INFINITY;
    size_t from = 0;
    *c = (struct candidate){ 0 };
    for (int i = 0; i < it->n_stop; i++) {
        if (!may_stand(m, it->text, it->stop[i].at, w->ends)) break;
        if (!put_stop(c, w, it, from, i)) return false;
        if (c->tok.n > WHOLE_TOKENS) { c->n_stop--; break; }
        from = it->stop[i].at;
        best = MAX(best, it->stop[i].prior);
    }
    if (!c->n_stop || !c->tok.n) return false;
    c->tok.n = c->stop[c->n_stop - 1].n;
    c->lp[0] = (float)(now[c->tok.id[0]] - log_sum(now, w->n_vocab));
    c->bound = c->lp[0] + best;
    return true;
}

static int more_likely(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->bound, y = ((const struct candidate *)b)->bound;
    return (x < y) - (x > y);
}

bool whole_begin(struct whole *w, const struct matcher *m, const float *now)
{
    whole_done(w);
    if (w->n_item < w->least || w->n_item > ITEMS_MOST || is_text(m)) return false;
    w->c = mem_zero((size_t)w->n_item * sizeof *w->c);
    for (int i = 0; i < w->n_item; i++) {
        if (candidate_init(&w->c[w->n], w, m, &w->item[i], now)) w->n++;
        else mem_free(w->c[w->n].tok.id), w->c[w->n].tok.id = NULL;
    }
    w->top = -INFINITY;
    w->mass = 0;
    w->best = -1;
    qsort(w->c, (size_t)w->n, sizeof *w->c, more_likely);
    if (w->n >= w->least) return true;
    whole_done(w);
    return false;
}

/* In the order of their bounds, so that most need not be looked at. */
const struct ids *whole_next(const struct whole *w)
{
    bool worth = w->at < w->n && w->c[w->at].bound > MAX(w->top, w->floor > 0 ? -9 : -INFINITY);
    return worth ? &w->c[w->at].tok : NULL;
}

void whole_rows(struct whole *w, const float *rows)
{
    struct candidate *c = &w->c[w->at++];
    double sum = c->lp[0];
    size_t i = 1;
    c->score = -INFINITY;
    for (int k = 0; rows && k < c->n_stop; k++) {
        for (; i < c->stop[k].n; i++) {
            const float *l = rows + (i - 1) * (size_t)w->stride;
            c->lp[i] = (float)(l[c->tok.id[i]] - log_sum(l, w->n_vocab));
            sum += c->lp[i];
        }
        double model = sum + log_begins(w, rows + (i - 1) * (size_t)w->stride, w->ends);
        w->mass += exp(model);
        if (model + c->stop[k].prior > c->score) c->score = model + c->stop[k].prior, c->model = model, c->n_best = i;
    }
    if (rows) c->bound = c->score;
    if (c->score > w->top) w->top = c->score, w->best = w->at - 1;
}

float whole_share(const struct whole *w)
{
    double all = 0;
    if (w->floor > 0) return (float)MIN(exp(w->c[w->best].model), 1);
    for (int i = 0; i < w->n; i++) all += exp(w->c[i].bound - w->top);
    return all > 0 ? (float)(1 / all) : 1;
}

/* What those that were not looked at have at most: their first tokens, each once. */
static double mass_left(const struct whole *w)
{
    double sum = 0;
    for (int i = w->at; i < w->n; i++) {
        int same = w->at;
        while (same < i && w->c[same].tok.id[0] != w->c[i].tok.id[0]) same++;
        if (same == i) sum += exp(w->c[i].lp[0]);
    }
    return sum;
}

int whole_best(const struct whole *w, const int32_t **tok, const float **logprob)
{
    if (w->best < 0 || w->mass + mass_left(w) < w->floor) return 0;
    *logprob = w->c[w->best].lp;
    *tok = w->c[w->best].tok.id;
    return (int)w->c[w->best].n_best;
}

void whole_done(struct whole *w)
{
    for (int k = 0; k < w->n; k++) mem_free(w->c[k].tok.id);
    mem_free(w->c);
    w->c = NULL;
    w->n = w->at = 0;
}
