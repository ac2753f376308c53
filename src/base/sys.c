/* sys.c -- files, clock, machine.
 *
 * Reading: a private mapping for models, or the whole content in memory, unpacked when its first bytes
 * say gzip or zstd. Writing: always to a temporary name beside the target, then fsync and rename, so
 * that a reader sees the old file or the whole new one. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef TENON_ZLIB
#include <zlib.h>
#endif
#ifdef TENON_ZSTD
#include <zstd.h>
#endif

#include "base/base.h"

/* Unpacked content of one file; a small archive that says it is huge stops here. */
#define MOST_UNPACKED ((size_t)4 << 30)

/* ---- mapping ---- */

/* The thread that goes through a mapping ahead of whoever reads it: a page that is in memory already, but not in the tables
 * of the process, costs a tenth of a microsecond, which for a large file are tens of milliseconds. */
struct filler { pthread_t thread; struct map of; bool runs; atomic_bool quit; };

static bool read_all(int fd, uint8_t *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = read(fd, to + at, MIN(n - at, (size_t)1 << 30));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            if (!k) errno = EIO;        /* it became shorter */
            return false;
        }
        at += (size_t)k;
    }
    return true;
}

static bool lock(const struct map *m, const char *path, struct err *e)
{
    struct rlimit most;
    if (!m->size || mlock(m->data, m->size) == 0) return true;
    int why = errno;
    bool known = getrlimit(RLIMIT_MEMLOCK, &most) == 0 && most.rlim_cur != RLIM_INFINITY;
    return err_set(e, ERR_IO, "%s: %zu bytes cannot be locked in memory: %s (this process may lock %lld bytes)", path, m->size,
                   strerror(why), known ? (long long)most.rlim_cur : -1LL);
}

bool map_open(struct map *m, const char *path, unsigned flags, struct err *e)
{
    *m = (struct map){ (const uint8_t *)"", 0, NULL };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    bool ok = fstat(fd, &st) == 0;
    if (!ok) err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) ok = err_set(e, ERR_IO, "%s: not a regular file", path);
    else if (st.st_size > 0) {
        bool copy = flags & MAP_COPY;
        void *p = mmap(NULL, (size_t)st.st_size, copy ? PROT_READ | PROT_WRITE : PROT_READ,
                       copy ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, copy ? -1 : fd, 0);
        if (p == MAP_FAILED) ok = err_set(e, ERR_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        else *m = (struct map){ p, (size_t)st.st_size, copy ? NULL : mem_zero(sizeof(struct filler)) };
        if (ok && copy && !read_all(fd, p, m->size)) ok = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    close(fd);
    ok = ok && (!(flags & MAP_LOCK) || lock(m, path, e));
    if (!ok) map_close(m);
    return ok;
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22                                         /* Linux 5.14 */
#endif
#define FILL_STEP ((size_t)2 << 20)

/* Ends early where the kernel does not know the request, or the file has become shorter. */
static void *fill_tables(void *arg)
{
    const struct map *m = arg;
    for (size_t at = 0; at < m->size && !atomic_load(&m->filler->quit); at += FILL_STEP)
        if (madvise((void *)(uintptr_t)(m->data + at), MIN(FILL_STEP, m->size - at), MADV_POPULATE_READ)) break;
    return NULL;
}

void map_prefetch(const struct map *m)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    struct filler *f = m->filler;
    if (!f || f->runs || pages <= 0 || m->size / page_size() >= (size_t)pages / 2) return;
    void *from = (void *)(uintptr_t)m->data;
#ifdef MADV_HUGEPAGE
    madvise(from, m->size, MADV_HUGEPAGE);      /* what is read from now on may lie in large pages: the next start enters few */
#endif
    madvise(from, m->size, MADV_WILLNEED);
    f->of = *m;
    f->runs = pthread_create(&f->thread, NULL, fill_tables, &f->of) == 0;
}

void map_close(struct map *m)
{
    if (m->filler && m->filler->runs) {
        atomic_store(&m->filler->quit, true);
        pthread_join(m->filler->thread, NULL);
    }
    mem_free(m->filler);
    if (m->size) munmap((void *)m->data, m->size);
    *m = (struct map){ 0 };
}

/* A page behind the end of a file that became shorter: zeros take its place, and whoever asks is told. Only
 * calls that a handler may make are made. */
static atomic_bool is_damaged;

static void on_bus_error(int signal_number, siginfo_t *si, void *context)
{
    size_t page = page_size();
    void *at = (void *)((uintptr_t)si->si_addr / page * page);
    if (si->si_code == BUS_ADRERR && mmap(at, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at) {
        atomic_store(&is_damaged, true);
        return;
    }
    signal(signal_number, SIG_DFL);             /* not ours: it ends the process, as it would have */
}

void map_guard(void)
{
    page_size();
    struct sigaction a = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
    sigaction(SIGBUS, &a, NULL);
}

bool map_damaged(void) { return atomic_load(&is_damaged); }

/* ---- reading ---- */

static bool read_stream(FILE *f, const char *path, struct str *out, struct err *e)
{
    char buf[1 << 16];
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) str_put(out, buf, n);
    return ferror(f) ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : true;
}

static bool too_much(const char *what, size_t most, struct err *e)
{
    return err_set(e, ERR_LIMIT, "%s: unpacked it has more than %zu bytes", what, most);
}

#ifdef TENON_ZLIB
static bool unpack_gzip(const char *path, struct bytes in, size_t most, struct str *out, struct err *e)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.len };
    if (inflateInit2(&z, 15 + 16) != Z_OK) return err_set(e, ERR_NOMEM, "%s: gzip cannot start", path);
    char buf[1 << 16];
    int rc = Z_OK;
    while (rc == Z_OK && out->len <= most) {
        z.next_out = (Bytef *)buf;
        z.avail_out = sizeof buf;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_OK || rc == Z_STREAM_END) str_put(out, buf, sizeof buf - z.avail_out);
        if (rc == Z_STREAM_END && z.avail_in) rc = inflateReset(&z);  /* members may follow each other */
    }
    inflateEnd(&z);
    if (out->len > most) return too_much(path, most, e);
    if (rc == Z_STREAM_END) return true;
    return err_set(e, ERR_FORMAT, "%s: the gzip data is cut or damaged", path);
}
#endif

#ifdef TENON_ZSTD
static bool unpack_zstd(const char *path, struct bytes in, size_t most, struct str *out, struct err *e)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer src = { in.p, in.len, 0 };
    char buf[1 << 16];
    size_t rc = 1;
    while (src.pos < src.size && out->len <= most) {
        ZSTD_outBuffer dst = { buf, sizeof buf, 0 };
        rc = ZSTD_decompressStream(z, &dst, &src);
        if (ZSTD_isError(rc)) break;
        str_put(out, buf, dst.pos);
    }
    ZSTD_outBuffer dst = { buf, sizeof buf, 0 };
    while (!ZSTD_isError(rc) && rc && out->len <= most) {                                 /* what the last block still holds */
        dst.pos = 0;
        rc = ZSTD_decompressStream(z, &dst, &src);
        if (ZSTD_isError(rc) || !dst.pos) break;
        str_put(out, buf, dst.pos);
    }
    ZSTD_freeDStream(z);
    if (out->len > most) return too_much(path, most, e);
    return rc == 0 ? true : err_set(e, ERR_FORMAT, "%s: the zstd data is cut or damaged", path);
}
#endif

void pack_zstd(const void *p, size_t n, struct str *out)
{
#ifdef TENON_ZSTD
    size_t most = ZSTD_compressBound(n);
    char *to = mem_alloc(most);
    size_t got = ZSTD_compress(to, most, p, n, 1);
    if (!ZSTD_isError(got)) str_put(out, to, got);
    mem_free(to);
    if (!ZSTD_isError(got)) return;
#endif
    str_put(out, p, n);
}

static bool starts(struct bytes s, const char *magic, size_t n)
{
    return s.len >= n && memcmp(s.p, magic, n) == 0;
}

bool bytes_unpack(const char *path, struct bytes in, size_t most, struct str *out, struct err *e)
{
    if (starts(in, "\x1f\x8b", 2)) {
#ifdef TENON_ZLIB
        return unpack_gzip(path, in, most, out, e);
#else
        return err_set(e, ERR_UNSUPPORTED, "%s: gzip content, and this build has no zlib", path);
#endif
    }
    if (starts(in, "\x28\xb5\x2f\xfd", 4)) {
#ifdef TENON_ZSTD
        return unpack_zstd(path, in, most, out, e);
#else
        return err_set(e, ERR_UNSUPPORTED, "%s: zstd content, and this build has no zstd", path);
#endif
    }
    str_put(out, in.p, in.len);
    return true;
}

bool file_read(const char *path, struct str *out, struct err *e)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rbe");
    if (!f) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    struct str raw = { 0 };
    bool ok = read_stream(f, is_stdin ? "stdin" : path, &raw, e) && bytes_unpack(is_stdin ? "stdin" : path, (struct bytes){ raw.p, raw.len }, MOST_UNPACKED, out, e);
    if (!is_stdin) fclose(f);
    str_done(&raw);
    return ok;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- writing ---- */

bool dirs_make(const char *path)
{
    bool ok = true;
    char *dir = mem_str(path);
    for (char *p = *dir ? dir + 1 : dir; *p && ok; p++) {
        if (*p != '/') continue;
        *p = 0;
        ok = mkdir(dir, 0700) == 0 || errno == EEXIST;
        *p = '/';
    }
    mem_free(dir);
    return ok;
}

/* What stands at path decides: a device, a pipe or a socket is written to as it is, never replaced; a link stays one, and what it
 * leads to is replaced. */
bool file_out_open(struct file_out *o, const char *path, struct err *e)
{
    struct stat st;
    bool is_there = stat(path, &st) == 0;
    char *real = is_there ? realpath(path, NULL) : NULL;
    *o = (struct file_out){ .path = mem_str(real ? real : path) };
    free(real);
    if (is_there && S_ISDIR(st.st_mode)) {
        file_out_abort(o);
        return err_set(e, ERR_IO, "%s: is a folder; the name of a file is needed", path);
    }
    struct str tmp = { 0 };
    if (!is_there || S_ISREG(st.st_mode)) {
        str_fmt(&tmp, "%s.part-%ld", o->path, (long)getpid());
        o->tmp = str_take(&tmp);
    }
    o->f = fopen(o->tmp ? o->tmp : o->path, "wbe");
    if (o->f && o->tmp && is_there) fchmod(fileno(o->f), st.st_mode & 07777);
    if (o->f) return true;
    err_set(e, ERR_IO, "%s: %s", o->tmp ? o->tmp : o->path, strerror(errno));
    file_out_abort(o);
    return false;
}

void file_out_put(struct file_out *o, const void *p, size_t n)
{
    if (n && !o->failed && fwrite(p, 1, n, o->f) != n) o->failed = true;
}

void file_out_abort(struct file_out *o)
{
    if (o->f) {
        fclose(o->f);
        if (o->tmp) unlink(o->tmp);
    }
    mem_free(o->path);
    mem_free(o->tmp);
    *o = (struct file_out){ 0 };
}

bool file_out_commit(struct file_out *o, struct err *e)
{
    bool ok = !o->failed && fflush(o->f) == 0;
    if (o->tmp) ok = ok && fsync(fileno(o->f)) == 0 && rename(o->tmp, o->path) == 0;
    if (!ok) {
        err_set(e, ERR_IO, "%s: cannot be written: %s", o->path, strerror(errno));
        file_out_abort(o);
        return false;
    }
    fclose(o->f);
    o->f = NULL;
    file_out_abort(o);                                                /* nothing to unlink: frees the names */
    return true;
}

bool file_write(const char *path, const void *p, size_t n, struct err *e)
{
    struct file_out o;
    if (!file_out_open(&o, path, e)) return false;
    file_out_put(&o, p, n);
    return file_out_commit(&o, e);
}

/* ---- clock, machine ---- */

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return MAX(CPU_COUNT(&set), 1);
    return MAX((int)sysconf(_SC_NPROCESSORS_ONLN), 1);
}

size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t mem_available(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib = 0;
    while (f && !kib && fgets(line, sizeof line, f))
        if (!strncmp(line, "MemAvailable:", 13)) kib = strtoull(line + 13, NULL, 10);
    if (f) fclose(f);
    return (size_t)kib << 10;
}
