/* plot.c -- curves of a run's log: as characters for the terminal, as a small SVG for a page.
 *
 * Every column has its own vertical scale, written beside it, because a loss and a percentage share
 * no axis. The horizontal axis is tokens, the one measure that does not depend on the machine. */
#include <math.h>
#include <stdlib.h>

#include "train/int.h"

#define SVG_W 800
#define SVG_H 400
#define MARGIN 50

struct series { const char *name; double *x, *y; size_t n, cap, cap_y; double lo, hi; };

struct field { const char *p; size_t len; };

/* The next cell of a line; false at its end. */
static bool next_cell(const char **at, const char *end, struct field *f)
{
    if (*at > end) return false;
    const char *tab = memchr(*at, '\t', (size_t)(end - *at));
    *f = (struct field){ *at, (size_t)((tab ? tab : end) - *at) };
    *at = tab ? tab + 1 : end + 1;
    return true;
}

static bool cell_at(const char *line, const char *end, int want, struct field *f)
{
    for (int i = 0; next_cell(&line, end, f); i++)
        if (i == want) return true;
    return false;
}

static int find_column(const char *line, const char *end, const char *name)
{
    struct field f;
    for (int i = 0; next_cell(&line, end, &f); i++)
        if (f.len == strlen(name) && !memcmp(f.p, name, f.len)) return i;
    return -1;
}

static bool number(struct field f, double *v)
{
    char buf[64], *end;
    if (!f.len || f.len >= sizeof buf) return false;
    memcpy(buf, f.p, f.len);
    buf[f.len] = 0;
    *v = strtod(buf, &end);
    return !*end && isfinite(*v);
}

static void add_point(struct series *s, double x, double y)
{
    MEM_GROW(s->x, s->n, s->cap);
    MEM_GROW(s->y, s->n, s->cap_y);
    s->x[s->n] = x;
    s->y[s->n] = y;
    s->lo = s->n ? fmin(s->lo, y) : y;
    s->hi = s->n ? fmax(s->hi, y) : y;
    s->n++;
}

static bool read_series(const struct str *text, const char *file, struct series *s, struct err *e)
{
    const char *line = text->p, *last = text->p + text->len, *end = memchr(line, '\n', text->len);
    if (!end)
        return err_set(e, ERR_FORMAT, "%s: no header line; a log.tsv of tenon train is wanted",
                       file);
    int cx = find_column(line, end, "tokens"), cy = find_column(line, end, s->name);
    if (cx < 0 || cy < 0)
        return err_set(e, ERR_ARG, "%s: there is no column \"%s\"", file,
                       cx < 0 ? "tokens" : s->name);
    for (line = end + 1; line < last; line = end + 1) {
        end = memchr(line, '\n', (size_t)(last - line));
        if (!end) end = last;
        struct field fx, fy;
        double x, y;
        if (cell_at(line, end, cx, &fx) && cell_at(line, end, cy, &fy) && number(fx, &x) &&
            number(fy, &y))
            add_point(s, x, y);
    }
    return s->n > 0 || err_set(e, ERR_ARG, "%s: column \"%s\" has no values yet", file, s->name);
}

static double share(double v, double lo, double hi)
{
    return hi > lo ? (v - lo) / (hi - lo) : 0.5;
}

static void draw_ascii(const struct series *s, int width, int height, struct str *out)
{
    char *cell = mem_alloc((size_t)width * (size_t)height);
    memset(cell, ' ', (size_t)width * (size_t)height);
    double x0 = s->x[0], x1 = s->x[s->n - 1];
    for (size_t i = 0; i < s->n; i++) {
        int cx = (int)(share(s->x[i], x0, x1) * (width - 1)),
            cy = (int)((1 - share(s->y[i], s->lo, s->hi)) * (height - 1));
        if (cx >= 0 && cx < width && cy >= 0 && cy < height) cell[cy * width + cx] = '*';
    }
    str_fmt(out, "%s: %.4g .. %.4g, last %.4g\n", s->name, s->lo, s->hi, s->y[s->n - 1]);
    for (int y = 0; y < height; y++) {
        str_fmt(out, "%10.4g |", s->hi - (s->hi - s->lo) * y / MAX(height - 1, 1));
        str_put(out, cell + y * width, (size_t)width);
        str_putc(out, '\n');
    }
    str_fmt(out, "%10s +", "");
    for (int i = 0; i < width; i++) str_putc(out, '-');
    str_fmt(out, "\n%12s%.3g .. %.3g million tokens\n\n", "", x0 / 1e6, x1 / 1e6);
    mem_free(cell);
}

static void draw_svg(const struct series *s, int n, struct str *out)
{
    static const char *const color[] = { "#1b6ca8", "#c0392b", "#27865a",
                                         "#8e5aa8", "#b8860b", "#444444" };
    str_fmt(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n",
            SVG_W, SVG_H);
    str_fmt(out,
            "<rect x=\"%d\" y=\"10\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#999\"/>\n",
            MARGIN, SVG_W - MARGIN - 10, SVG_H - MARGIN - 10);
    for (int k = 0; k < n; k++) {
        str_fmt(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"",
                color[k % (int)LEN(color)]);
        for (size_t i = 0; i < s[k].n; i++)
            str_fmt(out, "%.1f,%.1f ",
                    MARGIN +
                        share(s[k].x[i], s[k].x[0], s[k].x[s[k].n - 1]) * (SVG_W - MARGIN - 10),
                    10 + (1 - share(s[k].y[i], s[k].lo, s[k].hi)) * (SVG_H - MARGIN - 10));
        str_fmt(out, "\"/>\n<text x=\"%d\" y=\"%d\" fill=\"%s\">%s %.4g .. %.4g</text>\n",
                MARGIN + 10, 28 + 16 * k, color[k % (int)LEN(color)], s[k].name, s[k].lo, s[k].hi);
    }
    str_fmt(out, "<text x=\"%d\" y=\"%d\">%.3g to %.3g million tokens</text>\n</svg>\n", MARGIN,
            SVG_H - 20, s[0].x[0] / 1e6, s[0].x[s[0].n - 1] / 1e6);
}

bool train_plot(const char *tsv, const char *const *column, int n_column, int width, int height,
                struct str *out, struct str *svg, struct err *e)
{
    struct str text = { 0 };
    struct series *s = mem_zero((size_t)MAX(n_column, 1) * sizeof *s);
    bool ok = n_column > 0 && width > 0 && height > 0;
    if (!ok) err_set(e, ERR_ARG, "plot: at least one column and one cell are needed");
    ok = ok && file_read(tsv, &text, e);
    for (int i = 0; ok && i < n_column; i++) {
        s[i].name = column[i];
        ok = text.len ? read_series(&text, tsv, &s[i], e)
                      : err_set(e, ERR_FORMAT, "%s: the file is empty", tsv);
    }
    for (int i = 0; ok && i < n_column; i++) draw_ascii(&s[i], width, height, out);
    if (ok && svg) draw_svg(s, n_column, svg);
    for (int i = 0; i < n_column; i++) {
        mem_free(s[i].x);
        mem_free(s[i].y);
    }
    mem_free(s);
    str_done(&text);
    return ok;
}
