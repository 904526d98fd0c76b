/* Preloaded into a Lua: makes chosen allocations fail, and counts what is not given back. Two
 * kinds: "core", those that the library's C core and zlib under it ask the system for (also for a
 * mapping and for a thread), and "lua", those of Lua's own allocator. The same file is the Lua
 * module that says which. */
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <link.h>
#include <lua.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* glibc's own names for what is replaced here: to look them up would allocate. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

/* ---- whose allocation ---- */

enum { MOST_RANGES = 16 };

/* The code of the libraries that are watched. */
static struct { uintptr_t from, to; } range[MOST_RANGES];
static int ranges;

static int see_library(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size, (void)context;
  const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
  if (strcmp(name, "core.so") != 0 && strncmp(name, "libz.so", 7) != 0) return 0;
  for (int i = 0; i < info->dlpi_phnum && ranges < MOST_RANGES; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    range[ranges].from = info->dlpi_addr + part->p_vaddr;
    range[ranges].to = range[ranges].from + part->p_memsz;
    ranges++;
  }
  return 0;
}

static bool is_watched(const void *caller) {
  for (int i = 0; i < ranges; i++)
    if ((uintptr_t)caller >= range[i].from && (uintptr_t)caller < range[i].to) return true;
  return false;
}

/* The programs that this one starts run without. */
__attribute__((constructor)) static void alone(void) { unsetenv("LD_PRELOAD"); }

/* ---- failing ---- */

typedef struct Plan {
  atomic_long seen, nth; /* nth 0: none fails */
  atomic_int failures;   /* how many in a row from the nth on */
} Plan;

static Plan core, lua;
static atomic_long live_count; /* allocations of the core that it has not freed */

static bool fails(Plan *p) {
  long nth = atomic_load(&p->nth), seen = atomic_fetch_add(&p->seen, 1) + 1;
  return nth > 0 && seen >= nth && seen < nth + atomic_load(&p->failures);
}

/* ---- what the core calls ---- */

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) {
  if (!is_watched(CALLER)) return __libc_malloc(size);
  if (fails(&core)) return errno = ENOMEM, NULL;
  void *p = __libc_malloc(size);
  if (p) atomic_fetch_add(&live_count, 1);
  return p;
}

void *calloc(size_t count, size_t size) {
  if (!is_watched(CALLER)) return __libc_calloc(count, size);
  if (fails(&core)) return errno = ENOMEM, NULL;
  void *p = __libc_calloc(count, size);
  if (p) atomic_fetch_add(&live_count, 1);
  return p;
}

void *realloc(void *old, size_t size) {
  if (!is_watched(CALLER)) return __libc_realloc(old, size);
  if (fails(&core)) return errno = ENOMEM, NULL;
  void *p = __libc_realloc(old, size);
  if (p && !old) atomic_fetch_add(&live_count, 1);
  return p;
}

static int aligned(void **out, size_t alignment, size_t size) {
  if (fails(&core)) return ENOMEM;
  void *p = __libc_memalign(alignment, size);
  if (!p) return ENOMEM;
  atomic_fetch_add(&live_count, 1);
  *out = p;
  return 0;
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (is_watched(CALLER)) return aligned(out, alignment, size);
  void *p = __libc_memalign(alignment, size);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
  if (!is_watched(CALLER)) return __libc_memalign(alignment, size);
  void *p = NULL;
  errno = aligned(&p, alignment, size);
  return p;
}

void free(void *p) {
  if (p && is_watched(CALLER)) atomic_fetch_sub(&live_count, 1);
  __libc_free(p);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  static void *(*real)(void *, size_t, int, int, int, off_t);
  if (!real) real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
  if (is_watched(CALLER) && fails(&core)) return errno = ENOMEM, MAP_FAILED;
  return real(at, length, protection, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real)
    real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
        RTLD_NEXT, "pthread_create");
  if (is_watched(CALLER) && fails(&core)) return EAGAIN;
  return real(thread, attributes, start, argument);
}

/* ---- what Lua calls ---- */

static lua_Alloc real_alloc;

static void *failing_alloc(void *data, void *old, size_t before, size_t after) {
  /* Lua takes for granted that a block can shrink. */
  bool grows = after > 0 && (!old || after > before);
  if (grows && fails(&lua)) return NULL;
  return real_alloc(data, old, before, after);
}

/* ---- the module ---- */

static Plan *plan_of(lua_State *L) {
  static const char *const kinds[] = {"core", "lua", NULL};
  return luaL_checkoption(L, 1, NULL, kinds) == 0 ? &core : &lua;
}

/* arm(kind, n, failures): from now on the n-th allocation of the kind fails, and so many in a row.
 * Lua tries once more after a collection: to fail it takes two. */
static int l_arm(lua_State *L) {
  Plan *p = plan_of(L);
  long nth = (long)luaL_checkinteger(L, 2);
  atomic_store(&p->failures, (int)luaL_checkinteger(L, 3));
  atomic_store(&p->seen, 0);
  atomic_store(&p->nth, nth);
  return 0;
}

/* disarm() -> how many allocations of each kind were seen since arm: core, lua */
static int l_disarm(lua_State *L) {
  atomic_store(&core.nth, 0);
  atomic_store(&lua.nth, 0);
  lua_pushinteger(L, atomic_load(&core.seen));
  lua_pushinteger(L, atomic_load(&lua.seen));
  return 2;
}

/* live() -> allocations of the core that are not freed */
static int l_live(lua_State *L) {
  lua_pushinteger(L, atomic_load(&live_count));
  return 1;
}

int luaopen_allocations(lua_State *L);
__attribute__((visibility("default"))) int luaopen_allocations(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"arm", l_arm}, {"disarm", l_disarm}, {"live", l_live}, {NULL, NULL}};
  ranges = 0;
  dl_iterate_phdr(see_library, NULL);
  if (ranges == 0) return luaL_error(L, "the core is not loaded");
  void *data;
  lua_Alloc now = lua_getallocf(L, &data);
  if (now != failing_alloc) {
    real_alloc = now;
    lua_setallocf(L, failing_alloc, data);
  }
  luaL_newlib(L, functions);
  return 1;
}
