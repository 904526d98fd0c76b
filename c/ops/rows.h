/* Floor 3: what the graph and the optimisers do with whole tensors of one floating type. */
#ifndef LATENT_OPS_ROWS_H
#define LATENT_OPS_ROWS_H

#include "simd/isa.h"

/* broadcast.h's broadcast_sum */
typedef bool BroadcastSumFunction(const Tensor *from, Tensor *to, double n, Error *e);
/* to += from, of the same shape; to is taken for zeros, whatever is in it, where `fresh` says so,
 * and may then be `from` itself */
typedef void AddIntoFunction(Tensor *to, const Tensor *from, bool fresh);
/* t *= factor, rounded to its type first */
typedef void ScaleFunction(Tensor *t, double factor);

#ifdef LATENT_ISA
extern AddIntoFunction ISA_NAME(add_into);
extern ScaleFunction ISA_NAME(scale);
#endif

#endif
