/* jinja_exec.c -- statements: printing, branching, loops, assignments, macros.
 *
 * A scope gets a frame when it is entered: one value for each of its names. A loop uses one frame for
 * all its rounds, unless a macro inside may still look at it later. What a macro, a recursive loop or
 * a block of set, filter and call prints goes to a buffer of its own and becomes a string. */
#include "text/jinja_int.h"

struct loop {
    struct iter it;
    int64_t index0, length, depth0;                       /* length -1: not known yet */
    struct val current, before, after, changed;           /* after: K_MISSING unless looked at */
    bool ended;
    const struct node *n; struct frame *up;
};

/* ---- frames ---------------------------------------------------------------------------------- */

static void fill(struct rt *r, const struct scope *s, struct frame *f)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const struct sym *y = &s->sym[i];
        f->v[i] = (struct val){ .kind = K_MISSING };
        if (y->load == LOAD_OUTER) {
            const struct frame *o = f;
            for (uint16_t k = y->up; k; k--) o = o->up;
            f->v[i] = o->v[y->slot];
        } else if (y->load == LOAD_RESOLVE) {
            struct bytes name = r->j->names[y->id];
            const struct val *v = dict_str(r->vars, name.p, name.len);
            const struct builtin *fn = v ? NULL : global_find(name.p, name.len);
            if (v) f->v[i] = *v;
            else if (fn) f->v[i] = (struct val){ .kind = K_FUNCTION, .u.fn = fn };
        }
    }
}

struct frame *enter(struct rt *r, const struct scope *s, struct frame *up)
{
    struct frame *f = take(r, sizeof *f + s->n * sizeof f->v[0]);
    f->up = up;
    fill(r, s, f);
    return f;
}

static bool exec(struct rt *r, struct frame *f, const struct node *n);

bool exec_body(struct rt *r, struct frame *f, const struct list *body)
{
    for (uint32_t i = 0; i < body->n; i++) {
        if (!exec(r, f, body->v[i])) return false;
        if (r->flow) return true;
    }
    return true;
}

/* What the body prints, as a string. */
static bool capture(struct rt *r, struct frame *f, const struct list *body, struct val *out)
{
    struct buf *outer = r->out;
    r->out = buf_new(r, 256);
    bool ok = exec_body(r, f, body);
    *out = buf_val(r->out, 0, r->out->len);
    r->out = outer;
    return ok;
}

/* ---- assignments ----------------------------------------------------------------------------- */

static bool assign(struct rt *r, struct frame *f, const struct node *target, const struct val *v)
{
    if (target->op == N_NAME) {
        struct frame *at = f;
        for (uint16_t i = target->up; i; i--) at = at->up;
        at->v[target->slot] = *v;
        return true;
    }
    r->pos = target->pos;
    if (target->op == N_SETATTR) {
        struct val ns;
        if (!eval(r, f, target->a, &ns)) return false;
        r->pos = target->pos;
        if (ns.kind != K_NAMESPACE)
            return FAIL(r, "cannot assign attribute on non-namespace object; set %.*s = namespace(…) first",
                        (int)MIN(target->a->k.len, 60), target->a->k.u.s);
        return dict_put(r, ns.u.d, target->k, *v);
    }
    struct val list;
    if (!to_list(r, v, &list)) return false;
    if (list.len != target->kids.n)
        return FAIL(r, list.len > target->kids.n ? "too many values to unpack (expected %u)"
                                                 : "not enough values to unpack (expected %u, got %u)", target->kids.n, list.len);
    for (uint32_t i = 0; i < list.len; i++)
        if (!assign(r, f, target->kids.v[i], &list.u.l->v[i])) return false;
    return true;
}

static bool filtered(struct rt *r, struct frame *f, const struct node *filter, struct val *v)
{
    if (!filter) return true;
    struct val before = r->piped;
    r->piped = *v;
    bool ok = eval(r, f, filter, v);
    r->piped = before;
    return ok;
}

static bool exec_setblock(struct rt *r, struct frame *f, const struct node *n)
{
    struct val v;
    struct frame *in = enter(r, n->scope, f);
    return capture(r, in, &n->body, &v) && filtered(r, in, n->b, &v) && assign(r, f, n->a, &v);
}

static bool exec_filterblock(struct rt *r, struct frame *f, const struct node *n)
{
    struct val v;
    struct frame *in = enter(r, n->scope, f);
    return capture(r, in, &n->body, &v) && filtered(r, in, n->b, &v) && put_str(r, r->out, &v);
}

static bool exec_with(struct rt *r, struct frame *f, const struct node *n)
{
    struct frame *in = enter(r, n->scope, f);
    for (uint32_t i = 0; i < n->kids.n; i += 2) {
        struct val v;
        if (!eval(r, f, n->kids.v[i + 1], &v) || !assign(r, in, n->kids.v[i], &v)) return false;
    }
    return exec_body(r, in, &n->body);
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* The elements that pass `if` of a for tag, one by one. */
struct sieve { struct iter in; const struct node *n; struct frame *up; };

static bool sieve_next(struct rt *r, struct iter *it, struct val *out, bool *end)
{
    struct sieve *s = it->ctx;
    struct val yes = { 0 };
    do {
        if (!iter_next(r, &s->in, out, end)) return false;
        if (*end) return true;
        struct frame *f = enter(r, s->n->scope_test, s->up);
        if (!assign(r, f, s->n->a, out) || !eval(r, f, s->n->c, &yes)) return false;
    } while (!truth(&yes));
    return true;
}

static bool loop_open(struct rt *r, struct frame *f, const struct node *n, const struct val *over, struct loop *l)
{
    *l = (struct loop){ .index0 = -1, .length = -1, .n = n, .up = f };
    if (!n->c) return iter_open(r, over, &l->it);
    struct sieve *s = take(r, sizeof *s);
    struct iter *gen = take(r, sizeof *gen);
    *s = (struct sieve){ .n = n, .up = f };
    *gen = (struct iter){ .next = sieve_next, .ctx = s };
    if (!iter_open(r, over, &s->in)) return false;
    struct val v = { .kind = K_ITER, .u.it = gen };
    return iter_open(r, &v, &l->it);
}

static bool look_ahead(struct rt *r, struct loop *l)
{
    if (l->after.kind != K_MISSING || l->ended) return true;
    bool end;
    if (!iter_next(r, &l->it, &l->after, &end)) return false;
    if (end) l->ended = true, l->after.kind = K_MISSING;
    return true;
}

static bool advance(struct rt *r, struct loop *l, bool *end)
{
    if (!look_ahead(r, l)) return false;
    *end = l->ended && l->after.kind == K_MISSING;
    if (*end) return true;
    l->before = l->current;
    l->current = l->after;
    l->after.kind = K_MISSING;
    l->index0++;
    return true;
}

static bool rounds(struct rt *r, struct loop *l, bool *ran)
{
    const struct node *n = l->n;
    struct frame *f = NULL;
    for (bool end;;) {
        if (!advance(r, l, &end)) return false;
        if (end) return true;
        if (!f || n->scope->captured) f = enter(r, n->scope, l->up);
        else fill(r, n->scope, f);
        f->v[0] = (struct val){ .kind = K_LOOP, .u.loop = l };
        if (!assign(r, f, n->a, &l->current) || !exec_body(r, f, &n->body)) return false;
        if (!r->flow) *ran = true;                        /* as Jinja has it: a round that was left is none for else */
        bool leave = r->flow == FLOW_BREAK;
        r->flow = FLOW_ON;
        if (leave) return true;
    }
}

static bool run_loop(struct rt *r, struct frame *f, const struct node *n, const struct val *over, int64_t depth0)
{
    struct loop *l = take(r, sizeof *l);
    bool ran = false;
    r->pos = n->b->pos;
    if (!loop_open(r, f, n, over, l)) return false;
    l->depth0 = depth0;
    if (!rounds(r, l, &ran)) return false;
    return ran || !n->other.n || exec_body(r, enter(r, n->scope_else, f), &n->other);
}

static bool exec_for(struct rt *r, struct frame *f, const struct node *n)
{
    struct val over;
    return eval(r, f, n->b, &over) && run_loop(r, f, n, &over, 0);
}

bool loop_length(struct rt *r, struct loop *l, int64_t *out)
{
    if (l->length < 0) {
        const struct val *src = &l->it.src;
        if (has_length(src)) {
            if (!length_of(r, src, &l->length)) return false;
        } else {
            struct val rest;
            if (!list_new(r, 4, &rest)) return false;
            for (bool end = l->ended; !end;) {
                struct val item;
                if (!iter_next(r, &l->it, &item, &end)) return false;
                if (!end && !list_put(r, &rest, item)) return false;
            }
            l->length = rest.len + l->index0 + 1 + (l->after.kind != K_MISSING);
            l->it = (struct iter){ .src = rest };
        }
    }
    *out = l->length;
    return true;
}

static bool loop_number(struct rt *r, struct loop *l, const struct val *name, struct val *out, bool *found)
{
    int64_t n;
    *found = true;
    if (str_eq(name, "index0")) *out = of_int(l->index0);
    else if (str_eq(name, "index")) *out = of_int(l->index0 + 1);
    else if (str_eq(name, "first")) *out = of_bool(l->index0 == 0);
    else if (str_eq(name, "depth")) *out = of_int(l->depth0 + 1);
    else if (str_eq(name, "depth0")) *out = of_int(l->depth0);
    else if (str_eq(name, "length") || str_eq(name, "revindex") || str_eq(name, "revindex0")) {
        if (!loop_length(r, l, &n)) return false;
        *out = of_int(name->len == 6 ? n : n - l->index0 - (name->len == 9));
    } else {
        *found = false;
    }
    return true;
}

bool loop_attr(struct rt *r, struct loop *l, const struct val *name, struct val *out, bool *found)
{
    if (!loop_number(r, l, name, out, found) || *found) return !r->failed;
    *found = true;
    if (str_eq(name, "last") || str_eq(name, "nextitem")) {
        if (!look_ahead(r, l)) return false;
        bool last = l->after.kind == K_MISSING;
        if (name->len == 4) *out = of_bool(last);
        else *out = last ? undefined_hint("there is no next item") : l->after;
    } else if (str_eq(name, "previtem")) {
        *out = l->index0 == 0 ? undefined_hint("there is no previous item") : l->before;
    } else {
        *found = false;
    }
    return true;
}

/* loop(list) of a recursive loop: the body over another list, as a string. */
bool loop_call(struct rt *r, struct loop *l, const struct call *c, struct val *out)
{
    if (!l->n->flag) return FAIL(r, "The loop must have the 'recursive' marker to be called recursively.");
    if (c->n != 1 || c->n_kw) return FAIL(r, "loop() takes one list");
    struct buf *outer = r->out;
    r->out = buf_new(r, 256);
    bool ok = run_loop(r, l->up, l->n, &c->pos[0], l->depth0 + 1);
    *out = buf_val(r->out, 0, r->out->len);
    r->out = outer;
    return ok;
}

bool loop_cycle(struct rt *r, struct in *in, struct val *out)
{
    const struct call *c = in->call;
    if (!c->n) return FAIL(r, "no items for cycling given");
    *out = c->pos[(uint64_t)in->self.u.loop->index0 % c->n];
    return true;
}

bool loop_changed(struct rt *r, struct in *in, struct val *out)
{
    struct loop *l = in->self.u.loop;
    struct val now;
    bool same = false;
    if (!list_new(r, in->call->n, &now)) return false;
    for (uint32_t i = 0; i < in->call->n; i++)
        if (!list_put(r, &now, in->call->pos[i])) return false;
    if (l->changed.kind != K_MISSING && !equal(r, &l->changed, &now, &same)) return false;
    if (!same) l->changed = now;
    *out = of_bool(!same);
    return true;
}

/* ---- macros ---------------------------------------------------------------------------------- */

static const struct val *keyword(const struct call *c, const struct val *name, bool *taken)
{
    for (uint32_t i = 0; i < c->n_kw; i++)
        if (c->kw[i].name.len == name->len && !memcmp(c->kw[i].name.u.s, name->u.s, name->len)) {
            taken[i] = true;
            return &c->kw[i].v;
        }
    return NULL;
}

static void bind_given(const struct macro *m, const struct call *c, struct frame *f, bool *taken)
{
    const struct signature *s = m->n->sig;
    for (uint32_t i = 0; i < s->names.n; i++) {
        const struct val *v = i < c->n ? &c->pos[i] : keyword(c, &s->names.v[i]->k, taken);
        if (v) f->v[i] = *v;
    }
}

/* Defaults are evaluated inside, where they may read the parameters before them. */
static bool bind_defaults(struct rt *r, const struct macro *m, struct frame *f)
{
    const struct signature *s = m->n->sig;
    uint32_t first = s->names.n - s->defaults.n;
    for (uint32_t i = 0; i < s->names.n; i++) {
        if (f->v[i].kind != K_MISSING) continue;
        if (i >= first) {
            if (!eval(r, f, s->defaults.v[i - first], &f->v[i])) return false;
            continue;
        }
        char *why = take(r, 120);
        snprintf(why, 120, "parameter '%.*s' was not provided", (int)MIN(s->names.v[i]->k.len, 60), s->names.v[i]->k.u.s);
        f->v[i] = undefined_hint(why);
    }
    return true;
}

static bool rest_of_kwargs(struct rt *r, const struct macro *m, const struct call *c, const bool *taken, struct dict *out)
{
    for (uint32_t i = 0; i < c->n_kw; i++) {
        if (taken[i]) continue;
        if (out) {
            if (!dict_put(r, out, c->kw[i].name, c->kw[i].v)) return false;
            continue;
        }
        if (str_eq(&c->kw[i].name, "caller"))
            return FAIL(r, "macro '%.*s' does not use caller(), so a call block has nothing to give it", (int)MIN(m->name.len, 60), m->name.u.s);
        return FAIL(r, "macro '%.*s' takes no keyword argument '%.*s'", (int)MIN(m->name.len, 60), m->name.u.s,
                    (int)MIN(c->kw[i].name.len, 60), c->kw[i].name.u.s);
    }
    return true;
}

static bool bind_special(struct rt *r, const struct macro *m, const struct call *c, struct frame *f, bool *taken)
{
    const struct signature *s = m->n->sig;
    uint32_t at = s->names.n;
    struct val name = of_text("caller");
    if (s->caller) {
        const struct val *v = keyword(c, &name, taken);
        f->v[at++] = v ? *v : undefined_hint("No caller defined");
    }
    struct dict *kwargs = s->kwargs ? dict_new(r) : NULL;
    if (!rest_of_kwargs(r, m, c, taken, kwargs)) return false;
    if (s->kwargs) f->v[at++] = (struct val){ .kind = K_DICT, .u.d = kwargs };
    if (!s->varargs)
        return c->n <= s->names.n || FAIL(r, "macro '%.*s' takes not more than %u argument(s)", (int)MIN(m->name.len, 60), m->name.u.s, s->names.n);
    struct val *rest = &f->v[at];
    if (!list_new(r, c->n, rest)) return false;
    for (uint32_t i = s->names.n; i < c->n; i++)
        if (!list_put(r, rest, c->pos[i])) return false;
    rest->kind = K_TUPLE;
    return true;
}

bool call_macro(struct rt *r, const struct macro *m, const struct call *c, struct val *out)
{
    bool few[16] = { false }, *taken = c->n_kw <= LEN(few) ? few : memset(take(r, c->n_kw), 0, c->n_kw);
    struct frame *f = enter(r, m->scope, m->frame);
    int flow = r->flow;
    r->flow = FLOW_ON;
    bind_given(m, c, f, taken);
    bool ok = bind_special(r, m, c, f, taken) && bind_defaults(r, m, f) && capture(r, f, &m->n->body, out);
    r->flow = flow;
    return ok;
}

static struct val macro_value(struct rt *r, struct frame *f, const struct node *n)
{
    struct macro *m = take(r, sizeof *m);
    *m = (struct macro){ .n = n, .scope = n->scope, .frame = f, .name = n->k };
    return (struct val){ .kind = K_MACRO, .u.macro = m };
}

static bool exec_callblock(struct rt *r, struct frame *f, const struct node *n)
{
    if (!n->a) return exec_body(r, enter(r, n->scope, f), &n->body);
    struct val caller = macro_value(r, f, n), v;
    return eval_call(r, f, n->a, &caller, &v) && put_str(r, r->out, &v);
}

/* ---- one statement --------------------------------------------------------------------------- */

static bool exec_print(struct rt *r, struct frame *f, const struct node *n)
{
    for (uint32_t i = 0; i < n->kids.n; i++) {
        struct val v;
        if (!eval(r, f, n->kids.v[i], &v)) return false;
        r->pos = n->pos;
        if (!put_str(r, r->out, &v)) return false;
    }
    return true;
}

static bool exec_if(struct rt *r, struct frame *f, const struct node *n)
{
    for (uint32_t i = 0; i < n->kids.n; i += 2) {
        struct val v;
        if (!eval(r, f, n->kids.v[i], &v)) return false;
        if (truth(&v)) return exec_body(r, f, &n->kids.v[i + 1]->body);
    }
    return exec_body(r, f, &n->other);
}

static bool exec_set(struct rt *r, struct frame *f, const struct node *n)
{
    struct val v;
    return eval(r, f, n->b, &v) && assign(r, f, n->a, &v);
}

static bool exec_one(struct rt *r, struct frame *f, const struct node *n)
{
    switch (n->op) {
    case N_TEXT: return buf_put(r, r->out, n->k.u.s, n->k.len, true);
    case N_PRINT: return exec_print(r, f, n);
    case N_IF: return exec_if(r, f, n);
    case N_FOR: return exec_for(r, f, n);
    case N_SET: return exec_set(r, f, n);
    case N_SETBLOCK: return exec_setblock(r, f, n);
    case N_MACRO: f->v[n->slot] = macro_value(r, f, n); return true;
    case N_CALLBLOCK: return exec_callblock(r, f, n);
    case N_FILTERBLOCK: return exec_filterblock(r, f, n);
    case N_WITH: return exec_with(r, f, n);
    case N_SCOPE: return exec_body(r, enter(r, n->scope, f), &n->body);
    case N_BREAK: r->flow = FLOW_BREAK; return true;
    default: r->flow = FLOW_CONTINUE; return true;
    }
}

static bool exec(struct rt *r, struct frame *f, const struct node *n)
{
    if (!steps(r, 1)) return false;
    bool ok = deeper(r) && exec_one(r, f, n);
    r->depth--;
    return ok;
}
