/* grammars.c -- compiled grammars by what they were made of, so that a tool list that comes again is not compiled again.
 *
 * A grammar is read-only for those who use it, and what it finds out while it is used (costs, shapes, states of its
 * automata) stays with it: the second request with the same tools begins where the first one was. The key is the whole
 * source: envelope, options, names and schemas as text; nothing is compared by hash alone.
 *
 * What is in use is never let go; of the rest the longest unused go first, by number and by bytes. One that has grown
 * large while it served goes as well: a fresh one does the same in less memory, and what a grammar can do must not
 * depend on how long it has served. The schemas of a kept grammar are copies: requests come and go on other threads,
 * and the owners of a JSON tree are not counted atomically. */
#include <pthread.h>
#include <stdlib.h>

#include "gen/int.h"

#define MOST 64                       /* grammars kept that nobody uses */
#define BYTES_MOST ((size_t)64 << 20) /* and what they may hold together */
#define ONE_MOST (BYTES_MOST / 4)

struct kept {
    uint64_t hash;
    struct str key;
    struct grammar *g;
    size_t bytes;                     /* when it was given back last */
    int users;
    struct kept *next;                /* the one used last first */
};
struct grammars {
    pthread_mutex_t lock;
    struct kept *first;
    struct grammars_stats st;
};

struct grammars *grammars_open(void)
{
    struct grammars *c = mem_zero(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void kept_free(struct kept *k)
{
    grammar_free(k->g);
    str_done(&k->key);
    mem_free(k);
}

void grammars_close(struct grammars *c)
{
    if (!c) return;
    for (struct kept *k = c->first, *next; k; k = next) {
        next = k->next;
        kept_free(k);
    }
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

struct grammars_stats grammars_stats(struct grammars *c)
{
    pthread_mutex_lock(&c->lock);
    struct grammars_stats st = c->st;
    for (const struct kept *k = c->first; k; k = k->next) st.n++, st.bytes += k->bytes;
    pthread_mutex_unlock(&c->lock);
    return st;
}

/* ---- the key ------------------------------------------------------------------------------------- */

static void put_text(struct str *s, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    str_fmt(s, "%zu:", n);
    if (n) str_put(s, text, n);
}

static void put_schema(struct str *s, const struct json *schema)
{
    if (schema) json_write(s, schema, JSON_COMPACT);
    str_putc(s, '\n');
}

static void make_key(const struct grammar_source *src, struct str *s)
{
    const struct grammar_opts *o = &src->o;
    str_fmt(s, "%d%d%d%d%d%d ", o->validate, o->spelling, o->declared_order, o->relax, o->annotate_formats, o->closed);
    put_text(s, o->item_sep);
    put_text(s, o->key_sep);
    put_text(s, o->draft);
    put_text(s, o->remotes);
    put_text(s, src->envelope);
    for (int i = 0; i < src->n_pair; i++) {
        put_text(s, src->pair[i].name);
        put_schema(s, src->pair[i].schema);
    }
    str_putc(s, '\n');
    if (src->value) put_schema(s, src->value);
}

/* ---- taking and giving back ---------------------------------------------------------------------- */

static struct kept *find(struct grammars *c, uint64_t hash, const struct str *key)
{
    for (struct kept **at = &c->first; *at; at = &(*at)->next) {
        struct kept *k = *at;
        if (k->hash != hash || k->key.len != key->len || memcmp(k->key.p, key->p, key->len)) continue;
        *at = k->next;
        k->next = c->first;
        return c->first = k;
    }
    return NULL;
}

static struct grammar *compile_copies(const struct grammar_source *src, struct err *e)
{
    struct grammar_pair *pair = mem_zero(((size_t)src->n_pair + 1) * sizeof *pair);
    struct json *value = json_copy(src->value), **schema = mem_zero(((size_t)src->n_pair + 1) * sizeof *schema);
    const struct json *values[] = { value };
    for (int i = 0; i < src->n_pair; i++)
        pair[i] = (struct grammar_pair){ src->pair[i].name, schema[i] = json_copy(src->pair[i].schema) };
    struct grammar *g = grammar_compile(src->envelope, pair, src->n_pair, values, value ? 1 : 0, &src->o, e);
    for (int i = 0; i < src->n_pair; i++) json_free(schema[i]);       /* the grammar has its share */
    json_free(value);
    mem_free(schema);
    mem_free(pair);
    return g;
}

const struct grammar *grammars_take(struct grammars *c, const struct grammar_source *src, struct err *e)
{
    struct str key = { 0 };
    make_key(src, &key);
    uint64_t hash = hash64(key.p, key.len, 0);
    pthread_mutex_lock(&c->lock);
    struct kept *k = find(c, hash, &key);
    if (k) k->users++, c->st.hits++;
    else c->st.misses++;
    pthread_mutex_unlock(&c->lock);
    if (k) {
        str_done(&key);
        return k->g;
    }
    struct grammar *g = compile_copies(src, e);                       /* the lock is free meanwhile: two may be made of one source, */
    if (!g) {                                                         /* and each is given back to its own entry */
        str_done(&key);
        return NULL;
    }
    k = mem_zero(sizeof *k);
    *k = (struct kept){ .hash = hash, .key = key, .g = g, .users = 1 };
    pthread_mutex_lock(&c->lock);
    k->next = c->first;
    c->first = k;
    pthread_mutex_unlock(&c->lock);
    return g;
}

/* Takes what is too much out of the list and gives it to the caller. The lock is held. */
static struct kept *trim(struct grammars *c)
{
    struct kept *out = NULL;
    size_t n = 0, bytes = 0;
    for (struct kept **at = &c->first; *at;) {
        struct kept *k = *at;
        bool fits = k->users || (n < MOST && k->bytes <= ONE_MOST && bytes + k->bytes <= BYTES_MOST);
        if (!k->users && fits) n++, bytes += k->bytes;
        if (fits) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        k->next = out;
        out = k;
    }
    return out;
}

void grammars_give(struct grammars *c, const struct grammar *g)
{
    if (!g) return;
    size_t bytes = grammar_bytes(g);
    pthread_mutex_lock(&c->lock);
    for (struct kept *k = c->first; k; k = k->next)
        if (k->g == g) k->users--, k->bytes = bytes + k->key.len;
    struct kept *out = trim(c);
    pthread_mutex_unlock(&c->lock);
    for (struct kept *next; out; out = next) {
        next = out->next;
        kept_free(out);
    }
}
