local json = require "latent.json"

-- Text on the left, the Lua value on the right.
local READ = {
  {"null", json.null}, {"true", true}, {" false\n", false},
  {"0", 0}, {"-0", 0}, {"12", 12}, {"-7", -7}, {"1.5", 1.5}, {"1e3", 1000.0},
  {"2E-2", 0.02}, {"9223372036854775807", math.maxinteger},
  {"9223372036854775808", 2.0 ^ 63},
  {'""', ""}, {'"a"', "a"}, {'"a\\n\\t\\"\\\\\\/\\b\\f\\r"', 'a\n\t"\\/\b\f\r'},
  {'"\\u00e9\\u20AC"', "é€"}, {'"\\ud83d\\uDE00"', "\u{1F600}"}, {'"\\u0000"', "\0"},
  {'"é€\u{1F600}"', "é€\u{1F600}"},
  {"[]", {}}, {"{}", {}}, {"[1, [2], {}]", {1, {2}, {}}},
  {'{"a": {"b": [true, null]}, "": 1}', {a = {b = {true, json.null}}, [""] = 1}},
}

-- Text, the place and the reason.
local REFUSED = {
  {"", "line 1, column 1: expected a value, got the end"},
  {"[1,\n 2,\n]", "line 3, column 1: expected a value"},
  {"[1 2]", 'line 1, column 4: expected "," or "]"'},
  {'{"a":1,"a":2}', 'column 8: the name "a" is given twice'},
  {"{a: 1}", "column 2: expected a name in quotes"},
  {'{"a" 1}', 'column 6: expected ":"'},
  {'{"a": 1,}', "column 9: expected a name"},
  {'{"a": 1', 'column 8: expected "," or "}"'},
  {"01", "malformed number"}, {"1.", "malformed number"}, {".5", "expected a value"},
  {"+1", "expected a value"}, {"1e", "malformed number"}, {"0x10", "malformed number"},
  {"-", "malformed number"}, {"1e999", "number out of range"},
  {"NaN", "expected a value"}, {"nul", "expected a value"},
  {"1 x", "column 3: text after the value"},
  {'"abc', "column 1: string without an end"}, {'"a\nb"', "column 3: control character"},
  {'"\\x41"', "unknown escape"}, {'"\\u12g4"', "four hexadecimal digits"},
  {'"\\ud800"', "half of a surrogate pair"}, {'"\\ude00\\ud83d"', "half of a surrogate pair"},
  {'"\xff"', "column 2: not valid UTF-8"}, {'"\xed\xa0\x80"', "not valid UTF-8"},
  {("["):rep(1000), "column 129: nested deeper than 128"},
}

describe("json", function()
  it("reads what the standard allows", function()
    for _, case in ipairs(READ) do
      local value, message = json.decode(case[1])
      assert.is_nil(message, case[1])
      assert.same(case[2], value, case[1])
      assert.equal(math.type(case[2]), math.type(value), case[1])
    end
  end)

  it("refuses everything else, with the place", function()
    for _, case in ipairs(REFUSED) do
      local value, message = json.decode(case[1])
      assert.is_nil(value, case[1])
      assert.is_truthy(message:find(case[2], 1, true), ("%s: %s"):format(case[1], message))
    end
  end)

  it("survives damage at every byte", function()
    local text = '{"w": {"dtype": "F32", "shape": [2, 3], "x": "\\u00e9\\n"}, "n": -1.5e2}'
    for i = 1, #text do
      json.decode(text:sub(1, i - 1))
      for _, byte in ipairs {"\0", '"', "\\", "{", "9", "\xff"} do
        local value, message = json.decode(text:sub(1, i - 1) .. byte .. text:sub(i + 1))
        assert.is_truthy(value ~= nil or message)
      end
    end
  end)

  it("writes names in order and tells arrays from objects", function()
    assert.equal('{"a":[1,2],"b":{},"c":[],"d":null}',
      json.encode {d = json.null, c = json.array(), b = {}, a = {1, 2}})
    assert.equal('"\\"\\\\\\n\\u0001é"', json.encode '"\\\n\1é')
  end)

  it("indents objects and keeps arrays of scalars on one line", function()
    local text = json.encode({mean = 1.5, accuracy = {1, 2}, runs = {{a = 1}}},
      {indent = 2})
    assert.equal([[
{
  "accuracy": [1, 2],
  "mean": 1.5,
  "runs": [
    {
      "a": 1
    }
  ]
}]], text)
  end)

  it("writes numbers that read back as the same value and type", function()
    for _, x in ipairs {0, -1, math.maxinteger, math.mininteger, 1.0, 0.1, 1 / 3, 1e300, 5e-324,
      -2.5, 2.0 ^ 53, 123456789.125} do
      local back = json.decode(json.encode(x))
      assert.equal(x, back)
      assert.equal(math.type(x), math.type(back))
    end
  end)

  it("keeps an empty array an array", function()
    assert.equal('{"a":[],"b":{}}', json.encode(json.decode '{"a": [], "b": {}}'))
  end)

  it("tells the types apart", function()
    local value = json.decode '{"a":[],"b":{},"c":null,"d":1,"e":"x","f":false}'
    local types = {a = "array", b = "object", c = "null", d = "number", e = "string", f = "boolean"}
    for name, expected in pairs(types) do assert.equal(expected, json.type(value[name])) end
    assert.equal("object", json.type(value))
  end)

  it("has a null that nothing changes", function()
    assert.has_error(function() setmetatable(json.null, {}) end)
    assert.error_matches(function() json.null.x = 1 end, "json.null: cannot be changed")
    assert.error_matches(function() json.array(json.null) end, "json.array: t: expected a table, got json.null")
    assert.equal("null", json.encode(json.null))
  end)

  it("writes no number that is not finite unless asked", function()
    assert.error_matches(function() json.encode {loss = 0 / 0} end, "loss: nan has no form")
    assert.error_matches(function() json.encode {1 / 0} end, "1: inf has no form")
    assert.equal("[null,1]", json.encode({0 / 0, 1}, {nan = "null"}))
  end)

  it("refuses what has no form in JSON, naming the place", function()
    local loop = {}
    loop.again = loop
    assert.error_matches(function() json.encode {a = {print}} end, "a%.1: cannot write a func")
    assert.error_matches(function() json.encode {1, nil, 3} end, "neither a sequence")
    assert.error_matches(function() json.encode {1, x = 2} end, "neither a sequence")
    assert.error_matches(function() json.encode(loop) end, "holds itself")
    assert.error_matches(function() json.encode "\xff" end, "not valid UTF%-8")
    assert.error_matches(function() json.encode({}, {indent = "x"}) end, "indent: expected")
    assert.error_matches(function() json.decode(1) end, "text: expected a string, got 1")
  end)
end)

-- What keeps latent.json: where one of these no longer holds, that library may take its place.
describe("the libraries for JSON", function()
  local DOUBLES = {1 / 3, 0.1 + 0.2, 2.0 ^ 53 + 2, 5e-324}

  local function each(name, f)
    it(name .. " does not keep what latent.json keeps", function()
      local found, library = pcall(require, name)
      if not found then pending(name .. " is not installed") end
      f(library)
    end)
  end

  each("dkjson", function(dkjson)
    local lost = 0
    for _, x in ipairs(DOUBLES) do
      lost = lost + (tonumber(dkjson.encode(x)) ~= x and 1 or 0)
      assert.equal(x, json.decode(json.encode(x)))
    end
    assert.is_true(lost > 0)
    assert.equal("[null]", dkjson.encode{0 / 0})
    for _, text in ipairs{'{"a":1,"a":2}', "01", "1e999", '"\xff"', '"\\x41"'} do
      assert(dkjson.decode(text) ~= nil, text)
      assert.is_nil(json.decode(text))
    end
  end)

  each("cjson", function(cjson)
    local lost = 0
    for _, x in ipairs(DOUBLES) do lost = lost + (tonumber(cjson.encode(x)) ~= x and 1 or 0) end
    assert.is_true(lost > 0)
    assert.equal("float", math.type(cjson.decode "9223372036854775807"))
    for _, text in ipairs{'{"a":1,"a":2}', "01", "1e999", "NaN", '"\xff"'} do
      assert(pcall(cjson.decode, text), text)
      assert.is_nil(json.decode(text))
    end
  end)
end)
