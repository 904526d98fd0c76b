/* Floor 3: the fused block, which nn.Sequential puts in the place of chains of plain ops. It means
 * exactly what they mean; it is faster because nothing between them is ever written to memory as a
 * whole. Checks and parameters are here, the work in c/simd/block_*.h. */
#include "ops/families.h"
#include "ops/pairs.h"

#ifdef LATENT_DOUBLE
#include "simd/block_plain.h"
#else
#include "simd/block_backward.h"
#endif

enum { LARGEST = 1 << 30 };

/* Places in Call.integer. */
enum { UPSAMPLE = 0, PADDING = 2, TRANSPOSED = 4, ACTIVATION = 5, POOL = 6 };

static bool check_sizes(const char *name, const char *expected, const Shape *s, int first,
                        int64_t largest, Error *e) {
  char text[SHAPE_TEXT];
  bool right = s->dims == 4;
  for (int d = first; d < 4 && right; d++) right = s->size[d] >= 1 && s->size[d] <= largest;
  return right || error_set(e, "%s: expected %s, got %s", name, expected, shape_text(s, text));
}

static bool check_inputs(const Call *c, Error *e) {
  const Shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
  char text[SHAPE_TEXT];
  if (!check_sizes("x", "[batch, height, width, channels]", x, 1, LARGEST, e) ||
      !check_sizes("weight", "[height, width, in, out]", w, 0, LARGEST_PARAM, e))
    return false;
  if (w->size[2] != x->size[3])
    return error_set(e, "weight: expected [*, *, %lld, *] for an input of %lld channels, got %s",
                     (long long)x->size[3], (long long)x->size[3], shape_text(w, text));
  const Shape *bias = c->in[2] ? &c->in[2]->shape : NULL;
  if (bias && (bias->dims != 1 || bias->size[0] != w->size[3]))
    return error_set(e, "bias: expected [%lld], got %s", (long long)w->size[3],
                     shape_text(bias, text));
  return check_pair("upsample", c->integer + UPSAMPLE, 1, e) &&
         check_pair("padding", c->integer + PADDING, 0, e) &&
         check_pair("pool", c->integer + POOL, 1, e);
}

static Block block_of(const Call *c) {
  const int64_t *x = c->in[0]->shape.size, *w = c->in[1]->shape.size;
  Block b = {.batch = x[0],
             .in = w[2],
             .out = w[3],
             .transposed = c->integer[TRANSPOSED],
             .activation = (BlockActivation)c->integer[ACTIVATION],
             .slope = (real)c->number[0]};
  for (int d = 0; d < 2; d++)
    b.axis[d] = block_axis(x[1 + d], c->integer[UPSAMPLE + d], w[d], c->integer[PADDING + d],
                           b.transposed, c->integer[POOL + d]);
  return b;
}

static bool conv_block_shape(const Call *c, Shape *out, Error *e) {
  if (!check_inputs(c, e)) return false;
  Block b = block_of(c);
  for (int d = 0; d < 2; d++) {
    const char *axis = d == 0 ? "height" : "width";
    const BlockAxis *a = &b.axis[d];
    if (a->up * a->in > LARGEST || a->out > LARGEST)
      return error_set(e, "upsample: {%lld, %lld} makes the image too large",
                       (long long)c->integer[UPSAMPLE], (long long)c->integer[UPSAMPLE + 1]);
    if (a->out < 1)
      return error_set(e,
                       "weight: a kernel of %s %lld does not fit an input of %s %lld (padding "
                       "%lld)",
                       axis, (long long)a->kernel, axis, (long long)(a->up * a->in),
                       (long long)c->integer[PADDING + d]);
    if (a->pooled < 1)
      return error_set(e, "pool: a window of %s %lld does not fit an image of %s %lld", axis,
                       (long long)a->pool, axis, (long long)a->out);
  }
  *out = (Shape){4, {b.batch, b.axis[0].pooled, b.axis[1].pooled, b.out}};
  return true;
}

/* conv_block: y = pool(act(b + w * upsample(x)))
 *   dz: dy at the windows' winners, times the slope of act   db: the sum of dz
 *   dx: the block's transposed convolution of dz   dw: the correlation of upsample(x) and dz */

static bool conv_block_forward(Call *c, Tensor *y, Error *e) {
  Block b = block_of(c);
  const real *bias = c->in[2] ? reals(c->in[2]) : NULL;
  return block_forward(&b, reals(c->in[0]), reals(c->in[1]), bias, reals(y), c->record,
                       &c->extra[0], e);
}

static real *wanted(const Tensor *t) { return t ? reals(t) : NULL; }

static bool conv_block_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                                Error *e) {
  (void)y;
  Block b = block_of(c);
  return block_backward(&b, reals(c->in[0]), reals(c->in[1]), c->extra[0], reals(dy), wanted(dx[0]),
                        wanted(dx[1]), wanted(dx[2]), e);
}

static const Op op_conv_block = {
    .name = "conv_block",
    .inputs = "x weight bias?",
    .doc = "Nearest upsampling, convolution of stride 1 (or its transpose), bias, activation and "
           "max pooling in one: the fused form of the chain, which it equals.",
    .flags = OP_HIDDEN,
    .save = SAVE_IN0 | SAVE_IN1 | SAVE_IN2, /* the bias for a gradient of the gradient */
    PARAMS({"upsample", PARAM_PAIR, false, 1, NULL}, {"padding", PARAM_PAIR, false, 0, NULL},
           {"transposed", PARAM_BOOL, false, 0, NULL},
           {"activation", PARAM_CHOICE, false, 0, "none relu leaky_relu"},
           {"slope", PARAM_NUMBER, false, 0.01, NULL}, {"pool", PARAM_PAIR, false, 1, NULL}),
    .shape = conv_block_shape,
    .forward = conv_block_forward,
    .backward = conv_block_backward};

const Op *const ISA_NAME(ops_block)[] = {&op_conv_block, NULL};
