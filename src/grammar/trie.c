/* trie.c -- tries over literal strings: enum values, keys, names.
 *
 * Strings are sorted once; a node is a range of that order at one depth. Built breadth first, so the
 * children of a node are neighbours and sorted; what only one string has left is laid out at once.
 * 10 000 values cost a sort and one pass. */
#include <stdlib.h>

#include "grammar/int.h"

struct entry { uint64_t head; struct bytes s; uint32_t id; };         /* head: the first bytes, as a number that sorts as they do */

static int item_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->head != y->head) return x->head < y->head ? -1 : 1;
    int c = memcmp(x->s.p, y->s.p, MIN(x->s.len, y->s.len));
    if (c) return c;
    if (x->s.len != y->s.len) return x->s.len < y->s.len ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

enum { FEW_STRINGS = 24 };
static void sort_entries(struct entry *list, uint32_t n)
{
    if (n > FEW_STRINGS) {
        qsort(list, n, sizeof *list, item_cmp);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        struct entry e = list[i];
        uint32_t k = i;
        for (; k && item_cmp(&list[k - 1], &e) > 0; k--) list[k] = list[k - 1];
        list[k] = e;
    }
}

/* Sorts, drops duplicates, lays the strings out in rank order. */
static void sort_strings(struct trie *t, struct arena *a, const struct bytes *str, uint32_t n)
{
    struct entry few[FEW_STRINGS], *list = n > FEW_STRINGS ? mem_alloc(n * sizeof *list) : few;
    for (uint32_t i = 0; i < n; i++) list[i] = (struct entry){ text_head(str[i], 0), str[i], i };
    sort_entries(list, n);
    struct bytes *out = arena_small(a, (n + 1) * sizeof *out);
    t->id = arena_small(a, (n + 1) * sizeof *t->id);
    for (uint32_t i = 0; i < n; i++) {
        if (i && list[i].head == list[i - 1].head && list[i].s.len == list[i - 1].s.len &&
            !memcmp(list[i].s.p, list[i - 1].s.p, list[i].s.len))
            continue;
        out[t->n_str] = list[i].s;
        t->id[t->n_str++] = list[i].id;
    }
    t->str = out;
    if (list != few) mem_free(list);
}

/* The nodes below p, which has one string: each has the next one as its child. */
static void grow_alone(struct trie *t, struct tnode *p)
{
    struct bytes s = t->str[p->lo];
    for (uint32_t depth = p->depth; depth < s.len; depth++, p = &t->node[t->n_node++]) {
        p->child = t->n_node;
        p->n_child = 1;
        t->node[t->n_node] = (struct tnode){ .lo = p->lo, .hi = p->hi, .byte = (uint8_t)s.p[depth], .depth = depth + 1 };
    }
    p->child = t->n_node;
    p->is_leaf = true;
}

/* Opens the children of node i, whose strings agree on the first `depth` bytes. */
static void grow(struct trie *t, uint32_t i, struct tnode *out)
{
    struct tnode *p = &t->node[i];
    uint32_t r = p->lo, depth = p->depth;
    if (p->child) return;               /* laid out before */
    if (p->hi == p->lo + 1) {
        grow_alone(t, p);
        return;
    }
    p->is_leaf = r < p->hi && t->str[r].len == depth;
    if (p->is_leaf) r++;
    p->child = t->n_node;
    while (r < p->hi) {
        uint8_t b = (uint8_t)t->str[r].p[depth];
        uint32_t end = r + 1;
        while (end < p->hi && (uint8_t)t->str[end].p[depth] == b) end++;
        out[t->n_node++] =
            (struct tnode){ .lo = r, .hi = end, .byte = b, .depth = depth + 1 };
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
    for (uint32_t i = 0; i < t->n_node; i++) grow(t, i, t->node);
    return true;
}
