#include "base/dtype.h"

#include "base/bytes.h"
#include "base/parallel.h"

#include <math.h>
#include <string.h>

enum { FILL_GRAIN = 16384 /* elements of a parallel chunk */ };

bool dtype_named(const char *name, Dtype *dtype) {
  static const struct {
    const char *name;
    Dtype dtype;
  } names[] = {{"float32", DTYPE_F32}, {"float64", DTYPE_F64}, {"u8", DTYPE_U8},
               {"i64", DTYPE_I64},     {"float", DTYPE_F32},   {"double", DTYPE_F64},
               {"uint8", DTYPE_U8},    {"byte", DTYPE_U8},     {"int64", DTYPE_I64},
               {"long", DTYPE_I64}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(name, names[i].name) != 0) continue;
    *dtype = names[i].dtype;
    return true;
  }
  return false;
}

int64_t dtype_exact(Dtype dtype) {
  switch (dtype) {
  case DTYPE_F32: return INT64_C(1) << 24;
  case DTYPE_F64: return INT64_C(1) << 53;
  case DTYPE_U8: return UINT8_MAX;
  default: return INT64_MAX;
  }
}

/* ---- single elements ---- */

Number tensor_number(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_I64 ? number_whole(int64s(t)[i]) : number_real(value_at(t, i));
}

/* The doubles that an i64 can be; its largest number, rounded to 2^63, is one too many. */
static bool is_in_i64(double d) { return d >= (double)INT64_MIN && d < (double)INT64_MAX; }

bool number_fits(Number n, Dtype dtype, Error *e) {
  if (dtype == DTYPE_U8 && !(n.d >= 0 && n.d <= UINT8_MAX && n.d == floor(n.d)))
    return error_set(e, "expected a whole number 0..255 for u8, got %.14g", n.d);
  if (dtype == DTYPE_I64 && !n.whole && !(is_in_i64(n.d) && n.d == floor(n.d)))
    return error_set(e, "expected a whole number for i64, got %.14g", n.d);
  return true;
}

void tensor_put(Tensor *t, int64_t i, Number n) {
  switch (t->dtype) {
  case DTYPE_F32: ((float *)t->data)[i] = (float)n.d; break;
  case DTYPE_F64: ((double *)t->data)[i] = n.d; break;
  case DTYPE_U8: bytes_of(t)[i] = (uint8_t)n.d; break;
  default: int64s(t)[i] = n.whole ? n.i : (int64_t)n.d;
  }
}

typedef struct Fill {
  const Tensor *t;
  float single;
  int64_t bits; /* those of a double as well */
} Fill;

static void fill_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Fill *f = context;
  (void)thread;
  if (f->t->dtype == DTYPE_F32) {
    float *x = f->t->data, value = f->single;
    for (int64_t i = begin; i < end; i++) x[i] = value;
  } else {
    int64_t *x = f->t->data, value = f->bits;
    for (int64_t i = begin; i < end; i++) memcpy(x + i, &value, sizeof value);
  }
}

void tensor_fill(Tensor *t, Number n) {
  if (t->numel == 0) return;
  tensor_put(t, 0, n);
  Fill f = {.t = t};
  if (t->dtype == DTYPE_U8) {
    memset(t->data, bytes_of(t)[0], (size_t)t->numel);
    return;
  }
  if (t->dtype == DTYPE_F32) f.single = *(float *)t->data;
  else memcpy(&f.bits, t->data, sizeof f.bits);
  parallel_for(t->numel, FILL_GRAIN, fill_chunk, &f);
}

/* ---- conversions ---- */

typedef struct Conversion {
  const Tensor *from;
  Tensor *to;
} Conversion;

#define CONVERT(FROM, TO)                                                                          \
  do {                                                                                             \
    const FROM *restrict x = c->from->data;                                                        \
    TO *restrict y = c->to->data;                                                                  \
    for (int64_t i = begin; i < end; i++) y[i] = (TO)x[i];                                         \
  } while (0)

/* Position of the first element that the type cannot hold when its fraction is dropped; -1. */
static int64_t first_unheld(const Tensor *t, Dtype dtype) {
  for (int64_t i = 0; i < t->numel; i++) {
    double d = value_at(t, i);
    if (dtype == DTYPE_U8 ? !(d > -1 && d < UINT8_MAX + 1) : !is_in_i64(d)) return i;
  }
  return -1;
}

static bool refuse_element(const Tensor *t, int64_t i, Dtype dtype, Error *e) {
  double d = value_at(t, i);
  if (isnan(d)) /* whose sign says nothing */
    return error_set(e, "element %lld is NaN, which %s cannot hold", (long long)i + 1,
                     dtype_name(dtype));
  return error_set(e, "element %lld is %.14g, which %s cannot hold", (long long)i + 1, d,
                   dtype_name(dtype));
}

static void convert_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Conversion *c = context;
  const Tensor *from = c->from;
  (void)thread;
  switch (c->to->dtype) {
  case DTYPE_F32:
    if (from->dtype == DTYPE_F64) CONVERT(double, float);
    else if (from->dtype == DTYPE_U8) CONVERT(uint8_t, float);
    else CONVERT(int64_t, float);
    return;
  case DTYPE_F64:
    if (from->dtype == DTYPE_F32) CONVERT(float, double);
    else if (from->dtype == DTYPE_U8) CONVERT(uint8_t, double);
    else CONVERT(int64_t, double);
    return;
  case DTYPE_U8:
    if (from->dtype == DTYPE_F32) CONVERT(float, uint8_t);
    else if (from->dtype == DTYPE_F64) CONVERT(double, uint8_t);
    else CONVERT(int64_t, uint8_t);
    return;
  default:
    if (from->dtype == DTYPE_F32) CONVERT(float, int64_t);
    else if (from->dtype == DTYPE_F64) CONVERT(double, int64_t);
    else CONVERT(uint8_t, int64_t);
  }
}

bool tensor_convert(const Tensor *from, Tensor *to, Error *e) {
  size_t size = dtype_size(from->dtype);
  if (from->dtype == to->dtype) {
    if (to->data != from->data) bytes_copy(to->data, from->data, (size_t)from->numel * size);
    return true;
  }
  bool safe = dtype_is_floating(to->dtype) || (from->dtype == DTYPE_U8 && to->dtype == DTYPE_I64);
  int64_t odd = safe ? -1 : first_unheld(from, to->dtype);
  if (odd >= 0) return refuse_element(from, odd, to->dtype, e);
  parallel_for(from->numel, FILL_GRAIN, convert_chunk, &(Conversion){from, to});
  return true;
}

Tensor *tensor_as(const Tensor *t, Dtype dtype, Error *e) {
  Tensor *to = tensor_new(dtype, &t->shape, e);
  if (!to || tensor_convert(t, to, e)) return to;
  tensor_release(to);
  return NULL;
}

Tensor *tensor_copy(const Tensor *t, Error *e) { return tensor_as(t, t->dtype, e); }
