/* Floor 5: tensors in boxes, and when Lua's collector runs for them: it does not see their bytes.
 */
#include "lua/check.h"

Box *box_new(lua_State *L) {
  Box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->var = NULL;
  luaL_setmetatable(L, META_TENSOR);
  return box;
}

/* What the collector is to know of tensors' bytes. */
enum { SLACK = 32 << 20, CACHED = 3 << 20, OLD_AGE = 16 };
static struct {
  bool running;      /* a finaliser may make tensors */
  size_t after_full; /* live bytes that the last full collection left */
  size_t after_any;  /* ... or the last one of either kind */
  size_t patience;   /* bytes to grow by until the next young collection */
  uint64_t freed;    /* bytes that young collections have reclaimed since the last full one */
  size_t unaged;     /* ... and since the pool's buffers last grew older */
  unsigned count;    /* of collections so far */
} memory = {.patience = CACHED};

static void collect_fully(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  memory_age();
  memory.unaged = memory.freed = 0;
  memory.after_full = memory_stats().live_bytes;
}

/* In generational mode a step of size 0 looks at young objects alone: some microseconds, for
 * buffers that come back while they still lie in the cache. Where it finds little, as in the middle
 * of a training step or in incremental mode, later ones wait longer: what lives through two of them
 * counts as old, and only a full collection frees it. One is due at the latest when OLD_AGE times
 * the bytes that may pile up have gone through young ones: these keep the pile from growing. */
static void collect_young(lua_State *L, size_t live) {
  size_t grown = live - memory.after_any;
  lua_gc(L, LUA_GCSTEP, 0);
  size_t left = memory_stats().live_bytes, freed = left < live ? live - left : 0;
  if (freed < grown / 2) memory.patience *= 2;
  memory.freed += freed;
  memory.unaged += freed;
  if (memory.unaged <= SLACK) return;
  memory_age();
  memory.unaged = 0;
}

void box_filled(lua_State *L) {
  size_t live = memory_stats().live_bytes, half = memory.after_full / 2;
  size_t pile = half > SLACK ? half : SLACK;
  if (live < memory.after_full) memory.after_full = live;
  if (live < memory.after_any) memory.after_any = live;
  bool full = live - memory.after_full > pile || memory.freed / OLD_AGE > pile;
  if (memory.running || (!full && live - memory.after_any <= memory.patience)) return;
  memory.running = true;
  if (full) collect_fully(L);
  else collect_young(L, live);
  memory.running = false;
  if (++memory.count % 64 == 0) memory.patience = CACHED; /* the program may have changed */
  memory.after_any = memory_stats().live_bytes;
}

int push_tensor(lua_State *L, Box *box, Tensor *t, const char *name, const Error *e) {
  Error full;
  if (t) {
    e = &full;
    box->var = var_new(t, &full);
  }
  if (!box->var) return raise_error(L, "%s: %s", name, e->text);
  box_filled(L);
  return 1;
}
