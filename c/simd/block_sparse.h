/* Floor 2: gradients of blocks that end in a pool, 3 x 3 taps, no upsampling. Of each window only
 * the winner has a gradient, and of those the activation has stopped many: what is left is listed
 * and visited one by one, a value at a time against vectors of the input's channels. (Zeros are
 * skipped: unlike in a product, what meets them does not matter.) */
#ifndef LATENT_SIMD_BLOCK_SPARSE_H
#define LATENT_SIMD_BLOCK_SPARSE_H

#include "block_edges.h"
#include "block_form.h"

enum { SPARSE_TAPS = 3, SPARSE_POOL = 2 /* width of the pool's window */ };

/* A gradient and where it meets the other factor. */
typedef struct SparseEntry {
  int32_t at;
  real d;
} SparseEntry;

/* Scratch for a job of some images. */
typedef struct SparseLists {
  SparseEntry *channel; /* (out, room): for dw, places in the window of x */
  SparseEntry *place;   /* (pixel of a row of y, place in its window, out): for dx, channels */
  int64_t *channel_count, *place_count;
  int64_t room;
} SparseLists;

typedef struct SparsePlane {
  int64_t row, pixel; /* pitches of the window of x */
} SparsePlane;

/* Row i of y of an image: enters its gradients into the lists. `corner` is the place of the image
 * in the windows of x. */
static void sparse_row(const Block *b, const real *dy, const BlockCodes *codes, int64_t image,
                       int64_t i, int64_t corner, const SparsePlane *plane, const SparseLists *l,
                       bool dw, bool dx) {
  int64_t columns = b->axis[1].pooled, places = b->axis[0].pool * SPARSE_POOL;
  int64_t at = (image * b->axis[0].pooled + i) * columns * b->out;
  int32_t offset[128];
  for (int64_t p = 0; p < places; p++)
    offset[p] = (int32_t)(p / SPARSE_POOL * plane->row + p % SPARSE_POOL * plane->pixel);
  if (dx) memset(l->place_count, 0, (size_t)(columns * places) * sizeof(int64_t));
  corner += i * b->axis[0].pool * plane->row;
  for (int64_t j = 0; j < columns; j++, corner += SPARSE_POOL * plane->pixel)
    for (int64_t c = 0; c < b->out; c += LANES, at += LANES) {
      int64_t lanes = block_min(b->out - c, LANES);
      real d[LANES];
      lane_int code[LANES];
      if (lanes == LANES) {
        VecMask mask = codes_load(codes, at);
        vec_store(d, pass_lanes(b, vec_load(dy + at), mask, codes->low));
        mask &= ~codes->low;
        memcpy(code, &mask, sizeof mask);
      } else
        for (int64_t k = 0; k < lanes; k++) {
          d[k] = pass_one(b, dy[at + k], codes->bytes[at + k], codes->low);
          code[k] = codes->bytes[at + k] & ~codes->low;
        }
      for (int64_t k = 0; k < lanes && dw; k++) {
        int64_t n = l->channel_count[c + k];
        l->channel[(c + k) * l->room + n] = (SparseEntry){(int32_t)corner + offset[code[k]], d[k]};
        l->channel_count[c + k] = n + (d[k] != 0);
      }
      for (int64_t k = 0; k < lanes && dx; k++) {
        int64_t place = j * places + code[k], n = l->place_count[place];
        l->place[place * b->out + n] = (SparseEntry){(int32_t)(c + k), d[k]};
        l->place_count[place] = n + (d[k] != 0);
      }
      at -= LANES - lanes;
    }
}

/* sums[tap] += d x[at + tap] over a list. The taps of F run against those of the window. */
static __attribute__((noinline)) void sparse_weight(const SparseEntry *list, int64_t n,
                                                    const real *x, int64_t row, int64_t pixel,
                                                    real *sums, bool first) {
  Vec sum[SPARSE_TAPS * SPARSE_TAPS];
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) sum[s] = vec_zero();
  for (int64_t e = 0; e < n; e++) {
    const real *at = x + list[e].at, *below = at + row, *last = below + row;
    Vec d = vec_fill(list[e].d);
    sum[8] += d * vec_load(at);
    sum[7] += d * vec_load(at + pixel);
    sum[6] += d * vec_load(at + 2 * pixel);
    sum[5] += d * vec_load(below);
    sum[4] += d * vec_load(below + pixel);
    sum[3] += d * vec_load(below + 2 * pixel);
    sum[2] += d * vec_load(last);
    sum[1] += d * vec_load(last + pixel);
    sum[0] += d * vec_load(last + 2 * pixel);
  }
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) {
    real *to = sums + s * LANES;
    vec_store(to, first ? sum[s] : vec_load(to) + sum[s]);
  }
}

/* One row of windows' row u of places into the three rows of dx under it (with its frame: the first
 * pixel is that of the first tap), one vector of channels: a patch of pixels moves along in
 * registers. */
static __attribute__((noinline)) void sparse_input(const Block *b, const SparseLists *l, int64_t u,
                                                   const real *weights, real *dx, int64_t row,
                                                   int64_t pixel) {
  enum { PATCH = SPARSE_TAPS + SPARSE_POOL - 1 };
  int64_t places = b->axis[0].pool * SPARSE_POOL;
  Vec patch[SPARSE_TAPS][PATCH];
  VEC_UNROLL for (int y = 0; y < SPARSE_TAPS; y++) VEC_UNROLL for (int x = 0; x < PATCH; x++)
      patch[y][x] = vec_zero();
  for (int64_t j = 0; j < b->axis[1].pooled; j++, dx += SPARSE_POOL * pixel) {
    VEC_UNROLL for (int v = 0; v < SPARSE_POOL; v++) {
      int64_t place = j * places + u * SPARSE_POOL + v;
      const SparseEntry *list = l->place + place * b->out;
      for (int64_t e = 0; e < l->place_count[place]; e++) {
        const real *w = weights + list[e].at * SPARSE_TAPS * SPARSE_TAPS * LANES;
        Vec d = vec_fill(list[e].d);
        VEC_UNROLL for (int y = 0; y < SPARSE_TAPS; y++)
            VEC_UNROLL for (int x = 0; x < SPARSE_TAPS; x++) patch[y][v + x] +=
            d * vec_load(w + ((SPARSE_TAPS - 1 - y) * SPARSE_TAPS + SPARSE_TAPS - 1 - x) * LANES);
      }
    }
    VEC_UNROLL for (int y = 0; y < SPARSE_TAPS; y++) {
      VEC_UNROLL for (int x = 0; x < SPARSE_POOL; x++) {
        real *to = dx + y * row + x * pixel;
        vec_store(to, vec_load(to) + patch[y][x]);
      }
      VEC_UNROLL for (int x = 0; x < PATCH - SPARSE_POOL; x++) {
        patch[y][x] = patch[y][x + SPARSE_POOL];
        patch[y][x + SPARSE_POOL] = vec_zero();
      }
    }
  }
  VEC_UNROLL for (int y = 0; y < SPARSE_TAPS; y++)
      VEC_UNROLL for (int x = 0; x < PATCH - SPARSE_POOL; x++) {
    real *to = dx + y * row + x * pixel;
    vec_store(to, vec_load(to) + patch[y][x]);
  }
}

/* dw for few channels of the input: vectors lie along the output's. Pools of 2 x 2. */
enum { NARROW_PATCH = SPARSE_TAPS + SPARSE_POOL - 1 };

#if defined __AVX512F__
/* A patch of one channel fills a register: each lane picks what lies under its winner. */
VEC_INLINE void narrow_window(const real *x, int64_t row, int64_t pixel, Vec d, VecMask code,
                              Vec sum[SPARSE_TAPS * SPARSE_TAPS]) {
  real corner[NARROW_PATCH * NARROW_PATCH] __attribute__((aligned(VEC_BYTES)));
  if (pixel == 1)
    VEC_UNROLL for (int y = 0; y < NARROW_PATCH; y++)
        memcpy(corner + y * NARROW_PATCH, x + y * row, NARROW_PATCH * sizeof(real));
  else
    for (int i = 0; i < NARROW_PATCH * NARROW_PATCH; i++)
      corner[i] = x[i / NARROW_PATCH * row + i % NARROW_PATCH * pixel];
  Vec patch = vec_load(corner);
  VecMask at = (code >> 1) * NARROW_PATCH + (code & 1);
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) {
    lane_int tap =
        (SPARSE_TAPS - 1 - s / SPARSE_TAPS) * NARROW_PATCH + SPARSE_TAPS - 1 - s % SPARSE_TAPS;
    sum[s] += d * (Vec)_mm512_permutexvar_ps((__m512i)(at + tap), (__m512)patch);
  }
}
#else
VEC_INLINE void narrow_window(const real *x, int64_t row, int64_t pixel, Vec d, VecMask code,
                              Vec sum[SPARSE_TAPS * SPARSE_TAPS]) {
  Vec at[SPARSE_POOL * SPARSE_POOL];
  VEC_UNROLL for (int p = 0; p < SPARSE_POOL * SPARSE_POOL; p++) at[p] =
      vec_select(code == p, d, vec_zero());
  VEC_UNROLL for (int i = 0; i < NARROW_PATCH * NARROW_PATCH; i++) {
    int y = i / NARROW_PATCH, c = i % NARROW_PATCH;
    Vec v = vec_fill(x[y * row + c * pixel]);
    VEC_UNROLL for (int p = 0; p < SPARSE_POOL * SPARSE_POOL; p++) {
      int ty = SPARSE_TAPS - 1 - y + p / SPARSE_POOL, tx = SPARSE_TAPS - 1 - c + p % SPARSE_POOL;
      if (ty < 0 || ty >= SPARSE_TAPS || tx < 0 || tx >= SPARSE_TAPS) continue;
      sum[ty * SPARSE_TAPS + tx] += v * at[p];
    }
  }
}
#endif

/* One vector of output channels, from `c` on, of an image against one channel of its window. */
static __attribute__((noinline)) void
narrow_weight(const Block *b, const real *dy, const BlockCodes *codes, int64_t image, int64_t c,
              const real *x, const SparsePlane *plane, real *sums, bool first) {
  int64_t rows = b->axis[0].pooled, columns = b->axis[1].pooled;
  int64_t at = image * rows * columns * b->out + c;
  Vec sum[SPARSE_TAPS * SPARSE_TAPS];
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) sum[s] = vec_zero();
  for (int64_t i = 0; i < rows; i++) {
    const real *row = x + i * SPARSE_POOL * plane->row;
    for (int64_t j = 0; j < columns; j++, at += b->out, row += SPARSE_POOL * plane->pixel) {
      VecMask code = codes_load(codes, at);
      Vec d = pass_lanes(b, vec_load(dy + at), code, codes->low);
      narrow_window(row, plane->row, plane->pixel, d, code & ~codes->low, sum);
    }
  }
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) {
    real *to = sums + s * LANES;
    vec_store(to, first ? sum[s] : vec_load(to) + sum[s]);
  }
}

#endif
