/* tenon.h -- the C API of Tenon: tool calls that fit their schemas, from models on this machine.
 *
 *     struct tn_error err;
 *     struct tn_engine *t = tn_open(NULL, NULL, &err);            // NULL: the embedded model
 *     if (t && tn_run(t, "{\"messages\":[...],\"tools\":[...]}", on_event, ctx, &err)) ...
 *     tn_close(t);
 *
 * A request is the JSON of an OpenAI chat completion (messages, tools, tool_choice,
 * parallel_tool_calls, response_format, max_tokens, temperature, seed, ...). The answer comes as
 * events, in order; a call that was begun and ended names a declared tool, and its arguments satisfy
 * the tool's schema unless the event says otherwise. Strings handed to a callback are lent for the
 * duration of the call. Several engines may live in one process; one engine answers one request at
 * a time, from one thread at a time. */
#ifndef TENON_H
#define TENON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TN_API __attribute__((visibility("default")))
#else
#define TN_API
#endif

/* What went wrong: one sentence, and what kind of error it is ("invalid_request", "invalid_schema",
 * "format", "unsupported", "limit", "io", "cancelled", "internal", ...). Empty strings: no error. */
struct tn_error { char kind[32]; char message[480]; };

struct tn_options {                                    /* zeroed: defaults */
    const char *dialect;                               /* how calls are written; NULL: found in the model file */
    int n_ctx;                                         /* tokens of context; 0: the model's, at most 32768 */
    int n_thread;                                      /* 0: one per core */
};

enum tn_event_kind { TN_REASONING, TN_TEXT, TN_CALL_BEGIN, TN_CALL_ARGS, TN_CALL_END, TN_FINISH, TN_ERROR };
enum tn_finish { TN_STOP, TN_TOOL_CALLS, TN_LENGTH, TN_CANCEL };
struct tn_event {
    enum tn_event_kind kind;
    const char *bytes; size_t len;                     /* text, reasoning, arguments (JSON), error; TN_FINISH: the whole
                                                        * OpenAI assistant message as JSON. Ends with NUL */
    int index; const char *id, *name;                  /* which call; id and name with TN_CALL_BEGIN */
    bool schema_ok;                                    /* TN_CALL_END: the arguments satisfy the schema */
    enum tn_finish reason;                             /* TN_FINISH */
    int prompt_tokens, cached_tokens, completion_tokens, forced_tokens;
    double prefill_ms, decode_ms, total_ms;
};
typedef bool tn_event_fn(void *ctx, const struct tn_event *event);   /* false: stop */

struct tn_engine;

/* Opens a model file (GGUF), or the embedded model for NULL. options may be NULL. NULL on error. */
TN_API struct tn_engine *tn_open(const char *path, const struct tn_options *options, struct tn_error *err);
TN_API void tn_close(struct tn_engine *engine);        /* NULL is fine */

/* Runs one request to its end. False: refused before the first event, or failed on the way. */
TN_API bool tn_run(struct tn_engine *engine, const char *request, tn_event_fn *on_event, void *ctx, struct tn_error *err);

/* The same, answered by one string: the OpenAI assistant message. Release it with tn_free. NULL on error. */
TN_API char *tn_message(struct tn_engine *engine, const char *request, struct tn_error *err);
TN_API void  tn_free(char *string);

TN_API const char *tn_version(void);                   /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
