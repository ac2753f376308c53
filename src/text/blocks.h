/* blocks.h -- the state of a parser of blocks, shared by the machine for the calls of one block (block.c) and
 * the one for the turn around it (parser.c). */
#ifndef TENON_TEXT_BLOCKS_H
#define TENON_TEXT_BLOCKS_H

#include "text/read.h"

#define KEYS_WATCHED 64                                /* per call, for "given twice" */

enum stage {
    T_LEAD,                                        /* blank so far, or the beginning of something */
    T_THINK, T_TEXT,
    T_WHOLE,                                         /* may be calls without markers: all is held */
    T_BLOCK,
    T_CODE,                                               /* source, to the end of the turn */
    T_AFTER,                                             /* a block has ended; blanks are dropped */
    T_ECHO,                                       /* text after a block that may be dropped: held */
};
enum place { B_ITEM, B_NAME, B_NAME_END, B_ARG, B_WORD, B_WORD_END, B_VALUE, B_ARG_END, B_STAR,
             B_MERGE, B_SKIP, J_KEY, J_NAME_OF, J_VALUE, J_TAKE, J_ARGS, J_NEXT };
enum member { M_NAME, M_ARGS, M_FUNCTION, M_CALLS, M_OTHER };

struct blocks {
    struct parser r;
    bool watch, llama;                                 /* how calls begin where no marker says so */
    int n_watched; bool spaced; struct str watched;   /* bytes of CALLS_BEGIN seen, its blank, the name behind it */

    enum stage turn;
    struct str wait;                                                /* text not yet decided about */
    bool thought, tagged;                 /* tagged: behind <|python_tag|> */
    struct str unread; bool no_call, bad;          /* a block so far, while no call of it was reported */
    bool bare, wrapped;            /* bare: a block without markers; wrapped: in {"tool_calls": […]} */

    enum place place;
    bool in_list, block_open, json_call;
    int json_depth;                                       /* 2 inside {"function":{…}} */
    enum member member;
    bool has_name, has_args, begun;
    int n_key, n_positional;
    uint64_t key_seen[KEYS_WATCHED];
    struct str name, word;
    struct literal args, take;                            /* arguments of the call; anything else */
    size_t sent;                                          /* bytes of args.out that were reported */

    int skip_depth; char skip_quote; bool skip_escape;   /* B_SKIP: finding the end of a bad call */
};

/* Starts a block, takes a byte of one, ends one: a marker came, or the output ended. */
void   block_start(struct blocks *p);
void   block_byte(struct blocks *p, char c);
void   block_finish(struct blocks *p);
/* Bytes of the value or object being read, as far as it goes; at least one is used. */
size_t block_span(struct blocks *p, const char *s, size_t n);
void   block_flush(struct blocks *p);                                 /* says the arguments that are final */
void   blocks_text(struct blocks *p, const char *s, size_t n);        /* is text */
void   blocks_after(struct blocks *p, char c);                        /* a byte behind a block */

static inline bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c & 0x80) || (c && strchr("_.-", c));
}

/* brave_search.call(query="…"): how Llama calls what is built in. */
static inline bool ends_in_call(const char *name, size_t len) { return len > 5 && !memcmp(name + len - 5, ".call", 5); }

#endif
