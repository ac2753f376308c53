/* tails.c -- what the tokens below a node of the vocabulary trie are to a text that stands between code points there.
 *
 * Behind `"`, ` "` and `["` most tokens are content of the text that begins, whatever the text: they are one list, and the
 * words of a mask that they make. The others end the text and go on, or are no content at all. Every place at which a text
 * may begin asks for that, and there are few such nodes (the first quote of a token); so it is found out with the vocabulary. */
#include <stdlib.h>

#include "grammar/int.h"

/* All of it content; content up to a bare quote (*quote: its place, *len: code points before it); neither. */
enum tail { TAIL_NONE, TAIL_CONTENT, TAIL_QUOTE };
static enum tail read_tail(struct bytes b, uint32_t d, int esc, uint32_t *quote, uint32_t *len)
{
    uint16_t lex = LEX_NORMAL;
    uint32_t part = 0;
    *len = 0;
    for (size_t i = d; i < b.len; i++) {
        uint8_t x = (uint8_t)b.p[i], out[4];
        int n_out;
        if (lex == LEX_NORMAL && x < 0x80 && byte_is_bare(x)) { ++*len; continue; }
        enum lex_result r = lex_step(&lex, &part, esc, false, x, out, &n_out);
        if (r == LEX_CLOSE) { *quote = (uint32_t)i; return TAIL_QUOTE; }
        if (r == LEX_NO) return TAIL_NONE;
        if (lex == LEX_NORMAL) part = 0;
        *len += r == LEX_BEGIN;
    }
    return TAIL_CONTENT;
}

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
        uint32_t quote, len;
        if (b.len == d) continue;       /* the node's own */
        switch (read_tail(b, d, esc, &quote, &len)) {
        case TAIL_NONE: out->other[out->n_other++] = id; break;
        case TAIL_QUOTE:
            out->leaver[out->n_leaver++] = (struct leaver){ id, quote, len, { b.p + quote + 1, b.len - quote - 1 } };
            break;
        default:
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
