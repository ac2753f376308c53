/* dec.c -- exact decimal numbers, as JSON text writes them.
 *
 * Bounds of a schema and values of an enum are compared digit by digit, never through a double:
 * 1 = 1.0 = 10e-1, and 1e400 or a 40-digit integer are ordinary. Exponents are clipped far outside
 * of anything real, so hostile ones cost nothing. Divisibility is exact at any length: a power of
 * ten is never written out, it only takes twos and fives out of the divisor. */
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

/* ---- divisibility ---------------------------------------------------------------------------- */

enum { LIMB = 1000000000 };                             /* nine digits a limb */

/* A whole number: limbs, least significant first, none leading that is zero. */
struct big { uint32_t *w; size_t n; };

static struct big big_of(const struct dec *d)
{
    struct big b = { .n = ((size_t)d->n + 8) / 9 };
    b.w = mem_zero((b.n + 2) * sizeof *b.w);            /* room for the long division */
    for (size_t i = 0; i < (size_t)d->n; i++) {
        uint32_t *w = &b.w[((size_t)d->n - 1 - i) / 9];
        *w = *w * 10 + (uint32_t)(d->digit[i] - '0');
    }
    return b;
}

static uint32_t mod_small(const struct big *b, uint32_t by)
{
    uint64_t r = 0;
    for (size_t i = b->n; i-- > 0; ) r = (r * LIMB + b->w[i]) % by;
    return (uint32_t)r;
}

static void div_small(struct big *b, uint32_t by)
{
    uint64_t r = 0;
    for (size_t i = b->n; i-- > 0; r %= by) {
        r = r * LIMB + b->w[i];
        b->w[i] = (uint32_t)(r / by);
    }
    while (b->n && !b->w[b->n - 1]) b->n--;
}

static void mul_small(struct big *b, uint32_t by)       /* the product has at most one limb more */
{
    uint64_t carry = 0;
    for (size_t i = 0; i < b->n; i++, carry /= LIMB) {
        carry += (uint64_t)b->w[i] * by;
        b->w[i] = (uint32_t)(carry % LIMB);
    }
    if (carry) b->w[b->n++] = (uint32_t)carry;
}

/* Divides out `prime` as often as it goes, at most k times; first in strides, for speed. */
static void strip(struct big *b, uint32_t prime, int64_t k)
{
    for (int stride = 12; stride > 0; stride = stride == 12 ? 1 : 0) {
        uint32_t power = prime;
        for (int i = 1; i < stride; i++) power *= prime;
        for (; k >= stride && mod_small(b, power) == 0; k -= stride) div_small(b, power);
    }
}

/* a[at..] -= q * b; a borrow that is left means that q was one too large, and b is added back. */
static void subtract(uint32_t *a, const struct big *b, uint64_t q)
{
    uint64_t carry = 0;
    for (size_t i = 0; i <= b->n; i++) {
        carry += i < b->n ? q * b->w[i] : 0;
        uint32_t part = (uint32_t)(carry % LIMB);
        carry /= LIMB;
        if (a[i] < part) { a[i] += LIMB; carry++; }
        a[i] -= part;
    }
    if (!carry) return;
    uint32_t up = 0;
    for (size_t i = 0; i <= b->n; i++) {
        a[i] += up + (i < b->n ? b->w[i] : 0);
        up = a[i] >= LIMB;
        if (up) a[i] -= LIMB;
    }
}

/* Does b divide a? Long division by limbs (Knuth 4.3.1 D); both are used up. */
static bool big_divides(struct big *b, struct big *a)
{
    if (b->n == 1) return mod_small(a, b->w[0]) == 0;
    if (a->n < b->n) return false;                      /* 0 < a < b */
    uint32_t scale = LIMB / (b->w[b->n - 1] + 1);       /* makes b's first limb >= LIMB/2 */
    mul_small(a, scale);
    mul_small(b, scale);
    size_t n = b->n;
    uint64_t top = b->w[n - 1];
    for (size_t at = a->n - n + 1; at-- > 0; ) {
        uint32_t *w = a->w + at;
        uint64_t head = (uint64_t)w[n] * LIMB + w[n - 1], q = MIN(head / top, LIMB - 1u);
        while ((head - q * top) < LIMB && q * b->w[n - 2] > (head - q * top) * LIMB + w[n - 2]) q--;
        subtract(w, b, q);
    }
    for (size_t i = 0; i < n; i++)
        if (a->w[i]) return false;
    return true;
}

/* a/b = A/B x 10^k. B carries no final 0, so it holds twos or fives, never both; what 10^k has of
 * them is divided out of B, and the rest of B, which 10^k cannot help with, must divide A. */
bool dec_multiple(const struct dec *a, const struct dec *b)
{
    if (a->n == 0) return true;
    int64_t k = (a->point - a->n) - (b->point - b->n);
    if (b->n == 0 || k < 0) return false;               /* k < 0: A does not end in 0 */
    struct big x = big_of(a), y = big_of(b);
    strip(&y, 2, k);
    strip(&y, 5, k);
    bool ok = big_divides(&y, &x);
    mem_free(x.w);
    mem_free(y.w);
    return ok;
}
