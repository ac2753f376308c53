/* asker.c -- who answers when a verb measures: an engine of our own, or as many connections to an endpoint
 * as requests may be under way. */
#include "asker.h"

#include <stdlib.h>

#define PARALLEL_MOST 256
#define TIMEOUT_MOST 86400
#define TRIES_MOST 100

static bool ask_engine(void *ctx, int number, struct json *body, struct message *out, struct err *e)
{
    const struct asker *k = ctx;
    struct request r;
    if (k->steer >= 0) json_set(body, "steer", json_new_int(k->steer));
    if (!request_read(&r, body, e)) return false;
    r.unconstrained = k->free;
    r.want_share = out->tell_confidence = k->sure;
    engine_retrieve(k->speaker.engine, &r, (int)k->tools_max);
    bool ok = engine_run(k->speaker.engine, &r, message_event, out, e);
    request_done(&r);
    return ok;
}

static bool ask_remote(void *ctx, int number, struct json *body, struct message *out, struct err *e)
{
    const struct asker *k = ctx;
    struct request r;
    if (!request_read(&r, body, e)) return false;
    bool ok = remote_run(k->remote[number], &r, message_event, out, e);
    request_done(&r);
    return ok;
}

static bool open_remote(struct asker *k, const struct ask_opts *o, struct err *e)
{
    struct remote_opts r = { .url = o->endpoint,
                             .model = o->model_name,
                             .stream = o->stream,
                             .total_ms = (int)o->timeout * 1000,
                             .idle_ms = (int)o->timeout * 1000,
                             .tries = (int)o->tries };
    if (o->key_env && !(r.key = getenv(o->key_env)))
        return err_set(e, ERR_USAGE, "--api-key-env %.80s: there is no such environment variable",
                       o->key_env);
    k->remote = mem_zero((size_t)o->parallel * sizeof *k->remote);
    for (; k->n_remote < (int)o->parallel; k->n_remote++)
        if (!(k->remote[k->n_remote] = remote_open(&r, e))) return false;
    return true;
}

static bool check(const struct model_opts *m, const struct ask_opts *o, struct err *e)
{
    if (o->steer < -1 || o->steer > STEER_ALL)
        return err_set(e, ERR_USAGE, "--steer: 0 to %d is accepted", STEER_ALL);
    if (o->tools_max < -1 || o->tools_max > 4096)
        return err_set(e, ERR_USAGE, "--tools-max: 0 to 4096 is accepted");
    if (o->parallel < 1 || o->parallel > PARALLEL_MOST)
        return err_set(e, ERR_USAGE, "--parallel: 1 to %d is accepted", PARALLEL_MOST);
    if (o->timeout < 1 || o->timeout > TIMEOUT_MOST)
        return err_set(e, ERR_USAGE, "--timeout: 1 to %d seconds are accepted", TIMEOUT_MOST);
    if (o->tries < 1 || o->tries > TRIES_MOST)
        return err_set(e, ERR_USAGE, "--tries: 1 to %d is accepted", TRIES_MOST);
    if (o->endpoint && m->model) return err_set(e, ERR_USAGE, "--endpoint and -m: one of them");
    if (o->free && (o->endpoint || o->steer > 0))
        return err_set(
            e, ERR_USAGE,
            "--free goes with a model of -m and without --steer; an endpoint decides for itself what constrains it");
    if (o->endpoint && o->steer >= 0)
        return err_set(e, ERR_USAGE, "--steer helps a model of -m; an endpoint does not know it");
    if (!o->endpoint && (o->key_env || o->model_name || o->stream || o->parallel > 1))
        return err_set(e, ERR_USAGE,
                       "--api-key-env, --model-name, --stream and --parallel are for --endpoint");
    return true;
}

bool asker_open(struct asker *k, const struct model_opts *m, const struct ask_opts *o,
                struct asking *a, struct err *e)
{
    struct speaker_opts so = SPEAKER_OPTS(m);
    *k = (struct asker){ .steer = o->steer, .tools_max = o->tools_max, .free = o->free, .sure = o->out && !o->free };
    *a = (struct asking){ .ask = o->endpoint ? ask_remote : ask_engine, .ctx = k, .parallel = (int)o->parallel, .out = o->out,
                          .progress = true };
    if (!check(m, o, e)) return false;
    if (o->free) log_level = LOG_ERROR;                               /* calls that do not fit are what is being counted */
    if (o->endpoint ? open_remote(k, o, e) : speaker_open(&k->speaker, &so, e)) return true;
    asker_close(k);
    return false;
}

void asker_close(struct asker *k)
{
    for (int i = 0; i < k->n_remote; i++) remote_close(k->remote[i]);
    mem_free(k->remote);
    speaker_close(&k->speaker);
    *k = (struct asker){ 0 };
}

void asker_print(struct str *text, struct json *json)
{
    if (json) {
        str_clear(text);
        json_write(text, json, JSON_COMPACT);
        str_putc(text, '\n');
        json_free(json);
    }
    fwrite(text->p, 1, text->len, stdout);
    str_done(text);
}
