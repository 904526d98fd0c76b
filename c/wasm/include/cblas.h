/* The types of CBLAS, for blas/table.h; there is no BLAS here. */
#ifndef CBLAS_H
#define CBLAS_H

typedef enum { CblasRowMajor = 101, CblasColMajor } CBLAS_ORDER;
typedef enum { CblasNoTrans = 111, CblasTrans, CblasConjTrans } CBLAS_TRANSPOSE;
typedef enum { CblasUpper = 121, CblasLower } CBLAS_UPLO;
typedef enum { CblasNonUnit = 131, CblasUnit } CBLAS_DIAG;
typedef enum { CblasLeft = 141, CblasRight } CBLAS_SIDE;

#endif
