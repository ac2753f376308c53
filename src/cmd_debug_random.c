/* cmd_debug_random.c -- `tenon debug random-call`: the grammar under the worst speaker there is.
 *
 * No model, uniformly random choices: whatever comes out must be valid, and a budget too small for
 * any valid message must be refused. Prints the finished OpenAI message. */
#include "front.h"
#include "gen/gen.h"

struct random_opts {
    const char *tools, *choice, *dialect, *vocab, *spelling, *key_order;
    bool no_parallel;
    int64_t seed, max_tokens;
};

static const struct random_opts defaults = { .choice = "auto", .max_tokens = 256 };

static const struct opt options[] = {
    { "Request", 0, "tools", "FILE", OPT_STR, offsetof(struct random_opts, tools),
     "tools that may be called: JSON, - is stdin (default: none)" },
    { "Request", 0, "tool-choice", "CHOICE", OPT_STR, offsetof(struct random_opts, choice),
     "auto, none, required or the name of a tool (default: auto)" },
    { "Request", 0, "no-parallel", NULL, OPT_FLAG, offsetof(struct random_opts, no_parallel),
     "at most one call (default: any number)" },
    { "Generation", 0, "seed", "S", OPT_INT, offsetof(struct random_opts, seed),
     "same seed, same walk (default: 0)" },
    { "Generation", 0, "max-tokens", "N", OPT_INT, offsetof(struct random_opts, max_tokens),
     "most tokens of the message (default: 256)" },
    { "Generation", 0, "spelling", "HOW", OPT_STR, offsetof(struct random_opts, spelling),
     "lock, fixed, compact or flexible (default: the dialect's)" },
    { "Generation", 0, "key-order", "HOW", OPT_STR, offsetof(struct random_opts, key_order),
     "any or declared (default: the dialect's)" },
    { "Model", 0, "dialect", "NAME", OPT_STR, offsetof(struct random_opts, dialect),
     "how calls are written (default: found in the vocabulary's file)" },
    { "Model", 0, "vocab", "FILE", OPT_STR, offsetof(struct random_opts, vocab),
     "GGUF file with a tokenizer (default: the embedded model)" },
};

static bool make_request(const struct random_opts *o, struct request *r, struct err *e)
{
    struct json *body =
        json_parse("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", 43, NULL);
    if (o->tools) {
        struct json *tools = tools_read(o->tools, e);
        if (!tools) return json_free(body), false;
        json_set(body, "tools", tools);
    }
    json_set(body, "tool_choice", tool_choice_json(o->choice));
    json_set(body, "max_tokens", json_new_int(o->max_tokens));
    json_set(body, "seed", json_new_int(o->seed));
    json_set(body, "parallel_tool_calls", json_new_bool(!o->no_parallel));
    if (o->spelling) json_set(body, "spelling", json_new_str(o->spelling));
    if (o->key_order) json_set(body, "key_order", json_new_str(o->key_order));
    if (!request_read(r, body, e)) return false;
    r->strict = true;
    return true;
}

static bool walk(const struct random_opts *o, const struct request *r, struct err *e)
{
    struct message m = { 0 };
    const struct dialect *d = o->dialect ? dialect_find(o->dialect) : NULL;
    if (o->dialect && !d) return err_set(e, ERR_ARG, "dialect '%.40s' is unknown", o->dialect);
    struct gguf *g = front_gguf(o->vocab, e);
    if (!g) return false;
    bool ok = random_call(g, d, r, message_event, &m, e);
    if (ok) {
        struct json *v = message_json(&m);
        struct str s = { 0 };
        json_write(&s, v, JSON_COMPACT);
        puts(s.p);
        str_done(&s);
        json_free(v);
    }
    message_done(&m);
    gguf_close(g);
    return ok;
}

static int run(const void *opts, int n_arg, char **arg)
{
    const struct random_opts *o = opts;
    struct err e = { 0 };
    struct request r;
    if (make_request(o, &r, &e)) {
        bool ok = walk(o, &r, &e);
        request_done(&r);
        if (ok) return 0;
    }
    return front_fail("debug random-call", &e);
}

const struct command cmd_debug_random_call = {
    .verb = "debug random-call",
    .args = "",
    .sentence = "Walk the grammar of a request with random choices and no model.",
    .example = "tenon debug random-call --tools examples/home.json --tool-choice required --seed 1 "
               "--max-tokens 64",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run,
};
