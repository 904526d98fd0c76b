/* Floor 3: the k nearest of one query so far, in the caller's arrays: a heap with the worst on top,
 * so that a point costs log k at most. In the end the heap is sorted in place. */
#ifndef LATENT_NEAREST_H
#define LATENT_NEAREST_H

#include "simd/vec.h"

#include <math.h>

typedef struct Nearest {
  int32_t *index;
  real *distance;
  int count, k;
} Nearest;

/* The order of the answers: by distance, NaN last; of equal ones by index. */
static inline bool nearest_before(real a, int32_t ai, real b, int32_t bi) {
  if (a < b) return true;
  if (a == b || (isnan(a) && isnan(b))) return ai < bi;
  return isnan(b) && !isnan(a);
}

static inline void nearest_put(Nearest *n, int at, int32_t index, real distance) {
  n->index[at] = index;
  n->distance[at] = distance;
}

/* Finds a place for a point at the hole `at` or below it, in a heap of `count`. */
static inline void nearest_sink(Nearest *n, int at, int count, int32_t index, real distance) {
  for (int64_t child; (child = 2 * (int64_t)at + 1) < count; at = (int)child) {
    if (child + 1 < count && nearest_before(n->distance[child], n->index[child],
                                            n->distance[child + 1], n->index[child + 1]))
      child++;
    if (nearest_before(n->distance[child], n->index[child], distance, index)) break;
    nearest_put(n, at, n->index[child], n->distance[child]);
  }
  nearest_put(n, at, index, distance);
}

static inline void nearest_offer(Nearest *n, int32_t index, real distance) {
  if (n->count == n->k) {
    if (nearest_before(distance, index, n->distance[0], n->index[0]))
      nearest_sink(n, 0, n->k, index, distance);
    return;
  }
  int at = n->count++;
  for (; at > 0; at = (at - 1) / 2) {
    int above = (at - 1) / 2;
    if (!nearest_before(n->distance[above], n->index[above], distance, index)) break;
    nearest_put(n, at, n->index[above], n->distance[above]);
  }
  nearest_put(n, at, index, distance);
}

/* What a point must not be beyond to be of interest: everything until k are found. */
static inline real nearest_limit(const Nearest *n) {
  return n->count < n->k ? (real)INFINITY : n->distance[0];
}

/* Puts the nearest first. */
static inline void nearest_sort(Nearest *n) {
  for (int last = n->count - 1; last > 0; last--) {
    int32_t index = n->index[last];
    real distance = n->distance[last];
    nearest_put(n, last, n->index[0], n->distance[0]);
    nearest_sink(n, 0, last, index, distance);
  }
}

/* sum + x^2, lane by lane. Every distance and every bound of one goes through here, dimension after
 * dimension, so that all are rounded alike. */
VEC_INLINE Vec nearest_add_square(Vec sum, Vec x) { return sum + x * x; }

/* Whether any lane is set. */
VEC_INLINE bool nearest_any(VecMask mask) {
  lane_int found = 0;
  for (int i = 0; i < LANES; i++) found |= mask[i];
  return found != 0;
}

#endif
