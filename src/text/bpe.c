/* bpe.c -- byte-level BPE: pieces of text become token ids.
 *
 * Works on decoded bytes and token ids instead of the mapped characters that vocabulary files use:
 * a symbol is a token id, a merge is (a, b) -> ab with its rank. Always the pair with the lowest
 * rank is merged, the leftmost of equal ones; a heap of (rank, position) keeps a piece of n bytes
 * at O(n log n), so a megabyte of one letter is no attack. Entries that no longer fit the symbols
 * they name are skipped when they come up.
 *
 * A short piece is remembered with its ids in a cache of the calling thread; the tokenizer itself
 * is only read. A byte the vocabulary has no token for is dropped, as the format asks. */
#include "text/int.h"

#include <pthread.h>

#define CACHE_SLOTS 4096                                           /* power of two; 64 bytes each */
#define CACHE_TEXT 24
#define CACHE_IDS 5
#define KEEP_SYMBOLS 65536                              /* scratch larger than this is given back */

struct cached { uint64_t serial; uint8_t len, n; char text[CACHE_TEXT]; int32_t id[CACHE_IDS]; };
struct symbol { int32_t id, prev, next; };             /* id CONSUMED: merged into the one before */
enum { CONSUMED = -2 };

struct scratch {
    struct symbol *sym; size_t cap_sym;
    uint64_t *heap; size_t n_heap, cap_heap;                          /* rank << 32 | position */
    struct cached cache[CACHE_SLOTS];
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local struct scratch *scratch_mine;

static void scratch_drop(void *p)
{
    struct scratch *s = p;
    mem_free(s->sym);
    mem_free(s->heap);
    mem_free(s);
}

static void scratch_setup(void) { pthread_key_create(&scratch_key, scratch_drop); }

static struct scratch *scratch(void)
{
    if (!scratch_mine) {
        pthread_once(&scratch_once, scratch_setup);
        scratch_mine = mem_zero(sizeof *scratch_mine);
        pthread_setspecific(scratch_key, scratch_mine);
    }
    return scratch_mine;
}

/* ---- heap ------------------------------------------------------------------------------------ */

static void heap_push(struct scratch *s, uint64_t v)
{
    MEM_GROW(s->heap, s->n_heap, s->cap_heap);
    size_t i = s->n_heap++;
    for (; i && s->heap[(i - 1) / 2] > v; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = v;
}

static uint64_t heap_pop(struct scratch *s)
{
    uint64_t top = s->heap[0], v = s->heap[--s->n_heap];
    size_t i = 0;
    for (size_t c = 1; c < s->n_heap; c = 2 * i + 1) {
        if (c + 1 < s->n_heap && s->heap[c + 1] < s->heap[c]) c++;
        if (s->heap[c] >= v) break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = v;
    return top;
}

/* ---- merging --------------------------------------------------------------------------------- */

static void offer(const struct tokenizer *t, struct scratch *s, int32_t l)
{
    if (l < 0 || s->sym[l].next < 0) return;
    int32_t rank = merge_find(t, s->sym[l].id, s->sym[s->sym[l].next].id);
    if (rank >= 0) heap_push(s, (uint64_t)rank << 32 | (uint32_t)l);
}

static void lay_out(const struct tokenizer *t, struct scratch *s, const char *p, size_t len)
{
    if (len > s->cap_sym) {
        s->cap_sym = MAX(len, 2 * s->cap_sym);
        s->sym = mem_resize(s->sym, s->cap_sym * sizeof *s->sym);
    }
    for (size_t i = 0; i < len; i++)
        s->sym[i] = (struct symbol){ t->byte_id[(uint8_t)p[i]], (int32_t)i - 1,
                                     i + 1 < len ? (int32_t)i + 1 : -1 };
    s->n_heap = 0;
}

static void merge_all(const struct tokenizer *t, struct scratch *s, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) offer(t, s, (int32_t)i);
    while (s->n_heap) {
        uint64_t top = heap_pop(s);
        const struct merge *m = &t->merge[top >> 32];
        int32_t l = (int32_t)(uint32_t)top, r = s->sym[l].next;
        if (r < 0 || s->sym[l].id != m->a || s->sym[r].id != m->b) continue;  /* stale */
        s->sym[l].id = m->ab;
        s->sym[l].next = s->sym[r].next;
        s->sym[r].id = CONSUMED;
        if (s->sym[l].next >= 0) s->sym[s->sym[l].next].prev = l;
        offer(t, s, s->sym[l].prev);
        offer(t, s, l);
    }
}

static void encode_piece(const struct tokenizer *t, struct scratch *s, struct bytes piece,
                         struct ids *out)
{
    if (t->whole_first) {
        int32_t id = strmap_find(&t->plain, piece.p, piece.len);
        if (id >= 0) {
            ids_put(out, id);
            return;
        }
    }
    lay_out(t, s, piece.p, piece.len);
    merge_all(t, s, piece.len);
    for (int32_t i = 0; i >= 0; i = s->sym[i].next)
        if (s->sym[i].id >= 0) ids_put(out, s->sym[i].id);
}

static bool cache_hit(const struct cached *c, const struct tokenizer *t, struct bytes piece)
{
    return c->serial == t->serial && c->len == piece.len && !memcmp(c->text, piece.p, piece.len);
}

static void encode_cached(const struct tokenizer *t, struct scratch *s, struct bytes piece,
                          struct ids *out)
{
    struct cached *c = &s->cache[hash64(piece.p, piece.len, t->serial) & (CACHE_SLOTS - 1)];
    if (cache_hit(c, t, piece)) {
        for (int i = 0; i < c->n; i++) ids_put(out, c->id[i]);
        return;
    }
    size_t from = out->n;
    encode_piece(t, s, piece, out);
    size_t n = out->n - from;
    if (n > CACHE_IDS) return;
    c->serial = t->serial;
    c->len = (uint8_t)piece.len;
    c->n = (uint8_t)n;
    memcpy(c->text, piece.p, piece.len);
    for (size_t i = 0; i < n; i++) c->id[i] = out->id[from + i];
}

static void give_back(struct scratch *s)
{
    if (s->cap_sym <= KEEP_SYMBOLS) return;
    mem_free(s->sym);
    mem_free(s->heap);
    s->sym = NULL;
    s->heap = NULL;
    s->cap_sym = s->n_heap = s->cap_heap = 0;
}

void bpe_encode(const struct tokenizer *t, const char *p, size_t len, struct ids *out)
{
    struct scratch *s = scratch();
    struct split_walk w = { .s = t->split, .p = p, .end = p + len };
    for (struct bytes piece; split_next(&w, &piece);) {
        if (piece.len <= CACHE_TEXT) encode_cached(t, s, piece, out);
        else encode_piece(t, s, piece, out);
    }
    give_back(s);
}
