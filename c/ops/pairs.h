/* Floor 3: parameters that are pairs, {height, width}. */
#ifndef LATENT_OPS_PAIRS_H
#define LATENT_OPS_PAIRS_H

#include "base/tensor.h"

enum { LARGEST_PARAM = 1 << 20 };

/* Both halves of a pair must be at least `least`. */
static inline bool check_pair(const char *name, const int64_t pair[2], int64_t least, Error *e) {
  for (int d = 0; d < 2; d++)
    if (pair[d] < least || pair[d] > LARGEST_PARAM)
      return error_set(e, "%s: expected %d to %d, got {%lld, %lld}", name, (int)least,
                       (int)LARGEST_PARAM, (long long)pair[0], (long long)pair[1]);
  return true;
}

#endif
