/* Floor 3: elements and rows by their places, which count from 1: reading them (gather), writing
 * them (scatter), and finding them (nonzero). Where a place is written twice, the later write
 * stands, or, in sums, all are added in their order. */
#include "simd/isa.h"
#include "base/bytes.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "base/places.h"
#include "ops/axis.h"
#include "ops/families.h"
#include "ops/nonzero.h"

#include <string.h>

enum { AXIS, ACCUMULATE };

static Dtype same_dtype(const Call *c) { return c->in[0]->dtype; }

static void copy(const Tensor *from, Tensor *to) {
  bytes_copy(to->data, from->data, (size_t)to->numel * dtype_size(to->dtype));
}

static void zero(Tensor *t) { bytes_zero(t->data, (size_t)t->numel * dtype_size(t->dtype)); }

/* n elements from place k of `from` to place i of `to`, or added to them */
static void put(Tensor *to, int64_t i, const Tensor *from, int64_t k, int64_t n, bool accumulate) {
  size_t size = dtype_size(to->dtype);
  if (!accumulate) {
    memcpy((char *)to->data + (size_t)i * size, (char *)from->data + (size_t)k * size,
           (size_t)n * size);
  } else if (to->dtype == DTYPE_REAL) {
    real *restrict a = reals(to) + i;
    const real *restrict b = reals(from) + k;
    for (int64_t j = 0; j < n; j++) a[j] += b[j];
  } else {
    for (int64_t j = 0; j < n; j++)
      int64s(to)[i + j] = (int64_t)((uint64_t)int64s(to)[i + j] + (uint64_t)int64s(from)[k + j]);
  }
}

/* ---- runs: element j of `other` beside place `first + j` of the index, which stands for the one
 * of x that lies j steps further on and, of those along the axis, there ---- */

typedef struct Run {
  const Tensor *index;
  int64_t first, count;
  void *x; /* for place 1 */
  int64_t step, along;
  void *other;
} Run;
typedef void RunKernel(const Run *r);

#define RUN(NAME, TYPE, ORDER, STATEMENTS)                                                         \
  static void NAME(const Run *r) {                                                                 \
    const bool whole = r->index->dtype == DTYPE_I64;                                               \
    const int64_t *places = int64s(r->index) + r->first, step = r->step, along = r->along;         \
    const int64_t n = r->count;                                                                    \
    TYPE *const x = r->x, *const other = r->other;                                                 \
    for (int64_t k = 0; k < n; k++) {                                                              \
      int64_t j = ORDER, place = whole ? places[j] : place_at(r->index, r->first + j);             \
      TYPE *at = x + j * step + (place - 1) * along;                                               \
      STATEMENTS                                                                                   \
    }                                                                                              \
  }

RUN(get_1, uint8_t, k, other[j] = *at;)
RUN(get_4, uint32_t, k, other[j] = *at;)
RUN(get_8, uint64_t, k, other[j] = *at;)
RUN(set_1, uint8_t, k, *at = other[j];)
RUN(set_4, uint32_t, k, *at = other[j];)
RUN(set_8, uint64_t, k, *at = other[j];)
RUN(add_real, real, k, *at += other[j];)
RUN(add_whole, uint64_t, k, *at += other[j];)
RUN(take_real, real, n - 1 - k, if (other) other[j] = *at; *at = 0;)

static RunKernel *getter(Dtype dtype) {
  size_t size = dtype_size(dtype);
  return size == 1 ? get_1 : size == 4 ? get_4 : get_8;
}
static RunKernel *setter(Dtype dtype, bool accumulate) {
  size_t size = dtype_size(dtype);
  if (accumulate) return dtype == DTYPE_REAL ? add_real : add_whole;
  return size == 1 ? set_1 : size == 4 ? set_4 : set_8;
}

static void *element(const Tensor *t, int64_t i) {
  return (char *)t->data + (size_t)i * dtype_size(t->dtype);
}

static bool check_source(const Call *c, const Shape *wanted, Error *e) {
  const Tensor *x = c->in[0], *source = c->in[2];
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (source->dtype != x->dtype || !shape_equal(&source->shape, wanted))
    return error_set(e, "src: expected %s %s, got %s %s", dtype_name(x->dtype),
                     shape_text(wanted, a), dtype_name(source->dtype),
                     shape_text(&source->shape, b));
  if (c->integer[ACCUMULATE] && x->dtype == DTYPE_U8)
    return error_set(e, "x: sums of u8 would not fit; use :long()");
  return true;
}

/* ---- rows of an axis ---- */

static bool index_check(const Tensor *index, int64_t n, Error *e) {
  char text[SHAPE_TEXT];
  if (index->shape.dims != 1)
    return error_set(e, "index: expected a list of row numbers [*], got %s",
                     shape_text(&index->shape, text));
  return places_check(index, 1, n, "index", e);
}

static bool rows_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  if (s->dims < 1) return error_set(e, "x: expected at least one axis, got a scalar");
  if (!axis_check(s, c->integer[AXIS], e) || !index_check(c->in[1], s->size[c->integer[AXIS]], e))
    return false;
  *out = *s;
  out->size[c->integer[AXIS]] = c->in[1]->numel;
  return true;
}

/* Of a parallel chunk, elements: strips of rows; single ones, whose places cost more. */
enum { STRIP = 64, STRIP_GRAIN = 1 << 14, ELEMENTS_GRAIN = 1 << 12 };

typedef struct RowMove {
  const Tensor *from, *index;
  Tensor *to;
  AxisView v; /* of the one that has all rows */
  bool accumulate;
} RowMove;

/* Items: rows of `to`. */
static void select_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const RowMove *m = context;
  size_t row = (size_t)m->v.inner * dtype_size(m->to->dtype);
  char *at = (char *)m->to->data + (size_t)begin * row;
  (void)thread;
  for (int64_t k = begin; k < end; k++, at += row) {
    int64_t o = k / m->index->numel, i = k % m->index->numel;
    int64_t source = o * m->v.n + place_at(m->index, i) - 1;
    memcpy(at, (const char *)m->from->data + (size_t)source * row, row);
  }
}

/* The same of rows of one element. */
static void select_elements(void *context, int64_t begin, int64_t end, int thread) {
  const RowMove *m = context;
  int64_t count = m->index->numel;
  RunKernel *get = getter(m->to->dtype);
  (void)thread;
  for (int64_t n; begin < end; begin += n) {
    int64_t o = begin / count, left = (o + 1) * count - begin;
    n = left < end - begin ? left : end - begin;
    get(&(Run){m->index, count - left, n, element(m->from, o * m->v.n), 0, 1,
               element(m->to, begin)});
  }
}

/* to[o, i] = from[o, index[i]] */
static void select_rows(const Tensor *from, const Tensor *index, int64_t axis, Tensor *to) {
  RowMove m = {from, index, to, axis_view(&from->shape, axis), false};
  size_t row = (size_t)m.v.inner * dtype_size(to->dtype);
  if (m.v.inner == 1) parallel_for(to->numel, ELEMENTS_GRAIN, select_elements, &m);
  else parallel_for(m.v.outer * index->numel, bytes_grain(row), select_chunk, &m);
}

static int64_t strips_of(const AxisView *v) { return (v->inner + STRIP - 1) / STRIP; }

/* Items: strips of all rows, within the axes before them. What is added to an element is added by
 * one thread, in the index' order. */
static void put_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const RowMove *m = context;
  int64_t count = m->index->numel, strips = strips_of(&m->v), inner = m->v.inner;
  (void)thread;
  while (begin < end) {
    int64_t o = begin / strips, first = begin % strips, last = first + end - begin;
    if (last > strips) last = strips;
    int64_t k = first * STRIP, n = (last * STRIP < inner ? last * STRIP : inner) - k;
    for (int64_t i = 0; i < count; i++) {
      int64_t target = (o * m->v.n + place_at(m->index, i) - 1) * inner;
      put(m->to, target + k, m->from, (o * count + i) * inner + k, n, m->accumulate);
    }
    begin += last - first;
  }
}

/* Items: rows of one element, all of one place of the axes before them. */
static void put_elements(void *context, int64_t begin, int64_t end, int thread) {
  const RowMove *m = context;
  int64_t count = m->index->numel;
  RunKernel *set = setter(m->to->dtype, m->accumulate);
  (void)thread;
  for (int64_t o = begin; o < end; o++)
    set(&(Run){m->index, 0, count, element(m->to, o * m->v.n), 0, 1, element(m->from, o * count)});
}

/* to[o, index[i]] = from[o, i], or += */
static void put_rows(const Tensor *from, const Tensor *index, int64_t axis, bool accumulate,
                     Tensor *to) {
  RowMove m = {from, index, to, axis_view(&to->shape, axis), accumulate};
  int64_t item = index->numel * (m.v.inner < STRIP ? m.v.inner : STRIP);
  parallel_for(m.v.outer * strips_of(&m.v), STRIP_GRAIN / (item + 1) + 1,
               m.v.inner == 1 ? put_elements : put_chunk, &m);
}

/* A copy of the gradient to take parts out of: dx[0], or one of our own where nobody wants that. */
static Tensor *gradient_copy(const Tensor *dy, Tensor *const *dx, Error *e) {
  Tensor *t = dx[0] ? tensor_retain(dx[0]) : tensor_new(dy->dtype, &dy->shape, e);
  if (t) copy(dy, t);
  return t;
}

static bool gather_rows_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  select_rows(c->in[0], c->in[1], c->integer[AXIS], y);
  return true;
}
static bool gather_rows_backward(const Call *c, const Tensor *y, const Tensor *dy,
                                 Tensor *const *dx, Error *e) {
  (void)y, (void)e;
  if (dx[1]) zero(dx[1]);
  if (!dx[0]) return true;
  zero(dx[0]);
  put_rows(dy, c->in[1], c->integer[AXIS], true, dx[0]);
  return true;
}
static const Op op_gather_rows = {.name = "gather_rows",
                                  .inputs = "x index",
                                  .doc =
                                      "The rows of x (along its first axis, or another) that the "
                                      "index lists, counted from 1; a row may occur several times.",
                                  .flags = OP_ANY | OP_PLACES,
                                  .save = SAVE_IN1,
                                  PARAMS({"axis", PARAM_AXIS, false, 1, NULL}),
                                  .shape = rows_shape,
                                  .dtype = same_dtype,
                                  .forward = gather_rows_forward,
                                  .backward = gather_rows_backward};

static bool index_put_shape(const Call *c, Shape *out, Error *e) {
  Shape wanted;
  if (!rows_shape(c, &wanted, e) || !check_source(c, &wanted, e)) return false;
  *out = c->in[0]->shape;
  return true;
}
static bool index_put_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  copy(c->in[0], y);
  put_rows(c->in[2], c->in[1], c->integer[AXIS], c->integer[ACCUMULATE], y);
  return true;
}

/* The rows of dy that the index lists, from the last to the first; a row that stood in the result
 * is taken out, and what an earlier source has written there is nowhere. */
static void take_rows(Tensor *dy, const Tensor *index, int64_t axis, Tensor *to) {
  AxisView v = axis_view(&dy->shape, axis);
  size_t row = (size_t)v.inner * sizeof(real);
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t i = index->numel - 1; i >= 0; i--) {
      real *from = reals(dy) + (o * v.n + place_at(index, i) - 1) * v.inner;
      if (to) memcpy(reals(to) + (o * index->numel + i) * v.inner, from, row);
      memset(from, 0, row);
    }
}
static bool index_put_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                               Error *e) {
  (void)y;
  if (dx[1]) zero(dx[1]);
  if (c->integer[ACCUMULATE]) {
    if (dx[0]) copy(dy, dx[0]);
    if (dx[2]) select_rows(dy, c->in[1], c->integer[AXIS], dx[2]);
    return true;
  }
  Tensor *rest = gradient_copy(dy, dx, e);
  if (!rest) return false;
  take_rows(rest, c->in[1], c->integer[AXIS], dx[2]);
  tensor_release(rest);
  return true;
}
static const Op op_index_put = {
    .name = "index_put",
    .inputs = "x index src",
    .doc = "x with the rows of an axis that the index lists replaced by, or with, those of src.",
    .flags = OP_ANY | OP_PLACES | OP_HIDDEN,
    .save = SAVE_IN1,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"accumulate", PARAM_BOOL, false, 0, NULL}),
    .shape = index_put_shape,
    .dtype = same_dtype,
    .forward = index_put_forward,
    .backward = index_put_backward};

/* ---- single elements: element e of the index, at [.., i, ..], stands for the one of x at
 * [.., index[e], ..] ---- */

typedef struct Walk {
  const Tensor *index;
  int dims;
  int64_t stride[MAX_DIMS]; /* of x; 0 along the axis */
  int64_t along;            /* the stride of the axis */
} Walk;

static Walk walk_of(const Tensor *index, const Shape *x, int64_t axis) {
  Walk w = {.index = index, .dims = x->dims};
  for (int64_t d = x->dims - 1, step = 1; d >= 0; step *= x->size[d--]) {
    w.stride[d] = d == axis ? 0 : step;
    if (d == axis) w.along = step;
  }
  return w;
}

/* Sets `start` to where element e of the index begins in x, its axis left out. */
static int64_t walk_start(const Walk *w, int64_t e) {
  int64_t start = 0;
  for (int d = w->dims - 1; d >= 0; d--) {
    int64_t size = w->index->shape.size[d];
    start += e % size * w->stride[d];
    e /= size;
  }
  return start;
}

static bool gather_shape(const Call *c, Shape *out, Error *e) {
  const Tensor *x = c->in[0], *index = c->in[1];
  int64_t axis = c->integer[AXIS];
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (x->shape.dims < 1) return error_set(e, "x: expected at least one axis, got a scalar");
  if (!axis_check(&x->shape, axis, e)) return false;
  bool fits = index->shape.dims == x->shape.dims;
  for (int d = 0; fits && d < x->shape.dims; d++)
    fits = d == axis || index->shape.size[d] <= x->shape.size[d];
  if (!fits)
    return error_set(e, "index: expected a shape within %s but for axis %lld, got %s",
                     shape_text(&x->shape, a), (long long)axis + 1, shape_text(&index->shape, b));
  if (!places_check(index, 1, x->shape.size[axis], "index", e)) return false;
  *out = index->shape;
  return true;
}
/* Elements of the index as [outer, n, inner] of the axis: what different ones of the outer and
 * inner places stand for are different elements of x. */
typedef struct Elements {
  Walk walk;
  AxisView v;
  RunKernel *kernel;
  bool back; /* from the last element to the first */
  const Tensor *x, *other;
} Elements;

static Elements elements_of(const Tensor *index, const Tensor *x, int64_t axis, RunKernel *kernel,
                            const Tensor *other) {
  return (Elements){walk_of(index, &x->shape, axis),
                    axis_view(&index->shape, axis),
                    kernel,
                    kernel == take_real,
                    x,
                    other};
}

/* The elements from begin to end of the index, in runs along its last axis that has several. */
static void each_run(const Elements *s, int64_t begin, int64_t end) {
  const Tensor *index = s->walk.index;
  int last = s->walk.dims - 1;
  while (last > 0 && index->shape.size[last] == 1) last--;
  int64_t line = index->shape.size[last], step = s->walk.stride[last];
  while (begin < end) {
    int64_t first = begin, n = line - begin % line;
    if (s->back) n = (end - 1) % line + 1;
    if (n > end - begin) n = end - begin;
    if (s->back) first = end - n;
    s->kernel(&(Run){index, first, n, element(s->x, walk_start(&s->walk, first)), step,
                     s->walk.along, s->other ? element(s->other, first) : NULL});
    if (s->back) end = first;
    else begin += n;
  }
}

/* Items: elements of the index. */
static void gather_chunk(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  each_run(context, begin, end);
}

/* Items: strips of the inner places, within the outer ones; all along the axis, in its order. */
static void scatter_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Elements *s = context;
  int64_t strips = strips_of(&s->v), n = s->v.n, inner = s->v.inner;
  (void)thread;
  for (int64_t item = begin; item < end; item++) {
    int64_t rows = item / strips * n, k = item % strips * STRIP;
    int64_t width = inner - k < STRIP ? inner - k : STRIP;
    if (strips == 1) each_run(s, rows * inner, (rows + n) * inner);
    else
      for (int64_t i = 0; i < n; i++) {
        int64_t at = (rows + (s->back ? n - 1 - i : i)) * inner + k;
        each_run(s, at, at + width);
      }
  }
}

static void scatter_elements(const Elements *s) {
  if (s->walk.index->numel == 0) return;
  int64_t item = s->v.n * (s->v.inner < STRIP ? s->v.inner : STRIP);
  parallel_for(s->v.outer * strips_of(&s->v), ELEMENTS_GRAIN / item + 1, scatter_chunk, (void *)s);
}

static void gather_elements(const Tensor *x, const Tensor *index, int64_t axis, Tensor *y) {
  Elements s = elements_of(index, x, axis, getter(y->dtype), y);
  parallel_for(y->numel, ELEMENTS_GRAIN, gather_chunk, &s);
}

static bool gather_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  gather_elements(c->in[0], c->in[1], c->integer[AXIS], y);
  return true;
}
static bool gather_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                            Error *e) {
  (void)y, (void)e;
  if (dx[1]) zero(dx[1]);
  if (!dx[0]) return true;
  Elements s = elements_of(c->in[1], dx[0], c->integer[AXIS], add_real, dy);
  zero(dx[0]);
  scatter_elements(&s);
  return true;
}
static const Op op_gather = {.name = "gather",
                             .inputs = "x index",
                             .doc = "The elements of x whose places along an axis the index gives.",
                             .flags = OP_ANY | OP_PLACES | OP_HIDDEN,
                             .save = SAVE_IN1,
                             PARAMS({"axis", PARAM_AXIS, true, 0, NULL}),
                             .shape = gather_shape,
                             .dtype = same_dtype,
                             .forward = gather_forward,
                             .backward = gather_backward};

static bool scatter_shape(const Call *c, Shape *out, Error *e) {
  Shape index;
  if (!gather_shape(c, &index, e) || !check_source(c, &index, e)) return false;
  *out = c->in[0]->shape;
  return true;
}
static bool scatter_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  RunKernel *set = setter(y->dtype, c->integer[ACCUMULATE]);
  Elements s = elements_of(c->in[1], y, c->integer[AXIS], set, c->in[2]);
  copy(c->in[0], y);
  scatter_elements(&s);
  return true;
}
static bool scatter_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                             Error *e) {
  (void)y;
  if (dx[1]) zero(dx[1]);
  if (c->integer[ACCUMULATE]) {
    if (dx[0]) copy(dy, dx[0]);
    if (dx[2]) gather_elements(dy, c->in[1], c->integer[AXIS], dx[2]);
    return true;
  }
  Tensor *rest = gradient_copy(dy, dx, e);
  if (!rest) return false;
  Elements s = elements_of(c->in[1], rest, c->integer[AXIS], take_real, dx[2]); /* as take_rows */
  scatter_elements(&s);
  tensor_release(rest);
  return true;
}
static const Op op_scatter = {
    .name = "scatter",
    .inputs = "x index src",
    .doc = "x with the elements whose places along an axis the index gives replaced by, or with, "
           "those of src.",
    .flags = OP_ANY | OP_PLACES | OP_HIDDEN,
    .save = SAVE_IN1,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"accumulate", PARAM_BOOL, false, 0, NULL}),
    .shape = scatter_shape,
    .dtype = same_dtype,
    .forward = scatter_forward,
    .backward = scatter_backward};

/* ---- nonzero: the places of what is not 0, [count, axes] ---- */

static bool nonzero_shape(const Call *c, Shape *out, Error *e) {
  (void)e;
  *out = (Shape){.dims = 2, .size = {nonzero_count(c->in[0]), c->in[0]->shape.dims}};
  return true;
}
static Dtype places_dtype(const Call *c) {
  (void)c;
  return DTYPE_I64;
}
static bool nonzero_forward(Call *c, Tensor *y, Error *e) {
  return nonzero_places(c->in[0], int64s(y), e);
}
static const Op op_nonzero = {
    .name = "nonzero",
    .inputs = "x",
    .doc = "The places of all elements that are not 0, row by row: i64 [count, axes of x].",
    .flags = OP_ANY,
    .shape = nonzero_shape,
    .dtype = places_dtype,
    .forward = nonzero_forward};

const Op *const ISA_NAME(ops_indexing)[] = {&op_gather_rows, &op_index_put, &op_gather,
                                            &op_scatter,     &op_nonzero,   NULL};
