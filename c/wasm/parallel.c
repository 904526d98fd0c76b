/* base/parallel.h on the one thread that there is. */
#include "base/parallel.h"

#include "base/regions.h"
#include "base/signals.h"

#include <stdlib.h>

static void *scratch;
static int64_t scratch_bytes;
static bool may_stop, stopped;

void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context) {
  if (regions_running && n > 0) regions_begin();
  for (int64_t begin = 0; begin < n; begin += grain) {
    int64_t end = n - begin < grain ? n : begin + grain;
    if (may_stop && signals_interrupting()) stopped = true;
    else body(context, begin, end, 0);
    if (regions_running) regions_chunk();
  }
}

void parallel_may_stop(void) {
  stopped = false;
  may_stop = true;
}

bool parallel_was_stopped(void) {
  may_stop = false;
  return stopped;
}

bool parallel_choose_threads(Error *e) { return (void)e, true; }
int parallel_threads(void) { return 1; }
void parallel_set_threads(int n, const char *why) { (void)n, (void)why; }
const char *parallel_threads_from(void) { return "WebAssembly without threads"; }

bool parallel_reserve(int64_t bytes) {
  void *fresh;
  if (scratch_bytes >= bytes) return true;
  if ((uint64_t)bytes > SIZE_MAX / 2) return false;
  if (posix_memalign(&fresh, 64, (size_t)bytes) != 0) return false;
  free(scratch);
  scratch = fresh;
  scratch_bytes = bytes;
  return true;
}

void *parallel_scratch(int thread) { return (void)thread, scratch; }

void parallel_trim(void) {
  free(scratch);
  scratch = NULL;
  scratch_bytes = 0;
}
