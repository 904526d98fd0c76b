/* Floor 5: results that stand for a part of a tensor, or for its elements in another order, and
 * share no memory with it. In a library with strides they would: there x:transpose():fill_(1)
 * changes x. Here it would change what nobody sees, so that such a copy is marked where the user's
 * own line asked for it, and graph_change refuses it. What the library's Lua files take apart for
 * their own ends is not marked. */
#include "lua/check.h"

#include <string.h>

/* The names are constants, as the mark lives as long as the elements. */
static const char *const names[] = {"transpose", "diagonal", "broadcast_to",
                                    "split",     "chunk",    NULL};

void mark_part(lua_State *L, const Tensor *part, const Tensor *whole, const char *by) {
  if (part->storage != whole->storage && user_called(L)) part->storage->part_by = by;
}

/* A value that waits is settled: it has no elements to mark before. */
static void mark_at(lua_State *L, int index, const Tensor *whole, const char *by) {
  if (is_tensor(L, index)) mark_part(L, check_tensor(L, index, by, NULL)->value, whole, by);
}

void mark_parts(lua_State *L, int index, const Tensor *whole, const char *by) {
  mark_at(L, index, whole, by);
  if (lua_type(L, index) != LUA_TTABLE) return;
  for (int i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; i++) {
    mark_at(L, -1, whole, by);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* The function of upvalue 1, whose result is part of its first argument. */
static int l_call(lua_State *L) {
  int count = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  if (count > 0) lua_pushvalue(L, 2);
  else lua_pushnil(L);
  lua_insert(L, 1);
  lua_call(L, count, 1);
  const char *by = lua_touserdata(L, lua_upvalueindex(2));
  if (is_tensor(L, 1)) mark_parts(L, 2, check_tensor(L, 1, by, NULL)->value, by);
  return 1;
}

/* gives_part(name, f) -> f, with its results marked */
static int l_gives_part(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  int i = 0;
  while (names[i] && strcmp(names[i], name) != 0) i++;
  if (!names[i]) return raise_error(L, "gives_part: no function is called %s", name);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushlightuserdata(L, (void *)names[i]);
  lua_pushcclosure(L, l_call, 2);
  return 1;
}

/* is_part(x): is it marked? */
static int l_is_part(lua_State *L) {
  lua_pushboolean(L, check_waiting(L, 1, "is_part", NULL)->value->storage->part_by != NULL);
  return 1;
}

/* own(x) -> x, no part of anything from now on: a gradient, a buffer, a batch. The mark may go, as
 * marked elements are a copy that nobody shares but views of it. */
static int l_own(lua_State *L) {
  check_waiting(L, 1, "own", NULL)->value->storage->part_by = NULL;
  lua_settop(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"gives_part", l_gives_part}, {"is_part", l_is_part}, {"own", l_own}, {NULL, NULL}};

void open_parts(lua_State *L) { luaL_setfuncs(L, functions, 0); }
