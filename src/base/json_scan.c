/* json_scan.c -- the strict reader in front of json-c: RFC 8259 to the letter, with byte offsets.
 *
 * json-c accepts comments, NaN, trailing commas, single quotes and repeated keys, and reports no useful
 * position. So the text is scanned first; json-c only ever sees text that this scan has accepted. The
 * scan also notes where each number stands, because json-c forgets how integers were written. */
#include <stdlib.h>

#include "base/json_int.h"

struct scan {
    const char *text, *p, *end;
    int depth;
    struct json_marks *marks;
    struct key { uint64_t hash; size_t off; } *key;                   /* keys of all open objects, innermost last */
    size_t n_key, cap_key;
    struct str name;                                                  /* the decoded key being read */
    struct err *e;
};

static bool scan_value(struct scan *s);

static bool bad(struct scan *s, const char *at, const char *what)
{
    return err_set(s->e, ERR_FORMAT, "byte %zu: %s", (size_t)(at - s->text), what);
}

static bool unexpected(struct scan *s, const char *wanted)
{
    size_t at = (size_t)(s->p - s->text);
    if (s->p == s->end) return err_set(s->e, ERR_FORMAT, "byte %zu: expected %s, got the end", at, wanted);
    unsigned char c = (unsigned char)*s->p;
    if (c > 0x20 && c < 0x7F) return err_set(s->e, ERR_FORMAT, "byte %zu: expected %s, got '%c'", at, wanted, c);
    return err_set(s->e, ERR_FORMAT, "byte %zu: expected %s, got byte 0x%02x", at, wanted, c);
}

static void blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) s->p++;
}

static bool at(const struct scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static int hex4(const char *p, const char *end)
{
    if (end - p < 4) return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

/* \uXXXX or a pair of them; p stands after the backslash, on 'u'. */
static bool scan_unicode(struct scan *s, struct str *out)
{
    int hi = hex4(s->p + 1, s->end);
    if (hi < 0) return bad(s, s->p, "\\u needs four hexadecimal digits");
    uint32_t cp = (uint32_t)hi;
    const char *start = s->p;
    s->p += 5;
    if (hi >= 0xDC00 && hi <= 0xDFFF) return bad(s, start, "a low surrogate without its high one");
    if (hi >= 0xD800 && hi <= 0xDBFF) {
        int lo = s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end) : -1;
        if (lo < 0xDC00 || lo > 0xDFFF) return bad(s, start, "a high surrogate without its low one");
        cp = 0x10000 + (((uint32_t)hi - 0xD800) << 10) + ((uint32_t)lo - 0xDC00);
        s->p += 6;
    }
    char utf8[4];
    if (out) str_put(out, utf8, (size_t)utf8_put(utf8, cp));
    return true;
}

static bool scan_escape(struct scan *s, struct str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    s->p++;
    if (s->p == s->end) return unexpected(s, "an escaped character");
    if (*s->p == 'u') return scan_unicode(s, out);
    const char *f = *s->p ? strchr(from, *s->p) : NULL;
    if (!f) return bad(s, s->p - 1, "unknown escape; \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX are accepted");
    if (out) str_putc(out, to[f - from]);
    s->p++;
    return true;
}

/* out, if not NULL, receives the decoded text. */
static bool scan_string(struct scan *s, struct str *out)
{
    const char *start = s->p++;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p == '\\') {
            if (!scan_escape(s, out)) return false;
            continue;
        }
        if ((unsigned char)*s->p < 0x20) return bad(s, s->p, "a control character inside a string must be escaped");
        int n;
        if (utf8_next(s->p, s->end, &n) < 0) return bad(s, s->p, "not valid UTF-8");
        if (out) str_put(out, s->p, (size_t)n);
        s->p += n;
    }
    if (s->p == s->end) return bad(s, start, "a string that begins here has no end");
    s->p++;
    return true;
}

static bool digits(struct scan *s)
{
    const char *start = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p > start ? true : unexpected(s, "a digit");
}

static bool scan_number(struct scan *s)
{
    const char *start = s->p;
    if (at(s, '-')) s->p++;
    if (at(s, '0')) {
        s->p++;
        if (s->p < s->end && *s->p >= '0' && *s->p <= '9') return bad(s, start, "a number must not begin with 0");
    } else if (!digits(s)) return false;
    if (at(s, '.')) {
        s->p++;
        if (!digits(s)) return false;
    }
    if (at(s, 'e') || at(s, 'E')) {
        s->p++;
        if (at(s, '+') || at(s, '-')) s->p++;
        if (!digits(s)) return false;
    }
    struct json_marks *m = s->marks;
    MEM_GROW(m->number, m->n, m->cap);
    m->number[m->n++] = (struct bytes){ start, (size_t)(s->p - start) };
    return true;
}

static bool scan_word(struct scan *s)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < LEN(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->p) < n || memcmp(s->p, words[i], n)) continue;
        s->p += n;
        return true;
    }
    return unexpected(s, "a JSON value");
}

static bool scan_array(struct scan *s)
{
    s->p++;
    blanks(s);
    if (at(s, ']')) {
        s->p++;
        return true;
    }
    for (;;) {
        if (!scan_value(s)) return false;
        blanks(s);
        if (at(s, ']')) break;
        if (!at(s, ',')) return unexpected(s, "',' or ']'");
        s->p++;
    }
    s->p++;
    return true;
}

static int by_hash(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

/* Two equal 64-bit hashes among the keys of one object count as the same key. */
static bool keys_differ(struct scan *s, size_t first)
{
    struct key *k = s->key + first;
    size_t n = s->n_key - first;
    qsort(k, n, sizeof *k, by_hash);
    for (size_t i = 1; i < n; i++)
        if (k[i].hash == k[i - 1].hash) return bad(s, s->text + k[i].off, "the same key a second time in one object");
    s->n_key = first;
    return true;
}

static bool scan_member(struct scan *s)
{
    blanks(s);
    if (!at(s, '"')) return unexpected(s, "a key in double quotes");
    size_t off = (size_t)(s->p - s->text);
    str_clear(&s->name);
    if (!scan_string(s, &s->name)) return false;
    if (s->name.len && memchr(s->name.p, 0, s->name.len)) return bad(s, s->text + off, "a key must not hold \\u0000");
    MEM_GROW(s->key, s->n_key, s->cap_key);
    s->key[s->n_key++] = (struct key){ hash64(s->name.p, s->name.len, 0), off };
    blanks(s);
    if (!at(s, ':')) return unexpected(s, "':'");
    s->p++;
    return scan_value(s);
}

static bool scan_object(struct scan *s)
{
    size_t first = s->n_key;
    s->p++;
    blanks(s);
    if (at(s, '}')) {
        s->p++;
        return true;
    }
    for (;;) {
        if (!scan_member(s)) return false;
        blanks(s);
        if (at(s, '}')) break;
        if (!at(s, ',')) return unexpected(s, "',' or '}'");
        s->p++;
    }
    s->p++;
    return keys_differ(s, first);
}

static bool scan_value(struct scan *s)
{
    blanks(s);
    if (s->p == s->end) return unexpected(s, "a JSON value");
    if (*s->p == '"') return scan_string(s, NULL);
    if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9')) return scan_number(s);
    if (*s->p != '{' && *s->p != '[') return scan_word(s);
    if (++s->depth > JSON_DEPTH) return bad(s, s->p, "nested deeper than 512 levels");
    bool ok = *s->p == '{' ? scan_object(s) : scan_array(s);
    s->depth--;
    return ok;
}

bool json_scan(const char *text, size_t len, struct json_marks *marks, struct err *e)
{
    struct scan s = { .text = text, .p = text, .end = text + len, .marks = marks, .e = e };
    bool ok = scan_value(&s);
    if (ok) {
        blanks(&s);
        if (s.p != s.end) ok = unexpected(&s, "nothing more after the value");
    }
    mem_free(s.key);
    str_done(&s.name);
    return ok;
}
