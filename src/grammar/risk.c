/* risk.c -- which goals may meet a limit when they are opened.
 *
 * A goal is opened when a matcher first needs it, unless that might be refused: a refusal must come while compiling.
 * Here an upper bound of what opening takes is worked out from the schemas alone, a fraction of the cost of opening
 * them: into how many ways a signed schema opens at most, how many schemas apply to one value, and how many things
 * multiply the ways to take one key (patterns of keys, contains, debts). Conjunction multiplies ways and adds the rest;
 * of alternatives the heaviest counts, and ways add up. A goal is a conjunction of nodes, and a member's goal is one
 * of what each of them says about it: so besides its own load every node carries the load of its heaviest
 * descendant, a least fixpoint. What is within bounds far below the limits is left unopened; what cannot be bounded
 * (unevaluated*, many digits where numbers are exact, loops) is HEAVY and opened at once.
 *
 * The bounds on what is left closed also bound what a mask may have to open in the middle of an answer. */
#include "grammar/int.h"

enum { HEAVY = 1 << 12, MOST_LIGHT_WAYS = 64, MOST_LIGHT_ITEMS = 60, MOST_LIGHT_KEYED = 6, MOST_INNER = 100, MOST_ROUND = 24, MOST_BRANCHES = 48,
       PLAIN_PATTERN = 400, FEW_DIGITS = 4, LONG_NUMBER = 16 };
/* ways: bags it opens into; items: schemas and choices in one; keyed: patterns of keys, contains, debts, divisors. has: what
 * is heavy beside something else. */
struct load { uint16_t ways, items; uint8_t keyed, has; };
enum { HAS_MIN = 1, HAS_DEBT = 2, HAS_EXACT = 4, HAS_LONG = 8 };       /* minProperties, a negated object; more of a number than bounds, long bounds */
struct own { struct load load; uint8_t state; bool apart; };          /* apart: the branches of its oneOf exclude each other */
enum { NOT_KNOWN, BEING_READ, KNOWN };

struct risk {
    const struct grammar *g;
    uint32_t n;                         /* signed nodes */
    struct own *own;                    /* [n] in place */
    struct load *kid, *all;             /* [n] of what is below; the heavier of both */
    uint32_t *seen;                     /* [n] twice the round in which it was worked out, + 1 while it is; 0: not yet */
    bool *early, *done;                 /* [n] read before it was worked out; nothing it rests on was */
    uint32_t round;
    bool again, loose;                  /* something read early has changed since; what is being worked out rests on such */
};

static const struct load light = { .ways = 1 }, heavy = { .ways = HEAVY, .items = HEAVY, .keyed = 255 };

static uint16_t clip(uint32_t n) { return (uint16_t)(n < HEAVY ? n : HEAVY); }
static uint8_t clip_keyed(uint32_t n) { return (uint8_t)(n < 255 ? n : 255); }

static struct load both(struct load a, struct load b)
{
    return (struct load){ clip((uint32_t)a.ways * b.ways), clip((uint32_t)a.items + b.items), clip_keyed((uint32_t)a.keyed + b.keyed), a.has | b.has };
}

/* The larger of each; ways as given. */
static struct load larger(struct load a, struct load b, uint32_t ways)
{
    return (struct load){ clip(ways), MAX(a.items, b.items), MAX(a.keyed, b.keyed), a.has | b.has };
}

static struct load either(struct load a, struct load b) { return larger(a, b, (uint32_t)a.ways + b.ways); }
static struct load heavier(struct load a, struct load b) { return larger(a, b, MAX(a.ways, b.ways)); }

static bool is_light(struct load l)
{
    bool min_debt = l.has & HAS_MIN && l.has & HAS_DEBT, long_multiple = l.has & HAS_EXACT && l.has & HAS_LONG;
    return l.ways <= MOST_LIGHT_WAYS && l.items <= MOST_LIGHT_ITEMS && l.keyed <= MOST_LIGHT_KEYED && !min_debt && !long_multiple;
}

static bool same(struct load a, struct load b)
{
    return a.ways == b.ways && a.items == b.items && a.keyed == b.keyed && a.has == b.has;
}

/* ---- in place -------------------------------------------------------------------------------- */

static struct load own_of(struct risk *r, uint32_t ref, int depth);

static struct load yes_of(struct risk *r, uint32_t id, int depth) { return id == NONE ? light : own_of(r, id * 2, depth + 1); }
static struct load no_of(struct risk *r, uint32_t id, int depth) { return id == NONE ? light : own_of(r, id * 2 + 1, depth + 1); }

/* How schema b fails beside schema a: not by its type, where a has no other. */
static struct load fails_beside(struct risk *r, uint32_t a, uint32_t b, int depth)
{
    struct load l = no_of(r, b, depth);
    int types = node_plain(r->g, a)->types, other = node_plain(r->g, b)->types;
    if (other != T_ALL && !(types & ~other) && l.ways > 1 && l.ways < HEAVY) l.ways--;
    return l;
}

/* A way is one branch, and those it does not exclude by itself fail. */
static struct load one_of(struct risk *r, const struct kw_in *in, bool *all_apart, int depth)
{
    struct load out = { 0 };
    if (in->n_one > MOST_BRANCHES) return heavy;
    for (uint32_t i = 0; i < in->n_one; i++) {
        struct load way = yes_of(r, in->one[i], depth);
        for (uint32_t k = 0; k < in->n_one && in->n_one > 1; k++) {
            if (k == i || branches_apart(r->g, in, i, k, T_ALL)) continue;
            *all_apart = false;
            way = both(way, fails_beside(r, in->one[i], in->one[k], depth));
        }
        out = either(out, way);
    }
    return out;
}

static struct load any_of(struct risk *r, const struct kw_in *in, int depth)
{
    struct load out = { 0 };
    for (uint32_t i = 0; i < in->n_any; i++) out = either(out, yes_of(r, in->any[i], depth));
    return out;
}

static struct load yes_in(struct risk *r, const struct kw_in *in, bool *apart, int depth)
{
    struct load out = yes_of(r, in->ref, depth);
    for (uint32_t i = 0; i < in->n_all; i++) out = both(out, yes_of(r, in->all[i], depth));
    if (in->no != NONE) out = both(out, no_of(r, in->no, depth));
    if (in->n_any) out = both(out, any_of(r, in, depth));
    if (in->n_one) out = both(out, one_of(r, in, apart, depth));
    if (in->cond == NONE) return out;
    struct load held = both(yes_of(r, in->cond, depth), yes_of(r, in->then, depth));
    return both(out, either(held, both(no_of(r, in->cond, depth), yes_of(r, in->other, depth))));
}

/* Patterns of keys, and those that must not match, become automata; of short ones that do not look around none is too large. */
static bool plain_pattern(struct bytes p)
{
    for (size_t i = 0; i + 2 < p.len; i++)
        if (p.p[i] == '(' && p.p[i + 1] == '?' && p.p[i + 2] != ':') return false;
    return p.len <= PLAIN_PATTERN;
}

static struct load yes_obj(struct risk *r, const struct kw_obj *k, int depth)
{
    struct load out = light;
    out.has = k->min ? HAS_MIN : 0;
    out.keyed = clip_keyed(k->n_pattern);
    for (uint32_t i = 0; i < k->n_pattern; i++)
        if (!plain_pattern(k->pattern[i].name)) return heavy;
    for (uint32_t i = 0; i < k->n_dep; i++) {           /* the key is missing, or it holds; or its one value differs */
        if (dep_kind(r->g, k->dep[i].node)) continue;
        struct load dep = either(yes_of(r, k->dep[i].node, depth), light);
        out = both(out, dep_names_values(r->g, k->dep[i].node) ? either(dep, no_of(r, k->dep[i].node, depth)) : dep);
        out.items = clip(out.items + 1u);
    }
    if (k->names != NONE) {                             /* each way is a class of names */
        struct load names = yes_of(r, k->names, depth);
        const struct node *n = node_plain(r->g, k->names);
        if (names.ways > 4 || names.keyed || n->in || (n->str && !plain_pattern(n->str->pattern))) return heavy;
        out.keyed = clip_keyed(out.keyed + names.ways);
    }
    return out;
}

/* Arrays and objects of an enum, each of which is a shape of its own. */
static uint32_t containers(const struct node *n)
{
    uint32_t k = n->is_const && type_of(n->lits) & (T_ARR | T_OBJ);
    for (size_t i = 0; !n->is_const && i < json_len(n->lits); i++) k += (type_of(json_at(n->lits, i)) & (T_ARR | T_OBJ)) != 0;
    return k;
}

/* A listed number of so many digits that to exclude it may be too much. */
static bool is_long(const struct json *v)
{
    size_t len;
    return json_number(v, &len) && len > LONG_NUMBER;
}

static bool lists_long(const struct node *n)
{
    if (n->is_const) return is_long(n->lits);
    for (size_t i = 0; i < json_len(n->lits); i++)
        if (is_long(json_at(n->lits, i))) return true;
    return false;
}

static bool is_short(const struct dec *d, int n) { return d->n <= n && d->point <= n && d->n - d->point <= n; }

static struct load yes_num(const struct kw_num *k)
{
    struct load out = light;
    bool few = (!k->has_lo || is_short(&k->lo, FEW_DIGITS * 2)) && (!k->has_hi || is_short(&k->hi, FEW_DIGITS * 2));
    if (k->has_multiple && !is_short(&k->multiple, FEW_DIGITS)) return heavy;
    if (k->has_multiple) out.keyed = 3;
    out.has = (k->has_multiple ? HAS_EXACT : 0) | (few ? 0 : HAS_LONG);
    return out;
}

static struct load yes_node(struct risk *r, uint32_t id, bool *apart, int depth)
{
    const struct node *n = node_at(r->g, id);
    struct load out = light;
    if (n->in) out = yes_in(r, n->in, apart, depth);
    if (n->obj) out = both(out, yes_obj(r, n->obj, depth));
    if (n->arr && n->arr->contains != NONE) out.keyed = clip_keyed(out.keyed + 1u);
    if (n->num) out = both(out, yes_num(n->num));
    if (n->lits && n->types & (T_ARR | T_OBJ)) out.ways = clip(out.ways * MAX(1u, containers(n)));
    out.items = clip(out.items + 1u);
    if (n->in) out.items = clip(out.items + (uint32_t)(n->in->n_any > 1) + (n->in->n_one > 1) + (n->in->cond != NONE));
    return out;
}

static struct load no_in(struct risk *r, const struct kw_in *in, int depth)
{
    struct load out = { 0 }, none = light;
    if (in->ref != NONE) out = either(out, no_of(r, in->ref, depth));
    for (uint32_t i = 0; i < in->n_all; i++) out = either(out, no_of(r, in->all[i], depth));
    if (in->no != NONE) out = either(out, yes_of(r, in->no, depth));
    for (uint32_t i = 0; i < in->n_any; i++) none = both(none, no_of(r, in->any[i], depth));
    if (in->n_any) out = either(out, none);
    none = light;
    for (uint32_t i = 0; i < in->n_one; i++) none = both(none, no_of(r, in->one[i], depth));
    if (in->n_one) out = either(out, none);
    for (uint32_t i = 0; i < in->n_one; i++)
        for (uint32_t k = 0; k < i; k++) out = either(out, both(yes_of(r, in->one[i], depth), yes_of(r, in->one[k], depth)));
    if (in->cond == NONE) return out;
    if (in->then != NONE) out = either(out, both(yes_of(r, in->cond, depth), no_of(r, in->then, depth)));
    return in->other == NONE ? out : either(out, both(no_of(r, in->cond, depth), no_of(r, in->other, depth)));
}

static struct load no_obj(struct risk *r, const struct kw_obj *k, int depth)
{
    struct load out = { 0 };
    if (k->names != NONE) return heavy;
    if (k->n_prop || k->n_pattern || k->rest != NONE) {
        for (uint32_t i = 0; i < k->n_pattern; i++)
            if (!plain_pattern(k->pattern[i].name)) return heavy;
        out = either(out, (struct load){ .ways = 1, .keyed = clip_keyed(1 + 2 * k->n_pattern), .has = HAS_DEBT });
    }
    else out.ways = k->n_req > 0;
    out.ways = clip(out.ways + (uint32_t)(k->min > 0) + (k->max != NONE));
    for (uint32_t i = 0; i < k->n_need; i++) out.ways = clip(out.ways + k->need[i].n);
    for (uint32_t i = 0; i < k->n_dep; i++) out = either(out, no_of(r, k->dep[i].node, depth));
    return out;
}

static struct load no_node(struct risk *r, uint32_t id, int depth)
{
    const struct node *n = node_at(r->g, id);
    struct load out = { .ways = n->types != T_ALL };
    if (n->str && n->str->format.p && !format_around(n->str->format.p)) return heavy;
    if (n->str && !plain_pattern(n->str->pattern)) return heavy;
    if (n->arr && n->arr->unique) return heavy;
    if (n->lits && (containers(n) || lists_long(n))) return heavy;
    if (n->lits || (n->types & T_NUM) == T_INT) out.has = HAS_EXACT;
    if (n->num) out = both((struct load){ .has = out.has, .ways = clip(out.ways + (uint32_t)n->num->has_lo + n->num->has_hi + n->num->has_multiple) }, yes_num(n->num));
    if (n->str) out.ways = clip(out.ways + (uint32_t)(n->str->min > 0) + (n->str->max != NONE) + !!n->str->pattern.p + !!n->str->format.p);
    if (n->lits) out.ways = clip(out.ways + 1u);
    if (n->arr) {
        out.ways = clip(out.ways + (uint32_t)(n->arr->min > 0) + (n->arr->max != NONE) + 1u + 2u * (n->arr->contains != NONE));
        out.keyed = 2;
    }
    if (n->obj) out = either(out, no_obj(r, n->obj, depth));
    if (n->in) out = either(out, no_in(r, n->in, depth));
    out.ways = MAX(out.ways, (uint16_t)1);              /* none at all: it ends the bag */
    out.items = clip(out.items + 2u);
    return out;
}

/* The load of a signed node without what its members bring. */
static struct load own_of(struct risk *r, uint32_t ref, int depth)
{
    if (ref >= r->n) return heavy;
    struct own *o = &r->own[ref];
    const struct node *n = node_at(r->g, ref / 2);
    if (o->state == KNOWN) return o->load;
    if (o->state == BEING_READ || depth > MOST_INNER) return heavy;
    o->state = BEING_READ;
    bool apart = true;
    struct load l = light;
    if (n->risky) l = heavy;
    else if (n->kind == NODE_READ) l = ref & 1 ? no_node(r, ref / 2, depth) : yes_node(r, ref / 2, &apart, depth);
    *o = (struct own){ l, KNOWN, apart };
    return l;
}

/* ---- below ------------------------------------------------------------------------------------- */

static struct load below(struct risk *r, uint32_t ref, int depth);

/* Nothing but types, and what a text must be: half of all schemas. */
static bool says_type(const struct node *n)
{
    return n->kind == NODE_READ && !n->risky && !n->in && !n->obj && !n->arr && !n->num && !n->lits;
}

/* Works a node out, all below it first. In a loop, or too deep, what is known so far will do for this round. What is not
 * light is heavy, so that loops end. */
static void settle(struct risk *r, uint32_t ref, int depth)
{
    const struct node *n = node_at(r->g, ref / 2);
    if (r->seen[ref] == r->round * 2 || r->done[ref]) {
        r->loose |= !r->done[ref];
        return;
    }
    if (!r->seen[ref]) r->all[ref] = own_of(r, ref, 0);
    if ((!n->in && !n->obj && !n->arr) || !is_light(r->own[ref].load)) {
        r->seen[ref] = r->round * 2;
        r->done[ref] = true;
        return;
    }
    if (r->seen[ref] == r->round * 2 + 1 || depth > MOST_INNER) {
        r->early[ref] = r->loose = true;
        return;
    }
    r->seen[ref] = r->round * 2 + 1;
    bool loose = r->loose;
    r->loose = false;
    struct load kid = below(r, ref, depth + 1);
    r->done[ref] = !r->loose || !is_light(kid);         /* nothing is heavier */
    r->loose = loose || !r->done[ref];
    if (!is_light(kid)) kid = heavy;
    if (r->early[ref] && !same(kid, r->kid[ref])) r->again = true;
    r->kid[ref] = kid;
    r->all[ref] = heavier(r->own[ref].load, kid);
    r->seen[ref] = r->round * 2;
}

/* What the goal of a member weighs, as far as this node speaks of it. */
static struct load member(struct risk *r, uint32_t ref, int depth)
{
    if (!r->done[ref]) settle(r, ref, depth);
    return r->all[ref];
}

/* What is below a node that applies to the same value. */
static struct load in_place(struct risk *r, uint32_t ref, int depth)
{
    if (!r->done[ref]) settle(r, ref, depth);
    return r->kid[ref];
}

static struct load props_below(struct risk *r, const struct kw_prop *p, uint32_t n, uint32_t sign, int depth)
{
    struct load out = light;
    for (uint32_t i = 0; i < n; i++) out = heavier(out, member(r, p[i].node * 2 + sign, depth));
    return out;
}

/* Of one member, by what this node's own keywords say: the listed name, patterns that match, the rest. */
static struct load obj_below(struct risk *r, const struct kw_obj *k, uint32_t sign, int depth)
{
    struct load out = props_below(r, k->prop, k->n_prop, sign, depth);
    for (uint32_t i = 0; i < k->n_pattern; i++) out = both(out, member(r, k->pattern[i].node * 2 + sign, depth));
    return k->rest != NONE ? heavier(out, member(r, k->rest * 2 + sign, depth)) : out;
}

static struct load arr_below(struct risk *r, const struct kw_arr *k, uint32_t sign, int depth)
{
    struct load out = light;
    for (uint32_t i = 0; i < k->n_prefix; i++) out = heavier(out, member(r, k->prefix[i] * 2 + sign, depth));
    if (k->rest != NONE) out = heavier(out, member(r, k->rest * 2 + sign, depth));
    if (k->contains == NONE) return out;
    return both(out, heavier(member(r, k->contains * 2, depth), member(r, k->contains * 2 + 1, depth)));
}

/* Of alternatives: the heaviest, or, where a way says that others fail, all of them together. */
static struct load branches_below(struct risk *r, const uint32_t *id, uint32_t n, bool apart, int depth)
{
    struct load out = light;
    for (uint32_t i = 0; i < n; i++)
        out = apart ? heavier(out, in_place(r, id[i] * 2, depth))
                    : both(out, heavier(in_place(r, id[i] * 2, depth), in_place(r, id[i] * 2 + 1, depth)));
    return out;
}

static struct load maybe(struct risk *r, uint32_t id, int depth)
{
    return id == NONE ? light : heavier(in_place(r, id * 2, depth), in_place(r, id * 2 + 1, depth));
}

static struct load in_below(struct risk *r, const struct kw_in *in, uint32_t sign, bool apart, int depth)
{
    struct load out = in->ref != NONE ? in_place(r, in->ref * 2 + sign, depth) : light;
    for (uint32_t i = 0; i < in->n_all; i++) out = both(out, in_place(r, in->all[i] * 2 + sign, depth));
    if (in->no != NONE) out = both(out, in_place(r, in->no * 2 + !sign, depth));
    for (uint32_t i = 0; i < in->n_any && sign; i++) out = both(out, in_place(r, in->any[i] * 2 + 1, depth));
    if (!sign) out = both(out, branches_below(r, in->any, in->n_any, true, depth));
    out = both(out, branches_below(r, in->one, in->n_one, apart && !sign, depth));
    return in->cond == NONE ? out : both(out, both(maybe(r, in->cond, depth), both(maybe(r, in->then, depth), maybe(r, in->other, depth))));
}

static struct load below(struct risk *r, uint32_t ref, int depth)
{
    const struct node *n = node_at(r->g, ref / 2);
    struct load out = light;
    if (n->kind != NODE_READ) return light;
    if (n->obj) {
        out = obj_below(r, n->obj, ref & 1, depth);
        for (uint32_t i = 0; i < n->obj->n_dep; i++) out = both(out, maybe(r, n->obj->dep[i].node, depth));
    }
    if (n->arr) out = heavier(out, arr_below(r, n->arr, ref & 1, depth));
    if (n->in) out = both(out, in_below(r, n->in, ref & 1, r->own[ref].apart, depth));
    return out;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

/* Nothing that chooses, excludes or counts: most schemas. */
static bool has_choices(const struct schemas *s)
{
    for (uint32_t i = 1; i < s->n_node; i++) {
        const struct node *n = schemas_node(s, i);
        const struct kw_in *in = n->in;
        if (n->risky || (in && (in->n_all || in->n_any || in->n_one || in->no != NONE || in->cond != NONE))) return true;
        if (n->obj && (n->obj->n_pattern || n->obj->n_dep || n->obj->names != NONE)) return true;
        if (n->arr && n->arr->contains != NONE) return true;
    }
    return false;
}

void schemas_weigh(struct grammar *g)
{
    struct schemas *s = &g->s;
    if (!has_choices(s)) return;
    struct arena tmp;
    struct risk r = { .g = g, .n = s->n_node * 2, .again = true };
    arena_init(&tmp, 16384);
    r.own = arena_small(&tmp, r.n * sizeof *r.own);
    r.kid = arena_alloc(&tmp, r.n * sizeof *r.kid);
    r.all = arena_alloc(&g->mem, r.n * sizeof *r.all);
    r.seen = arena_small(&tmp, r.n * sizeof *r.seen);
    r.early = arena_small(&tmp, r.n * sizeof *r.early);
    r.done = arena_small(&tmp, r.n * sizeof *r.done);
    for (uint32_t id = 0; id < s->n_node; id++) {
        r.kid[id * 2] = r.kid[id * 2 + 1] = light;
        r.all[id * 2] = r.all[id * 2 + 1] = heavy;
        if (!says_type(schemas_node(s, id))) continue;
        r.all[id * 2] = (struct load){ .ways = 1, .items = 1 };
        r.done[id * 2] = true;
    }
    while (r.again && r.round < MOST_ROUND) {
        r.again = false;
        r.round++;
        for (uint32_t ref = 0; ref < r.n; ref += 2)
            if (!r.done[ref]) settle(&r, ref, 0);
    }
    for (uint32_t ref = 0; ref < r.n && r.again; ref++) r.all[ref] = heavy;
    s->load = r.all;
    s->n_load = r.n;
    arena_done(&tmp);
}

bool goal_is_light(const struct grammar *g, const struct goal *p)
{
    static const struct load literal = { .ways = 3, .items = 2, .keyed = 1, .has = HAS_DEBT | HAS_EXACT };
    const struct schemas *s = &g->s;
    struct load l = light;
    for (uint32_t i = 0; i < p->n_key && s->load; i++) {
        const struct node *n = node_at(g, p->key[i] / 2);
        bool late = p->key[i] >= s->n_load;             /* made while opening: a value that must not come, or heavy */
        l = both(l, !late ? s->load[p->key[i]] : n->kind == NODE_LITERAL && !is_long(n->v) ? literal : heavy);
    }
    return is_light(l);
}
