/* Floor 3: ops that draw random numbers, from the default generator. */
#include "simd/isa.h"
#include "base/random.h"
#include "ops/families.h"

#include <string.h>

static bool probability_shape(const Call *c, Shape *out, Error *e) {
  double p = c->number[0];
  if (!(p >= 0 && p <= 1)) return error_set(e, "p: expected a number in [0, 1], got %g", p);
  *out = c->in[0]->shape;
  return true;
}

/* dropout (Srivastava et al., 2014), scaled so that the mean is kept:
 * y = x m / (1 - p), m zero with probability p,   dx = dy m / (1 - p); all 0 where p is 1 */
static bool dropout_forward(Call *c, Tensor *y, Error *e) {
  const Tensor *x = c->in[0];
  if (!c->integer[0]) {
    memcpy(y->data, x->data, (size_t)x->numel * sizeof(real));
    return true;
  }
  Tensor *mask = tensor_new(DTYPE_REAL, &x->shape, e);
  if (!mask) return false;
  random_bernoulli(random_default(), reals(mask), x->numel, 1 - c->number[0]);
  real scale = c->number[0] < 1 ? (real)(1 / (1 - c->number[0])) : 0;
  for (int64_t i = 0; i < x->numel; i++) {
    reals(mask)[i] *= scale;
    reals(y)[i] = reals(x)[i] * reals(mask)[i];
  }
  c->extra[0] = mask;
  return true;
}
static bool dropout_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y, (void)e;
  for (int64_t i = 0; i < dy->numel; i++)
    reals(dx[0])[i] = c->extra[0] ? reals(dy)[i] * reals(c->extra[0])[i] : reals(dy)[i];
  return true;
}
static const Op op_dropout = {
    .name = "dropout",
    .inputs = "x",
    .doc = "Each element is zero with probability p, the others are divided "
           "by 1 - p; training = false leaves all as they are.",
    PARAMS({"p", PARAM_NUMBER, false, 0.5, NULL}, {"training", PARAM_BOOL, false, 1, NULL}),
    .shape = probability_shape,
    .forward = dropout_forward,
    .backward = dropout_backward};

/* Bernoulli draws: 1 with the probability that the element gives; no gradient */
static bool bernoulli_shape(const Call *c, Shape *out, Error *e) {
  for (int64_t i = 0; i < c->in[0]->numel; i++) {
    double p = (double)reals(c->in[0])[i];
    if (!(p >= 0 && p <= 1))
      return error_set(e, "p: expected probabilities in [0, 1], got %g at position %lld", p,
                       (long long)i + 1);
  }
  *out = c->in[0]->shape;
  return true;
}
static bool bernoulli_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  random_uniform(random_default(), reals(y), y->numel);
  for (int64_t i = 0; i < y->numel; i++) reals(y)[i] = reals(y)[i] < reals(c->in[0])[i];
  return true;
}
static const Op op_bernoulli = {.name = "bernoulli",
                                .inputs = "p",
                                .doc = "1 with the probability that each element gives, else 0.",
                                .shape = bernoulli_shape,
                                .forward = bernoulli_forward};

const Op *const ISA_NAME(ops_random)[] = {&op_dropout, &op_bernoulli, NULL};
