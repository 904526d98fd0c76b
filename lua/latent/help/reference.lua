--- The documentation of what the core itself offers: functions of `lt` and methods of tensors that are
-- neither ops nor written in Lua. Holds comments alone, for help and reference.
-- @module latent.help.reference

-- ---- making tensors ----

--- A tensor of the given values; of a tensor, a copy. All makers of tensors take `{dtype = name}` last: "float32",
-- "float64", "i64" or "u8", or PyTorch's other names of them ("float", "double", "int64", "long", "uint8", "byte").
-- Without it the type is the default one, or the floating type of a tensor that gives the shape.
-- @function lt.tensor
-- @tparam number|table|Tensor data a number (shape []), or tables nested as deep as the shape
-- @tparam ?table opts
-- @treturn Tensor of the default type
-- @raise where the tables are ragged or hold something else than numbers of the type
-- @usage lt.tensor{{1, 2}, {3, 4}}

--- A tensor of zeros: `lt.zeros(2, 3)`, `lt.zeros{2, 3}`, or `lt.zeros(x)` for the shape of x.
-- @function lt.zeros
-- @tparam int|{int,...}|Tensor shape
-- @tparam ?table opts
-- @treturn Tensor of the default type

--- A tensor of ones; its shape is given as to `lt.zeros`.
-- @function lt.ones
-- @tparam int|{int,...}|Tensor shape
-- @tparam ?table opts
-- @treturn Tensor of the default type

--- A tensor of one value. The name of a type may stand in the place of the options.
-- @function lt.full
-- @tparam {int,...} shape
-- @tparam number value
-- @tparam ?table opts
-- @treturn Tensor of the default type

--- The numbers first, first + step, ... up to and including last; `lt.arange(n)` gives 1..n. Whole numbers in whole
-- steps are exact: those beyond 2^24 that float32 would round are refused, `{dtype = "i64"}` holds them.
-- @function lt.arange
-- @tparam number first
-- @tparam ?number last
-- @tparam ?number step 1 unless said; not 0
-- @tparam ?table opts
-- @treturn Tensor [n], of the default type

--- n numbers evenly spaced, both ends included.
-- @function lt.linspace
-- @tparam number first
-- @tparam number last
-- @tparam int n at least 1
-- @tparam ?table opts
-- @treturn Tensor [n], of the default type

--- The identity matrix.
-- @function lt.eye
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor [n, n], of the default type

--- A tensor from raw elements, little-endian and row by row, as `x:bytes()` gives them. The name of a type may stand
-- in the place of the options.
-- @function lt.from_bytes
-- @tparam string bytes
-- @tparam {int,...} shape
-- @tparam ?table opts
-- @treturn Tensor of the default type

--- A leaf on the elements of x whose gradient is wanted; shares the storage of x.
-- @function lt.param
-- @tparam Tensor|number|table x of a floating type
-- @treturn Tensor

--- The type of tensors that are made without saying one; two floating types do not mix in an op.
-- @function lt.set_default_dtype
-- @tparam string name "float32", as it is at first, or "float64"

--- The type of tensors that are made without saying one.
-- @function lt.get_default_dtype
-- @treturn string "float32" or "float64"

--- Whether a value is a tensor (a closed one too).
-- @function lt.is_tensor
-- @param value
-- @treturn boolean

-- ---- random numbers ----

--- Uniform random numbers in [0, 1): `lt.rand(2, 3)`, `lt.rand{2, 3}`, or `lt.rand(x)` for the shape of x.
-- The same seed gives the same numbers for any number of threads.
-- @function lt.rand
-- @tparam int|{int,...}|Tensor shape
-- @tparam ?table opts
-- @treturn Tensor of the default type, or the floating type of a tensor that gives the shape

--- Random numbers of the normal distribution N(0, 1); arguments as for `lt.rand`.
-- @function lt.randn
-- @tparam int|{int,...}|Tensor shape
-- @tparam ?table opts
-- @treturn Tensor of the default type, or the floating type of a tensor that gives the shape

--- The numbers 1..n in random order.
-- @function lt.randperm
-- @tparam int n
-- @tparam ?table opts
-- @treturn Tensor i64 [n]

--- A stream of random numbers of its own, independent of the default one.
-- @function lt.generator
-- @tparam int seed
-- @treturn Generator

--- Restarts the default generator.
-- @function lt.manual_seed
-- @tparam int seed

--- Where the default generator stands.
-- @function lt.rng_state
-- @treturn {int,int} seed and block, for `lt.set_rng_state`

--- Sets the default generator to a place that `lt.rng_state` told.
-- @function lt.set_rng_state
-- @tparam {int,int} state

--- A stream of random numbers; `lt.generator` makes one.
-- @type Generator

--- Where the stream stands.
-- @function lt.Generator:state
-- @treturn {int,int} seed and block

--- Goes to a place that `state` told.
-- @function lt.Generator:set_state
-- @tparam {int,int} state seed and block
-- @treturn Generator itself

-- ---- gradients ----

--- Runs f without recording for gradients; in it, parameters may be changed in place.
-- @function lt.no_grad
-- @tparam function f
-- @param ... arguments of f
-- @return what f returns

--- Whether operations are recorded for gradients now.
-- @function lt.is_recording
-- @treturn boolean

--- Makes backward stop at the first gradient that is infinite or NaN, and name the op and the line of it.
-- @function lt.check_finite
-- @tparam boolean on

--- An op of your own, with its gradient. `forward(ctx, ...)` computes; what it gives to `ctx:save(...)`,
-- `ctx:saved()` returns in `backward(ctx, dy)`, which returns a gradient (or nil) for each tensor that forward
-- was given.
-- @function lt.op
-- @tparam table definition name, forward, backward
-- @treturn function

--- Scales all gradients together so that their Euclidean norm is at most max_norm.
-- @function lt.clip_grad_norm
-- @tparam {Tensor,...} parameters
-- @tparam number max_norm above 0
-- @treturn number the norm before

-- ---- nearest neighbours and images ----

--- The nearest points of a set, exactly; of equally near ones the first.
-- @function lt.knn
-- @tparam Tensor train [n, dimensions], of a floating type
-- @tparam Tensor query [m, dimensions], of the same type
-- @tparam ?int k how many for each; 1 unless said
-- @treturn Tensor their positions in train, from 1, nearest first [m, k], i64
-- @treturn Tensor the Euclidean distances [m, k]

--- Images at another size, bilinearly interpolated between the centres of the pixels.
-- @function lt.resize_bilinear
-- @tparam Tensor images float32 or u8 [n, height, width, channels]
-- @tparam int height
-- @tparam int width
-- @treturn Tensor [n, height, width, channels] of the same dtype

--- Rows of a u8 tensor as real numbers, each times scale plus shift: how batches are made.
-- @function lt.gather_scaled
-- @tparam Tensor x u8 [n, ...]
-- @tparam Tensor|{int,...} index row numbers from 1 [b]
-- @tparam number scale
-- @tparam number shift
-- @treturn Tensor float32 [b, ...]

-- ---- threads, memory, time ----

--- The number of threads that compute.
-- @function lt.threads
-- @treturn int

--- Sets the number of threads. The results do not depend on it. At the start it is what the environment says in
-- LATENT_NUM_THREADS (1 to 64), else in OMP_NUM_THREADS, else the number of processors that the process may use, by its
-- affinity and by the CPU quota of its container (cgroups of version 1 and 2; rounded down). `lt.info().threads_from`
-- tells which of these it was.
-- @function lt.set_threads
-- @tparam int n 1 to 64

--- What the core runs with, and its memory.
-- @function lt.info
-- @treturn table isa (the kernels' instruction set), vector_bytes, dtype, threads, threads_from (where that number came
-- from, in words), blas (the library of linear algebra and its kernel, "OpenBLAS 0.3.21, kernel Haswell"; nil until it
-- is needed, which loads it), live_bytes (held by tensors), pooled_bytes (kept for reuse), peak_bytes, system_allocs

--- Gives the memory that is kept for reuse back to the system.
-- @function lt.trim

--- Seconds of a clock that only goes forward.
-- @function lt.clock
-- @treturn number

-- ---- methods of tensors ----

--- An array of numbers, row by row. Elements are read by `x[i]` (a row, or of a tensor with one axis a number), their
-- number along the first axis by `#x`; `+ - * / ^` and the sign work element by element and broadcast.
-- @type Tensor
-- @tfield {int,...} shape its sizes; a new table each time
-- @tfield string dtype "float32" or "u8"
-- @tfield ?Tensor grad the gradient, nil before the first backward
-- @tfield boolean requires_grad whether gradients go to it or through it
-- @tfield boolean is_leaf whether it was made by hand, not by an op

--- The size of an axis.
-- @function Tensor:size
-- @tparam int axis from 1, or from the end: -1 is the last
-- @treturn int

--- The number of axes.
-- @function Tensor:dim
-- @treturn int

--- The number of elements.
-- @function Tensor:numel
-- @treturn int

--- One element as a number.
-- @function Tensor:get
-- @tparam int ... an index for each axis, from 1 or from the end
-- @treturn number

--- Sets one element in place.
-- @function Tensor:set
-- @tparam int ... an index for each axis, then the value
-- @treturn Tensor itself

--- The number in a tensor of one element.
-- @function Tensor:item
-- @treturn number

--- The elements as nested tables; of a scalar, a number.
-- @function Tensor:table
-- @treturn table|number

--- The raw elements, little-endian and row by row.
-- @function Tensor:bytes
-- @treturn string

--- The same values as float32; itself where it has them already.
-- @function Tensor:float
-- @treturn Tensor

--- The same values as float64; itself where it has them already. Gradients pass, converted back, as through float().
-- @function Tensor:double
-- @treturn Tensor

--- The same values as i64, fractions dropped; itself where it is i64 already.
-- @function Tensor:long
-- @treturn Tensor
-- @raise where i64 cannot hold a value

--- The same values as u8, fractions dropped; itself where it is u8 already.
-- @function Tensor:byte
-- @treturn Tensor
-- @raise where u8 cannot hold a value, 0..255 (see u8)

--- Rounded to whole numbers and limited to 0..255; itself where it is u8 already.
-- @function Tensor:u8
-- @treturn Tensor
-- @raise where an element is NaN

--- The same elements outside of any graph; shares the storage.
-- @function Tensor:detach
-- @treturn Tensor

--- Copies the elements of another tensor of the same shape and dtype into this one.
-- @function Tensor:copy_
-- @tparam Tensor source
-- @treturn Tensor itself

--- Sets every element, in place.
-- @function Tensor:fill_
-- @tparam number value
-- @treturn Tensor itself

--- Frees the tensor at once; using it afterwards raises. `local x <close> = ...` does the same at the end of
-- a block.
-- @function Tensor:close

--- Sets whether a leaf wants a gradient.
-- @function Tensor:requires_grad_
-- @tparam ?boolean on true unless said
-- @treturn Tensor itself

--- Zeroes the gradient in place, where there is one.
-- @function Tensor:zero_grad
-- @treturn Tensor itself

--- Computes the gradients of this tensor with respect to the parameters that it was made from, adds them to
-- their `grad`, and frees the graph.
-- @function Tensor:backward
-- @tparam ?Tensor gradient of what is minimised with respect to this tensor; not needed for one element

return {}
