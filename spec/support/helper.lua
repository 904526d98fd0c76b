--- Run by Busted before the specs (see .busted).
require "spec.support.children"

-- Each test draws the same numbers, whichever ran before it: Busted takes the files in the order of the folder, which
-- is another one on another disk. (At the end of a test: what a before_each seeds stays so.)
require "busted".subscribe({"test", "end"}, function()
  local lt = package.loaded.latent
  if lt then lt.manual_seed(0) end
  return nil, true -- the other listeners follow
end)
