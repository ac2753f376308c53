/* cmd_call.c -- `tenon call`: one request, one assistant message. Runs nothing.
 *
 * The command line is strict: a tool whose schema cannot be enforced while the call is written is
 * refused, with the keyword and where it stands. */
#include <stdlib.h>

#include "front.h"
#include "speaker.h"

#define UNSET INT64_MIN

struct call_opts {
    struct model_opts m;
    const char *tools, *choice, *messages, *spelling, *key_order, *format;
    bool no_parallel, no_drafts, json, confidence;
    int64_t max_tokens, seed, top_k, tools_max;
    double temperature, top_p, min_p;
};

static const struct call_opts defaults = { .max_tokens = UNSET, .top_p = 1, .tools_max = -1 };

static const struct opt options[] = {
    MODEL_OPTS(struct call_opts),
    SPEAK_OPTS(struct call_opts),
    { "Request", 0, "tools", "FILE", OPT_STR, offsetof(struct call_opts, tools),
     "tools that may be called: JSON, - is stdin (default: none)" },
    { "Request", 0, "tool-choice", "CHOICE", OPT_STR, offsetof(struct call_opts, choice),
     "auto, none, required or the name of a tool (default: auto)" },
    { "Request", 0, "tools-max", "N", OPT_INT, offsetof(struct call_opts, tools_max),
      "of more tools the eight that fit the request best, 0: never (default: the model's, 16 for the embedded one)" },
    { "Request", 0, "no-parallel", NULL, OPT_FLAG, offsetof(struct call_opts, no_parallel),
     "at most one call (default: any number)" },
    { "Request", 0, "messages", "FILE", OPT_STR, offsetof(struct call_opts, messages),
     "a whole conversation instead of REQUEST, - is stdin" },
    { "Request", 0, "response-format", "FILE", OPT_STR, offsetof(struct call_opts, format),
     "what text must be: the response_format of the API as JSON (default: free text)" },
    { "Generation", 0, "max-tokens", "N", OPT_INT, offsetof(struct call_opts, max_tokens),
     "most tokens of the answer (default: what the context leaves)" },
    { "Generation", 0, "temperature", "X", OPT_F64, offsetof(struct call_opts, temperature),
     "0 takes the best token (default: 0)" },
    { "Generation", 0, "top-k", "N", OPT_INT, offsetof(struct call_opts, top_k),
     "sample among the N best tokens, 0: all (default: 0)" },
    { "Generation", 0, "top-p", "X", OPT_F64, offsetof(struct call_opts, top_p),
     "sample among the best tokens that hold this share (default: 1)" },
    { "Generation", 0, "min-p", "X", OPT_F64, offsetof(struct call_opts, min_p),
     "drop tokens below this share of the best (default: 0)" },
    { "Generation", 0, "seed", "S", OPT_INT, offsetof(struct call_opts, seed),
     "same seed, same answer (default: 0)" },
    { "Generation", 0, "spelling", "HOW", OPT_STR, offsetof(struct call_opts, spelling),
     "lock, fixed, compact or flexible (default: the dialect's)" },
    { "Generation", 0, "key-order", "HOW", OPT_STR, offsetof(struct call_opts, key_order),
     "any or declared (default: the dialect's)" },
    { "Generation", 0, "no-drafts", NULL, OPT_FLAG, offsetof(struct call_opts, no_drafts),
     "likely tokens are not computed ahead: the same answer, to compare times (default: they are)" },
    { "Output", 0, "confidence", NULL, OPT_FLAG, offsetof(struct call_opts, confidence),
     "with --json: how sure each call is, from 0 to 1 (default: off)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct call_opts, json),
     "the OpenAI message (default: a line per call, or the text)" },
};

/* messages: the whole conversation of FILE (an array, or an object that holds it), or one user
 * turn. */
static bool put_messages(const struct call_opts *o, const char *request, struct json **body,
                         struct err *e)
{
    if (o->messages) {
        struct json *v = json_read(o->messages, e);
        if (!v) return false;
        if (json_is(v, JSON_ARRAY)) json_set(*body, "messages", v);
        else if (json_is(v, JSON_OBJECT)) {
            json_free(*body);
            *body = v;
        } else {
            json_free(v);
            return err_set(e, ERR_ARG,
                           "%s: a conversation is an array of messages or an object that holds it",
                           o->messages);
        }
        return true;
    }
    struct str text = { 0 };
    if (!strcmp(request, "-")) {
        if (!file_read("-", &text, e)) return str_done(&text), false;
    } else str_puts(&text, request);
    if (!utf8_valid(text.p ? text.p : "", text.len)) {
        str_done(&text);
        return err_set(e, ERR_ARG, "the request is not UTF-8");
    }
    struct json *list = json_new_array(), *m = json_new_object();
    json_set(m, "role", json_new_str("user"));
    json_set(m, "content", json_new_strn(text.p ? text.p : "", text.len));
    json_push(list, m);
    json_set(*body, "messages", list);
    str_done(&text);
    return true;
}

static void put_numbers(const struct call_opts *o, struct json *body)
{
    if (o->max_tokens != UNSET) json_set(body, "max_tokens", json_new_int(o->max_tokens));
    if (o->temperature != defaults.temperature)
        json_set(body, "temperature", json_new_f64(o->temperature));
    if (o->top_p != defaults.top_p) json_set(body, "top_p", json_new_f64(o->top_p));
    if (o->min_p != defaults.min_p) json_set(body, "min_p", json_new_f64(o->min_p));
    if (o->top_k != defaults.top_k) json_set(body, "top_k", json_new_int(o->top_k));
    if (o->seed != defaults.seed) json_set(body, "seed", json_new_int(o->seed));
    if (o->spelling) json_set(body, "spelling", json_new_str(o->spelling));
    if (o->key_order) json_set(body, "key_order", json_new_str(o->key_order));
    if (o->no_parallel) json_set(body, "parallel_tool_calls", json_new_bool(false));
    if (o->choice) json_set(body, "tool_choice", tool_choice_json(o->choice));
}

/* What was typed becomes a request of the chat endpoint. */
static bool make_request(const struct call_opts *o, const char *text, struct request *r,
                         struct err *e)
{
    struct json *body = json_new_object();
    if (!put_messages(o, text, &body, e)) goto fail;
    if (o->tools) {
        struct json *tools = tools_read(o->tools, e);
        if (!tools) goto fail;
        json_set(body, "tools", tools);
    }
    if (o->format) {
        struct json *format = json_read(o->format, e);
        if (!format) goto fail;
        json_set(body, "response_format", format);
    }
    put_numbers(o, body);
    if (!request_read(r, body, e)) return false;
    r->strict = true;
    r->no_draft = o->no_drafts;
    return true;
fail:
    json_free(body);
    return false;
}

static void print_message(const struct call_opts *o, const struct message *m)
{
    struct str s = { 0 };
    if (o->json) {
        struct json *v = message_json(m);
        json_write(&s, v, JSON_COMPACT);
        str_putc(&s, '\n');
        json_free(v);
    } else message_print(m, &s);
    fwrite(s.p ? s.p : "", 1, s.len, stdout);
    str_done(&s);
    if (m->reason == FINISH_LENGTH)
        fputs("tenon call: the token limit changed the answer\n", stderr);
    log_line(
        LOG_INFO,
        "done prompt_tok=%d cached_tok=%d gen_tok=%d jump_tok=%d draft_tok=%d accepted_tok=%d "
        "prefill_ms=%.1f decode_ms=%.1f "
        "mask_us=%.0f total_ms=%.1f",
        m->usage.prompt_tokens, m->usage.cached_tokens, m->usage.completion_tokens,
        m->usage.forced_tokens, m->usage.draft_tokens, m->usage.accepted_tokens, m->timing.prefill_ms, m->timing.decode_ms, m->timing.mask_us,
        m->timing.total_ms);
}

static bool answer(const struct call_opts *o, struct request *r, struct err *e)
{
    struct speaker s;
    struct message m = { 0 };
    struct speaker_opts so = SPEAKER_OPTS(&o->m);
    if (!speaker_open(&s, &so, e)) return false;
    engine_retrieve(s.engine, r, (int)MAX(o->tools_max, (int64_t)-1));
    r->want_share = m.tell_confidence = o->confidence;
    bool ok = engine_run(s.engine, r, message_event, &m, e);
    if (ok) print_message(o, &m);
    message_done(&m);
    speaker_close(&s);
    return ok;
}

static int run(const void *opts, int n_arg, char **arg)
{
    const struct call_opts *o = opts;
    struct err e = { 0 };
    struct request r;
    if ((n_arg == 1) == (o->messages != NULL))
        err_set(&e, ERR_USAGE, "one of REQUEST and --messages FILE is needed (tenon help call)");
    else if (make_request(o, n_arg ? arg[0] : NULL, &r, &e)) {
        bool ok = answer(o, &r, &e);
        request_done(&r);
        if (ok) return 0;
    }
    return front_fail("call", &e);
}

const struct command cmd_call = {
    .verb = "call",
    .args = "REQUEST",
    .sentence = "Answer one request: tool calls that fit their schemas, or text.",
    .example = "tenon call --tools examples/home.json \"dim the kitchen to 10\"",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 1,
    .run = run,
};
