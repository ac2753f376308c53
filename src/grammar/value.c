/* value.c -- stepping inside JSON values: one configuration, one byte, the configurations behind it.
 *
 * An object is a frame with the set of keys written; after `{` or a separator the key is read along
 * the trie of declared names and, where the schema leaves the object open, as an invented name beside
 * it. Nothing is ever offered that cannot be finished: keys and elements whose goal cannot be met,
 * nesting beyond the limit, a key written before, separators with nothing to follow.
 * The same code reads the Python surface (True, None, other escapes) and keyword arguments, which are
 * an object without braces whose keys are bare identifiers. */
#include "grammar/int.h"

static const struct spell *spell(const struct matcher *m) { return &m->g->spell; }
static uint16_t deepest(const struct matcher *m)
{
    return m->g->validate ? MOST_DEPTH_VALIDATE : MOST_DEPTH;
}
static int esc_of(const struct matcher *m, uint8_t surf)
{
    return m->g->validate ? ESC_ANY : surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
}

/* Blanks of flexible spelling: may b be read here as one more of them? */
static bool blank(const struct matcher *m, struct conf *c, uint8_t b)
{
    if (!spell(m)->flexible || (b != ' ' && b != '\n' && b != '\t' && b != '\r')) return false;
    if (m->g->validate) return true;
    uint16_t n = c->blank & 0xff, lines = c->blank >> 8;
    if (n >= MOST_BLANK || (b == '\n' && lines >= MOST_NEWLINE)) return false;
    c->blank = (uint16_t)((lines + (b == '\n')) << 8 | (n + 1));
    return true;
}

static bool goal_fits(const struct matcher *m, uint32_t goal, uint16_t depth)
{
    const struct goal *p = &m->g->goal[goal];
    return p->ok && depth + p->height <= deepest(m);
}

/* ---- what objects and arrays still allow ----------------------------------------------------- */

bool obj_seen(const struct matcher *m, const struct frame *f, uint32_t key)
{
    return m->word[f->seen + key / 64] >> (key % 64) & 1;
}

bool obj_offers(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = m->g->shape[f->ref].obj;
    if (m->g->declared) {  /* count = next index; a required key cannot be skipped */
        uint32_t must = o->next_req[f->count];
        if (key < f->count || (must != NONE && key > must)) return false;
    }
    if (obj_seen(m, f, key) || (f->flags & FL_ARGS && !o->key[key].ident)) return false;
    return goal_fits(m, o->key[key].goal, f->depth);
}

bool obj_invents(const struct matcher *m, const struct frame *f)
{
    bool closed = m->declared_only != NONE && f == &m->frame[m->declared_only];
    const struct obj *o = m->g->shape[f->ref].obj;
    if (o->rest == NONE || closed || (!m->g->validate && f->n_dyn >= MOST_DYN)) return false;
    if (m->g->declared && f->missing) return false;
    return goal_fits(m, o->rest, f->depth);
}

static bool obj_more(const struct matcher *m, const struct frame *f)
{
    const struct obj *o = m->g->shape[f->ref].obj;
    if (obj_invents(m, f)) return true;
    for (uint32_t i = m->g->declared ? f->count : 0; i < o->n_key; i++)
        if (obj_offers(m, f, i)) return true;
    return false;
}

uint32_t item_goal_at(const struct arr *a, uint32_t i)
{
    return i >= a->max ? NONE : i < a->n_prefix ? a->prefix[i] : a->rest;
}

static bool arr_more(const struct matcher *m, const struct frame *f)
{
    uint32_t goal = item_goal_at(m->g->shape[f->ref].arr, f->count);
    return goal != NONE && goal_fits(m, goal, f->depth);
}

/* ---- opening containers, finishing values ---------------------------------------------------- */

static uint32_t words_take(struct matcher *m, uint32_t n)
{
    uint32_t at = m->n_word;
    for (; n > 0; n--) {
        MEM_GROW(m->word, m->n_word, m->cap_word);
        m->word[m->n_word++] = 0;
    }
    return at;
}

static uint32_t obj_open(struct matcher *m, uint32_t shape, uint32_t parent, bool args)
{
    const struct obj *o = m->g->shape[shape].obj;
    struct frame f = { .kind = F_OBJ,
                       .parent = parent,
                       .ref = shape,
                       .flags = args ? FL_ARGS : 0,
                       .missing = o->n_req,
                       .depth = (uint16_t)(m->frame[parent].depth + 1) };
    f.seen = words_take(m, o->n_word);
    for (int s = 0; m->bind && s < 2; s++) f.todo[s] = obj_todo(m, &f, s);
    if (obj_more(m, &f)) f.flags |= FL_MORE;
    return frame_push(m, f);
}

static void args_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style)
{
    const struct goal *p = &m->g->goal[goal];
    for (uint32_t i = p->shape; i < p->shape + p->n_shape; i++) {
        if (m->g->shape[i].kind != SH_OBJ || !m->g->shape[i].ok) continue;
        uint32_t f = obj_open(m, i, frame, true);
        if (m->frame[f].flags & FL_MORE)
            set_emit(m, (struct conf){ .kind = C_KEY,
                                       .ref = i,
                                       .frame = f,
                                       .style = style,
                                       .surf = SURF_PYTHON,
                                       .part = 1 });
        if (!m->frame[f].missing) value_done(m, frame, style, SURF_PYTHON);
    }
}

void value_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style, uint8_t surf)
{
    if (surf == SURF_ARGS) args_enter(m, goal, frame, style);
    else
        set_emit(m,
                 (struct conf){
                     .kind = C_VALUE, .ref = goal, .frame = frame, .style = style, .surf = surf });
}

void value_done(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf)
{
    struct frame f = m->frame[frame];
    switch (f.kind) {
    case F_OBJ:
        set_emit(m,
                 (struct conf){
                     .kind = C_NEXT, .ref = f.ref, .frame = frame, .style = style, .surf = surf });
        if (f.flags & FL_ARGS && !f.missing) value_done(m, f.parent, style, surf);
        return;
    case F_ARR: {
        /* far from every limit the count no longer matters */
        const struct arr *a = m->g->shape[f.ref].arr;
        if (a->max != NONE || f.count < MAX(a->min, a->n_prefix)) f.count++;
        set_emit(m, (struct conf){ .kind = C_NEXT,
                                   .ref = f.ref,
                                   .frame = frame_push(m, f),
                                   .style = style,
                                   .surf = surf });
        return;
    }
    default:
        op_close(m, f.ref, f.parent, style);
        if (m->g->validate && m->g->op[f.ref].kind == OP_RET)  /* blanks behind the value */
            set_emit(m, (struct conf){ .kind = C_NEXT,
                                       .ref = f.ref,
                                       .frame = frame,
                                       .style = style,
                                       .surf = surf });
    }
}

/* ---- the first byte of a value --------------------------------------------------------------- */

const char *word_text(enum shape_kind k, uint8_t surf)
{
    static const char *const json[] = { "null", "true", "false" }, *const python[] = { "None",
                                                                                       "True",
                                                                                       "False" };
    return (surf == SURF_PYTHON ? python : json)[k - SH_NULL];
}

static void num_emit(struct matcher *m, struct conf c, uint32_t outer);

static void num_begin(struct matcher *m, struct conf c, uint32_t shape, uint8_t b)
{
    const struct num *p = m->g->shape[shape].num;
    c.kind = C_NUM;
    c.ref = shape;
    if (!num_first(p, m->g->validate, &c, b)) return;
    uint32_t outer = c.frame;
    if (m->g->validate)
        c.frame =
            frame_push(m, (struct frame){ .kind = F_DIGIT, .parent = outer, .count = b, .ref = 1 });
    num_emit(m, c, outer);
}

static void numlit_emit(struct matcher *m, struct conf c)
{
    const struct tnode *p = &m->g->shape[c.ref].lit->node[c.n];
    if (p->n_child) set_emit(m, c);
    if (p->is_leaf) value_done(m, c.frame, c.style, c.surf);
}

static void open_container(struct matcher *m, struct conf c, uint32_t shape, uint8_t b)
{
    const struct shape *sh = &m->g->shape[shape];
    if (m->frame[c.frame].depth + sh->height > deepest(m)) return;
    c.kind = C_OPEN;
    c.ref = shape;
    c.blank = 0;
    if (b == '{') c.frame = obj_open(m, shape, c.frame, false);
    else
        c.frame = frame_push(m, (struct frame){ .kind = F_ARR,
                                                .parent = c.frame,
                                                .ref = shape,
                                                .depth = (uint16_t)(m->frame[c.frame].depth + 1) });
    set_emit(m, c);
}

static void shape_first(struct matcher *m, struct conf c, uint32_t shape, uint8_t b)
{
    const struct shape *sh = &m->g->shape[shape];
    c.n = c.m = c.part = 0;
    c.lex = c.blank = 0;
    switch (sh->kind) {
    case SH_NULL: case SH_TRUE: case SH_FALSE:
        if ((uint8_t)*word_text(sh->kind, c.surf) != b) return;
        c.kind = C_WORD;
        c.ref = shape;
        c.n = 1;
        set_emit(m, c);
        return;
    case SH_STR: case SH_STRLIT:
        if (b != '"') return;
        c.kind = C_STR;
        c.ref = shape;
        set_emit(m, c);
        return;
    case SH_NUMLIT:
        c.kind = C_NUMLIT;
        c.ref = shape;
        if ((c.n = trie_step(sh->lit, 0, b)) != NONE) numlit_emit(m, c);
        return;
    case SH_NUM:
        if (b == '-' || (b >= '0' && b <= '9')) num_begin(m, c, shape, b);
        return;
    default:
        if (b == (sh->kind == SH_OBJ ? '{' : '[')) open_container(m, c, shape, b);
    }
}

static void step_value(struct matcher *m, struct conf c, uint8_t b)
{
    const struct goal *p = &m->g->goal[c.ref];
    struct conf t = c;
    bool inside = m->g->validate || m->frame[c.frame].kind != F_CALL;
    if (inside && blank(m, &t, b)) { set_emit(m, t); return; }
    for (uint32_t i = p->shape; i < p->shape + p->n_shape; i++)
        if (m->g->shape[i].ok) shape_first(m, c, i, b);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static void step_word(struct matcher *m, struct conf c, uint8_t b)
{
    const char *t = word_text(m->g->shape[c.ref].kind, c.surf);
    if ((uint8_t)t[c.n] != b) return;
    if (t[++c.n]) set_emit(m, c);
    else value_done(m, c.frame, c.style, c.surf);
}

/* Text of a number from its chain of digit frames. */
static bool digits_accept(const struct matcher *m, const struct num *p, uint32_t frame)
{
    uint32_t n = m->frame[frame].ref;
    if (!p->integer && !p->has_lo && !p->has_hi && !p->set) return true;
    char *text = mem_alloc(n + 1);
    for (uint32_t i = n; i-- > 0; frame = m->frame[frame].parent)
        text[i] = (char)m->frame[frame].count;
    bool ok = num_accepts(p, text, n);
    mem_free(text);
    return ok;
}

/* outer: the frame of the value, below the digits. */
static void num_emit(struct matcher *m, struct conf c, uint32_t outer)
{
    const struct num *p = m->g->shape[c.ref].num;
    set_emit(m, c);
    bool whole = c.lex == NUM_ZERO || c.lex == NUM_INT || c.lex == NUM_FRAC || c.lex == NUM_EXP;
    if (m->g->validate ? whole && digits_accept(m, p, c.frame) : num_may_end(p, &c))
        value_done(m, outer, c.style, c.surf);
}

static void step_num(struct matcher *m, struct conf c, uint8_t b)
{
    if (!num_step(m->g->shape[c.ref].num, m->g->validate, &c, b)) return;
    uint32_t outer = c.frame;
    if (m->g->validate) {
        struct frame f = {
            .kind = F_DIGIT, .parent = c.frame, .count = b, .ref = m->frame[c.frame].ref + 1
        };
        if (f.ref > 10000) return;
        while (m->frame[outer].kind == F_DIGIT) outer = m->frame[outer].parent;
        c.frame = frame_push(m, f);
    }
    num_emit(m, c, outer);
}

static bool any_offered(const struct matcher *m, const struct frame *f, const struct tnode *p)
{
    const struct obj *o = m->g->shape[f->ref].obj;
    for (uint32_t r = p->lo; r < p->hi; r++)
        if (obj_offers(m, f, o->trie.id[r])) return true;
    return false;
}

/* Can a begun escape still mean this child of a literal trie (keys: one that is offered)? */
bool escape_means(const struct matcher *m, const struct tnode *child, const struct conf *c,
                  const struct frame *f)
{
    if (child->byte >= 0x20 && child->byte != '"' && child->byte != '\\') return false;
    return lex_may_mean(c->lex, c->part, esc_of(m, c->surf), child->byte) &&
           (!f || any_offered(m, f, child));
}

/* A begun escape must still be able to mean a byte that the literals want here. */
static bool escape_leads(const struct matcher *m, const struct trie *t, const struct conf *c,
                         const struct frame *f)
{
    if (m->g->validate || c->lex == LEX_NORMAL || c->lex >= LEX_UTF8) return true;
    if (c->n == NONE) return false;
    const struct tnode *p = &t->node[c->n];
    for (uint32_t i = p->child; i < p->child + p->n_child; i++)
        if (escape_means(m, &t->node[i], c, f)) return true;
    return false;
}

static void step_str(struct matcher *m, struct conf c, uint8_t b)
{
    const struct shape *sh = &m->g->shape[c.ref];
    const struct trie *t = sh->kind == SH_STRLIT ? sh->lit : NULL;
    uint8_t out[4];
    int n_out;
    enum lex_result r = lex_step(&c.lex, &c.part, esc_of(m, c.surf), t != NULL, b, out, &n_out);
    if (r == LEX_NO) return;
    if (r == LEX_CLOSE) {
        if (t ? t->node[c.n].is_leaf : c.m >= sh->str.min) value_done(m, c.frame, c.style, c.surf);
        return;
    }
    if (!t && r == LEX_BEGIN) {
        if (c.m >= sh->str.max) return;
        if (sh->str.max != NONE || c.m < sh->str.min) c.m++;  /* an open end needs no count */
    }
    for (int i = 0; t && i < n_out; i++)
        if ((c.n = trie_step(t, c.n, out[i])) == NONE) return;
    if (c.lex == LEX_NORMAL) c.part = 0;
    if (!t || escape_leads(m, t, &c, NULL)) set_emit(m, c);
}

/* ---- keys ------------------------------------------------------------------------------------ */

bool name_used(const struct matcher *m, const struct frame *f, uint64_t hash)
{
    uint32_t at = f->dyn;
    for (uint16_t i = 0; i < f->n_dyn; i++, at = (uint32_t)m->word[at + 1])
        if (m->word[at] == hash) return true;
    return false;
}

/* The declared key that ends at this trie node, or NONE. */
static uint32_t key_at(const struct obj *o, uint32_t node)
{
    const struct tnode *p = node == NONE ? NULL : &o->trie.node[node];
    return p && p->is_leaf && p->lo < p->hi ? o->trie.id[p->lo] : NONE;
}

/* Is the name so far one that may be invented? */
static bool key_free(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    return key_at(m->g->shape[f->ref].obj, c->n) == NONE && obj_invents(m, f) &&
           (c->m || m->g->validate) && !name_used(m, f, c->aux);
}

bool key_closable(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    uint32_t key = key_at(m->g->shape[f->ref].obj, c->n);
    if (c->lex != LEX_NORMAL) return false;
    return key != NONE ? obj_offers(m, f, key) : key_free(m, c);
}

/* Letters that surely make the name a free one: `a` repeated, tried out. A begun code point: a bound by counting. */
uint32_t key_extend(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = m->g->shape[f->ref].obj;
    uint32_t taken = c->n == NONE && !f->n_dyn ? 0 : o->n_key + f->n_dyn + 1;
    if (c->lex != LEX_NORMAL) return taken;
    struct conf t = *c;
    for (uint32_t n = 0; n <= taken + 1; n++) {
        if (key_free(m, &t)) return n;
        t.aux = key_hash(t.aux, 'a');
        if (t.n != NONE) t.n = trie_step(&o->trie, t.n, 'a');
        t.m++;
    }
    return COST_MAX;
}

static void key_close(struct matcher *m, struct conf c, uint8_t kind, uint32_t off)
{
    struct frame f = m->frame[c.frame];
    const struct obj *o = m->g->shape[f.ref].obj;
    uint32_t key = key_at(o, c.n), goal = key != NONE ? o->key[key].goal : o->rest, seen = f.seen;
    f.seen = words_take(m, o->n_word);
    if (o->n_word) memcpy(m->word + f.seen, m->word + seen, o->n_word * sizeof *m->word);
    if (key != NONE) {
        m->word[f.seen + key / 64] |= 1ull << (key % 64);
        f.missing -= o->key[key].req;
        for (int s = 0; m->bind && o->key[key].req && s < 2; s++)
            f.todo[s] = f.todo[s] >= COST_MAX ? COST_MAX : f.todo[s] - key_todo(m, &f, key, s);
        if (m->g->declared) f.count = key + 1;
    } else {
        uint32_t at = words_take(m, 3);
        m->word[at] = c.aux;
        m->word[at + 1] = f.dyn;
        m->word[at + 2] = (f.n_dyn ? m->word[f.dyn + 2] * 31 : 17) ^ c.aux;
        f.dyn = at;
        f.n_dyn++;
        if (m->g->declared) f.count = o->n_key;
    }
    f.flags = (uint8_t)((f.flags & ~FL_MORE) | (obj_more(m, &f) ? FL_MORE : 0));
    c = (struct conf){ .kind = kind,
                       .ref = goal,
                       .frame = frame_push(m, f),
                       .style = c.style,
                       .surf = c.surf,
                       .n = off };
    set_emit(m, c);
}

/* Reading one more byte of the name: along the declared names, else as an invented one. */
static bool key_advance(struct matcher *m, struct conf *c, uint8_t b, bool invents)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = m->g->shape[f->ref].obj;
    c->aux = key_hash(c->aux, b);
    if (c->n != NONE) c->n = trie_step(&o->trie, c->n, b);
    if (invents) return true;
    return c->n != NONE && any_offered(m, f, &o->trie.node[c->n]);
}

/* Keyword arguments: a bare name, then =. */
static void step_arg(struct matcher *m, struct conf c, uint8_t b, bool invents)
{
    if (b == '=') {
        if (key_closable(m, &c)) key_close(m, c, C_VALUE, 0);
        return;
    }
    bool letter = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '_';
    bool known = c.n != NONE && trie_step(&m->g->shape[c.ref].obj->trie, c.n, b) != NONE;
    invents = invents && (letter || (c.m && b >= '0' && b <= '9')) &&
              c.m < m->g->shape[c.ref].obj->cap_key + m->frame[c.frame].n_dyn;
    if ((!known && !invents) || !key_advance(m, &c, b, invents)) return;
    c.m++;
    c.part = 1;
    set_emit(m, c);
}

static void step_key(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    const struct obj *o = m->g->shape[f->ref].obj;
    bool invents = obj_invents(m, f);
    if (f->flags & FL_ARGS) { step_arg(m, c, b, invents); return; }
    uint8_t out[4];
    int n_out;
    enum lex_result r = lex_step(&c.lex, &c.part, esc_of(m, c.surf), false, b, out, &n_out);
    if (r == LEX_NO) return;
    if (r == LEX_CLOSE) {
        if (key_closable(m, &c)) key_close(m, c, C_COLON, 0);
        return;
    }
    if (r == LEX_BEGIN && !m->g->validate && c.m++ >= o->cap_key + f->n_dyn) return;
    for (int i = 0; i < n_out; i++)
        if (!key_advance(m, &c, out[i], invents)) return;
    if (c.lex == LEX_NORMAL) c.part = 0;
    if (invents || escape_leads(m, &o->trie, &c, f)) set_emit(m, c);
}

/* ---- separators ------------------------------------------------------------------------------ */

/* What follows a separator between members. */
static void after_sep(struct matcher *m, struct conf c)
{
    const struct frame *f = &m->frame[c.frame];
    c.n = c.m = c.part = 0;
    c.blank = 0;
    c.ref = f->ref;
    if (f->kind == F_ARR) {
        c.kind = C_VALUE;
        c.ref = item_goal_at(m->g->shape[f->ref].arr, f->count);
    } else if (f->flags & FL_ARGS) {
        c.kind = C_KEY;
        c.part = 1;
    } else c.kind = C_QUOTE;
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
                         const uint32_t len[2], uint8_t kind,
                         void (*after)(struct matcher *, struct conf))
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
    if (blank(m, &t, b)) set_emit(m, t);
    else if (b == ':') after_colon(m, c);
}

static bool closes(const struct matcher *m, const struct frame *f, uint8_t b)
{
    if (f->kind == F_ARR) return b == ']' && f->count >= m->g->shape[f->ref].arr->min;
    return b == '}' && !(f->flags & FL_ARGS) && !f->missing;
}

/* Behind a whole value in an object or array. */
static void step_next(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    struct conf t = c;
    if (blank(m, &t, b)) {
        if (f->kind == F_CALL) value_done(m, c.frame, c.style, c.surf);
        else set_emit(m, t);
        return;
    }
    if (f->kind == F_CALL) return;
    if (closes(m, f, b)) { value_done(m, f->parent, c.style, c.surf); return; }
    if (f->kind == F_ARR ? !arr_more(m, f) : !(f->flags & FL_MORE)) return;
    if (!spell(m)->flexible) step_sep(m, c, b);
    else if (b == ',') after_sep(m, c);
}

static void step_quote(struct matcher *m, struct conf c, uint8_t b)
{
    struct conf t = c;
    if (blank(m, &t, b)) { set_emit(m, t); return; }
    if (b != '"') return;
    c.kind = C_KEY;
    c.blank = 0;
    set_emit(m, c);
}

/* Right behind the opening bracket. */
static void step_open(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    struct conf t = c;
    if (blank(m, &t, b)) { set_emit(m, t); return; }
    if (closes(m, f, b)) { value_done(m, f->parent, c.style, c.surf); return; }
    if (f->kind == F_OBJ) {
        if (f->flags & FL_MORE) step_quote(m, c, b);
    } else if (arr_more(m, f)) {
        c.kind = C_VALUE;
        c.ref = item_goal_at(m->g->shape[f->ref].arr, 0);
        step_value(m, c, b);
    }
}

void value_step(struct matcher *m, struct conf c, uint8_t b)
{
    switch (c.kind) {
    case C_VALUE:  step_value(m, c, b); return;
    case C_STR:    step_str(m, c, b); return;
    case C_KEY:    step_key(m, c, b); return;
    case C_NUM:    step_num(m, c, b); return;
    case C_WORD:   step_word(m, c, b); return;
    case C_OPEN:   step_open(m, c, b); return;
    case C_SEP:    step_sep(m, c, b); return;
    case C_QUOTE:  step_quote(m, c, b); return;
    case C_COLON:  step_colon(m, c, b); return;
    case C_NEXT:   step_next(m, c, b); return;
    case C_NUMLIT:
        if ((c.n = trie_step(m->g->shape[c.ref].lit, c.n, b)) != NONE) numlit_emit(m, c);
        return;
    default: return;
    }
}
