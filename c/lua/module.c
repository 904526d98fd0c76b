/* Floor 5: the module, latent.core. */
#include "base/blas.h"
#include "lua/check.h"

int luaopen_latent_core(lua_State *L);
__attribute__((visibility("default"))) int luaopen_latent_core(lua_State *L) {
  blas_prepare();
  lua_newtable(L);
  open_errors(L);
  open_check(L);
  open_calls(L);
  open_tensor(L);
  open_access(L);
  open_ops(L);
  open_parts(L);
  open_graph(L);
  open_nodes(L);
  open_custom(L);
  open_random(L);
  open_numeric(L);
  open_profile(L);
  open_system(L);
  open_files(L);
  open_mapped(L);
  open_locale(L);
  open_signals(L);
  open_channel(L);
  open_zlib(L);
  open_picture(L);
  return 1;
}
