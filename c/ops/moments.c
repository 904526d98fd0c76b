/* Floor 3: variance, standard deviation and norms over axes: sums of squares, of the differences to
 * the mean or of the elements, and of other powers. In double precision, so that neither numbers
 * far from zero lose their spread, nor the squares of large or small ones overflow or vanish. */
#include "ops/broadcast.h"
#include "base/parallel.h"
#include "simd/rows.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS_GRAIN = 16384 /* elements of a parallel chunk, about */ };

/* What is known of each element of the output. */
typedef struct Moments {
  BroadcastPlan plan; /* of the input, over the output */
  const real *x;
  double *mean, *first, *second; /* mean; sums of the differences to it, and of their squares */
} Moments;

/* *first += sum (x - mean), *second += sum (x - mean)^2 */
static void row_moments(const real *x, int64_t n, double mean, double *first, double *second) {
  VecWide a = {0}, b = {0}, c = {0}, d = {0};
  double sum = 0, squares = 0;
  int64_t i = 0;
  for (; i + 2 * WIDE_LANES <= n; i += 2 * WIDE_LANES) {
    VecWide u = vec_load_wide(x + i) - mean, v = vec_load_wide(x + i + WIDE_LANES) - mean;
    a += u;
    b += v;
    c += u * u;
    d += v * v;
  }
  for (; i < n; i++) {
    double u = (double)x[i] - mean;
    sum += u;
    squares += u * u;
  }
  *first += sum + vec_sum_wide(a + b);
  *second += squares + vec_sum_wide(c + d);
}

/* One row of the plan: into one element of the output, or side by side into many. */
static void mean_row(const Moments *m, int64_t r) {
  int64_t at[BROADCAST_INPUTS], n = m->plan.row;
  broadcast_offsets(&m->plan, r, at);
  const real *x = m->x + r * n;
  double *mean = m->mean + at[0];
  if (m->plan.stride[0][m->plan.dims - 1] == 0) *mean += row_sum(x, n);
  else
    for (int64_t i = 0; i < n; i++) mean[i] += (double)x[i];
}

static void square_row(const Moments *m, int64_t r) {
  int64_t at[BROADCAST_INPUTS], n = m->plan.row;
  broadcast_offsets(&m->plan, r, at);
  const real *x = m->x + r * n;
  double *restrict first = m->first + at[0], *restrict second = m->second + at[0];
  const double *mean = m->mean + at[0];
  if (m->plan.stride[0][m->plan.dims - 1] == 0) row_moments(x, n, *mean, first, second);
  else
    for (int64_t i = 0; i < n; i++) {
      double d = (double)x[i] - mean[i];
      first[i] += d;
      second[i] += d * d;
    }
}

typedef struct Rows {
  const Moments *m;
  void (*row)(const Moments *m, int64_t r);
} Rows;

static void rows_body(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Rows *rows = context;
  for (int64_t r = begin; r < end; r++) rows->row(rows->m, r);
}

/* All rows: on the threads where each has an element of the output for itself. */
static void each_row(const Moments *m, void (*row)(const Moments *m, int64_t r)) {
  const BroadcastPlan *p = &m->plan;
  Rows rows = {m, row};
  bool apart = p->dims == 2 && p->stride[0][0] == 1 && p->stride[0][1] == 0;
  parallel_for(p->rows, apart ? ROWS_GRAIN / (p->row + 1) + 1 : p->rows, rows_body, &rows);
}

/* Fills m for an output of `count` elements, its arrays zero. Two passes: the second sums make good
 * what the mean lacks (Chan, Golub and LeVeque, 1983). */
static void find_moments(Moments *m, const Call *c, int64_t count, bool centred) {
  const Shape kept = axes_kept(c), *shape[] = {&kept};
  double n = axes_terms(c);
  broadcast_plan(&m->plan, &c->in[0]->shape, shape, 1);
  m->x = reals(c->in[0]);
  bool any = c->in[0]->numel > 0;
  if (any && centred) each_row(m, mean_row);
  for (int64_t k = 0; k < count && centred; k++) m->mean[k] /= n;
  if (any) each_row(m, square_row);
  for (int64_t k = 0; k < count && centred; k++) {
    double left = m->first[k] / n;
    m->mean[k] += left;
    m->second[k] -= left * m->first[k];
    if (m->second[k] < 0) m->second[k] = 0;
  }
}

enum { UNBIASED = 1 + MAX_DIMS, VAR_KEEPDIM, NORM_KEEPDIM = UNBIASED };
enum { CORRECTION = 0, ORDER = 0 }; /* of the numbers */
typedef enum { VAR, STD, NORM } Spread;

/* What the squares are divided by; of no element, or of no more than the correction, 0: NaN or
 * infinity follows. */
static double divisor(const Call *c, Spread what) {
  if (what == NORM) return 1;
  double n = axes_terms(c) - (c->integer[UNBIASED] ? c->number[CORRECTION] : 0);
  return n > 0 ? n : 0;
}

/* The means, which backward needs, as two reals each: together they have all digits. */
static bool keep_means(Call *c, const double *mean, int64_t count, Error *e) {
  Shape kept = axes_kept(c);
  for (int i = 0; i < 2; i++)
    if (!(c->extra[i] = tensor_new(DTYPE_REAL, &kept, e))) return false;
  for (int64_t k = 0; k < count; k++) {
    real high = (real)mean[k];
    reals(c->extra[0])[k] = high;
    reals(c->extra[1])[k] = (real)(mean[k] - (double)high);
  }
  return true;
}

static bool is_power_norm(const Call *c, Spread what) {
  return what == NORM && c->number[ORDER] != 2;
}

static bool spread_forward(Call *c, Tensor *y, Spread what, Error *e) {
  int64_t count = y->numel;
  double *space = calloc((size_t)(3 * count) + 1, sizeof *space), by = divisor(c, what);
  if (!space) return error_set(e, "out of memory");
  Moments m = {.mean = space, .first = space + count, .second = space + 2 * count};
  find_moments(&m, c, count, what != NORM);
  for (int64_t k = 0; k < count; k++) {
    double v = m.second[k] / by;
    reals(y)[k] = (real)(what == VAR ? v : sqrt(v));
  }
  bool ok = what == NORM || !c->record || keep_means(c, m.mean, count, e);
  free(space);
  return ok;
}

/* x - mean, the mean in two parts */
static void centre_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  const real *x = in[0], *high = in[1], *low = in[2];
  for (int64_t i = 0; i < n; i++) y[i] = (x[step[0] * i] - high[step[1] * i]) - low[step[2] * i];
}
static void scale_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = in[0][step[0] * i] * in[1][step[1] * i];
}
/* g x / y; y is 0 only where all of the x are */
static void share_row(real *out, const real *const *in, const int64_t *step, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    real x = in[0][step[0] * i], y = in[1][step[1] * i], g = in[2][step[2] * i];
    out[i] = y == 0 ? 0 : x / y * g;
  }
}

static bool spread_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *dx,
                            Spread what, Error *e) {
  const Tensor *x = c->in[0];
  Shape kept = axes_kept(c);
  Tensor *g = tensor_new(DTYPE_REAL, &kept, e),
         *out = g ? tensor_view(y ? y : g, &kept, 0, e) : NULL;
  if (!out) {
    tensor_release(g);
    return false;
  }
  double scale = (what == VAR ? 2 : 1) / divisor(c, what);
  for (int64_t k = 0; k < g->numel; k++) reals(g)[k] = (real)(scale * (double)reals(dy)[k]);
  if (what != NORM) {
    const Tensor *in[] = {x, c->extra[0], c->extra[1]};
    broadcast_apply(dx, in, 3, centre_row);
    x = dx;
  }
  const Tensor *scaled[] = {x, g}, *shared[] = {x, out, g};
  if (what == VAR) broadcast_apply(dx, scaled, 2, scale_row);
  else broadcast_apply(dx, shared, 3, share_row);
  tensor_release(g);
  tensor_release(out);
  return true;
}

/* ---- norms of another order than 2 ---- */

typedef struct Powers {
  BroadcastPlan plan; /* of the input, over the output */
  double p;
  const real *x, *y, *dy;
  double *sum; /* of each element of the output: of the powers, or the extreme, or of the ties */
  real *dx;
} Powers;

/* sum of |x|^p, or what takes its place: the number of x that are not 0, the largest, the smallest
 */
static inline double power_add(double sum, double a, double p) {
  if (p == INFINITY) return a > sum || a != a ? a : sum;
  if (p == -INFINITY) return a < sum || a != a ? a : sum;
  return sum + (p == 0 ? a != 0 : p == 1 ? a : pow(a, p));
}
static void power_row(const Powers *s, int64_t r) {
  int64_t at[BROADCAST_INPUTS], n = s->plan.row, step = s->plan.stride[0][s->plan.dims - 1];
  broadcast_offsets(&s->plan, r, at);
  for (int64_t i = 0; i < n; i++) {
    double *sum = s->sum + at[0] + step * i;
    *sum = power_add(*sum, fabs((double)s->x[r * n + i]), s->p);
  }
}

/* An extreme element shares the gradient with those that are as large. */
static inline bool is_tie(real x, real y) {
  return fabs((double)x) == (double)y || (x != x && y != y);
}
static void ties_row(const Powers *s, int64_t r) {
  int64_t at[BROADCAST_INPUTS], n = s->plan.row, step = s->plan.stride[0][s->plan.dims - 1];
  broadcast_offsets(&s->plan, r, at);
  for (int64_t i = 0; i < n; i++)
    s->sum[at[0] + step * i] += is_tie(s->x[r * n + i], s->y[at[0] + step * i]);
}

/* dy/dx = sign(x) (|x| / y)^(p-1), 0 at 0; of an extreme sign(x) / ties */
static inline double power_slope(real x, real y, double p, double ties) {
  double sign = x > 0 ? 1 : x < 0 ? -1 : (double)x;
  if (isinf(p)) return is_tie(x, y) ? sign / ties : 0;
  if (p == 0 || x == 0 || y == 0) return 0;
  return p == 1 ? sign : sign * pow(fabs((double)x) / (double)y, p - 1);
}
static void power_gradient_row(const Powers *s, int64_t r) {
  int64_t at[BROADCAST_INPUTS], n = s->plan.row, step = s->plan.stride[0][s->plan.dims - 1];
  broadcast_offsets(&s->plan, r, at);
  for (int64_t i = 0; i < n; i++) {
    int64_t k = at[0] + step * i;
    double slope = power_slope(s->x[r * n + i], s->y[k], s->p, s->sum[k]);
    s->dx[r * n + i] = (real)((double)s->dy[k] * slope);
  }
}

/* The space for sums, all at `start`; the caller frees it. */
static bool powers_begin(Powers *s, const Call *c, int64_t count, double start, Error *e) {
  const Shape kept = axes_kept(c), *shape[] = {&kept};
  broadcast_plan(&s->plan, &c->in[0]->shape, shape, 1);
  s->p = c->number[ORDER];
  s->x = reals(c->in[0]);
  s->sum = malloc((size_t)(count + 1) * sizeof *s->sum);
  for (int64_t k = 0; s->sum && k < count; k++) s->sum[k] = start;
  return s->sum || error_set(e, "out of memory");
}
static bool power_norm_forward(Call *c, Tensor *y, Error *e) {
  Powers s = {0};
  double p = c->number[ORDER];
  if (!powers_begin(&s, c, y->numel, p == -INFINITY ? INFINITY : 0, e)) return false;
  for (int64_t r = 0; c->in[0]->numel > 0 && r < s.plan.rows; r++) power_row(&s, r);
  for (int64_t k = 0; k < y->numel; k++)
    reals(y)[k] = (real)(isinf(p) || p == 0 || p == 1 ? s.sum[k] : pow(s.sum[k], 1 / p));
  free(s.sum);
  return true;
}
static bool power_norm_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *dx,
                                Error *e) {
  Powers s = {.y = reals(y), .dy = reals(dy), .dx = reals(dx)};
  if (!powers_begin(&s, c, y->numel, 0, e)) return false;
  int64_t rows = dx->numel > 0 ? s.plan.rows : 0;
  for (int64_t r = 0; r < rows && isinf(s.p); r++) ties_row(&s, r);
  for (int64_t r = 0; r < rows; r++) power_gradient_row(&s, r);
  free(s.sum);
  return true;
}

static bool var_shape(const Call *c, Shape *out, Error *e) {
  double correction = c->number[CORRECTION];
  if (!isfinite(correction))
    return error_set(e, "correction: expected a finite number, got %g", correction);
  if (!c->integer[UNBIASED] && correction != 1)
    return error_set(e, "correction: %g is given, and unbiased = false, which is correction = 0",
                     correction);
  return axes_shape(c, c->integer[VAR_KEEPDIM], out, e);
}
static bool norm_shape(const Call *c, Shape *out, Error *e) {
  if (isnan(c->number[ORDER])) return error_set(e, "p: expected a number, got nan");
  if (isinf(c->number[ORDER]) && axes_terms(c) == 0)
    return error_set(e, "x: expected at least one element for a norm of the order %g",
                     c->number[ORDER]);
  return axes_shape(c, c->integer[NORM_KEEPDIM], out, e);
}

#define SPREAD(NAME, WHAT, SHAPE, SAVE, DOC, ...)                                                  \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    return is_power_norm(c, WHAT) ? power_norm_forward(c, y, e) : spread_forward(c, y, WHAT, e);   \
  }                                                                                                \
  static bool NAME##_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, \
                              Error *e) {                                                          \
    return is_power_norm(c, WHAT) ? power_norm_backward(c, y, dy, dx[0], e)                        \
                                  : spread_backward(c, y, dy, dx[0], WHAT, e);                     \
  }                                                                                                \
  static const Op op_##NAME = {.name = #NAME,                                                      \
                               .inputs = "x",                                                      \
                               .doc = DOC,                                                         \
                               .save = SAVE_IN0 | SAVE,                                            \
                               PARAMS(__VA_ARGS__),                                                \
                               .shape = SHAPE,                                                     \
                               .forward = NAME##_forward,                                          \
                               .backward = NAME##_backward};

#define AXIS                                                                                       \
  { "axis", PARAM_AXES, false, 0, NULL }
#define UNLESS_BIASED                                                                              \
  { "unbiased", PARAM_BOOL, false, 1, NULL }
#define CORRECTED                                                                                  \
  { "correction", PARAM_NUMBER, false, 1, NULL }
#define KEEPDIM                                                                                    \
  { "keepdim", PARAM_BOOL, false, 0, NULL }

/* variance: y = sum (x - m)^2 / k, m the mean, k = n - 1 or n,   dx = dy 2 (x - m) / k */
SPREAD(
    var, VAR, var_shape, SAVE_NONE,
    "The variance over all elements, one axis or a list of axes: divided by n - 1, by n with the "
    "option unbiased = false, by n - correction in general; keepdim = true leaves the axes with "
    "size 1.",
    AXIS, UNLESS_BIASED, KEEPDIM, CORRECTED)

/* standard deviation: y = sqrt(var),   dx = dy (x - m) / (k y), 0 at 0 */
SPREAD(std, STD, var_shape, SAVE_OUT,
       "The square root of var, which takes the same options; its gradient at 0 is 0.", AXIS,
       UNLESS_BIASED, KEEPDIM, CORRECTED)

/* norm: y = (sum |x|^p)^(1/p), of p = 2 sqrt(sum x^2),   dx = dy sign(x) (|x| / y)^(p-1), 0 at 0 */
SPREAD(
    norm, NORM, norm_shape, SAVE_OUT,
    "The norm over all elements, one axis or a list of axes: Euclidean, or of the order p: the "
    "p-th "
    "root of the sum of |x|^p; the largest |x| of math.huge, the smallest of -math.huge, of 0 the "
    "number of elements that are not 0. Its gradient at 0 is 0.",
    AXIS, KEEPDIM, {"p", PARAM_NUMBER, false, 2, NULL})

const Op *const ISA_NAME(ops_moments)[] = {&op_var, &op_std, &op_norm, NULL};
