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
 * one piece, malformed UTF-8 in pieces of its own. pattern_only: nothing by hand, for a test. */
struct split_walk { const struct split *s; const char *p, *end, *run_end, *hit, *hit_end; bool pattern_only; };
bool split_next(struct split_walk *w, struct bytes *piece);

/* ---- tables of a tokenizer: vocab.c ---------------------------------------------------------- */

enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED,
                  TOKEN_BYTE };

/* Open addressing over byte strings kept elsewhere; a slot holds id + 1, 0 is free. */
struct strslot { int32_t next; uint32_t mark; };                       /* mark: half of the hash */
struct strmap { struct strslot *slot; size_t mask; const struct bytes *key; };
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
    uint8_t *is_plain;                                                /* [n_vocab] found by its bytes in `plain` */
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

/* Special tokens in a text, in order, none over another: the longest win. */
struct found { uint32_t pos, len; int32_t id; };
struct finds { struct found *f; size_t n, cap; };                     /* mem_free(f) */
bool tok_find(const struct tokenizer *t, const struct prompt *p, struct finds *out, struct err *e);
/* A run of text without special tokens. begins: nothing or a special token stands before it. */
void tok_put_text(const struct tokenizer *t, const char *s, size_t len, bool begins, struct ids *out);

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

/* A string of template variables that is partly ours: past calls that prepare writes into the text of a
 * message hold special tokens, what a user wrote beside them does not. A JSON string to the template;
 * no text from outside can be one. marked_new() is the caller's, like any json_new_*(). */
#define MARKED_KEY "\xff"
struct json *marked_new(void);
void marked_put(struct json *marked, bool trusted, const char *s, size_t len);

enum call_syntax { CALLS_PYTHON,                      /* [f(a="x")], between LFM2's tokens */
                   CALLS_JSON,             /* [{"name":"f","arguments":{"a":"x"}}], likewise */
                   CALLS_PLAIN,                                       /* the same without tokens */
                   CALLS_TAGS,                     /* <tool_call>\n{"name": "f", "arguments": {}} … */
                   CALLS_LLAMA };                       /* {"name": "f", "parameters": {"a": "x"}} */
/* templates/NAME.jinja, in the order of the build file; ends with a NULL name. */
struct own_template { const char *name; size_t len; const char *text; };
extern const struct own_template own_templates[];
bool is_python_space(int32_t cp);                    /* what Python's str.strip() takes away */

/* ---- past calls as text: past.c -------------------------------------------------------------- */

/* Argument values as Python literals: "x", True, None, [1, 2], {"k": 1.5}. */
void python_value(struct str *out, const struct json *v);
/* JSON with ", " and ": ", numbers as they are written. */
void json_put_spaced(struct str *out, const struct json *v);
/* Arguments as an object of the caller's: given so, or as its text; nothing at all is {}. NULL: no JSON object. */
struct json *arguments_read(const struct json *given);
/* The calls, markers trusted, at the end of a marked string. */
void past_calls(struct json *marked, enum call_syntax syntax, const struct json *calls);

/* ---- what templates are given: needs.c, prepare.c, families.c, inline.c ----------------------- */

/* What a template can take, found by rendering small conversations with it; lent for its life. */
struct needs {
    bool tools, calls, results, system;               /* has a place for them */
    bool results_alone;                        /* results behind a message without calls */
    bool mapping, string;                          /* arguments of past calls that it prints well */
    bool raw;                                      /* a string of them as it is, not as a JSON string */
    bool one_call;                                         /* fails on two calls in one message */
    bool alternates;                                       /* fails on two user messages in a row */
    bool no_list;                                                     /* no tools: null will do, else [] */
    bool thinking;                                                    /* prints message.thinking */
    bool plain_list;                                                  /* tools without tokens around them */
    bool reasons;                                             /* knows the tool {"type":"reasoning"} */
};
const struct needs *jinja_needs(const struct jinja *j);
struct needs **jinja_needs_slot(const struct jinja *j);               /* where jinja.c keeps them */

struct family {
    const char *template_name;                                        /* of our own, without a model's */
    enum call_syntax syntax;                                          /* past calls as text */
    const char *typescript;                            /* generator of our own template; NULL: its default */
    bool bare_tools;                                                  /* the function objects alone */
    bool strict_tools;               /* name, description, parameters, in this order, references spelled out */
    bool text_arguments;                              /* as a string, if the template prints it raw */
    bool compact;                                                     /* … without blanks */
    bool raw_code;                               /* code_interpreter stays one and is called by raw source */
    bool reasoning;                                                   /* a tool {"type":"reasoning"} is added */
    bool one_system;                                   /* leading system messages become one */
    bool calls_first;                   /* past calls before the text, where tools stand between tokens */
    bool tool_use;                                 /* the template is told in tool_use whether there are tools */
    bool signatures;                              /* the template is given those of the tools (signature.c) */
    bool generic;               /* a template of unknown call syntax: tools and calls are text, ours */
};
struct json *prepare_family(const struct dialect_request *r, const struct family *f, struct err *e);
struct json *refs_resolved(const struct json *schema);                /* "$ref" replaced by its target */
void reasoning_tool(struct json *tools, const struct dialect_request *r);

/* For the rows of the dialects. */
typedef struct json *prepare_fn(const struct dialect_request *r, struct err *e);
prepare_fn prepare_lfm2, prepare_lfm2_json, prepare_functionary_v1, prepare_functionary_v2, prepare_functionary_v2_llama3,
    prepare_functionary_v32, prepare_functionary_v31, prepare_functionary_v4r, prepare_llama31, prepare_hermes, prepare_json;

/* ---- as Python prints: python.c, typescript.c -------------------------------------------------- */

void python_str(struct str *out, const struct json *v);              /* str(v): True, 1.0, ['a', None] */
void python_repr_str(struct str *out, const char *s, size_t len);     /* repr() of a string */
void python_json_ascii(struct str *out, const struct json *v);        /* json.dumps(v), ASCII only */
/* The tools as Functionary's TypeScript-like text, by either of the two generators that models were
 * trained with. Tools wrapped or bare; those without a name (code_interpreter) are left out. */
enum typescript_era { TYPESCRIPT_PYTHON, TYPESCRIPT_JINJA };
void typescript_put(struct str *out, const struct json *tools, enum typescript_era era);

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
/* Many at once: returns where a byte made *r other than LIT_MORE, n if none did. */
size_t literal_span(struct literal *l, const char *s, size_t n, enum lit_step *r);
bool literal_plain(const struct literal *l, const char *s, size_t n);         /* all of s goes into a string as it stands */
bool literal_in_string(const struct literal *l);
bool literal_end(struct literal *l);                    /* the input ends: is the value complete? */
void literal_done(struct literal *l);
void json_put_cp(struct str *out, uint32_t cp);               /* a character inside a JSON string */

/* The parsers, as dialects open them. */
typedef struct parser *parser_open_fn(const struct turn *t, parse_sink *sink, void *ctx);
parser_open_fn blocks_lfm2, blocks_json, blocks_llama;                /* parser.c */
parser_open_fn segment_v1, segment_v2, segment_v2_llama3, segment_v3; /* segment.c */
parser_open_fn tagged_function, tagged_hermes;                        /* tagged.c */
void parser_lenient(struct parser *p);                  /* calls without markers are accepted too */
/* How calls of the dialect json begin, this or with a blank before the last quote; and those of Llama. */
#define CALLS_BEGIN "[{\"name\":\""
#define CALLS_BEGIN_SPACED "[{\"name\": \""
#define LLAMA_CALL_BEGINS "{\"name\": \"", "{\"name\":\"", "{\"type\": \"function\", \"name\": \"", \
                          "{\"type\":\"function\",\"name\":\""

/* ---- what grammars share: turn.c ------------------------------------------------------------- */

/* Is marker a token of the vocabulary? Where only text is known: no. */
bool is_token(const struct turn *t, const char *marker);
/* The marker in envelope text: @"marker" where it is a token, else its bytes. Without a t->tok: a token. */
void put_marker(struct str *out, const struct turn *t, const char *marker);
/* Free text in which none of the markers stands that are mere bytes here, and none of the texts; both
 * NULL-terminated, NULL: none. */
void put_text_without(struct str *out, const struct turn *t, const char *const *marker, const char *const *text);
/* A turn from its parts, each envelope text, NULL: nothing; owned by the caller. */
struct turn_parts {
    struct str head;                                                  /* before text */
    struct str text;                                                  /* free text */
    struct str between;                                               /* from text to the first call */
    struct str first;                                                 /* before the first call without text */
    struct str each;                                                  /* a call of a pair */
    struct str code, last_code;            /* raw source; last: only as the last call of a turn */
    struct str sep, close;                                            /* between calls; behind the last */
    bool single, apart;               /* one call a turn at most; no text beside calls */
    bool preamble;                                  /* text may come before a call that must */
};
/* Appends `root = …;` and what it needs; releases the parts. */
void put_turn(struct str *out, const struct turn *t, struct turn_parts *p);

/* What both LFM2 dialects share. */
extern const char *const lfm2_stop[];
extern const char *const lfm2_markers[];
/* The parts around one `call` and the separator between calls. */
struct turn_parts lfm2_parts(const struct turn *t, const char *call, const char *sep, bool text_after);
/* What Functionary v3.1 and v4r share. */
extern const char *const function_stop[];
extern const char *const function_markers[];
void function_prefix(enum tool_choice choice, const char *name, struct prompt *out);
void function_grammar(const struct turn *t, bool preamble, struct str *envelope);
/* {"name": NAME, KEY: VALUE} with these blanks, as `each`. */
void put_json_call(struct str *out, const char *key, const char *blank);

#endif
