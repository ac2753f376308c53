/* attn_vnni.c -- decode attention over a Q8_0 cache with AVX-512 VNNI: nothing is unpacked to floats.
 *
 * Keys: the 32 values of a block of sixteen positions are turned so that register j has values 4j .. 4j+3 of all of them,
 * and a query costs one vpdpbusd for it and no sum over lanes. Two times sixteen positions go together, so that four values
 * of a query, once loaded, serve two products: there is one load of a whole register a cycle, and there are two products.
 * A query is 15 bits in two bytes, so that it adds no error to that of the cache:
 *
 *     q = d (128 high + low), high in [-127, 127], low in [-64, 63]
 *
 * Values: a weight times the scale of the value's block is made 16 bits, relative to the largest there can be on the page;
 * pairs of positions are widened and interleaved, vpdpwssd adds both, and after a page the sums become floats.
 *
 * Scales of a head, which lie between the blocks, are taken out first, a page of them at a time.
 *
 * Bound: for 64 values of a key and a value and four queries about 35 instructions, two a cycle, and half as many loads, one a
 * cycle: 20 cycles for 136 bytes, 17 GB/s of a core at 2.5 GHz. Memory gives two thirds of that. */
#include "cpu/attn512.h"
#include "cpu/crowd16.h"

#define PAIR 68                                                       /* bytes of two blocks, */
#define BLOCK 34                                                      /* of one */
#define SPAN 32                                                       /* positions whose scores are found together */
#define MOST_D 256                                                    /* head_dim */
#define MOST_PAGE 256

/* A query over a block; start: what the 128 added to each byte of a key come to. */
struct query { int8_t high[32], low[32]; int32_t start; float d; };
struct room {
    struct query *q;                                                  /* [n_head, group, head_dim / 32] */
    float *vd, *unit;                                                 /* [n_head, head_dim / 32, size] scales of values; [n_head] */
    int16_t *weight;                                                  /* [n_head, pitch, head_dim / 32, size] */
};

/* Sums of products as one instruction each: the compiler copies the sum before it. */
INLINE __m512i add_fours(__m512i a, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(a) : "v"(u), "v"(s));
    return a;
}

INLINE __m512i add_pairs(__m512i a, __m512i x, __m512i y)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(a) : "v"(x), "v"(y));
    return a;
}

/* ---- the queries --------------------------------------------------------------------------------- */

INLINE void put_16(int8_t *to, __m512i v) { _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8(v)); }

static void query_fill(struct query *to, const float *x, float scale)
{
    __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
    bool any = most > 1e-30f;
    __m512 inv = _mm512_set1_ps(any ? 127 * 128 / most : 0);
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < 2; i++) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(i ? x1 : x0, inv)), high = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(64)), 7);
        put_16(to->high + 16 * i, high), put_16(to->low + 16 * i, _mm512_sub_epi32(v, _mm512_slli_epi32(high, 7)));
        sum = _mm512_add_epi32(sum, v);
    }
    to->start = -128 * _mm512_reduce_add_epi32(sum);
    to->d = any ? most / (127 * 128) * scale : 0;
}

static void queries_fill(const struct walk *w, struct query *q)
{
    for (int h = 0; h < w->n_head; h++)
        for (int i = 0; i < w->group * w->head_dim; i += 32) query_fill(q++, query_of(w, h, 0) + i, w->a->scale * LOG2_E);
}

/* ---- scales -------------------------------------------------------------------------------------- */

/* Those of a head's rows from p on, of block b at bits[b]; all, and then all: a register waits for what it is put together
 * of. The rows of the next head come nearer meanwhile. */
INLINE void take_scales(const struct walk *w, uint16_t (*bits)[MOST_PAGE], const char *p, int n_block)
{
    for (int j = 0; j < w->size; j++, p += w->row) {
        _mm_prefetch(p + w->head + w->head / 2, _MM_HINT_T0);
UNROLL(2)
        for (int b = 0; b < n_block; b++) memcpy(&bits[b][j], p + BLOCK * b, sizeof **bits);
    }
}

INLINE __m512 scales_16(const uint16_t *bits) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)bits)); }

/* ---- keys ---------------------------------------------------------------------------------------- */

/* 32 bytes of two rows. */
INLINE __m512i two_rows(const char *p, size_t apart)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)p)), _mm256_loadu_si256((const void *)(p + apart)), 1);
}

/* 32 bytes of sixteen rows from p on to eight words, 128 added to each byte: half the loads of turn_strip(). */
INLINE void turn_32(__m512i *to, const char *p, size_t row)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    __m512i t[2][4];
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++, p += 8 * row) {                       /* rows 0-3 above 4-7, then 8-11 above 12-15 */
        __m512i a = two_rows(p, 4 * row), b = two_rows(p + row, 4 * row), c = two_rows(p + 2 * row, 4 * row), d = two_rows(p + 3 * row, 4 * row);
        __m512i ab0 = _mm512_unpacklo_epi32(a, b), ab1 = _mm512_unpackhi_epi32(a, b), cd0 = _mm512_unpacklo_epi32(c, d), cd1 = _mm512_unpackhi_epi32(c, d);
        t[h][0] = _mm512_unpacklo_epi64(ab0, cd0), t[h][1] = _mm512_unpackhi_epi64(ab0, cd0);
        t[h][2] = _mm512_unpacklo_epi64(ab1, cd1), t[h][3] = _mm512_unpackhi_epi64(ab1, cd1);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        _mm512_store_si512(to + k, _mm512_xor_si512(_mm512_shuffle_i32x4(t[0][k], t[1][k], 0x88), sign));
        _mm512_store_si512(to + 4 + k, _mm512_xor_si512(_mm512_shuffle_i32x4(t[0][k], t[1][k], 0xdd), sign));
    }
}

/* Scores of n queries, q and those `step` apart, over a block of 32 keys; goes on from what s has, or begins. Lines from
 * `next` on are asked for. */
INLINE void score_block(float *s, int size, __m512i (*word)[8], const uint16_t *scale, const struct query *q, int step, int n, bool more,
                        const char *next, size_t line)
{
    __m512i high[CREW][2], low[CREW][2];
    __m512 scale0 = scales_16(scale), scale1 = scales_16(scale + 16);
UNROLL(4)
    for (int g = 0; g < n; g++) {
        high[g][0] = high[g][1] = _mm512_setzero_si512();
        low[g][0] = low[g][1] = _mm512_set1_epi32(q[g * step].start);
    }
UNROLL(8)
    for (int i = 0; i < 8; i++) {
        __m512i u0 = _mm512_load_si512(&word[0][i]), u1 = _mm512_load_si512(&word[1][i]);
        ask(next + (size_t)(2 * i) * line), ask(next + (size_t)(2 * i + 1) * line);
UNROLL(4)
        for (int g = 0; g < n; g++) {
            __m512i h = int_at((const char *)q[g * step].high + 4 * i), l = int_at((const char *)q[g * step].low + 4 * i);
            high[g][0] = add_fours(high[g][0], u0, h), high[g][1] = add_fours(high[g][1], u1, h);
            low[g][0] = add_fours(low[g][0], u0, l), low[g][1] = add_fours(low[g][1], u1, l);
        }
    }
    ask(next + 16 * line);                                            /* 34 bytes a key are a little more than half a line */
UNROLL(4)
    for (int g = 0; g < n; g++, s += size) {
        __m512 d = _mm512_set1_ps(q[g * step].d);
        __m512 v0 = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high[g][0], 7), low[g][0]));
        __m512 v1 = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high[g][1], 7), low[g][1]));
        v0 = _mm512_mul_ps(_mm512_mul_ps(v0, scale0), d), v1 = _mm512_mul_ps(_mm512_mul_ps(v1, scale1), d);
        if (more) v0 = _mm512_add_ps(v0, _mm512_loadu_ps(s)), v1 = _mm512_add_ps(v1, _mm512_loadu_ps(s + 16));
        _mm512_storeu_ps(s, v0), _mm512_storeu_ps(s + 16, v1);
    }
}

static void scores(const struct walk *w, const struct room *room, int page, int h)
{
    struct side k = side_of(w, w->a->k, page, h);
    __m512i word[2][8];
    uint16_t scale[MOST_D / 32][MOST_PAGE];
    int n_block = w->head_dim / 32;
    if (n_block == 2) take_scales(w, scale, k.p, 2);
    else take_scales(w, scale, k.p, n_block);
    for (int j = 0; j < w->size; j += SPAN)
        for (int b = 0; b < n_block; b++) {
            const char *p = k.p + (size_t)j * w->row + b * BLOCK + 2, *next = k.next + (size_t)j * k.step + (size_t)(17 * b) * k.line;
            float *s = w->s + (size_t)(h * w->pitch) * w->size + j;
            const struct query *q = room->q + (size_t)(h * w->group * n_block) + b;
            turn_32(word[0], p, w->row), turn_32(word[1], p + 16 * w->row, w->row);
            int g = 0;
            for (; g + 4 <= w->group; g += 4) score_block(s + g * w->size, w->size, word, scale[b] + j, q + g * n_block, n_block, 4, b, next, k.line);
            for (; g + 2 <= w->group; g += 2) score_block(s + g * w->size, w->size, word, scale[b] + j, q + g * n_block, n_block, 2, b, next, k.line);
            for (; g < w->group; g++) score_block(s + g * w->size, w->size, word, scale[b] + j, q + g * n_block, n_block, 1, b, next, k.line);
        }
}

/* ---- weights ------------------------------------------------------------------------------------- */

/* Scales of a head's values, of block b at vd + b * size, made relative to the largest; returns that, a 32767th. Nobody has
 * written what lies outside of [first, n_seen). */
static float value_scales(const struct walk *w, float *vd, int page, int h, int first, int n_seen)
{
    uint16_t bits[MOST_D / 32][MOST_PAGE];
    __m512 most = _mm512_setzero_ps();
    int n_block = w->head_dim / 32;
    const char *v = (const char *)w->a->v[page] + (size_t)(w->p->head0 + h) * w->head;
    if (n_block == 2) take_scales(w, bits, v, 2);
    else take_scales(w, bits, v, n_block);
    for (int j = 0; j < w->size; j += 16) {
        unsigned from = (unsigned)MIN(MAX(first - j, 0), 16), to = (unsigned)MIN(MAX(n_seen - j, 0), 16);
        __mmask16 seen = (__mmask16)((1u << to) - (1u << from));
        for (int b = 0; b < n_block; b++) {
            __m512 d = _mm512_maskz_mov_ps(seen, scales_16(&bits[b][j]));
            most = _mm512_max_ps(most, _mm512_abs_ps(d));
            _mm512_storeu_ps(vd + b * w->size + j, d);
        }
    }
    float max = _mm512_reduce_max_ps(most);
    __m512 inv = _mm512_set1_ps(max > 0 ? 32767 / max : 0);
    for (int i = 0; i < n_block * w->size; i += 16) _mm512_storeu_ps(vd + i, _mm512_mul_ps(_mm512_loadu_ps(vd + i), inv));
    return max / 32767;
}

/* Scores of a crew become weights of 16 bits with the scales in them, relative to the largest of the page. */
INLINE void soften(const struct walk *w, const float *vd, int16_t *weight, int i, int n_block)
{
    _Alignas(16) float here[4];
    __m512 total[4];
    _mm_store_ps(here, crew_max(w, i));
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++, weight += n_block * w->size) {
        const float *s = w->s + (size_t)(i + g) * w->size;
        __m512 max = _mm512_set1_ps(here[g]);
        total[g] = _mm512_setzero_ps();
        for (int j = 0; j < w->size; j += 16) {
            __m512 p = exp2_16(_mm512_sub_ps(_mm512_loadu_ps(s + j), max));
            total[g] = _mm512_add_ps(total[g], p);
            for (int b = 0; b < n_block; b++) {
                __m512i x = _mm512_cvtps_epi32(_mm512_mul_ps(p, _mm512_loadu_ps(vd + b * w->size + j)));
                _mm256_storeu_si256((void *)(weight + b * w->size + j), _mm512_cvtepi32_epi16(x));
            }
        }
    }
    crew_sum(w, i, total, true);
}

static void weights(const struct walk *w, const struct room *room, int page, int h, int first, int n_seen)
{
    int n_block = w->head_dim / 32;
    float *vd = room->vd + (size_t)(h * n_block) * w->size;
    room->unit[h] = value_scales(w, vd, page, h, first, n_seen);
    for (int i = h * w->pitch; i < (h + 1) * w->pitch; i += CREW) {
        int16_t *weight = room->weight + (size_t)(i * n_block) * w->size;
        if (n_block == 2) soften(w, vd, weight, i, 2);
        else soften(w, vd, weight, i, n_block);
    }
}

/* ---- values -------------------------------------------------------------------------------------- */

INLINE __m512i wide_32(const char *p) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p)); }

/* Queries [g0, g0 + n) of head h: o = shrink * o + now * unit * (weights . values) over the two blocks from value c on.
 * Interleaving works on quarters of a register, so sums of a block stand as values 0-3 8-11 16-19 24-27 and 4-7 12-15 20-23
 * 28-31; part_order() puts them right in the end. */
INLINE void mix(const struct walk *w, const struct room *room, const struct side *v, int h, int g0, int n, int first, int n_seen, int c)
{
    __m512i a[CREW][4];
    int n_block = w->head_dim / 32;
    const int16_t *weight = room->weight + (size_t)((h * w->pitch + g0) * n_block + c / 32) * w->size;
    const float *shrinks = w->shrink + h * w->pitch + g0, *nows = w->now + h * w->pitch + g0;
    size_t query = (size_t)n_block * w->size;
UNROLL(4)
    for (int g = 0; g < n; g++)
UNROLL(4)
        for (int b = 0; b < 4; b++) a[g][b] = _mm512_setzero_si512();
    const char *p = v->p + (size_t)(first & ~1) * w->row + c / 64 * PAIR, *next = v->next + (size_t)(c / 64 * 17) * v->line;
    for (int j = first & ~1; j < n_seen; j += 2, p += 2 * w->row) {
        ask(next + (size_t)j * v->line), ask(next + (size_t)(j + 1) * v->line);
        __m512i x0 = wide_32(p + 2), x1 = wide_32(p + 36), y0 = wide_32(p + w->row + 2), y1 = wide_32(p + w->row + 36);
        __m512i z[4] = { _mm512_unpacklo_epi16(x0, y0), _mm512_unpackhi_epi16(x0, y0), _mm512_unpacklo_epi16(x1, y1), _mm512_unpackhi_epi16(x1, y1) };
UNROLL(4)
        for (int g = 0; g < n; g++) {
            const int16_t *at = weight + (size_t)g * query + j;
            __m512i w0 = int_at((const char *)at), w1 = int_at((const char *)(at + w->size));
            a[g][0] = add_pairs(a[g][0], z[0], w0), a[g][1] = add_pairs(a[g][1], z[1], w0);
            a[g][2] = add_pairs(a[g][2], z[2], w1), a[g][3] = add_pairs(a[g][3], z[3], w1);
        }
    }
    for (int l = 0; l < w->size / 16; l++) ask(next + (size_t)(w->size + l) * v->line); /* 68 bytes are a little more than a line */
    float *to = part_of(w, h, g0) + c;
UNROLL(4)
    for (int g = 0; g < n; g++, to += ATTN_PART(w->head_dim)) {
        __m512 shrink = _mm512_set1_ps(shrinks[g]), now = _mm512_set1_ps(nows[g] * room->unit[h]);
UNROLL(4)
        for (int b = 0; b < 4; b++)
            _mm512_storeu_ps(to + 16 * b, _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[g][b]), now, _mm512_mul_ps(_mm512_loadu_ps(to + 16 * b), shrink)));
    }
}

static void values(const struct walk *w, const struct room *room, int page, int h, int first, int n_seen)
{
    struct side v = side_of(w, w->a->v, page, h);
    for (int c = 0; c < w->head_dim; c += 64) {
        int g = 0;
        for (; g + 4 <= w->group; g += 4) mix(w, room, &v, h, g, 4, first, n_seen, c);
        for (; g + 2 <= w->group; g += 2) mix(w, room, &v, h, g, 2, first, n_seen, c);
        for (; g < w->group; g++) mix(w, room, &v, h, g, 1, first, n_seen, c);
    }
}

static void part_order(const struct walk *w)
{
    const __m512i low = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
    const __m512i high = _mm512_set_epi32(31, 30, 29, 28, 15, 14, 13, 12, 27, 26, 25, 24, 11, 10, 9, 8);
    for (int i = 0; i < w->n_head * w->group; i++)
        for (int c = 0; c < w->head_dim; c += 32) {
            float *o = part_of(w, 0, i) + c;
            __m512 a = _mm512_loadu_ps(o), b = _mm512_loadu_ps(o + 16);
            _mm512_storeu_ps(o, _mm512_permutex2var_ps(a, low, b)), _mm512_storeu_ps(o + 16, _mm512_permutex2var_ps(a, high, b));
        }
}

/* ---- pages --------------------------------------------------------------------------------------- */

/* Weights of a head are made while the values of the one before it still run. */
static void pages(const struct walk *w, const struct room *room)
{
    for (int i = w->p->from / w->size; i * w->size < w->p->to; i++) {
        int first = MAX(w->p->from - i * w->size, 0), n_seen = MIN(w->p->to - i * w->size, w->size);
        for (int h = 0; h < w->n_head; h++) scores(w, room, i, h);
        hide(w, first, n_seen);
        for (int h = 0; h <= w->n_head; h++) {
            if (h < w->n_head) weights(w, room, i, h, first, n_seen);
            if (h > 0) values(w, room, i, h - 1, first, n_seen);
        }
    }
}

static bool attn_q8_0(const struct attn *a, const struct attn_part *p, float *scratch)
{
    if (a->page % SPAN || a->page > MOST_PAGE || a->head_dim % 64 || a->head_dim > MOST_D) return false;
    float *rest;
    struct walk w = walk_begin(a, p, scratch, &rest);
    struct room room = { .unit = rest, .vd = rest + ATTN_HEADS };
    size_t n_block = (size_t)w.head_dim / 32;
    room.weight = (int16_t *)(void *)(room.vd + (size_t)w.n_head * n_block * w.size);
    room.q = (struct query *)(void *)(room.weight + (size_t)(w.n_head * w.pitch) * n_block * w.size);
    queries_fill(&w, room.q);
    pages(&w, &room);
    part_order(&w);
    walk_end(&w);
    return true;
}

void kern_attn_vnni(struct kern *k)
{
    k->attn[DT_Q8_0] = attn_q8_0;
}
