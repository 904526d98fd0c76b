/* Floor 3: normalisation. batch_norm_train takes its statistics over all axes but the last, each
 * channel for itself; layer_norm over the last axis, each row for itself. Variances are the biased
 * ones. Statistics are made of differences to a number that is near the mean, and a mean is kept in
 * two parts, of which the second is what the first, rounded, lacks: so a small spread about a large
 * mean keeps its digits, and equal numbers have none. */
#include "ops/families.h"

#include "simd/channels.h"
#include "simd/math.h"

static bool check_eps(const Call *c, Error *e) {
  if (c->number[0] >= 0 && c->number[0] < INFINITY) return true;
  return error_set(e, "eps: expected a finite number >= 0, got %g", c->number[0]);
}

static const char *const input_name[] = {"x", "weight", "bias"};

/* x of at least one axis; weight and bias, where given, as long as its last. */
static bool batch_norm_shape(const Call *c, Shape *out, Error *e) {
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (x->dims < 1 || x->size[x->dims - 1] < 1)
    return error_set(e, "x: expected [*, channels], got %s", shape_text(x, text));
  int64_t channels = x->size[x->dims - 1];
  for (int i = 1; i < 3; i++) {
    const Shape *s = c->in[i] ? &c->in[i]->shape : NULL;
    if (s && (s->dims != 1 || s->size[0] != channels))
      return error_set(e, "%s: expected [%lld], got %s", input_name[i], (long long)channels,
                       shape_text(s, text));
  }
  *out = *x;
  return check_eps(c, e);
}

static int64_t last_size(const Tensor *t) { return t->shape.size[t->shape.dims - 1]; }

static Tensor *vector_new(int64_t n, Error *e) {
  Shape s = {1, {n}};
  return tensor_new(DTYPE_REAL, &s, e);
}

/* batch_norm_train, m and v the mean and variance of a channel, r = 1 / sqrt(v + eps):
 *   y = (x - m) r w + b
 *   db = sum dy,   dw = sum dy (x - m) r,   dx = w r (dy - mean(dy) - (x - m) r mean(dy (x - m) r))
 */

/* One pass over the rows of a batch; all channel vectors are repeated through a block. */
typedef struct BatchNorm {
  Channels c;
  const real *x, *dy;
  real *out;
  const real *mean, *scale, *shift, *slope;
  double *partial, *partial_dy; /* (chunks, channels) */
  real *vectors;                /* four of them */
} BatchNorm;

/* Adds the terms of `count` blocks from element `at` on; several at once, because the sums, too
 * many for the registers, come from memory and go back there. */
enum { MANY = 4 };
VEC_INLINE void add_blocks(const BatchNorm *b, int64_t at, const int count, real *sum,
                           real *sum_dy) {
  int64_t width = b->c.vectors * LANES;
  const real *x = b->x + at, *dy = b->dy ? b->dy + at : NULL;
  for (int64_t v = 0; v < width; v += LANES) {
    Vec mean = vec_load(b->mean + v), product = vec_zero(), total = vec_zero();
    VEC_UNROLL for (int k = 0; k < count; k++) {
      Vec d = vec_load(x + k * width + v) - mean, g = dy ? vec_load(dy + k * width + v) : d;
      product += g * d;
      total += g;
    }
    vec_store(sum + v, vec_load(sum + v) + product);
    vec_store(sum_dy + v, vec_load(sum_dy + v) + total);
  }
}

/* partial = sum (x - mean)^2 and sum (x - mean), or with dy: sum dy (x - mean) and sum dy */
static void batch_sums(void *context, int64_t begin, int64_t end, int thread) {
  const BatchNorm *b = context;
  const Channels *c = &b->c;
  int64_t n = c->channels, width = c->vectors * LANES, at = begin / c->chunk * n;
  real *sum = parallel_scratch(thread), *sum_dy = sum + width;
  memset(sum, 0, (size_t)(2 * width) * sizeof(real));
  for (; begin + MANY * c->block <= end; begin += MANY * c->block)
    add_blocks(b, begin * n, MANY, sum, sum_dy);
  for (; begin + c->block <= end; begin += c->block) add_blocks(b, begin * n, 1, sum, sum_dy);
  channels_fold(c, sum, b->partial + at);
  channels_fold(c, sum_dy, b->partial_dy + at);
  for (; begin < end; begin++)
    for (int64_t i = 0; i < n; i++) {
      real d = b->x[begin * n + i] - b->mean[i], g = b->dy ? b->dy[begin * n + i] : d;
      b->partial[at + i] += (double)(g * d);
      b->partial_dy[at + i] += (double)g;
    }
}

/* out = (x - mean) scale + shift, or with dy: dy scale + shift + (x - mean) slope */
static void batch_map(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const BatchNorm *b = context;
  int64_t n = b->c.channels, width = b->c.vectors * LANES;
  for (; begin < end; begin += b->c.block) {
    const real *x = b->x + begin * n, *dy = b->dy ? b->dy + begin * n : NULL;
    real *out = b->out + begin * n;
    int64_t left = (end - begin) * n, v = 0;
    if (left > width) left = width;
    for (; v + LANES <= left; v += LANES) {
      Vec d = vec_load(x + v) - vec_load(b->mean + v);
      Vec scale = vec_load(b->scale + v), shift = vec_load(b->shift + v);
      vec_store(out + v, dy ? vec_load(dy + v) * scale + (d * vec_load(b->slope + v) + shift)
                            : d * scale + shift);
    }
    for (; v < left; v++) {
      real d = x[v] - b->mean[v];
      out[v] = dy ? dy[v] * b->scale[v] + (d * b->slope[v] + b->shift[v])
                  : d * b->scale[v] + b->shift[v];
    }
  }
}

/* Working memory of one call: the partial sums and four repeated channel vectors. */
static Tensor *batch_space(BatchNorm *b, int64_t channels, Error *e) {
  b->c = channels_of(b->c.rows, channels);
  int64_t part = b->c.chunks * channels, width = b->c.vectors * LANES;
  Tensor *space = channels_space(2 * part + 4 * width, e);
  if (!space) return NULL;
  if (!parallel_reserve((size_t)(2 * width) * sizeof(real))) {
    tensor_release(space);
    error_set(e, "out of memory");
    return NULL;
  }
  b->partial = space->data;
  b->partial_dy = b->partial + part;
  b->vectors = (void *)(b->partial_dy + part);
  return space;
}

static real *batch_vector(const BatchNorm *b, int i) {
  return b->vectors + i * b->c.vectors * LANES;
}

/* An absent weight is 1, an absent bias 0. */
static real channel_weight(const Call *c, int64_t i) { return c->in[1] ? reals(c->in[1])[i] : 1; }
static real channel_bias(const Call *c, int64_t i) { return c->in[2] ? reals(c->in[2])[i] : 0; }

/* What a channel's statistics leave for backward: extras of the call. */
enum { MEAN, VARIANCE, MEAN_REST, INVERSE, STATISTICS };

typedef struct Moments {
  double mean, variance;
} Moments;

/* The moments of n numbers, `step` apart, of which the usual way overflows. */
static Moments moments_plain(const real *x, int64_t n, int64_t step) {
  Moments m = {0};
  for (int64_t i = 0; i < n; i++) m.mean += (double)x[i * step] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)x[i * step] - m.mean;
    m.variance += d * d / (double)n;
  }
  return m;
}

/* The moments of numbers, each of the weight `share`, from the sums of their differences to `near`
 * and of the squares of these. */
static inline Moments moments_of(real near, double sum, double squares, double share) {
  double left = sum * share, variance = squares * share - left * left;
  return (Moments){(double)near + left, variance < 0 ? 0 : variance};
}

/* 1 / sqrt(variance + eps) */
static inline real inverse_spread(double variance, double eps) {
  real v = (real)(variance + eps);
  return v < (real)INFINITY ? 1 / real_sqrt(v) : (real)(1 / sqrt(variance + eps));
}

/* Statistics of all channels, about the first row and then about the mean that this gives. */
static void batch_statistics(BatchNorm *b, real *const statistic[STATISTICS], double eps) {
  int64_t n = b->c.channels, rows = b->c.rows;
  real *near = statistic[MEAN], *repeated = batch_vector(b, 0);
  if (rows > 0) memcpy(near, b->x, (size_t)n * sizeof(real));
  for (int pass = 0; pass < 2 && rows > 0; pass++) {
    channels_repeat(&b->c, near, repeated);
    b->mean = repeated;
    parallel_for(rows, b->c.chunk, batch_sums, b);
    channels_add_up(&b->c, b->partial);
    channels_add_up(&b->c, b->partial_dy);
    for (int64_t i = 0; i < n; i++) {
      Moments m = moments_of(near[i], b->partial_dy[i], b->partial[i], 1 / (double)rows);
      if (!isfinite(m.variance)) m = moments_plain(b->x + i, rows, n);
      near[i] = (real)m.mean;
      statistic[MEAN_REST][i] = (real)(m.mean - (double)near[i]);
      statistic[VARIANCE][i] = (real)m.variance;
      if (pass > 0) statistic[INVERSE][i] = inverse_spread(m.variance, eps);
    }
  }
}

static bool batch_norm_train_forward(Call *c, Tensor *y, Error *e) {
  int64_t n = last_size(y), rows = y->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .out = reals(y)};
  real *statistic[STATISTICS];
  for (int k = 0; k < STATISTICS; k++) {
    if (!(c->extra[k] = vector_new(n, e))) return false;
    statistic[k] = reals(c->extra[k]);
    memset(statistic[k], 0, (size_t)n * sizeof(real));
  }
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  batch_statistics(&b, statistic, c->number[0]);
  real *mean = batch_vector(&b, 0), *scale = batch_vector(&b, 1), *shift = batch_vector(&b, 2);
  for (int64_t i = 0; i < n; i++) {
    scale[i] = channel_weight(c, i) * statistic[INVERSE][i];
    shift[i] = channel_bias(c, i) - statistic[MEAN_REST][i] * scale[i];
  }
  for (int64_t r = 1; r < b.c.block; r++) {
    memcpy(scale + r * n, scale, (size_t)n * sizeof(real));
    memcpy(shift + r * n, shift, (size_t)n * sizeof(real));
  }
  channels_repeat(&b.c, statistic[MEAN], mean);
  b.mean = mean;
  b.scale = scale;
  b.shift = shift;
  parallel_for(rows, b.c.chunk, batch_map, &b);
  tensor_release(space);
  return true;
}

static bool batch_norm_train_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                      Tensor *const *dx, Error *e) {
  (void)y;
  int64_t n = last_size(dy), rows = dy->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .dy = reals(dy)};
  const real *rest = reals(c->extra[MEAN_REST]), *inverse = reals(c->extra[INVERSE]);
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  real *scale = batch_vector(&b, 1), *shift = batch_vector(&b, 2), *slope = batch_vector(&b, 3);
  channels_repeat(&b.c, reals(c->extra[MEAN]), batch_vector(&b, 0));
  b.mean = batch_vector(&b, 0);
  parallel_for(rows, b.c.chunk, batch_sums, &b);
  channels_add_up(&b.c, b.partial);
  channels_add_up(&b.c, b.partial_dy);
  for (int64_t i = 0; i < n; i++) {
    double r = (double)inverse[i], wr = (double)channel_weight(c, i) * r;
    double total = rows > 0 ? b.partial_dy[i] : 0;                          /* sum dy */
    double product = rows > 0 ? b.partial[i] - (double)rest[i] * total : 0; /* sum dy (x - m) */
    double steep = -wr * (r * product / (double)rows) * r;
    if (dx[1]) reals(dx[1])[i] = (real)(product * r);
    if (dx[2]) reals(dx[2])[i] = (real)total;
    for (int64_t k = i; k < b.c.block * n; k += n) {
      scale[k] = (real)wr;
      slope[k] = (real)steep;
      shift[k] = (real)(-wr * total / (double)rows - (double)rest[i] * steep);
    }
  }
  if (dx[0]) {
    b.scale = scale;
    b.shift = shift;
    b.slope = slope;
    b.out = reals(dx[0]);
    parallel_for(rows, b.c.chunk, batch_map, &b);
  }
  tensor_release(space);
  return true;
}

static const Op op_batch_norm_train = {
    .name = "batch_norm_train",
    .inputs = "x weight? bias?",
    .doc =
        "(x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the biased variance "
        "of each channel (the last axis) over all other axes; weight and bias may be left out.",
    .save = SAVE_IN0 | SAVE_IN1,
    .results = 2, /* mean and variance */
    .params = {{"eps", PARAM_NUMBER, false, 1e-5, NULL}},
    .shape = batch_norm_shape,
    .forward = batch_norm_train_forward,
    .backward = batch_norm_train_backward};

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
      space && (parallel_reserve((size_t)(2 * n) * sizeof(real)) || error_set(e, "out of memory"));
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
    .params = {{"eps", PARAM_NUMBER, false, 1e-5, NULL},
               {"normalized_shape", PARAM_INTS, false, 0, NULL}},
    .shape = layer_norm_shape,
    .forward = layer_norm_forward,
    .backward = layer_norm_backward};

const Op *const ISA_NAME(ops_norm)[] = {&op_batch_norm_train, &op_layer_norm, NULL};
