/* Floor 5: generators and random tensors. */
#include "lua/check.h"
#include "base/parallel.h"
#include "ops/dispatch.h"

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
  check_list(L, index, name, "state");
  for (int i = 0; i < 2; i++) {
    lua_rawgeti(L, index, i + 1);
    part[i] = (uint64_t)check_whole(L, -1, name, "state");
    lua_pop(L, 1);
  }
  *g = (Generator){part[0], part[1]};
}

/* g:state() -> {seed, block}; g:set_state(state) */
static int l_state(lua_State *L) {
  return push_state(L, check_self(L, META_GENERATOR, "state", "generator", "g"));
}
static int l_set_state(lua_State *L) {
  read_state(L, 2, check_self(L, META_GENERATOR, "set_state", "generator", "g"), "set_state");
  return 0;
}

/* the same for the default generator */
static int l_rng_state(lua_State *L) { return push_state(L, random_default()); }
static int l_set_rng_state(lua_State *L) {
  read_state(L, 1, random_default(), "set_rng_state");
  return 0;
}

/* A shape from sizes, a list or a tensor, whose floating type is then the new one's too, and
 * perhaps options behind it. */
static void read_random(lua_State *L, const char *name, Shape *shape, Making *m) {
  if (is_tensor(L, 1)) {
    const Tensor *t = check_tensor(L, 1, name, NULL)->value;
    *shape = t->shape;
    if (dtype_is_floating(t->dtype)) m->dtype = t->dtype;
  }
  int last = check_making(L, 1, name, m);
  if (last > 1 && (is_tensor(L, 1) || lua_type(L, 1) == LUA_TTABLE))
    raise_error(L, "%s: expected sizes, one list of sizes or one tensor, and perhaps options",
                name);
  if (!dtype_is_floating(m->dtype))
    raise_error(L, "%s: dtype: expected \"float32\" or \"float64\", got \"%s\"", name,
                dtype_name(m->dtype));
  if (!is_tensor(L, 1)) check_shape(L, 1, last, name, shape);
}

typedef void Draw(Generator *g, Tensor *t);

static void draw_uniform(Generator *g, Tensor *t) {
  if (t->dtype == DTYPE_F64) random_uniform_double(g, t->data, t->numel);
  else random_uniform_float(g, t->data, t->numel);
}

static void draw_normal(Generator *g, Tensor *t) {
  if (t->dtype == DTYPE_F64) random_normal_double(g, t->data, t->numel);
  else random_normal_float(g, t->data, t->numel);
}

static int push_random(lua_State *L, const char *name, Draw *draw) {
  Shape shape;
  Error e;
  Making m = {dtype_default(), random_default(), false};
  read_random(L, name, &shape, &m);
  Generator *g = m.generator;
  Box *box = box_new(L);
  Tensor *t = tensor_new(m.dtype, &shape, &e);
  if (t) {
    Generator before = *g;
    parallel_may_stop();
    draw(g, t);
    if (parallel_was_stopped()) {
      *g = before;
      tensor_release(t);
      raise_error(L, "%s: interrupted", name);
    }
  }
  return push_tensor(L, box, t, name, &e);
}

/* rand(sizes..., [{generator = g}]): uniform on [0, 1); randn: N(0, 1) */
static int l_rand(lua_State *L) { return push_random(L, "rand", draw_uniform); }
static int l_randn(lua_State *L) { return push_random(L, "randn", draw_normal); }

/* randperm(n, [{generator = g}]): the numbers 1..n in random order, i64 */
static int l_randperm(lua_State *L) {
  int64_t n = check_whole(L, 1, "randperm", "n");
  if (n < 0 || n > most_elements)
    raise_error(L, "randperm: n: expected 0..%lld, got %lld", (long long)most_elements,
                (long long)n);
  Error e;
  Shape shape = {.dims = 1, .size = {n}};
  Generator *g = check_generator(L, 2, "randperm");
  Box *box = box_new(L);
  Tensor *t = tensor_new(DTYPE_I64, &shape, &e);
  if (t) random_permutation(g, int64s(t), n, 1);
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
