/* dialect.c -- the table of dialects: how model families write tool calls.
 *
 * A dialect is one row of function pointers in a file of its own; which one a model file speaks is found
 * by detect.c, and the last row is for those of which it finds nothing. Also here: `wire`, which finds
 * markers in output that arrived as mere text. */
#include "text/int.h"

extern const struct dialect dialect_lfm2_json, dialect_lfm2, dialect_json;

static const struct dialect *const rows[] = { &dialect_lfm2_json, &dialect_lfm2, &dialect_json };

const struct dialect *dialect_at(size_t i) { return i < LEN(rows) ? rows[i] : NULL; }

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; name && i < LEN(rows); i++)
        if (!strcmp(rows[i]->name, name)) return rows[i];
    return NULL;
}

/* ---- markers in mere text -------------------------------------------------------------------- */

void wire_open(struct wire *w, const struct dialect *d, const struct json *tools, parse_sink *sink,
               void *ctx)
{
    *w = (struct wire){ .d = d, .p = d->parser_open(tools, sink, ctx) };
    parser_lenient(w->p);
}

/* The marker that s begins with: its index, -1 for none, -2 if more bytes could make one. */
static int marker_at(const char *const *list, const char *s, size_t len)
{
    int found = -1;
    for (int i = 0; list[i]; i++) {
        size_t n = strlen(list[i]);
        if (memcmp(list[i], s, MIN(n, len))) continue;
        if (n <= len) return i;
        found = -2;
    }
    return found;
}

static bool is_stop(const struct dialect *d, const char *marker)
{
    for (int i = 0; d->stop[i]; i++)
        if (!strcmp(d->stop[i], marker)) return true;
    return false;
}

/* Feeds all of s but what may be the beginning of a marker; returns how much was used. */
static size_t feed_known(struct wire *w, const char *s, size_t len)
{
    size_t from = 0, i = 0;
    while (i < len && !w->stopped) {
        int m = marker_at(w->d->markers, s + i, len - i);
        if (m == -1) {
            i++;
            continue;
        }
        if (i > from) w->d->parser_feed(w->p, s + from, i - from, false);
        from = i;
        if (m == -2) return i;
        const char *marker = w->d->markers[m];
        w->stopped = is_stop(w->d, marker);
        w->d->parser_feed(w->p, marker, strlen(marker), true);
        from = i += strlen(marker);
    }
    if (i > from) w->d->parser_feed(w->p, s + from, i - from, false);
    return len;
}

void wire_feed(struct wire *w, const char *bytes, size_t len)
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

bool wire_close(struct wire *w, struct err *e)
{
    if (w->held.len && !w->stopped) w->d->parser_feed(w->p, w->held.p, w->held.len, false);
    str_done(&w->held);
    bool ok = w->d->parser_close(w->p, e);
    w->p = NULL;
    return ok;
}
