/* Floor 2: the instruction sets. The numeric files of c/ops are compiled once per instruction set;
 * each compilation ends in one Isa, and one of them is chosen at load. */
#ifndef LATENT_ISA_H
#define LATENT_ISA_H

#include "base/tensor.h"

#define ISA_PASTE_(a, b) a##_##b
#define ISA_PASTE(a, b) ISA_PASTE_(a, b)
/* The name under which this compilation of a symbol is seen by the linker: ISA_NAME(x) is x_avx2 in
 * the compilation for AVX2. LATENT_ISA comes from the Makefile. */
#define ISA_NAME(symbol) ISA_PASTE(symbol, LATENT_ISA)

#endif
