-- The double precision twin of the library: the oracle of the specs.
local core64 = require "latent.core64"
local face = require "latent.base.face"

core64.set_home((debug.getinfo(face.build, "S").source:gsub("face%.lua$", "")))

return face.build(core64)
