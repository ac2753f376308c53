/* diff.c -- what is different between two texts, in lines, for somebody who has to say yes or no.
 *
 * Equal lines at both ends are left out first; what remains is compared by the longest common sequence of lines where that is small
 * enough, and shown as a whole (all old lines, all new lines) where it is not. One equal line stands around each change. */
#include "agent/int.h"

#define LINES_MOST 1500                     /* of each side; more is not compared line by line */

struct lines { struct bytes *p; int n; };

static struct lines split(struct bytes text)
{
    struct lines l = { 0 };
    int cap = 0;
    for (const char *p = text.p, *end = p + text.len; p && p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        MEM_GROW(l.p, l.n, cap);
        l.p[l.n++] = (struct bytes){ p, (size_t)((stop ? stop : end) - p) };
        p = stop ? stop + 1 : end;
    }
    return l;
}

static void put(struct str *out, const char *mark, struct bytes line)
{
    str_puts(out, mark);
    str_put(out, line.p, line.len);
    str_putc(out, '\n');
}

/* longest[i * (nb + 1) + j]: common lines of a from i on and b from j on. */
static int *longest_common(const struct bytes *a, int na, const struct bytes *b, int nb)
{
    int *l = mem_zero((size_t)(na + 1) * (size_t)(nb + 1) * sizeof *l), w = nb + 1;
    for (int i = na - 1; i >= 0; i--)
        for (int j = nb - 1; j >= 0; j--)
            l[i * w + j] = bytes_same(a[i], b[j]) ? l[(i + 1) * w + j + 1] + 1 : MAX(l[(i + 1) * w + j], l[i * w + j + 1]);
    return l;
}

static void put_middle(struct str *out, const struct bytes *a, int na, const struct bytes *b, int nb)
{
    int *l = longest_common(a, na, b, nb), w = nb + 1, i = 0, j = 0, equal = 0;
    while (i < na || j < nb) {
        if (i < na && j < nb && bytes_same(a[i], b[j])) {
            if (!equal++) put(out, "  ", a[i]);
            i++, j++;
            continue;
        }
        if (equal > 1) put(out, "  ", a[i - 1]);
        equal = 0;
        bool takes_old = i < na && (j == nb || l[(i + 1) * w + j] >= l[i * w + j + 1]);
        if (takes_old) put(out, "- ", a[i++]);
        else put(out, "+ ", b[j++]);
    }
    mem_free(l);
}

void diff_lines(struct str *out, struct bytes was, struct bytes is)
{
    struct lines a = split(was), b = split(is);
    int head = 0, tail = 0;
    while (head < a.n && head < b.n && bytes_same(a.p[head], b.p[head])) head++;
    while (tail < a.n - head && tail < b.n - head && bytes_same(a.p[a.n - 1 - tail], b.p[b.n - 1 - tail])) tail++;
    int na = a.n - head - tail, nb = b.n - head - tail;
    if (head && (na || nb)) put(out, "  ", a.p[head - 1]);
    if (na <= LINES_MOST && nb <= LINES_MOST && na && nb) put_middle(out, a.p + head, na, b.p + head, nb);
    else {
        for (int i = 0; i < na; i++) put(out, "- ", a.p[head + i]);
        for (int i = 0; i < nb; i++) put(out, "+ ", b.p[head + i]);
    }
    if (tail && (na || nb)) put(out, "  ", a.p[a.n - tail]);
    mem_free(a.p);
    mem_free(b.p);
}

void diff_json(struct str *out, const struct json *was, const struct json *is)
{
    struct str a = { 0 }, b = { 0 };
    if (was) json_write(&a, was, JSON_PRETTY);
    if (is) json_write(&b, is, JSON_PRETTY);
    diff_lines(out, (struct bytes){ a.p, a.len }, (struct bytes){ b.p, b.len });
    str_done(&a);
    str_done(&b);
}
