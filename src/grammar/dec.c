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

bool dec_multiple(const struct dec *a, const struct dec *b, bool *known)
{
    *known = true;
    if (a->n == 0) return true;
    int64_t k = (a->point - a->n) - (b->point - b->n);  /* a/b = A/B x 10^k */
    if (k < 0) return false;                            /* A does not end in 0 */
    if (b->n > 18) {
        *known = a->n == b->n;                          /* only the same digits are decided */
        return *known && memcmp(a->digit, b->digit, (size_t)a->n) == 0;
    }
    uint64_t d = 0;
    for (int i = 0; i < b->n; i++) d = d * 10 + (uint64_t)(b->digit[i] - '0');
    return mod_of(a, k, d) == 0;
}
