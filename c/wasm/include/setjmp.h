/* Nothing: WASI has no setjmp, and Lua's errors travel another way (wasm/lua_host.h). */
