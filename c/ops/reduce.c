/* Floor 3: sums, means and extremes over axes. */
#include "ops/broadcast.h"
#include "simd/isa.h"
#include "base/parallel.h"
#include "simd/rows.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sum and mean: parameters axis (one or several), keepdim ---- */

enum { SUM_KEEPDIM = 1 + MAX_DIMS };

static bool sum_shape(const Call *c, Shape *out, Error *e) {
  return axes_shape(c, c->integer[SUM_KEEPDIM], out, e);
}

/* Sums of fixed chunks, of which one alone is not worth a parallel one. */
enum { SUM_CHUNK = 4096, SUM_GRAIN = 16 * SUM_CHUNK };

typedef struct SumAll {
  const real *x;
  double *part;
} SumAll;

static void sum_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const SumAll *s = context;
  for (int64_t i = begin; i < end; i += SUM_CHUNK)
    s->part[i / SUM_CHUNK] = row_sum(s->x + i, end - i < SUM_CHUNK ? end - i : SUM_CHUNK);
}

static bool sum_all(const real *x, int64_t n, double *sum, Error *e) {
  int64_t chunks = (n + SUM_CHUNK - 1) / SUM_CHUNK;
  double small[16], *part = small;
  if (chunks > 16 && !(part = malloc((size_t)chunks * sizeof *part)))
    return error_set(e, "out of memory");
  SumAll s = {x, part};
  parallel_for(n, SUM_GRAIN, sum_chunk, &s);
  *sum = 0;
  for (int64_t i = 0; i < chunks; i++) *sum += part[i];
  if (part != small) free(part);
  return true;
}

/* A matrix (rows, columns) summed along one of its axes. */
typedef struct Matrix {
  const real *x;
  int64_t rows, columns;
  real *y;
  double terms; /* the sums are divided by this: 1, or their number for means */
} Matrix;

static void rows_body(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Matrix *m = context;
  for (int64_t r = begin; r < end; r++)
    m->y[r] = (real)(row_sum(m->x + r * m->columns, m->columns) / m->terms);
}

enum { STRIP = 128, BLOCK = 8 };

static double column_sum(const Matrix *m, int64_t column) {
  double sum = 0;
  for (int64_t r = 0; r < m->rows; r++) sum += (double)m->x[r * m->columns + column];
  return sum;
}

/* A strip of columns: blocks of rows are added in the precision of the elements, those sums in
 * double precision, because a bias may gather a million terms. */
static void strip_sums(const Matrix *m, int64_t begin, int64_t end) {
  double sum[STRIP] = {0};
  int64_t n = end - begin;
  for (int64_t r = 0; r < m->rows; r += BLOCK) {
    const real *x = m->x + r * m->columns + begin;
    real block[STRIP];
    int64_t rows = m->rows - r < BLOCK ? m->rows - r : BLOCK, step = m->columns;
    if (rows == BLOCK) {
      for (int64_t i = 0; i < n; i++)
        block[i] = ((x[i] + x[i + step]) + (x[i + 2 * step] + x[i + 3 * step])) +
                   ((x[i + 4 * step] + x[i + 5 * step]) + (x[i + 6 * step] + x[i + 7 * step]));
    } else {
      for (int64_t i = 0; i < n; i++) block[i] = x[i];
      for (int64_t k = 1; k < rows; k++)
        for (int64_t i = 0; i < n; i++) block[i] += x[i + k * step];
    }
    for (int64_t i = 0; i < n; i++) sum[i] += (double)block[i];
  }
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(sum[i])) sum[i] = column_sum(m, begin + i); /* a block may have overflowed */
    m->y[begin + i] = (real)(sum[i] / m->terms);
  }
}

static void columns_body(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  for (int64_t i = begin; i < end; i += STRIP)
    strip_sums(context, i, end - i < STRIP ? end : i + STRIP);
}

/* Sums over the last axes or over the first ones; false where it is neither. */
static bool sum_matrix(const Tensor *x, const Shape *kept, double n, Tensor *y) {
  enum { ROWS_GRAIN = 32768, STRIP_GRAIN = 16384 }; /* elements of a parallel chunk, about */
  BroadcastPlan p;
  broadcast_plan(&p, &x->shape, &kept, 1);
  if (p.dims != 2 || x->numel == 0) return false;
  Matrix m = {reals(x), p.size[0], p.size[1], reals(y), n};
  if (p.stride[0][0] == 1 && p.stride[0][1] == 0)
    parallel_for(m.rows, ROWS_GRAIN / m.columns + 1, rows_body, &m);
  else if (p.stride[0][0] == 0 && p.stride[0][1] == 1)
    parallel_for(m.columns, (STRIP_GRAIN / (STRIP * m.rows) + 1) * STRIP, columns_body, &m);
  else return false;
  return true;
}

/* y = the sums divided by n, in double precision until the last rounding */
static bool divided_sum(const Call *c, double n, Tensor *y, Error *e) {
  const Tensor *x = c->in[0];
  if (y->numel == 1) {
    double sum = 0;
    if (!sum_all(reals(x), x->numel, &sum, e)) return false;
    reals(y)[0] = (real)(sum / n);
    return true;
  }
  Shape kept = axes_kept(c);
  if (sum_matrix(x, &kept, n, y)) return true;
  Tensor *to = tensor_view(y, &kept, 0, e);
  bool ok = to && broadcast_sum(x, to, n, e);
  tensor_release(to);
  return ok;
}

static bool sum_forward(Call *c, Tensor *y, Error *e) { return divided_sum(c, 1, y, e); }

static void scaled_copy_row(real *y, const real *const *in, const int64_t *step, int64_t n) {
  real scale = *in[1];
  for (int64_t i = 0; i < n; i++) y[i] = in[0][step[0] * i] * scale;
}

/* dx = scale * dy, spread back over the reduced axes */
static bool spread(const Call *c, const Tensor *dy, Tensor *dx, double scale, Error *e) {
  Shape kept = axes_kept(c), one = {0};
  Tensor *from = tensor_view(dy, &kept, 0, e),
         *factor = from ? tensor_new(DTYPE_REAL, &one, e) : NULL;
  if (factor) {
    reals(factor)[0] = (real)scale;
    const Tensor *in[] = {from, factor};
    broadcast_apply(dx, in, 2, scaled_copy_row);
  }
  bool ok = factor != NULL;
  tensor_release(from);
  tensor_release(factor);
  return ok;
}

static bool sum_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y;
  return spread(c, dy, dx[0], 1, e);
}

/* sum over axes: dx = dy, repeated */
static const Op op_sum = {
    .name = "sum",
    .inputs = "x",
    .doc = "The sum over all elements, one axis or a list of axes; these are left out of the "
           "shape, or with keepdim = true left with size 1.",
    PARAMS({"axis", PARAM_AXES, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = sum_shape,
    .forward = sum_forward,
    .backward = sum_backward};

static bool mean_forward(Call *c, Tensor *y, Error *e) {
  return divided_sum(c, axes_terms(c), y, e);
}

static bool mean_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y;
  return spread(c, dy, dx[0], 1 / axes_terms(c), e);
}

/* mean over axes of n elements together: dx = dy / n, repeated */
static const Op op_mean = {
    .name = "mean",
    .inputs = "x",
    .doc = "The mean over all elements, one axis or a list of axes; these are left out of the "
           "shape, or with keepdim = true left with size 1.",
    .flags = OP_WIDEN,
    PARAMS({"axis", PARAM_AXES, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),
    .shape = sum_shape,
    .forward = mean_forward,
    .backward = mean_backward};

/* ---- extremes: parameters axis, keepdim ---- */

enum { AXIS, KEEPDIM };

/* The extreme of n neighbours; a NaN wins. */
static real extreme_of(const real *x, int64_t n, bool largest) {
  bool nan;
  real sign = largest ? 1 : -1, most = row_largest(x, n, sign, &nan) * sign;
  return nan ? (real)NAN : most;
}

/* The position of the extreme of n neighbours; the first of equals; a NaN wins. */
static int64_t extreme_at(const real *x, int64_t n, bool largest) {
  int64_t best = 0;
  real most = extreme_of(x, n, largest); /* the value first, in vectors, then its place */
  while (most == most ? x[best] != most : x[best] == x[best]) best++;
  return best;
}

/* Of each line along the axis the value, and the place from `first` on; either may be NULL. */
typedef struct Extremes {
  AxisView v;
  bool largest;
  const real *x;
  real *y;
  int64_t *at, first;
} Extremes;

enum { COLUMNS = 64 };

/* The lines of some neighbouring columns at once. */
static void extreme_columns(const Extremes *s, const real *x, int64_t count, int64_t line) {
  real most[COLUMNS];
  int64_t place[COLUMNS];
  for (int64_t i = 0; i < count; i++) most[i] = x[i], place[i] = 0;
  for (int64_t k = 1; k < s->v.n; k++)
    for (int64_t i = 0; i < count; i++) {
      real v = x[k * s->v.inner + i], b = most[i];
      bool better = (b == b) & ((v != v) | (s->largest ? v > b : v < b));
      most[i] = better ? v : b;
      place[i] = better ? k : place[i];
    }
  for (int64_t i = 0; i < count; i++) {
    if (s->y) s->y[line + i] = most[i];
    if (s->at) s->at[line + i] = s->first + place[i];
  }
}

static void extreme_line(const Extremes *s, const real *x, int64_t line) {
  if (!s->at) {
    s->y[line] = extreme_of(x, s->v.n, s->largest);
    return;
  }
  int64_t best = extreme_at(x, s->v.n, s->largest);
  if (s->y) s->y[line] = x[best];
  s->at[line] = s->first + best;
}

/* Items: lines. */
static void extremes_body(void *context, int64_t begin, int64_t end, int thread) {
  const Extremes *s = context;
  int64_t inner = s->v.inner;
  (void)thread;
  for (int64_t count; begin < end; begin += count) {
    int64_t i = begin % inner;
    const real *x = s->x + begin / inner * s->v.n * inner + i;
    count = inner - i < end - begin ? inner - i : end - begin;
    if (count > COLUMNS) count = COLUMNS;
    if (inner == 1) extreme_line(s, x, begin);
    else extreme_columns(s, x, count, begin);
  }
}

static void extremes(const Call *c, bool largest, real *y, int64_t *at, int64_t first) {
  enum { GRAIN = 1 << 14 }; /* elements */
  Extremes s = {
      axis_view(&c->in[0]->shape, c->integer[AXIS]), largest, reals(c->in[0]), y, at, first};
  int64_t lines = GRAIN / s.v.n + 1;
  if (s.v.inner > 1) lines = (lines + COLUMNS - 1) / COLUMNS * COLUMNS;
  parallel_for(s.v.outer * s.v.inner, lines, extremes_body, &s);
}

static bool extreme_forward(Call *c, Tensor *y, bool largest, Error *e) {
  if (c->record) {
    Shape bytes = {.dims = 1, .size = {y->numel * (int64_t)sizeof(int64_t)}};
    if (!(c->extra[0] = tensor_new(DTYPE_U8, &bytes, e))) return false;
  }
  extremes(c, largest, reals(y), c->record ? c->extra[0]->data : NULL, 0);
  return true;
}

static bool extreme_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y, (void)e;
  AxisView v = axis_view(&c->in[0]->shape, c->integer[AXIS]);
  const int64_t *at = c->extra[0]->data;
  memset(dx[0]->data, 0, (size_t)dx[0]->numel * sizeof(real));
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t i = 0; i < v.inner; i++) {
      int64_t k = o * v.inner + i;
      reals(dx[0])[(o * v.n + at[k]) * v.inner + i] = reals(dy)[k];
    }
  return true;
}

static int64_t extreme_winner(const Call *c, int64_t k) {
  AxisView v = axis_view(&c->in[0]->shape, c->integer[AXIS]);
  const int64_t *at = c->extra[0]->data;
  return (k / v.inner * v.n + at[k]) * v.inner + k % v.inner;
}

static bool max_forward(Call *c, Tensor *y, Error *e) { return extreme_forward(c, y, true, e); }
static bool min_forward(Call *c, Tensor *y, Error *e) { return extreme_forward(c, y, false, e); }

static Dtype places_dtype(const Call *c) {
  (void)c;
  return DTYPE_I64;
}

static bool argmax_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  extremes(c, true, NULL, int64s(y), 1);
  return true;
}
static bool argmin_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  extremes(c, false, NULL, int64s(y), 1);
  return true;
}

#define EXTREME(NAME, DTYPE, BACKWARD, WINNER, DOC)                                                \
  static const Op op_##NAME = {                                                                    \
      .name = #NAME,                                                                               \
      .inputs = "x",                                                                               \
      .doc = DOC,                                                                                  \
      PARAMS({"axis", PARAM_AXIS, false, 0, NULL}, {"keepdim", PARAM_BOOL, false, 0, NULL}),       \
      .shape = axis_extreme_shape,                                                                 \
      .dtype = DTYPE,                                                                              \
      .forward = NAME##_forward,                                                                   \
      .backward = BACKWARD,                                                                        \
      .winner = WINNER};

/* the gradient goes to the first of the extreme elements */
EXTREME(max, NULL, extreme_backward, extreme_winner,
        "The largest element, over all or along an axis.")
EXTREME(min, NULL, extreme_backward, extreme_winner,
        "The smallest element, over all or along an axis.")
EXTREME(argmax, places_dtype, NULL, NULL,
        "The position, counted from 1, of the first largest element, over all (row by row) or "
        "along an axis; i64.")
EXTREME(argmin, places_dtype, NULL, NULL,
        "The position, counted from 1, of the first smallest element, over all (row by row) or "
        "along an axis; i64.")

const Op *const ISA_NAME(ops_reduce)[] = {&op_sum,    &op_mean,   &op_max, &op_min,
                                          &op_argmax, &op_argmin, NULL};
