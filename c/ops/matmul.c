/* Floor 3: matrix products. */
#include "ops/gemm.h"
#include "base/parallel.h"
#include "simd/isa.h"
#include "ops/families.h"

/* ---- matmul: [..., m, k] times [k, n], or times [..., k, n] with the same leading sizes ---- */

typedef struct Batch {
  int64_t count, m, k, n;
  bool shared; /* one b for all */
} Batch;

static Batch batch_of(const Shape *a, const Shape *b) {
  Batch s = {1, a->size[a->dims - 2], a->size[a->dims - 1], b->size[b->dims - 1], b->dims == 2};
  for (int d = 0; d < a->dims - 2; d++) s.count *= a->size[d];
  if (s.shared) {
    s.m *= s.count;
    s.count = 1;
  }
  return s;
}

static bool matmul_shape(const Call *c, Shape *out, Error *e) {
  const Shape *a = &c->in[0]->shape, *b = &c->in[1]->shape;
  char at[SHAPE_TEXT], bt[SHAPE_TEXT];
  bool fit = a->dims >= 2 && b->dims >= 2 && (b->dims == 2 || b->dims == a->dims) &&
             a->size[a->dims - 1] == b->size[b->dims - 2];
  for (int d = 0; fit && b->dims > 2 && d < a->dims - 2; d++) fit = a->size[d] == b->size[d];
  if (!fit)
    return error_set(e, "expected [..., m, k] and [k, n] or [..., k, n], got %s and %s",
                     shape_text(a, at), shape_text(b, bt));
  *out = *a;
  out->size[a->dims - 1] = b->size[b->dims - 1];
  return true;
}

/* y = a b */
static bool matmul_forward(Call *c, Tensor *y, Error *e) {
  Batch s = batch_of(&c->in[0]->shape, &c->in[1]->shape);
  Product p = {.m = s.m,
               .n = s.n,
               .k = s.k,
               .a = reals(c->in[0]),
               .b = reals(c->in[1]),
               .c = reals(y),
               .count = s.count,
               .a_next = s.m * s.k,
               .b_next = s.k * s.n,
               .c_next = s.m * s.n};
  return ISA_NAME(gemm_all)(&p, 1, NULL, e);
}

/* Those of the two that are wanted. */
static bool gradients(const Product *of_a, const Product *of_b, const ParallelRange *beside,
                      Error *e) {
  Product wanted[PRODUCTS];
  int count = 0;
  if (of_a->c) wanted[count++] = *of_a;
  if (of_b->c) wanted[count++] = *of_b;
  return ISA_NAME(gemm_all)(wanted, count, beside, e);
}

/* da = dy b^T,   db = a^T dy */
static bool matmul_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y;
  Batch s = batch_of(&c->in[0]->shape, &c->in[1]->shape);
  int64_t a = s.m * s.k, b = s.k * s.n, d = s.m * s.n;
  Product da = {.m = s.m,
                .n = s.k,
                .k = s.n,
                .a = reals(dy),
                .b = reals(c->in[1]),
                .b_transposed = true,
                .c = dx[0] ? reals(dx[0]) : NULL,
                .count = s.count,
                .a_next = d,
                .b_next = b,
                .c_next = a};
  Product db = {.m = s.k,
                .n = s.n,
                .k = s.m,
                .a = reals(c->in[0]),
                .a_transposed = true,
                .b = reals(dy),
                .c = dx[1] ? reals(dx[1]) : NULL,
                .count = s.count,
                .a_next = a,
                .b_next = d,
                .c_next = b};
  return gradients(&da, &db, NULL, e);
}
static const Op op_matmul = {.name = "matmul",
                             .inputs = "a b",
                             .doc =
                                 "The matrix product of [..., m, k] and [k, n], or of two batches "
                                 "[..., m, k] and [..., k, n].",
                             .save = SAVE_IN0 | SAVE_IN1,
                             .shape = matmul_shape,
                             .forward = matmul_forward,
                             .backward = matmul_backward};

/* ---- linear: y = x w + b, x [..., in], w [in, out], b [out] ---- */

static bool linear_shape(const Call *c, Shape *out, Error *e) {
  const Shape *x = &c->in[0]->shape, *w = &c->in[1]->shape, *b = c->in[2] ? &c->in[2]->shape : NULL;
  char text[SHAPE_TEXT];
  if (w->dims != 2) return error_set(e, "weight: expected [in, out], got %s", shape_text(w, text));
  if (x->dims < 1 || x->size[x->dims - 1] != w->size[0])
    return error_set(e, "expected [*, %lld], got %s", (long long)w->size[0], shape_text(x, text));
  if (b && (b->dims != 1 || b->size[0] != w->size[1]))
    return error_set(e, "bias: expected [%lld], got %s", (long long)w->size[1],
                     shape_text(b, text));
  *out = *x;
  out->size[x->dims - 1] = w->size[1];
  return true;
}

static int64_t linear_rows(const Call *c) {
  int64_t rows = 1;
  for (int d = 0; d < c->in[0]->shape.dims - 1; d++) rows *= c->in[0]->shape.size[d];
  return rows;
}

static bool linear_forward(Call *c, Tensor *y, Error *e) {
  Product p = {.m = linear_rows(c),
               .n = c->in[1]->shape.size[1],
               .k = c->in[1]->shape.size[0],
               .a = reals(c->in[0]),
               .b = reals(c->in[1]),
               .c = reals(y),
               .bias = c->in[2] ? reals(c->in[2]) : NULL,
               .count = 1};
  return ISA_NAME(gemm_all)(&p, 1, NULL, e);
}

typedef struct BiasGradient {
  const real *dy;
  int64_t rows, out;
  real *db;
} BiasGradient;

enum { BIAS_STRIP = 64, BIAS_GRAIN = 1 << 14 /* elements of a parallel chunk */ };

static void bias_strips(void *context, int64_t begin, int64_t end, int thread) {
  const BiasGradient *g = context;
  (void)thread;
  for (int64_t first = begin; first < end; first += BIAS_STRIP) {
    int64_t n = end - first < BIAS_STRIP ? end - first : BIAS_STRIP;
    double sum[BIAS_STRIP] = {0};
    for (int64_t r = 0; r < g->rows; r++)
      for (int64_t i = 0; i < n; i++) sum[i] += (double)g->dy[r * g->out + first + i];
    for (int64_t i = 0; i < n; i++) g->db[first + i] = (real)sum[i];
  }
}

/* db = the sum of dy's rows, in double precision */
static ParallelRange bias_gradient(BiasGradient *g) {
  int64_t strips = BIAS_GRAIN / (BIAS_STRIP * g->rows + 1) + 1;
  return (ParallelRange){g->out, strips * BIAS_STRIP, bias_strips, g};
}

/* dx = dy w^T,   dw = x^T dy,   db = sum of dy over rows */
static bool linear_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y;
  int64_t rows = linear_rows(c), in = c->in[1]->shape.size[0], out = c->in[1]->shape.size[1];
  Product to_x = {.m = rows,
                  .n = in,
                  .k = out,
                  .a = reals(dy),
                  .b = reals(c->in[1]),
                  .b_transposed = true,
                  .c = dx[0] ? reals(dx[0]) : NULL,
                  .count = 1};
  Product to_weight = {.m = in,
                       .n = out,
                       .k = rows,
                       .a = reals(c->in[0]),
                       .a_transposed = true,
                       .b = reals(dy),
                       .c = dx[1] ? reals(dx[1]) : NULL,
                       .count = 1};
  bool bias = c->in[2] && dx[2];
  BiasGradient to_bias = {reals(dy), rows, out, bias ? reals(dx[2]) : NULL};
  ParallelRange beside = bias_gradient(&to_bias);
  return gradients(&to_x, &to_weight, bias ? &beside : NULL, e);
}
static const Op op_linear = {.name = "linear",
                             .inputs = "x weight bias?",
                             .doc =
                                 "x weight + bias, for x [..., in], weight [in, out], bias [out].",
                             .save = SAVE_IN0 | SAVE_IN1,
                             .shape = linear_shape,
                             .forward = linear_forward,
                             .backward = linear_backward};

const Op *const ISA_NAME(ops_matmul)[] = {&op_matmul, &op_linear, NULL};
