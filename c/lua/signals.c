/* Floor 5: signals as Lua sees them: the flag, and functions that Ctrl-C interrupts wherever they
 * are, in Lua code, in coroutines or in the core. */
#include "lua/check.h"
#include "base/signals.h"

/* The states in which Lua code runs now, the innermost first: that of `interruptible`, and the
 * coroutines resumed inside it. Each coroutine has a hook of its own. */
typedef struct Running {
  lua_State *L;
  struct Running *outer;
} Running;

static Running *volatile running;

/* Until the signal is cleared, every instruction raises: a pcall in a loop must not go on. */
static void hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (signals_interrupting()) raise_error(L, "interrupted");
  lua_sethook(L, NULL, 0, 0);
}

/* At instructions only, not at calls: message handlers that are C functions run undisturbed. */
static void arm(lua_State *L) { lua_sethook(L, hook, LUA_MASKCOUNT, 1); }

/* Runs in the signal handler; lua_sethook is made for that. */
static void arm_running(void) {
  for (Running *r = running; r; r = r->outer) arm(r->L);
}

static void enter(Running *r, lua_State *L) {
  *r = (Running){L, running};
  running = r;
  if (signals_interrupting()) arm(L); /* it came before the list had this one */
}

static void leave(const Running *r) { running = r->outer; }

/* trap(name, ...): from now on these signals ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2") only
 * set a flag, which pending() tells and clear_signal() clears. A second one that comes more than
 * 0.3 s after a first that was not cleared kills the process as ever (of Ctrl-C within
 * interruptible, the third). Blocking reads return. Traps nest, up to eight. */
static int l_trap(lua_State *L) {
  int count = lua_gettop(L), numbers[17] = {0};
  char got[80];
  if (count < 1 || count > 16)
    raise_error(L, "trap: expected 1 to 16 names of signals, got %d", count);
  for (int i = 1; i <= count; i++) {
    const char *name = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : "";
    numbers[i - 1] = signal_number(name);
    if (!numbers[i - 1])
      raise_error(L, "trap: expected INT, TERM, HUP, QUIT, USR1 or USR2, got %s",
                  describe(L, i, got, sizeof got));
  }
  if (!signals_trap(numbers))
    raise_error(L, "trap: nested more than %d deep (untrap is missing)", SIGNAL_LEVELS);
  return 0;
}

/* untrap(): undoes the latest trap. A signal that is still pending then goes to the former handler;
 * who served it calls clear_signal() first. */
static int l_untrap(lua_State *L) {
  (void)L;
  signals_untrap();
  return 0;
}

/* pending() -> "INT", ... or nil */
static int l_pending(lua_State *L) {
  lua_pushstring(L, signal_name(signals_pending()));
  return 1;
}

static int l_clear(lua_State *L) {
  (void)L;
  signals_clear();
  return 0;
}

/* raise_signal(name): sends a signal to this process */
static int l_raise_signal(lua_State *L) {
  char got[80];
  int number = lua_type(L, 1) == LUA_TSTRING ? signal_number(lua_tostring(L, 1)) : 0;
  if (!number)
    raise_error(L, "raise_signal: expected the name of a signal, got %s",
                describe(L, 1, got, sizeof got));
  signals_send(number);
  return 0;
}

/* ---- interruption ---- */

/* The message handler must itself run without the hook. */
static int on_error(lua_State *L) {
  lua_sethook(L, NULL, 0, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* interruptible(f, handler, ...) -> as xpcall. While f runs, a trapped signal makes Lua code, in
 * coroutines resumed by resume or wrap below too, and the core's computations raise "interrupted".
 * Where f traps signals itself, it sees the flag instead. The signal stays pending: the caller
 * clears it. */
static int l_interruptible(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, on_error, 1);
  lua_replace(L, 2);
  lua_pushvalue(L, 2);
  lua_insert(L, 1); /* message handler, f, message handler, ... */
  lua_remove(L, 3);
  signals_on_interrupt(arm_running);
  int depth = signals_depth();
  Running self;
  bool before = signals_set_raising(true);
  enter(&self, L);
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
  leave(&self);
  while (signals_depth() > depth) signals_untrap(); /* what an error left behind */
  signals_set_raising(before);
  lua_sethook(L, NULL, 0, 0);
  lua_pushboolean(L, status == LUA_OK);
  lua_replace(L, 1);
  return lua_gettop(L);
}

/* Resumes with the arguments on L's top. Returns how many results it moved to L, or -1 with the
 * error on L's top. */
static int resume(lua_State *L, lua_State *co, int arguments) {
  int results;
  if (!lua_checkstack(co, arguments)) {
    lua_pushstring(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, arguments);
  Running self;
  enter(&self, co);
  int status = lua_resume(co, L, arguments, &results);
  leave(&self);
  if (status == LUA_OK || status == LUA_YIELD) {
    if (lua_checkstack(L, results + 1)) {
      lua_xmove(co, L, results);
      return results;
    }
    lua_pop(co, results);
    lua_pushstring(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, 1);
  return -1;
}

/* resume(co, ...): coroutine.resume that an interruption reaches */
static int l_resume(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTHREAD);
  int results = resume(L, lua_tothread(L, 1), lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  lua_insert(L, results < 0 ? -2 : -results - 1);
  return results < 0 ? 2 : results + 1;
}

static int l_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) { /* it died: its variables are closed now */
    if (lua_resetthread(co) != LUA_OK) {
      lua_pop(L, 1);
      lua_xmove(co, L, 1);
    }
  }
  if (lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

/* wrap(f): coroutine.wrap likewise */
static int l_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, l_wrapped, 1);
  return 1;
}

static const luaL_Reg functions[] = {{"trap", l_trap},
                                     {"untrap", l_untrap},
                                     {"pending", l_pending},
                                     {"clear_signal", l_clear},
                                     {"raise_signal", l_raise_signal},
                                     {"interruptible", l_interruptible},
                                     {"resume", l_resume},
                                     {"wrap", l_wrap},
                                     {NULL, NULL}};

void open_signals(lua_State *L) { luaL_setfuncs(L, functions, 0); }
