/* Floor 3: Euclidean distances between two lists of points, no differences kept. Vectors lie along
 * the second list, whose coordinates are turned over for that. */
#include "base/parallel.h"
#include "ops/families.h"
#include "simd/math.h"
#include "simd/vec.h"
#include "simd/workspace.h"

/* distances, c = dy / y, 0 where y is 0:
 *   y[i, j] = |a[i] - b[j]|,   da[i] = sum over j of c[i, j] (a[i] - b[j]),
 *   db[j] = sum over i of c[i, j] (b[j] - a[i]) */

static bool distances_shape(const Call *c, Shape *out, Error *e) {
  const Shape *a = &c->in[0]->shape, *b = &c->in[1]->shape;
  char text[SHAPE_TEXT], other[SHAPE_TEXT];
  if (a->dims != 3 || b->dims != 3 || a->size[0] != b->size[0] || a->size[2] != b->size[2])
    return error_set(e, "expected points [batch, n, d] and [batch, m, d], got %s and %s",
                     shape_text(a, text), shape_text(b, other));
  *out = (Shape){3, {a->size[0], a->size[1], b->size[1]}};
  return true;
}

typedef struct Distances {
  int64_t batch, n, m, d;
  int64_t width; /* m in whole vectors */
  const real *a, *b;
  real *turned; /* (batch, d, width): b, zeros behind it */
  real *out;    /* forward: (batch, n, m); backward: da or db */
  const real *y, *dy;
  real *share; /* (batch, n, width): c */
} Distances;

enum { STRIP = 4, ROWS = 16, CHUNK = 1 << 16 /* products of a parallel chunk, about */ };

static void turn_points(void *context, int64_t begin, int64_t end, int thread) {
  const Distances *s = context;
  (void)thread;
  for (int64_t row = begin; row < end; row++) { /* of (batch, d) */
    const real *b = s->b + row / s->d * s->m * s->d + row % s->d;
    real *to = s->turned + row * s->width;
    for (int64_t j = 0; j < s->m; j++) to[j] = b[j * s->d];
    for (int64_t j = s->m; j < s->width; j++) to[j] = 0;
  }
}

/* The distance of two points, of which the squares overflow or vanish, or which are the same. */
static real distance_apart(const real *a, const real *b, int64_t d) {
  double most = 0, sum = 0;
  for (int64_t k = 0; k < d; k++) {
    double size = fabs((double)a[k] - (double)b[k]);
    if (!(size <= most)) most = size; /* NaN too, and stays */
    if (isnan(most)) return (real)most;
  }
  if (most == 0 || isinf(most)) return (real)most;
  for (int64_t k = 0; k < d; k++) {
    double part = ((double)a[k] - (double)b[k]) / most;
    sum += part * part;
  }
  return (real)(most * sqrt(sum));
}

/* Sums of squares in `vectors` vectors from column j on. */
VEC_INLINE void square_strip(const Distances *s, const real *a, const real *b, int64_t j,
                             const int vectors, real *out) {
  Vec sum[STRIP];
  VEC_UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_zero();
  for (int64_t k = 0; k < s->d; k++) {
    Vec x = vec_fill(a[k]);
    VEC_UNROLL for (int v = 0; v < vectors; v++) {
      Vec t = x - vec_load(b + k * s->width + j + v * LANES);
      sum[v] += t * t;
    }
  }
  VEC_UNROLL for (int v = 0; v < vectors; v++) {
    int64_t left = s->m - j - v * LANES;
    if (left >= LANES) vec_store(out + j + v * LANES, sum[v]);
    else if (left > 0) vec_store_part(out + j + v * LANES, sum[v], (int)left);
  }
}

/* Roots of the sums of row i; those that say little are made anew. */
static void row_roots(const Distances *s, int64_t i, real *out) {
  const real least = sizeof(real) == sizeof(float) ? (real)1e-30 : (real)1e-290;
  int few = 0;
  for (int64_t j = 0; j < s->m; j++) {
    few |= !(out[j] > least && out[j] < (real)INFINITY);
    out[j] = real_sqrt(out[j]);
  }
  if (!few) return;
  const real *b = s->b + i / s->n * s->m * s->d;
  for (int64_t j = 0; j < s->m; j++)
    if (!(out[j] > real_sqrt(least) && out[j] < (real)INFINITY))
      out[j] = distance_apart(s->a + i * s->d, b + j * s->d, s->d);
}

static void distance_rows(void *context, int64_t begin, int64_t end, int thread) {
  const Distances *s = context;
  (void)thread;
  for (int64_t first = begin, stop; first < end; first = stop) {
    int64_t item = first / s->n, last = (item + 1) * s->n, j = 0;
    const real *b = s->turned + item * s->d * s->width;
    stop = first + ROWS < end ? first + ROWS : end;
    if (stop > last) stop = last;
    for (; j + STRIP * LANES <= s->width; j += STRIP * LANES)
      for (int64_t i = first; i < stop; i++)
        square_strip(s, s->a + i * s->d, b, j, STRIP, s->out + i * s->m);
    for (; j < s->width; j += LANES)
      for (int64_t i = first; i < stop; i++)
        square_strip(s, s->a + i * s->d, b, j, 1, s->out + i * s->m);
    for (int64_t i = first; i < stop; i++) row_roots(s, i, s->out + i * s->m);
  }
}

static Tensor *distances_space(Distances *s, const Call *c, bool back, Error *e) {
  const int64_t *a = c->in[0]->shape.size, *b = c->in[1]->shape.size;
  *s = (Distances){.batch = a[0], .n = a[1], .m = b[1], .d = a[2]};
  s->width = (s->m + LANES - 1) / LANES * LANES;
  s->a = reals(c->in[0]);
  s->b = reals(c->in[1]);
  int64_t points = s->batch * s->d * s->width, shares = back ? s->batch * s->n * s->width : 0;
  Tensor *space = workspace_new((points + shares) * (int64_t)sizeof(real), e);
  if (!space) return NULL;
  s->turned = reals(space);
  s->share = s->turned + points;
  int64_t grain = CHUNK / (s->m + 1) + 1;
  parallel_for(s->batch * s->d, parallel_whole(s->batch * s->d, grain), turn_points, s);
  return space;
}

/* Rows of which each has so many products. */
static int64_t rows_of(int64_t products) { return CHUNK / (products + 1) + 1; }

static bool distances_forward(Call *c, Tensor *y, Error *e) {
  Distances s;
  Tensor *space = distances_space(&s, c, false, e);
  if (!space) return false;
  s.out = reals(y);
  if (y->numel > 0) parallel_for(s.batch * s.n, rows_of(s.width * s.d), distance_rows, &s);
  tensor_release(space);
  return true;
}

static void share_rows(void *context, int64_t begin, int64_t end, int thread) {
  const Distances *s = context;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    const real *restrict y = s->y + i * s->m, *restrict dy = s->dy + i * s->m;
    real *restrict to = s->share + i * s->width;
    for (int64_t j = 0; j < s->m; j++) to[j] = y[j] == 0 ? 0 : dy[j] / y[j];
    for (int64_t j = s->m; j < s->width; j++) to[j] = 0;
  }
}

/* da of rows */
static void first_rows(void *context, int64_t begin, int64_t end, int thread) {
  const Distances *s = context;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    const real *share = s->share + i * s->width, *b = s->turned + i / s->n * s->d * s->width;
    for (int64_t k = 0; k < s->d; k++, b += s->width) {
      Vec x = vec_fill(s->a[i * s->d + k]), sum[STRIP];
      VEC_UNROLL for (int v = 0; v < STRIP; v++) sum[v] = vec_zero();
      int64_t j = 0;
      for (; j + STRIP * LANES <= s->width; j += STRIP * LANES)
        VEC_UNROLL for (int v = 0; v < STRIP; v++) sum[v] +=
            vec_load(share + j + v * LANES) * (x - vec_load(b + j + v * LANES));
      for (; j < s->width; j += LANES) sum[0] += vec_load(share + j) * (x - vec_load(b + j));
      s->out[i * s->d + k] = vec_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
  }
}

/* Coordinate k and the ones behind it, `count` of them, of the vector of points at b. */
VEC_INLINE void second_strip(const Distances *s, int64_t item, int64_t j, int64_t k,
                             const int count) {
  const real *b = s->turned + (item * s->d + k) * s->width + j;
  const real *share = s->share + item * s->n * s->width + j, *a = s->a + item * s->n * s->d + k;
  Vec own[STRIP], sum[STRIP];
  VEC_UNROLL for (int q = 0; q < count; q++) {
    own[q] = vec_load(b + q * s->width);
    sum[q] = vec_zero();
  }
  for (int64_t i = 0; i < s->n; i++, share += s->width, a += s->d) {
    Vec factor = vec_load(share);
    VEC_UNROLL for (int q = 0; q < count; q++) sum[q] += factor * (own[q] - a[q]);
  }
  real *out = s->out + (item * s->m + j) * s->d + k;
  int64_t points = s->m - j < LANES ? s->m - j : LANES;
  VEC_UNROLL for (int q = 0; q < count; q++) for (int64_t p = 0; p < points; p++)
      out[p * s->d + q] = sum[q][p];
}

/* db of vectors of points */
static void second_points(void *context, int64_t begin, int64_t end, int thread) {
  const Distances *s = context;
  int64_t vectors = s->width / LANES;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    int64_t item = i / vectors, j = i % vectors * LANES, k = 0;
    for (; k + STRIP <= s->d; k += STRIP) second_strip(s, item, j, k, STRIP);
    for (; k < s->d; k++) second_strip(s, item, j, k, 1);
  }
}

static bool distances_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                               Error *e) {
  Distances s;
  Tensor *space = distances_space(&s, c, true, e);
  if (!space) return false;
  s.y = reals(y);
  s.dy = reals(dy);
  int64_t rows = s.batch * s.n, vectors = s.batch * s.width / LANES;
  parallel_for(rows, rows_of(s.width), share_rows, &s);
  if (dx[0]) {
    s.out = reals(dx[0]);
    parallel_for(rows, rows_of(s.width * s.d), first_rows, &s);
  }
  if (dx[1]) {
    s.out = reals(dx[1]);
    parallel_for(vectors, rows_of(s.n * s.d * LANES), second_points, &s);
  }
  tensor_release(space);
  return true;
}

static const Op op_distances = {
    .name = "distances",
    .inputs = "a b",
    .flags = OP_HIDDEN,
    .doc = "Euclidean distances between points a [batch, n, d] and b [batch, m, d], [batch, n, m]; "
           "the gradient of a distance of 0 is 0.",
    .save = SAVE_IN0 | SAVE_IN1 | SAVE_OUT,
    .shape = distances_shape,
    .forward = distances_forward,
    .backward = distances_backward};

const Op *const ISA_NAME(ops_distances)[] = {&op_distances, NULL};
