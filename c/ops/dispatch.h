/* Floor 3: the kernels in use, and which row of the op table an application runs. The kernels are
 * chosen once: the best instruction set that the machine has, or the
 * one that the environment variable LATENT_ISA names. */
#ifndef LATENT_DISPATCH_H
#define LATENT_DISPATCH_H

#include "ops/knn.h"
#include "ops/op.h"
#include "ops/optimizer.h"
#include "ops/resize.h"
#include "ops/rows.h"

/* What there is for one instruction set and floating type. */
typedef struct Isa {
  const char *name;
  int vector_bytes;
  const Op *const *const *families; /* NULL-terminated list of NULL-terminated lists */
  KnnFunction *knn;
  const Optimizer *const *optimizers; /* NULL-terminated */
  SumSquaresFunction *sum_squares;
  ResizeFunction *resize_bilinear;
  GatherBytesFunction *gather_bytes;
  BroadcastSumFunction *broadcast_sum;
  AddIntoFunction *add_into;
  ScaleFunction *scale;
} Isa;

/* False (and e filled) when LATENT_ISA names one that does not exist or that the machine lacks. */
bool isa_choose(Error *e);
/* The one chosen, for a floating type; its name and the names of its rows are those of the other.
 */
const Isa *isa(Dtype dtype);
/* The row of the op table with this name, or NULL. */
const Op *isa_op(const char *name);

/* The floating type of what is made without saying one. */
Dtype dtype_default(void);
void dtype_set_default(Dtype dtype);

/* Whether input i of an op lists places. */
bool op_takes_places(const Op *op, int i);
/* The name of input i, for messages; "item 2" in a list. */
void op_input_name(const Op *op, int i, char *name, size_t size);
/* The type that inputs (NULL: absent) ask for: their floating type, else DTYPE_I64 where there are
 * whole ones, else the default. False where there are two floating types. */
bool op_dtype(const Op *op, const Tensor *const *in, int inputs, Dtype *dtype, Error *e);
/* Puts the row for the call's inputs into c->op, and its type into c->dtype. Sets *convert to the
 * type that inputs of other types (places apart) are to be converted to first; to -1 where they are
 * taken as they are. */
bool op_choose(Call *c, int *convert, Error *e);

#endif
