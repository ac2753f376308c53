/* offer.c -- the numbers of the last user turn, as values that an argument may have, and what a request lacks for a tool or has left.
 *
 * A tiny model copies well but chooses badly: it takes one number for two parameters, or two digits of a longer one. So where a value
 * begins, what the request offers is compared as wholes (whole.c), with priors: a value that an argument before has already is
 * unlikely, and so is one that another parameter's words stand nearer to. Strings: span.c. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "gen/value.h"

#define NEAR 6         /* words from a number within which others speak about it */
/* What speaks for or against a value, in logarithms of odds. The model is very sure of itself, so they have to be large. */
#define GIVEN 9        /* a number that an argument before has */
#define AFFINITY 8     /* for each unit of nearness (nearness()) */
#define SCALED 6       /* "12,000", which the model would copy as 12 */
#define SMALL_WORD 4   /* "the other two sides": against a number in words while one in digits is free */
#define FIRST 2        /* the first that is free: numbers mostly come in the order of the parameters */
#define SHARE 4        /* "10%": 0.1 unless the description speaks of percent, then 10 */
#define NEXT_ITEM 6    /* behind the item before in a list, and against what does not stand there */

static bool is_part(unsigned char c) { return isalnum(c) || c >= 0x80; }

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

bool said_number_at(const struct offer *o, int word)
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
            if (i < 0 || i >= o->n_word || (d > 1 && said_number_at(o, i - dir) && i - dir != word)) break;
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

bool offer_number_free(const struct offer *o, const struct place *p, int i)
{
    double v = strtod(o->number[i].text, NULL);
    return place_times_given(p, v) < offer_times_said(o, v);
}

/* Do only a comma, "and" or nothing stand between numbers i and j? */
static bool are_listed(const struct offer *o, int i, int j)
{
    int a = o->number[i].word, b = o->number[j].word;
    while (a < b && (said_is(o, a + 1, "and") || said_is(o, a + 1, "or") || said_is(o, a + 1, "&"))) a++;
    return b == a || b == a + 1;
}

int offer_next_number(const struct offer *o, const struct place *p, bool *known)
{
    *known = false;
    if (p->open != '[' || p->n_given <= p->list_from) return -1;
    int at = -1;
    for (int k = p->list_from; k < p->n_given; k++) {                 /* the run that begins as the list does */
        struct place only = { .given = { p->given[k] }, .n_given = 1 };
        int i = at + 1;
        while (i < o->n_number && !place_times_given(&only, strtod(o->number[i].text, NULL))) i++;
        if (i == o->n_number) return -1;
        at = i;
    }
    *known = true;
    int next = at + 1;
    while (next < o->n_number && o->number[next].word == o->number[at].word && o->number[next].as != o->number[at].as) next++;
    return next < o->n_number && are_listed(o, at, next) ? next : -1;
}

static bool speaks_of(const struct json *schema, const char *what)
{
    size_t n;
    const char *about = json_str(json_get(schema, "description"), &n);
    return about && memmem(about, n, what, strlen(what));
}

/* How a number is said, against how it is wanted. */
static double of_saying(const struct offer *o, const struct place *p, int i, bool digits_left)
{
    const struct said_number *s = &o->number[i];
    bool is_share = s->as == AS_SHARE, has_share = is_share || (i && o->number[i - 1].as == AS_SHARE && o->number[i - 1].word == s->word);
    if (has_share) {
        bool whole = speaks_of(p->named, "percent") || speaks_of(p->named, "%") || !json_str_is(json_get(p->schema, "type"), "number");
        if (speaks_of(p->named, "decimal") || speaks_of(p->named, "fraction")) whole = false;
        return is_share == whole ? -SHARE : SHARE;
    }
    if (s->as == AS_SCALED) return SCALED;
    return s->as == AS_WORDS && digits_left ? -SMALL_WORD : 0;
}

static int offer_numbers(const struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    bool taken[WORDS_MOST], digits_left = false, in_list;
    int n = 0, first = -1, next = offer_next_number(o, p, &in_list);
    offer_taken(o, p, taken);
    for (int i = o->n_number; i-- > 0;)
        if (!taken[o->number[i].word] && offer_number_free(o, p, i)) {
            digits_left |= o->number[i].as != AS_WORDS;
            first = i;
        }
    for (int i = 0; i < o->n_number && n < cap; i++) {
        const struct said_number *s = &o->number[i];
        double prior = AFFINITY * affinity(o, s->word, p);
        if (taken[s->word] || !offer_number_free(o, p, i)) prior -= GIVEN;
        prior += of_saying(o, p, i, digits_left);
        if (!in_list && first >= 0 && s->word == o->number[first].word) prior += FIRST;
        if (in_list) prior += i == next ? NEXT_ITEM : -NEXT_ITEM;
        int same = 0;
        while (same < n && strcmp(item[same].text, s->text)) same++;
        if (same == n) item[n++] = (struct whole_item){ .text = s->text, .n_stop = 1, .stop = { { strlen(s->text), prior } } };
        else item[same].stop[0].prior = MAX(item[same].stop[0].prior, prior);
    }
    return n;
}

bool offer_number_near(const struct offer *o, const struct place *p, const char *key, const struct json *schema)
{
    struct stems s = stems_of(key, strlen(key), schema);
    bool taken[WORDS_MOST];
    offer_taken(o, p, taken);
    for (int i = 0; i < o->n_number; i++)
        if (!taken[o->number[i].word] && offer_number_free(o, p, i) && nearness(o, o->number[i].word, &s) > 0) return true;
    return false;
}

bool offer_has_number(const struct offer *o, const struct place *p)
{
    bool taken[WORDS_MOST];
    offer_taken(o, p, taken);
    for (int i = 0; i < o->n_number; i++)
        if (o->number[i].as != AS_PART && !taken[o->number[i].word] && offer_number_free(o, p, i)) return true;
    return false;
}

int offer_values(struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    const struct json *s = p->schema;
    if (json_get(s, "enum") || json_get(s, "const")) return 0;
    if (!p->in_string) return schema_is_numeric(s) ? offer_numbers(o, p, item, cap) : 0;
    bool free = json_str_is(json_get(s, "type"), "string") && !json_get(s, "pattern") && !json_get(s, "format");
    return free ? span_values(o, p, item, cap) : 0;
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
        if (w->function || stems_have(&own, w->stem) || said_number_at(o, i)) continue;
        if (memmem(said, n, o->text.p + w->from, w->to - w->from)) continue;
        if (i && isupper((unsigned char)o->text.p[w->from])) return LEFT_NAMES;
        left = LEFT_WORDS;
    }
    return left;
}
