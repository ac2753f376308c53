/* spoken.c -- a conversation as the tokens of any model, with the assistant's own marked.
 *
 * The template is a black box, so the assistant's turns are found by rendering twice: what the
 * template prints before a turn, with the generation prompt, must be how the whole conversation
 * begins up to that turn; what follows, up to the first token that ends a turn, is the assistant's.
 * Text before and after such a border is encoded apart, as it is when the model speaks.
 *
 * True at all times: a row is a target exactly if the engine would have sampled or forced it. */
#include "train/gen_int.h"

/* Bytes [from, end) of the rendered whole that an assistant wrote; end is found while encoding. */
struct turn_at { size_t from; bool counts, calls; };

struct spoken {
    const struct speech *s;
    const struct json *messages, *tools;
    char *bos, *eos;
    struct prompt whole;
    struct turn_at *turn; int n_turn, cap;
    struct ids ids;
    uint8_t *cls; size_t cap_cls;
};

static char *token_text(const struct tokenizer *t, int32_t id)
{
    struct bytes b = id >= 0 ? tok_text(t, id) : (struct bytes){ "", 0 };
    char *s = mem_zero(b.len + 1);
    if (b.len) memcpy(s, b.p, b.len);
    return s;
}

/* The first n messages; ask: with the generation prompt. */
static bool render(const struct spoken *k, size_t n, bool ask, struct prompt *out, struct err *e)
{
    struct json *some = json_new_array();
    for (size_t i = 0; i < n; i++) json_push(some, json_copy(json_at(k->messages, i)));
    struct dialect_request r = { .messages = some,
                                 .tools = json_len(k->tools) ? k->tools : NULL,
                                 .add_generation_prompt = ask,
                                 .bos_token = k->bos,
                                 .eos_token = k->eos,
                                 .template = k->s->template };
    bool ok = dialect_render(k->s->dialect, &r, out, e);
    json_free(some);
    return ok;
}

static bool has_weight(const struct json *m)
{
    return !json_get(m, "weight") || json_f64(json_get(m, "weight")) > 0;
}

static bool find_turn(struct spoken *k, size_t i, struct err *e)
{
    const struct json *m = json_at(k->messages, i);
    struct prompt before = { 0 };
    bool ok = render(k, i, true, &before, e);
    if (ok && (before.text.len > k->whole.text.len ||
               (before.text.len && memcmp(before.text.p, k->whole.text.p, before.text.len))))
        ok = err_set(e, ERR_UNSUPPORTED,
                     "messages[%zu]: the model's template writes this turn of the assistant otherwise "
                     "than it asks for it; a line of its own for every such turn may help",
                     i);
    if (ok) {
        MEM_GROW(k->turn, k->n_turn, k->cap);
        k->turn[k->n_turn++] = (struct turn_at){ before.text.len, has_weight(m),
                                                 json_len(json_get(m, "tool_calls")) > 0 };
    }
    prompt_done(&before);
    return ok;
}

static bool find_turns(struct spoken *k, struct err *e)
{
    size_t n = json_len(k->messages);
    if (!render(k, n, false, &k->whole, e)) return false;
    for (size_t i = 0; i < n; i++)
        if (json_str_is(json_get(json_at(k->messages, i), "role"), "assistant") && !find_turn(k, i, e))
            return false;
    return true;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void put_class(struct spoken *k, size_t from, uint8_t c)
{
    while (k->cap_cls < k->ids.n) {
        k->cap_cls = k->cap_cls ? k->cap_cls * 2 : 512;
        k->cls = mem_resize(k->cls, k->cap_cls);
    }
    memset(k->cls + from, c, k->ids.n - from);
}

static bool put_text(struct spoken *k, size_t from, size_t to, bool begins, uint8_t c, struct err *e)
{
    size_t n = k->ids.n;
    if (from >= to) return true;
    if (!tok_encode(k->s->tok, k->whole.text.p + from, to - from, begins ? 0 : TOK_INSIDE, &k->ids, e))
        return false;
    put_class(k, n, c);
    if (c == TC_STRUCT && to - from > 2 && !memcmp(k->whole.text.p + from, "[{", 2)) {
        uint8_t *byte = mem_zero(to - from);
        classify_calls(k->whole.text.p + from, to - from, byte);
        classify_tokens(k->s->tok, &k->ids, n, byte, to - from, k->cls);
        mem_free(byte);
    }
    return true;
}

/* Where encoding stands: at most one turn is open. */
struct place { int next; bool inside; };

static uint8_t class_here(const struct spoken *k, const struct place *p)
{
    if (!p->inside || !k->turn[p->next - 1].counts) return TC_PROMPT;
    return k->turn[p->next - 1].calls ? TC_STRUCT : TC_ANSWER;
}

/* A text part, cut where a turn begins within it or right before it. */
static bool put_part(struct spoken *k, size_t from, size_t to, bool begins, struct place *p,
                     struct err *e)
{
    while (p->next < k->n_turn && k->turn[p->next].from <= to) {
        size_t at = MAX(k->turn[p->next].from, from);
        if (at == to) break; /* it begins with what follows this part */
        if (!put_text(k, from, at, begins, class_here(k, p), e)) return false;
        begins = begins && at == from;
        from = at;
        p->next++;
        p->inside = true;
    }
    return put_text(k, from, to, begins, class_here(k, p), e);
}

static void put_special(struct spoken *k, int32_t id, size_t at, struct place *p)
{
    size_t n = k->ids.n;
    if (p->next < k->n_turn && k->turn[p->next].from <= at) p->next++, p->inside = true;
    bool end = p->inside && tok_is_eog(k->s->tok, id);
    uint8_t c = class_here(k, p);
    ids_put(&k->ids, id);
    put_class(k, n, c == TC_PROMPT ? c : end ? TC_END : TC_STRUCT);
    if (end) p->inside = false;
}

static bool encode(struct spoken *k, struct err *e)
{
    struct prompt_part *part = NULL;
    size_t n = 0;
    struct place p = { 0 };
    const struct tokenizer *t = k->s->tok;
    if (!prompt_parts(&k->whole, t, &part, &n, e)) return false;
    bool ok = true;
    if (tok_adds_bos(t) && !(n && part[0].id == tok_bos(t))) {
        ids_put(&k->ids, tok_bos(t));
        put_class(k, 0, TC_PROMPT);
    }
    for (size_t i = 0; ok && i < n; i++) {
        size_t end = part[i].off + part[i].len;
        if (part[i].id >= 0) put_special(k, part[i].id, part[i].off, &p);
        else ok = put_part(k, part[i].off, end, !i || part[i - 1].id >= 0, &p, e);
    }
    mem_free(part);
    if (ok && p.inside)
        ok = err_set(e, ERR_UNSUPPORTED,
                     "the model's template does not end a turn of the assistant with a token that ends it");
    if (ok && p.next < k->n_turn)
        ok = err_set(e, ERR_UNSUPPORTED, "the model's template prints nothing for a turn of the assistant");
    return ok;
}

bool spoken_example(const struct speech *s, const struct json *conversation, int max_tokens,
                    struct arena *a, struct example *out, struct err *e)
{
    struct spoken k = { .s = s,
                        .messages = json_get(conversation, "messages"),
                        .tools = json_get(conversation, "tools"),
                        .bos = token_text(s->tok, tok_bos(s->tok)),
                        .eos = token_text(s->tok, tok_eos(s->tok)) };
    bool ok = find_turns(&k, e) && encode(&k, e);
    if (ok && k.ids.n > (size_t)max_tokens)
        ok = err_set(e, ERR_LIMIT, "the conversation has %zu tokens, the limit is %d", k.ids.n, max_tokens);
    if (ok) {
        *out = (struct example){ .n = (int)k.ids.n, .kind = KIND_SINGLE };
        out->token = arena_alloc(a, k.ids.n * sizeof *out->token);
        out->cls = arena_alloc(a, k.ids.n);
        memcpy(out->token, k.ids.id, k.ids.n * sizeof *out->token);
        memcpy(out->cls, k.cls, k.ids.n);
    }
    prompt_done(&k.whole);
    mem_free(k.bos);
    mem_free(k.eos);
    mem_free(k.turn);
    mem_free(k.ids.id);
    mem_free(k.cls);
    return ok;
}
