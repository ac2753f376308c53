/* place.c -- where in the arguments of a call the text stands, and which values stand before it.
 *
 * The text is JSON from its first brace on, well formed as far as it goes: the grammar wrote it. */
#include <ctype.h>

#include "gen/value.h"

#define DEPTH_MOST 12

struct level { char open; const struct json *schema; struct bytes key; int given; };  /* given: values before it */
struct walk { struct level level[DEPTH_MOST]; int depth; bool in_string, is_value; size_t from; char last; };

static const struct json *property(const struct json *schema, struct bytes key)
{
    const struct json *props = json_get(schema, "properties");
    if (!json_is(props, JSON_OBJECT)) return NULL;
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (it.key_len == key.len && !memcmp(it.key, key.p, key.len)) return it.value;
    return NULL;
}

static const struct json *value_schema(const struct walk *w, const struct json *whole)
{
    const struct level *l = w->depth ? &w->level[w->depth - 1] : NULL;
    return !l ? whole : l->open == '[' ? json_get(l->schema, "items") : property(l->schema, l->key);
}

static void put_given(struct place *p, const char *at, size_t n)
{
    if (p->n_given < GIVEN_MOST) p->given[p->n_given++] = (struct bytes){ at, n };
}

static void string_ends(struct place *p, struct walk *w, const char *at, size_t n)
{
    if (w->is_value) put_given(p, at, n);
    else if (w->depth) w->level[w->depth - 1].key = (struct bytes){ at, n };
    w->in_string = false;
    w->last = '"';
}

/* One byte outside of strings. False: nested too deep. */
static bool step(struct place *p, struct walk *w, const struct json *schema, const char *text, size_t i)
{
    char c = text[i];
    bool in_object = w->depth && w->level[w->depth - 1].open == '{';
    if (isspace((unsigned char)c)) return true;
    if (w->last == 'x' && strchr(",]}", c)) put_given(p, text + w->from, i - w->from);
    if (c == '"') {
        w->in_string = true;
        w->is_value = !in_object || w->last == ':';
        w->from = i + 1;
    } else if (c == '{' || c == '[') {
        if (w->depth == DEPTH_MOST) return false;
        const struct json *s = value_schema(w, schema);
        w->level[w->depth++] = (struct level){ .open = c, .schema = s, .given = p->n_given };
    } else if (c == '}' || c == ']') {
        if (w->depth) w->depth--;
    } else if (!strchr(":,", c)) {
        if (w->last != 'x') w->from = i;
        c = 'x';
    }
    w->last = c;
    return true;
}

bool place_find(struct place *p, const struct json *schema, const char *text, size_t n)
{
    struct walk w = { 0 };
    *p = (struct place){ 0 };
    for (size_t i = 0; i < n; i++) {
        if (!w.in_string) {
            if (!step(p, &w, schema, text, i)) return false;
        } else if (text[i] == '\\') i++;
        else if (text[i] == '"') string_ends(p, &w, text + w.from, i - w.from);
    }
    if (!w.depth) return false;
    const struct level *l = &w.level[w.depth - 1];
    p->in_string = w.in_string;
    p->begins_key = w.in_string && !w.is_value && w.from == n;
    p->open = l->open, p->depth = w.depth, p->inner = l->schema, p->list_from = l->given;
    p->object = w.level[0].schema;
    p->last_key = w.level[0].key;
    if (w.is_value && w.in_string && n > w.from) put_given(p, text + w.from, n - w.from);
    if (!w.in_string && w.last == 'x') put_given(p, text + w.from, n - w.from);
    bool starts = w.in_string ? w.is_value && w.from == n : l->open == '[' ? strchr("[,", w.last) != NULL : w.last == ':';
    if (!starts) return false;
    p->schema = value_schema(&w, schema);
    for (int i = w.depth; i-- > 0 && !p->key.len;)
        if (w.level[i].key.len) p->key = w.level[i].key, p->named = property(w.level[i].schema, p->key);
    return p->schema != NULL;
}

enum list_step place_step(const char *said, size_t n, struct bytes next, int at)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n + next.len; i++) {
        char c = i < n ? said[i] : next.p[i - n];
        if (in_string && c == '\\') i++;
        else if (c == '"') in_string = !in_string;
        else if (in_string) continue;
        else if (i >= n && depth == at && c == ',') return LIST_MORE;
        else if (i >= n && depth == at && c && strchr("]}", c)) return LIST_ENDS;
        else if (c && strchr("[{(", c)) depth++;
        else if (c && strchr("]})", c)) depth--;
    }
    return LIST_SAME;
}
