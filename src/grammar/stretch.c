/* stretch.c -- the parts of an envelope that repeat by themselves: free text, runs of code points, patterns.
 *
 * Each is one op and one configuration, however long it gets, where a loop of splits would be many.
 * Positions live in the configuration: lex is the place inside a code point, m counts the code points
 * begun (so that a limit is never overrun by half a one), n is the state of the automaton over
 * triggers or of the pattern, part the bits of the code point so far. Counts that no longer matter
 * are kept at their last value, so that masks are found again.
 *
 * Every state that is ever entered can be finished; envelope_lay.c refuses what would break that. */
#include "grammar/int.h"

/* Counts one more code point; false: no room. Beyond min an unlimited count stands still. */
static bool count(uint32_t min, uint32_t max, uint32_t *m)
{
    if (max != NONE && *m >= max) return false;
    if (max != NONE || *m < min) ++*m;
    return true;
}

static int counted(uint32_t min, uint32_t max, const struct conf *c)
{
    if (c->lex) return STRETCH_GOES;
    return (max == NONE || c->m < max ? STRETCH_GOES : 0) | (c->m >= min ? STRETCH_ENDS : 0);
}

static uint32_t owed(uint32_t min, const struct conf *c)
{
    return min > c->m ? min - c->m : 0;
}

/* ---- free text ------------------------------------------------------------------------------- */

/* NULL for the raw surface of a slot: any text. */
static const struct triggers *text_of(const struct grammar *g, const struct conf *c)
{
    const struct op *o = &g->op[c->ref];
    return o->kind == OP_TEXT ? &g->trig[o->a] : NULL;
}

static int text_step(const struct grammar *g, struct conf *c, uint8_t b)
{
    const struct triggers *t = text_of(g, c);
    int to = utf8_dfa(c->lex, b);
    if (to < 0) return 0;
    if (t && !c->lex && !count(t->min, t->max, &c->m)) return 0;
    if (t && (c->n = t->next[c->n][b]) == UINT16_MAX) return 0;
    c->lex = (uint16_t)to;
    return counted(t ? t->min : 0, t ? t->max : NONE, c);
}

/* ---- runs of code points --------------------------------------------------------------------- */

/* Does a range meet [lo, hi]? */
static bool meets(const struct chars *k, uint32_t lo, uint32_t hi)
{
    uint32_t a = 0, z = k->n_range;
    while (a < z) {
        uint32_t mid = (a + z) / 2;
        if (k->range[mid][1] < lo) a = mid + 1;
        else z = mid;
    }
    return a < k->n_range && k->range[a][0] <= hi;
}

static int chars_step(const struct grammar *g, struct conf *c, uint8_t b)
{
    const struct chars *k = &g->chars[g->op[c->ref].a];
    if (!c->lex && !count(k->min, k->max, &c->m)) return 0;
    if (!c->lex && b < 0x80)
        return k->ascii[b >> 6] >> (b & 63) & 1 ? counted(k->min, k->max, c) : 0;
    int to = utf8_dfa(c->lex, b);
    if (to < 0) return 0;
    uint32_t lead = b < 0xe0 ? b & 0x1f : b < 0xf0 ? b & 0x0f : b & 0x07;
    uint32_t bits = c->lex ? c->part << 6 | (b & 0x3f) : lead;
    int left = utf8_pending(to);
    uint32_t lo = bits << 6 * left, hi = lo | ((1u << 6 * left) - 1);
    if (!bits && left)
        lo = left == 2 ? 0x800 : 0x10000; /* E0 and F0: shorter spellings are not allowed */
    if (!meets(k, lo, hi)) return 0;
    c->lex = (uint16_t)to;
    c->part = to ? bits : 0;
    return counted(k->min, k->max, c);
}

static uint32_t chars_cost(const struct chars *k, const struct conf *c)
{
    uint64_t sum = (uint64_t)owed(k->min, c) * k->shortest + (uint64_t)utf8_pending(c->lex);
    return (uint32_t)MIN(sum, (uint64_t)COST_MAX);
}

/* ---- patterns -------------------------------------------------------------------------------- */

static struct dfa *re_of(const struct grammar *g, const struct conf *c)
{
    return g->re[g->op[c->ref].a];
}

static int re_at(const struct dfa *d, uint32_t state)
{
    bool ends = dfa_accepts(d, state), goes = !ends || dfa_lens(d, state)->max;      /* 0: inside of the last code point, too */
    return (goes ? STRETCH_GOES : 0) | (ends ? STRETCH_ENDS : 0);
}

static int re_step(const struct grammar *g, struct conf *c, uint8_t b)
{
    struct dfa *d = re_of(g, c);
    c->n = dfa_step(d, dfa_classes(d), c->n, b);
    return c->n == DFA_DEAD ? 0 : re_at(d, c->n);
}

/* ---- all of them ----------------------------------------------------------------------------- */

int stretch_start(const struct grammar *g, uint32_t op, struct conf *c)
{
    static const uint8_t kind[] = { [OP_TEXT] = C_TEXT, [OP_CHARS] = C_CHARS, [OP_RE] = C_RE };
    const struct op *o = &g->op[op];
    c->ref = op;
    c->kind = o->kind == OP_VALUE || o->kind == OP_SLOT ? C_TEXT : kind[o->kind];
    c->n = o->kind == OP_RE ? DFA_START : 0;
    if (o->kind == OP_RE) return re_at(g->re[o->a], DFA_START);
    if (o->kind == OP_CHARS) return counted(g->chars[o->a].min, g->chars[o->a].max, c);
    const struct triggers *t = text_of(g, c);
    return counted(t ? t->min : 0, t ? t->max : NONE, c);
}

int stretch_step(const struct grammar *g, struct conf *c, uint8_t b)
{
    switch (c->kind) {
    case C_CHARS: return chars_step(g, c, b);
    case C_RE:    return re_step(g, c, b);
    default:      return text_step(g, c, b);
    }
}

uint32_t stretch_cost(const struct grammar *g, const struct conf *c)
{
    if (c->kind == C_CHARS) return chars_cost(&g->chars[g->op[c->ref].a], c);
    if (c->kind == C_RE) { /* counts escapes of JSON too: more, never less */
        const struct dfa *d = re_of(g, c);
        return dfa_accepts(d, c->n) ? 0 : cost_min(dfa_shortest((struct dfa *)d, c->n, 0, NONE), COST_MAX);
    }
    const struct triggers *t = text_of(g, c);
    return cost_add((uint32_t)utf8_pending(c->lex), t ? MIN(owed(t->min, c), COST_MAX) : 0);
}

uint32_t stretch_op_cost(const struct grammar *g, uint32_t op)
{
    struct conf c = { 0 };
    stretch_start(g, op, &c);
    return stretch_cost(g, &c);
}

void stretch_clip(const struct grammar *g, struct conf *c, uint32_t reach)
{
    const struct triggers *t = c->kind == C_TEXT ? text_of(g, c) : NULL;
    const struct chars *k = c->kind == C_CHARS ? &g->chars[g->op[c->ref].a] : NULL;
    if (!t && !k) return;
    uint32_t min = t ? t->min : k->min, max = t ? t->max : k->max;
    uint32_t room = max == NONE ? reach : MIN(max - c->m, reach);
    c->aux = MIN(owed(min, c), reach);
    c->m = room;
}

bool stretch_dense(const struct grammar *g, const struct conf *c, uint32_t reach)
{
    const struct triggers *t = c->kind == C_TEXT ? text_of(g, c) : NULL;
    return c->kind == C_TEXT &&
           (!t || (!owed(t->min, c) && (t->max == NONE || t->max - c->m >= reach)));
}
