/* result.c -- what a model sees of what a tool gave.
 *
 * Text of strangers: made whole UTF-8, without control characters and terminal sequences, and cut to a budget where
 * lines end, so that the model knows that something is missing and how to ask for it. JSON arrays are cut by
 * elements and stay JSON. Nothing here looks at the meaning of the text. */
#include "agent/int.h"

#include <stdarg.h>
#include <stdlib.h>

void tool_result_done(struct tool_result *r)
{
    str_done(&r->text);
    json_free(r->files);
    *r = (struct tool_result){ 0 };
}

void tool_fail(struct tool_result *r, const char *fmt, ...)
{
    char msg[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    str_clear(&r->text);
    str_put(&r->text, msg, utf8_whole(msg, strlen(msg)));
    r->is_error = true;
    r->is_json = false;
}

/* ---- cleaning ---- */

/* Length of the escape sequence at p (ESC or a C1 control there), 0 if none begins. */
static size_t escape_len(const char *p, const char *end)
{
    const char *q = p;
    if (*q != 0x1b || ++q >= end) return *p == 0x1b;
    if (*q == '[') {                                                  /* CSI: parameters, then a final byte */
        for (q++; q < end && (unsigned char)*q >= 0x20 && (unsigned char)*q < 0x40; q++) { }
        return (size_t)(q - p) + (q < end && (unsigned char)*q >= 0x40 && (unsigned char)*q < 0x7f);
    }
    if (strchr("]PX^_", *q)) {                                        /* OSC, DCS …: up to BEL or ESC \ */
        for (q++; q < end && *q != 7; q++)
            if (*q == 0x1b) return (size_t)(q - p) + (q + 1 < end && q[1] == '\\' ? 2 : 0);
        return (size_t)(q - p) + (q < end);
    }
    while (q < end && (unsigned char)*q >= 0x20 && (unsigned char)*q < 0x30) q++;
    return (size_t)(q - p) + (q < end);
}

static bool is_control(int32_t cp)
{
    return (cp < 0x20 && cp != '\n' && cp != '\t') || (cp >= 0x7f && cp < 0xa0);
}

void result_clean(struct str *out, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        size_t skip = *p == 0x1b ? escape_len(p, end) : 0;
        int len = 1;
        if (skip) {
            p += skip;
            continue;
        }
        int32_t cp = utf8_next(p, end, &len);
        if (cp < 0) str_puts(out, "\xef\xbf\xbd");
        else if (!is_control(cp)) str_put(out, p, (size_t)len);
        p += len;
    }
}

/* Characters that turn the direction of what follows make text look like what it is not. */
static bool is_turning(int32_t cp)
{
    return (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0x200e || cp == 0x200f;
}

void result_escape(struct str *out, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        int len = 1;
        int32_t cp = utf8_next(p, end, &len);
        if (cp < 0) str_puts(out, "\xef\xbf\xbd");
        else if (is_turning(cp)) str_fmt(out, "\\u%04x", (unsigned)cp);
        else if (is_control(cp)) str_fmt(out, "\\x%02x", (unsigned)cp);
        else str_put(out, p, (size_t)len);
        p += len;
    }
}

/* ---- cutting ---- */

static size_t count_chars(const char *p, size_t n)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++) c += ((unsigned char)p[i] & 0xc0) != 0x80;
    return c;
}

/* The end of the last line (else character) within the first n bytes. */
static size_t head_border(const char *p, size_t n)
{
    for (size_t i = n; i > n / 2; i--)
        if (p[i - 1] == '\n') return i;
    return utf8_whole(p, n);
}

/* Where a tail of at most n bytes begins. */
static size_t tail_border(const char *p, size_t all, size_t n)
{
    size_t from = all - n;
    for (size_t i = from; i < from + n / 2; i++)
        if (i && p[i - 1] == '\n') return i;
    while (from < all && ((unsigned char)p[from] & 0xc0) == 0x80) from++;
    return from;
}

/* Where the rest is, if it was kept. */
static void put_whole(struct str *out, int number)
{
    if (number) str_fmt(out, "; full output: result:%d", number);
}

static void cut_text(struct str *out, const char *p, size_t n, size_t most, int number)
{
    size_t head = head_border(p, most * 7 / 10), tail = tail_border(p, n, most * 3 / 10);
    str_put(out, p, head);
    if (head && p[head - 1] != '\n') str_putc(out, '\n');
    str_fmt(out, "[… %zu characters omitted", count_chars(p + head, tail - head));
    put_whole(out, number);
    str_puts(out, "]\n");
    str_put(out, p + tail, n - tail);
}

/* The longest array of first elements that fits, then a string that says how many are missing. */
static bool cut_array(struct str *out, const struct json *v, size_t most, int number)
{
    size_t n = json_len(v), kept = 0;
    str_putc(out, '[');
    for (; kept < n; kept++) {
        struct str one = { 0 };
        json_write(&one, json_at(v, kept), JSON_COMPACT);
        bool fits = out->len + one.len + 1 <= most;
        if (fits) {
            str_put(out, one.p, one.len);
            str_putc(out, ',');
        }
        str_done(&one);
        if (!fits) break;
    }
    str_fmt(out, "\"… %zu of %zu elements omitted", n - kept, n);
    put_whole(out, number);
    str_puts(out, "\"]");
    return kept > 0;
}

bool result_cut(struct str *out, const char *p, size_t n, bool is_json, size_t most, int number)
{
    most = MAX(most, 64);
    if (n <= most) {
        str_put(out, p, n);
        return false;
    }
    struct json *v = is_json ? json_parse(p, n, NULL) : NULL;
    if (!json_is(v, JSON_ARRAY) || !cut_array(out, v, most, number)) {
        str_clear(out);
        cut_text(out, p, n, most, number);
    }
    json_free(v);
    return true;
}

/* ---- what a model is told of errors and files ---- */

/* "/brightness: 120 is above maximum 100" becomes a place and what was expected there. */
void tool_fail_schema(struct tool_result *r, const struct err *e)
{
    const char *colon = strstr(e->msg, ": ");
    bool has_place = *e->msg == '/' && colon;
    struct json *o = json_new_object();
    json_set(o, "error", json_new_str("invalid_arguments"));
    json_set(o, "at", json_new_strn(e->msg, has_place ? (size_t)(colon - e->msg) : 0));
    json_set(o, "expected", json_new_str(has_place ? colon + 2 : e->msg));
    tool_fail(r, "%s", "");
    json_write(&r->text, o, JSON_COMPACT);
    r->is_json = true;
    json_free(o);
}

void result_mark_error(struct str *text)
{
    struct str marked = { 0 };
    str_puts(&marked, "{\"error\":");
    json_write_str(&marked, text->p ? text->p : "", text->len);
    str_putc(&marked, '}');
    str_done(text);
    *text = marked;
}

void result_put_files(struct str *text, const struct json *files)
{
    for (size_t i = 0; i < json_len(files); i++) {
        const struct json *f = json_at(files, i);
        int64_t bytes = 0, width = 0, height = 0;
        json_i64(json_get(f, "bytes"), &bytes);
        const char *name = json_str(json_get(f, "name"), NULL), *type = json_str(json_get(f, "type"), NULL);
        bool sized = json_i64(json_get(f, "width"), &width) && json_i64(json_get(f, "height"), &height);
        str_puts(text, text->len ? "\n[" : "[");
        if (sized) str_fmt(text, "image %lld×%lld saved as %s", (long long)width, (long long)height, name ? name : "?");
        else str_fmt(text, "file %s", name ? name : "?");
        str_fmt(text, " (%s, %lld bytes)]", type ? type : "?", (long long)bytes);
    }
}
