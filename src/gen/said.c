/* said.c -- the last user turn as words and numbers: what an argument may be copied from.
 *
 * Numbers are read in digits ("$10,000", "20ft", "[10,15]"), in words ("forty two", "two hundred", "a dozen") and as shares ("5%"). Of a
 * word is kept whether it is a name (a capital that no sentence begins with) and which quotation it stands in. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "gen/value.h"

/* ---- reading a request ------------------------------------------------------------------------- */

static bool is_part(unsigned char c) { return isalnum(c) || c >= 0x80; }

/* Is the quote at byte i the beginning of a quotation, and where does that end? 0: it is not. */
static size_t quotation(const struct offer *o, size_t i)
{
    const char *t = o->text.p;
    char q = t[i];
    bool opens = (q == '"' || q == '\'') && (!i || isspace((unsigned char)t[i - 1]) || strchr("([{=:", t[i - 1]));
    if (!opens || i + 1 >= o->text.len || isspace((unsigned char)t[i + 1])) return 0;
    for (size_t k = i + 2; k < o->text.len; k++)
        if (t[k] == q && !isspace((unsigned char)t[k - 1]) && (k + 1 == o->text.len || !is_part((unsigned char)t[k + 1]))) return k;
    return 0;
}

/* Words of quotations, but of one around all that is said. */
static void mark_quotes(struct offer *o)
{
    int n = 0;
    for (size_t i = 0; i < o->text.len; i++) {
        size_t end = quotation(o, i);
        if (!end || end - i > o->text.len * 3 / 4) continue;
        n++;
        for (int k = 0; k < o->n_word; k++)
            if (o->word[k].from > i && o->word[k].to <= end) o->word[k].quote = n;
        i = end;
    }
}

static bool begins_sentence(const struct offer *o, int i)
{
    for (size_t k = i ? o->word[i - 1].to : 0; i && k < o->word[i].from; k++)
        if (strchr(".?!", o->text.p[k])) return true;
    return !i;
}

static void read_words(struct offer *o)
{
    const char *t = o->text.p;
    for (size_t i = 0; i < o->text.len && o->n_word < WORDS_MOST;) {
        while (i < o->text.len && isspace((unsigned char)t[i])) i++;
        size_t from = i;
        while (i < o->text.len && !isspace((unsigned char)t[i])) i++;
        size_t to = i;
        while (from < to && strchr("\"'([{<`*", t[from])) from++;
        while (to > from && strchr("\"')]}>`*.,;:?!", t[to - 1])) to--;
        if (from == to) continue;
        o->word[o->n_word] = (struct said_word){ from, to, lexical_stem(t + from, to - from), lexical_is_function(t + from, to - from), false, 0 };
        o->word[o->n_word].capital = isupper((unsigned char)t[from]) && !o->word[o->n_word].function && !begins_sentence(o, o->n_word);
        o->n_word++;
    }
    mark_quotes(o);
}

static void put_number(struct offer *o, int word, double v, enum said_as as)
{
    if (o->n_number == NUMBERS_MOST || fabs(v) >= 1e15) return;
    struct said_number *n = &o->number[o->n_number++];
    *n = (struct said_number){ .word = word, .as = as };
    snprintf(n->text, sizeof n->text, "%.12g", v);
    if (strchr(n->text, 'e')) o->n_number--;
}

bool said_is(const struct offer *o, int i, const char *what)
{
    if (i < 0 || i >= o->n_word) return false;
    const struct said_word *w = &o->word[i];
    return w->to - w->from == strlen(what) && !strncasecmp(o->text.p + w->from, what, strlen(what));
}

static double multiplier(const struct offer *o, int i)
{
    static const struct { const char *word; double by; } table[] = { { "hundred", 1e2 }, { "thousand", 1e3 }, { "million", 1e6 }, { "billion", 1e9 }, { "percent", 0.01 }, { "%", 0.01 } };
    for (size_t k = 0; k < LEN(table); k++)
        if (said_is(o, i, table[k].word)) return table[k].by;
    return 0;
}

/* Digits at t [n]: "12,000", "1.5". 0: none. */
static size_t read_digits(const char *t, size_t n, double *out, bool *grouped)
{
    char plain[32];
    size_t i = 0, k = 0;
    *grouped = false;
    while (i < n && k + 1 < sizeof plain) {
        bool group = t[i] == ',' && i && i + 3 < n && isdigit((unsigned char)t[i + 1]) && isdigit((unsigned char)t[i + 2]) && isdigit((unsigned char)t[i + 3]) &&
                     (i + 4 >= n || !isdigit((unsigned char)t[i + 4]));
        bool point = t[i] == '.' && i + 1 < n && isdigit((unsigned char)t[i + 1]) && !memchr(plain, '.', k);
        if (!isdigit((unsigned char)t[i]) && !group && !point) break;
        if (!group) plain[k++] = t[i];
        *grouped |= group;
        i++;
    }
    plain[k] = 0;
    *out = strtod(plain, NULL);
    return k ? i : 0;
}

/* Is a figure part of a date, an hour or a code? "2019-01-15", "DE/2019/43" */
static bool is_joined(const char *t, size_t n, size_t at, size_t len)
{
    bool before = at > 1 && strchr("-/:", t[at - 1]) && isalnum((unsigned char)t[at - 2]);
    return before || (at + len + 1 < n && strchr("-/:", t[at + len]) && isalnum((unsigned char)t[at + len + 1]));
}

/* The numbers in digits of a word: "$10,000", "20ft", "-3", "[10,15]", "6:30". */
static void read_figures(struct offer *o, int word)
{
    const char *t = o->text.p + o->word[word].from;
    size_t n = o->word[word].to - o->word[word].from;
    for (size_t i = 0; i < n;) {
        double v, by;
        bool grouped = false;
        size_t len = i && (is_part((unsigned char)t[i - 1]) || t[i - 1] == '^') ? 0 : read_digits(t + i, n - i, &v, &grouped);
        if (!len) { i++; continue; }
        bool minus = i && t[i - 1] == '-' && (i == 1 || !is_part((unsigned char)t[i - 2]));
        if (minus) v = -v;
        if (i + len == n && (by = multiplier(o, word + 1)) > 0) put_number(o, word, v * by, by < 1 ? AS_SHARE : AS_SCALED);
        if (i + len < n && t[i + len] == '%') put_number(o, word, v / 100, AS_SHARE);
        put_number(o, word, v, is_joined(t, n, i, len) ? AS_PART : grouped ? AS_SCALED : AS_DIGITS);
        i += len;
        while (i < n && isdigit((unsigned char)t[i])) i++;
    }
}

static double number_word(const struct offer *o, int i)
{
    static const char *const small[] = { "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen" };
    static const char *const tens[] = { "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety" };
    for (size_t k = 0; k < LEN(small); k++)
        if (said_is(o, i, small[k])) return (double)k;
    for (size_t k = 0; k < LEN(tens); k++)
        if (said_is(o, i, tens[k])) return 20 + 10 * (double)k;
    return -1;
}

/* "forty two", "two hundred", "a hundred", "a dozen"; the words it takes. */
static int read_spoken(struct offer *o, int i)
{
    double v = number_word(o, i), unit = number_word(o, i + 1), by = multiplier(o, i + 1);
    int n = 1;
    if (v < 0 && said_is(o, i, "a") && said_is(o, i + 1, "dozen")) return put_number(o, i + 1, 12, AS_WORDS), 2;
    if (v < 0 && said_is(o, i, "a") && by > 1) return put_number(o, i + 1, by, AS_WORDS), 2;
    if (v < 0) return 0;
    if (v >= 20 && unit > 0 && unit < 10) v += unit, n = 2;
    by = multiplier(o, i + n);
    if (by > 0) put_number(o, i, v * by, by < 1 ? AS_SHARE : AS_SCALED);
    put_number(o, i, v, AS_WORDS);
    return n + (by > 0);
}

struct offer *offer_open(const struct json *messages)
{
    struct offer *o = mem_zero(sizeof *o);
    size_t len = 0;
    const char *said = NULL;
    for (size_t i = json_len(messages); !said && i-- > 0;)
        if (json_str_is(json_get(json_at(messages, i), "role"), "user")) said = json_str(json_get(json_at(messages, i), "content"), &len);
    for (size_t i = 0; i < json_len(messages); i++) o->follows |= json_len(json_get(json_at(messages, i), "tool_calls")) > 0;
    if (said) str_put(&o->text, said, len);
    read_words(o);
    for (int i = 0; i < o->n_word;) {
        int n = read_spoken(o, i);
        if (!n) read_figures(o, i);
        i += MAX(n, 1);
    }
    return o;
}

void offer_close(struct offer *o)
{
    if (o) str_done(&o->text);
    mem_free(o);
}

bool offer_says(const struct offer *o, const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; n && at + n <= o->text.len; at++) {
        size_t i = 0;
        while (i < n && (tolower((unsigned char)o->text.p[at + i]) == tolower((unsigned char)text[i]) || (text[i] == '_' && o->text.p[at + i] == ' '))) i++;
        bool begins = !at || !is_part((unsigned char)o->text.p[at - 1]), ends = at + n == o->text.len || strchr(" ,.;:?!)'\"\n", o->text.p[at + n]);
        if (i == n && begins && ends) return true;
    }
    return false;
}
