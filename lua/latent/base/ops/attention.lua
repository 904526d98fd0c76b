--- Attention as a function.
-- @module latent.base.ops.attention
local arguments = require "latent.base.arguments"
local shapes = require "latent.base.shapes"

--- @tparam table core latent.core
-- @treturn {table,...} the list, as latent.base.ops.shape has it
return function(core)
  local ops, raise, like = core.ops, core.raise, core.tensor_like

  local NAME = "scaled_dot_product_attention"
  local PARAMS = {{name = "attn_mask", kind = "tensor"}, {name = "dropout_p", kind = "number", default = 0},
    {name = "is_causal", kind = "bool", default = 0}, {name = "scale", kind = "number"},
    {name = "enable_gqa", kind = "bool", default = 0}}

  local function check(query, key, value)
    local q, k, v = query.shape, key.shape, value.shape
    local n = #q
    local fits = n >= 2 and #k == n and #v == n and k[n] == q[n] and v[n - 1] == k[n - 1]
    for d = 1, n - 2 do fits = fits and k[d] == q[d] and v[d] == q[d] end
    if not fits then
      raise(("%s: expected query [..., l, e], key [..., s, e] and value [..., s, v], got %s, %s and %s"):format(NAME,
        shapes.text(q), shapes.text(k), shapes.text(v)))
    end
    return q[n - 1], k[n - 1], q[n]
  end

  -- Keys (or values) of fewer heads, the third axis from the end, each repeated for the queries' heads that share it.
  local function shared(query, x, what)
    if query:dim() < 3 or x:dim() < 3 then
      raise(("%s: enable_gqa: expected query, key and value [..., heads, length, features], got %s and %s"):format(
        NAME, shapes.text(query.shape), shapes.text(x.shape)))
    end
    local heads, have = query:size(-3), x:size(-3)
    if have == heads then return x end
    if have == 0 or heads % have ~= 0 then
      raise(("%s: enable_gqa: expected heads of %s that divide the %d of query, got %d"):format(NAME, what, heads,
        have))
    end
    local places = {}
    for i = 1, heads do places[i] = (i - 1) // (heads // have) + 1 end
    return ops.gather_rows(x, like(places, NAME), x:dim() - 2)
  end

  -- 1 where a query may see a key: those at its own place and before.
  local function causal(queries, keys)
    return ops.ge(ops.reshape(core.arange(queries), {queries, 1}), core.arange(keys))
  end

  -- Of u8 the mask tells which keys are seen; of other types it is added to the scores.
  local function masked(scores, mask)
    if mask.dtype ~= "u8" then return ops.add(scores, mask) end
    return ops.where(mask, scores, -math.huge)
  end

  -- A query that sees nothing gets zeros, and its scores no gradient: not NaN.
  local function weights_of(scores, may_be_blind)
    if not may_be_blind then return ops.softmax(scores, -1) end
    local blind = ops.eq(ops.max(scores:detach(), -1, true), -math.huge)
    return ops.where(blind, 0, ops.softmax(ops.where(blind, 0, scores), -1))
  end

  local function scaled_dot_product_attention(query, key, value, ...)
    query, key, value = like(query, NAME .. ": query"), like(key, NAME .. ": key"), like(value, NAME .. ": value")
    local o = arguments.read(NAME, PARAMS, ...)
    if not (o.dropout_p >= 0 and o.dropout_p <= 1) then
      raise(("%s: dropout_p: expected a number in [0, 1], got %g"):format(NAME, o.dropout_p))
    end
    if o.enable_gqa then key, value = shared(query, key, "key"), shared(query, value, "value") end
    local queries, keys, features = check(query, key, value)
    local axes = {}
    for d = 1, key:dim() do axes[d] = d end
    axes[#axes - 1], axes[#axes] = #axes, #axes - 1
    local scores = ops.matmul(ops.mul(query, o.scale or features ^ -0.5), ops.permute(key, axes))
    if o.attn_mask ~= nil then scores = masked(scores, like(o.attn_mask, NAME .. ": attn_mask")) end
    if o.is_causal then scores = ops.where(causal(queries, keys), scores, -math.huge) end
    local weights = weights_of(scores, o.attn_mask ~= nil)
    if o.dropout_p > 0 then weights = ops.dropout(weights, o.dropout_p, true) end
    return ops.matmul(weights, value), weights
  end

  return {
    {name = NAME, inputs = {"query", "key", "value"}, params = PARAMS, f = scaled_dot_product_attention,
      differentiable = true,
      doc = "softmax(query key^T scale) value for query [..., l, e], key [..., s, e] and value [..., s, v], scale \z
        1 / sqrt(e) unless given; returns the weights [..., l, s] beside it. attn_mask, which broadcasts to them: u8, \z
        1 where a key is seen, or of the scores' type and added; is_causal: keys at a later place are not seen; \z
        dropout_p: the share of the weights that is dropped, also outside of training; \z
        enable_gqa: keys and values may have fewer heads, the axis before the last two, each of which serves as many \z
        heads of the query."},
  }
end
