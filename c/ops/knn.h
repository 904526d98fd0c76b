/* Floor 3: exact nearest neighbours. Knows arrays and threads, nothing of tensors' life or of Lua.
 */
#ifndef LATENT_KNN_H
#define LATENT_KNN_H

#include "simd/isa.h"

/* All numbers are of the floating type of the Isa. For each of the m query points (rows of `dims`
 * numbers) the k nearest of the n training points: index (m, k), counted from 0, and squared
 * Euclidean distance (m, k), nearest first. Points equally far are ordered by index; distances that
 * are NaN come last. False when 1 <= k <= n does not hold or memory is short. */
typedef bool KnnFunction(const void *train, int64_t n, const void *query, int64_t m, int dims,
                         int k, int32_t *index, void *distance, Error *e);

#ifdef LATENT_ISA
extern KnnFunction ISA_NAME(knn);
#endif

#endif
