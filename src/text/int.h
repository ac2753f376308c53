/* int.h -- what the files of text/ share: the splitter, the tables of a tokenizer, merging, and the few
 * helpers that templates, dialects and parsers all need. */
#ifndef TENON_TEXT_INT_H
#define TENON_TEXT_INT_H

#include "text/text.h"

/* ---- pre-tokenizers: split.c ----------------------------------------------------------------- */

struct split;                                          /* one compiled pattern; read-only, shared */
/* ERR_UNSUPPORTED lists the names that are known. */
struct split *split_open(const char *pre, size_t len, struct err *e);
void split_close(struct split *s);                                    /* NULL is fine */
bool split_whole_first(const struct split *s);       /* "ignore_merges": a known piece stays whole */
bool split_adds_bos(const struct split *s);            /* default of tokenizer.ggml.add_bos_token */

/* Walk over the pieces of a text: zero the struct, set s, p and end; every byte ends up in exactly
 * one piece, malformed UTF-8 in pieces of its own. */
struct split_walk { const struct split *s; const char *p, *end, *run_end, *hit, *hit_end; };
bool split_next(struct split_walk *w, struct bytes *piece);

/* ---- tables of a tokenizer: vocab.c ---------------------------------------------------------- */

enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED,
                  TOKEN_BYTE };

/* Open addressing over byte strings kept elsewhere; a slot holds id + 1, 0 is free. */
struct strmap { int32_t *slot; size_t mask; const struct bytes *key; };
void    strmap_init(struct strmap *m, const struct bytes *key, size_t n_most);
bool    strmap_add(struct strmap *m, int32_t id);          /* false: that string is there already */
int32_t strmap_find(const struct strmap *m, const char *p, size_t len); /* -1: not there */

struct merge { int32_t a, b, ab; uint32_t order; };       /* the lowest order goes first */
struct spm;                                               /* what only SPM has; spm.c */
struct tokenizer {
    int n_vocab;
    struct bytes *text;                        /* [n_vocab] as in the file, lent from its mapping */
    struct bytes *bytes;                           /* [n_vocab] decoded; empty for control tokens */
    uint8_t *type;                                                   /* [n_vocab] enum token_type */
    uint8_t *eog;                                                     /* [n_vocab] */
    char *blob;                                                       /* the decoded bytes */
    struct strmap plain;               /* decoded bytes of the tokens that text can be made of */
    struct strmap special;                    /* text of control, user-defined and unknown tokens */
    uint8_t *special_pair;                            /* bit (b0 * 256 + b1): a special begins so */
    uint32_t *special_len; int n_special_len;                  /* distinct lengths, longest first */
    int n_user;                                  /* how many are user-defined: those always match */
    int32_t byte_id[256];                                     /* token of a single byte, -1: none */
    struct merge *merge; int n_merge;                                 /* BPE: by rank */
    struct merge_slot *merge_slot; size_t merge_mask;              /* hash table of the pairs; merge.c */
    struct split *split;                                              /* NULL for SPM */
    struct spm *spm;                                                  /* NULL for BPE */
    bool is_spm, whole_first, add_bos, add_eos;
    bool space_first;                       /* a text begins with a space that is not written down */
    int32_t bos, eos;
    int32_t unknown;                             /* SPM: for a byte without a token, -1: dropped */
    uint64_t serial;                               /* tells tokenizers apart in per-thread caches */
};

/* ---- merging: merge.c ------------------------------------------------------------------------ */

/* A place of the piece: token id (-1: none), the neighbours' places, merge with the next (-1: none). */
struct symbol { int32_t id, prev, next, merge; };
struct symbol *merge_room(size_t n);        /* [n] of the calling thread, lent until merge_rest() */
void    merge_rest(void);                                 /* gives large scratch back */
/* Merges the symbols in merge_room() linked from place 0; returns the last merge made, -1: none. */
int32_t merge_all(const struct tokenizer *t);
void    merge_index(struct tokenizer *t);                 /* makes merge[] findable */
int32_t merge_find(const struct tokenizer *t, int32_t a, int32_t b);      /* index in merge[], -1 */
typedef void piece_fn(const struct tokenizer *t, struct bytes piece, struct ids *out);
/* encode(), or what it made of the same piece before. */
void    merge_cached(const struct tokenizer *t, struct bytes piece, piece_fn *encode,
                     struct ids *out);

/* ---- the two kinds of vocabulary: bpe.c, spm.c ----------------------------------------------- */

/* Byte b as the code point that byte-level vocabularies write for it, and back (-1: none). */
uint32_t byte_to_char(uint8_t b);
int      char_to_byte(int32_t cp);
/* The bytes that a token's text stands for, to out (at least len bytes); -1 if text is never made of
 * that token: a character that stands for no byte. */
int64_t bpe_decode(struct bytes text, char *out);
bool    bpe_merges(struct tokenizer *t, const struct gguf *g, struct err *e);
/* Splits and merges text that holds no special token. */
void    bpe_encode(const struct tokenizer *t, const char *s, size_t len, struct ids *out);

int     spm_byte(struct bytes text);                       /* 10 of "<0x0A>", -1 of any other text */
int64_t spm_decode(struct bytes text, char *out);          /* -1: as bpe_decode() */
bool    spm_open(struct tokenizer *t, const struct gguf *g, struct err *e);  /* after the tables */
void    spm_close(struct spm *s);                                     /* NULL is fine */
/* space: as if a space stood before s. */
void    spm_encode(const struct tokenizer *t, const char *s, size_t len, bool space,
                   struct ids *out);

/* ---- messages and templates: chat.c ---------------------------------------------------------- */

enum call_syntax { CALLS_PYTHON,                      /* [f(a="x")] */
                   CALLS_JSON };                      /* [{"name":"f","arguments":{"a":"x"}}] */
enum template_kind { TEMPLATE_NONE, TEMPLATE_TENON, TEMPLATE_LFM2, TEMPLATE_LFM25, TEMPLATE_JSON,
                     TEMPLATE_OTHER };
/* Which of our renderings says what this template text says; NULL is TEMPLATE_NONE. */
enum template_kind template_find(const char *text);
/* the sentence for TEMPLATE_OTHER; false */
bool template_refuse(const char *dialect, struct err *e);
/* The whole prompt of a request: messages are prepared (content parts joined, null content, tool
 * results in call order), then rendered as the template says with past calls in this syntax. */
bool chat_prompt(const struct dialect_request *r, enum template_kind kind, enum call_syntax syntax,
                 struct prompt *out, struct err *e);
bool is_python_space(int32_t cp);                    /* what Python's str.strip() takes away */
/* Argument values as Python literals: "x", True, None, [1, 2], {"k": 1.5}. */
void python_value(struct str *out, const struct json *v);

/* ---- reading what models write: literal.c, parser.c ------------------------------------------ */

#define LITERAL_DEPTH 60                                    /* nested containers inside one value */
/* DONE: complete, this byte belongs to what follows */
enum lit_step { LIT_MORE, LIT_DONE, LIT_BAD };
struct lit_frame { uint8_t kind; bool colon, comma; uint32_t n; size_t at; };
/* One value in Python or JSON spelling, read byte by byte into compact JSON. */
struct literal {
    struct str out;                                    /* appended; bytes before `hold` are final */
    size_t hold;                                                      /* SIZE_MAX: all of it is */
    struct lit_frame frame[LITERAL_DEPTH];
    int depth, state;
    struct str token;                                   /* a number or word; blanks after a quote */
    char quote;
    bool triple, raw, need;                        /* need: a value must come, no closing bracket */
    uint32_t cp, high;                       /* escape being read; first half of a surrogate pair */
    int n_digit, want_digit, n_quote;
    bool is_key;                                       /* outermost: a string that ':' may follow */
    bool bare;                                          /* outermost: an unknown word is a string */
    bool object_only;                                         /* outermost: {…} must be an object */
    char why[120];
};
void literal_start(struct literal *l);                       /* keeps out; clears the flags above */
enum lit_step literal_byte(struct literal *l, char c);
bool literal_end(struct literal *l);                    /* the input ends: is the value complete? */
void literal_done(struct literal *l);
void json_put_cp(struct str *out, uint32_t cp);               /* a character inside a JSON string */

struct parser *parser_new(const struct json *tools, parse_sink *sink, void *ctx);
void parser_input(struct parser *p, const char *bytes, size_t len, bool special);
bool parser_finish(struct parser *p, struct err *e);
/* A dialect without markers: calls begin where a text says [{"name":" and nowhere else. */
struct parser *parser_new_watching(const struct json *tools, parse_sink *sink, void *ctx);
#define CALLS_BEGIN "[{\"name\":\""
void parser_lenient(struct parser *p);                  /* calls without markers are accepted too */

/* What both LFM2 dialects share. */
extern const char *const lfm2_stop[];
extern const char *const lfm2_markers[];
bool lfm2_has_markers(const struct tokenizer *t);
/* The envelope of a turn around one `call` and the separator between calls. */
void lfm2_envelope(enum tool_choice choice, bool parallel, const char *call, const char *sep,
                   bool text_after, struct str *out);

#endif
