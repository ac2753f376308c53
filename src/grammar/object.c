/* object.c -- keys: which may come, how they are read, what they leave to be done.
 *
 * Behind `{` or a separator a key is read in several readings at once: along the trie of declared
 * names, and once for each class of invented names (its automaton beside the trie, so that a declared
 * name is never taken for an invented one). The frame keeps the set of declared keys written, the
 * hashes of invented ones, what is still required and what is still owed; any order costs nothing. */
#include "grammar/cost.h"

/* ---- what may still come --------------------------------------------------------------------- */

bool obj_seen(const struct matcher *m, const struct frame *f, uint32_t key)
{
    return m->word[f->seen + key / 64] >> (key % 64) & 1;
}

/* Must the key come before the object may end? With dependentRequired that depends on the keys written. */
bool obj_must(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = frame_obj(m, f);
    if (!o->has_need) return o->key[key].req;
    return m->word[f->seen + o->n_word + key / 64] >> (key % 64) & 1;
}

/* The first key from index `from` on that must still come, or NONE. */
static uint32_t next_must(const struct matcher *m, const struct frame *f, uint32_t from)
{
    const struct obj *o = frame_obj(m, f);
    if (!o->has_need) return o->next_req[from];
    for (uint32_t i = from; i < o->n_key; i++)
        if (obj_must(m, f, i) && !obj_seen(m, f, i)) return i;
    return NONE;
}

const uint64_t *obj_musts(const struct matcher *m, const struct frame *f)
{
    const struct obj *o = frame_obj(m, f);
    return o->has_need ? m->word + f->seen + o->n_word : o->req;
}

static bool alts_settle(const struct matcher *m, const struct frame *f, const struct alts *l, uint32_t bits)
{
    for (uint32_t i = 0; i < l->n; i++)
        if ((l->alt[i].owed & bits) == bits && value_fits(m, l->alt[i].goal, f->depth)) return true;
    return false;
}

static bool names_left(const struct matcher *m, const struct frame *f, uint32_t cls, uint32_t n);

bool obj_class_settles(const struct matcher *m, const struct frame *f, uint32_t cls, uint32_t bits, bool also)
{
    return alts_settle(m, f, &frame_obj(m, f)->cls[cls].alts, bits) && names_left(m, f, cls, also ? 2 : 1);
}

bool obj_key_settles(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t bits)
{
    const struct obj *o = frame_obj(m, f);
    return (!(f->flags & FL_ARGS) || o->key[key].ident) && alts_settle(m, f, &o->key[key].alts, bits);
}

/* now: class of the name that is about to be invented, which uses one up; NONE. */
struct view { const struct matcher *m; const struct frame *f; uint32_t now; };
static uint32_t member_settles(const void *ctx, uint32_t key, uint32_t bits)
{
    const struct view *v = ctx;
    if (key != NONE) return obj_key_settles(v->m, v->f, key, bits) ? 0 : COST_MAX;
    for (uint32_t i = 0; i < frame_obj(v->m, v->f)->n_cls; i++)
        if (obj_class_settles(v->m, v->f, i, bits, i == v->now)) return 0;
    return COST_MAX;
}

/* With one more member, `missing` required ones and `owed` debts left: can all of that still come? */
static bool debts_fit(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t now, uint32_t missing, uint32_t owed)
{
    const struct obj *o = frame_obj(m, f);
    if (o->max != NONE && (uint64_t)f->count + 1 + missing > o->max) return false;
    if (!owed) return true;
    struct view v = { m, f, now };
    struct owing q = { .o = o, .seen = m->word + f->seen, .must = obj_musts(m, f), .key = key, .owed = owed, .any = true,
                       .next = !declared_order(m) ? 0 : key == NONE ? o->n_key : key + 1,
                       .room = o->max == NONE ? NONE : o->max - f->count - 1, .cost = member_settles, .ctx = &v };
    return owing_settle(&q) < COST_MAX;
}

/* Required keys that writing `key` brings, itself taken off. */
uint32_t obj_missing_after(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = frame_obj(m, f);
    const struct okey *k = &o->key[key];
    uint32_t n = f->missing - obj_must(m, f, key);
    for (uint32_t w = 0; k->need && w < o->n_word; w++) {
        uint64_t must = m->word[f->seen + o->n_word + w], seen = m->word[f->seen + w];
        if (key / 64 == w) seen |= 1ull << (key % 64);
        n += (uint32_t)__builtin_popcountll(k->need[w] & ~must & ~seen);
    }
    return n;
}

/* Would the key (and another), with what must come along, complete a set that must not be complete? */
static bool banned(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t also)
{
    const struct obj *o = frame_obj(m, f);
    for (uint32_t b = 0; b < o->n_ban; b++) {
        bool whole = true;
        for (uint32_t w = 0; w < o->n_word && whole; w++) {
            uint64_t have = m->word[f->seen + w];
            if (key / 64 == w) have |= 1ull << (key % 64);
            if (also != NONE && also / 64 == w) have |= 1ull << (also % 64);
            if (!validating(m)) have |= obj_musts(m, f)[w] | (o->key[key].need ? o->key[key].need[w] : 0);
            whole = (o->ban[b][w] & ~have) == 0;
        }
        if (whole) return true;
    }
    return false;
}

/* Everything the key brings along must be possible (and, in declared order, still to come). */
static bool needs_fit(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = frame_obj(m, f);
    const struct okey *k = &o->key[key];
    for (uint32_t j = 0; k->need && j < o->n_key; j++) {
        if (!(k->need[j / 64] >> (j % 64) & 1) || j == key || obj_seen(m, f, j)) continue;
        bool fits = !declared_order(m) || j > key;
        bool any = false;
        for (uint32_t i = 0; i < o->key[j].alts.n && !any; i++) any = value_fits(m, o->key[j].alts.alt[i].goal, f->depth);
        if (!fits || !any) return false;
    }
    return true;
}

/* May key i (NONE: a name of class `now` that is not written yet) have this alternative, and all that is owed still be settled? */
static bool alt_fits(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t now, const struct alt *a, uint32_t missing)
{
    if (!value_fits(m, a->goal, f->depth)) return false;
    if (validating(m)) return true;
    return debts_fit(m, f, key, now, missing, f->owed & ~a->owed);
}

bool obj_takes(const struct matcher *m, const struct frame *f, uint32_t key, const struct alt *a)
{
    return alt_fits(m, f, key, NONE, a, obj_missing_after(m, f, key));
}

static bool reaches(const struct matcher *m, const struct frame *f, uint32_t key);

bool obj_offers(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = frame_obj(m, f);
    const struct okey *k = &o->key[key];
    if (!k->alts.n || obj_seen(m, f, key)) return false;
    if (declared_order(m)) {            /* a required key cannot be skipped */
        uint32_t must = next_must(m, f, f->next);
        if (key < f->next || (must != NONE && key > must)) return false;
    }
    if (f->flags & FL_ARGS && !k->ident) return false;
    if (o->n_ban && banned(m, f, key, NONE)) return false;
    if (o->min > f->count + 1 && !validating(m) && !reaches(m, f, key)) return false;
    if (!validating(m) && k->need && !needs_fit(m, f, key)) return false;
    for (uint32_t i = 0; i < k->alts.n; i++)
        if (obj_takes(m, f, key, &k->alts.alt[i])) return true;
    return false;
}

bool name_used(const struct matcher *m, const struct frame *f, uint64_t hash)
{
    uint32_t at = f->dyn;
    for (uint16_t i = 0; i < f->n_dyn; i++, at = (uint32_t)m->word[at + 1])
        if (m->word[at] == hash) return true;
    return false;
}

/* The declared key that ends at this trie node, or NONE. */
static uint32_t key_at(const struct obj *o, uint32_t node)
{
    const struct tnode *p = node == NONE ? NULL : &o->trie.node[node];
    return p && p->is_leaf && p->lo < p->hi ? o->trie.id[p->lo] : NONE;
}

/* Is the name so far one that may be invented? */
static bool name_free(const struct matcher *m, const struct frame *f, const struct conf *c)
{
    const struct obj *o = frame_obj(m, f);
    return key_at(o, c->n) == NONE && strs_ends(&o->cls[c->cls - 1].s, c->dfa, c->m) && (c->m || validating(m)) &&
           !name_used(m, f, c->aux);
}

/* The fewest bytes that lead to a free name, texts of a small finite language tried one by one; less than `best`, else best. */
static uint32_t free_below(const struct matcher *m, const struct frame *f, const struct conf *c, const struct strs *s, uint32_t best, int deep)
{
    if (!best || deep > MOST_KEY) return best;
    if (name_free(m, f, c)) return 0;
    for (int b = 1; b < 256; b++) {
        char spelled[8];
        struct conf t = *c;
        if ((t.dfa = dfa_step(s->dfa, s->cls, c->dfa, (uint8_t)b)) == DFA_DEAD) continue;
        uint32_t cost = byte_is_bare((uint32_t)b) ? 1 : (uint32_t)lex_spell(value_escapes(m, c->surf), (uint8_t)b, spelled);
        if (cost >= best) continue;
        if (t.n != NONE) t.n = trie_step(&frame_obj(m, f)->trie, t.n, (uint8_t)b);
        t.aux = key_hash(t.aux, (uint8_t)b);
        t.m += (b & 0xc0) != 0x80;
        if (t.m > s->max) continue;
        uint32_t more = free_below(m, f, &t, s, best - cost, deep + 1);
        best = MIN(best, cost + more);
    }
    return best;
}

struct free_search { const struct matcher *m; const struct frame *f; const struct strs *s; uint64_t found; };   /* found: hash of the last */

static uint32_t free_from(struct free_search *q, const struct conf *c, uint32_t cap, int deep);

/* The same where any letter may stand: of ASCII, which is more names than may be invented. */
static uint32_t free_letters(struct free_search *q, const struct conf *c, uint32_t cap, int deep)
{
    uint32_t n = name_free(q->m, q->f, c);
    if (n) q->found = c->aux;
    for (uint8_t b = ' '; b < 0x7f && n < cap && c->m < q->s->max; b++) {
        struct conf t = *c;
        if (!byte_is_bare(b)) continue;
        if (t.n != NONE) t.n = trie_step(&frame_obj(q->m, q->f)->trie, t.n, b);
        t.aux = key_hash(t.aux, b);
        t.m++;
        n += free_from(q, &t, cap - n, deep + 1);
    }
    return n;
}

/* Names of a small class that are still free, counted to cap. Few classes of bytes lead on: only their bytes are looked for. */
static uint32_t free_from(struct free_search *q, const struct conf *c, uint32_t cap, int deep)
{
    const struct strs *s = q->s;
    if (!s->dfa) return free_letters(q, c, cap, deep);
    uint32_t n = name_free(q->m, q->f, c), n_class = dfa_n_class(s->dfa);
    const uint32_t *row = dfa_state(s->dfa, c->dfa)->row;
    if (n) q->found = c->aux;
    for (uint32_t k = 0; k < n_class && n < cap && deep <= MOST_KEY; k++) {
        if (__atomic_load_n(&row[k], __ATOMIC_ACQUIRE) == DFA_DEAD) continue;
        const uint8_t *at = s->cls + 1, *end = s->cls + 256;
        for (; n < cap && at < end && (at = memchr(at, (int)k, (size_t)(end - at))); at++) {
            struct conf t = *c;
            uint8_t b = (uint8_t)(at - s->cls);
            if ((t.dfa = dfa_step(s->dfa, s->cls, c->dfa, b)) == DFA_DEAD) break;
            if (t.n != NONE) t.n = trie_step(&frame_obj(q->m, q->f)->trie, t.n, b);
            t.aux = key_hash(t.aux, b);
            t.m += (b & 0xc0) != 0x80;
            if (t.m <= s->max) n += free_from(q, &t, cap - n, deep + 1);
        }
    }
    return n;
}

static uint32_t free_names(const struct matcher *m, const struct frame *f, const struct conf *c, const struct strs *s, uint32_t cap, uint64_t *found)
{
    struct free_search q = { m, f, s, 0 };
    uint32_t n = free_from(&q, c, cap, 0);
    *found = q.found;
    return n;
}

/* All that free names ahead of a place depend on (used: a hash of those that are taken): the same is asked again and again. */
static uint64_t names_key(const struct matcher *m, const struct frame *f, const struct conf *c, const struct strs *s, uint64_t used)
{
    uint64_t key = mix64(mix64(mix64(0xf9ee, frame_obj(m, f)->id_cost), c->cls), used);
    return mix64(mix64(mix64(key, c->aux), (uint64_t)c->n << 32 | c->dfa), (uint64_t)s->max << 32 | c->m);
}

static uint64_t used_hash(const struct matcher *m, const struct frame *f) { return f->n_dyn ? m->word[f->dyn + 2] : 0; }

/* Is a name of a small class ahead of a place free? The one that was found last is remembered: mostly it still is. */
static bool any_free(const struct matcher *m, const struct frame *f, const struct conf *c, const struct strs *s)
{
    enum { WHATEVER = 0x3e1f };
    uint64_t key = names_key(m, f, c, s, WHATEVER), found = 0;
    uint32_t have = memo_get(m, key), at = f->dyn;
    bool used = have == NONE;
    for (uint16_t i = 0; i < f->n_dyn && !used; i++, at = (uint32_t)m->word[at + 1]) used = (uint32_t)m->word[at] == have;
    if (!used) return true;
    if (!free_names(m, f, c, s, 1, &found)) return false;
    memo_put(m, key, (uint32_t)found);
    return true;
}

/* Names so short that those that are taken may be all there are. With a pattern: so short that all can be looked at. */
enum { SHORT_NAME = 64, SHORT_MATCH = 4 };
static bool is_short(const struct strs *s) { return s->max <= (s->dfa ? SHORT_MATCH : SHORT_NAME); }

uint32_t obj_name_spare(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    if (c->kind != C_KEY || !c->cls || (!f->n_dyn && c->n == NONE) || !is_short(&frame_obj(m, f)->cls[c->cls - 1].s)) return 0;
    return letters_for(frame_obj(m, f)->n_key + f->n_dyn);
}

/* Has a class surely more than n names? */
static bool has_more_names(const struct strs *s, uint32_t n)
{
    if (is_short(s)) return !s->dfa && letters_for(n) <= s->max;
    return !s->dfa || dfa_lens(s->dfa, DFA_START)->max == NONE || dfa_count(s->dfa, DFA_START, n + 1) > n;
}

/* Of a class with few names: are n (1 or 2) of them still free? */
static bool names_left(const struct matcher *m, const struct frame *f, uint32_t cls, uint32_t n)
{
    const struct obj *o = frame_obj(m, f);
    const struct strs *s = &o->cls[cls].s;
    uint32_t taken = o->n_key + f->n_dyn + n - 1;
    if (!taken || has_more_names(s, taken)) return true;
    struct conf c = { .kind = C_KEY, .cls = (uint8_t)(cls + 1), .dfa = DFA_START };
    uint64_t key = names_key(m, f, &c, s, mix64(used_hash(m, f), n)), last;
    uint32_t have = memo_get(m, key);
    return have != NONE ? have : memo_put(m, key, n == 1 ? any_free(m, f, &c, s) : free_names(m, f, &c, s, n, &last) >= n);
}

bool obj_names_scarce(const struct matcher *m, const struct conf *c)
{
    if (c->kind != C_KEY || !c->cls || validating(m)) return false;
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    return !has_more_names(&o->cls[c->cls - 1].s, o->n_key + f->n_dyn + 2);   /* the one being written, and another */
}

static bool any_fits(const struct matcher *m, const struct alts *l, uint16_t depth)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (value_fits(m, l->alt[i].goal, depth)) return true;
    return false;
}

/* With `key` (NONE: an invented one) written, can enough members follow for the least number? */
static bool reaches(const struct matcher *m, const struct frame *f, uint32_t key)
{
    const struct obj *o = frame_obj(m, f);
    uint32_t need = o->min - f->count - 1, have = 0;
    bool invents = key == NONE;
    for (uint32_t i = 0; i < o->n_cls && have < need; i++) {
        const struct strs *s = &o->cls[i].s;
        if (!any_fits(m, &o->cls[i].alts, f->depth)) continue;
        if (has_more_names(s, need + o->n_key + f->n_dyn)) return true;
        struct conf c = { .kind = C_KEY, .cls = (uint8_t)(i + 1), .dfa = DFA_START };
        uint64_t last;
        uint32_t n = free_names(m, f, &c, s, need + 1, &last);
        have += n - (n && invents);
        invents = invents && !n;
    }
    for (uint32_t i = !declared_order(m) ? 0 : key == NONE ? o->n_key : key + 1; i < o->n_key && have < need; i++)
        have += i != key && !obj_seen(m, f, i) && any_fits(m, &o->key[i].alts, f->depth) &&
                !(o->n_ban && key != NONE && banned(m, f, key, i)) && !(o->n_ban && key == NONE && banned(m, f, i, NONE));
    return have >= need;
}

bool obj_invents(const struct matcher *m, const struct frame *f, uint32_t cls)
{
    const struct obj *o = frame_obj(m, f);
    const struct kclass *k = &o->cls[cls];
    if (validating(m)) return true;
    if (f->n_dyn >= MOST_DYN || (declared_order(m) && f->missing) || !names_left(m, f, cls, 1)) return false;
    if (o->min > f->count + 1 && !reaches(m, f, NONE)) return false;
    for (uint32_t i = 0; i < k->alts.n; i++)
        if (alt_fits(m, f, NONE, cls, &k->alts.alt[i], f->missing)) return true;
    return false;
}

bool obj_more(const struct matcher *m, const struct frame *f)
{
    const struct obj *o = frame_obj(m, f);
    if (f->count >= o->max) return false;
    for (uint32_t i = 0; i < o->n_cls; i++)
        if (obj_invents(m, f, i)) return true;
    for (uint32_t i = declared_order(m) ? f->next : 0; i < o->n_key; i++)
        if (obj_offers(m, f, i)) return true;
    return false;
}

bool obj_closes(const struct matcher *m, const struct frame *f)
{
    const struct obj *o = frame_obj(m, f);
    return !f->missing && f->count >= o->min && f->count <= o->max && owing_absent(o, m->word + f->seen, f->owed);
}

uint32_t obj_open(struct matcher *m, uint32_t goal, uint16_t sh, uint32_t parent, bool args)
{
    const struct obj *o = shape_at(m, goal, sh)->obj;
    obj_ready(m->g, shape_at(m, goal, sh)->obj);
    struct frame f = { .kind = F_OBJ, .parent = parent, .ref = goal, .sh = sh, .missing = o->n_req, .owed = o->owes,
                       .texts = m->frame[parent].texts,
                       .flags = (uint8_t)((args ? FL_ARGS : 0) | (m->frame[parent].flags & FL_HASH)),
                       .depth = (uint16_t)(m->frame[parent].depth + 1) };
    f.seen = words_take(m, o->has_need ? 2 * o->n_word : o->n_word);
    for (uint32_t w = 0; o->has_need && w < o->n_word; w++) m->word[f.seen + o->n_word + w] = o->req[w];
    if (obj_more(m, &f)) f.flags |= FL_MORE;
    return frame_push(m, f);
}

/* ---- reading a name -------------------------------------------------------------------------- */

static bool any_offered(const struct matcher *m, const struct frame *f, const struct tnode *p)
{
    const struct obj *o = frame_obj(m, f);
    for (uint32_t r = p->lo; r < p->hi; r++)
        if (obj_offers(m, f, o->trie.id[r])) return true;
    return false;
}

void obj_keys(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf)
{
    const struct frame f = m->frame[frame];
    const struct obj *o = frame_obj(m, &f);
    bool args = f.flags & FL_ARGS;
    struct conf c = { .kind = C_KEY, .ref = f.ref, .sh = f.sh, .frame = frame, .style = style, .surf = surf,
                      .dfa = DFA_START, .part = args };
    if (f.count >= o->max) return;
    if (o->n_key && (validating(m) || any_offered(m, &f, &o->trie.node[0]))) set_emit(m, c);
    for (uint32_t i = 0; i < o->n_cls; i++) {
        c.cls = (uint8_t)(i + 1);
        if (obj_invents(m, &f, i)) set_emit(m, c);
    }
}

bool key_closable(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    if (c->lex != LEX_NORMAL) return false;
    if (c->cls) return name_free(m, f, c);
    uint32_t key = key_at(frame_obj(m, f), c->n);
    return key != NONE && obj_offers(m, f, key);
}

uint32_t key_cap(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    return validating(m) ? NONE : frame_obj(m, f)->cap_key + f->n_dyn;
}

/* Are there no more ways to go on with an invented name than names that are taken? */
static bool few_names(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    uint32_t taken = (c->n == NONE ? 0 : o->trie.node[c->n].hi - o->trie.node[c->n].lo) + f->n_dyn;
    return taken && c->lex == LEX_NORMAL && dfa_count(o->cls[c->cls - 1].s.dfa, c->dfa, taken + 1) <= taken;
}

static bool key_advance(const struct matcher *m, struct conf *c, uint8_t b);

/* Behind half a code point or escape of a short name: does a way to end it lead to a name that may become a free one? */
static bool half_alive(const struct matcher *m, const struct conf *c, const struct strs *capped)
{
    for (int b = 0; b < 256; b++) {
        struct conf t = *c;
        uint8_t out[4];
        int n_out;
        if (lex_step(&t.lex, &t.part, value_escapes(m, c->surf), false, (uint8_t)b, out, &n_out) != LEX_MORE) continue;
        bool ok = true;
        for (int i = 0; i < n_out && ok; i++) ok = key_advance(m, &t, out[i]);
        if (ok && (t.lex == LEX_NORMAL ? any_free(m, &m->frame[c->frame], &t, capped) : half_alive(m, &t, capped))) return true;
    }
    return false;
}

/* Can an invented name so far still become a new one of its class? */
static bool key_alive(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    const struct strs *s = &o->cls[c->cls - 1].s;
    struct strs capped = *s;
    capped.max = MIN(s->max, key_cap(m, c));
    if (!strs_goes_on(value_escapes(m, c->surf), &capped, c)) return false;
    if ((!s->dfa && !is_short(s)) || (c->n == NONE && !f->n_dyn)) return true;
    if (!s->dfa && c->m + letters_for(o->n_key + f->n_dyn) <= capped.max) return true;
    if (is_short(s) && c->lex != LEX_NORMAL) return half_alive(m, c, &capped);
    /* declared and used names are no invented ones: there must be another */
    uint64_t key = mix64(names_key(m, f, c, &capped, used_hash(m, f)), (uint64_t)c->lex << 40 | (uint64_t)c->part << 8 | c->surf);
    uint32_t have = memo_get(m, key);
    if (have != NONE) return have;
    bool ok = is_short(s) || few_names(m, c) ? any_free(m, f, c, &capped) : key_extend(m, c) < COST_MAX;
    return memo_put(m, key, ok);
}

bool key_roomy(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    const struct strs *s = &frame_obj(m, f)->cls[c->cls - 1].s;
    return !s->dfa || (c->n == NONE && !f->n_dyn) || dfa_lens(s->dfa, DFA_START)->max == NONE;
}

/* The fewest letters that make a short name of any letters a free one. */
static uint32_t short_extend(const struct matcher *m, const struct frame *f, const struct conf *c, const struct strs *s)
{
    struct strs near = *s;
    uint64_t found;
    for (near.max = c->m; near.max <= s->max; near.max++)
        if (near.max >= s->min && free_names(m, f, c, &near, 1, &found)) return near.max - c->m;
    return COST_MAX;
}

/* Bytes that surely make the name a free one: what was begun, then `a` repeated, tried out. */
uint32_t key_extend(const struct matcher *m, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    const struct strs *s = &o->cls[c->cls - 1].s;
    uint32_t taken = c->n == NONE && !f->n_dyn ? 0 : o->n_key + f->n_dyn + 1;
    if (s->dfa) {
        struct strs capped = *s;
        capped.min = MAX(s->min, 1u);
        capped.max = MIN(s->max, key_cap(m, c));
        if (c->m > capped.max) return COST_MAX;
        if (few_names(m, c)) return free_below(m, f, c, &capped, COST_MAX, 0);
        uint32_t n = strs_left(&capped, value_escapes(m, c->surf), c);
        return n >= COST_MAX ? COST_MAX : cost_add(n, taken);
    }
    uint32_t half = (uint32_t)lex_pending(c->lex);
    if (half) return cost_add(half + taken, s->min > c->m ? s->min - c->m : 0);
    if (is_short(s)) return short_extend(m, f, c, s);
    struct conf t = *c;
    for (uint32_t n = 0; n <= MAX(taken + 1, s->min); n++) {
        if (name_free(m, f, &t)) return n;
        t.aux = key_hash(t.aux, 'a');
        if (t.n != NONE) t.n = trie_step(&o->trie, t.n, 'a');
        t.m++;
    }
    return COST_MAX;
}

bool escape_means(const struct matcher *m, const struct tnode *child, const struct conf *c, const struct frame *f)
{
    if (child->byte >= 0x20 && child->byte != '"' && child->byte != '\\') return false;
    return lex_may_mean(c->lex, c->part, value_escapes(m, c->surf), child->byte) && (!f || any_offered(m, f, child));
}

/* A begun escape must still be able to mean a byte that the literals want here. */
bool escape_leads(const struct matcher *m, const struct trie *t, const struct conf *c, const struct frame *f)
{
    if (validating(m) || c->lex == LEX_NORMAL || c->lex >= LEX_UTF8) return true;
    if (c->n == NONE) return false;
    const struct tnode *p = &t->node[c->n];
    for (uint32_t i = p->child; i < p->child + p->n_child; i++)
        if (escape_means(m, &t->node[i], c, f)) return true;
    return false;
}

/* ---- a name is whole ------------------------------------------------------------------------- */

/* The frame with this key written. */
static struct frame with_key(struct matcher *m, const struct conf *c, uint32_t key)
{
    struct frame f = m->frame[c->frame];
    const struct obj *o = frame_obj(m, &f);
    uint32_t seen = f.seen, n = o->has_need ? 2 * o->n_word : o->n_word;
    if (key != NONE) f.missing = obj_missing_after(m, &f, key);
    f.seen = words_take(m, n);
    for (uint32_t w = 0; w < n; w++) m->word[f.seen + w] = m->word[seen + w];
    if (key != NONE) {
        m->word[f.seen + key / 64] |= 1ull << (key % 64);
        for (uint32_t w = 0; o->key[key].need && w < o->n_word; w++) m->word[f.seen + o->n_word + w] |= o->key[key].need[w];
        f.next = key + 1;
    } else {
        uint32_t at = words_take(m, 3);
        m->word[at] = c->aux;
        m->word[at + 1] = f.dyn;
        m->word[at + 2] = (f.n_dyn ? m->word[f.dyn + 2] * 31 : 17) ^ c->aux;
        f.dyn = at;
        f.n_dyn++;
        f.next = o->n_key;
    }
    if (o->max != NONE || f.count < o->min) f.count++;
    f.key = c->aux;
    return f;
}

/* Every schema of goal `few` is one of goal `many`: a value that meets the second meets the first. */
static bool goal_implied(const struct grammar *g, uint32_t few, uint32_t many)
{
    const struct goal *a = goal_at(g, few), *b = goal_at(g, many);
    uint32_t k = 0;
    for (uint32_t i = 0; i < a->n_key; i++, k++) {
        while (k < b->n_key && b->key[k] < a->key[i]) k++;
        if (k == b->n_key || b->key[k] != a->key[i]) return false;
    }
    return true;
}

/* Is there another of the ways in `ways` that asks no more of the value and settles no less of what is owed? */
static bool is_outdone(const struct matcher *m, const struct alts *l, uint64_t ways, uint32_t at, uint32_t owed)
{
    uint32_t mine = l->alt[at].owed & owed;
    for (uint64_t left = ways & ~(1ull << at); left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left), its = l->alt[i].owed & owed;
        if (mine & ~its || !goal_implied(m->g, l->alt[i].goal, l->alt[at].goal)) continue;
        if (i < at || its != mine || l->alt[i].goal != l->alt[at].goal) return true;
    }
    return false;
}

/* The ways in which a key, known by its alternatives, may be taken now: those that no other one makes needless. */
static uint64_t ways_to_take(const struct matcher *m, const struct frame *f, uint32_t key, const struct alts *l)
{
    uint32_t missing = key != NONE ? obj_missing_after(m, f, key) : f->missing;
    uint64_t ways = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (alt_fits(m, f, key, NONE, &l->alt[i], missing)) ways |= 1ull << i;
    for (uint64_t left = ways & (ways - 1) ? ways : 0; left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);
        if (is_outdone(m, l, ways, i, f->owed)) ways &= ~(1ull << i);
    }
    return ways;
}

/* One configuration for each way to take the key. */
static void key_close(struct matcher *m, struct conf c, uint8_t kind)
{
    struct frame before = m->frame[c.frame];
    const struct obj *o = frame_obj(m, &before);
    uint32_t key = c.cls ? NONE : key_at(o, c.n);
    const struct frame after = with_key(m, &c, key);
    before.dyn = after.dyn;                             /* the name is used from here on */
    before.n_dyn = after.n_dyn;
    const struct alts *l = key != NONE ? &o->key[key].alts : &o->cls[c.cls - 1].alts;
    for (uint64_t ways = ways_to_take(m, &before, key, l); ways; ways &= ways - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(ways);
        struct frame f = after;
        f.owed &= ~l->alt[i].owed;
        f.flags = (uint8_t)((f.flags & ~FL_MORE) | (obj_more(m, &f) ? FL_MORE : 0));
        set_emit(m, (struct conf){ .kind = kind, .ref = l->alt[i].goal, .frame = frame_push(m, f), .style = c.style,
                                   .surf = c.surf });
    }
}

void key_leave(struct matcher *m, const struct conf *c) { key_close(m, *c, C_COLON); }

/* Reads one more byte of the name, along the declared names and in the class's automaton. */
static bool key_advance(const struct matcher *m, struct conf *c, uint8_t b)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    c->aux = key_hash(c->aux, b);
    if (c->n != NONE) c->n = trie_step(&o->trie, c->n, b);
    if (!c->cls) return c->n != NONE && (validating(m) || any_offered(m, f, &o->trie.node[c->n]));
    const struct strs *s = &o->cls[c->cls - 1].s;
    if (!s->dfa) return true;
    c->dfa = dfa_step(s->dfa, s->cls, c->dfa, b);
    return c->dfa != DFA_DEAD;
}

/* Keyword arguments: a bare name, then =. */
static void step_arg(struct matcher *m, struct conf c, uint8_t b)
{
    if (b == '=') {
        if (key_closable(m, &c)) key_close(m, c, C_VALUE);
        return;
    }
    bool letter = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || b == '_';
    if (c.cls && ((!letter && !(c.m && b >= '0' && b <= '9')) || c.m >= key_cap(m, &c))) return;
    if (!key_advance(m, &c, b)) return;
    c.m++;
    c.part = 1;
    if (!c.cls || key_alive(m, &c)) set_emit(m, c);
}

void key_step(struct matcher *m, struct conf c, uint8_t b)
{
    const struct frame *f = &m->frame[c.frame];
    const struct obj *o = frame_obj(m, f);
    if (f->flags & FL_ARGS) { step_arg(m, c, b); return; }
    uint8_t out[4];
    int n_out;
    enum lex_result r = lex_step(&c.lex, &c.part, value_escapes(m, c.surf), false, b, out, &n_out);
    if (r == LEX_NO) return;
    if (r == LEX_CLOSE) {
        if (key_closable(m, &c)) key_close(m, c, C_COLON);
        return;
    }
    if (r == LEX_BEGIN) {
        uint32_t most = c.cls ? MIN(o->cls[c.cls - 1].s.max, key_cap(m, &c)) : NONE;
        if (c.m >= most) return;
        c.m++;
    }
    for (int i = 0; i < n_out; i++)
        if (!key_advance(m, &c, out[i])) return;
    if (c.lex == LEX_NORMAL) c.part = 0;
    if (c.cls ? validating(m) || key_alive(m, &c) : escape_leads(m, &o->trie, &c, f)) set_emit(m, c);
}
