/* Floor 2: the forward pass of fused blocks with few output channels, where vectors of them would
 * be nearly empty. Each pixel of the source is multiplied with all taps at once, which lie across
 * the lanes; the products of neighbouring pixels are then added up to outputs: t[h][s] = sum over c
 * of x[h][c] F[s][c]      z[i] = sum over h of t[h][i - up h - low] */
#ifndef LATENT_SIMD_BLOCK_FEW_H
#define LATENT_SIMD_BLOCK_FEW_H

#include "simd/block_form.h"

typedef real Quad __attribute__((vector_size(4 * sizeof(real))));
typedef real QuadLoose
    __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* The products of a pixel: (height of taps, width, out) or, where a 4 x 4 kernel of one channel
 * doubles an image, its four quarters of 2 x 2 taps, which end in one quad of outputs each. */
typedef struct BlockFew {
  bool quads;
  int64_t count, vectors; /* products of a pixel, and their vectors */
} BlockFew;

static BlockFew block_few(const Block *b, const BlockForm *f) {
  BlockFew few = {.count = f->taps[0] * f->taps[1] * b->out};
  few.vectors = block_vectors(few.count);
  few.quads = b->out == 1 && block_doubles(b);
  return few;
}

/* Whether that is less work: an addition of single products costs about as much as that of a vector
 * with its multiplication. */
static bool block_few_pays(const Block *b, const BlockForm *f) {
  BlockFew few = block_few(b, f);
  int64_t ups = b->axis[0].up * b->axis[1].up, taps = f->taps[0] * f->taps[1];
  int64_t usual = (f->parts ? DOUBLE_PARTS : block_ceil(taps, ups) * ups) * f->vectors * b->in;
  return shortcut(BLOCK_FEW) && b->out < LANES && few.vectors * b->in + few.count < usual;
}

/* weights: (vectors, in, LANES) from a weight; `folded` is scratch of (taps, in, out) */
static void block_few_pack(const Block *b, const BlockForm *f, const real *w, real *folded,
                           real *weights) {
  int64_t step;
  const real *from = block_folded(b, w, folded, &step);
  BlockFew few = block_few(b, f);
  memset(weights, 0, (size_t)(few.vectors * b->in * LANES) * sizeof(real));
  for (int64_t s = 0; s < f->taps[0] * f->taps[1]; s++)
    for (int64_t o = 0; o < b->out; o++) {
      int64_t y = s / 4, x = s % 4, lane = s * b->out + o;
      if (few.quads) lane = (y / 2 * 2 + x / 2) * 4 + y % 2 * 2 + x % 2;
      real *to = weights + lane / LANES * b->in * LANES + lane % LANES;
      for (int64_t i = 0; i < b->in; i++) to[i * LANES] = from[s * step + i * b->out + o];
    }
}

/* Pixels that lie side by side, and one vector of their products. */
VEC_INLINE void few_tile(const real *x, int64_t channels, const real *weights, real *products,
                         int64_t pixel, const int pixels) {
  Vec sum[ROW_PIXELS];
  VEC_UNROLL for (int i = 0; i < pixels; i++) sum[i] = vec_zero();
  for (int64_t c = 0; c < channels; c++) {
    Vec w = vec_load(weights + c * LANES);
    VEC_UNROLL for (int i = 0; i < pixels; i++) sum[i] += w * vec_fill(x[i * channels + c]);
  }
  VEC_UNROLL for (int i = 0; i < pixels; i++) vec_store(products + i * pixel, sum[i]);
}

/* The products of a row of pixels; where they do not fill up tiles, the last one has some that were
 * done before. */
static __attribute__((noinline)) void
block_few_row(const BlockForm *f, const real *x, int64_t columns, real *products, int64_t pixel) {
  const int64_t channels = f->channels;
  for (int64_t v = 0; v * LANES < pixel; v++, products += LANES) {
    const real *w = f->weights + v * channels * LANES;
    for (int64_t j = 0; j < columns; j += ROW_PIXELS) {
      int64_t at = block_min(j, columns - ROW_PIXELS);
      if (at >= 0)
        few_tile(x + at * channels, channels, w, products + at * pixel, pixel, ROW_PIXELS);
      else
        for (at = 0; at < columns; at++)
          few_tile(x + at * channels, channels, w, products + at * pixel, pixel, 1);
    }
  }
}

/* Outputs 2y - 1 and 2y in both directions come from the products of four pixels: two by two. */
VEC_INLINE Quad few_quad(const real *above, const real *below, int64_t pixel, real bias) {
  Quad q =
      (Quad) * (const QuadLoose *)(above + 12) + (Quad) * (const QuadLoose *)(above + pixel + 8);
  q += (Quad) * (const QuadLoose *)(below + 4) + (Quad) * (const QuadLoose *)(below + pixel);
  return q + bias;
}

static __attribute__((noinline)) void few_quads(const real *above, const real *below, int64_t pixel,
                                                int64_t count, real bias, real *to, int64_t row) {
  for (; count >= 2; count -= 2, to += 4) {
    Quad left = few_quad(above, below, pixel, bias);
    above += pixel;
    below += pixel;
    Quad right = few_quad(above, below, pixel, bias);
    above += pixel;
    below += pixel;
    *(QuadLoose *)to = __builtin_shufflevector(left, right, 0, 1, 4, 5);
    *(QuadLoose *)(to + row) = __builtin_shufflevector(left, right, 2, 3, 6, 7);
  }
  if (count == 0) return;
  Quad last = few_quad(above, below, pixel, bias);
  memcpy(to, &last, 2 * sizeof(real));
  memcpy(to + row, (const real *)&last + 2, 2 * sizeof(real));
}

/* Writes one row before the rows of z and one behind them, and one column likewise. */
static void block_few_quads(const BlockPlane *p, const BlockFew *few, real bias, real *z) {
  int64_t pixel = few->vectors * LANES, row = p->row;
  for (int64_t y = 0; 2 * y <= p->rows + 1; y++)
    few_quads(p->source + y * row, p->source + (y + 1) * row, pixel, p->columns / 2 + 1, bias,
              z + (2 * y - 1) * p->out_row - 1, p->out_row);
}

static void block_few_any(const Block *b, const BlockForm *f, const BlockPlane *p,
                          const BlockFew *few, real *z) {
  int64_t pixel = few->vectors * LANES;
  for (int64_t i = 0; i < p->rows; i++)
    for (int64_t c = 0; c < f->stride[1]; c++) {
      BlockPhase y = block_phase(f, 0, i % f->stride[0]), x = block_phase(f, 1, c);
      const real *top = p->source + (i / f->stride[0] + y.source) * p->row + x.source * pixel;
      for (int64_t j = c; j < p->columns; j += f->stride[1], top += pixel)
        for (int64_t o = 0; o < b->out; o++) {
          real sum = f->bias ? f->bias[o] : 0;
          for (int64_t u = 0; u < y.taps; u++)
            for (int64_t v = 0; v < x.taps; v++) {
              int64_t tap =
                  (y.weight + u * y.weight_step) * f->taps[1] + x.weight + v * x.weight_step;
              sum += top[u * p->row + v * pixel + tap * b->out + o];
            }
          z[i * p->out_row + j * b->out + o] = sum;
        }
    }
}

/* z from the products of the window under it; p describes both. */
static void block_few_outputs(const Block *b, const BlockForm *f, const BlockPlane *p) {
  BlockFew few = block_few(b, f);
  for (int64_t n = 0; n < p->images; n++) {
    BlockPlane image = *p;
    image.source += n * p->image;
    real *z = p->out + n * p->out_image;
    if (few.quads) block_few_quads(&image, &few, f->bias ? f->bias[0] : 0, z);
    else block_few_any(b, f, &image, &few, z);
  }
}

#endif
