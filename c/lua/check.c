/* Floor 5: arguments, checked; tensors from numbers and nested tables. */
#include "lua/check.h"

#include "graph/later.h"
#include "ops/dispatch.h"
#include "base/words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- tensors ---- */

bool is_tensor(lua_State *L, int index) { return box_at(L, index) != NULL; }

/* "name: arg: " or "name: " where arg is NULL */
static void prefix(char *text, size_t size, const char *name, const char *arg) {
  snprintf(text, size, arg ? "%s: %s" : "%s", name, arg);
}

_Noreturn static void refuse_no_tensor(lua_State *L, int index, const char *name, const char *arg) {
  char got[80], where[120];
  prefix(where, sizeof where, name, arg);
  if (is_tensor(L, index)) raise_error(L, "%s: closed tensor", where);
  raise_error(L, "%s: expected a tensor, got %s", where, describe(L, index, got, sizeof got));
}

Var *check_tensor(lua_State *L, int index, const char *name, const char *arg) {
  Var *v = check_waiting(L, index, name, arg);
  Error e;
  if (later_waits(v->value) && !later_settle(v->value, &e)) raise_error(L, "%s: %s", name, e.text);
  return v;
}

Var *check_waiting(lua_State *L, int index, const char *name, const char *arg) {
  const Box *box = box_at(L, index);
  if (box && box->var) return box->var;
  refuse_no_tensor(L, index, name, arg);
}

/* ---- arguments ---- */

void check_count(lua_State *L, int n, const char *name) {
  if (lua_gettop(L) > n)
    raise_error(L, "%s: expected at most %d argument%s, got %d", name, n, n == 1 ? "" : "s",
                lua_gettop(L));
}

double check_real(lua_State *L, int index, const char *name, const char *arg) {
  char got[80];
  if (lua_type(L, index) != LUA_TNUMBER)
    raise_error(L, "%s: %s: expected a number, got %s", name, arg,
                describe(L, index, got, sizeof got));
  return lua_tonumber(L, index);
}

int64_t check_whole(lua_State *L, int index, const char *name, const char *arg) {
  char got[80];
  int whole = 0;
  lua_Integer n = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  if (!whole)
    raise_error(L, "%s: %s: expected a whole number, got %s", name, arg,
                describe(L, index, got, sizeof got));
  return n;
}

/* A list with a hole: its length is any place before one, and what stands behind would be lost. */
_Noreturn static void refuse_hole(lua_State *L, int index, const char *name, const char *arg) {
  char where[120];
  int hole = 1;
  for (; lua_rawgeti(L, index, hole) != LUA_TNIL; lua_pop(L, 1)) hole++;
  prefix(where, sizeof where, name, arg);
  raise_error(L, "%s: expected a list, got one with nothing at place %d", where, hole);
}

/* Is the key below the value at the top a place of a list of n items? The n of table.pack is none,
 * but says the same. */
static bool is_place(lua_State *L, int64_t n) {
  int64_t i = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
  if (i >= 1 && i <= n) return true;
  return lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "n") == 0 &&
         lua_isinteger(L, -1) && lua_tointeger(L, -1) == n;
}

void check_list(lua_State *L, int index, const char *name, const char *arg) {
  int64_t n = (int64_t)lua_rawlen(L, index);
  int64_t items = 0;
  char got[80], where[120];
  index = lua_absindex(L, index);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (is_place(L, n)) {
      items += lua_isinteger(L, -2);
    } else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) > n) {
      refuse_hole(L, index, name, arg);
    } else {
      prefix(where, sizeof where, name, arg);
      raise_error(L,
                  "%s: expected a list, got one with the name %s in it; names stand in a table of "
                  "their own behind it",
                  where, describe(L, -2, got, sizeof got));
    }
  }
  if (items < n) refuse_hole(L, index, name, arg);
}

bool has_names(lua_State *L, int index) {
  int64_t n = (int64_t)lua_rawlen(L, index);
  if (n == 0) return false;
  index = lua_absindex(L, index);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || is_place(L, n)) continue;
    lua_pop(L, 2);
    return true;
  }
  return false;
}

/* The length of the list at an index; -1 where the table has no elements, but names. */
static int64_t list_length(lua_State *L, int index) {
  int64_t n = (int64_t)lua_rawlen(L, index);
  if (n > 0) return n;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  if (lua_next(L, index) == 0) return 0;
  lua_pop(L, 2);
  return -1;
}

void check_shape(lua_State *L, int index, int last, const char *name, Shape *shape) {
  bool table = lua_type(L, index) == LUA_TTABLE;
  int64_t count = table ? list_length(L, index) : last - index + 1;
  if (table) {
    if (count < 0) raise_error(L, "%s: shape: expected a list of sizes, got names", name);
    /* a shape that is a nested table: refuse what is no list of numbers */
    lua_rawgeti(L, index, 1);
    if (count > 0 && lua_type(L, -1) != LUA_TNUMBER)
      raise_error(L, "%s: shape: expected a list of sizes", name);
    lua_pop(L, 1);
    check_list(L, index, name, "shape");
  }
  if (count > MAX_DIMS)
    raise_error(L, "%s: shape: expected at most %d axes, got %d", name, MAX_DIMS, (int)count);
  shape->dims = 0;
  for (int64_t i = 0; i < count; i++) {
    if (table) lua_rawgeti(L, index, i + 1);
    else lua_pushvalue(L, index + (int)i);
    shape->size[shape->dims++] = check_whole(L, -1, name, "shape");
    if (shape->size[i] < 0)
      raise_error(L, "%s: shape: expected sizes of at least 0, got %d", name, (int)shape->size[i]);
    lua_pop(L, 1);
  }
}

/* ---- tensors from numbers and nested tables ---- */

/* Raises what is wrong with the table at the top, which is no list: an object, or names. */
static void refuse_table(lua_State *L, const char *name) {
  char got[80];
  bool plain = strcmp(describe(L, -1, got, sizeof got), "a table") == 0;
  raise_error(L, "%s: expected a tensor or a list of numbers, got %s", name,
              plain ? "a table with names" : got);
}

/* Reads the sizes along the first elements; anything ragged is found when the values are read. */
static void table_shape(lua_State *L, int index, const char *name, Shape *shape) {
  shape->dims = 0;
  lua_pushvalue(L, index);
  while (lua_type(L, -1) == LUA_TTABLE) {
    if (shape->dims == MAX_DIMS) raise_error(L, "%s: tables are nested too deeply", name);
    int64_t n = list_length(L, -1);
    if (n < 0) refuse_table(L, name);
    shape->size[shape->dims++] = n;
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -2);
  }
  lua_pop(L, 1);
}

Number number_at(lua_State *L, int index) {
  return lua_isinteger(L, index) ? number_whole(lua_tointeger(L, index))
                                 : number_real(lua_tonumber(L, index));
}

void push_number(lua_State *L, const Tensor *t, int64_t i) {
  if (t->dtype == DTYPE_I64) lua_pushinteger(L, int64s(t)[i]);
  else lua_pushnumber(L, value_at(t, i));
}

static bool is_next(lua_State *L, int64_t i, int64_t n) {
  return i <= n && lua_isinteger(L, -2) && lua_tointeger(L, -2) == i;
}

static void read_in_order(lua_State *L, const char *name, int depth, Tensor *to, int64_t *at,
                          int64_t i);

static void read_values(lua_State *L, const char *name, int depth, Tensor *to, int64_t *at) {
  char got[80];
  Error e;
  const Shape *shape = &to->shape;
  if (depth == shape->dims) {
    if (lua_type(L, -1) != LUA_TNUMBER)
      raise_error(L, "%s: expected numbers, got %s", name, describe(L, -1, got, sizeof got));
    Number n = number_at(L, -1);
    if (!number_fits(n, to->dtype, &e)) raise_error(L, "%s: %s", name, e.text);
    tensor_put(to, (*at)++, n);
    return;
  }
  if (lua_type(L, -1) != LUA_TTABLE || (int64_t)lua_rawlen(L, -1) != shape->size[depth])
    raise_error(L, "%s: ragged table: expected %d elements at depth %d, got %s%d", name,
                (int)shape->size[depth], depth + 1,
                lua_type(L, -1) == LUA_TTABLE ? "" : "something else than a table, ",
                lua_type(L, -1) == LUA_TTABLE ? (int)lua_rawlen(L, -1) : 0);
  luaL_checkstack(L, 6, name);
  /* most lists have their items in order and nothing else: one walk sees both */
  int64_t i = 1, n = shape->size[depth];
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), i++) {
    if (!is_next(L, i, n)) {
      lua_pop(L, 2);
      read_in_order(L, name, depth, to, at, i);
      return;
    }
    read_values(L, name, depth + 1, to, at);
  }
}

/* From place i on, whatever Lua's order. */
static void read_in_order(lua_State *L, const char *name, int depth, Tensor *to, int64_t *at,
                          int64_t i) {
  for (; i <= to->shape.size[depth]; i++) {
    lua_rawgeti(L, -1, i);
    read_values(L, name, depth + 1, to, at);
    lua_pop(L, 1);
  }
  check_list(L, -1, name, NULL);
}

Var *tensor_from_lua(lua_State *L, int index, const char *name, Dtype dtype) {
  Shape shape;
  Error e;
  int64_t at = 0;
  index = lua_absindex(L, index);
  table_shape(L, index, name, &shape);
  Box *box = box_new(L);
  push_tensor(L, box, tensor_new(dtype, &shape, &e), name, &e);
  lua_pushvalue(L, index);
  read_values(L, name, 0, box->var->value, &at);
  lua_pop(L, 1);
  lua_replace(L, index);
  return box->var;
}

/* Are all numbers at the top, which may be nested, whole? With `written` they must be integers to
 * Lua too, which tells 2 from 2.0. */
static bool all_whole(lua_State *L, bool written, int depth) {
  if (lua_type(L, -1) == LUA_TNUMBER)
    return lua_isinteger(L, -1) || (!written && number_fits(number_at(L, -1), DTYPE_I64, NULL));
  if (lua_type(L, -1) != LUA_TTABLE || depth > MAX_DIMS || !lua_checkstack(L, 2)) return false;
  bool whole = true;
  int64_t n = (int64_t)lua_rawlen(L, -1);
  for (int64_t i = 1; i <= n && whole; i++) {
    lua_rawgeti(L, -1, i);
    whole = all_whole(L, written, depth + 1);
    lua_pop(L, 1);
  }
  return whole;
}

static bool is_whole(lua_State *L, int index, bool written) {
  lua_pushvalue(L, index);
  bool whole = all_whole(L, written, 0);
  lua_pop(L, 1);
  return whole;
}

bool is_number_like(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TNUMBER || lua_type(L, index) == LUA_TTABLE;
}

Var *check_tensor_as(lua_State *L, int index, const char *name, const char *arg, Dtype dtype) {
  if (!is_number_like(L, index)) return check_tensor(L, index, name, arg);
  if (!dtype_is_floating(dtype)) dtype = is_whole(L, index, true) ? DTYPE_I64 : dtype_default();
  return tensor_from_lua(L, index, name, dtype);
}

Var *check_tensor_like(lua_State *L, int index, const char *name, const char *arg) {
  return check_tensor_as(L, index, name, arg, dtype_default());
}

Var *check_places(lua_State *L, int index, const char *name, const char *arg) {
  if (!is_number_like(L, index)) return check_tensor(L, index, name, arg);
  char where[120];
  prefix(where, sizeof where, name, arg);
  return tensor_from_lua(L, index, where, is_whole(L, index, false) ? DTYPE_I64 : dtype_default());
}

/* ---- options of what makes tensors ---- */

static Dtype dtype_at(lua_State *L, int index, const char *name) {
  char got[80];
  Dtype dtype;
  if (lua_type(L, index) == LUA_TSTRING && dtype_named(lua_tostring(L, index), &dtype))
    return dtype;
  raise_error(L, "%s: dtype: expected " DTYPE_NAMES ", got %s", name,
              describe(L, index, got, sizeof got));
}

static void read_making(lua_State *L, int index, const char *name, Making *m) {
  static const char *const known[] = {"dtype", "generator", NULL};
  char got[80];
  const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  if (strcmp(key, known[0]) == 0) {
    m->dtype = dtype_at(L, -1, name);
  } else if (m->generator && strcmp(key, known[1]) == 0) {
    m->generator = check_generator(L, index, name);
  } else {
    Nearest nearest = {.given = key};
    for (int i = 0; known[i] && (i == 0 || m->generator); i++) nearest_offer(&nearest, known[i]);
    raise_error(L, "%s: unknown option %s%s%s%s; options: dtype%s%s", name,
                describe(L, -2, got, sizeof got), nearest.found ? " (did you mean \"" : "",
                nearest.found ? nearest.found : "", nearest.found ? "\"?)" : "",
                m->generator ? ", generator" : "",
                strcmp(key, "requires_grad") == 0 ? "; lt.param(x) wants a gradient" : "");
  }
}

/* Replaces the list of n items with names at an index, the stack's top, by a list and, behind it, a
 * table of the names. */
static void separate_names(lua_State *L, int index, int64_t n) {
  lua_createtable(L, (int)n, 0);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    int to = is_place(L, n) ? index + 1 : index + 2;
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, to);
  }
  lua_remove(L, index);
}

int check_making(lua_State *L, int first, const char *name, Making *m) {
  int top = lua_gettop(L);
  while (top >= first && lua_isnil(L, top)) top--;
  if (m->named && top >= first && lua_type(L, top) == LUA_TSTRING) {
    m->dtype = dtype_at(L, top, name);
    return top - 1;
  }
  if (top < first || lua_type(L, top) != LUA_TTABLE) return top;
  int64_t n = list_length(L, top);
  if (n > 0 && top == 1 && has_names(L, top)) { /* zeros{2, 3, dtype = "i64"} */
    lua_settop(L, top);                         /* without the nils behind it */
    separate_names(L, top, n);
    top++;
  } else if (n > 0 || (n == 0 && top == 1)) { /* zeros{} is a scalar */
    return top;
  }
  for (lua_pushnil(L); lua_next(L, top); lua_pop(L, 1)) read_making(L, top, name, m);
  return top - 1;
}

Generator *check_generator(lua_State *L, int index, const char *name) {
  if (lua_type(L, index) != LUA_TTABLE || lua_getfield(L, index, "generator") == LUA_TNIL)
    return random_default();
  Generator *g = luaL_testudata(L, -1, META_GENERATOR);
  char got[80];
  if (!g)
    raise_error(L, "%s: generator: expected one made by lt.generator(seed), got %s", name,
                describe(L, -1, got, sizeof got));
  lua_pop(L, 1); /* the table still holds it */
  return g;
}

/* ---- checks for the library's Lua ---- */

/* nearest(word, list) -> the word of the list that is most like it, or nil where none is near */
static int l_nearest(lua_State *L) {
  Nearest nearest = {.given = luaL_checkstring(L, 1)};
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_Integer i = 1; lua_geti(L, 2, i) == LUA_TSTRING; i++) {
    nearest_offer(&nearest, lua_tostring(L, -1)); /* the list keeps the word alive */
    lua_pop(L, 1);
  }
  lua_pushstring(L, nearest.found);
  return 1;
}

/* check_tensor(value, name) -> value; raises "name: expected a tensor, got ..." or "name: closed
 * tensor" */
static int l_check_tensor(lua_State *L) {
  check_tensor(L, 1, luaL_checkstring(L, 2), NULL);
  lua_settop(L, 1);
  return 1;
}

/* check_list(value, name) -> value; raises "name: expected a list, got one with ..." where a table
 * has keys that are no places */
static int l_check_list(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  if (lua_type(L, 1) == LUA_TTABLE) check_list(L, 1, name, NULL);
  lua_settop(L, 1);
  return 1;
}

/* tensor_like(value, name, ...) -> value, or the tensor that is made of a number or a list of
 * numbers, of the type that the further values ask for as inputs of an op do; raises as an op does
 * about its input */
static int l_tensor_like(lua_State *L) {
  bool whole = false;
  Dtype dtype = dtype_default();
  for (int i = lua_gettop(L); i > 2; i--) {
    if (!is_tensor(L, i)) continue;
    Dtype other = check_tensor(L, i, luaL_checkstring(L, 2), NULL)->value->dtype;
    whole = !dtype_is_floating(other);
    if (whole) continue;
    dtype = other;
    break;
  }
  check_tensor_as(L, 1, luaL_checkstring(L, 2), NULL, whole ? DTYPE_I64 : dtype);
  lua_settop(L, 1);
  return 1;
}

/* Is the value at an index an open float tensor of so many axes, the last of the size at another?
 */
static bool fits(lua_State *L, int index, lua_Integer least, lua_Integer most, int last) {
  const Box *box = box_at(L, index);
  if (!box || !box->var || !dtype_is_floating(box->var->value->dtype)) return false;
  const Shape *s = &box->var->value->shape;
  if (s->dims < least || s->dims > most) return false;
  return lua_isnoneornil(L, last) ||
         (s->dims > 0 && s->size[s->dims - 1] == lua_tointeger(L, last));
}

/* fits(value, least, most [, last]) -> is it such a tensor? */
static int l_fits(lua_State *L) {
  lua_pushboolean(L, fits(L, 1, lua_tointeger(L, 2), lua_tointeger(L, 3), 4));
  return 1;
}

/* check(layer, x, {least, most, ...} [, last]) -> x where it fits; else refuse(...) raises. Layers
 * ask at every call, so nothing is made for it. */
static int l_check_input(lua_State *L) {
  lua_settop(L, 4);
  lua_rawgeti(L, 3, 1);
  lua_rawgeti(L, 3, 2);
  bool fit = fits(L, 2, lua_tointeger(L, 5), lua_tointeger(L, 6), 4);
  lua_settop(L, 4);
  if (!fit) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 4, 0);
    return 0;
  }
  lua_settop(L, 2);
  return 1;
}

/* input_check(refuse) -> check */
static int l_input_check(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushcclosure(L, l_check_input, 1);
  return 1;
}

static const luaL_Reg functions[] = {{"nearest", l_nearest},
                                     {"check_tensor", l_check_tensor},
                                     {"check_list", l_check_list},
                                     {"tensor_like", l_tensor_like},
                                     {"fits", l_fits},
                                     {"input_check", l_input_check},
                                     {NULL, NULL}};

void open_check(lua_State *L) { luaL_setfuncs(L, functions, 0); }
