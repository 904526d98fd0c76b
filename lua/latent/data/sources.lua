--- Where the data sets lie: names of files, digests, folders. Finds them, fetches nothing.
-- @module latent.data.sources

local files = require "latent.base.files"

local M = {}

--- The four files of a set.
M.names = {
  train = {images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte"},
  test = {images = "t10k-images-idx3-ubyte", labels = "t10k-labels-idx1-ubyte"},
}

--- Their names, in a fixed order.
M.all = {
  M.names.train.images, M.names.train.labels, M.names.test.images, M.names.test.labels,
}

--- What is known of each set: SHA-256 of the uncompressed files, the names of the classes, the
-- numbers of images, and the positions (from 1) of ten test images, one of each class.
M.sets = {
  mnist = {
    title = "MNIST",
    torchvision = "MNIST", -- the folder that torchvision makes for it
    sha256 = {
      ["train-images-idx3-ubyte"] =
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      ["train-labels-idx1-ubyte"] =
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      ["t10k-images-idx3-ubyte"] =
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      ["t10k-labels-idx1-ubyte"] =
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
    examples = {11, 15, 2, 19, 20, 16, 12, 18, 62, 13},
  },
  fashion_mnist = {
    title = "Fashion-MNIST",
    torchvision = "FashionMNIST",
    sha256 = {
      ["train-images-idx3-ubyte"] =
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
      ["train-labels-idx1-ubyte"] =
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
      ["t10k-images-idx3-ubyte"] =
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
      ["t10k-labels-idx1-ubyte"] =
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    classes = {
      "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
      "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    },
    examples = {20, 3, 2, 14, 7, 9, 5, 10, 19, 1}, -- the first test image of each class
  },
}

--- The folder of the Debian package dataset-fashion-mnist.
M.fashion_package = "/usr/share/datasets/fashion-mnist"

--- The value of an environment variable, nil when it is unset or empty.
-- @tparam string name
function M.env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- The folder for fetched data: $XDG_CACHE_HOME/latent, else ~/.cache/latent.
-- @tparam string set "mnist" or "fashion-mnist"
-- @return the folder's name, or nil and a message
function M.cache(set)
  local base = M.env "XDG_CACHE_HOME"
  if not base then
    local home = M.env "HOME"
    if not home then return nil, "no cache folder: neither XDG_CACHE_HOME nor HOME is set" end
    base = files.join(home, ".cache")
  end
  return files.join(base, "latent", set)
end

--- The folder of the mini set, which comes with the library.
-- @return the folder's name, or nil and a message
function M.mini()
  local here = files.dirname(debug.getinfo(1, "S").source:match("^@(.*)$") or "")
  local folder = files.join(here, "mini")
  if not files.is_dir(folder) then return nil, folder .. ": the mini set is missing" end
  return folder
end

-- The places in a folder where the files of a set may lie: in it, or where torchvision puts them.
local function places(folder, set)
  return {folder, files.join(folder, M.sets[set].torchvision, "raw"), files.join(folder, "raw")}
end

--- A file of a set in a folder, or in a folder there that torchvision made (`MNIST/raw`): as it is or with ".gz",
-- with "-" or as some archives have it "." before "idx".
-- @tparam string folder
-- @tparam string name
-- @tparam ?string set "mnist" (unless said) or "fashion_mnist"
-- @return the path, or nil and a message
function M.find(folder, name, set)
  for _, place in ipairs(places(folder, set or "mnist")) do
    for _, spelling in ipairs {name, (name:gsub("%-idx", ".idx"))} do
      for _, ending in ipairs {"", ".gz"} do
        local path = files.join(place, spelling .. ending)
        if files.exists(path) and not files.is_dir(path) then return path end
      end
    end
  end
  return nil, ("%s: missing (with or without .gz)"):format(files.join(folder, name))
end

--- The name by which a set lists the file of a path, whichever way the path spells it.
-- @tparam string path
-- @treturn string
function M.listed(path)
  return (path:match("[^/]*$"):gsub("%.gz$", ""):gsub("%.idx", "-idx"))
end

--- Whether a folder holds all four files.
-- @tparam string folder
-- @tparam ?string set "mnist" (unless said) or "fashion_mnist"
-- @return true, or nil and a message that names the first missing file
function M.complete(folder, set)
  if not files.is_dir(folder) then return nil, folder .. ": no such folder" end
  for _, name in ipairs(M.all) do
    local path, message = M.find(folder, name, set)
    if not path then return nil, message end
  end
  return true
end

--- Compares a file's content with the digest it should have.
-- @tparam string path plain, or gzip with a name in ".gz"
-- @tparam string expected SHA-256 of the uncompressed content
-- @return true, or nil and a message
function M.verify(path, expected)
  local digest, message = files.sha256(path, path:find("%.gz$") ~= nil)
  if not digest then return nil, message end
  if digest == expected then return true end
  return nil, ("%s: wrong content: expected SHA-256 %s, found %s"):format(path, expected, digest)
end

--- The folder of MNIST on this machine: LATENT_DATA when it is set, else the cache.
-- @return the folder's name, or nil and a message that says what to do
function M.locate_mnist()
  local named = M.env "LATENT_DATA"
  if named then
    local ok, message = M.complete(named)
    if ok then return named end
    return nil, "LATENT_DATA: " .. message
  end
  local cache, message = M.cache "mnist"
  if cache then
    local ok
    ok, message = M.complete(cache)
    if ok then return cache end
  end
  return nil, ("MNIST is not here (%s); run `make data`, or name a folder with its four files in "
    .. "LATENT_DATA"):format(message)
end

--- The folder of Fashion-MNIST: LATENT_FASHION_DATA when it is set, else that of the Debian
-- package, else the cache.
-- @return the folder's name, or nil and a message that says what to do
function M.locate_fashion_mnist()
  local named = M.env "LATENT_FASHION_DATA"
  if named then
    local ok, message = M.complete(named)
    if ok then return named end
    return nil, "LATENT_FASHION_DATA: " .. message
  end
  if M.complete(M.fashion_package, "fashion_mnist") then return M.fashion_package end
  local cache = M.cache "fashion-mnist"
  if cache and M.complete(cache, "fashion_mnist") then return cache end
  return nil, "Fashion-MNIST is not here; install the Debian package dataset-fashion-mnist, or "
    .. "name a folder with its four files in LATENT_FASHION_DATA"
end

return M
