/* span.c -- spans of the last user turn as values of strings, with what speaks for or against each.
 *
 * The model copies well, but it begins a value with the article before it, goes on into the next phrase, cuts a name in two. What a
 * reader would take for one thing holds together here: a quotation, a name in capitals, an item of a list. A preposition in front says
 * for which of two parameters a span is ("from", "to"), and a word that the description gives as an example is likely a value. */
#include <ctype.h>
#include <strings.h>

#include "gen/value.h"

#define SPAN_WORDS 10
/* Logarithms of odds, as in offer.c. */
#define SPAN_GIVEN 9   /* a span that an argument before has, */
#define SPAN_OVER 6    /* or that shares words with one */
#define INSIDE 2       /* a word within that begins another phrase, */
#define INSIDE_ITEM 4  /* and within an item of a list */
#define ARTICLE 4
#define EDGE 3         /* a function word at the end; half of it at the beginning */
#define OWN_NAME 3     /* the parameter's name at one end */
#define QUOTED 4       /* for all of a quotation, */
#define UNQUOTED 5     /* against a part of one, or more than it */
#define CUT_NAME 4     /* a name goes on before it or behind it */
#define EXAMPLE 3      /* the description has it as an example */
#define LED 3          /* the preposition in front is that of this parameter, or of another */
#define IS_KIND 5      /* a date where a date is wanted, or not where something else is */
#define OTHER_KIND 4   /* a date where nothing is known of what is wanted */
#define FIGURE 4       /* a figure that is rather a number's */
#define NEXT_ITEM 4    /* what stands behind the item before, and against what does not */

/* What a span looks like, and a parameter's name asks for; KIND_MOMENT: a date or an hour. */
enum span_kind { KIND_ANY, KIND_DATE, KIND_TIME, KIND_MOMENT, KIND_MAIL };

static bool is_article(const struct offer *o, int i) { return said_is(o, i, "the") || said_is(o, i, "a") || said_is(o, i, "an") || said_is(o, i, "some"); }

static bool same_text(const char *a, size_t n, struct bytes b) { return n == b.len && !strncasecmp(a, b.p, n); }

/* Words that begin another phrase: "theft in California". */
static bool leads_on(const struct offer *o, int i)
{
    static const char *const words[] = { "in", "at", "for", "from", "to", "with", "on", "by", "and", "into", "after", "before", "between", "using" };
    for (size_t k = 0; k < LEN(words); k++)
        if (said_is(o, i, words[k])) return true;
    return false;
}

/* ---- what holds together --------------------------------------------------------------------------- */

/* Quotations that words [from, to] cut, or are all of. */
static double of_quotes(const struct offer *o, int from, int to)
{
    int q = o->word[from].quote;
    for (int i = from; i <= to; i++)
        if (o->word[i].quote != q) return -UNQUOTED;
    if (!q) return 0;
    bool before = from && o->word[from - 1].quote == q, after = to + 1 < o->n_word && o->word[to + 1].quote == q;
    return before || after ? -UNQUOTED : QUOTED;
}

static bool are_adjacent(const struct offer *o, int i)
{
    return i >= 0 && i + 1 < o->n_word && o->word[i + 1].from == o->word[i].to + 1;
}

/* Does one name go on from word i to the next? "Modern | Art", "Museum | of Art" */
static bool name_goes_on(const struct offer *o, int i)
{
    if (!are_adjacent(o, i)) return false;
    if (o->word[i].capital && o->word[i + 1].capital) return true;
    if (o->word[i].capital && said_is(o, i + 1, "of")) return are_adjacent(o, i + 1) && o->word[i + 2].capital;
    return i && said_is(o, i, "of") && o->word[i + 1].capital && o->word[i - 1].capital && are_adjacent(o, i - 1);
}

/* ---- what the schema says of it -------------------------------------------------------------------- */

/* Where a description begins to give examples, its length if nowhere. */
static size_t examples_at(const char *about, size_t n)
{
    static const char *const marks[] = { "e.g", "such as", "example", "for instance", " like ", "either", "one of", "options", "'", "\"", "i.e" };
    size_t least = n;
    for (size_t k = 0; k < LEN(marks); k++) {
        const char *at = memmem(about, n, marks[k], strlen(marks[k]));
        if (at) least = MIN(least, (size_t)(at - about));
    }
    return least;
}

void examples_of(struct stems *s, const struct json *schema)
{
    size_t n;
    const char *about = json_str(json_get(schema, "description"), &n);
    if (!about) return;
    size_t from = examples_at(about, n);
    stems_add(s, about + from, n - from);
}

/* Prepositions and the words of parameters whose values stand behind them. */
static const struct { const char *word, *of[14]; } led[] = {
    { "from", { "from", "origin", "source", "start", "departure", "depart", "sell", "base", "sender", "src" } },
    { "to", { "to", "destination", "target", "end", "arrival", "recipient", "buy", "dest", "receiver", "goal" } },
    { "into", { "to", "destination", "target", "buy" } },
    { "in", { "location", "city", "place", "room", "region", "country", "area", "where", "state", "town", "near" } },
    { "near", { "location", "city", "place", "near", "region", "area", "where" } },
    { "at", { "location", "place", "site", "time", "branch", "where", "venue", "store" } },
    { "on", { "day", "date", "when" } },
    { "by", { "author", "artist", "by" } },
    { "with", { "with" } },
};

static bool has_word(struct bytes key, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= key.len; i++) {
        bool begins = !i || !isalpha((unsigned char)key.p[i - 1]) || (isupper((unsigned char)key.p[i]) && islower((unsigned char)key.p[i - 1]));
        bool ends = i + n == key.len || !islower((unsigned char)key.p[i + n]);
        if (begins && ends && !strncasecmp(key.p + i, word, n)) return true;
    }
    return false;
}

static bool leads_to(const struct offer *o, int i, struct bytes key)
{
    for (size_t k = 0; k < LEN(led); k++)
        for (size_t j = 0; said_is(o, i, led[k].word) && led[k].of[j]; j++)
            if (has_word(key, led[k].of[j])) return true;
    return false;
}

/* Is the preposition in front of word i this parameter's, or another's? */
static double of_lead(const struct offer *o, const struct place *p, int i)
{
    const struct json *props = json_get(p->object, "properties");
    if (i && is_article(o, i - 1)) i--;
    if (!i || !json_is(props, JSON_OBJECT)) return 0;
    if (leads_to(o, i - 1, p->key)) return LED;
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (leads_to(o, i - 1, (struct bytes){ it.key, it.key_len })) return -LED;
    return 0;
}

/* ---- items of lists ---------------------------------------------------------------------------------- */

/* The word behind the element before, where a next one would begin: behind a comma, "and". -1: there is none, or no element before. */
int span_next_item(const struct offer *o, const struct place *p, bool *known)
{
    *known = false;
    if (p->open != '[' || p->n_given <= p->list_from) return -1;
    struct bytes last = p->given[p->n_given - 1];
    for (int i = 0; i < o->n_word; i++)
        for (int j = i; j < o->n_word && j < i + SPAN_WORDS; j++) {
            if (!same_text(o->text.p + o->word[i].from, o->word[j].to - o->word[i].from, last)) continue;
            *known = true;
            bool comma = memchr(o->text.p + o->word[j].to, ',', j + 1 < o->n_word ? o->word[j + 1].from - o->word[j].to : 0) != NULL;
            bool and = said_is(o, j + 1, "and") || said_is(o, j + 1, "or") || said_is(o, j + 1, "&") || said_is(o, j + 1, "plus");
            int next = j + 1 + and;
            if ((comma || and) && next < o->n_word) return next;
        }
    return -1;
}

/* ---- kinds of values ----------------------------------------------------------------------------------- */

static const char *const months[] = { "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec" };
static const char *const days[] = { "today", "tomorrow", "tonight", "yesterday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday" };
static const char *const hours[] = { "am", "pm", "noon", "midnight", "o'clock" };

static bool said_any(const struct offer *o, int i, const char *const *list, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (said_is(o, i, list[k])) return true;
    return false;
}

/* 2026-01-23, 23/01/2026, 16:00: figures joined by one of these. */
static bool joined_figures(const struct offer *o, int i, const char *by, int least)
{
    int n = 0;
    for (size_t k = o->word[i].from; k < o->word[i].to; k++) {
        char c = o->text.p[k];
        if (strchr(by, c)) n++;
        else if (!isdigit((unsigned char)c)) return false;
    }
    return n >= least && isdigit((unsigned char)o->text.p[o->word[i].from]);
}

static bool is_plain(const struct offer *o, int i)
{
    for (size_t k = o->word[i].from; k < o->word[i].to; k++)
        if (!isdigit((unsigned char)o->text.p[k]) && !strchr(".,", o->text.p[k])) return false;
    return true;
}

static enum span_kind kind_of_word(const struct offer *o, int i)
{
    if (said_any(o, i, months, LEN(months)) || said_any(o, i, days, LEN(days)) || joined_figures(o, i, "-/", 2)) return KIND_DATE;
    if (said_any(o, i, hours, LEN(hours)) || joined_figures(o, i, ":", 1)) return KIND_TIME;
    const char *w = o->text.p + o->word[i].from;
    size_t n = o->word[i].to - o->word[i].from;
    if (n > 2 && isdigit((unsigned char)*w) && (!strncasecmp(w + n - 2, "am", 2) || !strncasecmp(w + n - 2, "pm", 2))) return KIND_TIME;
    return memchr(w, '@', n) && memchr(w, '.', n) && *w != '@' ? KIND_MAIL : KIND_ANY;
}

/* The month, weekday or hour that a span has. "2 December": the figure beside it is of it. */
static enum span_kind kind_of_span(const struct offer *o, int from, int to)
{
    for (int i = from; i <= to; i++) {
        enum span_kind k = kind_of_word(o, i);
        if (k) return k;
    }
    return KIND_ANY;
}

static enum span_kind kind_of_key(const struct place *p)
{
    static const struct { const char *word; enum span_kind kind; } table[] = { { "date", KIND_DATE }, { "day", KIND_DATE }, { "when", KIND_MOMENT }, { "since", KIND_MOMENT },
        { "until", KIND_MOMENT }, { "due", KIND_MOMENT }, { "deadline", KIND_MOMENT }, { "time", KIND_TIME }, { "hour", KIND_TIME }, { "at", KIND_TIME }, { "email", KIND_MAIL }, { "mail", KIND_MAIL } };
    for (size_t k = 0; k < LEN(table); k++)
        if (has_word(p->key, table[k].word)) return table[k].kind;
    return KIND_ANY;
}

static bool is_long_text(const struct place *p)
{
    static const char *const words[] = { "text", "message", "title", "note", "notes", "body", "content", "comment", "reason", "description", "query", "subject", "task", "memo",
        "caption", "address", "street", "what", "question", "summary", "details", "instructions", "chore", "item", "issue", "topic", "name", "code", "id", "number" };
    for (size_t k = 0; k < LEN(words); k++)
        if (has_word(p->key, words[k])) return true;
    return false;
}

/* Of the parameters, is one a number? Then a figure with its unit is rather not part of a string. */
static bool tool_has_numbers(const struct place *p)
{
    const struct json *props = json_get(p->object, "properties");
    if (!json_is(props, JSON_OBJECT)) return false;
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (schema_is_numeric(it.value) || schema_is_numeric(json_get(it.value, "items"))) return true;
    return false;
}

static bool begins_upper(const struct offer *o, int i) { return isupper((unsigned char)o->text.p[o->word[i].from]); }

/* A figure that is not of a date, an hour or a name: "26.6 monero". */
static bool has_figure(const struct offer *o, int from, int to)
{
    for (int i = from; i <= to; i++)
        if (is_plain(o, i) && !(i < to && begins_upper(o, i + 1)) && !(i > from && begins_upper(o, i - 1))) return true;
    return false;
}

/* ---- spans --------------------------------------------------------------------------------------------- */

/* What is the same for all spans of a place. */
struct spans_at {
    struct stems own, examples;                                       /* of the parameter's name and description */
    bool taken[WORDS_MOST];
    int next;                                                         /* span_next_item() */
    bool item;                                                        /* another item of a list */
    bool long_text;                                                   /* a message or title: anything may be in it */
    enum span_kind kind; bool has_numbers;                            /* what is wanted; some parameter is a number */
};

static double of_list(const struct offer *o, const struct spans_at *s, const struct place *p, int from, int to)
{
    double prior = 0;
    if (s->item && s->next >= 0) {
        bool here = from == s->next || (is_article(o, s->next) && from == s->next + 1);
        prior += here ? NEXT_ITEM : -NEXT_ITEM;
    }
    if (p->open != '[') return prior;
    for (int i = from; i < to; i++)
        if (o->text.p[o->word[i].to] == ',') return prior - INSIDE_ITEM;
    return prior;
}

static double of_kind(const struct offer *o, const struct spans_at *s, int from, int to)
{
    enum span_kind kind = kind_of_span(o, from, to);
    if (kind && s->kind && (kind == s->kind || (s->kind == KIND_MOMENT && kind != KIND_MAIL))) return IS_KIND;
    if (kind == KIND_MAIL && !s->kind) return 0;
    if (kind && !s->long_text) return s->kind ? -IS_KIND : -OTHER_KIND;
    return !kind && s->has_numbers && !s->long_text && has_figure(o, from, to) ? -FIGURE : 0;
}

static bool is_example(const struct offer *o, const struct spans_at *s, int from, int to)
{
    for (int i = from; i <= to; i++)
        if (!o->word[i].function && !stems_have(&s->examples, o->word[i].stem)) return false;
    return !o->word[to].function && !o->word[from].function;
}

/* The words themselves: articles, prepositions, the parameter's own name. */
static double of_words(const struct offer *o, const struct place *p, const struct spans_at *s, int from, int to)
{
    double prior = 0;
    for (int i = from + 1; i < to; i++)
        if (leads_on(o, i) && !name_goes_on(o, i)) { prior -= p->open == '[' ? INSIDE_ITEM : INSIDE; break; }
    char second = o->text.p[o->word[MIN(from + 1, to)].from];         /* "the Bronx", "the 3rd" are whole with it */
    if (to > from && is_article(o, from) && !isdigit((unsigned char)second) && !isupper((unsigned char)second)) prior -= ARTICLE;
    else if (to > from && o->word[from].function) prior -= EDGE / 2;
    if (o->word[to].function && to > from) prior -= EDGE;
    bool named = false;
    for (int i = 0; i < s->own.n_key && to > from; i++)
        if (s->own.of[i] == o->word[to].stem || s->own.of[i] == o->word[from].stem) named = true;
    return named ? prior - OWN_NAME : prior;
}

/* What speaks for or against words [from, to], ending at byte `at`, as the value. */
static double span_prior(const struct offer *o, const struct place *p, const struct spans_at *s, int from, int to, size_t at)
{
    const char *text = o->text.p + o->word[from].from;
    size_t n = at - o->word[from].from;
    double prior = of_words(o, p, s, from, to);
    bool given = false, over = false;
    for (int i = 0; i < p->n_given; i++) given = given || same_text(text, n, p->given[i]);
    for (int i = from; i <= to; i++) over = over || (s->taken[i] && !o->word[i].function);
    if (given) prior -= SPAN_GIVEN;
    else if (over) prior -= SPAN_OVER;
    prior += of_list(o, s, p, from, to);
    prior += of_quotes(o, from, to);
    if (name_goes_on(o, from - 1)) prior -= CUT_NAME;
    if (name_goes_on(o, to)) prior -= CUT_NAME;
    if (is_example(o, s, from, to)) prior += EXAMPLE;
    prior += of_lead(o, p, from);
    prior += of_kind(o, s, from, to);
    return prior;
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

static void spans_from(const struct offer *o, const struct place *p, const struct spans_at *at, int i, struct whole_item *it)
{
    size_t from = o->word[i].from, reached = from;
    for (int j = i; j < o->n_word && j < i + SPAN_WORDS; j++) {
        size_t to = o->word[j].to, len = to - o->word[j].from;
        const char *w = o->text.p + o->word[j].from;
        if (!goes_on(o, reached, to)) break;
        if (len > 2 && !strncmp(w + len - 2, "'s", 2)) put_stop(it, to - 2 - from, span_prior(o, p, at, i, j, to - 2));
        put_stop(it, to - from, span_prior(o, p, at, i, j, to));
        bool dotted = to < o->text.len && o->text.p[to] == '.' && memchr(w, '.', len); /* "D.C." ends with one, a sentence's is none of it */
        if (dotted || (to < o->text.len && strchr("?!", o->text.p[to]))) put_stop(it, to + 1 - from, span_prior(o, p, at, i, j, to));
        reached = to;
    }
}

int span_values(const struct offer *o, const struct place *p, struct whole_item *item, int cap)
{
    struct spans_at at = { 0 };
    int n = 0;
    at.next = span_next_item(o, p, &at.item);
    stems_add(&at.own, p->key.p, p->key.len);
    at.own.n_key = at.own.n;
    examples_of(&at.examples, p->named);
    at.kind = kind_of_key(p);
    at.has_numbers = tool_has_numbers(p);
    at.long_text = is_long_text(p);
    offer_taken(o, p, at.taken);
    for (int i = 0; i < o->n_word && n < cap; i++) {
        struct whole_item *it = &item[n];
        *it = (struct whole_item){ .text = o->text.p + o->word[i].from };
        spans_from(o, p, &at, i, it);
        n += it->n_stop > 0;
    }
    return n;
}
