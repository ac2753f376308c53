/* forced.c -- runs without a choice: what the language forces is fed at once, never sampled.
 *
 * Forced bytes are easy; the tokens are the hard part, because the last of them would often merge
 * with what comes next. So the run is cut as the tokenizer cuts it (with the bytes before as left
 * context), and then held back: where a longer token begins at or inside of one of the last tokens
 * and is allowed there, the tokenizer is asked again with it in place, and what changes is dropped.
 * Asked about are texts that end with the longer token; what follows it can only take its own last
 * bytes away, and a shorter token that then comes out is one of those asked about. They are the LONGER
 * most frequent ones; that this is enough is measured (`bench masks --forced` writes a random way on
 * behind every run). Tokens already committed are never cut anew.
 *
 * What is held back is still the likeliest way on: `":"` waits only because a string may begin with
 * a slash, and then the model would write `":"/`. Its bytes are forced but the token is not, so
 * feeding it for good would make texts that begin so either unreachable or a sequence no model has
 * read. It is therefore handed over as a draft: fed in the same batch as the run before it, and kept
 * only if the choice made at its place, under the usual mask, is that very token. A draft costs a row
 * of a batch where a token of its own would cost a pass over the weights. One is made where at
 * most every DRAFT_ODDSth byte that may follow leads into a longer token. */
#include "grammar/int.h"

enum { MOST_RUN = 4096, CONTEXT = 48, LOOK_BACK = 4, INSIDE = 12, LONGER = 12, LOOKED = 400,
       DRAFT_ODDS = 4, FEW_BYTES = 32 };

/* The only byte that can follow the set, -1 if there are none, several, or the end or a special may come. */
static int only_byte(struct matcher *m, uint32_t from, uint32_t n)
{
    struct mark k = matcher_mark(m);
    int only = -1;
    for (uint32_t i = from; i < from + n; i++) {
        uint8_t kind = m->conf[i].kind;
        if (kind == C_END || kind == C_SPECIAL || kind == C_TEXT) return -1;
    }
    struct byteset may = set_bytes(m, from, n);
    bool single = byteset_count(&may) == 1;
    /* bytes that are seldom alone come first, so that a choice shows early */
    static const char likely[] = "\"0a t}],1[n";
    for (int i = -(int)sizeof likely + 1; i < 256; i++) {
        uint8_t b = i < 0 ? (uint8_t)likely[i + (int)sizeof likely - 1] : (uint8_t)i;
        if (b == only || !byteset_has(&may, b)) continue;
        if (single) return b;           /* no configuration is dead */
        bool can = set_step(m, from, n, b) > 0;
        matcher_reset(m, k);
        if (can && only >= 0) return -1;
        if (can) only = b;
    }
    return only;
}

/* Longest match, for vocabularies without a tokenizer. */
static int longest_match(const struct vocab *v, const char *p, size_t n, int32_t *out, int cap)
{
    int k = 0;
    for (size_t i = 0; i < n; ) {
        uint32_t node = 0;
        size_t best = 0;
        int32_t token = -1;
        for (size_t j = i; j < n && (node = vocab_kid(v, node, (uint8_t)p[j])) != NONE; j++)
            if (v->all.token[node - 1] >= 0) { token = v->all.token[node - 1]; best = j + 1 - i; }
        if (token < 0 || k == cap) return -1;
        out[k++] = token;
        i += best;
    }
    return k;
}

static int cut(const struct vocab *v, const char *p, size_t n, int32_t *out, int cap)
{
    return v->encode ? v->encode(v->encode_ctx, p, n, out, cap) : longest_match(v, p, n, out, cap);
}

/* Bytes of the last tokens, back to a special token or CONTEXT bytes; whole tokens only. */
static void left_context(const struct matcher *m, struct str *out)
{
    uint32_t first = m->n_snap;
    size_t n = 0;
    while (first > 1) {
        int32_t t = m->snap[first - 1].token;
        if (t < 0 || !m->v->bytes[t].p || n + m->v->bytes[t].len > CONTEXT) break;
        n += m->v->bytes[t].len;
        first--;
    }
    for (; first < m->n_snap; first++) {
        struct bytes b = m->v->bytes[m->snap[first].token];
        str_put(out, b.p, b.len);
    }
}

/* A forced run while it is being cut. */
struct forced {
    struct matcher *m;
    struct str context, run;       /* bytes of the tokens before; the bytes that are forced */
    uint32_t from, n;              /* the set behind the run */
    int32_t *token; int n_token;
    struct byteset first;          /* bytes behind the run that lead into a longer token */
};

/* Cuts context + run + more; the tokens of the run go to out. The context's own tokens are taken off if
 * a cut falls behind it; else the run would merge with what is written, and is cut alone. */
static int cut_run(const struct forced *f, const char *more, size_t n_more, int32_t *out, int cap)
{
    struct str all = { 0 };
    str_put(&all, f->context.p, f->context.len);
    str_put(&all, f->run.p, f->run.len);
    str_put(&all, more, n_more);
    const struct vocab *v = f->m->v;
    int32_t *list = mem_alloc((all.len + 1) * sizeof *list);
    int n = cut(v, all.p, all.len, list, (int)all.len), skip = 0;
    size_t at = 0, before = f->context.len;
    while (skip < n && at < before && list[skip] >= 0 && list[skip] < v->n_vocab)
        at += v->bytes[list[skip++]].len;
    if (n < 0 || at != before) {
        skip = 0;
        n = cut(v, all.p + before, all.len - before, list, (int)all.len);
    }
    n = MIN(n - skip, cap);
    if (n > 0) memcpy(out, list + skip, (size_t)n * sizeof *out);
    mem_free(list);
    str_done(&all);
    return MAX(n, 0);
}

/* Allowed tokens that begin with the last `len` bytes of the run and are longer: the most frequent ones
 * (smallest ids), at most LONGER. Looks at LOOKED of them; first: the bytes of theirs behind the run. */
static int longer_tokens(struct forced *f, size_t len, int32_t out[LONGER], struct byteset *first)
{
    struct matcher *m = f->m;
    const struct vtrie *t = &m->v->all;
    uint32_t node = 0;
    for (size_t i = f->run.len - len; i < f->run.len; i++)
        if ((node = vocab_kid(m->v, node, (uint8_t)f->run.p[i])) == NONE) return 0;
    if (!m->level) m->level = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *m->level);
    struct level *level = m->level;
    struct mark before = matcher_mark(m);
    level[len] = (struct level){ f->from, f->n, before };
    int n = 0;
    for (uint32_t i = node, looked = 0; i < t->skip[node - 1] && looked < LOOKED; ) {
        uint32_t d = t->depth[i];
        matcher_reset(m, level[d - 1].mark);
        uint32_t k = set_step(m, level[d - 1].from, level[d - 1].n, t->byte[i]);
        if (!k) { i = t->skip[i]; continue; }
        level[d] = (struct level){ m->set0, k, matcher_mark(m) };
        int32_t id = t->token[i++];
        if (id < 0) continue;
        looked++;
        byteset_add(first, (uint8_t)m->v->bytes[id].p[len]);
        int at = n < LONGER ? n++ : LONGER - 1;
        if (at == LONGER - 1 && looked > LONGER && out[at] < id) continue;
        for (; at > 0 && out[at - 1] > id; at--) out[at] = out[at - 1];
        out[at] = id;
    }
    matcher_reset(m, before);
    return n;
}

/* With a longer token in place of the last `len` bytes, how many of the first `keep` tokens stay? */
static int agree(const struct forced *f, size_t len, int32_t longer, int keep)
{
    struct bytes b = f->m->v->bytes[longer];
    int32_t *other = mem_alloc(((size_t)f->n_token + 1) * sizeof *other);
    int n = cut_run(f, b.p + len, b.len - len, other, f->n_token), same = 0;
    while (same < MIN(n, keep) && other[same] == f->token[same]) same++;
    mem_free(other);
    return same;
}

/* How many of `keep` tokens stay whichever longer token comes that begins with the last `len` bytes of the
 * run? begins: the token that begins there, -1: inside of one. That token goes unasked where too many
 * longer ones begin with it to ask about. */
static int hold_at(struct forced *f, size_t len, int keep, int begins)
{
    int32_t longer[LONGER];
    struct byteset first = { 0 };
    int n = longer_tokens(f, len, longer, &first), least = keep;
    if (begins >= 0 && n == LONGER && begins < keep) {
        for (int i = 0; i < 4; i++) f->first.w[i] |= first.w[i];
        return begins;
    }
    for (int k = 0; k < n; k++) {
        int same = agree(f, len, longer[k], f->n_token);
        if (same == f->n_token) continue;
        byteset_add(&f->first, (uint8_t)f->m->v->bytes[longer[k]].p[len]);
        least = MIN(least, same);
    }
    return least;
}

/* How many of the tokens may be fed, whatever comes next. */
static int hold_back(struct forced *f)
{
    int keep = f->n_token, i = f->n_token;
    size_t start = f->run.len, inside = 0;
    for (size_t at = f->run.len; at-- > 0 && i > f->n_token - LOOK_BACK && i > 0; ) {
        size_t token_len = f->m->v->bytes[f->token[i - 1]].len, len = f->run.len - at;
        bool begins = at + token_len == start;
        if (len > (size_t)f->m->v->max_len) break;
        if (begins || inside++ < INSIDE) keep = hold_at(f, len, keep, begins ? i - 1 : -1);
        if (begins) { start = at; i--; }
    }
    return keep;
}

/* Is what was held back likely enough to be fed as a draft? */
static bool is_likely(struct forced *f)
{
    struct byteset may = set_bytes(f->m, f->from, f->n);
    struct mark k = matcher_mark(f->m);
    int n = byteset_count(&may);
    for (int b = 0, all = n; all <= FEW_BYTES && b < 256; b++) {
        if (!byteset_has(&may, (uint8_t)b)) continue;
        n -= !set_step(f->m, f->from, f->n, (uint8_t)b);
        matcher_reset(f->m, k);
    }
    return byteset_count(&f->first) * DRAFT_ODDS <= n;
}

/* The special token that alone may come, or -1. */
static int32_t only_special(const struct matcher *m)
{
    const struct snap *s = matcher_top(m);
    int32_t only = -1;
    for (uint32_t i = s->conf; i < s->conf + s->n_conf; i++) {
        if (m->conf[i].kind != C_SPECIAL) return -1;
        int32_t t = m->bind->special[m->g->op[m->conf[i].ref].a];
        if (only >= 0 && only != t) return -1;
        only = t;
    }
    return only;
}

int matcher_forced(struct matcher *m, int32_t *token, int cap, int *n_draft)
{
    if (n_draft) *n_draft = 0;
    if (!m->v || matcher_top(m)->finished || cap < 1) return 0;
    int32_t special = only_special(m);
    if (special >= 0) { token[0] = special; return 1; }
    struct mark before = matcher_mark(m);
    struct forced f = { .m = m, .from = matcher_top(m)->conf, .n = matcher_top(m)->n_conf, .token = token };
    for (int b; f.run.len < MOST_RUN && (b = only_byte(m, f.from, f.n)) >= 0; ) {
        f.n = set_step(m, f.from, f.n, (uint8_t)b);
        f.from = m->set0;
        str_putc(&f.run, (char)b);
    }
    bool ends = true;  /* nothing but a special token or the end follows */
    for (uint32_t i = f.from; i < f.from + f.n; i++)
        ends &= m->conf[i].kind == C_END || m->conf[i].kind == C_SPECIAL;
    int keep = 0;
    if (f.run.len) {
        left_context(m, &f.context);
        keep = f.n_token = cut_run(&f, "", 0, token, cap);
        size_t len = 0;
        for (int i = 0; i < keep; i++) len += m->v->bytes[token[i]].len;
        if (len == f.run.len && !ends) keep = hold_back(&f);
        if (n_draft && keep < f.n_token && is_likely(&f)) *n_draft = f.n_token - keep;
    }
    matcher_reset(m, before);
    str_done(&f.run);
    str_done(&f.context);
    return keep;
}
