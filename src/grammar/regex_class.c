/* regex_class.c -- sets of code points: the classes of escapes, Unicode properties, and their bytes.
 *
 * A property is asked of PCRE2 once a process: one scan over all code points, kept under a lock.
 * term_cps() writes a set as a trie of UTF-8 bytes in which equal branches are one. Surrogates are
 * no code points here: they are in no set. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>

#include "grammar/regex_int.h"

#define CP_LAST 0x10FFFFu

/* ---- sets ------------------------------------------------------------------------------------ */

void cps_done(struct cps *c)
{
    mem_free(c->r);
    memset(c, 0, sizeof *c);
}

void cps_add(struct cps *c, uint32_t lo, uint32_t hi)
{
    MEM_GROW(c->r, c->n, c->cap);
    c->r[c->n++] = (struct cp_range){ lo, hi };
}

static int by_low(const void *x, const void *y)
{
    uint32_t a = ((const struct cp_range *)x)->lo, b = ((const struct cp_range *)y)->lo;
    return (a > b) - (a < b);
}

void cps_tidy(struct cps *c)
{
    bool sorted = true;
    for (uint32_t i = 1; i < c->n && sorted; i++) sorted = c->r[i - 1].lo <= c->r[i].lo;
    if (!sorted) qsort(c->r, c->n, sizeof *c->r, by_low);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (n && c->r[i].lo <= c->r[n - 1].hi + 1) c->r[n - 1].hi = MAX(c->r[n - 1].hi, c->r[i].hi);
        else c->r[n++] = c->r[i];
    }
    c->n = n;
}

void cps_add_all(struct cps *c, const struct cp_range *r, uint32_t n, bool invert)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!invert) cps_add(c, r[i].lo, r[i].hi);
        else if (r[i].lo > from) cps_add(c, from, r[i].lo - 1);
        from = r[i].hi + 1;
    }
    if (invert && from <= CP_LAST) cps_add(c, from, CP_LAST);
}

void cps_invert(struct cps *c)
{
    struct cps out = { 0 };
    cps_add_all(&out, c->r, c->n, true);
    cps_done(c);
    *c = out;
}

static const struct cp_range digits[] = { { '0', '9' } };
static const struct cp_range word[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
static const struct cp_range space[] = {
    { 9, 13 }, { 32, 32 }, { 0xA0, 0xA0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200A }, { 0x2028, 0x2029 },
    { 0x202F, 0x202F }, { 0x205F, 0x205F }, { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF },
};
static const struct cp_range breaks[] = { { 10, 10 }, { 13, 13 }, { 0x2028, 0x2029 } };

void cps_add_escape(struct cps *c, char which)
{
    switch (which) {
    case 'd': case 'D': cps_add_all(c, digits, LEN(digits), which == 'D'); break;
    case 'w': case 'W': cps_add_all(c, word, LEN(word), which == 'W'); break;
    case 's': case 'S': cps_add_all(c, space, LEN(space), which == 'S'); break;
    default:            cps_add_all(c, breaks, LEN(breaks), true); break;
    }
}

/* ---- Unicode properties ---------------------------------------------------------------------- */

/* Long names of general categories, for PCRE2 knows the short ones only. */
static const struct { const char *longer, *shorter; } categories[] = {
    { "Letter", "L" }, { "Cased_Letter", "L&" }, { "LC", "L&" }, { "Uppercase_Letter", "Lu" }, { "Lowercase_Letter", "Ll" },
    { "Titlecase_Letter", "Lt" }, { "Modifier_Letter", "Lm" }, { "Other_Letter", "Lo" }, { "Mark", "M" },
    { "Combining_Mark", "M" }, { "Nonspacing_Mark", "Mn" }, { "Spacing_Mark", "Mc" }, { "Enclosing_Mark", "Me" },
    { "Number", "N" }, { "Decimal_Number", "Nd" }, { "digit", "Nd" }, { "Letter_Number", "Nl" },
    { "Other_Number", "No" }, { "Punctuation", "P" }, { "punct", "P" }, { "Connector_Punctuation", "Pc" },
    { "Dash_Punctuation", "Pd" }, { "Open_Punctuation", "Ps" }, { "Close_Punctuation", "Pe" },
    { "Initial_Punctuation", "Pi" }, { "Final_Punctuation", "Pf" }, { "Other_Punctuation", "Po" },
    { "Symbol", "S" }, { "Math_Symbol", "Sm" }, { "Currency_Symbol", "Sc" }, { "Modifier_Symbol", "Sk" },
    { "Other_Symbol", "So" }, { "Separator", "Z" }, { "Space_Separator", "Zs" }, { "Line_Separator", "Zl" },
    { "Paragraph_Separator", "Zp" }, { "Other", "C" }, { "Control", "Cc" }, { "cntrl", "Cc" }, { "Format", "Cf" },
    { "Surrogate", "Cs" }, { "Private_Use", "Co" }, { "Unassigned", "Cn" },
    { "L", "L" }, { "Lu", "Lu" }, { "Ll", "Ll" }, { "Lt", "Lt" }, { "Lm", "Lm" }, { "Lo", "Lo" }, { "M", "M" }, { "Mn", "Mn" },
    { "Mc", "Mc" }, { "Me", "Me" }, { "N", "N" }, { "Nd", "Nd" }, { "Nl", "Nl" }, { "No", "No" }, { "P", "P" }, { "Pc", "Pc" },
    { "Pd", "Pd" }, { "Ps", "Ps" }, { "Pe", "Pe" }, { "Pi", "Pi" }, { "Pf", "Pf" }, { "Po", "Po" }, { "S", "S" }, { "Sm", "Sm" },
    { "Sc", "Sc" }, { "Sk", "Sk" }, { "So", "So" }, { "Z", "Z" }, { "Zs", "Zs" }, { "Zl", "Zl" }, { "Zp", "Zp" }, { "C", "C" },
    { "Cc", "Cc" }, { "Cf", "Cf" }, { "Cs", "Cs" }, { "Co", "Co" }, { "Cn", "Cn" },
};

/* The name as PCRE2 spells it: into out; false for what cannot be one. */
static bool pcre_name(const char *name, size_t len, char out[80])
{
    struct bytes b = { name, len };
    const char *eq = memchr(name, '=', len);
    size_t key = eq ? (size_t)(eq - name) : 0;
    struct bytes k = { name, key }, v = eq ? (struct bytes){ eq + 1, len - key - 1 } : b;
    if (len == 0 || len > 60 || v.len == 0) return false;
    for (size_t i = 0; i < v.len; i++) {
        char c = v.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    bool script = bytes_eq(k, "sc") || bytes_eq(k, "Script");
    bool ext = bytes_eq(k, "scx") || bytes_eq(k, "Script_Extensions");
    if (script || ext) return snprintf(out, 80, "\\p{%s:%.*s}", script ? "sc" : "scx", (int)v.len, v.p) > 0;
    if (eq && !bytes_eq(k, "gc") && !bytes_eq(k, "General_Category")) return false;
    for (size_t i = 0; i < LEN(categories); i++)
        if (bytes_eq(v, categories[i].longer)) return snprintf(out, 80, "\\p{%s}", categories[i].shorter) > 0;
    if (eq) return false;
    if (bytes_eq(v, "ASCII")) return snprintf(out, 80, "[\\x{0}-\\x{7F}]") > 0;
    if (bytes_eq(v, "Assigned")) return snprintf(out, 80, "\\P{Cn}") > 0;
    return snprintf(out, 80, "\\p{%.*s}", (int)v.len, v.p) > 0;
}

/* All code points that match a one-character pattern. */
static bool scan(const char *pattern, struct cps *out)
{
    int code;
    size_t off;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED, &code, &off, NULL);
    if (!re) return false;
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    for (uint32_t cp = 0; cp <= CP_LAST; cp++) {
        char text[4];
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        int n = utf8_put(text, cp);
        if (pcre2_match(re, (PCRE2_SPTR)text, (size_t)n, 0, PCRE2_NO_UTF_CHECK, m, NULL) <= 0) continue;
        if (out->n && out->r[out->n - 1].hi + 1 == cp) out->r[out->n - 1].hi = cp;
        else cps_add(out, cp, cp);
    }
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return true;
}

const struct cps *cps_property(const char *name, size_t len)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct property { char *pattern; struct cps set; struct property *next; } *known;
    char pattern[80];
    if (!pcre_name(name, len, pattern)) return NULL;
    pthread_mutex_lock(&lock);
    struct property *p = known;
    while (p && strcmp(p->pattern, pattern)) p = p->next;
    if (!p) {
        struct cps set = { 0 };
        if (scan(pattern, &set)) {
            p = mem_zero(sizeof *p);
            *p = (struct property){ mem_str(pattern), set, known };
            known = p;
        }
    }
    pthread_mutex_unlock(&lock);
    return p ? &p->set : NULL;
}

/* ---- a set as bytes -------------------------------------------------------------------------- */

struct split { struct terms *s; const struct cp_range *r; uint32_t n; };

/* How much of [lo, hi] the set covers: 0 nothing, 2 all, 1 some. *i: first range that may reach it. */
static int cover(const struct split *x, uint32_t *i, uint32_t lo, uint32_t hi)
{
    while (*i < x->n && x->r[*i].hi < lo) ++*i;
    if (*i == x->n || x->r[*i].lo > hi) return 0;
    return x->r[*i].lo <= lo && x->r[*i].hi >= hi ? 2 : 1;
}

/* The trailing `more` bytes of the code points base + [0, 64^more). full: all of them belong. */
static uint32_t tail(struct split *x, int more, uint32_t base, uint32_t i, bool full)
{
    if (full || more == 0) return x->s->full[more];
    uint32_t of[64], n = 0, step = 1u << 6 * (more - 1);
    struct bset by[64];
    for (uint32_t b = 0; b < 64; b++) {
        uint32_t lo = base + b * step, k = 0;
        int c = cover(x, &i, lo, lo + step - 1);
        if (!c) continue;
        uint32_t t = tail(x, more - 1, lo, i, c == 2);
        while (k < n && of[k] != t) k++;
        if (k == n) { of[n] = t; by[n++] = (struct bset){ { 0 } }; }
        bset_add(&by[k], (uint8_t)(0x80 + b));
    }
    for (uint32_t k = 0; k < n; k++) of[k] = term_cat(x->s, term_set(x->s, &by[k]), of[k]);
    return term_alt(x->s, of, n);
}

/* The code points of one lead byte: what follows the lead. The shortest form and the surrogates are
 * already cut out of the set, so that a whole block of E0, ED, F0, F4 is never "all". */
static void leads(struct split *x, uint8_t lead, uint8_t last, int more, uint32_t *out, uint32_t *n_out)
{
    uint32_t of[32], n = 0, i = 0, size = 1u << 6 * more;
    struct bset by[32];
    uint32_t mask = more == 1 ? 0x1F : more == 2 ? 0x0F : 0x07;
    for (uint32_t b = lead; b <= last; b++) {
        uint32_t base = (b & mask) * size, k = 0;
        int c = cover(x, &i, base, base + size - 1);
        if (!c) continue;
        uint32_t t = tail(x, more, base, i, c == 2);
        while (k < n && of[k] != t) k++;
        if (k == n) { of[n] = t; by[n++] = (struct bset){ { 0 } }; }
        bset_add(&by[k], (uint8_t)b);
    }
    for (uint32_t k = 0; k < n; k++) out[(*n_out)++] = term_cat(x->s, term_set(x->s, &by[k]), of[k]);
}

/* The part of a tidy set that has n-byte encodings. */
static uint32_t clip(const struct cp_range *r, uint32_t n, uint32_t lo, uint32_t hi, struct cp_range *out)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++)
        if (r[i].hi >= lo && r[i].lo <= hi)
            out[m++] = (struct cp_range){ MAX(r[i].lo, lo), MIN(r[i].hi, hi) };
    return m;
}

uint32_t term_cps(struct terms *s, const struct cp_range *r, uint32_t n)
{
    uint32_t kid[128], n_kid = 0;
    struct bset ascii = { { 0 } };
    for (uint32_t i = 0; i < n && r[i].lo < 0x80; i++)
        for (uint32_t c = r[i].lo; c <= r[i].hi && c < 0x80; c++) bset_add(&ascii, (uint8_t)c);
    if (ascii.w[0] | ascii.w[1]) kid[n_kid++] = term_set(s, &ascii);
    if (n && r[n - 1].hi >= 0x80) {
        struct cp_range few[64], *part = n + 2 <= LEN(few) ? few : mem_alloc((n + 2) * sizeof *part);
        struct split x = { s, part, 0 };
        x.n = clip(r, n, 0x80, 0x7FF, part);
        if (x.n) leads(&x, 0xC2, 0xDF, 1, kid, &n_kid);
        x.n = clip(r, n, 0x800, 0xD7FF, part);
        x.n += clip(r, n, 0xE000, 0xFFFF, part + x.n);
        if (x.n) leads(&x, 0xE0, 0xEF, 2, kid, &n_kid);
        x.n = clip(r, n, 0x10000, CP_LAST, part);
        if (x.n) leads(&x, 0xF0, 0xF4, 3, kid, &n_kid);
        if (part != few) mem_free(part);
    }
    return term_alt(s, kid, n_kid);
}
