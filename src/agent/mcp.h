/* mcp.h -- what the files about MCP servers share: mcp.c opens them, mcp_call.c calls their tools, mcp_tools.c makes
 * records of them, mcp_header.c writes arguments as HTTP headers. */
#ifndef AGENT_MCP_H
#define AGENT_MCP_H

#include "agent/rpc.h"

struct mcp {
    char *name;
    struct toolset *ts;
    struct words argv, env; char *cwd;                                /* a program, or: */
    char *url; struct words header;                                   /* header: name and value by turns */
    struct json *config;                                              /* a copy of our own */
    struct json *listed;                                              /* its tools, as it described them; NULL: it did not come up */
    int timeout_ms;
    atomic_int restarts;
    bool modern, trusted, known_era;
    bool lists_change;                                                /* it says when its list of tools has changed */
    uint64_t stale_at;                                                /* the list is read again from then on; 0: not by itself */
    char version[16];
    struct rpc *rpc;
    pthread_mutex_t restart;
    struct err err;                                                   /* why it did not come up */
};
struct mcp_tool { struct mcp *m; char *name; struct json *schema, *results; };  /* inputSchema and outputSchema as they came; NULL: none */
void mcp_schemas(struct mcp_tool *mt, const struct json *definition);  /* takes both anew */

struct json *mcp_params(const struct mcp *m);                         /* of a request, with all that the era wants to be told */
/* The result of an answer (taken), owned; a JSON-RPC error becomes e. */
struct json *mcp_result(struct json *answer, struct err *e);
/* The connection, held (rpc_close); a server that is gone is started again first, after 0, 1, 2, 4, 8 seconds. NULL with e. */
struct rpc *mcp_take(struct mcp *m, struct cancel *c, struct err *e);
struct json *mcp_list(struct mcp *m, struct err *e);                  /* all pages of tools/list, owned */
const struct json *mcp_find(const struct json *list, const char *name);
/* Requests of the server, an rpc_ask_fn. */
struct json *mcp_on_ask(void *mcp, const char *method, const struct json *params);
void mcp_invoke(struct tool *t, const struct invocation *c, struct tool_result *out);
void mcp_add_tools(struct toolset *ts, struct mcp *m);

/* Are the annotations "x-mcp-header" of a schema such that calls can be made? */
bool mcp_headers_ok(const struct json *schema, struct err *e);
/* Mcp-Param-… for the arguments that are annotated, name and value by turns. */
void mcp_headers_put(const struct json *schema, const struct json *args, struct words *out);

#endif
