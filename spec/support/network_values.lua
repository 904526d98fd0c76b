-- Values of functions of networks, for spec/support/op_values.lua; those beside PyTorch's are in spec/layers_spec.lua.
local lt = require "latent"

return {
  -- Scores 0 and log 3: weights 1/4 and 3/4.
  scaled_dot_product_attention = {{function()
    return (lt.scaled_dot_product_attention({{1}}, {{0}, {math.log(3)}}, {{4, 8}, {0, 16}}))
  end, {{1, 14}}}, {function()
    return (lt.scaled_dot_product_attention({{1}, {0}}, {{0}, {1}}, {{2}, {4}}, {is_causal = true}))
  end, {{2}, {3}}}},
}
