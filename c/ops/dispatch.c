#include "ops/dispatch.h"

#include "base/words.h"
#include "ops/whole.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one instruction set, by floating type. */
typedef const Isa *Pair[2];

#define PAIR(set)                                                                                  \
  extern const Isa isa_##set##_float32, isa_##set##_float64;                                       \
  static Pair set = {[DTYPE_F32] = &isa_##set##_float32, [DTYPE_F64] = &isa_##set##_float64};

PAIR(baseline)
#ifdef LATENT_X86
PAIR(avx2)
PAIR(avx512)
#endif

static const Pair *chosen;
static Dtype default_dtype = DTYPE_F32;

Dtype dtype_default(void) { return default_dtype; }
void dtype_set_default(Dtype dtype) { default_dtype = dtype; }

static bool machine_has(const Pair *candidate) {
#ifdef LATENT_X86
  if (candidate == &avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (candidate == &avx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
  return candidate == &baseline;
}

/* ---- the rows of one name, found from any of them ---- */

typedef struct Rows {
  const Op *real[2], *whole; /* real: by floating type; whole: NULL where there is none */
} Rows;

enum { MOST_ROWS = 1024, SLOTS = 4096 /* more than there are pointers to rows */ };
static Rows rows[MOST_ROWS];
static struct {
  const Op *op;
  const Rows *rows;
} slots[SLOTS];

/* The slot in which an op is, or which is free for it. */
static size_t slot_of(const Op *op) {
  size_t slot = (size_t)(((uint64_t)(uintptr_t)op * UINT64_C(0x9E3779B97F4A7C15)) >> 52);
  while (slots[slot].op && slots[slot].op != op) slot = (slot + 1) % SLOTS;
  return slot;
}

static void remember(const Op *op, const Rows *r) {
  if (!op) return;
  size_t slot = slot_of(op);
  slots[slot].op = op;
  slots[slot].rows = r;
}

static const Op *whole_row(const char *name) {
  for (const Op *const *op = ops_whole; *op; op++)
    if (strcmp((*op)->name, name) == 0) return *op;
  return NULL;
}

/* The rows of the two floating types stand at the same places: their files are the same. */
static bool index_rows(Error *e) {
  int count = 0;
  for (int f = 0; isa(DTYPE_F32)->families[f]; f++)
    for (int i = 0; isa(DTYPE_F32)->families[f][i]; i++) {
      if (count == MOST_ROWS) return error_set(e, "the table of ops is full");
      Rows *r = &rows[count++];
      for (Dtype d = DTYPE_F32; d <= DTYPE_F64; d++) r->real[d] = isa(d)->families[f][i];
      r->whole = whole_row(r->real[0]->name);
      for (int d = 0; d < 2; d++) remember(r->real[d], r);
      remember(r->whole, r);
    }
  return true;
}

bool isa_choose(Error *e) {
  static const Pair *const all[] = {
#ifdef LATENT_X86
      &avx512, &avx2,
#endif
      &baseline};
  enum { COUNT = sizeof all / sizeof all[0] };
  const char *wanted = getenv("LATENT_ISA");
  for (int i = 0; i < COUNT; i++) {
    if (wanted && *wanted && strcmp(wanted, (*all[i])[0]->name) != 0) continue;
    if (machine_has(all[i])) {
      chosen = all[i];
      return index_rows(e);
    }
    if (wanted && *wanted)
      return error_set(e, "LATENT_ISA=%s: this machine does not have these instructions", wanted);
  }
  return error_set(e, "LATENT_ISA=%s: expected baseline%s", wanted ? wanted : "",
                   COUNT > 1 ? ", avx2 or avx512" : "");
}

const Isa *isa(Dtype dtype) { return (*chosen)[dtype]; }

const Op *isa_op(const char *name) {
  for (int i = 0; i < MOST_ROWS && rows[i].real[0]; i++)
    if (strcmp(rows[i].real[0]->name, name) == 0) return rows[i].real[0];
  return NULL;
}

/* ---- the type of an application: the rule stands in op.h ---- */

bool op_takes_places(const Op *op, int i) {
  return op->flags & OP_PLACES && (i == 1 || (i == 0 && !strchr(op->inputs, ' ')));
}

void op_input_name(const Op *op, int i, char *name, size_t size) {
  if (strchr(op->inputs, '*')) snprintf(name, size, "item %d", i + 1);
  else if (!word_at(op->inputs, i, name, size, NULL)) word_at(op->inputs, 0, name, size, NULL);
}

static bool refuse_mixture(const Op *op, const Tensor *const *in, int i, int k, Error *e) {
  char a[32], b[32];
  op_input_name(op, i, a, sizeof a);
  op_input_name(op, k, b, sizeof b);
  bool first = in[i]->dtype == DTYPE_F32;
  if (strchr(op->inputs, '*'))
    return error_set(e, "%s is %s and %s %s; make them one type, with :double() or :float()", a,
                     dtype_name(in[i]->dtype), b, dtype_name(in[k]->dtype));
  return error_set(e, "%s is %s and %s %s; make them one type, with %s:double() or %s:float()", a,
                   dtype_name(in[i]->dtype), b, dtype_name(in[k]->dtype), first ? a : b,
                   first ? b : a);
}

/* The inputs that decide: one of a floating type, and one of a whole type; -1 for none. */
static bool deciding(const Op *op, const Tensor *const *in, int inputs, int *floating, int *whole,
                     Error *e) {
  *floating = *whole = -1;
  for (int i = 0; i < inputs; i++) {
    if (!in[i] || op_takes_places(op, i)) continue;
    bool is_floating = dtype_is_floating(in[i]->dtype);
    int *first = is_floating ? floating : whole;
    if (*first < 0) *first = i;
    else if (is_floating && in[*first]->dtype != in[i]->dtype)
      return refuse_mixture(op, in, *first, i, e);
  }
  return true;
}

bool op_dtype(const Op *op, const Tensor *const *in, int inputs, Dtype *dtype, Error *e) {
  int floating, whole;
  if (!deciding(op, in, inputs, &floating, &whole, e)) return false;
  *dtype = floating >= 0 ? in[floating]->dtype : whole >= 0 ? DTYPE_I64 : default_dtype;
  return true;
}

static bool refuse_whole(const Op *op, const Tensor *x, int i, Dtype dtype, Error *e) {
  char name[32];
  op_input_name(op, i, name, sizeof name);
  return error_set(e, "%s: expected %s, got %s (convert it with :%s())", name, dtype_name(dtype),
                   dtype_name(x->dtype), dtype == DTYPE_F64 ? "double" : "float");
}

bool op_choose(Call *c, int *convert, Error *e) {
  int floating, whole;
  const Rows *r = slots[slot_of(c->op)].rows;
  if (!deciding(c->op, c->in, c->inputs, &floating, &whole, e)) return false;
  *convert = -1;
  c->dtype = floating >= 0 ? c->in[floating]->dtype : default_dtype;
  if (r) c->op = r->real[c->dtype];
  if (!r || whole < 0) return true; /* one without rows takes what it gets */
  if (r->whole && (floating < 0 || r->whole->flags & OP_ANY)) {
    c->op = r->whole;
    c->dtype = DTYPE_I64;
    if (!(c->op->flags & OP_ANY)) *convert = DTYPE_I64;
    return true;
  }
  if (c->op->flags & OP_ANY) return true;
  if (!(c->op->flags & OP_WIDEN)) return refuse_whole(c->op, c->in[whole], whole, c->dtype, e);
  *convert = (int)c->dtype;
  return true;
}
