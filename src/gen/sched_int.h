/* sched_int.h -- what the files of the scheduler share. */
#ifndef TENON_GEN_SCHED_INT_H
#define TENON_GEN_SCHED_INT_H

#include <pthread.h>

#include "gen/int.h"

/* ---- shelf.c: adapters by name ------------------------------------------------------------------ */

struct book;                                                          /* an adapter that somebody holds */
struct shelf { pthread_mutex_t lock; struct book *first; };           /* any thread */
void shelf_init(struct shelf *s);
void shelf_done(struct shelf *s);                                     /* nobody holds a book any more */
bool shelf_load(struct shelf *s, const struct model *m, const char *name, const char *path, float scale, bool replace, struct err *e);
bool shelf_unload(struct shelf *s, const char *name, struct err *e);
struct book *shelf_take(struct shelf *s, const char *name, struct err *e); /* NULL: not there */
void shelf_give(struct shelf *s, struct book *b);                     /* NULL is fine */
int  shelf_list(struct shelf *s, struct sched_adapter *out, int cap);
const struct adapter *book_adapter(const struct book *b);
float       book_scale(const struct book *b);
uint64_t    book_key(const struct book *b);                           /* of contents and scale; never 0 */
const char *book_name(const struct book *b);

#endif
