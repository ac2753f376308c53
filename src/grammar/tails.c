/* tails.c -- what the tokens below a node of the vocabulary trie are to a text that stands between code points there.
 *
 * Behind `"`, ` "` and `["` most tokens are content of the text that begins, whatever the text: they are one list, and the
 * words of a mask that they make. The others end the text and go on, or are no content at all. Every place at which a text
 * may begin asks for that, and there are few such nodes (the first quote of a token); so it is found out with the vocabulary. */
#include <stdlib.h>

#include "grammar/int.h"

void tails_make(const struct vocab *v, uint32_t node, int esc, struct arena *a, struct tails *out)
{
    const struct vtrie *t = &v->all;
    uint32_t lo = t->first[node], n = t->first[t->skip[node]] - lo, d = t->depth[node];
    *out = (struct tails){ .node = node };
    out->content = arena_alloc(a, (n + 1) * sizeof *out->content);
    out->leaver = arena_alloc(a, (n + 1) * sizeof *out->leaver);
    out->other = arena_alloc(a, (n + 1) * sizeof *out->other);
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = t->list[lo + i];
        struct bytes b = v->bytes[id];
        int quote, pending, len;
        if (b.len == d) continue;       /* the node's own */
        len = content_len((struct bytes){ b.p + d, b.len - d }, esc, &quote, &pending);
        if (len < 0) out->other[out->n_other++] = id;
        else if (quote >= 0) {
            size_t at = d + (size_t)quote;
            out->leaver[out->n_leaver++] = (struct leaver){ id, (uint32_t)at, (uint32_t)len, { b.p + at + 1, b.len - at - 1 } };
        } else {
            out->content[out->n_content++] = id;
            out->longest = MAX(out->longest, (uint32_t)b.len - d);
        }
    }
}

static int id_cmp(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int rest_cmp(const void *a, const void *b)
{
    const struct leaver *x = a, *y = b;
    int c = memcmp(x->rest.p, y->rest.p, MIN(x->rest.len, y->rest.len));
    return c ? c : (x->rest.len > y->rest.len) - (x->rest.len < y->rest.len);
}

/* Content as words of a mask. */
static void make_words(struct tails *t, struct arena *a)
{
    if (t->n_content) qsort(t->content, t->n_content, sizeof *t->content, id_cmp);
    t->word = arena_alloc(a, (t->n_content + 1) * sizeof *t->word);
    for (uint32_t i = 0; i < t->n_content; i++) {
        uint32_t at = (uint32_t)t->content[i] / 32;
        if (!t->n_word || t->word[t->n_word - 1].at != at) t->word[t->n_word++] = (struct mask_word){ at, 0 };
        t->word[t->n_word - 1].bits |= 1u << (t->content[i] % 32);
    }
}

void tails_build(struct vocab *v, int esc)
{
    const struct vtrie *t = &v->all;
    uint32_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) v->tails[esc] = arena_alloc(&v->mem, (n + 1) * sizeof *v->tails[esc]);
        for (uint32_t i = 0; i < t->n; i = t->byte[i] == '"' ? t->skip[i] : i + 1) {
            if (t->byte[i] != '"' || t->skip[i] == i + 1) continue;
            if (!pass) { n++; continue; }
            struct tails *own = &v->tails[esc][v->n_tails[esc]++];
            tails_make(v, i, esc, &v->mem, own);
            make_words(own, &v->mem);
            if (own->n_leaver) qsort(own->leaver, own->n_leaver, sizeof *own->leaver, rest_cmp);
        }
    }
}

const struct tails *tails_find(const struct vocab *v, uint32_t node, int esc)
{
    uint32_t lo = 0, hi = v->n_tails[esc];
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (v->tails[esc][mid].node < node) lo = mid + 1;
        else hi = mid;
    }
    return lo < v->n_tails[esc] && v->tails[esc][lo].node == node ? &v->tails[esc][lo] : NULL;
}
