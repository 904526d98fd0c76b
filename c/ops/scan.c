/* Floor 3: running sums and products along an axis, and the product of an axis. Sums and products
 * of float32 are carried in double and rounded once an element. */
#include "simd/isa.h"
#include "base/parallel.h"
#include "ops/axis.h"
#include "ops/families.h"

enum { AXIS, KEEPDIM };
enum { COLUMNS = 64, SCAN_GRAIN = 1 << 15 };

/* ---- one line is [n] with a step of inner; neighbouring lines are walked together ---- */

typedef struct Scan Scan;
/* The lines o * inner + i .. + count of x into y; count is at most COLUMNS. */
typedef void LineKernel(const Scan *s, int64_t at, int64_t count);

struct Scan {
  AxisView v;
  LineKernel *kernel;
  const real *x, *y, *dy;
  real *to;
};

/* Items: strips of at most COLUMNS lines that lie side by side. */
static int64_t scan_strips(const Scan *s) { return (s->v.inner + COLUMNS - 1) / COLUMNS; }

static void scan_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Scan *s = context;
  int64_t strips = scan_strips(s);
  (void)thread;
  for (int64_t k = begin; k < end; k++) {
    int64_t o = k / strips, i = k % strips * COLUMNS, left = s->v.inner - i;
    s->kernel(s, o * s->v.n * s->v.inner + i, left < COLUMNS ? left : COLUMNS);
  }
}

static bool scan(Scan *s) {
  if (s->v.n * s->v.inner == 0) return true; /* of no lines there may be as many as any */
  int64_t strip = s->v.n * (s->v.inner < COLUMNS ? s->v.inner : COLUMNS);
  parallel_for(s->v.outer * scan_strips(s), SCAN_GRAIN / (strip + 1) + 1, scan_chunk, s);
  return true;
}

/* to_k = START combined with x_1 .. x_k, or with x_n .. x_k */
#define RUNNING(NAME, START, BACKWARDS, COMBINE)                                                   \
  static void NAME##_alone(const Scan *s, int64_t at) {                                            \
    double carried = START; /* stays in a register */                                              \
    for (int64_t step = 0; step < s->v.n; step++) {                                                \
      int64_t k = at + (BACKWARDS ? s->v.n - 1 - step : step) * s->v.inner;                        \
      carried COMBINE(double) s->x[k];                                                             \
      s->to[k] = (real)carried;                                                                    \
    }                                                                                              \
  }                                                                                                \
  static void NAME(const Scan *s, int64_t at, int64_t count) {                                     \
    double carried[COLUMNS];                                                                       \
    if (count == 1) {                                                                              \
      NAME##_alone(s, at);                                                                         \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t i = 0; i < count; i++) carried[i] = START;                                        \
    for (int64_t step = 0; step < s->v.n; step++) {                                                \
      int64_t k = at + (BACKWARDS ? s->v.n - 1 - step : step) * s->v.inner;                        \
      for (int64_t i = 0; i < count; i++) {                                                        \
        carried[i] COMBINE(double) s->x[k + i];                                                    \
        s->to[k + i] = (real)carried[i];                                                           \
      }                                                                                            \
    }                                                                                              \
  }
RUNNING(running_sum, 0, false, +=)
RUNNING(running_sum_back, 0, true, +=)
RUNNING(running_product, 1, false, *=)

static bool scan_shape(const Call *c, Shape *out, Error *e) {
  *out = c->in[0]->shape;
  return axis_check(out, c->integer[AXIS], e);
}

/* ---- cumsum: y_k = x_1 + .. + x_k,   dx_k = dy_k + .. + dy_n ---- */

static bool cumsum_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return scan(&(Scan){.v = axis_view(&y->shape, c->integer[AXIS]),
                      .kernel = running_sum,
                      .x = reals(c->in[0]),
                      .to = reals(y)});
}
static bool cumsum_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y, (void)e;
  return scan(&(Scan){.v = axis_view(&dy->shape, c->integer[AXIS]),
                      .kernel = running_sum_back,
                      .x = reals(dy),
                      .to = reals(dx[0])});
}
static const Op op_cumsum = {.name = "cumsum",
                             .inputs = "x",
                             .doc = "The running sums along an axis: y_k = x_1 + ... + x_k.",
                             PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                             .shape = scan_shape,
                             .forward = cumsum_forward,
                             .backward = cumsum_backward};

/* ---- cumprod: y_k = x_1 .. x_k,   dx_k = sum over i >= k of dy_i y_i / x_k; where x_z is the
 * first zero, dx_z = sum over i >= z of dy_i times the product of the others up to i, and 0 behind
 * it ----
 */

static bool cumprod_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return scan(&(Scan){.v = axis_view(&y->shape, c->integer[AXIS]),
                      .kernel = running_product,
                      .x = reals(c->in[0]),
                      .to = reals(y)});
}

static void cumprod_line(const Scan *s, int64_t at) {
  int64_t n = s->v.n, step = s->v.inner, zero = 0;
  double product = 1, sum = 0;
  while (zero < n && s->x[at + zero * step] != 0) product *= (double)s->x[at + zero++ * step];
  for (int64_t k = zero; k < n; k++) {
    if (k > zero) product *= (double)s->x[at + k * step];
    sum += (double)s->dy[at + k * step] * product;
    s->to[at + k * step] = 0;
  }
  if (zero < n) s->to[at + zero * step] = (real)sum;
  sum = 0;
  for (int64_t k = zero - 1; k >= 0; k--) {
    sum += (double)s->dy[at + k * step] * (double)s->y[at + k * step];
    s->to[at + k * step] = (real)(sum / (double)s->x[at + k * step]);
  }
}
static void cumprod_lines(const Scan *s, int64_t at, int64_t count) {
  for (int64_t i = 0; i < count; i++) cumprod_line(s, at + i);
}
static bool cumprod_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)e;
  return scan(&(Scan){.v = axis_view(&dy->shape, c->integer[AXIS]),
                      .kernel = cumprod_lines,
                      .x = reals(c->in[0]),
                      .y = reals(y),
                      .dy = reals(dy),
                      .to = reals(dx[0])});
}
static const Op op_cumprod = {.name = "cumprod",
                              .inputs = "x",
                              .doc = "The running products along an axis: y_k = x_1 * ... * x_k.",
                              .save = SAVE_IN0 | SAVE_OUT,
                              PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                              .shape = scan_shape,
                              .forward = cumprod_forward,
                              .backward = cumprod_backward};

/* ---- prod: y = x_1 .. x_n,   dx_k = dy times the product of the others, also of zeros ---- */

static bool prod_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  axis_reduce(&c->in[0]->shape, c->integer[AXIS], c->integer[KEEPDIM], out);
  return true;
}

/* Items: lines. */
static void prod_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Scan *s = context;
  (void)thread;
  for (int64_t line = begin; line < end; line++) {
    const real *x = s->x + line / s->v.inner * s->v.n * s->v.inner + line % s->v.inner;
    double product = 1;
    for (int64_t k = 0; k < s->v.n; k++) product *= (double)x[k * s->v.inner];
    s->to[line] = (real)product;
  }
}

static bool prod_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  Scan s = {
      .v = axis_view(&c->in[0]->shape, c->integer[AXIS]), .x = reals(c->in[0]), .to = reals(y)};
  parallel_for(s.v.outer * s.v.inner, SCAN_GRAIN / (s.v.n + 1) + 1, prod_chunk, &s);
  return true;
}

/* dx_k gets the product of what stands before it, then times that of what stands behind. */
static void prod_lines(const Scan *s, int64_t at, int64_t count) {
  for (int64_t i = at; i < at + count; i++) {
    double product = (double)s->dy[i / (s->v.n * s->v.inner) * s->v.inner + i % s->v.inner];
    for (int64_t k = 0; k < s->v.n; k++) {
      s->to[i + k * s->v.inner] = (real)product;
      product *= (double)s->x[i + k * s->v.inner];
    }
    product = 1;
    for (int64_t k = s->v.n - 1; k >= 0; k--) {
      s->to[i + k * s->v.inner] *= (real)product;
      product *= (double)s->x[i + k * s->v.inner];
    }
  }
}
static bool prod_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y, (void)e;
  if (dx[0]->numel == 0) return true; /* its lines have no length */
  return scan(&(Scan){.v = axis_view(&c->in[0]->shape, c->integer[AXIS]),
                      .kernel = prod_lines,
                      .x = reals(c->in[0]),
                      .dy = reals(dy),
                      .to = reals(dx[0])});
}
static const Op op_prod = {
    .name = "prod",
    .inputs = "x",
    .doc = "The product of all elements, or along an axis.",
    .save = SAVE_IN0,
    PARAMS({"axis", PARAM_AXIS, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = prod_shape,
    .forward = prod_forward,
    .backward = prod_backward};

const Op *const ISA_NAME(ops_scan)[] = {&op_cumsum, &op_cumprod, &op_prod, NULL};
