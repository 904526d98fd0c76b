/* Floor 2: weights of fused blocks, packed for the kernels, and their gradients unpacked: folded
 * with the upsampling (block_geometry.h) or, where a block doubles an image, as block_double.h
 * wants them. */
#ifndef LATENT_SIMD_BLOCK_WEIGHTS_H
#define LATENT_SIMD_BLOCK_WEIGHTS_H

#include "simd/block_edges.h"

/* Parts of a doubling block's weights are numbered 3 * vertical + horizontal, as taps are. */
enum { PART_ALL, PART_FIRST, PART_LAST, DOUBLE_PARTS = 9 };

static int64_t block_fold_size(const Block *b) {
  return b->axis[0].taps * b->axis[1].taps * b->in * b->out;
}

/* F: (taps, in, out), from a weight; elements of `folded`, which is only used where there is
 * something to fold. Returns where F lies tap by tap in the order of the way up: its first element
 * and, in *step, the distance to the next tap. */
static const real *block_folded(const Block *b, const real *w, real *folded, int64_t *step) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t size = b->in * b->out, taps = v->taps * h->taps;
  *step = b->transposed ? size : -size;
  /* without upsampling F is w, which is flipped already if it is a transposed convolution's */
  if (v->up == 1 && h->up == 1) return b->transposed ? w : w + (taps - 1) * size;
  memset(folded, 0, (size_t)(taps * size) * sizeof(real));
  for (int64_t ky = 0; ky < v->kernel; ky++)
    for (int64_t kx = 0; kx < h->kernel; kx++) {
      const real *from = w + block_tap(b, ky, kx) * size;
      for (int64_t y = 0; y < v->up; y++)
        for (int64_t x = 0; x < h->up; x++) {
          real *to = folded + ((v->kernel - 1 - ky + y) * h->taps + h->kernel - 1 - kx + x) * size;
          for (int64_t i = 0; i < size; i++) to[i] += from[i];
        }
    }
  *step = size;
  return folded;
}

/* A tap, (in, out), as vectors of the inputs' channels, zeros in the last one's rest: those that
 * meet output o lie at to + o * channel, and the next LANES inputs' `vector` further on. */
static __attribute__((noinline)) void turn_tap(const Block *b, const real *from, real *to,
                                               int64_t vector, int64_t channel) {
  for (int64_t i = 0; i < b->in; i += LANES, from += LANES * b->out, to += vector) {
    int64_t rows = b->in - i, o = 0;
    for (; o + LANES <= b->out; o += LANES) {
      Vec v[LANES];
      VEC_UNROLL for (int k = 0; k < LANES; k++) v[k] =
          k < rows ? vec_load(from + k * b->out + o) : vec_zero();
      vec_transpose(v);
      VEC_UNROLL for (int k = 0; k < LANES; k++) vec_store(to + (o + k) * channel, v[k]);
    }
    for (; o < b->out; o++)
      for (int k = 0; k < LANES; k++) to[o * channel + k] = k < rows ? from[k * b->out + o] : 0;
  }
}

/* Folded weights, packed for a way: (vectors of its outputs, channels of its source, taps, LANES),
 * zeros in the last vector's rest. The outputs are b->out on the way up and b->in on the way down.
 * `folded` is scratch of (taps, in, out). */
static void block_fold(const Block *b, const real *w, real *to, real *folded, bool up) {
  int64_t taps = b->axis[0].taps * b->axis[1].taps, step;
  const real *from = block_folded(b, w, folded, &step);
  if (up && b->out % LANES != 0)
    memset(to, 0, (size_t)(taps * b->in * block_up(b->out, LANES)) * sizeof(real));
  for (int64_t tap = 0; tap < taps; tap++, from += step, to += LANES) {
    if (!up) turn_tap(b, from, to, b->out * taps * LANES, taps * LANES);
    for (int64_t i = 0; i < b->in && up; i++)
      for (int64_t o = 0; o < b->out; o += LANES)
        copy_line(to + (o * b->in + i * LANES) * taps, from + i * b->out + o,
                  block_min(b->out - o, LANES));
  }
}

/* Upsampling by two and 3 x 3 taps that reach one pixel beyond the image. */
static bool block_doubles(const Block *b) {
  bool fits = true;
  for (int d = 0; d < 2; d++)
    fits = fits && b->axis[d].up == 2 && b->axis[d].kernel == 3 && b->axis[d].low == -1;
  return fits;
}

/* The parts of three vectors along an axis. */
VEC_INLINE void double_weight_parts(Vec w0, Vec w1, Vec w2, Vec part[3]) {
  part[PART_ALL] = w0 + w1 + w2;
  part[PART_FIRST] = w0;
  part[PART_LAST] = w2;
}

/* The parts of LANES weights, of taps `tap` apart. */
VEC_INLINE void double_weight(const Block *b, const real *w, int lanes, Vec part[DOUBLE_PARTS]) {
  Vec across[3][3], down[3];
  VEC_UNROLL for (int y = 0; y < 3; y++) {
    Vec tap[3];
    VEC_UNROLL for (int x = 0; x < 3; x++) tap[x] =
        vec_load_part(w + block_tap(b, y, x) * b->in * b->out, lanes);
    double_weight_parts(tap[0], tap[1], tap[2], across[y]);
  }
  VEC_UNROLL for (int x = 0; x < 3; x++) {
    double_weight_parts(across[0][x], across[1][x], across[2][x], down);
    VEC_UNROLL for (int y = 0; y < 3; y++) part[3 * y + x] = down[y];
  }
}

/* Parts packed for the way up, (vectors, channels of x, parts, LANES), zeros in the last vector's
 * rest. */
static void block_double_pack(const Block *b, const real *w, real *to) {
  for (int64_t o = 0; o < b->out; o += LANES)
    for (int64_t i = 0; i < b->in; i++, to += DOUBLE_PARTS * LANES) {
      Vec part[DOUBLE_PARTS];
      double_weight(b, w + i * b->out + o, (int)block_min(b->out - o, LANES), part);
      for (int p = 0; p < DOUBLE_PARTS; p++) vec_store(to + p * LANES, part[p]);
    }
}

/* Taps packed for the way down, (vectors, taps, channels of dz, LANES), likewise. */
static void block_double_turn(const Block *b, const real *w, real *to) {
  int64_t size = b->out * LANES;
  for (int tap = 0; tap < DOUBLE_PARTS; tap++)
    turn_tap(b, w + block_tap(b, tap / 3, tap % 3) * b->in * b->out, to + tap * size,
             DOUBLE_PARTS * size, LANES);
}

/* The gradient of a tap: the sum over the folded ones that it is in, the first at `from`. */
VEC_INLINE Vec tap_unfold(const Block *b, const real *from) {
  Vec sum = vec_zero();
  for (int64_t y = 0; y < b->axis[0].up; y++)
    for (int64_t x = 0; x < b->axis[1].up; x++)
      sum += vec_load(from + (y * b->axis[1].taps + x) * LANES);
  return sum;
}

/* The reverse: dw from the gradient of folded weights or, where `plain`, of taps; (vectors,
 * channels, taps, LANES), with vectors along the outputs' channels or, when turned, the inputs'. */
static void block_unfold(const Block *b, const real *sums, real *dw, bool plain, bool turned) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t taps = plain ? v->kernel * h->kernel : v->taps * h->taps, outs = turned ? b->in : b->out;
  int64_t sources = turned ? b->out : b->in;
  for (int64_t ky = 0; ky < v->kernel; ky++)
    for (int64_t kx = 0; kx < h->kernel; kx++) {
      real *to = dw + block_tap(b, ky, kx) * b->in * b->out;
      int64_t corner = (v->kernel - 1 - ky) * h->taps + h->kernel - 1 - kx;
      if (plain) corner = ky * h->kernel + kx;
      for (int64_t o = 0; o < outs; o += LANES)
        for (int64_t i = 0; i < sources; i++) {
          const real *from = sums + ((o / LANES * sources + i) * taps + corner) * LANES;
          Vec sum = plain ? vec_load(from) : tap_unfold(b, from);
          int64_t lanes = block_min(outs - o, LANES);
          real value[LANES];
          vec_store(value, sum);
          if (!turned) copy_line(to + i * outs + o, value, lanes);
          else
            for (int64_t k = 0; k < lanes; k++) to[(o + k) * sources + i] = value[k];
        }
    }
}

#endif
