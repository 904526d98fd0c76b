/* Floor 3: all that one instruction set offers for one floating type; compiled once for each. */
#include "ops/broadcast.h"
#include "ops/dispatch.h"
#include "ops/families.h"
#include "simd/vec.h"

static const Op *const *const families[] = {ISA_NAME(ops_elementwise),
                                            ISA_NAME(ops_trigonometric),
                                            ISA_NAME(ops_special),
                                            ISA_NAME(ops_arithmetic),
                                            ISA_NAME(ops_reduce),
                                            ISA_NAME(ops_moments),
                                            ISA_NAME(ops_softmax),
                                            ISA_NAME(ops_shape),
                                            ISA_NAME(ops_matmul),
                                            ISA_NAME(ops_lstm),
                                            ISA_NAME(ops_distances),
                                            ISA_NAME(ops_conv),
                                            ISA_NAME(ops_conv_transpose),
                                            ISA_NAME(ops_block),
                                            ISA_NAME(ops_pool),
                                            ISA_NAME(ops_resample),
                                            ISA_NAME(ops_batch_norm),
                                            ISA_NAME(ops_norm),
                                            ISA_NAME(ops_group_norm),
                                            ISA_NAME(ops_loss),
                                            ISA_NAME(ops_random),
                                            ISA_NAME(ops_indexing),
                                            ISA_NAME(ops_order),
                                            ISA_NAME(ops_scan),
                                            ISA_NAME(ops_fft),
                                            ISA_NAME(ops_lapack),
                                            NULL};

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

extern const Isa ISA_NAME(isa);
const Isa ISA_NAME(isa) = {.name = TEXT(LATENT_ISA),
                           .vector_bytes = VEC_BYTES,
                           .families = families,
                           .knn = ISA_NAME(knn),
                           .optimizers = ISA_NAME(optimizers),
                           .sum_squares = ISA_NAME(optimizer_sum_squares),
                           .resize_bilinear = ISA_NAME(resize_bilinear),
                           .gather_bytes = ISA_NAME(gather_bytes),
                           .broadcast_sum = broadcast_sum,
                           .add_into = ISA_NAME(add_into),
                           .scale = ISA_NAME(scale)};
