/* lexicon.c -- the vocabulary as the automaton wants it, built once per tokenizer.
 *
 * All byte tokens lie in one trie, stored depth first: node i has a byte, a depth, the token that ends
 * there and `skip`, the next node outside of its subtree. Walking it with the automaton visits a node
 * only if the path above it is alive. Shortcuts keep dense masks off the walk: tokens that are pure
 * content of a JSON string, sorted by their length in code points; tokens that leave a string, grouped by
 * what follows the quote, of which there are few; for every token the set of bytes it is made of.
 * Special tokens are not bytes: they are reached by id only. */
#include <stdlib.h>

#include "grammar/int.h"

static _Atomic uint64_t last_id;

/* ---- sorting --------------------------------------------------------------------------------- */

/* By eight bytes at a time, as a number: texts that agree in those are sorted by the next eight. */
#define KEY 8
#define FEW 24                                          /* so many are faster one by one */

struct keyed { uint64_t key; int32_t id; uint8_t len; }; /* bytes from `off` on and how many there are, KEY + 1: more */
struct sorter { const struct bytes *text; uint32_t count[KEY + 1][256]; };

static int byte_of(const struct keyed *x, int i) { return i ? (int)(x->key >> (8 * (i - 1)) & 255) : x->len; }

static bool comes_later(const struct sorter *s, int32_t x, int32_t y, size_t off)
{
    struct bytes p = s->text[x], q = s->text[y];
    int c = memcmp(p.p + off, q.p + off, MIN(p.len, q.len) - off);
    return c ? c > 0 : p.len > q.len;
}

static void read_keys(struct sorter *s, struct keyed *x, int n, size_t off)
{
    memset(s->count, 0, sizeof s->count);
    for (int k = 0; k < n; k++) {
        struct bytes b = s->text[x[k].id];
        x[k].key = text_head(b, off);
        x[k].len = (uint8_t)MIN(b.len - off, (size_t)KEY + 1);
        for (int i = 0; i <= KEY; i++) s->count[i][byte_of(&x[k], i)]++;
    }
}

/* The length first, since it counts least, then the bytes from the last to the first; returns where the items are then. */
static struct keyed *sort_by_keys(struct sorter *s, struct keyed *x, struct keyed *room, int n)
{
    for (int i = 0; i <= KEY; i++) {
        if (s->count[i][byte_of(x, i)] == (uint32_t)n) continue;
        uint32_t at[256], sum = 0;
        for (int b = 0; b < 256; b++) at[b] = sum, sum += s->count[i][b];
        for (int k = 0; k < n; k++) room[at[byte_of(&x[k], i)]++] = x[k];
        struct keyed *was = x;
        x = room, room = was;
    }
    return x;
}

/* Items whose texts agree before `off`; equal ones keep their order. room: for as many. */
static void sort_items(struct sorter *s, struct keyed *x, struct keyed *room, int n, size_t off)
{
    if (n < FEW) {
        for (int i = 1, k; i < n; i++) {
            struct keyed v = x[i];
            for (k = i; k && comes_later(s, x[k - 1].id, v.id, off); k--) x[k] = x[k - 1];
            x[k] = v;
        }
        return;
    }
    read_keys(s, x, n, off);
    struct keyed *at = sort_by_keys(s, x, room, n);
    if (at != x) memcpy(x, at, (size_t)n * sizeof *x);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && x[end].key == x[i].key && x[end].len == x[i].len;) end++;
        if (end - i > 1 && x[i].len > KEY) sort_items(s, x + i, room + i, end - i, off + KEY);
    }
}

/* Sorts token ids by text[id]; equal texts stay in the order in which they come. */
static void sort_tokens(const struct bytes *text, int32_t *list, int n)
{
    struct sorter *s = mem_alloc(sizeof *s);
    struct keyed *x = mem_alloc(2 * ((size_t)n + 1) * sizeof *x);
    s->text = text;
    for (int i = 0; i < n; i++) x[i].id = list[i];
    sort_items(s, x, x + n, n, 0);
    for (int i = 0; i < n; i++) list[i] = x[i].id;
    mem_free(x);
    mem_free(s);
}

static size_t common(struct bytes a, struct bytes b)
{
    size_t n = 0, most = MIN(a.len, b.len);
    while (n < most && a.p[n] == b.p[n]) n++;
    return n;
}

/* ---- tries ----------------------------------------------------------------------------------- */

/* Texts of a trie, sorted: what of each token it holds. */
struct entries { struct bytes *text; int32_t *id; int n; };

static void trie_alloc(struct vocab *v, struct vtrie *t, size_t total, int n)
{
    t->byte = arena_alloc(&v->mem, total + 1);
    t->depth = arena_alloc(&v->mem, (total + 1) * sizeof *t->depth);
    t->skip = arena_alloc(&v->mem, (total + 1) * sizeof *t->skip);
    t->token = arena_alloc(&v->mem, (total + 1) * sizeof *t->token);
    t->first = arena_alloc(&v->mem, (total + 1) * sizeof *t->first);
    t->list = arena_alloc(&v->mem, ((size_t)n + 1) * sizeof *t->list);
    t->below = arena_alloc(&v->mem, (total + 1) * sizeof *t->below);
    t->leads = arena_alloc(&v->mem, (total + 1) * sizeof *t->leads);
    t->tall = arena_alloc(&v->mem, total + 1);
}

/* Nodes in depth-first order, from texts in sorted order; equal texts share a node. */
static void trie_nodes(struct vtrie *t, const struct entries *e)
{
    for (int i = 0; i < e->n; i++) {
        struct bytes b = e->text[i];
        size_t same = i ? common(e->text[i - 1], b) : 0;
        for (size_t d = same; d < b.len; d++, t->n++) {
            t->byte[t->n] = (uint8_t)b.p[d];
            t->depth[t->n] = (uint16_t)(d + 1);
            t->token[t->n] = -1;
            t->first[t->n] = (uint32_t)i;
        }
        if (t->token[t->n - 1] < 0) t->token[t->n - 1] = e->id[i];
        t->list[i] = e->id[i];
    }
    t->first[t->n] = (uint32_t)e->n;
}

/* Where subtrees end, and what lies in them. */
static void trie_spans(struct vtrie *t, int max_len)
{
    uint32_t *open = mem_alloc((size_t)(max_len + 2) * sizeof *open);
    size_t n_open = 0;
    for (uint32_t i = 0; i <= t->n; i++) {
        while (n_open && (i == t->n || t->depth[open[n_open - 1]] >= t->depth[i])) t->skip[open[--n_open]] = i;
        if (i < t->n) open[n_open++] = i;
    }
    for (uint32_t i = t->n; i-- > 0;) {
        t->below[i] = (struct bytemap){ 0 };
        t->leads[i] = 0;
        t->tall[i] = (uint8_t)MIN(t->depth[i], 255);
        for (uint32_t k = i + 1; k < t->skip[i]; k = t->skip[k]) {
            t->below[i].w[0] |= t->below[k].w[0];
            t->below[i].w[1] |= t->below[k].w[1];
            bytemap_add(&t->below[i], t->byte[k]);
            t->leads[i] |= t->leads[k] | (t->byte[k] >= 0xc0 ? 1ull << (t->byte[k] - 0xc0) : 0);
            t->tall[i] = MAX(t->tall[i], t->tall[k]);
        }
    }
    mem_free(open);
}

static void trie_kids(struct vocab *v, struct vtrie *t)
{
    t->kid_off = arena_alloc(&v->mem, ((size_t)t->n + 2) * sizeof *t->kid_off);
    t->kid = arena_alloc(&v->mem, ((size_t)t->n + 1) * sizeof *t->kid);
    t->kid_byte = arena_alloc(&v->mem, (size_t)t->n + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i <= t->n; i++) {
        t->kid_off[i] = n;
        uint32_t end = i ? t->skip[i - 1] : t->n;
        for (uint32_t k = i; k < end; k = t->skip[k]) {
            t->kid_byte[n] = t->byte[k];
            t->kid[n++] = k + 1;
        }
    }
    t->kid_off[t->n + 1] = n;
}

static void vtrie_build(struct vocab *v, struct vtrie *t, const struct entries *e)
{
    size_t total = 0;
    for (int i = 0; i < e->n; i++) total += e->text[i].len - (i ? common(e->text[i - 1], e->text[i]) : 0);
    trie_alloc(v, t, total, e->n);
    trie_nodes(t, e);
    trie_spans(t, v->max_len);
    trie_kids(v, t);
}

uint32_t vtrie_kid(const struct vtrie *t, uint32_t node, uint8_t b)
{
    uint32_t lo = t->kid_off[node], end = t->kid_off[node + 1], hi = end;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (t->kid_byte[mid] < b) lo = mid + 1;
        else hi = mid;
    }
    return lo < end && t->kid_byte[lo] == b ? t->kid[lo] : NONE;
}

uint32_t vocab_kid(const struct vocab *v, uint32_t node, uint8_t b) { return vtrie_kid(&v->all, node, b); }

/* ---- classes of strings ---------------------------------------------------------------------- */

int content_len(struct bytes b, int esc, int *head, int *pending)
{
    uint16_t lex = LEX_NORMAL;
    uint32_t part = 0;
    int n = 0;
    *head = -1;
    for (size_t i = 0; i < b.len; i++) {
        uint8_t out[4];
        int n_out;
        if (lex == LEX_NORMAL && byte_is_bare((uint8_t)b.p[i]) && (uint8_t)b.p[i] < 0x80) {
            n++;
            continue;
        }
        enum lex_result r = lex_step(&lex, &part, esc, false, (uint8_t)b.p[i], out, &n_out);
        if (r == LEX_CLOSE) { *head = (int)i; return n; }
        if (r == LEX_NO) return -1;
        if (lex == LEX_NORMAL) part = 0;
        n += r == LEX_BEGIN;
    }
    *pending = lex_pending(lex);
    return n;
}

/* Hash of the text that content stands for. */
static uint64_t content_hash(struct bytes b, int esc)
{
    uint16_t lex = LEX_NORMAL;
    uint32_t part = 0;
    uint64_t h = 0;
    for (size_t i = 0; i < b.len; i++) {
        uint8_t out[4];
        int n_out;
        lex_step(&lex, &part, esc, false, (uint8_t)b.p[i], out, &n_out);
        for (int k = 0; k < n_out; k++) h = key_hash(h, out[k]);
        if (lex == LEX_NORMAL) part = 0;
    }
    return h;
}

static void class_lists(struct vocab *v, struct strclass *c)
{
    c->n_len = (uint32_t)v->max_len + 1;
    c->len_end = arena_zero(&v->mem, (c->n_len + 1) * sizeof *c->len_end);
    uint32_t sum = 0;
    for (int t = 0; t < v->n_vocab; t++)
        if (c->len[t] >= 0) c->len_end[c->len[t]]++;
    for (uint32_t k = 0; k <= c->n_len; k++) {
        uint32_t n = c->len_end[k];
        c->len_end[k] = sum;
        sum += n;
    }
    c->by_len = arena_alloc(&v->mem, (sum + 1) * sizeof *c->by_len);
    for (int t = 0; t < v->n_vocab; t++) {
        if (c->len[t] < 0) continue;
        c->by_len[c->len_end[c->len[t]]++] = t;         /* len_end[k] = tokens of at most k code points */
        c->all[t / 32] |= 1u << (t % 32);
        if (memchr(v->bytes[t].p, '\\', v->bytes[t].len)) c->n_escaped++;
    }
    c->escaped = arena_alloc(&v->mem, (c->n_escaped + 1) * sizeof *c->escaped);
    c->n_escaped = 0;
    for (int t = 0; t < v->n_vocab; t++)
        if (c->len[t] >= 0 && memchr(v->bytes[t].p, '\\', v->bytes[t].len)) c->escaped[c->n_escaped++] = t;
}

/* Numbers the different heads of tokens that leave a string. */
static void number_heads(struct vocab *v, struct quotes *q, uint32_t n)
{
    uint32_t n_slot = 64, n_head = 0;
    while (n_slot < 2 * n) n_slot *= 2;
    uint32_t *slot = mem_zero(n_slot * sizeof *slot);   /* 1 + the first token with this head */
    q->same = arena_alloc(&v->mem, (n + 1) * sizeof *q->same);
    for (uint32_t i = 0; i < n; i++) {
        const char *p = v->bytes[q->list[i]].p;
        uint32_t at = (uint32_t)hash64(p, q->head[i], 0) & (n_slot - 1);
        for (; slot[at]; at = (at + 1) & (n_slot - 1)) {
            uint32_t k = slot[at] - 1;
            if (q->head[k] == q->head[i] && !memcmp(v->bytes[q->list[k]].p, p, q->head[i])) break;
        }
        if (!slot[at]) slot[at] = i + 1;
        q->same[i] = slot[at] == i + 1 ? (uint16_t)MIN(n_head++, (uint32_t)UINT16_MAX) : q->same[slot[at] - 1];
    }
    mem_free(slot);
}

/* Tokens with a quote, sorted by remainder and then by id. */
static void quotes_build(struct vocab *v, struct quotes *q, int32_t *some, int n, int esc)
{
    struct entries e = { mem_alloc(((size_t)n + 1) * sizeof *e.text), some, n };
    q->from = NULL;
    q->n_token = (uint32_t)n;
    struct bytes *rest = mem_zero((size_t)v->n_vocab * sizeof *rest);
    for (int i = 0; i < n; i++) {
        int head, pending;
        content_len(v->bytes[some[i]], esc, &head, &pending);
        rest[some[i]] = (struct bytes){ v->bytes[some[i]].p + head + 1, v->bytes[some[i]].len - (size_t)head - 1 };
    }
    sort_tokens(rest, some, n);
    int empty = 0;
    while (empty < n && !rest[some[empty]].len) empty++;
    for (int i = 0; i < n; i++) e.text[i] = rest[some[i]];
    struct entries tail = { e.text + empty, some + empty, n - empty };
    vtrie_build(v, &q->trie, &tail);
    q->from = arena_alloc(&v->mem, ((size_t)q->trie.n + 3) * sizeof *q->from);
    q->from[0] = 0;
    for (uint32_t k = 0; k <= q->trie.n; k++) q->from[k + 1] = (uint32_t)empty + q->trie.first[k];
    q->from[q->trie.n + 2] = (uint32_t)n;
    q->list = arena_alloc(&v->mem, ((size_t)n + 1) * sizeof *q->list);
    q->head = arena_alloc(&v->mem, ((size_t)n + 1) * sizeof *q->head);
    q->len = arena_alloc(&v->mem, ((size_t)n + 1) * sizeof *q->len);
    q->hash = arena_alloc(&v->mem, ((size_t)n + 1) * sizeof *q->hash);
    for (int i = 0; i < n; i++) {
        int head, pending;
        q->list[i] = some[i];
        q->len[i] = (int16_t)content_len(v->bytes[some[i]], esc, &head, &pending);
        q->head[i] = (uint16_t)head;
        q->hash[i] = content_hash((struct bytes){ v->bytes[some[i]].p, (size_t)head }, esc);
    }
    number_heads(v, q, (uint32_t)n);
    mem_free(rest);
    mem_free(e.text);
}

static void class_build(struct vocab *v, int esc)
{
    struct strclass *c = &v->str[esc];
    int32_t *some = mem_alloc(((size_t)v->n_vocab + 1) * sizeof *some);
    int n = 0;
    c->len = arena_alloc(&v->mem, (size_t)v->n_vocab * sizeof *c->len);
    c->pending = arena_zero(&v->mem, (size_t)v->n_vocab);
    c->all = arena_zero(&v->mem, v->n_word * sizeof *c->all);
    for (int t = 0; t < v->n_vocab; t++) {
        int head = -1, pending = 0;
        c->len[t] = (int16_t)(v->bytes[t].p ? content_len(v->bytes[t], esc, &head, &pending) : -1);
        c->pending[t] = (uint8_t)pending;
        if (head < 0) continue;
        c->len[t] = -1;
        some[n++] = t;
    }
    class_lists(v, c);
    quotes_build(v, &v->quote[esc], some, n, esc);
    mem_free(some);
}

static bool has_closer(struct bytes b) { return memchr(b.p, '}', b.len) || memchr(b.p, ']', b.len); }

/* What single tokens are made of. */
static void token_facts(struct vocab *v)
{
    v->text_all = arena_zero(&v->mem, v->n_word * sizeof *v->text_all);
    v->closers = arena_zero(&v->mem, v->n_word * sizeof *v->closers);
    v->is_part = arena_zero(&v->mem, v->n_word * sizeof *v->is_part);
    v->sig = arena_alloc(&v->mem, v->n_word * 32 * sizeof *v->sig);
    v->sig_first = arena_alloc(&v->mem, v->n_word * 32 * sizeof *v->sig_first);
    for (size_t t = 0; t < v->n_word * 32; t++)
        v->sig[t] = sweep_sign(t < (size_t)v->n_vocab ? v->bytes[t] : (struct bytes){ 0 }, &v->sig_first[t]);
    v->plain_from = arena_zero(&v->mem, (size_t)v->n_vocab);
    v->digits_from = arena_zero(&v->mem, (size_t)v->n_vocab);
    for (int t = 0; t < v->n_vocab; t++) {
        struct bytes b = v->bytes[t];
        if (!b.p) continue;
        int s = 0;
        size_t plain = 0, digits = 0;
        for (size_t i = 0; i < b.len; i++) {
            uint8_t x = (uint8_t)b.p[i];
            if (s > 0 || (!s && x >= 0x80)) s = utf8_dfa(s, x);
            if (x < 0x20 || x == '"' || x == '\\') plain = i + 1;
            if (x < '0' || x > '9') digits = i + 1;
        }
        if (s >= 0) v->text_all[t / 32] |= 1u << (t % 32);
        if (s > 0 || memchr(b.p, '\\', b.len)) v->is_part[t / 32] |= 1u << (t % 32);
        if (has_closer(b)) v->closers[t / 32] |= 1u << (t % 32);
        v->digits_from[t] = (uint8_t)MIN(digits, 255u);
        v->plain_from[t] = (uint8_t)(s < 0 || plain > 254 ? 255 : plain);
    }
    v->plain_at = arena_alloc(&v->mem, v->all.first[v->all.n] + 1);
    for (uint32_t i = 0; i < v->all.first[v->all.n]; i++) v->plain_at[i] = v->plain_from[v->all.list[i]];
}

/* New lines in a run of blanks; -1: it is something else, or longer than is ever allowed. */
static int blank_lines(struct bytes b)
{
    int lines = 0;
    if (!b.len || b.len > MOST_BLANK) return -1;
    for (size_t i = 0; i < b.len; i++) {
        char c = b.p[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return -1;
        lines += c == '\n';
    }
    return lines;
}

static void blanks_build(struct vocab *v)
{
    uint32_t n = 0, n_any = 0;
    int32_t *any = mem_alloc(((size_t)v->n_vocab + 1) * sizeof *any);
    for (int t = 0; t < v->n_vocab; t++)
        if (blank_lines(v->bytes[t]) >= 0) any[n_any++] = t;
    v->blank = arena_alloc(&v->mem, ((size_t)n_any + 1) * sizeof *v->blank);
    for (int lines = 0; lines < 3; lines++)
        for (uint32_t len = 0; len <= MOST_BLANK; len++) {
            for (uint32_t i = 0; len && i < n_any; i++)
                if (v->bytes[any[i]].len == len && blank_lines(v->bytes[any[i]]) == lines) v->blank[n++] = any[i];
            v->blank_end[lines][len] = n;
        }
    mem_free(any);
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

static int name_cmp(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    int c = memcmp(x->p, y->p, MIN(x->len, y->len));
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* Special tokens by name: few, looked up for every grammar. */
static void specials_index(struct vocab *v)
{
    for (int t = 0; t < v->n_vocab; t++) v->n_special += v->special[t] != NULL;
    v->special_name = arena_alloc(&v->mem, ((size_t)v->n_special + 1) * sizeof *v->special_name);
    v->special_id = arena_alloc(&v->mem, ((size_t)v->n_special + 1) * sizeof *v->special_id);
    uint32_t n = 0;
    for (int t = 0; t < v->n_vocab; t++)
        if (v->special[t]) v->special_name[n++] = (struct bytes){ v->special[t], strlen(v->special[t]) };
    if (n) qsort(v->special_name, n, sizeof *v->special_name, name_cmp);
    for (int t = v->n_vocab; t-- > 0;) {                /* the first of equal names counts */
        if (!v->special[t]) continue;
        struct bytes key = { v->special[t], strlen(v->special[t]) };
        struct bytes *at = bsearch(&key, v->special_name, n, sizeof *at, name_cmp);
        while (at > v->special_name && !name_cmp(at - 1, &key)) at--;
        v->special_id[at - v->special_name] = t;
    }
}

int32_t vocab_special(const struct vocab *v, const char *name)
{
    struct bytes key = { name, strlen(name) };
    struct bytes *at = v->n_special ? bsearch(&key, v->special_name, v->n_special, sizeof *at, name_cmp) : NULL;
    while (at && at > v->special_name && !name_cmp(at - 1, &key)) at--;
    return at ? v->special_id[at - v->special_name] : -1;
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
    v->id = ++last_id;
    v->encode = s->encode;
    v->encode_ctx = s->encode_ctx;
    if (!copy_tokens(v, s, e)) { vocab_close(v); return NULL; }
    int32_t *list = mem_alloc(((size_t)v->n_vocab + 1) * sizeof *list);
    struct entries all = { mem_alloc(((size_t)v->n_vocab + 1) * sizeof *all.text), list, 0 };
    for (int t = 0; t < v->n_vocab; t++)
        if (v->bytes[t].p) list[all.n++] = t;
    sort_tokens(v->bytes, list, all.n);
    for (int i = 0; i < all.n; i++) {
        all.text[i] = v->bytes[list[i]];
        bool twin = i && all.text[i].len == all.text[i - 1].len && !memcmp(all.text[i].p, all.text[i - 1].p, all.text[i].len);
        if (!twin) continue;
        int first = i - 1;              /* chained behind the first of its kind */
        while (first && all.text[first - 1].len == all.text[i].len && !memcmp(all.text[first - 1].p, all.text[i].p, all.text[i].len)) first--;
        v->same[list[i]] = v->same[list[first]];
        v->same[list[first]] = list[i];
    }
    vtrie_build(v, &v->all, &all);
    struct entries closing = { all.text, list, 0 };     /* in place: what is written over has been read */
    for (int i = 0; i < all.n; i++)
        if (has_closer(all.text[i])) {
            closing.text[closing.n] = all.text[i];
            closing.id[closing.n++] = list[i];
        }
    vtrie_build(v, &v->closing, &closing);
    mem_free(all.text);
    mem_free(list);
    token_facts(v);
    class_build(v, ESC_JSON);
    class_build(v, ESC_PYTHON);
    tails_build(v, ESC_JSON);
    tails_build(v, ESC_PYTHON);
    blanks_build(v);
    specials_index(v);
    v->coarse = coarse_open(COARSE_BYTES);
    v->store = store_open(MASK_STORE_BYTES / 2, v->n_word, true);
    v->texts = store_open(MASK_STORE_BYTES / 2, v->n_word, false);
    return v;
}

void vocab_close(struct vocab *v)
{
    if (!v) return;
    coarse_close(v->coarse);
    store_close(v->store);
    store_close(v->texts);
    arena_done(&v->mem);
    mem_free(v);
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
    if (fit <= total / 2) {
        for (uint32_t i = 0; i < fit; i++) bits[c->by_len[i] / 32] |= 1u << (c->by_len[i] % 32);
        return;
    }
    uint32_t *own = fit < total ? mem_dup(c->all, v->n_word * sizeof *own) : c->all;
    for (uint32_t i = fit; i < total; i++) own[c->by_len[i] / 32] &= ~(1u << (c->by_len[i] % 32));
    words_join(bits, own, v->n_word);
    if (own != c->all) mem_free(own);
}

size_t vocab_bytes(const struct vocab *v) { return sizeof *v + arena_bytes(&v->mem); }
