/* cpu.h -- the door of cpu/: struct ops, fast, on this machine's cores.
 *
 * Which instruction set runs is decided once, at open, by what the processor says it has; the
 * tables of kernels are data (cpu.c). Every backend here passes the same test against ref_ops(). */
#ifndef TENON_CPU_H
#define TENON_CPU_H

#include "base/base.h"
#include "tensor/tensor.h"

/* The op table over pool (lent for the life of the table; NULL: the calling thread alone). isa
 * is one of cpu_isa(), NULL for the best; ERR_UNSUPPORTED if this processor lacks it. The table
 * owns scratch memory: one engine thread at a time may use it. Close with cpu_ops_close(). */
const struct ops *cpu_ops_open(struct pool *pool, const char *isa, struct err *e);
void              cpu_ops_close(const struct ops *ops);               /* NULL is fine */

/* Instruction sets this processor can run and this build has, best first ("avx512", "avx2",
 * "plain"; on ARM "i8mm", "dotprod", "neon", "plain"); NULL past the end. */
const char *cpu_isa(int i);
/* What the processor has of what we use, for --version and bench: "avx2 fma f16c avx512 vnni
 * bf16", "neon dotprod i8mm". */
const char *cpu_features(void);

/* What the machine gives to all threads of a table: the bounds that speeds are held against. Reading is measured over
 * n bytes lent by the caller (a mapped file, which is the memory that weights are read from), the first pass not
 * counted; NULL: over memory of its own. Takes about a second. ERR_NOMEM. */
struct cpu_speed {
    double read_gbs; /* memory read, 1e9 bytes a second */
    int n_peak;
    struct { const char *what; double gops; } peak[3]; /* products, a multiply and an add are two */
};
bool cpu_measure(const struct ops *ops, const void *over, size_t n, struct cpu_speed *out, struct err *e);

/* The operations of training, single-threaded. NULL: the fastest here; "f32": the fastest that
 * rounds nothing to BF16; or one by name ("bf16", "avx512", "avx2", "plain"). NULL if this
 * machine lacks it. */
const struct grad_ops *cpu_grad_ops(const char *name);

#endif
