/* Floor 5: what Lua's own library lacks (clock, terminal, SIGPIPE), and the state of memory and
 * threads. */
#include "base/cpus.h"
#include "ops/dispatch.h"
#include "base/blas.h"
#include "lua/check.h"
#include "base/parallel.h"

#include <math.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* clock() -> seconds of a clock that only goes forward */
static int l_clock(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return 1;
}

/* isatty(fd) */
static int l_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* ignore_sigpipe(f, ...) -> f's results; writing to a program that died is an error, not a death */
static int l_ignore_sigpipe(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  void (*before)(int) = signal(SIGPIPE, SIG_IGN);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  signal(SIGPIPE, before);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* ---- threads and memory ---- */

static int l_set_threads(lua_State *L) {
  int64_t n = check_whole(L, 1, "set_threads", "n");
  if (n < 1 || n > MAX_THREADS)
    raise_error(L, "set_threads: n: expected 1..%d, got %lld", MAX_THREADS, (long long)n);
  parallel_set_threads((int)n, "lt.set_threads");
  return 0;
}

static int l_threads(lua_State *L) {
  lua_pushinteger(L, parallel_threads());
  return 1;
}

/* A chunk that takes as long as a number of dependent multiplications and additions. */
static void spend(void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const int64_t *rounds = context;
  for (int64_t i = begin; i < end; i++) {
    double x = (double)i;
    for (int64_t k = 0; k < *rounds; k++) x = x * 0.999 + 0.001;
    volatile double kept = x;
    (void)kept;
  }
}

/* spend_chunks(chunks, rounds): a parallel job of nothing but that, by which the bench measures the
 * threads themselves */
static int l_spend_chunks(lua_State *L) {
  int64_t chunks = check_whole(L, 1, "spend_chunks", "chunks");
  int64_t rounds = check_whole(L, 2, "spend_chunks", "rounds");
  parallel_for(chunks, 1, spend, &rounds);
  return 0;
}

/* cpu_quota(folder) -> how many processors' time the cgroups of a process grant it, or nil where
 * they set no limit; the folder tells of the process, as /proc/self does */
static int l_cpu_quota(lua_State *L) {
  double quota = cpus_quota(luaL_checkstring(L, 1));
  if (isinf(quota)) lua_pushnil(L);
  else lua_pushnumber(L, quota);
  return 1;
}

static void set_count(lua_State *L, const char *key, size_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, key);
}

/* info() -> {isa, vector_bytes, dtype, threads, threads_from, blas, live_bytes, pooled_bytes,
 * peak_bytes, system_allocs}; blas where it has been loaded */
static int l_info(lua_State *L) {
  MemoryStats m = memory_stats();
  char text[160];
  Error e;
  lua_newtable(L);
  lua_pushstring(L, isa(DTYPE_F32)->name);
  lua_setfield(L, -2, "isa");
  lua_pushstring(L, dtype_name(dtype_default()));
  lua_setfield(L, -2, "dtype");
  set_count(L, "vector_bytes", (size_t)isa(DTYPE_F32)->vector_bytes);
  set_count(L, "threads", (size_t)parallel_threads());
  lua_pushstring(L, parallel_threads_from());
  lua_setfield(L, -2, "threads_from");
  if (blas_is_loaded() && blas_describe(text, sizeof text, &e)) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, "blas");
  }
  set_count(L, "live_bytes", m.live_bytes);
  set_count(L, "pooled_bytes", m.pooled_bytes);
  set_count(L, "peak_bytes", m.peak_bytes);
  set_count(L, "system_allocs", m.system_allocs);
  return 1;
}

/* blas() -> "OpenBLAS 0.3.21, kernel SkylakeX"; or nil, message */
static int l_blas(lua_State *L) {
  char text[160];
  Error e;
  if (!blas_describe(text, sizeof text, &e)) {
    lua_pushnil(L);
    lua_pushstring(L, e.text);
    return 2;
  }
  lua_pushstring(L, text);
  return 1;
}

/* trim(): gives the pooled buffers and the threads' working memory back to the system */
static int l_trim(lua_State *L) {
  (void)L;
  memory_trim();
  parallel_trim();
  return 0;
}

static const luaL_Reg functions[] = {{"clock", l_clock},
                                     {"isatty", l_isatty},
                                     {"ignore_sigpipe", l_ignore_sigpipe},
                                     {"set_threads", l_set_threads},
                                     {"threads", l_threads},
                                     {"spend_chunks", l_spend_chunks},
                                     {"cpu_quota", l_cpu_quota},
                                     {"info", l_info},
                                     {"blas", l_blas},
                                     {"trim", l_trim},
                                     {NULL, NULL}};

void open_system(lua_State *L) {
  Error e;
  if (!parallel_choose_threads(&e)) raise_error(L, "latent: %s", e.text);
  luaL_setfuncs(L, functions, 0);
}
