/* choice.c -- choices and negations that speak of a text alone, as one part of its automaton.
 *
 * `anyOf` of patterns, or a `not` of them, would open into a way for each combination: three such choices beside each other
 * into their product, each with an automaton of its own. Any value but a text meets patterns, so such a choice lets
 * all other types pass or none, and of texts it is one regular expression: a union of what each branch says, which joins
 * the conjunction as a part (RE_ANY). */
#include "grammar/int.h"

enum { MOST_NESTED = 8, MOST_PARTS = 128 };

static bool alone(const struct grammar *g, uint32_t id, uint32_t *parts, int depth);

static bool all_alone(const struct grammar *g, const uint32_t *id, uint32_t n, uint32_t *parts, int depth)
{
    for (uint32_t i = 0; i < n; i++)
        if (!alone(g, id[i], parts, depth)) return false;
    return true;
}

static bool alone(const struct grammar *g, uint32_t id, uint32_t *parts, int depth)
{
    const struct node *n = node_at(g, id);
    const struct kw_in *in = n->in;
    if (n->kind != NODE_READ || n->types != T_ALL || n->risky || n->lits || n->num || n->arr || n->obj || depth > MOST_NESTED) return false;
    if (++*parts > MOST_PARTS || (!n->str && !in)) return false;
    if (n->str && (n->str->min || n->str->max != NONE || n->str->format.p || !n->str->pattern.p)) return false;
    if (!in) return true;
    return !in->n_one && in->cond == NONE && (in->ref == NONE || alone(g, in->ref, parts, depth + 1)) &&
           (in->no == NONE || alone(g, in->no, parts, depth + 1)) && all_alone(g, in->all, in->n_all, parts, depth + 1) &&
           all_alone(g, in->any, in->n_any, parts, depth + 1);
}

bool text_alone(const struct grammar *g, uint32_t node)
{
    uint32_t parts = 0;
    return alone(g, node, &parts, 0);
}

bool text_alone_any(const struct grammar *g, const struct kw_in *in)
{
    uint32_t parts = 0;
    return all_alone(g, in->any, in->n_any, &parts, 0);
}

bool others_meet_any(const struct grammar *g, const struct kw_in *in)
{
    for (uint32_t i = 0; i < in->n_any; i++)
        if (others_meet(g, in->any[i])) return true;
    return !in->n_any;
}

bool others_meet(const struct grammar *g, uint32_t node)
{
    const struct kw_in *in = node_at(g, node)->in;
    if (!in) return true;
    for (uint32_t i = 0; i < in->n_all; i++)
        if (!others_meet(g, in->all[i])) return false;
    return (in->ref == NONE || others_meet(g, in->ref)) && (in->no == NONE || !others_meet(g, in->no)) && others_meet_any(g, in);
}

/* ---- as parts ------------------------------------------------------------------------------------ */

struct parts { struct expand *x; struct re_part list[MOST_PARTS]; uint32_t n, group; };

static void say(struct parts *to, uint32_t id);

static void put(struct parts *to, struct re_part part)
{
    part.group = to->group;
    if (to->n < MOST_PARTS) to->list[to->n++] = part;   /* there are no more, see alone() */
}

static struct re_part pack(struct parts *from, bool negate)
{
    size_t len;
    char *p = arena_small(&from->x->g->mem, re_pack(NULL, from->list, from->n));
    len = re_pack(p, from->list, from->n);
    return (struct re_part){ .kind = RE_ANY, .negate = negate, .p = p, .len = len };
}

/* One of the branches holds. */
static struct re_part one_holds(struct expand *x, const uint32_t *id, uint32_t n)
{
    struct parts *own = arena_alloc(x->tmp, sizeof *own);
    own->x = x;
    own->n = 0;
    for (own->group = 0; own->group < n; own->group++) say(own, id[own->group]);
    return pack(own, false);
}

static struct re_part fails(struct expand *x, uint32_t id)
{
    struct parts *own = arena_alloc(x->tmp, sizeof *own);
    own->x = x;
    own->n = own->group = 0;
    say(own, id);
    if (own->n != 1) return pack(own, true);
    struct re_part part = own->list[0];
    part.negate = !part.negate;
    return part;
}

static void say(struct parts *to, uint32_t id)
{
    const struct node *n = node_at(to->x->g, id);
    const struct kw_in *in = n->in;
    if (n->str) put(to, (struct re_part){ .kind = RE_PATTERN, .p = n->str->pattern.p, .len = n->str->pattern.len });
    if (!in) return;
    if (in->ref != NONE) say(to, in->ref);
    for (uint32_t i = 0; i < in->n_all; i++) say(to, in->all[i]);
    if (in->no != NONE) put(to, fails(to->x, in->no));
    if (in->n_any == 1) say(to, in->any[0]);
    else if (in->n_any) put(to, one_holds(to->x, in->any, in->n_any));
}

struct re_part text_choice(struct expand *x, const struct atom *a)
{
    size_t mark = arena_mark(x->tmp);
    const struct kw_in *in = node_at(x->g, a->node)->in;
    struct re_part part = a->kind == ANY_TEXT ? one_holds(x, in->any, in->n_any) : fails(x, a->node);
    arena_reset(x->tmp, mark);
    return part;
}
