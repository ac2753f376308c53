/* parts.c -- a model in several files, `<prefix>-00001-of-00003.gguf` and so on, opened as one.
 *
 * Each part is a whole GGUF file with its own tensors; the first holds the metadata. Whichever part is
 * named, all are opened, held against each other (count, position, total, no tensor twice) and the
 * tensors are listed in the first one's handle. The keys that tell of parts are left out: what is
 * written from such a model is one file. */
#include <stdio.h>

#include "format/int.h"

#define MOST_PARTS 10000
#define TAIL_BYTES (sizeof "-00001-of-00001.gguf" - 1)

struct parts { struct gguf **g; int n; };                             /* all but the first */

void parts_prefetch(const struct parts *p)
{
    for (int i = 0; i < p->n; i++) gguf_prefetch(p->g[i]);
}

void parts_close(void *ctx)
{
    struct parts *p = ctx;
    for (int i = 0; i < p->n; i++) gguf_close(p->g[i]);
    mem_free(p->g);
    mem_free(p);
}

/* What a file says of itself: part `no` (from 0) of `count` with `total` tensors in all. */
struct place { int64_t no, count, total; };

static bool place_of(const struct gguf *g, struct place *p, struct err *e)
{
    return gguf_int(g, "split.count", 1, MOST_PARTS, &p->count, e) && gguf_int(g, "split.no", 0, p->count - 1, &p->no, e) &&
           gguf_int(g, "split.tensors.count", 0, GGUF_MOST_TENSOR, &p->total, e);
}

bool gguf_is_part(const struct gguf *g)
{
    int64_t one;
    struct err e = { 0 };
    return gguf_has(g, "split.count") && !gguf_int(g, "split.count", 1, 1, &one, &e);
}

/* The name of part no of the same model; NULL unless path is named as a part is. Owned. */
static char *part_path(const char *path, const struct place *p, int64_t no)
{
    char want[32];
    size_t len = strlen(path);
    snprintf(want, sizeof want, "-%05d-of-%05d.gguf", (int)p->no + 1, (int)p->count);
    if (len <= TAIL_BYTES || strcmp(path + len - TAIL_BYTES, want)) return NULL;
    struct str s = { 0 };
    str_fmt(&s, "%.*s-%05d-of-%05d.gguf", (int)(len - TAIL_BYTES), path, (int)no + 1, (int)p->count);
    return s.p;
}

static struct gguf *open_part(const char *path, const struct place *of, int64_t no, const char *arch, unsigned flags, struct err *e)
{
    struct gguf *g = gguf_open_one(path, flags, e);
    struct place p;
    struct bytes own = { arch, strlen(arch) };
    if (!g) return NULL;
    bool ok = place_of(g, &p, e);
    if (ok && (p.no != no || p.count != of->count || p.total != of->total))
        ok = err_set(e, ERR_FORMAT, "%s: says it is part %lld of %lld with %lld tensors in all, must be part %lld of %lld with %lld", path,
                     (long long)p.no + 1, (long long)p.count, (long long)p.total, (long long)no + 1, (long long)of->count, (long long)of->total);
    if (ok && gguf_has(g, "general.architecture")) ok = gguf_str(g, "general.architecture", &own, e);
    if (ok && !bytes_eq(own, arch))
        ok = err_set(e, ERR_FORMAT, "%s: general.architecture is not '%s' as in the first part", path, arch);
    if (ok) return g;
    gguf_close(g);
    return NULL;
}

/* The first part's list of tensors becomes that of all. */
static bool join_tensors(struct gguf *first, const struct parts *p, const struct place *of, struct err *e)
{
    size_t n = gguf_n_tensor(first);
    for (int i = 0; i < p->n; i++) n += gguf_n_tensor(p->g[i]);
    if (n != (size_t)of->total)
        return err_set(e, ERR_FORMAT, "%s: the %lld parts hold %zu tensors, split.tensors.count says %lld", first->name, (long long)of->count, n,
                       (long long)of->total);
    first->tensor = mem_resize(first->tensor, MAX(n, (size_t)1) * sizeof *first->tensor);
    for (int i = 0; i < p->n; i++) {
        for (size_t k = 0; k < gguf_n_tensor(p->g[i]); k++) {
            const struct tensor *t = gguf_tensor(p->g[i], k);
            size_t at = first->tensors.n;
            if (!names_add(&first->tensors, (struct bytes){ t->name, strlen(t->name) }))
                return err_set(e, ERR_FORMAT, "%s: tensor %s is in another part too", p->g[i]->name, t->name);
            first->tensor[at] = *t;
        }
        first->size += p->g[i]->size;
    }
    return true;
}

static void forget_keys(struct gguf *g)
{
    struct names kept = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < g->keys.n; i++) {
        if (g->kv[i].key.len >= 6 && !memcmp(g->kv[i].key.p, "split.", 6)) continue;
        names_add(&kept, g->kv[i].key);
        g->kv[n++] = g->kv[i];
    }
    names_done(&g->keys);
    g->keys = kept;
}

/* Opens the others and joins them to the first, which stays the caller's. */
static bool join(struct gguf *first, const char *path, const struct place *of, unsigned flags, struct err *e)
{
    struct bytes arch;
    if (!gguf_str(first, "general.architecture", &arch, e)) return false;
    struct parts *p = mem_zero(sizeof *p);
    p->g = mem_zero((size_t)of->count * sizeof *p->g);
    first->done = parts_close;
    first->done_ctx = p;
    struct str name = { 0 };
    str_put(&name, arch.p, arch.len);
    bool ok = true;
    for (int64_t no = 1; ok && no < of->count; no++) {
        char *other = part_path(path, of, no);
        ok = (p->g[p->n] = open_part(other, of, no, name.p ? name.p : "", flags, e)) != NULL;
        p->n += ok;
        mem_free(other);
    }
    str_done(&name);
    if (!ok || !join_tensors(first, p, of, e)) return false;
    forget_keys(first);
    return true;
}

struct gguf *gguf_open_parts(struct gguf *part, const char *path, unsigned flags, struct err *e)
{
    struct place of;
    char *first_path = NULL;
    struct gguf *first = part;
    bool ok = place_of(part, &of, e);
    if (ok && !(first_path = part_path(path, &of, 0)))
        ok = err_set(e, ERR_FORMAT, "%s: part %lld of %lld must be named <model>-%05d-of-%05d.gguf, so that the others can be found", path,
                     (long long)of.no + 1, (long long)of.count, (int)of.no + 1, (int)of.count);
    if (ok && of.no) {
        struct place p;
        gguf_close(part);
        first = gguf_open_one(first_path, flags, e);
        ok = first && place_of(first, &p, e);
        if (ok && (p.no || p.count != of.count || p.total != of.total))
            ok = err_set(e, ERR_FORMAT, "%s: is not the first of %lld parts", first_path, (long long)of.count);
        of.no = 0;
    }
    ok = ok && join(first, first_path, &of, flags, e);
    mem_free(first_path);
    if (ok) return first;
    gguf_close(first);
    return NULL;
}
