/* Floor 3: convolutions of 3 x 3 with fewer multiplications. */
#ifndef LATENT_OPS_WINOGRAD_H
#define LATENT_OPS_WINOGRAD_H

#include "simd/conv_geometry.h"
#include "simd/isa.h"

/* result = bias (or NULL) + source correlated with the weights w, down to the small image or up to
 * the big one. `*done` tells whether it was taken: else the result has to be computed directly.
 * False (and e filled) where memory is short. */
bool ISA_NAME(winograd_correlate)(const ConvGeometry *g, bool up, const real *source, const real *w,
                                  const real *bias, real *result, bool *done, Error *e);

/* dw = big * small, summed over the small pixels; `*done` as above. */
bool ISA_NAME(winograd_weight_gradient)(const ConvGeometry *g, const real *big, const real *small,
                                        real *dw, bool *done, Error *e);

#endif
