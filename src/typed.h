/* typed.h -- what a typed line may hold beside text: @FILE, a text that is written in an editor, a command of the shell. */
#ifndef TENON_TYPED_H
#define TENON_TYPED_H

#include "lines.h"

/* most: bytes of all texts together. keep: takes a file that is no text or too long, NULL: such a file is an error.
 * n, bytes: how many files came with the line, and what they have together. */
struct typed_files { size_t most; bool (*keep)(void *ctx, const char *path, struct err *e); void *ctx; int n; size_t bytes; };
/* The line, and behind it the text of each file that it names as @FILE. Words that name no file stay words. False with
 * e: a file cannot come; nothing should be sent then. */
bool typed_files(const char *line, struct typed_files *f, struct str *out, struct err *e);
/* Opens $VISUAL, $EDITOR or vi on `before`; out is what was saved. False with e: there is no such program, or it failed. */
bool typed_edit(const char *before, struct str *out, struct err *e);
/* Runs a command of the shell on this terminal and waits. False with e: it failed. */
bool typed_shell(const char *command, struct err *e);
/* Names of files that begin as the word at c->from does. */
void complete_files(struct completion *c);

#endif
