/* split.c -- pre-tokenizers: cut text into the pieces inside which BPE may merge.
 *
 * A pre-tokenizer is one regular expression, matched left to right; what no alternative matches is
 * a piece too. PCRE2 compiles it to machine code; pieces that are plain ASCII, as is the byte behind
 * them, are found by hand, which takes a fifth of the time and is held against the pattern by a test. Two things are written out instead of left to the
 * engine's flags: white space is the Unicode property White_Space (PCRE2's own \s also takes
 * U+180E), and contractions ignore case in ASCII only.
 *
 * True at all times: the pieces of a text joined are the text, byte for byte. Malformed UTF-8 never
 * reaches the engine: such bytes are cut out beforehand and form pieces of their own, so one pass
 * stays linear and nothing is lost.
 * Threads: a compiled pattern is shared; every thread has match data of its own. */
#include "text/int.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>

#define BLANK "\\x{9}\\x{b}\\x{c}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}" \
              "\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define WS BLANK "\\r\\n"
/* \s*[\r\n]+ with the backtracking taken out: blanks and line ends up to the last line end of the
 * run. */
#define LINES "(?:[" BLANK "]*+[\\r\\n]++)++"
#define SPACES "[" WS "]+(?![^" WS "])|[" WS "]++"
#define CONTRACTION "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define LLAMA3(digits) CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}++|" digits \
    "| ?[^" WS "\\p{L}\\p{N}]++[\\r\\n]*+|" LINES "|" SPACES
#define GPT2 "'(?:[stmd]|re|ve|ll)| ?\\p{L}++| ?\\p{N}++| ?[^" WS "\\p{L}\\p{N}]++|" SPACES

/* ---- ASCII by hand --------------------------------------------------------------------------- */

/* Letter, digit, blank, line end, other. */
static const char ascii_class[] = "OOOOOOOOOBEBBEOOOOOOOOOOOOOOOOOO"
                                  "BOOOOOOOOOOOOOOODDDDDDDDDDOOOOOO"
                                  "OLLLLLLLLLLLLLLLLLLLLLLLLLLOOOOO"
                                  "OLLLLLLLLLLLLLLLLLLLLLLLLLLOOOOO";
_Static_assert(sizeof ascii_class == 129, "a class for each of 128 characters");
enum { LETTER = 'L', DIGIT = 'D', SPACE = 'B', LINE_END = 'E', OTHER = 'O', BEYOND = 'X', NOTHING = 0 };

static int class_at(const char *p, const char *end)
{
    if (p == end) return NOTHING;
    return *p & 0x80 ? BEYOND : ascii_class[(uint8_t)*p];
}

/* End of the run of one class; NULL: what is behind it may belong to it. */
static const char *run_of(const char *p, const char *end, int class)
{
    int c;
    while ((c = class_at(p, end)) == class) p++;
    return c == BEYOND ? NULL : p;
}

static bool in_set(const char *p, const char *end, const char *set) { return p < end && *p && strchr(set, *p); }

/* Length of a contraction at p, 0: none. */
static int contraction(const char *p, const char *end, bool any_case)
{
    static const char *const two[][2] = { { "rR", "eE" }, { "vV", "eE" }, { "lL", "lL" } };
    if (in_set(p + 1, end, any_case ? "sStTmMdD" : "stmd")) return 2;
    for (size_t i = 0; i < LEN(two); i++)
        if (in_set(p + 1, end, two[i][0]) && in_set(p + 2, end, two[i][1]) && (any_case || ((p[1] & p[2]) & 0x20))) return 3;
    return 0;
}

/* Blanks and line ends: up to the last line end (lines), else all but the one before what follows. */
static const char *spaces(const char *p, const char *end, bool lines)
{
    const char *q = p, *last = NULL;
    int c;
    for (; (c = class_at(q, end)) == SPACE || c == LINE_END; q++)
        if (c == LINE_END) last = q + 1;
    if (c == BEYOND) return NULL;
    if (lines && last) return last;
    return c == NOTHING || q == p + 1 ? q : q - 1;
}

/* The end of the piece at p; NULL: the pattern has to say. */
typedef const char *ascii_fn(const char *p, const char *end, int digits);

static const char *llama3_ascii(const char *p, const char *end, int digits)
{
    int c = class_at(p, end), next = class_at(p + 1, end);
    if (c == LETTER) return run_of(p, end, LETTER);
    if (c == DIGIT) {
        const char *q = p + 1;
        while (q < p + digits && class_at(q, end) == DIGIT) q++;
        return q < p + digits && class_at(q, end) == BEYOND ? NULL : q;
    }
    if (c == BEYOND || next == BEYOND) return NULL;
    int n = *p == '\'' ? contraction(p, end, true) : 0;
    if (n) return p + n;
    if (c != LINE_END && next == LETTER) return run_of(p + 1, end, LETTER);
    if (c == OTHER || (*p == ' ' && next == OTHER)) {
        const char *q = run_of(p + 1, end, OTHER);
        while (q && class_at(q, end) == LINE_END) q++;
        return q;
    }
    return spaces(p, end, true);
}

static const char *gpt2_ascii(const char *p, const char *end, int digits)
{
    (void)digits;
    int c = class_at(p, end), n = *p == '\'' ? contraction(p, end, false) : 0;
    if (n) return p + n;
    const char *q = *p == ' ' ? p + 1 : p;
    if (q > p) c = class_at(q, end);
    if (c == BEYOND) return NULL;
    return c == LETTER || c == DIGIT || c == OTHER ? run_of(q, end, c) : spaces(p, end, false);
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct kind {
    const char *pre, *pattern;
    bool whole_first, adds_bos;
    ascii_fn *ascii;
    int digits;                                                       /* most of one piece; LLAMA3 alone */
} kinds[] = {
    { "lfm2",      LLAMA3("\\p{N}{1,3}"), true,  true,  llama3_ascii, 3 },
    { "llama-bpe", LLAMA3("\\p{N}{1,3}"), true,  true,  llama3_ascii, 3 },
    { "llama3",    LLAMA3("\\p{N}{1,3}"), true,  true,  llama3_ascii, 3 },
    { "llama-v3",  LLAMA3("\\p{N}{1,3}"), true,  true,  llama3_ascii, 3 },
    { "qwen2",     LLAMA3("\\p{N}"),      false, false, llama3_ascii, 1 },
    { "gpt-2",     GPT2,                  false, false, gpt2_ascii,   0 },
};

struct split { const struct kind *kind; pcre2_code *code; };

static const struct kind *find_kind(const char *pre, size_t len)
{
    for (size_t i = 0; i < LEN(kinds); i++)
        if (strlen(kinds[i].pre) == len && !memcmp(kinds[i].pre, pre, len)) return &kinds[i];
    return NULL;
}

struct split *split_open(const char *pre, size_t len, struct err *e)
{
    const struct kind *k = find_kind(pre, len);
    if (!k) {
        err_set(e, ERR_UNSUPPORTED,
                "pre-tokenizer \"%.*s\" is not known; known are lfm2, llama-bpe, "
                "qwen2 and gpt-2",
                (int)MIN(len, 60), pre);
        return NULL;
    }
    int code = 0;
    PCRE2_SIZE at = 0;
    struct split *s = mem_zero(sizeof *s);
    s->kind = k;
    s->code = pcre2_compile((PCRE2_SPTR)k->pattern, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_NO_UTF_CHECK, &code, &at, NULL);
    if (!s->code) {
        err_set(e, ERR_INTERNAL, "pattern of pre-tokenizer %s: PCRE2 error %d at %zu", k->pre, code,
                (size_t)at);
        mem_free(s);
        return NULL;
    }
    /* Without a JIT for this machine pcre2_match() interprets: slower, same pieces. */
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE);
    return s;
}

void split_close(struct split *s)
{
    if (!s) return;
    pcre2_code_free(s->code);
    mem_free(s);
}

bool split_whole_first(const struct split *s) { return s->kind->whole_first; }
bool split_adds_bos(const struct split *s) { return s->kind->adds_bos; }

/* ---- match data, one per thread -------------------------------------------------------------- */

static pthread_key_t match_key;
static pthread_once_t match_once = PTHREAD_ONCE_INIT;
static _Thread_local pcre2_match_data *match_mine;

static void match_drop(void *md) { pcre2_match_data_free(md); }
static void match_setup(void) { pthread_key_create(&match_key, match_drop); }

static pcre2_match_data *match_data(void)
{
    if (!match_mine) {
        pthread_once(&match_once, match_setup);
        match_mine = pcre2_match_data_create(1, NULL);
        pthread_setspecific(match_key, match_mine);
    }
    return match_mine;
}

/* ---- walking --------------------------------------------------------------------------------- */

/* End of the longest stretch at p that is well-formed throughout (want) or malformed throughout. */
static const char *stretch(const char *p, const char *end, bool want)
{
    while (p < end) {
        int n = 1;
        if ((uint8_t)*p >= 0x80 ? (utf8_next(p, end, &n) >= 0) != want : !want) break;
        p += n;
    }
    return p;
}

/* Finds the next match at or after w->p inside the well-formed stretch. */
static void find_hit(struct split_walk *w)
{
    pcre2_match_data *md = match_data();
    int rc = md ? pcre2_match(w->s->code, (PCRE2_SPTR)w->p, (PCRE2_SIZE)(w->run_end - w->p), 0,
                              PCRE2_NO_UTF_CHECK, md, NULL) : -1;
    w->hit = w->hit_end = w->run_end;                  /* nothing matches: all of it is one piece */
    if (rc < 0) return;
    const PCRE2_SIZE *o = pcre2_get_ovector_pointer(md);
    if (o[1] <= o[0]) return;
    w->hit_end = w->p + o[1];
    w->hit = w->p + o[0];
}

bool split_next(struct split_walk *w, struct bytes *piece)
{
    if (w->p >= w->end) return false;
    const char *from = w->p;
    if (!w->run_end || w->p >= w->run_end) {
        w->run_end = stretch(w->p, w->end, true);
        w->hit_end = NULL;
        if (w->run_end == w->p) {
            w->p = stretch(w->p, w->end, false);
            *piece = (struct bytes){ from, (size_t)(w->p - from) };
            return true;
        }
    }
    if (!w->hit_end || w->hit_end <= w->p) {
        const char *by_hand = w->pattern_only ? NULL : w->s->kind->ascii(w->p, w->run_end, w->s->kind->digits);
        if (by_hand) {
            w->p = by_hand;
            *piece = (struct bytes){ from, (size_t)(w->p - from) };
            return true;
        }
        find_hit(w);
    }
    w->p = w->hit > w->p ? w->hit : w->hit_end;
    *piece = (struct bytes){ from, (size_t)(w->p - from) };
    return true;
}
