#include "base/places.h"

#include "base/parallel.h"

#include <stdatomic.h>

static bool out_of_range(const Tensor *t, int64_t i, int64_t least, int64_t most, const char *name,
                         Error *e) {
  if (t->dtype == DTYPE_I64)
    return error_set(e, "%s: expected whole numbers %lld..%lld, got %lld at position %lld", name,
                     (long long)least, (long long)most, (long long)int64s(t)[i], (long long)i + 1);
  return error_set(e, "%s: expected whole numbers %lld..%lld, got %.9g at position %lld", name,
                   (long long)least, (long long)most, value_at(t, i), (long long)i + 1);
}

/* ---- whether all elements are places: chunks that the compiler makes vectors of ---- */

enum { GRAIN = 1 << 14 };

typedef struct Check {
  const Tensor *t;
  int64_t least, most;
  double end; /* of floating ones: below it they are exact */
  atomic_bool failed;
} Check;

static bool whole_are_places(const int64_t *x, int64_t n, int64_t least, int64_t most) {
  int64_t odd = 0;
  for (int64_t i = 0; i < n; i++) odd |= (x[i] < least) | (x[i] > most);
  return odd == 0;
}

static bool is_place(double v, int64_t least, double end) {
  return v >= (double)least && v < end && v == (double)(int64_t)v;
}

static void check_chunk(void *context, int64_t begin, int64_t end, int thread) {
  Check *c = context;
  bool good = true;
  (void)thread;
  if (c->t->dtype == DTYPE_I64)
    good = whole_are_places(int64s(c->t) + begin, end - begin, c->least, c->most);
  else
    for (int64_t i = begin; i < end && good; i++)
      good = is_place(value_at(c->t, i), c->least, c->end);
  if (!good) atomic_store(&c->failed, true);
}

bool places_check(const Tensor *t, int64_t least, int64_t most, const char *name, Error *e) {
  /* of whole types every number is exact */
  int64_t exact = dtype_is_floating(t->dtype) ? dtype_exact(t->dtype) : INT64_MAX;
  double end = most > exact ? (double)exact : (double)most + 1;
  Check c = {.t = t, .least = least, .most = most, .end = end};
  parallel_for(t->numel, GRAIN, check_chunk, &c);
  if (!atomic_load(&c.failed)) return true;
  if (t->dtype == DTYPE_I64) {
    int64_t i = 0;
    while (int64s(t)[i] >= least && int64s(t)[i] <= most) i++;
    return out_of_range(t, i, least, most, name, e);
  }
  for (int64_t i = 0; i < t->numel; i++) {
    double v = value_at(t, i);
    if (is_place(v, least, end)) continue;
    if (v >= (double)exact && v <= (double)most)
      return error_set(e,
                       "%s: %.0f at position %lld may be another number, rounded: %s counts "
                       "exactly only to %lld; use i64",
                       name, v, (long long)i + 1, dtype_name(t->dtype), (long long)exact);
    return out_of_range(t, i, least, most, name, e);
  }
  return true;
}
