--- For specs: locales with another decimal point, another order of letters and another idea of what a letter is, made
-- of the system's sources without root. Run as a script, `lua5.4 spec/support/locales.lua locale folder`, it sets a
-- locale and writes one file of every kind into the folder, and what is printed into the file "texts".
local files = require "latent.base.files"

local M = {}

M.names = {"en_US.UTF-8", "de_DE.UTF-8", "de_DE"}

local PLACE = "build/locale"
local SOURCES = {["en_US.UTF-8"] = {"en_US", "UTF-8"}, ["de_DE.UTF-8"] = {"de_DE", "UTF-8"}, ["de_DE"] = {"de_DE",
  "ISO-8859-1"}}

--- Makes what is not there yet.
-- @treturn ?string the folder, for LOCPATH; nil where this system cannot make them
function M.path()
  assert(files.mkdir_p(PLACE))
  for name, source in pairs(SOURCES) do
    local folder = PLACE .. "/" .. name
    if not files.exists(folder) then
      files.capture(("localedef -i %s -f %s %s.new 2>/dev/null && mv %s.new %s"):format(source[1], source[2], folder,
        folder, folder))
    end
    if not files.exists(folder) then return nil end
  end
  return files.capture "pwd" .. "/" .. PLACE
end

-- One file of each kind, and reading it back, which raises where it cannot.
local function write_all(folder)
  local lt, nn, optim, data = require "latent", require "latent.nn", require "latent.optim", require "latent.data"
  local image, json = require "latent.image", require "latent.json"
  local npy, npz = require "latent.npy", require "latent.npz"
  local plot, progress, pt = require "latent.plot", require "latent.progress", require "latent.pt"
  local safetensors, train = require "latent.safetensors", require "latent.train"
  local function at(name) return folder .. "/" .. name end
  local function text(name, value) assert(files.write_atomic(at(name), value)) end
  lt.manual_seed(1)
  local x = lt.rand(4, 4)
  local names = {}
  for _, name in ipairs{"a", "B", "b", "A", "~z", "z", "_a", "a.1", "a-1", "\u{e4}", "\u{c4}"} do names[name] = x end

  local value = {a = 1.5, B = -2.25e-300, ["\u{c4}\u{84}"] = "\u{c4}\u{84}\194\133", ["~"] = {0.1, 1e300}}
  text("value.json", json.encode(value))
  assert(json.decode(json.encode(value)).a == 1.5)
  -- so long that Lua itself does not look for another decimal point
  assert(json.decode("0." .. ("0"):rep(250) .. "1e251") == 1)
  safetensors.save(at "x.safetensors", names, {metadata = {b = "1", A = "2", ["~"] = "3"}})
  assert(assert(safetensors.load(at "x.safetensors"))["~z"]:sub(x):abs():sum():item() == 0)
  npy.save(at "x.npy", x)
  assert(npy.load(at "x.npy"))
  npz.save(at "x.npz", names)
  assert(npz.load(at "x.npz"))
  pt.save(at "x.pt", {names, 1.5})
  assert(pt.load(at "x.pt"))
  image.write(at "x.pgm", x)
  image.write(at "x.png", x)
  assert(image.read(at "x.pgm") and image.read(at "x.png"))
  plot.panels{plot.lines{{y = {0.25, 1.5, 0.001}, label = 1.5, texts = {0.5, 1.5, 2.5}}, log = "y"},
    plot.histogram{x:reshape(16)}, plot.bars{{1.5, 2.25}, names = {0.5, 1.5}, format = "%.2f"},
    plot.scatter{points = {{0.1, 0.2}, {0.3, 0.4}}, labels = {1.5, 2.5}},
    plot.image_grid{images = x:reshape(2, 2, 2, 2), x = {-1.5, 1.5}, y = {0.5, 1.5}},
  }:save(at "figure.svg", {keep = true})

  local shown, clock = assert(io.open(at "progress", "wb")), 0
  local bar = progress.new{steps = 2, epochs = 2, stream = shown, terminal = true, clock = function()
    clock = clock + 0.25
    return clock
  end}
  bar:step(1.25):step(1e-5):epoch("loss %.2f", 1.5)
  shown:close()

  local model = nn.Sequential{nn.Linear(4, 4), nn.Dropout(0.25), nn.LeakyReLU(0.1)}
  model.B, model.a = nn.Linear(4, 1), nn.Linear(4, 1)
  local set = setmetatable({batch = function(_, index) return x:gather_rows(index) end},
    {__len = function() return 4 end})
  local opts = {model = model, optimizer = optim.Adam(model:parameters(), {lr = 0.01}), epochs = 2, log_steps = 1,
    loader = data.loader(set, {batch = 2, seed = 1}), log = at "log.jsonl", checkpoint = at "run.ckpt",
    loss = function(batch) return model(batch.x):pow(2):mean(), {B = 0.5, a = 1.5} end}
  assert(train.run(opts).stopped == "done")
  opts.loader, opts.resume = data.loader(set, {batch = 2, seed = 1}), true
  assert(assert(train.new(opts)).steps == 4)
  assert(assert(train.read_log(at "log.jsonl")).train_B[2] == 0.5)
  text("texts", table.concat({tostring(x), tostring(model), model:summary{1, 4}, progress.duration(1.5)}, "\n"))
end

if arg and arg[0] and arg[0]:find "locales%.lua$" then
  assert(os.setlocale(arg[1]), "no such locale")
  write_all(arg[2])
end

return M
