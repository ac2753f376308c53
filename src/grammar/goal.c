/* goal.c -- goals, and how one is taken apart.
 *
 * A goal is an interned, sorted set of signed nodes and means their conjunction: allOf, references
 * with siblings, properties that several schemas speak about and negation are all set operations.
 * Expanding a goal opens it into bags, conjunctions without alternatives: what applies to the same
 * value (references, allOf) joins the bag; what offers a choice (anyOf, oneOf, if, a negated schema,
 * which is an alternative of negated keywords) becomes one bag per way. The set of types that are left
 * is kept while opening, so most ways die before they cost anything. shape.c reads the bags that remain.
 *
 * oneOf is exact: a way excludes every other alternative, unless the two have no value in common. */
#include <stdlib.h>

#include "grammar/int.h"

/* ---- interning ------------------------------------------------------------------------------- */

static uint32_t goal_home(const struct schemas *s, const uint32_t *key, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) h = mix64(h, key[i]);
    return (uint32_t)h & (s->n_goal_slot - 1);
}

static void goals_rehash(struct grammar *g, uint32_t n_goal)
{
    struct schemas *s = &g->s;
    s->n_goal_slot = s->n_goal_slot ? s->n_goal_slot * 2 : 64;
    mem_free(s->goal_slot);
    s->goal_slot = mem_zero(s->n_goal_slot * sizeof *s->goal_slot);
    for (uint32_t i = 0; i < n_goal; i++) {
        const struct goal *p = goal_at(g, i);
        uint32_t h = goal_home(s, p->key, p->n_key);
        while (s->goal_slot[h]) h = (h + 1) & (s->n_goal_slot - 1);
        s->goal_slot[h] = i + 1;
    }
}

static uint32_t sort_key(uint32_t *key, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {                  /* nearly always one or two */
        uint32_t v = key[i], k = i;
        for (; k > 0 && key[k - 1] > v; k--) key[k] = key[k - 1];
        key[k] = v;
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!k || key[k - 1] != key[i]) key[k++] = key[i];
    return k;
}

uint32_t goal_of(struct grammar *g, const uint32_t *key, uint32_t n, struct err *e)
{
    struct schemas *s = &g->s;
    uint32_t own[MOST_BAG + 8], n_goal = atomic_load(&g->n_goal);
    if (n > LEN(own)) {
        err_set(e, ERR_LIMIT, "more than %d schemas apply to one value", MOST_BAG);
        return NONE;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (key[i] == NONE) return NONE;
        own[i] = key[i];
    }
    n = sort_key(own, n);
    if (n_goal * 2 >= s->n_goal_slot) goals_rehash(g, n_goal);
    uint32_t h = goal_home(s, own, n);
    for (; s->goal_slot[h]; h = (h + 1) & (s->n_goal_slot - 1)) {
        const struct goal *p = goal_at(g, s->goal_slot[h] - 1);
        if (p->n_key == n && (!n || !memcmp(p->key, own, n * sizeof *own))) return s->goal_slot[h] - 1;
    }
    if (n_goal >= MOST_GOAL) {
        err_set(e, ERR_LIMIT, "more than %d combinations of schemas", MOST_GOAL);
        return NONE;
    }
    uint32_t full = 0;                                  /* chunks before this one */
    while (n_goal >= ((uint32_t)GOAL_FIRST << (full + 1)) - GOAL_FIRST) full++;
    if (!g->goal_chunk[full]) g->goal_chunk[full] = mem_zero(((size_t)GOAL_FIRST << full) * sizeof **g->goal_chunk);
    struct goal *p = goal_at(g, n_goal);
    p->key = arena_small(&g->mem, (n + 1) * sizeof *p->key);
    if (n) memcpy(p->key, own, n * sizeof *own);
    p->n_key = n;
    s->goal_slot[h] = n_goal + 1;
    atomic_store(&g->n_goal, n_goal + 1);
    return n_goal;
}

/* ---- bags ------------------------------------------------------------------------------------ */

static uint32_t first_node(const struct expand *x)
{
    const struct goal *p = goal_at(x->g, x->goal);
    for (uint32_t i = 0; i < p->n_key; i++)
        if (p->key[i] / 2 != NODE_ANY_OBJECT) return p->key[i] / 2;
    return NODE_ANY_OBJECT;
}

static bool too_many(struct expand *x, const char *what)
{
    return schemas_fail(x->g, x->e, first_node(x), ERR_LIMIT, "", "%s", what);
}

struct shape *shape_add(struct expand *x, enum shape_kind kind)
{
    if (x->n_shape >= MOST_SHAPE) {
        too_many(x, "more than 512 alternatives for one value");
        return NULL;
    }
    MEM_GROW(x->shape, x->n_shape, x->cap_shape);
    x->shape[x->n_shape] = (struct shape){ .kind = (uint8_t)kind };
    return &x->shape[x->n_shape++];
}

bool bag_below(const struct bag *b, uint32_t at, uint32_t top)
{
    for (; at != NONE && at != top; at = b->item[at].from)
        if (b->item[at].ref & 1) return false;          /* what a negation looks at does not count */
    return at == top;
}

uint32_t bag_item(const struct bag *b, uint32_t ref)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (b->item[i].ref == ref) return i;
    return NONE;
}

enum added { ADDED, DEAD, TROUBLE };
/* Adds a schema that item `from` brings in. DEAD: the bag cannot be met. */
static enum added bag_add(struct expand *x, struct bag *b, uint32_t ref, uint32_t from, bool exact)
{
    for (uint32_t k = from; k != NONE; k = b->item[k].from)
        if (b->item[k].ref == ref) {
            schemas_fail(x->g, x->e, ref / 2, ERR_SCHEMA, "",
                         "leads back to itself with nothing in between");
            return TROUBLE;
        }
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->item[i].ref == (ref ^ 1)) return DEAD;
        if (b->item[i].ref == ref && !exact) return ADDED;
    }
    if (b->n >= MOST_BAG) {
        too_many(x, "more than 400 schemas apply to one value");
        return TROUBLE;
    }
    b->item[b->n++] = (struct item){ ref, from, exact };
    return ADDED;
}

/* ---- ways ------------------------------------------------------------------------------------ */

enum todo { TODO_ANY, TODO_ONE, TODO_IF, TODO_DEP, TODO_NOT, TODO_NOT_LITERAL };

static uint32_t yes(uint32_t node) { return node * 2; }
static uint32_t no(uint32_t node) { return node * 2 + 1; }

/* One way on: types that stay, schemas that join, a negated keyword. */
struct way { int types; uint32_t *ref, n_ref; bool has_atom, exact; struct atom atom; };
struct ways { struct expand *x; struct way *way; uint32_t n, cap; };

static struct way *way_add(struct ways *w, int types)
{
    if (w->n == w->cap) {
        struct way *more = arena_small(w->x->tmp, (w->cap * 2 + 8) * sizeof *more);
        if (w->n) memcpy(more, w->way, w->n * sizeof *more);
        w->way = more;
        w->cap = w->cap * 2 + 8;
    }
    w->way[w->n] = (struct way){ .types = types };
    return &w->way[w->n++];
}

static uint32_t *way_refs(struct ways *w, struct way *p, uint32_t n)
{
    p->ref = arena_small(w->x->tmp, (n + 1) * sizeof *p->ref);
    return p->ref;
}

static void way_ref(struct ways *w, int types, uint32_t ref)
{
    struct way *p = way_add(w, types);
    way_refs(w, p, 1)[p->n_ref++] = ref;
}

static struct way *way_atom(struct ways *w, int types, enum atom_kind kind, uint32_t node)
{
    struct way *p = way_add(w, types);
    p->has_atom = true;
    p->atom = (struct atom){ .kind = (uint8_t)kind, .node = node };
    return p;
}


/* ---- alternatives that exclude each other by themselves ---------------------------------------- */

/* What else is known of the value, without the schemas that bring in others: the oneOf in question may be among them. */
static uint32_t context(const struct expand *x, const struct bag *b, uint32_t *ref, uint32_t most)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n && n < most; i++) {
        const struct node *p = node_at(x->g, b->item[i].ref / 2);
        if (!(b->item[i].ref & 1) && !p->in && !(p->obj && p->obj->n_dep)) ref[n++] = b->item[i].ref;
    }
    return n;
}

static bool empty_together(struct expand *x, uint32_t *ref, uint32_t n)
{
    uint32_t goal = goal_of(x->g, ref, n, NULL);
    return goal != NONE && goal_surely_empty(x->g, goal);
}

static bool disjoint(struct expand *x, const struct bag *bag, const struct kw_in *in, uint32_t i, uint32_t k)
{
    uint32_t a = in->one[i], b = in->one[k];
    if (branches_apart(x->g, in, i, k, bag->types) || bag_tells_apart(x->g, bag, a, b)) return true;
    uint32_t ref[32] = { yes(a), yes(b) };
    if (empty_together(x, ref, 2)) return true;
    uint32_t n = context(x, bag, ref + 2, LEN(ref) - 2);
    return n && empty_together(x, ref, n + 2);
}

/* ---- positive choices ------------------------------------------------------------------------ */

static void ways_one(struct ways *w, const struct kw_in *in, const struct bag *b)
{
    for (uint32_t i = 0; i < in->n_one; i++) {
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, in->n_one)[p->n_ref++] = yes(in->one[i]);
        for (uint32_t k = 0; k < in->n_one; k++)
            if (k != i && !disjoint(w->x, b, in, i, k))
                w->way[w->n - 1].ref[w->way[w->n - 1].n_ref++] = no(in->one[k]);
    }
}

/* What unevaluated* must know: every alternative either holds or does not. */
static bool ways_any_exact(struct ways *w, const struct kw_in *in)
{
    if (in->n_any > 8) return too_many(w->x, "more than 8 alternatives beside unevaluated…");
    for (uint32_t set = 1; set < 1u << in->n_any; set++) {
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, in->n_any);
        for (uint32_t i = 0; i < in->n_any; i++)
            p->ref[p->n_ref++] = set >> i & 1 ? yes(in->any[i]) : no(in->any[i]);
    }
    return true;
}

static void ways_if(struct ways *w, const struct kw_in *in)
{
    for (int held = 1; held >= 0; held--) {
        uint32_t next = held ? in->then : in->other;
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, 2)[p->n_ref++] = held ? yes(in->cond) : no(in->cond);
        if (next != NONE) p->ref[p->n_ref++] = yes(next);
    }
}

static void ways_dep(struct ways *w, uint32_t node, const struct kw_prop *dep)
{
    if (dep_names_values(w->x->g, dep->node)) {
        way_ref(w, T_ALL, yes(dep->node));
        struct way *p = way_atom(w, T_OBJ, LACKS_KEY, node);
        p->atom.key = dep->name;
        way_refs(w, p, 1)[p->n_ref++] = no(dep->node);
        return;
    }
    way_atom(w, T_ALL, LACKS_KEY, node)->atom.key = dep->name;
    struct way *p = way_atom(w, T_OBJ, HAS_KEY, node);
    p->atom.key = dep->name;
    way_refs(w, p, 1)[p->n_ref++] = yes(dep->node);
}

/* ---- negated schemas ------------------------------------------------------------------------- */

static void not_in(struct ways *w, const struct kw_in *in)
{
    if (in->ref != NONE) way_ref(w, T_ALL, no(in->ref));
    for (uint32_t i = 0; i < in->n_all; i++) way_ref(w, T_ALL, no(in->all[i]));
    if (in->no != NONE) way_ref(w, T_ALL, yes(in->no));
    if (in->n_any) {
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, in->n_any);
        for (uint32_t i = 0; i < in->n_any; i++) p->ref[p->n_ref++] = no(in->any[i]);
    }
    if (in->n_one) {                                    /* none, or two at least */
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, in->n_one);
        for (uint32_t i = 0; i < in->n_one; i++) p->ref[p->n_ref++] = no(in->one[i]);
    }
    for (uint32_t i = 0; i < in->n_one; i++)
        for (uint32_t k = 0; k < i; k++) {
            struct way *p = way_add(w, T_ALL);
            way_refs(w, p, 2);
            p->ref[p->n_ref++] = yes(in->one[i]);
            p->ref[p->n_ref++] = yes(in->one[k]);
        }
    for (int held = 1; in->cond != NONE && held >= 0; held--) {
        uint32_t next = held ? in->then : in->other;
        if (next == NONE) continue;
        struct way *p = way_add(w, T_ALL);
        way_refs(w, p, 2);
        p->ref[p->n_ref++] = held ? yes(in->cond) : no(in->cond);
        p->ref[p->n_ref++] = no(next);
    }
}

static void not_num(struct ways *w, uint32_t node, const struct kw_num *k)
{
    if (k->has_lo) way_atom(w, T_NUM, NOT_LO, node);
    if (k->has_hi) way_atom(w, T_NUM, NOT_HI, node);
    if (k->has_multiple) way_atom(w, T_NUM, NOT_MULTIPLE, node);
}

static void not_str(struct ways *w, uint32_t node, const struct kw_str *k)
{
    if (k->min) way_atom(w, T_STR, NOT_MIN_LEN, node);
    if (k->max != NONE) way_atom(w, T_STR, NOT_MAX_LEN, node);
    if (k->pattern.p) way_atom(w, T_STR, NOT_PATTERN, node);
    if (k->format.p) way_atom(w, T_STR, NOT_FORMAT, node);
}

/* Everything else of the schema holds (so that it is known what it looks at), and something it does not look at fails. */
static void way_uneval(struct ways *w, int type, enum atom_kind kind, uint32_t node)
{
    uint32_t bare = schemas_bare(w->x->g, node);
    struct way *p = way_atom(w, type, kind, node);
    p->exact = true;
    if (bare != NONE) way_refs(w, p, 1)[p->n_ref++] = yes(bare);
}

static void not_arr(struct ways *w, uint32_t node, const struct kw_arr *k)
{
    if (k->min) way_atom(w, T_ARR, NOT_MIN_ITEMS, node);
    if (k->max != NONE) way_atom(w, T_ARR, NOT_MAX_ITEMS, node);
    if (k->n_prefix || k->rest != NONE) way_atom(w, T_ARR, NOT_ITEMS, node);
    if (k->unique) way_atom(w, T_ARR, NOT_UNIQUE, node);
    if (k->contains != NONE && k->least) way_atom(w, T_ARR, NOT_CONTAINS, node);
    if (k->contains != NONE && k->most != NONE) way_atom(w, T_ARR, TOO_MANY, node);
    if (k->uneval != NONE) way_uneval(w, T_ARR, NOT_UNEVAL_ITEMS, node);
}

static void not_obj(struct ways *w, uint32_t node, const struct kw_obj *k)
{
    if (k->n_prop || k->n_pattern || k->rest != NONE) way_atom(w, T_OBJ, NOT_PROPS, node);        /* or lacks one, see debt.c */
    else if (k->n_req) way_atom(w, T_OBJ, LACKS_ONE, node);
    if (k->names != NONE) way_atom(w, T_OBJ, NOT_NAMES, node);
    if (k->min) way_atom(w, T_OBJ, NOT_MIN_PROPS, node);
    if (k->max != NONE) way_atom(w, T_OBJ, NOT_MAX_PROPS, node);
    for (uint32_t i = 0; i < k->n_need; i++)
        for (uint32_t n = 0; n < k->need[i].n; n++) {
            /* has the key, lacks what it needs: the second travels as a negated schema of its own */
            struct way *p = way_atom(w, T_OBJ, HAS_KEY, node);
            p->atom.key = k->need[i].key;
            p->atom.from = n;
            p = way_atom(w, T_OBJ, LACKS_KEY, node);
            p->atom.key = k->need[i].name[n];
            w->way[w->n - 2].n_ref = NONE;              /* marks a pair, see apply() */
        }
    for (uint32_t i = 0; i < k->n_dep; i++) {
        struct way *p = way_atom(w, T_OBJ, HAS_KEY, node);
        p->atom.key = k->dep[i].name;
        way_refs(w, p, 1)[p->n_ref++] = no(k->dep[i].node);
    }
    if (k->uneval != NONE) way_uneval(w, T_OBJ, NOT_UNEVAL_PROPS, node);
}

static void ways_not(struct ways *w, uint32_t id)
{
    const struct node *n = node_at(w->x->g, id);
    uint32_t first = w->n + 1;
    if (n->types != T_ALL) way_add(w, T_ALL & ~n->types);
    if (n->lits) way_atom(w, T_ALL, NOT_LITS, id);
    if (n->num) not_num(w, id, n->num);
    if (n->str) not_str(w, id, n->str);
    if (n->arr) not_arr(w, id, n->arr);
    if (n->obj) not_obj(w, id, n->obj);
    if (n->in) not_in(w, n->in);
    /* The ways exclude each other by type: else many negated schemas of one type open into all sets of them. */
    for (uint32_t i = first; n->types != T_ALL && i < w->n; i++) w->way[i].types &= n->types;
}

/* Another value than this array or object. */
static void ways_not_literal(struct ways *w, uint32_t id)
{
    const struct json *v = node_at(w->x->g, id)->v;
    int type = type_of(v);
    way_add(w, T_ALL & ~type);
    if (type == T_ARR) {
        uint32_t n = (uint32_t)json_len(v);
        if (n) way_atom(w, T_ARR, NOT_MIN_ITEMS, id);
        way_atom(w, T_ARR, NOT_MAX_ITEMS, id);
        if (n) way_atom(w, T_ARR, NOT_ITEMS, id);
        return;
    }
    way_atom(w, T_OBJ, NOT_PROPS, id);                  /* another value of a key, another key, or a key is missing */
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool flatten(struct expand *x, struct bag *b, int depth);

static bool todo_add(struct expand *x, struct bag *b, enum todo kind, uint32_t at, uint32_t i)
{
    if (x->lenient) return true;
    if (b->n_todo >= LEN(b->todo)) return too_many(x, "more than 64 choices about one value");
    b->todo[b->n_todo].kind = (uint8_t)kind;
    b->todo[b->n_todo].at = at;
    b->todo[b->n_todo++].i = i;
    return true;
}

static bool atom_add(struct expand *x, struct bag *b, const struct atom *a, uint32_t from)
{
    if (x->lenient) return true;
    if (b->n_atom >= LEN(b->atom)) return too_many(x, "more than 64 negated keywords about one value");
    b->atom[b->n_atom] = *a;
    b->atom[b->n_atom++].from = from;
    return true;
}

/* Must it be known which of its parts hold? So for unevaluated*, from the schema that has it downward. */
static bool is_exact(const struct expand *x, const struct bag *b, uint32_t at)
{
    const struct node *n = node_at(x->g, b->item[at].ref / 2);
    return b->item[at].exact || (n->obj && n->obj->uneval != NONE) || (n->arr && n->arr->uneval != NONE);
}

/* Opens a schema that holds: joins what applies to the same value, notes what offers a choice. */
static enum added open_yes(struct expand *x, struct bag *b, uint32_t at)
{
    const struct node *n = node_at(x->g, b->item[at].ref / 2);
    bool exact = is_exact(x, b, at);
    b->types &= n->types;
    if (n->kind == NODE_FALSE || !b->types) return DEAD;
    for (uint32_t i = 0; n->obj && i < n->obj->n_dep && b->types & T_OBJ; i++)
        if (dep_kind(x->g, n->obj->dep[i].node) == DEP_ANY && !todo_add(x, b, TODO_DEP, at, i)) return TROUBLE;
    const struct kw_in *in = n->in;
    if (!in) return ADDED;
    enum added r = ADDED;
    if (in->ref != NONE) r = bag_add(x, b, yes(in->ref), at, exact);
    for (uint32_t i = 0; i < in->n_all && r == ADDED; i++) r = bag_add(x, b, yes(in->all[i]), at, exact);
    if (r == ADDED && in->no != NONE) r = bag_add(x, b, no(in->no), at, false);
    if (r == ADDED && in->n_any == 1) r = bag_add(x, b, yes(in->any[0]), at, exact);
    if (r == ADDED && in->n_one == 1) r = bag_add(x, b, yes(in->one[0]), at, exact);
    if (r != ADDED) return r;
    bool texts = in->n_any > 1 && !exact && text_alone_any(x->g, in);
    if (texts && !others_meet_any(x->g, in) && !x->lenient && !(b->types &= T_STR)) return DEAD;
    if (texts && !atom_add(x, b, &(struct atom){ .kind = ANY_TEXT, .node = b->item[at].ref / 2 }, at)) return TROUBLE;
    bool ok = (in->n_any < 2 || texts || todo_add(x, b, TODO_ANY, at, exact)) &&
              (in->n_one < 2 || todo_add(x, b, TODO_ONE, at, exact)) &&
              (in->cond == NONE || (in->then == NONE && in->other == NONE && !exact) ||
               todo_add(x, b, TODO_IF, at, exact));
    return ok ? ADDED : TROUBLE;
}

static enum added open_no(struct expand *x, struct bag *b, uint32_t at)
{
    uint32_t id = b->item[at].ref / 2;
    const struct node *n = node_at(x->g, id);
    if (n->kind == NODE_TRUE) return DEAD;
    if (n->kind == NODE_FALSE || !(b->types & n->types)) return ADDED;
    if (n->kind == NODE_LITERAL && n->types != T_ARR && n->types != T_OBJ) {
        if (!(n->types & T_NUM) && n->types != T_STR) b->types &= ~n->types;
        else if (!atom_add(x, b, &(struct atom){ .kind = NOT_LITS, .node = id }, at)) return TROUBLE;
        return b->types ? ADDED : DEAD;
    }
    if (!x->lenient && n->in && text_alone(x->g, id)) {
        if (others_meet(x->g, id) && !(b->types &= T_STR)) return DEAD;
        return atom_add(x, b, &(struct atom){ .kind = NOT_TEXT, .node = id }, at) ? ADDED : TROUBLE;
    }
    return todo_add(x, b, n->kind == NODE_LITERAL ? TODO_NOT_LITERAL : TODO_NOT, at, 0) ? ADDED : TROUBLE;
}

/* A negated enum: scalars are kept out as they are, each array and object is a choice of its own. */
static enum added open_not_lits(struct expand *x, struct bag *b, const struct atom *a, uint32_t at)
{
    const struct node *n = node_at(x->g, a->node);
    uint32_t count = n->is_const ? 1 : (uint32_t)json_len(n->lits);
    for (uint32_t i = 0; i < count; i++) {
        const struct json *v = n->is_const ? n->lits : json_at(n->lits, i);
        int type = type_of(v);
        if (!(b->types & type)) continue;
        if (type == T_NULL || type == T_TRUE || type == T_FALSE) b->types &= ~type;
        if (type != T_ARR && type != T_OBJ) continue;
        uint32_t lit = schemas_literal(x->g, v, a->node);
        enum added r = lit == NONE ? TROUBLE : bag_add(x, b, no(lit), at, false);
        if (r != ADDED) return r;
    }
    return b->types ? ADDED : DEAD;
}

static enum added apply(struct expand *x, struct bag *b, const struct way *w, uint32_t at, bool exact)
{
    bool pair = w->n_ref == NONE;
    b->types &= w->types;
    if (!b->types) return DEAD;
    if (w->has_atom && !atom_add(x, b, &w->atom, at)) return TROUBLE;
    if (w->has_atom && w->atom.kind == NOT_LITS) {
        enum added r = open_not_lits(x, b, &w->atom, at);
        if (r != ADDED) return r;
    }
    for (uint32_t i = 0; !pair && i < w->n_ref; i++) {
        enum added r = bag_add(x, b, w->ref[i], at, (exact || w->exact) && !(w->ref[i] & 1));
        if (r != ADDED) return r;
    }
    return pair ? apply(x, b, w + 1, at, exact) : ADDED;
}

static bool list_ways(struct ways *w, const struct bag *b, const struct node *n, uint32_t id,
                      uint32_t kind, uint32_t i)
{
    switch (kind) {
    case TODO_ANY:
        if (i) return ways_any_exact(w, n->in);
        for (uint32_t k = 0; k < n->in->n_any; k++) way_ref(w, T_ALL, yes(n->in->any[k]));
        return true;
    case TODO_ONE: ways_one(w, n->in, b); return true;
    case TODO_IF:  ways_if(w, n->in); return true;
    case TODO_DEP: ways_dep(w, id, &n->obj->dep[i]); return true;
    case TODO_NOT: ways_not(w, id); return true;
    default:       ways_not_literal(w, id); return true;
    }
}

/* ---- bags that cannot be met, seen early ----------------------------------------------------- */

static bool required_in(const struct grammar *g, const struct bag *b, struct bytes name)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (!(b->item[i].ref & 1) && node_requires(node_at(g, b->item[i].ref / 2), name)) return true;
    for (uint32_t i = 0; i < b->n_atom; i++) {
        const struct atom *a = &b->atom[i];
        const struct kw_obj *k = a->kind == NOT_PROPS ? node_at(g, a->node)->obj : NULL;
        if (a->kind == HAS_KEY && bytes_same(a->key, name)) return true;
        if (k && one_prop(k) && !k->n_req && bytes_same(k->prop->name, name)) return true;  /* it is there and fails */
    }
    return false;
}

/* A key is required, and must not come. */
static bool lacks_required(const struct grammar *g, const struct bag *b)
{
    for (uint32_t i = 0; i < b->n_atom; i++) {
        const struct atom *a = &b->atom[i];
        if (a->kind == LACKS_KEY && required_in(g, b, a->key)) return true;
        if (a->kind != LACKS_ONE) continue;
        const struct kw_obj *k = node_at(g, a->node)->obj;
        bool all = true;
        for (uint32_t r = 0; r < k->n_req && all; r++) all = required_in(g, b, k->req[r]);
        if (all) return true;
    }
    return false;
}

/* A negated schema that speaks of one property: it has none of these values where it is there. NULL: another atom. */
static const struct kw_prop *fails_one(const struct grammar *g, const struct bag *b, const struct atom *a)
{
    const struct kw_obj *k = a->kind == NOT_PROPS ? node_at(g, a->node)->obj : NULL;
    if (!k || !one_prop(k) || !node_plain(g, k->prop->node)->lits) return NULL;
    return !k->n_req || required_in(g, b, k->prop->name) ? k->prop : NULL;
}

static bool all_in(const struct grammar *g, const struct node *few, const struct node *many)
{
    if (few->is_const) return lits_hold(g, many, few->lits);
    for (size_t i = 0; i < json_len(few->lits); i++)
        if (!lits_hold(g, many, json_at(few->lits, i))) return false;
    return true;
}

/* May the property of this name have value v, as far as schemas that list its values say? */
static bool may_be(const struct grammar *g, const struct bag *b, struct bytes name, const struct json *v)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *k = b->item[i].ref & 1 ? NULL : node_prop(g, node_at(g, b->item[i].ref / 2), name);
        if (k && k->lits && !lits_hold(g, k, v)) return false;
    }
    for (uint32_t a = 0; a < b->n_atom; a++) {
        const struct kw_prop *no = fails_one(g, b, &b->atom[a]);
        if (no && bytes_same(no->name, name) && lits_hold(g, node_plain(g, no->node), v)) return false;
    }
    return true;
}

enum { FEW_VALUES = 64 };
/* A required property of which such schemas together leave no value. */
static bool no_value_left(const struct grammar *g, const struct bag *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = node_at(g, b->item[i].ref / 2);
        for (uint32_t p = 0; !(b->item[i].ref & 1) && n->obj && n->obj->n_prop <= 8 && p < n->obj->n_prop; p++) {
            const struct node *v = node_plain(g, n->obj->prop[p].node);
            struct bytes name = n->obj->prop[p].name;
            if (!v->lits || (!v->is_const && json_len(v->lits) > FEW_VALUES) || !required_in(g, b, name)) continue;
            bool any = v->is_const && may_be(g, b, name, v->lits);
            for (size_t k = 0; !v->is_const && k < json_len(v->lits) && !any; k++) any = may_be(g, b, name, json_at(v->lits, k));
            if (!any) return true;
        }
    }
    return false;
}

/* Values that a property can have, given by two schemas that exclude each other. So that a chain of `if kind = a then …`
 * opens into as many bags as there are kinds, not into all their combinations. */
static bool clash(const struct grammar *g, const struct bag *b, uint32_t item, uint32_t atom)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = node_at(g, b->item[i].ref / 2);
        for (uint32_t p = 0; !(b->item[i].ref & 1) && n->obj && n->obj->n_prop <= 8 && p < n->obj->n_prop; p++) {
            const struct node *v = node_plain(g, n->obj->prop[p].node);
            struct bytes name = n->obj->prop[p].name;
            if (!v->lits) continue;
            for (uint32_t a = i >= item ? 0 : atom; a < b->n_atom; a++) {
                const struct kw_prop *no = fails_one(g, b, &b->atom[a]);
                if (no && no->name.len == name.len && !memcmp(no->name.p, name.p, name.len) && all_in(g, v, node_plain(g, no->node))) return true;
            }
            if (i < item || !required_in(g, b, name)) continue;
            for (uint32_t k = 0; k < i; k++) {
                const struct node *w = b->item[k].ref & 1 ? NULL : node_prop(g, node_at(g, b->item[k].ref / 2), name);
                if (w && lits_apart(g, v, w)) return true;
            }
        }
    }
    return false;
}

/* Surely no object meets the bag, which has grown out of `from` by one choice. Values of other types may. */
static bool no_object(const struct grammar *g, const struct bag *b, const struct bag *from, uint32_t kind)
{
    return clash(g, b, from->n, from->n_atom) || lacks_required(g, b) || (kind == TODO_DEP && no_value_left(g, b));
}

/* What is filled of it: a bag has room for much more than most hold. */
static void bag_copy(struct bag *to, const struct bag *from)
{
    memcpy(to->item, from->item, from->n * sizeof *to->item);
    memcpy(to->atom, from->atom, from->n_atom * sizeof *to->atom);
    memcpy(to->todo, from->todo, from->n_todo * sizeof *to->todo);
    to->n = from->n;
    to->n_atom = from->n_atom;
    to->n_todo = from->n_todo;
    to->done = from->done;
    to->types = from->types;
}

/* Opens the next choice: every way in a bag of its own. */
static bool branch(struct expand *x, const struct bag *b, int depth)
{
    uint32_t at = b->todo[b->n_todo - 1].at, kind = b->todo[b->n_todo - 1].kind, i = b->todo[b->n_todo - 1].i;
    uint32_t id = b->item[at].ref / 2;
    if (depth > 200) return too_many(x, "alternatives nested deeper than 200");
    size_t mark = arena_mark(x->tmp);
    struct ways w = { .x = x };
    bool ok = list_ways(&w, b, node_at(x->g, id), id, kind, i);
    struct bag *own = arena_alloc(x->tmp, sizeof *own);
    bool exact = is_exact(x, b, at);
    for (uint32_t k = 0; k < w.n && ok; k++) {
        if (++x->work > MOST_WAYS) ok = too_many(x, "more than 20000 alternatives for one value");
        if (!ok || !(b->types & w.way[k].types)) {
            k += w.way[k].n_ref == NONE;
            continue;
        }
        bag_copy(own, b);
        own->n_todo--;
        enum added r = apply(x, own, &w.way[k], at, exact);
        if (r == ADDED && own->types & T_OBJ && no_object(x->g, own, b, kind)) own->types &= ~T_OBJ;
        ok = r == DEAD || (r == ADDED && (!own->types || flatten(x, own, depth + 1)));
        k += w.way[k].n_ref == NONE;
    }
    arena_reset(x->tmp, mark);
    return ok;
}

/* Opens every item; a bag without open choices becomes shapes. */
static bool flatten(struct expand *x, struct bag *b, int depth)
{
    for (; b->done < b->n; b->done++) {
        const struct item *it = &b->item[b->done];
        enum added r = it->ref & 1 ? open_no(x, b, b->done) : open_yes(x, b, b->done);
        if (r != ADDED) return r == DEAD;
    }
    if (!b->types) return true;
    bool had;
    if (!bag_literals(x, b, &had)) return false;
    if (had) return true;
    return b->n_todo ? branch(x, b, depth) : bag_shapes(x, b);
}

bool goal_open_bags(struct expand *x)
{
    const struct goal *p = goal_at(x->g, x->goal);
    struct bag *b = arena_alloc(x->tmp, sizeof *b);
    b->n = b->n_atom = b->n_todo = b->done = 0;
    b->types = T_ALL;
    for (uint32_t i = 0; i < p->n_key; i++) {
        enum added r = bag_add(x, b, p->key[i], NONE, false);
        if (r != ADDED) return r == DEAD;
    }
    return flatten(x, b, 0);
}

struct arena *scratch_begin(struct grammar *g, struct arena *own)
{
    if (g->scratch) return g->scratch;
    arena_init(own, 32768);
    return g->scratch = own;
}

void scratch_end(struct grammar *g, struct arena *own)
{
    if (g->scratch != own) return;
    arena_done(own);
    g->scratch = NULL;
}

/* One attempt; its shapes become the goal's. */
static bool attempt(struct grammar *g, struct goal *p, uint32_t goal, bool lenient, struct err *e)
{
    struct arena own, *tmp = scratch_begin(g, &own);
    size_t mark = arena_mark(tmp);
    struct expand x = { .g = g, .goal = goal, .e = e, .tmp = tmp, .lenient = lenient };
    bool ok = goal_open_bags(&x) && texts_close(&x);
    if (ok) {
        p->shape = arena_small(&g->mem, (x.n_shape + 1) * sizeof *p->shape);
        if (x.n_shape) memcpy(p->shape, x.shape, x.n_shape * sizeof *p->shape);
        p->n_shape = x.n_shape;
    }
    mem_free(x.shape);
    mem_free(x.text);
    arena_reset(tmp, mark);
    scratch_end(g, &own);
    return ok;
}

/* What is too much or cannot be enforced, where that is allowed: without the choices and negations, which makes a
 * superset; the finished value is checked. */
static bool relax(struct grammar *g, struct goal *p, uint32_t goal, const struct err *why)
{
    struct err again = { 0 };
    if (!g->o.relax || (why->code != ERR_LIMIT && why->code != ERR_UNSUPPORTED)) return false;
    schemas_relaxed_as(g, why->msg);
    return attempt(g, p, goal, true, &again);
}

bool goal_expand(struct grammar *g, uint32_t goal, struct err *e)
{
    struct goal *p = goal_at(g, goal);
    uint8_t state = atomic_load_explicit(&p->state, memory_order_acquire);
    if (state >= GOAL_OPEN && (state != GOAL_FAILED || !e)) return state != GOAL_FAILED;
    pthread_mutex_lock(&g->lock);
    if (p->state == GOAL_NEW) {
        struct err own = { 0 };
        atomic_store(&p->state, GOAL_BUSY);
        bool ok = attempt(g, p, goal, false, &own) || relax(g, p, goal, &own);
        if (!ok && e && !e->code) *e = own;
        atomic_store_explicit(&p->state, ok ? GOAL_OPEN : GOAL_FAILED, memory_order_release);
    }
    bool ok = p->state != GOAL_FAILED;
    if (!ok && e && !e->code) attempt(g, p, goal, false, e);          /* it failed when nobody wanted to know why */
    pthread_mutex_unlock(&g->lock);
    return ok;
}

/* Goals still to be looked at; light ones are left alone, with all that lies below them. */
struct reach { struct grammar *g; uint32_t *goal, n, cap; };

static void reach_alts(struct reach *r, const struct alts *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct goal *p = goal_at(r->g, a->alt[i].goal);
        if (p->reached) continue;
        p->reached = true;
        MEM_GROW(r->goal, r->n, r->cap);
        r->goal[r->n++] = a->alt[i].goal;
    }
}

static void reach_shape(struct reach *r, const struct shape *sh)
{
    if (sh->kind == SH_ARR) {
        for (uint32_t i = 0; i < sh->arr->n_prefix; i++) reach_alts(r, &sh->arr->prefix[i]);
        reach_alts(r, &sh->arr->rest);
    } else if (sh->kind == SH_OBJ) {
        for (uint32_t i = 0; i < sh->obj->n_key; i++) reach_alts(r, &sh->obj->key[i].alts);
        for (uint32_t i = 0; i < sh->obj->n_cls; i++) reach_alts(r, &sh->obj->cls[i].alts);
    }
}

bool goal_heavy_open(struct grammar *g, uint32_t *root, uint32_t n, struct err *e)
{
    struct reach r = { .g = g };
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) reach_alts(&r, &(struct alts){ &(struct alt){ .goal = root[i] }, 1 });
    for (uint32_t i = 0; i < r.n && ok; i++) {
        const struct goal *p = goal_at(g, r.goal[i]);
        if (goal_is_light(g, p)) continue;
        ok = goal_expand(g, r.goal[i], e);
        for (uint32_t k = 0; ok && k < p->n_shape; k++) reach_shape(&r, &p->shape[k]);
    }
    mem_free(r.goal);
    return ok;
}
