/* jinja_unicode.c -- what Python knows about characters: classes and upper, lower and title case.
 *
 * Classes come from PCRE2's tables (one pattern a class, matched against one character), simple case
 * mappings from the C library's UTF-8 locale, the few that make several characters from the table
 * here. ASCII goes past all of it. */
#include "text/jinja_int.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PRINTABLE, ALPHA, DECIMAL, NUMERIC, UPPER, LOWER, TITLE, N_CLASS };
static const char *const patterns[N_CLASS] = {
    [PRINTABLE] = "[^\\p{C}\\p{Z}]", [ALPHA] = "\\p{L}", [DECIMAL] = "\\p{Nd}", [NUMERIC] = "\\p{N}",
    [UPPER] = "\\p{Lu}", [LOWER] = "\\p{Ll}", [TITLE] = "\\p{Lt}" };
static pcre2_code *code[N_CLASS];
static locale_t utf8_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void compile_classes(void)
{
    int why;
    PCRE2_SIZE at;
    for (int i = 0; i < N_CLASS; i++)
        code[i] = pcre2_compile((PCRE2_SPTR)patterns[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &why, &at, NULL);
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static bool ask(uint32_t cp, int class)
{
    char s[4];
    pthread_once(&once, compile_classes);
    if (!code[class]) return false;
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    bool yes = pcre2_match(code[class], (PCRE2_SPTR)s, (PCRE2_SIZE)utf8_put(s, cp), 0, PCRE2_NO_UTF_CHECK, m, NULL) > 0;
    pcre2_match_data_free(m);
    return yes;
}

/* A text has few different characters: what was asked is kept. */
static bool is(uint32_t cp, int class)
{
    static _Thread_local struct kept { uint32_t cp; uint8_t known, yes; } cache[1024];
    struct kept *k = &cache[cp % LEN(cache)];
    uint8_t bit = (uint8_t)(1 << class);
    if (k->cp != cp) *k = (struct kept){ .cp = cp };
    if (!(k->known & bit)) {
        k->known |= bit;
        if (ask(cp, class)) k->yes |= bit;
    }
    return k->yes & bit;
}

static bool ascii_letter(uint32_t cp) { return (cp | 32) >= 'a' && (cp | 32) <= 'z'; }
static bool ascii_digit(uint32_t cp) { return cp >= '0' && cp <= '9'; }
/* ¹²³ ⁰ ⁴-⁹ ₀-₉: digits that make no decimal number. */
static bool raised_digit(uint32_t cp)
{
    return cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089);
}

bool cp_printable(uint32_t cp) { return cp < 0x80 ? cp >= 0x20 && cp < 0x7f : is(cp, PRINTABLE); }
bool cp_alpha(uint32_t cp) { return cp < 0x80 ? ascii_letter(cp) : is(cp, ALPHA); }
bool cp_decimal(uint32_t cp) { return cp < 0x80 ? ascii_digit(cp) : is(cp, DECIMAL); }
bool cp_digit(uint32_t cp) { return raised_digit(cp) || cp_decimal(cp); }
bool cp_numeric(uint32_t cp) { return cp < 0x80 ? ascii_digit(cp) : is(cp, NUMERIC); }
bool cp_word(uint32_t cp) { return cp == '_' || cp_alpha(cp) || cp_numeric(cp); }
bool cp_upper_is(uint32_t cp) { return cp < 0x80 ? cp >= 'A' && cp <= 'Z' : is(cp, UPPER); }
bool cp_lower_is(uint32_t cp) { return cp < 0x80 ? cp >= 'a' && cp <= 'z' : is(cp, LOWER) || cp == 0xaa || cp == 0xba; }
bool cp_cased(uint32_t cp) { return cp < 0x80 ? ascii_letter(cp) : cp_upper_is(cp) || cp_lower_is(cp) || is(cp, TITLE); }

/* Characters whose upper case is several; title case is the first of them and the rest in lower case. */
static const struct { uint32_t cp, upper[3], title[3]; } several[] = {
    { 0xdf, { 'S', 'S' }, { 'S', 's' } }, { 0x149, { 0x2bc, 'N' }, { 0x2bc, 'N' } }, { 0x1f0, { 'J', 0x30c }, { 'J', 0x30c } },
    { 0x390, { 0x399, 0x308, 0x301 }, { 0x399, 0x308, 0x301 } }, { 0x3b0, { 0x3a5, 0x308, 0x301 }, { 0x3a5, 0x308, 0x301 } },
    { 0x587, { 0x535, 0x552 }, { 0x535, 0x582 } }, { 0x1e96, { 'H', 0x331 }, { 'H', 0x331 } }, { 0x1e97, { 'T', 0x308 }, { 'T', 0x308 } },
    { 0x1e98, { 'W', 0x30a }, { 'W', 0x30a } }, { 0x1e99, { 'Y', 0x30a }, { 'Y', 0x30a } }, { 0x1e9a, { 'A', 0x2be }, { 'A', 0x2be } },
    { 0xfb00, { 'F', 'F' }, { 'F', 'f' } }, { 0xfb01, { 'F', 'I' }, { 'F', 'i' } }, { 0xfb02, { 'F', 'L' }, { 'F', 'l' } },
    { 0xfb03, { 'F', 'F', 'I' }, { 'F', 'f', 'i' } }, { 0xfb04, { 'F', 'F', 'L' }, { 'F', 'f', 'l' } },
    { 0xfb05, { 'S', 'T' }, { 'S', 't' } }, { 0xfb06, { 'S', 'T' }, { 'S', 't' } },
};

static int found_several(uint32_t cp, bool title, uint32_t out[3])
{
    int n = 0;
    for (size_t i = 0; i < LEN(several); i++)
        if (several[i].cp == cp)
            for (const uint32_t *p = title ? several[i].title : several[i].upper; n < 3 && p[n]; n++) out[n] = p[n];
    return n;
}

int cp_upper(uint32_t cp, uint32_t out[3])
{
    int n = cp < 0x80 ? 0 : found_several(cp, false, out);
    if (n) return n;
    pthread_once(&once, compile_classes);
    if (cp < 0x80) out[0] = cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
    else out[0] = utf8_locale ? (uint32_t)towupper_l((wint_t)cp, utf8_locale) : cp;
    return 1;
}

int cp_lower(uint32_t cp, uint32_t out[3])
{
    if (cp == 0x130) {
        out[0] = 'i', out[1] = 0x307;
        return 2;
    }
    pthread_once(&once, compile_classes);
    if (cp < 0x80) out[0] = cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    else out[0] = utf8_locale ? (uint32_t)towlower_l((wint_t)cp, utf8_locale) : cp;
    return 1;
}

int cp_title(uint32_t cp, uint32_t out[3])
{
    int n = cp < 0x80 ? 0 : found_several(cp, true, out);
    if (n) return n;
    if (cp >= 0x1c4 && cp <= 0x1cc) return out[0] = cp < 0x1c7 ? 0x1c5 : cp < 0x1ca ? 0x1c8 : 0x1cb, 1;
    if (cp >= 0x1f1 && cp <= 0x1f3) return out[0] = 0x1f2, 1;
    return cp_upper(cp, out);
}
