/* attn_avx512.c -- decode attention over an F16 cache with AVX-512.
 *
 * Keys are converted as they are loaded and multiplied four positions at a time with each query of the group: a query's
 * register serves four products, a key's as many as there are queries. What a position comes to is folded while it is in
 * registers: four positions to one register, four of those to sixteen scores. Values run through sixteen sums in
 * registers (four queries by 64 values) from the first position of the page to the last.
 *
 * Bound: of 64 values of a key and a value for four queries, 32 products, 8 conversions, 12 for the folding and about 5
 * for the weights: 28 cycles for 256 bytes, two instructions each, which is 23 GB/s of a core at 2.5 GHz. Memory gives half
 * of that. */
#include "cpu/attn512.h"

INLINE __m512 half_16(const char *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }

/* Lane i of every quarter: what v[i] has there. */
INLINE __m512 fold_4(const __m512 v[4])
{
    __m512 t = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    __m512 u = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    return _mm512_add_ps(_mm512_shuffle_ps(t, u, 0x44), _mm512_shuffle_ps(t, u, 0xee));
}

/* Quarter i: the sum of the quarters of v[i]. */
INLINE __m512 fold_quarters(const __m512 v[4])
{
    __m512 t = _mm512_add_ps(_mm512_shuffle_f32x4(v[0], v[1], 0x88), _mm512_shuffle_f32x4(v[0], v[1], 0xdd));
    __m512 u = _mm512_add_ps(_mm512_shuffle_f32x4(v[2], v[3], 0x88), _mm512_shuffle_f32x4(v[2], v[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(t, u, 0x88), _mm512_shuffle_f32x4(t, u, 0xdd));
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* 64 values or fewer (`wide` registers) of four keys with each of n queries, d apart; quad: a register for each query, `step`
 * apart, of which lane i of every quarter belongs to key i. */
INLINE void score_4(__m512 *quad, int step, const char *p, size_t row, const float *q, int n, int d, int wide, bool more)
{
    __m512 x[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) x[r][b] = half_16(p + r * row + 32 * b);
#pragma GCC unroll 1
    for (int g = 0; g < n; g++, q += d, quad += step) {               /* not unrolled: there are registers for one query */
        __m512 dot[4];
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) {
            __m512 v = _mm512_loadu_ps(q + 16 * b);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) dot[r] = b ? _mm512_fmadd_ps(x[r][b], v, dot[r]) : _mm512_mul_ps(x[r][b], v);
        }
        __m512 sum = fold_4(dot);
        *quad = more ? _mm512_add_ps(*quad, sum) : sum;
    }
}

#define MOST_GROUP 32
INLINE void scores(const struct walk *w, int page, int h, int d)
{
    struct side k = side_of(w, w->a->k, page, h);
    __m512 quad[MOST_GROUP][4], scale = _mm512_set1_ps(w->a->scale * LOG2_E);
    float *s = w->s + (size_t)(h * w->pitch) * w->size;
    const float *q = query_of(w, h, 0);
    for (int j = 0; j < w->size; j += 16) {
        for (int i = 0; i < 4; i++) {
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
                for (int b = 0; b < d / 32; b++) ask(k.next + (size_t)(j + 4 * i + r) * k.step + 64 * b);
            for (int c = 0; c < d; c += 64)
                score_4(&quad[0][i], 4, k.p + (size_t)(j + 4 * i) * w->row + 2 * c, w->row, q + c, w->group, d, MIN(d, 64) / 16, c);
        }
        for (int g = 0; g < w->group; g++) _mm512_storeu_ps(s + g * w->size + j, _mm512_mul_ps(fold_quarters(quad[g]), scale));
    }
}

/* ---- weights ------------------------------------------------------------------------------------- */

INLINE void soften(const struct walk *w, int i)
{
    crew_max(w, i);
    __m512 total[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        float *s = w->s + (size_t)(i + g) * w->size;
        __m512 max = _mm512_set1_ps(w->max[i + g]);
        total[g] = _mm512_setzero_ps();
        for (int j = 0; j < w->size; j += 16) {
            __m512 p = exp2_16(_mm512_sub_ps(_mm512_loadu_ps(s + j), max));
            _mm512_storeu_ps(s + j, p);
            total[g] = _mm512_add_ps(total[g], p);
        }
    }
    crew_sum(w, i, total, false);
}

/* ---- values -------------------------------------------------------------------------------------- */

/* Queries [g0, g0 + n) of head h: o = shrink * o + weights . values, over `wide` registers from value c on. */
INLINE void mix(const struct walk *w, const struct side *v, int h, int g0, int n, int first, int n_seen, int c, int wide)
{
    __m512 a[CREW][4], x[4];
    const float *s = w->s + (size_t)(h * w->pitch + g0) * w->size, *shrink = w->shrink + h * w->pitch + g0;
    float *o = part_of(w, h, g0) + c;
    size_t part = ATTN_PART(w->head_dim);
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) a[g][b] = _mm512_mul_ps(_mm512_loadu_ps(o + g * part + 16 * b), _mm512_set1_ps(shrink[g]));
    for (int j = first; j < n_seen; j++) {
        const char *p = v->p + (size_t)j * w->row + 2 * c, *next = v->next + (size_t)j * v->step + 2 * c;
        ask(next);
        if (wide > 2) ask(next + 64);
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) x[b] = half_16(p + 32 * b);
#pragma GCC unroll 4
        for (int g = 0; g < n; g++) {
            __m512 weight = _mm512_set1_ps(s[g * w->size + j]);
#pragma GCC unroll 4
            for (int b = 0; b < wide; b++) a[g][b] = _mm512_fmadd_ps(x[b], weight, a[g][b]);
        }
    }
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) _mm512_storeu_ps(o + g * part + 16 * b, a[g][b]);
}

INLINE void values(const struct walk *w, int page, int h, int first, int n_seen, int d)
{
    struct side v = side_of(w, w->a->v, page, h);
    for (int c = 0; c < d; c += 64) {
        int g = 0;
        for (; g + 4 <= w->group; g += 4) mix(w, &v, h, g, 4, first, n_seen, c, MIN(d, 64) / 16);
        for (; g + 2 <= w->group; g += 2) mix(w, &v, h, g, 2, first, n_seen, c, MIN(d, 64) / 16);
        for (; g < w->group; g++) mix(w, &v, h, g, 1, first, n_seen, c, MIN(d, 64) / 16);
    }
}

/* ---- pages --------------------------------------------------------------------------------------- */

#define PAGES_OF(d)                                                                                                     \
    static void pages_##d(const struct walk *w)                                                                         \
    {                                                                                                                   \
        for (int i = w->p->from / w->size; i * w->size < w->p->to; i++) {                                               \
            int first = MAX(w->p->from - i * w->size, 0), n_seen = MIN(w->p->to - i * w->size, w->size);                \
            for (int h = 0; h < w->n_head; h++) scores(w, i, h, d);                                                     \
            hide(w, first, n_seen);                                                                                     \
            for (int c = 0; c < w->n_head * w->pitch; c += CREW) soften(w, c);                                                   \
            for (int h = 0; h < w->n_head; h++) values(w, i, h, first, n_seen, d);                                      \
        }                                                                                                               \
    }
PAGES_OF(32)
PAGES_OF(64)
PAGES_OF(128)

static bool attn_f16(const struct attn *a, const struct attn_part *p, float *scratch)
{
    int d = a->head_dim;
    if (a->page % 16 || (d != 32 && d != 64 && d != 128) || a->n_head / a->n_head_kv > MOST_GROUP) return false;
    struct walk w = walk_begin(a, p, scratch, &scratch);
    (d == 32 ? pages_32 : d == 64 ? pages_64 : pages_128)(&w);
    walk_end(&w);
    return true;
}

void kern_attn_avx512(struct kern *k)
{
    k->attn[DT_F16] = attn_f16;
}
