/* lex.c -- the inside of a quoted string, byte by byte: UTF-8, escapes, the closing quote.
 *
 * One small state machine stands in front of every string: it turns the bytes as written into the
 * bytes that are meant, so literals, keys and lengths are judged on the value. Three sets of escapes:
 * canonical JSON (raw UTF-8; only what must be escaped, in its short form, controls as \u00xx in
 * lower case), canonical Python (\\ \" \n \t \r and \xNN for the other controls), and any JSON.
 * Malformed UTF-8, overlong forms and lone surrogates never pass. */
#include "grammar/int.h"

/* States: 1-3 = that many continuation bytes missing; 4 after E0, 5 after ED, 6 after F0, 7 after F4. */
int utf8_dfa(int state, uint8_t b)
{
    static const uint8_t lo[] = { 0, 0x80, 0x80, 0x80, 0xa0, 0x80, 0x90, 0x80 };
    static const uint8_t hi[] = { 0, 0xbf, 0xbf, 0xbf, 0xbf, 0x9f, 0xbf, 0x8f };
    static const uint8_t to[] = { 0, 0, 1, 2, 1, 1, 2, 2 };
    if (state) return b >= lo[state] && b <= hi[state] ? to[state] : -1;
    if (b < 0x80) return 0;
    if (b < 0xc2 || b > 0xf4) return -1;
    if (b < 0xe0) return 1;
    if (b < 0xf0) return b == 0xe0 ? 4 : b == 0xed ? 5 : 2;
    return b == 0xf0 ? 6 : b == 0xf4 ? 7 : 3;
}

int utf8_pending(int state)
{
    static const int left[] = { 0, 1, 2, 3, 2, 2, 3, 3 };
    return left[state];
}

static int hex_digit(uint8_t b)
{
    if (b >= '0' && b <= '9') return b - '0';
    if (b >= 'a' && b <= 'f') return b - 'a' + 10;
    if (b >= 'A' && b <= 'F') return b - 'A' + 10;
    return -1;
}

/* The byte after a backslash. */
static enum lex_result escape(uint16_t *lex, uint32_t *part, int esc, uint8_t b, uint8_t out[4],
                              int *n_out)
{
    static const char short_form[] = "\"\"\\\\n\nr\rt\tb\bf\f//";
    size_t most = esc == ESC_PYTHON ? 10 : esc == ESC_JSON ? 14 : 16;
    for (size_t i = 0; i < most; i += 2)
        if (b == (uint8_t)short_form[i]) {
            *lex = LEX_NORMAL;
            out[0] = (uint8_t)short_form[i + 1];
            *n_out = 1;
            return LEX_MORE;
        }
    *part = 0;
    if (b == 'u' && esc != ESC_PYTHON) { *lex = LEX_HEX; return LEX_MORE; }
    if (b == 'x' && esc == ESC_PYTHON) { *lex = LEX_PYHEX; return LEX_MORE; }
    return LEX_NO;
}

/* Canonical text escapes only controls that have no short form, in lower case. */
static bool canonical_hex(uint32_t v, int digits, int esc, bool nul_ok, uint8_t b)
{
    if (b >= 'A' && b <= 'F') return false;
    if (esc == ESC_JSON && digits < 3) return digits == 2 ? v < 2 : v == 0;
    if (esc == ESC_PYTHON && digits < 1) return false;  /* handled by the caller's digit count */
    bool has_short =
        v == '\n' || v == '\r' || v == '\t' || (esc == ESC_JSON && (v == '\b' || v == '\f'));
    return v < 0x20 && !has_short && (v || nul_ok);
}

static enum lex_result hex(uint16_t *lex, uint32_t *part, int esc, bool nul_ok, uint8_t b,
                           uint8_t out[4], int *n_out)
{
    int h = hex_digit(b), k = *lex - LEX_HEX;
    if (h < 0) return LEX_NO;
    uint32_t v = *part * 16 + (uint32_t)h;
    if (esc == ESC_JSON && !canonical_hex(v, k, esc, nul_ok, b)) return LEX_NO;
    *part = v;
    if (k < 3) { ++*lex; return LEX_MORE; }
    if (v >= 0xdc00 && v < 0xe000) return LEX_NO;       /* low surrogate first */
    if (v >= 0xd800 && v < 0xdc00) { *lex = LEX_PAIR; *part = (v - 0xd800) << 16; return LEX_MORE; }
    *lex = LEX_NORMAL;
    *n_out = utf8_put((char *)out, v);
    return LEX_MORE;
}

/* Low half of a surrogate pair: part = high bits << 16 | digits so far. */
static enum lex_result low_half(uint16_t *lex, uint32_t *part, uint8_t b, uint8_t out[4],
                                int *n_out)
{
    int h = hex_digit(b), k = *lex - LEX_LOW;
    if (h < 0) return LEX_NO;
    if ((k == 0 && h != 0xd) || (k == 1 && h < 0xc)) return LEX_NO;
    uint32_t low = (*part & 0xffff) * 16 + (uint32_t)h;
    *part = (*part & 0xffff0000u) | low;
    if (k < 3) { ++*lex; return LEX_MORE; }
    *lex = LEX_NORMAL;
    *n_out = utf8_put((char *)out, 0x10000 + ((*part >> 16) << 10) + (low - 0xdc00));
    return LEX_MORE;
}

static enum lex_result python_hex(uint16_t *lex, uint32_t *part, bool nul_ok, uint8_t b,
                                  uint8_t out[4], int *n_out)
{
    int h = hex_digit(b), k = *lex - LEX_PYHEX;
    if (h < 0 || (b >= 'A' && b <= 'F')) return LEX_NO;
    uint32_t v = *part * 16 + (uint32_t)h;
    if (k == 0) {
        if (v > 1) return LEX_NO;
        *part = v;
        ++*lex;
        return LEX_MORE;
    }
    if (!canonical_hex(v, 1, ESC_PYTHON, nul_ok, b)) return LEX_NO;
    *lex = LEX_NORMAL;
    out[0] = (uint8_t)v;
    *n_out = 1;
    return LEX_MORE;
}

static enum lex_result inside(uint16_t *lex, uint32_t *part, int esc, bool nul_ok, uint8_t b,
                              uint8_t out[4], int *n_out)
{
    if (*lex == LEX_ESC) return escape(lex, part, esc, b, out, n_out);
    if (*lex < LEX_PAIR) return hex(lex, part, esc, nul_ok, b, out, n_out);
    if (*lex == LEX_PAIR) return b == '\\' ? *lex = LEX_PAIR_U, LEX_MORE : LEX_NO;
    if (*lex == LEX_PAIR_U) return b == 'u' ? *lex = LEX_LOW, LEX_MORE : LEX_NO;
    if (*lex < LEX_PYHEX) return low_half(lex, part, b, out, n_out);
    if (*lex < LEX_UTF8) return python_hex(lex, part, nul_ok, b, out, n_out);
    int to = utf8_dfa(*lex - LEX_UTF8, b);
    if (to < 0) return LEX_NO;
    *lex = to ? (uint16_t)(LEX_UTF8 + to) : LEX_NORMAL;
    out[0] = b;
    *n_out = 1;
    return LEX_MORE;
}

enum lex_result lex_step(uint16_t *lex, uint32_t *part, int esc, bool nul_ok, uint8_t b,
                         uint8_t out[4], int *n_out)
{
    *n_out = 0;
    if (*lex != LEX_NORMAL) return inside(lex, part, esc, nul_ok, b, out, n_out);
    if (b == '"') return LEX_CLOSE;
    if (b < 0x20) return LEX_NO;
    if (b == '\\') { *lex = LEX_ESC; return LEX_BEGIN; }
    int to = utf8_dfa(0, b);
    if (to < 0) return LEX_NO;
    if (to) *lex = (uint16_t)(LEX_UTF8 + to);
    out[0] = b;
    *n_out = 1;
    return LEX_BEGIN;
}

int lex_pending(uint16_t lex)
{
    if (lex == LEX_NORMAL) return 0;
    if (lex == LEX_ESC) return 1;
    if (lex < LEX_PAIR) return LEX_PAIR - lex;
    if (lex == LEX_PAIR) return 6;
    if (lex == LEX_PAIR_U) return 5;
    if (lex < LEX_PYHEX) return LEX_PYHEX - lex;
    if (lex < LEX_UTF8) return LEX_UTF8 - lex;
    return utf8_pending(lex - LEX_UTF8);
}

int lex_spell(int esc, uint8_t b, char out[8])
{
    const char *plain = esc == ESC_PYTHON ? "\"\"\\\\\nn\rr\tt" : "\"\"\\\\\nn\rr\tt\bb\ff";
    out[0] = '\\';
    for (; *plain; plain += 2)
        if (b == (uint8_t)plain[0]) { out[1] = plain[1]; return 2; }
    if (b < 0x20) {                     /* asked for so often that printing it would show */
        const char *lead = esc == ESC_PYTHON ? "x" : "u00";
        int n = 1 + (int)strlen(lead);
        memcpy(out + 1, lead, (size_t)n - 1);
        out[n] = "01"[b >> 4];
        out[n + 1] = "0123456789abcdef"[b & 15];
        return n + 2;
    }
    out[0] = (char)b;
    return 1;
}

/* By arithmetic: masks ask this of every half of an escape and every byte that it may become. */
int lex_left(uint16_t lex, uint32_t part, int esc, uint8_t b)
{
    bool python = esc == ESC_PYTHON, brief = b == '"' || b == '\\' || b == '\n' || b == '\r' || b == '\t' || (!python && (b == '\b' || b == '\f'));
    int all = python ? 2 : 4, digits = lex - (python ? LEX_PYHEX : LEX_HEX);
    if (lex == LEX_ESC) return brief ? 1 : b < 0x20 ? 1 + all : -1;
    if (brief || b >= 0x20 || digits < 0 || digits >= all) return -1;
    return !digits || (uint32_t)b >> 4 * (all - digits) == part ? all - digits : -1;
}

bool lex_may_mean(uint16_t lex, uint32_t part, int esc, uint8_t b) { return lex_left(lex, part, esc, b) > 0; }
