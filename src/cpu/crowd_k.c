/* crowd_k.c -- Q4_K, Q5_K and Q6_K rows for one column or many at once, with AVX-512 VNNI: decode and short prompts.
 *
 * The sixteen rows of crowd16.h, by super-blocks of 256 values. Scales and minima stand in the blocks as small integers;
 * turned, a register holds those of sixteen rows and they are unpacked for all of them at once. A group of 32 (16)
 * values costs a column 8 (4) vpdpbusd, a conversion and a multiply-add by the scale; minima are two groups at a time
 * (vpdpwssd), and the column's own scale comes once a super-block.
 *
 * A super-block of `cols` columns side by side (column256.h): s8 q[cols][256], i32 start[cols][16], i16 sum[cols][8],
 * f32 d[cols].
 *
 * The arithmetic and its order are those of the prefill panels (vnni_k.c): the same bits whichever way is taken and
 * however many columns come along. */
#include "cpu/column256.h"
#include "cpu/crowd16.h"

#define START 256                                                     /* where the parts of a column begin, times cols */
#define SUM 320
#define SCALE 336
#define COLUMN 340

static size_t act_bytes(int k)
{
    return (size_t)k / 256 * COLUMN;
}

static void act_lay(void *base, size_t ldx, const float *x, int k, int t, int n)
{
    int first = group_first(n, t), cols = group_cols(n, first), i = t - first;
    char *to = (char *)base + (size_t)first * ldx;
    for (int b = 0; b < k / 256; b++, x += 256, to += cols * COLUMN) {
        float d = column_256((int8_t *)to + i * 256, to + cols * START + i * 64, to + cols * SUM + i * 16, x);
        memcpy(to + cols * SCALE + i * 4, &d, sizeof d);
    }
}

static const struct act_form act = { act_bytes, NULL, act_lay };

/* f += scale . (n words times n words of every column, from `start` on where there is one). */
INLINE void add_group(__m512 *f, const __m512i *v, int n, __m512 scale, const char *q, const char *start, int cols)
{
    __m512i a[COLS];
UNROLL(8)
    for (int t = 0; t < cols; t++) a[t] = start ? int_at(start + 64 * t) : _mm512_setzero_si512();
UNROLL(8)
    for (int j = 0; j < n; j++)
UNROLL(8)
        for (int t = 0; t < cols; t++) a[t] = add_four(a[t], v[j], q + 256 * t + 4 * j);
UNROLL(8)
    for (int t = 0; t < cols; t++) f[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[t]), scale, f[t]);
}

INLINE __m512i bits(__m512i v, int shift, int mask)
{
    return _mm512_and_si512(shift ? _mm512_srli_epi16(v, shift) : v, _mm512_set1_epi8((char)mask));
}

/* The bytes of n words as floats times d, byte by byte, to the tile `to`. */
INLINE void scales(__m512 *to, const __m512i *w, int n, __m512 d, bool is_signed)
{
    for (int i = 0; i < 4 * n; i++) {
        __m512i v = _mm512_sll_epi32(w[i / 4], _mm_cvtsi32_si128(24 - 8 * (i % 4)));
        to[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(is_signed ? _mm512_srai_epi32(v, 24) : _mm512_srli_epi32(v, 24)));
    }
}

/* ---- Q4_K, Q5_K: header of 16 bytes, fifth bits, nibbles of two groups in 32 bytes --------------------- */

/* Six-bit scales and minima of sixteen rows (codec.h: codec_scales). */
struct header { __m512 d, dmin; __m512i scale[2], min[2]; };

INLINE struct header read_header(const __m512i w[4])
{
    struct header h = { halves(w[0]), halves(_mm512_srli_epi32(w[0], 16)), { bits(w[1], 0, 63) }, { bits(w[2], 0, 63) } };
    h.scale[1] = _mm512_or_si512(bits(w[3], 0, 15), _mm512_slli_epi16(bits(w[1], 6, 3), 4));
    h.min[1] = _mm512_or_si512(bits(w[3], 4, 15), _mm512_slli_epi16(bits(w[2], 6, 3), 4));
    return h;
}

/* f -= dmin . (minima times the sums of the column), two groups a step. */
INLINE void take_minima(__m512 *f, const struct header *h, const char *sum, int cols)
{
    /* Bytes 0 and 1 (2 and 3) of every word as its two halves. */
    const __m512i first = _mm512_set4_epi32((int)0x800d800c, (int)0x80098008, (int)0x80058004, (int)0x80018000);
    __m512i m[4];
UNROLL(4)
    for (int j = 0; j < 4; j++)
        m[j] = _mm512_shuffle_epi8(h->min[j / 2], j % 2 ? _mm512_add_epi8(first, _mm512_set1_epi16(2)) : first);
UNROLL(8)
    for (int t = 0; t < cols; t++) {
        __m512i a = _mm512_setzero_si512();
UNROLL(4)
        for (int j = 0; j < 4; j++) a = _mm512_dpwssd_epi32(a, m[j], int_at(sum + 16 * t + 4 * j));
        f[t] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(a), h->dmin, f[t]);
    }
}

INLINE void block_affine(__m512 *f, struct strip s, const uint8_t *next, const char *x, int cols, bool fifth)
{
    __m512i w[8], high[8];
    __m512 scale[8];
    turn_strip(w, s, 16, next, 4);
    struct header h = read_header(w);
    scales(scale, h.scale, 2, h.d, false);
    if (fifth) turn_strip(high, (struct strip){ s.p + 16, s.row }, 32, next + 4 * 64, 4);
    s.p += fifth ? 48 : 16;
    next += fifth ? 12 * 64 : 4 * 64;
    for (int c = 0; c < 4; c++, s.p += 32, next += 8 * 64, x += 64) {
        turn_strip(w, s, 32, next, 2);
UNROLL(2)
        for (int i = 0; i < 2; i++) {
            __m512i v[8];
            ask_for(next + (4 + 2 * i) * 64, 2);
UNROLL(8)
            for (int j = 0; j < 8; j++) {
                v[j] = bits(w[j], 4 * i, 15);
                if (!fifth) continue;
                __m512i bit = _mm512_and_si512(_mm512_srl_epi16(high[j], _mm_cvtsi32_si128(2 * c + i)), _mm512_set1_epi8(1));
                v[j] = _mm512_or_si512(v[j], _mm512_slli_epi16(bit, 4));
            }
            add_group(f, v, 8, scale[2 * c + i], x + 32 * i, NULL, cols);
        }
    }
    take_minima(f, &h, x - 256 + cols * SUM, cols);
}

INLINE void block_q4_k(__m512 *f, struct strip s, const uint8_t *next, const char *x, int cols) { block_affine(f, s, next, x, cols, false); }
INLINE void block_q5_k(__m512 *f, struct strip s, const uint8_t *next, const char *x, int cols) { block_affine(f, s, next, x, cols, true); }

/* ---- Q6_K: 128 bytes of low nibbles, 64 of high bits, 16 scales, d ------------------------------------- */

INLINE __m512 d_of_rows(struct strip s)
{
    _Alignas(32) uint16_t d[ROWS];
UNROLL(16)
    for (int i = 0; i < ROWS; i++) memcpy(&d[i], s.p + (size_t)i * s.row + 208, 2);
    return _mm512_cvtph_ps(_mm256_load_si256((const void *)d));
}

/* 32 values: low nibbles or high ones (shift 4) of eight words, two bits from `at` on of eight others. */
INLINE void values_q6_k(__m512i v[8], const __m512i *low, int shift, const __m512i *high, int at)
{
    const __m512i nibble = _mm512_set1_epi8(15), above = _mm512_set1_epi8(0x30), turn = _mm512_set1_epi32((at - 4) & 31);
UNROLL(8)
    for (int j = 0; j < 8; j++) {
        __m512i l = _mm512_srl_epi16(low[j], _mm_cvtsi32_si128(shift)), h = _mm512_rorv_epi32(high[j], turn);
        /* (l & nibble) | (h & above), which have no bit in common */
        v[j] = _mm512_ternarylogic_epi32(_mm512_and_si512(h, above), l, nibble, 0xf8);
    }
}

INLINE void block_q6_k(__m512 *f, struct strip s, const uint8_t *next, const char *x, int cols)
{
    const char *start = x + cols * START;
    __m512i w[4], low[16], high[8], v[8];
    __m512 scale[16];
    turn_strip(w, (struct strip){ s.p + 192, s.row }, 16, next, 5);
    scales(scale, w, 4, d_of_rows(s), true);
    next += 5 * 64;
    for (int n = 0; n < 2; n++, next += 12 * 64) {                    /* halves of the super-block */
        turn_strip(low, (struct strip){ s.p + 64 * n, s.row }, 64, next, 2);
        turn_strip(high, (struct strip){ s.p + 128 + 32 * n, s.row }, 32, next + 8 * 64, 2);
        next += 12 * 64;
        for (int j = 0; j < 4; j++, x += 32, start += 8) {            /* pairs of groups of 16 */
            const __m512 *c = scale + 8 * n + 2 * j;
            ask_for(next + 3 * 64 * j, 3);
            values_q6_k(v, low + 8 * (j % 2), j / 2 * 4, high, 2 * j);
            add_group(f, v, 4, c[0], x, start, cols);
            add_group(f, v + 4, 4, c[1], x + 16, start + 4, cols);
        }
    }
}

/* ---- sixteen rows -------------------------------------------------------------------------------------- */

typedef void block_fn(__m512 *f, struct strip s, const uint8_t *next, const char *x, int cols);

/* Rows from r on against `cols` columns; bytes: of a super-block. Constants where this is expanded. */
INLINE void group(float *y, size_t ldy, const struct mat *w, int r, __mmask16 live, const char *x, int cols, block_fn *block, int bytes)
{
    uint8_t room[ROWS * 210];
    const uint8_t *p = (const uint8_t *)w->data + (size_t)r * w->row_bytes, *next = p + ROWS * w->row_bytes;
    __m512 sum[COLS], f[COLS];
UNROLL(8)
    for (int t = 0; t < cols; t++) sum[t] = _mm512_setzero_ps();
    for (size_t off = 0; off < w->row_bytes; off += (size_t)bytes, next += ROWS * bytes, x += cols * COLUMN) {
        struct strip s = { p + off, w->row_bytes };
        if (!lies_whole(w, r, off, (size_t)bytes)) s = stage_strip(room, w, r, off, (size_t)bytes);
UNROLL(8)
        for (int t = 0; t < cols; t++) f[t] = _mm512_setzero_ps();
        block(f, s, next, x, cols);
UNROLL(8)
        for (int t = 0; t < cols; t++) sum[t] = _mm512_fmadd_ps(f[t], float_at(x + cols * SCALE + 4 * t), sum[t]);
    }
    put_sums(y, ldy, sum, live, cols);
}

CROWD_ROWS(q4_k, group, block_q4_k, 144)
CROWD_ROWS(q5_k, group, block_q5_k, 176)
CROWD_ROWS(q6_k, group, block_q6_k, 210)

/* Decode of Q6_K stays with whole rows (vnni.c): one column is memory's, and its blocks of 210 bytes are met better in order. */
void kern_crowd_k(struct kern *k)
{
    k->decode[DT_Q4_K] = (struct decode){ &act, rows_q4_k, FEW };
    k->decode[DT_Q5_K] = (struct decode){ &act, rows_q5_k, FEW };
    k->few[DT_Q6_K] = (struct decode){ &act, rows_q6_k, FEW };
}
