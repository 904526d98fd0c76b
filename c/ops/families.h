/* Floor 3: the families of the op table, one a file, as compiled for one instruction set. */
#ifndef LATENT_OPS_FAMILIES_H
#define LATENT_OPS_FAMILIES_H

#include "ops/op.h"
#include "simd/isa.h"

extern const Op *const ISA_NAME(ops_elementwise)[];
extern const Op *const ISA_NAME(ops_trigonometric)[];
extern const Op *const ISA_NAME(ops_special)[];
extern const Op *const ISA_NAME(ops_arithmetic)[];
extern const Op *const ISA_NAME(ops_reduce)[];
extern const Op *const ISA_NAME(ops_moments)[];
extern const Op *const ISA_NAME(ops_softmax)[];
extern const Op *const ISA_NAME(ops_shape)[];
extern const Op *const ISA_NAME(ops_matmul)[];
extern const Op *const ISA_NAME(ops_lstm)[];
extern const Op *const ISA_NAME(ops_distances)[];
extern const Op *const ISA_NAME(ops_conv)[];
extern const Op *const ISA_NAME(ops_conv_transpose)[];
extern const Op *const ISA_NAME(ops_block)[];
extern const Op *const ISA_NAME(ops_pool)[];
extern const Op *const ISA_NAME(ops_resample)[];
extern const Op *const ISA_NAME(ops_batch_norm)[];
extern const Op *const ISA_NAME(ops_norm)[];
extern const Op *const ISA_NAME(ops_group_norm)[];
extern const Op *const ISA_NAME(ops_loss)[];
extern const Op *const ISA_NAME(ops_random)[];
extern const Op *const ISA_NAME(ops_indexing)[];
extern const Op *const ISA_NAME(ops_order)[];
extern const Op *const ISA_NAME(ops_scan)[];
extern const Op *const ISA_NAME(ops_fft)[];
extern const Op *const ISA_NAME(ops_lapack)[];

#endif
