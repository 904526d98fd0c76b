/* Floor 2: gradients of blocks that end in a pool, 3 x 3 taps, no upsampling. Of each window only
 * the winner has a gradient, and of those the activation has stopped many: what is left is listed
 * and visited one by one, a value at a time against vectors of the input's channels. (Zeros are
 * skipped: unlike in a product, what meets them does not matter.) */
#ifndef LATENT_SIMD_BLOCK_SPARSE_H
#define LATENT_SIMD_BLOCK_SPARSE_H

#include "simd/block_edges.h"
#include "simd/block_few.h"

enum { SPARSE_TAPS = 3, SPARSE_POOL = 2 /* width of the pool's window */ };

/* Gradients and where they meet the other factor; scratch for a job of some images. A list of
 * `at` and one of `d` for each channel (dw: places in the window of x), and for each place of each
 * window in a row of y (dx: channels). Lists are filled by whole vectors, the rest of which the
 * next ones overwrite. */
typedef struct SparseLists {
  lane_int *channel_at, *place_at;
  real *channel_d, *place_d;
  lane_int *channel_count, *place_count;
  int64_t channel_room, place_room; /* of one list */
} SparseLists;

typedef struct SparsePlane {
  int64_t row, pixel; /* pitches of the window of x */
} SparsePlane;

/* Appends LANES channels' gradients, from channel c on, to the channels' lists. */
VEC_INLINE void sparse_list_channels(const SparseLists *l, int64_t c, Vec d, VecMask at) {
  lane_int place[LANES], count[LANES];
  real value[LANES];
  VecMask counts;
  memcpy(&counts, l->channel_count + c, sizeof counts);
  memcpy(count, &counts, sizeof count);
  memcpy(place, &at, sizeof place);
  vec_store(value, d);
  VEC_UNROLL for (int k = 0; k < LANES; k++) {
    int64_t n = (c + k) * l->channel_room + count[k];
    l->channel_at[n] = place[k];
    l->channel_d[n] = value[k];
  }
  counts -= (VecMask)(d != 0); /* a set lane is -1 */
  memcpy(l->channel_count + c, &counts, sizeof counts);
}

/* The same to the lists of the places from `first` on that their codes name. */
VEC_INLINE void sparse_list_places(const SparseLists *l, int64_t c, Vec d, VecMask code,
                                   int64_t first, int64_t places) {
#if defined __AVX512F__
  VecMask channel = vec_lane_numbers() + (lane_int)c;
  __mmask16 live = _mm512_cmp_ps_mask((__m512)d, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  for (int64_t p = 0; p < places; p++) {
    __mmask16 mine = _mm512_mask_cmpeq_epi32_mask(live, (__m512i)code, _mm512_set1_epi32((int)p));
    int64_t n = (first + p) * l->place_room + l->place_count[first + p];
    _mm512_storeu_si512(l->place_at + n, _mm512_maskz_compress_epi32(mine, (__m512i)channel));
    _mm512_storeu_ps(l->place_d + n, _mm512_maskz_compress_ps(mine, (__m512)d));
    l->place_count[first + p] += __builtin_popcount(mine);
  }
#else
  (void)places;
  VEC_UNROLL for (int k = 0; k < LANES; k++) {
    int64_t list = first + code[k], n = list * l->place_room + l->place_count[list];
    l->place_at[n] = (lane_int)(c + k);
    l->place_d[n] = d[k];
    l->place_count[list] += d[k] != 0;
  }
#endif
}

/* Row i of y of an image: enters its gradients into the lists. `corner` is the place of the image
 * in the windows of x. */
static void sparse_row(const Block *b, const real *dy, const BlockCodes *codes, int64_t image,
                       int64_t i, int64_t corner, const SparsePlane *plane, const SparseLists *l,
                       bool dw, bool dx) {
  int64_t columns = b->axis[1].pooled, places = b->axis[0].pool * SPARSE_POOL;
  int64_t at = (image * b->axis[0].pooled + i) * columns * b->out;
  if (dx) memset(l->place_count, 0, (size_t)(columns * places) * sizeof(lane_int));
  corner += i * b->axis[0].pool * plane->row;
  for (int64_t j = 0; j < columns; j++, corner += SPARSE_POOL * plane->pixel)
    for (int64_t c = 0; c < b->out; c += LANES, at += LANES) {
      int64_t lanes = block_min(b->out - c, LANES);
      Vec d = vec_zero();
      VecMask code = {0};
      if (lanes == LANES) {
        d = vec_load(dy + at);
        code = codes_load(codes, at);
      } else {
        d = vec_load_part(dy + at, (int)lanes);
        for (int64_t k = 0; k < lanes; k++) code[k] = codes->bytes[at + k];
      }
      d = pass_lanes(b, d, code, codes->low);
      code &= ~codes->low;
      VecMask place = (lane_int)corner + (code / SPARSE_POOL) * (lane_int)plane->row +
                      (code % SPARSE_POOL) * (lane_int)plane->pixel;
      if (dw) sparse_list_channels(l, c, d, place);
      if (dx) sparse_list_places(l, c, d, code, j * places, places);
      at -= LANES - lanes;
    }
}

/* sums[tap] += d x[at + tap] over a list. The taps of F run against those of the window. */
static __attribute__((noinline)) void sparse_weight(const lane_int *list, const real *values,
                                                    int64_t n, const real *x, int64_t row,
                                                    int64_t pixel, real *sums, bool first) {
  Vec sum[SPARSE_TAPS * SPARSE_TAPS];
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) sum[s] = vec_zero();
  for (int64_t e = 0; e < n; e++) {
    const real *at = x + list[e], *below = at + row, *last = below + row;
    Vec d = vec_fill(values[e]);
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
      const lane_int *list = l->place_at + place * l->place_room;
      const real *values = l->place_d + place * l->place_room;
      for (int64_t e = 0; e < l->place_count[place]; e++) {
        const real *w = weights + list[e] * SPARSE_TAPS * SPARSE_TAPS * LANES;
        Vec d = vec_fill(values[e]);
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
  Quad q[NARROW_PATCH];
  VEC_UNROLL for (int y = 0; y < NARROW_PATCH; y++) {
    const real *from = x + y * row;
    if (pixel == 1) q[y] = (Quad) * (const QuadLoose *)from;
    else q[y] = (Quad){from[0], from[pixel], from[2 * pixel], from[3 * pixel]};
  }
  __m256 top = _mm256_set_m128((__m128)q[1], (__m128)q[0]);
  __m256 bottom = _mm256_set_m128((__m128)q[3], (__m128)q[2]);
  __m512 patch = _mm512_insertf32x8(_mm512_castps256_ps512(top), bottom, 1);
  VecMask at = (code >> 1) * NARROW_PATCH + (code & 1);
  VEC_UNROLL for (int s = 0; s < SPARSE_TAPS * SPARSE_TAPS; s++) {
    lane_int tap =
        (SPARSE_TAPS - 1 - s / SPARSE_TAPS) * NARROW_PATCH + SPARSE_TAPS - 1 - s % SPARSE_TAPS;
    sum[s] += d * (Vec)_mm512_permutexvar_ps((__m512i)(at + tap), patch);
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
