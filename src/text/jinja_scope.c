/* jinja_scope.c -- every name of a template gets a place: so many frames outward, slot so and so.
 *
 * Loops, macros, call, filter, with and set blocks open a scope; `if` does not. What a scope assigns
 * anywhere is its own from its beginning on: on entry such a name gets the value it has outside
 * (LOAD_OUTER), that of the variables of the rendering (LOAD_RESOLVE), or nothing yet (LOAD_NOTHING),
 * decided as Jinja decides it, by where the name is read and written in this scope, branches of an
 * `if` taken one by one. A name that is only read belongs to the innermost scope outward that has it.
 *
 * Two walks for each scope: survey() collects its names, place() then gives every use its place and goes
 * into the scopes below. */
#include "text/jinja_int.h"

#define NAMES_MOST 512                                                /* in one scope */
#define WORK_MOST 1000000                                             /* names copied for branches */
#define DEPTH_MOST 1000                                               /* of the tree */

struct place { uint16_t up, slot; };

static struct sym *own(const struct scope *s, uint32_t id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->sym[i].id == id) return &s->sym[i];
    return NULL;
}

static bool find(const struct scope *s, uint32_t id, struct place *out)
{
    out->up = 0;
    for (; s; s = s->up, out->up++) {
        const struct sym *y = own(s, id);
        if (!y) continue;
        out->slot = (uint16_t)(y - s->sym);
        return true;
    }
    return false;
}

static struct sym *define(struct compile *c, struct scope *s, uint32_t id, enum load load)
{
    if (s->n == NAMES_MOST) {
        compile_fail(c, 0, "more than %d names in one scope", NAMES_MOST);
        return NULL;
    }
    if (s->n == s->cap) {
        struct sym *grown = arena_alloc(&c->j->mem, (s->cap * 2 + 8) * sizeof *grown);
        if (s->n) memcpy(grown, s->sym, s->n * sizeof *grown);
        s->sym = grown;
        s->cap = s->cap * 2 + 8;
    }
    s->sym[s->n] = (struct sym){ .id = id, .load = (uint8_t)load };
    return &s->sym[s->n++];
}

/* From outside if there is such a name, else as `without` says. */
static void load_outer(const struct scope *s, struct sym *y, enum load without)
{
    struct place p = { 0, 0 };
    bool outside = s->up && find(s->up, y->id, &p);
    y->load = (uint8_t)(outside ? LOAD_OUTER : without);
    if (outside) y->up = (uint16_t)(p.up + 1), y->slot = p.slot;
}

static bool reads(struct compile *c, struct scope *s, uint32_t id)
{
    struct place p = { 0, 0 };
    return find(s, id, &p) || define(c, s, id, LOAD_RESOLVE);
}

static bool writes(struct compile *c, struct scope *s, uint32_t id)
{
    struct sym *y = own(s, id);
    if (!y) {
        if (!(y = define(c, s, id, LOAD_NOTHING))) return false;
        load_outer(s, y, LOAD_NOTHING);
    }
    y->stored = true;
    return true;
}

static bool parameter(struct compile *c, struct scope *s, uint32_t id)
{
    struct sym *y = own(s, id);
    if (!y && !(y = define(c, s, id, LOAD_PARAM))) return false;
    y->load = LOAD_PARAM;
    y->stored = true;
    return true;
}

static struct scope *scope_new(struct compile *c, struct scope *up)
{
    struct scope *s = arena_zero(&c->j->mem, sizeof *s);
    s->up = up;
    return s;
}

/* ---- survey: which names ------------------------------------------------------------------------ */

static bool survey(struct compile *c, struct scope *s, const struct node *n);

static bool survey_list(struct compile *c, struct scope *s, const struct list *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!survey(c, s, l->v[i])) return false;
    return true;
}

static bool survey_args(struct compile *c, struct scope *s, const struct args *a)
{
    if (!a) return true;
    if (!survey_list(c, s, &a->pos) || !survey(c, s, a->star) || !survey(c, s, a->star2)) return false;
    for (uint32_t i = 0; i < a->n_kw; i++)
        if (!survey(c, s, a->kw[i].value)) return false;
    return true;
}

static bool survey_target(struct compile *c, struct scope *s, const struct node *n, bool as_param)
{
    if (n->op == N_NAME) return as_param ? parameter(c, s, n->id) : writes(c, s, n->id);
    if (n->op == N_SETATTR) return reads(c, s, n->a->id);
    for (uint32_t i = 0; i < n->kids.n; i++)
        if (!survey_target(c, s, n->kids.v[i], as_param)) return false;
    return true;
}

/* A copy for one branch; mem_free(*room) afterwards. */
static struct scope branch_of(struct compile *c, const struct scope *s, struct sym **room)
{
    struct scope b = *s;
    c->work += s->n;
    b.sym = *room = mem_alloc((s->n + 8) * sizeof *b.sym);
    b.cap = s->n + 8;
    if (s->n) memcpy(b.sym, s->sym, s->n * sizeof *b.sym);
    return b;
}

/* What the branches of an `if` added; what only some of them assign keeps its value from before. */
static bool join(struct compile *c, struct scope *s, const struct scope *branch, int n)
{
    uint32_t before = s->n;
    bool stored[NAMES_MOST];
    for (uint32_t i = 0; i < before; i++) stored[i] = s->sym[i].stored;
    bool ok = true;
    for (int b = 0; ok && b < n; b++)
        for (uint32_t i = 0; ok && i < branch[b].n; i++) {
            const struct sym *from = &branch[b].sym[i];
            struct sym *to = i < before ? &s->sym[i] : own(s, from->id);
            if (!to && !(to = define(c, s, from->id, LOAD_NOTHING))) ok = false;
            if (!ok) break;
            bool was = to->stored;
            *to = *from;
            to->stored |= was;
        }
    for (uint32_t i = 0; ok && i < s->n; i++)
        if (s->sym[i].stored && !(i < before && stored[i])) load_outer(s, &s->sym[i], LOAD_RESOLVE);
    return ok;
}

static bool survey_if(struct compile *c, struct scope *s, const struct node *n)
{
    struct sym *room[3], *more;
    if (!survey(c, s, n->kids.v[0])) return false;
    if (c->work > WORK_MOST) return compile_fail(c, n->pos, "too many branches over too many names");
    struct scope b[3] = { branch_of(c, s, &room[0]), branch_of(c, s, &room[1]), branch_of(c, s, &room[2]) };
    bool ok = survey_list(c, &b[0], &n->kids.v[1]->body);
    for (uint32_t i = 2; ok && i < n->kids.n; i += 2) {
        if (!(ok = survey(c, &b[1], n->kids.v[i]))) break;
        struct scope one = branch_of(c, &b[1], &more);
        ok = survey_list(c, &one, &n->kids.v[i + 1]->body) && join(c, &b[1], &one, 1);
        mem_free(more);
    }
    ok = ok && survey_list(c, &b[2], &n->other) && join(c, s, b, 3);
    for (int i = 0; i < 3; i++) mem_free(room[i]);
    return ok;
}

static bool survey_one(struct compile *c, struct scope *s, const struct node *n)
{
    switch (n->op) {
    case N_NAME: return reads(c, s, n->id);
    case N_TEXT: case N_CONST: case N_SCOPE: case N_BREAK: case N_CONTINUE: return true;
    case N_IF: return survey_if(c, s, n);
    case N_FOR: return survey(c, s, n->b);
    case N_SET: return survey(c, s, n->b) && survey_target(c, s, n->a, false);
    case N_SETBLOCK: return survey_target(c, s, n->a, false);
    case N_MACRO: return writes(c, s, n->id);
    case N_CALLBLOCK: return survey(c, s, n->a);
    case N_FILTERBLOCK: return survey(c, s, n->b);
    case N_WITH:
        for (uint32_t i = 1; i < n->kids.n; i += 2)
            if (!survey(c, s, n->kids.v[i])) return false;
        return true;
    default:
        return survey(c, s, n->a) && survey(c, s, n->b) && survey(c, s, n->c) && survey_list(c, s, &n->kids) &&
               survey_args(c, s, n->args);
    }
}

static bool survey(struct compile *c, struct scope *s, const struct node *n)
{
    if (!n) return true;
    if (c->depth >= DEPTH_MOST) return compile_fail(c, n->pos, "nested deeper than %d", DEPTH_MOST);
    c->depth++;
    bool ok = survey_one(c, s, n);
    c->depth--;
    return ok;
}

/* ---- place: where each name is -------------------------------------------------------------------- */

static bool place(struct compile *c, struct scope *s, struct node *n, bool in_loop);

static bool place_list(struct compile *c, struct scope *s, const struct list *l, bool in_loop)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (!place(c, s, l->v[i], in_loop)) return false;
    return true;
}

static bool place_args(struct compile *c, struct scope *s, const struct args *a)
{
    if (!a) return true;
    if (!place_list(c, s, &a->pos, false) || !place(c, s, a->star, false) || !place(c, s, a->star2, false)) return false;
    for (uint32_t i = 0; i < a->n_kw; i++)
        if (!place(c, s, a->kw[i].value, false)) return false;
    return true;
}

static bool place_name(struct compile *c, struct scope *s, struct node *n)
{
    struct place p = { 0, 0 };
    if (!find(s, n->id, &p)) {                            /* read where the survey did not look */
        if (!define(c, s, n->id, LOAD_RESOLVE)) return false;
        find(s, n->id, &p);
    }
    n->up = p.up;
    n->slot = p.slot;
    return true;
}

/* A name that a macro has without a parameter of this name, if its body mentions it. */
static bool special(struct compile *c, struct scope *s, const struct node *n, const char *name, bool *used)
{
    uint32_t id = jinja_intern(c, (struct bytes){ name, strlen(name) });
    for (uint32_t i = 0; i < n->sig->names.n; i++) *used &= n->sig->names.v[i]->id != id;
    return !*used || parameter(c, s, id);
}

static bool assigns(const struct node *target, uint32_t id)
{
    for (uint32_t i = 0; i < target->kids.n; i++)
        if (assigns(target->kids.v[i], id)) return true;
    return target->op == N_NAME && target->id == id;
}

/* A macro, or the body of a call block: parameters first, in order, then the special ones it uses. */
static bool place_macro(struct compile *c, struct scope *up, struct node *n)
{
    struct scope *s = n->scope = scope_new(c, up);
    for (struct scope *o = up; o; o = o->up) o->captured = true;
    for (uint32_t i = 0; i < n->sig->names.n; i++) {
        if (own(s, n->sig->names.v[i]->id)) return compile_fail(c, n->sig->names.v[i]->pos, "two parameters have this name");
        if (!parameter(c, s, n->sig->names.v[i]->id)) return false;
    }
    return special(c, s, n, "caller", &n->sig->caller) && special(c, s, n, "kwargs", &n->sig->kwargs) &&
           special(c, s, n, "varargs", &n->sig->varargs) && survey_list(c, s, &n->sig->defaults) &&
           survey_list(c, s, &n->body) && place_list(c, s, &n->sig->defaults, false) && place_list(c, s, &n->body, false);
}

static bool place_for(struct compile *c, struct scope *s, struct node *n)
{
    uint32_t loop = jinja_intern(c, (struct bytes){ "loop", 4 });
    if (!place(c, s, n->b, false)) return false;
    if (assigns(n->a, loop)) return compile_fail(c, n->a->pos, "the variable 'loop' is the loop itself and cannot be assigned");
    struct scope *in = n->scope = scope_new(c, s);
    if (!parameter(c, in, loop) || !survey_target(c, in, n->a, true) || !survey_list(c, in, &n->body)) return false;
    if (!place(c, in, n->a, false) || !place_list(c, in, &n->body, true)) return false;
    if (n->c) {
        in = n->scope_test = scope_new(c, s);
        /* A nameless first place, so that the target has the same ones as in the body. */
        if (!parameter(c, in, UINT32_MAX) || !survey_target(c, in, n->a, true) || !survey(c, in, n->c) || !place(c, in, n->c, false)) return false;
    }
    n->scope_else = scope_new(c, s);
    return survey_list(c, n->scope_else, &n->other) && place_list(c, n->scope_else, &n->other, false);
}

static bool place_with(struct compile *c, struct scope *s, struct node *n, bool in_loop)
{
    struct scope *in = n->scope = scope_new(c, s);
    for (uint32_t i = 0; i < n->kids.n; i += 2)
        if (!place(c, s, n->kids.v[i + 1], false) || !survey_target(c, in, n->kids.v[i], true)) return false;
    if (!survey_list(c, in, &n->body)) return false;
    for (uint32_t i = 0; i < n->kids.n; i += 2)
        if (!place(c, in, n->kids.v[i], false)) return false;
    return place_list(c, in, &n->body, in_loop);
}

/* A scope whose body is just run; `filter` over it is evaluated inside. */
static bool place_block(struct compile *c, struct scope *s, struct node *n, struct node *filter, bool in_loop)
{
    struct scope *in = n->scope = scope_new(c, s);
    return survey_list(c, in, &n->body) && survey(c, in, filter) && place(c, in, filter, false) &&
           place_list(c, in, &n->body, in_loop);
}

static bool place_if(struct compile *c, struct scope *s, struct node *n, bool in_loop)
{
    for (uint32_t i = 0; i < n->kids.n; i += 2)
        if (!place(c, s, n->kids.v[i], false) || !place_list(c, s, &n->kids.v[i + 1]->body, in_loop)) return false;
    return place_list(c, s, &n->other, in_loop);
}

static bool place_one(struct compile *c, struct scope *s, struct node *n, bool in_loop)
{
    switch (n->op) {
    case N_NAME: return place_name(c, s, n);
    case N_IF: return place_if(c, s, n, in_loop);
    case N_FOR: return place_for(c, s, n);
    case N_MACRO: return place_name(c, s, n) && place_macro(c, s, n);
    case N_CALLBLOCK: return place(c, s, n->a, false) && place_macro(c, s, n);
    case N_SETBLOCK: return place(c, s, n->a, false) && place_block(c, s, n, n->b, in_loop);
    case N_FILTERBLOCK: return place_block(c, s, n, n->b, in_loop);
    case N_SCOPE: return place_block(c, s, n, NULL, in_loop);
    case N_WITH: return place_with(c, s, n, in_loop);
    case N_BREAK: case N_CONTINUE:
        return in_loop || compile_fail(c, n->pos, "break and continue are accepted inside a loop only");
    default:
        return place(c, s, n->a, in_loop) && place(c, s, n->b, in_loop) && place(c, s, n->c, in_loop) &&
               place_list(c, s, &n->kids, in_loop) && place_args(c, s, n->args);
    }
}

static bool place(struct compile *c, struct scope *s, struct node *n, bool in_loop)
{
    if (!n) return true;
    if (c->depth >= DEPTH_MOST) return compile_fail(c, n->pos, "nested deeper than %d", DEPTH_MOST);
    c->depth++;
    bool ok = place_one(c, s, n, in_loop);
    c->depth--;
    return ok;
}

bool jinja_scopes(struct compile *c)
{
    struct scope *root = c->j->scope = scope_new(c, NULL);
    c->depth = 0;
    return survey_list(c, root, &c->j->body) && place_list(c, root, &c->j->body, false);
}
