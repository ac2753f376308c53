/* test_formats.c -- the named formats: predicates against a table and against the official suite,
 * and each pattern against its predicate.
 *
 * The patterns are matched by PCRE2, which has nothing in common with the automata that will read
 * them. Where format_is_regular() says so both must agree on every text: those of the table, of
 * the suite, and thousands that differ from these in a few places. Elsewhere the pattern is a
 * part. */
#define PCRE2_CODE_UNIT_WIDTH 32    /* the narrower ones bound a pattern to 64 KiB, too little for all leap seconds */
#include <dirent.h>
#include <pcre2.h>

#include "base/json.h"
#include "grammar/int.h"
#include "test.h"

#ifdef TENON_IDN2
enum { HAVE_IDN = 1, MOST_WRONG = 0 };
#else
enum { HAVE_IDN = 0, MOST_WRONG = 57 }; /* the tables of IDNA are missing */
#endif

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define A63 A60 "aaa"

static const struct { const char *format, *text; bool ok; } rows[] = {
    { "date", "2000-02-29", true }, { "date", "1900-02-29", false }, { "date", "0000-02-29", true },
    { "date", "2024-04-31", false }, { "date", "2024-12-31", true },
    { "time", "00:00:60+00:01", true }, { "time", "00:00:60-00:01", false }, { "time", "12:08:60.5-11:51", true },
    { "time", "12:09:60+12:10", true }, { "time", "12:59:60+13:00", true }, { "time", "12:59:60+12:00", false },
    { "time", "23:58:60+23:59", true }, { "time", "23:59:60-00:00", true }, { "time", "12:00:00.Z", false },
    { "date-time", "1998-12-31t15:59:60.1-08:00", true }, { "date-time", "1998-12-31 15:59:59Z", false },
    { "duration", "P1W", true }, { "duration", "P1Y1M1DT1H1M1S", true }, { "duration", "P1YT", false },
    { "email", "a@b", true }, { "email", "\"a\\\"@\"@b.c", true }, { "email", "\"a\"b@c", false },
    { "email", "a@[ipv6:::1]", true }, { "email", "a@[IPv6:::g]", false }, { "email", "a@b-.c", false },
    { "email", "a@xn--x", true }, { "email", "a@b..c", false }, { "email", "\"\x7f\"@b", false },
    { "idn-email", "\xc3\xa4@\xc3\x84.de", true }, { "idn-email", "a@-\xc3\xa4", false },
    { "hostname", A63, true }, { "hostname", A63 "a", false }, { "hostname", "a--b", true },
    { "hostname", "ab--c", false }, { "hostname", "ab-", false }, { "hostname", "a-b.c", true },
    { "hostname", A63 "." A63 "." A63 "." A60 "a", true }, { "hostname", A63 "." A63 "." A63 "." A60 "aa", false },
    { "ipv4", "255.255.255.249", true }, { "ipv4", "1.2.3.256", false }, { "ipv4", "01.2.3.4", false },
    { "ipv6", "::", true }, { "ipv6", "1:2:3:4:5:6:7::", true }, { "ipv6", "::2:3:4:5:6:7:8", true },
    { "ipv6", "1:2:3:4:5:6:7::8", false }, { "ipv6", "1:2:3:4:5:6:7:8::", false }, { "ipv6", "::1.2.3.4", true },
    { "ipv6", "1:2:3:4:5::1.2.3.4", true }, { "ipv6", "1:2:3:4:5:6::1.2.3.4", false }, { "ipv6", "1::2::3", false },
    { "uri", "a:", true }, { "uri", "a:///b", true }, { "uri", "a://[v1.x:y]:8/", true }, { "uri", "a://[v.x]", false },
    { "uri", "a://b@c@d", false }, { "uri", "a:b?c#d#e", false }, { "uri", "a:[", false }, { "uri", "a://b:c/", false },
    { "uri-reference", "a/b:c", true }, { "uri-reference", "@b:c", false }, { "uri-reference", "///", true },
    { "iri", "a:\xc3\xa4", true }, { "iri", "a:\xc2\x85", false }, { "iri", "a:\xee\x80\x80", false },
    { "iri", "a:?\xee\x80\x80", true }, { "iri", "a:#\xee\x80\x80", false }, { "iri", "a:\xf3\xa0\x80\x81", false },
    { "iri-reference", "\xc3\xa4/b:c", true }, { "iri-reference", "\xc3\xa4:b", false },
    { "uri-template", "{+a.b%20c*,d:9999}", true }, { "uri-template", "{a.}", false }, { "uri-template", "{-a}", false },
    { "uri-template", "%4", false }, { "uri-template", "\xef\xb7\x90", false }, { "uri-template", "{", false },
    { "uuid", "00000000-0000-0000-0000-00000000000g", false },
    { "json-pointer", "", true }, { "json-pointer", "/~01/~", false },
    { "relative-json-pointer", "10#", true }, { "relative-json-pointer", "00", false },
    { "regex", "(a|b)*?c{2,3}", true }, { "regex", "[a-z", false }, { "regex", "[z-a]", false }, { "regex", "a{2,1}", false },
    { "regex", "a**", false }, { "regex", "(?<n>a)\\k<n>", true }, { "regex", "\\k<n>", false }, { "regex", "(?<n>a)(?<n>b)", false },
    { "regex", "(?<=a)*", false }, { "regex", "(?=a)*", true }, { "regex", "\\u{110000}", false }, { "regex", "\\u{1F600}", true },
    { "regex", "[\\ud83d\\ude00-\\ud83d\\ude4f]", true }, { "regex", "\\p{L}\\P{Script=Greek}", true }, { "regex", "\\p", false },
    { "regex", "{a}]", true }, { "regex", "\\Z", false }, { "regex", "[\\w-.]", true }, { "regex", "(?i-s:a)", true },
    { "regex", "(?-:a)", false }, { "regex", "a)", false }, { "regex", "\\", false }, { "regex", "", true },
    { "color", "anything", true },
};

static const struct { const char *format, *text; bool ok; } idn_rows[] = {
    { "hostname", "xn--7a", false }, { "hostname", "XN--4DBC5H", true }, { "hostname", "0a.xn--4dbc5h", false },
    { "idn-hostname", "\xc3\xa4.de", true }, { "idn-hostname", "\xc3\x84.de", false },
    { "idn-hostname", "\xd7\x90.a", true }, { "idn-hostname", "\xd7\x90.1a", false }, { "idn-hostname", "\xd7\x90", true },
    { "idn-email", "a@xn--7a", false },
};

TEST(predicates_know_their_formats)
{
    for (size_t i = 0; i < LEN(rows); i++)
        CHECK(format_valid(rows[i].format, rows[i].text, strlen(rows[i].text)) == rows[i].ok, "%s %s",
              rows[i].format, rows[i].text);
}

TEST(internationalised_hosts_follow_idna2008)
{
    if (!HAVE_IDN) SKIP("built without libidn2");
    for (size_t i = 0; i < LEN(idn_rows); i++)
        CHECK(format_valid(idn_rows[i].format, idn_rows[i].text, strlen(idn_rows[i].text)) == idn_rows[i].ok,
              "%s %s", idn_rows[i].format, idn_rows[i].text);
}

/* ---- the official suite
 * ------------------------------------------------------------------------ */

typedef void text_fn(void *ctx, const char *format, const char *text, size_t len, bool valid);

static void suite_file(const char *path, text_fn *fn, void *ctx)
{
    struct err e = { 0 };
    struct json *groups = json_read(path, &e);
    CHECK(groups, "%s", e.msg);
    for (size_t g = 0; g < json_len(groups); g++) {
        const char *format = json_str(json_get(json_get(json_at(groups, g), "schema"), "format"), NULL);
        const struct json *tests = json_get(json_at(groups, g), "tests");
        for (size_t i = 0; format && i < json_len(tests); i++) {
            const struct json *row = json_at(tests, i);
            size_t len = 0;
            const char *text = json_str(json_get(row, "data"), &len);
            fn(ctx, format, text, len, json_bool(json_get(row, "valid")));
        }
    }
    json_free(groups);
}

/* Calls fn for every test of both drafts, text NULL where the value is no string. False: not
 * there. */
static bool suite(text_fn *fn, void *ctx)
{
    static const char *const drafts[] = { "draft2020-12", "draft7" };
    char root[1100], dir[1400], path[1700];
    if (!shared_path("fixtures/jsonschema/README.md")) return false;
    snprintf(root, sizeof root, "%s", shared_path("fixtures/jsonschema/README.md"));
    *strrchr(root, '/') = 0;
    for (size_t i = 0; i < LEN(drafts); i++) {
        snprintf(dir, sizeof dir, "%s/JSON-Schema-Test-Suite/tests/%s/optional/format", root, drafts[i]);
        DIR *d = opendir(dir);
        CHECK(d, "%s", dir);
        for (struct dirent *f; d && (f = readdir(d)); ) {
            if (!strstr(f->d_name, ".json")) continue;
            snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
            suite_file(path, fn, ctx);
        }
        if (d) closedir(d);
    }
    return true;
}

struct tally { int n, wrong; };

static void judge(void *ctx, const char *format, const char *text, size_t len, bool valid)
{
    struct tally *t = ctx;
    bool ok = !text || format_valid(format, text, len);
    t->n++;
    if (ok == valid) return;
    t->wrong++;
    if (HAVE_IDN) fprintf(stderr, "%s: %.*s: said %d\n", format, (int)len, text, ok);
}

TEST(official_suite_is_passed)
{
    struct tally t = { 0 };
    if (!suite(judge, &t)) SKIP("the JSON-Schema-Test-Suite is not beside the checkout");
    printf("%d of %d right\n", t.n - t.wrong, t.n);
    CHECK(t.n == 764 + 676 && t.wrong <= 2 * MOST_WRONG, "%d tests, %d wrong", t.n, t.wrong);
}

/* ---- patterns against predicates
 * --------------------------------------------------------------- */

static const char *const names[] = {
    "date", "time", "date-time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
    "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer",
    "relative-json-pointer", "regex" };

struct cross { pcre2_code *code[LEN(names)]; pcre2_match_data *md; int n, valid; uint32_t seed; };

/* Code points of a text in UTF-8; the caller frees. */
static uint32_t *wide(const char *text, size_t len, size_t *n)
{
    uint32_t *out = mem_zero((len + 1) * sizeof *out);
    *n = 0;
    for (int step; len; text += step, len -= (size_t)step) out[(*n)++] = (uint32_t)utf8_next(text, text + len, &step);
    return out;
}

static pcre2_code *compiled(const char *pattern)
{
    int code;
    size_t n;
    uint32_t *text = wide(pattern, strlen(pattern), &n);
    PCRE2_SIZE at;
    pcre2_compile_context *x = pcre2_compile_context_create(NULL);
    pcre2_set_compile_extra_options(x, PCRE2_EXTRA_ALT_BSUX);
    pcre2_code *c = pcre2_compile(text, n,
                                  PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_DOLLAR_ENDONLY |
                                  PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code, &at, x);
    pcre2_compile_context_free(x);
    mem_free(text);
    CHECK(c, "error %d at %zu of %s", code, (size_t)at, pattern);
    return c;
}

static void compare(struct cross *x, const char *format, const char *text, size_t len)
{
    size_t f = 0;
    while (f < LEN(names) && strcmp(names[f], format)) f++;
    if (f == LEN(names)) return;
    bool ok = format_valid(format, text, len);
    size_t n;
    uint32_t *points = wide(text, len, &n);
    bool in = pcre2_match(x->code[f], points, n, 0, 0, x->md, NULL) >= 0;
    mem_free(points);
    x->n++;
    x->valid += ok;
    CHECK(format_is_regular(format) ? in == ok : !in || ok, "%s %.*s: pattern %d, predicate %d", format, (int)len,
          text, in, ok);
}

static uint32_t dice(struct cross *x, uint32_t n)
{
    x->seed = x->seed * 1664525 + 1013904223;
    return (x->seed >> 8) % n;
}

/* Removes, doubles or replaces a few bytes; what is no longer UTF-8 is not looked at. */
static void mutate(struct cross *x, const char *format, const char *text, size_t len)
{
    static const char pool[] = "0123459abfgzAZTtPYWS:-+.@/?#[]{}()\\\"%~^$*|_!&' \n\x7f";
    char buf[600];
    if (!len || len > 500) return;
    memcpy(buf, text, len);
    for (uint32_t k = 1 + dice(x, 3); k && len; k--) {
        size_t at = dice(x, (uint32_t)len);
        uint32_t how = dice(x, 3);
        if (how == 0) memmove(buf + at, buf + at + 1, --len - at);
        else if (how == 1) memmove(buf + at + 1, buf + at, len++ - at);
        if (how && len) buf[at] = pool[dice(x, sizeof pool - 1)];
    }
    if (utf8_valid(buf, len)) compare(x, format, buf, len);
}

static void cross_row(void *ctx, const char *format, const char *text, size_t len, bool valid)
{
    if (!text) return;
    compare(ctx, format, text, len);
    for (int i = 0; i < 20; i++) mutate(ctx, format, text, len);
}

TEST(patterns_say_what_predicates_say)
{
    struct cross x = { .seed = 1, .md = pcre2_match_data_create(1, NULL) };
    for (size_t i = 0; i < LEN(names); i++) x.code[i] = compiled(format_pattern(names[i]));
    for (size_t i = 0; i < LEN(rows); i++)
        for (int k = 0; k < 20; k++) cross_row(&x, rows[i].format, rows[i].text, strlen(rows[i].text), rows[i].ok);
    if (!suite(cross_row, &x)) printf("without the texts of the JSON-Schema-Test-Suite\n");
    printf("%d texts, %d of them valid\n", x.n, x.valid);
    for (size_t i = 0; i < LEN(names); i++) pcre2_code_free(x.code[i]);
    pcre2_match_data_free(x.md);
}

/* Every leap second there is, and each offset beside the right one. */
TEST(leap_seconds_are_exact)
{
    struct cross x = { .md = pcre2_match_data_create(1, NULL) };
    x.code[1] = compiled(format_pattern("time"));
    for (int local = 0; local < 1440; local++)
        for (int east = 0; east < 2; east++)
            for (int d = -1; d <= 1; d++) {
                int off = (east ? local + 1 + d : 1439 - local + d + 1440) % 1440;
                if (off < 0) continue;
                char text[40];
                snprintf(text, sizeof text, "%02d:%02d:60%s%c%02d:%02d", local / 60, local % 60, d ? "" : ".25",
                         east ? '+' : '-', off / 60, off % 60);
                compare(&x, "time", text, strlen(text));
            }
    CHECK(x.valid == 2 * 1440, "%d", x.valid);
    pcre2_code_free(x.code[1]);
    pcre2_match_data_free(x.md);
}

TEST(patterns_stay_short_and_names_are_known)
{
    for (size_t i = 0; i < LEN(names); i++) {
        const char *p = format_pattern(names[i]);
        CHECK(p && strlen(p) < 100000 && p == format_pattern(names[i]), "%s", names[i]);
        CHECK(format_known(names[i]), "%s", names[i]);
    }
    CHECK(!format_pattern("color") && !format_is_regular("color") && !format_is_regular("regex") &&
          !format_is_regular("hostname") && format_is_regular("uri"), "what is exact");
}

TEST_MAIN
