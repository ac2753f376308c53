/* match.c -- the matcher: sets of configurations, snapshots, and the envelope's side of stepping.
 *
 * A set holds only configurations that wait for a byte or a special token (or C_END); whatever costs
 * no input (splits, calls, returns, ends of numbers) is followed at once when a configuration is
 * emitted. One snapshot per commit: sets, frames and words are stacks, so rollback is truncation and
 * probing (masks, forced runs) is mark and reset.
 *
 * Deterministic: the set depends on the bytes alone. Bounded: at most MOST_CONF configurations (twice that when validating) and a
 * fixed amount of following per byte; what exceeds that is dropped, which narrows the language of an
 * absurd grammar but never lets a wrong byte in. value.c has the JSON side. */
#include "grammar/int.h"

enum { FUEL = 20000 };

/* ---- frames and sets ------------------------------------------------------------------------- */

/* Hash of a frame inside of what `around` stands for, without what it owes. */
static uint64_t frame_base(const struct matcher *m, const struct frame *f, uint64_t around)
{
    uint64_t flags = f->flags & ~FL_MORE;
    uint64_t h = mix64(around, (uint64_t)f->kind << 56 | flags << 48 | (uint64_t)f->sh << 32 | f->ref);
    h = mix64(h, (uint64_t)f->count << 16 | f->depth);
    if (f->flags & FL_HASH) h = mix64(mix64(h, f->value), f->key);
    if (f->kind == F_ARR) {
        const struct arr *a = frame_arr(m, f);
        for (uint32_t i = 0; i < a->n_cont; i++) h = mix64(h, m->word[f->seen + i]);
    }
    if (f->kind != F_OBJ) return h;
    const struct obj *o = frame_obj(m, f);
    h = mix64(h, declared_order(m) ? f->next : 0);
    for (uint32_t i = 0; i < o->n_word; i++) h = mix64(h, m->word[f->seen + i]);
    return f->n_dyn ? mix64(h, m->word[f->dyn + 2]) : h;
}

uint32_t words_take(struct matcher *m, uint32_t n)
{
    uint32_t at = m->n_word;
    for (; n > 0; n--) {
        MEM_GROW(m->word, m->n_word, m->cap_word);
        m->word[m->n_word++] = 0;
    }
    return at;
}

static uint64_t frame_hash(const struct frame *f, uint64_t base)
{
    return f->kind == F_OBJ ? mix64(base, (uint64_t)(f->flags & FL_MORE) << 32 | f->owed) : base;
}

uint32_t frame_push(struct matcher *m, struct frame f)
{
    f.base = frame_base(m, &f, f.parent == NONE ? 1 : m->frame[f.parent].hash);
    f.hash = frame_hash(&f, f.base);
    f.need[0] = f.need[1] = NONE;
    MEM_GROW(m->frame, m->n_frame, m->cap_frame);
    m->frame[m->n_frame] = f;
    return m->n_frame++;
}

static bool same_conf(const struct matcher *m, const struct conf *a, const struct conf *b)
{
    return a->ref == b->ref && a->kind == b->kind && a->style == b->style && a->n == b->n &&
           a->m == b->m && a->lex == b->lex && a->aux == b->aux && a->part == b->part &&
           a->blank == b->blank && a->surf == b->surf && a->sh == b->sh && a->cls == b->cls && a->dfa == b->dfa &&
           (a->frame == b->frame || m->frame[a->frame].hash == m->frame[b->frame].hash);
}

/* Of two configurations behind a member that differ only in what their objects owe, the one that owes less can do all
 * that the other can: it alone is kept. True: c is not needed. */
static bool owes_more(struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    uint32_t n = m->set0;
    for (uint32_t i = m->set0; i < m->n_conf; i++) {
        const struct conf *k = &m->conf[i];
        const struct frame *x = &m->frame[k->frame];
        bool alike = k->kind == C_NEXT && x->base == f->base && k->style == c->style && k->blank == c->blank;
        if (alike && !(x->owed & ~f->owed)) return true;              /* so far none that it replaces was met */
        if (!alike || f->owed & ~x->owed) m->conf[n++] = *k;
    }
    m->n_conf = n;
    return false;
}

static uint64_t conf_hash_in(const struct conf *c, uint64_t h)
{
    h = mix64(h, (uint64_t)c->ref << 32 | (uint64_t)c->kind << 24 | (uint64_t)c->style << 16 | (uint64_t)c->cls << 8 | c->surf);
    h = mix64(h, (uint64_t)c->n << 32 | c->m);
    h = mix64(h, (uint64_t)c->lex << 48 | (uint64_t)c->blank << 32 | c->part);
    return mix64(mix64(h, (uint64_t)c->sh << 32 | c->dfa), c->aux);
}

uint64_t conf_hash(const struct matcher *m, const struct conf *c, uint64_t h)
{
    return conf_hash_in(c, mix64(h, m->frame[c->frame].hash));
}

bool conf_twin_hash(const struct matcher *m, const struct conf *c, uint64_t *h)
{
    const struct frame *f = &m->frame[c->frame];
    if ((f->kind != F_OBJ && f->kind != F_ARR) || f->flags & (FL_ARGS | FL_HASH)) return false;
    *h = conf_hash_in(c, frame_hash(f, frame_base(m, f, 0)));
    return true;
}

/* Large sets find their members by hash. */
enum { MOST_SCAN = 32, N_PLACE = 4 * MOST_CONF };
_Static_assert(N_PLACE >= 2 * MOST_CONF_VALIDATE, "at most half of the places are taken");

/* Was it there? Then it is now. */
static bool place_take(struct matcher *m, const struct conf *c)
{
    uint64_t h = conf_hash(m, c, 1) | 1;
    uint32_t at = (uint32_t)(h >> 32) % N_PLACE;
    for (; m->place[at]; at = (at + 1) % N_PLACE)
        if (m->place[at] == h) return true;
    m->place[at] = h;
    m->n_place++;
    return false;
}

/* Is there one like it in the set being built? */
static bool is_there(struct matcher *m, const struct conf *c)
{
    if (m->n_conf - m->set0 < MOST_SCAN) {
        for (uint32_t i = m->set0; i < m->n_conf; i++)
            if (same_conf(m, &m->conf[i], c)) return true;
        return false;
    }
    if (!m->place) m->place = mem_alloc(N_PLACE * sizeof *m->place);
    if (!m->n_place || m->n_place > N_PLACE * 3 / 4) {  /* those that were dropped are there, too */
        memset(m->place, 0, N_PLACE * sizeof *m->place);
        m->n_place = 0;
        for (uint32_t i = m->set0; i < m->n_conf; i++) place_take(m, &m->conf[i]);
    }
    return place_take(m, c);
}

void set_emit(struct matcher *m, struct conf c)
{
    if (m->n_conf - m->set0 >= (validating(m) ? MOST_CONF_VALIDATE : MOST_CONF)) return;
    if (is_there(m, &c)) return;
    const struct frame *f = &m->frame[c.frame];
    if (c.kind == C_NEXT && f->kind == F_OBJ && frame_obj(m, f)->owes && owes_more(m, &c)) return;
    if (f->flags & FL_HASH && !validating(m) && !m->probing && !unique_alive(m, &c)) return;
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = c;
}

bool set_accepts(const struct matcher *m, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n; i++)
        if (m->conf[i].kind == C_END) return true;
    return false;
}

/* ---- following the envelope ------------------------------------------------------------------ */

/* Emits a stretch if it goes on, and what follows it if it may end here. */
static void stretch_emit(struct matcher *m, struct conf c, int bits)
{
    if (bits & STRETCH_GOES) set_emit(m, c);
    if (bits & STRETCH_ENDS) op_close(m, m->g->op[c.ref].next, c.frame, c.style);
}

static void stretch_go(struct matcher *m, struct conf c, uint32_t op)
{
    int bits = stretch_start(m->g, op, &c);
    stretch_emit(m, c, bits);
}

static void slot_enter(struct matcher *m, uint32_t at, uint32_t goal, uint32_t frame, uint8_t style)
{
    const struct op *o = &m->g->op[at];
    if (o->a == SURF_RAW) {
        stretch_go(m, (struct conf){ .frame = frame, .style = style }, at);
        return;
    }
    uint32_t call =
        frame_push(m, (struct frame){ .kind = F_CALL, .parent = frame, .ref = o->next, .texts = NONE });
    value_enter(m, goal, call, style, (uint8_t)o->a);
}

static void each_bound(struct matcher *m, uint32_t op, uint32_t frame, uint32_t pair, uint8_t style)
{
    struct frame f = m->frame[frame];
    f.count = pair;
    op_close(m, op, frame_push(m, f), style);
}

static void value_op(struct matcher *m, uint32_t at, uint32_t frame, uint8_t style)
{
    uint32_t pair = m->frame[frame].count;
    if (pair != NONE) slot_enter(m, at, m->g->pair_goal[pair], frame, style);
    else for (uint32_t i = 0; i < m->g->n_pair; i++) each_bound(m, at, frame, i, style);
}

/* A split already followed from the same frame in this step leads nowhere new. */
static bool passed(struct matcher *m, uint32_t op, uint32_t frame, uint8_t style)
{
    uint64_t key = mix64(m->frame[frame].hash, m->epoch * 4 + style);
    if (m->visit[op] == key || m->fuel-- <= 0) return true;
    m->visit[op] = key;
    return false;
}

void op_close(struct matcher *m, uint32_t op, uint32_t frame, uint8_t style)
{
    for (;;) {
        const struct op *o = &m->g->op[op];
        switch (o->kind) {
        case OP_LIT: case OP_CLASS: case OP_SPECIAL: case OP_NAME:
            set_emit(m,
                     (struct conf){ .kind = o->kind, .ref = op, .frame = frame, .style = style });
            return;
        case OP_TEXT: case OP_CHARS: case OP_RE:
            stretch_go(m, (struct conf){ .frame = frame, .style = style }, op);
            return;
        case OP_VALUE: value_op(m, op, frame, style); return;
        case OP_SLOT:  slot_enter(m, op, o->b, frame, style); return;
        case OP_SPLIT:
            if (passed(m, op, frame, style)) return;
            op_close(m, o->next, frame, style);
            op = o->a;
            break;
        case OP_CALL:
            frame =
                frame_push(m, (struct frame){ .kind = F_CALL, .parent = frame, .ref = o->next, .texts = NONE });
            op = o->a;
            break;
        case OP_EACH:
            frame =
                frame_push(m, (struct frame){
                                  .kind = F_EACH, .parent = frame, .ref = o->next, .count = NONE, .texts = NONE });
            op = o->a;
            break;
        default: /* OP_RET */
            if (m->frame[frame].kind == F_ROOT) {
                set_emit(m, (struct conf){ .kind = C_END, .frame = frame });
                return;
            }
            op = m->frame[frame].ref;
            frame = m->frame[frame].parent;
        }
    }
}

/* ---- one byte -------------------------------------------------------------------------------- */

static void step_name(struct matcher *m, struct conf c, uint8_t b)
{
    const struct op *o = &m->g->op[c.ref];
    uint32_t pair = m->frame[c.frame].count;
    if (pair != NONE) {                                 /* the name again: a literal */
        struct bytes name = m->g->pair_name[o->a][pair];
        if ((uint8_t)name.p[c.n] != b) return;
        if (++c.n == name.len) op_close(m, o->next, c.frame, c.style);
        else set_emit(m, c);
        return;
    }
    const struct trie *t = &m->g->name[o->a];
    if ((c.n = trie_step(t, c.n, b)) == NONE) return;
    if (t->node[c.n].n_child) set_emit(m, c);
    if (t->node[c.n].is_leaf) each_bound(m, o->next, c.frame, t->id[t->node[c.n].lo], c.style);
}

static void conf_step(struct matcher *m, struct conf c, uint8_t b)
{
    const struct op *o;
    switch (c.kind) {
    case C_LIT:
        o = &m->g->op[c.ref];
        if ((uint8_t)m->g->text[o->a + c.n] != b) return;
        if (++c.n == o->b) op_close(m, o->next, c.frame, c.style);
        else set_emit(m, c);
        return;
    case C_CLASS:
        o = &m->g->op[c.ref];
        if (byteset_has(&m->g->cls[o->a], b)) op_close(m, o->next, c.frame, c.style);
        return;
    case C_TEXT: case C_CHARS: case C_RE: {
        int bits = stretch_step(m->g, &c, b);
        stretch_emit(m, c, bits);
        return;
    }
    case C_NAME: step_name(m, c, b); return;
    case C_SPECIAL: case C_END: return;
    default: value_step(m, c, b);
    }
}

static void begin_step(struct matcher *m)
{
    m->set0 = m->n_conf;
    m->n_place = 0;
    m->fuel = FUEL;
    m->epoch++;
}

uint32_t set_step(struct matcher *m, uint32_t from, uint32_t n, uint8_t b)
{
    begin_step(m);
    for (uint32_t i = from; i < from + n; i++) conf_step(m, m->conf[i], b);
    return m->n_conf - m->set0;
}

uint32_t set_leave(struct matcher *m, const struct conf *c)
{
    begin_step(m);
    if (c->kind == C_KEY) key_leave(m, c);
    else str_leave(m, c);
    return m->n_conf - m->set0;
}

uint32_t set_special(struct matcher *m, uint32_t from, uint32_t n, int32_t token)
{
    begin_step(m);
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_SPECIAL && m->bind->special[m->g->op[c.ref].a] == token)
            op_close(m, m->g->op[c.ref].next, c.frame, c.style);
    }
    return m->n_conf - m->set0;
}

/* ---- what was found out -------------------------------------------------------------------------- */

/* Equal hashes of what an answer depends on mean equal answers; the newest of each slot is kept. */
enum { N_MEMO = 1024 };
struct memo { uint64_t key; uint32_t value; };

uint32_t memo_get(const struct matcher *m, uint64_t key)
{
    const struct memo *at = m->memo ? &m->memo[(key >> 20) % N_MEMO] : NULL;
    return at && at->key == key ? at->value : NONE;
}

uint32_t memo_put(const struct matcher *cm, uint64_t key, uint32_t value)
{
    struct matcher *m = (struct matcher *)cm;           /* a cache: nothing that one could ask changes */
    if (!m->memo) m->memo = mem_zero(N_MEMO * sizeof *m->memo);
    m->memo[(key >> 20) % N_MEMO] = (struct memo){ key, value };
    return value;
}

/* ---- the matcher ----------------------------------------------------------------------------- */

struct matcher *matcher_new(const struct grammar *g, const struct vocab *v, struct err *e)
{
    struct matcher *m = mem_zero(sizeof *m);
    m->g = g;
    m->v = v;
    m->carry = NONE;
    MEM_GROW(m->word, m->n_word, m->cap_word);          /* there before the first word is: an empty list is no NULL */
    m->visit = mem_zero((g->n_op + 1) * sizeof *m->visit);
    if (v && !(m->bind = bind_get(g, v, e))) { matcher_free(m); return NULL; }
    uint32_t root = frame_push(m, (struct frame){ .kind = F_ROOT, .parent = NONE, .texts = NONE });
    begin_step(m);
    op_close(m, g->root, root, g->spell.first);
    MEM_GROW(m->snap, m->n_snap, m->cap_snap);
    m->snap[m->n_snap++] =
        (struct snap){ .n_conf = m->n_conf, .frame = m->n_frame, .word = m->n_word, .token = -1 };
    return m;
}

void matcher_free(struct matcher *m)
{
    if (!m) return;
    mem_free(m->frame);
    mem_free(m->word);
    mem_free(m->conf);
    mem_free(m->snap);
    mem_free(m->visit);
    mem_free(m->level);
    mem_free(m->memo);
    mem_free(m->place);
    str_done(&m->why);
    mem_free(m);
}

struct matcher *matcher_fork(const struct matcher *m)
{
    struct matcher *f = mem_dup(m, sizeof *m);
    f->frame = mem_dup(m->frame, m->cap_frame * sizeof *m->frame);
    f->word = mem_dup(m->word, m->cap_word * sizeof *m->word);
    f->conf = mem_dup(m->conf, m->cap_conf * sizeof *m->conf);
    f->snap = mem_dup(m->snap, m->cap_snap * sizeof *m->snap);
    f->visit = mem_dup(m->visit, (m->g->n_op + 1) * sizeof *m->visit);
    f->why = (struct str){ 0 };
    f->level = NULL;
    f->memo = NULL;
    f->place = NULL;
    f->n_place = 0;
    return f;
}

/* Runs bytes from the top set; 0: refused at *bad, whose set before it is conf[*from, *from + *n). */
static uint32_t run(struct matcher *m, const char *p, size_t len, uint32_t *from, uint32_t *n,
                    size_t *bad)
{
    *from = matcher_top(m)->conf;
    *n = matcher_top(m)->n_conf;
    for (size_t i = 0; i < len; i++) {
        uint32_t k = set_step(m, *from, *n, (uint8_t)p[i]);
        if (!k) { *bad = i; return 0; }
        *from = m->set0;
        *n = k;
    }
    return *n;
}

/* Makes conf[from, from + n), the newest set, the top one. */
static void push_set(struct matcher *m, uint32_t from, uint32_t n, size_t bytes, int32_t token,
                     bool finished)
{
    struct snap s = *matcher_top(m);
    uint32_t at = s.conf + s.n_conf;
    memmove(m->conf + at, m->conf + from, n * sizeof *m->conf);
    m->n_conf = at + n;
    MEM_GROW(m->snap, m->n_snap, m->cap_snap);
    m->snap[m->n_snap++] = (struct snap){ .conf = at,
                                          .n_conf = n,
                                          .frame = m->n_frame,
                                          .word = m->n_word,
                                          .byte = s.byte + bytes,
                                          .token = token,
                                          .finished = finished };
}

static void byte_name(struct str *out, uint8_t b)
{
    if (b == '\'') str_puts(out, "\"'\"");
    else if (b > 0x20 && b < 0x7f) str_fmt(out, "'%c'", b);
    else if (b == ' ') str_puts(out, "a blank");
    else if (b == '\n') str_puts(out, "a new line");
    else str_fmt(out, "byte 0x%02x", b);
}

/* Names what could have come: up to eight bytes, ranges of digits and letters shortened. */
static void expected(struct matcher *m, uint32_t from, uint32_t n, struct str *out)
{
    struct mark k = matcher_mark(m);
    int count = 0;
    bool may[256];
    for (int b = 0; b < 256; b++) {
        may[b] = set_step(m, from, n, (uint8_t)b) > 0;
        count += may[b];
        matcher_reset(m, k);
    }
    int shown = 0;
    for (int b = 0; b < 256 && shown < 8; b++) {
        if (!may[b]) continue;
        str_puts(out, shown++ ? ", " : "; expected ");
        byte_name(out, (uint8_t)b);
        int end = b;
        while (end < 255 && may[end + 1]) end++;
        if (end > b + 1) {
            str_puts(out, " to ");
            byte_name(out, (uint8_t)end);
            b = end;
        }
    }
    if (set_accepts(m, from, n)) str_puts(out, count ? " or the end" : "; expected the end");
}

static bool refuse(struct matcher *m, struct mark k, uint32_t from, uint32_t n, const char *p,
                   size_t bad)
{
    str_clear(&m->why);
    str_fmt(&m->why, "byte %zu: ", matcher_top(m)->byte + bad);
    byte_name(&m->why, (uint8_t)p[bad]);
    str_puts(&m->why, " does not fit");
    expected(m, from, n, &m->why);
    matcher_reset(m, k);
    return false;
}

bool matcher_commit_bytes(struct matcher *m, const char *p, size_t len)
{
    struct mark k = matcher_mark(m);
    uint32_t from, n;
    size_t bad = 0;
    if (matcher_top(m)->finished && len) {
        str_clear(&m->why);
        str_fmt(&m->why, "byte %zu: the output has ended", matcher_top(m)->byte);
        return false;
    }
    if (!run(m, p, len, &from, &n, &bad)) return refuse(m, k, from, n, p, bad);
    push_set(m, from, n, len, -1, false);
    return true;
}

/* Advances to the set behind a token; 0: not allowed. Scratch stays for the caller to push or reset. */
static uint32_t token_run(struct matcher *m, int32_t t, uint32_t *from, uint32_t *n, size_t *bad)
{
    if (m->v->bytes[t].p) return run(m, m->v->bytes[t].p, m->v->bytes[t].len, from, n, bad);
    *n = set_special(m, matcher_top(m)->conf, matcher_top(m)->n_conf, t);
    *from = m->set0;
    return *n;
}

static bool token_known(const struct matcher *m, int32_t t)
{
    return m->v && t >= 0 && t < m->v->n_vocab && !matcher_top(m)->finished;
}

bool matcher_check(struct matcher *m, int32_t t)
{
    uint32_t from, n;
    size_t bad;
    if (!token_known(m, t)) return false;
    if (m->v->is_eog[t] && matcher_accepting(m)) return true;
    struct mark k = matcher_mark(m);
    bool ok = token_run(m, t, &from, &n, &bad) > 0;
    matcher_reset(m, k);
    return ok;
}

bool matcher_commit(struct matcher *m, int32_t t)
{
    uint32_t from, n;
    size_t bad = 0;
    if (!token_known(m, t)) {
        str_clear(&m->why);
        str_fmt(&m->why, "byte %zu: %s", matcher_top(m)->byte,
                matcher_top(m)->finished ? "the output has ended" : "an unknown token");
        return false;
    }
    struct mark k = matcher_mark(m);
    if (token_run(m, t, &from, &n, &bad)) {
        push_set(m, from, n, m->v->bytes[t].len, t, false);
        return true;
    }
    if (m->v->bytes[t].p) return refuse(m, k, from, n, m->v->bytes[t].p, bad);
    matcher_reset(m, k);
    if (m->v->is_eog[t] && matcher_accepting(m)) {
        push_set(m, k.conf, 0, 0, t, true);
        return true;
    }
    str_clear(&m->why);
    str_fmt(&m->why, "byte %zu: the special token %.60s does not fit", matcher_top(m)->byte,
            m->v->special[t] ? m->v->special[t] : "");
    expected(m, matcher_top(m)->conf, matcher_top(m)->n_conf, &m->why);
    matcher_reset(m, k);
    return false;
}

void matcher_rollback(struct matcher *m, int n)
{
    while (n-- > 0 && m->n_snap > 1) m->n_snap--;
    const struct snap *s = matcher_top(m);
    matcher_reset(m, (struct mark){ s->conf + s->n_conf, s->frame, s->word });
}

bool matcher_accepting(const struct matcher *m)
{
    const struct snap *s = matcher_top(m);
    return !s->finished && set_accepts(m, s->conf, s->n_conf);
}

bool matcher_finished(const struct matcher *m)
{
    const struct snap *s = matcher_top(m);
    if (s->finished) return true;
    for (uint32_t i = s->conf; i < s->conf + s->n_conf; i++)
        if (m->conf[i].kind != C_END) return false;
    return true;
}

const char *matcher_why(const struct matcher *m)
{
    return m->why.p ? m->why.p : "";
}

/* ---- for people ------------------------------------------------------------------------------ */

/* What decides about a text: letters alone, a length, an automaton. */
static const char *text_kind(const struct strs *s, bool name)
{
    static const char *const say[2][2][2] = { { { "STR", "STR/length" }, { "STR/pattern", "STR/pattern+length" } },
                                              { { "KEY/any", "KEY/length" }, { "KEY/pattern", "KEY/pattern+length" } } };
    return say[name][s->dfa != NULL][s->max != NONE || s->min];
}

static const char *conf_kind(const struct matcher *m, const struct conf *c)
{
    static const char *const say[] = { "LIT", "CLASS", "SPECIAL", "TEXT", "CHARS", "RE", "NAME", "VALUE", "STR", "KEY", "NUM",
                                       "WORD", "NUMLIT", "OPEN", "SEP", "QUOTE", "COLON", "NEXT", "END" };
    if (c->kind == C_STR && shape_at(m, c->ref, c->sh)->kind == SH_STR) return text_kind(shape_at(m, c->ref, c->sh)->str, false);
    if (c->kind == C_STR) return "STR/listed";
    if (c->kind == C_KEY && c->cls) return text_kind(&frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s, true);
    return say[c->kind];
}

void matcher_kinds(const struct matcher *m, struct str *out)
{
    enum { FEW = 4 };
    struct { const char *name; uint32_t n; } kind[32];
    const struct snap *s = matcher_top(m);
    uint32_t n = 0;
    for (uint32_t i = s->conf; i < s->conf + s->n_conf; i++) {
        const char *name = conf_kind(m, &m->conf[i]);
        uint32_t k = 0;
        while (k < n && kind[k].name != name) k++;
        if (k == LEN(kind)) continue;
        if (k == n) { kind[n].name = name; kind[n++].n = 0; }
        kind[k].n++;
    }
    for (uint32_t k = 0; k < n; k++)
        str_fmt(out, "%s%s%s", k ? ", " : "", kind[k].n > FEW ? "many " : kind[k].n > 1 ? "few " : "", kind[k].name);
}
