/* jinja_parse.c -- statements: the tree of a template, and the helpers that both parsers use.
 *
 * Tags: if, for, set, macro, call, filter, with, print, autoescape (only false), break, continue,
 * generation (its body is what the assistant said; for a prompt it is just there), raw and comments
 * (in the lexer). What reads other templates (include, import, from, extends, block) is refused: a
 * template of a model file has no others. */
#include "text/jinja_int.h"

#include <stdarg.h>

#define NESTING_MOST ((int)LEN(((struct compile *)0)->open))

/* ---- errors ---------------------------------------------------------------------------------- */

void source_place(const struct jinja *j, uint32_t pos, int *line, int *column)
{
    *line = *column = 1;
    for (uint32_t i = 0; i < pos && i < j->len; i++) {
        if (j->source[i] == '\n') ++*line, *column = 1;
        else if ((j->source[i] & 0xc0) != 0x80) ++*column;
    }
}

bool compile_fail(struct compile *c, uint32_t pos, const char *fmt, ...)
{
    if (c->failed) return false;
    char what[300];
    int line, column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    source_place(c->j, pos, &line, &column);
    c->failed = true;
    return err_set(c->e, ERR_FORMAT, "%s:%d:%d: %s", c->j->name, line, column, what);
}

/* ---- tokens and nodes ------------------------------------------------------------------------ */

const struct tok *tok_now(const struct compile *c) { return &c->tok[MIN(c->at, c->n_tok - 1)]; }
const struct tok *tok_ahead(const struct compile *c) { return &c->tok[MIN(c->at + 1, c->n_tok - 1)]; }

bool tok_is_name(const struct tok *t, const char *name)
{
    return t->type == T_NAME && bytes_eq((struct bytes){ t->v.u.s, t->v.len }, name);
}

bool tok_is_op(const struct tok *t, uint8_t op) { return t->type == T_OP && t->op == op; }

bool tok_skip_name(struct compile *c, const char *name)
{
    bool is = tok_is_name(tok_now(c), name);
    c->at += is;
    return is;
}

bool tok_skip_op(struct compile *c, uint8_t op)
{
    bool is = tok_is_op(tok_now(c), op);
    c->at += is;
    return is;
}

void tok_tell(const struct tok *t, char *out, size_t n)
{
    static const char *const what[] = { [T_TEXT] = "text", [T_PRINT_BEGIN] = "'{{'", [T_PRINT_END] = "'}}'",
                                        [T_BLOCK_BEGIN] = "'{%'", [T_BLOCK_END] = "'%}'", [T_END] = "the end of the template" };
    if (t->type == T_NAME) snprintf(out, n, "'%.*s'", (int)MIN(t->v.len, 60), t->v.u.s);
    else if (t->type == T_STRING) snprintf(out, n, "a string");
    else if (t->type == T_INTEGER || t->type == T_FLOAT) snprintf(out, n, "a number");
    else if (t->type != T_OP) snprintf(out, n, "%s", what[t->type]);
    else {
        static const char *const two[] = { ['D'] = "//", ['P'] = "**", ['E'] = "==", ['N'] = "!=", ['G'] = ">=", ['L'] = "<=" };
        if (t->op < LEN(two) && two[t->op]) snprintf(out, n, "'%s'", two[t->op]);
        else snprintf(out, n, "'%c'", t->op);
    }
}

static bool expected(struct compile *c, const char *text)
{
    char got[80];
    tok_tell(tok_now(c), got, sizeof got);
    return compile_fail(c, tok_now(c)->pos, "expected %s, got %s", text, got);
}

bool tok_expect_op(struct compile *c, uint8_t op, const char *text)
{
    return tok_skip_op(c, op) || expected(c, text);
}

static bool expect_name(struct compile *c, const char *name)
{
    return tok_skip_name(c, name) || expected(c, name);
}

struct node *new_node(struct compile *c, enum op op, uint32_t pos)
{
    struct node *n = arena_zero(&c->j->mem, sizeof *n);
    n->op = (uint8_t)op;
    n->pos = pos;
    return n;
}

bool list_add(struct compile *c, struct list *l, struct node *n)
{
    if (l->n == l->cap) {
        struct node **grown = arena_alloc(&c->j->mem, (l->cap * 2 + 4) * sizeof *grown);
        if (l->n) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = l->cap * 2 + 4;
    }
    l->v[l->n++] = n;
    return true;
}

uint32_t jinja_intern(struct compile *c, struct bytes name)
{
    struct jinja *j = c->j;
    if (j->n_names * 2 >= c->mask) {                      /* mask 0 at first: no table */
        mem_free(c->slot);
        c->mask = c->mask ? c->mask * 2 + 1 : 255;
        c->slot = mem_zero((c->mask + 1) * sizeof *c->slot);
        for (uint32_t i = 0; i < j->n_names; i++) {
            uint32_t at = (uint32_t)hash64(j->names[i].p, j->names[i].len, 0) & c->mask;
            while (c->slot[at]) at = (at + 1) & c->mask;
            c->slot[at] = i + 1;
        }
    }
    uint32_t at = (uint32_t)hash64(name.p, name.len, 0) & c->mask;
    for (; c->slot[at]; at = (at + 1) & c->mask)
        if (bytes_same(j->names[c->slot[at] - 1], name)) return c->slot[at] - 1;
    MEM_GROW(j->names, j->n_names, j->cap_names);
    j->names[j->n_names++] = name;
    c->slot[at] = j->n_names;
    return j->n_names - 1;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static bool body_until(struct compile *c, struct list *out, const char *const *ends);

/* The rest of the tag, then statements up to one of the tags in `ends`, which stays the current token. */
static bool body(struct compile *c, struct list *out, const char *const *ends)
{
    tok_skip_op(c, ':');
    if (tok_now(c)->type != T_BLOCK_END) return expected(c, "'%}'");
    c->at++;
    return body_until(c, out, ends);
}

/* The same up to one tag, and past it. */
static bool body_to(struct compile *c, struct list *out, const char *end)
{
    const char *const ends[] = { end, NULL };
    if (!body(c, out, ends)) return false;
    c->at++;
    return true;
}

/* The body of a macro, and which of the special names it mentions. */
static bool macro_body(struct compile *c, struct node *n, const char *end)
{
    uint32_t caller = c->n_caller, kwargs = c->n_kwargs, varargs = c->n_varargs;
    if (!body_to(c, &n->body, end)) return false;
    n->sig->caller = c->n_caller > caller;
    n->sig->kwargs = c->n_kwargs > kwargs;
    n->sig->varargs = c->n_varargs > varargs;
    return true;
}

static bool tag_closed(struct compile *c)
{
    if (tok_now(c)->type != T_BLOCK_END) return expected(c, "'%}'");
    c->at++;
    return true;
}

/* ---- tags: each begins behind its name and ends before the %} of its last tag ------------------------- */

static struct node *parse_if(struct compile *c, uint32_t pos)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    struct node *n = new_node(c, N_IF, pos);
    for (;;) {
        struct node *test = parse_tuple(c, false, false, NULL), *branch = new_node(c, N_SCOPE, pos);
        if (!test || !body(c, &branch->body, ends)) return NULL;
        list_add(c, &n->kids, test);
        list_add(c, &n->kids, branch);
        if (tok_skip_name(c, "elif")) continue;
        if (tok_skip_name(c, "endif")) return n;
        c->at++;
        return body_to(c, &n->other, "endif") ? n : NULL;
    }
}

static struct node *parse_for(struct compile *c, uint32_t pos)
{
    static const char *const ends[] = { "else", "endfor", NULL };
    struct node *n = new_node(c, N_FOR, pos);
    if (!(n->a = parse_target(c, "in", false)) || !expect_name(c, "in")) return NULL;
    if (!(n->b = parse_tuple(c, false, false, "recursive"))) return NULL;
    if (tok_skip_name(c, "if") && !(n->c = parse_expression(c, true))) return NULL;
    n->flag = tok_skip_name(c, "recursive");
    if (!body(c, &n->body, ends)) return NULL;
    if (tok_skip_name(c, "endfor")) return n;
    c->at++;
    return body_to(c, &n->other, "endfor") ? n : NULL;
}

static struct node *parse_set(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_SET, pos);
    if (!(n->a = parse_target(c, NULL, true))) return NULL;
    if (tok_skip_op(c, '=')) return (n->b = parse_tuple(c, true, false, NULL)) ? n : NULL;
    n->op = N_SETBLOCK;
    if (tok_is_op(tok_now(c), '|') && !(n->b = parse_filters(c, NULL, false))) return NULL;
    return body_to(c, &n->body, "endset") ? n : NULL;
}

static struct node *parse_macro(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_MACRO, pos);
    const struct tok *t = tok_now(c);
    if (t->type != T_NAME) {
        expected(c, "the name of the macro");
        return NULL;
    }
    c->at++;
    n->k = t->v;
    n->id = jinja_intern(c, (struct bytes){ t->v.u.s, t->v.len });
    n->sig = arena_zero(&c->j->mem, sizeof *n->sig);
    return parse_signature(c, n->sig) && macro_body(c, n, "endmacro") ? n : NULL;
}

/* {% call(x) f(…) %}body{% endcall %}: the body is a macro that f gets as `caller`. */
static struct node *parse_callblock(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_CALLBLOCK, pos);
    n->sig = arena_zero(&c->j->mem, sizeof *n->sig);
    if (tok_is_op(tok_now(c), '(') && !parse_signature(c, n->sig)) return NULL;
    if (!(n->a = parse_expression(c, true))) return NULL;
    if (n->a->op != N_CALL) {
        compile_fail(c, n->a->pos, "expected the call of a macro");
        return NULL;
    }
    return macro_body(c, n, "endcall") ? n : NULL;
}

static struct node *parse_filterblock(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_FILTERBLOCK, pos);
    if (!(n->b = parse_filters(c, NULL, true))) return NULL;
    return body_to(c, &n->body, "endfilter") ? n : NULL;
}

static struct node *parse_with(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_WITH, pos);
    while (tok_now(c)->type != T_BLOCK_END) {
        if (n->kids.n && !tok_expect_op(c, ',', ", or %}")) return NULL;
        struct node *target = parse_target(c, NULL, false), *value = NULL;
        if (target && tok_expect_op(c, '=', "=")) value = parse_expression(c, true);
        if (!value) return NULL;
        list_add(c, &n->kids, target);
        list_add(c, &n->kids, value);
    }
    return body_to(c, &n->body, "endwith") ? n : NULL;
}

static struct node *parse_generation(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_CALLBLOCK, pos);       /* as Jinja does it: a call whose caller is the body */
    n->sig = arena_zero(&c->j->mem, sizeof *n->sig);
    return macro_body(c, n, "endgeneration") ? n : NULL;
}

static struct node *parse_autoescape(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_SCOPE, pos), *on = parse_expression(c, true);
    if (!on) return NULL;
    if (on->op != N_CONST || truth(&on->k)) {
        compile_fail(c, on->pos, "autoescape is only accepted as false: prompts are no HTML");
        return NULL;
    }
    return body_to(c, &n->body, "endautoescape") ? n : NULL;
}

static struct node *parse_print(struct compile *c, uint32_t pos)
{
    struct node *n = new_node(c, N_PRINT, pos);
    while (tok_now(c)->type != T_BLOCK_END) {
        if (n->kids.n && !tok_expect_op(c, ',', ", or %}")) return NULL;
        struct node *v = parse_expression(c, true);
        if (!v) return NULL;
        list_add(c, &n->kids, v);
    }
    return n;
}

static struct node *parse_break(struct compile *c, uint32_t pos) { return new_node(c, N_BREAK, pos); }
static struct node *parse_continue(struct compile *c, uint32_t pos) { return new_node(c, N_CONTINUE, pos); }

static struct node *parse_other(struct compile *c, uint32_t pos)
{
    compile_fail(c, pos, "include, import, from, extends and block are not supported: a chat template stands alone");
    return NULL;
}

static const struct { const char *tag; struct node *(*parse)(struct compile *c, uint32_t pos); } tags[] = {
    { "if", parse_if }, { "for", parse_for }, { "set", parse_set }, { "macro", parse_macro },
    { "call", parse_callblock }, { "filter", parse_filterblock }, { "with", parse_with },
    { "generation", parse_generation }, { "autoescape", parse_autoescape }, { "print", parse_print },
    { "break", parse_break }, { "continue", parse_continue }, { "include", parse_other },
    { "import", parse_other }, { "from", parse_other }, { "extends", parse_other }, { "block", parse_other },
};

static bool unknown_tag(struct compile *c, const struct tok *t)
{
    struct str known = { 0 };
    int len = (int)MIN(t->v.len, 40);
    if (c->n_open && t->v.len > 3 && !memcmp(t->v.u.s, "end", 3)) {
        int line, column;
        source_place(c->j, c->open[c->n_open - 1].pos, &line, &column);
        return compile_fail(c, t->pos, "'%.*s' closes nothing; the block that is open is '%s' of line %d", len, t->v.u.s,
                            c->open[c->n_open - 1].name, line);
    }
    for (size_t i = 0; i < LEN(tags); i++)
        if (tags[i].parse != parse_other) str_fmt(&known, "%s%s", i ? ", " : "", tags[i].tag);
    compile_fail(c, t->pos, "unknown tag '%.*s'; there are %s and raw", len, t->v.u.s, known.p);
    str_done(&known);
    return false;
}

static struct node *statement(struct compile *c)
{
    const struct tok *t = tok_now(c);
    if (t->type != T_NAME) {
        expected(c, "the name of a tag");
        return NULL;
    }
    for (size_t i = 0; i < LEN(tags); i++) {
        if (!tok_is_name(t, tags[i].tag)) continue;
        if (c->n_open == NESTING_MOST) {
            compile_fail(c, t->pos, "blocks are nested deeper than %d", NESTING_MOST);
            return NULL;
        }
        c->open[c->n_open].name = tags[i].tag;
        c->open[c->n_open++].pos = t->pos;
        c->at++;
        struct node *n = tags[i].parse(c, t->pos);
        c->n_open--;
        return n;
    }
    unknown_tag(c, t);
    return NULL;
}

static bool is_end(const struct compile *c, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (tok_is_name(tok_now(c), *ends)) return true;
    return false;
}

static bool print_tag(struct compile *c, struct list *out)
{
    struct node *n = new_node(c, N_PRINT, tok_now(c)->pos), *v;
    c->at++;
    if (!(v = parse_tuple(c, true, false, NULL))) return false;
    if (tok_now(c)->type != T_PRINT_END) return expected(c, "'}}'");
    c->at++;
    return list_add(c, &n->kids, v) && list_add(c, out, n);
}

static bool body_until(struct compile *c, struct list *out, const char *const *ends)
{
    for (;;) {
        const struct tok *t = tok_now(c);
        struct node *n;
        if (t->type == T_END) {
            if (!ends) return true;
            return compile_fail(c, c->open[c->n_open - 1].pos, "'%s' is never closed; {%% %s %%} is missing",
                                c->open[c->n_open - 1].name, ends[0] && ends[1] ? ends[2] ? ends[2] : ends[1] : ends[0]);
        }
        c->at++;
        if (t->type == T_TEXT) {
            n = new_node(c, N_TEXT, t->pos);
            n->k = t->v;
        } else if (t->type == T_PRINT_BEGIN) {
            c->at--;
            if (!print_tag(c, out)) return false;
            continue;
        } else {
            if (is_end(c, ends)) return true;
            if (!(n = statement(c)) || !tag_closed(c)) return false;
        }
        list_add(c, out, n);
    }
}

bool jinja_parse(struct compile *c) { return body_until(c, &c->j->body, NULL); }
