/* Floor 2: convolutions to few channels, vectors along the pixels of a row. The source's channels
 * are copied to planes, so that neighbouring pixels are neighbours in memory; a tile is some such
 * vectors for each output channel, whose weights are single numbers. What leaves a tile is laid out
 * by pixels again. Sums have the order of conv_tiles.h, and so the same bits. */
#ifndef LATENT_SIMD_CONV_ALONG_H
#define LATENT_SIMD_CONV_ALONG_H

#include "base/parallel.h"
#include "base/shortcuts.h"
#include "simd/conv_stages.h"
#include "simd/conv_tiles.h"
#include "simd/workspace.h"

enum {
#if defined __AVX512F__ || defined __aarch64__
  ALONG_OUTS = 8, /* at most */
#else
  ALONG_OUTS = 6,
#endif
  ALONG_TILE = 8, /* vectors of a tile, at most */
  ALONG_FEW = 4   /* channels that are not worth a transposition of vectors */
};

/* Where some pixels of an output row begin in the window and in the output; how many there are. */
typedef struct AlongPlace {
  int32_t source, out, row, pixels;
} AlongPlace;

typedef struct Along {
  ConvAxis axis[2];
  ConvCut cut;
  int64_t batch, in, out;
  const real *source;
  real *result;
  int64_t terms;            /* of a row of taps */
  int32_t *offset;          /* of all terms, in the window */
  real *weights;            /* (terms, out) */
  real bias[ALONG_OUTS];    /* zeros where there is none */
  ConvSpan *row_taps;       /* those inside the image, by row of the output */
  AlongPlace *place, *last; /* of all jobs but the last of an image or batch; of that one */
  VecMask pixel[ALONG_OUTS], channel[ALONG_OUTS]; /* of the lanes, where outputs are by pixels */
} Along;

/* Some vectors of pixels: where they come from and go to. */
typedef struct AlongPixels {
  int64_t count;
  const real *window;
  real *out;
  const AlongPlace *place;
  const ConvSpan *row_taps; /* from the job's first row on */
} AlongPixels;

/* A vector of pixels for each output, stored by pixels. */
VEC_INLINE void along_store(const Along *a, real *out, const Vec *sum, const int outs,
                            int64_t pixels) {
  VEC_UNROLL for (int k = 0; k < outs; k++) {
    Vec v = outs > 1 ? vec_permute(sum[0], a->pixel[k]) : sum[0];
    VEC_UNROLL for (int o = 1; o < outs; o++) v =
        vec_select(a->channel[k] == o, vec_permute(sum[o], a->pixel[k]), v);
    int64_t left = pixels * outs - k * LANES;
    if (left >= LANES) vec_store(out + k * LANES, v);
    else if (left > 0) vec_store_part(out + k * LANES, v, (int)left);
  }
}

VEC_INLINE void tile_along(const Along *a, const AlongPixels *x, const int outs, const int tile) {
  AlongPlace fill[ALONG_TILE];
  const AlongPlace *all = x->place;
  int64_t count = x->count;
  if (count < tile) {
    for (int64_t t = 0; t < tile; t++) fill[t] = all[conv_min(t, count - 1)];
    all = fill;
    count = tile;
  }
  for (int64_t p = 0; p < count; p += tile) {
    const AlongPlace *place = all + conv_min(p, count - tile);
    const real *source[ALONG_TILE];
    Vec sum[ALONG_TILE][ALONG_OUTS];
    ConvSpan rows = x->row_taps[place->row];
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      ConvSpan own = x->row_taps[place[t].row];
      if (own.first < rows.first) rows.first = own.first;
      if (own.end > rows.end) rows.end = own.end;
      source[t] = x->window + place[t].source;
      VEC_UNROLL for (int o = 0; o < outs; o++) sum[t][o] = vec_zero();
    }
    const real *w = a->weights + rows.first * a->terms * outs;
    for (int64_t i = rows.first * a->terms; i < rows.end * a->terms; i++, w += outs) {
      int64_t offset = a->offset[i];
      Vec v[ALONG_TILE];
      VEC_UNROLL for (int t = 0; t < tile; t++) v[t] = vec_load(source[t] + offset);
      VEC_UNROLL for (int o = 0; o < outs; o++) {
        Vec weight = vec_fill(w[o]);
        VEC_UNROLL for (int t = 0; t < tile; t++) sum[t][o] += v[t] * weight;
      }
    }
    VEC_UNROLL for (int t = 0; t < tile; t++) {
      VEC_UNROLL for (int o = 0; o < outs; o++) sum[t][o] += vec_fill(a->bias[o]);
      along_store(a, x->out + place[t].out, sum[t], outs, place[t].pixels);
    }
  }
}

typedef void AlongTile(const Along *a, const AlongPixels *x);
#define ALONG(OUTS, TILE)                                                                          \
  static __attribute__((noinline)) void along_##OUTS(const Along *a, const AlongPixels *x) {       \
    tile_along(a, x, OUTS, TILE);                                                                  \
  }
#if defined __AVX512F__ || defined __aarch64__
ALONG(1, 8)
ALONG(2, 8)
ALONG(3, 6)
ALONG(4, 5)
ALONG(5, 4)
ALONG(6, 4)
ALONG(7, 3)
ALONG(8, 3)
static const int along_vectors[] = {0, 8, 8, 6, 5, 4, 4, 3, 3};
static AlongTile *const along_tile[] = {NULL,    along_1, along_2, along_3, along_4,
                                        along_5, along_6, along_7, along_8};
#else
ALONG(1, 6)
ALONG(2, 4)
ALONG(3, 3)
ALONG(4, 2)
ALONG(5, 2)
ALONG(6, 2)
static const int along_vectors[] = {0, 6, 4, 3, 2, 2, 2};
static AlongTile *const along_tile[] = {NULL, along_1, along_2, along_3, along_4, along_5, along_6};
#endif

/* ---- the window ---- */

/* `pixels` pixels of a row to planes that are `pitch` apart. */
static void along_planes(real *to, int64_t pitch, const real *from, int64_t pixels, int64_t n) {
  if (n == 1) {
    memcpy(to, from, (size_t)pixels * sizeof(real));
    return;
  }
  if (n < ALONG_FEW) {
    for (int64_t c = 0; c < n; c++)
      for (int64_t p = 0; p < pixels; p++) to[c * pitch + p] = from[p * n + c];
    return;
  }
  for (int64_t c = 0; c < n; c += LANES) {
    int channels = (int)conv_min(n - c, LANES);
    for (int64_t p = 0; p < pixels; p += LANES) {
      int many = (int)conv_min(pixels - p, LANES);
      Vec v[LANES];
      VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] =
          i >= many           ? vec_zero()
          : channels == LANES ? vec_load(from + (p + i) * n + c)
                              : vec_load_part(from + (p + i) * n + c, channels);
      vec_transpose(v);
      VEC_UNROLL for (int i = 0; i < LANES; i++) {
        if (i >= channels) continue;
        real *plane = to + (c + i) * pitch + p;
        if (many == LANES) vec_store(plane, v[i]);
        else vec_store_part(plane, v[i], many);
      }
    }
  }
}

/* A job's part of an image: a row of the window is one plane after the other. */
static void along_window(const Along *a, real *to, const real *image, int64_t from) {
  const ConvAxis *x = &a->axis[1];
  int64_t pitch = a->cut.width, row = x->source * a->in;
  memset(to, 0, (size_t)a->cut.image * sizeof(real));
  int64_t inside = conv_min(x->source, pitch - x->before);
  for (int64_t y = 0; y < a->cut.height; y++, to += a->in * pitch)
    if (from + y >= 0 && from + y < a->axis[0].source)
      along_planes(to + x->before, pitch, image + (from + y) * row, inside, a->in);
}

/* ---- jobs ---- */

/* Jobs of a parallel chunk, where no sum is cut; `work` is that of all. */
static int64_t conv_grain(int64_t jobs, int64_t work) {
  int64_t chunks = conv_max(conv_min(work / CONV_CHUNK, jobs), 1);
  return conv_ceil(jobs, parallel_even(chunks, jobs));
}

/* Rows of a job: the last one of an image may have fewer. */
static int64_t along_rows(const Along *a, int64_t band) {
  return conv_min(a->axis[0].count - band * a->cut.rows, a->cut.rows);
}
static int64_t along_images(const Along *a, int64_t group) {
  return conv_min(a->cut.images, a->batch - group * a->cut.images);
}
static int64_t along_blocks(const Along *a) { return conv_ceil(a->axis[1].count, LANES); }

static void along_jobs(void *context, int64_t begin, int64_t end, int thread) {
  const Along *a = context;
  real *window = parallel_scratch(thread);
  int64_t image = a->axis[0].source * a->axis[1].source * a->in;
  int64_t line = a->axis[1].out * a->out;
  for (int64_t number = begin; number < end; number++) {
    int64_t group = number / a->cut.bands, band = number % a->cut.bands;
    int64_t images = along_images(a, group), rows = along_rows(a, band), row = band * a->cut.rows;
    int64_t first = group * a->cut.images;
    for (int64_t i = 0; i < images; i++)
      along_window(a, window + i * a->cut.image, a->source + (first + i) * image,
                   row * a->axis[0].step - a->axis[0].before);
    bool whole = images == a->cut.images && rows == a->cut.rows;
    AlongPixels x = {.count = images * rows * along_blocks(a),
                     .window = window,
                     .out = a->result + (first * a->axis[0].out + row) * line,
                     .place = whole ? a->place : a->last,
                     .row_taps = a->row_taps + row};
    along_tile[a->out](a, &x);
  }
}

/* Row by row, so that neighbours need the same taps; the last vector of a row overlaps the one
 * before it. */
static void along_places(const Along *a, int64_t images, int64_t rows, AlongPlace *to) {
  int64_t width = a->axis[1].count, blocks = along_blocks(a);
  for (int64_t y = 0; y < rows; y++)
    for (int64_t n = 0; n < images; n++)
      for (int64_t b = 0; b < blocks; b++) {
        int64_t x = conv_max(conv_min(b * LANES, width - LANES), 0);
        int64_t source = n * a->cut.image + y * a->axis[0].step * a->in * a->cut.width + x;
        int64_t out = ((n * a->axis[0].out + y) * a->axis[1].out + x) * a->out;
        *to++ = (AlongPlace){(int32_t)source, (int32_t)out, (int32_t)y,
                             (int32_t)conv_min(width, LANES)};
      }
}

/* Offsets and weights of the terms, in the order of their sum. */
static void along_terms(const Along *a, const ConvPhase phase[2], const real *w,
                        int64_t kernel_width, int64_t in_step, int64_t out_step) {
  int32_t *offset = a->offset;
  real *to = a->weights;
  for (int64_t y = 0; y < phase[0].taps; y++)
    for (int64_t x = 0; x < phase[1].taps; x++) {
      int64_t ky = phase[0].weight + y * phase[0].weight_step;
      int64_t kx = phase[1].weight + x * phase[1].weight_step;
      int64_t row = phase[0].first + y * phase[0].tap_step;
      int64_t column = phase[1].first + x * phase[1].tap_step;
      const real *tap = w + (ky * kernel_width + kx) * a->in * a->out;
      for (int64_t i = 0; i < a->in; i++) {
        *offset++ = (int32_t)((row * a->in + i) * a->cut.width + column);
        for (int64_t o = 0; o < a->out; o++) *to++ = tap[i * in_step + o * out_step];
      }
    }
}

static void along_tables(Along *a, const ConvPhase phase[2], const real *bias) {
  for (int64_t o = 0; o < a->out; o++) a->bias[o] = bias ? bias[o] : 0;
  for (int k = 0; k < (int)a->out; k++)
    for (int l = 0; l < LANES; l++) {
      a->pixel[k][l] = (lane_int)((k * LANES + l) / a->out);
      a->channel[k][l] = (lane_int)((k * LANES + l) % a->out);
    }
  for (int64_t y = 0; y < a->axis[0].count; y++)
    a->row_taps[y] = conv_span(&a->axis[0], &phase[0], y);
  along_places(a, a->cut.images, a->cut.rows, a->place);
  along_places(a, along_images(a, a->cut.groups - 1), along_rows(a, a->cut.bands - 1), a->last);
}

static int64_t along_place(Along *a, int64_t taps, char *base) {
  int64_t used = 0, terms = taps * a->in;
  workspace_take(base, &used, (int64_t)sizeof *a);
  int64_t places = a->cut.images * a->cut.rows * along_blocks(a) * (int64_t)sizeof(AlongPlace);
  a->offset = workspace_take(base, &used, terms * (int64_t)sizeof(int32_t));
  a->weights = workspace_take(base, &used, terms * a->out * (int64_t)sizeof(real));
  a->row_taps = workspace_take(base, &used, a->axis[0].count * (int64_t)sizeof(ConvSpan));
  a->place = workspace_take(base, &used, places);
  a->last = workspace_take(base, &used, places);
  return used;
}

/* Whether it pays: `other` is what another form costs for each output pixel, in multiply-adds of
 * vectors. Neighbouring outputs have to have neighbouring sources. */
static bool along_fits(const ConvAxis axis[2], int64_t in, int64_t out, int64_t taps,
                       double other) {
  if (LANES < 8 || out > ALONG_OUTS || !shortcut(CONV_ALONG)) return false;
  if (axis[0].phases > 1 || axis[1].phases > 1 || axis[1].step > 1) return false;
  double pixels = (double)axis[1].count / (double)conv_ceil(axis[1].count, LANES);
  double moved = (double)(out * out) / LANES + (double)in / 4 + 1;
  return (double)(taps * in * out) / pixels + moved < other;
}

/* The images of a job are as many as a tile has vectors, where they are small: their equal rows
 * have equal taps. */
static void along_group(Along *a) {
  int64_t most = conv_min(CONV_WINDOW / a->cut.image, along_vectors[a->out]);
  if (a->cut.bands > 1 || a->cut.images >= most) return;
  if (along_blocks(a) > 1 || a->batch < 4 * most) return;
  a->cut.images = most;
  a->cut.groups = a->cut.jobs = conv_ceil(a->batch, most);
}

/* result = bias + source correlated with the weights; of a batch that is not empty. */
static bool conv_along(Along *a, const ConvPhase phase[2], const real *w, const real *bias,
                       int64_t kernel_width, int64_t in_step, int64_t out_step, int64_t work,
                       ConvStages *s, Error *e) {
  along_group(a);
  a->terms = phase[1].taps * a->in;
  int64_t taps = phase[0].taps * phase[1].taps;
  if (!parallel_reserve((a->cut.images * a->cut.image + LANES) * (int64_t)sizeof(real) + 64))
    return error_set(e, "out of memory");
  s->space = workspace_new(along_place(a, taps, NULL), e);
  if (!s->space) return false;
  along_place(a, taps, s->space->data);
  along_tables(a, phase, bias);
  along_terms(a, phase, w, kernel_width, in_step, out_step);
  Along *own = s->space->data;
  *own = *a;
  int64_t grain = conv_grain(a->cut.jobs, work * a->batch);
  s->second = (ParallelRange){a->cut.jobs, grain, along_jobs, own};
  return true;
}

#endif
