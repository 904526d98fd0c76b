/* Floor 3: one optimiser step over one parameter, in one pass; every rule as PyTorch defines it.
 * Knows arrays and threads, nothing of tensors' life or of Lua. */
#ifndef LATENT_OPTIMIZER_H
#define LATENT_OPTIMIZER_H

#include "isa.h"

typedef struct SgdOptions {
  double lr, momentum, dampening, weight_decay;
  bool nesterov;
} SgdOptions;

typedef struct AdamOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled; /* AdamW: the decay acts on the weights, not through the gradient */
} AdamOptions;

typedef struct RmspropOptions {
  double lr, alpha, eps, weight_decay;
} RmspropOptions;

/* All arrays have n elements. `step` counts from 1. State (velocity, mean, square) starts as zeros
 * and belongs to the caller. velocity may be NULL where momentum is 0. */
typedef void SgdFunction(const SgdOptions *o, int64_t step, int64_t n, real *weight,
                         const real *grad, real *velocity);
typedef void AdamFunction(const AdamOptions *o, int64_t step, int64_t n, real *weight,
                          const real *grad, real *mean, real *square);
typedef void RmspropFunction(const RmspropOptions *o, int64_t n, real *weight, const real *grad,
                             real *square);

/* The sum of x^2 in double precision, for a gradient's norm: the same for any number of threads. */
typedef double SumSquaresFunction(const real *x, int64_t n);

#ifdef LATENT_ISA
extern SgdFunction ISA_NAME(optimizer_sgd);
extern AdamFunction ISA_NAME(optimizer_adam);
extern RmspropFunction ISA_NAME(optimizer_rmsprop);
extern SumSquaresFunction ISA_NAME(optimizer_sum_squares);
#endif

#endif
