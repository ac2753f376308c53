/* number.c -- numbers, one digit at a time, with exact bounds.
 *
 * Generating, a number is -?(0|[1-9][0-9]*)(\.[0-9]+)? (an exponent only where no bound exists).
 * The bounds are split by sign into magnitudes; while digits arrive, each magnitude bound is
 * compared with the digits so far (less, equal, greater), which is all one needs to know to decide
 *   - may the number end here?       exact comparison with both bounds
 *   - can it still become a number?  is [P, P + one unit of the last place) x 10^j in reach of [lo, hi]
 * A digit after which it could not is refused, so there are no dead ends (95..103: "1" needs "10").
 * A magnitude with L integer digits can only be met by integer parts of that length: the number of
 * digits and the two comparisons are the whole state, whatever the size of the bounds.
 * Where more is asked (multipleOf, excluded values, no integer) number_exact.c answers instead.
 *
 * Validating, any JSON number is read; its digits are kept as frames and compared at its end. */
#include "grammar/int.h"

enum { LESS, EQUAL, GREATER };

static int lo_of(const struct conf *c) { return (int)(c->aux & 3); }
static int hi_of(const struct conf *c) { return (int)(c->aux >> 2 & 3); }
static bool neg_of(const struct conf *c) { return c->aux >> 4 & 1; }
enum { NONZERO = 1 << 5 };                              /* a digit above 0 was written; no bounds */
static void put(struct conf *c, int lo, int hi, bool neg)
{
    c->aux = (c->aux & NONZERO) | (uint64_t)lo | (uint64_t)hi << 2 | (uint64_t)neg << 4;
}

/* Comparison of a finished integer part of n digits whose first digits compared `cmp`. */
static int int_cmp(const struct bound *b, uint32_t n, int cmp)
{
    if (!b->on) return EQUAL;
    return n < b->n_ip ? LESS : n > b->n_ip ? GREATER : cmp;
}

static bool rest_zero(const struct bound *b, uint32_t from)
{
    return from >= b->n_fp;                             /* fractions carry no trailing zeros */
}

/* cmp: the number so far (k fraction digits) against the bound's first digits. */
static bool above(const struct bound *lo, int cmp, uint32_t k)
{
    return !lo->on || cmp == GREATER || (cmp == EQUAL && rest_zero(lo, k) && !lo->open);
}

static bool below(const struct bound *hi, int cmp, uint32_t k)
{
    return !hi->on || cmp == LESS || (cmp == EQUAL && !(rest_zero(hi, k) && hi->open));
}

/* Smallest and largest length of an integer part that begins with these n digits and fits. */
static void lengths(const struct num *p, const struct conf *c, uint32_t *least, uint32_t *most)
{
    const struct num_part *r = &p->part[neg_of(c)];
    *least = MAX(c->n, 1u);
    *most = p->cap_int;
    if (r->lo.on && c->n <= r->lo.n_ip)
        *least = MAX(*least, (uint32_t)r->lo.n_ip + (lo_of(c) == LESS));
    if (!r->hi.on) return;
    bool fits = hi_of(c) != GREATER && c->n <= r->hi.n_ip;
    if (fits && hi_of(c) == EQUAL && r->hi.open && rest_zero(&r->hi, 0)) {
        fits = false;  /* P000 is the excluded bound itself, unless … */
        for (uint32_t i = c->n; i < r->hi.n_ip; i++) fits |= r->hi.ip[i] != '0';
    }
    *most = MIN(*most, fits ? r->hi.n_ip : r->hi.n_ip - 1u);
}

static bool frac_alive(const struct num *p, const struct conf *c, uint32_t k)
{
    const struct num_part *r = &p->part[neg_of(c)];
    bool lo = !r->lo.on || lo_of(c) != LESS, hi = below(&r->hi, hi_of(c), k);
    if (k < p->cap_frac) return lo && hi;
    return lo && hi && above(&r->lo, lo_of(c), k);
}

/* Can it be completed? Phases SIGN, ZERO, INT, DOT, FRAC. */
static bool alive(const struct num *p, const struct conf *c)
{
    if (c->lex == NUM_DOT) return frac_alive(p, c, 0);
    if (c->lex == NUM_FRAC) return frac_alive(p, c, c->n);
    if (c->lex == NUM_ZERO) {
        if (num_may_end(p, c)) return true;
        if (p->integer) return false;
        struct conf t = *c;
        const struct num_part *r = &p->part[neg_of(c)];
        put(&t, int_cmp(&r->lo, 1, lo_of(c)), int_cmp(&r->hi, 1, hi_of(c)), neg_of(c));
        return frac_alive(p, &t, 0);
    }
    uint32_t least, most;
    lengths(p, c, &least, &most);
    return least <= most;
}

bool num_may_end(const struct num *p, const struct conf *c)
{
    if (p->exact) return exact_may_end(p, c);
    const struct num_part *r = &p->part[neg_of(c)];
    if (c->lex == NUM_EXP) return true;
    if (c->lex == NUM_FRAC) return above(&r->lo, lo_of(c), c->n) && below(&r->hi, hi_of(c), c->n);
    if (c->lex != NUM_ZERO && c->lex != NUM_INT) return false;
    int lo = int_cmp(&r->lo, c->n, lo_of(c)), hi = int_cmp(&r->hi, c->n, hi_of(c));
    return above(&r->lo, lo, 0) && below(&r->hi, hi, 0);
}

static int digit_cmp(const struct bound *b, int cmp, uint32_t at, const char *digits, uint32_t n,
                     uint8_t d)
{
    if (!b->on || cmp != EQUAL) return cmp;
    uint8_t x = at < n ? (uint8_t)digits[at] : '0';
    return d < x ? LESS : d > x ? GREATER : EQUAL;
}

static bool int_digit(const struct num *p, struct conf *c, uint8_t d)
{
    const struct num_part *r = &p->part[neg_of(c)];
    int lo = digit_cmp(&r->lo, lo_of(c), c->n, r->lo.ip, r->lo.n_ip, d);
    int hi = digit_cmp(&r->hi, hi_of(c), c->n, r->hi.ip, r->hi.n_ip, d);
    if (r->lo.on && c->n >= r->lo.n_ip) lo = GREATER;
    if (r->hi.on && c->n >= r->hi.n_ip) hi = GREATER;
    put(c, lo, hi, neg_of(c));
    c->lex = c->n == 0 && d == '0' ? NUM_ZERO : NUM_INT;
    c->n++;
    return c->n <= p->cap_int && alive(p, c);
}

static bool frac_digit(const struct num *p, struct conf *c, uint8_t d)
{
    const struct num_part *r = &p->part[neg_of(c)];
    uint32_t k = c->lex == NUM_DOT ? 0 : c->n;
    put(c, digit_cmp(&r->lo, lo_of(c), k, r->lo.fp, r->lo.n_fp, d),
        digit_cmp(&r->hi, hi_of(c), k, r->hi.fp, r->hi.n_fp, d), neg_of(c));
    c->lex = NUM_FRAC;
    c->n = k + 1;
    return c->n <= p->cap_frac && alive(p, c);
}

static bool dot(const struct num *p, struct conf *c)
{
    const struct num_part *r = &p->part[neg_of(c)];
    if (p->integer) return false;
    put(c, int_cmp(&r->lo, c->n, lo_of(c)), int_cmp(&r->hi, c->n, hi_of(c)), neg_of(c));
    c->lex = NUM_DOT;
    return alive(p, c);
}

/* Exponents: at most 2 digits, 3 behind a minus, so that no reader overflows. Only without bounds. */
static bool exponent(struct conf *c, uint8_t b)
{
    bool is_digit = b >= '0' && b <= '9';
    switch (c->lex) {
    case NUM_E:
        c->lex = is_digit ? NUM_EXP : NUM_ESIGN;
        c->n = is_digit;
        c->m = b == '-';
        return is_digit || b == '+' || b == '-';
    case NUM_ESIGN:
        c->lex = NUM_EXP;
        c->n = 1;
        return is_digit;
    default:
        c->n++;
        return is_digit && c->n <= (c->m ? 3u : 2u);
    }
}

static bool generate_step(const struct num *p, struct conf *c, uint8_t b)
{
    if (p->exact) return exact_step(p, c, b);
    if (c->lex >= NUM_E) return exponent(c, b);
    if ((b == 'e' || b == 'E') && !p->bounded && !p->integer && num_may_end(p, c)) {
        c->lex = NUM_E;
        c->n = c->m = 0;
        return true;
    }
    if (b == '.') return (c->lex == NUM_ZERO || c->lex == NUM_INT) && dot(p, c);
    if (b < '0' || b > '9' || c->lex == NUM_ZERO) return false;
    if (b != '0' && !p->bounded) c->aux |= NONZERO;
    return c->lex == NUM_DOT || c->lex == NUM_FRAC ? frac_digit(p, c, b) : int_digit(p, c, b);
}

/* Syntax alone: what a validating reader lets through until the number ends. */
static bool validate_step(struct conf *c, uint8_t b)
{
    bool is_digit = b >= '0' && b <= '9';
    switch (c->lex) {
    case NUM_SIGN: c->lex = b == '0' ? NUM_ZERO : NUM_INT; return is_digit;
    case NUM_DOT:  c->lex = NUM_FRAC; return is_digit;
    case NUM_E:    c->lex = is_digit ? NUM_EXP : NUM_ESIGN; return is_digit || b == '+' || b == '-';
    case NUM_ESIGN:
    case NUM_EXP:  c->lex = NUM_EXP; return is_digit;
    default:
        if (b == 'e' || b == 'E') { c->lex = NUM_E; return true; }
        if (b == '.' && c->lex != NUM_FRAC) { c->lex = NUM_DOT; return true; }
        return is_digit && c->lex != NUM_ZERO;
    }
}

bool num_is_open(const struct num *p, const struct conf *c, uint32_t reach)
{
    const struct bound *hi = &p->part[neg_of(c)].hi;
    if (p->exact || !num_may_end(p, c)) return false;
    if (hi->on && (c->lex != NUM_INT || c->n + reach >= hi->n_ip)) return false;      /* else shorter than the bound, so smaller */
    return c->n + reach <= (c->lex == NUM_INT ? p->cap_int : p->cap_frac);
}

bool num_first(const struct num *p, bool validate, struct conf *c, uint8_t b)
{
    bool neg = b == '-';
    c->lex = NUM_SIGN;
    c->n = c->m = 0;
    c->aux = 0;
    put(c, EQUAL, EQUAL, neg);
    if (validate) return neg || validate_step(c, b);
    if (p->exact) return exact_first(p, c, b);
    return p->part[neg].ok && (neg || generate_step(p, c, b));
}

bool num_step(const struct num *p, bool validate, struct conf *c, uint8_t b)
{
    return validate ? validate_step(c, b) : generate_step(p, c, b);
}

/* ---- the nearest end ------------------------------------------------------------------------- */

static int digit_at(const struct bound *b, uint32_t whole, uint32_t i)
{
    if (i < whole) return b->ip[i] - '0';
    return i - whole < b->n_fp ? b->fp[i - whole] - '0' : 0;
}

/* Fewest digits of a number with `whole` integer digits, of which i digits that compared lo and hi
 * are written. A digit strictly between the bounds' own frees it of both; else it follows one. */
static uint32_t nearest(const struct num_part *r, int lo, int hi, uint32_t i, uint32_t whole)
{
    for (;; i++) {
        bool all = i >= whole;
        if (all && above(&r->lo, lo, i - whole) && below(&r->hi, hi, i - whole)) return i;
        if (lo == GREATER && hi == LESS) return whole;
        if (lo == LESS || hi == GREATER) return COST_MAX;
        if (hi == EQUAL && i > whole + MAX(r->lo.n_fp, r->hi.n_fp)) return COST_MAX;
        int a = lo == EQUAL ? digit_at(&r->lo, whole, i) : -1;
        int b = hi == EQUAL ? digit_at(&r->hi, whole, i) : 10;
        int least = i == 0 && whole > 1;                /* no leading 0 */
        if (a > b) return COST_MAX;
        if (MAX(a + 1, least) <= b - 1) { lo = GREATER; hi = LESS; }
        else if (a >= 0 && b < 10 && a < b)             /* neighbours: follow either */
            return MIN(nearest(r, EQUAL, LESS, i + 1, whole),
                       nearest(r, GREATER, EQUAL, i + 1, whole));
    }
}

static uint32_t frac_nearest(const struct num *p, const struct conf *c, int lo, int hi, uint32_t k)
{
    const struct num_part *r = &p->part[neg_of(c)];
    return nearest(r, r->lo.on ? lo : GREATER, r->hi.on ? hi : LESS, k, 0);
}

/* The integer part may still grow. A length that no bound has costs its digits, the best there is. */
static uint32_t int_left(const struct num *p, const struct conf *c)
{
    const struct num_part *r = &p->part[neg_of(c)];
    uint32_t least, most, best = COST_MAX;
    lengths(p, c, &least, &most);
    for (uint32_t l = least; l <= most && l - c->n < best; l++) {
        int lo = r->lo.on && l == r->lo.n_ip ? lo_of(c) : GREATER;
        int hi = r->hi.on && l == r->hi.n_ip ? hi_of(c) : LESS;
        uint32_t n = nearest(r, lo, hi, c->n, l);
        if (n < COST_MAX) best = MIN(best, n - c->n + (n > l));
    }
    return best;
}

uint32_t num_left(const struct num *p, const struct conf *c)
{
    if (p->exact) return exact_left(p, c);
    if (num_may_end(p, c)) return 0;
    const struct num_part *r = &p->part[neg_of(c)];
    switch (c->lex) {
    case NUM_E: case NUM_ESIGN: return 1;
    case NUM_DOT:  return MAX(frac_nearest(p, c, lo_of(c), hi_of(c), 0), 1u);
    case NUM_FRAC: return frac_nearest(p, c, lo_of(c), hi_of(c), c->n) - c->n;
    case NUM_ZERO:
        return 1 + frac_nearest(p, c, int_cmp(&r->lo, 1, lo_of(c)),
                                int_cmp(&r->hi, 1, hi_of(c)), 0);
    default: return int_left(p, c);
    }
}

uint32_t num_shortest(const struct num *p)
{
    if (p->exact) return exact_shortest(p);
    uint32_t best = COST_MAX;
    for (int s = 0; s < 2; s++) {
        if (!p->part[s].ok) continue;
        struct conf c = { .lex = NUM_SIGN };
        put(&c, EQUAL, EQUAL, s);
        best = cost_min(best, (uint32_t)s + num_left(p, &c));
    }
    return best;
}

/* ---- counting -------------------------------------------------------------------------------- */

/* Values whose last digit is still to be written (a fraction's is not 0). Nearly every state can
 * end and is a value, so the search is as long as the count, but for the digits of the bounds. */
static uint32_t count_behind(const struct num *p, const struct conf *c, uint32_t cap)
{
    uint32_t n = 0;
    struct conf t = *c;
    for (uint8_t b = '0'; b <= '9' && n < cap; b++, t = *c) {
        if (!generate_step(p, &t, b)) continue;
        n += num_may_end(p, &t) && (t.lex != NUM_FRAC || b != '0');
        if (n < cap) n += count_behind(p, &t, cap - n);
    }
    if (n < cap && generate_step(p, &t, '.')) n += count_behind(p, &t, cap - n);
    return n;
}

bool num_endless(const struct num *p, const struct conf *c)
{
    bool digits = c->lex == NUM_INT || c->lex == NUM_FRAC || (!p->integer && (c->lex == NUM_ZERO || c->lex == NUM_DOT));
    return digits && !p->exact && !p->part[neg_of(c)].hi.on;
}

/* Inside an exponent; the digits are not kept: what the missing ones tell apart. */
static uint32_t count_exponent(const struct conf *c)
{
    uint32_t room = (c->m ? 3u : 2u) - (c->lex == NUM_EXP ? c->n : 0);
    if (!(c->aux & NONZERO)) return 1;
    if (c->lex == NUM_E) return 1099;                   /* -999 to 99 */
    return room == 3 ? 1000 : room == 2 ? 100 : room == 1 ? 10 : 1;
}

static uint32_t count_from(const struct num *p, const struct conf *c, uint32_t cap)
{
    if (c->lex >= NUM_E) return MIN(count_exponent(c), cap);
    struct conf zero = *c;
    bool self = num_may_end(p, c) ||
                (c->lex == NUM_DOT && generate_step(p, &zero, '0') && num_may_end(p, &zero));
    uint32_t n = MIN(self, cap);
    return n < cap ? n + count_behind(p, c, cap - n) : n;
}

uint32_t num_count(const struct num *p, const struct conf *c, uint32_t cap)
{
    if (p->exact) return exact_count(p, c, cap);
    if (c) return count_from(p, c, cap);
    uint32_t n = 0;
    bool zero = false;                                  /* counted already: -0 is the same */
    for (int s = 0; s < 2 && n < cap; s++) {
        struct conf t = { .lex = NUM_SIGN }, z;
        put(&t, EQUAL, EQUAL, s);
        z = t;
        if (!p->part[s].ok) continue;
        bool has_zero = generate_step(p, &z, '0') && num_may_end(p, &z);
        uint32_t k = count_from(p, &t, cap - n + (zero && has_zero));
        n += k - (zero && has_zero);
        zero |= has_zero;
    }
    return n;
}

/* ---- preparing the bounds -------------------------------------------------------------------- */

static bool bound_text(struct bound *b, struct arena *a, const struct dec *d, bool open,
                       struct err *e)
{
    int64_t n_ip = MAX(d->point, 1), n_fp = MAX(d->n - d->point, 0);
    if (n_ip > MOST_BOUND_DIGIT || n_fp > MOST_BOUND_DIGIT)
        return err_set(e, ERR_LIMIT, "a bound of more than %d digits before or after the point",
                       MOST_BOUND_DIGIT);
    char *text = arena_alloc(a, (size_t)(n_ip + n_fp) + 1);
    for (int64_t i = 0; i < n_ip + n_fp; i++) {
        /* index into the digits; before them zeros */
        int64_t at = d->point > 0 ? i : i - 1 + d->point;
        text[i] = at >= 0 && at < d->n ? d->digit[at] : '0';
    }
    *b = (struct bound){ .on = true,
                         .open = open,
                         .ip = text,
                         .fp = text + n_ip,
                         .n_ip = (uint16_t)n_ip,
                         .n_fp = (uint16_t)n_fp };
    return true;
}

/* Integers only: the next integer inside the bound, closed. up: away from zero. */
static void to_integer(struct bound *b, struct arena *a, bool up)
{
    bool exact = b->n_fp == 0, move = exact ? b->open : up;
    b->n_fp = 0;
    b->open = false;
    if (!move) return;
    char *t = arena_alloc(a, b->n_ip + 2u);
    t[0] = '0';
    memcpy(t + 1, b->ip, b->n_ip);
    int i = b->n_ip;
    if (up) {
        while (t[i] == '9') t[i--] = '0';
        t[i]++;
    } else {
        while (i > 0 && t[i] == '0') t[i--] = '9';
        if (i > 0) t[i]--;                              /* zero stays; the caller has excluded it */
    }
    uint16_t n = (uint16_t)(b->n_ip + 1);
    while (n > 1 && *t == '0') { t++; n--; }
    b->ip = t;
    b->n_ip = n;
}

static int bound_cmp(const struct bound *a, const struct bound *b)
{
    if (a->n_ip != b->n_ip) return a->n_ip < b->n_ip ? -1 : 1;
    int c = memcmp(a->ip, b->ip, a->n_ip);
    if (!c) c = memcmp(a->fp, b->fp, MIN(a->n_fp, b->n_fp));
    return c ? c : (a->n_fp > b->n_fp) - (a->n_fp < b->n_fp);
}

/* Magnitudes of one sign: lo <= |v| <= hi, where lo/hi may be absent (NULL). */
static bool part_prepare(struct num *p, struct num_part *r, struct arena *a, const struct dec *lo,
                         bool lo_open, const struct dec *hi, bool hi_open, bool neg, struct err *e)
{
    *r = (struct num_part){ 0 };
    /* nothing on this side; never only -0 */
    if (hi && (hi->neg || (hi->n == 0 && (hi_open || neg)))) return true;
    if (lo && !lo->neg && (lo->n || lo_open) && !bound_text(&r->lo, a, lo, lo_open, e))
        return false;
    if (hi && !bound_text(&r->hi, a, hi, hi_open, e)) return false;
    if (p->integer && r->lo.on) to_integer(&r->lo, a, true);
    if (p->integer && r->hi.on) to_integer(&r->hi, a, false);
    if (neg && hi && r->hi.n_fp == 0 && r->hi.n_ip == 1 && *r->hi.ip == '0') return true;
    int c = r->lo.on && r->hi.on ? bound_cmp(&r->lo, &r->hi) : -1;
    r->ok = c < 0 || (c == 0 && !r->lo.open && !r->hi.open);
    return true;
}

static bool bounds_prepare(struct num *p, struct arena *a, bool *empty, struct err *e)
{
    struct dec lo = p->lo, hi = p->hi, nlo = p->hi, nhi = p->lo;
    nlo.neg = hi.n ? !hi.neg : false;
    nhi.neg = lo.n ? !lo.neg : false;
    if (!part_prepare(p, &p->part[0], a, p->has_lo ? &lo : NULL, p->lo_open, p->has_hi ? &hi : NULL,
                      p->hi_open, false, e) ||
        !part_prepare(p, &p->part[1], a, p->has_hi ? &nlo : NULL, p->hi_open,
                      p->has_lo ? &nhi : NULL, p->lo_open, true, e))
        return false;
    uint32_t ip = 0, fp = 0;
    for (int s = 0; s < 2; s++) {
        const struct bound *b[2] = { &p->part[s].lo, &p->part[s].hi };
        for (int i = 0; i < 2; i++) {
            ip = MAX(ip, (uint32_t)b[i]->n_ip);
            fp = MAX(fp, (uint32_t)b[i]->n_fp);
        }
    }
    uint32_t cap_int = p->cap_int ? p->cap_int : MOST_DIGIT;
    uint32_t cap_frac = p->cap_frac ? p->cap_frac : MOST_DIGIT;
    p->cap_int = (uint16_t)MAX(cap_int, ip + 1);
    p->cap_frac = (uint16_t)MAX(cap_frac, fp + 2);
    *empty = !p->part[0].ok && !p->part[1].ok;
    return true;
}

static bool in_bounds(const struct num *p, const struct dec *d)
{
    int lo = p->has_lo ? dec_cmp(d, &p->lo) : 1, hi = p->has_hi ? dec_cmp(d, &p->hi) : -1;
    return (lo > 0 || (lo == 0 && !p->lo_open)) && (hi < 0 || (hi == 0 && !p->hi_open));
}

/* Drops what says nothing: excluded values that cannot come up, divisors of every integer. */
static void simplify(struct num *p, struct arena *a)
{
    struct dec *keep = arena_alloc(a, ((size_t)p->n_except + p->n_multiple + 1) * sizeof *keep);
    struct dec one = { .digit = "1", .n = 1, .point = 1 };
    uint32_t n = 0, k = 0;
    for (uint32_t i = 0; i < p->n_except; i++) {
        const struct dec *d = &p->except[i];
        if (in_bounds(p, d) && (!p->integer || dec_is_int(d))) keep[n++] = *d;
    }
    for (uint32_t i = 0; i < p->n_multiple; i++)
        if (!p->integer || p->multiple[i].neg || !dec_multiple(&one, &p->multiple[i]))
            keep[n + k++] = p->multiple[i];
    p->except = keep;
    p->n_except = n;
    p->multiple = keep + n;
    p->n_multiple = k;
}

bool num_prepare(struct num *p, struct arena *a, bool *empty, struct err *e)
{
    simplify(p, a);
    bool plain = !p->fraction && !p->n_multiple && !p->n_other && !p->n_except;
    p->bounded = p->has_lo || p->has_hi || !plain;
    return plain ? bounds_prepare(p, a, empty, e) : exact_prepare(p, a, empty, e);
}

/* ---- whole values ---------------------------------------------------------------------------- */

bool num_fits(const struct num *p, const struct dec *d)
{
    bool ok = in_bounds(p, d) && (!p->integer || dec_is_int(d)) && (!p->fraction || !dec_is_int(d));
    for (uint32_t i = 0; i < p->n_multiple && ok; i++) ok = dec_multiple(d, &p->multiple[i]);
    for (uint32_t i = 0; i < p->n_other && ok; i++) ok = !dec_multiple(d, &p->other[i]);
    for (uint32_t i = 0; i < p->n_except && ok; i++) ok = dec_cmp(d, &p->except[i]) != 0;
    if (!ok || !p->set) return ok;
    for (uint32_t i = 0; i < p->n_set; i++)
        if (dec_cmp(d, &p->set[i]) == 0) return true;
    return false;
}

bool num_accepts(const struct num *p, const char *text, size_t len)
{
    struct arena a;
    arena_init(&a, 4096);
    struct dec d = dec_read(&a, text, len);
    struct num q = *p;
    bool dotted = p->draft4 && memchr(text, '.', len);  /* draft 4: 1.0 is no integer */
    if (dotted) q.fraction = false;
    bool ok = !(dotted && p->integer) && num_fits(&q, &d);
    arena_done(&a);
    return ok;
}
