/* Floor 1: several ranges in one parallel region: what does not wait for one another costs one
 * waking, and where a range has no chunks left for all threads, the next one's are taken. */
#ifndef LATENT_RANGES_H
#define LATENT_RANGES_H

#include "base/parallel.h"

/* As for parallel_for; n may be 0. */
typedef struct ParallelRange {
  int64_t n, grain;
  ParallelBody *body;
  void *context;
} ParallelRange;

/* Returns when every chunk of all of them is done; `alone`: all by the calling thread, for what is
 * less work than waking another. */
void parallel_ranges(const ParallelRange *ranges, int count, bool alone);

#endif
