/* value.h -- what a request offers for the arguments of a call (place.c, offer.c, claim.c). */
#ifndef TENON_GEN_VALUE_H
#define TENON_GEN_VALUE_H

#include "gen/int.h"

enum { GIVEN_MOST = 64 };
/* Where a value is about to begin. */
struct place {
    const struct json *schema, *object;                               /* of the value; of all arguments */
    struct bytes key;                                                 /* of the value, or of the array it is in */
    bool in_string;                                                   /* its quote is open */
    struct bytes given[GIVEN_MOST]; int n_given;                      /* values before it, without quotes; of a value in progress what there is */
    bool begins_key;                                                  /* a name of a parameter begins here, */
    char open; int depth;                                             /* innermost bracket, and how many are open */
    struct bytes last_key;                                            /* of the arguments, the last that was named */
    const struct json *inner;                                         /* schema of what the innermost bracket opened */
};
/* text [n]: the arguments so far. False: no value begins here, or its schema is not known; the members after `key` are filled all the same. */
bool place_find(struct place *p, const struct json *schema, const char *text, size_t n);

/* What a token does to the list or object whose members are at this depth of brackets: nothing, it goes on to another member, it ends.
 * said [n]: the text before it. */
enum list_step { LIST_SAME, LIST_MORE, LIST_ENDS };
enum list_step place_step(const char *said, size_t n, struct bytes next, int depth);

enum { WORDS_MOST = 256, NUMBERS_MOST = 40, STEMS_MOST = 64 };
struct said_word { size_t from, to; uint64_t stem; bool function; };  /* without the punctuation around it */
struct said_number { char text[28]; int word; };                      /* where it stands */
/* The last user turn: its words and numbers. */
struct offer {
    struct str text;
    struct said_word word[WORDS_MOST]; int n_word;
    struct said_number number[NUMBERS_MOST]; int n_number;
};
/* Stems of a parameter's words; those of its name come first. */
struct stems { uint64_t of[STEMS_MOST]; int n, n_key; };
void   stems_add(struct stems *s, const char *p, size_t n);
bool   stems_have(const struct stems *s, uint64_t stem);
bool   schema_is_numeric(const struct json *schema);
int    offer_times_said(const struct offer *o, double v);
int    place_times_given(const struct place *p, double v);
void   offer_taken(const struct offer *o, const struct place *p, bool *taken); /* [WORDS_MOST]: is this word in a string given before? */
struct offer *offer_open(const struct json *messages);
void offer_close(struct offer *o);                                    /* NULL is fine */
/* Values for this place: items [cap], their texts lent until the next call. 0: none. */
int  offer_values(struct offer *o, const struct place *p, struct whole_item *item, int cap);
int  offer_lacks(const struct offer *o, const struct call_tool *tool); /* required numbers and strings that the request has nothing for */
/* What the request says that `said` does not, the words of the tool aside (NULL: none): nothing, words, or a number or name. */
enum offer_rest { LEFT_NOTHING, LEFT_WORDS, LEFT_NAMES };
enum offer_rest offer_left(const struct offer *o, const struct call_tool *tool, const char *said, size_t n);

/* What speaks for another member of the innermost list or of the arguments, against its end, in logarithms of odds. */
double claim_more(const struct offer *o, const struct place *p, const struct call_tool *tool);
/* The names of parameters that may come here, with what speaks for each: items [cap], their texts lent by the schema. */
int    claim_keys(const struct offer *o, const struct place *p, const struct call_tool *tool, struct whole_item *item, int cap);

#endif
