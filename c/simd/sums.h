/* Floor 2: sums of chunks, each of them by itself, joined into those of the first chunk: in the
 * chunks' order, and shared out to the threads by elements. */
#ifndef LATENT_SIMD_SUMS_H
#define LATENT_SIMD_SUMS_H

#include "base/parallel.h"

/* Additions of a parallel chunk; elements are dealt out by whole lines of the cache. */
enum { SUMS_GRAIN = 1 << 15, SUMS_LINE = 16 };

typedef struct ChunkSums {
  real *sums;
  int64_t size, chunks;
} ChunkSums;

static void sums_join_part(void *context, int64_t begin, int64_t end, int thread) {
  const ChunkSums *s = context;
  real *restrict to = s->sums;
  (void)thread;
  for (int64_t c = 1; c < s->chunks; c++) {
    const real *restrict from = s->sums + c * s->size;
    for (int64_t i = begin; i < end; i++) to[i] += from[i];
  }
}

static inline void sums_join(real *sums, int64_t size, int64_t chunks) {
  int64_t lines = SUMS_GRAIN / (SUMS_LINE * chunks) + 1;
  if (chunks > 1)
    parallel_for(size, lines * SUMS_LINE, sums_join_part, &(ChunkSums){sums, size, chunks});
}

#endif
