/* gen_lexicon.c -- real words and what they mean, for the generator: `tenon data --lexicon FILE`.
 *
 * A line is a sense: word, part of speech (n, v, a), synonyms, broader words, meaning; between them
 * tabs, in lists bars (tools/lexicon.py makes such a file of WordNet). Packs teach how people speak
 * about sixty domains; a lexicon ties thousands of other words to the words that explain them, so
 * that a request may say "refuse" where a tool says "turn down". The hold-out of words applies. */
#include <stdlib.h>

#include "train/gen_int.h"

enum { FIELDS = 5 };

/* Cuts the line into its fields; false if there are fewer. */
static bool cut(char *line, const char *field[FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        field[i] = line;
        line += strcspn(line, "\t");
        if (i + 1 < FIELDS) {
            if (!*line) return false;
            *line++ = 0;
        } else *line = 0;
    }
    return *field[0] && field[1][0] && !field[1][1] && *field[4];
}

/* Equal words stay in the order of the file, where the usual sense comes first. */
static int by_word(const void *a, const void *b)
{
    const struct sense *x = a, *y = b;
    int c = strcmp(x->word, y->word);
    return c ? c : x->word < y->word ? -1 : x->word > y->word;
}

bool lexicon_load(struct lexicon *x, const char *path, struct err *e)
{
    if (!file_read(path, &x->text, e)) return false;
    int line = 0, cap = 0;
    for (char *s = x->text.p, *next; s && *s; s = next) {
        size_t n = strcspn(s, "\n");
        const char *f[FIELDS];
        next = s + n + (s[n] == '\n');
        s[n] = 0;
        line++;
        if (!cut(s, f))
            return err_set(e, ERR_FORMAT,
                           "%s:%d: word, part of speech, synonyms, broader words and meaning are "
                           "expected, with tabs between",
                           path, line);
        MEM_GROW(x->sense, x->n, cap);
        x->sense[x->n++] = (struct sense){ f[0], f[2], f[3], f[4], f[1][0] };
    }
    if (!x->n) return err_set(e, ERR_FORMAT, "%s: no words", path);
    qsort(x->sense, (size_t)x->n, sizeof *x->sense, by_word);
    return true;
}

void lexicon_done(struct lexicon *x)
{
    mem_free(x->sense);
    str_done(&x->text);
}

bool has_senses(const struct draw *d) { return d->g->lexicon.n && !d->held_word; }

const struct sense *sense_draw(struct draw *d, const char *parts)
{
    const struct lexicon *x = &d->g->lexicon;
    if (!has_senses(d)) return NULL;
    for (int i = 0; i < 40; i++) {
        const struct sense *s = &x->sense[below(d, x->n)];
        if (strchr(parts, s->part) && !word_is_held(s->word)) return s;
    }
    return NULL;
}

/* What a tool may say of a thing that people call s->word: its meaning, another word, a broader one
 * (which alone may not decide, so it stands beside the meaning). */
const char *sense_meaning(struct draw *d, const struct sense *s)
{
    const char *other = *s->same ? pick(d, s->same) : NULL;
    int r = below(d, 100);
    if (other && r < 35) return other;
    if (*s->wider && r < 50) return text(d, "%s: %s", pick(d, s->wider), s->meaning);
    return other && r < 60 ? text(d, "%s, %s", other, s->meaning) : s->meaning;
}

/* ---- other words in a request ---------------------------------------------------------------- */

static const struct sense *first_sense(const struct lexicon *x, const char *word)
{
    int lo = 0, hi = x->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (strcmp(x->sense[mid].word, word) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo < x->n && !strcmp(x->sense[lo].word, word) ? &x->sense[lo] : NULL;
}

/* Small words do the work of grammar; their entries are about something else. */
static bool is_grammar(const char *s, size_t n)
{
    static const char words[] = "|please|thanks|thank|like|have|just|here|there|well|also|know|make|"
                                "take|give|still|very|much|need|want|does|done|been|will|must|come|"
                                "then|than|that|this|next|last|them|they|only|more|most|once|than|"
                                "same|other|again|back|right|sure|okay|hello|good|many|time|times|"
                                "over|under|before|after|about|around|down|with|from|into|each|"
                                "first|second|third|three|four|five|seven|eight|nine|hundred|";
    char key[32];
    if (n > sizeof key - 3) return true;
    snprintf(key, sizeof key, "|%.*s|", (int)n, s);
    return strstr(words, key) != NULL;
}

/* Another word for s[0..n), in the same number; NULL if the lexicon knows none. */
static const char *other_word(struct draw *d, const char *s, size_t n)
{
    char *word = arena_str(d->a, s, n);
    const struct sense *x = first_sense(&d->g->lexicon, word);
    bool many = !x && n > 4 && s[n - 1] == 's';
    if (many) {
        word[n - 1] = 0;
        x = first_sense(&d->g->lexicon, word);
    }
    if (!x || !*x->same || word_is_held(x->word)) return NULL;
    const char *other = pick(d, x->same);
    return many ? plural(d, other) : other;
}

const char *sense_reword(struct draw *d, const char *marked)
{
    enum { SHORTEST = 4, WORDS = 24 };
    size_t at[WORDS], len[WORDS];
    int n = 0;
    bool in = false;
    for (const char *p = marked; *p && n < WORDS; p++) {
        if (*p == MARK_OPEN || *p == MARK_CLOSE) in = *p == MARK_OPEN;
        size_t k = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (!k) continue;
        bool whole = p == marked || p[-1] == ' ';
        if (!in && whole && k >= SHORTEST && !is_grammar(p, k) && (!p[k] || strchr(" ,.?!", p[k]))) {
            at[n] = (size_t)(p - marked);
            len[n++] = k;
        }
        p += k - 1;
    }
    int i = n ? below(d, n) : 0;
    const char *other = n ? other_word(d, marked + at[i], len[i]) : NULL;
    return other ? text(d, "%.*s%s%s", (int)at[i], marked, other, marked + at[i] + len[i]) : marked;
}
