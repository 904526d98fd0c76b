/* Floor 1: small structs of one size that come and go at every op (the heads of tensors, nodes,
 * variables). What is given back is kept for the next: the system's allocator joins and splits what
 * it gets back in numbers. Of the one thread that runs Lua. */
#ifndef LATENT_SPARES_H
#define LATENT_SPARES_H

#include <stdbool.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
enum { MOST_SPARES = 0 }; /* so that a use after the release is seen */
#else
enum { MOST_SPARES = 512 };
#endif

typedef struct Spares {
  void *first; /* each holds the next */
  int count;
  bool listed;
  struct Spares *next; /* of the lists that memory_trim empties */
} Spares;

extern Spares *spares_all;
void spares_trim(void);

/* Memory for a struct of that size, the same at every call; NULL where there is none. */
static inline void *spare_take(Spares *s, size_t size) {
  if (s->count == 0) return malloc(size);
  void *p = s->first;
  s->first = *(void **)p;
  s->count--;
  return p;
}

static inline void spare_give(Spares *s, void *p) {
  if (s->count >= MOST_SPARES) {
    free(p);
    return;
  }
  if (!s->listed) {
    s->listed = true;
    s->next = spares_all;
    spares_all = s;
  }
  *(void **)p = s->first;
  s->first = p;
  s->count++;
}

#endif
