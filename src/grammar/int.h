/* int.h -- what the files of grammar/ share: the compiled grammar, the matcher, and who fills what.
 *
 *   schema.c    JSON Schema documents        -> nodes, one a schema, keywords read and checked; pointer.c: where one lies
 *   share.c     equal nodes              -> one node; apart.c: have two schemas a value in common?
 *   scalar.c    does a value of an enum meet a schema?
 *   risk.c      which goals may meet a limit, and are opened while compiling
 *   goal.c      goals (sets of signed nodes) -> bags (conjunctions without alternatives), on demand
 *   shape.c, shape_array.c, shape_object.c, shape_literal.c   bags -> shapes, one JSON type each
 *   choice.c    choices and negations about a text alone -> one part of its automaton
 *   solve.c     which goals some value can meet, and how deep it must nest; debt.c what an object still owes, counts.c an array
 *   envelope.c  text of the envelope         -> tree; gbnf.c: text of a GBNF grammar -> tree
 *   envelope_lay.c  tree                     -> ops (a small program over bytes)
 *   match.c     ops + shapes + frames        -> configurations, advanced byte by byte
 *   value.c scalars and containers, object.c keys, unique.c uniqueItems: the JSON side of stepping
 *   stretch.c   free text, runs of code points, patterns: what one op repeats by itself
 *   lex.c       strings and UTF-8, number.c, number_exact.c numbers, dfa.c patterns: the lexical automata
 *   lexicon.c   tokens                       -> trie, string classes, cost of spelling a text; tails.c: what follows a quote in them
 *   bytes.c     configurations           -> bytes that may come, never too few
 *   mask.c, dense.c   configurations x vocabulary  -> bit mask;  forced.c -> runs without a choice
 *   coarse.c    the vocabulary, letters that an automaton does not tell apart being one
 *   dense_walk.c, dense_map.c   a text's automaton along the vocabulary trie, and what a text may die of soon
 *   budget.c, cost.c  configurations x vocabulary  -> tokens to the nearest end;  afford.c: content that leaves enough
 *
 * Compiling reads every schema that can be reached and checks it; goals are expanded when a matcher
 * first needs them, under the grammar's lock, and never change afterwards. A configuration is a
 * position inside one construct plus a frame, the persistent stack of what encloses it. Frames are
 * never changed once made, so a snapshot is an index and rollback is truncation. Every configuration
 * alone can be completed; a set of them means "any of these". */
#ifndef TENON_GRAMMAR_INT_H
#define TENON_GRAMMAR_INT_H

#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/refs.h"
#include "grammar/regex.h"

/* ---- limits (docs/grammar.md lists them) ----------------------------------------------------- */

enum {
    MOST_CONF = 1024, MOST_CONF_VALIDATE = 2048,      /* live configurations; further alternatives are dropped */
    MOST_DEPTH = 64,                    /* nesting of generated values */
    MOST_DEPTH_VALIDATE = 500,
    MOST_GOAL = 1 << 16, MOST_NODE = 1 << 18,
    MOST_SHAPE = 512,                   /* alternatives of one goal, arrays and objects of one enum */
    MOST_BAG = 400,                     /* schemas that apply to one value */
    MOST_WAYS = 20000,                  /* alternatives looked at for one goal */
    MOST_TRIE = 1 << 21,                /* nodes of all literal tries together */
    MOST_OP = 1 << 14, MOST_ENVELOPE = 1 << 20,
    MOST_DIGIT = 24,                    /* digits of each part of a generated number, if its bounds need no more */
    MOST_BOUND_DIGIT = 1000,            /* digits of a bound, written out */
    MOST_EXACT = 18,                    /* digits of a number with multipleOf or excluded values */
    MOST_OTHER = 16, MOST_EXCEPT = 1 << 14,
    MOST_KEY = 1024, MOST_DYN = 128,    /* invented keys of open objects: code points, number */
    MOST_KEY_CLASS = 64,                /* ways in which patterns sort the keys of one object */
    MOST_OWED = 6,                      /* things of which an array needs some */
    MOST_DEBT = 30,                     /* negated schemas of one object */
    MOST_BLANK = 20, MOST_NEWLINE = 2   /* one run of blanks in flexible spelling */
};
#define NONE UINT32_MAX
#define COST_MAX 0x0fffffffu            /* cannot be spelled; sums are clipped here */

static inline uint32_t cost_add(uint32_t a, uint32_t b)
{
    return a + b < COST_MAX ? a + b : COST_MAX;
}
/* MIN works its smaller side out twice; this is for what is a search. */
static inline uint32_t cost_min(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- exact decimals: dec.c ------------------------------------------------------------------- */

/* value = 0.d1d2d3… x 10^point; digits without leading and trailing zeros; zero has n = 0. */
struct dec { const char *digit; int n; int64_t point; bool neg; };
struct dec dec_read(struct arena *a, const char *text, size_t len);   /* text: a JSON number */
int  dec_cmp(const struct dec *a, const struct dec *b);
bool dec_is_int(const struct dec *a);
bool dec_multiple(const struct dec *a, const struct dec *b);          /* a = b x integer? exact; b > 0 */

/* ---- tries over literal byte strings: trie.c ------------------------------------------------- */

/* Node 0 is the root; children of a node are neighbours, sorted by byte. [lo, hi) = ranks (sorted
 * order) of the strings below; is_leaf: string lo ends here. */
struct tnode { uint32_t child, lo, hi, depth; uint16_t n_child; uint8_t byte; bool is_leaf; };
struct trie { struct tnode *node; uint32_t n_node, n_str; const struct bytes *str; uint32_t *id; /* rank -> caller's index */
              uint32_t id_cost; /* place of its costs in a bind */ };
/* Duplicates keep the first index. False: more than MOST_TRIE nodes (counted in *used). */
bool trie_build(struct trie *t, struct arena *a, const struct bytes *str, uint32_t n, uint32_t *used);

static inline uint32_t trie_step(const struct trie *t, uint32_t at, uint8_t b)
{
    const struct tnode *p = &t->node[at];
    uint32_t lo = p->child, hi = p->child + p->n_child;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (t->node[mid].byte < b) lo = mid + 1;
        else hi = mid;
    }
    return lo < p->child + p->n_child && t->node[lo].byte == b ? lo : NONE;
}

/* ---- schemas as read: schema.c --------------------------------------------------------------- */

enum {
    T_NULL = 1, T_FALSE = 2, T_TRUE = 4, T_INT = 8, T_FRAC = 16, T_STR = 32, T_ARR = 64, T_OBJ = 128,
    T_ALL = 255, T_NUM = T_INT | T_FRAC, T_BOOL = T_FALSE | T_TRUE
};
static inline int type_of(const struct json *v)                       /* numbers: T_NUM */
{
    static const uint8_t bits[] = { [JSON_NULL] = T_NULL, [JSON_NUMBER] = T_NUM, [JSON_STRING] = T_STR,
                                    [JSON_ARRAY] = T_ARR, [JSON_OBJECT] = T_OBJ };
    return json_type(v) == JSON_BOOL ? json_bool(v) ? T_TRUE : T_FALSE : bits[json_type(v)];
}

/* Keywords by what they speak of; children are node numbers, NONE where the keyword is absent. */
struct kw_num { bool has_lo, lo_open, has_hi, hi_open, has_multiple; struct dec lo, hi, multiple; };
struct kw_str { uint32_t min, max; struct bytes pattern, format; };   /* p NULL: absent; max NONE */
struct kw_arr { uint32_t *prefix, n_prefix, rest, contains, least, most, min, max, uneval; bool unique, marks; };  /* marks: contains evaluates */
struct kw_prop { struct bytes name; uint32_t node; };
struct kw_need { struct bytes key; struct bytes *name; uint32_t n; };
struct kw_obj {
    struct kw_prop *prop, *pattern, *dep; uint32_t n_prop, n_pattern, n_dep;  /* dep: dependentSchemas */
    const struct json *props;                                         /* where prop was read: member i is prop[i] */
    struct bytes *req; uint32_t n_req;
    struct kw_need *need; uint32_t n_need;                            /* dependentRequired */
    uint32_t rest, names, min, max, uneval;
};
struct kw_in { uint32_t ref, *all, n_all, *any, n_any, *one, n_one, no, cond, then, other; uint8_t *apart; };  /* same value;
                                                                       * apart: see branches_apart() */
uint32_t prop_index(const struct kw_obj *k, struct bytes name);       /* into prop; NONE: it lists no such name (schema.c) */

enum node_kind { NODE_TRUE, NODE_FALSE, NODE_READ, NODE_LITERAL };    /* LITERAL: just the value v */
struct node {
    const struct json *v;
    uint32_t res, scope, parent;                                      /* scope: index into schemas.scope */
    uint16_t doc; uint8_t kind, types; bool draft4;
    bool risky;                                                       /* a keyword of its own may meet a limit */
    const char *kw; struct bytes name;                                /* how the parent leads here, for messages */
    uint32_t bare;                                                    /* schemas_bare(), 0: not made yet */
    const struct json *lits; bool is_const;                           /* enum's array or const's value */
    uint32_t *lit_slot, n_lit_slot;                                   /* its hash table, see lits_hold() */
    struct kw_num *num; struct kw_str *str; struct kw_arr *arr; struct kw_obj *obj; struct kw_in *in;
};
struct doc { struct refs *refs; struct json *root; const char *where; };
struct scope { uint32_t *res, n; };

/* ---- shapes: what one goal may look like ----------------------------------------------------- */

enum shape_kind { SH_NULL, SH_TRUE, SH_FALSE, SH_NUM, SH_NUMLIT, SH_STR, SH_STRLIT, SH_ARR, SH_OBJ };

/* Bound on a magnitude: digits of the integer part ("0" for none) and of the fraction. */
struct bound { bool on, open; const char *ip, *fp; uint16_t n_ip, n_fp; };
struct num_part { bool ok; struct bound lo, hi; };                    /* the magnitudes one sign allows */
struct num_exact;                                                     /* number_exact.c */
struct num {
    bool integer, fraction, draft4;                                   /* fraction: not an integer */
    bool has_lo, has_hi, lo_open, hi_open; struct dec lo, hi;
    const struct dec *multiple, *other, *except, *set;                /* of each; of none; none of these; one of these */
    uint32_t n_multiple, n_other, n_except, n_set;                    /* the set: validate mode only */
    /* num_prepare fills the rest; caps that are not 0 replace the usual ones (tests) */
    uint16_t cap_int, cap_frac, cap_sig;                              /* most digits of a part; exact: significant ones */
    bool bounded;                                                     /* no exponents */
    struct num_part part[2];                                          /* [0] positive, [1] negative */
    struct num_exact *exact;                                          /* NULL: bounds are all there is */
};
struct strs {                                                         /* texts */
    uint32_t min, max;                                                /* code points; max NONE */
    struct dfa *dfa; const uint8_t *cls;                              /* NULL: any */
    const char **judge; uint32_t n_judge;                             /* validate: formats no automaton decides */
};
/* One way to take a member or element: its goal, and what that settles of what the container owes. */
struct alt { uint32_t goal, owed; };
struct alts { struct alt *alt; uint32_t n; };
struct okey { struct bytes name; struct alts alts; uint64_t *need; uint32_t owed; bool req, ident; };  /* need: bitset, NULL: none; owed: all of alts */
struct kclass { struct strs s; struct alts alts; };                   /* invented names that are treated alike */
struct obj {
    struct okey *key; uint32_t n_key, n_req, n_word;                  /* declared order */
    struct trie trie; _Atomic bool ready;                             /* over names; id = index into key. See obj_ready() */
    uint32_t *next_req;                                               /* [n_key + 1] first required index >= i, or NONE */
    struct kclass *cls; uint32_t n_cls;                               /* none: closed */
    uint32_t min, max, cap_key;                                       /* members; code points of an invented key */
    uint32_t owes, cls_owed;                                          /* bits that must be settled; those that invented names can */
    bool has_need;
    uint64_t *req, *none;                                             /* bitsets of keys: the required ones, empty */
    uint64_t **ban; uint32_t n_ban;                                   /* sets of keys that must not all be there */
    uint64_t *absent[MOST_DEBT];        /* debts that are settled if one of these keys is not there at the end; NULL: not so */
    uint32_t id_cost;                                                 /* place of its costs in a bind */
};
struct cont { uint32_t min, max; };                                   /* contains: how many elements */
struct arr {
    struct alts *prefix; uint32_t n_prefix;                           /* elements by place, then rest (n 0: no more) */
    struct alts rest;
    uint32_t min, max;
    struct cont cont[MOST_OWED]; uint32_t n_cont;                     /* bit i of alt.owed counts for cont[i] */
    bool unique;
};
struct shape {
    uint8_t kind; bool met;                                           /* met: some value has this shape */
    uint16_t height;                                                  /* containers its smallest value nests */
    union { struct num *num; struct trie *lit; struct strs *str; struct obj *obj; struct arr *arr; };
};
enum goal_state { GOAL_NEW, GOAL_BUSY, GOAL_OPEN, GOAL_SOLVED, GOAL_FAILED };  /* OPEN: shapes known; FAILED: a limit */
struct goal {
    struct shape *shape; uint32_t n_shape;
    bool unsure, reached;                                             /* unsure: not ok, but only as far as a limit let anybody see */
    uint32_t *key, n_key;                                             /* sorted: node * 2 + negated */
    _Atomic uint8_t state; bool ok; uint16_t height;
};

/* ---- envelope program ------------------------------------------------------------------------ */

enum op_kind { OP_LIT, OP_CLASS, OP_SPECIAL, OP_TEXT, OP_CHARS, OP_RE, OP_NAME, OP_VALUE, OP_SLOT, OP_SPLIT, OP_CALL, OP_EACH, OP_RET, OP_NEVER };
enum surface { SURF_JSON, SURF_PYTHON, SURF_ARGS, SURF_RAW };
/* a: LIT text offset, CLASS index, SPECIAL name index, TEXT trigger set, CHARS run, RE pattern, NAME 1 = JSON-escaped,
 * VALUE/SLOT surface, SPLIT second branch, CALL/EACH entry. b: LIT length, SLOT goal. */
struct op { uint8_t kind; uint32_t next, a, b; };
struct byteset { uint64_t w[4]; };
static inline bool byteset_has(const struct byteset *s, uint8_t b) { return s->w[b >> 6] >> (b & 63) & 1; }
static inline void byteset_add(struct byteset *s, uint8_t b) { s->w[b >> 6] |= 1ull << (b & 63); }
static inline void byteset_remove(struct byteset *s, uint8_t b) { s->w[b >> 6] &= ~(1ull << (b & 63)); }
/* Aho-Corasick over trigger literals, complete transition table; state 0 is the start. */
struct triggers {
    uint32_t n_state; uint16_t (*next)[256]; uint64_t hash;           /* next UINT16_MAX: a trigger is complete */
    uint32_t min, max;                                                /* code points of the text; max NONE: any number */
    bool any;                                                         /* no triggers at all */
};
/* min to max code points out of sorted ranges [lo, hi] that do not touch; shortest: bytes of the cheapest one. */
struct chars { uint32_t (*range)[2], n_range, min, max; uint64_t ascii[2]; uint8_t shortest; };

/* ---- the compiled grammar -------------------------------------------------------------------- */

struct spell { bool flexible; const char *item[2], *key[2]; uint32_t n_item[2], n_key[2]; uint8_t first; };
enum { STYLE_COMPACT, STYLE_OWN, STYLE_OPEN };                        /* spell.first: style before the first separator */

/* Schemas of one grammar: nodes (complete after compiling) and goals (grow under grammar.lock). */
struct schemas {
    struct doc *doc; uint32_t n_doc, cap_doc;
    struct node **chunk; uint32_t n_chunk, cap_chunk;                 /* of NODE_CHUNK nodes each; see schemas_node() */
    uint32_t n_node, n_read;            /* n_read: how many have been read */
    struct scope *scope; uint32_t n_scope, cap_scope;
    uint32_t *node_slot, n_node_slot, *goal_slot, n_goal_slot;        /* hash tables of ids + 1 */
    uint32_t n_trie_node, cap_relaxed;
    bool scoped, saw_dynamic;           /* keep dynamic scopes; $dynamicRef was met */
    struct load *load; uint32_t n_load;                               /* of signed nodes, risk.c; NULL: all are light */
    struct dfa **dfa; uint32_t n_dfa, cap_dfa;                        /* held for shapes */
};
enum { NODE_CHUNK = 32 };                                             /* half of all schemas have no more; they never move */
static inline struct node *schemas_node(const struct schemas *s, uint32_t i) { return &s->chunk[i / NODE_CHUNK][i % NODE_CHUNK]; }
enum { GOAL_FIRST = 16, GOAL_CHUNKS = 13 };                           /* chunk k holds GOAL_FIRST << k goals, which never move */
struct bind;
struct grammar {
    struct arena mem;
    struct grammar_opts o;
    char *draft, *remotes;              /* own copies behind o */
    bool uses_args;
    struct spell spell;
    struct op *op; uint32_t n_op, root;
    char *text; uint32_t n_text;
    struct byteset *cls; uint32_t n_cls;
    const char **special; uint32_t n_special;
    struct triggers *trig; uint32_t n_trig;
    struct chars *chars; uint32_t n_chars;
    struct dfa **re; uint32_t n_re;                                   /* patterns of the envelope, counted references */
    struct schemas s;
    struct goal *goal_chunk[GOAL_CHUNKS]; _Atomic uint32_t n_goal;
    uint32_t *pair_goal, n_pair;
    struct bytes *pair_name[2];                                       /* raw, JSON-escaped */
    struct trie name[2];
    uint32_t n_lit, n_obj;                                            /* tries and objects with costs, see id_cost */
    const char **relaxed; size_t n_relaxed;
    uint64_t id;
    pthread_mutex_t lock;                                             /* recursive: goals, their shapes, the list of binds */
    struct arena *scratch;              /* of goals that are being opened, one inside of the other; NULL: none is */
    struct bind *bind;
};
static inline struct goal *goal_at(const struct grammar *g, uint32_t i)
{
    uint32_t at = i + GOAL_FIRST, k = 27u - (uint32_t)__builtin_clz(at);
    return &g->goal_chunk[k][at - ((uint32_t)GOAL_FIRST << k)];
}

/* envelope.c: text in one of the syntaxes becomes g's program; compile.c hands in the goals that slots refer to. */
enum syntax { SYNTAX_ENVELOPE, SYNTAX_GBNF, SYNTAX_REGEX, SYNTAX_VALUE };        /* VALUE: one JSON value, no text at all */
bool envelope_parse(struct grammar *g, enum syntax syntax, const char *text, uint32_t n_schema, const uint32_t *slot_goal,
                    struct err *e);

void envelope_of_value(struct grammar *g, uint32_t goal);             /* what `schema(0, json)` says, without its text; envelope_lay.c */

/* ---- schema.c: documents become nodes -------------------------------------------------------- */

void     schemas_init(struct grammar *g);
void     schemas_done(struct grammar *g);
/* Node of a whole document (shared, not copied); NULL: {}. NONE on error. `where` begins every message ("tool x"). */
uint32_t schemas_document(struct grammar *g, const struct json *schema, const char *where, struct err *e);
bool     schemas_read(struct grammar *g, struct err *e);              /* reads all nodes that can be reached */
void     schemas_share(struct grammar *g);                            /* share.c: equal ones become one */
void     schemas_weigh(struct grammar *g);                            /* risk.c: what opening each may take at most */
bool     goal_is_light(const struct grammar *g, const struct goal *p); /* risk.c: opening it surely meets no limit */
uint32_t schemas_literal(struct grammar *g, const struct json *v, uint32_t parent);    /* node of one value */
uint32_t schemas_bare(struct grammar *g, uint32_t node);              /* the same schema without its unevaluated* */
bool     schemas_fail(const struct grammar *g, struct err *e, uint32_t node, enum err_code c, const char *kw, const char *fmt, ...) PRINTF_LIKE(6, 7);
void     schemas_relaxed(struct grammar *g, uint32_t node, const char *kw);
void     schemas_relaxed_as(struct grammar *g, const char *what);     /* "tool x: /pointer/keyword: why" */
enum { NODE_ANY_OBJECT };                                             /* node 0: {"type":"object"} of our own */

/* ---- goal.c, solve.c, shape*.c, literal.c ---------------------------------------------------- */

uint32_t goal_of(struct grammar *g, const uint32_t *key, uint32_t n, struct err *e);   /* interned; NONE on error */
/* Memory for opening goals, under the lock: what is there already, or own, which scratch_end() frees. */
struct arena *scratch_begin(struct grammar *g, struct arena *own);
void     scratch_end(struct grammar *g, struct arena *own);
/* Shapes of a goal, expanded now if need be (takes the lock). False: a limit; then it has none. */
bool     goal_expand(struct grammar *g, uint32_t goal, struct err *e);
/* Can some value meet it? Solves what that takes. Generate mode: containers nest at most MOST_DEPTH. */
bool     goal_ok(const struct grammar *g, uint32_t goal);
bool     goal_surely_empty(const struct grammar *g, uint32_t goal);   /* nothing meets it, and no limit hides whether something does */
static inline bool goal_met(const struct grammar *g, uint32_t goal)
{
    const struct goal *p = goal_at(g, goal);
    return atomic_load_explicit(&p->state, memory_order_acquire) == GOAL_SOLVED ? p->ok : goal_ok(g, goal);
}
/* Goals of one question with all that their values cannot do without, expanded; known ones are left out. */
struct work {
    struct grammar *g;
    bool (*known)(const struct work *w, uint32_t goal);
    void *ctx;
    uint32_t *goal, n, cap;
    uint32_t *slot, n_slot;             /* hash table of places + 1 */
    uint32_t few_goal[16], few_slot[32];                              /* most questions need no more */
    bool doubt, failed;                 /* one of them is just being expanded; one met a limit */
};
void     work_collect(struct work *w, uint32_t goal);
void     work_done(struct work *w);
/* Expands all goals that can be reached from these and may meet a limit. */
bool     goal_heavy_open(struct grammar *g, uint32_t *root, uint32_t n, struct err *e);
bool     goal_satisfiable(struct grammar *g, uint32_t goal, struct err *e);            /* false: says where nothing fits */

/* debt.c: can an object settle what it owes, and what does the cheapest way cost? */
struct owing_pick { uint32_t key, bits; };                            /* key NONE: an invented one */
struct owing {
    const struct obj *o;
    const uint64_t *seen, *must;        /* keys written, keys that must be */
    uint32_t key, next;                 /* the key being written (NONE: none, or an invented one); first index that may still come */
    uint32_t room;                      /* how many members may follow */
    uint32_t owed;
    /* Cost of a member that settles all of bits, COST_MAX: there is none. */
    uint32_t (*cost)(const void *ctx, uint32_t key, uint32_t bits);
    const void *ctx;
    bool any;                           /* the first way that is found will do */
    struct owing_pick pick[MOST_DEBT]; uint32_t n_pick;               /* found: members that settle debts */
};
uint32_t owing_settle(struct owing *q);                               /* COST_MAX: there is no way */
bool     owing_absent(const struct obj *o, const uint64_t *seen, uint32_t owed);       /* settled if no other key comes? */

/* counts.c: can the elements to come be counted by every contains as it asks for, and what do the cheapest cost? */
struct counting {
    const struct arr *a;
    uint32_t from;                      /* elements that are there */
    uint32_t lack[MOST_OWED], room[MOST_OWED];                        /* that must, that may still count; room NONE: any number */
    uint32_t (*cost)(const void *ctx, const struct alt *alt);         /* of an element taken so, COST_MAX: it cannot be */
    const void *ctx;
};
bool     counts_entangled(const struct counting *q);                  /* false: each count may be looked at by itself */
uint64_t counts_most(const struct counting *q);                       /* the cheapest elements that will do are no more than these */
uint32_t counts_settle(const struct counting *q);                     /* COST_MAX: there are no such elements */

/* A conjunction without alternatives. item: node * 2 + negated, with the item that brought it in; atom: one
 * keyword of a node, negated. */
enum atom_kind {
    NOT_LITS, NOT_LO, NOT_HI, NOT_MULTIPLE, NOT_MIN_LEN, NOT_MAX_LEN, NOT_PATTERN, NOT_FORMAT, NOT_MIN_ITEMS, NOT_MAX_ITEMS,
    NOT_UNIQUE, NOT_ITEMS, NOT_CONTAINS, TOO_MANY, NOT_PROPS, NOT_NAMES, NOT_MIN_PROPS, NOT_MAX_PROPS, HAS_KEY, LACKS_KEY, LACKS_ONE,
    NOT_UNEVAL_PROPS, NOT_UNEVAL_ITEMS,
    ANY_TEXT, NOT_TEXT                                                /* choice.c: not negated, the anyOf of the node; the node negated */
};
struct item { uint32_t ref, from; bool exact; };                      /* exact: what it looks at must be known (unevaluated*) */
struct atom { uint8_t kind; uint32_t node, from; struct bytes key; };
struct bag {
    struct item item[MOST_BAG]; uint32_t n;
    struct atom atom[64]; uint32_t n_atom;
    struct { uint8_t kind; uint32_t at, i; } todo[64]; uint32_t n_todo;  /* alternatives still to be opened */
    uint32_t done;
    int types;
};
struct expand {
    struct grammar *g; uint32_t goal; struct err *e;
    struct arena *tmp;
    struct shape *shape; uint32_t n_shape, cap_shape, work;
    bool lenient;                       /* choices and negations are left out: a superset */
    struct names *names;                /* not NULL: the bags are about names of keys (shape_names.c) */
    struct text_rule *text; uint32_t n_text, cap_text;                /* the ways in which the value may be a text, see texts_close() */
};
/* One way a text may be: parts of its language, lengths, formats that no automaton decides. */
struct text_rule {
    struct re_part *part; uint32_t n_part, min, max; const char **judge; uint32_t n_judge;
    uint32_t node;                      /* for messages */
    bool is_value;                      /* not a name */
};
struct names { struct text_rule *rule; uint32_t n_rule, cap_rule; struct bytes *lit; uint32_t n_lit, cap_lit; };
/* Opens schemas about a text as such rules and literals. */
bool names_open(struct expand *x, const uint32_t *ref, uint32_t n, struct names *out);
struct shape *shape_add(struct expand *x, enum shape_kind kind);      /* NULL: too many */
bool bag_shapes(struct expand *x, const struct bag *b);
bool texts_close(struct expand *x);                                   /* after the last bag: texts that were found become shapes */
bool bag_literals(struct expand *x, const struct bag *b, bool *had);  /* enum and const: their values, judged one by one */
bool bag_array(struct expand *x, const struct bag *b);
bool bag_object(struct expand *x, const struct bag *b);
/* Does v meet a signed node? *ok says so; false: the schema itself is at fault. */
bool literal_meets(struct expand *x, uint32_t ref, const struct json *v, bool *ok);
bool obj_finish(struct expand *x, uint32_t node, struct obj *o);      /* derived tables of an object whose keys are set */
/* What only a matcher that stands in the object asks for: its trie, which names are words. Made once, under the lock. */
void obj_make_ready(struct grammar *g, struct obj *o);
static inline void obj_ready(const struct grammar *g, struct obj *o)
{
    if (!atomic_load_explicit(&o->ready, memory_order_acquire)) obj_make_ready((struct grammar *)g, o);
}
bool goal_open_bags(struct expand *x);                                /* takes x->goal apart; bag_shapes gets the bags */
bool literal_array(struct expand *x, const struct json *v, uint32_t node);
bool literal_object(struct expand *x, const struct json *v, uint32_t node);
bool bag_rule(struct expand *x, const struct bag *b, struct text_rule *out);           /* its string keywords */
/* choice.c: does the schema, or do all branches of the anyOf, say nothing but which patterns a text matches? */
bool text_alone(const struct grammar *g, uint32_t node);
bool text_alone_any(const struct grammar *g, const struct kw_in *in);
/* Of these: do values that are no texts meet it? All of them do, or none. */
bool others_meet(const struct grammar *g, uint32_t node);
bool others_meet_any(const struct grammar *g, const struct kw_in *in);
struct re_part text_choice(struct expand *x, const struct atom *a);   /* ANY_TEXT or NOT_TEXT */
bool strs_make(struct expand *x, uint32_t node, const struct text_rule *r, struct strs *out, bool *empty);
/* Goal of these schemas: as goal_of, with the expansion's errors. */
uint32_t expand_goal_of(struct expand *x, const uint32_t *ref, uint32_t n);
bool strs_match(const struct strs *s, const char *p, size_t len);
/* apart.c: what a schema says by itself, and cheap proofs that two have no value in common. */
const struct node *node_plain(const struct grammar *g, uint32_t id);  /* through references with nothing beside them */
const struct node *node_prop(const struct grammar *g, const struct node *n, struct bytes name);  /* plain; NULL: it lists no such name */
bool node_requires(const struct node *n, struct bytes name);
bool lits_apart(const struct grammar *g, const struct node *a, const struct node *b);
bool nodes_apart(const struct grammar *g, uint32_t a, uint32_t b, int types);          /* of values of these types */
/* The same of two branches of a oneOf, kept once it is known. While compiling, or under the lock. */
bool branches_apart(const struct grammar *g, const struct kw_in *in, uint32_t i, uint32_t k, int types);
enum { MOST_APART = 64 };               /* branches of which it is kept */
bool bag_tells_apart(const struct grammar *g, const struct bag *bag, uint32_t a, uint32_t b);  /* by a key that the bag requires */
/* scalar.c: values of enum and const. */
bool lits_hold(const struct grammar *g, const struct node *n, const struct json *v);   /* v is in its enum or const */
bool scalar_meets(const struct grammar *g, uint32_t node, const struct json *v, bool *ok);  /* false: not decided here */
/* What a schema that depends on a key asks for: more keys, not all of some keys, or anything else. */
enum dep_kind { DEP_ANY, DEP_NEED, DEP_BAN };
bool one_prop(const struct kw_obj *k);                                /* it speaks of one property alone */
enum dep_kind dep_kind(const struct grammar *g, uint32_t node);
const struct kw_obj *dep_obj(const struct grammar *g, uint32_t node); /* of the first two: whose `required` counts */
bool dep_names_values(const struct grammar *g, uint32_t node);        /* it lists the values of one property */
/* Was item `at` brought in by `top`, directly or through others that hold? (top itself counts.) */
bool bag_below(const struct bag *b, uint32_t at, uint32_t top);
uint32_t bag_item(const struct bag *b, uint32_t ref);                 /* the item with this schema, or NONE */
bool key_is_ident(struct bytes name);                                 /* can stand before = in python-arguments */
static inline const struct node *node_at(const struct grammar *g, uint32_t i) { return schemas_node(&g->s, i); }

/* ---- references: uri.c, metaschema.c; refs.h has refs.c ---------------------------------------- */

/* Appends the reference ref[0, n) (no fragment in it) resolved against base (absolute, relative or empty). */
void uri_resolve(struct str *out, const char *base, const char *ref, size_t n);
struct metaschema { const char *uri, *text; };
extern const struct metaschema metaschemas[];                         /* made by the build; the last one's uri is NULL */
/* The document that travels inside under this URI (no fragment; http and https are one), NULL: none. For any thread. */
const struct json *metaschema_get(const char *uri);

/* ---- check.c's inside ------------------------------------------------------------------------- */

/* value against the schema at a spot; its own enum and const are not looked at when skip_lits (the caller took
 * value from there). */
bool check_spot(struct refs *r, struct spot at, const struct json *value, const struct grammar_opts *o,
                bool skip_lits, struct err *e);
/* ecma.c: patterns for the check. NULL: ERR_SCHEMA (malformed), ERR_UNSUPPORTED (more than the engine can do). */
struct ecma;
struct ecma *ecma_open(const char *pattern, size_t len, struct err *e);
void         ecma_close(struct ecma *x);
int          ecma_search(const struct ecma *x, const char *text, size_t len); /* 1 found, 0 not, -1 takes too long */
bool format_known(const char *name);
bool format_valid(const char *name, const char *s, size_t len);       /* true for unknown names */
enum host_kind { HOST_ASCII, HOST_IDN, HOST_EMAIL, HOST_IDN_EMAIL };  /* the last two: the domain of a mailbox */
bool host_valid(enum host_kind kind, const char *p, size_t len);      /* format_host.c */
bool regex_valid(const char *p, size_t len);                          /* format_regex.c */

/* ---- matcher --------------------------------------------------------------------------------- */

enum frame_kind { F_ROOT, F_CALL, F_EACH, F_OBJ, F_ARR, F_DIGIT };
enum { FL_ARGS = 1, FL_MORE = 2, FL_HASH = 4 }; /* OBJ: python-arguments; another key may follow. HASH: inside of uniqueItems */
struct frame {
    uint32_t parent, ref, count;        /* CALL/EACH ref: return op, EACH count: pair; OBJ/ARR ref: goal; count: members, elements */
    uint16_t sh;                        /* OBJ/ARR: shape of the goal */
    uint8_t kind, flags; uint16_t depth, n_dyn;
    uint32_t owed;                      /* OBJ: what no member has settled yet */
    uint32_t next, missing;             /* OBJ: next index of declared order; required keys not written yet */
    uint32_t seen, dyn;                 /* OBJ: offsets into words: bitset of declared keys; list of invented ones.
                                         * ARR: counts of contains; list of hashes of elements (unique) */
    uint32_t need[2];                   /* tokens from the end of the value inside to the end of output; NONE: not known yet */
    uint64_t hash;                      /* of all the content, parents included */
    uint64_t base;                      /* the same without what it owes (and FL_MORE, which follows from that) */
    uint32_t texts;                     /* HASH: list in words of all values seen so far inside of the outermost such array */
    uint64_t value;                     /* HASH: of the members or elements so far, and of the key being valued */
    uint64_t key;
};

enum conf_kind { C_LIT, C_CLASS, C_SPECIAL, C_TEXT, C_CHARS, C_RE, C_NAME,           /* as op kinds; ref = op */
                 C_VALUE, C_STR, C_KEY, C_NUM, C_WORD, C_NUMLIT, C_OPEN, C_SEP, C_QUOTE, C_COLON, C_NEXT, C_END };
struct conf {
    uint32_t frame, ref;                /* ref: op, or goal */
    uint16_t sh; uint8_t cls, kind;     /* sh: shape of the goal; KEY cls: class + 1 of an invented name, 0 declared */
    uint8_t style, surf; uint16_t lex, blank;
    uint32_t n, m, part, dfa;           /* position: literal offset, trie node; m: code points; part: half an escape */
    uint64_t aux;                       /* STR, KEY: hash of the text so far; NUM: comparisons */
};

struct mark { uint32_t conf, frame, word; };                          /* to forget scratch of probing */
struct level { uint32_t from, n; struct mark mark; };
struct snap { uint32_t conf, n_conf, frame, word; size_t byte; int32_t token; bool finished; };
struct matcher {
    const struct grammar *g;
    const struct vocab *v;
    struct bind *bind;
    struct frame *frame; uint32_t n_frame, cap_frame;
    uint64_t *word; uint32_t n_word, cap_word;
    struct conf *conf; uint32_t n_conf, cap_conf;                     /* all committed sets, then scratch */
    struct snap *snap; uint32_t n_snap, cap_snap;                     /* snap[0] = before anything */
    uint32_t set0;                                                    /* where the set being built begins */
    uint64_t *place; uint32_t n_place;                                /* hashes of a large set being built, 0: not begun */
    uint64_t *visit; uint64_t epoch; int fuel;                        /* splits passed in this step */
    struct level *level;                                              /* mask.c: one per depth of the vocabulary trie */
    uint32_t probing;                                                 /* unique.c: looking ahead, depth */
    uint32_t closed;                                                  /* least depth of a container closed since this was set */
    uint32_t carry;                                                   /* frame.texts of a container just closed, or NONE */
    struct memo *memo;                                                /* what was found out, by hash of what it depends on */
    bool mask_hit;
    struct str why;
};
static inline bool validating(const struct matcher *m) { return m->g->o.validate; }
static inline bool declared_order(const struct matcher *m) { return m->g->o.declared_order; }
static inline const struct shape *shape_at(const struct matcher *m, uint32_t goal, uint16_t sh)
{
    return &goal_at(m->g, goal)->shape[sh];
}
static inline const struct obj *frame_obj(const struct matcher *m, const struct frame *f) { return shape_at(m, f->ref, f->sh)->obj; }
static inline const struct arr *frame_arr(const struct matcher *m, const struct frame *f) { return shape_at(m, f->ref, f->sh)->arr; }

/* match.c: the set at conf[from, from+n) advanced by byte b; the new set is appended; its size. */
uint32_t set_step(struct matcher *m, uint32_t from, uint32_t n, uint8_t b);
uint32_t set_special(struct matcher *m, uint32_t from, uint32_t n, int32_t token);
bool     set_accepts(const struct matcher *m, uint32_t from, uint32_t n);
uint64_t conf_hash(const struct matcher *m, const struct conf *c, uint64_t h);
/* Equal for configurations that do the same until the container they are in is closed. False: there is no such container, or
 * what is around it counts before that. */
bool     conf_twin_hash(const struct matcher *m, const struct conf *c, uint64_t *h);
static inline uint64_t mix64(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}
static inline struct snap *matcher_top(const struct matcher *m) { return &m->snap[m->n_snap - 1]; }
static inline struct mark matcher_mark(const struct matcher *m) { return (struct mark){ m->n_conf, m->n_frame, m->n_word }; }
static inline void matcher_reset(struct matcher *m, struct mark k) { m->n_conf = k.conf; m->n_frame = k.frame; m->n_word = k.word; }
void     set_emit(struct matcher *m, struct conf c);                  /* into the set being built, once */
void     op_close(struct matcher *m, uint32_t op, uint32_t frame, uint8_t style); /* all ways on from an op */
uint32_t frame_push(struct matcher *m, struct frame f);               /* fills hash */
uint32_t words_take(struct matcher *m, uint32_t n);                   /* n zeroed words; offset */

/* value.c, object.c: what happens inside of JSON values. */
void value_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style, uint8_t surf);
/* A value is whole; hash tells values apart (0 where nobody asks). */
void value_done(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf, uint64_t hash);
void value_step(struct matcher *m, struct conf c, uint8_t b);         /* C_VALUE and all kinds behind it */
void value_begin(struct matcher *m, struct conf c, uint8_t b);        /* C_VALUE */
bool value_fits(const struct matcher *m, uint32_t goal, uint16_t depth);
bool value_blank(const struct matcher *m, struct conf *c, uint8_t b); /* one more blank of flexible spelling */
int  value_escapes(const struct matcher *m, uint8_t surf);            /* ESC_… */
const char *word_text(enum shape_kind k, uint8_t surf);
/* Does a text so far belong to s, or can it still? */
bool strs_alive(const struct strs *s, uint32_t state, uint32_t len);
bool strs_ends(const struct strs *s, uint32_t state, uint32_t len);
bool strs_goes_on(int esc, const struct strs *s, const struct conf *c);   /* can the text that c is in, perhaps in an escape, be finished? */
uint32_t set_leave(struct matcher *m, const struct conf *c);          /* the set behind the quote, whatever the text; its size */
void str_leave(struct matcher *m, const struct conf *c);              /* of a text, into the set being built; key_leave of a name */
void key_leave(struct matcher *m, const struct conf *c);

uint32_t obj_open(struct matcher *m, uint32_t goal, uint16_t sh, uint32_t parent, bool args);
void obj_keys(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf);         /* emits where a name begins */
void key_step(struct matcher *m, struct conf c, uint8_t b);
bool obj_closes(const struct matcher *m, const struct frame *f);
uint32_t memo_get(const struct matcher *m, uint64_t key);             /* match.c; NONE: not known, or no longer */
uint32_t memo_put(const struct matcher *m, uint64_t key, uint32_t value);              /* returns value */
bool obj_seen(const struct matcher *m, const struct frame *f, uint32_t key);
bool obj_offers(const struct matcher *m, const struct frame *f, uint32_t key);
bool obj_invents(const struct matcher *m, const struct frame *f, uint32_t cls);        /* may the next key be of that class? */
bool obj_takes(const struct matcher *m, const struct frame *f, uint32_t key, const struct alt *a);   /* the key, in this way? */
bool obj_must(const struct matcher *m, const struct frame *f, uint32_t key);
const uint64_t *obj_musts(const struct matcher *m, const struct frame *f);             /* bitset of all these */
/* Can a member with this key, or with an invented one of this class, settle all these debts? also: another name of the class
 * is being written, so two must be free. */
bool obj_key_settles(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t bits);
bool obj_class_settles(const struct matcher *m, const struct frame *f, uint32_t cls, uint32_t bits, bool also);
/* Is an invented name being written of a class that may have no other left after it? */
bool obj_names_scarce(const struct matcher *m, const struct conf *c);
/* Letters that must be left to a short name, so that those that are taken cannot use it up. 0: none before it, or it is not short. */
uint32_t obj_name_spare(const struct matcher *m, const struct conf *c);
bool obj_more(const struct matcher *m, const struct frame *f);
bool name_used(const struct matcher *m, const struct frame *f, uint64_t hash);         /* an invented name written before */
static inline uint64_t key_hash(uint64_t h, uint8_t b) { return (h ^ b) * 0x100000001b3ull + 0x9e37; }
uint32_t key_cap(const struct matcher *m, const struct conf *c);      /* most code points of an invented name */
bool key_closable(const struct matcher *m, const struct conf *c);     /* may the quote (or =) come now? */
uint32_t key_extend(const struct matcher *m, const struct conf *c);   /* more bytes until it may */
bool key_roomy(const struct matcher *m, const struct conf *c);        /* are there always more names than are taken? */
bool escape_leads(const struct matcher *m, const struct trie *t, const struct conf *c, const struct frame *f);
bool escape_means(const struct matcher *m, const struct tnode *child, const struct conf *c, const struct frame *f);

const struct alts *item_alts(const struct arr *a, uint32_t i);        /* n 0: no element there */
uint32_t arr_count(const struct matcher *m, const struct frame *f, uint32_t i);        /* elements that contains i has seen */
bool arr_offers(const struct matcher *m, const struct frame *f, const struct alt *alt); /* may element count be taken so? */
bool arr_more(const struct matcher *m, const struct frame *f);
bool arr_closes(const struct matcher *m, const struct frame *f);

/* So many letters of ASCII that need no escape that they make more texts than n. */
static inline uint32_t letters_for(uint32_t n)
{
    uint32_t k = 0;
    for (uint64_t texts = 1; texts <= n; texts *= 90) k++;
    return k;
}

/* unique.c. Hashes of values of different types never meet. */
enum { SALT_TEXT = 0x5e11, SALT_WORD = 0x70ad, SALT_CONTAINER = 0x3c00 };
bool roomy_string(const struct matcher *m, const struct conf *c);     /* a text that can become new whatever comes */
bool roomy_number(const struct matcher *m, const struct conf *c, uint32_t more);       /* a number likewise, up to so many digits later */
uint32_t unique_guard(const struct matcher *m, uint32_t frame);       /* outermost array around that must not repeat itself, or NONE */
bool unique_used(const struct matcher *m, const struct frame *f, uint64_t hash);
uint32_t unique_slack(const struct matcher *m, const struct conf *c); /* letters that make a text inside of it new, whatever it is */
uint32_t unique_spare(const struct matcher *m, const struct conf *c); /* code points to spare with which a text can become new */
uint32_t unique_another(const struct matcher *m, uint32_t frame);     /* tokens that what follows may cost more for one more used value */
bool unique_alive(struct matcher *m, const struct conf *c);           /* can the element still become a new one? */
bool unique_enough(struct grammar *g, const struct arr *a);           /* are there a->min different elements? */
uint64_t number_hash(const char *text, size_t len);

/* stretch.c: C_TEXT (free text of OP_TEXT or a raw slot), C_CHARS and C_RE. A set of STRETCH_ bits: neither is dead. */
enum { STRETCH_GOES = 1, STRETCH_ENDS = 2 };                          /* the configuration waits for bytes; what follows may come */
int      stretch_start(const struct grammar *g, uint32_t op, struct conf *c); /* fills kind, ref and position */
int      stretch_step(const struct grammar *g, struct conf *c, uint8_t b);
uint32_t stretch_cost(const struct grammar *g, const struct conf *c); /* tokens to its nearest end, without what follows */
uint32_t stretch_op_cost(const struct grammar *g, uint32_t op);
void     stretch_clip(const struct grammar *g, struct conf *c, uint32_t reach); /* forgets counts beyond reach code points */
bool     stretch_dense(const struct grammar *g, const struct conf *c, uint32_t reach); /* text whose counts do not matter within reach */
/* stretch_mask.c: ORs the tokens that may come at c and whose output costs at most `most`; the others go to refused(). */
void     stretch_mask(struct matcher *m, const struct conf *c, uint32_t *bits, uint32_t most,
                      void (*refused)(void *ctx, int32_t token), void *ctx);

/* ---- lex.c: strings -------------------------------------------------------------------------- */

enum { LEX_NORMAL, LEX_ESC, LEX_HEX, LEX_PAIR = LEX_HEX + 4, LEX_PAIR_U, LEX_LOW, LEX_PYHEX = LEX_LOW + 4,
       LEX_UTF8 = LEX_PYHEX + 2 /* + 1.. : see utf8_step */ };
enum { ESC_JSON, ESC_PYTHON, ESC_ANY };                               /* which escapes: canonical JSON, canonical Python, all */
enum lex_result { LEX_NO, LEX_MORE, LEX_CLOSE, LEX_BEGIN };
/* One byte of a string's inside. out/n_out: decoded bytes it completes. LEX_BEGIN: a new code point
 * begins with this byte (counted at once, so that a limit is never overrun by half a one). */
enum lex_result lex_step(uint16_t *lex, uint32_t *part, int esc, bool nul_ok, uint8_t b, uint8_t out[4], int *n_out);
int utf8_pending(int state);                                          /* bytes still missing, see utf8_dfa() */
int lex_pending(uint16_t lex);                                        /* bytes that surely finish what was begun */
int lex_spell(int esc, uint8_t b, char out[8]);                       /* canonical spelling of one byte of a value */
int  lex_left(uint16_t lex, uint32_t part, int esc, uint8_t b);       /* bytes until the begun escape is b, -1: it cannot be */
bool lex_may_mean(uint16_t lex, uint32_t part, int esc, uint8_t b);   /* can the begun escape still become byte b? */

/* ---- number.c, number_exact.c ---------------------------------------------------------------- */

enum { NUM_SIGN = 1, NUM_ZERO, NUM_INT, NUM_DOT, NUM_FRAC, NUM_E, NUM_ESIGN, NUM_EXP };
bool     num_first(const struct num *p, bool validate, struct conf *c, uint8_t b);  /* first byte of a number */
bool     num_step(const struct num *p, bool validate, struct conf *c, uint8_t b);
bool     num_may_end(const struct num *p, const struct conf *c);      /* generate mode */
/* May up to `reach` more digits follow, whichever they are, and the number end behind each? */
bool     num_is_open(const struct num *p, const struct conf *c, uint32_t reach);
uint32_t num_left(const struct num *p, const struct conf *c);         /* the fewest bytes that finish it */
uint32_t num_shortest(const struct num *p);
/* Different values within reach (1 and 1.0 are one), counted to cap; c NULL: of a whole number. May
 * fall short inside an exponent. Work grows with cap: a few thousand at most. */
uint32_t num_count(const struct num *p, const struct conf *c, uint32_t cap);
bool     num_endless(const struct num *p, const struct conf *c);      /* behind a digit: more digits make other numbers, whichever they are */
bool     num_accepts(const struct num *p, const char *text, size_t len); /* validate mode, whole text */
/* Makes p ready to generate; *empty: no number fits. ERR_LIMIT for absurd bounds; ERR_UNSUPPORTED: beside
 * multiple, other, except or fraction a number is needed that has more than MOST_EXACT digits. */
bool     num_prepare(struct num *p, struct arena *a, bool *empty, struct err *e);
static inline bool num_is_any(const struct num *p)                    /* num_accepts has nothing to look at */
{
    return !p->integer && !p->fraction && !p->has_lo && !p->has_hi && !p->n_multiple && !p->n_other &&
           !p->n_except && !p->set;
}

/* Numbers of which more is asked than bounds: the same questions, answered by arithmetic. */
bool     exact_prepare(struct num *p, struct arena *a, bool *empty, struct err *e);
bool     exact_first(const struct num *p, struct conf *c, uint8_t b);
bool     exact_step(const struct num *p, struct conf *c, uint8_t b);
bool     exact_may_end(const struct num *p, const struct conf *c);
uint32_t exact_left(const struct num *p, const struct conf *c);
uint32_t exact_shortest(const struct num *p);
uint32_t exact_count(const struct num *p, const struct conf *c, uint32_t cap);
bool     num_fits(const struct num *p, const struct dec *d);          /* the value alone, whatever its size */

/* ---- lexicon.c ------------------------------------------------------------------------------- */

/* A set of bytes, exact below 128; all others are one (they share the place of 0). */
struct bytemap { uint64_t w[2]; };
static inline void bytemap_add(struct bytemap *s, uint8_t b) { b = b < 128 ? b : 0; s->w[b >> 6] |= 1ull << (b & 63); }
static inline bool bytemap_has(const struct bytemap *s, uint8_t b) { b = b < 128 ? b : 0; return s->w[b >> 6] >> (b & 63) & 1; }
static inline bool bytemap_meets(const struct bytemap *a, const struct bytemap *b) { return (a->w[0] & b->w[0]) | (a->w[1] & b->w[1]); }

/* Byte strings in one trie, depth first: node i has a byte, a depth, the token that ends there (-1: none) and the next
 * node outside of its subtree. Children of node i: kid[kid_off[i + 1] .. kid_off[i + 2]), by byte; the root is 0 there
 * and node i is i + 1. Tokens below i, its own first: list[first[i], first[skip[i]]); its own: up to first[i + 1]. */
struct vtrie {
    uint32_t n;
    uint8_t *byte; uint16_t *depth; uint32_t *skip; int32_t *token;
    uint32_t *kid_off, *kid; uint8_t *kid_byte;
    uint32_t *first; int32_t *list;
    struct bytemap *below;              /* which bytes occur below */
    uint64_t *leads;                    /* which of them from 0xC0 on */
    uint8_t *tall;                      /* depth of the deepest token below, 255: that or more */
};
/* Content tokens of strings under one set of escapes. len[t]: code points of a token that is pure content, a begun one
 * included, -1: it is not. pending[t]: bytes that finish the begun one. escaped: those with a backslash. */
struct strclass { int16_t *len; uint8_t *pending; uint32_t *all; int32_t *by_len; uint32_t *len_end, n_len; int32_t *escaped; uint32_t n_escaped; };
/* Tokens that leave a string: content, then the first bare quote, then a remainder. They are grouped by the remainder,
 * of which there are few: group 0 has none, group k + 1 ends at node k of `trie`; tokens list[from[k], from[k + 1]).
 * head[i]: bytes of content of list[i]; len[i]: their code points; hash[i]: key_hash() of what they mean, from 0 on;
 * same[i]: equal for equal heads, of which there are few. */
struct quotes { struct vtrie trie; uint32_t *from; int32_t *list; uint16_t *head, *same; int16_t *len; uint64_t *hash; uint32_t n_token; };
/* Tokens below a node of the trie to a text that stands between code points there (tails.c): nothing but content from there on,
 * once more as words of a mask (n_word 0: not made); content, a quote at byte `quote` behind len code points, the rest (made with
 * the vocabulary: those with the same rest together); neither. */
struct leaver { int32_t id; uint32_t quote, len; struct bytes rest; };
struct mask_word { uint32_t at, bits; };
struct tails {
    uint32_t node;
    int32_t *content, *other; uint32_t n_content, n_other;
    uint32_t longest;                   /* bytes of content, at most */
    struct mask_word *word; uint32_t n_word;
    struct leaver *leaver; uint32_t n_leaver;
};
struct mask_store;
struct coarse_set;
struct vocab {
    int n_vocab; size_t n_word;
    uint64_t id;
    struct arena mem;
    struct bytes *bytes;                                              /* [n_vocab] p NULL: not text */
    const char **special;
    uint8_t *is_eog; uint32_t *eog; uint32_t n_eog;
    int32_t *same;                                                    /* next token with the same bytes, -1 */
    struct vtrie all;
    uint32_t *is_part;                                                /* mask: ends inside a code point or escape */
    int max_len;
    uint8_t *plain_from;                                              /* [n_vocab] from this byte on nothing but plain content
                                                                       * of strings (no quote, backslash, control); 255: never */
    uint8_t *plain_at;                                                /* the same in the order of all.list */
    int32_t *blank; uint32_t blank_end[3][MOST_BLANK + 1];            /* runs of blanks with 0, 1, 2 new lines: those of at most
                                                                       * k bytes end at blank_end[lines][k] */
    uint8_t *digits_from;                                             /* [n_vocab] from this byte on nothing but digits */
    struct bytes *special_name; int32_t *special_id; uint32_t n_special;   /* sorted by name */
    struct strclass str[2];                                           /* ESC_JSON, ESC_PYTHON */
    struct quotes quote[2];
    struct tails *tails[2]; uint32_t n_tails[2];                      /* of nodes that are the first quote of their tokens, by node */
    uint64_t *sig, *sig_first;                                        /* [n_word * 32] classes of bytes, see sweep.c: all, of the first */
    uint32_t *closers; struct vtrie closing;                          /* tokens with a closing bracket or brace: mask, trie */
    uint32_t *text_all;                                               /* mask: whole or begun UTF-8, from a boundary */
    struct coarse_set *coarse;
    struct mask_store *store, *texts;   /* of sets of configurations; of places in texts, which all grammars share */
    int (*encode)(void *ctx, const char *p, size_t n, int32_t *out, int cap); void *encode_ctx;
};
int32_t  vocab_special(const struct vocab *v, const char *name);      /* -1: none */
uint32_t vtrie_kid(const struct vtrie *t, uint32_t node, uint8_t b);  /* node 0 = root; NONE */
uint32_t vocab_kid(const struct vocab *v, uint32_t node, uint8_t b);
enum { MASK_STORE_BYTES = 64 << 20, COARSE_BYTES = 16 << 20 };        /* both stores of a vocabulary together; its coarse tries */
/* cost[i] = fewest tokens that spell text[i..len) exactly; without a vocabulary one a byte. */
void     vocab_spell(const struct vocab *v, const char *text, size_t len, uint32_t *cost);
void     vocab_str_mask(const struct vocab *v, int esc, uint32_t room, uint32_t *bits); /* ORs content tokens of <= room code points */

/* lexicon.c. Code points of a text read inside of a string, a begun one included; -1: it is no content. *head: bytes before the
 * first bare quote, -1: there is none or what stands before it is no content. *pending: bytes missing at the end. */
int content_len(struct bytes b, int esc, int *head, int *pending);

/* tails.c */
void tails_build(struct vocab *v, int esc);
const struct tails *tails_find(const struct vocab *v, uint32_t node, int esc);         /* NULL: none were made there */
void tails_make(const struct vocab *v, uint32_t node, int esc, struct arena *a, struct tails *out);    /* without words */

struct byteset set_bytes(const struct matcher *m, uint32_t from, uint32_t n);          /* bytes.c: that may come, never too few */
static inline void byteset_join(struct byteset *s, struct byteset o) { for (int i = 0; i < 4; i++) s->w[i] |= o.w[i]; }
static inline int byteset_count(const struct byteset *s)
{
    int n = 0;
    for (int i = 0; i < 4; i++) n += __builtin_popcountll(s->w[i]);
    return n;
}

/* The eight bytes from `off` on as a number that sorts as they do, zeros behind the end. */
static inline uint64_t text_head(struct bytes b, size_t off)
{
    uint64_t h = 0;
    if (b.len > off) memcpy(&h, b.p + off, MIN(b.len - off, sizeof h));
    return be64toh(h);
}

/* to |= from, four words at a time: every mask of a text does this with the whole vocabulary. */
static inline void words_join(uint32_t *to, const uint32_t *from, size_t n)
{
    typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    size_t i = 0;
    for (; i + 4 <= n; i += 4) *(four *)(to + i) |= *(const four *)(from + i);
    for (; i < n; i++) to[i] |= from[i];
}

/* ---- store.c: masks that are remembered, one store a vocabulary -------------------------------- */

/* A mask is a base (content of strings, shared) and a few single tokens, or all its bits. Kept up to a bound, the oldest
 * unused go first. key 0 is never stored. */
struct mask_store *store_open(size_t limit, size_t n_word, bool twice);                /* twice: only what is put again is kept */
void store_close(struct mask_store *s);
bool store_get(struct mask_store *s, uint64_t key, uint32_t *bits);   /* writes all words */
void store_put(struct mask_store *s, uint64_t key, const uint32_t *bits, const uint32_t *base);  /* base NULL: none; lives on */
void store_clear(struct mask_store *s);

/* ---- coarse.c: the vocabulary as one automaton sees it ------------------------------------------ */

struct coarse;
struct coarse_set *coarse_open(size_t limit);
void coarse_close(struct coarse_set *s);
/* The trie of all content tokens in which bytes of one kind are one (kind 0: no content; bytes of a kind below and above
 * 128 never meet): without kids and tokens, `list` holds them. walked: nodes of the whole trie gone through for want of it;
 * once they are many it is made. NULL: not made yet, or hardly smaller. Held until it is put back. */
const struct coarse *coarse_get(const struct vocab *v, const uint16_t kind[256], uint64_t walked);
const struct vtrie *coarse_trie(const struct coarse *c);
void coarse_put(const struct vocab *v, const struct coarse *c);       /* NULL is fine */
size_t coarse_bytes(const struct coarse_set *s, size_t *limit);

/* ---- sweep.c: tokens by the bytes they are made of -------------------------------------------- */

uint64_t sweep_sign(struct bytes b, uint64_t *first);                 /* classes of a token's bytes, and of its first one */
/* Classes that lie wholly in a set of bytes below 128 (high: and all others); *swept: their bytes. */
uint64_t sweep_classes(const uint64_t set[2], bool high, struct bytemap *swept);
/* bits[n_word] = tokens without a class of `out` that begin with one of `first`. */
void     sweep_tokens(const uint64_t *sig, const uint64_t *sig_first, uint64_t out, uint64_t first, uint32_t *bits, size_t n_word);

/* ---- dense.c: regular languages x vocabulary --------------------------------------------------- */

/* ORs all content tokens after which the text can still be finished; a text of len code points in state. */
void dense_strs(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t *bits);
/* Only those after which `limit` bytes finish it: *most rises to what the dearest of them leaves to do. True: others were left out. */
bool dense_strs_within(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t limit,
                       uint32_t *bits, uint32_t *most);
/* The same where up to `taken` texts must not come: ORs the tokens behind which surely others are left, returns those to be
 * tried one by one. counted: more texts than that, counted whatever their length, are enough. Caller frees. */
int32_t *dense_strs_but(const struct vocab *v, const struct strs *s, uint32_t state, uint32_t len, int esc, uint32_t taken,
                        bool counted, uint32_t *bits, uint32_t *n_doubt);
/* Trie nodes at which a trigger becomes complete, its automaton being in state n. Caller frees. */
uint32_t *dense_triggers(const struct vocab *v, const struct triggers *t, uint32_t n, uint32_t *n_node);
void dense_text(const struct matcher *m, const struct conf *c, uint32_t *bits);        /* ORs what free text may go on with */

/* ---- bind: one grammar x one vocabulary (budget.c) ------------------------------------------- */

/* Tokens to write one key: sep[i] from offset i of the separator, quote from the opening quote (keyword
 * arguments: from the name), key[d] behind d bytes of the name; each to the end of what leads to the value. */
struct seg { uint16_t *sep, *key, quote; };
struct costs;                                                         /* filled when the budget is first asked for */
struct bind {
    struct bind *next;
    const struct vocab *v; uint64_t vocab_id;
    struct arena mem;
    int32_t *special;                                                 /* per special name of the grammar */
    struct costs *costs; _Atomic bool ready;
    pthread_mutex_t lock;                                             /* recursive: guards costs while they are filled */
};
void         lock_init(pthread_mutex_t *lock);                        /* recursive; compile.c */
struct bind *bind_get(const struct grammar *g, const struct vocab *v, struct err *e);
void         bind_free(struct bind *b);
size_t       bind_bytes(const struct bind *b);
uint32_t     conf_cost(const struct matcher *m, const struct conf *c); /* tokens to the end of output, never short */
uint32_t     set_cost(const struct matcher *m, uint32_t from, uint32_t n);
/* Free text far from its limits: cost after any token that ends between code points. False: elsewhere. */
bool         text_bound(const struct matcher *m, const struct conf *c, uint32_t *whole);
uint32_t     strs_left(const struct strs *st, int esc, const struct conf *c); /* bytes that finish a text, without its quote */
uint32_t     strs_worst(const struct strs *st, uint32_t len);         /* the same after any token, from len code points on */
/* How much one token can add to the cost at most, remembered by key; NONE: not known. */
uint32_t     growth_get(const struct bind *b, uint64_t key);
void         growth_put(struct bind *b, uint64_t key, uint32_t growth);

/* ---- afford.c: content of strings under a budget ----------------------------------------------- */

enum { MOST_PENDING = 6 };              /* the longest half of an escape or code point */
struct price { uint32_t most, dear; bool cut; };        /* dear: no token taken costs more; cut: some are left out, perhaps */
/* A string or invented name between code points: ORs the content tokens whose output costs at most p->most. */
void         content_afford(struct matcher *m, const struct conf *c, uint32_t *bits, struct price *p);
uint32_t     content_bound(const struct matcher *m, const struct conf *c); /* no content token leads to more */

#endif
