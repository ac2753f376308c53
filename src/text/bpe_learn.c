/* bpe_learn.c -- learns byte-level BPE merges whose tokens never mix character classes.
 *
 * Text is split by the pre-tokenizer that will later encode it, and each piece is cut again where
 * the class changes (letters, a digit, white space, underscore, other characters). Pairs are
 * counted inside these cuts only, so a value has the same tokens after a blank, a quote or an
 * underscore, and copying it is copying tokens. The plain encoder needs to know nothing of this: a
 * merge that was not learned cannot cross a border.
 *
 * Equal cuts are counted once with their number of occurrences. A heap holds the pairs by count;
 * after a merge only the cuts that contain the pair are touched, found through a list of places per
 * pair. Entries of heap and lists may be stale; they are checked when taken. Ties go to the older
 * pair, so the result depends on the text alone. */
#include "text/int.h"

#include "base/base.h"

enum char_class { CLASS_LETTER, CLASS_DIGIT, CLASS_SPACE, CLASS_UNDERSCORE, CLASS_OTHER };

/* one distinct cut as symbols */
struct cut { int32_t *sym; int n; int64_t count; };
struct pair { int32_t a, b; int64_t count; int32_t *place; int n_place, cap; };
struct heap_row { int64_t count; int32_t pair; };

struct learn {
    struct arena mem;
    struct cut *cut; int n_cut, cap_cut;
    /* bytes of a cut -> index + 1 */
    uint32_t *cut_slot; size_t cut_mask;
    struct bytes *cut_bytes; int cap_bytes;
    struct pair *pair; int n_pair, cap_pair;
    uint32_t *pair_slot; size_t pair_mask;
    struct heap_row *heap; int n_heap, cap_heap;
    /* bytes of every symbol; 0..255 the bytes */
    struct bytes *sym; int n_sym;
};

/* ---- classes --------------------------------------------------------------------------------- */

/* Above ASCII every letter-like range counts as a letter; symbols and punctuation blocks do not. */
static enum char_class class_of(int32_t cp)
{
    if ((cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z')) return CLASS_LETTER;
    if (cp >= '0' && cp <= '9') return CLASS_DIGIT;
    if (cp == ' ' || (cp >= 9 && cp <= 13) || cp == 0xA0) return CLASS_SPACE;
    if (cp == '_') return CLASS_UNDERSCORE;
    bool symbol = cp < 0xC0 || cp == 0xD7 || cp == 0xF7 || (cp >= 0x2000 && cp < 0x2C00) ||
                  (cp >= 0x3000 && cp < 0x3040) || cp >= 0x1F000;
    return symbol ? CLASS_OTHER : CLASS_LETTER;
}

/* ---- collecting distinct cuts ---------------------------------------------------------------- */

static void cuts_grow(struct learn *l)
{
    size_t n = l->cut_mask ? (l->cut_mask + 1) * 2 : 1 << 16;
    mem_free(l->cut_slot);
    l->cut_slot = mem_zero(n * sizeof *l->cut_slot);
    l->cut_mask = n - 1;
    for (int i = 0; i < l->n_cut; i++) {
        size_t h = hash64(l->cut_bytes[i].p, l->cut_bytes[i].len, 0) & l->cut_mask;
        while (l->cut_slot[h]) h = (h + 1) & l->cut_mask;
        l->cut_slot[h] = (uint32_t)i + 1;
    }
}

static void add_cut(struct learn *l, const char *p, size_t n)
{
    if (n < 2) return;                                                /* nothing to merge */
    if ((size_t)l->n_cut * 2 >= l->cut_mask) cuts_grow(l);
    size_t h = hash64(p, n, 0) & l->cut_mask;
    for (; l->cut_slot[h]; h = (h + 1) & l->cut_mask) {
        uint32_t i = l->cut_slot[h] - 1;
        if (l->cut_bytes[i].len == n && !memcmp(l->cut_bytes[i].p, p, n)) {
            l->cut[i].count++;
            return;
        }
    }
    MEM_GROW(l->cut_bytes, l->n_cut, l->cap_bytes);
    MEM_GROW(l->cut, l->n_cut, l->cap_cut);
    l->cut_bytes[l->n_cut] = (struct bytes){ arena_str(&l->mem, p, n), n };
    struct cut c = { arena_alloc(&l->mem, n * sizeof(int32_t)), (int)n, 1 };
    for (size_t i = 0; i < n; i++) c.sym[i] = (uint8_t)p[i];
    l->cut[l->n_cut++] = c;
    l->cut_slot[h] = (uint32_t)l->n_cut;
}

static void cut_piece(struct learn *l, struct bytes piece)
{
    const char *p = piece.p, *end = p + piece.len, *from = p;
    enum char_class last = CLASS_OTHER;
    while (p < end) {
        int n;
        int32_t cp = utf8_next(p, end, &n);
        enum char_class c = cp < 0 ? CLASS_OTHER : class_of(cp);
        if (p > from && (c != last || c == CLASS_DIGIT)) {
            add_cut(l, from, (size_t)(p - from));
            from = p;
        }
        last = c;
        p += n;
    }
    add_cut(l, from, (size_t)(p - from));
}

/* ---- pairs and their heap -------------------------------------------------------------------- */

static bool above(const struct heap_row *x, const struct heap_row *y)
{
    return x->count != y->count ? x->count > y->count : x->pair < y->pair;
}

static void heap_push(struct learn *l, int32_t pair)
{
    MEM_GROW(l->heap, l->n_heap, l->cap_heap);
    struct heap_row r = { l->pair[pair].count, pair };
    int i = l->n_heap++;
    for (; i && above(&r, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = r;
}

static struct heap_row heap_pop(struct learn *l)
{
    struct heap_row top = l->heap[0], last = l->heap[--l->n_heap];
    int i = 0;
    for (int c; (c = 2 * i + 1) < l->n_heap; i = c) {
        if (c + 1 < l->n_heap && above(&l->heap[c + 1], &l->heap[c])) c++;
        if (!above(&l->heap[c], &last)) break;
        l->heap[i] = l->heap[c];
    }
    l->heap[i] = last;
    return top;
}

static uint64_t pair_hash(int32_t a, int32_t b)
{
    int32_t key[2] = { a, b };
    return hash64(key, sizeof key, 0);
}

static void pairs_grow(struct learn *l)
{
    size_t n = l->pair_mask ? (l->pair_mask + 1) * 2 : 1 << 14;
    mem_free(l->pair_slot);
    l->pair_slot = mem_zero(n * sizeof *l->pair_slot);
    l->pair_mask = n - 1;
    for (int i = 0; i < l->n_pair; i++) {
        size_t h = pair_hash(l->pair[i].a, l->pair[i].b) & l->pair_mask;
        while (l->pair_slot[h]) h = (h + 1) & l->pair_mask;
        l->pair_slot[h] = (uint32_t)i + 1;
    }
}

static int32_t pair_of(struct learn *l, int32_t a, int32_t b)
{
    if ((size_t)l->n_pair * 2 >= l->pair_mask) pairs_grow(l);
    size_t h = pair_hash(a, b) & l->pair_mask;
    for (; l->pair_slot[h]; h = (h + 1) & l->pair_mask) {
        const struct pair *p = &l->pair[l->pair_slot[h] - 1];
        if (p->a == a && p->b == b) return (int32_t)l->pair_slot[h] - 1;
    }
    MEM_GROW(l->pair, l->n_pair, l->cap_pair);
    l->pair[l->n_pair] = (struct pair){ .a = a, .b = b };
    l->pair_slot[h] = (uint32_t)++l->n_pair;
    return l->n_pair - 1;
}

static void pair_add(struct learn *l, int32_t a, int32_t b, int64_t n, int32_t where)
{
    int32_t i = pair_of(l, a, b);
    struct pair *p = &l->pair[i];
    p->count += n;
    if (n < 0) return;
    if (!p->n_place || p->place[p->n_place - 1] != where) {
        MEM_GROW(p->place, p->n_place, p->cap);
        p->place[p->n_place++] = where;
    }
}

static void count_pairs(struct learn *l)
{
    for (int c = 0; c < l->n_cut; c++)
        for (int i = 0; i + 1 < l->cut[c].n; i++)
            pair_add(l, l->cut[c].sym[i], l->cut[c].sym[i + 1], l->cut[c].count, c);
    for (int i = 0; i < l->n_pair; i++) heap_push(l, i);
}

/* ---- merging --------------------------------------------------------------------------------- */

static bool has_pair(const struct cut *c, int32_t a, int32_t b)
{
    for (int i = 0; i + 1 < c->n; i++)
        if (c->sym[i] == a && c->sym[i + 1] == b) return true;
    return false;
}

/* Takes the pairs of the cut out of the counts, merges, puts the new ones in. */
static void merge_in_cut(struct learn *l, int32_t where, int32_t a, int32_t b, int32_t ab)
{
    struct cut *c = &l->cut[where];
    if (!has_pair(c, a, b)) return;
    for (int i = 0; i + 1 < c->n; i++) pair_add(l, c->sym[i], c->sym[i + 1], -c->count, where);
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        bool hit = i + 1 < c->n && c->sym[i] == a && c->sym[i + 1] == b;
        c->sym[n++] = hit ? ab : c->sym[i];
        i += hit;
    }
    c->n = n;
    for (int i = 0; i + 1 < n; i++) {
        pair_add(l, c->sym[i], c->sym[i + 1], c->count, where);
        if (c->sym[i] == ab || c->sym[i + 1] == ab)
            heap_push(l, pair_of(l, c->sym[i], c->sym[i + 1]));
    }
}

/* A symbol of these bytes is there already: two ways to the same token would make ids ambiguous. */
static bool bytes_known(const struct learn *l, struct bytes a, struct bytes b)
{
    for (int i = 256; i < l->n_sym; i++)
        if (l->sym[i].len == a.len + b.len && !memcmp(l->sym[i].p, a.p, a.len) &&
            !memcmp(l->sym[i].p + a.len, b.p, b.len))
            return true;
    return false;
}

static bool merge_best(struct learn *l, int32_t *a_out, int32_t *b_out)
{
    while (l->n_heap) {
        struct heap_row r = heap_pop(l);
        struct pair *p = &l->pair[r.pair];
        if (p->count < 2) continue;
        if (p->count != r.count) { heap_push(l, r.pair); continue; }
        int32_t a = p->a, b = p->b, ab = l->n_sym;
        if (bytes_known(l, l->sym[a], l->sym[b])) continue;
        char *s = arena_alloc(&l->mem, l->sym[a].len + l->sym[b].len + 1);
        memcpy(s, l->sym[a].p, l->sym[a].len);
        memcpy(s + l->sym[a].len, l->sym[b].p, l->sym[b].len);
        l->sym[l->n_sym++] = (struct bytes){ s, l->sym[a].len + l->sym[b].len };
        int32_t *place = p->place;
        int n = p->n_place;
        /* the list may grow while we walk it: take it */
        p->place = NULL;
        p->n_place = p->cap = 0;
        for (int i = 0; i < n; i++) merge_in_cut(l, place[i], a, b, ab);
        mem_free(place);
        *a_out = a;
        *b_out = b;
        return true;
    }
    return false;
}

/* ---- the tables ------------------------------------------------------------------------------ */

static struct bytes as_text(struct arena *a, struct bytes s, const char *between, struct bytes t)
{
    char *out = arena_alloc(a, (s.len + t.len) * 2 + 8), *o = out;
    for (size_t i = 0; i < s.len; i++) o += utf8_put(o, byte_to_char((uint8_t)s.p[i]));
    o += sprintf(o, "%s", between);
    for (size_t i = 0; i < t.len; i++) o += utf8_put(o, byte_to_char((uint8_t)t.p[i]));
    return (struct bytes){ out, (size_t)(o - out) };
}

static void put_token(struct bpe_tables *t, struct bytes s, int type)
{
    t->type[t->n_token] = type;
    t->token[t->n_token++] = s;
}

static void learn_merges(struct learn *l, int n_vocab, struct bpe_tables *out)
{
    int32_t a, b;
    while (out->n_token < n_vocab && merge_best(l, &a, &b)) {
        put_token(out, as_text(&out->mem, l->sym[l->n_sym - 1], "", (struct bytes){ 0 }),
                  TOKEN_NORMAL);
        out->merge[out->n_merge++] = as_text(&out->mem, l->sym[a], " ", l->sym[b]);
    }
}

static void learn_init(struct learn *l, int n_vocab)
{
    arena_init(&l->mem, 1 << 20);
    l->sym = mem_zero(((size_t)n_vocab + 256) * sizeof *l->sym);
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        l->sym[l->n_sym++] = (struct bytes){ arena_str(&l->mem, &byte, 1), 1 };
    }
    cuts_grow(l);
}

static void learn_done(struct learn *l)
{
    for (int i = 0; i < l->n_pair; i++) mem_free(l->pair[i].place);
    mem_free(l->cut);
    mem_free(l->cut_slot);
    mem_free(l->cut_bytes);
    mem_free(l->pair);
    mem_free(l->pair_slot);
    mem_free(l->heap);
    mem_free(l->sym);
    arena_done(&l->mem);
}

bool bpe_learn(const char *pre, const char *const *special, int n_special, int n_vocab,
               bool (*next)(void *ctx, struct bytes *text), void *ctx, struct bpe_tables *out,
               struct err *e)
{
    *out = (struct bpe_tables){ 0 };
    if (n_special < 0 || n_vocab < n_special + 256 || n_vocab > 1 << 20)
        return err_set(e, ERR_ARG,
                       "a vocabulary of %d entries cannot be learned: %d to %d are possible with "
                       "%d special tokens",
                       n_vocab, n_special + 256, 1 << 20, n_special);
    struct split *s = split_open(pre, strlen(pre), e);
    if (!s) return false;
    struct learn l = { 0 };
    learn_init(&l, n_vocab);
    arena_init(&out->mem, 1 << 16);
    out->token = arena_zero(&out->mem, (size_t)n_vocab * sizeof *out->token);
    out->type = arena_zero(&out->mem, (size_t)n_vocab * sizeof *out->type);
    out->merge = arena_zero(&out->mem, (size_t)n_vocab * sizeof *out->merge);
    for (int i = 0; i < n_special; i++)
        put_token(out,
                  (struct bytes){ arena_str(&out->mem, special[i], strlen(special[i])),
                                  strlen(special[i]) },
                  TOKEN_CONTROL);
    for (int i = 0; i < 256; i++)
        put_token(out, as_text(&out->mem, l.sym[i], "", (struct bytes){ 0 }), TOKEN_NORMAL);
    for (struct bytes chunk; next(ctx, &chunk);) {
        struct split_walk w = { .s = s, .p = chunk.p, .end = chunk.p + chunk.len };
        for (struct bytes piece; split_next(&w, &piece);) cut_piece(&l, piece);
    }
    count_pairs(&l);
    learn_merges(&l, n_vocab, out);
    learn_done(&l);
    split_close(s);
    return true;
}

void bpe_tables_done(struct bpe_tables *t)
{
    arena_done(&t->mem);
    *t = (struct bpe_tables){ 0 };
}

static int find_token(const struct bpe_tables *t, const char *s)
{
    for (int i = 0; s && i < t->n_token; i++)
        if (bytes_eq(t->token[i], s)) return i;
    return -1;
}

static void put_id(struct gguf_out *o, const char *key, int id)
{
    if (id >= 0) gguf_out_u32(o, key, (uint32_t)id);
}

void bpe_tables_write(const struct bpe_tables *t, const char *pre, const char *bos, const char *eos,
                      const char *pad, struct gguf_out *o)
{
    gguf_out_str(o, "tokenizer.ggml.model", "gpt2", 4);
    gguf_out_str(o, "tokenizer.ggml.pre", pre, strlen(pre));
    gguf_out_strs(o, "tokenizer.ggml.tokens", t->token, (size_t)t->n_token);
    gguf_out_i32s(o, "tokenizer.ggml.token_type", t->type, (size_t)t->n_token);
    gguf_out_strs(o, "tokenizer.ggml.merges", t->merge, (size_t)t->n_merge);
    put_id(o, "tokenizer.ggml.bos_token_id", find_token(t, bos));
    put_id(o, "tokenizer.ggml.eos_token_id", find_token(t, eos));
    put_id(o, "tokenizer.ggml.padding_token_id", find_token(t, pad));
    gguf_out_bool(o, "tokenizer.ggml.add_bos_token", bos != NULL);
    gguf_out_bool(o, "tokenizer.ggml.add_eos_token", false);
}
