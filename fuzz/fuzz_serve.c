/* fuzz_serve.c -- arbitrary bodies at every endpoint that reads one and runs nothing: answered, never half.
 *
 * The first byte chooses the endpoint. Each translates its wire into the chat request in the same way as
 * the one beside it that does run (count_tokens and messages, input_tokens and responses, …). An answer is
 * whole JSON, and its status belongs to it. Needs models/tenon.gguf (or TENON_FUZZ_MODEL). */
#include <stdlib.h>

#include "serve/int.h"
#include "serve/metrics.h"
#include "serve/models.h"

static struct server server;
static struct serve_opts opts;
static struct gguf *file;                                             /* open to the end */

static void demand(bool ok)
{
    if (!ok) abort();
}

static void open_server(void)
{
    struct err e = { 0 };
    const char *path = getenv("TENON_FUZZ_MODEL");
    file = gguf_open(path ? path : "models/tenon.gguf", &e);
    struct engine *en = file ? engine_open(file, &(struct engine_opts){ .n_ctx = 512 }, &e) : NULL;
    opts = serve_defaults;
    server = (struct server){ .o = &opts, .engine = en };
    server.sched = en ? sched_open(en, &(struct sched_opts){ 0 }, &e) : NULL;
    server.metrics = metrics_open();
    if (!server.sched || !models_open(&server, &e)) {
        fprintf(stderr, "fuzz_serve: %s\n", e.msg);
        exit(1);
    }
}

static const struct { handler_fn *run; enum api wire; } handler[] = {
    { chat_count }, { template_run }, { responses_count }, { messages_count, WIRE_ANTHROPIC }, { tokenize_run }, { detokenize_run },
};

static void check_answer(const struct exchange *x)
{
    struct err e = { 0 };
    demand(x->phase == X_READY && x->status >= 200 && x->status < 500);
    struct json *v = json_parse(x->answer.p, x->answer.len, &e);
    demand(json_is(v, JSON_OBJECT) && (x->status == 200) == !json_get(v, "error"));
    json_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_level = LOG_ERROR;
    if (!server.sched) open_server();
    if (!size) return 0;
    struct exchange x = { .sv = &server, .wire = handler[data[0] % LEN(handler)].wire, .id = "req_x" };
    str_put(&x.body, data + 1, size - 1);
    handler[data[0] % LEN(handler)].run(&x);
    check_answer(&x);
    for (int i = 0; i < x.n_header; i++) {
        mem_free(x.header[i].name);
        mem_free(x.header[i].value);
    }
    str_done(&x.body);
    str_done(&x.answer);
    mem_free((char *)(uintptr_t)x.note.model);
    mem_free((char *)(uintptr_t)x.note.adapter);
    return 0;
}
