/* Floor 2: a fused block as its definition reads, for the double build: the oracle of the kernels
 * in block_forward.h, which offers the same two functions. What backward needs is kept as the
 * convolution's whole output. */
#ifndef LATENT_SIMD_BLOCK_PLAIN_H
#define LATENT_SIMD_BLOCK_PLAIN_H

#include "simd/block_geometry.h"

#include <math.h>
#include <string.h>

typedef enum { BLOCK_Z, BLOCK_DX, BLOCK_DW } BlockKind;

/* Z: z += w x.   DX: x += w z.   DW: w += x z.   One pixel of z with one tap of the kernel. */
static void block_products(const Block *b, BlockKind kind, real *x, real *w, real *z) {
  for (int64_t i = 0; i < b->in; i++)
    for (int64_t o = 0; o < b->out; o++) {
      real *k = w + i * b->out + o;
      if (kind == BLOCK_Z) z[o] += *k * x[i];
      else if (kind == BLOCK_DX) x[i] += *k * z[o];
      else *k += x[i] * z[o];
    }
}

static void block_visit(const Block *b, BlockKind kind, real *x, real *w, real *z) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  for (int64_t n = 0; n < b->batch; n++)
    for (int64_t i = 0; i < v->out; i++)
      for (int64_t j = 0; j < h->out; j++)
        for (int64_t ky = 0; ky < v->kernel; ky++)
          for (int64_t kx = 0; kx < h->kernel; kx++) {
            /* low = padding - kernel + 1: this pixel of the upsampled image */
            int64_t y = i + ky - (v->low + v->kernel - 1), s = j + kx - (h->low + h->kernel - 1);
            if (y < 0 || y >= v->up * v->in || s < 0 || s >= h->up * h->in) continue;
            int64_t pixel = (n * v->in + y / v->up) * h->in + s / h->up;
            block_products(b, kind, x + pixel * b->in, w + block_tap(b, ky, kx) * b->in * b->out,
                           z + ((n * v->out + i) * h->out + j) * b->out);
          }
}

static real block_activate(const Block *b, real z) {
  if (b->activation == BLOCK_RELU) return z < 0 ? 0 : z;
  return b->activation == BLOCK_LEAKY && z <= 0 ? b->slope * z : z;
}

/* The place in z of the winner for element `at` of y: the first of equals, the last NaN. */
static int64_t block_winner(const Block *b, const real *z, int64_t at) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t channel = at % b->out, j = at / b->out % h->pooled;
  int64_t i = at / b->out / h->pooled % v->pooled, n = at / b->out / h->pooled / v->pooled;
  int64_t corner = ((n * v->out + i * v->pool) * h->out + j * h->pool) * b->out + channel;
  int64_t winner = corner;
  for (int64_t u = 0; u < v->pool; u++)
    for (int64_t s = 0; s < h->pool; s++) {
      int64_t place = corner + (u * h->out + s) * b->out;
      real value = block_activate(b, z[place]);
      if (value > block_activate(b, z[winner]) || value != value) winner = place;
    }
  return winner;
}

/* y = pool(act(bias + w * upsample(x))); *kept: what backward needs, NULL where none follows. */
static bool block_forward(const Block *b, const real *x, const real *w, const real *bias, real *y,
                          bool record, Tensor **kept, Error *e) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  Shape shape = {4, {b->batch, v->out, h->out, b->out}};
  Tensor *space = tensor_new(DTYPE_REAL, &shape, e);
  if (!space) return false;
  real *z = reals(space);
  for (int64_t i = 0; i < space->numel; i++) z[i] = bias ? bias[i % b->out] : 0;
  block_visit(b, BLOCK_Z, (real *)x, (real *)w, z);
  for (int64_t i = 0; i < b->batch * v->pooled * h->pooled * b->out; i++)
    y[i] = block_activate(b, z[block_winner(b, z, i)]);
  if (record) *kept = space;
  else tensor_release(space);
  return true;
}

/* The gradients that are not NULL. */
static bool block_backward(const Block *b, const real *x, const real *w, const Tensor *kept,
                           const real *dy, real *dx, real *dw, real *db, Error *e) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  Tensor *space = tensor_new(DTYPE_REAL, &kept->shape, e);
  if (!space) return false;
  const real *z = reals(kept);
  real *dz = reals(space);
  memset(dz, 0, (size_t)space->numel * sizeof(real));
  if (dx) memset(dx, 0, (size_t)(b->batch * v->in * h->in * b->in) * sizeof(real));
  if (dw) memset(dw, 0, (size_t)(v->kernel * h->kernel * b->in * b->out) * sizeof(real));
  if (db) memset(db, 0, (size_t)b->out * sizeof(real));
  for (int64_t i = 0; i < b->batch * v->pooled * h->pooled * b->out; i++) {
    int64_t winner = block_winner(b, z, i);
    bool low = b->activation == BLOCK_LEAKY  ? !(z[winner] > 0)
               : b->activation == BLOCK_RELU ? z[winner] <= 0
                                             : false;
    dz[winner] = !low ? dy[i] : b->activation == BLOCK_RELU ? 0 : b->slope * dy[i];
    if (db) db[i % b->out] += dz[winner];
  }
  if (dx) block_visit(b, BLOCK_DX, dx, (real *)w, dz);
  if (dw) block_visit(b, BLOCK_DW, (real *)x, dw, dz);
  tensor_release(space);
  return true;
}

#endif
