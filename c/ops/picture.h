/* Floor 3: pixels of PNG and PGM pictures as numbers in 0..1, grey or in colour. Knows no chunks,
 * headers or files. */
#ifndef LATENT_PICTURE_H
#define LATENT_PICTURE_H

#include "base/tensor.h"

enum { PNG_GREY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GREY_ALPHA = 4, PNG_RGB_ALPHA = 6 };

/* What a PNG says of its pixels. */
typedef struct Png {
  int width, height, depth, color;
  bool in_color; /* red, green and blue are wanted, not grey */
  bool interlaced;
  const uint8_t *palette, *alphas; /* (colours, 3), (alpha_count); NULL where there is none */
  int colours, alpha_count;
  bool has_clear; /* one colour is transparent */
  int clear[3];
} Png;

/* The number of bytes of the unpacked rows, with a byte for the filter before each. */
int64_t png_size(const Png *p);
/* The bytes that one row takes without its filter, and so half of what `scratch` below needs. */
int64_t png_row_size(const Png *p);
/* out (height, width), or (height, width, 3) in colour, from png_size bytes of rows; scratch has
 * twice png_row_size bytes. */
bool png_pixels(const Png *p, const uint8_t *rows, uint8_t *scratch, float *out, Error *e);

/* Of a PGM's pixels: out (count) = value / most, of bytes (two each, high one first, where most is
 * above 255) or of decimal numbers with white space and comments between them. */
bool pgm_bytes(const uint8_t *bytes, int64_t count, int most, float *out, Error *e);
bool pgm_text(const char *text, size_t size, int64_t count, int most, float *out, Error *e);

#endif
