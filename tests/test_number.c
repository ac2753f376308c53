/* test_number.c -- the number recogniser against arithmetic done another way.
 *
 * With caps of two or three digits every text there is can be tried: the recogniser must take each
 * prefix that some text completes and no other, know the distance to the nearest end and the number
 * of values ahead. Here values are 64-bit counts of 1/10000. At the usual caps random walks and values made
 * to fit must pass; divisibility of long numbers is compared with division by hand, digit by digit. */
#include "grammar/int.h"
#include "test.h"

static uint64_t seed = 1;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* ---- constraints in ten-thousandths ---------------------------------------------------------- */

enum { ONE = 10000, MOST = 4 };
struct rule {
    bool integer, fraction, has_lo, has_hi, lo_open, hi_open;
    int64_t lo, hi, multiple[MOST], other[MOST], except[MOST];
    uint32_t n_multiple, n_other, n_except;
};

static bool fits(const struct rule *r, int64_t v)
{
    bool whole = v % ONE == 0;
    bool ok = !(r->integer && !whole) && !(r->fraction && whole);
    if (r->has_lo) ok &= r->lo_open ? v > r->lo : v >= r->lo;
    if (r->has_hi) ok &= r->hi_open ? v < r->hi : v <= r->hi;
    for (uint32_t i = 0; i < r->n_multiple; i++) ok &= v % r->multiple[i] == 0;
    for (uint32_t i = 0; i < r->n_other; i++) ok &= v % r->other[i] != 0;
    for (uint32_t i = 0; i < r->n_except; i++) ok &= v != r->except[i];
    return ok;
}

static struct dec dec_of(struct arena *a, int64_t v)
{
    uint64_t u = (uint64_t)(v < 0 ? -v : v);
    const char *t = arena_fmt(a, "%s%llu.%04llu", v < 0 ? "-" : "", (unsigned long long)(u / ONE),
                              (unsigned long long)(u % ONE));
    return dec_read(a, t, strlen(t));
}

static struct dec *decs_of(struct arena *a, const int64_t *v, uint32_t n)
{
    struct dec *d = arena_alloc(a, (n + 1) * sizeof *d);
    for (uint32_t i = 0; i < n; i++) d[i] = dec_of(a, v[i]);
    return d;
}

static struct num num_of(struct arena *a, const struct rule *r)
{
    return (struct num){ .integer = r->integer, .fraction = r->fraction,
                         .has_lo = r->has_lo, .has_hi = r->has_hi,
                         .lo_open = r->lo_open, .hi_open = r->hi_open,
                         .lo = dec_of(a, r->lo), .hi = dec_of(a, r->hi),
                         .multiple = decs_of(a, r->multiple, r->n_multiple), .n_multiple = r->n_multiple,
                         .other = decs_of(a, r->other, r->n_other), .n_other = r->n_other,
                         .except = decs_of(a, r->except, r->n_except), .n_except = r->n_except };
}

static const char *rule_text(const struct rule *r)
{
    static char t[1000];
    size_t n = (size_t)snprintf(t, sizeof t, "%s%s %s%g .. %s%g", r->integer ? "integer " : "",
                                r->fraction ? "fraction" : "", r->lo_open ? ">" : "",
                                r->has_lo ? (double)r->lo / ONE : -1e9, r->hi_open ? "<" : "",
                                r->has_hi ? (double)r->hi / ONE : 1e9);
    const int64_t *v[3] = { r->multiple, r->other, r->except };
    uint32_t k[3] = { r->n_multiple, r->n_other, r->n_except };
    for (int s = 0; s < 3; s++)
        for (uint32_t i = 0; i < k[s]; i++)
            n += (size_t)snprintf(t + n, sizeof t - n, " %s %g", (const char *[]){ "of", "not of", "not" }[s],
                                  (double)v[s][i] / ONE);
    return t;
}

static int64_t some_bound(void)
{
    int64_t v = ((int64_t)rnd(21) - 10) * ONE;
    switch (rnd(3)) {
    case 0: return v;
    case 1: return v + (int64_t)rnd(10) * ONE / 10;
    default: return v / 10;
    }
}

static struct rule some_rule(bool exact)
{
    static const int64_t pool[] = { ONE, 2 * ONE, 3 * ONE, 5 * ONE, 7 * ONE, ONE / 2, ONE / 4, 5 * ONE / 2,
                                    ONE / 10, ONE / 100, 3 * ONE / 10, 3 * ONE / 2, 12 * ONE, 7 * ONE / 100 };
    struct rule r = { .integer = rnd(3) == 0, .has_lo = rnd(3) > 0, .has_hi = rnd(3) > 0,
                      .lo_open = rnd(2), .hi_open = rnd(2), .lo = some_bound(), .hi = some_bound() };
    if (r.has_lo && r.has_hi && r.lo > r.hi && rnd(20)) {
        int64_t t = r.lo;
        r.lo = r.hi;
        r.hi = t;
    }
    if (!exact) return r;
    r.fraction = rnd(5) == 0;
    r.n_multiple = rnd(3);
    r.n_other = rnd(3) ? 0 : rnd(3);
    r.n_except = rnd(2) ? 0 : rnd(MOST + 1);
    for (uint32_t i = 0; i < MOST; i++) {
        r.multiple[i] = pool[rnd(LEN(pool))];
        r.other[i] = pool[rnd(LEN(pool))];
        r.except[i] = rnd(2) ? some_bound() : ((int64_t)rnd(7) - 3) * ONE;
    }
    return r;
}

/* ---- every text there is --------------------------------------------------------------------- */

static struct {
    struct rule r;
    struct num p;
    char text[40];
    int64_t *value;
    size_t n, cap;
    uint32_t cap_int, cap_frac, cap_sig, n_text;
} all;

static void value_add(int64_t v)
{
    if (all.n == all.cap)
        all.value = realloc(all.value, (all.cap = all.cap * 2 + 1000) * sizeof *all.value);
    all.value[all.n++] = v;
}

static int i64_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint32_t distinct(size_t from)
{
    size_t n = all.n - from;
    int64_t *v = malloc((n + 1) * sizeof *v);
    memcpy(v, all.value + from, n * sizeof *v);
    qsort(v, n, sizeof *v, i64_cmp);
    uint32_t k = n > 0;
    for (size_t i = 1; i < n; i++) k += v[i] != v[i - 1];
    free(v);
    return k;
}

static void check_count(const struct conf *c, size_t from)
{
    uint32_t want = distinct(from), few = 1 + rnd(5);
    uint32_t have = num_count(&all.p, c, 10000000), some = num_count(&all.p, c, few);
    CHECK(have == want && some == MIN(few, want), "%s: behind \"%s\" are %u values, counted %u and %u of %u",
          rule_text(&all.r), c ? all.text : "", want, have, some, few);
}

/* Syntax and caps, said once more: phase of text[0..n), 0 if it is no prefix of a number. */
static int text_phase(size_t n)
{
    size_t i = all.text[0] == '-', whole = 0, frac = 0, sig = 0;
    if (i == n) return NUM_SIGN;
    for (; i < n && all.text[i] != '.'; i++) { whole++; sig += sig || all.text[i] != '0'; }
    if (whole > 1 && all.text[n > 0 && all.text[0] == '-'] == '0') return 0;
    if (whole == 0 || whole > all.cap_int || sig > all.cap_sig) return 0;
    if (i == n) return NUM_INT;
    if (all.r.integer) return 0;
    for (i++; i < n; i++) {
        if (all.text[i] == '.') return 0;
        frac++;
        sig += sig || all.text[i] != '0';
    }
    return frac > all.cap_frac || sig > all.cap_sig ? 0 : frac ? NUM_FRAC : NUM_DOT;
}

static int64_t text_value(void)
{
    int64_t v = 0, unit = ONE;
    bool frac = false;
    for (const char *t = all.text; *t; t++) {
        if (*t == '.') frac = true;
        if (*t < '0' || *t > '9') continue;
        if (frac) v += (unit /= 10) * (*t - '0');
        else v = v * 10 + (*t - '0') * ONE;
    }
    return all.text[0] == '-' ? -v : v;
}

/* The subtree of text[0..n); c: the recogniser's state, NULL where it refused. Fewest bytes to an end. */
static uint32_t explore(size_t n, const struct conf *c)
{
    static const char bytes[] = "0123456789.-e";
    int phase = text_phase(n);
    uint32_t left = COST_MAX, seen = COST_MAX;
    size_t from = all.n;
    all.n_text++;
    if (!phase) return COST_MAX;
    if (phase == NUM_INT || phase == NUM_FRAC)
        if (fits(&all.r, text_value())) { left = 0; value_add(text_value()); }
    for (const char *b = bytes; *b; b++) {
        struct conf t = c ? *c : (struct conf){ 0 };
        bool in = c && num_step(&all.p, false, &t, (uint8_t)*b);
        if (*b == '-' || *b == 'e') {
            CHECK(!in || !all.p.bounded, "%s: %c after \"%s\"", rule_text(&all.r), *b, all.text);
            continue;
        }
        all.text[n] = *b;
        all.text[n + 1] = 0;
        uint32_t k = explore(n + 1, in ? &t : NULL);
        CHECK(!c || in == (k < COST_MAX), "%s: \"%s\" %s", rule_text(&all.r), all.text,
              in ? "leads nowhere" : "is refused");
        if (in) seen = MIN(seen, num_left(&all.p, &t));
        all.text[n] = 0;
        left = MIN(left, k == COST_MAX ? k : k + 1);
    }
    if (!c) return left;
    uint32_t told = num_left(&all.p, c);
    CHECK(num_may_end(&all.p, c) == (left == 0) && (told == 0) == (left == 0), "%s: \"%s\" may%s end",
          rule_text(&all.r), all.text, left ? " not" : "");
    CHECK(told == left, "%s: \"%s\" ends in %u, told %u",
          rule_text(&all.r), all.text, left, told);
    CHECK(!told || seen < told, "%s: \"%s\": %u left, then at least %u", rule_text(&all.r), all.text, told, seen);
    if (rnd(40) == 0 || n < 2) check_count(c, from);
    return left;
}

/* best: bytes of the shortest text; told: the same, by the recogniser behind the first byte. */
static void explore_sign(bool neg, uint32_t *best, uint32_t *told)
{
    size_t from = all.n;
    struct conf c = { 0 };
    uint32_t left = COST_MAX;
    for (uint8_t b = neg ? '-' : '0'; b == '-' || b <= '9'; b++) {
        bool in = num_first(&all.p, false, &c, b);
        all.text[0] = (char)b;
        all.text[1] = 0;
        uint32_t k = explore(1, in ? &c : NULL);
        if (neg) {                                      /* a minus stands for more than -0 */
            bool real = false;
            for (size_t i = from; i < all.n; i++) real |= all.value[i] != 0;
            if (!real) { k = COST_MAX; all.n = from; }
        }
        CHECK(in == (k < COST_MAX), "%s: \"%c\" first is %s", rule_text(&all.r), b, in ? "accepted" : "refused");
        if (in) *told = MIN(*told, num_left(&all.p, &c));
        left = MIN(left, k == COST_MAX ? k : k + 1);
        if (neg) break;
    }
    *best = MIN(*best, left);
}

/* Does any value fit, on a finer and wider grid than the caps know? */
static bool finer(const struct rule *r)
{
    for (int64_t v = -400 * ONE; v <= 400 * ONE; v += ONE / 1000)
        if (fits(r, v)) return true;
    return false;
}

static void try_rule(bool exact, uint32_t cap_int, uint32_t cap_frac, uint32_t cap_sig)
{
    struct arena a;
    struct err e = { 0 };
    bool empty;
    arena_init(&a, 4096);
    all.r = some_rule(exact);
    all.p = num_of(&a, &all.r);
    all.p.cap_int = (uint16_t)cap_int;
    all.p.cap_frac = (uint16_t)cap_frac;
    all.p.cap_sig = (uint16_t)cap_sig;
    all.n = 0;
    bool ok = num_prepare(&all.p, &a, &empty, &e);
    all.cap_int = all.p.cap_int;
    all.cap_frac = all.p.cap_frac;
    all.cap_sig = all.p.exact ? all.p.cap_sig : 40;
    if (all.cap_frac > 3) goto done;                    /* too many texts, and finer than our units */
    uint32_t best = COST_MAX, told = COST_MAX;
    if (ok) {
        explore_sign(false, &best, &told);
        explore_sign(true, &best, &told);
        CHECK(empty == (best == COST_MAX), "%s: %s", rule_text(&all.r), empty ? "not empty" : "empty");
        CHECK(!empty || !finer(&all.r), "%s: called empty", rule_text(&all.r));
        uint32_t s = num_shortest(&all.p);
        CHECK(empty || s == best, "%s: shortest %u, told %u", rule_text(&all.r),
              best, s);
        CHECK(empty || told < s, "%s: shortest %u, then %u", rule_text(&all.r), s, told);
        check_count(NULL, 0);
    } else if (!strstr(e.msg, "a multipleOf of more")) {
        CHECK(e.code == ERR_UNSUPPORTED, "%s: %s", rule_text(&all.r), e.msg);
        memset(&all.p, 0, sizeof all.p);
        bool any = false;
        for (int64_t v = -9 * ONE; v <= 9 * ONE && !any; v += cap_frac > 1 ? ONE / 100 : ONE / 10)
            any = fits(&all.r, v);
        CHECK(!any, "%s: %s", rule_text(&all.r), e.msg);
    }
done:
    arena_done(&a);
}

TEST(every_text_with_small_caps)
{
    for (int i = 0; i < 600; i++) try_rule(true, 2, 1, 2 + i % 2);
    for (int i = 0; i < 60; i++) try_rule(true, 2, 2, 2 + (uint32_t)i % 3);
    for (int i = 0; i < 20; i++) try_rule(true, 1 + i % 3, 2, 3);
    printf("%u prefixes\n", all.n_text);
}

TEST(every_text_with_plain_bounds)
{
    all.n_text = 0;
    for (int i = 0; i < 40; i++) try_rule(false, 1, 1, 0);
    printf("%u prefixes\n", all.n_text);
}

/* ---- the usual caps -------------------------------------------------------------------------- */

static bool takes(const struct num *p, const char *t)
{
    struct conf c;
    for (size_t i = 0; t[i]; i++)
        if (i ? !num_step(p, false, &c, (uint8_t)t[i]) : !num_first(p, false, &c, (uint8_t)*t)) return false;
    return num_may_end(p, &c);
}

/* lo hi: "" none, ">" or "<" before them: open. multiple, other, except: blank separated. */
struct row {
    const char *why;
    bool integer, fraction;
    const char *lo, *hi, *multiple, *other, *except;
};

static uint32_t list_of(struct arena *a, const char *t, const struct dec **out)
{
    struct dec *d = arena_alloc(a, (strlen(t ? t : "") + 1) * sizeof *d);
    uint32_t n = 0;
    while (t && *t) {
        size_t len = strcspn(t, " ");
        d[n++] = dec_read(a, t, len);
        t += len + (t[len] == ' ');
    }
    *out = d;
    return n;
}

static struct num num_of_row(struct arena *a, const struct row *r)
{
    struct num p = { .integer = r->integer, .fraction = r->fraction };
    if (r->lo && *r->lo) {
        p.has_lo = true;
        p.lo_open = *r->lo == '>';
        p.lo = dec_read(a, r->lo + p.lo_open, strlen(r->lo + p.lo_open));
    }
    if (r->hi && *r->hi) {
        p.has_hi = true;
        p.hi_open = *r->hi == '<';
        p.hi = dec_read(a, r->hi + p.hi_open, strlen(r->hi + p.hi_open));
    }
    p.n_multiple = list_of(a, r->multiple, &p.multiple);
    p.n_other = list_of(a, r->other, &p.other);
    p.n_except = list_of(a, r->except, &p.except);
    return p;
}

static const struct { struct row r; const char *yes, *no; } texts[] = {
    { { "cents", false, false, "0", "", "0.01", "", "" }, "0 0.01 19.99 19.990 123456789012345.67 0.0 -", "0.001 -1 1e2" },
    { { "millionths of a cent", false, false, "", "", "1e-8", "", "" }, "0.00000001 -0.12345678 -0", "0.000000001" },
    { { "two and a half", false, false, "", "", "2.5", "", "" }, "0 2.5 -5 7.50 1000000000000000", "1 2.4 25.1" },
    { { "several", false, false, "", "", "4 6", "", "" }, "12 -24.0 0", "4 6 8" },
    { { "integer and a fraction's multiple", true, false, "", "", "0.75", "", "" }, "3 6 0 -9", "1 2 4" },
    { { "integer and every integer's divisor", true, false, "", "", "0.5", "", "" }, "1 123456789012345678901234", "1.5" },
    { { "no integer", false, true, "", "", "", "", "" }, "0.5 -1.25 12345678901234.5 0.000000000000001", "1 1.0 0 -0.0 3.000" },
    { { "no integer, halves", false, true, "0", "3", "0.5", "", "" }, "0.5 1.5 2.50", "0 1 2.0 3.5" },
    { { "no even number", true, false, "", "", "", "2", "" }, "1 -1 999999999999999999", "0 2 -0 10" },
    { { "all but five", false, false, "0", "10", "", "", "5" }, "5.1 4.999 10 0 50.0e", "5 5.0 5.00 10.1" },
    { { "all but 0", true, false, "0", "3", "", "", "0" }, "1 2 3", "0 -0 4" },
    { { "all but 0 and -0", true, false, "-3", "3", "", "", "-0.0" }, "-1 1", "0 -0" },
    { { "excluded beyond the bounds", true, false, "0", "1e30", "", "", "-5 1.5" }, "1000000000000000000000000000000", "-5 1.5" },
    { { "bounds and all", false, false, ">0", "<1", "0.1", "0.2", "0.5" }, "0.1 0.3 0.7 0.90", "0.5 0.2 0 1 1.1" },
    { { "wide bound", true, false, "-1e400", "1e400", "7", "", "" }, "7 -14 999999999999999999", "1 8" },
    { { "one value left", true, false, "1", "3", "", "", "1 2" }, "3", "1 2 30" },
    { { "exact 18 digits", true, false, "999999999999999990", "", "999999999999999999", "", "" }, "999999999999999999", "9" },
};

TEST(texts_at_the_usual_caps)
{
    for (size_t i = 0; i < LEN(texts); i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty = true;
        arena_init(&a, 4096);
        struct num p = num_of_row(&a, &texts[i].r), raw = p;
        bool ok = num_prepare(&p, &a, &empty, &e);
        CHECK(ok && !empty, "%s: %s", texts[i].r.why, e.msg);
        for (int no = 0; no < 2 && ok; no++)
            for (const char *t = no ? texts[i].no : texts[i].yes; *t; ) {
                char word[64] = { 0 };
                size_t len = strcspn(t, " ");
                memcpy(word, t, len);
                t += len + (t[len] == ' ');
                if (strspn(word, "-0123456789.") != len || !strcmp(word, "-")) continue;
                CHECK(takes(&p, word) == !no, "%s: %s", texts[i].r.why, word);
                if (p.exact) CHECK(num_accepts(&raw, word, len) == !no, "%s: %s, validating", texts[i].r.why, word);
            }
        arena_done(&a);
    }
}

/* NULL: not empty; "": empty; else a part of the error. */
static const struct { struct row r; const char *want; } verdicts[] = {
    { { "7 in 3..5", true, false, "3", "5", "7", "", "" }, "" },
    { { "7 in 3..7", true, false, "3", "7", "7", "", "" }, NULL },
    { { "integer and not", true, true, "", "", "", "", "" }, "" },
    { { "no integer, but multiple of 3", false, true, "", "", "3", "", "" }, "" },
    { { "4 and not 2", false, false, "", "", "4", "2", "" }, "" },
    { { "4 and not 8", false, false, "", "", "4", "8", "" }, NULL },
    { { "only 0, excluded", false, false, "0", "0", "", "", "0" }, "" },
    { { "one point, excluded", false, false, "1.5", "1.5", "", "", "1.50" }, "" },
    { { "one long point", false, false, "0.1234567890123456789012", "0.1234567890123456789012", "", "1", "" }, "digits" },
    { { "one long point, no multiple", false, false, "0.1234567890123456789012", "0.1234567890123456789012", "0.1", "", "" }, "" },
    { { "open interval of nothing", false, true, ">2", "2", "", "", "" }, "" },
    { { "narrow interval", false, true, "0.00000000000000000001", "0.00000000000000000002", "", "", "" }, "digits" },
    { { "narrow interval without multiple", false, false, "0.00000000000000000001", "0.00000000000000000002", "1", "", "" }, "" },
    { { "above all digits", true, false, "1e30", "", "7", "", "" }, "digits" },
    { { "far multiple", true, false, "1", "", "999999999999999999 999999999999999998", "", "" }, "digits" },
    { { "far multiple, or 0", true, false, "", "", "999999999999999999 999999999999999998", "", "" }, NULL },
    { { "far multiple, bounded", true, false, "1", "1000", "999999999999999999 999999999999999998", "", "" }, "" },
    { { "tiny multiple", false, false, "", "", "1e-300", "", "" }, "multipleOf" },
    { { "huge multiple", false, false, "", "", "1e999999999", "", "" }, "multipleOf" },
    { { "zero multiple", false, false, "", "", "0", "", "" }, "above 0" },
    { { "negative multiple", true, false, "", "", "-1", "", "" }, "above 0" },
    { { "bound 1e999999999 beside a multiple", true, false, "", "1e999999999", "3", "", "" }, NULL },
    { { "bound 1e-999999999 beside a multiple", false, false, "1e-999999999", "", "3", "", "" }, NULL },
    { { "only -0", true, false, "-0.5", "<0", "", "", "" }, "" },
    { { "primes to 53", true, false, "1", "40", "", "2 3 5 7 11 13 17 19 23 29 31 37", "" }, NULL },
    { { "primes, from 2", true, false, "2", "40", "", "2 3 5 7 11 13 17 19 23 29 31 37", "" }, "" },
    { { "sixteen primes", true, false, "2", "", "", "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53", "" }, NULL },
    { { "seventeen primes", true, false, "2", "", "", "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59", "" }, "16 others" },
    { { "many others, the last says it", true, false, "", "", "", "4 6 10 14 22 26 34 38 46 58 62 74 82 86 94 106 2", "" }, NULL },
    { { "21 digits", false, false, "123456789012345.0000005", "123456789012345.0000015", "0.000001", "", "" }, "digits" },
    { { "21 digits, none", false, false, "123456789012345.0000005", "123456789012345.0000008", "0.000001", "", "" }, "" },
    { { "many others, one that says it", true, false, "", "", "", "2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36", "" }, NULL },
};

TEST(empty_is_exact)
{
    for (size_t i = 0; i < LEN(verdicts); i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty = false;
        arena_init(&a, 4096);
        struct num p = num_of_row(&a, &verdicts[i].r);
        bool ok = num_prepare(&p, &a, &empty, &e);
        const char *want = verdicts[i].want;
        CHECK(want && *want ? !ok && strstr(e.msg, want) : ok && empty == (want != NULL), "%s: %s",
              verdicts[i].r.why, ok ? empty ? "empty" : "not empty" : e.msg);
        if (ok && !empty) CHECK(num_shortest(&p) < 40, "%s: shortest %u", verdicts[i].r.why, num_shortest(&p));
        arena_done(&a);
    }
}

/* Random bytes that are allowed, steered to an end now and then; every end is right. */
static void wander(const struct num *p, const struct num *raw, const char *why)
{
    static const char bytes[] = "-0123456789.eE+";
    char text[1200];
    size_t n = 0;
    struct conf c = { 0 };
    uint32_t left = num_shortest(p), patience = rnd(40);
    while (n + 1 < sizeof text && !(n && left == 0 && n >= patience)) {
        struct conf to[16];
        uint32_t k = 0, best = COST_MAX, at = 0;
        char by[16];
        for (const char *b = bytes; *b; b++) {
            to[k] = c;
            if (n ? !num_step(p, false, &to[k], (uint8_t)*b) : !num_first(p, false, &to[k], (uint8_t)*b)) continue;
            uint32_t l = num_left(p, &to[k]);
            if (l < best) { best = l; at = k; }
            by[k++] = *b;
        }
        if (!k && left == 0) break;
        CHECK(left == 0 || best < left, "%s: %.*s: %u left, best %u", why, (int)n, text, left, best);
        CHECK(left > 0 || num_count(p, &c, 1) == 1, "%s: %.*s: counts nothing", why, (int)n, text);
        if (!k) return;
        if (n < patience) at = rnd(k);
        c = to[at];
        text[n++] = by[at];
        left = num_left(p, &c);
    }
    CHECK(num_accepts(raw, text, n), "%s: %.*s", why, (int)n, text);
}

TEST(walks_end_well)
{
    for (size_t i = 0; i < LEN(texts) + LEN(verdicts); i++) {
        const struct row *r = i < LEN(texts) ? &texts[i].r : &verdicts[i - LEN(texts)].r;
        struct arena a;
        struct err e = { 0 };
        bool empty = true;
        arena_init(&a, 4096);
        struct num p = num_of_row(&a, r), raw = p;
        if (num_prepare(&p, &a, &empty, &e) && !empty)
            for (int k = 0; k < 60; k++) wander(&p, &raw, r->why);
        arena_done(&a);
    }
    for (int i = 0; i < 300; i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty = true;
        arena_init(&a, 4096);
        struct rule r = some_rule(i % 4 != 0);
        struct num p = num_of(&a, &r), raw = p;
        if (num_prepare(&p, &a, &empty, &e) && !empty)
            for (int k = 0; k < 10; k++) wander(&p, &raw, rule_text(&r));
        CHECK(empty || e.code == ERR_NONE, "%s: %s", rule_text(&r), e.msg);
        for (int k = 0; k < 40; k++) {                  /* a value that fits can be written, and no other */
            int64_t v = (((int64_t)rnd(40000) - 20000) * 100) / (k % 2 ? 1 : 100);
            uint64_t u = (uint64_t)(v < 0 ? -v : v);
            char t[40];
            snprintf(t, sizeof t, r.integer && u % ONE == 0 ? "%s%llu" : "%s%llu.%04llu", v < 0 ? "-" : "",
                     (unsigned long long)(u / ONE), (unsigned long long)(u % ONE));
            CHECK(takes(&p, t) == (fits(&r, v) && !empty), "%s: %s", rule_text(&r), t);
            CHECK(num_accepts(&raw, t, strlen(t)) == fits(&r, v), "%s: %s, validating", rule_text(&r), t);
            size_t len = strlen(t);
            snprintf(t + len, sizeof t - len, "e%s", k % 3 ? "0" : "+00");
            CHECK(num_accepts(&raw, t, strlen(t)) == fits(&r, v), "%s: %s, validating", rule_text(&r), t);
        }
        arena_done(&a);
    }
}

TEST(bounds_of_a_thousand_digits)
{
    static char nines[1003], tail[1003];
    memset(nines, '9', 1000);
    memset(tail, '9', 1002);
    memcpy(tail, "0.", 2);
    const struct row rows[] = {
        { "integer above", true, false, "1e999", "", "", "", "" },
        { "integer between", true, false, "1e999", nines, "", "", "" },
        { "integer, one", true, false, nines, nines, "", "", "" },
        { "negative", false, false, "", "<-1e999", "", "", "" },
        { "just below 1", false, false, tail, "<1", "", "", "" },
        { "above all nines", false, false, tail, "", "", "", "" },
        { "tiny", false, false, ">0", "1e-998", "", "", "" },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty = true;
        arena_init(&a, 4096);
        struct num p = num_of_row(&a, &rows[i]), raw = p;
        CHECK(num_prepare(&p, &a, &empty, &e) && !empty, "%s: %s", rows[i].why, e.msg);
        for (int k = 0; k < 3; k++) wander(&p, &raw, rows[i].why);
        arena_done(&a);
    }
}

/* 15 digits, any place of the point: a multiple of the step, made by hand, can be written. */
TEST(fifteen_digits_can_be_written)
{
    static const struct { const char *multiple; uint64_t unit; int frac; } rows[] = {
        { "0.01", 1, 2 }, { "2.5", 25, 1 }, { "1e-8", 1, 8 }, { "0.000000000003", 3, 12 }, { "7", 7, 0 },
        { "0.0123456", 123456, 7 }, { "0.1 0.25", 5, 1 } };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty;
        arena_init(&a, 4096);
        struct row r = { .multiple = rows[i].multiple };
        struct num p = num_of_row(&a, &r);
        CHECK(num_prepare(&p, &a, &empty, &e) && !empty, "%s", e.msg);
        for (int k = 0; k < 300; k++) {
            uint64_t most = 999999999999999 / rows[i].unit;
            uint64_t v = (((uint64_t)rnd(1u << 31) << 20 | rnd(1 << 20)) % most >> rnd(40)) * rows[i].unit;
            uint64_t ten = 1;
            for (int j = 0; j < rows[i].frac; j++) ten *= 10;
            char t[64];
            int n = snprintf(t, sizeof t, "%s%llu", rnd(2) ? "-" : "", (unsigned long long)(v / ten));
            if (rows[i].frac)
                snprintf(t + n, sizeof t - (size_t)n, ".%0*llu%s", rows[i].frac, (unsigned long long)(v % ten),
                         rnd(2) ? "0" : "");
            CHECK(takes(&p, t), "%s: %s", rows[i].multiple, t);
        }
        arena_done(&a);
    }
}

TEST(counts)
{
    static const struct { struct row r; const char *behind; uint32_t cap, want; } rows[] = {
        { { "one", true, false, "5", "5", "", "", "" }, "", 10, 1 },
        { { "one point", false, false, "5", "5", "", "", "" }, "5.0", 10, 1 },
        { { "-1 0 1", true, false, "-1", "1", "", "", "" }, "", 10, 3 },
        { { "-1 0 1, two asked", true, false, "-1", "1", "", "", "" }, "", 2, 2 },
        { { "behind 1", true, false, "0", "100", "", "", "" }, "1", 100, 12 },
        { { "behind -", true, false, "-20", "100", "", "", "" }, "-", 100, 21 },
        { { "all of 0..100", true, false, "0", "100", "", "", "" }, "", 1000, 101 },
        { { "sevens", true, false, "0", "100", "7", "", "" }, "", 1000, 15 },
        { { "sevens behind 9", true, false, "0", "100", "7", "", "" }, "9", 1000, 2 },
        { { "odd", true, false, "-10", "10", "", "2", "" }, "", 1000, 10 },
        { { "odd, not 3", true, false, "-10", "10", "", "2", "3 4" }, "", 1000, 9 },
        { { "halves", false, true, "0", "3", "0.5", "", "" }, "", 1000, 3 },
        { { "any number", false, false, "", "", "", "", "" }, "", 5000, 5000 },
        { { "any number, dot", false, false, "", "", "", "", "" }, "5.", 5000, 5000 },
        { { "zero's exponents", false, false, "", "", "", "", "" }, "0.0e", 50, 1 },
        { { "exponents", false, false, "", "", "", "", "" }, "10e", 5000, 1099 },
        { { "last digit of an exponent", false, false, "", "", "", "", "" }, "1e-99", 50, 10 },
        { { "wide", true, false, "1e999", "", "", "", "" }, "", 1000, 1000 },
        { { "wide, exact", true, false, "", "", "3", "", "" }, "", 65536, 65536 },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct arena a;
        struct err e = { 0 };
        bool empty;
        arena_init(&a, 4096);
        struct num p = num_of_row(&a, &rows[i].r);
        CHECK(num_prepare(&p, &a, &empty, &e), "%s", e.msg);
        struct conf c = { 0 };
        const char *t = rows[i].behind;
        for (size_t k = 0; t[k]; k++)
            CHECK(k ? num_step(&p, false, &c, (uint8_t)t[k]) : num_first(&p, false, &c, (uint8_t)*t), "%s", t);
        uint32_t n = num_count(&p, *t ? &c : NULL, rows[i].cap);
        CHECK(n == rows[i].want, "%s: %u", rows[i].r.why, n);
        arena_done(&a);
    }
}

/* ---- divisibility ---------------------------------------------------------------------------- */

/* r = (r x 10 + d) mod b, on decimal texts of equal length, by subtraction. */
static void push_digit(char *r, const char *b, size_t n, char d)
{
    memmove(r, r + 1, n);
    r[n] = d;
    while (memcmp(r, b, n + 1) >= 0)
        for (size_t i = n + 1, take = 0; i-- > 0; ) {
            int x = r[i] - b[i] - (int)take;
            take = x < 0;
            r[i] = (char)('0' + (x < 0 ? x + 10 : x));
        }
}

static bool divides_slowly(const char *b, const char *a, uint32_t zeros)
{
    size_t n = strlen(b);
    char *r = malloc(2 * (n + 2)), *pad = r + n + 2;
    memset(r, '0', n + 1);
    snprintf(pad, n + 2, "0%s", b);
    for (; *a; a++) push_digit(r, pad, n, *a);
    while (zeros--) push_digit(r, pad, n, '0');
    bool ok = strspn(r, "0") >= n + 1;
    free(r);
    return ok;
}

static void random_digits(char *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (char)('0' + (rnd(4) ? rnd(10) : rnd(2) * 9));
    out[0] = out[0] == '0' ? '1' : out[0];
    out[n] = 0;
}

static void multiply(char *a, uint32_t by)              /* room for ten digits more */
{
    size_t n = strlen(a);
    uint64_t carry = 0;
    for (size_t i = n; i-- > 0; carry /= 10) {
        carry += (uint64_t)(a[i] - '0') * by;
        a[i] = (char)('0' + carry % 10);
    }
    for (; carry; carry /= 10) {
        memmove(a + 1, a, ++n);
        a[0] = (char)('0' + carry % 10);
    }
}

TEST(divisibility_of_long_numbers)
{
    int yes = 0;
    for (int i = 0; i < 6000; i++) {
        char a[400], b[200], text[900];
        random_digits(b, 1 + rnd(i % 3 ? 12 : 60));
        if (rnd(3)) {                                   /* a multiple, perhaps spoilt */
            strcpy(a, b);
            for (uint32_t k = rnd(8); k > 0; k--) multiply(a, 1 + rnd(1u << 30));
            if (rnd(3) == 0) a[rnd((uint32_t)strlen(a))] = '7';
        } else random_digits(a, 1 + rnd(120));
        for (uint32_t k = rnd(3) ? 0 : rnd(60); k > 0 && strlen(b) < 150; k--) multiply(b, i % 2 ? 5 : 2);
        uint32_t zeros = rnd(2) ? 0 : rnd(80);
        struct arena m;
        arena_init(&m, 4096);
        snprintf(text, sizeof text, "%se%u", a, zeros + 7);
        struct dec x = dec_read(&m, text, strlen(text));
        snprintf(text, sizeof text, "%se7", b);
        struct dec y = dec_read(&m, text, strlen(text));
        bool want = divides_slowly(b, a, zeros);
        yes += want;
        CHECK(dec_multiple(&x, &y) == want, "%s e%u by %s", a, zeros, b);
        arena_done(&m);
    }
    CHECK(yes > 1000 && yes < 5000, "%d of 6000 divide", yes);
}

TEST(divisibility_far_apart)
{
    static const struct { const char *a, *b; bool ok; } rows[] = {
        { "1e308", "0.123456789", false }, { "1e308", "0.125", true }, { "1e308", "1e-300", true },
        { "1e999999999", "3", false }, { "3e999999999", "3", true }, { "1e999999999", "1024", true },
        { "1e-999999999", "1", false }, { "0", "1e400", true }, { "1e400", "1e400", true }, { "1e400", "1e401", false },
        { "0.0075", "0.0001", true }, { "0.00751", "0.0001", false }, { "4.35", "0.01", true }, { "1.1e1", "2.2", true },
        { "12391239123", "1e-8", true }, { "-4", "2", true }, { "123456789012345678901234567890", "10", true },
        { "499999999500000000000000000000000000499999999999999998000000003", "500000000000000000000000001", true },  /* a digit of the quotient guessed too large */
        { "1000000000000000000000000000000000000000001", "1000000000000000000000000000000000000000001", true },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct arena m;
        arena_init(&m, 4096);
        struct dec x = dec_read(&m, rows[i].a, strlen(rows[i].a)), y = dec_read(&m, rows[i].b, strlen(rows[i].b));
        CHECK(dec_multiple(&x, &y) == rows[i].ok, "%s by %s", rows[i].a, rows[i].b);
        arena_done(&m);
    }
    char *big = malloc(20001);                          /* hostile, and still quick */
    random_digits(big, 20000);
    struct arena m;
    arena_init(&m, 4096);
    struct dec x = dec_read(&m, big, 20000), y = dec_read(&m, big, 9999);
    dec_multiple(&x, &y);
    CHECK(dec_multiple(&x, &x), "itself");
    arena_done(&m);
    free(big);
}

TEST(validating_judges_the_value)
{
    struct arena a;
    arena_init(&a, 4096);
    struct row r = { .fraction = true };
    struct num p = num_of_row(&a, &r);
    CHECK(num_accepts(&p, "1.5", 3) && !num_accepts(&p, "1.0", 3) && !num_accepts(&p, "15e-1e", 1), "no integer");
    CHECK(num_accepts(&p, "15e-1", 5) && !num_accepts(&p, "1.5e1", 5), "no integer, exponents");
    p.draft4 = true;
    CHECK(num_accepts(&p, "1.0", 3) && !num_accepts(&p, "1", 1), "draft 4: 1.0 is no integer");
    struct num any = { 0 };
    CHECK(num_is_any(&any) && !num_is_any(&p), "any");
    arena_done(&a);
}

TEST_MAIN
