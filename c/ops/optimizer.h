/* Floor 3: optimisers. Each is one constant row: its numbers, the arrays that it keeps, and one
 * step over all parameters in one pass, as PyTorch defines it. The rows drive the Lua binding,
 * checkpoints and the specs. Knows arrays and threads, nothing of tensors' life or of Lua. */
#ifndef LATENT_OPTIMIZER_H
#define LATENT_OPTIMIZER_H

#include "simd/isa.h"

enum { OPTIMIZER_NUMBERS = 8, OPTIMIZER_ARRAYS = 3 };

typedef enum {
  NUMBER_LEAST_ZERO, /* at least 0 */
  NUMBER_BELOW_ONE,  /* in [0, 1) */
  NUMBER_FLAG,       /* a boolean: 0 or 1 */
  NUMBER_FIXED       /* no option: the row's own, kept in checkpoints */
} NumberKind;

typedef struct OptimizerNumber {
  const char *name;
  NumberKind kind;
  double fallback;
  const char *option; /* where several numbers are one option, a list: its name */
} OptimizerNumber;

/* A parameter: arrays of n elements of the Isa's floating type. */
typedef struct OptimizerPart {
  int64_t n;
  void *weight;
  const void *grad;
  void *array[OPTIMIZER_ARRAYS]; /* in the order of the row; zeros before the first step */
} OptimizerPart;

/* One step over some parameters; `step` counts from 1. */
typedef struct OptimizerStep {
  double number[OPTIMIZER_NUMBERS]; /* in the order of the row */
  int64_t step, count;
  const OptimizerPart *parts;
} OptimizerStep;

typedef struct Optimizer {
  const char *name;
  OptimizerNumber numbers[OPTIMIZER_NUMBERS]; /* the learning rate, "lr", comes first */
  const char *arrays[OPTIMIZER_ARRAYS + 1];   /* names, then NULL */
  const char *needs[OPTIMIZER_ARRAYS]; /* the number without which (0) an array is not kept */
  const char *(*check)(const double *numbers); /* NULL, or what is wrong with them together */
  void (*step)(const OptimizerStep *s);
} Optimizer;

/* The sum of x^2 in double precision, for a gradient's norm: the same for any number of threads. */
typedef double SumSquaresFunction(const void *x, int64_t n);

#ifdef LATENT_ISA
extern const Optimizer *const ISA_NAME(optimizers)[]; /* then NULL */
extern SumSquaresFunction ISA_NAME(optimizer_sum_squares);
#endif

#endif
