--- Names that are something in PyTorch, NumPy or Torch7 and nothing here, and what to write instead: whoever types one
-- is told so at their own line. A name that exists is never looked up here.
-- @module latent.base.foreign
local core = require "latent.core"

local M = {}

-- "a b c" = text as one entry a name.
local function entries(list)
  local names = {}
  for words, text in pairs(list) do
    for name in words:gmatch "%S+" do names[name] = text end
  end
  return names
end

local NO_DEVICE = "leave it out: all tensors are the CPU's"
local DTYPES = "x:float(), x:double(), x:long(), x:byte() or x:u8()"

--- Fields and methods of tensors.
M.tensor = entries{
  ["T t mT H adjoint swapaxes swapdims"] = "x:transpose(), of two axes x:transpose(a, b)",
  ["movedim moveaxis"] = "x:permute{...} with all axes in their new order",
  ["mm bmm"] = "x:matmul(y)",
  ["inner"] = "x:dot(y) of vectors, x:matmul(y:transpose()) of matrices",
  ["view view_as reshape_as resize resize_ unflatten ravel"] = "x:reshape(...), or x:flatten()",
  ["expand expand_as"] = "x:broadcast_to(shape)",
  ["repeat"] = "x:tile(...)",
  ["cuda cpu to device is_cuda pin_memory get_device"] = NO_DEVICE,
  ["half bfloat16 int short bool char astype type type_as"] = DTYPES,
  ["numpy tolist totable"] = "x:table(), or npy.save(path, x)",
  ["ndim ndimension nDimension"] = "x:dim()",
  ["nelement nElement"] = "x:numel()",
  ["data values"] = "x:detach()",
  ["contiguous is_contiguous stride strides"] = "x itself: tensors are always contiguous",
  ["copy"] = "x:clone(), or y:copy_(x)",
  ["detach_"] = "x:detach()",
  ["grad_fn"] = "x.is_leaf",
  ["retain_grad"] = "lt.param(x:detach())",
  ["narrow"] = "x:slice(axis, first, last)",
  ["unbind"] = "x:rows()",
  ["masked_fill_"] = "x:masked_fill(mask, value)",
  ["masked_scatter masked_scatter_"] = "x:index_put({mask}, values)",
  ["scatter_ scatter_add_ index_add_ index_copy_ index_put_"] = "y = x:scatter(...): what writes at places " ..
    "gives a new tensor",
  ["index_fill"] = "x:index_copy(axis, index, value)",
  ["fliplr flipud"] = "x:flip(axis)",
  ["argwhere"] = "x:nonzero()",
  ["msort"] = "x:sort(1)",
  ["take_along_dim take_along_axis"] = "x:gather(axis, index)",
  ["greater greater_than"] = "x:gt(y)",
  ["less less_than"] = "x:lt(y)",
  ["greater_equal"] = "x:ge(y)",
  ["less_equal"] = "x:le(y)",
  ["not_equal"] = "x:ne(y)",
  ["isclose"] = "(x - y):abs():le(1e-8 + 1e-5 * y:abs()), or x:allclose(y) for one answer",
  ["negative"] = "-x",
  ["multiply"] = "x * y",
  ["divide true_divide"] = "x / y",
  ["subtract"] = "x - y",
  ["absolute"] = "x:abs()",
  ["arcsin arccos arctan arctan2 arcsinh arccosh arctanh"] = "x:asin(), x:acos(), x:atan(), x:atan2(y), x:asinh() ...",
  ["fix"] = "x:trunc()",
  ["mod"] = "x:remainder(y)",
  ["power"] = "x ^ p",
  ["clip clamp_min clamp_max"] = "x:clamp(min, max), or x:clamp{min = 0}",
  ["random_"] = "x:copy_(lt.randint(first, last, x.shape):float())",
  ["bernoulli_"] = "x:copy_(lt.rand(x):lt(p):float())",
  ["exponential_"] = "x:copy_((1 - lt.rand(x)):log() / -rate)",
  ["addmm addmv baddbmm"] = "b + x:matmul(y)",
}

--- Functions of torch and numpy.
M.lt = entries{
  ["Tensor FloatTensor DoubleTensor IntTensor LongTensor ByteTensor array asarray as_tensor from_numpy"] =
    "lt.tensor{...}",
  ["empty empty_like new new_zeros zeros_like"] = "lt.zeros(...); lt.zeros(x) has the shape of x",
  ["ones_like"] = "lt.ones(x)",
  ["full_like"] = "lt.full(x.shape, value)",
  ["rand_like uniform"] = "lt.rand(x)",
  ["randn_like normal"] = "lt.randn(x)",
  ["concat concatenate vstack hstack row_stack column_stack"] = "lt.cat({x, y}, axis)",
  ["range"] = "lt.arange(first, last, step)",
  ["mm bmm"] = "lt.matmul(x, y)",
  ["inner tensordot"] = 'lt.einsum(equation, x, y): "ik,jk->ij" is the inner product of matrices',
  ["t swapaxes"] = "lt.transpose(x), of two axes lt.transpose(x, a, b)",
  ["view"] = "x:reshape(...)",
  ["expand"] = "lt.broadcast_to(x, shape)",
  ["percentile"] = "lt.quantile(x, q / 100)",
  ["nanquantile"] = "lt.quantile(x:masked_select(x:eq(x)), q)",
  ["digitize"] = "lt.bucketize(x, boundaries, {right = true}), which counts from 1",
  ["clip"] = "lt.clamp(x, min, max)",
  ["multiply"] = "x * y",
  ["divide"] = "x / y",
  ["subtract"] = "x - y",
  ["power"] = "x ^ p",
  ["absolute"] = "lt.abs(x)",
  ["arcsin arccos arctan arctan2 arcsinh arccosh arctanh"] =
    "lt.asin(x), lt.acos, lt.atan, lt.atan2(y, x), lt.asinh ...",
  ["fix"] = "lt.trunc(x)",
  ["mod"] = "lt.remainder(x, y)",
  ["seed set_seed random_seed"] = "lt.manual_seed(seed)",
  ["Generator default_rng"] = "lt.generator(seed)",
  ["set_num_threads"] = "lt.set_threads(n)",
  ["get_num_threads"] = "lt.threads()",
  ["save"] = 'require("latent.safetensors").save(path, tensors), nn.save(path, model), or pt.save',
  ["load"] = 'require("latent.safetensors").load(path), nn.load(path), or pt.load',
  ["cuda device backends set_default_device"] = NO_DEVICE,
  ["nn"] = 'require "latent.nn"',
  ["optim"] = 'require "latent.optim"',
  ["utils"] = 'require "latent.data"',
  ["linalg"] = 'require "latent.linalg"',
  ["solve inverse inv det slogdet cholesky qr svd eigh lstsq pinverse pinv matrix_rank"] =
    'the function of that name of require "latent.linalg"',
  ["fft stft istft hann_window hamming_window blackman_window view_as_complex"] = 'require "latent.fft"',
  ["autograd"] = "loss:backward(), and x.grad; lt.grad(y, x)",
  ["Function"] = "lt.op{forward = ..., backward = ...}",
  ["set_grad_enabled inference_mode"] = "lt.no_grad(function() ... end)",
  ["enable_grad"] = "what needs gradients outside lt.no_grad: they are recorded everywhere else",
  ["is_grad_enabled"] = "lt.is_recording()",
  ["float32 float float64 uint8 int64 long bool"] = 'a dtype\'s name as a string, {dtype = "i64"}',
  ["pi"] = "math.pi",
  ["inf"] = "math.huge",
  ["nan"] = "0 / 0",
  ["functional F"] = "lt itself: lt.relu(x), lt.mse_loss(y, x)",
  ["mse"] = "lt.mse_loss(y, x)",
  ["binary_cross_entropy_with_logits"] = "lt.bce_with_logits(logits, targets)",
  ["bce bce_loss"] = "lt.binary_cross_entropy(probabilities, targets), or lt.bce_with_logits(logits, targets)",
  ["upsample resize"] = 'lt.interpolate(x, {scale_factor = 2, mode = "bilinear"}), or lt.upsample_nearest(x, 2)',
  ["selu mish softsign logsigmoid"] = "nn.SELU()(x), nn.Mish()(x) ...",
  ["hardtanh"] = "lt.clamp(x, -1, 1)",
  ["relu6"] = "lt.clamp(x, 0, 6)",
}

--- Layers.
M.nn = entries{
  ["SpatialConvolution Convolution2D"] = "nn.Conv2d(inputs, outputs, kernel)",
  ["TemporalConvolution Convolution1D"] = "nn.Conv1d(inputs, outputs, kernel)",
  ["SpatialFullConvolution"] = "nn.ConvTranspose2d(inputs, outputs, kernel)",
  ["BatchNorm BatchNormalization"] = "nn.BatchNorm1d(features) or nn.BatchNorm2d(channels)",
  ["SpatialBatchNormalization"] = "nn.BatchNorm2d(channels)",
  ["Dropout1d Dropout3d SpatialDropout"] = "nn.Dropout2d(p), which drops whole channels of [batch, ..., channels]",
  ["AlphaDropout FeatureAlphaDropout"] =
    "nn.Dropout(p), which sets elements to 0: there is none that keeps the mean and variance of SELU",
  ["MaxUnpool1d MaxUnpool2d MaxUnpool3d SpatialMaxUnpooling"] = "lt.max_unpool2d(x, places, kernel)",
  ["ReLU6"] = "nn.Hardtanh(0, 6), whose gradient passes at the bounds",
  ["HardTanh"] = "nn.Hardtanh(-1, 1)",
  ["VolumetricConvolution"] = "nn.Conv3d(inputs, outputs, kernel)",
  ["VolumetricFullConvolution"] = "nn.ConvTranspose3d(inputs, outputs, kernel)",
  ["VolumetricMaxPooling"] = "nn.MaxPool3d(kernel)",
  ["SpatialZeroPadding ConstantPad2d"] = "nn.ZeroPad2d{left, right, top, bottom}, or lt.pad",
  ["SpatialReflectionPadding"] = "nn.ReflectionPad2d{left, right, top, bottom}",
  ["MaxPooling2D SpatialMaxPooling"] = "nn.MaxPool2d(kernel)",
  ["TemporalMaxPooling MaxPooling1D"] = "nn.MaxPool1d(kernel)",
  ["SpatialAveragePooling AveragePooling2D"] = "nn.AvgPool2d(kernel)",
  ["GlobalAvgPool2d GlobalAveragePooling2D"] = "nn.GlobalAvgPool()",
  ["GlobalMaxPool2d GlobalMaxPooling2D"] = "nn.GlobalMaxPool()",
  ["UpsamplingNearest2d UpSampling2D"] = "nn.Upsample(scale)",
  ["UpsamplingBilinear2d"] = 'nn.Upsample(scale, {mode = "bilinear", align_corners = true})',
  ["Unflatten View"] = "nn.Reshape(height, width, channels)",
  ["ModuleList ModuleDict Container"] = "nn.Sequential{...}, or fields of nn.Module{...}",
  ["LookupTable"] = "nn.Embedding(count, features)",
  ["PositionalEncoding"] = "nn.SinusoidalPositions(features)",
  ["Transformer TransformerDecoder TransformerDecoderLayer"] =
    "nn.MultiheadAttention(features, heads) in an nn.Module{...} of your own, or nn.TransformerEncoder",
  ["Dense"] = "nn.Linear(inputs, outputs)",
  ["Parameter"] = "lt.param(x)",
  ["functional F"] = "lt itself: lt.relu(x), lt.mse_loss(y, x)",
  ["MSECriterion"] = "nn.MSELoss() or lt.mse_loss(y, x)",
  ["AbsCriterion SmoothL1Criterion"] = "nn.L1Loss(), nn.SmoothL1Loss()",
  ["CrossEntropyCriterion ClassNLLCriterion"] = "nn.CrossEntropyLoss(), nn.NLLLoss()",
  ["BCECriterion DistKLDivCriterion"] = "nn.BCELoss(), nn.KLDivLoss()",
  ["CosineEmbeddingCriterion HingeEmbeddingCriterion MarginRankingCriterion"] =
    "nn.CosineEmbeddingLoss(), nn.HingeEmbeddingLoss(), nn.MarginRankingLoss()",
  ["Swish"] = "nn.SiLU()",
}

--- Optimisers and what stands beside them.
M.optim = entries{
  ["lr_scheduler"] = 'require "latent.schedule"',
  ["LBFGS"] = "optim.lbfgs(f, start)",
  ["Adadelta NAdam RAdam Adamax Lion"] =
    "optim.Adam(model:parameters(), {lr = 1e-3}), another method: there is none of that name",
  ["swa_utils AveragedModel EMA SWA"] = "optim.average(model:parameters(), {decay = 0.999})",
  ["RMSProp"] = "optim.RMSprop(model:parameters(), {lr = 1e-3})",
  ["clip_grad_norm_"] = "optim.clip_grad_norm(model:parameters(), max_norm)",
}

--- Data sets.
M.data = entries{
  ["DataLoader"] = "data.loader(set, {batch = 64})",
  ["MNIST"] = 'data.mnist{split = "train"}',
  ["FashionMNIST"] = 'data.fashion_mnist{split = "train"}',
  ["random_split"] = "data.split(set, held_back)",
  ["Dataset IterableDataset"] = "a table with __len and batch(self, positions): any such table is a set",
  ["TensorDataset"] = "data.tensors{x = x, y = y}",
  ["ConcatDataset"] = "data.concat{a, b}",
  ["Subset"] = "data.subset(set, positions)",
  ["ImageFolder"] = "data.image_folder(folder)",
  ["CIFAR10"] = "data.cifar10{dir = folder}",
  ["WeightedRandomSampler"] = "data.loader(set, {weights = w})",
  ["transforms Compose"] = "data.map(set, f), with data.augment{flip = true} for f",
  ["read_csv"] = "data.csv(path)",
}

--- Schedules of torch.optim.lr_scheduler and Keras.
M.schedule = entries{
  ["CosineAnnealingLR CosineAnnealing cosine_annealing CosineDecay"] = "schedule.cosine(value, {steps = n})",
  ["StepLR step_lr"] = "schedule.step(value, {every = n, factor = 0.1})",
  ["MultiStepLR"] = "schedule.multistep(value, opts)",
  ["ExponentialLR ExponentialDecay"] = "schedule.exponential(value, opts)",
  ["LinearLR"] = "schedule.linear(first, opts)",
  ["CyclicLR"] = "schedule.cyclical(inner, opts)",
  ["OneCycleLR"] = "schedule.one_cycle(value, opts)",
  ["SequentialLR ChainedScheduler"] = "schedule.sequence(parts), or schedule.product(factors)",
  ["ReduceLROnPlateau"] = "schedule.plateau(value, opts)",
  ["LambdaLR"] = "a function of the step: opt.lr = f(step)",
}

--- Functions of matplotlib and Torch7's gnuplot.
M.plot = entries{
  ["plot line semilogx semilogy loglog errorbar fill_between"] =
    'plot.lines{{x = x, y = y, label = "name"}}, which takes log = "y" and errors',
  ["hist"] = "plot.histogram{values}",
  ["bar barh"] = 'plot.bars{values, names = {"a", "b"}}',
  ["imshow matshow pcolormesh imagesc"] = "plot.image{x}, or plot.heatmap{x} with a bar of its colours",
  ["contourf"] = "plot.heatmap{z, levels = 10}",
  ["subplot subplots multiplot"] = "plot.panels({figure, figure}, {columns = 2})",
  ["savefig pngfigure svgfigure pdffigure"] = 'figure:save "name.png"',
  ["title xlabel ylabel xlim ylim legend axis"] =
    "title, xlabel, ylabel, xrange, yrange and legend beside what is drawn: plot.lines{{y = y}, title = text}",
}

--- Functions of torch.distributed and mpi4py.
M.mpi = entries{
  ["get_rank Get_rank"] = "mpi.rank",
  ["get_world_size Get_size world_size"] = "mpi.size",
  ["init_process_group init Init"] = 'require "latent.mpi", started by mpirun',
  ["destroy_process_group finalize Finalize"] = "nothing: it ends with the program",
  ["allreduce Allreduce"] = "mpi.all_reduce(x)",
  ["allgather Allgather all_gather_object"] = "mpi.all_gather(value)",
  ["gather_object Gather"] = "mpi.gather(value, root)",
  ["bcast Bcast broadcast_object_list"] = "mpi.broadcast(value, root)",
  ["scatter_object_list Scatter"] = "mpi.scatter(list, root)",
  ["recv Recv irecv"] = "mpi.receive(from)",
  ["Send isend"] = "mpi.send(value, to)",
  ["Barrier"] = "mpi.barrier()",
  ["Abort"] = "mpi.abort(message)",
}

--- Methods of layers and models; these are functions that raise.
M.module = entries{
  ["state_dict"] = "model:state()",
  ["load_state_dict"] = "model:load_state(state)",
  ["cuda cpu to"] = NO_DEVICE,
  ["requires_grad_"] = "model:freeze() or model:unfreeze()",
  ["evaluate"] = "model:eval()",
}

--- Methods of optimisers.
M.optimiser = entries{
  ["state_dict"] = "opt:state()",
  ["load_state_dict"] = "opt:load_state(state)",
  ["param_groups"] = "opt.lr, or opt:rates()",
}

--- Raises what to write in place of a name, at the user's line; returns where it is no such name.
-- @tparam string which one of the tables here
-- @tparam string whose how messages name what was asked: "lt", "a module"
-- @tparam string key
function M.refuse(which, whose, key)
  local text = M[which][key]
  if text then
    core.raise(('%s has no "%s"; %s%s'):format(whose, key, text == NO_DEVICE and "" or "write ", text))
  end
end

--- The metatable of a module or class that raises so, and gives nil for other names.
-- @tparam string which one of the tables here
-- @tparam string whose how messages name it
-- @treturn table
function M.asked(which, whose)
  return {__index = function(_, key) M.refuse(which, whose, key) end}
end

local methods = {}
for name in pairs(M.module) do
  methods[name] = function() M.refuse("module", "a module", name) end
end

--- The metatable of the class of all layers. They are asked for fields that they do not have at every call, and
-- a function would cost time.
M.of_modules = {__index = methods}

return M
