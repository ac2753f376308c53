/* formats.c -- the formats of JSON Schema as checks of a finished string. A name that is not listed is an
 * annotation: every string has it. Clauses: RFC 3339 (dates), 5321 (mail), 1123 (host names), 3986
 * (URIs), 4122 (UUIDs), 6901 (pointers); addresses are left to the C library. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <arpa/inet.h>
#include <pcre2.h>

#include "grammar/int.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool is_hex(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }

/* n digits at *p as a number in [lo, hi]; -1 if not. */
static int number(const char **p, const char *end, int n, int lo, int hi)
{
    int v = 0;
    if (end - *p < n) return -1;
    for (int i = 0; i < n; i++, (*p)++) {
        if (!is_digit(**p)) return -1;
        v = v * 10 + **p - '0';
    }
    return v >= lo && v <= hi ? v : -1;
}

static bool one(const char **p, const char *end, const char *of)
{
    return *p < end && **p && strchr(of, **p) && (*p)++;
}

/* ---- RFC 3339 ---- */

static bool read_date(const char **p, const char *end)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int y = number(p, end, 4, 0, 9999);
    if (y < 0 || !one(p, end, "-")) return false;
    int m = number(p, end, 2, 1, 12);
    if (m < 0 || !one(p, end, "-")) return false;
    bool leap = (y % 4 == 0 && y % 100) || y % 400 == 0;
    return number(p, end, 2, 1, days[m - 1] + (m == 2 && leap)) > 0;
}

static bool read_time(const char **p, const char *end)
{
    int h = number(p, end, 2, 0, 23), m, s, oh = 0, om = 0, sign = 1;
    if (h < 0 || !one(p, end, ":") || (m = number(p, end, 2, 0, 59)) < 0 || !one(p, end, ":") || (s = number(p, end, 2, 0, 60)) < 0) return false;
    if (one(p, end, ".")) {
        const char *from = *p;
        while (*p < end && is_digit(**p)) (*p)++;
        if (*p == from) return false;
    }
    if (!one(p, end, "Zz")) {
        sign = *p < end && **p == '-' ? -1 : 1;
        if (!one(p, end, "+-") || (oh = number(p, end, 2, 0, 23)) < 0 || !one(p, end, ":") || (om = number(p, end, 2, 0, 59)) < 0) return false;
    }
    int utc = (h * 60 + m - sign * (oh * 60 + om) + 2 * 1440) % 1440;
    return s < 60 || utc == 1439;                                     /* a leap second is at 23:59:60 UTC */
}

static bool is_date(const char *p, const char *end) { return read_date(&p, end) && p == end; }
static bool is_time(const char *p, const char *end) { return read_time(&p, end) && p == end; }
static bool is_date_time(const char *p, const char *end) { return read_date(&p, end) && one(&p, end, "Tt") && read_time(&p, end) && p == end; }

/* Units in the order of `units`, contiguous: 1 read some, 0 none, -1 wrong. */
static int read_units(const char **p, const char *end, const char *units)
{
    const char *last = NULL;
    while (*p < end && is_digit(**p)) {
        while (*p < end && is_digit(**p)) (*p)++;
        const char *u = *p < end && **p ? strchr(units, **p) : NULL;
        if (!u || (last && u != last + 1)) return -1;
        last = u;
        (*p)++;
    }
    return last != NULL;
}

static bool is_duration(const char *p, const char *end)
{
    if (!one(&p, end, "P")) return false;
    const char *weeks = p;
    if (read_units(&weeks, end, "W") == 1 && weeks == end) return true;
    int date = read_units(&p, end, "YMD"), time = 0;
    if (date >= 0 && one(&p, end, "T")) time = read_units(&p, end, "HMS") == 1 ? 1 : -1;
    return date >= 0 && time >= 0 && date + time > 0 && p == end;
}

/* ---- names and addresses ---- */

static bool is_hostname(const char *p, const char *end)
{
    if (end - p < 1 || end - p > 253) return false;
    while (p <= end) {
        const char *dot = memchr(p, '.', (size_t)(end - p)), *stop = dot ? dot : end;
        if (stop - p < 1 || stop - p > 63 || *p == '-' || stop[-1] == '-') return false;
        if (stop - p >= 4 && p[2] == '-' && p[3] == '-') return false;    /* A-labels need the tables of IDNA */
        for (; p < stop; p++)
            if (!is_alpha(*p) && !is_digit(*p) && *p != '-') return false;
        if (!dot) return true;
        p = dot + 1;
    }
    return false;
}

static bool is_address(const char *p, const char *end, int family)
{
    char text[64], out[16];
    size_t n = (size_t)(end - p);
    if (!n || n >= sizeof text || memchr(p, 0, n)) return false;
    memcpy(text, p, n);
    text[n] = 0;
    return inet_pton(family, text, out) == 1;
}
static bool is_ipv4(const char *p, const char *end) { return is_address(p, end, AF_INET); }
static bool is_ipv6(const char *p, const char *end) { return is_address(p, end, AF_INET6); }

static bool is_local_part(const char *p, const char *end)
{
    if (p < end && *p == '"') {
        for (p++; p < end - 1; p++) {
            if (*p == '\\') p++;
            else if (*p == '"') return false;
            if (p >= end - 1 || *p < 0x20 || *p > 0x7E) return false;
        }
        return p == end - 1 && *p == '"';
    }
    bool dot = true;
    for (; p < end; p++) {
        if (*p == '.' && dot) return false;
        if (!is_alpha(*p) && !is_digit(*p) && !(*p && strchr("!#$%&'*+/=?^_`{|}~-.", *p))) return false;
        dot = *p == '.';
    }
    return !dot;
}

static bool is_email(const char *p, const char *end)
{
    const char *at = NULL;
    for (const char *q = p; q < end; q++)
        if (*q == '@') at = q;
    if (!at || !is_local_part(p, at)) return false;
    if (end - at > 3 && at[1] == '[' && end[-1] == ']')
        return end - at > 8 && !memcmp(at + 2, "IPv6:", 5) ? is_ipv6(at + 7, end - 1) : is_ipv4(at + 2, end - 1);
    return is_hostname(at + 1, end);
}

static bool is_uuid(const char *p, const char *end)
{
    if (end - p != 36) return false;
    for (int i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? p[i] != '-' : !is_hex(p[i])) return false;
    return true;
}

/* ---- RFC 3986, pointers, patterns ---- */

static bool uri_chars(const char *p, const char *end, bool wide)
{
    int hashes = 0, brackets = 0;
    for (; p < end; p++) {
        if (*p == '%' && (end - p < 3 || !is_hex(p[1]) || !is_hex(p[2]))) return false;
        hashes += *p == '#';
        brackets += *p == '[' || *p == ']';
        bool high = (unsigned char)*p >= 0x80;
        if (high ? !wide : !is_alpha(*p) && !is_digit(*p) && !(*p && strchr("-._~:/?#[]@!$&'()*+,;=%", *p))) return false;
    }
    return hashes <= 1 && (brackets == 0 || brackets == 2);
}

static bool has_scheme(const char *p, const char *end)
{
    if (p == end || !is_alpha(*p)) return false;
    while (p < end && (is_alpha(*p) || is_digit(*p) || *p == '+' || *p == '-' || *p == '.')) p++;
    return p < end && *p == ':';
}

/* A first segment with a colon would read as a scheme. */
static bool is_relative(const char *p, const char *end)
{
    for (; p < end && *p != '/' && *p != '?' && *p != '#'; p++)
        if (*p == ':') return false;
    return true;
}

static bool is_uri(const char *p, const char *end) { return has_scheme(p, end) && uri_chars(p, end, false); }
static bool is_iri(const char *p, const char *end) { return has_scheme(p, end) && uri_chars(p, end, true); }
static bool is_uri_reference(const char *p, const char *end) { return (has_scheme(p, end) || is_relative(p, end)) && uri_chars(p, end, false); }
static bool is_iri_reference(const char *p, const char *end) { return (has_scheme(p, end) || is_relative(p, end)) && uri_chars(p, end, true); }

static bool is_json_pointer(const char *p, const char *end)
{
    if (p < end && *p != '/') return false;
    for (; p < end; p++)
        if (*p == '~' && (p + 1 == end || (p[1] != '0' && p[1] != '1'))) return false;
    return true;
}

static bool is_relative_pointer(const char *p, const char *end)
{
    if (p == end || !is_digit(*p) || (*p == '0' && end - p > 1 && is_digit(p[1]))) return false;
    while (p < end && is_digit(*p)) p++;
    return (end - p == 1 && *p == '#') || is_json_pointer(p, end);
}

static bool is_regex(const char *p, const char *end)
{
    int rc;
    PCRE2_SIZE off;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)p, (size_t)(end - p), PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS, &rc, &off, NULL);
    pcre2_code_free(code);
    return code != NULL;
}

bool format_check(const char *name, const char *s, size_t len)
{
    static const struct { const char *name; bool (*is)(const char *p, const char *end); } formats[] = {
        { "date", is_date }, { "time", is_time }, { "date-time", is_date_time }, { "duration", is_duration },
        { "email", is_email }, { "hostname", is_hostname }, { "ipv4", is_ipv4 }, { "ipv6", is_ipv6 }, { "uuid", is_uuid },
        { "uri", is_uri }, { "uri-reference", is_uri_reference }, { "iri", is_iri }, { "iri-reference", is_iri_reference },
        { "json-pointer", is_json_pointer }, { "relative-json-pointer", is_relative_pointer }, { "regex", is_regex },
    };
    for (size_t i = 0; i < LEN(formats); i++)
        if (!strcmp(name, formats[i].name)) return formats[i].is(s, s + len);
    return true;
}
