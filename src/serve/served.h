/* served.h -- tools that the server runs: the loop of agent/ behind /v1/responses (served.c). */
#ifndef TENON_SERVE_SERVED_H
#define TENON_SERVE_SERVED_H

#include "serve/int.h"

struct served;
/* servers: the tools of type "mcp"; code: a code interpreter was declared; functions: those that the client runs, an OpenAI
 * tools array or NULL; chat: further members of every request; messages: all so far; approved: calls of MCP tools that the user allowed, as they
 * were asked (mcp_approval_request), each with a message of role "tool" that its result belongs into; all are taken.
 * images: the interpreter's pictures are told. max_calls: 0: default.
 * files: of the interpreter's, [{"name","data"}] in base64, NULL: none. */
struct served_spec { struct json *servers, *functions, *chat, *messages, *approved, *files; bool code, images; int max_calls; };
/* May these run here, in this manner? False: x is answered. */
bool served_accepts(struct exchange *x, const struct json *tools);
bool served_runs(const struct server *sv, const struct json *tool);     /* is it one that the server runs? */
struct served *served_new(struct served_spec *s);
void served_free(struct served *l);                                       /* one that was never started */
/* A thread begins that feeds the job's choice with events; the last is EV_FINISH or EV_ERROR. False: too many run. */
bool served_start(struct served *l, struct job *j, struct err *e);
void served_cancel(struct served *l);                                     /* soon it sends its last event */
void served_forget(struct served *l);                                     /* the job is gone */

#endif
