-- The library with float64 as the default type.
return require "spec.support.in_double"(require "latent")
