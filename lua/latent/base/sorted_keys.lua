--- The keys of a table of named things, in an order that does not change from run to run.
-- @module latent.base.sorted_keys

--- Sorts the keys of a table, which are strings.
-- @tparam table t
-- @treturn {string,...}
return function(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end
