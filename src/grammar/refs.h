/* refs.h -- where schemas point to: resources, anchors, documents elsewhere, dialects.
 *
 * A resource is a document or a schema inside one with an $id of its own (`id` in draft 4). A spot is
 * a schema and the resource it stands in, which settles what its references mean and which keywords
 * count. Opening costs nothing but a look at the root; documents are indexed when a reference first
 * needs more than a pointer into its own resource. Used by the schema compiler and by the check of
 * finished values. One thread at a time per struct refs. */
#ifndef TENON_GRAMMAR_REFS_H
#define TENON_GRAMMAR_REFS_H

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"

enum draft { DRAFT4 = 4, DRAFT6 = 6, DRAFT7 = 7, DRAFT2019 = 8, DRAFT2020 = 9 };

struct res {
    const struct json *root;
    const char *base;                   /* absolute, unless no enclosing $id is: then relative or empty; no fragment */
    enum draft draft;                   /* by the resource's own $schema, else by whoever embeds or refers to it */
    bool asserts;                       /* false: its metaschema leaves out the validation vocabulary ($vocabulary) */
    bool asserts_format;                /* formats count: an option, or the metaschema's format-assertion vocabulary */
};
struct spot { const struct json *v; uint32_t res; };

struct refs;
/* root is lent and must live and stay unchanged as long as the refs. Draft: o->draft, else $schema, else
 * 2020-12. o may be NULL. ERR_ARG for an unknown o->draft. */
struct refs *refs_open(const struct json *root, const struct grammar_opts *o, struct err *e);
void         refs_close(struct refs *r);                              /* frees the documents it loaded */
struct spot  refs_root(const struct refs *r);                         /* the whole document; resource 0 */
const struct res *refs_res(const struct refs *r, uint32_t res);
/* v, a subschema met inside resource `res`: enters v's own resource if it has an $id (id). Cheap when it has none. */
struct spot refs_enter(struct refs *r, uint32_t res, const struct json *v);
/* What $ref (any draft) at a schema of resource `res` means. ERR_SCHEMA: it leads nowhere ("#/definitions/x is not
 * in the schema"); ERR_UNSUPPORTED: a document that nobody supplied (metaschemas of the drafts travel inside);
 * ERR_FORMAT, ERR_IO: one that cannot be read; ERR_LIMIT: absurd ids or nesting. */
bool refs_find(struct refs *r, uint32_t res, const char *ref, struct spot *to, struct err *e);
/* $dynamicRef (2020-12) and $recursiveRef (2019-09); scope[n]: resources entered on the way, outermost first,
 * the schema's own resource last. */
bool refs_find_dynamic(struct refs *r, uint32_t res, const char *ref, const uint32_t *scope, uint32_t n,
                       struct spot *to, struct err *e);
/* Does any resource known so far hold $dynamicAnchor or $recursiveAnchor? If not, scopes need not be kept. A
 * document is known once it is indexed, so the answer may turn to true in refs_find and refs_find_dynamic. */
bool refs_dynamic(const struct refs *r);

#endif
