/* test_tensor.c -- number formats: halves over all their values, every block layout against the
 * format's formula written a second time element by element, packing within its error and by its rules. */
#include <math.h>

#include "tensor/tensor.h"
#include "test.h"

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* ---- halves ---- */

/* From the definition, in double. */
static double half_value(uint16_t h)
{
    int exp = h >> 10 & 31, man = h & 1023;
    double v = exp == 31 ? (man ? NAN : INFINITY)
               : exp     ? ldexp(1024 + man, exp - 25)
                         : ldexp(man, -24);
    return h & 0x8000 ? -v : v;
}

TEST(f16_means_what_it_says_for_every_value)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        double want = half_value((uint16_t)h);
        uint16_t back = f32_to_f16(f);
        if (isnan(want)) {
            CHECK(isnan(f) && isnan(half_value(back)), "%04x", h);
            continue;
        }
        CHECK((double)f == want && !signbit(f) == !(h >> 15), "%04x: %g, not %g", h, (double)f,
              want);
        CHECK(back == h, "%04x comes back as %04x", h, back);
    }
}

TEST(f16_rounds_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float mid = (float)((half_value((uint16_t)h) + half_value((uint16_t)(h + 1))) / 2);
        CHECK(f32_to_f16(mid) == (h & 1 ? h + 1 : h), "half way above %04x", h);
        CHECK(f32_to_f16(nextafterf(mid, 0)) == h, "just below half way above %04x", h);
        CHECK(f32_to_f16(-nextafterf(mid, INFINITY)) == (0x8000 | (h + 1)),
              "just past half way above %04x", h);
    }
    static const struct { float x; uint16_t want; } rows[] = {
        { 65504, 0x7bff }, { 65519.996f, 0x7bff }, { 65520, 0x7c00 }, { 1e30f, 0x7c00 }, { INFINITY, 0x7c00 },
        { -INFINITY, 0xfc00 }, { 0x1p-25f, 0 }, { 0x1.000002p-25f, 1 }, { 1e-45f, 0 }, { -0.0f, 0x8000 },
    };
    for (size_t i = 0; i < LEN(rows); i++)
        CHECK(f32_to_f16(rows[i].x) == rows[i].want, "%g: %04x", (double)rows[i].x,
              f32_to_f16(rows[i].x));
}

TEST(bf16_means_what_it_says_for_every_value)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = bf16_to_f32((uint16_t)h);
        CHECK(bits(f) == h << 16, "%04x", h);
        uint16_t back = f32_to_bf16(f);
        if (isnan(f)) CHECK(isnan(bf16_to_f32(back)), "%04x", h);
        else CHECK(back == h, "%04x comes back as %04x", h, back);
        if ((h & 0x7fff) >= 0x7f7f) continue;
        uint32_t mid = h << 16 | 0x8000;
        float m, past;
        memcpy(&m, &mid, sizeof m);
        mid++;
        memcpy(&past, &mid, sizeof past);
        CHECK(f32_to_bf16(m) == (h & 1 ? h + 1 : h), "half way above %04x", h);
        CHECK(f32_to_bf16(past) == h + 1, "just past half way above %04x", h);
    }
}

/* ---- the table ---- */

TEST(every_dtype_is_found_by_name_and_id)
{
    for (int d = 0; d < DT_COUNT; d++) {
        const struct dtype_info *i = dtype_info(d);
        CHECK((int)dtype_find(i->name) == d, "%s", i->name);
        CHECK((int)dtype_of_gguf((uint32_t)i->gguf_id) == d, "%s", i->name);
        CHECK(dtype_bytes(d, 3 * i->block) == 3 * (size_t)i->bytes, "%s", i->name);
        CHECK(!i->pack == !i->unpack, "%s", i->name);
    }
    CHECK(dtype_find("q4_k") == DT_Q4_K, "lower case");
    CHECK(dtype_find("Q4") == DT_NONE && dtype_find("") == DT_NONE, "unknown names");
    static const uint32_t gone[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX };
    for (size_t i = 0; i < LEN(gone); i++)
        CHECK(dtype_of_gguf(gone[i]) == DT_NONE, "id %u", gone[i]);
}

/* ---- unpack against the formulas, one element at a time ---- */

static float half_in(const uint8_t *p)
{
    return f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static int nibble(const uint8_t *qs, int i)
{
    return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
}

static int bit(const uint8_t *p, int i)
{
    return p[i / 8] >> (i % 8) & 1;
}

static const int levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113 };

static float el_q4_0(const uint8_t *b, int i) { return half_in(b) * (float)(nibble(b + 2, i) - 8); }
static float el_q4_1(const uint8_t *b, int i) { return half_in(b) * (float)nibble(b + 4, i) + half_in(b + 2); }
static float el_q5_0(const uint8_t *b, int i)
{
    return half_in(b) * (float)(nibble(b + 6, i) + 16 * bit(b + 2, i) - 16);
}
static float el_q5_1(const uint8_t *b, int i)
{
    return half_in(b) * (float)(nibble(b + 8, i) + 16 * bit(b + 4, i)) + half_in(b + 2);
}
static float el_q8_0(const uint8_t *b, int i) { return half_in(b) * (float)(int8_t)b[2 + i]; }
static float el_iq4_nl(const uint8_t *b, int i) { return half_in(b) * (float)levels[nibble(b + 2, i)]; }

static float el_mxfp4(const uint8_t *b, int i)
{
    static const float e2m1[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };
    int n = nibble(b + 1, i);
    return (float)ldexp(n > 8 ? -e2m1[n & 7] : e2m1[n & 7], b[0] - 127); /* zero has no sign */
}

static float el_q2_k(const uint8_t *b, int i)
{
    int n = i / 128, j = i % 128 / 32, l = i % 32, g = 8 * n + 2 * j + (l >= 16);
    int q = b[16 + 32 * n + l] >> (2 * j) & 3;
    return half_in(b + 80) * (float)(b[g] & 15) * (float)q - half_in(b + 82) * (float)(b[g] >> 4);
}

static float el_q3_k(const uint8_t *b, int i)
{
    int n = i / 128, j = i % 128 / 32, l = i % 32, g = 8 * n + 2 * j + (l >= 16);
    int q = (b[32 + 32 * n + l] >> (2 * j) & 3) - (b[l] >> (4 * n + j) & 1 ? 0 : 4);
    const uint8_t *s = b + 96;
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> (2 * (g / 4)) & 3;
    return half_in(b + 108) * (float)((low | high << 4) - 32) * (float)q;
}

static void six_bits(const uint8_t *s, int j, int *sc, int *mn)
{
    *sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    *mn = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
}

static float el_q4_k(const uint8_t *b, int i)
{
    int sc, mn, c = i / 64,
                q = i % 64 < 32 ? b[16 + 32 * c + i % 32] & 15 : b[16 + 32 * c + i % 32] >> 4;
    six_bits(b + 4, i / 32, &sc, &mn);
    return half_in(b) * (float)sc * (float)q - half_in(b + 2) * (float)mn;
}

static float el_q5_k(const uint8_t *b, int i)
{
    int sc, mn, c = i / 64,
                q = i % 64 < 32 ? b[48 + 32 * c + i % 32] & 15 : b[48 + 32 * c + i % 32] >> 4;
    q += 16 * (b[16 + i % 32] >> (i / 32) & 1);
    six_bits(b + 4, i / 32, &sc, &mn);
    return half_in(b) * (float)sc * (float)q - half_in(b + 2) * (float)mn;
}

static float el_q6_k(const uint8_t *b, int i)
{
    int n = i / 128, run = i % 128 / 32, l = i % 32;
    const uint8_t *ql = b + 64 * n, *qh = b + 128 + 32 * n;
    int q = (run == 0   ? ql[l] & 15
             : run == 1 ? ql[l + 32] & 15
             : run == 2 ? ql[l] >> 4
                        : ql[l + 32] >> 4) |
            (qh[l] >> (2 * run) & 3) << 4;
    int sc = (int8_t)b[192 + 8 * n + 2 * run + l / 16];
    return half_in(b + 208) * (float)sc * (float)(q - 32);
}

static float el_iq4_xs(const uint8_t *b, int i)
{
    int g = i / 32, h = b[2] | b[3] << 8;
    int ls = (b[4 + g / 2] >> (4 * (g % 2)) & 15) | (h >> (2 * g) & 3) << 4;
    return half_in(b) * (float)(ls - 32) * (float)levels[nibble(b + 8 + 16 * g, i % 32)];
}

/* Where the halves lie in a block, so that random bytes do not make them Inf or NaN; and how large the
 * relative error of packing normal numbers may be. */
static const struct format { enum dtype d; float (*element)(const uint8_t *, int); int half[2]; double most; } formats[] = {
    { DT_Q4_0,   el_q4_0,   { 0, -1 },    0.090 }, { DT_Q4_1, el_q4_1, { 0, 2 },    0.085 },
    { DT_Q5_0,   el_q5_0,   { 0, -1 },    0.046 }, { DT_Q5_1, el_q5_1, { 0, 2 },    0.042 },
    { DT_Q8_0,   el_q8_0,   { 0, -1 },    0.006 }, { DT_Q2_K, el_q2_k, { 80, 82 },  0.300 },
    { DT_Q3_K,   el_q3_k,   { 108, -1 },  0.160 }, { DT_Q4_K, el_q4_k, { 0, 2 },    0.076 },
    { DT_Q5_K,   el_q5_k,   { 0, 2 },     0.038 }, { DT_Q6_K, el_q6_k, { 208, -1 }, 0.019 },
    { DT_IQ4_NL, el_iq4_nl, { 0, -1 },    0.082 }, { DT_IQ4_XS, el_iq4_xs, { 0, -1 }, 0.083 },
    { DT_MXFP4,  el_mxfp4,  { -1, -1 },   0.150 },
};

static void random_block(uint8_t *b, const struct format *f, struct rng *r)
{
    for (int i = 0; i < dtype_info(f->d)->bytes; i++) b[i] = (uint8_t)rng_u64(r);
    for (int h = 0; h < 2; h++)
        if (f->half[h] >= 0) b[f->half[h] + 1] &= 0xbb;               /* neither Inf nor NaN */
    if (f->d == DT_MXFP4) b[0] = (uint8_t)(b[0] % 253);               /* larger exponents overflow */
}

TEST(unpack_is_the_formula_to_the_bit)
{
    struct rng r = rng_make(1, 2, 3);
    for (size_t k = 0; k < LEN(formats); k++) {
        const struct dtype_info *d = dtype_info(formats[k].d);
        uint8_t b[300];
        float x[256];
        for (int round = 0; round < 200; round++) {
            random_block(b, &formats[k], &r);
            d->unpack(b, x, (size_t)d->block);
            int bad = 0;
            for (int i = 0; i < d->block; i++) bad += bits(x[i]) != bits(formats[k].element(b, i));
            CHECK(!bad, "%s: %d elements differ", d->name, bad);
        }
    }
}

TEST(every_block_format_is_tested)
{
    for (int d = 0; d < DT_COUNT; d++) {
        bool found = dtype_info(d)->block == 1;
        for (size_t k = 0; k < LEN(formats); k++) found |= (int)formats[k].d == d;
        CHECK(found, "%s has no row", dtype_info(d)->name);
    }
}

/* ---- pack ---- */

static double round_trip(enum dtype dt, const float *x, int n)
{
    const struct dtype_info *d = dtype_info(dt);
    static uint8_t b[65536];
    static float y[8192];
    d->pack(x, NULL, b, (size_t)n);
    d->unpack(b, y, (size_t)n);
    double err = 0, all = 0;
    for (int i = 0; i < n; i++) {
        err += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        all += (double)x[i] * (double)x[i];
    }
    return all > 0 ? sqrt(err / all) : sqrt(err);
}

TEST(pack_stays_within_its_error_at_every_scale)
{
    static float x[8192];
    static const double sizes[] = { 1e-2, 1, 30 };
    for (size_t k = 0; k < LEN(formats); k++)
        for (size_t s = 0; s < LEN(sizes); s++) {
            struct rng r = rng_make(7, k, s);
            for (size_t i = 0; i < LEN(x); i++) x[i] = (float)(sizes[s] * rng_normal(&r));
            double err = round_trip(formats[k].d, x, LEN(x));
            CHECK(err < formats[k].most, "%s at %g: %.4f", dtype_info(formats[k].d)->name, sizes[s],
                  err);
        }
}

/* Plain types have no blocks: every length, also from an odd address. */
TEST(plain_types_of_any_length_and_address)
{
    static const enum dtype plain[] = { DT_F32, DT_F16, DT_BF16 };
    float x[40], y[41];
    for (int i = 0; i < 40; i++) x[i] = (float)(i - 20) / 4;          /* exact in every type */
    for (size_t k = 0; k < LEN(plain); k++)
        for (size_t n = 0; n <= LEN(x); n++) {
            const struct dtype_info *d = dtype_info(plain[k]);
            uint8_t b[200];
            y[n] = 77;
            d->pack(x, NULL, b + 1, n);
            d->unpack(b + 1, y, n);
            CHECK(memcmp(x, y, n * sizeof *x) == 0 && y[n] == 77, "%s, %zu values", d->name, n);
        }
}

/* Blocks that take an unusual path through the searches. */
static void fill_odd(float *x, int kind)
{
    for (int i = 0; i < 256; i++)
        x[i] = kind == 0   ? 0
               : kind == 1 ? 0.5f
               : kind == 2 ? -0.5f
               : kind == 3 ? (i == 200 ? 3.0f : 0)
               : kind == 4 ? (i % 2 ? 1.0f : -1.0f)
                           : 1.0f + (float)i / 256;
}

TEST(pack_of_constant_and_sparse_blocks)
{
    for (size_t k = 0; k < LEN(formats); k++)
        for (int kind = 0; kind < 6; kind++) {
            float x[256];
            fill_odd(x, kind);
            double err = round_trip(formats[k].d, x, 256), most = formats[k].most;
            CHECK(err < 1.3 * most, "%s, kind %d: %.5f", dtype_info(formats[k].d)->name, kind, err);
        }
}

TEST(pack_of_what_is_not_a_weight_stays_defined)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-40f, 0, 1 };
    for (size_t k = 0; k < LEN(formats); k++)
        for (size_t o = 0; o < LEN(odd); o++) {
            float x[256];
            uint8_t b[300];
            for (int i = 0; i < 256; i++) x[i] = i % 3 ? odd[o] : 0.25f;
            dtype_info(formats[k].d)->pack(x, NULL, b, (size_t)dtype_info(formats[k].d)->block);
            dtype_info(formats[k].d)->unpack(b, x, (size_t)dtype_info(formats[k].d)->block);
        }
    CHECK(true, "the sanitizers judge");
}

/* Q4_0 and Q8_0 by the rules that make files comparable byte by byte. */
static const struct { const char *why; enum dtype d; float x[4]; float rest; const char *want; } rules[] = {
    { "the extreme value gets code 0, its sign goes into the scale", DT_Q4_0, { 8, 4, -4, 0 }, 0, "00bc80848c88" },
    { "of equal extremes the first decides", DT_Q4_0, { -8, 8, 0, 1 }, 0, "003c808f8889" },
    { "and with the other order", DT_Q4_0, { 8, -8, 0, 1 }, 0, "00bc808f8887" },
    { "zeros: the scale is -0, all codes 8", DT_Q4_0, { 0, 0, 0, 0 }, 0, "008088888888" },
    { "halves go away from zero", DT_Q8_0, { 127, 0.5f, -0.5f, 2.5f }, 0, "003c7f01ff03" },
    { "below a half stays", DT_Q8_0, { -127, 0.49999997f, -1.4999999f, 1.5f }, 0, "003c8100ff02" },
    { "zeros", DT_Q8_0, { 0, 0, 0, 0 }, 0, "000000000000" },
};

TEST(pack_follows_the_rounding_rules)
{
    for (size_t k = 0; k < LEN(rules); k++) {
        float x[32];
        for (int i = 0; i < 32; i++) x[i] = i < 4 ? rules[k].x[i] : rules[k].rest;
        uint8_t b[34];
        dtype_info(rules[k].d)->pack(x, NULL, b, 32);
        char hex[80];
        for (int i = 0; i < 6; i++) snprintf(hex + 2 * i, 3, "%02x", b[i]);
        hex[strlen(rules[k].want)] = 0;
        CHECK(strcmp(hex, rules[k].want) == 0, "%s: %s, not %s", rules[k].why, hex, rules[k].want);
    }
}

TEST_MAIN
