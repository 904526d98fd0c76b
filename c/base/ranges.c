#include "base/ranges.h"

static int64_t chunks_of(const ParallelRange *r) { return (r->n + r->grain - 1) / r->grain; }

static void run_chunk(const ParallelRange *r, int64_t chunk, int thread) {
  int64_t first = chunk * r->grain, left = r->n - first;
  r->body(r->context, first, first + (left < r->grain ? left : r->grain), thread);
}

static void run_in_order(void *context, int64_t begin, int64_t end, int thread) {
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const ParallelRange *r = context;
    int64_t at = chunk;
    for (int64_t chunks; at >= (chunks = chunks_of(r)); r++) at -= chunks;
    run_chunk(r, at, thread);
  }
}

typedef struct Mix {
  const ParallelRange *ranges;
  int64_t chunks; /* of all of them */
} Mix;

/* Of each part of the row the ranges have their share: threads that are dealt equal parts of it are
 * dealt equal parts of every range. */
static void run_mixed(void *context, int64_t begin, int64_t end, int thread) {
  const Mix *mix = context;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const ParallelRange *r = mix->ranges;
    int64_t at = chunk, left = mix->chunks; /* a place among those of r and the ranges behind it */
    for (int64_t own, before;; r++, at -= before, left -= own) {
      own = chunks_of(r), before = at * own / left;
      if ((at + 1) * own / left == before) continue;
      run_chunk(r, before, thread);
      break;
    }
  }
}

void parallel_ranges(const ParallelRange *ranges, int count, bool alone) {
  Mix mix = {.ranges = ranges};
  for (int i = 0; i < count; i++) mix.chunks += chunks_of(&ranges[i]);
  if (alone || parallel_threads() == 1)
    parallel_for(mix.chunks, alone ? mix.chunks : 1, run_in_order, (void *)ranges);
  else parallel_for(mix.chunks, 1, run_mixed, &mix);
}
