/* markdown.c -- Markdown in a terminal, styled while it comes.
 *
 * What a line is, its first characters say: they are held back until that is clear (head). Then headings are bold, lists
 * get a bullet and hang, code between fences has colours (code.c), **bold** and `code` are found as they come. A table
 * is the one thing whose line must be whole before it can be set: its characters are shown as they come, and when the
 * line ends, this last line of the screen is painted anew, with columns as wide as the rows so far need. What was
 * written before is never touched. Columns that the window cannot hold are narrowed, and their words broken below each other.
 *
 * Not here: links, images, HTML; they stay as they were written. */
#include "markdown.h"

#include <ctype.h>

#include "agent/agent.h"

#define HEAD_MOST 400                       /* of an opening fence; all else is decided after a few characters */
#define LEAST_COLUMN 4
#define LEFT_COLUMN 12                      /* the least width of a column of text that another one follows, while there is room */
#define GAP 3                               /* columns between two cells: " │ " */

void md_open(struct markdown *m, struct wrap *to, bool live) { *m = (struct markdown){ .to = to, .live = live }; }

static void put(struct markdown *m, const char *p, size_t n)
{
    struct str s = { 0 };
    if (*p == '\n' || *p == '\t') wrap_put(m->to, p, n, false);
    else {
        result_escape(&s, p, n);
        wrap_put(m->to, s.p ? s.p : "", s.len, false);
    }
    str_done(&s);
}

static void paint(struct markdown *m)
{
    wrap_mark(m->to, MD_OFF);
    if (m->quoted) wrap_mark(m->to, MD_DIM);
    if (m->code) wrap_mark(m->to, MD_CYAN);
    if (m->bold || m->heading) wrap_mark(m->to, MD_BOLD);
}

/* ---- inside of a line ---- */

/* Marks that were held back, and what comes behind them (0: nothing): a tick is code, two stars are bold, and begin it only before
 * a word. */
static void settle_marks(struct markdown *m, char next)
{
    bool turned = false, word = next && !isspace((unsigned char)next);
    if (m->ticks == 1) m->code = !m->code, turned = true;
    else for (int i = 0; i < m->ticks; i++) put(m, "`", 1);
    if (m->stars == 2 && !m->code && (m->bold || word)) m->bold = !m->bold, turned = true;
    else for (int i = 0; i < m->stars; i++) put(m, "*", 1);
    m->ticks = m->stars = 0;
    if (turned) paint(m);
}

static void end_line(struct markdown *m)
{
    bool styled = m->heading || m->code || m->bold || m->quoted;
    m->heading = m->code = m->bold = m->quoted = m->inside = false;
    if (styled) paint(m);
    put(m, "\n", 1);
    m->to->indent = 0;
}

static void put_inside(struct markdown *m, const char *p, size_t n)
{
    if (*p == '`' && !m->stars) { m->ticks++; return; }
    if (*p == '*' && !m->ticks) { m->stars++; return; }
    if (m->ticks || m->stars) settle_marks(m, *p);
    if (*p == '`') m->ticks++;
    else if (*p == '*') m->stars++;
    else if (*p == '\n') end_line(m);
    else put(m, p, n);
}

/* ---- how a line begins ---- */

static void end_table(struct markdown *m);

/* The line is text: what was held back is nothing special. */
static void begin_text(struct markdown *m)
{
    end_table(m);
    struct str head = m->head;
    m->head = (struct str){ 0 };
    m->inside = true;
    m->to->indent = (int)(head.p ? strspn(head.p, " ") : 0);
    for (const char *p = head.p, *end = p ? p + head.len : p; p < end;) {
        int n = 1;
        utf8_next(p, end, &n);
        put_inside(m, p, (size_t)n);
        p += n;
    }
    str_done(&head);
}

/* The line is an item, a quotation: blanks, its mark, text behind it. */
static void begin_marked(struct markdown *m, size_t blanks, const char *mark, int width)
{
    end_table(m);
    for (size_t i = 0; i < blanks; i++) put(m, " ", 1);
    wrap_put(m->to, mark, strlen(mark), false);
    m->to->indent = (int)blanks + width;
    m->inside = true;
    str_clear(&m->head);
}

static void begin_heading(struct markdown *m, size_t level)
{
    end_table(m);
    m->heading = m->inside = true;
    paint(m);
    if (level == 1) wrap_mark(m->to, MD_UNDER);
    str_clear(&m->head);
}

static void begin_fence(struct markdown *m, const char *h)
{
    size_t ticks = strspn(h, "`"), from = ticks + strspn(h + ticks, " "), n = strcspn(h + from, " \n");
    end_table(m);
    m->fence = true;
    m->fence_len = (int)ticks;
    code_open(&m->source, h + from, n, m->to);
    str_clear(&m->head);
}

static void put_rule(struct markdown *m)
{
    int n = MIN(wrap_window(m->to), 40);
    end_table(m);
    wrap_mark(m->to, MD_DIM);
    for (int i = 0; i < n; i++) wrap_put(m->to, "─", 3, true);
    wrap_mark(m->to, MD_OFF);
    put(m, "\n", 1);
    str_clear(&m->head);
}

/* Only of one of -, *, _, three at least. */
static bool is_rule(const char *h, size_t n)
{
    return n >= 3 && strchr("-*_", *h) && strspn(h, (char[]){ *h, 0 }) == n;
}

/* "1. ", "12) ": its length; 0: not (yet); whether it may become one. */
static size_t number_len(const char *h, size_t n, bool *may)
{
    size_t d = strspn(h, "0123456789");
    *may = d && d <= 3 && (n == d || (n == d + 1 && strchr(".)", h[d])));
    return d && d <= 3 && n == d + 2 && strchr(".)", h[d]) && h[d + 1] == ' ' ? n : 0;
}

static void begin_number(struct markdown *m, size_t blanks, size_t n)
{
    char mark[16];
    snprintf(mark, sizeof mark, "%.*s", (int)n, m->head.p + blanks);
    begin_marked(m, blanks, mark, (int)n);
}

/* A line that has ended before its beginning was clear. */
static void short_line(struct markdown *m, const char *h, size_t n)
{
    if (n >= 3 && !memcmp(h, "```", 3)) begin_fence(m, h);
    else if (is_rule(h, n)) put_rule(m);
    else {
        begin_text(m);
        put_inside(m, "\n", 1);
    }
}

static void put_head(struct markdown *m, const char *p, size_t n_char)
{
    size_t blanks = m->head.len ? strspn(m->head.p, " ") : 0;
    if (*p == '\n') {
        short_line(m, m->head.p ? m->head.p + blanks : "", m->head.len - blanks);
        return;
    }
    str_put(&m->head, p, n_char);
    blanks = strspn(m->head.p, " ");
    const char *h = m->head.p + blanks;
    size_t n = m->head.len - blanks, same = n ? strspn(h, (char[]){ *h, 0 }) : 0;
    bool number_may = false;
    size_t number = number_len(h, n, &number_may);
    if (!n && m->head.len < 40) return;
    if (n == 2 && strchr("-*+", *h) && h[1] == ' ') begin_marked(m, blanks, "• ", 2);
    else if (number) begin_number(m, blanks, number);
    else if (n == 2 && *h == '>' && h[1] == ' ') m->quoted = true, paint(m), begin_marked(m, blanks, "│ ", 2);
    else if (n <= 7 && same == n - 1 && *h == '#' && h[n - 1] == ' ') begin_heading(m, n - 1);
    else if (*h == '|') m->in_table = true, str_put(&m->table.row, h, n), str_clear(&m->head);
    else if (same == n && strchr("-*_+#>`", *h) && n < 80) return;    /* may become any of these */
    else if (number_may) return;
    else if (*h == '`' && same >= 3 && !strchr(h + same, '`') && n < HEAD_MOST) return;   /* the language of a fence */
    else begin_text(m);
}

/* ---- code between fences ---- */

static void put_fenced(struct markdown *m, const char *p, size_t n)
{
    struct str s = { 0 };
    if (*p == '\t') str_put(&s, p, n);
    else result_escape(&s, p, n);
    for (const char *q = s.p ? s.p : "", *end = q + s.len; q < end;) {
        int k = 1;
        utf8_next(q, end, &k);
        code_put(&m->source, q, (size_t)k);
        q += k;
    }
    str_done(&s);
}

/* A line of code; the head holds back what may be the closing fence. */
static void put_code(struct markdown *m, const char *p, size_t n)
{
    size_t blanks = m->head.len ? strspn(m->head.p, " ") : 0;
    bool closes = !m->inside && m->head.len - blanks >= (size_t)m->fence_len && m->head.p[m->head.len - 1] == '`';
    if (*p == '\n' && closes) {
        code_done(&m->source);
        m->fence = false;
        str_clear(&m->head);
        return;
    }
    if (!m->inside && (*p == '`' || (*p == ' ' && blanks == m->head.len && blanks < 4))) {
        str_put(&m->head, p, n);
        return;
    }
    for (size_t i = 0; i < m->head.len; i++) put_fenced(m, m->head.p + i, 1);
    str_clear(&m->head);
    m->inside = *p != '\n';
    if (*p != '\n') put_fenced(m, p, n);
    else {
        code_end_line(&m->source);
        wrap_put(m->to, p, n, true);
        if (!m->source.lang) wrap_mark(m->to, MD_CYAN);
    }
}

/* ---- tables ---- */

struct cell { const char *p; size_t n; };

/* The cells of a row, without the blanks around them; "\|" is no border. Of more than `most` the last one has the rest. */
static int cells_of(const struct str *row, struct cell out[MD_COLUMNS], int most)
{
    const char *p = row->p, *end = p + row->len;
    int n = 0;
    if (p < end && *p == '|') p++;
    while (p < end && n < most) {
        const char *q = p;
        while (q < end && !(*q == '|' && q[-1] != '\\' && (n + 1 < most || q + 1 == end))) q++;
        struct cell c = { p, (size_t)(q - p) };
        while (c.n && isspace((unsigned char)*c.p)) c.p++, c.n--;
        while (c.n && isspace((unsigned char)c.p[c.n - 1])) c.n--;
        if (q < end || c.n) out[n++] = c;
        p = q + 1;
    }
    return n;
}

/* |---|:-:|: how each column is set. */
static bool read_aligns(struct table *t, const struct str *row)
{
    struct cell c[MD_COLUMNS];
    int n = cells_of(row, c, MD_COLUMNS);
    for (int i = 0; i < n; i++) {
        size_t dashes = 0;
        for (size_t k = 0; k < c[i].n; k++) {
            if (c[i].p[k] == '-') dashes++;
            else if (c[i].p[k] != ':' || (k && k + 1 < c[i].n)) return false;
        }
        if (!dashes) return false;
        bool left = c[i].p[0] == ':', right = c[i].p[c[i].n - 1] == ':';
        t->align[i] = left && right ? 'c' : right ? 'r' : 'l';
    }
    t->n_col = n;
    return n > 0;
}

/* The text of a cell, safe and without marks; style: of the whole cell. */
static void cell_text(const struct cell *c, struct str *out, const char **style)
{
    const char *p = c->p, *end = p + c->n;
    bool bold = c->n >= 4 && !memcmp(p, "**", 2) && !memcmp(end - 2, "**", 2), code = c->n >= 2 && *p == '`' && end[-1] == '`';
    struct str plain = { 0 };
    *style = code ? MD_CYAN : bold ? MD_BOLD : "";
    for (; p < end; p++) {
        if (*p == '`' || (*p == '\\' && p + 1 < end && p[1] == '|')) continue;
        if (*p == '*' && p + 1 < end && p[1] == '*') { p++; continue; }
        str_putc(&plain, *p);
    }
    result_escape(out, plain.p ? plain.p : "", plain.len);
    str_done(&plain);
}

/* The next line of a cell that is `width` wide: how many bytes of it, and how many to go on from. */
static size_t break_cell(const char *p, size_t n, int width, size_t *next)
{
    size_t end = 0, blank = 0;
    int w = 0;
    while (end < n) {
        int k = 1, cw = wrap_char_width(utf8_next(p + end, p + n, &k));
        if (w + cw > width && end) break;
        if (p[end] == ' ') blank = end;
        w += cw;
        end += (size_t)k;
    }
    if (end == n) return *next = n, n;
    if (p[end] == ' ') return *next = end + 1, end;
    if (blank) return *next = blank + 1, blank;
    return *next = end, end;
}

static void put_blanks(struct wrap *w, int n)
{
    for (; n > 0; n--) fputc(' ', w->f);
}

static void put_cell(struct markdown *m, const char *p, size_t n, int col, const char *style)
{
    const struct table *t = &m->table;
    int room = t->width[col] - wrap_text_width(p, n), left = t->align[col] == 'r' ? room : t->align[col] == 'c' ? room / 2 : 0;
    put_blanks(m->to, left);
    fprintf(m->to->f, "%s%.*s%s", style, (int)n, p, *style ? MD_OFF : "");
    if (col + 1 < t->n_col) put_blanks(m->to, room - left);
}

/* Rows below each other until the longest cell has ended. */
static void put_row(struct markdown *m, const struct str *row, bool header)
{
    struct cell c[MD_COLUMNS];
    struct str text[MD_COLUMNS] = { { 0 } };
    const char *style[MD_COLUMNS];
    size_t at[MD_COLUMNS] = { 0 };
    int n = cells_of(row, c, m->table.n_col), left = 0;
    for (int i = 0; i < n; i++) cell_text(&c[i], &text[i], &style[i]), left += text[i].len > 0;
    do {
        for (int i = 0; i < m->table.n_col; i++) {
            size_t rest = i < n ? text[i].len - at[i] : 0, next = 0;
            const char *p = rest ? text[i].p + at[i] : "";
            size_t len = rest ? break_cell(p, rest, m->table.width[i], &next) : 0;
            put_cell(m, p, len, i, header ? MD_BOLD : i < n ? style[i] : "");
            if (rest && next == rest) left--;
            at[i] += next;
            if (i + 1 < m->table.n_col) fputs(MD_DIM " │ " MD_OFF, m->to->f);
        }
        fputc('\n', m->to->f);
    } while (left > 0);
    for (int i = 0; i < n; i++) str_done(&text[i]);
}

static void put_border(struct markdown *m)
{
    fputs(MD_DIM, m->to->f);
    for (int i = 0; i < m->table.n_col; i++) {
        for (int k = 0; k < m->table.width[i] + (i > 0) + (i + 1 < m->table.n_col); k++) fputs("─", m->to->f);
        if (i + 1 < m->table.n_col) fputs("┼", m->to->f);
    }
    fputs(MD_OFF "\n", m->to->f);
}

/* Columns as wide as this row needs too, as long as the window holds them; the widest give way first. */
static void widen(struct markdown *m, const struct str *row)
{
    struct table *t = &m->table;
    struct cell c[MD_COLUMNS];
    int n = cells_of(row, c, t->n_col), window = wrap_window(m->to) - 1 - GAP * (t->n_col - 1), total = 0;
    for (int i = 0; i < n; i++) {
        struct str s = { 0 };
        const char *style;
        cell_text(&c[i], &s, &style);
        t->width[i] = MAX(t->width[i], wrap_text_width(s.p ? s.p : "", s.len));
        str_done(&s);
    }
    for (int i = 0; i < t->n_col; i++) {
        bool grows = t->align[i] == 'l' && i + 1 < t->n_col;          /* rows to come may need more than these do */
        total += t->width[i] = MAX(t->width[i], grows ? LEFT_COLUMN : 1);
    }
    while (total > window) {
        int widest = 0;
        for (int i = 1; i < t->n_col; i++)
            if (t->width[i] > t->width[widest]) widest = i;
        if (t->width[widest] <= LEAST_COLUMN) break;
        t->width[widest]--;
        total--;
    }
}

static void unshow(struct markdown *m)
{
    if (m->table.shown) fputs("\r\033[K" MD_OFF, m->to->f);
    m->table.shown = 0;
}

/* No table after all: its lines are text. */
static void put_as_text(struct markdown *m, const struct str *line)
{
    m->inside = true;
    for (const char *p = line->p, *end = p + line->len; p < end;) {
        int n = 1;
        utf8_next(p, end, &n);
        put_inside(m, p, (size_t)n);
        p += n;
    }
}

static void put_first(struct markdown *m)
{
    struct table *t = &m->table;
    if (t->n_line < 2) return;
    put_row(m, &t->first, true);
    put_border(m);
    str_clear(&t->first);
}

/* A whole line of what may be a table: header, aligns, rows. The header waits for the first row, for its widths. */
static void table_line(struct markdown *m)
{
    struct table *t = &m->table;
    wrap_flush(m->to);
    unshow(m);
    t->n_line++;
    if (t->n_line == 1) {
        str_put(&t->first, t->row.p, t->row.len);
    } else if (t->n_line == 2 && !read_aligns(t, &t->row)) {
        struct str both[2] = { t->first, t->row };
        t->first = t->row = (struct str){ 0 };
        t->n_line = 0;
        for (int i = 0; i < 2; i++) {
            put_as_text(m, &both[i]);
            put_inside(m, "\n", 1);
            str_done(&both[i]);
        }
    } else if (t->n_line == 2) {
        widen(m, &t->first);
    } else {
        widen(m, &t->row);
        if (t->n_line == 3) put_first(m);
        put_row(m, &t->row, false);
    }
    str_clear(&t->row);
    fflush(m->to->f);
}

/* What the table still holds back is written; where there is none, nothing. */
static void end_table(struct markdown *m)
{
    struct table *t = &m->table;
    if (!t->n_line && !t->row.len) return;
    if (t->row.len) table_line(m);
    unshow(m);
    if (t->n_line == 1 && t->first.len) {                             /* a line that begins with a border */
        put_as_text(m, &t->first);
        put_inside(m, "\n", 1);
    } else if (t->n_line == 2) put_first(m);
    str_done(&t->row);
    str_done(&t->first);
    *t = (struct table){ 0 };
}

/* The unfinished line is seen as it comes, as far as it fits on one line. */
static void show_unfinished(struct markdown *m, const char *p, size_t n)
{
    struct str s = { 0 };
    if (m->live) result_escape(&s, p, n);
    int width = s.len ? wrap_text_width(s.p, s.len) : 0;
    if (width && m->table.shown + width < wrap_window(m->to)) {
        wrap_flush(m->to);
        fprintf(m->to->f, "%s%.*s", m->table.shown ? "" : MD_DIM, (int)s.len, s.p);
        m->table.shown += width;
    }
    str_done(&s);
}

static void put_table(struct markdown *m, const char *p, size_t n)
{
    struct table *t = &m->table;
    if (*p == '\n') {
        table_line(m);
        m->in_table = false;                                          /* until the next line begins in the same way */
        return;
    }
    if (!t->shown && m->live)
        for (size_t i = 0; i < t->row.len; i++) show_unfinished(m, t->row.p + i, 1);
    str_put(&t->row, p, n);
    show_unfinished(m, p, n);
}

/* ---- the whole ---- */

static void put_char(struct markdown *m, const char *p, size_t n)
{
    if (m->fence) put_code(m, p, n);
    else if (m->in_table) put_table(m, p, n);
    else if (m->inside) put_inside(m, p, n);
    else put_head(m, p, n);
}

void md_put(struct markdown *m, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        int k = 1;
        utf8_next(p, end, &k);
        if (*p != '\r') put_char(m, p, (size_t)k);
        p += k;
    }
}

bool md_end(struct markdown *m)
{
    if (m->fence) {
        size_t blanks = m->head.len ? strspn(m->head.p, " ") : 0;
        bool closed = !m->inside && m->head.len - blanks >= (size_t)m->fence_len;
        for (size_t i = 0; !closed && i < m->head.len; i++) put_fenced(m, m->head.p + i, 1), m->inside = true;
        str_clear(&m->head);
        code_done(&m->source);
    } else if (m->head.len) {
        size_t blanks = strspn(m->head.p, " ");
        if (is_rule(m->head.p + blanks, m->head.len - blanks)) put_rule(m);
        else begin_text(m);
    }
    end_table(m);
    settle_marks(m, 0);
    wrap_flush(m->to);
    bool open = m->inside;
    str_done(&m->head);
    md_open(m, m->to, m->live);
    return open;
}
