/* Floor 3: the kernels in use. Chosen once: the best instruction set that the machine has, or the
 * one that the environment variable LATENT_ISA names. */
#ifndef LATENT_DISPATCH_H
#define LATENT_DISPATCH_H

#include "ops/knn.h"
#include "ops/op.h"
#include "ops/optimizer.h"
#include "ops/resize.h"

typedef struct Isa {
  const char *name;
  int vector_bytes;
  const Op *const *const *families; /* NULL-terminated list of NULL-terminated lists */
  KnnFunction *knn;
  const Optimizer *const *optimizers; /* NULL-terminated */
  SumSquaresFunction *sum_squares;
  ResizeFunction *resize_bilinear;
  GatherBytesFunction *gather_bytes;
} Isa;

/* NULL (and e filled) when LATENT_ISA names one that does not exist or that the machine lacks. */
const Isa *isa_choose(Error *e);
/* The one chosen. */
const Isa *isa(void);
/* The row of the op table with this name, or NULL. */
const Op *isa_op(const char *name);

#endif
