/* pointer.c -- where a node lies: "tool x: /properties/a/pattern: why", for refusals and for what is relaxed.
 *
 * Nodes know their parent and how it leads to them, so a JSON pointer is made when somebody wants to read it. What a
 * reference led to is named from the root of its document, as the reference says it. */
#include "grammar/int.h"

static void pointer_part(struct str *out, struct bytes b)
{
    str_putc(out, '/');
    for (size_t i = 0; i < b.len; i++) {
        if (b.p[i] == '~') str_puts(out, "~0");
        else if (b.p[i] == '/') str_puts(out, "~1");
        else str_putc(out, b.p[i]);
    }
}

static void pointer_of(const struct grammar *g, uint32_t node, struct str *out)
{
    uint32_t chain[256];
    int n = 0;
    for (; node != NONE && node != NODE_ANY_OBJECT && n < 256; node = node_at(g, node)->parent) {
        chain[n++] = node;
        /* reached by $ref: named from the root */
        if (node_at(g, node)->kw && *node_at(g, node)->kw == '#') break;
    }
    while (n-- > 0) {
        const struct node *p = node_at(g, chain[n]);
        if (p->kw && *p->kw == '#') { str_puts(out, p->kw + 1); continue; }
        if (p->kw && *p->kw) pointer_part(out, (struct bytes){ p->kw, strlen(p->kw) });
        if (p->name.p) pointer_part(out, p->name);
    }
}

static void place(const struct grammar *g, uint32_t node, const char *kw, struct str *out)
{
    str_puts(out, node == NODE_ANY_OBJECT ? "" : g->s.doc[node_at(g, node)->doc].where);
    str_puts(out, ": ");
    pointer_of(g, node, out);
    if (*kw) pointer_part(out, (struct bytes){ kw, strlen(kw) });
    if (out->len > 300) { out->len = utf8_whole(out->p, 300); out->p[out->len] = 0; }
}

bool schemas_fail(const struct grammar *g, struct err *e, uint32_t node, enum err_code c,
                  const char *kw, const char *fmt, ...)
{
    char what[256];
    struct str where = { 0 };
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    place(g, node, kw, &where);
    err_set(e, c, "%s: %s", where.p, what);
    str_done(&where);
    return false;
}

void schemas_relaxed_as(struct grammar *g, const char *what)
{
    for (size_t i = 0; i < g->n_relaxed; i++)
        if (!strcmp(g->relaxed[i], what)) return;
    if (g->n_relaxed >= 1000) return;
    MEM_GROW(g->relaxed, g->n_relaxed, g->s.cap_relaxed);
    g->relaxed[g->n_relaxed++] = arena_str(&g->mem, what, strlen(what));
}

void schemas_relaxed(struct grammar *g, uint32_t node, const char *kw)
{
    struct str where = { 0 };
    place(g, node, kw, &where);
    schemas_relaxed_as(g, where.p);
    str_done(&where);
}
