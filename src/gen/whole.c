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

#define NAME_TOKENS 64 /* longer names are left to the usual way */
#define NAMES_MOST 64

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

/* ---- names ----------------------------------------------------------------------------------- */

static double log_sum(const float *l, int n)
{
    float top = -INFINITY;
    double sum = 0;
    for (int i = 0; i < n; i++) top = l[i] > top ? l[i] : top;
    for (int i = 0; i < n; i++) sum += exp((double)l[i] - top);
    return top + log(sum);
}

/* Log-probability of a token that begins with byte c. */
static double log_begins(const struct whole *w, const float *l, char c)
{
    double sum = 0, all = log_sum(l, w->n_vocab);
    for (int t = 0; t < w->n_vocab; t++) {
        struct bytes b = tok_bytes(w->voice.tok, t);
        if (b.len && b.p[0] == c && !voice_is_special(&w->voice, t)) sum += exp(l[t] - all);
    }
    return log(sum);
}

/* The byte that ends a name here ('"' or '('), 0 if the name cannot stand here. */
static char end_of_name(const struct matcher *m, const char *name)
{
    struct matcher *f = matcher_fork(m);
    char end = 0;
    if (matcher_commit_bytes(f, name, strlen(name)))
        end = matcher_commit_bytes(f, "\"", 1) ? '"' : matcher_commit_bytes(f, "(", 1) ? '(' : 0;
    matcher_free(f);
    return end;
}

/* May text stand here? Then a name is just text. */
static bool is_text(const struct matcher *m)
{
    struct matcher *f = matcher_fork(m);
    bool text = matcher_commit_bytes(f, "\x01", 1);
    matcher_free(f);
    return text;
}

/* A name that may stand here: its tokens, the byte that ends it, the log-probability of each token as far as it is known;
 * that of the first, with the prior, bounds that of the whole, until the whole is known. */
struct candidate { struct ids tok; char end; double prior, bound; float lp[NAME_TOKENS]; };

static bool candidate_init(struct candidate *c, const struct whole *w, const struct matcher *m,
                           int tool, const float *now)
{
    const char *name = w->name[tool];
    *c = (struct candidate){ .end = end_of_name(m, name) };
    if (!c->end) return false;
    if (!tok_encode(w->voice.tok, name, strlen(name), TOK_INSIDE, &c->tok, NULL)) return false;
    if (!c->tok.n || c->tok.n > NAME_TOKENS) return false;
    c->prior = w->prior[tool];
    c->lp[0] = (float)(now[c->tok.id[0]] - log_sum(now, w->n_vocab));
    c->bound = now[c->tok.id[0]] - log_sum(now, w->n_vocab) + c->prior;
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
    if (w->n_name < 2 || w->n_name > NAMES_MOST || is_text(m)) return false;
    w->c = mem_zero((size_t)w->n_name * sizeof *w->c);
    for (int i = 0; i < w->n_name; i++) {
        if (candidate_init(&w->c[w->n], w, m, i, now)) w->n++;
        else mem_free(w->c[w->n].tok.id), w->c[w->n].tok.id = NULL;
    }
    w->top = -INFINITY;
    w->best = -1;
    qsort(w->c, (size_t)w->n, sizeof *w->c, more_likely);
    if (w->n > 1) return true;
    whole_done(w);
    return false;
}

/* In the order of their bounds, so that most need not be looked at. */
const struct ids *whole_next(const struct whole *w)
{
    return w->at < w->n && w->c[w->at].bound > w->top ? &w->c[w->at].tok : NULL;
}

void whole_rows(struct whole *w, const float *rows)
{
    struct candidate *c = &w->c[w->at++];
    if (!rows) return;
    double sum = c->bound - c->prior;
    for (size_t i = 1; i < c->tok.n; i++) {
        const float *l = rows + (i - 1) * (size_t)w->stride;
        c->lp[i] = (float)(l[c->tok.id[i]] - log_sum(l, w->n_vocab));
        sum += l[c->tok.id[i]] - log_sum(l, w->n_vocab);
    }
    sum += log_begins(w, rows + (c->tok.n - 1) * (size_t)w->stride, c->end) + c->prior;
    c->bound = sum;
    if (sum > w->top) w->top = sum, w->best = w->at - 1;
}

float whole_share(const struct whole *w)
{
    double all = 0;
    for (int i = 0; i < w->n; i++) all += exp(w->c[i].bound - w->top);
    return all > 0 ? (float)(1 / all) : 1;
}

const struct ids *whole_best(const struct whole *w, const float **logprob)
{
    if (w->best < 0) return NULL;
    *logprob = w->c[w->best].lp;
    return &w->c[w->best].tok;
}

void whole_done(struct whole *w)
{
    for (int k = 0; k < w->n; k++) mem_free(w->c[k].tok.id);
    mem_free(w->c);
    w->c = NULL;
    w->n = w->at = 0;
}
