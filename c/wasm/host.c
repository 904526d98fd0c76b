/* Floor 6: Lua and the core as WebAssembly exports them, for web/host.js. A call is put together on
 * one stack: function and arguments are pushed, `host_call` leaves the results in their place, and
 * the other functions read them there. Nothing here raises: what could is run protected. */
#include "wasm/host.h"

#include "lua/check.h"
#include "base/signals.h"

#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum { HOOK_INSTRUCTIONS = 1000 };

int luaopen_latent_core(lua_State *L);

static lua_State *L;

/* ---- memory and errors ---- */

EXPORT(host_alloc) void *host_alloc(size_t bytes) { return malloc(bytes); }
EXPORT(host_free) void host_free(void *p) { free(p); }

/* The body of a protected call, called back from JavaScript: see lua_host.h. */
EXPORT(host_protected)
void host_protected(void (*f)(lua_State *, void *), lua_State *state, void *argument) {
  f(state, argument);
}

/* Calls f with the topmost values; false where it raised, which here only memory can make it do. */
static bool attempt(lua_CFunction f, int arguments, int results) {
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  lua_pushcfunction(L, f);
  lua_insert(L, -arguments - 1);
  if (lua_pcall(L, arguments, results, 0) == LUA_OK) return true;
  lua_pop(L, 1);
  return false;
}

/* ---- beginning ---- */

static const char traceback_key = 0; /* its address is the key in the registry */

/* Pops where an error was, or false, into the registry. */
static void set_traceback(lua_State *state) {
  lua_rawsetp(state, LUA_REGISTRYINDEX, &traceback_key);
}

/* As the program lua5.4 begins. */
static int open_all(lua_State *state) {
  luaL_openlibs(state);
  luaL_getsubtable(state, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(state, luaopen_latent_core);
  lua_setfield(state, -2, "latent.core");
  lua_gc(state, LUA_GCGEN, 0, 0);
  lua_pushboolean(state, false);
  set_traceback(state);
  return 0;
}

EXPORT(host_start) bool host_start(void) {
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  L = luaL_newstate();
  return L && attempt(open_all, 0, 0);
}

/* ---- arguments: each is pushed; false where memory is short ---- */

static struct {
  const void *data;
  size_t size;
  Dtype dtype;
  int reference;
} pushed;

EXPORT(host_push_nil) bool host_push_nil(void) {
  if (!lua_checkstack(L, 1)) return false;
  lua_pushnil(L);
  return true;
}

EXPORT(host_push_boolean) bool host_push_boolean(bool x) {
  if (!lua_checkstack(L, 1)) return false;
  lua_pushboolean(L, x);
  return true;
}

EXPORT(host_push_number) bool host_push_number(double x) {
  if (!lua_checkstack(L, 1)) return false;
  lua_pushnumber(L, x);
  return true;
}

EXPORT(host_push_integer) bool host_push_integer(int64_t x) {
  if (!lua_checkstack(L, 1)) return false;
  lua_pushinteger(L, x);
  return true;
}

static int push_string(lua_State *state) {
  lua_pushlstring(state, pushed.data, pushed.size);
  return 1;
}

EXPORT(host_push_string) bool host_push_string(const char *text, size_t size) {
  pushed.data = text, pushed.size = size;
  return attempt(push_string, 0, 1);
}

static int push_numbers(lua_State *state) {
  Error e;
  Box *box = box_new(state);
  Tensor *t = tensor_new(pushed.dtype, &(Shape){1, {(int64_t)pushed.size}}, &e);
  if (t) memcpy(t->data, pushed.data, pushed.size * dtype_size(pushed.dtype));
  return push_tensor(state, box, t, "tensor", &e);
}

/* A tensor of one axis with so many elements, copied from data. */
EXPORT(host_push_tensor) bool host_push_tensor(int dtype, const void *data, size_t count) {
  pushed.dtype = (Dtype)dtype, pushed.data = data, pushed.size = count;
  return attempt(push_numbers, 0, 1);
}

static int push_table(lua_State *state) {
  lua_newtable(state);
  return 1;
}

EXPORT(host_push_table) bool host_push_table(void) { return attempt(push_table, 0, 1); }

static int set_field(lua_State *state) {
  lua_rawset(state, 1);
  return 1;
}

/* table, key, value -> table */
EXPORT(host_set) bool host_set(void) { return attempt(set_field, 3, 1); }

static int push_reference(lua_State *state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, pushed.reference);
  return 1;
}

/* What host_keep has kept. */
EXPORT(host_push_kept) bool host_push_kept(int reference) {
  pushed.reference = reference;
  return attempt(push_reference, 0, 1);
}

static int load(lua_State *state) {
  size_t size;
  const char *code = lua_tolstring(state, 1, &size);
  if (luaL_loadbuffer(state, code, size, lua_tostring(state, 2)) != LUA_OK) return lua_error(state);
  return 1;
}

/* Error messages become strings; where the error was stays in the registry. */
static int on_error(lua_State *state) {
  lua_sethook(state, NULL, 0, 0);
  luaL_tolstring(state, 1, NULL);
  luaL_traceback(state, state, NULL, 1);
  set_traceback(state);
  return 1;
}

/* code, name -> the function that they make, true; or a message, false */
EXPORT(host_load) bool host_load(void) {
  lua_pushcfunction(L, load);
  lua_insert(L, -3);
  return lua_pcall(L, 2, 1, 0) == LUA_OK;
}

/* ---- calls ---- */

/* Once the user wants an end each instruction raises: a pcall in a loop must not go on. */
static void hook(lua_State *state, lua_Debug *ar) {
  (void)ar;
  if (!signals_interrupting()) return;
  lua_sethook(state, hook, LUA_MASKCOUNT, 1);
  raise_error(state, "interrupted");
}

/* function and `arguments` arguments -> results, true; or a message, false. What is below them on
 * the stack stays. Coroutines that the call makes inherit the hook. */
EXPORT(host_call) bool host_call(int arguments, bool interruptible) {
  int base = lua_gettop(L) - arguments;
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  lua_pushboolean(L, false);
  set_traceback(L); /* over what is there: takes no memory */
  lua_pushcfunction(L, on_error);
  lua_insert(L, base);
  bool before = signals_set_raising(interruptible);
  host_ask(interruptible);
  if (interruptible) lua_sethook(L, hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
  bool passed = lua_pcall(L, arguments, LUA_MULTRET, base) == LUA_OK;
  lua_sethook(L, NULL, 0, 0);
  host_ask(false);
  signals_set_raising(before);
  lua_remove(L, base);
  fflush(NULL);
  return passed;
}

/* Pushes where the error of the latest call was, or false. */
EXPORT(host_push_traceback) bool host_push_traceback(void) {
  if (!lua_checkstack(L, 1)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key);
  return true;
}

/* ---- results, by their place on the stack ---- */

enum { KIND_NIL, KIND_BOOLEAN, KIND_NUMBER, KIND_INTEGER, KIND_STRING, KIND_TABLE, KIND_TENSOR };
enum { KIND_OTHER = 7 };

EXPORT(host_top) int host_top(void) { return lua_gettop(L); }
EXPORT(host_pop) void host_pop(int count) { lua_pop(L, count); }

EXPORT(host_kind) int host_kind(int index) {
  switch (lua_type(L, index)) {
  case LUA_TNIL: return KIND_NIL;
  case LUA_TBOOLEAN: return KIND_BOOLEAN;
  case LUA_TNUMBER: return lua_isinteger(L, index) ? KIND_INTEGER : KIND_NUMBER;
  case LUA_TSTRING: return KIND_STRING;
  case LUA_TTABLE: return KIND_TABLE;
  default: return is_tensor(L, index) ? KIND_TENSOR : KIND_OTHER;
  }
}

EXPORT(host_boolean) bool host_boolean(int index) { return lua_toboolean(L, index); }
EXPORT(host_number) double host_number(int index) { return lua_tonumber(L, index); }
EXPORT(host_integer) int64_t host_integer(int index) { return lua_tointeger(L, index); }
EXPORT(host_string) const char *host_string(int index) { return lua_tostring(L, index); }
EXPORT(host_size) size_t host_size(int index) { return lua_rawlen(L, index); }

/* key -> the next key of the table at an index and its value, true; or nothing, false */
EXPORT(host_next) bool host_next(int index) {
  return lua_checkstack(L, 2) && lua_next(L, index) != 0;
}

/* {dtype, dims, address of the elements, sizes...}, until the next call */
EXPORT(host_tensor) const int64_t *host_tensor(int index) {
  static int64_t about[3 + MAX_DIMS];
  const Box *box = lua_touserdata(L, index);
  if (!box->var) return NULL;
  const Tensor *t = box->var->value;
  about[0] = t->dtype;
  about[1] = t->shape.dims;
  about[2] = (intptr_t)t->data;
  memcpy(about + 3, t->shape.size, sizeof t->shape.size);
  return about;
}

static int keep(lua_State *state) {
  lua_pushinteger(state, luaL_ref(state, LUA_REGISTRYINDEX));
  return 1;
}

/* Keeps the value at an index until host_release; its number, or 0 where memory is short. */
EXPORT(host_keep) int host_keep(int index) {
  if (!lua_checkstack(L, 1)) return 0;
  lua_pushvalue(L, index);
  if (!attempt(keep, 1, 1)) return 0;
  int reference = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return reference;
}

EXPORT(host_release) void host_release(int reference) {
  luaL_unref(L, LUA_REGISTRYINDEX, reference);
}
