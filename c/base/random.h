/* Floor 1: random numbers from a counter. Block i of a generator's stream is a function of
 * (seed, i) alone, so a parallel fill gives the same numbers for any number of threads, and a
 * generator's whole state is its seed and the number of the next block.
 * Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
 */
#ifndef LATENT_RANDOM_H
#define LATENT_RANDOM_H

#include "base/tensor.h"

typedef struct Generator {
  uint64_t seed;
  uint64_t block; /* the next block of four 32-bit words */
} Generator;

/* The generator that everything uses which is not given one. */
Generator *random_default(void);

void random_seed(Generator *g, uint64_t seed);
/* n numbers from [0, 1), 24 random bits each; from N(0, 1), by Box and Muller; zeros and ones,
 * P(1) = p. Of float and of double they are the same numbers. */
void random_uniform_float(Generator *g, float *out, int64_t n);
void random_uniform_double(Generator *g, double *out, int64_t n);
void random_normal_float(Generator *g, float *out, int64_t n);
void random_normal_double(Generator *g, double *out, int64_t n);
void random_bernoulli_float(Generator *g, float *out, int64_t n, double p);
void random_bernoulli_double(Generator *g, double *out, int64_t n, double p);

/* The one for the type of `out`. */
#define RANDOM_OF(what, out) _Generic((out), double * : what##_double, float * : what##_float)
#define random_uniform(g, out, n) RANDOM_OF(random_uniform, out)(g, out, n)
#define random_normal(g, out, n) RANDOM_OF(random_normal, out)(g, out, n)
#define random_bernoulli(g, out, n, p) RANDOM_OF(random_bernoulli, out)(g, out, n, p)

/* A permutation of first .. first + n - 1. */
void random_permutation(Generator *g, int64_t *out, int64_t n, int64_t first);

#endif
