/* Floor 1: tensors of places and labels, whole numbers that say which row or class is meant: i64,
 * u8, or floating numbers that are whole. Beyond dtype_exact of a floating type neighbouring whole
 * numbers become one, and a place read there may have been another when it was written. */
#ifndef LATENT_PLACES_H
#define LATENT_PLACES_H

#include "base/dtype.h"

/* The place at element i of a tensor that places_check has let pass. */
static inline int64_t place_at(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_I64 ? int64s(t)[i] : (int64_t)value_at(t, i);
}

/* Refuses what is no whole number from least to most, and what need not be the number that was
 * meant: where `most` lies further on, dtype_exact itself may be its rounded successor. */
bool places_check(const Tensor *t, int64_t least, int64_t most, const char *name, Error *e);

#endif
