/* Forced before each of Lua's files. Errors travel as exceptions of the JavaScript that hosts the
 * module, for WebAssembly as browsers have it knows no setjmp; what needs other programs is left
 * out. web/host.js has the other side. */
#ifndef LATENT_WASM_LUA_HOST_H
#define LATENT_WASM_LUA_HOST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HOST_IMPORT(name) __attribute__((import_module("latent"), import_name(name)))

struct lua_State;
typedef void HostProtected(struct lua_State *L, void *argument);

/* Calls f; comes back when f does, or when something below it throws. */
HOST_IMPORT("try") void host_try(HostProtected *f, struct lua_State *L, void *argument);
HOST_IMPORT("throw") _Noreturn void host_throw(void);

/* In ldo.c, which has the names f, L and ud where LUAI_TRY stands. */
#define LUAI_THROW(L, c) host_throw()
#define LUAI_TRY(L, c, a) host_try(f, L, ud)
#define luai_jmpbuf int

/* os.execute says that there is no shell, os.tmpname and io.tmpfile that they cannot. */
#define system(command) ((void)(command), 0)
#define tmpfile() (errno = ENOTSUP, NULL)
#define LUA_TMPNAMBUFSIZE 1
#define lua_tmpnam(buffer, failed)                                                                 \
  { (void)(buffer), (failed) = 1; }

#endif
