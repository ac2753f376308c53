/* formats.c -- the named formats of JSON Schema, as predicates over finished texts.
 *
 * Each follows its RFC as constrained-decoding practice reads it: date and time with real month
 * lengths and leap seconds, RFC 3986 for URIs, RFC 4291 for IPv6, labels of 63 bytes for hosts.
 * Unknown names are annotations and accept everything. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "grammar/int.h"

struct in { const char *p, *end; };

static bool digits(struct in *s, int n, int *out)
{
    *out = 0;
    if (s->end - s->p < n) return false;
    for (int i = 0; i < n; i++) {
        char c = *s->p++;
        if (c < '0' || c > '9') return false;
        *out = *out * 10 + (c - '0');
    }
    return true;
}

static bool eat(struct in *s, char c)
{
    if (s->p >= s->end || *s->p != c) return false;
    s->p++;
    return true;
}

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool hex(char c)
{
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9');
}

/* ---- dates ----------------------------------------------------------------------------------- */

static bool date_part(struct in *s)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int y, m, d;
    if (!digits(s, 4, &y) || !eat(s, '-') || !digits(s, 2, &m) || !eat(s, '-') || !digits(s, 2, &d))
        return false;
    if (m < 1 || m > 12 || d < 1) return false;
    bool leap = y % 4 == 0 && (y % 100 || y % 400 == 0);
    return d <= days[m - 1] + (m == 2 && leap);
}

static bool time_part(struct in *s)
{
    int h, m, sec, oh = 0, om = 0, sign = 0;
    if (!digits(s, 2, &h) || !eat(s, ':') || !digits(s, 2, &m) || !eat(s, ':') ||
        !digits(s, 2, &sec))
        return false;
    if (eat(s, '.')) {
        const char *from = s->p;
        while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
        if (s->p == from) return false;
    }
    if (!eat(s, 'Z') && !eat(s, 'z')) {
        sign = eat(s, '+') ? 1 : eat(s, '-') ? -1 : 0;
        if (!sign || !digits(s, 2, &oh) || !eat(s, ':') || !digits(s, 2, &om) || oh > 23 || om > 59)
            return false;
    }
    if (h > 23 || m > 59 || sec > 60) return false;
    int utc = ((h * 60 + m - sign * (oh * 60 + om)) % 1440 + 1440) % 1440;
    return sec < 60 || utc == 23 * 60 + 59;             /* a leap second ends a UTC day */
}

static bool is_date(struct in s) { return date_part(&s) && s.p == s.end; }
static bool is_time(struct in s) { return time_part(&s) && s.p == s.end; }
static bool is_date_time(struct in s)
{
    return date_part(&s) && (eat(&s, 'T') || eat(&s, 't')) && time_part(&s) && s.p == s.end;
}

/* Units in order without gaps, at least one: nY nM nD or nH nM nS. */
static int units(struct in *s, const char *names)
{
    int n = 0, at = -1;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
        const char *u = s->p < s->end && *s->p ? strchr(names, *s->p) : NULL;
        int k = u ? (int)(u - names) : -1;
        if (k < 0 || (at >= 0 && k != at + 1)) return -1;
        at = k;
        n++;
        s->p++;
    }
    return n;
}

static bool is_duration(struct in s)
{
    if (!eat(&s, 'P')) return false;
    struct in w = s;
    if (units(&w, "W") == 1 && w.p == w.end) return true;
    int n = units(&s, "YMD");
    if (n < 0) return false;
    if (eat(&s, 'T')) {
        int t = units(&s, "HMS");
        if (t <= 0) return false;
        n += t;
    }
    return n > 0 && s.p == s.end;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static bool is_hostname(struct in s)
{
    if (s.p == s.end || s.end - s.p > 253) return false;
    while (s.p < s.end) {
        const char *from = s.p;
        while (s.p < s.end && (alnum(*s.p) || *s.p == '-')) s.p++;
        size_t n = (size_t)(s.p - from);
        if (n < 1 || n > 63 || *from == '-' || s.p[-1] == '-') return false;
        bool reserved = n > 3 && from[2] == '-' && from[3] == '-';
        if (reserved && !((from[0] | 32) == 'x' && (from[1] | 32) == 'n' && n > 4)) return false;
        if (s.p == s.end) return true;
        if (!eat(&s, '.')) return false;
    }
    return false;
}

static bool is_idn_hostname(struct in s)
{
    char ascii[256];                                    /* other letters count as one letter here */
    size_t n = 0;
    while (s.p < s.end && n < sizeof ascii) {
        int len;
        int32_t c = utf8_next(s.p, s.end, &len);
        if (c < 0) return false;
        bool dot = c == 0x3002 || c == 0xff0e || c == 0xff61;
        ascii[n++] = dot ? '.' : c < 0x80 ? (char)c : 'a';
        s.p += len;
    }
    return s.p == s.end && is_hostname((struct in){ ascii, ascii + n });
}

static bool is_ipv4(struct in s)
{
    for (int i = 0; i < 4; i++) {
        const char *from = s.p;
        int v = 0;
        while (s.p < s.end && *s.p >= '0' && *s.p <= '9' && s.p - from < 4)
            v = v * 10 + (*s.p++ - '0');
        if (s.p == from || v > 255 || (*from == '0' && s.p - from > 1) || (i < 3 && !eat(&s, '.')))
            return false;
    }
    return s.p == s.end;
}

static bool is_ipv6(struct in s)
{
    int groups = 0;
    bool gap = false;
    if (s.end - s.p >= 2 && s.p[0] == ':' && s.p[1] == ':') { gap = true; s.p += 2; }
    while (s.p < s.end) {
        const char *from = s.p;
        while (s.p < s.end && hex(*s.p)) s.p++;
        if (s.p < s.end && *s.p == '.')
            return is_ipv4((struct in){ from, s.end }) && (gap ? groups + 2 <= 7 : groups + 2 == 8);
        if (s.p == from || s.p - from > 4) return false;
        groups++;
        if (s.p == s.end) break;
        if (!eat(&s, ':')) return false;
        if (s.p < s.end && *s.p == ':') {
            if (gap) return false;
            gap = true;
            s.p++;
        } else if (s.p == s.end) return false;
    }
    return gap ? groups <= 7 : groups == 8;
}

static bool atext(char c)
{
    return alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c)) || (uint8_t)c >= 0x80;
}

static bool email(struct in s, bool idn)
{
    const char *at = s.end;
    while (at > s.p && at[-1] != '@') at--;
    if (at-- == s.p) return false;
    struct in host = { at + 1, s.end };
    if (!idn) for (const char *p = s.p; p < s.end; p++) if ((uint8_t)*p >= 0x80) return false;
    if (s.p < at && *s.p == '"') {
        for (s.p++; s.p < at && *s.p != '"'; s.p++)
            if ((uint8_t)*s.p < 0x20 || (*s.p == '\\' && ++s.p >= at)) return false;
        if (s.p != at - 1) return false;
    } else {
        if (s.p == at) return false;
        while (true) {
            const char *from = s.p;
            while (s.p < at && atext(*s.p)) s.p++;
            if (s.p == from) return false;
            if (s.p == at) break;
            if (*s.p++ != '.') return false;
        }
    }
    size_t n = (size_t)(host.end - host.p);
    if (n > 2 && *host.p == '[' && host.end[-1] == ']') {
        host.p++;
        host.end--;
        if (n > 7 && !strncmp(host.p, "IPv6:", 5))
            return is_ipv6((struct in){ host.p + 5, host.end });
        return is_ipv4(host);
    }
    return idn ? is_idn_hostname(host) : is_hostname(host);
}

static bool is_email(struct in s) { return email(s, false); }
static bool is_idn_email(struct in s) { return email(s, true); }

/* ---- URIs ------------------------------------------------------------------------------------ */

/* Reads characters of a part: unreserved, sub-delims, %hh, and those in `more`. */
static void uri_chars(struct in *s, const char *more, bool iri)
{
    while (s->p < s->end) {
        char c = *s->p;
        if (c == '%') {
            if (s->end - s->p < 3 || !hex(s->p[1]) || !hex(s->p[2])) return;
            s->p += 3;
        } else if (alnum(c) || (c && (strchr("-._~!$&'()*+,;=", c) || strchr(more, c))) ||
                   (iri && (uint8_t)c >= 0x80))
            s->p++;
        else return;
    }
}

static bool uri_authority(struct in *s, bool iri)
{
    struct in user = *s;
    uri_chars(&user, ":", iri);
    if (user.p < user.end && *user.p == '@') s->p = user.p + 1;
    if (s->p < s->end && *s->p == '[') {
        const char *close = memchr(s->p, ']', (size_t)(s->end - s->p));
        if (!close) return false;
        struct in inside = { s->p + 1, close };
        if (inside.p < inside.end && (*inside.p | 32) == 'v') {
            const char *dot = memchr(inside.p, '.', (size_t)(inside.end - inside.p));
            if (!dot || dot == inside.p + 1 || dot + 1 == inside.end) return false;
        } else if (!is_ipv6(inside)) return false;
        s->p = close + 1;
    } else uri_chars(s, "", iri);
    if (eat(s, ':')) while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p == s->end || strchr("/?#", *s->p);
}

static bool uri(struct in s, bool iri, bool relative)
{
    const char *p = s.p;
    bool scheme = p < s.end && ((*p | 32) >= 'a' && (*p | 32) <= 'z');
    while (scheme && p < s.end && (alnum(*p) || strchr("+-.", *p))) p++;
    scheme = scheme && p < s.end && *p == ':';
    if (scheme) s.p = p + 1;
    else if (!relative) return false;
    if (s.end - s.p >= 2 && s.p[0] == '/' && s.p[1] == '/') {
        s.p += 2;
        if (!uri_authority(&s, iri)) return false;
    } else if (!scheme) {  /* a relative path must not look like a scheme */
        struct in first = s;
        uri_chars(&first, "@", iri);
        if (first.p < first.end && *first.p == ':') return false;
    }
    uri_chars(&s, ":@/", iri);
    if (eat(&s, '?')) uri_chars(&s, ":@/?", iri);
    if (eat(&s, '#')) uri_chars(&s, ":@/?", iri);
    return s.p == s.end;
}

static bool is_uri(struct in s) { return uri(s, false, false); }
static bool is_uri_reference(struct in s) { return uri(s, false, true); }
static bool is_iri(struct in s) { return uri(s, true, false); }
static bool is_iri_reference(struct in s) { return uri(s, true, true); }

/* name, name:4 or name* inside of braces. */
static bool uri_variable(struct in *v)
{
    const char *from = v->p;
    while (v->p < v->end && (alnum(*v->p) || (*v->p && strchr("_.%", *v->p)))) {
        if (*v->p == '.' && (v->p == from || v->p[-1] == '.')) return false;
        v->p++;
    }
    if (v->p == from || v->p[-1] == '.') return false;
    if (!eat(v, ':')) return eat(v, '*'), true;
    const char *digit = v->p;
    while (v->p < v->end && *v->p >= '0' && *v->p <= '9') v->p++;
    return v->p > digit && v->p - digit <= 4 && *digit != '0';
}

static bool is_uri_template(struct in s)
{
    for (; s.p < s.end; s.p++) {
        char c = *s.p;
        if (c == '}' || (uint8_t)c <= 0x20 || c == 0x7f || (c && strchr("\"<>\\^`|", c)))
            return false;
        if (c == '%' && (s.end - s.p < 3 || !hex(s.p[1]) || !hex(s.p[2]))) return false;
        if (c != '{') continue;
        const char *close = memchr(s.p, '}', (size_t)(s.end - s.p));
        if (!close) return false;
        struct in v = { s.p + 1, close };
        if (v.p < v.end && *v.p && strchr("+#./;?&=,!@|", *v.p)) v.p++;
        do {
            if (!uri_variable(&v)) return false;
        } while (eat(&v, ','));
        if (v.p != v.end) return false;
        s.p = close;
    }
    return true;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool is_uuid(struct in s)
{
    if (s.end - s.p != 36) return false;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !hex(s.p[i])) return false;
    }
    return true;
}

static bool is_json_pointer(struct in s)
{
    if (s.p < s.end && *s.p != '/') return false;
    for (; s.p < s.end; s.p++)
        if (*s.p == '~' && (s.end - s.p < 2 || (s.p[1] != '0' && s.p[1] != '1'))) return false;
    return true;
}

static bool is_relative_json_pointer(struct in s)
{
    const char *from = s.p;
    while (s.p < s.end && *s.p >= '0' && *s.p <= '9') s.p++;
    if (s.p == from || (*from == '0' && s.p - from > 1)) return false;
    if (s.end - s.p == 1 && *s.p == '#') return true;
    return is_json_pointer(s);
}

static bool is_regex(struct in s)
{
    int code;
    PCRE2_SIZE at;
    /* groups and escapes that ECMA-262 does not have */
    for (const char *p = s.p; p + 1 < s.end; p++) {
        if (*p == '(' && p[1] == '?' && p + 2 < s.end && !strchr(":=!<", p[2])) return false;
        if (*p != '\\') continue;
        if (p[1] && strchr("aAZzGQEhHRXN", p[1])) return false;
        p++;
    }
    pcre2_compile_context *x = pcre2_compile_context_create(NULL);
    pcre2_set_compile_extra_options(x, PCRE2_EXTRA_ALT_BSUX);
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)s.p, (size_t)(s.end - s.p),
                      PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS, &code, &at, x);
    pcre2_compile_context_free(x);
    pcre2_code_free(c);
    return c != NULL;
}

static const struct { const char *name; bool (*valid)(struct in s);
} rows[] = {
    { "date", is_date },
    { "time", is_time },
    { "date-time", is_date_time },
    { "duration", is_duration },
    { "email", is_email },
    { "idn-email", is_idn_email },
    { "hostname", is_hostname },
    { "idn-hostname", is_idn_hostname },
    { "ipv4", is_ipv4 },
    { "ipv6", is_ipv6 },
    { "uri", is_uri },
    { "uri-reference", is_uri_reference },
    { "iri", is_iri },
    { "iri-reference", is_iri_reference },
    { "uri-template", is_uri_template },
    { "uuid", is_uuid },
    { "json-pointer", is_json_pointer },
    { "relative-json-pointer", is_relative_json_pointer },
    { "regex", is_regex },
};

bool format_known(const char *name)
{
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strcmp(rows[i].name, name)) return true;
    return false;
}

bool format_valid(const char *name, const char *s, size_t len)
{
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strcmp(rows[i].name, name)) return rows[i].valid((struct in){ s, s + len });
    return true;
}
