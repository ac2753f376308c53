/* shape_names.c -- which names the keys of an object may have: propertyNames, patterns, invented keys.
 *
 * All names that no keyword mentions fall into classes, the ways in which they can match the patterns of
 * patternProperties (and what propertyNames leaves); a class has an automaton and a goal. Most patterns of one object
 * exclude each other, which their automata show when they are walked side by side: then nothing need be said of the
 * one beside the other, and a class is mostly the automaton of one pattern. */
#include "grammar/shape_object.h"

/* ---- propertyNames --------------------------------------------------------------------------- */

bool names_open(struct expand *x, const uint32_t *ref, uint32_t n, struct names *out)
{
    *out = (struct names){ 0 };
    uint32_t goal = expand_goal_of(x, ref, n);
    if (goal == NONE) return false;
    struct expand own = { .g = x->g, .goal = goal, .e = x->e, .tmp = x->tmp, .names = out };
    return goal_open_bags(&own);
}

void names_forget(struct names *n)
{
    mem_free(n->rule);
    mem_free(n->lit);
}

/* Texts that all propertyNames of the bag allow. */
bool held_property_names(struct members *mb)
{
    uint32_t ref[MOST_BAG], n = 0;
    for (uint32_t i = 0; i < mb->b->n; i++)
        if (held_obj(mb, i) && held_obj(mb, i)->names != NONE) ref[n++] = held_obj(mb, i)->names * 2;
    mb->has_names = n > 0;
    return !n || names_open(mb->x, ref, n, &mb->names);
}

static bool rule_matches(struct members *mb, const struct text_rule *r, struct bytes name, bool *ok)
{
    struct strs s;
    bool empty;
    if (!strs_make(mb->x, mb->b->item[0].ref / 2, r, &s, &empty)) return false;
    *ok = !empty && strs_match(&s, name.p, name.len);
    return true;
}

bool name_allowed(struct members *mb, const struct names *names, struct bytes name, bool *ok)
{
    *ok = false;
    for (uint32_t i = 0; i < names->n_lit && !*ok; i++)
        *ok = names->lit[i].len == name.len && !memcmp(names->lit[i].p, name.p, name.len);
    for (uint32_t i = 0; i < names->n_rule && !*ok; i++)
        if (!rule_matches(mb, &names->rule[i], name, ok)) return false;
    return true;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static uint32_t pattern_index(const struct members *mb, struct bytes p)
{
    for (uint32_t i = 0; i < mb->n_pattern; i++)
        if (mb->pattern[i].len == p.len && !memcmp(mb->pattern[i].p, p.p, p.len)) return i;
    return NONE;
}

static bool pattern_put(struct members *mb, const struct kw_obj *k)
{
    for (uint32_t i = 0; k && i < k->n_pattern; i++) {
        if (pattern_index(mb, k->pattern[i].name) != NONE) continue;
        if (mb->n_pattern >= MOST_PATTERN)
            return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "patternProperties",
                                "more than %d patterns for one object", MOST_PATTERN);
        if (mb->n_pattern == mb->cap_pattern) {
            struct bytes *more = arena_small(mb->x->tmp, (mb->cap_pattern * 2 + 4) * sizeof *more);
            if (mb->n_pattern) memcpy(more, mb->pattern, mb->n_pattern * sizeof *more);
            mb->pattern = more;
            mb->cap_pattern = mb->cap_pattern * 2 + 4;
        }
        mb->pattern[mb->n_pattern++] = k->pattern[i].name;
    }
    return true;
}

/* Is the pattern a choice as a whole, `^a|b`? */
static bool is_choice(struct bytes p)
{
    int depth = 0;
    bool in_class = false;
    for (size_t i = 0; i < p.len; i++) {
        char c = p.p[i];
        if (c == '\\') i++;
        else if (in_class) in_class = c != ']';
        else if (c == '[') in_class = true;
        else if (c == '|' && !depth) return true;
        else depth += (c == '(') - (c == ')');
    }
    return false;
}

/* The letters that every match of a pattern like `^row:[0-9]+$` begins with. */
static struct bytes beginning(struct bytes p)
{
    struct bytes none = { 0 };
    if (!p.len || *p.p != '^' || is_choice(p)) return none;
    size_t n = 1;
    while (n < p.len && !memchr("\\^$.*+?()[]{}|", p.p[n], 15)) n++;
    if (n < p.len && n > 1 && memchr("*?{", p.p[n], 3))               /* the last letter may be missing */
        do n--;
        while (((uint8_t)p.p[n] & 0xc0) == 0x80);
    return (struct bytes){ p.p + 1, n - 1 };
}

static bool begin_apart(struct bytes a, struct bytes b)
{
    size_t n = MIN(a.len, b.len);
    return n && memcmp(a.p, b.p, n);
}

bool all_patterns(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++)
        if (!pattern_put(mb, held_obj(mb, i))) return false;
    for (uint32_t i = 0; i < mb->n_debt; i++)
        if (!pattern_put(mb, node_at(mb->x->g, mb->debt[i].node)->obj)) return false;
    mb->text = arena_small(mb->x->tmp, (mb->n_pattern + 1) * sizeof *mb->text);
    mb->begin = arena_small(mb->x->tmp, (mb->n_pattern + 1) * sizeof *mb->begin);
    mb->apart = arena_small(mb->x->tmp, mb->n_pattern * mb->n_pattern + 1);
    for (uint32_t p = 0; p < mb->n_pattern; p++) {
        struct re_part part = { RE_PATTERN, false, mb->pattern[p].p, mb->pattern[p].len };
        mb->begin[p] = beginning(mb->pattern[p]);
        struct text_rule r = { .part = &part, .n_part = 1, .max = NONE };
        bool empty;
        if (!strs_make(mb->x, mb->b->item[0].ref / 2, &r, &mb->text[p], &empty)) return false;
    }
    return true;
}

enum { APART_NEW, APART_YES, APART_NO };
/* Surely no name matches both patterns. */
static bool are_apart(struct members *mb, uint32_t p, uint32_t q)
{
    uint8_t *at = &mb->apart[MIN(p, q) * mb->n_pattern + MAX(p, q)];
    if (*at == APART_NEW && p != q && begin_apart(mb->begin[p], mb->begin[q])) *at = APART_YES;
    if (*at == APART_NEW) *at = p != q && dfa_apart(mb->text[p].dfa, mb->text[q].dfa) ? APART_YES : APART_NO;
    return *at == APART_YES;
}

static void set_matched(struct members *mb, uint32_t p, bool yes)
{
    if (yes) mb->matched[p / 64] |= 1ull << (p % 64);
    else mb->matched[p / 64] &= ~(1ull << (p % 64));
}

bool is_matched(const struct members *mb, struct bytes pattern)
{
    uint32_t p = pattern_index(mb, pattern);
    return mb->matched[p / 64] >> (p % 64) & 1;
}

void match_patterns(struct members *mb, struct bytes name)
{
    for (uint32_t p = 0; p < mb->n_pattern; p++)
        set_matched(mb, p, !begin_apart(mb->begin[p], name) && strs_match(&mb->text[p], name.p, name.len));
}

/* ---- invented keys --------------------------------------------------------------------------- */

struct sorting { struct text_rule rule; uint64_t matched[8]; };

/* Names that match just these patterns, as a class, if there are any and they may come: where the rest is refused, nobody
 * needs the automaton of what matches no pattern. */
static bool class_put(struct members *mb, const struct sorting *s)
{
    struct obj *o = mb->o;
    struct kclass c = { 0 };
    bool any = false, empty;
    memcpy(mb->matched, s->matched, sizeof mb->matched);
    for (uint32_t p = 0; p < mb->n_pattern; p++) any |= s->matched[p / 64] >> (p % 64) & 1;
    if (closes_itself(mb) && !any) return true;
    if (!key_alts(mb, key_ways(mb, NULL, false), &c.alts)) return false;
    if (!c.alts.n) return true;
    if (!strs_make(mb->x, mb->b->item[0].ref / 2, &s->rule, &c.s, &empty)) return false;
    if (empty) return true;
    if (o->n_cls >= MOST_KEY_CLASS)
        return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "patternProperties",
                            "patterns that sort keys in more than %d ways", MOST_KEY_CLASS);
    if (!(o->n_cls & (o->n_cls - 1))) {                 /* nearly always just one */
        struct kclass *more = arena_small(&mb->x->g->mem, MAX(1u, o->n_cls * 2) * sizeof *more);
        if (o->n_cls) memcpy(more, o->cls, o->n_cls * sizeof *more);
        o->cls = more;
    }
    o->cls[o->n_cls++] = c;
    return true;
}

/* Classes of names that propertyNames of debts from d on refuse; each stands beside the class it is a part of. */
static bool refuse_by(struct members *mb, const struct sorting *s, uint32_t d, uint32_t refused)
{
    if (d == mb->n_debt) {
        mb->refused = refused;
        bool ok = class_put(mb, s);
        mb->refused = 0;
        return ok;
    }
    for (uint32_t i = 0; i < mb->debt[d].bad.n_rule; i++) {
        const struct text_rule *bad = &mb->debt[d].bad.rule[i];
        struct sorting next = *s;
        struct re_part *part = arena_small(mb->x->tmp, (s->rule.n_part + bad->n_part + 1) * sizeof *part);
        if (s->rule.n_part) memcpy(part, s->rule.part, s->rule.n_part * sizeof *part);
        if (bad->n_part) memcpy(part + s->rule.n_part, bad->part, bad->n_part * sizeof *part);
        next.rule.part = part;
        next.rule.n_part = s->rule.n_part + bad->n_part;
        next.rule.min = MAX(s->rule.min, bad->min);
        next.rule.max = MIN(s->rule.max, bad->max);
        if (!refuse_by(mb, &next, d + 1, refused | 1u << d)) return false;
    }
    return refuse_by(mb, s, d + 1, refused);
}

/* Does a pattern that these names match exclude pattern p? */
static bool cannot_match(struct members *mb, const struct sorting *s, uint32_t p)
{
    for (uint32_t q = 0; q < p; q++)
        if (s->matched[q / 64] >> (q % 64) & 1 && are_apart(mb, p, q)) return true;
    return false;
}

/* The names of s that match pattern p, or do not. What p says of the others by itself is left out. */
static struct sorting sort_further(struct members *mb, const struct sorting *s, uint32_t p, bool match)
{
    struct sorting next = *s;
    struct re_part *part = arena_small(mb->x->tmp, (s->rule.n_part + 1) * sizeof *part);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->rule.n_part; i++) {
        const struct re_part *k = &s->rule.part[i];
        uint32_t q = match && k->kind == RE_PATTERN && k->negate ? pattern_index(mb, (struct bytes){ k->p, k->len }) : NONE;
        if (q == NONE || !are_apart(mb, p, q)) part[n++] = *k;
    }
    part[n++] = (struct re_part){ RE_PATTERN, !match, mb->pattern[p].p, mb->pattern[p].len };
    next.rule.part = part;
    next.rule.n_part = n;
    if (match) next.matched[p / 64] |= 1ull << (p % 64);
    return next;
}

/* ---- is there such a name? --------------------------------------------------------------------- */

enum { WALK_PLACES = 256, WALK_PATTERNS = 12 };
/* The automata of some patterns side by side: a place is a state of each, then how far a code point is. */
struct walk {
    struct dfa *dfa[WALK_PATTERNS]; bool match[WALK_PATTERNS]; uint32_t n;
    uint32_t at[WALK_PLACES][WALK_PATTERNS + 1], n_at;
    uint16_t slot[WALK_PLACES * 2];                                   /* hash table of places + 1 */
};

static bool told_alike(const struct members *mb, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < mb->n_pattern; i++)
        if (mb->text[i].cls[a] != mb->text[i].cls[b]) return false;
    return true;
}

/* Fills mb->letter. Bytes are looked up by a hash of their classes first. */
static void find_letters(struct members *mb)
{
    uint64_t sign[256] = { 0 }, known[256];
    mb->letter = arena_alloc(mb->x->tmp, 256);
    for (uint32_t i = 0; i < mb->n_pattern; i++)
        for (uint32_t b = 0; b < 256; b++) sign[b] = mix64(sign[b], mb->text[i].cls[b]);
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t i = 0;
        if (b && sign[b] == sign[b - 1] && told_alike(mb, b - 1, b)) continue;
        while (i < mb->n_letter && (known[i] != sign[b] || !told_alike(mb, mb->letter[i], b))) i++;
        if (i < mb->n_letter) continue;
        known[mb->n_letter] = sign[b];
        mb->letter[mb->n_letter++] = (uint8_t)b;
    }
}

/* The first n patterns, but for those that what these names match excludes anyway. False: too many. */
static bool walk_begin(struct members *mb, const struct sorting *s, uint32_t n, struct walk *w)
{
    w->n = w->n_at = 0;
    memset(w->slot, 0, sizeof w->slot);
    for (uint32_t p = 0; p < n; p++) {
        bool match = s->matched[p / 64] >> (p % 64) & 1, said = false;
        for (uint32_t q = 0; q < n && !match && !said; q++) said = s->matched[q / 64] >> (q % 64) & 1 && are_apart(mb, p, q);
        if (said) continue;
        if (w->n == WALK_PATTERNS) return false;
        w->match[w->n] = match;
        w->dfa[w->n++] = mb->text[p].dfa;
    }
    return true;
}

/* False: too many places. */
static bool walk_add(struct walk *w, const uint32_t *to)
{
    size_t size = (w->n + 1) * sizeof *to;
    uint32_t last = LEN(w->slot) - 1, h = (uint32_t)hash64(to, size, 3) & last;
    for (; w->slot[h]; h = (h + 1) & last)
        if (!memcmp(w->at[w->slot[h] - 1], to, size)) return true;
    if (w->n_at == WALK_PLACES) return false;
    memcpy(w->at[w->n_at++], to, size);
    w->slot[h] = (uint16_t)w->n_at;
    return true;
}

static bool walk_ends(const struct walk *w, const uint32_t *at)
{
    bool ends = !at[w->n];
    for (uint32_t i = 0; i < w->n && ends; i++) ends = dfa_accepts(w->dfa[i], at[i]) == w->match[i];
    return ends;
}

/* False: no text goes on so. */
static bool walk_step(const struct walk *w, const uint32_t *at, uint8_t b, uint32_t *to)
{
    int utf8 = utf8_dfa((int)at[w->n], b);
    if (utf8 < 0) return false;
    to[w->n] = (uint32_t)utf8;
    for (uint32_t i = 0; i < w->n; i++)
        if (!(to[i] = dfa_step(w->dfa[i], dfa_classes(w->dfa[i]), at[i], b)) && w->match[i]) return false;
    return true;
}

enum told { TOLD_NONE, TOLD_SOME, NOT_TOLD };
/* Is there a name that matches just those of the first n patterns? Their own automata are at hand: to walk them side by
 * side costs much less than one of all. */
static enum told name_exists(struct members *mb, const struct sorting *s, uint32_t n)
{
    struct walk w;
    uint32_t to[WALK_PATTERNS + 1];
    if (mb->has_names || !walk_begin(mb, s, n, &w)) return NOT_TOLD;
    if (w.n == 1 && w.match[0]) return dfa_empty(w.dfa[0]) ? TOLD_NONE : TOLD_SOME;
    if (!mb->letter) find_letters(mb);
    for (uint32_t i = 0; i < w.n; i++) to[i] = DFA_START;
    to[w.n] = 0;
    walk_add(&w, to);
    for (uint32_t i = 0; i < w.n_at; i++) {
        if (walk_ends(&w, w.at[i])) return TOLD_SOME;
        for (uint32_t k = 0; k < mb->n_letter; k++)
            if (walk_step(&w, w.at[i], mb->letter[k], to) && !walk_add(&w, to)) return NOT_TOLD;
    }
    return TOLD_NONE;
}

/* Splits what is left by pattern p: names that match it, names that do not; empty parts are dropped (of names that match
 * none so far at the end). */
static bool sort_by(struct members *mb, const struct sorting *s, uint32_t p, bool matches)
{
    while (p < mb->n_pattern && cannot_match(mb, s, p)) p++;
    if (p == mb->n_pattern) return refuse_by(mb, s, 0, 0);
    for (int match = 1; match >= 0; match--) {
        struct sorting next = sort_further(mb, s, p, match);
        struct strs text;
        bool any = matches || match, empty;
        enum told told = any ? name_exists(mb, &next, p + 1) : TOLD_SOME;
        empty = told == TOLD_NONE;
        if (told == NOT_TOLD) {
            if (!strs_make(mb->x, mb->b->item[0].ref / 2, &next.rule, &text, &empty)) return false;
            if (text.dfa && (mb->sorted += dfa_bytes(text.dfa)) > MOST_SORTING)
                return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "patternProperties",
                                    "patterns that match keys together in too many ways: more than %d MiB of automata",
                                    MOST_SORTING >> 20);
        }
        if (!empty && !sort_by(mb, &next, p + 1, any)) return false;
    }
    return true;
}

bool invented_keys(struct members *mb)
{
    struct sorting any = { .rule.max = NONE };
    if (!mb->has_names) return sort_by(mb, &any, 0, false);
    for (uint32_t i = 0; i < mb->names.n_rule; i++) {
        struct sorting s = { .rule = mb->names.rule[i] };
        if (!sort_by(mb, &s, 0, false)) return false;
    }
    return true;
}
