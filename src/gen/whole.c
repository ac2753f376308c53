/* whole.c -- a tiny model's decisions compared as wholes instead of token by token.
 *
 * The best first token is not the first token of the best answer: ways to begin a text share their
 * probability among many tokens while a call has one marker, and names that begin alike split
 * theirs. So at the start of a turn the mass of calls stands against the mass of text, and a tool's
 * name is chosen by the probability of all its tokens and of its end. Both only pick among what the
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

/* Summed log-probability of a name and its end; -inf if it cannot be told. */
static double score_name(const struct whole *w, const float *now, const struct ids *name, char end)
{
    struct err e = { 0 };
    float *rows = mem_alloc(name->n * (size_t)w->stride * sizeof *rows);
    double sum = -INFINITY;
    if (w->ahead(w->ctx, name->id, (int)name->n, rows, &e)) {
        sum = now[name->id[0]] - log_sum(now, w->n_vocab);
        for (size_t i = 1; i < name->n; i++) {
            const float *l = rows + (i - 1) * (size_t)w->stride;
            sum += l[name->id[i]] - log_sum(l, w->n_vocab);
        }
        sum += log_begins(w, rows + (name->n - 1) * (size_t)w->stride, end);
    }
    mem_free(rows);
    return sum;
}

/* A name that may stand here: its tokens, the byte that ends it, and the log-probability of the
 * first token, which bounds that of the whole. */
struct candidate { struct ids tok; char end; double prior, bound; };

static bool candidate_init(struct candidate *c, const struct whole *w, const struct matcher *m,
                           int tool, const float *now)
{
    const char *name = w->tool[tool].name;
    *c = (struct candidate){ .end = end_of_name(m, name) };
    if (!c->end) return false;
    if (!tok_encode(w->voice.tok, name, strlen(name), TOK_INSIDE, &c->tok, NULL)) return false;
    if (!c->tok.n || c->tok.n > NAME_TOKENS) return false;
    c->prior = w->prior[tool];
    c->bound = now[c->tok.id[0]] - log_sum(now, w->n_vocab) + c->prior;
    return true;
}

static int more_likely(const void *a, const void *b)
{
    double x = ((const struct candidate *)a)->bound, y = ((const struct candidate *)b)->bound;
    return (x < y) - (x > y);
}

/* The best of n, looked at in the order of their bounds, so that most need not be looked at. */
static const struct candidate *best_of(const struct whole *w, struct candidate *c, int n,
                                       const float *now)
{
    const struct candidate *best = NULL;
    double top = -INFINITY;
    qsort(c, (size_t)n, sizeof *c, more_likely);
    for (int i = 0; i < n && c[i].bound > top; i++) {
        double s = score_name(w, now, &c[i].tok, c[i].end) + c[i].prior;
        if (s > top) top = s, best = &c[i];
    }
    return best;
}

bool whole_name(const struct whole *w, const struct matcher *m, const float *now, struct ids *out)
{
    struct candidate c[NAMES_MOST];
    int n = 0;
    out->n = 0;
    if (w->n_tool < 2 || w->n_tool > NAMES_MOST || is_text(m)) return false;
    for (int i = 0; i < w->n_tool; i++) {
        if (candidate_init(&c[n], w, m, i, now)) n++;
        else mem_free(c[n].tok.id);
    }
    const struct candidate *best = n > 1 ? best_of(w, c, n, now) : NULL;
    for (size_t k = 0; best && k < best->tok.n; k++) ids_put(out, best->tok.id[k]);
    for (int i = 0; i < n; i++) mem_free(c[i].tok.id);
    return out->n > 0;
}
