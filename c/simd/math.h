/* Floor 2: the mathematical functions in the precision of `real`.
 *
 * In single precision the common ones are written out here, without branches, tables or calls, so
 * that the compiler makes vectors of any loop that uses them. exp, expm1, log and log1p are within
 * one unit in the last place of the exact value for every argument, what is made of them within
 * two and a half; all are right at infinity, NaN, overflow and among the denormal numbers. In
 * double precision, and for the others, they are the C library's. The polynomials are weighted
 * least-squares fits, near minimax, made for this file. */
#ifndef LATENT_SIMD_MATH_H
#define LATENT_SIMD_MATH_H

#include "base/tensor.h"

#include <math.h>
#include <string.h>

#ifdef LATENT_DOUBLE
#define REAL_MATH(name) name
#else
#define REAL_MATH(name) name##f
#endif

/* Before a loop in which no iteration needs what an earlier one wrote, though compilers cannot see
 * it: an output may be an input, element for element. */
#if defined __clang__
#define EACH_ALONE _Pragma("clang loop vectorize(assume_safety)")
#else
#define EACH_ALONE _Pragma("GCC ivdep")
#endif

static inline real real_sqrt(real x) { return REAL_MATH(sqrt)(x); }
static inline real real_abs(real x) { return REAL_MATH(fabs)(x); }
static inline real real_pow(real x, real y) { return REAL_MATH(pow)(x, y); }
static inline real real_sin(real x) { return REAL_MATH(sin)(x); }
static inline real real_cos(real x) { return REAL_MATH(cos)(x); }
static inline real real_floor(real x) { return REAL_MATH(floor)(x); }
static inline real real_ceil(real x) { return REAL_MATH(ceil)(x); }
static inline real real_round(real x) { return REAL_MATH(rint)(x); }
static inline real real_trunc(real x) { return REAL_MATH(trunc)(x); }
static inline real real_fmod(real x, real y) { return REAL_MATH(fmod)(x, y); }
static inline real real_tan(real x) { return REAL_MATH(tan)(x); }
static inline real real_asin(real x) { return REAL_MATH(asin)(x); }
static inline real real_acos(real x) { return REAL_MATH(acos)(x); }
static inline real real_atan(real x) { return REAL_MATH(atan)(x); }
static inline real real_atan2(real y, real x) { return REAL_MATH(atan2)(y, x); }
static inline real real_log10(real x) { return REAL_MATH(log10)(x); }
static inline real real_erfc(real x) { return REAL_MATH(erfc)(x); }
static inline real real_copysign(real x, real y) { return REAL_MATH(copysign)(x, y); }
/* sqrt(x^2 + y^2) */
static inline real real_hypot(real x, real y) { return REAL_MATH(hypot)(x, y); }

#ifdef LATENT_DOUBLE

static inline real real_exp(real x) { return exp(x); }
static inline real real_expm1(real x) { return expm1(x); }
static inline real real_log(real x) { return log(x); }
static inline real real_log1p(real x) { return log1p(x); }
static inline real real_log1p_of_share(real x) { return log1p(x); }
static inline real real_tanh(real x) { return tanh(x); }
static inline real real_erf(real x) { return erf(x); }
static inline real real_exp2(real x) { return exp2(x); }
static inline real real_log2(real x) { return log2(x); }
static inline real real_sinh(real x) { return sinh(x); }
static inline real real_cosh(real x) { return cosh(x); }
static inline real real_asinh(real x) { return asinh(x); }
static inline real real_acosh(real x) { return acosh(x); }
static inline real real_atanh(real x) { return atanh(x); }

#else

static inline int32_t real_bits(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline float real_of_bits(int32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
/* 2^n for -126 <= n <= 127. Here and below NaN and negative numbers, whose results are not used,
 * pass through too: they may overflow, which only unsigned numbers may do. */
static inline float real_power_of_2(int32_t n) {
  return real_of_bits((int32_t)((uint32_t)(n + 127) << 23));
}

/* x = n log 2 + r, |r| <= log(2) / 2, for |x| < 2^20: the addition rounds x / log 2 to a whole
 * number, which is then in the last bits. log 2 in two parts: n times the first is exact. */
typedef struct RealSplit {
  int32_t n;
  float r;
} RealSplit;
static inline RealSplit real_split(float x) {
  const float shift = 0x1.8p23f, rounded = x * 0x1.715476p0f + shift, n = rounded - shift;
  return (RealSplit){real_bits(rounded) - real_bits(shift),
                     (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f};
}

/* e^r - 1 = r + r^2 P(r), |r| <= log(2) / 2 */
static inline float real_expm1_part(float r) {
  float p = 0.0013951717f;
  p = p * r + 0.0083695984f;
  p = p * r + 0.041666187f;
  p = p * r + 0.16666513f;
  p = p * r + 0.5f;
  return r + r * r * p;
}

/* e^x = 2^n e^r; 2^n in two factors, so that results overflow and become denormal as they should */
static inline float real_exp(float x) {
  x = x < -104 ? -104 : x > 89 ? 89 : x;
  RealSplit s = real_split(x);
  int32_t half = s.n >> 1;
  return (1 + real_expm1_part(s.r)) * real_power_of_2(half) * real_power_of_2(s.n - half);
}

/* 2^x = 2^n e^(r log 2), n the nearest whole number */
static inline float real_exp2(float x) {
  x = x < -151 ? -151 : x > 129 ? 129 : x;
  const float shift = 0x1.8p23f, rounded = x + shift, r = x - (rounded - shift);
  int32_t n = real_bits(rounded) - real_bits(shift), half = n >> 1;
  return (1 + real_expm1_part(r * 0.69314718f)) * real_power_of_2(half) * real_power_of_2(n - half);
}

/* e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)), exact near 0, where n = 0 */
static inline float real_expm1(float x) {
  RealSplit s = real_split(x < -18 ? -18 : x > 89 ? 89 : x);
  float half = real_power_of_2(s.n - 1);
  float y = 2 * (half * real_expm1_part(s.r) + (half - 0.5f));
  return fabsf(x) < 0x1p-25f ? x : y; /* half of a denormal number is not exact */
}

/* log x = n log 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)); log(1 + f) = f - f^2 / 2 + f^3 P(f),
 * of which `bent` is all but f */
typedef struct RealLog {
  float n, f, bent;
} RealLog;
static inline RealLog real_log_parts(float x) {
  float lifted = x < 0x1p-126f ? x * 0x1p24f : x;
  uint32_t bits = (uint32_t)real_bits(lifted), up = bits - 0x3f3504f3;
  int32_t k = (int32_t)up >> 23;
  float f = real_of_bits((int32_t)(bits - (up & 0xff800000))) - 1;
  float n = (float)(x < 0x1p-126f ? k - 24 : k), p = -0.078595458f;
  p = p * f + 0.12881622f;
  p = p * f + -0.13128768f;
  p = p * f + 0.14181196f;
  p = p * f + -0.16624553f;
  p = p * f + 0.20002286f;
  p = p * f + -0.25000811f;
  p = p * f + 0.33333317f;
  return (RealLog){n, f, f * f * (f * p - 0.5f)};
}
/* y, the logarithm of a positive finite x; what logarithms of other numbers are */
static inline float real_log_of(float x, float y) {
  return x > 0 && x < INFINITY ? y : x == 0 ? -INFINITY : x > 0 ? x : NAN;
}
/* `carry` is added to the small parts. */
static inline float real_log_plain(float x, float carry) {
  RealLog l = real_log_parts(x);
  float tail = l.bent + (l.n * 0x1.7f7d1cp-20f + carry);
  return l.n * 0x1.62e4p-1f + (l.f + tail);
}
static inline float real_log_carry(float x, float carry) {
  return real_log_of(x, real_log_plain(x, carry));
}
static inline float real_log(float x) { return real_log_carry(x, 0); }
/* whole for powers of 2 */
static inline float real_log2(float x) {
  RealLog l = real_log_parts(x);
  return real_log_of(x, l.n + (l.f + l.bent) * 0x1.715476p0f);
}

/* log(1 + x) = log u + (what u = 1 + x lost) / u */
static inline float real_log1p(float x) {
  float u = 1 + x, lost = x - (u - 1);
  float y = real_log_carry(u, u > 0 && u < INFINITY ? lost / u : 0);
  return u == 1 ? x : y;
}

/* The same for x from 0 to 1, without the cases that cannot be then: with them the compiler makes
 * no vectors of it behind an exponential. Of NaN the result means nothing. */
static inline float real_log1p_of_share(float x) {
  float u = 1 + x, y = real_log_plain(u, (x - (u - 1)) / u);
  return u == 1 ? x : y;
}

/* tanh |x| = -e / (2 + e), e = e^(-2|x|) - 1 */
static inline float real_tanh(float x) {
  float e = real_expm1(-2 * fabsf(x));
  return copysignf(-e / (2 + e), x);
}

/* sinh |x| = (u + u / (u + 1)) / 2, u = e^|x| - 1; where e^-|x| no longer counts, e^|x| / 2 as a
 * product, because e^|x| alone overflows sooner. cosh alike. */
enum { ONE_SIDED = 16 };
static inline float real_half_exp(float a) {
  float h = real_exp(0.5f * a);
  return 0.5f * h * h;
}
static inline float real_sinh(float x) {
  float a = fabsf(x), u = real_expm1(a);
  return copysignf(a < ONE_SIDED ? 0.5f * (u + u / (u + 1)) : real_half_exp(a), x);
}
static inline float real_cosh(float x) {
  float a = fabsf(x), e = real_exp(a);
  return a < ONE_SIDED ? 0.5f * (e + 1 / e) : real_half_exp(a);
}

/* asinh |x| = log(1 + |x| + x^2 / (1 + sqrt(1 + x^2))), acosh x = log(1 + t + sqrt(2 t + t^2)),
 * t = x - 1; where 1 no longer counts, both are log(2 x) */
static const float REAL_STEEP = 1e4f;
static inline float real_asinh(float x) {
  float a = fabsf(x), s = a < REAL_STEEP ? a * a : 0;
  float y = real_log1p(a + s / (1 + sqrtf(1 + s))), far = real_log(a) + 0.69314718f;
  return copysignf(a > REAL_STEEP ? far : y, x);
}
static inline float real_acosh(float x) {
  float t = x > REAL_STEEP ? 0 : x - 1;
  float y = real_log1p(t + sqrtf(t * (2 + t)));
  return x > REAL_STEEP ? real_log(x) + 0.69314718f : x < 1 ? NAN : y;
}
/* atanh |x| = log(1 + 2 |x| / (1 - |x|)) / 2 */
static inline float real_atanh(float x) {
  float a = fabsf(x);
  return copysignf(0.5f * real_log1p(2 * a / (1 - a)), x);
}

/* erf x = x P(x^2) below 1, 1 - e^Q(x) above; from 4 on it is 1 in single precision */
static inline float real_erf(float x) {
  float a = fabsf(x), s = a * a, p = 7.854009e-05f;
  p = p * s + -0.00080102419f;
  p = p * s + 0.0051883338f;
  p = p * s + -0.026853816f;
  p = p * s + 0.11283585f;
  p = p * s + -0.37612626f;
  p = p * s + 1.1283792f;
  float b = a > 4 ? 4 : a, q = 0.00018797255f;
  q = q * b + -0.0029640143f;
  q = q * b + 0.021906508f;
  q = q * b + -0.10325627f;
  q = q * b + -0.63796493f;
  q = q * b + -1.1272023f;
  q = q * b + -0.00031245974f;
  return copysignf(a < 1 ? a * p : 1 - real_exp(q), x);
}

#endif

/* e^x - 1 - x, of which a difference of the two would keep little near 0 */
static inline real real_expm1_rest(real x) {
#ifdef LATENT_DOUBLE
  return expm1(x) - x;
#else
  float p = 1 / 362880.0f;
  p = p * x + 1 / 40320.0f;
  p = p * x + 1 / 5040.0f;
  p = p * x + 1 / 720.0f;
  p = p * x + 1 / 120.0f;
  p = p * x + 1 / 24.0f;
  p = p * x + 1 / 6.0f;
  p = p * x + 0.5f;
  return fabsf(x) < 0.5f ? x * x * p : real_expm1(x) - x;
#endif
}

/* 1 / (1 + e^-x); the exponential is of a number that is never positive, so nothing overflows */
static inline real real_sigmoid(real x) {
  real e = real_exp(-real_abs(x)), s = 1 / (1 + e);
  return x >= 0 ? s : e * s;
}

/* log(1 + e^x) */
static inline real real_softplus(real x) {
  return (x > 0 ? x : 0) + real_log1p_of_share(real_exp(-real_abs(x))) + (x != x ? x : 0);
}

#endif
