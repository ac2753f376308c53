/* crowd_vnni.c -- Q4_0 and Q8_0 rows for one column or many at once, with AVX-512 VNNI: decode steps of one sequence and of
 * many, forced runs and drafts.
 *
 * The same idea as crowd_avx2.c with sixteen rows (crowd16.h): the values of a block of each are turned so that a register
 * holds four values of k for all rows, once for all columns, and a column costs eight vpdpbusd (unsigned
 * weights times signed activations) and one conversion for sixteen rows. The sums start at minus the
 * offset of the weights (8 of nibbles, 128 of bytes) times what the column adds up to. One column gains too where
 * rows are short: sixteen rows end with one store, not with sixteen sums over lanes.
 *
 * Blocks are turned two by two, since two are a whole number of words: s is a scale, q the values (Q4_0, H = 4)
 *
 *     word   0            1 .. H-1    H              H+1 .. 2H
 *            s0 s0 q q    q q q q     q q s1 s1      q q q q
 *
 * and the column has zeros where a scale stands: nine words instead of eight, and nothing is shifted into place.
 *
 * Sums run block by block in the order of k, with the arithmetic of the prefill panels (vnni.c), so results are
 * the same to the last bit whichever way is taken and however many columns come along. */
#include "cpu/crowd16.h"
#include "cpu/quantise.h"

#define HALF(bytes) ((bytes) ? 8 : 4)                                 /* bytes: Q8_0, else Q4_0 */
#define WORDS(bytes) (2 * HALF(bytes) + 1)                            /* of a pair */
#define PAIR_BYTES(bytes) (4 * WORDS(bytes))                           /* in sixteen rows as many cache lines as words */
#define SEGMENTS(bytes) ((PAIR_BYTES(bytes) + SEGMENT - 1) / SEGMENT)

/* ---- the columns -------------------------------------------------------------------------------- */

/* A pair of blocks of `cols` columns side by side: s8 q[cols][of all words; Q4_0: those met by low nibbles, then by high
 * ones], f32 d[2][cols], i32 start[2][cols]. A group takes the place of its columns one by one. As the
 * prefill column is made (vnni.c), with zeros behind the last block of an odd number. */
#define COLUMN_Q(bytes) ((bytes) ? PAIR_BYTES(true) : 2 * PAIR_BYTES(false))
#define COLUMN_PAIR(bytes) (COLUMN_Q(bytes) + 16)

static size_t nibble_act(int k) { return (size_t)(k / 32 + 1) / 2 * COLUMN_PAIR(false); }
static size_t byte_act(int k) { return (size_t)(k / 32 + 1) / 2 * COLUMN_PAIR(true); }

/* n values of block b to where they meet its words. */
INLINE void put_values(char *to, const int8_t *q, int n, int b)
{
    memcpy(to + (b ? n + 4 : 2), q, (size_t)n);
}

INLINE void column_fill(void *base, size_t ldx, const float *x, int k, int t, int n, bool bytes)
{
    int first = group_first(n, t), cols = group_cols(n, first), n_block = k / 32;
    char *to = (char *)base + (size_t)first * ldx;
    struct quantised v;
    for (int b = 0; b < n_block; b += 2, to += cols * COLUMN_PAIR(bytes)) {
        char *q = to + (t - first) * COLUMN_Q(bytes);
        float *d = (float *)(void *)(to + cols * COLUMN_Q(bytes)) + (t - first);
        int32_t *start = (int32_t *)(void *)(to + cols * (COLUMN_Q(bytes) + 8)) + (t - first);
        if (b % 4 == 0 && b + 4 <= n_block) quantise_4(&v, x + 32 * b);
        else if (b % 4 == 0) quantise_last(&v, x + 32 * b, n_block - b);
        memset(q, 0, COLUMN_Q(bytes));
        for (int i = 0; i < 2; i++) {
            int at = b % 4 + i;
            d[i * cols] = v.d[at];
            start[i * cols] = -(bytes ? 128 : 8) * v.sum[at];
            put_values(q, v.q + 32 * at, bytes ? 32 : 16, i);
            if (!bytes) put_values(q + PAIR_BYTES(false), v.q + 32 * at + 16, 16, i);
        }
    }
}

static void lay_nibbles(void *base, size_t ldx, const float *x, int k, int t, int n) { column_fill(base, ldx, x, k, t, n, false); }
static void lay_bytes(void *base, size_t ldx, const float *x, int k, int t, int n) { column_fill(base, ldx, x, k, t, n, true); }
static const struct act_form act_nibbles = { nibble_act, NULL, lay_nibbles }, act_bytes = { byte_act, NULL, lay_bytes };

/* ---- sixteen rows -------------------------------------------------------------------------------- */

/* Block b of a pair against `cols` columns: words [from, to]. Few columns have two chains of products each, which are
 * shorter than one; for nibbles the second is that of the high ones, sixteen times too large. */
INLINE void add_block(__m512 *sum, const __m512i *w, int from, int to, __m512 scale, const char *x, int b, int cols, bool bytes)
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8((char)0xf0), sign = _mm512_set1_epi8((char)0x80);
    const char *d = x + cols * (COLUMN_Q(bytes) + 4 * b), *start = d + 8 * cols;
    bool split = cols < 4;
    __m512i a[COLS], c[COLS];
UNROLL(8)
    for (int t = 0; t < cols; t++) a[t] = int_at(start + 4 * t), c[t] = _mm512_setzero_si512();
UNROLL(9)
    for (int j = from; j <= to; j++) {
        __m512i v = _mm512_load_si512(w + j), u = bytes ? _mm512_xor_si512(v, sign) : _mm512_and_si512(v, low);
        if (!bytes) v = split ? _mm512_and_si512(v, high) : _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
UNROLL(8)
        for (int t = 0; t < cols; t++) {
            const char *q = x + t * COLUMN_Q(bytes) + 4 * j;
            if (bytes && split && j % 2) c[t] = add_four(c[t], u, q);
            else a[t] = add_four(a[t], u, q);
            if (!bytes && split) c[t] = add_four(c[t], v, q + PAIR_BYTES(false));
            if (!bytes && !split) a[t] = add_four(a[t], v, q + PAIR_BYTES(false));
        }
    }
UNROLL(8)
    for (int t = 0; t < cols; t++) {
        if (split) a[t] = _mm512_add_epi32(a[t], bytes ? c[t] : _mm512_srai_epi32(c[t], 4));
        sum[t] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(a[t]), scale), float_at(d + 4 * t), sum[t]);
    }
}

/* Sixteen rows from r on against `cols` columns (a constant where this is expanded). */
INLINE void group(float *y, size_t ldy, const struct mat *w, int r, __mmask16 live, const char *x, int cols, bool bytes)
{
    _Alignas(64) __m512i word[WORDS(true)];
    uint8_t room[ROWS * PAIR_BYTES(true)];
    const uint8_t *p = (const uint8_t *)w->data + (size_t)r * w->row_bytes, *next = p + ROWS * w->row_bytes;
    int n_block = w->n_in / 32;
    __m512 sum[COLS];
UNROLL(8)
    for (int t = 0; t < cols; t++) sum[t] = _mm512_setzero_ps();
    for (int b = 0; b < n_block; b += 2, x += cols * COLUMN_PAIR(bytes), next += ROWS * PAIR_BYTES(bytes)) {
        size_t off = (size_t)b / 2 * PAIR_BYTES(bytes);
        struct strip s = { p + off, w->row_bytes };
        if (!lies_whole(w, r, off, PAIR_BYTES(bytes))) s = stage_strip(room, w, r, off, PAIR_BYTES(bytes));
        turn_strip(word, s, PAIR_BYTES(bytes), next, 2);
        ask_for(next + 64 * 2 * SEGMENTS(bytes), WORDS(bytes) - 2 * SEGMENTS(bytes)); /* evenly: memory is to wait for nobody */
        add_block(sum, word, 0, HALF(bytes), halves(word[0]), x, 0, cols, bytes);
        if (b + 1 == n_block) break;
        add_block(sum, word, HALF(bytes) + 1, 2 * HALF(bytes), halves(_mm512_srli_epi32(word[HALF(bytes)], 16)), x, 1, cols, bytes);
    }
    put_sums(y, ldy, sum, live, cols);
}

CROWD_ROWS(q4_0, group, false)
CROWD_ROWS(q8_0, group, true)

void kern_crowd_vnni(struct kern *k)
{
    k->decode[DT_Q4_0] = (struct decode){ &act_nibbles, rows_q4_0, FEW };
    k->decode[DT_Q8_0] = (struct decode){ &act_bytes, rows_q8_0, FEW };
}
