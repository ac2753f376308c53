/* draft.h -- private to gen/: what is likely to be written next, out of the request and the tools.
 *
 * A guess is text and binds nobody: the caller keeps of it what the language allows, has it computed
 * ahead, and takes of it what is then chosen. */
#ifndef TENON_GEN_DRAFT_H
#define TENON_GEN_DRAFT_H

#include "gen/int.h"

struct drafter;
/* All lent. */
struct drafter *drafter_open(const struct json *messages, const struct call_tool *tool, int n_tool);
void drafter_close(struct drafter *d);                                /* NULL is fine */
/* What may come after `said`, the answer so far: appended to out. False: no idea. */
bool drafter_guess(const struct drafter *d, const char *said, size_t n, struct str *out);

#endif
