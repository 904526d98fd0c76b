/* Floor 5: the profile, as latent.profile reads it, and the switches of what it may tell about. */
#include "base/shortcuts.h"
#include "lua/check.h"
#include "graph/profile.h"

#include <string.h>

/* profile_start() */
static int l_profile_start(lua_State *L) {
  (void)L;
  profile_start();
  return 0;
}

static int l_profile_running(lua_State *L) {
  lua_pushboolean(L, profile_running);
  return 1;
}

static void set_names(lua_State *L, const char *name, int kind) {
  static const char *const kinds[] = {"forward", "backward", "other"};
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, kinds[kind]);
  lua_setfield(L, -2, "kind");
}

static void set_integer(lua_State *L, const char *key, int64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, key);
}

/* profile_stop() -> a list of {name, kind, calls, seconds, flops}; kind is "forward", "backward" or
 * "other" */
static int l_profile_stop(lua_State *L) {
  int count;
  const ProfileRow *row = profile_stop(&count);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++, row++) {
    lua_createtable(L, 0, 5);
    set_names(L, row->name, (int)row->kind);
    set_integer(L, "calls", (int64_t)row->calls);
    lua_pushnumber(L, row->seconds);
    lua_setfield(L, -2, "seconds");
    lua_pushnumber(L, row->flops);
    lua_setfield(L, -2, "flops");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* regions_start(): from here on parallel regions run on one thread, chunk by chunk, each timed */
static int l_regions_start(lua_State *L) {
  (void)L;
  regions_start();
  return 0;
}

/* regions_stop() -> a list of {chunks, seconds} in their order, with `name` and `kind` of the op
 * where a profile ran; and the seconds of all chunks, one float after the other in a string:
 * nothing that Lua's collector would have to walk through in the next iteration */
static int l_regions_stop(lua_State *L) {
  Regions r = regions_stop();
  if (!r.complete) raise_error(L, "regions_stop: out of memory");
  size_t chunks = 0;
  lua_createtable(L, (int)r.count, 0);
  for (size_t i = 0; i < r.count; i++) {
    const Region *region = &r.region[i];
    lua_createtable(L, 0, 4);
    set_integer(L, "chunks", region->chunks);
    lua_pushnumber(L, region->seconds);
    lua_setfield(L, -2, "seconds");
    if (region->name) set_names(L, region->name, region->kind);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
    chunks += (size_t)region->chunks;
  }
  lua_pushlstring(L, (const char *)r.seconds, chunks * sizeof *r.seconds);
  return 2;
}

/* shortcuts() -> the names of the kernels' special cases */
static int l_shortcuts(lua_State *L) {
  lua_createtable(L, SHORTCUTS, 0);
  for (int i = 0; i < SHORTCUTS; i++) {
    lua_pushstring(L, shortcut_names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* set_shortcut(name, on): whether that special case is taken */
static int l_set_shortcut(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (int i = 0; i < SHORTCUTS; i++) {
    if (strcmp(name, shortcut_names[i]) != 0) continue;
    unsigned bit = 1u << i;
    shortcuts_off = lua_toboolean(L, 2) ? shortcuts_off & ~bit : shortcuts_off | bit;
    return 0;
  }
  return raise_error(L, "set_shortcut: no special case is called %s", name);
}

static const luaL_Reg functions[] = {
    {"profile_start", l_profile_start}, {"profile_running", l_profile_running},
    {"profile_stop", l_profile_stop},   {"regions_start", l_regions_start},
    {"regions_stop", l_regions_stop},   {"shortcuts", l_shortcuts},
    {"set_shortcut", l_set_shortcut},   {NULL, NULL}};

void open_profile(lua_State *L) { luaL_setfuncs(L, functions, 0); }
