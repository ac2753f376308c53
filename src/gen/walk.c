/* walk.c -- the grammar without a model: uniformly random choices under the mask.
 *
 * The hardest speaker the promises can meet: it takes every legal turn, the silly ones included,
 * and still every call must be whole and valid within the budget. Same loop, same parser, same
 * check as with a model; only the logits are missing. */
#include <limits.h>

#include "gen/int.h"

bool random_call(const struct gguf *g, const struct dialect *d, const struct request *r,
                 event_fn *fn, void *ctx, struct err *e)
{
    bool ok = false;
    struct seq *s = NULL;
    struct vocab *v = NULL;
    struct grammars *grammars = grammars_open();
    struct tokenizer *t = tok_open(g, e);
    if (!t) goto out;
    if (!d) d = dialect_detect(g, t);
    v = vocab_of_tokenizer(t, d, e);
    if (!v) goto out;
    struct seq_opts o = {.voice = {t, d, v},
                         .grammars = grammars,
                         .r = r,
                         .budget = r->max_tokens ? r->max_tokens : INT_MAX / 4,
                         .budget_why = "max_tokens is",
                         .no_model = true,
                         .fn = fn,
                         .ctx = ctx,
                         .start_ns = clock_ns()};
    s = seq_open(&o, e);
    ok = s && seq_run(s, e);
out:
    seq_close(s);
    grammars_close(grammars);
    vocab_close(v);
    tok_close(t);
    return ok;
}
