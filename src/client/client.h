/* client.h -- the door of client/: the asking side of HTTP. client.c sends requests (the only user of libcurl),
 * sse.c reads streams of server-sent events. A build may leave libcurl out: then client_open() says so. */
#ifndef TENON_CLIENT_H
#define TENON_CLIENT_H

#include "base/base.h"

/* ---- client.c: requests ------------------------------------------------------------------------- */

struct client_opts {                                                  /* zeros: defaults */
    int connect_ms, idle_ms, total_ms;                                /* 10 s to connect, 120 s of silence, 600 s in all */
    size_t most_bytes;                                                /* of a reply's body; 64 MiB */
    int tries;                                                        /* in all, when nobody answers or with 429 or 5xx; 1 */
    int backoff_ms;                                                   /* before the second try, then twice as long each time; 500 */
    bool public_only;                                                 /* refuse to connect to addresses that are not of the open internet:
                                                                       * loopback, private, link-local, shared, multicast, reserved.
                                                                       * Judged on the very address that is connected to; no proxy is used */
    bool (*stop)(void *ctx); void *stop_ctx;                          /* asked now and then; true: ERR_CANCEL */
};
struct client_header { const char *name, *value; };
/* Pieces of a body as they arrive; false: enough. */
typedef bool client_body_fn(void *ctx, const char *p, size_t n);
struct client_request {
    const char *method, *url;                                         /* http:// or https:// */
    const struct client_header *header; int n_header;
    struct bytes body;
    client_body_fn *body_fn; void *ctx;                               /* gets the body of a 2xx reply; NULL: all is collected */
    const char *keep;                                                 /* name of a header of the reply that is kept; NULL: none */
};
/* challenge: of WWW-Authenticate, the first that is a Bearer's. type, location, kept, challenge: headers, "" if absent; they and status are there before body_fn is called. Body of others than 2xx:
 * always here. client_reply_done() */
struct client_reply { int status; struct str body; int tries; char type[80], location[1024], kept[512], challenge[2048]; };

bool client_available(void);                                          /* is libcurl in this build? */
struct client;                                                        /* keeps its connection; one thread at a time */
struct client *client_open(const struct client_opts *o, struct err *e); /* ERR_UNSUPPORTED without libcurl */
void client_close(struct client *c);                                  /* NULL is fine */
/* Redirects are not followed. True: there is a reply, whatever its status. False: ERR_ARG (address or header), ERR_IO (nobody
 * answered, or the reply broke off), ERR_LIMIT (too large), ERR_CANCEL (body_fn had enough). A try is only repeated while
 * body_fn has not been called. Retry-After of up to a minute is honoured. */
bool client_send(struct client *c, const struct client_request *q, struct client_reply *out, struct err *e);
void client_reply_done(struct client_reply *r);
size_t client_origin_len(const char *url);                            /* of scheme, host and port at its beginning; 0: it has none */
bool client_same_origin(const char *a, const char *b);

/* ---- sse.c: server-sent events ---------------------------------------------------------------------- */

/* One event; event is "" if it has no name, data ends with NUL. False: enough. */
typedef bool sse_fn(void *ctx, const char *event, const char *data, size_t len);
struct sse {
    sse_fn *fn; void *ctx; size_t most;
    struct str line, data, event, id;                                 /* id: the last one seen, kept from event to event */
    int retry_ms;                                                     /* before asking again, as the stream says; 0: it does not */
    bool after_cr, begun, has_data, ended;
};
void sse_init(struct sse *s, sse_fn *fn, void *ctx, size_t most);     /* most: bytes of one event */
void sse_done(struct sse *s);
/* Bytes of the stream, cut anywhere. False: ERR_LIMIT, or ERR_CANCEL after fn had enough (ended is set). */
bool sse_feed(struct sse *s, const char *p, size_t n, struct err *e);

#endif
