/* refs.c -- finds what references of schemas mean.
 *
 * Everything known has a row in one hash table: resources by URI and by their root, anchors by
 * resource and name. Rows come into being late. Opening makes one for the root; refs_enter() and
 * pointers that cross an $id make those they meet; the full walk of a document, over the places where
 * schemas stand, happens when a reference first asks for a name or for another document. Values of
 * enum, const, default, examples and of keywords nobody knows are no such places: an $id inside them
 * names nothing, though a pointer may lead there.
 *
 * Where drafts differ: `id` is the keyword of draft 4; up to draft 7 an id that is only #name is an
 * anchor, and one beside $ref is not looked at. An anchor in the spelling of another draft is taken
 * if the name means nothing else.
 *
 * Bounded: depth of a walk, number of documents, length of one URI and of all together (the last two
 * are remembered and reported by the next refs_find, since entering cannot fail). */
#include <stdlib.h>
#include <sys/stat.h>

#include "grammar/int.h"

enum { MOST_WALK = 1000, MOST_DOC = 256, MOST_URI = 4096, MOST_DIALECT = 4 };
static const size_t MOST_URI_ALL = 16u << 20;
static const char remote_host[] = "http://localhost:1234/";

struct resource { struct res pub; uint32_t doc; };
struct document { const struct json *root; struct json *own; uint32_t res; bool indexed; };
/* BY_OTHER: an anchor spelled as in another draft.
 * BY_REF: what a reference from a resource has been found to mean: v in resource `at`. */
enum row_kind { BY_URI, BY_ROOT, BY_ANCHOR, BY_DYNAMIC, BY_OTHER, BY_REF };
struct row {
    uint64_t hash;
    enum row_kind kind;
    uint32_t res, at;
    const char *name;
    const struct json *v;
};
struct refs {
    struct arena mem;
    bool annotate, dynamic, walking;
    enum draft forced;                  /* of the root's document; 0: none */
    char *remotes;
    struct resource **res; uint32_t n_res, cap_res;
    struct document *doc; uint32_t n_doc, cap_doc;
    struct row *row; uint32_t n_row, cap_row;
    uint32_t *slot, n_slot;
    size_t uri_bytes;
    int dialect_depth;
    struct err late;
};

/* ---- the table ------------------------------------------------------------------------------- */

static uint64_t row_hash(enum row_kind kind, uint32_t res, const char *name, const struct json *v)
{
    uint64_t seed = (uint64_t)res * 8 + kind;
    return kind == BY_ROOT ? hash64(&v, sizeof v, kind)
                           : hash64(name, strlen(name), kind == BY_URI ? kind : seed);
}

static bool row_is(const struct row *p, uint64_t hash, enum row_kind kind, uint32_t res,
                   const char *name, const struct json *v)
{
    if (p->hash != hash || p->kind != kind) return false;
    if (kind == BY_ROOT) return p->v == v;
    return (kind == BY_URI || p->res == res) && !strcmp(p->name, name);
}

static const struct row *row_get(const struct refs *r, enum row_kind kind, uint32_t res,
                                 const char *name, const struct json *v)
{
    if (!r->n_slot) return NULL;
    uint64_t h = row_hash(kind, res, name, v);
    for (uint32_t i = (uint32_t)h & (r->n_slot - 1); r->slot[i]; i = (i + 1) & (r->n_slot - 1))
        if (row_is(&r->row[r->slot[i] - 1], h, kind, res, name, v)) return &r->row[r->slot[i] - 1];
    return NULL;
}

static void row_link(struct refs *r, uint32_t at)
{
    uint32_t i = (uint32_t)r->row[at].hash & (r->n_slot - 1);
    while (r->slot[i]) i = (i + 1) & (r->n_slot - 1);
    r->slot[i] = at + 1;
}

/* What is there already stays: the first of two with one name counts. */
static void row_put(struct refs *r, enum row_kind kind, uint32_t res, const char *name,
                    const struct json *v)
{
    if (row_get(r, kind, res, name, v)) return;
    if (r->n_row * 2 >= r->n_slot) {
        r->n_slot = r->n_slot ? r->n_slot * 2 : 16;
        mem_free(r->slot);
        r->slot = mem_zero(r->n_slot * sizeof *r->slot);
        for (uint32_t i = 0; i < r->n_row; i++) row_link(r, i);
    }
    MEM_GROW(r->row, r->n_row, r->cap_row);
    r->row[r->n_row++] = (struct row){ row_hash(kind, res, name, v), kind, res, res, name, v };
    row_link(r, r->n_row - 1);
}

static uint32_t res_at_uri(const struct refs *r, const char *uri)
{
    const struct row *p = row_get(r, BY_URI, 0, uri, NULL);
    return p ? p->res : NONE;
}

/* ---- dialects -------------------------------------------------------------------------------- */

static const struct { const char *name, *short_name; enum draft draft; } standard[] = {
    { "json-schema.org/draft/2020-12/schema", "2020-12", DRAFT2020 },
    { "json-schema.org/draft-07/schema",      "draft-07", DRAFT7 },
    { "json-schema.org/draft-04/schema",      "draft-04", DRAFT4 },
    { "json-schema.org/draft/2019-09/schema", "2019-09", DRAFT2019 },
    { "json-schema.org/draft-06/schema",      "draft-06", DRAFT6 },
};

/* The draft whose metaschema this is; 0: none of ours. */
static enum draft standard_draft(const char *uri)
{
    const char *p = strstr(uri, "://");
    size_t n = strlen(p = p ? p + 3 : uri);
    if (n && p[n - 1] == '#') n--;
    for (size_t i = 0; i < LEN(standard); i++)
        if (strlen(standard[i].name) == n && !memcmp(standard[i].name, p, n))
            return standard[i].draft;
    return 0;
}

/* A draft meant by a metaschema that nobody can read ("http://example.org/draft-04/our-schema"). */
static enum draft resembling_draft(const char *uri)
{
    for (size_t i = 0; i < LEN(standard); i++)
        if (strstr(uri, standard[i].short_name)) return standard[i].draft;
    return strstr(uri, "draft-03") ? DRAFT4 : 0;
}

static bool span_ends_with(const char *s, size_t n, const char *end)
{
    return n >= strlen(end) && !memcmp(s + n - strlen(end), end, strlen(end));
}

/* What a metaschema's $vocabulary leaves out, and whether it makes formats count. */
static void read_vocabulary(const struct json *list, struct res *res)
{
    res->asserts = false;
    for (struct json_iter it = json_iter(list); json_next(&it); ) {
        res->asserts |= span_ends_with(it.key, it.key_len, "/vocab/validation");
        res->asserts_format |= span_ends_with(it.key, it.key_len, "2020-12/vocab/format-assertion");
        res->asserts_format |=
            span_ends_with(it.key, it.key_len, "2019-09/vocab/format") && json_bool(it.value);
    }
}

static uint32_t document_at(struct refs *r, const char *uri, const struct res *like, struct err *e);

/* Fills draft and vocabularies of a resource whose root says $schema. */
static void read_dialect(struct refs *r, const char *schema, struct res *res)
{
    enum draft d = standard_draft(schema);
    if (d) {
        res->draft = d;
        res->asserts = true;
        res->asserts_format = !r->annotate;
        return;
    }
    size_t n = strcspn(schema, "#");
    if (n > MOST_URI || r->dialect_depth >= MOST_DIALECT) return;
    r->dialect_depth++;
    uint32_t at = document_at(r, arena_str(&r->mem, schema, n), res, NULL);
    r->dialect_depth--;
    if (at == NONE) {
        if ((d = resembling_draft(schema))) res->draft = d;
        return;
    }
    const struct res *meta = &r->res[at]->pub;
    const struct json *list = json_get(meta->root, "$vocabulary");
    res->draft = meta->draft;
    if (json_is(list, JSON_OBJECT)) read_vocabulary(list, res);
}

static bool draft_named(const char *name, enum draft *d, struct err *e)
{
    static const struct { const char *name; enum draft d; } all[] = {
        { "draft4", DRAFT4 }, { "draft-04", DRAFT4 }, { "draft6", DRAFT6 }, { "draft-06", DRAFT6 },
        { "draft7", DRAFT7 }, { "draft-07", DRAFT7 }, { "draft2019-09", DRAFT2019 },
        { "2019-09", DRAFT2019 }, { "draft2020-12", DRAFT2020 }, { "2020-12", DRAFT2020 } };
    for (size_t i = 0; i < LEN(all); i++)
        if (!strcmp(all[i].name, name)) { *d = all[i].d; return true; }
    if ((*d = standard_draft(name))) return true;
    return err_set(e, ERR_ARG,
                   "draft %.40s is unknown; accepted are draft4, draft6, draft7, draft2019-09 "
                   "and draft2020-12",
                   name);
}

/* ---- resources ------------------------------------------------------------------------------- */

/* What v calls itself as a resource of its own; NULL: it is none. */
static const char *id_of(const struct json *v, enum draft d)
{
    const char *id = json_str(json_get(v, d == DRAFT4 ? "id" : "$id"), NULL);
    if (!id || *id == '#') return NULL;
    return d <= DRAFT7 && json_is(json_get(v, "$ref"), JSON_STRING) ? NULL : id;
}

/* id against base, kept; the base itself, and an error for later, when it is too long. */
static const char *base_of(struct refs *r, const char *base, const char *id)
{
    struct str uri = { 0 };
    size_t n = strcspn(id, "#");
    if (n <= MOST_URI) uri_resolve(&uri, base, id, n);
    bool ok = n <= MOST_URI && uri.len <= MOST_URI && r->uri_bytes + uri.len <= MOST_URI_ALL;
    if (ok) {
        base = arena_str(&r->mem, uri.p ? uri.p : "", uri.len);
        r->uri_bytes += uri.len;
    } else {
        err_set(&r->late, ERR_LIMIT, "an $id of more than %d bytes, or too many long ones: %.40s…",
                MOST_URI, id);
    }
    str_done(&uri);
    return base;
}

/* A new resource. id NULL: a document, which is named by base unless it says otherwise. */
static uint32_t res_add(struct refs *r, uint32_t doc, const struct json *root, const char *base,
                        const char *id, const struct res *like)
{
    struct resource *p = arena_zero(&r->mem, sizeof *p);
    uint32_t at = r->n_res;
    MEM_GROW(r->res, r->n_res, r->cap_res);
    r->res[r->n_res++] = p;
    p->doc = doc;
    p->pub = *like;
    p->pub.root = root;
    p->pub.base = base;
    if (!id && *base)
        row_put(r, BY_URI, at, base, NULL); /* before $schema is read: it may be this one */
    const char *schema = json_str(json_get(root, "$schema"), NULL);
    if (schema) read_dialect(r, schema, &p->pub);
    if (!doc && !id && r->forced) p->pub.draft = r->forced;
    if (!id) id = id_of(root, p->pub.draft);
    if (id) p->pub.base = base_of(r, base, id);
    row_put(r, BY_ROOT, at, NULL, root);
    row_put(r, BY_URI, at, p->pub.base, NULL);
    return at;
}

/* Its resource. */
static uint32_t doc_add(struct refs *r, const struct json *root, struct json *own, const char *uri,
                        const struct res *like)
{
    uint32_t at = r->n_doc;
    MEM_GROW(r->doc, r->n_doc, r->cap_doc);
    r->doc[r->n_doc++] = (struct document){ .root = root, .own = own };
    uint32_t res = res_add(r, at, root, uri, NULL, like);
    return r->doc[at].res = res;
}

static void walk(struct refs *r, const struct json *v, uint32_t res, int depth);

struct spot refs_enter(struct refs *r, uint32_t res, const struct json *v)
{
    const struct resource *in = r->res[res];
    const char *id = v == in->pub.root ? NULL : id_of(v, in->pub.draft);
    if (!id) return (struct spot){ v, res };
    const struct row *known = row_get(r, BY_ROOT, 0, NULL, v);
    if (known) return (struct spot){ v, known->res };
    uint32_t at = res_add(r, in->doc, v, in->pub.base, id, &in->pub);
    /* Indexing passed it by: it stands below a keyword nobody knows, where a pointer led to. */
    if (r->doc[in->doc].indexed && !r->walking) walk(r, v, at, 0);
    return (struct spot){ v, at };
}

/* ---- where schemas stand --------------------------------------------------------------------- */

/* What a place of a document holds: one schema, a list or a map of them, or just values. */
enum place {
    P_VALUE, P_SCHEMA, P_LIST, P_MAP,
    P_SOME,                             /* one schema or a list */
    P_NAME                              /* an anchor or id */
};
static const struct { const char *key; enum place place; } places[] = { /* sorted */
    { "$anchor", P_NAME }, { "$defs", P_MAP }, { "$dynamicAnchor", P_NAME }, { "$id", P_NAME },
    { "$recursiveAnchor", P_NAME }, { "additionalItems", P_SCHEMA },
    { "additionalProperties", P_SCHEMA }, { "allOf", P_LIST }, { "anyOf", P_LIST },
    { "contains", P_SCHEMA }, { "contentSchema", P_SCHEMA }, { "definitions", P_MAP },
    { "dependencies", P_MAP }, { "dependentSchemas", P_MAP }, { "else", P_SCHEMA },
    { "id", P_NAME }, { "if", P_SCHEMA }, { "items", P_SOME }, { "not", P_SCHEMA },
    { "oneOf", P_LIST }, { "patternProperties", P_MAP }, { "prefixItems", P_LIST },
    { "properties", P_MAP }, { "propertyNames", P_SCHEMA }, { "then", P_SCHEMA },
    { "unevaluatedItems", P_SCHEMA }, { "unevaluatedProperties", P_SCHEMA },
};

static enum place place_of(const char *key)
{
    size_t lo = 0, hi = LEN(places);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(key, places[mid].key);
        if (!c) return places[mid].place;
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return P_VALUE;
}

/* The place of v, a child under `key` of something that stands at `place`. */
static enum place place_below(enum place place, const char *key, const struct json *v)
{
    bool list = json_is(v, JSON_ARRAY);
    if (place == P_LIST || place == P_MAP) return list ? P_VALUE : P_SCHEMA;
    if (place != P_SCHEMA) return P_VALUE;
    enum place below = place_of(key);
    return below == P_SOME ? (list ? P_LIST : P_SCHEMA) : below == P_NAME ? P_VALUE : below;
}

/* An anchor of schema v in resource res, as keyword `key` says it. */
static void note_name(struct refs *r, uint32_t res, const char *key, const struct json *name,
                      const struct json *v)
{
    enum draft d = r->res[res]->pub.draft;
    const char *s = json_str(name, NULL);
    if (!strcmp(key, "$recursiveAnchor")) {
        r->dynamic |= d == DRAFT2019 && json_bool(name);
    } else if (s && *key == '$' && key[1] != 'i') {
        bool dynamic = key[1] == 'd';
        row_put(r, d >= (dynamic ? DRAFT2020 : DRAFT2019) ? BY_ANCHOR : BY_OTHER, res, s, v);
        if (!dynamic || d != DRAFT2020) return;
        row_put(r, BY_DYNAMIC, res, s, v);
        r->dynamic = true;
    } else if (s && (s = strchr(s, '#')) && s[1]) {
        bool ours = d <= DRAFT7 && (d == DRAFT4) == (*key == 'i') &&
                    !json_is(json_get(v, "$ref"), JSON_STRING);
        row_put(r, ours ? BY_ANCHOR : BY_OTHER, res, s + 1, v);
    }
}

/* v stands at `place` in resource res: all schemas in it. */
static void walk_place(struct refs *r, const struct json *v, enum place place, uint32_t res,
                       int depth)
{
    if (place == P_SCHEMA) walk(r, v, res, depth);
    for (size_t i = 0; place == P_LIST && i < json_len(v) && json_is(v, JSON_ARRAY); i++)
        walk(r, json_at(v, i), res, depth);
    if (place != P_MAP || !json_is(v, JSON_OBJECT)) return;
    for (struct json_iter it = json_iter(v); json_next(&it); ) walk(r, it.value, res, depth);
}

/* Notes what schema v and those below it are called. */
static void walk(struct refs *r, const struct json *v, uint32_t res, int depth)
{
    if (!json_is(v, JSON_OBJECT)) return;
    if (depth > MOST_WALK) {
        err_set(&r->late, ERR_LIMIT, "a schema nested deeper than %d", MOST_WALK);
        return;
    }
    res = refs_enter(r, res, v).res;
    for (struct json_iter it = json_iter(v); json_next(&it); ) {
        enum place p = place_of(it.key);
        if (p == P_NAME) note_name(r, res, it.key, it.value, v);
        else if (p != P_VALUE)
            walk_place(r, it.value, place_below(P_SCHEMA, it.key, it.value), res, depth + 1);
    }
}

static void doc_index(struct refs *r, uint32_t doc)
{
    if (r->doc[doc].indexed) return;
    r->doc[doc].indexed = true;
    const struct json *root = r->doc[doc].root;
    uint32_t res = r->doc[doc].res;
    r->walking = true;
    walk(r, root, res, 0);
    r->walking = false;
    /* The root's name in the spelling of another draft, if it is nobody else's. */
    const char *id =
        json_str(json_get(root, r->res[res]->pub.draft == DRAFT4 ? "$id" : "id"), NULL);
    size_t n = id ? strcspn(id, "#") : 0;
    if (n && n <= MOST_URI) row_put(r, BY_URI, res, arena_str(&r->mem, id, n), NULL);
}

/* ---- documents ------------------------------------------------------------------------------- */

/* The file a URI below remote_host names; NULL if there is none inside of the folder. */
static char *remote_path(const struct refs *r, const char *uri)
{
    if (!r->remotes || strncmp(uri, remote_host, sizeof remote_host - 1)) return NULL;
    struct str path = { 0 };
    str_fmt(&path, "%s/%s", r->remotes, uri + sizeof remote_host - 1);
    char *root = realpath(r->remotes, NULL), *file = realpath(path.p, NULL);
    size_t n = root ? strlen(root) : 0;
    bool inside =
        file && root && !strncmp(file, root, n) && (file[n] == '/' || (n && root[n - 1] == '/'));
    struct stat st;
    inside = inside && !stat(file, &st) && S_ISREG(st.st_mode); /* no folder, no pipe to wait for */
    str_done(&path);
    free(root);
    if (inside) return file;
    free(file);
    return NULL;
}

static uint32_t doc_load(struct refs *r, const char *uri, const struct res *like, struct err *e)
{
    const struct json *root = metaschema_get(uri);
    struct json *own = NULL;
    char *path = root ? NULL : remote_path(r, uri);
    bool found = root || path;
    if (path) root = own = json_read(path, e);
    free(path);
    if (root) {
        if (r->n_doc < MOST_DOC) return doc_add(r, root, own, uri, like);
        err_set(e, ERR_LIMIT, "more than %d documents", MOST_DOC);
        json_free(own);
    } else if (found) {
        err_in(e, "%.120s", uri);
    } else {
        err_set(e, ERR_UNSUPPORTED,
                "$ref %.120s: that document is not at hand; accepted are the schema itself and "
                "the metaschemas of the drafts%s",
                uri,
                r->remotes ? ", and http://localhost:1234/… from the folder of remote schemas"
                           : "");
    }
    return NONE;
}

/* The resource of that URI, wherever it may be. uri: kept if a document is loaded. */
static uint32_t document_at(struct refs *r, const char *uri, const struct res *like, struct err *e)
{
    uint32_t at = res_at_uri(r, uri);
    return at != NONE ? at : doc_load(r, uri, like, e);
}

static uint32_t res_find(struct refs *r, uint32_t res, const char *ref, size_t n, struct err *e)
{
    const struct res *in = &r->res[res]->pub;
    struct str uri = { 0 };
    if (n <= MOST_URI) uri_resolve(&uri, in->base, ref, n);
    if (n > MOST_URI || uri.len > MOST_URI) {
        str_done(&uri);
        err_set(e, ERR_LIMIT, "a reference of more than %d bytes", MOST_URI);
        return NONE;
    }
    const char *name = uri.p ? uri.p : "";
    uint32_t at = strcmp(name, in->base) ? res_at_uri(r, name) : res;
    for (uint32_t i = 0; at == NONE && i < r->n_doc; i++) {
        if (r->doc[i].indexed) continue;
        doc_index(r, i);
        at = res_at_uri(r, name);
    }
    if (at == NONE) at = document_at(r, arena_str(&r->mem, name, uri.len), in, e);
    str_done(&uri);
    return at;
}

/* ---- fragments ------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static void percent_decode(struct str *out, const char *p)
{
    for (; *p; p++) {
        int hi = *p == '%' ? hex_value(p[1]) : -1, lo = hi >= 0 ? hex_value(p[2]) : -1;
        str_putc(out, lo >= 0 ? (char)(hi * 16 + lo) : *p);
        if (lo >= 0) p += 2;
    }
}

/* The segment [p, end) of a pointer, ~ decoded and closed with NUL, into out, which has room. */
static void segment(const char *p, const char *end, char *out)
{
    for (; p < end; p++) {
        bool escape = *p == '~' && p + 1 < end && (p[1] == '0' || p[1] == '1');
        *out++ = !escape ? *p : *++p == '0' ? '~' : '/';
    }
    *out = 0;
}

static const struct json *child(const struct json *v, const char *name)
{
    if (json_is(v, JSON_OBJECT)) return json_get(v, name);
    if (!json_is(v, JSON_ARRAY) || *name < '0' || *name > '9' || (*name == '0' && name[1]))
        return NULL;
    char *stop;
    unsigned long i = strtoul(name, &stop, 10);
    return *stop || i >= json_len(v) ? NULL : json_at(v, i);
}

/* Follows a pointer from the root of resource at->res; enters the resources it comes through. */
static bool find_pointer(struct refs *r, const char *p, struct spot *at)
{
    char small[128], *name = small, *big = NULL;
    enum place place = P_SCHEMA;
    if (strlen(p) >= sizeof small) name = big = mem_alloc(strlen(p) + 1);
    at->v = r->res[at->res]->pub.root;
    while (at->v && *p == '/') {
        p++;
        const char *end = p + strcspn(p, "/");
        segment(p, end, name);
        p = end;
        at->v = child(at->v, name);
        place = at->v ? place_below(place, name, at->v) : P_VALUE;
        if (place == P_SCHEMA) *at = refs_enter(r, at->res, at->v);
    }
    mem_free(big);
    return at->v != NULL;
}

static bool find_anchor(struct refs *r, const char *name, struct spot *at)
{
    doc_index(r, r->res[at->res]->doc);
    const struct row *p = row_get(r, BY_ANCHOR, at->res, name, NULL);
    if (!p) p = row_get(r, BY_OTHER, at->res, name, NULL);
    at->v = p ? p->v : NULL;
    return p != NULL;
}

/* frag: what follows the #, in resource at->res. */
static bool find_fragment(struct refs *r, const char *frag, struct spot *at)
{
    struct str plain = { 0 };
    if (strchr(frag, '%')) {
        percent_decode(&plain, frag);
        if (strlen(plain.p) != plain.len) {             /* no name holds U+0000 */
            str_done(&plain);
            return false;
        }
        frag = plain.p;
    }
    bool ok = true;
    if (!*frag) at->v = r->res[at->res]->pub.root;
    else ok = *frag == '/' ? find_pointer(r, frag, at) : find_anchor(r, frag, at);
    str_done(&plain);
    return ok;
}

/* ---- doors ----------------------------------------------------------------------------------- */

struct refs *refs_open(const struct json *root, const struct grammar_opts *o, struct err *e)
{
    enum draft forced = 0;
    if (o && o->draft && !draft_named(o->draft, &forced, e)) return NULL;
    struct refs *r = mem_zero(sizeof *r);
    arena_init(&r->mem, 1024);
    r->annotate = o && o->annotate_formats;
    r->forced = forced;
    r->remotes = o && o->remotes ? mem_str(o->remotes) : NULL;
    struct res like = { .base = "", .draft = forced ? forced : DRAFT2020, .asserts = true,
                        .asserts_format = !r->annotate };
    doc_add(r, root, NULL, "", &like);
    return r;
}

void refs_close(struct refs *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->n_doc; i++) json_free(r->doc[i].own);
    arena_done(&r->mem);
    mem_free(r->remotes);
    mem_free(r->res);
    mem_free(r->doc);
    mem_free(r->row);
    mem_free(r->slot);
    mem_free(r);
}

struct spot refs_root(const struct refs *r)
{
    return (struct spot){ r->doc[0].root, 0 };
}

const struct res *refs_res(const struct refs *r, uint32_t res)
{
    return &r->res[res]->pub;
}

bool refs_find(struct refs *r, uint32_t res, const char *ref, struct spot *to, struct err *e)
{
    const struct row *known = row_get(r, BY_REF, res, ref, NULL);
    if (known) {
        *to = (struct spot){ known->v, known->at };
        return true;
    }
    size_t n = strcspn(ref, "#");
    uint32_t at = n ? res_find(r, res, ref, n, e) : res;
    if (at == NONE) return false;
    *to = (struct spot){ NULL, at };
    bool ok = find_fragment(r, ref[n] ? ref + n + 1 : "", to);
    if (r->late.code) return err_set(e, r->late.code, "%s", r->late.msg);
    if (!ok) return err_set(e, ERR_SCHEMA, "$ref %.120s is not in the schema", ref);
    row_put(r, BY_REF, res, ref, to->v);
    r->row[r->n_row - 1].at = to->res;                  /* there was none before */
    return true;
}

bool refs_find_dynamic(struct refs *r, uint32_t res, const char *ref, const uint32_t *scope,
                       uint32_t n, struct spot *to, struct err *e)
{
    if (!refs_find(r, res, ref, to, e)) return false;
    const char *name = strchr(ref, '#');
    name = name ? name + 1 : "";
    doc_index(r, r->res[to->res]->doc);
    bool recursive = !*name && r->res[res]->pub.draft == DRAFT2019;
    const struct row *first =
        *name && *name != '/' ? row_get(r, BY_DYNAMIC, to->res, name, NULL) : NULL;
    if (recursive ? !json_bool(json_get(to->v, "$recursiveAnchor")) : !first || first->v != to->v)
        return true;                                    /* an ordinary reference */
    for (uint32_t i = 0; i < n; i++) {
        const struct resource *in = r->res[scope[i]];
        doc_index(r, in->doc);
        const struct row *p = recursive ? NULL : row_get(r, BY_DYNAMIC, scope[i], name, NULL);
        const struct json *v = recursive ? in->pub.root : p ? p->v : NULL;
        if (!v || (recursive && !json_bool(json_get(v, "$recursiveAnchor")))) continue;
        *to = (struct spot){ v, scope[i] };
        return true;
    }
    return true;
}

bool refs_dynamic(const struct refs *r)
{
    return r->dynamic;
}
