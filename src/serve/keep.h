/* keep.h -- stored responses (SQLite). I/O thread only. A build may leave it out. */
#ifndef TENON_SERVE_KEEP_H
#define TENON_SERVE_KEEP_H

#include "serve/int.h"

struct keep *keep_open(const char *path, int64_t most, double days, struct err *e);
void keep_close(struct keep *s);
/* input: all items of the conversation up to the answer. False: not stored (e); nothing else is harmed. */
bool keep_put(struct keep *s, const char *id, const struct json *response, const struct json *input, struct err *e);
/* NULL *response: there is none. Owned. */
bool keep_get(struct keep *s, const char *id, struct json **response, struct json **input, struct err *e);
bool keep_delete(struct keep *s, const char *id, bool *was_there, struct err *e);

#endif
