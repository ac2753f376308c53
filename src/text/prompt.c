/* prompt.c -- a rendered prompt: its bytes, whose they are, and the tokens they become.
 *
 * The bytes of all pieces joined are what a Jinja template prints; the pieces say which of them stand
 * in the template and which came from outside. Special tokens are looked for in the former only.
 * What lies between two of them is encoded as one text, whoever wrote its parts: merges cross the
 * borders of pieces exactly as they do where the whole prompt is tokenized at once. */
#include "text/int.h"

void prompt_done(struct prompt *p)
{
    str_done(&p->text);
    mem_free(p->piece);
    *p = (struct prompt){ 0 };
}

void prompt_put(struct prompt *p, bool trusted, const char *s, size_t len)
{
    struct piece *last = p->n_piece ? &p->piece[p->n_piece - 1] : NULL;
    if (!len) return;
    if (last && trusted == last->trusted) {
        last->len += len;
    } else {
        MEM_GROW(p->piece, p->n_piece, p->cap);
        p->piece[p->n_piece++] = (struct piece){ trusted, p->text.len, len };
    }
    str_put(&p->text, s, len);
}

void prompt_text(struct prompt *p, const char *s, size_t len) { prompt_put(p, false, s, len); }
void prompt_puts(struct prompt *p, const char *s) { prompt_put(p, false, s, strlen(s)); }
void prompt_special(struct prompt *p, const char *token)
{
    prompt_put(p, true, token, strlen(token));
}

bool prompt_parts(const struct prompt *p, const struct tokenizer *t, struct prompt_part **parts,
                  size_t *n, struct err *e)
{
    struct finds at = { 0 };
    if (!tok_find(t, p, &at, e)) return false;
    struct prompt_part *list = mem_alloc((2 * at.n + 1) * sizeof *list);
    size_t done = 0;
    *n = 0;
    for (size_t i = 0; i < at.n; i++) {
        if (at.f[i].pos > done)
            list[(*n)++] = (struct prompt_part){ -1, done, at.f[i].pos - done };
        list[(*n)++] = (struct prompt_part){ at.f[i].id, at.f[i].pos, at.f[i].len };
        done = at.f[i].pos + at.f[i].len;
    }
    if (p->text.len > done) list[(*n)++] = (struct prompt_part){ -1, done, p->text.len - done };
    mem_free(at.f);
    *parts = list;
    return true;
}

bool prompt_tokens(const struct prompt *p, const struct tokenizer *t, struct ids *out,
                   struct err *e)
{
    struct prompt_part *part = NULL;
    size_t n = 0;
    if (!prompt_parts(p, t, &part, &n, e)) return false;
    /* A template that writes the bos token itself: one is enough. */
    if (t->add_bos && !(n && part[0].id == t->bos)) ids_put(out, t->bos);
    for (size_t i = 0; i < n; i++) {
        if (part[i].id >= 0) ids_put(out, part[i].id);
        else tok_put_text(t, p->text.p + part[i].off, part[i].len, !i || part[i - 1].id >= 0, out);
    }
    mem_free(part);
    return true;
}
