/* Floor 5: backward, no_grad, and the trap for gradients that are not finite. */
#include "lua/check.h"
#include "lua/graph.h"

static lua_State *host;

bool graph_call_host(lua_CFunction f, void *what, bool record, Error *e) {
  lua_State *L = host;
  if (!lua_checkstack(L, 8)) return error_set(e, "stack overflow");
  bool recording = graph_recording();
  graph_set_recording(record);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, what);
  int status = lua_pcall(L, 1, 0, 0);
  graph_set_recording(recording);
  if (status == LUA_OK) return true;
  const char *text = lua_tostring(L, -1);
  error_set(e, "%s", text ? text : "error object is not a string");
  lua_pop(L, 1);
  return false;
}

/* x:backward([gradient]) */
static int l_backward(lua_State *L) {
  Var *v = check_tensor(L, 1, "backward", NULL);
  Var *seed = lua_isnoneornil(L, 2) ? NULL : check_tensor(L, 2, "backward", "gradient");
  lua_State *outer = host;
  Error e;
  host = L;
  bool ok = graph_backward(v, seed ? seed->value : NULL, &e);
  host = outer;
  if (!ok) raise_error(L, "backward: %s", e.text);
  if (!outer) box_backward_done(L);
  return 0;
}

bool graph_run_in(lua_State *L, Node *n, const Tensor *dy, const bool *wanted, Tensor **dx,
                  Error *e) {
  lua_State *outer = host;
  host = L;
  bool ok = node_gradients(n, dy, wanted, dx, e);
  host = outer;
  return ok;
}

/* no_grad(f, ...): f's results, with nothing recorded meanwhile */
static int l_no_grad(lua_State *L) {
  char got[80];
  if (lua_type(L, 1) != LUA_TFUNCTION)
    raise_error(L, "no_grad: expected a function, got %s", describe(L, 1, got, sizeof got));
  bool before = graph_recording();
  graph_set_recording(false);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  graph_set_recording(before);
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L);
}

static int l_recording(lua_State *L) {
  lua_pushboolean(L, graph_recording());
  return 1;
}

static lua_State *traced; /* the state whose calls make nodes while the trap is on */

static void where(char *text, size_t size) { user_place(traced, text, size); }

/* check_finite(on): makes backward fail at the first gradient that is not finite */
static int l_check_finite(lua_State *L) {
  char got[80];
  if (lua_type(L, 1) != LUA_TBOOLEAN)
    raise_error(L, "check_finite: expected true or false, got %s", describe(L, 1, got, sizeof got));
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  traced = lua_tothread(L, -1);
  graph_trap_nonfinite(lua_toboolean(L, 1), where);
  return 0;
}

void graph_trace(lua_State *L) {
  if (graph_trapping()) traced = L;
}

static const luaL_Reg functions[] = {{"no_grad", l_no_grad},
                                     {"is_recording", l_recording},
                                     {"check_finite", l_check_finite},
                                     {NULL, NULL}};

void open_graph(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "methods");
  lua_pushcfunction(L, l_backward);
  lua_setfield(L, -2, "backward");
  lua_pop(L, 1);
}
