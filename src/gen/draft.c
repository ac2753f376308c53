/* draft.c -- prompt lookup for calls: the next piece of text, guessed from where the answer stands.
 *
 * The answer so far is scanned once from its beginning (JSON, and what JSON and Python calls have in common):
 * which containers are open, under which key, whether a string is open and what it says already. The place
 * decides where to look:
 *
 *   name of a tool      the tools, those that share words with the request first, those not called yet before others
 *   key                 what the schema requires and is not there yet, in its order
 *   string, number      the members of an enum; spans of the user's last message that were not used yet: quoted text,
 *                       words in capitals, numbers; once something is written, the place where the message says it
 *   after a value       the next key while one is required, else the end; in a list the next item while the message
 *                       goes on with one
 *
 * A guess is one piece; the caller asks again after it. Nothing is learnt from a model here: whether
 * guesses pay is seen by how many are accepted (seq.c). */
#include <ctype.h>
#include <stdlib.h>

#include "gen/draft.h"

#define DEPTH_MOST 12
#define SPAN_MOST 80 /* bytes of a value copied at once */

struct drafter {
    const struct call_tool *tool; int n_tool;
    double *prior;                                                    /* [n_tool] */
    struct str text;                                                  /* the user's last message */
};

/* ---- the request ----------------------------------------------------------------------------- */

static void put_content(struct str *out, const struct json *content)
{
    size_t n;
    const char *s = json_str(content, &n);
    if (s) str_put(out, s, n);
    for (size_t i = 0; !s && i < json_len(content); i++) put_content(out, json_get(json_at(content, i), "text"));
}

struct drafter *drafter_open(const struct json *messages, const struct call_tool *tool, int n_tool)
{
    struct drafter *d = mem_zero(sizeof *d);
    d->tool = tool;
    d->n_tool = n_tool;
    d->prior = mem_zero(((size_t)n_tool + 1) * sizeof *d->prior);
    lexical_scores(messages, tool, n_tool, d->prior);
    for (size_t i = json_len(messages); i-- > 0 && !d->text.len;)
        if (json_str_is(json_get(json_at(messages, i), "role"), "user")) put_content(&d->text, json_get(json_at(messages, i), "content"));
    return d;
}

void drafter_close(struct drafter *d)
{
    if (!d) return;
    mem_free(d->prior);
    str_done(&d->text);
    mem_free(d);
}

/* ---- where the answer stands ------------------------------------------------------------------ */

struct span { const char *p; size_t n; };
struct level { char open; struct span key; size_t from; };            /* '{', '[' or '('; the key that is being given; where it began */
struct place {
    struct level level[DEPTH_MOST]; int depth;
    bool in_string, is_key;                                           /* is_key: the open string, or the next one */
    size_t from;                                                      /* where the open string, or bare value, begins */
    bool in_value;                                                    /* something bare has begun */
    char last;                                                        /* last character that is no blank, outside of strings: '"' for a string */
    const struct call_tool *tool;                                     /* named last */
    bool compact;
};

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-' || c == '+'; }

static const struct call_tool *tool_named(const struct drafter *d, struct span s)
{
    for (int i = 0; i < d->n_tool; i++)
        if (strlen(d->tool[i].name) == s.n && !memcmp(d->tool[i].name, s.p, s.n)) return &d->tool[i];
    return NULL;
}

static struct level *top_of(struct place *w) { return w->depth ? &w->level[w->depth - 1] : NULL; }

static void string_ends(const struct drafter *d, struct place *w, struct span s)
{
    struct level *l = top_of(w);
    const struct call_tool *named = w->is_key ? NULL : tool_named(d, s);
    if (l && w->is_key) l->key = s;
    if (named) w->tool = named;
    w->in_string = false;
    w->last = '"';
}

/* One character outside of strings. */
static void step(const struct drafter *d, struct place *w, const char *said, size_t i)
{
    struct level *l = top_of(w);
    char c = said[i];
    if (isspace((unsigned char)c)) return;
    if (w->in_value && !is_word(c)) {
        struct span s = { said + w->from, i - w->from };
        const struct call_tool *named = c == '(' ? tool_named(d, s) : NULL;
        if (named) w->tool = named;
        if (c == '=' && l) l->key = s;
        w->in_value = false;
    }
    if (c == '"') {
        w->is_key = l && l->open == '{' && (w->last == '{' || w->last == ',');
        w->in_string = true;
        w->from = i + 1;
    } else if (strchr("{[(", c)) {
        if (w->depth < DEPTH_MOST) w->level[w->depth++] = (struct level){ .open = c, .from = i };
    } else if (strchr("}])", c)) {
        if (w->depth) w->depth--;
    } else if (is_word(c) && !w->in_value) {
        w->in_value = true;
        w->from = i;
    }
    if (c == ':') w->compact = !(said[i + 1] == ' ');
    w->last = is_word(c) ? 'x' : c;
}

/* said ends with a zero. */
static struct place place_of(const struct drafter *d, const char *said, size_t n)
{
    struct place w = { .compact = true };
    for (size_t i = 0; i < n; i++) {
        if (!w.in_string) step(d, &w, said, i);
        else if (said[i] == '\\') i++;
        else if (said[i] == '"') string_ends(d, &w, (struct span){ said + w.from, i - w.from });
    }
    struct level *l = top_of(&w);
    if (!w.in_string) w.is_key = l && l->open == '{' && (w.last == '{' || w.last == ',');
    return w;
}

/* ---- the schema there -------------------------------------------------------------------------- */

static const struct json *member(const struct json *schema, struct span key)
{
    for (struct json_iter it = json_iter(json_get(schema, "properties")); json_next(&it);)
        if (strlen(it.key) == key.n && !memcmp(it.key, key.p, key.n)) return it.value;
    return NULL;
}

/* The schema of the container `depth` levels in, from level `base` on, where the arguments begin. */
static const struct json *descend(const struct place *w, int base, int depth)
{
    const struct json *s = w->tool->schema;
    for (int i = base; s && i + 1 < depth; i++)
        s = w->level[i].open == '[' ? json_get(s, "items") : member(s, w->level[i].key);
    return s;
}

/* The object of the arguments: the first below one that the call itself is made of. -1: not in it. */
static int arguments_at(const struct place *w)
{
    for (int i = 0; i < w->depth && w->tool; i++) {
        bool under = w->level[i].open == '(' || (i && w->level[i].open == '{' && w->level[i - 1].open == '{');
        if (under) return i;
    }
    return -1;
}

static const struct json *container(const struct place *w)
{
    int base = arguments_at(w);
    return base < 0 ? NULL : descend(w, base, w->depth);
}

/* The schema of the value that is being given. */
static const struct json *value_schema(const struct place *w)
{
    const struct json *c = container(w);
    const struct level *l = &w->level[w->depth - 1];
    return !c ? NULL : l->open == '[' ? json_get(c, "items") : member(c, l->key);
}

static bool has_type(const struct json *schema, const char *type) { return json_str_is(json_get(schema, "type"), type); }

/* ---- keys and ends ------------------------------------------------------------------------------ */

static bool find(const char *p, size_t n, const char *what, size_t len)
{
    return len && n >= len && memmem(p, n, what, len);
}

/* Was this key given in the innermost object? Keys of objects inside count too: that is rare and a guess is lost. */
static bool given(const struct place *w, const char *said, size_t n, const char *key)
{
    struct str s = { 0 };
    const struct level *l = &w->level[w->depth - 1];
    str_fmt(&s, l->open == '{' ? "\"%s\"" : "%s=", key);
    bool yes = find(said + l->from, n - l->from, s.p, s.len);
    str_done(&s);
    return yes;
}

/* The next key that the schema requires; NULL: all are given. */
static const char *missing_key(const struct place *w, const char *said, size_t n, struct span begun)
{
    const struct json *s = container(w), *required = json_get(s, "required");
    for (struct json_iter it = json_iter(json_get(s, "properties")); json_next(&it);) {
        bool needed = begun.n > 0;
        for (size_t i = 0; !needed && i < json_len(required); i++) needed = json_str_is(json_at(required, i), it.key);
        if (needed && !strncmp(it.key, begun.p, begun.n) && !given(w, said, n, it.key)) return it.key;
    }
    return NULL;
}

static bool guess_key(const struct place *w, const char *said, size_t n, struct str *out)
{
    struct span begun = { said + w->from, w->in_string ? n - w->from : 0 };
    const char *key = missing_key(w, said, n, begun);
    if (!key) return false;
    if (!w->in_string) str_puts(out, w->last == ',' && !w->compact ? " \"" : "\"");
    str_puts(out, key + begun.n);
    str_puts(out, "\"");
    return true;
}

static bool guess_name(const struct drafter *d, const char *said, size_t n, struct span begun, struct str *out)
{
    int best = -1;
    double top = 0;
    for (int i = 0; i < d->n_tool; i++) {
        const char *name = d->tool[i].name;
        double score = d->prior[i] - (find(said, n, name, strlen(name)) ? 1 : 0);
        if (!strncmp(name, begun.p, begun.n) && (best < 0 || score > top)) best = i, top = score;
    }
    if (best < 0) return false;
    str_puts(out, d->tool[best].name + begun.n);
    str_puts(out, "\"");
    return true;
}

/* ---- values --------------------------------------------------------------------------------------- */

static bool begins_word(const struct str *t, size_t i)
{
    return !i || !isalnum((unsigned char)t->p[i]) || !isalnum((unsigned char)t->p[i - 1]);
}

static size_t word_end(const struct str *t, size_t i)
{
    while (i < t->len && (isalnum((unsigned char)t->p[i]) || (unsigned char)t->p[i] >= 0x80 || strchr("_-'/@:.", t->p[i]))) i++;
    while (i && strchr(".':", t->p[i - 1])) i--;
    return i;
}

static char closing_quote(char c) { return c == '"' || c == '\'' ? c : 0; }

/* The end of the span at i of which `done` bytes are written: of what is quoted its quote, else of words in
 * capitals the last one. */
static size_t span_end(const struct str *t, size_t i, size_t done)
{
    char quote = i ? closing_quote(t->p[i - 1]) : 0;
    if (quote) {
        const char *q = memchr(t->p + i, quote, MIN(t->len - i, (size_t)SPAN_MOST));
        if (q && (size_t)(q - t->p) >= i + done) return (size_t)(q - t->p);
    }
    size_t end = word_end(t, i + done);
    bool capital = isupper((unsigned char)t->p[i]);
    while (capital && end + 1 < t->len) {
        size_t next = end + (t->p[end] == ',' && t->p[end + 1] == ' ') + 1;
        bool state = next > end + 1;                                  /* "Boston, MA" */
        if (next + 1 >= t->len || t->p[next - 1] != ' ' || !isupper((unsigned char)t->p[next])) break;
        if (state && !(isupper((unsigned char)t->p[next + 1]) && (next + 2 >= t->len || !isalnum((unsigned char)t->p[next + 2])))) break;
        end = word_end(t, next);
    }
    return end;
}

/* What the message says after `begun`, which the value says already. */
static bool go_on(const struct drafter *d, struct span begun, struct str *out)
{
    const struct str *t = &d->text;
    for (size_t i = 0; begun.n && i + begun.n < t->len; i++) {
        if (memcmp(t->p + i, begun.p, begun.n) || !begins_word(t, i)) continue;
        size_t end = span_end(t, i, begun.n);
        if (end < i + begun.n) continue;
        str_put(out, t->p + i + begun.n, end - i - begun.n);
        str_puts(out, "\"");
        return true;
    }
    return false;
}

/* Does a new sentence begin at i? Its first word is written large anyway. */
static bool begins_sentence(const struct str *t, size_t i)
{
    while (i && isspace((unsigned char)t->p[i - 1])) i--;
    return !i || strchr(".!?:", t->p[i - 1]);
}

/* The next span of the message that the answer has not used: quoted, or in capitals. */
static bool next_span(const struct drafter *d, const char *said, size_t n, struct str *out)
{
    const struct str *t = &d->text;
    for (size_t i = 0; i < t->len; i++) {
        bool quoted = closing_quote(t->p[i]) && begins_word(t, i) && (!i || !isalnum((unsigned char)t->p[i - 1])) && i + 1 < t->len &&
                      memchr(t->p + i + 1, t->p[i], MIN(t->len - i - 1, (size_t)SPAN_MOST));
        bool capital = isupper((unsigned char)t->p[i]) && begins_word(t, i);
        if (!quoted && !(capital && !begins_sentence(t, i))) continue;
        size_t from = i + quoted, end = span_end(t, from, 0);
        i = MAX(end, i + 1) - 1;
        if (end <= from + 1) continue;
        if (find(said, n, t->p + from, end - from)) continue;
        str_put(out, t->p + from, end - from);
        str_puts(out, "\"");
        return true;
    }
    return false;
}

static bool same_letters(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i])) return false;
    return true;
}

/* A member of the enum that goes on with what is begun: one that the message has, else the first. */
static bool guess_member(const struct drafter *d, const struct json *members, struct span begun, struct str *out)
{
    const char *best = NULL;
    bool best_said = false;
    for (size_t i = 0; i < json_len(members); i++) {
        size_t len;
        const char *m = json_str(json_at(members, i), &len);
        if (!m || len < begun.n || memcmp(m, begun.p, begun.n)) continue;
        bool has = false;
        for (size_t j = 0; len && !has && j + len <= d->text.len; j++) has = same_letters(d->text.p + j, m, len);
        if (!best || (has && !best_said)) best = m, best_said = has;
    }
    if (!best) return false;
    str_puts(out, best + begun.n);
    str_puts(out, "\"");
    return true;
}

static bool guess_string(const struct drafter *d, const struct place *w, const char *said, size_t n, struct str *out)
{
    struct span begun = { said + w->from, n - w->from };
    const struct json *s = w->depth ? value_schema(w) : NULL;
    if (json_len(json_get(s, "enum"))) return guess_member(d, json_get(s, "enum"), begun, out);
    return begun.n ? go_on(d, begun, out) : next_span(d, said, w->from, out);
}

static size_t number_end(const struct str *t, size_t i)
{
    size_t k = i + (t->p[i] == '-');
    while (k < t->len && (isdigit((unsigned char)t->p[k]) || (t->p[k] == '.' && k + 1 < t->len && isdigit((unsigned char)t->p[k + 1])))) k++;
    return k;
}

static bool number_begins(const struct str *t, size_t i)
{
    char c = t->p[i], before = i ? t->p[i - 1] : ' ';
    if (isalnum((unsigned char)before) || before == '.') return false;
    return isdigit((unsigned char)c) || (c == '-' && i + 1 < t->len && isdigit((unsigned char)t->p[i + 1]) && !isalnum((unsigned char)before));
}

/* How often the answer has this number as a value. */
static int times_said(const char *said, size_t n, struct span number)
{
    int count = 0;
    for (size_t i = 1; i + number.n <= n; i++)
        count += !memcmp(said + i, number.p, number.n) && !is_word(said[i - 1]) && (i + number.n == n || !is_word(said[i + number.n]));
    return count;
}

/* The next number of the message that the answer has not used. */
static bool guess_number(const struct drafter *d, const struct place *w, const char *said, size_t n, struct str *out)
{
    const struct str *t = &d->text;
    size_t begun = w->in_value ? n - w->from : 0, until = w->in_value ? w->from : n;
    for (size_t i = 0; i < t->len; i++) {
        if (!number_begins(t, i)) continue;
        size_t end = number_end(t, i);
        struct span number = { t->p + i, end - i };
        int before = 0;
        for (size_t j = 0; j < i; j++)
            before += number_begins(t, j) && number_end(t, j) - j == number.n && !memcmp(t->p + j, number.p, number.n);
        if (number.n >= begun && !memcmp(number.p, said + until, begun) && times_said(said, until, number) <= before) {
            str_put(out, number.p + begun, number.n - begun);
            return number.n > begun;
        }
        i = end - 1;
    }
    return false;
}

/* Does the message go on with another item after the one that ends the list so far? */
static bool list_goes_on(const struct drafter *d, const char *said, size_t n)
{
    const struct str *t = &d->text;
    size_t end = n, from;
    while (end && (said[end - 1] == '"' || isspace((unsigned char)said[end - 1]))) end--;
    for (from = end; from && said[from - 1] != '"' && said[from - 1] != '[' && said[from - 1] != ','; from--) {}
    while (from < end && said[from] == ' ') from++;
    for (size_t i = 0; from < end && i + (end - from) < t->len; i++) {
        if (memcmp(t->p + i, said + from, end - from) || !begins_word(t, i)) continue;
        size_t k = i + (end - from);
        if (k < t->len && isalnum((unsigned char)t->p[k])) continue;
        while (k < t->len && (t->p[k] == '"' || t->p[k] == '\'')) k++;
        if (k + 1 < t->len && t->p[k] == ',' && t->p[k + 1] != '\n') return true;
        return k + 5 < t->len && (!memcmp(t->p + k, " and ", 5) || !memcmp(t->p + k, " or ", 4));
    }
    return false;
}

/* A value that begins, or that is no string. */
static bool guess_bare(const struct drafter *d, const struct place *w, const char *said, size_t n, struct str *out)
{
    const struct json *s = value_schema(w);
    size_t at = out->len;
    if (!w->in_value && w->last == ':' && !w->compact && said[n - 1] == ':') str_puts(out, " ");
    if (has_type(s, "integer") || has_type(s, "number")) return guess_number(d, w, said, n, out);
    if (w->in_value) return false;
    if (has_type(s, "boolean")) str_puts(out, "true");
    else if (has_type(s, "array")) str_puts(out, "[");
    else if (has_type(s, "object")) str_puts(out, "{");
    else if (has_type(s, "string")) str_puts(out, "\"");
    return out->len > at;
}

/* After a whole value. */
static bool guess_end(const struct drafter *d, const struct place *w, const char *said, size_t n, struct str *out)
{
    const struct level *l = &w->level[w->depth - 1];
    bool more = l->open == '[' ? arguments_at(w) >= 0 && list_goes_on(d, said, n) : container(w) && missing_key(w, said, n, (struct span){ "", 0 });
    if (more) str_puts(out, w->compact ? "," : ", ");
    else str_puts(out, l->open == '[' ? "]" : l->open == '{' ? "}" : ")");
    return true;
}

bool drafter_guess(const struct drafter *d, const char *said, size_t n, struct str *out)
{
    struct place w = place_of(d, said, n);
    struct level *l = top_of(&w);
    if (!l) return false;
    if (w.in_string && w.is_key) return guess_key(&w, said, n, out);
    bool is_name = w.in_string && l->open == '{' && l->key.n == 4 && !memcmp(l->key.p, "name", 4) && w.depth <= 2 && arguments_at(&w) < 0;
    if (is_name) return guess_name(d, said, n, (struct span){ said + w.from, n - w.from }, out);
    if (w.in_string) return guess_string(d, &w, said, n, out);
    if (w.is_key) return guess_key(&w, said, n, out);
    bool begins = w.last == ':' || w.last == '=' || w.last == '[' || (w.last == ',' && l->open == '[');
    if (begins && arguments_at(&w) >= 0) return guess_bare(d, &w, said, n, out);
    if (begins) return false;
    if (w.in_value && arguments_at(&w) >= 0 && guess_bare(d, &w, said, n, out)) return true;
    return guess_end(d, &w, said, n, out);
}
