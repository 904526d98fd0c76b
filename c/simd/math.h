/* Floor 2: the mathematical functions in the precision of `real`. */
#ifndef LATENT_SIMD_MATH_H
#define LATENT_SIMD_MATH_H

#include "../tensor.h"

#include <math.h>

#ifdef LATENT_DOUBLE
#define REAL_MATH(name) name
#else
#define REAL_MATH(name) name##f
#endif

static inline real real_exp(real x) { return REAL_MATH(exp)(x); }
static inline real real_log(real x) { return REAL_MATH(log)(x); }
static inline real real_log1p(real x) { return REAL_MATH(log1p)(x); }
static inline real real_sqrt(real x) { return REAL_MATH(sqrt)(x); }
static inline real real_tanh(real x) { return REAL_MATH(tanh)(x); }
static inline real real_erf(real x) { return REAL_MATH(erf)(x); }
static inline real real_abs(real x) { return REAL_MATH(fabs)(x); }
static inline real real_pow(real x, real y) { return REAL_MATH(pow)(x, y); }
static inline real real_sin(real x) { return REAL_MATH(sin)(x); }
static inline real real_cos(real x) { return REAL_MATH(cos)(x); }
static inline real real_floor(real x) { return REAL_MATH(floor)(x); }
static inline real real_ceil(real x) { return REAL_MATH(ceil)(x); }
static inline real real_round(real x) { return REAL_MATH(rint)(x); }

/* 1 / (1 + e^-x); the exponential is of a number that is never positive, so nothing overflows */
static inline real real_sigmoid(real x) {
  real e = real_exp(-real_abs(x)), s = 1 / (1 + e);
  return x >= 0 ? s : e * s;
}

/* log(1 + e^x) */
static inline real real_softplus(real x) {
  return (x > 0 ? x : 0) + real_log1p(real_exp(-real_abs(x))) + (x != x ? x : 0);
}

#endif
