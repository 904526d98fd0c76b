/* Floor 1: element types: their names, single elements whatever their type, and conversions. */
#ifndef LATENT_DTYPE_H
#define LATENT_DTYPE_H

#include "base/tensor.h"

/* The type that a name stands for: "float32", "float64", "u8" or "i64", or another spelling of one
 * of them ("float", "double", "uint8", "byte", "int64", "long"). */
bool dtype_named(const char *name, Dtype *dtype);
#define DTYPE_NAMES "\"float32\", \"float64\", \"u8\" or \"i64\""

/* Up to this one (from its negative on) each whole number has a value of its own in the type. */
int64_t dtype_exact(Dtype dtype);

/* Element i as the nearest double. */
static inline double value_at(const Tensor *t, int64_t i) {
  switch (t->dtype) {
  case DTYPE_F32: return (double)((const float *)t->data)[i];
  case DTYPE_F64: return ((const double *)t->data)[i];
  case DTYPE_U8: return ((const uint8_t *)t->data)[i];
  default: return (double)((const int64_t *)t->data)[i];
  }
}

/* A value as Lua has them: a whole number kept as such, or a double. */
typedef struct Number {
  bool whole;
  int64_t i; /* where whole */
  double d;  /* also where whole: the nearest */
} Number;

static inline Number number_real(double d) { return (Number){.d = d}; }
static inline Number number_whole(int64_t i) { return (Number){true, i, (double)i}; }

Number tensor_number(const Tensor *t, int64_t i);
/* Whether an element of the type can be this number (floating types round); fills e with "expected
 * a whole number 0..255 for u8, got 3.5". */
bool number_fits(Number n, Dtype dtype, Error *e);
/* Element i becomes a number that fits. */
void tensor_put(Tensor *t, int64_t i, Number n);
void tensor_fill(Tensor *t, Number n);

/* to = from, of the same shape. Floating types round to the nearest, whole types drop the fraction
 * as C does. False, and e filled with the first element that the type cannot hold ("element 3 is
 * 300, which u8 cannot hold"), where there is one. */
bool tensor_convert(const Tensor *from, Tensor *to, Error *e);
/* A new tensor with the elements of t, of another type. */
Tensor *tensor_as(const Tensor *t, Dtype dtype, Error *e);
/* A copy. */
Tensor *tensor_copy(const Tensor *t, Error *e);

#endif
