-- Compares what the page showed with the native library's numbers: tools/explorer/compare.lua seen.json. Weights in
-- half precision and pixels of 8 bits are all that may lie between them.
local lt = require "latent"
local files = require "latent.base.files"
local json = require "latent.json"
local safetensors = require "latent.safetensors"
local models = require "exercises.models"

local GREY, SHARE = 3, 0.02 -- of 255, and of a probability: what half precision and rounding may change

local WEIGHTS = "exercises/weights/%s.safetensors"

local function loaded(name, model)
  return model:load_state(assert(safetensors.load(WEIGHTS:format(name)))):freeze():eval()
end

local known = {autoencoder = loaded("autoencoder", models.autoencoder()), vae2 = loaded("vae2", models.vae(2)),
  ["vae2_beta0.001"] = loaded("vae2_beta0.001", models.vae(2)), vae16 = loaded("vae16", models.vae(16)),
  classifier = loaded("classifier", models.classifier())}

local failed, compared, worst = 0, 0, 0

local function fail(entry, what)
  failed = failed + 1
  print(("FAILED %s, %s: %s"):format(entry.page, entry.kind, what))
end

-- The largest difference between a picture and grey values 0..255.
local function compare(entry, what, picture, pixels)
  local grey = ((picture:reshape(-1) + 1) * 127.5):clamp(0, 255)
  local off = (grey - lt.tensor(pixels)):abs():max():item()
  compared, worst = compared + 1, math.max(worst, off)
  if off > GREY then fail(entry, ("%s: off by %.1f of 255"):format(what, off)) end
end

local look = {}

function look.decode(entry)
  compare(entry, entry.model, known[entry.model]:pictures(lt.tensor{entry.code}), entry.pixels)
end

function look.digit(entry)
  local image = (lt.tensor(entry.image) * (2 / 255) - 1):reshape(1, 32, 32, 1)
  lt.no_grad(function()
    for i, name in ipairs{"autoencoder", "vae2", "vae16"} do
      local model = known[name]
      compare(entry, name, model:decode((model:encode(image))), entry.pictures[i])
    end
    local off = (known.classifier(image):softmax(2):reshape(-1) - lt.tensor(entry.probabilities)):abs():max():item()
    if off > SHARE then fail(entry, ("probabilities: off by %.3f"):format(off)) end
  end)
end

for _, entry in ipairs(assert(json.decode(assert(files.read_all(arg[1]))))) do look[entry.kind](entry) end
if compared < 20 then
  print(("FAILED: %d pictures alone were compared"):format(compared))
  os.exit(1)
end
print(("%d pictures of the page are the native library's, to %.1f of 255 greys"):format(compared, worst))
os.exit(failed == 0)
