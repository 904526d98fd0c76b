--- Gradients of convolutions, pooling and what is fused of them.
-- @module latent.base.grad.images

return function(core, again, filled)
  local ops = core.ops

  local function exchanged(weight) return ops.permute(weight, {1, 2, 4, 3}) end
  local function bias_gradient(n, dy) return n.wants[3] and ops.sum(dy, {1, 2, 3}) or nil end

  -- Along the two axes of an image, the first so many pixels.
  local function cut(x, height, width)
    if x:size(2) > height then x = ops.slice(x, 2, 1, height) end
    return x:size(3) > width and ops.slice(x, 3, 1, width) or x
  end

  -- The gradient of the weight [kh, kw, in, out] of a convolution of large images that gives small ones: a convolution
  -- in which the batch takes the channels' place, stride and dilation each other's, and the small images the kernel's.
  local function gradient_of_group(large, small, p, kernel)
    local images = ops.permute(large, {4, 2, 3, 1})
    local weight = ops.permute(small, {2, 3, 1, 4})
    local dw = ops.conv2d(images, weight, {stride = p.dilation, dilation = p.stride, padding = p.padding})
    return ops.permute(cut(dw, kernel[1], kernel[2]), {2, 3, 1, 4})
  end

  -- That of each group; they stand side by side along the outputs.
  local function weight_gradient(large, small, p, kernel)
    if p.groups == 1 then return gradient_of_group(large, small, p, kernel) end
    local parts = {}
    for g = 1, p.groups do
      local function part(x)
        local n = x:size(4) // p.groups
        return ops.slice(x, 4, (g - 1) * n + 1, g * n)
      end
      parts[g] = gradient_of_group(part(large), part(small), p, kernel)
    end
    return ops.cat(parts, 4)
  end

  -- What a transposed convolution has to add to the small images' size to come to the large ones'.
  local function missing(n, p)
    local add, large, small, kernel = {}, n.shapes[1], n.shape, n.shapes[2]
    for d = 1, 2 do
      local reach = p.dilation[d] * (kernel[d] - 1) + 1
      add[d] = large[1 + d] - ((small[1 + d] - 1) * p.stride[d] - 2 * p.padding[d] + reach)
    end
    return add
  end

  -- Averages have no channels: each is an image of its own.
  local function alone(x)
    local s = x.shape
    return ops.reshape(ops.permute(x, {1, 4, 2, 3}), s[1] * s[4], s[2], s[3], 1)
  end
  local function together(x, batch, channels)
    local s = x.shape
    return ops.permute(ops.reshape(x, batch, channels, s[2], s[3]), {1, 3, 4, 2})
  end

  -- The sums over the windows of a pool that has so many; what stands out is zero.
  local function window_sums(p, x, shape)
    local stride, ones = {}, filled(x, {p.kernel[1], p.kernel[2], 1, 1}, 1)
    for d = 1, 2 do
      stride[d] = p.stride[d] > 0 and p.stride[d] or p.kernel[d]
      local out = (shape[1 + d] - 1) * stride[d] + p.kernel[d] - x:size(1 + d) - 2 * p.padding[d]
      if out > 0 then
        local edge = x.shape
        edge[1 + d] = out
        x = ops.cat({x, filled(x, edge, 0)}, 1 + d)
      end
    end
    return together(ops.conv2d(alone(x), ones, {stride = stride, padding = p.padding}), shape[1], shape[4])
  end

  return {
    conv2d = function(n, dy)
      local p, dx = n.params, nil
      if n.wants[1] then
        dx = ops.conv_transpose2d(dy, exchanged(n[2]), {stride = p.stride, padding = p.padding, dilation = p.dilation,
          output_padding = missing(n, p), groups = p.groups})
      end
      return dx, n.wants[2] and weight_gradient(n[1], dy, p, n.shapes[2]) or nil, bias_gradient(n, dy)
    end,
    conv_transpose2d = function(n, dy)
      local p, dx = n.params, nil
      if n.wants[1] then
        dx = ops.conv2d(dy, exchanged(n[2]), {stride = p.stride, padding = p.padding, dilation = p.dilation,
          groups = p.groups})
        dx = cut(dx, n.shapes[1][2], n.shapes[1][3])
      end
      local dw = n.wants[2] and exchanged(weight_gradient(dy, n[1], p, n.shapes[2])) or nil
      return dx, dw, bias_gradient(n, dy)
    end,
    conv_block = again(function(p, x, weight, bias)
      if p.upsample[1] > 1 or p.upsample[2] > 1 then x = ops.upsample_nearest(x, p.upsample) end
      local y = ops[p.transposed and "conv_transpose2d" or "conv2d"](x, weight, bias, {padding = p.padding})
      if p.activation == "relu" then y = ops.relu(y) end
      if p.activation == "leaky_relu" then y = ops.leaky_relu(y, p.slope) end
      return (p.pool[1] > 1 or p.pool[2] > 1) and ops.max_pool2d(y, p.pool) or y
    end),
    avg_pool2d = again(function(p, x)
      local ones = filled(x, x.shape, 1)
      local mean = ops.avg_pool2d(ones, p)
      local counted = window_sums(p, ones, mean.shape)
      local share = ops.where(ops.eq(counted, 0), 0, mean / ops.maximum(counted, 1))
      return window_sums(p, x, mean.shape) * share
    end),
    resample = function(n, dy)
      local p, dims = n.params, #n.shapes[1]
      local size, order = n.shapes[1][p.axis], {}
      local eye = core.eye(size, {dtype = dy.dtype})
      local weights = ops.resample(eye, 1, p.size, p.mode, p.align_corners, p.antialias, p.scale)
      for d = 1, dims do order[d] = d end
      order[p.axis], order[dims] = dims, p.axis -- its own inverse
      local turned = ops.permute(dy, order)
      local shape = turned.shape
      shape[dims] = size
      local dx = ops.matmul(ops.reshape(turned, -1, p.size), weights)
      return ops.permute(ops.reshape(dx, {table.unpack(shape)}), order)
    end,
    upsample_nearest = function(n, dy)
      local s, by = n.shapes[1], n.params.scale
      return ops.sum(ops.reshape(dy, s[1], s[2], by[1], s[3], by[2], s[4]), {3, 5})
    end,
  }
end
