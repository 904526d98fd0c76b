/* Floor 1: the BLAS, loaded when it is first needed, with memory of its own for each thread that
 * will call it. What it is called for is the business of others. */
#ifndef LATENT_BLAS_H
#define LATENT_BLAS_H

#include "blas/table.h"
#include "base/tensor.h"

/* Remembers where the core was loaded from, which is where its BLAS lies. Call once, at load: a
 * relative path means something else after a chdir. */
void blas_prepare(void);

/* The BLAS, on one thread (the threads are ours), able to multiply on `*threads` threads at once,
 * which become fewer where memory is short. NULL (and e filled) where it cannot be loaded or has
 * none. */
const BlasTable *blas_ready(int *threads, Error *e);

bool blas_is_loaded(void);

/* The library and the kernel that it chose, as far as it tells. */
bool blas_describe(char *text, size_t size, Error *e);

#endif
