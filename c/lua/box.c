/* Floor 5: tensors in boxes, and when Lua's collector runs for them: it does not see their bytes.
 */
#include "lua/check.h"

static const char box_kind; /* its address is the kind, and the key of the metatable */

Box *box_new(lua_State *L) {
  Box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (Box){.kind = &box_kind};
  lua_rawgetp(L, LUA_REGISTRYINDEX, &box_kind);
  lua_setmetatable(L, -2);
  return box;
}

static unsigned closings;

unsigned box_closings(void) { return closings; }

void box_close(Box *box) {
  Var *v = box->var;
  closings++;
  box->var = NULL;
  var_release(v);
}

Box *box_at(lua_State *L, int index) {
  Box *box = lua_touserdata(L, index); /* a light one has no length */
  return box && lua_rawlen(L, index) == sizeof *box && box->kind == &box_kind ? box : NULL;
}

void box_set_metatable(lua_State *L) {
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box_kind);
}

/* What the collector is to know of tensors' bytes. */
enum { SLACK = 32 << 20, CACHED = 3 << 20, LONGEST = 1 << 29, DECAY = 4 };
#define OVERDUE ((uint64_t)3 << 29)

/* Where a collection may come: ahead, at any new tensor, which is mostly on the way to a loss, when
 * little is garbage; or behind a backward, when nearly all of that is. */
typedef struct Moment {
  size_t slack;    /* bytes that may pile up at least */
  size_t patience; /* bytes until the next young collection */
  size_t in_use;   /* live bytes that full collections leave; falls slowly when less is live */
} Moment;

static Moment ahead = {.slack = SLACK, .patience = CACHED};
static Moment behind = {.slack = SLACK / 2, .patience = CACHED};

static struct {
  bool running;     /* a finaliser may make tensors */
  size_t after_any; /* live bytes that the last collection left */
  uint64_t taken;   /* all bytes taken by the last backward with a collection behind it */
  uint64_t freed;   /* bytes that young collections have reclaimed since the last full one */
  uint64_t overdue; /* ... at which another is due, for what has grown old without piling up */
  size_t unaged;    /* ... and since the pool's buffers last grew older */
  unsigned count;   /* of collections so far */
} memory = {.overdue = OVERDUE};

/* Returns how many bytes came free. */
static size_t run(lua_State *L, bool full) {
  size_t live = memory_stats().live_bytes;
  memory.running = true;
  if (full) lua_gc(L, LUA_GCCOLLECT);
  else lua_gc(L, LUA_GCSTEP, 0);
  memory.running = false;
  size_t left = memory.after_any = memory_stats().live_bytes, freed = left < live ? live - left : 0;
  memory.freed = full ? 0 : memory.freed + freed;
  memory.unaged += freed;
  if (!full && memory.unaged <= SLACK) return freed;
  memory_age();
  memory.unaged = 0;
  return freed;
}

static void shorten(size_t *patience) {
  *patience = *patience / 2 > CACHED ? *patience / 2 : CACHED;
}

/* In generational mode a step of size 0 looks at young objects alone: some microseconds, for
 * buffers that come back while they still lie in the cache. Where it frees less than half of what
 * was hoped for, as in the middle of a training step or in incremental mode, later ones wait
 * longer: what lives through two of them counts as old, and only a full collection frees it. */
static void collect_young(lua_State *L, Moment *m, size_t hoped) {
  bool worthwhile = run(L, false) >= hoped / 2;
  if (worthwhile && hoped < m->patience) shorten(&m->patience);
  if (!worthwhile && m->patience < LONGEST) m->patience *= 2;
  if (++memory.count % 64 != 0) return;
  shorten(&ahead.patience); /* the program may have changed */
  shorten(&behind.patience);
}

/* A full one goes through all of Lua's objects, which a step of training has driven from the cache:
 * milliseconds. So it comes where young ones leave too much, and what it leaves itself counts as in
 * use for a while: in the middle of a step it would find as little again. */
static void collect_fully(lua_State *L, Moment *m) {
  bool worthwhile = run(L, true) >= m->slack / 2;
  memory.overdue = worthwhile ? OVERDUE : 2 * OVERDUE;
  if (worthwhile) shorten(&m->patience);
  if (memory.after_any > m->in_use) m->in_use = memory.after_any;
}

static bool is_too_much(const Moment *m, size_t live) {
  size_t pile = m->in_use / 2 > m->slack ? m->in_use / 2 : m->slack;
  bool worthwhile = memory.after_any >= m->slack / 2; /* could it be? */
  return live > m->in_use + pile || (memory.freed > memory.overdue && worthwhile);
}

static void collect(lua_State *L, Moment *m, size_t hoped) {
  collect_young(L, m, hoped);
  if (is_too_much(m, memory.after_any)) collect_fully(L, m);
  if (memory.after_any < m->in_use) m->in_use -= (m->in_use - memory.after_any) / DECAY;
}

void box_filled(lua_State *L) {
  size_t live = memory_stats().live_bytes;
  if (memory.running) return;
  if (live < memory.after_any) memory.after_any = live;
  size_t grown = live - memory.after_any;
  if (grown > ahead.patience || is_too_much(&ahead, live)) collect(L, &ahead, grown);
}

void box_backward_done(lua_State *L) {
  uint64_t taken = memory_stats().taken_bytes;
  if (memory.running || taken - memory.taken <= behind.patience) return;
  memory.taken = taken;
  collect(L, &behind, behind.patience / 4);
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
