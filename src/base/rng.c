/* rng.c -- counter-based random numbers and the house hash.
 *
 * The generator is the SplitMix64 finaliser over (key + counter * golden ratio): number i of a stream is
 * a pure function of key and i, so examples can be drawn in any order and by any thread.
 * Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/base.h"

#define GOLDEN 0x9E3779B97F4A7C15u

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

struct rng rng_make(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t key = mix(seed + GOLDEN);
    key = mix(key ^ (stream + 2 * GOLDEN));
    key = mix(key ^ (index + 3 * GOLDEN));
    return (struct rng){ key, 0 };
}

uint64_t rng_u64(struct rng *r)
{
    return mix(r->key + ++r->ctr * GOLDEN);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    /* Lemire's multiplication with rejection of the biased tail. */
    uint64_t m = (rng_u64(r) >> 32) * n;
    if ((uint32_t)m < n) {
        uint32_t tail = (0u - n) % n;
        while ((uint32_t)m < tail) m = (rng_u64(r) >> 32) * n;
    }
    return (uint32_t)(m >> 32);
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *r)
{
    double u = 1.0 - rng_unit(r), v = rng_unit(r);                    /* Box-Muller; u in (0, 1] */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t hash64(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}
