/* offer.c -- the numbers and spans of the last user turn, as values that an argument may have.
 *
 * A tiny model copies well but chooses badly: it takes one number for two parameters, begins a value with the article before it, goes
 * on into the next phrase. So where a value begins, what the request offers is compared as wholes (whole.c), with priors: a value that
 * an argument before has already is unlikely, and so is one that another parameter's words stand nearer to; an article, a preposition
 * at the end, the parameter's own name are rarely part of a value. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "gen/value.h"

#define SPAN_WORDS 10
#define NEAR 6         /* words from a number within which others speak about it */
/* What speaks for or against a value, in logarithms of odds. The model is very sure of itself, so they have to be large. */
#define GIVEN 9        /* a number that an argument before has, */
#define SPAN_GIVEN 9   /* or a span */
#define SPAN_OVER 6    /* or a span that shares words with one */
#define INSIDE 2       /* a word within that begins another phrase */
#define AFFINITY 8     /* for each unit of nearness (nearness()) */
#define ARTICLE 4
#define EDGE 3                 /* a function word at the end; half of it at the beginning */
#define OWN_NAME 3         /* the parameter's name at one end */

/* ---- reading a request ------------------------------------------------------------------------- */

static bool is_part(unsigned char c) { return isalnum(c) || c >= 0x80; }

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
        o->word[o->n_word++] = (struct said_word){ from, to, lexical_stem(t + from, to - from), lexical_is_function(t + from, to - from) };
    }
}

static void put_number(struct offer *o, int word, double v)
{
    if (o->n_number == NUMBERS_MOST || fabs(v) >= 1e15) return;
    struct said_number *n = &o->number[o->n_number++];
    *n = (struct said_number){ .word = word };
    snprintf(n->text, sizeof n->text, "%.12g", v);
    if (strchr(n->text, 'e')) o->n_number--;
}

static bool word_is(const struct offer *o, int i, const char *what)
{
    if (i < 0 || i >= o->n_word) return false;
    const struct said_word *w = &o->word[i];
    return w->to - w->from == strlen(what) && !strncasecmp(o->text.p + w->from, what, strlen(what));
}

static double multiplier(const struct offer *o, int i)
{
    static const struct { const char *word; double by; } table[] = { { "hundred", 1e2 }, { "thousand", 1e3 }, { "million", 1e6 }, { "billion", 1e9 }, { "percent", 0.01 } };
    for (size_t k = 0; k < LEN(table); k++)
        if (word_is(o, i, table[k].word)) return table[k].by;
    return 0;
}

/* Digits at t [n]: "12,000", "1.5". 0: none. */
static size_t read_digits(const char *t, size_t n, double *out)
{
    char plain[32];
    size_t i = 0, k = 0;
    while (i < n && k + 1 < sizeof plain) {
        bool group = t[i] == ',' && i && i + 3 < n && isdigit((unsigned char)t[i + 1]) && isdigit((unsigned char)t[i + 2]) && isdigit((unsigned char)t[i + 3]) &&
                     (i + 4 >= n || !isdigit((unsigned char)t[i + 4]));
        bool point = t[i] == '.' && i + 1 < n && isdigit((unsigned char)t[i + 1]) && !memchr(plain, '.', k);
        if (!isdigit((unsigned char)t[i]) && !group && !point) break;
        if (!group) plain[k++] = t[i];
        i++;
    }
    plain[k] = 0;
    *out = strtod(plain, NULL);
    return k ? i : 0;
}

/* The numbers in digits of a word: "$10,000", "20ft", "-3", "[10,15]", "6:30". */
static void read_figures(struct offer *o, int word)
{
    const char *t = o->text.p + o->word[word].from;
    size_t n = o->word[word].to - o->word[word].from;
    for (size_t i = 0; i < n;) {
        double v, by;
        size_t len = i && (is_part((unsigned char)t[i - 1]) || t[i - 1] == '^') ? 0 : read_digits(t + i, n - i, &v);
        if (!len) { i++; continue; }
        bool minus = i && t[i - 1] == '-' && (i == 1 || !is_part((unsigned char)t[i - 2]));
        if (minus) v = -v;
        if (i + len == n && (by = multiplier(o, word + 1)) > 0) put_number(o, word, v * by);
        if (i + len < n && t[i + len] == '%') put_number(o, word, v / 100);
        put_number(o, word, v);
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
        if (word_is(o, i, small[k])) return (double)k;
    for (size_t k = 0; k < LEN(tens); k++)
        if (word_is(o, i, tens[k])) return 20 + 10 * (double)k;
    return -1;
}

/* "forty two", "two hundred", "a hundred", "a dozen"; the words it takes. */
static int read_spoken(struct offer *o, int i)
{
    double v = number_word(o, i), unit = number_word(o, i + 1), by = multiplier(o, i + 1);
    int n = 1;
    if (v < 0 && word_is(o, i, "a") && word_is(o, i + 1, "dozen")) return put_number(o, i + 1, 12), 2;
    if (v < 0 && word_is(o, i, "a") && by > 1) return put_number(o, i + 1, by), 2;
    if (v < 0) return 0;
    if (v >= 20 && unit > 0 && unit < 10) v += unit, n = 2;
    by = multiplier(o, i + n);
    if (by > 0) put_number(o, i, v * by);
    put_number(o, i, v);
    return n + (by > 0);
}

struct offer *offer_open(const struct json *messages)
{
    struct offer *o = mem_zero(sizeof *o);
    size_t len = 0;
    const char *said = NULL;
    for (size_t i = json_len(messages); !said && i-- > 0;)
        if (json_str_is(json_get(json_at(messages, i), "role"), "user")) said = json_str(json_get(json_at(messages, i), "content"), &len);
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

/* ---- words of a parameter ------------------------------------------------------------------------ */

void stems_add(struct stems *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n && s->n < STEMS_MOST;) {
        size_t from = i;
        while (i < n && is_part((unsigned char)p[i])) i++;
        if (i > from && !lexical_is_function(p + from, i - from)) s->of[s->n++] = lexical_stem(p + from, i - from);
        if (i == from) i++;
    }
}

bool stems_have(const struct stems *s, uint64_t stem)
{
    for (int i = 0; i < s->n; i++)
        if (s->of[i] == stem) return true;
    return false;
}

static struct stems stems_of(const char *key, size_t n, const struct json *schema)
{
    struct stems s = { 0 };
    size_t len;
    const char *about = json_str(json_get(schema, "description"), &len);
    stems_add(&s, key, n);
    s.n_key = s.n;
    if (about) stems_add(&s, about, len);
    return s;
}

static double weight_of(const struct stems *s, uint64_t stem)
{
    for (int i = 0; i < s->n; i++)
        if (s->of[i] == stem) return i < s->n_key ? 2 : 1;
    return 0;
}

static bool is_number_at(const struct offer *o, int word)
{
    for (int i = 0; i < o->n_number; i++)
        if (o->number[i].word == word) return true;
    return false;
}

/* How much the words near a number say of a parameter. Another number in between hides them. */
static double nearness(const struct offer *o, int word, const struct stems *s)
{
    double sum = 0;
    for (int dir = -1; dir <= 1; dir += 2)
        for (int d = 1; d <= NEAR; d++) {
            int i = word + dir * d;
            if (i < 0 || i >= o->n_word || (d > 1 && is_number_at(o, i - dir) && i - dir != word)) break;
            sum += weight_of(s, o->word[i].stem) / (d + 1);
        }
    return sum + weight_of(s, o->word[word].stem);
}

bool schema_is_numeric(const struct json *schema)
{
    return json_str_is(json_get(schema, "type"), "integer") || json_str_is(json_get(schema, "type"), "number");
}

/* Nearness to this parameter against that to the nearest of the others. */
static double affinity(const struct offer *o, int word, const struct place *p)
{
    double mine = 0, other = 0;
    const struct json *props = json_get(p->object, "properties");
    if (!json_is(props, JSON_OBJECT)) return 0;
    for (struct json_iter it = json_iter(props); json_next(&it);) {
        const struct json *item = json_get(it.value, "items");
        if (!schema_is_numeric(it.value) && !schema_is_numeric(item)) continue;
        struct stems s = stems_of(it.key, it.key_len, it.value);
        double near = nearness(o, word, &s);
        if (it.key_len == p->key.len && !memcmp(it.key, p->key.p, it.key_len)) mine = near;
        else other = MAX(other, near);
    }
    return mine - other;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

int offer_times_said(const struct offer *o, double v)
{
    int n = 0;
    for (int i = 0; i < o->n_number; i++) n += strtod(o->number[i].text, NULL) == v;
    return n;
}

int place_times_given(const struct place *p, double v)
{
    int n = 0;
    char text[32], *end;
    for (int i = 0; i < p->n_given; i++) {
        if (!p->given[i].len || p->given[i].len >= sizeof text) continue;
        memcpy(text, p->given[i].p, p->given[i].len);
        text[p->given[i].len] = 0;
        double g = strtod(text, &end);
        n += !*end && g == v;
    }
    return n;
}

/* A plain number is no text: it stands in many words. */
static bool is_plain_number(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        if (!isdigit((unsigned char)b.p[i]) && !strchr("+-.,", b.p[i])) return false;
    return true;
}

void offer_taken(const struct offer *o, const struct place *p, bool *taken)
{
    memset(taken, 0, WORDS_MOST * sizeof *taken);
    for (int k = 0; k < p->n_given; k++) {
        struct bytes v = p->given[k];
        for (size_t at = 0; !is_plain_number(v) && at + v.len <= o->text.len; at++) {
            bool cut = (at && is_part((unsigned char)o->text.p[at - 1])) || (at + v.len < o->text.len && is_part((unsigned char)o->text.p[at + v.len]));
            if (cut || strncasecmp(o->text.p + at, v.p, v.len)) continue;
            for (int i = 0; i < o->n_word; i++)
                if (o->word[i].from < at + v.len && o->word[i].to > at) taken[i] = true;
        }
    }
}

static int offer_numbers(const struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    int n = 0;
    bool taken[WORDS_MOST];
    offer_taken(o, p, taken);
    for (int i = 0; i < o->n_number && n < cap; i++) {
        const struct said_number *s = &o->number[i];
        double v = strtod(s->text, NULL), prior = AFFINITY * affinity(o, s->word, p);
        if (taken[s->word] || place_times_given(p, v) >= offer_times_said(o, v)) prior -= GIVEN;
        int same = 0;
        while (same < n && strcmp(item[same].text, s->text)) same++;
        if (same == n) item[n++] = (struct whole_item){ .text = s->text, .n_stop = 1, .stop = { { strlen(s->text), prior } } };
        else item[same].stop[0].prior = MAX(item[same].stop[0].prior, prior);
    }
    return n;
}

/* ---- spans --------------------------------------------------------------------------------------- */

static bool is_article(const struct offer *o, int i) { return word_is(o, i, "the") || word_is(o, i, "a") || word_is(o, i, "an") || word_is(o, i, "some"); }

static bool same_text(const char *a, size_t n, struct bytes b) { return n == b.len && !strncasecmp(a, b.p, n); }

/* Words that begin another phrase: "theft in California". */
static bool leads_on(const struct offer *o, int i)
{
    static const char *const words[] = { "in", "at", "for", "from", "to", "with", "on", "by", "and", "into", "after", "before", "between", "using" };
    for (size_t k = 0; k < LEN(words); k++)
        if (word_is(o, i, words[k])) return true;
    return false;
}

/* What is the same for all spans of a place. */
struct spans_at {
    const struct stems *own;                                          /* of the parameter's name */
    bool taken[WORDS_MOST];
};

/* What speaks against words [from, to], ending at byte `at`, as the value. */
static double span_prior(const struct offer *o, const struct place *p, const struct spans_at *s, int from, int to, size_t at)
{
    const char *text = o->text.p + o->word[from].from;
    size_t n = at - o->word[from].from;
    double prior = 0;
    bool given = false, over = false;
    for (int i = 0; i < p->n_given; i++) given = given || same_text(text, n, p->given[i]);
    for (int i = from; i <= to; i++) over = over || (s->taken[i] && !o->word[i].function);
    if (given) prior -= SPAN_GIVEN;
    else if (over) prior -= SPAN_OVER;
    for (int i = from + 1; i < to; i++)
        if (leads_on(o, i)) { prior -= INSIDE; break; }
    char second = o->text.p[o->word[MIN(from + 1, to)].from];         /* "the Bronx", "the 3rd" are whole with it */
    if (to > from && is_article(o, from) && !isdigit((unsigned char)second) && !isupper((unsigned char)second)) prior -= ARTICLE;
    else if (to > from && o->word[from].function) prior -= EDGE / 2;
    if (o->word[to].function && to > from) prior -= EDGE;
    bool named = false;
    for (int i = 0; i < s->own->n_key && to > from; i++)
        if (s->own->of[i] == o->word[to].stem || s->own->of[i] == o->word[from].stem) named = true;
    return named ? prior - OWN_NAME : prior;
}

/* Bytes that would have to be escaped, or end a sentence: no value goes on after them. */
static bool goes_on(const struct offer *o, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (strchr("\"\\;?!", o->text.p[i]) || (unsigned char)o->text.p[i] < ' ') return false;
    return true;
}

static void put_stop(struct whole_item *it, size_t at, double prior)
{
    if (it->n_stop == STOPS_MOST || (it->n_stop && it->stop[it->n_stop - 1].at >= at)) return;
    it->stop[it->n_stop].at = at;
    it->stop[it->n_stop++].prior = prior;
}

static int offer_spans(const struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    struct stems own = stems_of(p->key.p, p->key.len, NULL);
    struct spans_at at = { .own = &own };
    int n = 0;
    offer_taken(o, p, at.taken);
    for (int i = 0; i < o->n_word && n < cap; i++) {
        size_t from = o->word[i].from, reached = from;
        struct whole_item *it = &item[n];
        *it = (struct whole_item){ .text = o->text.p + from };
        for (int j = i; j < o->n_word && j < i + SPAN_WORDS; j++) {
            size_t to = o->word[j].to, len = to - o->word[j].from;
            const char *w = o->text.p + o->word[j].from;
            if (!goes_on(o, reached, to)) break;
            if (len > 2 && !strncmp(w + len - 2, "'s", 2)) put_stop(it, to - 2 - from, span_prior(o, p, &at, i, j, to - 2));
            put_stop(it, to - from, span_prior(o, p, &at, i, j, to));
            bool dotted = to < o->text.len && o->text.p[to] == '.' && memchr(w, '.', len); /* "D.C." ends with one, a sentence's is none of it */
            if (dotted || (to < o->text.len && strchr("?!", o->text.p[to]))) put_stop(it, to + 1 - from, span_prior(o, p, &at, i, j, to));
            reached = to;
        }
        n += it->n_stop > 0;
    }
    return n;
}

int offer_values(struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    const struct json *s = p->schema;
    if (json_get(s, "enum") || json_get(s, "const")) return 0;
    if (!p->in_string) return schema_is_numeric(s) ? offer_numbers(o, p, item, cap) : 0;
    bool free = json_str_is(json_get(s, "type"), "string") && !json_get(s, "pattern") && !json_get(s, "format");
    return free ? offer_spans(o, p, item, cap) : 0;
}

/* Words that a tool has itself: of its name, description, parameters and members. */
static void tool_stems(struct stems *s, const struct call_tool *tool)
{
    size_t len;
    const char *about = json_str(tool->description, &len);
    const struct json *props = json_get(tool->schema, "properties");
    stems_add(s, tool->name, strlen(tool->name));
    if (about) stems_add(s, about, len);
    if (!json_is(props, JSON_OBJECT)) return;
    for (struct json_iter it = json_iter(props); json_next(&it);) stems_add(s, it.key, it.key_len);
}

/* Runs of words that a string might be made of: no function words, no numbers, not the tool's own. */
static int runs(const struct offer *o, const struct stems *own)
{
    int n = 0;
    bool inside = false;
    for (int i = 0; i < o->n_word; i++) {
        bool may = !o->word[i].function && !stems_have(own, o->word[i].stem);
        n += may && (!inside || (i && o->word[i].from > o->word[i - 1].to + 1));
        inside = may;
    }
    return n;
}

int offer_lacks(const struct offer *o, const struct call_tool *tool)
{
    const struct json *props = json_get(tool->schema, "properties"), *required = json_get(tool->schema, "required");
    struct stems own = { 0 };
    int numbers = 0, texts = 0;
    tool_stems(&own, tool);
    for (size_t i = 0; i < json_len(required); i++) {
        const struct json *p = json_get(props, json_str(json_at(required, i), NULL));
        if (!p || json_get(p, "enum")) continue;
        numbers += schema_is_numeric(p);
        texts += json_str_is(json_get(p, "type"), "string");
    }
    return MAX(numbers - o->n_number, 0) + (texts > runs(o, &own));
}

enum offer_rest offer_left(const struct offer *o, const struct call_tool *tool, const char *said, size_t n)
{
    enum offer_rest left = LEFT_NOTHING;
    struct stems own = { 0 };
    if (tool) tool_stems(&own, tool);
    for (int i = 0; i < o->n_number; i++) {
        if (!memmem(said, n, o->number[i].text, strlen(o->number[i].text))) return LEFT_NAMES;
    }
    for (int i = 0; i < o->n_word; i++) {
        const struct said_word *w = &o->word[i];
        if (w->function || stems_have(&own, w->stem) || is_number_at(o, i)) continue;
        if (memmem(said, n, o->text.p + w->from, w->to - w->from)) continue;
        if (i && isupper((unsigned char)o->text.p[w->from])) return LEFT_NAMES;
        left = LEFT_WORDS;
    }
    return left;
}
