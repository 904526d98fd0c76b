/* Floor 3: layer_norm, over the last axis or the last axes, each row for itself; its statistics are
 * made as those of batch_norm.c. */
#include "ops/families.h"
#include "ops/norm.h"

/* layer_norm, m and v the mean and variance of a row, r = 1 / sqrt(v + eps), h = (x - m) r:
 *   y = h w + b,   dx = r (g - mean(g) - h mean(g h)) with g = dy w,   dw = sum dy h,   db = sum dy
 */

/* How many of the last axes are one row: those of the weight, of the bias, or of the shape given.
 */
static int row_dims(const Call *c) {
  for (int i = 1; i < 3; i++)
    if (c->in[i]) return c->in[i]->shape.dims;
  return c->integer[0] > 0 ? (int)c->integer[0] : 1;
}
static int64_t row_size(const Call *c) {
  const Shape *x = &c->in[0]->shape;
  int64_t n = 1;
  for (int d = x->dims - row_dims(c); d < x->dims; d++) n *= x->size[d];
  return n;
}

/* x, and whatever is given of weight, bias and shape, which must be the sizes of its last axes */
static bool layer_norm_shape(const Call *c, Shape *out, Error *e) {
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT], wanted[SHAPE_TEXT];
  int dims = row_dims(c);
  Shape row = {.dims = dims};
  for (int d = 0; d < dims && dims <= x->dims; d++) row.size[d] = x->size[x->dims - dims + d];
  if (x->dims < 1 || dims < 1 || dims > x->dims || shape_numel(&row) < 1)
    return error_set(e, "x: expected %d axes or more, of at least one element, got %s",
                     dims < 1 ? 1 : dims, shape_text(x, text));
  Shape given = {.dims = (int)c->integer[0]};
  for (int d = 0; d < given.dims; d++) given.size[d] = c->integer[1 + d];
  for (int i = 1; i < 4; i++) {
    const Shape *s = i == 3 ? given.dims > 0 ? &given : NULL : c->in[i] ? &c->in[i]->shape : NULL;
    if (s && !shape_equal(s, &row))
      return error_set(e, "%s: expected %s, got %s", i == 3 ? "normalized_shape" : input_name[i],
                       shape_text(&row, wanted), shape_text(s, text));
  }
  *out = *x;
  return check_eps(c, e);
}

/* The elements of weight or bias; of an absent one, n of the value, in a tensor to be released. */
static const real *given_or(const Tensor *t, int64_t n, real value, Tensor **made, Error *e) {
  if (t) return reals(t);
  if (!(*made = vector_new(n, e))) return NULL;
  for (int64_t i = 0; i < n; i++) reals(*made)[i] = value;
  return reals(*made);
}

enum {
  NORM_CHUNK = 1 << 14,
  NORM_ROWS = 1024 /* elements and rows of a parallel chunk, at most */
};

typedef struct LayerNorm {
  int64_t n, grain;
  double eps;
  const real *x, *dy, *weight, *bias;
  real *out;
  real *mean, *mean_rest, *inverse; /* (rows), or NULL */
  double *partial_dw, *partial_db;  /* (chunks, n) */
} LayerNorm;

/* The sums along a row of x - near and its square. */
static void row_differences(const real *x, int64_t n, real near, double *sum, double *squares) {
  Vec s[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
  Vec q[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
  int64_t i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) VEC_UNROLL for (int k = 0; k < 4; k++) {
      Vec d = vec_load(x + i + k * LANES) - near;
      s[k] += d;
      q[k] += d * d;
    }
  for (; i < n; i += LANES) {
    int left = n - i < LANES ? (int)(n - i) : LANES;
    Vec d = vec_select(vec_mask_first(left), vec_load_part(x + i, left) - near, vec_zero());
    s[0] += d;
    q[0] += d * d;
  }
  *sum = (double)vec_sum((s[0] + s[1]) + (s[2] + s[3]));
  *squares = (double)vec_sum((q[0] + q[1]) + (q[2] + q[3]));
}

/* The moments of a row: about its first element, and where that turns out to be much further from
 * the mean than the others are, so that the variance would be a difference of like numbers, once
 * more about the mean. */
static Moments row_moments(const real *x, int64_t n, double share) {
  double sum, squares;
  row_differences(x, n, x[0], &sum, &squares);
  Moments m = moments_of(x[0], sum, squares, share);
  if (sum * share * sum > 0.75 * squares) {
    real near = (real)m.mean;
    row_differences(x, n, near, &sum, &squares);
    m = moments_of(near, sum, squares, share);
  }
  return isfinite(m.variance) ? m : moments_plain(x, n, 1);
}

/* Sums along a row: of g = dy w, and of g (x - m). */
static void row_products(const LayerNorm *l, const real *x, const real *dy, real m, double *sum,
                         double *product) {
  Vec s[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
  Vec p[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
  int64_t i = 0;
  for (; i + 4 * LANES <= l->n; i += 4 * LANES) VEC_UNROLL for (int k = 0; k < 4; k++) {
      int64_t at = i + k * LANES;
      Vec g = vec_load(dy + at) * vec_load(l->weight + at);
      s[k] += g;
      p[k] += g * (vec_load(x + at) - m);
    }
  for (; i < l->n; i += LANES) {
    int left = l->n - i < LANES ? (int)(l->n - i) : LANES;
    Vec g = vec_load_part(dy + i, left) * vec_load_part(l->weight + i, left);
    s[0] += g;
    p[0] += g * vec_select(vec_mask_first(left), vec_load_part(x + i, left) - m, vec_zero());
  }
  *sum = (double)vec_sum((s[0] + s[1]) + (s[2] + s[3]));
  *product = (double)vec_sum((p[0] + p[1]) + (p[2] + p[3]));
}

static void layer_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LayerNorm *l = context;
  double share = 1 / (double)l->n;
  for (int64_t row = begin; row < end; row++) {
    const real *x = l->x + row * l->n;
    real *y = l->out + row * l->n;
    Moments moments = row_moments(x, l->n, share);
    real m = (real)moments.mean, rest = (real)(moments.mean - (double)m);
    real r = inverse_spread(moments.variance, l->eps), shift = -rest * r;
    for (int64_t i = 0; i < l->n; i++) y[i] = ((x[i] - m) * r + shift) * l->weight[i] + l->bias[i];
    if (!l->mean) continue;
    l->mean[row] = m;
    l->mean_rest[row] = rest;
    l->inverse[row] = r;
  }
}

static bool layer_norm_forward(Call *c, Tensor *y, Error *e) {
  int64_t n = row_size(c), rows = y->numel / n;
  Tensor *ones = NULL, *zeros = NULL;
  LayerNorm l = {.n = n,
                 .grain = n >= NORM_CHUNK ? 1 : NORM_CHUNK / n,
                 .eps = c->number[0],
                 .x = reals(c->in[0]),
                 .weight = given_or(c->in[1], n, 1, &ones, e),
                 .bias = given_or(c->in[2], n, 0, &zeros, e),
                 .out = reals(y)};
  bool ok = l.weight && l.bias;
  for (int k = 0; k < 3 && ok && c->record; k++) ok = (c->extra[k] = vector_new(rows, e)) != NULL;
  if (ok && c->record) {
    l.mean = reals(c->extra[0]);
    l.mean_rest = reals(c->extra[1]);
    l.inverse = reals(c->extra[2]);
  }
  if (ok) parallel_for(rows, l.grain, layer_rows, &l);
  tensor_release(ones);
  tensor_release(zeros);
  return ok;
}

static void layer_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {
  const LayerNorm *l = context;
  int64_t n = l->n, at = begin / l->grain * n;
  double share = 1 / (double)n;
  real *restrict dw = parallel_scratch(thread), *restrict db = dw + n;
  memset(dw, 0, (size_t)(2 * n) * sizeof(real));
  for (int64_t row = begin; row < end; row++) {
    const real *x = l->x + row * n, *dy = l->dy + row * n;
    real m = l->mean[row], rest = l->mean_rest[row], r = l->inverse[row], shift = -rest * r;
    for (int64_t i = 0; i < n; i++) {
      dw[i] += dy[i] * ((x[i] - m) * r + shift);
      db[i] += dy[i];
    }
    if (!l->out) continue;
    real *dx = l->out + row * n;
    double sum, products;
    row_products(l, x, dy, m, &sum, &products);
    products = (products - (double)rest * sum) * share * (double)r * (double)r;
    real product = (real)products, gradient = (real)(sum * share - (double)rest * products);
    for (int64_t i = 0; i < n; i++)
      dx[i] = r * (dy[i] * l->weight[i] - gradient - (x[i] - m) * product);
  }
  for (int64_t i = 0; i < n; i++) {
    l->partial_dw[at + i] = (double)dw[i];
    l->partial_db[at + i] = (double)db[i];
  }
}

/* `space` holds the partial sums of the chunks. */
static void layer_gradient(LayerNorm *l, int64_t rows, int64_t chunks, Tensor *space,
                           Tensor *const *dx) {
  l->partial_dw = space->data;
  l->partial_db = l->partial_dw + chunks * l->n;
  parallel_for(rows, l->grain, layer_gradient_rows, l);
  Channels total = {.channels = l->n, .chunks = chunks};
  if (dx[1]) channels_total(&total, l->partial_dw, reals(dx[1]));
  if (dx[2]) channels_total(&total, l->partial_db, reals(dx[2]));
}

static bool layer_norm_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                                Error *e) {
  (void)y;
  int64_t n = row_size(c), rows = dy->numel / n;
  int64_t grain = n >= NORM_CHUNK ? 1 : NORM_CHUNK / n;
  Tensor *ones = NULL;
  LayerNorm l = {.n = n,
                 .grain = grain < NORM_ROWS ? grain : NORM_ROWS,
                 .x = reals(c->in[0]),
                 .dy = reals(dy),
                 .weight = given_or(c->in[1], n, 1, &ones, e),
                 .out = dx[0] ? reals(dx[0]) : NULL,
                 .mean = reals(c->extra[0]),
                 .mean_rest = reals(c->extra[1]),
                 .inverse = reals(c->extra[2])};
  int64_t chunks = (rows + l.grain - 1) / l.grain;
  Tensor *space = l.weight ? channels_space(2 * chunks * n, e) : NULL;
  bool ok =
      space && (parallel_reserve(2 * n * (int64_t)sizeof(real)) || error_set(e, "out of memory"));
  if (ok) layer_gradient(&l, rows, chunks, space, dx);
  tensor_release(ones);
  tensor_release(space);
  return ok;
}

static const Op op_layer_norm = {
    .name = "layer_norm",
    .inputs = "x weight? bias?",
    .doc =
        "(x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the biased variance "
        "along the last axis, or along as many of the last axes as weight and bias have; where "
        "they "
        "are left out, as normalized_shape has.",
    .save = SAVE_IN0 | SAVE_IN1,
    PARAMS({"eps", PARAM_NUMBER, false, 1e-5, NULL},
           {"normalized_shape", PARAM_INTS, false, 0, NULL}),
    .shape = layer_norm_shape,
    .forward = layer_norm_forward,
    .backward = layer_norm_backward};

const Op *const ISA_NAME(ops_norm)[] = {&op_layer_norm, NULL};
