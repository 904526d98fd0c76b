"""Jupyter's side of the kernel for Lua with latent: see kernel.py."""
