/* json_scan.c -- the reader: RFC 8259 to the letter, with byte offsets, in one pass.
 *
 * Texts and values go into a pool (json_int.h). What a container holds is kept on two stacks until it is closed, and
 * becomes a list of its exact length then. */
#include <stdlib.h>

#include "base/json_int.h"

struct scan {
    const char *text, *p, *end;
    int depth;
    struct json_pool pool;
    struct json **item; size_t n_item, cap_item;                      /* elements of all open arrays, innermost last */
    struct key { const char *at; size_t n; bool plain; struct json *value; } *key;     /* of all open objects: where it stands, what it says */
    size_t n_key, cap_key;
    struct err *e;
};

static struct json *scan_value(struct scan *s);

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
static bool scan_unicode(struct scan *s, char **out)
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
    int n = utf8_put(utf8, cp);
    memcpy(*out, utf8, (size_t)n);
    *out += n;
    return true;
}

static bool scan_escape(struct scan *s, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    s->p++;
    if (s->p == s->end) return unexpected(s, "an escaped character");
    if (*s->p == 'u') return scan_unicode(s, out);
    const char *f = *s->p ? strchr(from, *s->p) : NULL;
    if (!f) return bad(s, s->p - 1, "unknown escape; \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX are accepted");
    *(*out)++ = to[f - from];
    s->p++;
    return true;
}

/* Goes over a string; *n bytes are what it says, and is it written as it is? p is left behind the closing quote. */
static bool scan_string(struct scan *s, size_t *n, bool *plain)
{
    const char *start = s->p++;
    size_t saved = 0;                   /* bytes of escapes beyond what they say */
    while (s->p < s->end && *s->p != '"') {
        unsigned char c = (unsigned char)*s->p;
        if (c == '\\') {
            char said[4], *out = said;
            const char *before = s->p;
            if (!scan_escape(s, &out)) return false;
            saved += (size_t)(s->p - before) - (size_t)(out - said);
        } else if (c >= 0x80) {
            int k;
            if (utf8_next(s->p, s->end, &k) < 0) return bad(s, s->p, "not valid UTF-8");
            s->p += k;
        } else if (c < 0x20) {
            return bad(s, s->p, "a control character inside a string must be escaped");
        } else s->p++;
    }
    if (s->p == s->end) return bad(s, start, "a string that begins here has no end");
    *n = (size_t)(s->p++ - start) - 1 - saved;
    *plain = !saved;
    return true;
}

/* What the string at p, gone over before, says, n bytes, into out. */
static void string_into(struct scan *s, const char *start, size_t n, bool plain, char *out)
{
    if (plain) {
        if (n) memcpy(out, start + 1, n);
        return;
    }
    const char *end = s->p;
    for (s->p = start + 1; *s->p != '"';) {
        if (*s->p == '\\') scan_escape(s, &out);
        else *out++ = *s->p++;
    }
    s->p = end;
}

static struct json *string_value(struct scan *s)
{
    const char *start = s->p;
    size_t n;
    bool plain;
    if (!scan_string(s, &n, &plain)) return NULL;
    struct json *v = json_pool_text(&s->pool, JSON_STRING, n);
    string_into(s, start, n, plain, v->text);
    return v;
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
    return true;
}

static struct json *number_value(struct scan *s)
{
    const char *start = s->p;
    if (!scan_number(s)) return NULL;
    struct json *v = json_pool_text(&s->pool, JSON_NUMBER, (size_t)(s->p - start));
    memcpy(v->text, start, v->len);
    return v;
}

static struct json *word_value(struct scan *s)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < LEN(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->p) < n || memcmp(s->p, words[i], n)) continue;
        s->p += n;
        if (i == 2) return json_new_null();
        struct json *v = json_pool_value(&s->pool, JSON_BOOL);
        v->truth = !i;
        return v;
    }
    unexpected(s, "a JSON value");
    return NULL;
}

static struct json *array_value(struct scan *s)
{
    size_t first = s->n_item;
    s->p++;
    blanks(s);
    for (bool more = !at(s, ']'); more;) {
        struct json *v = scan_value(s);
        if (!v) return NULL;
        MEM_GROW(s->item, s->n_item, s->cap_item);
        s->item[s->n_item++] = v;
        blanks(s);
        more = at(s, ',');
        if (more) s->p++;
        else if (!at(s, ']')) {
            unexpected(s, "',' or ']'");
            return NULL;
        }
    }
    s->p++;
    size_t n = s->n_item - first;
    struct json *v = json_pool_array(&s->pool, n ? s->item + first : NULL, n);
    s->n_item = first;
    return v;
}

static bool scan_member(struct scan *s)
{
    blanks(s);
    if (!at(s, '"')) return unexpected(s, "a key in double quotes");
    struct key k = { .at = s->p };
    size_t here = s->n_key;
    if (!scan_string(s, &k.n, &k.plain)) return false;
    MEM_GROW(s->key, here, s->cap_key);
    s->key[s->n_key++] = k;
    blanks(s);
    if (!at(s, ':')) return unexpected(s, "':'");
    s->p++;
    struct json *v = scan_value(s);     /* the stack may move meanwhile */
    s->key[here].value = v;
    return v != NULL;
}

/* The object whose keys begin at `first`; all of it is read. */
static struct json *object_of(struct scan *s, size_t first)
{
    size_t n = s->n_key - first, bytes = 0, twice;
    const struct key *k = n ? s->key + first : NULL;
    char *at;
    for (size_t i = 0; i < n; i++) bytes += k[i].n + 1;
    struct json *v = json_pool_object(&s->pool, n, bytes, &at);
    const char *zero = NULL;
    for (size_t i = 0; i < n; i++) {
        string_into(s, k[i].at, k[i].n, k[i].plain, at);
        at[k[i].n] = 0;
        if (!k[i].plain && !zero && memchr(at, 0, k[i].n)) zero = k[i].at;
        v->member[i] = (struct member){ at, (uint32_t)k[i].n, false, k[i].value };
        at += k[i].n + 1;
    }
    s->n_key = first;
    bool ok = !zero && json_members_done(v, &twice);
    if (ok) return v;
    if (zero) bad(s, zero, "a key must not hold \\u0000");
    else bad(s, k[twice].at, "the same key a second time in one object");
    MEM_GROW(s->item, s->n_item, s->cap_item);          /* to be freed with the rest */
    s->item[s->n_item++] = v;
    return NULL;
}

static struct json *object_value(struct scan *s)
{
    size_t first = s->n_key;
    s->p++;
    blanks(s);
    for (bool more = !at(s, '}'); more;) {
        if (!scan_member(s)) return NULL;
        blanks(s);
        more = at(s, ',');
        if (more) s->p++;
        else if (!at(s, '}')) {
            unexpected(s, "',' or '}'");
            return NULL;
        }
    }
    s->p++;
    return object_of(s, first);
}

static struct json *scan_value(struct scan *s)
{
    blanks(s);
    if (s->p == s->end) {
        unexpected(s, "a JSON value");
        return NULL;
    }
    if (*s->p == '"') return string_value(s);
    if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9')) return number_value(s);
    if (*s->p != '{' && *s->p != '[') return word_value(s);
    if (++s->depth > JSON_DEPTH) {
        bad(s, s->p, "nested deeper than 512 levels");
        return NULL;
    }
    struct json *v = *s->p == '{' ? object_value(s) : array_value(s);
    s->depth--;
    return v;
}

/* What open containers held when reading stopped. The pool is closed: its values are counted. */
static void forget(struct scan *s)
{
    for (size_t i = 0; i < s->n_item; i++) json_free(s->item[i]);
    for (size_t i = 0; i < s->n_key; i++) json_free(s->key[i].value);
}

struct json *json_scan(const char *text, size_t len, struct err *e)
{
    struct scan s = { .text = text, .p = text, .end = text + len, .e = e };
    json_pool_open(&s.pool, len * 4);
    struct json *v = scan_value(&s);
    if (v) blanks(&s);
    bool more = v && s.p != s.end;
    if (more) unexpected(&s, "nothing more after the value");
    json_pool_close(&s.pool);
    if (!v) forget(&s);
    if (more) json_free(v);
    mem_free(s.item);
    mem_free(s.key);
    return more ? NULL : v;
}
