--- Gradients as values: of chosen tensors, of gradients themselves, and products with Jacobians and Hessians.
-- `lt.grad` walks back over the tape as `backward` does, here in Lua. Without `create_graph` each node is run back by
-- the core; with it, by the rules of the files beside this one, which are made of ops and so are recorded.
-- @module latent.base.grad
local keep = require "latent.base.grad.keep"
local options = require "latent.base.options"
local shapes = require "latent.base.shapes"
local walking = require "latent.base.grad.walk"

--- @tparam table core latent.core
-- @tparam table lt the face to which the functions are added
return function(core, lt)
  local ops, raise, describe = core.ops, core.raise, options.describe
  local walk = walking(core)

  local function each_tensor(name, list)
    if core.is_tensor(list) then return {list}, true end
    if type(list) ~= "table" or #list == 0 then
      raise(("%s: expected a tensor or a list of tensors, got %s"):format(name, describe(list)))
    end
    core.check_list(list, name)
    for i, x in ipairs(list) do core.check_tensor(x, ("%s: item %d"):format(name, i)) end
    return list, false
  end

  -- What comes in at the outputs: the given gradients, or ones for scalars.
  local function seeds_of(name, ys, given)
    if core.is_tensor(given) then given = {given} end
    core.check_list(given, name .. ": grad_outputs")
    if given and #given ~= #ys then
      raise(("%s: grad_outputs: expected one for each of %d outputs, got %d"):format(name, #ys, #given))
    end
    local seeds = {}
    for i, y in ipairs(ys) do
      local seed = given and given[i]
      if not seed and y:numel() ~= 1 then
        raise(("%s: expected a scalar (one element), got shape %s; reduce it with :sum() or :mean(), or give "
          .. "grad_outputs"):format(name, shapes.text(y)))
      end
      seeds[i] = seed and core.check_tensor(seed, name .. ": grad_outputs") or walk.filled(y, y.shape, 1)
      if core.is_part(seeds[i]) then seeds[i] = lt.clone(seeds[i]) end -- it may come back as a gradient
      if shapes.typed(seeds[i]) ~= shapes.typed(y) then
        raise(("%s: grad_outputs: expected %s, got %s"):format(name, shapes.typed(y), shapes.typed(seeds[i])))
      end
    end
    return seeds
  end

  local grad_options = options.declare("lt.grad", {
    {"grad_outputs", "any", nil, "what comes in at y, of its shape (a list for a list): needed unless y is a scalar"},
    {"create_graph", "boolean", false, "the gradients are results of ops and have gradients themselves"},
    {"retain_graph", "boolean", nil, "the graph can be walked again; what create_graph says unless given"},
    {"allow_unused", "boolean", false, "y need not depend on all of xs; the gradient of one that it does not is nil"},
    {"materialize_grads", "boolean", false, "... or zeros"},
  })

  --- The gradients of y with respect to tensors, which get them back instead of in their `grad`.
  -- @function lt.grad
  -- @tparam Tensor|{Tensor,...} y a scalar, or several whose gradients add up
  -- @tparam Tensor|{Tensor,...} xs parameters, or what was computed on the way to y
  -- @tparam ?table opts
  -- @treturn Tensor|{Tensor,...} one for each of xs, of its shape; as xs, a tensor or a list
  -- @raise where y does not depend on one of xs; where an op on the way has no gradient of its gradient
  -- @usage local g = lt.grad(f(x):sum(), x, {create_graph = true}); (g:square():sum()):backward()
  function lt.grad(y, xs, opts)
    local o = grad_options(opts, "grad")
    local ys = each_tensor("grad: y", y)
    local targets, single = each_tensor("grad: xs", xs)
    for i, root in ipairs(ys) do
      if not root.requires_grad then
        raise(("grad: y%s: nothing here wants a gradient (make parameters with lt.param, and compute outside no_grad)")
          :format(#ys > 1 and ": item " .. i or ""))
      end
    end
    for i, x in ipairs(targets) do
      if not x.requires_grad then raise(("grad: xs: item %d wants no gradient"):format(i)) end
    end
    local retain = o.retain_graph
    if retain == nil then retain = o.create_graph end
    local seeds = seeds_of("grad", ys, o.grad_outputs)
    local found = walk.run(ys, seeds, targets, o.create_graph, retain)
    for i, x in ipairs(targets) do
      if found[i] then core.own(found[i]) end -- a part of nothing, as a gradient
      if not found[i] and o.materialize_grads then found[i] = walk.filled(x, x.shape, 0) end
      if not found[i] and not o.allow_unused then
        raise(("grad: xs: y does not depend on item %d; allow_unused = true gives nil for it"):format(i))
      end
    end
    if single then return found[1] end
    return found
  end

  -- ---- functions of functions ----

  -- The inputs of a function as tensors whose gradients can be asked for: new leaves, or, for a result that is to have
  -- a gradient itself, results of the inputs.
  local function inputs_of(name, given, create)
    local list, single = each_tensor(name .. ": inputs", given)
    local inputs = {}
    for i, x in ipairs(list) do
      if create and x.requires_grad then inputs[i] = ops.reshape(x, x.shape)
      else inputs[i] = core.param(x:detach()) end
    end
    return inputs, single
  end

  local function call(name, f, inputs)
    options.expect(name, "f", f, walk.callable)
    local y = core.with_recording(true, f, table.unpack(inputs))
    return core.check_tensor(y, name .. ": what f returns")
  end

  -- The gradients, zeros where there is none.
  local function gradients(y, xs, seed, create)
    if not y.requires_grad then
      local zeros = {}
      for i, x in ipairs(xs) do zeros[i] = walk.filled(x, x.shape, 0) end
      return zeros
    end
    return lt.grad(y, xs, {grad_outputs = seed, create_graph = create, retain_graph = true, materialize_grads = true})
  end

  local function one_or_all(list, single)
    if single then return list[1] end
    return list
  end

  local function directions(name, v, inputs)
    local list = each_tensor(name .. ": v", v)
    for i, x in ipairs(inputs) do
      if not list[i] or shapes.typed(list[i]) ~= shapes.typed(x) then
        raise(("%s: v: expected %s for input %d, got %s"):format(name, shapes.typed(x), i,
          list[i] and shapes.typed(list[i]) or "nothing"))
      end
    end
    return list
  end

  local function product_options(name)
    return options.declare("lt." .. name, {
      {"create_graph", "boolean", false, "the result has a gradient with respect to the inputs"},
    })
  end
  local vjp_options, jvp_options, hvp_options = product_options "vjp", product_options "jvp", product_options "hvp"
  local jacobian_options, hessian_options = product_options "jacobian", product_options "hessian"

  --- A vector times the Jacobian of a function: v^T J.
  -- @function lt.vjp
  -- @tparam function f takes the inputs as arguments and returns a tensor
  -- @tparam Tensor|{Tensor,...} inputs
  -- @tparam ?Tensor v of the shape of f's result; may be left out where that is a scalar
  -- @tparam ?table opts
  -- @treturn Tensor f's result
  -- @treturn Tensor|{Tensor,...} the product, of the shape of the inputs
  function lt.vjp(f, inputs, v, opts)
    local o = vjp_options(opts, "vjp")
    local xs, single = inputs_of("vjp", inputs, o.create_graph)
    local y = call("vjp", f, xs)
    local seed = seeds_of("vjp", {y}, v)[1]
    local product = gradients(y, xs, seed, o.create_graph)
    return o.create_graph and y or y:detach(), one_or_all(product, single)
  end

  --- The Jacobian of a function times a vector: J v, by a gradient of a gradient.
  -- @function lt.jvp
  -- @tparam function f takes the inputs as arguments and returns a tensor
  -- @tparam Tensor|{Tensor,...} inputs
  -- @tparam Tensor|{Tensor,...} v of the shapes of the inputs
  -- @tparam ?table opts
  -- @treturn Tensor f's result
  -- @treturn Tensor the product, of its shape
  function lt.jvp(f, inputs, v, opts)
    local o = jvp_options(opts, "jvp")
    local xs = inputs_of("jvp", inputs, o.create_graph)
    local directions_of = directions("jvp", v, xs)
    local y = call("jvp", f, xs)
    local seed = core.param(walk.filled(y, y.shape, 0)) -- v^T J is linear in v; its gradient there is J
    local back, product = gradients(y, xs, seed, true), nil
    for i, g in ipairs(back) do
      if g.requires_grad then
        local part = gradients(g, {seed}, directions_of[i], o.create_graph)[1]
        product = product and product + part or part
      end
    end
    return o.create_graph and y or y:detach(), product or walk.filled(y, y.shape, 0)
  end

  --- The Hessian of a function times a vector: H v, without the Hessian.
  -- @function lt.hvp
  -- @tparam function f takes the inputs as arguments and returns a scalar
  -- @tparam Tensor|{Tensor,...} inputs
  -- @tparam Tensor|{Tensor,...} v of the shapes of the inputs
  -- @tparam ?table opts
  -- @treturn Tensor f's result
  -- @treturn Tensor|{Tensor,...} the product, of the shapes of the inputs
  function lt.hvp(f, inputs, v, opts)
    local o = hvp_options(opts, "hvp")
    local xs, single = inputs_of("hvp", inputs, o.create_graph)
    local list = directions("hvp", v, xs)
    local y = call("hvp", f, xs)
    local first, product = gradients(y, xs, seeds_of("hvp", {y})[1], true), {}
    for i, g in ipairs(first) do
      local rows = gradients(g, xs, list[i], o.create_graph)
      for k, row in ipairs(rows) do product[k] = product[k] and product[k] + row or row end
    end
    return o.create_graph and y or y:detach(), one_or_all(product, single)
  end

  -- The gradients of each element of y, one above the other: [y's shape, x's shape] for each x.
  local function rows_of(y, xs, create)
    local flat, list = ops.reshape(y, -1), {}
    for k = 1, #xs do list[k] = {} end
    for i = 1, y:numel() do
      local row = gradients(ops.slice(flat, 1, i, i), xs, nil, create)
      for k, g in ipairs(row) do list[k][i] = ops.reshape(g, 1, g:numel()) end
    end
    for k, x in ipairs(xs) do
      local shape = y.shape
      for _, size in ipairs(x.shape) do shape[#shape + 1] = size end
      list[k] = #list[k] > 0 and ops.reshape(ops.cat(list[k], 1), {table.unpack(shape)}) or walk.filled(x, shape, 0)
    end
    return list
  end

  --- The Jacobian of a function: the gradient of each element of its result.
  -- @function lt.jacobian
  -- @tparam function f takes the inputs as arguments and returns a tensor
  -- @tparam Tensor|{Tensor,...} inputs
  -- @tparam ?table opts
  -- @treturn Tensor|{Tensor,...} for each input [f's shape, the input's shape]
  function lt.jacobian(f, inputs, opts)
    local o = jacobian_options(opts, "jacobian")
    local xs, single = inputs_of("jacobian", inputs, o.create_graph)
    return one_or_all(rows_of(call("jacobian", f, xs), xs, o.create_graph), single)
  end

  --- The Hessian of a function: its second derivatives.
  -- @function lt.hessian
  -- @tparam function f takes the inputs as arguments and returns a scalar
  -- @tparam Tensor|{Tensor,...} inputs
  -- @tparam ?table opts
  -- @treturn Tensor|{{Tensor,...},...} of an input [its shape, its shape]; of a list, by two of its places
  function lt.hessian(f, inputs, opts)
    local o = hessian_options(opts, "hessian")
    local xs, single = inputs_of("hessian", inputs, o.create_graph)
    local y, blocks = call("hessian", f, xs), {}
    for i, g in ipairs(gradients(y, xs, seeds_of("hessian", {y})[1], true)) do
      blocks[i] = rows_of(g, xs, o.create_graph)
    end
    return single and blocks[1][1] or blocks
  end

  keep(core, lt, walk)
end
