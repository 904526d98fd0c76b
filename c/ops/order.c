/* Floor 3: sorting, and places in what is sorted: the rows; how it is done stands in sorting.c. */
#include "simd/isa.h"
#include "base/parallel.h"
#include "ops/families.h"
#include "ops/sorting.h"

/* ---- sort ---- */

enum { AXIS, DESCENDING };

static bool sort_shape(const Call *c, Shape *out, Error *e) {
  *out = c->in[0]->shape;
  if (out->dims < 1) return error_set(e, "x: expected at least one axis, got a scalar");
  return axis_check(out, c->integer[AXIS], e);
}

static bool sort_forward(Call *c, Tensor *y, Error *e) {
  Tensor *index = c->extra[0] = tensor_new(DTYPE_I64, &y->shape, e);
  if (!index || y->numel == 0) return index != NULL;
  return sort_along(c->in[0], c->integer[AXIS], c->integer[DESCENDING], y, index, e);
}

typedef struct Unsort {
  AxisView v;
  const int64_t *index;
  const real *dy;
  real *dx;
} Unsort;

/* Items: elements of dy; each goes to a place of its own. */
static void unsort_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Unsort *u = context;
  int64_t block = u->v.n * u->v.inner;
  (void)thread;
  while (begin < end) {
    int64_t start = begin / block * block, stop = end < start + block ? end : start + block;
    if (u->v.inner == 1)
      for (int64_t i = begin; i < stop; i++) u->dx[start + u->index[i] - 1] = u->dy[i];
    else
      for (int64_t i = begin; i < stop; i++)
        u->dx[start + i % u->v.inner + (u->index[i] - 1) * u->v.inner] = u->dy[i];
    begin = stop;
  }
}

static bool sort_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  enum { GRAIN = 1 << 13 };
  (void)y, (void)e;
  Unsort u = {axis_view(&dy->shape, c->integer[AXIS]), int64s(c->extra[0]), reals(dy),
              reals(dx[0])};
  parallel_for(dy->numel, GRAIN, unsort_chunk, &u);
  return true;
}

static int64_t sort_winner(const Call *c, int64_t k) {
  AxisView v = axis_view(&c->in[0]->shape, c->integer[AXIS]);
  int64_t start = k / (v.n * v.inner) * v.n * v.inner + k % v.inner;
  return start + (int64s(c->extra[0])[k] - 1) * v.inner;
}

static Dtype same_dtype(const Call *c) { return c->in[0]->dtype; }
static Dtype places_dtype(const Call *c) {
  (void)c;
  return DTYPE_I64;
}
static const Op op_sort = {
    .name = "sort",
    .inputs = "x",
    .doc = "The elements along an axis in order, and the places that they had.",
    .flags = OP_ANY | OP_HIDDEN,
    .results = 1,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"descending", PARAM_BOOL, false, 0, NULL}),
    .shape = sort_shape,
    .dtype = same_dtype,
    .forward = sort_forward,
    .backward = sort_backward,
    .winner = sort_winner};

/* ---- searchsorted ---- */

enum { RIGHT };

static bool search_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape, *v = &c->in[1]->shape;
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  bool fits = s->dims == 1 || (s->dims == v->dims && s->dims > 0);
  for (int d = 0; fits && s->dims > 1 && d < s->dims - 1; d++) fits = s->size[d] == v->size[d];
  if (!fits)
    return error_set(
        e, "sorted_sequence: expected [n], or [..., n] with the sizes of values %s, got %s",
        shape_text(v, a), shape_text(s, b));
  *out = *v;
  return true;
}

static bool search_forward(Call *c, Tensor *y, Error *e) {
  (void)e;
  search_sorted(c->in[0], c->in[1], c->integer[RIGHT], y);
  return true;
}
static const Op op_searchsorted = {
    .name = "searchsorted",
    .inputs = "sorted_sequence values",
    .doc =
        "For each value the place, counted from 1, before which it goes into an ascending [n] (or "
        "[..., n], beside values of the same leading sizes): 1..n + 1, before what equals it, or "
        "with right = true behind that.",
    .flags = OP_ANY,
    PARAMS({"right", PARAM_BOOL, false, 0, NULL}),
    .shape = search_shape,
    .dtype = places_dtype,
    .forward = search_forward};

const Op *const ISA_NAME(ops_order)[] = {&op_sort, &op_searchsorted, NULL};
