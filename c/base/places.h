/* Floor 1: tensors of places and labels, whole numbers that say which row or class is meant. They
 * are reals (or u8): beyond REAL_EXACT neighbouring whole numbers become one, and a place read
 * there may have been another when it was written. */
#ifndef LATENT_PLACES_H
#define LATENT_PLACES_H

#include "base/tensor.h"

/* Whole numbers are exact as reals up to this one. */
#ifdef LATENT_DOUBLE
#define REAL_EXACT (INT64_C(1) << 53)
#else
#define REAL_EXACT (INT64_C(1) << 24)
#endif

static inline double place_value(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_U8 ? bytes_of(t)[i] : (double)reals(t)[i];
}

/* The place at element i of a tensor that places_check has let pass. */
static inline int64_t place_at(const Tensor *t, int64_t i) { return (int64_t)place_value(t, i); }

/* Refuses what is no whole number from least to most, and what need not be the number that was
 * meant: where `most` lies further on, REAL_EXACT itself may be its rounded successor. */
static inline bool places_check(const Tensor *t, int64_t least, int64_t most, const char *name,
                                Error *e) {
  double end = most > REAL_EXACT ? (double)REAL_EXACT : (double)most + 1;
  for (int64_t i = 0; i < t->numel; i++) {
    double v = place_value(t, i);
    if (v >= (double)least && v < end && v == (double)(int64_t)v) continue;
    if (v >= (double)REAL_EXACT && v <= (double)most)
      return error_set(e,
                       "%s: %.0f at position %lld may be another number, rounded: " REAL_NAME
                       " counts exactly only to %lld",
                       name, v, (long long)i + 1, (long long)REAL_EXACT);
    return error_set(e, "%s: expected whole numbers %lld..%lld, got %.9g at position %lld", name,
                     (long long)least, (long long)most, v, (long long)i + 1);
  }
  return true;
}

#endif
