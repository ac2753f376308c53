/* lexicon.c -- the vocabulary as the automaton wants it, built once per tokenizer.
 *
 * All byte tokens lie in one trie, stored depth first: node i has a byte, a depth, the token that ends
 * there and `skip`, the next node outside of its subtree. Walking it with the automaton visits a node
 * only if the path above it is alive. Two shortcuts keep dense masks off the walk: tokens that are
 * pure content of a JSON string, sorted by their length in code points, and a second, small trie of
 * the tokens that contain a quote and so may leave the string.
 * Special tokens are not bytes: they are reached by id only. */
#include <stdlib.h>

#include "grammar/int.h"

static const struct bytes *sort_bytes;                  /* under sort_lock: qsort has no context */
static uint64_t last_id;
static pthread_mutex_t sort_lock = PTHREAD_MUTEX_INITIALIZER;

static int token_cmp(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    struct bytes p = sort_bytes[x], q = sort_bytes[y];
    int c = memcmp(p.p, q.p, MIN(p.len, q.len));
    if (c) return c;
    if (p.len != q.len) return p.len < q.len ? -1 : 1;
    return (x > y) - (x < y);
}

static size_t common(struct bytes a, struct bytes b)
{
    size_t n = 0, most = MIN(a.len, b.len);
    while (n < most && a.p[n] == b.p[n]) n++;
    return n;
}

/* list: token ids sorted by bytes. Equal tokens share a node and are chained through v->same. */
static void vtrie_build(struct vocab *v, struct vtrie *t, const int32_t *list, int n, bool chain)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += v->bytes[list[i]].len - (i ? common(v->bytes[list[i - 1]], v->bytes[list[i]]) : 0);
    t->byte = arena_alloc(&v->mem, total + 1);
    t->depth = arena_alloc(&v->mem, (total + 1) * sizeof *t->depth);
    t->skip = arena_alloc(&v->mem, (total + 1) * sizeof *t->skip);
    t->token = arena_alloc(&v->mem, (total + 1) * sizeof *t->token);
    for (int i = 0; i < n; i++) {
        struct bytes b = v->bytes[list[i]];
        size_t same = i ? common(v->bytes[list[i - 1]], b) : 0;
        for (size_t d = same; d < b.len; d++, t->n++) {
            t->byte[t->n] = (uint8_t)b.p[d];
            t->depth[t->n] = (uint16_t)(d + 1);
            t->token[t->n] = -1;
        }
        int32_t *at = &t->token[t->n - 1];
        if (*at < 0) *at = list[i];
        else if (chain) { v->same[list[i]] = v->same[*at]; v->same[*at] = list[i]; }
    }
    uint32_t *open = mem_alloc((size_t)(v->max_len + 2) * sizeof *open);
    size_t n_open = 0;
    for (uint32_t i = 0; i <= t->n; i++) {
        while (n_open && (i == t->n || t->depth[open[n_open - 1]] >= t->depth[i]))
            t->skip[open[--n_open]] = i;
        if (i < t->n) open[n_open++] = i;
    }
    mem_free(open);
}

/* Children of every node side by side, for looking one up by byte. Node 0 is the root here, trie node i is i + 1. */
static void kids_build(struct vocab *v)
{
    const struct vtrie *t = &v->all;
    v->kid_off = arena_alloc(&v->mem, ((size_t)t->n + 2) * sizeof *v->kid_off);
    v->kid = arena_alloc(&v->mem, ((size_t)t->n + 1) * sizeof *v->kid);
    v->kid_byte = arena_alloc(&v->mem, (size_t)t->n + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i <= t->n; i++) {
        v->kid_off[i] = n;
        uint32_t end = i ? t->skip[i - 1] : t->n;
        for (uint32_t k = i; k < end; k = t->skip[k]) {
            v->kid_byte[n] = t->byte[k];
            v->kid[n++] = k + 1;
        }
    }
    v->kid_off[t->n + 1] = n;
}

uint32_t vocab_kid(const struct vocab *v, uint32_t node, uint8_t b)
{
    uint32_t lo = v->kid_off[node], end = v->kid_off[node + 1], hi = end;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (v->kid_byte[mid] < b) lo = mid + 1;
        else hi = mid;
    }
    return lo < end && v->kid_byte[lo] == b ? v->kid[lo] : NONE;
}

/* Code points of a token read inside a string, a begun one included; -1 if it is not pure content. */
static int content_len(struct bytes b, int esc)
{
    uint16_t lex = LEX_NORMAL;
    uint32_t part = 0;
    int n = 0;
    for (size_t i = 0; i < b.len; i++) {
        uint8_t out[4];
        int n_out;
        enum lex_result r = lex_step(&lex, &part, esc, false, (uint8_t)b.p[i], out, &n_out);
        if (r == LEX_NO || r == LEX_CLOSE) return -1;
        n += r == LEX_BEGIN;
    }
    return n;
}

static void class_build(struct vocab *v, struct strclass *c, int esc)
{
    int32_t *len = mem_alloc((size_t)v->n_vocab * sizeof *len);
    c->all = arena_zero(&v->mem, v->n_word * sizeof *c->all);
    c->n_len = (uint32_t)v->max_len + 1;
    c->len_end = arena_zero(&v->mem, (c->n_len + 1) * sizeof *c->len_end);
    for (int t = 0; t < v->n_vocab; t++) {
        len[t] = v->bytes[t].p ? content_len(v->bytes[t], esc) : -1;
        if (len[t] < 0) continue;
        c->len_end[len[t]]++;
        c->all[t / 32] |= 1u << (t % 32);
    }
    uint32_t sum = 0;
    for (uint32_t k = 0; k <= c->n_len; k++) {
        uint32_t n = c->len_end[k];
        c->len_end[k] = sum;
        sum += n;
    }
    c->by_len = arena_alloc(&v->mem, (sum + 1) * sizeof *c->by_len);
    for (int t = 0; t < v->n_vocab; t++)
        if (len[t] >= 0) c->by_len[c->len_end[len[t]]++] = t;
    mem_free(len);  /* len_end[k] = tokens of at most k code points */
}

static void text_build(struct vocab *v)
{
    v->text_all = arena_zero(&v->mem, v->n_word * sizeof *v->text_all);
    for (int t = 0; t < v->n_vocab; t++) {
        if (!v->bytes[t].p) continue;
        int s = 0;
        for (size_t i = 0; i < v->bytes[t].len && s >= 0; i++)
            s = utf8_dfa(s, (uint8_t)v->bytes[t].p[i]);
        if (s >= 0) v->text_all[t / 32] |= 1u << (t % 32);
    }
}

/* Content that may end in the middle of a code point or escape: what it costs to end it differs. */
static bool ends_inside(struct bytes b)
{
    int s = 0;
    for (size_t i = 0; i < b.len && s >= 0; i++) s = utf8_dfa(s, (uint8_t)b.p[i]);
    return s > 0 || memchr(b.p, '\\', b.len);
}

static bool copy_tokens(struct vocab *v, const struct vocab_spec *s, struct err *e)
{
    size_t n = (size_t)s->n_vocab;
    v->bytes = arena_zero(&v->mem, n * sizeof *v->bytes);
    v->special = arena_zero(&v->mem, n * sizeof *v->special);
    v->is_eog = arena_zero(&v->mem, n);
    v->same = arena_alloc(&v->mem, n * sizeof *v->same);
    for (size_t t = 0; t < n; t++) {
        v->same[t] = -1;
        if (s->special && s->special[t].p) {            /* by id only: its text is ordinary bytes */
            v->special[t] = arena_str(&v->mem, s->special[t].p, s->special[t].len);
            continue;
        }
        if (!s->token[t].p || !s->token[t].len || s->token[t].len > 4096) continue;
        v->bytes[t] =
            (struct bytes){ arena_str(&v->mem, s->token[t].p, s->token[t].len), s->token[t].len };
        v->max_len = MAX(v->max_len, (int)s->token[t].len);
    }
    v->eog = arena_zero(&v->mem, ((size_t)s->n_eog + 1) * sizeof *v->eog);
    for (int i = 0; i < s->n_eog; i++) {
        if (s->eog[i] < 0 || s->eog[i] >= s->n_vocab)
            return err_set(e, ERR_ARG, "end-of-turn id %d is not in the vocabulary of %d tokens",
                           s->eog[i], s->n_vocab);
        v->is_eog[s->eog[i]] = 1;
        v->eog[v->n_eog++] = (uint32_t)s->eog[i];
        v->bytes[s->eog[i]] = (struct bytes){ 0 };      /* the end is never text */
    }
    return true;
}

/* The two small tries, from the sorted list of all tokens. */
static void build_small(struct vocab *v, const int32_t *list, int n)
{
    int32_t *some = mem_alloc(((size_t)n + 1) * sizeof *some);
    int k = 0;
    for (int i = 0; i < n; i++)
        if (memchr(v->bytes[list[i]].p, '"', v->bytes[list[i]].len)) some[k++] = list[i];
    vtrie_build(v, &v->quote, some, k, false);
    v->is_part = arena_zero(&v->mem, v->n_word * sizeof *v->is_part);
    k = 0;
    for (int i = 0; i < n; i++) {
        if (!ends_inside(v->bytes[list[i]])) continue;
        some[k++] = list[i];
        v->is_part[list[i] / 32] |= 1u << (list[i] % 32);
    }
    vtrie_build(v, &v->part, some, k, false);
    mem_free(some);
}

struct vocab *vocab_open(const struct vocab_spec *s, struct err *e)
{
    if (s->n_vocab < 1 || s->n_vocab > 1 << 24) {
        err_set(e, ERR_ARG, "a vocabulary of %d tokens; accepted are 1 to 2^24", s->n_vocab);
        return NULL;
    }
    struct vocab *v = mem_zero(sizeof *v);
    arena_init(&v->mem, 1 << 20);
    v->n_vocab = s->n_vocab;
    v->n_word = MASK_WORDS(s->n_vocab);
    v->encode = s->encode;
    v->encode_ctx = s->encode_ctx;
    if (!copy_tokens(v, s, e)) { vocab_close(v); return NULL; }
    int32_t *list = mem_alloc((size_t)v->n_vocab * sizeof *list);
    int n = 0;
    for (int t = 0; t < v->n_vocab; t++)
        if (v->bytes[t].p) list[n++] = t;
    pthread_mutex_lock(&sort_lock);
    sort_bytes = v->bytes;
    v->id = ++last_id;
    qsort(list, (size_t)n, sizeof *list, token_cmp);
    pthread_mutex_unlock(&sort_lock);
    vtrie_build(v, &v->all, list, n, true);
    build_small(v, list, n);
    mem_free(list);
    kids_build(v);
    class_build(v, &v->str[ESC_JSON], ESC_JSON);
    class_build(v, &v->str[ESC_PYTHON], ESC_PYTHON);
    text_build(v);
    return v;
}

void vocab_close(struct vocab *v)
{
    if (!v) return;
    arena_done(&v->mem);
    mem_free(v);
}

int32_t vocab_special(const struct vocab *v, const char *name)
{
    for (int t = 0; t < v->n_vocab; t++)
        if (v->special[t] && !strcmp(v->special[t], name)) return t;
    return -1;
}

void vocab_spell(const struct vocab *v, const char *text, size_t len, uint32_t *cost)
{
    cost[len] = 0;
    for (size_t i = len; i-- > 0; ) {
        cost[i] = v ? COST_MAX : cost[i + 1] + 1;
        uint32_t node = 0;
        for (size_t j = i; v && j < len && (node = vocab_kid(v, node, (uint8_t)text[j])) != NONE;
             j++)
            if (v->all.token[node - 1] >= 0) cost[i] = MIN(cost[i], cost_add(cost[j + 1], 1));
    }
}

void vocab_str_mask(const struct vocab *v, int esc, uint32_t room, uint32_t *bits)
{
    const struct strclass *c = &v->str[esc];
    uint32_t total = c->len_end[c->n_len - 1];
    uint32_t fit = room >= c->n_len ? total : c->len_end[room];
    if (fit == total) {
        for (size_t w = 0; w < v->n_word; w++) bits[w] |= c->all[w];
    } else {
        for (uint32_t i = 0; i < fit; i++) bits[c->by_len[i] / 32] |= 1u << (c->by_len[i] % 32);
    }
}
