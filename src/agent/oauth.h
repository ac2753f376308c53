/* oauth.h -- signing in to MCP servers (OAuth 2.1): oauth.c the flow, oauth_find.c who is asked (metadata), oauth_keep.c what is
 * remembered, oauth_wait.c the page of ours to which the browser comes back. */
#ifndef AGENT_OAUTH_H
#define AGENT_OAUTH_H

#include <pthread.h>

#include "agent/int.h"

struct oauth_opts {
    const char *name, *server;                                        /* of the configuration; its URL */
    const struct json *config;                                        /* member "oauth"; NULL: none */
    const char *dir;                                                  /* where tokens are kept; NULL: nowhere */
    bool public_only;                                                 /* no address that is not of the open internet, whatever the configuration says */
    sign_in_fn *sign_in; void *sign_in_ctx;                           /* NULL: nobody can sign in; what is remembered is used */
};
struct oauth;
struct oauth *oauth_open(const struct oauth_opts *o, struct err *e);  /* strings are copied; ERR_ARG: the configuration is wrong */
void oauth_close(struct oauth *o);                                    /* NULL is fine */
void oauth_token(struct oauth *o, struct str *out);                   /* the token for the next request, empty: none. Any thread */
/* The server has refused (401, 403) a request with that token. True: there is another token now. False with e. Any thread; takes as
 * long as the user needs. */
bool oauth_refused(struct oauth *o, int status, const char *challenge, const char *used, struct err *e);

/* ---- for its files ---------------------------------------------------------------------------- */

struct oauth {
    char *name, *server, *dir;
    char *client_id, *client_secret, *metadata_url, *scope;           /* of the configuration, NULL: not said */
    int port;                                                         /* of the page, 0: any */
    bool local, public_only;                                          /* local: plain HTTP and loopback may be spoken to, as with the server itself */
    sign_in_fn *sign_in; void *sign_in_ctx;
    pthread_mutex_t busy, lock;                                       /* one sign-in at a time; around token */
    struct str token;
    int step_ups;                                                     /* times that more scopes were asked for */
};
/* Who is asked, found out anew each time. */
struct oauth_site {
    char *issuer, *resource;
    char *authorize, *token, *registration;                           /* endpoints; registration NULL: none */
    struct json *meta;                                                /* of the authorization server; NULL: it has none */
    struct json *scopes;                                              /* that the resource supports; NULL: it does not say */
};
bool oauth_find(const struct oauth *o, const char *challenge, struct oauth_site *site, struct err *e);
void oauth_site_done(struct oauth_site *s);
/* A parameter of WWW-Authenticate: Bearer, owned; NULL: it is not there. */
char *oauth_challenge(const char *challenge, const char *key);
/* GET (body NULL) or POST of a form or of JSON; a JSON object that came with 2xx, owned. status: what HTTP said, 0 if nobody answered. */
struct json *oauth_fetch(const struct oauth *o, const char *url, const char *type, const struct str *body, const char *authorization, int *status, struct err *e);
bool oauth_url_ok(const struct oauth *o, const char *url);            /* TLS, or this machine where the server is on it */

/* {"client":{"client_id",…},"tokens":{"access_token","refresh_token","scope"}} of an issuer for this server; owned, never NULL. */
struct json *oauth_recall(const struct oauth *o, const char *issuer);
void oauth_keep(const struct oauth *o, const char *issuer, const struct json *record);
char *oauth_issuer(const struct oauth *o);                            /* the one whose token was kept last; owned, NULL: none */

struct oauth_page { int fd, port; };
bool oauth_page_open(struct oauth_page *p, int port, struct err *e);  /* port 0: any. On 127.0.0.1 only */
/* The query of the first request for /callback, without "?", owned; NULL with e: nobody came in time. */
char *oauth_page_wait(struct oauth_page *p, int ms, struct err *e);
void oauth_page_close(struct oauth_page *p);
char *oauth_param(const char *query, const char *key);                /* decoded, owned; NULL: it is not there */

#endif
