/* str.c -- growing byte strings and UTF-8. */
#include "base/base.h"

static void str_room(struct str *s, size_t more)
{
    size_t need = s->len + more + 1;
    if (need <= s->cap) return;
    s->cap = MAX(need, s->cap * 2 + 32);
    s->p = mem_resize(s->p, s->cap);
}

void str_done(struct str *s)
{
    mem_free(s->p);
    *s = (struct str){ 0 };
}

void str_clear(struct str *s)
{
    s->len = 0;
    if (s->p) s->p[0] = 0;
}

void str_put(struct str *s, const void *bytes, size_t n)
{
    str_room(s, n);
    if (n) memcpy(s->p + s->len, bytes, n);
    s->len += n;
    s->p[s->len] = 0;
}

void str_puts(struct str *s, const char *text)
{
    str_put(s, text, strlen(text));
}

void str_putc(struct str *s, char c)
{
    if (s->len + 2 > s->cap) str_room(s, 1);
    s->p[s->len++] = c;
    s->p[s->len] = 0;
}

void str_vfmt(struct str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0) {
        str_room(s, (size_t)n);
        vsnprintf(s->p + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void str_fmt(struct str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(s, fmt, ap);
    va_end(ap);
}

char *str_take(struct str *s)
{
    if (!s->p) str_put(s, "", 0);
    char *p = s->p;
    *s = (struct str){ 0 };
    return p;
}

bool bytes_eq(struct bytes a, const char *s)
{
    size_t n = strlen(s);
    return a.len == n && (!n || memcmp(a.p, s, n) == 0);
}

/* ---- UTF-8 ---- */

static int lead_length(unsigned char c)
{
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF) return 2;
    if (c >= 0xE0 && c <= 0xEF) return 3;
    if (c >= 0xF0 && c <= 0xF4) return 4;
    return 0;
}

int32_t utf8_next(const char *p, const char *end, int *n)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = (unsigned char)*p;
    int len = lead_length(c);
    *n = 1;
    if (len == 1) return c;
    if (!len || end - p < len) return -1;
    uint32_t cp = c & (0xFFu >> (len + 1));
    for (int i = 1; i < len; i++) {
        unsigned char d = (unsigned char)p[i];
        if ((d & 0xC0) != 0x80) return -1;
        cp = cp << 6 | (d & 0x3F);
    }
    if (cp < least[len] || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) return -1;
    *n = len;
    return (int32_t)cp;
}

/* ASCII, eight bytes at a time. */
static const char *skip_ascii(const char *p, const char *end)
{
    uint64_t w;
    while (end - p >= 8 && (memcpy(&w, p, 8), !(w & 0x8080808080808080u))) p += 8;
    while (p < end && !(*p & 0x80)) p++;
    return p;
}

bool utf8_valid(const char *p, size_t len)
{
    for (const char *end = p + len; (p = skip_ascii(p, end)) < end;) {
        int n;
        if (utf8_next(p, end, &n) < 0) return false;
        p += n;
    }
    return true;
}

int utf8_put(char out[4], uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00 >> n) | cp);
    return n;
}

size_t utf8_whole(const char *p, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)p[len - back];
        if ((c & 0xC0) == 0x80) continue;
        return lead_length(c) > (int)back ? len - back : len;
    }
    return len;
}

void str_put_utf8(struct str *s, const char *p, size_t len)
{
    for (const char *end = p + len; p < end;) {
        int n;
        if (utf8_next(p, end, &n) < 0) str_puts(s, "\xEF\xBF\xBD");
        else str_put(s, p, (size_t)n);
        p += n;
    }
}
