/* Floor 3: variance, standard deviation and norm over axes: sums of squares, of the differences to
 * the mean or of the elements. In double precision, so that neither numbers far from zero lose
 * their spread, nor the squares of large or small ones overflow or vanish. */
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
typedef enum { VAR, STD, NORM } Spread;

/* What the squares are divided by; of no element, or a single one without bias, 0: NaN follows. */
static double divisor(const Call *c, Spread what) {
  double n = axes_terms(c) - (c->integer[UNBIASED] ? 1 : 0);
  return what == NORM ? 1 : n > 0 ? n : 0;
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

static bool var_shape(const Call *c, Shape *out, Error *e) {
  return axes_shape(c, c->integer[VAR_KEEPDIM], out, e);
}
static bool norm_shape(const Call *c, Shape *out, Error *e) {
  return axes_shape(c, c->integer[NORM_KEEPDIM], out, e);
}

#define SPREAD(NAME, WHAT, SHAPE, SAVE, DOC, ...)                                                  \
  static bool NAME##_forward(Call *c, Tensor *y, Error *e) {                                       \
    return spread_forward(c, y, WHAT, e);                                                          \
  }                                                                                                \
  static bool NAME##_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx, \
                              Error *e) {                                                          \
    return spread_backward(c, y, dy, dx[0], WHAT, e);                                              \
  }                                                                                                \
  static const Op op_##NAME = {.name = #NAME,                                                      \
                               .inputs = "x",                                                      \
                               .doc = DOC,                                                         \
                               .save = SAVE_IN0 | SAVE,                                            \
                               .params = {__VA_ARGS__},                                            \
                               .shape = SHAPE,                                                     \
                               .forward = NAME##_forward,                                          \
                               .backward = NAME##_backward};

#define AXIS                                                                                       \
  { "axis", PARAM_AXES, false, 0, NULL }
#define UNLESS_BIASED                                                                              \
  { "unbiased", PARAM_BOOL, false, 1, NULL }
#define KEEPDIM                                                                                    \
  { "keepdim", PARAM_BOOL, false, 0, NULL }

/* variance: y = sum (x - m)^2 / k, m the mean, k = n - 1 or n,   dx = dy 2 (x - m) / k */
SPREAD(var, VAR, var_shape, SAVE_NONE,
       "The variance over all elements, one axis or a list of axes: divided by n - 1, or by n with "
       "the option unbiased = false; keepdim = true leaves the axes with size 1.",
       AXIS, UNLESS_BIASED, KEEPDIM)

/* standard deviation: y = sqrt(var),   dx = dy (x - m) / (k y), 0 at 0 */
SPREAD(std, STD, var_shape, SAVE_OUT,
       "The square root of var, which takes the same options; its gradient at 0 is 0.", AXIS,
       UNLESS_BIASED, KEEPDIM)

/* norm: y = sqrt(sum x^2),   dx = dy x / y, 0 at 0 */
SPREAD(norm, NORM, norm_shape, SAVE_OUT,
       "The Euclidean norm over all elements, one axis or a list of axes; its gradient at 0 is 0.",
       AXIS, KEEPDIM)

const Op *const ISA_NAME(ops_moments)[] = {&op_var, &op_std, &op_norm, NULL};
