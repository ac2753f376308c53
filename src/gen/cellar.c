/* cellar.c -- pages of the prefix cache on disk, so that a tool list read once is known after a restart.
 *
 * A file is one page of the tree: its tokens, its keys, values and states, a checksum over all of it, packed
 * with zstd where the build has it. Its name says which page it comes after, what it is and how many tokens it
 * holds (hashes of all tokens from the beginning), so what may follow a page is found in the list of names
 * alone, which is read once. Everything is keyed by what made it: weights, program, type of cache.
 *
 * A cache may always be lost: a file that is damaged, cut or of another make is removed with a log line and
 * counted as not there; a disk that is full is tried again a minute later. Above its limit the files
 * written longest ago go first. Engine thread only. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gen/sched_int.h"

#define MAGIC UINT64_C(0x31304b4e4f4e4554)                            /* "TENONK01" */
#define FILES_MOST 8192
#define REST_NS UINT64_C(60000000000)                                 /* after an error of the disk */

struct head { uint64_t magic, seed, sum, bytes; };                    /* sum, bytes: of what follows */
struct cellar {
    char *dir;
    uint64_t seed, rest_until;
    struct cellar_file *file; int n, cap;                             /* oldest first */
    size_t bytes, most;
    uint64_t reads, writes, errors;
};

static void path_of(const struct cellar *c, const struct cellar_file *f, char *out, size_t n)
{
    snprintf(out, n, "%s/%016" PRIx64 "-%016" PRIx64 "-%02d.kv", c->dir, f->parent, f->hash, f->n);
}

/* ---- the list -------------------------------------------------------------------------------- */

static int older(const void *a, const void *b)
{
    const struct cellar_file *x = a, *y = b;
    return (x->time > y->time) - (x->time < y->time);
}

static void add_file(struct cellar *c, struct cellar_file f)
{
    MEM_GROW(c->file, c->n, c->cap);
    c->file[c->n++] = f;
    c->bytes += f.bytes;
}

static void take_out(struct cellar *c, int i)
{
    char path[600];
    path_of(c, &c->file[i], path, sizeof path);
    unlink(path);
    c->bytes -= c->file[i].bytes;
    memmove(c->file + i, c->file + i + 1, (size_t)(--c->n - i) * sizeof *c->file);
}

static void read_dir(struct cellar *c, DIR *d)
{
    char path[600];
    for (struct dirent *e; (e = readdir(d));) {
        struct cellar_file f = { 0 };
        struct stat st;
        int used = 0;
        if (sscanf(e->d_name, "%16" SCNx64 "-%16" SCNx64 "-%2d.kv%n", &f.parent, &f.hash, &f.n, &used) != 3 || !used || e->d_name[used]) continue;
        if (f.n < 1 || f.n > KV_PAGE) continue;
        path_of(c, &f, path, sizeof path);
        if (stat(path, &st)) continue;
        f.bytes = (size_t)st.st_size;
        f.time = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
        add_file(c, f);
    }
    if (c->n) qsort(c->file, (size_t)c->n, sizeof *c->file, older);
}

struct cellar *cellar_open(const char *dir, uint64_t seed, size_t most, struct err *e)
{
    if (mkdir(dir, 0700) && errno != EEXIST) {
        err_set(e, ERR_IO, "cache folder %s: %s", dir, strerror(errno));
        return NULL;
    }
    DIR *d = opendir(dir);
    if (!d) {
        err_set(e, ERR_IO, "cache folder %s: %s", dir, strerror(errno));
        return NULL;
    }
    struct cellar *c = mem_zero(sizeof *c);
    c->dir = mem_str(dir);
    c->seed = seed;
    c->most = most;
    read_dir(c, d);
    closedir(d);
    return c;
}

void cellar_close(struct cellar *c)
{
    if (!c) return;
    mem_free(c->dir);
    mem_free(c->file);
    mem_free(c);
}

const struct cellar_file *cellar_find(const struct cellar *c, uint64_t parent, uint64_t hash, int i)
{
    for (int k = c->n - 1; k >= 0; k--) {
        const struct cellar_file *f = &c->file[k];
        if (f->parent == parent && (hash ? f->hash == hash && f->n == KV_PAGE : f->n < KV_PAGE) && i-- == 0) return f;
    }
    return NULL;
}

void cellar_count(const struct cellar *c, struct prefix_count *out)
{
    out->disk_reads = c->reads;
    out->disk_writes = c->writes;
    out->disk_errors = c->errors;
    out->disk_bytes = c->bytes;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool check(const struct cellar *c, const struct str *s)
{
    struct head h;
    if (s->len < sizeof h) return false;
    memcpy(&h, s->p, sizeof h);
    return h.magic == MAGIC && h.seed == c->seed && h.bytes == s->len - sizeof h && h.sum == hash64(s->p + sizeof h, s->len - sizeof h, 0);
}

bool cellar_get(struct cellar *c, const struct cellar_file *f, struct str *out, struct bytes *body)
{
    char path[600];
    struct err e = { 0 };
    int at = (int)(f - c->file);
    path_of(c, f, path, sizeof path);
    str_clear(out);
    bool ok = file_read(path, out, &e);
    if (ok && check(c, out)) {
        c->reads++;
        *body = (struct bytes){ out->p + sizeof(struct head), out->len - sizeof(struct head) };
        return true;
    }
    log_line(LOG_WARN, "cache_file_ignored file=%s why=\"%s\"", path, ok ? "damaged, or of another make" : e.msg);
    c->errors++;
    take_out(c, at);
    return false;
}

static bool write_file(const char *path, const struct str *s, struct err *e)
{
    char tmp[640];
    snprintf(tmp, sizeof tmp, "%s.tmp%d", path, (int)getpid());
    FILE *f = fopen(tmp, "wbe");
    bool ok = f && fwrite(s->p, 1, s->len, f) == s->len;
    if (f && fclose(f)) ok = false;
    if (ok && !rename(tmp, path)) return true;                       /* never synced: a torn file is found by its checksum */
    err_set(e, ERR_IO, "%s: %s", tmp, strerror(errno));
    unlink(tmp);
    return false;
}

bool cellar_put(struct cellar *c, uint64_t parent, uint64_t hash, int n, const struct str *body)
{
    struct cellar_file f = { .parent = parent, .hash = hash, .n = n };
    struct head h = { MAGIC, c->seed, hash64(body->p, body->len, 0), body->len };
    struct str raw = { 0 }, packed = { 0 };
    struct err e = { 0 };
    char path[600];
    if (clock_ns() < c->rest_until) return false;
    path_of(c, &f, path, sizeof path);
    str_put(&raw, &h, sizeof h);
    str_put(&raw, body->p, body->len);
    pack_zstd(raw.p, raw.len, &packed);
    f.bytes = packed.len;
    bool ok = write_file(path, &packed, &e);
    str_done(&raw);
    str_done(&packed);
    if (!ok) {
        log_line(LOG_WARN, "cache_not_written why=\"%s\"", e.msg);
        c->errors++;
        c->rest_until = clock_ns() + REST_NS;
        return false;
    }
    c->writes++;
    for (int i = 0; i < c->n; i++)
        if (c->file[i].parent == parent && c->file[i].hash == hash && c->file[i].n == n) {
            c->bytes -= c->file[i].bytes;
            memmove(c->file + i, c->file + i + 1, (size_t)(--c->n - i) * sizeof *c->file);
            break;
        }
    add_file(c, f);
    while (c->n > 1 && (c->bytes > c->most || c->n > FILES_MOST)) take_out(c, 0);
    return true;
}
