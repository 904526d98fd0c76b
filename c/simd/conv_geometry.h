/* Floor 2: the geometry of a convolution, one axis at a time, and how its work is cut into jobs.
 * A convolution joins a big image with a small one: conv2d makes the small from the big, its
 * transpose the big from the small. Both directions are one correlation, small[q] += big[...]: the
 * way up falls into `stride` interleaved phases, each a correlation of stride 1 over some of the
 * taps. Knows no arithmetic and no instruction set. */
#ifndef LATENT_SIMD_CONV_GEOMETRY_H
#define LATENT_SIMD_CONV_GEOMETRY_H

#include "base/tensor.h"

/* [0] is the vertical axis, [1] the horizontal one. */
typedef struct ConvGeometry {
  int64_t batch, big_channels, small_channels;
  int64_t groups; /* of channels, each by itself; the kernels here know one only */
  int64_t big[2], small[2], kernel[2], stride[2], padding[2], dilation[2];
  /* The weight of (tap, big channel b, small channel s) is element
   * tap * big_channels * small_channels + b * weight_big + s * weight_small. */
  int64_t weight_big, weight_small;
} ConvGeometry;

static inline int64_t conv_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t conv_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t conv_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline int64_t conv_gcd(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* One axis of a correlation. Output q of a phase reads the source at
 * q * step - before + first + j * tap_step, for each of its taps j. */
typedef struct ConvAxis {
  bool up; /* from the small image to the big one */
  int64_t source, out;
  int64_t kernel, stride, padding, dilation;
  int64_t phases;       /* 1, or the stride on the way up */
  int64_t step;         /* of the source per q: the stride, or 1 on the way up */
  int64_t before, span; /* q = 0 may read the source from -before to span - before - 1 */
  int64_t count;        /* values of q of the longest phase */
} ConvAxis;

typedef struct ConvPhase {
  int64_t count;               /* values of q */
  int64_t first;               /* first tap, counted from -before */
  int64_t taps, tap_step;      /* how many there are, how far apart */
  int64_t weight, weight_step; /* place of the first tap in the kernel, distance to the next */
} ConvPhase;

/* Phase r makes the outputs r, r + phases, ... On the way up big[i] takes small[(i + padding -
 * k * dilation) / stride] for every k that divides: each `period`-th, if there is one at all. A
 * larger k lies further left, so that the last k is the first tap. */
static inline ConvPhase conv_phase(const ConvAxis *a, int64_t r) {
  ConvPhase p = {.count = conv_ceil(conv_max(a->out - r, 0), a->phases)};
  if (!a->up) {
    p.first = a->before - a->padding;
    p.taps = a->kernel;
    p.tap_step = a->dilation;
    p.weight_step = 1;
    return p;
  }
  int64_t gcd = conv_gcd(a->stride, a->dilation), period = a->stride / gcd, k = 0;
  while (k < period && (r + a->padding - k * a->dilation) % a->stride != 0) k++;
  if (k >= period || k >= a->kernel) return p;
  p.taps = (a->kernel - 1 - k) / period + 1;
  p.tap_step = a->dilation / gcd;
  p.weight = k + (p.taps - 1) * period;
  p.weight_step = -period;
  p.first = (r + a->padding - k * a->dilation) / a->stride - (p.taps - 1) * p.tap_step + a->before;
  return p;
}

/* Some of a row of things: [first, end). */
typedef struct ConvSpan {
  int32_t first, end;
} ConvSpan;

/* The steps j from 0 to count - 1 for which start + j * step lies in [0, size). */
static inline ConvSpan conv_inside(int64_t start, int64_t step, int64_t size, int64_t count) {
  int64_t first = start < 0 ? conv_ceil(-start, step) : 0;
  int64_t end = start < size ? conv_min(conv_ceil(size - start, step), count) : 0;
  return (ConvSpan){(int32_t)conv_min(first, end), (int32_t)end};
}

/* The taps of output q that lie inside the source. */
static inline ConvSpan conv_span(const ConvAxis *a, const ConvPhase *p, int64_t q) {
  if (p->taps == 0) return (ConvSpan){0, 0};
  return conv_inside(q * a->step - a->before + p->first, p->tap_step, a->source, p->taps);
}

static inline bool conv_same_span(ConvSpan a, ConvSpan b) {
  return a.first == b.first && a.end == b.end;
}

static inline ConvAxis conv_axis(const ConvGeometry *g, int d, bool up) {
  ConvAxis a = {.up = up,
                .source = up ? g->small[d] : g->big[d],
                .out = up ? g->big[d] : g->small[d],
                .kernel = g->kernel[d],
                .stride = g->stride[d],
                .padding = g->padding[d],
                .dilation = g->dilation[d],
                .phases = up ? g->stride[d] : 1,
                .step = up ? 1 : g->stride[d]};
  a.count = conv_ceil(a.out, a.phases);
  if (!up) {
    a.before = a.padding;
    a.span = (a.kernel - 1) * a.dilation + 1;
    return a;
  }
  int64_t low = 0, high = 0;
  for (int64_t r = 0; r < conv_min(a.phases, a.out); r++) {
    ConvPhase p = conv_phase(&a, r);
    if (p.taps == 0) continue;
    low = conv_min(low, p.first);
    high = conv_max(high, p.first + (p.taps - 1) * p.tap_step);
  }
  a.before = -low;
  a.span = high - low + 1;
  return a;
}

/* How a correlation is cut. A job is a group of small images, or a band of rows of one large image:
 * about as much as the inner caches hold, and never more than the batch offers. Its part of the
 * source, the window, is copied with zeros around it; where nothing lies outside, it is read where
 * it is. The cut depends on the problem alone. */
typedef struct ConvCut {
  int64_t images, rows;  /* of a job: whole images, or rows (values of q) of one image */
  int64_t groups, bands; /* their numbers; jobs = groups * bands */
  int64_t jobs;
  bool direct;
  int64_t height, width; /* of the window */
  int64_t row, image;    /* pitch in the window, in elements */
  int64_t pixels;        /* values of (image, row, column) in a job's longest phase */
} ConvCut;

enum {
  CONV_WINDOW = 1 << 16, /* elements of a window, about */
  CONV_PIXELS = 256,     /* small images are grouped up to this many pixels */
  CONV_WORK = 1 << 20,   /* multiplications that are worth a smaller job, or a quarter of sums */
  CONV_CHUNK = 1 << 18,  /* ... a parallel chunk of jobs that no sum joins */
  CONV_JOBS = 16         /* where images are few and large, cut them into this many jobs */
};

/* From `in` channels to `out`; `work` is the number of multiplications of one image. */
static inline ConvCut conv_cut(const ConvAxis axis[2], int64_t batch, int64_t in, int64_t out,
                               int64_t work, bool may_be_direct) {
  ConvCut c = {.images = 1, .rows = axis[0].count, .bands = 1};
  c.width = (axis[1].count - 1) * axis[1].step + axis[1].span;
  c.height = (axis[0].count - 1) * axis[0].step + axis[0].span;
  c.direct = may_be_direct && axis[0].before == 0 && axis[1].before == 0 &&
             c.width <= axis[1].source && c.height <= axis[0].source;
  c.row = (c.direct ? axis[1].source : c.width) * in;
  int64_t area = axis[0].count * axis[1].count;
  if (area < CONV_PIXELS) {
    int64_t image = conv_max(c.row * c.height, axis[0].out * axis[1].out * out);
    int64_t fit = conv_min(CONV_PIXELS / area, CONV_WINDOW / image);
    int64_t groups = conv_ceil(batch, conv_max(fit, 1));
    c.images = conv_max(conv_ceil(batch, conv_max(groups, 1)), 1); /* all groups alike */
  } else {
    int64_t fit = (CONV_WINDOW / c.row - axis[0].span) / axis[0].step + 1;
    int64_t wanted = conv_min(CONV_JOBS / conv_max(batch, 1), work / CONV_WORK);
    int64_t bands = conv_max(conv_ceil(axis[0].count, conv_max(fit, 1)), wanted);
    c.rows = conv_ceil(axis[0].count, conv_max(bands, 1));
    c.bands = conv_ceil(axis[0].count, c.rows);
  }
  c.groups = conv_ceil(batch, c.images);
  c.jobs = c.groups * c.bands;
  c.height = (c.rows - 1) * axis[0].step + axis[0].span;
  c.image = c.direct ? axis[0].source * c.row : c.height * c.row;
  c.pixels = c.images * c.rows * axis[1].count;
  return c;
}

/* Reads a source of `in` channels where it is although taps reach beyond it; the tiles see to
 * these.
 */
static inline void conv_cut_open(ConvCut *c, const ConvAxis axis[2], int64_t in) {
  c->direct = true;
  c->row = axis[1].source * in;
  c->image = axis[0].source * c->row;
}

#endif
