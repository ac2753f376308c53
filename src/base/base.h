/* base.h -- the door of base/: what every room stands on, and nothing about language models.
 *
 * Errors (err.c), memory (mem.c), growing strings (str.c), thread pool (pool.c), random numbers and
 * hashes (rng.c), files, clock and log (sys.c). JSON has a door of its own: json.h.
 *
 * Conventions of the whole house: a fallible function returns bool or a pointer and takes
 * `struct err *e` last; open/close pair for handles, init/done for embedded structs, mark/reset for
 * arenas; a const pointer lends, `_take` gives away, `_dup` copies. */
#ifndef TENON_BASE_H
#define TENON_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* ---- errors ------------------------------------------------------------------------------- */

/* One list: code, name (server error type, logs), exit status of the process, HTTP status. */
#define ERR_LIST(X) \
    X(ERR_NONE,        "none",             0, 200) \
    X(ERR_USAGE,       "usage",            2, 400)  /* the command line is wrong */ \
    X(ERR_ARG,         "invalid_request",  1, 400)  /* a value handed over is wrong */ \
    X(ERR_IO,          "io",               1, 500)  /* a file or the system said no */ \
    X(ERR_FORMAT,      "format",           1, 400)  /* a file or a text is malformed */ \
    X(ERR_UNSUPPORTED, "unsupported",      1, 400)  /* well-formed, but not something we can do */ \
    X(ERR_SCHEMA,      "invalid_schema",   1, 400)  /* a schema that cannot be satisfied or enforced */ \
    X(ERR_LIMIT,       "limit",            1, 400)  /* context, budget or a documented bound exceeded */ \
    X(ERR_FULL,        "full",             1, 503)  /* no free page or slot now; later there may be */ \
    X(ERR_NOMEM,       "no_memory",        1, 500) \
    X(ERR_CANCEL,      "cancelled",        1, 499) \
    X(ERR_INTERNAL,    "internal",         1, 500)  /* our bug */
enum err_code {
#define X(code, name, status, http) code,
    ERR_LIST(X)
#undef X
};
struct err { enum err_code code; const char *tag; char msg[480]; };   /* zeroed = no error */

bool        err_set(struct err *e, enum err_code c, const char *fmt, ...) PRINTF_LIKE(3, 4); /* returns false */
bool        err_in(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3); /* prefix "where: "; returns false */
/* The same with the word that programs look for ("duplicate_tool_name"), static. */
bool        err_as(struct err *e, const char *tag, enum err_code c, const char *fmt, ...) PRINTF_LIKE(4, 5);
bool        err_at(struct err *e, const char *name);                  /* the same with a file's name, unless the message begins with it */
const char *err_name(enum err_code c);
int         err_exit_status(enum err_code c);
int         err_http_status(enum err_code c);

/* ---- memory ------------------------------------------------------------------------------- */

/* Small allocations: never NULL (the process ends with a sentence when there is no memory). */
void *mem_alloc(size_t n);
void *mem_zero(size_t n);
void *mem_resize(void *p, size_t n);
void *mem_dup(const void *p, size_t n);
char *mem_str(const char *s);                                         /* strdup */
void  mem_free(void *p);                                              /* NULL is fine */
/* Slabs: page-aligned, zeroed, may fail with ERR_NOMEM. Free with mem_slab_free(p, bytes). */
void *mem_slab(size_t bytes, struct err *e);
void  mem_slab_free(void *p, size_t bytes);
/* Makes room for one more element of a growing array: MEM_GROW(list, n, cap); list[n++] = x; */
#define MEM_GROW(p, n, cap) \
    do { \
        if ((size_t)(n) >= (size_t)(cap)) { \
            (cap) = (cap) ? (cap) * 2 : 8; \
            (p) = mem_resize((p), (size_t)(cap) * sizeof *(p)); \
        } \
    } while (0)

/* Arena: bump allocation, released as a whole or back to a mark. Blocks never move. Not threadsafe.
 * Memory is 64-byte aligned and not cleared, unless the name says zero. */
struct arena { struct arena_block *top; size_t first_bytes; };
void   arena_init(struct arena *a, size_t first_bytes);               /* size of the first block; 0: 64 KiB */
void   arena_done(struct arena *a);
void  *arena_alloc(struct arena *a, size_t n);
void  *arena_zero(struct arena *a, size_t n);
void  *arena_small(struct arena *a, size_t n);                        /* zeroed, aligned for pointers only: many small things */
float *arena_f32(struct arena *a, size_t n);                          /* n floats, not cleared */
char  *arena_str(struct arena *a, const char *s, size_t len);         /* copy with a closing NUL */
char  *arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void   arena_reserve(struct arena *a, size_t n);                      /* the next n bytes lie in one block, made as large as that */
size_t arena_bytes(const struct arena *a);                            /* memory held, used or not */
size_t arena_mark(const struct arena *a);
void   arena_reset(struct arena *a, size_t mark);                     /* 0: empty, keeps the largest block */

/* ---- strings ------------------------------------------------------------------------------ */

/* Growing byte string; p is NUL-terminated whenever it is not NULL. Zeroed = empty. */
struct str { char *p; size_t len, cap; };
void  str_done(struct str *s);
void  str_clear(struct str *s);                                       /* length 0, keeps the memory */
void  str_put(struct str *s, const void *bytes, size_t n);
void  str_puts(struct str *s, const char *text);
void  str_putc(struct str *s, char c);
void  str_fmt(struct str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void  str_vfmt(struct str *s, const char *fmt, va_list ap);
char *str_take(struct str *s);                                        /* caller frees; never NULL; s is empty afterwards */

/* RFC 4648 base64, padded, appended. base64_read: false for anything that base64_put() does not write; out as it was. */
void base64_put(struct str *out, const void *bytes, size_t n);
bool base64_read(struct str *out, const char *p, size_t n);

struct bytes { const char *p; size_t len; };                          /* lent, may hold NULs */
bool bytes_eq(struct bytes a, const char *s);
static inline bool bytes_same(struct bytes a, struct bytes b) { return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len)); }

static inline bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

/* UTF-8. Next code point at p (p < end), its byte length in *n; -1 and *n = 1 for malformed bytes
 * (overlong forms, surrogates, above U+10FFFF included). */
int32_t utf8_next(const char *p, const char *end, int *n);
bool    utf8_valid(const char *p, size_t len);
int     utf8_put(char out[4], uint32_t cp);                           /* returns the byte count */
size_t  utf8_whole(const char *p, size_t len);                        /* length without an incomplete last code point */
void    str_put_utf8(struct str *s, const char *p, size_t len);       /* malformed bytes become U+FFFD */

/* ---- threads ------------------------------------------------------------------------------ */

/* A pool of n threads, the caller among them. Workers spin briefly, then sleep. */
struct pool;
typedef void pool_fn(void *ctx, int thread, int n_thread);
struct pool *pool_open(int n_thread, struct err *e);                  /* <= 0: one per core */
void         pool_close(struct pool *p);
int          pool_size(const struct pool *p);                         /* 1 for NULL */
void         pool_run(struct pool *p, pool_fn *fn, void *ctx);        /* on every thread; returns when all are done. NULL: here */
/* The same where fn takes its work from a shared counter: on this thread and on those that come before it
 * is through; returns when nobody runs fn any more. */
void         pool_share(struct pool *p, pool_fn *fn, void *ctx);
/* Before a round: what a thread is going to read after it. From when it is through until the next round begins it asks
 * the memory for that. Forgotten with the round; no thread reads it, so it need not stay. NULL is fine. */
void         pool_soon(struct pool *p, int thread, struct bytes what);

/* ---- random numbers, hashes ---------------------------------------------------------------- */

/* Counter-based: the numbers depend only on (seed, stream, index), never on who drew before. */
struct rng { uint64_t key, ctr; };
struct rng rng_make(uint64_t seed, uint64_t stream, uint64_t index);
uint64_t   rng_u64(struct rng *r);
uint32_t   rng_below(struct rng *r, uint32_t n);                      /* uniform in [0, n), n >= 1 */
double     rng_unit(struct rng *r);                                   /* [0, 1) */
double     rng_normal(struct rng *r);                                 /* mean 0, deviation 1 */
uint64_t   hash64(const void *p, size_t n, uint64_t seed);            /* XXH3 */
/* sha256.c: where somebody might look for a second text with the same hash. */
void       sha256(const void *bytes, size_t n, uint8_t out[32]);
void       sha256_hex(const void *bytes, size_t n, char out[65]);

/* ---- files, clock, machine, log ------------------------------------------------------------ */

/* Read-only private mapping with a size snapshot. A file that shrinks while mapped may raise SIGBUS. */
struct map { const uint8_t *data; size_t size; struct filler *filler; };
/* MAP_COPY reads all into memory of our own instead; MAP_LOCK keeps it from being paged out. */
enum { MAP_COPY = 1, MAP_LOCK = 2 };
bool map_open(struct map *m, const char *path, unsigned flags, struct err *e);         /* an empty file is size 0, data not NULL */
/* All of it will be read soon: where there is memory for twice as much, a thread reads it and enters its pages in the tables
 * of this process, from now on and until map_close(). Once is enough. */
void map_prefetch(const struct map *m);
void map_close(struct map *m);

/* Whole file into out (appended); "-" is stdin; .gz and .zst content is unpacked by its magic. */
bool file_read(const char *path, struct str *out, struct err *e);
/* Appends what gzip or zstd data (known by how they begin) hold, other bytes as they are. what: names them in errors. ERR_LIMIT:
 * more than `most` bytes, ERR_FORMAT: damaged, ERR_UNSUPPORTED: not in this build. */
bool bytes_unpack(const char *what, struct bytes in, size_t most, struct str *out, struct err *e);
/* What file_read() unpacks again: zstd, quickly, or the bytes as they are where the build has none. Appended to out. */
void pack_zstd(const void *p, size_t n, struct str *out);
/* Writes to a temporary name beside path, fsyncs, renames: path holds the old bytes or all new ones, and its mode. A link stays
 * a link to the file, which is replaced; devices and pipes are written to and stay what they are. */
bool file_write(const char *path, const void *p, size_t n, struct err *e);
/* The same in pieces. Zeroed after commit or abort. */
struct file_out { FILE *f; char *path, *tmp; bool failed; };
bool file_out_open(struct file_out *o, const char *path, struct err *e);
void file_out_put(struct file_out *o, const void *p, size_t n);       /* an error is remembered for commit */
bool file_out_commit(struct file_out *o, struct err *e);
void file_out_abort(struct file_out *o);                              /* NULL-safe on a zeroed struct */
bool file_exists(const char *path);
bool dirs_make(const char *path);                                     /* the folders above its last slash, 0700; false: errno says why */

/* From now on a mapped file that becomes shorter ends nobody: what is missing reads as zeros, and this says so. */
void map_guard(void);
bool map_damaged(void);

uint64_t clock_ns(void);                                              /* monotonic */
int      cpu_count(void);                                             /* cores this process may use */
size_t   page_size(void);
size_t   mem_available(void);                                         /* bytes that could be taken without swapping; 0: not known */

/* One event a line on stderr: `event key=value …`. Shown when level <= log_level (default: LOG_WARN). */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
extern enum log_level log_level;
void log_line(enum log_level l, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
