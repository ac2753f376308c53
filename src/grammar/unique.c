/* unique.c -- uniqueItems: elements are told apart by hashes of their values.
 *
 * Every value inside of such an array carries a hash that does not depend on its spelling; the byte
 * that would finish an element equal to an earlier one is refused. That alone would leave dead ends
 * (an enum whose last word is taken; a digit that can only become a number that is used), so whatever
 * is emitted inside such an array must still be able to become something new: obvious for open texts and
 * numbers, and found out by looking ahead, closing bytes first, where values are few. */
#include "grammar/cost.h"
#include "grammar/regex.h"

enum { MOST_LOOK = 4000, MOST_DEEP = 400 };
static const char closing[] = "\"}],:123456789.0truefalsn";      /* what is tried first */

bool unique_used(const struct matcher *m, const struct frame *f, uint64_t hash)
{
    for (uint32_t at = f->dyn; at != NONE; at = (uint32_t)m->word[at + 1])
        if (m->word[at] == hash) return true;
    return false;
}

/* 1, 1.0 and 10e-1 are one value. */
uint64_t number_hash(const char *text, size_t len)
{
    struct arena a;
    arena_init(&a, 1024);
    struct dec d = dec_read(&a, text, len);
    uint64_t h = mix64(hash64(d.digit, (size_t)d.n, 11), (uint64_t)d.point * 2 + d.neg);
    arena_done(&a);
    return h;
}

/* The nearest array around that must not repeat an element it already has, or NONE. */
static uint32_t guard_around(const struct matcher *m, uint32_t frame)
{
    for (; frame != NONE && m->frame[frame].flags & FL_HASH; frame = m->frame[frame].parent) {
        const struct frame *f = &m->frame[frame];
        if (f->kind == F_ARR && f->n_dyn && frame_arr(m, f)->unique) return frame;
    }
    return NONE;
}

/* Elements that a value must not equal, of all such arrays around. */
static uint32_t taken_around(const struct matcher *m, uint32_t frame)
{
    uint32_t n = 0;
    for (uint32_t at = guard_around(m, frame); at != NONE; at = guard_around(m, m->frame[at].parent)) n += m->frame[at].n_dyn;
    return n;
}

/* The outermost of them. */
uint32_t unique_guard(const struct matcher *m, uint32_t frame)
{
    uint32_t found = NONE;
    for (; frame != NONE && m->frame[frame].flags & FL_HASH; frame = m->frame[frame].parent) {
        const struct frame *f = &m->frame[frame];
        if (f->kind == F_ARR && f->n_dyn && frame_arr(m, f)->unique) found = frame;
    }
    return found;
}

/* ---- enough room without looking ------------------------------------------------------------- */

/* Surely more ways to go on behind `len` code points than elements that it may not equal. */
static bool roomy_text(const struct strs *s, uint32_t state, uint32_t len, uint32_t taken)
{
    if (!s->dfa) return s->max == NONE || s->max - MIN(len, s->max) >= letters_for(taken);
    if (s->max != NONE || s->min > len) return false;
    return dfa_lens(s->dfa, state)->max == NONE || dfa_count(s->dfa, state, taken + 1) > taken;
}

bool roomy_string(const struct matcher *m, const struct conf *c)
{
    const struct strs *s = shape_at(m, c->ref, c->sh)->str;
    uint32_t slack = unique_spare(m, c);
    if (!slack || (s->max == NONE && (!s->dfa || dfa_lens(s->dfa, c->dfa)->max == NONE))) return true;
    return !s->dfa && c->m + (uint32_t)m->v->max_len + slack <= s->max;
}

uint32_t unique_spare(const struct matcher *m, const struct conf *c)
{
    return letters_for(taken_around(m, c->frame));
}

static bool roomy_goal(const struct matcher *m, uint32_t goal, uint32_t taken, int deep);

static bool roomy_alts(const struct matcher *m, const struct alts *l, uint32_t taken, int deep)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (roomy_goal(m, l->alt[i].goal, taken, deep)) return true;
    return false;
}

/* Surely more than `taken` values of this shape. */
static bool roomy_shape(const struct matcher *m, const struct shape *sh, uint32_t taken, int deep)
{
    if (!sh->met) return false;
    switch (sh->kind) {
    case SH_NUM: return num_count(sh->num, NULL, taken + 1) > taken;
    case SH_STR: return roomy_text(sh->str, DFA_START, 0, taken);
    case SH_ARR:
        if (sh->arr->max != NONE || !sh->arr->rest.n) return false;
        return sh->arr->unique ? roomy_alts(m, &sh->arr->rest, taken, deep + 1) : goal_met(m->g, sh->arr->rest.alt[0].goal);
    case SH_OBJ:
        for (uint32_t i = 0; i < sh->obj->n_cls; i++)
            if (roomy_text(&sh->obj->cls[i].s, DFA_START, 0, taken) && sh->obj->max == NONE) return true;
        for (uint32_t i = 0; i < sh->obj->n_key; i++)
            if (sh->obj->key[i].req && roomy_alts(m, &sh->obj->key[i].alts, taken, deep + 1)) return true;
        return false;
    default: return false;
    }
}

static bool roomy_goal(const struct matcher *m, uint32_t goal, uint32_t taken, int deep)
{
    if (deep > 8 || !goal_met(m->g, goal)) return false;
    const struct goal *p = goal_at(m->g, goal);
    for (uint32_t i = 0; i < p->n_shape; i++)
        if (roomy_shape(m, &p->shape[i], taken, deep)) return true;
    return false;
}

/* Does it make no difference to the other members of an object whether this key is there? */
static bool key_is_alone(const struct matcher *m, const struct obj *o, uint32_t key)
{
    bool in = o->max != NONE || declared_order(m) || o->key[key].need || o->key[key].owed;
    for (uint32_t b = 0; b < o->n_ban && !in; b++) in = o->ban[b][key / 64] >> (key % 64) & 1;
    for (uint32_t d = 0; d < MOST_DEBT && !in; d++) in = o->absent[d] && o->absent[d][key / 64] >> (key % 64) & 1;
    return !in;
}

/* Can a member that need not come be added, of whose values there are enough to make the object a new one? Behind a name that
 * is being written (`named`) only if it does not matter which one. */
static bool adds_member(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t taken, bool named)
{
    enum { HEIGHT = 10 };               /* roomy_goal() looks so deep: all of that must fit */
    const struct obj *o = frame_obj(m, f);
    if (f->depth + HEIGHT >= MOST_DEPTH || (named && !key_is_alone(m, o, key))) return false;
    const struct alts *l = &o->key[key].alts;
    for (uint32_t i = 0; i < l->n; i++)
        if (roomy_goal(m, l->alt[i].goal, taken, 0) && obj_takes(m, f, key, &l->alt[i])) return obj_offers(m, f, key);
    return false;
}

/* Can an array grow as often as one likes? One that must not repeat itself either only as far as there are elements. */
static bool longer(const struct matcher *m, const struct frame *f, uint32_t taken)
{
    const struct arr *a = frame_arr(m, f);
    if (a->max != NONE || !arr_more(m, f)) return false;
    return !a->unique || roomy_alts(m, &a->rest, taken + f->n_dyn, 0);
}

/* What is open in the containers around, up to the guarded array. */
static bool roomy_frames(const struct matcher *m, const struct conf *c, uint32_t top)
{
    uint32_t taken = m->frame[top].n_dyn;
    for (uint32_t frame = c->frame; frame != top; frame = m->frame[frame].parent) {
        const struct frame *f = &m->frame[frame];
        if (f->kind == F_ARR && longer(m, f, taken)) return true;
        if (f->kind != F_OBJ) continue;
        const struct obj *o = frame_obj(m, f);
        for (uint32_t i = 0; i < o->n_cls; i++)
            if (roomy_text(&o->cls[i].s, DFA_START, 0, taken + f->n_dyn + o->n_key) && obj_invents(m, f, i)) return true;
        bool named = frame == c->frame && c->kind == C_KEY;
        for (uint32_t i = 0; i < o->n_key; i++)
            if (o->key[i].req && !obj_seen(m, f, i) && roomy_alts(m, &o->key[i].alts, taken, 0)) return true;
        for (uint32_t i = 0; i < o->n_key; i++)
            if (!o->key[i].req && !obj_seen(m, f, i) && adds_member(m, f, i, taken, named)) return true;
    }
    return false;
}

/* A number of few digits, and up to `more`, that nothing keeps from becoming longer. */
static bool roomy_num(const struct num *p, const struct conf *c, uint32_t more)
{
    return c->n + more < 8 && num_endless(p, c);
}

bool roomy_number(const struct matcher *m, const struct conf *c, uint32_t more)
{
    return unique_guard(m, c->frame) == NONE || roomy_num(shape_at(m, c->ref, c->sh)->num, c, more);
}

static bool roomy(const struct matcher *m, const struct conf *c, uint32_t top)
{
    const struct shape *sh = c->kind == C_STR || c->kind == C_NUM ? shape_at(m, c->ref, c->sh) : NULL;
    uint32_t taken = m->frame[top].n_dyn;
    switch (c->kind) {
    case C_STR: if (sh->kind == SH_STR && roomy_text(sh->str, c->dfa, c->m, taken)) return true; break;
    case C_NUM:
        if (roomy_num(sh->num, c, 0) || num_count(sh->num, c, taken + 1) > taken) return true;
        break;
    case C_KEY:
        if (c->cls && roomy_text(&frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s, c->dfa, c->m, MOST_DYN + MOST_KEY)) return true;
        break;
    case C_VALUE: case C_COLON: if (roomy_goal(m, c->ref, taken, 0)) return true; break;
    case C_NEXT: case C_SEP:
        if (c->frame == top && roomy_alts(m, item_alts(frame_arr(m, &m->frame[top]), m->frame[top].count), taken, 0)) return true;
        break;
    default: break;
    }
    return roomy_frames(m, c, top);
}

/* ---- looking ahead --------------------------------------------------------------------------- */

/* guided: by what the budget says of the shortest way; found: bytes of the way, -1: not known */
struct look { struct matcher *m; uint32_t parent; uint16_t depth, n_dyn; bool guided; int steps, found; };

/* Has one more element of the guarded array ended in one of these configurations? */
static bool passed(const struct look *l, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n; i++) {
        const struct conf *c = &l->m->conf[i];
        const struct frame *f = &l->m->frame[c->frame];
        if (c->kind == C_NEXT && f->kind == F_ARR && f->depth == l->depth && f->parent == l->parent && f->n_dyn > l->n_dyn)
            return true;
    }
    return false;
}

/* Between tokens of JSON a blank leads nowhere that is not reached without it. */
static bool between(const struct matcher *m, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n; i++) {
        uint8_t k = m->conf[i].kind;
        if (k != C_VALUE && k != C_OPEN && k != C_QUOTE && k != C_COLON && k != C_NEXT) return false;
    }
    return m->g->spell.flexible;
}

/* The letters of declared names that may come. */
static struct byteset name_letters(const struct matcher *m, uint32_t from, uint32_t n)
{
    struct byteset s = { 0 };
    for (uint32_t i = from; i < from + n; i++) {
        const struct conf *c = &m->conf[i];
        if (c->kind != C_KEY || c->n == NONE) continue;
        const struct trie *t = &frame_obj(m, &m->frame[c->frame])->trie;
        for (uint32_t k = 0; k < t->node[c->n].n_child; k++) byteset_add(&s, t->node[t->node[c->n].child + k].byte);
    }
    return s;
}

/* The first n of the list by what the budget says of the shortest way from behind each. */
static void by_cost(struct matcher *m, uint32_t from, uint32_t n_conf, uint8_t *list, uint32_t n)
{
    struct mark k = matcher_mark(m);
    uint32_t cost[256];
    for (uint32_t i = 0; n > 1 && i < n; i++) {
        uint8_t b = list[i];
        uint32_t got = set_step(m, from, n_conf, b), own = got ? set_cost(m, m->set0, got) : COST_MAX, at = i;
        matcher_reset(m, k);
        for (; at > 0 && cost[at - 1] > own; at--) {
            cost[at] = cost[at - 1];
            list[at] = list[at - 1];
        }
        cost[at] = own;
        list[at] = b;
    }
}

static uint32_t list_put(uint8_t list[256], uint32_t n, struct byteset *may, uint8_t b)
{
    if (!byteset_has(may, b)) return n;
    byteset_remove(may, b);
    list[n] = b;
    return n + 1;
}

static bool holds_number(const struct matcher *m, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n; i++)
        if (m->conf[i].kind == C_NUM) return true;
    return false;
}

/* Bytes that may come, in the order in which they are tried: what closes first; for the budget what is nearest to the end
 * first, so that the way is about as short as one may be. Exponents last: all of zero are zero. */
static uint32_t in_order(struct look *l, uint32_t from, uint32_t n, uint8_t list[256])
{
    struct matcher *m = l->m;
    struct byteset may = set_bytes(m, from, n);
    uint32_t count = 0;
    if (between(m, from, n))
        for (const char *b = " \t\n\r"; *b; b++) byteset_remove(&may, (uint8_t)*b);
    bool exponent = byteset_has(&may, 'e') && holds_number(m, from, n);
    if (exponent) byteset_remove(&may, 'e');
    for (const char *b = closing; *b; b++) count = list_put(list, count, &may, (uint8_t)*b);
    if (l->guided) {
        struct byteset near = name_letters(m, from, n);
        for (uint32_t b = 0; b < 256; b++)
            if (byteset_has(&near, (uint8_t)b)) count = list_put(list, count, &may, (uint8_t)b);
        by_cost(m, from, n, list, count);
    }
    for (uint32_t b = 0; b < 256; b++) count = list_put(list, count, &may, (uint8_t)b);
    if (exponent) list[count++] = 'e';
    return count;
}

/* Depth first. */
static bool look(struct look *l, uint32_t from, uint32_t n, int deep)
{
    struct matcher *m = l->m;
    struct mark k = matcher_mark(m);
    if (passed(l, from, n)) { l->found = deep; return true; }
    if (deep >= MOST_DEEP) return false;
    uint8_t list[256];
    uint32_t count = in_order(l, from, n, list);
    for (uint32_t i = 0; i < count; i++) {
        if (++l->steps > MOST_LOOK) return true;
        uint32_t got = set_step(m, from, n, list[i]);
        bool ok = got && look(l, m->set0, got, deep + 1);
        matcher_reset(m, k);
        if (ok) return true;
    }
    return false;
}

/* Can c become a new element of the guarded array? *way: bytes of one that was found, NONE if it is not known. */
static bool look_from(struct matcher *m, const struct conf *c, uint32_t top, uint32_t *way)
{
    const struct frame f = m->frame[top];
    const struct conf own = *c;         /* it may lie in the list that grows */
    struct look l = { .m = m, .parent = f.parent, .depth = f.depth, .n_dyn = f.n_dyn, .guided = way != NULL, .found = -1 };
    struct mark k = matcher_mark(m);
    uint32_t set0 = m->set0;
    int fuel = m->fuel;
    m->probing++;
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = own;
    bool alive = look(&l, k.conf, 1, 0);
    m->probing--;
    matcher_reset(m, k);
    m->set0 = set0;
    m->n_place = 0;
    m->fuel = fuel;
    if (way) *way = alive && l.found >= 0 ? (uint32_t)l.found : NONE;
    return alive;
}

/* Literals as elements: is one of those that can still come a new one? */
static bool fresh_literal(const struct matcher *m, const struct conf *c, const struct shape *sh, const struct frame *f)
{
    const struct tnode *p = &sh->lit->node[c->n];
    for (uint32_t r = p->lo; r < p->hi; r++) {
        struct bytes b = sh->lit->str[r];
        uint64_t h = 0;
        for (size_t i = 0; sh->kind == SH_STRLIT && i < b.len; i++) h = key_hash(h, (uint8_t)b.p[i]);
        h = sh->kind == SH_STRLIT ? mix64(h, SALT_TEXT) : number_hash(b.p, b.len);
        if (!unique_used(m, f, h)) return true;
    }
    return false;
}

/* Can the element of one of these arrays still become a new one? */
static bool becomes_new(struct matcher *m, const struct conf *c, uint32_t top)
{
    if (roomy(m, c, top)) return true;
    bool lit = c->kind == C_NUMLIT || (c->kind == C_STR && shape_at(m, c->ref, c->sh)->kind == SH_STRLIT);
    if (lit && c->frame == top && (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8))
        return fresh_literal(m, c, shape_at(m, c->ref, c->sh), &m->frame[top]);
    if (c->kind == C_NEXT && c->frame == top && arr_closes(m, &m->frame[top])) return true;
    return look_from(m, c, top, NULL);
}

bool unique_alive(struct matcher *m, const struct conf *c)
{
    for (uint32_t at = guard_around(m, c->frame); at != NONE; at = guard_around(m, m->frame[at].parent))
        if (!becomes_new(m, c, at)) return false;
    return true;
}

/* ---- the budget's side ----------------------------------------------------------------------- */

/* Letters that make a text new: one that some byte grows shorter by, as long as not all texts of a letter more are used. */
static uint32_t text_detour(const struct matcher *m, const struct conf *c, uint32_t top)
{
    const struct frame *f = &m->frame[top];
    if (!unique_used(m, f, mix64(c->aux, SALT_TEXT))) return 0;
    uint32_t most = letters_for(f->n_dyn);
    bool new = most == 1;
    for (uint8_t b = ' '; b < 0x7f && !new; b++)
        new = byte_is_bare(b) && !unique_used(m, f, mix64(key_hash(c->aux, b), SALT_TEXT));
    return new ? 1 : most + 1;
}

uint32_t unique_another(const struct matcher *m, uint32_t frame)
{
    uint32_t sum = 0;
    for (; frame != NONE && m->frame[frame].flags & FL_HASH; frame = m->frame[frame].parent)
        if (m->frame[frame].kind == F_ARR) sum = cost_add(sum, cost_other(m, frame_arr(m, &m->frame[frame]), 0, 1));
    return sum;
}

/* Not yet inside of an element of the guarded array: which one comes next, and so what it counts for, is open. */
static bool between_elements(const struct conf *c, uint32_t top)
{
    return c->frame == top && (c->kind == C_NEXT || c->kind == C_OPEN || c->kind == C_SEP);
}

/* The way that looking ahead finds: from every place on it the rest of it is found again, so it grows shorter byte by byte. */
uint32_t unique_way(const struct matcher *cm, const struct conf *c, uint32_t *top)
{
    struct matcher *m = (struct matcher *)cm;           /* probing leaves nothing behind */
    uint32_t way = NONE;
    *top = unique_guard(m, c->frame);
    if (*top == NONE || between_elements(c, *top)) return NONE;
    bool text = c->kind == C_STR && shape_at(m, c->ref, c->sh)->kind == SH_STR;
    if (text && unique_by_text(m, c) && c->lex == LEX_NORMAL) return NONE;           /* see text_detour() */
    look_from(m, c, *top, &way);
    return way;
}

uint32_t unique_slack(const struct matcher *m, const struct conf *c) { return taken_around(m, c->frame); }

bool unique_by_text(const struct matcher *m, const struct conf *c)
{
    const struct shape *sh = shape_at(m, c->ref, c->sh);
    return c->kind == C_STR && sh->kind == SH_STR && !sh->str->dfa && m->frame[c->frame].kind == F_ARR &&
           c->frame == unique_guard(m, c->frame);
}

uint64_t unique_text_hash(uint64_t aux) { return mix64(aux, SALT_TEXT); }

uint32_t unique_detour(const struct matcher *m, const struct conf *c)
{
    uint32_t top = unique_guard(m, c->frame);
    if (top == NONE) return 0;
    if (c->lex == LEX_NORMAL && unique_by_text(m, c)) return text_detour(m, c, top);
    if (between_elements(c, top)) return 0;
    return cost_other(m, frame_arr(m, &m->frame[top]), 0, m->frame[top].n_dyn);
}

/* ---- how many values ------------------------------------------------------------------------- */

static uint32_t card_of(struct grammar *g, uint32_t goal, uint32_t cap, int deep);

static uint32_t card_shape(struct grammar *g, const struct shape *sh, uint32_t cap, int deep)
{
    uint64_t n = 1;
    switch (sh->kind) {
    case SH_NUM: return g->o.validate ? cap : num_count(sh->num, NULL, cap);
    case SH_NUMLIT: case SH_STRLIT: return MIN(sh->lit->n_str, cap);
    case SH_STR: return sh->str->dfa ? dfa_count(sh->str->dfa, DFA_START, cap) : sh->str->max ? cap : 1;
    case SH_ARR: return sh->arr->max ? cap : 1;
    case SH_OBJ:
        if (sh->obj->n_cls || deep > 4) return cap;
        for (uint32_t i = 0; i < sh->obj->n_key && n < cap; i++) {
            uint32_t own = sh->obj->key[i].alts.n ? card_of(g, sh->obj->key[i].alts.alt[0].goal, cap, deep + 1) : 0;
            n *= (uint64_t)own + !sh->obj->key[i].req;
        }
        return (uint32_t)MIN(n, cap);
    default: return 1;
    }
}

static uint32_t card_of(struct grammar *g, uint32_t goal, uint32_t cap, int deep)
{
    uint64_t n = 0;
    if (!goal_expand(g, goal, NULL)) return 0;
    const struct goal *p = goal_at(g, goal);
    if (p->state == GOAL_BUSY) return cap;
    for (uint32_t i = 0; i < p->n_shape && n < cap; i++) n += card_shape(g, &p->shape[i], cap, deep);
    return (uint32_t)MIN(n, cap);
}

/* Are there so many different elements behind the places that count for `owed`? Whether there is one is asked elsewhere. */
static bool rest_enough(struct grammar *g, const struct arr *a, uint32_t owed, uint64_t need)
{
    uint32_t n = 0, cap = (uint32_t)MIN(need, 100000u);
    if (cap < 2) return true;
    for (uint32_t i = 0; i < a->rest.n && n < cap; i++)
        if ((a->rest.alt[i].owed & owed) == owed) n += card_of(g, a->rest.alt[i].goal, cap - n, 0);
    return n >= cap;
}

bool unique_enough(struct grammar *g, const struct arr *a)
{
    if (a->min > a->n_prefix && !rest_enough(g, a, 0, a->min - a->n_prefix)) return false;
    for (uint32_t c = 0; c < a->n_cont; c++) {
        uint32_t places = 0;
        for (uint32_t p = 0; p < a->n_prefix && places < a->cont[c].min; p++)
            for (uint32_t i = 0; i < a->prefix[p].n; i++)
                if (a->prefix[p].alt[i].owed >> c & 1) { places++; break; }
        if (!rest_enough(g, a, 1u << c, a->cont[c].min - places)) return false;
    }
    return true;
}
