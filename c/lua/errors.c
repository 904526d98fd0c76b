/* Floor 5: errors, raised at the user's line under the name of the function called there; and how a
 * value reads in them. */
#include "lua/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The folder of the library's Lua files, as their chunk names give it, and a function that puts the
 * name by which the user knows a function into a message; set by the Lua face. */
static const char home_key, rename_key;

static bool is_user_frame(lua_State *L, lua_Debug *ar, const char *home) {
  lua_getinfo(L, "Sl", ar);
  if (ar->currentline < 0) return false;
  return !home || strncmp(ar->source, home, strlen(home)) != 0;
}

/* The level of the first frame outside the library, or -1. */
static int user_level(lua_State *L, lua_Debug *ar) {
  int found = -1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
  const char *home = lua_tostring(L, -1);
  for (int level = 0; found < 0 && lua_getstack(L, level, ar); level++)
    if (is_user_frame(L, ar, home)) found = level;
  lua_pop(L, 1);
  return found;
}

bool user_called(lua_State *L) {
  lua_Debug ar;
  int level = 1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
  while (lua_getstack(L, level, &ar) && lua_getinfo(L, "S", &ar) && strcmp(ar.what, "C") == 0)
    level++; /* pcall(x.transpose, x) */
  bool called = lua_getstack(L, level, &ar) && is_user_frame(L, &ar, lua_tostring(L, -1));
  lua_pop(L, 1);
  return called;
}

void user_place(lua_State *L, char *text, size_t size) {
  lua_Debug ar;
  text[0] = 0;
  if (user_level(L, &ar) >= 0) snprintf(text, size, "%s:%d", ar.short_src, ar.currentline);
}

/* Puts the name of the function that runs at a level into the message at the top; false where that
 * changes nothing. */
static bool rename_top(lua_State *L, lua_Debug *called) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &rename_key); /* nil while the library is being loaded */
  lua_getinfo(L, "f", called);
  lua_pushvalue(L, -3);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    return false;
  }
  bool changed = !lua_rawequal(L, -1, -2);
  lua_replace(L, -2);
  return changed;
}

/* Raises the message at the top at the user's line, under the name of the function called there: an
 * op inside `lt.std` speaks of std, also where a C function such as pcall calls it for the user. */
static int raise_top(lua_State *L) {
  lua_Debug user, called;
  char place[128] = "";
  int level = user_level(L, &user);
  if (level >= 0) snprintf(place, sizeof place, "%s:%d: ", user.short_src, user.currentline);
  while (level > 0 && lua_getstack(L, --level, &called)) {
    lua_getinfo(L, "Sn", &called);
    bool event = strcmp(called.namewhat, "metamethod") == 0; /* x[i] = y calls by no name */
    if (rename_top(L, &called) || strcmp(called.what, "C") != 0 || event) break;
  }
  lua_pushstring(L, place);
  lua_pushvalue(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

int raise_error(lua_State *L, const char *format, ...) {
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  luaL_checkstack(L, 8, NULL);
  lua_pushstring(L, message);
  raise_top(L);
  __builtin_unreachable();
}

/* raise(message): of any length, as the list of what does not fit into a model is */
static int l_raise(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  return raise_top(L);
}

/* set_home(folder, rename) */
static int l_set_home(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &rename_key);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
  return 0;
}

/* "a module", as the metatable calls it, or "a table" */
static void describe_object(lua_State *L, int index, char *text, size_t size) {
  const char *name = luaL_typename(L, index);
  int field = luaL_getmetafield(L, index, "__name");
  if (field == LUA_TSTRING) name = lua_tostring(L, -1);
  snprintf(text, size, "%s %s", strchr("AEIOUaeiou", name[0]) ? "an" : "a", name);
  if (field != LUA_TNIL) lua_pop(L, 1);
}

const char *describe(lua_State *L, int index, char *text, size_t size) {
  char shape[SHAPE_TEXT];
  Box *box;
  switch (lua_type(L, index)) {
  case LUA_TNUMBER: snprintf(text, size, "%.14g", lua_tonumber(L, index)); break;
  case LUA_TBOOLEAN: snprintf(text, size, "%s", lua_toboolean(L, index) ? "true" : "false"); break;
  case LUA_TSTRING: snprintf(text, size, "\"%.60s\"", lua_tostring(L, index)); break;
  case LUA_TNONE:
  case LUA_TNIL: snprintf(text, size, "nil"); break;
  default:
    box = box_at(L, index);
    if (!box) describe_object(L, index, text, size);
    else if (!box->var) snprintf(text, size, "a closed tensor");
    else snprintf(text, size, "a tensor %s", shape_text(&box->var->value->shape, shape));
  }
  return text;
}

static const luaL_Reg functions[] = {{"raise", l_raise}, {"set_home", l_set_home}, {NULL, NULL}};

void open_errors(lua_State *L) { luaL_setfuncs(L, functions, 0); }
