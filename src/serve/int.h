/* int.h -- what the files of serve/ share: the server, one exchange, one job.
 *
 * Everything here belongs to the I/O thread, except what job.c says is the engine thread's. */
#ifndef TENON_SERVE_INT_H
#define TENON_SERVE_INT_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "serve/serve.h"

struct MHD_Connection;
struct server;
struct exchange;
struct job;
struct keep;
struct metrics;
struct models;

/* ---- listen.c ------------------------------------------------------------------------------------ */

struct listener { int fd; bool local, is_unix, metrics; char where[128]; char *unlink_path; };  /* metrics: nothing else is served there */
bool net_listen(const char *host, int port, struct listener *out, struct err *e);
void net_unlisten(struct listener *l);
void net_peer_name(const struct sockaddr *a, socklen_t len, char out[64]);
bool net_is_local(const struct sockaddr *a, socklen_t len);
bool net_host_is_local(const char *host);                             /* of a Host header or an origin, port and all */
bool net_origin_is_local(const char *origin);
void net_notify(const char *state);                                   /* sd_notify: "READY=1"; nothing outside systemd */

/* ---- hub.c: the I/O thread ------------------------------------------------------------------- */

typedef void source_fn(void *ctx, uint32_t events);
struct source { source_fn *fn; void *ctx; int fd; bool dead; struct source *next; };
struct hub { int ep, wake_fd, signal_fd; atomic_bool woken; struct source *dead; struct source wake, signal; };
bool hub_open(struct hub *l, struct server *sv, struct err *e);
void hub_close(struct hub *l);
void hub_wake(struct hub *l);                                       /* any thread: the I/O thread looks at its mail */
struct source *hub_watch(struct hub *l, int fd, uint32_t events, source_fn *fn, void *ctx);
void hub_forget(struct hub *l, struct source *s);
bool hub_run(struct server *sv, struct err *e);

/* ---- the server -------------------------------------------------------------------------------- */

enum { KEYS_MOST = 4096 };
struct server {
    const struct serve_opts *o;
    struct sched *sched;
    const struct engine *engine;
    struct hub hub;
    struct listener listener[16]; int n_listener;
    struct front *front; int n_front;                                 /* http.c: one MHD daemon a listener */
    struct conn *conn; int n_conn;
    struct exchange *live; int n_live;
    struct job *jobs;
    struct models *models;
    struct keep *store;                                              /* NULL: none */
    struct metrics *metrics;
    char **key; int n_key;                                            /* reloaded by SIGHUP */
    bool local_only, draining, stopping, listening, damaged;
    uint64_t drain_ns; int signal;
    int64_t started;                                                  /* unix seconds */
    uint64_t watchdog_ns;
    char fingerprint[24];
    struct mailbox *mailbox;
    struct hands *hands;                                              /* tools that clients may run; NULL: none */
    struct aside *aside; int n_task;                                  /* running beside the I/O thread */
};

/* ---- api.c ------------------------------------------------------------------------------------- */

typedef void handler_fn(struct exchange *x);
enum { ROUTE_OPEN = 1, ROUTE_ADMIN = 2, ROUTE_METRICS = 4 };
enum api { WIRE_OPENAI, WIRE_ANTHROPIC };
struct route { const char *method, *path; handler_fn *run; unsigned flags; enum api wire; };
void api_head(struct exchange *x);                                    /* headers are there: what can be refused now is */
void api_run(struct exchange *x);                                     /* the body is there */
bool api_keys_read(struct server *sv, struct err *e);
struct json *api_body(struct exchange *x);                            /* the JSON body; NULL: refused. Owned */

/* ---- one request and its answer ---------------------------------------------------------------- */

enum phase_x { X_HEAD, X_BODY, X_WAIT, X_READY, X_STREAM, X_DONE };
struct header { char *name, *value; };
struct note {                                                         /* for the access log */
    const char *model, *adapter, *finish; bool stream, cancelled;
    int prompt, cached, out, calls; double queue_ms, prefill_ms, decode_ms;
};
struct exchange {
    struct server *sv;
    struct MHD_Connection *mhd;
    struct conn *conn;
    struct exchange *next, *prev;
    char *url, *path, *query;                                         /* url: as sent; path: decoded, normal; query: behind ? */
    char method[16], id[132];
    const struct route *route; const char *tail;                      /* tail: what the route's * stands for */
    enum api wire;
    struct str body; size_t body_seen;
    enum phase_x phase;
    bool entered, suspended, gone, lost, head_only, metrics_only;     /* lost: what comes of the body is thrown away */
    int status; const char *type; struct str answer; struct header header[24]; int n_header; bool close;
    struct job *job;                                                  /* NULL when its end was seen */
    struct str out; size_t out_at; bool ended, sse;                   /* the stream */
    size_t sent;
    uint64_t start_ns, touched_ns, wrote_ns;
    struct note note;
    struct task *task;                                                /* a helper thread works for it */
};
const char *exchange_header(const struct exchange *x, const char *name);
void exchange_wait(struct exchange *x);                               /* no answer yet */
void exchange_ready(struct exchange *x);                              /* the answer is there */
void exchange_stream(struct exchange *x);                             /* headers go out, x->out follows */
void exchange_pump(struct exchange *x);                               /* x->out has more, or ended is set */

/* ---- http.c ------------------------------------------------------------------------------------ */

bool http_open(struct server *sv, struct err *e);
void http_close(struct server *sv);
void http_stop_listening(struct server *sv);
bool http_reload_tls(struct server *sv, struct err *e);
int  http_timeout_ms(struct server *sv, int most);
void http_run(struct server *sv);
void http_tick(struct server *sv, uint64_t now);                      /* time limits of sockets */

/* ---- aside.c: what may block is done by a helper thread ------------------------------------------- */

/* Embedded in what the task is about. run: on the helper, must not touch x; done: on the I/O thread, x NULL
 * if the client is gone; it frees the whole. left: on the I/O thread, the client is gone; NULL: never mind. */
struct task { struct server *sv; struct exchange *x; struct task *next; void (*run)(struct task *t), (*done)(struct task *t), (*left)(struct task *t); };
void aside_start(struct server *sv, struct exchange *x, struct task *t);   /* x may be NULL */
void aside_collect(struct server *sv);                                 /* I/O thread: calls done of those that are */

/* ---- reply.c ----------------------------------------------------------------------------------- */

void reply_json(struct exchange *x, int status, struct json *take);
void reply_text(struct exchange *x, int status, const char *type, const char *text, size_t len);
void reply_header(struct exchange *x, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* code "" and param NULL become null. */
void reply_error(struct exchange *x, int status, const char *code, const char *param, const char *fmt, ...) PRINTF_LIKE(5, 6);
void reply_err(struct exchange *x, const struct err *e);
/* What e is on the wire. */
struct fault { int status; const char *type, *code; char param[96]; const char *message; };
void fault_of(struct fault *f, const struct err *e);
struct json *fault_json(const struct exchange *x, const struct fault *f);   /* the error body of x's wire, owned */
const char *fault_type(int status);

/* ---- job.c: what the engine does for an exchange ----------------------------------------------- */

struct choice {
    struct job *job;
    int index;
    uint64_t id; bool submitted, began, done;                         /* of the scheduler */
    struct request request;                                           /* lends what the job's owns */
    struct message message;                                           /* the fold */
    struct json *logprobs, *pending;                                  /* all of them; those not yet told in a stream */
    struct json *tokens;                                              /* return_tokens: those not yet told, without a stream all */
    struct str tail; int n_echo;                                      /* of the teller */
};
/* How one endpoint tells what happens. The stream's head and its keep-alives are the job's. */
struct teller {
    void (*begin)(struct job *j, struct str *out);                    /* a stream begins */
    void (*event)(struct job *j, struct choice *c, const struct event *ev, struct str *out);  /* out NULL: not streamed */
    void (*end)(struct job *j, struct str *out);                      /* every choice is done */
    void (*fail)(struct job *j, const struct fault *f, struct str *out);  /* after the head of a stream */
    struct json *(*whole)(struct job *j);                             /* not streamed: the folded answer, owned */
    const char *ping;                                                 /* NULL: a comment */
    void (*done)(void *state);
};
struct job {
    struct server *sv;
    struct exchange *x;                                               /* NULL: answered, or the client is gone */
    struct job *next, *prev;
    const struct teller *teller;
    void *state;
    struct served *served;                                                /* feeds it instead of the scheduler (served.c); NULL: none */
    struct request request;                                           /* owns the body */
    struct ids *prompt; bool echo;                                    /* [n_prompt] /v1/completions */
    struct choice *choice; int n_choice, per, n_done;                 /* per: choices of one prompt */
    bool stream, started;
    char *model, *adapter, id[40];
    int64_t created;
    uint64_t submit_ns;
    struct usage usage;                                               /* over all choices */
    /* under the mailbox's lock */
    struct mail *first, *last; size_t mail_bytes; bool listed, cut; struct job *ready;
};
/* request (and prompt) are taken. On refusal x is answered and the state freed. Returns the job, or NULL. */
struct job_spec { const struct teller *teller; void *state; struct request *request; struct ids *prompt; int n_prompt; bool echo; int n; bool stream;
                  const char *id_prefix; struct served *served; };  /* served: taken */
bool job_event(void *choice, const struct event *ev);                 /* any thread: an event for the mailbox; false: nobody reads on */
struct job *job_start(struct exchange *x, const struct job_spec *s);
void job_leave(struct job *j);                                        /* the client is gone */
void job_mail(struct server *sv);                                     /* events of the engine thread are told */
void job_more(struct exchange *x);                                    /* the client has read what there was */
void job_tick(struct server *sv, uint64_t now);
void job_stop_all(struct server *sv, const char *code, const char *why);
const char *finish_name(const struct choice *c);
struct json *usage_json(const struct usage *u);
struct json *token_piece(const struct tokenizer *t, int32_t id);       /* {id, piece}; a piece that is no UTF-8 as an array of bytes */
struct json *token_logprob(const struct server *sv, const struct event *ev); /* an entry of logprobs.content */
void id_make(char out[40], const char *prefix);                       /* prefix + 24 random characters */
void sse(struct str *out, const char *event, struct json *take);      /* event NULL: data only */
int64_t unix_time(void);

/* ---- handlers ---------------------------------------------------------------------------------- */

handler_fn chat_run, chat_count, template_run, completions_run, responses_run, responses_count, responses_get, responses_delete, responses_post,
    messages_run, messages_count, page_run, page_part, models_list, models_get, lora_load, lora_unload, lora_list, tokenize_run, detokenize_run, health_run, ready_run, tools_list, tools_run,
    live_run, metrics_run, props_run, slots_run, embeddings_run;
void mailbox_open(struct server *sv);
void mailbox_close(struct server *sv);
void aside_open(struct server *sv);
void aside_close(struct server *sv);

/* ---- openai.c: what the other wires use of it ---------------------------------------------------- */

/* Members of every wire: stream, n, sampling. False: x is answered. The chat body is taken in any case. */
bool chat_request(struct exchange *x, struct json *body, struct request *r);
/* Renders and counts: *n tokens of the prompt of r. False: answered. */
bool prompt_count(struct exchange *x, const struct request *r, int *n);
bool take_bool(struct exchange *x, struct json *body, const char *key, bool *out);    /* and takes the member out; false: answered */
bool take_int(struct exchange *x, struct json *body, const char *key, int64_t lo, int64_t hi, int64_t *out);
const struct json *there(const struct json *o, const char *key);      /* member that is not null */
bool known_members(struct exchange *x, const struct json *body, const char *const *known);  /* --strict-params */

#endif
