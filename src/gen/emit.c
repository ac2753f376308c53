/* emit.c -- committed tokens become events: through the dialect's parser, whole code points only.
 *
 * The parser reads what the model wrote and says text, reasoning, call; this file gives calls their
 * ids, holds back bytes of unfinished code points, and checks every finished call against its
 * schema with the plain evaluator, independent of the automaton that let it through. Markers that the
 * vocabulary does not have as tokens are found in the text (struct wire). */
#include <sys/random.h>

#include "gen/int.h"

bool voice_is_special(const struct voice *v, int32_t id)
{
    char text[256];
    struct bytes b = tok_text(v->tok, id);
    if (tok_is_control(v->tok, id)) return true;
    if (b.len >= sizeof text) return false;
    memcpy(text, b.p, b.len);
    text[b.len] = 0;
    return tok_special(v->tok, text) == id;
}

void emit_event(struct emitter *em, const struct event *ev)
{
    if (!em->cancelled && !em->fn(em->ctx, ev)) em->cancelled = true;
}

/* ---- whole UTF-8 ----------------------------------------------------------------------------- */

/* Appends to out what is whole of hold + bytes, malformed bytes as U+FFFD; keeps an unfinished
 * tail. */
static void gate_pass(struct gate *g, const char *p, size_t n, bool last, struct str *out)
{
    struct str all = { 0 };
    str_put(&all, g->hold, (size_t)g->n);
    str_put(&all, p, n);
    size_t whole = last ? all.len : utf8_whole(all.p ? all.p : "", all.len);
    if (all.len - whole >= sizeof g->hold) whole = all.len;
    if (whole) str_put_utf8(out, all.p, whole);
    g->n = (int)(all.len - whole);
    if (g->n) memcpy(g->hold, all.p + whole, (size_t)g->n);
    str_done(&all);
}

static void send(struct emitter *em, enum event_kind kind, const char *p, size_t n)
{
    if (n) emit_event(em, &(struct event){ .kind = kind, .bytes = { p, n } });
}

/* Where the first stop string begins in held, or, if *whole comes back false, what may become one
 * (nothing more comes after the last piece). */
static size_t find_stop(struct emitter *em, bool last, bool *whole)
{
    const struct str *h = &em->held;
    for (size_t at = 0; at < h->len; at++)
        for (size_t i = 0; i < json_len(em->stop); i++) {
            size_t len;
            const char *s = json_str(json_at(em->stop, i), &len);
            if (memcmp(h->p + at, s, MIN(len, h->len - at))) continue;
            *whole = len <= h->len - at;
            if (*whole) em->met = (struct bytes){ s, len };
            if (*whole || !last) return at;
        }
    *whole = false;
    return h->len;
}

/* Text up to a stop string, which is removed; what may still become one is held back. */
static void send_until_stop(struct emitter *em, const char *p, size_t n, bool last)
{
    bool whole;
    if (em->stopped) return;
    str_put(&em->held, p, n);
    size_t at = find_stop(em, last, &whole);
    em->stopped = whole;
    send(em, EV_TEXT, em->held.p, at);
    if (whole) at = em->held.len;
    if (at) memmove(em->held.p, em->held.p + at, em->held.len - at);
    em->held.len -= at;
}

static void send_text(struct emitter *em, struct gate *g, enum event_kind kind, const char *p,
                      size_t n, bool last)
{
    str_clear(&em->out);
    gate_pass(g, p, n, last, &em->out);
    if (kind == EV_TEXT && em->stop) send_until_stop(em, em->out.p, em->out.len, last);
    else send(em, kind, em->out.p, em->out.len);
}

static void flush_text(struct emitter *em)
{
    send_text(em, &em->reasoning, EV_REASONING, "", 0, true);
    send_text(em, &em->text, EV_TEXT, "", 0, true);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void make_id(struct emitter *em)
{
    static const char digit[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t r[6];
    if (!em->random_ids || getrandom(r, sizeof r, 0) != (ssize_t)sizeof r) {
        snprintf(em->id, sizeof em->id, "call_%d", em->first_id + em->n_call);
        return;
    }
    int n = snprintf(em->id, sizeof em->id, "call_");
    for (int i = 0; i < 24; i++) {                                /* 4 digits of each word */
        em->id[n++] = digit[r[i / 4] % 62];
        r[i / 4] /= 62;
    }
    em->id[n] = 0;
}

static void begin_call(struct emitter *em, const struct parse_event *ev)
{
    char *name = mem_zero(ev->len + 1);
    memcpy(name, ev->bytes, ev->len);
    em->current = NULL;
    for (int i = 0; i < em->n_tool; i++)
        if (!strcmp(em->tool[i].name, name)) em->current = &em->tool[i];
    em->is_code = tools_have_code(em->tools) && !strcmp(name, "python");
    em->in_call = true;
    str_clear(&em->args);
    make_id(em);
    emit_event(em, &(struct event){
                       .kind = EV_CALL_BEGIN, .index = em->n_call, .id = em->id, .name = name});
    mem_free(name);
}

static bool args_fit(struct emitter *em)
{
    struct err why = { 0 };
    if (em->is_code) return true;
    if (!em->current) return false;
    struct json *v = json_parse(em->args.p ? em->args.p : "", em->args.len, &why);
    bool ok = v && schema_check(em->current->schema, v, &(struct grammar_opts){ 0 }, &why);
    if (!ok) log_line(LOG_WARN, "call_does_not_fit tool=%s why=\"%s\"", em->current->name, why.msg);
    json_free(v);
    return ok;
}

static void end_call(struct emitter *em)
{
    emit_event(
        em, &(struct event){.kind = EV_CALL_END, .index = em->n_call, .schema_ok = args_fit(em), .confidence = em->confidence});
    em->in_call = false;
    em->confidence = 1;
    em->n_call++;
}

static void on_parse(void *ctx, const struct parse_event *ev)
{
    struct emitter *em = ctx;
    bool is_text = ev->kind == PARSE_TEXT || ev->kind == PARSE_REASONING;
    if (is_text) em->confidence = 1;
    else flush_text(em);
    switch (ev->kind) {
    case PARSE_REASONING:
        em->thought = true;
        send_text(em, &em->reasoning, EV_REASONING, ev->bytes, ev->len, false);
        break;
    case PARSE_TEXT:      send_text(em, &em->text, EV_TEXT, ev->bytes, ev->len, false); break;
    case PARSE_CALL_BEGIN: begin_call(em, ev); break;
    case PARSE_CALL_ARGS:
        str_put(&em->args, ev->bytes, ev->len);
        emit_event(em, &(struct event){.kind = EV_CALL_ARGS,
                                       .index = em->n_call,
                                       .bytes = {ev->bytes, ev->len}});
        break;
    case PARSE_CALL_END: end_call(em); break;
    }
}

/* ---- the stream ------------------------------------------------------------------------------ */

/* Calls already in the conversation: ids go on from there. */
static int calls_before(const struct json *messages)
{
    int n = 0;
    for (size_t i = 0; i < json_len(messages); i++)
        n += (int)json_len(json_get(json_at(messages, i), "tool_calls"));
    return n;
}

void emit_open(struct emitter *em, const struct voice *v, const struct request *r,
               const struct turn *t, const struct call_tool *tool, int n_tool, event_fn *fn, void *ctx)
{
    *em = (struct emitter){.voice = *v,
                           .tool = tool,
                           .n_tool = n_tool,
                           .fn = fn,
                           .ctx = ctx,
                           .want_tokens = r->want_tokens,
                           .random_ids = r->random_ids,
                           .stop = r->stop};
    em->first_id = calls_before(r->messages) + 1;
    em->tools = t->tools;
    em->confidence = 1;
    wire_open(&em->wire, v->dialect, t, on_parse, em);
}

void emit_token(struct emitter *em, int32_t id, enum token_origin o, const struct odds *odds)
{
    struct event ev = { .kind = EV_TOKEN, .token = id, .origin = o, .share = 1 };
    if (odds) ev.logprob = odds->logprob, ev.share = odds->share, ev.top = odds->top, ev.n_top = odds->n_top;
    if (em->want_tokens) ev.at_ns = clock_ns(), emit_event(em, &ev);
    if (tok_is_eog(em->voice.tok, id)) return;
    em->thought = false;
    bool special = voice_is_special(&em->voice, id);
    if (!special) em->confidence = MIN(em->confidence, ev.share);     /* markers decide whether to call, not what */
    struct bytes b = special ? tok_text(em->voice.tok, id) : tok_bytes(em->voice.tok, id);
    wire_feed(&em->wire, b.p, b.len, special);
}

bool emit_close(struct emitter *em, bool cut, struct err *e)
{
    bool ok = wire_close(&em->wire, cut, e);
    flush_text(em);
    str_done(&em->args);
    str_done(&em->out);
    str_done(&em->held);
    return ok;
}
