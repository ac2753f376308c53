/* rpc.h -- JSON-RPC with a child process, one message a line: rpc.c. */
#ifndef AGENT_RPC_H
#define AGENT_RPC_H

#include "agent/int.h"

struct rpc;
/* Starts the program. NULL with e. Its reader is a thread of its own. */
struct rpc *rpc_open(char *const *argv, char *const *env, const char *cwd, struct err *e);
/* Ends it: its stdin is closed; two seconds later TERM, two more KILL. */
void rpc_close(struct rpc *r);
/* One request. The whole answer ({"result":…} or {"error":…}), owned; NULL with e: ERR_LIMIT (no answer in time; the
 * server was told), ERR_CANCEL, ERR_IO (it is gone: status and the end of its stderr). params is taken. Any thread. */
struct json *rpc_call(struct rpc *r, const char *method, struct json *params, int timeout_ms, struct cancel *c, struct err *e);
bool rpc_notify(struct rpc *r, const char *method, struct json *params, struct err *e);
bool rpc_is_dead(struct rpc *r);
bool rpc_take_changed(struct rpc *r);                                 /* the list of tools has changed since the last time */
int  rpc_garbage(struct rpc *r);                                      /* lines that were no JSON-RPC */

#endif
