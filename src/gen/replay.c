/* replay.c -- calls that come back in a conversation are read as the tokens they were generated in.
 *
 * A client sends an answer back as JSON; rendered and tokenised again it may be cut differently, or spaced
 * differently, from what the model wrote, and the conversation would no longer begin with what is in
 * the cache. So every turn with calls is remembered by their ids, with its tokens and with the text of the prompt
 * it followed (as length and hash). When a request brings the same calls (ids, names, arguments, text)
 * after the same text, their place in the rendered prompt, up to the token that ends the turn, is filled
 * with those tokens. Everything else is rendered as ever, and whatever does not fit is, too.
 *
 * Bounded: the turn not used for longest goes first. Any thread. */
#include "gen/sched_int.h"

#define BUCKETS (1 << 14)
#define CUTS_MOST 256        /* turns put back into one prompt */

struct kept {
    struct kept *chain;                                               /* same bucket */
    struct kept *older, *newer;
    int n_call, refs;
    struct { char *id, *name, *args; } *call;
    char *text;
    size_t text_len;
    struct replay_at at;
    int32_t *tok; size_t n_tok;
};
struct replay {
    pthread_mutex_t lock;
    struct kept *bucket[BUCKETS], *oldest, *newest;
    size_t n_id, most;
};

/* ---- turns ----------------------------------------------------------------------------------- */

static void turn_free(struct kept *t)
{
    for (int i = 0; i < t->n_call; i++) {
        mem_free(t->call[i].id);
        mem_free(t->call[i].name);
        mem_free(t->call[i].args);
    }
    mem_free(t->call);
    mem_free(t->text);
    mem_free(t->tok);
    mem_free(t);
}

static struct kept *turn_new(const struct message *m, const int32_t *tok, size_t n, struct replay_at at)
{
    struct kept *t = mem_zero(sizeof *t);
    t->refs = 1;
    t->at = at;
    t->n_call = m->n_call;
    t->call = mem_zero((size_t)m->n_call * sizeof *t->call);
    for (int i = 0; i < m->n_call; i++) {
        t->call[i].id = mem_str(m->call[i].id);
        t->call[i].name = mem_str(m->call[i].name);
        t->call[i].args = mem_str(m->call[i].args.p ? m->call[i].args.p : "");
    }
    t->text = mem_str(m->text.p ? m->text.p : "");
    t->text_len = m->text.len;
    t->tok = mem_alloc(n * sizeof *tok);
    memcpy(t->tok, tok, n * sizeof *tok);
    t->n_tok = n;
    return t;
}

static struct kept **place(struct replay *r, const char *id)
{
    struct kept **at = &r->bucket[hash64(id, strlen(id), 0) % BUCKETS];
    while (*at && strcmp((*at)->call[0].id, id)) at = &(*at)->chain;
    return at;
}

static void unlink_age(struct replay *r, struct kept *t)
{
    *(t->older ? &t->older->newer : &r->oldest) = t->newer;
    *(t->newer ? &t->newer->older : &r->newest) = t->older;
}

static void link_newest(struct replay *r, struct kept *t)
{
    t->newer = NULL;
    t->older = r->newest;
    *(r->newest ? &r->newest->newer : &r->oldest) = t;
    r->newest = t;
}

/* Lock held. */
static void give(struct kept *t) { if (--t->refs == 0) turn_free(t); }

static void forget(struct replay *r, struct kept *t)
{
    *place(r, t->call[0].id) = t->chain;
    unlink_age(r, t);
    r->n_id -= (size_t)t->n_call;
    give(t);
}

struct replay *replay_open(size_t most)
{
    struct replay *r = mem_zero(sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    r->most = most;
    return r;
}

void replay_close(struct replay *r)
{
    if (!r) return;
    while (r->oldest) forget(r, r->oldest);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

void replay_keep(struct replay *r, const struct message *m, const int32_t *tok, size_t n, struct replay_at at)
{
    if (!m->n_call || !n || m->reasoning.len || !at.len) return;
    struct kept *t = turn_new(m, tok, n, at);
    pthread_mutex_lock(&r->lock);
    if (*place(r, t->call[0].id)) forget(r, *place(r, t->call[0].id));
    t->chain = NULL;
    *place(r, t->call[0].id) = t;
    link_newest(r, t);
    r->n_id += (size_t)t->n_call;
    while (r->n_id > r->most && r->oldest != t) forget(r, r->oldest);
    pthread_mutex_unlock(&r->lock);
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

static bool same_turn(const struct kept *t, const struct json *msg, const struct json *calls)
{
    size_t len = 0;
    const char *text = json_str(json_get(msg, "content"), &len);
    if ((int)json_len(calls) != t->n_call || len != t->text_len || (len && memcmp(text, t->text, len))) return false;
    for (int i = 0; i < t->n_call; i++) {
        const struct json *c = json_at(calls, (size_t)i), *f = json_get(c, "function");
        const char *args = json_str(json_get(f, "arguments"), NULL);
        if (!json_str_is(json_get(c, "id"), t->call[i].id) || !json_str_is(json_get(f, "name"), t->call[i].name)) return false;
        if (!args || !same_args(t->call[i].args, args)) return false;
    }
    return true;
}

/* The remembered turn that an assistant message is, held; NULL: none. */
static struct kept *take_turn(struct replay *r, const struct json *msg)
{
    const struct json *calls = json_get(msg, "tool_calls");
    const char *id = json_str(json_get(json_at(calls, 0), "id"), NULL);
    if (!id) return NULL;
    pthread_mutex_lock(&r->lock);
    struct kept *t = *place(r, id);
    if (t) {
        t->refs++;
        unlink_age(r, t);
        link_newest(r, t);
    }
    pthread_mutex_unlock(&r->lock);
    if (!t || same_turn(t, msg, calls)) return t;
    pthread_mutex_lock(&r->lock);
    give(t);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

struct cut { size_t from, to; struct kept *turn; };                   /* bytes of the prompt that become its tokens */

static bool ends_turn(const struct dialect *d, const char *text, size_t len)
{
    for (int i = 0; d->stop && d->stop[i]; i++)
        if (strlen(d->stop[i]) == len && !memcmp(d->stop[i], text, len)) return true;
    return false;
}

/* The bytes of a turn: after the text it followed, up to the token that ends it. part: the tokens of p. */
static bool find_cut(const struct engine *en, const struct prompt *p, const struct prompt_part *part, size_t n, struct kept *t,
                     struct cut *out)
{
    if (t->at.len > p->text.len || hash64(p->text.p, t->at.len, 0) != t->at.hash) return false;
    for (size_t i = 0; i < n; i++) {
        const struct prompt_part *q = &part[i];
        if (q->off < t->at.len || q->id < 0 || !ends_turn(en->dialect, p->text.p + q->off, q->len)) continue;
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
        for (size_t k = 0; k < cut[i].turn->n_tok; k++) ids_put(out, cut[i].turn->tok[k]);
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
        struct kept *t = take_turn(r, json_at(q->messages, i));
        if (!t) continue;
        if (find_cut(en, p, part, n_part, t, &cut[n]) && (!n || cut[n].from >= cut[n - 1].to)) { n++; continue; }
        pthread_mutex_lock(&r->lock);
        give(t);
        pthread_mutex_unlock(&r->lock);
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
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < n; i++) give(cut[i].turn);
    pthread_mutex_unlock(&r->lock);
    prompt_done(&p);
    return ok;
}
