/* Floor 2: convolutions as their definition reads, for the double build: the oracle of the kernels
 * in conv_fast.h, which offers the same two functions. One loop visits every product of a big
 * pixel, a small pixel and the weight between them. */
#ifndef LATENT_SIMD_CONV_PLAIN_H
#define LATENT_SIMD_CONV_PLAIN_H

#include "simd/conv_stages.h"

#include <string.h>

typedef enum { CONV_DOWN, CONV_UP, CONV_WEIGHT } ConvKind;

/* DOWN: small += w big.   UP: big += w small.   WEIGHT: w += big small. */
static void conv_products(const ConvGeometry *g, ConvKind kind, real *big, real *small, real *w,
                          int64_t big_pixel, int64_t small_pixel, int64_t tap) {
  for (int64_t i = 0; i < g->big_channels; i++)
    for (int64_t o = 0; o < g->small_channels; o++) {
      real *x = big + big_pixel * g->big_channels + i,
           *y = small + small_pixel * g->small_channels + o;
      real *k =
          w + tap * g->big_channels * g->small_channels + i * g->weight_big + o * g->weight_small;
      if (kind == CONV_DOWN) *y += *k * *x;
      else if (kind == CONV_UP) *x += *k * *y;
      else *k += *x * *y;
    }
}

static void conv_visit(const ConvGeometry *g, ConvKind kind, real *big, real *small, real *w) {
  for (int64_t n = 0; n < g->batch; n++)
    for (int64_t y = 0; y < g->small[0]; y++)
      for (int64_t x = 0; x < g->small[1]; x++)
        for (int64_t ky = 0; ky < g->kernel[0]; ky++)
          for (int64_t kx = 0; kx < g->kernel[1]; kx++) {
            int64_t v = y * g->stride[0] - g->padding[0] + ky * g->dilation[0];
            int64_t h = x * g->stride[1] - g->padding[1] + kx * g->dilation[1];
            if (v < 0 || v >= g->big[0] || h < 0 || h >= g->big[1]) continue;
            conv_products(g, kind, big, small, w, (n * g->big[0] + v) * g->big[1] + h,
                          (n * g->small[0] + y) * g->small[1] + x, ky * g->kernel[1] + kx);
          }
}

static void conv_start(real *out, int64_t pixels, int64_t channels, const real *bias) {
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) out[p * channels + c] = bias ? bias[c] : 0;
}

/* Down, small = bias + w * big, or up, big = bias + w' * small; all of it at once. */
static bool conv_correlate(const ConvGeometry *g, bool up, const real *source, const real *w,
                           const real *bias, real *result, ConvStages *s, Error *e) {
  (void)s, (void)e;
  const int64_t *size = up ? g->big : g->small;
  conv_start(result, g->batch * size[0] * size[1], up ? g->big_channels : g->small_channels, bias);
  if (up) conv_visit(g, CONV_UP, result, (real *)source, (real *)w);
  else conv_visit(g, CONV_DOWN, (real *)source, result, (real *)w);
  return true;
}

/* dw = big * small */
static bool conv_weight_gradient(const ConvGeometry *g, const real *big, const real *small,
                                 real *dw, ConvStages *s, Error *e) {
  (void)s, (void)e;
  conv_start(dw, g->kernel[0] * g->kernel[1], g->big_channels * g->small_channels, NULL);
  conv_visit(g, CONV_WEIGHT, (real *)big, (real *)small, dw);
  return true;
}

#endif
