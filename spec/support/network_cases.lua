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
  add(op, {{4, 2, 3}, {2, 3, 3}, {1, 3, 2}}, attention{enable_gqa = true}, {label = "of shared heads"})

  -- Losses. Random values lie on either side of their kinks, none on one.
  local function pair(name, kinds, ...)
    local arguments = {...}
    kinds = kinds or {"any", "any"}
    add(name, {{{4, 5}, kinds[1]}, {{4, 5}, kinds[2]}}, function(lt, x, y)
      return lt[name](x, y, table.unpack(arguments))
    end, {label = arguments[1] and "with arguments" or nil})
  end
  pair("l1_loss")
  pair("l1_loss", nil, "none")
  pair("smooth_l1_loss")
  pair("smooth_l1_loss", nil, {beta = 0.3, reduction = "sum"})
  pair("huber_loss")
  pair("huber_loss", nil, {delta = 0.3, reduction = "none"})
  pair("kl_div", {"any", "positive"})
  pair("kl_div", nil, {log_target = true, reduction = "batchmean"})
  pair("binary_cross_entropy", {"unit", "condition"})
  pair("cosine_similarity")
  pair("cosine_similarity", nil, {axis = 1, eps = 1e-6})
  for _, options in ipairs {{}, {weight = {1, 2, 0.5}}, {ignore_index = 1, reduction = "sum"}} do
    local given = next(options) and options or nil
    add("nll_loss", {{4, 3}}, function(lt, x) return lt.nll_loss(x, lt.tensor {0, 2, 1, 1}, given) end)
  end
  local function signs(lt) return lt.tensor {1, -1, 1, -1} end
  add("cosine_embedding_loss", {{4, 5}, {4, 5}}, function(lt, a, b)
    return lt.cosine_embedding_loss(a, b, signs(lt), -0.9, "none")
  end)
  for _, options in ipairs {{margin = 5}, {margin = 5, p = 3, swap = true, reduction = "none"}} do
    add("triplet_margin_loss", {{4, 5}, {4, 5}, {4, 5}}, function(lt, a, b, c)
      return lt.triplet_margin_loss(a, b, c, options)
    end)
  end
  add("hinge_embedding_loss", {{4}}, function(lt, x) return lt.hinge_embedding_loss(x, signs(lt), {margin = 0.7}) end)
  add("margin_ranking_loss", {{4}, {4}}, function(lt, a, b)
    return lt.margin_ranking_loss(a, b, signs(lt), {margin = 0.1, reduction = "sum"})
  end)
end
