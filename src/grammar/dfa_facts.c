/* dfa_facts.c -- what is known of the texts from a term to acceptance: liveness, lengths, counts. */
#include "grammar/dfa_int.h"

void facts_classes(struct dfa *d)
{
    memset(d->width, 0, sizeof d->width);
    memset(d->cost, 6, sizeof d->cost);
    for (int b = 0; b < 256; b++) {
        uint32_t c = d->s.cls[b];
        bool two = b == '"' || b == '\\' || b == 8 || b == 9 || b == 10 || b == 12 || b == 13;
        uint8_t cost = two ? 2 : b < 32 ? 6 : 1;
        d->kind[c] = b < 0x80 ? K_ASCII : b < 0xC0 ? K_CONT : b < 0xC2 || b > 0xF4 ? K_NEVER : K_LEAD;
        d->cost[c] = MIN(d->cost[c], cost);
        d->width[c]++;
    }
}

void facts_fill(struct dfa *d, uint32_t term, struct dfa_state *st)
{
    const struct term *t = term_at(&d->s, term);
    st->accepts = t->nullable;
    st->min_len = t->min_len;
    st->max_len = t->max_len;
    st->every_len = t->every;
    st->shortest = t->shortest;
}

bool facts_alive(struct dfa *d, uint32_t term)
{
    return term != EMPTY;
}
bool dfa_fits(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi) { const struct dfa_state *s = dfa_state(d, state); return s->min_len <= hi && s->max_len >= lo; }
uint32_t dfa_shortest(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi) { (void)lo; (void)hi; return dfa_state(d, state)->shortest; }
uint32_t dfa_count(struct dfa *d, uint32_t state, uint32_t cap) { (void)d; (void)state; return cap; }
