/* mem.c -- small allocations that never fail, slabs that may, and arenas.
 *
 * A process that cannot get a few kilobytes cannot do anything useful: mem_alloc ends it with a
 * sentence. Whatever depends on the size of a file or a request is a slab and returns ERR_NOMEM.
 *
 * An arena is a chain of blocks, newest on top. A mark is the number of bytes handed out below it,
 * counted over all blocks, so that a reset knows which blocks to drop. */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/base.h"

static void *must(void *p, size_t n)
{
    if (p || !n) return p;
    fprintf(stderr, "tenon: out of memory asking for %zu bytes\n", n);
    exit(1);
}

void *mem_alloc(size_t n)
{
    return must(malloc(n ? n : 1), n);
}

void *mem_zero(size_t n)
{
    return must(calloc(1, n ? n : 1), n);
}

void *mem_resize(void *p, size_t n)
{
    return must(realloc(p, n ? n : 1), n);
}

void *mem_dup(const void *p, size_t n)
{
    void *q = mem_alloc(n);
    if (n) memcpy(q, p, n);
    return q;
}

char *mem_str(const char *s)
{
    return mem_dup(s, strlen(s) + 1);
}

void mem_free(void *p)
{
    free(p);
}

/* Large stretches lie in large pages where the system has them: a page of 4 KiB is a fault each, which costs as much as
 * filling it. */
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_SLAB ((size_t)32 << 20)                                  /* a smaller one may stay mostly unused */

static void ask_huge(void *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);                                 /* a wish: nothing depends on it */
#endif
}

#define LARGE ((size_t)256 << 20)           /* slabs that are worth a look at how much is left */

/* The kernel promises more than there is, and ends the process later: a slab that cannot be filled is refused now. */
void *mem_slab(size_t bytes, struct err *e)
{
    size_t left = bytes > LARGE ? mem_available() : 0;
    if (left && bytes > left) {
        err_set(e, ERR_NOMEM, "no memory for %.1f GiB: %.1f GiB are free", (double)bytes / (1 << 30), (double)left / (1 << 30));
        return NULL;
    }
    void *p = mmap(NULL, MAX(bytes, (size_t)1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED && bytes >= HUGE_SLAB) ask_huge(p, bytes);
    if (p != MAP_FAILED) return p;
    err_set(e, ERR_NOMEM, "no memory for %.1f MiB", (double)bytes / (1 << 20));
    return NULL;
}

void mem_slab_free(void *p, size_t bytes)
{
    if (p) munmap(p, MAX(bytes, (size_t)1));
}

/* ---- arena ---- */

#define ARENA_ALIGN 64
#define ARENA_FIRST (64 << 10)

struct arena_block {
    struct arena_block *below;
    size_t base;                                                      /* bytes handed out by all blocks below */
    size_t used, cap;
    char *data;
};                                                                    /* data follows, aligned to ARENA_ALIGN */

static char *block_data(struct arena_block *b)
{
    return (char *)(((uintptr_t)(b + 1) + ARENA_ALIGN - 1) & ~(uintptr_t)(ARENA_ALIGN - 1));
}

static struct arena_block *block_new(struct arena_block *below, size_t cap)
{
    size_t head = sizeof(struct arena_block) + ARENA_ALIGN;           /* a plain malloc costs a third of an aligned one */
    size_t whole = head + cap < HUGE_PAGE / 2 ? head + cap : (head + cap + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    struct arena_block *b = must(whole % HUGE_PAGE ? malloc(whole) : aligned_alloc(HUGE_PAGE, whole), whole);
    if (whole % HUGE_PAGE == 0) ask_huge(b, whole);
    *b = (struct arena_block){ below, below ? below->base + below->used : 0, 0, cap, block_data(b) };
    return b;
}

void arena_init(struct arena *a, size_t first_bytes)
{
    *a = (struct arena){ NULL, first_bytes ? first_bytes : ARENA_FIRST };
}

void arena_done(struct arena *a)
{
    while (a->top) {
        struct arena_block *b = a->top;
        a->top = b->below;
        free(b);
    }
}

/* Each block doubles the last, so that a long life costs few of them. */
static void *take_new(struct arena *a, size_t n)
{
    size_t cap = a->top ? a->top->cap * 2 : MAX(a->first_bytes, (size_t)ARENA_ALIGN);
    cap = (MAX(cap, n) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    a->top = block_new(a->top, cap);
    a->top->used = n;
    return a->top->data;
}

void arena_reserve(struct arena *a, size_t n)
{
    struct arena_block *b = a->top;
    n += 2 * ARENA_ALIGN;                                             /* what comes first may have to be aligned */
    if (!b || b->cap - b->used < n) a->top = block_new(b, (MAX(n, a->first_bytes) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
}

/* n bytes at a multiple of align, a power of two. */
static inline void *take(struct arena *a, size_t n, size_t align)
{
    struct arena_block *b = a->top;
    n = MAX(n, (size_t)1);
    if (!b) return take_new(a, n);
    size_t at = (b->used + align - 1) & ~(align - 1);
    if (at > b->cap || b->cap - at < n) return take_new(a, n);
    b->used = at + n;
    return b->data + at;
}

void *arena_alloc(struct arena *a, size_t n) { return take(a, n, ARENA_ALIGN); }

void *arena_small(struct arena *a, size_t n)
{
    uint64_t *p = take(a, (n + 7) & ~(size_t)7, 8);
    if (n > 64) return memset(p, 0, n);
    for (size_t i = 0; i < n; i += 8) p[i / 8] = 0;                   /* most are so small that a call costs more */
    return p;
}

void *arena_zero(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

float *arena_f32(struct arena *a, size_t n)
{
    return arena_alloc(a, n * sizeof(float));
}

char *arena_str(struct arena *a, const char *s, size_t len)
{
    char *p = take(a, len + 1, 1);
    if (len) memcpy(p, s, len);
    p[len] = 0;
    return p;
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char probe[1];
    int n = vsnprintf(probe, sizeof probe, fmt, ap);
    char *p = take(a, (size_t)MAX(n, 0) + 1, 1);
    vsnprintf(p, (size_t)MAX(n, 0) + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

size_t arena_bytes(const struct arena *a)
{
    size_t n = 0;
    for (const struct arena_block *b = a->top; b; b = b->below) n += sizeof *b + b->cap;
    return n;
}

size_t arena_mark(const struct arena *a)
{
    return a->top ? a->top->base + a->top->used : 0;
}

void arena_reset(struct arena *a, size_t mark)
{
    struct arena_block *largest = NULL;
    while (a->top && a->top->base >= mark) {
        struct arena_block *b = a->top, *loser = b;
        a->top = b->below;
        if (!largest || b->cap > largest->cap) {
            loser = largest;
            largest = b;
        }
        free(loser);
    }
    if (a->top) a->top->used = mark - a->top->base;
    if (!largest) return;
    /* The largest dropped block stays on top, empty: a loop of mark and reset settles at no malloc. */
    largest->below = a->top;
    largest->base = mark;
    largest->used = 0;
    a->top = largest;
}
