/* Floor 2: memory of one call, shared by its threads, from the tensors' pool, and its parts. */
#ifndef LATENT_SIMD_WORKSPACE_H
#define LATENT_SIMD_WORKSPACE_H

#include "base/tensor.h"

enum { WORKSPACE_LINE = 64 /* bytes: parts are whole cache lines */ };

static inline Tensor *workspace_new(int64_t bytes, Error *e) {
  Shape s = {1, {bytes / (int64_t)sizeof(real) + 1}};
  return tensor_new(DTYPE_REAL, &s, e);
}

/* Hands out the next part of a workspace; with base NULL it only counts. */
static inline void *workspace_take(char *base, int64_t *used, int64_t bytes) {
  void *part = base ? base + *used : NULL;
  *used += (bytes + WORKSPACE_LINE - 1) / WORKSPACE_LINE * WORKSPACE_LINE;
  return part;
}

#endif
