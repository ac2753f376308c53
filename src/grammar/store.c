/* store.c -- masks that are remembered, one store a vocabulary, shared by all its grammars.
 *
 * Most masks are either sparse or close to a class of the vocabulary (the content of strings), so an
 * entry is a base and the few words that differ from it; what fits neither way keeps all its bits. Words and not
 * tokens: they are found sixteen at a time (AVX-512), without a branch for each.
 * Entries lie in a ring: beyond the bound the hand goes round and drops what was not used since it last
 * came by. A key is a hash of all that a mask depends on; equal keys mean equal masks. Any thread. */
#include "grammar/int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { N_BUCKET = 1 << 16, MOST_WORD = 1000, CHUNK = 16 };
struct mask {
    uint64_t key;
    struct mask *next;                  /* in its bucket */
    const uint32_t *base;               /* NULL: no bit set */
    uint32_t n, bytes; bool used;
    uint32_t word[];                    /* n NONE: all words; else by how much n of them differ from the base, then (16 bits each) which */
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

/* Words in which bits and base (NULL: none set) differ, by how much and where; NONE: more than MOST_WORD. */
struct change { uint32_t by[MOST_WORD + CHUNK]; uint16_t at[MOST_WORD + CHUNK]; };

static uint32_t changes_plain(const uint32_t *bits, const uint32_t *base, size_t from, size_t to, struct change *out, uint32_t n)
{
    for (size_t i = from; i < to && n <= MOST_WORD; i++) {
        uint32_t by = bits[i] ^ (base ? base[i] : 0);
        out->by[n] = by;
        out->at[n] = (uint16_t)i;
        n += by != 0;
    }
    return n;
}

#if defined(__x86_64__)
__attribute__((target("avx512f")))
static uint32_t changes_avx512(const uint32_t *bits, const uint32_t *base, size_t n_word, struct change *out)
{
    uint32_t n = 0;
    __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t i = 0; i + CHUNK <= n_word && n <= MOST_WORD; i += CHUNK, place = _mm512_add_epi32(place, _mm512_set1_epi32(CHUNK))) {
        __m512i by = _mm512_loadu_si512(bits + i);
        if (base) by = _mm512_xor_si512(by, _mm512_loadu_si512(base + i));
        __mmask16 some = _mm512_test_epi32_mask(by, by);
        if (!some) continue;
        _mm512_storeu_si512(out->by + n, _mm512_maskz_compress_epi32(some, by));
        _mm256_storeu_si256((__m256i *)(out->at + n), _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(some, place)));
        n += (uint32_t)__builtin_popcount(some);
    }
    return changes_plain(bits, base, n_word & ~(size_t)(CHUNK - 1), n_word, out, n);
}
#endif

static uint32_t changes(const uint32_t *bits, const uint32_t *base, size_t n_word, struct change *out)
{
    uint32_t n;
    if (n_word > UINT16_MAX) return NONE;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) n = changes_avx512(bits, base, n_word, out);
    else
#endif
    n = changes_plain(bits, base, 0, n_word, out, 0);
    return n > MOST_WORD ? NONE : n;
}

static struct mask *encode(const struct mask_store *s, uint64_t key, const uint32_t *bits, const uint32_t *base)
{
    struct change c;
    uint32_t n = changes(bits, base, s->n_word, &c);
    if (n == NONE && base) n = changes(bits, base = NULL, s->n_word, &c);
    size_t words = n == NONE ? s->n_word : n, bytes = sizeof(struct mask) + words * 4 + (n == NONE ? 0 : n * 2);
    struct mask *m = mem_alloc(bytes);
    *m = (struct mask){ .key = key, .base = base, .n = n, .bytes = (uint32_t)bytes };
    memcpy(m->word, n == NONE ? bits : c.by, words * 4);
    if (n != NONE) memcpy(m->word + n, c.at, n * 2);
    return m;
}

static void decode(const struct mask_store *s, const struct mask *m, uint32_t *bits)
{
    size_t size = s->n_word * sizeof *bits;
    if (m->n == NONE) { memcpy(bits, m->word, size); return; }
    const uint16_t *at = (const uint16_t *)(m->word + m->n);
    if (m->base) memcpy(bits, m->base, size);
    else memset(bits, 0, size);
    for (uint32_t i = 0; i < m->n; i++) bits[at[i]] ^= m->word[i];
}

bool store_get(struct mask_store *s, uint64_t key, uint32_t *bits)
{
    pthread_mutex_lock(&s->lock);
    struct mask *m = find(s, key);
    if (m) {
        m->used = true;
        s->hits++;
        decode(s, m, bits);
    } else s->misses++;
    pthread_mutex_unlock(&s->lock);
    return m != NULL;
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
    size_t limit;
    out.bytes += coarse_bytes(v->coarse, &limit);
    out.limit += limit;
    return out;
}

void vocab_cache_clear(struct vocab *v)
{
    store_clear(v->store);
    store_clear(v->texts);
}
