/* Floor 5: generators and random tensors. */
#include "lua/check.h"
#include "base/parallel.h"
#include "base/places.h"

#include <string.h>

static Generator *generator_new(lua_State *L) {
  Generator *g = lua_newuserdatauv(L, sizeof *g, 0);
  random_seed(g, 0);
  luaL_setmetatable(L, META_GENERATOR);
  return g;
}

/* generator(seed): a stream of random numbers of its own */
static int l_generator(lua_State *L) {
  uint64_t seed = (uint64_t)check_whole(L, 1, "generator", "seed");
  random_seed(generator_new(L), seed);
  return 1;
}

/* manual_seed(n): restarts the default generator */
static int l_manual_seed(lua_State *L) {
  random_seed(random_default(), (uint64_t)check_whole(L, 1, "manual_seed", "seed"));
  return 0;
}

static int push_state(lua_State *L, const Generator *g) {
  lua_createtable(L, 2, 0);
  lua_pushinteger(L, (lua_Integer)g->seed);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)g->block);
  lua_rawseti(L, -2, 2);
  return 1;
}

static void read_state(lua_State *L, int index, Generator *g, const char *name) {
  uint64_t part[2];
  if (lua_type(L, index) != LUA_TTABLE) raise_error(L, "%s: expected {seed, block}", name);
  for (int i = 0; i < 2; i++) {
    lua_rawgeti(L, index, i + 1);
    part[i] = (uint64_t)check_whole(L, -1, name, "state");
    lua_pop(L, 1);
  }
  *g = (Generator){part[0], part[1]};
}

/* g:state() -> {seed, block}; g:set_state(state) */
static int l_state(lua_State *L) { return push_state(L, luaL_checkudata(L, 1, META_GENERATOR)); }
static int l_set_state(lua_State *L) {
  read_state(L, 2, luaL_checkudata(L, 1, META_GENERATOR), "set_state");
  return 0;
}

/* the same for the default generator */
static int l_rng_state(lua_State *L) { return push_state(L, random_default()); }
static int l_set_rng_state(lua_State *L) {
  read_state(L, 1, random_default(), "set_rng_state");
  return 0;
}

/* A shape from sizes, a list or a tensor, with an options table {generator = g} perhaps behind it.
 */
static Generator *shape_and_generator(lua_State *L, const char *name, Shape *shape) {
  int top = lua_gettop(L);
  Generator *g = random_default();
  if (top > 0 && lua_type(L, top) == LUA_TTABLE && lua_rawlen(L, top) == 0) {
    for (lua_pushnil(L); lua_next(L, top); lua_pop(L, 1))
      if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "generator") != 0)
        raise_error(L, "%s: unknown option; options: generator", name);
    g = check_generator(L, top--, name);
  }
  if (top > 1 && (is_tensor(L, 1) || lua_type(L, 1) == LUA_TTABLE))
    raise_error(L, "%s: expected sizes, one list of sizes or one tensor, and perhaps options",
                name);
  if (is_tensor(L, 1)) *shape = check_tensor(L, 1, name, NULL)->value->shape;
  else check_shape(L, 1, top, name, shape);
  return g;
}

typedef void Draw(Generator *g, real *out, int64_t n);

static int push_random(lua_State *L, const char *name, Draw *draw) {
  Shape shape;
  Error e;
  Generator *g = shape_and_generator(L, name, &shape);
  Box *box = box_new(L);
  Tensor *t = tensor_new(DTYPE_REAL, &shape, &e);
  if (t) {
    Generator before = *g;
    parallel_may_stop();
    draw(g, reals(t), t->numel);
    if (parallel_was_stopped()) {
      *g = before;
      tensor_release(t);
      raise_error(L, "%s: interrupted", name);
    }
  }
  return push_tensor(L, box, t, name, &e);
}

/* rand(sizes..., [{generator = g}]): uniform on [0, 1); randn: N(0, 1) */
static int l_rand(lua_State *L) { return push_random(L, "rand", random_uniform); }
static int l_randn(lua_State *L) { return push_random(L, "randn", random_normal); }

/* randperm(n, [{generator = g}]): the numbers 1..n in random order */
static int l_randperm(lua_State *L) {
  int64_t n = check_whole(L, 1, "randperm", "n"), exact = REAL_EXACT;
  if (n < 0 || n > exact)
    raise_error(L, "randperm: n: expected 0..%lld, got %lld", (long long)exact, (long long)n);
  Error e;
  Shape shape = {.dims = 1, .size = {n}};
  Generator *g = check_generator(L, 2, "randperm");
  Box *box = box_new(L);
  Tensor *t = tensor_new(DTYPE_REAL, &shape, &e);
  if (t) random_permutation(g, reals(t), n, 1);
  return push_tensor(L, box, t, "randperm", &e);
}

static const luaL_Reg functions[] = {{"generator", l_generator}, {"manual_seed", l_manual_seed},
                                     {"rng_state", l_rng_state}, {"set_rng_state", l_set_rng_state},
                                     {"rand", l_rand},           {"randn", l_randn},
                                     {"randperm", l_randperm},   {NULL, NULL}};

void open_random(lua_State *L) {
  static const luaL_Reg methods[] = {{"state", l_state}, {"set_state", l_set_state}, {NULL, NULL}};
  luaL_newmetatable(L, META_GENERATOR);
  lua_pushstring(L, "generator");
  lua_setfield(L, -2, "__name"); /* in messages */
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
