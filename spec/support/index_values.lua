-- Values of the ops that index, order and move elements, by PyTorch; places are counted from 1 here.
local lt = require "latent"

local nan = 0 / 0

local ROWS = lt.tensor{{{3, 1}, {2, 2}}, {{1, 5}, {2, 2}}, {{3, 1}, {2, 2}}, {{1, 4}, {0, -1}}}
local M34 = lt.tensor {{3, 1, 4, 1}, {5, 9, 2, 6}, {5, 3, 5, 8}}
local C234, V12 = lt.arange(1, 24):reshape(2, 3, 4), lt.tensor {1, 2}
local WITH_NAN = lt.tensor {2, -1, 2, nan, 0.5}

return {
  gather = {
    {function() return M34:gather(1, {{1, 3, 2, 2}}) end, {{3, 3, 2, 6}}},
    {function() return lt.gather(M34, -1, {{4, 1}, {2, 2}}) end, {{1, 3}, {9, 9}}},
  },
  scatter = {
    {function() return M34:scatter(2, {{1, 2}, {4, 4}}, {{10, 20}, {30, 40}}) end,
      {{10, 20, 4, 1}, {5, 9, 2, 40}, {5, 3, 5, 8}}},
    {function() return M34:scatter(1, {{3, 3, 1, 2}}, 7) end, {{3, 1, 7, 1}, {5, 9, 2, 7}, {7, 7, 5, 8}}},
  },
  scatter_add = {
    {function() return M34:scatter_add(2, {{1, 1}, {4, 2}}, {{10, 20}, {30, 40}}) end,
      {{33, 1, 4, 1}, {5, 49, 2, 36}, {5, 3, 5, 8}}},
  },
  index_select = {
    {function() return M34:index_select(2, {4, 1, 4}) end, {{1, 3, 1}, {6, 5, 6}, {8, 5, 8}}},
  },
  index_copy = {
    {function() return M34:index_copy(1, {3, 1}, {{1, 2, 3, 4}, {5, 6, 7, 8}}) end,
      {{5, 6, 7, 8}, {5, 9, 2, 6}, {1, 2, 3, 4}}},
  },
  index_add = {
    {function() return M34:index_add(2, {2, 2}, {{1, 2}, {3, 4}, {5, 6}}) end,
      {{3, 4, 4, 1}, {5, 16, 2, 6}, {5, 14, 5, 8}}},
  },
  index_put = {
    {function() return M34:index_put({{1, 3, 1}, {2, 4, 2}}, {10, 20, 30}, true) end,
      {{3, 41, 4, 1}, {5, 9, 2, 6}, {5, 3, 5, 28}}},
    {function() return M34:index_put({M34:gt(4)}, 0) end, {{3, 1, 4, 1}, {0, 0, 2, 0}, {0, 3, 0, 0}}},
    {function() return C234:index_put({{{2}, {1}}, {{3, 1}}}, {1, 2, 3, 4}) end,
      {{{1, 2, 3, 4}, {5, 6, 7, 8}, {1, 2, 3, 4}}, {{1, 2, 3, 4}, {17, 18, 19, 20}, {1, 2, 3, 4}}}},
  },
  masked_fill = {
    {function() return M34:masked_fill(M34:gt(4), -1) end, {{3, 1, 4, 1}, {-1, -1, 2, -1}, {-1, 3, -1, -1}}},
  },
  masked_select = {
    {function() return M34:masked_select(M34:gt(4)) end, {5, 9, 6, 5, 5, 8}},
    {function() return M34:masked_select({{1}, {0}, {1}}) end, {3, 1, 4, 1, 5, 3, 5, 8}},
  },
  take = {
    {function() return M34:take({{1, 12}, {5, 6}}) end, {{3, 8}, {5, 9}}},
  },
  nonzero = {
    {function() return lt.nonzero(M34:gt(4)) end, {{2, 1}, {2, 2}, {2, 4}, {3, 1}, {3, 3}, {3, 4}}, "i64"},
  },
  roll = {
    {function() return M34:roll({1, -1}, {1, 2}) end, {{3, 5, 8, 5}, {1, 4, 1, 3}, {9, 2, 6, 5}}},
    {function() return M34:roll(5) end, {{6, 5, 3, 5}, {8, 3, 1, 4}, {1, 5, 9, 2}}},
  },
  tril = {
    {function() return M34:tril() end, {{3, 0, 0, 0}, {5, 9, 0, 0}, {5, 3, 5, 0}}},
    {function() return C234:tril(-1) end,
      {{{0, 0, 0, 0}, {5, 0, 0, 0}, {9, 10, 0, 0}}, {{0, 0, 0, 0}, {17, 0, 0, 0}, {21, 22, 0, 0}}}},
  },
  triu = {
    {function() return M34:triu(1) end, {{0, 1, 4, 1}, {0, 0, 2, 6}, {0, 0, 0, 8}}},
  },
  diagonal = {
    {function() return M34:diagonal(-1) end, {5, 3}},
    {function() return C234:diagonal(1, 3, 1) end, {{13}, {17}, {21}}},
  },
  diag_embed = {
    {function() return lt.diag_embed(lt.tensor {{1, 2}, {3, 4}}, 1) end,
      {{{0, 1, 0}, {0, 0, 2}, {0, 0, 0}}, {{0, 3, 0}, {0, 0, 4}, {0, 0, 0}}}},
  },
  diag = {
    {function() return lt.tensor({1, 2}):diag(-1) end, {{0, 0, 0}, {1, 0, 0}, {0, 2, 0}}},
    {function() return M34:diag(2) end, {4, 6}},
  },
  trace = {
    {function() return M34:trace() end, 17},
  },
  pad = {
    {function() return M34:pad({1, 2, 0, 1}, {value = 7}) end,
      {{7, 3, 1, 4, 1, 7, 7}, {7, 5, 9, 2, 6, 7, 7}, {7, 5, 3, 5, 8, 7, 7}, {7, 7, 7, 7, 7, 7, 7}}},
    {function() return M34:pad({-1, 1}) end, {{1, 4, 1, 0}, {9, 2, 6, 0}, {3, 5, 8, 0}}},
    {function() return M34:pad({2, 3}, "reflect") end,
      {{4, 1, 3, 1, 4, 1, 4, 1, 3}, {2, 9, 5, 9, 2, 6, 2, 9, 5}, {5, 3, 5, 3, 5, 8, 5, 3, 5}}},
    {function() return M34:pad({2, 1, 1, 2}, "replicate") end,
      {{3, 3, 3, 1, 4, 1, 1}, {3, 3, 3, 1, 4, 1, 1}, {5, 5, 5, 9, 2, 6, 6}, {5, 5, 5, 3, 5, 8, 8}, {5, 5, 5, 3, 5, 8,
      8}, {5, 5, 5, 3, 5, 8, 8}}},
    {function() return M34:pad({2, 4}, "circular") end,
      {{4, 1, 3, 1, 4, 1, 3, 1, 4, 1}, {2, 6, 5, 9, 2, 6, 5, 9, 2, 6}, {5, 8, 5, 3, 5, 8, 5, 3, 5, 8}}},
  },
  tile = {
    {function() return V12:tile(2, 3) end, {{1, 2, 1, 2, 1, 2}, {1, 2, 1, 2, 1, 2}}},
  },
  repeat_interleave = {
    {function() return V12:repeat_interleave {2, 3} end, {1, 1, 2, 2, 2}},
    {function() return M34:repeat_interleave({2, 0, 1}, 1) end, {{3, 1, 4, 1}, {3, 1, 4, 1}, {5, 3, 5, 8}}},
  },
  split = {
    {function() return M34:split(3, 2)[2] end, {{1}, {6}, {8}}},
    {function() return M34:split({1, 2})[2] end, {{5, 9, 2, 6}, {5, 3, 5, 8}}},
  },
  chunk = {
    {function() return M34:chunk(2)[1] end, {{3, 1, 4, 1}, {5, 9, 2, 6}}},
  },
  einsum = {
    {function() return lt.einsum("ij,kj->ki", M34, M34) end, {{27, 38, 46}, {38, 146, 110}, {46, 110, 123}}},
    {function() return lt.einsum({C234, M34}, "bij,ij->b") end, {388, 1012}},
    {function() return lt.einsum("...ij,jk", C234, lt.transpose(M34)) end,
      {{{21, 53, 58}, {57, 141, 142}, {93, 229, 226}}, {{129, 317, 310}, {165, 405, 394}, {201, 493, 478}}}},
    {function() return lt.einsum("ii", M34:slice(2, 1, 3)) end, 17},
    {function() return lt.einsum("iji->j", C234:slice(3, 1, 2)) end, {15, 23, 31}},
    {function() return lt.einsum("ba", M34) end, {{3, 5, 5}, {1, 9, 3}, {4, 2, 5}, {1, 6, 8}}},
  },
  cdist = {
    {function() return lt.cdist(M34, C234[1]) end,
      {{3.8729835, 9.3273792, 16.941074}, {8.3666, 6.1644139, 11.575837}, {6.0827627, 3.6055512, 10.816654}}},
    {function() return lt.cdist(M34, M34, 1) end, {{0, 17, 12}, {17, 0, 11}, {12, 11, 0}}},
    {function() return lt.cdist(M34, M34, 3) end,
      {{0, 8.6756973, 7.1137867}, {8.6756973, 0, 6.3079934}, {7.1137867, 6.3079934, 0}}},
    {function() return lt.cdist(M34, M34, math.huge) end, {{0, 8, 7}, {8, 0, 6}, {7, 6, 0}}},
    {function() return lt.cdist(M34, C234[1], 0) end, {{4, 4, 4}, {4, 3, 4}, {4, 2, 4}}},
  },
  sort = {
    {function() return (WITH_NAN:sort()) end, {-1, 0.5, 2, 2, nan}},
    {function() return select(2, WITH_NAN:sort()) end, {2, 5, 1, 3, 4}, "i64"},
    {function() return select(2, WITH_NAN:sort {descending = true}) end, {4, 1, 3, 5, 2}, "i64"},
    {function() return (M34:sort(1)) end, {{3, 1, 2, 1}, {5, 3, 4, 6}, {5, 9, 5, 8}}},
  },
  argsort = {
    {function() return M34:argsort(2, true) end, {{3, 1, 2, 4}, {2, 4, 1, 3}, {4, 1, 3, 2}}, "i64"},
  },
  topk = {
    {function() return (M34:topk(2)) end, {{4, 3}, {9, 6}, {8, 5}}},
    {function() return select(2, WITH_NAN:topk(2, {largest = false})) end, {2, 5}, "i64"},
  },
  kthvalue = {
    {function() return (M34:kthvalue(2, 1)) end, {5, 3, 4, 6}},
  },
  median = {
    {function() return M34:median() end, 4},
    {function() return (M34:median(2)) end, {1, 5, 5}},
    {function() return WITH_NAN:median() end, nan},
  },
  quantile = {
    {function() return M34:quantile(0.4) end, 3.4000001},
    {function() return M34:quantile({0.1, 0.75}, 1) end, {{3.4000001, 1.4, 2.4000001, 2}, {5, 6, 4.5, 7}}},
    {function() return M34:quantile(0.5, 2, {keepdim = true, interpolation = "nearest"}) end, {{3}, {6}, {5}}},
    {function() return WITH_NAN:quantile(0) end, nan},
  },
  unique = {
    {function() return (M34:unique()) end, {1, 2, 3, 4, 5, 6, 8, 9}},
    {function() return select(2, M34:unique {return_inverse = true}) end,
      {{3, 1, 4, 1}, {5, 8, 2, 6}, {5, 3, 5, 7}}, "i64"},
    {function() return select(2, M34:unique {return_counts = true}) end, {2, 1, 2, 1, 3, 1, 1, 1}, "i64"},
    {function() return (ROWS:unique{axis = 1}) end, {{{1, 4}, {0, -1}}, {{1, 5}, {2, 2}}, {{3, 1}, {2, 2}}}},
    {function() return select(2, ROWS:unique{axis = 1, return_inverse = true}) end, {3, 2, 3, 1}, "i64"},
    {function() return select(2, ROWS:unique{axis = 1, return_counts = true}) end, {1, 1, 2}, "i64"},
    {function() return (ROWS:unique{axis = 3}) end,
      {{{1, 3}, {2, 2}}, {{5, 1}, {2, 2}}, {{1, 3}, {2, 2}}, {{4, 1}, {-1, 0}}}},
    {function() return (lt.tensor{{1, 0, 1, 1, 0}, {2, 7, 2, -1, 7}, {3, 0, 3, 3, 0}}:unique{axis = -1}) end,
      {{0, 1, 1}, {7, -1, 2}, {0, 3, 3}}},
    {function() return select(2, lt.tensor{{1, 0 / 0}, {1, 0 / 0}, {0, 2}}:unique{axis = 1, return_inverse = true}) end,
      {2, 3, 1}, "i64"},
  },
  bincount = {
    {function() return lt.bincount {1, 3, 3, 0} end, {1, 1, 0, 2}, "i64"},
    {function() return lt.bincount({1, 3, 3}, {0.5, 1, 2}, 6) end, {0, 0.5, 0, 3, 0, 0}},
  },
  histc = {
    {function() return M34:histc(4) end, {3, 3, 4, 2}},
    {function() return M34:histc(3, 2, 8) end, {3, 4, 2}},
  },
  histogram = {
    {function() return (M34:histogram {1, 3, 5, 8}) end, {3, 3, 5}},
    {function() return select(2, M34:histogram(2)) end, {1, 5, 9}},
    {function() return select(2, lt.zeros(0):histogram(2)) end, {0, 0.5, 1}},
    {function() return (M34:histogram(2, {0, 4}, {density = true})) end, {0.16666667, 0.33333334}},
  },
  searchsorted = {
    {function() return lt.searchsorted({1, 3, 3, 5}, {{0, 3}, {4, 6}}) end, {{1, 2}, {4, 5}}, "i64"},
    {function() return lt.searchsorted({{1, 3}, {2, 4}}, {{3}, {3}}, {right = true}) end, {{3}, {2}}, "i64"},
  },
  bucketize = {
    {function() return lt.bucketize({0, 1, 2.5}, {1, 2}) end, {1, 1, 3}, "i64"},
  },
  any = {
    {function() return lt.any {{0, 0}, {0, 2}} end, 1, "u8"},
    {function() return lt.any({{0, 0}, {0, 2}}, 1) end, {0, 1}, "u8"},
  },
  all = {
    {function() return lt.all({{1, 0}, {0 / 0, 2}}, 2, true) end, {{0}, {1}}, "u8"},
  },
  cumsum = {
    {function() return M34:cumsum(1) end, {{3, 1, 4, 1}, {8, 10, 6, 7}, {13, 13, 11, 15}}},
    {function() return C234:cumsum(2) end,
      {{{1, 2, 3, 4}, {6, 8, 10, 12}, {15, 18, 21, 24}}, {{13, 14, 15, 16}, {30, 32, 34, 36}, {51, 54, 57, 60}}}},
  },
  cumprod = {
    {function() return M34:cumprod(2) end, {{3, 3, 12, 12}, {5, 45, 90, 540}, {5, 15, 75, 600}}},
  },
  prod = {
    {function() return M34:prod() end, 3888000},
    {function() return M34:prod(2, true) end, {{12}, {540}, {600}}},
  },
  flip = {
    {function() return C234:flip {1, 3} end,
      {{{16, 15, 14, 13}, {20, 19, 18, 17}, {24, 23, 22, 21}}, {{4, 3, 2, 1}, {8, 7, 6, 5}, {12, 11, 10, 9}}}},
    {function() return M34:flip(1, 2) end, {{8, 5, 3, 5}, {6, 2, 9, 5}, {1, 4, 1, 3}}},
  },
  unfold = {
    {function() return lt.unfold(lt.arange(1, 9):reshape(1, 3, 3, 1), 2) end,
      {{{1, 2, 4, 5}, {2, 3, 5, 6}, {4, 5, 7, 8}, {5, 6, 8, 9}}}},
    {function() return lt.unfold(lt.arange(1, 4):reshape(1, 2, 2, 1), 2, {padding = 1, stride = 2}) end,
      {{{0, 0, 0, 1}, {0, 0, 2, 0}, {0, 3, 0, 0}, {4, 0, 0, 0}}}},
  },
  fold = {
    {function() return lt.fold(lt.arange(1, 16):reshape(1, 4, 4), 3, 2):reshape(3, 3) end,
      {{1, 7, 6}, {12, 34, 22}, {11, 27, 16}}},
  },
  meshgrid = {
    {function() return select(2, lt.meshgrid {V12, lt.tensor {3, 4, 5}}) end, {{3, 4, 5}, {3, 4, 5}}},
    {function() return (lt.meshgrid({V12, lt.tensor {3, 4, 5}}, {indexing = "xy"})) end, {{1, 2}, {1, 2}, {1, 2}}},
  },
}
