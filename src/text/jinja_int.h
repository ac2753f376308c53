/* jinja_int.h -- what the files of the Jinja interpreter share: the tree of a compiled template, values,
 * one rendering, and the tables of what can be called.
 *
 * The way through: jinja_lex.c cuts the text into tokens, jinja_parse.c and jinja_expr.c make a tree,
 * jinja_scope.c gives every name a place; jinja_exec.c and jinja_eval.c walk the tree over values
 * (jinja_value.c), with operators (jinja_op.c), methods (jinja_method.c), filters (jinja_filter.c,
 * jinja_list.c), tests (jinja_is.c), functions (jinja_global.c), and what prints and reads values
 * (jinja_print.c, jinja_load.c, jinja_format.c, jinja_unicode.c). */
#ifndef TENON_TEXT_JINJA_INT_H
#define TENON_TEXT_JINJA_INT_H

#include "text/int.h"

/* ---- values ---------------------------------------------------------------------------------- */

enum kind {
    K_MISSING,                                          /* no value at all; never seen by a template */
    K_UNDEFINED, K_NONE, K_BOOL, K_INT,
    K_BIG,                                            /* an integer beyond 64 bit: its digits, as text */
    K_FLOAT, K_STR, K_LIST, K_TUPLE, K_DICT,
    K_RANGE,
    K_ITER,                                                   /* goes through once, has no length */
    K_VIEW,                                                   /* keys(), values(), items() of a dict */
    K_NAMESPACE, K_CYCLER, K_JOINER, K_LOOP, K_MACRO, K_METHOD, K_FUNCTION,
};
/* Whose bytes a string is made of: from outside, the template's own, both (the runs of its buffer say). */
enum trust { THEIRS, OURS, MIXED };

/* Bytes that grow at their end; runs say whose they are: each up to `end`, from where the last ended. A
 * string ending where its buffer ends is continued in place by whoever adds to it first. */
struct run { uint32_t end; bool ours; };
struct buf { char *p; uint32_t len, cap; struct run *run; uint32_t n_run, cap_run; };

struct val {
    uint8_t kind, trust;
    uint8_t markup;                                         /* a string that is "safe": + escapes for it */
    uint8_t view;                                                     /* K_VIEW: enum view */
    uint32_t len;                       /* bytes of a string, elements of a list, tuple or view */
    union {
        bool b; int64_t i; double f;
        const char *s;                         /* K_STR, K_BIG; K_UNDEFINED: the name, see `buf` */
        struct store *l;                       /* K_LIST, K_TUPLE, K_VIEW */
        struct dict *d;                        /* K_DICT, K_NAMESPACE */
        struct range *r; struct iter *it; struct cycler *cy; struct joiner *join; struct loop *loop;
        struct macro *macro; struct method *m; const struct builtin *fn;
    } u;
    struct buf *buf;        /* K_STR: where it lies, NULL for one lent; K_UNDEFINED: see undefined_of() */
};

/* Elements; like a buffer, a list that ends where its store ends is continued in place. */
struct store { struct val *v; uint32_t n, cap; };
struct pair { struct val key, value; uint32_t hash; };
struct dict { struct pair *e; uint32_t n, cap, *slot, mask; };        /* slot: above 12 entries */
struct range { int64_t start, stop, step, n; };
struct cycler { struct val items; uint32_t at; };
struct joiner { struct val sep; bool used; };
enum view { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };

/* ---- the tree -------------------------------------------------------------------------------- */

enum op {
    /* expressions */
    N_CONST, N_NAME, N_TUPLE, N_LIST, N_DICT, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST, N_COND,
    N_OR, N_AND, N_NOT, N_COMPARE, N_CONCAT, N_NEG, N_POS,
    N_ADD, N_SUB, N_MUL, N_DIV, N_FLOORDIV, N_MOD, N_POW,
    /* comparisons, in the flag of an operand */
    N_EQ, N_NE, N_LT, N_LE, N_GT, N_GE, N_IN, N_NOTIN,
    /* statements */
    N_TEXT, N_PRINT, N_IF, N_FOR, N_SET, N_SETBLOCK, N_SETATTR, N_MACRO, N_CALLBLOCK, N_FILTERBLOCK, N_WITH,
    N_SCOPE, N_BREAK, N_CONTINUE,
};

struct list { struct node **v; uint32_t n, cap; };
struct keyword { struct val name; struct node *value; };
struct args { struct list pos; struct keyword *kw; uint32_t n_kw, cap_kw; struct node *star, *star2; };
struct signature { struct list names, defaults; bool caller, varargs, kwargs; };

struct node {
    uint8_t op, flag;                     /* N_COMPARE operands: the operator; N_FOR: recursive; N_TEST: not */
    uint16_t up, slot;                                    /* N_NAME: frames outward, place there */
    uint32_t pos;                                         /* byte offset in the source */
    uint32_t id;                                          /* N_NAME, N_MACRO: of the interned name */
    struct node *a, *b, *c;
    struct list kids, body, other;        /* other: else of N_FOR; N_IF: kids = test, body of each branch */
    struct val k;                                         /* constant, text, name */
    struct args *args;
    struct signature *sig;
    const struct builtin *fn;                                         /* N_FILTER, N_TEST; NULL: unknown */
    struct scope *scope, *scope_else, *scope_test;
};

/* Names of one scope and where their value comes from when it is entered (jinja_scope.c). */
enum load { LOAD_PARAM, LOAD_RESOLVE, LOAD_OUTER, LOAD_NOTHING };
struct sym { uint32_t id; uint8_t load; bool stored; uint16_t up, slot; };
struct scope { struct scope *up; struct sym *sym; uint32_t n, cap; bool captured; };

struct jinja {
    char *text, *name;                                    /* as given */
    char *source; uint32_t len;                           /* line ends made \n, the last one dropped */
    struct arena mem;
    struct list body;
    struct scope *scope;
    struct bytes *names; uint32_t n_names, cap_names;     /* interned */
    struct needs *needs;                                  /* needs.c; NULL: not asked yet */
};

/* ---- compiling ------------------------------------------------------------------------------- */

enum token {
    T_TEXT, T_PRINT_BEGIN, T_PRINT_END, T_BLOCK_BEGIN, T_BLOCK_END, T_NAME, T_STRING, T_INTEGER, T_FLOAT, T_OP, T_END,
};
struct tok { uint8_t type; uint8_t op; uint32_t pos, len; struct val v; };
/* op of a T_OP: its character, of two characters a letter. */
enum { OP_FLOORDIV = 'D', OP_POW = 'P', OP_EQ = 'E', OP_NE = 'N', OP_GE = 'G', OP_LE = 'L' };

struct compile {
    struct jinja *j;
    struct err *e;
    struct tok *tok; uint32_t n_tok, cap_tok, at;
    int depth;
    size_t work;
    uint32_t n_caller, n_kwargs, n_varargs;               /* mentions of these names so far */
    bool failed;
    struct { const char *name; uint32_t pos; } open[64]; int n_open;      /* blocks not closed yet */
    uint32_t *slot; uint32_t mask;                                        /* of interned names */
};
bool  compile_fail(struct compile *c, uint32_t pos, const char *fmt, ...) PRINTF_LIKE(3, 4);  /* false */
void  source_place(const struct jinja *j, uint32_t pos, int *line, int *column);
bool  jinja_lex(struct compile *c);
bool  jinja_parse(struct compile *c);
bool  jinja_scopes(struct compile *c);
uint32_t jinja_intern(struct compile *c, struct bytes name);
/* Of jinja_expr.c, for statements. NULL: failed. */
struct node *parse_expression(struct compile *c, bool cond);
struct node *parse_tuple(struct compile *c, bool cond, bool parens, const char *end);
struct node *parse_target(struct compile *c, const char *end, bool attr);
struct node *parse_filters(struct compile *c, struct node *on, bool inline_first);
bool  parse_signature(struct compile *c, struct signature *s);
struct node *new_node(struct compile *c, enum op op, uint32_t pos);
bool  list_add(struct compile *c, struct list *l, struct node *n);
const struct tok *tok_now(const struct compile *c);
const struct tok *tok_ahead(const struct compile *c);
bool  tok_is_name(const struct tok *t, const char *name);
bool  tok_is_op(const struct tok *t, uint8_t op);
bool  tok_skip_name(struct compile *c, const char *name);
bool  tok_skip_op(struct compile *c, uint8_t op);
bool  tok_expect_op(struct compile *c, uint8_t op, const char *text);
void  tok_tell(const struct tok *t, char *out, size_t n);                 /* "'{{'", "name 'x'" */

/* ---- one rendering --------------------------------------------------------------------------- */

struct frame { struct frame *up; struct val v[]; };

struct rt {
    const struct jinja *j;
    struct err *e;
    struct arena mem;
    char *p; size_t left;                                 /* rest of the current block of mem */
    size_t used, most;                                    /* bytes */
    uint64_t steps, most_steps;
    int depth;
    bool failed;
    int flow;                                             /* FLOW_: a break or continue on its way out */
    struct val piped;                                     /* what a filter without operand works on */
    struct dict *vars;
    struct buf *out;                                      /* where printing goes now */
    uint32_t pos;                                         /* of the node being evaluated */
};

enum { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

/* What a call was given. */
struct kwval { struct val name, v; };
struct call { struct val *pos; uint32_t n; struct kwval *kw; uint32_t n_kw; };
#define ARGS_MOST 8
struct in { struct val self; struct val a[ARGS_MOST]; const struct call *call; };
/* params: "old,new,count" names in order, those after '?' may be left out; "*" any. */
struct builtin {
    const char *name;
    bool (*fn)(struct rt *r, struct in *in, struct val *out);
    const char *params;
};
struct method { struct val self; const struct builtin *fn; };
struct macro { const struct node *n; const struct scope *scope; struct frame *frame; struct val name; };

/* Says what is wrong at the node being evaluated; false. Only the first is kept. */
bool fail(struct rt *r, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define FAIL(r, ...) fail((r), ERR_ARG, __VA_ARGS__)
bool too_long(struct rt *r);                              /* false, as fail() */
/* False: too many by now. */
static inline bool steps(struct rt *r, uint64_t n)
{
    r->steps += n;
    return r->steps <= r->most_steps ? !r->failed : too_long(r);
}
bool room(struct rt *r, size_t n);                        /* is there memory for n more bytes? */
void *take(struct rt *r, size_t n);                       /* never NULL; ask room() for much */
bool deeper(struct rt *r);                                /* r->depth-- afterwards, also on false */

/* ---- making and asking values: jinja_value.c ------------------------------------------------- */

#define NONE ((struct val){ .kind = K_NONE })
struct val of_bool(bool b);
struct val of_int(int64_t i);
struct val of_float(double f);
struct val of_bytes(const char *s, size_t len, enum trust t);             /* lent */
struct val of_text(const char *s);                                        /* lent C string, OURS */
struct val undefined_hint(const char *message);
struct val undefined_name(struct bytes name);
struct val undefined_of(struct rt *r, const struct val *obj, struct bytes name);
bool undefined_fail(struct rt *r, const struct val *v);                   /* false */
const char *type_name(const struct val *v);                               /* as Python says it */
bool truth(const struct val *v);
bool is_number(const struct val *v);                                      /* int, float, bool */
bool as_int(const struct val *v, int64_t *out);                           /* of int and bool */
double as_float(const struct val *v);                                     /* of a number */
bool str_eq(const struct val *v, const char *s);
static inline bool is_str(const struct val *v) { return v->kind == K_STR; }
static inline bool is_seq(const struct val *v) { return v->kind == K_LIST || v->kind == K_TUPLE; }
/* Both may fail: depth, what cannot be compared. */
bool equal(struct rt *r, const struct val *a, const struct val *b, bool *out);
bool less(struct rt *r, const struct val *a, const struct val *b, const char *op, bool *out);
bool contains(struct rt *r, const struct val *seq, const struct val *v, bool *out);
bool length_of(struct rt *r, const struct val *v, int64_t *out);
bool has_length(const struct val *v);

struct buf *buf_new(struct rt *r, size_t cap);
bool buf_put(struct rt *r, struct buf *b, const char *s, size_t n, bool ours);
bool buf_puts(struct rt *r, struct buf *b, const char *s);                /* theirs */
bool buf_str(struct rt *r, struct buf *b, const struct val *s);           /* a string with its runs */
struct val buf_val(const struct buf *b, uint32_t from, uint32_t to);
bool concat(struct rt *r, const struct val *a, const struct val *b, struct val *out);
struct val sub_str(const struct val *s, size_t from, size_t to);          /* bytes [from, to) */
bool ours_at(const struct val *s, size_t byte);
int64_t str_chars(const struct val *s);                                   /* code points */
size_t str_at(const struct val *s, int64_t chars);                        /* byte of that code point */

bool list_new(struct rt *r, size_t cap, struct val *out);
bool list_put(struct rt *r, struct val *list, struct val v);
struct dict *dict_new(struct rt *r);
bool dict_add(struct rt *r, struct dict *d, struct val key, struct val value);    /* a key that is not there and can be hashed */
bool dict_put(struct rt *r, struct dict *d, struct val key, struct val value);
/* *out NULL: not there; false: a key that cannot be hashed. */
bool dict_find(struct rt *r, const struct dict *d, const struct val *key, struct val **out);
struct val *dict_str(const struct dict *d, const char *s, size_t len);

/* Goes through anything that can be gone through. */
struct iter { struct val src; int64_t i; const struct dict *d; bool (*next)(struct rt *r, struct iter *it, struct val *out, bool *end); void *ctx; };
bool iter_open(struct rt *r, const struct val *v, struct iter *it);
bool iter_next(struct rt *r, struct iter *it, struct val *out, bool *end);
bool to_list(struct rt *r, const struct val *v, struct val *out);         /* a list of its own */
struct val iter_over(struct rt *r, struct val list);                      /* a K_ITER over a list */

/* ---- the rest -------------------------------------------------------------------------------- */

/* jinja_load.c */
bool load_json(struct rt *r, const struct json *v, bool ours, struct val *out);
/* jinja_print.c: str(), repr(), json.dumps() */
bool to_str(struct rt *r, const struct val *v, struct val *out);
bool put_str(struct rt *r, struct buf *b, const struct val *v);
bool put_repr(struct rt *r, struct buf *b, const struct val *v);
struct dump { bool ascii, sort; struct val indent, item_sep, key_sep; };
bool put_json(struct rt *r, struct buf *b, const struct val *v, const struct dump *d);
int  print_float(char out[40], double v);
void source_quote(char *out, size_t n, const struct val *v);              /* for messages: 'abc…' */
/* jinja_op.c */
bool op_binary(struct rt *r, enum op op, const struct val *a, const struct val *b, struct val *out);
bool op_sign(struct rt *r, bool minus, const struct val *a, struct val *out);
/* obj[key]; K_MISSING: there is none. */
bool get_item(struct rt *r, const struct val *obj, const struct val *key, struct val *out);
bool get_slice(struct rt *r, const struct val *obj, const struct val *lo, const struct val *hi, const struct val *step, struct val *out);
bool escape_html(struct rt *r, const struct val *s, struct val *out);
/* jinja_eval.c */
bool eval(struct rt *r, struct frame *f, const struct node *n, struct val *out);
/* A call; caller: one more argument of that name, or NULL. */
bool eval_call(struct rt *r, struct frame *f, const struct node *n, const struct val *caller, struct val *out);
/* What Python's getattr() finds, without looking for items. */
bool find_attr(struct rt *r, const struct val *obj, const struct val *name, struct val *out, bool *found);
bool get_attr(struct rt *r, const struct val *obj, const struct val *name, struct val *out);
bool get_subscript(struct rt *r, const struct val *obj, const struct val *key, struct val *out);
bool call_builtin(struct rt *r, const struct builtin *fn, const struct val *self, const struct call *c, struct val *out);
bool call_value(struct rt *r, const struct val *f, const struct call *c, struct val *out);
/* jinja_exec.c */
bool exec_body(struct rt *r, struct frame *f, const struct list *body);
bool call_macro(struct rt *r, const struct macro *m, const struct call *c, struct val *out);
struct frame *enter(struct rt *r, const struct scope *s, struct frame *up);
bool loop_attr(struct rt *r, struct loop *l, const struct val *name, struct val *out, bool *found);
bool loop_call(struct rt *r, struct loop *l, const struct call *c, struct val *out);
bool loop_length(struct rt *r, struct loop *l, int64_t *out);
bool loop_cycle(struct rt *r, struct in *in, struct val *out);            /* loop.cycle(…) */
bool loop_changed(struct rt *r, struct in *in, struct val *out);
/* tables */
const struct builtin *filter_find(const char *s, size_t len);
const struct builtin *own_filter_find(const char *s, size_t len);      /* jinja_own.c */
const struct builtin *list_filter_find(const char *s, size_t len);
const struct builtin *test_find(const char *s, size_t len);
const struct builtin *method_find(const struct val *self, const char *s, size_t len);
const struct builtin *global_find(const char *s, size_t len);
/* jinja_list.c. The order of n keys, stable; NULL: two cannot be compared. */
const uint32_t *sort_order(struct rt *r, const struct val *keys, uint32_t n, bool reverse);
/* item.a.0.b for "a.0.b"; `without` instead of what is undefined on the way, NULL: as it is. */
bool attr_path(struct rt *r, const struct val *item, const struct val *path, const struct val *without, struct val *out);
bool run_test(struct rt *r, const struct builtin *fn, const struct val *v, const struct call *c, bool *out);
/* jinja_format.c */
bool format_percent(struct rt *r, const struct val *fmt, const struct val *arg, struct val *out);
bool format_braces(struct rt *r, const struct val *fmt, const struct call *c, struct val *out);
/* jinja_method.c, for filters too */
bool str_strip(struct rt *r, const struct val *s, const struct val *chars, int ends, struct val *out);  /* 1 left, 2 right */
bool str_replace(struct rt *r, const struct val *s, const struct val *old, const struct val *to, int64_t count, struct val *out);
bool str_case(struct rt *r, const struct val *s, int how, struct val *out);   /* 'u'pper 'l'ower 'c'apitalize 't'itle 's'wap 'f'old */
bool str_join(struct rt *r, const struct val *sep, struct val *list, struct val *out);
bool str_lines(struct rt *r, const struct val *s, bool keep, struct val *out);
bool str_pad(struct rt *r, const struct val *s, int64_t width, const struct val *fill, int how, struct val *out); /* '<' '>' '^' */
bool str_find(const struct val *s, const struct val *part, size_t from, size_t to, size_t *at);
/* jinja_unicode.c */
bool cp_printable(uint32_t cp);
bool cp_alpha(uint32_t cp);
bool cp_decimal(uint32_t cp);
bool cp_digit(uint32_t cp);
bool cp_numeric(uint32_t cp);
bool cp_word(uint32_t cp);                                                /* \w: alphanumeric or _ */
bool cp_cased(uint32_t cp);
bool cp_upper_is(uint32_t cp);
bool cp_lower_is(uint32_t cp);
/* Up to three code points; the count. */
int cp_upper(uint32_t cp, uint32_t out[3]);
int cp_lower(uint32_t cp, uint32_t out[3]);
int cp_title(uint32_t cp, uint32_t out[3]);

#endif
