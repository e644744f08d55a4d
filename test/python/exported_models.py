"""Runs exported generators in Python: ONNX Runtime, and PyTorch with examples/pytorch/srresnet.py.

stdin: a list of folders. In each: checks model.onnx as strictly as
`onnx` can, gives inputs.safetensors (`0`, `1`, ...: [n, h, w, 3] in [0, 1]) to it and to
model.safetensors, and writes outputs.safetensors (`onnx/0`, `pytorch/0`, ...: [n, 4h, 4w, 3]).
"""

import json
import pathlib
import sys

import onnx
import onnxruntime
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples" / "pytorch"))
from srresnet import SRResNet  # noqa: E402


def run(folder):
    path = folder / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    network = SRResNet.from_file(folder / "model.safetensors")
    outputs = {}
    for name, low in load_file(folder / "inputs.safetensors").items():
        outputs[f"onnx/{name}"] = torch.from_numpy(session.run(["sr"], {"lr": low.numpy()})[0])
        with torch.no_grad():
            high = network(low.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        outputs[f"pytorch/{name}"] = high.contiguous()
    save_file(outputs, folder / "outputs.safetensors")


for folder in json.load(sys.stdin):
    run(pathlib.Path(folder))
print("{}")
