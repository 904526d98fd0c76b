#include "ops/convert.h"

#include "base/dtype.h"

static bool same_shape(const Call *c, Shape *out, Error *e) {
  (void)e;
  *out = c->in[0]->shape;
  return true;
}

static Dtype wanted(const Call *c) { return (Dtype)c->integer[0]; }

static bool convert_forward(Call *c, Tensor *y, Error *e) { return tensor_convert(c->in[0], y, e); }

/* dx = dy, in x's type */
static bool convert_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)c, (void)y;
  return tensor_convert(dy, dx[0], e);
}

const Op op_convert = {.name = "convert",
                       .inputs = "x",
                       .doc = "The same values in the other floating type.",
                       .flags = OP_ANY | OP_HIDDEN,
                       .shape = same_shape,
                       .dtype = wanted,
                       .forward = convert_forward,
                       .backward = convert_backward};
