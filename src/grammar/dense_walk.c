/* dense_walk.c -- a text with an automaton along the vocabulary trie, as fast as a table goes.
 *
 * A token needs two things to hold: that the automaton lives and that the bytes are UTF-8. Both together are a place; the
 * places that one walk meets are numbered as they come and have rows of their own, so that a node of the trie is one look
 * into a table, and what is found out about a place (does it fit the lengths, what leaves it as it is, how much is left)
 * is found out once. Subtrees below which nothing can fail are not walked. Where most first letters lead on the walk
 * begins with all content and drops what dies, elsewhere it begins with nothing and takes what lives. */
#include "grammar/dense.h"

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }

/* ---- places ---------------------------------------------------------------------------------- */

/* Does UTF-8 treat a byte from 0x81 on as it treats the byte before it? */
static bool utf8_alike(uint32_t b)
{
    return b != 0x90 && b != 0xa0 && b != 0xc2 && b != 0xe0 && b != 0xe1 && b != 0xed && b != 0xee && b != 0xf0 && b != 0xf1 && b != 0xf4;
}

static void place_add(struct scan *w, uint32_t state, uint8_t utf8)
{
    uint32_t cap = w->cap_place;
    MEM_GROW(w->place, w->n_place, w->cap_place);
    if (cap != w->cap_place) w->row = mem_resize(w->row, (size_t)w->cap_place * w->n_kind * sizeof *w->row);
    const struct dfa_state *q = dfa_state(w->s->dfa, state);
    w->place[w->n_place] = (struct place){ .state = state, .utf8 = utf8, .total = q->total && !utf8, .far = q->far, .fits = NONE, .left = NONE };
    uint32_t *row = w->row + (size_t)w->n_place++ * w->n_kind;
    memset(row, 0xff, w->n_kind * sizeof *row);
    row[0] = NO_PLACE;
}

void places_open(struct scan *w)
{
    const uint8_t *cls = w->s->cls;
    w->n_kind = dfa_n_class(w->s->dfa) + 1;
    for (uint32_t b = 0x20; b < 0x80; b++) w->kind[b] = byte_is_bare(b) ? (uint16_t)(cls[b] + 1) : 0;
    for (uint32_t b = 0x80; b <= 0xf4; b++) {
        bool same = b > 0x80 && cls[b] == cls[b - 1] && utf8_alike(b);
        w->kind[b] = b == 0xc0 || b == 0xc1 ? 0 : same ? w->kind[b - 1] : (uint16_t)w->n_kind++;
    }
    w->n_slot = 64;
    w->slot = mem_zero(w->n_slot * sizeof *w->slot);
    place_add(w, DFA_DEAD, 0);
}

void places_close(struct scan *w)
{
    mem_free(w->place);
    mem_free(w->row);
    mem_free(w->slot);
    mem_free(w->age);
    mem_free(w->danger);
}

static uint32_t slot_of(const struct scan *w, uint32_t state, uint8_t utf8)
{
    uint32_t k = (state * 8 + utf8) * 2654435761u >> 7 & (w->n_slot - 1);
    while (w->slot[k] && (w->place[w->slot[k]].state != state || w->place[w->slot[k]].utf8 != utf8)) k = (k + 1) & (w->n_slot - 1);
    return k;
}

uint32_t place_of(struct scan *w, uint32_t state, uint8_t utf8)
{
    uint32_t k = slot_of(w, state, utf8);
    if (w->slot[k]) return w->slot[k];
    if (w->n_place * 2 >= w->n_slot) {
        mem_free(w->slot);
        w->n_slot *= 4;
        w->slot = mem_zero(w->n_slot * sizeof *w->slot);
        for (uint32_t i = 1; i < w->n_place; i++) w->slot[slot_of(w, w->place[i].state, w->place[i].utf8)] = i;
        k = slot_of(w, state, utf8);
    }
    place_add(w, state, utf8);
    return w->slot[k] = w->n_place - 1;
}

uint32_t place_next(struct scan *w, uint32_t from, uint8_t b)
{
    uint32_t state = w->place[from].state, old = w->place[from].utf8;
    int utf8 = b < 0x80 && !old ? 0 : utf8_dfa((int)old, b);
    uint32_t to = utf8 < 0 ? DFA_DEAD : dfa_step(w->s->dfa, w->s->cls, state, b);
    uint32_t id = to == DFA_DEAD ? NO_PLACE : place_of(w, to, (uint8_t)utf8);
    return w->row[from * w->n_kind + w->kind[b]] = id;
}

/* ---- what is known of a place ---------------------------------------------------------------- */

static struct age *age_of(struct scan *w, enum asked asked, uint32_t place, uint32_t len, bool *known)
{
    if (!w->age) w->age = mem_zero(N_AGES * sizeof *w->age);
    struct age *a = &w->age[(place * 62 + len * 2 + asked) % N_AGES];
    *known = a->place == place && a->len == len && a->asked == asked;
    *a = (struct age){ place, len, asked, a->value };
    return a;
}

bool place_fits(struct scan *w, uint32_t place, uint32_t len)
{
    const struct strs *s = w->s;
    struct place *p = &w->place[place];
    if (len > s->max) return false;
    if (s->min > len) {
        bool known;
        struct age *a = age_of(w, ASK_FITS, place, len, &known);
        if (!known) a->value = strs_alive(s, p->state, len);
        return a->value;
    }
    uint32_t room = room_of(s, len);
    if (room == NONE || room >= p->fits) return true;
    if (room < p->fails) return false;
    bool ok = strs_alive(s, p->state, len);
    if (ok) p->fits = room;
    else p->fails = room + 1;
    return ok;
}

uint32_t place_left(struct scan *w, uint32_t place, uint32_t len)
{
    struct place *p = &w->place[place];
    if (!w->counts && p->left != NONE) return p->left;
    bool known = false;
    struct age *a = w->counts ? age_of(w, ASK_LEFT, place, len, &known) : NULL;
    if (known) return a->value;
    struct conf c = { .dfa = p->state, .m = len, .lex = (uint16_t)(p->utf8 ? LEX_UTF8 + p->utf8 : LEX_NORMAL) };
    uint32_t left = strs_left(w->s, w->esc, &c);
    return *(a ? &a->value : &p->left) = left;
}

static bool ends_within(struct scan *w, uint32_t place, uint32_t len)
{
    if (w->limit == NONE) return true;
    uint32_t left = place_left(w, place, len);
    if (left > w->limit) { *w->cut = true; return false; }
    *w->most = MAX(*w->most, left);
    return true;
}

static int wide_of(const uint64_t run[2])
{
    return __builtin_popcountll(run[0]) + __builtin_popcountll(run[1]);
}

struct stay *stay_make(struct scan *w, uint32_t place)
{
    struct place *p = &w->place[place];
    struct stay *k = &p->stay;
    const struct dfa_state *q = dfa_state(w->s->dfa, p->state);
    *k = (struct stay){ .utf8 = q->run_utf8, .max = q->run_max, .run = { q->run[0], q->run[1] } };
    for (uint32_t b = 0x20; b < 0x7f && !q->run_max; b++)
        if (dfa_step(w->s->dfa, w->s->cls, p->state, (uint8_t)b) == p->state) k->run[b >> 6] |= 1ull << (b & 63);
    if (!q->run_max && (k->run[0] | k->run[1])) k->max = NONE;
    k->wide = (uint32_t)wide_of(k->run);
    p->stays = true;
    return k;
}

uint32_t run_counted(struct scan *w, uint32_t place, uint32_t len)
{
    const struct stay *k = place_stay(w, place);
    const struct dfa_lens *q = dfa_lens(w->s->dfa, w->place[place].state);
    if (!q->every) return 0;           /* which lengths can be met must be asked state by state */
    uint32_t room = room_of(w->s, len);
    if (room == NONE) return k->max;
    return room < q->min ? 0 : MIN(k->max, room - q->min);
}

/* Can a run spell more texts in a few letters than are taken? */
static bool spells_more(const struct scan *w, const uint64_t run[2], uint32_t max)
{
    uint64_t wide = (uint64_t)wide_of(run), n = 1;
    for (uint32_t i = 0; i < MIN(max, (uint32_t)THICK); i++) n *= wide;
    return n > w->taken;
}

/* Surely more texts lead on from a place than are taken: as many as its run can spell in a few letters, or as are counted. */
bool is_thick(struct scan *w, uint32_t place)
{
    struct place *p = &w->place[place];
    if (p->thick) return p->is_thick;
    const struct dfa_state *q = dfa_state(w->s->dfa, p->state);
    p->thick = true;
    p->is_thick = dfa_lens(w->s->dfa, p->state)->max == NONE || spells_more(w, q->run, q->run_max);
    if (!p->is_thick && w->counted && !p->utf8) p->is_thick = dfa_count(w->s->dfa, p->state, w->taken + 1) > w->taken;
    return p->is_thick;
}

/* ---- code points that lead back -------------------------------------------------------------- */

/* Bytes of the middle of a code point, one for each that the automaton and UTF-8 tell apart. */
static void middles_make(struct scan *w)
{
    const uint8_t *cls = w->s->cls;
    for (uint32_t b = 0x80; b < 0xc0; b++)
        if (b == 0x80 || b == 0x90 || b == 0xa0 || cls[b] != cls[b - 1]) w->middle[w->n_middle++] = (uint8_t)b;
}

/* Do all code points begun so lead to a state? */
static bool leads_home(const struct scan *w, uint32_t home, uint32_t at, int utf8)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < w->n_middle; i++) {
        int next = utf8_dfa(utf8, w->middle[i]);
        if (next < 0) continue;
        uint32_t to = dfa_step(w->s->dfa, w->s->cls, at, w->middle[i]);
        if (to == DFA_DEAD || (!next && to != home)) return false;
        if (next && to != last && !leads_home(w, home, to, next)) return false;
        last = to;
    }
    return true;
}

/* Where a letter of the run leads: back to the state, or where the run counts, to the next one of it. */
static uint32_t next_of_run(const struct scan *w, uint32_t state, const struct stay *k)
{
    uint32_t b = 0x20;
    while (b < 0x7f && !(byte_is_bare(b) && k->run[b >> 6] >> (b & 63) & 1)) b++;
    return b < 0x7f ? dfa_step(w->s->dfa, w->s->cls, state, (uint8_t)b) : state;
}

/* Does each of these bytes, bit b for 0xC0 + b, begin code points that all lead where a letter of the run leads? */
static bool leads_back(struct scan *w, uint32_t state, struct stay *k, uint64_t leads)
{
    const uint8_t *cls = w->s->cls;
    if (!w->n_middle) middles_make(w);
    uint32_t home_at = next_of_run(w, state, k);
    for (uint64_t left = leads & ~k->leads; left; left = leads & ~k->leads) {
        if (leads & k->strays) return false;
        uint32_t b = 0xc0 + (uint32_t)__builtin_ctzll(left), end = b + 1;
        int utf8 = utf8_dfa(0, (uint8_t)b);
        uint32_t to = utf8 > 0 ? dfa_step(w->s->dfa, cls, state, (uint8_t)b) : DFA_DEAD;
        bool home = to != DFA_DEAD && leads_home(w, home_at, to, utf8);
        while (end < 0x100 && cls[end] == cls[b] && utf8_dfa(0, (uint8_t)end) == utf8) end++;
        for (uint32_t i = b; i < end; i++) *(home ? &k->leads : &k->strays) |= 1ull << (i - 0xc0);
    }
    return true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* One depth of it: the place, code points, the base it is still in. */
struct step { uint32_t place, len; int base; };

static inline bool fits(struct scan *w, const struct step *own)
{
    uint32_t room = room_of(w->s, own->len);
    bool sure = w->s->min <= w->len && own->len <= w->s->max && room >= w->place[own->place].fits && room != NONE;
    return sure || place_fits(w, own->place, own->len);
}

/* Below a node whatever comes keeps the text alive: all content is taken. */
static void take_all_below(const struct scan *w, uint32_t node)
{
    const struct vtrie *t = w->t;
    bool all = !w->coarse;              /* tokens that are no content are there, too */
    for (uint32_t k = t->first[node]; k < t->first[t->skip[node]]; k++)
        if (!all || w->v->plain_at[k] <= t->depth[node]) bit_set(w->bits, t->list[k]);
}

static void drop_all_below(const struct scan *w, uint32_t node)
{
    const struct vtrie *t = w->t;
    for (uint32_t k = t->first[node]; k < t->first[t->skip[node]]; k++) w->bits[t->list[k] / 32] &= ~(1u << (t->list[k] % 32));
}

static void take_tokens(struct scan *w, const struct step *own, uint32_t node)
{
    const struct vtrie *t = w->t;
    bool sure = !w->taken || is_thick(w, own->place);
    if (sure && !ends_within(w, own->place, own->len)) return;
    for (uint32_t k = t->first[node]; k < t->first[node + 1]; k++) {
        if (sure) { bit_set(w->bits, t->list[k]); continue; }
        MEM_GROW(w->doubt, w->n_doubt, w->cap_doubt);
        w->doubt[w->n_doubt++] = t->list[k];
    }
}

/* Whatever lies below a node leads on: its bytes are all of the run of the state that is reached there, or will be when the
 * code point that the node begins is whole. */
static bool runs_below(struct scan *w, const struct step *own, uint32_t node)
{
    enum { FREQUENT = 4 };              /* what is asked less often is not worth finding out */
    const struct vtrie *t = w->t;
    bool half = w->place[own->place].utf8;
    const struct step *home = half ? own - 1 : own;
    struct place *p = &w->place[home->place];
    if (p->utf8 || w->limit != NONE || (!p->stays && p->seen++ < FREQUENT)) return false;
    struct stay *k = place_stay(w, home->place);
    const uint64_t *below = t->below[node].w, *run = k->run;
    /* quotes, backslashes and controls are no content: what has them is not taken here; code points are looked at below */
    const uint64_t other[2] = { 0xffffffffull | 1ull << '"', 1ull << ('\\' - 64) };
    if (below[0] & ~(run[0] | other[0]) || below[1] & ~(run[1] | other[1])) return false;
    uint64_t leads = t->leads[node] | (half ? 1ull << (t->byte[node] - 0xc0) : 0);
    uint32_t most = run_reach(w, home->place, own->len);
    if (w->taken && (most <= THICK || !spells_more(w, run, most))) return false;
    if (w->taken && most != NONE) most -= THICK;
    if (!most || (most != NONE && (t->tall[node] >= 255 || (uint32_t)(t->tall[node] - t->depth[node]) > most))) return false;
    return k->utf8 || !leads || leads_back(w, p->state, k, leads);
}

/* Does nothing below a node die? */
static bool calm_below(struct scan *w, const struct step *own, uint32_t node)
{
    enum { MANY = 512, MANY_COARSE = 4096 };            /* a walk of less than this part of the trie, of so many nodes, needs no map */
    const struct vtrie *t = w->t;
    if (!w->danger) {
        if ((w->limit != NONE && w->counts) || ++w->n_walked < (w->coarse ? MANY_COARSE : t->n / MANY)) return false;
        map_make(w, w->first);
    }
    uint32_t map = w->place[own->place].map, deep = t->tall[node] < 255 ? (uint32_t)(t->tall[node] - t->depth[node]) : NONE;
    if (!map || bytemap_meets(&t->below[node], &w->danger[(map - 1) * MAP_LEVELS + MIN(deep, (uint32_t)MAP_LEVELS) - 1])) return false;
    if (w->map_room && (deep == NONE || room_of(w->s, own->len) < w->map_room + deep)) return false;
    if (w->limit != NONE) *w->most = MAX(*w->most, w->map_left);
    return true;
}

/* Need nothing below a node be looked at, because all of it has been taken or is taken now? */
static bool settled(struct scan *w, const struct step *own, uint32_t node)
{
    const struct vtrie *t = w->t;
    bool short_enough = t->tall[node] < 255;
    uint32_t deep = (uint32_t)(t->tall[node] - t->depth[node]);
    if (short_enough && own->len - w->len + deep <= w->grace) return true;
    if (own->base >= 0 && !bytemap_meets(&t->below[node], &w->base[own->base].exits)) {
        uint32_t most = w->base[own->base].most;
        if (most == NONE || w->base[own->base].exact || (short_enough && t->tall[node] <= most)) return true;
    }
    const struct place *p = &w->place[own->place];
    bool free = p->total && w->limit == NONE;
    if (free && w->counts) {            /* far enough from the greatest length? */
        uint32_t room = room_of(w->s, own->len);
        free = !w->taken && (room == NONE || (short_enough && room >= deep && room - deep >= p->far));
    }
    if (!free && !calm_below(w, own, node) && !runs_below(w, own, node)) return false;
    if (!w->full) take_all_below(w, node);
    return true;
}

/* Do bases leave little to be looked at? Then only bytes that are rare in tokens lead out of them; and where nearly all bytes
 * are in the run, what is not is better dropped than what is beyond ASCII taken. */
static bool bases_do(const struct scan *w)
{
    enum { NEARLY_ALL = 85 };
    static const uint64_t common[2] = { 0x3ffull << '0' | 1ull << ' ', 0x07fffffe07fffffeull };
    struct bytemap leaves = { 0 };
    for (int i = 0; i < w->n_base; i++) {
        leaves.w[0] |= w->base[i].exits.w[0];
        leaves.w[1] |= w->base[i].exits.w[1];
    }
    bool wide = w->start >= 0 && wide_of(w->base[w->start].swept.w) >= NEARLY_ALL;
    return w->n_base && !(leaves.w[0] & common[0]) && !(leaves.w[1] & common[1]) && !(wide && leaves.w[0] & 1);
}

/* Is it better to begin with all content? If many tokens live, and bases do not hold most of them. */
static bool begins_full(struct scan *w)
{
    enum { NEAR = 6 };
    const struct vtrie *t = w->t;
    uint32_t lives = 0, all = 0;
    if (!w->alone || w->taken || w->limit != NONE || room_of(w->s, w->len) < NEAR || bases_do(w)) return false;
    for (uint32_t i = 0; i < t->n; i = t->skip[i]) {
        uint32_t n = t->first[t->skip[i]] - t->first[i];
        if (!w->kind[t->byte[i]]) continue;
        all += n;
        if (place_step(w, w->first, t->byte[i])) lives += n;
    }
    return lives > all / 5 * 2;
}

static void forget_bases(struct scan *w)
{
    w->n_base = 0;
    w->start = -1;
    memset(w->by_first, -1, sizeof w->by_first);
}

static void begin_full(struct scan *w)
{
    const struct strclass *k = &w->v->str[w->esc];
    w->full = true;
    forget_bases(w);
    words_join(w->bits, k->all, w->v->n_word);
    for (uint32_t i = 0; i < k->n_escaped; i++) w->bits[k->escaped[i] / 32] &= ~(1u << (k->escaped[i] % 32));
}

/* Nodes of the whole trie that were walked; is there a coarser one now? */
static bool take_coarser(struct scan *w, uint64_t n)
{
    if (w->coarse || !(w->coarse = coarse_get(w->v, w->kind, n))) return false;
    w->t = coarse_trie(w->coarse);
    forget_bases(w);                    /* they speak of single bytes */
    return true;
}

/* Where the walk begins, once more after a change of the trie: what has been taken stays, doubts come again. */
static struct step begin(struct scan *w)
{
    w->n_doubt = 0;
    if (w->full || begins_full(w)) begin_full(w);
    return (struct step){ w->first, w->len, w->start };
}

void trie_walk(struct scan *w)
{
    enum { LONG = 32, SHORT = 512 };    /* so small a part of the trie is still a long way; so few nodes are not worth noting */
    const struct vtrie *t = w->t;
    struct step *at = mem_alloc((size_t)(w->v->max_len + 2) * sizeof *at);
    uint32_t most = MAX(t->n / LONG, 64u), n = 0;
    at[0] = begin(w);
    for (uint32_t i = 0; i < t->n;) {
        if (++n == most) {
            n = 0;
            if (take_coarser(w, most)) {
                t = w->t;
                at[0] = begin(w);
                i = 0;
                continue;
            }
        }
        uint32_t d = t->depth[i];
        uint8_t b = t->byte[i];
        struct step *own = &at[d];
        own->place = place_step(w, own[-1].place, b);
        own->len = own[-1].len + ((b & 0xc0) != 0x80);
        if (!own->place || (w->counts && !fits(w, own))) {
            if (w->full && w->kind[b]) drop_all_below(w, i);
            i = t->skip[i];
            continue;
        }
        if (!w->full && t->first[i] < t->first[i + 1]) take_tokens(w, own, i);
        if (t->skip[i] == i + 1) { i++; continue; }
        if (d == 1 && w->start < 0) own->base = w->by_first[b];
        else own->base = own[-1].base >= 0 && bytemap_has(&w->base[own[-1].base].swept, b) ? own[-1].base : -1;
        i = settled(w, own, i) ? t->skip[i] : i + 1;
    }
    mem_free(at);
    if (n > SHORT) take_coarser(w, n);
}
