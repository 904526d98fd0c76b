/* Floor 1: what a program's parallel regions are made of. While regions are watched, parallel_for
 * runs each of them on the calling thread alone, and the time of every chunk is kept: from that
 * follows what any number of threads would gain, on any machine (work and span: He, Leiserson and
 * Leiserson, "The Cilkview scalability analyzer", 2010). Otherwise a region costs one look at a
 * flag. Who knows whose region it was says so afterwards. */
#ifndef LATENT_REGIONS_H
#define LATENT_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Region {
  const char *name; /* a constant, or lives as long as what it names; NULL: nobody said */
  int kind;         /* as who named it means it */
  size_t first;     /* its first chunk's place among the seconds */
  int64_t chunks;
  double seconds; /* from its begin to the last chunk's end: what watching takes is in it too */
} Region;

typedef struct Regions {
  size_t count;
  const Region *region;
  const float *seconds; /* of each chunk */
  bool complete;        /* false: memory was short, and some are missing */
} Regions;

extern bool regions_running;

/* Forgets what was there, and watches. */
void regions_start(void);
/* Ends it; what it returns stays until the next start. */
Regions regions_stop(void);

/* By parallel_for: a region begins; the next of its chunks ended. */
void regions_begin(void);
void regions_chunk(void);

/* How many there are, and the name of those from `first` on that have none. */
size_t regions_count(void);
void regions_name(size_t first, const char *name, int kind);

#endif
