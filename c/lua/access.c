/* Floor 5: reading and writing elements, the fields of a tensor, and its metatable. */
#include "ops/dispatch.h"
#include "lua/check.h"
#include "lua/graph.h"

#include <math.h>
#include <string.h>

/* x:shape(), as in other languages */
static int l_call_shape(lua_State *L) {
  return raise_error(L, "shape: a field and no method; write x.shape");
}

static void push_shape(lua_State *L, const Shape *s) {
  lua_createtable(L, s->dims, 0);
  luaL_setmetatable(L, META_SHAPE);
  for (int d = 0; d < s->dims; d++) {
    lua_pushinteger(L, s->size[d]);
    lua_rawseti(L, -2, d + 1);
  }
}

/* x:size(axis) */
static int l_size(lua_State *L) {
  const Shape *s = &check_waiting(L, 1, "size", NULL)->value->shape;
  if (lua_isnoneornil(L, 2))
    raise_error(L,
                "size: axis: expected a whole number, got nil; x.shape has the sizes of all axes");
  int64_t axis = check_whole(L, 2, "size", "axis"), d = axis > 0 ? axis - 1 : s->dims + axis;
  if (s->dims == 0) raise_error(L, "size: axis: a scalar has none, got %d", (int)axis);
  if (axis == 0 || d < 0 || d >= s->dims)
    raise_error(L, "size: axis: expected 1..%d or -%d..-1, got %d", s->dims, s->dims, (int)axis);
  lua_pushinteger(L, s->size[d]);
  return 1;
}

static int l_dim(lua_State *L) {
  lua_pushinteger(L, check_waiting(L, 1, "dim", NULL)->value->shape.dims);
  return 1;
}

static int l_numel(lua_State *L) {
  lua_pushinteger(L, check_waiting(L, 1, "numel", NULL)->value->numel);
  return 1;
}

/* The position in memory of element (i, j, ...) given from stack index 2 on. */
static int64_t element_at(lua_State *L, const Tensor *t, int count, const char *name) {
  char text[SHAPE_TEXT];
  if (count != t->shape.dims)
    raise_error(L, "%s: expected %d indices for shape %s, got %d", name, t->shape.dims,
                shape_text(&t->shape, text), count);
  int64_t at = 0;
  for (int d = 0; d < t->shape.dims; d++) {
    int64_t n = t->shape.size[d], i = check_whole(L, 2 + d, name, "index");
    if (i == 0 || i < -n || i > n)
      raise_error(L, "%s: index %d of axis %d is out of range for shape %s", name, (int)i, d + 1,
                  shape_text(&t->shape, text));
    at = at * n + (i > 0 ? i - 1 : n + i);
  }
  return at;
}

/* x:get(i, j, ...): one element as a number */
static int l_get(lua_State *L) {
  const Tensor *t = check_tensor(L, 1, "get", NULL)->value;
  int64_t at = element_at(L, t, lua_gettop(L) - 1, "get");
  push_number(L, t, at);
  return 1;
}

static void store(lua_State *L, Var *v, int64_t at, Number value, const char *name) {
  Error e;
  if (!number_fits(value, v->value->dtype, &e)) raise_error(L, "%s: %s", name, e.text);
  if (!graph_change(v, NULL, 0, &e)) raise_error(L, "%s: %s", name, e.text);
  tensor_put(v->value, at, value);
}

/* x:set(i, j, ..., value): one element, in place */
static int l_set(lua_State *L) {
  Var *v = check_tensor(L, 1, "set", NULL);
  int top = lua_gettop(L);
  if (top < 2) raise_error(L, "set: expected indices and a value");
  check_real(L, top, "set", "value");
  store(L, v, element_at(L, v->value, top - 2, "set"), number_at(L, top), "set");
  lua_settop(L, 1);
  return 1;
}

/* ---- x[i] and fields ---- */

static int push_row(lua_State *L, Var *v, int64_t i) {
  const Shape *s = &v->value->shape;
  char text[SHAPE_TEXT], range[RANGE_TEXT];
  if (s->dims == 0) raise_error(L, "index: a scalar has no rows; use :item()");
  int64_t n = s->size[0];
  if (i == n + 1) { /* so that ipairs ends */
    lua_pushnil(L);
    return 1;
  }
  if (i < 0) i += n + 1;
  if (i < 1 || i > n)
    raise_error(L, "index: expected %s for shape %s, got %d", range_text(n, range),
                shape_text(s, text), (int)lua_tointeger(L, 2));
  if (s->dims == 1) {
    if (var_wants_grad(v) && graph_recording())
      raise_error(L,
                  "index: x[i] of a 1-D tensor is a plain number and would lose its gradient; use "
                  "x:slice(1, i, i), x:detach() or no_grad");
    push_number(L, v->value, i - 1);
    return 1;
  }
  Call c = {.op = isa_op("select"), .inputs = 1, .integer = {i}};
  Error e;
  Box *box = box_new(L);
  graph_trace(L);
  box->var = graph_apply(&c, &v, &e);
  if (!box->var) raise_error(L, "index: %s", e.text);
  return 1;
}

static int push_field(lua_State *L, Var *v, const char *key) {
  Error e;
  if (strcmp(key, "shape") == 0) {
    push_shape(L, &v->value->shape);
  } else if (strcmp(key, "dtype") == 0) {
    lua_pushstring(L, dtype_name(v->value->dtype));
  } else if (strcmp(key, "requires_grad") == 0) {
    lua_pushboolean(L, var_wants_grad(v));
  } else if (strcmp(key, "is_leaf") == 0) {
    lua_pushboolean(L, !v->node);
  } else if (strcmp(key, "grad") == 0) {
    if (!v->grad) {
      lua_pushnil(L);
      return 1;
    }
    Box *box = box_new(L);
    return push_tensor(L, box, tensor_retain(var_grad(v)), "grad", &e);
  } else {
    return 0;
  }
  return 1;
}

/* The Lua face's function for keys that are tables or tensors, with the first `count` arguments,
 * which stay on the stack. Upvalue 1 is the table of methods. */
static void call_part(lua_State *L, const char *name, int count, int results) {
  lua_getfield(L, lua_upvalueindex(1), name);
  for (int i = 1; i <= count; i++) lua_pushvalue(L, i);
  lua_call(L, count, results);
}

/* Methods first: they are what is asked for most. Upvalue 1 is the table of methods. */
static int l_index(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    const char *key = lua_tostring(L, 2);
    if (push_field(L, check_waiting(L, 1, key, NULL), key)) return 1;
    lua_getfield(L, lua_upvalueindex(1), "__unknown"); /* the Lua face's: suggests a name */
    if (lua_isnil(L, -1)) return 1;
    lua_pushvalue(L, 2);
    lua_call(L, 1, 0);
    return 0;
  }
  Var *v = check_tensor(L, 1, "index", NULL);
  if (lua_type(L, 2) == LUA_TTABLE || is_tensor(L, 2)) {
    call_part(L, "__part", 2, 1);
    v = check_tensor(L, 1, "index", NULL);
    mark_parts(L, lua_gettop(L), v->value, "x[...]");
    return 1;
  }
  return push_row(L, v, check_whole(L, 2, "index", "x[i]"));
}

/* x.grad = nil, or = a tensor, whose elements are copied */
static int assign_grad(lua_State *L, Var *v) {
  Error e;
  Tensor *fresh = NULL;
  if (!lua_isnil(L, 3)) {
    const Tensor *g = check_tensor(L, 3, "grad", NULL)->value;
    if (!shape_equal(&g->shape, &v->value->shape) || g->dtype != v->value->dtype)
      raise_error(L, "grad: expected a tensor of the same shape and dtype");
    if (v->node || !v->requires_grad)
      raise_error(L, "grad: only a leaf that wants a gradient has one to assign to");
    fresh = tensor_copy(g, &e);
    if (!fresh) raise_error(L, "grad: %s", e.text);
  }
  Tensor *old = v->grad;
  v->grad = fresh;
  v->zeroed = false;
  tensor_release(old);
  return 0;
}

/* x[i] = number or tensor; x.grad = nil or a tensor; nothing else can be assigned */
static int l_newindex(lua_State *L) {
  Var *v = check_tensor(L, 1, "index", NULL);
  Error e;
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char *field = lua_tostring(L, 2);
    if (strcmp(field, "grad") != 0)
      raise_error(L, "a tensor has no field \"%s\" to assign to%s", field,
                  strcmp(field, "requires_grad") == 0
                      ? "; write x:requires_grad_(...), or lt.param(x)"
                      : "");
    return assign_grad(L, v);
  }
  bool fill = v->value->shape.dims > 1 && lua_type(L, 3) == LUA_TNUMBER;
  if (lua_type(L, 2) == LUA_TTABLE || is_tensor(L, 2)) {
    call_part(L, "__put", 3, 0);
    return 0;
  }
  if (fill && lua_type(L, 2) == LUA_TNUMBER) { /* x[i] = number, of a row */
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    lua_replace(L, 2);
    call_part(L, "__put", 3, 0);
    return 0;
  }
  int64_t i = check_whole(L, 2, "index", "x[i]"),
          n = v->value->shape.dims ? v->value->shape.size[0] : 0;
  if (i < 0) i += n + 1;
  char range[RANGE_TEXT];
  if (i < 1 || i > n) raise_error(L, "index: expected %s, got %d", range_text(n, range), (int)i);
  if (v->value->shape.dims == 1) {
    check_real(L, 3, "index", "value");
    store(L, v, i - 1, number_at(L, 3), "x[i] = value");
    return 0;
  }
  Var *source = check_tensor(L, 3, "index", "value");
  Tensor *row = source->value, *t = v->value;
  Shape want = {.dims = t->shape.dims - 1};
  memcpy(want.size, t->shape.size + 1, sizeof want.size - sizeof want.size[0]);
  char a[SHAPE_TEXT], b[SHAPE_TEXT];
  if (!shape_equal(&row->shape, &want) || row->dtype != t->dtype)
    raise_error(L, "x[i] = row: expected %s %s, got %s %s", dtype_name(t->dtype),
                shape_text(&want, a), dtype_name(row->dtype), shape_text(&row->shape, b));
  if (!graph_change(v, &source, 1, &e)) raise_error(L, "x[i] = row: %s", e.text);
  size_t size = (size_t)row->numel * dtype_size(row->dtype);
  memmove((char *)t->data + (size_t)(i - 1) * size, row->data, size);
  return 0;
}

static int l_length(lua_State *L) {
  const Shape *s = &check_waiting(L, 1, "#", NULL)->value->shape;
  lua_pushinteger(L, s->dims ? s->size[0] : 0);
  return 1;
}

/* ---- life and gradient ---- */

/* __gc, __close and x:close() are one, and may come twice. */
static int l_close(lua_State *L) {
  Box *box = box_at(L, 1);
  char got[80];
  if (!box) raise_error(L, "close: expected a tensor, got %s", describe(L, 1, got, sizeof got));
  box_close(box);
  return 0;
}

/* x:requires_grad_(bool): whether a leaf wants a gradient */
static int l_requires_grad(lua_State *L) {
  Var *v = check_tensor(L, 1, "requires_grad_", NULL);
  bool on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  if (v->node)
    raise_error(L, "requires_grad_: expected a leaf, got a result of a graph (:detach())");
  if (on && !dtype_is_floating(v->value->dtype))
    raise_error(L, "requires_grad_: expected %s, got %s", dtype_name(dtype_default()),
                dtype_name(v->value->dtype));
  v->requires_grad = on;
  if (on) v->value->storage->part_by = NULL; /* to be changed from now on */
  lua_settop(L, 1);
  return 1;
}

static void zero_grad(lua_State *L, int index) {
  Var *v = check_tensor(L, index, "zero_grad", NULL);
  Error e;
  if (!var_zero_grad(v, &e)) raise_error(L, "zero_grad: %s", e.text);
}

/* x:zero_grad(): zeroes the gradient in place, where there is one */
static int l_zero_grad(lua_State *L) {
  zero_grad(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* zero_grads(list): the same of each tensor of a list, an optimiser's at every step */
static int l_zero_grads(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) {
    zero_grad(L, 2);
    lua_settop(L, 1);
  }
  return 0;
}

static const luaL_Reg methods[] = {{"size", l_size},
                                   {"dim", l_dim},
                                   {"numel", l_numel},
                                   {"get", l_get},
                                   {"set", l_set},
                                   {"close", l_close},
                                   {"requires_grad_", l_requires_grad},
                                   {"zero_grad", l_zero_grad},
                                   {NULL, NULL}};

static const luaL_Reg events[] = {
    {"__len", l_length}, {"__gc", l_close}, {"__close", l_close}, {NULL, NULL}};

void open_access(lua_State *L) {
  lua_pushcfunction(L, l_zero_grads);
  lua_setfield(L, -2, "zero_grads");
  lua_getfield(L, -1, "methods");
  luaL_setfuncs(L, methods, 0);
  luaL_newmetatable(L, META_SHAPE);
  lua_pushcfunction(L, l_call_shape);
  lua_setfield(L, -2, "__call");
  lua_pushnil(L);
  lua_setfield(L, -2, "__name"); /* a plain table in messages */
  lua_pop(L, 1);
  luaL_newmetatable(L, META_TENSOR);
  box_set_metatable(L);
  luaL_setfuncs(L, events, 0);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, l_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, l_newindex, 1);
  lua_setfield(L, -2, "__newindex");
  lua_setfield(L, -3, "metatable"); /* the Lua face adds the operators */
  lua_pop(L, 1);
}
