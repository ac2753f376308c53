/* lines.h -- what the user types: one message at a time, edited where there is a terminal. */
#ifndef TENON_LINES_H
#define TENON_LINES_H

#include "base/base.h"

/* Tab: the line up to the cursor, and the words that could stand from c->from on. */
struct completion { const char *line; size_t from; char **word; int n, cap; };
/* Says which words there are: sets c->from, then calls complete_with() for each; those that do not begin as the line
 * does are passed over. */
typedef void complete_fn(void *ctx, struct completion *c);
void complete_with(struct completion *c, const char *word);

struct editor;
/* history: a file (0600), or NULL. words: what Tab completes; NULL: nothing.
 * stop: a descriptor that becomes readable when the user interrupts (struct cancel), whenever that is: a signal
 * alone is lost where it comes before the terminal is read. */
struct editor *editor_open(const char *history, complete_fn *words, void *ctx, int stop);
void editor_close(struct editor *l);
enum line_end { LINE_TEXT, LINE_EOF, LINE_INTERRUPTED };
/* A whole message, without its last newline: a trailing \ continues it, """ … """ holds several lines, so do
 * Alt-Enter and pasting in an editor. */
enum line_end editor_read(struct editor *l, const char *prompt, struct str *out);

#endif
