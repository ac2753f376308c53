/* shape_object.h -- what the files that make object shapes share: the members of one object while its bag is read.
 *
 * shape_object.c   which keys there are, what must come along, what must not come together
 * shape_names.c    propertyNames, patterns of keys, the classes of invented keys
 * shape_ways.c     what is said of a key, and the alternatives in which it is taken */
#ifndef TENON_GRAMMAR_SHAPE_OBJECT_H
#define TENON_GRAMMAR_SHAPE_OBJECT_H

#include "grammar/int.h"

/* NOT_PROPS, NOT_NAMES or NOT_UNEVAL_PROPS of a node; bad: names that its propertyNames refuses; bare: the item of the
 * node without its unevaluatedProperties; moot: settled whatever comes. */
struct debt { uint32_t node, bare; uint8_t kind; bool moot; struct names bad; };
/* A list of signed nodes that grows in the scratch arena. */
struct refs_list { uint32_t *ref, n, cap; };
/* What is said of a key, and the ways in which it settles each debt. */
struct key_ways { struct refs_list said, *how; };                     /* how[n_debt] */
struct members {
    struct expand *x;
    const struct bag *b;
    struct obj *o;
    const struct kw_obj *first;                                       /* its properties are the first keys, in their order */
    uint32_t *slot, n_slot, cap_key;                                  /* names of the other keys -> key + 1 */
    bool *barred;                                                     /* [n_key] the key must not come */
    struct key_ways **ways;                                           /* [n_key] once all keys are known */
    struct debt *debt; uint32_t n_debt;                               /* [MOST_DEBT] */
    struct names names; bool has_names;                               /* propertyNames, opened */
    struct bytes *pattern, *begin; uint32_t n_pattern, cap_pattern;   /* all distinct ones; what surely begins their matches */
    size_t sorted;                                                    /* bytes of automata made to sort names by patterns */
    struct strs *text; uint8_t *apart;                                /* [n_pattern] names that match; [n_pattern^2] APART_… */
    uint8_t *letter; uint32_t n_letter;                               /* a byte for each way in which they tell bytes apart; NULL: not asked */
    uint64_t matched[8];                                              /* patterns that the key at hand matches */
    struct { uint32_t key, ref; } *must; uint32_t n_must, cap_must;   /* what the value of a key must be besides */
    uint32_t refused;                                                 /* debts whose propertyNames refuse the class at hand */
};
enum { MOST_PATTERN = 512, MOST_ALT = 64, MOST_SORTING = 64 << 20 };

static inline const struct node *item_node(const struct members *mb, uint32_t i)
{
    return node_at(mb->x->g, mb->b->item[i].ref / 2);
}

static inline const struct kw_obj *held_obj(const struct members *mb, uint32_t i)
{
    return mb->b->item[i].ref & 1 ? NULL : item_node(mb, i)->obj;
}

/* shape_object.c */
uint32_t key_of(struct members *mb, struct bytes name);              /* index of the key with this name, made if need be */
/* shape_names.c. False: an error. */
void names_forget(struct names *n);
bool held_property_names(struct members *mb);                         /* fills mb->names */
bool name_allowed(struct members *mb, const struct names *names, struct bytes name, bool *ok);
bool all_patterns(struct members *mb);                                /* fills mb->pattern, mb->text */
bool is_matched(const struct members *mb, struct bytes pattern);      /* by the key at hand */
void match_patterns(struct members *mb, struct bytes name);           /* the key at hand is this one */
bool invented_keys(struct members *mb);                               /* fills the classes of mb->o */
/* shape_ways.c */
bool closes_itself(const struct members *mb);
bool impossible(const struct members *mb, const struct refs_list *l);
struct key_ways *key_ways(struct members *mb, const struct bytes *name, bool required); /* of the key at hand (NULL: an invented one); NULL: an error */
bool key_alts(struct members *mb, struct key_ways *k, struct alts *out);

#endif
