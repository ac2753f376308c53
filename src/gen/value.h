/* value.h -- what a request offers for the arguments of a call (place.c, offer.c, claim.c). */
#ifndef TENON_GEN_VALUE_H
#define TENON_GEN_VALUE_H

#include "gen/int.h"

enum { GIVEN_MOST = 64 };
/* Where a value is about to begin. */
struct place {
    const struct json *schema, *object;                               /* of the value; of all arguments */
    struct bytes key; const struct json *named;                       /* of the value, or of the array it is in; its schema */
    bool in_string;                                                   /* its quote is open */
    struct bytes given[GIVEN_MOST]; int n_given;                      /* values before it, without quotes; of a value in progress what there is */
    bool begins_key;                                                  /* a name of a parameter begins here, */
    char open; int depth, list_from;                                  /* innermost bracket, how many are open, values given before it */
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
/* Without the punctuation around it. capital: of a name, not of a sentence's beginning; quote: number of the quotation it is in, 0 none. */
struct said_word { size_t from, to; uint64_t stem; bool function, capital; int quote; };
enum said_as { AS_DIGITS, AS_WORDS, AS_SCALED, AS_SHARE, AS_PART };   /* "12", "twelve", "12,000" or "2 million", "12%" as 0.12, of "12:30" */
struct said_number { char text[28]; int word; enum said_as as; };     /* where it stands */
/* The last user turn: its words and numbers. */
struct offer {
    struct str text;
    bool follows;                                                     /* a call of the conversation went before: it may say what this turn does not */
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
bool   said_is(const struct offer *o, int i, const char *what);        /* word i, any case */
bool   offer_says(const struct offer *o, const char *text);            /* this text, between spaces or punctuation, `_` as a space */
bool   said_number_at(const struct offer *o, int word);
struct offer *offer_open(const struct json *messages);
void offer_close(struct offer *o);                                    /* NULL is fine */
/* span.c: spans for this place; the word where the next item of a list would begin, -1 none; words of a description's examples. */
int  span_values(const struct offer *o, const struct place *p, struct whole_item *item, int cap);
int  span_next_item(const struct offer *o, const struct place *p, bool *known); /* known: the item before is said in the request */
void examples_of(struct stems *s, const struct json *schema);
/* Of the numbers the next item of a list, -1 none. */
int  offer_next_number(const struct offer *o, const struct place *p, bool *known);
/* Do the words near a free number speak of this parameter? */
bool offer_number_near(const struct offer *o, const struct place *p, const char *key, const struct json *schema);
bool offer_has_number(const struct offer *o, const struct place *p);     /* is a number left that no value has? */
bool offer_number_free(const struct offer *o, const struct place *p, int i);
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
