/* read.h -- what the parsers share: how bytes come in, how text, names and arguments go out.
 *
 *   reader.c     bytes -> whole characters -> steps of a parser; text, calls, raw code
 *   arguments.c  a JSON object, read as it comes, written compact
 *   segment.c    Functionary v1, v2, v2.llama3, v3.2: segments, each for one recipient
 *   tagged.c     Functionary v3.1, v4r and Hermes: tags in text
 *   parser.c     LFM2, Llama 3.1 and plain JSON: blocks of calls (block.c)
 *
 * A parser is this struct, a kind, and what the kind adds. Whatever is undecided waits in `held` and is
 * offered again with the next bytes; so a step sees bytes, never cuts. */
#ifndef TENON_TEXT_READ_H
#define TENON_TEXT_READ_H

#include "text/int.h"

/* ---- arguments.c ------------------------------------------------------------------------------ */

enum { ARGS_DEPTH = 4096 };                                           /* nested containers */
enum args_step { ARGS_MORE, ARGS_DONE, ARGS_BAD };
/* An object of strict JSON. Zeroed = at its beginning, blanks may come first. */
struct args {
    int state, depth;
    uint8_t list[ARGS_DEPTH / 8];                    /* bit per level: 1 = a list, 0 = an object */
    const char *word;                                                 /* what is left of true, false, null */
    char escape[12]; int n_escape;                   /* an escape, or two, that is not decided yet */
    uint32_t high;                                                    /* first half of a surrogate pair */
};
/* Uses bytes up to the end of the object or to the first that cannot continue it (which is not used);
 * appends what they say. Escapes become the fewest. */
size_t args_read(struct args *a, const char *s, size_t n, struct str *out, enum args_step *r);
bool   args_in_string(const struct args *a);
bool   args_plain(const struct args *a, const char *s, size_t n);    /* all of s goes into a string as it stands */
/* What stands between the quotes of a string in compact JSON, decoded. */
void   json_unescape(struct str *out, const char *s, size_t n);
static inline bool args_empty(const struct args *a) { return !a->state; }

/* ---- reader.c --------------------------------------------------------------------------------- */

enum { NAME_MOST = 128 };
enum plain { NOT_PLAIN, PLAIN_TEXT, PLAIN_ARGS };
struct parser_kind {
    size_t bytes;                                        /* of the struct that begins with struct parser */
    /* Uses some of s, whole characters, and says how much; 0: not decided before more comes. Where p->last
     * is set nothing more comes of this stretch: then all is decided. */
    size_t (*step)(struct parser *p, const char *s, size_t n);
    void   (*special)(struct parser *p, struct bytes token);
    void   (*end)(struct parser *p);                                  /* after the last byte */
    bool   (*in_string)(const struct parser *p);
    /* The short way for pieces as tokens come: what s is where none of its bytes begins, ends or changes anything. */
    enum plain (*plain)(const struct parser *p, const char *s, size_t n);
    void   (*done)(struct parser *p);                                 /* releases what the kind added; may be NULL */
};
struct parser {
    const struct parser_kind *kind;
    struct turn turn; parse_sink *sink; void *ctx;
    bool has_code;                                                    /* the request declares code_interpreter */
    bool lenient, cut, last, over;                    /* over: the answer has ended, the rest is dropped */
    char tail[4]; int n_tail;                                         /* an incomplete character */
    struct str held;                                                  /* not decided yet */

    struct str text, blank;    /* to be reported; blanks that are dropped if their stretch holds nothing else */
    bool thinking, thought;                           /* text is reasoning; blanks behind it are its end */
    bool in_stretch, any_text, new_line;             /* new_line: the next text begins a line */
    bool hold_line, line;           /* the last line end of text may belong to a marker; one is waiting */

    bool json_code;                                 /* of the dialect: source is written as {"code":"…"} */
    bool in_call, said, raw, is_source;                /* raw: the arguments are no JSON; is_source: code */
    struct str out, compact;                                          /* arguments to be reported; scratch */
    struct args args;
    struct str code; int code_state;                   /* {"code":"…"} of a call whose arguments are source */
    uint32_t code_high, code_cp;
    int index, n_done;
    struct err err;                                                   /* the first problem */
};

/* Of this kind, for this turn. */
struct parser *reader_new(const struct parser_kind *k, const struct turn *t, parse_sink *sink, void *ctx);
void reader_flush(struct parser *p);
/* What is held is decided: nothing that belongs to it comes any more. */
void reader_settle(struct parser *p);
/* Is s, as far as waiting blanks and line ends go, text that is reported as it stands? */
static inline bool plain_text(const struct parser *p, const char *s, size_t n)
{
    return p->in_stretch && !p->line && !(p->hold_line && s[n - 1] == '\n');
}
/* text of the answer; where a stretch of it ends, at a marker or because another follows */
void say_text(struct parser *p, const char *s, size_t n);
void end_stretch(struct parser *p, bool marker);
void begin_call(struct parser *p, const char *name, size_t n);
void say_args(struct parser *p, const char *s, size_t n);
void end_call(struct parser *p, bool complete);
void parse_problem(struct parser *p, const char *name, size_t n, const char *why);
/* Is there a tool of this name, or (prefix) one whose name begins so? `python` is one with code_interpreter. */
bool is_known(const struct parser *p, const char *name, size_t n, bool prefix);
bool is_code_name(const struct parser *p, const char *name, size_t n);
static inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static inline bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

/* The body of a call: blanks, an object, or from the first byte that no object has there, bytes as they are
 * up to a mark. mark: does one begin at s? 1 yes, 0 not decided, -1 no; all begin with `first`. */
enum body { BODY_MORE, BODY_DONE, BODY_MARK };        /* DONE: the object is complete and the call ended */
size_t body_step(struct parser *p, const char *s, size_t n, char first, int (*mark)(struct parser *, const char *, size_t),
                 enum body *b);
/* The call ends before its object did. clean: at the end that the model chose, or at a mark. */
void body_end(struct parser *p, bool clean);
void body_begin(struct parser *p, const char *name, size_t n);

#endif
