/* Floor 3: circular and hyperbolic functions of one tensor, and what undoes them. */
#include "ops/elementwise.h"
#include "ops/families.h"

/* It takes a product of names for the declaration of a pointer. */
/* clang-format off */

/* sine, cosine and tangent: dx = dy cos x, -dy sin x, dy (1 + y^2) */
ELEMENTWISE(sin, real_sin(x), dy * real_cos(x))
ROW(sin, SAVE_IN0, "The sine of x, in radians.")
ELEMENTWISE(cos, real_cos(x), -dy * real_sin(x))
ROW(cos, SAVE_IN0, "The cosine of x, in radians.")
ELEMENTWISE(tan, real_tan(x), dy * (1 + y * y))
ROW(tan, SAVE_OUT, "The tangent of x, in radians.")

/* their inverses: dx = dy / sqrt(1 - x^2), -dy / sqrt(1 - x^2), dy / (1 + x^2). 1 - x^2 as a product
 * keeps its digits near 1. */
ELEMENTWISE(asin, real_asin(x), dy / real_sqrt((1 - x) * (1 + x)))
ROW(asin, SAVE_IN0, "The angle in [-pi/2, pi/2] whose sine is x; NaN beyond 1.")
ELEMENTWISE(acos, real_acos(x), -dy / real_sqrt((1 - x) * (1 + x)))
ROW(acos, SAVE_IN0, "The angle in [0, pi] whose cosine is x; NaN beyond 1.")
ELEMENTWISE(atan, real_atan(x), dy / (1 + x * x))
ROW(atan, SAVE_IN0, "The angle in [-pi/2, pi/2] whose tangent is x; of two sides: atan2.")

/* hyperbolic sine, cosine and tangent: dx = dy cosh x, dy sinh x, dy (1 - y^2) */
ELEMENTWISE(sinh, real_sinh(x), dy * real_cosh(x))
ROW(sinh, SAVE_IN0, "The hyperbolic sine of x.")
ELEMENTWISE(cosh, real_cosh(x), dy * real_sinh(x))
ROW(cosh, SAVE_IN0, "The hyperbolic cosine of x.")
ELEMENTWISE(tanh, real_tanh(x), dy * (1 - y * y))
ROW(tanh, SAVE_OUT, "The hyperbolic tangent of x.")

/* their inverses: dx = dy / sqrt(x^2 + 1), dy / sqrt(x^2 - 1), dy / (1 - x^2) */
ELEMENTWISE(asinh, real_asinh(x), dy / real_hypot(x, 1))
ROW(asinh, SAVE_IN0, "The number whose hyperbolic sine is x.")
ELEMENTWISE(acosh, real_acosh(x), dy / (real_sqrt(x - 1) * real_sqrt(x + 1)))
ROW(acosh, SAVE_IN0, "The number of at least 0 whose hyperbolic cosine is x; NaN below 1.")
ELEMENTWISE(atanh, real_atanh(x), dy / ((1 - x) * (1 + x)))
ROW(atanh, SAVE_IN0, "The number whose hyperbolic tangent is x; NaN beyond 1.")
/* clang-format on */

const Op *const ISA_NAME(ops_trigonometric)[] = {
    &op_sin,  &op_cos,  &op_tan,   &op_asin,  &op_acos,  &op_atan, &op_sinh,
    &op_cosh, &op_tanh, &op_asinh, &op_acosh, &op_atanh, NULL};
