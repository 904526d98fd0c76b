/* Floor 3: the copy of a tensor with its axes in another order. */
#ifndef LATENT_OPS_PERMUTE_H
#define LATENT_OPS_PERMUTE_H

#include "base/tensor.h"

/* y[i_0, i_1, ...] = x with axes[0] at i_0, axes[1] at i_1 ..., on the threads. */
void permute_copy(const Tensor *x, const int64_t *axes, Tensor *y);

#endif
