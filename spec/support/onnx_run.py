"""Runs ONNX models for spec/onnx_spec.lua.

    python3 spec/support/onnx_run.py FOLDER

For each NAME.onnx in the folder: checks the model, gives it the arrays of NAME_in.npz, which have its inputs' names, and
writes what comes out, under its outputs' names, as NAME_out.npz. What goes wrong is printed, a line a model.
"""
import glob
import os
import sys

import numpy
import onnxruntime

try:
    import onnx
except ImportError:
    onnx = None

quiet = onnxruntime.SessionOptions()
quiet.log_severity_level = 3
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx"))):
    stem = path[: -len(".onnx")]
    try:
        if onnx:
            onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
        arrays = dict(numpy.load(stem + "_in.npz"))
        names = [output.name for output in session.get_outputs()]
        numpy.savez(stem + "_out.npz", **dict(zip(names, session.run(names, arrays))))
    except Exception as trouble:
        print(os.path.basename(stem), type(trouble).__name__, str(trouble).replace("\n", " ")[:600])
