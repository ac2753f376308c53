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
    const char *kv_type;                               /* of the KV cache: "f32", "f16", "bf16", "q8_0"; NULL: "f16" */
    bool no_mmap, mlock;                               /* read the file into memory; keep it from being paged out */
    const char *const *lora; int n_lora;               /* adapters (GGUF or PEFT folder), added up: "FILE" or "FILE=SCALE" */
};

enum tn_event_kind { TN_REASONING, TN_TEXT, TN_CALL_BEGIN, TN_CALL_ARGS, TN_CALL_END, TN_FINISH, TN_ERROR,
                     TN_TOOL_RESULT };                /* of tn_loop_send: what a tool gave; id, name, index; schema_ok: it is no error */
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

/* ---- the loop: tools that run --------------------------------------------------------------------------------
 *
 *     struct tn_loop *l = tn_loop_open(engine, NULL, &err);
 *     tn_tool_register(l, "{\"name\":\"get_price\",\"parameters\":{...}}", get_price, NULL, &err);
 *     char *answer = tn_loop_send(l, "What does the Tang cost?", NULL, NULL, &err);     // {"text":…,"calls":[…],"stop":"answer"}
 *
 * The model calls, the tools run, it reads what they gave, until it answers or a bound is reached. One loop is one
 * conversation, used by one thread at a time. Several, on threads of their own, may share an engine: they take turns at
 * generating, and their tools run beside that. docs/tools.md has the rules. */
struct tn_loop;
struct tn_call;
/* options: JSON, or NULL: {"system":"…","approve":"none|read-only|all","limits":{"max_turns":16,"max_calls":64,"max_total_tokens":…,
 * "parallel":4,"result_tokens":2048,"call_ms":60000,"total_ms":…},"request":{"temperature":0,…}}. engine is lent. NULL on error. */
TN_API struct tn_loop *tn_loop_open(struct tn_engine *engine, const char *options, struct tn_error *err);
TN_API void tn_loop_close(struct tn_loop *loop);       /* NULL is fine; no callback may be running or unanswered */
/* A function of this program as a tool. definition: {"name","description","parameters"}, perhaps with "read_only" (may run
 * beside others), "idempotent", "timeout_ms", "approve". fn runs on a thread of its own with arguments that satisfy the
 * schema; it answers with tn_call_finish, once, at once or later and from any thread. After the time-out the loop goes
 * on without it, and the answer is dropped. */
typedef void tn_tool_fn(void *user, const char *arguments, struct tn_call *call);
TN_API bool tn_tool_register(struct tn_loop *loop, const char *definition, tn_tool_fn *fn, void *user, struct tn_error *err);
TN_API void tn_call_finish(struct tn_call *call, const char *text, bool is_error);     /* call is gone afterwards */
TN_API bool tn_loop_tools(struct tn_loop *loop, const char *path, struct tn_error *err);      /* a tools file (docs/tools.md) */
TN_API bool tn_loop_builtin(struct tn_loop *loop, const char *names, struct tn_error *err);   /* "read_file,grep,python" */
/* May a call run that neither its tool nor "approve" allows? Called on the thread of tn_loop_send, in order, before anything
 * of the turn runs. question: {"tool","source","arguments","preview","confidence","changed"}, what is not known is left
 * out. TN_ALWAYS: this tool, TN_EXACT: these arguments, in this conversation. reason: for TN_NO, told to the model. Set it
 * before the first message; without it such calls are denied. */
enum { TN_NO, TN_ONCE, TN_ALWAYS, TN_EXACT, TN_QUIT, TN_REASON = 512 };
typedef int tn_ask_fn(void *user, const char *question, char reason[TN_REASON]);
TN_API void tn_loop_asks(struct tn_loop *loop, tn_ask_fn *fn, void *user);
/* One message of the user and all that follows. on_event (may be NULL) hears every generation and every result, false
 * stops. {"text","calls":[{"id","name","arguments","result","is_error","ran"}],"stop"}, released with tn_free; NULL on error. */
TN_API char *tn_loop_send(struct tn_loop *loop, const char *text, tn_event_fn *on_event, void *ctx, struct tn_error *err);
TN_API void  tn_loop_cancel(struct tn_loop *loop);     /* any thread, and signal handlers */
TN_API char *tn_loop_messages(const struct tn_loop *loop);             /* OpenAI messages so far, released with tn_free */

/* ---- grammars alone: for engines of your own ---------------------------------------------------------------
 *
 * What keeps Tenon's own answers valid, for a program that has a model of its own and samples itself:
 *
 *     vocabulary (once per tokenizer) + grammar (once per request or shared) -> matcher (one per sequence)
 *     each step: tn_matcher_mask_budget -> set the logits of all other tokens to -inf -> sample -> tn_matcher_commit
 *
 * Promises: every finished output is in the language; a mask is never empty before the output is finished; the
 * state depends on the bytes committed only, not on how they were cut into tokens. The vocabulary must be able to
 * write every byte, as byte-level and byte-fallback tokenizers are. examples/mask.c is a whole program. Vocabularies and grammars are read-only and may be shared by threads; they must outlive
 * the matchers made from them. A matcher belongs to one thread at a time. */

/* Everything is copied, except encode_ctx, which must outlive the vocabulary. */
struct tn_vocab_spec {
    int n_vocab;                                       /* ids 0 to n_vocab - 1; 1 to 2^24 */
    const char *const *bytes;                          /* [n_vocab] decoded bytes of each token, NULs allowed; NULL: never text */
    const size_t *len;                                 /* [n_vocab] their number; 0: never text */
    const char *const *special;                        /* [n_vocab] names of special tokens ("<|im_end|>"), NULL elsewhere; such a
                                                        * token is never text. NULL: no special tokens */
    const int32_t *end; int n_end;                     /* end-of-turn ids: allowed exactly where the output may end */
    /* How the tokenizer cuts plain text, used by tn_matcher_forced only: writes at most cap ids to out, returns how
     * many, -1 on failure. NULL: longest match first. May be called from any thread that uses the vocabulary. */
    int (*encode)(void *ctx, const char *text, size_t len, int32_t *out, int cap);
    void *encode_ctx;
};
struct tn_vocab;
TN_API struct tn_vocab *tn_vocab_open(const struct tn_vocab_spec *spec, struct tn_error *err);  /* NULL on error */
TN_API void tn_vocab_close(struct tn_vocab *vocab);    /* NULL is fine */

struct tn_grammar_options {                            /* zeroed: defaults */
    const char *spelling;                              /* of JSON: "lock" (compact or ", " and ": ", whichever comes first), "fixed"
                                                        * (", " and ": "), "compact", "flexible" (bounded blanks); NULL: "lock" */
    bool declared_order;                               /* keys in the order of the schema; false: in any order */
    bool closed;                                       /* objects with `properties` take no others, where that is safe to say */
    bool relax;                                        /* keywords that cannot be enforced are let go and listed; false: refused */
    const char *draft;                                 /* "draft4", "draft6", "draft7", "draft2019-09" or "draft2020-12", whatever
                                                        * $schema says; NULL: $schema, else 2020-12 */
};
struct tn_grammar;
/* All texts end with NUL, options may be NULL, and NULL is returned on error. The message names the place: the JSON
 * pointer of a keyword, the byte of a text. */

/* The output is one JSON value that satisfies the schema (drafts 4 to 2020-12). */
TN_API struct tn_grammar *tn_grammar_from_schema(const char *schema, const struct tn_grammar_options *options, struct tn_error *err);
/* The output is text, or calls of tools. tools: a JSON array of OpenAI tools, wrapped in {"type":"function"} or bare.
 * choice: "auto", "none", "required" or the name of a tool; NULL: "auto". envelope: how calls are written, in
 * Tenon's envelope language (docs/grammar.md), its `each` goes over the tools that the choice allows, and it
 * says itself whether text or several calls may come; NULL: a JSON array,
 * [{"name":"get_weather","arguments":{"city":"Oslo"}}], after text if the choice is "auto", of one call unless parallel. */
TN_API struct tn_grammar *tn_grammar_from_tools(const char *tools, const char *choice, bool parallel, const char *envelope,
                                                const struct tn_grammar_options *options, struct tn_error *err);
/* The output as a whole matches the pattern (ECMA-262 with the u flag, no back-references). */
TN_API struct tn_grammar *tn_grammar_from_regex(const char *pattern, struct tn_error *err);
/* The output is a text of a GBNF grammar, llama.cpp's language; docs/grammar.md lists the differences. */
TN_API struct tn_grammar *tn_grammar_from_gbnf(const char *text, struct tn_error *err);
TN_API void tn_grammar_free(struct tn_grammar *grammar);               /* NULL is fine */
/* The i-th keyword that was relaxed ("schema: /properties/a/pattern"), NULL past the last; lent. */
TN_API const char *tn_grammar_relaxed(const struct tn_grammar *grammar, size_t i);

#define TN_MASK_WORDS(n_vocab) (((size_t)(n_vocab) + 31) / 32)
struct tn_matcher;
/* vocab NULL: bytes only, for checking texts. NULL on error: the grammar names a special token that the vocabulary
 * lacks. */
TN_API struct tn_matcher *tn_matcher_new(const struct tn_grammar *grammar, const struct tn_vocab *vocab, struct tn_error *err);
TN_API void tn_matcher_free(struct tn_matcher *matcher);               /* NULL is fine */
TN_API struct tn_matcher *tn_matcher_fork(const struct tn_matcher *matcher);  /* same state, own life; for beams and drafts */
/* bits[TN_MASK_WORDS(n_vocab)], overwritten: bit t % 32 of word t / 32 says that token t may come next. All zero
 * only after an end-of-turn token. Needs a vocabulary, as all below that speak of tokens. */
TN_API void tn_matcher_mask(struct tn_matcher *matcher, uint32_t *bits);
/* The same, but only tokens after which the output can still be finished within `left` tokens, this one and the end
 * of turn included. cut (may be NULL): whether that left out any. False, and no bit: not even the shortest output
 * fits; ask tn_matcher_shortest before the first token, then it never happens. */
TN_API bool tn_matcher_mask_budget(struct tn_matcher *matcher, uint32_t *bits, int left, bool *cut);
TN_API bool tn_matcher_check(struct tn_matcher *matcher, int32_t token);      /* may it come next? Changes nothing */
TN_API bool tn_matcher_commit(struct tn_matcher *matcher, int32_t token);     /* false: it may not; nothing has changed */
TN_API bool tn_matcher_commit_bytes(struct tn_matcher *matcher, const char *bytes, size_t len); /* all or nothing; counts as one commit */
/* Tokens that must come next whatever the model thinks, at most cap, as the tokenizer would cut them; how many. They
 * are not committed yet. Feed them to the model as one batch instead of sampling them. */
TN_API int  tn_matcher_forced(struct tn_matcher *matcher, int32_t *token, int cap);
TN_API void tn_matcher_rollback(struct tn_matcher *matcher, int n);           /* undoes the last n commits */
TN_API bool tn_matcher_accepting(const struct tn_matcher *matcher);           /* the output may end here */
TN_API bool tn_matcher_finished(const struct tn_matcher *matcher);            /* it has ended, or nothing but its end may follow */
/* Tokens that surely suffice to finish the output from here, the end-of-turn token included. */
TN_API int  tn_matcher_shortest(struct tn_matcher *matcher);
/* Why the last commit was refused: "byte 12: ';' does not fit; expected ',', '}'". Lent until the next call. */
TN_API const char *tn_matcher_why(const struct tn_matcher *matcher);

TN_API const char *tn_version(void);                   /* "0.1.0" */

#ifdef __cplusplus
}
#endif
#endif
