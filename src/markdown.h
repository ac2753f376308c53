/* markdown.h -- Markdown in a terminal, styled while it comes: markdown.c, code.c. */
#ifndef TENON_MARKDOWN_H
#define TENON_MARKDOWN_H

#include "wrap.h"

#define MD_OFF "\033[0m"
#define MD_BOLD "\033[1m"
#define MD_DIM "\033[2m"
#define MD_UNDER "\033[4m"
#define MD_RED "\033[31m"
#define MD_GREEN "\033[32m"
#define MD_YELLOW "\033[33m"
#define MD_MAGENTA "\033[35m"
#define MD_CYAN "\033[36m"

/* ---- code between fences: code.c ---- */

struct lang;
struct code {
    const struct lang *lang;                                          /* NULL: a language that is not known */
    struct str word;                                                  /* held back until it is whole */
    char quote, held, last;                                           /* of a string; a character that may begin a comment; the one before */
    bool escaped, comment, block;
    struct wrap *to;
};
void code_open(struct code *c, const char *name, size_t n, struct wrap *to);
void code_put(struct code *c, const char *p, size_t n);               /* one character */
void code_end_line(struct code *c);                                   /* before the newline is written */
void code_done(struct code *c);

/* ---- the whole ---- */

enum { MD_COLUMNS = 32 };
struct table {
    struct str row, first;                                            /* the line that is being written; the header, until the table is one */
    int n_line, n_col, width[MD_COLUMNS];
    char align[MD_COLUMNS];                                           /* 'l', 'r', 'c' */
    int shown;                                                        /* columns of the unfinished line on the screen */
};
struct markdown {
    struct wrap *to;
    bool live;                                                        /* a terminal: its last line can be painted anew */
    struct str head;                                                  /* how a line begins, until it is clear what it is */
    bool inside, in_table, bold, code, heading, quoted, fence;        /* inside: of a line */
    int ticks, stars, fence_len;                                      /* characters held back; length of the opening fence */
    struct code source;
    struct table table;
};
void md_open(struct markdown *m, struct wrap *to, bool live);
/* Text of strangers: control characters are shown as \xHH. Whole code points. */
void md_put(struct markdown *m, const char *p, size_t n);
bool md_end(struct markdown *m);                                      /* all that was held back is written; true: a line is open */

#endif
