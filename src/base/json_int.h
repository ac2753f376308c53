/* json_int.h -- how a JSON value lies in memory, and the pools that a parsed text is read into; json.c and json_scan.c share it.
 *
 * Every value has a count of owners of its own, so any part of a tree can outlive the rest. What one text is read into
 * lies in few blocks, values growing from the front of a block and texts from its end; a block is freed with the last
 * value in it. Values made one by one are their own allocation. */
#ifndef TENON_JSON_INT_H
#define TENON_JSON_INT_H

#include <stdatomic.h>

#include "base/json.h"

enum { FEW_MEMBERS = 16 };              /* of so many a key is searched one by one; larger objects have a table behind their members */

struct member { const char *key; uint32_t len; bool own; struct json *value; };       /* own: the key is an allocation of its own */
struct json {
    uint8_t type; bool truth;
    bool own;                           /* text, member or item is an allocation of its own */
    uint32_t home;                      /* the block it lies in begins 8 * home bytes before it; 0: it is an allocation of its own */
    _Atomic uint32_t refs;
    uint32_t len, cap;                  /* bytes, members or elements; cap: members and elements there is room for */
    union { char *text; struct member *member; struct json **item; };                  /* text ends with NUL; of numbers as written */
};

struct block { _Atomic uint32_t live; uint32_t pad; };                /* values in it, and 1 while the pool holds it */
struct json_pool { struct block *block; char *at, *end; size_t size; uint32_t n; };         /* free: [at, end); n: values not yet counted */

void json_pool_open(struct json_pool *p, size_t first_bytes);
void json_pool_close(struct json_pool *p);                            /* the values stay; before that none of them may be freed */
/* A value that takes no room beside itself. What the others take lies in the block of the value. */
struct json *json_pool_value(struct json_pool *p, enum json_type type);
struct json *json_pool_text(struct json_pool *p, enum json_type type, size_t n);       /* number or string; its text is to be filled */
struct json *json_pool_array(struct json_pool *p, struct json *const *item, size_t n);
/* An object with room for n members, to be filled, and at *keys for n_key bytes, their names with a NUL behind each. */
struct json *json_pool_object(struct json_pool *p, size_t n, size_t n_key, char **keys);
/* All members are filled. False: *twice is the first that has the key of one before it. */
bool json_members_done(struct json *v, size_t *twice);

/* The reader: exactly RFC 8259 within JSON_DEPTH; ERR_FORMAT with the byte offset otherwise. */
struct json *json_scan(const char *text, size_t len, struct err *e);

#endif
