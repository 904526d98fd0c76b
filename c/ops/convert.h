/* Floor 3: the op between floating types. It belongs to no family: it has no type of its own. */
#ifndef LATENT_CONVERT_H
#define LATENT_CONVERT_H

#include "ops/op.h"

/* One input of a floating type; integer 0 is the other type, a Dtype. */
extern const Op op_convert;

#endif
