/* base64.c -- bytes as text, RFC 4648 section 4, padded. */
#include "base/base.h"

static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct str *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t k = MIN(n - i, 3u);
        uint32_t w = (uint32_t)p[i] << 16 | (k > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (k > 2 ? p[i + 2] : 0u);
        char four[4] = { digit[w >> 18], digit[w >> 12 & 63], k > 1 ? digit[w >> 6 & 63] : '=', k > 2 ? digit[w & 63] : '=' };
        str_put(out, four, 4);
    }
}

static int value_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct str *out, const char *p, size_t n)
{
    size_t was = out->len, pad = 0;
    while (pad < MIN(n, 2u) && p[n - 1 - pad] == '=') pad++;
    uint32_t w = 0;
    for (size_t i = 0; n % 4 == 0 && i < n; i++) {
        int v = i < n - pad ? value_of(p[i]) : 0;
        if (v < 0) break;
        w = w << 6 | (uint32_t)v;
        if (i % 4 != 3) continue;
        const char three[3] = { (char)(w >> 16), (char)(w >> 8), (char)w };
        size_t k = i + 1 == n ? 3 - pad : 3;
        if (k < 3 && w & (k == 1 ? 0xffffu : 0xffu)) break;           /* bits that nothing would write */
        str_put(out, three, k);
        w = 0;
        if (i + 1 == n) return true;
    }
    if (!n) return true;
    out->len = was;
    return false;
}
