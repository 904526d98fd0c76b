/* Floor 3: normalisation. batch_norm_train takes its statistics over all axes but the last, each
 * channel for itself; layer_norm over the last axis, each row for itself. Variances are the biased
 * ones, computed from the differences to the mean. */
#include "families.h"

#include "../simd/channels.h"
#include "../simd/math.h"

/* x of at least `dims` axes; weight and bias as long as its last. */
static bool norm_shape(const Call *c, Shape *out, Error *e) {
  static const char *const name[] = {"x", "weight", "bias"};
  const Shape *x = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  if (x->dims < 1 || x->size[x->dims - 1] < 1)
    return error_set(e, "x: expected [*, channels], got %s", shape_text(x, text));
  int64_t channels = x->size[x->dims - 1];
  for (int i = 1; i < 3; i++) {
    const Shape *s = &c->in[i]->shape;
    if (s->dims != 1 || s->size[0] != channels)
      return error_set(e, "%s: expected [%lld], got %s", name[i], (long long)channels,
                       shape_text(s, text));
  }
  if (!(c->number[0] >= 0))
    return error_set(e, "eps: expected a number >= 0, got %g", c->number[0]);
  *out = *x;
  return true;
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

/* partial = sum (x - mean)^2, or with dy: sum dy (x - mean) and sum dy */
static void batch_sums(void *context, int64_t begin, int64_t end, int thread) {
  const BatchNorm *b = context;
  const Channels *c = &b->c;
  int64_t n = c->channels, width = c->vectors * LANES, at = begin / c->chunk * n;
  real *sum = parallel_scratch(thread), *sum_dy = sum + width;
  memset(sum, 0, (size_t)(2 * width) * sizeof(real));
  for (; begin + c->block <= end; begin += c->block) {
    const real *x = b->x + begin * n, *dy = b->dy ? b->dy + begin * n : NULL;
    for (int64_t v = 0; v < width; v += LANES) {
      Vec d = vec_load(x + v) - vec_load(b->mean + v), g = dy ? vec_load(dy + v) : d;
      vec_store(sum + v, vec_load(sum + v) + g * d);
      if (dy) vec_store(sum_dy + v, vec_load(sum_dy + v) + g);
    }
  }
  channels_fold(c, sum, b->partial + at);
  if (b->dy) channels_fold(c, sum_dy, b->partial_dy + at);
  for (; begin < end; begin++)
    for (int64_t i = 0; i < n; i++) {
      real d = b->x[begin * n + i] - b->mean[i], g = b->dy ? b->dy[begin * n + i] : d;
      b->partial[at + i] += (double)(g * d);
      if (b->dy) b->partial_dy[at + i] += (double)g;
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

static bool batch_norm_train_forward(Call *c, Tensor *y, Error *e) {
  int64_t n = last_size(y), rows = y->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .out = reals(y)};
  if (!(c->extra[0] = vector_new(n, e)) || !(c->extra[1] = vector_new(n, e))) return false;
  real *mean = reals(c->extra[0]), *variance = reals(c->extra[1]);
  if (!channel_sum(b.x, rows, n, mean, e)) return false;
  Tensor *space = batch_space(&b, n, e);
  if (!space) return false;
  real *vector[3] = {batch_vector(&b, 0), batch_vector(&b, 1), batch_vector(&b, 2)};
  for (int64_t i = 0; i < n; i++) mean[i] /= (real)(rows ? rows : 1);
  channels_repeat(&b.c, mean, vector[0]);
  b.mean = vector[0];
  b.scale = vector[1];
  b.shift = vector[2];
  parallel_for(rows, b.c.chunk, batch_sums, &b);
  channels_total(&b.c, b.partial, variance);
  for (int64_t i = 0; i < n; i++) {
    variance[i] /= (real)(rows ? rows : 1);
    vector[1][i] = reals(c->in[1])[i] / real_sqrt(variance[i] + (real)c->number[0]);
  }
  for (int64_t r = 1; r < b.c.block; r++)
    memcpy(vector[1] + r * n, vector[1], (size_t)n * sizeof(real));
  channels_repeat(&b.c, reals(c->in[2]), vector[2]);
  parallel_for(rows, b.c.chunk, batch_map, &b);
  tensor_release(space);
  return true;
}

static bool batch_norm_train_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                      Tensor *const *dx, Error *e) {
  (void)y;
  int64_t n = last_size(dy), rows = dy->numel / n;
  BatchNorm b = {.c = {.rows = rows}, .x = reals(c->in[0]), .dy = reals(dy)};
  const real *variance = reals(c->extra[1]), *weight = reals(c->in[1]);
  Tensor *sums = vector_new(2 * n, e), *space = sums ? batch_space(&b, n, e) : NULL;
  if (!space) {
    tensor_release(sums);
    return false;
  }
  real *product = reals(sums), *total = product + n; /* sum dy (x - m), sum dy */
  real *scale = batch_vector(&b, 1), *shift = batch_vector(&b, 2), *slope = batch_vector(&b, 3);
  channels_repeat(&b.c, reals(c->extra[0]), batch_vector(&b, 0));
  b.mean = batch_vector(&b, 0);
  parallel_for(rows, b.c.chunk, batch_sums, &b);
  channels_total(&b.c, b.partial, product);
  channels_total(&b.c, b.partial_dy, total);
  for (int64_t i = 0; i < n; i++) {
    real r = 1 / real_sqrt(variance[i] + (real)c->number[0]);
    if (dx[1]) reals(dx[1])[i] = product[i] * r;
    if (dx[2]) reals(dx[2])[i] = total[i];
    for (int64_t k = i; k < b.c.block * n; k += n) {
      scale[k] = weight[i] * r;
      shift[k] = -scale[k] * total[i] / (real)rows;
      slope[k] = -scale[k] * r * r * product[i] / (real)rows;
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
  tensor_release(sums);
  return true;
}

static const Op op_batch_norm_train = {
    .name = "batch_norm_train",
    .inputs = "x weight bias",
    .doc =
        "(x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the biased variance "
        "of each channel (the last axis) over all other axes.",
    .save = SAVE_IN0 | SAVE_IN1,
    .params = {{"eps", PARAM_NUMBER, false, 1e-5, NULL}},
    .shape = norm_shape,
    .forward = batch_norm_train_forward,
    .backward = batch_norm_train_backward};

/* layer_norm, m and v the mean and variance of a row, r = 1 / sqrt(v + eps), h = (x - m) r:
 *   y = h w + b,   dx = r (g - mean(g) - h mean(g h)) with g = dy w,   dw = sum dy h,   db = sum dy
 */

enum {
  NORM_CHUNK = 1 << 14,
  NORM_ROWS = 1024 /* elements and rows of a parallel chunk, at most */
};

typedef struct LayerNorm {
  int64_t n, grain;
  real eps;
  const real *x, *dy, *weight, *bias;
  real *out;
  real *mean, *inverse;            /* (rows), or NULL */
  double *partial_dw, *partial_db; /* (chunks, n) */
} LayerNorm;

typedef enum { SUM_X, SUM_SQUARE, SUM_GRADIENT, SUM_PRODUCT } RowSum;

/* Sums along a row: of x, of (x - m)^2, of dy w, or of dy w (x - m). */
VEC_INLINE real row_sum(const LayerNorm *l, const real *x, const real *dy, real m,
                        const RowSum of) {
  Vec sum[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
  int64_t i = 0;
  real rest = 0;
#define TERM(X, DY, W)                                                                             \
  (of == SUM_X          ? (X)                                                                      \
   : of == SUM_SQUARE   ? ((X)-m) * ((X)-m)                                                        \
   : of == SUM_GRADIENT ? (DY) * (W)                                                               \
                        : (DY) * (W) * ((X)-m))
  for (; i + 4 * LANES <= l->n; i += 4 * LANES) VEC_UNROLL for (int k = 0; k < 4; k++) {
      int64_t at = i + k * LANES;
      Vec v = vec_load(x + at), g = dy ? vec_load(dy + at) : v,
          w = dy ? vec_load(l->weight + at) : v;
      sum[k] += TERM(v, g, w);
    }
  for (; i < l->n; i++) {
    real g = dy ? dy[i] : 0, w = dy ? l->weight[i] : 0;
    rest += TERM(x[i], g, w);
  }
#undef TERM
  return vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

static void layer_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const LayerNorm *l = context;
  for (int64_t row = begin; row < end; row++) {
    const real *x = l->x + row * l->n;
    real *y = l->out + row * l->n;
    real m = row_sum(l, x, NULL, 0, SUM_X) / (real)l->n;
    real variance = row_sum(l, x, NULL, m, SUM_SQUARE) / (real)l->n;
    real r = 1 / real_sqrt(variance + l->eps);
    for (int64_t i = 0; i < l->n; i++) y[i] = (x[i] - m) * r * l->weight[i] + l->bias[i];
    if (!l->mean) continue;
    l->mean[row] = m;
    l->inverse[row] = r;
  }
}

static bool layer_norm_forward(Call *c, Tensor *y, Error *e) {
  int64_t n = last_size(y), rows = y->numel / n;
  LayerNorm l = {.n = n,
                 .grain = n >= NORM_CHUNK ? 1 : NORM_CHUNK / n,
                 .eps = (real)c->number[0],
                 .x = reals(c->in[0]),
                 .weight = reals(c->in[1]),
                 .bias = reals(c->in[2]),
                 .out = reals(y)};
  if (c->record) {
    if (!(c->extra[0] = vector_new(rows, e)) || !(c->extra[1] = vector_new(rows, e))) return false;
    l.mean = reals(c->extra[0]);
    l.inverse = reals(c->extra[1]);
  }
  parallel_for(rows, l.grain, layer_rows, &l);
  return true;
}

static void layer_gradient_rows(void *context, int64_t begin, int64_t end, int thread) {
  const LayerNorm *l = context;
  int64_t n = l->n, at = begin / l->grain * n;
  real *restrict dw = parallel_scratch(thread), *restrict db = dw + n;
  memset(dw, 0, (size_t)(2 * n) * sizeof(real));
  for (int64_t row = begin; row < end; row++) {
    const real *x = l->x + row * n, *dy = l->dy + row * n;
    real m = l->mean[row], r = l->inverse[row];
    for (int64_t i = 0; i < n; i++) {
      dw[i] += dy[i] * (x[i] - m) * r;
      db[i] += dy[i];
    }
    if (!l->out) continue;
    real *dx = l->out + row * n;
    real gradient = row_sum(l, x, dy, 0, SUM_GRADIENT) / (real)n;
    real product = row_sum(l, x, dy, m, SUM_PRODUCT) / (real)n * r * r;
    for (int64_t i = 0; i < n; i++)
      dx[i] = r * (dy[i] * l->weight[i] - gradient - (x[i] - m) * product);
  }
  for (int64_t i = 0; i < n; i++) {
    l->partial_dw[at + i] = (double)dw[i];
    l->partial_db[at + i] = (double)db[i];
  }
}

static bool layer_norm_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                                Error *e) {
  (void)y;
  int64_t n = last_size(dy), rows = dy->numel / n;
  int64_t grain = n >= NORM_CHUNK ? 1 : NORM_CHUNK / n;
  LayerNorm l = {.n = n,
                 .grain = grain < NORM_ROWS ? grain : NORM_ROWS,
                 .x = reals(c->in[0]),
                 .dy = reals(dy),
                 .weight = reals(c->in[1]),
                 .out = dx[0] ? reals(dx[0]) : NULL,
                 .mean = reals(c->extra[0]),
                 .inverse = reals(c->extra[1])};
  int64_t chunks = (rows + l.grain - 1) / l.grain;
  Tensor *space = channels_space(2 * chunks * n, e);
  if (!space) return false;
  if (!parallel_reserve((size_t)(2 * n) * sizeof(real))) {
    tensor_release(space);
    return error_set(e, "out of memory");
  }
  l.partial_dw = space->data;
  l.partial_db = l.partial_dw + chunks * n;
  parallel_for(rows, l.grain, layer_gradient_rows, &l);
  Channels total = {.channels = n, .chunks = chunks};
  if (dx[1]) channels_total(&total, l.partial_dw, reals(dx[1]));
  if (dx[2]) channels_total(&total, l.partial_db, reals(dx[2]));
  tensor_release(space);
  return true;
}

static const Op op_layer_norm = {
    .name = "layer_norm",
    .inputs = "x weight bias",
    .doc =
        "(x - mean) / sqrt(variance + eps) * weight + bias, with the mean and the biased variance "
        "along the last axis.",
    .save = SAVE_IN0 | SAVE_IN1,
    .params = {{"eps", PARAM_NUMBER, false, 1e-5, NULL}},
    .shape = norm_shape,
    .forward = layer_norm_forward,
    .backward = layer_norm_backward};

const Op *const ISA_NAME(ops_norm)[] = {&op_batch_norm_train, &op_layer_norm, NULL};
