/* bytes.c -- which bytes a set of configurations can take, at a glance: never too few.
 *
 * Whether one of them really leads on is known only after a step; what is not named here does not.
 * mask.c leaves out branches of the vocabulary by it, forced.c the bytes it need not try. */
#include "grammar/int.h"

static const struct byteset every = { { ~0ull, ~0ull, ~0ull, ~0ull } };

static void add_text(struct byteset *s, const char *p)
{
    for (; *p; p++) byteset_add(s, (uint8_t)*p);
}

static void add_kids(struct byteset *s, const struct trie *t, uint32_t at, bool quoted)
{
    const struct tnode *p = &t->node[at];
    if (quoted) add_text(s, "\"\\");
    for (uint32_t i = p->child; i < p->child + p->n_child; i++) byteset_add(s, t->node[i].byte);
}

static void add_value(struct byteset *s, const struct matcher *m, const struct conf *c, uint32_t goal)
{
    if (validating(m) || !goal_met(m->g, goal)) { add_text(s, "\"[{-0123456789tfnTFN \t\r\n"); return; }
    const struct goal *p = goal_at(m->g, goal);
    for (uint32_t i = 0; i < p->n_shape; i++)
        switch (p->shape[i].kind) {
        case SH_NULL: case SH_TRUE: case SH_FALSE: byteset_add(s, (uint8_t)*word_text(p->shape[i].kind, c->surf)); break;
        case SH_NUM:    add_text(s, "-0123456789"); break;
        case SH_NUMLIT: add_kids(s, p->shape[i].lit, 0, false); break;
        case SH_ARR:    byteset_add(s, '['); break;
        case SH_OBJ:    byteset_add(s, '{'); break;
        default:        byteset_add(s, '"');
        }
}

static void add_blanks(struct byteset *s, const struct matcher *m)
{
    if (m->g->spell.flexible) add_text(s, " \n\t\r");
}

/* A separator's byte at `at`, in both styles. */
static void add_spelled(struct byteset *s, const char *const text[2], const uint32_t len[2], uint32_t at)
{
    for (int i = 0; i < 2; i++)
        if (at < len[i]) byteset_add(s, (uint8_t)text[i][at]);
}

static void add_name(struct byteset *s, const struct matcher *m, const struct conf *c)
{
    const struct op *o = &m->g->op[c->ref];
    uint32_t pair = m->frame[c->frame].count;
    if (pair != NONE) byteset_add(s, (uint8_t)m->g->pair_name[o->a][pair].p[c->n]);
    else add_kids(s, &m->g->name[o->a], c->n, false);
}

static void add_bytes(struct byteset *s, const struct matcher *m, const struct conf *c)
{
    const struct op *o = &m->g->op[c->kind <= C_NAME ? c->ref : 0];
    const struct frame *f = &m->frame[c->frame];
    switch (c->kind) {
    case C_LIT: byteset_add(s, (uint8_t)m->g->text[o->a + c->n]); return;
    case C_CLASS:
        for (int i = 0; i < 4; i++) s->w[i] |= m->g->cls[o->a].w[i];
        return;
    case C_NAME: add_name(s, m, c); return;
    case C_SPECIAL: case C_END: return;
    case C_VALUE: add_value(s, m, c, c->ref); add_blanks(s, m); return;
    case C_STR:
        if (c->lex == LEX_NORMAL && shape_at(m, c->ref, c->sh)->kind == SH_STRLIT && !validating(m))
            add_kids(s, shape_at(m, c->ref, c->sh)->lit, c->n, true);
        else *s = every;
        return;
    case C_KEY:
        if (c->lex != LEX_NORMAL || c->cls || c->n == NONE || validating(m)) *s = every;
        else add_kids(s, &frame_obj(m, f)->trie, c->n, true), byteset_add(s, '=');
        return;
    case C_NUM: add_text(s, "-+.eE0123456789"); return;
    case C_NUMLIT: add_kids(s, shape_at(m, c->ref, c->sh)->lit, c->n, false); return;
    case C_WORD: byteset_add(s, (uint8_t)word_text(shape_at(m, c->ref, c->sh)->kind, c->surf)[c->n]); return;
    case C_OPEN:
        add_text(s, f->kind == F_ARR ? "]\"[{-0123456789tfnTFN" : "\"}");
        add_blanks(s, m);
        return;
    case C_SEP: add_spelled(s, m->g->spell.item, m->g->spell.n_item, c->n); return;
    case C_COLON:
        add_spelled(s, m->g->spell.key, m->g->spell.n_key, c->n);
        add_text(s, ":");
        add_blanks(s, m);
        return;
    case C_QUOTE: add_text(s, "\""); add_blanks(s, m); return;
    case C_NEXT:
        add_text(s, ",}]");
        add_spelled(s, m->g->spell.item, m->g->spell.n_item, 0);
        add_blanks(s, m);
        return;
    default: *s = every;
    }
}

struct byteset set_bytes(const struct matcher *m, uint32_t from, uint32_t n)
{
    struct byteset s = { 0 };
    for (uint32_t i = from; i < from + n; i++) add_bytes(&s, m, &m->conf[i]);
    return s;
}
