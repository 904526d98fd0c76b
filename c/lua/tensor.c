/* Floor 5: making tensors, and what they are made of as bytes and tables. */
#include "lua/check.h"
#include "lua/graph.h"
#include "ops/convert.h"
#include "ops/dispatch.h"

#include <math.h>
#include <string.h>

/* tensor(data [, {dtype = ...}]): from a number or a nested table of numbers; a tensor is copied */
static int l_tensor(lua_State *L) {
  Making m = {dtype_default(), NULL, false};
  int last = check_making(L, 2, "tensor", &m);
  bool converted = last < lua_gettop(L);
  if (last > 1) check_count(L, 1, "tensor");
  lua_settop(L, 1);
  if (is_number_like(L, 1)) {
    tensor_from_lua(L, 1, "tensor", m.dtype);
    return 1;
  }
  check_tensor(L, 1, "tensor", NULL);
  Box *box = box_new(L);
  const Tensor *t = check_tensor(L, 1, "tensor", NULL)->value;
  Error e;
  return push_tensor(L, box, tensor_as(t, converted ? m.dtype : t->dtype, &e), "tensor", &e);
}

/* A new tensor filled with one value. */
static int push_filled(lua_State *L, const Shape *shape, Dtype dtype, Number value,
                       const char *name) {
  Error e;
  Box *box = box_new(L);
  Tensor *t = tensor_new(dtype, shape, &e);
  if (t) tensor_fill(t, value);
  return push_tensor(L, box, t, name, &e);
}

static Number check_fits(lua_State *L, int index, Dtype dtype, const char *name) {
  Error e;
  check_real(L, index, name, "value");
  Number n = number_at(L, index);
  if (!number_fits(n, dtype, &e)) raise_error(L, "%s: value: %s", name, e.text);
  return n;
}

/* A shape from sizes, a list or a tensor, whose floating type is then the new one's too. */
static int filled_like(lua_State *L, int64_t value, const char *name) {
  Shape shape;
  Making m = {dtype_default(), NULL, false};
  if (is_tensor(L, 1)) {
    const Tensor *t = check_tensor(L, 1, name, NULL)->value;
    shape = t->shape;
    if (dtype_is_floating(t->dtype)) m.dtype = t->dtype;
  }
  int last = check_making(L, 1, name, &m);
  if (is_tensor(L, 1) || lua_type(L, 1) == LUA_TTABLE) {
    if (last > 1) check_count(L, 1, name);
  }
  if (!is_tensor(L, 1)) check_shape(L, 1, last, name, &shape);
  return push_filled(L, &shape, m.dtype, number_whole(value), name);
}

/* zeros(2, 3), zeros{2, 3} or zeros(x) for x's shape, and perhaps {dtype = ...}; ones likewise */
static int l_zeros(lua_State *L) { return filled_like(L, 0, "zeros"); }
static int l_ones(lua_State *L) { return filled_like(L, 1, "ones"); }

/* full(shape, value [, {dtype = ...} or its name]) */
static int l_full(lua_State *L) {
  check_count(L, 3, "full");
  Shape shape;
  Making m = {dtype_default(), NULL, true};
  check_shape(L, 1, 1, "full", &shape);
  if (check_making(L, 3, "full", &m) > 2) check_count(L, 2, "full");
  return push_filled(L, &shape, m.dtype, check_fits(L, 2, m.dtype, "full"), "full");
}

/* first + step * i: whole of a whole type, else with one rounding */
static int push_sequence(lua_State *L, Number first, Number step, int64_t n, Dtype dtype,
                         const char *name) {
  Error e;
  Shape shape = {.dims = 1, .size = {n}};
  Box *box = box_new(L);
  Tensor *t = tensor_new(dtype, &shape, &e);
  for (int64_t i = 0; t && i < n; i++)
    tensor_put(t, i,
               first.whole ? number_whole(first.i + step.i * i)
                           : number_real(first.d + step.d * (double)i));
  return push_tensor(L, box, t, name, &e);
}

/* Whole numbers in whole steps, as places are: refuses those that were rounded to others. Far
 * steps tell nobody a place. */
static void check_sequence(lua_State *L, const Tensor *t, double first, double step) {
  long long exact = (long long)dtype_exact(t->dtype);
  if (first != floor(first) || step != floor(step) || fabs(step) > (double)exact) return;
  for (int64_t i = 0; i < t->numel; i++) {
    double v = first + step * (double)i;
    if (value_at(t, i) != v)
      raise_error(L, "arange: %.0f: %s counts exactly only to %lld; use {dtype = \"i64\"}", v,
                  dtype_name(t->dtype), exact);
  }
}

/* arange(first, last [, step] [, {dtype = ...}]): first, first + step, ... up to and including
 * last; arange(n) is 1..n, as Lua counts */
static int l_arange(lua_State *L) {
  Making m = {dtype_default(), NULL, false};
  int count_given = check_making(L, 2, "arange", &m);
  if (count_given > 3) check_count(L, 3, "arange");
  lua_settop(L, count_given);
  bool one = count_given == 1, whole = !dtype_is_floating(m.dtype);
  double first = one ? 1 : check_real(L, 1, "arange", "first");
  double last = check_real(L, one ? 1 : 2, "arange", "last");
  double step = lua_isnoneornil(L, 3) ? 1 : check_real(L, 3, "arange", "step");
  if (!(step != 0) || !isfinite(step)) raise_error(L, "arange: step: expected not 0, got %g", step);
  double count = floor((last - first) / step * (1 + 1e-12) + 1e-9) + 1;
  if (!(count < 0x1p40)) raise_error(L, "arange: too many elements");
  Number from = number_real(first), by = number_real(step);
  if (whole) {
    int64_t start = one ? 1 : check_whole(L, 1, "arange", "first");
    int64_t end = check_whole(L, one ? 1 : 2, "arange", "last");
    int64_t jump = lua_isnoneornil(L, 3) ? 1 : check_whole(L, 3, "arange", "step");
    bool empty = jump > 0 ? end < start : end > start;
    from = number_whole(start), by = number_whole(jump);
    count = empty ? 0 : (double)((end - start) / jump + 1);
    Error e;
    if (!empty && (!number_fits(from, m.dtype, &e) || !number_fits(number_whole(end), m.dtype, &e)))
      raise_error(L, "arange: %s", e.text);
  }
  push_sequence(L, from, by, count > 0 ? (int64_t)count : 0, m.dtype, "arange");
  if (!whole) check_sequence(L, check_tensor(L, -1, "arange", NULL)->value, first, step);
  return 1;
}

static Dtype check_floating(lua_State *L, int first, int last, const char *name) {
  Making m = {dtype_default(), NULL, false};
  if (check_making(L, first, name, &m) > last) check_count(L, last, name);
  if (!dtype_is_floating(m.dtype))
    raise_error(L, "%s: dtype: expected \"float32\" or \"float64\", got \"%s\"", name,
                dtype_name(m.dtype));
  return m.dtype;
}

/* linspace(first, last, n [, {dtype = ...}]): n numbers evenly spaced, both ends included */
static int l_linspace(lua_State *L) {
  double first = check_real(L, 1, "linspace", "first"), last = check_real(L, 2, "linspace", "last");
  int64_t n = check_whole(L, 3, "linspace", "n");
  if (n < 0) raise_error(L, "linspace: n: expected at least 0, got %d", (int)n);
  Dtype dtype = check_floating(L, 4, 3, "linspace");
  double step = n > 1 ? (last - first) / (double)(n - 1) : 0;
  push_sequence(L, number_real(first), number_real(step), n, dtype, "linspace");
  if (n > 1) tensor_put(check_tensor(L, -1, "linspace", NULL)->value, n - 1, number_real(last));
  return 1;
}

/* eye(n [, {dtype = ...}]): the identity matrix */
static int l_eye(lua_State *L) {
  Making m = {dtype_default(), NULL, false};
  int64_t n = check_whole(L, 1, "eye", "n");
  if (check_making(L, 2, "eye", &m) > 1) check_count(L, 1, "eye");
  if (n < 0) raise_error(L, "eye: n: expected at least 0, got %d", (int)n);
  Shape shape = {.dims = 2, .size = {n, n}};
  push_filled(L, &shape, m.dtype, number_whole(0), "eye");
  Tensor *t = check_tensor(L, -1, "eye", NULL)->value;
  for (int64_t i = 0; i < n; i++) tensor_put(t, i * n + i, number_whole(1));
  return 1;
}

/* from_bytes(string, shape [, {dtype = ...} or its name]): raw elements in the machine's order
 * (little-endian) */
static int l_from_bytes(lua_State *L) {
  check_count(L, 3, "from_bytes");
  size_t size;
  Shape shape;
  Error e;
  char got[80];
  Making m = {dtype_default(), NULL, true};
  if (lua_type(L, 1) != LUA_TSTRING)
    raise_error(L, "from_bytes: bytes: expected a string, got %s", describe(L, 1, got, sizeof got));
  const char *bytes = lua_tolstring(L, 1, &size);
  check_shape(L, 2, 2, "from_bytes", &shape);
  if (check_making(L, 3, "from_bytes", &m) > 2) check_count(L, 2, "from_bytes");
  Box *box = box_new(L);
  Tensor *t = tensor_new(m.dtype, &shape, &e);
  if (t && (size_t)t->numel * dtype_size(m.dtype) != size) {
    error_set(&e, "expected %lld bytes, got %lld",
              (long long)t->numel * (long long)dtype_size(m.dtype), (long long)size);
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
    push_number(L, t, (*at)++);
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
  push_number(L, t, 0);
  return 1;
}

/* ---- conversions and copies ---- */

/* x converted; itself where it has the type already. Between floating types it is an op. */
static int convert(lua_State *L, Dtype dtype, const char *name) {
  Var *v = check_tensor(L, 1, name, NULL);
  lua_settop(L, 1);
  if (v->value->dtype == dtype) return 1;
  Error e;
  Box *box = box_new(L);
  v = check_tensor(L, 1, name, NULL); /* a finaliser may have closed it */
  if (!dtype_is_floating(dtype) || !dtype_is_floating(v->value->dtype))
    return push_tensor(L, box, tensor_as(v->value, dtype, &e), name, &e);
  Call c = {.op = &op_convert, .inputs = 1, .integer = {dtype}};
  graph_trace(L);
  box->var = graph_apply(&c, &v, &e);
  if (!box->var) raise_error(L, "%s: %s", name, e.text);
  box_filled(L);
  return 1;
}

/* x:float(), x:double(), x:long(), x:byte(): the same values in another type, the fraction dropped
 * by the whole ones; a value that the type cannot hold is an error */
static int l_float(lua_State *L) { return convert(L, DTYPE_F32, "float"); }
static int l_double(lua_State *L) { return convert(L, DTYPE_F64, "double"); }
static int l_long(lua_State *L) { return convert(L, DTYPE_I64, "long"); }
static int l_byte(lua_State *L) { return convert(L, DTYPE_U8, "byte"); }

/* Position of the first NaN, counted from 1; 0 where there is none. */
static int64_t first_nan(const Tensor *t) {
  for (int64_t i = 0; i < t->numel; i++)
    if (isnan(value_at(t, i))) return i + 1;
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
    double v = nearbyint(value_at(t, i));
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
  if (!dtype_is_floating(v->value->dtype))
    raise_error(L, "param: expected %s, got %s (convert it with :float())",
                dtype_name(dtype_default()), dtype_name(v->value->dtype));
  Box *box = box_new(L);
  push_tensor(L, box, tensor_view(v->value, &v->value->shape, 0, &e), "param", &e);
  box->var->requires_grad = true;
  v->value->storage->part_by = NULL; /* to be changed from now on */
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
  Error e;
  Number value = check_fits(L, 2, v->value->dtype, "fill_");
  if (!graph_change(v, NULL, 0, &e)) raise_error(L, "fill_: %s", e.text);
  tensor_fill(v->value, value);
  lua_settop(L, 1);
  return 1;
}

/* change(x, name): says that a function outside the core is about to write into x */
static int l_change(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  Var *v = check_tensor(L, 1, name, "x");
  Error e;
  if (!graph_change(v, NULL, 0, &e)) raise_error(L, "%s: %s", name, e.text);
  return 0;
}

/* set_default_dtype(name): the floating type of what is made without saying one */
static int l_set_default_dtype(lua_State *L) {
  char got[80];
  Dtype dtype;
  check_count(L, 1, "set_default_dtype");
  if (lua_type(L, 1) != LUA_TSTRING || !dtype_named(lua_tostring(L, 1), &dtype) ||
      !dtype_is_floating(dtype))
    raise_error(L, "set_default_dtype: expected \"float32\" or \"float64\", got %s",
                describe(L, 1, got, sizeof got));
  dtype_set_default(dtype);
  return 0;
}

/* get_default_dtype() -> "float32" or "float64" */
static int l_get_default_dtype(lua_State *L) {
  lua_pushstring(L, dtype_name(dtype_default()));
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
                                  {"change", l_change},
                                  {"set_default_dtype", l_set_default_dtype},
                                  {"get_default_dtype", l_get_default_dtype},
                                  {NULL, NULL}};

static const luaL_Reg methods[] = {{"bytes", l_bytes},         {"table", l_table},
                                   {"item", l_item},           {"float", l_float},
                                   {"double", l_double},       {"long", l_long},
                                   {"byte", l_byte},           {"u8", l_u8},
                                   {"detach", l_detach},       {"copy_", l_copy_in_place},
                                   {"fill_", l_fill_in_place}, {NULL, NULL}};

void open_tensor(lua_State *L) {
  luaL_setfuncs(L, makers, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "methods"); /* the Lua face adds to it */
  lua_pushinteger(L, most_elements);
  lua_setfield(L, -2, "most_elements"); /* of a shape, zeros left out */
}
