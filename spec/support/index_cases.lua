-- Gradient cases of the ops that index, order and move elements; see spec/support/op_cases.lua.

--- @param add adds a case, and `wide` one that is too large for central differences
return function(add, wide)
  local X = {{2, 3, 4}}
  local function plain(op, ...)
    for _, args in ipairs{...} do
      add(op, X, function(lt, x) return (lt[op](x, table.unpack(args))) end)
    end
  end

  -- Places.
  local INDEX = {{{1, 2, 1, 2}, {2, 2, 1, 1}, {1, 1, 1, 2}}}
  plain("gather", {1, INDEX}, {-1, {{{4, 1}, {2, 2}}}})
  add("gather_rows", X, function(lt, x) return lt.gather_rows(x, {3, 1, 3}, 2) end)
  add("gather_rows", X, function(lt, x) return lt.gather_rows(x, {4, 4}, -1) end)
  for _, op in ipairs{"scatter", "scatter_add"} do
    add(op, {{3, 4}, {2, 2}}, function(lt, x, src) return lt[op](x, 2, {{1, 1}, {4, 2}}, src) end)
    add(op, {{3, 4}, {1, 4}}, function(lt, x, src) return lt[op](x, 1, {{3, 3, 1, 2}}, src) end)
    add(op, {{5}, {4}}, function(lt, x, src) return lt[op](x * 2, 1, {5, 2, 5, 5}, src * src) end)
    add(op, {{3, 4}}, function(lt, x) return lt[op](x, 1, {{3, 1, 1, 2}}, 7) end)
  end
  plain("index_select", {1, {2, 2, 1}}, {2, {3, 1}}, {-1, {4, 1, 4}})
  for _, op in ipairs{"index_copy", "index_add"} do
    add(op, {{3, 4}, {2, 4}}, function(lt, x, src) return lt[op](x, 1, {3, 3}, src) end)
    add(op, {{2, 3, 2}, {2, 2, 2}}, function(lt, x, src) return lt[op](x, 2, {3, 1}, src) end)
  end
  for _, accumulate in ipairs{false, true} do
    add("index_put", {{3, 4}, {3}}, function(lt, x, v)
      return lt.index_put(x, {{1, 3, 1}, {2, 4, 2}}, v, accumulate)
    end)
    add("index_put", {{3, 4}, {4}}, function(lt, x, v) return lt.index_put(x, {{3, 3}}, v, accumulate) end)
  end
  add("masked_fill", {{3, 4}}, function(lt, x) return lt.masked_fill(x, lt.gt(x, 0), 1) end)
  add("masked_select", {{3, 4}}, function(lt, x) return lt.masked_select(x, {1, 0, 1, 1}) end)
  add("take", {{3, 4}}, function(lt, x) return lt.take(x, {{1, 12}, {5, 1}}) end)

  -- Order: values are apart from each other.
  plain("sort", {}, {1}, {2, true})
  wide("sort", {{300, 40}}, function(lt, x) return (lt.sort(x, 1)) end)
  plain("topk", {2}, {1, {largest = false, axis = 1}})
  plain("kthvalue", {2}, {1, 2, true})
  plain("median", {}, {2}, {1, true})
  plain("quantile", {0.3}, {{0.1, 0.8}, 2}, {0.5, -1, {keepdim = true, interpolation = "midpoint"}})

  -- Sums and products.
  plain("cumsum", {1}, {2}, {-1})
  plain("cumprod", {1}, {2}, {-1})
  plain("prod", {}, {2}, {-1, true})
  add("cumprod", {{6}}, function(lt, x) return lt.cumprod(x * lt.tensor{1, 1, 0, 1, 0, 1}, 1) end)
  for _, zeros in ipairs{{1, 0, 1, 1}, {1, 0, 0, 1}} do
    add("prod", {{4}}, function(lt, x) return lt.prod(x * lt.tensor(zeros)) end)
  end
  wide("cumsum", {{33, 70}}, function(lt, x) return lt.cumsum(x, 1) end)
  wide("cumsum", {{5000}}, function(lt, x) return lt.cumsum(x, 1) end)

  -- Elements moved about.
  add("flip", X, function(lt, x) return lt.flip(x, {1, 3}) end)
  add("flip", X, function(lt, x) return lt.flip(x, 3, 2, 1) end)
  plain("roll", {2}, {{1, -1}, {1, 3}}, {3, 2})
  plain("tril", {}, {-1})
  plain("triu", {}, {1})
  plain("diagonal", {}, {-1, 2, 3}, {1, {axis1 = 3, axis2 = 1}})
  plain("diag_embed", {}, {-2})
  add("diag", {{3, 4}}, function(lt, x) return lt.diag(x, -1) end)
  add("diag", {{3}}, function(lt, x) return lt.diag(x, 1) end)
  add("trace", {{3, 3}}, function(lt, x) return lt.trace(x) end)
  plain("pad", {{1, 2, 0, 1}}, {{-1, 1}, {value = 3}}, {{2, 3, 1, 1}, "reflect"}, {{2, 1}, "replicate"},
    {{2, 3}, "circular"})
  plain("tile", {{2, 1, 3}}, {{2, 1, 1, 2}})
  plain("repeat_interleave", {2}, {{2, 0, 1}, 2})
  add("split", X, function(lt, x) return lt.split(x, 3, 3)[1] * lt.split(x, {1, 3}, 3)[2] end)
  add("chunk", X, function(lt, x) return lt.chunk(x, 2, 3)[2] end)
  add("unfold", {{2, 4, 3, 2}}, function(lt, x) return lt.unfold(x, 2, {padding = 1, stride = {2, 1}}) end)
  add("unfold", {{1, 5, 5, 1}}, function(lt, x) return lt.unfold(x, {2, 3}, {dilation = 2}) end)
  add("fold", {{2, 4, 8}}, function(lt, x) return lt.fold(x, 3, 2) end)
  add("fold", {{1, 9, 4}}, function(lt, x) return lt.fold(x, 4, 2, {padding = 1, stride = 2}) end)
  add("meshgrid", {{2}, {3}}, function(lt, a, b)
    local x, y = lt.meshgrid{a, b}
    return x * y + x
  end)

  -- Products.
  add("einsum", {{2, 3}, {4, 3}}, function(lt, a, b) return lt.einsum("ij,kj->ik", a, b) end)
  add("einsum", {{2, 3, 2}, {2, 2, 4}, {4}}, function(lt, a, b, c) return lt.einsum("bij,bjk,k->ib", a, b, c) end)
  add("einsum", {{2, 2, 3}, {3, 2}}, function(lt, a, b) return lt.einsum("...ij,jk->...ki", a, b) end)
  add("einsum", {{3, 3}}, function(lt, a) return lt.einsum("ii", a) + lt.einsum("ij->", a) end)
  add("einsum", {{2, 1, 3}, {4, 3}}, function(lt, a, b) return lt.einsum("b...d,...d->b...", a, b) end)
  for _, p in ipairs{1, 2, 3, 1.5, math.huge} do
    add("cdist", {{3, 4}, {2, 4}}, function(lt, a, b) return lt.cdist(a, b, p) end, {label = tostring(p)})
  end
  add("cdist", {{2, 1, 3, 2}, {3, 2, 2}}, function(lt, a, b) return lt.cdist(a, b) end, {label = "broadcast"})
  add("cdist", {{2, 3, 2}, {2, 2, 2}}, function(lt, a, b) return lt.cdist(a, b) end)
  for _, d in ipairs {1, 3, 4, 33} do
    for _, n in ipairs {{1, 5}, {17, 16}, {19, 83}} do
      wide("cdist", {{2, n[1], d}, {2, n[2], d}}, function(lt, a, b) return lt.cdist(a, b) end)
    end
  end
end
