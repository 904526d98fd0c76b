/* Floor 3: softmax and its relatives along one axis (or over all elements). The largest element is
 * subtracted first, so that nothing overflows. */
#include "simd/isa.h"
#include "base/parallel.h"
#include "simd/math.h"
#include "simd/rows.h"
#include "ops/axis.h"
#include "ops/families.h"

enum { AXIS, KEEPDIM };
/* Elements of a parallel chunk, and of a piece of a line where elements do not wait for others. */
enum { LINES_GRAIN = 4096, PIECE = 4096 };

static bool same_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  *out = c->in[0]->shape;
  return true;
}

static bool reduced_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  axis_reduce(&c->in[0]->shape, c->integer[AXIS], c->integer[KEEPDIM], out);
  return true;
}

/* One line of numbers along the axis, `step` apart. */
typedef void Line(const real *x, const real *dy, real *out, int64_t n, int64_t step);

typedef struct Lines {
  AxisView v;
  const real *x, *dy;
  real *out;
  Line *line;
} Lines;

static void lines_body(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Lines *l = context;
  for (int64_t k = begin; k < end; k++) {
    int64_t at = k / l->v.inner * l->v.n * l->v.inner + k % l->v.inner;
    l->line(l->x + at, l->dy ? l->dy + at : NULL, l->out + at, l->v.n, l->v.inner);
  }
}

static bool run(const Call *c, const Tensor *x, const Tensor *dy, Tensor *out, Line *line) {
  Lines l = {axis_view(&c->in[0]->shape, c->integer[AXIS]), reals(x), dy ? reals(dy) : NULL,
             reals(out), line};
  int64_t lines = l.v.outer * l.v.inner;
  parallel_for(lines, 1 + LINES_GRAIN / (l.v.n + 1), lines_body, &l);
  return true;
}

static real largest(const real *x, int64_t n, int64_t step) {
  bool nan;
  if (step == 1) return row_largest(x, n, 1, &nan);
  real m = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    if (x[i * step] > m) m = x[i * step];
  }
  return m;
}

static real sum(const real *x, int64_t n, int64_t step) {
  if (step == 1) return (real)row_sum(x, n);
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += (double)x[i * step];
  return (real)s;
}

/* y = e^(x - shift); y may be x. The loop of neighbours is apart because it becomes vectors. */
static void exponentials(const real *x, real shift, real *y, int64_t n, int64_t step) {
  if (step == 1) {
    EACH_ALONE for (int64_t i = 0; i < n; i++) y[i] = real_exp(x[i] - shift);
  } else {
    for (int64_t i = 0; i < n; i++) y[i * step] = real_exp(x[i * step] - shift);
  }
}

/* sum e^(x - shift); NaN where an x is */
static double exponential_sum(const real *x, real shift, int64_t n, int64_t step) {
  enum { PART = 256 };
  real part[PART];
  double total = 0;
  for (int64_t i = 0; i < n; i += PART) {
    int64_t count = n - i < PART ? n - i : PART;
    for (int64_t k = 0; k < count; k++) part[k] = x[(i + k) * step];
    exponentials(part, shift, part, count, 1);
    total += row_sum(part, count);
  }
  return total;
}

/* softmax: y = e^x / sum e^x,   dx = y (dy - sum(y dy)) */
static void softmax_line(const real *x, const real *dy, real *y, int64_t n, int64_t step) {
  (void)dy;
  exponentials(x, largest(x, n, step), y, n, step);
  real total = sum(y, n, step);
  EACH_ALONE for (int64_t i = 0; i < n; i++) y[i * step] /= total;
}
static void softmax_gradient_line(const real *y, const real *dy, real *dx, int64_t n,
                                  int64_t step) {
  real dot = 0;
  if (step == 1) dot = row_dot(y, dy, n);
  else
    for (int64_t i = 0; i < n; i++) dot += y[i * step] * dy[i * step];
  EACH_ALONE for (int64_t i = 0; i < n; i++) dx[i * step] = y[i * step] * (dy[i * step] - dot);
}
static bool softmax_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return run(c, c->in[0], NULL, y, softmax_line);
}
static bool softmax_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)e;
  return run(c, y, dy, dx[0], softmax_gradient_line);
}
static const Op op_softmax = {.name = "softmax",
                              .inputs = "x",
                              .doc = "e^x divided by its sum along the axis.",
                              .save = SAVE_OUT,
                              PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                              .shape = same_shape,
                              .forward = softmax_forward,
                              .backward = softmax_backward};

/* log softmax: y = (x - m) - log sum e^(x - m), m the largest,   dx = dy - e^y sum(dy)
 * The differences to m are small where the result is; x - log sum e^x would round at the size of x.
 */
static void log_softmax_line(const real *x, const real *dy, real *y, int64_t n, int64_t step) {
  (void)dy;
  real m = largest(x, n, step), rest = real_log((real)exponential_sum(x, m, n, step));
  EACH_ALONE for (int64_t i = 0; i < n; i++) y[i * step] = (x[i * step] - m) - rest;
}
static void log_softmax_gradient_line(const real *y, const real *dy, real *dx, int64_t n,
                                      int64_t step) {
  real total = sum(dy, n, step);
  exponentials(y, 0, dx, n, step);
  EACH_ALONE for (int64_t i = 0; i < n; i++) dx[i * step] = dy[i * step] - dx[i * step] * total;
}
static bool log_softmax_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  return run(c, c->in[0], NULL, y, log_softmax_line);
}
static bool log_softmax_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                 Tensor *const *dx, Error *e) {
  (void)e;
  return run(c, y, dy, dx[0], log_softmax_gradient_line);
}
static const Op op_log_softmax = {.name = "log_softmax",
                                  .inputs = "x",
                                  .doc = "The logarithm of softmax, without its rounding.",
                                  .save = SAVE_OUT,
                                  PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                                  .shape = same_shape,
                                  .forward = log_softmax_forward,
                                  .backward = log_softmax_backward};

/* log-sum-exp: y = m + log sum e^(x - m), m the largest,   dx = dy e^((x - m) - log sum e^(x - m))
 * Infinite numbers need no shift: e^x is then infinite, 0 or NaN, as the result is. The gradient
 * takes both parts of y, which together have more digits than y. */
typedef struct SumLines {
  AxisView v;
  const real *x, *dy;
  real *part, *out; /* part: the two parts of each y, NULL where backward will not ask for them */
} SumLines;

static const real *sum_line(const SumLines *s, int64_t k) {
  return s->x + k / s->v.inner * s->v.n * s->v.inner + k % s->v.inner;
}

/* Items: lines. */
static void logsumexp_lines(void *context, int64_t begin, int64_t end, int thread) {
  const SumLines *s = context;
  (void)thread;
  for (int64_t k = begin; k < end; k++) {
    const real *x = sum_line(s, k);
    real m = largest(x, s->v.n, s->v.inner), shift = isinf(m) ? 0 : m;
    real rest = real_log((real)exponential_sum(x, shift, s->v.n, s->v.inner));
    s->out[k] = shift + rest;
    if (!s->part) continue;
    s->part[2 * k] = m;
    s->part[2 * k + 1] = rest;
  }
}
static bool logsumexp_forward(Call *c, Tensor *y, Error *e) {
  SumLines s = {
      .v = axis_view(&c->in[0]->shape, c->integer[AXIS]), .x = reals(c->in[0]), .out = reals(y)};
  int64_t lines = s.v.outer * s.v.inner;
  Shape parts = {.dims = 2, .size = {lines, 2}};
  if (c->record && !(c->extra[0] = tensor_new(DTYPE_REAL, &parts, e))) return false;
  if (c->record) s.part = reals(c->extra[0]);
  parallel_for(lines, 1 + LINES_GRAIN / (s.v.n + 1), logsumexp_lines, &s);
  return true;
}

/* The gradient of a line whose y is m + rest, times g. */
VEC_INLINE void logsumexp_gradient_line(const real *x, real m, real rest, real g, real *dx,
                                        int64_t n, const int64_t step) {
  EACH_ALONE for (int64_t i = 0; i < n; i++) dx[i * step] = g * real_exp((x[i * step] - m) - rest);
}
/* Items: pieces of lines. */
static void logsumexp_gradients(void *context, int64_t begin, int64_t end, int thread) {
  const SumLines *s = context;
  int64_t pieces = (s->v.n + PIECE - 1) / PIECE;
  (void)thread;
  for (int64_t item = begin; item < end; item++) {
    int64_t k = item / pieces, first = item % pieces * PIECE;
    int64_t n = s->v.n - first < PIECE ? s->v.n - first : PIECE;
    const real *x = sum_line(s, k) + first * s->v.inner, *part = s->part + 2 * k;
    real *to = s->out + (x - s->x), g = s->dy[k];
    if (s->v.inner == 1) logsumexp_gradient_line(x, part[0], part[1], g, to, n, 1);
    else logsumexp_gradient_line(x, part[0], part[1], g, to, n, s->v.inner);
  }
}
static bool logsumexp_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                               Error *e) {
  (void)y, (void)e;
  SumLines s = {.v = axis_view(&c->in[0]->shape, c->integer[AXIS]),
                .x = reals(c->in[0]),
                .dy = reals(dy),
                .part = reals(c->extra[0]),
                .out = reals(dx[0])};
  int64_t pieces = (s.v.n + PIECE - 1) / PIECE, each = s.v.n < PIECE ? s.v.n : PIECE;
  parallel_for(s.v.outer * s.v.inner * pieces, 1 + LINES_GRAIN / (each + 1), logsumexp_gradients,
               &s);
  return true;
}
static const Op op_logsumexp = {
    .name = "logsumexp",
    .inputs = "x",
    .doc = "log(sum(e^x)) over all elements or along the axis, without overflow.",
    .save = SAVE_IN0,
    PARAMS({"axis", PARAM_AXIS, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = reduced_shape,
    .forward = logsumexp_forward,
    .backward = logsumexp_backward};

const Op *const ISA_NAME(ops_softmax)[] = {&op_softmax, &op_log_softmax, &op_logsumexp, NULL};
