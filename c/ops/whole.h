/* Floor 3: the rows of the op table for whole numbers, compiled once. */
#ifndef LATENT_WHOLE_H
#define LATENT_WHOLE_H

#include "ops/op.h"

extern const Op *const ops_whole[]; /* then NULL */

#endif
