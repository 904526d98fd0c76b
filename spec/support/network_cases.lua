-- Cases of spec/support/op_cases.lua for functions of networks: attention and losses written in Lua.
-- @param add its function
return function(add)
  local function attention(opts)
    return function(lt, q, k, v, mask)
      local given = {}
      for name, value in pairs(opts or {}) do given[name] = value end
      given.attn_mask = mask
      return (lt.scaled_dot_product_attention(q, k, v, next(given) and given or nil))
    end
  end
  local op = "scaled_dot_product_attention"
  add(op, {{3, 4}, {5, 4}, {5, 2}}, attention())
  add(op, {{2, 3, 4}, {2, 3, 4}, {2, 3, 2}}, attention{is_causal = true}, {label = "causal"})
  add(op, {{2, 3, 4}, {2, 5, 4}, {2, 5, 2}, {3, 5}}, attention{scale = 0.7}, {label = "with a mask"})
end
