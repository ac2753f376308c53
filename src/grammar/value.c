/* value.c -- stepping inside JSON values: one configuration, one byte, the configurations behind it.
 *
 * Nothing is ever offered that cannot be finished: goals that cannot be met, nesting beyond the
 * limit, text that no longer fits its pattern or length, separators with nothing to follow. object.c
 * has the keys, unique.c what differs from element to element. The same code reads the Python surface
 * (True, None, other escapes) and keyword arguments, which are an object without braces.
 *
 * Validating, nothing is looked ahead for: every spelling is read and judged where it ends. */
#include "grammar/int.h"

static const struct spell *spell(const struct matcher *m) { return &m->g->spell; }

static uint16_t deepest(const struct matcher *m)
{
    return validating(m) ? MOST_DEPTH_VALIDATE : MOST_DEPTH;
}

int value_escapes(const struct matcher *m, uint8_t surf)
{
    return validating(m) ? ESC_ANY : surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
}

bool value_blank(const struct matcher *m, struct conf *c, uint8_t b)
{
    if (!spell(m)->flexible || (b != ' ' && b != '\n' && b != '\t' && b != '\r')) return false;
    if (validating(m)) return true;
    uint16_t n = c->blank & 0xff, lines = c->blank >> 8;
    if (n >= MOST_BLANK || (b == '\n' && lines >= MOST_NEWLINE)) return false;
    c->blank = (uint16_t)((lines + (b == '\n')) << 8 | (n + 1));
    return true;
}

bool value_fits(const struct matcher *m, uint32_t goal, uint16_t depth)
{
    if (validating(m)) return true;
    return goal_met(m->g, goal) && depth + goal_at(m->g, goal)->height <= deepest(m);
}

static bool shape_fits(const struct matcher *m, const struct shape *sh, uint16_t depth)
{
    return validating(m) ? depth < deepest(m) : sh->met && depth + sh->height <= deepest(m);
}

static bool hashing(const struct matcher *m, uint32_t frame)
{
    return m->frame[frame].flags & FL_HASH;
}

/* ---- arrays: what they still allow ----------------------------------------------------------- */

const struct alts *item_alts(const struct arr *a, uint32_t i)
{
    static const struct alts none;
    return i >= a->max ? &none : i < a->n_prefix ? &a->prefix[i] : &a->rest;
}

uint32_t arr_count(const struct matcher *m, const struct frame *f, uint32_t i)
{
    return frame_arr(m, f)->n_cont ? (uint32_t)m->word[f->seen + i] : 0;
}

/* Places from `from` on that can still count for contains i, up to `need`. */
static uint32_t places(const struct matcher *m, const struct frame *f, uint32_t from, uint32_t i, uint32_t need)
{
    const struct arr *a = frame_arr(m, f);
    uint32_t n = 0;
    for (uint32_t p = from; p < MIN(a->n_prefix, a->max) && n < need; p++)
        for (uint32_t k = 0; k < a->prefix[p].n; k++)
            if (a->prefix[p].alt[k].owed >> i & 1 && value_fits(m, a->prefix[p].alt[k].goal, f->depth)) { n++; break; }
    for (uint32_t k = 0; k < a->rest.n && n < need; k++)
        if (a->rest.alt[k].owed >> i & 1 && value_fits(m, a->rest.alt[k].goal, f->depth)) {
            uint64_t more = a->max == NONE ? need : a->max - MIN(a->max, MAX(from, a->n_prefix));
            return (uint32_t)MIN((uint64_t)need, n + more);
        }
    return n;
}

struct within { const struct matcher *m; const struct frame *f; };
static uint32_t element_fits(const void *ctx, const struct alt *alt)
{
    const struct within *in = ctx;
    return value_fits(in->m, alt->goal, in->f->depth) ? 0 : COST_MAX;
}

/* May the next element be taken so, and can the rest of what contains asks for still follow? */
bool arr_offers(const struct matcher *m, const struct frame *f, const struct alt *alt)
{
    const struct arr *a = frame_arr(m, f);
    if (!value_fits(m, alt->goal, f->depth)) return false;
    struct within in = { m, f };
    struct counting q = { .a = a, .from = f->count + 1, .cost = element_fits, .ctx = &in };
    for (uint32_t i = 0; i < a->n_cont; i++) {
        uint32_t have = arr_count(m, f, i) + (alt->owed >> i & 1);
        if (have > a->cont[i].max) return false;
        q.lack[i] = a->cont[i].min - MIN(have, a->cont[i].min);
        q.room[i] = a->cont[i].max == NONE ? NONE : a->cont[i].max - have;
        if (validating(m) || !q.lack[i]) continue;
        if (places(m, f, q.from, i, q.lack[i]) < q.lack[i]) return false;
    }
    return validating(m) || !counts_entangled(&q) || counts_settle(&q) < COST_MAX;
}

bool arr_more(const struct matcher *m, const struct frame *f)
{
    const struct alts *l = item_alts(frame_arr(m, f), f->count);
    for (uint32_t i = 0; i < l->n; i++)
        if (arr_offers(m, f, &l->alt[i])) return true;
    return false;
}

bool arr_closes(const struct matcher *m, const struct frame *f)
{
    const struct arr *a = frame_arr(m, f);
    for (uint32_t i = 0; i < a->n_cont; i++)
        if (arr_count(m, f, i) < a->cont[i].min || arr_count(m, f, i) > a->cont[i].max) return false;
    return f->count >= a->min && f->count <= a->max;
}

/* The element about to come, in each way it may be taken: with its first byte, or (-1) before it. */
static void arr_elements(struct matcher *m, struct conf c, int first)
{
    struct frame f = m->frame[c.frame];
    const struct arr *a = frame_arr(m, &f);
    const struct alts *l = item_alts(a, f.count);
    for (uint32_t i = 0; i < l->n; i++) {
        struct conf t = c;
        if (!arr_offers(m, &f, &l->alt[i])) continue;
        t.kind = C_VALUE;
        t.ref = l->alt[i].goal;
        if (l->alt[i].owed) {
            struct frame own = f;
            own.seen = words_take(m, a->n_cont);
            for (uint32_t k = 0; k < a->n_cont; k++) {
                uint32_t n = (uint32_t)m->word[f.seen + k] + (l->alt[i].owed >> k & 1);
                m->word[own.seen + k] = a->cont[k].max == NONE ? MIN(n, a->cont[k].min) : n;
            }
            t.frame = frame_push(m, own);
        }
        if (first < 0) set_emit(m, t);
        else value_begin(m, t, (uint8_t)first);
    }
}

static uint32_t arr_open(struct matcher *m, uint32_t goal, uint16_t sh, uint32_t parent)
{
    const struct arr *a = shape_at(m, goal, sh)->arr;
    struct frame f = { .kind = F_ARR, .parent = parent, .ref = goal, .sh = sh, .dyn = NONE, .texts = m->frame[parent].texts,
                       .depth = (uint16_t)(m->frame[parent].depth + 1) };
    if (a->unique || hashing(m, parent)) f.flags = FL_HASH;
    if (a->n_cont) f.seen = words_take(m, a->n_cont);
    return frame_push(m, f);
}

/* ---- finishing values ------------------------------------------------------------------------ */

static void args_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style)
{
    if (!value_fits(m, goal, m->frame[frame].depth)) return;
    goal_expand((struct grammar *)m->g, goal, NULL);
    for (uint32_t i = 0; i < goal_at(m->g, goal)->n_shape; i++) {
        const struct shape *sh = shape_at(m, goal, (uint16_t)i);
        if (sh->kind != SH_OBJ || !shape_fits(m, sh, m->frame[frame].depth)) continue;
        uint32_t f = obj_open(m, goal, (uint16_t)i, frame, true);
        if (m->frame[f].flags & FL_MORE) obj_keys(m, f, style, SURF_PYTHON);
        if (obj_closes(m, &m->frame[f])) value_done(m, frame, style, SURF_PYTHON, 0);
    }
}

void value_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style, uint8_t surf)
{
    if (surf == SURF_ARGS) args_enter(m, goal, frame, style);
    else
        set_emit(m, (struct conf){ .kind = C_VALUE, .ref = goal, .frame = frame, .style = style, .surf = surf });
}

/* One more element is whole. */
static void element_done(struct matcher *m, struct frame f, uint8_t style, uint8_t surf, uint64_t hash)
{
    const struct arr *a = frame_arr(m, &f);
    if (a->unique) {
        if (unique_used(m, &f, hash)) return;
        uint32_t at = words_take(m, 2);
        m->word[at] = hash;
        m->word[at + 1] = f.dyn;
        f.dyn = at;
        f.n_dyn = (uint16_t)MIN(f.n_dyn + 1u, UINT16_MAX);
    }
    if (f.flags & FL_HASH) f.value = mix64(f.value, hash);
    /* far from every limit the count no longer matters */
    if (a->max != NONE || a->unique || f.count < MAX(a->min, a->n_prefix)) f.count++;
    set_emit(m, (struct conf){ .kind = C_NEXT, .ref = f.ref, .sh = f.sh, .frame = frame_push(m, f), .style = style,
                               .surf = surf });
}

/* Notes a value inside of a uniqueItems array: mask.c asks whether a text could ever make an element equal another. */
static void note_value(struct matcher *m, struct frame *f, uint64_t hash)
{
    uint32_t before = m->carry != NONE ? m->carry : f->texts, at = words_take(m, 2);
    m->word[at] = hash;
    m->word[at + 1] = before;
    f->texts = at;
}

void value_done(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf, uint64_t hash)
{
    struct frame f = m->frame[frame];
    if (f.flags & FL_HASH) note_value(m, &f, hash);
    m->carry = NONE;
    switch (f.kind) {
    case F_OBJ:
        if (f.flags & FL_HASH) {        /* members in any order make the same value */
            f.value += mix64(f.key, hash) | 1;
            frame = frame_push(m, f);
        }
        set_emit(m, (struct conf){ .kind = C_NEXT, .ref = f.ref, .sh = f.sh, .frame = frame, .style = style, .surf = surf });
        if (f.flags & FL_ARGS && obj_closes(m, &f)) value_done(m, f.parent, style, surf, 0);
        return;
    case F_ARR: element_done(m, f, style, surf, hash); return;
    default:
        op_close(m, f.ref, f.parent, style);
        if (validating(m) && m->g->op[f.ref].kind == OP_RET)          /* blanks behind the value */
            set_emit(m, (struct conf){ .kind = C_NEXT, .ref = f.ref, .frame = frame, .style = style, .surf = surf });
    }
}

/* ---- texts that are kept byte by byte -------------------------------------------------------- */

/* Numbers and judged texts whose end is decided by the whole: their bytes lie in frames. */
static uint32_t keep_byte(struct matcher *m, uint32_t frame, uint8_t b)
{
    const struct frame *f = &m->frame[frame];
    struct frame own = { .kind = F_DIGIT, .parent = frame, .count = b, .ref = f->kind == F_DIGIT ? f->ref + 1 : 1,
                         .depth = f->depth, .flags = f->flags & FL_HASH };
    return frame_push(m, own);
}

static uint32_t kept_outer(const struct matcher *m, uint32_t frame)
{
    while (m->frame[frame].kind == F_DIGIT) frame = m->frame[frame].parent;
    return frame;
}

static char *kept_text(const struct matcher *m, uint32_t frame, size_t *len)
{
    uint32_t n = m->frame[frame].kind == F_DIGIT ? m->frame[frame].ref : 0;
    char *text = mem_alloc(n + 1);
    text[n] = 0;
    for (uint32_t i = n; i-- > 0; frame = m->frame[frame].parent) text[i] = (char)m->frame[frame].count;
    *len = n;
    return text;
}

/* ---- the first byte of a value --------------------------------------------------------------- */

const char *word_text(enum shape_kind k, uint8_t surf)
{
    static const char *const json[] = { "null", "true", "false" }, *const python[] = { "None", "True", "False" };
    return (surf == SURF_PYTHON ? python : json)[k - SH_NULL];
}

static void num_emit(struct matcher *m, struct conf c);

static bool keeps_digits(const struct matcher *m, uint32_t frame) { return validating(m) || hashing(m, frame); }

static void num_begin(struct matcher *m, struct conf c, uint8_t b)
{
    const struct num *p = shape_at(m, c.ref, c.sh)->num;
    c.kind = C_NUM;
    if (!num_first(p, validating(m), &c, b)) return;
    if (keeps_digits(m, c.frame)) c.frame = keep_byte(m, c.frame, b);
    num_emit(m, c);
}

static void numlit_emit(struct matcher *m, struct conf c)
{
    const struct trie *t = shape_at(m, c.ref, c.sh)->lit;
    const struct tnode *p = &t->node[c.n];
    if (p->n_child) set_emit(m, c);
    if (p->is_leaf)
        value_done(m, c.frame, c.style, c.surf, hashing(m, c.frame) ? number_hash(t->str[p->lo].p, t->str[p->lo].len) : 0);
}

static void open_container(struct matcher *m, struct conf c, uint8_t b)
{
    c.kind = C_OPEN;
    c.blank = 0;
    c.frame = b == '{' ? obj_open(m, c.ref, c.sh, c.frame, false) : arr_open(m, c.ref, c.sh, c.frame);
    set_emit(m, c);
}

static void shape_first(struct matcher *m, struct conf c, const struct shape *sh, uint8_t b)
{
    c.n = c.m = c.part = c.dfa = 0;
    c.aux = 0;
    c.lex = c.blank = 0;
    switch (sh->kind) {
    case SH_NULL: case SH_TRUE: case SH_FALSE:
        if ((uint8_t)*word_text(sh->kind, c.surf) != b) return;
        c.kind = C_WORD;
        c.n = 1;
        set_emit(m, c);
        return;
    case SH_STR: case SH_STRLIT:
        if (b != '"') return;
        c.kind = C_STR;
        c.dfa = DFA_START;
        set_emit(m, c);
        return;
    case SH_NUMLIT:
        c.kind = C_NUMLIT;
        if ((c.n = trie_step(sh->lit, 0, b)) != NONE) numlit_emit(m, c);
        return;
    case SH_NUM:
        if (b == '-' || (b >= '0' && b <= '9')) num_begin(m, c, b);
        return;
    default:
        if (b == (sh->kind == SH_OBJ ? '{' : '[')) open_container(m, c, b);
    }
}

void value_begin(struct matcher *m, struct conf c, uint8_t b)
{
    struct conf t = c;
    uint16_t depth = m->frame[c.frame].depth;
    bool inside = validating(m) || m->frame[c.frame].kind != F_CALL;
    if (inside && value_blank(m, &t, b)) { set_emit(m, t); return; }
    if (validating(m)) goal_expand((struct grammar *)m->g, c.ref, NULL);
    else if (!goal_met(m->g, c.ref)) return;
    const struct goal *p = goal_at(m->g, c.ref);
    for (uint32_t i = 0; i < p->n_shape; i++) {
        if (!shape_fits(m, &p->shape[i], depth)) continue;
        c.sh = (uint16_t)i;
        shape_first(m, c, &p->shape[i], b);
    }
}

/* ---- words and numbers ----------------------------------------------------------------------- */

static void step_word(struct matcher *m, struct conf c, uint8_t b)
{
    const struct shape *sh = shape_at(m, c.ref, c.sh);
    const char *t = word_text(sh->kind, c.surf);
    if ((uint8_t)t[c.n] != b) return;
    if (t[++c.n]) set_emit(m, c);
    else value_done(m, c.frame, c.style, c.surf, mix64(mix64(SALT_WORD, sh->kind), 1));
}

/* The number so far, and what stands behind it if it may end here. */
static void num_emit(struct matcher *m, struct conf c)
{
    const struct num *p = shape_at(m, c.ref, c.sh)->num;
    set_emit(m, c);
    bool whole = c.lex == NUM_ZERO || c.lex == NUM_INT || c.lex == NUM_FRAC || c.lex == NUM_EXP;
    if (!whole || (!validating(m) && !num_may_end(p, &c))) return;
    uint32_t outer = kept_outer(m, c.frame);
    if (outer == c.frame) { value_done(m, outer, c.style, c.surf, 0); return; }
    size_t len;
    char *text = kept_text(m, c.frame, &len);
    if (!validating(m) || num_accepts(p, text, len))
        value_done(m, outer, c.style, c.surf, hashing(m, outer) ? number_hash(text, len) : 0);
    mem_free(text);
}

static void step_num(struct matcher *m, struct conf c, uint8_t b)
{
    if (!num_step(shape_at(m, c.ref, c.sh)->num, validating(m), &c, b)) return;
    if (keeps_digits(m, c.frame)) {
        if (m->frame[c.frame].kind == F_DIGIT && m->frame[c.frame].ref >= 10000) return;
        c.frame = keep_byte(m, c.frame, b);
    }
    num_emit(m, c);
}

/* ---- texts ----------------------------------------------------------------------------------- */

bool strs_ends(const struct strs *s, uint32_t state, uint32_t len)
{
    return len >= s->min && len <= s->max && (!s->dfa || dfa_accepts(s->dfa, state));
}

/* Can a text of len code points, its automaton in state, still be finished? */
bool strs_alive(const struct strs *s, uint32_t state, uint32_t len)
{
    if (len > s->max) return false;
    if (!s->dfa) return true;
    if (state == DFA_DEAD) return false;
    if (s->min <= len && s->max == NONE) return true;
    return dfa_fits(s->dfa, state, s->min > len ? s->min - len : 0, s->max == NONE ? NONE : s->max - len);
}

/* A begun escape, counted already, must still be able to mean a byte that the texts want here. */
static bool escape_alive(int esc, const struct strs *s, const struct conf *c)
{
    for (int b = 1; b <= '\\'; b = b == 0x1f ? '"' : b == '"' ? '\\' : b + 1)   /* NUL is never written */
        if (lex_may_mean(c->lex, c->part, esc, (uint8_t)b) &&
            strs_alive(s, dfa_step(s->dfa, s->cls, c->dfa, (uint8_t)b), c->m))
            return true;
    return false;
}

bool strs_goes_on(int esc, const struct strs *s, const struct conf *c)
{
    bool escape = esc != ESC_ANY && c->lex != LEX_NORMAL && c->lex < LEX_UTF8 && s->dfa;
    return escape ? escape_alive(esc, s, c) : strs_alive(s, c->dfa, c->m);
}

/* Validating: formats that only a predicate decides. */
static bool judged(const struct matcher *m, const struct strs *s, uint32_t frame)
{
    size_t len;
    char *text = kept_text(m, frame, &len);
    bool ok = true;
    for (uint32_t i = 0; i < s->n_judge && ok; i++) {
        bool negate = *s->judge[i] == '!';
        ok = format_valid(s->judge[i] + negate, text, len) != negate;
    }
    mem_free(text);
    return ok;
}

static void str_close(struct matcher *m, const struct shape *sh, const struct conf *c)
{
    if (sh->kind == SH_STRLIT ? !sh->lit->node[c->n].is_leaf : !strs_ends(sh->str, c->dfa, c->m)) return;
    if (sh->kind == SH_STR && sh->str->n_judge && !judged(m, sh->str, c->frame)) return;
    uint32_t outer = kept_outer(m, c->frame);
    value_done(m, outer, c->style, c->surf, hashing(m, outer) ? mix64(c->aux, SALT_TEXT) : 0);
}

/* As behind a text that is none of those before: 0 would make an array of it the empty one. */
void str_leave(struct matcher *m, const struct conf *c)
{
    enum { NO_TEXT = 0x4e7e };
    value_done(m, kept_outer(m, c->frame), c->style, c->surf, mix64(NO_TEXT, SALT_TEXT));
}

/* Decoded bytes go to the literals, or to the automaton. */
static bool str_advance(struct matcher *m, const struct shape *sh, struct conf *c, const uint8_t *out, int n)
{
    bool kept = sh->kind == SH_STR && sh->str->n_judge, hashes = hashing(m, c->frame);
    for (int i = 0; i < n; i++) {
        if (sh->kind == SH_STRLIT) {
            if ((c->n = trie_step(sh->lit, c->n, out[i])) == NONE) return false;
        } else if (sh->str->dfa) {
            c->dfa = dfa_step(sh->str->dfa, sh->str->cls, c->dfa, out[i]);
            if (c->dfa == DFA_DEAD) return false;
        }
        if (kept) c->frame = keep_byte(m, c->frame, out[i]);
        if (hashes) c->aux = key_hash(c->aux, out[i]);
    }
    return true;
}

static void step_str(struct matcher *m, struct conf c, uint8_t b)
{
    const struct shape *sh = shape_at(m, c.ref, c.sh);
    uint8_t out[4];
    int n_out;
    enum lex_result r = lex_step(&c.lex, &c.part, value_escapes(m, c.surf), sh->kind == SH_STRLIT, b, out, &n_out);
    if (r == LEX_NO) return;
    if (r == LEX_CLOSE) { str_close(m, sh, &c); return; }
    if (r == LEX_BEGIN && sh->kind == SH_STR) {
        if (c.m >= sh->str->max) return;
        if (sh->str->max != NONE || c.m < sh->str->min) c.m++;        /* an open end needs no count */
    }
    if (!str_advance(m, sh, &c, out, n_out)) return;
    if (c.lex == LEX_NORMAL) c.part = 0;
    bool alive = sh->kind == SH_STRLIT ? escape_leads(m, sh->lit, &c, NULL)
                                       : validating(m) || strs_goes_on(value_escapes(m, c.surf), sh->str, &c);
    if (alive) set_emit(m, c);
}

/* ---- separators ------------------------------------------------------------------------------ */

/* What follows a separator between members or elements. */
static void after_sep(struct matcher *m, struct conf c)
{
    const struct frame *f = &m->frame[c.frame];
    c.n = c.m = c.part = 0;
    c.blank = 0;
    c.ref = f->ref;
    c.sh = f->sh;
    if (f->kind == F_ARR) { arr_elements(m, c, -1); return; }
    if (f->flags & FL_ARGS) { obj_keys(m, c.frame, c.style, c.surf); return; }
    c.kind = C_QUOTE;
    set_emit(m, c);
}

static void after_colon(struct matcher *m, struct conf c)
{
    c.kind = C_VALUE;
    c.n = 0;
    c.blank = 0;
    set_emit(m, c);
}

/* One byte of a separator that is spelled text[style]; before the first one both styles are open. */
static void step_spelled(struct matcher *m, struct conf c, uint8_t b, const char *const text[2],
                         const uint32_t len[2], uint8_t kind, void (*after)(struct matcher *, struct conf))
{
    bool open = c.style == STYLE_OPEN;
    bool same = open && len[0] == len[1] && !memcmp(text[0], text[1], len[0]);
    for (uint8_t s = open ? 0 : c.style; s <= (open && !same ? 1 : open ? 0 : c.style); s++) {
        if ((uint8_t)text[s][c.n] != b) continue;
        struct conf t = c;
        if (!same) t.style = s;
        t.kind = kind;
        if (++t.n == len[s]) after(m, t);
        else set_emit(m, t);
    }
}

static void step_sep(struct matcher *m, struct conf c, uint8_t b)
{
    step_spelled(m, c, b, spell(m)->item, spell(m)->n_item, C_SEP, after_sep);
}

static void step_colon(struct matcher *m, struct conf c, uint8_t b)
{
    if (!spell(m)->flexible) {
        step_spelled(m, c, b, spell(m)->key, spell(m)->n_key, C_COLON, after_colon);
        return;
    }
    struct conf t = c;
    if (value_blank(m, &t, b)) set_emit(m, t);
    else if (b == ':') after_colon(m, c);
}

static bool closes(const struct matcher *m, const struct frame *f, uint8_t b)
{
    if (f->kind == F_ARR) return b == ']' && arr_closes(m, f);
    return b == '}' && !(f->flags & FL_ARGS) && obj_closes(m, f);
}

static void close_container(struct matcher *m, const struct conf *c)
{
    const struct frame f = m->frame[c->frame];
    m->closed = MIN(m->closed, (uint32_t)f.depth);
    m->carry = f.flags & FL_HASH ? f.texts : NONE;
    value_done(m, f.parent, c->style, c->surf, f.flags & FL_HASH ? mix64(mix64(f.value, SALT_CONTAINER + f.kind), 1) : 0);
}

/* Behind a whole value in an object or array. */
static void step_next(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    struct conf t = c;
    if (value_blank(m, &t, b)) {
        if (f->kind == F_CALL) value_done(m, c.frame, c.style, c.surf, 0);
        else set_emit(m, t);
        return;
    }
    if (f->kind == F_CALL) return;
    if (closes(m, f, b)) { close_container(m, &c); return; }
    if (f->kind == F_ARR ? !arr_more(m, f) : !(f->flags & FL_MORE)) return;
    c.n = 0;
    if (!spell(m)->flexible) step_sep(m, c, b);
    else if (b == ',') after_sep(m, c);
}

static void step_quote(struct matcher *m, struct conf c, uint8_t b)
{
    struct conf t = c;
    if (value_blank(m, &t, b)) { set_emit(m, t); return; }
    if (b == '"') obj_keys(m, c.frame, c.style, c.surf);
}

/* Right behind the opening bracket. */
static void step_open(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    struct conf t = c;
    if (value_blank(m, &t, b)) { set_emit(m, t); return; }
    if (closes(m, f, b)) { close_container(m, &c); return; }
    if (f->kind == F_OBJ) {
        if (f->flags & FL_MORE) step_quote(m, c, b);
        return;
    }
    arr_elements(m, c, b);
}

void value_step(struct matcher *m, struct conf c, uint8_t b)
{
    switch (c.kind) {
    case C_VALUE:  value_begin(m, c, b); return;
    case C_STR:    step_str(m, c, b); return;
    case C_KEY:    key_step(m, c, b); return;
    case C_NUM:    step_num(m, c, b); return;
    case C_WORD:   step_word(m, c, b); return;
    case C_OPEN:   step_open(m, c, b); return;
    case C_SEP:    step_sep(m, c, b); return;
    case C_QUOTE:  step_quote(m, c, b); return;
    case C_COLON:  step_colon(m, c, b); return;
    case C_NEXT:   step_next(m, c, b); return;
    case C_NUMLIT:
        if ((c.n = trie_step(shape_at(m, c.ref, c.sh)->lit, c.n, b)) != NONE) numlit_emit(m, c);
        return;
    default: return;
    }
}
