/* Floor 3: bilinear resize, and bytes to numbers. Per output row two input rows are stretched to
 * the new width and then mixed; the stretched rows are kept while neighbouring output rows need
 * them. */
#include "ops/resize.h"

#include "base/parallel.h"

#include <stdlib.h>

enum { CHUNK_ELEMENTS = 1 << 14 };

/* Where an output position lies between input positions `from` and `to`. */
typedef struct Mix {
  int from, to;
  real weight_from, weight_to;
} Mix;

typedef struct Resize {
  const Images *in, *out;
  const Mix *down, *across; /* (out height), (out width) */
} Resize;

/* Two stretched input rows; `row` numbers them over all images, -1 is none. */
typedef struct RowCache {
  int64_t row[2];
  real *values[2];
} RowCache;

/* x = (o + 1/2) in / out - 1/2, no less than zero; as in PyTorch the ratio is rounded to `real`,
 * the rest is not. */
static void fill_mix(Mix *mix, int in, int out) {
  real scale = (real)in / (real)out;
  for (int o = 0; o < out; o++) {
    double x = (double)scale * (o + 0.5) - 0.5;
    if (x < 0) x = 0;
    int from = (int)x < in - 1 ? (int)x : in - 1;
    real part = (real)(x - from);
    if (part > 1) part = 1;
    mix[o] = (Mix){from, from < in - 1 ? from + 1 : from, 1 - part, part};
  }
}

static void stretch_row(const Resize *r, int64_t row, real *restrict values) {
  int channels = r->in->channels, width = r->in->width;
  int64_t start = row * width * channels;
  for (int x = 0; x < r->out->width; x++) {
    Mix m = r->across[x];
    int64_t from = start + (int64_t)m.from * channels, to = start + (int64_t)m.to * channels;
    for (int c = 0; c < channels; c++) {
      real a, b;
      if (r->in->dtype == DTYPE_U8) {
        const uint8_t *p = r->in->data;
        a = p[from + c], b = p[to + c];
      } else {
        const real *p = r->in->data;
        a = p[from + c], b = p[to + c];
      }
      *values++ = m.weight_from * a + m.weight_to * b;
    }
  }
}

/* The stretched row, from the cache if it is there; `keep` is not the one to be overwritten. */
static const real *stretched(const Resize *r, RowCache *cache, int64_t row, int64_t keep) {
  for (int i = 0; i < 2; i++)
    if (cache->row[i] == row) return cache->values[i];
  int i = cache->row[0] == keep ? 1 : 0;
  stretch_row(r, row, cache->values[i]);
  cache->row[i] = row;
  return cache->values[i];
}

/* Nearest whole number, halves to even: where this is added, no bits are left for a fraction. */
#ifdef LATENT_DOUBLE
static const real ROUNDER = 6755399441055744.0; /* 1.5 * 2^52 */
#else
static const real ROUNDER = 12582912.0F; /* 1.5 * 2^23 */
#endif

static void mix_bytes(const real *a, const real *b, Mix m, int64_t n, uint8_t *restrict out) {
  for (int64_t i = 0; i < n; i++) {
    real y = m.weight_from * a[i] + m.weight_to * b[i];
    out[i] = (uint8_t)(int)(y + ROUNDER - ROUNDER);
  }
}

static void mix_reals(const real *a, const real *b, Mix m, int64_t n, real *restrict out) {
  for (int64_t i = 0; i < n; i++) out[i] = m.weight_from * a[i] + m.weight_to * b[i];
}

/* The items are output rows, over all images. */
static void resize_rows(void *context, int64_t begin, int64_t end, int thread) {
  const Resize *r = context;
  int64_t length = (int64_t)r->out->width * r->out->channels;
  real *scratch = parallel_scratch(thread);
  RowCache cache = {{-1, -1}, {scratch, scratch + length}};
  for (int64_t i = begin; i < end; i++) {
    Mix m = r->down[i % r->out->height];
    int64_t base = i / r->out->height * r->in->height;
    const real *a = stretched(r, &cache, base + m.from, base + m.to);
    const real *b = stretched(r, &cache, base + m.to, base + m.from);
    if (r->out->dtype == DTYPE_U8) mix_bytes(a, b, m, length, (uint8_t *)r->out->data + i * length);
    else mix_reals(a, b, m, length, (real *)r->out->data + i * length);
  }
}

bool ISA_NAME(resize_bilinear)(const Images *in, const Images *out, Error *e) {
  size_t length = (size_t)out->width * (size_t)out->channels;
  Mix *mix = malloc(((size_t)out->height + (size_t)out->width) * sizeof *mix);
  if (!mix || !parallel_reserve(2 * (int64_t)length * (int64_t)sizeof(real))) {
    free(mix);
    return error_set(e, "out of memory");
  }
  fill_mix(mix, in->height, out->height);
  fill_mix(mix + out->height, in->width, out->width);
  Resize r = {in, out, mix, mix + out->height};
  /* Whole images where they are small, so that no row is stretched twice. */
  int64_t rows = CHUNK_ELEMENTS / (int64_t)(length ? length : 1);
  if (rows > out->height) rows -= rows % out->height;
  parallel_for(out->count * out->height, rows > 0 ? rows : 1, resize_rows, &r);
  free(mix);
  return true;
}

typedef struct Gather {
  const uint8_t *bytes;
  int64_t row;
  const int64_t *rows;
  double scale, shift;
  real *out;
} Gather;

static void gather_chunk(void *context, int64_t begin, int64_t end, int thread) {
  const Gather *g = context;
  double scale = g->scale, shift = g->shift;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    const uint8_t *from = g->bytes + (g->rows ? g->rows[i] : i) * g->row;
    real *restrict to = g->out + i * g->row;
    /* In double: 255 * (2 / 255.0) - 1 is to be 1, and no machine is to differ. */
    for (int64_t j = 0; j < g->row; j++) to[j] = (real)(from[j] * scale + shift);
  }
}

void ISA_NAME(gather_bytes)(const uint8_t *bytes, int64_t row, const int64_t *rows, int64_t n,
                            double scale, double shift, void *out) {
  Gather g = {bytes, row, rows, scale, shift, out};
  parallel_for(n, row > 0 && row < CHUNK_ELEMENTS ? CHUNK_ELEMENTS / row : 1, gather_chunk, &g);
}
