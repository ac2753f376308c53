/* mcp.h -- what the files about MCP servers share: mcp.c opens them, mcp_call.c calls their tools, mcp_tools.c makes
 * records of them, mcp_state.c remembers them between runs, mcp_header.c writes arguments as HTTP headers. */
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
    struct json *pinned;                                              /* … as they were when the user allowed them or they were seen first, by name */
    struct json *cached;                                              /* … in the run before; NULL: nothing is known */
    struct json *verify;                                              /* … after it was started (again) between turns; NULL: as listed */
    int timeout_ms, start_ms;
    uint64_t open_until;                                              /* while it is being opened; 0: it is open */
    atomic_int restarts;
    bool modern, trusted, known_era;
    bool old_http;                                                    /* it knows the HTTP of 2024-11-05 only */
    bool known;                                                       /* its tools were seen in a run before */
    bool lazy;                                                        /* started by the first call, where its tools are known */
    bool lists_change;                                                /* it says when its list of tools has changed */
    uint64_t stale_at;                                                /* the list is read again from then on; 0: not by itself */
    char version[16];
    struct rpc *rpc;
    struct oauth *oauth;                                              /* NULL: nobody signs in to it */
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
bool mcp_page_ok(const char *url);                                    /* may a person be sent there? */
/* Requests of the server, an rpc_ask_fn. */
struct json *mcp_on_ask(void *mcp, const char *method, const struct json *params);
void mcp_invoke(struct tool *t, const struct invocation *c, struct tool_result *out);
void mcp_add_tools(struct toolset *ts, struct mcp *m);
/* False: what the call was made for is no more what the server has. */
bool mcp_holds(struct mcp_tool *mt);

/* ---- mcp_state.c: what is remembered between runs --------------------------------------------- */

void mcp_state_read(struct mcp *m);                                   /* pinned, cached, known */
void mcp_state_write(struct mcp *m);
bool mcp_same(const struct json *a, const struct json *b);            /* definitions, in what a user agrees to */
void mcp_pin(struct mcp *m, const struct json *d);
void mcp_pin_check(struct tool *t, struct mcp *m, const struct json *d);  /* new: pinned; else sets changed and difference */

/* Are the annotations "x-mcp-header" of a schema such that calls can be made? */
bool mcp_headers_ok(const struct json *schema, struct err *e);
/* Mcp-Param-… for the arguments that are annotated, name and value by turns. */
void mcp_headers_put(const struct json *schema, const struct json *args, struct words *out);

#endif
