/* agent.h -- the door of agent/: tools that really run, and the loop between a model and them.
 *
 * cancel.c a switch that every wait listens to; tools.c what can be called, in one stable order;
 * command.c, web.c, openapi*.c, function.c, builtin.c, mcp*.c, interp.c where tools come from; result.c what the model sees of an
 * answer; turns.c generate, check, ask, run, append; calls.c the calls of one turn; choose.c which
 * tools are shown; talk.c the messages;
 * record.c what is kept of it, recall.c how it goes on, rerun.c how it is run again.
 *
 * The loop speaks to a model through `struct agent_model`, three functions: the engine of gen/, a remote
 * endpoint, or a list of events in a test. Whoever shows things gets events; nothing here prints.
 * Threads: a loop belongs to one thread, which also gets all its events; tools run on threads of their own. */
#ifndef TENON_AGENT_H
#define TENON_AGENT_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/json.h"
#include "gen/gen.h"

/* ---- cancellation ---------------------------------------------------------------------------- */

struct cancel { int fd; atomic_bool on; };                            /* fd: readable while it is on */
bool cancel_init(struct cancel *c, struct err *e);
void cancel_done(struct cancel *c);
void cancel_fire(struct cancel *c);                                   /* any thread, and signal handlers */
void cancel_clear(struct cancel *c);
static inline bool cancel_is_on(const struct cancel *c) { return c && atomic_load(&((struct cancel *)(uintptr_t)c)->on); }

/* ---- results --------------------------------------------------------------------------------- */

/* What a tool gave. text: for the model, before it is cleaned and cut. files: [{"name","type","bytes","path"}]
 * (of a PNG "width" and "height" too) for the user's eyes, NULL if none. transient: asking again may help (time-out,
 * 429, 5xx, connection). */
struct tool_result { struct str text; bool is_json, is_error, transient; struct json *files; };
void tool_result_done(struct tool_result *r);
/* An error result: one sentence that says what to do next. Replaces what was there. */
void tool_fail(struct tool_result *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* {"error":"invalid_arguments","at":"/path","expected":"…"}: what schema_check() found. */
void tool_fail_schema(struct tool_result *r, const struct err *e);
/* {"error":"…"}: no text of a tool can be taken for the opposite. */
void result_mark_error(struct str *text);
/* A line for each file, so that the model knows of it. */
void result_put_files(struct str *text, const struct json *files);
/* UTF-8 made whole; control characters but \n and \t, and terminal escape sequences, removed. */
void result_clean(struct str *out, const char *p, size_t n);
/* The same for showing text of strangers on a terminal in one piece: control characters are written as \xHH. */
void result_escape(struct str *out, const char *p, size_t n);
/* At most `most` bytes of text: head 70 %, tail 30 %, on borders of lines; JSON arrays by elements. number: of the
 * result, named in the note; 0: it is not kept. True: something was left out. */
bool result_cut(struct str *out, const char *p, size_t n, bool is_json, size_t most, int number);

/* ---- tools ----------------------------------------------------------------------------------- */

enum policy { POLICY_DEFAULT, POLICY_ALLOW, POLICY_ASK, POLICY_DENY };
struct invocation {                                                   /* one call, checked against the schema; lent */
    const char *id;
    const struct json *args; struct bytes text;                       /* the same thing twice */
    struct cancel *cancel;
    int timeout_ms;
};
struct tool {
    char *name;                                                       /* as the model says it */
    char *source;                                                     /* "command", "function", "builtin", "mcp files" */
    struct json *function;                                            /* {"name","description","parameters"} */
    struct json *schema;                                              /* of the arguments */
    bool read_only, idempotent, open_world;
    enum policy policy;                                               /* never POLICY_DEFAULT once in a set */
    int timeout_ms, result_tokens;                                    /* 0: the loop's */
    bool pinned;                                                      /* always shown, however many there are */
    bool changed; char *difference;                                   /* defined anew since the user allowed it, and what is different in lines */
    void (*accept)(struct tool *t);                                   /* the user allows it as it is now; NULL: nobody has to know */
    /* Runs on a thread of its own, perhaps beside others. Always leaves a result. */
    void (*invoke)(struct tool *t, const struct invocation *c, struct tool_result *out);
    void (*preview)(struct tool *t, const struct json *args, struct str *out);  /* the exact command, for approval; NULL: none */
    void (*close)(struct tool *t);                                    /* releases ctx; NULL: nothing to do */
    void *ctx;
};

/* An MCP server asks the user while a tool of its runs. Called on the tool's thread, for one question at a time. Either
 * schema: an object of plain properties; content: for ELICIT_ACCEPT, owned, an object that satisfies it. Or url: a page
 * that the user should open himself (he gives there what must not pass through us); nothing of ours fetches it. */
enum elicit { ELICIT_ACCEPT, ELICIT_DECLINE, ELICIT_CANCEL };
struct elicitation { const char *server, *message, *url; const struct json *schema; };
typedef enum elicit elicit_fn(void *ctx, const struct elicitation *q, struct json **content);

/* A server wants to know who asks: the user has to sign in at a page, which nothing of ours fetches. Shows the address (perhaps opens
 * a browser) and returns at once; false: it cannot be shown. Called on any thread, one at a time. */
typedef bool sign_in_fn(void *ctx, const char *server, const char *url);

/* Bounds of one question with all its calls: name, default (0: none). */
#define LIMIT_LIST(X) \
    X(max_turns, 16) X(max_calls, 64) X(max_total_tokens, 0) X(parallel, 4) X(result_tokens, 2048) X(call_ms, 60000) X(total_ms, 0)
struct prices { double prompt, cached, completion; };                 /* of a million tokens, in any currency; cached 0: as prompt */
struct agent_limits {                                                 /* zeros: defaults */
#define X(name, otherwise) int name;
    LIMIT_LIST(X)
#undef X
    double max_cost;                                                  /* of all tokens, in the currency of price; 0: none */
    struct prices price;
};
/* {"max_turns": 16, …, "max_cost": 0.5, "price": {"prompt": 3, "cached": 0.3, "completion": 15}}; NULL changes nothing. ERR_ARG:
 * a member that is unknown or no number from 1 on (costs: above 0), or a greatest cost without prices. */
bool agent_limits_read(struct agent_limits *l, const struct json *v, struct err *e);
bool agent_limits_check(const struct agent_limits *l, struct err *e); /* the last of these alone */
struct toolset_opts {
    const char *root;                                                 /* file tools stay below it; NULL: the working directory */
    const char *python;                                               /* of the interpreter; NULL: /usr/bin/python3 */
    const char *data;                                                 /* a folder that it reads at /data; NULL: none */
    int idle_ms;                                                      /* after which an unused interpreter ends; 0: ten minutes */
    const char *state_dir;                                            /* what is remembered of servers and files between runs; NULL: nothing is */
    const char *backup_dir;                                           /* what write_file and edit_file replace is kept there; NULL: it is not */
    const char *run_sandbox;                                          /* of the builtin tool run: "ro" (also NULL), "rw" (root may be written), "none" */
    const char *out_dir;                                              /* files that the interpreter leaves; NULL: a new one below /tmp */
    bool qualify;                                                     /* names of MCP tools are always server__tool */
    bool retrieves;                                                   /* whoever asks chooses among many tools, so there may be many */
    bool public_only;                                                 /* MCP servers by URL must be of the open internet, over TLS */
    sign_in_fn *sign_in; void *sign_in_ctx;                           /* NULL: nobody can sign in to servers here */
    elicit_fn *elicit; void *elicit_ctx;                              /* NULL: the user cannot be asked, and servers are told so */
};
struct toolset;
struct toolset *toolset_open(const struct toolset_opts *o);           /* NULL: defaults */
void toolset_close(struct toolset *ts);
/* Any shape of --tools. Definitions without a way to run them can be called, and say so when they are. */
bool toolset_read(struct toolset *ts, const char *path, struct err *e);
bool toolset_read_json(struct toolset *ts, const struct json *v, const char *dir, struct err *e);  /* dir: of the file */
/* "read_file,grep": builtin tools by name. ERR_UNSUPPORTED: one cannot be offered here (and why). */
bool toolset_builtin(struct toolset *ts, const char *names, struct err *e);
/* A file into /box of the tool python, before its next call and into every box that follows (after a reset, an idle end). The
 * same name again replaces it. ERR_ARG: there is no such tool, or the name is no plain one; ERR_LIMIT: more than 32 MiB, or 128 together. */
bool toolset_put(struct toolset *ts, const char *name, const void *p, size_t n, struct err *e);
/* Takes t (all its members) whether it succeeds or not. ERR_ARG: the name or the schema is no good, or the name is taken. */
bool toolset_add(struct toolset *ts, struct tool *t, struct err *e);
/* definition: a function object, wrapped or bare. The call may be answered later and from any thread, once. */
struct tool_reply;
typedef void tool_fn(void *user, const char *arguments, struct tool_reply *reply);
bool toolset_function(struct toolset *ts, const struct json *definition, tool_fn *fn, void *user, struct err *e);
void tool_reply_send(struct tool_reply *r, const char *text, size_t len, bool is_error);
size_t toolset_n(const struct toolset *ts);
struct tool *toolset_at(const struct toolset *ts, size_t i);          /* in the order of the prompt */
struct tool *toolset_find(const struct toolset *ts, const char *name);/* NULL if unknown */
void tool_accept(struct tool *t);                                      /* as it is defined now, from now on and for later runs */
struct tool *toolset_nearest(const struct toolset *ts, const char *name);
struct json *toolset_definitions(const struct toolset *ts);           /* OpenAI tools array; owned */
struct json *toolset_described(const struct toolset *ts);             /* the same, with source, approve and read_only; owned */
/* One call outside a loop: checked and run, its text cleaned and free of secrets. Whether it is allowed is the caller's
 * business. Always leaves a result. Any thread. */
void toolset_call(struct toolset *ts, struct tool *t, const struct json *args, struct cancel *c, struct tool_result *out);
const char *policy_name(enum policy p);                               /* "allow", "ask", "deny" */
const struct agent_limits *toolset_limits(const struct toolset *ts);   /* what the files said */
/* Between turns: sources that say their list has changed are asked for it. True: definitions differ now. */
bool toolset_refresh(struct toolset *ts);
/* Values of ${env:NAME} become ${env:NAME} again. */
void toolset_hide(const struct toolset *ts, struct str *text);
/* What went wrong without ending anything ("MCP server files: …"): a line each; lent. */
const char *toolset_warnings(const struct toolset *ts);
/* Starts an MCP server anew and asks for its tools again, between two questions. ERR_ARG: there is none of that name. */
bool toolset_restart(struct toolset *ts, const char *server, struct err *e);
struct json *toolset_status(const struct toolset *ts);                /* of servers: [{"server","state","tools"}]; owned */

/* ---- the loop -------------------------------------------------------------------------------- */

struct agent_model {
    /* Runs one request (body is taken); as engine_run(). */
    bool (*speak)(void *ctx, struct json *body, event_fn *fn, void *fn_ctx, struct err *e);
    int (*prompt_tokens)(void *ctx, const struct json *body);         /* of the rendered prompt; -1: not known; NULL: never known */
    int (*count)(void *ctx, const char *text, size_t len);            /* tokens of a text; NULL: four bytes each */
    int n_ctx;                                                        /* 0: not known */
    void *ctx;
};

#define STOP_LIST(X) \
    X(STOP_ANSWER, "answer", 0) X(STOP_MAX_TURNS, "max_turns", 3) X(STOP_MAX_CALLS, "max_calls", 3) \
    X(STOP_MAX_TOKENS, "max_total_tokens", 3) X(STOP_MAX_COST, "max_cost", 3) \
    X(STOP_DEADLINE, "deadline", 3) X(STOP_CONTEXT_FULL, "context_full", 3) X(STOP_LOOP_DETECTED, "loop_detected", 3) \
    X(STOP_DENIED, "denied", 4) X(STOP_UNSURE, "low_confidence", 6) X(STOP_INTERRUPTED, "interrupted", 130) X(STOP_ERROR, "error", 1)
enum stop {                                                           /* why a loop ended: code, name, exit status */
#define X(code, name, status) code,
    STOP_LIST(X)
#undef X
};
const char *stop_name(enum stop s);

enum answer { ANSWER_ONCE, ANSWER_NO, ANSWER_TOOL, ANSWER_EXACT, ANSWER_EDIT, ANSWER_QUIT };
/* unsure: how sure the call is, where that is why it is asked; else below 0. */
struct question { const struct tool *tool; const struct json *args; struct bytes text; const char *preview; float unsure; };
struct agent_event {
    enum { AG_MODEL,                                                  /* ev: one event of the model */
           AG_TURN,                                                   /* a generation begins: turn */
           AG_RUN,                                                    /* a call begins to run: index, id, tool, text = arguments */
           AG_RESULT,                                                 /* its result: text, is_error, ms, number, files; ran */
           AG_NOTE } kind;                                            /* text: what the user should know */
    const struct event *ev;
    int turn, index, number;
    const char *id, *name; struct bytes text, args;
    bool is_error, ran; double ms;
    const struct json *files;
};
struct agent_ui {                                                      /* all may be NULL */
    void (*event)(void *ctx, const struct agent_event *ev);
    /* Asked in order, before anything runs. reason: for ANSWER_NO, told to the model; args: for ANSWER_EDIT, owned. */
    enum answer (*ask)(void *ctx, const struct question *q, struct str *reason, struct json **args);
    void *ctx;
};
enum blanket { BLANKET_NONE, BLANKET_READ_ONLY, BLANKET_ALL };        /* what is allowed without asking, beside POLICY_ALLOW */
struct transcript;
struct agent_opts {
    const struct agent_model *model;
    struct toolset *tools;                                            /* NULL: none; lent */
    struct agent_ui ui;
    struct cancel *cancel;                                            /* lent; NULL: cannot be cancelled */
    struct agent_limits limits;                                        /* zeros: the toolset's, else defaults */
    const struct json *request;                                       /* further members of every request (temperature, …); copied */
    enum blanket blanket;
    int tools_max;                                                    /* of more tools the model is shown a choice, and find_tools; 0: all of them */
    bool strict;                                                      /* what no policy allows is denied, never asked */
    double min_confidence;                                            /* calls that are less sure are asked, whatever allows them; 0: none */
    struct transcript *transcript;                                    /* lent; NULL: nothing is kept */
};
struct agent_report {
    enum stop stop; bool was_cut, failed_at_end, denied, unsure;              /* cut: by the token limit; failed: the last call that ran */
    int turns, calls; double ms, cost;                                /* cost: 0 without prices */
    struct usage usage; struct timing timing;                         /* sums over generations; first_token_ms: of the first */
    struct usage last; struct timing last_timing;                     /* of the last generation */
    struct str text;                                                  /* of the last message */
    struct err err;                                                   /* STOP_ERROR, STOP_CONTEXT_FULL */
};
void agent_report_done(struct agent_report *r);
int  agent_exit_status(const struct agent_report *r);

struct agent;
struct past;
struct agent *agent_open(const struct agent_opts *o);
void agent_close(struct agent *l);
/* One message of the user, and all that follows from it; NULL: what follows from the messages that were loaded. Fills r
 * (zeroed or done before). */
void agent_send(struct agent *l, const char *text, struct agent_report *r);
void agent_system(struct agent *l, const char *text);                   /* replaces the system message; "" or NULL: none */
const struct json *agent_messages(const struct agent *l);               /* OpenAI messages so far; lent */
void agent_load(struct agent *l, struct json *messages);                /* takes them */
/* Goes on where a recording ended; takes its messages. What was allowed then is asked again. */
void agent_resume(struct agent *l, struct past *p);
/* Drops the n-th question (from 1) and what followed; last: its text. False: there is none. */
bool agent_undo_to(struct agent *l, int n, struct str *last);
bool agent_undo(struct agent *l, struct str *last);                     /* drops the last user turn and what followed; last: its text */
void agent_clear(struct agent *l);                                      /* keeps the system message and what was allowed */
const char *agent_result(const struct agent *l, int number, size_t *len);/* full text of result:N (from 1); NULL: none */
void agent_set(struct agent *l, const char *key, struct json *value);   /* member of every request from now on; NULL value: removed */
const struct json *agent_request(const struct agent *l);                /* those members; lent */
void agent_tools(struct agent *l, bool on);                             /* offer tools or not */
struct json *agent_shown(const struct agent *l);                        /* the tools of the next request, those of the loop itself included; owned */
/* The same checks a server makes: every call has one result, in order, and nothing else has. ERR_ARG says where not. */
bool messages_whole(const struct json *messages, struct err *e);

/* ---- transcripts ------------------------------------------------------------------------------ */

/* path: an SQLite file, or one that ends in .jsonl. ERR_UNSUPPORTED: SQLite in a build without it. */
struct transcript *transcript_open(const char *path, struct err *e);
/* The same, to go on with a conversation that is in it (0: the newest). ERR_ARG: there is none of that number. */
struct transcript *transcript_reopen(const char *path, long long session, struct err *e);
bool transcript_resume(struct transcript *t, long long session, struct err *e);  /* rows go there from now on */
void transcript_close(struct transcript *t);
void transcript_hide(struct transcript *t, const struct toolset *secrets);  /* lent: what ${env:NAME} stood for is not written */
/* One more row; body is taken. kind: meta, message, call, approval, result, usage, stop. */
void transcript_put(struct transcript *t, const char *kind, struct json *body);
long long transcript_session(const struct transcript *t);            /* number of the one being written; 0: none yet */
/* JSON Lines of a session (0: the newest), the shape that --replay reads. */
bool transcript_export(const char *path, long long session, struct str *out, struct err *e);
/* The newest sessions, those whose messages hold all of `words` if not NULL: [{"session","time","title","model","tokens","rows"}];
 * owned, NULL on error. */
struct json *transcript_list(const char *path, const char *words, int most, struct err *e);
const char *transcript_sqlite(void);                                 /* its version; NULL: built without */
/* A recorded conversation (0: the newest) as it stood at its end: what was taken back is gone, and a call that the end of the program
 * left alone has a result that says so. results: texts in full, result:1 first. */
struct past { struct json *messages, *results, *meta; int n_call; };
bool past_read(struct past *p, const char *path, long long session, struct err *e);  /* the path of a transcript */
void past_done(struct past *p);
/* A recording in place of tools: what it answered before is answered again. */
struct rerun { struct json *events; struct json *prompts; int n_call, n_known; };
bool rerun_open(struct rerun *r, const char *path, struct err *e);
void rerun_done(struct rerun *r);
bool rerun_tools(struct rerun *r, struct toolset *ts, struct err *e);  /* its tools, answered from it */

const char *interp_refusal(const struct toolset_opts *o);            /* why there is no sandbox here; NULL: there is */

#endif
