/* lexical.c -- which tool shares words with the request: a prior for models too small to be sure.
 *
 * The last user turn and each tool (its name, description, and what its parameters say) are bags of
 * word beginnings. A shared word counts by how few tools have it (the weights of BM25), long tools
 * are discounted by the root of the number of their words. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "gen/int.h"

#define STEM 5 /* letters that make two words the same */
#define WORDS_MOST 4096                                           /* of one bag */

struct bag { uint64_t *word; size_t n, cap; };

static bool is_letter(unsigned char c) { return isalpha(c) || c >= 0x80; }

/* Dims, dim; boxes, box: the plural and the third person are the same word. */
static size_t without_ending(const char *p, size_t n)
{
    if (n > 3 && p[n - 1] == 's' && p[n - 2] != 's') n--;
    if (n > 3 && p[n - 1] == 'e') n--;
    return n;
}

uint64_t lexical_stem(const char *p, size_t n)
{
    char stem[STEM];
    size_t len = MIN(without_ending(p, n), (size_t)STEM);
    for (size_t i = 0; i < len; i++) stem[i] = (char)tolower((unsigned char)p[i]);
    return hash64(stem, len, 0);
}

bool lexical_is_function(const char *p, size_t n)
{
    static const char *const words[] = { "a", "an", "the", "and", "or", "but", "of", "in", "on", "at", "to", "for", "with", "by", "from", "as", "into",
        "is", "are", "was", "were", "be", "been", "am", "do", "does", "did", "has", "have", "had", "will", "would", "can", "could", "should", "may",
        "i", "me", "my", "we", "us", "our", "you", "your", "it", "its", "it's", "i'm", "he", "she", "they", "them", "their", "this", "that", "these",
        "those", "there", "what", "which", "who", "how", "when", "where", "please", "if", "so", "not", "no", "any", "some", "just", "then", "than" };
    for (size_t i = 0; i < LEN(words); i++)
        if (strlen(words[i]) == n && !strncasecmp(words[i], p, n)) return true;
    return false;
}

static void put_word(struct bag *b, const char *p, size_t n)
{
    if (b->n >= WORDS_MOST) return;
    if (lexical_is_function(p, n)) return;
    MEM_GROW(b->word, b->n, b->cap);
    b->word[b->n++] = lexical_stem(p, n);
}

/* Words of text and of identifiers: letters or digits in a row, cut at the humps of camelCase. */
static void put_words(struct bag *b, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t from = i;
        if (isdigit((unsigned char)p[i])) while (i < n && isdigit((unsigned char)p[i])) i++;
        else
            while (i < n && is_letter((unsigned char)p[i]) &&
                   !(i > from && isupper((unsigned char)p[i]) && islower((unsigned char)p[i - 1])))
                i++;
        if (i > from) put_word(b, p + from, i - from);
        else i++;
    }
}

static void put_string(struct bag *b, const struct json *v)
{
    size_t len;
    const char *s = json_str(v, &len);
    if (s) put_words(b, s, len);
}

/* What a schema says in words: names of properties, descriptions, members of enums. */
static void put_schema(struct bag *b, const struct json *schema)
{
    const struct json *props = json_get(schema, "properties"), *members = json_get(schema, "enum");
    if (!json_is(schema, JSON_OBJECT)) return;
    put_string(b, json_get(schema, "description"));
    for (size_t i = 0; i < json_len(members); i++) put_string(b, json_at(members, i));
    if (json_is(props, JSON_OBJECT))
        for (struct json_iter it = json_iter(props); json_next(&it);) {
            put_words(b, it.key, it.key_len);
            put_schema(b, it.value);
        }
    put_schema(b, json_get(schema, "items"));
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_unique(struct bag *b)
{
    size_t n = 0;
    if (b->n) qsort(b->word, b->n, sizeof *b->word, by_hash);
    for (size_t i = 0; i < b->n; i++)
        if (!n || b->word[n - 1] != b->word[i]) b->word[n++] = b->word[i];
    b->n = n;
}

static bool has(const struct bag *b, uint64_t word)
{
    return b->n && bsearch(&word, b->word, b->n, sizeof word, by_hash);
}

static const struct json *last_user(const struct json *messages)
{
    for (size_t i = json_len(messages); i-- > 0;)
        if (json_str_is(json_get(json_at(messages, i), "role"), "user"))
            return json_at(messages, i);
    return NULL;
}

static double score(const struct bag *bag, int n, int i, const struct bag *said)
{
    double sum = 0;
    for (size_t k = 0; k < bag[i].n; k++) {
        int in = 0;
        if (!has(said, bag[i].word[k])) continue;
        for (int j = 0; j < n; j++) in += has(&bag[j], bag[i].word[k]);
        sum += log(1 + (n - in + 0.5) / (in + 0.5));
    }
    return sum / sqrt((double)bag[i].n + 5);
}

void lexical_scores(const struct json *messages, const struct call_tool *tool, int n, double *out)
{
    struct bag said = { 0 }, *bag = mem_zero((size_t)n * sizeof *bag);
    put_string(&said, json_get(last_user(messages), "content"));
    sort_unique(&said);
    for (int i = 0; i < n; i++) {
        put_words(&bag[i], tool[i].name, strlen(tool[i].name));
        put_string(&bag[i], tool[i].description);
        put_schema(&bag[i], tool[i].schema);
        sort_unique(&bag[i]);
    }
    for (int i = 0; i < n; i++) out[i] = score(bag, n, i, &said);
    for (int i = 0; i < n; i++) mem_free(bag[i].word);
    mem_free(said.word);
    mem_free(bag);
}
