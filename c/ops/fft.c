/* Floor 3: the discrete Fourier transform along an axis of complex numbers, whose two parts are the
 * last axis. Any length in O(n log n): Stockham's algorithm for the primes up to MOST_RADIX,
 * Bluestein's for lengths with others. All of it in double, whatever the elements are. */
#include "simd/isa.h"
#include "base/parallel.h"
#include "ops/axis.h"
#include "ops/families.h"

#include <math.h>
#include <string.h>

enum { MOST_RADIX = 13, MOST_FACTORS = 64, LINE_GRAIN = 4096, ALONE = 1 << 16 };

typedef struct Complex {
  double re, im;
} Complex;

static Complex add(Complex a, Complex b) { return (Complex){a.re + b.re, a.im + b.im}; }
static Complex sub(Complex a, Complex b) { return (Complex){a.re - b.re, a.im - b.im}; }
static Complex mul(Complex a, Complex b) {
  return (Complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* exp(sign 2 pi i k / n) */
static Complex root(int64_t k, int64_t n, int sign) {
  double angle = 2 * 3.14159265358979323846 * (double)(k % n) / (double)n;
  return (Complex){cos(angle), sign * sin(angle)};
}

/* ---- lengths of small primes ---- */

typedef struct Smooth {
  int64_t n;
  int sign, count, factor[MOST_FACTORS];
  Complex *roots; /* n */
} Smooth;

/* Factors n, fours first. False where a prime beyond MOST_RADIX is among its factors. */
static bool factorize(Smooth *f) {
  int64_t n = f->n;
  f->count = 0;
  for (; n % 4 == 0; n /= 4) f->factor[f->count++] = 4;
  for (int p = 2; p <= MOST_RADIX; p++)
    for (; n % p == 0; n /= p) f->factor[f->count++] = p;
  return n == 1;
}

static void fill_roots(Smooth *f) {
  for (int64_t k = 0; k < f->n; k++) f->roots[k] = root(k, f->n, f->sign);
}

static void radix2(const Complex *x, Complex *y, int64_t s, int64_t m, Complex w) {
  for (int64_t k = 0; k < s; k++) {
    Complex a = x[k], b = x[k + s * m];
    y[k] = add(a, b);
    y[k + s] = mul(w, sub(a, b));
  }
}

static void radix4(const Complex *x, Complex *y, int64_t s, int64_t m, const Complex *w, int sign) {
  for (int64_t k = 0; k < s; k++) {
    Complex a = x[k], b = x[k + s * m], c = x[k + 2 * s * m], d = x[k + 3 * s * m];
    Complex ac = add(a, c), bd = add(b, d), a_c = sub(a, c), b_d = sub(b, d);
    Complex turned = {-sign * b_d.im, sign * b_d.re};
    y[k] = add(ac, bd);
    y[k + s] = mul(w[1], add(a_c, turned));
    y[k + 2 * s] = mul(w[2], sub(ac, bd));
    y[k + 3 * s] = mul(w[3], sub(a_c, turned));
  }
}

static void radix_any(const Smooth *f, int p, const Complex *x, Complex *y, int64_t s, int64_t m,
                      const Complex *w) {
  for (int64_t k = 0; k < s; k++)
    for (int r = 0; r < p; r++) {
      Complex sum = x[k];
      for (int j = 1; j < p; j++)
        sum = add(sum, mul(f->roots[f->n / p * (j * r % p)], x[k + s * m * j]));
      y[k + s * r] = mul(w[r], sum);
    }
}

/* x, of n numbers, to its transform; spare has n too. Returns which of the two has the result. */
static Complex *smooth_run(const Smooth *f, Complex *x, Complex *spare) {
  int64_t s = 1, m = f->n;
  for (int i = 0; i < f->count; i++, s *= f->factor[i - 1]) {
    int p = f->factor[i];
    m /= p;
    for (int64_t q = 0; q < m; q++) {
      Complex w[MOST_RADIX];
      for (int r = 0; r < p; r++) w[r] = f->roots[q * r * s];
      const Complex *from = x + s * q;
      Complex *to = spare + s * p * q;
      if (p == 4) radix4(from, to, s, m, w, f->sign);
      else if (p == 2) radix2(from, to, s, m, w[1]);
      else radix_any(f, p, from, to, s, m, w);
    }
    Complex *swap = x;
    x = spare;
    spare = swap;
  }
  return x;
}

/* ---- any length: Bluestein's convolution with a chirp, by transforms of a power of two ---- */

typedef struct Plan {
  int64_t n;
  bool direct;
  Smooth ahead, back; /* of n where direct, else of m and its inverse */
  Complex *chirp;     /* n: exp(sign pi i k^2 / n) */
  Complex *filter;    /* m: transform of the conjugate chirp, divided by m */
} Plan;

static int64_t scratch_numbers(const Plan *p) { return 2 * p->ahead.n; }

static Complex *bluestein_run(const Plan *p, Complex *x, Complex *spare) {
  int64_t m = p->ahead.n;
  for (int64_t k = 0; k < p->n; k++) x[k] = mul(x[k], p->chirp[k]);
  memset(x + p->n, 0, (size_t)(m - p->n) * sizeof *x);
  Complex *y = smooth_run(&p->ahead, x, spare);
  for (int64_t k = 0; k < m; k++) y[k] = mul(y[k], p->filter[k]);
  y = smooth_run(&p->back, y, y == x ? spare : x);
  for (int64_t k = 0; k < p->n; k++) y[k] = mul(y[k], p->chirp[k]);
  return y;
}

/* k^2 modulo 2n, which no length makes overflow: k^2 = (k - 1)^2 + 2k - 1 */
static void fill_chirp(Plan *p, int sign) {
  for (int64_t k = 0, square = 0; k < p->n; k++) {
    p->chirp[k] = root(square, 2 * p->n, sign);
    square = (square + 2 * k + 1) % (2 * p->n);
  }
}

static void fill_filter(Plan *p, Complex *work) {
  int64_t m = p->ahead.n;
  memset(work, 0, (size_t)m * sizeof *work);
  for (int64_t k = 0; k < p->n; k++) {
    Complex c = {p->chirp[k].re / (double)m, -p->chirp[k].im / (double)m};
    work[k] = c;
    if (k > 0) work[m - k] = c;
  }
  const Complex *y = smooth_run(&p->ahead, work, work + m);
  memcpy(p->filter, y, (size_t)m * sizeof *y);
}

/* Fills p, but for its tables, and says how many numbers they need. */
static int64_t plan_sizes(Plan *p, int64_t n, int sign) {
  *p = (Plan){.n = n, .ahead = {.n = n, .sign = sign}};
  p->direct = factorize(&p->ahead);
  if (p->direct) return n;
  int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  p->ahead.n = p->back.n = m;
  p->back.sign = -sign;
  factorize(&p->ahead);
  factorize(&p->back);
  return 3 * m + n;
}

static void plan_fill(Plan *p, Complex *tables, Complex *work) {
  p->ahead.roots = tables;
  fill_roots(&p->ahead);
  if (p->direct) return;
  p->back.roots = tables + p->ahead.n;
  p->filter = tables + 2 * p->ahead.n;
  p->chirp = tables + 3 * p->ahead.n;
  fill_roots(&p->back);
  fill_chirp(p, p->ahead.sign);
  fill_filter(p, work);
}

/* ---- the lines of a tensor ---- */

typedef struct Lines {
  const Plan *plan;
  AxisView v;
  const real *x;
  real *y;
  double scale;
  Complex *scratch; /* where one thread does all of it */
} Lines;

static void transform_lines(void *context, int64_t begin, int64_t end, int thread) {
  const Lines *l = context;
  int64_t n = l->v.n, inner = l->v.inner;
  Complex *work = l->scratch ? l->scratch : parallel_scratch(thread);
  for (int64_t line = begin; line < end; line++) {
    int64_t at = line / inner * n * inner + line % inner;
    for (int64_t k = 0; k < n; k++) {
      const real *x = l->x + 2 * (at + k * inner);
      work[k] = (Complex){(double)x[0], (double)x[1]};
    }
    Complex *spare = work + l->plan->ahead.n;
    const Complex *result = l->plan->direct ? smooth_run(&l->plan->ahead, work, spare)
                                            : bluestein_run(l->plan, work, spare);
    for (int64_t k = 0; k < n; k++) {
      real *y = l->y + 2 * (at + k * inner);
      y[0] = (real)(result[k].re * l->scale);
      y[1] = (real)(result[k].im * l->scale);
    }
  }
}

static Tensor *numbers_new(int64_t count, Error *e) {
  Shape shape = {.dims = 2, .size = {count, (int64_t)sizeof(Complex)}};
  return shape_check(&shape, e) ? tensor_new(DTYPE_U8, &shape, e) : NULL;
}

/* y = scale times the transform of x, of its shape, along an axis */
static bool transform(const Tensor *x, int64_t axis, int sign, double scale, Tensor *y, Error *e) {
  Plan plan;
  AxisView v = axis_view(&x->shape, axis);
  v.inner /= 2;
  Tensor *tables = numbers_new(plan_sizes(&plan, v.n, sign), e);
  Tensor *work = tables ? numbers_new(scratch_numbers(&plan), e) : NULL;
  bool ok = work != NULL, alone = scratch_numbers(&plan) > ALONE;
  if (ok && !alone && !parallel_reserve(scratch_numbers(&plan) * (int64_t)sizeof(Complex)))
    ok = error_set(e, "out of memory");
  if (ok) {
    plan_fill(&plan, tables->data, work->data);
    Lines lines = {.plan = &plan, .v = v, .x = reals(x), .y = reals(y), .scale = scale};
    int64_t count = v.outer * v.inner;
    if (alone) lines.scratch = work->data;
    if (alone) transform_lines(&lines, 0, count, 0);
    else parallel_for(count, LINE_GRAIN / v.n + 1, transform_lines, &lines);
  }
  tensor_release(tables);
  tensor_release(work);
  return ok;
}

/* ---- fft: y_k = scale sum over j of x_j exp(sign 2 pi i jk / n); dx is that of dy with -sign ----
 */

enum { AXIS, INVERSE };

static bool fft_shape(const Call *c, Shape *out, Error *e) {
  const Shape *s = &c->in[0]->shape;
  char text[SHAPE_TEXT];
  *out = *s;
  if (s->dims < 2 || s->size[s->dims - 1] != 2)
    return error_set(e, "x: expected complex numbers [..., n, 2], got %s", shape_text(s, text));
  if (!axis_check(s, c->integer[AXIS], e)) return false;
  if (c->integer[AXIS] == s->dims - 1)
    return error_set(e, "axis: the last one holds the two parts of the numbers");
  if (s->size[c->integer[AXIS]] < 1)
    return error_set(e, "x: expected at least one element to transform, got %s",
                     shape_text(s, text));
  return true;
}
static bool fft_forward(Call *c, Tensor *y, Error *e) {
  return transform(c->in[0], c->integer[AXIS], c->integer[INVERSE] ? 1 : -1, c->number[0], y, e);
}
static bool fft_backward(const Call *c, const Tensor *y, const Tensor *dy, Tensor *const *dx,
                         Error *e) {
  (void)y;
  return transform(dy, c->integer[AXIS], c->integer[INVERSE] ? -1 : 1, c->number[0], dx[0], e);
}
static const Op op_fft = {
    .name = "fft",
    .inputs = "x",
    .doc = "The discrete Fourier transform of x [..., 2] along an axis, times "
           "scale.",
    .flags = OP_HIDDEN,
    PARAMS({"axis", PARAM_AXIS, true, 0, NULL}, {"inverse", PARAM_BOOL, false, 0, NULL},
           {"scale", PARAM_NUMBER, false, 1, NULL}),
    .shape = fft_shape,
    .forward = fft_forward,
    .backward = fft_backward};

const Op *const ISA_NAME(ops_fft)[] = {&op_fft, NULL};
