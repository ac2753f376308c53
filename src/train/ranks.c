/* ranks.c -- sums over processes by MPI, where the build has it.
 *
 * A sum goes to rank 0 and from there to all, so that every process has the same bits whatever the library does inside of
 * MPI_Allreduce: replicated optimizers must never part. */
#include "train/ranks.h"

#include <stdlib.h>

#ifdef TENON_MPI
#include <mpi.h>
#endif

enum { PIECE = 1 << 24 };                                             /* elements of one message: counts are int */

/* What mpirun says to the processes it starts: how many they are. */
static int started(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS" };
    for (size_t i = 0; i < LEN(names); i++) {
        const char *v = getenv(names[i]);
        if (v && atoi(v) > 0) return atoi(v);
    }
    return 1;
}

#ifdef TENON_MPI

bool ranks_open(struct ranks *r, struct err *e)
{
    *r = (struct ranks){ 0, 1 };
    if (started() < 2) return true;
    int has;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &has) != MPI_SUCCESS || has < MPI_THREAD_FUNNELED)
        return err_set(e, ERR_INTERNAL, "MPI cannot be started beside threads");
    MPI_Comm_rank(MPI_COMM_WORLD, &r->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &r->n);
    return true;
}

void ranks_close(const struct ranks *r, bool ok)
{
    if (r->n > 1 && !ok) MPI_Abort(MPI_COMM_WORLD, 1);
    if (r->n > 1) MPI_Finalize();
}

static void sum(const struct ranks *r, void *v, size_t n, MPI_Datatype type, size_t size)
{
    for (size_t at = 0; r->n > 1 && at < n; at += PIECE) {
        char *p = (char *)v + at * size;
        int count = (int)MIN((size_t)PIECE, n - at);
        MPI_Reduce(r->rank ? p : MPI_IN_PLACE, p, count, type, MPI_SUM, 0, MPI_COMM_WORLD);
        MPI_Bcast(p, count, type, 0, MPI_COMM_WORLD);
    }
}

void ranks_sum(const struct ranks *r, float *v, size_t n) { sum(r, v, n, MPI_FLOAT, sizeof *v); }
void ranks_sum_f64(const struct ranks *r, double *v, size_t n) { sum(r, v, n, MPI_DOUBLE, sizeof *v); }

const char *ranks_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n;
    MPI_Get_library_version(text, &n);
    text[strcspn(text, ",\n")] = 0;
    return text;
}

#else

bool ranks_open(struct ranks *r, struct err *e)
{
    *r = (struct ranks){ 0, 1 };
    return started() < 2 || err_set(e, ERR_UNSUPPORTED, "%d processes were started, and this build has no MPI (meson setup -Dmpi=enabled)", started());
}

void ranks_close(const struct ranks *r, bool ok) { (void)r, (void)ok; }
void ranks_sum(const struct ranks *r, float *v, size_t n) { (void)r, (void)v, (void)n; }
void ranks_sum_f64(const struct ranks *r, double *v, size_t n) { (void)r, (void)v, (void)n; }
const char *ranks_library(void) { return NULL; }

#endif
