#include "base/ranges.h"

static int64_t chunks_of(const ParallelRange *r) { return (r->n + r->grain - 1) / r->grain; }

static void run_chunks(void *context, int64_t begin, int64_t end, int thread) {
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const ParallelRange *r = context;
    int64_t at = chunk;
    for (int64_t chunks; at >= (chunks = chunks_of(r)); r++) at -= chunks;
    int64_t first = at * r->grain, left = r->n - first;
    r->body(r->context, first, first + (left < r->grain ? left : r->grain), thread);
  }
}

void parallel_ranges(const ParallelRange *ranges, int count, bool alone) {
  int64_t chunks = 0;
  for (int i = 0; i < count; i++) chunks += chunks_of(&ranges[i]);
  parallel_for(chunks, alone ? chunks : 1, run_chunks, (void *)ranges);
}
