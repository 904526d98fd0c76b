/* Floor 1: runs a range on the threads. The range is cut into chunks of `grain` items. Where chunks
 * make sums of their own the cut depends on the problem alone: the same sums for any number of
 * threads; where no sum is cut it may depend on their number too. How far that goes, `make bench
 * ARGS="--span"` tells (regions.h). Knows nothing of tensors but their Error.
 *
 * As many threads take part as there are chunks, at most as many as parallel_threads() says. Each
 * begins with an equal part of the chunks and then helps the others, so a chunk should be worth
 * several microseconds (a region with workers awake costs about one): where sums of less make the
 * bits, a grain of several such sums, each of them by itself. A thread that comes late does less,
 * one that does not come is not missed.
 *
 * Between two regions workers look for the next one for up to 0.2 ms, then they sleep; much less
 * long where others want their processors, or where there are fewer processors than threads. A
 * program that does not compute takes no time. */
#ifndef LATENT_PARALLEL_H
#define LATENT_PARALLEL_H

#include "base/tensor.h"

enum { MAX_THREADS = 64 };

/* Works on the items [begin, end); begin / grain is the chunk's number, `thread` indexes scratch.
 */
typedef void ParallelBody(void *context, int64_t begin, int64_t end, int thread);

/* Returns when every chunk is done. A body must not call parallel_for; one thread at a time may. */
void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context);

/* From the first to the second of these, a signal that interrupts (signals.h) makes chunks be left
 * out; the second tells whether any was. Only for results that nobody has seen yet and that are
 * then thrown away: never for what changes something in place. */
void parallel_may_stop(void);
bool parallel_was_stopped(void);

/* The number of threads: what LATENT_NUM_THREADS or OMP_NUM_THREADS says, else the processors that
 * there are. False (and e filled) where the first is no such number. Call at load; a number that
 * was set before stays. */
bool parallel_choose_threads(Error *e);
int parallel_threads(void);
/* `why`: for parallel_threads_from; NULL for a while only, which that does not tell. */
void parallel_set_threads(int n, const char *why);
/* For small chunks that only copy: `grain`, or all n items where that makes fewer than four, which
 * are not worth a region. */
static inline int64_t parallel_whole(int64_t n, int64_t grain) { return n < 4 * grain ? n : grain; }
/* For work in which no sum is cut: about `chunks`, up to half as many again (and at most `most`),
 * so that the threads have equally many. */
static inline int64_t parallel_even(int64_t chunks, int64_t most) {
  int64_t threads = parallel_threads(), even = (chunks + threads - 1) / threads * threads;
  return even <= most && 2 * even <= 3 * chunks ? even : chunks;
}
/* Where the number came from, in words. */
const char *parallel_threads_from(void);

/* Working memory of a thread, 64-byte aligned, kept between calls; reserve it for all threads
 * before the parallel_for that uses it. False when memory is short, or no size_t holds the bytes.
 */
bool parallel_reserve(int64_t bytes);
void *parallel_scratch(int thread);
void parallel_trim(void); /* gives it back to the system */

#endif
