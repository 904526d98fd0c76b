/* Floor 3: ops that move elements about: views, copies of parts, permutations, joins. */
#include "simd/isa.h"
#include "base/bytes.h"
#include "base/parallel.h"
#include "base/places.h"
#include "ops/permute.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <string.h>

static void zero(Tensor *t) { bytes_zero(t->data, (size_t)t->numel * dtype_size(t->dtype)); }

static Dtype same_dtype(const Call *c) { return c->in[0]->dtype; }
static int64_t view_start(const Call *c) {
  (void)c;
  return 0;
}

/* ---- reshape: the same elements in another shape, as a view ---- */

static bool reshape_shape(const Call *c, Shape *out, Error *e) {
  char from[SHAPE_TEXT], to[SHAPE_TEXT];
  Shape s = {.dims = (int)c->integer[0]}, asked;
  int open = -1;
  for (int d = 0; d < s.dims; d++) {
    s.size[d] = c->integer[1 + d];
    if (s.size[d] == -1 && open >= 0) return error_set(e, "shape: only one size may be -1");
    if (s.size[d] < -1)
      return error_set(e, "shape: expected sizes of at least 0, got %lld", (long long)s.size[d]);
    if (s.size[d] != -1) continue;
    open = d;
    s.size[d] = 1;
  }
  if (!shape_check(&s, e)) return false;
  asked = s;
  if (open >= 0) asked.size[open] = -1;
  int64_t known = shape_numel(&s);
  if (open >= 0) s.size[open] = known > 0 ? c->in[0]->numel / known : 0;
  if (shape_numel(&s) != c->in[0]->numel)
    return error_set(e, "shape: %s (%lld elements) does not fit into %s",
                     shape_text(&c->in[0]->shape, from), (long long)c->in[0]->numel,
                     shape_text(&asked, to));
  *out = s;
  return true;
}

static bool never_computed(Call *c, Tensor *y, Error *e) {
  (void)y;
  return error_set(e, "%s is a view", c->op->name);
}
static bool identity_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                              Error *e) {
  (void)c, (void)y, (void)e;
  bytes_copy(dx[0]->data, dy->data, (size_t)dy->numel * sizeof(real));
  return true;
}

static const Op op_reshape = {.name = "reshape",
                              .inputs = "x",
                              .doc =
                                  "A view of the same elements in another shape; one size may be "
                                  "-1 and is inferred.",
                              .flags = OP_ANY | OP_RESHAPE,
                              PARAMS({"shape", PARAM_INTS, true, 0, NULL}),
                              .shape = reshape_shape,
                              .dtype = same_dtype,
                              .view = view_start,
                              .forward = never_computed,
                              .backward = identity_backward};

/* ---- permute: element [i_p0, i_p1, ...] of x becomes [i_0, i_1, ...] of y ---- */

static bool permute_shape(const Call *c, Shape *out, Error *e) {
  char text[SHAPE_TEXT];
  const Shape *s = &c->in[0]->shape;
  if (c->integer[0] != s->dims)
    return error_set(e, "axes: expected %d axes for shape %s, got %lld", s->dims,
                     shape_text(s, text), (long long)c->integer[0]);
  bool seen[MAX_DIMS] = {false};
  out->dims = s->dims;
  for (int d = 0; d < s->dims; d++) {
    int64_t axis = c->integer[1 + d];
    if (!axis_check(s, axis, e)) return false;
    if (seen[axis]) return error_set(e, "axes: %lld is given twice", (long long)axis + 1);
    seen[axis] = true;
    out->size[d] = s->size[axis];
  }
  return true;
}

static bool permute_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  permute_copy(c->in[0], c->integer + 1, y);
  return true;
}
static bool permute_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y, (void)e;
  int64_t inverse[MAX_DIMS] = {0};
  for (int d = 0; d < dy->shape.dims; d++) inverse[c->integer[1 + d]] = d;
  permute_copy(dy, inverse, dx[0]);
  return true;
}
static const Op op_permute = {
    .name = "permute",
    .inputs = "x",
    .doc =
        "A copy with its axes in the given order: of x [a, b, c], x:permute{3, 1, 2} is [c, a, b].",
    .flags = OP_ANY | OP_PART,
    PARAMS({"axes", PARAM_AXES, true, 0, NULL}),
    .shape = permute_shape,
    .dtype = same_dtype,
    .forward = permute_forward,
    .backward = permute_backward};

/* ---- slice: rows first .. last of an axis; a view on the first axis ---- */

enum { SLICE_AXIS, FIRST, LAST };

/* Positions as Lua counts them (from 1, or from the end) to [first, last) counted from 0. */
static void slice_range(const Call *c, int64_t *first, int64_t *last) {
  int64_t n = c->in[0]->shape.size[c->integer[SLICE_AXIS]];
  *first = c->integer[FIRST] < 0 ? n + c->integer[FIRST] : c->integer[FIRST] - 1;
  *last = c->integer[LAST] < 0 ? n + c->integer[LAST] + 1 : c->integer[LAST];
}

static bool slice_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  if (!axis_check(s, c->integer[SLICE_AXIS], e)) return false;
  int64_t axis = c->integer[SLICE_AXIS], first, last;
  slice_range(c, &first, &last);
  if (first < 0 || last > s->size[axis] || first > last)
    return error_set(e, "expected a range within 1..%lld of axis %lld, got %lld..%lld",
                     (long long)s->size[axis], (long long)axis + 1, (long long)c->integer[FIRST],
                     (long long)c->integer[LAST]);
  *out = *s;
  out->size[axis] = last - first;
  return true;
}

static int64_t slice_view(const Call *c) {
  const Shape *s = &c->in[0]->shape;
  for (int d = 0; d < c->integer[SLICE_AXIS]; d++)
    if (s->size[d] != 1) return -1;
  int64_t first, last;
  slice_range(c, &first, &last);
  return first * axis_view(s, c->integer[SLICE_AXIS]).inner;
}

static bool slice_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  int64_t first, last;
  slice_range(c, &first, &last);
  AxisView v = axis_view(&c->in[0]->shape, c->integer[SLICE_AXIS]);
  size_t size = dtype_size(y->dtype) * (size_t)v.inner, run = size * (size_t)(last - first);
  bytes_copy_runs(&(Runs){.to = y->data,
                          .from = (const char *)c->in[0]->data + (size_t)first * size,
                          .run = run,
                          .to_step = run,
                          .from_step = (size_t)v.n * size,
                          .count = v.outer});
  return true;
}

static bool slice_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                           Error *e) {
  (void)y, (void)e;
  int64_t first, last;
  slice_range(c, &first, &last);
  AxisView v = axis_view(&dx[0]->shape, c->integer[SLICE_AXIS]);
  size_t size = (size_t)v.inner * sizeof(real), run = (size_t)(last - first) * size;
  zero(dx[0]);
  bytes_copy_runs(&(Runs){.to = (char *)dx[0]->data + (size_t)first * size,
                          .from = dy->data,
                          .run = run,
                          .to_step = (size_t)v.n * size,
                          .from_step = run,
                          .count = v.outer});
  return true;
}
static const Op op_slice = {
    .name = "slice",
    .inputs = "x",
    .doc = "Rows first..last (inclusive, -1 is the last) of an axis; a view "
           "on the first axis, a copy elsewhere.",
    .flags = OP_ANY | OP_PART,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"first", PARAM_INT, false, 1, NULL},
           {"last", PARAM_INT, false, -1, NULL}),
    .shape = slice_shape,
    .dtype = same_dtype,
    .view = slice_view,
    .forward = slice_forward,
    .backward = slice_backward};

/* ---- select: row i of the first axis as a view without that axis; what x[i] stands for ---- */

static bool select_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  int64_t n = s->dims ? s->size[0] : 0, i = c->integer[0];
  char text[RANGE_TEXT];
  if (i < 1 || i > n)
    return error_set(e, "index: expected %s, got %lld", range_text(n, text), (long long)i);
  out->dims = s->dims - 1;
  memcpy(out->size, s->size + 1, (size_t)out->dims * sizeof s->size[0]);
  return true;
}
static int64_t select_view(const Call *c) {
  return (c->integer[0] - 1) * (c->in[0]->numel / c->in[0]->shape.size[0]);
}
static bool select_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y, (void)e;
  zero(dx[0]);
  bytes_copy(reals(dx[0]) + select_view(c), dy->data, (size_t)dy->numel * sizeof(real));
  return true;
}
static const Op op_select = {.name = "select",
                             .inputs = "x",
                             .doc = "Row i of the first axis, as a view without that axis; x[i].",
                             .flags = OP_ANY,
                             PARAMS({"index", PARAM_INT, true, 0, NULL}),
                             .shape = select_shape,
                             .dtype = same_dtype,
                             .view = select_view,
                             .forward = never_computed,
                             .backward = select_backward};

/* ---- cat: joins along an axis ---- */

static bool cat_shape(const Call *c, Shape *out, Error *e) {
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  Shape s = c->in[0]->shape;
  int64_t axis = c->integer[0];
  if (!axis_check(&s, axis, e)) return false;
  for (int i = 1; i < c->inputs; i++) {
    Shape t = c->in[i]->shape;
    int64_t n = t.dims == s.dims ? t.size[axis] : 0;
    if (t.dims == s.dims) t.size[axis] = s.size[axis];
    if (!shape_equal(&s, &t) || c->in[i]->dtype != c->in[0]->dtype)
      return error_set(e, "tensor %d: expected %s %s apart from axis %lld, got %s %s", i + 1,
                       dtype_name(c->in[0]->dtype), shape_text(&c->in[0]->shape, a),
                       (long long)axis + 1, dtype_name(c->in[i]->dtype),
                       shape_text(&c->in[i]->shape, b));
    s.size[axis] += n;
  }
  *out = s;
  return true;
}

static bool cat_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  AxisView all = axis_view(&y->shape, c->integer[0]);
  size_t size = dtype_size(y->dtype), whole = (size_t)(all.n * all.inner) * size, start = 0;
  for (int i = 0; i < c->inputs; i++) {
    AxisView v = axis_view(&c->in[i]->shape, c->integer[0]);
    size_t run = (size_t)(v.n * v.inner) * size;
    bytes_copy_runs(&(Runs){.to = (char *)y->data + start,
                            .from = c->in[i]->data,
                            .run = run,
                            .to_step = whole,
                            .from_step = run,
                            .count = v.outer});
    start += run;
  }
  return true;
}

static bool cat_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y, (void)e;
  AxisView all = axis_view(&dy->shape, c->integer[0]);
  size_t whole = (size_t)(all.n * all.inner) * sizeof(real), start = 0;
  for (int i = 0; i < c->inputs; i++) {
    AxisView v = axis_view(&c->in[i]->shape, c->integer[0]);
    size_t run = (size_t)(v.n * v.inner) * sizeof(real);
    if (dx[i])
      bytes_copy_runs(&(Runs){.to = dx[i]->data,
                              .from = (const char *)dy->data + start,
                              .run = run,
                              .to_step = run,
                              .from_step = whole,
                              .count = v.outer});
    start += run;
  }
  return true;
}
static const Op op_cat = {.name = "cat",
                          .inputs = "xs*",
                          .doc = "A list of tensors joined along an axis.",
                          .flags = OP_ANY,
                          PARAMS({"axis", PARAM_AXIS, false, 1, NULL}),
                          .shape = cat_shape,
                          .dtype = same_dtype,
                          .forward = cat_forward,
                          .backward = cat_backward};

/* ---- flip: axes back to front ---- */

static bool flip_shape(const Call *c, Shape *out, Error *e) {
  if (c->integer[0] == 0) return error_set(e, "axis: expected at least one axis");
  if (!axes_shape(c, true, out, e)) return false;
  *out = c->in[0]->shape;
  return true;
}

/* Where row o of the axes before `last` comes from. */
static int64_t flip_source(const Call *c, const Shape *s, int last, int64_t o) {
  int64_t from = 0, step = 1;
  for (int d = last - 1; d >= 0; step *= s->size[d--]) {
    int64_t at = o % s->size[d];
    from += (axes_have(c, d) ? s->size[d] - 1 - at : at) * step;
    o /= s->size[d];
  }
  return from;
}

typedef struct Flip {
  const Call *call;
  const Tensor *x;
  Tensor *y;
  int last; /* axis that is flipped */
  AxisView v;
  size_t run;
} Flip;

/* Items: elements of the axis, within the axes before it. */
static void flip_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Flip *f = context;
  const Shape *s = &f->x->shape;
  int64_t n = f->v.n;
  (void)thread;
  while (begin < end) {
    int64_t o = begin / n, first = begin % n,
            left = n - first < end - begin ? n - first : end - begin;
    int64_t from = f->call->integer[0] == 1 ? o : flip_source(f->call, s, f->last, o);
    for (int64_t i = first; i < first + left; i++)
      memcpy((char *)f->y->data + (size_t)(o * n + i) * f->run,
             (const char *)f->x->data + (size_t)(from * n + n - 1 - i) * f->run, f->run);
    begin += left;
  }
}

static void flip(const Call *c, const Tensor *x, Tensor *y) {
  if (y->numel == 0) return;
  Flip f = {.call = c, .x = x, .y = y, .last = x->shape.dims - 1};
  while (!axes_have(c, f.last)) f.last--;
  f.v = axis_view(&x->shape, f.last);
  f.run = (size_t)f.v.inner * dtype_size(x->dtype);
  parallel_for(f.v.outer * f.v.n, bytes_grain(f.run), flip_chunk, &f);
}
static bool flip_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  flip(c, c->in[0], y);
  return true;
}
static bool flip_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y, (void)e;
  flip(c, dy, dx[0]);
  return true;
}
static const Op op_flip = {.name = "flip",
                           .inputs = "x",
                           .doc = "A copy with one axis, or each of a list of axes, back to front.",
                           .flags = OP_ANY,
                           PARAMS({"axis", PARAM_AXES, true, 0, NULL}),
                           .shape = flip_shape,
                           .dtype = same_dtype,
                           .forward = flip_forward,
                           .backward = flip_backward};

/* ---- one_hot: labels 0 .. classes - 1 to rows of zeros and a one; no gradient ---- */

static bool one_hot_shape(const Call *c, Shape *out, Error *e) {
  int64_t classes = c->integer[0];
  if (classes < 1)
    return error_set(e, "classes: expected at least 1, got %lld", (long long)classes);
  if (c->in[0]->shape.dims == MAX_DIMS) return error_set(e, "labels: too many axes");
  if (!places_check(c->in[0], 0, classes - 1, "labels", e)) return false;
  *out = c->in[0]->shape;
  out->size[out->dims++] = classes;
  return true;
}
static bool one_hot_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  zero(y);
  for (int64_t i = 0; i < c->in[0]->numel; i++)
    reals(y)[i * c->integer[0] + place_at(c->in[0], i)] = 1;
  return true;
}
static const Op op_one_hot = {.name = "one_hot",
                              .inputs = "labels",
                              .doc = "Class labels 0..classes-1 as rows of zeros with a single 1.",
                              .flags = OP_PLACES,
                              PARAMS({"classes", PARAM_INT, true, 0, NULL}),
                              .shape = one_hot_shape,
                              .forward = one_hot_forward};

const Op *const ISA_NAME(ops_shape)[] = {&op_reshape, &op_permute, &op_slice,   &op_select,
                                         &op_cat,     &op_flip,    &op_one_hot, NULL};
