/* Floor 3: one axis of a tensor resampled to another size: each new element is a weighted sum of a
 * few old ones, its taps. Images of any number of axes are resampled axis by axis (in Lua:
 * interpolate).
 *   y[o, j, i] = sum over taps k of w[j, k] x[o, at[j, k], i],   dx: the same sums, scattered */
#include "base/parallel.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AXIS, SIZE, MODE, ALIGN, ANTIALIAS };
enum { SCALE = 0 }; /* of the numbers: old pixels a new one, 0 for the ratio of the sizes */
enum { NEAREST, NEAREST_EXACT, LINEAR, CUBIC, AREA };
enum { GRAIN = 1 << 15 /* elements of a parallel chunk, about */, LARGEST = 1 << 30 };

/* Of each new element: where it looks, and with what weight; unused taps have weight 0. */
typedef struct Taps {
  int64_t in, out, width;
  int64_t *at;
  real *weight;
} Taps;

static int64_t within(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* Cubic convolution (Keys, 1981) at distance t from a pixel; a is its slope at 1. */
static double cubic(double t, double a) {
  t = fabs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((t - 5) * t + 8) * t * a - 4 * a : 0;
}
static double triangle(double t) { return fabs(t) < 1 ? 1 - fabs(t) : 0; }

/* Old pixels a new one. */
static double step_of(const Call *c, int64_t in) {
  int64_t out = c->integer[SIZE];
  if (c->integer[ALIGN]) return out > 1 ? (double)(in - 1) / (double)(out - 1) : 0;
  return c->number[SCALE] > 0 ? c->number[SCALE] : (double)in / (double)out;
}
/* Half the width of the window that averages where the image shrinks. */
static double support_of(const Call *c, double step) {
  return (c->integer[MODE] == CUBIC ? 2 : 1) * (step > 1 ? step : 1);
}

static int64_t taps_width(const Call *c, int64_t in) {
  int64_t out = c->integer[SIZE];
  if (c->integer[ANTIALIAS]) return (int64_t)ceil(support_of(c, step_of(c, in))) * 2 + 1;
  switch (c->integer[MODE]) {
  case LINEAR: return 2;
  case CUBIC: return 4;
  case AREA: return (in + out - 1) / out + 1;
  default: return 1;
  }
}

/* The taps of new pixel j by one of the rules. */
static void area_taps(const Taps *t, int64_t j, int64_t *at, real *weight) {
  int64_t first = j * t->in / t->out, end = ((j + 1) * t->in + t->out - 1) / t->out;
  for (int64_t k = first; k < end; k++) {
    at[k - first] = k;
    weight[k - first] = 1 / (real)(end - first);
  }
}
static void smooth_taps(const Taps *t, double centre, double support, bool is_cubic, int64_t *at,
                        real *weight) {
  double shrink = is_cubic ? 2 / support : 1 / support, total = 0;
  int64_t first = (int64_t)(centre - support + 0.5), end = (int64_t)(centre + support + 0.5);
  if (first < 0) first = 0;
  if (end > t->in) end = t->in;
  if (end - first > t->width) end = first + t->width;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t k = first; k < end; k++) {
      double d = ((double)k + 0.5 - centre) * shrink, w = is_cubic ? cubic(d, -0.5) : triangle(d);
      if (pass == 0) total += w;
      else {
        at[k - first] = k;
        weight[k - first] = (real)(w / total);
      }
    }
}
static void sharp_taps(const Taps *t, double from, bool is_cubic, int64_t *at, real *weight) {
  int64_t first = (int64_t)floor(from) - (is_cubic ? 1 : 0);
  for (int64_t k = 0; k < t->width; k++) {
    double d = from - (double)(first + k);
    at[k] = within(first + k, t->in);
    weight[k] = (real)(is_cubic ? cubic(d, -0.75) : triangle(d));
  }
}

static void find_taps(const Call *c, const Taps *t, int64_t j, double step) {
  int64_t *at = t->at + j * t->width, mode = c->integer[MODE];
  real *weight = t->weight + j * t->width;
  double centre = ((double)j + 0.5) * step;
  bool is_cubic = mode == CUBIC;
  if (c->integer[ANTIALIAS]) smooth_taps(t, centre, support_of(c, step), is_cubic, at, weight);
  else if (mode == AREA) area_taps(t, j, at, weight);
  else if (mode == LINEAR || mode == CUBIC) {
    double from = c->integer[ALIGN] ? (double)j * step : centre - 0.5;
    sharp_taps(t, from < 0 && !is_cubic ? 0 : from, is_cubic, at, weight);
  } else {
    bool whole = c->number[SCALE] == 0 && mode == NEAREST; /* exact, without a rounded step */
    int64_t from =
        whole ? j * t->in / t->out : (int64_t)floor(mode == NEAREST ? (double)j * step : centre);
    at[0] = within(from, t->in);
    weight[0] = 1;
  }
}

static bool taps_new(const Call *c, Taps *t, Error *e) {
  t->in = c->in[0]->shape.size[c->integer[AXIS]];
  t->out = c->integer[SIZE];
  t->width = taps_width(c, t->in);
  size_t n = (size_t)(t->out * t->width) + 1;
  t->at = calloc(n, sizeof *t->at);
  t->weight = calloc(n, sizeof *t->weight);
  if (!t->at || !t->weight) {
    free(t->at);
    free(t->weight);
    return error_set(e, "out of memory");
  }
  double step = step_of(c, t->in);
  for (int64_t j = 0; j < t->out; j++) find_taps(c, t, j, step);
  return true;
}
static void taps_free(Taps *t) {
  free(t->at);
  free(t->weight);
}

typedef struct Resample {
  Taps t;
  AxisView v; /* of the input */
  const real *from;
  real *to;
} Resample;

/* Row by row of the output, a row being (outer, new place). */
static void resample_rows(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Resample *r = context;
  int64_t n = r->v.inner, width = r->t.width;
  for (int64_t row = begin; row < end; row++) {
    int64_t j = row % r->t.out;
    const real *x = r->from + row / r->t.out * r->v.n * n, *weight = r->t.weight + j * width;
    const int64_t *at = r->t.at + j * width;
    real *restrict y = r->to + row * n;
    for (int64_t i = 0; i < n; i++) y[i] = weight[0] * x[at[0] * n + i];
    for (int64_t k = 1; k < width; k++) {
      const real *restrict from = x + at[k] * n;
      real w = weight[k];
      if (w != 0)
        for (int64_t i = 0; i < n; i++) y[i] += w * from[i];
    }
  }
}

static void resample_gradient(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const Resample *r = context;
  int64_t n = r->v.inner, width = r->t.width;
  for (int64_t o = begin; o < end; o++) {
    real *dx = r->to + o * r->v.n * n;
    memset(dx, 0, (size_t)(r->v.n * n) * sizeof *dx);
    for (int64_t j = 0; j < r->t.out; j++) {
      const real *dy = r->from + (o * r->t.out + j) * n, *weight = r->t.weight + j * width;
      const int64_t *at = r->t.at + j * width;
      for (int64_t k = 0; k < width; k++) {
        real *restrict to = dx + at[k] * n, w = weight[k];
        if (w != 0)
          for (int64_t i = 0; i < n; i++) to[i] += w * dy[i];
      }
    }
  }
}

static bool resample_shape(const Call *c, Shape *out, Error *e) {
  if (!axis_check(&c->in[0]->shape, c->integer[AXIS], e)) return false;
  char text[SHAPE_TEXT];
  if (c->in[0]->shape.size[c->integer[AXIS]] < 1)
    return error_set(e, "x: expected at least one element along axis %lld, got %s",
                     (long long)c->integer[AXIS] + 1, shape_text(&c->in[0]->shape, text));
  if (c->integer[SIZE] < 1 || c->integer[SIZE] > LARGEST)
    return error_set(e, "size: expected 1 to %d, got %lld", (int)LARGEST,
                     (long long)c->integer[SIZE]);
  *out = c->in[0]->shape;
  out->size[c->integer[AXIS]] = c->integer[SIZE];
  return true;
}
static bool resample_forward(Call *c, Tensor *y, Error *e) {
  Resample r = {
      .v = axis_view(&c->in[0]->shape, c->integer[AXIS]), .from = reals(c->in[0]), .to = reals(y)};
  if (!taps_new(c, &r.t, e)) return false;
  parallel_for(r.v.outer * r.t.out, GRAIN / (r.v.inner * r.t.width + 1) + 1, resample_rows, &r);
  taps_free(&r.t);
  return true;
}
static bool resample_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                              Error *e) {
  (void)y;
  Resample r = {
      .v = axis_view(&c->in[0]->shape, c->integer[AXIS]), .from = reals(dy), .to = reals(dx[0])};
  if (!taps_new(c, &r.t, e)) return false;
  int64_t work = r.v.inner * (r.v.n + r.t.out * r.t.width) + 1;
  parallel_for(r.v.outer, GRAIN / work + 1, resample_gradient, &r);
  taps_free(&r.t);
  return true;
}
static const Op op_resample = {
    .name = "resample",
    .inputs = "x",
    .doc = "An axis resampled to another size; scale is how many old elements a new one has.",
    .flags = OP_HIDDEN,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"size", PARAM_INT, true, 0, NULL},
           {"mode", PARAM_CHOICE, true, 0, "nearest nearest-exact linear cubic area"},
           {"align_corners", PARAM_BOOL, false, 0, NULL}, {"antialias", PARAM_BOOL, false, 0, NULL},
           {"scale", PARAM_NUMBER, false, 0, NULL}),
    .shape = resample_shape,
    .forward = resample_forward,
    .backward = resample_backward};

const Op *const ISA_NAME(ops_resample)[] = {&op_resample, NULL};
