/* Floor 4: where the time goes. While a profile runs, each op that the graph applies or runs back
 * is timed and its arithmetic counted; otherwise a call costs one look at a flag. An op that other
 * ops are applied in (one written in Lua) has its own time only. Parallel regions that are watched
 * at the time get the op's name. Knows ops; nothing of Lua. */
#ifndef LATENT_PROFILE_H
#define LATENT_PROFILE_H

#include "base/regions.h"
#include "ops/op.h"

typedef enum { PROFILE_FORWARD, PROFILE_BACKWARD, PROFILE_OTHER } ProfileKind;

typedef struct ProfileRow {
  const char *name;
  ProfileKind kind;
  uint64_t calls;
  double seconds, flops;
} ProfileRow;

/* A stretch of time that has begun. */
typedef struct Span {
  double start;   /* 0: no profile ran when it began */
  double outer;   /* time spent so far in spans inside the one around this */
  size_t regions; /* how many parallel ones there had been when it began */
} Span;

extern bool profile_running;

/* Forgets all rows and begins to count. */
void profile_start(void);
/* Ends it; the rows stay until the next start. */
const ProfileRow *profile_stop(int *count);

/* Use profile_begin and the functions below it. */
Span profile_open(void);
void profile_close(Span s, const char *name, ProfileKind kind, double flops);

/* Multiplications and additions of the products in an op's forward, by the shapes of its inputs and
 * its output; 0 for an op without matrix product or convolution. A fused block counts as the plain
 * layers do that it stands for. */
double profile_flops(const Call *c, const Shape *y);

static inline Span profile_begin(void) { return profile_running ? profile_open() : (Span){0}; }

/* Each input that wants a gradient costs as many operations in backward as forward does. */
static inline void profile_end_op(Span s, const Call *c, const Shape *y, ProfileKind kind,
                                  int products) {
  if (s.start > 0) profile_close(s, c->op->name, kind, products * profile_flops(c, y));
}

/* Ends a span of something that is no op. */
static inline void profile_end(Span s, const char *name, ProfileKind kind) {
  if (s.start > 0) profile_close(s, name, kind, 0);
}

#endif
