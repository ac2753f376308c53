/* value.h -- what a request offers for the arguments of a call (place.c, offer.c). */
#ifndef TENON_GEN_VALUE_H
#define TENON_GEN_VALUE_H

#include "gen/int.h"

enum { GIVEN_MOST = 64 };
/* Where a value is about to begin. */
struct place {
    const struct json *schema, *object;                               /* of the value; of all arguments */
    struct bytes key;                                                 /* of the value, or of the array it is in */
    bool in_string;                                                   /* its quote is open */
    struct bytes given[GIVEN_MOST]; int n_given;                      /* values before it, without quotes */
};
/* text [n]: the arguments so far. False: no value begins here, or its schema is not known. */
bool place_find(struct place *p, const struct json *schema, const char *text, size_t n);

/* What a token does to the list of calls: nothing, it goes on to another call, it ends. said [n]: the answer before it. */
enum list_step { LIST_SAME, LIST_MORE, LIST_ENDS };
enum list_step place_list(const char *said, size_t n, struct bytes next);

struct offer;
struct offer *offer_open(const struct json *messages);
void offer_close(struct offer *o);                                    /* NULL is fine */
/* Values for this place: items [cap], their texts lent until the next call. 0: none. */
int  offer_values(struct offer *o, const struct place *p, struct whole_item *item, int cap);
int  offer_lacks(const struct offer *o, const struct json *schema);   /* required numbers that the request has not */
/* Does the request say a number or name that `said` does not? */
bool offer_left(const struct offer *o, const char *said, size_t n);

#endif
