-- Cases of spec/support/op_cases.lua for the arguments that ops written in Lua take beyond the core's rows.
-- @param add, wide its functions
return function(add, wide)
  -- Reductions over several axes, norms of any order, corrections.
  for _, op in ipairs {"max", "min", "logsumexp"} do
    add(op, {{3, 4, 2}}, function(lt, x) return lt[op](x, {1, 3}) end, {label = "axes"})
    add(op, {{3, 4, 2}}, function(lt, x) return lt[op](x, {-1, 2}, true) end, {label = "axes kept"})
  end
  for _, p in ipairs {0, 1, 3, 0.5, -1, math.huge, -math.huge} do
    local label = {label = "of order " .. p}
    add("norm", {{2, 3, 4}}, function(lt, x) return lt.norm(x, {p = p}) end, label)
    add("norm", {{2, 3, 4}}, function(lt, x) return lt.norm(x, {axis = {1, 3}, keepdim = true, p = p}) end, label)
    add("norm", {{4, 5}}, function(lt, x) return lt.norm(x, 2, {p = p}) end, label)
  end
  for _, op in ipairs {"var", "std"} do
    add(op, {{3, 4}}, function(lt, x) return lt[op](x, 2, {correction = 1.5}) end, {label = "corrected"})
  end

  add("round", {{3, 5}}, function(lt, x) return lt.round(x, {decimals = 1}) end, {label = "decimals"})
  add("flatten", {{2, 3, 2, 2}}, function(lt, x) return lt.flatten(x, 2, 3) end, {label = "to the third"})

  -- Activations and normalisation.
  add("gelu", {{3, 5}}, function(lt, x) return lt.gelu(x, "tanh") end, {label = "tanh"})
  wide("gelu", {{17, 33}}, function(lt, x) return lt.gelu(x, {approximate = "tanh"}) end)
  add("softplus", {{3, 5}}, function(lt, x) return lt.softplus(x, {beta = 2.5, threshold = 3}) end, {label = "beta"})
  add("layer_norm", {{4, 6}}, function(lt, x) return lt.layer_norm(x) end, {label = "plain"})
  add("layer_norm", {{4, 6}, {6}}, function(lt, x, b) return lt.layer_norm(x, nil, b) end, {label = "bias alone"})
  add("layer_norm", {{3, 2, 3}, {2, 3}}, function(lt, x, w) return lt.layer_norm(x, w) end, {label = "two axes"})
  add("layer_norm", {{3, 2, 3}}, function(lt, x) return lt.layer_norm(x, {normalized_shape = {2, 3}}) end,
    {label = "two axes, plain"})
  add("batch_norm_train", {{5, 3}}, function(lt, x) return (lt.batch_norm_train(x)) end, {label = "plain"})
  add("batch_norm_train", {{5, 3}, {3}}, function(lt, x, w) return (lt.batch_norm_train(x, w)) end, {label = "weight"})

  -- Bounds that are tensors; none of them is met exactly.
  add("clamp", {{3, 4}, {{4}, "small"}}, function(lt, x, low) return lt.clamp(x, low) end, {label = "low"})
  add("clamp", {{3, 4}, {{3, 1}, "small"}, {{4}, "positive"}}, function(lt, x, low, high)
    return lt.clamp(x, {min = low, max = high})
  end, {label = "both"})
  add("clamp", {{3, 4}, {{4}, "small"}}, function(lt, x, high) return lt.clamp(x, -1, high) end, {label = "mixed"})

  -- Losses.
  for _, reduction in ipairs {"mean", "sum", "none"} do
    local label = {label = reduction .. ", more arguments"}
    add("cross_entropy", {{4, 3}, {{3}, "positive"}}, function(lt, x, w)
      return lt.cross_entropy(x, {0, 2, 1, 2}, {weight = w:detach(), ignore_index = 1, label_smoothing = 0.25,
        reduction = reduction})
    end, label)
    add("cross_entropy", {{2, 3, 4}}, function(lt, x)
      return lt.cross_entropy(x, {{0, 3, 1}, {2, 2, 0}}, reduction)
    end, label)
    add("cross_entropy", {{4, 3}, {{4, 3}, "unit"}}, function(lt, x, target)
      return lt.cross_entropy(x, target, {label_smoothing = 0.1, reduction = reduction})
    end, label)
    add("bce_with_logits", {{3, 4}, {{3, 4}, "unit"}, {{4}, "positive"}, {{3, 1}, "positive"}}, function(lt, x, t, p, w)
      return lt.bce_with_logits(x, t, {pos_weight = p, weight = w, reduction = reduction})
    end, label)
    add("mse_loss", {{3, 4}, {3, 4}, {{3, 4}, "positive"}}, function(lt, x, t, w)
      return lt.mse_loss(x, t, {weight = w, reduction = reduction})
    end, label)
    add("gaussian_nll", {{3, 4}, {3, 1}, {4}}, function(lt, m, v, t)
      return lt.gaussian_nll(m, v, t, {reduction = reduction})
    end, label)
  end

  -- Convolutions: groups, paddings that are words, one axis and three.
  local function conv(op, x, weight, out, options)
    local function f(lt, t, w, b) return lt[op](t, w, b, options) end
    add(op, {x, {weight, "small"}, {out}}, f)
    add(op, {x, {weight, "small"}}, function(lt, t, w) return lt[op](t, w, nil, options) end)
  end
  conv("conv2d", {2, 4, 5, 4}, {2, 3, 2, 6}, 6, {groups = 2})
  conv("conv2d", {1, 4, 5, 3}, {3, 3, 1, 6}, 6, {groups = 3, stride = {2, 1}, padding = 1})
  conv("conv2d", {1, 4, 5, 2}, {2, 3, 2, 3}, 3, {padding = "same"})
  conv("conv2d", {1, 5, 5, 2}, {4, 2, 1, 2}, 2, {padding = "same", dilation = {1, 3}, groups = 2})
  conv("conv2d", {1, 4, 5, 2}, {2, 3, 2, 3}, 3, {padding = "valid"})
  conv("conv_transpose2d", {2, 2, 3, 4}, {2, 3, 4, 3}, 6, {groups = 2, stride = 2})
  for _, options in ipairs {{}, {stride = 2, padding = 1}, {dilation = 2}, {padding = "same"}} do
    conv("conv1d", {2, 6, 3}, {3, 3, 2}, 2, options)
  end
  conv("conv1d", {1, 5, 4}, {2, 2, 4}, 4, {groups = 2, padding = "same"})
  conv("conv_transpose1d", {2, 4, 3}, {3, 3, 2}, 2, {stride = 2, padding = 1, output_padding = 1})
  conv("conv_transpose1d", {1, 4, 4}, {2, 4, 1}, 2, {groups = 2, dilation = 2})
  conv("conv3d", {2, 3, 3, 4, 2}, {2, 2, 3, 2, 3}, 3, {})
  conv("conv3d", {1, 4, 3, 3, 2}, {3, 2, 2, 1, 2}, 2, {groups = 2, stride = {2, 1, 1}, padding = {1, 0, 1}})
  conv("conv3d", {1, 4, 2, 3, 1}, {2, 2, 2, 1, 2}, 2, {padding = "same", dilation = {2, 1, 1}})
  conv("conv_transpose3d", {2, 2, 2, 2, 2}, {2, 2, 3, 2, 2}, 2, {stride = {2, 1, 1}, output_padding = {1, 0, 0}})
  conv("conv_transpose3d", {1, 3, 2, 2, 2}, {3, 2, 2, 2, 1}, 2, {groups = 2, padding = 1, dilation = {2, 1, 1}})
  wide("conv1d", {{3, 41, 17}, {{5, 17, 33}, "small"}}, function(lt, x, w) return lt.conv1d(x, w, {padding = 2}) end)

  -- Pools.
  local function pool(op, x, ...)
    local args = {...}
    add(op, {x}, function(lt, t) return (lt[op](t, table.unpack(args))) end)
  end
  pool("max_pool2d", {1, 6, 7, 2}, 2, {dilation = 2})
  pool("max_pool2d", {2, 6, 5, 3}, {3, 2}, {stride = 2, padding = 1, dilation = {1, 2}, ceil_mode = true})
  pool("max_pool2d", {1, 5, 5, 17}, 2, {ceil_mode = true, return_indices = true})
  for _, options in ipairs {{ceil_mode = true}, {padding = 1, count_include_pad = false}, {divisor_override = 3},
    {padding = 1, ceil_mode = true, stride = 2}} do
    pool("avg_pool2d", {1, 6, 5, 2}, 3, options)
    pool("avg_pool1d", {2, 6, 2}, 3, options)
    pool("avg_pool3d", {1, 4, 3, 4, 1}, {3, 2, 3}, options)
  end
  pool("max_pool1d", {2, 7, 3}, 2, {stride = 2, ceil_mode = true})
  pool("max_pool1d", {2, 7, 3}, 3, {dilation = 2, padding = 1, return_indices = true})
  pool("max_pool3d", {1, 4, 5, 4, 2}, 2, {stride = {2, 1, 2}})
  pool("max_pool3d", {1, 4, 5, 4, 2}, {2, 3, 2}, {padding = 1, dilation = {2, 1, 1}, ceil_mode = true,
    return_indices = true})

  for _, op in ipairs {"adaptive_avg_pool", "adaptive_max_pool"} do
    add(op .. "1d", {{2, 5, 2}}, function(lt, x) return (lt[op .. "1d"](x, 3)) end)
    add(op .. "2d", {{1, 5, 4, 2}}, function(lt, x) return (lt[op .. "2d"](x, {3, 2})) end)
    add(op .. "2d", {{2, 4, 3, 1}}, function(lt, x) return (lt[op .. "2d"](x, {output_size = 1})) end)
    add(op .. "2d", {{1, 2, 3, 2}}, function(lt, x) return (lt[op .. "2d"](x, 5)) end)
    add(op .. "3d", {{1, 3, 4, 2, 2}}, function(lt, x) return (lt[op .. "3d"](x, {2, 3, 1})) end)
  end

  -- The way back from places, of which the last window writes where two have the same.
  local function unpool(op, shape, places, options)
    add(op, {shape}, function(lt, x)
      local index = lt.tensor(places, {dtype = "i64"}):reshape(shape)
      return lt[op](x, index, 2, options)
    end)
  end
  unpool("max_unpool1d", {1, 2, 2}, {1, 2, 4, 3})
  unpool("max_unpool2d", {1, 2, 2, 1}, {1, 4, 9, 16})
  unpool("max_unpool2d", {2, 1, 2, 2}, {7, 3, 2, 8, 1, 1, 10, 9}, {stride = {2, 3}, output_size = {2, 5}})
  unpool("max_unpool2d", {1, 2, 2, 1}, {1, 5, 5, 5}, {stride = 1})
  unpool("max_unpool3d", {1, 1, 2, 1, 2}, {2, 16, 7, 1}, {output_size = {3, 4, 2}})
  add("pixel_shuffle", {{2, 3, 2, 8}}, function(lt, x) return lt.pixel_shuffle(x, 2) end)
  add("pixel_shuffle", {{1, 1, 2, 9}}, function(lt, x) return lt.pixel_shuffle(x, {factor = 3}) end)
  add("pixel_unshuffle", {{2, 4, 6, 2}}, function(lt, x) return lt.pixel_unshuffle(x, 2) end)

  -- Resampling.
  local function resize(x, options)
    add("interpolate", {x}, function(lt, t) return lt.interpolate(t, options) end, {label = options.mode})
  end
  for _, mode in ipairs {"nearest", "nearest-exact", "bilinear", "bicubic", "area"} do
    for _, size in ipairs {{7, 3}, {2, 9}, 4} do resize({2, 4, 5, 2}, {size = size, mode = mode}) end
    resize({1, 4, 5, 2}, {scale_factor = {1.7, 0.6}, mode = mode})
  end
  for _, mode in ipairs {"bilinear", "bicubic"} do
    resize({1, 4, 5, 2}, {size = {7, 3}, mode = mode, align_corners = true})
    resize({1, 6, 5, 2}, {size = {2, 7}, mode = mode, antialias = true})
  end
  resize({2, 5, 3}, {size = 8, mode = "linear"})
  resize({2, 5, 3}, {size = 1, mode = "linear", align_corners = true})
  resize({1, 2, 3, 4, 2}, {size = {3, 5, 2}, mode = "trilinear"})
  resize({1, 2, 3, 4, 2}, {scale_factor = 2, mode = "nearest"})
  wide("interpolate", {{2, 13, 17, 33}}, function(lt, x)
    return lt.interpolate(x, {size = {29, 5}, mode = "bilinear"})
  end)
end
