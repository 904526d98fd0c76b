"""Runs notebooks: `execute.py [--small] [--kernels FOLDER] [--out FOLDER] NOTEBOOK...` writes each
with its outputs to FOLDER, else in its place. With --small the cell of parameters is replaced by
what its metadata has under "small", which takes seconds."""

import argparse
import os

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true")
parser.add_argument("--kernels", metavar="FOLDER", help="has share/jupyter/kernels/latent")
parser.add_argument("--out", metavar="FOLDER")
parser.add_argument("notebooks", nargs="+")
options = parser.parse_args()
if options.kernels:
    os.environ["JUPYTER_PATH"] = os.path.join(options.kernels, "share", "jupyter")

import nbclient  # noqa: E402
import nbformat  # noqa: E402

TIMEOUT = 600  # seconds a cell


def run(path):
    notebook = nbformat.read(path, as_version=4)
    if options.small:
        for cell in notebook.cells:
            cell.source = cell.metadata.get("small", cell.source)
    folder = os.path.dirname(os.path.abspath(path))
    client = nbclient.NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="latent", resources={"metadata": {"path": folder}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    target = os.path.join(options.out, os.path.basename(path)) if options.out else path
    nbformat.write(notebook, target)
    print(target)


for name in options.notebooks:
    run(name)
