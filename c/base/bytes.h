/* Floor 1: bytes copied and set to zero, shared out to the threads where they are many. Like
 * parallel_for, not from within a parallel body. */
#ifndef LATENT_BYTES_H
#define LATENT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Of a parallel chunk: some microseconds. */
enum { BYTES_GRAIN = 1 << 16 };

void bytes_copy(void *to, const void *from, size_t n);
void bytes_zero(void *to, size_t n);

/* `count` runs of `run` bytes each, that begin so many bytes apart. */
typedef struct Runs {
  void *to;
  const void *from;
  size_t run, to_step, from_step;
  int64_t count;
} Runs;
void bytes_copy_runs(const Runs *r);

/* How many things of so many bytes make a chunk. */
static inline int64_t bytes_grain(size_t each) {
  return each < BYTES_GRAIN ? BYTES_GRAIN / ((int64_t)each + 1) + 1 : 1;
}

#endif
