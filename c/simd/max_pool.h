/* Floor 2: max pooling of few channels: neighbouring windows share a vector. And the gradient of
 * windows that lie side by side, of which each pixel has one. */
#ifndef LATENT_SIMD_MAX_POOL_H
#define LATENT_SIMD_MAX_POOL_H

#include "simd/vec.h"

#include <math.h>

/* A vector holds the channels of `windows` neighbours. Their pixels of one place in the window are
 * within two vectors of the input, which `take` picks them from; `low` and `high` interleave two
 * such places of windows of two columns. */
typedef struct PoolLanes {
  int64_t windows;
  VecMask take, low, high;
} PoolLanes;

/* None (windows 0) where a vector has no room for two, or they are too far apart. */
static PoolLanes pool_lanes(int64_t channels, int64_t stride) {
  PoolLanes s = {0};
  if (!VEC_PERMUTES || 2 * channels > LANES || stride > 2) return s;
  s.windows = LANES / channels;
  int64_t used = s.windows * channels;
  for (int64_t l = 0; l < LANES; l++) {
    int64_t window = l / channels, c = l % channels;
    s.take[l] = l < used ? (lane_int)(window * stride * channels + c) : 0;
    for (int64_t half = 0; half < 2; half++) {
      int64_t at = l + half * LANES, pixel = at / channels;
      int64_t from = at < 2 * used ? pixel % 2 * LANES + pixel / 2 * channels + at % channels : 0;
      (half ? &s.high : &s.low)[0][l] = (lane_int)from;
    }
  }
  return s;
}

/* What the rows and columns of a window are in the input. */
typedef struct PoolWindow {
  int64_t rows[2], columns[2]; /* first and end, counted from the window's first pixel */
  int64_t step[2];
  int64_t width, channels; /* of the input */
} PoolWindow;

/* The winners so far, and the next pixel of the window: x of one, or, `shared`, of neighbours, as
 * `s` says. The first of equals wins; NaN beats everything, the last NaN NaNs. */
VEC_INLINE void max_next(const PoolLanes *s, const real *x, lane_int at, Vec *best, VecMask *place,
                         int lanes, const bool shared) {
  Vec value = shared           ? vec_permute2(vec_load(x), vec_load(x + LANES), s->take)
              : lanes == LANES ? vec_load(x)
                               : vec_load_part(x, lanes);
  VecMask better = (value > *best) | (value != value);
  *best = vec_select(better, value, *best);
  *place = (better & at) | (~better & *place);
}

/* `lanes` outputs: the channels of one pixel from its window, which begins at x, or, `shared`,
 * those of neighbours. A window of `two` rows and columns, or what w says. */
VEC_INLINE void max_lanes(const PoolWindow *w, const PoolLanes *s, const real *x, real *y,
                          lane_int *winner, int lanes, const bool shared, const bool two) {
  const int64_t n = w->channels, row = w->width;
  Vec best = vec_fill(-INFINITY);
  VecMask place = (VecMask){0} + (lane_int)(two ? 0 : w->rows[0] * row + w->columns[0]);
  if (two) {
    max_next(s, x, 0, &best, &place, lanes, shared);
    max_next(s, x + n, 1, &best, &place, lanes, shared);
    max_next(s, x + row * n, (lane_int)row, &best, &place, lanes, shared);
    max_next(s, x + (row + 1) * n, (lane_int)row + 1, &best, &place, lanes, shared);
  } else {
    for (int64_t u = w->rows[0]; u < w->rows[1]; u += w->step[0])
      for (int64_t v = w->columns[0]; v < w->columns[1]; v += w->step[1])
        max_next(s, x + (u * row + v) * n, (lane_int)(u * row + v), &best, &place, lanes, shared);
  }
  if (lanes == LANES) {
    vec_store(y, best);
    if (winner) memcpy(winner, &place, sizeof place);
  } else {
    vec_store_part(y, best, lanes);
    if (winner) vec_store_mask_part(winner, place, lanes);
  }
}

/* All channels of one pixel. */
VEC_INLINE void max_pixel(const PoolWindow *w, const real *x, real *y, lane_int *winner,
                          const bool two) {
  int64_t n = w->channels, c = 0;
  for (; c + LANES <= n; c += LANES)
    max_lanes(w, NULL, x + c, y + c, winner ? winner + c : NULL, LANES, false, two);
  if (c < n) max_lanes(w, NULL, x + c, y + c, winner ? winner + c : NULL, (int)(n - c), false, two);
}

/* What the input's pixel at `place` gets of the outputs' gradient. Added to zero, as where windows
 * overlap: -0 becomes 0. */
VEC_INLINE Vec max_won(Vec dy, VecMask winner, int64_t place) {
  return vec_select(winner == (VecMask){0} + (lane_int)place, dy, vec_zero()) + vec_zero();
}

/* The gradient of a row of windows that lie side by side: writes all of the `kernel` rows of dx
 * under them, columns beyond the last window too. */
VEC_INLINE void max_apart(real *dx, const real *dy, const lane_int *winner, int64_t windows,
                          const int64_t kernel[2], int64_t width, int64_t n) {
  for (int64_t u = 0; u < kernel[0]; u++, dx += width * n) {
    real *to = dx;
    const real *from = dy;
    const lane_int *won = winner;
    for (int64_t j = 0; j < windows; j++, from += n, won += n)
      for (int64_t v = 0; v < kernel[1]; v++, to += n)
        for (int64_t c = 0; c < n; c += LANES) {
          int lanes = n - c < LANES ? (int)(n - c) : LANES;
          if (lanes == LANES) {
            VecMask w;
            memcpy(&w, won + c, sizeof w);
            vec_store(to + c, max_won(vec_load(from + c), w, u * width + v));
          } else {
            VecMask w = vec_load_mask_part(won + c, lanes);
            vec_store_part(to + c, max_won(vec_load_part(from + c, lanes), w, u * width + v),
                           lanes);
          }
        }
    memset(to, 0, (size_t)((width - windows * kernel[1]) * n) * sizeof(real));
  }
}

/* The same for few channels and two columns. */
VEC_INLINE void max_apart_shared(const PoolLanes *s, real *dx, const real *dy,
                                 const lane_int *winner, int64_t windows, int64_t rows,
                                 int64_t width, int64_t n) {
  int64_t many = windows < s->windows ? windows : s->windows, lanes = many * n;
  int first = (int)(2 * lanes < LANES ? 2 * lanes : LANES), second = (int)(2 * lanes) - first;
  for (int64_t j = 0; j < windows; j += s->windows) {
    int64_t at = j + many > windows ? windows - many : j; /* the last ones overlap */
    Vec g = vec_load_part(dy + at * n, (int)lanes);
    VecMask w = vec_load_mask_part(winner + at * n, (int)lanes);
    for (int64_t u = 0; u < rows; u++) {
      real *to = dx + (u * width + 2 * at) * n;
      Vec left = max_won(g, w, u * width), right = max_won(g, w, u * width + 1);
      vec_store_part(to, vec_permute2(left, right, s->low), first);
      if (second > 0) vec_store_part(to + LANES, vec_permute2(left, right, s->high), second);
    }
  }
  for (int64_t u = 0; u < rows; u++)
    memset(dx + (u * width + 2 * windows) * n, 0,
           (size_t)((width - 2 * windows) * n) * sizeof(real));
}

#endif
