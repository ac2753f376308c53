/* crowd16.h -- private to cpu/: sixteen rows of weights turned as they lie in the file, for the decode kernels of AVX-512 VNNI
 * (crowd_vnni.c, crowd_k.c).
 *
 * A strip, a few blocks of each of sixteen rows, becomes words: word j is a register that holds bytes 4j .. 4j+3 of the
 * strip in all rows. Whatever stands in a block, scales included, is turned with it: sixteen bytes of sixteen rows take
 * 16 loads and 8 shuffles, picking scales out one by one would take 32 more. The words go by way of a tile in the
 * first-level cache, so that neither their number nor where blocks begin matters to the code that multiplies.
 *
 * Meanwhile as many bytes of the next sixteen rows are asked for, in the order of memory: sixteen streams side by side
 * are more than the hardware follows. Strips are short, so that turning and multiplying, which use different parts of
 * the machine, run into each other. */
#ifndef TENON_CPU_CROWD16_H
#define TENON_CPU_CROWD16_H

#include <immintrin.h>

#include "cpu/int.h"

/* Loops over words and columns are unrolled; not where every access is checked, for which compilers take minutes. */
#if defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define UNROLL(n) _Pragma("clang loop unroll(disable)")
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL(n) _Pragma("GCC unroll 1")
#endif
#ifndef UNROLL
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

#define INLINE static inline __attribute__((always_inline))
#define ROWS 16
#define COLS 8                                                        /* columns that go through the rows together, at most */
#define FEW 32                                                        /* prompt tokens that go this way, at most */
#define SEGMENT 16                                                    /* bytes of a row turned at a time */

/* Columns of the group that begins with column `first` of n: 8, 4, 2 or 1. A group stands side by side. */
INLINE int group_cols(int n, int first)
{
    int cols = COLS;
    while (cols > n - first) cols /= 2;
    return cols;
}

/* First column of the group of column t, of n. */
static inline int group_first(int n, int t)
{
    int first = 0, cols;
    while (cols = group_cols(n, first), first + cols <= t) first += cols;
    return first;
}

/* ---- rows into words ----------------------------------------------------------------------------- */

struct strip { const uint8_t *p; size_t row; };                       /* byte 0 of the first row; bytes from row to row */

INLINE __m512i four_rows(const uint8_t *p, size_t row)                /* rows 0, 4, 8, 12 from p on */
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 4 * row)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 8 * row)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + 12 * row)), 3);
}

INLINE void ask_for(const uint8_t *p, int lines)
{
UNROLL(32)
    for (int j = 0; j < lines; j++) _mm_prefetch((const char *)p + 64 * j, _MM_HINT_T1);
}

/* The `bytes` of a strip (16 or more, whole words) to words; with each segment so many lines from `next` on are asked for. */
INLINE void turn_strip(__m512i *w, struct strip s, int bytes, const uint8_t *next, int lines)
{
    for (int off = 0; off < bytes; off += SEGMENT, next += 64 * lines) {
        ask_for(next, lines);
        int at = MIN(off, bytes - SEGMENT);
        const uint8_t *p = s.p + at;
        __m512i *to = w + at / 4;
        __m512i a = four_rows(p, s.row), b = four_rows(p + s.row, s.row);
        __m512i c = four_rows(p + 2 * s.row, s.row), d = four_rows(p + 3 * s.row, s.row);
        __m512i t0 = _mm512_unpacklo_epi32(a, b), t1 = _mm512_unpackhi_epi32(a, b);
        __m512i t2 = _mm512_unpacklo_epi32(c, d), t3 = _mm512_unpackhi_epi32(c, d);
        _mm512_store_si512(to, _mm512_unpacklo_epi64(t0, t2)), _mm512_store_si512(to + 1, _mm512_unpackhi_epi64(t0, t2));
        _mm512_store_si512(to + 2, _mm512_unpacklo_epi64(t1, t3)), _mm512_store_si512(to + 3, _mm512_unpackhi_epi64(t1, t3));
    }
}

/* The end of a row, or rows where fewer than sixteen are left (the last one serves for those), put together in `room`:
 * `bytes` from offset `off` on, zeros behind the row's end. */
static __attribute__((noinline, unused)) struct strip stage_strip(uint8_t *room, const struct mat *w, int r, size_t off, size_t bytes)
{
    size_t have = MIN(bytes, w->row_bytes - off);
    for (int i = 0; i < ROWS; i++) {
        const uint8_t *from = (const uint8_t *)w->data + (size_t)MIN(r + i, w->n_out - 1) * w->row_bytes + off;
        memcpy(room + (size_t)i * bytes, from, have);
        memset(room + (size_t)i * bytes + have, 0, bytes - have);
    }
    return (struct strip){ room, bytes };
}

/* May `bytes` from offset `off` on be read from sixteen rows as they lie? What stands behind a row's end is the next row. */
INLINE bool lies_whole(const struct mat *w, int r, size_t off, size_t bytes)
{
    return r + ROWS < w->n_out || (r + ROWS == w->n_out && off + bytes <= w->row_bytes);
}

/* ---- words times columns ------------------------------------------------------------------------- */

/* a += w . the four bytes at x, for every row; one instruction, which the compiler makes two of. */
INLINE __m512i add_four(__m512i a, __m512i w, const char *x)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(a) : "v"(w), "m"(*(const int32_t *)(const void *)x));
    return a;
}

INLINE __m512i int_at(const char *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE __m512 float_at(const char *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_ps(v);
}

/* Halves in the low 16 bits of every word. */
INLINE __m512 halves(__m512i w)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w));
}

/* ---- all rows ------------------------------------------------------------------------------------ */

/* rows_NAME: sixteen rows after another, each group of columns through `group` with its number as a constant. */
#define CROWD_ROWS(name, group, ...)                                                                                    \
    static void rows_##name(float *y, size_t ldy, const struct mat *w, const void *acts, size_t ldx, int n, int r0,     \
                            int r1, float *row)                                                                         \
    {                                                                                                                   \
        for (int r = r0; r < r1; r += ROWS)                                                                             \
            for (int t = 0, cols; t < n; t += cols) {                                                                   \
                const char *x = (const char *)acts + (size_t)t * ldx;                                                   \
                __mmask16 live = (__mmask16)((1u << MIN(ROWS, r1 - r)) - 1);                                            \
                float *to = y + (size_t)t * ldy + r;                                                                    \
                cols = group_cols(n, t);                                                                                \
                if (cols == 8) group(to, ldy, w, r, live, x, 8, __VA_ARGS__);                                           \
                else if (cols == 4) group(to, ldy, w, r, live, x, 4, __VA_ARGS__);                                      \
                else if (cols == 2) group(to, ldy, w, r, live, x, 2, __VA_ARGS__);                                      \
                else group(to, ldy, w, r, live, x, 1, __VA_ARGS__);                                                     \
            }                                                                                                           \
    }

INLINE void put_sums(float *y, size_t ldy, const __m512 *sum, __mmask16 live, int cols)
{
UNROLL(8)
    for (int t = 0; t < cols; t++) _mm512_mask_storeu_ps(y + t * ldy, live, sum[t]);
}

#endif
