/* Floor 2: the instruction sets. The numeric files of c/ops are compiled once per instruction set
 * and floating type; each compilation ends in one Isa, and those of one set are chosen at load. */
#ifndef LATENT_ISA_H
#define LATENT_ISA_H

#include "base/tensor.h"

#define ISA_PASTE_(a, b, c) a##_##b##_##c
#define ISA_PASTE(a, b, c) ISA_PASTE_(a, b, c)
/* The name under which this compilation of a symbol is seen by the linker: ISA_NAME(x) is
 * x_avx2_float32 in the compilation of single precision for AVX2. LATENT_ISA and LATENT_REAL come
 * from the Makefile; in double precision LATENT_DOUBLE is defined too. */
#define ISA_NAME(symbol) ISA_PASTE(symbol, LATENT_ISA, LATENT_REAL)

#endif
