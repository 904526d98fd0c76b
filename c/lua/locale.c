/* Floor 5: work that the process's locale must not reach. A script, a prompt or a host program may
 * set one, and Lua follows it: the decimal point of "%g" and tonumber, the order of "<" between
 * strings, the classes of patterns. */
#include "lua/check.h"

#include <locale.h>

#define META_LOCALE META_PREFIX "Locale"

static locale_t plain; /* C's own, made once a process */

static int restore(lua_State *L) {
  locale_t *former = luaL_checkudata(L, 1, META_LOCALE);
  if (*former) uselocale(*former);
  *former = (locale_t)0;
  return 0;
}

/* plainly(f, ...) -> f's results; while f runs, this thread has the locale "C". The former one is
 * back after an error too, which goes its way untouched. f must not yield. */
static int l_plainly(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  locale_t *former = lua_newuserdatauv(L, sizeof *former, 0);
  *former = (locale_t)0;
  luaL_setmetatable(L, META_LOCALE);
  lua_insert(L, 1);
  lua_toclose(L, 1);
  *former = uselocale(plain);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

static const luaL_Reg functions[] = {{"plainly", l_plainly}, {NULL, NULL}};

void open_locale(lua_State *L) {
  if (!plain) plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!plain) luaL_error(L, "latent: not enough memory");
  luaL_newmetatable(L, META_LOCALE);
  lua_pushcfunction(L, restore);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
