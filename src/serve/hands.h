/* hands.h -- tools of the operator's that a client may run, a call at a time: GET /v1/tools, POST /v1/tools/run (hands.c). */
#ifndef TENON_SERVE_HANDS_H
#define TENON_SERVE_HANDS_H

#include "agent/agent.h"
#include "serve/int.h"

/* Opens the sources of --tools and --tools-builtin. False with e: one is wrong, or everybody could reach it. */
bool hands_open(struct server *sv, struct err *e);
void hands_stop(struct server *sv);                                   /* what runs is cancelled */
void hands_close(struct server *sv);                                  /* nothing may run any more */
/* Files that a tool left here: read, base64 put into "data" in place of "path", and removed. Owned; NULL: none. Any thread. */
struct json *files_take(const struct json *files);
/* Files of a request, [{"name","data"}] in base64, for the tool python of a set; NULL: none. ERR_ARG, ERR_LIMIT. */
bool files_put(struct toolset *ts, const struct json *files, struct err *e);

#endif
