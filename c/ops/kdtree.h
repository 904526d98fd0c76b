/* Floor 3: a tree over points of few dimensions, for nearest neighbours. Knows arrays only. */
#ifndef LATENT_KDTREE_H
#define LATENT_KDTREE_H

#include "simd/isa.h"
#include "ops/nearest.h"

enum { KDTREE_DIMS = 6 };

typedef struct KdTree KdTree;

/* A tree over those of the n points that are finite; it keeps no pointer to them. NULL where memory
 * is short. */
KdTree *ISA_NAME(kdtree_new)(const real *points, int64_t n, int dims);
void ISA_NAME(kdtree_free)(KdTree *t);
/* Offers to `best` all points that can be among the k nearest of a finite query: exactly those that
 * looking at every point would leave there, but for points at infinite distance. */
void ISA_NAME(kdtree_search)(const KdTree *t, const real *query, Nearest *best);

#endif
