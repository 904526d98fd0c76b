/* Floor 1: runs a range on the threads. The range is cut into chunks of `grain` items, a cut that
 * depends on the problem alone: the same chunks, and so the same sums, for any number of threads.
 * Knows nothing of tensors. */
#ifndef LATENT_PARALLEL_H
#define LATENT_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_THREADS = 64 };

/* Works on the items [begin, end); begin / grain is the chunk's number, `thread` indexes scratch.
 */
typedef void ParallelBody(void *context, int64_t begin, int64_t end, int thread);

/* Returns when every chunk is done. A body must not call parallel_for. */
void parallel_for(int64_t n, int64_t grain, ParallelBody *body, void *context);

/* From the first to the second of these, a signal that interrupts (signals.h) makes chunks be left
 * out; the second tells whether any was. Only for results that nobody has seen yet and that are
 * then thrown away: never for what changes something in place. */
void parallel_may_stop(void);
bool parallel_was_stopped(void);

int parallel_threads(void);
void parallel_set_threads(int n);

/* Working memory of a thread, 64-byte aligned, kept between calls; reserve it for all threads
 * before the parallel_for that uses it. False when memory is short. */
bool parallel_reserve(size_t bytes);
void *parallel_scratch(int thread);

#endif
