/* Floor 3: what makes a formula of one element an op: its loops, forward and back, and its row.
 * Each family of such functions is a file: elementwise.c, trigonometric.c, special.c. */
#ifndef LATENT_OPS_ELEMENTWISE_H
#define LATENT_OPS_ELEMENTWISE_H

#include "base/parallel.h"
#include "ops/op.h"
#include "simd/isa.h"
#include "simd/math.h"

enum { ELEMENTWISE_GRAIN = 16384 /* elements of a parallel chunk */ };

/* The formulas see x, y, dy and the op's numbers p[0], p[1]; p0 and p1 are these as reals, read
 * before the loop, which a condition would otherwise keep from becoming one of vectors. */
typedef struct Map {
  const real *x, *y, *dy;
  real *out;
  const double *p;
} Map;

static inline void map_elements(const Map *map, int64_t n, ParallelBody *body) {
  parallel_for(n, ELEMENTWISE_GRAIN, body, (void *)map);
}

/* Defines the forward and backward of y = FORMULA, dx = dy * GRADIENT. An unused name in a formula
 * is normal: most derivatives need either x or y. */
#define ELEMENTWISE(NAME, FORMULA, GRADIENT)                                                       \
  static void NAME##_rows(void *context, int64_t begin, int64_t end, int thread) {                 \
    (void)thread;                                                                                  \
    const Map *m = context;                                                                        \
    const double *p = m->p;                                                                        \
    const real p0 = (real)p[0], p1 = (real)p[1];                                                   \
    (void)p, (void)p0, (void)p1;                                                                   \
    EACH_ALONE for (int64_t i = begin; i < end; i++) {                                             \
      real x = m->x[i];                                                                            \
      m->out[i] = (real)(FORMULA);                                                                 \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    (void)e;                                                                                       \
    Map m = {.x = reals(c->in[0]), .out = reals(y), .p = c->number};                               \
    map_elements(&m, y->numel, NAME##_rows);                                                       \
    return true;                                                                                   \
  }                                                                                                \
  static void NAME##_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {        \
    (void)thread;                                                                                  \
    const Map *m = context;                                                                        \
    const double *p = m->p;                                                                        \
    const real p0 = (real)p[0], p1 = (real)p[1];                                                   \
    (void)p, (void)p0, (void)p1;                                                                   \
    const real *restrict dys = m->dy, *restrict xs = m->x ? m->x : dys;                            \
    const real *restrict ys = m->y ? m->y : dys; /* what is not saved is not used */               \
    real *restrict out = m->out;                                                                   \
    EACH_ALONE for (int64_t i = begin; i < end; i++) {                                             \
      real x = xs[i], y = ys[i], dy = dys[i];                                                      \
      (void)x;                                                                                     \
      (void)y;                                                                                     \
      out[i] = (real)(GRADIENT);                                                                   \
    }                                                                                              \
  }                                                                                                \
  static bool NAME##_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, \
                              Error *e) {                                                          \
    (void)e;                                                                                       \
    Map m = {.x = c->in[0]->storage ? reals(c->in[0]) : NULL,                                      \
             .y = y ? reals(y) : NULL,                                                             \
             .dy = reals(dy),                                                                      \
             .out = reals(dx[0]),                                                                  \
             .p = c->number};                                                                      \
    map_elements(&m, dy->numel, NAME##_gradient_rows);                                             \
    return true;                                                                                   \
  }

#define ROW(NAME, SAVE, DOC, ...) TAIL_ROW(NAME, TAIL_NONE, SAVE, DOC, __VA_ARGS__)

/* The same of one that may be done in the pass of the op before it. */
#define TAIL_ROW(NAME, TAIL, SAVE, DOC, ...)                                                       \
  static const Op op_##NAME = {.name = #NAME,                                                      \
                               .inputs = "x",                                                      \
                               .doc = DOC,                                                         \
                               .flags = OP_ELEMENTWISE,                                            \
                               .save = SAVE,                                                       \
                               PARAMS(__VA_ARGS__),                                                \
                               .tail = TAIL,                                                       \
                               .forward = NAME##_forward,                                          \
                               .backward = NAME##_backward};

#endif
