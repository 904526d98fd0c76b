/* Floor 3: convolutions of 3 x 3 with fewer multiplications. */
#ifndef LATENT_OPS_WINOGRAD_H
#define LATENT_OPS_WINOGRAD_H

#include "simd/conv_stages.h"
#include "simd/isa.h"

/* result = bias (or NULL) + source correlated with the weights w, down to the small image or up to
 * the big one. `*taken` tells whether it is made so: else it has to be computed directly. False
 * (and e filled) where memory is short. */
bool ISA_NAME(winograd_correlate)(const ConvGeometry *g, bool up, const real *source, const real *w,
                                  const real *bias, real *result, ConvStages *s, bool *taken,
                                  Error *e);

/* dw = big * small, summed over the small pixels; `*taken` as above. */
bool ISA_NAME(winograd_weight_gradient)(const ConvGeometry *g, const real *big, const real *small,
                                        real *dw, ConvStages *s, bool *taken, Error *e);

#endif
