#include "ops/dispatch.h"

#include <stdlib.h>
#include <string.h>

extern const Isa isa_baseline;
#ifdef LATENT_X86
extern const Isa isa_avx2, isa_avx512;
#endif

static const Isa *chosen;

static bool machine_has(const Isa *candidate) {
#ifdef LATENT_X86
  if (candidate == &isa_avx2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (candidate == &isa_avx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  return candidate == &isa_baseline;
}

const Isa *isa_choose(Error *e) {
  static const Isa *const all[] = {
#ifdef LATENT_X86
      &isa_avx512, &isa_avx2,
#endif
      &isa_baseline};
  enum { COUNT = sizeof all / sizeof all[0] };
  const char *wanted = getenv("LATENT_ISA");
#ifdef LATENT_DOUBLE
  wanted = NULL; /* there is only the baseline */
#endif
  for (int i = 0; i < COUNT; i++) {
    if (wanted && *wanted && strcmp(wanted, all[i]->name) != 0) continue;
    if (machine_has(all[i])) return chosen = all[i];
    if (wanted && *wanted) {
      error_set(e, "LATENT_ISA=%s: this machine does not have these instructions", wanted);
      return NULL;
    }
  }
  error_set(e, "LATENT_ISA=%s: expected baseline%s", wanted ? wanted : "",
            COUNT > 1 ? ", avx2 or avx512" : "");
  return NULL;
}

const Isa *isa(void) { return chosen; }

const Op *isa_op(const char *name) {
  for (const Op *const *const *f = chosen->families; *f; f++)
    for (const Op *const *op = *f; *op; op++)
      if (strcmp((*op)->name, name) == 0) return *op;
  return NULL;
}
