/* Floor 5: functions of the library's Lua files behind a check of how they are called. Lua itself
 * drops further arguments and lets a method be called with a dot; both would be noticed far inside
 * of the library, or not at all. */
#include "lua/check.h"

#include <string.h>

enum { DEEPEST = 16 }; /* classes below one another: a table may be its own class */

static int finish(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  return lua_gettop(L);
}

/* Calls the function of upvalue 1 with all arguments; it may yield. */
static int pass_on(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, finish);
  return finish(L, LUA_OK, 0);
}

/* Is the first argument of the class in upvalue 2, or of one below it? What a table's function
 * gives for its fields, a wrapper's of the user's own, nobody can tell. */
static bool has_class(lua_State *L) {
  bool found = false;
  int top = lua_gettop(L);
  if (top == 0) return false;
  lua_pushvalue(L, 1);
  for (int i = 0; i < DEEPEST && lua_getmetatable(L, -1); i++) {
    found = lua_rawequal(L, -1, lua_upvalueindex(2));
    if (found) break; /* as a rule at once: a method's check has to cost nothing */
    lua_pushliteral(L, "__index");
    int kind = lua_rawget(L, -2);
    found = kind == LUA_TFUNCTION ? lua_istable(L, 1) : lua_rawequal(L, -1, lua_upvalueindex(2));
    if (found || kind != LUA_TTABLE) break;
    lua_replace(L, top + 1); /* the stack has room for a few values only */
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return found;
}

static int refuse(lua_State *L, const char *name, const char *wanted, const char *variable) {
  char got[80];
  return raise_error(L, "%s: expected %s %s, got %s; write %s:%s(...), with a colon", name,
                     strchr("aeiou", wanted[0]) ? "an" : "a", wanted,
                     describe(L, 1, got, sizeof got), variable, name);
}

void *check_self(lua_State *L, const char *meta, const char *name, const char *wanted,
                 const char *variable) {
  void *self = luaL_testudata(L, 1, meta);
  if (!self) refuse(L, name, wanted, variable);
  return self;
}

static int l_method(lua_State *L) {
  if (has_class(L)) return pass_on(L);
  lua_settop(L, 1);
  lua_getfield(L, lua_upvalueindex(2), "__name");
  return refuse(L, lua_tostring(L, lua_upvalueindex(3)), lua_tostring(L, -1),
                lua_tostring(L, lua_upvalueindex(4)));
}

/* Layers are made by `init` and run by `forward`, which is called by the layer itself. */
static bool is_guarded(const char *name) {
  return name[0] != '_' && strcmp(name, "init") != 0 && strcmp(name, "forward") != 0;
}

/* methods_of(class, variable): each method of the class raises
 * "step: expected an optimiser, got nil; write opt:step(...), with a colon" where it is called on
 * anything else; the words are the class's `__name` and the variable. */
static int l_methods_of(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  for (lua_pushnil(L); lua_next(L, 1); lua_settop(L, 3)) {
    if (lua_type(L, 3) != LUA_TSTRING || !lua_isfunction(L, 4)) continue;
    if (!is_guarded(lua_tostring(L, 3))) continue;
    lua_pushvalue(L, 3);
    lua_insert(L, 4);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, l_method, 4);
    lua_rawset(L, 1); /* a field that is there: the walk goes on */
  }
  return 0;
}

static int l_counted(lua_State *L) {
  char got[80];
  int most = (int)lua_tointeger(L, lua_upvalueindex(2));
  for (int i = most + 1; i <= lua_gettop(L); i++)
    if (!lua_isnil(L, i))
      raise_error(L, "%s: expected at most %d argument%s, got %s as argument %d; %s",
                  lua_tostring(L, lua_upvalueindex(3)), most, most == 1 ? "" : "s",
                  describe(L, i, got, sizeof got), i, lua_tostring(L, lua_upvalueindex(4)));
  return pass_on(L);
}

/* at_most(f, n, name, advice) -> f, which raises where it gets more than n arguments */
static int l_at_most(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checkinteger(L, 2);
  luaL_checkstring(L, 3);
  luaL_checkstring(L, 4);
  lua_settop(L, 4);
  lua_pushcclosure(L, l_counted, 4);
  return 1;
}

static const luaL_Reg functions[] = {
    {"methods_of", l_methods_of}, {"at_most", l_at_most}, {NULL, NULL}};

void open_calls(lua_State *L) { luaL_setfuncs(L, functions, 0); }
