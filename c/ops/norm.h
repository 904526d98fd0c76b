/* Floor 3: what the ops that normalise share: checks, and moments of numbers near to one. */
#ifndef LATENT_OPS_NORM_H
#define LATENT_OPS_NORM_H

#include "ops/op.h"
#include "simd/channels.h"
#include "simd/math.h"

static const char *const input_name[] = {"x", "weight", "bias"};

static inline bool check_eps(const Call *c, Error *e) {
  if (c->number[0] >= 0 && c->number[0] < INFINITY) return true;
  return error_set(e, "eps: expected a finite number >= 0, got %g", c->number[0]);
}

/* Weight and bias, inputs 2 and 3, where given: a number for each channel. */
static inline bool check_channels(const Call *c, int64_t channels, Error *e) {
  char text[SHAPE_TEXT];
  for (int i = 1; i < 3; i++) {
    const Shape *s = c->in[i] ? &c->in[i]->shape : NULL;
    if (s && (s->dims != 1 || s->size[0] != channels))
      return error_set(e, "%s: expected [%lld], got %s", input_name[i], (long long)channels,
                       shape_text(s, text));
  }
  return true;
}

static inline Tensor *vector_new(int64_t n, Error *e) {
  Shape s = {1, {n}};
  return tensor_new(DTYPE_REAL, &s, e);
}

typedef struct Moments {
  double mean, variance;
} Moments;

/* The moments of n numbers, `step` apart, of which the usual way overflows. */
static inline Moments moments_plain(const real *x, int64_t n, int64_t step) {
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

#endif
