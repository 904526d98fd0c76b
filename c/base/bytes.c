#include "base/bytes.h"

#include "base/parallel.h"

#include <string.h>

static void copy_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Runs *r = context;
  (void)thread;
  memcpy((char *)r->to + begin, (const char *)r->from + begin, (size_t)(end - begin));
}

void bytes_copy(void *to, const void *from, size_t n) {
  parallel_for((int64_t)n, BYTES_GRAIN, copy_chunk, &(Runs){.to = to, .from = from});
}

static void zero_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  memset((char *)context + begin, 0, (size_t)(end - begin));
}

void bytes_zero(void *to, size_t n) { parallel_for((int64_t)n, BYTES_GRAIN, zero_chunk, to); }

static void runs_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Runs *r = context;
  (void)thread;
  for (int64_t i = begin; i < end; i++)
    memcpy((char *)r->to + (size_t)i * r->to_step, (const char *)r->from + (size_t)i * r->from_step,
           r->run);
}

void bytes_copy_runs(const Runs *r) {
  if (r->run == 0) return;
  if (r->count == 1) bytes_copy(r->to, r->from, r->run);
  else parallel_for(r->count, bytes_grain(r->run), runs_chunk, (void *)r);
}
