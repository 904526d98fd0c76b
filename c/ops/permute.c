#include "ops/permute.h"

#include "base/bytes.h"
#include "base/parallel.h"

#include <string.h>

/* Where elements that are neighbours in y are none in x, a tile of both is copied by way of a
 * buffer: each line of the cache is read and written once, whatever the strides. Of few rows, such
 * as the channels of a picture, the tile is longer, and a loop along it needs no buffer. */
enum { TILE = 32, FEW = 8 };

/* The axes of y from the outermost on, without those of size 1 and those that stay side by side;
 * strides in elements, y's in `to`. The last is `run`, by itself; `near`, one of the others, is
 * that along which elements are neighbours in x. */
typedef struct Permute {
  const char *x;
  char *y;
  size_t element;
  int dims;
  int64_t size[MAX_DIMS], from[MAX_DIMS], to[MAX_DIMS];
  int64_t run, run_from;
  int64_t near, near_to; /* its size and stride in y; 1 where there is none */
  int64_t tile_run, tile_near;
} Permute;

static void add_axis(Permute *p, int64_t size, int64_t from) {
  int last = p->dims - 1;
  if (size == 1) return;
  if (last >= 0 && p->from[last] == from * size) {
    p->size[last] *= size;
    p->from[last] = from;
    return;
  }
  p->size[p->dims] = size;
  p->from[p->dims++] = from;
}

static void take_axis(Permute *p, int axis) {
  p->dims--;
  for (int d = axis; d < p->dims; d++) {
    p->size[d] = p->size[d + 1];
    p->from[d] = p->from[d + 1];
    p->to[d] = p->to[d + 1];
  }
}

static Permute permute_plan(const Tensor *x, const int64_t *axes, Tensor *y) {
  Permute p = {.x = x->data, .y = y->data, .element = dtype_size(x->dtype), .near = 1};
  int64_t own[MAX_DIMS] = {0};
  for (int64_t d = x->shape.dims - 1, step = 1; d >= 0; step *= x->shape.size[d--]) own[d] = step;
  for (int d = 0; d < x->shape.dims; d++) add_axis(&p, y->shape.size[d], own[axes[d]]);
  for (int64_t d = p.dims - 1, step = 1; d >= 0; step *= p.size[d--]) p.to[d] = step;
  p.run = p.run_from = 1;
  if (p.dims == 0) return p;
  p.run = p.size[p.dims - 1];
  p.run_from = p.from[p.dims - 1];
  take_axis(&p, p.dims - 1);
  for (int d = 0; d < p.dims && p.run_from != 1; d++) {
    if (p.from[d] != 1) continue;
    p.near = p.size[d];
    p.near_to = p.to[d];
    take_axis(&p, d);
    break;
  }
  return p;
}

/* Where item number k of the outer axes begins, in elements. */
static void permute_begin(const Permute *p, int64_t k, int64_t *from, int64_t *to) {
  *from = *to = 0;
  for (int d = p->dims - 1; d >= 0; d--) {
    int64_t at = k % p->size[d];
    k /= p->size[d];
    *from += at * p->from[d];
    *to += at * p->to[d];
  }
}

/* Runs that are whole in both. */
static void permute_runs(void *context, int64_t begin, int64_t end, int thread) {
  const Permute *p = context;
  (void)thread;
  for (int64_t k = begin; k < end; k++) {
    int64_t from, to;
    permute_begin(p, k, &from, &to);
    memcpy(p->y + (size_t)to * p->element, p->x + (size_t)from * p->element,
           (size_t)p->run * p->element);
  }
}

/* A tile of `run` by `near`, of elements of type T. */
#define TURN(T)                                                                                    \
  static void turn_few_##T(const Permute *p, const T *x, T *y, int64_t run, int64_t near) {        \
    int64_t step = p->run_from, apart = p->near_to;                                                \
    if (near < run) {                                                                              \
      for (int64_t k = 0; k < near; k++)                                                           \
        for (int64_t i = 0; i < run; i++) y[k * apart + i] = x[i * step + k];                      \
    } else {                                                                                       \
      for (int64_t i = 0; i < run; i++)                                                            \
        for (int64_t k = 0; k < near; k++) y[k * apart + i] = x[i * step + k];                     \
    }                                                                                              \
  }                                                                                                \
  static void turn_##T(const Permute *p, const T *x, T *y, int64_t run, int64_t near) {            \
    T tile[TILE * TILE];                                                                           \
    if (p->tile_run != TILE || p->tile_near != TILE) {                                             \
      turn_few_##T(p, x, y, run, near);                                                            \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < run; i++)                                                              \
      memcpy(tile + i * TILE, x + i * p->run_from, (size_t)near * sizeof(T));                      \
    for (int64_t k = 0; k < near; k++) {                                                           \
      T *line = y + k * p->near_to;                                                                \
      for (int64_t i = 0; i < run; i++) line[i] = tile[i * TILE + k];                              \
    }                                                                                              \
  }
TURN(uint8_t)
TURN(uint32_t)
TURN(uint64_t)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t parts(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Items: tiles of the run, within strips of the near axis, within the outer axes. */
static void permute_tiles(void *context, int64_t begin, int64_t end, int thread) {
  const Permute *p = context;
  int64_t across = parts(p->run, p->tile_run), strips = parts(p->near, p->tile_near);
  (void)thread;
  for (int64_t item = begin; item < end; item++) {
    int64_t i = item % across * p->tile_run, k = item / across % strips * p->tile_near, from, to;
    permute_begin(p, item / across / strips, &from, &to);
    const void *x = p->x + (size_t)(from + i * p->run_from + k) * p->element;
    void *y = p->y + (size_t)(to + i + k * p->near_to) * p->element;
    int64_t run = least(p->run - i, p->tile_run), near = least(p->near - k, p->tile_near);
    if (p->element == 4) turn_uint32_t(p, x, y, run, near);
    else if (p->element == 8) turn_uint64_t(p, x, y, run, near);
    else turn_uint8_t(p, x, y, run, near);
  }
}

void permute_copy(const Tensor *x, const int64_t *axes, Tensor *y) {
  if (y->numel == 0) return;
  Permute p = permute_plan(x, axes, y);
  int64_t outer = y->numel / p.run / p.near;
  if (p.run_from == 1) {
    if (outer == 1) bytes_copy(y->data, x->data, (size_t)p.run * p.element);
    else parallel_for(outer, bytes_grain((size_t)p.run * p.element), permute_runs, &p);
    return;
  }
  p.tile_run = p.near < FEW ? TILE * TILE / p.near : TILE;
  p.tile_near = p.run < FEW ? TILE * TILE / p.run : TILE;
  int64_t tiles = parts(p.run, p.tile_run) * parts(p.near, p.tile_near);
  size_t tile = (size_t)(least(p.run, p.tile_run) * least(p.near, p.tile_near)) * p.element;
  parallel_for(outer * tiles, bytes_grain(tile), permute_tiles, &p);
}
