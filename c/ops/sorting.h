/* Floor 3: elements put in order along an axis, and places in what is in order. One order for all
 * types: that of numbers, -0 and 0 alike, NaN behind everything. Equal elements keep theirs. */
#ifndef LATENT_OPS_SORTING_H
#define LATENT_OPS_SORTING_H

#include "ops/axis.h"

/* y gets the elements of x in order (of its shape, not empty), index the places that they had. */
bool sort_along(const Tensor *x, int64_t axis, bool descending, Tensor *y, Tensor *index, Error *e);

/* For each value the place, from 1, before which it goes into `sorted`, [n] or [..., n] beside
 * values of the same leading sizes: before what equals it, or behind that. */
void search_sorted(const Tensor *sorted, const Tensor *values, bool behind, Tensor *y);

#endif
