/* replay.c -- calls that come back in a conversation are read as the tokens they were generated in.
 *
 * A client sends an answer back as JSON; rendered and tokenised again it may be cut differently, or spaced
 * differently, from what the model wrote, and the conversation would no longer begin with what is in
 * the cache. So every turn with calls is remembered by their ids, with its tokens and with the text of the prompt
 * it followed (as length and hash). When a request brings the same calls (ids, names, arguments, text)
 * after the same text, their place in the rendered prompt, up to the token that ends the turn, is filled
 * with those tokens. Everything else is rendered as ever, and whatever does not fit is, too.
 *
 * The turns lie one behind the other in a ring of bytes that is there from the start, so that a server's memory does
 * not grow with the calls it has made; the oldest give way. One that is asked for again while it is old is written
 * anew. A position counts all bytes ever written: what lies before the tail is gone, and so a chain of turns with
 * the same bucket, the newest first, ends by itself. Any thread. */
#include "gen/sched_int.h"

#define BUCKETS (1u << 15)
#define CUTS_MOST 256        /* turns put back into one prompt */

/* In the ring: this, for every call its id, name and arguments, the text (each closed by NUL), the tokens. Padded to 8 bytes. */
struct head {
    uint64_t size, prev;                                              /* in bytes, this included; position + 1 of the next in the bucket, 0: none */
    struct replay_at at;
    uint32_t n_call, n_tok;                                           /* n_call 0: nothing but the rest of the ring */
};
struct replay {
    pthread_mutex_t lock;
    uint64_t bucket[BUCKETS];                                         /* position + 1 of the newest */
    uint64_t from, to;                                                /* positions [from, to) are there */
    size_t size;
    char *ring;
};

/* ---- turns ----------------------------------------------------------------------------------- */

static struct head *head_at(const struct replay *r, uint64_t pos) { return (struct head *)(void *)(r->ring + pos % r->size); }
static const char *strings_of(const struct head *t) { return (const char *)(t + 1); }
static const char *next_string(const char *s) { return s + strlen(s) + 1; }
static const int32_t *tokens_of(const struct head *t)
{
    return (const int32_t *)(const void *)((const char *)t + t->size - ((size_t)t->n_tok * sizeof(int32_t) + 7) / 8 * 8);
}

static void put_string(struct str *s, const char *text)
{
    str_puts(s, text ? text : "");
    str_putc(s, 0);
}

/* A turn as it lies in the ring. Owned. */
static struct head *turn_new(const struct message *m, const int32_t *tok, size_t n, struct replay_at at)
{
    struct str s = { 0 };
    for (int i = 0; i < m->n_call; i++) {
        put_string(&s, m->call[i].id);
        put_string(&s, m->call[i].name);
        put_string(&s, m->call[i].args.p);
    }
    put_string(&s, m->text.p);
    size_t strings = (s.len + 7) / 8 * 8, tokens = (n * sizeof *tok + 7) / 8 * 8;
    struct head *t = mem_zero(sizeof *t + strings + tokens);
    *t = (struct head){ .size = sizeof *t + strings + tokens, .at = at, .n_call = (uint32_t)m->n_call, .n_tok = (uint32_t)n };
    memcpy(t + 1, s.p, s.len);
    memcpy((char *)(t + 1) + strings, tok, n * sizeof *tok);
    str_done(&s);
    return t;
}

static uint64_t *bucket_of(struct replay *r, const char *id) { return &r->bucket[hash64(id, strlen(id), 0) % BUCKETS]; }

/* Lock held from here on. n bytes in one piece at the end of the ring; what is in the way goes. */
static struct head *take_room(struct replay *r, size_t n)
{
    size_t rest = r->size - r->to % r->size, skip = rest < n ? rest : 0;
    while (r->to + skip + n - r->from > r->size) r->from += head_at(r, r->from)->size;
    if (skip >= sizeof(struct head)) *head_at(r, r->to) = (struct head){ .size = skip };
    else if (skip) memcpy(head_at(r, r->to), &(uint64_t){ skip }, sizeof(uint64_t));
    r->to += skip + n;
    return head_at(r, r->to - n);
}

static void write_turn(struct replay *r, struct head *t)
{
    uint64_t *bucket = bucket_of(r, strings_of(t));
    t->prev = *bucket;
    memcpy(take_room(r, t->size), t, t->size);
    *bucket = r->to - t->size + 1;
}

/* The newest turn whose first call has this id; NULL: none. */
static struct head *find(struct replay *r, const char *id, uint64_t *pos)
{
    for (uint64_t at = *bucket_of(r, id); at > r->from; at = head_at(r, *pos)->prev) {
        *pos = at - 1;
        if (!strcmp(strings_of(head_at(r, *pos)), id)) return head_at(r, *pos);
    }
    return NULL;
}

/* ---- whole ----------------------------------------------------------------------------------- */

struct replay *replay_open(size_t bytes)
{
    struct replay *r = mem_alloc(sizeof *r);
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->size = bytes / 8 * 8;
    r->ring = mem_alloc(r->size);
    for (size_t i = 0; i < r->size; i += 1024) ((volatile char *)r->ring)[i] = 0; /* resident now, not little by little */
    return r;
}

void replay_close(struct replay *r)
{
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    mem_free(r->ring);
    mem_free(r);
}

void replay_keep(struct replay *r, const struct message *m, const int32_t *tok, size_t n, struct replay_at at)
{
    if (!m->n_call || !n || m->reasoning.len || !at.len) return;
    struct head *t = turn_new(m, tok, n, at);
    pthread_mutex_lock(&r->lock);
    if (t->size <= r->size / 4) write_turn(r, t);
    pthread_mutex_unlock(&r->lock);
    mem_free(t);
}

/* ---- is it the same? ------------------------------------------------------------------------- */

static bool same_args(const char *a, const char *b)
{
    if (!strcmp(a, b)) return true;
    struct json *x = json_parse(a, strlen(a), NULL), *y = json_parse(b, strlen(b), NULL);
    bool same = x && y && json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static bool same_turn(const struct head *t, const struct json *msg, const struct json *calls)
{
    size_t len = 0;
    const char *text = json_str(json_get(msg, "content"), &len), *s = strings_of(t);
    if (json_len(calls) != t->n_call) return false;
    for (uint32_t i = 0; i < t->n_call; i++, s = next_string(s)) {
        const struct json *c = json_at(calls, i), *f = json_get(c, "function");
        const char *args = json_str(json_get(f, "arguments"), NULL), *name = next_string(s);
        if (!json_str_is(json_get(c, "id"), s) || !json_str_is(json_get(f, "name"), name)) return false;
        if (!args || !same_args(s = next_string(name), args)) return false;
    }
    return len == strlen(s) && (!len || !memcmp(text, s, len));
}

/* The remembered turn that an assistant message is, owned; NULL: none. */
static struct head *take_turn(struct replay *r, const struct json *msg)
{
    const struct json *calls = json_get(msg, "tool_calls");
    const char *id = json_str(json_get(json_at(calls, 0), "id"), NULL);
    uint64_t pos = 0;
    if (!id) return NULL;
    pthread_mutex_lock(&r->lock);
    struct head *found = find(r, id, &pos), *t = found ? mem_dup(found, found->size) : NULL;
    if (t && pos - r->from < (r->to - r->from) / 2) write_turn(r, t);
    pthread_mutex_unlock(&r->lock);
    if (!t || same_turn(t, msg, calls)) return t;
    mem_free(t);
    return NULL;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

struct cut { size_t from, to; struct head *turn; };                   /* bytes of the prompt that become its tokens */

/* The bytes of a turn: after the text it followed, up to the token that ends it. part: the tokens of p. */
static bool find_cut(const struct engine *en, const struct prompt *p, const struct prompt_part *part, size_t n, struct head *t,
                     struct cut *out)
{
    if (t->at.len > p->text.len || hash64(p->text.p, t->at.len, 0) != t->at.hash) return false;
    for (size_t i = 0; i < n; i++) {
        const struct prompt_part *q = &part[i];
        struct bytes text = { p->text.p + q->off, q->len };
        if (q->off < t->at.len || q->id < 0 || !dialect_stops(en->dialect, text)) continue;
        *out = (struct cut){ t->at.len, q->off, t };
        return true;
    }
    return false;
}

/* Bytes [from, to) of p as a prompt of their own. */
static void part_of(const struct prompt *p, size_t from, size_t to, struct prompt *out)
{
    for (size_t i = 0; i < p->n_piece; i++) {
        const struct piece *q = &p->piece[i];
        size_t a = MAX(q->off, from), b = MIN(q->off + q->len, to);
        if (a >= b) continue;
        prompt_put(out, q->trusted, p->text.p + a, b - a);
    }
}

static bool encode_part(const struct engine *en, const struct prompt *p, size_t from, size_t to, struct ids *out, struct err *e)
{
    struct prompt part = { 0 };
    size_t at = out->n;
    part_of(p, from, to, &part);
    bool ok = prompt_tokens(&part, en->tok, out, e);
    if (ok && at && tok_adds_bos(en->tok) && out->n > at && out->id[at] == tok_bos(en->tok)) {
        memmove(out->id + at, out->id + at + 1, (out->n - at - 1) * sizeof *out->id);
        out->n--;
    }
    prompt_done(&part);
    return ok;
}

static bool encode_cut(const struct engine *en, const struct prompt *p, const struct cut *cut, int n, struct ids *out, struct err *e)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (!encode_part(en, p, at, cut[i].from, out, e)) return false;
        for (uint32_t k = 0; k < cut[i].turn->n_tok; k++) ids_put(out, tokens_of(cut[i].turn)[k]);
        at = cut[i].to;
    }
    return encode_part(en, p, at, p->text.len, out, e);
}

static int find_cuts(struct replay *r, const struct engine *en, const struct request *q, const struct prompt *p, struct cut *cut)
{
    int n = 0;
    struct prompt_part *part = NULL;
    size_t n_part = 0;
    struct err ignored = { 0 };
    if (!prompt_parts(p, en->tok, &part, &n_part, &ignored)) return 0;
    for (size_t i = 0; i < json_len(q->messages) && n < CUTS_MOST; i++) {
        struct head *t = take_turn(r, json_at(q->messages, i));
        if (t && find_cut(en, p, part, n_part, t, &cut[n]) && (!n || cut[n].from >= cut[n - 1].to)) n++;
        else mem_free(t);
    }
    mem_free(part);
    return n;
}

bool replay_prompt(struct replay *r, const struct engine *en, const struct request *q, struct ids *out, struct replay_at *at, uint64_t *n_put,
                   struct err *e)
{
    struct cut cut[CUTS_MOST];
    struct prompt p = { 0 };
    bool ok = engine_render(en, q, &p, e);
    int n = ok ? find_cuts(r, en, q, &p, cut) : 0;
    ok = ok && encode_cut(en, &p, cut, n, out, e);
    *n_put = (uint64_t)n;
    *at = (struct replay_at){ p.text.len, hash64(p.text.p, p.text.len, 0) };
    for (int i = 0; i < n; i++) mem_free(cut[i].turn);
    prompt_done(&p);
    return ok;
}
