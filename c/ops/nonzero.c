#include "ops/nonzero.h"

#include "base/parallel.h"

#include <stdatomic.h>

enum { CHUNK = 1 << 14, BLOCK = 256 };

typedef struct Search {
  const Tensor *t;
  atomic_int_fast64_t count;
  int64_t *before; /* of each chunk the elements that are found, then all those before it */
  int64_t *to;
} Search;

/* count: the elements that are not 0. find: their places from begin on, and how many. */
#define FIND(TYPE)                                                                                 \
  static int64_t count_##TYPE(const TYPE *x, int64_t begin, int64_t end) {                         \
    int64_t count = 0;                                                                             \
    for (int64_t i = begin; i < end; i++) count += x[i] != 0;                                      \
    return count;                                                                                  \
  }                                                                                                \
  static int find_##TYPE(const TYPE *x, int64_t begin, int n, uint16_t found[BLOCK]) {             \
    int count = 0;                                                                                 \
    for (int i = 0; i < n; i++) {                                                                  \
      found[count] = (uint16_t)i;                                                                  \
      count += x[begin + i] != 0;                                                                  \
    }                                                                                              \
    return count;                                                                                  \
  }
FIND(uint8_t)
FIND(float)
FIND(double)
FIND(int64_t)

static int64_t count(const Tensor *t, int64_t begin, int64_t end) {
  switch (t->dtype) {
  case DTYPE_U8: return count_uint8_t(t->data, begin, end);
  case DTYPE_F32: return count_float(t->data, begin, end);
  case DTYPE_F64: return count_double(t->data, begin, end);
  default: return count_int64_t(t->data, begin, end);
  }
}

static int find(const Tensor *t, int64_t begin, int n, uint16_t found[BLOCK]) {
  switch (t->dtype) {
  case DTYPE_U8: return find_uint8_t(t->data, begin, n, found);
  case DTYPE_F32: return find_float(t->data, begin, n, found);
  case DTYPE_F64: return find_double(t->data, begin, n, found);
  default: return find_int64_t(t->data, begin, n, found);
  }
}

static void count_chunk(void *context, int64_t begin, int64_t end, int thread) {
  Search *s = context;
  int64_t own = count(s->t, begin, end);
  (void)thread;
  if (s->before) s->before[begin / CHUNK] = own;
  else atomic_fetch_add(&s->count, own);
}

/* The places along all axes of elements begin + found[..], row by row; returns the end. */
static int64_t *write_places(const Shape *s, int64_t begin, const uint16_t *found, int n,
                             int64_t *to) {
  for (int k = 0; k < n; k++, to += s->dims) {
    int64_t rest = begin + found[k];
    for (int d = s->dims - 1; d > 0; rest /= s->size[d--]) to[d] = rest % s->size[d] + 1;
    if (s->dims > 0) to[0] = rest + 1;
  }
  return to;
}

static void find_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Search *s = context;
  int64_t *to = s->to + s->before[begin / CHUNK] * s->t->shape.dims;
  (void)thread;
  for (int64_t i = begin; i < end; i += BLOCK) {
    uint16_t found[BLOCK];
    int n = find(s->t, i, end - i < BLOCK ? (int)(end - i) : BLOCK, found);
    to = write_places(&s->t->shape, i, found, n, to);
  }
}

int64_t nonzero_count(const Tensor *t) {
  Search s = {.t = t};
  parallel_for(t->numel, CHUNK, count_chunk, &s);
  return atomic_load(&s.count);
}

bool nonzero_places(const Tensor *t, int64_t *to, Error *e) {
  Shape chunks = {1, {(t->numel + CHUNK - 1) / CHUNK}};
  Tensor *before = tensor_new(DTYPE_I64, &chunks, e);
  if (!before) return false;
  Search s = {.t = t, .before = int64s(before), .to = to};
  parallel_for(t->numel, CHUNK, count_chunk, &s);
  int64_t all = 0;
  for (int64_t k = 0; k < before->numel; k++) {
    int64_t own = s.before[k];
    s.before[k] = all;
    all += own;
  }
  parallel_for(t->numel, CHUNK, find_chunk, &s);
  tensor_release(before);
  return true;
}
