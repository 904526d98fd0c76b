/* Floor 3: images as data: resizing, and turning rows of bytes into numbers. Knows arrays and
 * threads, nothing of tensors' life or of Lua. */
#ifndef LATENT_RESIZE_H
#define LATENT_RESIZE_H

#include "simd/isa.h"

/* `count` images (height, width, channels) of one element type. */
typedef struct Images {
  Dtype dtype;
  int64_t count;
  int height, width, channels;
  void *data;
} Images;

/* Bilinear, pixel centres at half coordinates: PyTorch's interpolate(mode="bilinear",
 * align_corners=False). `out` has in's dtype, count and channels; all sizes are at least one. Bytes
 * are rounded to the nearest, halves to even. False when memory is short. */
typedef bool ResizeFunction(const Images *in, const Images *out, Error *e);

/* out (n, row) = bytes[rows[i]] * scale + shift, each value rounded once; rows count from 0 and
 * are in range. rows == NULL: the first n rows. */
typedef void GatherBytesFunction(const uint8_t *bytes, int64_t row, const int64_t *rows, int64_t n,
                                 double scale, double shift, void *out);

#ifdef LATENT_ISA
extern ResizeFunction ISA_NAME(resize_bilinear);
extern GatherBytesFunction ISA_NAME(gather_bytes);
#endif

#endif
