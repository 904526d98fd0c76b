"""`python latent_kernel -f connection.json` is what Jupyter starts; `install`, `uninstall` and `list`
are what `latent kernel` calls."""

import os
import sys

if not __package__:  # started as a folder
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    __package__ = "latent_kernel"

from latent_kernel import program  # noqa: E402

if __name__ == "__main__":
    sys.exit(program.main())
