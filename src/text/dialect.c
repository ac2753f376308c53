/* dialect.c -- the table of dialects: how model families write tool calls.
 *
 * A dialect is one row of function pointers in a file of its own; which one a model file speaks is found
 * by detect.c, and the last row is for those of which it finds nothing. Also here: `wire`, which finds
 * markers in output that arrived as mere text. */
#include "text/int.h"

extern const struct dialect dialect_lfm2_json, dialect_lfm2, dialect_functionary_v1, dialect_functionary_v2,
    dialect_functionary_v2_llama3, dialect_functionary_v3_2, dialect_functionary_v3_1, dialect_functionary_v4r,
    dialect_llama3_1, dialect_hermes, dialect_json;

static const struct dialect *const rows[] = {
    &dialect_lfm2_json, &dialect_lfm2, &dialect_functionary_v1, &dialect_functionary_v2, &dialect_functionary_v2_llama3,
    &dialect_functionary_v3_2, &dialect_functionary_v3_1, &dialect_functionary_v4r, &dialect_llama3_1, &dialect_hermes,
    &dialect_json,
};

const struct dialect *dialect_at(size_t i) { return i < LEN(rows) ? rows[i] : NULL; }

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; name && i < LEN(rows); i++)
        if (!strcmp(rows[i]->name, name)) return rows[i];
    return NULL;
}

bool dialect_stops(const struct dialect *d, struct bytes special)
{
    const char *const *stop = d ? d->stop : NULL;
    while (stop && *stop && !bytes_eq(special, *stop)) stop++;
    return stop && *stop;
}

/* ---- markers in mere text -------------------------------------------------------------------- */

static void add_marks(struct wire *w, const struct turn *t, const char *const *list, int *n)
{
    for (int i = 0; list[i] && *n < WIRE_MARKS; i++)
        if (!is_token(t, list[i])) w->mark[(*n)++] = list[i];
}

/* Stop tokens are looked for only where no token is known: else the speaker knows its own. */
void wire_open(struct wire *w, const struct dialect *d, const struct turn *t, parse_sink *sink, void *ctx)
{
    int n = 0;
    *w = (struct wire){ .p = d->parser_open(t, sink, ctx) };
    if (!t->tok) add_marks(w, t, d->stop, &n);
    w->n_stop = n;
    add_marks(w, t, d->markers, &n);
    if (!t->tok) parser_lenient(w->p);
}

/* The mark that s begins with: its index, -1 for none, -2 if more bytes could make one. */
static int mark_at(const struct wire *w, const char *s, size_t len)
{
    int found = -1;
    for (int i = 0; w->mark[i]; i++) {
        size_t n = strlen(w->mark[i]);
        if (memcmp(w->mark[i], s, MIN(n, len))) continue;
        if (n <= len) return i;
        found = -2;
    }
    return found;
}

/* Feeds all of s but what may be the beginning of a mark; returns how much was used. All marks begin with
 * '<'. In a string of arguments they are text, but for stop tokens. */
static size_t feed_known(struct wire *w, const char *s, size_t len)
{
    size_t from = 0, i = 0;
    while (i < len && !w->stopped) {
        const char *hit = memchr(s + i, '<', len - i);
        if (!hit) break;
        i = (size_t)(hit - s);
        int m = mark_at(w, hit, len - i);
        if (m != -1 && i > from) {
            parser_feed(w->p, s + from, i - from, false);
            from = i;
        }
        if (m == -2) return i;
        if (m < 0 || (m >= w->n_stop && parser_in_string(w->p))) {
            i++;
            continue;
        }
        w->stopped = m < w->n_stop;
        parser_feed(w->p, w->mark[m], strlen(w->mark[m]), true);
        from = i += strlen(w->mark[m]);
    }
    if (len > from && !w->stopped) parser_feed(w->p, s + from, len - from, false);
    return len;
}

/* Text in which a mark may begin, or one has begun. */
static void feed_marked(struct wire *w, const char *bytes, size_t len)
{
    if (!w->held.len) {
        size_t used = feed_known(w, bytes, len);
        if (used < len) str_put(&w->held, bytes + used, len - used);
        return;
    }
    struct str all = w->held;
    w->held = (struct str){ 0 };
    str_put(&all, bytes, len);
    size_t used = feed_known(w, all.p, all.len);
    if (used < all.len) str_put(&w->held, all.p + used, all.len - used);
    str_done(&all);
}

void wire_feed(struct wire *w, const char *bytes, size_t len, bool special)
{
    if (w->stopped) return;
    if (!special && w->mark[0] && (w->held.len || memchr(bytes, '<', len))) {
        feed_marked(w, bytes, len);
        return;
    }
    if (w->held.len) {
        parser_feed(w->p, w->held.p, w->held.len, false);
        str_clear(&w->held);
    }
    parser_feed(w->p, bytes, len, special);
}

bool wire_close(struct wire *w, bool cut, struct err *e)
{
    if (w->held.len && !w->stopped) parser_feed(w->p, w->held.p, w->held.len, false);
    str_done(&w->held);
    bool ok = parser_close(w->p, cut && !w->stopped, e);
    w->p = NULL;
    return ok;
}
