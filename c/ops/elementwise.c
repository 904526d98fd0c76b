/* Floor 3: functions of one tensor, element by element. */
#include "ops/elementwise.h"
#include "ops/families.h"

/* It takes a product of names for the declaration of a pointer. */
/* clang-format off */

/* negation: y = -x */
ELEMENTWISE(neg, -x, -dy)
ROW(neg, SAVE_NONE, "-x, element by element.")

/* exponential: y = e^x, dx = dy y */
ELEMENTWISE(exp, real_exp(x), dy * y)
ROW(exp, SAVE_OUT, "e^x, element by element.")

/* natural logarithm: dx = dy / x */
ELEMENTWISE(log, real_log(x), dy / x)
ROW(log, SAVE_IN0, "The natural logarithm of x.")

/* logarithms to other bases, and that of 1 + x: dx = dy / (x log base), dy / (1 + x) */
ELEMENTWISE(log2, real_log2(x), dy / x * (real)1.4426950408889634)
ROW(log2, SAVE_IN0, "The logarithm of x to the base 2.")
ELEMENTWISE(log10, real_log10(x), dy / x * (real)0.43429448190325183)
ROW(log10, SAVE_IN0, "The logarithm of x to the base 10.")
ELEMENTWISE(log1p, real_log1p(x), dy / (1 + x))
ROW(log1p, SAVE_IN0, "log(1 + x), exact for small x too.")

/* e^x - 1 and 2^x: dx = dy (y + 1), dy y log 2 */
ELEMENTWISE(expm1, real_expm1(x), dy * (y + 1))
ROW(expm1, SAVE_OUT, "e^x - 1, exact for small x too.")
ELEMENTWISE(exp2, real_exp2(x), dy * y * (real)0.69314718055994531)
ROW(exp2, SAVE_OUT, "2^x, element by element.")

/* square root: dx = dy / (2 y) */
ELEMENTWISE(sqrt, real_sqrt(x), dy / (2 * y))
ROW(sqrt, SAVE_OUT, "The square root of x.")

/* 1 / sqrt(x) and 1 / x: dx = -dy y^3 / 2, -dy y^2 */
ELEMENTWISE(rsqrt, 1 / real_sqrt(x), dy * (real)-0.5 * y * y * y)
ROW(rsqrt, SAVE_OUT, "1 / sqrt(x), element by element.")
ELEMENTWISE(reciprocal, 1 / x, -dy * y * y)
ROW(reciprocal, SAVE_OUT, "1 / x, element by element.")

/* square: dx = 2 x dy */
ELEMENTWISE(square, x * x, 2 * x * dy)
ROW(square, SAVE_IN0, "x^2, element by element.")

/* absolute value: dx = dy sign(x), 0 at 0 and NaN */
ELEMENTWISE(abs, real_abs(x), x > 0 ? dy : x < 0 ? -dy : 0 * dy)
ROW(abs, SAVE_IN0, "|x|; its gradient at 0 is 0.")

/* sigmoid: y = 1 / (1 + e^-x), dx = dy y (1 - y) */
ELEMENTWISE(sigmoid, real_sigmoid(x), dy * y * (1 - y))
ROW(sigmoid, SAVE_OUT, "1 / (1 + e^-x)")

/* rectifier: y = max(x, 0); NaN passes through */
ELEMENTWISE(relu, x < 0 ? 0 : x, y <= 0 ? 0 : dy)
TAIL_ROW(relu, TAIL_RELU, SAVE_OUT, "max(x, 0)")

/* leaky rectifier: y = x where x > 0, slope x elsewhere; NaN is elsewhere. Unless the slope is
 * negative, the output has the sign of x, and is what is kept: whoever comes next keeps it too. */
ELEMENTWISE(leaky_relu_of, x <= 0 ? p0 * x : x, x > 0 ? dy : p0 * dy)
static unsigned leaky_relu_saves(const Call *c) { return c->number[0] >= 0 ? SAVE_OUT : SAVE_IN0; }
static bool leaky_relu_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                                Error *e) {
  const Tensor *saved[] = {y ? y : c->in[0]};
  const Call of = {.in = saved, .number = {c->number[0]}};
  return leaky_relu_of_backward(&of, NULL, dy, dx, e);
}
static const Op op_leaky_relu = {.name = "leaky_relu",
                                 .inputs = "x",
                                 .doc = "x where positive, slope * x elsewhere.",
                                 .flags = OP_ELEMENTWISE,
                                 .saves = leaky_relu_saves,
                                 PARAMS({"slope", PARAM_NUMBER, false, 0.01, NULL}),
                                 .tail = TAIL_LEAKY_RELU,
                                 .forward = leaky_relu_of_forward,
                                 .backward = leaky_relu_backward};

/* exponential linear unit: y = x where x > 0, alpha (e^x - 1) elsewhere */
ELEMENTWISE(elu, x > 0 ? x : p0 * real_expm1(x), x > 0 ? dy : dy * p0 * real_exp(x))
ROW(elu, SAVE_IN0, "x where positive, alpha * (e^x - 1) elsewhere.",
    {"alpha", PARAM_NUMBER, false, 1, NULL})

/* x for a product with a weight that is 0 from here on: infinity times it would be NaN. NaN stays.
 */
enum { FADED = 1000 };
static inline real above_faded(real x) { return x < -FADED ? -FADED : x; }
static inline real within_faded(real x) { return x > FADED ? FADED : above_faded(x); }

/* the normal distribution function */
static inline real normal_below(real x) {
  return (real)0.5 * (1 + real_erf(x * (real)0.70710678118654752));
}

/* Gaussian error linear unit (Hendrycks and Gimpel, 2016): y = x Phi(x), dx = dy (Phi(x) + x
 * phi(x)) */
ELEMENTWISE(gelu_exact, (real)0.5 * above_faded(x) * (1 + real_erf(x * (real)0.70710678118654752)),
            dy * (normal_below(x) +
                 within_faded(x) * (real)0.39894228040143268 * real_exp((real)-0.5 * x * x)))

/* its approximation: y = x s(2 u), u = sqrt(2/pi) (x + 0.044715 x^3), s the sigmoid,
 * dx = dy (s(2 u) + x s(2 u) (1 - s(2 u)) 2 u') */
static inline real gelu_share(real x) {
  real v = within_faded(x); /* its cube is finite */
  return real_sigmoid((real)1.5957691216057308 * v * (1 + (real)0.044715 * v * v));
}
static inline real gelu_share_slope(real x) {
  real v = within_faded(x), s = gelu_share(x);
  return s * (1 - s) * (real)1.5957691216057308 * (1 + (real)0.134145 * v * v);
}
ELEMENTWISE(gelu_tanh, above_faded(x) * gelu_share(x),
            dy * (gelu_share(x) + within_faded(x) * gelu_share_slope(x)))

static bool gelu_forward(Call *c, Tensor *y, Error *e) {
  return c->integer[0] ? gelu_tanh_forward(c, y, e) : gelu_exact_forward(c, y, e);
}
static bool gelu_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  return c->integer[0] ? gelu_tanh_backward(c, y, dy, dx, e) : gelu_exact_backward(c, y, dy, dx, e);
}
ROW(gelu, SAVE_IN0,
    "x * Phi(x), Phi the normal distribution function; with approximate = \"tanh\" a formula near to it.",
    {"approximate", PARAM_CHOICE, false, 0, "none tanh"})

/* SiLU, swish: y = x s(x), dx = dy s(x) (1 + x (1 - s(x))), s the sigmoid */
ELEMENTWISE(silu, above_faded(x) * real_sigmoid(x),
            dy * real_sigmoid(x) * (1 + within_faded(x) * (1 - real_sigmoid(x))))
ROW(silu, SAVE_IN0, "x * sigmoid(x)")

/* softplus: y = log(1 + e^x), dx = dy sigmoid(x); or log(1 + e^(beta x)) / beta, and x itself where
 * beta x is above the threshold */
ELEMENTWISE(softplus_plain, real_softplus(x), dy * real_sigmoid(x))
ELEMENTWISE(softplus_scaled,
            (real)p[0] * x > (real)p[1] ? x : real_softplus((real)p[0] * x) / (real)p[0],
            (real)p[0] * x > (real)p[1] ? dy : dy * real_sigmoid((real)p[0] * x))
static bool softplus_is_plain(const Call *c) {
  return c->number[0] == 1 && c->number[1] == INFINITY;
}
static bool softplus_forward(Call *c, Tensor *y, Error *e) {
  return softplus_is_plain(c) ? softplus_plain_forward(c, y, e) : softplus_scaled_forward(c, y, e);
}
static bool softplus_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                              Error *e) {
  return softplus_is_plain(c) ? softplus_plain_backward(c, y, dy, dx, e)
                              : softplus_scaled_backward(c, y, dy, dx, e);
}
ROW(softplus, SAVE_IN0,
    "log(1 + e^(beta x)) / beta, without overflow; x itself where beta x is above the threshold.",
    {"beta", PARAM_NUMBER, false, 1, NULL}, {"threshold", PARAM_NUMBER, false, INFINITY, NULL})

/* power with a fixed exponent: dx = dy p x^(p-1) */
ELEMENTWISE(pow, real_pow(x, p0),
            p[0] == 0 ? 0 * dy : dy * p0 * real_pow(x, (real)(p[0] - 1)))
ROW(pow, SAVE_IN0, "x^exponent, the exponent being a number.",
    {"exponent", PARAM_NUMBER, true, 0, NULL})

static bool clamp_shape(const Call *c, Shape *out, Error *e) {
  double low = c->number[0], high = c->number[1];
  if (!(low <= high) || (isinf(low) && isinf(high)))
    return error_set(e, "expected min, max or both, min not above max; got %g and %g", low, high);
  *out = c->in[0]->shape;
  return true;
}

/* clamp: y = min(max(x, min), max); the gradient passes inside, the bounds included; NaN is not */
ELEMENTWISE(clamp, x < p0 ? p0 : x > p1 ? p1 : x,
            x >= p0 && x <= p1 ? dy : 0)
static const Op op_clamp = {.name = "clamp",
                            .inputs = "x",
                            .doc = "x limited to [min, max]; either bound may be left out.",
                            .flags = OP_ELEMENTWISE,
                            .save = SAVE_IN0,
                            PARAMS({"min", PARAM_NUMBER, false, -INFINITY, NULL},
                                       {"max", PARAM_NUMBER, false, INFINITY, NULL}),
                            .shape = clamp_shape,
                            .forward = clamp_forward,
                            .backward = clamp_backward};

/* Steps: their gradient is zero wherever it exists. */
ELEMENTWISE(floor, real_floor(x), 0 * dy)
ROW(floor, SAVE_NONE, "The largest whole number not above x; gradient 0.")
ELEMENTWISE(ceil, real_ceil(x), 0 * dy)
ROW(ceil, SAVE_NONE, "The smallest whole number not below x; gradient 0.")
ELEMENTWISE(trunc, real_trunc(x), 0 * dy)
ROW(trunc, SAVE_NONE, "x without what stands behind its decimal point; gradient 0.")
ELEMENTWISE(round, real_round(x), 0 * dy)
ROW(round, SAVE_NONE, "The nearest whole number, halves to the even one; gradient 0.")
ELEMENTWISE(sign, x > 0 ? 1 : x < 0 ? -1 : x, 0 * dy)
ROW(sign, SAVE_NONE, "-1, 0 or 1; gradient 0.")
/* clang-format on */

const Op *const ISA_NAME(ops_elementwise)[] = {
    &op_neg,   &op_exp,        &op_expm1, &op_exp2,       &op_log,    &op_log1p,    &op_log2,
    &op_log10, &op_sqrt,       &op_rsqrt, &op_reciprocal, &op_square, &op_abs,      &op_sigmoid,
    &op_relu,  &op_leaky_relu, &op_elu,   &op_gelu,       &op_silu,   &op_softplus, &op_pow,
    &op_clamp, &op_floor,      &op_ceil,  &op_trunc,      &op_round,  &op_sign,     NULL};
