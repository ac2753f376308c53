/* asker.h -- who answers when a verb measures: the model of -m, the embedded one, or an endpoint. */
#ifndef TENON_ASKER_H
#define TENON_ASKER_H

#include "eval/eval.h"
#include "front.h"
#include "speaker.h"

/* Options of every verb that asks; the verb's struct has a member `struct ask_opts a` beside its model_opts m. */
struct ask_opts { const char *endpoint, *key_env, *model_name, *out; int64_t parallel, steer, timeout, tries, tools_max; bool stream, json, free; };
#define ASK_DEFAULTS { .parallel = 1, .steer = -1, .timeout = 600, .tries = 5, .tools_max = -1 }
#define ASK_OPTS(type) \
    { "Generation", 0, "steer", "BITS", OPT_INT, offsetof(type, a.steer), \
      "help for tiny models: 1 call or text by mass, 2 whole names, 4 whole members of enums, 8 whole values, 16 further calls, 32 optional parameters (default: 63 for the embedded model, else 0)" }, \
    { "Generation", 0, "tools-max", "N", OPT_INT, offsetof(type, a.tools_max), \
      "of more tools the eight that fit the request best, 0: never (default: the model's, 16 for the embedded one)" }, \
    { "Generation", 0, "free", NULL, OPT_FLAG, offsetof(type, a.free), \
      "without the grammar: what the model says by itself, for comparison (default: constrained)" }, \
    { "Endpoint", 0, "endpoint", "URL", OPT_STR, offsetof(type, a.endpoint), \
      "ask an OpenAI-compatible server instead, e.g. http://127.0.0.1:8080/v1 (default: -m)" }, \
    { "Endpoint", 0, "api-key-env", "NAME", OPT_STR, offsetof(type, a.key_env), \
      "environment variable that holds the endpoint's key (default: no key is sent)" }, \
    { "Endpoint", 0, "model-name", "NAME", OPT_STR, offsetof(type, a.model_name), "model to ask the endpoint for (default: default)" }, \
    { "Endpoint", 0, "parallel", "N", OPT_INT, offsetof(type, a.parallel), "requests at the same time (default: 1)" }, \
    { "Endpoint", 0, "stream", NULL, OPT_FLAG, offsetof(type, a.stream), "ask for streamed answers (default: whole ones)" }, \
    { "Endpoint", 0, "timeout", "S", OPT_INT, offsetof(type, a.timeout), "seconds for one answer (default: 600)" }, \
    { "Endpoint", 0, "tries", "N", OPT_INT, offsetof(type, a.tries), "how often a busy or absent endpoint is asked (default: 5)" }, \
    { "Output", 0, "out", "FILE", OPT_STR, offsetof(type, a.out), "keep every answer with its verdict, a JSON object a line" }, \
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(type, a.json), "the numbers as JSON (default: a table)" }

struct asker { struct speaker speaker; struct remote **remote; int n_remote; int64_t steer, tools_max; bool free, sure; };
/* Opens whoever answers and fills a (ask, ctx, parallel, out, progress). False: nothing stays open. */
bool asker_open(struct asker *k, const struct model_opts *m, const struct ask_opts *o, struct asking *a, struct err *e);
void asker_close(struct asker *k);
/* Prints a report: text, or json (taken) on one line. */
void asker_print(struct str *text, struct json *json);

#endif
