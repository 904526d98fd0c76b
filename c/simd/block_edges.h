/* Floor 2: the edges of a fused block, where its data enters and leaves the scratch of a job:
 * windows of the source with zeros around them, the epilogue (activation, pool and codes) and its
 * reverse. A code says what backward must know of an element of y: the
 * place of its winner in the window, row * pool width + column, plus the flag LOW where the
 * activation's argument was not positive. */
#ifndef LATENT_SIMD_BLOCK_EDGES_H
#define LATENT_SIMD_BLOCK_EDGES_H

#include "simd/block_geometry.h"
#include "simd/vec.h"

#include <math.h>
#include <string.h>

#if defined __SSE2__
#include <emmintrin.h>
#else
typedef uint8_t CodeBytes __attribute__((vector_size(LANES)));
#endif

/* Windows of up to 128 pixels have codes of a byte, larger ones of a lane. */
typedef struct BlockCodes {
  uint8_t *bytes;
  lane_int *lanes;
  lane_int low; /* the flag */
} BlockCodes;

static BlockCodes block_codes(const Block *b, const Tensor *t) {
  bool wide = b->axis[0].pool * b->axis[1].pool > 128;
  BlockCodes c = {.low = wide ? 1 << 30 : 128};
  if (!t) return c;
  if (wide) c.lanes = t->data;
  else c.bytes = t->data;
  return c;
}

/* Memory for codes; none where backward needs none. */
static bool block_codes_new(const Block *b, BlockCodes *codes, Tensor **kept, Error *e) {
  int64_t window = b->axis[0].pool * b->axis[1].pool;
  if (window == 1 && b->activation == BLOCK_LINEAR) return true;
  Shape s = {4, {b->batch, b->axis[0].pooled, b->axis[1].pooled, b->out}};
  *kept = tensor_new(window > 128 ? DTYPE_REAL : DTYPE_U8, &s, e);
  *codes = block_codes(b, *kept);
  return *kept != NULL;
}

/* LANES codes to bytes and back; compilers take the general conversion apart. */
VEC_INLINE void code_bytes_store(uint8_t *to, VecMask code) {
#if defined __AVX512F__
  _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8((__m512i)code));
#elif defined __AVX2__
  __m128i low = _mm256_castsi256_si128((__m256i)code);
  __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i)code, 1));
  _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(words, words));
#elif defined __SSE2__
  __m128i words = _mm_packs_epi32((__m128i)code, (__m128i)code);
  int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  memcpy(to, &bytes, sizeof bytes);
#else
  CodeBytes bytes = __builtin_convertvector(code, CodeBytes);
  memcpy(to, &bytes, sizeof bytes);
#endif
}

VEC_INLINE VecMask code_bytes_load(const uint8_t *from) {
#if defined __AVX512F__
  return (VecMask)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
#elif defined __AVX2__
  return (VecMask)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
#elif defined __SSE2__
  int32_t four;
  memcpy(&four, from, sizeof four);
  __m128i zero = _mm_setzero_si128(), words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
  return (VecMask)_mm_unpacklo_epi16(words, zero);
#else
  CodeBytes bytes;
  memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, VecMask);
#endif
}

VEC_INLINE void codes_store(const BlockCodes *c, int64_t at, VecMask code) {
  if (c->bytes) code_bytes_store(c->bytes + at, code);
  else if (c->lanes) memcpy(c->lanes + at, &code, sizeof code);
}

VEC_INLINE VecMask codes_load(const BlockCodes *c, int64_t at) {
  if (c->bytes) return code_bytes_load(c->bytes + at);
  VecMask code;
  memcpy(&code, c->lanes + at, sizeof code);
  return code;
}

static void code_put(const BlockCodes *c, int64_t at, lane_int code) {
  if (c->bytes) c->bytes[at] = (uint8_t)code;
  else if (c->lanes) c->lanes[at] = code;
}

static lane_int code_at(const BlockCodes *c, int64_t at) {
  return c->bytes ? c->bytes[at] : c->lanes[at];
}

/* Lines are too short for calls of memcpy. */
VEC_INLINE void copy_line(real *to, const real *from, int64_t n) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) vec_store(to + i, vec_load(from + i));
  for (; i < n; i++) to[i] = from[i];
}

/* Rows [top, top + height) and columns [left, left + width) of an image. What is not in the image
 * is left alone: it was zeroed before. */
static void block_window(real *to, const real *image, int64_t rows, int64_t columns,
                         int64_t channels, int64_t top, int64_t left, int64_t height,
                         int64_t width) {
  int64_t begin = block_max(left, 0), end = block_min(left + width, columns);
  if (begin >= end) return;
  int64_t stop = block_min(top + height, rows);
  for (int64_t y = block_max(top, 0); y < stop; y++)
    copy_line(to + ((y - top) * width + begin - left) * channels,
              image + (y * columns + begin) * channels, (end - begin) * channels);
}

/* The activation of one place, and the flag LOW in its code. NaN is low for a leaky rectifier,
 * whose gradient there is the slope. */
VEC_INLINE Vec vec_activate(Vec z, BlockActivation activation, real slope, lane_int low,
                            VecMask *code) {
  if (activation == BLOCK_LINEAR) return z;
  *code |= (activation == BLOCK_LEAKY ? ~(z > 0) : z <= 0) & low;
  if (activation == BLOCK_LEAKY) return vec_select(z <= 0, z * slope, z);
  return vec_select(z < 0, vec_zero(), z);
}

/* The activation of LANES places that no pool joins, and their codes where these are wanted. */
VEC_INLINE Vec activate_flat(Vec z, BlockActivation activation, real slope, uint8_t *codes) {
  if (activation == BLOCK_LINEAR) return z;
#if defined __AVX512F__
  const __m512 zero = _mm512_setzero_ps(), v = (__m512)z;
  __mmask16 negative = _mm512_cmp_ps_mask(v, zero, _CMP_LE_OQ);
  if (activation == BLOCK_RELU) {
    if (codes) _mm_storeu_si128((__m128i *)codes, _mm_maskz_set1_epi8(negative, -128));
    return (Vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, zero, _CMP_NLT_UQ), v);
  }
  __mmask16 low = _mm512_cmp_ps_mask(v, zero, _CMP_NGT_UQ);
  if (codes) _mm_storeu_si128((__m128i *)codes, _mm_maskz_set1_epi8(low, -128));
  return (Vec)_mm512_mask_mul_ps(v, negative, v, _mm512_set1_ps(slope));
#else
  VecMask code = {0};
  z = vec_activate(z, activation, slope, 128, &code);
  if (codes) code_bytes_store(codes, code);
  return z;
#endif
}

/* Keeps a value and its place where it is better than the best so far. */
VEC_INLINE void window_take(Vec value, VecMask place, Vec *best, VecMask *code) {
#if defined __AVX512F__
  __m512 v = (__m512)value, b = (__m512)*best;
  __mmask16 better = _mm512_cmp_ps_mask(v, b, _CMP_GT_OQ) | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  *best = (Vec)_mm512_mask_mov_ps(b, better, v);
  *code = (VecMask)_mm512_mask_mov_epi32((__m512i)*code, better, (__m512i)place);
#else
  VecMask better = (value > *best) | (value != value);
  *best = vec_select(better, value, *best);
  *code = (better & place) | (~better & *code);
#endif
}

/* LANES channels of one window of z, pixels `pixel` and rows `row` apart. The first of equals wins,
 * and the last of what is no number. A rectifier keeps the order of what it lets pass, and no
 * winner is needed where nothing passes: it comes after the choice. */
VEC_INLINE void window_best(const real *z, int64_t row, int64_t pixel, int64_t height,
                            int64_t width, BlockActivation activation, real slope, lane_int low,
                            Vec *best, VecMask *code) {
  *best = vec_zero();
  *code = (VecMask){0};
  for (int64_t u = 0; u < height; u++)
    for (int64_t v = 0; v < width; v++) {
      VecMask place = (VecMask){0} + (lane_int)(u * width + v);
      Vec value = vec_load(z + u * row + v * pixel);
      if (activation == BLOCK_LEAKY) value = vec_activate(value, activation, slope, low, &place);
      if (u == 0 && v == 0) {
        *best = value;
        *code = place;
        continue;
      }
      window_take(value, place, best, code);
    }
  if (activation == BLOCK_RELU) *best = vec_activate(*best, activation, slope, low, code);
}

/* The last channels of a window, which are no whole vector. */
static __attribute__((noinline)) void epilogue_rest(const Block *b, const real *z, int64_t row,
                                                    int64_t pixel, real *y, const BlockCodes *codes,
                                                    int64_t at, int64_t rest) {
  Vec best;
  VecMask code;
  window_best(z, row, pixel, b->axis[0].pool, b->axis[1].pool, b->activation, b->slope, codes->low,
              &best, &code);
  vec_store_part(y, best, (int)rest);
  for (int64_t k = 0; k < rest; k++) code_put(codes, at + k, code[k]);
}

VEC_INLINE void epilogue_row(const Block *b, const real *z, int64_t row, int64_t pixel, real *y,
                             const BlockCodes *codes, int64_t at, int64_t height, int64_t width,
                             BlockActivation activation) {
  int64_t whole = b->out / LANES * LANES;
  for (int64_t j = 0; j < b->axis[1].pooled; j++, z += width * pixel, y += b->out, at += b->out) {
    for (int64_t c = 0; c < whole; c += LANES) {
      Vec best;
      VecMask code;
      window_best(z + c, row, pixel, height, width, activation, b->slope, codes->low, &best, &code);
      vec_store(y + c, best);
      codes_store(codes, at + c, code);
    }
    if (whole < b->out)
      epilogue_rest(b, z + whole, row, pixel, y + whole, codes, at + whole, b->out - whole);
  }
}

/* The same without a pool for n elements that lie together. */
VEC_INLINE void epilogue_flat(const Block *b, const real *z, real *y, uint8_t *codes, int64_t n,
                              BlockActivation activation) {
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    vec_store(y + i,
              activate_flat(vec_load(z + i), activation, b->slope, codes ? codes + i : NULL));
  if (i == n) return;
  uint8_t last[LANES] = {0};
  Vec v = vec_load_part(z + i, (int)(n - i));
  vec_store_part(y + i, activate_flat(v, activation, b->slope, last), (int)(n - i));
  if (codes) memcpy(codes + i, last, (size_t)(n - i));
}

/* One row of y and its codes (the first at place `at`) from the rows of z under it. */
static void block_epilogue(const Block *b, const real *z, int64_t row, int64_t pixel, real *y,
                           const BlockCodes *codes, int64_t at) {
  int64_t height = b->axis[0].pool, width = b->axis[1].pool;
  if (height == 1 && width == 1 && pixel == b->out) {
    int64_t n = b->axis[1].pooled * b->out;
    uint8_t *bytes = codes->bytes ? codes->bytes + at : NULL;
    if (b->activation == BLOCK_LINEAR) epilogue_flat(b, z, y, bytes, n, BLOCK_LINEAR);
    else if (b->activation == BLOCK_RELU) epilogue_flat(b, z, y, bytes, n, BLOCK_RELU);
    else epilogue_flat(b, z, y, bytes, n, BLOCK_LEAKY);
    return;
  }
  if (height == 2 && width == 2 && b->activation == BLOCK_RELU)
    epilogue_row(b, z, row, pixel, y, codes, at, 2, 2, BLOCK_RELU);
  else if (height == 1 && width == 1 && b->activation == BLOCK_RELU)
    epilogue_row(b, z, row, pixel, y, codes, at, 1, 1, BLOCK_RELU);
  else if (height == 1 && width == 1 && b->activation == BLOCK_LINEAR)
    epilogue_row(b, z, row, pixel, y, codes, at, 1, 1, BLOCK_LINEAR);
  else epilogue_row(b, z, row, pixel, y, codes, at, height, width, b->activation);
}

/* dy through the activation: LANES channels, and one. */
VEC_INLINE Vec pass_lanes(const Block *b, Vec dy, VecMask code, lane_int low) {
  if (b->activation == BLOCK_LINEAR) return dy;
  Vec damped = b->activation == BLOCK_RELU ? vec_zero() : dy * b->slope;
  return vec_select((code & low) != 0, damped, dy);
}

static real pass_one(const Block *b, real dy, lane_int code, lane_int low) {
  if (b->activation == BLOCK_LINEAR || !(code & low)) return dy;
  return b->activation == BLOCK_RELU ? 0 : b->slope * dy;
}

/* The gradient of one row of y (first element at `at`) into the rows [low_row, end_row) of its
 * windows and the columns [0, columns) of z; z: the window row's first pixel, `row` apart. */
VEC_INLINE void unpool_row(const Block *b, const real *dy, const BlockCodes *codes, int64_t at,
                           real *z, int64_t row, int64_t from, int64_t to, int64_t left,
                           int64_t right, int64_t width) {
  bool coded = codes->bytes || codes->lanes;
  int64_t channels = b->out;
  for (int64_t j = 0; j < b->axis[1].pooled; j++, at += channels)
    for (int64_t c = 0; c < channels; c += LANES) {
      int64_t rest = channels - c;
      if (rest >= LANES) {
        VecMask code = coded ? codes_load(codes, at + c) : (VecMask){0};
        Vec d = pass_lanes(b, vec_load(dy + at + c), code, codes->low);
        code &= ~codes->low;
        for (int64_t u = from; u < to; u++)
          for (int64_t v = block_max(left - j * width, 0); v < block_min(right - j * width, width);
               v++)
            vec_store(z + u * row + (j * width + v) * channels + c,
                      vec_select(code == (lane_int)(u * width + v), d, vec_zero()));
        continue;
      }
      for (int64_t k = c; k < channels; k++) {
        lane_int code = coded ? code_at(codes, at + k) : 0;
        real d = pass_one(b, dy[at + k], code, codes->low);
        code &= ~codes->low;
        for (int64_t u = from; u < to; u++)
          for (int64_t v = block_max(left - j * width, 0); v < block_min(right - j * width, width);
               v++)
            z[u * row + (j * width + v) * channels + k] = code == (lane_int)(u * width + v) ? d : 0;
      }
    }
}

/* LANES channels whose codes are bytes: the flag is a byte's sign. */
VEC_INLINE Vec pass_bytes(Vec dy, const uint8_t *codes, BlockActivation activation, real slope) {
#if defined __AVX512F__
  __mmask16 low = _mm_movepi8_mask(_mm_loadu_si128((const __m128i *)codes));
  if (activation == BLOCK_RELU) return (Vec)_mm512_maskz_mov_ps((__mmask16)~low, (__m512)dy);
  return (Vec)_mm512_mask_mul_ps((__m512)dy, low, (__m512)dy, _mm512_set1_ps(slope));
#else
  VecMask low = (code_bytes_load(codes) & 128) != 0;
  return vec_select(low, activation == BLOCK_RELU ? vec_zero() : dy * slope, dy);
#endif
}

/* dy through the activation alone: n elements that lie together. */
VEC_INLINE void pass_flat(const Block *b, const real *dy, const BlockCodes *codes, int64_t at,
                          real *z, int64_t n) {
  int64_t i = 0;
  if (!codes->bytes) {
    copy_line(z, dy + at, n);
    return;
  }
  if (b->activation == BLOCK_RELU)
    for (; i + LANES <= n; i += LANES)
      vec_store(z + i, pass_bytes(vec_load(dy + at + i), codes->bytes + at + i, BLOCK_RELU, 0));
  else
    for (; i + LANES <= n; i += LANES)
      vec_store(z + i,
                pass_bytes(vec_load(dy + at + i), codes->bytes + at + i, BLOCK_LEAKY, b->slope));
  for (; i < n; i++) z[i] = pass_one(b, dy[at + i], codes->bytes[at + i], codes->low);
}

/* The rows [top, top + height) and columns [left, left + width) of the convolution's gradient.
 * Only what windows of the pool cover is written: zeros around it are there before. */
static void block_unpool(const Block *b, const real *dy, const BlockCodes *codes, int64_t image,
                         real *dz, int64_t top, int64_t left, int64_t height, int64_t width) {
  const BlockAxis *v = &b->axis[0], *h = &b->axis[1];
  int64_t row = width * b->out;
  int64_t first = block_max(top, 0) / v->pool;
  int64_t end = block_min(block_ceil(block_max(top + height, 0), v->pool), v->pooled);
  for (int64_t i = first; i < end; i++) {
    int64_t at = (image * v->pooled + i) * h->pooled * b->out, y = i * v->pool;
    real *z = dz + (y - top) * row - left * b->out;
    int64_t from = block_max(top - y, 0), to = block_min(top + height - y, v->pool);
    if (h->pool == 1 && v->pool == 1) {
      int64_t begin = block_max(left, 0), stop = block_min(left + width, h->pooled);
      if (begin < stop)
        pass_flat(b, dy, codes, at + begin * b->out, z + begin * b->out, (stop - begin) * b->out);
    } else if (h->pool == 2) unpool_row(b, dy, codes, at, z, row, from, to, left, left + width, 2);
    else unpool_row(b, dy, codes, at, z, row, from, to, left, left + width, h->pool);
  }
}

/* sums[c] += dz of rows [from, to) of y of one image */
static void block_bias_sums(const Block *b, const real *dy, const BlockCodes *codes, int64_t image,
                            int64_t from, int64_t to, real *sums) {
  int64_t channels = b->out, rows = b->axis[0].pooled, columns = b->axis[1].pooled;
  int64_t at = (image * rows + from) * columns * channels, n = (to - from) * columns * channels;
  bool coded = codes->bytes || codes->lanes;
  /* channels that come again after whole vectors are summed by vectors of more than one pixel */
  int64_t step = channels < LANES && LANES % channels == 0 ? LANES : channels, c = 0;
  for (; c + LANES <= step && n >= step; c += LANES) {
    Vec sum = vec_zero();
    for (int64_t p = c; p + step <= n + c; p += step)
      sum += pass_lanes(b, vec_load(dy + at + p), coded ? codes_load(codes, at + p) : (VecMask){0},
                        codes->low);
    if (step == channels) vec_store(sums + c, vec_load(sums + c) + sum);
    else
      for (int64_t k = 0; k < LANES; k++) sums[k % channels] += sum[k];
  }
  if (c == channels) return;
  int64_t rest = step == channels ? 0 : n - n % step; /* of the elements */
  for (; rest < n; rest++) {
    if (step == channels && rest % channels < c) continue;
    sums[rest % channels] +=
        pass_one(b, dy[at + rest], coded ? code_at(codes, at + rest) : 0, codes->low);
  }
}

#endif
