#include "base/places.h"

static bool out_of_range(const Tensor *t, int64_t i, int64_t least, int64_t most, const char *name,
                         Error *e) {
  if (t->dtype == DTYPE_I64)
    return error_set(e, "%s: expected whole numbers %lld..%lld, got %lld at position %lld", name,
                     (long long)least, (long long)most, (long long)int64s(t)[i], (long long)i + 1);
  return error_set(e, "%s: expected whole numbers %lld..%lld, got %.9g at position %lld", name,
                   (long long)least, (long long)most, value_at(t, i), (long long)i + 1);
}

bool places_check(const Tensor *t, int64_t least, int64_t most, const char *name, Error *e) {
  if (t->dtype == DTYPE_I64) {
    for (int64_t i = 0; i < t->numel; i++)
      if (int64s(t)[i] < least || int64s(t)[i] > most)
        return out_of_range(t, i, least, most, name, e);
    return true;
  }
  /* of bytes every one is exact */
  int64_t exact = t->dtype == DTYPE_U8 ? INT64_MAX : dtype_exact(t->dtype);
  double end = most > exact ? (double)exact : (double)most + 1;
  for (int64_t i = 0; i < t->numel; i++) {
    double v = value_at(t, i);
    if (v >= (double)least && v < end && v == (double)(int64_t)v) continue;
    if (v >= (double)exact && v <= (double)most)
      return error_set(e,
                       "%s: %.0f at position %lld may be another number, rounded: %s counts "
                       "exactly only to %lld; use i64",
                       name, v, (long long)i + 1, dtype_name(t->dtype), (long long)exact);
    return out_of_range(t, i, least, most, name, e);
  }
  return true;
}
