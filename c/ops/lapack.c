/* Floor 3: LAPACK's solutions and factorisations of a batch of matrices, one after another. The
 * results of one matrix lie behind each other in one row of the output, and LAPACK's `info` (not 0:
 * failed) behind them; latent.linalg takes them apart and knows the gradients.
 *
 * A matrix lies by rows here and by columns in LAPACK, which so sees its transpose. */
#include "simd/isa.h"
#include "base/blas.h"
#include "ops/op.h"
#include "ops/families.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#ifdef LATENT_DOUBLE
#define ROUTINE(j, name) ((j)->blas->d##name)
#else
#define ROUTINE(j, name) ((j)->blas->s##name)
#endif

enum { ROUTINE_NAME, WHOLE, UPPER, TRANSPOSED, UNIT };

/* Matrices a [m, n] and, in some, b [m, k]. */
typedef struct Job {
  const BlasTable *blas;
  const int64_t *option;
  int m, n, k, least; /* least: of m and n */
  int work_size;      /* of LAPACK's own working memory, in numbers */
  real *spare, *work;
  int *whole;
} Job;

typedef struct Routine {
  int64_t (*length)(const Job *j); /* of the results of one matrix, in numbers */
  int64_t (*spare)(const Job *j);  /* numbers in j->spare */
  int64_t (*whole)(const Job *j);  /* ints in j->whole */
  /* Computes; with y NULL asks for work_size alone, which comes in work[0]. Returns info. */
  int (*run)(const Job *j, const real *a, const real *b, real *y);
  bool takes_b;
} Routine;

static int64_t nothing(const Job *j) {
  (void)j;
  return 0;
}
static int64_t order(const Job *j) { return j->n; }
static int64_t of_a(const Job *j) { return (int64_t)j->m * j->n; }
static int64_t of_b(const Job *j) { return (int64_t)j->m * j->k; }
static int64_t of_both(const Job *j) { return of_a(j) + of_b(j); }

/* to [columns, rows] = from [rows, columns] transposed */
static void transpose(const real *from, int rows, int columns, real *to) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < columns; k++) to[k * rows + i] = from[i * columns + k];
}

static void copy(real *to, const real *from, int64_t n) {
  memcpy(to, from, (size_t)n * sizeof *to);
}

/* ---- solve: a x = b ---- */

static int solve(const Job *j, const real *a, const real *b, real *y) {
  int info = 0;
  real *by_columns = j->spare + of_a(j);
  if (!y) return 0;
  transpose(a, j->n, j->n, j->spare);
  transpose(b, j->n, j->k, by_columns);
  ROUTINE(j, gesv)(&j->n, &j->k, j->spare, &j->n, j->whole, by_columns, &j->n, &info);
  transpose(by_columns, j->k, j->n, y);
  return info;
}

/* ---- triangular: a x = b or a^T x = b, where a has zeros above (or below) its diagonal ---- */

static int triangular(const Job *j, const real *a, const real *b, real *y) {
  if (!y) return 0;
  for (int64_t i = 0; i < j->n && !j->option[UNIT]; i++)
    if (a[i * j->n + i] == 0) return (int)i + 1;
  copy(y, b, of_b(j));
  ROUTINE(j, trsm)
  (CblasRowMajor, CblasLeft, j->option[UPPER] ? CblasUpper : CblasLower,
   j->option[TRANSPOSED] ? CblasTrans : CblasNoTrans, j->option[UNIT] ? CblasUnit : CblasNonUnit,
   j->n, j->k, 1, a, j->n, y, j->k);
  return 0;
}

/* ---- pivots: the diagonal of U in a = P L U, and the sign of P; their product is det a ---- */

static int64_t pivots_length(const Job *j) { return j->n + 1; }

static int pivots(const Job *j, const real *a, const real *b, real *y) {
  int info = 0;
  (void)b;
  if (!y) return 0;
  copy(j->spare, a, of_a(j));
  ROUTINE(j, getrf)(&j->n, &j->n, j->spare, &j->n, j->whole, &info);
  y[j->n] = 1;
  for (int64_t i = 0; i < j->n; i++) {
    y[i] = j->spare[i * j->n + i];
    if (j->whole[i] != i + 1) y[j->n] = -y[j->n];
  }
  return 0; /* a zero among them is an answer */
}

/* ---- cholesky: a = L L^T, of the lower half of a ---- */

static int cholesky(const Job *j, const real *a, const real *b, real *y) {
  int info = 0;
  (void)b;
  if (!y) return 0;
  copy(y, a, of_a(j));
  ROUTINE(j, potrf)("U", &j->n, y, &j->n, &info, 1);
  for (int64_t i = 0; i < j->n; i++) {
    if (!info && !(y[i * j->n + i] > 0)) info = (int)i + 1; /* NaN, which some let pass */
    for (int64_t k = i + 1; k < j->n; k++) y[i * j->n + k] = 0;
  }
  return info;
}

/* ---- qr: a = Q R, Q [m, least] and R [least, n], or whole: Q [m, m] and R [m, n] ---- */

static int qr_columns(const Job *j) { return j->option[WHOLE] ? j->m : j->least; }
static int64_t qr_length(const Job *j) {
  return (int64_t)qr_columns(j) * j->m + (int64_t)qr_columns(j) * j->n;
}
static int64_t qr_spare(const Job *j) {
  int most = j->m > j->n ? j->m : j->n;
  return (int64_t)j->m * most + j->least;
}

static int qr(const Job *j, const real *a, const real *b, real *y) {
  int info = 0, columns = qr_columns(j), size = y ? j->work_size : -1;
  real *tau = j->spare, *q = j->spare + j->least;
  (void)b;
  if (y) transpose(a, j->m, j->n, q);
  ROUTINE(j, geqrf)(&j->m, &j->n, q, &j->m, tau, j->work, &size, &info);
  real needed = j->work[0];
  if (y) {
    real *r = y + (int64_t)columns * j->m;
    for (int64_t i = 0; i < columns; i++)
      for (int64_t k = 0; k < j->n; k++) r[i * j->n + k] = i <= k ? q[k * j->m + i] : 0;
  }
  ROUTINE(j, orgqr)(&j->m, &columns, &j->least, q, &j->m, tau, j->work, &size, &info);
  if (y) transpose(q, columns, j->m, y);
  else if (j->work[0] < needed) j->work[0] = needed;
  return info;
}

/* ---- svd: a = U diag(S) Vh; U [m, least], S [least], Vh [least, n], or whole: U [m, m], Vh [n, n]
 * ---- */

static int svd_rows(const Job *j) { return j->option[WHOLE] ? j->n : j->least; }
static int64_t svd_length(const Job *j) {
  return (int64_t)qr_columns(j) * j->m + j->least + (int64_t)svd_rows(j) * j->n;
}
static int64_t svd_whole(const Job *j) { return 8 * (int64_t)j->least; }

static bool is_finite(const real *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

/* LAPACK sees a^T = V diag(S) U^T: its first factor, by columns, is Vh by rows, its second U. */
static int svd(const Job *j, const real *a, const real *b, real *y) {
  int info = 0, u_columns = qr_columns(j), size = y ? j->work_size : -1;
  (void)b;
  if (y && !is_finite(a, of_a(j))) return -1; /* LAPACK might never end */
  if (y) copy(j->spare, a, of_a(j));
  real *u = y, *s = y ? u + (int64_t)u_columns * j->m : NULL, *vh = y ? s + j->least : NULL;
  ROUTINE(j, gesdd)
  (j->option[WHOLE] ? "A" : "S", &j->n, &j->m, j->spare, &j->n, s, vh, &j->n, u, &u_columns,
   j->work, &size, j->whole, &info, 1);
  return info;
}

/* ---- eigh: a = V diag(w) V^T, of the lower half of a; V [n, n], then w [n], ascending ---- */

static int64_t eigh_length(const Job *j) { return of_a(j) + j->n; }
static int64_t eigh_whole(const Job *j) { return 3 + 5 * (int64_t)j->n; }

static int eigh(const Job *j, const real *a, const real *b, real *y) {
  int info = 0, size = y ? j->work_size : -1, whole = (int)eigh_whole(j);
  (void)b;
  for (int64_t i = 0; y && i < j->n; i++)
    if (!is_finite(a + i * j->n, i + 1)) return -1;
  if (y) copy(j->spare, a, of_a(j));
  ROUTINE(j, syevd)
  ("V", "U", &j->n, j->spare, &j->n, y ? y + of_a(j) : NULL, j->work, &size, j->whole, &whole,
   &info, 1, 1);
  if (y) transpose(j->spare, j->n, j->n, y);
  return info;
}

#define ROUTINES "solve triangular pivots cholesky qr svd eigh"
static const Routine routines[] = {
    {of_b, of_both, order, solve, true},         {of_b, nothing, nothing, triangular, true},
    {pivots_length, of_a, order, pivots, false}, {of_a, nothing, nothing, cholesky, false},
    {qr_length, qr_spare, nothing, qr, false},   {svd_length, of_a, svd_whole, svd, false},
    {eigh_length, of_a, eigh_whole, eigh, false}};

/* ---- the op: shapes are latent.linalg's to explain, which calls it with nothing else ---- */

static Job job_of(const Call *c) {
  const Shape *a = &c->in[0]->shape, *b = c->in[1] ? &c->in[1]->shape : NULL;
  Job j = {.option = c->integer,
           .m = (int)a->size[a->dims - 2],
           .n = (int)a->size[a->dims - 1],
           .k = b ? (int)b->size[b->dims - 1] : 0};
  j.least = j.m < j.n ? j.m : j.n;
  return j;
}

static bool lapack_shape(const Call *c, Shape *out, Error *e) {
  const Shape *a = &c->in[0]->shape, *b = c->in[1] ? &c->in[1]->shape : NULL;
  const Routine *r = &routines[c->integer[ROUTINE_NAME]];
  char text[SHAPE_TEXT];
  if (a->dims < 2 || r->takes_b != (b != NULL))
    return error_set(e, "expected matrices, got %s", shape_text(a, text));
  for (int d = 0; d < a->dims; d++)
    if (a->size[d] > INT_MAX / 16 || (b && b->size[d] > INT_MAX / 16))
      return error_set(e, "expected matrices of less than %d rows and columns, got %s",
                       INT_MAX / 16, shape_text(a, text));
  for (int d = 0; b && d < a->dims - 1; d++)
    if (b->dims != a->dims || b->size[d] != a->size[d])
      return error_set(e, "expected a right side for each matrix, got %s", shape_text(b, text));
  Job j = job_of(c);
  *out = *a;
  out->dims--;
  out->size[out->dims - 1] = r->length(&j) + 1;
  return true;
}

/* LAPACK's answer, a real, as the whole number that it was. */
static int rounded_up(real size) {
  double most = INT_MAX - 1, wanted = ceil((double)size * (1 + 1e-6));
  return (int)(wanted < most ? wanted : most);
}

static bool compute(Job *j, const Routine *r, const Call *c, Tensor *y, Error *e) {
  const real *a = reals(c->in[0]), *b = c->in[1] ? reals(c->in[1]) : NULL;
  int64_t length = r->length(j), spare = r->spare(j), whole = r->whole(j);
  real answer[1] = {0};
  int whole_answer[1];
  j->work = answer;
  j->whole = whole_answer;
  r->run(j, NULL, NULL, NULL);
  j->work_size = rounded_up(answer[0]);
  int64_t whole_bytes = (whole * (int64_t)sizeof(int) + 63) / 64 * 64;
  Shape shape = {.dims = 1};
  shape.size[0] = whole_bytes + (spare + j->work_size) * (int64_t)sizeof(real);
  Tensor *memory = shape_check(&shape, e) ? tensor_new(DTYPE_U8, &shape, e) : NULL;
  if (!memory) return false;
  void *behind = bytes_of(memory) + whole_bytes;
  j->whole = memory->data;
  j->spare = behind;
  j->work = j->spare + spare;
  for (int64_t i = 0; i < y->numel / (length + 1); i++) {
    real *to = reals(y) + i * (length + 1);
    int info = r->run(j, a + i * of_a(j), b ? b + i * of_b(j) : NULL, to);
    to[length] = (real)info;
    for (int64_t k = 0; info && k < length; k++) to[k] = NAN;
  }
  tensor_release(memory);
  return true;
}

static bool lapack_forward(Call *c, Tensor *y, Error *e) {
  int threads = 1;
  Job j = job_of(c);
  j.blas = blas_ready(&threads, e);
  if (!j.blas) return false;
  if (!j.blas->dsyevd) return error_set(e, "the BLAS that is installed has no LAPACK");
  if (c->in[0]->numel > 0 && (!c->in[1] || c->in[1]->numel > 0))
    return compute(&j, &routines[c->integer[ROUTINE_NAME]], c, y, e);
  memset(y->data, 0, (size_t)y->numel * sizeof(real));
  /* of a matrix of nothing the sign is 1, and so the determinant */
  if (routines[c->integer[ROUTINE_NAME]].run == pivots)
    for (int64_t i = 0; i < y->numel; i += 2) reals(y)[i] = 1;
  return true;
}

static const Op op_lapack = {
    .name = "lapack",
    .inputs = "a b?",
    .doc = "Results of a LAPACK routine for each matrix, behind each other, and its info.",
    .flags = OP_HIDDEN,
    PARAMS({"routine", PARAM_CHOICE, true, 0, ROUTINES}, {"whole", PARAM_BOOL, false, 0, NULL},
           {"upper", PARAM_BOOL, false, 0, NULL}, {"transposed", PARAM_BOOL, false, 0, NULL},
           {"unit", PARAM_BOOL, false, 0, NULL}),
    .shape = lapack_shape,
    .forward = lapack_forward};

const Op *const ISA_NAME(ops_lapack)[] = {&op_lapack, NULL};
