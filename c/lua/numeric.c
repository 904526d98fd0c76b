/* Floor 5: numeric functions that are no ops: optimiser steps, nearest neighbours, images. */
#include "ops/dispatch.h"
#include "lua/check.h"
#include "base/parallel.h"
#include "base/places.h"
#include "graph/later.h"
#include "graph/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- optimisers ---- */

static int count_numbers(const Optimizer *o) {
  int n = 0;
  while (n < OPTIMIZER_NUMBERS && o->numbers[n].name) n++;
  return n;
}

/* The row of that name for a floating type. */
static const Optimizer *optimizer_at(lua_State *L, int index, Dtype dtype) {
  const char *name = luaL_checkstring(L, index);
  for (const Optimizer *const *o = isa(dtype)->optimizers; *o; o++)
    if (strcmp((*o)->name, name) == 0) return *o;
  raise_error(L, "optim: no optimiser is called %s", name);
  return NULL;
}

/* optimizers() -> a list of {name, numbers = {{name, kind, fallback, option}, ...}, arrays,
 * needs = array -> number} */
static int l_optimizers(lua_State *L) {
  static const char *const kinds[] = {[NUMBER_LEAST_ZERO] = "least zero",
                                      [NUMBER_BELOW_ONE] = "below one",
                                      [NUMBER_FLAG] = "flag",
                                      [NUMBER_FIXED] = "fixed"};
  lua_newtable(L);
  const Optimizer *const *all = isa(DTYPE_F32)->optimizers;
  for (int i = 0; all[i]; i++) {
    const Optimizer *o = all[i];
    lua_createtable(L, 0, 4);
    lua_pushstring(L, o->name);
    lua_setfield(L, -2, "name");
    lua_newtable(L);
    for (int k = 0; k < count_numbers(o); k++) {
      const OptimizerNumber *n = &o->numbers[k];
      lua_createtable(L, 0, 4);
      lua_pushstring(L, n->name);
      lua_setfield(L, -2, "name");
      lua_pushstring(L, kinds[n->kind]);
      lua_setfield(L, -2, "kind");
      lua_pushnumber(L, n->fallback);
      lua_setfield(L, -2, "fallback");
      lua_pushstring(L, n->option ? n->option : n->name);
      lua_setfield(L, -2, "option");
      lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "numbers");
    lua_newtable(L);
    for (int k = 0; o->arrays[k]; k++) {
      lua_pushstring(L, o->arrays[k]);
      lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "arrays");
    lua_newtable(L);
    for (int k = 0; o->arrays[k]; k++) {
      lua_pushstring(L, o->needs[k]);
      lua_setfield(L, -2, o->arrays[k]);
    }
    lua_setfield(L, -2, "needs");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* The numbers of a row from a table: numbers, and booleans for flags and what is fixed. */
static void read_numbers(lua_State *L, int index, const Optimizer *o, double *numbers) {
  for (int k = 0; k < count_numbers(o); k++) {
    lua_getfield(L, index, o->numbers[k].name);
    numbers[k] = lua_isboolean(L, -1) ? lua_toboolean(L, -1)
                                      : check_real(L, -1, "optim", o->numbers[k].name);
    lua_pop(L, 1);
  }
}

/* optimizer_check(name, numbers) -> nil, or what is wrong with them together */
static int l_optimizer_check(lua_State *L) {
  double numbers[OPTIMIZER_NUMBERS] = {0};
  const Optimizer *o = optimizer_at(L, 1, DTYPE_F32);
  read_numbers(L, 2, o, numbers);
  lua_pushstring(L, o->check ? o->check(numbers) : NULL);
  return 1;
}

/* Item i of the list at an index; NULL where there is no list. */
static Var *item(lua_State *L, int index, int64_t i, const char *what) {
  if (lua_isnoneornil(L, index)) return NULL;
  lua_rawgeti(L, index, i);
  Var *v = check_tensor(L, -1, "optim", what);
  lua_pop(L, 1);
  return v;
}

enum { WEIGHTS = 4, ARRAYS = 5 }; /* arguments of optimizer_step */

/* What is needed for parameter i, checked, and its weights; NULL where it has no gradient or wants
 * none any more (it may have kept one from before it was frozen). */
static Tensor *read_part(lua_State *L, int64_t i, const Optimizer *o, OptimizerPart *p) {
  Error e;
  char want[SHAPE_TEXT], got[SHAPE_TEXT];
  Var *weight = item(L, WEIGHTS, i, "parameter");
  for (int k = 0; o->arrays[k]; k++) {
    Var *v = item(L, ARRAYS + k, i, "state");
    if (v && (!shape_equal(&v->value->shape, &weight->value->shape) ||
              v->value->dtype != weight->value->dtype))
      raise_error(L, "optim: state %d: expected %s of shape %s, got %s %s", (int)i,
                  dtype_name(weight->value->dtype), shape_text(&weight->value->shape, want),
                  dtype_name(v->value->dtype), shape_text(&v->value->shape, got));
    if (v && !later_settle_uses(v->value->storage, &e)) raise_error(L, "optim: %s", e.text);
    if (v) v->value->storage->version++;
    p->array[k] = v ? v->value->data : NULL;
  }
  if (!weight->grad || !weight->requires_grad) return NULL;
  bool recording = graph_recording();
  graph_set_recording(false);
  bool ok = graph_change(weight, NULL, 0, &e);
  graph_set_recording(recording);
  if (!ok) raise_error(L, "optim: %s", e.text);
  p->n = weight->value->numel;
  p->weight = weight->value->data;
  p->grad = var_grad(weight)->data;
  return weight->value;
}

/* Parameters that share memory are stepped one after the other: threads would change it under each
 * other's hands. */
static void step_parts(const Optimizer *o, OptimizerStep *s, const OptimizerPart *parts,
                       int64_t count, bool apart) {
  int64_t at_once = apart ? 1 : count;
  for (int64_t i = 0; i < count; i += at_once) {
    s->parts = parts + i;
    s->count = at_once;
    o->step(s);
  }
}

/* optimizer_step(name, numbers, step, weights, arrays...): lists of equal length */
static int l_optimizer_step(lua_State *L) {
  const Optimizer *of[] = {optimizer_at(L, 1, DTYPE_F32), optimizer_at(L, 1, DTYPE_F64)},
                  *o = of[0];
  OptimizerStep s = {.step = check_whole(L, 3, "optim", "step")};
  read_numbers(L, 2, o, s.number);
  int64_t n = (int64_t)lua_rawlen(L, WEIGHTS);
  lua_settop(L, ARRAYS + OPTIMIZER_ARRAYS - 1); /* arrays that are not kept may be left out */
  static uint32_t visit;
  bool apart = false;
  visit++;
  Span span = profile_begin();
  /* float32 from the front, float64 from the back: one step over each */
  OptimizerPart *parts = lua_newuserdatauv(L, (size_t)n * sizeof *parts + 1, 0), part;
  int64_t singles = 0, doubles = n;
  for (int64_t i = 1; i <= n; i++) {
    const Tensor *w = read_part(L, i, o, &part);
    if (!w) continue;
    apart |= w->storage->visit == visit;
    w->storage->visit = visit;
    parts[w->dtype == DTYPE_F64 ? --doubles : singles++] = part;
  }
  step_parts(of[DTYPE_F32], &s, parts, singles, apart);
  step_parts(of[DTYPE_F64], &s, parts + doubles, n - doubles, apart);
  profile_end(span, o->name, PROFILE_OTHER);
  return 0;
}

/* clip_grad_norm(parameters, max_norm) -> the norm before: all gradients together are scaled down
 */
static int l_clip_grad_norm(lua_State *L) {
  double limit = check_real(L, 2, "clip_grad_norm", "max_norm"), sum = 0;
  if (!(limit > 0)) raise_error(L, "clip_grad_norm: max_norm: expected above 0, got %g", limit);
  char got[80];
  int64_t n = lua_type(L, 1) == LUA_TTABLE ? (int64_t)lua_rawlen(L, 1) : 0;
  if (n == 0) /* a module is a table too, and its norm would be 0 */
    raise_error(L,
                "clip_grad_norm: expected a list of parameters, such as model:parameters(), got %s",
                describe(L, 1, got, sizeof got));
  check_list(L, 1, "clip_grad_norm", NULL);
  for (int64_t i = 1; i <= n; i++) {
    const Tensor *g = var_grad(item(L, 1, i, "parameter"));
    if (g) sum += isa(g->dtype)->sum_squares(g->data, g->numel);
  }
  double norm = sqrt(sum), scale = limit / (norm + 1e-6);
  for (int64_t i = 1; i <= n && scale < 1; i++) {
    const Var *v = item(L, 1, i, "parameter");
    if (!v->grad) continue;
    Error e;
    if (!later_settle_uses(v->grad->storage, &e)) raise_error(L, "clip_grad_norm: %s", e.text);
    isa(v->grad->dtype)->scale(v->grad, scale);
    v->grad->storage->version++;
  }
  lua_pushnumber(L, norm);
  return 1;
}

/* ---- nearest neighbours ---- */

/* Points of the type that the other argument's are, where it has one. */
static const Tensor *check_points(lua_State *L, int index, const char *arg) {
  const Tensor *other =
      is_tensor(L, 3 - index) ? check_tensor(L, 3 - index, "knn", NULL)->value : NULL;
  Dtype like = other && dtype_is_floating(other->dtype) ? other->dtype : dtype_default();
  const Tensor *t = check_tensor_as(L, index, "knn", arg, like)->value;
  char text[SHAPE_TEXT];
  if (!dtype_is_floating(t->dtype) || t->shape.dims != 2)
    raise_error(L, "knn: %s: expected %s [points, dimensions], got %s %s", arg,
                dtype_name(dtype_default()), dtype_name(t->dtype), shape_text(&t->shape, text));
  return t;
}

/* knn(train, query [, k = 1]) -> index [queries, k], i64 and counted from 1, Euclidean distance
 * [queries, k] */
static int l_knn(lua_State *L) {
  lua_settop(L, 3);
  const Tensor *train = check_points(L, 1, "train"), *query = check_points(L, 2, "query");
  int64_t k = lua_isnoneornil(L, 3) ? 1 : check_whole(L, 3, "knn", "k");
  int64_t n = train->shape.size[0], m = query->shape.size[0], dims = train->shape.size[1];
  if (query->dtype != train->dtype)
    raise_error(L, "knn: train is %s and query %s; make them one type, with :double() or :float()",
                dtype_name(train->dtype), dtype_name(query->dtype));
  if (query->shape.size[1] != dims)
    raise_error(L, "knn: query: expected %d dimensions, got %d", (int)dims,
                (int)query->shape.size[1]);
  if (n == 0) raise_error(L, "knn: train: expected at least one point, got [0, %d]", (int)dims);
  if (n > INT32_MAX || m > INT32_MAX)
    raise_error(L, "knn: %s: expected at most %lld points, got %lld",
                m > INT32_MAX ? "query" : "train", (long long)INT32_MAX,
                (long long)(m > INT32_MAX ? m : n));
  if (k < 1 || k > n)
    raise_error(L, "knn: k: expected 1..%lld, got %lld", (long long)n, (long long)k);
  Error e;
  Shape shape = {.dims = 2, .size = {m, k}}, raw = {.dims = 3, .size = {m, k, 4}};
  Box *spare = box_new(L), *index = box_new(L), *distance = box_new(L);
  push_tensor(L, spare, tensor_new(DTYPE_U8, &raw, &e), "knn", &e);
  push_tensor(L, index, tensor_new(DTYPE_I64, &shape, &e), "knn", &e);
  push_tensor(L, distance, tensor_new(train->dtype, &shape, &e), "knn", &e);
  train = check_points(L, 1, "train"); /* again: a finaliser may have closed one */
  query = check_points(L, 2, "query");
  int32_t *at = spare->var->value->data;
  Tensor *d = distance->var->value;
  parallel_may_stop();
  bool ok = isa(d->dtype)->knn(train->data, n, query->data, m, (int)dims, (int)k, at, d->data, &e);
  if (parallel_was_stopped()) ok = error_set(&e, "interrupted");
  if (!ok) raise_error(L, "knn: %s", e.text);
  for (int64_t i = 0; i < m * k; i++) {
    int64s(index->var->value)[i] = at[i] + 1;
    tensor_put(d, i, number_real(sqrt(value_at(d, i))));
  }
  return 2;
}

/* statistics(x) -> least, mean, greatest of the elements that are numbers, count of NaNs; nil for
 * the first three where there is no number */
static int l_statistics(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "statistics", NULL)->value;
  double least = INFINITY, greatest = -INFINITY, sum = 0;
  int64_t nans = 0;
  for (int64_t i = 0; i < t->numel; i++) {
    double v = value_at(t, i);
    if (isnan(v)) {
      nans++;
      continue;
    }
    sum += v;
    if (v < least) least = v;
    if (v > greatest) greatest = v;
  }
  if (nans == t->numel) {
    for (int i = 0; i < 3; i++) lua_pushnil(L);
  } else {
    lua_pushnumber(L, least);
    lua_pushnumber(L, sum / (double)(t->numel - nans));
    lua_pushnumber(L, greatest);
  }
  lua_pushinteger(L, nans);
  return 4;
}

/* ---- images ---- */

static Images images_of(const Tensor *t) {
  const int64_t *s = t->shape.size;
  return (Images){t->dtype, s[0], (int)s[1], (int)s[2], (int)s[3], t->data};
}

/* resize_bilinear(images [n, h, w, c], height, width) -> [n, height, width, c] of the same dtype */
static int l_resize_bilinear(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "resize_bilinear", "images")->value;
  int64_t height = check_whole(L, 2, "resize_bilinear", "height");
  int64_t width = check_whole(L, 3, "resize_bilinear", "width");
  char text[SHAPE_TEXT];
  if (t->dtype == DTYPE_I64) raise_error(L, "resize_bilinear: images: got i64; use :float()");
  if (t->shape.dims != 4 || t->shape.size[1] < 1 || t->shape.size[2] < 1)
    raise_error(L, "resize_bilinear: images: expected [n, height, width, channels], got %s",
                shape_text(&t->shape, text));
  if (height < 1 || width < 1 || height > 1 << 16 || width > 1 << 16)
    raise_error(L, "resize_bilinear: expected sizes 1..65536, got %lld x %lld", (long long)height,
                (long long)width);
  Error e;
  Shape shape = {.dims = 4, .size = {t->shape.size[0], height, width, t->shape.size[3]}};
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(t->dtype, &shape, &e), "resize_bilinear", &e);
  t = check_tensor(L, 1, "resize_bilinear", "images")->value; /* a finaliser may have closed it */
  Images in = images_of(t), out = images_of(box->var->value);
  parallel_may_stop();
  Dtype dtype = t->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32; /* bytes by the faster one */
  bool ok = isa(dtype)->resize_bilinear(&in, &out, &e);
  if (parallel_was_stopped()) ok = error_set(&e, "interrupted");
  if (!ok) raise_error(L, "resize_bilinear: %s", e.text);
  return 1;
}

/* gather_scaled(u8 [n, ...], index [b], scale, shift) -> [b, ...] of the default type: rows * scale
 * + shift */
static int l_gather_scaled(lua_State *L) {
  const char *name = "gather_scaled";
  const Tensor *t = check_tensor(L, 1, name, "x")->value;
  const Tensor *index = check_places(L, 2, name, "index")->value;
  double scale = check_real(L, 3, name, "scale"), shift = check_real(L, 4, name, "shift");
  char text[SHAPE_TEXT];
  if (t->dtype != DTYPE_U8 || t->shape.dims < 1)
    raise_error(L, "%s: x: expected u8 [n, ...], got %s %s", name, dtype_name(t->dtype),
                shape_text(&t->shape, text));
  if (index->shape.dims != 1)
    raise_error(L, "%s: index: expected row numbers [*], got %s", name,
                shape_text(&index->shape, text));
  int64_t n = t->shape.size[0], count = index->numel;
  int64_t *rows = lua_newuserdatauv(L, (size_t)count * sizeof *rows + 1, 0);
  Error e;
  if (!places_check(index, 1, n, "index", &e)) raise_error(L, "%s: %s", name, e.text);
  for (int64_t i = 0; i < count; i++) rows[i] = place_at(index, i) - 1;
  Shape shape = t->shape;
  shape.size[0] = count;
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(dtype_default(), &shape, &e), name, &e);
  t = check_tensor(L, 1, name, "x")->value; /* a finaliser may have closed it */
  parallel_may_stop();
  isa(dtype_default())
      ->gather_bytes(bytes_of(t), n ? t->numel / n : 0, rows, count, scale, shift,
                     box->var->value->data);
  if (parallel_was_stopped()) raise_error(L, "%s: interrupted", name);
  return 1;
}

static const luaL_Reg optimizer_functions[] = {{"optimizers", l_optimizers},
                                               {"optimizer_check", l_optimizer_check},
                                               {"optimizer_step", l_optimizer_step},
                                               {NULL, NULL}};
/* What the profile times as a whole. */
static const luaL_Reg functions[] = {
    {"clip_grad_norm", l_clip_grad_norm}, {"knn", l_knn},
    {"statistics", l_statistics},         {"resize_bilinear", l_resize_bilinear},
    {"gather_scaled", l_gather_scaled},   {NULL, NULL}};

/* Calls the function that is its upvalue, under the eyes of the profile. */
static int l_timed(lua_State *L) {
  const luaL_Reg *f = lua_touserdata(L, lua_upvalueindex(1));
  Span span = profile_begin();
  int results = f->func(L);
  profile_end(span, f->name, PROFILE_OTHER);
  return results;
}

void open_numeric(lua_State *L) {
  luaL_setfuncs(L, optimizer_functions, 0);
  for (const luaL_Reg *f = functions; f->name; f++) {
    lua_pushlightuserdata(L, (void *)f);
    lua_pushcclosure(L, l_timed, 1);
    lua_setfield(L, -2, f->name);
  }
}
