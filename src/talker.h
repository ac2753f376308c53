/* talker.h -- what `run`, `chat` and `tools` share: options, a model and tools from them, and how a loop is shown. */
#ifndef TENON_TALKER_H
#define TENON_TALKER_H

#include <pthread.h>

#include "agent/agent.h"
#include "front.h"
#include "speaker.h"
#include "markdown.h"

struct tool_opts { struct opt_list tools; const char *builtin, *root, *python, *data, *out_dir, *run_sandbox; bool qualify, no_config; };
struct talk_opts {
    struct model_opts m;
    struct tool_opts t;
    const char *system, *approve, *transcript, *spelling, *key_order, *url, *model_name, *key_env, *price;
    struct opt_list attach;
    bool no_history, strict, resumes;
    long long resume;                                                 /* with resumes: the conversation to go on with, 0: the newest */
    int64_t max_turns, max_calls, max_total_tokens, parallel, result_tokens, max_tokens, seed, top_k, tools_max;
    double max_cost, min_confidence, temperature, top_p, min_p, deadline;
};
#define TALK_DEFAULTS .max_tokens = INT64_MIN, .top_p = 1, .tools_max = -1

#define TOOL_OPTS(type, at) \
    { "Tools", 0, "tools", "FILE", OPT_LIST, offsetof(type, at.tools), "tools that can run (docs/tools.md), or definitions; may be repeated (default: none)" }, \
    { "Tools", 0, "tools-builtin", "NAMES", OPT_STR, offsetof(type, at.builtin), "read_file,list_dir,find,grep,write_file,edit_file,run,python (default: none)" }, \
    { "Tools", 0, "root", "DIR", OPT_STR, offsetof(type, at.root), "builtin file tools stay below it, run begins in it (default: the working directory)" }, \
    { "Tools", 0, "run-sandbox", "HOW", OPT_STR, offsetof(type, at.run_sandbox), "of the builtin tool run: ro, rw (--root may be written) or none (default: ro)" }, \
    { "Tools", 0, "interpreter-python", "FILE", OPT_STR, offsetof(type, at.python), "interpreter of the tool python (default: /usr/bin/python3)" }, \
    { "Tools", 0, "interpreter-data", "DIR", OPT_STR, offsetof(type, at.data), "a folder that the tool python reads at /data (default: none)" }, \
    { "Tools", 0, "out-dir", "DIR", OPT_STR, offsetof(type, at.out_dir), "where files of the tool python go (default: a new one below /tmp)" }, \
    { "Tools", 0, "no-config", NULL, OPT_FLAG, offsetof(type, at.no_config), \
      "read no tools but those of --tools (default: also those of $XDG_CONFIG_HOME/tenon/tools.json, and of ./.tenon/tools.json if it is trusted)" }, \
    { "Tools", 0, "qualify", NULL, OPT_FLAG, offsetof(type, at.qualify), "name tools of MCP servers server__tool (default: where names meet)" }

#define TALK_OPTS(type, at) \
    MODEL_OPTS(type), SPEAK_OPTS(type), \
    { "Endpoint", 0, "url", "URL", OPT_STR, offsetof(type, at.url), "ask an OpenAI-compatible server instead of -m, e.g. http://127.0.0.1:8080/v1 (default: -m)" }, \
    { "Endpoint", 0, "model-name", "NAME", OPT_STR, offsetof(type, at.model_name), "model to ask it for (default: default)" }, \
    { "Endpoint", 0, "api-key-env", "NAME", OPT_STR, offsetof(type, at.key_env), "environment variable that holds its key (default: no key is sent)" }, \
    TOOL_OPTS(type, at.t), \
    { "Tools", 0, "approve", "WHAT", OPT_STR, offsetof(type, at.approve), "allowed without asking: none, read-only or all (default: what each tool says)" }, \
    { "Tools", 0, "strict", NULL, OPT_FLAG, offsetof(type, at.strict), "deny what is not allowed instead of asking (default: off)" }, \
    { "Tools", 0, "tools-max", "N", OPT_INT, offsetof(type, at.tools_max), "of more tools the eight that fit the request best, 0: never (default: the model's, 16 for the embedded one)" }, \
    { "Tools", 0, "min-confidence", "X", OPT_F64, offsetof(type, at.min_confidence), "ask about calls that the model is less sure of, whatever allows them; 0: none (default: 0)" }, \
    { "Bounds", 0, "max-turns", "N", OPT_INT, offsetof(type, at.max_turns), "most turns with calls (default: 16)" }, \
    { "Bounds", 0, "max-calls", "N", OPT_INT, offsetof(type, at.max_calls), "most calls (default: 64)" }, \
    { "Bounds", 0, "max-total-tokens", "N", OPT_INT, offsetof(type, at.max_total_tokens), "most tokens of a question, read and written, over all its turns (default: any number)" }, \
    { "Bounds", 0, "max-cost", "X", OPT_F64, offsetof(type, at.max_cost), "most that these tokens may cost by --price (default: any amount)" }, \
    { "Bounds", 0, "price", "P,C[,K]", OPT_STR, offsetof(type, at.price), "of a million tokens read, written and read from the cache (default: what the tool files say)" }, \
    { "Bounds", 0, "parallel", "N", OPT_INT, offsetof(type, at.parallel), "most calls that run beside each other (default: 4)" }, \
    { "Bounds", 0, "result-tokens", "N", OPT_INT, offsetof(type, at.result_tokens), "most tokens of a result (default: 2048)" }, \
    { "Bounds", 0, "deadline", "S", OPT_F64, offsetof(type, at.deadline), "seconds for a question with all its calls (default: 600 for run, none for chat)" }, \
    { "Generation", 0, "system", "TEXT", OPT_STR, offsetof(type, at.system), "system message (default: none)" }, \
    { "Generation", 0, "max-tokens", "N", OPT_INT, offsetof(type, at.max_tokens), "most tokens of each answer (default: what the context leaves)" }, \
    { "Generation", 0, "temperature", "X", OPT_F64, offsetof(type, at.temperature), "0 takes the best token (default: 0)" }, \
    { "Generation", 0, "top-k", "N", OPT_INT, offsetof(type, at.top_k), "sample among the N best tokens, 0: all (default: 0)" }, \
    { "Generation", 0, "top-p", "X", OPT_F64, offsetof(type, at.top_p), "sample among the best tokens that hold this share (default: 1)" }, \
    { "Generation", 0, "min-p", "X", OPT_F64, offsetof(type, at.min_p), "drop tokens below this share of the best (default: 0)" }, \
    { "Generation", 0, "seed", "S", OPT_INT, offsetof(type, at.seed), "same seed, same answer (default: 0)" }, \
    { "Generation", 0, "spelling", "HOW", OPT_STR, offsetof(type, at.spelling), "lock, fixed, compact or flexible (default: the dialect's)" }, \
    { "Generation", 0, "key-order", "HOW", OPT_STR, offsetof(type, at.key_order), "any or declared (default: the dialect's)" }, \
    { "Record", 0, "transcript", "FILE", OPT_STR, offsetof(type, at.transcript), "where it is kept: SQLite, or JSON Lines for FILE.jsonl (default: $XDG_STATE_HOME/tenon/transcripts.db)" }, \
    { "Record", 0, "no-history", NULL, OPT_FLAG, offsetof(type, at.no_history), "keep nothing (default: off)" }

struct talker {
    struct speaker speaker;
    struct remote *remote;                                            /* instead of the speaker */
    struct agent_model model;
    struct toolset *tools;
    struct transcript *transcript;
    struct agent *loop;
    struct cancel cancel;
    char *transcript_path;
    struct str attached;                                              /* what the next question says of files in /box */
    double load_ms;                                                   /* of the model */
    struct json *past_meta;                                           /* how a conversation was held that goes on here; NULL: not known */
    bool has_cancel;
};
struct term;
/* asks: where the user is asked (by MCP servers, and whether a folder's tools are trusted), NULL: nowhere. retrieves: the model is
 * shown a choice of many tools. backup_dir: for what tools replace, NULL: nothing is kept. signs_in: where the user is sent to pages of
 * servers if not by asks. */
struct tools_use { struct term *asks; bool retrieves; const char *backup_dir; struct term *signs_in; };
/* Tools of the options, and of the user's own files; warnings go to stderr. NULL with e. */
struct toolset *tools_open(const struct tool_opts *o, const struct tools_use *u, struct err *e);
/* tools: taken, NULL: those of the options. ui is copied; deadline_ms: 0: none. */
bool talker_open(struct talker *t, const struct talk_opts *o, struct toolset *tools, const struct agent_ui *ui, struct term *asks, int deadline_ms,
                 struct err *e);
/* Another model file (NULL: the embedded model) with the same options and no adapters, or another model of the endpoint; the
 * conversation goes on. False: nothing changed. */
bool talker_model(struct talker *t, const struct talk_opts *o, const char *name, struct err *e);
/* A recorded conversation (0: the newest) goes on here, and its rows there. False: nothing changed. */
bool talker_resume(struct talker *t, const struct talk_opts *o, long long session, struct err *e);
void talker_send(struct talker *t, const char *text, struct agent_report *r);  /* as agent_send(), with what was attached */
/* A file into /box of the tool python; the next question tells the model. ERR_USAGE: there is no such tool here. */
bool talker_attach(struct talker *t, const char *path, struct err *e);
void talker_close(struct talker *t);
void talker_catch(struct talker *t);                                  /* Ctrl-C is its cancel switch from now on */
int talker_interrupts(void);                                           /* how often Ctrl-C was pressed since then */
char *state_path(const char *name);                                   /* $XDG_STATE_HOME/tenon/NAME, the folder made; owned, NULL: none */

char *state_dir(void);                                                /* that folder itself, not made; owned, NULL: none */
char *backup_dir(const char *transcript);                             /* beside that file (NULL: the usual one); owned, NULL: none */

/* ---- consent: trust.c ---- */

/* ./.tenon/tools.json, if its content was agreed to before, or is now; NULL: there is none, or it is not (said on stderr). */
char *trust_local(struct term *asks);
/* Agrees to the tools file of a folder (DIR/.tenon/tools.json), as it is now. */
bool trust_folder(const char *dir, struct err *e);

/* ---- showing: term.c ---- */

struct term {
    FILE *text, *side;                                                /* answers; calls, notes, numbers */
    bool colour, side_colour, style;                                  /* style: Markdown is styled */
    bool in_text, in_call, in_reasoning, line_start;
    bool quiet, wraps;
    struct wrap wrap;
    struct markdown md;
    /* The line of what goes on, painted by a thread of its own; all of this under lock. */
    pthread_mutex_t lock;
    pthread_cond_t turn;
    pthread_t painter;
    char status[160];                                                 /* "": there is none */
    uint64_t since;                                                   /* clock_ns() of what goes on */
    bool painting, painted, ends;                                     /* the thread runs; a line is on the screen; the thread should end */
};
void term_open(struct term *t, FILE *text, FILE *side, bool plain);   /* t stays where it is */
void term_close(struct term *t);
void term_event(struct term *t, const struct agent_event *ev);
void term_answer(struct term *t, const char *p, size_t n);            /* a whole answer */
void term_end(struct term *t);                                        /* closes a line that is open, and all colours */
void term_side(struct term *t, const char *fmt, ...) PRINTF_LIKE(2, 3); /* a dim line beside the answer */
void term_stats(struct term *t, const struct agent_report *r, int n_ctx);
/* Asks on the terminal whether a call may run; a agent_ui's ask with a struct term as context. */
bool term_read_line(struct str *line);                                /* of stdin, without its end; false: there is none, or Ctrl-C */
enum elicit term_elicit(void *term, const struct elicitation *q, struct json **content);  /* elicit.c */
bool term_sign_in(void *term, const char *server, const char *url);   /* elicit.c: shows the page, and opens $BROWSER */
enum answer term_ask(struct term *t, const struct question *q, struct str *reason, struct json **args);

#endif
