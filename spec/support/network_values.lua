-- Values of functions of networks, for spec/support/op_values.lua; those beside PyTorch's are in spec/layers_spec.lua.
local lt = require "latent"

return {
  -- Scores 0 and log 3: weights 1/4 and 3/4.
  scaled_dot_product_attention = {{function()
    return (lt.scaled_dot_product_attention({{1}}, {{0}, {math.log(3)}}, {{4, 8}, {0, 16}}))
  end, {{1, 14}}}, {function()
    return (lt.scaled_dot_product_attention({{1}, {0}}, {{0}, {1}}, {{2}, {4}}, {is_causal = true}))
  end, {{2}, {3}}}},
  l1_loss = {{function() return lt.l1_loss({1, 2}, {3, 2}) end, 1}},
  smooth_l1_loss = {{function() return lt.smooth_l1_loss({0, 0}, {0.5, 3}, "none") end, {0.125, 2.5}},
    {function() return lt.smooth_l1_loss({0, 0}, {1, 3}, {beta = 2, reduction = "sum"}) end, 0.25 + 2},
    {function() return lt.smooth_l1_loss({0}, {3}, {beta = 0}) end, 3}},
  huber_loss = {{function() return lt.huber_loss({0, 0}, {1, 3}, {delta = 2, reduction = "none"}) end, {0.5, 4}}},
  nll_loss = {{function() return lt.nll_loss({{-1, -2}, {-3, -4}}, {1, 0}) end, 2.5},
    {function() return lt.nll_loss({{-1, -2}, {-3, -4}}, {1, 0}, {weight = {1, 3}}) end, 9 / 4}},
  kl_div = {{function() return lt.kl_div({{0, 0}}, {{0, 1}}, "batchmean") end, 0},
    {function() return lt.kl_div({{math.log(0.25), math.log(0.75)}}, {{0.5, 0.5}}, "sum") end,
      math.log(4 / 3) / 2}},
  binary_cross_entropy = {{function() return lt.binary_cross_entropy({0.5, 0.25}, {1, 0}, "none") end,
    {math.log(2), math.log(4 / 3)}}},
  cosine_similarity = {{function() return lt.cosine_similarity({{1, 0}, {3, 4}}, {{1, 1}, {3, 4}}) end, {0.5 ^ 0.5, 1}},
    {function() return lt.cosine_similarity({{1, 3}, {0, 4}}, {{1, 3}, {1, 4}}, {axis = 1}) end, {0.5 ^ 0.5, 1}}},
  cosine_embedding_loss = {{function() return lt.cosine_embedding_loss({{1, 0}, {1, 0}}, {{0, 1}, {1, 0}}, {1, -1}) end,
    1}},
  triplet_margin_loss = {{function()
    return lt.triplet_margin_loss({{0, 0}}, {{3, 4}}, {{0, 4}}, {margin = 2, eps = 0})
  end, 3}},
  hinge_embedding_loss = {{function()
    return lt.hinge_embedding_loss({2, 0.25}, {1, -1}, {reduction = "none"})
  end, {2, 0.75}}},
  margin_ranking_loss = {{function() return lt.margin_ranking_loss({1, 2}, {3, 1}, {1, 1}, 0.5, "none") end, {2.5, 0}}},
  multinomial = {{function()
    return lt.multinomial({{0, 3, 0}, {0, 0, 1}}, 2, {replacement = true})
  end, {{2, 2}, {3, 3}}},
    {function() return lt.multinomial({0, 1, 0}, 1) end, {2}}},
}
