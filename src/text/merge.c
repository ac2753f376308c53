/* merge.c -- what both kinds of tokenizer do with a piece of text: neighbours merge, best pair first.
 *
 * A symbol is a token id at a place of the piece, a merge is (a, b) -> ab with an order: the lowest
 * order anywhere goes first, the leftmost of equal ones. A heap of (order, place) keeps a piece of n
 * symbols at O(n log n), so a megabyte of one letter is no attack. Every symbol knows the merge with
 * its right neighbour as it is now; an entry whose order is another one is stale and skipped.
 *
 * Orders may be shared (scores can be equal). Then an entry that was pushed for another merge of the
 * same order at the same place takes the place of the one that belongs to it: the same step.
 *
 * A short piece is remembered with its ids in a cache of the calling thread; the tokenizer itself
 * is only read. */
#include "text/int.h"

#include <pthread.h>

#define CACHE_SLOTS 4096                                           /* power of two; 64 bytes each */
#define CACHE_TEXT 24
#define CACHE_IDS 5
#define KEEP_SYMBOLS 65536                              /* scratch larger than this is given back */

struct cached { uint64_t serial; uint8_t len, n; char text[CACHE_TEXT]; int32_t id[CACHE_IDS]; };

struct scratch {
    struct symbol *sym; size_t cap_sym;
    uint64_t *heap; size_t n_heap, cap_heap;                          /* order << 32 | place */
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

struct symbol *merge_room(size_t n)
{
    struct scratch *s = scratch();
    if (n > s->cap_sym) {
        s->cap_sym = MAX(n, 2 * s->cap_sym);
        s->sym = mem_resize(s->sym, s->cap_sym * sizeof *s->sym);
    }
    return s->sym;
}

void merge_rest(void)
{
    struct scratch *s = scratch();
    if (s->cap_sym <= KEEP_SYMBOLS) return;
    mem_free(s->sym);
    mem_free(s->heap);
    s->sym = NULL;
    s->heap = NULL;
    s->cap_sym = s->n_heap = s->cap_heap = 0;
}

/* ---- the table of pairs ---------------------------------------------------------------------- */

/* All that the search for the next merge asks lies in the slot: the table is larger than the caches of the
 * processor, and a second look elsewhere would cost as much again. */
struct merge_slot { int32_t a, b; uint32_t index, order; };            /* index in merge[] + 1, 0: free */

static struct merge_slot *merge_slot(const struct tokenizer *t, int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9e3779b97f4a7c15u;
    size_t i = (h ^ h >> 29) >> 7 & t->merge_mask;
    struct merge_slot *slot = &t->merge_slot[i];
    for (; slot->index && (slot->a != a || slot->b != b); slot = &t->merge_slot[i]) i = (i + 1) & t->merge_mask;
    return slot;
}

void merge_index(struct tokenizer *t)
{
    size_t n = (size_t)t->n_merge, cap = 16;
    while (cap < n + n / 2) cap *= 2;
    t->merge_slot = mem_zero(cap * sizeof *t->merge_slot);
    t->merge_mask = cap - 1;
    for (size_t i = 0; i < n; i++) {
        const struct merge *m = &t->merge[i];
        struct merge_slot *slot = merge_slot(t, m->a, m->b);
        if (slot->index) continue;                  /* the same pair again: the first rank counts */
        *slot = (struct merge_slot){ m->a, m->b, (uint32_t)i + 1, m->order };
    }
}

int32_t merge_find(const struct tokenizer *t, int32_t a, int32_t b)
{
    if (a < 0 || b < 0) return -1;
    return (int32_t)merge_slot(t, a, b)->index - 1;
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
    if (l < 0) return;
    struct symbol *sym = &s->sym[l], *right = &s->sym[MAX(sym->next, 0)];
    sym->merge = -1;
    if (sym->next < 0 || sym->id < 0 || right->id < 0) return;
    const struct merge_slot *slot = merge_slot(t, sym->id, right->id);
    if (!slot->index) return;
    sym->merge = (int32_t)slot->index - 1;
    heap_push(s, (uint64_t)slot->order << 32 | (uint32_t)l);
}

static void join(struct scratch *s, int32_t l, int32_t id)
{
    int32_t r = s->sym[l].next;
    s->sym[l].id = id;
    s->sym[l].next = s->sym[r].next;
    s->sym[r].merge = -1;                                   /* entries at this place are stale now */
    if (s->sym[l].next >= 0) s->sym[s->sym[l].next].prev = l;
}

int32_t merge_all(const struct tokenizer *t)
{
    struct scratch *s = scratch();
    int32_t last = -1;
    s->n_heap = 0;
    for (int32_t i = 0; i >= 0; i = s->sym[i].next) offer(t, s, i);
    while (s->n_heap) {
        uint64_t top = heap_pop(s);
        int32_t l = (int32_t)(uint32_t)top, m = s->sym[l].merge;
        if (m < 0 || t->merge[m].order != top >> 32) continue;        /* stale */
        last = m;
        join(s, l, t->merge[m].ab);
        offer(t, s, s->sym[l].prev);
        offer(t, s, l);
    }
    return last;
}

/* ---- pieces seen before ---------------------------------------------------------------------- */

static bool cache_hit(const struct cached *c, const struct tokenizer *t, struct bytes piece)
{
    return c->serial == t->serial && c->len == piece.len && !memcmp(c->text, piece.p, piece.len);
}

void merge_cached(const struct tokenizer *t, struct bytes piece, piece_fn *encode, struct ids *out)
{
    if (piece.len > CACHE_TEXT) {
        encode(t, piece, out);
        return;
    }
    struct scratch *s = scratch();
    struct cached *c = &s->cache[hash64(piece.p, piece.len, t->serial) & (CACHE_SLOTS - 1)];
    if (cache_hit(c, t, piece)) {
        for (int i = 0; i < c->n; i++) ids_put(out, c->id[i]);
        return;
    }
    size_t from = out->n;
    encode(t, piece, out);
    size_t n = out->n - from;
    if (n > CACHE_IDS) return;
    c->serial = t->serial;
    c->len = (uint8_t)piece.len;
    c->n = (uint8_t)n;
    memcpy(c->text, piece.p, piece.len);
    for (size_t i = 0; i < n; i++) c->id[i] = out->id[from + i];
}
