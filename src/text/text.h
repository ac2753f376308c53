/* text.h -- the door of text/: messages become tokens and tokens become messages.
 *
 * Tokenizer (vocab.c, bpe.c, spm.c, merge.c, split.c), prompts (chat.c), and dialects (dialect.c,
 * dialect_<name>.c): how one model family writes tool calls. Messages are JSON in OpenAI shape. A
 * prompt is built from pieces, so that text of a user that looks like a special token never becomes one. */
#ifndef TENON_TEXT_H
#define TENON_TEXT_H

#include "base/base.h"
#include "base/json.h"
#include "format/format.h"

/* ---- tokenizer ------------------------------------------------------------------------------- */

struct ids { int32_t *id; size_t n, cap; };              /* growing; zeroed = empty; mem_free(id) */
void ids_put(struct ids *l, int32_t id);

struct tokenizer;                                    /* read-only once open; any thread may share */
/* From tokenizer.ggml.*; ERR_UNSUPPORTED names a model or pre-tokenizer that is not known. Lends token
 * texts from g, which must stay open longer. */
struct tokenizer *tok_open(const struct gguf *g, struct err *e);
void tok_close(struct tokenizer *t);
int  tok_n_vocab(const struct tokenizer *t);
enum { TOK_ADD = 1,                                               /* bos/eos as the file asks for */
       TOK_SPECIAL = 2,                               /* text of control tokens becomes the token */
       TOK_INSIDE = 4 };               /* text stands before it: SPM puts no space of its own there */
/* Appends to out. Bytes that are not UTF-8 are kept (lossless). SPM vocabularies read a text at the
 * beginning or behind a special token as if a space stood before it, unless the file forbids it, and
 * a U+2581 as a space. */
bool tok_encode(const struct tokenizer *t, const char *s, size_t len, unsigned flags, struct ids *out, struct err *e);
/* Appends the text of a whole sequence: tok_bytes() of each token, less one space where SPM put it
 * there, at the very beginning. An answer behind a prompt is no whole sequence: its space stays. */
void tok_decode(const struct tokenizer *t, const int32_t *id, size_t n, struct str *out);
/* what it decodes to; empty for control tokens */
struct bytes tok_bytes(const struct tokenizer *t, int32_t id);
struct bytes tok_text(const struct tokenizer *t, int32_t id);         /* as it stands in the file: "<|im_end|>", "Ġthe" */
bool    tok_is_control(const struct tokenizer *t, int32_t id);
/* id of the control or user-defined token, -1 if none */
int32_t tok_special(const struct tokenizer *t, const char *text);
int32_t tok_bos(const struct tokenizer *t);                           /* -1: none */
int32_t tok_eos(const struct tokenizer *t);                           /* -1: none */
bool    tok_adds_bos(const struct tokenizer *t);
/* ends a generation: eos, eot, eom, by id or text */
bool    tok_is_eog(const struct tokenizer *t, int32_t id);

/* Learns byte-level BPE merges (bpe_learn.c; training.md section 5): splits with pre-tokenizer `pre`,
 * cuts again where the character class changes, merges inside the cuts only, until n_vocab tokens
 * (specials first, then the 256 bytes). next(ctx, &text) hands over text until it returns false. */
struct bpe_tables { struct bytes *token; int32_t *type; int n_token; struct bytes *merge; int n_merge; struct arena mem; };
bool bpe_learn(const char *pre, const char *const *special, int n_special, int n_vocab,
               bool (*next)(void *ctx, struct bytes *text), void *ctx, struct bpe_tables *out, struct err *e);
void bpe_tables_done(struct bpe_tables *t);
/* Writes tokenizer.ggml.* of the tables. bos/eos/pad by text of a special. */
void bpe_tables_write(const struct bpe_tables *t, const char *pre, const char *bos, const char *eos,
                      const char *pad, struct gguf_out *o);

/* ---- prompts --------------------------------------------------------------------------------- */

/* A rendered prompt. Its bytes are what the template prints; pieces, in order and together all of it, say
 * whose they are: `trusted` ones stand in the template (or are its bos and eos token) and may hold special
 * tokens, the others came from outside and never do. */
struct piece { bool trusted; size_t off, len; };
struct prompt { struct str text; struct piece *piece; size_t n_piece, cap; };
void prompt_done(struct prompt *p);
void prompt_put(struct prompt *p, bool trusted, const char *s, size_t len);             /* appends */
void prompt_text(struct prompt *p, const char *s, size_t len);        /* appends ordinary text */
void prompt_puts(struct prompt *p, const char *s);                    /* the same for a C string */
void prompt_special(struct prompt *p, const char *token);  /* appends a special token by its text */
/* The prompt cut at its special tokens (those wholly in one trusted stretch, and user-defined ones
 * anywhere): id >= 0 is such a token, -1 the text between two. *parts: the caller's, mem_free(). */
struct prompt_part { int32_t id; size_t off, len; };
bool prompt_parts(const struct prompt *p, const struct tokenizer *t, struct prompt_part **parts, size_t *n, struct err *e);
/* Encodes each part on its own; adds bos only if the prompt does not begin with it and the file asks. */
bool prompt_tokens(const struct prompt *p, const struct tokenizer *t, struct ids *out, struct err *e);

/* ---- templates ------------------------------------------------------------------------------- */

/* Jinja, as the transformers library sets it up (docs/templates.md). */
struct jinja;                              /* a compiled template; read-only, any thread may share */
/* name: for errors, which say "name:line:column: …". ERR_FORMAT: what does not parse. */
struct jinja *jinja_open(const char *text, size_t len, const char *name, struct err *e);
void jinja_close(struct jinja *j);                                    /* NULL is fine */
const char *jinja_source(const struct jinja *j);                      /* the text, closed by NUL */
/* vars: an object, the template's variables; appended to out, also what was printed before an error. The
 * text of bos_token and eos_token, of marked strings (int.h) where they say so, and of the template itself
 * is trusted. ERR_ARG: raise_exception and type errors; ERR_LIMIT: steps, memory, depth. */
bool jinja_render(const struct jinja *j, const struct json *vars, struct prompt *out, struct err *e);
/* A template of our own (templates/NAME.jinja), compiled when first asked for; lent for good.
 * NULL: ERR_ARG lists the names. */
const struct jinja *template_own(const char *name, struct err *e);
const char *template_own_name(size_t i);                              /* NULL past the end */

/* ---- dialects -------------------------------------------------------------------------------- */

enum tool_choice { CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED };
/* One assistant turn, to be written or to be read; all lent. */
struct turn {
    const struct json *tools;              /* of the request, whatever the choice leaves of them; NULL: none */
    enum tool_choice choice; const char *name;                        /* CHOICE_NAMED: the tool */
    const struct tokenizer *tok;    /* says which markers are tokens; NULL: output of which only the text is known */
    /* for grammar() alone: */
    bool parallel;                                                    /* several calls */
    int n_pair; bool code;     /* what the choice leaves: (name, schema) pairs; code_interpreter, called by raw source */
    const char *text;              /* envelope expression that a text answer must be (response_format); NULL: free */
};
struct dialect_request {                                              /* all lent */
    const struct json *messages, *tools;     /* OpenAI arrays; tools bare or wrapped; may be NULL */
    const struct json *vars;                        /* further template variables, object or NULL */
    bool add_generation_prompt;
    const char *bos_token, *eos_token;                                /* NULL: "" */
    const struct jinja *template;           /* the model file's; NULL: the dialect's own template */
};

/* What the parser reports, in order; bytes lent during the call. Arguments are compact JSON. */
enum parse_kind { PARSE_REASONING, PARSE_TEXT, PARSE_CALL_BEGIN, PARSE_CALL_ARGS, PARSE_CALL_END };
struct parse_event { enum parse_kind kind; int index; const char *bytes; size_t len; };
/* CALL_BEGIN: bytes = whole name */
typedef void parse_sink(void *ctx, const struct parse_event *ev);

struct parser;
struct dialect {
    const char *name;                                                 /* "lfm2", "lfm2-json", "json" */
    /* What the template is given: an object with `messages`, `tools` and whatever else this family's
     * templates read; the caller's. r->template (jinja_source) says which text will read it, NULL: the one
     * named below. dialect_render() adds r->vars, bos_token, eos_token and add_generation_prompt where
     * prepare did not set them. ERR_ARG names the message ("messages[2]: …"). */
    struct json *(*prepare)(const struct dialect_request *r, struct err *e);
    const char *template_name;              /* of our own, used when the model carries none */
    /* Appends what a tool choice forces the answer to begin with; name: the tool of CHOICE_NAMED. NULL: nothing.
     * The same bytes are the beginning of what grammar() says: generation feeds them as forced tokens. */
    void (*prefix)(enum tool_choice choice, const char *name, struct prompt *out);
    /* Envelope text (grammar.h) of the turn: `each` goes through the tools that the choice allows, schema(0)
     * is free for t->text. */
    void (*grammar)(const struct turn *t, struct str *envelope);
    /* t is copied, what it points to is lent until parser_close(). */
    struct parser *(*parser_open)(const struct turn *t, parse_sink *sink, void *ctx);
    const char *const *stop;                 /* special tokens that end the turn; NULL-terminated */
    const char *const *markers;         /* further special tokens the parser acts on; NULL-terminated */
    bool raw_code;             /* code_interpreter is called by raw source; else as a function python(code) */
    const char *spelling;                                             /* default separators: "lock" or "fixed" */
    const char *item_sep, *key_sep;                                   /* the dialect's own: ", " and ": " */
    bool declared_order;                                       /* keys in schema order by default */
};
/* One piece of output: text bytes, or (special) the text of one special token. Cuts change nothing. */
void parser_feed(struct parser *p, const char *bytes, size_t len, bool special);
/* Flushes, frees. cut: the output ended by a limit, not by the model. False: a call was cut or malformed (named). */
bool parser_close(struct parser *p, bool cut, struct err *e);
/* Within a string of a call's arguments, where no text is a marker? */
bool parser_in_string(const struct parser *p);

/* What a model file is spoken to with: the dialect of that name (NULL: as detected) and the file's template, the
 * caller's (jinja_close). *out stays NULL where the file carries none, and where another dialect than the
 * file's was asked for, whose own template is used then. ERR_ARG lists the names. */
bool dialect_open(const struct gguf *g, const struct tokenizer *t, const char *name, const struct dialect **d,
                  struct jinja **out, struct err *e);
/* The whole prompt of a request: prepare, then the model's template, else our own. A model's template that has
 * no place for tools is not used by a dialect that was trained with them, save the generic one. */
bool dialect_render(const struct dialect *d, const struct dialect_request *r, struct prompt *out, struct err *e);
const struct dialect *dialect_find(const char *name);                 /* NULL if unknown */
const struct dialect *dialect_at(size_t i);                           /* NULL past the end */
/* Does the special token of this text end a turn of d (NULL: of none)? */
bool dialect_stops(const struct dialect *d, struct bytes special);
/* Which dialect a model file speaks and why, in words: the key tenon.dialect, else the rules of detect.c over
 * template, special tokens and name. guessed: nothing was found, it is the last row, generic JSON. g and t
 * may be NULL. */
struct detection { const struct dialect *dialect; bool guessed; char why[240]; };
void dialect_explain(const struct gguf *g, const struct tokenizer *t, struct detection *out);
/* The same for a chat template alone. */
void dialect_of_template(const char *text, struct detection *out);
/* As dialect_explain(); a guess is logged as a warning. */
const struct dialect *dialect_detect(const struct gguf *g, const struct tokenizer *t);

/* Output as it arrives: finds those markers in the text that are no tokens of t->tok (without one, all of them
 * and the stop tokens, at the first of which it ends), holding back what may be the beginning of one. Without
 * t->tok (a remote endpoint, a file) it also takes a whole answer that reads as calls of declared tools for
 * calls, markers or not; never use that where the grammar is on. */
enum { WIRE_MARKS = 16 };
struct wire { struct parser *p; const char *mark[WIRE_MARKS + 1]; int n_stop; struct str held; bool stopped; };
void wire_open(struct wire *w, const struct dialect *d, const struct turn *t, parse_sink *sink, void *ctx);
void wire_feed(struct wire *w, const char *bytes, size_t len, bool special);
bool wire_close(struct wire *w, bool cut, struct err *e);             /* as parser_close */
/* Does the request declare code_interpreter? */
bool tools_have_code(const struct json *tools);

/* The bare template over messages, tools and vars as they are: nothing prepared. */
bool template_render(const struct jinja *j, const struct dialect_request *r, struct prompt *out, struct err *e);
/* One tool as the embedded model reads it: `name(a: str # what, b?: int) description`. */
void tool_signature(struct str *out, const struct json *tool);
/* The function object of a tool, wrapped or bare; NULL if it is neither. */
const struct json *tool_function(const struct json *tool);

#endif
