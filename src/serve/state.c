/* state.c -- what the server says of itself: health, properties, slots; and tokens of a text. */
#include "serve/metrics.h"
#include "serve/models.h"

#define BEAT_S 60.0
#define SLOTS_MOST 4096

/* ---- health --------------------------------------------------------------------------------------------- */

static void reply_ok(struct exchange *x)
{
    struct json *o = json_new_object();
    json_set(o, "status", json_new_str("ok"));
    reply_json(x, 200, o);
}

void health_run(struct exchange *x)
{
    if (x->sv->damaged)
        reply_error(x, 503, "model_damaged", NULL, "the model file changed while it was in use");
    else reply_ok(x);
}

void live_run(struct exchange *x)
{
    struct sched_stats st;
    sched_read_stats(x->sv->sched, &st);
    if (x->sv->damaged) health_run(x);
    else if (st.heartbeat > BEAT_S && (st.running || st.waiting))
        reply_error(x, 503, "engine_stuck", NULL, "the engine has not been heard of for %.0f s",
                    st.heartbeat);
    else reply_ok(x);
}

void ready_run(struct exchange *x)
{
    struct sched_stats st;
    sched_read_stats(x->sv->sched, &st);
    if (x->sv->damaged) health_run(x);
    else if (x->sv->draining) reply_error(x, 503, "draining", NULL, "the server is shutting down");
    else if (st.waiting * 4 >= x->sv->o->max_queue * 3)
        reply_error(x, 503, "queue_high", NULL, "%d requests wait", st.waiting);
    else reply_ok(x);
}

/* ---- properties ------------------------------------------------------------------------------------------- */

static struct json *sampling_defaults(void)
{
    struct json *o = json_new_object();
    json_set(o, "temperature", json_new_f64(0));
    json_set(o, "top_p", json_new_f64(1));
    json_set(o, "top_k", json_new_int(0));
    json_set(o, "min_p", json_new_f64(0));
    json_set(o, "repetition_penalty", json_new_f64(1));
    return o;
}

static struct json *words(const char *const *list)
{
    struct json *a = json_new_array();
    for (; *list; list++) json_push(a, json_new_str(*list));
    return a;
}

/* docs/grammar.md has the table this follows. */
static struct json *keyword_levels(void)
{
    static const char *const enforced[] = { "type",
                                            "enum",
                                            "const",
                                            "properties",
                                            "required",
                                            "additionalProperties",
                                            "patternProperties",
                                            "propertyNames",
                                            "minProperties",
                                            "maxProperties",
                                            "dependentRequired",
                                            "dependentSchemas",
                                            "dependencies",
                                            "items",
                                            "prefixItems",
                                            "additionalItems",
                                            "contains",
                                            "minContains",
                                            "maxContains",
                                            "minItems",
                                            "maxItems",
                                            "uniqueItems",
                                            "minLength",
                                            "maxLength",
                                            "pattern",
                                            "format",
                                            "minimum",
                                            "maximum",
                                            "exclusiveMinimum",
                                            "exclusiveMaximum",
                                            "multipleOf",
                                            "allOf",
                                            "anyOf",
                                            "oneOf",
                                            "not",
                                            "if",
                                            "then",
                                            "else",
                                            "$ref",
                                            "$dynamicRef",
                                            "$recursiveRef",
                                            "unevaluatedProperties",
                                            "unevaluatedItems",
                                            NULL };
    static const char *const checked[] = { "pattern with back-references", NULL };
    static const char *const refused[] = { "remote $ref", "a schema that nothing satisfies", NULL };
    struct json *o = json_new_object();
    json_set(o, "enforced", words(enforced));
    json_set(o, "checked", words(checked));
    json_set(o, "refused", words(refused));
    return o;
}

void props_run(struct exchange *x)
{
    const struct server *sv = x->sv;
    const char *path = sv->o->model_path, *slash = path ? strrchr(path, '/') : NULL;
    struct json *o = json_new_object(), *m = json_new_object();
    json_set(o, "default_generation_settings", sampling_defaults());
    json_set(o, "n_ctx", json_new_int(engine_n_ctx(sv->engine)));
    json_set(o, "total_slots", json_new_int(sv->o->n_parallel));
    json_set(o, "model_path", json_new_str(slash ? slash + 1 : path ? path : "tenon.gguf"));
    struct bytes text = engine_template(sv->engine);
    json_set(o, "chat_template", text.len ? json_new_strn(text.p, text.len) : json_new_null());
    json_set(o, "tool_call_format", json_new_str(engine_dialect(sv->engine)->name));
    json_set(o, "schema_keywords", keyword_levels());
    json_set(m, "vision", json_new_bool(false));
    json_set(m, "audio", json_new_bool(false));
    json_set(o, "modalities", m);
    json_set(o, "build", json_new_str("tenon " TENON_VERSION));
    json_set(o, "system_fingerprint", json_new_str(sv->fingerprint));
    reply_json(x, 200, o);
}

void slots_run(struct exchange *x)
{
    static const char *const state[] = { "waiting", "prefill", "decode" };
    struct sched_slot *s = mem_alloc(SLOTS_MOST * sizeof *s);
    int n = MIN(sched_slots(x->sv->sched, s, SLOTS_MOST), SLOTS_MOST), running = 0;
    struct json *list = json_new_array();
    for (int i = 0; i < n; i++) {
        struct json *o = json_new_object();
        running += s[i].state != SCHED_WAITING;
        json_set(o, "id", json_new_int((int64_t)s[i].id));
        json_set(o, "state", json_new_str(state[s[i].state]));
        json_set(o, "n_prompt", json_new_int(s[i].n_prompt));
        json_set(o, "n_cached", json_new_int(s[i].n_cached));
        json_set(o, "n_decoded", json_new_int(s[i].n_decoded));
        json_set(o, "adapter", *s[i].adapter ? json_new_str(s[i].adapter) : json_new_null());
        json_set(o, "age_s", json_new_f64(s[i].age));
        json_push(list, o);
    }
    mem_free(s);
    if (strstr(x->query, "fail_on_no_slot=1") && running >= x->sv->o->n_parallel) {
        json_free(list);
        reply_error(x, 503, "no_slot", NULL, "no slot is free");
    } else reply_json(x, 200, list);
}

void embeddings_run(struct exchange *x)
{
    reply_error(x, 501, "not_supported", NULL,
                "this model makes no embeddings; it answers at /v1/chat/completions");
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

struct json *token_piece(const struct tokenizer *t, int32_t id)
{
    struct json *o = json_new_object();
    struct bytes b = tok_bytes(t, id);
    if (!b.len) b = tok_text(t, id);
    json_set(o, "id", json_new_int(id));
    if (utf8_valid(b.p ? b.p : "", b.len))
        json_set(o, "piece", json_new_strn(b.p ? b.p : "", b.len));
    else {
        struct json *bytes = json_new_array();
        for (size_t i = 0; i < b.len; i++) json_push(bytes, json_new_int((unsigned char)b.p[i]));
        json_set(o, "piece", bytes);
    }
    return o;
}

static void reply_tokens(struct exchange *x, const struct ids *ids, bool pieces)
{
    const struct tokenizer *t = engine_tokenizer(x->sv->engine);
    struct json *o = json_new_object(), *list = json_new_array();
    for (size_t i = 0; i < ids->n; i++)
        json_push(list, pieces ? token_piece(t, ids->id[i]) : json_new_int(ids->id[i]));
    json_set(o, "tokens", list);
    json_set(o, "count", json_new_int((int64_t)ids->n));
    json_set(o, "max_model_len", json_new_int(engine_n_ctx(x->sv->engine)));
    reply_json(x, 200, o);
}

static bool encode_chat(struct exchange *x, struct json *body, struct ids *ids)
{
    struct request r;
    struct prompt p = { 0 };
    struct err e = { 0 };
    if (!chat_request(x, json_copy(body), &r)) return false;
    bool ok = engine_render(x->sv->engine, &r, &p, &e) &&
              prompt_tokens(&p, engine_tokenizer(x->sv->engine), ids, &e);
    if (!ok) reply_err(x, &e);
    prompt_done(&p);
    request_done(&r);
    return ok;
}

static bool encode_text(struct exchange *x, struct json *body, struct ids *ids)
{
    bool add = false, add_too = false, special = true;
    struct err e = { 0 };
    size_t len = 0;
    if (!take_bool(x, body, "add_special", &add) ||
        !take_bool(x, body, "add_special_tokens", &add_too) ||
        !take_bool(x, body, "parse_special", &special))
        return false;
    const struct json *v = there(body, "content") ? there(body, "content") : there(body, "prompt");
    const char *text = json_str(v, &len);
    unsigned flags = (add || add_too ? TOK_ADD : 0u) | (special ? TOK_SPECIAL : 0u);
    if (!text)
        reply_error(x, 400, v ? "invalid_type" : "missing_required_parameter", "content",
                    "content: a string is needed");
    else if (!tok_encode(engine_tokenizer(x->sv->engine), text, len, flags, ids, &e))
        reply_err(x, &e);
    else return true;
    return false;
}

void tokenize_run(struct exchange *x)
{
    struct json *body = api_body(x);
    struct ids ids = { 0 };
    bool pieces = false;
    if (!body) return;
    if (take_bool(x, body, "with_pieces", &pieces) &&
        (there(body, "messages") ? encode_chat(x, body, &ids) : encode_text(x, body, &ids)))
        reply_tokens(x, &ids, pieces);
    mem_free(ids.id);
    json_free(body);
}

static bool read_ids(struct exchange *x, const struct json *list, struct ids *ids)
{
    int n_vocab = tok_n_vocab(engine_tokenizer(x->sv->engine));
    if (!json_is(list, JSON_ARRAY)) {
        reply_error(x, 400, list ? "invalid_type" : "missing_required_parameter", "tokens",
                    "tokens: an array of token ids is needed");
        return false;
    }
    for (size_t i = 0; i < json_len(list); i++) {
        int64_t id;
        if (!json_i64(json_at(list, i), &id) || id < 0 || id >= n_vocab) {
            reply_error(x, 400, "invalid_value", "tokens",
                        "tokens[%zu]: ids from 0 to %d are accepted", i, n_vocab - 1);
            return false;
        }
        ids_put(ids, (int32_t)id);
    }
    return true;
}

void detokenize_run(struct exchange *x)
{
    struct json *body = api_body(x);
    struct ids ids = { 0 };
    struct str raw = { 0 }, text = { 0 };
    if (!body) return;
    if (read_ids(x, there(body, "tokens"), &ids)) {
        tok_decode(engine_tokenizer(x->sv->engine), ids.id, ids.n, &raw);
        str_put_utf8(&text, raw.p ? raw.p : "", raw.len);
        struct json *o = json_new_object();
        json_set(o, "content", json_new_strn(text.p ? text.p : "", text.len));
        json_set(o, "prompt", json_new_strn(text.p ? text.p : "", text.len));
        reply_json(x, 200, o);
    }
    str_done(&raw);
    str_done(&text);
    mem_free(ids.id);
    json_free(body);
}
