/* Floor 3: the places of what is not 0; NaN is not. */
#ifndef LATENT_OPS_NONZERO_H
#define LATENT_OPS_NONZERO_H

#include "base/tensor.h"

int64_t nonzero_count(const Tensor *t);
/* Writes the places of these elements, counted from 1: a row of t's axes for each. */
bool nonzero_places(const Tensor *t, int64_t *to, Error *e);

#endif
