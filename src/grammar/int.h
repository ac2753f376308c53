/* int.h -- what the files of grammar/ share: the compiled grammar, the matcher, and who fills what.
 *
 *   envelope.c  text of the envelope         -> tree; gbnf.c: text of a GBNF grammar -> tree
 *   envelope_lay.c  tree                     -> ops (a small program over bytes)
 *   schema.c    JSON Schema                  -> goals (conjunctions of schema nodes) -> shapes (one JSON type each)
 *   match.c     ops + shapes + frames        -> configurations, advanced byte by byte
 *   stretch.c   free text, runs of code points, patterns: what one op repeats by itself
 *   lex.c       strings and UTF-8, number.c numbers: the two lexical automata with arithmetic in them
 *   lexicon.c   tokens                       -> trie, string classes, cost of spelling a text
 *   mask.c      configurations x vocabulary  -> bit mask;  forced.c -> runs without a choice
 *   budget.c    configurations x vocabulary  -> tokens to the nearest end
 *
 * A configuration is a position inside one construct plus a frame, the persistent stack of what
 * encloses it. Frames are never changed once made, so a snapshot is an index and rollback is
 * truncation. Every configuration alone can be completed; a set of them means "any of these". */
#ifndef TENON_GRAMMAR_INT_H
#define TENON_GRAMMAR_INT_H

#include <pthread.h>

#include "base/base.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/refs.h"
#include "grammar/regex.h"

/* ---- limits (docs/grammar.md lists them) ----------------------------------------------------- */

enum {
    MOST_CONF = 1024,                   /* live configurations; further alternatives are dropped */
    MOST_DEPTH = 64,                    /* nesting of generated values */
    MOST_DEPTH_VALIDATE = 500,
    MOST_GOAL = 1 << 16, MOST_SHAPE = 1 << 17, MOST_NODE = 1 << 18,
    MOST_BRANCH = 512,                  /* alternatives of one goal, arrays and objects of one enum */
    MOST_TRIE = 1 << 21,                /* nodes of all literal tries together */
    MOST_OP = 1 << 14, MOST_ENVELOPE = 1 << 20,
    MOST_DIGIT = 24,                    /* digits of each part of a generated number, if its bounds need no more */
    MOST_BOUND_DIGIT = 1000,            /* digits of a bound, written out */
    MOST_KEY = 256, MOST_DYN = 128,     /* invented keys of open objects: code points, number */
    MOST_BLANK = 20, MOST_NEWLINE = 2   /* one run of blanks in flexible spelling */
};
#define NONE UINT32_MAX
#define COST_MAX 0x0fffffffu            /* cannot be spelled; sums are clipped here */

static inline uint32_t cost_add(uint32_t a, uint32_t b)
{
    return a + b < COST_MAX ? a + b : COST_MAX;
}

/* ---- exact decimals: dec.c ------------------------------------------------------------------- */

/* value = 0.d1d2d3… x 10^point; digits without leading and trailing zeros; zero has n = 0. */
struct dec { const char *digit; int n; int64_t point; bool neg; };
struct dec dec_read(struct arena *a, const char *text, size_t len);   /* text: a JSON number */
int  dec_cmp(const struct dec *a, const struct dec *b);
bool dec_is_int(const struct dec *a);
/* Is a an integral multiple of b (b > 0)? Exact; *known false where the numbers are too far apart to say. */
bool dec_multiple(const struct dec *a, const struct dec *b, bool *known);

/* ---- tries over literal byte strings: trie.c ------------------------------------------------- */

/* Node 0 is the root; children of a node are neighbours, sorted by byte. [lo, hi) = ranks (sorted
 * order) of the strings below; is_leaf: string lo ends here. */
struct tnode { uint32_t child, lo, hi, depth; uint16_t n_child; uint8_t byte; bool is_leaf; };
struct trie { struct tnode *node; uint32_t n_node, n_str; const struct bytes *str; uint32_t *id; /* rank -> caller's index */
              uint32_t cost_off; /* into bind.node_cost; NONE: not asked for */ };
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

/* ---- shapes: what one goal may look like ----------------------------------------------------- */

enum shape_kind { SH_NULL, SH_TRUE, SH_FALSE, SH_NUM, SH_NUMLIT, SH_STR, SH_STRLIT, SH_ARR, SH_OBJ };

/* Bound on a magnitude: digits of the integer part ("0" for none) and of the fraction. */
struct bound { bool on, open; const char *ip, *fp; uint16_t n_ip, n_fp; };
struct num_part { bool ok; struct bound lo, hi; };                    /* the magnitudes one sign allows */
struct num {
    bool integer, bounded, draft4;
    struct num_part part[2];                                          /* [0] positive, [1] negative */
    uint16_t cap_int, cap_frac, frac_need;                            /* most digits; digits that surely suffice */
    bool has_lo, has_hi, lo_open, hi_open; struct dec lo, hi;         /* validate mode */
    const struct dec *set; uint32_t n_set;                            /* validate mode: one of these values */
};
struct okey { struct bytes name; uint32_t goal; bool req, ident; };
struct obj {
    struct okey *key; uint32_t n_key, n_req, n_word;                  /* declared order */
    struct trie trie;                                                 /* over names; id = index into key */
    uint32_t *next_req;                                               /* [n_key + 1] first required index >= i, or NONE */
    uint32_t rest;                                                    /* goal of invented keys; NONE: closed */
    uint32_t cap_key;                                                 /* code points of an invented key, plus those made before */
    uint32_t seg_off;                                                 /* into bind.seg: n_key rows */
};
struct arr { uint32_t *prefix, n_prefix, rest, min, max; };           /* rest NONE: nothing after the prefix */
struct shape {
    uint8_t kind; bool ok;                                            /* ok: some value has this shape */
    uint16_t height;                                                  /* containers its smallest value nests */
    union { struct num *num; struct trie *lit; struct { uint32_t min, max; } str; struct obj *obj; struct arr *arr; };
};
struct goal { uint32_t shape, n_shape; bool ok; uint16_t height; };

/* ---- envelope program ------------------------------------------------------------------------ */

enum op_kind { OP_LIT, OP_CLASS, OP_SPECIAL, OP_TEXT, OP_CHARS, OP_RE, OP_NAME, OP_VALUE, OP_SLOT, OP_SPLIT, OP_CALL, OP_EACH, OP_RET, OP_NEVER };
enum surface { SURF_JSON, SURF_PYTHON, SURF_ARGS, SURF_RAW };
/* a: LIT text offset, CLASS index, SPECIAL name index, TEXT trigger set, CHARS run, RE pattern, NAME 1 = JSON-escaped,
 * VALUE/SLOT surface, SPLIT second branch, CALL/EACH entry. b: LIT length, SLOT goal. */
struct op { uint8_t kind; uint32_t next, a, b; };
struct byteset { uint64_t w[4]; };
static inline bool byteset_has(const struct byteset *s, uint8_t b) { return s->w[b >> 6] >> (b & 63) & 1; }
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

struct bind;
struct grammar {
    struct arena mem;
    bool validate, declared, uses_args;
    struct spell spell;
    struct op *op; uint32_t n_op, root;
    char *text; uint32_t n_text;
    struct byteset *cls; uint32_t n_cls;
    const char **special; uint32_t n_special;
    struct triggers *trig; uint32_t n_trig;
    struct chars *chars; uint32_t n_chars;
    struct dfa **re; uint32_t n_re;                                   /* patterns of the envelope, counted references */
    struct goal *goal; uint32_t n_goal;
    struct shape *shape; uint32_t n_shape;
    uint32_t *pair_goal, n_pair;
    struct bytes *pair_name[2];                                       /* raw, JSON-escaped */
    struct trie name[2];
    uint32_t n_seg, n_node_cost;                                      /* sizes of bind's tables */
    const char **relaxed; size_t n_relaxed;
    uint64_t id;
    pthread_mutex_t lock;                                             /* guards bind list */
    struct bind *bind;
};

/* envelope.c: text in one of the syntaxes becomes g's program; compile.c hands in the goals that slots refer to. */
enum syntax { SYNTAX_ENVELOPE, SYNTAX_GBNF, SYNTAX_REGEX };
bool envelope_parse(struct grammar *g, enum syntax syntax, const char *text, uint32_t n_schema, const uint32_t *slot_goal,
                    struct err *e);

/* schema.c: nodes and goals; expand.c: goals into g->shape. `where` begins every message ("tool x").
 * A node is one schema value of a document; lit: a literal value whose goal is that value alone. */
struct doc { const struct json *root; enum draft draft; const char *where; };
struct node { const struct json *v; uint32_t doc, parent; const char *kw; struct bytes name; bool lit; };
struct goal_key { uint32_t *node, n; };
struct schemas {
    struct grammar *g;
    const struct grammar_opts *o;
    struct arena tmp;
    struct doc *doc; uint32_t n_doc, cap_doc;
    struct node *node; uint32_t n_node, cap_node;
    struct goal_key *key; uint32_t cap_key, cap_goal, cap_shape;       /* parallel to g->goal */
    uint32_t *node_slot, *goal_slot, n_node_slot, n_goal_slot;        /* hash tables of ids + 1 */
    uint32_t n_trie_node, cap_relaxed, n_work, done;
    struct err *e;
};
enum { NODE_OBJECT };                                                 /* node 0: {"type":"object"} of our own */
void     schemas_init(struct schemas *s, struct grammar *g, const struct grammar_opts *o, struct err *e);
void     schemas_done(struct schemas *s);
/* Goal of a whole schema document (lent until schemas_done); NULL: {}. NONE on error. objects: only object values. */
uint32_t schemas_root(struct schemas *s, const struct json *schema, const char *where, bool objects);
bool     schemas_finish(struct schemas *s);                           /* expands everything, decides emptiness */
bool     schemas_satisfiable(struct schemas *s, uint32_t goal);       /* false: says where nothing fits */
uint32_t schemas_node(struct schemas *s, const struct json *v, uint32_t parent, const char *kw, struct bytes name);
uint32_t schemas_literal(struct schemas *s, const struct json *v, uint32_t parent);
uint32_t schemas_goal(struct schemas *s, const uint32_t *node, uint32_t n);
bool     schemas_fail(struct schemas *s, uint32_t node, enum err_code c, const char *kw, const char *fmt, ...) PRINTF_LIKE(5, 6);
void     schemas_relaxed(struct schemas *s, uint32_t node, const char *kw);
bool     expand_goal(struct schemas *s, uint32_t goal);
bool     key_is_ident(struct bytes name);                             /* can stand before = in python-arguments */

/* ---- drafts and check.c's inside ------------------------------------------------------------- */

bool draft_of(const struct json *schema, const char *name, enum draft *d, struct err *e);
/* Local pointer of a $ref inside root: "#", "#/a/b". NULL: not there or not local. */
const struct json *ref_local(const struct json *root, const char *ref);
/* value against node; node's own enum and const are not looked at when skip_lits (the caller took value from there). */
bool check_at(const struct json *root, const struct json *node, const struct json *value, enum draft d,
              const struct grammar_opts *o, bool skip_lits, struct err *e);
bool format_known(const char *name);
bool format_valid(const char *name, const char *s, size_t len);       /* true for unknown names */

/* ---- matcher --------------------------------------------------------------------------------- */

enum frame_kind { F_ROOT, F_CALL, F_EACH, F_OBJ, F_ARR, F_DIGIT };
enum { FL_ARGS = 1, FL_MORE = 2 };                                    /* OBJ: python-arguments; another key may follow */
struct frame {
    uint32_t parent, ref, count;        /* CALL/EACH ref: return op, EACH count: pair; OBJ/ARR ref: shape */
    uint8_t kind, flags; uint16_t depth, n_dyn;
    uint32_t missing;                   /* OBJ: required keys not written yet */
    uint32_t seen, dyn;                 /* OBJ: offsets into words: bitset of declared keys; list of invented ones */
    uint32_t todo[2];                   /* OBJ: tokens of the missing keys, per style */
    uint32_t need[2];                   /* tokens from the end of the value inside to the end of output */
    uint64_t hash;                      /* of all the content, parents included */
};

enum conf_kind { C_LIT, C_CLASS, C_SPECIAL, C_TEXT, C_CHARS, C_RE, C_NAME,           /* as op kinds; ref = op */
                 C_VALUE, C_STR, C_KEY, C_NUM, C_WORD, C_NUMLIT, C_OPEN, C_SEP, C_QUOTE, C_COLON, C_NEXT, C_END };
struct conf {
    uint32_t frame, ref;                /* ref: op, goal (VALUE, COLON), shape (STR KEY NUM …) */
    uint8_t kind, style, surf, pad; uint16_t lex, blank;
    uint32_t n, m, part;                /* position: literal offset, trie node; m: code points; part: half an escape */
    uint64_t aux;                       /* KEY: hash of the bytes so far; NUM: comparisons */
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
    uint32_t declared_only;                                           /* frame whose invented keys a probe leaves out, or NONE */
    uint64_t *visit; uint64_t epoch; int fuel;                         /* splits passed in this step */
    struct level *level;                                              /* mask.c: one per depth of the vocabulary trie */
    struct str why;
};

/* match.c: the set at conf[from, from+n) advanced by byte b; the new set is appended; its size. */
uint32_t set_step(struct matcher *m, uint32_t from, uint32_t n, uint8_t b);
uint32_t set_special(struct matcher *m, uint32_t from, uint32_t n, int32_t token);
bool     set_accepts(const struct matcher *m, uint32_t from, uint32_t n);
uint64_t conf_hash(const struct matcher *m, const struct conf *c, uint64_t h);
static inline struct snap *matcher_top(const struct matcher *m) { return &m->snap[m->n_snap - 1]; }
static inline struct mark matcher_mark(const struct matcher *m) { return (struct mark){ m->n_conf, m->n_frame, m->n_word }; }
static inline void matcher_reset(struct matcher *m, struct mark k) { m->n_conf = k.conf; m->n_frame = k.frame; m->n_word = k.word; }
void     set_emit(struct matcher *m, struct conf c);                  /* into the set being built, once */
void     op_close(struct matcher *m, uint32_t op, uint32_t frame, uint8_t style); /* all ways on from an op */
uint32_t frame_push(struct matcher *m, struct frame f);               /* fills hash and need */

/* value.c: what happens inside of JSON values. */
void value_enter(struct matcher *m, uint32_t goal, uint32_t frame, uint8_t style, uint8_t surf);
void value_done(struct matcher *m, uint32_t frame, uint8_t style, uint8_t surf);
void value_step(struct matcher *m, struct conf c, uint8_t b);         /* C_VALUE and all kinds behind it */
bool obj_seen(const struct matcher *m, const struct frame *f, uint32_t key);
bool obj_offers(const struct matcher *m, const struct frame *f, uint32_t key);
bool obj_invents(const struct matcher *m, const struct frame *f);     /* may the next key be an invented one? */
bool name_used(const struct matcher *m, const struct frame *f, uint64_t hash);        /* an invented name written before */
static inline uint64_t key_hash(uint64_t h, uint8_t b) { return (h ^ b) * 0x100000001b3ull + 0x9e37; }
bool key_closable(const struct matcher *m, const struct conf *c);     /* may the quote (or =) come now? */
uint32_t key_extend(const struct matcher *m, const struct conf *c);   /* more letters until it may */
bool escape_means(const struct matcher *m, const struct tnode *child, const struct conf *c, const struct frame *f);
uint32_t item_goal_at(const struct arr *a, uint32_t i);               /* NONE: no element there */
const char *word_text(enum shape_kind k, uint8_t surf);

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
/* UTF-8 as a DFA: 0 = between code points; returns the next state or -1. */
int utf8_dfa(int state, uint8_t b);
int utf8_pending(int state);                                          /* bytes still missing */
int lex_pending(uint16_t lex);                                        /* bytes that surely finish what was begun */
int lex_spell(int esc, uint8_t b, char out[8]);                       /* canonical spelling of one byte of a value */
bool lex_may_mean(uint16_t lex, uint32_t part, int esc, uint8_t b);   /* can the begun escape still become byte b? */

/* ---- number.c -------------------------------------------------------------------------------- */

enum { NUM_SIGN = 1, NUM_ZERO, NUM_INT, NUM_DOT, NUM_FRAC, NUM_E, NUM_ESIGN, NUM_EXP };
bool     num_first(const struct num *p, bool validate, struct conf *c, uint8_t b);  /* first byte of a number */
bool     num_step(const struct num *p, bool validate, struct conf *c, uint8_t b);
bool     num_may_end(const struct num *p, const struct conf *c);      /* generate mode */
uint32_t num_left(const struct num *p, const struct conf *c);         /* digits that surely finish it */
uint32_t num_shortest(const struct num *p);
bool     num_accepts(const struct num *p, const char *text, size_t len); /* validate mode, whole text */
/* Fills the magnitude parts from lo/hi; false: no number fits. ERR_LIMIT for absurd bounds. */
bool     num_prepare(struct num *p, struct arena *a, bool *empty, struct err *e);

/* ---- lexicon.c ------------------------------------------------------------------------------- */

struct vtrie { uint32_t n; uint8_t *byte; uint16_t *depth; uint32_t *skip; int32_t *token; /* -1: none */ };
struct strclass { int32_t *by_len; uint32_t *len_end; uint32_t n_len; uint32_t *all; };  /* content tokens by code points */
struct vocab {
    int n_vocab; size_t n_word;
    uint64_t id;
    struct arena mem;
    struct bytes *bytes;                                              /* [n_vocab] p NULL: not text */
    const char **special;
    uint8_t *is_eog; uint32_t *eog; uint32_t n_eog;
    int32_t *same;                                                    /* next token with the same bytes, -1 */
    struct vtrie all, quote, part;                                    /* with a quote; content that ends inside a code point or escape */
    uint32_t *is_part;                                                /* mask of the last */
    uint32_t *kid_off, *kid; uint8_t *kid_byte;                       /* children of trie node i (+1: the root is 0) */
    int max_len;
    struct strclass str[2];                                           /* ESC_JSON, ESC_PYTHON */
    uint32_t *text_all;                                               /* mask: whole or begun UTF-8, from a boundary */
    int (*encode)(void *ctx, const char *p, size_t n, int32_t *out, int cap); void *encode_ctx;
};
int32_t  vocab_special(const struct vocab *v, const char *name);      /* -1: none */
uint32_t vocab_kid(const struct vocab *v, uint32_t node, uint8_t b);  /* node 0 = root; NONE */
/* cost[i] = fewest tokens that spell text[i..len) exactly; without a vocabulary one a byte. */
void     vocab_spell(const struct vocab *v, const char *text, size_t len, uint32_t *cost);
void     vocab_str_mask(const struct vocab *v, int esc, uint32_t room, uint32_t *bits); /* ORs content tokens of <= room code points */

/* ---- bind: one grammar x one vocabulary (budget.c) ------------------------------------------- */

/* Tokens to write one key: sep[i] from offset i of the separator, quote from the opening quote (keyword
 * arguments: from the name), key[d] behind d bytes of the name; each to the end of what leads to the value. */
struct seg { uint16_t *sep, *key, quote; };
struct mask_slot { uint64_t key; uint32_t *bits; };
enum { N_MASK_SLOT = 256 };
struct bind {
    struct bind *next;
    const struct vocab *v; uint64_t vocab_id;
    struct arena mem;
    int32_t *special;                                                 /* per special name of the grammar */
    uint32_t (*goal)[2], (*shape)[2];                                 /* tokens of the shortest value, per style */
    struct seg *seg[2][2];                                            /* [args][style][n_seg]; args NULL if not used */
    uint32_t *node_cost;                                              /* per trie node (STRLIT, NUMLIT) */
    uint16_t **lit_cost;                                              /* per LIT op: cost from each offset */
    uint32_t (*op)[2];                                                /* op to the end of its rule; in each: best pair */
    uint32_t *in_each, n_each_op;                                     /* op -> row of op_pair, NONE outside of each */
    uint32_t (*op_pair)[2];                                           /* [row * n_pair + pair] */
    uint32_t (**name_node)[2];                                        /* per NAME op and trie node: name and what follows */
    uint16_t **name_cost[2];                                          /* per pair: from each offset of its name */
    uint16_t *sep_cost[2], *colon_cost[2];
    uint32_t pair_cost[3];                                            /* "" [] {} */
    struct mask_slot slot[N_MASK_SLOT]; uint64_t hits, misses;
    pthread_mutex_t lock;                                             /* guards the mask slots */
};
struct bind *bind_get(const struct grammar *g, const struct vocab *v, struct err *e);
void         bind_free(struct bind *b);
uint32_t     conf_cost(const struct matcher *m, const struct conf *c); /* tokens to the end of output, never short */
uint32_t     set_cost(const struct matcher *m, uint32_t from, uint32_t n);
void         frame_cost(const struct matcher *m, struct frame *f);     /* fills need, for OBJ from todo */
uint32_t     obj_todo(const struct matcher *m, const struct frame *f, int style);      /* of a fresh object */
uint32_t     key_todo(const struct matcher *m, const struct frame *f, uint32_t key, int style);
/* Cost after any pure content token, and after any that ends between code points. False: no dense place. */
bool         conf_bound(const struct matcher *m, const struct conf *c, uint32_t *all, uint32_t *whole);

/* ---- finished values: check.c, formats.c ----------------------------------------------------- */

/* Is the string of that format? True for names that are not known (annotations). */
bool format_check(const char *name, const char *s, size_t len);

#endif
