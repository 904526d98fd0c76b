-- What `make bench` runs.
require("bench.run").main(arg)
