/* shape.c -- a bag becomes shapes, one JSON type each: numbers, texts and words here, arrays and
 * objects in files of their own.
 *
 * A shape is all that a matcher needs to know of one type: bounds and divisors of a number, lengths and
 * an automaton for a text. Negated keywords arrive as atoms and are just other bounds, other parts. */
#include "grammar/int.h"

uint32_t expand_goal_of(struct expand *x, const uint32_t *ref, uint32_t n)
{
    struct err why = { 0 };
    uint32_t goal = goal_of(x->g, ref, n, &why);
    if (goal == NONE) schemas_fail(x->g, x->e, n ? ref[0] / 2 : NODE_ANY_OBJECT, why.code, "", "%.200s", why.msg);
    return goal;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void raise_lo(struct num *n, const struct dec *d, bool open)
{
    int c = n->has_lo ? dec_cmp(d, &n->lo) : 1;
    if (c > 0 || (c == 0 && open)) { n->lo = *d; n->lo_open = open; }
    n->has_lo = true;
}

static void lower_hi(struct num *n, const struct dec *d, bool open)
{
    int c = n->has_hi ? dec_cmp(d, &n->hi) : -1;
    if (c < 0 || (c == 0 && open)) { n->hi = *d; n->hi_open = open; }
    n->has_hi = true;
}

struct decs { struct dec *d; uint32_t n, cap; };
static void decs_put(struct expand *x, struct decs *s, struct dec d)
{
    if (s->n == s->cap) {
        struct dec *more = arena_small(&x->g->mem, (s->cap * 2 + 4) * sizeof *more);
        if (s->n) memcpy(more, s->d, s->n * sizeof *more);
        s->d = more;
        s->cap = s->cap * 2 + 4;
    }
    s->d[s->n++] = d;
}

static void not_numbers(struct expand *x, struct decs *except, const struct node *n)
{
    bool lone = n->kind == NODE_LITERAL || n->is_const;
    const struct json *list = n->kind == NODE_LITERAL ? n->v : n->lits;
    for (size_t i = 0; i < (lone ? 1 : json_len(list)); i++) {
        size_t len;
        const char *p = json_number(lone ? list : json_at(list, i), &len);
        if (p) decs_put(x, except, dec_read(&x->g->mem, p, len));
    }
}

static void num_keywords(struct expand *x, const struct bag *b, struct num *n, uint32_t *at)
{
    struct decs multiple = { 0 }, other = { 0 }, except = { 0 };
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->item[i].ref & 1) continue;
        const struct node *p = node_at(x->g, b->item[i].ref / 2);
        n->draft4 |= p->draft4;
        if (!p->num) continue;
        *at = b->item[i].ref / 2;
        if (p->num->has_lo) raise_lo(n, &p->num->lo, p->num->lo_open);
        if (p->num->has_hi) lower_hi(n, &p->num->hi, p->num->hi_open);
        if (p->num->has_multiple) decs_put(x, &multiple, p->num->multiple);
    }
    for (uint32_t i = 0; i < b->n_atom; i++) {
        const struct node *p = node_at(x->g, b->atom[i].node);
        switch (b->atom[i].kind) {
        case NOT_LO: lower_hi(n, &p->num->lo, !p->num->lo_open); break;
        case NOT_HI: raise_lo(n, &p->num->hi, !p->num->hi_open); break;
        case NOT_MULTIPLE: decs_put(x, &other, p->num->multiple); break;
        case NOT_LITS: not_numbers(x, &except, p); break;
        default: break;
        }
    }
    n->multiple = multiple.d;
    n->n_multiple = multiple.n;
    n->other = other.d;
    n->n_other = other.n;
    n->except = except.d;
    n->n_except = except.n;
}

static bool bag_numbers(struct expand *x, const struct bag *b)
{
    struct num *n = arena_small(&x->g->mem, sizeof *n);
    uint32_t at = b->item[0].ref / 2;
    n->integer = !(b->types & T_FRAC);
    n->fraction = !(b->types & T_INT);
    num_keywords(x, b, n, &at);
    bool empty = false;
    struct err why = { 0 };
    if (!x->g->o.validate && !num_prepare(n, &x->g->mem, &empty, &why)) {
        if (!x->g->o.relax || why.code != ERR_UNSUPPORTED)
            return schemas_fail(x->g, x->e, at, why.code, "", "%.200s", why.msg);
        schemas_relaxed(x->g, at, "multipleOf");
        n->n_multiple = n->n_other = n->n_except = 0;
        if (!num_prepare(n, &x->g->mem, &empty, &why))
            return schemas_fail(x->g, x->e, at, why.code, "", "%.200s", why.msg);
    }
    if (empty) return true;
    struct shape *sh = shape_add(x, SH_NUM);
    if (sh) sh->num = n;
    return sh != NULL;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void part_put(struct expand *x, struct text_rule *r, struct re_part part)
{
    struct re_part *more = arena_small(x->tmp, (r->n_part + 1) * sizeof *more);
    if (r->n_part) memcpy(more, r->part, r->n_part * sizeof *more);
    more[r->n_part++] = part;
    r->part = more;
}

static void part_add(struct expand *x, struct text_rule *r, enum re_kind kind, bool negate, struct bytes p)
{
    part_put(x, r, (struct re_part){ .kind = kind, .negate = negate, .p = p.p, .len = p.len });
}

/* A format: by its automaton; where that knows less than the predicate, validating asks the predicate. */
static bool format_add(struct expand *x, struct text_rule *r, uint32_t node, bool negate, struct bytes name)
{
    if (x->g->o.validate && !format_is_regular(name.p)) {
        const char **more = arena_small(&x->g->mem, (r->n_judge + 1) * sizeof *more);
        if (r->n_judge) memcpy(more, r->judge, r->n_judge * sizeof *more);
        more[r->n_judge++] = arena_fmt(&x->g->mem, "%s%s", negate ? "!" : "", name.p);
        r->judge = more;
        return true;
    }
    const char *around = negate ? format_around(name.p) : NULL;
    if (around && !format_is_regular(name.p)) {         /* generating less than may be */
        part_add(x, r, RE_WHOLE, true, (struct bytes){ around, strlen(around) });
        return true;
    }
    if (format_pattern(name.p) && (!negate || around)) {
        part_add(x, r, RE_FORMAT, negate, name);
        return true;
    }
    if (!x->g->o.relax)
        return schemas_fail(x->g, x->e, node, ERR_UNSUPPORTED, "format",
                            "%.40s cannot be enforced while generating", name.p);
    schemas_relaxed(x->g, node, "format");
    return true;
}

static void not_texts(struct expand *x, struct text_rule *r, const struct node *n)
{
    bool lone = n->kind == NODE_LITERAL || n->is_const;
    const struct json *list = n->kind == NODE_LITERAL ? n->v : n->lits;
    for (size_t i = 0; i < (lone ? 1 : json_len(list)); i++) {
        size_t len;
        const char *p = json_str(lone ? list : json_at(list, i), &len);
        if (p) part_add(x, r, RE_LITERAL, true, (struct bytes){ p, len });
    }
}

bool bag_rule(struct expand *x, const struct bag *b, struct text_rule *r)
{
    *r = (struct text_rule){ .max = NONE };
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = node_at(x->g, b->item[i].ref / 2);
        if (b->item[i].ref & 1 || !n->str) continue;
        r->min = MAX(r->min, n->str->min);
        r->max = MIN(r->max, n->str->max);
        if (n->str->pattern.p) part_add(x, r, RE_PATTERN, false, n->str->pattern);
        if (n->str->format.p && !format_add(x, r, b->item[i].ref / 2, false, n->str->format)) return false;
    }
    for (uint32_t i = 0; i < b->n_atom; i++) {
        const struct node *n = node_at(x->g, b->atom[i].node);
        switch (b->atom[i].kind) {
        case NOT_MIN_LEN: r->max = MIN(r->max, n->str->min - 1); break;
        case NOT_MAX_LEN: r->min = MAX(r->min, n->str->max + 1); break;
        case NOT_PATTERN: part_add(x, r, RE_PATTERN, true, n->str->pattern); break;
        case NOT_FORMAT:
            if (!format_add(x, r, b->atom[i].node, true, n->str->format)) return false;
            break;
        case NOT_LITS: not_texts(x, r, n); break;
        case ANY_TEXT: case NOT_TEXT: part_put(x, r, text_choice(x, &b->atom[i])); break;
        default: break;
        }
    }
    return true;
}

static struct dfa *open_parts(struct expand *x, uint32_t node, const struct text_rule *r, struct strs *to)
{
    struct err why = { 0 };
    struct schemas *s = &x->g->s;
    struct dfa *d = r->is_value ? dfa_open_counted(r->part, r->n_part, &to->min, &to->max, &why)
                                : dfa_open(r->part, r->n_part, &why);
    if (!d) {
        schemas_fail(x->g, x->e, node, why.code, "", "%.200s", why.msg);
        return NULL;
    }
    MEM_GROW(s->dfa, s->n_dfa, s->cap_dfa);
    s->dfa[s->n_dfa++] = d;
    return d;
}

bool strs_make(struct expand *x, uint32_t node, const struct text_rule *r, struct strs *out, bool *empty)
{
    *out = (struct strs){ .min = r->min, .max = r->max, .judge = r->judge, .n_judge = r->n_judge };
    *empty = r->min > r->max;
    if (*empty || !r->n_part) return true;
    if (!(out->dfa = open_parts(x, node, r, out))) return false;
    out->cls = dfa_classes(out->dfa);
    *empty = dfa_empty(out->dfa) || !dfa_fits(out->dfa, DFA_START, out->min, out->max);
    return true;
}

bool strs_match(const struct strs *s, const char *p, size_t len)
{
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++) n += ((uint8_t)p[i] & 0xc0) != 0x80;
    if (n < s->min || n > s->max || (s->dfa && !dfa_match(s->dfa, p, len))) return false;
    for (uint32_t i = 0; i < s->n_judge; i++) {
        bool negate = *s->judge[i] == '!';
        if (format_valid(s->judge[i] + negate, p, len) == negate) return false;
    }
    return true;
}

static uint32_t text_node(const struct expand *x, const struct bag *b)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (!(b->item[i].ref & 1) && node_at(x->g, b->item[i].ref / 2)->str) return b->item[i].ref / 2;
    return b->item[0].ref / 2;
}

/* The rule is kept until all bags are read; it outlives the scratch of this choice. */
static bool bag_strings(struct expand *x, const struct bag *b)
{
    struct text_rule r;
    if (!bag_rule(x, b, &r)) return false;
    struct re_part *own = arena_small(&x->g->mem, (r.n_part + 1) * sizeof *own);
    if (r.n_part) memcpy(own, r.part, r.n_part * sizeof *own);
    r.part = own;
    if (x->names) {
        MEM_GROW(x->names->rule, x->names->n_rule, x->names->cap_rule);
        x->names->rule[x->names->n_rule++] = r;
        return true;
    }
    r.node = text_node(x, b);
    r.is_value = true;
    MEM_GROW(x->text, x->n_text, x->cap_text);
    x->text[x->n_text++] = r;
    return true;
}

/* One shape of a rule. */
static bool text_shape(struct expand *x, const struct text_rule *r)
{
    struct strs *s = arena_small(&x->g->mem, sizeof *s);
    bool empty;
    if (!strs_make(x, r->node, r, s, &empty)) return false;
    if (empty) return true;
    struct shape *sh = shape_add(x, SH_STR);
    if (sh) sh->str = s;
    return sh != NULL;
}

static bool may_join(const struct text_rule *a, const struct text_rule *b)
{
    return a->min == b->min && a->max == b->max && !a->n_judge && !b->n_judge;
}

/* The rule at `at` and all behind it that it may join, as one: its automaton is their union. Done ones, and those to leave out, have n_judge NONE. */
static struct text_rule join_rules(struct expand *x, uint32_t at)
{
    struct text_rule out = x->text[at];
    uint32_t n = 0, group = 0;
    bool any = false;
    for (uint32_t i = at; i < x->n_text; i++)
        if (i == at || may_join(&x->text[at], &x->text[i])) n += x->text[i].n_part;
    out.part = arena_small(x->tmp, (n + 1) * sizeof *out.part);
    out.n_part = 0;
    for (uint32_t i = at; i < x->n_text; i++) {
        struct text_rule *r = &x->text[i];
        if (i != at && !may_join(&x->text[at], r)) continue;
        any |= !r->n_part;
        for (uint32_t k = 0; k < r->n_part; k++) {
            out.part[out.n_part] = r->part[k];
            out.part[out.n_part++].group = group;
        }
        group++;
        if (i != at) r->n_judge = NONE;
    }
    if (any) out.n_part = 0;            /* one of them is any text */
    return out;
}

/* Ways that have no text of their lengths are dropped: in a union each search would try them in vain. */
static bool drop_empty(struct expand *x)
{
    for (uint32_t i = 0; i < x->n_text && x->n_text > 1; i++) {
        struct strs s;
        bool empty = false, bounded = x->text[i].min || x->text[i].max != NONE;
        if (bounded && !strs_make(x, x->text[i].node, &x->text[i], &s, &empty)) return false;
        if (empty) x->text[i].n_judge = NONE;
    }
    return true;
}

/* Many ways in which a value may be a text are one automaton: a text then has one configuration, not one a way. */
bool texts_close(struct expand *x)
{
    if (!drop_empty(x)) return false;
    for (uint32_t i = 0; i < x->n_text; i++) {
        if (x->text[i].n_judge == NONE) continue;
        struct text_rule r = join_rules(x, i);
        if (!text_shape(x, &r)) return false;
    }
    return true;
}

/* ---- all types ------------------------------------------------------------------------------- */

bool bag_shapes(struct expand *x, const struct bag *b)
{
    if (x->names) return !(b->types & T_STR) || bag_strings(x, b);
    if (b->types & T_OBJ && !bag_object(x, b)) return false;
    if (b->types & T_ARR && !bag_array(x, b)) return false;
    if (b->types & T_STR && !bag_strings(x, b)) return false;
    if (b->types & T_NUM && !bag_numbers(x, b)) return false;
    if (b->types & T_NULL && !shape_add(x, SH_NULL)) return false;
    if (b->types & T_TRUE && !shape_add(x, SH_TRUE)) return false;
    return !(b->types & T_FALSE) || shape_add(x, SH_FALSE);
}
