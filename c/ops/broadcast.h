/* Floor 3: loops over tensors whose shapes differ by broadcasting, and the sum that undoes it.
 * A tensor of size 1 along an axis is read with stride 0 there; neighbouring axes that all tensors
 * walk alike are merged, so that most calls end in one long row. */
#ifndef LATENT_BROADCAST_H
#define LATENT_BROADCAST_H

#include "base/tensor.h"

enum { BROADCAST_INPUTS = 3 };

typedef struct BroadcastPlan {
  int dims, inputs;
  int64_t size[MAX_DIMS];
  int64_t stride[BROADCAST_INPUTS][MAX_DIMS];
  int64_t rows, row; /* product of all sizes but the last; the last */
} BroadcastPlan;

void broadcast_plan(BroadcastPlan *p, const Shape *out, const Shape *const *in, int inputs);
/* Where row number r of each input begins, in elements. */
void broadcast_offsets(const BroadcastPlan *p, int64_t r, int64_t offset[BROADCAST_INPUTS]);

#ifdef LATENT_ISA
#include "simd/isa.h"
#define broadcast_apply ISA_NAME(broadcast_apply)
#define broadcast_sum ISA_NAME(broadcast_sum)

/* One row: n elements of y from rows of the inputs whose steps are 0 or 1. */
typedef void RowKernel(real *y, const real *const *in, const int64_t *step, int64_t n);
/* y = kernel(in...) with broadcasting to y's shape, on the threads. y may be one of the inputs that
 * have its shape. */
void broadcast_apply(Tensor *y, const Tensor *const *in, int inputs, RowKernel *kernel);

/* to = from summed over the axes along which `to` was broadcast, divided by n. */
bool broadcast_sum(const Tensor *from, Tensor *to, double n, Error *e);

#endif

#endif
