/* turns_int.h -- what the files of the loop share: turns.c, calls.c, choose.c, talk.c. */
#ifndef AGENT_TURNS_INT_H
#define AGENT_TURNS_INT_H

#include "agent/int.h"

struct agent {
    struct agent_opts o;
    struct agent_limits lim;
    struct json *messages, *request;
    struct breaker breaker;
    struct str *full; int n_full, cap_full;                           /* results as they were, result:1 is full[0] */
    struct words always;                                              /* tools allowed for this conversation */
    struct words exact;                                               /* name and canonical arguments, likewise */
    bool tools_on, offers_read;                                       /* read_result is offered from the first cut on */
    struct words chosen; bool new_question;                           /* names of the tools that are shown, where there are many */
    int n_id;                                                         /* ids given to calls */
    uint64_t t0, deadline;                                            /* of this send; 0: none */
};

/* One call of a turn, from what the model wrote to what it is told. */
struct call {
    const char *name;                                                 /* lent by the message */
    char *id;
    struct str text;                                                  /* arguments */
    struct json *args;
    struct tool *tool;
    bool run, ran, is_error, incomplete, schema_ok, denied, unsure;
    enum { OWN_NONE, OWN_READ, OWN_FIND } own;                        /* a tool of the loop itself: read_result, find_tools */
    struct words found;                                               /* by find_tools, shown from now on */
    float confidence;                                                 /* 1 unless it was asked for */
    struct tool_result result;
    double ms;
    int number;
};

enum calls_end { CALLS_DONE, CALLS_QUIT, CALLS_CANCELLED, CALLS_LOOP };
/* Checks, asks, runs; afterwards each call has a result. */
enum calls_end calls_handle(struct agent *l, struct call *call, int n);
void calls_refuse(struct agent *l, struct call *call, int n, const char *why); /* none runs, each is told why */
void call_done(struct call *c);

/* limits.c */
struct agent_limits limits_of(const struct agent_limits *own, const struct agent_limits *file); /* what own leaves out from the file, else defaults */
double cost_of(const struct prices *p, const struct usage *u);

/* choose.c: which tools the model is shown */
bool choose_applies(const struct agent *l);
void choose_tools(struct agent *l);                                   /* before a generation: the choice, or the old one if it still fits */
void choose_add(struct agent *l, const char *name);
struct json *choose_definitions(const struct agent *l);               /* OpenAI tools array, with find_tools where something is not shown; owned */
struct json *find_tools_tool(void);                                   /* its definition; owned */
void choose_find(const struct agent *l, const struct json *args, struct tool_result *out, struct words *found);

/* talk.c */
struct json *read_result_tool(void);                                   /* its definition; owned */
struct json *talk_message(const char *role, const char *text, size_t len);
void talk_push(struct agent *l, struct json *message);                 /* and into the transcript */
void talk_result(struct agent *l, struct call *c, const char *text, size_t len);
int  talk_remember(struct agent *l, const char *text, size_t len);     /* a result in full; its number */
/* Makes room if the prompt of body would fill the window. */
void talk_fit(struct agent *l);
struct json *talk_body(const struct agent *l, bool answer_only);
int  agent_tokens(const struct agent *l, const char *p, size_t n);
void agent_note(struct agent *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
void agent_tell(struct agent *l, const struct agent_event *ev);
/* One generation: m is filled. */
bool agent_generate(struct agent *l, struct json *body, bool bounded, struct message *m, struct err *e);

#endif
