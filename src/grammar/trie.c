/* trie.c -- tries over literal strings: enum values, keys, names.
 *
 * Strings are sorted once; a node is a range of that order at one depth. Built breadth first, so the
 * children of a node are neighbours and sorted. 10 000 values cost a sort and one pass. */
#include <stdlib.h>

#include "grammar/int.h"

struct entry { struct bytes s; uint32_t id; };

static int item_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = memcmp(x->s.p, y->s.p, MIN(x->s.len, y->s.len));
    if (c) return c;
    if (x->s.len != y->s.len) return x->s.len < y->s.len ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Sorts, drops duplicates, lays the strings out in rank order. */
static void sort_strings(struct trie *t, struct arena *a, const struct bytes *str, uint32_t n)
{
    struct entry *list = mem_alloc((n + 1) * sizeof *list);
    for (uint32_t i = 0; i < n; i++) list[i] = (struct entry){ str[i], i };
    qsort(list, n, sizeof *list, item_cmp);
    struct bytes *out = arena_small(a, (n + 1) * sizeof *out);
    t->id = arena_small(a, (n + 1) * sizeof *t->id);
    for (uint32_t i = 0; i < n; i++) {
        if (i && list[i].s.len == list[i - 1].s.len &&
            !memcmp(list[i].s.p, list[i - 1].s.p, list[i].s.len))
            continue;
        out[t->n_str] = list[i].s;
        t->id[t->n_str++] = list[i].id;
    }
    t->str = out;
    mem_free(list);
}

/* Opens the children of node i, whose strings agree on the first `depth` bytes. */
static void grow(struct trie *t, uint32_t i, size_t depth, struct tnode *out)
{
    struct tnode *p = &t->node[i];
    uint32_t r = p->lo;
    p->is_leaf = r < p->hi && t->str[r].len == depth;
    if (p->is_leaf) r++;
    p->child = t->n_node;
    while (r < p->hi) {
        uint8_t b = (uint8_t)t->str[r].p[depth];
        uint32_t end = r + 1;
        while (end < p->hi && (uint8_t)t->str[end].p[depth] == b) end++;
        out[t->n_node++] =
            (struct tnode){ .lo = r, .hi = end, .byte = b, .depth = (uint32_t)depth + 1 };
        p->n_child++;
        r = end;
    }
}

bool trie_build(struct trie *t, struct arena *a, const struct bytes *str, uint32_t n,
                uint32_t *used)
{
    *t = (struct trie){ .id_cost = NONE };
    sort_strings(t, a, str, n);
    size_t most = 1;  /* exact: bytes not shared with the string before */
    for (uint32_t i = 0; i < t->n_str; i++) {
        size_t same = 0;
        if (i)
            while (same < t->str[i].len && same < t->str[i - 1].len &&
                   t->str[i].p[same] == t->str[i - 1].p[same])
                same++;
        most += t->str[i].len - same;
    }
    if (most > MOST_TRIE - *used) return false;
    *used += (uint32_t)most;
    t->node = arena_alloc(a, most * sizeof *t->node);
    t->node[0] = (struct tnode){ .hi = t->n_str };
    t->n_node = 1;
    size_t depth = 0;
    for (uint32_t i = 0, level_end = 1; i < t->n_node; i++) {
        if (i == level_end) { depth++; level_end = t->n_node; }
        grow(t, i, depth, t->node);
    }
    return true;
}
