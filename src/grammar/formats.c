/* formats.c -- the named formats of JSON Schema, as predicates over finished texts.
 *
 * Each follows its RFC as constrained-decoding practice reads it: date and time with real month
 * lengths and leap seconds, RFC 3986 and 3987 for URIs and IRIs, RFC 4291 for IPv6. Hosts are
 * judged by format_host.c, patterns by format_regex.c; format_text.c says most of this again, as
 * patterns. Unknown names are annotations and accept everything. Texts are UTF-8. */
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
    return host_valid(HOST_ASCII, s.p, (size_t)(s.end - s.p));
}

static bool is_idn_hostname(struct in s)
{
    return host_valid(HOST_IDN, s.p, (size_t)(s.end - s.p));
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

/* Words of atext between dots. */
static bool dot_string(struct in s)
{
    do {
        const char *from = s.p;
        while (s.p < s.end && atext(*s.p)) s.p++;
        if (s.p == from) return false;
    } while (eat(&s, '.'));
    return s.p == s.end;
}

static bool quoted_string(struct in s)
{
    if (!eat(&s, '"')) return false;
    for (; s.p < s.end && *s.p != '"'; s.p++) {
        if (*s.p == '\\' && (++s.p == s.end || (uint8_t)*s.p >= 0x80)) return false;
        if ((uint8_t)*s.p < 0x20 || *s.p == 0x7f) return false;
    }
    return eat(&s, '"') && s.p == s.end;
}

/* A mailbox of RFC 5321; idn: of RFC 6531. */
static bool email(struct in s, bool idn)
{
    const char *at = memrchr(s.p, '@', (size_t)(s.end - s.p));
    if (!at) return false;
    struct in local = { s.p, at }, host = { at + 1, s.end };
    if (!idn) for (const char *p = s.p; p < s.end; p++) if ((uint8_t)*p >= 0x80) return false;
    if (!dot_string(local) && !quoted_string(local)) return false;
    size_t n = (size_t)(host.end - host.p);
    if (n < 2 || *host.p != '[' || host.end[-1] != ']')
        return host_valid(idn ? HOST_IDN_EMAIL : HOST_EMAIL, host.p, n);
    host.p++;
    host.end--;
    if (n > 7 && !strncasecmp(host.p, "IPv6:", 5))
        return is_ipv6((struct in){ host.p + 5, host.end });
    return is_ipv4(host);
}

static bool is_email(struct in s) { return email(s, false); }
static bool is_idn_email(struct in s) { return email(s, true); }

/* ---- URIs ------------------------------------------------------------------------------------ */

/* Bytes of a character beyond ASCII that an IRI may have (RFC 3987: ucschar, and iprivate in
 * queries). */
static int iri_char(const struct in *s, bool private)
{
    int n;
    int32_t c = utf8_next(s->p, s->end, &n), low = c & 0xffff;
    if (c < 0xa0 || (c >= 0xfdd0 && c <= 0xfdef) || low >= 0xfffe) return 0;
    if (c >= 0xfff0 && c <= 0xffff) return 0;
    if ((c >= 0xe000 && c <= 0xf8ff) || c >= 0xf0000) return private ? n : 0;
    return c >= 0xe0000 && c < 0xe1000 ? 0 : n;         /* tags and variation selectors */
}

static bool percent(struct in *s)
{
    if (s->end - s->p < 3 || *s->p != '%' || !hex(s->p[1]) || !hex(s->p[2])) return false;
    s->p += 3;
    return true;
}

enum iri_kind { NO_IRI, IRI, IRI_QUERY };               /* which letters beyond ASCII are welcome */

/* Reads characters of a part: unreserved, sub-delims, %hh, and those in `more`. */
static void uri_chars(struct in *s, const char *more, enum iri_kind iri)
{
    while (s->p < s->end) {
        char c = *s->p;
        int n = iri && (uint8_t)c >= 0x80 ? iri_char(s, iri == IRI_QUERY) : 0;
        if (n) s->p += n;
        else if (alnum(c) || (c && (strchr("-._~!$&'()*+,;=", c) || strchr(more, c)))) s->p++;
        else if (!percent(s)) return;
    }
}

/* v, a hexadecimal version, a dot, an address: RFC 3986's room for what comes after IPv6. */
static bool is_ip_future(struct in s)
{
    if (!eat(&s, 'v') && !eat(&s, 'V')) return false;
    const char *from = s.p;
    while (s.p < s.end && hex(*s.p)) s.p++;
    if (s.p == from || !eat(&s, '.') || s.p == s.end) return false;
    if (memchr(s.p, '%', (size_t)(s.end - s.p))) return false;
    uri_chars(&s, ":", NO_IRI);
    return s.p == s.end;
}

static bool uri_authority(struct in *s, enum iri_kind iri)
{
    struct in user = *s;
    uri_chars(&user, ":", iri);
    if (user.p < user.end && *user.p == '@') s->p = user.p + 1;
    if (s->p < s->end && *s->p == '[') {
        const char *close = memchr(s->p, ']', (size_t)(s->end - s->p));
        if (!close) return false;
        struct in inside = { s->p + 1, close };
        if (!is_ip_future(inside) && !is_ipv6(inside)) return false;
        s->p = close + 1;
    } else uri_chars(s, "", iri);
    if (eat(s, ':')) while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p == s->end || (*s->p && strchr("/?#", *s->p));
}

static bool uri(struct in s, enum iri_kind iri, bool relative)
{
    const char *p = s.p;
    bool scheme = p < s.end && ((*p | 32) >= 'a' && (*p | 32) <= 'z');
    while (scheme && p < s.end && (alnum(*p) || (*p && strchr("+-.", *p)))) p++;
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
    if (eat(&s, '?')) uri_chars(&s, ":@/?", iri ? IRI_QUERY : NO_IRI);
    if (eat(&s, '#')) uri_chars(&s, ":@/?", iri);
    return s.p == s.end;
}

static bool is_uri(struct in s) { return uri(s, NO_IRI, false); }
static bool is_uri_reference(struct in s) { return uri(s, NO_IRI, true); }
static bool is_iri(struct in s) { return uri(s, IRI, false); }
static bool is_iri_reference(struct in s) { return uri(s, IRI, true); }

static bool varchar(struct in *s)
{
    if (s->p == s->end || (!alnum(*s->p) && *s->p != '_')) return percent(s);
    s->p++;
    return true;
}

/* name, name:4 or name* inside of braces. */
static bool uri_variable(struct in *v)
{
    do {
        if (!varchar(v)) return false;
        while (varchar(v)) {}
    } while (eat(v, '.'));
    if (!eat(v, ':')) return eat(v, '*'), true;
    const char *digit = v->p;
    while (v->p < v->end && *v->p >= '0' && *v->p <= '9') v->p++;
    return v->p > digit && v->p - digit <= 4 && *digit != '0';
}

static bool uri_expression(struct in *s)
{
    if (s->p < s->end && *s->p && strchr("+#./;?&=,!@|", *s->p)) s->p++;
    do {
        if (!uri_variable(s)) return false;
    } while (eat(s, ','));
    return eat(s, '}');
}

static bool is_uri_template(struct in s)
{
    while (s.p < s.end) {
        uint8_t c = (uint8_t)*s.p;
        int n = c >= 0x80 ? iri_char(&s, true)
                          : c > 0x20 && c != 0x7f && !strchr("\"<>\\^`|}{%", c);
        if (n) s.p += n;
        else if (eat(&s, '{') ? !uri_expression(&s) : !percent(&s)) return false;
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
    return regex_valid(s.p, (size_t)(s.end - s.p));
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
