local data = require "latent.data"
local lt = require "latent"
local scratch = require "spec.support.scratch"
require "spec.support.close"
require "spec.support.misuse"

local folder, remove

local function read(text, opts) return data.csv(scratch.write(folder, "t.csv", text), opts) end

local function refused(text, pattern, opts)
  local t, message = read(text, opts)
  assert.is_nil(t)
  assert(message:find(pattern), message)
end

describe("data.csv", function()
  setup(function() folder, remove = scratch.folder() end)
  teardown(function() remove() end)

  it("reads columns of numbers and of words, and says what it found", function()
    local t = assert(read "length,width,kind\n1.5,2,setosa\n-3e2,.5,virginica\n,4,setosa\n")
    assert.equal(3, #t)
    assert.same({"length", "width", "kind"}, t.names)
    assert.same({length = "number", width = "number", kind = "text"}, t.types)
    assert.same({length = 1, width = 0, kind = 0}, t.missing)
    assert.close(t:tensor{"width"}, {{2}, {0.5}, {4}})
    assert.same({"setosa", "virginica", "setosa"}, t:column "kind")
    local labels, classes = t:labels "kind"
    assert.close(labels, {0, 1, 0})
    assert.same({"setosa", "virginica"}, classes)
    assert.equal([[
3 records of 3 columns
  length: number, -300 to 1.5, 1 missing
  width: number, 0.5 to 4
  kind: text, 2 different]], tostring(t))
    local x = t:tensor()
    assert.same({3, 2}, x.shape)
    assert(x:get(3, 1) ~= x:get(3, 1)) -- NaN
  end)

  it("keeps RFC 4180: quotes, commas and line ends inside them, CRLF, no last line end", function()
    local t = assert(read '"a b","c"\r\n"x, ""y""\r\nz",1\r\n,2')
    assert.same({"a b", "c"}, t.names)
    assert.same({'x, "y"\r\nz', ""}, t:column "a b")
    assert.close(t:tensor{"c"}, {{1}, {2}})
    assert.same({"1;2", "3"}, assert(read("a;b\n\"1;2\";4\n3;5\n", {separator = ";"})):column "a")
    assert.same({"x", "y"}, assert(read "\239\187\191name\rx\ry\r"):column "name")
  end)

  it("finds out whether there is a header, and names columns", function()
    assert.same({"column 1", "column 2"}, assert(read "1,2\n3,4\n").names)
    assert.equal(2, #assert(read("a,b\nc,d\n", {header = false})))
    assert.same({"1", "2"}, assert(read("1,2\n3,4\n", {header = true})).names)
    assert.same({"a", "a (2)", "column 3"}, assert(read("a,a,\n1,2,3\n", {header = true})).names)
    assert.same({"a", "a (2)", "a (3)"}, assert(read "a,a (2),a\n1,2,3\n").names)
    assert.same({"a b", "c"}, assert(read " a b ,\tc\n1,2\n").names)
  end)

  -- Each of these took minutes or hours when the time grew as the square of the length.
  it("reads long fields and many columns in a time that grows as they do", function()
    local long = 1000000
    assert.equal(math.huge, assert(read(("9"):rep(long) .. "\n")):column("column 1")[1])
    assert.same({"text"}, {assert(read("a\n" .. ("1"):rep(long) .. "x\n")).types.a})
    assert.equal(long + 2, #assert(read("a" .. (" "):rep(long) .. "b\nx\n")).names[1])
    assert.same({"column 1", "b"}, assert(read((" "):rep(long) .. ",b\nx,y\n", {header = true})).names)
    local names = assert(read(("a,"):rep(long // 10) .. "a\n" .. ("1,"):rep(long // 10) .. "1\n")).names
    assert.equal(("a (%d)"):format(long // 10 + 1), names[#names])
  end)

  it("takes the types and the missing words that it is told", function()
    local t = assert(read("code,v\n01,-\n02,3\n", {types = {code = "text"}, missing = {"-"}}))
    assert.same({"01", "02"}, t:column "code")
    assert.equal(1, t.missing.v)
    assert.equal("number", t.types.v)
    assert.equal("text", assert(read "a\n0x10\n").types.a) -- no source code of Lua
    assert.close(assert(read "a\ninf\n-Inf\n+1\n"):tensor(), {{math.huge}, {-math.huge}, {1}})
  end)

  it("makes data sets", function()
    local t = assert(read "a,b,kind,n\n1,2,x,7\n3,4,y,8\n")
    local set = t:set{y = "kind"}
    local x, y = set:batch{2}
    assert.close(x, {{3, 4, 8}})
    assert.close(y, {1})
    assert.same({"x", "y"}, set.classes)
    x, y = t:set{x = {"b"}, y = "n"}:batch{1, 2}
    assert.close(x, {{2}, {4}})
    assert.close(y, {{7}, {8}})
    assert.same({"7", "8"}, t:set{x = {"b"}, y = "n", labels = true}.classes)
    for batch in data.loader(set, {batch = 2}) do assert.same({2, 3}, batch.x.shape) end
  end)

  it("names the line of what is wrong", function()
    refused("a,b\n1,2\n3\n", "t%.csv: line 3: 1 fields, expected 2")
    refused('a,b\n"1\n2",3\n4,"5', "line 4: a quote is never closed")
    refused('a,b\n1,x"y\n', "line 2: a quote stands inside a field")
    refused('a,b\n"1"2,3\n', "line 2: a quote stands inside a field, or text behind")
    refused("", "holds no record")
    refused("\n\n", "holds no record")
    refused("a,b\n", "holds no record below its header", {header = true})
    refused("a\n1\nx\n", 'record 2: column "a": expected a number, found "x"', {types = {a = "number"}})
    local t, message = data.csv(folder .. "/none.csv")
    assert(t == nil and message:find "No such file")
  end)

  it("refuses misuse at the caller's line", function()
    local t = assert(read "length,kind\n1,x\n,y\n")
    assert.misuse(function() data.csv() end, "data.csv: path: expected a string, got nil")
    assert.misuse(function() data.csv("x", {seperator = ";"}) end,
      'data.csv: unknown option "seperator" %(did you mean "separator"')
    assert.misuse(function() data.csv("x", {separator = "ab"}) end,
      'data.csv: separator: expected one character, got "ab"')
    assert.misuse(function() read("a\n1\n", {types = {b = "text"}}) end, 'data.csv: types: no column is called "b"')
    assert.misuse(function() read("a\n1\n", {types = {a = "int"}}) end,
      'data.csv: types: a: expected "number" or "text", got "int"')
    assert.misuse(function() t:tensor{"lenght"} end, 'tensor: no column is called "lenght" %(did you mean "length"')
    assert.misuse(function() t:tensor{"kind"} end,
      'tensor: column "kind" holds text; labels%("kind"%) numbers its words')
    assert.misuse(function() t:labels "length" end, "labels: the column has missing values")
    assert.misuse(function() t:column(3) end, "column: no column is called 3; columns: length, kind")
    assert.misuse(function() t:set{z = 1} end, 'set: unknown option "z"')
    assert(lt.is_tensor(t:tensor{"length"}))
  end)
end)
