/* wrap.h -- text that comes a piece at a time, broken between words where the window ends: wrap.c. */
#ifndef TENON_WRAP_H
#define TENON_WRAP_H

#include "base/base.h"

struct wrap { FILE *f; int column, blanks, width; struct str word; };  /* zeroed but f; width: of the word held back */
void wrap_done(struct wrap *w);
/* as_is: blanks count, as in code. */
void wrap_put(struct wrap *w, const char *p, size_t n, bool as_is);
void wrap_mark(struct wrap *w, const char *sequence);                 /* of no width; goes with the word it stands in */
void wrap_flush(struct wrap *w);                                      /* what is held back is written */

#endif
