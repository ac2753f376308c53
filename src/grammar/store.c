/* store.c -- masks that are remembered, one store a vocabulary, shared by all its grammars.
 *
 * Most masks are either sparse or close to a class of the vocabulary (the content of strings), so an
 * entry is a base and the few tokens that differ from it; what fits neither way keeps all its bits.
 * Entries lie in a ring: beyond the bound the hand goes round and drops what was not used since it last
 * came by. A key is a hash of all that a mask depends on; equal keys mean equal masks. Any thread. */
#include "grammar/int.h"

enum { N_BUCKET = 1 << 16, MOST_TOGGLE = 1500 };
struct mask {
    uint64_t key;
    struct mask *next;                  /* in its bucket */
    const uint32_t *base;               /* NULL: no bit set */
    uint32_t n, bytes; bool used;
    uint32_t token[];                   /* tokens that differ from the base, or (n NONE) all words */
};
struct mask_store {
    struct mask **bucket, **ring; size_t n, cap, hand;
    uint64_t *asked;                    /* [N_BUCKET] keys put once; NULL: the first put is kept */
    size_t n_word, bytes, limit;
    uint64_t hits, misses;
    pthread_mutex_t lock;
};

struct mask_store *store_open(size_t limit, size_t n_word, bool twice)
{
    struct mask_store *s = mem_zero(sizeof *s);
    if (twice) s->asked = mem_zero(N_BUCKET * sizeof *s->asked);
    s->bucket = mem_zero(N_BUCKET * sizeof *s->bucket);
    s->limit = limit;
    s->n_word = n_word;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void store_clear(struct mask_store *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        s->bucket[s->ring[i]->key % N_BUCKET] = NULL;
        mem_free(s->ring[i]);
    }
    s->n = s->hand = s->bytes = 0;
    if (s->asked) memset(s->asked, 0, N_BUCKET * sizeof *s->asked);
    pthread_mutex_unlock(&s->lock);
}

void store_close(struct mask_store *s)
{
    if (!s) return;
    store_clear(s);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->bucket);
    mem_free(s->ring);
    mem_free(s->asked);
    mem_free(s);
}

static struct mask *find(const struct mask_store *s, uint64_t key)
{
    struct mask *m = s->bucket[key % N_BUCKET];
    while (m && m->key != key) m = m->next;
    return m;
}

bool store_get(struct mask_store *s, uint64_t key, uint32_t *bits)
{
    pthread_mutex_lock(&s->lock);
    struct mask *m = find(s, key);
    if (m) {
        m->used = true;
        s->hits++;
        if (m->n == NONE) memcpy(bits, m->token, s->n_word * sizeof *bits);
        else if (m->base) memcpy(bits, m->base, s->n_word * sizeof *bits);
        else memset(bits, 0, s->n_word * sizeof *bits);
        for (uint32_t i = 0; m->n != NONE && i < m->n; i++) bits[m->token[i] / 32] ^= 1u << (m->token[i] % 32);
    } else s->misses++;
    pthread_mutex_unlock(&s->lock);
    return m != NULL;
}

enum { STRIDE = 64 };                   /* many words are equal: so many are compared at once */
/* Tokens in which bits and base differ, into list; NONE: more than MOST_TOGGLE. */
static uint32_t differences(const uint32_t *bits, const uint32_t *base, size_t n_word, uint32_t list[MOST_TOGGLE + STRIDE * 32])
{
    static const uint32_t none[STRIDE];
    uint32_t n = 0;
    for (size_t i = 0; i < n_word; i += STRIDE) {
        const uint32_t *own = bits + i, *other = base ? base + i : none;
        size_t some = MIN(n_word - i, (size_t)STRIDE);
        if (!memcmp(own, other, some * sizeof *own)) continue;
        for (size_t k = 0; k < some; k += 2) {          /* two words at a time */
            uint64_t a = 0, b = 0;
            memcpy(&a, own + k, MIN(some - k, (size_t)2) * sizeof *own);
            memcpy(&b, other + k, MIN(some - k, (size_t)2) * sizeof *own);
            for (uint64_t w = a ^ b; w; w &= w - 1) list[n++] = (uint32_t)(i + k) * 32 + (uint32_t)__builtin_ctzll(w);
        }
        if (n > MOST_TOGGLE) return NONE;
    }
    return n;
}

static struct mask *encode(const struct mask_store *s, uint64_t key, const uint32_t *bits, const uint32_t *base)
{
    uint32_t list[MOST_TOGGLE + STRIDE * 32], n = differences(bits, base, s->n_word, list);
    if (n == NONE && base) n = differences(bits, base = NULL, s->n_word, list);
    size_t bytes = sizeof(struct mask) + (n == NONE ? s->n_word : n) * sizeof(uint32_t);
    struct mask *m = mem_alloc(bytes);
    *m = (struct mask){ .key = key, .base = base, .n = n, .bytes = (uint32_t)bytes };
    if (n == NONE) memcpy(m->token, bits, s->n_word * sizeof *bits);
    else if (n) memcpy(m->token, list, n * sizeof *list);
    return m;
}

static void drop(struct mask_store *s, size_t at)
{
    struct mask *m = s->ring[at], **p = &s->bucket[m->key % N_BUCKET];
    while (*p != m) p = &(*p)->next;
    *p = m->next;
    s->bytes -= m->bytes;
    s->ring[at] = s->ring[--s->n];
    mem_free(m);
}

static void make_room(struct mask_store *s)
{
    while (s->bytes > s->limit && s->n) {
        if (s->hand >= s->n) s->hand = 0;
        if (s->ring[s->hand]->used) s->ring[s->hand++]->used = false;
        else drop(s, s->hand);
    }
}

/* Has the key been put before (or another at its place since)? Most states of a grammar are met once: they would only
 * drive out the others, and writing them down costs more than many masks do. */
static bool is_wanted(struct mask_store *s, uint64_t key)
{
    if (!s->asked) return true;
    pthread_mutex_lock(&s->lock);
    uint64_t *at = &s->asked[key / N_BUCKET % N_BUCKET];
    bool again = *at == key;
    *at = key;
    pthread_mutex_unlock(&s->lock);
    return again;
}

void store_put(struct mask_store *s, uint64_t key, const uint32_t *bits, const uint32_t *base)
{
    if (!is_wanted(s, key)) return;
    struct mask *m = encode(s, key, bits, base);
    pthread_mutex_lock(&s->lock);
    if (find(s, key)) mem_free(m);
    else {
        struct mask **bucket = &s->bucket[key % N_BUCKET];
        m->next = *bucket;
        *bucket = m;
        MEM_GROW(s->ring, s->n, s->cap);
        s->ring[s->n++] = m;
        s->bytes += m->bytes;
        make_room(s);
    }
    pthread_mutex_unlock(&s->lock);
}

static void stats_add(struct mask_store *s, struct mask_cache_stats *to)
{
    pthread_mutex_lock(&s->lock);
    to->bytes += s->bytes;
    to->limit += s->limit;
    to->hits += s->hits;
    to->misses += s->misses;
    pthread_mutex_unlock(&s->lock);
}

struct mask_cache_stats vocab_cache_stats(const struct vocab *v)
{
    struct mask_cache_stats out = { 0 };
    stats_add(v->store, &out);
    stats_add(v->texts, &out);
    return out;
}

void vocab_cache_clear(struct vocab *v)
{
    store_clear(v->store);
    store_clear(v->texts);
}
