/* Floor 1: tensors whose elements stay in a file. */
#ifndef LATENT_MAPPED_H
#define LATENT_MAPPED_H

#include "base/tensor.h"

/* The elements that begin at a byte of a file, which must have them all. The system reads a page
 * when it is first looked at, and may forget it again; a page that is written to becomes the
 * process's own, and the file stays as it is. NULL, and e filled, where that cannot be. */
Tensor *mapped_open(const char *path, int64_t offset, Dtype dtype, const Shape *shape, Error *e);

#endif
