/* envelope_lay.c -- a tree of pieces becomes a small program over bytes.
 *
 * Each rule is laid out back to front, every op knowing what follows it. Loops are splits, rules and
 * `each` are calls. Refused by name before that: rules that are not given, left recursion and
 * unbounded repetition of something that may be empty (both would let the matcher run in place), and
 * rules that have no end (nothing could ever finish them). */
#include "grammar/envelope.h"

/* ---- what would run in place ----------------------------------------------------------------- */

static bool nullable(const struct reader *r, const struct tree *t)
{
    switch (t->kind) {
    case N_SEQ: for (uint32_t i = 0; i < t->n_kid; i++) if (!nullable(r, t->kid[i])) return false;
                return true;
    case N_ALT: for (uint32_t i = 0; i < t->n_kid; i++) if (nullable(r, t->kid[i])) return true;
                return false;
    case N_REP: return t->a == 0 || nullable(r, t->kid[0]);
    case N_EACH: return nullable(r, t->kid[0]);
    case N_TEXT: return !r->g->trig[t->a].min;
    case N_CHARS: return !r->g->chars[t->a].min;
    case N_RE: return dfa_accepts(r->g->re[t->a], DFA_START);
    case N_VALUE: case N_SLOT: return t->a == SURF_RAW || t->a == SURF_ARGS;
    case N_REF: return r->rule[t->a].nullable;
    default: return false;
    }
}

static bool check_loops(struct reader *r, const struct tree *t, const char *rule)
{
    if (t->kind == N_REP && t->b == NONE && nullable(r, t->kid[0]))
        return err_set(r->e, ERR_ARG,
                       "%s: rule %.80s: an unbounded repetition of something that may be empty",
                       r->where, rule);
    for (uint32_t i = 0; i < t->n_kid; i++)
        if (!check_loops(r, t->kid[i], rule)) return false;
    return true;
}

static bool too_deep(struct reader *r)
{
    return err_set(r->e, ERR_LIMIT, "%s: rules nested too deeply", r->where);
}

/* Follows what may come first; a rule met while it is open recurses to the left. */
static bool check_left(struct reader *r, const struct tree *t)
{
    bool ok = true;
    if (++r->depth > MOST_DEEP) return too_deep(r);
    if (t->kind == N_REF) {
        uint32_t i = t->a;
        if (r->rule[i].mark == 1)
            return err_set(r->e, ERR_ARG, "%s: rule %.80s begins with itself", r->where,
                           r->rule[i].name);
        if (!r->rule[i].mark) {
            r->rule[i].mark = 1;
            ok = check_left(r, r->rule[i].body);
            r->rule[i].mark = 2;
        }
    }
    for (uint32_t i = 0; i < t->n_kid && ok; i++) {
        ok = check_left(r, t->kid[i]);
        if (t->kind == N_SEQ && !nullable(r, t->kid[i])) break;
    }
    r->depth--;
    return ok;
}

/* Can the piece be finished, as far as is known? mark 3: the rule can. */
static bool ends(const struct reader *r, const struct tree *t)
{
    if (t->kind == N_REF) return r->rule[t->a].mark == 3;
    if (t->kind == N_REP && !t->a) return true;
    for (uint32_t i = 0; i < t->n_kid; i++) {
        bool one = ends(r, t->kid[i]);
        if (t->kind == N_ALT ? one : !one) return one;
    }
    return t->kind != N_ALT;
}

static bool check_ends(struct reader *r)
{
    for (bool more = true; more; ) {
        more = false;
        for (uint32_t i = r->n_rule; i-- > 0; )
            if (r->rule[i].mark != 3 && ends(r, r->rule[i].body)) {
                r->rule[i].mark = 3;
                more = true;
            }
    }
    for (uint32_t i = 0; i < r->n_rule; i++)
        if (r->rule[i].mark != 3)
            return err_set(r->e, ERR_ARG, "%s: rule %.80s never comes to an end", r->where,
                           r->rule[i].name);
    return true;
}

static bool check_rules(struct reader *r)
{
    for (uint32_t i = 0; i < r->n_rule; i++)
        if (!r->rule[i].body)
            return err_set(r->e, ERR_ARG, "%s: rule %.80s is not given", r->where, r->rule[i].name);
    for (bool more = true; more; ) {
        more = false;
        for (uint32_t i = r->n_rule; i-- > 0; )
            if (!r->rule[i].nullable && nullable(r, r->rule[i].body))
                more = r->rule[i].nullable = true;
    }
    for (uint32_t i = 0; i < r->n_rule; i++) {
        struct tree ref = { .kind = N_REF, .a = i };
        r->depth = 0;
        if (!check_loops(r, r->rule[i].body, r->rule[i].name) || !check_left(r, &ref)) return false;
    }
    return check_ends(r);
}

/* ---- laying out ------------------------------------------------------------------------------ */

static uint32_t op_new(struct reader *r, struct op o)
{
    struct grammar *g = r->g;
    if (g->n_op >= MOST_OP) {
        if (!r->e->code)
            err_set(r->e, ERR_LIMIT,
                    "%s: more than %d steps; repetitions count as often as they repeat",
                    r->where, MOST_OP);
        return 0;
    }
    MEM_GROW(g->op, g->n_op, r->cap_op);
    g->op[g->n_op] = o;
    return g->n_op++;
}

static uint32_t lay(struct reader *r, const struct tree *t, uint32_t next);

static uint32_t lay_rep(struct reader *r, const struct tree *t, uint32_t next)
{
    uint32_t at = next;
    if (t->b == NONE) {
        at = op_new(r, (struct op){ .kind = OP_SPLIT, .a = next });
        uint32_t body = lay(r, t->kid[0], at);
        if (r->g->n_op) r->g->op[at].next = body;
    } else {
        for (uint32_t i = t->a; i < t->b && !r->e->code; i++) {
            uint32_t body = lay(r, t->kid[0], at);
            at = op_new(r, (struct op){ .kind = OP_SPLIT, .next = body, .a = next });
        }
    }
    for (uint32_t i = 0; i < t->a && !r->e->code; i++) at = lay(r, t->kid[0], at);
    return at;
}

static uint32_t lay_each(struct reader *r, const struct tree *t, uint32_t next)
{
    uint32_t ret = op_new(r, (struct op){ .kind = OP_RET });
    uint32_t body = lay(r, t->kid[0], ret);
    return op_new(r, (struct op){ .kind = OP_EACH, .next = next, .a = body });
}

static uint32_t lay(struct reader *r, const struct tree *t, uint32_t next)
{
    static const uint8_t same[] = {
        [N_LIT] = OP_LIT,     [N_CLASS] = OP_CLASS, [N_SPECIAL] = OP_SPECIAL, [N_TEXT] = OP_TEXT,
        [N_CHARS] = OP_CHARS, [N_RE] = OP_RE,       [N_NAME] = OP_NAME,       [N_VALUE] = OP_VALUE,
        [N_SLOT] = OP_SLOT
    };
    if (++r->n_work > MOST_WORK && !r->e->code)         /* repetitions of what takes no step */
        err_set(r->e, ERR_LIMIT, "%s: repetitions that multiply to more than a million", r->where);
    if (r->e->code) return 0;
    switch (t->kind) {
    case N_SEQ:
        for (uint32_t i = t->n_kid; i-- > 0; ) next = lay(r, t->kid[i], next);
        return next;
    case N_ALT: {
        uint32_t at = lay(r, t->kid[t->n_kid - 1], next);
        for (uint32_t i = t->n_kid - 1; i-- > 0; ) {
            uint32_t first = lay(r, t->kid[i], next);
            at = op_new(r, (struct op){ .kind = OP_SPLIT, .next = first, .a = at });
        }
        return at;
    }
    case N_REP:  return lay_rep(r, t, next);
    case N_EACH: return lay_each(r, t, next);
    case N_REF:  return op_new(r, (struct op){ .kind = OP_CALL, .next = next, .a = t->a });
    default:
        return op_new(r, (struct op){ .kind = same[t->kind], .next = next, .a = t->a, .b = t->b });
    }
}

static bool is_tail_call(const struct grammar *g, uint32_t op)
{
    return g->op[op].kind == OP_CALL && g->op[g->op[op].next].kind == OP_RET;
}

/* A call with nothing behind it is a jump: right recursion then costs no frames. */
static void jump_tail_calls(struct grammar *g)
{
    uint32_t *to = mem_alloc((g->n_op + 1) * sizeof *to);
    for (uint32_t i = 0; i < g->n_op; i++) {
        to[i] = i;
        for (uint32_t hops = 0; hops < MOST_RULE && is_tail_call(g, to[i]); hops++)
            to[i] = g->op[to[i]].a;
    }
    for (uint32_t i = 0; i < g->n_op; i++) {
        struct op *o = &g->op[i];
        if (o->kind != OP_RET) o->next = to[o->next];
        if (o->kind == OP_SPLIT || o->kind == OP_CALL || o->kind == OP_EACH) o->a = to[o->a];
    }
    g->root = to[g->root];
    mem_free(to);
}

bool lay_rules(struct reader *r, uint32_t root)
{
    struct grammar *g = r->g;
    if (!check_rules(r)) return false;
    for (uint32_t i = 0; i < r->n_rule; i++) {
        uint32_t ret = op_new(r, (struct op){ .kind = OP_RET });
        r->rule[i].entry = lay(r, r->rule[i].body, ret);
    }
    if (r->e->code) return false;
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_CALL) g->op[i].a = r->rule[g->op[i].a].entry;
    g->root = r->rule[root].entry;
    jump_tail_calls(g);
    return true;
}

void envelope_of_value(struct grammar *g, uint32_t goal)
{
    g->op = mem_alloc(2 * sizeof *g->op);
    g->op[0] = (struct op){ .kind = OP_RET };
    g->op[1] = (struct op){ .kind = OP_SLOT, .next = 0, .a = SURF_JSON, .b = goal };
    g->n_op = 2;
    g->root = 1;
}
