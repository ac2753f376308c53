/* uri.c -- references resolved against a base (RFC 3986, section 5.2).
 *
 * Works on text alone: nothing is decoded, case is kept, and only dot segments are taken out, so two
 * URIs are the same if their bytes are. A base may be relative or empty (a document that has no name):
 * the result is then relative, in the same way for all that is said inside of it. Fragments are the
 * caller's. */
#include "grammar/int.h"

struct uri { struct bytes scheme, authority, path, query; };  /* p NULL: not there (the path always is) */

static bool is_alpha(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static size_t scheme_len(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n &&
           (is_alpha(p[i]) || (i && ((p[i] >= '0' && p[i] <= '9') || memchr("+-.", p[i], 3)))))
        i++;
    return i && i < n && p[i] == ':' ? i : 0;
}

static struct uri uri_split(const char *p, size_t n)
{
    struct uri u = { 0 };
    size_t k = scheme_len(p, n);
    if (k) {
        u.scheme = (struct bytes){ p, k };
        p += k + 1;
        n -= k + 1;
    }
    const char *query = memchr(p, '?', n);
    if (query) {
        u.query = (struct bytes){ query + 1, n - (size_t)(query + 1 - p) };
        n = (size_t)(query - p);
    }
    if (n >= 2 && p[0] == '/' && p[1] == '/') {
        const char *end = memchr(p + 2, '/', n - 2);
        size_t len = end ? (size_t)(end - p) : n;
        u.authority = (struct bytes){ p + 2, len - 2 };
        p += len;
        n -= len;
    }
    u.path = (struct bytes){ p, n };
    return u;
}

/* Takes the last segment off what was written since `from`; a leading slash stays. */
static void pop_segment(struct str *out, size_t from)
{
    bool rooted = out->len > from && out->p[from] == '/';
    size_t i = out->len;
    if (i > from) i--;                                  /* the slash behind it */
    while (i > from && out->p[i - 1] != '/') i--;
    if (i == from && rooted) i++;
    out->len = i;
    if (out->p) out->p[i] = 0;
}

/* Appends a path without its dot segments; `from`: where the whole path begins in out. */
static void put_path(struct str *out, size_t from, struct bytes path)
{
    const char *p = path.p, *end = path.p + path.len;
    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t len = slash ? (size_t)(slash - p) : (size_t)(end - p);
        if (len == 2 && p[0] == '.' && p[1] == '.') pop_segment(out, from);
        else if (!(len == 1 && *p == '.')) str_put(out, p, len + (slash != NULL));
        p += len + (slash != NULL);
    }
}

static void put_part(struct str *out, const char *before, struct bytes part, const char *behind)
{
    if (!part.p) return;
    str_puts(out, before);
    str_put(out, part.p, part.len);
    str_puts(out, behind);
}

/* The path of the base up to its last slash, for a relative path to go on from. */
static struct bytes folder_of(const struct uri *base)
{
    struct bytes p = base->path;
    if (base->authority.p && !p.len) return (struct bytes){ "/", 1 };
    while (p.len && p.p[p.len - 1] != '/') p.len--;
    return p;
}

void uri_resolve(struct str *out, const char *base, const char *ref, size_t n)
{
    struct uri b = uri_split(base, strlen(base)), r = uri_split(ref, n);
    bool own_scheme = r.scheme.p, own_host = own_scheme || r.authority.p;
    put_part(out, "", own_scheme ? r.scheme : b.scheme, ":");
    put_part(out, "//", own_host ? r.authority : b.authority, "");
    size_t from = out->len;
    if (!own_host && !r.path.len) {
        str_put(out, b.path.p, b.path.len);
        put_part(out, "?", r.query.p ? r.query : b.query, "");
        return;
    }
    bool opaque = own_scheme && (!r.path.len || *r.path.p != '/');    /* urn:a:b has no segments */
    if (opaque) str_put(out, r.path.p, r.path.len);
    else {
        if (!own_host && *r.path.p != '/') put_path(out, from, folder_of(&b));
        put_path(out, from, r.path);
    }
    put_part(out, "?", r.query, "");
}
