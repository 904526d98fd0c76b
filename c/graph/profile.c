#include "graph/profile.h"

#include <string.h>
#include <time.h>

enum { MAX_ROWS = 512 };

bool profile_running;

static struct {
  ProfileRow row[MAX_ROWS];
  int count;
  double inner; /* time of the spans that ended inside the present one */
} profile;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void profile_start(void) {
  profile.count = 0;
  profile.inner = 0;
  profile_running = true;
}

const ProfileRow *profile_stop(int *count) {
  profile_running = false;
  *count = profile.count;
  return profile.row;
}

Span profile_open(void) {
  Span s = {.outer = profile.inner, .regions = regions_count()};
  profile.inner = 0;
  s.start = now();
  return s;
}

/* The row of a name, which is a constant or lives as long as its op: the pointer tells it. NULL
 * when there is no room for another. */
static ProfileRow *row_of(const char *name, ProfileKind kind) {
  for (int i = 0; i < profile.count; i++)
    if (profile.row[i].name == name && profile.row[i].kind == kind) return &profile.row[i];
  if (profile.count == MAX_ROWS) return NULL;
  ProfileRow *row = &profile.row[profile.count++];
  *row = (ProfileRow){.name = name, .kind = kind};
  return row;
}

void profile_close(Span s, const char *name, ProfileKind kind, double flops) {
  double elapsed = now() - s.start;
  ProfileRow *row = profile_running ? row_of(name, kind) : NULL;
  if (row) {
    row->calls++;
    row->seconds += elapsed - profile.inner;
    row->flops += flops;
  }
  profile.inner = s.outer + elapsed;
  if (regions_running) regions_name(s.regions, name, (int)kind);
}

/* ---- arithmetic ---- */

/* A whole-number parameter of a call by its name: both halves of a pair, or one number twice.
 * `fallback` where the op has none of that name. */
static void pair_of(const Call *c, const char *name, int64_t fallback, int64_t pair[2]) {
  const int64_t *slot = c->integer;
  pair[0] = pair[1] = fallback;
  for (int i = 0; i < c->op->param_count; i++) {
    const Param *p = &c->op->params[i];
    int width = 1;
    if (p->kind == PARAM_NUMBER) width = 0;
    if (p->kind == PARAM_PAIR) width = 2;
    if (p->kind == PARAM_INTS || p->kind == PARAM_AXES) width = 1 + MAX_DIMS;
    if (width > 0 && strcmp(p->name, name) == 0) {
      pair[0] = slot[0];
      pair[1] = slot[width == 2];
      return;
    }
    slot += width;
  }
}

static double last_size(const Shape *s) { return s->dims ? (double)s->size[s->dims - 1] : 1; }

/* [upsample] convolution [pool]: the convolution's own output is not the block's */
static double block_flops(const Call *c) {
  const int64_t *x = c->in[0]->shape.size, *w = c->in[1]->shape.size;
  int64_t up[2], padding[2], transposed[2];
  pair_of(c, "upsample", 1, up);
  pair_of(c, "padding", 0, padding);
  pair_of(c, "transposed", 0, transposed);
  double places = (double)x[0];
  for (int d = 0; d < 2; d++) {
    int64_t size = x[1 + d] * up[d];
    places *= (double)(transposed[0] ? size : size + 2 * padding[d] - w[d] + 1);
  }
  return 2 * places * (double)shape_numel(&c->in[1]->shape);
}

double profile_flops(const Call *c, const Shape *y) {
  const char *name = c->op->name;
  if (c->inputs < 2) return 0;
  if (strcmp(name, "conv_block") == 0) return block_flops(c);
  const Shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
  double outputs = (double)shape_numel(y);
  if (strcmp(name, "conv2d") == 0)
    return 2 * outputs / last_size(w) * (double)shape_numel(w); /* all weights at each place */
  if (strcmp(name, "conv_transpose2d") == 0)
    return 2 * (double)shape_numel(x) / last_size(x) * (double)shape_numel(w);
  if (strcmp(name, "matmul") == 0 || strcmp(name, "linear") == 0) return 2 * outputs * last_size(x);
  return 0;
}
