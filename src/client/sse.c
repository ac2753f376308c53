/* sse.c -- server-sent events from bytes that are cut anywhere (WHATWG HTML, "Server-sent events").
 *
 * Lines end with CR, LF or CRLF; "data" lines of one event are joined by newlines; an empty line ends the
 * event; "id" and "retry" are kept for who wants to go on where a stream broke; lines that begin with a colon are
 * comments; other fields do not matter to us. An event that the
 * end of the stream cuts off is no event. */
#include "client/client.h"

#include <stdlib.h>

void sse_init(struct sse *s, sse_fn *fn, void *ctx, size_t most)
{
    *s = (struct sse){ .fn = fn, .ctx = ctx, .most = most };
}

void sse_done(struct sse *s)
{
    str_done(&s->line);
    str_done(&s->data);
    str_done(&s->event);
    str_done(&s->id);
}

static bool dispatch(struct sse *s)
{
    bool go_on = true;
    if (s->has_data) {
        if (s->data.len) s->data.p[--s->data.len] = 0;                /* the last newline */
        go_on =
            s->fn(s->ctx, s->event.p ? s->event.p : "", s->data.p ? s->data.p : "", s->data.len);
    }
    s->has_data = false;
    str_clear(&s->data);
    str_clear(&s->event);
    return go_on;
}

static bool is_field(const struct str *line, size_t len, const char *name)
{
    return len == strlen(name) && !memcmp(line->p, name, len);
}

static bool end_line(struct sse *s)
{
    struct str *l = &s->line;
    if (!l->len) return dispatch(s);
    const char *colon = memchr(l->p, ':', l->len);
    size_t len = colon ? (size_t)(colon - l->p) : l->len;
    const char *value = colon ? colon + 1 : l->p + l->len;
    if (*value == ' ') value++;
    size_t n = (size_t)(l->p + l->len - value);
    if (is_field(l, len, "data")) {
        s->has_data = true;
        str_put(&s->data, value, n);
        str_putc(&s->data, '\n');
    } else if (is_field(l, len, "event")) {
        str_clear(&s->event);
        str_put(&s->event, value, n);
    } else if (is_field(l, len, "id") && !memchr(value, 0, n)) {
        str_clear(&s->id);
        str_put(&s->id, value, n);
    } else if (is_field(l, len, "retry") && n && n < 8 && strspn(value, "0123456789") == n) s->retry_ms = atoi(value);
    str_clear(l);
    return true;
}

/* The byte order mark that a stream may begin with. */
static void skip_mark(struct sse *s)
{
    if (s->begun || s->line.len < 3) return;
    s->begun = true;
    if (memcmp(s->line.p, "\xEF\xBB\xBF", 3)) return;
    memmove(s->line.p, s->line.p + 3, s->line.len - 3);
    s->line.len -= 3;
    s->line.p[s->line.len] = 0;
}

bool sse_feed(struct sse *s, const char *p, size_t n, struct err *e)
{
    for (size_t i = 0; i < n && !s->ended; i++) {
        bool ends = p[i] == '\r' || p[i] == '\n';
        if (p[i] == '\n' && s->after_cr) ends = false;                /* the second half of CRLF */
        else if (!ends) str_putc(&s->line, p[i]);
        s->after_cr = p[i] == '\r';
        skip_mark(s);
        if (s->line.len + s->data.len > s->most)
            return err_set(e, ERR_LIMIT, "an event of more than %zu bytes", s->most);
        if (ends && !end_line(s)) s->ended = true;
    }
    return !s->ended || err_set(e, ERR_CANCEL, "the stream was left");
}
