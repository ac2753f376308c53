/* int.h -- what the files of agent/ share. */
#ifndef AGENT_INT_H
#define AGENT_INT_H

#include <pthread.h>
#include <sys/types.h>

#include "agent/agent.h"

/* ---- processes: process.c --------------------------------------------------------------------- */

/* One program to its end. Its process group dies with it: at time-out and cancellation TERM, two seconds
 * later KILL. stdin is never the terminal. */
struct process_opts {
    char *const *argv, *const *env;                                   /* NULL-terminated; argv[0] is looked for in PATH */
    const char *cwd;                                                  /* NULL: here */
    struct bytes in;                                                  /* its stdin */
    int timeout_ms;
    size_t most;                                                      /* bytes of stdout that are kept */
    struct cancel *cancel;
};
struct process_end {
    struct str out, err;                                              /* err: the last bytes of stderr */
    uint64_t n_out;                                                   /* bytes written to both, kept or not */
    bool out_cut;                                                     /* stdout was longer than what is kept */
    int status, signal;                                               /* signal: 0 if it exited */
    bool timed_out, cancelled, flooded;
};
bool process_run(const struct process_opts *o, struct process_end *end, struct err *e);
void process_end_done(struct process_end *end);
/* A child with pipes in fd[0] (its stdin), fd[1] (stdout), fd[2] (stderr), all non-blocking; -1 with e. */
int process_spawn(char *const *argv, char *const *env, const char *cwd, int fd[3], struct err *e);
/* Waits ms for it without reaping. */
bool process_wait(int pid, int ms);
void process_kill(int pid, int grace_ms);                             /* TERM to the group, KILL after the grace, reaps */
ssize_t write_quietly(int fd, const void *p, size_t n);               /* as write(), without SIGPIPE */
bool program_exists(const char *name);                                /* in PATH */

/* Growing list of owned strings, NULL-terminated: argv and environments. */
struct words { char **p; int n, cap; };
void words_put(struct words *w, char *taken);
void words_done(struct words *w);

/* ---- the toolset ------------------------------------------------------------------------------ */

struct secret { char *name, *value; };
struct mcp;
struct interp;
struct toolset {
    struct tool **tool; size_t n, cap;
    struct secret *secret; size_t n_secret, cap_secret;
    struct mcp **mcp; size_t n_mcp, cap_mcp;
    struct interp *interp;
    struct toolset_opts opts;
    struct agent_limits limits;
    struct str warnings;
    pthread_mutex_t asking;                                           /* one question of MCP servers at a time */
};
/* s with ${env:NAME} and ${dir} replaced (and the value remembered as a secret). NULL with e: NAME is not set. */
char *toolset_expand(struct toolset *ts, const char *s, const char *dir, struct err *e);
char *toolset_expand_encoded(struct toolset *ts, const char *s, const char *dir, struct err *e);  /* values percent-encoded */
void toolset_secret(struct toolset *ts, const char *name, const char *value);  /* from now on value is shown as ${env:name} */
void percent_encode(struct str *out, const char *s, size_t n);        /* all but letters, digits and -_.~ */
void toolset_warn(struct toolset *ts, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct tool *tool_new(const char *name, const char *source);
void tool_free(struct tool *t);
/* Takes description and parameters from a definition, and policy, read_only … from a configuration. False with e. */
bool tool_configure(struct tool *t, const struct json *config, struct err *e);
/* PATH, HOME, LANG, TERM=dumb and what `extra` names ("NAME", "NAME=value with ${env:…}"; or an object of them). */
bool make_env(struct toolset *ts, const struct json *extra, const char *dir, struct words *env, struct err *e);

/* Headers of HTTP from a configuration, at most 60: name and value by turns. */
bool toolset_headers(struct toolset *ts, const struct json *v, const char *dir, struct words *out, struct err *e);

/* {name} in a template: its length with braces at p, 0 if there is none; and what the arguments say of it. */
size_t slot_len(const char *p);
const struct json *slot_value(const struct json *args, const char *p, size_t n);

bool command_read(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e);
bool web_read(struct toolset *ts, const char *name, const struct json *config, const char *dir, struct err *e);
bool openapi_read(struct toolset *ts, const struct json *list, const char *dir, struct err *e);
bool builtin_add(struct toolset *ts, const char *name, struct err *e);
bool run_add(struct toolset *ts, struct err *e);                      /* the builtin tool run: a program that the model names */

/* Lines that differ, "- " old and "+ " new, with an equal line around each change: diff.c. */
void diff_lines(struct str *out, struct bytes was, struct bytes is);
void diff_json(struct str *out, const struct json *was, const struct json *is);  /* NULL: nothing */

/* ---- MCP -------------------------------------------------------------------------------------- */

/* A configured server: started, asked for its era and tools, which are added to ts. A server that does not come up is
 * left out with a warning; false only for a configuration that is wrong. */
bool mcp_read(struct toolset *ts, const struct json *servers, const char *dir, struct err *e);
void mcp_close(struct mcp *m);
bool mcp_refresh(struct toolset *ts, struct mcp *m);
bool mcp_restart(struct mcp *m, struct err *e);                       /* ended if it runs, and started anew */
bool mcp_is(const struct mcp *m, const char *name);
struct json *mcp_status(const struct mcp *m);

/* ---- interpreter ------------------------------------------------------------------------------ */

bool interp_add(struct toolset *ts, struct err *e);                   /* ERR_UNSUPPORTED: no sandbox here, so no tool */
void interp_close(struct interp *in);
extern const char interp_driver[];                                    /* driver.py, linked in */

/* A Python process behind all walls (box.c): control is a stream of frames, out and err are what it prints. */
struct box { int pid, control, out, err; char *cgroup[2]; };
/* data: a folder bound read-only at /data, NULL: none. ERR_UNSUPPORTED: there is no sandbox here, and why; ERR_ARG: that folder cannot be. */
bool box_open(struct box *b, const char *python, const char *data, struct err *e);
void box_close(struct box *b);

/* ---- records ----------------------------------------------------------------------------------- */

bool rows_read(const struct str *text, struct json *rows, struct err *e);  /* JSON Lines, pushed to an array; rerun.c */

/* ---- loop breaker: breaker.c ------------------------------------------------------------------- */

struct breaker { uint64_t *call, *result; int n, cap; };              /* hashes in order */
enum agent_state { LOOP_NONE, LOOP_TOLD, LOOP_STOP };
/* One more call and what it answered. TOLD: equal to the two before (or the third round of a cycle). */
enum agent_state breaker_put(struct breaker *b, const char *name, const struct json *args, struct bytes result);
void breaker_done(struct breaker *b);
/* Members sorted, numbers and strings in one spelling: equal values give equal text. */
void json_canonical(struct str *out, const struct json *v);

#endif
