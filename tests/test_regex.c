/* test_regex.c -- patterns against their meaning: tables, PCRE2 and counting by hand on small alphabets. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "grammar/regex.h"
#include "test.h"

static struct dfa *open_one(enum re_kind kind, bool negate, const char *p, struct err *e)
{
    struct re_part part = { kind, negate, p, strlen(p) };
    memset(e, 0, sizeof *e);
    return dfa_open(&part, 1, e);
}

static const struct { const char *pattern, *text; bool match; } rows[] = {
    { "foo", "xfooy", true }, { "foo", "fo", false }, { "", "", true }, { "", "anything", true },
    { "^a|b$", "ax", true }, { "^a|b$", "xb", true }, { "^a|b$", "xa", false }, { "^(a|b)$", "ab", false },
    { "a^b", "ab", false }, { "a$b", "ab", false }, { "(^a|x)b", "ab", true }, { "(^a|x)b", "yab", false },
    { "^$", "", true }, { "^$", "a", false }, { "$^", "", true }, { "(a|^)*b$", "aab", true }, { "^(a|$)+$", "aa", true },
    { "^.$", "\xC3\xA9", true }, { "^.$", "\xF0\x9F\x98\x80", true }, { "^.$", "\n", false }, { "^.$", "\xE2\x80\xA8", false },
    { "^[^]$", "\n", true }, { "[]", "a", false }, { "^[^a]$", "\n", true }, { "^[^a]$", "\xC3\xA9", true }, { "^[^\\u00e9]$", "\xC3\xA9", false },
    { "^\\d+$", "0123", true }, { "^\\d$", "\xD9\xA1", false }, { "^\\w+$", "aZ_9", true }, { "^\\w$", "\xC3\xA9", false },
    { "^\\s$", "\xEF\xBB\xBF", true }, { "^\\s$", "\xE3\x80\x80", true }, { "^\\S$", "\xC2\xA0", false }, { "^[\\D]$", "5", false },
    { "^[\\W]$", "\xC3\xA9", true }, { "^[\\S\\s]$", "\n", true }, { "^\\D\\W$", "a-", true },
    { "^\\cA\\x41\\u0042\\u{43}$", "\x01" "ABC", true }, { "^\\uD83D\\uDE00$", "\xF0\x9F\x98\x80", true }, { "^[\\uD83D\\uDE00]$", "\xF0\x9F\x98\x80", true },
    { "\\uD83D", "\xF0\x9F\x98\x80", false }, { "^[\\b]$", "\b", true }, { "^\\t\\n\\v\\f\\r$", "\t\n\v\f\r", true },
    { "^\\p{Lu}$", "\xC3\x89", true }, { "^\\p{Lu}$", "\xC3\xA9", false }, { "^\\P{Lu}$", "\xC3\xA9", true }, { "^\\p{Letter}+$", "a\xC3\xA9", true },
    { "^\\p{Script=Greek}$", "\xCE\xB1", true }, { "^\\p{sc=Greek}$", "a", false }, { "^\\p{gc=Decimal_Number}$", "\xD9\xA1", true },
    { "^\\p{Any}$", "\n", true }, { "^\\p{ASCII}$", "\xC3\xA9", false }, { "^\\p{Alphabetic}$", "\xC3\xA9", true }, { "^[\\p{L}\\d]+$", "\xC3\xA9" "5", true },
    { "^\\p{White_Space}$", " ", true }, { "^\\p{L}\\p{M}*$", "e\xCC\x81", true },
    { "^a{2,3}$", "aa", true }, { "^a{2,3}$", "aaaa", false }, { "^a{2,}$", "aaaaa", true }, { "^a{0}$", "", true }, { "^(ab){2}$", "abab", true },
    { "^(ab?){2,3}$", "aab", true }, { "^(a|ab)(c|bcd)$", "abcd", true }, { "^a*?b+?c??$", "aabb", true }, { "^(a{2}){2}$", "aaa", false },
    { "^(a{2,3}){2}$", "aaaaa", true }, { "^(a{2}){1,3}$", "aaa", false }, { "^(?:(?<n>x)y)+$", "xyxy", true },
    { "^{$", "{", true }, { "^a{,2}$", "a{,2}", true }, { "^}]$", "}]", true }, { "^\\_\\@\\ \\:\\-\\/$", "_@ :-/", true }, { "^[\\w-.]+$", "a-.", true },
    { "^(?=a).b$", "ab", true }, { "^(?=a).b$", "bb", false }, { "^(?!foo).*$", "foobar", false }, { "^(?!foo).*$", "fo", true },
    { "^(?!foo$).*$", "foobar", true }, { "^((?!foo).)*$", "xfoox", false }, { "^((?!foo).)*$", "xfofox", true }, { "(?!a)", "a", true },
    { "^(?!.*\\.$)[a-z.]+$", "a.b", true }, { "^(?!.*\\.$)[a-z.]+$", "a.", false }, { "^(?=.*\\d)(?=.*[a-z]).{4,8}$", "ab1d", true },
    { "^(?=.*\\d)(?=.*[a-z]).{4,8}$", "abcd", false }, { "(?=ab)a(?!c)", "ab", true }, { "a(?=b(?!c))", "abc", false }, { "(?!$)(?!\\u00e9)", "\xC3\xA9", false },
    { "^(?:(?=a)a){3}$", "aaa", true }, { "^(?!a*$)a*b?$", "aab", true }, { "^(?!a*$)a*b?$", "aaa", false },
    { "\\bcat\\b", "a cat!", true }, { "\\bcat\\b", "concat", false }, { "\\Bcat", "concat", true }, { "\\Bcat", "cat", false }, { "^\\b$", "", false }, { "^\\B$", "", true },
    { "^(\\b\\w+\\b\\W*)+$", "ab cd", true }, { "x\\b", "x\xC3\xA9", true }, { "^(\\w+\\b,?)*$", "a,b", true },
    { "(?<=a)b", "ab", true }, { "(?<=a)b", "b", false }, { "(?<!a)b", "b", true }, { "(?<!a)b", "ab", false }, { "^\\w+(?<!-)$", "abc", true },
    { "^[\\w-]+(?<!-)$", "a-", false }, { "^[\\w-]+(?<!-)$", "a-b", true }, { "^(a|b(?<!c))+$", "abab", true },
    { "(?<=ab)c", "xabc", true }, { "(?<=ab)c", "xac", false }, { "(?<!ab)c", "abc", false }, { "(?<!ab)c", "abcc", true }, { "(?<!ab)c", "c", true },
    { "(?<=a*)b", "b", true }, { "(?<=^ab)c", "abc", true }, { "(?<=^ab)c", "xabc", false }, { "x|(?<=ab)c$", "abc", true }, { "(?<=a|b)c", "bc", true },
    { "(?<=ab)", "abc", true }, { "(?<!\\u00e9.)\\u00e9", "\xC3\xA9x\xC3\xA9", true }, { "(?<!^|a)b", "b", false }, { "(?<=ab)\\bc", "ab", false },
};

TEST(pattern_means_what_ecma_says)
{
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e;
        struct dfa *d = open_one(RE_PATTERN, false, rows[i].pattern, &e), *n = open_one(RE_PATTERN, true, rows[i].pattern, &e);
        CHECK(d && n, "%s: %s", rows[i].pattern, e.msg);
        if (!d || !n) continue;
        size_t len = strlen(rows[i].text);
        CHECK(dfa_match(d, rows[i].text, len) == rows[i].match, "%s on %s", rows[i].pattern, rows[i].text);
        CHECK(dfa_match(n, rows[i].text, len) != rows[i].match, "not %s on %s", rows[i].pattern, rows[i].text);
        CHECK(pattern_check(rows[i].pattern, strlen(rows[i].pattern), &e), "%s", rows[i].pattern);
        dfa_close(d);
        dfa_close(n);
    }
}

static const struct { const char *pattern; enum err_code code; const char *begins; } wrong[] = {
    { "a(b", ERR_SCHEMA, "byte 1: a group that does not end" }, { "a)", ERR_SCHEMA, "byte 1" }, { "[a", ERR_SCHEMA, "byte 0" }, { "*a", ERR_SCHEMA, "byte 0" },
    { "a**", ERR_SCHEMA, "byte 2" }, { "a{2,1}", ERR_SCHEMA, "byte 1" }, { "[b-a]", ERR_SCHEMA, "byte 1" }, { "\\", ERR_SCHEMA, "byte 0" }, { "\\u12", ERR_SCHEMA, "byte 0" },
    { "\\xZ", ERR_SCHEMA, "byte 0" }, { "\\p{Nope}", ERR_SCHEMA, "byte 0" }, { "\\Z", ERR_SCHEMA, "byte 0" }, { "^*", ERR_SCHEMA, "byte 1" }, { "(?P<a>b)", ERR_SCHEMA, "byte 0" },
    { "\xFF", ERR_SCHEMA, "byte 0" }, { "(a)\\1", ERR_UNSUPPORTED, "byte 3" }, { "(?<x>a)\\k<x>", ERR_UNSUPPORTED, "byte 7" }, { "(?i)a", ERR_UNSUPPORTED, "byte 0" },
    { "a(?<=ba)", ERR_UNSUPPORTED, "" }, { "a{2000000000}", ERR_LIMIT, "byte 1" },
};

TEST(a_bad_pattern_is_refused_with_its_place)
{
    for (size_t i = 0; i < LEN(wrong); i++) {
        struct err e;
        struct dfa *d = open_one(RE_PATTERN, false, wrong[i].pattern, &e);
        CHECK(!d && e.code == wrong[i].code && !strncmp(e.msg, wrong[i].begins, strlen(wrong[i].begins)), "%s: %s", wrong[i].pattern, e.msg);
        dfa_close(d);
    }
}

/* ---- generated patterns against PCRE2 --------------------------------------------------------------- */

static void grow(struct rng *r, struct str *out, int depth)
{
    static const char *const atom[] = { "a", "b", "c", ".", "[ab]", "[^a]", "\\w", "\xC3\xA9", "^", "$", "\\b", "\\B", "(?<=a)", "(?<!b)", "(?<=[ab])" };
    uint32_t pick = rng_below(r, depth > 0 ? 12 : 4);
    if (pick < 4) str_puts(out, atom[rng_below(r, rng_below(r, 4) ? 8 : LEN(atom))]);
    else if (pick < 7) { grow(r, out, depth - 1); grow(r, out, depth - 1); }
    else if (pick < 8) { str_puts(out, "(?:"); grow(r, out, depth - 1); str_putc(out, '|'); grow(r, out, depth - 1); str_putc(out, ')'); }
    else if (pick < 11) {
        static const char *const times[] = { "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}" };
        str_puts(out, "(?:");
        grow(r, out, depth - 1);
        str_puts(out, ")");
        str_puts(out, times[rng_below(r, LEN(times))]);
    } else { str_puts(out, rng_below(r, 2) ? "(?=" : "(?!"); grow(r, out, depth - 1); str_putc(out, ')'); }
}

static void some_text(struct rng *r, char *out, size_t *len)
{
    static const char *const piece[] = { "a", "b", "c", " ", "\xC3\xA9", "a" };
    *len = 0;
    for (uint32_t n = rng_below(r, 7); n; n--) {
        const char *p = piece[rng_below(r, LEN(piece))];
        memcpy(out + *len, p, strlen(p));
        *len += strlen(p);
    }
}

/* From every state that is met, acceptance is in reach: follow the shortest. */
static bool reaches(struct dfa *d, uint32_t state)
{
    for (int k = 0; k < 200 && !dfa_accepts(d, state); k++) {
        uint32_t best = 0;
        for (int b = 0; b < 256; b++) {
            uint32_t to = dfa_step(d, dfa_classes(d), state, (uint8_t)b);
            if (to && (!best || dfa_lens(d, to)->shortest < dfa_lens(d, best)->shortest)) best = to;
        }
        if (!best) return false;
        state = best;
    }
    return dfa_accepts(d, state);
}

TEST(generated_patterns_agree_with_pcre2)
{
    pcre2_match_data *m = pcre2_match_data_create(10, NULL);
    int pairs = 0, opened = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        struct rng r = rng_make(11, 1, i);
        struct str p = { 0 };
        struct err e;
        int code;
        size_t off;
        grow(&r, &p, 5);
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)p.p, p.len, PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UCP, &code, &off, NULL);
        struct dfa *d = open_one(RE_PATTERN, false, p.p, &e);
        opened += d != NULL;
        CHECK(d || e.code == ERR_LIMIT || e.code == ERR_SCHEMA, "%s: %s", p.p, e.msg);
        for (int k = 0; re && d && k < 30; k++) {
            char text[64];
            size_t len;
            some_text(&r, text, &len);
            int n = pcre2_match(re, (PCRE2_SPTR)text, len, 0, 0, m, NULL);
            if (n < 0 && n != PCRE2_ERROR_NOMATCH) continue;
            bool got = dfa_match(d, text, len);
            CHECK(got == (n >= 0), "%s on \"%.*s\": %d", p.p, (int)len, text, got);
            pairs++;
        }
        for (uint32_t s = 1; d && !dfa_empty(d) && s < dfa_n_state(d) && s < 20; s++) CHECK(reaches(d, s), "%s: state %u", p.p, s);
        dfa_close(d);
        if (re) pcre2_code_free(re);
        str_done(&p);
    }
    CHECK(pairs > 60000 && opened > 3500, "%d pairs, %d opened", pairs, opened);
    pcre2_match_data_free(m);
}

/* ---- lengths and counts, by trying all texts over a small alphabet ------------------------------------- */

static const char *const small[] = {
    "^a?b?$", "^(ab)*$", "^(aab|b){1,2}$", "^a{2,4}$", "^(?!ab)[ab]{0,3}$", "^(?=.*b)[ab]{1,4}$", "^(aa|bbb){0,2}$", "^(?!(aa)*$)a{0,5}$", "^[ab]{3}$",
    "^(\"|a){1,3}$", "^(?!a)(?!b)[ab]$", "^\xC3\xA9?a$", "^((?!bb)[ab]){0,4}$", "^(a\\b|b){0,3}$", "^(a{3}){0,2}b?$",
};
enum { LONGEST = 7 };

TEST(lengths_and_counts_are_those_of_all_texts)
{
    static const char *const letter[] = { "a", "b", "\"", "\xC3\xA9" };
    for (size_t i = 0; i < LEN(small); i++) {
        struct err e;
        struct dfa *d = open_one(RE_PATTERN, false, small[i], &e);
        uint32_t count[LONGEST + 1] = { 0 }, cost[LONGEST + 1], all = 0;
        CHECK(d, "%s: %s", small[i], e.msg);
        if (!d) continue;
        memset(cost, 0xFF, sizeof cost);
        for (uint32_t len = 0, n = 1; len <= LONGEST; len++, n *= LEN(letter))
            for (uint32_t v = 0; v < n; v++) {
                char text[32] = "";
                uint32_t x = v, c = 0;
                for (uint32_t k = 0; k < len; k++, x /= LEN(letter)) {
                    strcat(text, letter[x % LEN(letter)]);
                    c += x % LEN(letter) > 1 ? 2 : 1;
                }
                if (!dfa_match(d, text, strlen(text))) continue;
                count[len]++;
                all++;
                cost[len] = MIN(cost[len], c);
            }
        const struct dfa_lens *st = dfa_lens(d, DFA_START);
        uint32_t first = 0, last = LONGEST, least = UINT32_MAX;
        while (first <= LONGEST && !count[first]) first++;
        while (last > 0 && !count[last]) last--;
        bool endless = dfa_count(d, DFA_START, 100000) == 100000;
        CHECK(dfa_empty(d) == (all == 0), "%s: empty", small[i]);
        for (uint32_t lo = 0; lo <= LONGEST; lo++)
            for (uint32_t hi = lo; hi <= LONGEST; hi++) {
                uint32_t n = 0, best = UINT32_MAX;
                for (uint32_t k = lo; k <= hi; k++) n += count[k], best = MIN(best, cost[k]);
                least = MIN(least, best);
                CHECK(dfa_fits(d, DFA_START, lo, hi) == (n > 0), "%s: fits %u to %u", small[i], lo, hi);
                CHECK(dfa_shortest(d, DFA_START, lo, hi) == best, "%s: shortest of %u to %u: %u, not %u", small[i], lo, hi, dfa_shortest(d, DFA_START, lo, hi), best);
            }
        if (all) {
            CHECK(st->min == first && st->shortest == least, "%s: min_len %u shortest %u", small[i], st->min, st->shortest);
            CHECK(endless ? st->max == UINT32_MAX : st->max == last, "%s: max_len %u", small[i], st->max);
            for (uint32_t k = first; st->every && k <= last; k++) CHECK(count[k], "%s: no text of %u", small[i], k);
        }
        if (!endless) CHECK(dfa_count(d, DFA_START, 100000) == all, "%s: count %u, not %u", small[i], dfa_count(d, DFA_START, 100000), all);
        dfa_close(d);
    }
}

/* A run holds what it says: so many of its code points keep the automaton alive. */
/* Conjunctions whose texts lie among very many: what a text of such a length costs, some byte makes less by its own cost. */
static const struct { const char *must[3], *no[3]; uint32_t lo, hi; bool some; } bounded[] = {
    { { "[aA][12].*[zZ]", "\\d\\d" }, { "^....$", "ab1", "[a|b]" }, 10, 20, true },
    { { "[aA][12].*[zZ]" }, { "1.*2", "ac", "^[\\w]+$" }, 10, 90, true },
    { { "(a|b).{20}c", "(c|d).{20}e" }, { "(e|f).{20}g" }, 40, 60, true },
    { { "^([a-z][0-9])+$", "((c1d3).{4,8}){6,6}", "(t|8){3,3}$" }, { 0 }, 100, UINT32_MAX, true },
    { { "^(.{7})*$", "^(.{5})*$" }, { "q$" }, 50, 69, false },
    { { "^(.{7})*$", "^(.{5})*$" }, { "q$" }, 50, 70, true },
    { { "^a", "1111111111" }, { "[xyz]$" }, 3, 10, false },
};

static struct dfa *open_bounded(size_t i, struct err *e)
{
    struct re_part part[6];
    uint32_t n = 0;
    for (int k = 0; k < 3; k++) {
        const char *p = bounded[i].must[k], *q = bounded[i].no[k];
        if (p) part[n++] = (struct re_part){ RE_PATTERN, false, p, strlen(p), 0 };
        if (q) part[n++] = (struct re_part){ RE_PATTERN, true, q, strlen(q), 0 };
    }
    return dfa_open(part, n, e);
}

static uint32_t left(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi, uint32_t len)
{
    return dfa_shortest(d, state, lo > len ? lo - len : 0, hi == UINT32_MAX ? hi : hi - len);
}

TEST(a_text_within_bounds_is_found_as_promised)
{
    for (size_t i = 0; i < LEN(bounded); i++) {
        struct err e = { 0 };
        struct dfa *d = open_bounded(i, &e);
        uint32_t lo = bounded[i].lo, hi = bounded[i].hi, state = DFA_START, len = 0;
        CHECK(d && dfa_fits(d, state, lo, hi) == bounded[i].some, "row %zu: fits: %s", i, e.msg);
        CHECK((left(d, state, lo, hi, 0) != UINT32_MAX) == bounded[i].some, "row %zu: a cheapest text", i);
        for (uint32_t want = left(d, state, lo, hi, 0), b; bounded[i].some && want; want--, len++) {
            uint32_t to = DFA_DEAD;
            for (b = ' '; b < 0x7f; b++) {
                if (b == '"' || b == '\\' || !(to = dfa_step(d, dfa_classes(d), state, (uint8_t)b)) || len == hi) continue;
                if (left(d, to, lo, hi, len + 1) < want) break;
            }
            CHECK(b < 0x7f, "row %zu: no byte leads nearer to the end than %u after %u", i, want, len);
            state = to;
            CHECK(dfa_fits(d, state, lo > len + 1 ? lo - len - 1 : 0, hi == UINT32_MAX ? hi : hi - len - 1), "row %zu: goes on", i);
            if (!left(d, state, lo, hi, len + 1)) break;
        }
        CHECK(!bounded[i].some || (dfa_accepts(d, state) && len + 1 >= lo && len < hi), "row %zu: %u long", i, len + 1);
        dfa_close(d);
    }
}

TEST(runs_stay_alive)
{
    static const struct { const char *pattern; uint8_t in, out; uint32_t max; bool wide; } run[] = {
        { "^[a-z]{1,63}$", 'q', 'A', 63, false }, { "^[a-z]*$", 'q', 'A', UINT32_MAX, false }, { "^.*$", 'q', '\n', UINT32_MAX, false },
        { "^[^]*$", 'q', 0, UINT32_MAX, true }, { "^[^x]{0,9}$", 'q', 'x', 9, true }, { "foo", 'q', 'f', UINT32_MAX, true }, { "^a{3}b", 'a', 'b', 3, false },
        { "^[a-z]*z$", 'a', 'z', UINT32_MAX, false }, { "^(?!.*foo)[a-z]*$", 'a', 'f', UINT32_MAX, false },
    };
    for (size_t i = 0; i < LEN(run); i++) {
        struct err e;
        struct dfa *d = open_one(RE_PATTERN, false, run[i].pattern, &e);
        const struct dfa_state *st = dfa_state(d, DFA_START);
        CHECK(st->run[run[i].in / 64] >> run[i].in % 64 & 1, "%s: %c runs", run[i].pattern, run[i].in);
        CHECK(!run[i].out || !(st->run[run[i].out / 64] >> run[i].out % 64 & 1), "%s: %c does not", run[i].pattern, run[i].out);
        CHECK(st->run_max == run[i].max && st->run_utf8 == run[i].wide, "%s: %u %d", run[i].pattern, st->run_max, st->run_utf8);
        uint32_t s = DFA_START;
        for (uint32_t k = 0; k < MIN(run[i].max, 100u); k++) s = dfa_step(d, dfa_classes(d), s, run[i].in);
        CHECK(s != DFA_DEAD, "%s: dies", run[i].pattern);
        dfa_close(d);
    }
}

TEST(parts_meet_and_literals_are_exact)
{
    struct err e = { 0 };
    enum { MANY = 3000 };
    struct re_part *part = mem_alloc((MANY + 1) * sizeof *part);
    char (*word)[8] = mem_alloc(MANY * sizeof *word);
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(word[i], sizeof word[i], "w%d", i * 7919 % 10007);
        part[i] = (struct re_part){ RE_LITERAL, true, word[i], (size_t)n };
    }
    part[MANY] = (struct re_part){ RE_PATTERN, false, "^w[0-9]{1,5}$", 13 };
    struct dfa *d = dfa_open(part, MANY + 1, &e), *again;
    CHECK(d, "%s", e.msg);
    for (int i = 0; i < MANY; i += 17) CHECK(!dfa_match(d, word[i], strlen(word[i])), "%s is out", word[i]);
    CHECK(dfa_match(d, "w99999", 6) && !dfa_match(d, "x1", 2), "others are in");
    struct re_part swap = part[0];
    part[0] = part[MANY];
    part[MANY] = swap;
    again = dfa_open(part, MANY + 1, &e);
    CHECK(again == d, "order does not matter");
    dfa_close(again);
    dfa_close(d);
    d = dfa_open(NULL, 0, &e);
    CHECK(d && dfa_match(d, "any", 3) && dfa_state(d, DFA_START)->total && dfa_count(d, DFA_START, 9) == 9, "no parts: all texts");
    dfa_close(d);
    static const struct { const char *not; uint32_t far; } outside[] = { { "^b{3}$", 1 }, { "^ {3}$", 1 }, { "^[ -~]{5}$", 6 }, { "^(a|[ -~]{2}b)$", 3 } };
    for (size_t i = 0; i < LEN(outside); i++) {
        d = open_one(RE_PATTERN, true, outside[i].not, &e);
        const struct dfa_state *q = dfa_state(d, DFA_START);
        CHECK(q->total && q->far == outside[i].far, "not %s: total %d, %u letters lead outside, not %u", outside[i].not, q->total, q->far, outside[i].far);
        for (uint32_t n = q->far; n < q->far + 3; n++) CHECK(dfa_fits(d, DFA_START, n, n), "not %s: there is a text of %u letters", outside[i].not, n);
        dfa_close(d);
    }
    struct re_part two[] = { { RE_PATTERN, false, "^a", 2 }, { RE_PATTERN, false, "^b", 2 } };
    d = dfa_open(two, 2, &e);
    CHECK(d && dfa_empty(d) && !dfa_fits(d, DFA_START, 0, UINT32_MAX) && !dfa_count(d, DFA_START, 5), "nothing begins with both");
    dfa_close(d);
    d = open_one(RE_WHOLE, false, "a|bc", &e);
    CHECK(dfa_match(d, "bc", 2) && !dfa_match(d, "abc", 3) && dfa_count(d, DFA_START, 9) == 2, "the whole text");
    dfa_close(d);
    mem_free(word);
    mem_free(part);
}

TEST(groups_are_a_union)
{
    struct err e = { 0 };
    struct re_part part[] = { { RE_PATTERN, false, "^a", 2, 0 }, { RE_PATTERN, false, "b$", 2, 0 }, { RE_PATTERN, false, "^x", 2, 1 },
                              { RE_PATTERN, false, "^y", 2, 1 }, { RE_LITERAL, false, "c", 1, 2 } };
    static const struct { const char *text; bool in; } row[] = { { "ab", true }, { "a", false }, { "axb", true }, { "x", false }, { "c", true }, { "cb", false } };
    struct dfa *d = dfa_open(part, LEN(part), &e);
    CHECK(d && !dfa_empty(d), "%s", e.msg);
    for (size_t i = 0; i < LEN(row); i++) CHECK(dfa_match(d, row[i].text, strlen(row[i].text)) == row[i].in, "%s", row[i].text);
    dfa_close(d);
    d = dfa_open(part + 2, 2, &e);
    CHECK(dfa_empty(d), "a group that nothing meets");
    dfa_close(d);
}

TEST(counts_become_bounds)
{
    static const struct { const char *pattern; uint32_t lo, hi; const char *text; bool in; } row[] = {
        { "^(?=.{2,5}$)a*$", 2, 5, "a", true }, { "^(?=[ab]{3}$)a*b*$", 3, 3, "aabb", true }, { "^(?=[ab]{3}$)a*b*$", 3, 3, "aac", false },
        { "^a{2,5}$", 0, UINT32_MAX, "a", false }, { "^(?!.*b)[ab]{1,4}$", 1, 4, "aaaaaa", true }, { "^(?!.*b)[ab]{1,4}$", 1, 4, "ab", false },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        struct err e = { 0 };
        struct re_part part = { RE_PATTERN, false, row[i].pattern, strlen(row[i].pattern) };
        uint32_t lo = 0, hi = UINT32_MAX;
        struct dfa *d = dfa_open_counted(&part, 1, &lo, &hi, &e);
        CHECK(d && lo == row[i].lo && hi == row[i].hi, "%s: %u to %u", row[i].pattern, lo, hi);
        CHECK(dfa_match(d, row[i].text, strlen(row[i].text)) == row[i].in, "%s: %s", row[i].pattern, row[i].text);
        dfa_close(d);
        d = dfa_open(&part, 1, &e);
        CHECK(dfa_match(d, row[i].text, strlen(row[i].text)) == (row[i].in && strlen(row[i].text) >= lo && strlen(row[i].text) <= hi), "%s as it is", row[i].pattern);
        dfa_close(d);
    }
}

TEST(patterns_apart)
{
    static const struct { const char *a, *b; bool apart; } row[] = {
        { "^name:(en|nl)$", "^url:(en|nl)$", true }, { "^a[0-9]$", "^a[a-z]$", true }, { "^a", "b$", false }, { "^a*$", "^b*$", false },
        { "^a+$", "^b+$", true }, { "x", "x", false }, { "^(?!.*q)a.*$", "^[^q]*q[^q]*$", true },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        struct err e = { 0 };
        struct dfa *a = open_one(RE_PATTERN, false, row[i].a, &e), *b = open_one(RE_PATTERN, false, row[i].b, &e);
        CHECK(dfa_apart(a, b) == row[i].apart && dfa_apart(b, a) == row[i].apart, "%s and %s", row[i].a, row[i].b);
        dfa_close(a);
        dfa_close(b);
    }
}

TEST(hostile_patterns_stay_small_or_are_refused)
{
    static const char *const hostile[] = {
        "((a?){1000}a{1000})", "^(a?){1000}a{1000}$", "(.*a){50}", "((a{1,1000}){1,1000}){1,1000}", "[^x]{0,100000}y", "(a|aa)+$",
        "^(a|b)*a(a|b){25}$", "(x+x+)+y", "^(?=.*a)(?=.*b)(?=.*c)(?=.*d)(?=.*e)(?=.*f).{8,1000}$", "((\\b\\w+\\b\\s?){1,50}){1,50}",
        "(\\p{L}|\\d)*\\p{Lu}{100}", ".{1000000}", "^(.{500}|a{501})+$", "((((((a{0,30}){0,30}b?){0,30}c?){0,30}d?){0,30}e?){0,30}f?){0,30}",
    };
    for (size_t i = 0; i < LEN(hostile); i++) {
        struct err e;
        struct rng r = rng_make(5, 1, i);
        uint64_t from = clock_ns();
        struct dfa *d = open_one(RE_PATTERN, false, hostile[i], &e);
        CHECK(d || e.code == ERR_LIMIT, "%s: %s", hostile[i], e.msg);
        for (uint32_t n = 0, s = DFA_START; d && n < 1000; n++) {
            uint32_t to = dfa_step(d, dfa_classes(d), s, (uint8_t)"abcxyAB1 -"[rng_below(&r, 10)]);
            if (to) s = to;
        }
        CHECK(!d || dfa_bytes(d) < 64u << 20, "%s: %zu bytes", hostile[i], dfa_bytes(d));
        dfa_close(d);
        CHECK(clock_ns() - from < 5000000000u, "%s: too slow", hostile[i]);
    }
    struct str deep = { 0 };
    struct err e = { 0 };
    for (int i = 0; i < 10000; i++) str_putc(&deep, '(');
    CHECK(!pattern_check(deep.p, deep.len, &e) && e.code == ERR_LIMIT, "depth: %s", e.msg);
    str_clear(&deep);
    for (int i = 0; i < 20000; i++) str_fmt(&deep, "%c?", 'a' + i % 26);
    struct dfa *d = open_one(RE_PATTERN, false, deep.p, &e);
    CHECK(d && dfa_match(d, "x", 1), "a long row of optional letters: %s", e.msg);
    dfa_close(d);
    str_done(&deep);
}

TEST_MAIN
