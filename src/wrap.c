/* wrap.c -- words that come a piece at a time, broken where the window ends.
 *
 * A word is held back until it is whole; then it goes on this line or on the next. Blanks between words are held too,
 * and dropped where a line is broken. A word that is wider than the window is left to the terminal. Wide characters
 * (two columns) may be broken anywhere, as their writing does. The window is measured for every word, so a change of
 * its size counts from the next one on. Colours have no width (wrap_mark). */
#include "wrap.h"

#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

int wrap_window(const struct wrap *w)
{
    FILE *f = w->f;
    struct winsize size = { 0 };
    const char *columns = getenv("COLUMNS");
    if (w->endless) return INT_MAX / 2;
    if (!ioctl(fileno(f), TIOCGWINSZ, &size) && size.ws_col) return size.ws_col;
    return columns && atoi(columns) > 0 ? atoi(columns) : 80;
}

/* Columns of a character, whatever locale the user has. */
int wrap_char_width(int32_t cp)
{
    static locale_t utf8;
    if (cp < 0x7f) return 1;                                          /* malformed too */
    if (!utf8) utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t was = utf8 ? uselocale(utf8) : (locale_t)0;
    int n = wcwidth((wchar_t)cp);
    if (was) uselocale(was);
    return n < 0 ? 1 : n;
}

int wrap_text_width(const char *p, size_t n)
{
    int width = 0;
    for (const char *end = p + n; p < end;) {
        int k = 1;
        width += wrap_char_width(utf8_next(p, end, &k));
        p += k;
    }
    return width;
}

void wrap_done(struct wrap *w) { str_done(&w->word); }

void wrap_mark(struct wrap *w, const char *sequence) { str_puts(&w->word, sequence); }

/* The blanks before the word give way to the line's end; a window that an indent would fill has none. */
static void break_line(struct wrap *w, int window)
{
    fputc('\n', w->f);
    w->column = 0;
    w->blanks = w->indent < window / 2 ? w->indent : 0;
}

void wrap_flush(struct wrap *w)
{
    if (!w->width) {                                                  /* only marks, or nothing */
        fwrite(w->word.p ? w->word.p : "", 1, w->word.len, w->f);
        str_clear(&w->word);
        return;
    }
    int window = wrap_window(w);
    if (w->column && w->column + w->blanks + w->width > window) break_line(w, window);
    for (; w->blanks; w->blanks--, w->column++) fputc(' ', w->f);
    fwrite(w->word.p, 1, w->word.len, w->f);
    w->column = (w->column + w->width) > window ? (w->column + w->width) % window : w->column + w->width;
    w->width = 0;
    str_clear(&w->word);
}

static void put_char(struct wrap *w, const char *p, size_t n, int width)
{
    bool wide = width > 1;
    if (wide) wrap_flush(w);
    str_put(&w->word, p, n);
    w->width += width;
    if (wide) wrap_flush(w);
}

static void end_line(struct wrap *w)
{
    wrap_flush(w);
    fputc('\n', w->f);
    w->column = w->blanks = 0;
}

/* Code: nothing is broken by us, the terminal does it where it must. */
static void put_as_is(struct wrap *w, const char *p, size_t n, int width)
{
    int window = wrap_window(w);
    wrap_flush(w);
    for (; w->blanks; w->blanks--, w->column++) fputc(' ', w->f);
    fwrite(p, 1, n, w->f);
    w->column = (w->column + width) % window;
}

void wrap_put(struct wrap *w, const char *p, size_t n, bool as_is)
{
    for (const char *end = p + n; p < end;) {
        int k = 1;
        int32_t cp = utf8_next(p, end, &k);
        int width = *p == '\t' ? 8 - w->column % 8 : wrap_char_width(cp);
        if (*p == '\n') end_line(w);
        else if (as_is || *p == '\t') put_as_is(w, p, (size_t)k, width);
        else if (*p == ' ') wrap_flush(w), w->blanks++;
        else put_char(w, p, (size_t)k, width);
        p += k;
    }
}

void wrap_line(FILE *f, const char *text, int indent, int column)
{
    struct wrap w = { .f = f, .endless = !isatty(fileno(f)), .indent = indent, .column = column };
    wrap_put(&w, text, strlen(text), false);
    wrap_flush(&w);
    wrap_done(&w);
}
