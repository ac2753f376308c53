/* bf16.c -- prompts through BF16 weights with vdpbf16ps: two products of neighbours along k are added to an
 * f32 sum.
 *
 * A panel is 32 rows turned so that one register holds a pair of values of k for 16 rows, [k/2][32 rows][2];
 * a tile is 32 rows by 12 columns, 24 sums. A column is rounded to BF16 once. Per pair a tile loads
 * 2 registers of weights and broadcasts 12 pairs for 24 products, so the product units are what it waits
 * for. Sums run pair by pair in the order of k, whatever the number of columns. */
#include <immintrin.h>

#include "cpu/int.h"
#include "cpu/turn.h"

#define TILE_COLS 12
#define INLINE static inline __attribute__((always_inline))

static int up(int k)
{
    return (k + 31) / 32 * 32;
}

static size_t act_bytes(int k)
{
    return (size_t)up(k) * 2;
}

static void act_fill(void *dst, const float *x, int k)
{
    for (int i = 0; i < k; i += 32) {
        uint32_t live = k - i >= 32 ? ~0u : (1u << (k - i)) - 1;
        __m512 a = _mm512_maskz_loadu_ps((__mmask16)live, x + i), b = _mm512_maskz_loadu_ps((__mmask16)(live >> 16), x + i + 16);
        _mm512_storeu_si512((uint16_t *)dst + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

static const struct act_form act = { act_bytes, act_fill };

static size_t panel_bytes(int k)
{
    return (size_t)up(k) / 2 * PANEL_ROWS * 4;
}

static void panel_fill(void *panel, const struct mat *w, int r0, int n_row, float *row)
{
    for (int h = 0; h < PANEL_ROWS; h += 16)
        for (int k = 0; k < w->n_in; k += 32) {
            __mmask32 live = w->n_in - k >= 32 ? ~0u : (1u << (w->n_in - k)) - 1;
            char *to = (char *)panel + (size_t)k / 2 * PANEL_ROWS * 4 + (size_t)h * 4;
            __m512i r[16];
            for (int i = 0; i < 16; i++) {
                const char *from = (const char *)w->data + (size_t)(r0 + h + i) * w->row_bytes + (size_t)k * 2;
                r[i] = h + i < n_row ? _mm512_maskz_loadu_epi16(live, from) : _mm512_setzero_si512();
            }
            turn(r);
            for (int i = 0; i < 16; i++) _mm512_storeu_si512(to + (size_t)i * PANEL_ROWS * 4, r[i]);
        }
}

INLINE __m512bh pair(const char *x)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return (__m512bh)_mm512_set1_epi32(v);
}

/* Columns [0, cols), a constant where this is expanded. */
INLINE void tile(float *y, size_t ldy, const char *p, const char *x, size_t ldx, int k, int n_row, int cols)
{
    __m512 sum[TILE_COLS][2];
#pragma GCC unroll 12
    for (int t = 0; t < cols; t++) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (int i = 0; i < k; i += 2, p += PANEL_ROWS * 4, x += 4) {
        __m512bh w0 = (__m512bh)_mm512_load_si512(p), w1 = (__m512bh)_mm512_load_si512(p + 64);
#pragma GCC unroll 12
        for (int t = 0; t < cols; t++) {
            __m512bh v = pair(x + (size_t)t * ldx);
            sum[t][0] = _mm512_dpbf16_ps(sum[t][0], w0, v);
            sum[t][1] = _mm512_dpbf16_ps(sum[t][1], w1, v);
        }
    }
    uint32_t live = n_row >= 32 ? ~0u : (1u << n_row) - 1;
#pragma GCC unroll 12
    for (int t = 0; t < cols; t++) {
        _mm512_mask_storeu_ps(y + t * ldy, (__mmask16)live, sum[t][0]);
        _mm512_mask_storeu_ps(y + t * ldy + 16, (__mmask16)(live >> 16), sum[t][1]);
    }
}

static void mul(float *y, size_t ldy, const void *panel, const void *acts, size_t ldx, int n, int k, int n_row)
{
    const char *x = acts;
    int t = 0;
    for (; t + 12 <= n; t += 12) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, 12);
    for (; t + 4 <= n; t += 4) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, 4);
    for (; t < n; t++) tile(y + t * ldy, ldy, panel, x + t * ldx, ldx, k, n_row, 1);
}

static double peak_bf16(int n)
{
    __m512 a[12];
    __m512i x = _mm512_set1_epi16(0x3f80), y = _mm512_set1_epi16(0x3f80);
    for (int i = 0; i < 12; i++) a[i] = _mm512_set1_ps((float)i);
    for (int r = 0; r < n; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) a[i] = _mm512_dpbf16_ps(a[i], (__m512bh)x, (__m512bh)y);
        __asm__ volatile("" : "+v"(x));
    }
    float s = 0;
    for (int i = 0; i < 12; i++) s += _mm512_reduce_add_ps(a[i]);
    return s != s ? 0 : 2.0 * 32 * 12 * n;
}

void kern_bf16(struct kern *k)
{
    k->peak[2] = (struct peak){ "bf16", peak_bf16 };
    k->prefill[DT_BF16] = (struct prefill){ &act, panel_bytes, panel_fill, mul };
}
