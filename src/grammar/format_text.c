/* format_text.c -- the named formats of JSON Schema, as patterns for a whole text.
 *
 * A pattern here is ECMA-262 with the u flag, to be matched against the whole text. They are kept
 * the way their RFCs write them, as rules that call rules: <ipv4> inside of a row stands for that
 * row in a group. The first question after a format writes it out; the texts then live
 * with the process. Look-ahead states what holds for all the rest up to $, which the automaton
 * takes as an intersection.
 *
 * Exact (format_is_regular): the same language as the predicate in formats.c;
 * tests/test_formats.c compares the two through PCRE2. A part only, good for generation but
 * neither for a verdict nor for a negation: hostname, idn-hostname and idn-email have no
 * internationalised label, neither as letters nor as xn--; regex nests groups three deep, looks
 * around at the outermost level only, has no names, no back-reference and only plain ranges. */
#include <assert.h>
#include <stdatomic.h>

#include "grammar/int.h"

/* Characters beyond ASCII in an IRI, RFC 3987 section 2.2. */
#define UCSCHAR \
    "\\u{A0}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFEF}\\u{10000}-\\u{1FFFD}" \
    "\\u{20000}-\\u{2FFFD}\\u{30000}-\\u{3FFFD}\\u{40000}-\\u{4FFFD}\\u{50000}-\\u{5FFFD}" \
    "\\u{60000}-\\u{6FFFD}\\u{70000}-\\u{7FFFD}\\u{80000}-\\u{8FFFD}\\u{90000}-\\u{9FFFD}" \
    "\\u{A0000}-\\u{AFFFD}\\u{B0000}-\\u{BFFFD}\\u{C0000}-\\u{CFFFD}\\u{D0000}-\\u{DFFFD}" \
    "\\u{E1000}-\\u{EFFFD}"
#define IPRIVATE "\\u{E000}-\\u{F8FF}\\u{F0000}-\\u{FFFFD}\\u{100000}-\\u{10FFFD}"
#define FRACTION "(?:\\.[0-9]+)?"
#define LDH "[-0-9A-Za-z]"
#define ALNUM "[0-9A-Za-z]"
/* unreserved and sub-delims of RFC 3986, inside of a class */
#define URI_CHAR "-0-9A-Za-z._~!$&'()*+,;="

/* RFC 3986 and 3987 differ only in the letters: x is the prefix of the rules, more and priv what
 * joins the classes. A path behind an authority begins with a slash; one without does not begin
 * with two; without a scheme its first segment has no colon. */
#define URI_RULES(x, more, priv) \
    { x "seg", "(?:[" URI_CHAR "/:@" more "]|<pct>)*" }, \
    { x "seg1", "(?:[" URI_CHAR ":@" more "]|<pct>)<" x "seg>" }, \
    { x "tail", "(?:\\?(?:[" URI_CHAR "/:@?" more priv "]|<pct>)*)?" \
                "(?:#(?:[" URI_CHAR "/:@?" more "]|<pct>)*)?" }, \
    { x "auth", "//(?:(?:[" URI_CHAR ":" more "]|<pct>)*@)?" \
                "(?:\\[(?:<ipv6>|<ip-future>)\\]|(?:[" URI_CHAR more "]|<pct>)*)" \
                "(?::[0-9]*)?(?:/<" x "seg>)?" }, \
    { x "abs", "<" x "auth>|/(?:<" x "seg1>)?" }, \
    { x "noscheme", "(?:[" URI_CHAR "@" more "]|<pct>)+(?:/<" x "seg>)?" }

/* Rules that are no format of their own stand before those that are; order does not matter else. */
static const struct rule { const char *name, *text; } rules[] = {
    /* ---- RFC 3339 and its appendix A ---- */
    { "day", "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
             "02-(?:0[1-9]|1[0-9]|2[0-8])" },
    { "leap-year", "[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00" },
    { "date", "[0-9]{4}-<day>|<leap-year>-02-29" },
    { "hm", "(?:[01][0-9]|2[0-3]):[0-5][0-9]" },
    { "frac", FRACTION },
    { "time", "<hm>:[0-5][0-9]<frac>(?:[Zz]|[-+]<hm>)|23:59:60<frac>[Zz]|"
              "<leap-second>" },
    { "date-time", "<date>[Tt]<time>" },
    { "dur-time", "[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S" },
    { "dur-date", "[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D" },
    { "duration", "P(?:[0-9]+W|<dur-date>(?:T<dur-time>)?|T<dur-time>)" },

    /* ---- addresses: RFC 1123, 4291, 5321 ---- */
    { "octet", "25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]" },
    { "ipv4", "<octet>(?:\\.<octet>){3}" },
    { "h16", "[0-9A-Fa-f]{1,4}" },
    { "ls32", "<h16>:<h16>|<ipv4>" },
    { "ipv6", "(?:<h16>:){6}<ls32>|::(?:<h16>:){5}<ls32>|(?:<h16>)?::(?:<h16>:){4}<ls32>|"
              "(?:(?:<h16>:){0,1}<h16>)?::(?:<h16>:){3}<ls32>|"
              "(?:(?:<h16>:){0,2}<h16>)?::(?:<h16>:){2}<ls32>|"
              "(?:(?:<h16>:){0,3}<h16>)?::<h16>:<ls32>|(?:(?:<h16>:){0,4}<h16>)?::<ls32>|"
              "(?:(?:<h16>:){0,5}<h16>)?::<h16>|(?:(?:<h16>:){0,6}<h16>)?::" },
    { "label", ALNUM "(?:" LDH "{0,61}" ALNUM ")?" },
    /* without -- as its third and fourth character, which is kept for xn-- and its like */
    { "plain", ALNUM "(?:" LDH "?" ALNUM ")?|" ALNUM LDH "(?:" ALNUM LDH "{0,59}" ALNUM
               "|-" ALNUM "(?:" LDH "{0,58}" ALNUM ")?)" },
    { "hostname", "(?=[-.0-9A-Za-z]{1,253}$)<plain>(?:\\.<plain>)*" },
    { "idn-hostname", "<hostname>" },
    { "local-part", "[-0-9A-Za-z!#$%&'*+/=?^_`{|}~]+(?:\\.[-0-9A-Za-z!#$%&'*+/=?^_`{|}~]+)*|"
                    "\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\"" },
    { "ip-literal", "\\[(?:<ipv4>|[Ii][Pp][Vv]6:<ipv6>)\\]" },
    { "email", "<local-part>@(?:<label>(?:\\.<label>)*|<ip-literal>)" },
    { "idn-email", "<local-part>@(?:<hostname>|<ip-literal>)" },

    /* ---- RFC 3986, 3987, 6570 ---- */
    { "pct", "%[0-9A-Fa-f]{2}" },
    { "ip-future", "[Vv][0-9A-Fa-f]+\\.[" URI_CHAR ":]+" },
    { "scheme", "[A-Za-z][-+.0-9A-Za-z]*:" },
    URI_RULES("u-", "", ""),
    { "uri", "<scheme>(?:<u-abs>|<u-seg1>)?<u-tail>" },
    { "uri-reference", "(?:<scheme>(?:<u-abs>|<u-seg1>)?|(?:<u-abs>|<u-noscheme>)?)<u-tail>" },
    URI_RULES("i-", UCSCHAR, IPRIVATE),
    { "iri", "<scheme>(?:<i-abs>|<i-seg1>)?<i-tail>" },
    { "iri-reference", "(?:<scheme>(?:<i-abs>|<i-seg1>)?|(?:<i-abs>|<i-noscheme>)?)<i-tail>" },
    { "varname", "(?:[0-9A-Za-z_]|<pct>)(?:\\.?(?:[0-9A-Za-z_]|<pct>))*" },
    { "varspec", "<varname>(?::[1-9][0-9]{0,3}|\\*)?" },
    { "uri-template", "(?:[!#$&'-;=?-\\[\\]_a-z~" UCSCHAR IPRIVATE "]|<pct>|"
                      "\\{[+#./;?&=,!@|]?<varspec>(?:,<varspec>)*\\})*" },

    /* ---- the rest: RFC 9562, 6901, ECMA-262 ---- */
    { "uuid", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" },
    { "json-pointer", "(?:/(?:[^/~]|~[01])*)*" },
    { "relative-json-pointer", "(?:0|[1-9][0-9]*)(?:#|<json-pointer>)" },
    { "re-escape", "\\\\(?:[dDsSwWtnvfr^$\\\\.*+?()\\[\\]{}|/]|x[0-9A-Fa-f]{2}|"
                   "u[0-9A-Ca-c][0-9A-Fa-f]{3})" },
    { "re-class", "\\[\\^?(?:0-9|A-Z|a-z|A-F|a-f|[^-\\\\\\[\\]^]|<re-escape>)*-?\\]" },
    { "re-char", "[^\\\\^$.*+?()\\[\\]{}|]|\\.|<re-escape>|<re-class>" },
    { "re-times", "(?:[*+?]|\\{(?:[0-9]{1,3},?|[01],[1-9][0-9]{0,2}|[2-9],[1-9][0-9]{1,2})\\})"
                  "\\??" },
    { "re-0", "(?:<re-char>(?:<re-times>)?|[|^$]|\\\\[bB])*" },
    { "re-1", "(?:(?:<re-char>|\\((?:\\?:)?<re-0>\\))(?:<re-times>)?|[|^$]|\\\\[bB])*" },
    { "re-2", "(?:(?:<re-char>|\\((?:\\?:)?<re-1>\\))(?:<re-times>)?|[|^$]|\\\\[bB])*" },
    /* \x3c is the < of a look-behind, which must not look like a rule */
    { "regex", "(?:(?:<re-char>|\\((?:\\?:)?<re-2>\\))(?:<re-times>)?|[|^$]|\\\\[bB]|"
               "\\(\\?\\x3c?[=!]<re-1>\\))*" },
};

static const struct { const char *name; bool exact; } formats[] = {
    { "date", true }, { "time", true }, { "date-time", true }, { "duration", true },
    { "email", true }, { "idn-email", false }, { "hostname", false }, { "idn-hostname", false },
    { "ipv4", true }, { "ipv6", true }, { "uri", true }, { "uri-reference", true }, { "iri", true },
    { "iri-reference", true }, { "uri-template", true }, { "uuid", true }, { "json-pointer", true },
    { "relative-json-pointer", true }, { "regex", false },
};
static char *_Atomic pattern[LEN(formats)];

/* ---- the leap second ------------------------------------------------------------------------- */

static void put_digit(struct str *o, int digit, const char *then)
{
    str_putc(o, (char)('0' + digit));
    str_puts(o, then);
}

static void put_clock(struct str *o, int minutes, const char *then)
{
    put_digit(o, minutes / 600, "");
    put_digit(o, minutes / 60 % 10, ":");
    put_digit(o, minutes % 60 / 10, "");
    put_digit(o, minutes % 10, then);
}

/* After :60 the time must be 23:59 in UTC, so each of the 1,440 local times has one offset in either
 * direction: east of Greenwich one minute more than the time, west of it what is left to 23:59. Written
 * out digit by digit; a look-ahead that met hours and minutes would be shorter, but an automaton would
 * have to search for the length of what follows at every state. */
static void leap_minutes(struct str *o, int hour)
{
    for (int m = 0; m < 60; m++) {
        int east = (hour * 60 + m + 1) % 1440, west = 1439 - hour * 60 - m;
        str_puts(o, m % 10 ? "|" : m ? ")|" : "(?:");
        if (m % 10 == 0) put_digit(o, m / 10, "(?:");
        put_digit(o, m % 10, ":60" FRACTION "(?:\\+");
        put_clock(o, east, "|-");
        put_clock(o, west, ")");
    }
    str_puts(o, "))");
}

static void leap_hours(struct str *o)
{
    for (int h = 0; h < 24; h++) {
        str_puts(o, h % 10 ? "|" : h ? ")|" : "(?:");
        if (h % 10 == 0) put_digit(o, h / 10, "(?:");
        put_digit(o, h % 10, ":");
        leap_minutes(o, h);
    }
    str_puts(o, "))");
}

/* ---- rules into patterns --------------------------------------------------------------------- */

static const struct rule *rule_find(const char *name, size_t len)
{
    for (size_t i = 0; i < LEN(rules); i++)
        if (strlen(rules[i].name) == len && !memcmp(rules[i].name, name, len)) return &rules[i];
    return NULL;
}

static bool rule_is(const char *name, size_t len, const char *want)
{
    return strlen(want) == len && !memcmp(name, want, len);
}

static void expand(struct str *o, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p != '<') {
            str_putc(o, *p);
            continue;
        }
        size_t len = strcspn(++p, ">");
        if (rule_is(p, len, "leap-second")) leap_hours(o);
        else {
            const struct rule *r = rule_find(p, len);
            assert(r);
            str_puts(o, "(?:");
            expand(o, r->text);
            str_putc(o, ')');
        }
        p += len;
    }
}

/* Written out when it is first asked for, and kept. */
const char *format_pattern(const char *name)
{
    size_t i = 0;
    while (i < LEN(formats) && strcmp(formats[i].name, name)) i++;
    if (i == LEN(formats)) return NULL;
    char *have = atomic_load_explicit(&pattern[i], memory_order_acquire);
    if (have) return have;
    struct str o = { 0 };
    expand(&o, rule_find(name, strlen(name))->text);
    char *own = str_take(&o);
    if (atomic_compare_exchange_strong(&pattern[i], &have, own)) return own;
    mem_free(own);                      /* another thread was first */
    return have;
}

bool format_is_regular(const char *name)
{
    for (size_t i = 0; i < LEN(formats); i++)
        if (!strcmp(formats[i].name, name)) return formats[i].exact;
    return false;
}

const char *format_around(const char *name)
{
    static const struct { const char *name, *pattern; } around[] = {
        { "hostname", "[-.0-9A-Za-z]{1,253}" },
        { "idn-hostname", "[^\\x00-,\\/:-@\\[-`{-\\x7f]*" },
        { "idn-email", "[^]*@[^]*" },
        { "regex", "(?:[^*+?)][^]*)?" },                /* there is nothing to repeat, or to close, at the beginning */
    };
    for (size_t i = 0; i < LEN(around); i++)
        if (!strcmp(around[i].name, name)) return around[i].pattern;
    return format_is_regular(name) ? format_pattern(name) : NULL;
}
