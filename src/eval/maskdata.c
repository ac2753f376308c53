/* maskdata.c -- what the measurements of the grammar room have in common: cases, texts, samples.
 *
 * One file is in memory at a time and one of its lines as a tree, so that the memory of the process
 * says something about what is measured. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "eval/int.h"

/* ---- files ---------------------------------------------------------------------------------- */

struct names {
    char **path;
    size_t n, cap;
};

/* Length of the set's name in a file name: what stands before .jsonl and at most one further
 * ending. */
static size_t set_len(const char *name)
{
    const char *p = strstr(name, ".jsonl");
    bool known = p && (!p[6] || !strcmp(p + 6, ".zst") || !strcmp(p + 6, ".gz"));
    return known ? (size_t)(p - name) : 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void names_add(struct names *l, const char *path)
{
    MEM_GROW(l->path, l->n, l->cap);
    l->path[l->n++] = mem_str(path);
}

static void names_done(struct names *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->path[i]);
    mem_free(l->path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_files(const char *data, struct names *l)
{
    DIR *d = opendir(data);
    if (!d) {
        names_add(l, data);
        return;
    }
    struct str path = { 0 };
    for (struct dirent *f; (f = readdir(d));) {
        if (!set_len(f->d_name)) continue;
        str_clear(&path);
        str_fmt(&path, "%s/%s", data, f->d_name);
        names_add(l, path.p);
    }
    closedir(d);
    str_done(&path);
    if (l->n) qsort(l->path, l->n, sizeof *l->path, by_name);
}

static bool is_wanted(const struct mask_opts *o, const char *set)
{
    for (int i = 0; i < o->n_only; i++)
        if (!strcmp(o->only[i], set)) return true;
    return !o->n_only;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void one_line(const char *p, size_t len, struct mask_case *c, mask_case_fn *fn, void *ctx)
{
    struct err e = { 0 };
    c->line = json_parse(p, len, &e);
    c->id = json_str(json_get(c->line, "id"), NULL);
    c->schema = json_get(c->line, "schema");
    c->tests = json_get(c->line, "tests");
    c->why = c->line ? "no member `schema`" : e.msg;
    if (!c->id) c->id = "?";
    fn(ctx, c);
    json_free(c->line);
}

/* Counts (fn NULL) or hands over the lines of one file. */
static int64_t each_line(const struct mask_opts *o, const struct str *text, struct mask_case *c,
                         mask_case_fn *fn, void *ctx)
{
    int64_t line = 0, n = 0, every = MAX(o->every, 1);
    for (const char *p = text->p, *end = p + text->len; p && p < end; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        if (stop > p && line % every == 0 && (!o->limit || n < o->limit)) {
            if (fn) one_line(p, (size_t)(stop - p), c, fn, ctx);
            c->nth++;
            n++;
        }
        p = stop + 1;
    }
    return n;
}

/* Reads one file of the list; *n counts its selected lines. */
static bool one_file(const struct mask_opts *o, const char *path, struct mask_case *c,
                     mask_case_fn *fn, void *ctx, int64_t *n, struct err *e)
{
    const char *name = base_name(path);
    size_t len = set_len(name);
    char *set = mem_zero(strlen(name) + 1);
    memcpy(set, name, len ? len : strlen(name));
    struct str text = { 0 };
    bool ok = true;
    if (is_wanted(o, set)) {
        c->set = set;
        ok = file_read(path, &text, e);
        if (ok) *n += each_line(o, &text, c, fn, ctx);
    }
    str_done(&text);
    mem_free(set);
    return ok;
}

bool mask_cases(const struct mask_opts *o, mask_case_fn *fn, void *ctx, struct err *e)
{
    struct names l = { 0 };
    list_files(o->data, &l);
    bool ok = true;
    int64_t n = 0, again = 0;
    struct mask_case count = { 0 };
    for (size_t i = 0; ok && i < l.n; i++) ok = one_file(o, l.path[i], &count, NULL, NULL, &n, e);
    if (ok && !n) ok = err_set(e, ERR_ARG, "%s: no line of the sets asked for", o->data);
    struct mask_case c = { .n = n };
    for (size_t i = 0; ok && i < l.n; i++) ok = one_file(o, l.path[i], &c, fn, ctx, &again, e);
    names_done(&l);
    return ok;
}

void mask_case_name(const struct mask_case *c, struct str *out)
{
    str_fmt(out, "%s/%s", c->set, c->id);
}

/* ---- texts ---------------------------------------------------------------------------------- */

const char *const mask_text_name[N_MASK_TEXT] = { "json.dumps", "compact", "indented", "shuffled" };

struct members {
    const char **key;
    const struct json **value;
    size_t *order, n;
};

static struct members members_of(const struct json *v)
{
    size_t n = json_len(v);
    struct members m = { mem_zero((n + 1) * sizeof *m.key), mem_zero((n + 1) * sizeof *m.value),
                         mem_zero((n + 1) * sizeof *m.order), n };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        m.key[it.index] = it.key;
        m.value[it.index] = it.value;
        m.order[it.index] = it.index;
    }
    return m;
}

static void members_done(struct members *m)
{
    mem_free(m->key);
    mem_free(m->value);
    mem_free(m->order);
}

struct json *mask_reordered(const struct json *v, mask_order_fn *fn, void *ctx)
{
    if (json_is(v, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(v); i++)
            json_push(a, mask_reordered(json_at(v, i), fn, ctx));
        return a;
    }
    if (!json_is(v, JSON_OBJECT)) return json_copy(v);
    struct members m = members_of(v);
    fn(ctx, m.n, m.order);
    struct json *o = json_new_object();
    for (size_t i = 0; i < m.n; i++)
        json_set(o, m.key[m.order[i]], mask_reordered(m.value[m.order[i]], fn, ctx));
    members_done(&m);
    return o;
}

static void shuffle(void *ctx, size_t n, size_t *order)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(ctx, (uint32_t)i), t = order[j];
        order[j] = order[i - 1];
        order[i - 1] = t;
    }
}

void mask_write(struct str *out, const struct json *v, enum mask_text how, struct rng *r)
{
    static const enum json_style style[N_MASK_TEXT] = { JSON_PYTHON, JSON_COMPACT, JSON_PRETTY,
                                                        JSON_PYTHON };
    str_clear(out);
    struct json *own = how == TEXT_SHUFFLED ? mask_reordered(v, shuffle, r) : NULL;
    json_write(out, own ? own : v, style[how]);
    json_free(own);
}

int mask_depth(const struct json *v)
{
    int most = 0, d;
    if (json_is(v, JSON_ARRAY)) {
        for (size_t i = 0; i < json_len(v); i++)
            if ((d = mask_depth(json_at(v, i))) > most) most = d;
    } else if (json_is(v, JSON_OBJECT)) {
        for (struct json_iter it = json_iter(v); json_next(&it);)
            if ((d = mask_depth(it.value)) > most) most = d;
    } else return 0;
    return most + 1;
}

bool mask_tokens(const struct mask_opts *o, const struct str *text, struct ids *ids)
{
    ids->n = 0;
    return tok_encode(o->tok, text->p, text->len, TOK_INSIDE, ids, NULL);
}

/* ---- samples -------------------------------------------------------------------------------- */

void samples_add(struct samples *s, uint64_t v)
{
    MEM_GROW(s->v, s->n, s->cap);
    s->v[s->n++] = v;
}

void samples_done(struct samples *s)
{
    mem_free(s->v);
    *s = (struct samples){ 0 };
}

static int by_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct json *samples_json(const struct samples *a, const struct samples *b)
{
    static const struct {
        const char *name;
        double p;
    } row[] = {
        { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 }, { "max", 1 },
    };
    size_t n = a->n + (b ? b->n : 0);
    uint64_t *v = mem_alloc(n * sizeof *v);
    if (a->n) memcpy(v, a->v, a->n * sizeof *v);
    if (b && b->n) memcpy(v + a->n, b->v, b->n * sizeof *v);
    if (n) qsort(v, n, sizeof *v, by_u64);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)v[i];
    struct json *o = json_new_object();
    json_set(o, "n", json_new_int((int64_t)n));
    for (size_t i = 0; n && i < LEN(row); i++)
        json_set(o, row[i].name,
                 json_new_int((int64_t)v[MIN((size_t)((double)n * row[i].p), n - 1)]));
    if (n) json_set(o, "avg", json_new_int((int64_t)(sum / (double)n + 0.5)));
    mem_free(v);
    return o;
}

uint64_t mask_clock(const struct mask_opts *o)
{
    struct timespec t;
    if (!o->cpu) return clock_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_cost_ns(const struct mask_opts *o)
{
    struct samples s = { 0 };
    for (int i = 0; i < 2001; i++) {
        uint64_t t = mask_clock(o);
        samples_add(&s, mask_clock(o) - t);
    }
    qsort(s.v, s.n, sizeof *s.v, by_u64);
    uint64_t mid = s.v[s.n / 2];
    samples_done(&s);
    return mid;
}

size_t peak_rss_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) ? 0 : (size_t)u.ru_maxrss * 1024;
}

/* ---- failures ------------------------------------------------------------------------------- */

void faults_add(struct faults *f, const struct mask_case *c, const char *fmt, ...)
{
    if (f->n++ >= FAULTS_SHOWN && !f->all) return;
    struct str s = { 0 };
    if (c) mask_case_name(c, &s);
    if (c) str_puts(&s, ": ");
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *text = mem_alloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    for (const char *p = text; *p; p++) { /* one line a sentence */
        if (*p == '\n') str_puts(&s, "\\n");
        else str_putc(&s, *p);
    }
    mem_free(text);
    if (!f->shown) f->shown = json_new_array();
    json_push(f->shown, json_new_strn(s.p, utf8_whole(s.p, s.len)));
    str_done(&s);
}

struct json *faults_take(struct faults *f)
{
    struct json *a = f->shown ? f->shown : json_new_array();
    f->shown = NULL;
    return a;
}
