/* jinja.c -- the door of the Jinja interpreter: opening, closing, rendering, and the bounds of both.
 *
 * A template is compiled once into a tree that nothing writes to afterwards, so threads share it. A
 * rendering owns an arena and counts: steps of the tree walked, bytes taken, depth of nesting. The
 * bounds grow with what was handed in, not with what the template does with it, so a template that
 * loops or doubles without end is stopped in a fraction of a second, and a long conversation is not.
 *
 * True at all times: a string knows which of its bytes stand in the template; what comes from the
 * variables never becomes such a byte, whatever filters it goes through. */
#include "text/jinja_int.h"

#include <stdarg.h>

#define SOURCE_MOST ((size_t)1 << 19)                                 /* bytes of a template */
#define STEPS_BASE 250000                                             /* of any rendering */
#define STEPS_PER_BYTE 40                                             /* of the variables */
#define BYTES_BASE ((size_t)16 << 20)
#define BYTES_PER_BYTE 64
#define DEPTH_MOST 2500                                               /* of evaluation */
#define BLOCK ((size_t)60 << 10)

/* ---- one rendering --------------------------------------------------------------------------- */

bool fail(struct rt *r, enum err_code code, const char *fmt, ...)
{
    if (r->failed) return false;
    char what[360];
    int line, column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    source_place(r->j, r->pos, &line, &column);
    r->failed = true;
    return err_set(r->e, code, "%s:%d:%d: %s", r->j->name, line, column, what);
}

bool too_long(struct rt *r)
{
    return fail(r, ERR_LIMIT, "the template runs too long: more than %llu steps", (unsigned long long)r->most_steps);
}

bool room(struct rt *r, size_t n)
{
    if (n <= r->most && r->used <= r->most - n) return true;
    return fail(r, ERR_LIMIT, "the template takes too much memory: more than %zu MB", r->most >> 20);
}

void *take(struct rt *r, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (n > r->left) {
        size_t block = MAX(n, BLOCK);
        r->p = arena_alloc(&r->mem, block);
        r->left = block;
    }
    void *p = r->p;
    r->p += n;
    r->left -= n;
    r->used += n;
    if (r->used > r->most) room(r, 0);                    /* too much of little: the next step ends it */
    return p;
}

bool deeper(struct rt *r)
{
    r->depth++;
    return r->depth < DEPTH_MOST ||
           fail(r, ERR_LIMIT, "nested deeper than %d: calls of macros and values within values", DEPTH_MOST);
}

/* Bytes and values handed in. */
static size_t weight(const struct json *v)
{
    size_t n = 8, len = 0;
    switch (json_type(v)) {
    case JSON_STRING: json_str(v, &len); return n + len;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_len(v); i++) n += weight(json_at(v, i));
        return n;
    case JSON_OBJECT:
        for (struct json_iter it = json_iter(v); json_next(&it);) n += it.key_len + weight(it.value);
        return n;
    default: return n;
    }
}

static void hand_over(const struct buf *b, struct prompt *out)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < b->n_run; from = b->run[i++].end)
        prompt_put(out, b->run[i].ours, b->p + from, b->run[i].end - from);
}

static bool load_vars(struct rt *r, const struct json *vars)
{
    r->vars = dict_new(r);
    for (struct json_iter it = json_iter(vars); json_next(&it);) {
        struct val key = of_bytes(it.key, it.key_len, THEIRS), v;
        bool ours = str_eq(&key, "bos_token") || str_eq(&key, "eos_token");
        if (!load_json(r, it.value, ours, &v) || !dict_put(r, r->vars, key, v)) return false;
    }
    return true;
}

bool jinja_render(const struct jinja *j, const struct json *vars, struct prompt *out, struct err *e)
{
    size_t n = vars ? weight(vars) : 0;
    struct rt r = { .j = j, .e = e, .most = BYTES_BASE + n * BYTES_PER_BYTE,
                    .most_steps = STEPS_BASE + (uint64_t)n * STEPS_PER_BYTE };
    if (!json_is(vars, JSON_OBJECT))
        return err_set(e, ERR_ARG, "%s: template variables come as an object", j->name);
    r.most = MIN(r.most, (size_t)UINT32_MAX / 2);
    arena_init(&r.mem, BLOCK);
    r.out = buf_new(&r, 4096 + n);
    struct frame *root = load_vars(&r, vars) ? enter(&r, j->scope, NULL) : NULL;
    bool ok = root && exec_body(&r, root, &j->body) && !r.failed;
    hand_over(r.out, out);
    arena_done(&r.mem);
    return ok;
}

/* ---- compiling ------------------------------------------------------------------------------- */

/* Line ends become \n; the last one goes. */
static void normalize(struct jinja *j, size_t len)
{
    char *to = j->source = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        if (j->text[i] == '\r') {
            *to++ = '\n';
            if (j->text[i + 1] == '\n') i++;
        } else {
            *to++ = j->text[i];
        }
    }
    if (to > j->source && to[-1] == '\n') to--;
    *to = 0;
    j->len = (uint32_t)(to - j->source);
}

struct jinja *jinja_open(const char *text, size_t len, const char *name, struct err *e)
{
    if (len > SOURCE_MOST) {
        err_set(e, ERR_LIMIT, "%s: a template of %zu bytes; at most %zu are read", name, len, SOURCE_MOST);
        return NULL;
    }
    struct jinja *j = mem_zero(sizeof *j);
    arena_init(&j->mem, 0);
    j->name = mem_str(name);
    j->text = mem_zero(len + 1);
    if (len) memcpy(j->text, text, len);
    normalize(j, len);
    struct compile c = { .j = j, .e = e };
    bool ok = jinja_lex(&c) && jinja_parse(&c) && jinja_scopes(&c);
    mem_free(c.tok);
    mem_free(c.slot);
    if (ok) return j;
    jinja_close(j);
    return NULL;
}

void jinja_close(struct jinja *j)
{
    if (!j) return;
    arena_done(&j->mem);
    mem_free(j->needs);
    mem_free(j->names);
    mem_free(j->source);
    mem_free(j->text);
    mem_free(j->name);
    mem_free(j);
}

struct needs **jinja_needs_slot(const struct jinja *j) { return (struct needs **)(uintptr_t)&j->needs; }

const char *jinja_source(const struct jinja *j) { return j->text; }
