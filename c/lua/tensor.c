/* Floor 5: making tensors, and what they are made of as bytes and tables. */
#include "lua/check.h"
#include "base/places.h"

#include <math.h>
#include <string.h>

/* tensor(data): from a number or a nested table of numbers; a tensor is copied */
static int l_tensor(lua_State *L) {
  check_count(L, 1, "tensor");
  if (!is_tensor(L, 1)) {
    check_tensor_like(L, 1, "tensor", NULL);
    return 1;
  }
  Box *box = box_new(L);
  const Var *v = check_tensor(L, 1, "tensor", NULL);
  Error e;
  Tensor *t = tensor_new(v->value->dtype, &v->value->shape, &e);
  if (t) memcpy(t->data, v->value->data, (size_t)t->numel * dtype_size(t->dtype));
  return push_tensor(L, box, t, "tensor", &e);
}

/* A new tensor filled with one value. */
static int push_filled(lua_State *L, const Shape *shape, Dtype dtype, double value,
                       const char *name) {
  Error e;
  Box *box = box_new(L);
  Tensor *t = tensor_new(dtype, shape, &e);
  for (int64_t i = 0; t && i < t->numel; i++) {
    if (dtype == DTYPE_REAL) reals(t)[i] = (real)value;
    else bytes_of(t)[i] = (uint8_t)value;
  }
  return push_tensor(L, box, t, name, &e);
}

static void check_fits(lua_State *L, Dtype dtype, double value, const char *name) {
  if (dtype == DTYPE_U8 && !(value >= 0 && value <= 255 && value == floor(value)))
    raise_error(L, "%s: value: expected a whole number 0..255 for u8, got %g", name, value);
}

static Dtype check_dtype(lua_State *L, int index, const char *name) {
  char got[80];
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  if (lua_isnoneornil(L, index) || strcmp(text, REAL_NAME) == 0) return DTYPE_REAL;
  if (strcmp(text, "u8") == 0) return DTYPE_U8;
  raise_error(L, "%s: dtype: expected \"%s\" or \"u8\", got %s", name, REAL_NAME,
              describe(L, index, got, sizeof got));
}

static int filled_like(lua_State *L, double value, const char *name) {
  Shape shape;
  if (is_tensor(L, 1) || lua_type(L, 1) == LUA_TTABLE) check_count(L, 1, name);
  if (is_tensor(L, 1)) shape = check_tensor(L, 1, name, NULL)->value->shape;
  else check_shape(L, 1, lua_gettop(L), name, &shape);
  return push_filled(L, &shape, DTYPE_REAL, value, name);
}

/* zeros(2, 3), zeros{2, 3} or zeros(x) for x's shape; ones likewise */
static int l_zeros(lua_State *L) { return filled_like(L, 0, "zeros"); }
static int l_ones(lua_State *L) { return filled_like(L, 1, "ones"); }

/* full(shape, value [, dtype]) */
static int l_full(lua_State *L) {
  check_count(L, 3, "full");
  Shape shape;
  check_shape(L, 1, 1, "full", &shape);
  double value = check_real(L, 2, "full", "value");
  Dtype dtype = check_dtype(L, 3, "full");
  check_fits(L, dtype, value, "full");
  return push_filled(L, &shape, dtype, value, "full");
}

static int push_sequence(lua_State *L, double first, double step, int64_t n, const char *name) {
  Error e;
  Shape shape = {.dims = 1, .size = {n}};
  Box *box = box_new(L);
  Tensor *t = tensor_new(DTYPE_REAL, &shape, &e);
  for (int64_t i = 0; t && i < n; i++) reals(t)[i] = (real)(first + step * (double)i);
  return push_tensor(L, box, t, name, &e);
}

/* Whole numbers in whole steps, as places are: refuses those that were rounded to others. Far
 * steps tell nobody a place. */
static void check_sequence(lua_State *L, const Tensor *t, double first, double step) {
  if (first != floor(first) || step != floor(step) || fabs(step) > (double)REAL_EXACT) return;
  for (int64_t i = 0; i < t->numel; i++) {
    double v = first + step * (double)i;
    if ((double)reals(t)[i] != v)
      raise_error(L, "arange: %.0f: " REAL_NAME " counts exactly only to %lld", v,
                  (long long)REAL_EXACT);
  }
}

/* arange(first, last [, step]): first, first + step, ... up to and including last; arange(n) is
 * 1..n, as Lua counts */
static int l_arange(lua_State *L) {
  check_count(L, 3, "arange");
  bool one = lua_gettop(L) == 1;
  double first = one ? 1 : check_real(L, 1, "arange", "first");
  double last = check_real(L, one ? 1 : 2, "arange", "last");
  double step = lua_isnoneornil(L, 3) ? 1 : check_real(L, 3, "arange", "step");
  if (!(step != 0) || !isfinite(step)) raise_error(L, "arange: step: expected not 0, got %g", step);
  double count = floor((last - first) / step * (1 + 1e-12) + 1e-9) + 1;
  if (!(count < 0x1p40)) raise_error(L, "arange: too many elements");
  push_sequence(L, first, step, count > 0 ? (int64_t)count : 0, "arange");
  check_sequence(L, check_tensor(L, -1, "arange", NULL)->value, first, step);
  return 1;
}

/* linspace(first, last, n): n numbers evenly spaced, both ends included */
static int l_linspace(lua_State *L) {
  check_count(L, 3, "linspace");
  double first = check_real(L, 1, "linspace", "first"), last = check_real(L, 2, "linspace", "last");
  int64_t n = check_whole(L, 3, "linspace", "n");
  if (n < 1) raise_error(L, "linspace: n: expected at least 1, got %d", (int)n);
  push_sequence(L, first, n > 1 ? (last - first) / (double)(n - 1) : 0, n, "linspace");
  Tensor *t = check_tensor(L, -1, "linspace", NULL)->value;
  if (n > 1) reals(t)[n - 1] = (real)last;
  return 1;
}

/* eye(n): the identity matrix */
static int l_eye(lua_State *L) {
  check_count(L, 1, "eye");
  int64_t n = check_whole(L, 1, "eye", "n");
  if (n < 0) raise_error(L, "eye: n: expected at least 0, got %d", (int)n);
  Shape shape = {.dims = 2, .size = {n, n}};
  push_filled(L, &shape, DTYPE_REAL, 0, "eye");
  Tensor *t = check_tensor(L, -1, "eye", NULL)->value;
  for (int64_t i = 0; i < n; i++) reals(t)[i * n + i] = 1;
  return 1;
}

/* from_bytes(string, shape, dtype): raw elements in the machine's order (little-endian) */
static int l_from_bytes(lua_State *L) {
  check_count(L, 3, "from_bytes");
  size_t size;
  Shape shape;
  Error e;
  char got[80];
  if (lua_type(L, 1) != LUA_TSTRING)
    raise_error(L, "from_bytes: bytes: expected a string, got %s", describe(L, 1, got, sizeof got));
  const char *bytes = lua_tolstring(L, 1, &size);
  check_shape(L, 2, 2, "from_bytes", &shape);
  Dtype dtype = check_dtype(L, 3, "from_bytes");
  Box *box = box_new(L);
  Tensor *t = tensor_new(dtype, &shape, &e);
  if (t && (size_t)t->numel * dtype_size(dtype) != size) {
    error_set(&e, "expected %lld bytes, got %lld",
              (long long)t->numel * (long long)dtype_size(dtype), (long long)size);
    tensor_release(t);
    t = NULL;
  }
  if (t) memcpy(t->data, bytes, size);
  return push_tensor(L, box, t, "from_bytes", &e);
}

/* x:bytes(): the raw elements as a string */
static int l_bytes(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "bytes", NULL)->value;
  lua_pushlstring(L, t->data, (size_t)t->numel * dtype_size(t->dtype));
  return 1;
}

static double element(const Tensor *t, int64_t i) {
  return t->dtype == DTYPE_U8 ? bytes_of(t)[i] : (double)reals(t)[i];
}

/* How many tables hold the elements, of an empty tensor too: its axes before the empty one. */
static int64_t tables_of(const Shape *s) {
  int64_t level = 1, count = 0;
  for (int d = 0; d < s->dims; d++) {
    count += level;
    level *= s->size[d];
  }
  return count;
}

static void push_nested(lua_State *L, const Tensor *t, int depth, int64_t *at) {
  if (depth == t->shape.dims) {
    lua_pushnumber(L, element(t, (*at)++));
    return;
  }
  luaL_checkstack(L, 2, "table");
  lua_createtable(L, (int)t->shape.size[depth], 0);
  for (int64_t i = 1; i <= t->shape.size[depth]; i++) {
    push_nested(L, t, depth + 1, at);
    lua_rawseti(L, -2, i);
  }
}

/* x:table(): the elements as nested tables (of a scalar: a number) */
static int l_table(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "table", NULL)->value;
  const int64_t most = 1 << 24; /* of empty tables; others are few against the elements */
  char text[SHAPE_TEXT];
  int64_t at = 0;
  if (t->numel == 0 && tables_of(&t->shape) > most)
    raise_error(L, "table: shape %s would become %lld empty tables", shape_text(&t->shape, text),
                (long long)tables_of(&t->shape));
  push_nested(L, t, 0, &at);
  return 1;
}

/* x:item(): the number in a tensor of one element */
static int l_item(lua_State *L) {
  char text[SHAPE_TEXT];
  const Tensor *t = check_tensor(L, 1, "item", NULL)->value;
  if (t->numel != 1)
    raise_error(L, "item: expected one element, got shape %s", shape_text(&t->shape, text));
  lua_pushnumber(L, element(t, 0));
  return 1;
}

/* ---- conversions and copies ---- */

/* x:float(): the same values as reals; itself where it has them already */
static int l_float(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "float", NULL)->value;
  lua_settop(L, 1);
  if (t->dtype == DTYPE_REAL) return 1;
  Error e;
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(DTYPE_REAL, &t->shape, &e), "float", &e);
  t = check_tensor(L, 1, "float", NULL)->value; /* a finaliser may have closed it */
  for (int64_t i = 0; i < t->numel; i++) reals(box->var->value)[i] = (real)bytes_of(t)[i];
  return 1;
}

/* Position of the first NaN, counted from 1; 0 where there is none. */
static int64_t first_nan(const Tensor *t) {
  for (int64_t i = 0; i < t->numel; i++)
    if (reals(t)[i] != reals(t)[i]) return i + 1;
  return 0;
}

/* x:u8(): rounded to the nearest whole number and limited to 0..255; NaN is refused */
static int l_u8(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "u8", NULL)->value;
  lua_settop(L, 1);
  if (t->dtype == DTYPE_U8) return 1;
  int64_t nan = first_nan(t);
  if (nan) raise_error(L, "u8: element %lld is NaN", (long long)nan);
  Error e;
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(DTYPE_U8, &t->shape, &e), "u8", &e);
  t = check_tensor(L, 1, "u8", NULL)->value; /* a finaliser may have closed it */
  for (int64_t i = 0; i < t->numel; i++) {
    double v = nearbyint((double)reals(t)[i]);
    bytes_of(box->var->value)[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
  }
  return 1;
}

/* x:detach(): the same elements outside any graph */
static int l_detach(lua_State *L) {
  Error e;
  check_tensor(L, 1, "detach", NULL);
  Box *box = box_new(L);
  const Var *v = check_tensor(L, 1, "detach", NULL);
  return push_tensor(L, box, tensor_view(v->value, &v->value->shape, 0, &e), "detach", &e);
}

/* param(x): a leaf on x's elements whose gradient is wanted */
static int l_param(lua_State *L) {
  check_count(L, 1, "param");
  Var *v = check_tensor_like(L, 1, "param", NULL);
  Error e;
  if (v->value->dtype != DTYPE_REAL)
    raise_error(L, "param: expected %s, got u8 (convert it with :float())", REAL_NAME);
  Box *box = box_new(L);
  push_tensor(L, box, tensor_view(v->value, &v->value->shape, 0, &e), "param", &e);
  box->var->requires_grad = true;
  return 1;
}

/* x:copy_(y): y's elements into x, in place; shapes and dtypes agree */
static int l_copy_in_place(lua_State *L) {
  Var *to = check_tensor(L, 1, "copy_", NULL), *from = check_tensor(L, 2, "copy_", "source");
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  Error e;
  if (to->value->dtype != from->value->dtype ||
      !shape_equal(&to->value->shape, &from->value->shape))
    raise_error(L, "copy_: expected %s %s, got %s %s", dtype_name(to->value->dtype),
                shape_text(&to->value->shape, a), dtype_name(from->value->dtype),
                shape_text(&from->value->shape, b));
  if (!graph_change(to, &from, 1, &e)) raise_error(L, "copy_: %s", e.text);
  memmove(to->value->data, from->value->data,
          (size_t)to->value->numel * dtype_size(to->value->dtype));
  lua_settop(L, 1);
  return 1;
}

/* x:fill_(value): every element, in place */
static int l_fill_in_place(lua_State *L) {
  Var *v = check_tensor(L, 1, "fill_", NULL);
  double value = check_real(L, 2, "fill_", "value");
  Tensor *t = v->value;
  Error e;
  check_fits(L, t->dtype, value, "fill_");
  if (!graph_change(v, NULL, 0, &e)) raise_error(L, "fill_: %s", e.text);
  for (int64_t i = 0; i < t->numel; i++) {
    if (t->dtype == DTYPE_REAL) reals(t)[i] = (real)value;
    else bytes_of(t)[i] = (uint8_t)value;
  }
  lua_settop(L, 1);
  return 1;
}

static int l_is_tensor(lua_State *L) {
  lua_pushboolean(L, is_tensor(L, 1));
  return 1;
}

static const luaL_Reg makers[] = {{"tensor", l_tensor},
                                  {"zeros", l_zeros},
                                  {"ones", l_ones},
                                  {"full", l_full},
                                  {"arange", l_arange},
                                  {"linspace", l_linspace},
                                  {"eye", l_eye},
                                  {"from_bytes", l_from_bytes},
                                  {"is_tensor", l_is_tensor},
                                  {"param", l_param},
                                  {NULL, NULL}};

static const luaL_Reg methods[] = {{"bytes", l_bytes},
                                   {"table", l_table},
                                   {"item", l_item},
                                   {"float", l_float},
                                   {"u8", l_u8},
                                   {"detach", l_detach},
                                   {"copy_", l_copy_in_place},
                                   {"fill_", l_fill_in_place},
                                   {NULL, NULL}};

void open_tensor(lua_State *L) {
  luaL_setfuncs(L, makers, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "methods"); /* the Lua face adds to it */
  lua_pushinteger(L, most_elements);
  lua_setfield(L, -2, "most_elements"); /* of a shape, zeros left out */
}
