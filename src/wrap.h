/* wrap.h -- text that comes a piece at a time, broken between words where the window ends: wrap.c. */
#ifndef TENON_WRAP_H
#define TENON_WRAP_H

#include "base/base.h"

/* Zeroed but f. width: of the word held back; indent: of a line that we break; endless: no window, so nothing is broken. */
struct wrap { FILE *f; int column, blanks, width, indent; bool endless; struct str word; };
void wrap_done(struct wrap *w);
/* as_is: blanks count, as in code. */
void wrap_put(struct wrap *w, const char *p, size_t n, bool as_is);
void wrap_mark(struct wrap *w, const char *sequence);                 /* of no width; goes with the word it stands in */
void wrap_flush(struct wrap *w);                                      /* what is held back is written */
/* A line of ours behind `column` columns of it that are written: broken between words where f is a terminal, and then hanging by
 * indent. No newline at its end. */
void wrap_line(FILE *f, const char *text, int indent, int column);
int  wrap_window(const struct wrap *w);                               /* columns of the window, as it is now */
int  wrap_char_width(int32_t code_point);                             /* columns on a terminal; below 0, malformed: 1 */
int  wrap_text_width(const char *p, size_t n);

#endif
