/* number_exact.c -- numbers of which more is asked than bounds: multipleOf, excluded values.
 *
 * A number here has at most cap_int digits before the point, cap_frac behind it and cap_sig in all
 * (leading zeros aside), so every value is a whole number X of grid units, 10^-cap_frac each, and
 * all of it is exact arithmetic on 128 bits. The state is the text itself: its digits as a number D
 * (aux, the sign in its top bit), how many stand before the point (n) and behind it (m).
 *
 * What can still be written is a few blocks. Behind the point it is one, [D, D + 1) x 10^-m; before
 * it there is one for each number of integer digits yet to come. In a block a text of f fraction
 * digits reaches the multiples of 10^-f. So with step = lcm(multiples, 10^-f) every question is:
 *   - alive?     has some block a multiple of step that is within bounds and not taken out?
 *   - how far?   the same for each f; the cheapest block and f that have one
 *   - how many?  blocks are disjoint, one value is in one of them: a sum
 * "Taken out" is cheap to decide, too: `other` divides X = step x t where o = other / gcd(other,
 * step) divides t. o = 1 takes all; otherwise the walk over t meets a free one soon, because r
 * divisors above 1 cover fewer than 2^r neighbours (Kanold 1967 on Jacobsthal's function; for 16 of
 * them the true figure is about 100), and each excluded value lengthens the walk by such a run. */
#include <assert.h>
#include <stdlib.h>

#include "grammar/int.h"

typedef unsigned __int128 u128;

static const uint64_t SIGN = 1ull << 63;
enum { N_SCALE = MOST_EXACT + 1 };

/* The candidates with f fraction digits: step x t where no other[i] divides t. step 0: 0 alone;
 * none: not one. */
struct scale { u128 step, other[MOST_OTHER]; uint32_t n_other; bool none; };
/* |X| of one sign, lo > hi: none; the excluded ones are sorted. ok: it is worth beginning. */
struct side { bool ok; u128 lo, hi, *except; uint32_t n_except; };
struct num_exact {
    uint32_t cap_int, cap_frac, cap_sig;
    u128 top;                                           /* largest X */
    struct side side[2];
    struct scale scale[N_SCALE];
};

/* What can be written behind a state with the same number of integer digits. */
struct block {
    u128 lo, hi;
    uint32_t base, dot, m;              /* bytes to its integers; 1: no point yet; m as in conf */
    uint32_t f_min, f_max;              /* digits there may be behind the point in the end */
};

static u128 pow10_of(uint32_t n)
{
    u128 v = 1;
    while (n--) v *= 10;
    return v;
}

static u128 gcd_of(u128 a, u128 b)
{
    while (b) { u128 t = a % b; a = b; b = t; }
    return a;
}

static uint32_t digits_of(uint64_t d)
{
    uint32_t n = 0;
    for (; d; d /= 10) n++;
    return n;
}

/* ---- candidates ------------------------------------------------------------------------------ */

/* Index of the first excluded value that is not below v. */
static uint32_t except_at(const struct side *s, u128 v)
{
    uint32_t lo = 0, hi = s->n_except;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (s->except[mid] < v) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static bool covered(const struct scale *s, u128 t)
{
    for (uint32_t i = 0; i < s->n_other; i++)
        if (t % s->other[i] == 0) return true;
    return false;
}

/* Walks the values of f digits in [lo, hi]: how many are allowed, counted to cap. */
static uint32_t walk(const struct num_exact *x, int neg, u128 lo, u128 hi, uint32_t f, uint32_t cap)
{
    const struct side *d = &x->side[neg];
    const struct scale *s = &x->scale[f];
    lo = MAX(lo, d->lo);
    hi = MIN(hi, s->step ? d->hi : 0);
    if (lo > hi || s->none || !cap) return 0;
    u128 step = s->step ? s->step : 1, t = (lo + step - 1) / step, v = t * step;
    uint32_t n = 0, i = except_at(d, v);
    for (; v <= hi; v += step, t++) {
        if (i == d->n_except && !s->n_other) {          /* nothing in the way any more */
            u128 rest = (hi - v) / step + 1;
            return rest < cap - n ? n + (uint32_t)rest : cap;
        }
        while (i < d->n_except && d->except[i] < v) i++;
        if ((i < d->n_except && d->except[i] == v) || covered(s, t)) continue;
        if (++n == cap) break;
    }
    return n;
}

static bool any(const struct num_exact *x, int neg, u128 lo, u128 hi, uint32_t f)
{
    return walk(x, neg, lo, hi, f, 1) > 0;
}

/* ---- states ---------------------------------------------------------------------------------- */

static int neg_of(const struct conf *c) { return (c->aux & SIGN) != 0; }

/* The block of integers first .. last - 1. */
static struct block int_block(const struct num_exact *x, u128 first, u128 last, uint32_t base,
                              uint32_t digits)
{
    u128 unit = pow10_of(x->cap_frac);
    return (struct block){ .lo = first * unit,
                           .hi = last * unit - 1,
                           .base = base,
                           .dot = 1,
                           .f_max = MIN(x->cap_frac, x->cap_sig - digits) };
}

/* Behind the point: the digits that are left for D = 0 are limited by cap_frac alone. */
static bool frac_block(const struct num_exact *x, const struct conf *c, struct block *b)
{
    uint64_t d = c->aux & ~SIGN;
    u128 unit = pow10_of(x->cap_frac - c->m);
    uint32_t most = d ? c->m + x->cap_sig - digits_of(d) : x->cap_frac;
    *b = (struct block){ .lo = d * unit,
                         .hi = (d + (u128)1) * unit - 1,
                         .m = c->m,
                         .f_min = MAX(c->m, 1u),
                         .f_max = MIN(most, x->cap_frac) };
    return b->f_min <= b->f_max;
}

/* The i-th block of a state; false: there are no more. */
static bool block_at(const struct num_exact *x, const struct conf *c, uint32_t i, struct block *b)
{
    uint64_t d = c->aux & ~SIGN;
    switch (c->lex) {
    case NUM_SIGN:                                      /* 0, then one for each length */
        if (i > MIN(x->cap_int, x->cap_sig)) return false;
        *b = i ? int_block(x, pow10_of(i - 1), pow10_of(i), i, i) : int_block(x, 0, 1, 1, 0);
        return true;
    case NUM_ZERO:
        *b = int_block(x, 0, 1, 0, 0);
        return i == 0;
    case NUM_INT:
        if (c->n + i > MIN(x->cap_int, x->cap_sig)) return false;
        *b = int_block(x, d * pow10_of(i), (d + (u128)1) * pow10_of(i), i, c->n + i);
        return true;
    default:
        return i == 0 && frac_block(x, c, b);
    }
}

static bool alive(const struct num_exact *x, const struct conf *c)
{
    struct block b;
    for (uint32_t i = 0; block_at(x, c, i, &b); i++)
        if (any(x, neg_of(c), b.lo, b.hi, b.f_max)) return true;
    return false;
}

bool exact_may_end(const struct num *p, const struct conf *c)
{
    const struct num_exact *x = p->exact;
    if (c->lex != NUM_ZERO && c->lex != NUM_INT && c->lex != NUM_FRAC) return false;
    u128 v = (c->aux & ~SIGN) * pow10_of(x->cap_frac - c->m);
    return any(x, neg_of(c), v, v, x->cap_frac);
}

static bool digit(const struct num_exact *x, struct conf *c, uint8_t d)
{
    bool frac = c->lex == NUM_DOT || c->lex == NUM_FRAC;
    uint64_t v = c->aux & ~SIGN;
    if (c->lex == NUM_ZERO || digits_of(v) >= x->cap_sig) return false;
    if (frac ? c->m == x->cap_frac : c->n == x->cap_int) return false;
    c->lex = frac ? NUM_FRAC : c->n == 0 && d == '0' ? NUM_ZERO : NUM_INT;
    *(frac ? &c->m : &c->n) += 1;
    c->aux = (c->aux & SIGN) | (v * 10 + (uint64_t)(d - '0'));
    return alive(x, c);
}

bool exact_step(const struct num *p, struct conf *c, uint8_t b)
{
    if (b >= '0' && b <= '9') return digit(p->exact, c, b);
    if (b != '.' || (c->lex != NUM_ZERO && c->lex != NUM_INT)) return false;
    c->lex = NUM_DOT;
    return alive(p->exact, c);
}

bool exact_first(const struct num *p, struct conf *c, uint8_t b)
{
    bool neg = b == '-';
    c->aux = neg ? SIGN : 0;
    return p->exact->side[neg].ok && (neg || exact_step(p, c, b));
}

uint32_t exact_left(const struct num *p, const struct conf *c)
{
    struct block b;
    uint32_t best = COST_MAX;
    for (uint32_t i = 0; block_at(p->exact, c, i, &b) && b.base < best; i++)
        for (uint32_t f = b.f_min; f <= b.f_max; f++) {
            uint32_t cost = b.base + (f > b.m ? f - b.m + b.dot : 0);
            if (cost >= best) break;
            if (any(p->exact, neg_of(c), b.lo, b.hi, f)) best = cost;
        }
    return best;
}

uint32_t exact_shortest(const struct num *p)
{
    uint32_t best = COST_MAX;
    for (int s = 0; s < 2; s++) {
        struct conf c = { .lex = NUM_SIGN, .aux = s ? SIGN : 0 };
        if (p->exact->side[s].ok) best = cost_min(best, (uint32_t)s + exact_left(p, &c));
    }
    return best;
}

static uint32_t count_from(const struct num_exact *x, const struct conf *c, uint32_t cap)
{
    struct block b;
    uint32_t n = 0;
    for (uint32_t i = 0; n < cap && block_at(x, c, i, &b); i++)
        n += walk(x, neg_of(c), b.lo, b.hi, b.f_max, cap - n);
    return n;
}

uint32_t exact_count(const struct num *p, const struct conf *c, uint32_t cap)
{
    const struct num_exact *x = p->exact;
    if (c) return count_from(x, c, cap);
    struct conf s[2] = { { .lex = NUM_SIGN }, { .lex = NUM_SIGN, .aux = SIGN } };
    uint32_t n[2];
    for (int i = 0; i < 2; i++) n[i] = x->side[i].ok ? count_from(x, &s[i], cap) : 0;
    bool twice = n[1] && any(x, 1, 0, 0, x->cap_frac);  /* -0 is 0 */
    uint64_t sum = (uint64_t)n[0] + n[1] - (twice && n[1] < cap);
    return (uint32_t)MIN(sum, cap);
}

/* ---- preparation ----------------------------------------------------------------------------- */

/* |d| in grid units, rounded down; *exact: nothing was lost. Far above every number: all ones. */
static u128 units(const struct dec *d, uint32_t frac, bool *exact)
{
    int64_t n = d->point + frac;                        /* digits of the result */
    *exact = d->n == 0 || n >= d->n;
    if (n > 37) return d->n ? ~(u128)0 : 0;
    u128 v = 0;
    for (int64_t i = 0; i < n; i++) v = v * 10 + (u128)(i < d->n ? d->digit[i] - '0' : 0);
    return v;
}

/* |X| of one sign: lo and hi bound it, NULL: nothing does. Leaves lo > hi where none fits. */
static void side_prepare(const struct num_exact *x, struct side *s, const struct dec *lo,
                         bool lo_open, const struct dec *hi, bool hi_open)
{
    bool exact;
    s->lo = 0;
    s->hi = x->top;
    if (lo && !lo->neg) {
        s->lo = units(lo, x->cap_frac, &exact);
        if (s->lo > x->top) s->lo = x->top + 1;
        else if (!exact || lo_open) s->lo++;
    }
    if (!hi) return;
    u128 v = hi->neg ? 0 : units(hi, x->cap_frac, &exact);
    bool none = hi->neg || (exact && hi_open && v == 0);
    if (none) s->lo = x->top + 1;
    else s->hi = MIN(x->top, v - (exact && hi_open));
}

static struct dec negated(struct dec d)
{
    d.neg = d.n && !d.neg;
    return d;
}

static void sides_prepare(const struct num *p, struct num_exact *x)
{
    struct dec lo = negated(p->lo), hi = negated(p->hi);
    side_prepare(x, &x->side[0], p->has_lo ? &p->lo : NULL, p->lo_open, p->has_hi ? &p->hi : NULL,
                 p->hi_open);
    side_prepare(x, &x->side[1], p->has_hi ? &hi : NULL, p->hi_open, p->has_lo ? &lo : NULL,
                 p->lo_open);
}

static int u128_cmp(const void *a, const void *b)
{
    u128 x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void excepts_prepare(const struct num *p, struct num_exact *x, struct arena *a)
{
    for (int s = 0; s < 2; s++) {
        struct side *d = &x->side[s];
        d->except = arena_alloc(a, (p->n_except + 1) * sizeof *d->except);
        for (uint32_t i = 0; i < p->n_except; i++) {
            bool exact;
            const struct dec *e = &p->except[i];
            u128 v = units(e, x->cap_frac, &exact);
            if ((e->n && e->neg != s) || !exact || v < d->lo || v > d->hi) continue;
            d->except[d->n_except++] = v;
        }
        qsort(d->except, d->n_except, sizeof *d->except, u128_cmp);
    }
}

/* A divisor in grid units. Of integers only what a divisor has beside twos and fives behind the
 * point matters: they are multiples of 0.75 = 3/4 where they are multiples of 3. */
static bool divisor(const struct num *p, const struct num_exact *x, const struct dec *d, u128 *out,
                    struct err *e)
{
    if (d->n == 0 || d->neg) return err_set(e, ERR_SCHEMA, "multipleOf must be above 0");
    int64_t frac = d->n - d->point;                     /* digits behind the point */
    if (d->n > MOST_EXACT || d->point > (int64_t)x->cap_int ||
        frac > (p->integer ? MOST_EXACT : (int64_t)x->cap_frac))
        return err_set(e, ERR_UNSUPPORTED,
                       "a multipleOf of more than %d digits before or behind the point",
                       MOST_EXACT);
    bool exact;
    uint32_t at = p->integer ? (uint32_t)MAX(frac, 0) : x->cap_frac;
    *out = units(d, at, &exact);
    if (p->integer) *out /= gcd_of(*out, pow10_of(at));
    return true;
}

/* lcm, or 0 when it is above all numbers (then only 0 is a multiple). */
static u128 lcm_of(const struct num_exact *x, u128 a, u128 b)
{
    if (!a || !b) return 0;
    a /= gcd_of(a, b);
    return a > x->top / b ? 0 : a * b;
}

/* other: divisors in grid units, of which none is a multiple of another. */
static void scale_prepare(struct scale *s, const u128 *other, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        u128 o = other[i] / gcd_of(other[i], s->step);
        if (o == 1) s->none = true;
        s->other[s->n_other++] = o;
    }
}

static bool add_other(u128 *other, uint32_t *n, u128 o, struct err *e)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (o % other[i] == 0) return true;
    for (uint32_t i = 0; i < *n; i++)
        if (other[i] % o) other[k++] = other[i];
    if (k == MOST_OTHER)
        return err_set(e, ERR_LIMIT, "a number that must not be a multiple of more than %d others",
                       MOST_OTHER);
    other[k++] = o;
    *n = k;
    return true;
}

static bool scales_prepare(const struct num *p, struct num_exact *x, struct err *e)
{
    u128 all = 1, other[MOST_OTHER], v;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_multiple; i++) {
        if (!divisor(p, x, &p->multiple[i], &v, e)) return false;
        all = lcm_of(x, all, v);
    }
    for (uint32_t i = 0; i < p->n_other; i++)
        if (!divisor(p, x, &p->other[i], &v, e) || !add_other(other, &n, v, e)) return false;
    if (p->fraction && !add_other(other, &n, pow10_of(x->cap_frac), e)) return false;
    for (uint32_t f = 0; f <= x->cap_frac; f++) {
        x->scale[f].step = lcm_of(x, all, pow10_of(x->cap_frac - f));
        scale_prepare(&x->scale[f], other, n);
    }
    return true;
}

/* Nothing fits within the digits there are. Could a longer number? In doubt it could. */
static bool longer_fits(const struct num *p, const struct num_exact *x)
{
    int c = p->has_lo && p->has_hi ? dec_cmp(&p->lo, &p->hi) : -1;
    if (c > 0 || (c == 0 && (p->lo_open || p->hi_open))) return false;
    if (c == 0) return num_fits(p, &p->lo);
    if (!p->integer && !p->n_multiple) return true;     /* an interval, less single points */
    if (x->scale[x->cap_frac].none) return false;
    for (int s = 0; s < 2; s++)                         /* more digits in all than cap_sig */
        if (any(x, s, 0, x->top, x->cap_frac)) return true;
    struct dec most = { .digit = "1", .n = 1, .point = (int64_t)x->cap_int + 1 };
    struct dec least = negated(most);
    return !p->has_lo || !p->has_hi || dec_cmp(&p->hi, &most) >= 0 ||
           dec_cmp(&p->lo, &least) <= 0;
}

bool exact_prepare(struct num *p, struct arena *a, bool *empty, struct err *e)
{
    struct num_exact *x = p->exact = arena_zero(a, sizeof *x);
    if (p->n_except > MOST_EXCEPT)
        return err_set(e, ERR_LIMIT, "more than %d excluded numbers", MOST_EXCEPT);
    x->cap_int = p->cap_int = p->cap_int ? p->cap_int : MOST_EXACT;
    x->cap_frac = p->cap_frac = p->integer ? 0 : p->cap_frac ? p->cap_frac : MOST_EXACT;
    x->cap_sig = p->cap_sig = p->cap_sig ? p->cap_sig : MOST_EXACT;
    assert(x->cap_int <= MOST_EXACT && x->cap_frac <= x->cap_sig && x->cap_sig <= MOST_EXACT);
    x->top = pow10_of(x->cap_int + x->cap_frac) - 1;
    sides_prepare(p, x);
    excepts_prepare(p, x, a);
    if (!scales_prepare(p, x, e)) return false;
    for (int s = 0; s < 2; s++) {
        struct conf c = { .lex = NUM_SIGN, .aux = s ? SIGN : 0 };
        /* a minus only where more than -0 is behind it */
        x->side[s].ok = count_from(x, &c, 2) > (s && any(x, 1, 0, 0, x->cap_frac) ? 1u : 0u);
    }
    *empty = !x->side[0].ok && !x->side[1].ok;
    if (!*empty || !longer_fits(p, x)) return true;
    return err_set(e, ERR_UNSUPPORTED,
                   "a number with multipleOf or excluded values would need more than %u digits",
                   x->cap_sig);
}
