/* slice.h -- private to cpu/: sixteen rows of weights on their way into a panel of the VNNI kernels, as bytes with
 * their scales and minima (codec.h), SLICE values of k at a time, so that what is unpacked is turned while it is still
 * in the first-level cache. */
#ifndef TENON_CPU_SLICE_H
#define TENON_CPU_SLICE_H

#include "cpu/codec.h"
#include "cpu/turn.h"

#define SLICE 256 /* k values turned at a time */

/* The minima have room for a whole register too. */
struct slice { int8_t q[16][SLICE]; float scale[16][16], min[16][16]; };

/* Register j: number j of every row. */
static inline __attribute__((always_inline)) void turn_floats(__m512i r[16], const float from[16][16])
{
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(from[i]);
    turn(r);
}

/* Block of row r that holds value k. */
static inline const uint8_t *slice_at(const struct mat *w, int r, int k)
{
    const struct dtype_info *t = dtype_info(w->dtype);
    return (const uint8_t *)w->data + (size_t)r * w->row_bytes + (size_t)(k / t->block) * t->bytes;
}

/* Slice [k, k + n) of 16 rows from r on; those that are not there (from n_row on) are zero. What comes next in each row
 * is asked for early: sixteen streams are more than the hardware follows. */
static inline void slice_fill(struct slice *s, const struct mat *w, int r, int n_row, int k, int n)
{
    const struct dtype_info *t = dtype_info(w->dtype);
    int bytes = SLICE / t->block * t->bytes;
    for (int i = 0; i < 16; i++) {
        if (i < n_row) {
            const uint8_t *src = slice_at(w, r + i, k);
            for (int j = 0; j < bytes; j += 64) _mm_prefetch((const char *)src + bytes + j, _MM_HINT_T0);
            codecs[w->dtype].row(src, s->q[i], s->scale[i], s->min[i], n);
            continue;
        }
        memset(s->q[i], 0, sizeof s->q[i]);
        memset(s->scale[i], 0, sizeof s->scale[i]);
        memset(s->min[i], 0, sizeof s->min[i]);
    }
}

/* Four bytes, to every lane. */
static inline __attribute__((always_inline)) __m512i four(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

#endif
