/* Floor 2: the geometry of a fused block, [nearest upsample] + convolution of stride 1 (or its
 * transpose) + [bias] + [activation] + [max pool], one axis at a time. Copying each pixel `up`
 * times and convolving with K taps is the same as one transposed convolution of stride `up` with a
 * folded kernel of K + up - 1 taps: z[i] = sum over h of x[h] F[i - up h - low]      F[s] = sum
 * over j < up of w[K - 1 - s + j] Adjoint: dx[h] = sum over s of dz[up h + low + s] F[s], and so on
 * for dF, which is folded back. Knows no arithmetic and no instruction set. */
#ifndef LATENT_SIMD_BLOCK_GEOMETRY_H
#define LATENT_SIMD_BLOCK_GEOMETRY_H

#include "base/tensor.h"

typedef enum { BLOCK_LINEAR, BLOCK_RELU, BLOCK_LEAKY } BlockActivation;

/* [0] is the vertical axis, [1] the horizontal one. */
typedef struct BlockAxis {
  int64_t in, up, kernel;
  int64_t out;          /* of the convolution */
  int64_t pool, pooled; /* window and output of the pool */
  int64_t used;         /* pooled * pool: outputs of the convolution that count */
  int64_t taps, low;    /* of the folded kernel: how many, offset of the first */
  int64_t first, span;  /* z[up q ... up q + up - 1] read x[q + first ... q + first + span - 1] */
} BlockAxis;

typedef struct Block {
  BlockAxis axis[2];
  int64_t batch, in, out; /* out: channels of the convolution */
  bool transposed;        /* the kernel is given flipped */
  BlockActivation activation;
  real slope;
} Block;

static inline int64_t block_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t block_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t block_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t block_floor(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline int64_t block_up(int64_t n, int64_t unit) { return block_ceil(n, unit) * unit; }

static inline int64_t block_multiple(int64_t a, int64_t b) {
  int64_t x = a, y = b;
  while (y != 0) {
    int64_t rest = x % y;
    x = y;
    y = rest;
  }
  return a / x * b;
}

/* `padding` is that of the convolution or of its transpose. */
static inline BlockAxis block_axis(int64_t in, int64_t up, int64_t kernel, int64_t padding,
                                   bool transposed, int64_t pool) {
  BlockAxis a = {.in = in, .up = up, .kernel = kernel, .pool = pool};
  if (transposed) padding = kernel - 1 - padding;
  a.out = block_max(up * in + 2 * padding - kernel + 1, 0);
  a.pooled = a.out / pool;
  a.used = a.pooled * pool;
  a.taps = kernel + up - 1;
  a.low = padding - kernel + 1;
  a.first = -block_floor(a.low + a.taps - 1, up);
  a.span = block_floor(up - 1 - a.low, up) - a.first + 1;
  return a;
}

/* The unfolded weight's place of (y, x): a transposed convolution runs through it backwards. */
static inline int64_t block_tap(const Block *b, int64_t y, int64_t x) {
  int64_t height = b->axis[0].kernel, width = b->axis[1].kernel;
  return b->transposed ? (height - 1 - y) * width + width - 1 - x : y * width + x;
}

#endif
