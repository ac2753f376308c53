/* rpc.h -- JSON-RPC with a server: rpc.c has what all ways share, rpc_pipe.c speaks with a child process, one message
 * a line, rpc_http.c over HTTP, one POST a message, rpc_sse.c over the HTTP of 2024-11-05; rpc_inbox.c is for those with a stream. */
#ifndef AGENT_RPC_H
#define AGENT_RPC_H

#include <pthread.h>

#include "agent/int.h"

#define RPC_MESSAGE_MOST ((size_t)16 << 20)                           /* bytes of one message; more is refused */

/* One request. status: what HTTP said, 0 over a pipe or when nobody answered. */
struct rpc_request {
    const char *method;
    struct json *params;                                              /* taken */
    int timeout_ms; struct cancel *cancel;
    const struct words *header;                                       /* further ones of HTTP, name and value by turns; NULL: none */
    int status;
};
/* A request of the server, answered while one of ours waits and on its thread: the result, owned; NULL: not supported. */
typedef struct json *rpc_ask_fn(void *ctx, const char *method, const struct json *params);

enum { NO_METHOD = -32601, PAGES_FIRST = -32042, HEADER_MISMATCH = -32020, NO_CAPABILITY = -32021, NO_VERSION = -32022 };  /* codes of errors */
int64_t rpc_error_code(const struct json *answer);                    /* 0: it is no error */

struct rpc;
/* Starts the program. NULL with e. Its reader is a thread of its own. */
struct rpc *rpc_pipe_open(char *const *argv, char *const *env, const char *cwd, struct err *e);
/* url and header are copied. auth: asked for the token of each request (used NULL: out is filled) and told when one is refused;
 * true: it has another one now. NULL: nobody signs in. */
typedef bool rpc_auth_fn(void *ctx, int status, const char *challenge, const char *used, struct str *out, struct err *e);
struct rpc_http_opts { const char *url; const struct words *header; bool public_only; rpc_auth_fn *auth; void *auth_ctx; };
struct rpc *rpc_http_open(const struct rpc_http_opts *o, struct err *e);
struct rpc *rpc_sse_open(const struct rpc_http_opts *o, struct err *e);  /* auth is not used */
/* Who calls on a thread of its own holds it meanwhile; the last rpc_close() ends it. A child: its stdin is closed; two
 * seconds later TERM, two more KILL. HTTP: its session is given back. */
void rpc_hold(struct rpc *r);
void rpc_close(struct rpc *r);                                        /* NULL is fine */
void rpc_on_ask(struct rpc *r, rpc_ask_fn *fn, void *ctx);
/* From now on both sides speak this version (headers of HTTP). modern: requests explain themselves, there is no session. */
void rpc_speak(struct rpc *r, const char *version, bool modern);
/* One request. The whole answer ({"result":…} or {"error":…}), owned; NULL with e: ERR_LIMIT (no answer in time; the
 * server was told), ERR_CANCEL, ERR_IO (it is gone, and what it said last), ERR_ARG (HTTP refuses). Any thread. */
struct json *rpc_call(struct rpc *r, struct rpc_request *q, struct err *e);
bool rpc_notify(struct rpc *r, const char *method, struct json *params, struct err *e);
/* From now on rpc_take_changed() hears of changed lists. params: of `subscriptions/listen`, taken; used in the modern
 * manner only. Once; later calls do nothing. */
void rpc_listen(struct rpc *r, struct json *params);
bool rpc_is_dead(struct rpc *r);                                      /* it must be opened anew */
bool rpc_take_changed(struct rpc *r);                                 /* the list of tools has changed since the last time */
int  rpc_garbage(struct rpc *r);                                      /* lines that were no JSON-RPC */

/* A value as headers of MCP carry it: visible ASCII as it is, all else as =?base64?…?=. */
void header_value(struct str *out, const char *s, size_t n);

/* ---- for the two ways ------------------------------------------------------------------------ */

struct rpc_wait {                                                     /* a request that waits for its answer */
    int64_t id;
    struct json *answer;
    uint64_t until, last;                                             /* progress and the user prolong, up to last */
    int timeout_ms;
    struct rpc_wait *next;
};
struct rpc_kind {
    struct json *(*call)(struct rpc *r, struct rpc_request *q, struct rpc_wait *w, struct json *message, struct err *e);
    bool (*send)(struct rpc *r, struct json *message, struct err *e); /* message is taken */
    void (*listen)(struct rpc *r, struct json *message);              /* taken */
    void (*close)(struct rpc *r);                                     /* releases r */
};
struct rpc {
    const struct rpc_kind *kind;
    atomic_int holders;
    pthread_mutex_t lock;                                             /* around all that several threads touch */
    int64_t next_id;
    bool dead, changed, modern, listens;
    int garbage;
    char version[16];
    rpc_ask_fn *ask; void *ask_ctx;
};
/* What waits for messages of a stream. */
struct rpc_inbox {
    pthread_cond_t came;
    struct rpc_wait *waiting;
    struct json *asked[16]; int n_asked;                              /* requests of the server that nobody has answered yet */
};
void rpc_inbox_init(struct rpc_inbox *b);
void rpc_inbox_done(struct rpc_inbox *b);
void rpc_inbox_take(struct rpc *r, struct rpc_inbox *b, struct json *m);  /* one message, taken; NULL: it was none */
void rpc_inbox_end(struct rpc *r, struct rpc_inbox *b);               /* nothing more comes */
void rpc_inbox_link(struct rpc *r, struct rpc_inbox *b, struct rpc_wait *w);  /* before the request is sent */
/* Until the answer, the end of the server, of time, or the switch; w is unlinked. False: the connection is dead. */
bool rpc_inbox_wait(struct rpc *r, struct rpc_inbox *b, struct rpc_wait *w, const struct cancel *c);
void rpc_inbox_pause(struct rpc *r, struct rpc_inbox *b);             /* a moment, under the lock */

void rpc_init(struct rpc *r, const struct rpc_kind *kind);
void rpc_done(struct rpc *r);
struct json *rpc_message(const char *method, struct json *params);    /* params is taken, NULL: none */
/* "request", "answer" or "notification" by its members; NULL: it is no JSON-RPC message. */
const char *rpc_kind_of(const struct json *m);
void rpc_hear(struct rpc *r, const struct json *m, struct rpc_wait *waiting);  /* a notification; under the lock */
/* The answer to a request of the server; owned. w: of the thread that waits, which may ask the user; its time is given
 * back. NULL: nobody is asked. */
struct json *rpc_answer(struct rpc *r, const struct json *m, struct rpc_wait *w);
/* "notifications/cancelled" for a request that nobody waits for any more. */
struct json *rpc_cancelled(int64_t id, const char *why);
bool rpc_say_late(const struct rpc_request *q, struct err *e);        /* ERR_CANCEL or ERR_LIMIT; false */

#endif
