/* format_host.c -- names of hosts: RFC 1123, and IDNA2008 where libidn2 is there to know its
 * tables.
 *
 * A host is labels between dots. A label is plain (letters, digits, hyphens), an A-label (xn--
 * and Punycode) or a U-label (letters beyond ASCII). libidn2 judges the last two alone, as a
 * registry would: code points, context, normal form, canonical Punycode. Added here is what it
 * does not look at: the rules of RFC 5893 between the labels of a name that has right-to-left
 * letters, and its mix of digits.
 *
 * Without libidn2 an A-label need only be made of letters, digits and hyphens, and a code point
 * beyond ASCII counts as one letter: names that are too lenient, none that is too strict. */
#ifdef TENON_IDN2
#include <idn2.h>
#endif

#include "grammar/int.h"

enum { MOST_LABEL = 63, MOST_HOST = 253 };

struct host {
    enum host_kind kind;
    size_t ascii_len;                   /* of the labels so far, as they go over the wire */
    bool rtl, not_ltr;                  /* a label is right to left; one cannot stand beside it */
};

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_ldh(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!alnum(p[i]) && p[i] != '-') return false;
    return n >= 1 && n <= MOST_LABEL && p[0] != '-' && p[n - 1] != '-';
}

static bool is_ascii(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)p[i] >= 0x80) return false;
    return true;
}

#ifdef TENON_IDN2
/* Of the code points that IDNA2008 lets into labels: European and Arabic digits (EN, AN), and those
 * with no direction of their own (ON). Marks (NSM) are taken as part of what they stand on. */
static bool is_in(int32_t c, int32_t lo, int32_t hi) { return c >= lo && c <= hi; }
static bool is_en(int32_t c) { return is_in(c, '0', '9') || is_in(c, 0x6f0, 0x6f9); }
static bool is_an(int32_t c) { return is_in(c, 0x660, 0x669) || is_in(c, 0x10d30, 0x10d39); }
static bool is_neutral(int32_t c)
{
    static const int32_t on[][2] = {
        { 0xb7, 0xb7 }, { 0x2b9, 0x2ba }, { 0x2c6, 0x2cf }, { 0x2ec, 0x2ec }, { 0x375, 0x375 },
        { 0x2e2f, 0x2e2f }, { 0x30fb, 0x30fb }, { 0xa67f, 0xa67f }, { 0xa717, 0xa71f },
        { 0xa788, 0xa788 } };
    for (size_t i = 0; i < LEN(on); i++)
        if (is_in(c, on[i][0], on[i][1])) return true;
    return false;
}

/* The blocks of right-to-left scripts. A label with such letters begins with one: libidn2 sees to
 * that. */
static bool is_rtl(int32_t c)
{
    bool in_block = is_in(c, 0x590, 0x8ff) || is_in(c, 0xfb1d, 0xfdff) ||
                    is_in(c, 0xfe70, 0xfeff) || is_in(c, 0x10800, 0x10fff) ||
                    is_in(c, 0x1e800, 0x1efff);
    return in_block && !is_en(c);
}

static bool bidi(struct host *h, const char *u)
{
    const char *end = u + strlen(u);
    int32_t first = 0, last = 0;
    bool en = false, an = false;
    for (int n; u < end; u += n) {
        last = utf8_next(u, end, &n);
        if (last < 0) return false;
        if (!first) first = last;
        en = en || is_en(last);
        an = an || is_an(last);
    }
    if (is_rtl(first)) h->rtl = true;
    else if (is_en(first) || is_neutral(first) || is_neutral(last)) h->not_ltr = true;
    return !(en && an);
}

/* label: ASCII in lower case, or another; a NUL at its end. */
static bool idn_label(struct host *h, char *label)
{
    uint8_t *a = NULL;
    char *u = NULL;
    bool ascii = is_ascii(label, strlen(label)), ok;
    const uint8_t *text = (const uint8_t *)label;
    /* a registry's view of one label; of an A-label it compares the way there with the way back */
    ok = idn2_register_u8(ascii ? NULL : text, ascii ? text : NULL, &a, 0) == IDN2_OK && a &&
         (!ascii || idn2_to_unicode_8z8z(label, &u, 0) == IDN2_OK) && bidi(h, ascii ? u : label);
    if (ok) h->ascii_len += strlen((char *)a);
    idn2_free(a);
    idn2_free(u);
    return ok;
}

static bool plain_label(struct host *h, const char *p, size_t n);

/* A label with letters beyond ASCII, or of A-label form. */
static bool other_label(struct host *h, const char *p, size_t n)
{
    char buf[4 * MOST_LABEL + 1];
    if (n >= sizeof buf || memchr(p, 0, n)) return false;
    memcpy(buf, p, n);
    buf[n] = 0;
    if (is_ascii(p, n)) {
        for (size_t i = 0; i < n; i++)
            if (buf[i] >= 'A' && buf[i] <= 'Z') buf[i] |= 32;
        return is_ldh(buf, n) && idn_label(h, buf);
    }
    if (h->kind != HOST_IDN_EMAIL) return idn_label(h, buf);
    /* mail is written by people: case, width and composition are mapped before the verdict */
    uint8_t *a = NULL;
    bool ok = idn2_lookup_u8((uint8_t *)buf, &a, IDN2_NONTRANSITIONAL) == IDN2_OK && a &&
              (strncmp((char *)a, "xn--", 4) ? plain_label(h, (char *)a, strlen((char *)a))
                                             : idn_label(h, (char *)a));
    idn2_free(a);
    return ok;
}
#else
static bool other_label(struct host *h, const char *p, size_t n)
{
    char buf[MOST_LABEL + 1];
    size_t k = 0;
    int len;
    for (const char *end = p + n; p < end; p += len) {
        int32_t c = utf8_next(p, end, &len);
        if (c < 0 || k == sizeof buf) return false;
        buf[k++] = c < 0x80 ? (char)c : 'a';
    }
    h->ascii_len += k;
    return is_ldh(buf, k) && (is_ascii(p - n, n) ? k > 4 : k < 4 || buf[2] != '-' || buf[3] != '-');
}
#endif

static bool plain_label(struct host *h, const char *p, size_t n)
{
    h->ascii_len += n;
    if (n && p[0] >= '0' && p[0] <= '9') h->not_ltr = true;
    /* hyphens in places three and four announce an encoding; RFC 5321 knows nothing of it */
    bool reserved = h->kind != HOST_EMAIL && n > 3 && p[2] == '-' && p[3] == '-';
    return is_ldh(p, n) && !reserved;
}

static bool label_valid(struct host *h, const char *p, size_t n)
{
    bool ascii = is_ascii(p, n);
    bool a_label = h->kind != HOST_EMAIL && n >= 4 && !strncasecmp(p, "xn--", 4);
    if (ascii && !a_label) return plain_label(h, p, n);
    if (!ascii && (h->kind == HOST_ASCII || h->kind == HOST_EMAIL)) return false;
    return other_label(h, p, n);
}

/* Bytes of the dot at p; 0: none. IDNA takes the dots of East Asian keyboards too. */
static int dot(const struct host *h, const char *p, const char *end)
{
    int n;
    if (*p == '.') return 1;
    if ((h->kind != HOST_IDN && h->kind != HOST_IDN_EMAIL) || (uint8_t)*p < 0x80) return 0;
    int32_t c = utf8_next(p, end, &n);
    return c == 0x3002 || c == 0xff0e || c == 0xff61 ? n : 0;
}

bool host_valid(enum host_kind kind, const char *p, size_t len)
{
    struct host h = { .kind = kind };
    const char *end = p + len, *from = p;
    size_t dots = 0;
    while (p < end) {
        int n = dot(&h, p, end);
        if (!n) { p++; continue; }
        if (!label_valid(&h, from, (size_t)(p - from))) return false;
        from = p += n;
        dots++;
    }
    return label_valid(&h, from, (size_t)(end - from)) && !(h.rtl && h.not_ltr) &&
           (kind == HOST_EMAIL || h.ascii_len + dots <= MOST_HOST);
}
