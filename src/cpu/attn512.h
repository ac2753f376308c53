/* attn512.h -- private to cpu/: what the decode attention of F16 (attn_avx512.c) and of Q8_0 caches (attn_vnni.c) share.
 *
 * A page is taken in three steps: the scores of all query heads, their weights, their sums of values. So memory is met in
 * order, and the weights, a long chain of instructions for each head, run into each other. Meanwhile the keys, then the
 * values of the next page are asked for in the order of memory: of all heads in one go (rows of a page lie side by
 * side), or of every row one head's share.
 *
 * Scores are powers of two (the scale has 1 / ln 2 in it), so that weights take one reduction and a polynomial. */
#ifndef TENON_CPU_ATTN512_H
#define TENON_CPU_ATTN512_H

#include <immintrin.h>
#include <math.h>

#include "cpu/int.h"

#define INLINE static inline __attribute__((always_inline))
#define CREW 4                                                        /* queries that go together */
#define LOG2_E 1.44269504f

/* A part on its way through the pages. Query g of KV head h has number h * pitch + g: the queries of a head are whole crews. */
struct walk {
    const struct attn *a;
    const struct attn_part *p;
    int n_head, group, pitch, head_dim, size;                         /* KV heads, queries of each, that rounded up, positions of a page */
    size_t head, row;                                                 /* bytes from head to head, from position to position */
    float *s;                                                         /* [n_head, pitch, size] scores, then weights */
    float *max, *sum, *shrink, *now;                                  /* [n_head, pitch]; what the page makes of what was before, and of itself */
};

/* Takes what it needs from scratch; *rest: the others may have. */
INLINE struct walk walk_begin(const struct attn *a, const struct attn_part *p, float *scratch, float **rest)
{
    int group = a->n_head / a->n_head_kv, n_head = p->head1 - p->head0, pitch = (group + CREW - 1) / CREW * CREW, n = n_head * pitch;
    struct walk w = { a, p, n_head, group, pitch, a->head_dim, a->page, dtype_bytes(a->kv, a->head_dim),
                      dtype_bytes(a->kv, (int64_t)a->n_head_kv * a->head_dim), scratch };
    w.max = w.s + (size_t)n * w.size, w.sum = w.max + n, w.shrink = w.sum + n, w.now = w.shrink + n;
    *rest = w.now + n;
    if (pitch != group) memset(w.s, 0, (size_t)n * w.size * sizeof *w.s);
    memset(p->out, 0, (size_t)(n_head * group) * ATTN_PART(w.head_dim) * sizeof *p->out);
    for (int i = 0; i < n; i++) w.max[i] = -INFINITY, w.sum[i] = 0;
    return w;
}

INLINE float *part_of(const struct walk *w, int h, int g) { return w->p->out + (size_t)(h * w->group + g) * ATTN_PART(w->head_dim); }

INLINE void walk_end(const struct walk *w)
{
    for (int h = 0; h < w->n_head; h++)
        for (int g = 0; g < w->group; g++) {
            float *state = part_of(w, h, g) + ATTN_STATE(w->head_dim);
            state[0] = w->max[h * w->pitch + g], state[1] = w->sum[h * w->pitch + g];
        }
}

INLINE const float *query_of(const struct walk *w, int h, int g)
{
    return w->a->q + ((size_t)w->p->t * w->a->n_head + (size_t)(w->p->head0 + h) * w->group + g) * w->head_dim;
}

/* The places of one head of a page that is met: position j at p + j * row. Of the page that comes next: what stands for
 * position j at next + j * step, cache lines `line` apart. */
struct side { const char *p, *next; size_t step, line; };

INLINE struct side side_of(const struct walk *w, const void *const *page, int i, int h)
{
    bool more = (i + 1) * w->size < w->a->pos0 + w->p->t + 1, whole = w->n_head == w->a->n_head_kv;
    size_t off = (size_t)(w->p->head0 + h) * w->head;
    const char *next = page[more ? i + 1 : i];
    return (struct side){ (const char *)page[i] + off, whole ? next + (size_t)w->size * off : next + off,
                          whole ? w->head : w->row, whole ? 64 : w->row };
}

INLINE void ask(const char *p) { _mm_prefetch(p, _MM_HINT_T1); }

/* ---- from scores to weights ---------------------------------------------------------------------- */

/* 2^x to 1e-7; what is below -200 becomes 0. */
INLINE __m512 exp2_16(__m512 x)
{
    x = _mm512_max_ps(x, _mm512_set1_ps(-200));
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
    __m512 y = _mm512_set1_ps(0.00015345812f);
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.0013399931f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.009618489f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.055503286f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.24022646f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.69314718f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(y, n);
}

/* Scores of positions outside of [first, n_seen) are -inf. */
INLINE void hide(const struct walk *w, int first, int n_seen)
{
    for (int i = 0; i < w->n_head * w->pitch && (first > 0 || n_seen < w->size); i++) {
        float *s = w->s + (size_t)i * w->size;
        for (int j = 0; j < first; j++) s[j] = -INFINITY;
        for (int j = n_seen; j < w->size; j++) s[j] = -INFINITY;
    }
}

/* f over the lanes of four registers, side by side. */
#define ACROSS_4(name, f, f4)                                                                                           \
    INLINE __m128 name(const __m512 v[4])                                                                               \
    {                                                                                                                   \
        __m512 t = f(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));                                   \
        __m512 u = f(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));                                   \
        t = f(_mm512_shuffle_ps(t, u, 0x44), _mm512_shuffle_ps(t, u, 0xee));                                            \
        t = f(t, _mm512_shuffle_f32x4(t, t, 0x4e));                                                                     \
        return f4(_mm512_castps512_ps128(t), _mm512_extractf32x4_ps(t, 1));                                             \
    }
ACROSS_4(largest_4, _mm512_max_ps, _mm_max_ps)
ACROSS_4(total_4, _mm512_add_ps, _mm_add_ps)

/* The largest of each of a crew's scores on this page; its queries' max, shrink and now. */
INLINE __m128 crew_max(const struct walk *w, int i)
{
    const float *s = w->s + (size_t)i * w->size;
    __m512 m[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        m[g] = _mm512_loadu_ps(s + g * w->size);
        for (int j = 16; j < w->size; j += 16) m[g] = _mm512_max_ps(m[g], _mm512_loadu_ps(s + g * w->size + j));
    }
    __m128 here = largest_4(m), old = _mm_loadu_ps(w->max + i), max = _mm_max_ps(here, old);
    __m512 less = _mm512_insertf32x4(_mm512_castps128_ps512(_mm_sub_ps(old, max)), _mm_sub_ps(here, max), 1), by = exp2_16(less);
    _mm_storeu_ps(w->max + i, max);
    _mm_storeu_ps(w->shrink + i, _mm512_castps512_ps128(by)), _mm_storeu_ps(w->now + i, _mm512_extractf32x4_ps(by, 1));
    return here;
}

/* What the crew's weights come to on this page, relative to max or (times now) to the largest of the page. */
INLINE void crew_sum(const struct walk *w, int i, const __m512 total[4], bool here)
{
    __m128 sum = total_4(total);
    if (here) sum = _mm_mul_ps(sum, _mm_loadu_ps(w->now + i));
    _mm_storeu_ps(w->sum + i, _mm_fmadd_ps(_mm_loadu_ps(w->sum + i), _mm_loadu_ps(w->shrink + i), sum));
}

#endif
