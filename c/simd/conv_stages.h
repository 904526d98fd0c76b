/* Floor 2: a convolution, or the gradient of its weight, made ready to be computed in two regions.
 * Both gradients of a convolution go through the same two: what one of them leaves idle in a region
 * the other uses, and what is small (packing, adding up) costs no region of its own. */
#ifndef LATENT_SIMD_CONV_STAGES_H
#define LATENT_SIMD_CONV_STAGES_H

#include "base/ranges.h"
#include "base/tensor.h"
#include "simd/conv_geometry.h"

/* All zero: nothing is left to do. */
typedef struct ConvStages {
  ParallelRange first, second; /* which reads what the first has written */
  Tensor *space;               /* where their contexts lie, and whatever these point to */
  const bool *broken;          /* set by them where the result cannot be used; or NULL */
} ConvStages;

/* Where no range has work for two chunks, it is not worth a second thread. */
static inline void conv_together(const ParallelRange *ranges, int count) {
  bool alone = true;
  for (int i = 0; i < count; i++) alone = alone && ranges[i].n <= ranges[i].grain;
  parallel_ranges(ranges, count, alone);
}

/* Both regions of at most two of them, `beside` in the first one. */
static inline void conv_run(const ConvStages *stages, int count, const ParallelRange *beside) {
  ParallelRange first[3] = {{0}}, second[2] = {{0}};
  int firsts = 0, seconds = 0;
  for (int i = 0; i < count; i++) {
    if (stages[i].first.n > 0) first[firsts++] = stages[i].first;
    if (stages[i].second.n > 0) second[seconds++] = stages[i].second;
  }
  if (beside) first[firsts++] = *beside;
  conv_together(first, firsts);
  conv_together(second, seconds);
}

#endif
