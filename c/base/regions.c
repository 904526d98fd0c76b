#include "base/regions.h"

#include <stdlib.h>
#include <time.h>

bool regions_running;

static struct {
  Region *region;
  float *seconds;
  size_t count, room;         /* of regions */
  size_t chunks, chunks_room; /* of all regions together */
  bool complete;
  struct timespec first; /* when the present region began */
  struct timespec last;  /* when the present chunk began */
} kept;

void regions_start(void) {
  kept.count = kept.chunks = 0;
  kept.complete = true;
  regions_running = true;
}

Regions regions_stop(void) {
  regions_running = false;
  return (Regions){kept.count, kept.region, kept.seconds, kept.complete};
}

/* Makes room for one more; false, and no more are kept, when memory is short. */
static bool grow(void **list, size_t count, size_t *room, size_t each) {
  if (!kept.complete) return false;
  if (count < *room) return true;
  size_t wanted = *room ? 2 * *room : 1024;
  void *grown = realloc(*list, wanted * each);
  if (!grown) return kept.complete = false;
  *list = grown;
  *room = wanted;
  return true;
}

void regions_begin(void) {
  void *list = kept.region;
  if (grow(&list, kept.count, &kept.room, sizeof(Region))) {
    kept.region = list;
    kept.region[kept.count++] = (Region){.first = kept.chunks};
  }
  clock_gettime(CLOCK_MONOTONIC, &kept.first);
  kept.last = kept.first;
}

static double between(const struct timespec *from, const struct timespec *to) {
  return (double)(to->tv_sec - from->tv_sec) + 1e-9 * (double)(to->tv_nsec - from->tv_nsec);
}

void regions_chunk(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  void *list = kept.seconds;
  if (grow(&list, kept.chunks, &kept.chunks_room, sizeof(float))) {
    kept.seconds = list;
    kept.seconds[kept.chunks++] = (float)between(&kept.last, &now);
    Region *region = &kept.region[kept.count - 1];
    region->chunks++;
    region->seconds = between(&kept.first, &now);
  }
  clock_gettime(CLOCK_MONOTONIC, &kept.last);
}

size_t regions_count(void) { return kept.count; }

void regions_name(size_t first, const char *name, int kind) {
  for (size_t i = first; i < kept.count; i++) {
    if (kept.region[i].name) continue;
    kept.region[i].name = name;
    kept.region[i].kind = kind;
  }
}
