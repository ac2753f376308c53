/* gen.h -- the door of gen/: a request becomes events.
 *
 * request.c reads and checks the JSON of the chat endpoint; engine.c owns a model with its tokenizer,
 * dialect and vocabulary; seq.c is one request: sample under the mask, feed forced runs, parse; sched.c
 * runs many of them on one engine; message.c folds events into an OpenAI message or into chunk deltas. */
#ifndef TENON_GEN_H
#define TENON_GEN_H

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "model/model.h"
#include "text/text.h"

/* ---- request --------------------------------------------------------------------------------- */

/* temperature 0: greedy. Penalties look at generated text outside calls and are off at 1, 0, 0. */
struct sampling { float temperature, top_p, min_p, repeat_penalty, presence, frequency; int top_k; uint64_t seed; };
/* Help for tiny models at temperature 0: choices among what is allowed (whole.c, lexical.c). */
enum steer { STEER_TURN = 1,                                          /* call or text: by mass, not by the best token */
             STEER_NAME = 2,                                          /* names of tools compared as wholes, with a prior of shared words */
             STEER_MEMBER = 4,                                        /* the same for members of enums, with words of the member */
             STEER_VALUE = 8,                                         /* numbers and spans of the request, compared as wholes for each argument */
             STEER_MORE = 16,                                         /* another call or the end of the list: by mass, and what is left of the request */
             STEER_KEY = 32,                                          /* optional parameters and further members of lists: whether the request speaks of them */
             STEER_ALL = 63 };
/* What text must be (response_format): anything, any JSON object, a value of a schema, or a text of a grammar. */
enum format_kind { FORMAT_TEXT, FORMAT_OBJECT, FORMAT_SCHEMA, FORMAT_REGEX, FORMAT_GBNF, FORMAT_ENVELOPE };
struct format {
    enum format_kind kind;
    const struct json *schema;                                        /* FORMAT_SCHEMA */
    const char *text;                                                 /* pattern or grammar */
    bool strict;                                                      /* keywords that cannot be enforced are refused, not relaxed */
};
struct request {
    struct json *body;                                                /* owns everything lent below */
    const struct json *messages, *tools;                              /* arrays; tools wrapped, NULL if none */
    struct format format;
    enum tool_choice choice;
    const char *choice_name;                                          /* CHOICE_NAMED */
    uint8_t *allowed;                                                 /* [tools] allowed_tools; NULL: all; ours */
    bool parallel;
    bool strict;                                                      /* every tool is strict: nothing is relaxed */
    bool random_ids;                                                  /* call ids of 24 random characters, else call_N */
    int max_tokens;                                                   /* 0: what the context leaves */
    bool only_prompt;                                                 /* max_tokens was 0: the prompt is read, nothing is generated */
    const struct json *stop;                                          /* array of strings that end the text, or NULL */
    struct sampling sampling;
    struct { int32_t id; float add; } *bias; int n_bias;              /* logit_bias; ours */
    int min_tokens;                                                   /* the end of the turn is put off till then, where the language lets it */
    int spelling;                                                     /* enum spelling, -1: the dialect's */
    int declared_order;                                               /* 0, 1, -1: the dialect's */
    int steer;                                                        /* enum steer, -1: the engine decides */
    bool unconstrained;                                               /* for measuring: no grammar, no promise; a broken call is incomplete.
                                                                       * No member of the JSON sets this */
    bool no_draft;                                                    /* for measuring: nothing is computed ahead. No member sets this */
    bool want_tokens;                                                 /* token events too (logprobs) */
    bool want_progress;                                               /* EV_PROGRESS too; no member of the JSON sets this here */
    int top;                                                          /* token events name so many of the most probable tokens (top_logprobs);
                                                                       * -1: not even the log-probability of their own */
    bool want_share;                                                  /* tokens carry their share of what was allowed, calls a confidence */
};
/* Takes body. Errors name the member: "tools[1].function.name: missing". Unknown members of the
 * OpenAI API that change the answer are refused, others ignored as the API does. */
bool request_read(struct request *r, struct json *body, struct err *e);
/* The same for /v1/completions: limits, stop, sampling, response_format, logprobs as a number; the prompt is the caller's. */
bool request_read_raw(struct request *r, struct json *body, struct err *e);
void request_done(struct request *r);
/* Of more than `most` tools the best stay, by the words they share with the last user turn, and those that the conversation
 * has called or the choice names: prompt and grammar know no other. What the member tool_retrieval {"top_k": N} asks for. */
void request_retrieve(struct request *r, int most);
#define TOOLS_USUAL 24                                                /* a model that says nothing of it may be shown so many, */
#define TOOLS_KEPT 8                                                  /* of more so many that fit the request best */
/* What the tools have in common with the last user turn, for each of them; 0: nothing. */
void tools_scores(const struct json *messages, const struct json *tools, double *score);
/* The member tool_choice as the API writes it, from what a command line says: auto, none, required
 * or the name of a tool. Owned. */
struct json *tool_choice_json(const char *word);
/* Reads any of the three shapes of --tools into an OpenAI tools array (owned by the caller): an array,
 * an object with a `tools` array, an object whose `commands` and `http` members define tools. */
struct json *tools_read(const char *path, struct err *e);
struct json *tools_normalise(const struct json *v, struct err *e);
/* The name that calls it: a function's own, `python` of a code interpreter; lent. */
const char *tool_name(const struct json *tool);
/* The schema that the arguments of a tool must satisfy: always an object (owned by the caller); of a code
 * interpreter {"code": string}, for dialects that have no raw source. */
struct json *tool_schema(const struct json *tool);
/* The same schema, where objects take no properties but those declared (where that is safe to say). Owned. */
struct json *schema_closed(const struct json *schema);
/* messages as the dialects take them: parts joined, `developer` is system, arguments are strings. Owned. */
struct json *messages_normalise(const struct json *messages, bool check_results, struct err *e);

/* ---- events ---------------------------------------------------------------------------------- */

enum event_kind { EV_REASONING, EV_TEXT, EV_CALL_BEGIN, EV_CALL_ARGS, EV_CALL_END, EV_TOKEN, EV_FINISH, EV_ERROR,
                  EV_START,                                           /* of a scheduler: all that can be refused has been checked */
                  EV_PROGRESS,                                        /* and, where wanted: a piece of the prompt has been read */
                  EV_ITEM };                                          /* of a server's loop, never of an engine: bytes is an item as JSON */
enum token_origin { ORIGIN_SAMPLED, ORIGIN_FORCED, ORIGIN_DRAFTED, ORIGIN_PROMPT };
enum finish { FINISH_STOP, FINISH_TOOL_CALLS, FINISH_LENGTH, FINISH_CANCEL };
/* Forced tokens need no logits; drafts are computed ahead and accepted if they are then chosen. */
struct usage {
    int prompt_tokens, cached_tokens, written_tokens;                 /* written: to the prefix cache */
    int completion_tokens, reasoning_tokens, forced_tokens, draft_tokens, accepted_tokens;
};
struct timing { double prefill_ms, decode_ms, mask_us, first_token_ms, total_ms, queue_ms; };
struct top { int32_t token; float logprob; };
#define TOP_MOST 20
struct event {
    enum event_kind kind;
    struct bytes bytes;                                               /* text, reasoning, args, error message; FINISH: the stop string met */
    int index; const char *id, *name;                                 /* calls */
    bool schema_ok;                                                   /* CALL_END: arguments validate */
    /* EV_TOKEN. logprob: of the model before penalties, temperature and mask; -9999: none that is finite; NAN: nothing
     * stands before it (first token of a prompt). top: the most probable tokens, best first. */
    int32_t token; float logprob; enum token_origin origin;
    const struct top *top; int n_top;
    float share;                                                      /* EV_TOKEN: of the probability of all that the language allowed there
                                                                       * (want_share); 1: nothing else was possible, or not asked for */
    uint64_t at_ns;                                                   /* EV_TOKEN: when it was committed, clock_ns() */
    float confidence;                                                 /* CALL_END: least share of a token of the call (want_share) */
    enum finish reason;                                               /* EV_FINISH */
    struct usage usage; struct timing timing;                         /* so far; EV_START: usage.prompt_tokens alone */
    int n_read;                                                       /* EV_PROGRESS: prompt tokens, those from the cache among them */
    enum err_code code;                                               /* EV_ERROR */
};
typedef bool event_fn(void *ctx, const struct event *ev);             /* false: cancel */

/* ---- engine ---------------------------------------------------------------------------------- */

struct engine_opts { const char *dialect; int n_ctx, n_thread; const struct ops *ops; enum dtype kv; }; /* zeros: defaults. ops NULL: plain C; kv: of its KV cache */
struct engine;                                                        /* one thread at a time */
struct engine *engine_open(const struct gguf *g, const struct engine_opts *o, struct err *e);
void engine_close(struct engine *en);
uint64_t engine_weights(const struct engine *en);                      /* tells one model file from another: shapes, and how each tensor begins */
/* So many tools a request may show: `tenon.tools_max` of the file, else 16 for our own tiny models and 24 for others. */
int  engine_tools_max(const struct engine *en);
/* Eight of the tools stay where there are more than `most` (below 0: than engine_tools_max(); 0: all stay). */
void engine_retrieve(const struct engine *en, struct request *r, int most);
const struct dialect *engine_dialect(const struct engine *en);
const struct tokenizer *engine_tokenizer(const struct engine *en);
const struct model *engine_model(const struct engine *en);
int engine_n_ctx(const struct engine *en);                            /* tokens of prompt and answer together */
struct bytes engine_template(const struct engine *en);                /* chat template of the model file, empty without one */
/* The adapters that the next requests go through, added up; what was computed with others is forgotten. use is lent until
 * the next call or engine_close(). */
void engine_adapt(struct engine *en, const struct lora_use *use, int n);
/* Runs one request to its end. False: refused before the first token (e) or failed on the way (an
 * EV_ERROR was sent too). */
bool engine_run(struct engine *en, const struct request *r, event_fn *fn, void *ctx, struct err *e);
/* The rendered prompt of a request, for `debug render`. */
bool engine_render(const struct engine *en, const struct request *r, struct prompt *out, struct err *e);
/* No model: walks the mask with uniformly random choices; vocabulary and dialect of g. */
bool random_call(const struct gguf *g, const struct dialect *d, const struct request *r, event_fn *fn, void *ctx, struct err *e);
struct vocab *vocab_of_tokenizer(const struct tokenizer *t, const struct dialect *d, struct err *e);

/* ---- remote.c: an OpenAI-compatible endpoint as an engine ---------------------------------------- */

struct remote_opts {                                                  /* zeros: defaults, but url is needed */
    const char *url;                                                  /* http://host:port/v1, with or without /chat/completions */
    const char *model, *key;                                          /* name sent as `model` ("default"); API key, NULL: none */
    bool stream;
    int tries, backoff_ms, idle_ms, total_ms;                         /* tries: 5, when it is busy or unreachable */
    size_t most_bytes;                                                /* of an answer */
    bool (*stop)(void *ctx); void *stop_ctx;                          /* asked once a second at least, silence or not; true: FINISH_CANCEL */
};
struct remote;                                                        /* one thread at a time */
/* ERR_UNSUPPORTED in a build without an HTTP client. */
struct remote *remote_open(const struct remote_opts *o, struct err *e);
void remote_speak_as(struct remote *m, const char *model);            /* the name sent as `model` from now on */
void remote_close(struct remote *m);                                  /* NULL is fine */
/* As engine_run(). Arguments of calls are handed on as they come, unconstrained: look at schema_ok of CALL_END; a call that
 * the limit cut is not ended. Errors name the endpoint: ERR_IO (not reached, broke off), ERR_FULL (429), ERR_ARG (refused). */
bool remote_run(struct remote *m, const struct request *r, event_fn *fn, void *ctx, struct err *e);

/* ---- scheduler: many requests on one engine ---------------------------------------------------- */

struct sched_opts {                                                   /* zeros: defaults */
    int n_seq;                                                        /* sequences that run together (8) */
    int n_queue;                                                      /* requests that may wait (256) */
    int kv_positions;                                                 /* room for all sequences and kept prefixes (2 contexts); a
                                                                       * request's context is the engine's, or this if it is smaller */
    int chunk;                                                        /* prompt tokens computed between two tokens of running streams
                                                                       * (0: chosen by time, so that these keep flowing) */
    size_t cache_bytes;                                               /* of kept prefixes that nobody uses (0: all that is free) */
    const char *cache_dir;                                            /* keeps them across restarts; NULL: no */
    size_t disk_bytes;                                                /* most bytes in it (0: 1 GiB) */
    bool no_cache, deterministic;                                     /* keep nothing; keep nothing that was generated */
};
struct sched;                                                         /* any thread, but for open and close */
/* Starts the engine thread. en is lent for its life; meanwhile nobody runs, adapts or closes it (its tokenizer, dialect,
 * model and engine_render() may be used by any thread). Adapters of engine_adapt() act on every request. */
struct sched *sched_open(struct engine *en, const struct sched_opts *o, struct err *e);
void sched_close(struct sched *s);                                    /* cancels what is there; every job hears its end. NULL is fine */

struct sched_job {
    const struct request *request;                                    /* lent until the last event, as everything here is */
    const int32_t *prompt; int n_prompt;                              /* /v1/completions: these tokens instead of messages; of the
                                                                       * request, limits, stop, sampling and format count */
    bool echo;                                                        /* with prompt: EV_TOKEN for its tokens too, if want_tokens */
    const char *adapter;                                              /* name; NULL: the model itself */
    int priority;                                                     /* larger is sooner; waiting makes up for it */
    /* Called on the engine thread and must not block. Order: EV_START, what the answer makes, EV_FINISH or EV_ERROR; a
     * refusal is one EV_ERROR without EV_START. The last event is always sent, and after it nothing of the job is
     * touched. False cancels: EV_FINISH with FINISH_CANCEL follows. */
    event_fn *fn; void *ctx;
};
/* False: e says why and no event comes: ERR_FULL (the queue), ERR_ARG (the adapter is not there), ERR_CANCEL (closing).
 * Everything else that can be wrong arrives as EV_ERROR. *id names the job; events may come before this returns. */
bool sched_submit(struct sched *s, const struct sched_job *job, uint64_t *id, struct err *e);
void sched_cancel(struct sched *s, uint64_t id);                      /* within one step; ids that are no more are ignored */
double sched_retry_after(struct sched *s);                            /* seconds until the queue has room, an estimate */
/* From now on sched_submit() is refused; waits until all jobs are through, at most so many seconds: those left then hear
 * EV_ERROR with ERR_CANCEL. Kept prefixes are written to cache_dir. False: some had to be cut. */
bool sched_drain(struct sched *s, double seconds);

/* LoRA adapters by name. Loading runs on the calling thread and disturbs nobody; the sentences are functionary.md's. An
 * adapter that is unloaded (or replaced) serves the jobs that have it to their end and goes then. */
bool sched_adapter_load(struct sched *s, const char *name, const char *path, float scale, bool replace, struct err *e);
bool sched_adapter_unload(struct sched *s, const char *name, struct err *e);
struct sched_adapter { char name[129], path[512]; float scale; int in_use; };
int  sched_adapters(struct sched *s, struct sched_adapter *out, int cap); /* writes at most cap, returns how many there are */

enum sched_state { SCHED_WAITING, SCHED_PREFILL, SCHED_DECODE };
struct sched_slot { uint64_t id; enum sched_state state; int n_prompt, n_cached, n_decoded; double age; char adapter[129]; };
int sched_slots(struct sched *s, struct sched_slot *out, int cap);    /* jobs there are; as above */

#define SCHED_BOUNDS 32
struct sched_hist { const double *bound; int n_bound; uint64_t count[SCHED_BOUNDS + 1]; double sum; }; /* last: above all bounds */
struct sched_stats {
    int running, waiting, pages, pages_free, pages_kept;              /* kept: by the prefix cache alone */
    uint64_t submitted, full, refused, failed, finished[4];           /* [enum finish] */
    uint64_t cancelled_waiting, cancelled_prefill, cancelled_decode, preempted;
    uint64_t prompt_tokens, cached_tokens, generated_tokens, forced_tokens, drafted_tokens, accepted_tokens;
    uint64_t steps, calls, calls_unfit;                               /* forward passes; calls that are whole, that fail their schema */
    uint64_t cache_queries, cache_hits, cache_evicted;                /* tokens looked for and found; pages that had to go */
    size_t cache_bytes, disk_bytes;
    uint64_t disk_reads, disk_writes, disk_errors, replayed;          /* entries of cache_dir; calls put back as they were generated */
    uint64_t grammars, grammars_kept; size_t grammar_bytes;           /* compiled; found compiled; what those kept hold */
    double heartbeat;                                                 /* seconds since the engine thread last came by */
    struct sched_hist ttft, gap, total, queue, prefill, decode;       /* seconds; gap: between tokens of a stream */
    struct sched_hist prompt_size, answer_size, step_size;            /* tokens of a request, of a forward pass */
};
void sched_read_stats(struct sched *s, struct sched_stats *out);      /* never waits for the engine */

/* ---- rehearsal: what a known turn costs ------------------------------------------------------- */

/* A vocabulary-only file will do. d NULL: found in the file. */
struct rehearsal;
struct rehearsal *rehearsal_open(const struct gguf *g, const struct dialect *d, struct err *e);
void rehearsal_close(struct rehearsal *h);
/* drafted: computed ahead, of which accepted were then chosen; passes: forward passes after the prompt's. */
struct rehearsed { int tokens, forced, drafted, accepted, passes; };
/* The turn `text` as a model would generate it whose best token always goes on with it. False: refused, or the language
 * of the request has no such text. */
bool rehearsal_run(struct rehearsal *h, const struct request *r, const char *text, size_t n, struct rehearsed *out, struct err *e);

/* ---- message --------------------------------------------------------------------------------- */

struct message { struct str text, reasoning; struct message_call *call; int n_call, cap_call; enum finish reason; struct usage usage; struct timing timing;
                 bool tell_confidence; };                             /* of calls, in message_json() */
struct message_call { char *id, *name; struct str args; bool schema_ok, incomplete; float confidence; };
void message_done(struct message *m);
bool message_event(void *message, const struct event *ev);            /* an event_fn: the fold */
struct json *message_json(const struct message *m);                   /* OpenAI assistant message, owned */
struct json *event_delta(const struct event *ev);                     /* chunk delta of one event, NULL if none; owned */
/* For people: `set_light(room="kitchen", brightness=10)` a line per call, or the text. */
void message_print(const struct message *m, struct str *out);

#endif
