/* lines.h -- what the user types: one message at a time, edited where there is a terminal. */
#ifndef TENON_LINES_H
#define TENON_LINES_H

#include "base/base.h"

struct editor;
/* history: a file (0600), or NULL. words: NULL-terminated list for completion of what begins with '/', lent.
 * stop: a descriptor that becomes readable when the user interrupts (struct cancel), whenever that is: a signal
 * alone is lost where it comes before the terminal is read. */
struct editor *editor_open(const char *history, const char *const *words, int stop);
void editor_close(struct editor *l);
enum line_end { LINE_TEXT, LINE_EOF, LINE_INTERRUPTED };
/* A whole message, without its last newline: a trailing \ continues it, """ … """ holds several lines, so do
 * Alt-Enter and pasting in an editor. */
enum line_end editor_read(struct editor *l, const char *prompt, struct str *out);

#endif
