/* Floor 3: sorting, and places in what is sorted. One order for all types: that of numbers, -0 and
 * 0 alike, NaN behind everything. Equal elements keep their order. */
#include "simd/isa.h"
#include "base/dtype.h"
#include "base/parallel.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <string.h>

/* ---- keys: whole numbers in the order of the elements ---- */

static const uint64_t TOP = UINT64_C(1) << 63;

static uint64_t key_of(double v) {
  uint64_t bits;
  if (isnan(v)) return UINT64_MAX;
  v += 0; /* -0 becomes 0 */
  memcpy(&bits, &v, sizeof bits);
  return bits & TOP ? ~bits : bits | TOP;
}
static uint64_t key_at(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_I64 ? (uint64_t)int64s(t)[i] ^ TOP : key_of(value_at(t, i));
}

/* ---- sort ---- */

enum { AXIS, DESCENDING };
enum { SHORT_LINE = 32, DIGITS = 8, RADIX = 256, LONG_LINE = 1 << 14, SORT_GRAIN = 4096 };

typedef struct Item {
  uint64_t key;
  int64_t at;
} Item;

static void insertion_sort(Item *a, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    Item item = a[i];
    int64_t k = i;
    for (; k > 0 && a[k - 1].key > item.key; k--) a[k] = a[k - 1];
    a[k] = item;
  }
}

/* By one byte after the other, from the lowest; one that all keys share is passed over. Returns
 * which of a and spare has the result. */
static Item *radix_sort(Item *a, Item *spare, int64_t n) {
  int64_t count[DIGITS][RADIX] = {{0}};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < DIGITS; d++) count[d][a[i].key >> 8 * d & 255]++;
  for (int d = 0; d < DIGITS; d++) {
    if (count[d][a[0].key >> 8 * d & 255] == n) continue;
    int64_t start = 0;
    for (int r = 0; r < RADIX; r++) {
      int64_t here = count[d][r];
      count[d][r] = start;
      start += here;
    }
    for (int64_t i = 0; i < n; i++) spare[count[d][a[i].key >> 8 * d & 255]++] = a[i];
    Item *swap = a;
    a = spare;
    spare = swap;
  }
  return a;
}

typedef struct Sort {
  const Tensor *x;
  Tensor *y, *index;
  AxisView v;
  bool descending;
  Item *items; /* where one thread does all of it */
} Sort;

static void sort_line(const Sort *s, int64_t start, Item *items) {
  size_t size = dtype_size(s->x->dtype);
  for (int64_t k = 0; k < s->v.n; k++) {
    uint64_t key = key_at(s->x, start + k * s->v.inner);
    items[k] = (Item){s->descending ? ~key : key, k};
  }
  if (s->v.n <= SHORT_LINE) insertion_sort(items, s->v.n);
  else items = radix_sort(items, items + s->v.n, s->v.n);
  for (int64_t k = 0; k < s->v.n; k++) {
    int64_t to = start + k * s->v.inner, from = start + items[k].at * s->v.inner;
    memcpy((char *)s->y->data + (size_t)to * size, (char *)s->x->data + (size_t)from * size, size);
    int64s(s->index)[to] = items[k].at + 1;
  }
}

static void sort_lines(void *context, int64_t begin, int64_t end, int thread) {
  const Sort *s = context;
  Item *items = s->items ? s->items : parallel_scratch(thread);
  for (int64_t line = begin; line < end; line++)
    sort_line(s, line / s->v.inner * s->v.n * s->v.inner + line % s->v.inner, items);
}

static bool sort_shape(const Call *c, Shape *out, Error *e) {
  *out = c->in[0]->shape;
  if (out->dims < 1) return error_set(e, "x: expected at least one axis, got a scalar");
  return axis_check(out, c->integer[AXIS], e);
}

static bool sort_forward(Call *c, Tensor *y, Error *e) {
  Tensor *items = NULL, *index = c->extra[0] = tensor_new(DTYPE_I64, &y->shape, e);
  if (!index || y->numel == 0) return index != NULL;
  Sort s = {.x = c->in[0],
            .y = y,
            .index = index,
            .v = axis_view(&y->shape, c->integer[AXIS]),
            .descending = c->integer[DESCENDING]};
  int64_t lines = s.v.outer * s.v.inner;
  if (s.v.n > LONG_LINE) {
    Shape shape = {.dims = 2, .size = {2 * s.v.n, (int64_t)sizeof(Item)}};
    if (!shape_check(&shape, e) || !(items = tensor_new(DTYPE_U8, &shape, e))) return false;
    s.items = items->data;
    sort_lines(&s, 0, lines, 0);
  } else if (parallel_reserve(2 * s.v.n * (int64_t)sizeof(Item))) {
    parallel_for(lines, SORT_GRAIN / s.v.n + 1, sort_lines, &s);
  } else {
    return error_set(e, "out of memory");
  }
  tensor_release(items);
  return true;
}

static bool sort_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                          Error *e) {
  (void)y, (void)e;
  AxisView v = axis_view(&dy->shape, c->integer[AXIS]);
  const int64_t *index = int64s(c->extra[0]);
  for (int64_t i = 0; i < dy->numel; i++) {
    int64_t start = i / (v.n * v.inner) * v.n * v.inner + i % v.inner;
    reals(dx[0])[start + (index[i] - 1) * v.inner] = reals(dy)[i];
  }
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
  const Tensor *sorted = c->in[0], *values = c->in[1];
  int64_t n = sorted->shape.size[sorted->shape.dims - 1];
  int64_t each = sorted->shape.dims > 1 ? values->shape.size[values->shape.dims - 1] : y->numel;
  bool whole = sorted->dtype == DTYPE_I64 && values->dtype == DTYPE_I64;
  for (int64_t i = 0; i < y->numel; i++) {
    int64_t start = i / each * n, low = 0, high = n;
    uint64_t key = whole ? key_at(values, i) : key_of(value_at(values, i));
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      uint64_t there =
          whole ? key_at(sorted, start + middle) : key_of(value_at(sorted, start + middle));
      if (c->integer[RIGHT] ? there <= key : there < key) low = middle + 1;
      else high = middle;
    }
    int64s(y)[i] = low + 1;
  }
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
