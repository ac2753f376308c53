/* scalar.c -- does a null, boolean, number or text meet a schema? Asked of every value of an enum, by every schema that
 * stands beside it, so it is decided here from the nodes, without a word about why not; check.c has the words, and judges
 * arrays and objects. Long lists of values are looked up, not searched: two enums of 100 000 values are nothing special. */
#include "grammar/int.h"

enum { MOST_DEEP = 200, FEW_LITS = 8 };

/* ---- lists of values ---------------------------------------------------------------------------- */

/* Equal values have equal hashes: numbers by what they are worth, arrays and objects not told apart. */
static uint64_t value_hash(const struct json *v, struct arena *tmp)
{
    size_t len, mark = arena_mark(tmp);
    const char *p = json_str(v, &len);
    if (p) return hash64(p, len, JSON_STRING);
    if (!(p = json_number(v, &len))) return mix64(json_type(v), json_is(v, JSON_BOOL) && json_bool(v));
    struct dec d = dec_read(tmp, p, len);
    uint64_t h = hash64(d.digit, (size_t)d.n, (uint64_t)d.point * 2 + d.neg);
    arena_reset(tmp, mark);
    return d.n ? h : 0;
}

static void lits_index(struct grammar *g, struct node *n, struct arena *tmp)
{
    uint32_t len = (uint32_t)json_len(n->lits), slots = 16;
    while (slots < len * 2) slots *= 2;
    uint32_t *slot = arena_zero(&g->mem, slots * sizeof *slot);
    for (uint32_t i = 0; i < len; i++) {
        uint32_t h = (uint32_t)value_hash(json_at(n->lits, i), tmp) & (slots - 1);
        bool had = false;                               /* equal arrays and objects would make long chains */
        for (; slot[h] && !had; h = had ? h : (h + 1) & (slots - 1))
            had = json_equal(json_at(n->lits, slot[h] - 1), json_at(n->lits, i));
        if (!had) slot[h] = i + 1;
    }
    n->lit_slot = slot;
    n->n_lit_slot = slots;
}

bool lits_hold(const struct grammar *cg, const struct node *n, const struct json *v)
{
    struct grammar *g = (struct grammar *)cg;           /* the index is made when it is first worth it, under the lock */
    if (n->is_const) return json_equal(n->lits, v);
    size_t len = json_len(n->lits);
    if (len <= FEW_LITS) {
        for (size_t i = 0; i < len; i++)
            if (json_equal(json_at(n->lits, i), v)) return true;
        return false;
    }
    struct arena tmp;
    arena_init(&tmp, 256);
    if (!n->lit_slot) lits_index(g, (struct node *)n, &tmp);
    bool hit = false;
    uint32_t h = (uint32_t)value_hash(v, &tmp) & (n->n_lit_slot - 1);
    for (; n->lit_slot[h] && !hit; h = (h + 1) & (n->n_lit_slot - 1)) hit = json_equal(json_at(n->lits, n->lit_slot[h] - 1), v);
    arena_done(&tmp);
    return hit;
}

/* ---- one keyword after the other ----------------------------------------------------------------- */

enum verdict { NO, YES, UNDECIDED };

static enum verdict number_meets(const struct node *n, const struct json *v)
{
    size_t len;
    const char *p = json_number(v, &len);
    const struct kw_num *k = n->num;
    int want = n->types & T_NUM;
    if (want == T_NUM && !k) return YES;
    if (n->draft4 && want != T_NUM && strcspn(p, ".eE") < len) return UNDECIDED;         /* 1.0 is no integer there */
    struct arena tmp;
    arena_init(&tmp, 256);
    struct dec d = dec_read(&tmp, p, len);
    bool ok = want == T_NUM || dec_is_int(&d) == (want == T_INT);
    if (ok && k && k->has_lo) ok = dec_cmp(&d, &k->lo) >= k->lo_open;
    if (ok && k && k->has_hi) ok = dec_cmp(&d, &k->hi) <= -k->hi_open;
    if (ok && k && k->has_multiple) ok = dec_multiple(&d, &k->multiple);
    arena_done(&tmp);
    return ok;
}

static enum verdict text_meets(const struct kw_str *k, const struct json *v)
{
    size_t len;
    uint32_t points = 0;
    const char *p = json_str(v, &len);
    for (size_t i = 0; i < len; i++) points += ((uint8_t)p[i] & 0xc0) != 0x80;
    if (points < k->min || points > k->max) return NO;
    if (k->format.p && !format_valid(k->format.p, p, len)) return NO;
    if (!k->pattern.p) return YES;
    struct re_part part = { RE_PATTERN, false, k->pattern.p, k->pattern.len, 0 };
    struct dfa *d = dfa_open(&part, 1, NULL);
    enum verdict r = !d ? UNDECIDED : dfa_match(d, p, len) ? YES : NO;
    dfa_close(d);
    return r;
}

static enum verdict meets(const struct grammar *g, uint32_t id, const struct json *v, int type, int depth);

/* How many of them it meets, at most two; UNDECIDED + 1: it cannot be said. */
static int count(const struct grammar *g, const uint32_t *id, uint32_t n, const struct json *v, int type, int depth)
{
    int k = 0;
    for (uint32_t i = 0; i < n && k < 2; i++) {
        enum verdict r = meets(g, id[i], v, type, depth);
        if (r == UNDECIDED) return UNDECIDED + 1;
        k += r == YES;
    }
    return k;
}

static enum verdict in_meets(const struct grammar *g, const struct kw_in *in, const struct json *v, int type, int depth)
{
    enum verdict r = in->ref != NONE ? meets(g, in->ref, v, type, depth) : YES;
    for (uint32_t i = 0; i < in->n_all && r == YES; i++) r = meets(g, in->all[i], v, type, depth);
    if (r == YES && in->no != NONE && (r = meets(g, in->no, v, type, depth)) != UNDECIDED) r = r == NO;
    for (uint32_t i = 0, hit = 0; r == YES && i < in->n_any && !hit; i++) {
        enum verdict one = meets(g, in->any[i], v, type, depth);
        hit = one == YES;
        if (one == UNDECIDED) r = UNDECIDED;
        else if (i + 1 == in->n_any && !hit) r = NO;
    }
    if (r == YES && in->n_one) {
        int k = count(g, in->one, in->n_one, v, type, depth);
        r = k > UNDECIDED ? UNDECIDED : k == 1 ? YES : NO;
    }
    if (r != YES || in->cond == NONE) return r;
    enum verdict held = meets(g, in->cond, v, type, depth);
    uint32_t next = held == YES ? in->then : in->other;
    return held == UNDECIDED ? UNDECIDED : next == NONE ? YES : meets(g, next, v, type, depth);
}

static enum verdict meets(const struct grammar *g, uint32_t id, const struct json *v, int type, int depth)
{
    const struct node *n = node_at(g, id);
    if (n->kind == NODE_TRUE || n->kind == NODE_FALSE) return n->kind == NODE_TRUE;
    if (n->kind == NODE_LITERAL) return json_equal(n->v, v);
    if (depth > MOST_DEEP) return UNDECIDED;
    if (!(n->types & type) || (n->lits && !lits_hold(g, n, v))) return NO;
    enum verdict r = type == T_NUM ? number_meets(n, v) : type == T_STR && n->str ? text_meets(n->str, v) : YES;
    return r == YES && n->in ? in_meets(g, n->in, v, type, depth + 1) : r;
}

bool scalar_meets(const struct grammar *g, uint32_t id, const struct json *v, bool *ok)
{
    int type = type_of(v);
    if (type == T_ARR || type == T_OBJ || g->o.relax) return false;   /* relaxed: the nodes do not say all */
    enum verdict r = meets(g, id, v, type, 0);
    *ok = r == YES;
    return r != UNDECIDED;
}
