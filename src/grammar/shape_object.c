/* shape_object.c -- objects: declared keys, invented keys, what must come along, what must go wrong.
 *
 * Every name that any keyword mentions is a declared key with a goal of its own: the conjunction of
 * what each schema of the bag says about it. All other names fall into classes, the ways in which they
 * can match the patterns of patternProperties (and what propertyNames leaves); a class has an
 * automaton and a goal. A negated `properties` is something the object owes: some member whose value
 * fails. Every key is then offered in alternatives, and bit i of one says that it settles debt i. */
#include <stdlib.h>

#include "grammar/shape_object.h"

bool key_is_ident(struct bytes name)
{
    if (!name.len) return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = (uint8_t)name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && !(i && ((c >= '0' && c <= '9') || c == '-' || c == '.'))) return false;
    }
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static uint32_t name_home(const struct members *mb, struct bytes n)
{
    return (uint32_t)hash64(n.p, n.len, 5) & (mb->n_slot - 1);
}

/* Keys that stand in mb->first are found by its own table. */
static uint32_t n_first(const struct members *mb) { return mb->first ? mb->first->n_prop : 0; }

static void names_rehash(struct members *mb)
{
    mb->n_slot = mb->n_slot ? mb->n_slot * 2 : 32;
    mb->slot = arena_small(mb->x->tmp, mb->n_slot * sizeof *mb->slot);
    for (uint32_t i = n_first(mb); i < mb->o->n_key; i++) {
        uint32_t h = name_home(mb, mb->o->key[i].name);
        while (mb->slot[h]) h = (h + 1) & (mb->n_slot - 1);
        mb->slot[h] = i + 1;
    }
}

/* Room for n keys more. */
static void keys_grow(struct members *mb, uint32_t n)
{
    struct obj *o = mb->o;
    if (o->n_key + n <= mb->cap_key) return;
    mb->cap_key = MAX(mb->cap_key * 2, o->n_key + n + 4);
    struct okey *more = arena_small(&mb->x->g->mem, mb->cap_key * sizeof *more);
    bool *barred = arena_small(mb->x->tmp, mb->cap_key * sizeof *barred);
    if (o->n_key) {
        memcpy(more, o->key, o->n_key * sizeof *more);
        memcpy(barred, mb->barred, o->n_key * sizeof *barred);
    }
    o->key = more;
    mb->barred = barred;
}

/* Index of the key with this name, made if need be. */
uint32_t key_of(struct members *mb, struct bytes name)
{
    struct obj *o = mb->o;
    uint32_t at = mb->first ? prop_index(mb->first, name) : NONE;
    if (at != NONE) return at;
    if ((o->n_key - n_first(mb)) * 2 >= mb->n_slot) names_rehash(mb);
    uint32_t h = name_home(mb, name);
    for (; mb->slot[h]; h = (h + 1) & (mb->n_slot - 1)) {
        struct bytes have = o->key[mb->slot[h] - 1].name;
        if (have.len == name.len && !memcmp(have.p, name.p, name.len)) return mb->slot[h] - 1;
    }
    keys_grow(mb, 1);
    o->key[o->n_key].name = name;
    mb->slot[h] = o->n_key + 1;
    return o->n_key++;
}

/* The properties of the first schema that lists any: no two have the same name. */
static void first_names(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n && !mb->first; i++)
        if (held_obj(mb, i) && held_obj(mb, i)->n_prop) mb->first = held_obj(mb, i);
    uint32_t n = n_first(mb);
    keys_grow(mb, n);
    for (uint32_t p = 0; p < n; p++) mb->o->key[p].name = mb->first->prop[p].name;
    mb->o->n_key = n;
}

/* Declared order first: what properties lists; then names that are only required or spoken of. */
static void held_names(struct members *mb)
{
    first_names(mb);
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t p = 0; k && k != mb->first && p < k->n_prop; p++) key_of(mb, k->prop[p].name);
    }
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t r = 0; k && r < k->n_req; r++) {
            uint32_t key = key_of(mb, k->req[r]);       /* the list may move */
            mb->o->key[key].req = true;
        }
        for (uint32_t r = 0; k && r < k->n_need; r++) {
            key_of(mb, k->need[r].key);
            for (uint32_t n = 0; n < k->need[r].n; n++) key_of(mb, k->need[r].name[n]);
        }
        for (uint32_t d = 0; k && d < k->n_dep; d++) {
            const struct kw_obj *dep = dep_kind(mb->x->g, k->dep[d].node) ? dep_obj(mb->x->g, k->dep[d].node) : NULL;
            if (dep) key_of(mb, k->dep[d].name);
            for (uint32_t n = 0; dep && n < dep->n_req; n++) key_of(mb, dep->req[n]);
        }
    }
    for (uint32_t i = 0; mb->has_names && i < mb->names.n_lit; i++) key_of(mb, mb->names.lit[i]);
}

/* A negated schema that speaks of one property alone: it fails, and is there unless the schema requires it. */
static void must_fail(struct members *mb, const struct kw_obj *k)
{
    const struct kw_prop *p = k->prop;
    uint32_t key = key_of(mb, p->name);
    mb->o->key[key].req |= !k->n_req;
    MEM_GROW(mb->must, mb->n_must, mb->cap_must);
    mb->must[mb->n_must].key = key;
    mb->must[mb->n_must++].ref = p->node * 2 + 1;
}

static bool debt_add(struct members *mb, const struct atom *t)
{
    const struct kw_obj *k = node_at(mb->x->g, t->node)->obj;
    if (t->kind == NOT_PROPS && k && one_prop(k)) {
        must_fail(mb, k);
        return true;
    }
    if (mb->n_debt >= MOST_DEBT)
        return schemas_fail(mb->x->g, mb->x->e, t->node, ERR_LIMIT, "",
                            "more than %d negated schemas for one object", MOST_DEBT);
    if (!mb->debt) mb->debt = arena_alloc(mb->x->tmp, MOST_DEBT * sizeof *mb->debt);
    struct debt *d = &mb->debt[mb->n_debt++];
    *d = (struct debt){ .node = t->node, .kind = t->kind };
    if (t->kind == NOT_UNEVAL_PROPS) {
        d->bare = bag_item(mb->b, schemas_bare(mb->x->g, t->node) * 2);
        return true;
    }
    const struct node *n = node_at(mb->x->g, t->node);
    if (t->kind == NOT_NAMES) {
        uint32_t ref = n->obj->names * 2 + 1;
        if (!names_open(mb->x, &ref, 1, &d->bad)) return false;
        for (uint32_t i = 0; i < d->bad.n_lit; i++) key_of(mb, d->bad.lit[i]);
        return true;
    }
    for (uint32_t p = 0; n->obj && p < n->obj->n_prop; p++) key_of(mb, n->obj->prop[p].name);
    for (uint32_t i = 0; n->obj && i < n->obj->n_req; i++) key_of(mb, n->obj->req[i]);
    if (n->kind != NODE_LITERAL) return true;
    for (struct json_iter it = json_iter(n->v); json_next(&it);)
        key_of(mb, (struct bytes){ arena_str(&mb->x->g->mem, it.key, it.key_len), it.key_len });
    return true;
}

static bool atom_names(struct members *mb, const struct atom *t)
{
    const struct kw_obj *k = node_at(mb->x->g, t->node)->obj;
    struct obj *o = mb->o;
    switch (t->kind) {
    case HAS_KEY: { uint32_t key = key_of(mb, t->key); o->key[key].req = true; return true; }
    case LACKS_KEY: { uint32_t key = key_of(mb, t->key); mb->barred[key] = true; return true; }
    case LACKS_ONE:
        for (uint32_t i = 0; i < k->n_req; i++) key_of(mb, k->req[i]);
        return true;
    case NOT_MIN_PROPS: o->max = MIN(o->max, k->min - 1); return true;
    case NOT_MAX_PROPS: o->min = MAX(o->min, k->max + 1); return true;
    case NOT_PROPS: case NOT_NAMES: case NOT_UNEVAL_PROPS: return debt_add(mb, t);
    default: return true;
    }
}

/* ---- declared keys --------------------------------------------------------------------------- */

static uint64_t *key_set(struct members *mb)
{
    return arena_small(&mb->x->g->mem, ((mb->o->n_key + 63) / 64 + 1) * sizeof(uint64_t));
}

static uint32_t required_keys(const struct obj *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_key; i++) n += o->key[i].req;
    return n;
}

/* Keys whose absence settles a debt. */
static bool absent_one(struct members *mb, const struct debt *d, uint32_t *key, uint32_t i)
{
    const struct node *n = node_at(mb->x->g, d->node);
    if (d->kind != NOT_PROPS) return false;
    if (n->kind == NODE_LITERAL) {
        struct json_iter it = json_iter(n->v);
        for (bool more = json_next(&it); more; more = json_next(&it))
            if (!i--) {
                *key = key_of(mb, (struct bytes){ it.key, it.key_len });
                return true;
            }
        return false;
    }
    if (i < n->obj->n_req) *key = key_of(mb, n->obj->req[i]);
    return i < n->obj->n_req;
}

/* A debt that a required key settles with any value that it can have, or that relies on a key which cannot come, needs
 * no keeping in mind. */
static void find_moot(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < o->n_key; i++)
        for (uint32_t d = 0; d < mb->n_debt && o->key[i].req && mb->ways[i]; d++)
            mb->debt[d].moot |= mb->ways[i]->how[d].n && mb->ways[i]->how[d].ref[0] == NONE;
    for (uint32_t d = 0; d < mb->n_debt; d++) {
        uint32_t key = 0;
        for (uint32_t i = 0; absent_one(mb, &mb->debt[d], &key, i); i++) mb->debt[d].moot |= mb->barred[key];
        if (!mb->debt[d].moot) o->owes |= 1u << d;
    }
}

/* The i-th key of a set that may be left out. */
static uint32_t optional_key(const struct members *mb, const uint64_t *set, uint32_t i)
{
    for (uint32_t k = 0; k < mb->o->n_key; k++)
        if (set[k / 64] >> (k % 64) & 1 && !mb->o->key[k].req && !mb->barred[k] && !i--) return k;
    return NONE;
}

/* Sets of keys one of which must be missing: free to the debts they settle. Where members beyond the required ones must
 * come, which of them can be left out is not known before, so that each debt is settled in one way for the whole object:
 * by a member that fails, or by one key that never comes. `split` says which; returns how many objects that makes. */
static uint32_t set_absent(struct members *mb, uint32_t split)
{
    struct obj *o = mb->o;
    uint32_t n = 1, out[MOST_DEBT], n_out = 0;
    for (uint32_t d = 0; d < mb->n_debt; d++) {
        uint32_t key = 0;
        for (uint32_t i = 0; o->owes >> d & 1 && absent_one(mb, &mb->debt[d], &key, i); i++) {
            if (!i) o->absent[d] = key_set(mb);
            o->absent[d][key / 64] |= 1ull << (key % 64);
        }
        if (!o->absent[d] || o->min <= required_keys(o)) continue;
        uint32_t ways = 1;
        while (optional_key(mb, o->absent[d], ways - 1) != NONE) ways++;
        if (split / n % ways) {
            out[n_out++] = optional_key(mb, o->absent[d], split / n % ways - 1);
            o->owes &= ~(1u << d);
            mb->debt[d].moot = true;
        }
        o->absent[d] = NULL;
        n = MIN(n * ways, (uint32_t)MOST_WAYS);
    }
    for (uint32_t i = 0; i < n_out; i++) mb->barred[out[i]] = true;
    return n;
}

/* Nothing that depends on a name but what is listed: no patterns, nothing owed, nothing that looks at what others say. */
static bool names_are_plain(const struct members *mb)
{
    bool plain = !mb->has_names && !mb->n_pattern && !mb->n_debt && !mb->n_must;
    for (uint32_t i = 0; i < mb->b->n && plain; i++) plain = !held_obj(mb, i) || held_obj(mb, i)->uneval == NONE;
    return plain;
}

/* What all schemas say of key i, into ref: how much that is. */
static uint32_t listed_refs(const struct members *mb, uint32_t i, uint32_t *ref)
{
    uint32_t n = 0;
    for (uint32_t j = 0; j < mb->b->n; j++) {
        const struct kw_obj *k = held_obj(mb, j);
        if (!k) continue;
        uint32_t at = k == mb->first ? i < k->n_prop ? i : NONE : k->n_prop ? prop_index(k, mb->o->key[i].name) : NONE;
        uint32_t node = at != NONE ? k->prop[at].node : k->rest;
        if (node != NONE) ref[n++] = node * 2;
    }
    return n;
}

/* The keys of such an object: each has one goal. */
static bool plain_keys(struct members *mb)
{
    struct obj *o = mb->o;
    uint32_t ref[MOST_BAG];
    struct alt *alt = arena_small(&mb->x->g->mem, o->n_key * sizeof *alt);
    for (uint32_t i = 0; i < o->n_key; i++) {
        struct refs_list l = { .ref = ref, .n = mb->barred[i] ? 0 : listed_refs(mb, i, ref) };
        if (mb->barred[i] || impossible(mb, &l)) continue;
        if ((alt[i].goal = expand_goal_of(mb->x, l.ref, l.n)) == NONE) return false;
        o->key[i].alts = (struct alts){ &alt[i], 1 };
    }
    return true;
}

static bool declared_ways(struct members *mb)
{
    struct obj *o = mb->o;
    mb->ways = arena_small(mb->x->tmp, (o->n_key + 1) * sizeof(struct key_ways *));
    for (uint32_t i = 0; i < o->n_key; i++) {
        struct bytes name = o->key[i].name;
        bool ok = !mb->barred[i];
        if (ok && mb->has_names && !name_allowed(mb, &mb->names, name, &ok)) return false;
        if (ok) match_patterns(mb, name);
        if (ok && !(mb->ways[i] = key_ways(mb, &name, o->key[i].req))) return false;
        mb->barred[i] |= !ok || impossible(mb, &mb->ways[i]->said);
    }
    return true;
}

static bool declared_keys(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < o->n_key; i++) {
        struct alts alts = { 0 };
        if (!mb->barred[i] && !key_alts(mb, mb->ways[i], &alts)) return false;
        o->key[i].alts = alts;
    }
    return true;
}

/* ---- what comes along ------------------------------------------------------------------------ */

static uint64_t *need_of(struct members *mb, uint32_t key)
{
    struct okey *k = &mb->o->key[key];
    mb->o->has_need = true;
    if (!k->need) k->need = key_set(mb);
    return k->need;
}

static void held_needs(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t r = 0; k && r < k->n_need; r++) {
            uint64_t *need = need_of(mb, key_of(mb, k->need[r].key));
            for (uint32_t n = 0; n < k->need[r].n; n++) {
                uint32_t j = key_of(mb, k->need[r].name[n]);
                need[j / 64] |= 1ull << (j % 64);
            }
        }
        for (uint32_t d = 0; k && d < k->n_dep; d++) {
            if (dep_kind(mb->x->g, k->dep[d].node) != DEP_NEED) continue;
            const struct kw_obj *dep = dep_obj(mb->x->g, k->dep[d].node);
            uint64_t *need = need_of(mb, key_of(mb, k->dep[d].name));
            for (uint32_t n = 0; n < dep->n_req; n++) {
                uint32_t j = key_of(mb, dep->req[n]);
                need[j / 64] |= 1ull << (j % 64);
            }
        }
    }
}

/* Sets of keys that must not all be there. */
static void ban_add(struct members *mb, const struct bytes *first, const struct kw_obj *k)
{
    struct obj *o = mb->o;
    uint64_t **more = arena_small(&mb->x->g->mem, (o->n_ban + 1) * sizeof *more);
    if (o->n_ban) memcpy(more, o->ban, o->n_ban * sizeof *more);
    o->ban = more;
    uint64_t *set = o->ban[o->n_ban++] = key_set(mb);
    for (uint32_t i = 0; i < k->n_req + (first != NULL); i++) {
        uint32_t key = key_of(mb, i < k->n_req ? k->req[i] : *first);
        set[key / 64] |= 1ull << (key % 64);
    }
}

static void bans(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t d = 0; k && d < k->n_dep; d++)
            if (dep_kind(mb->x->g, k->dep[d].node) == DEP_BAN)
                ban_add(mb, &k->dep[d].name, dep_obj(mb->x->g, k->dep[d].node));
    }
    for (uint32_t i = 0; i < mb->b->n_atom; i++)
        if (mb->b->atom[i].kind == LACKS_ONE) ban_add(mb, NULL, node_at(mb->x->g, mb->b->atom[i].node)->obj);
}

/* Needs of needs are needs; what a required key needs is required. */
static void close_needs(struct obj *o)
{
    for (bool more = o->has_need; more;) {
        more = false;
        for (uint32_t i = 0; i < o->n_key; i++) {
            for (uint32_t j = 0; o->key[i].need && j < o->n_key; j++) {
                if (!(o->key[i].need[j / 64] >> (j % 64) & 1)) continue;
                if (o->key[i].req && !o->key[j].req) more = o->key[j].req = true;
                for (uint32_t w = 0; o->key[j].need && w < (o->n_key + 63) / 64; w++) {
                    uint64_t both = o->key[i].need[w] | o->key[j].need[w];
                    more |= both != o->key[i].need[w];
                    o->key[i].need[w] = both;
                }
            }
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Is every name of the class a declared one? Then none of it can be invented. */
static bool all_declared(const struct obj *o, const struct kclass *k)
{
    if (!k->s.dfa || dfa_lens(k->s.dfa, DFA_START)->max == NONE) return false;
    uint32_t n = dfa_count(k->s.dfa, DFA_START, o->n_key + 1), declared = 0;
    for (uint32_t i = 0; n <= o->n_key && i < o->n_key; i++) declared += strs_match(&k->s, o->key[i].name.p, o->key[i].name.len);
    return n <= declared;
}

/* What an object owes, and its least number of members, must not count on names that there are not. */
static void drop_empty_classes(struct obj *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_cls; i++)
        if (!all_declared(o, &o->cls[i])) o->cls[n++] = o->cls[i];
    o->n_cls = n;
}

static bool make_trie(struct grammar *g, struct obj *o, uint32_t *used)
{
    struct bytes *name = mem_alloc((o->n_key + 1) * sizeof *name);
    for (uint32_t i = 0; i < o->n_key; i++) name[i] = o->key[i].name;
    bool ok = trie_build(&o->trie, &g->mem, name, o->n_key, used);
    mem_free(name);
    return ok;
}

void obj_make_ready(struct grammar *g, struct obj *o)
{
    uint32_t counted = 0;               /* obj_finish() has, and found it little enough */
    pthread_mutex_lock(&g->lock);
    if (!o->ready) {
        for (uint32_t i = 0; i < o->n_key; i++) o->key[i].ident = key_is_ident(o->key[i].name);
        if (!o->trie.node) make_trie(g, o, &counted);
        atomic_store_explicit(&o->ready, true, memory_order_release);
    }
    pthread_mutex_unlock(&g->lock);
}

/* Room in the grammar for the names: as if none had a letter in common with another, so that their trie can wait until
 * somebody walks it; it is made now where they might be too much. */
static bool names_fit(struct grammar *g, struct obj *o)
{
    uint64_t most = 1;
    for (uint32_t i = 0; i < o->n_key; i++) most += o->key[i].name.len;
    if (most > MOST_TRIE - g->s.n_trie_node) return make_trie(g, o, &g->s.n_trie_node);
    g->s.n_trie_node += (uint32_t)most;
    return true;
}

bool obj_finish(struct expand *x, uint32_t node, struct obj *o)
{
    struct grammar *g = x->g;
    o->next_req = arena_small(&g->mem, (o->n_key + 2) * sizeof *o->next_req);
    o->next_req[o->n_key] = o->next_req[o->n_key + 1] = NONE;
    o->cap_key = MOST_KEY;
    o->n_word = (o->n_key + 63) / 64;
    o->req = arena_small(&g->mem, (o->n_word + 1) * sizeof *o->req);
    o->none = arena_small(&g->mem, (o->n_word + 1) * sizeof *o->none);
    for (uint32_t i = o->n_key; i-- > 0;) {
        struct okey *k = &o->key[i];
        o->next_req[i] = k->req ? i : o->next_req[i + 1];
        o->n_req += k->req;
        o->cap_key = MAX(o->cap_key, (uint32_t)k->name.len);
        if (k->req) o->req[i / 64] |= 1ull << (i % 64);
        for (uint32_t a = 0; a < k->alts.n; a++) k->owed |= k->alts.alt[a].owed;
    }
    o->cap_key++;
    if (o->n_key && (o->owes || o->min)) drop_empty_classes(o);
    for (uint32_t i = 0; i < o->n_cls; i++)
        for (uint32_t k = 0; k < o->cls[i].alts.n; k++) o->cls_owed |= o->cls[i].alts.alt[k].owed;
    o->id_cost = g->n_obj++;
    o->trie.id_cost = NONE;
    return names_fit(g, o) || schemas_fail(g, x->e, node, ERR_LIMIT, "properties", "names of more than %d bytes", MOST_TRIE);
}

static void held_counts(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (!k) continue;
        o->min = MAX(o->min, k->min);
        o->max = MIN(o->max, k->max);
    }
}

static bool object_split(struct expand *x, const struct bag *b, uint32_t split, uint32_t *n_split)
{
    struct obj *o = arena_small(&x->g->mem, sizeof *o);
    struct members mb = { .x = x, .b = b, .o = o };
    o->max = NONE;
    held_counts(&mb);
    bool ok = held_property_names(&mb);
    if (ok) held_names(&mb);
    for (uint32_t i = 0; i < b->n_atom && ok; i++) ok = atom_names(&mb, &b->atom[i]);
    if (ok) held_needs(&mb);
    close_needs(o);
    if (ok) bans(&mb);
    ok = ok && all_patterns(&mb);
    if (ok && names_are_plain(&mb)) ok = plain_keys(&mb);
    else {
        ok = ok && declared_ways(&mb);
        if (ok) {
            find_moot(&mb);
            *n_split = set_absent(&mb, split);
        }
        ok = ok && declared_keys(&mb);
    }
    ok = ok && invented_keys(&mb);
    names_forget(&mb.names);
    mem_free(mb.must);
    for (uint32_t i = 0; i < mb.n_debt; i++) names_forget(&mb.debt[i].bad);
    if (!ok || o->min > o->max) return ok;
    struct shape *sh = shape_add(x, SH_OBJ);
    if (sh) sh->obj = o;
    return sh && obj_finish(x, b->item[0].ref / 2, o);
}

bool bag_object(struct expand *x, const struct bag *b)
{
    bool ok = true;
    for (uint32_t i = 0, n = 1; i < n && ok; i++) ok = object_split(x, b, i, &n);
    return ok;
}
