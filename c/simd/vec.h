/* Floor 2: one vector register of reals, as long as the instruction set being compiled for has it.
 * Vectors longer than the machine's would be taken apart by the compiler, so LANES is the native
 * length. Everything is static: the file is compiled once per instruction set. */
#ifndef LATENT_SIMD_VEC_H
#define LATENT_SIMD_VEC_H

#include "base/tensor.h"

#include <string.h>

#if defined __AVX512F__
#define VEC_BYTES 64
#elif defined __AVX2__
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif
enum { LANES = VEC_BYTES / (int)sizeof(real) };
/* The bytes of a lane: the preprocessor knows no sizeof. */
#ifdef LATENT_DOUBLE
#define VEC_REAL 8
#else
#define VEC_REAL 4
#endif

#ifdef LATENT_DOUBLE
typedef int64_t lane_int;
#else
typedef int32_t lane_int;
#endif

typedef real Vec __attribute__((vector_size(VEC_BYTES)));
typedef lane_int VecMask __attribute__((vector_size(VEC_BYTES)));
typedef real VecLoose __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

#define VEC_INLINE static inline __attribute__((always_inline, unused))

/* Before a loop whose count is known once its function is inlined: without it accumulators declared
 * as arrays stay in memory. VEC_TWO_ROUNDS, VEC_EIGHT_ROUNDS: before one whose count is not known,
 * so many rounds in one. The two compilers want different words. */
#if defined __clang__
#define VEC_UNROLL _Pragma("clang loop unroll(full)")
#define VEC_TWO_ROUNDS _Pragma("clang loop unroll_count(2)")
#define VEC_EIGHT_ROUNDS _Pragma("clang loop unroll_count(8)")
#else
#define VEC_UNROLL _Pragma("GCC unroll 64")
#define VEC_TWO_ROUNDS _Pragma("GCC unroll 2")
#define VEC_EIGHT_ROUNDS _Pragma("GCC unroll 8")
#endif

#if (defined __AVX2__ || defined __AVX512F__) && !defined LATENT_DOUBLE
#include <immintrin.h>
#endif

VEC_INLINE Vec vec_load(const real *p) { return (Vec) * (const VecLoose *)p; }
VEC_INLINE void vec_store(real *p, Vec v) { *(VecLoose *)p = v; }
VEC_INLINE Vec vec_zero(void) { return (Vec){0}; }
/* x - 0, which compilers fold; 0 + x would turn -0 into 0 and is an addition */
VEC_INLINE Vec vec_fill(real x) { return x - vec_zero(); }
/* A product, rounded for itself: the compiler draws no sum that follows into it. */
VEC_INLINE Vec vec_rounded(Vec product) {
#if defined __x86_64__
  __asm__("" : "+x"(product));
#elif defined __aarch64__
  __asm__("" : "+w"(product));
#endif
  return product;
}
/* The same address, but what lies there is to be read again: as an operand in memory it takes no
 * register. */
VEC_INLINE const real *vec_again(const real *p) {
  __asm__("" : "+r"(p));
  return p;
}
/* a where the mask is set (all ones), b elsewhere */
VEC_INLINE Vec vec_select(VecMask m, Vec a, Vec b) {
  return (Vec)((m & (VecMask)a) | (~m & (VecMask)b));
}
/* Lane i holds i. */
VEC_INLINE VecMask vec_lane_numbers(void) {
  VecMask v = {0};
  VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] = i;
  return v;
}
/* Set in the first n lanes. */
VEC_INLINE VecMask vec_mask_first(int n) { return vec_lane_numbers() < (VecMask){0} + n; }
/* The first n lanes, zero (or nothing) in the others; memory behind them is not touched. */
VEC_INLINE Vec vec_load_part(const real *p, int n) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined __AVX2__ && !defined LATENT_DOUBLE
  return (Vec)_mm256_maskload_ps(p, (__m256i)vec_mask_first(n));
#else
  Vec v = vec_zero();
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
VEC_INLINE void vec_store_part(real *p, Vec v, int n) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined __AVX2__ && !defined LATENT_DOUBLE
  _mm256_maskstore_ps(p, (__m256i)vec_mask_first(n), (__m256)v);
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}
/* The same for whole numbers. */
VEC_INLINE void vec_store_mask_part(lane_int *p, VecMask v, int n) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  _mm512_mask_storeu_epi32(p, (__mmask16)((1u << n) - 1), (__m512i)v);
#elif defined __AVX2__ && !defined LATENT_DOUBLE
  _mm256_maskstore_epi32(p, (__m256i)vec_mask_first(n), (__m256i)v);
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}
VEC_INLINE VecMask vec_load_mask_part(const lane_int *p, int n) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  return (VecMask)_mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1), p);
#elif defined __AVX2__ && !defined LATENT_DOUBLE
  return (VecMask)_mm256_maskload_epi32(p, (__m256i)vec_mask_first(n));
#else
  VecMask v = {0};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
/* Lane i of the result is lane order[i] of v. */
VEC_INLINE Vec vec_permute(Vec v, VecMask order) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  return (Vec)_mm512_permutexvar_ps((__m512i)order, (__m512)v);
#elif defined __AVX2__ && !defined LATENT_DOUBLE
  return (Vec)_mm256_permutevar8x32_ps((__m256)v, (__m256i)order);
#else
  Vec to = vec_zero();
  for (int i = 0; i < LANES; i++) to[i] = v[order[i]];
  return to;
#endif
}
/* Lane i of the result is lane order[i] of a and b, one behind the other. Worth it where
 * VEC_PERMUTES says so: elsewhere lanes are picked one by one. */
#if (defined __AVX512F__ || defined __AVX2__) && !defined LATENT_DOUBLE
enum { VEC_PERMUTES = 1 };
#else
enum { VEC_PERMUTES = 0 };
#endif
VEC_INLINE Vec vec_permute2(Vec a, Vec b, VecMask order) {
#if defined __AVX512F__ && !defined LATENT_DOUBLE
  return (Vec)_mm512_permutex2var_ps((__m512)a, (__m512i)order, (__m512)b);
#else
  return vec_select(order < LANES, vec_permute(a, order % LANES), vec_permute(b, order % LANES));
#endif
}
/* The lanes as doubles, the first half of them in one vector and the second in another: for sums
 * that are to keep their digits. */
typedef double VecWide __attribute__((vector_size(VEC_BYTES)));
enum { WIDE_LANES = VEC_BYTES / (int)sizeof(double), WIDE_PARTS = LANES / WIDE_LANES };
typedef real VecNarrow __attribute__((vector_size(sizeof(real) * WIDE_LANES)));
VEC_INLINE VecWide vec_wide(Vec v, const int part) {
  union {
    Vec all;
    VecNarrow part[WIDE_PARTS];
  } u = {v};
  return __builtin_convertvector(u.part[part], VecWide);
}
VEC_INLINE VecWide vec_load_wide(const real *p) {
  VecNarrow v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, VecWide);
}
VEC_INLINE double vec_sum_wide(VecWide v) {
  double sum = 0;
  for (int i = 0; i < WIDE_LANES; i++) sum += v[i];
  return sum;
}
/* Lanes added as a tree, always in the same order: each half onto the other. */
VEC_INLINE real vec_sum(Vec v) {
#if VEC_BYTES / VEC_REAL == 16
  v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1);
#elif VEC_BYTES / VEC_REAL == 8
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 0, 1, 0, 1);
#elif VEC_BYTES / VEC_REAL == 4
  v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
  return v[0] + v[1];
}

/* The halves of two vectors interleaved: what stands at which place. */
#if VEC_BYTES / VEC_REAL == 16
#define VEC_FIRST 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define VEC_SECOND 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VEC_BYTES / VEC_REAL == 8
#define VEC_FIRST 0, 8, 1, 9, 2, 10, 3, 11
#define VEC_SECOND 4, 12, 5, 13, 6, 14, 7, 15
#elif VEC_BYTES / VEC_REAL == 4
#define VEC_FIRST 0, 4, 1, 5
#define VEC_SECOND 2, 6, 3, 7
#elif VEC_BYTES / VEC_REAL == 2
#define VEC_FIRST 0, 2
#define VEC_SECOND 1, 3
#endif
/* Turns LANES rows of as many numbers into columns: interleaved with the row half as many further
 * on, once for each doubling. */
VEC_INLINE void vec_transpose(Vec v[LANES]) {
  VEC_UNROLL for (int half = 1; half < LANES; half *= 2) {
    Vec to[LANES];
    VEC_UNROLL for (int i = 0; i < LANES / 2; i++) {
      to[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], VEC_FIRST);
      to[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], VEC_SECOND);
    }
    VEC_UNROLL for (int i = 0; i < LANES; i++) v[i] = to[i];
  }
}

#endif
