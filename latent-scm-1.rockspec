rockspec_format = "3.0"
package = "latent"
version = "scm-1"
source = {url = "."}
description = {
  summary = "Tensors, reverse-mode autodiff and autoencoders for Lua 5.4",
  license = "MIT",
}
dependencies = {"lua >= 5.4", "argparse"}
build = {
  type = "make",
  build_variables = {CFLAGS = "$(CFLAGS)"},
  install_variables = {PREFIX = "$(PREFIX)", LUADIR = "$(LUADIR)", LIBDIR = "$(LIBDIR)", BINDIR = "$(BINDIR)"},
}
