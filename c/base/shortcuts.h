/* Floor 1: the special cases of the kernels, by name. Each is taken where a rule of its own says
 * that it pays; here it can be switched off, so that what it gains can be measured
 * (`make bench ARGS="--ablate"`). Results are right without any of them, in bits that may differ.
 */
#ifndef LATENT_SHORTCUTS_H
#define LATENT_SHORTCUTS_H

#include <stdbool.h>

typedef enum Shortcut {
  CONV_IN_PAIRS,   /* conv_tiles.h, tile_pairs: rows by two */
  CONV_SPREAD,     /* ... tile_outputs: several pixels in a vector */
  CONV_BY_DOTS,    /* ... tile_dots: few outputs as dot products */
  CONV_OPEN,       /* ... tile_patches: large images read where they are */
  CONV_AHEAD,      /* ... tile_fetch: the next job's source */
  CONV_ALONG,      /* conv_along.h: few outputs, vectors along the pixels */
  CONV_WINOGRAD,   /* ops/winograd.c: 16 products for 36 */
  GRADIENT_DENSE,  /* conv_gradient.h: rows of a tile side by side */
  GRADIENT_ALONG,  /* ... vectors along the patch, for few small channels */
  BLOCK_DOUBLING,  /* block_double.h: nine products for sixteen */
  BLOCK_FEW,       /* block_few.h: few outputs */
  BLOCK_SPARSE,    /* block_sparse.h: gradients at the winners of a pool */
  POOL_SHARED,     /* max_pool.h, max_lanes: neighbouring windows in a vector */
  POOL_APART,      /* ... max_apart: gradients of windows side by side are written, not added */
  PRODUCT_BY_DOTS, /* gemm_dot.h: few columns */
  PRODUCT_DIRECT,  /* gemm.c: few rows, b as it lies */
  PRODUCT_OVER,    /* gemm.c: turned over, so that the tiles are full */
  PRODUCT_SMALL,   /* gemm.c: small products, nothing of a packed */
  SHORTCUTS
} Shortcut;

extern const char *const shortcut_names[SHORTCUTS];
extern unsigned shortcuts_off; /* a bit for each */

static inline bool shortcut(Shortcut s) { return !(shortcuts_off >> s & 1u); }

#endif
