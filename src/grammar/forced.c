/* forced.c -- runs without a choice: what the language forces is fed at once, never sampled.
 *
 * Forced bytes are easy; the tokens are the hard part, because the last of them would often merge
 * with what comes next. So the run is cut as the tokenizer cuts it (with the bytes before as left
 * context), and then held back: an end is dropped when a longer token of the vocabulary begins with
 * it and is allowed there. Tokens already committed are never cut anew. */
#include "grammar/int.h"

enum { MOST_RUN = 4096, CONTEXT = 48, LOOK_BACK = 4 };

/* The only byte that can follow the set, -1 if there are none, several, or the end or a special may come. */
static int only_byte(struct matcher *m, uint32_t from, uint32_t n)
{
    struct mark k = matcher_mark(m);
    int only = -1;
    for (uint32_t i = from; i < from + n; i++) {
        uint8_t kind = m->conf[i].kind;
        if (kind == C_END || kind == C_SPECIAL || kind == C_TEXT) return -1;
    }
    /* bytes that are seldom alone come first, so that a choice shows early */
    static const char likely[] = "\"0a t}],1[n";
    for (int i = -(int)sizeof likely + 1; i < 256; i++) {
        uint8_t b = i < 0 ? (uint8_t)likely[i + (int)sizeof likely - 1] : (uint8_t)i;
        if (b == only) continue;
        bool may = set_step(m, from, n, b) > 0;
        matcher_reset(m, k);
        if (may && only >= 0) return -1;
        if (may) only = b;
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

/* Token ids of the forced bytes; the context's own tokens are taken off if a cut falls between. */
static int cut_run(struct matcher *m, const struct str *run, int32_t *out, int cap)
{
    struct str all = { 0 };
    left_context(m, &all);
    size_t before = all.len;
    str_put(&all, run->p, run->len);
    int32_t *list = mem_alloc((all.len + 1) * sizeof *list);
    int n = cut(m->v, all.p, all.len, list, (int)all.len), skip = 0;
    size_t at = 0;
    while (skip < n && at < before && list[skip] >= 0 && list[skip] < m->v->n_vocab)
        at += m->v->bytes[list[skip++]].len;
    if (n < 0 || at != before) {  /* the run would merge with what was written: cut it alone */
        skip = 0;
        n = cut(m->v, run->p, run->len, list, (int)all.len);
    }
    n = MIN(n - skip, cap);
    if (n > 0) memcpy(out, list + skip, (size_t)n * sizeof *out);
    mem_free(list);
    str_done(&all);
    return MAX(n, 0);
}

/* Is some token allowed that begins with p[0, len) and is longer? The set is the one before p. */
static bool longer_allowed(struct matcher *m, uint32_t from, uint32_t n, const char *p, size_t len)
{
    const struct vtrie *t = &m->v->all;
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++)
        if ((node = vocab_kid(m->v, node, (uint8_t)p[i])) == NONE) return false;
    struct mark before = matcher_mark(m);
    for (size_t i = 0; i < len && n; i++) {
        n = set_step(m, from, n, (uint8_t)p[i]);
        from = m->set0;
    }
    if (!m->level) m->level = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *m->level);
    struct level *level = m->level;
    level[len] = (struct level){ from, n, matcher_mark(m) };
    bool found = false;
    for (uint32_t i = node; n && i < t->skip[node - 1] && !found; ) {
        uint32_t d = t->depth[i];
        matcher_reset(m, level[d - 1].mark);
        uint32_t k = set_step(m, level[d - 1].from, level[d - 1].n, t->byte[i]);
        if (!k) { i = t->skip[i]; continue; }
        level[d] = (struct level){ m->set0, k, matcher_mark(m) };
        found = t->token[i] >= 0;
        i++;
    }
    matcher_reset(m, before);
    return found;
}

/* How many of the n tokens may be fed: before each of the last few, no longer token may fit. */
static int hold_back(struct matcher *m, const int32_t *token, int n)
{
    size_t start[LOOK_BACK + 1] = { 0 }, total = 0;
    int first = MAX(n - LOOK_BACK, 0);
    struct str bytes = { 0 };
    for (int i = 0; i < n; i++) {
        if (i >= first) start[i - first] = total;
        struct bytes b = m->v->bytes[token[i]];
        str_put(&bytes, b.p, b.len);
        total += b.len;
    }
    struct mark before = matcher_mark(m);
    uint32_t from = matcher_top(m)->conf, k = matcher_top(m)->n_conf;
    size_t at = 0;
    int keep = n;
    for (int i = first; i < n && keep == n; i++) {
        for (; at < start[i - first] && k; at++) {
            k = set_step(m, from, k, (uint8_t)bytes.p[at]);
            from = m->set0;
        }
        if (longer_allowed(m, from, k, bytes.p + at, total - at)) keep = i;
    }
    matcher_reset(m, before);
    str_done(&bytes);
    return keep;
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

int matcher_forced(struct matcher *m, int32_t *token, int cap)
{
    if (!m->v || matcher_top(m)->finished || cap < 1) return 0;
    int32_t special = only_special(m);
    if (special >= 0) { token[0] = special; return 1; }
    struct mark before = matcher_mark(m);
    uint32_t from = matcher_top(m)->conf, n = matcher_top(m)->n_conf;
    struct str run = { 0 };
    for (int b; run.len < MOST_RUN && (b = only_byte(m, from, n)) >= 0; ) {
        n = set_step(m, from, n, (uint8_t)b);
        from = m->set0;
        str_putc(&run, (char)b);
    }
    bool ends = true;  /* nothing but a special token or the end follows */
    for (uint32_t i = from; i < from + n; i++)
        ends &= m->conf[i].kind == C_END || m->conf[i].kind == C_SPECIAL;
    matcher_reset(m, before);
    int k = 0;
    if (run.len) {
        k = cut_run(m, &run, token, cap);
        size_t len = 0;
        for (int i = 0; i < k; i++) len += m->v->bytes[token[i]].len;
        if (len == run.len && !ends) k = hold_back(m, token, k);
    }
    str_done(&run);
    return k;
}
