/* Floor 3: the error function and the gamma function, with what belongs to them. The series are
 * computed in double precision, whatever the tensors have. */
#include "ops/elementwise.h"
#include "ops/families.h"

static const double PI = 3.14159265358979323846;

/* ---- the inverse of the error function ---- */

/* Within 0.3 % of it, |x| < 1: near 0 the slope there, elsewhere by Winitzki's formula (2008) */
static double erfinv_near(double x) {
  if (fabs(x) < 0.1) return x * 0.88622692545275801;
  double a = 0.147, l = log((1 - x) * (1 + x)), t = 2 / (PI * a) + l / 2;
  return copysign(sqrt(sqrt(t * t - l / a) - t), x);
}

/* Halley's steps for erf(y) = x: each has three times the digits of the one before. Beyond one half
 * the distance to 1 is compared instead, which keeps the digits of the tail. */
static double inverse_erf(double x) {
  if (!(fabs(x) < 1)) return fabs(x) == 1 ? copysign(INFINITY, x) : NAN;
  double y = erfinv_near(x);
  for (int step = 0; step < 2; step++) {
    double over = fabs(x) < 0.5 ? erf(y) - x : 1 - fabs(x) - erfc(fabs(y));
    double newton = (x <= -0.5 ? -over : over) / (1.1283791670955126 * exp(-y * y));
    y -= newton / (1 + y * newton);
  }
  return y;
}

/* ---- the logarithm of the gamma function and its derivatives ---- */

static double log_gamma(double x) {
  int sign; /* lgamma would leave it in a variable that all threads share */
  return lgamma_r(x, &sign);
}

enum { FAR = 10 /* where the series below have all digits of a double */ };

/* psi(x) = psi(x + 1) - 1 / x up to FAR, then log x - 1 / (2 x) - sum B(2 n) / (2 n x^(2 n)); left
 * of 0 by reflection, psi(x) = psi(1 - x) - pi / tan(pi x) */
static double psi(double x) {
  if (x == 0) return copysign(INFINITY, -x);
  if (x < 0) {
    double part = x - rint(x); /* exact, also just below 0 */
    return part == 0 ? NAN : psi(1 - x) - PI / tan(PI * part);
  }
  double below = 0;
  for (; x < FAR; x++) below += 1 / x;
  double s = 1 / (x * x);
  double series =
      s * (1.0 / 12 - s * (1.0 / 120 -
                           s * (1.0 / 252 -
                                s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760 - s / 12))))));
  return log(x) - 0.5 / x - (x < INFINITY ? series : 0) - below;
}

/* psi'(x) = psi'(x + 1) + 1 / x^2 up to FAR, then 1 / x + 1 / (2 x^2) + sum B(2 n) / x^(2 n + 1);
 * psi'(x) = -psi'(1 - x) + (pi / sin(pi x))^2 */
static double psi_slope(double x) {
  if (x <= 0) {
    double wave = PI / sin(PI * (x - rint(x)));
    return x == floor(x) ? (isinf(x) ? NAN : INFINITY) : wave * wave - psi_slope(1 - x);
  }
  double below = 0;
  for (; x < FAR; x++) below += 1 / (x * x);
  double s = 1 / (x * x);
  double series =
      s * (1.0 / 6 -
           s * (1.0 / 30 -
                s * (1.0 / 42 - s * (1.0 / 30 - s * (5.0 / 66 - s * (691.0 / 2730 - s * 7 / 6))))));
  return 1 / x + 0.5 * s + series / x + below;
}

/* Hurwitz' zeta: the sum of (x + k)^-s over k = 0, 1, ..., for x > 0. The first terms by
 * themselves, up to where Euler's and Maclaurin's formula has all digits of a double for the rest:
 * y^(1 - s) / (s - 1) + y^-s / 2 + sum B(2 j) / (2 j)! s (s + 1) ... (s + 2 j - 2) y^(1 - s - 2 j)
 */
static double hurwitz(double s, double x) {
  static const double bernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                     5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
  double sum = 0;
  for (; x < FAR + s; x++) sum += pow(x, -s);
  double y = pow(x, -s), term = y / x; /* s ... (s + 2 j - 2) x^(1 - s - 2 j) / (2 j)! */
  if (y == 0) return sum;
  sum += y * x / (s - 1) + y / 2;
  for (int j = 0; j < 8; j++) {
    term *= j == 0 ? s / 2 : (s + 2 * j - 1) * (s + 2 * j) / ((2 * j + 1) * (2 * j + 2) * x * x);
    sum += bernoulli[j] * term;
  }
  return sum;
}

/* (-1)^(n + 1) n! zeta(n + 1, x), and psi for n = 0. Left of 0, with x = f - m and 0 < f < 1, the m
 * terms below 0 are those of 1 - f up to m - f with the sign of (-1)^(n + 1). */
static double poly_gamma(double n, double x) {
  if (n == 0) return psi(x);
  if (n == 1) return psi_slope(x);
  double sign = fmod(n, 2) == 1 ? 1 : -1, near = x - rint(x), zeta;
  if (!(x - x == 0)) return x > 0 ? 0 : NAN;
  if (x > 0) zeta = hurwitz(n + 1, x);
  else if (near == 0) return sign > 0 || x == 0 ? INFINITY : NAN;
  else
    zeta = hurwitz(n + 1, near > 0 ? near : 1 + near) +
           sign * hurwitz(n + 1, near > 0 ? 1 - near : -near) - sign * hurwitz(n + 1, 1 - x);
  return sign * tgamma(n + 1) * zeta;
}

/* clang-format off */

/* error function: y = 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x, and 1 less that:
 * dx = +-dy 2 / sqrt(pi) e^-x^2 */
ELEMENTWISE(erf, real_erf(x), dy * (real)1.1283791670955126 * real_exp(-x * x))
ROW(erf, SAVE_IN0, "The error function of x.")
ELEMENTWISE(erfc, real_erfc(x), dy * (real)-1.1283791670955126 * real_exp(-x * x))
ROW(erfc, SAVE_IN0, "1 - erf(x), exact for large x too.")

/* its inverse: dx = dy sqrt(pi) / 2 e^y^2 */
ELEMENTWISE(erfinv, inverse_erf((double)x), dy * (real)0.88622692545275801 * real_exp(y * y))
ROW(erfinv, SAVE_OUT, "The number whose error function is x; NaN beyond 1.")

/* log |gamma(x)|: dx = dy psi(x); and psi itself: dx = dy psi'(x) */
ELEMENTWISE(lgamma, log_gamma((double)x), (double)dy * psi((double)x))
ROW(lgamma, SAVE_IN0, "The logarithm of |gamma(x)|; gamma(n) is the factorial of n - 1.")
ELEMENTWISE(digamma, psi((double)x), (double)dy * psi_slope((double)x))
ROW(digamma, SAVE_IN0, "The derivative of lgamma.")

/* derivatives of psi: dx = dy psi^(n + 1)(x) */
ELEMENTWISE(polygamma, poly_gamma(p[0], (double)x), (double)dy * poly_gamma(p[0] + 1, (double)x))
/* clang-format on */

static bool polygamma_shape(const Call *c, Shape *out, Error *e) {
  double n = c->number[0];
  if (!(n >= 0 && n <= 170 && n == floor(n)))
    return error_set(e, "n: expected a whole number from 0 to 170, got %.14g", n);
  *out = c->in[0]->shape;
  return true;
}
static const Op op_polygamma = {.name = "polygamma",
                                .inputs = "x",
                                .doc =
                                    "The n-th derivative of digamma, n = 0 being digamma itself.",
                                .flags = OP_ELEMENTWISE,
                                .save = SAVE_IN0,
                                PARAMS({"n", PARAM_NUMBER, true, 0, NULL}),
                                .shape = polygamma_shape,
                                .forward = polygamma_forward,
                                .backward = polygamma_backward};

const Op *const ISA_NAME(ops_special)[] = {&op_erf,     &op_erfc,      &op_erfinv, &op_lgamma,
                                           &op_digamma, &op_polygamma, NULL};
