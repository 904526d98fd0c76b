-- What `make data` runs.
require("latent.data.fetch").main()
