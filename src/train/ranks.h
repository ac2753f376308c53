/* ranks.h -- one run in several processes, on one machine or many: each has whole micro-batches, gradients are added.
 *
 * The processes are those of mpirun; without MPI (or outside of mpirun) there is one, of rank 0, and nothing below does
 * anything. All of them must make the same calls in the same order. */
#ifndef TENON_TRAIN_RANKS_H
#define TENON_TRAIN_RANKS_H

#include "base/base.h"

struct ranks { int rank, n; };                                        /* rank 0 writes and speaks; n 0: as 1 */
/* Joins the others, once a process. ERR_UNSUPPORTED: several were started, by a build without MPI. */
bool ranks_open(struct ranks *r, struct err *e);
void ranks_close(const struct ranks *r, bool ok);                     /* not ok: the others end too, instead of waiting for sums */
/* Every process gets the sum of all, the same bits in each. */
void ranks_sum(const struct ranks *r, float *v, size_t n);
void ranks_sum_f64(const struct ranks *r, double *v, size_t n);
const char *ranks_library(void);                                      /* "Open MPI 4.1"; NULL: built without */

#endif
