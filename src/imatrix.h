/* imatrix.h -- importance matrices: how much each column of each weight matrix matters.
 *
 * The importance of a column is the mean over text of the squared input that meets it; a quantiser
 * weights its rounding errors with it. Collected by looking on while a model runs, kept as a GGUF file
 * of the kind other tools read and write (general.type = imatrix; `<matrix>.in_sum2` and `.counts`). */
#ifndef TENON_IMATRIX_H
#define TENON_IMATRIX_H

#include "format/format.h"
#include "tensor/tensor.h"

struct imatrix;
struct imatrix *imatrix_new(void);
void            imatrix_free(struct imatrix *im);                     /* NULL is fine */
/* Adds what a file holds. False: ERR_IO, ERR_FORMAT (names file and tensor or key). */
bool            imatrix_read(struct imatrix *im, const char *path, struct err *e);
bool            imatrix_write(struct imatrix *im, const char *path, struct err *e);
/* Texts that were run, and the most tokens of one: what the file says of its origin. */
void            imatrix_came_from(struct imatrix *im, const char *dataset, int64_t n_chunk, int64_t chunk_tokens);
size_t          imatrix_n(const struct imatrix *im);                  /* matrices */
int64_t         imatrix_n_chunk(const struct imatrix *im);
const char     *imatrix_dataset(const struct imatrix *im);            /* the first, "" without one */

/* The importance of t's columns into *out, [experts, row], freed with mem_free; NULL where the matrix was
 * never met. An expert that no token chose counts all its columns alike. ERR_FORMAT: another shape. */
bool imatrix_of(const struct imatrix *im, const struct tensor *t, float **out, struct err *e);

/* Kernels that look on: the same as `base`, and the input of every product is added to im under the name
 * that the matrix has in g. All are lent; one thread at a time. */
struct imatrix_watch;
struct imatrix_watch *imatrix_watch_open(struct imatrix *im, const struct gguf *g, const struct ops *base);
const struct ops     *imatrix_watch_ops(const struct imatrix_watch *w);
void                  imatrix_watch_close(struct imatrix_watch *w);   /* NULL is fine */

#endif
