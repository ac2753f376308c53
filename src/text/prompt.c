/* prompt.c -- a rendered prompt: text pieces and special-token pieces in order.
 *
 * The bytes of all pieces joined are what a Jinja template would print; the pieces say which of
 * them are tokens that only we may write. Neighbouring text pieces become one, so that BPE sees the
 * text as it would in one string. */
#include "text/int.h"

void prompt_done(struct prompt *p)
{
    str_done(&p->text);
    mem_free(p->piece);
    *p = (struct prompt){ 0 };
}

static void add_piece(struct prompt *p, bool special, const char *s, size_t len)
{
    struct piece *last = p->n_piece ? &p->piece[p->n_piece - 1] : NULL;
    if (!len) return;
    if (last && !special && !last->special) {
        last->len += len;
    } else {
        MEM_GROW(p->piece, p->n_piece, p->cap);
        p->piece[p->n_piece++] = (struct piece){ special, p->text.len, len };
    }
    str_put(&p->text, s, len);
}

void prompt_text(struct prompt *p, const char *s, size_t len) { add_piece(p, false, s, len); }
void prompt_puts(struct prompt *p, const char *s) { add_piece(p, false, s, strlen(s)); }
void prompt_special(struct prompt *p, const char *token)
{
    add_piece(p, true, token, strlen(token));
}

/* A special token that this vocabulary does not have is written out as text, as any tokenizer
 * would. *inside: the last piece was text. */
static bool put_piece(const struct tokenizer *t, bool special, const char *s, size_t len,
                      bool *inside, struct ids *out, struct err *e)
{
    int32_t id = special ? strmap_find(&t->special, s, len) : -1;
    unsigned flags = *inside ? TOK_INSIDE : 0;
    *inside = id < 0;
    if (id < 0) return tok_encode(t, s, len, flags, out, e);
    ids_put(out, id);
    return true;
}

bool prompt_tokens(const struct prompt *p, const struct tokenizer *t, struct ids *out,
                   struct err *e)
{
    size_t from = out->n;
    bool inside = false;
    if (t->add_bos) ids_put(out, t->bos);
    for (size_t i = 0; i < p->n_piece; i++) {
        const char *s = p->text.p + p->piece[i].off;
        if (!put_piece(t, p->piece[i].special, s, p->piece[i].len, &inside, out, e)) return false;
        /* The template wrote the bos token itself: one is enough. */
        if (!i && t->add_bos && p->piece[0].special && out->n == from + 2 &&
            out->id[from + 1] == t->bos)
            out->n--;
    }
    return true;
}
