/* dec.c -- exact decimal numbers, as JSON text writes them.
 *
 * Bounds of a schema and values of an enum are compared digit by digit, never through a double:
 * 1 = 1.0 = 10e-1, and 1e400 or a 40-digit integer are ordinary. Exponents are clipped far outside
 * of anything real, so hostile ones cost nothing. */
#include "grammar/int.h"

static const int64_t FAR = 1000000000000000;

static int64_t read_exponent(const char *p, const char *end)
{
    bool neg = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    int64_t v = 0;
    for (; p < end && v < FAR; p++) v = v * 10 + (*p - '0');
    return neg ? -v : v;
}

struct dec dec_read(struct arena *a, const char *text, size_t len)
{
    struct dec d = { 0 };
    const char *p = text, *end = text + len;
    if (p < end && *p == '-') { d.neg = true; p++; }
    char *out = arena_alloc(a, len + 1);
    bool dot = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') { dot = true; continue; }
        if (d.n == 0 && *p == '0') {                    /* leading zero */
            if (dot) d.point--;
            continue;
        }
        out[d.n++] = *p;
        if (!dot) d.point++;
    }
    if (p < end) d.point += read_exponent(p + 1, end);
    while (d.n > 0 && out[d.n - 1] == '0') d.n--;
    if (d.n == 0) { d.point = 0; d.neg = false; }
    d.digit = out;
    return d;
}

static int magnitude_cmp(const struct dec *a, const struct dec *b)
{
    if (a->n == 0 || b->n == 0) return (a->n != 0) - (b->n != 0);
    if (a->point != b->point) return a->point < b->point ? -1 : 1;
    int c = memcmp(a->digit, b->digit, (size_t)MIN(a->n, b->n));
    return c ? (c < 0 ? -1 : 1) : (a->n > b->n) - (a->n < b->n);
}

int dec_cmp(const struct dec *a, const struct dec *b)
{
    if (a->neg != b->neg) return a->neg ? -1 : 1;
    return a->neg ? -magnitude_cmp(a, b) : magnitude_cmp(a, b);
}

bool dec_is_int(const struct dec *a)
{
    return a->n == 0 || a->point >= a->n;
}

/* A x 10^k mod b, b below 2^63. */
static uint64_t mod_of(const struct dec *a, int64_t k, uint64_t b)
{
    unsigned __int128 r = 0, ten = 10 % b;
    for (int i = 0; i < a->n; i++) r = (r * 10 + (unsigned)(a->digit[i] - '0')) % b;
    for (; k > 0; k >>= 1, ten = ten * ten % b)
        if (k & 1) r = r * ten % b;
    return (uint64_t)r;
}

/* r = 10 r + d, less b as often as it goes in; n limbs of nine digits, lowest first. r < b before and after. */
static void shift_mod(uint32_t *r, const uint32_t *b, int n, uint32_t d)
{
    enum { BASE = 1000000000 };
    uint64_t carry = d;
    for (int i = 0; i < n; i++) {
        carry += (uint64_t)r[i] * 10;
        r[i] = (uint32_t)(carry % BASE);
        carry /= BASE;
    }
    for (;;) {
        int i = n - 1;
        while (i > 0 && r[i] == b[i]) i--;
        if (r[i] < b[i]) return;
        int64_t borrow = 0;
        for (i = 0; i < n; i++) {
            borrow += (int64_t)r[i] - b[i];
            r[i] = (uint32_t)(borrow < 0 ? borrow + BASE : borrow);
            borrow = borrow < 0 ? -1 : 0;
        }
    }
}

/* Does B divide A x 10^k? For B of any length. Tens beyond four for each digit of B add nothing: B has fewer
 * factors of 2 and of 5. */
static bool divides(const struct dec *b, const struct dec *a, int64_t k)
{
    int n = b->n / 9 + 2;                               /* room for ten times a remainder */
    uint32_t *limb = mem_zero((size_t)n * sizeof *limb), *r = mem_zero((size_t)n * sizeof *r);
    for (int i = 0; i < b->n; i++) {
        int at = (b->n - 1 - i) / 9;
        limb[at] = limb[at] * 10 + (uint32_t)(b->digit[i] - '0');
    }
    k = MIN(k, 4 * (int64_t)b->n);
    for (int64_t i = 0; i < a->n + k; i++)
        shift_mod(r, limb, n, i < a->n ? (uint32_t)(a->digit[i] - '0') : 0);
    bool zero = true;
    for (int i = 0; i < n; i++) zero &= r[i] == 0;
    mem_free(limb);
    mem_free(r);
    return zero;
}

bool dec_multiple(const struct dec *a, const struct dec *b, bool *known)
{
    *known = true;
    if (a->n == 0) return true;
    int64_t k = (a->point - a->n) - (b->point - b->n);  /* a/b = A/B x 10^k */
    if (k < 0) return false;                            /* A does not end in 0 */
    if (b->n > 18) {
        /* a tenth of a second at most; only thousands of digits are given up */
        *known = (double)b->n * (a->n + 4.0 * b->n) < 2e8;
        return *known && divides(b, a, k);
    }
    uint64_t d = 0;
    for (int i = 0; i < b->n; i++) d = d * 10 + (uint64_t)(b->digit[i] - '0');
    return mod_of(a, k, d) == 0;
}
