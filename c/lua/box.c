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
  size_t behind;     /* ... until the next one that follows a backward */
  uint64_t freed;    /* bytes that young collections have reclaimed since the last full one */
  size_t unaged;     /* ... and since the pool's buffers last grew older */
  size_t step;       /* bytes that piled up before the last backward ended */
  size_t base;       /* live bytes when it had */
  size_t highest;    /* ... and at most, since then */
  unsigned count;    /* of collections so far */
} memory = {.patience = CACHED, .behind = CACHED / 2};

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
static void collect_young(lua_State *L, size_t live, size_t *patience) {
  size_t grown = live - memory.after_any;
  lua_gc(L, LUA_GCSTEP, 0);
  size_t left = memory_stats().live_bytes, freed = left < live ? live - left : 0;
  if (freed < grown / 2) *patience *= 2;
  memory.freed += freed;
  memory.unaged += freed;
  if (memory.unaged <= SLACK) return;
  memory_age();
  memory.unaged = 0;
}

static size_t live_now(void) {
  size_t live = memory_stats().live_bytes;
  if (live < memory.after_full) memory.after_full = live;
  if (live < memory.after_any) memory.after_any = live;
  if (live < memory.base) memory.base = live;
  if (live > memory.highest) memory.highest = live;
  return live;
}

static void collect(lua_State *L, bool full, size_t live, size_t *patience) {
  memory.running = true;
  if (full) collect_fully(L);
  else collect_young(L, live, patience);
  memory.running = false;
  memory.after_any = memory_stats().live_bytes;
  if (++memory.count % 64 != 0) return;
  memory.patience = CACHED; /* the program may have changed */
  memory.behind = CACHED / 2;
}

void box_filled(lua_State *L) {
  if (memory.running) return;
  size_t live = live_now(), half = memory.after_full / 2, pile = half > SLACK ? half : SLACK;
  bool full = live - memory.after_full > pile + memory.step || memory.freed / OLD_AGE > pile;
  if (!full && live - memory.after_any <= memory.patience + memory.step) return;
  memory.step = 0; /* this is something else than such steps */
  collect(L, full, live, &memory.patience);
}

/* What forward made is garbage now, and still young where no collection came in between: it comes
 * back at once. While steps are alike the bytes that pile up before are no reason to collect in the
 * middle of one, where all is in use and would only grow old. */
void box_backward_done(lua_State *L) {
  if (memory.running) return;
  size_t live = live_now(), freed = memory.freed;
  memory.step = memory.highest - memory.base;
  if (live - memory.after_any > memory.behind) {
    collect(L, false, live, &memory.behind);
    memory.freed = freed + (memory.freed - freed) / OLD_AGE; /* little of that has grown old */
  }
  memory.base = memory.highest = memory_stats().live_bytes;
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
